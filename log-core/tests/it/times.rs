//! Which offset a time stands for, against a look at every record, whatever becomes of the indexes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use log_core::disk::{Directory, MemoryDirectory, Open};
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{
    Drive, Durability, FetchLimits, IsolationLevel, Log, Offset, OffsetAndTimestamp, Store,
};
use proptest::prelude::*;

use crate::log::partition;

const ISOLATION: IsolationLevel = IsolationLevel::ReadUncommitted;

fn batch(timestamps: &[i64]) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    for timestamp in timestamps {
        let timestamp = TimestampMs::new(*timestamp);
        let value = Some(&b"some bytes, so that a few records pass the index interval"[..]);
        builder.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
    }
    builder.build().unwrap()
}

fn open(directory: &MemoryDirectory) -> Store {
    Store::builder()
        .directory(Arc::new(directory.clone()))
        .drive(Drive::Inline)
        .segment_bytes_max(4096)
        .index_interval_bytes(300)
        .open("/store")
        .unwrap()
}

/// A store with two partitions of one topic.
fn new(directory: &MemoryDirectory) -> (Store, Log, Log) {
    let store = open(directory);
    store.create_topic(&"orders".parse().unwrap(), 2).unwrap();
    let (one, other) = logs(&store);
    (store, one, other)
}

fn logs(store: &Store) -> (Log, Log) {
    (store.log(&partition(0)).unwrap(), store.log(&partition(1)).unwrap())
}

/// Every readable record, as offset and timestamp.
fn all(log: &Log) -> Vec<(i64, i64)> {
    let mut all = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let fetched = log.fetch(offset, FetchLimits::default(), ISOLATION).unwrap();
        if fetched.is_empty() {
            return all;
        }
        all.extend(fetched.records().map(|record| {
            let record = record.unwrap();
            (record.offset.get(), record.timestamp.get())
        }));
        offset = fetched.next_offset;
    }
}

fn plain(found: Option<OffsetAndTimestamp>) -> Option<(i64, i64)> {
    found.map(|found| (found.offset.get(), found.timestamp.get()))
}

/// Asks `log` for every time worth asking, and a look at every record for the same.
fn compare(log: &Log, what: &str) {
    let truth = all(log);
    let times = truth.iter().flat_map(|(_, time)| [*time, time.saturating_add(1)]);
    for target in times.chain([0, 1, i64::MAX]).filter(|target| *target >= 0) {
        let expected = truth.iter().copied().find(|(_, time)| *time >= target);
        let found = log.offset_for_time(TimestampMs::new(target), ISOLATION).unwrap();
        assert_eq!(plain(found), expected, "{what}: first at or after {target}");
    }
    let largest = truth.iter().map(|(_, time)| *time).max().filter(|time| *time >= 0);
    let expected =
        largest.and_then(|largest| truth.iter().copied().find(|(_, time)| *time == largest));
    let found = log.offset_of_max_timestamp().unwrap();
    assert_eq!(plain(found), expected, "{what}: the largest");
}

#[test]
fn b22_a_time_finds_the_first_record_that_is_not_older() {
    let (_store, log, _) = new(&MemoryDirectory::new());
    log.append_wait(batch(&[0; 40]), Durability::Synced).unwrap();
    for number in 0..10 {
        log.append_wait(batch(&[400 + 10 * number]), Durability::Synced).unwrap();
    }
    let cases = [
        (420, Some(42)),
        (421, Some(43)),
        (430, Some(43)),
        (431, Some(44)),
        (491, None),
        (401, Some(41)),
        (399, Some(40)),
    ];
    for (target, offset) in cases {
        let found = log.offset_for_time(TimestampMs::new(target), ISOLATION).unwrap();
        assert_eq!(found.map(|found| found.offset.get()), offset, "{target}");
    }
}

#[test]
fn b23_a_time_names_offset_timestamp_and_epoch() {
    let (_store, log, _) = new(&MemoryDirectory::new());
    assert_eq!(log.offset_for_time(TimestampMs::new(0), ISOLATION).unwrap(), None, "empty");
    assert_eq!(log.offset_of_max_timestamp().unwrap(), None, "empty");
    log.append_wait(batch(&[7]), Durability::Synced).unwrap();
    log.append_wait(batch(&[9, 5]), Durability::Synced).unwrap();
    let found = log.offset_for_time(TimestampMs::new(8), ISOLATION).unwrap().unwrap();
    assert_eq!((found.offset.get(), found.timestamp.get(), found.leader_epoch.get()), (1, 9, 0));
    let found = log.offset_of_max_timestamp().unwrap().unwrap();
    assert_eq!((found.offset.get(), found.timestamp.get()), (1, 9));
}

#[test]
fn row_84_records_without_a_time_or_with_the_strangest_are_found_by_what_they_say() {
    let (store, log, other) = new(&MemoryDirectory::new());
    log.append_wait(batch(&[-1, -1]), Durability::Synced).unwrap();
    assert_eq!(log.offset_of_max_timestamp().unwrap(), None, "none has a time");
    log.append_wait(batch(&[i64::MAX, 3, -1]), Durability::Synced).unwrap();
    log.append_wait(batch(&[5]), Durability::Synced).unwrap();
    compare(&log, "strange times");
    compare(&other, "an empty log");
    store.close().unwrap();
}

