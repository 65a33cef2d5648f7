//! Step 4: what of the files need not be looked at, because something vouches for it (D12, S6).
//!
//! ```text
//!   clean marker   segments and lengths, log end, last segment      all as found ─▶ no scan at all
//!   seal           a sealed segment, as long as it says             not scanned
//!   checkpoint     the start of a segment, up to a batch that is
//!                  where it should be                               not scanned up to there
//! ```
//!
//! Whatever is missing or disagrees is scanned. What was believed and is not so all the same shows
//! when it is used: a reader checks each batch, the first append the last one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::producers::{left_at, thawed};
use super::{OpenError, Request};
use crate::disk::Directory;
use crate::error::{Fault, FaultKind};
use crate::ids::{Offset, Position, TopicId};
use crate::log::clean::CleanPartition;
use crate::model::flush::Mark;
use crate::model::producers::Producers;
use crate::mutant::{self, Mutant};
use crate::segment::checkpoint::{Checkpoint, FILE_NAME, Found};
use crate::segment::files::remove_file;
use crate::segment::meter::Metered;
use crate::segment::recover::{Candidate, Known, Scan, Scanned};
use crate::segment::seal::{FileSum, Identity, Seal};
use crate::segment::{Indexes, Segment};

/// The files as the clean marker describes them, or `None` if they are not so.
pub(super) fn believe(
    request: &Request<'_>,
    candidates: &[Candidate],
    clean: &CleanPartition,
    identity: Identity,
    gaps_below: Offset,
) -> Option<Scan> {
    let found: Vec<(Offset, u64)> =
        candidates.iter().map(|candidate| (candidate.base, candidate.bytes)).collect();
    let trusting = mutant::on(Mutant::TrustCleanMarker);
    if found != clean.segments && !trusting {
        return None;
    }
    let mut segments = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        let active = index + 1 == candidates.len();
        let seal = if active {
            clean.active
        } else {
            let directory = &*request.shared.directory;
            Some(Seal::read(directory, &candidate.path, identity, candidate.base)?)
        };
        let fits = |seal: &Seal| seal.log.bytes == candidate.bytes && seal.base == candidate.base;
        if seal.is_none_or(|seal| !fits(&seal)) && candidate.bytes > 0 && !trusting {
            return None;
        }
        segments.push(unread(candidate, seal, identity, gaps_below));
    }
    let last = segments.last()?;
    let ends = last.next == clean.log_end && (last.end == 0 || last.last_crc == clean.last_crc);
    (ends || trusting).then_some(())?;
    let position = Position::new(u32::try_from(last.end).ok()?);
    let (offset, last_crc) = (clean.log_end, clean.last_crc);
    for scanned in segments.iter().rev().skip(1) {
        scanned.segment.finish(Position::new(u32::try_from(scanned.end).ok()?));
    }
    let end = Mark { offset, position, batch_end: position, last_crc };
    Some(Scan {
        segments,
        end,
        damage: Vec::new(),
        bytes_cut: 0,
        bytes_read: 0,
        gaps_below,
        orphans: Vec::new(),
    })
}

/// A segment whose indexes are read when somebody asks them.
fn unread(
    candidate: &Candidate,
    seal: Option<Seal>,
    identity: Identity,
    gaps_below: Offset,
) -> Scanned {
    let indexes = match seal {
        Some(seal) => Indexes::unread(seal, identity),
        None => Indexes::new(candidate.base),
    };
    let (path, file) = (candidate.path.clone(), Arc::clone(&candidate.file));
    let segment = Segment::active(candidate.base, path, file, indexes);
    Scanned {
        segment: Arc::new(segment.with_gaps_below(gaps_below)),
        end: candidate.bytes,
        file_bytes: candidate.bytes,
        next: seal.map_or(candidate.base, |seal| seal.next),
        last_crc: seal.map_or(0, |seal| seal.last_crc),
        sum: Some(seal.map_or_else(FileSum::default, |seal| seal.log)),
        covered: candidate.bytes,
    }
}

/// What vouches for a log after an unclean stop.
#[derive(Debug, Default)]
pub(super) struct Consulted {
    /// How far the checkpoint claims to reach, if there is one. One that is void may have claimed
    /// anything.
    pub(super) claimed: Option<Offset>,
    /// The last place that is known, and the producers as of there.
    pub(super) from: Option<(Offset, Producers)>,
}

