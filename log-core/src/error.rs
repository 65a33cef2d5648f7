//! What can go wrong, said once: faults of the disk, and refusals of an append.
//!
//! ```text
//!   an answer    Ok        a duplicate, an empty fetch, a cut tail (with counts)
//!   a refusal    enum      the caller can act: one enum per operation, with Kafka's code
//!   a fault      Fault     disk or damage: kind, file, position, cause
//! ```
//!
//! An append that fails is [`AppendError::NotAppended`] (proven absent, now and after any reopen)
//! or [`AppendError::Indeterminate`] (may be found after a reopen). There is no third kind.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::format::BatchError;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};

/// What kind of fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FaultKind {
    /// A write failed, and may have reached the disk in part.
    Write,
    /// A flush failed: nothing since the last good one is known to be durable.
    Sync,
    /// A read failed.
    Read,
    /// A name could not be created, renamed, removed or made durable.
    Directory,
    /// Stored bytes are not what was written.
    Damage,
    /// The I/O thread is gone.
    Stopped,
    /// A blocking call from within a callback of this store, which would wait for itself.
    Reentrant,
    /// A broken invariant of this library.
    Bug,
}

/// Something the disk did, or a bug: where, and why. Cheap to clone.
#[derive(Clone)]
pub struct Fault(Arc<FaultInner>);

struct FaultInner {
    kind: FaultKind,
    path: PathBuf,
    position: Option<u64>,
    what: String,
    source: Option<io::Error>,
}

impl Fault {
    /// A fault of `kind` on `path` while doing `what`.
    pub(crate) fn new(kind: FaultKind, path: &Path, what: impl Into<String>) -> Self {
        Self::build(kind, path, None, what.into(), None)
    }

    /// The same with the system's error.
    pub(crate) fn io(kind: FaultKind, path: &Path, what: &str, source: io::Error) -> Self {
        Self::build(kind, path, None, what.to_owned(), Some(source))
    }

    /// The same at a byte of the file.
    pub(crate) fn at(kind: FaultKind, path: &Path, position: u64, what: impl Into<String>) -> Self {
        Self::build(kind, path, Some(position), what.into(), None)
    }

    fn build(
        kind: FaultKind,
        path: &Path,
        position: Option<u64>,
        what: String,
        source: Option<io::Error>,
    ) -> Self {
        Self(Arc::new(FaultInner { kind, path: path.to_owned(), position, what, source }))
    }

    /// What kind.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.0.kind
    }

    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The byte in the file, where one is known.
    #[must_use]
    pub fn position(&self) -> Option<u64> {
        self.0.position
    }

    /// The system's error, where there is one.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_ref()
    }

    /// What to do about an operation that failed for it, to be said behind it.
    pub(crate) fn remedy(&self) -> &'static str {
        match self.0.kind {
            FaultKind::Write | FaultKind::Sync | FaultKind::Read | FaultKind::Directory => {
                "; put that right and try again"
            }
            FaultKind::Damage => "; restore that file and try again",
            FaultKind::Stopped => "; reopen the partition and try again",
            // They say it themselves.
            FaultKind::Reentrant | FaultKind::Bug => "",
        }
    }

    /// Kafka's code for it: `CORRUPT_MESSAGE` for damage, else `KAFKA_STORAGE_ERROR`.
    #[must_use]
    pub fn kafka_code(&self) -> i16 {
        if self.0.kind == FaultKind::Damage { 2 } else { 56 }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.path.display())?;
        if let Some(position) = self.0.position {
            write!(f, ", byte {position}")?;
        }
        write!(f, ": {}", self.0.what)?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        match self.0.kind {
            FaultKind::Bug => f.write_str("; this is a bug of oncelog, please report it"),
            FaultKind::Reentrant => f.write_str("; call it from another thread"),
            FaultKind::Write
            | FaultKind::Sync
            | FaultKind::Read
            | FaultKind::Directory
            | FaultKind::Damage
            | FaultKind::Stopped => Ok(()),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fault({:?}, {self})", self.0.kind)
    }
}

impl core::error::Error for Fault {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| {
            let source: &(dyn core::error::Error + 'static) = source;
            source
        })
    }
}

