//! Rules about one open file: what is read back, how long it is, what a sync and a cache change.

use super::{Case, Rule, Verdict, content, done, read, same, write};

pub(super) const RULES: &[Rule] = &[
    ("a read stops at the end of the file", read_at_the_end),
    ("what is written is read back, where it was written", written),
    ("a write behind the end fills the gap with zeros", gap),
    ("a write through is a write", written_through),
    ("space is allocated as zeros and never taken back", allocated),
    ("a file is cut, and what it is lengthened by is zeros", resized),
    ("a sync and a dropped cache change nothing that is read", synced),
    ("many small writes and one large read agree", many),
];

fn read_at_the_end(case: &Case<'_>) -> Verdict {
    let file = case.file("file", b"0123456789")?;
    same("a read across the end", read(&*file, 6, 100)?, b"6789".to_vec())?;
    for at in [10, 11, 4096, 1 << 40] {
        let mut buffer = [0xEE; 8];
        same("bytes read behind the end", done("read", file.read_at(at, &mut buffer))?, 0)?;
        same("the buffer of such a read", buffer, [0xEE; 8])?;
    }
    same("bytes read into nothing", done("read", file.read_at(0, &mut []))?, 0)?;
    let mut buffer = [0xEE; 16];
    let bytes = done("read", file.read_at(7, &mut buffer))?;
    same("a read is not longer than the file", bytes <= 3 && bytes > 0, true)?;
    let untouched = buffer.iter().skip(bytes).all(|byte| *byte == 0xEE);
    same("the buffer behind what was read is left alone", untouched, true)
}

fn written(case: &Case<'_>) -> Verdict {
    let file = case.file("file", b"0123456789")?;
    write(&*file, 3, b"abc")?;
    same("the middle", content(&*file)?, b"012abc6789".to_vec())?;
    write(&*file, 8, b"XYZ")?;
    same("across the end", content(&*file)?, b"012abc67XYZ".to_vec())?;
    same("bytes of an empty write", done("write", file.write_at(50, &[]))?, 0)?;
    same("the length after it", done("length", file.len())?, 11)?;
    case.holds("file", b"012abc67XYZ")
}

fn gap(case: &Case<'_>) -> Verdict {
    let file = case.file("file", b"ab")?;
    write(&*file, 10_000, b"c")?;
    same("the length", done("length", file.len())?, 10_001)?;
    let found = content(&*file)?;
    let zeros = found.iter().skip(2).take(9_998).all(|byte| *byte == 0);
    same("the gap is zeros", zeros, true)?;
    same("the last byte", found.last(), Some(&b'c'))
}

fn written_through(case: &Case<'_>) -> Verdict {
    let file = case.file("file", &[b'.'; 5000])?;
    let mut at = 0;
    let bytes = [b'x'; 4096];
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let position = 500 + u64::try_from(at).unwrap_or_default();
        let written = done("write through", file.write_through_at(position, rest))?;
        same("a write through makes progress", written > 0 && written <= rest.len(), true)?;
        at += written;
    }
    let mut expected = vec![b'.'; 5000];
    expected.iter_mut().skip(500).take(4096).for_each(|byte| *byte = b'x');
    same("the content", content(&*file)? == expected, true)
}

fn allocated(case: &Case<'_>) -> Verdict {
    let file = case.file("file", b"abc")?;
    done("allocate", file.allocate(8192))?;
    same("the length", done("length", file.len())?, 8192)?;
    let mut expected = vec![0; 8192];
    expected.iter_mut().zip(b"abc").for_each(|(target, byte)| *target = *byte);
    same("old bytes, then zeros", content(&*file)? == expected, true)?;
    done("allocate less", file.allocate(4096))?;
    same("the length is as before", done("length", file.len())?, 8192)?;
    write(&*file, 8000, b"x")?;
    same("a write into the space leaves the length", done("length", file.len())?, 8192)
}

fn resized(case: &Case<'_>) -> Verdict {
    let file = case.file("file", &[b'x'; 6000])?;
    done("cut", file.set_len(10))?;
    same("the length", done("length", file.len())?, 10)?;
    done("lengthen", file.set_len(6000))?;
    let found = content(&*file)?;
    let (kept, zeros) = found.split_at(found.len().min(10));
    same("what is kept", kept, &[b'x'; 10][..])?;
    same("what was cut does not come back", zeros.iter().all(|byte| *byte == 0), true)?;
    same("the length", found.len(), 6000)?;
    done("empty", file.set_len(0))?;
    same("the content", content(&*file)?, Vec::new())
}

fn synced(case: &Case<'_>) -> Verdict {
    let file = case.file("file", &[b'a'; 9000])?;
    done("drop the cache of unflushed bytes", file.drop_cache())?;
    same("after that", content(&*file)? == [b'a'; 9000], true)?;
    done("sync", file.sync())?;
    write(&*file, 4000, &[b'b'; 1000])?;
    done("sync", file.sync())?;
    done("drop the cache", file.drop_cache())?;
    let mut expected = vec![b'a'; 9000];
    expected.iter_mut().skip(4000).take(1000).for_each(|byte| *byte = b'b');
    same("the content", content(&*file)? == expected, true)
}

fn many(case: &Case<'_>) -> Verdict {
    let file = case.file("file", b"")?;
    let mut expected = Vec::new();
    for number in 0..500_u16 {
        let bytes = [number.to_be_bytes()[1]; 37];
        write(&*file, u64::try_from(expected.len()).unwrap_or_default(), &bytes)?;
        expected.extend_from_slice(&bytes);
    }
    same("the content", content(&*file)? == expected, true)?;
    case.holds("file", &expected)
}
