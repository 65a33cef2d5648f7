//! The journal's bytes against Kafka's schema, written out by hand, and against themselves.

use proptest::prelude::*;

use super::*;

fn set(names: &[(&str, u32)]) -> BTreeSet<TopicPartition> {
    names.iter().map(|(topic, n)| TopicPartition::new(topic.parse().unwrap(), *n)).collect()
}

fn record() -> TransactionRecord {
    TransactionRecord {
        producer_id: ProducerId::new(0x0102).unwrap(),
        previous_producer_id: ProducerId::NONE,
        next_producer_id: ProducerId::NONE,
        producer_epoch: ProducerEpoch::new(5).unwrap(),
        timeout_ms: 60_000,
        state: TransactionState::Ongoing,
        partitions: Some(set(&[("ab", 0), ("ab", 3), ("c", 1)])),
        last_update: TimestampMs::new(0x0A),
        start: TimestampMs::new(0x0B),
        client_version: 0,
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

/// Written out from `TransactionLogKey.json`: version, length, text.
#[test]
fn a_key_has_kafkas_bytes() {
    let id = TransactionalId::new("tx").unwrap();
    assert_eq!(encode_key(&id), bytes("0000 0002 7478"));
    assert_eq!(decode_key(&encode_key(&id)), Ok(Some(id)));
    assert_eq!(decode_key(&bytes("0001 ff")), Ok(None), "another version is skipped");
    assert!(matches!(decode_key(&bytes("0000 0002 74")), Err(JournalError::Short { at: 4, .. })));
    assert!(matches!(decode_key(&bytes("0000 0000")), Err(JournalError::Text { .. })));
    assert!(matches!(decode_key(&bytes("0000 0001 74 00")), Err(JournalError::Surplus { .. })));
}

/// Written out from `TransactionLogValue.json`.
#[test]
fn a_value_has_kafkas_bytes_in_both_versions() {
    let flexible = bytes(
        "0001 0000000000000102 0005 0000ea60 01
         03 03 6162 03 00000000 00000003 00
            02 63 02 00000001 00
         000000000000000a 000000000000000b 00",
    );
    assert_eq!(record().encode(), flexible);
    assert_eq!(TransactionRecord::decode(&flexible), Ok(record()));
    let plain = bytes(
        "0000 0000000000000102 0005 0000ea60 01
         00000002 0002 6162 00000002 00000000 00000003
                  0001 63 00000001 00000001
         000000000000000a 000000000000000b",
    );
    assert_eq!(TransactionRecord::decode(&plain), Ok(record()));
}

#[test]
fn tagged_fields_are_written_when_they_say_something_and_skipped_when_unknown() {
    let rotated = TransactionRecord {
        previous_producer_id: ProducerId::new(1).unwrap(),
        next_producer_id: ProducerId::new(2).unwrap(),
        state: TransactionState::Empty,
        partitions: None,
        start: TimestampMs::NONE,
        client_version: 2,
        ..record()
    };
    let head = "0001 0000000000000102 0005 0000ea60 00 00 000000000000000a ffffffffffffffff";
    let known = "00 08 0000000000000001  01 08 0000000000000002  02 02 0002";
    assert_eq!(rotated.encode(), bytes(&format!("{head} 03 {known}")));
    let more = bytes(&format!("{head} 04 {known} 63 03 aabbcc"));
    assert_eq!(TransactionRecord::decode(&more), Ok(rotated));
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let good = record().encode();
    for end in 0..good.len() {
        assert!(TransactionRecord::decode(&good[..end]).is_err(), "{end} bytes");
    }
    let altered = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        TransactionRecord::decode(&bad)
    };
    assert_eq!(altered(1, 2), Err(JournalError::Version { version: 2 }));
    let fence = JournalError::Field { what: "the state", at: 17, found: 7 };
    assert_eq!(altered(16, 7), Err(fence), "a fence is never written");
    assert!(matches!(altered(2, 0x80), Err(JournalError::Field { what: "the producer id", .. })));
    assert!(matches!(altered(19, b'/'), Err(JournalError::Text { .. })), "no path is smuggled in");
    assert!(
        matches!(altered(17, 0xFF), Err(JournalError::Short { .. })),
        "a count beyond the bytes"
    );
}

fn any_record() -> impl Strategy<Value = TransactionRecord> {
    let id = || (-1..i64::MAX).prop_map(|id| ProducerId::new(id).unwrap());
    let epoch = (-1..i16::MAX).prop_map(|epoch| ProducerEpoch::new(epoch).unwrap());
    let partition = ("[a-z]{1,3}", 0..i32::MAX.unsigned_abs());
    let partitions = proptest::option::of(proptest::collection::vec(partition, 0..6));
    let state = (0..7_i8).prop_map(|id| TransactionState::from_id(id).unwrap());
    let times = (any::<i64>(), any::<i64>());
    (id(), id(), id(), epoch, any::<i32>(), state, partitions, times, any::<i16>()).prop_map(
        |(producer_id, previous, next, epoch, timeout_ms, state, partitions, times, version)| {
            let named = |names: Vec<(String, u32)>| {
                let place =
                    |(topic, n): (String, u32)| TopicPartition::new(topic.parse().unwrap(), n);
                names.into_iter().map(place).collect()
            };
            TransactionRecord {
                producer_id,
                previous_producer_id: previous,
                next_producer_id: next,
                producer_epoch: epoch,
                timeout_ms,
                state,
                partitions: partitions.map(named),
                last_update: TimestampMs::new(times.0),
                start: TimestampMs::new(times.1),
                client_version: version,
            }
        },
    )
}

proptest! {
    #[test]
    fn every_record_reads_back(record in any_record()) {
        prop_assert_eq!(TransactionRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn any_bytes_end_in_a_record_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _key = decode_key(&bytes);
        let mut value = vec![0, 1];
        value.extend(&bytes);
        for value in [&bytes, &value] {
            if let Ok(record) = TransactionRecord::decode(value) {
                prop_assert_eq!(TransactionRecord::decode(&record.encode()), Ok(record));
            }
        }
    }
}
