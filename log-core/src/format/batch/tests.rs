//! Claims about batches: golden bytes, damage of every kind, stamping, splitting.

#![expect(clippy::indexing_slicing, reason = "a test that indexes wrongly fails, as it should")]

use proptest::prelude::*;

use super::*;
use crate::format::golden;
use crate::format::record::{RecordError, RecordFault, validate_records};

/// `bytes` with `field` written over those from `at` on.
fn patched(mut bytes: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    bytes.splice(at..at + field.len(), field.iter().copied());
    bytes
}

fn offset(value: i64) -> Offset {
    Offset::new(value).unwrap()
}

fn all_golden() -> Vec<Vec<u8>> {
    vec![
        golden::two_records(),
        golden::transactional(),
        golden::empty(),
        golden::commit_marker(),
        golden::abort_marker(),
    ]
}

#[test]
fn golden_headers_read_as_kafka_reads_them() {
    let bytes = golden::transactional();
    let batch = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(batch.base_offset(), Offset::ZERO);
    assert_eq!(batch.last_offset(), Offset::ZERO);
    assert_eq!(batch.next_offset(), Some(offset(1)));
    assert_eq!(batch.batch_bytes(), 70);
    assert_eq!(batch.partition_leader_epoch(), LeaderEpoch::NONE);
    assert_eq!(batch.codec(), Ok(Codec::None));
    assert_eq!(batch.timestamp_type(), TimestampType::CreateTime);
    assert!(batch.is_transactional());
    assert!(!batch.is_control());
    assert_eq!(batch.delete_horizon(), None);
    assert_eq!(batch.base_timestamp(), TimestampMs::new(1000));
    assert_eq!(batch.max_timestamp(), TimestampMs::new(1000));
    assert_eq!(batch.producer_id().get(), 7);
    assert_eq!(batch.producer_epoch().get(), 3);
    assert_eq!(batch.base_sequence().get(), 5);
    assert_eq!(batch.last_sequence().get(), 5);
    assert_eq!(batch.records_count(), 1);
    assert_eq!(batch.as_bytes(), bytes);
    assert_eq!(batch.records_bytes(), bytes.get(61..).unwrap());
}

#[test]
fn a_batch_without_a_producer_has_no_sequences() {
    let bytes = golden::two_records();
    let batch = BatchView::parse(&bytes).unwrap();
    assert!(!batch.producer_id().is_some());
    assert_eq!(batch.last_sequence(), Sequence::NONE);
}

#[test]
fn an_empty_batch_keeps_offsets_and_producer() {
    let bytes = golden::empty();
    let batch = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!((batch.base_offset(), batch.last_offset()), (offset(42), offset(44)));
    assert_eq!(batch.last_sequence().get(), 7);
    assert_eq!(batch.records().unwrap().count(), 0);
    assert_eq!(EmptyBatch::emptied(&batch).to_bytes().unwrap()[..], bytes);
}

#[test]
fn emptying_a_batch_leaves_what_a_producer_is_known_by() {
    let mut full = golden::transactional();
    stamp(&mut full, offset(9), LeaderEpoch::ZERO).unwrap();
    // A codec and a delete horizon: both go with the records.
    let full = patched(full, header::ATTRIBUTES_AT, &[0, 0x5B]);
    let full = BatchView::parse(&full).unwrap();
    let bytes = EmptyBatch::emptied(&full).to_bytes().unwrap();
    let kept = BatchView::parse(&bytes).unwrap();
    kept.verify_crc().unwrap();
    assert_eq!(kept.attributes().bits(), 0x18);
    assert_eq!(kept.base_timestamp(), TimestampMs::NONE);
    assert_eq!(kept.max_timestamp(), full.max_timestamp());
    assert_eq!((kept.base_offset(), kept.last_offset()), (full.base_offset(), full.last_offset()));
    assert_eq!(kept.last_sequence(), full.last_sequence());
    assert_eq!(kept.partition_leader_epoch(), full.partition_leader_epoch());
}

#[test]
fn a_gap_of_more_offsets_than_a_batch_has_is_refused() {
    let last = i64::from(i32::MAX);
    let gap =
        |base, last| EmptyBatch::gap(offset(base), offset(last), LeaderEpoch::ZERO).to_bytes();
    let bytes = gap(5, 5 + last).unwrap();
    let batch = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(batch.last_offset(), offset(5 + last));
    assert!(matches!(gap(5, 6 + last), Err(BatchError::Field { .. })));
    assert!(matches!(gap(5, 4), Err(BatchError::Field { found: -1, .. })));
}

#[test]
fn stamping_leaves_the_checksum_valid() {
    for mut bytes in all_golden() {
        let records = bytes.get(16..).unwrap().to_vec();
        let epoch = LeaderEpoch::new(4711).unwrap();
        stamp(&mut bytes, offset(1 << 40), epoch).unwrap();
        let batch = BatchView::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.base_offset(), offset(1 << 40));
        assert_eq!(batch.partition_leader_epoch(), epoch);
        assert_eq!(bytes.get(16..).unwrap(), records);
    }
}

