//! Transactions in one log: what readers of committed data are shown, when, and after what.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::Stop;
use log_core::disk::{Directory, MemoryDirectory, Open};
use log_core::format::{
    BatchBuilder, BatchOptions, EndTxnMarker, NewRecord, RecordBatch, TransactionResult,
};
use log_core::ids::TimestampMs;
use log_core::{
    AbortedTransaction, AppendError, Drive, Durability, FetchLimits, IsolationLevel, Log,
    MarkerDecides, NotAppended, Offset, Store,
};
use proptest::prelude::*;

use crate::log::partition;
use crate::producers::{build as small, epoch, options, producer};

const COMMITTED: IsolationLevel = IsolationLevel::ReadCommitted;

fn at(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

/// A batch of so many records of 300 bytes: a few fill a segment.
fn build(options: BatchOptions, records: i32) -> RecordBatch {
    let mut builder = BatchBuilder::new(options);
    for number in 0..records {
        let (timestamp, value) = (TimestampMs::new(1_000 + i64::from(number)), [b'v'; 300]);
        let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

/// A log in memory, and what is written to it by producers that count their sequences.
struct World {
    directory: MemoryDirectory,
    store: Store,
    log: Log,
    /// Epoch and next sequence of each producer.
    producers: BTreeMap<i64, (i16, i32)>,
    written: Vec<Written>,
}

/// What stands at one offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Written {
    Plain,
    /// Of this producer's transaction that began at this offset.
    In(i64, i64),
    Marker(i64, TransactionResult),
}

fn open(directory: &MemoryDirectory, segment_bytes: u32) -> Store {
    Store::builder()
        .directory(Arc::new(directory.clone()))
        .drive(Drive::Inline)
        .clock(Arc::new(ManualClock::new(TimestampMs::new(1_000))))
        .segment_bytes_max(segment_bytes)
        .index_interval_bytes(200)
        .open("store")
        .unwrap()
}

impl World {
    fn new(segment_bytes: u32) -> Self {
        let directory = MemoryDirectory::new();
        let store = open(&directory, segment_bytes);
        store.create_topic(partition(0).topic(), 1).unwrap();
        let log = store.log(&partition(0)).unwrap();
        Self { directory, store, log, producers: BTreeMap::new(), written: Vec::new() }
    }

    /// Reopens the store: closed before, or as a crash leaves it.
    fn reopen(self, clean: bool, segment_bytes: u32, between: impl FnOnce(&dyn Directory)) -> Self {
        let Self { directory, store, log, producers, written } = self;
        drop(log);
        if clean {
            store.close().unwrap();
        }
        drop(store);
        between(&directory);
        let store = open(&directory, segment_bytes);
        let log = store.log(&partition(0)).unwrap();
        Self { directory, store, log, producers, written }
    }

    fn plain(&mut self, records: i32) {
        let batch = build(BatchOptions::new(), records);
        self.log.append_wait(batch, Durability::Synced).unwrap();
        self.written.extend((0..records).map(|_| Written::Plain));
    }

    fn open_since(&self, id: i64) -> Option<i64> {
        let mut open = None;
        for written in &self.written {
            match written {
                Written::In(of, first) if *of == id => open = Some(*first),
                Written::Marker(of, _) if *of == id => open = None,
                _ => {}
            }
        }
        open
    }

    fn transactional(&mut self, id: i64, records: i32) {
        let end = self.end();
        let first = self.open_since(id).unwrap_or(end);
        let (number, sequence) = *self.producers.entry(id).or_default();
        let batch = build(options(id, number, sequence).transactional(), records);
        let first_sequence = log_core::ids::Sequence::new(sequence).unwrap();
        let guard = self.log.start_verification(producer(id), epoch(number), first_sequence);
        assert_eq!(guard.is_none(), first < end, "only the first batch needs one");
        let ticket = self.log.append_transactional(batch, guard, Durability::Synced).unwrap();
        assert_eq!(ticket.wait().unwrap().base_offset, at(end));
        self.producers.insert(id, (number, sequence + records));
        self.written.extend((0..records).map(|_| Written::In(id, first)));
    }

    /// The marker bumps the epoch, as transactions of the second version do, or does not.
    fn end_txn(&mut self, id: i64, result: TransactionResult, bump: bool) {
        let entry = self.producers.entry(id).or_default();
        if bump {
            *entry = (entry.0 + 1, 0);
        }
        let marker = EndTxnMarker { result, coordinator_epoch: 0 };
        let number = epoch(entry.0);
        self.log
            .append_marker(marker, producer(id), number, MarkerDecides::Itself, Durability::Synced)
            .unwrap()
            .wait()
            .unwrap();
        self.written.push(Written::Marker(id, result));
    }

    fn end(&self) -> i64 {
        end(&self.written)
    }

    /// Compares every fetch with what it has to be.
    fn check(&self, bytes_max: u32) {
        check(&self.log, &self.written, bytes_max);
    }

    fn files(&self, ending: &str) -> Vec<PathBuf> {
        files(&self.directory, ending)
    }
}

/// How the transaction of `id` that began at `first` ended.
fn result(written: &[Written], id: i64, first: i64) -> Option<TransactionResult> {
    let from = usize::try_from(first).unwrap();
    written[from..].iter().find_map(|written| match written {
        Written::Marker(of, result) if *of == id => Some(*result),
        _ => None,
    })
}

fn end(written: &[Written]) -> i64 {
    i64::try_from(written.len()).unwrap()
}

/// Where readers of committed data have to stop.
fn last_stable(written: &[Written]) -> i64 {
    let undecided = written.iter().filter_map(|one| match *one {
        Written::In(id, first) if result(written, id, first).is_none() => Some(first),
        _ => None,
    });
    undecided.min().unwrap_or_else(|| end(written))
}

/// The offsets such readers are shown from `from` on.
fn visible(written: &[Written], from: i64) -> Vec<i64> {
    let shown = |offset: &i64| match written[usize::try_from(*offset).unwrap()] {
        Written::Plain => true,
        Written::In(id, first) => result(written, id, first) == Some(COMMIT),
        Written::Marker(..) => false,
    };
    (from..last_stable(written)).filter(shown).collect()
}

/// Compares every fetch from a log that holds `written` with what it has to be.
fn check(log: &Log, written: &[Written], bytes_max: u32) {
    assert_eq!(log.last_stable_offset(), at(last_stable(written)));
    for from in 0..=end(written) {
        let found = read(log, at(from), bytes_max, COMMITTED);
        assert_eq!(found, visible(written, from), "from {from} of {written:?}");
    }
    let all = read(log, Offset::ZERO, bytes_max, IsolationLevel::ReadUncommitted);
    let data = written.iter().enumerate().filter(|(_, one)| !matches!(one, Written::Marker(..)));
    let data: Vec<i64> = data.map(|(offset, _)| i64::try_from(offset).unwrap()).collect();
    assert_eq!(all, data);
}

/// What a log holds, told from its batches.
fn told(log: &Log) -> Vec<Written> {
    let (mut written, mut open, mut offset) = (Vec::new(), BTreeMap::new(), Offset::ZERO);
    loop {
        let fetched =
            log.fetch(offset, FetchLimits::default(), IsolationLevel::ReadUncommitted).unwrap();
        if fetched.is_empty() {
            return written;
        }
        for batch in fetched.batches() {
            let batch = batch.unwrap().batch;
            let (id, base) = (batch.producer_id().get(), batch.base_offset().get());
            let one = if batch.is_control() {
                let record = batch.records().unwrap().next().unwrap().unwrap();
                let marker = EndTxnMarker::from_record(record.key, record.value).unwrap().unwrap();
                open.remove(&id);
                Written::Marker(id, marker.result)
            } else if batch.is_transactional() {
                Written::In(id, *open.entry(id).or_insert(base))
            } else {
                Written::Plain
            };
            written.extend((0..batch.records_count()).map(|_| one));
        }
        offset = fetched.next_offset;
    }
}

fn dir() -> PathBuf {
    Path::new("store").join(partition(0).to_string())
}

fn files(directory: &dyn Directory, ending: &str) -> Vec<PathBuf> {
    let names = directory.list(&dir()).unwrap().into_iter().map(|entry| dir().join(entry.name));
    names.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// The offsets of all records that a reader is shown from `from` on.
fn read(log: &Log, from: Offset, bytes_max: u32, isolation: IsolationLevel) -> Vec<i64> {
    let (mut offset, mut found) = (from, Vec::new());
    loop {
        let fetched = log.fetch(offset, FetchLimits::bytes(bytes_max), isolation).unwrap();
        if fetched.is_empty() {
            return found;
        }
        assert!(fetched.next_offset <= fetched.last_stable_offset || isolation != COMMITTED);
        found.extend(fetched.records().map(|record| record.unwrap().offset.get()));
        assert!(fetched.next_offset > offset);
        offset = fetched.next_offset;
    }
}

const ABORT: TransactionResult = TransactionResult::Abort;
const COMMIT: TransactionResult = TransactionResult::Commit;

#[test]
fn d1_interleaved_transactions_have_kafkas_index_and_last_stable_offset() {
    let mut world = World::new(1 << 20);
    world.transactional(1, 5);
    world.plain(3);
    world.transactional(2, 2);
    world.transactional(1, 4);
    world.transactional(3, 3);
    world.plain(2);
    world.transactional(1, 10);
    world.end_txn(1, ABORT, false);
    assert_eq!(world.log.last_stable_offset(), at(8));
    world.transactional(2, 6);
    world.transactional(4, 3);
    world.plain(10);
    world.transactional(3, 9);
    world.end_txn(3, COMMIT, false);
    world.transactional(4, 8);
    world.transactional(2, 7);
    world.end_txn(2, ABORT, false);
    assert_eq!((world.end(), world.log.last_stable_offset()), (75, at(36)));
    world.check(300);
    let world = world.reopen(true, 1 << 20, |_| {});
    let [index] = &world.files("txnindex")[..] else { panic!("one transaction index") };
    let file = world.directory.open(index, Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(0, &mut bytes).unwrap();
    let entry = |id: i64, first: i64, last: i64, stable: i64| {
        let fields = [id, first, last, stable].into_iter().flat_map(i64::to_be_bytes);
        [0, 0].into_iter().chain(fields).collect::<Vec<u8>>()
    };
    assert_eq!(bytes, [entry(1, 0, 29, 8), entry(2, 8, 74, 36)].concat());
    world.check(300);
}

#[test]
fn d3_a_transaction_counts_once_its_marker_is_durable_or_at_once_if_it_decides_nothing() {
    for (decides, before) in [(MarkerDecides::Itself, 0), (MarkerDecides::Nothing, 3)] {
        let directory = MemoryDirectory::new();
        let store = Store::builder()
            .directory(Arc::new(directory))
            .drive(Drive::Manual)
            .open("store")
            .unwrap();
        store.create_topic(partition(0).topic(), 1).unwrap();
        let log = store.log(&partition(0)).unwrap();
        let zero = log_core::ids::Sequence::ZERO;
        let guard = log.start_verification(producer(1), epoch(0), zero);
        let batch = build(options(1, 0, 0).transactional(), 3);
        let _ticket = log.append_transactional(batch, guard, Durability::Synced).unwrap();
        while store.turn() {}
        assert_eq!((log.high_watermark(), log.last_stable_offset()), (at(3), at(0)));
        let marker = EndTxnMarker { result: COMMIT, coordinator_epoch: 0 };
        let (id, number) = (producer(1), epoch(0));
        let _ticket = log.append_marker(marker, id, number, decides, Durability::Synced).unwrap();
        assert_eq!((log.high_watermark(), log.last_stable_offset()), (at(3), at(before)));
        assert_eq!(read(&log, at(0), 1 << 20, COMMITTED).len(), usize::try_from(before).unwrap());
        while store.turn() {}
        assert_eq!(log.last_stable_offset(), at(4));
        assert_eq!(read(&log, at(0), 1 << 20, COMMITTED), [0, 1, 2]);
    }
}

#[test]
fn d6_a_marker_without_data_leaves_no_entry_and_holds_nobody_back() {
    let mut world = World::new(1 << 20);
    world.transactional(1, 2);
    world.end_txn(1, COMMIT, false);
    world.end_txn(1, COMMIT, false);
    world.end_txn(1, ABORT, false);
    assert_eq!(world.log.last_stable_offset(), at(5));
    world.transactional(1, 4);
    world.end_txn(1, ABORT, false);
    world.end_txn(1, ABORT, false);
    world.transactional(1, 2);
    world.check(100);
    let fetched = world.log.fetch(at(0), FetchLimits::default(), COMMITTED).unwrap();
    let aborted = |found: &AbortedTransaction| (found.producer_id, found.first_offset);
    let found: Vec<_> = fetched.aborted_transactions.iter().map(aborted).collect();
    assert_eq!(found, [(producer(1), at(5))]);
}

#[test]
fn d8_below_the_logs_start_nothing_is_unstable() {
    let mut world = World::new(1 << 20);
    world.transactional(1, 8);
    world.plain(3);
    world.log.delete_records(Some(at(5))).unwrap();
    assert_eq!(world.log.last_stable_offset(), at(5));
    let fetched = world.log.fetch(at(5), FetchLimits::default(), COMMITTED).unwrap();
    assert!(fetched.is_empty());
    world.end_txn(1, ABORT, false);
    assert_eq!(read(&world.log, at(5), 1 << 20, COMMITTED), [8, 9, 10]);
}

#[test]
fn d10_a_transaction_over_several_segments_is_named_to_a_reader_of_the_first() {
    let mut world = World::new(4096);
    world.transactional(1, 3);
    for _ in 0..12 {
        world.plain(2);
        world.transactional(1, 3);
    }
    world.end_txn(1, ABORT, true);
    world.plain(1);
    assert!(world.files("log").len() > 3);
    let fetched = world.log.fetch(at(0), FetchLimits::bytes(1), COMMITTED).unwrap();
    assert_eq!(fetched.aborted_transactions.len(), 1);
    assert_eq!(fetched.records().count(), 0);
    world.check(200);
    world.reopen(false, 4096, |_| {}).check(200);
}

/// What began before the last segment is known from the snapshot at its base.
#[test]
fn c26_the_last_segment_recovered_alone_names_the_transactions_that_began_before_it() {
    let mut world = World::new(4096);
    world.transactional(1, 3);
    world.transactional(2, 3);
    while world.log.info().segments.len() < 12 {
        world.plain(2);
    }
    world.end_txn(1, ABORT, false);
    world.plain(1);
    world.end_txn(2, ABORT, false);
    let last = world.log.info().segments.last().unwrap().base_offset.get();
    let aborted = |world: &World| {
        let fetched = world.log.fetch(at(0), FetchLimits::default(), COMMITTED).unwrap();
        fetched.aborted_transactions
    };
    let before = aborted(&world);
    assert_eq!(before.len(), 2);
    let all: u64 = world.log.info().segments.iter().map(|segment| u64::from(segment.bytes)).sum();
    let world = world.reopen(false, 4096, |directory| {
        for path in ["index", "timeindex", "txnindex"].map(|end| format!("{last:020}.{end}")) {
            let _there = directory.unlink(&dir().join(path));
        }
        let _there = directory.unlink(&dir().join("oncelog.checkpoint"));
    });
    let read = world.store.recovered()[0].bytes_read;
    assert!(read < all / 2, "{read} of {all} bytes read");
    assert_eq!(aborted(&world), before);
    world.check(300);
}

#[test]
fn d13_truncation_below_a_transaction_forgets_it_and_above_it_does_not() {
    let mut world = World::new(1 << 20);
    world.plain(4);
    world.transactional(1, 3);
    world.plain(3);
    world.log.truncate_to(at(7)).unwrap();
    assert_eq!(world.log.last_stable_offset(), at(4));
    world.log.truncate_to(at(4)).unwrap();
    assert_eq!(world.log.last_stable_offset(), at(4));
    world.written.truncate(4);
    world.producers.clear();
    world.plain(1);
    world.check(1 << 20);
}

#[test]
fn d15_a_transaction_begins_with_a_guard_that_no_marker_has_spent() {
    let mut world = World::new(1 << 20);
    let batch = |sequence| small(options(1, 0, sequence).transactional(), 1);
    let append = |log: &Log, sequence, guard| {
        log.append_transactional(batch(sequence), guard, Durability::Synced).map(|ticket| {
            ticket.wait().unwrap();
        })
    };
    let unverified = |result: Result<(), AppendError>| {
        let error = result.unwrap_err();
        assert_eq!(error.kafka_code(), 48);
        let expected = NotAppended::TransactionNotVerified { producer_id: producer(1) };
        assert_eq!(error.to_string(), AppendError::from(expected).to_string());
    };
    let log = world.log.clone();
    let zero = log_core::ids::Sequence::ZERO;
    unverified(append(&log, 0, None));
    let stale = log.start_verification(producer(1), epoch(0), zero);
    world.end_txn(1, ABORT, false);
    unverified(append(&log, 0, stale));
    let guard = log.start_verification(producer(1), epoch(0), zero);
    assert_ne!(guard, stale);
    append(&log, 0, guard).unwrap();
    append(&log, 1, None).unwrap();
    append(&log, 2, stale).unwrap();
    assert_eq!(log.start_verification(producer(1), epoch(0), zero), None);
    world.end_txn(1, COMMIT, false);
    unverified(append(&log, 3, guard));
    // A repetition is known without one.
    append(&log, 2, None).unwrap();
}

#[test]
fn d16_a_batch_behind_the_one_that_is_being_verified_waits() {
    let directory = MemoryDirectory::new();
    let store = Store::builder()
        .directory(Arc::new(directory))
        .drive(Drive::Inline)
        .unknown_producers(log_core::UnknownProducers::Accept)
        .open("store")
        .unwrap();
    store.create_topic(partition(0).topic(), 1).unwrap();
    let log = store.log(&partition(0)).unwrap();
    let guard = log.start_verification(producer(1), epoch(0), log_core::ids::Sequence::ZERO);
    let later = small(options(1, 0, 4).transactional(), 1);
    let error = log.append_transactional(later, guard, Durability::Synced).unwrap_err();
    assert_eq!(error.kafka_code(), 45);
    let first = small(options(1, 0, 0).transactional(), 4);
    log.append_transactional(first, guard, Durability::Synced).unwrap().wait().unwrap();
    let later = small(options(1, 0, 4).transactional(), 1);
    log.append_wait(later, Durability::Synced).unwrap();
}

#[test]
fn d48_undecided_records_have_no_time_yet() {
    let mut world = World::new(1 << 20);
    world.plain(1);
    world.transactional(1, 1);
    let time = |isolation| world.log.offset_for_time(TimestampMs::new(0), isolation).unwrap();
    assert_eq!(time(COMMITTED).unwrap().offset, at(0));
    world.log.delete_records(Some(at(1))).unwrap();
    let time = |isolation| world.log.offset_for_time(TimestampMs::new(0), isolation).unwrap();
    assert_eq!(time(COMMITTED), None);
    assert_eq!(time(IsolationLevel::ReadUncommitted).unwrap().offset, at(1));
}

/// Interleaved transactions over several segments, until the life ends; how many batches were made
/// durable.
fn work(log: &Log) -> i64 {
    let mut sequences = BTreeMap::<i64, i32>::new();
    let durable = Durability::Synced;
    for round in 0..24_i64 {
        let id = round % 3;
        let sequence = sequences.entry(id).or_default();
        let ticket = if round % 5 == 4 {
            let result = if round % 2 == 0 { ABORT } else { COMMIT };
            let marker = EndTxnMarker { result, coordinator_epoch: 0 };
            log.append_marker(marker, producer(id), epoch(0), MarkerDecides::Itself, durable)
        } else if round % 7 == 6 {
            log.append(build(BatchOptions::new(), 2), durable)
        } else {
            let first = log_core::ids::Sequence::new(*sequence).unwrap();
            let guard = log.start_verification(producer(id), epoch(0), first);
            let batch = build(options(id, 0, *sequence).transactional(), 2);
            *sequence += 2;
            log.append_transactional(batch, guard, durable)
        };
        match ticket.and_then(log_core::Ticket::wait) {
            Ok(_) => {}
            Err(_) => return round,
        }
    }
    24
}

/// T1, T7 over crash and cut, at each operation of appends, rolls and the close in turn.
#[test]
fn committed_data_is_what_the_log_tells_after_a_stop_at_any_operation() {
    for stop in [Stop::Crash, Stop::Cut] {
        for operation in 1.. {
            let mut world = crate::world::World::with(operation, |builder| {
                builder.segment_bytes_max(4096).index_interval_bytes(200).watermark_bytes(1)
            });
            drop(world.open());
            world.arm(operation, stop);
            let mut acked = 0;
            if let Ok(store) = world.try_open() {
                acked = work(&store.log(&partition(0)).unwrap());
                let _closed = store.close();
            }
            let over = world.disk.is_over();
            let (store, log) = world.open();
            let batches = log.verify().unwrap().batches;
            assert!(batches >= acked.unsigned_abs(), "{acked} acknowledged, {batches} found");
            let written = told(&log);
            check(&log, &written, 2_000);
            // And again, from the files that this opening left.
            drop(log);
            store.close().unwrap();
            drop(store);
            let (_store, log) = world.open();
            check(&log, &written, 2_000);
            if !over {
                assert!(operation > 50, "{operation} operations are no workload");
                break;
            }
        }
    }
}

/// One step of a random world.
#[derive(Clone, Copy, Debug)]
enum Step {
    Plain(i32),
    Data(i64, i32),
    End(i64, bool, bool),
    Reopen(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1..4_i32).prop_map(Step::Plain),
        8 => (0..4_i64, 1..4_i32).prop_map(|(id, records)| Step::Data(id, records)),
        5 => (0..4_i64, any::<bool>(), any::<bool>())
            .prop_map(|(id, commit, bump)| Step::End(id, commit, bump)),
        1 => any::<bool>().prop_map(Step::Reopen),
    ]
}

/// What is done to the files beside the log.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Nothing,
    Remove(&'static str),
    Garble(&'static str),
}

fn harm() -> impl Strategy<Value = Harm> {
    let ending = prop_oneof![
        Just("txnindex"),
        Just("seal"),
        Just("index"),
        Just("timeindex"),
        Just("producers"),
        Just("snapshot"),
        Just("checkpoint"),
    ];
    (0..3, ending).prop_map(|(how, ending)| match how {
        0 => Harm::Nothing,
        1 => Harm::Remove(ending),
        _ => Harm::Garble(ending),
    })
}

/// Does `harm` to every other file of its kind, or to all.
fn inflict(directory: &dyn Directory, harm: Harm, all: bool) {
    let some = |ending| files(directory, ending).into_iter().step_by(if all { 1 } else { 2 });
    match harm {
        Harm::Nothing => {}
        Harm::Remove(ending) => some(ending).for_each(|path| directory.unlink(&path).unwrap()),
        Harm::Garble(ending) => some(ending).for_each(|path| {
            let file = directory.open(&path, Open::Write).unwrap();
            let middle = file.len().unwrap() / 2;
            let mut byte = [0];
            file.read_at(middle, &mut byte).unwrap();
            file.write_at(middle, &[byte[0] ^ 0x41]).unwrap();
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// T1, T7, T9: what readers of committed data see is told by the log alone.
    #[test]
    fn row_66_committed_data_is_the_same_whatever_became_of_the_files_beside_the_log(
        steps in prop::collection::vec(step(), 1..60),
        harms in prop::collection::vec((harm(), any::<bool>()), 8),
        segment_bytes in 4_096..8_000_u32,
        bytes_max in 1..4_000_u32,
    ) {
        let mut world = World::new(segment_bytes);
        let mut harms = harms.into_iter().cycle();
        for step in steps {
            match step {
                Step::Plain(records) => world.plain(records),
                Step::Data(id, records) => world.transactional(id, records),
                Step::End(id, commit, bump) => {
                    world.end_txn(id, if commit { COMMIT } else { ABORT }, bump);
                }
                Step::Reopen(clean) => {
                    let (harm, all) = harms.next().unwrap();
                    world = world.reopen(clean, segment_bytes, |directory| {
                        inflict(directory, harm, all);
                    });
                }
            }
        }
        world.check(bytes_max);
        let (harm, all) = harms.next().unwrap();
        let world = world.reopen(all, segment_bytes, |directory| inflict(directory, harm, all));
        world.check(bytes_max);
    }
}
