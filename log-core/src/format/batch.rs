//! A record batch: what is appended, checked, written and fetched as one (Kafka
//! `DefaultRecordBatch`, KIP-98).
//!
//! ```text
//!   0            8       12      16   17   21          61                      12 + batchLength
//!   ├ baseOffset ┼ length┼ epoch ┼ mag┼ crc┼─ fields ──┼─ records, maybe compressed ─┤
//!   └ stamped by the log ────────┘         └──────── the checksum covers these ──────┘
//! ```
//!
//! Invariants of a [`BatchView`]: it spans exactly the batch; its numbers are in the ranges of
//! their types; its last offset is an offset. Its checksum is *not* known to be right until
//! [`BatchView::verify_crc`] said so, and its records not until they were iterated.

mod attributes;
mod batches;
mod empty;
mod error;
mod header;

pub use attributes::{Attributes, TimestampType};
pub use batches::{Batches, BatchesError, PlacedBatch};
pub use empty::EmptyBatch;
pub use error::BatchError;
pub(crate) use header::Header;
pub use header::{HEADER_BYTES, LOG_OVERHEAD_BYTES, PREFIX_BYTES, stamp};

use header::field;

use std::borrow::Cow;

use crate::format::codec::Codec;
use crate::format::crc32c::crc32c;
use crate::format::record::Records;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::int;

/// The version of the batch format this module reads and writes.
pub const MAGIC: i8 = 2;

/// The least length field of a batch: one without records.
const LENGTH_MIN: i32 = 49;
/// The least length field of a message of format v0 (Kafka `RECORD_OVERHEAD_V0`).
const LENGTH_MIN_LEGACY: i32 = 14;
/// Largest batch: the length field's largest value and what stands in front of it.
pub const BATCH_BYTES_MAX: u64 =
    int::u64_widened(i32::MAX.cast_unsigned()) + int::u64_from(LOG_OVERHEAD_BYTES);

/// The size in bytes of the batch that `prefix` begins, or `None` if fewer than 12 bytes are given.
///
/// With 17 bytes or more the version is checked too. For readers of files, who fetch a header
/// before they know how much to fetch.
///
/// # Errors
///
/// [`BatchError::Length`] or [`BatchError::Magic`] if no batch begins so.
pub fn batch_bytes(prefix: &[u8]) -> Result<Option<u64>, BatchError> {
    let Some((front, rest)) = prefix.split_first_chunk::<LOG_OVERHEAD_BYTES>() else {
        return Ok(None);
    };
    let [.., a, b, c, d] = *front;
    let length = i32::from_be_bytes([a, b, c, d]);
    let magic = rest.get(header::MAGIC_AT - LOG_OVERHEAD_BYTES);
    let least = match magic.map(|byte| byte.cast_signed()) {
        None => LENGTH_MIN_LEGACY,
        Some(MAGIC) => LENGTH_MIN,
        // A damaged length field says more about these bytes than their version.
        Some(_) if length < LENGTH_MIN_LEGACY => LENGTH_MIN_LEGACY,
        Some(found) => return Err(BatchError::Magic { found }),
    };
    if length < least {
        return Err(BatchError::Length { found: length, least });
    }
    let overhead = int::u64_from(LOG_OVERHEAD_BYTES);
    Ok(Some(u64::from(length.cast_unsigned()) + overhead))
}

/// One batch within borrowed bytes, its header checked. Cheap to copy.
#[derive(Clone, Copy)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
    header: &'a [u8; HEADER_BYTES],
}

impl<'a> BatchView<'a> {
    /// Where producer id, producer epoch and base sequence begin.
    pub(super) const PRODUCER_FIELDS_AT: [usize; 3] =
        [header::PRODUCER_ID_AT, header::PRODUCER_EPOCH_AT, header::BASE_SEQUENCE_AT];

