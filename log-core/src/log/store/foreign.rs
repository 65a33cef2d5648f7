//! Another program wrote here (S10): Kafka had the directory since it was closed, or always.
//!
//! ```text
//!   marker, Kafka's checkpoints as they were left   ours: believed
//!   marker, and they are not                        every sidecar is void, durably, before anything
//!   no marker, and no watermark anywhere            there are none: the directory is Kafka's
//! ```
//!
//! What Kafka says of a log then counts: its recovery point is how far the log is durable, its log
//! start is where it starts. Offsets may be left out (compaction, transactions that were deleted).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::disk::{Directory, EntryKind, Open};
use crate::format::checkpoint::parse_offsets;
use crate::format::name::{DirectoryName, DirectoryState};
use crate::ids::{Offset, Position, TopicPartition};
use crate::log::clean::{self, CleanStore, LOG_STARTS, RECOVERY_POINTS};
use crate::log::engine::Shared;
use crate::log::open::KafkaSays;
use crate::segment::checkpoint;
use crate::segment::files::remove_file;
use crate::segment::replace::read_small;
use crate::segment::watermark::{self, Void, Watermark, WatermarkFile};

/// What a directory says of its partitions before any of them is opened.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// How they were closed.
    pub(super) clean: CleanStore,
    /// What Kafka said of them last, if it had them since.
    kafka: Option<Checkpoints>,
}

#[derive(Debug)]
struct Checkpoints {
    recovery_points: BTreeMap<TopicPartition, Offset>,
    log_starts: Option<BTreeMap<TopicPartition, Offset>>,
}

impl Left {
    /// What Kafka says of `partition`, if it had it.
    pub(super) fn kafka(&self, partition: &TopicPartition) -> Option<KafkaSays> {
        let kafka = self.kafka.as_ref()?;
        let starts = kafka.log_starts.as_ref();
        Some(KafkaSays {
            recovery_point: kafka.recovery_points.get(partition).copied(),
            log_start: starts.and_then(|starts| starts.get(partition).copied()),
        })
    }
}

/// Reads how the directory was left, and voids every sidecar if another program wrote there.
///
/// # Durability
///
/// What is void is void for every later open, too, when this returns `Ok`.
pub(super) fn left(shared: &Shared, root: &Path) -> io::Result<Left> {
    let directory = &*shared.directory;
    let kafka = match clean::read(directory, root) {
        clean::Marker::Ours(clean) => return Ok(Left { clean, kafka: None }),
        clean::Marker::Foreign => {
            let kafka = Checkpoints::read(directory, root);
            for (name, dir) in partitions(directory, root)? {
                void(shared, &name, &dir, &kafka)?;
            }
            Some(kafka)
        }
        clean::Marker::None => {
            let all = partitions(directory, root)?;
            let ours = all.iter().any(|(_, dir)| {
                directory.open(&dir.join(watermark::FILE_NAME), Open::Read).is_ok()
            });
            (!ours && !all.is_empty()).then(|| Checkpoints::read(directory, root))
        }
    };
    Ok(Left { clean: CleanStore::new(), kafka })
}

/// The partitions in `root`.
fn partitions(
    directory: &dyn Directory,
    root: &Path,
) -> io::Result<Vec<(TopicPartition, std::path::PathBuf)>> {
    let entries = directory.list(root)?.into_iter();
    let directories = entries.filter(|entry| entry.kind == EntryKind::Directory);
    let named = directories.filter_map(|entry| {
        let name = DirectoryName::parse(&entry.name)?;
        (name.state == DirectoryState::Live).then(|| (name.partition, root.join(&entry.name)))
    });
    Ok(named.collect())
}

/// Takes away what vouched for the log as we left it.
fn void(shared: &Shared, name: &TopicPartition, dir: &Path, kafka: &Checkpoints) -> io::Result<()> {
    let directory = &*shared.directory;
    for entry in directory.list(dir)? {
        let end = Path::new(&entry.name).extension();
        let vouches = end.is_some_and(|end| end == "seal" || end == "producers");
        if vouches || entry.name == checkpoint::FILE_NAME {
            remove_file(directory, &dir.join(&entry.name))?;
        }
    }
    directory.sync_dir(dir)?;
    let Some(mark) = WatermarkFile::read(directory, dir)?.mark() else { return Ok(()) };
    // Where Kafka says nothing of log starts, ours stand; where it does, none means the first segment.
    let starts = kafka.log_starts.as_ref();
    let log_start =
        starts.map_or(mark.log_start, |starts| starts.get(name).copied().unwrap_or(Offset::ZERO));
    WatermarkFile::open(&shared.files, dir)?.write(Watermark {
        log_start,
        durable: Offset::ZERO,
        segment: Offset::ZERO,
        position: Position::ZERO,
        last_crc: 0,
        void: Void::Nothing,
        gaps_below: Offset::MAX,
        ..mark
    })
}

impl Checkpoints {
    /// A checkpoint that cannot be read says nothing.
    fn read(directory: &dyn Directory, root: &Path) -> Self {
        let read = |name: &str| {
            let bytes = read_small(directory, &root.join(name)).ok()??;
            parse_offsets(&bytes).ok()
        };
        Self {
            recovery_points: read(RECOVERY_POINTS).unwrap_or_default(),
            log_starts: read(LOG_STARTS),
        }
    }
}
