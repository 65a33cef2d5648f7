//! Records deleted from the start of a log: by request, by age, by size.
//!
//! ```text
//!   decide     the watermark says where the log starts from now on       durable
//!   show       the head's log start                                      readers below are refused
//!   free       segments below, the oldest first, one at a time           unlinked
//! ```
//!
//! A power cut between any two steps leaves files that the next open removes: the decision is what
//! counts. Kafka renames files to `.deleted` first and unlinks them a minute later, for readers that
//! open them by name; here a file that somebody reads is held open, and can be read to its end.

use core::fmt;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::events::Event;
use super::handle::Log;
use super::head::{Head, LogState};
use super::partition::Partition;
use super::ticket::{Answer, in_callback, reentrant};
use super::writer::Writer;
use crate::error::{AppendError, Fault, FaultKind, NotAppended};
use crate::ids::{Offset, TimestampMs};
use crate::log::open::write_epochs;
use crate::model::retention::{Held, Limits, Plan, plan};
use crate::mutant::{self, Mutant};
use crate::segment::files::remove_segment;

/// Why a log cannot be cut at one of its ends.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrimError {
    /// There is no such place to cut at (`OFFSET_OUT_OF_RANGE`).
    #[error(
        "offset {asked} is outside of what can be deleted, which runs from {start} to {end}: cut within it"
    )]
    OutOfRange {
        /// The offset asked for.
        asked: Offset,
        /// The first offset that can be read.
        start: Offset,
        /// The first offset that is not durable yet.
        end: Offset,
    },
    /// The disk did not do its part; the partition is offline (`KAFKA_STORAGE_ERROR`).
    #[error("{}{}", .0, reopening(.0))]
    Io(Fault),
    /// The partition went offline after a fault; reopen it (`KAFKA_STORAGE_ERROR`).
    #[error("the partition is offline, reopen it: {0}")]
    Offline(Fault),
    /// The partition is damaged, and so keeps what it has (`KAFKA_STORAGE_ERROR`).
    #[error(
        "nothing is deleted because the partition's durable part is damaged: {0}; restore that file, \
         or copy what can be read and delete the topic"
    )]
    Damaged(Fault),
    /// The last records can go once there is room for the empty segment that follows them.
    #[error("the last records cannot be deleted yet: {reason}")]
    Full {
        /// What there is no room for.
        reason: String,
    },
    /// The handle is from before the partition was reopened (`NOT_LEADER_OR_FOLLOWER`).
    #[error("the handle is from before the partition was reopened: get it anew from the store")]
    Stale,
    /// Its topic was deleted (`UNKNOWN_TOPIC_OR_PARTITION`).
    #[error("the partition's topic was deleted, and its records with it: nothing is left to do")]
    Deleted,
    /// The store is closed.
    #[error("the store is closed: open it again to delete")]
    Closed,
}

/// A callback was refused and nothing befell the partition; everything else took it offline.
fn reopening(fault: &Fault) -> &'static str {
    if fault.kind() == FaultKind::Reentrant { "" } else { "; the partition is offline, reopen it" }
}

impl TrimError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::OutOfRange { .. } => 1,
            Self::Io(_)
            | Self::Offline(_)
            | Self::Damaged(_)
            | Self::Full { .. }
            | Self::Closed => 56,
            Self::Stale => 6,
            Self::Deleted => 3,
        }
    }
}

/// What a pass of retention did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Retained {
    /// Segments that were deleted.
    pub segments_deleted: u64,
    /// Their bytes.
    pub bytes_deleted: u64,
}

impl Log {
    /// Deletes the records below `before`, or below the high watermark if that is `None`. An offset
    /// that is deleted already changes nothing. Returns where the log starts now.
    ///
    /// # Errors
    ///
    /// [`TrimError::OutOfRange`] if `before` is above the high watermark; others as the state says.
    ///
    /// # Durability
    ///
    /// The records stay deleted when this returns `Ok`. Whole segments below are removed.
    pub fn delete_records(&self, before: Option<Offset>) -> Result<Offset, TrimError> {
        if in_callback() {
            return Err(TrimError::Io(reentrant()));
        }
        self.partition().delete_records(before)
    }

    /// Deletes the segments that are older or more than the topic's settings keep, at once instead
    /// of at the next check.
    ///
    /// # Errors
    ///
    /// [`TrimError`].
    ///
    /// # Durability
    ///
    /// As [`Log::delete_records`].
    pub fn enforce_retention(&self) -> Result<Retained, TrimError> {
        if in_callback() {
            return Err(TrimError::Io(reentrant()));
        }
        self.partition().enforce_retention()
    }
}