/// Why nothing was appended. The batch is absent now and will be after any reopen.
///
/// Of a batch that is sent again because its first append was [`AppendError::Indeterminate`], this
/// says that *this* append added nothing; where the first one stands shows only an answer to its
/// sequence.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAppended {
    /// The bytes are not a batch this log takes (`CORRUPT_MESSAGE`, `INVALID_RECORD`, …).
    #[error("the batch is refused: {0}; correct it and append it again")]
    Batch(#[from] BatchError),
    /// A rule for clients is broken (`INVALID_RECORD`).
    #[error("the batch is refused: {reason}; correct it and append it again")]
    InvalidRecord {
        /// Which rule.
        reason: String,
    },
    /// The batch exceeds `message_bytes_max` (`MESSAGE_TOO_LARGE`).
    #[error(
        "the batch has {bytes} bytes, message_bytes_max is {limit}: split it or raise the limit"
    )]
    TooLarge {
        /// Its size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u32,
    },
    /// The call's batches together exceed `segment_bytes_max`, or half of `unflushed_bytes_max`
    /// (`RECORD_LIST_TOO_LARGE`).
    #[error("the batches have {bytes} bytes together, an append takes {limit}: append them singly")]
    ListTooLarge {
        /// Their size in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u32,
    },
    /// A replicated batch starts below the log's end.
    #[error(
        "the batches start at offset {first}, but the log already ends at {log_end}: replicate from there"
    )]
    UnexpectedOffset {
        /// The first batch's base offset.
        first: Offset,
        /// The next offset the log would take.
        log_end: Offset,
    },
    /// The batches of one replicate call are not in ascending order.
    #[error(
        "a batch at offset {offset} comes behind offset {previous}: replicate batches in the order of their offsets"
    )]
    OffsetsOutOfOrder {
        /// Last offset of the batch before.
        previous: Offset,
        /// Base offset of the batch after.
        offset: Offset,
    },
    /// The log has reached the last offset the format can name.
    #[error(
        "the log ends at offset {log_end}, which leaves no offsets for this batch: append to another partition"
    )]
    OffsetExhausted {
        /// The next offset.
        log_end: Offset,
    },
    /// The batch does not follow the producer's last one here: batches before it are missing, or it
    /// covers a part of what is there already (`OUT_OF_ORDER_SEQUENCE_NUMBER`). Where batches of the
    /// producer are on their way, the same batch may be taken once they have come.
    #[error(
        "producer {producer_id} sent sequence {found}, but {expected} is next: send what is missing \
         first, or begin a new epoch"
    )]
    OutOfOrderSequence {
        /// Whose batch.
        producer_id: ProducerId,
        /// The sequence that would be taken.
        expected: Sequence,
        /// The batch's first.
        found: Sequence,
    },
    /// The batch lies before the last five of its producer: it was appended, but where is no longer
    /// known (`DUPLICATE_SEQUENCE_NUMBER`). Nothing is left to do.
    #[error(
        "producer {producer_id} sent sequence {found} again, and only those from {oldest} on are \
         remembered: the batch is in the log, or was before it was deleted, so do not send it again"
    )]
    DuplicateSequence {
        /// Whose batch.
        producer_id: ProducerId,
        /// The first sequence whose batch is remembered.
        oldest: Sequence,
        /// The batch's first.
        found: Sequence,
    },
    /// A later life of the producer wrote here, so this one is fenced (`INVALID_PRODUCER_EPOCH`).
    #[error(
        "producer {producer_id} is fenced: epoch {found} is over and {current} is current, so stop this one and leave the work to its successor"
    )]
    InvalidProducerEpoch {
        /// Whose batch.
        producer_id: ProducerId,
        /// The latest epoch seen here.
        current: ProducerEpoch,
        /// The batch's.
        found: ProducerEpoch,
    },
    /// Nothing is known here of the producer (any more), so whether the batch is a repetition
    /// cannot be told (`UNKNOWN_PRODUCER_ID`). A producer that knows that none of its batches is in
    /// doubt begins a new epoch.
    #[error(
        "producer {producer_id} is not known here, so its sequence {found} cannot be checked: begin \
         a new epoch at sequence 0"
    )]
    UnknownProducerId {
        /// Whose batch.
        producer_id: ProducerId,
        /// The batch's first.
        found: Sequence,
    },
    /// So many producers are known here that no new one is taken until one expires. Kafka knows no
    /// such limit; the code is that of a broken rule (`POLICY_VIOLATION`).
    #[error(
        "producer {producer_id} would be one more than producers_max, which is {limit}: reuse \
         producers, raise the limit, or let idle ones expire sooner"
    )]
    ProducersFull {
        /// The producer that is not taken.
        producer_id: ProducerId,
        /// The limit.
        limit: u32,
    },
    /// The batch does not fit the producer's transaction: a plain one while a transaction is open
    /// (`INVALID_TXN_STATE`).
    #[error(
        "producer {producer_id} has a transaction open since offset {first}: end it before batches \
         outside of one"
    )]
    InvalidTxnState {
        /// Whose batch.
        producer_id: ProducerId,
        /// The transaction's first offset.
        first: Offset,
    },
    /// The first batch of a transaction came without the right to begin one here, or a marker came
    /// in between (`INVALID_TXN_STATE`).
    #[error(
        "producer {producer_id} has no transaction here that its coordinator confirmed: add the \
         partition to the transaction first"
    )]
    TransactionNotVerified {
        /// Whose batch.
        producer_id: ProducerId,
    },
    /// A marker of a coordinator that has been succeeded (`TRANSACTION_COORDINATOR_FENCED`).
    #[error(
        "the marker for producer {producer_id} is of coordinator epoch {found}, but {current} is current: leave its transaction to the coordinator that succeeded this one"
    )]
    TransactionCoordinatorFenced {
        /// Whose transaction.
        producer_id: ProducerId,
        /// The latest coordinator epoch seen for it.
        current: i32,
        /// The marker's.
        found: i32,
    },
    /// No space is left; the partition stays readable and heals when space returns.
    #[error("no space is left on the disk for {bytes} more bytes: free some, appends then go on")]
    Full {
        /// Bytes that could not be secured.
        bytes: u64,
    },
    /// The partition is damaged below its durable end, and so takes no appends.
    #[error(
        "the partition is read-only because its durable part is damaged: {0}; restore that file, or \
         copy what can be read to another topic"
    )]
    Damaged(Fault),
    /// The partition went offline after a fault; reopen it.
    #[error("the partition is offline, reopen it: {0}")]
    Offline(Fault),
    /// This handle is from before the partition was reopened; get a new one.
    #[error("the handle is from before the partition was reopened: get it anew from the store")]
    Stale,
    /// Its topic was deleted (`UNKNOWN_TOPIC_OR_PARTITION`).
    #[error("the partition's topic was deleted: create it again, or append to another")]
    Deleted,
    /// The store is closed.
    #[error("the store is closed: open it again to append")]
    Closed,
    /// A callback of the store would have had to wait for the store.
    #[error("a callback may not wait for room in the buffer: append from another thread")]
    Busy,
}

