//! Subscription and assignment bytes: a foreign codec agrees, and any bytes get an answer.

use bytes::Bytes;
use groups::assignor::laws::Case;
use groups::ids::{Generation, RackId};
use groups::subscription::VERSION_MAX;
use groups::{Assignment, PartitionSet, Subscription};
use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition as Foreign;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicName as ForeignTopic,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use log_core::{TopicName, TopicPartition};
use proptest::prelude::*;

fn pairs(set: &PartitionSet) -> Vec<(String, Vec<i32>)> {
    let signed = |numbers: &[u32]| numbers.iter().map(|n| i32::try_from(*n).unwrap()).collect();
    set.topics().map(|(topic, numbers)| (topic.to_string(), signed(numbers))).collect()
}

/// Subscriptions as random groups have them, with user data of every kind.
fn subscriptions() -> Vec<Subscription> {
    let mut all = Vec::new();
    for seed in 0..300 {
        for (_, claim) in Case::random(seed).claims() {
            let data =
                (seed % 3 > 0).then(|| Bytes::from(vec![7; usize::try_from(seed % 5).unwrap()]));
            let subscription = Subscription::new(claim.topics.iter().cloned())
                .with_owned(claim.owned.clone(), claim.generation)
                .with_rack(claim.rack.clone())
                .with_user_data(data);
            all.push(subscription);
        }
    }
    all
}

#[test]
fn a_subscription_reads_back_as_its_version_can_hold_it() {
    for subscription in subscriptions() {
        for version in 0..=VERSION_MAX {
            let mut expected = Subscription::new(subscription.topics().to_vec())
                .with_user_data(subscription.user_data().cloned());
            let generation = subscription.generation().filter(|_| version >= 2);
            if version >= 1 {
                expected = expected.with_owned(subscription.owned().clone(), generation);
            }
            if version >= 3 {
                expected = expected.with_rack(subscription.rack().cloned());
            }
            let bytes = subscription.encode(version).unwrap();
            assert_eq!(Subscription::decode(&bytes).unwrap(), expected);
            assert_eq!(Subscription::decode_topics(&bytes).unwrap(), subscription.topics());
        }
    }
}

#[test]
fn a_foreign_codec_reads_and_writes_the_same_subscriptions() {
    for subscription in subscriptions() {
        for version in 0..=VERSION_MAX {
            let bytes = subscription.encode(version).unwrap();
            let mut body = bytes.slice(2..);
            let foreign = ConsumerProtocolSubscription::decode(&mut body, version).unwrap();
            assert!(body.is_empty(), "the foreign codec read all of it");
            let topics: Vec<String> = foreign.topics.iter().map(ToString::to_string).collect();
            assert!(topics.iter().eq(subscription.topics().iter().map(TopicName::as_str)));
            assert_eq!(foreign.user_data.as_ref(), subscription.user_data());
            if version >= 1 {
                let owned = foreign.owned_partitions.iter();
                let owned = owned.map(|t| (t.topic.to_string(), t.partitions.clone()));
                assert_eq!(owned.collect::<Vec<_>>(), pairs(subscription.owned()));
            }
            if version >= 2 {
                assert_eq!(foreign.generation_id, Generation::to_wire(subscription.generation()));
            }
            if version >= 3 {
                let rack = foreign.rack_id.as_ref().map(ToString::to_string);
                assert_eq!(rack.as_deref(), subscription.rack().map(RackId::as_str));
            }
            let mut back = version.to_be_bytes().to_vec();
            foreign.encode(&mut back, version).unwrap();
            assert_eq!(back, bytes, "and writes the same bytes");
        }
    }
}

#[test]
fn a_foreign_codec_reads_and_writes_the_same_assignments() {
    for subscription in subscriptions() {
        let data = subscription.user_data().cloned();
        let assignment = Assignment::new(subscription.owned().clone()).with_user_data(data);
        for version in 0..=VERSION_MAX {
            let bytes = assignment.encode(version).unwrap();
            assert_eq!(Assignment::decode(&bytes).unwrap(), assignment);
            let mut body = bytes.slice(2..);
            let foreign = ConsumerProtocolAssignment::decode(&mut body, version).unwrap();
            assert!(body.is_empty(), "the foreign codec read all of it");
            let owned = foreign.assigned_partitions.iter();
            let owned = owned.map(|t| (t.topic.to_string(), t.partitions.clone()));
            assert_eq!(owned.collect::<Vec<_>>(), pairs(assignment.partitions()));
            let mut back = version.to_be_bytes().to_vec();
            foreign.encode(&mut back, version).unwrap();
            assert_eq!(back, bytes, "and writes the same bytes");
        }
    }
}

