//! A handle on one partition: append, fetch, follow.

use core::fmt;
use std::sync::Arc;

use super::fetch::{FetchError, FetchLimits, Fetched, IsolationLevel, Verified};
use super::follow::{Tail, TailStream};
use super::head::{Head, LogState};
use super::info::LogInfo;
use super::partition::{Offsets, Partition, Prepared};
use super::store::StoreInner;
use super::ticket::{Appended, Ticket, in_callback, reentrant};
use super::times::OffsetAndTimestamp;
use crate::config::{Drive, Durability};
use crate::error::{AppendError, NotAppended};
use crate::format::{
    BatchError, BatchView, Batches, BatchesError, Codec, CodecError, EmptyBatch, HEADER_BYTES,
    RecordBatch, correct_max_timestamp, validate_client_batch, validate_replica_batch,
};
use crate::ids::{LeaderEpoch, Offset, ProducerId, TimestampMs, TopicPartition};
use crate::int::{u64_from, usize_from_u32};
use crate::model::producers::ProducerInfo;
use crate::segment::walk::BATCH_BYTES_LIMIT;

/// One partition of a store: an ordered, durable sequence of record batches.
///
/// Cheap to clone; clones are one log. Goes on working when the [`Store`](crate::Store) value it
/// came from is dropped, until the store is closed.
#[derive(Clone)]
pub struct Log {
    partition: Arc<Partition>,
    store: Arc<StoreInner>,
}

impl Log {
    pub(crate) const fn new(partition: Arc<Partition>, store: Arc<StoreInner>) -> Self {
        Self { partition, store }
    }

    pub(crate) const fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Whether nobody else could append to the store.
    pub(crate) fn is_only_handle(&self) -> bool {
        Arc::strong_count(&self.store) == 1
    }

