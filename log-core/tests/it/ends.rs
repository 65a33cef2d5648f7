//! Both ends of a log: records deleted by request, by age and by size, and truncation.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::MemoryDirectory;
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::{LeaderEpoch, TimestampMs};
use log_core::{
    Drive, Durability, FetchError, FetchLimits, IsolationLevel, Log, Offset, Store, StoreBuilder,
    TopicConfig, TrimError,
};

use crate::log::{batch, new_log, partition, read_all};

fn at(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

fn epoch(value: i32) -> LeaderEpoch {
    LeaderEpoch::new(value).unwrap()
}

/// One record of 400 bytes that says its number, at a time.
fn dated(number: i64, timestamp: i64) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    let value = format!("{number:0400}");
    let timestamp = TimestampMs::new(timestamp);
    let value = Some(value.as_bytes());
    builder.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
    builder.build().unwrap()
}

fn fill(log: &Log, numbers: core::ops::Range<i64>) {
    for number in numbers {
        log.append_wait(dated(number, 1_000 + number), Durability::Synced).unwrap();
    }
}

fn numbers(log: &Log) -> Vec<(i64, i64)> {
    read_all(log).into_iter().map(|(offset, value)| (offset, value.parse().unwrap())).collect()
}

fn equal(range: core::ops::Range<i64>) -> Vec<(i64, i64)> {
    range.map(|number| (number, number)).collect()
}

fn logs(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir.join("orders-0")).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| Path::new(name).extension().is_some_and(|ending| ending == "log"));
    names.sort();
    names
}

/// 4 KiB segments: 8 records each.
fn small() -> StoreBuilder {
    Store::builder().segment_bytes_max(4096)
}

#[test]
fn deleted_records_are_out_of_range_and_stay_deleted_over_any_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = small().open(dir.path()).unwrap();
    let log = new_log(&store);
    fill(&log, 0..30);
    let before = logs(dir.path()).len();
    assert_eq!(log.delete_records(Some(at(12))).unwrap(), at(12));
    assert_eq!(log.delete_records(Some(at(5))).unwrap(), at(12), "there is no way back");
    assert_eq!(logs(dir.path()).len(), before - 1, "one whole segment lies below");
    let refused = log.fetch(at(11), FetchLimits::default(), IsolationLevel::ReadUncommitted);
    let Err(FetchError::OutOfRange { asked, start, end }) = refused else { panic!("{refused:?}") };
    assert_eq!((asked, start, end), (at(11), at(12), at(30)));
    assert_eq!(numbers(&log), equal(12..30));
    // Dropped, closed, and closed with the watermark lost: it starts there each time.
    drop((log, store));
    for life in 0..3 {
        let store = small().open(dir.path()).unwrap();
        let log = store.log(&partition(0)).unwrap();
        assert_eq!(log.log_start_offset(), at(12), "life {life}");
        assert_eq!(numbers(&log), equal(12..30), "life {life}");
        assert!(log.info().damage.is_empty());
        if life > 0 {
            store.close().unwrap();
        }
        drop((log, store));
        if life == 1 {
            fs::remove_file(dir.path().join("orders-0/oncelog.watermark")).unwrap();
        }
    }
}

#[test]
fn b30_no_more_is_deleted_than_is_durable() {
    let store = Store::in_memory();
    let log = new_log(&store);
    fill(&log, 0..25);
    let refused = log.delete_records(Some(at(26))).unwrap_err();
    assert!(
        matches!(refused, TrimError::OutOfRange { asked, end, .. } if asked == at(26) && end == at(25)),
        "{refused:?}"
    );
    assert_eq!(refused.kafka_code(), 1);
    assert_eq!(log.delete_records(None).unwrap(), at(25), "all of them");
    assert_eq!(numbers(&log), []);
    fill(&log, 25..27);
    assert_eq!(numbers(&log), equal(25..27));
}

#[test]
fn a_reader_in_a_segment_that_is_deleted_reads_it_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = small().open(dir.path()).unwrap();
    let log = new_log(&store);
    fill(&log, 0..30);
    let fetched =
        log.fetch(at(0), FetchLimits::default(), IsolationLevel::ReadUncommitted).unwrap();
    log.delete_records(Some(at(20))).unwrap();
    let values: Vec<i64> = fetched.records().map(|record| record.unwrap().offset.get()).collect();
    assert_eq!(values.first(), Some(&0));
    assert_eq!(values.len(), usize::try_from(fetched.next_offset.get()).unwrap());
}

