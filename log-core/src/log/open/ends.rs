//! The log's two ends, as the watermark decided them before files followed.
//!
//! ```text
//!   log start   segments that end at or below it are dead     a deletion that was cut short
//!   cut         nothing above the watermark is there          a truncation that was cut short
//! ```
//!
//! Both were durable before the first file was touched, so whatever names a power cut left or
//! brought back, this makes of them what was decided, and does so again if it is cut itself.
//!
//! A seal or a checkpoint of what is void would vouch for what is written in its place: they go,
//! durably, before any byte does.

use std::io;
use std::path::Path;

use super::believe::forget;
use super::{OpenError, Request};
use crate::disk::Open;
use crate::error::{Fault, FaultKind};
use crate::format::{FileKind, segment_file_name};
use crate::ids::{Offset, Position};
use crate::mutant::{self, Mutant};
use crate::segment::files::{remove_file, segment_files};
use crate::segment::recover::{Candidate, Known};
use crate::segment::seal::{Identity, Seal, seal_file_name};
use crate::segment::snapshots::list;
use crate::segment::walk::{Stop, Walk, follows};
use crate::segment::watermark::{Void, Watermark, WatermarkFile};

/// Carries out what `watermark` decided on `candidates`, which ascend; returns where the log
/// starts.
///
/// # Durability
///
/// A truncation is whole when this returns; of a deletion, files may come back, to be deleted again.
pub(super) fn settle_ends(
    request: &Request<'_>,
    watermark: Option<&Watermark>,
    candidates: &mut Vec<Candidate>,
    warnings: &mut Vec<String>,
) -> Result<Offset, OpenError> {
    let Some(mark) = watermark else {
        return Ok(candidates.first().map_or(Offset::ZERO, |first| first.base));
    };
    if mark.void != Void::Nothing {
        affirm(request, mark)?;
        forget(&*request.shared.directory, &request.dir)?;
        truncate(request, mark, candidates).map_err(|error| {
            let what = "a truncation that was begun cannot be finished";
            OpenError::Io(Fault::io(FaultKind::Directory, &request.dir, what, error))
        })?;
    }
    let dead = dead(request, mark, candidates)?;
    if dead > 0 {
        affirm(request, mark)?;
        candidates.drain(..dead);
        let first = candidates.first().map_or(mark.log_start, |first| first.base);
        // They come to no reader: another open may remove what this one cannot.
        if let Err(error) = bury(request, first) {
            warnings.push(format!(
                "{}: segments that were deleted cannot be removed: {error}",
                request.dir.display()
            ));
        }
    }
    Ok(mark.log_start)
}

/// How many segments have nothing to say any more: they end at or below the log's start, and what
/// they leave of their producers is written down. The last one may not be finished yet.
fn dead(
    request: &Request<'_>,
    mark: &Watermark,
    candidates: &[Candidate],
) -> Result<usize, OpenError> {
    let below = candidates.iter().skip(1).take_while(|next| next.base <= mark.log_start).count();
    // Whoever closed it wrote down all producers there were, and left those segments out.
    let closed =
        request.clean.filter(|clean| clean.topic_id == mark.topic_id).is_some_and(|clean| {
            let first = clean.segments.first().map(|segment| segment.0);
            first.is_some() && first == candidates.get(below).map(|start| start.base)
        });
    let certain = closed || mark.void == Void::All || mutant::on(Mutant::DeleteBeforeSnapshot);
    if below == 0 || certain {
        return Ok(below);
    }
    let (directory, dir) = (&*request.shared.directory, request.dir.as_path());
    let snapshots = list(directory, dir).map_err(|error| {
        let what = "the snapshots cannot be listed";
        OpenError::Io(Fault::io(FaultKind::Directory, dir, what, error))
    })?;
    let identity = Identity { topic_id: mark.topic_id, partition: request.name.partition() };
    let left = |dead: &usize| {
        let next = candidates.get(*dead).map(|next| next.base);
        let last = dead.checked_sub(1).and_then(|last| candidates.get(last));
        let seal = last.and_then(|last| Seal::read(directory, &last.path, identity, last.base));
        let ours = |path: &Path| path.extension().is_some_and(|ending| ending == "producers");
        snapshots.iter().any(|(offset, path)| Some(*offset) == next && ours(path))
            || seal.is_some_and(|seal| !seal.has_producers)
    };
    let dead = (1..=below).rev().find(left).unwrap_or(0);
    // Of names that were removed some come back without those behind them: what does not lead up to
    // the log's start was done with.
    let gap = (dead..below).rev().find(|at| !leads_on(candidates, *at, mark.gaps_below));
    Ok(gap.map_or(dead, |gap| gap + 1))
}

