//! Rules about the queue: each submission is answered once, with its token and its buffer.
//!
//! Writes keep the bargain of the log: whole aligned blocks, into space that is allocated, and no
//! two at once over one block.

use std::sync::Arc;

use super::{Case, Rule, Verdict, content, done, refused, same};
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{AlignedBuf, Completion, Disk, File, Open, Token, Write, WriteSync};
use crate::int::u64_from;

pub(super) const RULES: &[Rule] = &[
    ("a new queue has nothing to say", idle),
    ("a write completes with its token, its length and its buffer as it was", write_completes),
    ("a sync completes with its token, no bytes and no buffer", sync_completes),
    ("a write takes only the range it names out of its buffer", ranged),
    ("a write that is its own flush lands like any other", own_range),
    ("many submissions are answered once each, in whatever order", many),
    ("a poll waits for as many as it is asked for and keeps what it was given", polled),
    ("two queues answer their own submissions only", two_queues),
    ("a write to a file opened to read fails, and its buffer comes back", refused_write),
    ("a submission outlives the name of its file", unlinked),
];

const FILLING: [u8; 4] = *b"abcd";

/// A file with `blocks` blocks of space, durable under its name.
fn space(case: &Case<'_>, name: &str, blocks: usize) -> Result<Arc<dyn File>, String> {
    let file = case.file(name, b"")?;
    done("allocate", file.allocate(u64_from(blocks * BLOCK_BYTES)))?;
    done("sync", file.sync())?;
    Ok(file)
}

/// A buffer of `blocks` blocks, each filled with a byte of its own from `first` on.
fn filled(blocks: usize, first: u8) -> AlignedBuf {
    let mut buffer = AlignedBuf::with_capacity(blocks * BLOCK_BYTES);
    for block in 0..blocks {
        let byte = first.wrapping_add(u8::try_from(block).unwrap_or_default());
        buffer.fill(&[byte; BLOCK_BYTES]);
    }
    buffer
}

fn write(token: u64, file: &Arc<dyn File>, block: usize, buffer: AlignedBuf) -> Write {
    let range = 0..buffer.len();
    let position = u64_from(block * BLOCK_BYTES);
    let file = Arc::clone(file);
    Write { token: Token(token), file, position, buffer, range, sync: WriteSync::None }
}

/// Polls until nothing is in flight.
fn drain(disk: &mut dyn Disk) -> Result<Vec<Completion>, String> {
    let mut out = Vec::new();
    while disk.in_flight() > 0 {
        let before = out.len();
        done("poll", disk.poll(1, &mut out))?;
        same("a poll that waits for one brings one", out.len() > before, true)?;
    }
    Ok(out)
}

/// The one completion, whose bytes must be `bytes`.
fn only(mut out: Vec<Completion>, token: u64) -> Result<Completion, String> {
    same("completions", out.len(), 1)?;
    let Some(completion) = out.pop() else { return Err("no completion".to_owned()) };
    same("the token", completion.token, Token(token))?;
    Ok(completion)
}

/// Block `block` of the file must be all `byte`.
fn block_is(file: &dyn File, block: usize, byte: u8) -> Verdict {
    let all = content(file)?;
    let found = all.chunks(BLOCK_BYTES).nth(block).unwrap_or_default();
    let right = found.len() == BLOCK_BYTES && found.iter().all(|found| *found == byte);
    same(&format!("block {block} is all {byte}"), right, true)
}

fn idle(case: &Case<'_>) -> Verdict {
    let mut disk = done("a queue", case.directory.disk())?;
    let mut out = Vec::new();
    same("in flight", disk.in_flight(), 0)?;
    done("a poll that waits for nothing in flight", disk.poll(1, &mut out))?;
    same("completions", out.len(), 0)
}

fn write_completes(case: &Case<'_>) -> Verdict {
    let file = space(case, "file", 4)?;
    let mut disk = done("a queue", case.directory.disk())?;
    let buffer = filled(2, b'x');
    let (address, capacity) = (buffer.as_slice().as_ptr().addr(), buffer.capacity());
    disk.submit_write(write(7, &file, 1, buffer));
    same("in flight", disk.in_flight(), 1)?;
    let completion = only(drain(&mut *disk)?, 7)?;
    same("the length", done("write", completion.result)?, 2 * BLOCK_BYTES)?;
    let Some(buffer) = completion.buffer else { return Err("the buffer is lost".to_owned()) };
    let same_memory = buffer.as_slice().as_ptr().addr() == address;
    same("the buffer is the one given", same_memory && buffer.capacity() == capacity, true)?;
    same("its bytes", buffer.as_slice() == filled(2, b'x').as_slice(), true)?;
    block_is(&*file, 0, 0)?;
    block_is(&*file, 1, b'x')?;
    block_is(&*file, 2, b'x' + 1)?;
    block_is(&*file, 3, 0)
}

fn sync_completes(case: &Case<'_>) -> Verdict {
    let file = space(case, "file", 1)?;
    let mut disk = done("a queue", case.directory.disk())?;
    disk.submit_sync(Token(u64::MAX), &file);
    same("in flight", disk.in_flight(), 1)?;
    let completion = only(drain(&mut *disk)?, u64::MAX)?;
    same("the result", done("sync", completion.result)?, 0)?;
    same("a buffer", completion.buffer.is_some(), false)?;
    same("in flight", disk.in_flight(), 0)
}

