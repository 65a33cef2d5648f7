//! The disk fails under a transaction, and the store lives on.

use log_core::disk::sim::{Aim, Call, Effect};
use log_core::format::TransactionResult;

use super::*;
use crate::driver::{TRANSACTION_STATE_TOPIC, TransactionCoordinator};
use crate::producer::{BeginError, CommitError, Outcome};

const SEGMENT: &str = "00000000000000000000.log";

struct World {
    directory: SimDirectory,
    clock: ManualClock,
    store: Store,
    coordinator: TransactionCoordinator,
}

fn world(seed: u64) -> World {
    let (directory, clock) = (SimDirectory::new(seed), clock());
    let store = open(&directory, &clock).unwrap();
    store.create_topic(&topic(), PARTITIONS).unwrap();
    let coordinator = TransactionCoordinator::open(&store).unwrap();
    World { directory, clock, store, coordinator }
}

impl World {
    /// Lets everything happen that can, some time later.
    fn run(&self) {
        self.clock.advance(Duration::from_secs(2));
        while self.store.turn() || self.coordinator.turn() {}
    }
}

fn journal() -> TopicPartition {
    TopicPartition::new(TRANSACTION_STATE_TOPIC.parse().unwrap(), 0)
}

fn everywhere(values: &[&str]) -> Vec<Vec<String>> {
    vec![values.iter().map(|value| (*value).to_owned()).collect(); 3]
}

/// S19: what did not report success is settled, by what is in the journal.
#[test]
fn a_commit_whose_journal_fails_is_settled_after_its_reopening() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..24 {
        let world = world(seed);
        let producer = build(&world.store, "t").unwrap();
        let transaction = producer.begin().unwrap();
        send_all(&transaction, "v", 1).unwrap();
        producer.flush().unwrap();
        let call = if seed % 2 == 0 { Call::Sync } else { Call::Write };
        let file = format!("{TRANSACTION_STATE_TOPIC}-0/{SEGMENT}");
        let aimed = world.directory.aim(Aim::at(call, Effect::EIO).of(&file));
        let error = transaction.commit().unwrap_err();
        assert_eq!(aimed.struck(), 1);
        assert!(matches!(error, CommitError::Indeterminate(_)), "{error}");
        assert!(matches!(producer.begin(), Err(BeginError::Unsettled)));
        assert!(producer.settle().unwrap_err().to_string().contains("may or may not"));
        assert_eq!(committed(&world.store), everywhere(&[]), "not before it is known");
        world.store.reopen(&journal()).unwrap();
        let outcome = producer.settle().unwrap().unwrap();
        let first = match outcome {
            Outcome::Committed => vec!["v"],
            Outcome::Aborted => vec![],
        };
        assert_eq!(committed(&world.store), everywhere(&first), "{outcome:?}");
        assert!(producer.settle().unwrap().is_none(), "it is known");
        let transaction = producer.begin().unwrap();
        send_all(&transaction, "next", 1).unwrap();
        transaction.commit().unwrap();
        let all: Vec<_> = first.into_iter().chain(["next"]).collect();
        assert_eq!(committed(&world.store), everywhere(&all));
        *outcomes.entry(format!("{outcome:?}")).or_insert(0) += 1;
    }
    assert_eq!(outcomes.values().sum::<u32>(), 24, "{outcomes:?}");
}

