//! One consumer group, pure: events and time in, actions out. It has no clock, no log, no threads
//! (Kafka `ClassicGroup`, and the classic half of `GroupMetadataManager`).
//!
//! ```text
//!   events                          state                                  actions
//!   Join, Sync, Heartbeat, Leave ─▶ members, each: parked join,    ─────▶ Answer   to a request,
//!   Commit, Delete                  parked sync, or a running session              now or later
//!   Written ──────────────────────▶ records under way              ─────▶ Write    to the log
//!   Tick ─────────────────────────▶ deadlines in a heap            ─────▶ Notice   for operators
//! ```
//!
//! - Every request has exactly one answer. Kafka drops a parked join that its member replaces, and
//!   the parked sync of a member that leaves; here both are answered.
//! - `PreparingRebalance` ends with its join deadline, `CompletingRebalance` with its sync deadline
//!   or that of the record under way: no state waits for ever.
//! - Deadlines hang on elapsed time alone; a wall clock that jumps neither evicts nor spares anyone.
//!
//! What Kafka does and this does not: a pending id that leaves begins no rebalance; a static member
//! that returns leaves no debt under its old id; one that was absent while others rebalanced
//! is judged by its own session alone, which nobody prolongs; one that returns with other topics is
//! given them; the initial delay is never cut short.

mod commit;
mod departure;
mod describe;
mod join;
mod load;
mod member;
pub mod messages;
mod rebalance;
pub mod record;
mod returning;
mod sync;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use log_core::TopicName;
use log_core::clock::Tick;
use log_core::ids::TimestampMs;

use crate::error::GroupError;
use crate::ids::{Generation, GroupId, InstanceId, MemberId, ProtocolName, ProtocolType};
use crate::settings::GroupSettings;
use crate::state::GroupState;
use crate::timers::{CameUp, Deadline, Timers};
use crate::watch::{ExpulsionCause, Watch};

use member::Member;
use messages::{Action, Answer, Event, Identity, Notice, Now, RequestId, WriteId};

pub use describe::{GroupDescription, MemberDescription};

/// One consumer group.
#[derive(Debug)]
pub struct Group {
    id: GroupId,
    settings: GroupSettings,
    state: GroupState,
    state_timestamp: TimestampMs,
    generation: Generation,
    protocol_type: Option<ProtocolType>,
    protocol: Option<ProtocolName>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// Which member has each instance id.
    instances: BTreeMap<InstanceId, MemberId>,
    /// Ids that were handed out and not used yet, until their session timeout.
    pending: BTreeMap<MemberId, Deadline>,
    /// How many members offer each way of assigning.
    support: BTreeMap<ProtocolName, usize>,
    /// Topics that somebody subscribes to; `None` if that is not known.
    subscribed: Option<BTreeSet<TopicName>>,
    /// What the leader shared out.
    layout: Vec<(TopicName, u32)>,
    joins_parked: usize,
    syncs_awaited: usize,
    next_order: u64,
    /// The rebalance under way began in an empty group.
    initial: Option<InitialDelay>,
    join_deadline: Deadline,
    sync_deadline: Deadline,
    writes: BTreeMap<WriteId, Write>,
    next_write: u64,
    timers: Timers<Timer>,
    watch: Watch,
}

/// What the first rebalance of an empty group waits for (KIP-134).
#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    /// The delay that runs.
    delay: Duration,
    /// What may still be added to it.
    remaining: Duration,
    /// Somebody joined while it ran.
    joined: bool,
}

/// What a deadline of the heap belongs to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Timer {
    Join,
    Sync,
    /// A member's session, or a pending id.
    Member(MemberId),
    Write(WriteId),
}

/// A record under way that somebody waits for.
#[derive(Debug)]
struct Write {
    deadline: Deadline,
    then: Then,
}

#[derive(Debug)]
enum Then {
    /// The leader's assignment.
    Assign { generation: Generation, assignments: BTreeMap<MemberId, Bytes> },
    /// A static member returned: the old one comes back if this fails.
    Replace { new_id: MemberId, old_id: MemberId, old: Box<Member> },
}

