//! The flush turn: whoever holds it takes pending bytes to the disk and publishes what became of
//! them.
//!
//! ```text
//!   turn      head.pending ─▶ Step ─▶ submit_write, submit_sync     (no lock of the head held)
//!   complete  Completion ─▶ Flush ─▶ head.publish ─▶ answers        (given once all locks are off)
//! ```
//!
//! The writer's lock is the right to flush, held by the I/O thread or by an appender for one turn;
//! it is the one lock that is held across I/O, and nobody but flushers waits for it.
//!
//! Any error of a write or flush takes the partition offline: a failed flush is never retried, for
//! the kernel may have dropped the pages it could not write (D7).

use core::ops::Range;
use std::io;
use std::sync::Arc;

use super::head::{Head, LogState, Reach};
use super::partition::Partition;
use super::pending::Chunk;
use super::ticket::Answer;
use crate::clock::Tick;
use crate::config::{FlushMethod, Settings};
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{AlignedBuf, Completion, Disk, Token, Write, WriteSync};
use crate::error::{Fault, FaultKind};
use crate::ids::{LeaderEpoch, Offset, Position, TopicId};
use crate::int::{u64_from, usize_from_u32};
use crate::model::flush::{Flush, Mark, Ordinal};
use crate::mutant::{self, Mutant};
use crate::segment::Segment;
use crate::segment::recover::index_path;
use crate::segment::replace::replace;
use crate::segment::watermark::{Watermark, WatermarkFile};

/// Writes of one partition in flight at once.
const WRITES_IN_FLIGHT_MAX: usize = 4;
/// Times a write is submitted again after EINTR, EAGAIN or no progress.
const RETRIES_MAX: u32 = 16;

/// A submission on its way.
#[derive(Debug)]
enum Submission {
    Write { position: u64, range: Range<usize>, sync: WriteSync, retries: u32 },
    Sync,
}

/// The holder's half of a partition.
#[derive(Debug)]
pub(crate) struct Writer {
    segment: Arc<Segment>,
    flush: Flush,
    in_flight: Vec<(Ordinal, Submission)>,
    next_ordinal: Ordinal,
    watermark: WatermarkFile,
    /// What the watermark on disk says.
    marked: Reach,
    marked_at: Tick,
    /// Bytes made durable since then.
    unmarked_bytes: u64,
    topic_id: TopicId,
    log_start: Offset,
    leader_epoch: LeaderEpoch,
    offline: bool,
}

/// What a new writer starts from.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: Mark,
    pub(crate) watermark: WatermarkFile,
    pub(crate) topic_id: TopicId,
    pub(crate) log_begins: Offset,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) now: Tick,
}

/// What to do next.
enum Step {
    Write(Chunk, WriteSync),
    Sync,
    /// Everything of the segment is durable: go on in this one.
    Seal(Arc<Segment>),
    /// Nothing until something completes, comes, or this time is reached.
    Rest(Option<Tick>),
}

impl Writer {
    pub(crate) fn new(start: Start) -> Self {
        let marked = Reach { segment: start.segment.base(), mark: start.end };
        Self {
            segment: start.segment,
            flush: Flush::at(start.end),
            in_flight: Vec::new(),
            next_ordinal: 0,
            watermark: start.watermark,
            marked,
            marked_at: start.now,
            unmarked_bytes: 0,
            topic_id: start.topic_id,
            log_start: start.log_begins,
            leader_epoch: start.leader_epoch,
            offline: false,
        }
    }

    /// Stops for good: the partition is being reopened or closed.
    pub(crate) const fn stop(&mut self) {
        self.offline = true;
    }

    /// Whether none of this partition's I/O is under way.
    pub(crate) const fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    fn reach(&self, mark: Mark) -> Reach {
        Reach { segment: self.segment.base(), mark }
    }

    fn submit(&mut self, submission: Submission, slot: u32) -> (Ordinal, Token) {
        let ordinal = self.next_ordinal;
        self.next_ordinal = self.next_ordinal.wrapping_add(1);
        self.in_flight.push((ordinal, submission));
        (ordinal, Token(u64::from(slot) << 32 | u64::from(ordinal)))
    }

