//! The 61 bytes in front of a batch's records: where each field stands, and how they are written.
//!
//! ```text
//!    0 ── base offset ──  8 length 12 epoch 16 magic 17 crc 21 attributes 23 last offset delta
//!   27 ── base timestamp ── 35 ── max timestamp ── 43 ── producer id ── 51 epoch 53 sequence
//!   57 records count  61 records …                       the checksum covers 21 to the end
//! ```

use crate::format::crc32c::crc32c;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::{Attributes, BatchError, MAGIC};

pub(super) const BASE_OFFSET_AT: usize = 0;
pub(super) const LENGTH_AT: usize = 8;
pub(super) const LEADER_EPOCH_AT: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
pub(super) const ATTRIBUTES_AT: usize = 21;
pub(super) const LAST_OFFSET_DELTA_AT: usize = 23;
pub(super) const BASE_TIMESTAMP_AT: usize = 27;
pub(super) const MAX_TIMESTAMP_AT: usize = 35;
pub(super) const PRODUCER_ID_AT: usize = 43;
pub(super) const PRODUCER_EPOCH_AT: usize = 51;
pub(super) const BASE_SEQUENCE_AT: usize = 53;
pub(super) const RECORDS_COUNT_AT: usize = 57;

/// Bytes of a batch's header; its records follow.
pub const HEADER_BYTES: usize = 61;
/// Bytes in front of what the length field counts: base offset and length.
pub const LOG_OVERHEAD_BYTES: usize = 12;
/// Bytes that tell the size of a batch and its version.
pub const PREFIX_BYTES: usize = MAGIC_AT + 1;

const _: () = assert!(LENGTH_AT == BASE_OFFSET_AT + size_of::<i64>());
const _: () = assert!(LEADER_EPOCH_AT == LOG_OVERHEAD_BYTES);
const _: () = assert!(MAGIC_AT == LEADER_EPOCH_AT + size_of::<i32>());
const _: () = assert!(CRC_AT == MAGIC_AT + size_of::<i8>());
const _: () = assert!(ATTRIBUTES_AT == CRC_AT + size_of::<u32>());
const _: () = assert!(LAST_OFFSET_DELTA_AT == ATTRIBUTES_AT + size_of::<i16>());
const _: () = assert!(BASE_TIMESTAMP_AT == LAST_OFFSET_DELTA_AT + size_of::<i32>());
const _: () = assert!(MAX_TIMESTAMP_AT == BASE_TIMESTAMP_AT + size_of::<i64>());
const _: () = assert!(PRODUCER_ID_AT == MAX_TIMESTAMP_AT + size_of::<i64>());
const _: () = assert!(PRODUCER_EPOCH_AT == PRODUCER_ID_AT + size_of::<i64>());
const _: () = assert!(BASE_SEQUENCE_AT == PRODUCER_EPOCH_AT + size_of::<i16>());
const _: () = assert!(RECORDS_COUNT_AT == BASE_SEQUENCE_AT + size_of::<i32>());
const _: () = assert!(HEADER_BYTES == RECORDS_COUNT_AT + size_of::<i32>());

/// The bytes of one field. The offsets are constants, checked when this library is compiled.
#[inline]
pub(super) fn field<const AT: usize, const N: usize>(header: &[u8; HEADER_BYTES]) -> [u8; N] {
    const { assert!(AT + N <= HEADER_BYTES) };
    match header.split_at_checked(AT).and_then(|(_, from)| from.first_chunk::<N>()) {
        Some(bytes) => *bytes,
        None => unreachable!("the field ends within the header, as asserted above"),
    }
}

#[inline]
fn put<const AT: usize, const N: usize>(header: &mut [u8; HEADER_BYTES], bytes: [u8; N]) {
    const { assert!(AT + N <= HEADER_BYTES) };
    if let Some(place) = header.get_mut(AT..AT + N) {
        place.copy_from_slice(&bytes);
    }
}

