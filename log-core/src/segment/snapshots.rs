//! The producers' state beside the segments: Kafka's snapshots, and our own with all they leave out.
//!
//! ```text
//!   00000000000000000042.snapshot    state of all records below offset 42, for Kafka
//!   00000000000000000042.producers   the same and more, for us; a suffix Kafka ignores
//!
//!   0           8          24        32         36       40
//!   ├ ONCEPRS1 ─┼ topic id ┼ offset ─┼ last crc ┼ crc-32 ┼ state (model/producers/bytes.rs) …
//!                            the log's end then, and the checksum of its last batch
//! ```
//!
//! Written at a roll and at a clean close, after everything below the offset is durable. Caches
//! both: what they say is used for what the log no longer holds, and to save a scan. One that names
//! another topic, another last batch or an offset past the log's end is of another life.

use std::io;
use std::path::{Path, PathBuf};

use super::files::remove_file;
use super::replace::{read_large, replace};
use crate::clock::Tick;
use crate::disk::{Directory, EntryKind};
use crate::error::{Fault, FaultKind};
use crate::format::snapshot::{parse_snapshot, snapshot_bytes};
use crate::format::{FileKind, FileState, SegmentFileName, segment_file_name};
use crate::ids::{Offset, TopicId};
use crate::model::producers::{Frozen, ProducerLimits, Producers};

const MAGIC: [u8; 8] = *b"ONCEPRS1";
const HEAD_BYTES: usize = 40;
const SUMMED_BYTES: usize = 36;
const EXTENSION: &str = "producers";

const _: () = assert!(8 + 16 + 8 + 4 == SUMMED_BYTES);

/// The moment in a log's life that a state is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment {
    pub(crate) topic_id: TopicId,
    /// The log's end.
    pub(crate) end: Offset,
    /// The checksum of the last batch below it; 0 where there is none.
    pub(crate) last_crc: u32,
}

/// How a state that is read is to live on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Revival {
    pub(crate) limits: ProducerLimits,
    pub(crate) seed: u64,
    pub(crate) now: Tick,
}

/// The name of our file at `offset`.
pub(crate) fn producers_file_name(offset: Offset) -> String {
    segment_file_name(offset, FileKind::Snapshot).replace(FileKind::Snapshot.extension(), EXTENSION)
}

