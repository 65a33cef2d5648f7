//! Closing: everything durable, trimmed and described, so that the next open need not scan.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::{Store, StoreInner};
use crate::config::Drive;
use crate::error::{Fault, FaultKind};
use crate::format::checkpoint::offsets_text;
use crate::ids::{Offset, TopicId, TopicPartition};
use crate::log::clean::{
    self, CleanPartition, CleanStore, HIGH_WATERMARKS, LOG_STARTS, RECOVERY_POINTS,
};
use crate::log::head::{LogState, Reach};
use crate::log::partition::Partition;
use crate::log::ticket::{Answer, Ticket, in_callback};
use crate::log::writer::Writer;
use crate::segment::replace::replace;
use crate::segment::seal::Seal;

/// Why a close was not clean. The store is closed all the same, and the next open scans what this
/// names.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store is closed, but not cleanly: {}; the next open recovers what is there", list(.faults))]
#[non_exhaustive]
pub struct CloseError {
    /// What went wrong, one entry a partition or file.
    pub faults: Vec<Fault>,
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Store {
    /// Flushes everything, trims the files, writes indexes, checkpoints and the clean marker.
    /// Handles answer `Closed` from then on. Closing again does nothing.
    ///
    /// # Errors
    ///
    /// [`CloseError`] names what could not be closed cleanly, damaged partitions not included.
    ///
    /// # Durability
    ///
    /// Everything accepted before outlives power loss when this returns `Ok`.
    pub fn close(&self) -> Result<(), CloseError> {
        let inner = &*self.0;
        if in_callback() {
            let what = "a callback may not close the store that calls it";
            let faults = vec![Fault::new(FaultKind::Reentrant, &inner.root, what)];
            return Err(CloseError { faults });
        }
        let _turn = inner.closing.lock();
        let Some(partitions) = inner.begin_close() else { return Ok(()) };
        let mut faults = Vec::new();
        let mut closed = Vec::with_capacity(partitions.len());
        for (topic_id, partition) in &partitions {
            match inner.close_partition(partition) {
                Ok(Some(one)) => closed.push((Arc::clone(partition), one.describe(*topic_id))),
                Ok(None) => {}
                Err(fault) => faults.push(fault),
            }
        }
        inner.stop_thread();
        for one in inner.directories.iter().filter(|one| one.is_open()) {
            let here = closed.iter().filter(|(partition, _)| one.holds(partition));
            let marker: CleanStore =
                here.map(|(partition, clean)| (partition.name.clone(), clean.clone())).collect();
            let count = partitions.iter().filter(|(_, partition)| one.holds(partition)).count();
            let written = inner.write_markers(&one.path, &marker, marker.len() == count);
            faults.extend(written.err());
        }
        if faults.is_empty() { Ok(()) } else { Err(CloseError { faults }) }
    }
}

/// A partition that was closed cleanly.
struct Closed {
    partition: Arc<Partition>,
    end: Reach,
    active: Option<Seal>,
}

impl Closed {
    fn describe(&self, topic_id: TopicId) -> CleanPartition {
        let head = self.partition.head.lock();
        // The next open passes over the segments that end below the log's start.
        let start = head.frontiers.log_start();
        let dead = head.segments.iter().skip(1).take_while(|next| next.base() <= start).count();
        let segments =
            head.segments.iter().skip(dead).map(|segment| {
                (segment.base(), segment.end().map_or(0, |end| u64::from(end.get())))
            });
        CleanPartition {
            topic_id,
            log_start: head.frontiers.log_start(),
            log_end: self.end.mark.offset,
            leader_epoch: head.leader_epoch,
            last_crc: self.end.mark.last_crc,
            largest_producer_id: head.producers.largest_id(),
            segments: segments.collect(),
            active: self.active,
        }
    }
}

impl StoreInner {
    /// From now on nothing comes and goes; `None` if the store was closed before.
    fn begin_close(&self) -> Option<Vec<(TopicId, Arc<Partition>)>> {
        let _turn = self.changes.lock();
        let mut map = self.map.lock();
        if map.closed {
            return None;
        }
        map.closed = true;
        Some(map.partitions().map(|(_, topic, _, open)| (topic.id, Arc::clone(open))).collect())
    }