    /// Which partition this is.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.partition.name
    }

    /// Appends one batch at the end of the log.
    ///
    /// # Errors
    ///
    /// [`AppendError::NotAppended`], saying why; nothing has changed then.
    ///
    /// # Durability
    ///
    /// None yet: the ticket says when `durability` is reached. Until then the batch has an offset
    /// and may still be lost: with the process (`Buffered`), or with power (`Written`).
    pub fn append(
        &self,
        batch: RecordBatch,
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let mut prepared = self.prepare(batch)?;
        self.partition.append(&mut prepared, durability)
    }

    /// Appends one batch and waits, taking the flush turn if it is free: the fastest way to one
    /// small durable append.
    ///
    /// # Errors
    ///
    /// As [`Log::append`] and [`Ticket::wait`]. At once when called from within a callback of this
    /// store.
    ///
    /// # Durability
    ///
    /// `Ok` means that `durability` is reached.
    pub fn append_wait(
        &self,
        batch: RecordBatch,
        durability: Durability,
    ) -> Result<Appended, AppendError> {
        if in_callback() {
            return Err(NotAppended::Busy.into());
        }
        let quiet = self.partition.shared.drive == Drive::Thread
            && durability != Durability::Buffered
            && self.partition.begin_quiet();
        let ticket = self.append(batch, durability);
        if quiet {
            self.partition.end_quiet();
            let waits = ticket.as_ref().is_ok_and(|ticket| !ticket.is_done());
            let done = |_: &Head| ticket.as_ref().is_ok_and(Ticket::is_done);
            // Whoever was kept quiet meanwhile has to be heard too.
            if !(waits && self.partition.try_turn(done)) {
                self.partition.notify();
            }
        }
        let ticket = ticket?;
        ticket.wait()
    }

    /// Appends one batch given as bytes: base offset 0, not a control batch, one record for each
    /// offset, in any codec that is built in. Its offset is assigned; nothing else of it changes,
    /// but for a wrong maximum timestamp in the header (Kafka `LogValidator`).
    ///
    /// # Errors
    ///
    /// As [`Log::append`]; [`NotAppended::Batch`] and [`NotAppended::InvalidRecord`] say what is
    /// wrong with the bytes.
    ///
    /// # Durability
    ///
    /// As [`Log::append`].
    pub fn append_raw(&self, bytes: &[u8], durability: Durability) -> Result<Ticket, AppendError> {
        self.check_size(u64_from(bytes.len()))?;
        let batch = BatchView::parse(bytes).map_err(NotAppended::from)?;
        batch.verify_crc().map_err(NotAppended::from)?;
        check_client_batch(&batch, bytes.len())?;
        let bound = self.partition.shared.settings.decompressed_bytes_max;
        let summary = validate_client_batch(&batch, bound).map_err(NotAppended::from)?;
        let (count, max_timestamp) = (summary.count, summary.max_timestamp);
        let mut bytes = bytes.to_vec();
        if batch.max_timestamp() != max_timestamp {
            correct_max_timestamp(&mut bytes, max_timestamp).map_err(NotAppended::from)?;
        }
        let last_crc = BatchView::parse(&bytes).map_err(NotAppended::from)?.crc();
        let offsets = Offsets::Next { count: count.into() };
        let prepared =
            &mut Prepared { bytes, offsets, max_timestamp, max_timestamp_offset: None, last_crc };
        self.partition.append(prepared, durability)
    }

    /// Appends batches that already have their offsets, as a replica or a mirror does. Bytes are
    /// kept as they are, leader epochs included. Where offsets are left out (a compacted source),
    /// an empty batch of the format records the gap, so that a gap is never mistaken for a loss.
    ///
    /// # Errors
    ///
    /// As [`Log::append`]; [`NotAppended::UnexpectedOffset`] if the first batch starts below the
    /// log's end, [`NotAppended::OffsetsOutOfOrder`] if they do not ascend.
    ///
    /// # Durability
    ///
    /// As [`Log::append`]; the batches of one call are one append.
    pub fn replicate_raw(
        &self,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let together = self.partition.shared.settings.append_bytes_max();
        let limit = self.partition.settings.segment_bytes_max().min(together);
        if u64_from(bytes.len()) > u64::from(limit.min(BATCH_BYTES_LIMIT)) {
            return Err(NotAppended::ListTooLarge { bytes: u64_from(bytes.len()), limit }.into());
        }
        let log_end = self.log_end_offset();
        let bound = self.partition.shared.settings.decompressed_bytes_max;
        let mut prepared = gather(bytes, log_end, bound)?;
        self.partition.append(&mut prepared, durability)
    }

    /// Waits until everything appended so far is durable; returns the high watermark.
    ///
    /// # Errors
    ///
    /// As [`Ticket::wait`].
    ///
    /// # Durability
    ///
    /// `Ok` means that all appends before the call outlive power loss.
    pub fn flush(&self) -> Result<Offset, AppendError> {
        if in_callback() {
            return Err(AppendError::Indeterminate(reentrant()));
        }
        self.partition.flush_ticket()?.wait()?;
        Ok(self.high_watermark())
    }

    /// Reads whole batches from `offset` on, at least one if there is one. An offset inside a batch
    /// returns the whole batch.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; damage is named, never skipped.
    pub fn fetch(
        &self,
        offset: Offset,
        limits: FetchLimits,
        isolation: IsolationLevel,
    ) -> Result<Fetched, FetchError> {
        self.partition.fetch(offset, limits, isolation)
    }

    /// The first record at or after `target`, of those that `isolation` shows: where to start
    /// reading from a time on. Timestamps are what producers say and need not rise; the answer is
    /// the first in log order. `None` if there is no such record yet.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; a damaged place on the way to the answer is named, never skipped.
    pub fn offset_for_time(
        &self,
        target: TimestampMs,
        isolation: IsolationLevel,
    ) -> Result<Option<OffsetAndTimestamp>, FetchError> {
        self.partition.offset_for_time(target, isolation)
    }

    /// The record with the largest timestamp that can be read; the first, if several have it.
    /// `None` if no record has a timestamp (Kafka's query for the max timestamp, KIP-734).
    ///
    /// # Errors
    ///
    /// As [`Log::offset_for_time`].
    pub fn offset_of_max_timestamp(&self) -> Result<Option<OffsetAndTimestamp>, FetchError> {
        self.partition.max_timestamp()
    }

    /// Follows the log from `from` on, blocking where nothing is there yet.
    #[must_use]
    pub fn tail(&self, from: Offset) -> Tail {
        Tail::new(self.clone(), from, FetchLimits::default())
    }

    /// Follows the log from `from` on as a stream, for any async runtime.
    #[must_use]
    pub fn tail_stream(&self, from: Offset) -> TailStream {
        TailStream::new(self.tail(from))
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.partition.head.lock().frontiers.log_start()
    }

    /// The next offset to be given.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.partition.head.lock().frontiers.log_end()
    }

    /// The first offset that is not durable yet.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.partition.head.lock().frontiers.durable()
    }

    /// What is remembered of each producer, ascending by id (Kafka's `DescribeProducers`).
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerInfo> {
        let now = self.partition.shared.clock.tick();
        let state = self.partition.head.lock().producers.freeze(now);
        state.describe()
    }

    /// The largest id of a producer that ever wrote here, as far as the log and its snapshots say.
    #[must_use]
    pub fn largest_producer_id(&self) -> Option<ProducerId> {
        self.partition.head.lock().producers.largest_id()
    }

    /// What the partition can do right now.
    #[must_use]
    pub fn state(&self) -> LogState {
        self.partition.head.lock().shown()
    }

    /// State, ends, segments and damage as of now.
    #[must_use]
    pub fn info(&self) -> LogInfo {
        self.partition.info()
    }

    /// Reads and checks every batch a reader can see.
    ///
    /// # Errors
    ///
    /// If the device cannot be read, or the handle is stale; damage is not an error here but part
    /// of the answer.
    pub fn verify(&self) -> Result<Verified, FetchError> {
        self.partition.verify()
    }

    /// A batch of ours, ready for its offset.
    pub(super) fn prepare(&self, batch: RecordBatch) -> Result<Prepared, NotAppended> {
        let (count, max_timestamp, last_crc) =
            (batch.records_count(), batch.max_timestamp(), batch.crc());
        self.check_unpacked(&batch)?;
        let bytes = batch.into_bytes();
        self.check_size(u64_from(bytes.len()))?;
        let offsets = Offsets::Next { count: count.into() };
        Ok(Prepared { bytes, offsets, max_timestamp, max_timestamp_offset: None, last_crc })
    }

    /// A batch that could not be read again is not taken.
    fn check_unpacked(&self, batch: &RecordBatch) -> Result<(), NotAppended> {
        let bytes_max = self.partition.shared.settings.decompressed_bytes_max;
        if batch.codec() == Codec::None || batch.records_bytes() <= usize_from_u32(bytes_max) {
            return Ok(());
        }
        let source = CodecError::TooLarge { codec: batch.codec(), bytes_max };
        Err(BatchError::Decompress { base_offset: Offset::ZERO, source }.into())
    }

    fn check_size(&self, bytes: u64) -> Result<(), NotAppended> {
        let settings = &self.partition.settings;
        let (limit, segment) = (settings.message_bytes_max(), settings.segment_bytes_max());
        if bytes > u64::from(limit) {
            return Err(NotAppended::TooLarge { bytes, limit });
        }
        if bytes > u64::from(segment.min(BATCH_BYTES_LIMIT)) {
            return Err(NotAppended::ListTooLarge { bytes, limit: segment });
        }
        Ok(())
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.partition.name.to_string()).finish()
    }
}

