//! Claims about records: golden bytes, every way they can be wrong, what an append learns.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

use proptest::prelude::*;

use super::*;
use crate::format::golden;
use crate::format::varint::VarintError;

/// A batch of `count` offsets whose records are `records`, with timestamps from 1000 on.
fn batch(attributes: u8, last_delta: i32, count: i32, records: &[u8]) -> Vec<u8> {
    let mut bytes = golden::two_records();
    bytes.truncate(61);
    bytes.extend_from_slice(records);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    for (at, field) in [(8, length), (23, last_delta), (57, count)] {
        bytes.splice(at..at + 4, field.to_be_bytes());
    }
    bytes.splice(21..23, [0, attributes]);
    bytes
}

/// What iterating over `records` in a batch that declares `count` ends with.
fn fault(last_delta: i32, count: i32, records: &[u8]) -> RecordFault {
    let bytes = batch(0, last_delta, count, records);
    let outcome: Result<Vec<_>, _> = BatchView::parse(&bytes).unwrap().records().unwrap().collect();
    outcome.unwrap_err().fault
}

/// A record without key, value and headers.
const fn plain(offset_delta: u8) -> [u8; 7] {
    [12, 0, 0, offset_delta << 1, 1, 1, 0]
}

#[test]
fn golden_records_read_as_kafka_reads_them() {
    let bytes = golden::two_records();
    let batch = BatchView::parse(&bytes).unwrap();
    let records: Vec<_> = batch.records().unwrap().collect::<Result<_, _>>().unwrap();
    let [first, second] = &records[..] else { panic!("two records") };
    assert_eq!((first.offset.get(), first.timestamp.get()), (0, 1000));
    assert_eq!((first.key, first.value), (Some(&b"k"[..]), Some(&b"v1"[..])));
    assert_eq!(first.headers().len(), 0);
    assert_eq!(first.sequence, Sequence::NONE);
    assert_eq!((second.offset.get(), second.timestamp.get()), (1, 1001));
    assert_eq!((second.key, second.value), (None, Some(&b""[..])));
    let headers: Vec<_> = second.headers().collect();
    assert_eq!(
        headers,
        [RecordHeader { key: b"h", value: None }, RecordHeader { key: b"x", value: Some(b"y") }]
    );
}

#[test]
fn each_record_has_the_sequence_of_its_offset() {
    let bytes = golden::transactional();
    let record = BatchView::parse(&bytes).unwrap().records().unwrap().next().unwrap().unwrap();
    assert_eq!(record.sequence.get(), 5);
}

#[test]
fn fewer_records_than_declared_is_an_error() {
    let two = [plain(0), plain(1)].concat();
    assert_eq!(fault(2, 3, &two), RecordFault::Missing { declared: 3, found: 2 });
    assert_eq!(fault(0, i32::MAX, &[]), RecordFault::Missing { declared: 0x7FFF_FFFF, found: 0 });
}

#[test]
fn more_records_than_declared_is_an_error() {
    let four = [plain(0), plain(1), plain(2), plain(3)].concat();
    assert_eq!(fault(3, 3, &four), RecordFault::Surplus { declared: 3, bytes: 7 });
    assert_eq!(fault(0, 0, &[0]), RecordFault::Surplus { declared: 0, bytes: 1 });
}

#[test]
fn a_record_must_be_as_long_as_it_says() {
    let with_length = |length| {
        let mut record = [plain(0), plain(0)].concat();
        record[0] = length;
        record
    };
    assert_eq!(fault(0, 1, &with_length(14)), RecordFault::Unread { bytes: 1 });
    let cut = VarintError::Truncated { have: 0 };
    assert_eq!(fault(0, 1, &with_length(10)), RecordFault::Varint(cut));
    let need = RecordFault::Overrun { what: "the record", need: 63, have: 13 };
    assert_eq!(fault(0, 1, &with_length(126)), need);
    let negative = RecordFault::NegativeLength { what: "the record", found: -1 };
    assert_eq!(fault(0, 1, &with_length(1)), negative);
    let empty = RecordFault::Overrun { what: "the attributes", need: 1, have: 0 };
    assert_eq!(fault(0, 1, &with_length(0)), empty);
}

#[test]
fn impossible_lengths_inside_a_record_are_errors() {
    let negative = |what, found| RecordFault::NegativeLength { what, found };
    assert_eq!(fault(0, 1, &[12, 0, 0, 0, 3, 1, 0]), negative("the key", -2));
    assert_eq!(fault(0, 1, &[12, 0, 0, 0, 1, 3, 0]), negative("the value", -2));
    assert_eq!(fault(0, 1, &[16, 0, 0, 0, 1, 1, 2, 1, 1]), negative("a header's key", -1));
    assert_eq!(fault(0, 1, &[16, 0, 0, 0, 1, 1, 2, 0, 3]), negative("a header's value", -2));
    let overrun = |what, need, have| RecordFault::Overrun { what, need, have };
    assert_eq!(fault(0, 1, &[12, 0, 0, 0, 6, 1, 0]), overrun("the key", 3, 2));
    assert_eq!(fault(0, 1, &[12, 0, 0, 0, 1, 4, 0]), overrun("the value", 2, 1));
    assert_eq!(fault(0, 1, &[16, 0, 0, 0, 1, 1, 2, 4, 1]), overrun("a header's key", 2, 1));
}

#[test]
fn a_header_count_cannot_be_negative_or_past_the_bytes() {
    let count = |declared, have| RecordFault::HeadersCount { declared, have };
    assert_eq!(fault(0, 1, &[12, 0, 0, 0, 1, 1, 1]), count(-1, 0));
    assert_eq!(fault(0, 1, &[12, 0, 0, 0, 1, 1, 2]), count(1, 0));
    let many = [20, 0, 0, 0, 1, 1, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F];
    assert_eq!(fault(0, 1, &many), count(i32::MAX, 0));
}

