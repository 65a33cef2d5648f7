//! A store: a directory of topics, opened by one process at a time.
//!
//! ```text
//!   open     .lock ─▶ clean marker read and removed ─▶ each partition recovered ─▶ I/O thread
//!   close    flush ─▶ trim, index, watermark ─▶ Kafka's checkpoints ─▶ clean marker
//!   drop     flush what waits, best effort; no marker, so the next open scans
//! ```

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::engine::{Shared, Usage};
use super::handle::Log;
use super::info::{PartitionInfo, StoreInfo};
use super::open::{OpenError, Recovered};
use super::partition::Partition;
use super::read_only::ReadOnlyStore;
use crate::config::{Drive, TopicConfig};
use crate::disk::{Chosen, EngineInfo, MemoryDirectory};
use crate::entropy::Entropy;
use crate::format::metadata::MetaProperties;
use crate::ids::{TopicId, TopicName, TopicPartition};

mod builder;
mod close;
mod directories;
mod foreign;
mod identity;
mod make;
mod opening;
mod owner;
mod reopen;
mod services;
mod topic_file;
mod topics;

use self::directories::DataDirectory;
pub(super) use self::directories::live_partitions;
pub use builder::StoreBuilder;
pub use close::CloseError;
pub use topics::{TopicError, TopicInfo};

/// A directory of topics. Cheap to clone; clones are one store.
#[derive(Clone)]
pub struct Store(Arc<StoreInner>);

/// What the handles of a store share.
pub(crate) struct StoreInner {
    /// The first directory, which holds the layers' files too.
    root: PathBuf,
    directories: Vec<DataDirectory>,
    shared: Arc<Shared>,
    /// The turn to change which topics there are.
    changes: Mutex<()>,
    /// The turn to close.
    closing: Mutex<()>,
    map: Mutex<Map>,
    services: services::Services,
    /// What `meta.properties` says.
    identity: Option<MetaProperties>,
    warnings: Vec<String>,
    chosen: Chosen,
}

/// The open partitions.
#[derive(Debug)]
struct Map {
    topics: BTreeMap<TopicName, Topic>,
    next_slot: u32,
    closed: bool,
    recovered: Vec<Recovered>,
}

#[derive(Debug)]
struct Topic {
    id: TopicId,
    config: TopicConfig,
    partitions: BTreeMap<u32, Arc<Partition>>,
}

impl Map {
    const fn new() -> Self {
        Self { topics: BTreeMap::new(), next_slot: 0, closed: false, recovered: Vec::new() }
    }

    /// A number for a partition that is about to be opened.
    const fn take_slot(&mut self) -> u32 {
        self.next_slot += 1;
        self.next_slot - 1
    }

    fn partitions(&self) -> impl Iterator<Item = (&TopicName, &Topic, u32, &Arc<Partition>)> {
        self.topics.iter().flat_map(|(name, topic)| {
            topic.partitions.iter().map(move |(number, open)| (name, topic, *number, open))
        })
    }

    fn find(&self, partition: &TopicPartition) -> Option<&Arc<Partition>> {
        self.topics.get(partition.topic())?.partitions.get(&partition.partition())
    }
}

