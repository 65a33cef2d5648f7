//! Topics: made, listed, described, changed, given more partitions, deleted.
//!
//! ```text
//!   create   partitions n−1 … 1 ─▶ sync ─▶ partition 0, with the topic's file ─▶ sync
//!   grow     the new partitions ─▶ sync ─▶ the topic's file, with the new count
//!   alter    the topic's file ─▶ the partitions go by it at once
//!   delete   partition 0 set aside ─▶ sync ─▶ the others set aside ─▶ sync ─▶ all removed
//! ```
//!
//! Each is cut-safe: partition 0 makes a topic exist, its file says how many belong to it, and a
//! topic whose partition 0 was set aside is gone with all the others.

use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::make::{make, remove_tree, set_aside};
use super::topic_file::TopicFile;
use super::{Map, Store, StoreInner, Topic};
use crate::config::{SettingsError, TopicConfig};
use crate::error::{Fault, FaultKind};
use crate::ids::{TopicId, TopicName, TopicPartition};
use crate::log::head::LogState;
use crate::log::open::{OpenError, Opened, Request, open};
use crate::log::partition::Partition;
use crate::log::ticket::in_callback;
use crate::mutant::{self, Mutant};
use crate::segment::recover::is_full;

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
    /// What it says for itself; the rest follows the store's builder.
    pub config: TopicConfig,
}

/// Why a topic cannot be had or made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// It exists already (`TOPIC_ALREADY_EXISTS`).
    #[error("topic {topic} exists already: use it, or take another name")]
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
    /// There is no such topic (`UNKNOWN_TOPIC_OR_PARTITION`).
    #[error("there is no topic {topic}: create it first")]
    UnknownTopic {
        /// What was asked for.
        topic: TopicName,
    },
    /// A topic has at least one partition and at most 100,000 (`INVALID_PARTITIONS`).
    #[error("{partitions} partitions are not what a topic can have: ask for 1 to 100000")]
    Partitions {
        /// The number given.
        partitions: u32,
    },
    /// Partitions can be added, never taken away (`INVALID_PARTITIONS`).
    #[error(
        "topic {topic} has {has} partitions and can get more, not {asked}: to have fewer, make another topic"
    )]
    NotMore {
        /// Its name.
        topic: TopicName,
        /// How many it has.
        has: u32,
        /// How many it was to have.
        asked: u32,
    },
    /// Its settings contradict themselves or the store's (`INVALID_CONFIG`).
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its files cannot be made.
    #[error("{}{}", .0, .0.remedy())]
    Io(Fault),
    /// The new partition could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store is closed.
    #[error("the store is closed: open it anew")]
    Closed,
}

impl TopicError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::Exists { .. } => 36,
            Self::Unknown { .. } | Self::UnknownTopic { .. } => 3,
            Self::Partitions { .. } | Self::NotMore { .. } => 37,
            Self::Settings(_) => 40,
            Self::Io(_) | Self::Closed => 56,
            Self::Open(error) => error.kafka_code(),
        }
    }
}

