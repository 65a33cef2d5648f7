//! Random histories: lost answers, cut ends, offline partitions, timeouts. What the producer says
//! is held against what the naive log kept.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::entropy::{Entropy, SeededEntropy};
use parking_lot::Mutex;

use super::super::{Producer, ProducerRecord, SendError, SendTicket};
use super::model::Model;
use super::{clock, partition, store, topic};

const PARTITIONS: u32 = 2;

struct Storm {
    entropy: SeededEntropy,
    clock: ManualClock,
    model: Model,
    producer: Producer,
    sent: Vec<Vec<(u32, SendTicket)>>,
    /// Numbers in the order their callbacks ran, by partition.
    called: Arc<Mutex<BTreeMap<u32, Vec<u32>>>>,
    next: u32,
}

impl Storm {
    fn new(seed: u64, delivery_timeout: Duration) -> Self {
        let clock = clock();
        let store = store(&clock, PARTITIONS);
        let model = Model::new(&store, true);
        let producer = Producer::builder(&store)
            .delivery_timeout(delivery_timeout)
            .batch_size(120)
            .linger(Duration::from_millis(5))
            .build_with(Box::new(model.clone()))
            .unwrap();
        Self {
            entropy: SeededEntropy::new(seed),
            clock,
            model,
            producer,
            sent: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            called: Arc::default(),
            next: 0,
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.entropy.next_u64() % bound
    }

    fn any_partition(&self) -> u32 {
        u32::try_from(self.below(PARTITIONS.into())).unwrap()
    }

    fn send(&mut self) {
        let to = self.any_partition();
        let number = self.next;
        self.next += 1;
        let (topic, value) = (topic(), number.to_be_bytes());
        let record = ProducerRecord::new(&topic).partition(to).value(&value);
        let called = Arc::clone(&self.called);
        let call = Box::new(move |_| called.lock().entry(to).or_default().push(number));
        let ticket = self.producer.take(&record, Some(call)).unwrap();
        self.sent[usize::try_from(to).unwrap()].push((number, ticket));
    }

    fn step(&mut self) {
        let of = partition(self.any_partition());
        match self.below(16) {
            0..7 => self.send(),
            7..10 => self.model.answer(&of, false),
            10 => self.model.answer(&of, true),
            11 => self.clock.advance(Duration::from_millis(self.below(200))),
            12 if self.below(4) == 0 => {
                let keep = u8::try_from(self.below(256)).unwrap();
                self.model.fail(&of, keep);
            }
            13 => self.model.reopen(&of),
            _ => {
                let _moved = self.producer.turn();
            }
        }
    }

    /// Peace: everything is answered, until nobody waits.
    fn settle(&mut self) {
        for _ in 0..2_000 {
            for number in 0..PARTITIONS {
                let of = partition(number);
                self.model.reopen(&of);
                while self.model.waiting(&of) > 0 {
                    self.model.answer(&of, false);
                }
            }
            let _moved = self.producer.turn();
            self.clock.advance(Duration::from_millis(50));
            if self.sent.iter().flatten().all(|(_, ticket)| ticket.is_done()) {
                return;
            }
        }
        panic!("no peace: {:?}", self.sent.iter().flatten().find(|(_, t)| !t.is_done()));
    }

    /// What was said is true, and the order of sending is the order in the log. Returns how many
    /// records were acknowledged, refused and in doubt.
    fn judge(&self) -> [usize; 3] {
        let mut counts = [0; 3];
        for (number, sent) in (0..PARTITIONS).zip(&self.sent) {
            let values = self.model.values(&partition(number));
            let mut places: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
            for (offset, value) in &values {
                let value = u32::from_be_bytes(value.as_slice().try_into().unwrap());
                places.entry(value).or_default().push(*offset);
            }
            for (value, ticket) in sent {
                let found = places.get(value).cloned().unwrap_or_default();
                match ticket.try_result().unwrap() {
                    Ok(metadata) => {
                        counts[0] += 1;
                        assert_eq!(found, [metadata.offset.get()], "{value} was acknowledged");
                        assert_eq!(metadata.topic_partition, partition(number));
                    }
                    Err(SendError::NotAppended(why)) => {
                        counts[1] += 1;
                        assert!(found.is_empty(), "{value} is in the log, though {why}");
                    }
                    Err(SendError::Indeterminate(_)) => {
                        counts[2] += 1;
                        assert!(found.len() <= 1, "{value} is in the log at {found:?}");
                    }
                }
            }
            let order: Vec<_> = values.iter().map(|(_, value)| value.clone()).collect();
            assert!(order.is_sorted(), "records stand in the order they were sent");
            let called = self.called.lock().get(&number).cloned().unwrap_or_default();
            let expected: Vec<_> = sent.iter().map(|(value, _)| *value).collect();
            assert_eq!(called, expected, "callbacks run once each and in order");
        }
        counts
    }
}

/// I6: a producer that goes on until the answer is known has each record in the log exactly once,
/// in order, whatever is lost, cut or delayed.
#[test]
fn whatever_is_lost_each_record_is_in_the_log_once_and_in_order() {
    let mut sent = 0;
    for seed in 0..150 {
        let mut storm = Storm::new(seed, Duration::from_hours(10));
        for _ in 0..400 {
            storm.step();
        }
        storm.settle();
        let [acknowledged, refused, in_doubt] = storm.judge();
        assert_eq!((refused, in_doubt), (0, 0), "seed {seed}");
        sent += acknowledged;
    }
    assert!(sent > 10_000, "{sent} records");
}

/// D8: with timeouts, what is called absent is absent, and what is in doubt is there once at most.
#[test]
fn a_timeout_says_the_truth() {
    let mut counts = [0; 3];
    for seed in 0..300 {
        let mut storm = Storm::new(seed, Duration::from_millis(400));
        for _ in 0..400 {
            storm.step();
        }
        storm.settle();
        for (sum, count) in counts.iter_mut().zip(storm.judge()) {
            *sum += count;
        }
    }
    assert!(counts.iter().all(|count| *count > 300), "every outcome occurs: {counts:?}");
}