/// One event being handled.
struct Turn<'a> {
    now: Now,
    out: &'a mut Vec<Action>,
}

impl Turn<'_> {
    fn answer(&mut self, request: RequestId, answer: Result<Answer, GroupError>) {
        self.out.push(Action::Answer { request, answer });
    }

    fn refuse(&mut self, request: RequestId, error: GroupError) {
        self.answer(request, Err(error));
    }
}

impl Group {
    /// A group that nobody has joined yet.
    #[must_use]
    pub const fn new(id: GroupId, settings: GroupSettings, now: Now) -> Self {
        Self {
            id,
            settings,
            state: GroupState::Empty,
            state_timestamp: now.timestamp,
            generation: Generation::ZERO,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            support: BTreeMap::new(),
            subscribed: None,
            layout: Vec::new(),
            joins_parked: 0,
            syncs_awaited: 0,
            next_order: 0,
            initial: None,
            join_deadline: NO_DEADLINE,
            sync_deadline: NO_DEADLINE,
            writes: BTreeMap::new(),
            next_write: 0,
            timers: Timers::new(),
            watch: Watch::new(),
        }
    }

    /// Takes one event; what is to be done is added to `out`.
    pub fn on(&mut self, event: Event, now: Now, out: &mut Vec<Action>) {
        let turn = &mut Turn { now, out };
        match event {
            Event::Join(join) => self.join(&join, turn),
            Event::Sync(sync) => self.sync(sync, turn),
            Event::Heartbeat { request, identity, generation } => {
                let answer = self.heartbeat(&identity, generation, now);
                turn.answer(request, answer.map(|()| Answer::Heartbeat));
            }
            Event::Leave { request, members } => self.leave(request, &members, turn),
            Event::Commit { request, identity, generation, kind } => {
                let answer = self.commit(&identity, generation, kind, now);
                turn.answer(request, answer.map(|()| Answer::MayCommit));
            }
            Event::Delete { request } => self.delete(request, turn),
            Event::Written { write, outcome } => self.written(write, outcome, turn),
            Event::Tick => self.tick(turn),
            Event::Unload => self.unload(turn),
        }
        self.sweep();
        self.check();
    }

