//! Claims about built batches: Kafka's bytes, limits, and that they read back.

use proptest::prelude::*;

use super::*;
use crate::format::batch::{BatchView, stamp};
use crate::format::golden;
use crate::format::record::validate_records;

fn record<'a>(timestamp: i64, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> NewRecord<'a> {
    NewRecord { timestamp: TimestampMs::new(timestamp), key, value, headers: &[] }
}

fn producer() -> BatchOptions {
    BatchOptions::new().producer(
        ProducerId::new(7).unwrap(),
        ProducerEpoch::new(3).unwrap(),
        Sequence::new(5).unwrap(),
    )
}

#[test]
fn built_batches_have_kafkas_bytes() {
    let headers =
        [RecordHeader { key: b"h", value: None }, RecordHeader { key: b"x", value: Some(b"y") }];
    let mut builder = BatchBuilder::new(BatchOptions::new());
    builder.push(&record(1000, Some(b"k"), Some(b"v1"))).unwrap();
    builder.push(&NewRecord { headers: &headers, ..record(1001, None, Some(b"")) }).unwrap();
    assert_eq!((builder.len_bytes(), builder.records_count()), (85, 2));
    assert_eq!(builder.build().unwrap().into_bytes(), golden::two_records());

    let mut builder = BatchBuilder::new(producer().transactional());
    builder.push(&record(1000, Some(b"a"), Some(b"b"))).unwrap();
    assert_eq!(builder.build().unwrap().into_bytes(), golden::transactional());
}

#[test]
fn no_records_are_no_batch() {
    let builder = BatchBuilder::new(producer());
    assert!(builder.is_empty());
    assert_eq!(builder.build(), None);
}

#[test]
fn a_reused_buffer_leaves_no_trace() {
    let buffer = vec![0xAA; 4096];
    let mut builder = BatchBuilder::reusing(buffer, producer().transactional());
    builder.push(&record(1000, Some(b"a"), Some(b"b"))).unwrap();
    let built = builder.build().unwrap().into_bytes();
    assert_eq!(built, golden::transactional());
    assert!(built.capacity() >= 4096);
}

#[test]
fn a_full_batch_refuses_and_stays_as_it_was() {
    // A header, and three records of 12 bytes.
    let options = BatchOptions::new().bytes_max(61 + 3 * 12 + 11);
    let mut builder = BatchBuilder::new(options);
    for _ in 0..3 {
        builder.push(&record(0, None, Some(b"12345"))).unwrap();
    }
    let before = builder.clone();
    let error = builder.push(&record(0, None, Some(b"12345"))).unwrap_err();
    assert_eq!(error, BuildError::Full { need: 12, room: 11 });
    assert_eq!(error.kafka_code(), None);
    assert_eq!(builder.build(), before.build());
}

#[test]
fn a_record_for_which_no_batch_has_room_is_too_large() {
    let mut builder = BatchBuilder::new(BatchOptions::new().bytes_max(61 + 11));
    let error = builder.push(&record(0, None, Some(b"12345"))).unwrap_err();
    assert_eq!(error, BuildError::TooLarge { need: 12, bytes_max: 72 });
    assert_eq!(error.kafka_code(), Some(10));
    let mut builder = BatchBuilder::new(BatchOptions::new().bytes_max(61 + 12));
    builder.push(&record(0, None, Some(b"12345"))).unwrap();
    assert_eq!(builder.len_bytes(), 73);
}

#[test]
fn a_limit_past_the_format_is_the_formats() {
    let options = BatchOptions::new().bytes_max(u32::MAX);
    assert_eq!(options.bytes_max, BATCH_BYTES_MAX);
}

#[test]
fn a_timestamp_too_far_from_the_first_is_refused() {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    builder.push(&record(-2, None, None)).unwrap();
    let error = builder.push(&record(i64::MAX, None, None)).unwrap_err();
    assert!(matches!(error, BuildError::Timestamp { .. }));
    assert_eq!(builder.records_count(), 1);
}

#[test]
fn the_largest_timestamp_need_not_be_the_last() {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    for timestamp in [-5, -1, -9] {
        builder.push(&record(timestamp, None, None)).unwrap();
    }
    let bytes = builder.build().unwrap().into_bytes();
    let batch = BatchView::parse(&bytes).unwrap();
    assert_eq!((batch.base_timestamp().get(), batch.max_timestamp().get()), (-5, -1));
}

/// A record that owns its bytes.
#[derive(Clone, Debug)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..150);
    let headers = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..4);
    (0..1_i64 << 50, 0..50_u32, prop::option::of(bytes()), prop::option::of(bytes()), headers)
        .prop_map(|(timestamp, shift, key, value, headers)| Owned {
            timestamp: timestamp >> shift,
            key,
            value,
            headers,
        })
}

proptest! {
    #[test]
    fn what_is_built_reads_back(records in prop::collection::vec(owned(), 1..80), base in 0..1_i64 << 60) {
        let mut builder = BatchBuilder::new(producer());
        for record in &records {
            let headers: Vec<_> = record.headers.iter()
                .map(|(key, value)| RecordHeader { key, value: value.as_deref() })
                .collect();
            let before = builder.len_bytes();
            builder.push(&NewRecord {
                timestamp: TimestampMs::new(record.timestamp),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            }).unwrap();
            prop_assert!(builder.len_bytes() > before);
        }
        let len = builder.len_bytes();
        let mut bytes = builder.build().unwrap().into_bytes();
        prop_assert_eq!(bytes.len(), len);
        stamp(&mut bytes, Offset::new(base).unwrap(), LeaderEpoch::ZERO).unwrap();

        let batch = BatchView::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        let summary = validate_records(&batch).unwrap();
        prop_assert_eq!(usize::try_from(summary.count).unwrap(), records.len());
        prop_assert_eq!(summary.max_timestamp, batch.max_timestamp());
        for (index, (read, record)) in batch.records().unwrap().zip(&records).enumerate() {
            let read = read.unwrap();
            let index = i32::try_from(index).unwrap();
            prop_assert_eq!(read.offset.get(), base + i64::from(index));
            prop_assert_eq!(read.sequence.get(), 5 + index);
            prop_assert_eq!(read.timestamp.get(), record.timestamp);
            prop_assert_eq!(read.key, record.key.as_deref());
            prop_assert_eq!(read.value, record.value.as_deref());
            let headers: Vec<_> = read.headers()
                .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(&headers, &record.headers);
        }
    }
}
