//! One record into bytes, behind those that are there.
//!
//! ```text
//!   ┌ length  attributes  timestamp delta  offset delta ┐┌ key length ┐ key ┌ value length ┐ value …
//!   └ 3 +     1 +         2 +              2 bytes ─────┘└────────────┘     └──────────────┘
//! ```
//!
//! Almost every record has lengths below 2^20, deltas below 2^13 and few headers: its numbers are put
//! together in a register and stored 8 bytes at a time, the surplus cut off again. Every other
//! record takes [`put_general`], which says the same number by number. Both give the same bytes.

use crate::format::builder::NewRecord;
use crate::format::record::RecordHeader;
use crate::format::varint;
use crate::int;

/// Where numbers stop fitting in three bytes: lengths.
const THREE_BYTES_END: u64 = 1 << 21;
/// Where numbers stop fitting in two bytes: deltas.
const TWO_BYTES_END: u64 = 1 << 14;
/// Where the number of headers stops fitting in one byte.
const HEADERS_END: usize = 1 << 6;

/// A record measured, and half encoded: what it takes to write it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Measured {
    /// Its numbers, and the whole record's bytes.
    Small { head: Packed, key_length: Packed, value_length: Packed, record_bytes: usize },
    /// Bytes behind the record's length, and the whole record's.
    General { body_bytes: usize, record_bytes: usize },
}

impl Measured {
    #[inline]
    pub(super) fn new(record: &NewRecord<'_>, timestamp_delta: i64, offset_delta: i32) -> Self {
        match small(record, timestamp_delta, offset_delta) {
            Some(small) => small,
            None => general(record, timestamp_delta, offset_delta),
        }
    }

    /// Bytes the record takes, its length included.
    #[inline]
    pub(super) const fn record_bytes(&self) -> usize {
        match self {
            Self::Small { record_bytes, .. } | Self::General { record_bytes, .. } => *record_bytes,
        }
    }

    /// Appends the record.
    #[inline]
    pub(super) fn put(
        self,
        record: &NewRecord<'_>,
        timestamp_delta: i64,
        offset_delta: i32,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Small { head, key_length, value_length, record_bytes } => {
                out.reserve(record_bytes + size_of::<u64>());
                put_small(record, head, key_length, value_length, out);
            }
            Self::General { body_bytes, record_bytes } => {
                out.reserve(record_bytes);
                put_general(record, body_bytes, timestamp_delta, offset_delta, out);
            }
        }
    }
}

/// Up to 8 bytes in a register, the first one lowest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packed {
    bits: u64,
    bytes: u32,
}

impl Packed {
    const EMPTY: Self = Self { bits: 0, bytes: 0 };

    /// The same with a number below [`THREE_BYTES_END`] behind it: one to three bytes.
    #[inline]
    const fn then(self, number: u64) -> Self {
        let (bits, bytes) = if number < 1 << 7 {
            (number, 1)
        } else if number < 1 << 14 {
            ((number & 0x7F) | 0x80 | ((number >> 7) << 8), 2)
        } else {
            let low = (number & 0x7F) | 0x80 | ((((number >> 7) & 0x7F) | 0x80) << 8);
            (low | ((number >> 14) << 16), 3)
        };
        self.behind(Self { bits, bytes })
    }

    /// The same with `next` behind it.
    #[inline]
    const fn behind(self, next: Self) -> Self {
        Self { bits: self.bits | (next.bits << (8 * self.bytes)), bytes: self.bytes + next.bytes }
    }

    #[inline]
    fn put(self, out: &mut Vec<u8>) {
        let end = out.len() + int::usize_from_u32(self.bytes);
        // A store of known size needs no loop and no call; what it wrote too much goes.
        out.extend_from_slice(&self.bits.swap_bytes().to_be_bytes());
        out.truncate(end);
    }
}

