//! The transaction coordinator of a store: joins the pure one, its journal and the partitions.
//!
//! ```text
//!   caller ── ask ─▶ [core] Coordinator ─▶ Append ───────▶ __transaction_state ─ ticket ─┐
//!                                         ─▶ WriteMarkers ─▶ the partitions' logs ─ ticket ─┤
//!     ▲                                   ─▶ Reply                                       │
//!     └── waits, and works off ◀── completions, and a signal ◀── callbacks of the I/O ───┘
//! ```
//!
//! Nobody works for the coordinator alone: who waits for an answer works off what came in, for
//! everyone, and so do the threads of transactional producers, which also see to timeouts.
//!
//! What if the power fails? Before the record of a decision is durable nothing is decided: the next
//! opening aborts. After it the next opening writes the markers that are missing, whichever those
//! are, before it answers anyone. The record that all markers are written goes into the journal only
//! after they are durable. A record that partitions joined is not waited for: it stands in the
//! journal before any decision, and the next opening looks for open transactions in the partitions
//! themselves (S16, S17).
//!
//! Locks: `core`, held across appends, never across a wait but for a load; then `completions`, short.
//! Callbacks of the log take `completions` alone.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log_core::clock::{Signal, Tick};
use log_core::format::TransactionResult;
use log_core::{Drive, Store, TopicPartition, callback};
use parking_lot::Mutex;

use crate::coordinator::{
    Answer, CoordinatorSettings, Event, Markers, RequestId, TransactionVersion,
};
use crate::error::TransactionError;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::journal::TransactionRecord;

mod core_state;
mod journal_log;
mod load;
mod markers;

#[cfg(test)]
mod tests;

use core_state::Core;

/// The topic of the journal (Kafka's name).
pub const TRANSACTION_STATE_TOPIC: &str = "__transaction_state";

/// Time between looks at timeouts (Kafka
/// `transaction.abort.timed.out.transaction.cleanup.interval.ms`).
const TICK_INTERVAL: Duration = Duration::from_secs(10);
/// Wait before something that failed is tried again.
const BACKOFF: Duration = Duration::from_millis(100);

/// The transaction coordinator of a store. Cheap to clone; all handles of a store are one.
///
/// Open it right after the store, before committed data is read: it completes what was decided and
/// aborts what was not. A transactional [`Producer`](crate::Producer) opens it by itself.
///
/// ```
/// use log_core::Store;
/// use txn::TransactionCoordinator;
///
/// let store = Store::in_memory();
/// let coordinator = TransactionCoordinator::open(&store)?;
/// assert!(coordinator.list()?.is_empty());
/// # Ok::<(), txn::TransactionError>(())
/// ```
#[derive(Clone)]
pub struct TransactionCoordinator {
    store: Store,
    service: Arc<Service>,
}

/// The one of a store.
#[derive(Debug, Default)]
pub(crate) struct Service {
    core: Mutex<Core>,
    completions: Arc<Completions>,
}

/// What came in and is not worked off.
#[derive(Debug, Default)]
struct Completions {
    queue: Mutex<Vec<(Generation, Done)>>,
    /// Raised when something comes in or is worked off.
    moved: Signal,
    /// Others who want to hear of it.
    bells: Mutex<BTreeMap<u64, Signal>>,
}

/// Which load of the journal something belongs to: what comes from an earlier one says nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Generation(u64);

/// Something that came in.
#[derive(Debug)]
enum Done {
    /// For the coordinator.
    Event(Event),
    /// Markers that could not be written, or are in doubt.
    Deferred(Markers),
}

impl Completions {
    fn push(&self, generation: Generation, done: Done) {
        self.queue.lock().push((generation, done));
        self.raise();
    }

    fn raise(&self) {
        self.moved.raise();
        for bell in self.bells.lock().values() {
            bell.raise();
        }
    }

    fn take(&self) -> Vec<(Generation, Done)> {
        core::mem::take(&mut *self.queue.lock())
    }
}

/// An answer that is not the one hoped for.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) error: TransactionError,
    /// An earlier try was under way when its journal went: it may have been done.
    pub(crate) maybe: bool,
}

/// What the coordinator knows of a transactional id.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TransactionDescription {
    /// The id.
    pub id: TransactionalId,
    /// What the journal says of it.
    pub record: TransactionRecord,
}

