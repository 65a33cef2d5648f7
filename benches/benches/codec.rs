//! The codecs: batches built and read, per codec and size; the checksum and the numbers under them.
//!
//! `cargo bench -p benches --bench codec`. Throughput is that of uncompressed record bytes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run has failed")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use log_core::format::{
    BatchBuilder, BatchOptions, BatchView, Codec, Compression, NewRecord, RecordBatch, Records,
    crc32c, varint,
};
use log_core::ids::TimestampMs;

/// Records like those of an application: a short key, a line of text, numbers that differ.
fn batch(codec: Codec, records: u32) -> RecordBatch {
    let options = BatchOptions::new().compression(Compression::new(codec).unwrap());
    let mut builder = BatchBuilder::new(options);
    for number in 0..records {
        let key = format!("N{:05}", number.wrapping_mul(2_654_435_761) % 4000);
        let delay = number.wrapping_mul(40_503) % 180;
        let value = format!(
            "2013-01-{:02} 10:00:00,UA,{number},{key},EWR,IAH,{delay},11,1400",
            number % 28
        );
        let timestamp = TimestampMs::new(1_357_034_400_000 + i64::from(number));
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        builder.push(&NewRecord { timestamp, key, value, headers: &[] }).unwrap();
    }
    builder.build().unwrap()
}

fn records_bytes(batch: &RecordBatch) -> Throughput {
    Throughput::Bytes(batch.records_bytes().try_into().unwrap())
}

fn codecs(criterion: &mut Criterion) {
    for codec in Codec::ALL {
        let mut group = criterion.benchmark_group(codec.name());
        for records in [10, 100, 1000, 10_000] {
            let built = batch(codec, records);
            let plain = batch(Codec::None, records);
            let view = BatchView::parse(plain.as_bytes()).unwrap();
            let parts: Vec<_> = view.records().unwrap().collect::<Result<_, _>>().unwrap();
            let options = BatchOptions::new().compression(Compression::new(codec).unwrap());
            group.throughput(records_bytes(&built));
            group.bench_function(BenchmarkId::new("encode", records), |bencher| {
                bencher.iter(|| {
                    let mut builder = BatchBuilder::new(options);
                    for part in &parts {
                        let (timestamp, key, value) = (part.timestamp, part.key, part.value);
                        builder.push(&NewRecord { timestamp, key, value, headers: &[] }).unwrap();
                    }
                    black_box(builder.build().unwrap())
                });
            });
            group.bench_function(BenchmarkId::new("decode", records), |bencher| {
                bencher.iter(|| {
                    let view = BatchView::parse(black_box(built.as_bytes())).unwrap();
                    let bytes = view.decompress(64 << 20).unwrap();
                    let mut read = 0;
                    for record in Records::decompressed(&view, &bytes) {
                        read += record.unwrap().value.map_or(0, <[u8]>::len);
                    }
                    black_box(read)
                });
            });
        }
        group.finish();
    }
}

fn checksum(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crc32c");
    for bytes in [100, 4096, 1 << 20] {
        let input = vec![0x5A; bytes];
        group.throughput(Throughput::Bytes(bytes.try_into().unwrap()));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| crc32c(black_box(&input)));
        });
    }
    group.finish();
}

fn numbers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("varint");
    for (name, shift) in [("one byte", 26), ("five bytes", 0)] {
        let numbers: Vec<i32> =
            (1..=1000_i32).map(|n| n.wrapping_mul(0x6C8E_9CF5) >> shift).collect();
        let mut encoded = Vec::new();
        for number in &numbers {
            varint::encode_i32(*number, &mut encoded);
        }
        group.throughput(Throughput::Elements(1000));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| {
                encoded.clear();
                for number in black_box(&numbers) {
                    varint::encode_i32(*number, &mut encoded);
                }
                black_box(encoded.len())
            });
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| {
                let mut cursor = black_box(&encoded[..]);
                let mut sum = 0_i64;
                while !cursor.is_empty() {
                    sum += i64::from(varint::decode_i32(&mut cursor).unwrap());
                }
                black_box(sum)
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = codecs, checksum, numbers
}
criterion_main!(benches);
