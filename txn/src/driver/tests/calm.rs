//! Transactions while nothing fails: what readers see, and who is shut out.

use core::time::Duration;

use log_core::clock::Clock;
use log_core::format::TransactionResult;
use log_core::ids::ProducerEpoch;
use log_core::{IsolationLevel, Store};

use super::*;
use crate::coordinator::CoordinatorSettings;
use crate::driver::TransactionCoordinator;
use crate::error::TransactionError;
use crate::ids::TransactionalId;
use crate::producer::{BeginError, CommitError};
use crate::state::TransactionState;

fn nothing() -> Vec<Vec<String>> {
    vec![Vec::new(); 3]
}

fn everywhere(values: &[&str]) -> Vec<Vec<String>> {
    vec![values.iter().map(|value| (*value).to_owned()).collect(); 3]
}

#[test]
fn records_are_seen_in_all_partitions_when_commit_returns_and_not_before() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "a", 2).unwrap();
    producer.flush().unwrap();
    assert_eq!(committed(&store), nothing());
    assert_eq!(read(&store, 0, IsolationLevel::ReadUncommitted), ["a", "a"]);
    transaction.commit().unwrap();
    assert_eq!(committed(&store), everywhere(&["a", "a"]));
    assert!(is_stable(&store));
}

#[test]
fn an_aborted_and_a_dropped_transaction_are_never_seen_and_the_producer_goes_on() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "aborted", 1).unwrap();
    transaction.abort().unwrap();
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "dropped", 1).unwrap();
    drop(transaction);
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "kept", 1).unwrap();
    transaction.commit().unwrap();
    assert_eq!(committed(&store), everywhere(&["kept"]));
    assert!(is_stable(&store));
    let found = markers(&store, 1);
    let results: Vec<_> = found.values().flatten().copied().collect();
    // What was never flushed may not have reached the log: its partition is marked all the same.
    let aborted = TransactionResult::Abort;
    assert_eq!(results, [aborted, aborted, TransactionResult::Commit]);
}

#[test]
fn every_transaction_has_an_epoch_of_its_own() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    for _ in 0..3 {
        let transaction = producer.begin().unwrap();
        send_all(&transaction, "v", 1).unwrap();
        transaction.commit().unwrap();
    }
    let epochs: Vec<_> = markers(&store, 0).keys().map(|(_, epoch)| epoch.get()).collect();
    assert_eq!(epochs, [1, 2, 3], "a marker carries the epoch after its transaction's");
}

#[test]
fn an_empty_transaction_leaves_no_trace() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    producer.begin().unwrap().commit().unwrap();
    producer.begin().unwrap().abort().unwrap();
    let log = store.log(&partition(0)).unwrap();
    assert_eq!(log.log_end_offset(), log.log_start_offset());
}

#[test]
fn a_second_producer_of_the_id_aborts_the_first_ones_transaction_and_shuts_it_out() {
    let store = memory(&clock());
    let first = build(&store, "t").unwrap();
    let transaction = first.begin().unwrap();
    send_all(&transaction, "zombie", 1).unwrap();
    first.flush().unwrap();
    let second = build(&store, "t").unwrap();
    assert!(is_stable(&store), "what the first left open is aborted when the second is there");
    let error = transaction.commit().unwrap_err();
    assert!(error.is_aborted() && error.is_fatal(), "{error}");
    assert!(first.begin().unwrap_err().is_fatal());
    let transaction = second.begin().unwrap();
    send_all(&transaction, "living", 1).unwrap();
    transaction.commit().unwrap();
    assert_eq!(committed(&store), everywhere(&["living"]));
}

#[test]
fn a_zombie_that_sends_after_it_was_shut_out_reaches_no_partition() {
    let store = memory(&clock());
    let first = build(&store, "t").unwrap();
    let _second = build(&store, "t").unwrap();
    let transaction = first.begin().unwrap();
    assert!(send_all(&transaction, "zombie", 1).unwrap_err().is_fatal());
    let error = transaction.commit().unwrap_err();
    assert!(matches!(error, CommitError::NotSent(_)) && error.is_aborted(), "{error}");
    assert_eq!(read(&store, 0, IsolationLevel::ReadUncommitted), Vec::<String>::new());
}

