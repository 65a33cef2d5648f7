//! Which members stand where a partition has a replica (KIP-881), as bits.
//!
//! ```text
//!   racks      a b c …      numbered as they are met
//!   members    1 2 − 0      each member's rack, or none
//!   bits       011 100 …    for each partition the racks of its replicas
//! ```

use std::collections::BTreeMap;

use crate::ids::RackId;
use crate::int::{at, index};

use super::Topics;
use super::universe::{NONE, Universe};

/// The racks of a group in which at least one member has one.
#[derive(Debug)]
pub(super) struct Racks {
    /// 64-bit words that hold the racks of one partition.
    words: usize,
    bits: Vec<u64>,
    members: Vec<u32>,
    count: usize,
}

impl Racks {
    /// `None` if no member says where it stands.
    pub(super) fn new(universe: &Universe<'_>, topics: &Topics) -> Option<Self> {
        let rack_of = |i: &u32| universe.subscription(*i).rack();
        let ids = 0..universe.member_count();
        if !ids.clone().any(|i| rack_of(&i).is_some()) {
            return None;
        }
        let mut numbers: BTreeMap<&RackId, u32> = BTreeMap::new();
        let mut number = |rack| {
            let next = index(numbers.len());
            *numbers.entry(rack).or_insert(next)
        };
        let members = ids.map(|i| rack_of(&i).map_or(NONE, &mut number)).collect();
        let mut of_partitions: Vec<Vec<u32>> = Vec::with_capacity(at(universe.partition_count()));
        for topic in universe.topics() {
            for partition in 0..topic.partitions {
                let racks = topics.racks(topic.name, partition);
                of_partitions.push(racks.iter().map(&mut number).collect());
            }
        }
        let count = numbers.len();
        let words = count.div_ceil(64);
        let mut bits = vec![0; words * of_partitions.len()];
        for (partition, racks) in of_partitions.iter().enumerate() {
            for rack in racks {
                bits[partition * words + at(*rack) / 64] |= 1 << (rack % 64);
            }
        }
        Some(Self { words, bits, members, count })
    }

    fn of(&self, partition: u32) -> &[u64] {
        let start = at(partition) * self.words;
        &self.bits[start..start + self.words]
    }

    fn holds(set: &[u64], rack: u32) -> bool {
        set.get(at(rack) / 64).is_some_and(|word| word >> (rack % 64) & 1 == 1)
    }

    /// The member's rack, or [`NONE`].
    pub(super) fn rack(&self, member: u32) -> u32 {
        self.members[at(member)]
    }

    /// Whether the partition has a replica on `rack`; never on [`NONE`].
    pub(super) fn on(&self, partition: u32, rack: u32) -> bool {
        rack != NONE && Self::holds(self.of(partition), rack)
    }

    /// Whether the member has a rack and the partition a replica there.
    pub(super) fn matches(&self, partition: u32, member: u32) -> bool {
        self.on(partition, self.rack(member))
    }

    /// Whether the member has a rack and the partition no replica there.
    pub(super) fn mismatches(&self, partition: u32, member: u32) -> bool {
        let rack = self.rack(member);
        rack != NONE && !Self::holds(self.of(partition), rack)
    }

    /// Whether racks make a difference: some of `members` stands where a partition is, and not
    /// every partition is everywhere.
    pub(super) fn matter(&self, members: &[u32], partitions: core::ops::Range<u32>) -> bool {
        let mut union = vec![0; self.words];
        for partition in partitions.clone() {
            for (word, more) in union.iter_mut().zip(self.of(partition)) {
                *word |= more;
            }
        }
        let met = members.iter().any(|member| {
            let rack = self.rack(*member);
            rack != NONE && Self::holds(&union, rack)
        });
        met && partitions.into_iter().any(|partition| self.of(partition) != union.as_slice())
    }

    /// For each partition how many members stand where it has a replica.
    pub(super) fn members_near(&self, partitions: u32) -> Vec<u32> {
        let mut standing = vec![0_u32; self.count];
        for rack in self.members.iter().filter(|rack| **rack != NONE) {
            standing[at(*rack)] += 1;
        }
        let near = |partition| {
            let set = self.of(partition);
            let here = standing.iter().zip(0..).filter(|(_, rack)| Self::holds(set, *rack));
            here.map(|(members, _)| *members).sum()
        };
        (0..partitions).map(near).collect()
    }
}