#[test]
fn what_readers_do_not_see_yet_no_time_stands_for() {
    let directory = MemoryDirectory::new();
    let store = Store::builder()
        .directory(Arc::new(directory))
        .drive(Drive::Manual)
        .open("/store")
        .unwrap();
    store.create_topic(&"orders".parse().unwrap(), 1).unwrap();
    let log = store.log(&partition(0)).unwrap();
    log.append_wait(batch(&[5]), Durability::Synced).unwrap();
    let ticket = log.append(batch(&[9]), Durability::Synced).unwrap();
    assert_eq!(log.offset_for_time(TimestampMs::new(6), ISOLATION).unwrap(), None);
    assert_eq!(plain(log.offset_of_max_timestamp().unwrap()), Some((0, 5)));
    ticket.wait().unwrap();
    assert_eq!(plain(log.offset_of_max_timestamp().unwrap()), Some((1, 9)));
}

fn is_log(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "log")
}

/// Files of a partition that are caches: everything but the segments and what names the partition.
fn caches(directory: &MemoryDirectory, number: u32) -> Vec<PathBuf> {
    let dir = Path::new("/store").join(format!("orders-{number}"));
    let kept = ["oncelog.watermark", "partition.metadata", "leader-epoch-checkpoint"];
    directory
        .list(&dir)
        .unwrap()
        .into_iter()
        .filter(|entry| !is_log(&entry.name) && !kept.contains(&entry.name.as_str()))
        .map(|entry| dir.join(entry.name))
        .collect()
}

fn content(directory: &MemoryDirectory, path: &Path) -> Vec<u8> {
    let file = directory.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn put(directory: &MemoryDirectory, path: &Path, bytes: &[u8]) {
    drop(directory.unlink(path));
    directory.open(path, Open::Create).unwrap().write_at(0, bytes).unwrap();
}

/// What a hostile hand does to the files of a partition.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Delete,
    Flip,
    Cut,
    Lengthen,
    /// An entry of a time index says an earlier time, which order alone does not show.
    Age,
    /// The other partition's file of that name, or its first of that kind.
    Exchange,
}

fn harm(directory: &MemoryDirectory, path: &Path, harm: Harm, at: usize) {
    let mut bytes = content(directory, path);
    match harm {
        Harm::Delete => return directory.unlink(path).unwrap(),
        Harm::Flip => {
            let at = at % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 0x40;
            }
        }
        Harm::Cut => bytes.truncate(at % bytes.len().max(1)),
        Harm::Lengthen => bytes.extend_from_slice(&[0; 24]),
        Harm::Age => {
            let entries = bytes.len() / 12;
            let low = (at % entries.max(1)) * 12 + 7;
            if let Some(byte) = bytes.get_mut(low) {
                *byte = byte.saturating_sub(u8::try_from(1 + at % 40).unwrap());
            }
        }
        Harm::Exchange => {
            let others = caches(directory, 1);
            let same_name = |other: &&PathBuf| other.file_name() == path.file_name();
            let same_kind = |other: &&PathBuf| other.extension() == path.extension();
            let Some(other) = others.iter().find(same_name).or(others.iter().find(same_kind))
            else {
                return;
            };
            bytes = content(directory, other);
        }
    }
    put(directory, path, &bytes);
}

fn timestamps() -> impl Strategy<Value = Vec<Vec<i64>>> {
    let time = prop_oneof![8 => 0..500_i64, 1 => Just(-1), 1 => 0..i64::MAX];
    prop::collection::vec(prop::collection::vec(time, 1..4), 1..60)
}

fn harms() -> impl Strategy<Value = Vec<(usize, Harm, usize)>> {
    let harm = prop_oneof![
        Just(Harm::Delete),
        Just(Harm::Flip),
        Just(Harm::Cut),
        Just(Harm::Lengthen),
        Just(Harm::Age),
        Just(Harm::Exchange)
    ];
    prop::collection::vec((0..100_usize, harm, 0..10_000_usize), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// R5: an index or sidecar that is gone, damaged or another partition's changes no answer.
    #[test]
    fn r5_no_answer_depends_on_an_index_or_a_sidecar(
        batches in timestamps(),
        others in timestamps(),
        harms in harms(),
        all_of_them in prop::option::of(0..6_usize),
        clean in any::<bool>(),
    ) {
        let directory = MemoryDirectory::new();
        let (store, log, other) = new(&directory);
        for times in &batches {
            log.append_wait(batch(times), Durability::Synced).unwrap();
        }
        for times in &others {
            other.append_wait(batch(times), Durability::Synced).unwrap();
        }
        compare(&log, "as appended");
        let truth = all(&log);
        store.close().unwrap();
        drop((store, log, other));
        let kinds =
            [Harm::Delete, Harm::Flip, Harm::Cut, Harm::Lengthen, Harm::Age, Harm::Exchange];
        let files = caches(&directory, 0);
        match all_of_them {
            Some(kind) => {
                for path in &files {
                    harm(&directory, path, kinds[kind], 17);
                }
            }
            None => {
                for (file, kind, at) in harms {
                    let Some(path) = files.get(file % files.len().max(1)) else { break };
                    if directory.open(path, Open::Read).is_ok() {
                        harm(&directory, path, kind, at);
                    }
                }
            }
        }
        if !clean {
            directory.unlink(Path::new("/store/oncelog.clean")).unwrap();
        }
        let store = open(&directory);
        let (log, _) = logs(&store);
        prop_assert_eq!(&all(&log), &truth);
        compare(&log, "after harm");
        for offset in truth.iter().filter_map(|(offset, _)| Offset::new(*offset)) {
            let fetched = log.fetch(offset, FetchLimits::bytes(1), ISOLATION).unwrap();
            let first = fetched.records().next().unwrap().unwrap();
            prop_assert_eq!(first.offset, offset);
        }
        // And once more, by what the first opening left.
        log.append_wait(batch(&[77, 1_000]), Durability::Synced).unwrap();
        store.close().unwrap();
        drop((store, log));
        let store = open(&directory);
        compare(&logs(&store).0, "reopened");
        prop_assert!(store.recovered().iter().all(|report| report.damage.is_empty()));
    }
}
