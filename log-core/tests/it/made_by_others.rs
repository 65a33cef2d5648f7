//! Files that librdkafka and kafka-clients wrote read as other readers read them.

use std::path::PathBuf;

use log_core::format::{
    BatchView, Batches, Codec, EndTxnMarker, Records, TransactionResult, stamp,
    validate_client_batch, validate_replica_batch,
};
use log_core::{Durability, FetchLimits, IsolationLevel, Offset, Store};
use serde_json::Value;

use crate::log::new_log;

const FILES: [&str; 6] = [
    "librdkafka-none",
    "librdkafka-gzip",
    "librdkafka-snappy",
    "librdkafka-lz4",
    "librdkafka-zstd",
    "java-five-codecs-and-commit",
];

/// The bytes of one of the files, and what others read in it.
fn file(name: &str) -> (Vec<u8>, Vec<Value>) {
    let path = |ending: &str| {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/made-by-others");
        folder.join(format!("{name}.{ending}"))
    };
    let json = std::fs::read(path("json")).unwrap();
    let Value::Array(batches) = serde_json::from_slice(&json).unwrap() else { unreachable!() };
    (std::fs::read(path("log")).unwrap(), batches)
}

fn number(value: &Value, key: &str) -> i64 {
    value[key].as_i64().unwrap()
}

/// The JSON holds each byte of a key or value as the character with its number.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    value.as_str().map(|text| text.chars().map(|c| u8::try_from(c).unwrap()).collect())
}

fn check_header(batch: &BatchView<'_>, expected: &Value) {
    batch.verify_crc().unwrap();
    assert_eq!(batch.base_offset().get(), number(expected, "base_offset"));
    assert_eq!(batch.last_offset().get(), number(expected, "last_offset"));
    assert_eq!(i64::from(batch.records_count()), number(expected, "count"));
    assert_eq!(i64::from(batch.attributes().bits()), number(expected, "attributes"));
    assert_eq!(batch.producer_id().get(), number(expected, "producer_id"));
    assert_eq!(i64::from(batch.producer_epoch().get()), number(expected, "producer_epoch"));
    assert_eq!(i64::from(batch.base_sequence().get()), number(expected, "base_sequence"));
    assert_eq!(batch.base_timestamp().get(), number(expected, "base_timestamp"));
    assert_eq!(batch.max_timestamp().get(), number(expected, "max_timestamp"));
}

fn check_records(records: Records<'_>, expected: &Value) {
    let expected = expected["records"].as_array().unwrap();
    let records: Vec<_> = records.collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), expected.len());
    for (record, expected) in records.iter().zip(expected) {
        assert_eq!(record.offset.get(), number(expected, "offset"));
        assert_eq!(record.timestamp.get(), number(expected, "timestamp"));
        assert_eq!(record.key.map(<[u8]>::to_vec), bytes_of(&expected["key"]));
        assert_eq!(record.value.map(<[u8]>::to_vec), bytes_of(&expected["value"]));
        let headers = record.headers();
        let expected = expected["headers"].as_array().unwrap();
        assert_eq!(headers.len(), expected.len());
        for (header, expected) in headers.zip(expected) {
            assert_eq!(Some(header.key.to_vec()), bytes_of(&expected[0]));
            assert_eq!(header.value.map(<[u8]>::to_vec), bytes_of(&expected[1]));
        }
    }
}

#[test]
fn every_header_reads_as_others_read_it() {
    for name in FILES {
        let (bytes, expected) = file(name);
        let batches: Vec<_> = Batches::new(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(batches.len(), expected.len(), "{name}");
        for (placed, expected) in batches.iter().zip(&expected) {
            assert_eq!(i64::try_from(placed.position).unwrap(), number(expected, "position"));
            check_header(&placed.batch, expected);
        }
    }
}

#[test]
fn every_record_reads_as_others_read_it() {
    let mut checked = Vec::new();
    for name in FILES {
        let (bytes, expected) = file(name);
        for (placed, expected) in Batches::new(&bytes).zip(&expected) {
            let batch = placed.unwrap().batch;
            let records = batch.decompress(1 << 20).unwrap();
            check_records(Records::decompressed(&batch, &records), expected);
            validate_replica_batch(&batch, 1 << 20).unwrap();
            let summary = validate_client_batch(&batch, 1 << 20).unwrap();
            assert_eq!(summary.max_timestamp, batch.max_timestamp());
            checked.push((name, batch.codec().unwrap()));
        }
    }
    let java = "java-five-codecs-and-commit";
    let expected = [
        ("librdkafka-none", Codec::None),
        ("librdkafka-gzip", Codec::Gzip),
        ("librdkafka-snappy", Codec::Snappy),
        ("librdkafka-lz4", Codec::Lz4),
        ("librdkafka-zstd", Codec::Zstd),
        (java, Codec::None),
        (java, Codec::Gzip),
        (java, Codec::Snappy),
        (java, Codec::Lz4),
        (java, Codec::Zstd),
        (java, Codec::None),
    ];
    assert_eq!(checked, expected);
}

/// The whole way: replicated into a log, fetched, and read as records that own their bytes.
#[test]
fn a_log_serves_what_others_wrote() {
    for name in FILES {
        let (bytes, expected) = file(name);
        let log = new_log(&Store::in_memory());
        let first = Batches::new(&bytes).next().unwrap().unwrap().batch.base_offset();
        assert_eq!(first, Offset::ZERO, "{name}");
        log.replicate_raw(&bytes, Durability::Synced).unwrap().wait().unwrap();
        let fetched =
            log.fetch(Offset::ZERO, FetchLimits::default(), IsolationLevel::default()).unwrap();
        assert_eq!(fetched.bytes, bytes, "{name}: kept verbatim");
        let shown = expected.iter().filter(|batch| number(batch, "attributes") & 0x20 == 0);
        let shown = shown.flat_map(|batch| batch["records"].as_array().unwrap());
        let records: Vec<_> = fetched.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len(), shown.clone().count(), "{name}");
        for (record, expected) in records.iter().zip(shown) {
            assert_eq!(record.offset.get(), number(expected, "offset"));
            assert_eq!(record.timestamp.get(), number(expected, "timestamp"));
            assert_eq!(record.key.as_ref().map(|key| key.to_vec()), bytes_of(&expected["key"]));
            let value = record.value.as_ref().map(|value| value.to_vec());
            assert_eq!(value, bytes_of(&expected["value"]));
            assert_eq!(record.headers().len(), expected["headers"].as_array().unwrap().len());
        }
    }
}

#[test]
fn the_java_clients_marker_is_a_commit() {
    let (bytes, _) = file("java-five-codecs-and-commit");
    let last = Batches::new(&bytes).last().unwrap().unwrap().batch;
    assert!(last.is_control());
    let record = last.records().unwrap().next().unwrap().unwrap();
    let marker = EndTxnMarker::from_record(record.key, record.value).unwrap().unwrap();
    assert_eq!(marker.result, TransactionResult::Commit);
    let (id, epoch) = (last.producer_id(), last.producer_epoch());
    let mut rebuilt = marker.to_batch(id, epoch, record.timestamp).unwrap();
    stamp(&mut rebuilt, last.base_offset(), last.partition_leader_epoch()).unwrap();
    assert_eq!(rebuilt, last.as_bytes());
}
