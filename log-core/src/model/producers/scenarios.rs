//! The idempotence scenarios of Kafka's `ProducerStateManagerTest` that need no files, as tables.
//!
//! Two answers differ from Kafka's on purpose (see [`super::verdict`]): a batch before the last five
//! is a stale duplicate (46), not out of order; and a client of which nothing is known begins at 0
//! (59), unless the settings let it begin anywhere.

use super::twin::{at, limits, marker, plain, transactional};
use super::*;
use crate::format::TransactionResult::{Abort, Commit};
use crate::ids::Sequence;

/// What becomes of a batch.
#[derive(Debug, PartialEq)]
enum Is {
    /// Appended, at this offset.
    At(i64),
    /// Known: its first and last offset.
    Again(i64, i64),
    /// Refused, with Kafka's code.
    No(i16),
}
use Is::{Again, At, No};

const OUT_OF_ORDER: i16 = 45;
const STALE: i16 = 46;
const FENCED: i16 = 47;
const TXN_STATE: i16 = 48;
const COORDINATOR_FENCED: i16 = 52;
const UNKNOWN: i16 = 59;

struct Partition {
    producers: Producers,
    end: i64,
    now: Tick,
    completed: Vec<CompletedTransaction>,
}

impl Partition {
    fn new(accept_unknown: bool) -> Self {
        let limits = ProducerLimits { accept_unknown, ..limits() };
        let producers = Producers::new(limits, 1);
        Self { producers, end: 0, now: Tick::default(), completed: Vec::new() }
    }

    fn take(&mut self, origin: Origin, batch: &ProducerBatch) -> Is {
        match self.producers.check(batch, origin) {
            Ok(Verdict::Append(place)) => {
                let base = self.end;
                self.completed.extend(self.producers.apply(place, batch, at(base), self.now));
                self.end = batch.last_offset(at(base)).get() + 1;
                At(base)
            }
            Ok(Verdict::Duplicate(original)) => {
                Again(original.base_offset.get(), original.last_offset.get())
            }
            Err(refusal) => No(refusal.kafka_code()),
        }
    }

    /// Each row: who appends what, and what becomes of it.
    fn play(&mut self, rows: &[(Origin, ProducerBatch, Is)]) {
        for (number, (origin, batch, is)) in rows.iter().enumerate() {
            assert_eq!(&self.take(*origin, batch), is, "row {number}: {batch:?}");
        }
    }

    fn info(&self, id: i64) -> Option<ProducerInfo> {
        let all = self.producers.freeze(self.now).describe();
        all.into_iter().find(|info| info.producer_id.get() == id)
    }

    /// Written as Kafka's snapshot and read again, `seconds` later.
    fn through_kafkas_snapshot(&mut self) {
        let entries = self.producers.freeze(self.now).snapshot_entries();
        let limits = self.producers.limits;
        self.producers =
            Producers::from_snapshot(&entries, at(self.end), limits, 2, self.now).unwrap();
    }

    fn through_our_bytes(&mut self) {
        let bytes = self.producers.freeze(self.now).to_bytes();
        let limits = self.producers.limits;
        self.producers = Producers::from_bytes(&bytes, at(self.end), limits, 2, self.now).unwrap();
    }
}

const CLIENT: Origin = Origin::Client;
const COORDINATOR: Origin = Origin::Coordinator;
const REPLICA: Origin = Origin::Replication;
const MAX: i32 = i32::MAX;

#[test]
fn c1_sequences_follow_each_other_and_epochs_fence() {
    Partition::new(false).play(&[
        (CLIENT, plain(1, 0, 0, 1), At(0)),
        (CLIENT, plain(1, 0, 1, 1), At(1)),
        (CLIENT, plain(1, 0, 1, 2), No(OUT_OF_ORDER)),
        (CLIENT, plain(1, 0, 5, 1), No(OUT_OF_ORDER)),
        (CLIENT, plain(1, 1, 0, 1), At(2)),
        (CLIENT, plain(1, 0, 0, 1), No(FENCED)),
        (CLIENT, plain(1, 1, 0, 1), Again(2, 2)),
    ]);
}

