//! All partitions of all topics in one row, dealt out in turn (Kafka `RoundRobinAssignor`).
//!
//! ```text
//!   row      a-0 a-1 a-2 b-0 b-1 …       members in a ring, those that do not want a topic are
//!   dealt     0   1   2   0   1  …       passed over
//! ```
//!
//! Even if all members want the same topics, and only then: a member that wants one topic of many
//! may get nothing. Remembers nothing, so a change moves nearly everything.

use crate::int::{at, index};

use super::universe::{NONE, Order, Universe};
use super::{AssignError, Assignments, Assignor, Members, Topics};

/// In turn, in member order: static members by instance id, then dynamic ones by id.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RoundRobin;

impl RoundRobin {
    /// The strategy; it has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Assignor for RoundRobin {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn assign(&self, topics: &Topics, members: &Members) -> Result<Assignments, AssignError> {
        let universe = Universe::new(topics, members, Order::StaticFirst)?;
        let mut owner = vec![NONE; at(universe.partition_count())];
        let mut next = 0;
        for (number, topic) in (0..).zip(universe.topics()) {
            let readers = universe.readers(number);
            // The first reader at or after the ring's pointer, or the first of all.
            let mut turn = readers.partition_point(|reader| *reader < next) % readers.len();
            for slot in &mut owner[at(topic.first)..at(topic.range().end)] {
                *slot = readers[turn];
                turn = if turn + 1 == readers.len() { 0 } else { turn + 1 };
            }
            let last = readers[(turn + readers.len() - 1) % readers.len()];
            next = if last + 1 == index(members.len()) { 0 } else { last + 1 };
        }
        Ok(universe.assignments(&owner))
    }
}
