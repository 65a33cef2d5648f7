//! A producer's settings, in Kafka's words: built, then checked once.
//!
//! ```text
//!   at-most-once    acks(Buffered)  retries(0)
//!   at-least-once   acks(Synced)    enable_idempotence(false)
//!   each once       acks(Synced)    the default: retries carry a sequence the log knows
//! ```

use core::time::Duration;
use std::sync::Arc;

use log_core::format::Compression;
use log_core::{Durability, Store};

use super::{Producer, ProducerError};
use crate::ids::{TransactionalId, TransactionalIdError};
use crate::partitioner::Partitioner;

/// Batches in flight for which the log remembers sequences (Kafka `NUM_BATCHES_TO_RETAIN`).
const IN_FLIGHT_LIMIT: u32 = 5;
const KIB: usize = 1024;

/// The numbers and choices of a producer.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) idempotence: bool,
    pub(super) acks: Durability,
    pub(super) linger: Duration,
    pub(super) batch_bytes: u32,
    pub(super) compression: Compression,
    pub(super) in_flight_max: usize,
    pub(super) retries: u32,
    pub(super) retry_backoff: Duration,
    pub(super) retry_backoff_max: Duration,
    pub(super) delivery_timeout: Duration,
    pub(super) max_block: Duration,
    pub(super) buffer_bytes: usize,
    pub(super) metadata_age_max: Duration,
    pub(super) transactional_id: Option<TransactionalId>,
    pub(super) transaction_timeout: Duration,
    #[cfg(any(test, feature = "sim"))]
    pub(super) losses: crate::sim::Losses,
}

impl Settings {
    /// How long to wait after the `tries`-th try.
    pub(super) fn backoff(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(16);
        self.retry_backoff.saturating_mul(1 << doublings).min(self.retry_backoff_max)
    }
}

/// A setting that is out of bounds, or two that contradict each other (Kafka `ConfigException`).
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{setting}: {rule}")]
#[non_exhaustive]
pub struct ProducerConfigError {
    /// The setting to change.
    pub setting: &'static str,
    /// What it has to be, and why.
    pub rule: String,
}

/// A producer's settings on their way to [`ProducerBuilder::build`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ProducerBuilder {
    pub(super) store: Store,
    idempotence: Option<bool>,
    retries: Option<u32>,
    in_flight_max: u32,
    settings: Settings,
    transactional_id: Option<Result<TransactionalId, TransactionalIdError>>,
    pub(super) partitioner: Option<Arc<dyn Partitioner>>,
}