#[test]
fn c2_the_last_five_batches_are_known() {
    let mut partition = Partition::new(false);
    let singles: Vec<_> =
        (0..6).map(|sequence| (CLIENT, plain(1, 0, sequence, 1), At(sequence.into()))).collect();
    partition.play(&singles);
    partition.play(&[
        (CLIENT, plain(1, 0, 6, 3), At(6)),
        (CLIENT, plain(1, 0, 6, 3), Again(6, 8)),
        (CLIENT, plain(1, 0, 7, 2), No(OUT_OF_ORDER)),
        (CLIENT, plain(1, 0, 2, 1), Again(2, 2)),
        (CLIENT, plain(1, 0, 3, 1), Again(3, 3)),
        (CLIENT, plain(1, 0, 4, 1), Again(4, 4)),
        (CLIENT, plain(1, 0, 5, 1), Again(5, 5)),
        (CLIENT, plain(1, 0, 1, 1), No(STALE)),
        (CLIENT, plain(1, 0, 0, 2), No(STALE)),
        (CLIENT, plain(1, 0, 1, 2), No(OUT_OF_ORDER)),
    ]);
}

#[test]
fn c3_after_the_largest_sequence_comes_zero() {
    let mut partition = Partition::new(false);
    partition.play(&[
        (REPLICA, plain(1, 0, MAX, 1), At(0)),
        (CLIENT, plain(1, 0, 0, 1), At(1)),
        (CLIENT, plain(1, 0, 0, 1), Again(1, 1)),
        (CLIENT, plain(1, 0, MAX, 1), Again(0, 0)),
        (CLIENT, plain(1, 0, 2, 1), No(OUT_OF_ORDER)),
        (CLIENT, plain(1, 0, MAX - 1, 1), No(STALE)),
    ]);
    let mut across = Partition::new(false);
    across.play(&[(REPLICA, plain(1, 0, MAX, 2), At(0)), (CLIENT, plain(1, 0, 1, 1), At(2))]);
    let first = across.info(1).unwrap().batches[1];
    assert_eq!((first.base_sequence.get(), first.last_sequence.get()), (MAX, 0));
}

#[test]
fn c4_sequences_go_on_from_zero_within_a_batch() {
    let mut partition = Partition::new(false);
    partition.end = 2000;
    partition.play(&[
        (REPLICA, plain(1, 0, MAX - 10, 21), At(2000)),
        (CLIENT, plain(1, 0, MAX - 10, 21), Again(2000, 2020)),
        (CLIENT, plain(1, 0, 10, 1), At(2021)),
    ]);
    assert_eq!(partition.info(1).unwrap().batches[1].last_sequence.get(), 9);
}

#[test]
fn c5_an_unknown_producer_begins_anywhere_only_where_that_is_allowed() {
    Partition::new(false).play(&[
        (CLIENT, plain(1, 0, 16, 1), No(UNKNOWN)),
        (REPLICA, plain(1, 0, 16, 1), At(0)),
        (CLIENT, plain(1, 0, 17, 1), At(1)),
        (CLIENT, plain(2, 0, 0, 1), At(2)),
    ]);
    Partition::new(true)
        .play(&[(CLIENT, plain(1, 0, 16, 1), At(0)), (CLIENT, plain(1, 0, 17, 1), At(1))]);
}

#[test]
fn c6_after_a_bare_marker_data_begins_at_zero_in_its_epoch() {
    Partition::new(false).play(&[
        (COORDINATOR, marker(1, 2, 0, Commit), At(0)),
        (CLIENT, plain(1, 0, 0, 1), No(FENCED)),
        (CLIENT, plain(1, 2, 17, 1), No(OUT_OF_ORDER)),
        (CLIENT, plain(1, 2, 0, 1), At(1)),
    ]);
}

#[test]
fn c7_a_marker_of_a_higher_epoch_forgets_the_batches() {
    let mut partition = Partition::new(false);
    partition.play(&[
        (CLIENT, transactional(1, 0, 0, 2), At(0)),
        (COORDINATOR, marker(1, 1, 0, Abort), At(2)),
    ]);
    let info = partition.info(1).unwrap();
    assert_eq!((info.batches.len(), info.current_txn_first_offset), (0, None));
    partition.play(&[
        (CLIENT, transactional(1, 1, 2, 1), No(OUT_OF_ORDER)),
        (CLIENT, transactional(1, 2, 2, 1), No(OUT_OF_ORDER)),
        (CLIENT, transactional(1, 1, 0, 1), At(3)),
    ]);
}

#[test]
fn c7b_a_marker_of_the_same_epoch_lets_sequences_go_on() {
    Partition::new(false).play(&[
        (CLIENT, transactional(1, 0, 0, 2), At(0)),
        (COORDINATOR, marker(1, 0, 0, Commit), At(2)),
        (CLIENT, transactional(1, 0, 0, 2), Again(0, 1)),
        (CLIENT, transactional(1, 0, 2, 1), At(3)),
    ]);
}

