//! Records that own what they show: slices of the one buffer their batch came in.

use bytes::Bytes;

use super::{Cursor, Headers, RecordError, RecordHeader};
use crate::format::batch::{BatchError, BatchView};
use crate::ids::{Offset, Sequence, TimestampMs};

use std::borrow::Cow;

/// One record. Key, value and headers are slices of its batch's buffer, shared and not copied: the
/// buffer lives as long as the last record of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The record's place in the log.
    pub offset: Offset,
    /// The record's time; the batch's if the log stamped it.
    pub timestamp: TimestampMs,
    /// The record's number among its producer's, or none.
    pub sequence: Sequence,
    /// The key; `None` is Kafka's null, which is not an empty key.
    pub key: Option<Bytes>,
    /// The value; `None` is Kafka's null: a tombstone in a compacted log.
    pub value: Option<Bytes>,
    headers: Bytes,
    headers_count: usize,
}

impl Record {
    /// The headers, in the order they were written; a key may occur more than once.
    #[must_use]
    pub fn headers(&self) -> Headers<'_> {
        Headers { rest: &self.headers, left: self.headers_count }
    }

    /// The value of the last header named `key`, as Kafka's `Headers.lastHeader` gives it.
    #[must_use]
    pub fn last_header(&self, key: &[u8]) -> Option<RecordHeader<'_>> {
        self.headers().filter(|header| header.key == key).last()
    }
}

/// The records of one batch, in order, each owning its parts.
///
/// Ends and fails as [`Records`](super::Records) does.
#[derive(Clone, Debug)]
pub struct OwnedRecords {
    bytes: Bytes,
    cursor: Cursor,
}

impl OwnedRecords {
    /// The records of `batch`, which is a part of `buffer`. Without a codec they are slices of it;
    /// else of what the codec makes of them, at most `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// As [`BatchView::decompress`].
    ///
    /// # Panics
    ///
    /// If `batch` was not parsed from `buffer`.
    pub fn new(buffer: &Bytes, batch: &BatchView<'_>, bytes_max: u32) -> Result<Self, BatchError> {
        let bytes = match batch.decompress(bytes_max)? {
            Cow::Borrowed(plain) => buffer.slice_ref(plain),
            Cow::Owned(records) => Bytes::from(records),
        };
        Ok(Self { bytes, cursor: Cursor::new(batch) })
    }
}

impl Iterator for OwnedRecords {
    type Item = Result<Record, RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.cursor.next(&self.bytes)? {
            Ok(record) => record,
            Err(error) => return Some(Err(error)),
        };
        let slice = |part: &[u8]| self.bytes.slice_ref(part);
        Some(Ok(Record {
            offset: record.offset,
            timestamp: record.timestamp,
            sequence: record.sequence,
            key: record.key.map(slice),
            value: record.value.map(slice),
            headers: if record.headers.left == 0 {
                Bytes::new()
            } else {
                slice(record.headers.rest)
            },
            headers_count: record.headers.left,
        }))
    }
}