#[inline]
fn small(record: &NewRecord<'_>, timestamp_delta: i64, offset_delta: i32) -> Option<Measured> {
    let timestamp = varint::zigzag_i64(timestamp_delta);
    let offset = u64::from(varint::zigzag_i32(offset_delta));
    let key_bytes = record.key.map_or(0, <[u8]>::len);
    let value_bytes = record.value.map_or(0, <[u8]>::len);
    let fields_bytes = key_bytes.saturating_add(value_bytes);
    let fields_bytes = fields_bytes.saturating_add(headers_bytes(record.headers));
    // 32 bytes are more than what the record has apart from these.
    let largest = int::u64_from(fields_bytes).saturating_add(32) << 1;
    if record.headers.len() >= HEADERS_END
        || (timestamp | offset) >= TWO_BYTES_END
        || largest >= THREE_BYTES_END
    {
        return None;
    }
    let after_length = Packed { bits: 0, bytes: 1 }.then(timestamp).then(offset);
    let key_length = Packed::EMPTY.then(nullable_length(record.key));
    let value_length = Packed::EMPTY.then(nullable_length(record.value));
    let lengths_bytes = key_length.bytes + value_length.bytes;
    // The last byte is the number of headers.
    let body_bytes = fields_bytes + int::usize_from_u32(after_length.bytes + lengths_bytes + 1);
    let length = Packed::EMPTY.then(int::u64_from(body_bytes) << 1);
    let record_bytes = body_bytes + int::usize_from_u32(length.bytes);
    let head = length.behind(after_length);
    Some(Measured::Small { head, key_length, value_length, record_bytes })
}

#[inline]
fn put_small(
    record: &NewRecord<'_>,
    head: Packed,
    key_length: Packed,
    value_length: Packed,
    out: &mut Vec<u8>,
) {
    head.put(out);
    match record.key {
        Some(key) if !key.is_empty() => {
            key_length.put(out);
            out.extend_from_slice(key);
            value_length.put(out);
        }
        _ => key_length.behind(value_length).put(out),
    }
    out.extend_from_slice(record.value.unwrap_or_default());
    put_headers(record.headers, out);
}

/// A field's length as a zigzag number; null is −1, which is 1.
#[inline]
fn nullable_length(field: Option<&[u8]>) -> u64 {
    field.map_or(1, |field| int::u64_from(field.len()) << 1)
}

fn general(record: &NewRecord<'_>, timestamp_delta: i64, offset_delta: i32) -> Measured {
    let fixed = size_of::<i8>()
        + varint::encoded_bytes_i64(timestamp_delta)
        + varint::encoded_bytes_i32(offset_delta)
        + varint::encoded_bytes_length(record.headers.len());
    let body_bytes = nullable_bytes(record.key)
        .saturating_add(nullable_bytes(record.value))
        .saturating_add(headers_bytes(record.headers))
        .saturating_add(fixed);
    let record_bytes = body_bytes.saturating_add(varint::encoded_bytes_length(body_bytes));
    Measured::General { body_bytes, record_bytes }
}

fn put_general(
    record: &NewRecord<'_>,
    body_bytes: usize,
    timestamp_delta: i64,
    offset_delta: i32,
    out: &mut Vec<u8>,
) {
    varint::encode_length(body_bytes, out);
    out.push(0);
    varint::encode_i64(timestamp_delta, out);
    varint::encode_i32(offset_delta, out);
    put_nullable(record.key, out);
    put_nullable(record.value, out);
    put_headers(record.headers, out);
}

