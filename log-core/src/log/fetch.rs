//! Reading: whole batches from an offset on, checked, with where to go on.
//!
//! ```text
//!   1 a look at the head: ends, segments, known damage      (no lock held after this)
//!   2 segment by base offset, hint by its index             a hint is checked, never believed
//!   3 batches: framing, checksum, continuity                 the first that holds the offset starts
//!   4 bytes, next_offset                                     next_offset moves on, whatever was read
//! ```
//!
//! A bad place is reported as [`FetchError::Corrupt`] with where the log goes on behind it; the
//! rest of the partition reads on (state Damaged of the promise). It is never skipped in silence.

mod records;

pub use records::FetchedRecords;

use core::ops::Range;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::events::Event;
use super::head::{LogState, Reach};
use super::partition::Partition;
use crate::config::Visibility;
use crate::format::{Batches, HEADER_BYTES};
use crate::ids::{Offset, Position, TopicPartition};
use crate::int::{u32_saturated, u64_from, usize_from};
use crate::segment::Segment;
use crate::segment::recover::Damage;
use crate::segment::resync::{Proof, content_end, next_batch};
use crate::segment::transaction_index::AbortedTransaction;
use crate::segment::walk::{Stop, follows};

/// Bytes read at once on the way to the first batch: an index entry leads to within a few KiB of it.
const SEARCH_BYTES: u64 = 16 * 1024;

/// How much a fetch returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FetchLimits {
    /// Bytes; exceeded only by a single batch that is larger.
    pub bytes_max: u32,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { bytes_max: 1024 * 1024 }
    }
}

impl FetchLimits {
    /// At most `bytes_max` bytes, or one batch if that is larger.
    #[must_use]
    pub const fn bytes(bytes_max: u32) -> Self {
        Self { bytes_max }
    }
}

/// Which records a reader wants to see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "Kafka knows these two")]
pub enum IsolationLevel {
    /// All up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Those of decided transactions that were committed, and those outside of any: up to the last
    /// stable offset, without what was aborted.
    ReadCommitted,
}

/// What a fetch found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fetched {
    /// Whole batches, back to back. The first may start before the offset asked for.
    pub bytes: Bytes,
    /// The offset that was asked for.
    pub offset: Offset,
    /// Where to fetch next: behind the last batch returned, or the offset asked for if none was.
    pub next_offset: Offset,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// The first offset that is not durable yet.
    pub high_watermark: Offset,
    /// The first offset that belongs to an undecided transaction, or the high watermark.
    pub last_stable_offset: Offset,
    /// What the reader wants to see.
    pub isolation: IsolationLevel,
    /// With [`IsolationLevel::ReadCommitted`]: the transactions whose batches among these do not
    /// count, in the order of their first offsets. [`Fetched::records`] leaves those out; whoever
    /// reads batches does it as KIP-98 says.
    pub aborted_transactions: Vec<AbortedTransaction>,
    /// What the records of one batch may unpack to, by the store's settings.
    decompressed_bytes_max: u32,
}

impl Fetched {
    /// Whether nothing was there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The batches. They were checked; only a codec can still fail.
    #[must_use]
    pub fn batches(&self) -> Batches<'_> {
        Batches::new(&self.bytes)
    }

    /// The records from the offset asked for on, without control records and what `isolation` hides,
    /// decompressed batch by batch. Each record shares its batch's buffer; what is not compressed is not copied.
    ///
    /// # Errors
    ///
    /// Each item may be an error: a batch that cannot be decompressed (or unpacks to more than
    /// [`decompressed_bytes_max`](crate::StoreBuilder::decompressed_bytes_max)), or records that
    /// contradict their header.
    #[must_use]
    pub fn records(&self) -> FetchedRecords<'_> {
        FetchedRecords::new(self, self.decompressed_bytes_max)
    }
}

/// Why nothing can be read.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The log does not hold that offset (`OFFSET_OUT_OF_RANGE`).
    #[error(
        "offset {asked} is outside the log, which runs from {start} to {end}: fetch from one of these"
    )]
    OutOfRange {
        /// The offset asked for.
        asked: Offset,
        /// The first offset that can be read.
        start: Offset,
        /// The next offset to be written.
        end: Offset,
    },
    /// The records there are damaged, or the device cannot read them (`CORRUPT_MESSAGE`); the log
    /// goes on behind them.
    #[error("{partition}: {damage}; fetch from {} on, where the log goes on", damage.offsets.end)]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// What is damaged; fetching goes on at the end of its offsets.
        damage: Box<Damage>,
    },
    /// The handle is from before the partition was reopened (`NOT_LEADER_OR_FOLLOWER`).
    #[error("the handle is from before the partition was reopened: get it anew from the store")]
    Stale,
    /// Its topic was deleted (`UNKNOWN_TOPIC_OR_PARTITION`).
    #[error("the partition's topic was deleted: create it again, or take another")]
    Deleted,
    /// The store is closed.
    #[error("the store is closed: open it again to read")]
    Closed,
}

