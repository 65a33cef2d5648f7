//! The scenarios of producer state that are about files: which snapshots there are, when, and that
//! the log says the same without them (Kafka `ProducerStateManagerTest`, `LogLoaderTest`,
//! `UnifiedLogTest`).
//!
//! One thing differs from Kafka on purpose: the snapshot at the first segment's base is kept, for
//! it alone says who wrote before that.

use std::fs;
use std::path::PathBuf;

use log_core::format::{BatchView, EmptyBatch, EndTxnMarker, TransactionResult};
use log_core::ids::TimestampMs;
use log_core::{Durability, Log, Offset, ProducerInfo, Store};

use crate::log::{new_log, partition};
use crate::producers::{append, epoch, from, producer};

fn at(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

/// A directory whose segments hold about nine batches of forty records.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> (Self, Store, Log) {
        let place = Self(tempfile::tempdir().unwrap());
        let store = place.open();
        let log = new_log(&store);
        (place, store, log)
    }

    fn open(&self) -> Store {
        Store::builder().segment_bytes_max(4096).open(self.0.path()).unwrap()
    }

    fn inside(&self) -> PathBuf {
        self.0.path().join("orders-0")
    }

    /// The offsets that files of this ending are named for.
    fn offsets(&self, end: &str) -> Vec<i64> {
        let mut found: Vec<i64> = fs::read_dir(self.inside())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|is| is == end))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
            .collect();
        found.sort_unstable();
        found
    }

    /// The offsets of Kafka's snapshots, which ours stand beside.
    fn snapshots(&self) -> Vec<i64> {
        let kafkas = self.offsets("snapshot");
        assert_eq!(kafkas, self.offsets("producers"));
        kafkas
    }

    fn remove(&self, ends: &[&str]) {
        for end in ends {
            for offset in self.offsets(end) {
                fs::remove_file(self.inside().join(format!("{offset:020}.{end}"))).unwrap();
            }
        }
    }

    fn forget_checkpoint(&self) {
        let _none = fs::remove_file(self.inside().join("oncelog.checkpoint"));
    }
}

fn bases(log: &Log) -> Vec<i64> {
    log.info().segments.iter().map(|segment| segment.base_offset.get()).collect()
}

fn state(store: &Store) -> Vec<ProducerInfo> {
    store.log(&partition(0)).unwrap().producers()
}

/// Producer 1 writes once; producer 2 until there are so many segments.
fn fill(log: &Log, segments: usize) {
    append(log, from(1, 0, 0, 1));
    let mut sequence = 0;
    while log.info().segments.len() < segments {
        append(log, from(2, 0, sequence, 40));
        sequence += 40;
    }
}

fn drop_unclean(store: Store, log: Log) {
    drop((store, log));
}

#[test]
fn c14_an_empty_control_batch_changes_no_transaction() {
    let (place, store, log) = Place::new();
    let open = EndTxnMarker { result: TransactionResult::Commit, coordinator_epoch: 0 };
    let marker = open.to_batch(producer(1), epoch(0), TimestampMs::new(5)).unwrap();
    let mut empty = EmptyBatch::emptied(&BatchView::parse(&marker).unwrap());
    assert!(empty.attributes.is_control());
    (empty.base_offset, empty.last_offset) = (Offset::ZERO, Offset::ZERO);
    log.replicate_raw(&empty.to_bytes().unwrap(), Durability::Synced).unwrap().wait().unwrap();
    let judge = |log: &Log| {
        assert_eq!((log.last_stable_offset(), log.log_end_offset()), (at(1), at(1)));
        let open =
            log.producers().iter().filter(|is| is.current_txn_first_offset.is_some()).count();
        assert_eq!(open, 0);
    };
    judge(&log);
    drop_unclean(store, log);
    judge(&place.open().log(&partition(0)).unwrap());
}

#[test]
fn c16_a_state_that_has_not_changed_is_written_once() {
    let (place, store, log) = Place::new();
    fill(&log, 2);
    store.close().unwrap();
    drop((log, store));
    let first = place.snapshots();
    let modified = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let last = place.inside().join(format!("{:020}.snapshot", first.last().unwrap()));
    let written = modified(last.clone());
    for _ in 0..2 {
        place.open().close().unwrap();
        assert_eq!(place.snapshots(), first);
    }
    assert_eq!(modified(last), written);
}

#[test]
fn c22_when_the_logs_start_moves_the_snapshots_below_the_first_segment_go() {
    let (place, store, log) = Place::new();
    fill(&log, 5);
    let (before, known) = (bases(&log), log.producers());
    assert_eq!(place.snapshots(), before[1..]);
    log.delete_records(Some(at(before[3] + 1))).unwrap();
    assert_eq!(place.snapshots(), before[3..], "at a segment's base, and no other");
    drop_unclean(store, log);
    let store = place.open();
    assert_eq!((place.snapshots(), state(&store)), (before[3..].to_vec(), known));
}

#[test]
fn c23_each_roll_leaves_a_snapshot_that_goes_with_the_segment_it_begins() {
    let (place, store, log) = Place::new();
    fill(&log, 4);
    let before = bases(&log);
    log.flush().unwrap();
    assert_eq!(place.snapshots(), before[1..], "one a roll, all kept");
    for index in 1..4 {
        log.delete_records(Some(at(before[index]))).unwrap();
        assert_eq!(place.snapshots(), before[index..]);
    }
    store.close().unwrap();
}

