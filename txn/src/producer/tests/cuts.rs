//! The producer over the real sequence index, on a disk that loses power under it.
//!
//! ```text
//!   producer (lives on) ─▶ answers lost, one in five ─▶ Store ─▶ Removable ─▶ SimDirectory, life n
//!                                                                  │ cut: what was in flight lands
//!                                                                  ▼ in part, nothing answers
//!                          Store::reopen of each partition ◀──── SimDirectory, life n + 1
//! ```
//!
//! The disk is one that comes back, like a drive whose cable was pulled: only so does a producer
//! outlive a power cut. After each reopening its records in the log are a prefix of what it sent
//! (I5), with everything in it that was acknowledged; at the end each is there once, in order (I6).

use core::time::Duration;
use std::io;
use std::path::Path;
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::{Faults, SimDirectory, Stop};
use log_core::disk::{Completion, Directory, Disk, Entry, File, Lock, Open, Token, Write};
use log_core::entropy::{Entropy, SeededEntropy};
use log_core::{Drive, FetchLimits, IsolationLevel, Log, LogState, Offset, Store};
use parking_lot::Mutex;

use super::super::{Producer, ProducerRecord, SendTicket};
use super::{clock, partition, topic};
use crate::sim::Losses;

const PARTITIONS: u32 = 2;
/// Of 65,536: one answer in five.
const EVERY_FIFTH: u16 = 13_107;

/// A disk that can be taken away and come back with what was durable.
#[derive(Clone, Debug)]
struct Removable(Arc<Mutex<SimDirectory>>);

impl Removable {
    fn now(&self) -> SimDirectory {
        self.0.lock().clone()
    }

    fn come_back(&self) {
        let mut now = self.0.lock();
        *now = now.reborn();
    }
}

impl Directory for Removable {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        self.now().open(path, open)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.now().create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.now().list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.now().rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.now().unlink(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.now().remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.now().sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.now().lock(path)
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        let life = self.now();
        Ok(Box::new(Queue { of: self.clone(), inner: life.disk()?, life }))
    }
}

/// A queue that goes on with the disk that came back, once the old one's work is over.
#[derive(Debug)]
struct Queue {
    of: Removable,
    life: SimDirectory,
    inner: Box<dyn Disk>,
}

impl Queue {
    fn current(&mut self) -> &mut dyn Disk {
        let now = self.of.now();
        if self.life.is_over() && !now.is_over() && self.inner.in_flight() == 0 {
            self.inner = now.disk().unwrap();
            self.life = now;
        }
        &mut *self.inner
    }
}

impl Disk for Queue {
    fn submit_write(&mut self, write: Write) {
        self.current().submit_write(write);
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        self.current().submit_sync(token, file);
    }

