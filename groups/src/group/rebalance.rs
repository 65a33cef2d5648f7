//! A rebalance, from its cause to the generation it makes.
//!
//! ```text
//!   prepare     syncs that wait are told; everybody is to join again
//!   wait        until all have joined and no handed-out id is open, or the rebalance timeout;
//!               from an empty group: the initial delay, longer while members come, never shorter
//!   complete    who did not join is out, unless static; the generation is one more; the vote;
//!               every join that waits is answered; the sync deadline begins
//! ```

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::error::GroupError;
use crate::ids::{MemberId, ProtocolName};
use crate::settings::Persistence;
use crate::state::GroupState::{CompletingRebalance, Empty, PreparingRebalance};
use crate::subscription::Subscription;
use crate::watch::{ExpulsionCause, RebalanceCause};

use super::messages::{Action, Answer, Notice, RequestId, WriteId};
use super::record::GroupRecord;
use super::{Group, InitialDelay, Then, Timer, Turn};

impl Group {
    /// The membership changed: a rebalance begins, or the one under way may be complete.
    pub(super) fn rebalance_or_complete(&mut self, cause: RebalanceCause, turn: &mut Turn<'_>) {
        if self.state.may_rebalance() {
            self.prepare(cause, turn);
        } else {
            self.complete_if_all_joined(turn);
        }
    }

    fn prepare(&mut self, cause: RebalanceCause, turn: &mut Turn<'_>) {
        let from = self.state;
        self.notice(Notice::Rebalancing { cause, from }, turn);
        if let Some(storm) = self.watch.begin(cause, self.rebalance_timeout(), turn.now.tick) {
            self.notice(Notice::Storm(storm), turn);
        }
        if from == CompletingRebalance {
            self.fail_syncs(&GroupError::RebalanceInProgress, turn);
        }
        for member in self.members.values_mut() {
            member.sync_awaited = false;
        }
        self.syncs_awaited = 0;
        self.rest_sync_timer();
        self.writes.retain(|_, write| !matches!(write.then, Then::Assign { .. }));
        self.become_state(PreparingRebalance, turn.now);
        if from == Empty {
            self.begin_initial_delay(turn);
        } else if self.all_joined() {
            self.complete(turn);
        } else {
            self.arm_join(self.rebalance_timeout(), turn);
        }
    }

    /// Nobody gets an assignment in this generation: who asked for one is told why not.
    pub(super) fn fail_syncs(&mut self, error: &GroupError, turn: &mut Turn<'_>) {
        let mut told = Vec::new();
        for (id, member) in &mut self.members {
            member.assignment = bytes::Bytes::new();
            if let Some(request) = member.parked_sync.take() {
                turn.refuse(request, error.clone());
                told.push(id.clone());
            }
        }
        for id in told {
            self.refresh(&id, turn.now);
        }
    }

