//! Batches sent again: known, refused, remembered across a reopening; snapshots that lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log_core::clock::ManualClock;
use log_core::disk::MemoryDirectory;
use log_core::format::snapshot::{parse_snapshot, snapshot_bytes};
use log_core::format::{
    BatchBuilder, BatchOptions, EndTxnMarker, NewRecord, RecordBatch, TransactionResult, stamp,
};
use log_core::ids::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::{
    AppendError, Appended, Drive, Durability, Log, MarkerDecides, NotAppended, Offset,
    ProducerInfo, Store, Ticket, UnknownProducers,
};

use crate::log::{new_log, partition, read_all};

pub(crate) fn producer(id: i64) -> ProducerId {
    ProducerId::new(id).unwrap()
}

pub(crate) fn epoch(number: i16) -> ProducerEpoch {
    ProducerEpoch::new(number).unwrap()
}

pub(crate) fn options(id: i64, number: i16, sequence: i32) -> BatchOptions {
    BatchOptions::new().producer(producer(id), epoch(number), Sequence::new(sequence).unwrap())
}

pub(crate) fn build(options: BatchOptions, records: i32) -> RecordBatch {
    let mut builder = BatchBuilder::new(options);
    for number in 0..records {
        let value = format!("{number}");
        let record = NewRecord {
            timestamp: TimestampMs::new(1_000 + i64::from(number)),
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
        };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

/// `records` records of producer `id` in epoch `number`, from `sequence` on.
pub(crate) fn from(id: i64, number: i16, sequence: i32, records: i32) -> RecordBatch {
    build(options(id, number, sequence), records)
}

fn code(error: &AppendError) -> i16 {
    assert!(matches!(error, AppendError::NotAppended(_)), "{error}");
    error.kafka_code()
}

pub(crate) fn append(log: &Log, batch: RecordBatch) -> Appended {
    log.append_wait(batch, Durability::Synced).unwrap()
}

/// A transactional batch with its place, as another log would hand it over.
fn placed(batch: RecordBatch, offset: i64) -> Vec<u8> {
    let mut bytes = batch.into_bytes();
    stamp(&mut bytes, Offset::new(offset).unwrap(), LeaderEpoch::ZERO).unwrap();
    bytes
}

#[test]
fn a_batch_sent_again_answers_with_its_first_offsets_and_adds_nothing() {
    let log = new_log(&Store::in_memory());
    let first = append(&log, from(7, 0, 0, 3));
    append(&log, from(7, 0, 3, 1));
    let again = append(&log, from(7, 0, 0, 3));
    assert_eq!((again.base_offset, again.last_offset), (first.base_offset, first.last_offset));
    assert_eq!((again.max_timestamp.get(), first.max_timestamp.get()), (1_002, 1_002));
    assert_eq!((again.duplicate, again.batch_bytes, first.duplicate), (true, 0, false));
    let raw = log.append_raw(from(7, 0, 3, 1).as_bytes(), Durability::Synced).unwrap();
    let raw = raw.wait().unwrap();
    assert_eq!((raw.duplicate, raw.base_offset.get()), (true, 3));
    assert_eq!((read_all(&log).len(), log.log_end_offset().get()), (4, 4));
}

#[test]
fn a_refusal_has_kafkas_code_and_changes_nothing() {
    let log = new_log(&Store::in_memory());
    append(&log, from(7, 2, 0, 1));
    let before = log.producers();
    for (batch, expected) in [
        (from(7, 2, 5, 1), 45),
        (from(7, 2, 0, 2), 45),
        (from(7, 3, 1, 1), 45),
        (from(7, 1, 0, 1), 47),
        (from(8, 0, 4, 1), 59),
        (build(options(7, 2, 1).transactional(), 1), 48),
        (build(options(7, 2, -1), 1), 87),
        (build(options(7, -1, 0), 1), 87),
    ] {
        assert_eq!(code(&log.append(batch, Durability::Synced).unwrap_err()), expected);
    }
    assert_eq!((log.producers(), log.log_end_offset().get()), (before, 1));
}

#[test]
fn a_producer_of_which_nothing_is_known_may_begin_anywhere_where_that_is_set() {
    let store = Store::builder()
        .directory(Arc::new(MemoryDirectory::new()))
        .drive(Drive::Inline)
        .unknown_producers(UnknownProducers::Accept)
        .open("/")
        .unwrap();
    let log = new_log(&store);
    assert_eq!(append(&log, from(8, 0, 4, 1)).base_offset.get(), 0);
}

#[test]
fn a_duplicate_is_acknowledged_at_a_level_only_once_its_original_has_it() {
    let store = Store::builder()
        .directory(Arc::new(MemoryDirectory::new()))
        .drive(Drive::Manual)
        .flush_interval(Duration::from_hours(1))
        .open("/")
        .unwrap();
    let log = new_log(&store);
    let first = log.append(from(7, 0, 0, 1), Durability::Buffered).unwrap();
    let later = log.append(from(7, 0, 1, 1), Durability::Synced).unwrap();
    let again = [Durability::Buffered, Durability::Written, Durability::Synced]
        .map(|level| log.append(from(7, 0, 0, 1), level).unwrap());
    assert_eq!([&again[0], &again[1], &again[2]].map(Ticket::is_done), [true, false, false]);
    assert!(first.is_done() && !later.is_done());
    while store.turn() {}
    for ticket in again {
        let appended = ticket.wait().unwrap();
        assert_eq!((appended.base_offset.get(), appended.duplicate), (0, true));
    }
    assert_eq!(later.wait().unwrap().base_offset.get(), 1);
    assert_eq!(log.log_end_offset().get(), 2);
}

#[test]
fn a_duplicate_alone_gets_its_original_flushed() {
    let store = Store::builder()
        .directory(Arc::new(MemoryDirectory::new()))
        .drive(Drive::Manual)
        .flush_interval(Duration::from_hours(1))
        .open("/")
        .unwrap();
    let log = new_log(&store);
    drop(log.append(from(7, 0, 0, 1), Durability::Buffered).unwrap());
    let again = log.append_wait(from(7, 0, 0, 1), Durability::Synced).unwrap();
    assert_eq!((again.duplicate, log.high_watermark().get()), (true, 1));
}

#[test]
fn no_more_producers_than_allowed_and_room_again_once_some_expired() {
    let clock = ManualClock::new(TimestampMs::new(0));
    let store = Store::builder()
        .directory(Arc::new(MemoryDirectory::new()))
        .clock(Arc::new(clock.clone()))
        .drive(Drive::Inline)
        .producers_max(2)
        .producer_expiration(Duration::from_mins(1))
        .open("/")
        .unwrap();
    let log = new_log(&store);
    append(&log, from(1, 0, 0, 1));
    append(&log, from(2, 0, 0, 1));
    match log.append(from(3, 0, 0, 1), Durability::Synced).unwrap_err() {
        AppendError::NotAppended(NotAppended::ProducersFull { producer_id, limit: 2 }) => {
            assert_eq!(producer_id.get(), 3);
        }
        other => panic!("{other}"),
    }
    append(&log, from(1, 0, 1, 1));
    clock.advance(Duration::from_secs(40));
    append(&log, from(1, 0, 2, 1));
    clock.advance(Duration::from_secs(40));
    append(&log, from(3, 0, 0, 1));
    let known: Vec<i64> = log.producers().iter().map(|info| info.producer_id.get()).collect();
    assert_eq!((known, log.info().producers_count), (vec![1, 3], 2));
    // A wall clock that jumps by years ages nobody (I8).
    clock.jump(TimestampMs::new(i64::MAX));
    assert!(append(&log, from(1, 0, 2, 1)).duplicate);
}

#[test]
fn markers_and_transactions_of_another_log_change_the_state() {
    let log = new_log(&Store::in_memory());
    let data = placed(build(options(7, 0, 0).transactional(), 2), 0);
    log.replicate_raw(&data, Durability::Synced).unwrap().wait().unwrap();
    assert_eq!((log.high_watermark().get(), log.last_stable_offset().get()), (2, 0));
    append(&log, from(8, 0, 0, 1));
    let plain = placed(from(7, 0, 2, 1), 3);
    assert_eq!(code(&log.replicate_raw(&plain, Durability::Synced).unwrap_err()), 48);
    let mut both = placed(build(options(7, 0, 2).transactional(), 1), 3);
    let marker = EndTxnMarker { result: TransactionResult::Commit, coordinator_epoch: 4 };
    let mut end = marker.to_batch(producer(7), epoch(1), TimestampMs::new(9)).unwrap();
    stamp(&mut end, Offset::new(4).unwrap(), LeaderEpoch::ZERO).unwrap();
    both.extend_from_slice(&end);
    log.replicate_raw(&both, Durability::Synced).unwrap().wait().unwrap();
    assert_eq!(log.last_stable_offset().get(), 5);
    let info = &log.producers()[0];
    assert_eq!((info.producer_epoch.get(), info.coordinator_epoch, info.batches.len()), (1, 4, 0));
    assert_eq!(code(&log.append(from(7, 0, 3, 1), Durability::Synced).unwrap_err()), 47);
}

#[test]
fn a_coordinators_marker_ends_the_transaction_and_its_predecessors_are_fenced() {
    let log = new_log(&Store::in_memory());
    let data = placed(build(options(7, 0, 0).transactional(), 2), 0);
    log.replicate_raw(&data, Durability::Synced).unwrap().wait().unwrap();
    let end = |coordinator_epoch, number| {
        let marker = EndTxnMarker { result: TransactionResult::Abort, coordinator_epoch };
        let ticket = log.append_marker(
            marker,
            producer(7),
            epoch(number),
            MarkerDecides::Itself,
            Durability::Synced,
        );
        ticket.map(|ticket| ticket.wait().unwrap().base_offset.get())
    };
    assert_eq!(end(3, 1).unwrap(), 2);
    assert_eq!(log.last_stable_offset().get(), 3);
    assert_eq!(code(&end(2, 1).unwrap_err()), 52);
    assert_eq!(code(&end(3, 0).unwrap_err()), 47);
    assert_eq!(log.log_end_offset().get(), 3);
}

/// Row 85: what a batch says of its producer does not fit together.
#[test]
fn row_85_a_batch_that_contradicts_itself_is_refused_at_every_door() {
    let log = new_log(&Store::in_memory());
    for (what, options) in [
        ("transactional, nobody's", BatchOptions::new().transactional()),
        ("no epoch", options(7, -1, 0)),
        ("no sequence", options(7, 0, -1)),
    ] {
        let batch = build(options, 1);
        let built = log.append(batch.clone(), Durability::Buffered).unwrap_err();
        let raw = log.append_raw(batch.as_bytes(), Durability::Buffered).unwrap_err();
        assert_eq!((code(&built), code(&raw)), (87, 87), "{what}");
        let kept = log.replicate_raw(&placed(batch, 0), Durability::Buffered);
        match kept {
            // What a coordinator appends has no sequence.
            Ok(_) => assert_eq!(what, "no sequence"),
            Err(error) => assert_eq!(code(&error), 87, "{what}"),
        }
    }
    // Below −1 a batch cannot even be read: producer id, epoch, sequence.
    for at in [43, 51, 53] {
        let mut bytes = from(7, 0, 0, 1).into_bytes();
        bytes[at] = 0x80;
        for door in [Log::append_raw, Log::replicate_raw] {
            assert_eq!(code(&door(&log, &bytes, Durability::Buffered).unwrap_err()), 87, "{at}");
        }
    }
}

/// Row 86: as many producers as somebody cares to make up.
#[test]
fn row_86_producers_without_end_take_bounded_memory() {
    let clock = ManualClock::new(TimestampMs::new(0));
    let store = Store::builder()
        .directory(Arc::new(MemoryDirectory::new()))
        .clock(Arc::new(clock.clone()))
        .drive(Drive::Inline)
        .producers_max(10_000)
        .open("/")
        .unwrap();
    let log = new_log(&store);
    let mut full = 0;
    for id in 0..12_000 {
        match log.append(from(id, 0, 0, 1), Durability::Buffered) {
            Ok(_) => {}
            Err(error) => full += i32::from(code(&error) == 44),
        }
    }
    let info = log.info();
    assert_eq!((full, info.producers_count), (2_000, 10_000));
    assert!(info.producers_bytes <= 96 * 10_000, "{}", info.producers_bytes);
    clock.advance(Duration::from_hours(25));
    // Each append forgets some who expired.
    for sequence in 0..700 {
        append(&log, from(20_000, 0, sequence, 1));
    }
    assert_eq!(log.info().producers_count, 1);
    assert_eq!(log.largest_producer_id(), Some(producer(20_000)));
}

/// Row 95: the largest sequence is inside a batch, and nothing is special about it.
#[test]
fn row_95_sequences_go_on_from_zero_inside_a_batch_also_after_a_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = new_log(&store);
    let near = placed(from(7, 0, i32::MAX - 4, 3), 0);
    log.replicate_raw(&near, Durability::Synced).unwrap().wait().unwrap();
    assert_eq!(append(&log, from(7, 0, i32::MAX - 1, 5)).base_offset.get(), 3);
    assert_eq!(append(&log, from(7, 0, 3, 1)).base_offset.get(), 8);
    store.close().unwrap();
    drop((log, store));
    fs::remove_file(dir.path().join("oncelog.clean")).unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = store.log(&partition(0)).unwrap();
    let across = append(&log, from(7, 0, i32::MAX - 1, 5));
    assert_eq!((across.duplicate, across.base_offset.get()), (true, 3));
    assert!(append(&log, from(7, 0, i32::MAX - 4, 3)).duplicate);
    let overlap = log.append(from(7, 0, i32::MAX, 4), Durability::Synced).unwrap_err();
    assert_eq!(code(&overlap), 45);
    assert_eq!(append(&log, from(7, 0, 4, 1)).base_offset.get(), 9);
    let sequences: Vec<(i32, i32)> = log.producers()[0]
        .batches
        .iter()
        .map(|batch| (batch.base_sequence.get(), batch.last_sequence.get()))
        .collect();
    let max = i32::MAX;
    assert_eq!(sequences, [(4, 4), (3, 3), (max - 1, 2), (max - 4, max - 2)]);
}

/// A directory with three producers over several segments.
struct Scene {
    dir: tempfile::TempDir,
    state: Vec<ProducerInfo>,
}

impl Scene {
    fn open(dir: &Path) -> Store {
        Store::builder().segment_bytes_max(4096).open(dir).unwrap()
    }

    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Self::open(dir.path());
        let log = new_log(&store);
        let put = |batch| drop(log.append(batch, Durability::Buffered).unwrap());
        for round in 0..30 {
            put(from(1, 0, round * 4, 4));
            put(from(2, 1, round, 1));
        }
        put(from(3, 0, 0, 2));
        let state = log.producers();
        assert!(log.info().segments.len() > 1, "the scene has rolled");
        store.close().unwrap();
        Self { dir, state }
    }

    fn partition(&self) -> PathBuf {
        self.dir.path().join("orders-0")
    }

    fn named(&self, ends: &[&str]) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(self.partition())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| ends.iter().any(|end| path.extension().is_some_and(|is| is == *end)))
            .collect();
        found.sort();
        found
    }

    fn remove(&self, ends: &[&str]) {
        self.named(ends).iter().for_each(|path| fs::remove_file(path).unwrap());
    }

    fn unclean(&self) {
        fs::remove_file(self.dir.path().join("oncelog.clean")).unwrap();
    }

    /// Opens and compares; returns whether nothing had to be scanned.
    fn check(&self) -> bool {
        let store = Self::open(self.dir.path());
        let log = store.log(&partition(0)).unwrap();
        assert_eq!(log.producers(), self.state);
        for batch in self.state[0].batches.iter().rev() {
            let again = append(&log, from(1, 0, batch.base_sequence.get(), 4));
            assert_eq!((again.base_offset, again.duplicate), (batch.base_offset, true));
        }
        assert_eq!(append(&log, from(1, 0, 120, 4)).base_offset.get(), 152);
        let recovered = &store.recovered()[0];
        assert!(recovered.damage.is_empty() && recovered.warnings.is_empty(), "{recovered:?}");
        recovered.clean
    }
}

