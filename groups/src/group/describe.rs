//! A group as operators see it (`DescribeGroups`).

use bytes::Bytes;

use crate::ids::{Generation, GroupId, InstanceId, MemberId, ProtocolName, ProtocolType};
use crate::state::GroupState;

use super::Group;
use super::messages::ClientInfo;

/// A group at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// Its name.
    pub group: GroupId,
    /// Where it stands.
    pub state: GroupState,
    /// Its last generation.
    pub generation: Generation,
    /// What kind of group.
    pub protocol_type: Option<ProtocolType>,
    /// How it assigns; only while stable.
    pub protocol: Option<ProtocolName>,
    /// Who assigns.
    pub leader: Option<MemberId>,
    /// Its members, rising by id.
    pub members: Vec<MemberDescription>,
}

/// A member at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// Who.
    pub member_id: MemberId,
    /// The name it keeps across restarts.
    pub instance_id: Option<InstanceId>,
    /// Where it runs.
    pub client: ClientInfo,
    /// What it says about itself; only while the group is stable.
    pub metadata: Bytes,
    /// What it is to read; only while the group is stable.
    pub assignment: Bytes,
}

impl Group {
    /// The group at this moment. What changes in a rebalance is shown while it is stable only.
    #[must_use]
    pub fn describe(&self) -> GroupDescription {
        let stable = self.state == GroupState::Stable;
        let shown = |bytes: Bytes| if stable { bytes } else { Bytes::new() };
        let members = self.members.iter().map(|(id, member)| MemberDescription {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client: member.client.clone(),
            metadata: shown(member.metadata(self.protocol.as_ref())),
            assignment: shown(member.assignment.clone()),
        });
        GroupDescription {
            group: self.id.clone(),
            state: self.state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone().filter(|_| stable),
            leader: self.leader.clone(),
            members: members.collect(),
        }
    }
}
