//! Static members that return under a new member id (KIP-345): the old process is fenced, its
//! place goes on.
//!
//! ```text
//!   state                it wants the same            it changes the vote, or wants other topics
//!   Stable               its old assignment, and      rebalance
//!                        nobody else notices
//!   CompletingRebalance  rebalance: the leader may have been told the old id
//!   PreparingRebalance   it counts as joined
//! ```

use std::collections::BTreeSet;

use bytes::Bytes;
use log_core::TopicName;

use crate::error::GroupError;
use crate::ids::{InstanceId, MemberId};
use crate::settings::Persistence;
use crate::state::GroupState::{CompletingRebalance, PreparingRebalance, Stable};
use crate::subscription::Subscription;
use crate::timers::Deadline;
use crate::watch::{ExpulsionCause, RebalanceCause};

use super::member::Member;
use super::messages::{Answer, JoinRequest, Joined, Notice};
use super::{Group, Then, Turn};

impl Group {
    pub(super) fn replace(
        &mut self,
        old_id: &MemberId,
        join: &JoinRequest,
        turn: &mut Turn<'_>,
    ) -> Result<(), GroupError> {
        let new_id = self.unused(&join.new_member_id)?;
        let unknown = GroupError::UnknownMemberId { member_id: Some(old_id.clone()) };
        let instance_id = join.identity.instance_id.clone().ok_or_else(|| unknown.clone())?;
        let mut old = self.members.remove(old_id).ok_or(unknown)?;
        self.fence(old_id, &mut old, instance_id, turn);
        self.withdraw(&old);
        let mut member = old.clone();
        member.client = join.client.clone();
        member.protocols.clone_from(&join.protocols);
        member.take_timeouts(join);
        let same_topics = topics(&old.metadata(self.protocol.as_ref()))
            == topics(&member.metadata(self.protocol.as_ref()));
        self.put_in_place(old_id, &new_id, member, turn);
        self.park_join(&new_id, join.request, turn);
        match self.state {
            Stable if self.vote() == self.protocol && same_topics => {
                self.persist_replacement(new_id, old_id.clone(), old, turn);
            }
            Stable | CompletingRebalance => {
                self.rebalance_or_complete(RebalanceCause::StaticMemberReplaced, turn);
            }
            _ => self.complete_if_all_joined(turn),
        }
        Ok(())
    }

    /// The old process is out: whatever it waits for says so.
    fn fence(
        &mut self,
        id: &MemberId,
        old: &mut Member,
        instance_id: InstanceId,
        turn: &mut Turn<'_>,
    ) {
        let fenced = GroupError::FencedInstanceId { instance_id };
        if let Some(parked) = old.parked_join.take() {
            self.joins_parked -= 1;
            turn.refuse(parked.request, fenced.clone());
        }
        if let Some(request) = old.parked_sync.take() {
            turn.refuse(request, fenced);
        }
        if core::mem::take(&mut old.sync_awaited) {
            self.syncs_awaited -= 1;
            self.rest_sync_timer();
        }
        old.is_new = false;
        let cause = ExpulsionCause::Fenced;
        self.watch.expel(cause);
        self.notice(Notice::Expelled { member_id: id.clone(), cause }, turn);
    }

    /// `member` takes the place of `old_id`, the lead included.
    fn put_in_place(
        &mut self,
        old_id: &MemberId,
        id: &MemberId,
        mut member: Member,
        turn: &Turn<'_>,
    ) {
        member.session = Deadline::new();
        self.endorse(&member);
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), id.clone());
        }
        if self.leader.as_ref() == Some(old_id) {
            self.leader = Some(id.clone());
        }
        self.members.insert(id.clone(), member);
        self.refresh(id, turn.now);
    }

    fn persist_replacement(
        &mut self,
        new_id: MemberId,
        old_id: MemberId,
        old: Member,
        turn: &mut Turn<'_>,
    ) {
        match self.settings.persistence {
            Persistence::Generations => self.answer_returning(&new_id, &old_id, turn),
            Persistence::Members => {
                let write = self.append(Some(self.record_as_assigned()), turn);
                let old = Box::new(old);
                self.await_write(write, Then::Replace { new_id, old_id, old }, turn);
            }
        }
    }

    /// The member is back as if it had never been away. If a rebalance began meanwhile, its join
    /// waits like any other.
    pub(super) fn answer_returning(
        &mut self,
        id: &MemberId,
        old_id: &MemberId,
        turn: &mut Turn<'_>,
    ) {
        let stable = self.state == Stable;
        let Some(member) = self.members.get_mut(id).filter(|_| stable) else { return };
        let version = member.version;
        let Some(parked) = member.parked_join.take() else { return };
        self.joins_parked -= 1;
        self.refresh(id, turn.now);
        let joined = self.joined(id);
        let leads = self.leader.as_ref() == Some(id);
        let joined = match (leads, version.knows_skip_assignment()) {
            (false, _) => joined,
            (true, true) => Joined { skip_assignment: true, layout: self.layout.clone(), ..joined },
            // It must not assign anew, and knows no way to be told: it follows whom it was.
            (true, false) => Joined { leader: Some(old_id.clone()), members: Vec::new(), ..joined },
        };
        turn.answer(parked.request, Ok(Answer::Joined(joined)));
    }

    /// The record of the replacement is not in the log: the old process has its place again.
    pub(super) fn swap_back(
        &mut self,
        new_id: &MemberId,
        old_id: &MemberId,
        old: Member,
        error: &GroupError,
        turn: &mut Turn<'_>,
    ) {
        let waits = |member: &Member| member.parked_join.is_some();
        if !matches!(self.state, Stable | PreparingRebalance)
            || !self.members.get(new_id).is_some_and(waits)
        {
            return;
        }
        let Some(new) = self.members.remove(new_id) else { return };
        self.withdraw(&new);
        if let Some(parked) = new.parked_join {
            self.joins_parked -= 1;
            turn.refuse(parked.request, error.clone());
        }
        self.put_in_place(new_id, old_id, old, turn);
        self.complete_if_all_joined(turn);
    }
}

/// The topics of a subscription, if it is one.
fn topics(metadata: &Bytes) -> Option<BTreeSet<TopicName>> {
    Subscription::decode_topics(metadata).ok().map(|topics| topics.into_iter().collect())
}