/// The story: an old client's late batch came after the abort marker and began a transaction that
/// nobody ended (KIP-890).
#[test]
fn a_batch_that_comes_after_its_transactions_end_is_refused() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    let coordinator = TransactionCoordinator::open(&store).unwrap();
    let id = TransactionalId::new("t").unwrap();
    let record = coordinator.describe(&id).unwrap().record;
    let before = crate::ProducerIdAndEpoch { id: record.producer_id, epoch: record.producer_epoch };
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "v", 1).unwrap();
    transaction.commit().unwrap();
    let late = coordinator.verify(&id, before, &partition(0)).unwrap_err();
    assert!(matches!(late, TransactionError::ProducerFenced { .. }), "{late}");
    let mut batch = log_core::format::BatchBuilder::new(
        log_core::format::BatchOptions::new()
            .producer(before.id, before.epoch, log_core::ids::Sequence::ZERO.increment(1))
            .transactional(),
    );
    let timestamp = TimestampMs::new(1);
    let record = log_core::format::NewRecord { timestamp, key: None, value: None, headers: &[] };
    batch.push(&record).unwrap();
    let log = store.log(&partition(0)).unwrap();
    let refused = log.append(batch.build().unwrap(), log_core::Durability::Synced).unwrap_err();
    assert_eq!(refused.kafka_code(), 47, "{refused}");
    assert!(is_stable(&store));
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_goes_on_after_an_abort() {
    let clock = clock();
    let store = memory(&clock);
    let builder = Producer::builder(&store).transactional_id("t");
    let producer = builder.transaction_timeout(Duration::from_secs(30)).build().unwrap();
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "late", 1).unwrap();
    producer.flush().unwrap();
    clock.advance(Duration::from_secs(29));
    let _ = producer.turn();
    assert!(!is_stable(&store));
    clock.advance(Duration::from_secs(11));
    let _ = producer.turn();
    assert!(is_stable(&store), "readers of committed data go on");
    let error = transaction.commit().unwrap_err();
    assert!(error.is_aborted() && !matches!(error, CommitError::Indeterminate(_)), "{error}");
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "in time", 1).unwrap();
    transaction.commit().unwrap();
    assert_eq!(committed(&store), everywhere(&["in time"]));
}

#[test]
fn an_operator_aborts_a_transaction_by_its_id() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "v", 1).unwrap();
    producer.flush().unwrap();
    let coordinator = TransactionCoordinator::open(&store).unwrap();
    let listed = coordinator.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].record.state, TransactionState::Ongoing);
    assert_eq!(listed[0].record.partitions.as_ref().unwrap().len(), 3);
    coordinator.abort(&listed[0].id, WAIT).unwrap();
    assert!(is_stable(&store));
    assert!(transaction.commit().unwrap_err().is_aborted());
    let unknown = TransactionalId::new("nobody").unwrap();
    let error = coordinator.abort(&unknown, WAIT).unwrap_err();
    assert!(matches!(error, TransactionError::InvalidProducerIdMapping { .. }), "{error}");
}

#[test]
fn misuse_is_refused_by_name() {
    let store = memory(&clock());
    let plain = Producer::builder(&store).build().unwrap();
    assert!(matches!(plain.begin(), Err(BeginError::NotTransactional)));
    let producer = build(&store, "t").unwrap();
    let topic = topic();
    let outside = producer.send(ProducerRecord::new(&topic)).unwrap_err();
    assert_eq!(outside.kafka_code(), 48, "{outside}");
    let open = producer.begin().unwrap();
    assert!(matches!(producer.begin(), Err(BeginError::Open)));
    open.commit().unwrap();
    assert!(producer.settle().unwrap().is_none());
    let long = Producer::builder(&store).transactional_id("u");
    let error = long.transaction_timeout(Duration::from_hours(1)).build().unwrap_err();
    assert!(error.to_string().contains("transaction timeout"), "{error}");
}

