//! Another program wrote here (S10): a directory that Kafka made, compacted or had in between. Nothing
//! is reported as damage that is not, and what is damage still is.

use std::fs;
use std::path::{Path, PathBuf};

use log_core::ids::TimestampMs;
use log_core::{Durability, FetchLimits, IsolationLevel, Log, LogState, Offset, Store};

use crate::log::{batch, found, partition, read_all};
use crate::world::read_around;

/// Batches of one record, each at its offset, as a compaction leaves them.
pub(crate) fn segment(offsets: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for offset in offsets {
        let mut one = batch(&[&value(*offset)]).into_bytes();
        // The base offset stands outside the checksum.
        one[..8].copy_from_slice(&offset.to_be_bytes());
        bytes.extend_from_slice(&one);
    }
    bytes
}

fn value(offset: i64) -> String {
    format!("value {offset:04}")
}

const FIRST: [i64; 5] = [0, 1, 5, 6, 20];
/// Its first record is gone, the name stayed.
const SECOND: [i64; 3] = [33, 34, 40];

pub(crate) fn records(offsets: &[i64]) -> Vec<(i64, String)> {
    offsets.iter().map(|offset| (*offset, value(*offset))).collect()
}

pub(crate) fn all() -> Vec<i64> {
    FIRST.into_iter().chain(SECOND).collect()
}

/// The files of Kafka's directory, by name.
pub(crate) fn kafkas() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("orders-0/00000000000000000000.log", segment(&FIRST)),
        ("orders-0/00000000000000000030.log", segment(&SECOND)),
        ("orders-0/partition.metadata", b"version: 0\ntopic_id: Oy7UtM4fRBGhJLBKtWOBFw".to_vec()),
        ("orders-0/leader-epoch-checkpoint", b"0\n2\n0 0\n3 33\n".to_vec()),
        ("recovery-point-offset-checkpoint", b"0\n1\norders 0 34\n".to_vec()),
        ("log-start-offset-checkpoint", b"0\n0\n".to_vec()),
        ("replication-offset-checkpoint", b"0\n1\norders 0 41\n".to_vec()),
        (".kafka_cleanshutdown", b"{\"version\":0,\"brokerEpoch\":7}".to_vec()),
    ]
}

