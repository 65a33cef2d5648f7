//! Even shares, and as few moves as even shares allow (Kafka `AbstractStickyAssignor`).
//!
//! ```text
//!   what members claim ─▶ claims.rs: one owner each ─┬─ all want the same ─▶ uniform.rs ─┐
//!                                                    └─ otherwise         ─▶ general.rs ─┴─▶ owners
//! ```
//!
//! Two strategies share this: [`Sticky`], where everybody gives back everything first, and
//! [`CooperativeSticky`](super::CooperativeSticky), where nobody gets what another still claims.

mod claims;
mod general;
mod uniform;

use std::borrow::Cow;

use bytes::Bytes;

use crate::ids::Generation;
use crate::int::at;
use crate::partitions::PartitionSet;
use crate::wire::{Reader, Writer};

use super::universe::{NONE, Order, Universe};
use super::{AssignError, Assignments, Assignor, Members, Topics};
use claims::Claims;

/// What one member says it has.
type Claim<'a> = (Cow<'a, PartitionSet>, Option<Generation>);

/// Balanced over all topics, with few moves; eager.
///
/// Members carry their last assignment in the subscription's user data, so a member that has
/// revoked everything still says what it had.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Sticky;

impl Sticky {
    /// The strategy; it has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Assignor for Sticky {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn user_data(&self, assigned: &PartitionSet, generation: Option<Generation>) -> Option<Bytes> {
        let mut to = Writer::new();
        // A set that outgrew the format is not remembered: that costs moves, nothing else.
        to.partitions("previous assignment", assigned).ok()?;
        to.i32(Generation::to_wire(generation));
        Some(to.into_bytes())
    }

    fn assign(&self, topics: &Topics, members: &Members) -> Result<Assignments, AssignError> {
        let universe = Universe::new(topics, members, Order::Id)?;
        let claims: Vec<Claim<'_>> = members
            .values()
            .map(|member| {
                member.subscription.user_data().map_or_else(nothing, |data| remembered(data))
            })
            .collect();
        let claims = Claims::new(&universe, &claims);
        let owner = share_out(&universe, &claims);
        Ok(universe.assignments(&owner))
    }
}

fn nothing<'a>() -> Claim<'a> {
    (Cow::Owned(PartitionSet::new()), None)
}

/// Reads user data: `[{topic, partitions[]}]`, then the generation, which old clients leave out.
/// What cannot be read counts as nothing.
fn remembered(user_data: &[u8]) -> Claim<'static> {
    let mut from = Reader::new(user_data);
    let Ok(assigned) = from.partitions("previous assignment") else { return nothing() };
    let generation = from.i32("generation").ok().and_then(Generation::new);
    (Cow::Owned(assigned), generation)
}

/// The cooperative variant: subscriptions say what is owned, and what must change hands waits.
pub(super) fn assign_cooperatively(
    topics: &Topics,
    members: &Members,
) -> Result<Assignments, AssignError> {
    let universe = Universe::new(topics, members, Order::Id)?;
    let claims: Vec<Claim<'_>> = members
        .values()
        .map(|member| {
            let subscription = &member.subscription;
            let in_user_data = || {
                let mut from = Reader::new(subscription.user_data()?);
                from.i32("generation").ok().and_then(Generation::new)
            };
            let generation = subscription.generation().or_else(in_user_data);
            (Cow::Borrowed(subscription.owned()), generation)
        })
        .collect();
    let claims = Claims::new(&universe, &claims);
    let mut owner = share_out(&universe, &claims);
    for (new, claimed) in owner.iter_mut().zip(&claims.claimant) {
        if *claimed != NONE && claimed != new {
            *new = NONE;
        }
    }
    Ok(universe.assignments(&owner))
}

/// One owner for each partition.
fn share_out(universe: &Universe<'_>, claims: &Claims) -> Vec<u32> {
    let topics = (0..).zip(universe.topics());
    let matter = |racks: &&super::racks::Racks| {
        racks.matter(&universe.everyone(), 0..universe.partition_count())
    };
    let racks = universe.racks.as_ref().filter(matter);
    if universe.is_uniform() {
        uniform::share_out(universe, claims, racks)
    } else {
        let topic_of = topics.flat_map(|(number, topic)| topic.range().map(move |_| number));
        let topic_of: Vec<u32> = topic_of.collect();
        assert_eq!(topic_of.len(), at(universe.partition_count()), "each partition has a topic");
        general::share_out(universe, claims, racks, &topic_of)
    }
}
