//! Opening one partition, in numbered steps, each of which may be the last before a power cut.
//!
//! ```text
//!   1 topic id            partition.metadata, or the watermark that outlived it   (open/files.rs)
//!   2 watermark           void under another topic id
//!   3 segments            regular files with a segment's name; the rest is left alone
//!     both ends           as the watermark decided them                          (open/ends.rs)
//!   4 clean?              the marker's line and the files agree: no scan        (open/believe.rs)
//!     else scan           what no seal or checkpoint vouches for            (segment/recover.rs)
//!   5 leader epoch        raised, durably, before anything is cut      (S22)     (open/epochs.rs)
//!   6 repair              cut, write the tail anew, rebuild indexes    (S3)
//!     producers           their state, from the log; stale snapshots removed (open/producers.rs)
//!   7 watermark           set to the recovered end, durably                    (open/assemble.rs)
//! ```

mod assemble;
mod believe;
mod ends;
mod epochs;
mod error;
mod files;
mod foreign;
mod look;
mod producers;
mod recovered;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use self::assemble::assemble;
use self::believe::{Consulted, believe, consult, forget};
use self::ends::settle_ends;
use self::epochs::leader_epochs;
pub(crate) use self::epochs::write_epochs;
pub use self::error::OpenError;
pub(crate) use self::files::named_topic_id;
use self::files::{candidates, topic_id};
pub(crate) use self::look::{Looked, Shape, look, read_mark};
use self::producers::{Replay, left_by};
pub use self::recovered::Recovered;
use super::clean::CleanPartition;
use super::engine::Shared;
use super::partition::Partition;
use crate::config::{OnDamage, TopicSettings};
use crate::disk::Open;
use crate::error::{Fault, FaultKind};
use crate::format::checkpoint::{LeaderEpochEntry, leader_epochs_text};
use crate::format::metadata::{PARTITION_METADATA_FILE, PartitionMetadata};
use crate::format::{FileKind, segment_file_name};
use crate::ids::{LeaderEpoch, Offset, Position, TopicId, TopicPartition};
use crate::mutant::{self, Mutant};
use crate::segment::recover::{Damage, Repaired, Rules, Scan, repair, scan};
use crate::segment::replace::replace;
use crate::segment::seal::Identity;
use crate::segment::watermark::{Void, Watermark, WatermarkFile};

/// The partition's leader epochs (Kafka `LeaderEpochCheckpointFile`).
const EPOCHS: &str = "leader-epoch-checkpoint";

/// What to open, and how.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) name: TopicPartition,
    pub(crate) dir: PathBuf,
    pub(crate) slot: u32,
    /// Its topic's settings.
    pub(crate) settings: TopicSettings,
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
    let mut watermark = WatermarkFile::open(&shared.files, dir)?;
    watermark.write(Watermark {
        topic_id,
        log_start: Offset::ZERO,
        durable: Offset::ZERO,
        segment: Offset::ZERO,
        position: Position::ZERO,
        last_crc: 0,
        leader_epoch: LeaderEpoch::ZERO,
        void: Void::Nothing,
        gaps_below: Offset::ZERO,
        unflushed_bytes_max: shared.settings.unflushed_bytes_max,
    })?;
    // Last: a directory without it was never finished.
    let metadata = PartitionMetadata { topic_id }.to_string();
    replace(directory, dir, PARTITION_METADATA_FILE, metadata.as_bytes())
}