/// Whether the segment at index `at` of `candidates` ends where the next one begins.
fn leads_on(candidates: &[Candidate], at: usize, gaps_below: Offset) -> bool {
    let (Some(this), Some(next)) = (candidates.get(at), candidates.get(at + 1)) else {
        return false;
    };
    let walk = Walk::new(&*this.file, Position::ZERO, this.bytes, Some(this.base));
    let mut walk = walk.gaps_below(gaps_below);
    let mut end = this.base;
    loop {
        match walk.next() {
            Ok((_, batch)) => end = batch.next_offset().unwrap_or(Offset::MAX),
            Err(Stop::End) => return follows(end, next.base, gaps_below),
            Err(Stop::Bad(_) | Stop::Unreadable(_)) => return false,
        }
    }
}

/// Writes `mark` again before anything is removed for it: after a failed flush it may stand in the
/// kernel's memory alone, to be gone with the next power cut (S3).
fn affirm(request: &Request<'_>, mark: &Watermark) -> Result<(), OpenError> {
    let written = WatermarkFile::open(&request.shared.files, &request.dir)
        .and_then(|mut file| file.write(*mark));
    written.map_err(|error| {
        let what = "the watermark cannot be written again";
        OpenError::Io(Fault::io(FaultKind::Write, &request.dir, what, error))
    })
}

/// Removes all files of segments below `first`, whose log begins above them.
fn bury(request: &Request<'_>, first: Offset) -> io::Result<()> {
    let directory = &*request.shared.directory;
    for (base, path) in segment_files(directory, &request.dir)? {
        if base < first {
            remove_file(directory, &path)?;
        }
    }
    Ok(())
}

/// Makes the files end where `mark` says.
fn truncate(
    request: &Request<'_>,
    mark: &Watermark,
    candidates: &mut Vec<Candidate>,
) -> io::Result<()> {
    let (directory, dir) = (&*request.shared.directory, request.dir.as_path());
    remove_file(directory, &dir.join(seal_file_name(mark.segment)))?;
    for (base, path) in segment_files(directory, dir)? {
        // Snapshots stand at other places, too; those past the end go with the strays. One at the
        // very place where a log begins anew would bring its producers back.
        let snapshot = path.extension().is_some_and(|ending| {
            ending == FileKind::Snapshot.extension() || ending == "producers"
        });
        let anew = mark.void == Void::All
            && base == mark.segment
            && !mutant::on(Mutant::SnapshotOutlivesRestart);
        if if snapshot { anew } else { base > mark.segment } {
            remove_file(directory, &path)?;
        }
    }
    directory.sync_dir(dir)?;
    candidates.retain(|candidate| candidate.base <= mark.segment);
    let end = u64::from(mark.position.get());
    match candidates.last_mut().filter(|last| last.base == mark.segment) {
        Some(last) if last.bytes > end && !mutant::on(Mutant::KeepTruncatedTail) => {
            last.file.set_len(end)?;
            last.file.sync()?;
            last.bytes = end;
        }
        // A log that was to start anew and is empty.
        None if end == 0 => {
            let path = dir.join(segment_file_name(mark.segment, FileKind::Log));
            let file = request.shared.files.open_pooled(&path, Open::Create)?;
            directory.sync_dir(dir)?;
            let (base, known) = (mark.segment, Known::Nothing);
            candidates.push(Candidate { base, path, file, bytes: 0, known });
        }
        // Short or gone: the loss is for the scan to tell.
        Some(_) | None => {}
    }
    Ok(())
}
