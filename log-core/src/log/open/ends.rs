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

use super::believe::forget;
use super::{OpenError, Request};
use crate::disk::Open;
use crate::error::{Fault, FaultKind};
use crate::format::{FileKind, segment_file_name};
use crate::ids::Offset;
use crate::segment::files::{remove_file, segment_files};
use crate::segment::recover::{Candidate, Known};
use crate::segment::seal::seal_file_name;
use crate::segment::watermark::Watermark;

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
    if mark.cut {
        forget(&*request.shared.directory, &request.dir)?;
        truncate(request, mark, candidates).map_err(|error| {
            let what = "a truncation that was begun cannot be finished";
            OpenError::Io(Fault::io(FaultKind::Directory, &request.dir, what, error))
        })?;
    }
    let dead = candidates.iter().skip(1).take_while(|next| next.base <= mark.log_start).count();
    if dead > 0 {
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
        // Snapshots stand at other places, too; those past the end go with the strays.
        let snapshot = path.extension().is_some_and(|ending| {
            ending == FileKind::Snapshot.extension() || ending == "producers"
        });
        if base > mark.segment && !snapshot {
            remove_file(directory, &path)?;
        }
    }
    directory.sync_dir(dir)?;
    candidates.retain(|candidate| candidate.base <= mark.segment);
    let end = u64::from(mark.position.get());
    match candidates.last_mut().filter(|last| last.base == mark.segment) {
        Some(last) if last.bytes > end => {
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