#[test]
fn a_record_that_is_not_sent_leaves_only_the_abort() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "v", 1).unwrap();
    let topic = "unknown".parse().unwrap();
    let _refused = transaction.send(ProducerRecord::new(&topic)).unwrap_err();
    let error = transaction.commit().unwrap_err();
    assert!(matches!(error, CommitError::NotSent(_)) && error.is_aborted(), "{error}");
    assert!(!error.is_fatal());
    assert_eq!(committed(&store), nothing());
    assert!(is_stable(&store));
}

/// Many producers, each its own id, over the same partitions.
#[test]
fn transactions_of_many_producers_end_each_for_itself() {
    let store = memory(&clock());
    let producers: Vec<_> = (0..5).map(|n| build(&store, &format!("t{n}")).unwrap()).collect();
    let open: Vec<_> = producers.iter().map(|producer| producer.begin().unwrap()).collect();
    for (n, transaction) in open.iter().enumerate() {
        send_all(transaction, &n.to_string(), 1).unwrap();
    }
    for producer in &producers {
        producer.flush().unwrap();
    }
    let mut open = open.into_iter();
    let first = open.next().unwrap();
    for (n, transaction) in open.enumerate() {
        if n % 2 == 0 { transaction.commit().unwrap() } else { transaction.abort().unwrap() }
    }
    assert_eq!(committed(&store), nothing(), "the first one is open, and all stand behind it");
    first.commit().unwrap();
    assert_eq!(committed(&store), everywhere(&["0", "1", "3"]));
}

#[test]
fn row_96_an_exhausted_epoch_leads_to_a_new_id_and_no_epoch_comes_twice() {
    let store = memory(&clock());
    let producer = build(&store, "t").unwrap();
    let topic = topic();
    let mut last = None;
    for n in 0..32_768_u32 {
        let transaction = producer.begin().unwrap();
        let record = ProducerRecord::new(&topic).partition(0).value(b"v");
        let _ticket = transaction.send(record).unwrap();
        transaction.commit().unwrap();
        if n % 4096 == 0 || n > 32_760 {
            let now = producer.identity().unwrap();
            assert!(last.is_none_or(|last| last < now), "{last:?} then {now:?}");
            assert!(now.epoch < ProducerEpoch::new(32_767).unwrap());
            last = Some(now);
        }
    }
    let found = markers(&store, 0);
    assert_eq!(found.len(), 32_768);
    assert!(found.values().all(|results| *results == [TransactionResult::Commit]));
    let ids: std::collections::BTreeSet<_> = found.keys().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), 2);
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    let clock = clock();
    let store = memory(&clock);
    let settings = CoordinatorSettings::default().expiration(Duration::from_hours(1));
    let coordinator = TransactionCoordinator::open_with(&store, settings).unwrap();
    drop(build(&store, "t").unwrap());
    assert_eq!(coordinator.list().unwrap().len(), 1);
    clock.advance(Duration::from_hours(1));
    let _ = coordinator.turn();
    assert!(coordinator.list().unwrap().is_empty());
}

/// With threads, as users have it.
#[test]
fn producers_with_threads_commit_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    store.create_topic(&topic(), PARTITIONS).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                let producer = build(store, &format!("t{thread}")).unwrap();
                for n in 0..8 {
                    let transaction = producer.begin().unwrap();
                    send_all(&transaction, &format!("{thread}.{n}"), 1).unwrap();
                    if n % 4 == 3 {
                        transaction.abort().unwrap();
                    } else {
                        transaction.commit().unwrap();
                    }
                }
            });
        }
    });
    for mut seen in committed(&store) {
        seen.sort();
        let all =
            (0..4).flat_map(|t| (0..8).filter(|n| n % 4 != 3).map(move |n| format!("{t}.{n}")));
        assert_eq!(seen, all.collect::<Vec<_>>());
    }
    store.close().unwrap();
    drop(store);
    // A producer's thread may still be letting go of the old one.
    let clock = log_core::clock::SystemClock::new();
    let store = loop {
        match Store::open(directory.path()) {
            Ok(store) => break store,
            Err(error) => assert!(matches!(error, OpenError::Locked { .. }), "{error}"),
        }
        let soon = clock.tick().after(Duration::from_millis(5));
        let _ = clock.wait(&log_core::clock::Signal::default(), 0, Some(soon));
    };
    TransactionCoordinator::open(&store).unwrap();
    assert!(is_stable(&store));
}
