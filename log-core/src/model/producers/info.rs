//! What a partition remembers of a producer, for people and tests (Kafka's `DescribeProducers`).

use super::bytes::{Frozen, batches_of};
use super::entry::{Batch, Entry};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// What a partition remembers of one producer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ProducerInfo {
    /// Who.
    pub producer_id: ProducerId,
    /// The life that may append.
    pub producer_epoch: ProducerEpoch,
    /// The last sequence of this epoch; none before its first batch.
    pub last_sequence: Sequence,
    /// Of the last batch or marker.
    pub last_timestamp: TimestampMs,
    /// Of the last marker's coordinator; −1 for none.
    pub coordinator_epoch: i32,
    /// Where the open transaction begins, if there is one.
    pub current_txn_first_offset: Option<Offset>,
    /// The last batches of this epoch, at most five, newest first: these are known when they come
    /// again.
    pub batches: Vec<RememberedBatch>,
}

/// A batch that is known when it comes again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RememberedBatch {
    /// Of its first record.
    pub base_sequence: Sequence,
    /// Of its last record.
    pub last_sequence: Sequence,
    /// Of its first record.
    pub base_offset: Offset,
    /// Of its last record.
    pub last_offset: Offset,
    /// Its largest timestamp.
    pub timestamp: TimestampMs,
}

impl From<&Batch> for RememberedBatch {
    fn from(batch: &Batch) -> Self {
        Self {
            base_sequence: batch.base_sequence(),
            last_sequence: batch.last_sequence(),
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            timestamp: batch.timestamp(),
        }
    }
}

impl Frozen {
    /// All producers, ascending by id.
    pub(crate) fn describe(&self) -> Vec<ProducerInfo> {
        let mut infos: Vec<ProducerInfo> = self.entries().map(|entry| self.info(entry)).collect();
        infos.sort_unstable_by_key(|info| info.producer_id);
        infos
    }

    fn info(&self, entry: &Entry) -> ProducerInfo {
        ProducerInfo {
            producer_id: entry.producer_id(),
            producer_epoch: entry.epoch(),
            last_sequence: entry.last().map_or(Sequence::NONE, Batch::last_sequence),
            last_timestamp: TimestampMs::new(entry.last_timestamp),
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_first_offset: entry.txn_first_offset(),
            batches: batches_of(entry, self.older()).map(RememberedBatch::from).collect(),
        }
    }
}
