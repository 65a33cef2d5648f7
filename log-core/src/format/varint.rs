//! Zigzag numbers of one to ten bytes, as records carry them.
//!
//! ```text
//!   n = 0 −1 1 −2 …   zigzag   z = 0 1 2 3 …   seven bits a byte, low ones first, 0x80 = more follow
//!   64 ─────────────▶ 128 ─────────────▶ 80 01
//! ```
//!
//! A varint (`i32`) has at most 5 bytes, a varlong (`i64`) at most 10. Padded forms (`80 00` for 0)
//! are read, as Kafka reads them, and never written. Source: Kafka `ByteUtils`, KIP-98.

use crate::int;

/// Bytes of the longest varint.
pub const VARINT_BYTES_MAX: usize = 5;
/// Bytes of the longest varlong.
pub const VARLONG_BYTES_MAX: usize = 10;

const _: () = assert!(VARINT_BYTES_MAX == encoded_bytes_i32(i32::MIN));
const _: () = assert!(VARLONG_BYTES_MAX == encoded_bytes_i64(i64::MIN));

/// Why bytes are no varint.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VarintError {
    /// The bytes end while the last one says that more follow.
    #[error("the number is cut off after {have} bytes")]
    Truncated {
        /// Bytes there were.
        have: usize,
    },
    /// More bytes than a number of this width can have.
    #[error("the number goes on past {bytes_max} bytes")]
    TooLong {
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// The last byte holds bits that the width has no room for.
    #[error("the number does not fit in {bits} bits")]
    Overflow {
        /// Bits allowed.
        bits: u32,
    },
}

/// Bytes [`encode_i32`] writes for `value`: 1 to 5.
#[must_use]
pub const fn encoded_bytes_i32(value: i32) -> usize {
    encoded_bytes(int::u64_widened(zigzag_i32(value)))
}

/// Bytes [`encode_i64`] writes for `value`: 1 to 10.
#[must_use]
pub const fn encoded_bytes_i64(value: i64) -> usize {
    encoded_bytes(zigzag_i64(value))
}

/// Appends `value` to `out` as a varint.
#[inline]
pub fn encode_i32(value: i32, out: &mut Vec<u8>) {
    encode(u64::from(zigzag_i32(value)), out);
}

/// Appends `value` to `out` as a varlong.
#[inline]
pub fn encode_i64(value: i64, out: &mut Vec<u8>) {
    encode(zigzag_i64(value), out);
}

/// Bytes [`encode_length`] writes for `length`.
#[inline]
pub(crate) const fn encoded_bytes_length(length: usize) -> usize {
    encoded_bytes(int::u64_from(length) << 1)
}

/// Appends a length that its caller has bounded by `i32::MAX`, as a varint.
#[inline]
pub(crate) fn encode_length(length: usize, out: &mut Vec<u8>) {
    encode(int::u64_from(length) << 1, out);
}

/// Takes a varint off the front of `cursor`, which stays where it was on an error.
///
/// # Errors
///
/// [`VarintError`] if the bytes end too early, go on too long or hold more than 32 bits.
#[inline]
pub fn decode_i32(cursor: &mut &[u8]) -> Result<i32, VarintError> {
    if let [first @ 0..0x80, rest @ ..] = *cursor {
        *cursor = rest;
        return Ok(unzigzag_i32(u32::from(*first)));
    }
    let bits = decode_long(cursor, u32::BITS)?;
    Ok(unzigzag_i32(int::low_u32(bits)))
}

/// Takes a varlong off the front of `cursor`, which stays where it was on an error.
///
/// # Errors
///
/// [`VarintError`] if the bytes end too early, go on too long or hold more than 64 bits.
#[inline]
pub fn decode_i64(cursor: &mut &[u8]) -> Result<i64, VarintError> {
    if let [first @ 0..0x80, rest @ ..] = *cursor {
        *cursor = rest;
        return Ok(unzigzag_i64(u64::from(*first)));
    }
    decode_long(cursor, u64::BITS).map(unzigzag_i64)
}

#[inline]
pub(super) const fn zigzag_i32(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)).cast_unsigned()
}

#[inline]
pub(super) const fn zigzag_i64(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

const fn unzigzag_i32(bits: u32) -> i32 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}

const fn unzigzag_i64(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}

const fn encoded_bytes(bits: u64) -> usize {
    let significant = u64::BITS - (bits | 1).leading_zeros();
    int::usize_from_u32(significant.div_ceil(7))
}

#[inline]
fn encode(mut bits: u64, out: &mut Vec<u8>) {
    while bits >= 0x80 {
        out.push(int::low_byte(bits) | 0x80);
        bits >>= 7;
    }
    out.push(int::low_byte(bits));
}

