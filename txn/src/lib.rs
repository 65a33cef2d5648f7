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
//! id, so what it sends again is stored again. That is what transactions are for:
//!
//! ```text
//!   Producer::begin ─▶ Transaction ─ send … ─▶ commit     seen in all partitions, or in none
//!        │                                       │
//!   transactional.id ── TransactionCoordinator ──┴─▶ __transaction_state, then markers
//! ```
//!
//! Transactions isolate readers, not writers: records of several may lie between one another, and a
//! reader at `ReadCommitted` waits where the oldest open one begins.

#![forbid(unsafe_code)]

mod coordinator;
mod driver;
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
pub use driver::{TRANSACTION_STATE_TOPIC, TransactionCoordinator, TransactionDescription};
pub use error::TransactionError;
pub use ids::{ProducerIdAndEpoch, TransactionalId, TransactionalIdError};
pub use journal::{JournalError, TransactionRecord, decode_key, encode_key};
pub use log_core;
pub use partitioner::{
    DefaultPartitioner, Partitioner, RoundRobinPartitioner, Unplaced, check as check_partitioner,
};
pub use producer::{
    BeginError, CommitError, NotSent, Outcome, Producer, ProducerBuilder, ProducerCloseError,
    ProducerConfigError, ProducerError, ProducerRecord, RecordMetadata, SendError, SendTicket,
    Transaction, Unsettled,
};
pub use producer_ids::ProducerIdError;
pub use state::TransactionState;
