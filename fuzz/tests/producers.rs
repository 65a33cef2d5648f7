//! Five batches under way and a fault in their midst (I5), and what a retry finds afterwards.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::{Faults, SimDirectory};
use log_core::entropy::SeededEntropy;
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::{
    AppendError, Drive, Durability, FetchLimits, IsolationLevel, Log, NotAppended, Offset, Store,
    Ticket, TopicPartition,
};

fn store(directory: &SimDirectory) -> Store {
    Store::builder()
        .directory(Arc::new(directory.clone()))
        .clock(Arc::new(ManualClock::new(TimestampMs::new(5))))
        .entropy(Arc::new(SeededEntropy::new(1)))
        .drive(Drive::Manual)
        .open("/store")
        .unwrap()
}

fn batch(sequence: i32) -> RecordBatch {
    let (id, epoch) = (ProducerId::new(7).unwrap(), ProducerEpoch::new(0).unwrap());
    let options = BatchOptions::new().producer(id, epoch, Sequence::new(sequence).unwrap());
    let mut builder = BatchBuilder::new(options);
    let value = format!("value {sequence}");
    let timestamp = TimestampMs::new(5);
    let value = Some(value.as_bytes());
    builder.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
    builder.build().unwrap()
}

fn values(log: &Log) -> Vec<String> {
    let limits = FetchLimits::default();
    let fetched = log.fetch(Offset::ZERO, limits, IsolationLevel::ReadUncommitted).unwrap();
    fetched
        .records()
        .map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap())
        .collect()
}

#[test]
fn i5_the_failure_of_one_batch_fails_every_later_one_and_a_retry_in_order_mends_it() {
    for faults in [
        Faults { write_error: u16::MAX, ..Faults::default() },
        Faults { sync_error: u16::MAX, ..Faults::default() },
    ] {
        for seed in 0..40 {
            let directory = SimDirectory::new(seed);
            let store = store(&directory);
            let topic = "t".parse().unwrap();
            store.create_topic(&topic, 1).unwrap();
            let partition = TopicPartition::new(topic, 0);
            let log = store.log(&partition).unwrap();
            log.append_wait(batch(0), Durability::Synced).unwrap();

            directory.set_faults(faults);
            let tickets: Vec<Ticket> =
                (1..6).map(|n| log.append(batch(n), Durability::Synced).unwrap()).collect();
            while store.turn() {}
            // Four of five are never looked at by their fault, and fail all the same.
            for ticket in tickets {
                let outcome = ticket.try_result().unwrap();
                assert!(matches!(outcome, Err(AppendError::Indeterminate(_))), "{outcome:?}");
            }
            let later = log.append(batch(6), Durability::Synced).unwrap_err();
            assert!(matches!(later, AppendError::NotAppended(NotAppended::Offline(_))), "{later}");

            directory.set_faults(Faults::default());
            let log = store.reopen(&partition).unwrap();
            let found = log.log_end_offset().get();
            assert!((1..=6).contains(&found), "a prefix: {found}");
            for sequence in 1..7 {
                let appended = log.append_wait(batch(sequence), Durability::Synced).unwrap();
                assert_eq!(appended.base_offset.get(), i64::from(sequence));
                assert_eq!(appended.duplicate, i64::from(sequence) < found);
            }
            let expected: Vec<String> = (0..7).map(|n| format!("value {n}")).collect();
            assert_eq!(values(&log), expected);
        }
    }
}

#[test]
fn a_batch_refused_for_want_of_space_leaves_no_trace_and_no_gap_for_the_next() {
    let directory = SimDirectory::new(9);
    let store = store(&directory);
    let topic = "t".parse().unwrap();
    store.create_topic(&topic, 1).unwrap();
    let log = store.log(&TopicPartition::new(topic, 0)).unwrap();
    log.append_wait(batch(0), Durability::Synced).unwrap();
    let before = log.producers();
    directory.set_capacity(Some(0));
    let mut sequence = 1;
    let refused = loop {
        match log.append(batch(sequence), Durability::Synced) {
            Ok(_) => sequence += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::NotAppended(NotAppended::Full { .. })), "{refused}");
    // The next one would leave a gap, the refused one is not taken for known.
    let next = log.append(batch(sequence + 1), Durability::Synced).unwrap_err();
    assert_eq!(next.kafka_code(), 45);
    let again = log.append(batch(sequence), Durability::Synced).unwrap_err();
    assert_eq!(again.kafka_code(), 56);
    assert_eq!(before.len(), log.producers().len());
}