/// Bytes of the headers without their number. Saturating: a sum past the address space is far past
/// every limit, and stays so.
#[inline]
fn headers_bytes(headers: &[RecordHeader<'_>]) -> usize {
    headers.iter().fold(0, |sum, header| {
        let key = varint::encoded_bytes_length(header.key.len()).saturating_add(header.key.len());
        sum.saturating_add(key).saturating_add(nullable_bytes(header.value))
    })
}

#[inline]
fn put_headers(headers: &[RecordHeader<'_>], out: &mut Vec<u8>) {
    varint::encode_length(headers.len(), out);
    for header in headers {
        put_nullable(Some(header.key), out);
        put_nullable(header.value, out);
    }
}

#[inline]
fn nullable_bytes(field: Option<&[u8]>) -> usize {
    field.map_or(1, |field| varint::encoded_bytes_length(field.len()).saturating_add(field.len()))
}

#[inline]
fn put_nullable(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => varint::encode_i32(-1, out),
        Some(field) => {
            varint::encode_length(field.len(), out);
            out.extend_from_slice(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TimestampMs;
    use proptest::prelude::*;

    /// Bytes of `record` as measured, and as written by the general way.
    fn both(record: &NewRecord<'_>, timestamp_delta: i64, offset_delta: i32) -> (Vec<u8>, Vec<u8>) {
        let (mut fast, mut plain) = (vec![0xAA], vec![0xAA]);
        let measured = Measured::new(record, timestamp_delta, offset_delta);
        measured.put(record, timestamp_delta, offset_delta, &mut fast);
        assert_eq!(fast.len(), 1 + measured.record_bytes());
        general(record, timestamp_delta, offset_delta).put(
            record,
            timestamp_delta,
            offset_delta,
            &mut plain,
        );
        (fast, plain)
    }

    #[test]
    fn the_two_ways_agree_around_every_change_of_width() {
        let fields = vec![0x5A; 1 << 20];
        let lengths = [0, 1, 63, 64, 65, 8000, 8191, 8192, (1 << 20) - 33, (1 << 20) - 32, 1 << 20];
        let deltas = [0, 1, -1, 63, 64, -64, -65, 8190, 8191, 8192, -8192, -8193, 1 << 20];
        for length in lengths {
            let field = fields.get(..length).unwrap();
            for (key, value) in
                [(None, Some(field)), (Some(field), None), (Some(b"k"), Some(field)), (None, None)]
            {
                let record = NewRecord { timestamp: TimestampMs::NONE, key, value, headers: &[] };
                for delta in deltas {
                    let (fast, plain) = both(&record, delta.into(), delta.max(0));
                    assert!(fast == plain, "{length} bytes, delta {delta}");
                }
            }
        }
    }

    #[test]
    fn the_two_ways_agree_for_every_number_of_headers() {
        for count in 0..130 {
            let headers = vec![RecordHeader { key: b"h", value: None }; count];
            let timestamp = TimestampMs::NONE;
            let record = NewRecord { timestamp, key: None, value: None, headers: &headers };
            let (fast, plain) = both(&record, 1, 1);
            assert_eq!(fast, plain, "{count} headers");
        }
    }

    #[test]
    fn an_ordinary_record_is_a_small_one() {
        let timestamp = TimestampMs::NONE;
        let record = NewRecord { timestamp, key: Some(b"k"), value: Some(&[0; 100]), headers: &[] };
        assert!(matches!(
            Measured::new(&record, 500, 63),
            Measured::Small { record_bytes: 111, .. }
        ));
        assert!(matches!(Measured::new(&record, 1 << 30, 63), Measured::General { .. }));
    }

    proptest! {
        #[test]
        fn the_two_ways_agree(
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
            value in prop::option::of(prop::collection::vec(any::<u8>(), 0..200)),
            timestamp_delta: i64, shift in 0..64_u32, offset_delta in 0..i32::MAX, headers in 0..70_usize
        ) {
            let header = RecordHeader { key: key.as_deref().unwrap_or_default(), value: value.as_deref() };
            let headers = vec![header; headers];
            let record = NewRecord {
                timestamp: TimestampMs::NONE, key: key.as_deref(), value: value.as_deref(), headers: &headers
            };
            let (fast, plain) = both(&record, timestamp_delta >> shift, offset_delta >> (shift / 2));
            prop_assert_eq!(fast, plain);
        }
    }
}
