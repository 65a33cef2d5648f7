//! The flush turn: whoever holds it takes pending bytes to the disk and publishes what became of
//! them.
//!
//! ```text
//!   turn      head.pending ─▶ Step ─▶ submit_write, submit_sync     (no lock of the head held)
//!   complete  Completion ─▶ Flush ─▶ head.publish ─▶ answers        (given once all locks are off)
//!   finish    trim, index, watermark: at a roll and at a clean close
//! ```
//!
//! The writer's lock is the right to flush, held by the I/O thread or by an appender for one turn;
//! it is the one lock that is held across I/O, and nobody but flushers waits for it.
//!
//! Any error of a write or flush takes the partition offline: a failed flush is never retried, for
//! the kernel may have dropped the pages it could not write (D7).

mod checkpoint;
mod complete;
mod finish;

use core::ops::Range;
use std::sync::Arc;

use self::checkpoint::Sums;
use super::head::{Head, LogState, Reach};
use super::partition::Partition;
use super::pending::Chunk;
use super::ticket::Answer;
use crate::clock::Tick;
use crate::config::{FlushMethod, Settings};
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{Disk, File, Token, Write, WriteSync};
use crate::error::{Fault, FaultKind};
use crate::ids::{LeaderEpoch, Offset, Position, TopicId};
use crate::int::usize_from_u32;
use crate::model::flush::{Flush, Mark, Ordinal};
use crate::segment::Segment;
use crate::segment::seal::{FileSum, Seal};
use crate::segment::watermark::{Void, WatermarkFile};

/// Writes of one partition in flight at once.
const WRITES_IN_FLIGHT_MAX: usize = 4;

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
    sums: Sums,
    kept: Kept,
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
    gaps_below: Offset,
    leader_epoch: LeaderEpoch,
    /// The store's setting.
    unflushed_bytes_max: u32,
    /// The segment's file, from the first write until all of it is durable and nothing comes.
    file: Option<Arc<dyn File>>,
    offline: bool,
}

/// What a segment's files hold since a clean close.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    /// Something was appended, or it was not closed: they will be written at the next close.
    Touched,
    /// No batch.
    Empty,
    /// This.
    As(Seal),
}

/// Where a log is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// What of the files is void.
    pub(crate) void: Void,
    /// Where it is to start.
    pub(crate) log_start: Offset,
    /// The next offset after the batches that stay.
    pub(crate) offset: Offset,
    /// The segment they end in, and where.
    pub(crate) segment: Offset,
    pub(crate) position: Position,
    /// The stored checksum of the last of them.
    pub(crate) last_crc: u32,
}

/// What a new writer starts from.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: Mark,
    /// The sum of the segment's bytes up to there, where it is known.
    pub(crate) sum: Option<FileSum>,
    pub(crate) kept: Kept,
    /// Up to which byte of the segment there is a checkpoint.
    pub(crate) covered: u64,
    pub(crate) watermark: WatermarkFile,
    pub(crate) topic_id: TopicId,
    pub(crate) log_begins: Offset,
    /// Batches that start below may leave offsets out.
    pub(crate) gaps_below: Offset,
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
    pub(crate) fn new(start: Start, unflushed_bytes_max: u32) -> Self {
        let marked = Reach { segment: start.segment.base(), mark: start.end };
        Self {
            segment: start.segment,
            flush: Flush::at(start.end),
            sums: Sums::new(start.sum, start.covered),
            kept: start.kept,
            in_flight: Vec::new(),
            next_ordinal: 0,
            watermark: start.watermark,
            marked,
            marked_at: start.now,
            unmarked_bytes: 0,
            topic_id: start.topic_id,
            log_start: start.log_begins,
            gaps_below: start.gaps_below,
            leader_epoch: start.leader_epoch,
            unflushed_bytes_max,
            file: None,
            offline: false,
        }
    }

    /// The segment's file, held open until the partition falls idle.
    fn file(&mut self) -> Result<Arc<dyn File>, Fault> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let place = self.segment.file();
        let resolved = place.resolve().map_err(|error| {
            let what = "the segment cannot be opened again";
            Fault::io(FaultKind::Write, self.segment.path(), what, error)
        })?;
        Ok(Arc::clone(self.file.insert(resolved.unwrap_or_else(|| Arc::clone(place)))))
    }

    /// Nothing came for a while: if all is durable, the file need not stay open.
    fn sleep(&mut self) {
        if self.is_idle() && self.flush.is_settled() {
            self.file = None;
        }
    }

    /// Stops for good: the partition is being reopened or closed.
    pub(crate) const fn stop(&mut self) {
        self.offline = true;
    }

    /// Something is about to be appended: the segment's files will not stay as they are, and the
    /// watermark has to say how far it can be scattered.
    pub(crate) fn touched(&mut self, now: Tick) -> Result<(), Fault> {
        self.kept = Kept::Touched;
        if self.watermark.unflushed_bytes_max() == Some(self.unflushed_bytes_max) {
            return Ok(());
        }
        self.mark(now)
    }

    /// The segment that is being written.
    pub(crate) fn segment_base(&self) -> Offset {
        self.segment.base()
    }

    pub(crate) const fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Whether nothing will be written any more, and nothing is under way.
    pub(super) fn is_over(&self) -> bool {
        self.offline && self.in_flight.is_empty()
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
                Step::Write(chunk, sync) => self.submit_write(writer, disk, chunk, sync),
                Step::Sync => writer.file().map(|file| {
                    let (ordinal, token) = writer.submit(Submission::Sync, self.slot);
                    writer.flush.submit_sync(ordinal);
                    disk.submit_sync(token, &file);
                    self.publish(writer, now, answers);
                }),
                Step::Seal(next) => {
                    let sealed = writer.seal(self, &next, now);
                    self.publish(writer, now, answers);
                    sealed
                }
                Step::Rest(due) => {
                    writer.tend_checkpoint(self);
                    match writer.mark_due(&self.shared.settings, now) {
                        (true, _) => {
                            let marked = writer.mark(now);
                            // About a second after the last append of a partition that falls idle.
                            self.head.lock().pending.sleep();
                            writer.sleep();
                            marked
                        }
                        (false, mark_due) => return due.into_iter().chain(mark_due).min(),
                    }
                }
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
    ) -> Result<(), Fault> {
        let file = writer.file()?;
        let range = 0..chunk.buffer.len();
        let position = chunk.position;
        writer.sums.take(&chunk);
        let submission = Submission::Write { position, range: range.clone(), sync, retries: 0 };
        let (ordinal, token) = writer.submit(submission, self.slot);
        writer.flush.submit_write(ordinal, chunk.end, sync == WriteSync::OwnRange);
        disk.submit_write(Write { token, file, position, buffer: chunk.buffer, range, sync });
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

    /// The same after whoever did the I/O was lost, and with it the news of what was in flight.
    pub(crate) fn lose(&self, fault: &Fault, answers: &mut Vec<Answer>) {
        let mut writer = self.writer.lock();
        writer.in_flight.clear();
        self.take_offline(&mut writer, fault, answers);
    }

    /// Nothing more is written; what is durable stays readable.
    pub(crate) fn take_offline(
        &self,
        writer: &mut Writer,
        fault: &Fault,
        answers: &mut Vec<Answer>,
    ) {
        writer.offline = true;
        let now = LogState::Offline(fault.clone());
        let mut head = self.head.lock();
        if !matches!(head.state, LogState::Offline(_)) {
            self.state_changed(head.shown(), now.clone());
        }
        head.fail(now, fault, answers);
        drop(head);
        self.wake_readers(answers);
    }
}
