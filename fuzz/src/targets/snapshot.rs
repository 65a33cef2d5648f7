//! Snapshots of producers from any bytes: read or refused by name, and whatever they say, the store
//! opens, its log reads the same, and who has a batch in the log is known from there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use log_core::disk::MemoryDirectory;
use log_core::format::snapshot::{parse_snapshot, snapshot_bytes};
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::{Durability, Offset, ProducerInfo, Store};

use super::store::{Contents, ROOT, contents, empty, files, first_log, open, open_with, put};

/// Who wrote into the segment that is deleted, and nowhere else.
const EARLY: i64 = 4;
/// Bytes before the state in a file of ours, the last four of them their sum.
const HEAD_BYTES: usize = 40;

/// A log with producers, whose first segment is deleted.
struct Good {
    files: BTreeMap<String, Vec<u8>>,
    contents: Contents,
    producers: Vec<ProducerInfo>,
    /// The first segment's base, and the log's end.
    base: i64,
    end: i64,
}

/// The first byte says what the others are.
pub fn run(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 8 {
        0 => kafkas(bytes),
        1 => kafkas(&kafkas_summed(bytes)),
        2 => closed(bytes),
        3 => closed(&ours_summed(bytes)),
        4 => crashed(bytes, None),
        5 => crashed(&ours_summed(bytes), None),
        6 => crashed(&[], Some(bytes)),
        _ => crashed(&[], Some(&kafkas_summed(bytes))),
    }
}