    /// Decides the next step, taking the chunk to write out of the head.
    fn next_step(&self, head: &mut Head, settings: &Settings, now: Tick) -> Step {
        let flush = &self.flush;
        let due = head.oldest_unflushed.map(|since| since.after(settings.flush_interval));
        let overdue = due.is_some_and(|due| due <= now);
        match head.pending.next_segment() {
            Some(next) if next.base() != self.segment.base() => {
                return if flush.can_sync() {
                    Step::Sync
                } else if flush.is_settled() {
                    Step::Seal(Arc::clone(next))
                } else {
                    Step::Rest(None)
                };
            }
            _ => {}
        }
        let unflushed = usize_from_u32(flush.unflushed_bytes());
        let room = unflushed + head.pending.next_bytes() + 2 * BLOCK_BYTES
            <= usize_from_u32(settings.in_flight_bytes_max());
        let submitted = flush.submitted().offset;
        let asked = [&head.on_written, &head.on_synced]
            .iter()
            .any(|queue| queue.last().is_some_and(|last| last > submitted));
        let want_write =
            head.pending.bytes() > 0 && (asked || overdue || head.pending.has_full_chunk());
        let may_write = flush.writes_in_flight() < WRITES_IN_FLIGHT_MAX && !flush.tail_block_busy();
        if want_write && may_write && (room || unflushed == 0) {
            let alone = settings.flush_method == FlushMethod::OwnRange && flush.can_own_flush();
            let wanted = head.on_synced.last().is_some_and(|last| last > submitted);
            let sync = if alone && wanted { WriteSync::OwnRange } else { WriteSync::None };
            return head.pending.take().map_or(Step::Rest(due), |chunk| Step::Write(chunk, sync));
        }
        let waited_for =
            head.on_synced.first().is_some_and(|first| first <= flush.written().offset);
        if flush.can_sync() && (waited_for || overdue || (want_write && !room)) {
            return Step::Sync;
        }
        Step::Rest(due)
    }

    /// Whether the watermark lags too far, and when it will.
    fn mark_due(&self, settings: &Settings, now: Tick) -> (bool, Option<Tick>) {
        if self.marked.mark.offset == self.flush.durable().offset {
            return (false, None);
        }
        let due = self.marked_at.after(settings.watermark_interval);
        (self.unmarked_bytes >= u64::from(settings.watermark_bytes) || due <= now, Some(due))
    }

    /// Writes the watermark down. Blocking, about once per 8 MiB or second.
    fn mark(&mut self, now: Tick) -> Result<(), Fault> {
        let durable = if mutant::on(Mutant::WatermarkBeforeFlush) {
            self.flush.submitted()
        } else {
            self.flush.durable()
        };
        let mark = Watermark {
            topic_id: self.topic_id,
            log_start: self.log_start,
            durable: durable.offset,
            segment: self.segment.base(),
            position: durable.batch_end,
            last_crc: durable.last_crc,
            leader_epoch: self.leader_epoch,
        };
        self.watermark.write(mark).map_err(|error| {
            let what = "the durable watermark cannot be written";
            Fault::io(FaultKind::Sync, self.watermark.path(), what, error)
        })?;
        self.marked = self.reach(durable);
        self.marked_at = now;
        self.unmarked_bytes = 0;
        Ok(())
    }

    /// Cuts the finished segment to its last batch and moves on to `next`.
    fn seal(&mut self, partition: &Partition, next: &Arc<Segment>, now: Tick) -> Result<(), Fault> {
        let end = self.flush.durable();
        self.finish_file(partition, end.position)?;
        self.mark(now)?;
        let start = Mark { position: Position::ZERO, batch_end: Position::ZERO, ..end };
        self.segment = Arc::clone(next);
        self.flush = Flush::at(start);
        Ok(())
    }