/// Notes in `candidates` what seals and the checkpoint vouch for; `read` counts what was read of
/// segments.
pub(super) fn consult(
    request: &Request<'_>,
    candidates: &mut [Candidate],
    (identity, gaps_below): (Identity, Offset),
    warnings: &mut Vec<String>,
    read: &AtomicU64,
) -> Result<Consulted, OpenError> {
    let directory = &*request.shared.directory;
    let path = request.dir.join(FILE_NAME);
    let found = Checkpoint::read(directory, &request.dir, identity).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, &path, "the checkpoint cannot be read", error))
    })?;
    let mut consulted = Consulted::default();
    let checkpoint = match found {
        Found::Nothing => None,
        Found::Void => {
            consulted.claimed = Some(Offset::MAX);
            warnings.push(format!("{}: damaged or another partition's, and void", path.display()));
            None
        }
        Found::Checkpoint(checkpoint) => {
            consulted.claimed = Some(checkpoint.segment.next);
            Some(checkpoint)
        }
    };
    for candidate in candidates.iter_mut() {
        let seal =
            Seal::read(directory, &candidate.path, identity, candidate.base).filter(|seal| {
                let short = mutant::on(Mutant::BelieveShortSeal);
                (seal.log.bytes == candidate.bytes || short) && candidate.bytes > 0
            });
        if let Some(seal) = seal {
            candidate.known = Known::Whole(seal, Indexes::unread(seal, identity));
        } else if let Some(checkpoint) = &checkpoint
            && checkpoint.segment.base == candidate.base
        {
            let file = Metered::new(&*candidate.file, read);
            let resumed =
                checkpoint.resume(directory, &candidate.path, &file, candidate.bytes, gaps_below);
            if let Some(indexes) = resumed {
                candidate.known = Known::Start(checkpoint.segment, indexes);
            } else {
                consulted.claimed = Some(Offset::MAX);
                warnings.push(format!(
                    "{}: the log or its indexes are not as it says, so the segment is scanned",
                    path.display()
                ));
            }
        }
    }
    consulted.from = last_known(request, candidates, checkpoint.as_ref(), identity.topic_id);
    Ok(consulted)
}

/// The last known place whose producers are known, too. What is known behind it is not, then.
fn last_known(
    request: &Request<'_>,
    candidates: &mut [Candidate],
    checkpoint: Option<&Checkpoint>,
    topic_id: TopicId,
) -> Option<(Offset, Producers)> {
    // What a segment's markers aborted is told from what was open before it: behind one that is
    // scanned, whatever producers wrote is scanned, too.
    let unknown = |candidate: &&mut Candidate| matches!(candidate.known, Known::Nothing);
    let behind = candidates.iter_mut().skip_while(|candidate| !unknown(candidate));
    for candidate in behind {
        if let Known::Whole(seal, _) | Known::Start(seal, _) = &candidate.known
            && seal.has_producers
        {
            candidate.known = Known::Nothing;
        }
    }
    for candidate in candidates.iter_mut().rev() {
        let found = match &candidate.known {
            Known::Nothing => continue,
            Known::Whole(seal, _) => {
                left_at(request, topic_id, seal).map(|state| (seal.next, state))
            }
            Known::Start(start, _) => checkpoint
                .and_then(|checkpoint| thawed(request, &checkpoint.producers, start.next))
                .map(|state| (start.next, state)),
        };
        if found.is_some() {
            return found;
        }
        candidate.known = Known::Nothing;
    }
    None
}

/// Removes a checkpoint that says nothing of this log, or of one that reached further.
///
/// # Durability
///
/// Its absence is durable once the directory is flushed, which the caller does before the first
/// append.
pub(super) fn forget(directory: &dyn Directory, dir: &Path) -> Result<(), OpenError> {
    let path = dir.join(FILE_NAME);
    remove_file(directory, &path).map_err(|error| {
        let what = "a void checkpoint cannot be removed";
        OpenError::Io(Fault::io(FaultKind::Directory, &path, what, error))
    })
}
