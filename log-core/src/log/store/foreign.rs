//! Another program wrote here (S10): Kafka had the directory since it was closed, or always.
//!
//! ```text
//!   marker, Kafka's checkpoints as they were left   ours: believed
//!   marker, and they are not                        every partition is taken over
//!   no marker                                       those without a watermark are: they never were ours
//!
//!   taken over   what vouched for the log as we left it is gone; what Kafka says of it stands in the
//!                watermark ─▶ the markers go ─▶ opened by that, until it is found whole (open/foreign.rs)
//! ```
//!
//! Kafka's recovery point is how far the log is durable, its log start where it starts; offsets may be
//! left out (compaction, transactions that were deleted). A takeover may be cut anywhere: with the
//! marker it begins again, and without one it goes on with the partitions it had not come to.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::directories::live_partitions;
use super::new_topic_id;
use crate::disk::{Directory, Entry, Open};
use crate::error::{Fault, FaultKind};
use crate::format::checkpoint::parse_offsets;
use crate::ids::{LeaderEpoch, Offset, Position, TopicId, TopicName, TopicPartition};
use crate::log::clean::{self, CleanStore, LOG_STARTS, Marker, RECOVERY_POINTS, read_checkpoint};
use crate::log::engine::Shared;
use crate::log::open::named_topic_id;
use crate::segment::checkpoint;
use crate::segment::files::remove_file;
use crate::segment::recover::is_missing;
use crate::segment::watermark::{self, Void, Watermark, WatermarkFile};

/// What Kafka says of the partitions of a directory.
#[derive(Debug)]
struct Checkpoints {
    recovery_points: BTreeMap<TopicPartition, Offset>,
    /// `None` if there is no such file, or none that can be believed.
    log_starts: Option<BTreeMap<TopicPartition, Offset>>,
}

/// Reads how the directory `root`, of those at `roots`, was closed, and takes over what another program
/// wrote among its `entries`.
///
/// # Durability
///
/// What is taken over is so for every later open, too, when this returns `Ok`.
pub(super) fn left(
    shared: &Shared,
    roots: &[PathBuf],
    root: &Path,
    entries: &[Entry],
) -> Result<CleanStore, Fault> {
    let directory = &*shared.directory;
    let (clean, all) = match clean::read(directory, root, None)? {
        Marker::Ours(clean) => (clean, false),
        Marker::Foreign => (CleanStore::new(), true),
        Marker::None => (CleanStore::new(), false),
    };
    let mut theirs = Vec::new();
    for name in live_partitions(entries).filter(|name| !clean.contains_key(name)) {
        let dir = root.join(name.to_string());
        if all || !has_watermark(directory, &dir)? {
            theirs.push((name, dir));
        }
    }
    if theirs.is_empty() {
        return Ok(clean);
    }
    let kafka = Checkpoints::read(directory, root)?;
    for (name, dir) in &theirs {
        take_over(shared, roots, name, dir, &kafka).map_err(|error| {
            let what = "what another program wrote cannot be taken over";
            Fault::io(FaultKind::Directory, dir, what, error)
        })?;
    }
    Ok(clean)
}

fn has_watermark(directory: &dyn Directory, dir: &Path) -> Result<bool, Fault> {
    let path = dir.join(watermark::FILE_NAME);
    match directory.open(&path, Open::Read) {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => {
            let what = "the watermark cannot be opened";
            Err(Fault::io(FaultKind::Read, &path, what, error))
        }
    }
}

/// Takes away what vouched for the log as we left it, and writes down what Kafka says of it.
fn take_over(
    shared: &Shared,
    roots: &[PathBuf],
    name: &TopicPartition,
    dir: &Path,
    kafka: &Checkpoints,
) -> io::Result<()> {
    let directory = &*shared.directory;
    for entry in directory.list(dir)? {
        let end = Path::new(&entry.name).extension();
        let vouches = end.is_some_and(|end| end == "seal" || end == "producers");
        if vouches || entry.name == checkpoint::FILE_NAME {
            remove_file(directory, &dir.join(&entry.name))?;
        }
    }
    // Before the watermark, which says that this is done.
    directory.sync_dir(dir)?;
    let found = WatermarkFile::read(directory, dir)?.mark();
    let topic_id = match own_topic_id(directory, dir)? {
        Some(id) => id,
        None => topic_id(shared, roots, name.topic())?,
    };
    let ours = found.filter(|mark| mark.topic_id == topic_id);
    let say = |said: &BTreeMap<_, _>| said.get(name).copied().unwrap_or(Offset::ZERO);
    // Where Kafka says nothing of log starts, ours stands; where it does, none means the first segment.
    let our_start = ours.map_or(Offset::ZERO, |mark| mark.log_start);
    let mark = Watermark {
        topic_id,
        log_start: kafka.log_starts.as_ref().map_or(our_start, say),
        durable: say(&kafka.recovery_points),
        segment: Offset::ZERO,
        position: Position::ZERO,
        last_crc: 0,
        leader_epoch: ours.map_or(LeaderEpoch::ZERO, |mark| mark.leader_epoch),
        void: Void::Nothing,
        gaps_below: Offset::MAX,
        unflushed_bytes_max: shared.settings.unflushed_bytes_max,
    };
    WatermarkFile::put(directory, dir, mark)
}

/// The id of a topic of which a partition does not say it: what another one says, in whichever
/// directory, or a new one.
fn topic_id(shared: &Shared, roots: &[PathBuf], topic: &TopicName) -> io::Result<TopicId> {
    let directory = &*shared.directory;
    for root in roots {
        // One that cannot be listed is left out, or is the first and fails the opening.
        let entries = directory.list(root).unwrap_or_default();
        for name in live_partitions(&entries).filter(|name| name.topic() == topic) {
            if let Some(id) = own_topic_id(directory, &root.join(name.to_string()))? {
                return Ok(id);
            }
        }
    }
    Ok(new_topic_id(&*shared.entropy))
}

/// The topic id that stands in `dir`: in its metadata, or in the watermark that outlived them.
pub(super) fn own_topic_id(directory: &dyn Directory, dir: &Path) -> io::Result<Option<TopicId>> {
    if let Some(id) = named_topic_id(directory, dir)? {
        return Ok(Some(id));
    }
    Ok(WatermarkFile::read(directory, dir)?.mark().map(|mark| mark.topic_id))
}

impl Checkpoints {
    /// One that is damaged says nothing.
    fn read(directory: &dyn Directory, root: &Path) -> Result<Self, Fault> {
        let read = |name| {
            let bytes = read_checkpoint(directory, root, name)?;
            Ok(bytes.and_then(|bytes| parse_offsets(&bytes).ok()))
        };
        Ok(Self {
            recovery_points: read(RECOVERY_POINTS)?.unwrap_or_default(),
            log_starts: read(LOG_STARTS)?,
        })
    }
}
