//! Who owns what, out of what members say they own.
//!
//! ```text
//!   claims of one partition           owner
//!   none                              nobody
//!   one in the highest generation     that member; older claims are stale
//!   more in the highest generation    nobody, and it is withheld until both have let go
//! ```
//!
//! The highest generation is found first and ties are looked for after, so the order of members
//! does not matter (in Kafka three claimants of two generations depend on it).

use crate::ids::Generation;
use crate::int::{at, high_half, low_half};

use super::super::universe::{NONE, Universe};
use super::Claim;

/// Two members claim it in one generation.
pub(super) const DOUBLE: u32 = NONE - 1;

/// The claims of all members, resolved.
#[derive(Debug)]
pub(super) struct Claims {
    /// For each partition its owner, [`NONE`] or [`DOUBLE`].
    pub(super) claimant: Vec<u32>,
    /// All claims, member by member: number in the topic (high half) and topic (low half).
    keys: Vec<u64>,
    /// Where each member's claims end in `keys`.
    ends: Vec<usize>,
    generations: Vec<i32>,
}

impl Claims {
    pub(super) fn new(universe: &Universe<'_>, claims: &[Claim<'_>]) -> Self {
        let (names, places) = universe.names();
        let total = claims.iter().map(|(owned, _)| owned.len()).sum();
        let mut keys = Vec::with_capacity(total);
        let mut ends = Vec::with_capacity(claims.len());
        let partitions = at(universe.partition_count());
        let mut claimant = vec![NONE; partitions];
        let mut newest = vec![i32::MIN; partitions];
        let generations: Vec<i32> = claims.iter().map(|(_, g)| Generation::to_wire(*g)).collect();
        for (member, ((owned, _), generation)) in (0..).zip(claims.iter().zip(&generations)) {
            for (name, numbers) in owned.topics() {
                let Some(place) = places.find(&names, name) else { continue };
                let topic = universe.topic(place);
                for number in numbers.iter().take_while(|number| **number < topic.partitions) {
                    keys.push(u64::from(*number) << 32 | u64::from(place));
                    let partition = at(topic.first + number);
                    let newest = &mut newest[partition];
                    if *generation > *newest {
                        *newest = *generation;
                        claimant[partition] = member;
                    } else if *generation == *newest {
                        claimant[partition] = DOUBLE;
                    }
                }
            }
            ends.push(keys.len());
        }
        Self { claimant, keys, ends, generations }
    }

    /// What `member` claims, as keys of number and topic.
    pub(super) fn of(&self, member: u32) -> &[u64] {
        let start = at(member).checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.keys[start..self.ends[at(member)]]
    }

    /// Members that missed a generation which another has, with theirs.
    pub(super) fn stale(&self) -> impl Iterator<Item = (u32, i32)> {
        let newest = self.generations.iter().copied().max().unwrap_or(-1);
        let all = (0..).zip(&self.generations).map(|(member, generation)| (member, *generation));
        all.filter(move |(_, generation)| *generation < newest)
    }
}

/// The partition's index.
pub(super) fn partition(universe: &Universe<'_>, key: u64) -> u32 {
    universe.topic(low_half(key)).first + high_half(key)
}
