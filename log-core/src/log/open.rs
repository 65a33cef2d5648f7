//! Opening one partition, in numbered steps, each of which may be the last before a power cut.
//!
//! ```text
//!   1 topic id            partition.metadata, or the watermark that outlived it
//!   2 watermark           void under another topic id
//!   3 segments            regular files with a segment's name; the rest is left alone
//!   4 clean?              the marker's line and the files agree: no scan
//!     else scan           decide what is there                         (segment/recover.rs)
//!   5 leader epoch        raised, durably, before anything is cut      (S22)
//!   6 repair              cut, write the tail anew, rebuild indexes    (S3)
//!   7 watermark           set to the recovered end, durably
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clean::CleanPartition;
use super::engine::Shared;
use super::head::{Head, LogState, Reach};
use super::partition::Partition;
use super::pending::Pending;
use super::ticket::Queue;
use super::writer::{Start, Writer};
use crate::config::{OnDamage, SettingsError};
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{EntryKind, Open};
use crate::error::{Fault, FaultKind};
use crate::format::checkpoint::{LeaderEpochEntry, leader_epochs_text, parse_leader_epochs};
use crate::format::metadata::PartitionMetadata;
use crate::format::{FileKind, FileState, SegmentFileName, segment_file_name};
use crate::ids::{LeaderEpoch, Offset, Position, TimestampMs, TopicId, TopicPartition};
use crate::int::{u64_from, usize_from};
use crate::model::flush::Mark;
use crate::model::frontiers::Frontiers;
use crate::mutant::{self, Mutant};
use crate::segment::recover::{Candidate, Damage, Rules, Scan, Scanned, repair, scan};
use crate::segment::replace::{read_small, replace};
use crate::segment::walk::{Walk, read_full};
use crate::segment::watermark::{Watermark, WatermarkFile};
use crate::segment::{OffsetIndex, Segment};

/// The partition's topic id (Kafka `PartitionMetadataFile`).
const METADATA: &str = "partition.metadata";
/// The partition's leader epochs (Kafka `LeaderEpochCheckpointFile`).
const EPOCHS: &str = "leader-epoch-checkpoint";

/// What opening a partition found and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The partition.
    pub partition: TopicPartition,
    /// Whether it was closed cleanly, so that nothing had to be scanned.
    pub clean: bool,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// The next offset to be given.
    pub log_end_offset: Offset,
    /// How far the watermark on disk vouched for, where there was one.
    pub durable_offset: Option<Offset>,
    /// Bytes of torn writes that were cut off behind the end.
    pub bytes_cut: u64,
    /// Bytes above the watermark that were written anew before anyone could see them.
    pub rewritten_bytes: u64,
    /// Index files that were missing or said something else.
    pub indexes_rebuilt: u32,
    /// Durable records that can no longer be read.
    pub damage: Vec<Damage>,
    /// The leader epoch from here on.
    pub leader_epoch: LeaderEpoch,
    /// What was skipped or repaired besides, in prose.
    pub warnings: Vec<String>,
}

/// Why a store or partition cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another store, or a Kafka broker, has the directory.
    #[error(
        "{} is locked by {}: close that one first",
        .path.display(),
        .pid.map_or_else(|| "another store or broker".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that has it, where it said so.
        pid: Option<u32>,
    },
    /// The settings contradict themselves.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The disk did not do its part.
    #[error("{0}")]
    Io(Fault),
    /// A partition is damaged below its durable end and the settings say to refuse.
    #[error("{partition} is damaged: {reason}; open it with OnDamage::ReadOnly to read the rest")]
    Damaged {
        /// The partition.
        partition: TopicPartition,
        /// The first damage found.
        reason: String,
        /// All of it.
        damage: Vec<Damage>,
    },
    /// Partitions of one name belong to two topics (`INCONSISTENT_TOPIC_ID`).
    #[error("{partition} has topic id {found}, but its topic's other partitions have {expected}")]
    InconsistentTopicId {
        /// The partition that differs.
        partition: TopicPartition,
        /// Its topic id.
        found: TopicId,
        /// The others'.
        expected: TopicId,
    },
    /// There is no such partition.
    #[error("there is no partition {partition}")]
    Unknown {
        /// What was asked for.
        partition: TopicPartition,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl OpenError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::Unknown { .. } => 3,
            Self::InconsistentTopicId { .. } => 103,
            Self::Settings(_) => 42,
            Self::Locked { .. } | Self::Io(_) | Self::Damaged { .. } | Self::Closed => 56,
        }
    }
}

