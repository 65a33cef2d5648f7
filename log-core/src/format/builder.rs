//! Records, one after the other, into one batch.
//!
//! ```text
//!   0                    61                                    len_bytes    bytes_max
//!   ├─ left for a header ┼─ record ─┼─ record ─┼─ … ─┼─ record ─┤ ┄┄┄┄┄┄┄┄┄┄┄┄┤
//! ```
//!
//! Each record is written once, where it stays; when the batch is built its records are compressed,
//! if they are to be, the header is filled in and the checksum computed over the whole. Source: Kafka `MemoryRecordsBuilder`, `DefaultRecord`.
//!
//! Invariants: 1. the buffer is 61 bytes and whole records; 2. it is at most `bytes_max` long, so
//! that length field, lengths and offset deltas fit their 32 bits.

mod encode;

use encode::Measured;

use crate::format::batch::{Attributes, BATCH_BYTES_MAX, HEADER_BYTES, Header};
use crate::format::codec::{self, Compression};
use crate::format::record::RecordHeader;
use crate::format::record_batch::RecordBatch;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::int;

/// Bytes of the smallest record: length, attributes, two deltas, two nulls, no headers.
const RECORD_BYTES_MIN: u64 = 7;

// Invariant 2 bounds the number of records too: their deltas and count fit in an i32.
const _: () = assert!(BATCH_BYTES_MAX / RECORD_BYTES_MIN < (1 << 31));

/// A record to be written.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a record has these parts in every version")]
pub struct NewRecord<'a> {
    /// Its time, by the producer's clock.
    pub timestamp: TimestampMs,
    /// Its key; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is Kafka's null, a tombstone in a compacted log.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub headers: &'a [RecordHeader<'a>],
}

/// Whose batch it is to be, and how large it may get.
#[derive(Clone, Copy, Debug)]
pub struct BatchOptions {
    attributes: Attributes,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: Sequence,
    compression: Compression,
    bytes_max: u64,
}

impl BatchOptions {
    /// Nobody's batch, as large as the format allows: 2^31 + 11 bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            attributes: Attributes::NONE,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: Sequence::NONE,
            compression: Compression::NONE,
            bytes_max: BATCH_BYTES_MAX,
        }
    }

    /// A producer's batch, whose first record has the sequence `base_sequence`.
    #[must_use]
    pub const fn producer(
        self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        base_sequence: Sequence,
    ) -> Self {
        Self { producer_id, producer_epoch, base_sequence, ..self }
    }

    /// A batch of the producer's open transaction.
    #[must_use]
    pub const fn transactional(self) -> Self {
        Self { attributes: self.attributes.transactional(), ..self }
    }

    /// A batch of control records, which carry no sequence.
    #[must_use]
    pub(super) const fn control(self) -> Self {
        Self { attributes: self.attributes.control(), ..self }
    }

    /// Compressed with this codec when it is built, in the thread that builds it.
    ///
    /// The codec is kept where it makes the batch larger, as Kafka's producer does, unless the batch
    /// would then exceed `bytes_max`: it stays plain in that case, and where the codec gets no memory.
    #[must_use]
    pub const fn compression(self, compression: Compression) -> Self {
        Self { compression, ..self }
    }

    /// At most this many bytes, header included, counted before compression.
    #[must_use]
    pub const fn bytes_max(self, bytes_max: u32) -> Self {
        let asked = int::u64_widened(bytes_max);
        let bytes_max = if asked < BATCH_BYTES_MAX { asked } else { BATCH_BYTES_MAX };
        Self { bytes_max, ..self }
    }
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a record does not go into this batch. The batch is as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The batch has no room left; the next one has.
    #[error(
        "the record takes {need} bytes and the batch has room for {room}: build it and begin another"
    )]
    Full {
        /// Bytes the record takes.
        need: u64,
        /// Bytes left.
        room: u64,
    },
    /// Not even an empty batch has the room.
    #[error(
        "the record takes {need} bytes and a batch of at most {bytes_max} cannot hold it: split it or raise bytes_max"
    )]
    TooLarge {
        /// Bytes the record takes, without the batch's header.
        need: u64,
        /// Bytes a batch may have.
        bytes_max: u64,
    },
    /// Its timestamp is more than 2^63 milliseconds from the first record's.
    #[error(
        "timestamp {timestamp} is more than 64 bits can say from the batch's first, {base}: put the record into another batch"
    )]
    Timestamp {
        /// The record's.
        timestamp: TimestampMs,
        /// The first record's.
        base: TimestampMs,
    },
}

