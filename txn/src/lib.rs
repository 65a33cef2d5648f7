//! Producers over `log-core`: records in batches, each in the log once.
//!
//! ```text
//!   Producer ── send ─▶ batches ─▶ Log::append     a lost answer: sent again, same sequence
//!      │                             │
//!      │ producer id, epoch          └ the partition knows (id, epoch, sequence): stored once
//!      ▼
//!   producer_ids   blocks, durable before use, never reused
//! ```
//!
//! Not promised: a producer that dies takes with it what it had not heard; the next one has another
//! id, so what it sends again is stored again. That is what transactions are for.

#![forbid(unsafe_code)]

mod coordinator;
mod error;
mod ids;
mod journal;
mod partitioner;
mod producer;
mod producer_ids;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod state;

pub use coordinator::{
    Answer, Command, Coordinator, CoordinatorSettings, Event, MarkerOutcome, Markers, RequestId,
    TransactionVersion, WriteId, WriteOutcome,
};
pub use error::TransactionError;
pub use ids::{ProducerIdAndEpoch, TransactionalId, TransactionalIdError};
pub use journal::{JournalError, TransactionRecord, decode_key, encode_key};
pub use log_core;
pub use partitioner::{
    DefaultPartitioner, Partitioner, RoundRobinPartitioner, Unplaced, check as check_partitioner,
};
pub use producer::{
    NotSent, Producer, ProducerBuilder, ProducerCloseError, ProducerConfigError, ProducerError,
    ProducerRecord, RecordMetadata, SendError, SendTicket, Unsettled,
};
pub use producer_ids::ProducerIdError;
pub use state::TransactionState;
