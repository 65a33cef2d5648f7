//! Batches from any bytes.
//!
//! What must hold: parsing ends in a value or an error; what parses lies within the bytes; the
//! records of a batch, built anew, are the same records; and stamping changes nothing else.

use log_core::format::{
    BatchBuilder, BatchOptions, BatchView, Batches, EmptyBatch, EndTxnMarker, NewRecord,
    RecordHeader, RecordView, crc32c, stamp, validate_records,
};
use log_core::ids::{LeaderEpoch, Offset, TimestampMs};

/// Where the checksum stands, and where what it covers begins.
const CRC: core::ops::Range<usize> = 17..21;
/// Where the length stands: everything behind it counts.
const LENGTH: core::ops::Range<usize> = 8..12;

/// Any bytes, as they are.
pub fn parse(data: &[u8]) {
    let mut end = 0;
    for placed in Batches::new(data) {
        let Ok(placed) = placed else { break };
        assert_eq!(placed.position, end, "batches stand one behind the other");
        end += placed.batch.as_bytes().len();
        assert!(end <= data.len(), "a batch ends within the bytes");
        batch(&placed.batch);
    }
}

/// Any bytes, their checksum put right (and by the first byte's lowest bit their length too): what
/// lies behind the checksum is reached.
pub fn parse_fixcrc(data: &[u8]) {
    let Some((flags, data)) = data.split_first() else { return };
    let mut bytes = data.to_vec();
    if bytes.len() < CRC.end {
        return;
    }
    if flags & 1 == 1 {
        let length = i32::try_from(bytes.len() - LENGTH.end).unwrap_or(i32::MAX);
        bytes[LENGTH].copy_from_slice(&length.to_be_bytes());
    }
    let length: [u8; 4] = bytes[LENGTH].try_into().unwrap_or_default();
    let end = usize::try_from(i32::from_be_bytes(length)).unwrap_or(0).saturating_add(LENGTH.end);
    let covered = bytes.get(CRC.end..end).map(crc32c);
    if let Some(crc) = covered {
        bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    }
    parse(&bytes);
}

fn batch(view: &BatchView<'_>) {
    assert!(view.last_offset() >= view.base_offset());
    assert_eq!(view.batch_bytes() as usize, view.as_bytes().len());
    if view.verify_crc().is_err() {
        return;
    }
    let _codec = view.codec();
    let _summary = validate_records(view);
    if view.records_count() == 0 {
        let emptied = EmptyBatch::emptied(view).to_bytes();
        assert!(emptied.is_ok_and(|bytes| BatchView::parse(&bytes).is_ok()));
        return;
    }
    stamped(view);
    let Ok(records) = view.records() else { return };
    let Ok(records) = records.collect::<Result<Vec<_>, _>>() else { return };
    assert_eq!(records.len(), view.records_count() as usize);
    for record in &records {
        if view.is_control() {
            let _marker = EndTxnMarker::from_record(record.key, record.value);
        }
    }
    rebuilt(&records);
}

/// Giving a batch another place changes its place alone.
fn stamped(view: &BatchView<'_>) {
    let mut bytes = view.as_bytes().to_vec();
    if stamp(&mut bytes, Offset::ZERO, LeaderEpoch::ZERO).is_ok() {
        assert_eq!(bytes[16..], view.as_bytes()[16..]);
        assert!(BatchView::parse(&bytes).is_ok_and(|again| again.verify_crc().is_ok()));
    }
}

/// The same records, built into a batch of our own.
fn rebuilt(records: &[RecordView<'_>]) {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    for record in records {
        let headers: Vec<RecordHeader<'_>> = record.headers().collect();
        let (timestamp, key, value) = (record.timestamp, record.key, record.value);
        let new = NewRecord { timestamp, key, value, headers: &headers };
        // A timestamp of −1 or below is refused, and so is a spread that no delta can hold.
        if builder.push(&new).is_err() {
            return;
        }
    }
    let Some(built) = builder.build() else { return };
    let view = BatchView::parse(built.as_bytes()).map(|view| (view.verify_crc(), view));
    let Ok((Ok(()), view)) = view else { unreachable!("what was built can be read: {view:?}") };
    let again: Vec<_> = view.records().into_iter().flatten().map_while(Result::ok).collect();
    assert_eq!(again.len(), records.len());
    for (one, other) in records.iter().zip(&again) {
        assert_eq!((one.timestamp, one.key, one.value), (other.timestamp, other.key, other.value));
        assert!(one.headers().eq(other.headers()));
    }
}

/// Batches of several shapes.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (count, bytes) in [(1, 0), (2, 7), (20, 30), (200, 3)] {
        let mut builder = BatchBuilder::new(BatchOptions::new());
        for number in 0..count {
            let value = vec![b'v'; bytes];
            let headers = [
                RecordHeader { key: b"h", value: None },
                RecordHeader { key: b"", value: Some(b"x") },
            ];
            let record = NewRecord {
                timestamp: TimestampMs::new(1_000 + number),
                key: (number % 3 != 0).then_some(b"key"),
                value: (number % 5 != 1).then_some(&value),
                headers: &headers[..usize::from(number % 4 == 0) * 2],
            };
            let _fits = builder.push(&record);
        }
        all.extend(builder.build().map(log_core::format::RecordBatch::into_bytes));
    }
    let last = Offset::new(44).unwrap_or(Offset::ZERO);
    let gap = EmptyBatch::gap(Offset::ZERO, last, LeaderEpoch::ZERO).to_bytes();
    all.extend(gap.map(|bytes| bytes.to_vec()));
    let both = all.concat();
    all.push(both);
    all
}

/// The same behind a byte of flags.
#[must_use]
pub fn flagged_seeds() -> Vec<Vec<u8>> {
    let flag = |flag: u8| move |seed: Vec<u8>| [vec![flag], seed].concat();
    seeds().into_iter().map(flag(0)).chain(seeds().into_iter().map(flag(1))).collect()
}
