//! What a partition's lock protects: the offsets given, the bytes waiting, and who waits.
//!
//! ```text
//!   appenders ─▶ head ◀─ readers          held for a copy, never for I/O
//!                 │ pending, queues
//!                 ▼
//!               writer                    takes chunks, publishes marks (see `writer.rs`)
//! ```
//!
//! Invariant: an offset is given only to bytes whose space is secured (S1), so nothing accepted is
//! ever taken back.

use core::fmt;
use core::task::Waker;
use std::collections::VecDeque;
use std::sync::Arc;

use super::pending::Pending;
use super::ticket::{Answer, Queue};
use crate::clock::Tick;
use crate::error::{Fault, NotAppended};
use crate::ids::{LeaderEpoch, Offset, Position, TimestampMs};
use crate::model::epochs::LeaderEpochs;
use crate::model::flush::Mark;
use crate::model::frontiers::Frontiers;
use crate::model::producers::{Frozen, Producers};
use crate::model::retention::Now;
use crate::model::verification::Verifications;
use crate::segment::Segment;
use crate::segment::recover::Damage;

/// What a partition can do.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum LogState {
    /// Everything.
    #[default]
    Online,
    /// No space: reads go on, appends are refused until space returns.
    Full,
    /// Damage was met while reading: reads go on around it, and so do appends.
    Damaged(Fault),
    /// Found damaged below its durable end when it was opened: reads go on around it, appends are
    /// refused. Deleting or truncating what is damaged ends it, at the next opening.
    ReadOnly(Fault),
    /// A fault: what is durable can be read; reopen the partition to go on.
    Offline(Fault),
    /// The handle is from before a reopen.
    Stale,
    /// Its topic was deleted.
    Deleted,
    /// The store is closed.
    Closed,
}

impl fmt::Display for LogState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online => f.write_str("online"),
            Self::Full => f.write_str("full"),
            Self::Damaged(fault) => write!(f, "damaged ({fault})"),
            Self::ReadOnly(fault) => write!(f, "read-only because it is damaged ({fault})"),
            Self::Offline(fault) => write!(f, "offline ({fault})"),
            Self::Stale => f.write_str("replaced by a reopened one"),
            Self::Deleted => f.write_str("deleted"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

/// A mark and the segment its position counts in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub(crate) segment: Offset,
    pub(crate) mark: Mark,
}

/// The protected half of a partition.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) state: LogState,
    pub(crate) frontiers: Frontiers,
    pub(crate) segments: Arc<[Arc<Segment>]>,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) pending: Pending,
    /// Where the next batch goes in the active segment.
    pub(crate) end: Position,
    /// Bytes of the active segment's file that are secured.
    pub(crate) secured: u64,
    pub(crate) first_timestamp: Option<TimestampMs>,
    pub(crate) created: TimestampMs,
    pub(crate) on_written: Queue,
    pub(crate) on_synced: Queue,
    pub(crate) written: Reach,
    pub(crate) durable: Reach,
    /// Since when something accepted is not durable.
    pub(crate) oldest_unflushed: Option<Tick>,
    /// Somebody makes the next segment: the offsets stand still until it is there.
    pub(crate) rolling: bool,
    /// Opened after a clean close, and nothing appended since: see `partition/wake.rs`.
    pub(crate) asleep: bool,
    /// When space was last asked for in vain.
    pub(crate) full_since: Tick,
    pub(crate) wakers: Vec<Waker>,
    pub(crate) damage: Vec<Damage>,
    pub(crate) producers: Producers,
    /// Who may begin a transaction.
    pub(crate) verifications: Verifications,
    /// The producers' state as of each roll whose segment is not sealed yet.
    pub(crate) frozen: VecDeque<(Offset, Frozen)>,
    /// What retention takes for the present.
    pub(crate) now: Now,
}

impl Head {
    /// The segment that takes appends. There is always one: a log without a segment is not opened.
    pub(crate) fn active(&self) -> Option<&Arc<Segment>> {
        self.segments.last()
    }

    /// The state as users see it: what was met while reading counts, too.
    pub(crate) fn shown(&self) -> LogState {
        match (&self.state, self.damage.first()) {
            (LogState::Online, Some(damage)) => LogState::Damaged(damage.fault()),
            (state, _) => state.clone(),
        }
    }

    /// Refuses an append that the state forbids. A full partition is let through: whether there is
    /// space again shows when it is asked for.
    pub(crate) fn admit(&self) -> Result<(), NotAppended> {
        match &self.state {
            LogState::Online | LogState::Damaged(_) | LogState::Full => Ok(()),
            LogState::ReadOnly(fault) => Err(NotAppended::Damaged(fault.clone())),
            LogState::Offline(fault) => Err(NotAppended::Offline(fault.clone())),
            LogState::Stale => Err(NotAppended::Stale),
            LogState::Deleted => Err(NotAppended::Deleted),
            LogState::Closed => Err(NotAppended::Closed),
        }
    }

    /// Takes new marks from the writer and hands out the answers they give.
    pub(crate) fn publish(
        &mut self,
        written: Reach,
        durable: Reach,
        now: Tick,
        answers: &mut Vec<Answer>,
    ) -> bool {
        self.written = written;
        self.durable = durable;
        let moved = self.frontiers.advance(written.mark.offset, durable.mark.offset);
        self.producers.on_high_watermark(self.frontiers.durable());
        self.on_written.reach(self.frontiers.written(), answers);
        self.on_synced.reach(self.frontiers.durable(), answers);
        if self.frontiers.durable() == self.frontiers.log_end() {
            self.oldest_unflushed = None;
            self.pending.rest();
        } else if moved {
            self.oldest_unflushed = Some(now);
        }
        moved
    }

    /// Takes the partition offline: everyone who waits hears why, and nothing more is written.
    pub(crate) fn fail(&mut self, state: LogState, fault: &Fault, answers: &mut Vec<Answer>) {
        self.state = state;
        self.pending.clear();
        self.frozen.clear();
        self.on_written.fail(fault, answers);
        self.on_synced.fail(fault, answers);
        self.oldest_unflushed = None;
    }
}
