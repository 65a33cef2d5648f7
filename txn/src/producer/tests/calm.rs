//! One thing at a time: batching, order, sequences, epochs, memory, closing.

use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc;

use log_core::format::BatchView;
use log_core::ids::{Sequence, TimestampMs};
use log_core::{Durability, FetchLimits, IsolationLevel, Offset, Store, callback};

use super::super::{NotSent, Producer, ProducerRecord, SendError, Unsettled};
use super::model::Model;
use super::{clock, partition, store, topic};
use crate::{RecordMetadata, RoundRobinPartitioner};

fn send(producer: &Producer, to: u32, value: &[u8]) -> crate::SendTicket {
    let topic = topic();
    producer.send(ProducerRecord::new(&topic).partition(to).value(value)).unwrap()
}

fn offset(ticket: crate::SendTicket) -> i64 {
    ticket.wait().unwrap().offset.get()
}

#[test]
fn records_come_back_with_their_partition_offset_and_time() {
    let clock = clock();
    let store = store(&clock, 3);
    let producer = Producer::builder(&store).build().unwrap();
    let topic = topic();
    let headers = [log_core::format::RecordHeader { key: b"h", value: None }];
    let record = ProducerRecord::new(&topic).key(b"k").value(b"v").headers(&headers).partition(2);
    let ticket = producer.send(record.timestamp(TimestampMs::new(77))).unwrap();
    let expected = RecordMetadata {
        topic_partition: partition(2),
        offset: Offset::ZERO,
        timestamp: TimestampMs::new(77),
    };
    assert_eq!(ticket.wait().unwrap(), expected);
    assert_eq!(producer.send(record).unwrap().wait().unwrap().timestamp.get(), 1_000);
    let log = store.log(&partition(2)).unwrap();
    let limits = FetchLimits::default();
    let fetched = log.fetch(Offset::ZERO, limits, IsolationLevel::ReadUncommitted).unwrap();
    let record = fetched.records().next().unwrap().unwrap();
    assert_eq!(
        (record.key.as_deref(), record.value.as_deref()),
        (Some(&b"k"[..]), Some(&b"v"[..]))
    );
    assert!(record.headers().eq(headers));
}

#[test]
fn records_of_one_linger_travel_in_one_batch() {
    let clock = clock();
    let store = store(&clock, 1);
    let producer = Producer::builder(&store).linger(Duration::from_millis(5)).build().unwrap();
    let tickets: Vec<_> = (0..10).map(|_| send(&producer, 0, b"v")).collect();
    let _moved = producer.turn();
    assert!(tickets.iter().all(|ticket| !ticket.is_done()), "they linger");
    clock.advance(Duration::from_millis(5));
    let _moved = producer.turn();
    let offsets: Vec<_> = tickets.into_iter().map(offset).collect();
    assert_eq!(offsets, (0..10).collect::<Vec<_>>());
    let log = store.log(&partition(0)).unwrap();
    let limits = FetchLimits::default();
    let fetched = log.fetch(Offset::ZERO, limits, IsolationLevel::ReadUncommitted).unwrap();
    assert_eq!(fetched.batches().count(), 1);
}

#[test]
fn a_full_batch_does_not_linger_and_a_large_record_travels_alone() {
    let clock = clock();
    let store = store(&clock, 1);
    let builder = Producer::builder(&store).linger(Duration::from_secs(1)).batch_size(200);
    let producer = builder.build().unwrap();
    let small = send(&producer, 0, b"v");
    let large = send(&producer, 0, &[0; 1_000]);
    assert!(small.is_done(), "the batch before a large record is closed");
    assert!(large.is_done(), "larger than a batch: it goes at once");
    assert_eq!((offset(small), offset(large)), (0, 1));
}

#[test]
fn at_most_five_batches_are_under_way_and_later_records_share_one() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, true);
    let producer = Producer::builder(&store).build_with(Box::new(model.clone())).unwrap();
    let tickets: Vec<_> = (0..9).map(|_| send(&producer, 0, b"v")).collect();
    assert_eq!(model.kept(&partition(0)).len(), 5);
    model.answer(&partition(0), false);
    let _moved = producer.turn();
    assert_eq!(model.kept(&partition(0))[5].values.len(), 4, "the other four");
    while model.waiting(&partition(0)) > 0 {
        model.answer(&partition(0), false);
    }
    let offsets: Vec<_> = tickets.into_iter().map(offset).collect();
    assert_eq!(offsets, (0..9).collect::<Vec<_>>());
}