#[test]
fn i3_the_state_is_the_same_with_and_without_snapshots_after_a_close_and_after_a_crash() {
    assert!(Scene::new().check(), "read where the close left it");
    let bare = Scene::new();
    bare.remove(&["snapshot", "producers"]);
    assert!(!bare.check(), "read from the log");
    let ours = Scene::new();
    ours.remove(&["snapshot"]);
    assert!(ours.check(), "Kafka's file is for Kafka");
    let crashed = Scene::new();
    crashed.unclean();
    assert!(!crashed.check());
    let both = Scene::new();
    both.unclean();
    both.remove(&["snapshot", "producers"]);
    assert!(!both.check());
}

#[test]
fn a_close_leaves_what_kafka_reads() {
    let scene = Scene::new();
    let snapshots = scene.named(&["snapshot"]);
    let last = snapshots.last().unwrap();
    assert!(last.ends_with("00000000000000000152.snapshot"), "{last:?}");
    let entries = parse_snapshot(&fs::read(last).unwrap()).unwrap();
    let numbers: Vec<_> = entries
        .iter()
        .map(|entry| {
            let last = entry.last_offset.unwrap().get();
            (entry.producer_id.get(), entry.last_sequence.get(), last, entry.offset_delta)
        })
        .collect();
    assert_eq!(numbers, [(1, 119, 148, 3), (2, 29, 149, 0), (3, 1, 151, 1)]);
    let bases: Vec<PathBuf> = scene.named(&["log"]);
    assert_eq!(snapshots.len(), bases.len(), "one a roll, none at 0, one at the end");
    for path in &snapshots {
        assert!(path.with_extension("producers").exists());
        parse_snapshot(&fs::read(path).unwrap()).unwrap();
    }
}

