//! What happens by itself: records become durable, markers arrive, time passes.
//!
//! ```text
//!   Prepare durable ─▶ markers to all partitions ─▶ all written ─▶ Complete ─▶ durable
//!   Tick: open too long ─▶ fence, abort      unused too long ─▶ forgotten
//! ```

use core::time::Duration;
use std::collections::BTreeSet;

use log_core::TopicPartition;

use super::{
    Answer, Command, CompleteAbort, CompleteCommit, Coordinator, MarkerOutcome, Markers, Mode,
    Ongoing, Pending, PrepareCommit, ProducerEpoch, ProducerId, ProducerIdAndEpoch, Then,
    TimestampMs, TransactionError, TransactionRecord, TransactionResult, TransactionalId, WriteId,
    WriteOutcome,
};

impl Coordinator {
    /// A record's fate.
    pub(super) fn written(
        &mut self,
        write: WriteId,
        outcome: WriteOutcome,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) {
        let Some(id) = self.writes.remove(&write) else { return };
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        let Some(pending) = transaction.pending.take() else { return };
        match outcome {
            WriteOutcome::Durable => self.apply(&id, pending, now, out),
            WriteOutcome::Refused => self.refused(&id, pending.then, out),
            WriteOutcome::Lost => {
                answer_lost(pending.then, out);
                self.lose(out);
            }
        }
    }

    fn apply(
        &mut self,
        id: &TransactionalId,
        pending: Pending,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let Some(target) = pending.target else {
            self.transactions.remove(id);
            return;
        };
        transaction.record = target;
        transaction.last_epoch = pending.last_epoch;
        let mut reply = |request, answer| out.push(Command::Reply { request, answer });
        match pending.then {
            Then::Init(request) => {
                transaction.failed_fence = false;
                reply(request, Ok(Answer::Producer(transaction.producer())));
            }
            Then::Add(request) => reply(request, Ok(Answer::Added)),
            Then::End(request, next) => {
                reply(request, Ok(Answer::Producer(next)));
                self.begin_markers(id, now, out);
            }
            Then::Fence(request) => {
                transaction.failed_fence = false;
                if let Some(request) = request {
                    let error = TransactionError::ConcurrentTransactions { id: id.clone() };
                    reply(request, Err(error));
                }
                self.begin_markers(id, now, out);
            }
            Then::Complete | Then::Expire => {}
        }
    }

