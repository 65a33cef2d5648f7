//! What a member asks its coordinator.

use bytes::Bytes;
use core::time::Duration;
use log_core::TopicName;

use crate::group::messages::{
    ClientInfo, Event, Identity, JoinReason, JoinRequest, JoinVersion, LeaveReason, Leaver,
    Protocol, RequestId, SyncRequest,
};
use crate::ids::{Generation, MemberId, ProtocolName, ProtocolType};

/// Ties an answer to its request. Chosen by the member, and its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct CallId(pub u64);

/// A request of a member.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Call {
    /// `JoinGroup`. Its answer is kept back until all have joined.
    Join {
        /// Who.
        identity: Identity,
        /// `session.timeout.ms`.
        session_timeout: Duration,
        /// `max.poll.interval.ms`.
        rebalance_timeout: Duration,
        /// What it offers.
        protocols: Vec<Protocol>,
        /// Why it joins.
        reason: JoinReason,
    },
    /// `SyncGroup`. Its answer is kept back until the leader has assigned.
    Sync {
        /// Who.
        identity: Identity,
        /// The generation it joined.
        generation: Generation,
        /// The way of assigning it was told.
        protocol: Option<ProtocolName>,
        /// The leader's: who gets what.
        assignments: Vec<(MemberId, Bytes)>,
        /// The leader's: the topics it shared out, and their partitions.
        layout: Vec<(TopicName, u32)>,
    },
    /// `Heartbeat`.
    Heartbeat {
        /// Who.
        identity: Identity,
        /// The generation it is in.
        generation: Generation,
    },
    /// `LeaveGroup`. Nobody waits for its answer.
    Leave {
        /// Who.
        identity: Identity,
        /// Why.
        reason: LeaveReason,
    },
}

impl Call {
    /// The event it is for the coordinator. `new_member_id` is the id that a new member gets.
    #[must_use]
    pub fn into_event(
        self,
        request: RequestId,
        new_member_id: MemberId,
        client: ClientInfo,
    ) -> Event {
        let kind = Some(ProtocolType::consumer());
        match self {
            Self::Join { identity, session_timeout, rebalance_timeout, protocols, reason } => {
                Event::Join(JoinRequest {
                    request,
                    version: JoinVersion::LATEST,
                    identity,
                    new_member_id,
                    client,
                    session_timeout,
                    rebalance_timeout,
                    protocol_type: kind,
                    protocols,
                    reason,
                })
            }
            Self::Sync { identity, generation, protocol, assignments, layout } => {
                let protocol_type = kind;
                Event::Sync(SyncRequest {
                    request,
                    identity,
                    generation,
                    protocol_type,
                    protocol,
                    assignments,
                    layout,
                })
            }
            Self::Heartbeat { identity, generation } => {
                Event::Heartbeat { request, identity, generation }
            }
            Self::Leave { identity, reason } => {
                Event::Leave { request, members: vec![Leaver { identity, reason }] }
            }
        }
    }
}
