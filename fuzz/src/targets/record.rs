//! Records and the numbers in them, against a slow second decoder.

use log_core::format::{BatchView, HEADER_BYTES, crc32c, varint};

use crate::reference;

/// Most records one input may declare: the reference takes its time.
const RECORDS_MAX: u16 = 1_000;

/// Two bytes of count, then the records of a batch whose header is right.
pub fn iterate(data: &[u8]) {
    let Some((count, records)) = data.split_first_chunk::<2>() else { return };
    let count = 1 + u16::from_be_bytes(*count) % RECORDS_MAX;
    let bytes = batch(count, records);
    let Ok(view) = BatchView::parse(&bytes) else { unreachable!("the header is right") };
    assert!(view.verify_crc().is_ok());
    let fast: Option<Vec<reference::Record>> = view.records().ok().and_then(|records| {
        let own = |bytes: &[u8]| bytes.to_vec();
        let plain = records.map(|record| {
            record.ok().map(|record| reference::Record {
                timestamp_delta: record.timestamp.get(),
                offset_delta: record.offset.get() as i32,
                key: record.key.map(own),
                value: record.value.map(own),
                headers: record.headers().map(|h| (own(h.key), h.value.map(own))).collect(),
            })
        });
        // An error repeats for ever: the first ends it.
        plain.collect()
    });
    let slow = reference::records(records, count.into()).filter(|slow| ascending(slow, count));
    assert_eq!(fast, slow);
}

/// The rules between records: offsets rise and stay within the batch.
fn ascending(records: &[reference::Record], count: u16) -> bool {
    let mut before = -1;
    records.iter().all(|record| {
        let rises = record.offset_delta > before && record.offset_delta < count.into();
        before = record.offset_delta;
        rises
    })
}

/// A batch at offset 0 and time 0 with that count and those bytes of records.
fn batch(count: u16, records: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(records);
    let length = (bytes.len() - 12) as i32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    bytes[23..27].copy_from_slice(&(i32::from(count) - 1).to_be_bytes());
    // No producer: id, epoch and sequence are −1.
    bytes[43..57].fill(0xFF);
    bytes[57..61].copy_from_slice(&i32::from(count).to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Numbers one behind the other, of both widths.
pub fn varints(data: &[u8]) {
    let mut rest = data;
    while !rest.is_empty() {
        let narrow = number(rest, 32, |bytes| varint::decode_i32(bytes).map(i64::from).ok());
        let wide = number(rest, 64, |bytes| varint::decode_i64(bytes).ok());
        if let Some((value, used)) = narrow {
            let mut written = Vec::new();
            varint::encode_i32(value as i32, &mut written);
            assert!(written.len() <= used, "a number is written in its shortest form");
            assert_eq!(reference::varint(&written, 32), Some((value, written.len())));
        }
        let mut written = Vec::new();
        if let Some((value, used)) = wide {
            varint::encode_i64(value, &mut written);
            assert!(written.len() <= used);
            assert_eq!(reference::varint(&written, 64), Some((value, written.len())));
        }
        rest = &rest[wide.map_or(1, |(_, used)| used)..];
    }
}

fn number(
    bytes: &[u8],
    bits: u32,
    decode: impl Fn(&mut &[u8]) -> Option<i64>,
) -> Option<(i64, usize)> {
    let mut rest = bytes;
    let fast = decode(&mut rest).map(|value| (value, bytes.len() - rest.len()));
    assert_eq!(fast, reference::varint(bytes, bits), "{bits} bits of {bytes:x?}");
    assert!(fast.is_some() || rest.len() == bytes.len(), "an error takes nothing");
    fast
}

/// Records of our encoder, in front of them how many.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for seed in super::batch::seeds() {
        let Ok(view) = BatchView::parse(&seed) else { continue };
        let count = (view.records_count() as u16).wrapping_sub(1);
        all.push([&count.to_be_bytes(), view.records_bytes()].concat());
    }
    all
}

/// All powers of two and their neighbours.
#[must_use]
pub fn varint_seeds() -> Vec<Vec<u8>> {
    let mut edges = Vec::new();
    for bit in 0..63 {
        for value in [-1, 0, 1] {
            varint::encode_i64((1_i64 << bit) + value, &mut edges);
            varint::encode_i64(-(1_i64 << bit) + value, &mut edges);
        }
    }
    let mut ends = Vec::new();
    for value in [i32::MIN, i32::MAX] {
        varint::encode_i32(value, &mut ends);
    }
    for value in [i64::MIN, i64::MAX] {
        varint::encode_i64(value, &mut ends);
    }
    vec![edges, ends, vec![0x80; 12], vec![0xFF; 12]]
}
