//! Claims about what a log takes: each lie of a header against its records, in every codec.
//!
//! `row_…` names a row of the fault catalogue.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

use proptest::prelude::*;

use super::*;
use crate::format::batch::Header;
use crate::format::control::ControlError;
use crate::format::record::{RecordError, RecordFault};
use crate::format::{Attributes, Codec, CodecError, Compression, codec, golden};
use crate::ids::{LeaderEpoch, Offset, ProducerId, TimestampMs};

const BOUND: u32 = 1 << 20;

/// A record without key, value and headers.
const fn plain(offset_delta: u8) -> [u8; 7] {
    [12, 0, 0, offset_delta << 1, 1, 1, 0]
}

/// A header that says nothing wrong.
const fn header(attributes: Attributes, count: i32) -> Header {
    Header {
        base_offset: Offset::ZERO,
        leader_epoch: LeaderEpoch::NONE,
        attributes,
        last_offset_delta: count - 1,
        base_timestamp: TimestampMs::new(1000),
        max_timestamp: TimestampMs::new(1000),
        producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::NONE,
        base_sequence: Sequence::NONE,
        records_count: count,
    }
}

/// The batch of `header` whose records are `records`, in the codec of its attributes.
fn batch(header: Header, records: &[u8]) -> Vec<u8> {
    let codec = header.attributes.codec().unwrap();
    let mut bytes = vec![0; 61];
    codec::compress(Compression::new(codec).unwrap(), records, &mut bytes).unwrap();
    header.seal(&mut bytes).unwrap();
    bytes
}

fn built_in() -> impl Iterator<Item = Codec> {
    Codec::ALL.into_iter().filter(|codec| codec.is_built_in())
}

/// What a client and what a replica is told of a batch.
fn verdicts(bytes: &[u8]) -> [Result<(), BatchError>; 2] {
    let batch = BatchView::parse(bytes).unwrap();
    batch.verify_crc().unwrap();
    [validate_client_batch(&batch, BOUND).map(drop), validate_replica_batch(&batch, BOUND)]
}

