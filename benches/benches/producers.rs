//! The sequence index: verdicts hot and cold, their share of an append, a million producers in files.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark measures time, and says what it found and where it cannot run"
)]

use core::hint::black_box;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use log_core::bench::{Becomes, LogIndex, SequenceIndex};
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::{Durability, Store, TopicPartition};

const MILLION: i64 = 1_000_000;

/// A million producers with `batches` batches each.
fn million(batches: i32) -> SequenceIndex {
    let mut index = SequenceIndex::default();
    for sequence in 0..batches {
        for id in 0..MILLION {
            assert_eq!(index.append(id, sequence), Becomes::Appended);
        }
    }
    index
}

/// Producer 7 with so many batches.
fn fill(index: &mut SequenceIndex, batches: i32) {
    for sequence in 0..batches {
        assert_eq!(index.append(7, sequence), Becomes::Appended);
    }
}

/// One cache line of 64 bytes.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(i64);

/// Every producer once, in an order that no cache foresees.
fn shuffled() -> impl FnMut() -> i64 {
    let mut at = 0_i64;
    move || {
        at = (at + 618_033) % MILLION;
        at
    }
}

fn verdict(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("producers");
    group.throughput(Throughput::Elements(1));
    group.bench_function("verdict, hot", |bencher| {
        let mut index = SequenceIndex::default();
        fill(&mut index, 10);
        bencher.iter(|| index.check(black_box(7), black_box(10)));
    });
    group.bench_function("verdict on a duplicate, hot", |bencher| {
        let mut index = SequenceIndex::default();
        fill(&mut index, 10);
        bencher.iter(|| index.check(black_box(7), black_box(6)));
    });
    group.bench_function("verdict and memory of it, hot", |bencher| {
        let mut index = SequenceIndex::default();
        let mut sequence = 0;
        bencher.iter(|| {
            let becomes = index.append(black_box(7), sequence);
            sequence = sequence.wrapping_add(1) & i32::MAX;
            becomes
        });
    });
    // What the machine asks for one cache line of as many, each waiting for the last: an index that
    // is asked once in a while pays that at least twice.
    group.bench_function("one random line of a million, for comparison", |bencher| {
        let lines: Vec<Line> = (0..MILLION).map(|at| Line((at + 618_033) % MILLION)).collect();
        let mut at = 0;
        bencher.iter(|| {
            at = usize::try_from(at).ok().and_then(|at| lines.get(at)).map_or(0, |line| line.0);
            at
        });
    });
    let index = million(1);
    let each = index.memory_bytes() / usize::try_from(index.len()).unwrap();
    println!("producers: {} with one batch, {each} bytes each", index.len());
    group.bench_function("verdict, one of a million at random", |bencher| {
        let mut next = shuffled();
        bencher.iter(|| index.check(black_box(next()), 1));
    });
    drop(index);
    let mut index = million(5);
    let each = index.memory_bytes() / usize::try_from(index.len()).unwrap();
    println!("producers: {} with five batches, {each} bytes each", index.len());
    group.bench_function("verdict and memory of it, one of a million at random", |bencher| {
        let (mut next, mut round, mut left) = (shuffled(), 5, MILLION);
        bencher.iter(|| {
            let becomes = index.append(black_box(next()), round);
            left -= 1;
            if left == 0 {
                (round, left) = (round + 1, MILLION);
            }
            becomes
        });
    });
    group.finish();
}

fn files(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a million producers");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for batches in [1, 5] {
        let index = million(batches);
        let frozen = index.freeze();
        let (kafkas, ours) = (frozen.kafkas(), frozen.ours());
        println!(
            "snapshot of a million with {batches}: {} bytes Kafka's, {} bytes ours",
            kafkas.len(),
            ours.len()
        );
        let name = |what: &str| format!("{what}, {batches} batches each");
        group.bench_function(name("frozen under the lock"), |bencher| {
            bencher.iter_batched(|| (), |()| index.freeze(), BatchSize::PerIteration);
        });
        group.bench_function(name("to Kafka's bytes"), |bencher| bencher.iter(|| frozen.kafkas()));
        group.bench_function(name("to our bytes"), |bencher| bencher.iter(|| frozen.ours()));
        group.bench_function(name("from Kafka's bytes"), |bencher| {
            bencher.iter_with_large_drop(|| SequenceIndex::from_kafkas(&kafkas).unwrap());
        });
        group.bench_function(name("from our bytes"), |bencher| {
            bencher.iter_with_large_drop(|| SequenceIndex::from_ours(&ours).unwrap());
        });
    }
    group.finish();
}

