//! The records inside a batch, and the checks each must pass.
//!
//! ```text
//!   varint │ i8 │ varlong   │ varint │ varint │ key │ varint  │ value │ varint  │ headers …
//!   length │ 0  │ ts delta  │ offset │ key    │     │ value   │       │ headers │ key bytes, key,
//!          │    │           │ delta  │ bytes  │     │ bytes   │       │ count   │ value bytes, value
//!          └──────────────────────── exactly `length` bytes ──────────────────────────────────┘
//! ```
//!
//! Invariants: nothing is read outside the bytes given; the work is bounded by them, whatever the
//! counts in them say; offsets rise strictly and end with the batch. −1 bytes of key or value mean
//! null. Source: Kafka `DefaultRecord`, KIP-98.

mod cursor;
mod error;
mod owned;

pub use error::{RecordError, RecordFault};
pub use owned::{OwnedRecords, Record};

use cursor::Cursor;

use crate::format::batch::{BatchError, BatchView};
use crate::format::varint;
use crate::ids::{Offset, Sequence, TimestampMs};
use crate::int;

/// One record, borrowed from its batch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecordView<'a> {
    /// The record's place in the log.
    pub offset: Offset,
    /// The record's time; the batch's if the log stamped it.
    pub timestamp: TimestampMs,
    /// The record's number among its producer's, or none.
    pub sequence: Sequence,
    /// The key; `None` is Kafka's null, which is not an empty key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is Kafka's null: a tombstone in a compacted log.
    pub value: Option<&'a [u8]>,
    headers: Headers<'a>,
}

impl<'a> RecordView<'a> {
    /// The headers, in the order they were written; a key may occur more than once.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.headers.clone()
    }
}

/// One header of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a header is a key and a value in every version")]
pub struct RecordHeader<'a> {
    /// The key. Meant to be UTF-8; some clients write other bytes, which are kept.
    pub key: &'a [u8],
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record that has been checked.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for Headers<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // Never an error: the record's parse read the same bytes to the end.
        read_header(&mut self.rest).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// The records of one batch, in order.
///
/// Ends cleanly after the last record if it ends the bytes. After an error it answers with that
/// error for ever, so leave at the first (`collect::<Result<…>>` does).
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    cursor: Cursor,
}

impl<'a> Records<'a> {
    /// The records of `batch`, whose codec gave `records` back. For a batch without a codec use
    /// [`BatchView::records`].
    #[must_use]
    pub fn decompressed(batch: &BatchView<'_>, records: &'a [u8]) -> Self {
        Self { bytes: records, cursor: Cursor::new(batch) }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(self.bytes)
    }
}

/// What an append learns from looking at each record once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecordsSummary {
    /// Records in the batch, 1 or more: as many as it takes up offsets.
    pub count: u32,
    /// The largest timestamp of the records. A header that says otherwise is to be corrected.
    pub max_timestamp: TimestampMs,
    /// The first record with that timestamp.
    pub offset_of_max_timestamp: Offset,
}

/// Checks the records of an uncompressed batch as a client must send them: offset deltas 0, 1, 2, …
/// and one record for each offset of the batch.
///
/// # Errors
///
/// [`BatchError::Record`] for the first rule broken; [`BatchError::Compressed`] or
/// [`BatchError::Codec`] if the records have to be decompressed first.
pub fn validate_records(batch: &BatchView<'_>) -> Result<RecordsSummary, BatchError> {
    Ok(summarise(batch, batch.records()?)?)
}

/// [`validate_records`] for a batch whose codec gave `records` back.
///
/// # Errors
///
/// [`RecordError`] for the first rule broken.
pub fn validate_decompressed(
    batch: &BatchView<'_>,
    records: &[u8],
) -> Result<RecordsSummary, RecordError> {
    summarise(batch, Records::decompressed(batch, records))
}

fn summarise(batch: &BatchView<'_>, records: Records<'_>) -> Result<RecordsSummary, RecordError> {
    let count = batch.records_count();
    let range = i64::from(batch.last_offset_delta()) + 1;
    if i64::from(count) != range {
        let fault = RecordFault::Range { count, offsets: range };
        return Err(RecordError { record: 0, at: 0, fault });
    }
    // As many records as offsets, and offsets that rise strictly within the batch: they are dense.
    let mut best: Option<(TimestampMs, Offset)> = None;
    for record in records {
        let record = record?;
        if best.is_none_or(|(max, _)| record.timestamp > max) {
            best = Some((record.timestamp, record.offset));
        }
    }
    let (max_timestamp, offset_of_max_timestamp) =
        best.unwrap_or((batch.max_timestamp(), batch.last_offset()));
    Ok(RecordsSummary { count, max_timestamp, offset_of_max_timestamp })
}

/// A length that must be there, and as many bytes.
#[inline]
fn read_bytes<'a>(cursor: &mut &'a [u8], what: &'static str) -> Result<&'a [u8], RecordFault> {
    match read_length(cursor, what)? {
        Some(bytes) => take(cursor, bytes, what),
        None => Err(RecordFault::NegativeLength { what, found: -1 }),
    }
}

/// A length, where −1 is null, and as many bytes.
#[inline]
fn read_nullable<'a>(
    cursor: &mut &'a [u8],
    what: &'static str,
) -> Result<Option<&'a [u8]>, RecordFault> {
    match read_length(cursor, what)? {
        Some(bytes) => take(cursor, bytes, what).map(Some),
        None => Ok(None),
    }
}

#[inline]
fn read_length(cursor: &mut &[u8], what: &'static str) -> Result<Option<usize>, RecordFault> {
    match varint::decode_i32(cursor)? {
        -1 => Ok(None),
        found @ ..-1 => Err(RecordFault::NegativeLength { what, found }),
        length => Ok(Some(int::usize_from_u32(length.cast_unsigned()))),
    }
}

#[inline]
fn take<'a>(
    cursor: &mut &'a [u8],
    bytes: usize,
    what: &'static str,
) -> Result<&'a [u8], RecordFault> {
    match cursor.split_at_checked(bytes) {
        Some((taken, rest)) => {
            *cursor = rest;
            Ok(taken)
        }
        None => Err(RecordFault::Overrun { what, need: bytes, have: cursor.len() }),
    }
}

/// Reads over the headers, so that [`Headers`] cannot fail later.
#[inline]
fn read_headers<'a>(cursor: &mut &'a [u8]) -> Result<Headers<'a>, RecordFault> {
    if let [0] = cursor {
        *cursor = &[];
        return Ok(Headers { rest: &[], left: 0 });
    }
    read_some_headers(cursor)
}

fn read_some_headers<'a>(cursor: &mut &'a [u8]) -> Result<Headers<'a>, RecordFault> {
    let declared = varint::decode_i32(cursor)?;
    let have = cursor.len();
    let fault = RecordFault::HeadersCount { declared, have };
    // Each header takes two bytes at the least, so a count past the bytes is a lie.
    let left = usize::try_from(declared).ok().filter(|left| *left <= have).ok_or(fault)?;
    let headers = Headers { rest: cursor, left };
    for _ in 0..left {
        read_header(cursor)?;
    }
    Ok(headers)
}

fn read_header<'a>(cursor: &mut &'a [u8]) -> Result<RecordHeader<'a>, RecordFault> {
    let key = read_bytes(cursor, "a header's key")?;
    let value = read_nullable(cursor, "a header's value")?;
    Ok(RecordHeader { key, value })
}

#[cfg(test)]
mod tests;