#[test]
fn a_stamp_past_the_last_offset_changes_nothing() {
    let mut bytes = golden::two_records();
    let before = bytes.clone();
    assert!(stamp(&mut bytes, Offset::MAX, LeaderEpoch::ZERO).is_err());
    assert!(stamp(bytes.get_mut(..60).unwrap(), Offset::ZERO, LeaderEpoch::ZERO).is_err());
    assert_eq!(bytes, before);
    stamp(&mut bytes, offset(i64::MAX - 1), LeaderEpoch::ZERO).unwrap();
    assert_eq!(BatchView::parse(&bytes).unwrap().next_offset(), None);
}

#[test]
fn every_flipped_bit_is_found_or_outside_the_checksum() {
    for bytes in all_golden() {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let outcome = BatchView::parse(&damaged).and_then(|batch| {
                batch.verify_crc()?;
                Ok(batch.base_offset())
            });
            let stamped = matches!(bit / 8, 0..8 | 12..16);
            assert!(stamped || outcome.is_err(), "bit {bit} of {} bytes: {outcome:?}", bytes.len());
            // The walk over damaged records ends too, in whatever way.
            if let Ok(records) = BatchView::parse(&damaged).and_then(|batch| batch.records()) {
                assert!(records.take(100).count() <= 100);
            }
        }
    }
}

#[test]
fn a_flipped_bit_behind_the_header_is_a_checksum_error() {
    let bytes = golden::two_records();
    for bit in 61 * 8..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = BatchView::parse(&damaged).unwrap().verify_crc().unwrap_err();
        assert!(matches!(error, BatchError::Crc { .. }));
        assert_eq!(error.kafka_code(), 2);
    }
}

#[test]
fn a_length_too_small_for_any_batch_is_damage_and_one_too_large_a_partial_tail() {
    let length = |length: i32| patched(golden::two_records(), 8, &length.to_be_bytes());
    for (found, least) in [(13, 14), (-1, 14), (i32::MIN, 14)] {
        let error = BatchError::Length { found, least };
        assert_eq!(batch_bytes(&length(found)[..12]), Err(error));
    }
    for found in [13, 48, -1] {
        let error = BatchError::Length { found, least: 49 };
        assert_eq!(BatchView::parse(&length(found)).unwrap_err(), error);
        let split = Batches::new(&length(found)).next().unwrap().unwrap_err();
        assert_eq!(split, BatchesError::Damaged { position: 0, source: error });
    }
    for found in [0x4A, i32::MAX] {
        let need = u64::from(found.cast_unsigned()) + 12;
        let bytes = length(found);
        assert_eq!(BatchView::parse(&bytes).unwrap_err(), BatchError::Short { need, have: 85 });
        let split = Batches::new(&bytes).next().unwrap().unwrap_err();
        assert_eq!(split, BatchesError::Trailing { position: 0, bytes: 85 });
    }
}

#[test]
fn the_size_of_a_batch_is_known_from_its_first_bytes() {
    let bytes = golden::two_records();
    for prefix in 0..bytes.len() {
        let size = batch_bytes(&bytes[..prefix]).unwrap();
        assert_eq!(size, (prefix >= 12).then_some(85), "{prefix}");
        let need = if prefix < 17 { 61 } else { 85 };
        let have = u64::try_from(prefix).unwrap();
        assert_eq!(
            BatchView::parse(&bytes[..prefix]).unwrap_err(),
            BatchError::Short { need, have }
        );
    }
}

#[test]
fn old_message_formats_are_named_as_such() {
    for magic in [0_u8, 1] {
        let bytes = patched(golden::two_records(), 16, &[magic]);
        let error = BatchView::parse(&bytes).unwrap_err();
        assert_eq!(error.kafka_code(), 43);
        assert!(error.to_string().contains(&format!("v{magic} is not supported yet")), "{error}");
    }
    let bytes = patched(golden::two_records(), 16, &[3]);
    assert_eq!(BatchView::parse(&bytes).unwrap_err(), BatchError::Magic { found: 3 });
    assert_eq!(BatchError::Magic { found: 3 }.kafka_code(), 2);
}

