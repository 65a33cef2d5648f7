//! The ends of things: the watermark, a full segment, and the last segment at a clean close.
//!
//! ```text
//!   roll    all durable ─▶ trim, flush ─▶ indexes, seal ─▶ watermark ─▶ go on in the next segment
//!   close   all durable ─▶ trim, flush ─▶ indexes ─▶ watermark ─▶ offline
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Cut, Kept, Writer};
use crate::clock::Tick;
use crate::disk::Directory;
use crate::error::{Fault, FaultKind};
use crate::format::{FileKind, segment_file_name};
use crate::ids::{Offset, Position, TopicId};
use crate::log::head::Reach;
use crate::log::partition::Partition;
use crate::log::ticket::Answer;
use crate::model::flush::{Flush, Mark};
use crate::model::producers::Frozen;
use crate::mutant::{self, Mutant};
use crate::segment::Segment;
use crate::segment::files::remove_file;
use crate::segment::indexes::IndexBytes;
use crate::segment::seal::{self, Identity, Seal, seal_file_name};
use crate::segment::snapshots::{self, Moment};
use crate::segment::watermark::{Void, Watermark};

impl Writer {
    /// Writes the watermark down. Blocking, about once per 8 MiB or second.
    pub(super) fn mark(&mut self, now: Tick) -> Result<(), Fault> {
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
            void: Void::Nothing,
            gaps_below: self.gaps_below,
            unflushed_bytes_max: self.unflushed_bytes_max,
        };
        self.write_mark(mark)?;
        self.marked = self.reach(durable);
        self.marked_at = now;
        self.unmarked_bytes = 0;
        Ok(())
    }

    /// Decides that the log begins at `to`.
    ///
    /// # Durability
    ///
    /// Durable when it returns `Ok`.
    pub(in crate::log) fn raise_log_start(&mut self, to: Offset, now: Tick) -> Result<(), Fault> {
        self.log_start = self.log_start.max(to);
        if mutant::on(Mutant::StartNotDurable) { Ok(()) } else { self.mark(now) }
    }

    /// Decides that the log ends where `cut` says, whatever the files hold.
    ///
    /// # Durability
    ///
    /// Durable when it returns `Ok`; after an error it may be found decided or not.
    pub(in crate::log) fn decide(&mut self, cut: &Cut) -> Result<(), Fault> {
        let mark = Watermark {
            topic_id: self.topic_id,
            log_start: cut.log_start,
            durable: cut.offset,
            segment: cut.segment,
            position: cut.position,
            last_crc: cut.last_crc,
            leader_epoch: self.leader_epoch,
            void: cut.void,
            gaps_below: self.gaps_below.min(cut.offset),
            unflushed_bytes_max: self.unflushed_bytes_max,
        };
        if mutant::on(Mutant::CutBeforeDecision) { Ok(()) } else { self.write_mark(mark) }
    }

    fn write_mark(&mut self, mark: Watermark) -> Result<(), Fault> {
        self.watermark.write(mark).map_err(|error| {
            let what = "the durable watermark cannot be written";
            Fault::io(FaultKind::Sync, self.watermark.path(), what, error)
        })
    }

    /// Cuts the finished segment to its last batch and moves on to `next`.
    pub(super) fn seal(
        &mut self,
        partition: &Partition,
        next: &Arc<Segment>,
        now: Tick,
    ) -> Result<(), Fault> {
        let end = self.flush.durable();
        let state = partition.head.lock().frozen.pop_front_if(|(base, _)| *base == next.base());
        let finished = self.finish_file(partition, end, state.is_some())?;
        if let Some((_, state)) = state {
            self.snapshot(partition, state, end);
        }
        self.write_indexes(partition, finished.as_ref(), true);
        self.mark(now)?;
        let start = Mark { position: Position::ZERO, batch_end: Position::ZERO, ..end };
        self.segment = Arc::clone(next);
        self.file = None;
        self.flush = Flush::at(start);
        self.sums.roll();
        Ok(())
    }

    /// Writes the producers' state down as of `end`, below which everything is durable; aside, if
    /// there are many.
    fn snapshot(&self, partition: &Partition, state: Frozen, end: Mark) {
        let moment = self.moment(end);
        if state.is_large() {
            partition.run_aside(move |partition| partition.write_snapshot(&state, moment));
        } else {
            partition.write_snapshot(&state, moment);
        }
    }

    const fn moment(&self, end: Mark) -> Moment {
        Moment { topic_id: self.topic_id, end: end.offset, last_crc: end.last_crc }
    }

    /// Trims the segment's file to `end` and flushes it; says what its files are to hold, with the
    /// bytes of its indexes, or nothing for a segment without a batch.
    fn finish_file(
        &self,
        partition: &Partition,
        end: Mark,
        has_producers: bool,
    ) -> Result<Option<(Seal, IndexBytes)>, Fault> {
        let path = self.segment.path();
        let failed = |kind, what| move |error| Fault::io(kind, path, what, error);
        let file = self.segment.file();
        let bytes = u64::from(end.position.get());
        file.set_len(bytes)
            .map_err(failed(FaultKind::Write, "the finished segment cannot be trimmed"))?;
        file.sync().map_err(failed(FaultKind::Sync, "the finished segment cannot be flushed"))?;
        if bytes == 0 {
            return Ok(None);
        }
        let log = match self.sums.whole(&**file, bytes) {
            Ok(log) => log,
            Err(error) => {
                partition.cache_failed(path, "the finished segment cannot be summed", error);
                return Ok(None);
            }
        };
        let mut indexes = self.segment.index().write();
        indexes.finish();
        let bytes = indexes.to_bytes();
        let (index, times, txns) = bytes.sums();
        let seal = Seal {
            base: self.segment.base(),
            next: end.offset,
            last_crc: end.last_crc,
            first_timestamp: indexes.first_timestamp(),
            largest: indexes.times().max(),
            log,
            index,
            times,
            txns,
            has_producers,
        };
        Ok(Some((seal, bytes)))
    }

    /// Writes the index files of a finished segment, and its seal if it is `sealed`. All of them
    /// are caches: without them the next open builds them anew, so a failure is only counted.
    fn write_indexes(
        &self,
        partition: &Partition,
        finished: Option<&(Seal, IndexBytes)>,
        sealed: bool,
    ) {
        let directory = &*partition.shared.directory;
        let base = self.segment.base();
        let written = match finished {
            None => forget_files(directory, &partition.dir, base),
            Some((seal, bytes)) => {
                let text = seal.to_text(partition.identity(self.topic_id));
                let name = seal_file_name(base);
                let seal = sealed.then_some((name.as_str(), text.as_bytes()));
                seal::put(directory, &partition.dir, base, bytes, seal)
            }
        };
        if let Err(error) = written {
            let what = "the indexes of the segment cannot be written";
            partition.cache_failed(self.segment.path(), what, error);
        }
    }
}

