//! Why a record is not known to be in the log.
//!
//! ```text
//!   NotAppended    proven absent, now and after any reopening      send it again if you like
//!   Indeterminate  it may be in the log                            sending it again may double it
//! ```
//!
//! There is no third kind. Inside, the producer retries with the same sequence, which is harmless;
//! what comes out here is what is left when it gave up.

use core::time::Duration;

use log_core::format::BuildError;
use log_core::{AppendError, Fault, NotAppended, TopicError, TopicPartition};

use crate::error::TransactionError;
use crate::producer_ids::ProducerIdError;

/// Why a record has no offset.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "the promise: there is no third kind")]
pub enum SendError {
    /// Proven absent, now and after any reopening.
    #[error("not sent: {0}")]
    NotAppended(#[from] NotSent),
    /// Accepted at some time, and the answer never came: it may be in the log.
    #[error("may or may not be sent: {0}")]
    Indeterminate(#[from] Unsettled),
}

/// Why nothing of a record is in the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The topic or partition does not exist, or the store is closed.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The partitioner named a partition that the topic does not have.
    #[error("the partitioner chose {partition}, but the topic has {partitions} partitions")]
    Partitioner {
        /// What it chose.
        partition: TopicPartition,
        /// How many there are.
        partitions: u32,
    },
    /// The record does not go into any batch.
    #[error("the record is refused: {0}")]
    Record(#[source] BuildError),
    /// The record is larger than all of `buffer_memory`.
    #[error("the record takes {bytes} bytes and buffer_memory has {limit}: raise it")]
    TooLarge {
        /// Bytes it needs.
        bytes: usize,
        /// `buffer_memory`.
        limit: usize,
    },
    /// No room in `buffer_memory` came free within `max_block` (`BufferExhaustedException`).
    #[error(
        "no room for {bytes} bytes in buffer_memory within {waited:?}: the log is slower than the \
         sender; raise max_block or buffer_memory, or send less"
    )]
    BufferExhausted {
        /// Bytes it needs.
        bytes: usize,
        /// How long it waited.
        waited: Duration,
    },
    /// `delivery_timeout` passed before the log accepted it.
    #[error("not accepted within {delivery_timeout:?} (delivery_timeout); last refusal: {last}")]
    TimedOut {
        /// The setting.
        delivery_timeout: Duration,
        /// What stood in the way, in prose.
        last: String,
    },
    /// The log refused its batch for good.
    #[error(transparent)]
    Log(#[from] NotAppended),
    /// A newer epoch of this producer has written: this one is shut out.
    #[error("this producer is fenced: {0}")]
    Fenced(#[source] NotAppended),
    /// No producer id can be had.
    #[error(transparent)]
    ProducerId(#[from] ProducerIdError),
    /// Its transaction is to be aborted: something before it failed, or the abort was asked for.
    #[error("its transaction is to be aborted")]
    Aborted,
    /// Its partition did not join the transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// A transactional producer sends within a transaction.
    #[error("a transactional producer sends within a transaction: begin one")]
    OutsideTransaction,
    /// The producer is closed.
    #[error("the producer is closed")]
    Closed,
}

/// Why it is not known whether a record is in the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsettled {
    /// A fault after the log accepted it, and no retry is left.
    #[error(transparent)]
    Fault(Fault),
    /// `delivery_timeout` passed while an answer was outstanding.
    #[error("no answer within {delivery_timeout:?} (delivery_timeout): {last}")]
    TimedOut {
        /// The setting.
        delivery_timeout: Duration,
        /// The last answer, in prose.
        last: String,
    },
    /// An earlier try may have reached the log; a later one was refused for good.
    #[error("an earlier try may have reached the log; the last one was refused: {0}")]
    Refused(#[source] NotAppended),
    /// It is in the log, further back than the five batches whose offsets are remembered.
    #[error("it is in the log already, but its offset is not remembered: {0}")]
    Duplicate(#[source] NotAppended),
    /// The producer was closed before the answer came.
    #[error("the producer was closed before the answer came")]
    Closed,
    /// A callback may not wait for the producer that calls it.
    #[error("a callback may not wait for the producer that calls it")]
    Reentrant,
    /// Nothing moves any more: the store is driven by hand, and its partition waits for a time or a
    /// reopening that this call cannot bring about.
    #[error("nothing moves any more: advance the clock or reopen the partition, then ask again")]
    Stalled,
}

impl SendError {
    /// Whether the record is proven absent.
    #[must_use]
    pub const fn is_not_appended(&self) -> bool {
        matches!(self, Self::NotAppended(_))
    }

    /// Whether sending the same record later may succeed. For [`SendError::Indeterminate`] that may
    /// leave it in the log twice.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::NotAppended(NotSent::Log(refusal)) => refusal.is_retriable(),
            Self::NotAppended(NotSent::ProducerId(error)) => error.is_retriable(),
            Self::NotAppended(NotSent::Transaction(error)) => error.is_retriable(),
            Self::NotAppended(NotSent::BufferExhausted { .. } | NotSent::TimedOut { .. }) => true,
            Self::NotAppended(_) => false,
            Self::Indeterminate(unsettled) => !matches!(unsettled, Unsettled::Closed),
        }
    }

    /// Whether a transaction it happened in can only be aborted, after which the producer goes on.
    #[must_use]
    pub const fn is_abortable(&self) -> bool {
        !self.is_fatal()
    }

    /// Whether the producer is of no more use.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::NotAppended(NotSent::Transaction(error)) => error.is_fatal(),
            Self::NotAppended(NotSent::Fenced(_) | NotSent::Closed)
            | Self::Indeterminate(Unsettled::Closed) => true,
            Self::NotAppended(_) | Self::Indeterminate(_) => false,
        }
    }