    /// Reads the batch at the front of `bytes`; what follows it is left alone.
    ///
    /// The checksum is not computed: see [`BatchView::verify_crc`]. Of the attributes only the
    /// known bits are looked at, as Kafka does; of these the codec when it is asked for.
    ///
    /// # Errors
    ///
    /// [`BatchError::Short`] if the batch does not end within `bytes`, else the first rule of the
    /// header that is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let have = int::u64_from(bytes.len());
        let need = match batch_bytes(bytes)? {
            Some(need) if have >= int::u64_from(PREFIX_BYTES) => need,
            _ => return Err(BatchError::Short { need: int::u64_from(HEADER_BYTES), have }),
        };
        let batch = bytes.get(..int::usize_from(need));
        match batch.and_then(|batch| Some((batch, batch.first_chunk()?))) {
            Some((bytes, header)) => Self { bytes, header }.checked(),
            None => Err(BatchError::Short { need, have }),
        }
    }

    /// Compares the checksum in the header with that of the bytes.
    ///
    /// # Errors
    ///
    /// [`BatchError::Crc`] with both, if they differ.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let stored = self.crc();
        let computed = crc32c(self.bytes.get(header::ATTRIBUTES_AT..).unwrap_or_default());
        if stored == computed { Ok(()) } else { Err(BatchError::Crc { stored, computed }) }
    }

    /// The offset of the first record, at the time the batch was written.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        Offset::new(self.i64_at::<{ header::BASE_OFFSET_AT }>()).unwrap_or(Offset::ZERO)
    }

    /// The last offset the batch takes up, be its record still there or not.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset().checked_add(self.last_offset_delta().into()).unwrap_or(Offset::MAX)
    }

    /// The offset after the last one; `None` if that is [`Offset::MAX`], where a log cannot go on.
    #[must_use]
    pub fn next_offset(&self) -> Option<Offset> {
        self.last_offset().checked_add(1)
    }

    /// Last offset minus base offset, 0 or more.
    #[must_use]
    pub fn last_offset_delta(&self) -> i32 {
        self.i32_at::<{ header::LAST_OFFSET_DELTA_AT }>()
    }

    /// Bytes of the whole batch, header and all.
    #[must_use]
    pub fn batch_bytes(&self) -> u32 {
        // Fits: the length field is an i32, and 12 more stay below 2^32.
        int::u32_saturated(self.bytes.len())
    }

    /// The leader epoch the log stamped on the batch.
    #[must_use]
    pub fn partition_leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch::new(self.i32_at::<{ header::LEADER_EPOCH_AT }>()).unwrap_or(LeaderEpoch::NONE)
    }

    /// The checksum in the header.
    #[must_use]
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(field::<{ header::CRC_AT }, 4>(self.header))
    }

    /// How the batch is to be read.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        let bits = i16::from_be_bytes(field::<{ header::ATTRIBUTES_AT }, 2>(self.header));
        Attributes::from_bits(bits)
    }

    /// How the records are compressed.
    ///
    /// # Errors
    ///
    /// [`BatchError::Codec`] if the bits name none.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        self.attributes().codec()
    }

    /// Whose clock the timestamps are from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes().timestamp_type()
    }

    /// Whether the batch is part of a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes().is_transactional()
    }

    /// Whether the batch holds control records.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes().is_control()
    }

    /// Whether the base timestamp is a delete horizon.
    #[must_use]
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes().has_delete_horizon()
    }

    /// From when on compaction may drop the batch's tombstones and markers, if that is decided.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        self.has_delete_horizon().then(|| self.base_timestamp())
    }

    /// What the records' timestamp deltas count from.
    #[must_use]
    pub fn base_timestamp(&self) -> TimestampMs {
        TimestampMs::new(self.i64_at::<{ header::BASE_TIMESTAMP_AT }>())
    }

    /// The largest timestamp of the records, as the header says.
    #[must_use]
    pub fn max_timestamp(&self) -> TimestampMs {
        TimestampMs::new(self.i64_at::<{ header::MAX_TIMESTAMP_AT }>())
    }

    /// Who wrote the batch.
    #[must_use]
    pub fn producer_id(&self) -> ProducerId {
        ProducerId::new(self.i64_at::<{ header::PRODUCER_ID_AT }>()).unwrap_or(ProducerId::NONE)
    }

    /// In which life it was written.
    #[must_use]
    pub fn producer_epoch(&self) -> ProducerEpoch {
        let epoch = i16::from_be_bytes(field::<{ header::PRODUCER_EPOCH_AT }, 2>(self.header));
        ProducerEpoch::new(epoch).unwrap_or(ProducerEpoch::NONE)
    }

    /// The sequence of the first record.
    #[must_use]
    pub fn base_sequence(&self) -> Sequence {
        Sequence::new(self.i32_at::<{ header::BASE_SEQUENCE_AT }>()).unwrap_or(Sequence::NONE)
    }

    /// The sequence of the last record; none if the first has none. Past `i32::MAX` on from 0.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        match self.base_sequence() {
            Sequence::NONE => Sequence::NONE,
            base => base.increment(self.last_offset_delta()),
        }
    }

    /// Records in the batch, as the header says: 0 after compaction, else usually one per offset.
    #[must_use]
    pub fn records_count(&self) -> u32 {
        self.i32_at::<{ header::RECORDS_COUNT_AT }>().cast_unsigned()
    }

    /// All bytes of the batch.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The bytes after the header: the records, as the codec left them.
    #[must_use]
    pub fn records_bytes(&self) -> &'a [u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// The records' bytes without compression: those of the batch itself if it has none, else what
    /// its codec makes of them, at most `bytes_max` bytes. [`Records::decompressed`] reads them.
    ///
    /// # Errors
    ///
    /// [`BatchError::Codec`] if the bits name no codec; [`BatchError::Decompress`] if it is not
    /// built in, if the bytes are not its stream, or more than `bytes_max` come out of them.
    pub fn decompress(&self, bytes_max: u32) -> Result<Cow<'a, [u8]>, BatchError> {
        match self.codec()? {
            Codec::None => Ok(Cow::Borrowed(self.records_bytes())),
            codec => match codec.decompress(self.records_bytes(), bytes_max) {
                Ok(records) => Ok(Cow::Owned(records)),
                Err(source) => {
                    Err(BatchError::Decompress { base_offset: self.base_offset(), source })
                }
            },
        }
    }

    /// The records of an uncompressed batch.
    ///
    /// # Errors
    ///
    /// [`BatchError::Compressed`] or [`BatchError::Codec`] if they have to be decompressed first:
    /// see [`BatchView::decompress`].
    pub fn records(&self) -> Result<Records<'a>, BatchError> {
        match self.codec()? {
            Codec::None => Ok(Records::decompressed(self, self.records_bytes())),
            codec => Err(BatchError::Compressed { codec }),
        }
    }

    fn i64_at<const AT: usize>(&self) -> i64 {
        i64::from_be_bytes(field::<AT, 8>(self.header))
    }

    fn i32_at<const AT: usize>(&self) -> i32 {
        i32::from_be_bytes(field::<AT, 4>(self.header))
    }

    /// The rules that let every getter answer without failing.
    fn checked(self) -> Result<Self, BatchError> {
        let epoch = i16::from_be_bytes(field::<{ header::PRODUCER_EPOCH_AT }, 2>(self.header));
        let (zero, none) = ("it must be 0 or more", "it must be 0 or more, or −1 for none");
        let fields = [
            (
                "baseOffset",
                header::BASE_OFFSET_AT,
                self.i64_at::<{ header::BASE_OFFSET_AT }>(),
                0,
                zero,
            ),
            (
                "partitionLeaderEpoch",
                header::LEADER_EPOCH_AT,
                self.i32_at::<{ header::LEADER_EPOCH_AT }>().into(),
                -1,
                none,
            ),
            (
                "lastOffsetDelta",
                header::LAST_OFFSET_DELTA_AT,
                self.last_offset_delta().into(),
                0,
                zero,
            ),
            (
                "producerId",
                header::PRODUCER_ID_AT,
                self.i64_at::<{ header::PRODUCER_ID_AT }>(),
                -1,
                none,
            ),
            ("producerEpoch", header::PRODUCER_EPOCH_AT, epoch.into(), -1, none),
            (
                "baseSequence",
                header::BASE_SEQUENCE_AT,
                self.i32_at::<{ header::BASE_SEQUENCE_AT }>().into(),
                -1,
                none,
            ),
            (
                "recordsCount",
                header::RECORDS_COUNT_AT,
                self.i32_at::<{ header::RECORDS_COUNT_AT }>().into(),
                0,
                zero,
            ),
        ];
        for (field, at, found, least, rule) in fields {
            if found < least {
                return Err(BatchError::Field { field, at, found, rule });
            }
        }
        let delta = i64::from(self.last_offset_delta());
        if self.base_offset().checked_add(delta).is_none() {
            return Err(BatchError::Field {
                field: "lastOffsetDelta",
                at: header::LAST_OFFSET_DELTA_AT,
                found: delta,
                rule: "base offset plus delta must be an offset",
            });
        }
        Ok(self)
    }
}

impl core::fmt::Debug for BatchView<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BatchView")
            .field("base_offset", &self.base_offset())
            .field("last_offset", &self.last_offset())
            .field("batch_bytes", &self.batch_bytes())
            .field("attributes", &self.attributes())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .field("records_count", &self.records_count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