/// Writes both files of `state` as of `moment`.
///
/// # Durability
///
/// Both are durable when it returns `Ok`; cut before, each is there whole or not at all.
pub(crate) fn write(
    directory: &dyn Directory,
    dir: &Path,
    state: &Frozen,
    moment: Moment,
) -> io::Result<()> {
    let kafkas = snapshot_bytes(&state.snapshot_entries());
    replace(directory, dir, &segment_file_name(moment.end, FileKind::Snapshot), &kafkas)?;
    drop(kafkas);
    let mut bytes = Vec::with_capacity(HEAD_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&moment.topic_id.to_bytes());
    bytes.extend_from_slice(&moment.end.get().to_be_bytes());
    bytes.extend_from_slice(&moment.last_crc.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    state.append_to(&mut bytes);
    replace(directory, dir, &producers_file_name(moment.end), &bytes)
}

/// The state in our file at `moment.end`; `None` if there is none of that very moment.
pub(crate) fn read_ours(
    directory: &dyn Directory,
    dir: &Path,
    moment: Moment,
    revival: Revival,
) -> Option<Producers> {
    let (found, producers) = read_any(directory, dir, moment.end, revival)?;
    (found == moment).then_some(producers)
}

/// Our file at `offset`, with the moment it names.
pub(crate) fn read_any(
    directory: &dyn Directory,
    dir: &Path,
    offset: Offset,
    revival: Revival,
) -> Option<(Moment, Producers)> {
    let bytes = read_large(directory, &dir.join(producers_file_name(offset))).ok()??;
    let (head, state) = bytes.split_at_checked(HEAD_BYTES)?;
    let (summed, sum) = head.split_at_checked(SUMMED_BYTES)?;
    let summed_right = u32::from_be_bytes(*sum.first_chunk()?) == crc32fast::hash(summed);
    if !summed_right || !summed.starts_with(&MAGIC) {
        return None;
    }
    let moment = Moment {
        topic_id: TopicId::new(*summed.get(8..)?.first_chunk()?)?,
        end: Offset::new(i64::from_be_bytes(*summed.get(24..)?.first_chunk()?))?,
        last_crc: u32::from_be_bytes(*summed.get(32..)?.first_chunk()?),
    };
    let Revival { limits, seed, now } = revival;
    let producers = Producers::from_bytes(state, moment.end, limits, seed, now).ok()?;
    Some((moment, producers))
}

/// The state in Kafka's file at `offset`.
///
/// # Errors
///
/// Why it cannot be used, in prose.
pub(crate) fn read_kafkas(
    directory: &dyn Directory,
    dir: &Path,
    offset: Offset,
    revival: Revival,
) -> Result<Option<Producers>, String> {
    let path = dir.join(segment_file_name(offset, FileKind::Snapshot));
    let Some(bytes) = read_large(directory, &path).map_err(|error| error.to_string())? else {
        return Ok(None);
    };
    let entries = parse_snapshot(&bytes).map_err(|error| error.to_string())?;
    let Revival { limits, seed, now } = revival;
    Producers::from_snapshot(&entries, offset, limits, seed, now)
        .map(Some)
        .map_err(|error| error.to_string())
}

/// The offsets of the snapshot files in `dir`, ours and Kafka's, ascending, each with its path.
pub(crate) fn list(directory: &dyn Directory, dir: &Path) -> io::Result<Vec<(Offset, PathBuf)>> {
    let mut found = Vec::new();
    for entry in directory.list(dir)? {
        let kafkas = entry.name.replace(EXTENSION, FileKind::Snapshot.extension());
        let name = SegmentFileName::parse(&kafkas)
            .filter(|name| name.kind == FileKind::Snapshot && name.state == FileState::Live);
        if let Some(name) = name
            && entry.kind == EntryKind::File
        {
            found.push((name.base_offset, dir.join(&entry.name)));
        }
    }
    found.sort();
    Ok(found)
}

/// Which of the snapshots at `offsets` belong nowhere: those past the log's end, and those that are
/// at no segment's base, except the largest if it is above all of them, which a clean close left
/// (Kafka `removeStraySnapshots`).
pub(crate) fn strays(offsets: &[Offset], bases: &[Offset], end: Offset) -> Vec<Offset> {
    let within = offsets.iter().copied().filter(|offset| *offset <= end);
    let last = within.max().filter(|last| bases.iter().all(|base| base < last));
    let keeps =
        |offset: &Offset| *offset <= end && (bases.contains(offset) || Some(*offset) == last);
    offsets.iter().copied().filter(|offset| !keeps(offset)).collect()
}

/// Removes the snapshots that belong nowhere. Returns how many files went.
///
/// # Durability
///
/// Their absence is durable when it returns `Ok`.
pub(crate) fn remove_strays(
    directory: &dyn Directory,
    dir: &Path,
    bases: &[Offset],
    end: Offset,
) -> Result<u32, Fault> {
    let failed = |what: &'static str| {
        let path = dir.to_owned();
        move |error| Fault::io(FaultKind::Directory, &path, what, error)
    };
    let found = list(directory, dir).map_err(failed("the snapshots cannot be listed"))?;
    let offsets: Vec<Offset> = found.iter().map(|(offset, _)| *offset).collect();
    let strays = strays(&offsets, bases, end);
    let mut removed = 0;
    for (_, path) in found.iter().filter(|(offset, _)| strays.contains(offset)) {
        remove_file(directory, path).map_err(failed("a stale snapshot cannot be removed"))?;
        removed += 1;
    }
    if removed > 0 {
        directory.sync_dir(dir).map_err(failed("the names cannot be made durable"))?;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn stray(offsets: &[i64], bases: &[i64], end: i64) -> Vec<i64> {
        let at = |numbers: &[i64]| numbers.iter().map(|number| at(*number)).collect::<Vec<_>>();
        strays(&at(offsets), &at(bases), tests::at(end)).iter().map(|offset| offset.get()).collect()
    }

    #[test]
    fn c21_a_snapshot_at_no_segments_base_goes_unless_a_close_left_it() {
        assert_eq!(stray(&[2, 5, 42], &[5], 50), [2]);
        assert_eq!(stray(&[2, 5, 42], &[42], 50), [2, 5]);
        assert_eq!(stray(&[2, 5, 42], &[2, 5, 42], 50), [0; 0]);
    }

    #[test]
    fn c15_a_snapshot_past_the_logs_end_goes() {
        assert_eq!(stray(&[1, 2, 3, 4, 5], &[1, 2, 3], 3), [4, 5]);
        assert_eq!(stray(&[5, 9], &[0], 7), [9]);
    }

    #[test]
    fn both_files_of_an_offset_have_its_digits() {
        assert_eq!(producers_file_name(at(42)), "00000000000000000042.producers");
    }
}
