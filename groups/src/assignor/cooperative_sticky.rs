//! Sticky shares for members that go on reading while the group rebalances (KIP-429).
//!
//! ```text
//!   round 1   shares are computed; what must change hands is withheld, its owner gives it up
//!   round 2   what was given up has no owner and is handed out
//! ```
//!
//! In one round a partition is given to a member only if nobody claims it, or if that member alone
//! claims it in the highest generation in which anybody does. A claim counts even if its topic is
//! no longer wanted: the claimant may still be at work on it.

use bytes::Bytes;

use crate::ids::Generation;
use crate::partitions::PartitionSet;
use crate::wire::Writer;

use super::{AssignError, Assignments, Assignor, Members, RebalanceProtocol, Topics, sticky};

/// Balanced over all topics, with few moves, and only what moves pauses.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct CooperativeSticky;

impl CooperativeSticky {
    /// The strategy; it has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Assignor for CooperativeSticky {
    fn name(&self) -> &'static str {
        "cooperative-sticky"
    }

    /// Both: beside an eager strategy a group speaks eager, until all members have left that one.
    fn protocols(&self) -> &[RebalanceProtocol] {
        &[RebalanceProtocol::Cooperative, RebalanceProtocol::Eager]
    }

    /// The generation, for leaders that read only version 1 of the subscription.
    fn user_data(&self, _assigned: &PartitionSet, generation: Option<Generation>) -> Option<Bytes> {
        let mut to = Writer::new();
        to.i32(Generation::to_wire(generation));
        Some(to.into_bytes())
    }

    fn assign(&self, topics: &Topics, members: &Members) -> Result<Assignments, AssignError> {
        sticky::assign_cooperatively(topics, members)
    }
}
