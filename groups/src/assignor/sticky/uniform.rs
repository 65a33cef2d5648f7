//! All members want the same topics (Kafka's constrained path): sizes differ by one at most, and
//! nobody loses a partition and gains another.
//!
//! ```text
//!   P partitions, M members     min = P / M     max = min + 1 for P mod M of them, else min
//!
//!   1 keep     each member keeps what it owns, up to its share; what is above goes to the pool
//!   2 sort     the pool by topic and number; with racks, what few members are near comes first
//!   3 near     with racks: give to a member near the partition
//!   4 back     what found no member near it goes back to its owner, if there is still room
//!   5 fill     in turn to members below min, then one each to members at min
//! ```
//!
//! Step 4 is not Kafka's: there a partition that is near nobody moves with every rebalance.

use crate::int::{at, index};

use super::super::racks::Racks;
use super::super::universe::{NONE, Universe};
use super::claims::{Claims, partition};

#[derive(Debug)]
struct Shares {
    owner: Vec<u32>,
    sizes: Vec<u32>,
    min: u32,
    max: u32,
    /// How many members may end above `min`, and how many do.
    above_max: u32,
    above: u32,
    /// Below min, and at min with leave to take one more.
    below: Vec<u32>,
    ready: std::collections::VecDeque<u32>,
}

/// One owner for each partition; all have one unless there is no member.
pub(super) fn share_out(
    universe: &Universe<'_>,
    claims: &Claims,
    racks: Option<&Racks>,
) -> Vec<u32> {
    let (partitions, members) = (universe.partition_count(), universe.member_count());
    if partitions == 0 {
        return Vec::new();
    }
    let mut shares = Shares {
        owner: vec![NONE; at(partitions)],
        sizes: vec![0; at(members)],
        min: partitions / members,
        max: partitions.div_ceil(members),
        above_max: partitions % members,
        above: 0,
        below: Vec::new(),
        ready: std::collections::VecDeque::new(),
    };
    // Owners of what they keep only if nobody nearer wants it.
    let mut far = Vec::new();
    for member in 0..members {
        shares.keep(universe, claims, racks, member, &mut far);
    }
    let mut pool: Vec<u32> =
        (0..).zip(&shares.owner).filter(|(_, o)| **o == NONE).map(|(p, _)| p).collect();
    if let Some(all) = &universe.racks {
        let near = all.members_near(partitions);
        pool.sort_by_key(|partition| near[at(*partition)]);
    }
    if let Some(racks) = racks {
        pool = shares.give_near(racks, &pool);
        shares.give_back(&far);
        pool.retain(|partition| shares.owner[at(*partition)] == NONE);
    }
    shares.fill(&pool);
    shares.check();
    shares.owner
}

impl Shares {
    /// Step 1. Members come in order; the first that own enough may stay above min.
    fn keep(
        &mut self,
        universe: &Universe<'_>,
        claims: &Claims,
        racks: Option<&Racks>,
        member: u32,
        far: &mut Vec<(u32, u32)>,
    ) {
        let mine = |key: &u64| claims.claimant[at(partition(universe, *key))] == member;
        let mut own: Vec<u64> = claims.of(member).iter().copied().filter(mine).collect();
        if let Some(racks) = racks {
            own.retain(|key| {
                let partition = partition(universe, *key);
                let near = !racks.mismatches(partition, member);
                if !near {
                    far.push((partition, member));
                }
                near
            });
        }
        let size = index(own.len());
        let kept = if size < self.min {
            self.below.push(member);
            size
        } else if size >= self.max && self.above < self.above_max {
            self.above += 1;
            if self.above == self.above_max {
                self.ready.clear();
            }
            self.max
        } else {
            if self.above < self.above_max {
                self.ready.push_back(member);
            }
            self.min
        };
        if kept < size {
            // The lowest numbers of all topics stay, a mix of topics (KAFKA-16277).
            own.select_nth_unstable(at(kept));
        }
        for key in &own[..at(kept)] {
            self.owner[at(partition(universe, *key))] = member;
        }
        self.sizes[at(member)] = kept;
    }

    fn give(&mut self, partition: u32, member: u32) -> u32 {
        assert_eq!(self.owner[at(partition)], NONE, "a partition is given once");
        self.owner[at(partition)] = member;
        self.sizes[at(member)] += 1;
        self.sizes[at(member)]
    }

    /// A member went above min.
    fn went_above(&mut self) {
        self.above += 1;
        if self.above == self.above_max {
            self.ready.clear();
        }
    }

    /// Step 3; what found nobody is left over.
    fn give_near(&mut self, racks: &Racks, pool: &[u32]) -> Vec<u32> {
        let mut left = Vec::new();
        let mut next = 0;
        for partition in pool {
            let near = |member: &u32| racks.matches(*partition, *member);
            let (before, after) = self.below.split_at(next);
            let found = after.iter().position(near).map(|place| place + next);
            if let Some(place) = found.or_else(|| before.iter().position(near)) {
                let member = self.below[place];
                if self.give(*partition, member) >= self.min {
                    self.below.remove(place);
                    if self.min < self.max && self.above < self.above_max {
                        self.ready.push_back(member);
                    }
                    next = place;
                } else {
                    next = place + 1;
                }
                next = next.checked_rem(self.below.len()).unwrap_or(0);
            } else if let Some(place) = self.ready.iter().position(near) {
                let member = self.ready[place];
                if self.give(*partition, member) == self.max {
                    self.ready.remove(place);
                    self.went_above();
                }
            } else {
                left.push(*partition);
            }
        }
        left
    }

    /// Step 4. Owners come in order, each with its partitions in order.
    fn give_back(&mut self, far: &[(u32, u32)]) {
        for (partition, member) in far {
            if self.owner[at(*partition)] != NONE {
                continue;
            }
            let size = self.sizes[at(*member)];
            if size < self.min {
                if self.give(*partition, *member) == self.min {
                    self.below.retain(|below| below != member);
                    if self.min < self.max && self.above < self.above_max {
                        self.ready.push_back(*member);
                    }
                }
            } else if size == self.min && self.above < self.above_max {
                self.give(*partition, *member);
                self.ready.retain(|ready| ready != member);
                self.went_above();
            }
        }
    }

    /// Step 5.
    fn fill(&mut self, pool: &[u32]) {
        let mut place = 0;
        for partition in pool {
            if place >= self.below.len() {
                let (min, sizes) = (self.min, &self.sizes);
                self.below.retain(|member| sizes[at(*member)] < min);
                place = 0;
            }
            if let Some(member) = self.below.get(place).copied() {
                if self.give(*partition, member) == self.min {
                    self.ready.push_back(member);
                }
                place += 1;
            } else if let Some(member) = self.ready.pop_front() {
                self.give(*partition, member);
                self.above += 1;
            } else {
                unreachable!("shares sum up to the number of partitions");
            }
        }
    }

    fn check(&self) {
        let above = self.sizes.iter().filter(|size| **size > self.min).count();
        assert!(self.sizes.iter().all(|size| (self.min..=self.max).contains(size)), "even shares");
        assert_eq!(index(above), self.above_max, "the remainder is given out once");
    }
}