impl Store {
    /// Opens the store in `dir`, making it if there is none, with the default settings.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Durability
    ///
    /// Everything a reader can see after this returns outlives power loss.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(dir)
    }

    /// Opens the store in `dir` to read only, beside whoever writes it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the directory cannot be read.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<ReadOnlyStore, OpenError> {
        Self::builder().open_read_only(dir)
    }

    /// Settings before opening.
    pub fn builder() -> StoreBuilder {
        StoreBuilder::default()
    }

    /// A store in memory, with the same semantics and no disk: for tests. Every append is visible
    /// and as durable as it gets when it returns.
    ///
    /// # Panics
    ///
    /// Never: memory cannot refuse to be opened.
    #[must_use]
    pub fn in_memory() -> Self {
        match Self::builder()
            .directory(Arc::new(MemoryDirectory::new()))
            .drive(Drive::Inline)
            .open("/")
        {
            Ok(store) => store,
            Err(error) => unreachable!("an empty directory in memory opens: {error}"),
        }
    }

    /// The log of one partition.
    ///
    /// # Errors
    ///
    /// [`TopicError::Unknown`] if there is none, [`TopicError::Closed`] after a close. Where topics
    /// are made on first use, also those of [`Store::create_topic`].
    pub fn log(&self, partition: &TopicPartition) -> Result<Log, TopicError> {
        let found = self.find(partition);
        let partitions = self.0.shared.settings.auto_create_partitions;
        if !matches!(found, Err(TopicError::Unknown { .. })) || partitions == 0 {
            return found;
        }
        match self.create_topic(partition.topic(), partitions) {
            Ok(_) | Err(TopicError::Exists { .. }) => self.find(partition),
            Err(error) => Err(error),
        }
    }

    fn find(&self, partition: &TopicPartition) -> Result<Log, TopicError> {
        let map = self.0.map.lock();
        if map.closed {
            return Err(TopicError::Closed);
        }
        match map.find(partition) {
            Some(open) => Ok(Log::new(Arc::clone(open), Arc::clone(&self.0))),
            None => Err(match self.0.left_out() {
                // It may stand there.
                Some(fault) => TopicError::Io(fault),
                None => TopicError::Unknown { partition: partition.clone() },
            }),
        }
    }

    /// What opening found, one entry a partition; a reopened partition's last opening counts.
    #[must_use]
    pub fn recovered(&self) -> Vec<Recovered> {
        self.0.map.lock().recovered.clone()
    }

    /// What opening the directory skipped or repaired, in prose.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let map = self.0.map.lock();
        let of_partitions = map.recovered.iter().flat_map(|recovered| recovered.warnings.iter());
        self.0.warnings.iter().chain(of_partitions).cloned().collect()
    }

    /// Whose the directory is, in Kafka's words: its cluster, node and directory id, made up when
    /// the directory was new. `None` if its `meta.properties` cannot be read; a warning says why.
    #[must_use]
    pub fn meta_properties(&self) -> Option<&MetaProperties> {
        self.0.identity.as_ref()
    }

    /// One step of the I/O of a store with [`Drive::Manual`]; elsewhere nothing. Returns whether
    /// anything is still under way.
    #[must_use]
    pub fn turn(&self) -> bool {
        let busy = self.0.shared.step();
        if self.0.shared.drive == Drive::Manual {
            self.0.shared.maintain_if_due();
        }
        busy
    }

    /// Which way to the disk is in use, and why it is not another one.
    #[must_use]
    pub fn engine(&self) -> EngineInfo {
        self.0.chosen.info()
    }

    /// Everything there is to see of the store as of now; its partitions one after the other.
    #[must_use]
    pub fn info(&self) -> StoreInfo {
        let (topics, open): (Vec<TopicInfo>, Vec<Arc<Partition>>) = {
            let map = self.0.map.lock();
            let topics = map.topics.iter().map(|(name, topic)| topic.info(name)).collect();
            (topics, map.partitions().map(|(.., open)| Arc::clone(open)).collect())
        };
        let partitions = open.iter().map(|open| PartitionInfo {
            partition: open.name.clone(),
            path: open.dir.clone(),
            log: open.info(),
        });
        StoreInfo {
            directories: self.0.directories_info(),
            topics,
            partitions: partitions.collect(),
            engine: self.engine(),
            usage: self.usage(),
        }
    }

    /// Counts of what the store did.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.shared.counters.usage()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.root).finish()
    }
}

impl StoreInner {
    /// Blocks until none of a retired partition's I/O is under way.
    fn await_idle(&self, partition: &Partition) {
        loop {
            let seen = partition.moved.seen();
            if partition.writer.lock().is_idle() {
                self.shared.errands.settle(partition.slot);
                return;
            }
            if !self.shared.step() {
                self.shared.clock.wait(&partition.moved, seen, None);
            }
        }
    }

    /// An id no topic has: random, and not zero.
    fn new_topic_id(&self) -> TopicId {
        new_topic_id(&*self.shared.entropy)
    }
}

pub(super) fn new_topic_id(entropy: &dyn Entropy) -> TopicId {
    loop {
        let bits = u128::from(entropy.next_u64()) << 64 | u128::from(entropy.next_u64());
        if let Some(id) = TopicId::new(bits.to_be_bytes()) {
            return id;
        }
    }
}

/// Most steps a drop drives a store that is driven by hand.
const DROP_STEPS: usize = 10_000;
/// Longest time a dropped store waits for its last flush.
const DROP_WAIT: Duration = Duration::from_secs(2);

impl Drop for StoreInner {
    fn drop(&mut self) {
        let map = self.map.get_mut();
        if !map.closed {
            for (.., partition) in map.partitions() {
                // Nobody waits for the answer; asking is what gets it flushed.
                drop(partition.flush_ticket());
            }
            match self.shared.drive {
                Drive::Thread => {
                    let seen = self.shared.ended.seen();
                    self.shared.stop();
                    let deadline = self.shared.clock.tick().after(DROP_WAIT);
                    self.shared.clock.wait(&self.shared.ended, seen, Some(deadline));
                }
                Drive::Manual => {
                    let mut steps = 0..DROP_STEPS;
                    while steps.next().is_some() && self.shared.step() {}
                }
                Drive::Inline => {}
            }
        }
        self.shared.dissolve();
        for (.., partition) in map.partitions() {
            partition.abandon();
        }
        // The directory is the next one's once its lock is let go.
        self.shared.errands.settle_all();
        self.shared.dissolve();
    }
}
