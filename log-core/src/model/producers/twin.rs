//! The sequence index against an obvious one, with random steps.
//!
//! `PROPTEST_CASES=5000 cargo test --release -p log-core --lib producers::twin` takes a million.

use core::time::Duration;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::error::NotAppended;
use crate::format::{EndTxnMarker, TransactionResult};
use crate::ids::{ProducerEpoch, Sequence, TimestampMs};
use crate::int::u32_saturated;

/// Steps of one case.
const STEPS: usize = 200;
const EXPIRATION: Duration = Duration::from_mins(1);
const PRODUCERS_MAX: u32 = 5;
/// One more than the largest sequence.
const WRAP: i64 = 1 << 31;

pub(super) fn limits() -> ProducerLimits {
    ProducerLimits { expiration: EXPIRATION, producers_max: 1_000_000, accept_unknown: false }
}

/// A batch of `records` records outside of any transaction.
pub(super) fn plain(id: i64, epoch: i16, sequence: i32, records: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id: ProducerId::new(id).unwrap(),
        producer_epoch: ProducerEpoch::new(epoch).unwrap(),
        base_sequence: Sequence::new(sequence).unwrap(),
        last_offset_delta: records - 1,
        max_timestamp: TimestampMs::new(1000),
        content: Content::Plain,
    }
}

pub(super) fn transactional(id: i64, epoch: i16, sequence: i32, records: i32) -> ProducerBatch {
    ProducerBatch { content: Content::Transactional, ..plain(id, epoch, sequence, records) }
}

pub(super) fn marker(
    id: i64,
    epoch: i16,
    coordinator_epoch: i32,
    result: TransactionResult,
) -> ProducerBatch {
    let content = Content::Marker(EndTxnMarker { result, coordinator_epoch });
    ProducerBatch { content, ..plain(id, epoch, -1, 1) }
}

pub(super) fn at(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

/// What the twin says of a batch, in Kafka's codes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Says {
    Append,
    Duplicate { base: i64, last: i64, timestamp: i64 },
    Refused(i16),
}

/// A remembered batch: its sequences counted on, never wrapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Known {
    first: i64,
    records: i64,
    base: i64,
    timestamp: i64,
    sequenced: bool,
}

#[derive(Clone, Debug, Default)]
struct Peer {
    epoch: i16,
    coordinator: i32,
    batches: Vec<Known>,
    timestamp: i64,
    txn: Option<i64>,
    appended: Duration,
}

impl Peer {
    fn next(&self) -> i64 {
        self.batches
            .last()
            .map_or(0, |known| if known.sequenced { known.first + known.records } else { 0 })
    }
}

/// The obvious index.
#[derive(Clone, Debug, Default)]
struct Twin {
    peers: BTreeMap<i64, Peer>,
    /// First offset and marker of transactions whose marker is not below the high watermark.
    ended: Vec<(i64, i64)>,
    accept_unknown: bool,
}

