//! Topics and their partitions: names that are safe as directory names, and ids that outlive them.
//!
//! A partition's directory is `<topic>-<partition>`, split at the last `-` (Kafka `UnifiedLog`).

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

/// Longest topic name, in bytes (Kafka `Topic.MAX_NAME_LENGTH`): with `-<partition>` and a
/// 41-character suffix the directory name still fits the 255 bytes of a file name.
const TOPIC_NAME_BYTES_MAX: usize = 249;

/// A topic's name: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
///
/// The only way to a directory name, so that no path can be smuggled in. Cheap to clone.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicName(Arc<str>);

/// Why a text is no topic name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicNameError {
    /// No characters at all.
    #[error("a topic name cannot be empty: give it 1 to 249 characters")]
    Empty,
    /// `.` or `..`.
    #[error("a topic cannot be named {name:?}: that would be a path, so take another name")]
    Dots {
        /// The name given.
        name: String,
    },
    /// More than 249 bytes.
    #[error("a topic name has at most 249 characters, this one has {bytes}: shorten it")]
    TooLong {
        /// Bytes given.
        bytes: usize,
    },
    /// Something other than `a-z A-Z 0-9 . _ -`.
    #[error(
        "a topic name holds only a-z, A-Z, 0-9, '.', '_' and '-': {found:?} at byte {at} is none of them"
    )]
    Character {
        /// The first bad character.
        found: char,
        /// Its byte.
        at: usize,
    },
}

impl TopicName {
    /// Checks `name`.
    ///
    /// # Errors
    ///
    /// [`TopicNameError`], saying which rule of Kafka's `Topic.validate` is broken.
    pub fn new(name: &str) -> Result<Self, TopicNameError> {
        if name.is_empty() {
            return Err(TopicNameError::Empty);
        }
        if name == "." || name == ".." {
            return Err(TopicNameError::Dots { name: name.to_owned() });
        }
        if name.len() > TOPIC_NAME_BYTES_MAX {
            return Err(TopicNameError::TooLong { bytes: name.len() });
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.char_indices().find(|(_, c)| !legal(*c)) {
            Some((at, found)) => Err(TopicNameError::Character { found, at }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = TopicNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One partition of one topic: the unit of order, of durability and of ownership.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicPartition {
    topic: TopicName,
    partition: u32,
}

impl TopicPartition {
    /// Partition number `partition` of `topic`. Kafka's numbers end at `i32::MAX`; larger ones
    /// name no partition that can exist, so looking them up finds nothing.
    #[must_use]
    pub const fn new(topic: TopicName, partition: u32) -> Self {
        Self { topic, partition }
    }

    /// The topic.
    #[must_use]
    pub const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// The partition's number, from 0.
    #[must_use]
    pub const fn partition(&self) -> u32 {
        self.partition
    }

    /// Reads a directory name `<topic>-<partition>`; `None` if it is not one, or is not written
    /// the one way this library and Kafka write it.
    #[must_use]
    pub fn from_directory_name(name: &str) -> Option<Self> {
        let (topic, number) = name.rsplit_once('-')?;
        let partition: u32 = number.parse().ok().filter(|n| i32::try_from(*n).is_ok())?;
        (number == partition.to_string())
            .then(|| TopicName::new(topic).ok())?
            .map(|topic| Self { topic, partition })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// The URL-safe base64 alphabet, as Kafka's `Uuid` writes ids.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Characters of 16 bytes in base64 without padding.
const TOPIC_ID_CHARS: usize = 22;

/// A topic's id: 16 bytes that a topic of the same name, created anew, does not share (KIP-516).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicId([u8; 16]);

impl TopicId {
    /// The id `bytes`, or `None` for all zeros, which means "no id" in Kafka.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads the 22 characters [`fmt::Display`] writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TOPIC_ID_CHARS {
            return None;
        }
        let mut number: u128 = 0;
        for (index, byte) in text.bytes().enumerate() {
            let digit = u128::try_from(ALPHABET.iter().position(|c| *c == byte)?).ok()?;
            if index == TOPIC_ID_CHARS - 1 {
                // 22 characters carry 132 bits: the last 4 are padding and must be zero.
                if digit & 0xF != 0 {
                    return None;
                }
                number = (number << 2) | (digit >> 4);
            } else {
                number = (number << 6) | digit;
            }
        }
        Self::new(number.to_be_bytes())
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = u128::from_be_bytes(self.0);
        for index in 0..TOPIC_ID_CHARS {
            let digit = if index == TOPIC_ID_CHARS - 1 {
                (number & 0x3) << 4
            } else {
                (number >> (122 - 6 * index)) & 0x3F
            };
            let character = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit));
            fmt::Write::write_char(f, character.map_or('?', |byte| char::from(*byte)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_are_refused() {
        for bad in ["", ".", "..", "a/b", "../x", "a\0b", "ä", "a b", &"x".repeat(250)] {
            assert!(TopicName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "...", "a-b", "A_1.z", &"x".repeat(249)] {
            assert!(TopicName::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_directory_name_is_split_at_its_last_dash() {
        let parse = TopicPartition::from_directory_name;
        let found = parse("a-b-3").unwrap();
        assert_eq!((found.topic().as_str(), found.partition()), ("a-b", 3));
        assert_eq!(found.to_string(), "a-b-3");
        for bad in ["x", "-1", "t-", "t-01", "t-+1", "t-4294967296", "t-2147483648", "t-0.x-delete"]
        {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_topic_id_reads_back_from_its_text() {
        let id = TopicId::new([0xFB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xFF]).unwrap();
        assert_eq!(id.to_string(), "-wECAwQFBgcICQoLDA0O_w");
        assert_eq!(TopicId::parse(&id.to_string()), Some(id));
        assert_eq!(TopicId::parse("AAAAAAAAAAAAAAAAAAAAAA"), None);
        assert_eq!(TopicId::parse("-wECAwQFBgcICQoLDA0O_x"), None);
        assert_eq!(TopicId::new([0; 16]), None);
    }
}