impl FetchError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::OutOfRange { .. } => 1,
            Self::Corrupt { .. } => 2,
            Self::Closed => 56,
            Self::Stale => 6,
            Self::Deleted => 3,
        }
    }
}

/// What one look at the head tells a reader.
pub(super) struct View {
    pub(super) segments: Arc<[Arc<Segment>]>,
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    pub(super) high_watermark: Offset,
    /// Where readers have to stop.
    pub(super) reach: Reach,
    /// The first offset of an undecided transaction, or the largest there is.
    pub(super) first_unstable: Offset,
    pub(super) damage: Vec<Damage>,
}

impl View {
    /// Where readers of `isolation` have to stop.
    pub(super) fn bound(&self, isolation: IsolationLevel) -> Offset {
        match isolation {
            IsolationLevel::ReadUncommitted => self.reach.mark.offset,
            IsolationLevel::ReadCommitted => self.first_unstable.min(self.reach.mark.offset),
        }
    }
}

/// Where a batch was found, or what is there instead.
enum Place {
    /// The bytes of whole batches, and the offset after them.
    Batches(Vec<u8>, usize, Offset),
    /// Not in this segment.
    Beyond,
    /// The walk ended here, expecting this offset.
    Bad { position: u64, expected: Offset, reason: String },
}

impl Partition {
    pub(super) fn view(&self) -> Result<View, FetchError> {
        let head = self.head.lock();
        match head.state {
            LogState::Stale => return Err(FetchError::Stale),
            LogState::Deleted => return Err(FetchError::Deleted),
            LogState::Closed => return Err(FetchError::Closed),
            _ => {}
        }
        let reach = match self.shared.settings.visibility {
            Visibility::Synced => head.durable,
            Visibility::Written => head.written,
        };
        Ok(View {
            segments: Arc::clone(&head.segments),
            log_start: head.frontiers.log_start(),
            log_end: head.frontiers.log_end(),
            high_watermark: head.frontiers.durable(),
            reach,
            first_unstable: head.first_unstable_offset(),
            damage: head.damage.clone(),
        })
    }

    /// Reads from `offset` on.
    pub(crate) fn fetch(
        &self,
        offset: Offset,
        limits: FetchLimits,
        isolation: IsolationLevel,
    ) -> Result<Fetched, FetchError> {
        self.undisturbed(|| self.fetch_once(offset, limits, isolation))
    }

    /// What `read` finds, asked again where the log was cut at one of its ends meanwhile: files that
    /// go are neither damage nor read by halves.
    pub(super) fn undisturbed<T>(
        &self,
        read: impl Fn() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        loop {
            // Acquire: pairs with the Release of a truncation, before and after it touches files.
            let seen = self.truncations.load(Ordering::Acquire);
            if !seen.is_multiple_of(2) {
                drop(self.grow.lock());
                continue;
            }
            let start = self.head.lock().frontiers.log_start();
            let found = read();
            let truncated = self.truncations.load(Ordering::Acquire) != seen;
            let failed = matches!(found, Err(FetchError::Corrupt { .. }));
            let deleted = failed && self.head.lock().frontiers.log_start() > start;
            if !(truncated || deleted) {
                self.shared.events.give();
                return found;
            }
        }
    }

