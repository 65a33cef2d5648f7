//! Consumer groups over `txn` and `log-core`, and the crate to depend on: it brings both.

#![forbid(unsafe_code)]

pub mod assignor;
mod error;
pub mod group;
pub mod ids;
mod int;
pub mod membership;
mod partitions;
mod settings;
mod shard;
mod state;
pub mod subscription;
mod timers;
pub mod watch;
mod wire;

pub use error::GroupError;
pub use group::Group;
pub use log_core;
pub use membership::{Membership, MembershipSettings};
pub use partitions::PartitionSet;
pub use settings::{GroupSettings, Persistence, SettingsError};
pub use shard::Shard;
pub use state::GroupState;
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
