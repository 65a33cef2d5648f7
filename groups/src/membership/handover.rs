//! Giving partitions back, joining, and taking what is given.

use core::mem;

use bytes::Bytes;
use log_core::TopicName;

use crate::assignor::RebalanceProtocol;
use crate::group::messages::{JoinReason, LeaveReason, Protocol};
use crate::ids::ProtocolName;
use crate::partitions::PartitionSet;
use crate::subscription::{Assignment, Subscription, VERSION_MAX};

use super::call::Call;
use super::{Membership, MembershipError, Phase, Step, Todo};

impl Membership {
    /// Before joining: what cannot be kept is given back.
    ///
    /// - The membership was lost: so is everything.
    /// - Eager: everything, also nothing.
    /// - Cooperative: what belongs to topics it does not want any more.
    pub(super) fn prepare(&mut self) {
        let kept = self.kept();
        if self.generation.is_none() || self.member_id.is_none() {
            if !kept.is_empty() {
                self.todo.push_back(Todo::Lost(kept));
            }
            return;
        }
        self.commit_first(kept.clone());
        match self.protocol {
            RebalanceProtocol::Eager => self.todo.push_back(Todo::Revoked(kept)),
            RebalanceProtocol::Cooperative => {
                let unwanted = kept.filter_topics(|t| self.topics.binary_search(t).is_err());
                if !unwanted.is_empty() {
                    self.todo.push_back(Todo::Revoked(unwanted));
                }
            }
        }
    }

    fn commit_first(&mut self, partitions: PartitionSet) {
        if self.settings.auto_commit && !partitions.is_empty() {
            self.todo.push_back(Todo::Commit(partitions));
        }
    }

    pub(super) fn hand_out(&mut self, todo: Todo) -> Step {
        match todo {
            Todo::Commit(partitions) => Step::Commit(partitions),
            Todo::Revoked(partitions) => {
                self.handing_back = Some(partitions.clone());
                Step::Revoked(partitions)
            }
            Todo::Assigned(partitions) => {
                self.owned = self.owned.union(&partitions);
                Step::Assigned(partitions)
            }
            Todo::Lost(partitions) => {
                self.owned = self.owned.difference(&partitions);
                Step::Lost(partitions)
            }
            Todo::Leave(call) => {
                self.conclude();
                Step::Send(self.call(), call)
            }
        }
    }

    pub(super) fn join(&mut self) -> Result<Step, MembershipError> {
        let mut protocols = Vec::with_capacity(self.settings.assignors.len());
        for assignor in &self.settings.assignors {
            let (assigned, generation) = &self.memory;
            let subscription = Subscription::new(self.topics.iter().cloned())
                .with_user_data(assignor.user_data(assigned, *generation))
                .with_owned(self.owned.clone(), self.generation)
                .with_rack(self.settings.rack.clone());
            let Ok(name) = ProtocolName::new(assignor.name()) else { continue };
            protocols.push(Protocol { name, metadata: subscription.encode(VERSION_MAX)? });
        }
        self.joined_topics.clone_from(&self.topics);
        self.sent_reason = self.rejoin.take().unwrap_or_default();
        self.phase = Phase::Preparing;
        self.beat_in_flight = None;
        let id = self.call();
        self.in_flight = Some(id);
        let call = Call::Join {
            identity: self.identity(),
            session_timeout: self.settings.session_timeout,
            rebalance_timeout: self.settings.max_poll_interval,
            protocols,
            reason: self.sent_reason,
        };
        Ok(Step::Send(id, call))
    }

    /// Takes an assignment, and says what that means.
    ///
    /// A topic that is not wanted (any more) is refused with the whole assignment: it was made for
    /// wishes of the past.
    pub(super) fn complete(&mut self, assignment: &Bytes) -> Result<(), MembershipError> {
        let read = Assignment::decode(assignment);
        let given = match read {
            Ok(read) => read.partitions().clone(),
            Err(error) => {
                self.rejoin.get_or_insert(JoinReason::Unspecified);
                return Err(error.into());
            }
        };
        let wanted = |topic: &TopicName| self.topics.binary_search(topic).is_ok();
        if given.topics().any(|(topic, _)| !wanted(topic)) {
            self.rejoin = Some(JoinReason::SubscriptionChanged);
            return Ok(());
        }
        self.memory = (given.clone(), self.generation);
        let added = given.difference(&self.owned);
        let gone = self.owned.difference(&given);
        if !gone.is_empty() {
            self.commit_first(gone.clone());
            self.todo.push_back(Todo::Revoked(gone));
            // What is given back can be handed out once this member says so.
            self.rejoin = Some(JoinReason::PartitionsRevoked);
        }
        self.todo.push_back(Todo::Assigned(added));
        Ok(())
    }

    /// Leaves the group in good order and wants nothing any more: the next steps tell the listener
    /// and, unless it is static, the coordinator. Until they are done it is the member it was, so
    /// that offsets can be committed.
    pub fn unsubscribe(&mut self) {
        let in_rebalance = !matches!(self.phase, Phase::Stable) || self.generation.is_none();
        let lost = mem::take(&mut self.todo).into_iter();
        let owned = lost.fold(self.kept(), |owned, todo| {
            if let Todo::Lost(set) = todo { owned.union(&set) } else { owned }
        });
        if !owned.is_empty() && in_rebalance {
            self.todo.push_back(Todo::Lost(owned));
        } else if !owned.is_empty() {
            self.commit_first(owned.clone());
            self.todo.push_back(Todo::Revoked(owned));
        }
        let identity = self.identity();
        if identity.member_id.is_some() && identity.instance_id.is_none() {
            let call = Call::Leave { identity, reason: LeaveReason::Closed };
            self.todo.push_back(Todo::Leave(call));
        }
        self.topics.clear();
        self.joined_topics.clear();
        // Answers to what it asked before mean nothing any more.
        (self.in_flight, self.collected) = (None, None);
        self.leaving = true;
    }

    /// It has left. What it did not give back, because its membership was lost meanwhile, is lost.
    pub(super) fn conclude(&mut self) {
        self.reset(false, JoinReason::Unspecified);
        self.rejoin = None;
        self.failed = None;
        self.leaving = false;
        if !self.owned.is_empty() {
            self.todo.push_back(Todo::Lost(self.owned.clone()));
        }
    }
}