/// What to open, and how.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) name: TopicPartition,
    pub(crate) dir: PathBuf,
    pub(crate) slot: u32,
    /// The clean marker's line for it.
    pub(crate) clean: Option<&'a CleanPartition>,
    /// For a directory that names no topic id.
    pub(crate) new_topic_id: TopicId,
    /// A living process opens it anew after a fault (S9).
    pub(crate) reopened: bool,
}

/// An opened partition.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) partition: Arc<Partition>,
    pub(crate) topic_id: TopicId,
    pub(crate) recovered: Recovered,
}

/// Makes the files of a new partition, so that its first open finds them.
///
/// # Durability
///
/// Everything in the directory is durable when it returns; the directory's own name is not.
pub(crate) fn create(shared: &Shared, dir: &Path, topic_id: TopicId) -> io::Result<()> {
    let directory = &*shared.directory;
    directory.create_dir(dir)?;
    let first = dir.join(segment_file_name(Offset::ZERO, FileKind::Log));
    match directory.open(&first, Open::Create) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let epochs = [LeaderEpochEntry { epoch: LeaderEpoch::ZERO, start_offset: Offset::ZERO }];
    replace(directory, dir, EPOCHS, leader_epochs_text(&epochs).as_bytes())?;
    let mut watermark = WatermarkFile::open(directory, dir)?;
    watermark.write(Watermark {
        topic_id,
        log_start: Offset::ZERO,
        durable: Offset::ZERO,
        segment: Offset::ZERO,
        position: Position::ZERO,
        last_crc: 0,
        leader_epoch: LeaderEpoch::ZERO,
    })?;
    // Last: a directory without it was never finished.
    replace(directory, dir, METADATA, PartitionMetadata { topic_id }.to_string().as_bytes())
}

/// Opens a partition.
pub(crate) fn open(request: &Request<'_>) -> Result<Opened, OpenError> {
    let dir = request.dir.as_path();
    let failed = |what: &'static str| {
        move |error| OpenError::Io(Fault::io(FaultKind::Read, dir, what, error))
    };
    let directory = &*request.shared.directory;
    let mut warnings = Vec::new();
    let found =
        WatermarkFile::read(directory, dir).map_err(failed("the watermark cannot be read"))?;
    let topic_id = topic_id(request, found.as_ref(), &mut warnings)?;
    let watermark = found.filter(|mark| mark.topic_id == topic_id);
    if found.is_some() && watermark.is_none() {
        warnings.push(format!("{}: its watermark is of another topic and void", dir.display()));
    }
    let candidates = candidates(request, &mut warnings)?;
    let clean = request.clean.filter(|clean| clean.topic_id == topic_id);
    if let Some(clean) = clean
        && let Some(scan) = believe(request, &candidates, clean)
    {
        let recovered = recovered(request, &scan, watermark, clean.leader_epoch, true, warnings);
        return assemble(request, &scan, topic_id, recovered);
    }
    let settings = &request.shared.settings;
    let rules = Rules {
        watermark,
        unflushed_bytes_max: settings.unflushed_bytes_max,
        index_interval_bytes: settings.index_interval_bytes,
    };
    let scan = scan(candidates, &rules).map_err(OpenError::Io)?;
    if settings.on_damage == OnDamage::Refuse
        && let Some(first) = scan.damage.first()
    {
        return Err(OpenError::Damaged {
            partition: request.name.clone(),
            reason: first.reason.clone(),
            damage: scan.damage,
        });
    }
    let epoch = leader_epoch(request, watermark.as_ref(), &scan, &mut warnings)?;
    let repaired = repair(directory, dir, &scan, watermark.as_ref()).map_err(OpenError::Io)?;
    let mut recovered = recovered(request, &scan, watermark, epoch, false, warnings);
    recovered.rewritten_bytes = repaired.rewritten_bytes;
    recovered.indexes_rebuilt = repaired.indexes_rebuilt;
    assemble(request, &scan, topic_id, recovered)
}

