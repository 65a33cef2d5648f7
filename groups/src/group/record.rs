//! What is written to the offsets log about a group (Kafka `GroupMetadataValue`).

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use log_core::ids::TimestampMs;

use crate::ids::{Generation, InstanceId, MemberId, ProtocolName, ProtocolType};

/// A group at one moment. With [`Persistence::Generations`](crate::settings::Persistence) it has
/// no members: a group read from it is empty, and goes on counting.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "as in Kafka's record")]
pub struct GroupRecord {
    /// What kind of group; `None` for one that only keeps offsets.
    pub protocol_type: Option<ProtocolType>,
    /// The last generation.
    pub generation: Generation,
    /// How it assigned.
    pub protocol: Option<ProtocolName>,
    /// Who assigned.
    pub leader: Option<MemberId>,
    /// Since when the group stood where it stood; `None` in old records.
    pub state_timestamp: Option<TimestampMs>,
    /// Its members.
    pub members: Vec<MemberRecord>,
}

/// A member at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "as in Kafka's record")]
pub struct MemberRecord {
    /// Who.
    pub member_id: MemberId,
    /// The name it keeps across restarts.
    pub instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Its address.
    pub client_host: Arc<str>,
    /// How long it may take to join; zero in old records stands for the session timeout.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// What it said about itself, for the chosen way of assigning.
    pub subscription: Bytes,
    /// What it was given.
    pub assignment: Bytes,
}
