//! The transaction coordinator, pure: events and time in, commands out. It has no log and no clock.
//!
//! ```text
//!   events                        one id                          commands
//!   InitProducerId, AddPartitions, ─▶ checks ─▶ pending target ─▶ Append   a record of the journal
//!   EndTxn                                          │
//!   Written ───────────────────────────────────────▶ it is so ─▶ Reply, WriteMarkers
//!   MarkerAnswered … all of them ─▶ pending Complete ─────────▶ Append
//!   Tick                            timeouts, expiry ─────────▶ Append
//! ```
//!
//! While a target is pending its id answers everything else with `ConcurrentTransactions`, so
//! nothing overtakes a decision (S16). What the journal did not take never was, but for one thing:
//! an epoch that was raised to fence stays raised, so that a fence that fails again and again does
//! not use up the epochs (KAFKA-9666).
//!
//! Source: Kafka `TransactionCoordinator`, `TransactionMetadata`, `TransactionStateManager`,
//! KIP-98, KIP-360, KIP-890.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use log_core::TopicPartition;
use log_core::format::TransactionResult;
use log_core::ids::{ProducerEpoch, ProducerId, TimestampMs};

use crate::error::TransactionError;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::journal::TransactionRecord;
use crate::state::TransactionState::{
    CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit,
    PrepareEpochFence,
};

mod add;
mod end;
mod init;
mod messages;
mod passage;
mod recover;

#[cfg(test)]
mod tests;

pub use messages::{
    Answer, Command, Event, MarkerOutcome, Markers, RequestId, TransactionVersion, WriteId,
    WriteOutcome,
};

/// Ids below which more are asked for: a tenth of Kafka's block.
const SUPPLY_LOW: usize = 100;

/// The limits of a coordinator.
#[derive(Clone, Copy, Debug)]
pub struct CoordinatorSettings {
    timeout_max: Duration,
    expiration: Duration,
    keep_ongoing: bool,
}

impl Default for CoordinatorSettings {
    fn default() -> Self {
        Self {
            timeout_max: Duration::from_mins(15),
            expiration: Duration::from_hours(7 * 24),
            keep_ongoing: false,
        }
    }
}

impl CoordinatorSettings {
    /// Longest timeout a transaction may ask for (`transaction.max.timeout.ms`, 15 min).
    #[must_use]
    pub const fn timeout_max(self, timeout_max: Duration) -> Self {
        Self { timeout_max, ..self }
    }

    /// Time after which an id that nobody used is forgotten
    /// (`transactional.id.expiration.ms`, 7 days).
    #[must_use]
    pub const fn expiration(self, expiration: Duration) -> Self {
        Self { expiration, ..self }
    }

    /// Whether a transaction that the journal does not decide outlives a load, as in a cluster
    /// whose producers live on. Otherwise it is aborted at once: in one process they are gone.
    #[must_use]
    pub const fn keep_ongoing(self, keep_ongoing: bool) -> Self {
        Self { keep_ongoing, ..self }
    }
}

/// Whether requests are answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// The journal is being read.
    Loading,
    /// Yes.
    Serving,
    /// The journal is gone: what it holds is not known.
    Lost,
}

/// All transactional ids of a journal.
#[derive(Debug)]
pub struct Coordinator {
    settings: CoordinatorSettings,
    mode: Mode,
    /// What markers carry.
    marker_epoch: i32,
    transactions: BTreeMap<TransactionalId, Transaction>,
    /// Which id a record under way belongs to.
    writes: BTreeMap<WriteId, TransactionalId>,
    next_write: u64,
    supply: VecDeque<ProducerId>,
    claiming: bool,
}

/// One transactional id.
#[derive(Debug)]
struct Transaction {
    record: TransactionRecord,
    /// The epoch before the last bump, if whoever asked for it named it.
    last_epoch: ProducerEpoch,
    pending: Option<Pending>,
    /// An epoch was raised to fence and is not in the journal.
    failed_fence: bool,
    /// Partitions without their marker.
    markers_left: BTreeSet<TopicPartition>,
    /// The record that all markers are written was refused.
    complete_due: bool,
}

/// A change that waits for its record.
#[derive(Debug)]
struct Pending {
    write: WriteId,
    /// `None` forgets the id.
    target: Option<TransactionRecord>,
    last_epoch: ProducerEpoch,
    then: Then,
}

/// What follows once a change is durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    /// The producer's identity is the answer.
    Init(RequestId),
    /// The partitions have joined.
    Add(RequestId),
    /// The outcome is decided: the answer, then markers.
    End(RequestId, ProducerIdAndEpoch),
    /// The older producer is shut out: whoever asked has to ask again; markers.
    Fence(Option<RequestId>),
    /// It is over.
    Complete,
    /// It is forgotten.
    Expire,
}

impl Transaction {
    const fn new(record: TransactionRecord) -> Self {
        Self {
            record,
            last_epoch: ProducerEpoch::NONE,
            pending: None,
            failed_fence: false,
            markers_left: BTreeSet::new(),
            complete_due: false,
        }
    }

    const fn producer(&self) -> ProducerIdAndEpoch {
        ProducerIdAndEpoch { id: self.record.producer_id, epoch: self.record.producer_epoch }
    }
}

impl Coordinator {
    /// A coordinator whose journal is still to be read: it answers `CoordinatorLoadInProgress`
    /// until [`Event::Loaded`].
    #[must_use]
    pub const fn new(settings: CoordinatorSettings) -> Self {
        Self {
            settings,
            mode: Mode::Loading,
            marker_epoch: 0,
            transactions: BTreeMap::new(),
            writes: BTreeMap::new(),
            next_write: 0,
            supply: VecDeque::new(),
            claiming: false,
        }
    }