/// Step 1. A directory whose metadata is gone or damaged keeps the id its watermark remembers.
fn topic_id(
    request: &Request<'_>,
    watermark: Option<&Watermark>,
    warnings: &mut Vec<String>,
) -> Result<TopicId, OpenError> {
    let directory = &*request.shared.directory;
    let path = request.dir.join(METADATA);
    let bytes = read_small(directory, &path).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, &path, "the topic id cannot be read", error))
    })?;
    if let Some(metadata) = bytes.as_deref().and_then(|bytes| PartitionMetadata::parse(bytes).ok())
    {
        return Ok(metadata.topic_id);
    }
    let id = watermark.map_or(request.new_topic_id, |mark| mark.topic_id);
    warnings.push(format!("{}: holds no topic id; {id} is written", path.display()));
    let text = PartitionMetadata { topic_id: id }.to_string();
    replace(directory, &request.dir, METADATA, text.as_bytes()).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Write, &path, "the topic id cannot be written", error))
    })?;
    Ok(id)
}

/// Step 3. The segment files, ascending; a partition without any gets its first one.
fn candidates(
    request: &Request<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Candidate>, OpenError> {
    let dir = request.dir.as_path();
    let directory = &*request.shared.directory;
    let fault = |what| move |error| OpenError::Io(Fault::io(FaultKind::Read, dir, what, error));
    let mut candidates = Vec::new();
    for entry in directory.list(dir).map_err(fault("the partition cannot be listed"))? {
        let Some(name) = SegmentFileName::parse(&entry.name) else { continue };
        if name.kind != FileKind::Log || name.state != FileState::Live {
            continue;
        }
        let path = dir.join(&entry.name);
        if entry.kind != EntryKind::File {
            warnings.push(format!("{}: not a regular file, left alone", path.display()));
            continue;
        }
        let opened = directory.open(&path, Open::Write).and_then(|file| Ok((file.len()?, file)));
        let (bytes, file) = opened.map_err(|error| {
            OpenError::Io(Fault::io(FaultKind::Read, &path, "the segment cannot be opened", error))
        })?;
        candidates.push(Candidate { base: name.base_offset, path, file, bytes });
    }
    candidates.sort_by_key(|candidate| candidate.base);
    if candidates.is_empty() {
        let path = dir.join(segment_file_name(Offset::ZERO, FileKind::Log));
        let file = directory
            .open(&path, Open::Create)
            .and_then(|file| directory.sync_dir(dir).map(|()| file))
            .map_err(fault("the first segment cannot be made"))?;
        candidates.push(Candidate { base: Offset::ZERO, path, file, bytes: 0 });
    }
    Ok(candidates)
}

/// Step 4. The files as the clean marker describes them, or `None` if they are not so (D12).
fn believe(
    request: &Request<'_>,
    candidates: &[Candidate],
    clean: &CleanPartition,
) -> Option<Scan> {
    let found: Vec<(Offset, u64)> =
        candidates.iter().map(|candidate| (candidate.base, candidate.bytes)).collect();
    let trusting = mutant::on(Mutant::TrustCleanMarker);
    if found != clean.segments && !trusting {
        return None;
    }
    let mut segments = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        segments.push(indexed(request, candidate)?);
    }
    let last = segments.last()?;
    let end = Position::new(u32::try_from(last.end).ok()?);
    if !trusting {
        check_last_batch(last, clean)?;
    }
    for scanned in segments.iter().rev().skip(1) {
        scanned.segment.finish(Position::new(u32::try_from(scanned.end).ok()?));
    }
    let end =
        Mark { offset: clean.log_end, position: end, batch_end: end, last_crc: clean.last_crc };
    Some(Scan { segments, end, damage: Vec::new(), bytes_cut: 0, orphans: Vec::new() })
}

