//! The sum of what is written, and the checkpoints along the way (S6).
//!
//! ```text
//!   64 MiB since the last one ─▶ wanted: the end of what is accepted now
//!   chunk that reaches it     ─▶ its sum is known
//!   flush that reaches it     ─▶ index files and checkpoint replaced, off the append lock; one that
//!                                holds many producers off the flush turn, too
//! ```
//!
//! A checkpoint only saves time at the next open: failing to write one is counted, and no more.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::sync::Arc;

use super::Writer;
use crate::config::Settings;
use crate::int::u64_from;
use crate::log::partition::Partition;
use crate::log::pending::Chunk;
use crate::model::flush::Mark;
use crate::model::producers::Frozen;
use crate::mutant::{self, Mutant};
use crate::segment::checkpoint::{Checkpoint, FILE_NAME};
use crate::segment::replace::replace;
use crate::segment::seal::{self, FileSum, Seal};

/// A checkpoint is written after as many new bytes as this many of its own.
const OWN_SIZE_FACTOR: u64 = 4;
/// At a clean close one is written if a scan would read more than this part of the usual interval.
const CLOSE_FRACTION: u64 = 64;

/// The running sum of a segment, and how far its checkpoints reach.
#[derive(Debug)]
pub(super) struct Sums {
    /// Of the bytes submitted so far, while it is known.
    submitted: Option<FileSum>,
    wanted: Option<Wanted>,
    /// Bytes of the segment that the last checkpoint covers.
    covered: u64,
    /// Bytes that the last checkpoint took, once it is encoded.
    size: Arc<AtomicU64>,
}

/// A checkpoint to be, once everything up to `mark` is durable.
#[derive(Debug)]
struct Wanted {
    mark: Mark,
    sum: Option<FileSum>,
    /// The producers as of `mark`.
    producers: Frozen,
}

impl Sums {
    /// Of a segment whose bytes so far sum up to `submitted`, with a checkpoint at `covered`.
    pub(super) fn new(submitted: Option<FileSum>, covered: u64) -> Self {
        Self { submitted, wanted: None, covered, size: Arc::default() }
    }

    /// Goes on in a new segment.
    pub(super) fn roll(&mut self) {
        let size = Arc::clone(&self.size);
        *self = Self { size, ..Self::new(Some(FileSum::default()), 0) };
    }

    /// Takes in a chunk that is submitted.
    pub(super) fn take(&mut self, chunk: &Chunk) {
        let Some(sum) = self.submitted else { return };
        if let Some(wanted) = &mut self.wanted
            && wanted.sum.is_none()
            && wanted.mark.batch_end <= chunk.end.position
        {
            wanted.sum = chunk.add_to(sum, wanted.mark.batch_end);
        }
        self.submitted = chunk.add_to(sum, chunk.end.position);
    }

    /// The sum of all `bytes` of the segment, read from `file` where it is not known.
    pub(super) fn whole(&self, file: &dyn crate::disk::File, bytes: u64) -> io::Result<FileSum> {
        self.submitted.filter(|sum| sum.bytes <= bytes).unwrap_or_default().extended(file, bytes)
    }

    fn is_due(&self, end: u64, settings: &Settings) -> bool {
        // Relaxed: as where it is stored.
        let own = OWN_SIZE_FACTOR * self.size.load(Ordering::Relaxed);
        let interval = u64::from(settings.checkpoint_bytes).max(own);
        self.wanted.is_none() && self.submitted.is_some() && end >= self.covered + interval
    }
}

impl Writer {
    /// Asks for a checkpoint at the end of what is accepted, if one is due, and writes the one
    /// asked for once it is durable.
    pub(super) fn tend_checkpoint(&mut self, partition: &Partition) {
        let submitted = u64::from(self.flush.submitted().batch_end.get());
        if self.sums.is_due(submitted, &partition.shared.settings) {
            let head = partition.head.lock();
            if head.active().is_some_and(|active| active.base() == self.segment.base()) {
                let mark = head.pending.end();
                let sum = self.sums.submitted;
                let sum = sum.filter(|sum| sum.bytes == u64::from(mark.batch_end.get()));
                let producers = head.producers.freeze(partition.shared.clock.tick());
                self.sums.wanted = Some(Wanted { mark, sum, producers });
            }
        }
        let durable = self.flush.durable();
        let early = mutant::on(Mutant::CheckpointAboveEnd);
        let ready = |wanted: &mut Wanted| {
            wanted.sum.is_some() && (wanted.mark.batch_end <= durable.batch_end || early)
        };
        if let Some(Wanted { mark, sum: Some(sum), producers }) = self.sums.wanted.take_if(ready) {
            self.write_checkpoint(partition, mark, sum, producers);
        }
    }

    /// Writes the checkpoint of a clean close, where a scan of the segment would cost something.
    pub(super) fn close_checkpoint(
        &mut self,
        partition: &Partition,
        mark: Mark,
        seal: &Seal,
        producers: Frozen,
    ) {
        let interval = u64::from(partition.shared.settings.checkpoint_bytes);
        if seal.log.bytes >= interval / CLOSE_FRACTION && seal.log.bytes > self.sums.covered {
            self.write_checkpoint(partition, mark, seal.log, producers);
        }
    }

    fn write_checkpoint(&mut self, partition: &Partition, mark: Mark, log: FileSum, state: Frozen) {
        let base = self.segment.base();
        let (bytes, first_timestamp, largest) = {
            let indexes = self.segment.index().read();
            let bytes = indexes.bytes_before(mark.batch_end, mark.offset);
            (bytes, indexes.first_timestamp(), indexes.times().max())
        };
        let (index, times, txns) = bytes.sums();
        let segment = Seal {
            base,
            next: mark.offset,
            last_crc: mark.last_crc,
            first_timestamp,
            largest,
            log,
            index,
            times,
            txns,
            has_producers: !state.is_blank(),
        };
        let (identity, size) = (partition.identity(self.topic_id), Arc::clone(&self.sums.size));
        let indexes_bytes = bytes.len();
        let encode = move |state: &Frozen| {
            let mut producers = Vec::new();
            if !state.is_blank() {
                state.append_to(&mut producers);
            }
            let text = Checkpoint { segment, producers }.to_bytes(identity);
            // Relaxed: it only decides when the next one comes.
            size.store(u64_from(indexes_bytes + text.len()), Ordering::Relaxed);
            text
        };
        // Even after a failure: the next try comes after the next interval.
        self.sums.covered = log.bytes;
        let (directory, dir) = (&*partition.shared.directory, partition.dir.as_path());
        let put = if state.is_large() {
            partition.run_aside(move |partition| {
                let (directory, dir) = (&*partition.shared.directory, partition.dir.as_path());
                if let Err(error) = replace(directory, dir, FILE_NAME, &encode(&state)) {
                    partition.checkpoint_failed(error);
                }
            });
            // Whatever the index files grow to meanwhile, they begin with what it sums.
            seal::put(directory, dir, base, &bytes, None)
        } else {
            seal::put(directory, dir, base, &bytes, Some((FILE_NAME, &encode(&state))))
        };
        if let Err(error) = put {
            partition.checkpoint_failed(error);
        }
    }
}

impl Partition {
    fn checkpoint_failed(&self, error: io::Error) {
        self.cache_failed(&self.dir.join(FILE_NAME), "the checkpoint cannot be written", error);
    }
}