    /// Trims the segment's file to `end`, flushes it, and writes its index beside it.
    fn finish_file(&self, partition: &Partition, end: Position) -> Result<(), Fault> {
        let path = self.segment.path();
        let failed = |kind, what| move |error| Fault::io(kind, path, what, error);
        let file = self.segment.file();
        file.set_len(end.get().into())
            .map_err(failed(FaultKind::Write, "the finished segment cannot be trimmed"))?;
        file.sync().map_err(failed(FaultKind::Sync, "the finished segment cannot be flushed"))?;
        let bytes = self.segment.index().read().to_bytes();
        let index = index_path(path);
        let name = index.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // An index is a cache: without it the next open rebuilds it.
        if replace(&*partition.shared.directory, &partition.dir, name, &bytes).is_err() {
            partition.shared.counters.index_write_failed();
        }
        Ok(())
    }
}

impl Partition {
    /// Submits whatever can go to the disk now. Returns when it wants to be called again, if
    /// nothing comes before.
    pub(crate) fn turn(
        &self,
        writer: &mut Writer,
        disk: &mut dyn Disk,
        answers: &mut Vec<Answer>,
    ) -> Option<Tick> {
        loop {
            if writer.offline {
                return None;
            }
            let now = self.shared.clock.tick();
            let step = writer.next_step(&mut self.head.lock(), &self.shared.settings, now);
            let done = match step {
                Step::Write(chunk, sync) => {
                    self.submit_write(writer, disk, chunk, sync);
                    Ok(())
                }
                Step::Sync => {
                    let (ordinal, token) = writer.submit(Submission::Sync, self.slot);
                    writer.flush.submit_sync(ordinal);
                    disk.submit_sync(token, writer.segment.file());
                    self.publish(writer, now, answers);
                    Ok(())
                }
                Step::Seal(next) => {
                    let sealed = writer.seal(self, &next, now);
                    self.publish(writer, now, answers);
                    sealed
                }
                Step::Rest(due) => match writer.mark_due(&self.shared.settings, now) {
                    (true, _) => writer.mark(now),
                    (false, mark_due) => return due.into_iter().chain(mark_due).min(),
                },
            };
            if let Err(fault) = done {
                self.take_offline(writer, &fault, answers);
            }
        }
    }

    fn submit_write(
        &self,
        writer: &mut Writer,
        disk: &mut dyn Disk,
        chunk: Chunk,
        sync: WriteSync,
    ) {
        let range = 0..chunk.buffer.len();
        let position = chunk.position;
        let submission = Submission::Write { position, range: range.clone(), sync, retries: 0 };
        let (ordinal, token) = writer.submit(submission, self.slot);
        writer.flush.submit_write(ordinal, chunk.end, sync == WriteSync::OwnRange);
        let file = Arc::clone(writer.segment.file());
        disk.submit_write(Write { token, file, position, buffer: chunk.buffer, range, sync });
    }

    /// Takes in one finished submission.
    pub(crate) fn complete(
        &self,
        writer: &mut Writer,
        completion: Completion,
        disk: &mut dyn Disk,
        answers: &mut Vec<Answer>,
    ) {
        let Completion { token, result, buffer } = completion;
        let ordinal = Ordinal::try_from(token.0 & u64::from(u32::MAX)).unwrap_or_default();
        let Some(index) = writer.in_flight.iter().position(|(number, _)| *number == ordinal) else {
            return;
        };
        let (_, submission) = writer.in_flight.swap_remove(index);
        if writer.offline {
            // Nothing is acknowledged any more; whoever waits for the end of the I/O is told.
            self.moved.raise();
            return;
        }
        let durable = writer.flush.durable();
        let outcome = match (submission, buffer) {
            (Submission::Sync, _) => self.complete_sync(writer, ordinal, result, disk),
            (submission, Some(buffer)) => {
                let write = Landed { ordinal, submission, buffer, token };
                self.complete_write(writer, write, result, disk)
            }
            (_, None) => Err(Fault::new(
                FaultKind::Bug,
                writer.segment.path(),
                "a disk kept the buffer of a finished write",
            )),
        };
        let now = self.shared.clock.tick();
        if let Err(fault) = outcome {
            self.take_offline(writer, &fault, answers);
            return;
        }
        let gained = writer.flush.durable().position.get() - durable.position.get();
        writer.unmarked_bytes += u64::from(gained);
        self.publish(writer, now, answers);
    }