fn batch(options: BatchOptions) -> RecordBatch {
    let value = [b'v'; 100];
    let mut builder = BatchBuilder::new(options);
    let timestamp = TimestampMs::new(1_000);
    let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
    builder.push(&record).unwrap();
    builder.build().unwrap()
}

/// An unsynced append of one record, by nobody and by a producer: what the index costs of it.
fn append(criterion: &mut Criterion) {
    const BATCHES: i32 = 512;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = "bench".parse().unwrap();
    store.create_topic(&topic, 2).unwrap();
    let mut group = criterion.benchmark_group("append of one 100-byte record, buffered");
    group.throughput(Throughput::Elements(BATCHES.unsigned_abs().into()));
    let log = store.log(&TopicPartition::new(topic.clone(), 0)).unwrap();
    group.bench_function("by nobody", |bencher| {
        bencher.iter_batched_ref(
            || (0..BATCHES).map(|_| batch(BatchOptions::new())).collect::<VecDeque<_>>(),
            |batches| {
                while let Some(batch) = batches.pop_front() {
                    drop(log.append(batch, Durability::Buffered).unwrap());
                }
            },
            BatchSize::PerIteration,
        );
    });
    let log = store.log(&TopicPartition::new(topic, 1)).unwrap();
    let (id, epoch) = (ProducerId::new(7).unwrap(), ProducerEpoch::new(0).unwrap());
    let mut next = Sequence::ZERO;
    group.bench_function("by a producer", |bencher| {
        bencher.iter_batched_ref(
            || {
                let mut one = || {
                    let options = BatchOptions::new().producer(id, epoch, next);
                    next = next.increment(1);
                    batch(options)
                };
                (0..BATCHES).map(|_| one()).collect::<VecDeque<_>>()
            },
            |batches| {
                while let Some(batch) = batches.pop_front() {
                    drop(log.append(batch, Durability::Buffered).unwrap());
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    store.close().unwrap();
}

/// Nanoseconds of one iteration, sample by sample.
#[derive(Default)]
struct Samples(Vec<f64>);

impl Samples {
    fn push(&mut self, took: Duration, iterations: u64) -> Duration {
        self.0.push(took.as_secs_f64() * 1e9 / f64::from(u32::try_from(iterations).unwrap()));
        took
    }

    /// Of criterion's samples: what was taken before the last hundred was its warming up.
    fn median(mut self) -> f64 {
        let mut samples = self.0.split_off(self.0.len() - 100);
        samples.sort_by(f64::total_cmp);
        samples[50]
    }
}

/// A verdict and an unsynced append of one record, by the same producer in the same log: what part
/// of the append its verdict is.
fn share(criterion: &mut Criterion) {
    const ID: i64 = 7;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = "bench".parse().unwrap();
    store.create_topic(&topic, 1).unwrap();
    let log = store.log(&TopicPartition::new(topic, 0)).unwrap();
    let mut next = Sequence::ZERO;
    let (mut appends, mut verdicts) = (Samples::default(), Samples::default());
    let mut group = criterion.benchmark_group("one log, one producer");
    group.bench_function("append of one 100-byte record, unsynced", |bencher| {
        let (id, epoch) = (ProducerId::new(ID).unwrap(), ProducerEpoch::new(0).unwrap());
        bencher.iter_custom(|iterations| {
            let (mut took, mut left) = (Duration::ZERO, iterations);
            while left > 0 {
                let count = left.min(512);
                left -= count;
                let mut one = || {
                    let options = BatchOptions::new().producer(id, epoch, next);
                    next = next.increment(1);
                    batch(options)
                };
                let batches: Vec<RecordBatch> = (0..count).map(|_| one()).collect();
                let start = Instant::now();
                for batch in batches {
                    drop(log.append(batch, Durability::Buffered).unwrap());
                }
                took += start.elapsed();
            }
            appends.push(took, iterations)
        });
    });
    group.bench_function("verdict, hot", |bencher| {
        let index = LogIndex::of(&log);
        assert_eq!(index.check(ID, next.get()), Becomes::Appended);
        bencher.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                black_box(index.check(black_box(ID), black_box(next.get())));
            }
            verdicts.push(start.elapsed(), iterations)
        });
    });
    group.finish();
    store.close().unwrap();
    // Nothing was measured where the command line asks for other benchmarks, or only for a test.
    if appends.0.len() > 100 && verdicts.0.len() > 100 {
        let (append, verdict) = (appends.median(), verdicts.median());
        println!(
            "verdict is {:.1} % of an unsynced one-record append ({verdict:.1} of {append:.0} ns)",
            100.0 * verdict / append
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = verdict, files, append, share
}
criterion_main!(benches);
