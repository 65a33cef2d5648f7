//! Changes of topics, stopped at every one of their disk operations: all or nothing each time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a failure is a failure")]

use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::{SimDirectory, Stop};
use log_core::entropy::SeededEntropy;
use log_core::format::{BatchBuilder, BatchOptions, NewRecord};
use log_core::ids::TimestampMs;
use log_core::{Drive, Durability, Store, TopicConfig, TopicError, TopicName, TopicPartition};

fn orders() -> TopicName {
    "orders".parse().unwrap()
}

fn append(store: &Store, number: u32) {
    let log = store.log(&TopicPartition::new(orders(), number)).unwrap();
    let mut builder = BatchBuilder::new(BatchOptions::new());
    let timestamp = TimestampMs::new(1_000);
    builder.push(&NewRecord { timestamp, key: None, value: None, headers: &[] }).unwrap();
    log.append_wait(builder.build().unwrap(), Durability::Synced).unwrap();
}

/// A store on the simulated disk.
fn open(disk: &SimDirectory) -> Result<Store, String> {
    Store::builder()
        .directory(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(TimestampMs::new(1_000))))
        .entropy(Arc::new(SeededEntropy::new(disk.operations())))
        .drive(Drive::Manual)
        .open("/store")
        .map_err(|error| error.to_string())
}

/// What a store holds: partitions and how many records each of them has.
type Shape = Vec<i64>;

fn shape(store: &Store) -> Shape {
    let partitions = store.describe_topic(&orders()).map_or(0, |info| info.partitions);
    let ends =
        (0..partitions).map(|number| store.log(&TopicPartition::new(orders(), number)).unwrap());
    ends.map(|log| log.log_end_offset().get()).collect()
}

/// Does `act` on a store with three partitions that hold one record each, stopped at every one of
/// its disk operations in turn; `legal` says what may be found then.
fn stopped_everywhere(act: impl Fn(&Store) -> Result<(), TopicError>, legal: &[Shape]) {
    let mut seen = vec![0_u32; legal.len()];
    for stop in [Stop::Cut, Stop::Crash] {
        for operations in 1.. {
            let disk = SimDirectory::new(operations);
            let store = open(&disk).unwrap();
            store.create_topic(&orders(), 3).unwrap();
            for number in 0..3 {
                append(&store, number);
            }
            disk.arm(operations, stop);
            let done = act(&store);
            let struck = disk.is_over();
            drop(store);
            disk.disarm();
            let disk = disk.reborn();
            let store = open(&disk).unwrap();
            let found = shape(&store);
            let index = legal.iter().position(|legal| *legal == found);
            let index = index.unwrap_or_else(|| panic!("{stop:?} at {operations}: {found:?}"));
            seen[index] += 1;
            // What was found is found again, and a new topic of the name is a whole one.
            drop(store);
            let store = open(&disk.reborn()).unwrap();
            assert_eq!(shape(&store), found, "{stop:?} at {operations}, opened again");
            if found.is_empty() {
                store.create_topic(&orders(), 2).unwrap();
                assert_eq!(shape(&store), [0, 0]);
            }
            if !struck {
                assert!(done.is_ok(), "{done:?}");
                assert_eq!(index, legal.len() - 1, "what was done is what is found");
                break;
            }
        }
    }
    assert!(seen.iter().all(|seen| *seen > 0), "both outcomes are seen: {seen:?}");
}

#[test]
fn a_deletion_stopped_anywhere_leaves_the_whole_topic_or_none_of_it() {
    stopped_everywhere(|store| store.delete_topic(&orders()), &[vec![1, 1, 1], vec![]]);
}

#[test]
fn more_partitions_stopped_anywhere_are_all_there_or_none_of_them() {
    let more = |store: &Store| store.create_partitions(&orders(), 5).map(drop);
    stopped_everywhere(more, &[vec![1, 1, 1], vec![1, 1, 1, 0, 0]]);
}

#[test]
fn a_change_of_settings_stopped_anywhere_leaves_the_old_ones_or_the_new_ones() {
    let config = TopicConfig::new().retention_bytes_max(77);
    let alter = |store: &Store| store.alter_topic(&orders(), config).map(drop);
    for operations in 1.. {
        let disk = SimDirectory::new(operations);
        let store = open(&disk).unwrap();
        store.create_topic(&orders(), 1).unwrap();
        disk.arm(operations, Stop::Cut);
        let done = alter(&store);
        let struck = disk.is_over();
        drop(store);
        disk.disarm();
        let store = open(&disk.reborn()).unwrap();
        let found = store.describe_topic(&orders()).unwrap().config;
        assert!(found == config || (done.is_err() && found == TopicConfig::new()), "{found:?}");
        if !struck {
            break;
        }
    }
}