fn fault(verdict: &Result<(), BatchError>) -> RecordFault {
    match verdict {
        Err(BatchError::Record(RecordError { fault, .. })) => *fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn row_76_a_count_is_not_believed() {
    for codec in built_in() {
        let attributes = Attributes::NONE.with_codec(codec);
        let bytes = batch(header(attributes, i32::MAX), &plain(0));
        let missing = RecordFault::Missing { declared: i32::MAX.unsigned_abs(), found: 1 };
        for verdict in verdicts(&bytes) {
            assert_eq!(fault(&verdict), missing, "{codec}");
        }
    }
    let mut bytes = golden::two_records();
    bytes[57..61].copy_from_slice(&(-1_i32).to_be_bytes());
    let error = BatchView::parse(&bytes).unwrap_err();
    assert!(matches!(error, BatchError::Field { field: "recordsCount", found: -1, .. }), "{error}");
}

#[test]
fn row_77_offsets_a_producer_did_not_fill_are_refused() {
    for (last_offset_delta, count) in [(0, 2), (2, 2), (i32::MAX, 2)] {
        let header =
            Header { last_offset_delta, records_count: count, ..header(Attributes::NONE, count) };
        let bytes = batch(header, &[plain(0), plain(1)].concat());
        let [client, replica] = verdicts(&bytes);
        let range = RecordFault::Range { count: 2, offsets: i64::from(last_offset_delta) + 1 };
        assert_eq!(fault(&client), range);
        // A replica's batch may have been thinned out, but never holds more than its offsets.
        assert_eq!(replica.is_ok(), last_offset_delta >= 1, "{replica:?}");
    }
    let mut bytes = golden::two_records();
    bytes[23..27].copy_from_slice(&i32::MIN.to_be_bytes());
    assert!(BatchView::parse(&bytes).is_err());
}

#[test]
fn row_79_lengths_that_lie_are_refused_in_every_codec() {
    let lies: [&[u8]; 6] = [
        &[12, 0, 0, 0, 3, 1, 0],
        &[12, 0, 0, 0, 1, 3, 0],
        &[12, 0, 0, 0, 6, 1, 0],
        &[12, 0, 0, 0, 1, 1, 1],
        &[20, 0, 0, 0, 1, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F],
        &[16, 0, 0, 0, 1, 1, 2, 1, 1],
    ];
    for codec in built_in() {
        for lie in lies {
            let bytes = batch(header(Attributes::NONE.with_codec(codec), 1), lie);
            for verdict in verdicts(&bytes) {
                fault(&verdict);
            }
        }
    }
}

#[test]
fn row_82_a_count_that_disagrees_with_the_compressed_records_is_refused() {
    for codec in built_in() {
        let attributes = Attributes::NONE.with_codec(codec);
        let three = [plain(0), plain(1), plain(2)].concat();
        for verdict in verdicts(&batch(header(attributes, 3), &three)) {
            assert_eq!(verdict, Ok(()), "{codec}");
        }
        let missing = RecordFault::Missing { declared: 4, found: 3 };
        let surplus = RecordFault::Surplus { declared: 2, bytes: 7 };
        for (count, expected) in [(4, missing), (2, surplus)] {
            for verdict in verdicts(&batch(header(attributes, count), &three)) {
                assert_eq!(fault(&verdict), expected, "{codec}");
            }
        }
        let gap = [plain(0), plain(2)].concat();
        let delta = RecordFault::OffsetDelta { found: 2, after: 0, last: 1 };
        for verdict in verdicts(&batch(header(attributes, 2), &gap)) {
            assert_eq!(fault(&verdict), delta, "{codec}");
        }
    }
}

#[test]
fn row_80_a_bomb_in_a_batch_names_the_batch_and_the_codec() {
    let bomb = vec![0; 8 << 20];
    for codec in built_in().filter(|codec| *codec != Codec::None) {
        let base_offset = Offset::new(4711).unwrap();
        let header = Header { base_offset, ..header(Attributes::NONE.with_codec(codec), 1) };
        let source = CodecError::TooLarge { codec, bytes_max: BOUND };
        for verdict in verdicts(&batch(header, &bomb)) {
            assert_eq!(verdict, Err(BatchError::Decompress { base_offset, source }));
            let text = verdict.unwrap_err().to_string();
            assert!(text.contains("batch at offset 4711"), "{text}");
            assert!(text.contains(&format!("{codec} stream unpacks to more than")), "{text}");
        }
    }
}

/// A control batch of producer 7 with this key and value.
fn control(key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u8::try_from(bytes.len() << 1).unwrap();
    let body = [&[0, 0, 0, length(key)], key, &[length(value)], value, &[0]].concat();
    let record = [vec![length(&body)], body].concat();
    let header = Header {
        producer_id: ProducerId::new(7).unwrap(),
        producer_epoch: ProducerEpoch::new(0).unwrap(),
        ..header(Attributes::NONE.transactional().control(), 1)
    };
    batch(header, &record)
}

#[test]
fn row_83_control_records_are_skipped_or_refused_by_the_rule() {
    let [_, replica] = verdicts(&control(&[0, 0, 0, 1], &[0, 0, 0, 0, 0, 9]));
    assert_eq!(replica, Ok(()));
    // Types and versions of a later Kafka are for later readers.
    for (key, value) in [
        (&[0, 0, 0, 99][..], &[][..]),
        (&[0, 0, 0xFF, 0xFF], &[]),
        (&[0, 7, 0, 1], &[0, 3, 0, 0, 0, 9, 1, 2, 3]),
        (&[0, 0, 0, 6, 1], &[1, 2]),
    ] {
        let [_, replica] = verdicts(&control(key, value));
        assert_eq!(replica, Ok(()), "{key:?} {value:?}");
    }
    let short = |what, need, have| ControlError::Short { what, need, have };
    let version = |what| ControlError::Version { what, found: -1 };
    for (key, value, source) in [
        (&[][..], &[][..], short("key", 4, 0)),
        (&[0], &[], short("key", 4, 1)),
        (&[0, 0, 0], &[], short("key", 4, 3)),
        (&[0xFF, 0xFF, 0, 1], &[], version("key")),
        (&[0, 0, 0, 0], &[], short("value", 6, 0)),
        (&[0, 0, 0, 1], &[0, 0, 0, 0, 0], short("value", 6, 5)),
        (&[0, 0, 0, 1], &[0xFF, 0xFF, 0, 0, 0, 0], version("value")),
    ] {
        let [_, replica] = verdicts(&control(key, value));
        assert_eq!(replica, Err(BatchError::Control { offset: Offset::ZERO, source }));
        assert_eq!(replica.unwrap_err().kafka_code(), 87);
    }
}

#[test]
fn row_84_timestamps_at_the_ends_of_time_are_kept() {
    for codec in built_in() {
        for time in [i64::MIN, -1, 0, i64::MAX] {
            let base_timestamp = TimestampMs::new(time);
            // The header says that the latest record is older than the first.
            let max_timestamp = TimestampMs::new(time.saturating_sub(1));
            let attributes = Attributes::NONE.with_codec(codec);
            let header = Header { base_timestamp, max_timestamp, ..header(attributes, 1) };
            let bytes = batch(header, &plain(0));
            let view = BatchView::parse(&bytes).unwrap();
            let summary = validate_client_batch(&view, BOUND).unwrap();
            assert_eq!(summary.max_timestamp, base_timestamp, "{codec}: the records' own");
            assert_eq!(validate_replica_batch(&view, BOUND), Ok(()));
        }
    }
}

#[test]
fn row_85_producers_without_their_numbers_are_refused() {
    let (id, epoch) = (ProducerId::new(7).unwrap(), ProducerEpoch::new(0).unwrap());
    let sequence = Sequence::new(0).unwrap();
    let transactional = Attributes::NONE.transactional();
    let anonymous = header(transactional, 1);
    let plainly = header(Attributes::NONE, 1);
    let cases = [
        ("producerId", anonymous),
        ("producerEpoch", Header { producer_id: id, base_sequence: sequence, ..plainly }),
        ("baseSequence", Header { producer_id: id, producer_epoch: epoch, ..plainly }),
    ];
    for (name, header) in cases {
        for verdict in verdicts(&batch(header, &plain(0))) {
            let named = matches!(verdict, Err(BatchError::Field { field, .. }) if field == name);
            assert!(named, "{name}: {verdict:?}");
        }
    }
    let whole = Header {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..header(transactional, 1)
    };
    for verdict in verdicts(&batch(whole, &plain(0))) {
        assert_eq!(verdict, Ok(()));
    }
    for (at, least) in [(43, -2_i64), (51, -2), (53, -2)] {
        let width = [(43, 8), (51, 2), (53, 4)].iter().find(|(field, _)| *field == at).unwrap().1;
        let mut bytes = golden::transactional();
        bytes[at..at + width].copy_from_slice(&least.to_be_bytes()[8 - width..]);
        assert!(BatchView::parse(&bytes).is_err(), "byte {at}");
    }
}

#[test]
fn golden_batches_are_taken_as_kafka_takes_them() {
    let verdict = |bytes: &[u8]| verdicts(bytes).map(|verdict| verdict.is_ok());
    assert_eq!(verdict(&golden::two_records()), [true, true]);
    assert_eq!(verdict(&golden::transactional()), [true, true]);
    assert_eq!(verdict(&golden::empty()), [false, true], "only compaction leaves no record");
    assert_eq!(verdict(&golden::commit_marker()), [true, true]);
    assert_eq!(verdict(&golden::abort_marker()), [true, true]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_in_any_codec_end_in_a_verdict(
        records in prop::collection::vec(any::<u8>(), 0..200), count in 0..50_i32, control: bool
    ) {
        for codec in built_in() {
            let mut attributes = Attributes::NONE.with_codec(codec);
            if control {
                attributes = attributes.control();
            }
            let header = Header { last_offset_delta: count.max(1) - 1, ..header(attributes, count) };
            let [client, _] = verdicts(&batch(header, &records));
            prop_assert!(client.is_err() || records.len() >= usize::try_from(count).unwrap() * 7);
        }
    }
}