/// I5: with five under way, the failure of one holds back every later one.
#[test]
fn after_a_failure_batches_are_tried_again_in_order_with_their_sequences() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, true);
    let producer = Producer::builder(&store).build_with(Box::new(model.clone())).unwrap();
    let tickets: Vec<_> = (0..7_u8).map(|value| send(&producer, 0, &[value])).collect();
    model.answer(&partition(0), false);
    // One of the four left survives the failure; nobody knows which.
    model.fail(&partition(0), 80);
    assert_eq!(model.kept(&partition(0)).len(), 2);
    let _moved = producer.turn();
    assert_eq!(model.kept(&partition(0)).len(), 2, "offline: nothing is taken");
    model.reopen(&partition(0));
    clock.advance(Duration::from_secs(1));
    let _moved = producer.turn();
    while model.waiting(&partition(0)) > 0 {
        model.answer(&partition(0), false);
        let _moved = producer.turn();
    }
    let offsets: Vec<_> = tickets.into_iter().map(offset).collect();
    assert_eq!(offsets, (0..7).collect::<Vec<_>>());
    let sequences: Vec<_> = model.kept(&partition(0)).iter().map(|kept| kept.base.get()).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4, 5]);
}

/// KIP-360: a log that has lost a batch expects its sequence; the producer goes on in a new epoch.
#[test]
fn a_gap_is_crossed_with_a_new_epoch_that_starts_at_zero() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, false);
    let producer = Producer::builder(&store).build_with(Box::new(model.clone())).unwrap();
    for value in 0..3_u8 {
        assert_eq!(offset(send(&producer, 0, &[value])), i64::from(value));
    }
    model.truncate(&partition(0));
    assert_eq!(offset(send(&producer, 0, b"x")), 2);
    let kept = model.kept(&partition(0));
    let (before, after) = (&kept[1], &kept[2]);
    assert_eq!(before.id, after.id);
    assert_eq!((before.epoch.get(), after.epoch.get()), (0, 1));
    assert_eq!(after.base, Sequence::ZERO);
}

#[test]
fn a_log_that_forgot_the_producer_is_told_a_new_epoch() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, false);
    let producer = Producer::builder(&store).build_with(Box::new(model.clone())).unwrap();
    offset(send(&producer, 0, b"a"));
    model.truncate(&partition(0));
    assert_eq!(offset(send(&producer, 0, b"b")), 0);
    assert_eq!(model.kept(&partition(0))[0].epoch.get(), 1);
}

/// A log that knows nothing of the producer cannot tell a repetition: what may be in it is not sent
/// as something new.
#[test]
fn a_batch_in_doubt_is_not_renumbered_by_a_log_that_forgot_its_producer() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, true);
    let producer = Producer::builder(&store).build_with(Box::new(model.clone())).unwrap();
    let [first, second] = [b"a", b"b"].map(|value| send(&producer, 0, value));
    model.answer(&partition(0), false);
    assert_eq!(offset(first), 0);
    model.answer(&partition(0), true);
    model.truncate(&partition(0));
    model.truncate(&partition(0));
    clock.advance(Duration::from_secs(1));
    let _moved = producer.turn();
    let error = second.try_result().unwrap().unwrap_err();
    assert!(matches!(error, SendError::Indeterminate(Unsettled::Refused(_))), "{error}");
    assert_eq!(model.kept(&partition(0)).len(), 0);
}

#[test]
fn a_timeout_before_the_log_accepted_is_not_appended_and_after_it_indeterminate() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, true);
    let builder = Producer::builder(&store).delivery_timeout(Duration::from_secs(10));
    let producer = builder.max_in_flight(1).build_with(Box::new(model.clone())).unwrap();
    let accepted = send(&producer, 0, b"accepted");
    let waiting = send(&producer, 0, b"waiting");
    clock.advance(Duration::from_secs(10));
    let _moved = producer.turn();
    let error = accepted.try_result().unwrap().unwrap_err();
    assert!(matches!(error, SendError::Indeterminate(Unsettled::TimedOut { .. })), "{error}");
    let error = waiting.try_result().unwrap().unwrap_err();
    assert!(matches!(error, SendError::NotAppended(NotSent::TimedOut { .. })), "{error}");
    assert!(error.is_retriable() && error.is_not_appended() && error.kafka_code() == 7);
    // Its late answer changes nothing, and the next record follows it.
    model.answer(&partition(0), false);
    let next = send(&producer, 0, b"next");
    model.answer(&partition(0), false);
    assert_eq!(offset(next), 1);
}