impl Twin {
    fn says(&self, batch: &ProducerBatch, origin: Origin) -> Says {
        let (id, epoch) = (batch.producer_id.get(), batch.producer_epoch.get());
        let sequence = i64::from(batch.base_sequence.get());
        let records = i64::from(batch.last_offset_delta) + 1;
        let Some(peer) = self.peers.get(&id) else {
            return match origin {
                Origin::Client if sequence != 0 && !self.accept_unknown => Says::Refused(59),
                Origin::Client if u32_saturated(self.peers.len()) >= PRODUCERS_MAX => {
                    Says::Refused(44)
                }
                _ => Says::Append,
            };
        };
        if let Content::Marker(marker) = batch.content {
            return match origin {
                Origin::Replication => Says::Append,
                _ if epoch < peer.epoch => Says::Refused(47),
                _ if marker.coordinator_epoch < peer.coordinator => Says::Refused(52),
                _ => Says::Append,
            };
        }
        if origin != Origin::Replication && epoch < peer.epoch {
            return Says::Refused(47);
        }
        if origin == Origin::Client && epoch > peer.epoch && sequence != 0 {
            return Says::Refused(45);
        }
        if origin == Origin::Client && epoch == peer.epoch {
            let next = peer.next();
            let mut way = (sequence - next).rem_euclid(WRAP);
            if way >= WRAP / 2 {
                way -= WRAP;
            }
            let first = next + way;
            if way != 0 {
                let same = |known: &&Known| (known.first - first).rem_euclid(WRAP) == 0;
                let sequenced = || peer.batches.iter().filter(|known| known.sequenced);
                // A replica may take one twice: the last one counts.
                let twin = sequenced().filter(same).rfind(|known| known.records == records);
                let last = first + records - 1;
                let before_all = sequenced().next().is_some_and(|oldest| {
                    (1..WRAP / 2).contains(&(oldest.first - last).rem_euclid(WRAP))
                });
                return match twin {
                    Some(known) => Says::Duplicate {
                        base: known.base,
                        last: known.base + records - 1,
                        timestamp: known.timestamp,
                    },
                    None if way < 0 && before_all => Says::Refused(46),
                    None => Says::Refused(45),
                };
            }
        }
        if peer.txn.is_some() && batch.content == Content::Plain {
            return Says::Refused(48);
        }
        Says::Append
    }

    fn takes(&mut self, batch: &ProducerBatch, base: i64, now: Duration) {
        let peer = self.peers.entry(batch.producer_id.get()).or_insert_with(|| Peer {
            epoch: -1,
            coordinator: -1,
            timestamp: -1,
            ..Peer::default()
        });
        if peer.epoch != batch.producer_epoch.get() {
            peer.batches.clear();
            peer.epoch = batch.producer_epoch.get();
        }
        peer.timestamp = batch.max_timestamp.get();
        peer.appended = now;
        let records = i64::from(batch.last_offset_delta) + 1;
        if let Content::Marker(marker) = batch.content {
            peer.coordinator = marker.coordinator_epoch;
            if let Some(first) = peer.txn.take() {
                self.ended.push((first, base + records - 1));
            }
            return;
        }
        let sequence = i64::from(batch.base_sequence.get());
        let sequenced = sequence >= 0;
        let next = peer.next();
        // The number that goes on from here and is the same on the circle.
        let first = if sequenced { next + (sequence - next).rem_euclid(WRAP) } else { 0 };
        let timestamp = batch.max_timestamp.get();
        peer.batches.push(Known { first, records, base, timestamp, sequenced });
        if peer.batches.len() > 5 {
            peer.batches.remove(0);
        }
        if batch.content == Content::Transactional {
            peer.txn.get_or_insert(base);
        }
    }

    fn expire(&mut self, now: Duration) {
        self.peers.retain(|_, peer| peer.txn.is_some() || now < peer.appended + EXPIRATION);
    }

    /// What a Kafka snapshot keeps.
    fn forget_older(&mut self, now: Duration) {
        for peer in self.peers.values_mut() {
            peer.appended = now;
            if let Some(last) = peer.batches.pop() {
                peer.batches = vec![Known { timestamp: peer.timestamp, ..last }];
            }
        }
        self.ended.clear();
    }

    fn first_unstable(&self) -> Option<i64> {
        let open = self.peers.values().filter_map(|peer| peer.txn);
        open.chain(self.ended.iter().map(|(first, _)| *first)).min()
    }
}

#[derive(Clone, Debug)]
struct Step {
    kind: u8,
    id: i64,
    epoch: i16,
    sequence: i64,
    records: i32,
    number: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..100_u8, 0..8_i64, -1..3_i16, -13..6_i64, 1..5_i32, 0..1000_i64).prop_map(
        |(kind, id, epoch, sequence, records, number)| Step {
            kind,
            id,
            epoch,
            sequence,
            records,
            number,
        },
    );
    prop::collection::vec(step, STEPS)
}

/// Both, and the log they are fed from.
struct Pair {
    real: Producers,
    twin: Twin,
    log: Vec<(ProducerBatch, i64)>,
    end: i64,
    now: Duration,
}