/// The story: a partition was offline when its marker was due, and its readers waited for ever.
#[test]
fn row_73_a_marker_that_was_lost_is_written_once_its_partition_is_back() {
    for seed in 0..12 {
        let world = world(seed);
        let producer = build(&world.store, "t").unwrap();
        let transaction = producer.begin().unwrap();
        send_all(&transaction, "v", 1).unwrap();
        producer.flush().unwrap();
        let call = if seed % 2 == 0 { Call::Sync } else { Call::Write };
        let aim = Aim::at(call, Effect::EIO).of(&format!("orders-1/{SEGMENT}"));
        let aimed = world.directory.aim(aim);
        transaction.commit().unwrap();
        world.run();
        assert_eq!(aimed.struck(), 1);
        assert!(world.store.log(&partition(1)).unwrap().state().to_string().contains("offline"));
        assert!(read(&world.store, 0, IsolationLevel::ReadCommitted) == ["v"]);
        world.store.reopen(&partition(1)).unwrap();
        world.run();
        assert_eq!(committed(&world.store), everywhere(&["v"]));
        assert!(is_stable(&world.store));
        for number in 0..PARTITIONS {
            let found: Vec<_> = markers(&world.store, number).into_values().collect();
            assert_eq!(found, [[TransactionResult::Commit]], "partition {number}");
        }
        let transaction = producer.begin().unwrap();
        send_all(&transaction, "next", 1).unwrap();
        // Its handle is from before the reopening: it is tried again with another, a little later.
        while producer.flush().is_err() {
            world.clock.advance(Duration::from_millis(100));
        }
        transaction.commit().unwrap();
        assert_eq!(committed(&world.store), everywhere(&["v", "next"]));
    }
}

#[test]
fn row_31_without_space_a_transaction_ends_whole_or_not_at_all_and_goes_on_when_there_is_some() {
    let mut refused = 0;
    for room in [0, 1, 5, 20, 60, 200_u64].map(|kib| kib * 1024) {
        let world = world(room);
        let producer = build(&world.store, "t").unwrap();
        let sizes = world.directory.files().into_iter();
        let used: usize =
            sizes.filter_map(|path| world.directory.read(&path)).map(|f| f.len()).sum();
        world.directory.set_capacity(Some(u64::try_from(used).unwrap() + room));
        let mut seen = Vec::new();
        for number in 0..12 {
            let value = format!("{number:08192}");
            let Ok(transaction) = producer.begin() else { break };
            let _failed = send_all(&transaction, &value, 3);
            match transaction.commit() {
                Ok(()) => seen.push(value),
                Err(error) if error.is_aborted() => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        world.directory.set_capacity(None);
        world.run();
        let transaction = producer.begin().unwrap();
        send_all(&transaction, "after", 3).unwrap();
        transaction.commit().unwrap();
        seen.push("after".to_owned());
        let expected: Vec<_> = seen.iter().flat_map(|value| vec![value.clone(); 3]).collect();
        assert_eq!(committed(&world.store), vec![expected; 3], "{room}");
        world.run();
        assert!(is_stable(&world.store));
    }
    assert!(refused > 0, "there was always space");
}

/// S20: half of a journal is never served.
#[test]
fn a_journal_that_cannot_be_read_is_named_and_nothing_is_served() {
    let world = world(1);
    drop(build(&world.store, "t").unwrap());
    let log = world.store.log(&journal()).unwrap();
    let options = log_core::format::BatchOptions::new();
    let mut batch = log_core::format::BatchBuilder::new(options);
    let timestamp = TimestampMs::new(1);
    let key = crate::encode_key(&crate::TransactionalId::new("u").unwrap());
    let value = Some(&[0, 9, 9][..]);
    let record = log_core::format::NewRecord { timestamp, key: Some(&key), value, headers: &[] };
    batch.push(&record).unwrap();
    log.append_wait(batch.build().unwrap(), log_core::Durability::Synced).unwrap();
    world.store.close().unwrap();
    let store = open(&world.directory, &world.clock);
    drop((world.store, world.coordinator, log));
    let store = store.or_else(|_| open(&world.directory, &world.clock)).unwrap();
    let error = TransactionCoordinator::open(&store).unwrap_err();
    assert!(matches!(error, crate::TransactionError::JournalUnreadable { .. }), "{error}");
    assert!(error.to_string().contains("offset 1: the value has version 9"), "{error}");
    assert!(build(&store, "t").is_err());
    let plain = Producer::builder(&store).build().unwrap();
    let topic = topic();
    plain.send(ProducerRecord::new(&topic).value(b"v")).unwrap().wait().unwrap();
}
