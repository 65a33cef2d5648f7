//! What opening a partition found and did: told to whoever opened it, never acted upon again.
//!
//! ```text
//!   open ─▶ Recovered { clean? · log start and end · what was cut, rewritten, rebuilt · damage }
//! ```

use core::fmt;

use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::segment::recover::Damage;

/// What opening a partition found and did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The partition.
    pub partition: TopicPartition,
    /// Whether it was closed cleanly, so that nothing had to be scanned.
    pub clean: bool,
    /// The first offset that can be read.
    pub log_start_offset: Offset,
    /// The next offset to be given.
    pub log_end_offset: Offset,
    /// How far the watermark on disk vouched for, where there was one.
    pub durable_offset: Option<Offset>,
    /// Bytes of torn writes that were cut off behind the end.
    pub bytes_cut: u64,
    /// Bytes of segment files that were read: those above the last checkpoint, none after a clean
    /// close.
    pub bytes_read: u64,
    /// Bytes above the watermark that were written anew before anyone could see them.
    pub rewritten_bytes: u64,
    /// Index files that were missing or said something else.
    pub indexes_rebuilt: u32,
    /// Durable records that can no longer be read.
    pub damage: Vec<Damage>,
    /// The leader epoch from here on.
    pub leader_epoch: LeaderEpoch,
    /// What was skipped or repaired besides, in prose.
    pub warnings: Vec<String>,
}

impl Recovered {
    /// Whether there is anything to tell: it was not closed cleanly, or is not as it was.
    pub(crate) fn is_news(&self) -> bool {
        !self.clean || !self.damage.is_empty() || !self.warnings.is_empty()
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.clean { "as it was closed" } else { "recovered" };
        write!(
            f,
            "{}: {how}, offsets {} to {}; {} bytes read, {} cut off, {} indexes rebuilt",
            self.partition,
            self.log_start_offset,
            self.log_end_offset,
            self.bytes_read,
            self.bytes_cut,
            self.indexes_rebuilt
        )?;
        for damage in &self.damage {
            write!(f, "; {damage}")?;
        }
        for warning in &self.warnings {
            write!(f, "; {warning}")?;
        }
        Ok(())
    }
}