/// What is read, written again, is the same bytes.
fn kafkas(bytes: &[u8]) {
    match parse_snapshot(bytes) {
        Ok(entries) => assert_eq!(snapshot_bytes(&entries), bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// `bytes` with the version and the checksum that make a reader look at the rest.
fn kafkas_summed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= 10 {
        bytes[..2].copy_from_slice(&[0, 1]);
        let sum = crc(&bytes[6..]);
        bytes[2..6].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// CRC-32C, bit by bit: the library keeps its own to itself.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes
        .iter()
        .fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// `bytes` with both checksums of a file of ours.
fn ours_summed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() > HEAD_BYTES + 4 {
        let head = crc32fast::hash(&bytes[..HEAD_BYTES - 4]);
        bytes[HEAD_BYTES - 4..HEAD_BYTES].copy_from_slice(&head.to_be_bytes());
        let end = bytes.len() - 4;
        let state = crc32fast::hash(&bytes[HEAD_BYTES..end]);
        bytes[end..].copy_from_slice(&state.to_be_bytes());
    }
    bytes
}

/// As the state that a clean close left: it is believed if it is whole, and then says who may go on
/// where; the log is what it is.
fn closed(bytes: &[u8]) {
    let good = good();
    let directory = lay(good, true);
    let name = ours(good.end);
    put(&directory, Path::new(&name), bytes);
    let store = reopen(&directory);
    same_log(&store, good);
    if good.files.get(&name).map(Vec::as_slice) == Some(bytes) || !sums_agree(bytes) {
        assert_eq!(producers(&store), good.producers, "a bad snapshot is rebuilt from the log");
    }
}

/// As the state before the first segment, ours and Kafka's, of a log that was not closed.
fn crashed(ours_bytes: &[u8], kafkas_bytes: Option<&[u8]>) {
    let good = good();
    let directory = lay(good, false);
    put(&directory, Path::new(&ours(good.base)), ours_bytes);
    if let Some(bytes) = kafkas_bytes {
        put(&directory, Path::new(&kafkas_name(good.base)), bytes);
    }
    let store = reopen(&directory);
    same_log(&store, good);
    let found = producers(&store);
    // Whatever stood there before: their last five batches are in the log.
    let in_log = |info: &&ProducerInfo| info.producer_id.get() != EARLY;
    let last = |of: &ProducerInfo| of.batches.first().map(|batch| batch.last_offset);
    for info in good.producers.iter().filter(in_log) {
        let there = found.iter().find(|found| found.producer_id == info.producer_id);
        assert_eq!(there.map(last), Some(last(info)), "who is in the log is known from the log");
    }
    if kafkas_bytes.is_none() && !sums_agree(ours_bytes) {
        assert_eq!(found, good.producers, "Kafka's snapshot says it where ours is bad");
    }
}

/// Whether a file of ours has the checksums that it should.
fn sums_agree(bytes: &[u8]) -> bool {
    ours_summed(bytes) == bytes && bytes.len() > HEAD_BYTES + 4
}

fn same_log(store: &Store, good: &Good) {
    let found = first_log(store).map(|log| contents(&log));
    assert_eq!(found.as_ref(), Some(&good.contents), "a snapshot changes no record");
}

fn reopen(directory: &Arc<MemoryDirectory>) -> Store {
    match open(directory) {
        Some(store) => store,
        None => unreachable!("a snapshot keeps no store from opening"),
    }
}

fn producers(store: &Store) -> Vec<ProducerInfo> {
    first_log(store).map(|log| log.producers()).unwrap_or_default()
}

fn kafkas_name(offset: i64) -> String {
    format!("{ROOT}/t-0/{offset:020}.snapshot")
}

fn ours(offset: i64) -> String {
    format!("{ROOT}/t-0/{offset:020}.producers")
}

/// The good log, closed, or as a crash leaves it with nothing but logs and snapshots.
fn lay(good: &Good, clean: bool) -> Arc<MemoryDirectory> {
    let directory = empty();
    for (path, bytes) in &good.files {
        let cache = [".seal", "oncelog.clean", "oncelog.checkpoint"];
        if clean || !cache.iter().any(|end| path.ends_with(end)) {
            put(&directory, Path::new(path), bytes);
        }
    }
    directory
}

fn good() -> &'static Good {
    static GOOD: OnceLock<Option<Good>> = OnceLock::new();
    match GOOD.get_or_init(make) {
        Some(good) => good,
        None => unreachable!("a store in memory takes what it is given"),
    }
}

fn make() -> Option<Good> {
    let directory = empty();
    let store = open_with(&directory, |builder| builder.segment_bytes_max(4096))?;
    let log = first_log(&store)?;
    log.append_wait(batch(EARLY, 0)?, Durability::Synced).ok()?;
    for sequence in 0..25 {
        for id in 1..3 {
            log.append_wait(batch(id, sequence)?, Durability::Synced).ok()?;
        }
    }
    let base = log.info().segments.get(1)?.base_offset;
    log.delete_records(Some(base)).ok()?;
    let producers = log.producers();
    store.close().ok()?;
    drop((log, store));
    let files = files(&directory);
    let store = open(&directory)?;
    let log = first_log(&store)?;
    let (contents, end) = (contents(&log), log.log_end_offset().get());
    (base > Offset::ZERO).then_some(Good { files, contents, producers, base: base.get(), end })
}

fn batch(id: i64, sequence: i32) -> Option<RecordBatch> {
    let (id, epoch) = (ProducerId::new(id)?, ProducerEpoch::new(0)?);
    let options = BatchOptions::new().producer(id, epoch, Sequence::new(sequence)?);
    let mut builder = BatchBuilder::new(options);
    let (timestamp, value) = (TimestampMs::new(1_000), [b'v'; 200]);
    builder.push(&NewRecord { timestamp, key: None, value: Some(&value), headers: &[] }).ok()?;
    builder.build()
}

/// The files that belong there, whole and in part.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let good = good();
    let stored = |name: String| good.files.get(&name).cloned().unwrap_or_default();
    let (last, first) = (stored(ours(good.end)), stored(ours(good.base)));
    let kafka = stored(kafkas_name(good.base));
    let half = |bytes: &Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let kinds: [(u8, Vec<u8>); 10] = [
        (0, kafka.clone()),
        (1, half(&kafka)),
        (2, last.clone()),
        (2, half(&last)),
        (3, last),
        (4, first.clone()),
        (5, half(&first)),
        (5, first),
        (6, kafka.clone()),
        (7, kafka),
    ];
    kinds.into_iter().map(|(kind, bytes)| [vec![kind], bytes].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scene_is_what_the_targets_need() {
        let good = good();
        assert!(good.base > 0 && good.producers.len() == 3);
        for name in [ours(good.base), ours(good.end), kafkas_name(good.base)] {
            assert!(good.files.contains_key(&name), "{name} of {:?}", good.files.keys());
        }
        let kafkas = &good.files[&kafkas_name(good.base)];
        assert_eq!(&kafkas_summed(kafkas), kafkas, "the checksum is Kafka's");
        assert!(sums_agree(&good.files[&ours(good.end)]));
        assert!(!sums_agree(&good.files[&ours(good.end)][1..]));
    }

    #[test]
    fn a_believed_snapshot_is_looked_at() {
        // Nobody before the first segment: whole, and so believed.
        let good = good();
        let directory = lay(good, false);
        put(&directory, Path::new(&ours(good.base)), &[]);
        put(&directory, Path::new(&kafkas_name(good.base)), &snapshot_bytes(&[]));
        let found = producers(&reopen(&directory));
        assert_eq!(found.len(), 2, "producer {EARLY} is gone");
    }
}
