//! The log's hot path: encoding, checking, appending at each level, reading.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should say where")]

use core::hint::black_box;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use log_core::format::{BatchBuilder, BatchOptions, BatchView, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{Durability, FetchLimits, IsolationLevel, Log, Offset, Store, TopicPartition};

fn batch(records: u32, bytes: usize) -> RecordBatch {
    let value = vec![b'v'; bytes];
    let mut builder = BatchBuilder::new(BatchOptions::new());
    for _ in 0..records {
        let timestamp = TimestampMs::new(1_000);
        let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

fn log(store: &Store) -> Log {
    let topic = "bench".parse().unwrap();
    store.create_topic(&topic, 1).unwrap();
    store.log(&TopicPartition::new(topic, 0)).unwrap()
}

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    for bytes in [100, 1024] {
        group.throughput(Throughput::Elements(64));
        group.bench_function(BenchmarkId::new("encode 64 records", bytes), |bencher| {
            bencher.iter(|| black_box(batch(64, black_box(bytes))));
        });
        let encoded = batch(64, bytes);
        group.bench_function(BenchmarkId::new("check 64 records", bytes), |bencher| {
            bencher.iter(|| BatchView::parse(black_box(encoded.as_bytes())).unwrap().verify_crc());
        });
    }
    group.finish();
}

fn append(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = log(&store);
    let mut group = criterion.benchmark_group("append");
    for (name, level) in [
        ("buffered", Durability::Buffered),
        ("written", Durability::Written),
        ("synced", Durability::Synced),
    ] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one waiting, 1 KiB", name), |bencher| {
            let batch = batch(1, 1024);
            bencher.iter(|| log.append_wait(batch.clone(), level).unwrap());
        });
    }
    group.throughput(Throughput::Elements(256));
    group.bench_function("256 tickets, 1 KiB, synced", |bencher| {
        let batch = batch(1, 1024);
        bencher.iter(|| {
            let append = |_| log.append(batch.clone(), Durability::Synced).unwrap();
            let tickets: Vec<_> = (0..256).map(append).collect();
            for ticket in tickets {
                ticket.wait().unwrap();
            }
        });
    });
    group.finish();
    store.close().unwrap();
}

fn fetch(criterion: &mut Criterion) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = log(&store);
    for _ in 0..256 {
        drop(log.append(batch(64, 1024), Durability::Buffered).unwrap());
    }
    log.flush().unwrap();
    let limits = FetchLimits::default();
    let fetch = || log.fetch(Offset::ZERO, limits, IsolationLevel::ReadUncommitted).unwrap();
    let mut group = criterion.benchmark_group("fetch");
    group.throughput(Throughput::Bytes(fetch().bytes.len().try_into().unwrap()));
    group.bench_function("1 MiB, warm, checked", |bencher| bencher.iter(|| black_box(fetch())));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = codec, append, fetch
}
criterion_main!(benches);
