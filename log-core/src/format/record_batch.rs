//! A finished batch on its way into a log.

use crate::format::batch::{BatchError, BatchView};
use crate::format::codec::Codec;
use crate::format::crc32c::crc32c;
use crate::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Bytes the checksum covers start here; the fields before it may be stamped.
const SUMMED_FROM: usize = 21;
const CRC_AT: core::ops::Range<usize> = 17..SUMMED_FROM;
const PRODUCER_AT: core::ops::Range<usize> = 43..57;
const MAX_TIMESTAMP_AT: core::ops::Range<usize> = 35..43;

/// One whole batch, made by [`BatchBuilder`](crate::format::BatchBuilder): at least one record, a
/// right checksum, base offset 0 and no leader epoch yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    /// Bytes of its records before they were compressed.
    records_bytes: usize,
    records_count: u32,
    max_timestamp: TimestampMs,
    crc: u32,
    codec: Codec,
}

impl RecordBatch {
    /// Takes over what a builder has sealed.
    pub(crate) fn sealed(bytes: Vec<u8>, records_bytes: usize) -> Result<Self, BatchError> {
        let view = BatchView::parse(&bytes)?;
        let (records_count, max_timestamp, crc) =
            (view.records_count(), view.max_timestamp(), view.crc());
        let codec = view.codec()?;
        Ok(Self { bytes, records_bytes, records_count, max_timestamp, crc, codec })
    }

    /// Makes it a producer's batch, or that of another epoch: the records and their order stay, the
    /// header and its checksum change (Kafka `MemoryRecordsBuilder.reopenAndRewriteProducerState`).
    pub fn set_producer(
        &mut self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        base_sequence: Sequence,
    ) {
        let mut fields = [0; PRODUCER_AT.end - PRODUCER_AT.start];
        let id = producer_id.get().to_be_bytes();
        let epoch = producer_epoch.get().to_be_bytes();
        let sequence = base_sequence.get().to_be_bytes();
        for (field, byte) in fields.iter_mut().zip(id.into_iter().chain(epoch).chain(sequence)) {
            *field = byte;
        }
        if let Some(header) = self.bytes.get_mut(PRODUCER_AT) {
            header.copy_from_slice(&fields);
        }
        self.crc = seal(&mut self.bytes);
    }

    /// The bytes, header included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the bytes away.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Records, 1 or more: as many as it will take up offsets.
    #[must_use]
    pub const fn records_count(&self) -> u32 {
        self.records_count
    }

    /// The largest timestamp of its records.
    #[must_use]
    pub const fn max_timestamp(&self) -> TimestampMs {
        self.max_timestamp
    }

    /// Bytes of its records as they are read: before compression, without the header.
    #[must_use]
    pub const fn records_bytes(&self) -> usize {
        self.records_bytes
    }

    /// How its records are compressed.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The checksum in its header.
    #[must_use]
    pub const fn crc(&self) -> u32 {
        self.crc
    }
}

/// Puts the right maximum timestamp into the header of the batch that `bytes` is, and the checksum
/// that goes with it (Kafka `DefaultRecordBatch.setMaxTimestamp`). Nothing changes if it is there
/// already.
///
/// # Errors
///
/// As [`BatchView::parse`].
pub fn correct_max_timestamp(bytes: &mut [u8], max: TimestampMs) -> Result<(), BatchError> {
    if BatchView::parse(bytes)?.max_timestamp() == max {
        return Ok(());
    }
    if let Some(field) = bytes.get_mut(MAX_TIMESTAMP_AT) {
        field.copy_from_slice(&max.get().to_be_bytes());
    }
    seal(bytes);
    Ok(())
}

/// Puts the checksum of a batch into its header; returns it.
fn seal(bytes: &mut [u8]) -> u32 {
    let crc = crc32c(bytes.get(SUMMED_FROM..).unwrap_or_default());
    if let Some(field) = bytes.get_mut(CRC_AT) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{BatchBuilder, BatchOptions, NewRecord};

    #[test]
    fn a_batch_given_to_a_producer_has_the_bytes_of_one_built_for_it() {
        let built = |options| {
            let mut builder = BatchBuilder::new(options);
            let timestamp = TimestampMs::new(7);
            let record = NewRecord { timestamp, key: None, value: Some(b"v"), headers: &[] };
            builder.push(&record).unwrap();
            builder.build().unwrap()
        };
        let id = ProducerId::new(0x0102_0304_0506_0708).unwrap();
        let epoch = ProducerEpoch::new(0x090A).unwrap();
        let sequence = Sequence::new(0x0B0C_0D0E).unwrap();
        let mut batch = built(BatchOptions::new());
        batch.set_producer(id, epoch, sequence);
        assert_eq!(batch, built(BatchOptions::new().producer(id, epoch, sequence)));
    }

    #[test]
    fn a_corrected_timestamp_keeps_the_batch_valid() {
        let mut builder = BatchBuilder::new(BatchOptions::new());
        let timestamp = TimestampMs::new(7);
        builder.push(&NewRecord { timestamp, key: None, value: Some(b"v"), headers: &[] }).unwrap();
        let batch = builder.build().unwrap();
        let mut bytes = batch.as_bytes().to_vec();
        correct_max_timestamp(&mut bytes, timestamp).unwrap();
        assert_eq!(bytes, batch.as_bytes(), "unchanged values leave the bytes alone");
        correct_max_timestamp(&mut bytes, TimestampMs::new(9)).unwrap();
        let view = BatchView::parse(&bytes).unwrap();
        assert_eq!((view.max_timestamp().get(), view.verify_crc()), (9, Ok(())));
    }
}