impl Store {
    /// Makes a topic of `partitions` partitions that goes by the store's settings.
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
        self.create_topic_with(topic, partitions, TopicConfig::new())
    }

    /// Makes a topic with settings of its own.
    ///
    /// # Errors
    ///
    /// As [`Store::create_topic`], and [`TopicError::Settings`].
    ///
    /// # Durability
    ///
    /// As [`Store::create_topic`], settings included.
    pub fn create_topic_with(
        &self,
        topic: &TopicName,
        partitions: u32,
        config: TopicConfig,
    ) -> Result<TopicInfo, TopicError> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(TopicError::Partitions { partitions });
        }
        let _turn = self.0.changing()?;
        if self.0.open_map()?.topics.contains_key(topic) {
            return Err(TopicError::Exists { topic: topic.clone() });
        }
        let id = self.0.new_topic_id();
        let mut made = Topic { id, config, partitions: BTreeMap::new() };
        // Partition 0 last, once the others are durable: with it the topic exists.
        let file = TopicFile { partitions, config };
        let done = self
            .0
            .add_partitions(&mut made, topic, 1..partitions, file)
            .and_then(|()| self.0.add_partitions(&mut made, topic, 0..1, file));
        if let Err(error) = done {
            self.0.give_up(&made, topic, 0..partitions);
            return Err(error);
        }
        let info = made.info(topic);
        self.0.map.lock().topics.insert(topic.clone(), made);
        Ok(info)
    }

    /// Gives a topic more partitions, `partitions` in all. Keys that are spread over partitions go
    /// elsewhere from then on.
    ///
    /// # Errors
    ///
    /// [`TopicError::NotMore`] if it has as many already, and as [`Store::create_topic`].
    ///
    /// # Durability
    ///
    /// The new partitions outlive power loss when this returns `Ok`; cut in between, the topic has
    /// them all or none of them at the next open.
    pub fn create_partitions(
        &self,
        topic: &TopicName,
        partitions: u32,
    ) -> Result<TopicInfo, TopicError> {
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(TopicError::Partitions { partitions });
        }
        let _turn = self.0.changing()?;
        let (has, id, config) = {
            let map = self.0.open_map()?;
            let known = map.topic(topic)?;
            (known.count(), known.id, known.config)
        };
        if partitions <= has {
            return Err(TopicError::NotMore { topic: topic.clone(), has, asked: partitions });
        }
        let file = TopicFile { partitions, config };
        let mut more = Topic { id, config, partitions: BTreeMap::new() };
        let done = self
            .0
            .add_partitions(&mut more, topic, has..partitions, file)
            .and_then(|()| self.0.write_file(topic, file));
        if let Err(error) = done {
            // The file may tell the new number by now: without them it has to tell the old one.
            let old = TopicFile { partitions: has, config };
            let none = has..has;
            let given_up = self.0.write_file(topic, old).map_or(none, |()| has..partitions);
            self.0.give_up(&more, topic, given_up);
            return Err(error);
        }
        let mut map = self.0.map.lock();
        let known = map.topics.entry(topic.clone()).or_insert(Topic {
            id,
            config,
            partitions: BTreeMap::new(),
        });
        known.partitions.append(&mut more.partitions);
        Ok(known.info(topic))
    }

    /// Replaces a topic's settings; its partitions go by them at once.
    ///
    /// # Errors
    ///
    /// [`TopicError::UnknownTopic`], [`TopicError::Settings`], [`TopicError::Io`]; then the old
    /// settings stay in force.
    ///
    /// # Durability
    ///
    /// The settings outlive power loss when this returns `Ok`.
    pub fn alter_topic(
        &self,
        topic: &TopicName,
        config: TopicConfig,
    ) -> Result<TopicInfo, TopicError> {
        let _turn = self.0.changing()?;
        let settings = config.over(&self.0.shared.settings.topic);
        self.0.shared.settings.check_topic(&settings)?;
        let partitions = self.0.open_map()?.topic(topic)?.count();
        if !mutant::on(Mutant::AlterInMemory) {
            self.0.write_file(topic, TopicFile { partitions, config })?;
        }
        let mut map = self.0.map.lock();
        let Some(known) = map.topics.get_mut(topic) else {
            return Err(TopicError::UnknownTopic { topic: topic.clone() });
        };
        known.config = config;
        for partition in known.partitions.values() {
            partition.settings.set(&settings);
        }
        Ok(known.info(topic))
    }

    /// Deletes a topic with all its records. Its handles answer `Deleted` from then on, and appends
    /// that were not answered yet are answered with an error.
    ///
    /// # Errors
    ///
    /// [`TopicError::UnknownTopic`]; [`TopicError::Io`], after which the topic's partitions are
    /// offline and it may be deleted again.
    ///
    /// # Durability
    ///
    /// The topic stays gone when this returns `Ok`; cut in between, it is there with everything or
    /// gone with everything at the next open. Its space is free when this returns, or, where files
    /// could not be removed, at the next open.
    pub fn delete_topic(&self, topic: &TopicName) -> Result<(), TopicError> {
        drop(self.0.changing()?);
        let turn = loop {
            // Answers are given, and I/O is waited for, with no turn held. Meanwhile others may have
            // changed the topic.
            for partition in self.0.living(topic)? {
                partition
                    .retire(LogState::Deleted, "its topic was deleted before this was durable");
                self.0.await_idle(&partition);
            }
            let turn = self.0.changing()?;
            if self.0.living(topic)?.is_empty() {
                break turn;
            }
        };
        let partitions = self.0.open_map()?.topic(topic)?.partitions.clone();
        let removed = self.0.set_topic_aside(&partitions)?;
        for partition in partitions.values() {
            self.0.shared.forget(partition);
        }
        let mut map = self.0.map.lock();
        map.topics.remove(topic);
        map.recovered.retain(|recovered| recovered.partition.topic() != topic);
        drop((map, turn));
        for dir in removed {
            // What stays is removed at the next open: its name says what it is.
            let _left = remove_tree(&*self.0.shared.directory, &dir);
        }
        Ok(())
    }

    /// All topics, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicInfo> {
        self.0.map.lock().topics.iter().map(|(name, topic)| topic.info(name)).collect()
    }

    /// One topic: id, number of partitions, settings of its own.
    ///
    /// # Errors
    ///
    /// [`TopicError::UnknownTopic`], [`TopicError::Closed`].
    pub fn describe_topic(&self, topic: &TopicName) -> Result<TopicInfo, TopicError> {
        self.0.open_map()?.topic(topic).map(|known| known.info(topic))
    }
}

