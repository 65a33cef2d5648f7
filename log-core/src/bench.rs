//! The sequence index alone, for benchmarks and for nothing else (feature `bench`).
//!
//! ```text
//!   Log::append ─▶ … the lock … ─▶ SequenceIndex ─▶ … offset, copy …
//!                                  └ what this lets a benchmark call by itself
//! ```

use core::fmt;
use core::time::Duration;

use parking_lot::MutexGuard;

use crate::clock::Tick;
use crate::format::snapshot::{parse_snapshot, snapshot_bytes};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::log::Log;
use crate::log::head::Head;
use crate::model::producers::{
    Content, Frozen, Origin, ProducerBatch, ProducerLimits, Producers, Verdict,
};

const LIMITS: ProducerLimits = ProducerLimits {
    expiration: Duration::from_hours(24),
    producers_max: u32::MAX,
    accept_unknown: false,
};

/// The producers of a partition, without the partition.
#[derive(Debug)]
pub struct SequenceIndex {
    producers: Producers,
    end: Offset,
    now: Tick,
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are these three")]
pub enum Becomes {
    /// It was appended.
    Appended,
    /// It is known.
    Duplicate,
    /// It is refused.
    Refused,
}

impl Default for SequenceIndex {
    fn default() -> Self {
        Self {
            producers: Producers::new(LIMITS, 0x5EED),
            end: Offset::ZERO,
            now: Tick::from_nanos(1),
        }
    }
}

fn batch(id: i64, sequence: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id: ProducerId::new(id).unwrap_or(ProducerId::NONE),
        producer_epoch: ProducerEpoch::new(0).unwrap_or(ProducerEpoch::NONE),
        base_sequence: Sequence::new(sequence).unwrap_or(Sequence::NONE),
        last_offset_delta: 0,
        max_timestamp: TimestampMs::new(1_000),
        content: Content::Plain,
    }
}

fn check(producers: &Producers, id: i64, sequence: i32) -> Becomes {
    match producers.check(&batch(id, sequence), Origin::Client) {
        Ok(Verdict::Append(_)) => Becomes::Appended,
        Ok(Verdict::Duplicate(_)) => Becomes::Duplicate,
        Err(_) => Becomes::Refused,
    }
}

/// The index of a log that is in use, under the log's lock, as an append has it.
pub struct LogIndex<'log>(MutexGuard<'log, Head>);

impl<'log> LogIndex<'log> {
    /// Locks `log`: its appends wait until this is dropped.
    #[must_use]
    pub fn of(log: &'log Log) -> Self {
        Self(log.partition().head.lock())
    }

    /// The verdict on a one-record batch; nothing changes.
    #[must_use]
    pub fn check(&self, id: i64, sequence: i32) -> Becomes {
        check(&self.0.producers, id, sequence)
    }
}

impl fmt::Debug for LogIndex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogIndex({} producers)", self.0.producers.len())
    }
}

impl SequenceIndex {
    /// The verdict on a one-record batch; nothing changes.
    #[must_use]
    pub fn check(&self, id: i64, sequence: i32) -> Becomes {
        check(&self.producers, id, sequence)
    }

    /// The verdict and what follows from it, as an append does under its lock.
    pub fn append(&mut self, id: i64, sequence: i32) -> Becomes {
        let batch = batch(id, sequence);
        self.producers.sweep(self.now);
        match self.producers.check(&batch, Origin::Client) {
            Ok(Verdict::Append(place)) => {
                self.producers.apply(place, &batch, self.end, self.now);
                self.end = self.end.checked_add(1).unwrap_or(Offset::ZERO);
                Becomes::Appended
            }
            Ok(Verdict::Duplicate(_)) => Becomes::Duplicate,
            Err(_) => Becomes::Refused,
        }
    }

    /// Producers known.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.producers.len()
    }

    /// Whether nobody is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.producers.memory_bytes()
    }

    /// The state as of now, to be written while appends go on.
    #[must_use]
    pub fn freeze(&self) -> FrozenIndex {
        FrozenIndex(self.producers.freeze(self.now))
    }

    /// Reads Kafka's snapshot; `None` if it is none.
    #[must_use]
    pub fn from_kafkas(bytes: &[u8]) -> Option<Self> {
        let entries = parse_snapshot(bytes).ok()?;
        let empty = Self::default();
        let producers =
            Producers::from_snapshot(&entries, Offset::MAX, LIMITS, 1, empty.now).ok()?;
        Some(Self { producers, ..empty })
    }

    /// Reads our file's bytes; `None` if they are none.
    #[must_use]
    pub fn from_ours(bytes: &[u8]) -> Option<Self> {
        let empty = Self::default();
        let producers = Producers::from_bytes(bytes, Offset::MAX, LIMITS, 1, empty.now).ok()?;
        Some(Self { producers, ..empty })
    }
}

/// A state that stands still.
#[derive(Debug)]
pub struct FrozenIndex(Frozen);

impl FrozenIndex {
    /// As Kafka's snapshot.
    #[must_use]
    pub fn kafkas(&self) -> Vec<u8> {
        snapshot_bytes(&self.0.snapshot_entries())
    }

    /// As our file.
    #[must_use]
    pub fn ours(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.append_to(&mut bytes);
        bytes
    }
}
