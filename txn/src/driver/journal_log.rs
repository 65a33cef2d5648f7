//! The journal as a log: `__transaction_state`, one partition, records as Kafka writes them.
//!
//! ```text
//!   key: the id │ value: what it is now      a batch each, in the order of decisions
//!   key: the id │ no value                   the id is forgotten
//! ```
//!
//! A batch that cannot be read, or a record that means nothing, ends the reading with its place: of
//! half a journal an older record could win (S20).

use std::collections::BTreeMap;

use log_core::format::{BatchBuilder, BatchOptions, NewRecord};
use log_core::ids::TimestampMs;
use log_core::{
    AppendError, Durability, FetchLimits, IsolationLevel, Log, LogState, NotAppended, Offset,
    Store, Ticket, TopicConfig, TopicError, TopicName, TopicPartition,
};

use super::TRANSACTION_STATE_TOPIC;
use crate::error::TransactionError;
use crate::ids::TransactionalId;
use crate::journal::{TransactionRecord, decode_key, encode_key};

/// The journal's log.
#[derive(Debug)]
pub(super) struct JournalLog {
    log: Log,
}

impl JournalLog {
    /// The journal of `store`, made if there is none.
    ///
    /// # Durability
    ///
    /// Made, it outlives power loss. Cut in between, there is one or none: both are right, for
    /// nothing is decided yet.
    pub(super) fn open(store: &Store) -> Result<Self, TransactionError> {
        let topic: TopicName = TRANSACTION_STATE_TOPIC.parse().map_err(unreadable)?;
        let partition = TopicPartition::new(topic, 0);
        let found = match store.log(&partition) {
            Err(TopicError::Unknown { .. } | TopicError::UnknownTopic { .. }) => {
                let config = TopicConfig::new().retention_unlimited();
                match store.create_topic_with(partition.topic(), 1, config) {
                    Ok(_) | Err(TopicError::Exists { .. }) => store.log(&partition),
                    Err(error) => Err(error),
                }
            }
            found => found,
        };
        let log = found.map_err(|error| match error {
            TopicError::Io(_) | TopicError::Open(_) => TransactionError::NotCoordinator,
            other => unreadable(other),
        })?;
        match log.state() {
            LogState::Online | LogState::Full => Ok(Self { log }),
            state @ (LogState::Damaged(_) | LogState::ReadOnly(_)) => Err(unreadable(state)),
            _ => Err(TransactionError::NotCoordinator),
        }
    }

    /// The journal that was read when its leader epoch was `epoch`; `None` if it was reopened since,
    /// which raises it, and has to be read again.
    pub(super) fn again(store: &Store, epoch: i32) -> Option<Self> {
        let topic: TopicName = TRANSACTION_STATE_TOPIC.parse().ok()?;
        let log = store.log(&TopicPartition::new(topic, 0)).ok()?;
        let journal = Self { log };
        (journal.epoch() == epoch).then_some(journal)
    }

    /// The epoch its markers carry.
    pub(super) fn epoch(&self) -> i32 {
        self.log.info().leader_epoch.get()
    }

    /// What it says of every id. What is on its way is waited for first.
    pub(super) fn read(
        &self,
    ) -> Result<BTreeMap<TransactionalId, TransactionRecord>, TransactionError> {
        let end = self.log.flush().map_err(|_| TransactionError::NotCoordinator)?;
        let mut records = BTreeMap::new();
        let mut at = self.log.log_start_offset();
        while at < end {
            let fetched = self
                .log
                .fetch(at, FetchLimits::default(), IsolationLevel::ReadUncommitted)
                .map_err(unreadable)?;
            if fetched.next_offset <= at {
                return Err(unreadable(format!("nothing can be read from offset {at} on")));
            }
            for record in fetched.records() {
                let record = record.map_err(unreadable)?;
                take(&mut records, record.offset, record.key.as_deref(), record.value.as_deref())?;
            }
            at = fetched.next_offset;
        }
        Ok(records)
    }

    /// Appends what `id` is from now on; `None` forgets it.
    ///
    /// # Durability
    ///
    /// None until the ticket says so.
    pub(super) fn append(
        &self,
        id: &TransactionalId,
        record: Option<&TransactionRecord>,
        timestamp: TimestampMs,
    ) -> Result<Ticket, AppendError> {
        let (key, value) = (encode_key(id), record.map(TransactionRecord::encode));
        let mut batch = BatchBuilder::new(BatchOptions::new());
        let record =
            NewRecord { timestamp, key: Some(&key), value: value.as_deref(), headers: &[] };
        let invalid = |reason: String| NotAppended::InvalidRecord { reason };
        batch.push(&record).map_err(|error| invalid(error.to_string()))?;
        let batch = batch.build().ok_or_else(|| invalid("the batch is empty".to_owned()))?;
        self.log.append(batch, Durability::Synced)
    }
}

/// Takes in one record.
fn take(
    records: &mut BTreeMap<TransactionalId, TransactionRecord>,
    offset: Offset,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(), TransactionError> {
    let wrong = |error: &dyn core::fmt::Display| unreadable(format!("offset {offset}: {error}"));
    // A key of another version is of a later Kafka, and skipped as there.
    let Some(id) = decode_key(key.unwrap_or_default()).map_err(|error| wrong(&error))? else {
        return Ok(());
    };
    match value {
        Some(value) => {
            let record = TransactionRecord::decode(value).map_err(|error| wrong(&error))?;
            records.insert(id, record);
        }
        None => {
            records.remove(&id);
        }
    }
    Ok(())
}

fn unreadable(what: impl core::fmt::Display) -> TransactionError {
    TransactionError::JournalUnreadable { reason: what.to_string() }
}
