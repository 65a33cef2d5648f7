//! The files of one segment, as one thing to be removed.
//!
//! ```text
//!   N.log                      first: without it the segment is gone
//!   N.index  N.timeindex …     the rest means nothing without it
//! ```

use std::io;
use std::path::{Path, PathBuf};

use super::recover::is_missing;
use crate::disk::Directory;
use crate::format::{FileKind, FileState, SegmentFileName, segment_file_name};
use crate::ids::Offset;

/// Endings of files of ours beside a segment.
const SIDECARS: [&str; 2] = ["seal", "producers"];

/// Removes segment `base`: its log, and whatever else is of it. Files that are open go on working.
///
/// # Durability
///
/// None before the directory is synced. A cut before that may bring any of the files back.
pub(crate) fn remove_segment(
    directory: &dyn Directory,
    dir: &Path,
    base: Offset,
) -> io::Result<()> {
    let log = dir.join(segment_file_name(base, FileKind::Log));
    let others = FileKind::ALL.iter().map(|kind| kind.extension()).chain(SIDECARS);
    for ending in core::iter::once("log").chain(others.filter(|ending| *ending != "log")) {
        remove_file(directory, &log.with_extension(ending))?;
    }
    Ok(())
}

/// Removes a file, if it is there.
///
/// # Durability
///
/// None before its directory is synced.
pub(crate) fn remove_file(directory: &dyn Directory, path: &Path) -> io::Result<()> {
    match directory.unlink(path) {
        Err(error) if !is_missing(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Every name in `dir` that is of some segment, with the segment's base offset.
pub(crate) fn segment_files(
    directory: &dyn Directory,
    dir: &Path,
) -> io::Result<Vec<(Offset, PathBuf)>> {
    let names = directory.list(dir)?.into_iter().map(|entry| entry.name);
    Ok(names.filter_map(|name| Some((base_of(&name)?, dir.join(name)))).collect())
}

fn base_of(name: &str) -> Option<Offset> {
    let sidecar = name.rsplit_once('.').filter(|(_, ending)| SIDECARS.contains(ending));
    let log = sidecar.map(|(digits, _)| format!("{digits}.{}", FileKind::Log.extension()));
    let parsed = SegmentFileName::parse(log.as_deref().unwrap_or(name))?;
    (parsed.state == FileState::Live).then_some(parsed.base_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_segment_is_known_by_its_name() {
        let at = |base| Some(Offset::new(base).unwrap());
        for ending in ["log", "index", "timeindex", "txnindex", "snapshot", "seal", "producers"] {
            assert_eq!(base_of(&format!("00000000000000000042.{ending}")), at(42), "{ending}");
            assert_eq!(base_of(&format!("42.{ending}")), None, "{ending}");
        }
        for name in ["oncelog.watermark", "00000000000000000042.log.deleted", "seal", ".seal", ""] {
            assert_eq!(base_of(name), None, "{name}");
        }
    }
}