#[test]
fn retention_by_size_keeps_at_least_what_is_to_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = small().retention_bytes_max(9_000).open(dir.path()).unwrap();
    let log = new_log(&store);
    fill(&log, 0..60);
    let done = log.enforce_retention().unwrap();
    assert!(done.segments_deleted > 3, "{done:?}");
    let kept: u32 = log.info().segments.iter().map(|segment| segment.bytes).sum();
    assert!((9_000..9_000 + 4_096).contains(&kept), "{kept}");
    assert_eq!(log.enforce_retention().unwrap().segments_deleted, 0);
    assert_eq!(logs(dir.path()).len(), log.info().segments.len());
    let start = log.log_start_offset().get();
    assert_eq!(numbers(&log), equal(start..60));
    assert_eq!(store.usage().segments_deleted, done.segments_deleted);
}

/// A store in memory whose clock is moved by hand.
fn timed(clock: &ManualClock, drive: Drive) -> Store {
    small()
        .directory(Arc::new(MemoryDirectory::new()))
        .clock(Arc::new(clock.clone()))
        .drive(drive)
        .retention_age_max(Duration::from_mins(10))
        .retention_check_interval(Duration::from_secs(1))
        .open("/")
        .unwrap()
}

#[test]
fn retention_by_age_happens_by_itself_and_rolls_what_is_left_empty() {
    let clock = ManualClock::new(TimestampMs::new(1_000));
    let store = timed(&clock, Drive::Manual);
    let log = new_log(&store);
    fill(&log, 0..20);
    clock.advance(Duration::from_mins(9));
    let _busy = store.turn();
    assert_eq!(numbers(&log), equal(0..20), "too young");
    clock.advance(Duration::from_mins(2));
    let _busy = store.turn();
    assert_eq!(numbers(&log), []);
    let info = log.info();
    assert_eq!((info.log_start_offset, info.segments.len()), (at(20), 1));
    assert_eq!(info.segments[0].base_offset, at(20), "an empty segment where the log ends");
    fill(&log, 20..23);
    assert_eq!(numbers(&log), equal(20..23));
}

#[test]
fn row_97_a_clock_that_jumps_ten_years_ahead_deletes_nothing() {
    let clock = ManualClock::new(TimestampMs::new(1_000));
    for drive in [Drive::Manual, Drive::Inline] {
        let store = timed(&clock, drive);
        let log = new_log(&store);
        let now = clock.clone();
        for number in 0..20 {
            let timestamp = log_core::clock::Clock::timestamp(&now).get();
            log.append_wait(dated(number, timestamp), Durability::Synced).unwrap();
        }
        let before = log_core::clock::Clock::timestamp(&clock);
        clock.jump(TimestampMs::new(before.get() + 10 * 365 * 86_400_000));
        assert_eq!(log.enforce_retention().unwrap().segments_deleted, 0);
        clock.jump(TimestampMs::new(before.get() - 86_400_000));
        assert_eq!(log.enforce_retention().unwrap().segments_deleted, 0);
        assert_eq!(numbers(&log), equal(0..20));
        // Put right again, time goes on and what is old goes.
        clock.jump(before);
        clock.advance(Duration::from_mins(11));
        assert!(log.enforce_retention().unwrap().segments_deleted > 0);
        assert_eq!(numbers(&log), []);
    }
}

#[test]
fn the_io_thread_deletes_what_is_too_much_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let store = small()
        .retention_bytes_max(4_096)
        .retention_check_interval(Duration::from_millis(1))
        .open(dir.path())
        .unwrap();
    let log = new_log(&store);
    // Each append wakes the thread, which looks again once the interval is over.
    for number in 0.. {
        log.append_wait(dated(number, 1_000), Durability::Synced).unwrap();
        if log.log_start_offset() > at(100) {
            break;
        }
    }
    assert!(log.info().segments.len() < 20);
}