    /// Kafka's error code.
    #[must_use]
    pub fn kafka_code(&self) -> i16 {
        match self {
            Self::NotAppended(NotSent::Topic(error)) => error.kafka_code(),
            Self::NotAppended(NotSent::Record(error)) => error.kafka_code().unwrap_or(10),
            Self::NotAppended(NotSent::Log(refusal))
            | Self::Indeterminate(Unsettled::Refused(refusal) | Unsettled::Duplicate(refusal)) => {
                refusal.kafka_code()
            }
            Self::NotAppended(NotSent::ProducerId(error)) => error.kafka_code(),
            Self::NotAppended(NotSent::Transaction(error)) => error.kafka_code(),
            Self::NotAppended(NotSent::Partitioner { .. }) => 3,
            Self::NotAppended(NotSent::OutsideTransaction) => 48,
            Self::NotAppended(NotSent::Aborted) => 120,
            Self::NotAppended(NotSent::TooLarge { .. }) => 10,
            Self::NotAppended(NotSent::BufferExhausted { .. } | NotSent::TimedOut { .. })
            | Self::Indeterminate(Unsettled::TimedOut { .. }) => 7,
            Self::NotAppended(NotSent::Fenced(_)) => 90,
            Self::Indeterminate(Unsettled::Fault(fault)) => fault.kafka_code(),
            Self::NotAppended(NotSent::Closed)
            | Self::Indeterminate(Unsettled::Closed | Unsettled::Reentrant | Unsettled::Stalled) => {
                -1
            }
        }
    }
}

/// What the log said of a batch, as far as the producer acts on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Neither the next sequence nor one of those before: the batch is not in the log.
    Gap,
    /// Nothing is known of the producer: the batch is not in the log, or its trace is lost.
    Unknown,
    /// In the log, too far back to say where.
    OldDuplicate,
    /// A newer epoch has written.
    Fenced,
    /// Too many bytes at once.
    TooLarge,
    /// Something else.
    Other,
}

impl Verdict {
    pub(super) const fn of(refusal: &NotAppended) -> Self {
        match refusal {
            NotAppended::OutOfOrderSequence { .. } => Self::Gap,
            NotAppended::UnknownProducerId { .. } => Self::Unknown,
            NotAppended::DuplicateSequence { .. } => Self::OldDuplicate,
            NotAppended::InvalidProducerEpoch { .. } => Self::Fenced,
            NotAppended::TooLarge { .. } | NotAppended::ListTooLarge { .. } => Self::TooLarge,
            _ => Self::Other,
        }
    }
}

/// What stood in the way, for a timeout's message.
pub(super) fn prose(error: Option<&AppendError>) -> String {
    error.map_or_else(|| "none, it was not tried".to_owned(), ToString::to_string)
}
