//! Sending records: collected into batches, appended in order, retried until their fate is known.
//!
//! ```text
//!   send ─▶ partitioner ─▶ lane of the partition ─▶ sender ─▶ Log::append
//!    │                     open batch, ≤ 5 under way           │
//!    └─ SendTicket ◀──────────── promise of the batch ◀────────┘ answer; on doubt again, with the
//!       wait, callback, Future                                    same sequence
//! ```
//!
//! Source: Kafka `KafkaProducer`, `RecordAccumulator`, `Sender`, `TransactionManager`.

mod accumulator;
mod error;
mod lane;
mod memory;
mod record;
mod sender;
mod settings;
mod sink;
mod split;
mod ticket;
mod transaction;
mod transactional;

#[cfg(test)]
mod tests;

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use log_core::format::NewRecord;
use log_core::{Store, TopicError, TopicPartition, callback};

pub use error::{NotSent, SendError, Unsettled};
pub use record::{ProducerRecord, RecordMetadata};
pub use settings::{ProducerBuilder, ProducerConfigError};
pub use ticket::SendTicket;
pub use transaction::{BeginError, CommitError, Outcome, Transaction};

use crate::driver::TransactionCoordinator;
use crate::error::TransactionError;
use crate::ids::ProducerIdAndEpoch;
use crate::partitioner::{DefaultPartitioner, Partitioner, Unplaced};
use crate::producer_ids::{ProducerIdError, ProducerIdService};
use accumulator::Accumulator;
use sender::{Placed, Sender};
use settings::Settings;
use sink::{Sink, StoreSink};
use ticket::Callback;
use transactional::Transactional;

/// Longest time a dropped producer waits for its last answers.
const DROP_WAIT: Duration = Duration::from_secs(2);

/// Sends records to the topics of a store. Cheap to clone; clones are one producer, and every
/// thread may use it.
///
/// By default it is idempotent: a batch whose answer was lost is sent again with the same sequence,
/// which the log knows, so each record is in the log once and in order, over any failure that this
/// producer lives through. A new producer has a new id: what a process that died had not heard of
/// is not known to the next one. That takes a transactional id.
///
/// ```
/// use log_core::Store;
/// use txn::{Producer, ProducerRecord};
///
/// let store = Store::in_memory();
/// let topic = "orders".parse()?;
/// store.create_topic(&topic, 4)?;
///
/// let producer = Producer::builder(&store).build()?;
/// let ticket = producer.send(ProducerRecord::new(&topic).key(b"customer 7").value(b"two apples"))?;
/// let metadata = ticket.wait()?;
/// assert_eq!(metadata.offset.get(), 0);
/// producer.close(core::time::Duration::from_secs(10))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Producer(Arc<Handle>);

/// The half that ends with the last handle.
struct Handle {
    sender: Arc<Sender>,
    partitioner: Arc<dyn Partitioner>,
    transactional: Option<Transactional>,
}

