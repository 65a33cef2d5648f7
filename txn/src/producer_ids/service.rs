//! The one place of a store where producer ids come from.
//!
//! ```text
//!   Producer::build ─▶ take ─▶ [lock] block empty? ─▶ file replaced, durable ─▶ id
//! ```

use log_core::ids::ProducerId;
use log_core::{Fault, Store, TopicPartition};
use parking_lot::Mutex;

use super::{ProducerIds, decode, encode};

/// The file's name behind `oncelog.`
const SIDECAR: &str = "producer-ids";

/// Why no producer id can be had.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerIdError {
    /// The file of ids cannot be read or written; asking again may help.
    #[error("no block of producer ids can be claimed: {0}")]
    Io(#[source] Fault),
    /// The file of ids is damaged.
    #[error(
        "the file of producer ids is damaged: {0}; remove it, ids then start above all that the \
         store's partitions have seen"
    )]
    Damaged(#[source] Fault),
    /// All 2^63 ids are used up.
    #[error("all producer ids are used up")]
    Exhausted,
}

impl ProducerIdError {
    /// Kafka's error code.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            // COORDINATOR_LOAD_IN_PROGRESS: what a broker without a block answers.
            Self::Io(_) => 14,
            Self::Damaged(_) => 56,
            Self::Exhausted => -1,
        }
    }

    /// Whether asking again may help.
    #[must_use]
    pub const fn is_retriable(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}

/// Hands out the ids of one store. Its lock is held while a block is claimed: everyone who waits
/// for it wants an id of that block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIdService(Mutex<Option<ProducerIds>>);

impl ProducerIdService {
    /// An id that no producer of this directory has had.
    ///
    /// # Durability
    ///
    /// No later life of the directory hands it out again, whatever is cut off or when.
    pub(crate) fn take(&self, store: &Store) -> Result<ProducerId, ProducerIdError> {
        let mut state = self.0.lock();
        let ids = match &mut *state {
            Some(ids) => ids,
            empty => empty.insert(resume(store)?),
        };
        if let Some(id) = ids.take() {
            return Ok(id);
        }
        let end = ids.next_end().ok_or(ProducerIdError::Exhausted)?;
        // After an error the file holds the old end or this one; the next try claims it again.
        store.replace_sidecar(SIDECAR, &encode(end)).map_err(ProducerIdError::Io)?;
        ids.grant(end);
        ids.take().ok_or(ProducerIdError::Exhausted)
    }
}

impl ProducerIdService {
    /// An id that a journal names: none up to it is handed out anew.
    pub(crate) fn observe(&self, store: &Store, seen: ProducerId) -> Result<(), ProducerIdError> {
        let mut state = self.0.lock();
        let ids = match &mut *state {
            Some(ids) => ids,
            empty => empty.insert(resume(store)?),
        };
        ids.skip(seen);
        Ok(())
    }
}

fn resume(store: &Store) -> Result<ProducerIds, ProducerIdError> {
    let end = match store.read_sidecar(SIDECAR).map_err(ProducerIdError::Io)? {
        None => 0,
        Some(bytes) => decode(&bytes)
            .map_err(|what| ProducerIdError::Damaged(store.damaged_sidecar(SIDECAR, &what)))?,
    };
    Ok(ProducerIds::resume(end, highest_seen(store)))
}

/// The highest producer id that any partition of the store has seen, in its log or in what was
/// remembered of batches that are deleted. What damage hides is covered by the file.
fn highest_seen(store: &Store) -> ProducerId {
    let mut highest = ProducerId::NONE;
    for topic in store.topics() {
        for number in 0..topic.partitions {
            let Ok(log) = store.log(&TopicPartition::new(topic.name.clone(), number)) else {
                continue;
            };
            highest = log.largest_producer_id().map_or(highest, |id| highest.max(id));
        }
    }
    highest
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use log_core::clock::ManualClock;
    use log_core::disk::sim::{SimDirectory, Stop};
    use log_core::entropy::SeededEntropy;
    use log_core::format::{BatchBuilder, BatchOptions, NewRecord};
    use log_core::ids::{ProducerEpoch, Sequence, TimestampMs};
    use log_core::{Drive, Durability};

    fn open(directory: &SimDirectory) -> Result<Store, log_core::OpenError> {
        Store::builder()
            .directory(Arc::new(directory.clone()))
            .clock(Arc::new(ManualClock::new(TimestampMs::new(1))))
            .entropy(Arc::new(SeededEntropy::new(1)))
            .drive(Drive::Manual)
            .open("/s")
    }

    /// A life that takes ids until the disk stops: three blocks' worth at most.
    fn live(directory: &SimDirectory, given: &mut Vec<i64>) {
        let Ok(store) = open(directory) else { return };
        let ids = store.service::<ProducerIdService>();
        for number in 0..2_500 {
            match ids.take(&store) {
                Ok(id) => given.push(id.get()),
                Err(error) => {
                    assert!(directory.is_over(), "{number}: {error}");
                    return;
                }
            }
        }
    }

    /// The story: a block was used before its claim was durable, and a cut gave it out again.
    #[test]
    fn no_id_is_given_twice_wherever_the_power_is_cut() {
        for stop in [Stop::Cut, Stop::Crash] {
            for operations in 1..60 {
                let mut directory =
                    SimDirectory::new(operations * 2 + u64::from(stop == Stop::Cut));
                let mut given = Vec::new();
                for life in 0..3 {
                    directory.arm(operations + life, stop);
                    live(&directory, &mut given);
                    directory.disarm();
                    directory = directory.reborn();
                }
                live(&directory, &mut given);
                let distinct: BTreeSet<_> = given.iter().copied().collect();
                assert_eq!(distinct.len(), given.len(), "an id twice, at operation {operations}");
                assert!(given.len() >= 2_500, "the last life takes its ids");
                assert!(directory.violations().is_empty(), "{:?}", directory.violations());
            }
        }
    }

    #[test]
    fn an_id_that_a_partition_has_seen_is_not_given_again_though_the_file_is_gone() {
        let directory = SimDirectory::new(4);
        let store = open(&directory).unwrap();
        store.create_topic(&"orders".parse().unwrap(), 2).unwrap();
        let log = store.log(&TopicPartition::new("orders".parse().unwrap(), 1)).unwrap();
        let options = BatchOptions::new().producer(
            ProducerId::new(77).unwrap(),
            ProducerEpoch::new(0).unwrap(),
            Sequence::ZERO,
        );
        let mut batch = BatchBuilder::new(options);
        let timestamp = TimestampMs::new(1);
        batch.push(&NewRecord { timestamp, key: None, value: None, headers: &[] }).unwrap();
        log.append_wait(batch.build().unwrap(), Durability::Synced).unwrap();
        assert_eq!(store.service::<ProducerIdService>().take(&store).unwrap().get(), 78);
    }

    #[test]
    fn a_damaged_file_is_named_and_no_id_is_given() {
        let directory = SimDirectory::new(3);
        let store = open(&directory).unwrap();
        store.service::<ProducerIdService>().take(&store).unwrap();
        drop(store);
        assert!(directory.flip(Path::new("/s/oncelog.producer-ids"), 9, 1));
        let store = open(&directory).unwrap();
        let error = store.service::<ProducerIdService>().take(&store).unwrap_err();
        assert!(matches!(error, ProducerIdError::Damaged(_)), "{error}");
        assert!(error.to_string().contains("oncelog.producer-ids"), "{error}");
    }
}