impl Partition {
    fn delete_records(&self, before: Option<Offset>) -> Result<Offset, TrimError> {
        let mut writer = self.still_turn();
        let to = {
            let head = self.head.lock();
            check_state(&head.state)?;
            let (start, end) = (head.frontiers.log_start(), head.frontiers.durable());
            let to = before.unwrap_or(end);
            if to > end {
                return Err(TrimError::OutOfRange { asked: to, start, end });
            }
            to.max(start)
        };
        let mut answers = Vec::new();
        let started = self
            .finish_below(&mut writer, to, &mut answers)
            .and_then(|()| self.start_at(&mut writer, to, &mut answers));
        let dropped = started.map(|()| self.drop_dead(&writer));
        self.give_back(writer, answers);
        dropped.map(|_| to)
    }

    /// One pass of retention: what is too old or too much goes.
    fn enforce_retention(&self) -> Result<Retained, TrimError> {
        let Some(decided) = self.overdue()? else { return Ok(Retained::default()) };
        if decided.all && !self.roll_empty().map_err(not_rolled)? {
            return Ok(Retained::default());
        }
        self.retain(&decided, self.still_turn())
    }

    /// The same for who may not wait: whoever has the flush turn may be who asks.
    pub(crate) fn try_retention(&self) -> Result<Retained, TrimError> {
        let Some(decided) = self.overdue()? else { return Ok(Retained::default()) };
        if decided.all && !self.roll_empty().map_err(not_rolled)? {
            return Ok(Retained::default());
        }
        match self.writer.try_lock().filter(|_| self.shared.errands.is_settled(self.slot)) {
            Some(writer) => self.retain(&decided, writer),
            None => Ok(Retained::default()),
        }
    }

    /// The flush turn, at a time when no errand writes files of this partition.
    pub(super) fn still_turn(&self) -> MutexGuard<'_, Writer> {
        loop {
            self.shared.errands.settle(self.slot);
            let writer = self.writer.lock();
            // Only who has the turn brings errands.
            if self.shared.errands.is_settled(self.slot) {
                return writer;
            }
        }
    }

    /// Carries out what was decided.
    fn retain(
        &self,
        decided: &Plan,
        mut writer: MutexGuard<'_, Writer>,
    ) -> Result<Retained, TrimError> {
        let mut answers = Vec::new();
        let done = self.retain_held(decided, &mut writer, &mut answers);
        self.give_back(writer, answers);
        done
    }

    fn retain_held(
        &self,
        decided: &Plan,
        writer: &mut Writer,
        answers: &mut Vec<Answer>,
    ) -> Result<Retained, TrimError> {
        // The writer moves on to the new segment before the old one can go.
        if decided.all && !self.settle_in_active(writer, answers)? {
            return Ok(Retained::default());
        }
        let durable = {
            let head = self.head.lock();
            check_state(&head.state)?;
            head.frontiers.durable()
        };
        let to = decided.log_start.min(durable);
        self.finish_below(writer, to, answers)?;
        self.start_at(writer, to, answers)?;
        Ok(self.drop_dead(writer))
    }

    /// Moves the writer on to the segment that `to` is in: what the finished ones leave of their
    /// producers has to be durable before the log starts behind them.
    fn finish_below(
        &self,
        writer: &mut Writer,
        to: Offset,
        answers: &mut Vec<Answer>,
    ) -> Result<(), TrimError> {
        let next = |head: &Head| {
            let after = head.segments.partition_point(|next| next.base() <= writer.segment_base());
            head.segments.get(after).is_some_and(|next| next.base() <= to)
        };
        if next(&self.head.lock()) && !mutant::on(Mutant::DeleteBeforeSnapshot) {
            self.settle_in_active(writer, answers)?;
        }
        Ok(())
    }

    /// Moves the writer on to the active segment, if everything before is durable, and waits for what
    /// that brings.
    fn settle_in_active(
        &self,
        writer: &mut Writer,
        answers: &mut Vec<Answer>,
    ) -> Result<bool, TrimError> {
        let moved = self.move_on(writer, answers);
        if let Err(fault) = &moved {
            self.take_offline(writer, fault, answers);
        }
        // A large snapshot of what it leaves is written beside.
        self.shared.errands.settle(self.slot);
        moved.map_err(TrimError::Io)
    }

    /// What the topic's settings no longer keep.
    fn overdue(&self) -> Result<Option<Plan>, TrimError> {
        let settings = self.settings.get();
        let limits = Limits {
            retention_ms: settings.retention_ms,
            retention_bytes: settings.retention_bytes,
        };
        let head = self.head.lock();
        check_state(&head.state)?;
        let mut segments = Vec::with_capacity(head.segments.len());
        let mut seen = TimestampMs::NONE;
        for (index, segment) in head.segments.iter().enumerate() {
            let next = head.segments.get(index + 1).map(|next| next.base());
            let largest = segment.largest_timestamp();
            seen = seen.max(largest);
            segments.push(Held {
                next: next.unwrap_or(head.frontiers.log_end()),
                bytes: segment.end().unwrap_or(head.end).get().into(),
                largest,
            });
        }
        let (start, durable) = (head.frontiers.log_start(), head.frontiers.durable());
        let clock = &self.shared.clock;
        let now = head.now.capped(clock.timestamp(), clock.tick(), seen);
        Ok(plan(&segments, start, durable, &limits, now))
    }

    /// Makes the log start at `to`, durably, for readers too.
    fn start_at(
        &self,
        writer: &mut Writer,
        to: Offset,
        answers: &mut Vec<Answer>,
    ) -> Result<(), TrimError> {
        if to <= self.head.lock().frontiers.log_start() {
            return Ok(());
        }
        if let Err(fault) = writer.raise_log_start(to, self.shared.clock.tick()) {
            self.take_offline(writer, &fault, answers);
            return Err(TrimError::Io(fault));
        }
        let epochs = {
            let mut head = self.head.lock();
            head.frontiers.raise_log_start(to);
            head.damage.retain(|damage| damage.offsets.end > to);
            head.epochs.truncate_from_start(to).then(|| head.epochs.clone())
        };
        // The next open cuts them at the log's start anyway.
        if let Some(epochs) = epochs
            && let Err(fault) = write_epochs(&*self.shared.directory, &self.dir, &epochs)
        {
            self.leftover(|| fault);
        }
        Ok(())
    }

    /// Removes the segments that lie below the log's start, the oldest first. The one that is being
    /// written, and the last one, stay.
    fn drop_dead(&self, writer: &Writer) -> Retained {
        let mut dropped = Retained::default();
        loop {
            let dead = {
                let mut head = self.head.lock();
                let start = head.frontiers.log_start();
                let goes = |next: &Offset| *next <= start && *next <= writer.segment_base();
                let next = head.segments.get(1).map(|next| next.base()).filter(goes);
                let Some(dead) = next.and(head.segments.first()).cloned() else { break };
                head.segments = head.segments.iter().skip(1).cloned().collect();
                dead
            };
            dropped.segments_deleted += 1;
            dead.let_go();
            // Whoever reads it goes on: a file that is opened by its name when it is used has to be
            // open before it loses that. Where it cannot be, its readers hear that it was deleted.
            if Arc::strong_count(&dead) > 1
                && let Err(error) = dead.file().pin()
            {
                let what = "a deleted segment cannot be held open for those who read it";
                self.leftover(|| Fault::io(FaultKind::Read, dead.path(), what, error));
            }
            dropped.bytes_deleted += dead.end().map_or(0, |end| u64::from(end.get()));
            // Nobody reads it any more: what cannot be removed now is removed at the next open.
            let removed = remove_segment(&*self.shared.directory, &self.dir, dead.base());
            if let Err(error) = removed {
                let what = "a deleted segment cannot be removed";
                self.leftover(|| Fault::io(FaultKind::Directory, dead.path(), what, error));
            }
        }
        if dropped.segments_deleted > 0 {
            if let Err(error) = self.shared.directory.sync_dir(&self.dir) {
                let what = "the removal of segments cannot be made durable";
                self.leftover(|| Fault::io(FaultKind::Directory, &self.dir, what, error));
            }
            self.shared.counters.retained(&dropped);
            let partition = self.name.clone();
            self.shared.events.post(|| Event::Retained { partition, retained: dropped });
        }
        dropped
    }

    /// Gives the flush turn back, then the answers that came of it, and tells the I/O thread what
    /// came meanwhile.
    fn give_back(&self, writer: MutexGuard<'_, Writer>, answers: Vec<Answer>) {
        drop(writer);
        answers.into_iter().for_each(Answer::give);
        self.shared.events.give();
        if self.head.lock().oldest_unflushed.is_some() {
            self.notify();
        }
    }
}