    fn complete_sync(
        &self,
        writer: &mut Writer,
        ordinal: Ordinal,
        result: io::Result<usize>,
        disk: &mut dyn Disk,
    ) -> Result<(), Fault> {
        match result {
            Ok(_) => {
                writer.flush.complete_sync(ordinal);
                self.shared.counters.synced();
                Ok(())
            }
            Err(error) if mutant::on(Mutant::RetryFailedSync) && error.raw_os_error().is_some() => {
                writer.in_flight.push((ordinal, Submission::Sync));
                let token = Token(u64::from(self.slot) << 32 | u64::from(ordinal));
                disk.submit_sync(token, writer.segment.file());
                Ok(())
            }
            Err(error) => {
                let what = "a flush failed; nothing since the last good one is known to be durable";
                Err(Fault::io(FaultKind::Sync, writer.segment.path(), what, error))
            }
        }
    }

    fn complete_write(
        &self,
        writer: &mut Writer,
        write: Landed,
        result: io::Result<usize>,
        disk: &mut dyn Disk,
    ) -> Result<(), Fault> {
        let Landed { ordinal, submission, buffer, token } = write;
        let Submission::Write { mut position, mut range, sync, mut retries } = submission else {
            return Ok(());
        };
        let path = writer.segment.path();
        match result {
            Ok(bytes) if bytes >= range.len() || mutant::on(Mutant::IgnoreShortWrite) => {
                writer.flush.complete_write(ordinal);
                self.head.lock().pending.recycle(buffer);
                self.shared.counters.wrote(range.len());
                return Ok(());
            }
            Ok(bytes) if bytes >= BLOCK_BYTES => {
                // Whole blocks only: the rest starts with the block that was written in part.
                let whole = bytes - bytes % BLOCK_BYTES;
                position += u64_from(whole);
                range.start += whole;
            }
            Ok(_) => retries += 1,
            Err(error) if is_passing(&error) => retries += 1,
            Err(error) => return Err(Fault::io(FaultKind::Write, path, "a write failed", error)),
        }
        if retries > RETRIES_MAX {
            let what = format!("a write made no progress in {RETRIES_MAX} tries");
            return Err(Fault::at(FaultKind::Write, path, position, what));
        }
        let submission = Submission::Write { position, range: range.clone(), sync, retries };
        writer.in_flight.push((ordinal, submission));
        let file = Arc::clone(writer.segment.file());
        disk.submit_write(Write { token, file, position, buffer, range, sync });
        Ok(())
    }

    /// Shows the writer's marks to appenders and readers.
    fn publish(&self, writer: &Writer, now: Tick, answers: &mut Vec<Answer>) {
        let written = writer.reach(writer.flush.written());
        let durable = writer.reach(writer.flush.durable());
        let moved = self.head.lock().publish(written, durable, now, answers);
        if moved {
            self.wake_readers(answers);
        }
    }

    /// Nothing more is written; what is durable stays readable.
    pub(crate) fn take_offline(
        &self,
        writer: &mut Writer,
        fault: &Fault,
        answers: &mut Vec<Answer>,
    ) {
        writer.offline = true;
        self.head.lock().fail(LogState::Offline(fault.clone()), fault, answers);
        self.wake_readers(answers);
    }

    /// Trims and marks the active segment: the last thing before a clean close.
    pub(crate) fn finish(&self, writer: &mut Writer) -> Result<Reach, Fault> {
        if writer.offline {
            let what = "the partition went offline before it could be closed";
            return Err(Fault::new(FaultKind::Write, &self.dir, what));
        }
        let end = writer.flush.durable();
        writer.finish_file(self, end.position)?;
        writer.mark(self.shared.clock.tick())?;
        writer.offline = true;
        writer.segment.finish(end.position);
        Ok(writer.reach(end))
    }
}

/// A finished write, with what is needed to send the rest of it again.
struct Landed {
    ordinal: Ordinal,
    submission: Submission,
    buffer: AlignedBuf,
    token: Token,
}

/// Errors after which the same submission may be made again: the kernel did nothing yet.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
