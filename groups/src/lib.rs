//! Consumer groups over `txn` and `log-core`, and the crate to depend on: it brings both.

#![forbid(unsafe_code)]

pub mod assignor;
pub mod ids;
mod int;
mod partitions;
pub mod subscription;
mod wire;

pub use log_core;
pub use partitions::PartitionSet;
pub use subscription::{Assignment, Subscription};
pub use txn;
pub use wire::{TooLarge, WireError};

/// What most programs need, in one line: `use groups::prelude::*`.
pub mod prelude {
    pub use log_core::{
        Durability, FetchLimits, Fetched, IsolationLevel, Log, Offset, Store, Ticket, TopicName,
        TopicPartition,
    };
}
