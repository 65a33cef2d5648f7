//! The producer against a naive log, and against the real one.

mod calm;
mod cuts;
mod model;
mod storm;

use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::MemoryDirectory;
use log_core::entropy::SeededEntropy;
use log_core::ids::TimestampMs;
use log_core::{Drive, Store, TopicName, TopicPartition};

use super::{Producer, ProducerBuilder, ProducerError, sink::Sink};

/// A store in memory whose clock is moved by hand.
fn store(clock: &ManualClock, partitions: u32) -> Store {
    let store = Store::builder()
        .directory(Arc::new(MemoryDirectory::new()))
        .clock(Arc::new(clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(7)))
        .drive(Drive::Inline)
        .open("/")
        .unwrap();
    store.create_topic(&topic(), partitions).unwrap();
    store
}

fn clock() -> ManualClock {
    ManualClock::new(TimestampMs::new(1_000))
}

fn topic() -> TopicName {
    "orders".parse().unwrap()
}

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new(topic(), number)
}

impl ProducerBuilder {
    /// The producer, with batches going somewhere else.
    fn build_with(self, sink: Box<dyn Sink>) -> Result<Producer, ProducerError> {
        let settings = self.check()?;
        Producer::start_with(self.store, settings, self.partitioner, sink)
    }
}