    /// The longest of the members' rebalance timeouts.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn arm_join(&mut self, after: Duration, turn: &Turn<'_>) {
        let at = turn.now.tick.after(after);
        self.timers.arm(&mut self.join_deadline, at, || Timer::Join);
    }

    fn begin_initial_delay(&mut self, turn: &Turn<'_>) {
        let delay = self.settings.initial_rebalance_delay;
        let remaining = self.rebalance_timeout().saturating_sub(delay);
        self.initial = Some(InitialDelay { delay, remaining, joined: false });
        self.arm_join(delay, turn);
    }

    fn all_joined(&self) -> bool {
        self.joins_parked == self.members.len() && self.pending.is_empty()
    }

    pub(super) fn complete_if_all_joined(&mut self, turn: &mut Turn<'_>) {
        let waiting = self.state == PreparingRebalance && self.initial.is_none();
        if waiting && self.all_joined() {
            self.complete(turn);
        }
    }

    pub(super) fn join_time_is_up(&mut self, turn: &mut Turn<'_>) {
        if self.state != PreparingRebalance {
            return;
        }
        if let Some(initial) = &mut self.initial
            && initial.joined
            && !initial.remaining.is_zero()
        {
            let next = self.settings.initial_rebalance_delay.min(initial.remaining);
            initial.remaining = initial.remaining.saturating_sub(initial.delay);
            initial.delay = next;
            initial.joined = false;
            return self.arm_join(next, turn);
        }
        self.complete(turn);
    }

    fn complete(&mut self, turn: &mut Turn<'_>) {
        self.join_deadline.cancel();
        self.initial = None;
        self.drop_absent(turn);
        if !self.elect() {
            // Only static members are left, and none of them is here: until a session ends.
            return self.arm_join(self.rebalance_timeout(), turn);
        }
        self.generation = self.generation.next();
        self.protocol = self.vote();
        self.subscribed = self.subscribed_topics();
        if self.members.is_empty() {
            self.become_state(Empty, turn.now);
            self.watch.rest();
            self.write(turn);
            return;
        }
        self.become_state(CompletingRebalance, turn.now);
        if self.settings.persistence == Persistence::Generations {
            self.write(turn);
        }
        self.answer_joins(turn);
        let at = turn.now.tick.after(self.rebalance_timeout());
        self.timers.arm(&mut self.sync_deadline, at, || Timer::Sync);
    }

    /// Who did not join is out. Static members keep their place until their session ends.
    fn drop_absent(&mut self, turn: &mut Turn<'_>) {
        let absent = self.members.iter().filter(|(_, m)| m.parked_join.is_none() && !m.is_static());
        let absent: Vec<MemberId> = absent.map(|(id, _)| id.clone()).collect();
        for id in absent {
            let unknown = GroupError::UnknownMemberId { member_id: Some(id.clone()) };
            self.remove(&id, ExpulsionCause::MissedRebalance, &unknown, turn);
        }
    }

    /// Sees to it that the leader is here: if not, who joined first takes over. False if there are
    /// members and none of them is here.
    fn elect(&mut self) -> bool {
        let here = |id: &MemberId| self.members.get(id).is_some_and(|m| m.parked_join.is_some());
        if self.members.is_empty() || self.leader.as_ref().is_some_and(here) {
            return true;
        }
        self.leader = self.successor();
        self.leader.as_ref().is_some_and(here)
    }

    /// Each member votes for the first of its ways of assigning that all offer. The most votes
    /// win; of equals, the smallest name.
    pub(super) fn vote(&self) -> Option<ProtocolName> {
        let common = |name: &&ProtocolName| self.support.get(*name) == Some(&self.members.len());
        let mut votes: BTreeMap<&ProtocolName, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(choice) = member.protocols.iter().map(|p| &p.name).find(common) {
                *votes.entry(choice).or_default() += 1;
            }
        }
        let most = votes.values().max()?;
        votes.iter().find(|(_, count)| *count == most).map(|(name, _)| (*name).clone())
    }

    /// All topics of all members; `None` if some cannot be read, or they are no consumers.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<log_core::TopicName>> {
        if !self.protocol_type.as_ref()?.is_consumer() {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.metadata(self.protocol.as_ref());
            topics.extend(Subscription::decode_topics(&metadata).ok()?);
        }
        Some(topics)
    }

    fn answer_joins(&mut self, turn: &mut Turn<'_>) {
        let mut joined: Vec<(MemberId, RequestId)> = Vec::new();
        for (id, member) in &mut self.members {
            if let Some(parked) = member.parked_join.take() {
                member.is_new = false;
                member.sync_awaited = true;
                joined.push((id.clone(), parked.request));
            }
        }
        self.joins_parked = 0;
        self.syncs_awaited = joined.len();
        for (id, request) in joined {
            self.refresh(&id, turn.now);
            turn.answer(request, Ok(Answer::Joined(self.joined(&id))));
        }
    }

    pub(super) fn sync_time_is_up(&mut self, turn: &mut Turn<'_>) {
        let late = self.members.iter().filter(|(_, member)| member.sync_awaited);
        let late: Vec<MemberId> = late.map(|(id, _)| id.clone()).collect();
        for id in &late {
            let unknown = GroupError::UnknownMemberId { member_id: Some(id.clone()) };
            self.remove(id, ExpulsionCause::SyncTimeout, &unknown, turn);
        }
        if !late.is_empty() {
            self.rebalance_or_complete(RebalanceCause::SyncTimeout, turn);
        }
    }

    /// Writes the group as it is; nobody waits for that.
    pub(super) fn write(&mut self, turn: &mut Turn<'_>) {
        let record = self.record_as_assigned();
        self.append(Some(record), turn);
    }

    pub(super) fn append(&mut self, record: Option<GroupRecord>, turn: &mut Turn<'_>) -> WriteId {
        let write = WriteId(self.next_write);
        self.next_write += 1;
        turn.out.push(Action::Write { group: self.id.clone(), write, record });
        write
    }
}
