//! Text checkpoints: the last known offsets of many partitions, or the leader epochs of one.
//!
//! ```text
//!   0                      version               0
//!   2                      entries that follow   2
//!   orders 3 4711          topic partition       1 0       epoch, its first offset
//!   payments 0 12          offset                3 150
//! ```
//!
//! Each line ends in LF, the last one too. An empty file holds no entries. They are written beside
//! the old one, synced and renamed, so a malformed file is damage, never half a write. Source: Kafka
//! `CheckpointFile`, `OffsetCheckpointFile`, `LeaderEpochCheckpointFile`.

use core::fmt::Write as _;
use core::str::FromStr;
use std::collections::BTreeMap;

use crate::ids::{LeaderEpoch, Offset, TopicName, TopicPartition};

/// Name of the file of offsets up to which each log is known to be on disk.
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// Name of the file of offsets at which logs begin, where that is within a segment.
pub const LOG_START_OFFSET_FILE: &str = "log-start-offset-checkpoint";
/// Name of the file of high watermarks.
pub const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
/// Name of the file of the first offsets not yet compacted.
pub const CLEANER_OFFSET_FILE: &str = "cleaner-offset-checkpoint";
/// Name of a partition's file of leader epochs.
pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// Largest checkpoint that is read: some 60,000 partitions with the longest names.
pub const CHECKPOINT_BYTES_MAX: usize = 16 << 20;

const VERSION: &str = "0";
/// Characters of a bad line that an error quotes.
const QUOTED_CHARS_MAX: usize = 80;

/// An epoch of a partition's leader, and where it began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields are those of the format")]
pub struct LeaderEpochEntry {
    /// The epoch, 0 or more.
    pub epoch: LeaderEpoch,
    /// The offset of its first record.
    pub start_offset: Offset,
}

