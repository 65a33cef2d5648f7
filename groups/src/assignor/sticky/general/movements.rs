//! What moved from whom to whom, so that two moves in opposite directions become none
//! (Kafka `PartitionMovements`).

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Movements {
    /// For each moved partition where it came from and where it is.
    of: BTreeMap<u32, (u32, u32)>,
    /// For each topic and pair what moved that way.
    pairs: BTreeMap<(u32, u32, u32), BTreeSet<u32>>,
}

impl Movements {
    /// The partition to move instead of `partition` from `owner` to `to`: one of the same topic
    /// that came the other way, the smallest of them.
    pub(super) fn actual(&self, topic: u32, partition: u32, owner: u32, to: u32) -> u32 {
        let origin = self.of.get(&partition).map_or(owner, |(from, _)| *from);
        let back = self.pairs.get(&(topic, to, origin)).and_then(BTreeSet::first);
        back.copied().unwrap_or(partition)
    }

    /// Notes that `partition` went from `owner` to `to`.
    pub(super) fn note(&mut self, topic: u32, partition: u32, owner: u32, to: u32) {
        let mut from = owner;
        if let Some((origin, last)) = self.of.remove(&partition) {
            assert_eq!(last, owner, "a partition is where it last went");
            if let Some(pair) = self.pairs.get_mut(&(topic, origin, last)) {
                pair.remove(&partition);
            }
            from = origin;
        }
        if from != to {
            self.of.insert(partition, (from, to));
            self.pairs.entry((topic, from, to)).or_default().insert(partition);
        }
    }
}
