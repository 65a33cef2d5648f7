//! Which offset a time stands for: the first record that is not older (Kafka `ListOffsets`).
//!
//! ```text
//!   1 segment      the first whose largest timestamp reaches the target
//!   2 time index   the greatest entry at or below the target: every record before it is older
//!   3 batches      from there, the first whose largest timestamp reaches it     checked like a fetch
//!   4 records      the first that reaches it
//! ```
//!
//! Timestamps are what producers say and need not rise; the answer is the first in log order all
//! the same. An index only says where to start: a walk that does not come by the batch it names is
//! done again from the segment's start (R5).

use core::ops::ControlFlow;

use super::fetch::{FetchError, IsolationLevel, View, limit_of};
use super::partition::Partition;
use crate::format::{BatchView, Records};
use crate::ids::{LeaderEpoch, Offset, Position, TimestampMs};
use crate::segment::Segment;
use crate::segment::recover::Damage;
use crate::segment::walk::Stop;

/// Where a time stands in the log (Kafka's `OffsetAndTimestamp`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp.
    pub timestamp: TimestampMs,
    /// The leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

/// Where a walk starts, and what proves that it was led to the right place.
#[derive(Clone, Copy, Debug)]
struct Start {
    position: Position,
    /// Some batch on the way ends with this offset; `None` at the segment's start.
    by: Option<Offset>,
}

impl Start {
    const SEGMENT: Self = Self { position: Position::ZERO, by: None };
}

/// Why a walk was of no use.
enum Strayed {
    /// It did not come by the batch that the index names.
    Index,
    Failed(FetchError),
}

impl Partition {
    /// The first readable record at or after `target`.
    pub(crate) fn offset_for_time(
        &self,
        target: TimestampMs,
        isolation: IsolationLevel,
    ) -> Result<Option<OffsetAndTimestamp>, FetchError> {
        self.undisturbed(|| self.find_time(target, isolation))
    }

