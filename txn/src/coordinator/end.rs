//! A transaction ends: commit, abort, and each of them asked for again.
//!
//! ```text
//!                      version one             version two, epoch e is current
//!   Ongoing            decided                 e: decided, the next epoch is e + 1
//!   Prepare…           same: Concurrent        e − 1, same: Concurrent
//!   Complete…          same: its answer again  e − 1, same: its answer again
//!                      other: InvalidTxnState  e − 1, other: InvalidTxnState
//!                                              e, abort: an abort of nothing, for a new epoch
//!   Empty              InvalidTxnState         e, abort: likewise; commit: InvalidTxnState
//! ```
//!
//! With version two a late `EndTxn` carries an epoch that is over, so it can never end the next
//! transaction (T4).

use std::collections::BTreeSet;

use super::{
    Answer, Command, CompleteAbort, CompleteCommit, Coordinator, Dead, Empty, Ongoing,
    PrepareAbort, PrepareCommit, PrepareEpochFence, ProducerId, ProducerIdAndEpoch, RequestId,
    Then, TimestampMs, Transaction, TransactionError, TransactionRecord, TransactionResult,
    TransactionVersion, TransactionalId,
};

/// What an `EndTxn` comes to.
enum Verdict {
    /// Decide it.
    Decide,
    /// It was decided like that before.
    Again,
}

impl Coordinator {
    #[expect(clippy::too_many_arguments, reason = "the fields of one event, and where to answer")]
    pub(super) fn end(
        &mut self,
        request: RequestId,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
        result: TransactionResult,
        version: TransactionVersion,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) -> Result<(), TransactionError> {
        self.serving()?;
        let transaction = self.find(id, producer.id)?;
        let verdict = match version {
            TransactionVersion::One => one(id, transaction, producer, result),
            TransactionVersion::Two => two(id, transaction, producer, result),
        };
        match verdict? {
            Verdict::Again => {
                let answer = Ok(Answer::Producer(transaction.producer()));
                out.push(Command::Reply { request, answer });
                Ok(())
            }
            Verdict::Decide => self.decide(request, id, result, version, now, out),
        }
    }

    /// Proposes the outcome; once its record is durable it stands.
    fn decide(
        &mut self,
        request: RequestId,
        id: &TransactionalId,
        result: TransactionResult,
        version: TransactionVersion,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) -> Result<(), TransactionError> {
        let current = self.find(id, ProducerId::NONE)?.producer();
        let (next_producer_id, markers, next) = match (version, current.bumped()) {
            (TransactionVersion::One, _) => (ProducerId::NONE, current, current),
            (TransactionVersion::Two, Some(bumped)) => (ProducerId::NONE, bumped, bumped),
            (TransactionVersion::Two, None) => {
                let rotated = ProducerIdAndEpoch::first(self.take_producer_id(out)?);
                (rotated.id, current.fenced(), rotated)
            }
        };
        let transaction = self.find(id, ProducerId::NONE)?;
        let record = &transaction.record;
        let partitions = match record.state {
            Ongoing => record.partitions.clone().unwrap_or_default(),
            _ => BTreeSet::new(),
        };
        let target = TransactionRecord {
            producer_epoch: markers.epoch,
            next_producer_id,
            state: match result {
                TransactionResult::Commit => PrepareCommit,
                TransactionResult::Abort => PrepareAbort,
            },
            partitions: Some(partitions),
            last_update: now,
            client_version: match version {
                TransactionVersion::One => 0,
                TransactionVersion::Two => 2,
            },
            ..record.clone()
        };
        let last_epoch = match version {
            TransactionVersion::One => transaction.last_epoch,
            TransactionVersion::Two => current.epoch,
        };
        self.propose(id, Some(target), last_epoch, Then::End(request, next), out)
    }
}

