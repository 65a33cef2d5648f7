//! Group commit of one segment: what was submitted, what is written, what is durable.
//!
//! ```text
//!   position  0 ······ durable ────── written ────── submitted ······ accepted (in the tail)
//!                         │              │               └ writes in flight, done in any order
//!                         │              └ every write up to here completed
//!                         └ a sync submitted after those completions succeeded
//! ```
//!
//! Invariants:
//! 1. `durable ≤ written ≤ submitted`.
//! 2. A sync covers `written` as of its submission, never more ("order by completion").
//! 3. At most one sync and, over any block, at most one write is in flight.
//! 4. A write that is its own flush moves `durable` only if nothing before it was unflushed (S2).

use std::collections::VecDeque;

use crate::disk::aligned::BLOCK_BYTES;
use crate::ids::{Offset, Position};
use crate::int::usize_from_u32;
use crate::mutant::{self, Mutant};

/// How far something has come in a segment: in bytes, and in whole batches.
///
/// ```text
///   ├ batch ┼ batch ┼ bat┊          position   ┊
///                   ^batch_end      offset     the one after the last whole batch
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark {
    /// Every batch below this offset ends at or before `batch_end`.
    pub(crate) offset: Offset,
    /// Bytes; a batch may span two writes, so this may lie inside one.
    pub(crate) position: Position,
    /// Where the last whole batch ends.
    pub(crate) batch_end: Position,
    /// The stored checksum of the last batch below `offset`; 0 where there is none.
    pub(crate) last_crc: u32,
}

/// Names one submission of this segment.
pub(crate) type Ordinal = u32;

#[derive(Debug)]
struct InFlight {
    ordinal: Ordinal,
    start: Mark,
    end: Mark,
    own_flush: bool,
    done: bool,
}

/// The flush state of one segment.
#[derive(Debug)]
pub(crate) struct Flush {
    submitted: Mark,
    written: Mark,
    durable: Mark,
    writes: VecDeque<InFlight>,
    sync: Option<(Ordinal, Mark)>,
}

impl Flush {
    /// A segment of which everything up to `end` is durable.
    pub(crate) const fn at(end: Mark) -> Self {
        Self { submitted: end, written: end, durable: end, writes: VecDeque::new(), sync: None }
    }

    pub(crate) const fn submitted(&self) -> Mark {
        self.submitted
    }

    pub(crate) const fn written(&self) -> Mark {
        self.written
    }

    pub(crate) const fn durable(&self) -> Mark {
        self.durable
    }

