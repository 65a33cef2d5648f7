//! Scenarios A and B of the format and of the log that no other file tests, each by its number.
//! `docs/scenarios.md` names the test of every one.

use std::path::Path;
use std::sync::Arc;

use log_core::disk::{Directory, MemoryDirectory, Open};
use log_core::format::{EmptyBatch, EndTxnMarker, TransactionResult, stamp};
use log_core::ids::{LeaderEpoch, ProducerEpoch, ProducerId, TimestampMs};
use log_core::{
    AppendError, Drive, Durability, FetchError, FetchLimits, Fetched, IsolationLevel, Log,
    NotAppended, Offset, OpenError, Store, StoreBuilder,
};

use crate::log::{batch, new_log, partition, read_all};

fn at(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

fn in_memory() -> StoreBuilder {
    on(&MemoryDirectory::new())
}

fn on(directory: &MemoryDirectory) -> StoreBuilder {
    Store::builder().directory(Arc::new(directory.clone())).drive(Drive::Inline)
}

/// The log of a new store, which lives as long as its handle.
fn log(builder: StoreBuilder) -> Log {
    new_log(&builder.open("/store").unwrap())
}

fn append(log: &Log, values: &[&str]) {
    log.append_wait(batch(values), Durability::Synced).unwrap();
}

/// A batch that has its offset already.
fn placed(base: i64, values: &[&str]) -> Vec<u8> {
    let mut bytes = batch(values).into_bytes();
    stamp(&mut bytes, at(base), LeaderEpoch::new(0).unwrap()).unwrap();
    bytes
}

fn replicate(log: &Log, bytes: &[u8]) -> Result<(), AppendError> {
    log.replicate_raw(bytes, Durability::Synced)?.wait().map(drop)
}

fn refusal<T: core::fmt::Debug>(result: Result<T, AppendError>) -> NotAppended {
    match result.unwrap_err() {
        AppendError::NotAppended(refusal) => refusal,
        AppendError::Indeterminate(fault) => unreachable!("{fault}"),
    }
}

fn fetch(log: &Log, from: i64, bytes_max: u32) -> Result<Fetched, FetchError> {
    log.fetch(at(from), FetchLimits::bytes(bytes_max), IsolationLevel::ReadUncommitted)
}

fn offsets(fetched: &Fetched) -> Vec<i64> {
    fetched.records().map(|record| record.unwrap().offset.get()).collect()
}

fn ends(log: &Log) -> [i64; 3] {
    [log.log_start_offset(), log.high_watermark(), log.log_end_offset()].map(Offset::get)
}

#[test]
fn a35_partitions_of_one_topic_with_two_topic_ids_are_refused() {
    let directory = MemoryDirectory::new();
    let store = on(&directory).open("/store").unwrap();
    store.create_topic(&"orders".parse().unwrap(), 2).unwrap();
    store.close().unwrap();
    drop(store);
    let path = Path::new("/store/orders-1/partition.metadata");
    directory.unlink(path).unwrap();
    let other = b"version: 0\ntopic_id: BwcHBwcHBwcHBwcHBwcHBw\n";
    directory.open(path, Open::Create).unwrap().write_at(0, other).unwrap();
    let refused = on(&directory).open("/store").map(drop).unwrap_err();
    assert!(
        matches!(&refused, OpenError::InconsistentTopicId { partition: found, .. }
            if *found == partition(1)),
        "{refused}"
    );
}

#[test]
fn b1_an_empty_log_begins_at_zero_and_shows_what_is_durable() {
    let log = log(in_memory().drive(Drive::Manual));
    assert_eq!(ends(&log), [0, 0, 0]);
    let ticket = log.append(batch(&["a", "b", "c"]), Durability::Synced).unwrap();
    assert_eq!(ends(&log), [0, 0, 3], "accepted, and not durable yet");
    let appended = ticket.wait().unwrap();
    assert_eq!([appended.base_offset, appended.last_offset].map(Offset::get), [0, 2]);
    assert_eq!(ends(&log), [0, 3, 3]);
}

#[test]
fn b2_the_high_watermark_follows_the_durable_end_both_ways() {
    let log = log(in_memory());
    replicate(&log, &placed(0, &["a", "b", "c"])).unwrap();
    assert_eq!(ends(&log), [0, 3, 3]);
    replicate(&log, &placed(3, &["d", "e", "f"])).unwrap();
    assert_eq!(ends(&log), [0, 6, 6]);
    log.truncate_to(at(3)).unwrap();
    assert_eq!(ends(&log), [0, 3, 3]);
    log.truncate_fully_and_start_at(at(4)).unwrap();
    assert_eq!(ends(&log), [4, 4, 4]);
}

#[test]
fn b4_a_batch_past_the_limit_is_refused_to_a_client_and_kept_from_a_replica() {
    let bytes = placed(0, &[&"a value of some bytes ".repeat(10)]);
    let limit = u32::try_from(bytes.len()).unwrap();
    let exact = log(in_memory().message_bytes_max(limit));
    exact.append_raw(&bytes, Durability::Synced).unwrap().wait().unwrap();
    let log = log(in_memory().message_bytes_max(limit - 1));
    let refused = refusal(log.append_raw(&bytes, Durability::Synced));
    let expected = (u64::from(limit), limit - 1, 10);
    let code = refused.kafka_code();
    assert!(
        matches!(refused, NotAppended::TooLarge { bytes, limit } if (bytes, limit, code) == expected),
        "{refused}"
    );
    assert_eq!(ends(&log), [0, 0, 0]);
    replicate(&log, &bytes).unwrap();
    assert_eq!(ends(&log), [0, 1, 1]);
}

#[test]
fn b5_batches_that_no_segment_can_hold_are_refused() {
    let log = log(in_memory().segment_bytes_max(4096).message_bytes_max(4096));
    let bytes: Vec<u8> = (0..60).flat_map(|base| placed(base, &["some value"])).collect();
    assert!(bytes.len() > 4096);
    let refused = refusal(replicate(&log, &bytes));
    assert!(matches!(refused, NotAppended::ListTooLarge { limit: 4096, .. }), "{refused}");
    assert_eq!((refused.kafka_code(), ends(&log)), (18, [0, 0, 0]));
    replicate(&log, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(ends(&log), [0, 30, 30]);
}

#[test]
fn b6_a_client_does_not_choose_its_offset() {
    let log = log(in_memory());
    let refused = refusal(log.append_raw(&placed(5, &["a"]), Durability::Synced));
    assert!(matches!(refused, NotAppended::InvalidRecord { .. }), "{refused}");
    assert_eq!((refused.kafka_code(), ends(&log)), (87, [0, 0, 0]));
}

#[test]
fn b7_replicated_offsets_rise_within_an_append_and_from_one_to_the_next() {
    let log = log(in_memory());
    let mixed = [placed(0, &["a"]), placed(2, &["b"]), placed(1, &["c"])].concat();
    let refused = refusal(replicate(&log, &mixed));
    let expected = (at(2), at(1));
    assert!(
        matches!(refused, NotAppended::OffsetsOutOfOrder { previous, offset }
            if (previous, offset) == expected),
        "{refused}"
    );
    assert_eq!(ends(&log), [0, 0, 0], "all of it or nothing");
    log.truncate_fully_and_start_at(at(7)).unwrap();
    let below = [placed(4, &["a"]), placed(5, &["b", "c"])].concat();
    let refused = refusal(replicate(&log, &below));
    assert!(
        matches!(refused, NotAppended::UnexpectedOffset { first, log_end }
            if (first, log_end) == (at(4), at(7))),
        "{refused}"
    );
    assert_eq!(ends(&log), [7, 7, 7]);
}

#[test]
fn b8_a_read_within_a_gap_goes_on_at_the_next_record_whatever_its_size() {
    let log = log(in_memory());
    let ids: Vec<i64> = (0..50).chain((50..200).step_by(7)).collect();
    for id in &ids {
        replicate(&log, &placed(*id, &[&format!("value {id}")])).unwrap();
    }
    let end = log.log_end_offset().get();
    for bytes_max in [1, 100, 100_000] {
        for asked in 0..end {
            let mut from = asked;
            let found = loop {
                let fetched = fetch(&log, from, bytes_max).unwrap();
                assert!(fetched.next_offset > at(from), "a read moves on");
                if let Some(first) = offsets(&fetched).first() {
                    break *first;
                }
                from = fetched.next_offset.get();
            };
            let expected = ids.iter().copied().find(|id| *id >= asked);
            assert_eq!(Some(found), expected, "asked for {asked}, at most {bytes_max} bytes");
        }
    }
}

#[test]
fn b9_a_fetch_is_of_whole_batches_and_never_of_none_while_there_is_one() {
    let log = log(in_memory());
    for value in ["a", "b", "c"] {
        append(&log, &[value]);
    }
    let one = u32::try_from(batch(&["a"]).into_bytes().len()).unwrap();
    for (bytes_max, expected) in [(0, 1), (1, 1), (one, 1), (2 * one - 1, 1), (2 * one, 2)] {
        let fetched = fetch(&log, 0, bytes_max).unwrap();
        assert_eq!(offsets(&fetched).len(), expected, "at most {bytes_max} bytes");
        assert_eq!(fetched.bytes.len() % usize::try_from(one).unwrap(), 0, "whole batches");
    }
}

#[test]
fn b10_a_log_that_starts_at_1024_answers_from_there_to_its_end() {
    let log = log(in_memory());
    log.truncate_fully_and_start_at(at(1024)).unwrap();
    append(&log, &["a"]);
    assert_eq!(offsets(&fetch(&log, 1024, 1000).unwrap()), [1024]);
    assert!(fetch(&log, 1025, 1000).unwrap().is_empty(), "its end");
    for asked in [0, 1023, 1026] {
        let refused = fetch(&log, asked, 1000).unwrap_err();
        let expected = (at(asked), at(1024), at(1025));
        assert!(
            matches!(refused, FetchError::OutOfRange { asked, start, end }
                if (asked, start, end) == expected),
            "{refused}"
        );
    }
}

#[test]
fn b12_nobody_reads_past_the_high_watermark() {
    let log = log(in_memory().drive(Drive::Manual));
    append(&log, &["a"]);
    append(&log, &["b"]);
    let tickets: Vec<_> = ["c", "d", "e"]
        .into_iter()
        .map(|value| log.append(batch(&[value]), Durability::Synced).unwrap())
        .collect();
    assert_eq!(ends(&log), [0, 2, 5]);
    for from in 2..=5 {
        assert!(fetch(&log, from, 1000).unwrap().is_empty(), "from {from}");
    }
    for from in 0..2 {
        assert_eq!(offsets(&fetch(&log, from, 1000).unwrap()), (from..2).collect::<Vec<_>>());
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    assert_eq!(offsets(&fetch(&log, 0, 1000).unwrap()), [0, 1, 2, 3, 4]);
}

#[test]
fn b18_a_client_sends_one_batch_of_its_own_with_records_in_it() {
    let log = log(in_memory());
    let two = [placed(0, &["a"]), placed(0, &["b"])].concat();
    let empty = EmptyBatch::gap(at(0), at(0), LeaderEpoch::new(0).unwrap()).to_bytes().unwrap();
    let marker = EndTxnMarker { result: TransactionResult::Commit, coordinator_epoch: 0 };
    let (id, epoch) = (ProducerId::new(7).unwrap(), ProducerEpoch::new(0).unwrap());
    let control = marker.to_batch(id, epoch, TimestampMs::new(1_000)).unwrap();
    let refused: [(&str, &[u8]); 4] =
        [("two", &two), ("no records", &empty), ("a marker", &control), ("nothing", &[])];
    for (what, bytes) in refused {
        let refused = refusal(log.append_raw(bytes, Durability::Synced));
        assert!(
            matches!(refused, NotAppended::InvalidRecord { .. } | NotAppended::Batch(_)),
            "{what}: {refused}"
        );
        assert_eq!(ends(&log), [0, 0, 0], "{what}");
    }
}

#[test]
fn b27_a_log_of_many_segments_truncated_to_nothing_is_one_empty_segment() {
    let log = log(in_memory().segment_bytes_max(4096).index_interval_bytes(300));
    let value = "x".repeat(200);
    for _ in 0..60 {
        append(&log, &[&value]);
    }
    assert!(log.info().segments.len() > 2);
    log.truncate_to(Offset::ZERO).unwrap();
    assert_eq!((log.info().segments.len(), ends(&log)), (1, [0, 0, 0]));
    for _ in 0..60 {
        append(&log, &[&value]);
    }
    assert_eq!(ends(&log), [0, 60, 60]);
    assert_eq!(read_all(&log).len(), 60, "its indexes lead to the new records");
}

#[test]
fn b38_a_flush_makes_everything_durable_and_says_up_to_where() {
    let log = log(in_memory());
    assert_eq!(log.flush().unwrap(), Offset::ZERO, "an empty log");
    drop(log.append(batch(&["a", "b"]), Durability::Buffered).unwrap());
    drop(log.append(batch(&["c"]), Durability::Written).unwrap());
    assert_eq!(log.flush().unwrap(), at(3));
    assert_eq!(ends(&log), [0, 3, 3]);
}

#[test]
fn b43_an_index_without_its_segment_and_what_was_being_deleted_change_nothing() {
    let directory = MemoryDirectory::new();
    let store = on(&directory).open("/store").unwrap();
    let log = new_log(&store);
    append(&log, &["a", "b"]);
    let before = read_all(&log);
    store.close().unwrap();
    drop((store, log));
    for name in [
        "00000000000000000777.index",
        "00000000000000000777.timeindex",
        "00000000000000000001.log.deleted",
        "00000000000000000000.index.deleted",
    ] {
        let path = Path::new("/store/orders-0").join(name);
        directory.open(&path, Open::Create).unwrap().write_at(0, &[7; 24]).unwrap();
    }
    for _ in 0..2 {
        let store = on(&directory).open("/store").unwrap();
        let log = store.log(&partition(0)).unwrap();
        assert_eq!(read_all(&log), before);
        assert!(log.info().damage.is_empty());
    }
}
