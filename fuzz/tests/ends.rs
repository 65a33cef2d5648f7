//! A log cut at either end, stopped at every one of its disk operations: what was there or what
//! was to be there, never anything else, and nothing of it taken for damage.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::{SimDirectory, Stop};
use log_core::entropy::SeededEntropy;
use log_core::format::{BatchBuilder, BatchOptions, NewRecord};
use log_core::ids::TimestampMs;
use log_core::{
    Drive, Durability, FetchLimits, IsolationLevel, Log, Offset, OpenError, Store, TopicPartition,
    TrimError,
};

fn at(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

fn open(disk: &SimDirectory) -> Store {
    try_open(disk).unwrap()
}

fn try_open(disk: &SimDirectory) -> Result<Store, OpenError> {
    Store::builder()
        .directory(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(TimestampMs::new(1_000))))
        .entropy(Arc::new(SeededEntropy::new(disk.operations())))
        .drive(Drive::Manual)
        .segment_bytes_max(4096)
        .retention_bytes_max(5_000)
        .open("/store")
}

fn log(store: &Store) -> Log {
    store.log(&TopicPartition::new("t".parse().unwrap(), 0)).unwrap()
}

fn append(log: &Log, number: i64) {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    let value = format!("{number:0900}");
    let (timestamp, value) = (TimestampMs::new(1_000), Some(value.as_bytes()));
    builder.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
    log.append_wait(builder.build().unwrap(), Durability::Synced).unwrap();
}

/// Start, end, and the offsets of the records; each says its own number.
type Shape = (i64, i64, Vec<i64>);

fn shape(log: &Log) -> Shape {
    let mut offset = log.log_start_offset();
    let mut found = Vec::new();
    loop {
        let fetched =
            log.fetch(offset, FetchLimits::default(), IsolationLevel::ReadUncommitted).unwrap();
        if fetched.is_empty() {
            break;
        }
        for record in fetched.records() {
            let record = record.unwrap();
            let value = core::str::from_utf8(&record.value.unwrap()).unwrap().parse::<i64>();
            assert_eq!(value, Ok(record.offset.get()));
            found.push(record.offset.get());
        }
        offset = fetched.next_offset;
    }
    assert!(log.info().damage.is_empty(), "{:?}", log.info().damage);
    (log.log_start_offset().get(), log.log_end_offset().get(), found)
}

fn whole(range: core::ops::Range<i64>) -> Shape {
    (range.start, range.end, range.collect())
}

/// Does `act` on a log of 20 records in five segments; `legal` may be found after a stop.
fn stopped_everywhere(act: impl Fn(&Log) -> Result<(), TrimError>, legal: &[Shape]) {
    for stop in [Stop::Cut, Stop::Crash] {
        for operations in 1.. {
            let disk = SimDirectory::new(operations);
            let store = open(&disk);
            store.create_topic(&"t".parse().unwrap(), 1).unwrap();
            let old = log(&store);
            (0..20).for_each(|number| append(&old, number));
            disk.arm(operations, stop);
            let done = act(&old);
            let struck = disk.is_over();
            disk.disarm();
            if !struck {
                assert!(done.is_ok(), "{done:?}");
                assert_eq!(Some(&shape(&old)), legal.last(), "before any stop");
            }
            drop((old, store));
            // What is found is found again after a second stop within recovery.
            for again in [0, 3, 9, 27] {
                let disk = disk.reborn();
                if again > 0 {
                    disk.arm(again, Stop::Cut);
                    drop(try_open(&disk));
                }
            }
            let disk = disk.reborn();
            let store = open(&disk);
            let found = shape(&log(&store));
            assert!(legal.contains(&found), "{stop:?} at {operations}: {found:?}");
            if done.is_ok() {
                assert_eq!(Some(&found), legal.last(), "{stop:?} at {operations}: it was done");
            }
            append(&log(&store), found.1);
            let mut expected = found;
            expected.2.push(expected.1);
            expected.1 += 1;
            assert_eq!(shape(&log(&store)), expected, "it goes on");
            drop(store);
            assert_eq!(shape(&log(&open(&disk.reborn()))), expected, "and is found again");
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn row_09_a_deletion_stopped_anywhere_leaves_a_log_without_a_gap() {
    let delete = |log: &Log| log.delete_records(Some(at(13))).map(drop);
    stopped_everywhere(delete, &[whole(0..20), whole(13..20)]);
    let retain = |log: &Log| log.enforce_retention().map(drop);
    stopped_everywhere(retain, &[whole(0..20), whole(12..20)]);
}

#[test]
fn a_truncation_stopped_anywhere_leaves_all_or_what_was_to_stay() {
    for end in [0, 4, 6, 19] {
        let truncate = |log: &Log| log.truncate_to(at(end));
        stopped_everywhere(truncate, &[whole(0..20), whole(0..end)]);
    }
}

#[test]
fn a_log_that_is_to_start_anew_stopped_anywhere_is_the_old_one_or_empty() {
    for start in [0, 4, 10, 100] {
        let restart = |log: &Log| log.truncate_fully_and_start_at(at(start));
        stopped_everywhere(restart, &[whole(0..20), whole(start..start)]);
    }
}
