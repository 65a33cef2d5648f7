//! One registered member (Kafka `ClassicGroupMember`).
//!
//! ```text
//!   parked join   it has joined and waits for the others
//!   parked sync   it has asked for its assignment and waits for the leader
//!   otherwise     its session runs: silence for that long, and it is out
//! ```

use core::time::Duration;

use bytes::Bytes;

use crate::ids::{InstanceId, MemberId, ProtocolName};
use crate::timers::Deadline;

use super::messages::{ClientInfo, JoinRequest, JoinVersion, Protocol, RequestId};
use super::record::MemberRecord;

/// A `JoinGroup` that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct ParkedJoin {
    pub request: RequestId,
    /// Which of the group's joins this is: the earliest becomes leader if the old one is absent.
    pub order: u64,
}

/// One registered member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub instance_id: Option<InstanceId>,
    pub client: ClientInfo,
    pub rebalance_timeout: Duration,
    pub session_timeout: Duration,
    pub version: JoinVersion,
    /// The preferred one first.
    pub protocols: Vec<Protocol>,
    pub assignment: Bytes,
    pub parked_join: Option<ParkedJoin>,
    pub parked_sync: Option<RequestId>,
    /// It has the generation and has not asked for its assignment.
    pub sync_awaited: bool,
    /// It has never had an answer: it cannot send heartbeats, so another limit holds.
    pub is_new: bool,
    pub session: Deadline,
}

impl Member {
    pub(super) fn new(join: &JoinRequest) -> Self {
        let mut member = Self {
            instance_id: join.identity.instance_id.clone(),
            client: join.client.clone(),
            rebalance_timeout: Duration::ZERO,
            session_timeout: Duration::ZERO,
            version: join.version,
            protocols: join.protocols.clone(),
            assignment: Bytes::new(),
            parked_join: None,
            parked_sync: None,
            sync_awaited: false,
            is_new: true,
            session: Deadline::default(),
        };
        member.take_timeouts(join);
        member
    }

    /// The member of a record, which lists the one way of assigning that was in use.
    pub(super) fn from_record(record: &MemberRecord, protocol: Option<&ProtocolName>) -> Self {
        let metadata = record.subscription.clone();
        let protocols = protocol.map(|name| Protocol { name: name.clone(), metadata });
        let rebalance_timeout = match record.rebalance_timeout {
            Duration::ZERO => record.session_timeout,
            given => given,
        };
        Self {
            instance_id: record.instance_id.clone(),
            client: ClientInfo {
                client_id: record.client_id.clone(),
                client_host: record.client_host.clone(),
            },
            rebalance_timeout,
            session_timeout: record.session_timeout,
            version: JoinVersion::LATEST,
            protocols: protocols.into_iter().collect(),
            assignment: record.assignment.clone(),
            parked_join: None,
            parked_sync: None,
            sync_awaited: false,
            is_new: false,
            session: Deadline::default(),
        }
    }

    pub(super) fn to_record(&self, id: &MemberId, protocol: Option<&ProtocolName>) -> MemberRecord {
        MemberRecord {
            member_id: id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client.client_id.clone(),
            client_host: self.client.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout,
            session_timeout: self.session_timeout,
            subscription: self.metadata(protocol),
            assignment: self.assignment.clone(),
        }
    }

    /// Takes both timeouts from a request (KAFKA-14009: both really change).
    pub(super) fn take_timeouts(&mut self, join: &JoinRequest) {
        self.version = join.version;
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = match join.rebalance_timeout {
            Duration::ZERO => join.session_timeout,
            given => given,
        };
    }

    /// What it says about itself for `protocol`; no bytes if it does not offer that.
    pub(super) fn metadata(&self, protocol: Option<&ProtocolName>) -> Bytes {
        let offered = self.protocols.iter().find(|offered| Some(&offered.name) == protocol);
        offered.map(|offered| offered.metadata.clone()).unwrap_or_default()
    }

    pub(super) const fn is_static(&self) -> bool {
        self.instance_id.is_some()
    }

    /// Whether it waits for us, so that its silence means nothing.
    pub(super) const fn is_waiting(&self) -> bool {
        self.parked_join.is_some() || self.parked_sync.is_some()
    }
}
