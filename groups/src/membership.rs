//! One consumer's side of a group, pure: answers and time in, requests and callbacks out (Kafka
//! `AbstractCoordinator` and `ConsumerCoordinator`).
//!
//! ```text
//!   the thread that polls                            whoever keeps time
//!   step() ─▶ Commit, Revoked, Lost, Assigned        tick() ─▶ Heartbeat
//!          ─▶ JoinGroup, SyncGroup, LeaveGroup              ─▶ LeaveGroup: nobody polled in time
//!          ─▶ Waiting, Ready                         answered() ◀─ what the coordinator says
//!
//!            JoinGroup            answered              SyncGroup answered
//!   Unjoined ────────▶ Preparing ─────────▶ Completing ───────────────────▶ Stable
//!      ▲                   │ refused            │ refused                     │ told to rejoin
//!      └───────────────────┴────────────────────┴─────────────────────────────┘
//!
//!   eager         Revoked(all) ─▶ JoinGroup ─▶ SyncGroup ─▶ Assigned(all)
//!   cooperative   JoinGroup ─▶ SyncGroup ─▶ Revoked(what goes) ─▶ Assigned(what is new) ─▶ once more
//!                 if something went
//! ```
//!
//! - What `step` hands out is to be done before `step` is called again: so a partition is given
//!   back before the request that lets another member have it.
//! - A membership that was lost is told as `Lost`, never as `Revoked`: its partitions may have a new
//!   owner already.
//! - Heartbeats go on while a leader assigns; they stop when nobody polls.

mod answers;
mod assign;
mod beats;
mod call;
mod handover;
mod settings;

use std::collections::VecDeque;

use bytes::Bytes;
use log_core::TopicName;
use log_core::clock::Tick;

use crate::assignor::{AssignError, RebalanceProtocol, Topics};
use crate::error::GroupError;
use crate::group::messages::{Identity, JoinReason, JoinedMember};
use crate::ids::{Generation, MemberId, ProtocolName};
use crate::partitions::PartitionSet;
use crate::wire::{TooLarge, WireError};

pub use answers::CommitRefusal;
pub use call::{Call, CallId};
pub use settings::{MembershipSettings, SettingError};

/// What the polling thread is to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step {
    /// Commit the positions in these partitions, if positions are committed without being asked.
    /// That it fails changes nothing.
    Commit(PartitionSet),
    /// Tell the listener: these are given back. Until `step` is called again they are still owned.
    Revoked(PartitionSet),
    /// Tell the listener: these are owned from now on, besides what was kept.
    Assigned(PartitionSet),
    /// Tell the listener: these are gone; somebody else may have them.
    Lost(PartitionSet),
    /// Send a request; its answer goes to [`Membership::answered`].
    Send(CallId, Call),
    /// Something is under way: read what is owned, and come again.
    Waiting,
    /// Nothing is to be done: read.
    Ready,
}

