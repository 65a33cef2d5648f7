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
use crate::segment::recover::{Candidate, Scan, Scanned, index_path};
use crate::segment::replace::read_small;
use crate::segment::walk::Walk;
use crate::segment::{OffsetIndex, Segment};

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
    let mut segments = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        segments.push(indexed(request, candidate)?);
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

/// A segment with the index its file holds.
fn indexed(request: &Request<'_>, candidate: &Candidate) -> Option<Scanned> {
    let path = index_path(&candidate.path);
    let bytes = read_small(&*request.shared.directory, &path).ok()??;
    let end = Position::new(u32::try_from(candidate.bytes).ok()?);
    let index = OffsetIndex::parse(candidate.base, &bytes, end)?;
    let mut walk =
        Walk::new(&*candidate.file, Position::ZERO, candidate.bytes, Some(candidate.base));
    let first_timestamp = match walk.next() {
        Ok((_, first)) => Some(first.max_timestamp()),
        Err(_) if candidate.bytes == 0 => None,
        Err(_) => return None,
    };
    let segment =
        Segment::active(candidate.base, candidate.path.clone(), Arc::clone(&candidate.file), index);
    Some(Scanned {
        segment: Arc::new(segment),
        end: candidate.bytes,
        file_bytes: candidate.bytes,
        first_timestamp,
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
