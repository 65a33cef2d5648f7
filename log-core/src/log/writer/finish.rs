//! The ends of things: the watermark, a full segment, and the last segment at a clean close.
//!
//! ```text
//!   roll    all durable ─▶ trim, flush ─▶ index ─▶ watermark ─▶ go on in the next segment
//!   close   all durable ─▶ trim, flush ─▶ index ─▶ watermark ─▶ offline
//! ```

use std::sync::Arc;

use super::Writer;
use crate::clock::Tick;
use crate::error::{Fault, FaultKind};
use crate::ids::Position;
use crate::log::head::Reach;
use crate::log::partition::Partition;
use crate::model::flush::{Flush, Mark};
use crate::model::producers::Frozen;
use crate::mutant::{self, Mutant};
use crate::segment::Segment;
use crate::segment::recover::index_path;
use crate::segment::replace::replace;
use crate::segment::snapshots::{self, Moment};
use crate::segment::watermark::Watermark;

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
    pub(super) fn seal(
        &mut self,
        partition: &Partition,
        next: &Arc<Segment>,
        now: Tick,
    ) -> Result<(), Fault> {
        let end = self.flush.durable();
        self.finish_file(partition, end.position)?;
        let state = partition.head.lock().frozen.pop_front_if(|(base, _)| *base == next.base());
        if let Some((_, state)) = state {
            self.snapshot(partition, &state, end);
        }
        self.mark(now)?;
        let start = Mark { position: Position::ZERO, batch_end: Position::ZERO, ..end };
        self.segment = Arc::clone(next);
        self.flush = Flush::at(start);
        Ok(())
    }

    /// Writes the producers' state down as of `end`, below which everything is durable.
    fn snapshot(&self, partition: &Partition, state: &Frozen, end: Mark) {
        let moment = Moment { topic_id: self.topic_id, end: end.offset, last_crc: end.last_crc };
        let directory = &*partition.shared.directory;
        // A cache: without it the next open reads the log instead.
        if snapshots::write(directory, &partition.dir, state, moment).is_err() {
            partition.shared.counters.snapshot_write_failed();
        }
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
    /// Trims and marks the active segment: the last thing before a clean close.
    pub(crate) fn finish(&self, writer: &mut Writer) -> Result<Reach, Fault> {
        if writer.offline {
            let what = "the partition went offline before it could be closed";
            return Err(Fault::new(FaultKind::Write, &self.dir, what));
        }
        let end = writer.flush.durable();
        writer.finish_file(self, end.position)?;
        let state = self.head.lock().producers.freeze(self.shared.clock.tick());
        if !state.is_blank() {
            writer.snapshot(self, &state, end);
        }
        writer.mark(self.shared.clock.tick())?;
        writer.offline = true;
        writer.segment.finish(end.position);
        Ok(writer.reach(end))
    }
}
