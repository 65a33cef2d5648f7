//! A second decoder, slow and written from the format alone: what the fast one must agree with.
//!
//! It shares no code with `log-core`: numbers are gathered bit by bit, lengths are compared before
//! every use, and anything odd is `None`.

/// One record, as the format says it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Record {
    /// Added to the batch's base timestamp.
    pub timestamp_delta: i64,
    /// Added to the batch's base offset.
    pub offset_delta: i32,
    /// `None` is null.
    pub key: Option<Vec<u8>>,
    /// `None` is null.
    pub value: Option<Vec<u8>>,
    /// In the order they stand.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A zigzag number of at most `bits` bits at the front of `bytes`, and how many bytes it has.
#[must_use]
pub fn varint(bytes: &[u8], bits: u32) -> Option<(i64, usize)> {
    let bytes_max = bits.div_ceil(7) as usize;
    let mut raw = 0_u128;
    for (index, byte) in bytes.iter().take(bytes_max).enumerate() {
        for bit in 0..7 {
            if byte >> bit & 1 == 1 {
                raw |= 1_u128 << (index as u32 * 7 + bit);
            }
        }
        if *byte < 0x80 {
            if raw >> bits != 0 {
                return None;
            }
            let half = (raw / 2) as i64;
            return Some((if raw.is_multiple_of(2) { half } else { -half - 1 }, index + 1));
        }
    }
    None
}

/// Exactly `count` records that fill `bytes`.
#[must_use]
pub fn records(mut bytes: &[u8], count: usize) -> Option<Vec<Record>> {
    let mut found = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(number(&mut bytes, 32)?).ok()?;
        if length > bytes.len() {
            return None;
        }
        found.push(record(&bytes[..length])?);
        bytes = &bytes[length..];
    }
    bytes.is_empty().then_some(found)
}

fn record(mut body: &[u8]) -> Option<Record> {
    body = body.get(1..)?;
    let timestamp_delta = number(&mut body, 64)?;
    let offset_delta = number(&mut body, 32)? as i32;
    let key = nullable(&mut body)?;
    let value = nullable(&mut body)?;
    let count = usize::try_from(number(&mut body, 32)?).ok()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let key = nullable(&mut body)??;
        headers.push((key, nullable(&mut body)?));
    }
    body.is_empty().then_some(Record { timestamp_delta, offset_delta, key, value, headers })
}

fn number(bytes: &mut &[u8], bits: u32) -> Option<i64> {
    let (value, used) = varint(bytes, bits)?;
    *bytes = &bytes[used..];
    Some(value)
}

#[expect(clippy::option_option, reason = "outside: not there; inside: null")]
fn nullable(bytes: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let length = number(bytes, 32)?;
    if length == -1 {
        return Some(None);
    }
    let length = usize::try_from(length).ok()?;
    let taken = bytes.get(..length)?.to_vec();
    *bytes = &bytes[length..];
    Some(Some(taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_the_edges() {
        assert_eq!(varint(&[0x80, 0x01], 32), Some((64, 2)));
        assert_eq!(varint(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F], 32), Some((i32::MIN.into(), 5)));
        assert_eq!(varint(&[0xFF, 0xFF, 0xFF, 0xFF, 0x1F], 32), None);
        assert_eq!(varint(&[0x80; 5], 32), None);
        let min = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        assert_eq!(varint(&min, 64), Some((i64::MIN, 10)));
    }

    #[test]
    fn a_record_by_hand() {
        let bytes = [0x12, 0, 0, 0, 2, b'k', 4, b'v', b'1', 0];
        let record = Record {
            timestamp_delta: 0,
            offset_delta: 0,
            key: Some(b"k".to_vec()),
            value: Some(b"v1".to_vec()),
            headers: Vec::new(),
        };
        assert_eq!(records(&bytes, 1), Some(vec![record]));
        assert_eq!(records(&bytes, 2), None, "there is only one");
        assert_eq!(records(&bytes[..9], 1), None, "its end is missing");
        assert_eq!(records(&[0x10, 0, 0, 0, 2, b'k', 4, b'v', b'1', 0], 1), None, "too short");
    }
}