    fn fetch_once(
        &self,
        offset: Offset,
        limits: FetchLimits,
        isolation: IsolationLevel,
    ) -> Result<Fetched, FetchError> {
        let mut view = self.view()?;
        let mut known = core::mem::take(&mut view.damage);
        if offset < view.log_start || offset > view.log_end {
            let (start, end) = (view.log_start, view.log_end);
            return Err(FetchError::OutOfRange { asked: offset, start, end });
        }
        let answer = |bytes: Bytes, next_offset| Fetched {
            bytes,
            offset,
            next_offset,
            log_start_offset: view.log_start,
            high_watermark: view.high_watermark,
            last_stable_offset: view.first_unstable.min(view.high_watermark),
            isolation,
            aborted_transactions: Vec::new(),
            decompressed_bytes_max: self.shared.settings.decompressed_bytes_max,
        };
        let bound = view.bound(isolation);
        if offset >= bound {
            return Ok(answer(Bytes::new(), offset));
        }
        if let Some(damage) = known.iter().find(|damage| damage.offsets.contains(&offset)) {
            return Err(self.corrupt(damage.clone()));
        }
        let first = view.segments.partition_point(|segment| segment.base() <= offset);
        for (index, segment) in view.segments.iter().enumerate().skip(first.saturating_sub(1)) {
            let limit = limit_of(segment, &view.reach);
            self.read_indexes(&view.segments, index);
            let later = view.segments.get(index + 1).map(|next| next.base());
            let until = later.unwrap_or(view.reach.mark.offset);
            loop {
                match Self::find(segment, limit, offset..bound, limits, &known) {
                    Place::Batches(bytes, start, next) => {
                        let mut fetched = answer(Bytes::from(bytes).slice(start..), next);
                        if isolation == IsolationLevel::ReadCommitted {
                            fetched.aborted_transactions = self.aborted(&view, index, offset, next);
                        }
                        return Ok(fetched);
                    }
                    Place::Beyond => break,
                    Place::Bad { position, expected, reason } => {
                        let damage =
                            self.discover(segment, limit, position, expected..until, reason);
                        // Met before: it does not say where to go on, and so hides the offset too.
                        if damage.offsets.end <= offset && known.contains(&damage) {
                            let offsets = damage.offsets.start..until.max(damage.offsets.end);
                            return Err(self.corrupt(Damage { offsets, ..damage }));
                        }
                        if damage.offsets.end > offset {
                            return Err(self.corrupt(damage));
                        }
                        // On the way to the offset, which stands further on: look from behind it.
                        known.push(damage);
                    }
                }
            }
        }
        // Below the end, in no segment: a gap that recovery has reported or should have.
        let reason = "no segment holds these offsets".to_owned();
        let path = self.dir.clone();
        let offsets = offset..view.reach.mark.offset;
        Err(self.corrupt(Damage { offsets, path, positions: 0..0, reason }))
    }

    /// Finds `offset` in `segment`, by its index first and without it if that proves wrong.
    fn find(
        segment: &Segment,
        limit: u64,
        wanted: Range<Offset>,
        limits: FetchLimits,
        damage: &[Damage],
    ) -> Place {
        let offset = wanted.start;
        let hint = segment.index().read().lookup(offset);
        if let Some(hinted) = hint.offset
            && let Place::Batches(bytes, start, next) = Self::search(
                segment,
                hint.position,
                limit,
                wanted.clone(),
                limits,
                Check::Ends(hinted),
            )
        {
            return Place::Batches(bytes, start, next);
        }
        // From the start of the segment, or from behind the last known damage before the offset.
        let behind = damage
            .iter()
            .filter(|damage| damage.path == segment.path() && damage.offsets.end <= offset)
            .filter(|damage| damage.positions.end > 0)
            .max_by_key(|damage| damage.offsets.end);
        let (from, expected) = match behind {
            Some(damage) => (position(damage.positions.end), damage.offsets.end),
            None => (Position::ZERO, segment.base()),
        };
        Self::search(segment, from, limit, wanted, limits, Check::Starts(expected))
    }

    /// Walks from `from` to the batch that holds `offset` and gathers batches from there.
    fn search(
        segment: &Segment,
        from: Position,
        limit: u64,
        wanted: Range<Offset>,
        limits: FetchLimits,
        check: Check,
    ) -> Place {
        let Range { start: offset, end: bound } = wanted;
        let (mut expected, mut proof) = match check {
            Check::Starts(expected) => (Some(expected), None),
            Check::Ends(last) => (None, Some(last)),
        };
        let room = usize_from(u64::from(limits.bytes_max));
        let mut walk = segment.walk(from, limit, expected).reading(SEARCH_BYTES);
        let (mut gathered, mut next) = (0, offset);
        let mut walked = 0_u32;
        loop {
            let at = walk.position();
            // Of a batch that does not fit no more than its header is read. It also vouches for the
            // base offset of one that nothing but the index led to, which no checksum covers.
            if gathered > 0 {
                let led = walked == 1 && matches!(check, Check::Ends(_));
                match walk.peek() {
                    Ok(bytes) if u64_from(gathered) + bytes <= u64_from(room) => {}
                    Err(Stop::Bad(place)) if led => {
                        return Place::Bad {
                            position: at,
                            expected: offset,
                            reason: place.to_string(),
                        };
                    }
                    _ => return Place::Batches(walk.into_kept(gathered), 0, next),
                }
            }
            match walk.next() {
                Ok((_, batch)) => {
                    walked += 1;
                    expected = batch.next_offset();
                    proof = proof.filter(|last| *last != batch.last_offset());
                    if batch.last_offset() < offset {
                        continue;
                    }
                    let base = batch.base_offset();
                    // The offset is one of those that were left out: the next batch answers for it.
                    let left_out = gathered == 0 && follows(offset, base, segment.gaps_below());
                    if left_out && base >= bound && proof.is_none() {
                        return Place::Batches(Vec::new(), 0, offset);
                    }
                    // The index lied, or damage hides the batch that belongs here.
                    if (gathered == 0 && base > offset && !left_out) || proof.is_some() {
                        let reason = "the index leads elsewhere".to_owned();
                        return Place::Bad { position: at, expected: offset, reason };
                    }
                    let bytes = batch.as_bytes().len();
                    if gathered > 0 && base >= bound {
                        return Place::Batches(walk.into_kept(gathered), 0, next);
                    }
                    if gathered == 0 {
                        // From here on what is read is what is returned: no copy of its own.
                        walk.keep(at, u64_from(room.max(bytes) + HEADER_BYTES));
                    }
                    gathered += bytes;
                    next = expected.unwrap_or(Offset::MAX);
                }
                Err(_) if gathered > 0 => {
                    return Place::Batches(walk.into_kept(gathered), 0, next);
                }
                Err(Stop::End) if at >= limit => return Place::Beyond,
                Err(stop) => {
                    let reason = match stop {
                        Stop::Bad(place) => place.to_string(),
                        Stop::Unreadable(error) => format!("the device cannot read it: {error}"),
                        Stop::End => "the file ends too early".to_owned(),
                    };
                    let expected = expected.unwrap_or(offset);
                    return Place::Bad { position: at, expected, reason };
                }
            }
        }
    }