/// Version one: the epoch must be the current one.
fn one(
    id: &TransactionalId,
    transaction: &Transaction,
    producer: ProducerIdAndEpoch,
    result: TransactionResult,
) -> Result<Verdict, TransactionError> {
    if transaction.record.producer_id != producer.id {
        return Err(mapping(id, producer));
    }
    if transaction.record.producer_epoch != producer.epoch {
        return Err(fenced(id, producer));
    }
    if transaction.pending.is_some() {
        return Err(concurrent(id));
    }
    match (transaction.record.state, result) {
        (Ongoing, _) => Ok(Verdict::Decide),
        (CompleteCommit, TransactionResult::Commit) | (CompleteAbort, TransactionResult::Abort) => {
            Ok(Verdict::Again)
        }
        (PrepareCommit, TransactionResult::Commit) | (PrepareAbort, TransactionResult::Abort) => {
            Err(concurrent(id))
        }
        (state @ (Dead | PrepareEpochFence), _) => {
            Err(TransactionError::IllegalState { id: id.clone(), state })
        }
        (Empty, _) => Err(invalid(id, transaction, "no transaction is open")),
        (CompleteCommit | CompleteAbort | PrepareCommit | PrepareAbort, _) => {
            Err(invalid(id, transaction, "the other outcome is decided"))
        }
    }
}

/// Version two: every end raised the epoch, so one asked for again carries the one before.
fn two(
    id: &TransactionalId,
    transaction: &Transaction,
    producer: ProducerIdAndEpoch,
    result: TransactionResult,
) -> Result<Verdict, TransactionError> {
    let record = &transaction.record;
    let current = transaction.producer();
    let rotated = record.previous_producer_id == producer.id
        && producer.is_exhausted()
        && current == ProducerIdAndEpoch::first(record.producer_id);
    if record.producer_id != producer.id && !rotated {
        return Err(mapping(id, producer));
    }
    let again = rotated || (record.producer_id == producer.id && current.follows(producer.epoch));
    let is_current = producer == current;
    let admitted = match record.state {
        Ongoing | Empty | Dead | PrepareEpochFence => is_current,
        PrepareCommit | PrepareAbort => again,
        CompleteCommit | CompleteAbort => again || is_current,
    };
    if !admitted {
        return Err(fenced(id, producer));
    }
    if transaction.pending.is_some() {
        return Err(concurrent(id));
    }
    match (record.state, result) {
        (Ongoing, _) | (Empty, TransactionResult::Abort) => Ok(Verdict::Decide),
        (CompleteCommit, TransactionResult::Commit) | (CompleteAbort, TransactionResult::Abort)
            if again =>
        {
            Ok(Verdict::Again)
        }
        (CompleteCommit | CompleteAbort, TransactionResult::Abort) if is_current => {
            Ok(Verdict::Decide)
        }
        (CompleteCommit | CompleteAbort, _) if is_current => {
            Err(invalid(id, transaction, "no transaction is open"))
        }
        (Empty, TransactionResult::Commit) => {
            Err(invalid(id, transaction, "no transaction is open"))
        }
        (PrepareCommit, TransactionResult::Commit) | (PrepareAbort, TransactionResult::Abort) => {
            Err(concurrent(id))
        }
        (PrepareCommit | PrepareAbort | CompleteCommit | CompleteAbort, _) => {
            Err(invalid(id, transaction, "the other outcome is decided"))
        }
        (state @ (Dead | PrepareEpochFence), _) => {
            Err(TransactionError::IllegalState { id: id.clone(), state })
        }
    }
}

fn mapping(id: &TransactionalId, producer: ProducerIdAndEpoch) -> TransactionError {
    TransactionError::InvalidProducerIdMapping { id: id.clone(), producer_id: producer.id }
}

fn fenced(id: &TransactionalId, producer: ProducerIdAndEpoch) -> TransactionError {
    let (producer_id, found) = (producer.id, producer.epoch);
    TransactionError::ProducerFenced { id: id.clone(), producer_id, found }
}

fn concurrent(id: &TransactionalId) -> TransactionError {
    TransactionError::ConcurrentTransactions { id: id.clone() }
}

fn invalid(
    id: &TransactionalId,
    transaction: &Transaction,
    reason: &'static str,
) -> TransactionError {
    let state = transaction.record.state;
    TransactionError::InvalidTxnState { id: id.clone(), state, reason }
}