/// Why bytes are no checkpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Too large to be one.
    #[error(
        "a checkpoint of {bytes} bytes is larger than the {CHECKPOINT_BYTES_MAX} that are read: write it anew"
    )]
    TooLarge {
        /// Bytes given.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the checkpoint is no text: {0}; write it anew")]
    Text(#[from] core::str::Utf8Error),
    /// A line, or the end of one, that is not what must stand there.
    #[error("line {line} of the checkpoint is {found:?} where {expected} should be: write it anew")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What stands there, its first 80 characters; empty if it is missing.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// More or fewer entries than declared.
    #[error("the checkpoint declares {declared} entries and holds {found}: write it anew")]
    Count {
        /// The number on line 2.
        declared: usize,
        /// Lines behind it.
        found: usize,
    },
}

/// Reads `topic partition offset` lines.
///
/// # Errors
///
/// [`CheckpointError`], naming the line; a partition that occurs twice is an error too.
pub fn parse_offsets(bytes: &[u8]) -> Result<BTreeMap<TopicPartition, Offset>, CheckpointError> {
    let mut offsets = BTreeMap::new();
    for (line, text) in entry_lines(bytes)? {
        let expected = "a topic, a partition and an offset, of a partition not yet named";
        let entry =
            parse_offset_line(text).filter(|(partition, _)| !offsets.contains_key(partition));
        let (partition, offset) = entry.ok_or_else(|| line_error(line, text, expected))?;
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

/// Writes what [`parse_offsets`] reads.
#[must_use]
pub fn offsets_text(offsets: &BTreeMap<TopicPartition, Offset>) -> String {
    let mut text = head(offsets.len());
    for (partition, offset) in offsets {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {} {offset}", partition.topic(), partition.partition());
    }
    text
}

/// Reads `epoch startOffset` lines.
///
/// # Errors
///
/// [`CheckpointError`], naming the line; epochs and offsets must both rise strictly.
pub fn parse_leader_epochs(bytes: &[u8]) -> Result<Vec<LeaderEpochEntry>, CheckpointError> {
    let mut entries: Vec<LeaderEpochEntry> = Vec::new();
    for (line, text) in entry_lines(bytes)? {
        let expected = "an epoch and its first offset, both above those of the line before";
        let rises = |entry: &LeaderEpochEntry| {
            entries.last().is_none_or(|last| {
                entry.epoch > last.epoch && entry.start_offset > last.start_offset
            })
        };
        let entry = parse_epoch_line(text).filter(rises);
        entries.push(entry.ok_or_else(|| line_error(line, text, expected))?);
    }
    Ok(entries)
}

/// Writes what [`parse_leader_epochs`] reads.
#[must_use]
pub fn leader_epochs_text(entries: &[LeaderEpochEntry]) -> String {
    let mut text = head(entries.len());
    for LeaderEpochEntry { epoch, start_offset } in entries {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{epoch} {start_offset}");
    }
    text
}

fn head(entries: usize) -> String {
    format!("{VERSION}\n{entries}\n")
}

/// Checks size, text, version and count; gives the entries' lines with their numbers.
fn entry_lines(bytes: &[u8]) -> Result<impl Iterator<Item = (usize, &str)>, CheckpointError> {
    if bytes.len() > CHECKPOINT_BYTES_MAX {
        return Err(CheckpointError::TooLarge { bytes: bytes.len() });
    }
    let text = core::str::from_utf8(bytes)?;
    let count = text.bytes().filter(|byte| *byte == b'\n').count();
    let mut lines = text.split_terminator('\n');
    if !text.is_empty() {
        let tail = text.rsplit_once('\n').map_or(text, |(_, tail)| tail);
        if !tail.is_empty() {
            // A number cut short would read as another number.
            return Err(line_error(count + 1, tail, "an end of line behind it"));
        }
        let version = lines.next().unwrap_or_default();
        if version.trim_ascii() != VERSION {
            return Err(line_error(1, version, "version 0"));
        }
        let second = lines.next().unwrap_or_default();
        let declared: usize = number(second.trim_ascii())
            .ok_or_else(|| line_error(2, second, "the number of entries"))?;
        if declared != count - 2 {
            return Err(CheckpointError::Count { declared, found: count - 2 });
        }
    }
    Ok((3..).zip(lines))
}

fn parse_offset_line(text: &str) -> Option<(TopicPartition, Offset)> {
    let mut words = text.split_ascii_whitespace();
    let topic = TopicName::new(words.next()?).ok()?;
    let partition: i32 = number(words.next()?)?;
    let offset = number(words.next()?).and_then(Offset::new)?;
    let partition = TopicPartition::new(topic, u32::try_from(partition).ok()?);
    words.next().is_none().then_some((partition, offset))
}

fn parse_epoch_line(text: &str) -> Option<LeaderEpochEntry> {
    let mut words = text.split_ascii_whitespace();
    let epoch = number(words.next()?).and_then(LeaderEpoch::new)?;
    let start_offset = number(words.next()?).and_then(Offset::new)?;
    let whole = words.next().is_none() && epoch != LeaderEpoch::NONE;
    whole.then_some(LeaderEpochEntry { epoch, start_offset })
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn line_error(line: usize, found: &str, expected: &'static str) -> CheckpointError {
    let found = found.chars().take(QUOTED_CHARS_MAX).collect();
    CheckpointError::Line { line, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn epoch(epoch: i32, start: i64) -> LeaderEpochEntry {
        LeaderEpochEntry {
            epoch: LeaderEpoch::new(epoch).unwrap(),
            start_offset: Offset::new(start).unwrap(),
        }
    }

    #[test]
    fn kafkas_example_reads_and_is_written_back() {
        let text = "0\n2\n1 0\n3 150\n";
        let entries = parse_leader_epochs(text.as_bytes()).unwrap();
        assert_eq!(entries, [epoch(1, 0), epoch(3, 150)]);
        assert_eq!(leader_epochs_text(&entries), text);
    }

    #[test]
    fn an_empty_file_holds_no_entries() {
        assert_eq!(parse_offsets(b""), Ok(BTreeMap::new()));
        assert_eq!(parse_leader_epochs(b""), Ok(vec![]));
        assert_eq!(parse_offsets(b"0\n0\n"), Ok(BTreeMap::new()));
        assert_eq!(offsets_text(&BTreeMap::new()), "0\n0\n");
    }

    #[test]
    fn every_malformed_file_names_its_line() {
        for (text, line) in [
            ("1\n0\n", 1),
            ("\n", 1),
            ("0\n", 2),
            ("0\nx\n", 2),
            ("0\n-1\n", 2),
            ("0", 1),
            ("0\n1\na 0 150", 3),
            ("0\n1\na 0\n", 3),
            ("0\n1\na 0 5 6\n", 3),
            ("0\n1\na 0 x\n", 3),
            ("0\n1\na 0 -1\n", 3),
            ("0\n1\na -1 5\n", 3),
            ("0\n1\na/b 0 5\n", 3),
            ("0\n2\na 0 5\na 0 6\n", 4),
            ("0\n1\n\n", 3),
            ("0\n1\na 0 9223372036854775808\n", 3),
        ] {
            let error = parse_offsets(text.as_bytes()).unwrap_err();
            assert!(
                matches!(error, CheckpointError::Line { line: found, .. } if found == line),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn the_count_is_held_to_both_ways() {
        let error = |declared, found| Err(CheckpointError::Count { declared, found });
        assert_eq!(parse_offsets(b"0\n2\na 0 5\n"), error(2, 1));
        assert_eq!(parse_offsets(b"0\n0\na 0 5\n"), error(0, 1));
    }

    #[test]
    fn epochs_and_their_offsets_rise() {
        for text in ["0\n2\n1 0\n1 5\n", "0\n2\n2 0\n1 5\n", "0\n2\n1 5\n2 5\n", "0\n1\n-1 0\n"] {
            assert!(parse_leader_epochs(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_or_too_much_of_it_is_refused() {
        assert!(matches!(parse_offsets(&[b'0', b'\n', 0xFF]), Err(CheckpointError::Text(_))));
        let bytes = CHECKPOINT_BYTES_MAX + 1;
        assert_eq!(parse_offsets(&vec![b'0'; bytes]), Err(CheckpointError::TooLarge { bytes }));
    }

    proptest! {
        #[test]
        fn offsets_read_back(entries in prop::collection::btree_map(("[a-zA-Z0-9._-]{3,20}", 0..1000_u32), 0..i64::MAX, 0..20)) {
            let offsets: BTreeMap<_, _> = entries.into_iter().map(|((topic, partition), offset)| {
                let partition = TopicPartition::new(TopicName::new(&topic).unwrap_or_else(|_| TopicName::new("t").unwrap()), partition);
                (partition, Offset::new(offset).unwrap())
            }).collect();
            prop_assert_eq!(parse_offsets(offsets_text(&offsets).as_bytes()), Ok(offsets));
        }

        #[test]
        fn any_text_is_a_checkpoint_or_an_error(text in "[0-9a \n]{0,40}") {
            if let Ok(entries) = parse_leader_epochs(text.as_bytes()) {
                prop_assert_eq!(parse_leader_epochs(leader_epochs_text(&entries).as_bytes()), Ok(entries));
            }
            let _ = parse_offsets(text.as_bytes());
        }
    }
}
