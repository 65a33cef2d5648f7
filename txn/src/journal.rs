//! The records of `__transaction_state`, byte for byte as Kafka writes them (S18).
//!
//! ```text
//!   key, version 0     i16 0 │ i16 bytes │ transactional id
//!   value, version 1   i16 1 │ i64 producer id │ i16 epoch │ i32 timeout ms │ i8 state │
//!                      partitions │ i64 last update │ i64 start │ tagged fields
//!     partitions       uvarint topics + 1, 0 = null │ per topic: uvarint bytes + 1, name,
//!                      uvarint partitions + 1, i32 each, tagged fields (none)
//!     tagged fields    uvarint count │ each: uvarint tag, uvarint bytes, the bytes
//!                      0 previous producer id i64 │ 1 next producer id i64 │ 2 version i16
//!   value, version 0   the same with i32 counts, i16 name lengths and no tagged fields
//! ```
//!
//! A record without a value forgets its id. Keys of an unknown version are skipped, as Kafka does;
//! a value of an unknown version is an error, for what it says may matter. Source: Kafka
//! `TransactionLogKey.json`, `TransactionLogValue.json`, `TransactionLog`.
//!
//! Invariant: reading takes memory in proportion to the bytes given, whatever counts they name.

use std::collections::BTreeSet;

use log_core::ids::{ProducerEpoch, ProducerId, TimestampMs};
use log_core::{TopicName, TopicPartition};

use crate::ids::TransactionalId;
use crate::state::TransactionState;

mod bytes;

use bytes::{Reader, put_uvarint};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION_FLEXIBLE: i16 = 1;
const TAG_PREVIOUS: u32 = 0;
const TAG_NEXT: u32 = 1;
const TAG_VERSION: u32 = 2;

/// What the journal says of one transactional id.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TransactionRecord {
    /// The producer's id.
    pub producer_id: ProducerId,
    /// The one before it was rotated, or none.
    pub previous_producer_id: ProducerId,
    /// The one it is rotated to when the transaction completes, or none.
    pub next_producer_id: ProducerId,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// Longest time a transaction may last, in milliseconds.
    pub timeout_ms: i32,
    /// Where it stands.
    pub state: TransactionState,
    /// The partitions of the transaction; `None` only with state `Empty`.
    pub partitions: Option<BTreeSet<TopicPartition>>,
    /// When it last changed.
    pub last_update: TimestampMs,
    /// When the transaction began, or none.
    pub start: TimestampMs,
    /// Which rules the producer's client follows: 2 for an epoch a transaction (KIP-890).
    pub client_version: i16,
}