#[test]
fn a_topic_that_keeps_everything_outlives_a_store_that_does_not() {
    let store = small()
        .retention_bytes_max(0)
        .directory(Arc::new(MemoryDirectory::new()))
        .drive(Drive::Inline)
        .open("/")
        .unwrap();
    let config = TopicConfig::new().retention_unlimited();
    store.create_topic_with(&"orders".parse().unwrap(), 1, config).unwrap();
    let log = store.log(&partition(0)).unwrap();
    fill(&log, 0..20);
    assert_eq!(log.enforce_retention().unwrap().segments_deleted, 0);
    store.alter_topic(&"orders".parse().unwrap(), TopicConfig::new()).unwrap();
    assert!(log.enforce_retention().unwrap().segments_deleted > 0);
    assert_eq!(numbers(&log), []);
}

#[test]
fn b25_a_truncated_log_goes_on_where_it_was_cut() {
    for path in [None, Some(tempfile::tempdir().unwrap())] {
        let store = match &path {
            None => small()
                .directory(Arc::new(MemoryDirectory::new()))
                .drive(Drive::Inline)
                .open("/")
                .unwrap(),
            Some(dir) => small().open(dir.path()).unwrap(),
        };
        let log = new_log(&store);
        fill(&log, 0..30);
        for end in [30, 31] {
            log.truncate_to(at(end)).unwrap();
            assert_eq!(log.log_end_offset(), at(30), "nothing to cut at {end}");
        }
        log.truncate_to(at(21)).unwrap();
        assert_eq!((log.log_end_offset(), log.high_watermark()), (at(21), at(21)));
        assert_eq!(numbers(&log), equal(0..21));
        log.append_wait(dated(99, 1_000), Durability::Synced).unwrap();
        let mut expected = equal(0..21);
        expected.push((21, 99));
        assert_eq!(numbers(&log), expected);
        log.truncate_to(at(8)).unwrap();
        fill(&log, 8..40);
        assert_eq!(numbers(&log), equal(0..40));
        log.truncate_to(at(0)).unwrap();
        assert_eq!(numbers(&log), []);
        fill(&log, 0..20);
        assert_eq!(numbers(&log), equal(0..20));
        if let Some(dir) = path {
            store.close().unwrap();
            drop((log, store));
            let store = small().open(dir.path()).unwrap();
            assert!(store.recovered()[0].clean);
            assert_eq!(numbers(&store.log(&partition(0)).unwrap()), equal(0..20));
        }
    }
}

#[test]
fn b28_a_batch_that_holds_the_place_goes_whole_and_leaves_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = small().open(dir.path()).unwrap();
    let log = new_log(&store);
    log.append_wait(batch(&["a", "b"]), Durability::Synced).unwrap();
    log.append_wait(batch(&["c", "d", "e"]), Durability::Synced).unwrap();
    log.truncate_to(at(4)).unwrap();
    assert_eq!(log.log_end_offset(), at(4));
    log.append_wait(batch(&["f"]), Durability::Synced).unwrap();
    let expected = [(0, "a"), (1, "b"), (4, "f")].map(|(offset, value)| (offset, value.to_owned()));
    assert_eq!(read_all(&log), expected);
    drop((log, store));
    let store = small().open(dir.path()).unwrap();
    let log = store.log(&partition(0)).unwrap();
    assert_eq!(read_all(&log), expected);
    assert!(log.info().damage.is_empty());
}

#[test]
fn b26_a_log_can_start_anew_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let store = small().open(dir.path()).unwrap();
    let log = new_log(&store);
    let mut number = 0;
    for start in [1_000, 50, 50, 0, 60, 30] {
        fill(&log, number..number + 30);
        log.truncate_fully_and_start_at(at(start)).unwrap();
        let info = log.info();
        assert_eq!((info.log_start_offset, info.log_end_offset), (at(start), at(start)));
        assert_eq!(info.high_watermark, at(start));
        assert_eq!(logs(dir.path()), [format!("{start:020}.log")]);
        number = start;
    }
    fill(&log, 30..50);
    log.delete_records(Some(at(45))).unwrap();
    log.truncate_to(at(20)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (at(20), at(20)), "below it all");
    fill(&log, 20..22);
    drop((log, store));
    let store = small().open(dir.path()).unwrap();
    let log = store.log(&partition(0)).unwrap();
    assert_eq!((log.log_start_offset(), numbers(&log)), (at(20), equal(20..22)));
}