fn ranged(case: &Case<'_>) -> Verdict {
    let file = space(case, "file", 3)?;
    let mut disk = done("a queue", case.directory.disk())?;
    let mut submission = write(1, &file, 0, filled(3, b'1'));
    submission.range = BLOCK_BYTES..2 * BLOCK_BYTES;
    submission.position = u64_from(2 * BLOCK_BYTES);
    disk.submit_write(submission);
    let completion = only(drain(&mut *disk)?, 1)?;
    same("the length", done("write", completion.result)?, BLOCK_BYTES)?;
    let whole = completion.buffer.is_some_and(|buffer| buffer.len() == 3 * BLOCK_BYTES);
    same("the whole buffer comes back", whole, true)?;
    block_is(&*file, 0, 0)?;
    block_is(&*file, 1, 0)?;
    block_is(&*file, 2, b'2')
}

fn own_range(case: &Case<'_>) -> Verdict {
    let file = space(case, "file", 2)?;
    let mut disk = done("a queue", case.directory.disk())?;
    let submission = write(3, &file, 1, filled(1, b'o'));
    disk.submit_write(Write { sync: WriteSync::OwnRange, ..submission });
    let completion = only(drain(&mut *disk)?, 3)?;
    same("the length", done("write", completion.result)?, BLOCK_BYTES)?;
    same("a buffer", completion.buffer.is_some(), true)?;
    block_is(&*file, 0, 0)?;
    block_is(&*file, 1, b'o')
}

fn many(case: &Case<'_>) -> Verdict {
    let files = [space(case, "one", 16)?, space(case, "two", 16)?];
    let mut disk = done("a queue", case.directory.disk())?;
    let mut tokens = Vec::new();
    for block in 0..16_u8 {
        for (file, number) in files.iter().zip(0_u8..) {
            let token = u64::from(block) << 32 | u64::from(number);
            let buffer = filled(1, 16 * (number + 1) + block);
            disk.submit_write(write(token, file, block.into(), buffer));
            tokens.push(token);
        }
        let token = u64::from(block) << 32 | 2;
        disk.submit_sync(Token(token), &files[usize::from(block % 2)]);
        tokens.push(token);
    }
    same("in flight", disk.in_flight(), tokens.len())?;
    let mut out = drain(&mut *disk)?;
    out.sort_by_key(|completion| completion.token);
    let answered: Vec<u64> = out.iter().map(|completion| completion.token.0).collect();
    tokens.sort_unstable();
    same("the tokens answered", answered, tokens)?;
    for completion in out {
        done("a submission", completion.result)?;
    }
    for (file, number) in files.iter().zip(0_u8..) {
        for block in 0..16_u8 {
            block_is(&**file, block.into(), 16 * (number + 1) + block)?;
        }
    }
    Ok(())
}

fn polled(case: &Case<'_>) -> Verdict {
    let file = space(case, "file", 4)?;
    let mut disk = done("a queue", case.directory.disk())?;
    for (block, byte) in FILLING.into_iter().enumerate() {
        disk.submit_write(write(u64_from(block), &file, block, filled(1, byte)));
    }
    let before = Completion { token: Token(99), result: Ok(0), buffer: None };
    let mut out = vec![before];
    done("poll", disk.poll(3, &mut out))?;
    same("completions of a poll that waits for three", out.len() >= 4, true)?;
    done("poll", disk.poll(100, &mut out))?;
    same("completions of a poll that waits for more than there are", out.len(), 5)?;
    same("in flight", disk.in_flight(), 0)?;
    same("what was there before", out.first().map(|first| first.token), Some(Token(99)))?;
    done("a poll of nothing", disk.poll(0, &mut out))?;
    same("completions", out.len(), 5)
}

fn two_queues(case: &Case<'_>) -> Verdict {
    let file = space(case, "file", 2)?;
    let mut first = done("a queue", case.directory.disk())?;
    let mut second = done("another queue", case.directory.disk())?;
    first.submit_write(write(1, &file, 0, filled(1, b'1')));
    second.submit_write(write(2, &file, 1, filled(1, b'2')));
    only(drain(&mut *second)?, 2)?;
    same("in flight in the first", first.in_flight(), 1)?;
    only(drain(&mut *first)?, 1)?;
    block_is(&*file, 0, b'1')?;
    block_is(&*file, 1, b'2')
}

fn refused_write(case: &Case<'_>) -> Verdict {
    space(case, "file", 1)?;
    let file = done("open to read", case.open("file", Open::Read))?;
    let mut disk = done("a queue", case.directory.disk())?;
    disk.submit_write(write(5, &file, 0, filled(1, b'x')));
    let completion = only(drain(&mut *disk)?, 5)?;
    refused("the write", completion.result)?;
    same("the buffer comes back", completion.buffer.is_some(), true)?;
    block_is(&*file, 0, 0)
}

fn unlinked(case: &Case<'_>) -> Verdict {
    let file = space(case, "file", 1)?;
    let mut disk = done("a queue", case.directory.disk())?;
    done("unlink", case.directory.unlink(&case.path("file")))?;
    disk.submit_write(write(1, &file, 0, filled(1, b'u')));
    done("write", only(drain(&mut *disk)?, 1)?.result)?;
    disk.submit_sync(Token(2), &file);
    done("sync", only(drain(&mut *disk)?, 2)?.result)?;
    block_is(&*file, 0, b'u')
}
