//! The power fails, or the process dies, at every operation of a transaction, and again in the
//! recovery.
//!
//! ```text
//!   life 1   topics, producer, five transactions, the third aborted     stopped at operation n
//!   life 2   store, coordinator                                         stopped at operation m
//!   life 3   store, coordinator: what must be so is so; a new producer commits
//! ```

use std::collections::BTreeMap;

use log_core::disk::sim::Stop;
use log_core::format::TransactionResult;

use super::*;
use crate::driver::TransactionCoordinator;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};

const TRANSACTIONS: u32 = 5;
/// Records of a transaction in each partition.
const RECORDS: u32 = 2;

/// What became of a transaction, as far as its producer knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Committed,
    Aborted,
    Open,
}

#[derive(Debug, Default)]
struct Known {
    fates: BTreeMap<u32, Fate>,
    /// Who the producers were told they are.
    identities: Vec<ProducerIdAndEpoch>,
}

/// A life up to the stop, or to its end.
fn live(directory: &SimDirectory, clock: &ManualClock, known: &mut Known) {
    let Ok(store) = open(directory, clock) else { return };
    if store.create_topic(&topic(), PARTITIONS).is_err() && directory.is_over() {
        return;
    }
    let Ok(producer) = build(&store, "t") else { return };
    for number in 0..TRANSACTIONS {
        known.identities.push(producer.identity().unwrap());
        let Ok(transaction) = producer.begin() else { return };
        known.fates.insert(number, Fate::Open);
        if send_all(&transaction, &number.to_string(), RECORDS).is_err() {
            return;
        }
        let fate = if number == 2 {
            transaction.abort().map_or(Fate::Open, |()| Fate::Aborted)
        } else {
            match transaction.commit() {
                Ok(()) => Fate::Committed,
                Err(error) if error.is_aborted() => Fate::Aborted,
                Err(_) => Fate::Open,
            }
        };
        known.fates.insert(number, fate);
        if fate == Fate::Committed {
            match try_read(&store, 0, IsolationLevel::ReadCommitted) {
                Ok(seen) => assert!(seen.contains(&number.to_string()), "{number} is not seen"),
                Err(error) => assert!(directory.is_over(), "{error}"),
            }
        }
    }
}

/// What must be so after any crash: all or nothing, as was told, with one marker each.
fn check(store: &Store, known: &Known, context: &str) {
    let seen = committed(store);
    for (number, fate) in &known.fates {
        let count = |values: &Vec<String>| {
            values.iter().filter(|value| **value == number.to_string()).count()
        };
        let counts: Vec<_> = seen.iter().map(count).collect();
        let all = vec![usize::try_from(RECORDS).unwrap(); 3];
        let fine = match fate {
            Fate::Committed => counts == all,
            Fate::Aborted => counts == [0; 3],
            Fate::Open => counts == all || counts == [0; 3],
        };
        assert!(fine, "{context}: transaction {number} is {fate:?}, seen {counts:?}");
    }
    assert!(is_stable(store), "{context}: a transaction hangs");
    let mut results: BTreeMap<_, TransactionResult> = BTreeMap::new();
    for number in 0..PARTITIONS {
        for (whose, found) in markers(store, number) {
            assert_eq!(found.len(), 1, "{context}: {whose:?} has {found:?} in {number}");
            let first = *results.entry(whose).or_insert(found[0]);
            assert_eq!(first, found[0], "{context}: {whose:?} ends in two ways");
        }
    }
}

/// The last life: recovers, checks, and commits as a newer producer.
fn conclude(directory: &SimDirectory, clock: &ManualClock, known: &Known, context: &str) {
    let store = open(directory, clock).unwrap();
    let coordinator = TransactionCoordinator::open(&store).unwrap();
    if store.describe_topic(&topic()).is_err() {
        assert!(known.fates.is_empty(), "{context}");
        return;
    }
    check(&store, known, context);
    let producer = build(&store, "t").unwrap();
    let now = producer.identity().unwrap();
    let id = TransactionalId::new("t").unwrap();
    for older in &known.identities {
        assert!(*older < now, "{context}: {now:?} is not newer than {older:?}");
        coordinator.verify(&id, *older, &partition(0)).unwrap_err();
    }
    let transaction = producer.begin().unwrap();
    send_all(&transaction, "after", RECORDS).unwrap();
    transaction.commit().unwrap();
    let seen = committed(&store);
    assert!(seen.iter().all(|values| values.last().is_some_and(|value| value == "after")));
    check(&store, known, context);
    assert!(directory.violations().is_empty(), "{context}: {:?}", directory.violations());
}

fn operations_of_a_life() -> u64 {
    let (directory, clock, mut known) = (SimDirectory::new(1), clock(), Known::default());
    live(&directory, &clock, &mut known);
    assert!(known.fates.values().all(|fate| *fate != Fate::Open), "{known:?}");
    assert_eq!(known.fates.len(), 5);
    directory.operations()
}

#[test]
fn all_or_nothing_wherever_it_stops() {
    let operations = operations_of_a_life();
    assert!(operations > 50, "{operations}");
    let mut open = 0;
    for at in 1..=operations {
        for stop in [Stop::Cut, Stop::Crash] {
            let context = format!("{stop:?} at {at}");
            let clock = clock();
            let directory = SimDirectory::new(at * 2 + u64::from(stop == Stop::Cut));
            let mut known = Known::default();
            directory.arm(at, stop);
            live(&directory, &clock, &mut known);
            directory.disarm();
            open += known.fates.values().filter(|fate| **fate == Fate::Open).count();
            conclude(&directory.reborn(), &clock, &known, &context);
        }
    }
    assert!(open > 20, "only {open} transactions were under way");
}

#[test]
fn all_or_nothing_when_the_recovery_stops_too() {
    let operations = operations_of_a_life();
    for at in (10..=operations).step_by(3) {
        // The recovery takes fewer operations than the life: an unreached stop is none.
        for again in [1, 2, 3, 5, 8, 13, 21, 34] {
            let context = format!("at {at}, again at {again}");
            let clock = clock();
            let mut directory = SimDirectory::new(at * 64 + again);
            let mut known = Known::default();
            directory.arm(at, Stop::Cut);
            live(&directory, &clock, &mut known);
            directory = directory.reborn();
            directory.arm(again, if again % 2 == 0 { Stop::Crash } else { Stop::Cut });
            if let Ok(store) = open(&directory, &clock) {
                let _stopped = TransactionCoordinator::open(&store);
            }
            directory.disarm();
            conclude(&directory.reborn(), &clock, &known, &context);
        }
    }
}