/// The general case: `width` is 32 or 64 bits.
fn decode_long(cursor: &mut &[u8], width: u32) -> Result<u64, VarintError> {
    let mut bits = 0;
    let mut shift = 0;
    for (index, byte) in cursor.iter().enumerate() {
        let group = u64::from(byte & 0x7F);
        if shift >= width {
            return Err(VarintError::TooLong { bytes_max: index });
        }
        if width - shift < 7 && group >> (width - shift) != 0 {
            return Err(if *byte < 0x80 {
                VarintError::Overflow { bits: width }
            } else {
                VarintError::TooLong { bytes_max: index + 1 }
            });
        }
        bits |= group << shift;
        if *byte < 0x80 {
            *cursor = cursor.get(index + 1..).unwrap_or_default();
            return Ok(bits);
        }
        shift += 7;
    }
    Err(VarintError::Truncated { have: cursor.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn i32_bytes(value: i32) -> Vec<u8> {
        let mut out = Vec::new();
        encode_i32(value, &mut out);
        assert_eq!(out.len(), encoded_bytes_i32(value), "{value}");
        out
    }

    fn i64_bytes(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        encode_i64(value, &mut out);
        assert_eq!(out.len(), encoded_bytes_i64(value), "{value}");
        out
    }

    #[test]
    fn the_numbers_kafka_writes_have_kafkas_bytes() {
        let vectors: [(i32, &[u8]); 10] = [
            (0, &[0x00]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (63, &[0x7E]),
            (-64, &[0x7F]),
            (64, &[0x80, 0x01]),
            (8191, &[0xFE, 0x7F]),
            (-8192, &[0xFF, 0x7F]),
            (i32::MAX, &[0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
            (i32::MIN, &[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]),
        ];
        for (value, bytes) in vectors {
            assert_eq!(i32_bytes(value), bytes);
            assert_eq!(i64_bytes(value.into()), bytes);
            assert_eq!(decode_i32(&mut &*bytes), Ok(value));
            assert_eq!(decode_i64(&mut &*bytes), Ok(value.into()));
        }
        assert_eq!(i64_bytes(1 << 40), [0x80, 0x80, 0x80, 0x80, 0x80, 0x40]);
    }

    #[test]
    fn a_number_of_six_or_eleven_bytes_is_an_error() {
        let long = [0x80_u8, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
        assert_eq!(decode_i32(&mut &long[..]), Err(VarintError::TooLong { bytes_max: 5 }));
        assert_eq!(decode_i64(&mut &long[..]), Err(VarintError::TooLong { bytes_max: 10 }));
        assert_eq!(decode_i32(&mut &long[..4]), Err(VarintError::Truncated { have: 4 }));
        assert_eq!(decode_i32(&mut &[][..]), Err(VarintError::Truncated { have: 0 }));
    }

    #[test]
    fn bits_past_the_width_are_an_error_not_lost() {
        let mut bytes = [0xFF_u8, 0xFF, 0xFF, 0xFF, 0x1F];
        assert_eq!(decode_i32(&mut &bytes[..]), Err(VarintError::Overflow { bits: 32 }));
        bytes[4] = 0x0F;
        assert_eq!(decode_i32(&mut &bytes[..]), Ok(i32::MIN));
        let long = [0xFF_u8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x03];
        assert_eq!(decode_i64(&mut &long[..]), Err(VarintError::Overflow { bits: 64 }));
    }

    #[test]
    fn row_78_every_shape_of_a_number_is_read_or_refused_by_its_length() {
        // All ways in which up to eleven bytes can end or go on, with no bit set and with all.
        for last in 0..12_usize {
            for fill in [0x80_u8, 0xFF] {
                let bytes = [vec![fill; last], vec![0x00]].concat();
                let narrow = decode_i32(&mut &bytes[..]);
                let wide = decode_i64(&mut &bytes[..]);
                assert_eq!(narrow.is_ok(), last < 5, "{last} bytes of {fill:x}: {narrow:?}");
                assert_eq!(wide.is_ok(), last < 10, "{last} bytes of {fill:x}: {wide:?}");
                let (_last, cut) = bytes.split_last().unwrap();
                if last < 5 {
                    let cut = decode_i32(&mut &*cut);
                    assert_eq!(cut, Err(VarintError::Truncated { have: last }));
                }
            }
        }
        // A padded number is what it is without its padding: Kafka's clients read it so.
        assert_eq!(decode_i32(&mut &[0x82, 0x80, 0x80, 0x80, 0x00][..]), Ok(1));
    }

    #[test]
    fn a_failed_read_leaves_the_cursor_where_it_was() {
        let bytes = [0x80_u8, 0x80];
        let mut cursor = &bytes[..];
        assert!(decode_i32(&mut cursor).is_err());
        assert_eq!(cursor, bytes);
    }

    #[test]
    fn every_number_of_up_to_three_bytes_reads_back() {
        for value in -1_100_000..1_100_000 {
            let bytes = i32_bytes(value);
            assert_eq!(decode_i32(&mut &bytes[..]), Ok(value));
        }
    }

    proptest! {
        #[test]
        fn every_varint_reads_back_and_leaves_what_follows(value: i32, behind: Vec<u8>) {
            let mut bytes = i32_bytes(value);
            bytes.extend_from_slice(&behind);
            let mut cursor = &bytes[..];
            prop_assert_eq!(decode_i32(&mut cursor), Ok(value));
            prop_assert_eq!(cursor, &behind[..]);
        }

        #[test]
        fn every_varlong_reads_back_and_leaves_what_follows(value: i64, shift in 0_u32..64, behind: Vec<u8>) {
            let value = value >> shift;
            let mut bytes = i64_bytes(value);
            bytes.extend_from_slice(&behind);
            let mut cursor = &bytes[..];
            prop_assert_eq!(decode_i64(&mut cursor), Ok(value));
            prop_assert_eq!(cursor, &behind[..]);
        }

        #[test]
        fn any_bytes_are_a_number_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            let wide = decode_i64(&mut &bytes[..]);
            if let Ok(narrow) = decode_i32(&mut &bytes[..]) {
                prop_assert_eq!(wide, Ok(i64::from(narrow)));
            }
        }
    }
}
