//! What appends feel while the snapshot of a million producers is being written.
//!
//! ```text
//!   round   quiet: appends for a while ─▶ roll ─▶ appends until the snapshot's file is there
//! ```
//!
//! One thread appends batches of one record and times each call, or each call and its wait. The
//! append that rolls (it freezes the producers' state under the lock and makes the next segment) is
//! named apart. Medians of rounds would hide the tail, so the percentiles are over all rounds.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a benchmark measures time, reports to people, and stops at the first failure"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::{Durability, Log, Store, TopicConfig, TopicName, TopicPartition};

/// Large enough that nothing rolls by itself.
const SEGMENT_BYTES: u32 = 2_000_000_000;
const QUIET: Duration = Duration::from_millis(1_500);
/// Appends between two looks for the file.
const LOOK_EVERY: u32 = 32;

struct Bench {
    store: Store,
    log: Log,
    topic: TopicName,
    inside: PathBuf,
    sequence: i32,
}

/// Nanoseconds of each append.
#[derive(Default)]
struct Times {
    quiet: Vec<u64>,
    beside: Vec<u64>,
    rolling: Vec<u64>,
    /// From the roll to the file.
    written: Vec<Duration>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: i64| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let (producers, rounds) = (number("--producers", 1_000_000), number("--rounds", 5));
    let dir = PathBuf::from(format!("target/snapshot-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let mut bench = Bench::new(&dir, producers);
    for (name, durability) in [("buffered", Durability::Buffered), ("synced", Durability::Synced)] {
        let mut times = Times::default();
        for _ in 0..rounds {
            bench.round(durability, &mut times);
        }
        report(name, &mut times);
    }
    let bytes = bench.snapshot_bytes();
    println!("snapshot: {producers} producers, {} bytes ours, {} bytes Kafka's", bytes.0, bytes.1);
    assert_eq!(bench.store.usage().snapshot_write_failures, 0);
    drop(bench);
    fs::remove_dir_all(&dir).unwrap();
}

impl Bench {
    fn new(dir: &Path, producers: i64) -> Self {
        let store = Store::builder()
            .segment_bytes_max(SEGMENT_BYTES)
            .checkpoint_bytes(u32::MAX)
            .open(dir)
            .unwrap();
        let topic: TopicName = "bench".parse().unwrap();
        store.create_topic(&topic, 1).unwrap();
        let log = store.log(&TopicPartition::new(topic.clone(), 0)).unwrap();
        let start = Instant::now();
        for id in 0..producers {
            drop(log.append(batch(id, 0), Durability::Buffered).unwrap());
        }
        log.flush().unwrap();
        println!("snapshot: {producers} producers in {:.1} s", start.elapsed().as_secs_f64());
        Self { store, log, topic, inside: dir.join("bench-0"), sequence: 0 }
    }

    /// Nanoseconds of the next append.
    fn append(&mut self, durability: Durability) -> u64 {
        self.sequence += 1;
        let batch = batch(7, self.sequence);
        let start = Instant::now();
        match durability {
            Durability::Buffered => drop(self.log.append(batch, durability).unwrap()),
            Durability::Written | Durability::Synced => {
                self.log.append_wait(batch, durability).unwrap();
            }
        }
        u64::try_from(start.elapsed().as_nanos()).unwrap()
    }

    fn round(&mut self, durability: Durability, times: &mut Times) {
        let start = Instant::now();
        while start.elapsed() < QUIET {
            let took = self.append(durability);
            times.quiet.push(took);
        }
        let segments = self.log.info().segments.len();
        self.segment_bytes(4096);
        let rolled = Instant::now();
        let took = self.append(durability);
        times.rolling.push(took);
        self.segment_bytes(SEGMENT_BYTES);
        let base = self.log.info().segments[segments].base_offset.get();
        let file = self.inside.join(format!("{base:020}.producers"));
        while !file.exists() {
            for _ in 0..LOOK_EVERY {
                let took = self.append(durability);
                times.beside.push(took);
            }
        }
        times.written.push(rolled.elapsed());
    }

    fn segment_bytes(&self, bytes: u32) {
        self.store.alter_topic(&self.topic, TopicConfig::new().segment_bytes_max(bytes)).unwrap();
    }

    /// Of the largest of each kind.
    fn snapshot_bytes(&self) -> (u64, u64) {
        let largest = |end: &str| {
            let entries = fs::read_dir(&self.inside).unwrap().map(|entry| entry.unwrap());
            let files =
                entries.filter(|entry| entry.path().extension().is_some_and(|is| is == end));
            files.map(|entry| entry.metadata().unwrap().len()).max().unwrap_or(0)
        };
        (largest("producers"), largest("snapshot"))
    }
}

fn report(name: &str, times: &mut Times) {
    let line = |what: &str, times: &mut Vec<u64>| {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 1000] as f64 / 1000.0;
        println!(
            "{name}, {what:<24} p50 {:>9.1} us  p99 {:>9.1} us  p99.9 {:>9.1} us  max {:>9.1} us  ({})",
            at(500),
            at(990),
            at(999),
            at(1000),
            times.len()
        );
    };
    line("quiet", &mut times.quiet);
    line("while it is written", &mut times.beside);
    line("the one that rolls", &mut times.rolling);
    let written: Vec<String> =
        times.written.iter().map(|took| format!("{:.2}", took.as_secs_f64())).collect();
    println!("{name}, written in {} s", written.join(", "));
}

fn batch(id: i64, sequence: i32) -> RecordBatch {
    let (id, epoch) = (ProducerId::new(id).unwrap(), ProducerEpoch::new(0).unwrap());
    let sequence = Sequence::new(sequence).unwrap();
    let mut builder = BatchBuilder::new(BatchOptions::new().producer(id, epoch, sequence));
    let (timestamp, value) = (TimestampMs::new(1_000), [b'v'; 100]);
    builder.push(&NewRecord { timestamp, key: None, value: Some(&value), headers: &[] }).unwrap();
    builder.build().unwrap()
}