impl TransactionCoordinator {
    /// The coordinator of `store`. The first one to ask makes its journal or reads it, completes
    /// what was decided and aborts the rest.
    ///
    /// # Errors
    ///
    /// [`TransactionError::JournalUnreadable`]: half of a journal is never served;
    /// [`TransactionError::NotCoordinator`] while the journal is offline.
    ///
    /// # Durability
    ///
    /// When this returns `Ok`, every transaction whose decision was durable is visible or hidden as
    /// decided, in every partition that takes appends.
    pub fn open(store: &Store) -> Result<Self, TransactionError> {
        Self::open_with(store, CoordinatorSettings::default())
    }

    /// The same with other limits; they count for who opens it first.
    ///
    /// # Errors
    ///
    /// As [`TransactionCoordinator::open`].
    ///
    /// # Durability
    ///
    /// As [`TransactionCoordinator::open`].
    pub fn open_with(
        store: &Store,
        settings: CoordinatorSettings,
    ) -> Result<Self, TransactionError> {
        if callback::is_running() {
            return Err(TransactionError::Reentrant);
        }
        let this = Self { store: store.clone(), service: store.service::<Service>() };
        this.service.core.lock().configure(settings);
        this.with(|_| ())?;
        // What the load began, until it is done or nothing but unreachable partitions is left.
        this.wait_until(None, Core::is_quiet);
        Ok(this)
    }

    /// A producer begins a life: older ones of `id` are shut out, and their open transaction is
    /// aborted. Waits `patience` at most for what is under way.
    pub(crate) fn init_producer_id(
        &self,
        id: &TransactionalId,
        timeout: Duration,
        patience: Duration,
    ) -> Result<ProducerIdAndEpoch, TransactionError> {
        let asked = self.ask(patience, |request| Event::InitProducerId {
            request,
            id: Some(id.clone()),
            timeout,
            expected: None,
        });
        asked.map(producer).map_err(|refused| refused.error)
    }

    /// Partitions join the transaction of `producer`.
    pub(crate) fn add_partitions(
        &self,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
        partitions: &BTreeSet<TopicPartition>,
        patience: Duration,
    ) -> Result<(), Refused> {
        let asked = self.ask(patience, |request| Event::AddPartitions {
            request,
            id: id.clone(),
            producer,
            partitions: partitions.clone(),
            version: TransactionVersion::Two,
        });
        asked.map(drop)
    }

    /// The transaction of `producer` ends. Every record of it must be durable.
    pub(crate) fn end(
        &self,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
        result: TransactionResult,
        patience: Duration,
    ) -> Result<ProducerIdAndEpoch, Refused> {
        let asked = self.ask(patience, |request| Event::EndTxn {
            request,
            id: id.clone(),
            producer,
            result,
            version: TransactionVersion::Two,
        });
        asked.map(self::producer)
    }

    /// Whether an append of `producer` to `partition` belongs to a transaction that is known.
    pub(crate) fn verify(
        &self,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
        partition: &TopicPartition,
    ) -> Result<(), TransactionError> {
        self.with(|core| core.coordinator().verify(id, producer, partition))?
    }

    /// All transactional ids (Kafka `ListTransactions`, `DescribeTransactions`).
    ///
    /// # Errors
    ///
    /// As [`TransactionCoordinator::open`].
    pub fn list(&self) -> Result<Vec<TransactionDescription>, TransactionError> {
        self.with(|core| {
            let all = core.coordinator().list().map(|(id, record)| TransactionDescription {
                id: id.clone(),
                record: record.clone(),
            });
            all.collect()
        })
    }

    /// One transactional id (Kafka `DescribeTransactions`).
    ///
    /// # Errors
    ///
    /// [`TransactionError::InvalidProducerIdMapping`] if it is not known, and as
    /// [`TransactionCoordinator::open`].
    pub fn describe(
        &self,
        id: &TransactionalId,
    ) -> Result<TransactionDescription, TransactionError> {
        let record = self.with(|core| core.coordinator().describe(id).cloned())??;
        Ok(TransactionDescription { id: id.clone(), record })
    }

    /// Shuts out the producer of `id` and aborts its open transaction, if it has one. Waits
    /// `patience` at most.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; `InvalidProducerIdMapping` if the id is not known.
    ///
    /// # Durability
    ///
    /// The abort outlives power loss when this returns `Ok`.
    pub fn abort(&self, id: &TransactionalId, patience: Duration) -> Result<(), TransactionError> {
        let timeout = self.describe(id)?.record.timeout_ms.max(1).unsigned_abs();
        let timeout = Duration::from_millis(timeout.into());
        self.init_producer_id(id, timeout, patience).map(drop)
    }

    /// Works off what came in and looks at timeouts, once. Returns whether anything moved. For
    /// stores without a thread; elsewhere the threads of transactional producers do it.
    #[must_use]
    pub fn turn(&self) -> bool {
        self.with(|_| ()).is_ok_and(|()| self.service.core.lock().take_moved())
    }