/// Why bytes are no record of the journal.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The bytes end too soon.
    #[error("{what} needs {need} bytes at byte {at}, and {have} are left")]
    Short {
        /// What was being read.
        what: &'static str,
        /// Where.
        at: usize,
        /// Bytes it takes.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// Bytes are left behind the record.
    #[error("{bytes} bytes follow the record at byte {at}")]
    Surplus {
        /// Where.
        at: usize,
        /// How many.
        bytes: usize,
    },
    /// A value of a version this library does not know.
    #[error("the value has version {version}, and versions 0 and 1 are known")]
    Version {
        /// The version.
        version: i16,
    },
    /// A field holds what it cannot.
    #[error("{what} before byte {at} is {found}, which it cannot be")]
    Field {
        /// Which field.
        what: &'static str,
        /// Behind it.
        at: usize,
        /// What it holds.
        found: i64,
    },
    /// A text is no transactional id or topic name.
    #[error("{what} before byte {at}: {reason}")]
    Text {
        /// Which text.
        what: &'static str,
        /// Behind it.
        at: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The key of an id's records.
#[must_use]
pub fn encode_key(id: &TransactionalId) -> Vec<u8> {
    let mut key = KEY_VERSION.to_be_bytes().to_vec();
    put_text(&mut key, id.as_str());
    key
}

/// The id a key names; `None` for a key of another version, to be skipped.
///
/// # Errors
///
/// [`JournalError`], naming the byte.
pub fn decode_key(key: &[u8]) -> Result<Option<TransactionalId>, JournalError> {
    let mut reader = Reader::new(key);
    if reader.i16("the key's version")? != KEY_VERSION {
        return Ok(None);
    }
    let text = reader.text("the transactional id")?;
    let id = TransactionalId::new(text).map_err(|error| {
        let (what, at, reason) = ("the transactional id", reader.at(), error.to_string());
        JournalError::Text { what, at, reason }
    })?;
    reader.end().map(|()| Some(id))
}

impl TransactionRecord {
    /// The value, in version 1.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut value = VALUE_VERSION_FLEXIBLE.to_be_bytes().to_vec();
        value.extend(self.producer_id.get().to_be_bytes());
        value.extend(self.producer_epoch.get().to_be_bytes());
        value.extend(self.timeout_ms.to_be_bytes());
        value.extend(self.state.id().to_be_bytes());
        self.put_partitions(&mut value);
        value.extend(self.last_update.get().to_be_bytes());
        value.extend(self.start.get().to_be_bytes());
        let ids = [(TAG_PREVIOUS, self.previous_producer_id), (TAG_NEXT, self.next_producer_id)];
        let mut tagged: Vec<(u32, Vec<u8>)> = Vec::new();
        for (tag, id) in ids.into_iter().filter(|(_, id)| *id != ProducerId::NONE) {
            tagged.push((tag, id.get().to_be_bytes().to_vec()));
        }
        if self.client_version != 0 {
            tagged.push((TAG_VERSION, self.client_version.to_be_bytes().to_vec()));
        }
        put_uvarint(&mut value, tagged.len());
        for (tag, bytes) in tagged {
            put_uvarint(&mut value, usize::try_from(tag).unwrap_or(usize::MAX));
            put_uvarint(&mut value, bytes.len());
            value.extend(bytes);
        }
        value
    }

    fn put_partitions(&self, value: &mut Vec<u8>) {
        let Some(partitions) = &self.partitions else { return put_uvarint(value, 0) };
        let mut topics: Vec<(&TopicName, Vec<u32>)> = Vec::new();
        for partition in partitions {
            match topics.last_mut() {
                Some((topic, numbers)) if *topic == partition.topic() => {
                    numbers.push(partition.partition());
                }
                _ => topics.push((partition.topic(), vec![partition.partition()])),
            }
        }
        put_uvarint(value, topics.len() + 1);
        for (topic, numbers) in topics {
            put_uvarint(value, topic.as_str().len() + 1);
            value.extend(topic.as_str().as_bytes());
            put_uvarint(value, numbers.len() + 1);
            for number in numbers {
                value.extend(number.to_be_bytes());
            }
            put_uvarint(value, 0);
        }
    }

    /// Reads a value of version 0 or 1. Tagged fields that are not known are skipped.
    ///
    /// # Errors
    ///
    /// [`JournalError`], naming the byte.
    pub fn decode(value: &[u8]) -> Result<Self, JournalError> {
        let mut reader = Reader::new(value);
        let version = reader.i16("the value's version")?;
        if !(0..=VALUE_VERSION_FLEXIBLE).contains(&version) {
            return Err(JournalError::Version { version });
        }
        let flexible = version == VALUE_VERSION_FLEXIBLE;
        let producer_id = producer_id(&mut reader, "the producer id")?;
        let epoch = reader.i16("the producer epoch")?;
        let producer_epoch = ProducerEpoch::new(epoch)
            .ok_or_else(|| reader.refuse("the producer epoch", epoch.into()))?;
        let timeout_ms = reader.i32("the timeout")?;
        let status = reader.i8("the state")?;
        let state = TransactionState::from_id(status)
            .ok_or_else(|| reader.refuse("the state", status.into()))?;
        let partitions = partitions(&mut reader, flexible)?;
        let last_update = TimestampMs::new(reader.i64("the last update")?);
        let start = TimestampMs::new(reader.i64("the start")?);
        let mut record = Self {
            producer_id,
            previous_producer_id: ProducerId::NONE,
            next_producer_id: ProducerId::NONE,
            producer_epoch,
            timeout_ms,
            state,
            partitions,
            last_update,
            start,
            client_version: 0,
        };
        if flexible {
            record.read_tagged(&mut reader)?;
        }
        reader.end().map(|()| record)
    }

    fn read_tagged(&mut self, reader: &mut Reader<'_>) -> Result<(), JournalError> {
        let count = reader.uvarint("the number of tagged fields")?;
        for _ in 0..count {
            let tag = reader.uvarint("a tag")?;
            let bytes = reader.uvarint("a tagged field's length")?;
            let mut field = reader.part("a tagged field", bytes)?;
            match tag {
                TAG_PREVIOUS => {
                    self.previous_producer_id =
                        producer_id(&mut field, "the previous producer id")?;
                }
                TAG_NEXT => {
                    self.next_producer_id = producer_id(&mut field, "the next producer id")?;
                }
                TAG_VERSION => self.client_version = field.i16("the client's version")?,
                _ => continue,
            }
            field.end()?;
        }
        Ok(())
    }
}

fn producer_id(reader: &mut Reader<'_>, what: &'static str) -> Result<ProducerId, JournalError> {
    let id = reader.i64(what)?;
    ProducerId::new(id).ok_or_else(|| reader.refuse(what, id))
}

fn partitions(
    reader: &mut Reader<'_>,
    flexible: bool,
) -> Result<Option<BTreeSet<TopicPartition>>, JournalError> {
    let Some(topics) = reader.count("the number of topics", flexible)? else { return Ok(None) };
    let mut partitions = BTreeSet::new();
    for _ in 0..topics {
        let text = if flexible {
            reader.compact_text("a topic's name")?
        } else {
            reader.text("a topic's name")?
        };
        let topic = TopicName::new(text).map_err(|error| {
            let (what, at, reason) = ("a topic's name", reader.at(), error.to_string());
            JournalError::Text { what, at, reason }
        })?;
        let numbers = reader.count("the number of partitions", flexible)?.unwrap_or(0);
        for _ in 0..numbers {
            let number = reader.i32("a partition")?;
            let number =
                u32::try_from(number).map_err(|_| reader.refuse("a partition", number.into()))?;
            partitions.insert(TopicPartition::new(topic.clone(), number));
        }
        if flexible {
            for _ in 0..reader.uvarint("the number of a topic's tagged fields")? {
                reader.uvarint("a tag")?;
                let bytes = reader.uvarint("a tagged field's length")?;
                reader.part("a tagged field", bytes)?;
            }
        }
    }
    Ok(Some(partitions))
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // An id has at most 32,767 bytes.
    out.extend(i16::try_from(text.len()).unwrap_or(i16::MAX).to_be_bytes());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests;