/// A segment with the index its file holds.
fn indexed(request: &Request<'_>, candidate: &Candidate) -> Option<Scanned> {
    let path = crate::segment::recover::index_path(&candidate.path);
    let bytes = read_small(&*request.shared.directory, &path).ok()??;
    let end = Position::new(u32::try_from(candidate.bytes).ok()?);
    let index = OffsetIndex::parse(candidate.base, &bytes, end)?;
    let mut walk =
        Walk::new(&*candidate.file, Position::ZERO, candidate.bytes, Some(candidate.base));
    let first_timestamp = match walk.next() {
        Ok((_, first)) => Some(first.max_timestamp()),
        Err(_) if candidate.bytes == 0 => None,
        Err(_) => return None,
    };
    let segment =
        Segment::active(candidate.base, candidate.path.clone(), Arc::clone(&candidate.file), index);
    Some(Scanned {
        segment: Arc::new(segment),
        end: candidate.bytes,
        file_bytes: candidate.bytes,
        first_timestamp,
    })
}

/// The log must end with the batch the marker remembers.
fn check_last_batch(last: &Scanned, clean: &CleanPartition) -> Option<()> {
    let base = last.segment.base();
    if last.end == 0 {
        return (clean.log_end == base).then_some(());
    }
    let hint = last.segment.index().read().lookup(clean.log_end.checked_add(-1)?);
    let mut walk = Walk::new(&**last.segment.file(), hint.position, last.end, None);
    let mut found = None;
    while let Ok((_, batch)) = walk.next() {
        found = Some((batch.next_offset()?, batch.crc()));
    }
    let whole = walk.position() == last.end;
    (whole && found == Some((clean.log_end, clean.last_crc))).then_some(())
}

/// Step 5. The epoch of this life; one higher than the last if something is to be cut.
fn leader_epoch(
    request: &Request<'_>,
    watermark: Option<&Watermark>,
    scan: &Scan,
    warnings: &mut Vec<String>,
) -> Result<LeaderEpoch, OpenError> {
    let directory = &*request.shared.directory;
    let path = request.dir.join(EPOCHS);
    let bytes = read_small(directory, &path).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, &path, "the epochs cannot be read", error))
    })?;
    let parsed = bytes.as_deref().map(parse_leader_epochs);
    if let Some(Err(error)) = &parsed {
        warnings.push(format!("{}: {error}; it is written anew", path.display()));
    }
    let mut epochs = parsed.and_then(Result::ok).unwrap_or_default();
    let before = epochs.clone();
    let known = watermark.map_or(LeaderEpoch::ZERO, |mark| mark.leader_epoch);
    let last = epochs.last().map_or(LeaderEpoch::ZERO, |entry| entry.epoch).max(known);
    let raised = scan.bytes_cut > 0 || request.reopened;
    let epoch = if raised { last.next() } else { last };
    epochs.retain(|entry| entry.start_offset < scan.end.offset || entry.epoch < epoch);
    if epochs.last().is_none_or(|entry| entry.epoch < epoch) {
        let start_offset = match epochs.last() {
            None if !raised => first_offset(scan),
            _ => scan.end.offset,
        };
        epochs.retain(|entry| entry.start_offset < start_offset);
        epochs.push(LeaderEpochEntry { epoch, start_offset });
    }
    if epochs != before {
        replace(directory, &request.dir, EPOCHS, leader_epochs_text(&epochs).as_bytes()).map_err(
            |error| {
                OpenError::Io(Fault::io(
                    FaultKind::Write,
                    &path,
                    "the epochs cannot be written",
                    error,
                ))
            },
        )?;
    }
    Ok(epoch)
}

fn first_offset(scan: &Scan) -> Offset {
    scan.segments.first().map_or(Offset::ZERO, |scanned| scanned.segment.base())
}

fn recovered(
    request: &Request<'_>,
    scan: &Scan,
    watermark: Option<Watermark>,
    leader_epoch: LeaderEpoch,
    clean: bool,
    warnings: Vec<String>,
) -> Recovered {
    Recovered {
        partition: request.name.clone(),
        clean,
        log_start_offset: first_offset(scan),
        log_end_offset: scan.end.offset,
        durable_offset: watermark.map(|mark| mark.durable),
        bytes_cut: scan.bytes_cut,
        rewritten_bytes: 0,
        indexes_rebuilt: 0,
        damage: scan.damage.clone(),
        leader_epoch,
        warnings,
    }
}