    fn find_time(
        &self,
        target: TimestampMs,
        isolation: IsolationLevel,
    ) -> Result<Option<OffsetAndTimestamp>, FetchError> {
        let view = self.view()?;
        let bound = view.bound(isolation);
        let bytes_max = self.shared.settings.decompressed_bytes_max;
        for (index, segment) in view.segments.iter().enumerate() {
            let next = view.segments.get(index + 1).map(|next| next.base());
            if next.is_some_and(|next| next <= view.log_start) {
                continue;
            }
            if segment.index().read().times().max().timestamp < target {
                continue;
            }
            self.read_indexes(&view.segments, index);
            let from = {
                let indexes = segment.index().read();
                let entry =
                    indexes.times().lookup(target).map_or(segment.base(), |entry| entry.offset);
                let hint = indexes.lookup(entry.max(view.log_start));
                Start { position: hint.position, by: hint.offset }
            };
            let mut found = None;
            self.walk(&view, index, from, |batch| {
                if batch.max_timestamp() < target {
                    return Ok(ControlFlow::Continue(()));
                }
                let raw = batch.decompress(bytes_max).map_err(|error| error.to_string())?;
                for record in Records::decompressed(&batch, &raw) {
                    let record = record.map_err(|error| error.to_string())?;
                    if record.timestamp >= target && record.offset >= view.log_start {
                        let leader_epoch = batch.partition_leader_epoch();
                        let (offset, timestamp) = (record.offset, record.timestamp);
                        found = Some(OffsetAndTimestamp { offset, timestamp, leader_epoch });
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if found.is_some() {
                return Ok(found.filter(|found| found.offset < bound));
            }
        }
        Ok(None)
    }

    /// The largest timestamp that can be read, and the first record that has it.
    pub(crate) fn max_timestamp(&self) -> Result<Option<OffsetAndTimestamp>, FetchError> {
        self.undisturbed(|| self.find_max())
    }

    fn find_max(&self) -> Result<Option<OffsetAndTimestamp>, FetchError> {
        let view = self.view()?;
        let bytes_max = self.shared.settings.decompressed_bytes_max;
        let mut largest = TimestampMs::NONE;
        for (index, segment) in view.segments.iter().enumerate() {
            let limit = limit_of(segment, &view.reach);
            self.read_indexes(&view.segments, index);
            let indexes = segment.index().read();
            let whole = segment.end().is_some_and(|end| u64::from(end.get()) == limit);
            if whole && segment.base() >= view.log_start {
                largest = largest.max(indexes.times().max().timestamp);
                continue;
            }
            // Of the active segment only a part can be read: what its index says may be beyond. Of
            // the first one, only what was not deleted.
            let entry = indexes.times().before(view.reach.mark.offset);
            let entry = entry.map(|entry| entry.offset).filter(|last| *last > view.log_start);
            let hint = indexes.lookup(entry.unwrap_or(segment.base()).max(view.log_start));
            drop(indexes);
            let from = Start { position: hint.position, by: hint.offset };
            self.walk(&view, index, from, |batch| {
                largest = largest.max(batch_max(&batch, view.log_start, bytes_max)?);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if largest < TimestampMs::new(0) {
            Ok(None)
        } else {
            self.find_time(largest, IsolationLevel::ReadUncommitted)
        }
    }

    /// Shows the readable batches of a segment to `visit`, from `from` on or, if that leads
    /// elsewhere, from the start.
    fn walk(
        &self,
        view: &View,
        index: usize,
        from: Start,
        mut visit: impl FnMut(BatchView<'_>) -> Result<ControlFlow<()>, String>,
    ) -> Result<(), FetchError> {
        let Some(segment) = view.segments.get(index) else { return Ok(()) };
        match self.walk_from(view, index, segment, from, &mut visit) {
            Err(Strayed::Index) => {}
            Err(Strayed::Failed(error)) => return Err(error),
            Ok(()) => return Ok(()),
        }
        match self.walk_from(view, index, segment, Start::SEGMENT, &mut visit) {
            Ok(()) | Err(Strayed::Index) => Ok(()),
            Err(Strayed::Failed(error)) => Err(error),
        }
    }

    fn walk_from(
        &self,
        view: &View,
        index: usize,
        segment: &Segment,
        from: Start,
        visit: &mut impl FnMut(BatchView<'_>) -> Result<ControlFlow<()>, String>,
    ) -> Result<(), Strayed> {
        let limit = limit_of(segment, &view.reach);
        let start = from.by.is_none().then(|| segment.base());
        let mut walk = segment.walk(from.position, limit, start);
        let mut proof = from.by;
        let mut expected = segment.base();
        let mut done = false;
        let mut walked = 0_u32;
        loop {
            // Whether nothing but the index led to the last batch: no checksum covers its base offset.
            let led = walked == 1 && from.by.is_some();
            if done && proof.is_none() {
                return match walk.peek() {
                    Err(Stop::Bad(_)) if led => Err(Strayed::Index),
                    _ => Ok(()),
                };
            }
            let at = walk.position();
            let reason = match walk.next() {
                Ok((_, batch)) => {
                    walked += 1;
                    proof = proof.filter(|last| *last != batch.last_offset());
                    // The walk has gone by the place where that batch should have been.
                    if proof.is_some_and(|last| batch.last_offset() > last) {
                        return Err(Strayed::Index);
                    }
                    match if done { Ok(ControlFlow::Break(())) } else { visit(batch) } {
                        Ok(flow) => {
                            done = flow.is_break();
                            expected = batch.next_offset().unwrap_or(Offset::MAX);
                            continue;
                        }
                        Err(reason) => {
                            expected = batch.base_offset();
                            reason
                        }
                    }
                }
                Err(_) if from.by.is_some() && proof.is_some() => return Err(Strayed::Index),
                Err(Stop::Bad(_)) if led => return Err(Strayed::Index),
                Err(Stop::End) if at >= limit => return Ok(()),
                Err(Stop::End) => "the file ends too early".to_owned(),
                Err(Stop::Unreadable(error)) => format!("the device cannot read it: {error}"),
                Err(Stop::Bad(place)) => place.to_string(),
            };
            let known =
                |damage: &&Damage| damage.path == segment.path() && damage.positions.contains(&at);
            if let Some(damage) = view.damage.iter().find(known) {
                return Err(Strayed::Failed(self.corrupt(damage.clone())));
            }
            let later = view.segments.get(index + 1).map(|next| next.base());
            let until = later.unwrap_or(view.reach.mark.offset);
            let damage = self.discover(segment, limit, at, expected..until, reason);
            return Err(Strayed::Failed(self.corrupt(damage)));
        }
    }
}

/// The largest timestamp of a batch's records from `log_start` on.
fn batch_max(
    batch: &BatchView<'_>,
    log_start: Offset,
    bytes_max: u32,
) -> Result<TimestampMs, String> {
    if batch.base_offset() >= log_start {
        return Ok(batch.max_timestamp());
    }
    if batch.last_offset() < log_start {
        return Ok(TimestampMs::NONE);
    }
    let raw = batch.decompress(bytes_max).map_err(|error| error.to_string())?;
    let mut largest = TimestampMs::NONE;
    for record in Records::decompressed(batch, &raw) {
        let record = record.map_err(|error| error.to_string())?;
        if record.offset >= log_start {
            largest = largest.max(record.timestamp);
        }
    }
    Ok(largest)
}