    fn poll(&mut self, wait_for: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        self.inner.poll(wait_for, out)
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}

/// What happened in all histories.
#[derive(Debug, Default)]
struct Counts {
    records: usize,
    cuts: usize,
    reopenings: usize,
    /// Without an answer when the disk came back, and in the log.
    found: usize,
    /// Without an answer when the disk came back, and not in the log.
    absent: usize,
}

struct History {
    entropy: SeededEntropy,
    clock: ManualClock,
    disk: Removable,
    store: Store,
    producer: Producer,
    /// The tickets of each partition, in order.
    sent: Vec<Vec<SendTicket>>,
    counts: Counts,
    seed: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let clock = clock();
        let disk = Removable(Arc::new(Mutex::new(SimDirectory::new(seed))));
        let store = Store::builder()
            .directory(Arc::new(disk.clone()))
            .clock(Arc::new(clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .drive(Drive::Manual)
            .segment_bytes_max(16 * 1024)
            .open("/store")
            .unwrap();
        store.create_topic(&topic(), PARTITIONS).unwrap();
        let producer = Producer::builder(&store)
            .batch_size(200)
            .retry_backoff(Duration::from_millis(1), Duration::from_millis(20))
            .delivery_timeout(Duration::from_hours(10))
            .losses(Losses { answer_lost: EVERY_FIFTH, late_copy: EVERY_FIFTH })
            .build()
            .unwrap();
        Self {
            entropy: SeededEntropy::new(seed ^ 0xC075),
            clock,
            disk,
            store,
            producer,
            sent: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            counts: Counts::default(),
            seed,
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.entropy.next_u64() % bound
    }

    fn step(&mut self) {
        match self.below(40) {
            0..20 => self.send(),
            20..34 => {
                let _moved = self.producer.turn();
            }
            34..37 => self.clock.advance(Duration::from_millis(self.below(30))),
            37 => self.disk.now().arm(1 + self.below(60), Stop::Cut),
            38 => {
                let faults = Faults { sync_error: 6_000, write_error: 6_000, ..Faults::default() };
                self.disk.now().set_faults(faults);
            }
            _ => self.disk.now().set_faults(Faults::default()),
        }
        if self.disk.now().is_over() {
            self.come_back();
        } else if self.below(8) == 0 {
            self.reopen_offline();
        }
    }

    fn send(&mut self) {
        let to = u32::try_from(self.below(PARTITIONS.into())).unwrap();
        let sent = &mut self.sent[usize::try_from(to).unwrap()];
        let value = u32::try_from(sent.len()).unwrap().to_be_bytes();
        let topic = topic();
        let record = ProducerRecord::new(&topic).partition(to).value(&value);
        sent.push(self.producer.send(record).unwrap());
    }

    /// The disk has power again: every partition of the old life is opened anew.
    fn come_back(&mut self) {
        self.counts.cuts += 1;
        self.disk.come_back();
        self.disk.now().set_faults(Faults::default());
        for number in 0..PARTITIONS {
            self.reopen(number);
        }
    }

    fn reopen_offline(&mut self) {
        for number in 0..PARTITIONS {
            let log = self.store.log(&partition(number)).unwrap();
            // Stale: its last reopening was cut off.
            if matches!(log.info().state, LogState::Offline(_) | LogState::Stale) {
                self.disk.now().set_faults(Faults::default());
                self.reopen(number);
            }
        }
    }

    /// Reopens a partition and judges what it found.
    fn reopen(&mut self, number: u32) {
        self.counts.reopenings += 1;
        let opened = self.store.reopen(&partition(number)).map_err(|error| error.to_string());
        let values = match opened.and_then(|log| read(&log)) {
            Ok(values) => values,
            // Cut again on the way: the next step finds it so.
            Err(_) if self.disk.now().is_over() => return,
            Err(error) => panic!("{error}, seed {}", self.seed),
        };
        let sent = &mut self.sent[usize::try_from(number).unwrap()];
        let (seed, cuts) = (self.seed, self.counts.cuts);
        for (index, (offset, value)) in values.iter().enumerate() {
            let expected = u32::try_from(index).unwrap();
            let what = "a hole, a repetition or a change of order";
            assert_eq!((*offset, *value), (expected.into(), expected), "{what}, seed {seed}");
        }
        let acknowledged = sent.iter().filter(|ticket| ticket.is_done()).count();
        let there = values.len();
        assert!(acknowledged <= there, "{acknowledged} heard, {there} there, {seed}/{cuts}");
        self.counts.found += there - acknowledged;
        self.counts.absent += sent.len() - there;
    }

    /// Peace: everything is answered.
    fn settle(&mut self) {
        self.disk.now().disarm();
        for _ in 0..10_000 {
            if self.disk.now().is_over() {
                self.come_back();
            }
            self.disk.now().set_faults(Faults::default());
            self.reopen_offline();
            let _moved = self.producer.turn();
            self.clock.advance(Duration::from_millis(5));
            if self.sent.iter().flatten().all(SendTicket::is_done) {
                return;
            }
        }
        panic!("no peace, seed {}", self.seed);
    }

    /// Each record is in the log once, at the offset its ticket says.
    fn judge(&mut self) {
        for (number, sent) in (0..PARTITIONS).zip(&self.sent) {
            let values = read(&self.store.log(&partition(number)).unwrap()).unwrap();
            assert_eq!(values.len(), sent.len(), "seed {}", self.seed);
            for ((offset, value), (index, ticket)) in values.iter().zip((0..).zip(sent)) {
                let answer = ticket.try_result().unwrap();
                let heard = answer.unwrap_or_else(|error| panic!("{error}, seed {}", self.seed));
                assert_eq!((heard.offset.get(), *value), (*offset, index), "seed {}", self.seed);
            }
            self.counts.records += values.len();
        }
        let violations = self.disk.now().violations();
        assert_eq!(violations, [""; 0], "seed {}", self.seed);
    }
}

/// All records of a log, by offset.
fn read(log: &Log) -> Result<Vec<(i64, u32)>, String> {
    let (mut at, mut values) = (Offset::ZERO, Vec::new());
    loop {
        let fetched = log
            .fetch(at, FetchLimits::default(), IsolationLevel::ReadUncommitted)
            .map_err(|error| error.to_string())?;
        if fetched.is_empty() {
            return Ok(values);
        }
        for record in fetched.records() {
            let record = record.map_err(|error| error.to_string())?;
            let value = record.value.unwrap();
            values.push((record.offset.get(), u32::from_be_bytes(*value.first_chunk().unwrap())));
        }
        at = fetched.next_offset;
    }
}

/// I5, I6.
#[test]
fn a_producer_that_outlives_power_cuts_has_each_record_in_the_log_once_and_in_order() {
    let mut all = Counts::default();
    for seed in 0..80 {
        let mut history = History::new(seed);
        for _ in 0..600 {
            history.step();
        }
        history.settle();
        history.judge();
        let Counts { records, cuts, reopenings, found, absent } = history.counts;
        all.records += records;
        all.cuts += cuts;
        all.reopenings += reopenings;
        all.found += found;
        all.absent += absent;
    }
    let rich = all.records > 20_000 && all.cuts > 300 && all.reopenings > 2 * all.cuts;
    assert!(rich && all.found > 300 && all.absent > 300, "{all:?}");
}
