//! A log that another program wrote, by what that says of it.
//!
//! ```text
//!   log start        its checkpoint, or the first segment
//!   recovery point   an offset; where that is in the files is found by walking there
//! ```

use super::Request;
use crate::ids::{LeaderEpoch, Offset, Position, TopicId};
use crate::int::{u32_saturated, usize_from};
use crate::segment::recover::Candidate;
use crate::segment::walk::{Stop, Walk};
use crate::segment::watermark::{Void, Watermark};

/// What Kafka's checkpoint files say of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KafkaSays {
    /// Everything below was flushed.
    pub(crate) recovery_point: Option<Offset>,
    /// Where the log starts, if not with its first segment.
    pub(crate) log_start: Option<Offset>,
}

/// Where the log starts; not past its end, which is not known yet.
pub(super) fn log_start(
    request: &Request<'_>,
    voided: Option<&Watermark>,
    candidates: &[Candidate],
) -> Offset {
    let first = candidates.first().map_or(Offset::ZERO, |first| first.base);
    let kafkas = request.kafka.and_then(|kafka| kafka.log_start);
    let said = kafkas.or(voided.map(|mark| mark.log_start));
    said.unwrap_or(first).max(first)
}

/// The recovery point as a watermark. `None` if there is none, or if the log is whole and ends before
/// it: Kafka then takes the log's end, too.
pub(super) fn recovery_point(
    request: &Request<'_>,
    topic_id: TopicId,
    candidates: &[Candidate],
) -> Option<Watermark> {
    let durable = request.kafka?.recovery_point?;
    let below = candidates.partition_point(|candidate| candidate.base <= durable);
    let candidate = candidates.get(below.checked_sub(1)?)?;
    let mark = |position: u64| Watermark {
        topic_id,
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
