//! Compressed batches through a log: every door, every codec, and what is refused at it.

use log_core::format::{
    BatchBuilder, BatchError, BatchOptions, BatchView, Codec, CodecError, Compression, NewRecord,
    RecordBatch,
};
use log_core::ids::TimestampMs;
use log_core::{
    AppendError, Durability, FetchLimits, IsolationLevel, Log, NotAppended, Offset, Store,
};

use crate::log::new_log;

fn batch(codec: Codec, values: &[Vec<u8>]) -> RecordBatch {
    let options = BatchOptions::new().compression(Compression::new(codec).unwrap());
    let mut builder = BatchBuilder::new(options);
    for value in values {
        let timestamp = TimestampMs::new(1_000);
        let record = NewRecord { timestamp, key: Some(b"k"), value: Some(value), headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

fn lines(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("line {number} of the same text").into_bytes()).collect()
}

fn values(log: &Log, from: i64) -> Vec<Vec<u8>> {
    let from = Offset::new(from).unwrap();
    let fetched = log.fetch(from, FetchLimits::default(), IsolationLevel::default()).unwrap();
    fetched.records().map(|record| record.unwrap().value.unwrap().to_vec()).collect()
}

#[test]
fn every_door_takes_every_codec_and_readers_see_plain_records() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = new_log(&store);
    let three = lines(3);
    for codec in Codec::ALL {
        log.append_wait(batch(codec, &three), Durability::Synced).unwrap();
        let raw = batch(codec, &three).into_bytes();
        log.append_raw(&raw, Durability::Synced).unwrap().wait().unwrap();
        let mut kept = raw.clone();
        let epoch = log.info().leader_epoch;
        log_core::format::stamp(&mut kept, log.log_end_offset(), epoch).unwrap();
        log.replicate_raw(&kept, Durability::Synced).unwrap().wait().unwrap();
    }
    let expected = vec![three; 15].concat();
    assert_eq!(values(&log, 0), expected);
    assert_eq!(values(&log, 20), expected[20..], "from inside a compressed batch");
    store.close().unwrap();
    drop((store, log));
    let store = Store::open(dir.path()).unwrap();
    let log = store.log(&crate::log::partition(0)).unwrap();
    assert_eq!(values(&log, 0), expected);
}

#[test]
fn a_codec_that_makes_it_worse_is_kept_unless_the_batch_would_be_too_large() {
    let noise: Vec<u8> =
        (0..200_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let compression = Compression::new(Codec::Gzip).unwrap();
    let build = |bytes_max: u32| {
        let options = BatchOptions::new().compression(compression).bytes_max(bytes_max);
        let mut builder = BatchBuilder::new(options);
        let timestamp = TimestampMs::new(0);
        let record = NewRecord { timestamp, key: None, value: Some(&noise), headers: &[] };
        builder.push(&record).unwrap();
        (builder.len_bytes(), builder.build().unwrap())
    };
    let (plain_bytes, kept) = build(10_000);
    assert!(kept.as_bytes().len() > plain_bytes);
    assert_eq!(kept.codec(), Codec::Gzip);
    assert_eq!(kept.records_bytes() + 61, plain_bytes);
    let (plain_bytes, plain) = build(u32::try_from(plain_bytes).unwrap());
    assert_eq!((plain.codec(), plain.as_bytes().len()), (Codec::None, plain_bytes));
    BatchView::parse(plain.as_bytes()).unwrap().verify_crc().unwrap();
}

#[test]
fn row_80_a_bomb_is_refused_at_every_door_and_named() {
    let bomb = vec![vec![0; 1 << 20]; 3];
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder().decompressed_bytes_max(1 << 20).open(dir.path()).unwrap();
    let log = new_log(&store);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bomb = batch(codec, &bomb);
        assert!(bomb.as_bytes().len() < 1 << 18, "{codec}");
        let doors = [
            log.append(bomb.clone(), Durability::Synced).unwrap_err(),
            log.append_raw(bomb.as_bytes(), Durability::Synced).unwrap_err(),
            log.replicate_raw(bomb.as_bytes(), Durability::Synced).unwrap_err(),
        ];
        for error in doors {
            let too_large = CodecError::TooLarge { codec, bytes_max: 1 << 20 };
            let AppendError::NotAppended(NotAppended::Batch(BatchError::Decompress {
                base_offset: Offset::ZERO,
                source,
            })) = error
            else {
                panic!("{error}")
            };
            assert_eq!(source, too_large);
        }
    }
    assert_eq!(log.log_end_offset(), Offset::ZERO, "nothing is appended");
}

#[test]
fn r4_a_reader_whose_bound_is_lower_than_the_writers_is_told_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = new_log(&store);
    let large = vec![vec![7; 1 << 20]; 2];
    for values in [lines(1), large, lines(1)] {
        log.append_wait(batch(Codec::Zstd, &values), Durability::Synced).unwrap();
    }
    store.close().unwrap();
    drop((store, log));
    let store = Store::builder().decompressed_bytes_max(1 << 20).open(dir.path()).unwrap();
    let log = store.log(&crate::log::partition(0)).unwrap();
    let fetched =
        log.fetch(Offset::ZERO, FetchLimits::default(), IsolationLevel::default()).unwrap();
    let records: Vec<_> = fetched.records().collect();
    assert_eq!(records.len(), 3);
    let text = records[1].as_ref().unwrap_err().to_string();
    assert!(text.contains("the batch at offset 1"), "{text}");
    assert!(text.contains("raise decompressed_bytes_max"), "{text}");
    assert_eq!(records[2].as_ref().unwrap().offset.get(), 3);
}
