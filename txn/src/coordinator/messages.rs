//! What goes into the coordinator and what comes out.

use core::time::Duration;
use std::collections::BTreeSet;

use log_core::TopicPartition;
use log_core::format::TransactionResult;
use log_core::ids::ProducerId;

use crate::error::TransactionError;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::journal::TransactionRecord;

/// Ties an answer to its request. Chosen by whoever asks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct RequestId(pub u64);

/// Ties a record's fate to its append. Chosen by the coordinator.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct WriteId(pub u64);

/// Whose rules a request follows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TransactionVersion {
    /// One epoch for many transactions (clients before Kafka 4).
    One,
    /// A new epoch at every end (KIP-890).
    #[default]
    Two,
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A producer begins a life; all earlier ones of its id end. Without an id it is not
    /// transactional and just gets a number.
    InitProducerId {
        /// Whom to answer.
        request: RequestId,
        /// Its id.
        id: Option<TransactionalId>,
        /// Longest time of its transactions.
        timeout: Duration,
        /// Who it thinks it is, if it asks for its next epoch (KIP-360).
        expected: Option<ProducerIdAndEpoch>,
    },
    /// Partitions join the transaction. For offsets of a group, the partition of
    /// `__consumer_offsets` that keeps them (Kafka `AddOffsetsToTxn`).
    AddPartitions {
        /// Whom to answer.
        request: RequestId,
        /// The id.
        id: TransactionalId,
        /// Who asks.
        producer: ProducerIdAndEpoch,
        /// The partitions.
        partitions: BTreeSet<TopicPartition>,
        /// Whose rules.
        version: TransactionVersion,
    },
    /// The transaction ends.
    EndTxn {
        /// Whom to answer.
        request: RequestId,
        /// The id.
        id: TransactionalId,
        /// Who asks.
        producer: ProducerIdAndEpoch,
        /// How.
        result: TransactionResult,
        /// Whose rules.
        version: TransactionVersion,
    },
    /// The fate of an appended record.
    Written {
        /// Which.
        write: WriteId,
        /// Its fate.
        outcome: WriteOutcome,
    },
    /// A partition's answer to a marker.
    MarkerAnswered {
        /// The id.
        id: TransactionalId,
        /// The marker's producer.
        producer: ProducerIdAndEpoch,
        /// The partition.
        partition: TopicPartition,
        /// What it said.
        outcome: MarkerOutcome,
    },
    /// Producer ids that nobody has had, as asked for by [`Command::ClaimProducerIds`]; none if
    /// there are none now.
    ProducerIds {
        /// The ids.
        ids: Vec<ProducerId>,
    },
    /// Time has passed; every ten seconds will do.
    Tick,
    /// The journal went offline: what is under way is unknown until it is read again.
    JournalLost,
    /// The journal is about to be read from its start.
    Loading,
    /// A record of it, in order; without a value it forgets the id.
    Record {
        /// The id.
        id: TransactionalId,
        /// What it says.
        record: Option<TransactionRecord>,
    },
    /// That was all of it. Never sent where some could not be read: then nothing is served.
    Loaded {
        /// The epoch markers carry from now on.
        coordinator_epoch: i32,
    },
}

/// What became of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an append is durable, absent or in doubt")]
pub enum WriteOutcome {
    /// It is in the journal for good.
    Durable,
    /// It is not, and never will be.
    Refused,
    /// It may be: as [`Event::JournalLost`].
    Lost,
}

/// What a partition said to a marker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "all that the coordinator tells apart")]
pub enum MarkerOutcome {
    /// It is written.
    Written,
    /// Not now: try again later.
    Retry,
    /// There is no such partition any more.
    Gone,
    /// A newer coordinator or producer epoch has been there: whoever that is goes on.
    Fenced,
}

/// Something to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// Answer a request.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        answer: Result<Answer, TransactionError>,
    },
    /// Append a record to the journal, then report with [`Event::Written`].
    Append {
        /// Which.
        write: WriteId,
        /// Its key.
        id: TransactionalId,
        /// Its value; `None` forgets the id.
        record: Option<TransactionRecord>,
    },
    /// Append markers, then report each with [`Event::MarkerAnswered`].
    WriteMarkers(Markers),
    /// Get producer ids for [`Event::ProducerIds`].
    ClaimProducerIds,
}

/// The markers of one transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Markers {
    /// Whose transaction.
    pub id: TransactionalId,
    /// What the markers carry.
    pub producer: ProducerIdAndEpoch,
    /// How it ended.
    pub result: TransactionResult,
    /// What the markers carry as well.
    pub coordinator_epoch: i32,
    /// Where they go.
    pub partitions: BTreeSet<TopicPartition>,
}

/// A good answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Who the producer is from now on: after a begin of its life, or after the end of a
    /// transaction.
    Producer(ProducerIdAndEpoch),
    /// The partitions have joined.
    Added,
}