/// Removes the index files and the seal of segment `base`, which is empty: it needs none.
fn forget_files(directory: &dyn Directory, dir: &Path, base: Offset) -> io::Result<()> {
    let names = [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::TxnIndex]
        .map(|kind| segment_file_name(base, kind))
        .into_iter()
        .chain([seal_file_name(base)]);
    for name in names {
        remove_file(directory, &dir.join(name))?;
    }
    Ok(())
}

impl Partition {
    fn write_snapshot(&self, state: &Frozen, moment: Moment) {
        // A cache: without it the next open reads the log instead.
        if let Err(error) = snapshots::write(&*self.shared.directory, &self.dir, state, moment) {
            self.snapshot_failed(error);
        }
    }

    /// Trims and marks the active segment: the last thing before a clean close. Returns where the
    /// log ends, and what the segment's files hold if it has a batch.
    pub(crate) fn finish(&self, writer: &mut Writer) -> Result<(Reach, Option<Seal>), Fault> {
        if writer.offline {
            let what = "the partition went offline before it could be closed";
            return Err(Fault::new(FaultKind::Write, &self.dir, what));
        }
        self.shared.errands.settle(self.slot);
        let end = writer.flush.durable();
        let seal = match writer.kept {
            // As it was found: closing what was not used costs nothing.
            Kept::As(seal) => Some(seal),
            Kept::Empty => None,
            Kept::Touched => {
                let state = self.head.lock().producers.freeze(self.shared.clock.tick());
                if !state.is_blank() {
                    self.write_snapshot(&state, writer.moment(end));
                }
                let finished = writer.finish_file(self, end, !state.is_blank())?;
                writer.write_indexes(self, finished.as_ref(), false);
                let seal = finished.map(|(seal, _)| seal);
                if let Some(seal) = &seal {
                    writer.close_checkpoint(self, end, seal, state);
                }
                writer.mark(self.shared.clock.tick())?;
                seal
            }
        };
        writer.offline = true;
        writer.segment.finish(end.position);
        Ok((writer.reach(end), seal))
    }

    /// Whose segments these are.
    pub(crate) const fn identity(&self, topic_id: TopicId) -> Identity {
        Identity { topic_id, partition: self.name.partition() }
    }
}

impl Partition {
    /// Moves on to a segment that was rolled without a batch for it; returns whether the writer
    /// stands in the active segment.
    pub(in crate::log) fn move_on(
        &self,
        writer: &mut Writer,
        answers: &mut Vec<Answer>,
    ) -> Result<bool, Fault> {
        loop {
            let next = {
                let head = self.head.lock();
                let base = writer.segment.base();
                let waits = head.pending.next_segment().is_some_and(|next| next.base() == base);
                if waits || writer.offline || !writer.is_idle() || !writer.flush.is_settled() {
                    return Ok(false);
                }
                let after = head.segments.partition_point(|segment| segment.base() <= base);
                match head.segments.get(after) {
                    Some(next) => Arc::clone(next),
                    None => return Ok(true),
                }
            };
            let now = self.shared.clock.tick();
            writer.seal(self, &next, now)?;
            self.publish(writer, now, answers);
        }
    }
}
