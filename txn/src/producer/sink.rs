//! Where batches go: a trait, so that a test can lose answers on their way.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use log_core::format::{BatchView, RecordBatch};
use log_core::{
    AppendError, Appended, Durability, Log, NotAppended, Store, Ticket, TopicError, TopicPartition,
};
use parking_lot::Mutex;

use crate::driver::TransactionCoordinator;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};

#[cfg(any(test, feature = "sim"))]
mod lossy;

#[cfg(any(test, feature = "sim"))]
pub(super) use lossy::LossySink;

/// Appends batches. `done` is told the answer, once, before `append` returns or later, from any
/// thread. Batches of one lane are appended in the order of calls.
pub(super) trait Sink: fmt::Debug + Send + Sync {
    fn append(&self, to: &TopicPartition, batch: RecordBatch, acks: Durability, done: Done);
}

/// What is told the answer.
pub(super) type Done = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;

/// The logs of a store.
#[derive(Debug)]
pub(super) struct StoreSink {
    store: Store,
    logs: Arc<Logs>,
    transactions: Option<(TransactionCoordinator, TransactionalId)>,
}

/// Handles by partition; one that turned out useless is forgotten and asked for anew.
type Logs = Mutex<BTreeMap<TopicPartition, Log>>;

impl StoreSink {
    /// With `transactions`, a batch begins a transaction in its partition only if the coordinator
    /// says that it belongs to one (KIP-890).
    pub(super) fn new(
        store: Store,
        transactions: Option<(TransactionCoordinator, TransactionalId)>,
    ) -> Self {
        Self { store, logs: Arc::default(), transactions }
    }

    fn send(
        &self,
        to: &TopicPartition,
        batch: RecordBatch,
        acks: Durability,
    ) -> Result<Ticket, AppendError> {
        let log = self.log(to)?;
        let Some((coordinator, id)) = &self.transactions else { return log.append(batch, acks) };
        let view = BatchView::parse(batch.as_bytes()).map_err(NotAppended::from)?;
        let producer = ProducerIdAndEpoch { id: view.producer_id(), epoch: view.producer_epoch() };
        let guard = log.start_verification(producer.id, producer.epoch, view.base_sequence());
        if guard.is_some() {
            coordinator.verify(id, producer, to).map_err(|error| match error {
                // Later, with the same sequence.
                error if error.is_retriable() => NotAppended::Busy,
                _ => NotAppended::TransactionNotVerified { producer_id: producer.id },
            })?;
        }
        log.append_transactional(batch, guard, acks)
    }

    fn log(&self, of: &TopicPartition) -> Result<Log, AppendError> {
        if let Some(log) = self.logs.lock().get(of) {
            return Ok(log.clone());
        }
        let log = self.store.log(of).map_err(|error| match error {
            TopicError::Closed => NotAppended::Closed,
            // Deleted, or not yet made again: retried like a moved leader, as Kafka's client does.
            _ => NotAppended::Stale,
        })?;
        self.logs.lock().insert(of.clone(), log.clone());
        Ok(log)
    }
}

impl Sink for StoreSink {
    fn append(&self, to: &TopicPartition, batch: RecordBatch, acks: Durability, done: Done) {
        match self.send(to, batch, acks) {
            Ok(ticket) => {
                let logs = Arc::clone(&self.logs);
                let to = to.clone();
                ticket.on_done(move |answer| {
                    if answer.is_err() {
                        logs.lock().remove(&to);
                    }
                    done(answer);
                });
            }
            Err(error) => {
                self.logs.lock().remove(to);
                done(Err(error));
            }
        }
    }
}