/// Row 67: what is wrong with a snapshot, in every way, and the state is right all the same.
#[test]
fn row_67_a_bad_snapshot_is_not_believed() {
    type Edit = fn(&mut Vec<u8>);
    let edits: [(&str, Edit); 7] = [
        ("a flipped bit", |bytes| {
            let at = bytes.len() - 20;
            bytes[at] ^= 1;
        }),
        ("an unknown version", |bytes| bytes[1] = 9),
        ("a huge count", |bytes| bytes[6..14].copy_from_slice(&[0x7F; 8])),
        ("half of it", |bytes| bytes.truncate(bytes.len() / 2)),
        ("nothing", Vec::clear),
        ("zeros", |bytes| bytes.fill(0)),
        ("more than it says", |bytes| bytes.extend_from_slice(&[7; 500])),
    ];
    for (what, edit) in edits {
        for unclean in [false, true] {
            let scene = Scene::new();
            for path in scene.named(&["snapshot", "producers"]) {
                let mut bytes = fs::read(&path).unwrap();
                edit(&mut bytes);
                fs::write(&path, bytes).unwrap();
            }
            if unclean {
                scene.unclean();
            }
            assert!(!scene.check(), "{what}");
        }
    }
}

#[test]
fn row_67_a_snapshot_past_the_end_is_removed_before_the_first_append() {
    for unclean in [false, true] {
        let scene = Scene::new();
        let newest = scene.named(&["snapshot", "producers"]);
        for path in newest.iter().rev().take(2) {
            let end = path.extension().unwrap().to_str().unwrap().to_owned();
            fs::copy(path, scene.partition().join(format!("{:020}.{end}", 153))).unwrap();
            fs::copy(path, scene.partition().join(format!("{:020}.{end}", 9_000))).unwrap();
        }
        if unclean {
            scene.unclean();
        }
        let store = Scene::open(scene.dir.path());
        let left = scene.named(&["snapshot", "producers"]);
        assert!(left.iter().all(|path| !path.to_str().unwrap().contains("00153")), "{left:?}");
        assert!(left.iter().all(|path| !path.to_str().unwrap().contains("09000")), "{left:?}");
        assert_eq!(store.log(&partition(0)).unwrap().producers(), scene.state);
    }
}

