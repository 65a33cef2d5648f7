//! How much each member has, and who has least among those that want a topic.
//!
//! ```text
//!   bucket    members of one class and rack, ordered by (size, member)
//!   topic ─▶ the buckets that want it ─▶ the smallest first entry
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::int::{at, count, index};

use super::super::super::racks::Racks;
use super::super::super::universe::{NONE, Universe};

#[derive(Debug)]
struct Bucket {
    rack: u32,
    ranks: BTreeSet<(u32, u32)>,
}

/// The sizes of all members, kept in order.
#[derive(Debug)]
pub(super) struct Load {
    sizes: Vec<u32>,
    bucket_of: Vec<u32>,
    buckets: Vec<Bucket>,
    /// For each topic the buckets that want it.
    of_topic: Vec<Vec<u32>>,
    /// Members that share a topic with another: only those can be evened out.
    movable: Vec<bool>,
}

impl Load {
    pub(super) fn new(universe: &Universe<'_>, racks: Option<&Racks>) -> Self {
        let members = universe.member_count();
        let mut known: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        let mut buckets: Vec<Bucket> = Vec::new();
        let mut bucket_of = Vec::new();
        let mut of_topic = vec![Vec::new(); universe.topics().len()];
        for member in 0..members {
            let class = universe.class(member);
            let rack = racks.map_or(NONE, |racks| racks.rack(member));
            let bucket = *known.entry((class, rack)).or_insert_with(|| {
                let number = index(buckets.len());
                buckets.push(Bucket { rack, ranks: BTreeSet::new() });
                for topic in &universe.classes()[at(class)] {
                    of_topic[at(*topic)].push(number);
                }
                number
            });
            buckets[at(bucket)].ranks.insert((0, member));
            bucket_of.push(bucket);
        }
        let shared = |topic: &u32| universe.readers(*topic).len() > 1;
        let movable = |member| universe.classes()[at(universe.class(member))].iter().any(shared);
        Self {
            sizes: vec![0; at(members)],
            bucket_of,
            buckets,
            of_topic,
            movable: (0..members).map(movable).collect(),
        }
    }

    pub(super) fn size(&self, member: u32) -> u32 {
        self.sizes[at(member)]
    }

    pub(super) fn fullest(&self) -> u32 {
        self.sizes.iter().copied().max().unwrap_or(0)
    }

    fn change(&mut self, member: u32, change: impl Fn(u32) -> u32) {
        let size = self.sizes[at(member)];
        let ranks = &mut self.buckets[at(self.bucket_of[at(member)])].ranks;
        assert!(ranks.remove(&(size, member)), "every member has its rank");
        ranks.insert((change(size), member));
        self.sizes[at(member)] = change(size);
    }

    /// `member` has one more.
    pub(super) fn more(&mut self, member: u32) {
        self.change(member, |size| size + 1);
    }

    /// `member`, if it is one, has one less.
    pub(super) fn less(&mut self, member: u32) {
        if member != NONE {
            self.change(member, |size| size - 1);
        }
    }

    /// The least loaded reader of `topic`, the smaller one of two.
    pub(super) fn least(&self, topic: u32) -> u32 {
        self.least_near(topic, |_| true).unwrap_or(NONE)
    }

    /// The least loaded reader of `topic` whose rack is `near`.
    pub(super) fn least_near(&self, topic: u32, near: impl Fn(u32) -> bool) -> Option<u32> {
        let buckets = self.of_topic[at(topic)].iter().map(|bucket| &self.buckets[at(*bucket)]);
        let firsts = buckets.filter(|b| near(b.rack)).filter_map(|b| b.ranks.first());
        firsts.min().map(|(_, member)| *member)
    }

    /// The sum of the differences between all pairs of members: 0 if all have the same.
    pub(super) fn unevenness(&self) -> u64 {
        let movable = self.sizes.iter().zip(&self.movable).filter(|(_, movable)| **movable);
        let mut sizes: Vec<u64> = movable.map(|(size, _)| u64::from(*size)).collect();
        sizes.sort_unstable();
        let (mut sum, mut below) = (0, 0);
        for (place, size) in sizes.iter().enumerate() {
            sum += size * count(place) - below;
            below += size;
        }
        sum
    }
}
