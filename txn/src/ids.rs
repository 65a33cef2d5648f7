//! Who a producer is: the name under which it lives on over restarts, its number, its epoch.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use log_core::ids::{ProducerEpoch, ProducerId};

/// Longest id in bytes: Kafka writes its length into 16 bits.
const BYTES_MAX: usize = 32_767;

/// A transactional id: 1 to 32,767 bytes of any text. Whoever uses it last shuts out all others.
/// Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TransactionalId(Arc<str>);

/// Why a text is no transactional id (`INVALID_REQUEST`).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionalIdError {
    /// No characters at all.
    #[error("a transactional id cannot be empty")]
    Empty,
    /// More bytes than the journal's format can count.
    #[error("a transactional id has at most 32767 bytes, this one has {bytes}")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
}

impl TransactionalId {
    /// Checks `id`.
    ///
    /// # Errors
    ///
    /// [`TransactionalIdError`].
    pub fn new(id: &str) -> Result<Self, TransactionalIdError> {
        match id.len() {
            0 => Err(TransactionalIdError::Empty),
            1..=BYTES_MAX => Ok(Self(id.into())),
            bytes => Err(TransactionalIdError::TooLong { bytes }),
        }
    }

    /// The id of instance `number` of a program: `prefix` and the number, as `transaction-id-prefix`
    /// of the Spring client makes them.
    ///
    /// # Errors
    ///
    /// As [`TransactionalId::new`].
    pub fn numbered(prefix: &str, number: u32) -> Result<Self, TransactionalIdError> {
        Self::new(&format!("{prefix}{number}"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TransactionalId {
    type Err = TransactionalIdError;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::new(id)
    }
}

impl fmt::Display for TransactionalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The last epoch a producer may use; the one above is the coordinator's, to fence with.
const EPOCH_LAST: i16 = i16::MAX - 1;

/// A producer and which life of it: what its batches carry.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "Kafka's pair")]
pub struct ProducerIdAndEpoch {
    /// Its number.
    pub id: ProducerId,
    /// Its life.
    pub epoch: ProducerEpoch,
}

impl ProducerIdAndEpoch {
    /// A new producer.
    #[must_use]
    pub const fn first(id: ProducerId) -> Self {
        Self { id, epoch: epoch(0) }
    }

    /// The next epoch, or `None` where only a new id is left.
    #[must_use]
    pub const fn bumped(self) -> Option<Self> {
        if self.is_exhausted() {
            return None;
        }
        Some(Self { id: self.id, epoch: epoch(self.epoch.get() + 1) })
    }

    /// Whether no epoch is left that a producer may use.
    #[must_use]
    pub const fn is_exhausted(self) -> bool {
        self.epoch.get() >= EPOCH_LAST
    }

    /// The next epoch as the coordinator takes it to shut a producer out: the very last one, which
    /// no producer gets, included.
    #[must_use]
    pub(crate) const fn fenced(self) -> Self {
        Self { id: self.id, epoch: epoch(self.epoch.get().saturating_add(1)) }
    }

    /// Whether `older` is the life right before this one.
    pub(crate) const fn follows(self, older: ProducerEpoch) -> bool {
        older.get() >= 0 && self.epoch.get() > 0 && self.epoch.get() - 1 == older.get()
    }
}

/// An epoch that is a number by construction.
const fn epoch(value: i16) -> ProducerEpoch {
    match ProducerEpoch::new(value) {
        Some(epoch) => epoch,
        None => ProducerEpoch::NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_end_before_the_one_that_fences() {
        let id = ProducerId::new(7).unwrap();
        let last = ProducerIdAndEpoch { id, epoch: ProducerEpoch::new(32_766).unwrap() };
        assert_eq!(last.bumped(), None);
        assert_eq!(last.fenced().epoch.get(), 32_767);
        let before = ProducerIdAndEpoch { epoch: ProducerEpoch::new(32_765).unwrap(), ..last };
        assert_eq!(before.bumped(), Some(last));
        assert!(last.follows(before.epoch) && !before.follows(last.epoch));
        assert_eq!(ProducerIdAndEpoch::first(id).epoch.get(), 0);
    }

    #[test]
    fn an_id_fits_the_journals_sixteen_bits_and_is_not_empty() {
        assert_eq!(TransactionalId::new(""), Err(TransactionalIdError::Empty));
        assert!(TransactionalId::new(&"x".repeat(32_767)).is_ok());
        let refused = TransactionalId::new(&"x".repeat(32_768));
        assert_eq!(refused, Err(TransactionalIdError::TooLong { bytes: 32_768 }));
        assert_eq!(TransactionalId::numbered("tx-", 3).unwrap().as_str(), "tx-3");
    }
}
