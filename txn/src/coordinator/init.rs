//! A producer begins a life: `InitProducerId`, and the fencing of the one before.
//!
//! ```text
//!   epoch asked with     epoch now        answer
//!   none                 e                e + 1, or a new id at 32766
//!   e                    e                e + 1, or a new id at 32766
//!   last                 e                e again: the answer was lost
//!   anything else                         ProducerFenced
//! ```

use super::{
    Answer, Command, CompleteAbort, CompleteCommit, Coordinator, Dead, Duration, Empty, Ongoing,
    PrepareAbort, PrepareCommit, PrepareEpochFence, ProducerEpoch, ProducerId, ProducerIdAndEpoch,
    RequestId, Then, TimestampMs, Transaction, TransactionError, TransactionRecord,
    TransactionalId,
};

impl Coordinator {
    pub(super) fn init(
        &mut self,
        request: RequestId,
        id: Option<TransactionalId>,
        timeout: Duration,
        expected: Option<ProducerIdAndEpoch>,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) -> Result<(), TransactionError> {
        let Some(id) = id else {
            self.serving()?;
            let producer = ProducerIdAndEpoch::first(self.take_producer_id(out)?);
            out.push(Command::Reply { request, answer: Ok(Answer::Producer(producer)) });
            return Ok(());
        };
        let timeout_ms = self.check_timeout(timeout)?;
        if expected.is_some_and(|e| e.id == ProducerId::NONE || e.epoch == ProducerEpoch::NONE) {
            let reason = "a producer id goes with an epoch and an epoch with an id";
            return Err(TransactionError::InvalidRequest { reason });
        }
        self.serving()?;
        if !self.transactions.contains_key(&id) {
            let producer_id = self.take_producer_id(out)?;
            self.transactions.insert(id.clone(), Transaction::new(unused(producer_id, now)));
        }
        let transaction = self.find(&id, ProducerId::NONE)?;
        if transaction.pending.is_some() {
            return Err(TransactionError::ConcurrentTransactions { id });
        }
        if let Some(expected) = expected {
            admits(transaction, expected).map_err(|()| fenced(&id, expected))?;
        }
        match transaction.record.state {
            PrepareCommit | PrepareAbort => Err(TransactionError::ConcurrentTransactions { id }),
            Ongoing => self.fence(&id, Then::Fence(Some(request)), now, out),
            Empty | CompleteCommit | CompleteAbort => {
                self.bump(request, &id, timeout_ms, expected, now, out)
            }
            state @ (Dead | PrepareEpochFence) => Err(TransactionError::IllegalState { id, state }),
        }
    }

    fn check_timeout(&self, timeout: Duration) -> Result<i32, TransactionError> {
        let max = self.settings.timeout_max;
        match i32::try_from(timeout.as_millis()) {
            Ok(millis) if millis > 0 && timeout <= max => Ok(millis),
            _ => Err(TransactionError::InvalidTransactionTimeout { timeout, max }),
        }
    }

    fn bump(
        &mut self,
        request: RequestId,
        id: &TransactionalId,
        timeout_ms: i32,
        expected: Option<ProducerIdAndEpoch>,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) -> Result<(), TransactionError> {
        let transaction = self.find(id, ProducerId::NONE)?;
        let current = transaction.producer();
        let is_new = current.epoch == ProducerEpoch::NONE;
        let is_current = expected.is_none_or(|expected| expected == current || is_new);
        let mut target = TransactionRecord {
            timeout_ms,
            state: Empty,
            partitions: None,
            last_update: now,
            start: TimestampMs::NONE,
            next_producer_id: ProducerId::NONE,
            ..transaction.record.clone()
        };
        let mut last_epoch = transaction.last_epoch;
        match expected {
            // Its answer was lost: the same again.
            Some(expected) if !is_current => {
                if expected.epoch != last_epoch || last_epoch == ProducerEpoch::NONE {
                    return Err(fenced(id, expected));
                }
            }
            _ => {
                last_epoch = if expected.is_some() { current.epoch } else { ProducerEpoch::NONE };
                let next = match current.bumped() {
                    Some(next) => next,
                    None => ProducerIdAndEpoch::first(self.take_producer_id(out)?),
                };
                if next.id != current.id {
                    target.previous_producer_id = current.id;
                }
                target.producer_id = next.id;
                target.producer_epoch = next.epoch;
            }
        }
        self.propose(id, Some(target), last_epoch, Then::Init(request), out)
    }

    /// Shuts the producer of an ongoing transaction out and aborts it: its epoch is raised, once
    /// however often the record fails.
    pub(super) fn fence(
        &mut self,
        id: &TransactionalId,
        then: Then,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) -> Result<(), TransactionError> {
        let Some(transaction) = self.transactions.get_mut(id) else { return Ok(()) };
        if !transaction.failed_fence {
            transaction.record.producer_epoch = transaction.producer().fenced().epoch;
            transaction.last_epoch = ProducerEpoch::NONE;
        }
        let target = TransactionRecord {
            state: PrepareAbort,
            last_update: now,
            ..transaction.record.clone()
        };
        self.propose(id, Some(target), ProducerEpoch::NONE, then, out)
    }
}

/// Whether `expected` may ask for the next epoch at all.
fn admits(transaction: &Transaction, expected: ProducerIdAndEpoch) -> Result<(), ()> {
    let record = &transaction.record;
    let is_new = record.producer_epoch == ProducerEpoch::NONE;
    let was_rotated = expected.id == record.previous_producer_id
        && expected.is_exhausted()
        && record.producer_epoch == ProducerIdAndEpoch::first(record.producer_id).epoch;
    if is_new || expected.id == record.producer_id || was_rotated { Ok(()) } else { Err(()) }
}

fn fenced(id: &TransactionalId, producer: ProducerIdAndEpoch) -> TransactionError {
    TransactionError::ProducerFenced {
        id: id.clone(),
        producer_id: producer.id,
        found: producer.epoch,
    }
}

/// An id that has a producer and no epoch yet.
const fn unused(producer_id: ProducerId, now: TimestampMs) -> TransactionRecord {
    TransactionRecord {
        producer_id,
        previous_producer_id: ProducerId::NONE,
        next_producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        timeout_ms: 0,
        state: Empty,
        partitions: None,
        last_update: now,
        start: TimestampMs::NONE,
        client_version: 0,
    }
}