#[test]
fn header_fields_out_of_range_are_named() {
    let cases: [(&str, usize, &[u8]); 8] = [
        ("baseOffset", 0, &[0x80]),
        ("partitionLeaderEpoch", 12, &[0x80]),
        ("lastOffsetDelta", 23, &[0xFF]),
        ("producerId", 43, &[0x80]),
        ("producerEpoch", 51, &[0x80]),
        ("baseSequence", 53, &[0x80]),
        ("recordsCount", 57, &[0xFF]),
        // The largest base offset, with a delta of 1.
        ("lastOffsetDelta", 0, &[0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    ];
    for (name, at, field_bytes) in cases {
        let bytes = patched(golden::two_records(), at, field_bytes);
        let error = BatchView::parse(&bytes).unwrap_err();
        assert!(matches!(error, BatchError::Field { field, .. } if field == name), "{error}");
        assert_eq!(error.kafka_code(), 87);
    }
}

#[test]
fn header_fields_are_held_to_their_exact_bounds() {
    let least = |at, least: i64, bytes: usize| {
        let field = |value: i64| value.to_be_bytes()[8 - bytes..].to_vec();
        let parse =
            |value| BatchView::parse(&patched(golden::two_records(), at, &field(value))).err();
        assert_eq!(parse(least), None, "byte {at}");
        let error = parse(least - 1).unwrap();
        assert!(matches!(error, BatchError::Field { found, .. } if found == least - 1), "{error}");
    };
    least(0, 0, 8);
    least(12, -1, 4);
    least(23, 0, 4);
    least(43, -1, 8);
    least(51, -1, 2);
    least(53, -1, 4);
    least(57, 0, 4);
}

#[test]
fn a_sequence_range_wraps() {
    let bytes = patched(golden::two_records(), 23, &3_i32.to_be_bytes());
    let bytes = patched(bytes, 53, &(i32::MAX - 1).to_be_bytes());
    assert_eq!(BatchView::parse(&bytes).unwrap().last_sequence().get(), 1);
}

#[test]
fn compressed_records_are_not_read_as_plain_ones() {
    let attributes = |bits| patched(golden::two_records(), 21, &[0, bits]);
    for (bits, codec) in [(1, Codec::Gzip), (2, Codec::Snappy), (3, Codec::Lz4), (4, Codec::Zstd)] {
        let bytes = attributes(bits);
        let batch = BatchView::parse(&bytes).unwrap();
        assert_eq!(batch.records().unwrap_err(), BatchError::Compressed { codec });
        assert_eq!(validate_records(&batch).unwrap_err(), BatchError::Compressed { codec });
    }
    for found in 5..8 {
        let bytes = attributes(found);
        let error = BatchView::parse(&bytes).unwrap().records().unwrap_err();
        assert_eq!(error, BatchError::Codec { found });
        assert_eq!(error.kafka_code(), 76);
    }
}

#[test]
fn a_run_of_batches_is_split_verbatim() {
    let parts = all_golden();
    let bytes = parts.concat();
    let batches: Vec<_> = Batches::new(&bytes).collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.len(), parts.len());
    let mut position = 0;
    for (placed, part) in batches.iter().zip(&parts) {
        assert_eq!(placed.position, position);
        assert_eq!(placed.batch.as_bytes(), part);
        position += part.len();
    }
}

#[test]
fn what_is_left_of_a_cut_batch_is_reported_at_its_place() {
    let whole = golden::two_records();
    for cut in 1..whole.len() {
        let bytes = [golden::empty(), whole[..cut].to_vec()].concat();
        let mut batches = Batches::new(&bytes);
        assert!(batches.next().unwrap().is_ok());
        let error = BatchesError::Trailing { position: 61, bytes: cut };
        assert_eq!(batches.next().unwrap().unwrap_err(), error);
        assert_eq!(batches.position(), 61);
    }
}

#[test]
fn a_split_repeats_its_error() {
    let bytes = [golden::empty(), vec![0; 100]].concat();
    let mut batches = Batches::new(&bytes);
    assert!(batches.next().unwrap().is_ok());
    let first = batches.next().unwrap().unwrap_err();
    assert!(matches!(first, BatchesError::Damaged { position: 61, .. }));
    assert_eq!(batches.next().unwrap().unwrap_err(), first);
}

#[test]
fn errors_are_sentences_with_places_and_numbers() {
    let error = BatchError::Crc { stored: 0x1, computed: 0xABCD_EF01 };
    assert!(error.to_string().contains("byte 17 is 00000001"), "{error}");
    let error: BatchError =
        RecordError { record: 3, at: 70, fault: RecordFault::Unread { bytes: 2 } }.into();
    assert!(error.to_string().starts_with("record 3 of the batch, at byte 70"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_split_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for placed in Batches::new(&bytes).take(10) {
            let Ok(placed) = placed else { break };
            let _ = placed.batch.verify_crc();
        }
    }

    #[test]
    fn a_plausible_header_before_any_bytes_never_panics(
        base in any::<[u8; 8]>(), fields in any::<[u8; 40]>(), records in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let length = i32::try_from(49 + records.len()).unwrap().to_be_bytes();
        let bytes = [&base[..], &length, &[0, 0, 0, 1, 2, 0, 0, 0, 0], &fields, &records].concat();
        if let Ok(batch) = BatchView::parse(&bytes) {
            prop_assert_eq!(batch.as_bytes().len(), bytes.len());
            prop_assert!(batch.last_offset() >= batch.base_offset());
            drop(format!("{batch:?}"));
            let _ = EmptyBatch::emptied(&batch).to_bytes();
            let seen = Records::decompressed(&batch, &records).take_while(Result::is_ok).count();
            prop_assert!(seen <= records.len());
        }
    }
}
