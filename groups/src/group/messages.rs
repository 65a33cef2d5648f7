//! What goes into a group and what comes out.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use log_core::TopicName;
use log_core::clock::Tick;
use log_core::ids::TimestampMs;

use crate::error::GroupError;
use crate::ids::{Generation, GroupId, InstanceId, MemberId, ProtocolName, ProtocolType};
use crate::state::GroupState;
use crate::watch::{ExpulsionCause, RebalanceCause, StormWarning};

use super::record::GroupRecord;

/// Ties an answer to its request. Chosen by whoever asks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct RequestId(pub u64);

/// Ties a record's fate to its append. Chosen by the group, and its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct WriteId(pub u64);

/// Both clocks, read once for an event: deadlines hang on the tick alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "there are two clocks")]
pub struct Now {
    /// Elapsed time.
    pub tick: Tick,
    /// Wall time, for what is written down.
    pub timestamp: TimestampMs,
}

/// Which version of Kafka's `JoinGroup` a member speaks.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct JoinVersion(pub i16);

impl JoinVersion {
    /// The newest, which members of this process speak.
    pub const LATEST: Self = Self(9);

    /// Whether a new member is given an id first and joins with it (KIP-394).
    #[must_use]
    pub const fn requires_member_id(self) -> bool {
        self.0 >= 4
    }

    /// Whether a returning leader can be told to leave the assignment as it is.
    #[must_use]
    pub const fn knows_skip_assignment(self) -> bool {
        self.0 >= 9
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "Kafka knows a member by these two")]
pub struct Identity {
    /// The id that the coordinator gave it; `None` before that.
    pub member_id: Option<MemberId>,
    /// The name it keeps across restarts.
    pub instance_id: Option<InstanceId>,
}

/// Where a member runs: for listings and records only.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "Kafka's records hold these two")]
pub struct ClientInfo {
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Its address.
    pub client_host: Arc<str>,
}

/// One way of assigning that a member offers, and what it says about itself there.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "as in Kafka's JoinGroup")]
pub struct Protocol {
    /// The assignor.
    pub name: ProtocolName,
    /// The member's subscription, in bytes that the leader reads.
    pub metadata: Bytes,
}

/// Why a member that is in the group joins again. Kafka carries it as text for the broker's log
/// (KIP-800); here it is what rebalances are counted by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum JoinReason {
    /// It does not say: it follows the others.
    #[default]
    Unspecified,
    /// The leader saw that partitions changed in number.
    PartitionsChanged,
    /// It wants other topics.
    SubscriptionChanged,
    /// It gave partitions back that another is to have.
    PartitionsRevoked,
    /// Its application asked for it.
    Requested,
}

/// Why a member leaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum LeaveReason {
    /// It was closed, or is not subscribed any more, or an operator removes it.
    #[default]
    Closed,
    /// Its application did not poll within `max.poll.interval.ms`.
    PollIntervalExceeded,
}

/// A consumer joins, or joins again.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a request: every field is the asker's")]
pub struct JoinRequest {
    /// Whom to answer.
    pub request: RequestId,
    /// The rules it knows.
    pub version: JoinVersion,
    /// Who it is.
    pub identity: Identity,
    /// The id it is to have if it needs one: never used before.
    pub new_member_id: MemberId,
    /// Where it runs.
    pub client: ClientInfo,
    /// How long it may be silent (`session.timeout.ms`).
    pub session_timeout: Duration,
    /// How long it may take to join once a rebalance began (`max.poll.interval.ms`). Zero stands
    /// for the session timeout.
    pub rebalance_timeout: Duration,
    /// The kind of group it expects; `None` stands for Kafka's empty string.
    pub protocol_type: Option<ProtocolType>,
    /// The ways of assigning it offers, the preferred one first.
    pub protocols: Vec<Protocol>,
    /// Why it joins again.
    pub reason: JoinReason,
}

/// A member asks for its assignment; the leader brings everybody's.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a request: every field is the asker's")]
pub struct SyncRequest {
    /// Whom to answer.
    pub request: RequestId,
    /// Who it is.
    pub identity: Identity,
    /// The generation it joined.
    pub generation: Generation,
    /// The kind of group it joined, if it says.
    pub protocol_type: Option<ProtocolType>,
    /// The way of assigning it was told, if it says.
    pub protocol: Option<ProtocolName>,
    /// The leader's: who gets what. Empty from everybody else.
    pub assignments: Vec<(MemberId, Bytes)>,
    /// The leader's: the topics it shared out, and how many partitions they had. A leader that
    /// returns is told, and so sees what changed while it was away. Kafka's request has no such
    /// field: from there it is empty.
    pub layout: Vec<(TopicName, u32)>,
}

/// A member that leaves, or is removed.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a request: every field is the asker's")]
pub struct Leaver {
    /// Who. Without a member id, whoever has the instance id: an operator's removal.
    pub identity: Identity,
    /// Why.
    pub reason: LeaveReason,
}

