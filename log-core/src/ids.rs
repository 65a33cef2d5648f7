//! Numbers and names with a meaning: each is a type of its own, so that none can stand for another.
//!
//! ```text
//!   Offset      counts records of a partition        Position    counts bytes of one segment file
//!   LeaderEpoch lives of a partition's leader         TimestampMs wall time a record carries
//!   ProducerId, ProducerEpoch, Sequence               who wrote, in which life, the how-manieth
//! ```
//!
//! Widths and sentinels are those of Kafka's record batch (`DefaultRecordBatch`, KIP-98): all are
//! signed on the wire, and −1 means none.

mod offset;
mod producer;
mod topic;

pub use offset::{LeaderEpoch, Offset, Position, TimestampMs};
pub use producer::{ProducerEpoch, ProducerId, Sequence};
pub use topic::{TopicId, TopicName, TopicNameError, TopicPartition};