    /// When to send [`Event::Tick`] at the latest. Nothing may be due then: it is asked again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.timers.next()
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &GroupId {
        &self.id
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> GroupState {
        self.state
    }

    /// The last generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// Since when it stands where it stands, by the wall clock.
    #[must_use]
    pub const fn state_timestamp(&self) -> TimestampMs {
        self.state_timestamp
    }

    /// Who assigns.
    #[must_use]
    pub const fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    /// What kind of group; `None` for one that only keeps offsets.
    #[must_use]
    pub const fn protocol_type(&self) -> Option<&ProtocolType> {
        self.protocol_type.as_ref()
    }

    /// The ids of its members, rising.
    pub fn member_ids(&self) -> impl Iterator<Item = &MemberId> {
        self.members.keys()
    }

    /// How often it rebalanced and why, and for how long it has been stable.
    #[must_use]
    pub const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Whether somebody may be subscribed to `topic`, so that its offsets are in use. A consumer
    /// group whose subscriptions cannot be read is taken to want everything.
    #[must_use]
    pub fn is_subscribed(&self, topic: &TopicName) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => {
                !self.members.is_empty()
                    && self.protocol_type.as_ref().is_some_and(ProtocolType::is_consumer)
            }
        }
    }

    /// Whether nothing ever happened here: nobody would miss this group.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.state == GroupState::Empty
            && self.generation == Generation::ZERO
            && self.pending.is_empty()
    }

    /// Who asks must be a member, and the one that has the instance id it names.
    fn validate(&self, identity: &Identity) -> Result<MemberId, GroupError> {
        let Identity { member_id, instance_id } = identity;
        let unknown = || GroupError::UnknownMemberId { member_id: member_id.clone() };
        if let Some(instance_id) = instance_id {
            let holder = self.instances.get(instance_id).ok_or_else(unknown)?;
            if Some(holder) != member_id.as_ref() {
                return Err(GroupError::FencedInstanceId { instance_id: instance_id.clone() });
            }
        }
        let id = member_id.as_ref().filter(|id| self.members.contains_key(*id));
        id.cloned().ok_or_else(unknown)
    }

    fn check_generation(&self, found: Option<Generation>) -> Result<(), GroupError> {
        if found == Some(self.generation) {
            return Ok(());
        }
        Err(GroupError::IllegalGeneration { found, current: self.generation })
    }

    /// A sign of life: the session begins anew.
    fn refresh(&mut self, id: &MemberId, now: Now) {
        if let Some(member) = self.members.get_mut(id) {
            let at = now.tick.after(member.session_timeout);
            self.timers.arm(&mut member.session, at, || Timer::Member(id.clone()));
        }
    }

    /// Takes a member out, answers what it waits for with `error`, and lets the lead pass on.
    fn remove(
        &mut self,
        id: &MemberId,
        cause: ExpulsionCause,
        error: &GroupError,
        turn: &mut Turn<'_>,
    ) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(parked) = member.parked_join {
            self.joins_parked -= 1;
            turn.refuse(parked.request, error.clone());
        }
        if let Some(request) = member.parked_sync {
            turn.refuse(request, error.clone());
        }
        if member.sync_awaited {
            self.syncs_awaited -= 1;
            self.rest_sync_timer();
        }
        if let Some(instance) = &member.instance_id
            && self.instances.get(instance) == Some(id)
        {
            self.instances.remove(instance);
        }
        self.withdraw(&member);
        if self.leader.as_ref() == Some(id) {
            self.leader = self.successor();
        }
        self.watch.expel(cause);
        self.notice(Notice::Expelled { member_id: id.clone(), cause }, turn);
    }

    /// Who leads if the leader is gone: whoever joined first of those that have joined.
    fn successor(&self) -> Option<MemberId> {
        let order = |member: &Member| member.parked_join.map_or(u64::MAX, |parked| parked.order);
        self.members.iter().min_by_key(|(_, member)| order(member)).map(|(id, _)| id.clone())
    }

    /// Nobody is awaited any more: no deadline.
    const fn rest_sync_timer(&mut self) {
        if self.syncs_awaited == 0 {
            self.sync_deadline.cancel();
        }
    }

    /// Counts what a member offers.
    fn endorse(&mut self, member: &Member) {
        for name in distinct(member) {
            *self.support.entry(name.clone()).or_default() += 1;
        }
    }

    /// Counts it no more.
    fn withdraw(&mut self, member: &Member) {
        for name in distinct(member) {
            if let Some(count) = self.support.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.support.remove(name);
                }
            }
        }
    }

    fn notice(&self, notice: Notice, turn: &mut Turn<'_>) {
        turn.out.push(Action::Notice { group: self.id.clone(), notice });
    }

    fn become_state(&mut self, target: GroupState, now: Now) {
        debug_assert!(self.state.may_become(target), "{} to {target}", self.state);
        self.state = target;
        self.state_timestamp = now.timestamp;
    }

    fn deadline(&mut self, timer: &Timer) -> Option<&mut Deadline> {
        match timer {
            Timer::Join => Some(&mut self.join_deadline),
            Timer::Sync => Some(&mut self.sync_deadline),
            Timer::Member(id) => match self.members.get_mut(id) {
                Some(member) => Some(&mut member.session),
                None => self.pending.get_mut(id),
            },
            Timer::Write(id) => self.writes.get_mut(id).map(|write| &mut write.deadline),
        }
    }

    fn tick(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.tick;
        while let Some((entry, timer)) = self.timers.pop(now) {
            let Some(mut deadline) = self.deadline(&timer).copied() else { continue };
            let came_up = deadline.came_up(entry, now);
            if let (CameUp::Later, Some(at)) = (came_up, deadline.at()) {
                self.timers.arm(&mut deadline, at, || timer.clone());
            }
            if let Some(place) = self.deadline(&timer) {
                *place = deadline;
            }
            if came_up == CameUp::Due {
                self.fire(timer, turn);
            }
        }
    }

    fn fire(&mut self, timer: Timer, turn: &mut Turn<'_>) {
        match timer {
            Timer::Join => self.join_time_is_up(turn),
            Timer::Sync => self.sync_time_is_up(turn),
            Timer::Member(id) => self.expire(&id, turn),
            Timer::Write(id) => self.written(id, messages::WriteOutcome::Refused, turn),
        }
    }

    /// Drops entries of the heap that stand for members long gone, once they are the most of it.
    fn sweep(&mut self) {
        let live = self.members.len() + self.pending.len() + self.writes.len() + 2;
        if !self.timers.is_worn(live) {
            return;
        }
        let mut timers = core::mem::replace(&mut self.timers, Timers::new());
        timers.sweep(|at, timer| self.deadline(timer).is_some_and(|deadline| deadline.owns(at)));
        self.timers = timers;
    }

    /// What must always hold.
    fn check(&self) {
        use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
        debug_assert!(self.joins_parked <= self.members.len());
        debug_assert!(self.syncs_awaited == 0 || self.sync_deadline.is_set(), "syncs have an end");
        match self.state {
            Empty | Dead => debug_assert!(self.members.is_empty() && self.leader.is_none()),
            PreparingRebalance => debug_assert!(self.join_deadline.is_set(), "it ends"),
            CompletingRebalance => debug_assert!(
                self.sync_deadline.is_set() || self.writes.values().any(|w| w.deadline.is_set()),
                "it ends"
            ),
            Stable => debug_assert!(self.leader.is_some() && self.protocol.is_some()),
        }
        // A large group is looked through now and then only: its tests are to end.
        #[cfg(debug_assertions)]
        if self.members.len() <= 64 || self.next_order.is_multiple_of(97) {
            self.check_members();
        }
    }

    /// The same, looking at every member.
    #[cfg(debug_assertions)]
    fn check_members(&self) {
        let members = || self.members.values();
        let joins = members().filter(|member| member.parked_join.is_some()).count();
        assert_eq!(self.joins_parked, joins);
        assert_eq!(self.syncs_awaited, members().filter(|member| member.sync_awaited).count());
        let leads = self.leader.as_ref().is_none_or(|leader| self.members.contains_key(leader));
        assert!(leads, "the leader is a member");
        assert!(self.members.is_empty() || self.leader.is_some(), "members have a leader");
        let statics = members().filter(|member| member.is_static()).count();
        assert_eq!(self.instances.len(), statics);
        for (instance, id) in &self.instances {
            let member = self.members.get(id).and_then(|member| member.instance_id.as_ref());
            assert_eq!(member, Some(instance));
        }
        for (id, member) in &self.members {
            let completing = self.state == GroupState::CompletingRebalance;
            assert!(member.parked_sync.is_none() || completing, "{id} waits for a leader");
            assert!(member.session.is_set() || member.is_waiting(), "{id} can expire");
            assert!(!self.pending.contains_key(id));
            let fits = |name: &&ProtocolName| self.support.get(*name) == Some(&self.members.len());
            assert!(distinct(member).any(|name| fits(&name)), "{id} has something in common");
        }
    }
}

const NO_DEADLINE: Deadline = Deadline::new();

/// The names a member offers, each once.
fn distinct(member: &Member) -> impl Iterator<Item = &ProtocolName> {
    let first = |(place, name): &(usize, &ProtocolName)| {
        !member.protocols.iter().take(*place).any(|earlier| earlier.name == **name)
    };
    member.protocols.iter().map(|p| &p.name).enumerate().filter(first).map(|(_, name)| name)
}
