//! Records deleted from the end of a log, as a replica does that followed another leader.
//!
//! ```text
//!   hold     appends wait, everything accepted becomes durable
//!   decide   the watermark says: the log ends here, whatever the files hold     durable
//!   recover  as after a power cut: files cut, indexes, epochs and producers as of the new end
//!   go on    the partition's handles see what was recovered
//! ```
//!
//! One durable write decides, so a power cut leaves the log as it was or as it is to be. What comes
//! after is recovery itself, not a second way to cut files. Source: Kafka `UnifiedLog.truncateTo`,
//! `truncateFullyAndStartAt`.

use core::sync::atomic::Ordering;
use std::sync::Arc;

use super::handle::{Log, gap};
use super::head::LogState;
use super::open::{Opened, Request, open};
use super::partition::{Offsets, Partition, Prepared};
use super::ticket::{Answer, in_callback, reentrant};
use super::trim::{TrimError, check_state};
use super::writer::{Cut, Writer};
use crate::config::Durability;
use crate::error::{Fault, FaultKind};
use crate::format::BatchView;
use crate::ids::{LeaderEpoch, Offset, Position, TimestampMs};
use crate::int::{u32_saturated, usize_from};
use crate::mutant::{self, Mutant};
use crate::segment::Segment;
use crate::segment::walk::Stop;
use crate::segment::watermark::Void;

impl Log {
    /// Deletes the records from `offset` on; the next record gets that offset. A batch that holds
    /// `offset` goes whole, and what it leaves free before is recorded as a gap. An offset at or
    /// above the log's end changes nothing; one below its start leaves an empty log there.
    ///
    /// Readers and producers are not told: this is for who replicates a log, as a Raft group does.
    ///
    /// # Errors
    ///
    /// [`TrimError`]; after [`TrimError::Io`] the partition is offline, and a reopening finds the
    /// log as it was or as it was to be.
    ///
    /// # Durability
    ///
    /// The records stay deleted when this returns `Ok`; cut in between, all of them are there or
    /// none.
    pub fn truncate_to(&self, offset: Offset) -> Result<(), TrimError> {
        self.partition().truncate(Target::End(offset))
    }

    /// Deletes all records; the next one gets `offset`, wherever the log was before.
    ///
    /// # Errors
    ///
    /// As [`Log::truncate_to`].
    ///
    /// # Durability
    ///
    /// As [`Log::truncate_to`].
    pub fn truncate_fully_and_start_at(&self, offset: Offset) -> Result<(), TrimError> {
        self.partition().truncate(Target::Restart(offset))
    }

    /// Where the records of a leader epoch end: the first offset of the next epoch, or the log's
    /// end. For an epoch the log has no records of, that of the one before; `None` for one that is
    /// newer than all (Kafka `OffsetForLeaderEpoch`).
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let head = self.partition().head.lock();
        head.epochs.end_offset_for(epoch, head.frontiers.log_end())
    }
}

/// Where a log is to end.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// With what is below.
    End(Offset),
    /// Empty.
    Restart(Offset),
}

impl Partition {
    fn truncate(&self, target: Target) -> Result<(), TrimError> {
        if in_callback() {
            return Err(TrimError::Io(reentrant()));
        }
        let turn = self.grow.lock();
        {
            let mut head = self.head.lock();
            check_state(&head.state)?;
            if matches!(target, Target::End(to) if to >= head.frontiers.log_end()) {
                return Ok(());
            }
            // Appends wait for the turn that is held here, as they do for a roll.
            head.rolling = true;
        }
        let mut answers = Vec::new();
        let done = self.truncate_held(target, &mut answers);
        self.head.lock().rolling = false;
        self.wake_readers(&mut answers);
        drop(turn);
        answers.into_iter().for_each(Answer::give);
        self.shared.events.give();
        self.notify();
        done
    }

    fn truncate_held(&self, target: Target, answers: &mut Vec<Answer>) -> Result<(), TrimError> {
        let mut writer = loop {
            self.settle()?;
            let seen = self.moved.seen();
            let writer = self.still_turn();
            check_state(&self.head.lock().state)?;
            if writer.is_idle() {
                break writer;
            }
            drop(writer);
            // All is durable, and a flush nobody needs any more is still under way.
            if !self.shared.step() {
                self.shared.clock.wait(&self.moved, seen, None);
            }
        };
        let (cut, to) = self.cut_for(target)?;
        let segments = Arc::clone(&self.head.lock().segments);
        segments.iter().for_each(|segment| segment.let_go());
        // Release, odd: pairs with the Acquire of readers, who do not trust what they read from here
        // on until it is even again.
        self.truncations.fetch_add(1, Ordering::Release);
        let done = self.begin_anew(&mut writer, &cut, to);
        if let Err(fault) = &done {
            self.take_offline(&mut writer, fault, answers);
        }
        self.truncations.fetch_add(1, Ordering::Release);
        done.map_err(TrimError::Io)
    }

    /// Waits until everything accepted is durable.
    fn settle(&self) -> Result<(), TrimError> {
        let ticket = {
            let mut head = self.head.lock();
            check_state(&head.state)?;
            self.enqueue_flush(&mut head)
        };
        let Some(ticket) = ticket else { return Ok(()) };
        self.on_accepted(true);
        match ticket.wait() {
            Ok(_) => Ok(()),
            Err(error) => {
                check_state(&self.head.lock().state)?;
                let what = format!("what was appended before could not be made durable: {error}");
                Err(TrimError::Io(Fault::new(FaultKind::Sync, &self.dir, what)))
            }
        }
    }