/// Refuses what the state forbids. A full partition can be trimmed: that is how it heals.
pub(super) fn check_state(state: &LogState) -> Result<(), TrimError> {
    match state {
        LogState::Online | LogState::Full | LogState::Damaged(_) | LogState::ReadOnly(_) => Ok(()),
        LogState::Offline(fault) => Err(TrimError::Offline(fault.clone())),
        LogState::Stale => Err(TrimError::Stale),
        LogState::Deleted => Err(TrimError::Deleted),
        LogState::Closed => Err(TrimError::Closed),
    }
}

/// Why the empty segment that would let the last records go cannot be made.
fn not_rolled(error: AppendError) -> TrimError {
    match error {
        AppendError::NotAppended(NotAppended::Offline(fault))
        | AppendError::Indeterminate(fault) => TrimError::Offline(fault),
        AppendError::NotAppended(NotAppended::Damaged(fault)) => TrimError::Damaged(fault),
        AppendError::NotAppended(NotAppended::Stale) => TrimError::Stale,
        AppendError::NotAppended(NotAppended::Deleted) => TrimError::Deleted,
        AppendError::NotAppended(NotAppended::Closed) => TrimError::Closed,
        AppendError::NotAppended(other) => TrimError::Full { reason: other.to_string() },
    }
}

impl fmt::Display for Retained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} segments of {} bytes deleted", self.segments_deleted, self.bytes_deleted)
    }
}