/// What a header says apart from length, magic and checksum, which follow from the records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) base_offset: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) attributes: Attributes,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp: TimestampMs,
    pub(crate) max_timestamp: TimestampMs,
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: ProducerEpoch,
    pub(crate) base_sequence: Sequence,
    pub(crate) records_count: i32,
}

impl Header {
    /// Writes this header over the first 61 bytes of `batch`, whose records stand behind them.
    ///
    /// # Errors
    ///
    /// `Short` if there are no 61 bytes, `Field` if the length field cannot hold the size.
    pub(crate) fn seal(&self, batch: &mut [u8]) -> Result<(), BatchError> {
        let total = batch.len();
        let Some(length) = total.checked_sub(LOG_OVERHEAD_BYTES) else { return Err(short(total)) };
        let Ok(length) = i32::try_from(length) else {
            return Err(BatchError::Field {
                field: "batchLength",
                at: LENGTH_AT,
                found: i64::try_from(length).unwrap_or(i64::MAX),
                rule: "a batch has at most 2^31 − 1 bytes behind its length",
            });
        };
        let Some(header) = batch.first_chunk_mut() else { return Err(short(total)) };
        self.put_fields(header, length);
        let crc = crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default());
        let Some(header) = batch.first_chunk_mut() else { return Err(short(total)) };
        put::<CRC_AT, _>(header, crc.to_be_bytes());
        Ok(())
    }

    fn put_fields(&self, header: &mut [u8; HEADER_BYTES], length: i32) {
        put::<BASE_OFFSET_AT, _>(header, self.base_offset.get().to_be_bytes());
        put::<LENGTH_AT, _>(header, length.to_be_bytes());
        put::<LEADER_EPOCH_AT, _>(header, self.leader_epoch.get().to_be_bytes());
        put::<MAGIC_AT, _>(header, MAGIC.to_be_bytes());
        put::<ATTRIBUTES_AT, _>(header, self.attributes.bits().to_be_bytes());
        put::<LAST_OFFSET_DELTA_AT, _>(header, self.last_offset_delta.to_be_bytes());
        put::<BASE_TIMESTAMP_AT, _>(header, self.base_timestamp.get().to_be_bytes());
        put::<MAX_TIMESTAMP_AT, _>(header, self.max_timestamp.get().to_be_bytes());
        put::<PRODUCER_ID_AT, _>(header, self.producer_id.get().to_be_bytes());
        put::<PRODUCER_EPOCH_AT, _>(header, self.producer_epoch.get().to_be_bytes());
        put::<BASE_SEQUENCE_AT, _>(header, self.base_sequence.get().to_be_bytes());
        put::<RECORDS_COUNT_AT, _>(header, self.records_count.to_be_bytes());
    }
}

/// Gives the batch at the front of `bytes` its place in a log: base offset and leader epoch, in
/// place. Both stand outside the checksum, which stays valid; nothing else is touched.
///
/// # Errors
///
/// [`BatchError::Short`] if not even a header is there, [`BatchError::Field`] if the batch's last
/// offset would pass [`Offset::MAX`]. Then no byte has changed.
pub fn stamp(
    bytes: &mut [u8],
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Result<(), BatchError> {
    let have = bytes.len();
    let Some(header) = bytes.first_chunk_mut() else { return Err(short(have)) };
    let delta = i32::from_be_bytes(field::<LAST_OFFSET_DELTA_AT, 4>(header));
    if delta < 0 || base_offset.checked_add(delta.into()).is_none() {
        return Err(BatchError::Field {
            field: "lastOffsetDelta",
            at: LAST_OFFSET_DELTA_AT,
            found: delta.into(),
            rule: "base offset plus delta must be an offset",
        });
    }
    put::<BASE_OFFSET_AT, _>(header, base_offset.get().to_be_bytes());
    put::<LEADER_EPOCH_AT, _>(header, leader_epoch.get().to_be_bytes());
    Ok(())
}

fn short(have: usize) -> BatchError {
    BatchError::Short { need: crate::int::u64_from(HEADER_BYTES), have: crate::int::u64_from(have) }
}