/// Which commit of offsets is to be allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "in a transaction or not")]
pub enum CommitKind {
    /// At once.
    Plain,
    /// With the transaction it belongs to: the producer's epoch fences it as well.
    Transactional,
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// `JoinGroup`.
    Join(JoinRequest),
    /// `SyncGroup`.
    Sync(SyncRequest),
    /// `Heartbeat`.
    Heartbeat {
        /// Whom to answer.
        request: RequestId,
        /// Who it is.
        identity: Identity,
        /// The generation it is in.
        generation: Generation,
    },
    /// `LeaveGroup`, of one or many.
    Leave {
        /// Whom to answer.
        request: RequestId,
        /// Who leaves.
        members: Vec<Leaver>,
    },
    /// May these offsets be committed (`OffsetCommit`, `TxnOffsetCommit`)?
    Commit {
        /// Whom to answer.
        request: RequestId,
        /// Who commits; nobody named for a consumer that assigns its partitions by hand.
        identity: Identity,
        /// The generation it is in; `None` as above.
        generation: Option<Generation>,
        /// In a transaction or not.
        kind: CommitKind,
    },
    /// `DeleteGroups`.
    Delete {
        /// Whom to answer.
        request: RequestId,
    },
    /// The fate of a record.
    Written {
        /// Which.
        write: WriteId,
        /// Its fate.
        outcome: WriteOutcome,
    },
    /// A time given by [`Group::next_deadline`](super::Group::next_deadline) has come.
    Tick,
    /// The group goes elsewhere, or the log it lives in goes offline.
    Unload,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "all that a group tells apart")]
pub enum WriteOutcome {
    /// It is in the log for good.
    Durable,
    /// It is not, and never will be.
    Refused,
    /// It may be: the log is offline.
    Lost,
    /// It does not fit in the log.
    TooLarge,
}

/// Something to be done. The order binds: an answer behind a [`Action::Write`] may be given once
/// that record has been appended, durable or not.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Answer a request.
    Answer {
        /// Which.
        request: RequestId,
        /// The answer.
        answer: Result<Answer, GroupError>,
    },
    /// Append a record of the group, then report with [`Event::Written`].
    Write {
        /// Whose.
        group: GroupId,
        /// Which.
        write: WriteId,
        /// What; `None` forgets the group.
        record: Option<GroupRecord>,
    },
    /// For logs, counters and listeners: nothing has to be done.
    Notice {
        /// Where it happened.
        group: GroupId,
        /// What.
        notice: Notice,
    },
}

/// A good answer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// To `JoinGroup`.
    Joined(Joined),
    /// To `SyncGroup`.
    Synced(Synced),
    /// To `Heartbeat`: nothing new.
    Heartbeat,
    /// To `LeaveGroup`: for each that was listed.
    Left(Vec<Result<(), GroupError>>),
    /// The offsets may be committed.
    MayCommit,
    /// The group is deleted; its offsets are to be, too.
    Deleted,
}

/// A member has joined a generation.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Joined {
    /// Which.
    pub generation: Generation,
    /// What kind of group it is.
    pub protocol_type: Option<ProtocolType>,
    /// The way of assigning that won the vote.
    pub protocol: Option<ProtocolName>,
    /// Who assigns.
    pub leader: Option<MemberId>,
    /// Its own id.
    pub member_id: MemberId,
    /// To the leader only: everybody, with what they say about themselves.
    pub members: Vec<JoinedMember>,
    /// The leader must not assign anew: it returned to a group that is stable.
    pub skip_assignment: bool,
    /// To such a leader: what was shared out when it assigned.
    pub layout: Vec<(TopicName, u32)>,
}

/// A member as the leader is told of it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct JoinedMember {
    /// Who.
    pub member_id: MemberId,
    /// The name it keeps across restarts.
    pub instance_id: Option<InstanceId>,
    /// Its subscription.
    pub metadata: Bytes,
}

/// What a member is to read.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Synced {
    /// What kind of group it is.
    pub protocol_type: Option<ProtocolType>,
    /// How it was assigned.
    pub protocol: Option<ProtocolName>,
    /// The assignment; no bytes if the leader forgot this member.
    pub assignment: Bytes,
}

/// Something worth knowing.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A rebalance begins.
    Rebalancing {
        /// Why.
        cause: RebalanceCause,
        /// Where the group stood.
        from: GroupState,
    },
    /// Everybody has, or can have, its assignment.
    Stable {
        /// In which generation.
        generation: Generation,
        /// Since the first cause of the rebalance.
        took: Duration,
    },
    /// A member is out.
    Expelled {
        /// Who.
        member_id: MemberId,
        /// Why.
        cause: ExpulsionCause,
    },
    /// The leader gave a member nothing, not even an empty assignment.
    Forgotten {
        /// Whom.
        member_id: MemberId,
    },
    /// The group does not come to rest.
    Storm(StormWarning),
}
