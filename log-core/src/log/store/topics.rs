//! Topics: made, listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Store, Topic};
use crate::error::{Fault, FaultKind};
use crate::ids::{TopicId, TopicName, TopicPartition};
use crate::log::open::{OpenError, Opened, Request, create, open};

/// Most partitions of one topic.
const PARTITIONS_MAX: u32 = 100_000;

/// A topic.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: TopicName,
    /// Its id: another topic of this name, made later, has another.
    pub id: TopicId,
    /// How many partitions it has, numbered from 0.
    pub partitions: u32,
}

/// Why a topic cannot be had or made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// It exists already (`TOPIC_ALREADY_EXISTS`).
    #[error("topic {topic} exists already")]
    Exists {
        /// Its name.
        topic: TopicName,
    },
    /// There is no such partition (`UNKNOWN_TOPIC_OR_PARTITION`).
    #[error("there is no partition {partition}: create its topic first")]
    Unknown {
        /// What was asked for.
        partition: TopicPartition,
    },
    /// A topic has at least one partition and at most 100,000 (`INVALID_PARTITIONS`).
    #[error("a topic has 1 to 100000 partitions, not {partitions}")]
    Partitions {
        /// The number given.
        partitions: u32,
    },
    /// Its files cannot be made.
    #[error("{0}")]
    Io(Fault),
    /// The new partition could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl TopicError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::Exists { .. } => 36,
            Self::Unknown { .. } => 3,
            Self::Partitions { .. } => 37,
            Self::Io(_) | Self::Closed => 56,
            Self::Open(error) => error.kafka_code(),
        }
    }
}

impl Store {
    /// Makes a topic of `partitions` partitions.
    ///
    /// # Errors
    ///
    /// [`TopicError`]; after an I/O error the topic may be found, whole or not at all, at the next
    /// open.
    ///
    /// # Durability
    ///
    /// The topic outlives power loss when this returns `Ok`; cut in between, it is there with all
    /// its partitions or gone at the next open.
    pub fn create_topic(
        &self,
        topic: &TopicName,
        partitions: u32,
    ) -> Result<TopicInfo, TopicError> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(TopicError::Partitions { partitions });
        }
        let mut map = self.0.map.lock();
        if map.closed {
            return Err(TopicError::Closed);
        }
        if map.topics.contains_key(topic) {
            return Err(TopicError::Exists { topic: topic.clone() });
        }
        let id = self.0.new_topic_id();
        let mut made = Topic { id, partitions: BTreeMap::new() };
        // Partition 0 last, once the others are durable: with it the topic exists.
        for number in (0..partitions).rev() {
            if number == 0 && partitions > 1 {
                self.sync_root()?;
            }
            let name = TopicPartition::new(topic.clone(), number);
            let dir = self.0.root.join(name.to_string());
            let what = "the partition's files cannot be made";
            create(&self.0.shared, &dir, id).map_err(|error| {
                TopicError::Io(Fault::io(FaultKind::Directory, &dir, what, error))
            })?;
            let slot = map.next_slot;
            map.next_slot += 1;
            let request = Request {
                shared: &self.0.shared,
                name,
                dir,
                slot,
                clean: None,
                new_topic_id: id,
                reopened: false,
            };
            let Opened { partition, recovered, .. } = open(&request)?;
            map.recovered.push(recovered);
            made.partitions.insert(number, Arc::clone(&partition));
        }
        self.sync_root()?;
        map.topics.insert(topic.clone(), made);
        Ok(TopicInfo { name: topic.clone(), id, partitions })
    }

    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicInfo> {
        let map = self.0.map.lock();
        let info = |(name, topic): (&TopicName, &Topic)| TopicInfo {
            name: name.clone(),
            id: topic.id,
            partitions: topic.partitions.last_key_value().map_or(0, |(last, _)| last + 1),
        };
        map.topics.iter().map(info).collect()
    }

    fn sync_root(&self) -> Result<(), TopicError> {
        let what = "the topic's name cannot be made durable";
        self.0.shared.directory.sync_dir(&self.0.root).map_err(|error| {
            TopicError::Io(Fault::io(FaultKind::Directory, &self.0.root, what, error))
        })
    }
}
