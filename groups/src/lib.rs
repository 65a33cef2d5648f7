//! Consumer groups over `txn` and `log-core`, and the crate to depend on: it brings both.

#![forbid(unsafe_code)]

pub use log_core;
pub use txn;

/// What most programs need, in one line: `use groups::prelude::*`.
pub mod prelude {
    pub use log_core::{
        Durability, FetchLimits, Fetched, IsolationLevel, Log, Offset, Store, Ticket, TopicName,
        TopicPartition,
    };
}
