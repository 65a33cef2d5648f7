//! What the transaction coordinator refuses, in Kafka's words and numbers.
//!
//! ```text
//!   retriable   wait a little, ask again            ConcurrentTransactions, Coordinator…
//!   abortable   abort the transaction, go on        TransactionAbortable, …
//!   fatal       this producer is of no more use     ProducerFenced, InvalidTxnState, …
//! ```

use core::time::Duration;

use log_core::ids::{ProducerEpoch, ProducerId};

use crate::ids::TransactionalId;
use crate::state::TransactionState;

/// Why the coordinator does not do what it was asked to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The request contradicts itself (`INVALID_REQUEST`).
    #[error("the request is refused: {reason}")]
    InvalidRequest {
        /// How.
        reason: &'static str,
    },
    /// The timeout is zero or above the maximum (`INVALID_TRANSACTION_TIMEOUT`).
    #[error("a transaction timeout of {timeout:?} is refused: it must be 1 ms to {max:?}")]
    InvalidTransactionTimeout {
        /// The one asked for.
        timeout: Duration,
        /// The largest one.
        max: Duration,
    },
    /// The journal is being read, or no producer id is at hand (`COORDINATOR_LOAD_IN_PROGRESS`).
    #[error("the coordinator is loading: ask again")]
    CoordinatorLoadInProgress,
    /// The journal did not take the record (`COORDINATOR_NOT_AVAILABLE`).
    #[error("the coordinator's journal takes no records now: ask again")]
    CoordinatorNotAvailable,
    /// The journal is gone; whoever has it now knows more (`NOT_COORDINATOR`).
    #[error("the coordinator lost its journal: ask again once it is reopened")]
    NotCoordinator,
    /// The journal, or what stands in it, cannot be read: nothing is served, for half of it could
    /// say the opposite of the whole (`COORDINATOR_NOT_AVAILABLE`).
    #[error("the journal of transactions cannot be read: {reason}")]
    JournalUnreadable {
        /// What is wrong, and where.
        reason: String,
    },
    /// Nothing moves any more: the store is driven by hand, and what is waited for needs a time or a
    /// reopening that the call cannot bring about (`REQUEST_TIMED_OUT`).
    #[error("nothing moves any more: advance the clock or reopen the partition, then ask again")]
    Stalled,
    /// A callback may not wait for the coordinator (`REQUEST_TIMED_OUT`).
    #[error("a callback may not wait for the coordinator: ask from another thread")]
    Reentrant,
    /// Another change of this id is under way (`CONCURRENT_TRANSACTIONS`).
    #[error("{id} has another change under way: ask again")]
    ConcurrentTransactions {
        /// The id.
        id: TransactionalId,
    },
    /// The id is not known, or belongs to another producer (`INVALID_PRODUCER_ID_MAPPING`).
    #[error("{id} is not known with producer {producer_id}: build the producer anew")]
    InvalidProducerIdMapping {
        /// The id.
        id: TransactionalId,
        /// The producer that asked.
        producer_id: ProducerId,
    },
    /// A newer life of the producer has begun (`PRODUCER_FENCED`).
    #[error("producer {producer_id} of {id} is fenced: its epoch {found} is not the current one")]
    ProducerFenced {
        /// The id.
        id: TransactionalId,
        /// The producer that asked.
        producer_id: ProducerId,
        /// Its epoch.
        found: ProducerEpoch,
    },
    /// The transaction is in a state that rules it out (`INVALID_TXN_STATE`).
    #[error("{id} is {state:?}: {reason}")]
    InvalidTxnState {
        /// The id.
        id: TransactionalId,
        /// Where it stands.
        state: TransactionState,
        /// What that rules out.
        reason: &'static str,
    },
    /// The partition is not part of the transaction (`TRANSACTION_ABORTABLE`).
    #[error("the transaction of {id} does not hold that partition: abort it")]
    TransactionAbortable {
        /// The id.
        id: TransactionalId,
    },
    /// A broken invariant of the coordinator (`UNKNOWN_SERVER_ERROR`).
    #[error("{id} is {state:?}, which no request may find")]
    IllegalState {
        /// The id.
        id: TransactionalId,
        /// Where it stands.
        state: TransactionState,
    },
}

impl TransactionError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::InvalidRequest { .. } => 42,
            Self::InvalidTransactionTimeout { .. } => 50,
            Self::CoordinatorLoadInProgress => 14,
            Self::CoordinatorNotAvailable | Self::JournalUnreadable { .. } => 15,
            Self::Stalled | Self::Reentrant => 7,
            Self::NotCoordinator => 16,
            Self::ConcurrentTransactions { .. } => 51,
            Self::InvalidProducerIdMapping { .. } => 49,
            Self::ProducerFenced { .. } => 90,
            Self::InvalidTxnState { .. } => 48,
            Self::TransactionAbortable { .. } => 120,
            Self::IllegalState { .. } => -1,
        }
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(
            self,
            Self::CoordinatorLoadInProgress
                | Self::CoordinatorNotAvailable
                | Self::NotCoordinator
                | Self::ConcurrentTransactions { .. }
                | Self::Stalled
        )
    }

    /// Whether what was asked for may have been done all the same.
    #[must_use]
    pub const fn leaves_open(&self) -> bool {
        matches!(self, Self::NotCoordinator | Self::Stalled)
    }

    /// Whether aborting the transaction is the way on.
    #[must_use]
    pub const fn is_abortable(&self) -> bool {
        matches!(self, Self::TransactionAbortable { .. })
    }

    /// Whether the producer is of no more use.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !self.is_retriable()
            && !self.is_abortable()
            && !matches!(
                self,
                Self::InvalidRequest { .. }
                    | Self::InvalidTransactionTimeout { .. }
                    | Self::JournalUnreadable { .. }
                    | Self::Reentrant
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_retriable_abortable_or_fatal_but_never_two_of_them() {
        let id = TransactionalId::new("t").unwrap();
        let (producer_id, found) = (ProducerId::NONE, ProducerEpoch::NONE);
        let state = TransactionState::Dead;
        let (timeout, max) = (Duration::ZERO, Duration::ZERO);
        let errors = [
            TransactionError::InvalidRequest { reason: "" },
            TransactionError::InvalidTransactionTimeout { timeout, max },
            TransactionError::CoordinatorLoadInProgress,
            TransactionError::CoordinatorNotAvailable,
            TransactionError::NotCoordinator,
            TransactionError::JournalUnreadable { reason: String::new() },
            TransactionError::Stalled,
            TransactionError::Reentrant,
            TransactionError::ConcurrentTransactions { id: id.clone() },
            TransactionError::InvalidProducerIdMapping { id: id.clone(), producer_id },
            TransactionError::ProducerFenced { id: id.clone(), producer_id, found },
            TransactionError::InvalidTxnState { id: id.clone(), state, reason: "" },
            TransactionError::TransactionAbortable { id: id.clone() },
            TransactionError::IllegalState { id, state },
        ];
        for error in errors {
            let kinds = [error.is_retriable(), error.is_abortable(), error.is_fatal()];
            assert!(kinds.iter().filter(|kind| **kind).count() <= 1, "{error}");
        }
    }
}