/// Why a consumer cannot take part in its group as things are.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// The coordinator refuses for good.
    #[error(transparent)]
    Refused(#[from] GroupError),
    /// This member leads, and its strategy cannot assign. The next poll tries again.
    #[error("the assignor {assignor} failed: {source}")]
    Assign {
        /// Its name.
        assignor: String,
        /// Why.
        source: AssignError,
    },
    /// The group chose a way of assigning that this member did not offer.
    #[error("the group assigns by {found}, which this consumer did not offer")]
    UnknownAssignor {
        /// The choice.
        found: String,
    },
    /// The assignment cannot be read.
    #[error("the assignment cannot be read")]
    Assignment(#[from] WireError),
    /// A subscription or an assignment has more in it than the format can count.
    #[error("what this member has to say does not fit its format")]
    TooLarge(#[from] TooLarge),
}

/// One consumer's side of a group.
#[derive(Debug)]
pub struct Membership {
    settings: MembershipSettings,
    protocol: RebalanceProtocol,
    /// What it wants, rising.
    topics: Vec<TopicName>,
    /// What it wanted when it joined.
    joined_topics: Vec<TopicName>,
    phase: Phase,
    member_id: Option<MemberId>,
    generation: Option<Generation>,
    /// The way of assigning that the group chose.
    chosen: Option<ProtocolName>,
    owned: PartitionSet,
    /// What it was last given and when: strategies that remember get it back.
    memory: (PartitionSet, Option<Generation>),
    /// It is to join again, and why.
    rejoin: Option<JoinReason>,
    /// Why it sent the join that is under way.
    sent_reason: JoinReason,
    /// What has to be given back before joining was given back.
    prepared: bool,
    todo: VecDeque<Todo>,
    /// The listener is being told of these; then they are owned no more.
    handing_back: Option<PartitionSet>,
    /// It wants nothing any more; once what is to do is done it is nobody.
    leaving: bool,
    /// An assignment that nobody has been told of yet.
    collected: Option<Bytes>,
    /// What the leader shared out: if that differs from what there is, it joins again.
    watched: Option<Vec<(TopicName, u32)>>,
    next_call: u64,
    /// The join or sync under way.
    in_flight: Option<CallId>,
    beat_in_flight: Option<CallId>,
    next_beat: Tick,
    poll_deadline: Tick,
    retry_at: Tick,
    failed: Option<GroupError>,
}

#[derive(Debug)]
enum Phase {
    Unjoined,
    /// `JoinGroup` is under way.
    Preparing,
    /// It has joined; its sync is to be sent, or under way.
    Completing(Option<Duty>),
    Stable,
}

/// What a member brings with its sync.
#[derive(Debug)]
enum Duty {
    Follow,
    Assign(Vec<JoinedMember>),
    /// It leads, and what was assigned stays.
    Keep,
}

#[derive(Debug)]
enum Todo {
    Commit(PartitionSet),
    Revoked(PartitionSet),
    Assigned(PartitionSet),
    Lost(PartitionSet),
    Leave(Call),
}

impl Membership {
    /// A consumer that is in no group yet.
    #[must_use]
    pub fn new(settings: MembershipSettings, now: Tick) -> Self {
        let protocol = settings.protocol();
        let poll_deadline = now.after(settings.max_poll_interval);
        Self {
            settings,
            protocol,
            topics: Vec::new(),
            joined_topics: Vec::new(),
            phase: Phase::Unjoined,
            member_id: None,
            generation: None,
            chosen: None,
            owned: PartitionSet::new(),
            memory: (PartitionSet::new(), None),
            rejoin: None,
            sent_reason: JoinReason::Unspecified,
            prepared: false,
            todo: VecDeque::new(),
            handing_back: None,
            leaving: false,
            collected: None,
            watched: None,
            next_call: 0,
            in_flight: None,
            beat_in_flight: None,
            next_beat: now,
            poll_deadline,
            retry_at: now,
            failed: None,
        }
    }

    /// What it wants from now on. No topics at all is [`Membership::unsubscribe`].
    pub fn subscribe(&mut self, topics: impl IntoIterator<Item = TopicName>) {
        self.topics = topics.into_iter().collect();
        self.topics.sort_unstable();
        self.topics.dedup();
    }

    /// What to do next, on the thread that polls; what was handed out before has been done. `topics`
    /// are the partitions there are.
    ///
    /// # Errors
    ///
    /// [`MembershipError`]: this consumer cannot go on, or not yet.
    pub fn step(&mut self, topics: &Topics, now: Tick) -> Result<Step, MembershipError> {
        self.poll_deadline = now.after(self.settings.max_poll_interval);
        if let Some(back) = self.handing_back.take() {
            self.owned = self.owned.difference(&back);
        }
        loop {
            if let Some(todo) = self.todo.pop_front() {
                return Ok(self.hand_out(todo));
            }
            if self.leaving {
                self.conclude();
                continue;
            }
            if let Some(failed) = &self.failed {
                return Err(failed.clone().into());
            }
            if let Some(assignment) = self.collected.take() {
                self.complete(&assignment)?;
                continue;
            }
            self.look_around(topics);
            match &mut self.phase {
                Phase::Stable if self.rejoin.is_none() => return Ok(Step::Ready),
                Phase::Unjoined if self.topics.is_empty() => return Ok(Step::Ready),
                Phase::Preparing => return Ok(Step::Waiting),
                Phase::Completing(duty) => {
                    return match duty.take() {
                        Some(duty) => self.sync(duty, topics, now),
                        None => Ok(Step::Waiting),
                    };
                }
                Phase::Unjoined | Phase::Stable if !self.prepared => {
                    self.prepared = true;
                    self.prepare();
                }
                Phase::Unjoined | Phase::Stable if now < self.retry_at => return Ok(Step::Waiting),
                Phase::Unjoined | Phase::Stable => return self.join(),
            }
        }
    }

    /// Whether something changed that asks for another round.
    fn look_around(&mut self, topics: &Topics) {
        if !matches!(self.phase, Phase::Stable) || self.rejoin.is_some() {
            return;
        }
        let differs = |(topic, known): &(TopicName, u32)| topics.partitions(topic) != *known;
        if self.topics != self.joined_topics {
            self.rejoin = Some(JoinReason::SubscriptionChanged);
        } else if self.watched.as_ref().is_some_and(|watched| watched.iter().any(differs)) {
            self.rejoin = Some(JoinReason::PartitionsChanged);
        }
    }

    /// Asks for a rebalance (`enforceRebalance`).
    pub fn enforce_rebalance(&mut self) {
        self.rejoin.get_or_insert(JoinReason::Requested);
    }

    fn call(&mut self) -> CallId {
        self.next_call += 1;
        CallId(self.next_call)
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let instance_id = self.settings.instance_id.clone();
        Identity { member_id: self.member_id.clone(), instance_id }
    }

    /// The generation it is in; `None` if it is in none.
    #[must_use]
    pub const fn generation(&self) -> Option<Generation> {
        self.generation
    }

    /// What it owns. While the listener is told of a revocation, that is still in it.
    #[must_use]
    pub const fn owned(&self) -> &PartitionSet {
        &self.owned
    }

    /// What it may hand out records of: what it owns and is not about to give back.
    #[must_use]
    pub fn readable(&self) -> PartitionSet {
        let mut readable = self.kept();
        for todo in &self.todo {
            if let Todo::Revoked(set) | Todo::Lost(set) = todo {
                readable = readable.difference(set);
            }
        }
        readable
    }

    /// What it owns but for what the listener is being told of.
    fn kept(&self) -> PartitionSet {
        match &self.handing_back {
            Some(back) => self.owned.difference(back),
            None => self.owned.clone(),
        }
    }

    /// Whether it has its assignment and nothing asks for another round.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Stable)
            && self.rejoin.is_none()
            && self.todo.is_empty()
            && !self.leaving
            && self.collected.is_none()
    }

    /// The protocol its strategies have in common.
    #[must_use]
    pub const fn protocol(&self) -> RebalanceProtocol {
        self.protocol
    }

    /// Its settings.
    #[must_use]
    pub const fn settings(&self) -> &MembershipSettings {
        &self.settings
    }
}