#[test]
fn c8_a_batch_outside_the_open_transaction_is_refused_to_anybody() {
    Partition::new(false).play(&[
        (CLIENT, transactional(1, 0, 0, 1), At(0)),
        (CLIENT, plain(1, 0, 1, 1), No(TXN_STATE)),
        (REPLICA, plain(1, 0, 1, 1), No(TXN_STATE)),
        (CLIENT, transactional(1, 0, 1, 1), At(1)),
        (COORDINATOR, marker(1, 0, 0, Commit), At(2)),
        (CLIENT, plain(1, 0, 2, 1), At(3)),
    ]);
}

#[test]
fn c9_a_replica_takes_gaps_and_a_client_makes_none() {
    Partition::new(false).play(&[
        (REPLICA, plain(1, 0, 0, 1), At(0)),
        (CLIENT, plain(1, 0, 3, 1), No(OUT_OF_ORDER)),
        (REPLICA, plain(1, 0, 3, 1), At(1)),
        (CLIENT, plain(1, 0, 4, 1), At(2)),
    ]);
}

#[test]
fn c10_a_coordinator_appends_without_sequences() {
    let commit = ProducerBatch { base_sequence: Sequence::NONE, ..transactional(1, 0, 0, 1) };
    Partition::new(false).play(&[
        (COORDINATOR, commit, At(0)),
        (COORDINATOR, commit, At(1)),
        (COORDINATOR, marker(1, 0, 0, Commit), At(2)),
    ]);
}

#[test]
fn c11_a_marker_of_a_lower_epoch_is_refused() {
    Partition::new(false).play(&[
        (CLIENT, transactional(1, 5, 0, 1), At(0)),
        (COORDINATOR, marker(1, 3, 0, Abort), No(FENCED)),
        (COORDINATOR, marker(1, 5, 0, Abort), At(1)),
    ]);
}

#[test]
fn c12_a_coordinator_that_was_succeeded_is_refused_also_after_a_reload() {
    let mut partition = Partition::new(false);
    partition.play(&[
        (CLIENT, transactional(1, 0, 0, 1), At(0)),
        (COORDINATOR, marker(1, 0, 1, Abort), At(1)),
        (COORDINATOR, marker(1, 0, 1, Abort), At(2)),
        (COORDINATOR, marker(1, 0, 2, Abort), At(3)),
        (COORDINATOR, marker(1, 0, 1, Abort), No(COORDINATOR_FENCED)),
    ]);
    assert_eq!(partition.completed.len(), 1, "the other markers ended nothing");
    for reload in [Partition::through_kafkas_snapshot, Partition::through_our_bytes] {
        reload(&mut partition);
        partition.play(&[(COORDINATOR, marker(1, 0, 1, Abort), No(COORDINATOR_FENCED))]);
    }
}

#[test]
fn c13_a_log_may_hold_a_lower_coordinator_epoch() {
    let mut partition = Partition::new(false);
    let second = ProducerBatch {
        max_timestamp: crate::ids::TimestampMs::new(7000),
        ..marker(1, 0, 2, Abort)
    };
    partition.play(&[(REPLICA, marker(1, 0, 100, Abort), At(0)), (REPLICA, second, At(1))]);
    let info = partition.info(1).unwrap();
    assert_eq!((info.last_timestamp.get(), info.coordinator_epoch), (7000, 2));
}

#[test]
fn c17_kafkas_snapshot_keeps_the_last_batch_and_the_open_transaction() {
    let mut partition = Partition::new(false);
    partition.play(&[
        (CLIENT, transactional(1, 0, 0, 1), At(0)),
        (CLIENT, transactional(1, 0, 1, 1), At(1)),
    ]);
    partition.through_kafkas_snapshot();
    let info = partition.info(1).unwrap();
    assert_eq!((info.last_sequence.get(), info.batches.len()), (1, 1));
    assert_eq!(info.current_txn_first_offset, Some(at(0)));
    assert_eq!(partition.producers.transactions().first_unstable_offset(), Some(at(0)));
    partition.play(&[
        (CLIENT, transactional(1, 0, 1, 1), Again(1, 1)),
        (CLIENT, transactional(1, 0, 0, 1), No(STALE)),
        (CLIENT, transactional(1, 0, 2, 1), At(2)),
    ]);
}

#[test]
fn c17b_our_bytes_keep_all_five() {
    let mut partition = Partition::new(false);
    for sequence in 0..6 {
        partition.play(&[(CLIENT, plain(1, 0, sequence, 1), At(sequence.into()))]);
    }
    partition.through_our_bytes();
    for sequence in 1..6 {
        let is = Again(sequence.into(), sequence.into());
        partition.play(&[(CLIENT, plain(1, 0, sequence, 1), is)]);
    }
}

