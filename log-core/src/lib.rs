//! A durable, segmented, partitioned append log in Kafka's file format.

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!(
    "oncelog needs 64-bit Linux: its promise rests on fdatasync and io_uring as Linux has them"
);

#[cfg(feature = "bench")]
pub mod bench;
pub mod callback;
pub mod clock;
mod config;
pub mod disk;
pub mod docs;
pub mod entropy;
mod error;
#[forbid(unsafe_code)]
#[deny(clippy::indexing_slicing)]
pub mod format;
pub mod ids;
mod int;
mod log;
#[cfg(test)]
mod messages;
#[forbid(unsafe_code)]
mod model;
#[cfg(feature = "mutants")]
pub mod mutant;
#[cfg(not(feature = "mutants"))]
mod mutant;
mod partitioner;
mod segment;

pub use config::{
    Drive, Durability, FlushMethod, OnDamage, SettingsError, TopicConfig, UnknownProducers,
    Visibility,
};
pub use disk::{DirectIo, Engine, EngineInUse, EngineInfo};
pub use error::{AppendError, Fault, FaultKind, NotAppended};
pub use ids::{Offset, TopicName, TopicPartition};
pub use log::{
    Appended, CloseError, DirectoryInfo, Event, EventListener, FetchError, FetchLimits, Fetched,
    FetchedRecords, IsolationLevel, Log, LogInfo, LogState, MarkerDecides, OffsetAndTimestamp,
    OpenError, PartitionInfo, ReadOnlyLog, ReadOnlyStore, Recovered, Retained, SegmentInfo, Store,
    StoreBuilder, StoreInfo, Tail, TailStream, Ticket, TopicError, TopicInfo, TrimError, Usage,
    Verified,
};
pub use model::producers::{ProducerInfo, RememberedBatch};
pub use model::verification::VerificationGuard;
pub use partitioner::{murmur2, partition_for_key};
pub use segment::recover::Damage;
pub use segment::transaction_index::AbortedTransaction;

/// The front page's examples compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