impl BuildError {
    /// The error code Kafka's client gives to its caller; `None` where it just begins a new batch.
    #[must_use]
    pub const fn kafka_code(&self) -> Option<i16> {
        match self {
            Self::Full { .. } => None,
            // MESSAGE_TOO_LARGE
            Self::TooLarge { .. } => Some(10),
            // INVALID_TIMESTAMP
            Self::Timestamp { .. } => Some(32),
        }
    }
}

/// Collects records into one uncompressed batch.
///
/// ```
/// use log_core::format::{BatchBuilder, BatchOptions, BatchView, NewRecord};
/// use log_core::ids::TimestampMs;
///
/// let mut builder = BatchBuilder::new(BatchOptions::new());
/// let timestamp = TimestampMs::new(1_000);
/// builder.push(&NewRecord { timestamp, key: None, value: Some(b"hello"), headers: &[] })?;
/// let batch = builder.build().ok_or("a record was pushed")?;
///
/// let batch = BatchView::parse(batch.as_bytes())?;
/// batch.verify_crc()?;
/// assert_eq!(batch.records_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    batch: Vec<u8>,
    records_count: i32,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self::reusing(Vec::new(), options)
    }

    /// An empty batch in the memory of `buffer`, whose content is dropped.
    #[must_use]
    pub fn reusing(mut buffer: Vec<u8>, options: BatchOptions) -> Self {
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        Self {
            options,
            batch: buffer,
            records_count: 0,
            base_timestamp: TimestampMs::NONE,
            max_timestamp: TimestampMs::NONE,
        }
    }

    /// Bytes of the batch as it stands, header included.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        self.batch.len()
    }

    /// Records so far.
    #[must_use]
    pub const fn records_count(&self) -> u32 {
        self.records_count.cast_unsigned()
    }

    /// Whether no record is in it yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records_count == 0
    }

    /// Adds a record behind the others: its offset is the next one.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if it does not fit; then the batch is as it was.
    #[inline]
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), BuildError> {
        let first = self.records_count == 0;
        let base = if first { record.timestamp } else { self.base_timestamp };
        let Some(timestamp_delta) = record.timestamp.get().checked_sub(base.get()) else {
            return Err(BuildError::Timestamp { timestamp: record.timestamp, base });
        };
        let measured = Measured::new(record, timestamp_delta, self.records_count);
        self.check_room(int::u64_from(measured.record_bytes()))?;
        measured.put(record, timestamp_delta, self.records_count, &mut self.batch);

        self.base_timestamp = base;
        self.max_timestamp =
            if first { record.timestamp } else { self.max_timestamp.max(record.timestamp) };
        self.records_count += 1;
        Ok(())
    }

    /// The batch with its checksum, base offset 0 and no leader epoch: ready for
    /// [`stamp`](crate::format::stamp). `None` if no record was pushed, for Kafka takes no such batch.
    #[must_use]
    pub fn build(mut self) -> Option<RecordBatch> {
        let last_offset_delta = self.records_count.checked_sub(1).filter(|last| *last >= 0)?;
        let records_bytes = self.batch.len() - HEADER_BYTES;
        let attributes = self.compress();
        let header = Header {
            base_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch::NONE,
            attributes,
            last_offset_delta,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.options.producer_id,
            producer_epoch: self.options.producer_epoch,
            base_sequence: self.options.base_sequence,
            records_count: self.records_count,
        };
        let sealed = header.seal(&mut self.batch);
        match sealed.and_then(|()| RecordBatch::sealed(self.batch, records_bytes)) {
            Ok(batch) => Some(batch),
            Err(error) => unreachable!("invariants 1 and 2: {error}"),
        }
    }

    /// Puts the compressed records in the place of the plain ones, if they are to be and fit; says
    /// which attributes the batch then has.
    fn compress(&mut self) -> Attributes {
        let plain = self.options.attributes;
        let compression = self.options.compression;
        if compression == Compression::NONE {
            return plain;
        }
        let records = self.batch.get(HEADER_BYTES..).unwrap_or_default();
        let mut compressed = vec![0; HEADER_BYTES];
        let done = codec::compress(compression, records, &mut compressed);
        if done.is_err() || int::u64_from(compressed.len()) > self.options.bytes_max {
            return plain;
        }
        compressed.shrink_to_fit();
        self.batch = compressed;
        plain.with_codec(compression.codec())
    }

    #[inline]
    fn check_room(&self, need: u64) -> Result<(), BuildError> {
        let bytes_max = self.options.bytes_max;
        let room = bytes_max.saturating_sub(int::u64_from(self.batch.len()));
        if need <= room {
            Ok(())
        } else if self.records_count == 0 {
            Err(BuildError::TooLarge { need, bytes_max })
        } else {
            Err(BuildError::Full { need, room })
        }
    }
}

#[cfg(test)]
mod tests;
