//! What is remembered of one producer, in one cache line.
//!
//! ```text
//!   Entry, 64 bytes                                    older batches, 96 bytes, from the second on
//!   │ id │ last batch │ timestamp │ transaction │ … │──▶ │ −1 │ −2 │ −3 │ −4 │
//! ```
//!
//! The batch before the last one is looked at only for a repetition, so it stands elsewhere.
//! Fields are raw numbers with −1 for none, as in Kafka's `ProducerStateEntry`.

use core::time::Duration;

use crate::clock::Tick;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Batches remembered for a producer, and so the batches it may have in flight
/// (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub(crate) const BATCHES_MAX: usize = 5;
/// Those that are not the last.
pub(super) const OLDER_MAX: usize = BATCHES_MAX - 1;

/// No block of older batches.
pub(super) const NO_BLOCK: u32 = u32::MAX;

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Batch {
    pub(super) last_offset: i64,
    pub(super) timestamp: i64,
    /// −1: appended without one.
    pub(super) last_sequence: i32,
    pub(super) offset_delta: i32,
}

impl Batch {
    pub(crate) fn base_sequence(&self) -> Sequence {
        match self.last_sequence() {
            Sequence::NONE => Sequence::NONE,
            last => last.decrement(self.offset_delta),
        }
    }

    pub(crate) fn last_sequence(&self) -> Sequence {
        Sequence::new(self.last_sequence).unwrap_or(Sequence::NONE)
    }

    pub(crate) fn base_offset(&self) -> Offset {
        Offset::new(self.last_offset - i64::from(self.offset_delta)).unwrap_or(Offset::ZERO)
    }

    pub(crate) fn last_offset(&self) -> Offset {
        Offset::new(self.last_offset).unwrap_or(Offset::ZERO)
    }

    pub(crate) const fn timestamp(&self) -> TimestampMs {
        TimestampMs::new(self.timestamp)
    }
}

/// When a producer last appended, in whole seconds of the monotonic clock.
///
/// Rounded up, so that nobody expires early. Counted from [`Stamp::START`], so that a producer
/// read from a file can have appended before this process began.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Stamp(u32);

const NANOS: u64 = 1_000_000_000;

impl Stamp {
    /// Tick 0.
    const START: u32 = 1 << 31;

    pub(super) fn at(now: Tick) -> Self {
        Self::seconds(now.as_nanos().div_ceil(NANOS))
    }

    fn seconds(seconds: u64) -> Self {
        Self(u32::try_from(seconds).unwrap_or(u32::MAX).saturating_add(Self::START))
    }

    /// The stamp of one whose last append lies `age` seconds back.
    pub(super) fn aged(now: Tick, age: u32) -> Self {
        Self(Self::at(now).0.saturating_sub(age))
    }

    /// Whole seconds from here to `now`.
    pub(super) fn age(self, now: Tick) -> u32 {
        Self::seconds(now.as_nanos() / NANOS).0.saturating_sub(self.0)
    }

    pub(super) fn is_expired(self, now: Tick, expiration: Duration) -> bool {
        u64::from(self.age(now)) >= expiration.as_secs().max(1)
    }
}

/// One producer.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Entry {
    pub(super) producer_id: i64,
    /// Meaningless where `batches` is 0.
    pub(super) last: Batch,
    /// Of the last batch or marker.
    pub(super) last_timestamp: i64,
    /// −1: no transaction is open.
    pub(super) txn_first_offset: i64,
    /// −1: no marker was seen.
    pub(super) coordinator_epoch: i32,
    pub(super) appended: Stamp,
    /// The block of older batches.
    pub(super) older: u32,
    pub(super) epoch: i16,
    pub(super) batches: u8,
}

const _: () = assert!(size_of::<Entry>() == 64);
const _: () = assert!(size_of::<[Batch; OLDER_MAX]>() == 96);

impl Default for Entry {
    fn default() -> Self {
        Self::new(-1)
    }
}

impl Entry {
    /// A producer of which nothing is known yet.
    pub(super) fn new(producer_id: i64) -> Self {
        Self {
            producer_id,
            last: Batch::default(),
            last_timestamp: -1,
            txn_first_offset: -1,
            coordinator_epoch: -1,
            appended: Stamp::default(),
            older: NO_BLOCK,
            epoch: -1,
            batches: 0,
        }
    }

    pub(super) fn producer_id(&self) -> ProducerId {
        ProducerId::new(self.producer_id).unwrap_or(ProducerId::NONE)
    }

    pub(super) fn epoch(&self) -> ProducerEpoch {
        ProducerEpoch::new(self.epoch).unwrap_or(ProducerEpoch::NONE)
    }

    /// The last batch of this epoch.
    pub(super) const fn last(&self) -> Option<&Batch> {
        if self.batches == 0 { None } else { Some(&self.last) }
    }

    /// The sequence that goes on from the last batch; 0 in a new epoch.
    pub(super) fn next_sequence(&self) -> Sequence {
        match self.last().map(Batch::last_sequence) {
            None | Some(Sequence::NONE) => Sequence::ZERO,
            Some(last) => last.increment(1),
        }
    }

    /// The first offset of the open transaction.
    pub(super) const fn txn_first_offset(&self) -> Option<Offset> {
        Offset::new(self.txn_first_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_expires_early_and_everybody_within_two_seconds() {
        let second = Duration::from_secs(1);
        let start = Tick::from_nanos(123);
        let stamp = Stamp::at(start);
        for quarter in 0..60 {
            let passed = second * quarter / 4;
            let expired = stamp.is_expired(start.after(passed), second * 10);
            assert!(!expired || passed >= second * 10, "{passed:?}");
            assert!(expired || passed <= second * 12, "{passed:?}");
        }
    }

    #[test]
    fn a_stamp_may_lie_before_the_clock_began() {
        let stamp = Stamp::aged(Tick::default(), 3600);
        assert_eq!(stamp.age(Tick::default().after(Duration::from_mins(1))), 3660);
        assert_eq!(Stamp::aged(Tick::default(), u32::MAX).age(Tick::default()), Stamp::START);
    }
}
