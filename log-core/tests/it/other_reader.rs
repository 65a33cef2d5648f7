//! The `kafka-protocol` crate, written by others, reads what we write; and we what it writes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use log_core::format::{
    BatchBuilder, BatchOptions, BatchView, Codec, NewRecord, RecordHeader, Records, stamp,
    validate_client_batch,
};
use log_core::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use proptest::prelude::*;

const FIRST_OFFSET: i64 = 4711;

type Field = Option<Vec<u8>>;

/// Timestamp, key, value, headers with distinct keys: their reader keeps a map.
type Parts = (i64, Field, Field, Vec<(String, Field)>);

fn parts() -> impl Strategy<Value = Parts> {
    let field = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    let headers = prop::collection::btree_map("[a-z]{1,9}", field(), 0..4);
    (1_700_000_000_000..1_700_000_900_000_i64, field(), field(), headers).prop_map(
        |(timestamp, key, value, headers)| (timestamp, key, value, headers.into_iter().collect()),
    )
}

/// Our codecs and theirs.
const CODECS: [(Codec, Compression); 5] = [
    (Codec::None, Compression::None),
    (Codec::Gzip, Compression::Gzip),
    (Codec::Snappy, Compression::Snappy),
    (Codec::Lz4, Compression::Lz4),
    (Codec::Zstd, Compression::Zstd),
];

fn build(codec: Codec, records: &[Parts]) -> Vec<u8> {
    let compression = log_core::format::Compression::new(codec).unwrap();
    let options = BatchOptions::new()
        .compression(compression)
        .producer(
            ProducerId::new(77).unwrap(),
            ProducerEpoch::new(2).unwrap(),
            Sequence::new(1000).unwrap(),
        )
        .transactional();
    let mut builder = BatchBuilder::new(options);
    for (timestamp, key, value, headers) in records {
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| RecordHeader { key: key.as_bytes(), value: value.as_deref() })
            .collect();
        let record = NewRecord {
            timestamp: TimestampMs::new(*timestamp),
            key: key.as_deref(),
            value: value.as_deref(),
            headers: &headers,
        };
        builder.push(&record).unwrap();
    }
    let mut bytes = builder.build().unwrap().into_bytes();
    stamp(&mut bytes, Offset::new(FIRST_OFFSET).unwrap(), LeaderEpoch::new(9).unwrap()).unwrap();
    bytes
}

fn their_record(index: i32, (timestamp, key, value, headers): &Parts) -> Record {
    Record {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 9,
        producer_id: 77,
        producer_epoch: 2,
        timestamp_type: TimestampType::Creation,
        offset: FIRST_OFFSET + i64::from(index),
        sequence: 1000 + index,
        timestamp: *timestamp,
        key: key.clone().map(Bytes::from),
        value: value.clone().map(Bytes::from),
        headers: headers
            .iter()
            .map(|(key, value)| {
                (StrBytes::from_string(key.clone()), value.clone().map(Bytes::from))
            })
            .collect(),
    }
}

fn their_records(records: &[Parts]) -> Vec<Record> {
    (0..).zip(records).map(|(index, parts)| their_record(index, parts)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn others_read_what_we_write(records in prop::collection::vec(parts(), 1..70)) {
        for (ours, theirs) in CODECS {
            let mut bytes = Bytes::from(build(ours, &records));
            let set = RecordBatchDecoder::decode(&mut bytes).unwrap();
            prop_assert_eq!(bytes.len(), 0);
            prop_assert_eq!((set.version, set.compression), (2, theirs));
            prop_assert_eq!(set.records, their_records(&records));
        }
    }

    #[test]
    fn we_read_what_others_write(records in prop::collection::vec(parts(), 1..70)) {
        for (ours, theirs) in CODECS {
            let mut bytes = BytesMut::new();
            let options = RecordEncodeOptions { version: 2, compression: theirs };
            RecordBatchEncoder::encode(&mut bytes, &their_records(&records), &options).unwrap();
            check(ours, &bytes, &their_records(&records))?;
        }
    }
}

/// Whether `bytes` are a batch in `codec` that holds `expected`.
fn check(codec: Codec, bytes: &[u8], expected: &[Record]) -> Result<(), TestCaseError> {
    let batch = BatchView::parse(bytes).unwrap();
    batch.verify_crc().unwrap();
    prop_assert_eq!(batch.as_bytes().len(), bytes.len());
    prop_assert_eq!(batch.codec(), Ok(codec));
    prop_assert_eq!(batch.partition_leader_epoch().get(), 9);
    prop_assert_eq!((batch.producer_id().get(), batch.producer_epoch().get()), (77, 2));
    prop_assert!(batch.is_transactional());
    let summary = validate_client_batch(&batch, 1 << 20).unwrap();
    prop_assert_eq!(summary.max_timestamp, batch.max_timestamp());
    let plain = batch.decompress(1 << 20).unwrap();
    let records = Records::decompressed(&batch, &plain);
    for (record, expected) in records.zip(expected) {
        let record = record.unwrap();
        prop_assert_eq!(record.offset.get(), expected.offset);
        prop_assert_eq!(record.sequence.get(), expected.sequence);
        prop_assert_eq!(record.timestamp.get(), expected.timestamp);
        prop_assert_eq!(record.key, expected.key.as_deref());
        prop_assert_eq!(record.value, expected.value.as_deref());
        prop_assert_eq!(record.headers().len(), expected.headers.len());
        for (header, (key, value)) in record.headers().zip(&expected.headers) {
            prop_assert_eq!(header.key, key.as_bytes());
            prop_assert_eq!(header.value, value.as_deref());
        }
    }
    Ok(())
}
