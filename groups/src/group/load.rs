//! A group as it is written down, and back from there.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::ids::{GroupId, MemberId};
use crate::settings::{GroupSettings, Persistence};
use crate::state::GroupState::{Empty, Stable};
use crate::watch::RebalanceCause;

use super::member::Member;
use super::messages::{Action, Now};
use super::record::GroupRecord;
use super::{Group, Turn};

impl Group {
    /// The group of a record. With members it is stable, in their generation, and each has a whole
    /// session to be heard of; a rebalance that was under way is forgotten. Otherwise it is empty
    /// and goes on counting.
    #[must_use]
    pub fn load(
        id: GroupId,
        settings: GroupSettings,
        record: &GroupRecord,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Self {
        let mut group = Self::new(id, settings, now);
        group.generation = record.generation;
        group.protocol_type.clone_from(&record.protocol_type);
        group.state_timestamp = record.state_timestamp.unwrap_or(now.timestamp);
        if record.protocol.is_some() && !record.members.is_empty() {
            group.load_members(record, now, out);
        }
        group.check();
        group
    }

    fn load_members(&mut self, record: &GroupRecord, now: Now, out: &mut Vec<Action>) {
        self.protocol.clone_from(&record.protocol);
        for written in &record.members {
            let member = Member::from_record(written, self.protocol.as_ref());
            let id = written.member_id.clone();
            if self.members.contains_key(&id) {
                continue;
            }
            if let Some(instance) = &member.instance_id
                && self.instances.insert(instance.clone(), id.clone()).is_some()
            {
                // Two members under one instance id: no group writes that. The later one stays.
                self.members.retain(|_, other| other.instance_id != member.instance_id);
            }
            self.members.insert(id.clone(), member);
            self.refresh(&id, now);
        }
        let protocol = self.protocol.clone();
        self.support.extend(protocol.map(|name| (name, self.members.len())));
        let leader = record.leader.clone().filter(|leader| self.members.contains_key(leader));
        self.leader = leader.or_else(|| self.members.keys().next().cloned());
        self.subscribed = self.subscribed_topics();
        // Not a move of the table: this is where a loaded group begins.
        self.state = Stable;
        self.watch.settle(now.tick);
        if self.members.len() > self.settings.group_size_max {
            self.rebalance_or_complete(RebalanceCause::GroupTooLarge, &mut Turn { now, out });
        }
    }

    /// The group as it is, with members holding `assignments`.
    pub(super) fn record(&self, assignments: &BTreeMap<MemberId, Bytes>) -> GroupRecord {
        let mut record = self.record_as_assigned();
        for member in &mut record.members {
            if let Some(assignment) = assignments.get(&member.member_id) {
                member.assignment = assignment.clone();
            }
        }
        record
    }

    /// The group as it is, with members holding what they hold.
    pub(super) fn record_as_assigned(&self) -> GroupRecord {
        let mut record = GroupRecord {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: None,
            leader: None,
            state_timestamp: Some(self.state_timestamp),
            members: Vec::new(),
        };
        if self.settings.persistence == Persistence::Members && self.state != Empty {
            let write =
                |(id, member): (&MemberId, &Member)| member.to_record(id, self.protocol.as_ref());
            record.protocol.clone_from(&self.protocol);
            record.leader.clone_from(&self.leader);
            record.members = self.members.iter().map(write).collect();
        }
        record
    }
}
