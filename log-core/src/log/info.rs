//! What a store and its partitions look like from outside, as of one moment.
//!
//! ```text
//!   Log::info      state, ends, segments, damage                          one short look at the head
//!   Store::info    directories, topics, every partition, engine, counts
//! ```

use std::path::PathBuf;

use super::engine::Usage;
use super::head::LogState;
use super::partition::Partition;
use super::store::TopicInfo;
use crate::disk::EngineInfo;
use crate::error::Fault;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::segment::recover::Damage;

/// What a partition looks like from outside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogInfo {
    /// What it can do.
    pub state: LogState,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// The first offset that is not durable yet.
    pub high_watermark: Offset,
    /// The first offset that the kernel has not reported written.
    pub written_offset: Offset,
    /// The next offset to be given.
    pub log_end_offset: Offset,
    /// Stamped on batches appended here.
    pub leader_epoch: LeaderEpoch,
    /// In ascending order; the last takes appends.
    pub segments: Vec<SegmentInfo>,
    /// What cannot be read.
    pub damage: Vec<Damage>,
    /// Producers that are remembered.
    pub producers_count: u32,
    /// Bytes of memory they take.
    pub producers_bytes: usize,
}

/// What a segment looks like from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Its log file.
    pub path: PathBuf,
    /// Bytes of batches in it, accepted ones included.
    pub bytes: u32,
}

/// What a store looks like from outside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreInfo {
    /// Its directories, the one it was opened with first.
    pub directories: Vec<DirectoryInfo>,
    /// Its topics, ascending by name.
    pub topics: Vec<TopicInfo>,
    /// Its partitions, ascending by topic and number.
    pub partitions: Vec<PartitionInfo>,
    /// Which way to the disk is in use.
    pub engine: EngineInfo,
    /// Counts of what it did.
    pub usage: Usage,
}

/// What one of a store's directories looks like from outside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DirectoryInfo {
    /// Where it is.
    pub path: PathBuf,
    /// Why none of its partitions is there, if so.
    pub offline: Option<Fault>,
    /// How many partitions are open in it.
    pub partitions_count: usize,
}

/// A partition and where it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionInfo {
    /// Which one.
    pub partition: TopicPartition,
    /// Its directory.
    pub path: PathBuf,
    /// What it looks like.
    pub log: LogInfo,
}

impl Partition {
    pub(crate) fn info(&self) -> LogInfo {
        let head = self.head.lock();
        let segments = head.segments.iter().map(|segment| SegmentInfo {
            base_offset: segment.base(),
            path: segment.path().to_owned(),
            bytes: segment.end().unwrap_or(head.end).get(),
        });
        LogInfo {
            state: head.shown(),
            log_start_offset: head.frontiers.log_start(),
            high_watermark: head.frontiers.durable(),
            written_offset: head.frontiers.written(),
            log_end_offset: head.frontiers.log_end(),
            leader_epoch: head.leader_epoch,
            segments: segments.collect(),
            damage: head.damage.clone(),
            producers_count: head.producers.len(),
            producers_bytes: head.producers.memory_bytes(),
        }
    }
}
