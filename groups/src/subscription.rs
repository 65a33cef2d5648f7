//! What a consumer tells the group's leader, and what it is told back: the bytes that travel inside
//! `JoinGroup` and `SyncGroup` (Kafka `ConsumerProtocol`).
//!
//! ```text
//!   subscription   version i16 │ topics[] │ user data │ v1: owned[{topic, partitions[]}] │ v2: generation i32 │ v3: rack
//!   assignment     version i16 │ assigned[{topic, partitions[]}] │ user data
//! ```
//!
//! A higher version is read by the layout of the highest known one, so new fields may only be
//! appended; bytes behind the known fields are ignored, as Kafka ignores them. Lower versions read
//! as if the missing fields were empty.

use bytes::Bytes;
use log_core::TopicName;

use crate::ids::{Generation, RackId};
use crate::partitions::PartitionSet;
use crate::wire::{Reader, TooLarge, WireError, Writer};

/// The highest layout of both kinds of bytes that this library knows.
pub const VERSION_MAX: i16 = 3;

/// The topics one member wants, and what it already has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subscription {
    topics: Vec<TopicName>,
    user_data: Option<Bytes>,
    owned: PartitionSet,
    generation: Option<Generation>,
    rack: Option<RackId>,
}

impl Subscription {
    /// A subscription to `topics`, in any order, with nothing owned yet.
    #[must_use]
    pub fn new(topics: impl IntoIterator<Item = TopicName>) -> Self {
        let mut topics: Vec<TopicName> = topics.into_iter().collect();
        topics.sort_unstable();
        topics.dedup();
        Self { topics, ..Self::default() }
    }

    /// With bytes that only the assignor understands.
    #[must_use]
    pub fn with_user_data(mut self, user_data: Option<Bytes>) -> Self {
        self.user_data = user_data;
        self
    }

    /// With the partitions the member holds, and the generation it got them in.
    #[must_use]
    pub fn with_owned(mut self, owned: PartitionSet, generation: Option<Generation>) -> Self {
        self.owned = owned;
        self.generation = generation;
        self
    }

    /// With the place the member runs in.
    #[must_use]
    pub fn with_rack(mut self, rack: Option<RackId>) -> Self {
        self.rack = rack;
        self
    }

    /// The topics, rising, each once.
    #[must_use]
    pub fn topics(&self) -> &[TopicName] {
        &self.topics
    }

    /// The assignor's bytes.
    #[must_use]
    pub const fn user_data(&self) -> Option<&Bytes> {
        self.user_data.as_ref()
    }

    /// The partitions the member holds.
    #[must_use]
    pub const fn owned(&self) -> &PartitionSet {
        &self.owned
    }

    /// The generation it got them in.
    #[must_use]
    pub const fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// The place the member runs in.
    #[must_use]
    pub const fn rack(&self) -> Option<&RackId> {
        self.rack.as_ref()
    }

    /// The bytes, in layout `version`; fields that layout lacks are left out. A version above
    /// [`VERSION_MAX`] is written as that one, a negative one as 0.
    ///
    /// # Errors
    ///
    /// [`TooLarge`]: more topics or bytes than the format can count.
    pub fn encode(&self, version: i16) -> Result<Bytes, TooLarge> {
        let version = version.clamp(0, VERSION_MAX);
        let mut to = Writer::new();
        to.i16(version);
        to.count("topics", self.topics.len())?;
        for topic in &self.topics {
            to.string("topics", topic.as_str())?;
        }
        to.nullable_bytes("user data", self.user_data.as_deref())?;
        if version >= 1 {
            to.partitions("owned partitions", &self.owned)?;
        }
        if version >= 2 {
            to.i32(Generation::to_wire(self.generation));
        }
        if version >= 3 {
            to.nullable_string("rack", self.rack.as_ref().map(RackId::as_str))?;
        }
        Ok(to.into_bytes())
    }

    /// Reads the bytes of any version.
    ///
    /// # Errors
    ///
    /// [`WireError`]: which field is wrong, and where.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let (version, topics) = version_and_topics(&mut from)?;
        let user_data = from.nullable_bytes("user data")?.map(Bytes::copy_from_slice);
        let mut read = Self::new(topics).with_user_data(user_data);
        if version >= 1 {
            read.owned = from.partitions("owned partitions")?;
        }
        if version >= 2 {
            read.generation = Generation::new(from.i32("generation")?);
        }
        if version >= 3 {
            read.rack = from.nullable_string("rack")?.and_then(|rack| RackId::new(rack).ok());
        }
        Ok(read)
    }

    /// Reads the topics alone, all that a coordinator looks at.
    ///
    /// # Errors
    ///
    /// As for [`Subscription::decode`], but for the fields behind the topics.
    pub fn decode_topics(bytes: &[u8]) -> Result<Vec<TopicName>, WireError> {
        version_and_topics(&mut Reader::new(bytes)).map(|(_, topics)| topics)
    }
}

fn version_and_topics(from: &mut Reader<'_>) -> Result<(i16, Vec<TopicName>), WireError> {
    let version = from.i16("version")?;
    if version < 0 {
        return Err(from.unknown_version(version));
    }
    let mut topics = Vec::new();
    for _ in 0..from.count("topics", 3)? {
        topics.push(from.topic("topics")?);
    }
    Ok((version, topics))
}

/// What one member is to read from now on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Assignment {
    partitions: PartitionSet,
    user_data: Option<Bytes>,
}

impl Assignment {
    /// These partitions.
    #[must_use]
    pub const fn new(partitions: PartitionSet) -> Self {
        Self { partitions, user_data: None }
    }

    /// With bytes that only the assignor understands.
    #[must_use]
    pub fn with_user_data(mut self, user_data: Option<Bytes>) -> Self {
        self.user_data = user_data;
        self
    }

    /// The partitions.
    #[must_use]
    pub const fn partitions(&self) -> &PartitionSet {
        &self.partitions
    }

    /// The assignor's bytes.
    #[must_use]
    pub const fn user_data(&self) -> Option<&Bytes> {
        self.user_data.as_ref()
    }

    /// The bytes. All versions from 0 to [`VERSION_MAX`] have one layout.
    ///
    /// # Errors
    ///
    /// [`TooLarge`]: more partitions or bytes than the format can count.
    pub fn encode(&self, version: i16) -> Result<Bytes, TooLarge> {
        let mut to = Writer::new();
        to.i16(version.clamp(0, VERSION_MAX));
        to.partitions("assigned partitions", &self.partitions)?;
        to.nullable_bytes("user data", self.user_data.as_deref())?;
        Ok(to.into_bytes())
    }

    /// Reads the bytes of any version.
    ///
    /// # Errors
    ///
    /// [`WireError`]: which field is wrong, and where.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let version = from.i16("version")?;
        if version < 0 {
            return Err(from.unknown_version(version));
        }
        let partitions = from.partitions("assigned partitions")?;
        let user_data = from.nullable_bytes("user data")?.map(Bytes::copy_from_slice);
        Ok(Self { partitions, user_data })
    }
}