    /// Records damage met while reading, from `offsets.start` on.
    pub(super) fn discover(
        &self,
        segment: &Segment,
        limit: u64,
        at: u64,
        offsets: Range<Offset>,
        reason: String,
    ) -> Damage {
        let file = &**segment.file();
        let proof = Proof::Neighbour { end: Some(offsets.end), gaps_below: segment.gaps_below() };
        let found = next_batch(file, at + 1, limit, offsets.start, proof);
        let (until, end) = match found {
            Some(found) => (found.base, found.position),
            None => (offsets.end.max(offsets.start), content_end(file, at, limit)),
        };
        let damage = Damage {
            offsets: offsets.start..until,
            path: segment.path().to_owned(),
            positions: at..end,
            reason,
        };
        let mut head = self.head.lock();
        // A log that is being cut has no damage, or that which its recovery will find.
        let cut = head.segments.iter().all(|held| !core::ptr::eq(Arc::as_ptr(held), segment))
            || !self.truncations.load(Ordering::Acquire).is_multiple_of(2);
        if !cut && !head.damage.contains(&damage) {
            let before = head.shown();
            head.damage.push(damage.clone());
            self.shared.events.post(|| {
                let (partition, damage) = (self.name.clone(), Box::new(damage.clone()));
                Event::Damage { partition, damage }
            });
            if matches!(before, LogState::Online) {
                self.state_changed(before, head.shown());
            }
        }
        damage
    }

    pub(super) fn corrupt(&self, damage: Damage) -> FetchError {
        FetchError::Corrupt { partition: self.name.clone(), damage: Box::new(damage) }
    }
}

/// What proves that a walk started at a batch of this log.
#[derive(Clone, Copy, Debug)]
enum Check {
    /// The first batch starts with this offset.
    Starts(Offset),
    /// Some batch on the way ends with this offset, as the index says.
    Ends(Offset),
}

/// Up to which byte of `segment` readers may look.
pub(super) fn limit_of(segment: &Segment, reach: &Reach) -> u64 {
    if segment.base() == reach.segment {
        return reach.mark.batch_end.get().into();
    }
    match segment.end() {
        Some(end) if segment.base() < reach.segment => end.get().into(),
        _ => 0,
    }
}

fn position(bytes: u64) -> Position {
    Position::new(u32_saturated(usize_from(bytes)))
}

/// What a look at every batch found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Verified {
    /// Batches that passed every check.
    pub batches: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What did not.
    pub damage: Vec<Damage>,
}

impl Partition {
    /// Reads and checks everything that readers can see.
    pub(crate) fn verify(&self) -> Result<Verified, FetchError> {
        let mut verified = Verified::default();
        let mut offset = self.view()?.log_start;
        loop {
            match self.fetch(offset, FetchLimits::default(), IsolationLevel::ReadUncommitted) {
                Ok(fetched) if fetched.is_empty() => return Ok(verified),
                Ok(fetched) => {
                    verified.batches += u64_from(fetched.batches().count());
                    verified.bytes += u64_from(fetched.bytes.len());
                    offset = fetched.next_offset;
                }
                Err(FetchError::Corrupt { damage, .. }) => {
                    let next = damage.offsets.end.max(offset.checked_add(1).unwrap_or(offset));
                    verified.damage.push(*damage);
                    offset = next;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