impl NotAppended {
    /// Kafka's error code.
    #[must_use]
    pub fn kafka_code(&self) -> i16 {
        match self {
            Self::Batch(error) => error.kafka_code(),
            Self::InvalidRecord { .. } => 87,
            Self::TooLarge { .. } => 10,
            Self::ListTooLarge { .. } => 18,
            Self::UnexpectedOffset { .. }
            | Self::OffsetsOutOfOrder { .. }
            | Self::OffsetExhausted { .. } => -1,
            Self::OutOfOrderSequence { .. } => 45,
            Self::DuplicateSequence { .. } => 46,
            Self::InvalidProducerEpoch { .. } => 47,
            Self::InvalidTxnState { .. } | Self::TransactionNotVerified { .. } => 48,
            Self::TransactionCoordinatorFenced { .. } => 52,
            Self::UnknownProducerId { .. } => 59,
            Self::ProducersFull { .. } => 44,
            Self::Full { .. } | Self::Damaged(_) | Self::Offline(_) | Self::Closed => 56,
            Self::Stale => 6,
            Self::Deleted => 3,
            Self::Busy => 7,
        }
    }

    /// Whether the same append may succeed later without a change to it, and without anything from
    /// its producer in between.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(
            self,
            Self::ProducersFull { .. }
                | Self::Full { .. }
                | Self::Offline(_)
                | Self::Stale
                | Self::Busy
        )
    }
}

/// Why an append has no good answer.
#[derive(Clone, Debug, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "the promise: there is no third kind")]
pub enum AppendError {
    /// Proven absent, now and after any reopen.
    #[error("not appended: {0}")]
    NotAppended(#[from] NotAppended),
    /// Accepted, then a fault: it may or may not be found after a reopen.
    #[error(
        "it may or may not be appended: {0}; reopen the partition, and look or send it again by its \
         sequence"
    )]
    Indeterminate(Fault),
}

impl AppendError {
    /// Kafka's error code.
    #[must_use]
    pub fn kafka_code(&self) -> i16 {
        match self {
            Self::NotAppended(refusal) => refusal.kafka_code(),
            Self::Indeterminate(fault) => fault.kafka_code(),
        }
    }

    /// Whether the same append may succeed later. An indeterminate one may be retried only by a
    /// producer whose sequence makes the retry harmless.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        match self {
            Self::NotAppended(refusal) => refusal.is_retriable(),
            Self::Indeterminate(_) => true,
        }
    }
}
