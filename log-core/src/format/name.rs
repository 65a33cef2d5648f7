//! The names of a partition's files and directories.
//!
//! ```text
//!   00000000000000000042.log            base offset, 20 digits; what the file holds
//!   00000000000000000042.log.deleted    … and what is about to happen to it
//!   orders-3                            topic, last '-', partition
//!   orders-3.<32 hex>-delete            … and why it is no live partition
//! ```
//!
//! Every name is written in one way only, and only that way is read back: what this module parses
//! it would write again, byte for byte. Source: Kafka `LogFileUtils`, `UnifiedLog`, `LocalLog`.

use core::fmt;

use crate::ids::{Offset, TopicPartition};

/// Digits of a base offset in a file name: enough for `i64::MAX`, which has 19.
pub const BASE_OFFSET_DIGITS: usize = 20;
/// Hexadecimal digits of the random part of a renamed partition directory.
const DIRECTORY_ID_DIGITS: usize = 32;
/// Longest name a file system takes.
const NAME_BYTES_MAX: usize = 255;

/// What one file of a segment holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum FileKind {
    /// `.log`: the record batches.
    Log,
    /// `.index`: offset to position, sparse.
    OffsetIndex,
    /// `.timeindex`: timestamp to offset, sparse.
    TimeIndex,
    /// `.txnindex`: aborted transactions.
    TxnIndex,
    /// `.snapshot`: the producers' state at the offset in the name.
    Snapshot,
}

impl FileKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::TxnIndex, Self::Snapshot];

    /// The ending, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::OffsetIndex => "index",
            Self::TimeIndex => "timeindex",
            Self::TxnIndex => "txnindex",
            Self::Snapshot => "snapshot",
        }
    }
}

/// Whether a segment's file is in use, and if not, why it is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum FileState {
    /// No suffix: part of the log.
    Live,
    /// `.deleted`: out of the log, to be unlinked.
    Deleted,
    /// `.cleaned`: output of a compaction or split that is not finished.
    Cleaned,
    /// `.swap`: finished output that waits to replace the originals.
    Swap,
}

impl FileState {
    const RENAMED: [Self; 3] = [Self::Deleted, Self::Cleaned, Self::Swap];

    /// The ending with its dot; empty for a live file.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Live => "",
            Self::Deleted => ".deleted",
            Self::Cleaned => ".cleaned",
            Self::Swap => ".swap",
        }
    }
}

/// The name of one segment file, taken apart. `Display` puts it together.
///
/// ```
/// use log_core::format::{FileKind, SegmentFileName};
///
/// let name = SegmentFileName::parse("00000000000000000042.index").ok_or("no segment file")?;
/// assert_eq!((name.base_offset.get(), name.kind), (42, FileKind::OffsetIndex));
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a file name has these three parts and no other")]
pub struct SegmentFileName {
    /// The segment's base offset; for a snapshot the offset that its state ends before.
    pub base_offset: Offset,
    /// What the file holds.
    pub kind: FileKind,
    /// Whether it is in use.
    pub state: FileState,
}

impl SegmentFileName {
    /// Takes a file name apart; `None` if it is not a segment file's, digit for digit.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (name, state) = FileState::RENAMED
            .into_iter()
            .find_map(|state| Some((name.strip_suffix(state.suffix())?, state)))
            .unwrap_or((name, FileState::Live));
        let (digits, extension) = name.split_once('.')?;
        let kind = FileKind::ALL.into_iter().find(|kind| kind.extension() == extension)?;
        Some(Self { base_offset: parse_base_offset(digits)?, kind, state })
    }
}

impl fmt::Display for SegmentFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:0width$}.{}{}",
            self.base_offset.get(),
            self.kind.extension(),
            self.state.suffix(),
            width = BASE_OFFSET_DIGITS
        )
    }
}

/// The name of a live segment file: `00000000000000000042.log`.
#[must_use]
pub fn segment_file_name(base_offset: Offset, kind: FileKind) -> String {
    SegmentFileName { base_offset, kind, state: FileState::Live }.to_string()
}

fn parse_base_offset(digits: &str) -> Option<Offset> {
    if digits.len() != BASE_OFFSET_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // 20 digits can name more than i64 holds: parse refuses that too.
    digits.parse().ok().and_then(Offset::new)
}

/// Why a partition's directory is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DirectoryState {
    /// `topic-3`: a partition in use.
    Live,
    /// `….<32 hex>-delete`: its files are to be unlinked.
    Deleted,
    /// `….<32 hex>-stray`: a partition that does not belong here any more.
    Stray,
    /// `….<32 hex>-future`: a copy being made in another log directory.
    Future,
}

/// The name of a partition's directory, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DirectoryName {
    /// The partition. Kafka cuts a long topic short in the name of a renamed directory.
    pub partition: TopicPartition,
    /// Why the directory is there.
    pub state: DirectoryState,
}

impl DirectoryName {
    /// Takes a directory name apart; `None` if it names no partition.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (name, state) = split_directory_state(name).unwrap_or((name, DirectoryState::Live));
        Some(Self { partition: TopicPartition::from_directory_name(name)?, state })
    }
}