    /// Where the files are to end for `target`, and the next offset after that.
    fn cut_for(&self, target: Target) -> Result<(Cut, Offset), TrimError> {
        let restart = |at: Offset| {
            let (void, position) = (Void::All, Position::ZERO);
            (Cut { void, log_start: at, offset: at, segment: at, position, last_crc: 0 }, at)
        };
        let to = match target {
            Target::Restart(at) => return Ok(restart(at)),
            Target::End(to) => to,
        };
        let (segments, active_end, log_start) = {
            let head = self.head.lock();
            (head.segments.clone(), head.end, head.frontiers.log_start())
        };
        let below = segments.partition_point(|segment| segment.base() <= to);
        let Some(last) = below.checked_sub(1).and_then(|last| segments.get(last)) else {
            return Ok(restart(to));
        };
        let before = below.checked_sub(2).and_then(|before| segments.get(before));
        let last_crc = match before {
            Some(before) => last_crc(before)?,
            None => 0,
        };
        let mut cut = Cut {
            void: Void::Above,
            log_start: log_start.min(to),
            offset: last.base(),
            segment: last.base(),
            position: Position::ZERO,
            last_crc,
        };
        let limit = last.end().unwrap_or(active_end).get().into();
        let mut walk = last.walk(Position::ZERO, limit, Some(last.base()));
        loop {
            let at = walk.position();
            match walk.next() {
                Ok((_, batch)) if batch.last_offset() < to => {
                    cut.offset = batch.next_offset().unwrap_or(Offset::MAX);
                    cut.last_crc = batch.crc();
                }
                Ok(_) | Err(Stop::End) => {
                    // Where the batch goes that the log's start is in, the log begins before it: what
                    // follows has to follow something.
                    cut.log_start = cut.log_start.min(cut.offset);
                    cut.position = Position::new(u32_saturated(usize_from(at)));
                    return Ok((cut, to));
                }
                Err(stop) => return Err(TrimError::Damaged(unreadable(last, at, stop))),
            }
        }
    }

    /// Decides the cut, recovers what is left, and takes its place in this partition.
    fn begin_anew(&self, writer: &mut Writer, cut: &Cut, to: Offset) -> Result<(), Fault> {
        writer.decide(cut)?;
        writer.stop();
        let Opened { partition: anew, .. } = open(&Request {
            shared: &self.shared,
            name: self.name.clone(),
            dir: self.dir.clone(),
            slot: self.slot,
            settings: self.settings.get(),
            clean: None,
            new_topic_id: writer.topic_id(),
            reopened: false,
        })
        .map_err(|error| {
            let what = format!("what is left of the log cannot be recovered: {error}");
            Fault::new(FaultKind::Read, &self.dir, what)
        })?;
        anew.hide();
        if cut.offset < to {
            anew.fill_gap(to)?;
        }
        core::mem::swap(writer, &mut *anew.writer.lock());
        let mut old = anew.head.lock();
        let mut head = self.head.lock();
        core::mem::swap(&mut *head, &mut *old);
        head.rolling = true;
        if mutant::on(Mutant::ProducersOutliveTruncation) {
            core::mem::swap(&mut head.producers, &mut old.producers);
        }
        core::mem::swap(&mut head.wakers, &mut old.wakers);
        Ok(())
    }

    /// Records that the offsets up to `to` are left out, durably.
    fn fill_gap(&self, to: Offset) -> Result<(), Fault> {
        let (from, epoch) = {
            let head = self.head.lock();
            (head.frontiers.log_end(), head.leader_epoch)
        };
        let failed = |what: String| Fault::new(FaultKind::Write, &self.dir, what);
        let bytes = gap(from, to, epoch).map_err(|error| failed(error.to_string()))?.to_vec();
        let last_crc = BatchView::parse(&bytes).map_err(|error| failed(error.to_string()))?.crc();
        let mut prepared = Prepared {
            bytes,
            offsets: Offsets::Kept { first: from, next: to },
            max_timestamp: TimestampMs::NONE,
            max_timestamp_offset: None,
            last_crc,
        };
        let ticket = self
            .append(&mut prepared, Durability::Synced)
            .map_err(|error| failed(error.to_string()))?;
        self.run_inline();
        match ticket.try_result() {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(failed(error.to_string())),
            None => match &self.head.lock().state {
                LogState::Offline(fault) => Err(fault.clone()),
                _ => Err(failed("the gap it leaves cannot be recorded".to_owned())),
            },
        }
    }
}

/// The checksum of the last batch of a finished segment.
fn last_crc(segment: &Segment) -> Result<u32, TrimError> {
    let Some(end) = segment.end() else { return Ok(0) };
    let mut walk = segment.walk(Position::ZERO, end.get().into(), Some(segment.base()));
    let mut crc = 0;
    loop {
        let at = walk.position();
        match walk.next() {
            Ok((_, batch)) => crc = batch.crc(),
            Err(Stop::End) => return Ok(crc),
            Err(stop) => return Err(TrimError::Damaged(unreadable(segment, at, stop))),
        }
    }
}

fn unreadable(segment: &Segment, at: u64, stop: Stop) -> Fault {
    let what = match stop {
        Stop::Bad(place) => place.to_string(),
        Stop::Unreadable(error) => format!("the device cannot read it: {error}"),
        Stop::End => "the file ends too early".to_owned(),
    };
    Fault::at(FaultKind::Damage, segment.path(), at, what)
}
