//! Which partition a record goes to that names none.
//!
//! ```text
//!   partition given      that one
//!   a key                murmur2 of it, as Kafka's clients: equal keys, one partition
//!   neither              sticky: one partition until about a batch went there, then another
//! ```
//!
//! Sticking fills batches; changing after so many bytes keeps the partitions even (KIP-480,
//! KIP-794; Kafka `BuiltInPartitioner`). [`Partitioner`] is an open trait: [`check`] judges one.

use core::fmt;
use core::num::NonZeroU32;
use std::collections::BTreeMap;
use std::sync::Arc;

use log_core::entropy::Entropy;
use log_core::{TopicName, partition_for_key};
use parking_lot::Mutex;

/// What a partitioner may look at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Unplaced<'a> {
    /// The record's topic.
    pub topic: &'a TopicName,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
    /// About how many bytes it takes up in a batch.
    pub bytes: usize,
}

impl<'a> Unplaced<'a> {
    /// A record of `topic` with that key and value.
    #[must_use]
    pub fn new(topic: &'a TopicName, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        Self { topic, key, value, bytes }
    }
}

/// Chooses partitions. Called for every record that names none, from any thread, with no lock held.
pub trait Partitioner: fmt::Debug + Send + Sync {
    /// The partition of `record`: 0 to `partitions` − 1. What lies outside is refused.
    fn partition(&self, record: &Unplaced<'_>, partitions: NonZeroU32) -> u32;
}

/// Kafka's choice: murmur2 for keys, sticky for none.
#[derive(Debug)]
pub struct DefaultPartitioner {
    entropy: Arc<dyn Entropy>,
    sticky_bytes: usize,
    stuck: Mutex<BTreeMap<TopicName, Stuck>>,
}

/// Where keyless records of a topic go now, and how many bytes went there.
#[derive(Clone, Copy, Debug)]
struct Stuck {
    partition: u32,
    bytes: usize,
}

impl DefaultPartitioner {
    /// Keyless records change their partition after `sticky_bytes` (the batch size, usually); the
    /// next one is drawn from `entropy`.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>, sticky_bytes: usize) -> Self {
        Self { entropy, sticky_bytes, stuck: Mutex::default() }
    }

    fn draw(&self, partitions: NonZeroU32) -> u32 {
        let drawn = self.entropy.next_u64() % u64::from(partitions.get());
        u32::try_from(drawn).unwrap_or_default()
    }

    fn sticky(&self, record: &Unplaced<'_>, partitions: NonZeroU32) -> u32 {
        let mut stuck = self.stuck.lock();
        let Some(now) = stuck.get_mut(record.topic) else {
            let partition = self.draw(partitions);
            stuck.insert(record.topic.clone(), Stuck { partition, bytes: record.bytes });
            return partition;
        };
        if now.bytes >= self.sticky_bytes || now.partition >= partitions.get() {
            *now = Stuck { partition: self.draw(partitions), bytes: 0 };
        }
        now.bytes = now.bytes.saturating_add(record.bytes);
        now.partition
    }
}

impl Partitioner for DefaultPartitioner {
    fn partition(&self, record: &Unplaced<'_>, partitions: NonZeroU32) -> u32 {
        match record.key {
            Some(key) => partition_for_key(key, partitions),
            None => self.sticky(record, partitions),
        }
    }
}

/// All partitions in turn, keys or not (Kafka `RoundRobinPartitioner`): even, and small batches.
#[derive(Debug, Default)]
pub struct RoundRobinPartitioner {
    next: Mutex<BTreeMap<TopicName, u32>>,
}

impl RoundRobinPartitioner {
    /// Starts at partition 0 of every topic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Partitioner for RoundRobinPartitioner {
    fn partition(&self, record: &Unplaced<'_>, partitions: NonZeroU32) -> u32 {
        let mut next = self.next.lock();
        let counter = match next.get_mut(record.topic) {
            Some(counter) => counter,
            None => next.entry(record.topic.clone()).or_default(),
        };
        let partition = *counter % partitions;
        *counter = (partition + 1) % partitions;
        partition
    }
}

/// Judges an implementation of [`Partitioner`]: every answer lies within the topic, also right
/// after the topic grew, and with `by_key` equal keys go to one partition.
///
/// # Errors
///
/// What it did wrong.
pub fn check(partitioner: &dyn Partitioner, by_key: bool) -> Result<(), String> {
    let topics = ["checked-a", "checked-b"].map(TopicName::new);
    for topic in topics {
        let topic = topic.map_err(|error| error.to_string())?;
        for partitions in (1..=9).chain([1000]).filter_map(NonZeroU32::new) {
            for number in 0..200_u32 {
                let key = (number % 3 != 0).then(|| number.to_be_bytes());
                let key = key.as_ref().map(<[u8; 4]>::as_slice);
                let record = Unplaced::new(&topic, key, Some(b"value"));
                let partition = partitioner.partition(&record, partitions);
                if partition >= partitions.get() {
                    return Err(format!("partition {partition} of {partitions}"));
                }
                let again = partitioner.partition(&record, partitions);
                if by_key && key.is_some() && again != partition {
                    return Err(format!("{key:?} goes to {partition}, then to {again}"));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_core::entropy::SeededEntropy;

    fn default() -> DefaultPartitioner {
        DefaultPartitioner::new(Arc::new(SeededEntropy::new(1)), 1000)
    }

    #[test]
    fn ours_pass_the_judge() {
        assert_eq!(check(&default(), true), Ok(()));
        assert_eq!(check(&RoundRobinPartitioner::new(), false), Ok(()));
    }

    #[test]
    fn the_judge_finds_what_leaves_the_topic_and_what_forgets_keys() {
        #[derive(Debug)]
        struct Beyond;
        impl Partitioner for Beyond {
            fn partition(&self, _: &Unplaced<'_>, partitions: NonZeroU32) -> u32 {
                partitions.get()
            }
        }
        assert!(check(&Beyond, false).is_err());
        assert!(check(&RoundRobinPartitioner::new(), true).is_err());
    }

    #[test]
    fn keyless_records_stick_for_a_batch_and_spread_evenly() {
        let partitioner = default();
        let topic: TopicName = "orders".parse().unwrap();
        let four = NonZeroU32::new(4).unwrap();
        let record = Unplaced::new(&topic, None, Some(&[0; 100]));
        let mut bytes = [0_usize; 4];
        let mut changes = 0;
        let mut last = None;
        for _ in 0..40_000 {
            let partition = partitioner.partition(&record, four);
            changes += u32::from(last.is_some_and(|last| last != partition));
            last = Some(partition);
            bytes[usize::try_from(partition).unwrap()] += 100;
        }
        assert!((2_000..4_000).contains(&changes), "one change every ten records: {changes}");
        assert!(bytes.iter().all(|bytes| (900_000..1_100_000).contains(bytes)), "{bytes:?}");
    }

    #[test]
    fn a_key_goes_where_kafka_puts_it() {
        let topic: TopicName = "orders".parse().unwrap();
        let eight = NonZeroU32::new(8).unwrap();
        let record = Unplaced::new(&topic, Some(b"foobar"), None);
        assert_eq!(default().partition(&record, eight), 6);
    }
}