/// The rules for what a client may append (Kafka `LogValidator.validateBatch`).
fn check_client_batch(batch: &BatchView<'_>, bytes_given: usize) -> Result<(), NotAppended> {
    let refuse = |reason: String| Err(NotAppended::InvalidRecord { reason });
    let surplus = bytes_given - batch.as_bytes().len();
    if surplus > 0 {
        return refuse(format!("{surplus} bytes follow the batch; give one batch a call"));
    }
    if batch.base_offset() != Offset::ZERO {
        let found = batch.base_offset();
        return refuse(format!(
            "its base offset is {found}, but offsets are assigned here: send 0"
        ));
    }
    if batch.is_control() {
        return refuse("it is a control batch, which only a coordinator writes".to_owned());
    }
    if batch.records_count() == 0 {
        return refuse("it holds no records".to_owned());
    }
    Ok(())
}

/// Checks batches that keep their offsets and fills the gaps between them.
fn gather(bytes: &[u8], log_end: Offset, bound: u32) -> Result<Prepared, NotAppended> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut next = log_end;
    let mut last: Option<BatchView<'_>> = None;
    let mut max_timestamp = TimestampMs::NONE;
    let mut max_timestamp_offset = None;
    for placed in Batches::new(bytes) {
        let batch = placed.map_err(split_refusal)?.batch;
        batch.verify_crc()?;
        validate_replica_batch(&batch, bound)?;
        let base = batch.base_offset();
        if base < next {
            return Err(match last {
                None => NotAppended::UnexpectedOffset { first: base, log_end },
                Some(last) => {
                    NotAppended::OffsetsOutOfOrder { previous: last.last_offset(), offset: base }
                }
            });
        }
        if base > next {
            kept.extend_from_slice(&gap(next, base, batch.partition_leader_epoch())?);
        }
        kept.extend_from_slice(batch.as_bytes());
        if batch.max_timestamp() > max_timestamp {
            max_timestamp = batch.max_timestamp();
            max_timestamp_offset = Some(batch.last_offset());
        }
        next = batch.next_offset().ok_or(NotAppended::OffsetExhausted { log_end })?;
        last = Some(batch);
    }
    if next.since(log_end) > i64::from(i32::MAX) {
        let reason = format!(
            "it covers offsets {log_end} to {next}, more than one segment can number: start an \
             empty log further on instead"
        );
        return Err(NotAppended::InvalidRecord { reason });
    }
    match last {
        Some(last) => Ok(Prepared {
            bytes: kept,
            offsets: Offsets::Kept { first: log_end, next },
            max_timestamp,
            max_timestamp_offset,
            last_crc: last.crc(),
        }),
        None => Err(NotAppended::InvalidRecord { reason: "no batch is given".to_owned() }),
    }
}

fn split_refusal(error: BatchesError) -> NotAppended {
    match error {
        BatchesError::Damaged { source, .. } => NotAppended::Batch(source),
        other => NotAppended::InvalidRecord { reason: other.to_string() },
    }
}

/// An empty batch that covers `from..until`: the format's own way to say that offsets are gone.
pub(super) fn gap(
    from: Offset,
    until: Offset,
    epoch: LeaderEpoch,
) -> Result<[u8; HEADER_BYTES], NotAppended> {
    let last = until.checked_add(-1).unwrap_or(from);
    EmptyBatch::gap(from, last, epoch).to_bytes().map_err(|_| NotAppended::InvalidRecord {
        reason: format!(
            "offsets {from} to {until} are left out, more than one batch can record: start an \
             empty log at {until} instead"
        ),
    })
}
