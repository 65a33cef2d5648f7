//! Making what a scan found durable before anyone sees it.
//!
//! ```text
//!   1 leftovers unlinked, names flushed                     (only without damage)
//!   2 each segment cut to its last batch                      (only without damage)
//!   3 every byte above the watermark written anew, flushed    (S3)
//!   4 indexes and seals rebuilt beside and renamed
//! ```
//!
//! Step 3 looks idle and is not: after a failed flush the kernel may hold clean pages that never
//! reached the disk (fsync(2) on Linux reports the error once), so bytes that can be read now may
//! be gone after the next cut. Writing them again is the only way to know.

use std::path::Path;

use super::{Scan, Scanned, is_full};
use crate::disk::Directory;
use crate::disk::aligned::BLOCK_BYTES;
use crate::error::{Fault, FaultKind};
use crate::ids::{Offset, Position};
use crate::int::{u32_saturated, u64_from, usize_from};
use crate::mutant::{self, Mutant};
use crate::segment::files::remove_file;
use crate::segment::replace::{read_small, replace_all, write_full};
use crate::segment::seal::{Identity, Seal, seal_file_name};
use crate::segment::walk::read_full;
use crate::segment::watermark::Watermark;

/// Bytes copied at once when the tail is written anew.
const COPY_BYTES: u64 = 256 * 1024;

/// What the repair did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repaired {
    pub(crate) rewritten_bytes: u64,
    pub(crate) indexes_rebuilt: u32,
    /// Index files that could not be written, and why.
    pub(crate) warnings: Vec<String>,
}

/// Makes `scan` durable in `dir`.
///
/// # Durability
///
/// Everything up to the end of the log outlives power loss once this returns `Ok`. Cut anywhere
/// before, the next scan finds the same log or a shorter one that nobody has seen.
pub(crate) fn repair(
    directory: &dyn Directory,
    dir: &Path,
    scan: &Scan,
    watermark: Option<&Watermark>,
    identity: Identity,
    has_producers: bool,
) -> Result<Repaired, Fault> {
    let failed =
        |what: &'static str| move |error| Fault::io(FaultKind::Directory, dir, what, error);
    // Beside damage every file stays: what is a leftover may look otherwise to who repairs it.
    let leftovers = if scan.damage.is_empty() { scan.orphans.as_slice() } else { &[] };
    for orphan in leftovers {
        directory.unlink(orphan).map_err(failed("a leftover segment cannot be removed"))?;
    }
    directory.sync_dir(dir).map_err(failed("the names cannot be made durable"))?;
    let mut repaired = Repaired::default();
    for (index, scanned) in scan.segments.iter().enumerate() {
        let sealed = index + 1 < scan.segments.len();
        if sealed {
            scanned
                .segment
                .finish(Position::new(u32::try_from(scanned.end).unwrap_or(u32::MAX - 1)));
        }
        repaired.rewritten_bytes += settle(scanned, scan.damage.is_empty(), watermark)?;
        if !sealed {
            // It may end here because a recovery cut it that was then cut short itself: unflushed,
            // the cut is taken back by the next power loss, and what stood behind it comes back to
            // stand behind new batches.
            let path = scanned.segment.path();
            let what = "the end of the log cannot be made durable";
            let failed = |error| Fault::io(FaultKind::Sync, path, what, error);
            scanned.segment.file().sync().map_err(failed)?;
        } else if scanned.segment.index().read().still_unread().is_none() {
            match rebuild_indexes(directory, dir, scanned, identity, has_producers) {
                Ok(rebuilt) => repaired.indexes_rebuilt += rebuilt,
                // Caches: a full disk must not keep the log from being opened.
                Err(Rebuild::NoSpace(fault)) => repaired.warnings.push(fault.to_string()),
                Err(Rebuild::Failed(fault)) => return Err(fault),
            }
        }
    }
    Ok(repaired)
}