    /// The record is not in the journal: nothing has changed, but for an epoch raised to fence.
    fn refused(&mut self, id: &TransactionalId, then: Then, out: &mut Vec<Command>) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        match then {
            Then::Fence(_) => transaction.failed_fence = true,
            Then::Complete => transaction.complete_due = true,
            Then::Init(_) | Then::Add(_) | Then::End(..) | Then::Expire => {}
        }
        if let Some(request) = then.request() {
            let answer = Err(TransactionError::CoordinatorNotAvailable);
            out.push(Command::Reply { request, answer });
        }
    }

    /// The outcome is decided: markers to every partition, or nothing to do.
    pub(super) fn begin_markers(
        &mut self,
        id: &TransactionalId,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        let partitions = transaction.record.partitions.clone().unwrap_or_default();
        if partitions.is_empty() {
            self.complete(id, now, out);
            return;
        }
        transaction.markers_left.clone_from(&partitions);
        self.send_markers(id, partitions, out);
    }

    fn send_markers(
        &self,
        id: &TransactionalId,
        partitions: BTreeSet<TopicPartition>,
        out: &mut Vec<Command>,
    ) {
        let Some(transaction) = self.transactions.get(id) else { return };
        out.push(Command::WriteMarkers(Markers {
            id: id.clone(),
            producer: transaction.producer(),
            result: if transaction.record.state == PrepareCommit {
                TransactionResult::Commit
            } else {
                TransactionResult::Abort
            },
            coordinator_epoch: self.marker_epoch,
            partitions,
        }));
    }

    /// A partition's answer. One for an earlier transaction or an earlier load says nothing here.
    pub(super) fn marker_answered(
        &mut self,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
        partition: &TopicPartition,
        outcome: MarkerOutcome,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        if !transaction.markers_left.contains(partition) || transaction.producer() != producer {
            return;
        }
        match outcome {
            MarkerOutcome::Retry => {
                self.send_markers(id, BTreeSet::from([partition.clone()]), out);
            }
            MarkerOutcome::Fenced => transaction.markers_left.clear(),
            MarkerOutcome::Written | MarkerOutcome::Gone => {
                transaction.markers_left.remove(partition);
                if transaction.markers_left.is_empty() {
                    self.complete(id, now, out);
                }
            }
        }
    }

    /// All markers are written.
    fn complete(&mut self, id: &TransactionalId, now: TimestampMs, out: &mut Vec<Command>) {
        let Some(transaction) = self.transactions.get_mut(id) else { return };
        transaction.complete_due = false;
        let record = &transaction.record;
        let last_epoch = record.producer_epoch;
        let mut target = TransactionRecord {
            state: if record.state == PrepareCommit { CompleteCommit } else { CompleteAbort },
            partitions: Some(BTreeSet::new()),
            last_update: now,
            next_producer_id: ProducerId::NONE,
            ..record.clone()
        };
        if record.next_producer_id != ProducerId::NONE {
            let next = ProducerIdAndEpoch::first(record.next_producer_id);
            target.previous_producer_id = record.producer_id;
            (target.producer_id, target.producer_epoch) = (next.id, next.epoch);
        }
        // Its refusal needs no answer: nobody asked.
        let _bug = self.propose(id, Some(target), last_epoch, Then::Complete, out);
    }

    pub(super) fn tick(&mut self, now: TimestampMs, out: &mut Vec<Command>) {
        if self.mode != Mode::Serving {
            return;
        }
        let idle = self.transactions.iter().filter(|(_, t)| t.pending.is_none());
        let idle: Vec<_> = idle.map(|(id, _)| id.clone()).collect();
        for id in idle {
            let Some(transaction) = self.transactions.get(&id) else { continue };
            let record = &transaction.record;
            let timeout = Duration::from_millis(record.timeout_ms.max(0).unsigned_abs().into());
            // Their refusals need no answer: nobody asked, and the next tick tries again.
            if transaction.complete_due {
                self.complete(&id, now, out);
            } else if record.state == Ongoing && is_past(record.start, timeout, now) {
                let _bug = self.fence(&id, Then::Fence(None), now, out);
            } else if record.state.is_at_rest()
                && is_reached(record.last_update, self.settings.expiration, now)
            {
                let _bug = self.propose(&id, None, ProducerEpoch::NONE, Then::Expire, out);
            }
        }
    }

    /// The journal is gone: everyone who waits hears so, and nothing is known until it is read.
    pub(super) fn lose(&mut self, out: &mut Vec<Command>) {
        self.mode = Mode::Lost;
        self.forget(out);
    }

    /// Forgets everything but the supply of ids.
    pub(super) fn forget(&mut self, out: &mut Vec<Command>) {
        self.writes.clear();
        for (_, transaction) in core::mem::take(&mut self.transactions) {
            if let Some(pending) = transaction.pending {
                answer_lost(pending.then, out);
            }
        }
    }
}

/// Tells who waited for a record that nobody can know of.
fn answer_lost(then: Then, out: &mut Vec<Command>) {
    if let Some(request) = then.request() {
        let answer = Err(TransactionError::NotCoordinator);
        out.push(Command::Reply { request, answer });
    }
}

impl Then {
    const fn request(self) -> Option<super::RequestId> {
        match self {
            Self::Init(request) | Self::Add(request) | Self::End(request, _) => Some(request),
            Self::Fence(request) => request,
            Self::Complete | Self::Expire => None,
        }
    }
}

/// Whether more than `span` has passed since `from`.
fn is_past(from: TimestampMs, span: Duration, now: TimestampMs) -> bool {
    elapsed(from, now).is_some_and(|elapsed| elapsed > span)
}

/// Whether `span` has passed since `from`.
fn is_reached(from: TimestampMs, span: Duration, now: TimestampMs) -> bool {
    elapsed(from, now).is_some_and(|elapsed| elapsed >= span)
}

/// `None` if `from` lies ahead.
fn elapsed(from: TimestampMs, now: TimestampMs) -> Option<Duration> {
    let millis = now.get().saturating_sub(from.get());
    u64::try_from(millis).ok().map(Duration::from_millis)
}
