//! `SyncGroup`: the leader brings everybody's assignment, everybody fetches its own; and what
//! becomes of records under way.
//!
//! ```text
//!   follower ──▶ parked ─────────────────────────────────────┐
//!   leader ────▶ parked ─▶ Write, if members are written ─▶ Durable ─▶ all answered, Stable
//!                                                        └▶ failed ──▶ all told, rebalance
//! ```

use core::mem;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::error::GroupError;
use crate::ids::{Generation, MemberId};
use crate::settings::Persistence;
use crate::state::GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};
use crate::timers::Deadline;
use crate::watch::RebalanceCause;

use super::messages::{Answer, Notice, RequestId, SyncRequest, Synced, WriteId, WriteOutcome};
use super::{Group, Then, Timer, Turn, Write};

impl Group {
    pub(super) fn sync(&mut self, sync: SyncRequest, turn: &mut Turn<'_>) {
        let request = sync.request;
        if let Err(error) = self.try_sync(sync, turn) {
            turn.refuse(request, error);
        }
    }

    fn try_sync(&mut self, sync: SyncRequest, turn: &mut Turn<'_>) -> Result<(), GroupError> {
        if self.state == Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        let id = self.validate(&sync.identity)?;
        self.check_generation(Some(sync.generation))?;
        let differs = sync.protocol_type.is_some() && sync.protocol_type != self.protocol_type
            || sync.protocol.is_some() && sync.protocol != self.protocol;
        if differs {
            let reason = "it names another way of assigning than the one that was chosen";
            return Err(GroupError::InconsistentGroupProtocol { reason });
        }
        match self.state {
            PreparingRebalance => Err(GroupError::RebalanceInProgress),
            CompletingRebalance => {
                self.park_sync(&id, sync.request, turn);
                if self.leader.as_ref() == Some(&id) && !self.is_assigning() {
                    self.layout = sync.layout;
                    self.assign(sync.assignments, turn);
                }
                Ok(())
            }
            Stable => {
                self.sync_arrived(&id);
                self.refresh(&id, turn.now);
                self.answer_sync(&id, sync.request, turn);
                Ok(())
            }
            Empty | Dead => Err(GroupError::UnknownMemberId { member_id: Some(id) }),
        }
    }

    fn park_sync(&mut self, id: &MemberId, request: RequestId, turn: &mut Turn<'_>) {
        self.sync_arrived(id);
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(older) = member.parked_sync.replace(request) {
            turn.refuse(older, GroupError::RebalanceInProgress);
        }
    }

    fn sync_arrived(&mut self, id: &MemberId) {
        if let Some(member) = self.members.get_mut(id)
            && mem::take(&mut member.sync_awaited)
        {
            self.syncs_awaited -= 1;
            self.rest_sync_timer();
        }
    }

    /// Whether the leader's assignment is under way to the log: its second sync changes nothing.
    fn is_assigning(&self) -> bool {
        self.writes.values().any(|write| matches!(write.then, Then::Assign { .. }))
    }

    fn assign(&mut self, given: Vec<(MemberId, Bytes)>, turn: &mut Turn<'_>) {
        let mut given: BTreeMap<MemberId, Bytes> = given.into_iter().collect();
        let mut assignments = BTreeMap::new();
        for id in self.members.keys() {
            let assignment = given.remove(id);
            if assignment.is_none() {
                self.notice(Notice::Forgotten { member_id: id.clone() }, turn);
            }
            assignments.insert(id.clone(), assignment.unwrap_or_default());
        }
        match self.settings.persistence {
            Persistence::Generations => self.settle(assignments, turn),
            Persistence::Members => {
                let write = self.append(Some(self.record(&assignments)), turn);
                let generation = self.generation;
                self.await_write(write, Then::Assign { generation, assignments }, turn);
            }
        }
    }

    pub(super) fn await_write(&mut self, write: WriteId, then: Then, turn: &Turn<'_>) {
        let mut deadline = Deadline::new();
        let at = turn.now.tick.after(self.settings.write_timeout);
        self.timers.arm(&mut deadline, at, || Timer::Write(write));
        self.writes.insert(write, Write { deadline, then });
    }

    /// The assignment counts: whoever waits for it gets it.
    fn settle(&mut self, mut assignments: BTreeMap<MemberId, Bytes>, turn: &mut Turn<'_>) {
        self.become_state(Stable, turn.now);
        let took = self.watch.settle(turn.now.tick);
        let mut waiting = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
            waiting.extend(member.parked_sync.take().map(|request| (id.clone(), request)));
        }
        for (id, request) in waiting {
            self.refresh(&id, turn.now);
            self.answer_sync(&id, request, turn);
        }
        self.notice(Notice::Stable { generation: self.generation, took }, turn);
    }

    fn answer_sync(&self, id: &MemberId, request: RequestId, turn: &mut Turn<'_>) {
        let assignment = self.members.get(id).map(|member| member.assignment.clone());
        let synced = Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: assignment.unwrap_or_default(),
        };
        turn.answer(request, Ok(Answer::Synced(synced)));
    }

    /// A record's fate is known. One that nobody waits for any more changes nothing.
    pub(super) fn written(&mut self, id: WriteId, outcome: WriteOutcome, turn: &mut Turn<'_>) {
        let Some(write) = self.writes.remove(&id) else { return };
        match write.then {
            Then::Assign { generation, assignments } => {
                self.assignment_written(generation, assignments, outcome, turn);
            }
            Then::Replace { new_id, old_id, old } => match refusal(outcome) {
                None => self.answer_returning(&new_id, &old_id, turn),
                Some(error) => self.swap_back(&new_id, &old_id, *old, &error, turn),
            },
        }
    }

    fn assignment_written(
        &mut self,
        generation: Generation,
        assignments: BTreeMap<MemberId, Bytes>,
        outcome: WriteOutcome,
        turn: &mut Turn<'_>,
    ) {
        if self.state != CompletingRebalance || self.generation != generation {
            return;
        }
        match refusal(outcome) {
            None => self.settle(assignments, turn),
            Some(error) => {
                self.fail_syncs(&error, turn);
                self.rebalance_or_complete(RebalanceCause::NotPersisted, turn);
            }
        }
    }
}

/// What members are told of a record that is not in the log.
const fn refusal(outcome: WriteOutcome) -> Option<GroupError> {
    match outcome {
        WriteOutcome::Durable => None,
        WriteOutcome::Refused => Some(GroupError::CoordinatorNotAvailable),
        WriteOutcome::Lost => Some(GroupError::NotCoordinator),
        WriteOutcome::TooLarge => Some(GroupError::RecordTooLarge),
    }
}
