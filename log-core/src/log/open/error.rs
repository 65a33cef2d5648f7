//! Why a store or partition cannot be opened.
//!
//! ```text
//!   Locked · Settings · Unknown · Closed     nothing was touched
//!   Duplicate                                likewise, but for the clean marker
//!   Io · Damaged · InconsistentTopicId       this partition stays shut, others go on
//! ```

use std::path::PathBuf;

use crate::config::SettingsError;
use crate::error::Fault;
use crate::ids::{TopicId, TopicPartition};
use crate::segment::recover::Damage;

/// Why a store or partition cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another store, or a Kafka broker, has the directory.
    #[error(
        "{} is locked by {}: close that one first",
        .path.display(),
        .pid.map_or_else(|| "another store or broker".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that has it, where it said so.
        pid: Option<u32>,
    },
    /// The settings contradict themselves.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The disk did not do its part.
    #[error("{}{}", .0, .0.remedy())]
    Io(Fault),
    /// A partition is damaged below its durable end and the settings say to refuse.
    #[error("{partition}: {reason}; open it with OnDamage::ReadOnly to read the rest")]
    Damaged {
        /// The partition.
        partition: TopicPartition,
        /// The first damage found.
        reason: String,
        /// All of it.
        damage: Vec<Damage>,
    },
    /// Partitions of one name belong to two topics (`INCONSISTENT_TOPIC_ID`).
    #[error(
        "{partition} has topic id {found}, but its topic's other partitions have {expected}: move away what does not belong together"
    )]
    InconsistentTopicId {
        /// The partition that differs.
        partition: TopicPartition,
        /// Its topic id.
        found: TopicId,
        /// The others'.
        expected: TopicId,
    },
    /// Two of the store's directories hold a partition of one name, and which one is right cannot be
    /// told.
    #[error(
        "{partition} stands in {} and in {}: move one of them away",
        .paths[0].display(), .paths[1].display()
    )]
    Duplicate {
        /// Which partition.
        partition: TopicPartition,
        /// Both of its directories.
        paths: [PathBuf; 2],
    },
    /// There is no such partition.
    #[error("there is no partition {partition}: create its topic first")]
    Unknown {
        /// What was asked for.
        partition: TopicPartition,
    },
    /// The store is closed.
    #[error("the store is closed: open it anew")]
    Closed,
}

impl OpenError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            Self::Unknown { .. } => 3,
            Self::InconsistentTopicId { .. } => 103,
            Self::Settings(_) => 42,
            Self::Locked { .. }
            | Self::Duplicate { .. }
            | Self::Io(_)
            | Self::Damaged { .. }
            | Self::Closed => 56,
        }
    }
}