/// What was given up without knowing its fate must not lend its sequence to another batch.
#[test]
fn after_an_unknown_fate_the_next_batch_begins_a_new_epoch() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, true);
    let builder = Producer::builder(&store).delivery_timeout(Duration::from_secs(10));
    let producer = builder.build_with(Box::new(model.clone())).unwrap();
    let lost = send(&producer, 0, b"lost");
    model.answer(&partition(0), true);
    model.fail(&partition(0), 255);
    clock.advance(Duration::from_secs(10));
    let _moved = producer.turn();
    assert!(!lost.try_result().unwrap().unwrap_err().is_not_appended());
    model.reopen(&partition(0));
    let next = send(&producer, 0, b"next");
    clock.advance(Duration::from_secs(2));
    let _moved = producer.turn();
    model.answer(&partition(0), false);
    assert_eq!(offset(next), 1);
    let kept = model.kept(&partition(0));
    assert_eq!((kept[0].epoch.get(), kept[1].epoch.get()), (0, 1));
    assert_eq!(kept[1].base, Sequence::ZERO);
}

#[test]
fn a_batch_the_log_finds_too_large_is_split_and_every_record_has_its_place() {
    let clock = clock();
    let store = Store::builder()
        .directory(Arc::new(log_core::disk::MemoryDirectory::new()))
        .clock(Arc::new(clock.clone()))
        .drive(log_core::Drive::Inline)
        .message_bytes_max(256)
        .open("/")
        .unwrap();
    store.create_topic(&topic(), 1).unwrap();
    let producer = Producer::builder(&store).linger(Duration::from_secs(1)).build().unwrap();
    let tickets: Vec<_> = (0..100_u8).map(|value| send(&producer, 0, &[value; 20])).collect();
    let lone = send(&producer, 0, &[9; 300]);
    producer.flush().unwrap();
    let offsets: Vec<_> = tickets.into_iter().map(offset).collect();
    assert_eq!(offsets, (0..100).collect::<Vec<_>>());
    let error = lone.wait().unwrap_err();
    assert!(error.is_not_appended() && error.kafka_code() == 10, "{error}");
    let log = store.log(&partition(0)).unwrap();
    assert_eq!(log.log_end_offset().get(), 100);
}

#[test]
fn callbacks_may_send_and_may_not_wait() {
    let clock = clock();
    let store = store(&clock, 1);
    let producer = Producer::builder(&store).build().unwrap();
    let (tell, told) = mpsc::channel();
    let inner = producer.clone();
    let topic = topic();
    let call = move |answer: Result<RecordMetadata, SendError>| {
        assert!(callback::is_running());
        let again = send(&inner, 0, b"again");
        assert!(inner.flush().is_err(), "a callback would wait for itself");
        tell.send((answer.unwrap().offset.get(), again)).unwrap();
        panic!("a user's bug");
    };
    producer.send_with(ProducerRecord::new(&topic).value(b"v"), call).unwrap();
    producer.flush().unwrap();
    let (first, again) = told.recv().unwrap();
    assert_eq!((first, offset(again)), (0, 1));
    assert_eq!(offset(send(&producer, 0, b"after the panic")), 2);
}

#[test]
fn a_full_buffer_refuses_what_cannot_wait_and_empties_with_answers() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, true);
    let builder = Producer::builder(&store).batch_size(1_000).buffer_memory(1_100);
    let producer = builder.build_with(Box::new(model.clone())).unwrap();
    let ticket = send(&producer, 0, &[0; 900]);
    let topic = topic();
    let record = ProducerRecord::new(&topic).value(&[0; 300]);
    let error = producer.send(record).unwrap_err();
    assert!(matches!(error, SendError::NotAppended(NotSent::BufferExhausted { .. })), "{error}");
    let error = producer.send(ProducerRecord::new(&topic).value(&[0; 2_000])).unwrap_err();
    assert!(matches!(error, SendError::NotAppended(NotSent::TooLarge { .. })), "{error}");
    model.answer(&partition(0), false);
    let second = producer.send(record).unwrap();
    model.answer(&partition(0), false);
    assert_eq!((offset(ticket), offset(second)), (0, 1));
}