impl Pair {
    fn new(accept_unknown: bool) -> Self {
        let mut pair = Self {
            real: Producers::new(limits(), 5),
            twin: Twin { accept_unknown, ..Twin::default() },
            log: Vec::new(),
            end: 0,
            now: Duration::ZERO,
        };
        pair.real.limits = pair.limits();
        pair
    }

    fn limits(&self) -> ProducerLimits {
        let accept_unknown = self.twin.accept_unknown;
        ProducerLimits { producers_max: PRODUCERS_MAX, accept_unknown, ..limits() }
    }

    fn tick(&self) -> Tick {
        Tick::default().after(self.now)
    }

    /// The epoch and the sequence a step means, near those that would be right.
    fn batch(&self, step: &Step) -> ProducerBatch {
        let peer = self.twin.peers.get(&step.id);
        let current = peer.map_or(0, |peer| peer.epoch.max(0));
        let epoch = if step.epoch == 1 { current } else { (current + step.epoch).clamp(0, 30_000) };
        let next = peer.map_or(0, Peer::next);
        let off = if step.sequence > 1 { 0 } else { step.sequence };
        let same = peer.is_none_or(|peer| peer.epoch == epoch);
        let first = if same { next + off } else { off.max(0) };
        let sequence = i32::try_from(first.rem_euclid(WRAP)).unwrap();
        ProducerBatch {
            max_timestamp: TimestampMs::new(step.number),
            ..plain(step.id, epoch, sequence, step.records)
        }
    }

    fn append(&mut self, batch: &ProducerBatch, origin: Origin) -> Result<(), TestCaseError> {
        let expected = self.twin.says(batch, origin);
        let found = self.real.check(batch, origin);
        let says = match &found {
            Ok(Verdict::Append(_)) => Says::Append,
            Ok(Verdict::Duplicate(original)) => Says::Duplicate {
                base: original.base_offset.get(),
                last: original.last_offset.get(),
                timestamp: original.timestamp.get(),
            },
            Err(refusal) => Says::Refused(refusal.kafka_code()),
        };
        prop_assert_eq!(says, expected, "{:?} {:?} {:?}", batch, origin, self.twin);
        if let Ok(Verdict::Append(place)) = found {
            let ended = self.twin.ended.len();
            let completed = self.real.apply(place, batch, at(self.end), self.tick());
            self.twin.takes(batch, self.end, self.now);
            prop_assert_eq!(completed.is_some(), self.twin.ended.len() > ended);
            self.log.push((*batch, self.end));
            self.end += i64::from(batch.last_offset_delta) + 1;
        }
        Ok(())
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let batch = self.batch(step);
        let result =
            if step.number % 2 == 0 { TransactionResult::Commit } else { TransactionResult::Abort };
        let coordinator_epoch = i32::try_from(step.number % 4).unwrap();
        let ends = ProducerBatch {
            last_offset_delta: 0,
            base_sequence: Sequence::NONE,
            content: Content::Marker(EndTxnMarker { result, coordinator_epoch }),
            ..batch
        };
        let in_txn = ProducerBatch { content: Content::Transactional, ..batch };
        match step.kind {
            0..35 => self.append(&batch, Origin::Client),
            35..60 => self.append(&in_txn, Origin::Client),
            60..68 => self.append(&ends, Origin::Coordinator),
            68..70 => {
                let unsequenced = ProducerBatch { base_sequence: Sequence::NONE, ..in_txn };
                self.append(&unsequenced, Origin::Coordinator)
            }
            70..74 => self.append(&batch, Origin::Replication),
            74..76 => self.append(&ends, Origin::Replication),
            // Far away: near the end of the numbers, or anywhere.
            76..79 => {
                let far = i32::MAX - i32::try_from(step.number % 12).unwrap();
                let base_sequence = Sequence::new(far).unwrap();
                self.append(&ProducerBatch { base_sequence, ..batch }, Origin::Replication)
            }
            79..81 => {
                let base_sequence =
                    Sequence::new(i32::try_from(step.number).unwrap() * 2_000_000).unwrap();
                self.append(&ProducerBatch { base_sequence, ..batch }, Origin::Client)
            }
            81..91 => {
                self.now += Duration::from_secs(step.number.unsigned_abs() % 25);
                if step.kind.is_multiple_of(2) {
                    self.real.expire(self.tick());
                    self.twin.expire(self.now);
                }
                Ok(())
            }
            91..94 => {
                let high_watermark = self.end - step.number.min(self.end) % 10;
                self.real.on_high_watermark(at(high_watermark));
                self.twin.ended.retain(|(_, last)| *last >= high_watermark);
                Ok(())
            }
            94..98 => self.reload(step.kind == 97),
            _ => {
                self.truncate(step.number);
                Ok(())
            }
        }
    }