    /// Whether nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.writes.is_empty() && self.sync.is_none()
    }

    /// Whether everything submitted is durable.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_idle() && self.durable == self.submitted
    }

    /// Writes in flight.
    pub(crate) fn writes_in_flight(&self) -> usize {
        self.writes.len()
    }

    /// Whether a sync may be submitted and would make something durable.
    pub(crate) fn can_sync(&self) -> bool {
        self.sync.is_none() && self.written.position > self.durable.position
    }

    /// Bytes submitted but not known to be durable.
    pub(crate) fn unflushed_bytes(&self) -> u32 {
        self.submitted.position.get().saturating_sub(self.durable.position.get())
    }

    /// Whether the block at the submitted end is still being written: the next write would start
    /// in it, and two writes of one block have no order.
    pub(crate) fn tail_block_busy(&self) -> bool {
        if mutant::on(Mutant::TailBlockRace) {
            return false;
        }
        let whole = usize_from_u32(self.submitted.position.get()).is_multiple_of(BLOCK_BYTES);
        !whole && self.writes.iter().any(|write| !write.done && write.end == self.submitted)
    }

    /// Whether a dsync write of everything from here would be a flush of the whole prefix.
    pub(crate) fn can_own_flush(&self) -> bool {
        let nothing_before =
            self.durable == self.submitted || mutant::on(Mutant::OwnRangeCoversAll);
        nothing_before && self.sync.is_none()
    }

    /// A write up to `end` was submitted.
    pub(crate) fn submit_write(&mut self, ordinal: Ordinal, end: Mark, own_flush: bool) {
        debug_assert!(end.position >= self.submitted.position, "writes go forward");
        let start = self.submitted;
        self.writes.push_back(InFlight { ordinal, start, end, own_flush, done: false });
        self.submitted = end;
        self.check();
    }

    /// A write completed in full.
    pub(crate) fn complete_write(&mut self, ordinal: Ordinal) {
        if let Some(write) = self.writes.iter_mut().find(|write| write.ordinal == ordinal) {
            write.done = true;
        }
        while self.writes.front().is_some_and(|write| write.done) {
            if let Some(write) = self.writes.pop_front() {
                self.written = write.end;
                let whole_prefix =
                    self.durable == write.start || mutant::on(Mutant::OwnRangeCoversAll);
                if write.own_flush && whole_prefix {
                    self.durable = write.end;
                }
            }
        }
        self.check();
    }

    /// A sync was submitted: it covers what is written by now.
    pub(crate) fn submit_sync(&mut self, ordinal: Ordinal) {
        let covers =
            if mutant::on(Mutant::SyncCoversSubmitted) { self.submitted } else { self.written };
        self.sync = Some((ordinal, covers));
        if mutant::on(Mutant::AckBeforeSync) {
            self.durable = covers;
        }
    }

    /// A sync succeeded.
    pub(crate) fn complete_sync(&mut self, ordinal: Ordinal) {
        if let Some((_, covers)) = self.sync.take_if(|(submitted, _)| *submitted == ordinal)
            && covers.position > self.durable.position
        {
            self.durable = covers;
            if self.written.position < covers.position {
                self.written = covers;
            }
        }
        self.check();
    }

    fn check(&self) {
        debug_assert!(self.durable.position <= self.written.position, "{self:?}");
        debug_assert!(self.written.position <= self.submitted.position, "{self:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(offset: i64, position: u32) -> Mark {
        let position = Position::new(position);
        Mark { offset: Offset::new(offset).unwrap(), position, batch_end: position, last_crc: 0 }
    }

    #[test]
    fn completions_in_any_order_publish_a_prefix() {
        let mut flush = Flush::at(mark(0, 0));
        flush.submit_write(1, mark(1, 4096), false);
        flush.submit_write(2, mark(2, 8192), false);
        flush.complete_write(2);
        assert_eq!(flush.written(), mark(0, 0));
        flush.complete_write(1);
        assert_eq!(flush.written(), mark(2, 8192));
    }

    #[test]
    fn a_sync_covers_only_what_had_completed_when_it_was_submitted() {
        let mut flush = Flush::at(mark(0, 0));
        flush.submit_write(1, mark(1, 4096), false);
        flush.complete_write(1);
        flush.submit_write(2, mark(2, 8192), false);
        flush.submit_sync(3);
        flush.complete_write(2);
        flush.complete_sync(3);
        assert_eq!((flush.durable(), flush.written()), (mark(1, 4096), mark(2, 8192)));
        assert!(flush.can_sync());
    }

    #[test]
    fn a_write_that_flushes_itself_counts_only_behind_a_flushed_prefix() {
        let mut flush = Flush::at(mark(0, 0));
        assert!(flush.can_own_flush());
        flush.submit_write(1, mark(1, 100), true);
        flush.complete_write(1);
        assert_eq!(flush.durable(), mark(1, 100));
        flush.submit_write(2, mark(2, 200), false);
        flush.complete_write(2);
        assert!(!flush.can_own_flush());
        flush.submit_write(3, mark(3, 300), true);
        flush.complete_write(3);
        assert_eq!(flush.durable(), mark(1, 100));
    }

    #[test]
    fn a_partial_block_is_busy_until_its_write_is_done() {
        let mut flush = Flush::at(mark(0, 0));
        flush.submit_write(1, mark(1, 5000), false);
        assert!(flush.tail_block_busy());
        flush.complete_write(1);
        assert!(!flush.tail_block_busy());
        flush.submit_write(2, mark(2, 8192), false);
        assert!(!flush.tail_block_busy());
    }
}