fn made() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("orders-0")).unwrap();
    for (name, bytes) in kafkas() {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn open(dir: &Path) -> (Store, Log) {
    let store = Store::open(dir).unwrap();
    let log = store.log(&partition(0)).unwrap();
    (store, log)
}

pub(crate) fn expect_whole(log: &Log, offsets: &[i64]) {
    assert!(matches!(log.state(), LogState::Online), "{}", log.state());
    assert_eq!(read_all(log), records(offsets));
    assert_eq!(log.verify().unwrap().damage, []);
    assert_eq!(log.log_end_offset().get(), offsets.last().unwrap() + 1);
    assert!(log.info().damage.is_empty());
}

pub(crate) fn append(log: &Log, offsets: &mut Vec<i64>) {
    let offset = log.log_end_offset().get();
    let appended = log.append_wait(batch(&[&value(offset)]), Durability::Synced).unwrap();
    assert_eq!(appended.base_offset.get(), offset);
    offsets.push(offset);
}

#[test]
fn a_log_that_kafka_compacted_is_whole_and_stays_so_over_appends_crashes_and_closes() {
    let dir = made();
    let mut offsets = all();
    let (store, log) = open(dir.path());
    expect_whole(&log, &offsets);
    assert_eq!(log.info().leader_epoch.get(), 3, "Kafka's epochs go on");
    (0..3).for_each(|_| append(&log, &mut offsets));
    expect_whole(&log, &offsets);
    // Dropped, not closed: the next open scans.
    drop((store, log));
    let (store, log) = open(dir.path());
    assert!(!store.recovered()[0].clean);
    expect_whole(&log, &offsets);
    append(&log, &mut offsets);
    store.close().unwrap();
    drop((store, log));
    let (store, log) = open(dir.path());
    assert!(store.recovered()[0].clean);
    expect_whole(&log, &offsets);
    append(&log, &mut offsets);
    expect_whole(&log, &offsets);
}

#[test]
fn an_offset_that_was_left_out_answers_with_the_next_batch() {
    let dir = made();
    let (_store, log) = open(dir.path());
    for (asked, next) in [(2, 5), (7, 20), (21, 33), (30, 33), (35, 40), (40, 40)] {
        let at = Offset::new(asked).unwrap();
        let limits = FetchLimits::bytes(1);
        let fetched = log.fetch(at, limits, IsolationLevel::ReadUncommitted).unwrap();
        let found: Vec<i64> =
            fetched.records().map(|record| record.unwrap().offset.get()).collect();
        assert_eq!((found, fetched.next_offset.get()), (vec![next], next + 1), "asked for {asked}");
    }
    let found = log.offset_for_time(TimestampMs::new(1_000), IsolationLevel::ReadUncommitted);
    assert_eq!(found.unwrap().unwrap().offset.get(), 0);
}

#[test]
fn a_log_with_gaps_is_truncated_and_goes_on_without_one() {
    let dir = made();
    let (store, log) = open(dir.path());
    log.truncate_to(Offset::new(21).unwrap()).unwrap();
    let mut offsets = FIRST.to_vec();
    expect_whole(&log, &offsets);
    append(&log, &mut offsets);
    drop((store, log));
    let (_store, log) = open(dir.path());
    expect_whole(&log, &offsets);
}

#[test]
fn damage_below_kafkas_recovery_point_is_kept_and_above_it_a_torn_tail_is_cut() {
    let bytes = segment(&[0]).len();
    // In the batch at offset 33, the recovery point being 34.
    let dir = made();
    let path = dir.path().join("orders-0/00000000000000000030.log");
    let mut content = fs::read(&path).unwrap();
    content[bytes - 1] ^= 1;
    fs::write(&path, &content).unwrap();
    let (_store, log) = open(dir.path());
    let LogState::ReadOnly(_) = log.state() else { unreachable!("{}", log.state()) };
    let (found, damaged) = read_around(&log);
    assert_eq!(found, records(&[0, 1, 5, 6, 20, 34, 40]));
    assert_eq!(damaged, [(30, 34)], "the offsets before it may be left out or lost with it");

    let dir = made();
    let path = dir.path().join("orders-0/00000000000000000030.log");
    fs::write(&path, &segment(&SECOND)[..3 * bytes - 1]).unwrap();
    let (store, log) = open(dir.path());
    expect_whole(&log, &[0, 1, 5, 6, 20, 33, 34]);
    assert!(store.recovered()[0].bytes_cut > 0);
}

/// Our own directory, closed, with 40 records in several segments.
fn ours() -> (tempfile::TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder().segment_bytes_max(4096).open(dir.path()).unwrap();
    store.create_topic(&"orders".parse().unwrap(), 1).unwrap();
    let log = store.log(&partition(0)).unwrap();
    let mut offsets = Vec::new();
    (0..120).for_each(|_| append(&log, &mut offsets));
    store.close().unwrap();
    let segments = log.info().segments.iter().map(|segment| segment.path.clone()).collect();
    (dir, segments)
}

/// What Kafka's cleaner and its appends make of it: the first segment loses records, the last one
/// gets some.
fn run_kafka(dir: &Path, segments: &[PathBuf]) -> Vec<i64> {
    let base =
        |path: &PathBuf| -> i64 { path.file_stem().unwrap().to_string_lossy().parse().unwrap() };
    let second = base(&segments[1]);
    let mut offsets: Vec<i64> = (0..second).step_by(3).collect();
    fs::write(&segments[0], segment(&offsets)).unwrap();
    offsets.extend(second..120);
    let last = segments.last().unwrap();
    let mut bytes = fs::read(last).unwrap();
    bytes.extend_from_slice(&segment(&[120, 121]));
    fs::write(last, bytes).unwrap();
    offsets.extend([120, 121]);
    for name in ["recovery-point-offset-checkpoint", "replication-offset-checkpoint"] {
        fs::write(dir.join(name), "0\n1\norders 0 122\n").unwrap();
    }
    offsets
}

#[test]
fn what_kafka_did_to_our_log_between_two_lives_is_no_damage() {
    let (dir, segments) = ours();
    assert!(segments.len() > 2);
    let mut offsets = run_kafka(dir.path(), &segments);
    // Kafka would delete its marker at its start, and write it again at its end.
    let (store, log) = open(dir.path());
    expect_whole(&log, &offsets);
    append(&log, &mut offsets);
    drop((store, log));
    let (store, log) = open(dir.path());
    expect_whole(&log, &offsets);
    store.close().unwrap();
    drop((store, log));
    let (store, log) = open(dir.path());
    assert!(store.recovered()[0].clean, "{:?}", store.recovered());
    expect_whole(&log, &offsets);
}

#[test]
fn a_reader_sees_what_kafka_did_too() {
    let (dir, segments) = ours();
    let offsets = run_kafka(dir.path(), &segments);
    let log = Store::open_read_only(dir.path()).unwrap().log(&partition(0)).unwrap();
    let (mut all, mut offset) = (Vec::new(), Offset::ZERO);
    loop {
        let limits = FetchLimits::default();
        let fetched = log.fetch(offset, limits, IsolationLevel::ReadUncommitted).unwrap();
        if fetched.is_empty() {
            break;
        }
        all.extend(found(&fetched));
        offset = fetched.next_offset;
    }
    assert_eq!(all, records(&offsets));
}

#[test]
fn a_log_start_that_kafka_raised_is_taken_over_and_one_of_ours_is_kept() {
    let (dir, segments) = ours();
    run_kafka(dir.path(), &segments);
    fs::write(dir.path().join("log-start-offset-checkpoint"), "0\n1\norders 0 100\n").unwrap();
    let (store, log) = open(dir.path());
    assert_eq!(log.log_start_offset().get(), 100);
    assert_eq!(read_all(&log), records(&(100..122).collect::<Vec<_>>()));
    log.delete_records(Offset::new(110)).unwrap();
    store.close().unwrap();
    drop((store, log));
    // Kafka came by and did nothing but to write its checkpoints.
    fs::write(dir.path().join("replication-offset-checkpoint"), "0\n1\norders 0 121\n").unwrap();
    let (_store, log) = open(dir.path());
    assert_eq!(log.log_start_offset().get(), 110);
}
