//! Who reads which partition: the strategies a group's leader may use, behind one open trait.
//!
//! ```text
//!   Topics                how many partitions, on which racks      ┐
//!   Members               what each wants, and already owns        ┴─▶ Assignor::assign ─▶ Assignments
//!
//!   strategy              balance            moves on a change   same numbers together   protocol
//!   Range                 per topic only     many                yes                     eager
//!   RoundRobin            if all want the    many                no                      eager
//!                         same topics
//!   Sticky                over all topics    fewest              no                      eager
//!   CooperativeSticky     over all topics    fewest              no                      cooperative
//! ```
//!
//! The same input gives the same output, always: members are visited in order of their ids, ties
//! fall to the smaller one. Only topics that somebody wants and that have partitions take part.
//!
//! Inside, names become indices (`universe.rs`): topics rising by name, a partition is its topic's
//! first index plus its number, a result is one owner per partition.

mod cooperative_sticky;
pub mod laws;
mod names;
mod racks;
mod range;
mod round_robin;
mod sticky;
mod universe;

use core::fmt;
use std::collections::BTreeMap;

use bytes::Bytes;
use log_core::TopicName;

use crate::ids::{Generation, InstanceId, MemberId, RackId};
use crate::partitions::PartitionSet;
use crate::subscription::{Assignment, Subscription};

pub use cooperative_sticky::CooperativeSticky;
pub use range::Range;
pub use round_robin::RoundRobin;
pub use sticky::Sticky;

/// How a member gets from one assignment to the next (KIP-429).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the two protocols a client may speak")]
pub enum RebalanceProtocol {
    /// Everything is given back before anything is handed out: all stop.
    Eager,
    /// Only what moves is given back, and handed out one round later: the others go on.
    Cooperative,
}

/// A strategy that shares partitions among the members of a group.
///
/// An implementation must be a function of its arguments: the same input, the same output. What
/// else is asked of it is in [`laws`], which also checks it.
pub trait Assignor: fmt::Debug + Send + Sync {
    /// The name under which members vote for it (`partition.assignment.strategy`).
    fn name(&self) -> &str;

    /// The protocols whose rules its results keep.
    fn protocols(&self) -> &[RebalanceProtocol] {
        &[RebalanceProtocol::Eager]
    }

    /// Bytes for the subscription of a member that was last given `assigned` in `generation`: what
    /// the strategy wants to remember, as it keeps nothing itself.
    fn user_data(&self, assigned: &PartitionSet, generation: Option<Generation>) -> Option<Bytes> {
        let (_unused, _none) = (assigned, generation);
        None
    }

    /// Shares out the partitions. Every member is in the result, also one that gets nothing.
    ///
    /// # Errors
    ///
    /// [`AssignError`]: it cannot be done. The group stays as it is and tries again.
    fn assign(&self, topics: &Topics, members: &Members) -> Result<Assignments, AssignError>;
}

/// Why partitions were not shared out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AssignError {
    /// More partitions than can be counted in 31 bits.
    #[error("the topics have {partitions} partitions in sum, an assignment holds at most {max}")]
    TooManyPartitions {
        /// Partitions of all subscribed topics.
        partitions: u64,
        /// The limit.
        max: u64,
    },
    /// A strategy of the user's own refused, in its own words.
    #[error("{0}")]
    Refused(String),
}

/// One member as the leader sees it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Member {
    /// The name it keeps across restarts.
    pub instance_id: Option<InstanceId>,
    /// What it wants and has.
    pub subscription: Subscription,
}

/// The members of a group, by id.
pub type Members = BTreeMap<MemberId, Member>;

/// The result: what each member is to read.
pub type Assignments = BTreeMap<MemberId, Assignment>;

/// The topics there are, and their partitions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Topics(BTreeMap<TopicName, Layout>);

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Layout {
    partitions: u32,
    /// The racks of each partition's replicas; shorter than `partitions` if the rest has none.
    racks: Vec<Vec<RackId>>,
}

impl Topics {
    /// No topic.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds `topic` with so many `partitions`, or changes their number.
    #[must_use]
    pub fn with(mut self, topic: TopicName, partitions: u32) -> Self {
        self.0.entry(topic).or_default().partitions = partitions;
        self
    }

    /// Adds `topic` with one partition for each element of `racks`: where its replicas are.
    #[must_use]
    pub fn with_racks(mut self, topic: TopicName, racks: Vec<Vec<RackId>>) -> Self {
        self.0.insert(topic, Layout { partitions: crate::int::index(racks.len()), racks });
        self
    }

    /// The partitions of `topic`; 0 if it is not there.
    #[must_use]
    pub fn partitions(&self, topic: &TopicName) -> u32 {
        self.0.get(topic).map_or(0, |layout| layout.partitions)
    }

    /// Where the replicas of a partition are; empty if nothing is known.
    #[must_use]
    pub fn racks(&self, topic: &TopicName, partition: u32) -> &[RackId] {
        let racks = self.0.get(topic).and_then(|l| l.racks.get(crate::int::at(partition)));
        racks.map_or(&[], Vec::as_slice)
    }

    /// The topics, rising, with their partitions.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, u32)> {
        self.0.iter().map(|(topic, layout)| (topic, layout.partitions))
    }
}