#[test]
fn offsets_rise_and_end_with_the_batch() {
    let delta = |found, after, last| RecordFault::OffsetDelta { found, after, last };
    let same = [plain(0), plain(0)].concat();
    assert_eq!(fault(1, 2, &same), delta(0, 0, 1));
    let back = [plain(1), plain(0)].concat();
    assert_eq!(fault(1, 2, &back), delta(0, 1, 1));
    assert_eq!(fault(1, 1, &plain(2)), delta(2, -1, 1));
    assert_eq!(fault(1, 1, &[12, 0, 0, 1, 1, 1, 0]), delta(-1, -1, 1));
}

#[test]
fn a_compacted_batch_has_gaps_and_still_reads() {
    let records = [plain(2), plain(5)].concat();
    let bytes = batch(0, 9, 2, &records);
    let view = BatchView::parse(&bytes).unwrap();
    let offsets: Vec<_> =
        view.records().unwrap().map(|record| record.unwrap().offset.get()).collect();
    assert_eq!(offsets, [2, 5]);
    assert_eq!(view.last_offset().get(), 9);
    let error = validate_records(&view).unwrap_err();
    let range = RecordFault::Range { count: 2, offsets: 10 };
    assert_eq!(error, RecordError { record: 0, at: 0, fault: range }.into());
}

#[test]
fn a_timestamp_past_all_time_is_an_error() {
    let mut record = vec![30, 0];
    varint::encode_i64(i64::MAX, &mut record);
    record.extend_from_slice(&[0, 1, 1, 0]);
    assert_eq!(fault(0, 1, &record), RecordFault::Timestamp { base: 1000, delta: i64::MAX });
}

#[test]
fn an_iterator_repeats_its_error() {
    let bytes = batch(0, 1, 2, &plain(0));
    let mut records = BatchView::parse(&bytes).unwrap().records().unwrap();
    assert!(records.next().unwrap().is_ok());
    let error = records.next().unwrap().unwrap_err();
    assert_eq!((error.record, error.at), (1, 7));
    assert_eq!(records.next().unwrap().unwrap_err(), error);

    // Even if a sound record stands behind the damaged one.
    let records = [plain(0), [12, 0, 0, 2, 3, 1, 0], plain(2)].concat();
    let bytes = batch(0, 2, 3, &records);
    let mut records = BatchView::parse(&bytes).unwrap().records().unwrap().skip(1);
    let error = records.next().unwrap().unwrap_err();
    assert_eq!(error.fault, RecordFault::NegativeLength { what: "the key", found: -2 });
    assert_eq!(records.next().unwrap().unwrap_err(), error);
}

#[test]
fn the_logs_time_is_that_of_every_record() {
    let records = [plain(0), [12, 0, 10, 2, 1, 1, 0]].concat();
    let mut bytes = batch(0x08, 1, 2, &records);
    bytes.splice(35..43, 200_i64.to_be_bytes());
    let view = BatchView::parse(&bytes).unwrap();
    let times: Vec<_> = view.records().unwrap().map(|r| r.unwrap().timestamp.get()).collect();
    assert_eq!(times, [200, 200]);
}

#[test]
fn a_delete_horizon_leaves_timestamps_what_they_were() {
    // The record's time is 100: 900 before the horizon, which is the base timestamp.
    let mut record = vec![14, 0];
    varint::encode_i64(-900, &mut record);
    record.extend_from_slice(&[0, 1, 1, 0]);
    let bytes = batch(0x40, 0, 1, &record);
    let view = BatchView::parse(&bytes).unwrap();
    assert_eq!(view.delete_horizon(), Some(TimestampMs::new(1000)));
    assert_eq!(view.records().unwrap().next().unwrap().unwrap().timestamp.get(), 100);
}

#[test]
fn an_append_learns_the_true_largest_timestamp() {
    // Deltas 5, 9, 9, −1: the header says 1001, and the second record holds the truth.
    let records = [
        [12, 0, 10, 0, 1, 1, 0],
        [12, 0, 18, 2, 1, 1, 0],
        [12, 0, 18, 4, 1, 1, 0],
        [12, 0, 1, 6, 1, 1, 0],
    ]
    .concat();
    let bytes = batch(0, 3, 4, &records);
    let summary = validate_records(&BatchView::parse(&bytes).unwrap()).unwrap();
    assert_eq!(summary.count, 4);
    assert_eq!(summary.max_timestamp.get(), 1009);
    assert_eq!(summary.offset_of_max_timestamp.get(), 1);
}

#[test]
fn an_append_refuses_a_batch_without_records() {
    let bytes = golden::empty();
    let error = validate_records(&BatchView::parse(&bytes).unwrap()).unwrap_err();
    assert!(matches!(
        error,
        BatchError::Record(RecordError { fault: RecordFault::Range { count: 0, offsets: 3 }, .. })
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_records_or_an_error(
        records in prop::collection::vec(any::<u8>(), 0..300), count in 0..100_i32, last in 0..200_i32
    ) {
        let bytes = batch(0, last, count, &records);
        let view = BatchView::parse(&bytes).unwrap();
        let mut before = None;
        for record in view.records().unwrap() {
            let Ok(record) = record else { break };
            prop_assert!(Some(record.offset) > before);
            prop_assert!(record.offset <= view.last_offset());
            prop_assert_eq!(record.headers().count(), record.headers().len());
            before = Some(record.offset);
        }
    }
}