/// Opens a partition.
pub(crate) fn open(request: &Request<'_>) -> Result<Opened, OpenError> {
    let dir = request.dir.as_path();
    let failed = |what: &'static str| {
        move |error| OpenError::Io(Fault::io(FaultKind::Read, dir, what, error))
    };
    let directory = &*request.shared.directory;
    let mut warnings = Vec::new();
    let marked =
        WatermarkFile::read(directory, dir).map_err(failed("the watermark cannot be read"))?;
    let found = marked.mark();
    let topic_id = topic_id(request, found.as_ref(), &mut warnings)?;
    let watermark = found.filter(|mark| mark.topic_id == topic_id);
    if found.is_some() && watermark.is_none() {
        warnings.push(format!("{}: its watermark is of another topic and void", dir.display()));
    }
    let identity = Identity { topic_id, partition: request.name.partition() };
    let mut candidates = candidates(request, &mut warnings)?;
    let gaps_below = marked.gaps_below(topic_id);
    let foreign = gaps_below == Offset::MAX;
    let (log_start, watermark) = if foreign {
        (
            foreign::log_start(watermark.as_ref(), &candidates),
            foreign::recovery_point(request, watermark.as_ref(), &candidates),
        )
    } else {
        let start = settle_ends(request, watermark.as_ref(), &mut candidates, &mut warnings)?;
        (start, watermark)
    };
    let clean = request.clean.filter(|clean| clean.topic_id == topic_id);
    if let Some(clean) = clean
        && let Some(scan) = believe(request, &candidates, clean, identity, gaps_below)
        && let Some(producers) = left_by(request, clean)
    {
        let epochs = leader_epochs(request, watermark.as_ref(), &scan, log_start, &mut warnings)?;
        let (start, epoch) = (log_start.max(clean.log_start), clean.leader_epoch);
        let recovered = recovered(request, &scan, watermark, start, epoch, None, warnings);
        return assemble(request, &scan, topic_id, epochs, recovered, producers);
    }
    let rules = rules(request, watermark, gaps_below);
    let read = AtomicU64::new(0);
    let Consulted { claimed, from } =
        consult(request, &mut candidates, (identity, gaps_below), &mut warnings, &read)?;
    let bases: Vec<Offset> = candidates.iter().map(|candidate| candidate.base).collect();
    let mut replay = match from {
        Some((from, producers)) => Replay::resume(request, topic_id, &bases, from, producers),
        None => Replay::begin(request, topic_id, &bases, &mut warnings),
    };
    let mut scan =
        scan(candidates, &rules, &mut |batch| replay.see(batch)).map_err(OpenError::Io)?;
    scan.bytes_read += read.into_inner();
    let log_start = if foreign { log_start.min(scan.end.offset) } else { log_start };
    begin_at(log_start, dir, &mut scan);
    refuse_damage(request, &scan)?;
    let above = claimed.is_some_and(|claimed| claimed > scan.end.offset);
    if above && !mutant::on(Mutant::CheckpointAboveEnd) {
        forget(directory, dir)?;
    }
    let epochs = leader_epochs(request, watermark.as_ref(), &scan, log_start, &mut warnings)?;
    let epoch = epochs.latest().unwrap_or(LeaderEpoch::ZERO);
    let (producers, passed) = replay.finish(scan.end.offset, &mut warnings);
    let known = producers.largest_id().is_some();
    let repaired = repair(directory, dir, &scan, watermark.as_ref(), identity, known)
        .map_err(OpenError::Io)?;
    if scan.damage.is_empty() {
        producers::keep(request, topic_id, &scan, passed, &mut warnings);
    }
    let repaired = Some(repaired);
    let recovered = recovered(request, &scan, watermark, log_start, epoch, repaired, warnings);
    assemble(request, &scan, topic_id, epochs, recovered, producers)
}

/// What a scan goes by. How far bytes may be scattered, the one who wrote them has said.
fn rules(request: &Request<'_>, watermark: Option<Watermark>, gaps_below: Offset) -> Rules {
    let own = request.shared.settings.unflushed_bytes_max;
    let said = watermark.filter(|_| !mutant::on(Mutant::BoundOfThisLife));
    Rules {
        watermark,
        unflushed_bytes_max: said.map_or(own, |mark| mark.unflushed_bytes_max),
        index_interval_bytes: request.settings.index_interval_bytes,
        gaps_below,
    }
}

/// Refuses a damaged log, if the settings say so.
fn refuse_damage(request: &Request<'_>, scan: &Scan) -> Result<(), OpenError> {
    match scan.damage.first() {
        Some(first) if request.shared.settings.on_damage == OnDamage::Refuse => {
            Err(OpenError::Damaged {
                partition: request.name.clone(),
                reason: first.to_string(),
                damage: scan.damage.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Nobody misses what was deleted, but everything from the log's start on.
fn begin_at(log_start: Offset, dir: &Path, scan: &mut Scan) {
    scan.damage.retain(|damage| damage.offsets.end > log_start);
    let first = first_offset(scan);
    match scan.damage.first_mut() {
        _ if first <= log_start => {}
        Some(damage) if damage.offsets.start == first => damage.offsets.start = log_start,
        _ => {
            let reason = "no segment holds these offsets, with which the log starts".to_owned();
            let (offsets, path) = (log_start..first, dir.to_owned());
            scan.damage.insert(0, Damage { offsets, path, positions: 0..0, reason });
        }
    }
}

fn first_offset(scan: &Scan) -> Offset {
    scan.segments.first().map_or(Offset::ZERO, |scanned| scanned.segment.base())
}

fn recovered(
    request: &Request<'_>,
    scan: &Scan,
    watermark: Option<Watermark>,
    log_start_offset: Offset,
    leader_epoch: LeaderEpoch,
    repaired: Option<Repaired>,
    mut warnings: Vec<String>,
) -> Recovered {
    let clean = repaired.is_none();
    let Repaired { rewritten_bytes, indexes_rebuilt, warnings: more } =
        repaired.unwrap_or_default();
    warnings.extend(more);
    Recovered {
        partition: request.name.clone(),
        clean,
        log_start_offset,
        log_end_offset: scan.end.offset,
        durable_offset: watermark.map(|mark| mark.durable),
        bytes_cut: scan.bytes_cut,
        bytes_read: scan.bytes_read + rewritten_bytes,
        rewritten_bytes,
        indexes_rebuilt,
        damage: scan.damage.clone(),
        leader_epoch,
        warnings,
    }
}
