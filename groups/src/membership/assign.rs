//! The leader's duty: to say who gets what.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use log_core::TopicPartition;
use log_core::clock::Tick;

use crate::assignor::{
    AssignError, Assignments, Assignor, Member, Members, RebalanceProtocol, Topics,
};
use crate::group::messages::JoinedMember;
use crate::ids::{Generation, MemberId};
use crate::subscription::{Subscription, VERSION_MAX};

use super::call::Call;
use super::{Duty, Membership, MembershipError, Phase, Step};

impl Membership {
    pub(super) fn sync(
        &mut self,
        duty: Duty,
        topics: &Topics,
        now: Tick,
    ) -> Result<Step, MembershipError> {
        let assignments = match duty {
            Duty::Assign(members) => match self.share_out(&members, topics) {
                Ok(assignments) => assignments,
                Err(error) => {
                    // It joins again and is asked to assign once more. That is a rebalance of all: its
                    // subscription names another generation now.
                    self.phase = Phase::Unjoined;
                    self.rejoin = Some(self.sent_reason);
                    self.retry_at = now.after(self.settings.retry_backoff);
                    return Err(error);
                }
            },
            Duty::Follow | Duty::Keep => Vec::new(),
        };
        let Some(generation) = self.generation else {
            self.phase = Phase::Unjoined;
            return Ok(Step::Waiting);
        };
        let id = self.call();
        self.in_flight = Some(id);
        let layout = self.watched.clone().filter(|_| !assignments.is_empty());
        let call = Call::Sync {
            identity: self.identity(),
            generation,
            protocol: self.chosen.clone(),
            assignments,
            layout: layout.unwrap_or_default(),
        };
        Ok(Step::Send(id, call))
    }

    fn share_out(
        &mut self,
        joined: &[JoinedMember],
        topics: &Topics,
    ) -> Result<Vec<(MemberId, Bytes)>, MembershipError> {
        let chosen = self.chosen.as_ref();
        let named = |a: &&Arc<dyn Assignor>| chosen.is_some_and(|name| a.name() == name.as_str());
        let Some(assignor) = self.settings.assignors.iter().find(named) else {
            let found = chosen.map(ToString::to_string).unwrap_or_default();
            return Err(MembershipError::UnknownAssignor { found });
        };
        // A subscription that cannot be read wants nothing: its member gets an empty assignment.
        let member = |joined: &JoinedMember| Member {
            instance_id: joined.instance_id.clone(),
            subscription: Subscription::decode(&joined.metadata).unwrap_or_default(),
        };
        let members: Members = joined.iter().map(|j| (j.member_id.clone(), member(j))).collect();
        let assignments = assign(assignor.as_ref(), topics, &members).map_err(|source| {
            let assignor = assignor.name().to_owned();
            MembershipError::Assign { assignor, source }
        })?;
        let wanted = members.values().flat_map(|m| m.subscription.topics());
        let mut watched: Vec<_> = wanted.map(|t| (t.clone(), topics.partitions(t))).collect();
        watched.sort_unstable();
        watched.dedup();
        self.watched = Some(watched);
        let mut encoded = Vec::with_capacity(assignments.len());
        for (id, assignment) in assignments {
            encoded.push((id, assignment.encode(VERSION_MAX)?));
        }
        Ok(encoded)
    }
}

/// Lets a strategy assign. One that panics has failed, and one that would hand out in this round
/// what somebody else still owns is stopped.
fn assign(
    assignor: &dyn Assignor,
    topics: &Topics,
    members: &Members,
) -> Result<Assignments, AssignError> {
    let outcome = catch_unwind(AssertUnwindSafe(|| assignor.assign(topics, members)));
    let assignments = outcome.map_err(|_| AssignError::Refused("it panicked".to_owned()))??;
    if assignor.protocols().contains(&RebalanceProtocol::Cooperative) {
        check_safe(members, &assignments)?;
    }
    Ok(assignments)
}

/// A claimed partition goes to nobody but the only member with its newest claim.
fn check_safe(members: &Members, assignments: &Assignments) -> Result<(), AssignError> {
    let mut claims: BTreeMap<TopicPartition, (Option<Generation>, Option<&MemberId>)> =
        BTreeMap::new();
    for (id, member) in members {
        let generation = member.subscription.generation();
        for partition in member.subscription.owned().iter() {
            let newest = claims.entry(partition).or_insert((generation, Some(id)));
            if newest.0 < generation {
                *newest = (generation, Some(id));
            } else if newest.0 == generation && newest.1 != Some(id) {
                newest.1 = None;
            }
        }
    }
    if claims.is_empty() {
        return Ok(());
    }
    for (id, assignment) in assignments {
        for partition in assignment.partitions().iter() {
            if claims.get(&partition).is_some_and(|(_, owner)| *owner != Some(id)) {
                let words = format!("it gives {partition} to {id} while another member owns it");
                return Err(AssignError::Refused(words));
            }
        }
    }
    Ok(())
}