/// The name of a partition's directory that is there for another reason than being live:
/// `orders-3.<32 hex>-delete`. A topic too long for the whole to fit is cut short.
#[must_use]
pub fn renamed_directory_name(
    partition: &TopicPartition,
    id: [u8; DIRECTORY_ID_DIGITS / 2],
    state: DirectoryState,
) -> String {
    let reason = match state {
        DirectoryState::Live => return partition.to_string(),
        DirectoryState::Deleted => "delete",
        DirectoryState::Stray => "stray",
        DirectoryState::Future => "future",
    };
    let id = u128::from_be_bytes(id);
    let ending = format!("-{}.{id:032x}-{reason}", partition.partition());
    let topic = partition.topic().as_str();
    // A topic's name is ASCII, so any length is a place to cut.
    let kept = topic.get(..topic.len().min(NAME_BYTES_MAX - ending.len())).unwrap_or(topic);
    format!("{kept}{ending}")
}

/// Splits `….<32 hex>-delete` and its kin before the dot.
fn split_directory_state(name: &str) -> Option<(&str, DirectoryState)> {
    let (front, ending) = name.rsplit_once('-')?;
    let state = match ending {
        "delete" => DirectoryState::Deleted,
        "stray" => DirectoryState::Stray,
        "future" => DirectoryState::Future,
        _ => return None,
    };
    let (partition, id) = front.rsplit_once('.')?;
    let is_id = id.len() == DIRECTORY_ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some((partition, state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_name_has_twenty_digits_and_reads_back() {
        for (base, name) in [
            (0, "00000000000000000000.log"),
            (7, "00000000000000000007.log"),
            (i64::MAX, "09223372036854775807.log"),
        ] {
            let base = Offset::new(base).unwrap();
            assert_eq!(segment_file_name(base, FileKind::Log), name);
            assert_eq!(SegmentFileName::parse(name).unwrap().base_offset, base);
        }
    }

    #[test]
    fn every_kind_and_state_reads_back() {
        for kind in FileKind::ALL {
            for state in FileState::RENAMED.into_iter().chain([FileState::Live]) {
                let name = SegmentFileName { base_offset: Offset::ZERO, kind, state };
                assert_eq!(SegmentFileName::parse(&name.to_string()), Some(name));
            }
        }
    }

    #[test]
    fn what_is_not_written_that_way_is_no_segment_file() {
        for bad in [
            "",
            ".log",
            "0.log",
            "0000000000000000000.log",
            "000000000000000000000.log",
            "09223372036854775808.log",
            "99999999999999999999.log",
            "-0000000000000000001.log",
            "+0000000000000000001.log",
            "0000000000000000000x.log",
            "00000000000000000000.LOG",
            "00000000000000000000.log.",
            "00000000000000000000.log.swap.swap",
            "00000000000000000000.log.other",
            "00000000000000000000-0000000003.checkpoint",
            "leader-epoch-checkpoint",
        ] {
            assert_eq!(SegmentFileName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_renamed_directory_says_why_it_is_there() {
        let id = "0123456789abcdef0123456789abcdef";
        for (ending, state) in [
            ("delete", DirectoryState::Deleted),
            ("stray", DirectoryState::Stray),
            ("future", DirectoryState::Future),
        ] {
            let found = DirectoryName::parse(&format!("topic-0.{id}-{ending}")).unwrap();
            assert_eq!((found.partition.to_string().as_str(), found.state), ("topic-0", state));
        }
        let live = DirectoryName::parse("a-b-3").unwrap();
        assert_eq!((live.partition.topic().as_str(), live.state), ("a-b", DirectoryState::Live));
        for bad in ["x", "-1", "t-", "t-0.0123-delete", "t-0-delete", "t-0.x-other"] {
            assert_eq!(DirectoryName::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_directory_that_is_renamed_keeps_its_partition_and_fits() {
        let id = [0xAB; 16];
        let short = TopicPartition::new("a-b".parse().unwrap(), 3);
        let name = renamed_directory_name(&short, id, DirectoryState::Deleted);
        assert_eq!(name, "a-b-3.abababababababababababababababab-delete");
        let long = TopicPartition::new("x".repeat(249).parse().unwrap(), 99_999);
        for state in [DirectoryState::Deleted, DirectoryState::Stray, DirectoryState::Future] {
            let name = renamed_directory_name(&long, id, state);
            assert_eq!(name.len(), 255);
            let read = DirectoryName::parse(&name).unwrap();
            assert_eq!((read.partition.partition(), read.state), (99_999, state));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_would_be_written(name in "[0-9]{18,22}\\.(log|index|snapshot)(\\.swap|\\.deleted)?") {
            if let Some(parsed) = SegmentFileName::parse(&name) {
                prop_assert_eq!(parsed.to_string(), name);
            }
        }

        #[test]
        fn any_text_is_a_name_or_none(name: String) {
            if let Some(parsed) = SegmentFileName::parse(&name) {
                prop_assert_eq!(parsed.to_string(), name.clone());
            }
            drop(DirectoryName::parse(&name));
        }
    }
}