    /// Closes one partition; `None` for one that is damaged and so was only read.
    fn close_partition(&self, partition: &Arc<Partition>) -> Result<Option<Closed>, Fault> {
        let (before, ticket) = partition.begin_close();
        let flushed = ticket.map_or(Ok(()), |ticket| {
            partition.notify();
            if self.shared.drive == Drive::Inline {
                partition.run_inline();
            }
            ticket.wait().map(drop)
        });
        self.await_idle(partition);
        let finished = match (before, flushed) {
            (LogState::ReadOnly(_), _) => Ok(None),
            (LogState::Offline(fault), _) => Err(fault),
            (_, Err(error)) => {
                let what = format!("the last flush failed: {error}");
                Err(Fault::new(FaultKind::Sync, &partition.dir, what))
            }
            (_, Ok(())) => partition.finish(&mut partition.writer.lock()).map(Some),
        };
        partition.writer.lock().stop();
        let mut answers = Vec::new();
        partition.wake_readers(&mut answers);
        answers.into_iter().for_each(Answer::give);
        self.shared.events.give();
        let closed = |(end, active)| Closed { partition: Arc::clone(partition), end, active };
        finished.map(|end| end.map(closed))
    }

    fn stop_thread(&self) {
        if self.shared.drive == Drive::Thread {
            let seen = self.shared.ended.seen();
            self.shared.stop();
            self.shared.clock.wait(&self.shared.ended, seen, None);
        }
    }

    /// Kafka's checkpoints, then the markers, which say that everything else is there.
    fn write_markers(&self, root: &Path, marker: &CleanStore, all: bool) -> Result<(), Fault> {
        let directory = &*self.shared.directory;
        let failed = |error| {
            let what = "the checkpoints of a clean close cannot be written";
            Fault::io(FaultKind::Write, root, what, error)
        };
        let ends: BTreeMap<TopicPartition, Offset> =
            marker.iter().map(|(name, clean)| (name.clone(), clean.log_end)).collect();
        // Only where the start is not where the first segment says.
        let starts = marker.iter().filter(|(_, clean)| {
            clean.segments.first().is_none_or(|(base, _)| *base != clean.log_start)
        });
        let starts = starts.map(|(name, clean)| (name.clone(), clean.log_start)).collect();
        for (name, entries) in
            [(RECOVERY_POINTS, &ends), (LOG_STARTS, &starts), (HIGH_WATERMARKS, &ends)]
        {
            replace(directory, root, name, offsets_text(entries).as_bytes()).map_err(failed)?;
        }
        clean::write(directory, root, marker, all)
    }
}

impl Partition {
    /// Takes no more appends; returns the state before, and a ticket for what is not durable yet.
    fn begin_close(&self) -> (LogState, Option<Ticket>) {
        let mut head = self.head.lock();
        let before = core::mem::replace(&mut head.state, LogState::Closed);
        let writing = matches!(before, LogState::Online | LogState::Full);
        (before, if writing { self.enqueue_flush(&mut head) } else { None })
    }

    /// This life of the partition is over: nothing more is accepted or written here, and who still
    /// waits hears `what`.
    pub(in crate::log) fn retire(&self, state: LogState, what: &str) {
        let writer = self.writer.lock();
        self.end(Some(writer), state, what);
    }

    /// The store is gone: whoever still waits is told. A flush turn that somebody holds is not
    /// waited for; it finds the partition ended.
    pub(in crate::log) fn abandon(&self) {
        let writer = self.writer.try_lock();
        self.end(writer, LogState::Closed, "the store was dropped before this was durable");
    }

    fn end(&self, writer: Option<MutexGuard<'_, Writer>>, state: LogState, what: &str) {
        let mut answers = Vec::new();
        let fault = Fault::new(FaultKind::Stopped, &self.dir, what);
        if let Some(mut writer) = writer {
            writer.stop();
        }
        self.head.lock().fail(state, &fault, &mut answers);
        self.wake_readers(&mut answers);
        answers.into_iter().for_each(Answer::give);
    }
}