#[test]
fn appends_of_other_threads_go_on_through_a_truncation() {
    let dir = tempfile::tempdir().unwrap();
    let store = small().open(dir.path()).unwrap();
    let log = new_log(&store);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let log = log.clone();
            scope.spawn(move || {
                for number in 0..100 {
                    let appended = log.append_wait(dated(number, 1_000), Durability::Synced);
                    assert!(appended.is_ok(), "{appended:?}");
                    let start = log.log_start_offset();
                    let read =
                        log.fetch(start, FetchLimits::default(), IsolationLevel::ReadUncommitted);
                    assert!(!matches!(read, Err(FetchError::Corrupt { .. })), "{read:?}");
                }
            });
        }
        for _ in 0..15 {
            log.truncate_to(at(log.log_end_offset().get() / 2)).unwrap();
            log.delete_records(Some(at(log.high_watermark().get() / 3))).ok();
        }
    });
    assert!(log.info().damage.is_empty());
    let offsets: Vec<i64> = read_all(&log).into_iter().map(|(offset, _)| offset).collect();
    let (first, end) = (log.log_start_offset().get(), log.log_end_offset().get());
    assert_eq!(offsets, (first..end).collect::<Vec<_>>());
}

#[test]
fn b23_epochs_follow_what_is_cut_at_either_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = small().open(dir.path()).unwrap();
    let log = new_log(&store);
    fill(&log, 0..10);
    assert_eq!(log.end_offset_for_epoch(epoch(0)), Some((epoch(0), at(10))));
    assert_eq!(log.end_offset_for_epoch(epoch(1)), None);
    log.truncate_to(at(5)).unwrap();
    assert_eq!(log.end_offset_for_epoch(epoch(0)), Some((epoch(0), at(5))));
    log.truncate_fully_and_start_at(at(77)).unwrap();
    assert_eq!(log.end_offset_for_epoch(epoch(0)), Some((epoch(0), at(77))));
    let text = fs::read_to_string(dir.path().join("orders-0/leader-epoch-checkpoint")).unwrap();
    assert_eq!(text, "0\n1\n0 77\n");
}

/// Names in the partition's directory that say something of offset `from` or later.
fn files_from(dir: &Path, from: i64) -> Vec<String> {
    let names = fs::read_dir(dir.join("orders-0")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.split('.').next().unwrap().parse().is_ok_and(|base: i64| base >= from))
        .collect()
}

#[test]
fn a_truncation_leaves_nothing_that_vouches_for_what_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let open = || small().checkpoint_bytes(0).drive(Drive::Inline).open(dir.path()).unwrap();
    let store = open();
    let log = new_log(&store);
    fill(&log, 0..45);
    store.close().unwrap();
    drop((log, store));
    let store = open();
    let log = store.log(&partition(0)).unwrap();
    fill(&log, 45..50);
    let bases: Vec<i64> =
        log.info().segments.iter().map(|segment| segment.base_offset.get()).collect();
    let inside = bases[2] + 1;
    log.truncate_to(at(inside)).unwrap();
    // An index says nothing without a seal or a checkpoint.
    let left = files_from(dir.path(), bases[2]);
    let name = |ending: &str| format!("{:020}.{ending}", bases[2]);
    assert!(
        left.iter().all(|left| ["log", "index", "timeindex"].map(name).contains(left)),
        "{left:?}"
    );
    assert!(!dir.path().join("orders-0/oncelog.checkpoint").exists());
    // Others of the same lengths in their place, never sealed: nothing old is believed of them.
    for number in inside..50 {
        log.append_wait(dated(7_000 + number, 1_000 + number), Durability::Synced).unwrap();
    }
    drop((log, store));
    let store = open();
    let log = store.log(&partition(0)).unwrap();
    let mut expected = equal(0..inside);
    expected.extend((inside..50).map(|number| (number, 7_000 + number)));
    assert_eq!(numbers(&log), expected);
    assert!(log.info().damage.is_empty());
    log.truncate_fully_and_start_at(at(9)).unwrap();
    assert_eq!(files_from(dir.path(), 0), [format!("{:020}.log", 9)]);
}
