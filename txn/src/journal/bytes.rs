//! Kafka's primitive types, read with every bound checked.

use super::JournalError;

/// Most bytes of an unsigned varint of 32 bits.
const UVARINT_BYTES_MAX: u32 = 5;

/// Bytes being read, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) const fn refuse(&self, what: &'static str, found: i64) -> JournalError {
        JournalError::Field { what, at: self.at, found }
    }

    fn take(&mut self, what: &'static str, need: usize) -> Result<&'a [u8], JournalError> {
        let Some((taken, rest)) = self.rest.split_at_checked(need) else {
            return Err(JournalError::Short { what, at: self.at, need, have: self.rest.len() });
        };
        self.rest = rest;
        self.at += need;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], JournalError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N)?);
        Ok(array)
    }

    pub(super) fn i8(&mut self, what: &'static str) -> Result<i8, JournalError> {
        self.array(what).map(i8::from_be_bytes)
    }

    pub(super) fn i16(&mut self, what: &'static str) -> Result<i16, JournalError> {
        self.array(what).map(i16::from_be_bytes)
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, JournalError> {
        self.array(what).map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, what: &'static str) -> Result<i64, JournalError> {
        self.array(what).map(i64::from_be_bytes)
    }

    pub(super) fn uvarint(&mut self, what: &'static str) -> Result<u32, JournalError> {
        let mut value = 0_u64;
        for index in 0..UVARINT_BYTES_MAX {
            let [byte] = self.array(what)?;
            value |= u64::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| self.refuse(what, i64::MAX));
            }
        }
        Err(self.refuse(what, i64::MAX))
    }

    /// A nullable count: compact (plus one, 0 for null) or an i32 (−1 for null).
    pub(super) fn count(
        &mut self,
        what: &'static str,
        compact: bool,
    ) -> Result<Option<u32>, JournalError> {
        if compact {
            return Ok(self.uvarint(what)?.checked_sub(1));
        }
        match self.i32(what)? {
            -1 => Ok(None),
            count => match u32::try_from(count) {
                Ok(count) => Ok(Some(count)),
                Err(_) => Err(self.refuse(what, count.into())),
            },
        }
    }

    /// A text with a 16-bit length.
    pub(super) fn text(&mut self, what: &'static str) -> Result<&'a str, JournalError> {
        let bytes = self.i16(what)?;
        let length = usize::try_from(bytes).map_err(|_| self.refuse(what, bytes.into()))?;
        self.utf8(what, length)
    }

    /// A text with a varint of its length plus one.
    pub(super) fn compact_text(&mut self, what: &'static str) -> Result<&'a str, JournalError> {
        let Some(length) = self.uvarint(what)?.checked_sub(1) else {
            return Err(self.refuse(what, 0));
        };
        self.utf8(what, usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn utf8(&mut self, what: &'static str, length: usize) -> Result<&'a str, JournalError> {
        let bytes = self.take(what, length)?;
        core::str::from_utf8(bytes).map_err(|error| JournalError::Text {
            what,
            at: self.at,
            reason: error.to_string(),
        })
    }

    /// The next `bytes` bytes, to be read on their own.
    pub(super) fn part(&mut self, what: &'static str, bytes: u32) -> Result<Self, JournalError> {
        let at = self.at;
        let rest = self.take(what, usize::try_from(bytes).unwrap_or(usize::MAX))?;
        Ok(Self { rest, at })
    }

    /// Nothing may be left.
    pub(super) const fn end(&self) -> Result<(), JournalError> {
        match self.rest.len() {
            0 => Ok(()),
            bytes => Err(JournalError::Surplus { at: self.at, bytes }),
        }
    }
}

pub(super) fn put_uvarint(out: &mut Vec<u8>, value: usize) {
    let mut left = value;
    loop {
        let low = u8::try_from(left & 0x7F).unwrap_or_default();
        left >>= 7;
        if left == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}
