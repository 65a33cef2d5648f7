//! What a callback may do: anything that does not wait, whatever the store is doing meanwhile.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use log_core::{
    CloseError, Drive, Durability, FaultKind, Log, OpenError, Store, TopicError, TopicName,
};

use crate::log::{batch, new_log, partition};
use crate::world::World;

/// What a callback saw that asked the store for a log, and whether the append it answers was done.
type Seen = (bool, Result<Log, TopicError>);

/// An append to `log` whose callback asks `store` for the log of partition 1.
fn append_and_ask(store: &Store, log: &Log) -> Receiver<Seen> {
    let (tell, seen) = channel();
    let store = store.clone();
    let ticket = log.append(batch(&["value"]), Durability::Synced).unwrap();
    ticket.on_done(move |outcome| {
        tell.send((outcome.is_ok(), store.log(&partition(1)))).unwrap();
    });
    seen
}

/// Two partitions on a disk driven by hand, so that nothing is answered by itself.
fn scene() -> (World, Store, [Log; 2]) {
    let mut world = World::new(7);
    let (store, _) = world.open();
    let topic: TopicName = "orders".parse().unwrap();
    store.create_partitions(&topic, 2).unwrap();
    let logs = [0, 1].map(|number| store.log(&partition(number)).unwrap());
    (world, store, logs)
}

#[test]
fn a_callback_may_ask_for_a_log_while_a_partition_is_reopened() {
    let (_world, store, [first, second]) = scene();
    // One is answered because its partition ends, the other by the I/O that the reopening waits for.
    let (ended, other) = (append_and_ask(&store, &first), append_and_ask(&store, &second));
    let _busy = store.turn();
    store.reopen(&partition(0)).unwrap();
    let (done, log) = ended.try_recv().unwrap();
    assert!(!done && log.is_ok(), "{log:?}");
    while store.turn() {}
    let (done, log) = other.try_recv().unwrap();
    assert!(done && log.is_ok(), "{log:?}");
}

#[test]
fn a_callback_may_ask_for_a_log_while_a_topic_is_deleted() {
    let (_world, store, logs) = scene();
    let asked = logs.map(|log| append_and_ask(&store, &log));
    store.delete_topic(&"orders".parse().unwrap()).unwrap();
    for seen in asked {
        let (done, log) = seen.try_recv().unwrap();
        assert!(!done && log.is_ok(), "it is there until all its answers are given: {log:?}");
    }
    assert!(matches!(store.log(&partition(1)), Err(TopicError::Unknown { .. })));
}

#[test]
fn a_callback_may_ask_for_a_log_while_the_store_is_closed() {
    let (_world, store, logs) = scene();
    let asked = logs.map(|log| append_and_ask(&store, &log));
    store.close().unwrap();
    for seen in asked {
        let (done, log) = seen.try_recv().unwrap();
        assert!(done && matches!(log, Err(TopicError::Closed)), "{log:?}");
    }
}

#[test]
fn what_would_wait_is_refused_in_a_callback() {
    let store = Store::in_memory();
    let log = new_log(&store);
    let topic: TopicName = "others".parse().unwrap();
    let (tell, seen) = channel();
    let (inner, log_inside) = (store.clone(), log.clone());
    log.append(batch(&["value"]), Durability::Synced).unwrap().on_done(move |_| {
        let reentrant = |error: TopicError| {
            matches!(error, TopicError::Io(fault) if fault.kind() == FaultKind::Reentrant)
        };
        let refused = [
            reentrant(inner.create_topic(&topic, 1).unwrap_err()),
            reentrant(inner.create_partitions(&"orders".parse().unwrap(), 2).unwrap_err()),
            reentrant(inner.delete_topic(&"orders".parse().unwrap()).unwrap_err()),
            matches!(inner.reopen(&partition(0)), Err(OpenError::Closed)),
            matches!(inner.close(), Err(CloseError { faults, .. }) if faults.len() == 1),
            log_inside.flush().is_err(),
            log_inside.delete_records(None).is_err(),
            log_inside.truncate_to(log_core::Offset::ZERO).is_err(),
            !inner.turn(),
        ];
        // What does not wait is not refused.
        let appended = log_inside.append(batch(&["another"]), Durability::Synced).is_ok();
        tell.send((refused, appended)).unwrap();
    });
    let (refused, appended) = seen.try_recv().unwrap();
    assert_eq!(refused, [true; 9]);
    assert!(appended);
    assert_eq!(log.log_end_offset().get(), 2);
}

#[test]
fn callbacks_of_the_io_thread_ask_for_logs_through_reopenings_and_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder().drive(Drive::Thread).open(dir.path()).unwrap();
    store.create_topic(&"orders".parse().unwrap(), 2).unwrap();
    let mut asked = Vec::new();
    for _ in 0..20 {
        for number in [0, 1] {
            let log = store.log(&partition(number)).unwrap();
            asked.extend((0..5).map(|_| append_and_ask(&store, &log)));
        }
        store.reopen(&partition(0)).unwrap();
    }
    store.close().unwrap();
    for seen in asked {
        let (_, log) = seen.recv_timeout(Duration::from_mins(1)).unwrap();
        assert!(matches!(log, Ok(_) | Err(TopicError::Closed)), "{log:?}");
    }
}