#[test]
fn a_close_answers_everything_and_takes_nothing_more() {
    let clock = clock();
    let store = store(&clock, 1);
    let model = Model::new(&store, true);
    let builder = Producer::builder(&store).max_in_flight(1);
    let producer = builder.build_with(Box::new(model.clone())).unwrap();
    let accepted = send(&producer, 0, b"accepted");
    let waiting = send(&producer, 0, b"waiting");
    let error = producer.close(Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.batches, 2);
    let error = accepted.wait().unwrap_err();
    assert!(matches!(error, SendError::Indeterminate(Unsettled::Closed)), "{error}");
    let error = waiting.wait().unwrap_err();
    assert!(matches!(error, SendError::NotAppended(NotSent::Closed)), "{error}");
    let topic = topic();
    let error = producer.send(ProducerRecord::new(&topic)).unwrap_err();
    assert!(error.is_fatal(), "{error}");
    producer.close(Duration::ZERO).unwrap();
}

#[test]
fn unknown_topics_and_partitions_are_refused_at_once() {
    let clock = clock();
    let store = store(&clock, 1);
    let producer = Producer::builder(&store).build().unwrap();
    let other = "nowhere".parse().unwrap();
    assert_eq!(producer.send(ProducerRecord::new(&other)).unwrap_err().kafka_code(), 3);
    let topic = topic();
    let error = producer.send(ProducerRecord::new(&topic).partition(1)).unwrap_err();
    assert!(error.to_string().contains("orders-1"), "{error}");
    let error = producer.send(ProducerRecord::new(&topic).partition(u32::MAX)).unwrap_err();
    assert_eq!(error.kafka_code(), 3);
}

#[test]
fn a_partitioner_of_ones_own_is_asked() {
    let clock = clock();
    let store = store(&clock, 3);
    let partitioner = Arc::new(RoundRobinPartitioner::new());
    let producer = Producer::builder(&store).partitioner(partitioner).build().unwrap();
    let topic = topic();
    let place = || {
        let ticket = producer.send(ProducerRecord::new(&topic).key(b"same")).unwrap();
        ticket.wait().unwrap().topic_partition.partition()
    };
    assert_eq!([place(), place(), place(), place()], [0, 1, 2, 0]);
}

#[test]
fn every_batch_names_its_producer_and_follows_the_one_before() {
    let clock = clock();
    let store = store(&clock, 1);
    let first = Producer::builder(&store).build().unwrap();
    let second = Producer::builder(&store).build().unwrap();
    let plain = Producer::builder(&store).enable_idempotence(false).build().unwrap();
    for producer in [&first, &second, &first, &plain] {
        offset(send(producer, 0, b"v"));
    }
    let log = store.log(&partition(0)).unwrap();
    let limits = FetchLimits::default();
    let fetched = log.fetch(Offset::ZERO, limits, IsolationLevel::ReadUncommitted).unwrap();
    let headers = fetched.batches().map(|placed| {
        let batch: BatchView<'_> = placed.unwrap().batch;
        (batch.producer_id().get(), batch.producer_epoch().get(), batch.base_sequence().get())
    });
    assert_eq!(headers.collect::<Vec<_>>(), [(0, 0, 0), (1, 0, 0), (0, 0, 1), (-1, -1, -1)]);
}

#[test]
fn at_most_once_is_buffered_without_retries() {
    let clock = clock();
    let store = store(&clock, 1);
    let builder = Producer::builder(&store).acks(Durability::Buffered).retries(0);
    let producer = builder.build().unwrap();
    let ticket = send(&producer, 0, b"v");
    assert!(ticket.is_done());
    assert_eq!(offset(ticket), 0);
}

#[test]
fn many_threads_send_to_a_store_with_a_thread() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic(&topic(), 2).unwrap();
    let producer = Producer::builder(&store).build().unwrap();
    let threads: Vec<_> = (0..4_u8)
        .map(|thread| {
            let producer = producer.clone();
            std::thread::spawn(move || {
                let to = |number: u8| u32::from(number % 2);
                let sent = (0..250_u8).map(|number| send(&producer, to(number), &[thread, number]));
                let tickets: Vec<_> = sent.collect();
                tickets.into_iter().map(offset).count()
            })
        })
        .collect();
    let sent: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(sent, 1_000);
    let (tell, told) = mpsc::channel();
    let topic = topic();
    let record = ProducerRecord::new(&topic).partition(0).value(b"last");
    producer
        .send_with(record, move |answer| tell.send(answer.unwrap().offset.get()).unwrap())
        .unwrap();
    producer.close(Duration::from_mins(1)).unwrap();
    assert_eq!(told.recv().unwrap(), 500);
    let ends = [0, 1].map(|number| store.log(&partition(number)).unwrap().high_watermark().get());
    assert_eq!(ends, [501, 500]);
    drop(producer);
    store.close().unwrap();
}
