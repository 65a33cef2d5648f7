//! Which leader epoch wrote which offsets (Kafka `LeaderEpochFileCache`).
//!
//! ```text
//!   epoch    0         2              5
//!   offsets  ├─────────┼──────────────┼──────────▶ log end
//!            0         40             90
//!   end_offset_for:  0 ─▶ (0, 40)   1 ─▶ (0, 40)   2 ─▶ (2, 90)   5 ─▶ (5, log end)   6 ─▶ none
//! ```
//!
//! Invariant: epochs and their first offsets both rise strictly.

use crate::format::checkpoint::LeaderEpochEntry;
use crate::ids::{LeaderEpoch, Offset};

/// The epochs of one log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct LeaderEpochs(Vec<LeaderEpochEntry>);

impl LeaderEpochs {
    /// Those of a checkpoint file, which rise.
    pub(crate) const fn new(entries: Vec<LeaderEpochEntry>) -> Self {
        Self(entries)
    }

    pub(crate) fn entries(&self) -> &[LeaderEpochEntry] {
        &self.0
    }

    /// The newest epoch, if there is one.
    pub(crate) fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|entry| entry.epoch)
    }

    /// Whether the newest epoch begins at `end` or before it.
    pub(crate) fn starts_at_or_below(&self, end: Offset) -> bool {
        self.0.last().is_some_and(|last| last.start_offset <= end)
    }

    /// Records from `start` on are written in `epoch`: whatever contradicts that is dropped. Returns
    /// whether anything changed.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        let known = self.0.last();
        if known.is_some_and(|last| last.epoch == epoch && last.start_offset <= start) {
            return false;
        }
        self.0.retain(|entry| entry.epoch < epoch && entry.start_offset < start);
        self.0.push(LeaderEpochEntry { epoch, start_offset: start });
        self.check();
        true
    }

    /// The log was cut to end at `end`. Returns whether anything changed.
    pub(crate) fn truncate_from_end(&mut self, end: Offset) -> bool {
        let before = self.0.len();
        self.0.retain(|entry| entry.start_offset < end);
        self.0.len() != before
    }

    /// The log begins at `start` now. Returns whether anything changed.
    pub(crate) fn truncate_from_start(&mut self, start: Offset) -> bool {
        let below = self.0.partition_point(|entry| entry.start_offset <= start);
        let Some(first) = below.checked_sub(1) else { return false };
        self.0.drain(..first);
        let Some(entry) = self.0.first_mut() else { return false };
        let changed = first > 0 || entry.start_offset != start;
        entry.start_offset = start;
        self.check();
        changed
    }

    /// Where the records of `epoch`, or of the one before it that there is, end.
    pub(crate) fn end_offset_for(
        &self,
        epoch: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        if self.latest()? == epoch {
            return Some((epoch, log_end));
        }
        let after = self.0.partition_point(|entry| entry.epoch <= epoch);
        let next = self.0.get(after)?;
        let floor = after.checked_sub(1).and_then(|before| self.0.get(before));
        Some((floor.map_or(epoch, |entry| entry.epoch), next.start_offset))
    }

    fn check(&self) {
        debug_assert!(
            self.0.is_sorted_by(|a, b| a.epoch < b.epoch && a.start_offset < b.start_offset),
            "{self:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(value: i32) -> LeaderEpoch {
        LeaderEpoch::new(value).unwrap()
    }

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let entry = |(of, start): &(i32, i64)| LeaderEpochEntry {
            epoch: epoch(*of),
            start_offset: at(*start),
        };
        LeaderEpochs::new(entries.iter().map(entry).collect())
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_there_is_begins() {
        let known = epochs(&[(2, 40), (5, 90)]);
        let end = |of| known.end_offset_for(epoch(of), at(100));
        assert_eq!(end(5), Some((epoch(5), at(100))));
        assert_eq!(end(2), Some((epoch(2), at(90))));
        assert_eq!(end(3), Some((epoch(2), at(90))), "the one before it that there is");
        assert_eq!(end(0), Some((epoch(0), at(40))), "older than all of them");
        assert_eq!(end(6), None, "newer than all of them");
        assert_eq!(epochs(&[]).end_offset_for(epoch(0), at(0)), None);
    }

    #[test]
    fn an_assignment_drops_what_contradicts_it() {
        let mut known = epochs(&[(0, 0), (2, 40), (5, 90)]);
        assert!(!known.assign(epoch(5), at(95)), "it is written in 5 already");
        assert!(known.assign(epoch(6), at(90)));
        assert_eq!(known, epochs(&[(0, 0), (2, 40), (6, 90)]));
        assert!(known.assign(epoch(1), at(50)));
        assert_eq!(known, epochs(&[(0, 0), (1, 50)]));
        assert!(known.assign(epoch(1), at(20)));
        assert_eq!(known, epochs(&[(0, 0), (1, 20)]));
    }

    #[test]
    fn both_ends_can_be_cut_off() {
        let mut known = epochs(&[(0, 0), (2, 40), (5, 90)]);
        assert!(!known.truncate_from_end(at(91)));
        assert!(known.truncate_from_end(at(90)));
        assert_eq!(known, epochs(&[(0, 0), (2, 40)]));
        assert!(known.truncate_from_start(at(39)));
        assert_eq!(known, epochs(&[(0, 39), (2, 40)]));
        assert!(!known.truncate_from_start(at(39)));
        assert!(known.truncate_from_start(at(70)));
        assert_eq!(known, epochs(&[(2, 70)]));
        assert!(known.truncate_from_end(at(0)));
        assert_eq!(known, epochs(&[]));
    }
}
