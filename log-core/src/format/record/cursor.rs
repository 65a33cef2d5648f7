//! A place among the records of a batch: what is known of those before it.
//!
//! It holds no bytes, so that the same walk serves records that are borrowed and records that own
//! their batch; whoever walks gives it the same bytes each time.

use super::{RecordError, RecordFault, RecordView, read_bytes, read_headers, read_nullable};
use crate::format::batch::{BatchView, TimestampType};
use crate::format::varint;
use crate::ids::{Offset, Sequence, TimestampMs};

/// Where a walk stands, and what the batch's header says of its records.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    /// Bytes before the next record.
    at: usize,
    base_offset: Offset,
    base_timestamp: TimestampMs,
    append_time: Option<TimestampMs>,
    base_sequence: Sequence,
    last_offset_delta: i32,
    count: u32,
    read: u32,
    previous_delta: i32,
    failed: Option<RecordError>,
}

impl Cursor {
    /// Before the first record of `batch`.
    pub(super) fn new(batch: &BatchView<'_>) -> Self {
        let append_time = match batch.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(batch.max_timestamp()),
        };
        Self {
            at: 0,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            append_time,
            base_sequence: batch.base_sequence(),
            last_offset_delta: batch.last_offset_delta(),
            count: batch.records_count(),
            read: 0,
            previous_delta: -1,
            failed: None,
        }
    }

    /// The next record in `bytes`, the batch's uncompressed records.
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Option<Result<RecordView<'a>, RecordError>> {
        if let Some(error) = self.failed {
            return Some(Err(error));
        }
        let mut rest = bytes.get(self.at..).unwrap_or_default();
        if self.read < self.count {
            return Some(match self.read_next(&mut rest) {
                Ok(record) => {
                    self.at = bytes.len() - rest.len();
                    Ok(record)
                }
                Err(fault) => self.fail(fault),
            });
        }
        if rest.is_empty() {
            return None;
        }
        Some(self.fail(RecordFault::Surplus { declared: self.count, bytes: rest.len() }))
    }

    #[inline]
    fn read_next<'a>(&mut self, rest: &mut &'a [u8]) -> Result<RecordView<'a>, RecordFault> {
        if rest.is_empty() {
            return Err(RecordFault::Missing { declared: self.count, found: self.read });
        }
        let mut body = read_bytes(rest, "the record")?;
        let Some((_attributes, after)) = body.split_first() else {
            return Err(RecordFault::Overrun { what: "the attributes", need: 1, have: 0 });
        };
        body = after;
        let timestamp = self.timestamp(varint::decode_i64(&mut body)?)?;
        let delta = varint::decode_i32(&mut body)?;
        let offset = self.offset(delta)?;
        let key = read_nullable(&mut body, "the key")?;
        let value = read_nullable(&mut body, "the value")?;
        let headers = read_headers(&mut body)?;
        if !body.is_empty() {
            return Err(RecordFault::Unread { bytes: body.len() });
        }
        self.previous_delta = delta;
        self.read += 1;
        let sequence = match self.base_sequence {
            Sequence::NONE => Sequence::NONE,
            base => base.increment(delta),
        };
        Ok(RecordView { offset, timestamp, sequence, key, value, headers })
    }

    #[inline]
    fn timestamp(&self, delta: i64) -> Result<TimestampMs, RecordFault> {
        if let Some(time) = self.append_time {
            return Ok(time);
        }
        let base = self.base_timestamp.get();
        let sum = base.checked_add(delta).ok_or(RecordFault::Timestamp { base, delta })?;
        Ok(TimestampMs::new(sum))
    }

    #[inline]
    fn offset(&self, delta: i32) -> Result<Offset, RecordFault> {
        let after = self.previous_delta;
        let fault = RecordFault::OffsetDelta { found: delta, after, last: self.last_offset_delta };
        if delta <= after || delta > self.last_offset_delta {
            return Err(fault);
        }
        self.base_offset.checked_add(delta.into()).ok_or(fault)
    }

    #[cold]
    fn fail<T>(&mut self, fault: RecordFault) -> Result<T, RecordError> {
        let error = RecordError { record: self.read, at: self.at, fault };
        self.failed = Some(error);
        Err(error)
    }
}
