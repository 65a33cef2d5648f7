//! Step 4: the clean marker, believed only as far as the files agree with it (D12).
//!
//! ```text
//!   marker's line: segments and lengths · log end · checksum of the last batch
//!     all as found ─▶ Scan, without a scan         anything else ─▶ None, and all of it is scanned
//! ```

use std::sync::Arc;

use super::Request;
use crate::ids::{Offset, Position};
use crate::log::clean::CleanPartition;
use crate::model::flush::Mark;
use crate::mutant::{self, Mutant};
use crate::segment::recover::{Candidate, Scan, Scanned};
use crate::segment::seal::{FileSum, Identity, Seal};
use crate::segment::walk::Walk;
use crate::segment::{Indexes, Segment};

/// Step 4. The files as the clean marker describes them, or `None` if they are not so (D12).
pub(super) fn believe(
    request: &Request<'_>,
    candidates: &[Candidate],
    clean: &CleanPartition,
) -> Option<Scan> {
    let found: Vec<(Offset, u64)> =
        candidates.iter().map(|candidate| (candidate.base, candidate.bytes)).collect();
    let trusting = mutant::on(Mutant::TrustCleanMarker);
    if found != clean.segments && !trusting {
        return None;
    }
    let identity = Identity { topic_id: clean.topic_id, partition: request.name.partition() };
    let mut segments = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        let active = index + 1 == candidates.len();
        let seal = if active {
            clean.active
        } else {
            let directory = &*request.shared.directory;
            Some(Seal::read(directory, &candidate.path, identity, candidate.base)?)
        };
        segments.push(sealed(request, candidate, seal)?);
    }
    let last = segments.last()?;
    let end = Position::new(u32::try_from(last.end).ok()?);
    if !trusting {
        check_last_batch(last, clean)?;
    }
    for scanned in segments.iter().rev().skip(1) {
        scanned.segment.finish(Position::new(u32::try_from(scanned.end).ok()?));
    }
    let end =
        Mark { offset: clean.log_end, position: end, batch_end: end, last_crc: clean.last_crc };
    Some(Scan { segments, end, damage: Vec::new(), bytes_cut: 0, orphans: Vec::new() })
}

/// A segment with the indexes its files hold, as far as `seal` vouches for all of them. Without a
/// seal it has to be empty.
fn sealed(request: &Request<'_>, candidate: &Candidate, seal: Option<Seal>) -> Option<Scanned> {
    let directory = &*request.shared.directory;
    let indexes = match seal {
        Some(seal) if mutant::on(Mutant::TrustCleanMarker) || seal.log.bytes == candidate.bytes => {
            Indexes::load(directory, &candidate.path, &seal)?
        }
        None if candidate.bytes == 0 => Indexes::new(candidate.base),
        _ => return None,
    };
    let segment = Segment::active(
        candidate.base,
        candidate.path.clone(),
        Arc::clone(&candidate.file),
        indexes,
    );
    Some(Scanned {
        segment: Arc::new(segment),
        end: candidate.bytes,
        file_bytes: candidate.bytes,
        next: seal.map_or(candidate.base, |seal| seal.next),
        last_crc: seal.map_or(0, |seal| seal.last_crc),
        sum: Some(seal.map_or_else(FileSum::default, |seal| seal.log)),
    })
}

/// The log must end with the batch the marker remembers.
fn check_last_batch(last: &Scanned, clean: &CleanPartition) -> Option<()> {
    let base = last.segment.base();
    if last.end == 0 {
        return (clean.log_end == base).then_some(());
    }
    let hint = last.segment.index().read().lookup(clean.log_end.checked_add(-1)?);
    let mut walk = Walk::new(&**last.segment.file(), hint.position, last.end, None);
    let mut found = None;
    while let Ok((_, batch)) = walk.next() {
        found = Some((batch.next_offset()?, batch.crc()));
    }
    let whole = walk.position() == last.end;
    (whole && found == Some((clean.log_end, clean.last_crc))).then_some(())
}