impl ProducerBuilder {
    pub(super) fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            idempotence: None,
            retries: None,
            in_flight_max: IN_FLIGHT_LIMIT,
            settings: Settings {
                idempotence: true,
                acks: Durability::Synced,
                linger: Duration::ZERO,
                batch_bytes: 16 * 1024,
                compression: Compression::NONE,
                in_flight_max: 5,
                retries: u32::MAX,
                retry_backoff: Duration::from_millis(100),
                retry_backoff_max: Duration::from_secs(1),
                delivery_timeout: Duration::from_mins(2),
                max_block: Duration::from_mins(1),
                buffer_bytes: 32 * KIB * KIB,
                metadata_age_max: Duration::from_mins(5),
                transactional_id: None,
                transaction_timeout: Duration::from_mins(1),
                #[cfg(any(test, feature = "sim"))]
                losses: crate::sim::Losses::default(),
            },
            transactional_id: None,
            partitioner: None,
        }
    }

    /// Whether retries carry a sequence by which the log knows them again (`enable.idempotence`).
    /// Default: yes, unless `acks`, `retries` or `max_in_flight` are set to what rules it out; said
    /// explicitly, such a contradiction is refused.
    pub const fn enable_idempotence(mut self, enable: bool) -> Self {
        self.idempotence = Some(enable);
        self
    }

    /// How far a record must have come before it is acknowledged (`acks`; `Synced`).
    pub const fn acks(mut self, acks: Durability) -> Self {
        self.settings.acks = acks;
        self
    }

    /// How long a batch waits for more records (`linger.ms`; 0: it goes as soon as fewer than
    /// `max_in_flight` batches of its partition are under way).
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// Bytes after which a batch takes no more records (`batch.size`; 16 KiB). A larger record
    /// travels alone.
    pub const fn batch_size(mut self, bytes: u32) -> Self {
        self.settings.batch_bytes = bytes;
        self
    }

    /// The codec of its batches (`compression.type`; none). They are compressed whole, when they are
    /// sent; `batch_size` counts their bytes before that.
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.settings.compression = compression;
        self
    }

    /// Batches of one partition under way at once, 1 to 5 with idempotence
    /// (`max.in.flight.requests.per.connection`; 5).
    pub const fn max_in_flight(mut self, batches: u32) -> Self {
        self.in_flight_max = batches;
        self
    }

    /// Tries after the first one (`retries`; as many as `delivery_timeout` has room for).
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Wait before the first retry; it doubles up to `longest` (`retry.backoff.ms`,
    /// `retry.backoff.max.ms`; 100 ms, 1 s).
    pub const fn retry_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.retry_backoff = first;
        self.settings.retry_backoff_max = longest;
        self
    }

    /// Longest time from sending a record to its answer (`delivery.timeout.ms`; 2 min).
    pub const fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.settings.delivery_timeout = timeout;
        self
    }

    /// Longest time a send waits for room (`max.block.ms`; 1 min).
    pub const fn max_block(mut self, longest: Duration) -> Self {
        self.settings.max_block = longest;
        self
    }

    /// Bytes of all records that have no answer yet (`buffer.memory`; 32 MiB).
    pub const fn buffer_memory(mut self, bytes: usize) -> Self {
        self.settings.buffer_bytes = bytes;
        self
    }

    /// Age after which the number of a topic's partitions is looked up again
    /// (`metadata.max.age.ms`; 5 min).
    pub const fn metadata_max_age(mut self, age: Duration) -> Self {
        self.settings.metadata_age_max = age;
        self
    }

    /// The name under which its transactions live on over restarts (`transactional.id`). Whoever
    /// builds a producer with it shuts out all older ones. Its records then go in transactions:
    /// [`Producer::begin`].
    pub fn transactional_id(mut self, id: &str) -> Self {
        self.transactional_id = Some(TransactionalId::new(id));
        self
    }

    /// The same for instance `number` of a program (`transaction-id-prefix`).
    pub fn transaction_id_prefix(mut self, prefix: &str, number: u32) -> Self {
        self.transactional_id = Some(TransactionalId::numbered(prefix, number));
        self
    }

    /// Longest time a transaction may last before the coordinator aborts it
    /// (`transaction.timeout.ms`; 1 min).
    pub const fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.settings.transaction_timeout = timeout;
        self
    }

    /// What becomes of the answers of its logs.
    #[cfg(any(test, feature = "sim"))]
    pub const fn losses(mut self, losses: crate::sim::Losses) -> Self {
        self.settings.losses = losses;
        self
    }

    /// Where records go that name no partition. Default: [`crate::DefaultPartitioner`].
    pub fn partitioner(mut self, partitioner: Arc<dyn Partitioner>) -> Self {
        self.partitioner = Some(partitioner);
        self
    }

    /// The producer, with a producer id of its own if it is idempotent. With a transactional id
    /// (Kafka `initTransactions`) older producers of that id are shut out from here on, and what they
    /// left open is aborted; this waits `max_block` at most for what they have under way.
    ///
    /// # Errors
    ///
    /// [`ProducerError`]: settings that contradict each other, no producer id to be had, a
    /// coordinator that refuses, or no thread.
    ///
    /// # Durability
    ///
    /// The producer id, or its epoch, is never handed out again, whatever happens next.
    pub fn build(self) -> Result<Producer, ProducerError> {
        let settings = self.check()?;
        Producer::start(self.store, settings, self.partitioner)
    }

    pub(super) fn check(&self) -> Result<Settings, ProducerConfigError> {
        let refuse =
            |setting, rule: &str| Err(ProducerConfigError { setting, rule: rule.to_owned() });
        let mut settings = self.settings.clone();
        settings.retries = self.retries.unwrap_or(u32::MAX);
        settings.in_flight_max = usize::try_from(self.in_flight_max).unwrap_or(usize::MAX);
        let obstacles = [
            (settings.acks != Durability::Synced, "acks", "idempotence needs acks(Synced)"),
            (settings.retries == 0, "retries", "idempotence needs at least one retry"),
            (
                self.in_flight_max > IN_FLIGHT_LIMIT,
                "max_in_flight",
                "idempotence allows at most 5: the log remembers that many batches",
            ),
        ];
        settings.transactional_id = match self.transactional_id.clone().transpose() {
            Ok(id) => id,
            Err(error) => return refuse("transactional_id", &error.to_string()),
        };
        let obstacle = obstacles.into_iter().find(|(stands, ..)| *stands);
        settings.idempotence = match (self.idempotence, obstacle) {
            (Some(true), Some((_, setting, rule))) => return refuse(setting, rule),
            (asked, obstacle) => asked.unwrap_or(obstacle.is_none()),
        };
        if settings.transactional_id.is_some() && !settings.idempotence {
            return refuse(
                "transactional_id",
                "transactions need idempotence: acks(Synced), retries",
            );
        }
        if self.in_flight_max == 0 {
            return refuse("max_in_flight", "at least one batch must be able to go");
        }
        if settings.batch_bytes == 0 || settings.batch_bytes > i32::MAX.unsigned_abs() {
            return refuse("batch_size", "a batch has 1 byte to 2 GiB - 1");
        }
        if settings.buffer_bytes < usize::try_from(settings.batch_bytes).unwrap_or(usize::MAX) {
            return refuse("buffer_memory", "it must hold at least one batch of batch_size");
        }
        if settings.delivery_timeout < settings.linger.saturating_add(settings.retry_backoff) {
            return refuse(
                "delivery_timeout",
                "it must be at least linger + retry_backoff, or no record could ever be retried",
            );
        }
        if settings.retry_backoff.is_zero() || settings.retry_backoff_max < settings.retry_backoff {
            return refuse(
                "retry_backoff",
                "the first wait must not be zero, and the longest not shorter than it",
            );
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: &ProducerBuilder) -> &'static str {
        builder.check().unwrap_err().setting
    }

    #[test]
    fn idempotence_is_the_default_and_gives_way_to_what_rules_it_out() {
        let builder = ProducerBuilder::new(&Store::in_memory());
        assert!(builder.check().unwrap().idempotence);
        assert!(!builder.clone().acks(Durability::Buffered).check().unwrap().idempotence);
        assert!(!builder.clone().retries(0).check().unwrap().idempotence);
        assert!(!builder.clone().max_in_flight(6).check().unwrap().idempotence);
        assert!(!builder.enable_idempotence(false).check().unwrap().idempotence);
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let builder = ProducerBuilder::new(&Store::in_memory());
        let once = builder.clone().enable_idempotence(true);
        assert_eq!(refused(&once.clone().acks(Durability::Written)), "acks");
        assert_eq!(refused(&once.clone().retries(0)), "retries");
        assert_eq!(refused(&once.max_in_flight(6)), "max_in_flight");
        assert_eq!(refused(&builder.clone().max_in_flight(0)), "max_in_flight");
        assert_eq!(refused(&builder.clone().batch_size(0)), "batch_size");
        assert_eq!(refused(&builder.clone().buffer_memory(1)), "buffer_memory");
        let hurried = builder.clone().linger(Duration::from_secs(1));
        assert_eq!(refused(&hurried.delivery_timeout(Duration::from_secs(1))), "delivery_timeout");
        assert_eq!(
            refused(&builder.retry_backoff(Duration::ZERO, Duration::ZERO)),
            "retry_backoff"
        );
    }

    #[test]
    fn transactions_need_idempotence_and_an_id_that_is_one() {
        let builder = ProducerBuilder::new(&Store::in_memory());
        assert_eq!(refused(&builder.clone().transactional_id("")), "transactional_id");
        let named = builder.transaction_id_prefix("t-", 3);
        assert_eq!(named.check().unwrap().transactional_id.unwrap().as_str(), "t-3");
        assert_eq!(refused(&named.clone().enable_idempotence(false)), "transactional_id");
        assert_eq!(refused(&named.acks(Durability::Written)), "transactional_id");
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let settings = ProducerBuilder::new(&Store::in_memory()).check().unwrap();
        let waits = [1, 2, 4, 5, u32::MAX].map(|tries| settings.backoff(tries).as_millis());
        assert_eq!(waits, [100, 200, 800, 1000, 1000]);
    }
}