    /// When [`turn`](Self::turn) has something to do, if nothing comes in before.
    pub(crate) fn due(&self) -> Tick {
        self.service.core.lock().due()
    }

    /// `bell` is raised, too, when something comes in. Returns the number to take it back with.
    pub(crate) fn listen(&self, bell: Signal) -> u64 {
        let mut bells = self.service.completions.bells.lock();
        let number = bells.last_key_value().map_or(0, |(last, _)| last + 1);
        bells.insert(number, bell);
        number
    }

    pub(crate) fn unlisten(&self, number: u64) {
        self.service.completions.bells.lock().remove(&number);
    }

    /// Works off what came in, then looks.
    fn with<T>(&self, look: impl FnOnce(&mut Core) -> T) -> Result<T, TransactionError> {
        let mut core = self.service.core.lock();
        core.work(&self.store, &self.service.completions)?;
        Ok(look(&mut core))
    }

    /// Asks until the answer is not "later", for `patience` at most.
    fn ask(
        &self,
        patience: Duration,
        event: impl Fn(RequestId) -> Event,
    ) -> Result<Answer, Refused> {
        if callback::is_running() {
            return Err(Refused { error: TransactionError::Reentrant, maybe: false });
        }
        let until = self.store.clock().tick().after(patience);
        let mut maybe = false;
        loop {
            let seen = self.service.completions.moved.seen();
            let error = match self.ask_once(&event) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            maybe |= error.leaves_open();
            let again = match error {
                // Over as soon as something moves.
                TransactionError::ConcurrentTransactions { .. }
                | TransactionError::CoordinatorLoadInProgress => self.wait(seen, Some(until)),
                _ => error.is_retriable() && self.back_off(until),
            };
            if !again {
                return Err(Refused { error, maybe });
            }
        }
    }

    fn ask_once(&self, event: impl Fn(RequestId) -> Event) -> Result<Answer, TransactionError> {
        if !self.with(Core::is_settled)? {
            self.wait_until(None, Core::is_quiet);
        }
        let request = {
            let mut core = self.service.core.lock();
            core.work(&self.store, &self.service.completions)?;
            if !core.is_settled() {
                return Err(TransactionError::CoordinatorLoadInProgress);
            }
            core.ask(&self.store, &self.service.completions, event)
        };
        self.wait_until(None, |core| core.is_answered(request));
        let answer = self.service.core.lock().take_answer(request);
        answer.unwrap_or(Err(TransactionError::Stalled))
    }

    /// Waits until `done`, working off what comes in; until `until` at most, or until nothing moves
    /// any more in a store without a thread.
    fn wait_until(&self, until: Option<Tick>, done: impl Fn(&Core) -> bool) {
        loop {
            let seen = self.service.completions.moved.seen();
            {
                let mut core = self.service.core.lock();
                // Where the journal is gone, who waits has been told.
                let _gone = core.work(&self.store, &self.service.completions);
                if done(&core) {
                    return;
                }
            }
            if !self.wait(seen, until) {
                return;
            }
        }
    }

    /// Waits a little before a request that failed is tried again; `false` as in `wait`.
    fn back_off(&self, until: Tick) -> bool {
        let clock = self.store.clock();
        let now = clock.tick();
        if now >= until {
            return false;
        }
        if self.store.drive() != Drive::Thread {
            return self.store.turn();
        }
        let nobodys = Signal::default();
        let _deadline = clock.wait(&nobodys, nobodys.seen(), Some(until.min(now.after(BACKOFF))));
        true
    }

    /// Waits until something moves; `false` if the time is over, or nothing can move any more.
    fn wait(&self, seen: u64, until: Option<Tick>) -> bool {
        let clock = self.store.clock();
        if until.is_some_and(|until| clock.tick() >= until) {
            return false;
        }
        let moved = &self.service.completions.moved;
        if self.store.drive() == Drive::Thread {
            let due = self.due();
            let wake = until.map_or(due, |until| until.min(due));
            let _woken = clock.wait(moved, seen, Some(wake));
            return true;
        }
        self.store.turn() || moved.seen() != seen
    }
}

impl fmt::Debug for TransactionCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionCoordinator").field("store", &self.store).finish_non_exhaustive()
    }
}

fn producer(answer: Answer) -> ProducerIdAndEpoch {
    match answer {
        Answer::Producer(producer) => producer,
        Answer::Added => unreachable!("whoever asked for a producer is told one"),
    }
}