impl Topic {
    fn count(&self) -> u32 {
        self.partitions.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    pub(super) fn info(&self, name: &TopicName) -> TopicInfo {
        let (id, config) = (self.id, self.config);
        TopicInfo { name: name.clone(), id, partitions: self.count(), config }
    }
}

impl Map {
    fn topic(&self, topic: &TopicName) -> Result<&Topic, TopicError> {
        self.topics.get(topic).ok_or_else(|| TopicError::UnknownTopic { topic: topic.clone() })
    }
}

impl StoreInner {
    /// The turn to change topics. What would have to wait for it is refused in a callback: whoever
    /// has the turn may wait for who runs that.
    fn changing(&self) -> Result<MutexGuard<'_, ()>, TopicError> {
        if in_callback() {
            let what = "a callback may not change the topics of the store that calls it";
            return Err(TopicError::Io(Fault::new(FaultKind::Reentrant, &self.root, what)));
        }
        let turn = self.changes.lock();
        drop(self.open_map()?);
        // What the store holds is not known: a topic might be there already, or come back.
        self.left_out().map_or(Ok(turn), |fault| Err(TopicError::Io(fault)))
    }

    /// The partitions of a topic that are not deleted yet.
    fn living(&self, topic: &TopicName) -> Result<Vec<Arc<Partition>>, TopicError> {
        let map = self.open_map()?;
        let all = map.topic(topic)?.partitions.values();
        let living =
            |partition: &&Arc<Partition>| !matches!(partition.head.lock().state, LogState::Deleted);
        Ok(all.filter(living).map(Arc::clone).collect())
    }