    /// Takes one event; what is to be done is added to `out`. Every request gets exactly one
    /// [`Command::Reply`], now or after a later event.
    pub fn on(&mut self, event: Event, now: TimestampMs, out: &mut Vec<Command>) {
        match event {
            Event::InitProducerId { request, id, timeout, expected } => {
                let outcome = self.init(request, id, timeout, expected, now, out);
                refuse(request, outcome, out);
            }
            Event::AddPartitions { request, id, producer, partitions, version } => {
                let outcome = self.add(request, &id, producer, partitions, version, now, out);
                refuse(request, outcome, out);
            }
            Event::EndTxn { request, id, producer, result, version } => {
                let outcome = self.end(request, &id, producer, result, version, now, out);
                refuse(request, outcome, out);
            }
            Event::Written { write, outcome } => self.written(write, outcome, now, out),
            Event::MarkerAnswered { id, producer, partition, outcome } => {
                self.marker_answered(&id, producer, &partition, outcome, now, out);
            }
            Event::ProducerIds { ids } => {
                self.claiming = false;
                self.supply.extend(ids);
            }
            Event::Tick => self.tick(now, out),
            Event::JournalLost => self.lose(out),
            Event::Loading => self.begin_load(out),
            Event::Record { id, record } => self.load(id, record),
            Event::Loaded { coordinator_epoch } => self.loaded(coordinator_epoch, now, out),
        }
        self.check();
    }

    /// What the coordinator knows of an id.
    ///
    /// # Errors
    ///
    /// [`TransactionError::InvalidProducerIdMapping`] if that is nothing, and what the mode says.
    pub fn describe(&self, id: &TransactionalId) -> Result<&TransactionRecord, TransactionError> {
        self.serving()?;
        self.find(id, ProducerId::NONE).map(|transaction| &transaction.record)
    }

    /// All ids and what is known of them.
    pub fn list(&self) -> impl Iterator<Item = (&TransactionalId, &TransactionRecord)> {
        self.transactions.iter().map(|(id, transaction)| (id, &transaction.record))
    }

    /// The highest producer id of any transactional id: none below it may be handed out anew.
    #[must_use]
    pub fn producer_id_max(&self) -> ProducerId {
        let ids = self.transactions.values().flat_map(|transaction| {
            let record = &transaction.record;
            [record.producer_id, record.previous_producer_id, record.next_producer_id]
        });
        ids.fold(ProducerId::NONE, ProducerId::max)
    }

    fn serving(&self) -> Result<(), TransactionError> {
        match self.mode {
            Mode::Serving => Ok(()),
            Mode::Loading => Err(TransactionError::CoordinatorLoadInProgress),
            Mode::Lost => Err(TransactionError::NotCoordinator),
        }
    }

    fn find(
        &self,
        id: &TransactionalId,
        producer_id: ProducerId,
    ) -> Result<&Transaction, TransactionError> {
        self.transactions.get(id).ok_or_else(|| TransactionError::InvalidProducerIdMapping {
            id: id.clone(),
            producer_id,
        })
    }

    /// An id for a producer; asks for more in time.
    fn take_producer_id(&mut self, out: &mut Vec<Command>) -> Result<ProducerId, TransactionError> {
        let taken = self.supply.pop_front();
        if self.supply.len() < SUPPLY_LOW && !self.claiming {
            self.claiming = true;
            out.push(Command::ClaimProducerIds);
        }
        taken.ok_or(TransactionError::CoordinatorLoadInProgress)
    }

    /// Begins a change: nothing is so before its record is durable.
    fn propose(
        &mut self,
        id: &TransactionalId,
        target: Option<TransactionRecord>,
        last_epoch: ProducerEpoch,
        then: Then,
        out: &mut Vec<Command>,
    ) -> Result<(), TransactionError> {
        let Some(transaction) = self.transactions.get_mut(id) else { return Ok(()) };
        let from = transaction.record.state;
        let to = target.as_ref().map_or(Dead, |target| target.state);
        let legal = match then {
            Then::Fence(_) => {
                from.may_become(PrepareEpochFence) && PrepareEpochFence.may_become(to)
            }
            _ => from.may_become(to),
        };
        if !legal || transaction.pending.is_some() {
            debug_assert!(false, "{id} from {from:?} to {to:?}, pending {:?}", transaction.pending);
            return Err(TransactionError::IllegalState { id: id.clone(), state: from });
        }
        let write = WriteId(self.next_write);
        self.next_write += 1;
        self.writes.insert(write, id.clone());
        out.push(Command::Append { write, id: id.clone(), record: target.clone() });
        transaction.pending = Some(Pending { write, target, last_epoch, then });
        Ok(())
    }

    /// What must always hold.
    fn check(&self) {
        debug_assert!(self.transactions.values().all(|transaction| {
            let prepared = transaction.record.state.is_prepared();
            let pending = transaction.pending.as_ref().map(|pending| pending.write);
            (prepared || transaction.markers_left.is_empty())
                && transaction.record.state != PrepareEpochFence
                && pending.is_none_or(|write| self.writes.contains_key(&write))
        }));
    }
}

/// Turns a refusal into its answer.
fn refuse(request: RequestId, outcome: Result<(), TransactionError>, out: &mut Vec<Command>) {
    if let Err(error) = outcome {
        out.push(Command::Reply { request, answer: Err(error) });
    }
}
