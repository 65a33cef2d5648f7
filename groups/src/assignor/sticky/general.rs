//! Members want different topics (Kafka's general path): as even as single moves can make it.
//!
//! ```text
//!   1 keep      what is owned and still wanted
//!   2 place     the rest, topics with few readers first, each to its least loaded reader; with
//!               racks, to a near one, and what is far from its owner too
//!   3 even out  pass after pass over all partitions with two readers or more, until none moves:
//!               to the owner of an older generation, or to the topic's least loaded reader, if
//!               that has at least two fewer
//!   4 judge     if the members are no more even than before step 3, that step is undone
//! ```
//!
//! A move never crosses an earlier move of the same topic in the other direction: the earlier one
//! is taken back instead (`movements.rs`). Such exchanges can go round in circles (librdkafka issue
//! 4783), so they end after [`EXCHANGE_PASSES_MAX`] passes; every plain move makes the sum of the
//! squared sizes smaller, so the passes end by themselves.

mod load;
mod movements;

use crate::int::{at, index, low_half};

use super::super::racks::Racks;
use super::super::universe::{NONE, Universe};
use super::claims::{Claims, partition};
use load::Load;
use movements::Movements;

/// After so many passes no move is exchanged for another.
const EXCHANGE_PASSES_MAX: u32 = 16;
/// After so many passes the result is taken as it is. Plain moves end far earlier.
const PASSES_MAX: u32 = 1_000;

struct Problem<'a> {
    universe: &'a Universe<'a>,
    topic_of: &'a [u32],
    racks: Option<&'a Racks>,
    owner: Vec<u32>,
    load: Load,
    /// The owner in an older generation, if it still wants the topic.
    previous: Vec<u32>,
}

/// One owner for each partition; all have one, as each topic has a reader.
pub(super) fn share_out(
    universe: &Universe<'_>,
    claims: &Claims,
    racks: Option<&Racks>,
    topic_of: &[u32],
) -> Vec<u32> {
    let partitions = at(universe.partition_count());
    let mut problem = Problem {
        universe,
        topic_of,
        racks,
        owner: vec![NONE; partitions],
        load: Load::new(universe, racks),
        previous: vec![NONE; partitions],
    };
    let (revoked, far) = problem.keep(claims);
    problem.remember(claims);
    let fresh = problem.load.fullest() == 0;
    let order = problem.order();
    let pool: Vec<u32> = order.iter().copied().filter(|p| problem.owner[at(*p)] == NONE).collect();
    problem.place(&pool, &far);
    let movable = |p: &u32| universe.readers(topic_of[at(*p)]).len() > 1;
    let all: Vec<u32> = order.iter().copied().filter(movable).collect();
    let pool: Vec<u32> = pool.into_iter().filter(movable).collect();
    problem.even_out(fresh, (!revoked).then_some(&pool), &all);
    problem.owner
}

impl Problem<'_> {
    fn set(&mut self, partition: u32, member: u32) {
        let before = core::mem::replace(&mut self.owner[at(partition)], member);
        self.load.less(before);
        self.load.more(member);
    }

    /// Step 1. Whether an owner lost something or stands far from it, and what is far.
    fn keep(&mut self, claims: &Claims) -> (bool, Vec<u32>) {
        let mut revoked = false;
        let mut far = Vec::new();
        for member in 0..self.universe.member_count() {
            for key in claims.of(member) {
                let partition = partition(self.universe, *key);
                if claims.claimant[at(partition)] != member {
                    continue;
                }
                let wanted = self.universe.wants(member, low_half(*key));
                let near = !self.racks.is_some_and(|racks| racks.mismatches(partition, member));
                revoked |= !wanted || !near;
                if wanted {
                    self.set(partition, member);
                    if !near {
                        far.push(partition);
                    }
                }
            }
        }
        (revoked, far)
    }

    /// Owners of older generations, the newest of them, who still want the topic and can be given
    /// it: Kafka forgets both conditions.
    fn remember(&mut self, claims: &Claims) {
        let mut stale: Vec<(u32, i32)> = claims.stale().collect();
        stale.sort_by_key(|(member, generation)| (core::cmp::Reverse(*generation), *member));
        for (member, _) in stale {
            for key in claims.of(member) {
                let partition = partition(self.universe, *key);
                let topic = low_half(*key);
                let movable = self.universe.readers(topic).len() > 1;
                let free = self.previous[at(partition)] == NONE;
                if free && movable && self.universe.wants(member, topic) {
                    self.previous[at(partition)] = member;
                }
            }
        }
    }

    /// All partitions, topics with few readers first.
    fn order(&self) -> Vec<u32> {
        let mut topics: Vec<u32> = (0..index(self.universe.topics().len())).collect();
        topics.sort_by_key(|topic| self.universe.readers(*topic).len());
        topics.into_iter().flat_map(|topic| self.universe.topic(topic).range()).collect()
    }

    /// Step 2: near members first, then anybody.
    ///
    /// What is far from its owner goes only to a near member that has less: then neither evenness
    /// nor nearness ever gets worse from one assignment to the next, so they settle. (Kafka takes
    /// it away first and looks after, and moves it for ever.)
    fn place(&mut self, pool: &[u32], far: &[u32]) {
        if let Some(racks) = self.racks {
            for partition in pool {
                let topic = self.topic_of[at(*partition)];
                let near = |rack| rack == NONE || racks.on(*partition, rack);
                if let Some(member) = self.load.least_near(topic, near) {
                    self.set(*partition, member);
                }
            }
            for partition in far {
                let owner = self.owner[at(*partition)];
                let topic = self.topic_of[at(*partition)];
                let near = self.load.least_near(topic, |rack| racks.on(*partition, rack));
                if let Some(member) = near.filter(|m| self.load.size(*m) < self.load.size(owner)) {
                    self.set(*partition, member);
                }
            }
        }
        for partition in pool {
            if self.owner[at(*partition)] == NONE {
                let member = self.load.least(self.topic_of[at(*partition)]);
                self.set(*partition, member);
            }
        }
    }

    /// Steps 3 and 4.
    fn even_out(&mut self, fresh: bool, pool: Option<&Vec<u32>>, all: &[u32]) {
        let before = (!fresh).then(|| (self.owner.clone(), self.load.unevenness()));
        let mut movements = Movements::default();
        let mut moved = false;
        for partitions in [pool.map_or(&[][..], Vec::as_slice), all] {
            for pass in 0..PASSES_MAX {
                let exchange = pass < EXCHANGE_PASSES_MAX;
                if !self.pass(partitions, exchange, &mut movements) {
                    break;
                }
                moved = true;
            }
        }
        if let Some((owner, unevenness)) = before
            && moved
            && self.load.unevenness() >= unevenness
        {
            self.owner = owner;
        }
    }

    /// Whether anything moved.
    fn pass(&mut self, partitions: &[u32], exchange: bool, movements: &mut Movements) -> bool {
        let mut moved = false;
        for partition in partitions {
            let topic = self.topic_of[at(*partition)];
            let owner = self.owner[at(*partition)];
            let size = self.load.size(owner);
            let lighter = |load: &Load, member| size > load.size(member) + 1;
            let previous = self.previous[at(*partition)];
            let to = if previous != NONE && lighter(&self.load, previous) {
                previous
            } else {
                let least = self.load.least(topic);
                if !lighter(&self.load, least) {
                    continue;
                }
                least
            };
            let actual =
                if exchange { movements.actual(topic, *partition, owner, to) } else { *partition };
            movements.note(topic, actual, self.owner[at(actual)], to);
            self.set(actual, to);
            moved = true;
        }
        moved
    }
}