/// Why there is no producer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerError {
    /// Its settings contradict each other.
    #[error(transparent)]
    Config(#[from] ProducerConfigError),
    /// No producer id can be had.
    #[error(transparent)]
    ProducerId(#[from] ProducerIdError),
    /// The coordinator of its transactions refuses.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// Its thread cannot be started.
    #[error("the producer's thread cannot be started: {0}")]
    Thread(#[source] io::Error),
}

/// The producer was closed, but some batches had no answer: their tickets say which are proven
/// absent and which may be in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the producer is closed, and {batches} batches had no answer within {timeout:?}")]
#[non_exhaustive]
pub struct ProducerCloseError {
    /// How many.
    pub batches: usize,
    /// The time given.
    pub timeout: Duration,
}

impl Producer {
    /// Settings before building.
    pub fn builder(store: &Store) -> ProducerBuilder {
        ProducerBuilder::new(store)
    }

    fn start(
        store: Store,
        settings: Settings,
        partitioner: Option<Arc<dyn Partitioner>>,
    ) -> Result<Self, ProducerError> {
        let transactions = match &settings.transactional_id {
            Some(id) => Some((TransactionCoordinator::open(&store)?, id.clone())),
            None => None,
        };
        let sink = StoreSink::new(store.clone(), transactions);
        #[cfg(any(test, feature = "sim"))]
        if settings.losses != crate::sim::Losses::default() {
            let sink = Box::new(sink::LossySink::new(store.clone(), sink, settings.losses));
            return Self::start_with(store, settings, partitioner, sink);
        }
        let sink = Box::new(sink);
        Self::start_with(store, settings, partitioner, sink)
    }

    fn start_with(
        store: Store,
        settings: Settings,
        partitioner: Option<Arc<dyn Partitioner>>,
        sink: Box<dyn Sink>,
    ) -> Result<Self, ProducerError> {
        let transactional = match &settings.transactional_id {
            Some(id) => Some(Transactional::init(&store, id, &settings)?),
            None => None,
        };
        let identity = if let Some(transactional) = &transactional {
            Some(transactional.identity())
        } else if settings.idempotence {
            Some(ProducerIdAndEpoch::first(store.service::<ProducerIdService>().take(&store)?))
        } else {
            None
        };
        let partitioner = partitioner.unwrap_or_else(|| {
            let sticky = usize::try_from(settings.batch_bytes).unwrap_or(usize::MAX);
            Arc::new(DefaultPartitioner::new(store.entropy(), sticky))
        });
        let batches = Accumulator::new(settings.clone(), identity);
        let coordinator = transactional.as_ref().map(Transactional::coordinator);
        let sender = Sender::new(store, sink, settings, batches, coordinator);
        if let Some(transactional) = &transactional {
            transactional.listen(sender.bell());
        }
        if sender.has_thread() {
            let sender = Arc::clone(&sender);
            std::thread::Builder::new()
                .name("oncelog-producer".to_owned())
                .spawn(move || sender.run())
                .map_err(ProducerError::Thread)?;
        }
        Ok(Self(Arc::new(Handle { sender, partitioner, transactional })))
    }

    /// Puts a record into a batch of its partition. Returns before it is sent; blocks only while
    /// `buffer_memory` is full, for `max_block` at most.
    ///
    /// # Errors
    ///
    /// [`SendError::NotAppended`], saying why the record was not taken.
    ///
    /// # Durability
    ///
    /// None yet: the ticket says when the level of [`acks`](ProducerBuilder::acks) is reached.
    pub fn send(&self, record: ProducerRecord<'_>) -> Result<SendTicket, SendError> {
        self.outside()?;
        self.take(&record, None)
    }

    /// The same, with a callback for the answer. Callbacks run with no lock held, in the order of
    /// records within a partition; one that panics is caught and counted, and one that would wait
    /// for the store or the producer gets an error at once.
    ///
    /// ```
    /// # use log_core::Store;
    /// # use txn::{Producer, ProducerRecord};
    /// # let store = Store::in_memory();
    /// # let topic = "orders".parse()?;
    /// # store.create_topic(&topic, 1)?;
    /// let producer = Producer::builder(&store).build()?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let record = ProducerRecord::new(&topic).value(b"v");
    /// producer.send_with(record, move |answer| drop(tell.send(answer)))?;
    /// producer.flush()?;
    /// assert_eq!(told.recv()??.offset.get(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Producer::send`]; the callback is not called then.
    ///
    /// # Durability
    ///
    /// As [`Producer::send`].
    pub fn send_with(
        &self,
        record: ProducerRecord<'_>,
        call: impl FnOnce(Result<RecordMetadata, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        self.outside()?;
        self.take(&record, Some(Box::new(call))).map(drop)
    }

    /// Begins a transaction: what is sent in it, to however many partitions, is seen by readers of
    /// committed data all together or never.
    ///
    /// ```
    /// # use log_core::{FetchLimits, IsolationLevel, Offset, Store, TopicPartition};
    /// # use txn::{Producer, ProducerRecord};
    /// # let store = Store::in_memory();
    /// # let topic: log_core::TopicName = "orders".parse()?;
    /// # store.create_topic(&topic, 3)?;
    /// let producer = Producer::builder(&store).transactional_id("shop-0").build()?;
    /// let transaction = producer.begin()?;
    /// for partition in 0..3 {
    ///     let _ticket = transaction.send(ProducerRecord::new(&topic).partition(partition).value(b"v"))?;
    /// }
    /// transaction.commit()?;
    ///
    /// let log = store.log(&TopicPartition::new(topic, 2))?;
    /// let seen = log.fetch(Offset::ZERO, FetchLimits::default(), IsolationLevel::ReadCommitted)?;
    /// assert_eq!(seen.records().count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BeginError`]: not a transactional producer, one is open already, the outcome of the last
    /// one is not known, or the producer is shut out.
    pub fn begin(&self) -> Result<Transaction<'_>, BeginError> {
        let transactional = self.0.transactional.as_ref().ok_or(BeginError::NotTransactional)?;
        transactional.begin(&self.0.sender)?;
        Ok(Transaction::new(self, transactional))
    }

    /// What became of a transaction whose commit had no answer: asks until there is one, for
    /// `max_block` at most. `None` if nothing is in doubt.
    ///
    /// # Errors
    ///
    /// [`CommitError::Indeterminate`]: it is still not known.
    ///
    /// # Durability
    ///
    /// The outcome outlives power loss.
    pub fn settle(&self) -> Result<Option<Outcome>, CommitError> {
        match &self.0.transactional {
            Some(transactional) => transactional.settle(&self.0.sender),
            None => Ok(None),
        }
    }

    /// Who its next transaction is of.
    #[cfg(test)]
    pub(crate) fn identity(&self) -> Option<ProducerIdAndEpoch> {
        self.0.transactional.as_ref().map(Transactional::identity)
    }

    /// Whether a record may go without a transaction.
    fn outside(&self) -> Result<(), SendError> {
        match self.0.transactional {
            Some(_) => Err(NotSent::OutsideTransaction.into()),
            None => Ok(()),
        }
    }

    /// Waits until everything sent before has an answer: a record's ticket says which.
    ///
    /// # Errors
    ///
    /// [`SendError::Indeterminate`] at once when called from within a callback, and, in a store
    /// without a thread, when nothing moves any more.
    ///
    /// # Durability
    ///
    /// What was acknowledged is so at the level of [`acks`](ProducerBuilder::acks).
    pub fn flush(&self) -> Result<(), SendError> {
        if callback::is_running() {
            return Err(Unsettled::Reentrant.into());
        }
        if self.0.sender.flush(None) { Ok(()) } else { Err(Unsettled::Stalled.into()) }
    }

    /// Does what a thread would do, once, where the store has none. Returns whether anything moved.
    #[must_use]
    pub fn turn(&self) -> bool {
        !self.0.sender.has_thread() && self.0.sender.advance()
    }

    /// Takes no more records and waits for the answers of those sent, for `timeout` at most; then
    /// the rest is answered: what was never accepted as proven absent, the other as indeterminate.
    ///
    /// # Errors
    ///
    /// [`ProducerCloseError`] says how many batches had no answer. From within a callback nothing
    /// is waited for.
    ///
    /// # Durability
    ///
    /// As [`Producer::flush`].
    pub fn close(&self, timeout: Duration) -> Result<(), ProducerCloseError> {
        let sender = &self.0.sender;
        sender.refuse();
        if !callback::is_running() {
            sender.flush(Some(sender.deadline(timeout)));
        }
        let batches = sender.abandon();
        sender.stop();
        if sender.has_thread() && !callback::is_running() {
            sender.await_end(DROP_WAIT);
        }
        if batches == 0 { Ok(()) } else { Err(ProducerCloseError { batches, timeout }) }
    }

    fn take(
        &self,
        record: &ProducerRecord<'_>,
        call: Option<Callback>,
    ) -> Result<SendTicket, SendError> {
        let sender = &self.0.sender;
        let to = self.place(record)?;
        let timestamp = record.timestamp.unwrap_or_else(|| sender.timestamp());
        let (key, value, headers) = (record.key, record.value, record.headers);
        let placed = Placed {
            to,
            bytes: record.bytes_max(),
            record: NewRecord { timestamp, key, value, headers },
        };
        let (promise, index) = sender.push(&placed, call)?;
        Ok(SendTicket::new(promise, index, timestamp, Arc::clone(sender)))
    }

    /// The partition a record goes to.
    fn place(&self, record: &ProducerRecord<'_>) -> Result<TopicPartition, SendError> {
        let topic = record.topic;
        let sender = &self.0.sender;
        let at_least = record.partition.map_or(1, |partition| partition.saturating_add(1));
        let partitions = sender.partitions(topic, at_least)?;
        if let Some(partition) = record.partition {
            let partition = TopicPartition::new(topic.clone(), partition);
            if partition.partition() >= partitions {
                return Err(NotSent::Topic(TopicError::Unknown { partition }).into());
            }
            return Ok(partition);
        }
        let Some(count) = NonZeroU32::new(partitions) else {
            let partition = TopicPartition::new(topic.clone(), 0);
            return Err(NotSent::Topic(TopicError::Unknown { partition }).into());
        };
        let unplaced =
            Unplaced { topic, key: record.key, value: record.value, bytes: record.bytes_max() };
        let chosen = self.0.partitioner.partition(&unplaced, count);
        let partition = TopicPartition::new(topic.clone(), chosen);
        if chosen < partitions {
            Ok(partition)
        } else {
            Err(NotSent::Partitioner { partition, partitions }.into())
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Producer").field(&self.0.sender).finish()
    }
}

impl Drop for Handle {
    /// What was sent still goes, best effort: a process that ends right after loses it. Close the
    /// producer to know.
    fn drop(&mut self) {
        if let Some(transactional) = &self.transactional {
            transactional.unlisten();
        }
        self.sender.refuse();
        self.sender.stop();
        if callback::is_running() {
            return;
        }
        if self.sender.has_thread() {
            self.sender.await_end(DROP_WAIT);
        } else {
            self.sender.flush(None);
        }
    }
}
