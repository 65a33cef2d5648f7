//! Bugs planted on purpose, so that the simulator can prove that it would find them.
//!
//! Each place in the library that a bug is planted in is one line: `if mutant::on(Mutant::…)`.
//! Without the feature `mutants` that is `if false`, and nothing of this is in the build. With it,
//! one bug at a time is switched on for one thread; whoever searches is not told which.

/// A planted bug.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(not(feature = "mutants"), expect(unreachable_pub, reason = "public with the feature"))]
pub enum Mutant {
    /// Names in a partition's directory are not made durable before what they hold counts.
    SkipDirSync,
    /// A flush counts when it is submitted, not when it has succeeded.
    AckBeforeSync,
    /// A failed flush is tried again and its second answer believed.
    RetryFailedSync,
    /// Recovery leaves the torn tail in the file, behind the end it reports.
    KeepTornTail,
    /// A short write counts as a whole one.
    IgnoreShortWrite,
    /// The clean marker is believed without a look at the files.
    TrustCleanMarker,
    /// S2: a dsync write counts as a flush of everything before it.
    OwnRangeCoversAll,
    /// S3: recovery shows its tail without writing it anew.
    SkipTailRewrite,
    /// S5: a bad place above the watermark is cut, whatever stands behind it.
    CutBeforeGoodData,
    /// S5: the watermark is written before the flush it reports.
    WatermarkBeforeFlush,
    /// A flush counts for the writes submitted before it, not for the completed ones.
    SyncCoversSubmitted,
    /// A block is written again while its earlier write is in flight.
    TailBlockRace,
    /// Damage below the watermark is taken for the end of the log.
    CutDurableDamage,
    /// S6: a checkpoint is written before what it covers is durable, and believed though the log
    /// ends before it.
    CheckpointAboveEnd,
    /// Recovery takes batches without checking that their offsets follow each other.
    SkipContinuity,
    /// S15: a sequence is remembered before its batch has its place.
    SequenceWithoutBatch,
    /// D9: a repetition is acknowledged whatever has become of the batch it repeats.
    DuplicateBeforeOriginal,
    /// I3: recovery takes the newest snapshot of producers for their state.
    StaleSnapshot,
    /// Segments are removed before it is durable that the log starts behind them.
    StartNotDurable,
    /// Files are cut before it is durable that the log ends there.
    CutBeforeDecision,
    /// A truncation leaves the old tail in the file.
    KeepTruncatedTail,
    /// A seal is believed for a segment that is not as long as it says.
    BelieveShortSeal,
    /// Producers are remembered by batches that a truncation deleted.
    ProducersOutliveTruncation,
    /// A log begins anew where an old snapshot still tells of its producers.
    SnapshotOutlivesRestart,
    /// What producers were is not written down before their segments are deleted.
    DeleteBeforeSnapshot,
    /// The bytes behind a watermark are judged by the settings of who opens, not of who wrote them.
    BoundOfThisLife,
    /// A topic counts as deleted before its absence is durable.
    DeleteTopicBeforeSync,
    /// A topic counts as larger before its new partitions are durable.
    GrowBeforeSync,
    /// A topic goes by settings that were not written down.
    AlterInMemory,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::SkipDirSync,
        Self::AckBeforeSync,
        Self::RetryFailedSync,
        Self::KeepTornTail,
        Self::IgnoreShortWrite,
        Self::TrustCleanMarker,
        Self::OwnRangeCoversAll,
        Self::SkipTailRewrite,
        Self::CutBeforeGoodData,
        Self::WatermarkBeforeFlush,
        Self::SyncCoversSubmitted,
        Self::TailBlockRace,
        Self::CutDurableDamage,
        Self::CheckpointAboveEnd,
        Self::SkipContinuity,
        Self::SequenceWithoutBatch,
        Self::DuplicateBeforeOriginal,
        Self::StaleSnapshot,
        Self::StartNotDurable,
        Self::CutBeforeDecision,
        Self::KeepTruncatedTail,
        Self::BelieveShortSeal,
        Self::ProducersOutliveTruncation,
        Self::SnapshotOutlivesRestart,
        Self::DeleteBeforeSnapshot,
        Self::BoundOfThisLife,
        Self::DeleteTopicBeforeSync,
        Self::GrowBeforeSync,
        Self::AlterInMemory,
    ];
}

#[cfg(feature = "mutants")]
mod planted {
    use super::Mutant;
    use core::cell::Cell;

    std::thread_local! {
        static PLANTED: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Plants `mutant` for stores driven by this thread, or none.
    pub fn plant(mutant: Option<Mutant>) {
        PLANTED.set(mutant);
    }

    pub(crate) fn on(mutant: Mutant) -> bool {
        PLANTED.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub(crate) use planted::on;
#[cfg(feature = "mutants")]
pub use planted::plant;

#[cfg(not(feature = "mutants"))]
pub(crate) const fn on(_: Mutant) -> bool {
    false
}