    /// Out to bytes and back: in our format, or in Kafka's.
    fn reload(&mut self, kafkas: bool) -> Result<(), TestCaseError> {
        let frozen = self.real.freeze(self.tick());
        let (end, limits, now) = (at(self.end), self.limits(), self.tick());
        let read = if kafkas {
            self.twin.forget_older(self.now);
            Producers::from_snapshot(&frozen.snapshot_entries(), end, limits, 8, now)
        } else {
            self.twin.expire(self.now);
            // What waits for the high watermark is durable by the time anything is read back.
            self.twin.ended.clear();
            Producers::from_bytes(&frozen.to_bytes(), end, limits, 8, now)
        };
        self.real = read.map_err(|error| TestCaseError::fail(error.to_string()))?;
        Ok(())
    }

    /// The log is cut, and what is left of it read again.
    fn truncate(&mut self, number: i64) {
        let left = usize::try_from(number).unwrap() % (self.log.len() + 1);
        self.log.truncate(left);
        self.end =
            self.log.last().map_or(0, |(batch, base)| batch.last_offset(at(*base)).get() + 1);
        self.real = Producers::new(self.limits(), 9);
        self.twin = Twin { accept_unknown: self.twin.accept_unknown, ..Twin::default() };
        for (batch, base) in &self.log {
            self.real.replay(batch, at(*base), Tick::default().after(self.now));
            self.twin.takes(batch, *base, self.now);
        }
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let found: Vec<_> = self
            .real
            .freeze(self.tick())
            .describe()
            .into_iter()
            .map(|info| {
                let batches: Vec<_> = info
                    .batches
                    .iter()
                    .map(|batch| {
                        (
                            batch.base_sequence.get(),
                            batch.base_offset.get(),
                            batch.last_offset.get(),
                            batch.timestamp.get(),
                        )
                    })
                    .collect();
                let txn = info.current_txn_first_offset.map(Offset::get);
                (
                    info.producer_id.get(),
                    info.producer_epoch.get(),
                    info.coordinator_epoch,
                    info.last_timestamp.get(),
                    txn,
                    batches,
                )
            })
            .collect();
        let expected: Vec<_> = self
            .twin
            .peers
            .iter()
            .map(|(id, peer)| {
                let batches: Vec<_> = peer
                    .batches
                    .iter()
                    .rev()
                    .map(|known| {
                        let sequence = if known.sequenced {
                            i32::try_from(known.first.rem_euclid(WRAP)).unwrap()
                        } else {
                            -1
                        };
                        (sequence, known.base, known.base + known.records - 1, known.timestamp)
                    })
                    .collect();
                (*id, peer.epoch, peer.coordinator, peer.timestamp, peer.txn, batches)
            })
            .collect();
        prop_assert_eq!(found, expected);
        let unstable = self.real.transactions().first_unstable_offset().map(Offset::get);
        prop_assert_eq!(unstable, self.twin.first_unstable());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]
    #[test]
    fn the_index_and_the_obvious_one_agree(steps in steps(), accept_unknown: bool) {
        let mut pair = Pair::new(accept_unknown);
        for step in &steps {
            pair.take(step)?;
            pair.compare()?;
        }
    }
}

