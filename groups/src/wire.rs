//! Reading and writing the primitive types of Kafka's protocol: big-endian numbers, strings with a
//! 16-bit length, bytes and arrays with a 32-bit one (−1 for null).
//!
//! A reader takes any bytes. It checks a length against what is left before it believes it, so no
//! input makes it reserve more than a small multiple of its own size.

use core::str::Utf8Error;

use log_core::TopicName;
use log_core::ids::TopicNameError;

use crate::int::at;
use crate::partitions::PartitionSet;

/// Why bytes are not what they should be: which field, at which byte, and what is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("field '{field}' at byte {at}: {problem}")]
pub struct WireError {
    field: &'static str,
    at: usize,
    problem: Problem,
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
enum Problem {
    #[error("needs {need} bytes, {have} are left")]
    Short { need: usize, have: usize },
    #[error("a length of {length} is not possible here")]
    Length { length: i64 },
    #[error("version {version} is not known")]
    Version { version: i16 },
    #[error("{value} is no valid value")]
    Value { value: i64 },
    #[error(transparent)]
    Utf8(#[from] Utf8Error),
    #[error(transparent)]
    Topic(#[from] TopicNameError),
}

impl WireError {
    /// The field that could not be read.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Where it begins, in bytes from the start.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }
}

/// A place in some bytes.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn wrong(&self, field: &'static str, problem: Problem) -> WireError {
        WireError { field, at: self.at, problem }
    }

    pub(crate) fn unknown_version(&self, version: i16) -> WireError {
        self.wrong("version", Problem::Version { version })
    }

    const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, field: &'static str, need: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(need);
        match end.and_then(|end| self.bytes.get(self.at..end)) {
            Some(taken) => {
                self.at += need;
                Ok(taken)
            }
            None => Err(self.wrong(field, Problem::Short { need, have: self.left() })),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let have = self.left();
        let start = self.at;
        self.take(field, N)?.try_into().map_err(|_short: core::array::TryFromSliceError| {
            WireError { field, at: start, problem: Problem::Short { need: N, have } }
        })
    }