    /// The map of a store that is not closed.
    fn open_map(&self) -> Result<MutexGuard<'_, Map>, TopicError> {
        let map = self.map.lock();
        if map.closed { Err(TopicError::Closed) } else { Ok(map) }
    }

    /// Makes and opens partitions `numbers` of `topic`, their names durable.
    fn add_partitions(
        &self,
        made: &mut Topic,
        topic: &TopicName,
        numbers: Range<u32>,
        file: TopicFile,
    ) -> Result<(), TopicError> {
        let settings = made.config.over(&self.shared.settings.topic);
        self.shared.settings.check_topic(&settings)?;
        if numbers.is_empty() {
            return Ok(());
        }
        let mut counts = self.counts(&made.partitions);
        for number in numbers.rev() {
            let name = TopicPartition::new(topic.clone(), number);
            let root = &self.roomiest(&mut counts).path;
            let dir = self.make_in(root, &name, made.id, file)?;
            let slot = self.map.lock().take_slot();
            let request = Request {
                shared: &self.shared,
                name,
                dir,
                slot,
                settings,
                clean: None,
                new_topic_id: made.id,
                reopened: false,
            };
            let Opened { partition, recovered, .. } = open(&request)?;
            self.shared.maintenance.watch(&partition);
            let mut map = self.map.lock();
            map.recovered.retain(|known| known.partition != recovered.partition);
            map.recovered.push(recovered);
            drop(map);
            made.partitions.insert(number, Arc::clone(&partition));
        }
        let early = mutant::on(Mutant::GrowBeforeSync);
        if early { Ok(()) } else { self.sync_all(made.partitions.values()) }
    }

    /// Makes the files of a partition in `root`, and makes sure that no other directory holds any.
    fn make_in(
        &self,
        root: &Path,
        name: &TopicPartition,
        id: TopicId,
        file: TopicFile,
    ) -> Result<PathBuf, TopicError> {
        let directory = &*self.shared.directory;
        let failed = |root: &Path, error: io::Error| {
            let (dir, what) = (root.join(name.to_string()), "the partition's files cannot be made");
            let full = is_full(&error);
            let fault = Fault::io(FaultKind::Directory, &dir, what, error);
            if !full {
                self.avoid(root, &fault);
            }
            TopicError::Io(fault)
        };
        for other in self.directories.iter().map(|one| one.path.as_path()) {
            // What an attempt left that failed: the topic is not known under this name.
            if other != root
                && let Some(aside) = set_aside(&self.shared, &other.join(name.to_string()), name)
                    .map_err(|error| failed(other, error))?
            {
                directory
                    .sync_dir(other)
                    .and_then(|()| remove_tree(directory, &aside))
                    .map_err(|error| failed(other, error))?;
            }
        }
        make(&self.shared, root, name, id, file).map_err(|error| failed(root, error))
    }

    /// Makes the names of `partitions` durable, in whichever directories they are.
    fn sync_all<'a>(
        &self,
        partitions: impl Iterator<Item = &'a Arc<Partition>>,
    ) -> Result<(), TopicError> {
        let roots: BTreeSet<&Path> = partitions.filter_map(|open| open.dir.parent()).collect();
        roots.into_iter().try_for_each(|root| self.sync_names(root))
    }

    /// Removes, as far as that goes, what was made of partitions that cannot be finished. Partition
    /// 0 goes first, durably, or none does: it tells that there are others.
    fn give_up(&self, made: &Topic, topic: &TopicName, numbers: Range<u32>) {
        for partition in made.partitions.values() {
            partition.retire(LogState::Deleted, "its topic could not be made");
        }
        for number in numbers {
            let name = TopicPartition::new(topic.clone(), number);
            let mut left = Vec::new();
            for root in self.directories.iter().map(|one| one.path.as_path()) {
                let aside = set_aside(&self.shared, &root.join(name.to_string()), &name);
                let sure = aside.is_ok() && (number > 0 || self.sync_names(root).is_ok());
                if number == 0 && !sure {
                    return;
                }
                left.extend(aside.ok().flatten());
            }
            for dir in left {
                // What stays is removed at the next open, for it is empty and belongs to no topic.
                let _left = remove_tree(&*self.shared.directory, &dir);
            }
        }
    }

    /// Takes the names of all of a topic's partitions away, partition 0's first: with it the topic
    /// is gone. Returns the directories that are left to be removed.
    fn set_topic_aside(
        &self,
        partitions: &BTreeMap<u32, Arc<Partition>>,
    ) -> Result<Vec<PathBuf>, TopicError> {
        let mut aside = Vec::new();
        for (number, partition) in partitions {
            let failed = |error| {
                let what = "the partition cannot be deleted";
                let fault = Fault::io(FaultKind::Directory, &partition.dir, what, error);
                partition.retire(LogState::Offline(fault.clone()), what);
                TopicError::Io(fault)
            };
            aside.extend(set_aside(&self.shared, &partition.dir, &partition.name).map_err(failed)?);
            if *number == 0 && !mutant::on(Mutant::DeleteTopicBeforeSync) {
                self.sync_all([partition].into_iter())?;
            }
        }
        if !mutant::on(Mutant::DeleteTopicBeforeSync) {
            self.sync_all(partitions.values())?;
        }
        Ok(aside)
    }

    /// Writes the topic's file, which stands with partition 0.
    fn write_file(&self, topic: &TopicName, file: TopicFile) -> Result<(), TopicError> {
        let dir = {
            let map = self.open_map()?;
            let first = map.topic(topic)?.partitions.get(&0).map(|first| first.dir.clone());
            first.ok_or_else(|| TopicError::UnknownTopic { topic: topic.clone() })?
        };
        file.write(&*self.shared.directory, &dir).map_err(|error| {
            let what = "the topic's settings cannot be written";
            TopicError::Io(Fault::io(FaultKind::Write, &dir, what, error))
        })
    }

    fn sync_names(&self, root: &Path) -> Result<(), TopicError> {
        let what = "the topic's name cannot be made durable";
        self.shared
            .directory
            .sync_dir(root)
            .map_err(|error| TopicError::Io(Fault::io(FaultKind::Directory, root, what, error)))
    }
}