#[test]
fn c24_what_is_cut_off_is_forgotten_with_its_snapshots() {
    let (place, store, log) = Place::new();
    fill(&log, 4);
    let third = bases(&log)[2];
    log.truncate_to(at(1)).unwrap();
    let [left] = &log.producers()[..] else { panic!("one producer is left") };
    assert_eq!((left.producer_id, left.batches[0].base_offset), (producer(1), Offset::ZERO));
    assert_eq!(place.snapshots(), [0_i64; 0]);
    // Below the cut a snapshot stays.
    let mut sequence = 0;
    while log.log_end_offset() < at(third + 1) {
        append(&log, from(2, 0, sequence, 40));
        sequence += 40;
    }
    let kept = bases(&log);
    log.truncate_to(at(third)).unwrap();
    assert!(place.snapshots().iter().all(|offset| *offset <= third), "{:?}", place.snapshots());
    assert!(place.snapshots().contains(&kept[1]));
    let end = log.producers().iter().map(|is| is.batches[0].last_offset.get()).max();
    assert_eq!(end, Some(third - 1));
    log.truncate_fully_and_start_at(at(29)).unwrap();
    assert_eq!((place.snapshots(), log.producers().len()), (vec![], 0));
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (at(29), at(29)));
    drop_unclean(store, log);
    let store = place.open();
    assert_eq!((state(&store).len(), place.snapshots().len()), (0, 0));
}

#[test]
fn c25_a_clean_log_without_producers_needs_no_snapshot_and_no_scan() {
    let (place, store, log) = Place::new();
    let value = "v".repeat(500);
    for _ in 0..20 {
        append(&log, crate::log::batch(&[&value]));
    }
    assert!(bases(&log).len() > 2);
    store.close().unwrap();
    drop((log, store));
    assert_eq!(place.snapshots(), [0_i64; 0]);
    let store = place.open();
    let recovered = &store.recovered()[0];
    assert!(recovered.clean && recovered.bytes_read == 0 && recovered.warnings.is_empty());
    assert_eq!(state(&store), []);
    // With producers and without their snapshots every batch is read, after a close or a crash.
    let (place, store, log) = Place::new();
    fill(&log, 3);
    let known = log.producers();
    store.close().unwrap();
    drop((log, store));
    for clean in [true, false] {
        place.remove(&["snapshot", "producers"]);
        place.forget_checkpoint();
        let store = place.open();
        let recovered = &store.recovered()[0];
        assert!(!recovered.clean && recovered.bytes_read > 2_000, "{recovered:?}");
        assert_eq!(state(&store), known);
        if clean {
            drop(store);
        }
    }
}

#[test]
fn c27_without_any_snapshot_an_unclean_log_says_the_same() {
    let (place, store, log) = Place::new();
    fill(&log, 5);
    let known = log.producers();
    drop_unclean(store, log);
    place.remove(&["snapshot", "producers", "seal"]);
    place.forget_checkpoint();
    assert_eq!(state(&place.open()), known);
}

#[test]
fn c28_after_an_unclean_stop_the_snapshots_of_sealed_segments_are_used() {
    let (place, store, log) = Place::new();
    fill(&log, 12);
    let (before, known) = (bases(&log), log.producers());
    let all: u64 = log.info().segments.iter().map(|segment| u64::from(segment.bytes)).sum();
    drop_unclean(store, log);
    place.forget_checkpoint();
    let store = place.open();
    let read = store.recovered()[0].bytes_read;
    assert!(read < all / 2, "{read} of {all} bytes read");
    assert_eq!((state(&store), place.snapshots()), (known.clone(), before[1..].to_vec()));
    // One that is gone: what it said is read from the log.
    drop(store);
    place.forget_checkpoint();
    let newest = before.last().unwrap();
    for end in ["snapshot", "producers"] {
        fs::remove_file(place.inside().join(format!("{newest:020}.{end}"))).unwrap();
    }
    let store = place.open();
    assert_eq!(state(&store), known);
    // A clean close leaves one at the log's end.
    let end = store.log(&partition(0)).unwrap().log_end_offset().get();
    store.close().unwrap();
    assert!(place.snapshots().contains(&end));
}

#[test]
fn c30_deleting_records_deletes_no_producer() {
    let (place, store, log) = Place::new();
    fill(&log, 3);
    let known = log.producers();
    // The log's start moves within a segment, then over segments, then to the end.
    let ends = [1, bases(&log)[1], log.log_end_offset().get()];
    for start in ends {
        log.delete_records(Some(at(start))).unwrap();
        assert_eq!(log.producers(), known);
        let again = append(&log, from(1, 0, 0, 1));
        assert_eq!((again.duplicate, again.base_offset), (true, Offset::ZERO));
    }
    drop_unclean(store, log);
    let store = place.open();
    assert_eq!(state(&store), known);
    let log = store.log(&partition(0)).unwrap();
    assert!(append(&log, from(1, 0, 0, 1)).duplicate);
    assert!(!append(&log, from(1, 0, 1, 1)).duplicate);
}