/// Steps 7 and after: the watermark at the end, and the partition in memory.
fn assemble(
    request: &Request<'_>,
    scan: &Scan,
    topic_id: TopicId,
    recovered: Recovered,
) -> Result<Opened, OpenError> {
    let (shared, dir) = (request.shared, request.dir.as_path());
    let failed = |what| move |error| OpenError::Io(Fault::io(FaultKind::Write, dir, what, error));
    let log_start = first_offset(scan);
    let last = scan.segments.last().ok_or_else(|| {
        OpenError::Io(Fault::new(FaultKind::Bug, dir, "a partition without a segment"))
    })?;
    let active = Arc::clone(&last.segment);
    let mut watermark = WatermarkFile::open(&*shared.directory, dir)
        .map_err(failed("the watermark cannot be opened"))?;
    if scan.damage.is_empty() && !recovered.clean {
        shared.directory.sync_dir(dir).map_err(failed("the names cannot be made durable"))?;
        let mark = Watermark {
            topic_id,
            log_start,
            durable: scan.end.offset,
            segment: active.base(),
            position: scan.end.batch_end,
            last_crc: scan.end.last_crc,
            leader_epoch: recovered.leader_epoch,
        };
        watermark.write(mark).map_err(failed("the watermark cannot be written"))?;
    }
    let block = last_block(last).map_err(failed("the last block cannot be read"))?;
    let start = Start {
        segment: Arc::clone(&active),
        end: scan.end,
        watermark,
        topic_id,
        log_begins: log_start,
        leader_epoch: recovered.leader_epoch,
        now: shared.clock.tick(),
    };
    let head = head(shared, scan, &active, &block, &recovered);
    let partition = Partition::new(
        request.name.clone(),
        request.dir.clone(),
        request.slot,
        Arc::clone(shared),
        Writer::new(start),
        head,
    );
    Ok(Opened { partition, topic_id, recovered })
}

/// The bytes of the partial block at the end of the log: the next write writes them again.
fn last_block(last: &Scanned) -> io::Result<Vec<u8>> {
    let from = last.end - last.end % u64_from(BLOCK_BYTES);
    let mut block = vec![0; usize_from(last.end - from)];
    let read = read_full(&**last.segment.file(), from, &mut block)?;
    block.truncate(read);
    Ok(block)
}

fn head(
    shared: &Shared,
    scan: &Scan,
    active: &Arc<Segment>,
    block: &[u8],
    recovered: &Recovered,
) -> Head {
    let state = match scan.damage.first() {
        None => LogState::Online,
        Some(damage) => LogState::ReadOnly(Fault::at(
            FaultKind::Damage,
            &damage.path,
            damage.positions.start,
            format!(
                "offsets {} to {}: {}",
                damage.offsets.start, damage.offsets.end, damage.reason
            ),
        )),
    };
    let reach = Reach { segment: active.base(), mark: scan.end };
    let first_timestamp: Option<TimestampMs> =
        scan.segments.last().and_then(|scanned| scanned.first_timestamp);
    Head {
        state,
        frontiers: Frontiers::recovered(recovered.log_start_offset, scan.end.offset),
        segments: scan.segments.iter().map(|scanned| Arc::clone(&scanned.segment)).collect(),
        leader_epoch: recovered.leader_epoch,
        pending: Pending::at(
            Arc::clone(active),
            scan.end,
            block,
            shared.settings.in_flight_bytes_max(),
        ),
        end: scan.end.position,
        secured: scan.end.position.get().into(),
        first_timestamp,
        created: shared.clock.timestamp(),
        on_written: Queue::default(),
        on_synced: Queue::default(),
        written: reach,
        durable: reach,
        oldest_unflushed: None,
        rolling: false,
        full_since: shared.clock.tick(),
        wakers: Vec::new(),
        damage: scan.damage.clone(),
    }
}
