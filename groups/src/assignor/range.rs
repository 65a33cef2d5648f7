//! Kafka's default (`RangeAssignor`): each topic is cut into ranges, one for each member.
//!
//! ```text
//!   3 members, 8 partitions    0 1 2 │ 3 4 5 │ 6 7      the first 8 mod 3 members get one more
//! ```
//!
//! Topics with the same members and the same number of partitions are cut alike, so partition n of
//! one goes to the member that has partition n of the other: joins need that. The price is skew:
//! the first members get the remainder of every topic.
//!
//! With racks (KIP-881) a first pass gives members what is near them, co-partitioned topics
//! together; the plain pass gives out the rest.

use std::collections::BTreeMap;

use crate::int::{at, index};

use super::racks::Racks;
use super::universe::{NONE, Order, Universe};
use super::{AssignError, Assignments, Assignor, Members, Topics};

/// Ranges per topic, in member order: static members by instance id, then dynamic ones by id.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Range;

impl Range {
    /// The strategy; it has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

/// How much of one topic each of its readers may still get.
#[derive(Debug)]
struct Shares {
    topic: u32,
    quota: u32,
    /// Members that may still get one above the quota.
    extra: u32,
    given: Vec<u32>,
}

impl Shares {
    fn new(universe: &Universe<'_>, topic: u32) -> Self {
        let readers = universe.readers(topic).len();
        let partitions = universe.topic(topic).partitions;
        let count = index(readers).max(1);
        Self {
            topic,
            quota: partitions / count,
            extra: partitions % count,
            given: vec![0; readers],
        }
    }

    fn room(&self, reader: usize) -> u32 {
        (self.quota + u32::from(self.extra > 0)).saturating_sub(self.given[reader])
    }

    fn give(&mut self, reader: usize, partitions: u32) {
        self.given[reader] += partitions;
        if partitions > 0 && self.given[reader] > self.quota {
            assert!(self.extra > 0, "nobody gets more than its room");
            self.extra -= 1;
        }
    }
}

impl Assignor for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(&self, topics: &Topics, members: &Members) -> Result<Assignments, AssignError> {
        let universe = Universe::new(topics, members, Order::StaticFirst)?;
        let mut owner = vec![NONE; at(universe.partition_count())];
        let numbers = 0..index(universe.topics().len());
        let near = |racks: &&Racks| {
            numbers.clone().any(|t| racks.matter(universe.readers(t), universe.topic(t).range()))
        };
        match universe.racks.as_ref().filter(near) {
            None => {
                for topic in numbers {
                    cut(&universe, topic, &mut owner);
                }
            }
            Some(racks) => {
                let mut shares: Vec<Shares> =
                    numbers.map(|topic| Shares::new(&universe, topic)).collect();
                near_pass(&universe, racks, &mut shares, &mut owner);
                for shares in &mut shares {
                    rest_pass(&universe, shares, &mut owner);
                }
            }
        }
        Ok(universe.assignments(&owner))
    }
}

/// The whole topic, without racks: consecutive ranges.
fn cut(universe: &Universe<'_>, topic: u32, owner: &mut [u32]) {
    let readers = universe.readers(topic);
    let range = universe.topic(topic).range();
    let (quota, extra) = (range.end - range.start, index(readers.len()).max(1));
    let (quota, extra) = (quota / extra, quota % extra);
    let mut start = range.start;
    for (place, reader) in (0..).zip(readers) {
        let end = start + quota + u32::from(place < extra);
        owner[at(start)..at(end)].fill(*reader);
        start = end;
        if start == range.end {
            break;
        }
    }
}

/// What the near pass left: each reader in turn takes the first partitions that are free.
fn rest_pass(universe: &Universe<'_>, shares: &mut Shares, owner: &mut [u32]) {
    let free = universe.topic(shares.topic).range();
    let mut free = free.filter(|p| owner[at(*p)] == NONE).collect::<Vec<_>>().into_iter();
    for (place, reader) in universe.readers(shares.topic).iter().enumerate() {
        let room = shares.room(place);
        let mut taken = 0;
        for partition in free.by_ref().take(at(room)) {
            owner[at(partition)] = *reader;
            taken += 1;
        }
        shares.give(place, taken);
    }
}

/// Topics read by the same members and with equally many partitions are given out together.
fn near_pass(universe: &Universe<'_>, racks: &Racks, shares: &mut [Shares], owner: &mut [u32]) {
    let mut alike: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (number, topic) in (0..).zip(universe.topics()) {
        let some_rack = universe.readers(number).iter().any(|m| racks.rack(*m) != NONE);
        let partitions = if some_rack { topic.partitions } else { 0 };
        alike.entry((universe.readers_key(number), partitions)).or_default().push(at(number));
    }
    for ((_, partitions), topics) in alike {
        if let [single] = topics.as_slice() {
            let topic = universe.topic(index(*single));
            if racks.matter(universe.readers(index(*single)), topic.range()) {
                near_alone(universe, racks, &mut shares[*single], owner);
            }
        } else {
            near_together(universe, racks, &topics, partitions, shares, owner);
        }
    }
}

fn near_alone(universe: &Universe<'_>, racks: &Racks, shares: &mut Shares, owner: &mut [u32]) {
    for (place, reader) in universe.readers(shares.topic).iter().enumerate() {
        let mut room = shares.room(place);
        let mut taken = 0;
        for partition in universe.topic(shares.topic).range() {
            let free = owner[at(partition)] == NONE;
            if room > 0 && free && !racks.mismatches(partition, *reader) {
                owner[at(partition)] = *reader;
                room -= 1;
                taken += 1;
            }
        }
        shares.give(place, taken);
    }
}

fn near_together(
    universe: &Universe<'_>,
    racks: &Racks,
    topics: &[usize],
    partitions: u32,
    shares: &mut [Shares],
    owner: &mut [u32],
) {
    let Some(first) = topics.first() else { return };
    let readers = universe.readers(index(*first));
    let mut waiting: Vec<usize> = (0..readers.len()).collect();
    for number in 0..partitions {
        let partition = |topic: &usize| universe.topic(index(*topic)).first + number;
        let fits = |place: &usize| {
            topics.iter().all(|topic| {
                let near = !racks.mismatches(partition(topic), readers[*place]);
                near && shares[*topic].room(*place) > 0
            })
        };
        let Some(found) = waiting.iter().position(fits) else { continue };
        let place = waiting[found];
        for topic in topics {
            owner[at(partition(topic))] = readers[place];
            shares[*topic].give(place, 1);
        }
        if topics.iter().all(|topic| shares[*topic].room(place) == 0) {
            waiting.remove(found);
        }
    }
}
