//! What a transactional producer knows of itself (Kafka `TransactionManager`).
//!
//! ```text
//!            begin            commit, abort: answered
//!   Ready ─────────▶ Open ──────────────────────────────▶ Ready, next epoch
//!     ▲               │ no answer
//!     │    answered   ▼
//!     └────────── Unsettled: only the same end may be asked for again (S19)
//!   Fatal: another producer has the id
//! ```
//!
//! What if the power fails? Until the decision is durable nothing is committed, and a commit is asked
//! for only when every record is (S16). With the process the doubt goes, too: the next opening
//! completes what is decided and aborts the rest.

use std::collections::BTreeSet;

use log_core::clock::Signal;
use log_core::format::TransactionResult;
use log_core::{Store, TopicPartition, callback};
use parking_lot::Mutex;

use super::sender::Sender;
use super::settings::Settings;
use super::transaction::{BeginError, CommitError, Outcome};
use crate::driver::{Refused, TransactionCoordinator};
use crate::error::TransactionError;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};

/// The transactional half of a producer.
#[derive(Debug)]
pub(super) struct Transactional {
    coordinator: TransactionCoordinator,
    id: TransactionalId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    identity: ProducerIdAndEpoch,
    standing: Standing,
    /// The partitions of the open transaction.
    joined: BTreeSet<TopicPartition>,
    /// The coordinator may know of it.
    begun: bool,
    /// What the coordinator's bell is listed under.
    bell: Option<u64>,
}

#[derive(Clone, Debug)]
enum Standing {
    Ready,
    Open,
    Unsettled(TransactionResult),
    Fatal(TransactionError),
}

impl Transactional {
    /// Begins the producer's life: all older ones of `id` are shut out.
    ///
    /// # Durability
    ///
    /// Its epoch is in the journal when this returns `Ok`: no older one is taken again (T5).
    pub(super) fn init(
        store: &Store,
        id: &TransactionalId,
        settings: &Settings,
    ) -> Result<Self, TransactionError> {
        let coordinator = TransactionCoordinator::open(store)?;
        let (timeout, patience) = (settings.transaction_timeout, settings.max_block);
        let identity = coordinator.init_producer_id(id, timeout, patience)?;
        let state = State {
            identity,
            standing: Standing::Ready,
            joined: BTreeSet::new(),
            begun: false,
            bell: None,
        };
        Ok(Self { coordinator, id: id.clone(), state: Mutex::new(state) })
    }

    pub(super) fn identity(&self) -> ProducerIdAndEpoch {
        self.state.lock().identity
    }

    pub(super) fn coordinator(&self) -> TransactionCoordinator {
        self.coordinator.clone()
    }

    /// `bell` is to be raised when something comes in for the coordinator.
    pub(super) fn listen(&self, bell: Signal) {
        self.state.lock().bell = Some(self.coordinator.listen(bell));
    }

    pub(super) fn unlisten(&self) {
        if let Some(number) = self.state.lock().bell.take() {
            self.coordinator.unlisten(number);
        }
    }

    pub(super) fn begin(&self, sender: &Sender) -> Result<(), BeginError> {
        let standing = self.state.lock().standing.clone();
        match standing {
            Standing::Ready => {}
            Standing::Open => return Err(BeginError::Open),
            Standing::Unsettled(TransactionResult::Commit) => return Err(BeginError::Unsettled),
            Standing::Unsettled(TransactionResult::Abort) => self.abort(sender)?,
            Standing::Fatal(error) => return Err(error.into()),
        }
        let mut state = self.state.lock();
        // Somebody else was as quick.
        if !matches!(state.standing, Standing::Ready) {
            return Err(BeginError::Open);
        }
        state.standing = Standing::Open;
        Ok(())
    }

    /// `partition` becomes part of the transaction.
    ///
    /// # Durability
    ///
    /// None, and none is needed: it is in the journal before any decision, and an opening that does
    /// not find it there finds the transaction open in the partition.
    pub(super) fn join(
        &self,
        sender: &Sender,
        partition: &TopicPartition,
    ) -> Result<(), TransactionError> {
        let identity = {
            let state = self.state.lock();
            if state.joined.contains(partition) {
                return Ok(());
            }
            state.identity
        };
        let partitions = BTreeSet::from([partition.clone()]);
        let patience = sender.patience();
        let asked = self.coordinator.add_partitions(&self.id, identity, &partitions, patience);
        let mut state = self.state.lock();
        match asked {
            Ok(()) => {
                state.begun = true;
                state.joined.insert(partition.clone());
                Ok(())
            }
            Err(Refused { error, maybe }) => {
                state.begun |= maybe;
                Err(error)
            }
        }
    }

