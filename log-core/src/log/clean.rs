//! The clean marker: what a store looked like when it was closed, so that opening need not scan.
//!
//! ```text
//!   oncelog.clean      3                                               version
//!                      kafka <8 hex>                                   CRC-32 of Kafka's checkpoints
//!                      <topic> <partition> <topic id> <log start> <log end> <epoch> <last crc>
//!                          <largest producer id, −1 for none>
//!                          <segments>:<base>-<bytes>,<base>-<bytes>…   one line a partition
//!                          <what the last segment holds>               see segment/seal.rs
//!                      crc <8 hex>                                     CRC-32 of all above
//!   .kafka_cleanshutdown                                               the same news for Kafka
//! ```
//!
//! Where Kafka's checkpoints are not as they were left, another program wrote here, and nothing of ours
//! is believed (S10). It is never trusted blindly (D12): a partition whose files disagree with its line is scanned.
//! Both markers are removed, durably, before the first write of any kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::disk::Directory;
use crate::error::{Fault, FaultKind};
use crate::ids::{LeaderEpoch, Offset, ProducerId, TopicId, TopicPartition};
use crate::segment::files::remove_file;
use crate::segment::replace::{read_small, replace};
use crate::segment::seal::{Seal, guarded, unguarded};

/// Kafka's checkpoint files of a directory, all of them "topic partition offset".
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub(crate) const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub(crate) const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";

/// Ours; a name Kafka does not look at.
pub(crate) const FILE_NAME: &str = "oncelog.clean";
/// Kafka's (`CleanShutdownFileHandler`).
pub(crate) const KAFKA_FILE_NAME: &str = ".kafka_cleanshutdown";

const VERSION: &str = "3";

/// How one partition was left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CleanPartition {
    pub(crate) topic_id: TopicId,
    pub(crate) log_start: Offset,
    pub(crate) log_end: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) last_crc: u32,
    /// The largest id of a producer that ever wrote here: there is a state of theirs to be read.
    pub(crate) largest_producer_id: Option<ProducerId>,
    /// Base offset and bytes of each segment, ascending.
    pub(crate) segments: Vec<(Offset, u64)>,
    /// What the last of them holds, if it has a batch; the others have their seals beside them.
    pub(crate) active: Option<Seal>,
}

/// All partitions of a store that was closed cleanly.
pub(crate) type CleanStore = BTreeMap<TopicPartition, CleanPartition>;

/// Writes the markers: the last act of a clean close. Kafka's says that all of the directory is
/// clean, so it is written only if `all` is.
///
/// # Durability
///
/// Durable when it returns `Ok`.
pub(crate) fn write(
    directory: &dyn Directory,
    root: &Path,
    store: &CleanStore,
    all: bool,
) -> Result<(), Fault> {
    let failed = |error| {
        let what = "the markers of a clean close cannot be written";
        Fault::io(FaultKind::Write, root, what, error)
    };
    // Kafka's first: ours tells what it was left with.
    if all {
        let text = b"{\"version\":0,\"brokerEpoch\":-1}";
        replace(directory, root, KAFKA_FILE_NAME, text).map_err(failed)?;
    }
    let kafkas = digest(directory, root)?;
    replace(directory, root, FILE_NAME, to_text(store, kafkas).as_bytes()).map_err(failed)
}

/// What a directory's marker says.
#[derive(Debug)]
pub(crate) enum Marker {
    /// Nobody else wrote since.
    Ours(CleanStore),
    /// Another program wrote since (S10).
    Foreign,
    /// There is none that can be believed.
    None,
}

/// Reads the marker: of all partitions, or of `only` one. One that cannot be read is an error: whether
/// another program wrote is not known.
pub(crate) fn read(
    directory: &dyn Directory,
    root: &Path,
    only: Option<&TopicPartition>,
) -> Result<Marker, Fault> {
    let bytes = read_checkpoint(directory, root, FILE_NAME)?;
    Ok(match bytes.and_then(|bytes| parse(&bytes, only)) {
        None => Marker::None,
        Some((kafkas, store)) if digest(directory, root)? == kafkas => Marker::Ours(store),
        Some(_) => Marker::Foreign,
    })
}

/// What a small file in `root` holds; `None` if it is not there.
pub(crate) fn read_checkpoint(
    directory: &dyn Directory,
    root: &Path,
    name: &str,
) -> Result<Option<Vec<u8>>, Fault> {
    let path = root.join(name);
    read_small(directory, &path).map_err(|error| {
        let what = "the checkpoint cannot be read, so how the directory was closed is not known";
        Fault::io(FaultKind::Read, &path, what, error)
    })
}

/// A digest of what Kafka leaves in a directory, and changes when it runs.
fn digest(directory: &dyn Directory, root: &Path) -> Result<u32, Fault> {
    let mut digest = crc32fast::Hasher::new();
    for name in [RECOVERY_POINTS, LOG_STARTS, HIGH_WATERMARKS, KAFKA_FILE_NAME] {
        digest.update(name.as_bytes());
        match read_checkpoint(directory, root, name)? {
            Some(bytes) => {
                digest.update(b" holds ");
                digest.update(&bytes);
            }
            None => digest.update(b" is missing "),
        }
    }
    Ok(digest.finalize())
}

/// Removes both markers, so that whatever happens next is an unclean stop.
///
/// # Durability
///
/// Their absence is durable when it returns `Ok`.
pub(crate) fn remove(directory: &dyn Directory, root: &Path) -> io::Result<()> {
    for name in [FILE_NAME, KAFKA_FILE_NAME] {
        remove_file(directory, &root.join(name))?;
    }
    directory.sync_dir(root)
}