#[test]
fn topics_in_any_order_and_twice_are_read_as_one_set() {
    let name = |topic: &str| ForeignTopic(topic.to_owned().into());
    let part = |topic: &str, numbers: &[i32]| {
        Foreign::default().with_topic(name(topic)).with_partitions(numbers.to_vec())
    };
    let foreign = ConsumerProtocolSubscription::default()
        .with_topics(vec!["b".to_owned().into(), "a".to_owned().into(), "b".to_owned().into()])
        .with_owned_partitions(vec![part("b", &[3, 1]), part("a", &[0]), part("b", &[1])]);
    let mut bytes = 1_i16.to_be_bytes().to_vec();
    foreign.encode(&mut bytes, 1).unwrap();
    let read = Subscription::decode(&bytes).unwrap();
    let names: Vec<&str> = read.topics().iter().map(TopicName::as_str).collect();
    assert_eq!(names, ["a", "b"]);
    let of = |topic: &str, number| TopicPartition::new(TopicName::new(topic).unwrap(), number);
    assert_eq!(*read.owned(), [of("a", 0), of("b", 1), of("b", 3)].into_iter().collect());
}

#[test]
fn a_version_of_the_future_is_read_by_the_newest_known_layout() {
    let t = TopicName::new("t").unwrap();
    let known = Subscription::new([t]).with_rack(RackId::new("r").ok());
    let mut bytes = known.encode(VERSION_MAX).unwrap().to_vec();
    bytes[..2].copy_from_slice(&9_i16.to_be_bytes());
    bytes.extend(b"fields nobody here knows");
    assert_eq!(Subscription::decode(&bytes).unwrap(), known);
    bytes[..2].copy_from_slice(&(-1_i16).to_be_bytes());
    assert_eq!(Subscription::decode(&bytes).unwrap_err().field(), "version");
}

/// Row 88: counts that nothing backs, text that is no UTF-8, names that are no topics.
#[test]
fn row_88_huge_counts_and_bad_names_are_refused_at_their_place() {
    let mut huge = 3_i16.to_be_bytes().to_vec();
    huge.extend(i32::MAX.to_be_bytes());
    let error = Subscription::decode(&huge).unwrap_err();
    assert_eq!((error.field(), error.position()), ("topics", 2));
    for name in [&b"\xff\xfe"[..], b"../x", b""] {
        let mut bytes = 0_i16.to_be_bytes().to_vec();
        bytes.extend(1_i32.to_be_bytes());
        bytes.extend(i16::try_from(name.len()).unwrap().to_be_bytes());
        bytes.extend(name);
        bytes.extend([0; 8]);
        assert_eq!(Subscription::decode(&bytes).unwrap_err().field(), "topics");
    }
}

#[test]
fn every_cut_of_a_blob_is_refused() {
    for subscription in subscriptions().iter().take(60) {
        let bytes = subscription.encode(VERSION_MAX).unwrap();
        for end in 0..bytes.len() {
            assert!(Subscription::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}

proptest! {
    #[test]
    fn row_88_any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let read = Subscription::decode(&bytes);
        if let Ok(read) = read {
            // What was read can be written, and is then read as the same.
            let again = read.encode(VERSION_MAX).unwrap();
            prop_assert_eq!(Subscription::decode(&again).unwrap(), read);
        }
        let _answer = Assignment::decode(&bytes);
    }

    #[test]
    fn row_88_a_blob_with_a_byte_changed_gets_an_answer(pick in 0_usize..200, at in 0_usize..400, to: u8) {
        let subscription = &subscriptions()[pick];
        let mut bytes = subscription.encode(VERSION_MAX).unwrap().to_vec();
        let place = at % bytes.len();
        bytes[place] = to;
        if let Ok(read) = Subscription::decode(&bytes) {
            prop_assert!(read.owned().len() <= bytes.len() / 4, "no more than the bytes can hold");
        }
    }
}
