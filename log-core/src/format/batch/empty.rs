//! A batch without records: it keeps offsets, and what is known of a producer, when there is
//! nothing else to keep.
//!
//! Kafka's cleaner leaves one where it removes the last records of a producer
//! (`MemoryRecords.RecordFilter`, `BatchRetention.RETAIN_EMPTY`); this library also records a gap
//! in the offsets with it. 61 bytes, records count 0, base timestamp −1.

use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::{Attributes, BatchError, BatchView, HEADER_BYTES, Header};

/// What an empty batch says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields are those of the format")]
pub struct EmptyBatch {
    /// The first offset it stands for.
    pub base_offset: Offset,
    /// The last one; `base_offset` or later.
    pub last_offset: Offset,
    /// The leader epoch it was written in.
    pub leader_epoch: LeaderEpoch,
    /// Timestamp type, transactional and control flags; the others are left out.
    pub attributes: Attributes,
    /// The largest timestamp there was.
    pub max_timestamp: TimestampMs,
    /// Whose batch it was.
    pub producer_id: ProducerId,
    /// In which life.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the record that was first. The last one follows from the offsets.
    pub base_sequence: Sequence,
}

impl EmptyBatch {
    /// Nobody's batch, which says only that these offsets are taken.
    #[must_use]
    pub const fn gap(base_offset: Offset, last_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        Self {
            base_offset,
            last_offset,
            leader_epoch,
            attributes: Attributes::NONE,
            max_timestamp: TimestampMs::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: Sequence::NONE,
        }
    }

    /// What is kept of `batch` when its last record goes.
    #[must_use]
    pub fn emptied(batch: &BatchView<'_>) -> Self {
        Self {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            leader_epoch: batch.partition_leader_epoch(),
            attributes: batch.attributes(),
            max_timestamp: batch.max_timestamp(),
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
        }
    }

    /// The batch, sealed.
    ///
    /// # Errors
    ///
    /// [`BatchError::Field`] if the last offset is before the base offset, or more than `i32::MAX`
    /// after it.
    pub fn to_bytes(&self) -> Result<[u8; HEADER_BYTES], BatchError> {
        let delta = self.last_offset.since(self.base_offset);
        let Some(last_offset_delta) = i32::try_from(delta).ok().filter(|delta| *delta >= 0) else {
            return Err(BatchError::Field {
                field: "lastOffsetDelta",
                at: super::header::LAST_OFFSET_DELTA_AT,
                found: delta,
                rule: "a batch takes up 1 to 2^31 offsets",
            });
        };
        let mut bytes = [0; HEADER_BYTES];
        let header = Header {
            base_offset: self.base_offset,
            leader_epoch: self.leader_epoch,
            attributes: self.attributes.emptied(),
            last_offset_delta,
            base_timestamp: TimestampMs::NONE,
            max_timestamp: self.max_timestamp,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: 0,
        };
        header.seal(&mut bytes)?;
        Ok(bytes)
    }
}