    /// Commits the open transaction.
    pub(super) fn commit(&self, sender: &Sender) -> Result<(), CommitError> {
        if callback::is_running() {
            self.state.lock().standing = Standing::Unsettled(TransactionResult::Abort);
            return Err(CommitError::Refused(TransactionError::Reentrant));
        }
        let flushed = sender.flush(None);
        if let Some(error) = sender.failed() {
            let _later = self.abort(sender);
            return Err(CommitError::NotSent(error));
        }
        if !flushed {
            let _later = self.abort(sender);
            return Err(CommitError::Refused(TransactionError::Stalled));
        }
        if !self.state.lock().begun {
            self.state.lock().standing = Standing::Ready;
            return Ok(());
        }
        self.state.lock().standing = Standing::Unsettled(TransactionResult::Commit);
        self.ask_commit(sender, false)
    }

    /// Asks for the commit; `before` says that it was asked for already, without an answer.
    fn ask_commit(&self, sender: &Sender, before: bool) -> Result<(), CommitError> {
        let identity = self.identity();
        let (asked, patience) = (TransactionResult::Commit, sender.patience());
        let Refused { error, maybe } =
            match self.coordinator.end(&self.id, identity, asked, patience) {
                Ok(next) => {
                    self.go_on(sender, next);
                    return Ok(());
                }
                Err(refused) => refused,
            };
        let maybe = maybe || before;
        match error {
            // The coordinator aborted it, and says so: its answer to an abort is the next epoch.
            TransactionError::InvalidTxnState { .. } => {
                let _later = self.abort(sender);
                Err(CommitError::Refused(error))
            }
            _ if error.is_fatal() => {
                self.state.lock().standing = Standing::Fatal(error.clone());
                Err(if maybe {
                    CommitError::Indeterminate(error)
                } else {
                    CommitError::Refused(error)
                })
            }
            _ if maybe => Err(CommitError::Indeterminate(error)),
            _ => {
                let _later = self.abort(sender);
                Err(CommitError::Refused(error))
            }
        }
    }

    /// Aborts the open transaction, or goes on aborting it.
    pub(super) fn abort(&self, sender: &Sender) -> Result<(), TransactionError> {
        let unsettled = Standing::Unsettled(TransactionResult::Abort);
        self.state.lock().standing = unsettled;
        if callback::is_running() {
            return Err(TransactionError::Reentrant);
        }
        if !sender.discard() {
            return Err(TransactionError::Stalled);
        }
        let (identity, begun) = {
            let state = self.state.lock();
            (state.identity, state.begun)
        };
        if !begun {
            // No partition was asked to join, so no batch went out in this epoch.
            self.go_on(sender, identity);
            return Ok(());
        }
        let (asked, patience) = (TransactionResult::Abort, sender.patience());
        match self.coordinator.end(&self.id, identity, asked, patience) {
            Ok(next) => {
                self.go_on(sender, next);
                Ok(())
            }
            Err(Refused { error, .. }) => {
                if error.is_fatal() {
                    self.state.lock().standing = Standing::Fatal(error.clone());
                }
                Err(error)
            }
        }
    }

    /// Finds out what became of a commit without an answer.
    pub(super) fn settle(&self, sender: &Sender) -> Result<Option<Outcome>, CommitError> {
        if !matches!(self.state.lock().standing, Standing::Unsettled(TransactionResult::Commit)) {
            return Ok(None);
        }
        match self.ask_commit(sender, true) {
            Ok(()) => Ok(Some(Outcome::Committed)),
            Err(error @ CommitError::Indeterminate(_)) => Err(error),
            Err(CommitError::Refused(_) | CommitError::NotSent(_)) => Ok(Some(Outcome::Aborted)),
        }
    }

    /// The transaction is over, and the next one goes by `next`.
    fn go_on(&self, sender: &Sender, next: ProducerIdAndEpoch) {
        sender.adopt(next);
        let mut state = self.state.lock();
        state.identity = next;
        state.joined.clear();
        state.begun = false;
        state.standing = Standing::Ready;
    }
}
