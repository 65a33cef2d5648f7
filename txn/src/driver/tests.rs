//! Transactions over real logs: calm, fenced, timed out, and cut at every operation.

mod calm;
mod cuts;
mod faults;

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::SimDirectory;
use log_core::disk::{Directory, MemoryDirectory};
use log_core::entropy::SeededEntropy;
use log_core::format::{EndTxnMarker, Records, TransactionResult};
use log_core::ids::{ProducerEpoch, ProducerId, TimestampMs};
use log_core::{
    Drive, FetchError, FetchLimits, IsolationLevel, OpenError, Store, TopicName, TopicPartition,
};

use crate::producer::{Producer, ProducerError, ProducerRecord, Transaction};

const PARTITIONS: u32 = 3;
const WAIT: Duration = Duration::from_secs(5);

fn topic() -> TopicName {
    "orders".parse().unwrap()
}

fn partition(number: u32) -> TopicPartition {
    TopicPartition::new(topic(), number)
}

fn clock() -> ManualClock {
    ManualClock::new(TimestampMs::new(1_000_000))
}

/// A store in memory: everything is done when a call returns.
fn memory(clock: &ManualClock) -> Store {
    let directory: Arc<dyn Directory> = Arc::new(MemoryDirectory::new());
    let store = Store::builder()
        .directory(directory)
        .clock(Arc::new(clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(7)))
        .drive(Drive::Inline)
        .open("/s")
        .unwrap();
    store.create_topic(&topic(), PARTITIONS).unwrap();
    store
}

/// A store on a disk that can lose power.
fn open(directory: &SimDirectory, clock: &ManualClock) -> Result<Store, OpenError> {
    Store::builder()
        .directory(Arc::new(directory.clone()))
        .clock(Arc::new(clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(1)))
        .drive(Drive::Manual)
        .open("/s")
}

fn build(store: &Store, id: &str) -> Result<Producer, ProducerError> {
    Producer::builder(store).transactional_id(id).build()
}

/// Sends `value` to every partition, `times` times.
fn send_all(
    transaction: &Transaction<'_>,
    value: &str,
    times: u32,
) -> Result<(), crate::SendError> {
    for number in (0..times).flat_map(|_| 0..PARTITIONS) {
        let topic = topic();
        let record = ProducerRecord::new(&topic).partition(number).value(value.as_bytes());
        let _ticket = transaction.send(record)?;
    }
    Ok(())
}

/// The values that a reader sees.
fn read(store: &Store, number: u32, isolation: IsolationLevel) -> Vec<String> {
    try_read(store, number, isolation).unwrap()
}

fn try_read(
    store: &Store,
    number: u32,
    isolation: IsolationLevel,
) -> Result<Vec<String>, FetchError> {
    let log = store.log(&partition(number)).unwrap();
    let (mut at, mut values) = (log.log_start_offset(), Vec::new());
    loop {
        let fetched = log.fetch(at, FetchLimits::bytes(200), isolation)?;
        for record in fetched.records() {
            let value = record.unwrap().value.unwrap();
            values.push(String::from_utf8(value.to_vec()).unwrap());
        }
        if fetched.next_offset == at {
            return Ok(values);
        }
        at = fetched.next_offset;
    }
}

fn committed(store: &Store) -> Vec<Vec<String>> {
    (0..PARTITIONS).map(|number| read(store, number, IsolationLevel::ReadCommitted)).collect()
}

/// The markers of a partition, in order.
type Found = BTreeMap<(ProducerId, ProducerEpoch), Vec<TransactionResult>>;

fn markers(store: &Store, number: u32) -> Found {
    let log = store.log(&partition(number)).unwrap();
    let (mut at, mut found) = (log.log_start_offset(), Found::new());
    loop {
        let limits = FetchLimits::default();
        let fetched = log.fetch(at, limits, IsolationLevel::ReadUncommitted).unwrap();
        for placed in fetched.batches() {
            let batch = placed.unwrap().batch;
            if !batch.is_control() {
                continue;
            }
            let plain = batch.decompress(u32::MAX).unwrap();
            for record in Records::decompressed(&batch, &plain) {
                let record = record.unwrap();
                let marker = EndTxnMarker::from_record(record.key, record.value).unwrap().unwrap();
                let whose = (batch.producer_id(), batch.producer_epoch());
                found.entry(whose).or_default().push(marker.result);
            }
        }
        if fetched.next_offset == at {
            return found;
        }
        at = fetched.next_offset;
    }
}

/// Whether no transaction holds readers of committed data back anywhere.
fn is_stable(store: &Store) -> bool {
    (0..PARTITIONS).all(|number| {
        let log = store.log(&partition(number)).unwrap();
        log.last_stable_offset() == log.high_watermark()
    })
}