/// 8,000 steps, or what is asked for.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(40)
}

#[test]
fn a_sweep_forgets_everybody_who_is_idle_and_nobody_else() {
    let mut state = Producers::new(limits(), 5);
    let start = Tick::default();
    for id in 0..1000 {
        let batch = if id % 10 == 0 { transactional(id, 0, 0, 1) } else { plain(id, 0, 0, 1) };
        state.replay(&batch, at(id), start);
    }
    let (mut now, mut appends, mut end) = (start, 0, 1000);
    // Two producers go on; each of their appends looks at a few of the others.
    while now < start.after(EXPIRATION * 2) {
        now = now.after(Duration::from_millis(500));
        for id in [3, 5] {
            let batch = plain(id, 0, 1 + appends, 1);
            state.sweep(now);
            let Ok(Verdict::Append(place)) = state.check(&batch, Origin::Client) else {
                panic!("{id} was forgotten at {now:?}");
            };
            state.apply(place, &batch, at(end), now);
            end += 1;
        }
        appends += 1;
    }
    let left: Vec<i64> =
        state.freeze(now).describe().iter().map(|info| info.producer_id.get()).collect();
    let expected: Vec<i64> = (0..1000).filter(|id| id % 10 == 0 || [3, 5].contains(id)).collect();
    assert_eq!(left, expected);
}

#[test]
fn memory_keeps_to_96_bytes_a_producer_with_one_batch_and_192_with_five() {
    let many = 100_000;
    let mut state = Producers::new(limits(), 5);
    let mut end = 0;
    let mut each = Vec::new();
    for round in 0..5 {
        for id in 0..many {
            state.replay(&plain(id, 0, round, 1), at(end), Tick::default());
            end += 1;
        }
        each.push(state.memory_bytes() / usize::try_from(many).unwrap());
    }
    assert!(each[0] <= 96 && each[4] <= 192, "{each:?}");
}

#[test]
fn an_expired_producers_blocks_are_used_again() {
    let mut state = Producers::new(limits(), 5);
    let mut now = Tick::default();
    let mut end = 0;
    let mut memory = 0;
    for life in 0..20_i64 {
        for round in 0..5 {
            for id in 0..500 {
                state.replay(&plain(life * 500 + id, 0, round, 1), at(end), now);
                end += 1;
            }
        }
        now = now.after(EXPIRATION * 2);
        state.expire(now);
        assert_eq!(state.len(), 0);
        memory = if life == 0 { state.memory_bytes() } else { memory };
    }
    assert_eq!(state.memory_bytes(), memory);
    assert_eq!(state.largest_id().map(ProducerId::get), Some(20 * 500 - 1));
}

#[test]
fn a_refusal_says_what_would_be_right() {
    let mut state = Producers::new(limits(), 5);
    for sequence in 0..7 {
        state.replay(&plain(1, 3, sequence, 1), at(sequence.into()), Tick::default());
    }
    let refusal = |batch| state.check(&batch, Origin::Client).unwrap_err();
    match refusal(plain(1, 3, 9, 1)) {
        NotAppended::OutOfOrderSequence { expected, found, .. } => {
            assert_eq!((expected.get(), found.get()), (7, 9));
        }
        other => panic!("{other}"),
    }
    match refusal(plain(1, 3, 1, 1)) {
        NotAppended::DuplicateSequence { oldest, found, .. } => {
            assert_eq!((oldest.get(), found.get()), (2, 1));
        }
        other => panic!("{other}"),
    }
    match refusal(plain(1, 2, 7, 1)) {
        NotAppended::InvalidProducerEpoch { current, found, .. } => {
            assert_eq!((current.get(), found.get()), (3, 2));
        }
        other => panic!("{other}"),
    }
    match refusal(plain(2, 0, 7, 1)) {
        NotAppended::UnknownProducerId { producer_id, found } => {
            assert_eq!((producer_id.get(), found.get()), (2, 7));
        }
        other => panic!("{other}"),
    }
}
