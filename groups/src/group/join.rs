//! `JoinGroup`: who is let in, and what joining again means.
//!
//! ```text
//!   member id   instance id   it is                       so
//!   none        none          new                         an id first, then as a pending one (KIP-394)
//!   none        unknown       new, static                 a member at once
//!   none        known         a static member, returning  `returning.rs`
//!   pending     none          new, with its id            a member
//!   known       its own       a member                    by state, below
//!
//!   state                the same as before               changed
//!   PreparingRebalance   parked                           parked
//!   CompletingRebalance  answered at once                 rebalance
//!   Stable               answered; the leader rebalances  rebalance
//! ```

use core::time::Duration;
use std::collections::btree_map::Entry;

use crate::error::GroupError;
use crate::ids::MemberId;
use crate::state::GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
use crate::timers::Deadline;
use crate::watch::{ExpulsionCause, RebalanceCause};

use super::member::{Member, ParkedJoin};
use super::messages::{Answer, JoinReason, JoinRequest, Joined, JoinedMember, RequestId};
use super::{Group, Timer, Turn};

impl Group {
    pub(super) fn join(&mut self, join: &JoinRequest, turn: &mut Turn<'_>) {
        if let Err(error) = self.admit(join, turn) {
            turn.refuse(join.request, error);
        }
    }

    fn admit(&mut self, join: &JoinRequest, turn: &mut Turn<'_>) -> Result<(), GroupError> {
        self.check_session_timeout(join.session_timeout)?;
        self.check_room(join, turn)?;
        if self.state == Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        self.check_protocols(join)?;
        match (&join.identity.member_id, &join.identity.instance_id) {
            (None, None) => self.introduce(join, turn),
            (None, Some(instance)) => {
                if let Some(old_id) = self.instances.get(instance).cloned() {
                    return self.replace(&old_id, join, turn);
                }
                self.add(&self.unused(&join.new_member_id)?, join, turn);
                Ok(())
            }
            (Some(id), None) if self.pending.remove(id).is_some() => {
                self.add(id, join, turn);
                Ok(())
            }
            (Some(_), _) => self.rejoin(join, turn),
        }
    }

    fn check_session_timeout(&self, found: Duration) -> Result<(), GroupError> {
        let (min, max) = (self.settings.session_timeout_min, self.settings.session_timeout_max);
        if (min..=max).contains(&found) {
            return Ok(());
        }
        Err(GroupError::InvalidSessionTimeout { found, min, max })
    }

    /// Whether there is room (`group.max.size`). While members join, those that have joined count:
    /// so a group that is too large sheds those who come last.
    fn check_room(&mut self, join: &JoinRequest, turn: &mut Turn<'_>) -> Result<(), GroupError> {
        let max = self.settings.group_size_max;
        let by_instance = || join.identity.instance_id.as_ref().and_then(|i| self.instances.get(i));
        let id = join.identity.member_id.as_ref().or_else(by_instance).cloned();
        let member = id.as_ref().and_then(|id| self.members.get(id));
        let room = match self.state {
            Empty | Dead => true,
            PreparingRebalance => {
                self.joins_parked < max || member.is_some_and(|m| m.parked_join.is_some())
            }
            CompletingRebalance | Stable => self.members.len() < max || member.is_some(),
        };
        if room {
            return Ok(());
        }
        let full = GroupError::GroupMaxSizeReached { max };
        if let Some(id) = id {
            // Nobody waits for it any more, also not as one that was to come back by its id.
            self.pending.remove(&id);
            if self.members.contains_key(&id) {
                self.remove(&id, ExpulsionCause::GroupFull, &full, turn);
            }
            self.complete_if_all_joined(turn);
        }
        Err(full)
    }

    /// A member must offer something that everybody else has; the first one decides what kind of
    /// group it is.
    fn check_protocols(&self, join: &JoinRequest) -> Result<(), GroupError> {
        let inconsistent = |reason| Err(GroupError::InconsistentGroupProtocol { reason });
        let Some(kind) = &join.protocol_type else {
            return inconsistent("a member must name a protocol type");
        };
        if join.protocols.is_empty() {
            return inconsistent("a member must offer a way of assigning");
        }
        if self.members.is_empty() {
            return Ok(());
        }
        if self.protocol_type.as_ref() != Some(kind) {
            return inconsistent("its protocol type is another one");
        }
        let common = |name| self.support.get(name) == Some(&self.members.len());
        if !join.protocols.iter().any(|offered| common(&offered.name)) {
            return inconsistent("no way of assigning is offered by every member");
        }
        Ok(())
    }