#[test]
fn c18_a_snapshot_after_the_abort_has_no_open_transaction() {
    let mut partition = Partition::new(false);
    partition.play(&[
        (CLIENT, transactional(1, 0, 0, 1), At(0)),
        (CLIENT, transactional(1, 0, 1, 1), At(1)),
        (COORDINATOR, marker(1, 0, 0, Abort), At(2)),
    ]);
    partition.through_kafkas_snapshot();
    let info = partition.info(1).unwrap();
    assert_eq!((info.last_sequence.get(), info.current_txn_first_offset), (1, None));
}

#[test]
fn c19_who_expired_is_gone_after_a_reload() {
    let mut partition = Partition::new(true);
    partition.play(&[(CLIENT, plain(1, 0, 0, 1), At(0)), (CLIENT, plain(1, 0, 1, 1), At(1))]);
    partition.now = partition.now.after(Duration::from_secs(70));
    partition.through_our_bytes();
    assert_eq!(partition.info(1), None);
    partition.play(&[(CLIENT, plain(1, 0, 2, 1), At(2))]);
    assert_eq!(partition.producers.len(), 1);
}

#[test]
fn c20_expiry_spares_open_transactions_and_nobody_else() {
    let mut partition = Partition::new(false);
    partition.play(&[
        (CLIENT, transactional(1, 0, 0, 1), At(0)),
        (CLIENT, plain(2, 0, 0, 1), At(1)),
        (COORDINATOR, marker(3, 0, 0, Commit), At(2)),
    ]);
    let known = |partition: &Partition| [1, 2, 3].map(|id| partition.info(id).is_some());
    partition.now = partition.now.after(Duration::from_secs(59));
    partition.producers.expire(partition.now);
    assert_eq!(known(&partition), [true, true, true]);
    partition.now = partition.now.after(Duration::from_secs(2));
    partition.producers.expire(partition.now);
    assert_eq!(known(&partition), [true, false, false]);
    partition.play(&[(COORDINATOR, marker(1, 0, 0, Commit), At(3))]);
    partition.now = partition.now.after(Duration::from_mins(2));
    partition.producers.expire(partition.now);
    assert_eq!(known(&partition), [false, false, false]);
}

#[test]
fn c29_a_batch_whose_records_were_compacted_away_still_counts() {
    // Header fields stay when records go: offsets and sequences follow from them.
    let mut partition = Partition::new(false);
    partition.play(&[
        (REPLICA, plain(1, 0, 0, 10), At(0)),
        (REPLICA, plain(1, 0, 10, 5), At(10)),
        (CLIENT, plain(1, 0, 10, 5), Again(10, 14)),
        (CLIENT, plain(1, 0, 15, 1), At(15)),
    ]);
}

#[test]
fn c31_a_replica_takes_several_producers_and_their_repetitions_and_the_last_one_counts() {
    let mut partition = Partition::new(false);
    partition.play(&[
        (REPLICA, plain(1, 0, 0, 1), At(0)),
        (REPLICA, plain(2, 0, 0, 2), At(1)),
        (REPLICA, plain(1, 0, 0, 1), At(3)),
        (REPLICA, plain(2, 0, 2, 1), At(4)),
        (CLIENT, plain(1, 0, 0, 1), Again(3, 3)),
        (CLIENT, plain(2, 0, 3, 1), At(5)),
    ]);
}

#[test]
fn c32_a_repetition_is_known_by_its_numbers_alone() {
    let mut partition = Partition::new(false);
    let mut other = plain(1, 0, 0, 3);
    other.max_timestamp = crate::ids::TimestampMs::new(99);
    partition.play(&[(CLIENT, plain(1, 0, 0, 3), At(0)), (CLIENT, other, Again(0, 2))]);
}

#[test]
fn an_abort_says_what_the_transaction_index_holds_of_it() {
    let mut partition = Partition::new(false);
    partition.play(&[(CLIENT, transactional(1, 0, 0, 8), At(0))]);
    partition.play(&[(CLIENT, transactional(2, 0, 0, 21), At(8))]);
    partition.play(&[(COORDINATOR, marker(1, 0, 0, Abort), At(29))]);
    let completed = partition.completed[0];
    let numbers = [completed.first_offset, completed.last_offset, completed.last_stable_offset];
    assert_eq!(numbers.map(Offset::get), [0, 29, 8], "the vector of the format's description");
}
