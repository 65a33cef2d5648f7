//! One transaction, from begin to end.
//!
//! ```text
//!   begin ─▶ Transaction ─┬─ send … ─┬─ commit ─▶ Ok: seen     Err: not seen, or not known
//!                         │          └─ abort ──▶ never seen
//!                         └─ dropped ───────────▶ never seen
//! ```

use core::fmt;

use log_core::TopicPartition;

use super::error::SendError;
use super::record::ProducerRecord;
use super::ticket::SendTicket;
use super::transactional::Transactional;
use super::{Callback, NotSent, Producer, RecordMetadata};
use crate::error::TransactionError;

/// A transaction that is open. Dropped, it is aborted.
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction<'p> {
    producer: &'p Producer,
    transactional: &'p Transactional,
    ended: bool,
}

/// Why no transaction can begin.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// The producer has no transactional id.
    #[error("the producer has no transactional id: build it with one")]
    NotTransactional,
    /// One is open already (`INVALID_TXN_STATE`).
    #[error("a transaction is open already: a producer has one at a time")]
    Open,
    /// Whether the last one was committed is not known: [`Producer::settle`] finds out.
    #[error("whether the last transaction was committed is not known: settle it first")]
    Unsettled,
    /// The last one cannot be aborted now, or the producer is of no more use.
    #[error(transparent)]
    Coordinator(#[from] TransactionError),
}

impl BeginError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::Coordinator(error) if error.is_retriable())
    }

    /// Whether the producer is of no more use.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        matches!(self, Self::Coordinator(error) if error.is_fatal())
    }

    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::NotTransactional | Self::Open | Self::Unsettled => 48,
            Self::Coordinator(error) => error.kafka_code(),
        }
    }
}

/// Why a commit is not known to have happened.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "not committed, for two reasons, or not known")]
pub enum CommitError {
    /// A record of it was not sent: it is aborted, nothing of it will ever be seen.
    #[error("aborted, because a record was not sent: {0}")]
    NotSent(#[source] SendError),
    /// The coordinator refused: it is aborted, nothing of it will ever be seen.
    #[error("aborted: {0}")]
    Refused(#[source] TransactionError),
    /// It may be committed: [`Producer::settle`] finds out.
    #[error("may or may not be committed: {0}")]
    Indeterminate(#[source] TransactionError),
}

impl CommitError {
    /// Whether nothing of the transaction will ever be seen.
    #[must_use]
    pub const fn is_aborted(&self) -> bool {
        !matches!(self, Self::Indeterminate(_))
    }

    /// Whether the producer is of no more use.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::NotSent(error) => error.is_fatal(),
            Self::Refused(error) | Self::Indeterminate(error) => error.is_fatal(),
        }
    }

    /// Kafka's error code.
    #[must_use]
    pub fn kafka_code(&self) -> i16 {
        match self {
            Self::NotSent(error) => error.kafka_code(),
            Self::Refused(error) | Self::Indeterminate(error) => error.kafka_code(),
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a transaction ends in one of two ways")]
pub enum Outcome {
    /// All of it is seen.
    Committed,
    /// Nothing of it ever is.
    Aborted,
}

impl<'p> Transaction<'p> {
    pub(super) const fn new(producer: &'p Producer, transactional: &'p Transactional) -> Self {
        Self { producer, transactional, ended: false }
    }

    /// Sends a record as part of the transaction. The first one to a partition waits until the
    /// coordinator knows of it, for `max_block` at most.
    ///
    /// # Errors
    ///
    /// [`SendError`]; after any error, here or of a ticket, the transaction can only be aborted.
    ///
    /// # Durability
    ///
    /// As [`Producer::send`]; it counts once the transaction is committed.
    pub fn send(&self, record: ProducerRecord<'_>) -> Result<SendTicket, SendError> {
        self.checked(|| {
            self.join(&self.producer.place(&record)?)?;
            self.producer.take(&record, None)
        })
    }

    /// The same, with a callback for the answer: see [`Producer::send_with`].
    ///
    /// # Errors
    ///
    /// As [`Transaction::send`]; the callback is not called then.
    ///
    /// # Durability
    ///
    /// As [`Transaction::send`].
    pub fn send_with(
        &self,
        record: ProducerRecord<'_>,
        call: impl FnOnce(Result<RecordMetadata, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let call: Callback = Box::new(call);
        self.checked(|| {
            self.join(&self.producer.place(&record)?)?;
            self.producer.take(&record, Some(call)).map(drop)
        })
    }

    /// Waits until every record is durable, then commits.
    ///
    /// # Errors
    ///
    /// [`CommitError`] says whether it is aborted or not known.
    ///
    /// # Durability
    ///
    /// `Ok` means that the commit outlives power loss, and that readers of committed data who come
    /// from now on see all of it. Cut in between, the next opening finds it committed or aborted, in
    /// all partitions alike.
    pub fn commit(mut self) -> Result<(), CommitError> {
        self.ended = true;
        self.transactional.commit(&self.producer.0.sender)
    }

    /// Aborts: nothing of it will be seen.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]: nothing of it will be seen all the same, but readers of committed data
    /// wait where it begins until the next [`Producer::begin`], its timeout, or the next opening.
    ///
    /// # Durability
    ///
    /// `Ok` means that the abort outlives power loss; without it the next opening aborts.
    pub fn abort(mut self) -> Result<(), TransactionError> {
        self.ended = true;
        self.transactional.abort(&self.producer.0.sender)
    }

    /// The record's partition becomes part of the transaction, if it is not.
    fn join(&self, partition: &TopicPartition) -> Result<(), SendError> {
        let joined = self.transactional.join(&self.producer.0.sender, partition);
        joined.map_err(|error| NotSent::Transaction(error).into())
    }

    /// An error leaves only the abort.
    fn checked<T>(&self, send: impl FnOnce() -> Result<T, SendError>) -> Result<T, SendError> {
        let outcome = send();
        if let Err(error) = &outcome {
            self.producer.0.sender.fail(error);
        }
        outcome
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // What stays open is aborted by the next begin, its timeout, or the next opening.
            let _later = self.transactional.abort(&self.producer.0.sender);
        }
    }
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(self.transactional).finish()
    }
}