#[test]
fn a_snapshot_of_another_life_of_the_log_is_not_believed() {
    // The same offsets, other producers: the file of one log is put into another's directory.
    let (one, other) = (Scene::new(), tempfile::tempdir().unwrap());
    let store = Scene::open(other.path());
    let log = new_log(&store);
    for round in 0..38 {
        append(&log, from(9, 0, round * 4, 4));
    }
    store.close().unwrap();
    let name = "orders-0/00000000000000000152.producers";
    assert_ne!(
        fs::read(one.dir.path().join(name)).unwrap(),
        fs::read(other.path().join(name)).unwrap()
    );
    fs::copy(other.path().join(name), one.dir.path().join(name)).unwrap();
    assert!(!one.check());
}

#[test]
fn who_wrote_before_the_first_segment_is_known_from_the_snapshot_at_its_base() {
    // Producer 4 writes into the first segment only; then that segment goes.
    let early = tempfile::tempdir().unwrap();
    let store = Scene::open(early.path());
    let log = new_log(&store);
    append(&log, from(4, 2, 0, 3));
    for round in 0..60 {
        append(&log, from(1, 0, round * 4, 4));
    }
    let bases: Vec<i64> =
        log.info().segments.iter().map(|segment| segment.base_offset.get()).collect();
    let state = log.producers();
    store.close().unwrap();
    drop((log, store));
    let partition_dir = early.path().join("orders-0");
    for end in ["log", "index"] {
        fs::remove_file(partition_dir.join(format!("{:020}.{end}", 0))).unwrap();
    }
    fs::remove_file(early.path().join("oncelog.clean")).unwrap();
    let open = || {
        let store = Scene::open(early.path());
        let known = store.log(&partition(0)).unwrap().producers();
        let warnings = store.warnings().join("\n");
        (known, warnings)
    };
    assert_eq!(open(), (state.clone(), String::new()), "by our file");
    fs::remove_file(partition_dir.join(format!("{:020}.producers", bases[1]))).unwrap();
    assert_eq!(open(), (state.clone(), String::new()), "by Kafka's file");
    let path = partition_dir.join(format!("{:020}.snapshot", bases[1]));
    fs::write(&path, &snapshot_bytes(&[])[..5]).unwrap();
    let (known, warnings) = open();
    assert_eq!(known, state[..1], "by neither: only who is in the log");
    assert!(warnings.contains("are not known any more"), "{warnings}");
}

#[test]
fn time_in_which_the_store_is_closed_ages_nobody_and_time_in_which_it_is_open_counts_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut minutes = 0;
    let mut life = |advance: u64| {
        // Each life has a wall clock far from the last one's.
        minutes += 100_000;
        let clock = ManualClock::new(TimestampMs::new(minutes * 60_000));
        let store = Store::builder()
            .clock(Arc::new(clock.clone()))
            .drive(Drive::Inline)
            .producer_expiration(Duration::from_hours(1))
            .open(dir.path())
            .unwrap();
        if store.topics().is_empty() {
            append(&new_log(&store), from(1, 0, 0, 1));
        }
        clock.advance(Duration::from_mins(advance));
        let log = store.log(&partition(0)).unwrap();
        // Another producer's append is what sweeps.
        let sequence = log.producers().into_iter().find(|info| info.producer_id.get() == 2);
        let sequence = sequence.map_or(0, |info| info.last_sequence.get() + 1);
        append(&log, from(2, 0, sequence, 1));
        let known = log.producers().len();
        store.close().unwrap();
        known
    };
    assert_eq!([life(20), life(20), life(15)], [2, 2, 2]);
    assert_eq!(life(10), 1, "65 minutes of open time");
}
