//! What the group coordinator refuses, in Kafka's words and numbers.
//!
//! ```text
//!   rejoin      with the same id      IllegalGeneration, RebalanceInProgress, MemberIdRequired
//!               as somebody new       UnknownMemberId
//!   ask again   in a moment           Coordinator…, NotCoordinator
//!   stop        another has taken     FencedInstanceId
//!               the place
//! ```

use core::time::Duration;

use crate::ids::{Generation, InstanceId, MemberId};
use crate::state::GroupState;

/// Why the coordinator does not do what it was asked to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The offsets log is being read (`COORDINATOR_LOAD_IN_PROGRESS`).
    #[error("the coordinator is loading: ask again")]
    CoordinatorLoadInProgress,
    /// The group is on its way out, or its log did not take a record in time
    /// (`COORDINATOR_NOT_AVAILABLE`).
    #[error("the coordinator is not available now: ask again")]
    CoordinatorNotAvailable,
    /// The group has gone elsewhere, or its log is offline (`NOT_COORDINATOR`).
    #[error("the group is not here any more: look for its coordinator again")]
    NotCoordinator,
    /// The member missed a rebalance (`ILLEGAL_GENERATION`).
    #[error("generation {} is over, the group is in {current}: join again", Generation::to_wire(*.found))]
    IllegalGeneration {
        /// The one named.
        found: Option<Generation>,
        /// The group's.
        current: Generation,
    },
    /// The member's way of assigning has nothing in common with the others'
    /// (`INCONSISTENT_GROUP_PROTOCOL`).
    #[error("the group does not work that way: {reason}")]
    InconsistentGroupProtocol {
        /// What does not fit.
        reason: &'static str,
    },
    /// Nobody of that name is in the group (`UNKNOWN_MEMBER_ID`).
    #[error("{} is not in the group: join as a new member", Named(.member_id))]
    UnknownMemberId {
        /// The name; `None` if none was given.
        member_id: Option<MemberId>,
    },
    /// The session timeout is out of bounds (`INVALID_SESSION_TIMEOUT`).
    #[error("a session timeout of {found:?} is refused: it must be {min:?} to {max:?}")]
    InvalidSessionTimeout {
        /// The one asked for.
        found: Duration,
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// Partitions are being shared out anew (`REBALANCE_IN_PROGRESS`).
    #[error("the group rebalances: join again")]
    RebalanceInProgress,
    /// Here is an id: come again with it (`MEMBER_ID_REQUIRED`).
    #[error("join again as {member_id}")]
    MemberIdRequired {
        /// The id.
        member_id: MemberId,
    },
    /// The group is full (`GROUP_MAX_SIZE_REACHED`).
    #[error("the group has {max} members, and no room for more")]
    GroupMaxSizeReached {
        /// How many it holds.
        max: usize,
    },
    /// Another process has taken over that name (`FENCED_INSTANCE_ID`).
    #[error("{instance_id} belongs to another process now: this one has to stop")]
    FencedInstanceId {
        /// The name.
        instance_id: InstanceId,
    },
    /// Only a group without members can be deleted (`NON_EMPTY_GROUP`).
    #[error("the group is {state}: only an empty one can be deleted")]
    NonEmptyGroup {
        /// Where it stands.
        state: GroupState,
    },
    /// There is no such group (`GROUP_ID_NOT_FOUND`).
    #[error("there is no such group")]
    GroupIdNotFound,
    /// The record of the group does not fit into the log (`UNKNOWN_SERVER_ERROR`).
    #[error("the group's record is too large for its log")]
    RecordTooLarge,
    /// The id made for a new member is taken (`UNKNOWN_SERVER_ERROR`): whoever makes them repeats
    /// itself.
    #[error("{member_id} was to be a new member's id, and is in use")]
    IdInUse {
        /// The id.
        member_id: MemberId,
    },
}

struct Named<'a>(&'a Option<MemberId>);

impl core::fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("a member without an id"),
        }
    }
}

impl GroupError {
    /// The number Kafka's protocol gives it.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::RecordTooLarge | Self::IdInUse { .. } => -1,
            Self::CoordinatorLoadInProgress => 14,
            Self::CoordinatorNotAvailable => 15,
            Self::NotCoordinator => 16,
            Self::IllegalGeneration { .. } => 22,
            Self::InconsistentGroupProtocol { .. } => 23,
            Self::UnknownMemberId { .. } => 25,
            Self::InvalidSessionTimeout { .. } => 26,
            Self::RebalanceInProgress => 27,
            Self::NonEmptyGroup { .. } => 68,
            Self::GroupIdNotFound => 69,
            Self::MemberIdRequired { .. } => 79,
            Self::GroupMaxSizeReached { .. } => 81,
            Self::FencedInstanceId { .. } => 82,
        }
    }

    /// The number in an answer to `OffsetCommit` of `version`: before 9 there was none for a group
    /// that does not exist.
    #[must_use]
    pub const fn kafka_code_in_commit(&self, version: i16) -> i16 {
        match self {
            Self::GroupIdNotFound if version < 9 => 22,
            _ => self.kafka_code(),
        }
    }

    /// Whether the same request may succeed later, without joining again.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(
            self,
            Self::CoordinatorLoadInProgress | Self::CoordinatorNotAvailable | Self::NotCoordinator
        )
    }

    /// Whether joining again is the way on.
    #[must_use]
    pub const fn asks_to_rejoin(&self) -> bool {
        matches!(
            self,
            Self::IllegalGeneration { .. }
                | Self::UnknownMemberId { .. }
                | Self::RebalanceInProgress
                | Self::MemberIdRequired { .. }
        )
    }

    /// Whether this consumer cannot go on.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        !self.is_retriable() && !self.asks_to_rejoin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_name_what_is_to_be_done() {
        let member_id = MemberId::new("c-1").unwrap();
        let unknown = GroupError::UnknownMemberId { member_id: None };
        assert_eq!(
            unknown.to_string(),
            "a member without an id is not in the group: join as a new member"
        );
        let found = None;
        let old = GroupError::IllegalGeneration { found, current: Generation::ZERO };
        assert_eq!(old.to_string(), "generation -1 is over, the group is in 0: join again");
        let required = GroupError::MemberIdRequired { member_id };
        assert!(required.asks_to_rejoin() && !required.is_fatal() && !required.is_retriable());
        assert_eq!(required.kafka_code(), 79);
    }
}