    /// An id that nobody has, as it should be.
    pub(super) fn unused(&self, id: &MemberId) -> Result<MemberId, GroupError> {
        if self.members.contains_key(id) || self.pending.contains_key(id) {
            return Err(GroupError::IdInUse { member_id: id.clone() });
        }
        Ok(id.clone())
    }

    /// A new member gets its id, and is one when it comes back with it: a consumer that times out
    /// and asks again leaves no trail of members.
    fn introduce(&mut self, join: &JoinRequest, turn: &mut Turn<'_>) -> Result<(), GroupError> {
        let id = self.unused(&join.new_member_id)?;
        if !join.version.requires_member_id() {
            self.add(&id, join, turn);
            return Ok(());
        }
        let mut session = Deadline::new();
        let at = turn.now.tick.after(join.session_timeout);
        self.timers.arm(&mut session, at, || Timer::Member(id.clone()));
        self.pending.insert(id.clone(), session);
        Err(GroupError::MemberIdRequired { member_id: id })
    }

    fn add(&mut self, id: &MemberId, join: &JoinRequest, turn: &mut Turn<'_>) {
        if self.members.is_empty() {
            self.protocol_type.clone_from(&join.protocol_type);
        }
        if let Some(initial) = &mut self.initial {
            initial.joined = true;
        }
        let mut member = Member::new(join);
        let at = turn.now.tick.after(self.settings.new_member_timeout);
        self.timers.arm(&mut member.session, at, || Timer::Member(id.clone()));
        self.endorse(&member);
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.members.insert(id.clone(), member);
        self.park_join(id, join.request, turn);
        self.rebalance_or_complete(RebalanceCause::MemberJoined, turn);
    }

    /// Keeps a join's answer back. One that was kept back before is given up by its member.
    pub(super) fn park_join(&mut self, id: &MemberId, request: RequestId, turn: &mut Turn<'_>) {
        let order = self.next_order;
        self.next_order += 1;
        let Some(member) = self.members.get_mut(id) else { return };
        match member.parked_join.replace(ParkedJoin { request, order }) {
            Some(given_up) => turn.refuse(given_up.request, GroupError::RebalanceInProgress),
            None => self.joins_parked += 1,
        }
    }

    fn rejoin(&mut self, join: &JoinRequest, turn: &mut Turn<'_>) -> Result<(), GroupError> {
        let id = self.validate(&join.identity)?;
        let unknown = GroupError::UnknownMemberId { member_id: Some(id.clone()) };
        let changed = self.take_wishes(&id, join).ok_or_else(|| unknown.clone())?;
        let leads = self.leader.as_ref() == Some(&id);
        match self.state {
            PreparingRebalance => {
                self.park_join(&id, join.request, turn);
                self.complete_if_all_joined(turn);
            }
            CompletingRebalance | Stable if changed || (leads && self.state == Stable) => {
                self.park_join(&id, join.request, turn);
                self.rebalance_or_complete(cause_of(join.reason, changed), turn);
            }
            CompletingRebalance | Stable => {
                self.refresh(&id, turn.now);
                turn.answer(join.request, Ok(Answer::Joined(self.joined(&id))));
            }
            Empty | Dead => return Err(unknown),
        }
        Ok(())
    }

    /// Takes over what a member wants now; whether it offers something else than before.
    fn take_wishes(&mut self, id: &MemberId, join: &JoinRequest) -> Option<bool> {
        let Entry::Occupied(mut entry) = self.members.entry(id.clone()) else { return None };
        entry.get_mut().take_timeouts(join);
        if entry.get().protocols == join.protocols {
            return Some(false);
        }
        let mut member = entry.remove();
        self.withdraw(&member);
        member.protocols.clone_from(&join.protocols);
        self.endorse(&member);
        self.members.insert(id.clone(), member);
        Some(true)
    }

    /// What a member is told of the generation it is in.
    pub(super) fn joined(&self, id: &MemberId) -> Joined {
        let leads = self.leader.as_ref() == Some(id);
        let tell = |(id, member): (&MemberId, &Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(self.protocol.as_ref()),
        };
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: id.clone(),
            members: if leads { self.members.iter().map(tell).collect() } else { Vec::new() },
            skip_assignment: false,
            layout: Vec::new(),
        }
    }
}

const fn cause_of(reason: JoinReason, changed: bool) -> RebalanceCause {
    match reason {
        JoinReason::PartitionsChanged => RebalanceCause::PartitionsChanged,
        JoinReason::SubscriptionChanged => RebalanceCause::SubscriptionChanged,
        JoinReason::PartitionsRevoked => RebalanceCause::PartitionsRevoked,
        JoinReason::Unspecified if changed => RebalanceCause::SubscriptionChanged,
        JoinReason::Unspecified | JoinReason::Requested => RebalanceCause::Requested,
    }
}