/// Cuts one segment to its last batch and writes anew what is not known durable.
fn settle(scanned: &Scanned, cut: bool, watermark: Option<&Watermark>) -> Result<u64, Fault> {
    let path = scanned.segment.path();
    let file = &**scanned.segment.file();
    let from = durable_bytes(scanned.segment.base(), watermark).min(scanned.end);
    let trim = cut && scanned.file_bytes > scanned.end && !mutant::on(Mutant::KeepTornTail);
    if !trim && from == scanned.end {
        return Ok(0);
    }
    let failed = |what| move |error| Fault::io(FaultKind::Write, path, what, error);
    if trim {
        file.set_len(scanned.end).map_err(failed("the torn tail cannot be cut off"))?;
    }
    let mut at = from - from % u64_from(BLOCK_BYTES);
    let start = at;
    let mut buffer = vec![0; usize_from(COPY_BYTES.min(scanned.end - at))];
    while at < scanned.end && !mutant::on(Mutant::SkipTailRewrite) {
        let len = usize_from((scanned.end - at).min(COPY_BYTES));
        let chunk = buffer.get_mut(..len).unwrap_or_default();
        let read = read_full(file, at, chunk)
            .map_err(|error| Fault::io(FaultKind::Read, path, "the tail cannot be read", error))?;
        if read == 0 {
            break;
        }
        let chunk = chunk.get(..read).unwrap_or_default();
        write_full(file, at, chunk).map_err(failed("the tail cannot be written anew"))?;
        at += u64_from(read);
    }
    file.sync().map_err(|error| {
        Fault::io(FaultKind::Sync, path, "the recovered tail cannot be made durable", error)
    })?;
    Ok(at - start)
}

/// Bytes of segment `base` that the watermark vouches for.
fn durable_bytes(base: Offset, watermark: Option<&Watermark>) -> u64 {
    match watermark {
        Some(mark) if base < mark.segment => u64::MAX,
        Some(mark) if base == mark.segment => u64::from(mark.position.get()),
        _ => 0,
    }
}

/// Why the files beside a segment were not written.
enum Rebuild {
    NoSpace(Fault),
    Failed(Fault),
}

/// Puts the scanned indexes and their seal in place of files that say something else; returns how
/// many did.
fn rebuild_indexes(
    directory: &dyn Directory,
    dir: &Path,
    scanned: &Scanned,
    identity: Identity,
    has_producers: bool,
) -> Result<u32, Rebuild> {
    let base = scanned.segment.base();
    let (seal, indexes) = {
        let mut indexes = scanned.segment.index().write();
        indexes.finish();
        let bytes = indexes.to_bytes();
        let (index, times, txns) = bytes.sums();
        let seal = scanned.sum.map(|log| Seal {
            base,
            next: scanned.next,
            last_crc: scanned.last_crc,
            first_timestamp: indexes.first_timestamp(),
            largest: indexes.times().max(),
            log,
            index,
            times,
            txns,
            has_producers,
        });
        (seal, bytes)
    };
    let seal = seal.map(|seal| seal.to_text(identity)).unwrap_or_default();
    let mut files: Vec<(String, &[u8])> = indexes.files(base).collect();
    files.push((seal_file_name(base), seal.as_bytes()));
    // A file that cannot be read is as good as none.
    let differs = |name: &str, bytes: &[u8]| {
        read_small(directory, &dir.join(name)).ok().flatten().is_none_or(|found| found != bytes)
    };
    let stale: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .filter(|(name, bytes)| !(name.ends_with("seal") && bytes.is_empty()))
        .filter(|(name, bytes)| differs(name, bytes))
        .collect();
    let failed = |what, error| Fault::io(FaultKind::Write, scanned.segment.path(), what, error);
    indexes.forget_absent(directory, dir, base).map_err(|error| {
        Rebuild::Failed(failed("a stale transaction index cannot be removed", error))
    })?;
    if seal.is_empty() {
        // It cannot be vouched for, and what an older seal says must not be.
        remove_file(directory, &dir.join(seal_file_name(base)))
            .map_err(|error| Rebuild::Failed(failed("its seal cannot be removed", error)))?;
    }
    if stale.is_empty() {
        return Ok(0);
    }
    let what = "its indexes cannot be rebuilt";
    replace_all(directory, dir, &stale).map_err(|error| {
        let why = if is_full(&error) { Rebuild::NoSpace } else { Rebuild::Failed };
        why(failed(what, error))
    })?;
    let indexes = stale.iter().filter(|(name, _)| name.ends_with("index")).count();
    Ok(u32_saturated(indexes))
}