fn to_text(store: &CleanStore, kafkas: u32) -> String {
    let mut text = format!("{VERSION}\nkafka {kafkas:08x}\n");
    for (partition, clean) in store {
        let segments: Vec<String> =
            clean.segments.iter().map(|(base, bytes)| format!("{base}-{bytes}")).collect();
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "{} {} {} {} {} {} {:08x} {} {}:{} {}",
            partition.topic(),
            partition.partition(),
            clean.topic_id,
            clean.log_start,
            clean.log_end,
            clean.leader_epoch,
            clean.last_crc,
            clean.largest_producer_id.unwrap_or(ProducerId::NONE),
            segments.len(),
            segments.join(","),
            clean.active.map_or_else(|| "-".to_owned(), |active| active.to_string())
        );
    }
    guarded(&text)
}

fn parse(bytes: &[u8], only: Option<&TopicPartition>) -> Option<(u32, CleanStore)> {
    let mut lines = unguarded(bytes)?.lines();
    (lines.next()? == VERSION).then_some(())?;
    let kafkas = u32::from_str_radix(lines.next()?.strip_prefix("kafka ")?, 16).ok()?;
    let start = only.map(|only| format!("{} {} ", only.topic(), only.partition()));
    let lines = lines.filter(|line| start.as_ref().is_none_or(|start| line.starts_with(start)));
    Some((kafkas, lines.map(parse_line).collect::<Option<_>>()?))
}

fn parse_line(line: &str) -> Option<(TopicPartition, CleanPartition)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [topic, partition, id, start, end, epoch, crc, largest, segments, active] =
        fields.as_slice()
    else {
        return None;
    };
    let offset = |text: &str| Offset::new(text.parse().ok()?);
    let (count, list) = segments.split_once(':')?;
    let segments: Vec<(Offset, u64)> = list
        .split(',')
        .map(|entry| {
            let (base, bytes) = entry.split_once('-')?;
            Some((offset(base)?, bytes.parse().ok()?))
        })
        .collect::<Option<_>>()?;
    (count.parse() == Ok(segments.len())).then_some(())?;
    let partition = TopicPartition::new(topic.parse().ok()?, partition.parse().ok()?);
    let clean = CleanPartition {
        topic_id: TopicId::parse(id)?,
        log_start: offset(start)?,
        log_end: offset(end)?,
        leader_epoch: LeaderEpoch::new(epoch.parse().ok()?)?,
        last_crc: u32::from_str_radix(crc, 16).ok()?,
        largest_producer_id: Some(ProducerId::new(largest.parse().ok()?)?)
            .filter(|id| id.is_some()),
        segments,
        active: if *active == "-" { None } else { Some(Seal::parse(active)?) },
    };
    Some((partition, clean))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TimestampMs;
    use crate::segment::seal::FileSum;
    use crate::segment::time_index::Stamp;

    fn store() -> CleanStore {
        let clean = CleanPartition {
            topic_id: TopicId::new([7; 16]).unwrap(),
            log_start: Offset::ZERO,
            log_end: Offset::new(12).unwrap(),
            leader_epoch: LeaderEpoch::ZERO,
            last_crc: 0xABC,
            largest_producer_id: ProducerId::new(17),
            segments: vec![(Offset::ZERO, 100), (Offset::new(9).unwrap(), 0)],
            active: None,
        };
        let partition = TopicPartition::new("a-b".parse().unwrap(), 3);
        CleanStore::from([(partition, clean)])
    }

    #[test]
    fn a_marker_reads_back() {
        let text = to_text(&store(), 7);
        assert_eq!(parse(text.as_bytes(), None), Some((7, store())));
        let mut filled = store();
        let sum = FileSum::of(b"batches");
        for clean in filled.values_mut() {
            clean.active = Some(Seal {
                base: Offset::new(9).unwrap(),
                next: Offset::new(12).unwrap(),
                last_crc: 0xABC,
                first_timestamp: None,
                largest: Stamp { timestamp: TimestampMs::new(5), offset: Offset::new(9).unwrap() },
                log: sum,
                index: sum,
                times: sum,
                txns: Some(sum),
                has_producers: true,
            });
        }
        assert_eq!(parse(to_text(&filled, 7).as_bytes(), None), Some((7, filled)));
        assert_eq!(
            parse(to_text(&CleanStore::new(), 7).as_bytes(), None),
            Some((7, CleanStore::new()))
        );
    }

    #[test]
    fn one_partition_is_found_among_others_whose_names_begin_alike() {
        let [one] = store().into_values().collect::<Vec<_>>().try_into().unwrap();
        let names = [("a-b", 3), ("a-b", 33), ("a-bc", 3), ("b", 3)];
        let names =
            names.map(|(topic, number)| TopicPartition::new(topic.parse().unwrap(), number));
        let all: CleanStore = names.iter().map(|name| (name.clone(), one.clone())).collect();
        let text = to_text(&all, 7);
        for name in &names {
            let found = CleanStore::from([(name.clone(), one.clone())]);
            assert_eq!(parse(text.as_bytes(), Some(name)), Some((7, found)));
        }
        let absent = TopicPartition::new("a-b".parse().unwrap(), 4);
        assert_eq!(parse(text.as_bytes(), Some(&absent)), Some((7, CleanStore::new())));
    }

    #[test]
    fn a_marker_with_any_byte_changed_is_no_marker() {
        let text = to_text(&store(), 7).into_bytes();
        for index in 0..text.len() {
            let mut changed = text.clone();
            changed[index] ^= 1;
            assert_eq!(parse(&changed, None), None, "byte {index}");
        }
    }
}