    pub(crate) fn i16(&mut self, field: &'static str) -> Result<i16, WireError> {
        self.array(field).map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, WireError> {
        self.array(field).map(i32::from_be_bytes)
    }

    /// A string, `None` for null.
    pub(crate) fn nullable_string(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a str>, WireError> {
        let length = self.i16(field)?;
        if length == -1 {
            return Ok(None);
        }
        let Ok(bytes) = usize::try_from(length) else {
            return Err(self.wrong(field, Problem::Length { length: length.into() }));
        };
        let start = self.at;
        let text = core::str::from_utf8(self.take(field, bytes)?);
        text.map(Some).map_err(|error| WireError { field, at: start, problem: error.into() })
    }

    pub(crate) fn string(&mut self, field: &'static str) -> Result<&'a str, WireError> {
        let absent = self.wrong(field, Problem::Length { length: -1 });
        self.nullable_string(field)?.ok_or(absent)
    }

    pub(crate) fn topic(&mut self, field: &'static str) -> Result<TopicName, WireError> {
        let start = self.at;
        let name = TopicName::new(self.string(field)?);
        name.map_err(|error| WireError { field, at: start, problem: error.into() })
    }

    /// Bytes, `None` for null.
    pub(crate) fn nullable_bytes(
        &mut self,
        field: &'static str,
    ) -> Result<Option<&'a [u8]>, WireError> {
        let length = self.i32(field)?;
        if length == -1 {
            return Ok(None);
        }
        match usize::try_from(length) {
            Ok(bytes) => self.take(field, bytes).map(Some),
            Err(_negative) => Err(self.wrong(field, Problem::Length { length: length.into() })),
        }
    }

    /// The length of an array whose elements take `element_bytes_min` bytes or more each.
    pub(crate) fn count(
        &mut self,
        field: &'static str,
        element_bytes_min: usize,
    ) -> Result<usize, WireError> {
        let start = self.at;
        let length = self.i32(field)?;
        let wrong = |problem| WireError { field, at: start, problem };
        let Ok(count) = usize::try_from(length) else {
            return Err(wrong(Problem::Length { length: length.into() }));
        };
        match count.checked_mul(element_bytes_min) {
            Some(need) if need <= self.left() => Ok(count),
            need => {
                Err(wrong(Problem::Short { need: need.unwrap_or(usize::MAX), have: self.left() }))
            }
        }
    }

    /// `[{topic, partitions[]}]`, as sets of partitions are written everywhere.
    pub(crate) fn partitions(&mut self, field: &'static str) -> Result<PartitionSet, WireError> {
        let mut topics = Vec::new();
        for _ in 0..self.count(field, 6)? {
            let topic = self.topic(field)?;
            let mut numbers = Vec::new();
            for _ in 0..self.count(field, 4)? {
                let start = self.at;
                let number = self.i32(field)?;
                numbers.push(u32::try_from(number).map_err(|_negative| WireError {
                    field,
                    at: start,
                    problem: Problem::Value { value: number.into() },
                })?);
            }
            topics.push((topic, numbers));
        }
        Ok(PartitionSet::from_topics(topics))
    }
}

/// Why a value cannot be written: the format has no room for it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("field '{field}' holds {length}, the format ends at {max}")]
pub struct TooLarge {
    field: &'static str,
    length: usize,
    max: usize,
}

/// Bytes being written.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn into_bytes(self) -> bytes::Bytes {
        self.0.into()
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn string(&mut self, field: &'static str, text: &str) -> Result<(), TooLarge> {
        let length = i16::try_from(text.len());
        let max = at(i16::MAX.unsigned_abs().into());
        self.i16(length.map_err(|_large| TooLarge { field, length: text.len(), max })?);
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }

    pub(crate) fn nullable_string(
        &mut self,
        field: &'static str,
        text: Option<&str>,
    ) -> Result<(), TooLarge> {
        if let Some(text) = text {
            return self.string(field, text);
        }
        self.i16(-1);
        Ok(())
    }

    /// The length of an array, or of bytes.
    pub(crate) fn count(&mut self, field: &'static str, length: usize) -> Result<(), TooLarge> {
        let max = at(i32::MAX.unsigned_abs());
        self.i32(i32::try_from(length).map_err(|_large| TooLarge { field, length, max })?);
        Ok(())
    }

    pub(crate) fn nullable_bytes(
        &mut self,
        field: &'static str,
        bytes: Option<&[u8]>,
    ) -> Result<(), TooLarge> {
        match bytes {
            Some(bytes) => {
                self.count(field, bytes.len())?;
                self.0.extend_from_slice(bytes);
            }
            None => self.i32(-1),
        }
        Ok(())
    }

    pub(crate) fn partitions(
        &mut self,
        field: &'static str,
        set: &PartitionSet,
    ) -> Result<(), TooLarge> {
        self.count(field, set.topic_count())?;
        for (topic, numbers) in set.topics() {
            self.string(field, topic.as_str())?;
            self.count(field, numbers.len())?;
            for number in numbers {
                // A larger number names no partition that can exist (`TopicPartition::new`).
                let signed = i32::try_from(*number);
                let max = at(i32::MAX.unsigned_abs());
                self.i32(signed.map_err(|_large| TooLarge { field, length: at(*number), max })?);
            }
        }
        Ok(())
    }
}

const _: () = assert!(i16::MAX.unsigned_abs() < u16::MAX, "lengths are signed");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_the_bytes_cannot_hold_reserves_nothing() {
        let mut bytes = i32::MAX.to_be_bytes().to_vec();
        bytes.extend([0; 16]);
        let error = Reader::new(&bytes).partitions("owned").unwrap_err();
        assert_eq!((error.field(), error.position()), ("owned", 0));
        assert!(error.to_string().contains("16 are left"), "{error}");
    }

    #[test]
    fn a_text_too_long_for_its_length_is_refused() {
        let long = "x".repeat(32_768);
        assert!(Writer::new().string("group", &long).is_err());
        assert!(Writer::new().string("group", &long[1..]).is_ok());
    }
}
