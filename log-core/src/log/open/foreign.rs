//! A log that another program wrote, by what that says of it: the watermark keeps it until the log is
//! found whole (store/foreign.rs).
//!
//! ```text
//!   log start   as the watermark says, or the first segment
//!   durable     up to Kafka's recovery point, an offset: where it is in the files is found by walking
//! ```

use super::Request;
use crate::ids::{LeaderEpoch, Offset, Position};
use crate::int::{u32_saturated, usize_from};
use crate::segment::recover::Candidate;
use crate::segment::walk::{Stop, Walk};
use crate::segment::watermark::{Void, Watermark};

/// Where the log starts; not past its end, which is not known yet.
pub(super) fn log_start(said: Option<&Watermark>, candidates: &[Candidate]) -> Offset {
    let first = candidates.first().map_or(Offset::ZERO, |first| first.base);
    said.map_or(first, |said| said.log_start.max(first))
}

/// The recovery point that was `said`, as a watermark that names its place. `None` if there is none,
/// or if the log is whole and ends before it: Kafka then takes the log's end, too.
pub(super) fn recovery_point(
    request: &Request<'_>,
    said: Option<&Watermark>,
    candidates: &[Candidate],
) -> Option<Watermark> {
    let said = said.filter(|said| said.durable > Offset::ZERO)?;
    let durable = said.durable;
    let below = candidates.partition_point(|candidate| candidate.base <= durable);
    let candidate = candidates.get(below.checked_sub(1)?)?;
    let mark = |position: u64| Watermark {
        topic_id: said.topic_id,
        log_start: Offset::ZERO,
        durable: Offset::ZERO,
        segment: candidate.base,
        position: Position::new(u32_saturated(usize_from(position))),
        last_crc: 0,
        leader_epoch: LeaderEpoch::ZERO,
        void: Void::Nothing,
        gaps_below: Offset::MAX,
        unflushed_bytes_max: request.shared.settings.unflushed_bytes_max,
    };
    let (from, limit) = (Position::ZERO, candidate.bytes);
    let mut walk =
        Walk::new(&*candidate.file, from, limit, Some(candidate.base)).gaps_below(Offset::MAX);
    let mut next = candidate.base;
    loop {
        let at = walk.position();
        match walk.next() {
            Ok((_, batch)) if batch.base_offset() >= durable => return Some(mark(at)),
            Ok((_, batch)) => next = batch.next_offset().unwrap_or(Offset::MAX),
            Err(Stop::End) => return Some(mark(at)),
            Err(_) if next >= durable => return Some(mark(at)),
            // A bad place below it: what stands behind was flushed, as far as can be told.
            Err(Stop::Bad(_) | Stop::Unreadable(_)) => return Some(mark(limit)),
        }
    }
}
