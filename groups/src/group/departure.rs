//! How members go: they leave, fall silent, or lose the whole group.

use crate::error::GroupError;
use crate::ids::MemberId;
use crate::state::GroupState::{Dead, Empty};
use crate::watch::{ExpulsionCause, RebalanceCause};

use super::messages::{Answer, Identity, LeaveReason, Leaver, RequestId};
use super::{Group, Turn};

impl Group {
    /// `LeaveGroup`: each on its own, one rebalance for all.
    pub(super) fn leave(&mut self, request: RequestId, members: &[Leaver], turn: &mut Turn<'_>) {
        if self.state == Dead {
            return turn.refuse(request, GroupError::CoordinatorNotAvailable);
        }
        let mut gone = None;
        let mut answers = Vec::with_capacity(members.len());
        for leaver in members {
            let left = self.leave_one(leaver, turn);
            answers.push(left.map(|cause| gone = cause.or(gone)));
        }
        turn.answer(request, Ok(Answer::Left(answers)));
        match gone {
            Some(cause) => self.rebalance_or_complete(cause, turn),
            // Whoever was merely about to join may have been what the others waited for.
            None => self.complete_if_all_joined(turn),
        }
    }

    /// Why the group rebalances now; `None` if no member went, only a pending id.
    fn leave_one(
        &mut self,
        leaver: &Leaver,
        turn: &mut Turn<'_>,
    ) -> Result<Option<RebalanceCause>, GroupError> {
        let Identity { member_id, instance_id } = &leaver.identity;
        let pending = member_id.as_ref().filter(|_| instance_id.is_none());
        if pending.is_some_and(|id| self.pending.remove(id).is_some()) {
            return Ok(None);
        }
        let holder = || instance_id.as_ref().and_then(|instance| self.instances.get(instance));
        let id = match member_id {
            Some(_) => self.validate(&leaver.identity)?,
            None => holder().cloned().ok_or(GroupError::UnknownMemberId { member_id: None })?,
        };
        let (cause, expulsion) = match leaver.reason {
            LeaveReason::Closed => (RebalanceCause::MemberLeft, ExpulsionCause::Left),
            LeaveReason::PollIntervalExceeded => {
                (RebalanceCause::PollIntervalExceeded, ExpulsionCause::PollIntervalExceeded)
            }
        };
        let unknown = GroupError::UnknownMemberId { member_id: Some(id.clone()) };
        self.remove(&id, expulsion, &unknown, turn);
        Ok(Some(cause))
    }

    /// A session, or the time of a pending id, is over.
    pub(super) fn expire(&mut self, id: &MemberId, turn: &mut Turn<'_>) {
        if self.pending.remove(id).is_some() {
            return self.complete_if_all_joined(turn);
        }
        let Some(member) = self.members.get(id) else { return };
        if !member.is_new && member.is_waiting() {
            // It waits for us: its answer begins its session anew.
            return;
        }
        let cause = if member.is_new {
            ExpulsionCause::NewMemberTimeout
        } else {
            ExpulsionCause::SessionTimeout
        };
        let unknown = GroupError::UnknownMemberId { member_id: Some(id.clone()) };
        self.remove(id, cause, &unknown, turn);
        self.rebalance_or_complete(RebalanceCause::SessionTimeout, turn);
    }

    /// `DeleteGroups`.
    pub(super) fn delete(&mut self, request: RequestId, turn: &mut Turn<'_>) {
        match self.state {
            Dead => turn.refuse(request, GroupError::GroupIdNotFound),
            Empty => {
                self.append(None, turn);
                turn.answer(request, Ok(Answer::Deleted));
                self.die(turn);
            }
            state => turn.refuse(request, GroupError::NonEmptyGroup { state }),
        }
    }

    /// The group goes elsewhere: whoever waits has to look for it there.
    pub(super) fn unload(&mut self, turn: &mut Turn<'_>) {
        for member in self.members.values_mut() {
            let parked = member.parked_join.take().map(|parked| parked.request);
            for request in parked.into_iter().chain(member.parked_sync.take()) {
                turn.refuse(request, GroupError::NotCoordinator);
            }
        }
        self.die(turn);
    }

    fn die(&mut self, turn: &Turn<'_>) {
        self.members.clear();
        self.instances.clear();
        self.pending.clear();
        self.support.clear();
        self.writes.clear();
        self.leader = None;
        self.initial = None;
        self.joins_parked = 0;
        self.syncs_awaited = 0;
        self.join_deadline.cancel();
        self.sync_deadline.cancel();
        self.watch.rest();
        self.become_state(Dead, turn.now);
    }
}
