//! More producers than a flush turn writes down by itself: their snapshots are made beside appends.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use log_core::disk::sim::{SimDirectory, Stop};
use log_core::disk::{Directory, MemoryDirectory, Open};
use log_core::entropy::{Entropy, SeededEntropy};
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::{Sequence, TimestampMs};
use log_core::{Drive, Durability, Log, Offset, ProducerInfo, Store, StoreBuilder, TopicConfig};
use parking_lot::{Condvar, Mutex};

use crate::log::{new_log, partition};
use crate::producers::{epoch, producer};

/// Above what a turn does by itself.
const MANY: i64 = 10_500;

fn batch(id: i64, sequence: i32) -> RecordBatch {
    let sequence = Sequence::new(sequence).unwrap();
    let options = BatchOptions::new().producer(producer(id), epoch(0), sequence);
    let mut builder = BatchBuilder::new(options);
    let timestamp = TimestampMs::new(1_000);
    builder.push(&NewRecord { timestamp, key: None, value: Some(b"v"), headers: &[] }).unwrap();
    builder.build().unwrap()
}

fn builder() -> StoreBuilder {
    Store::builder().segment_bytes_max(512 * 1024).checkpoint_bytes(128 * 1024)
}

/// Every producer appends once; most of them never again.
fn fill(log: &Log) {
    for id in 0..MANY {
        drop(log.append(batch(id, 0), Durability::Buffered).unwrap());
    }
    log.append_wait(batch(MANY, 0), Durability::Synced).unwrap();
}

/// The names in a directory that end so.
fn names(dir: &Path, end: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(end)).collect()
}

fn state_of(store: &Store) -> Vec<ProducerInfo> {
    store.log(&partition(0)).unwrap().producers()
}

#[test]
fn a_large_snapshot_is_made_beside_appends_and_kept_as_if_it_were_not() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("orders-0");
    let store = builder().open(dir.path()).unwrap();
    let log = new_log(&store);
    fill(&log);
    for sequence in 1..20_000 {
        drop(log.append(batch(7, sequence), Durability::Buffered).unwrap());
    }
    log.append_wait(batch(7, 20_000), Durability::Synced).unwrap();
    let state = log.producers();
    let bases: Vec<Offset> = log.info().segments.iter().map(|is| is.base_offset).collect();
    assert!(bases.len() > 3, "{bases:?}");
    // Whoever deletes segments waits until no snapshot is on its way.
    let start = *bases.last().unwrap();
    log.delete_records(Some(start)).unwrap();
    let kept: BTreeSet<String> = [format!("{:020}.producers", start.get())].into();
    assert_eq!(names(&inside, ".producers"), kept);
    assert_eq!(store.usage().snapshot_write_failures, 0);
    // Not closed: those whose only batches are deleted are known from the snapshot.
    drop((log, store));
    let store = builder().open(dir.path()).unwrap();
    assert_eq!(store.warnings(), [""; 0]);
    assert_eq!(state_of(&store), state);
    store.close().unwrap();
    drop(store);
    let store = builder().open(dir.path()).unwrap();
    assert!(store.recovered()[0].clean);
    assert_eq!(state_of(&store), state);
}

#[test]
fn a_topic_is_deleted_and_a_partition_reopened_and_truncated_while_snapshots_are_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = builder().open(dir.path()).unwrap();
    let mut log = new_log(&store);
    fill(&log);
    let mut sequence = 0;
    let mut roll = |log: &Log| {
        let segments = log.info().segments.len();
        while log.info().segments.len() == segments {
            sequence += 1;
            log.append_wait(batch(7, sequence), Durability::Buffered).unwrap();
        }
        log.append_wait(batch(7, sequence), Durability::Synced).unwrap();
    };
    for round in 0..3 {
        roll(&log);
        let state = log.producers();
        log = store.reopen(&partition(0)).unwrap();
        assert_eq!(log.producers(), state, "round {round}");
    }
    roll(&log);
    let state = log.producers();
    let end = log.log_end_offset();
    log.append_wait(batch(8, 1), Durability::Synced).unwrap();
    log.truncate_to(end).unwrap();
    assert_eq!(log.producers(), state);
    roll(&log);
    store.delete_topic(&"orders".parse().unwrap()).unwrap();
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap()).collect();
    assert!(left.iter().all(|entry| !entry.path().is_dir()), "{left:?}");
    store.close().unwrap();
}

/// A disk on which a snapshot cannot be begun before somebody says so.
#[derive(Clone, Debug)]
struct Gated {
    inner: MemoryDirectory,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Gated {
    fn open_gate(&self) {
        *self.open.0.lock() = true;
        self.open.1.notify_all();
    }
}

impl Directory for Gated {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn log_core::disk::File>> {
        if path.to_str().is_some_and(|path| path.ends_with(".producers.tmp")) {
            let mut opened = self.open.0.lock();
            while !*opened {
                self.open.1.wait(&mut opened);
            }
        }
        self.inner.open(path, open)
    }

    forward!(create_dir list rename unlink remove_dir sync_dir lock disk);
}

#[test]
fn durable_appends_go_on_while_a_large_snapshot_cannot_be_written() {
    let disk = Gated { inner: MemoryDirectory::new(), open: Arc::default() };
    let store = builder()
        .directory(Arc::new(disk.clone()))
        .drive(Drive::Thread)
        .segment_bytes_max(2 * 1024 * 1024)
        .open("/store")
        .unwrap();
    let log = new_log(&store);
    fill(&log);
    let mut sequence = 0;
    while log.info().segments.len() == 1 {
        sequence += 1;
        log.append_wait(batch(7, sequence), Durability::Buffered).unwrap();
    }
    // The snapshot of the roll stands at the gate.
    let base = log.info().segments[1].base_offset;
    for sequence in sequence + 1..sequence + 500 {
        log.append_wait(batch(7, sequence), Durability::Synced).unwrap();
    }
    let snapshots = || {
        let entries = disk.list(Path::new("/store/orders-0")).unwrap();
        entries.into_iter().filter(|entry| entry.name.ends_with(".producers")).count()
    };
    assert_eq!(snapshots(), 0);
    disk.open_gate();
    log.delete_records(Some(base)).unwrap();
    assert_eq!(snapshots(), 1);
    store.close().unwrap();
}

/// A disk that tells whether a snapshot was there when the first segment went.
#[derive(Clone, Debug)]
struct Watched {
    inner: MemoryDirectory,
    safe: Arc<Mutex<Option<bool>>>,
}

impl Directory for Watched {
    fn unlink(&self, path: &Path) -> io::Result<()> {
        if path.ends_with("orders-0/00000000000000000000.log") {
            let entries = self.inner.list(path.parent().unwrap())?;
            let there = entries.iter().any(|entry| entry.name.ends_with(".producers"));
            *self.safe.lock() = Some(there);
        }
        self.inner.unlink(path)
    }

    forward!(open create_dir list rename remove_dir sync_dir lock disk);
}

#[test]
fn a_segment_that_retention_rolls_and_deletes_at_once_leaves_its_large_snapshot_first() {
    let disk = Watched { inner: MemoryDirectory::new(), safe: Arc::default() };
    let open = || {
        let builder = builder().segment_bytes_max(2 * 1024 * 1024).drive(Drive::Thread);
        builder.directory(Arc::new(disk.clone())).open("/store").unwrap()
    };
    let store = open();
    let log = new_log(&store);
    fill(&log);
    let all = TopicConfig::new().retention_bytes_max(0);
    store.alter_topic(&"orders".parse().unwrap(), all).unwrap();
    let end = log.log_end_offset();
    while log.enforce_retention().unwrap().segments_deleted == 0 {}
    assert_eq!(log.log_start_offset(), end);
    assert_eq!(*disk.safe.lock(), Some(true));
    let state = log.producers();
    assert_eq!(state.len(), usize::try_from(MANY + 1).unwrap());
    store.close().unwrap();
    drop((log, store));
    assert_eq!(state_of(&open()).len(), state.len());
}

/// The log is the truth, whatever the power cut left of snapshots and checkpoints.
#[test]
fn a_power_cut_while_a_large_snapshot_is_made_costs_no_producer() {
    for seed in 0..12 {
        let disk = SimDirectory::new(seed);
        let entropy = SeededEntropy::new(seed);
        let open = |disk: &SimDirectory, drive| {
            builder().directory(Arc::new(disk.clone())).drive(drive).open("/store").unwrap()
        };
        let store = open(&disk, Drive::Thread);
        let log = new_log(&store);
        fill(&log);
        let acknowledged = log.producers();
        disk.arm(1 + entropy.next_u64() % 150, Stop::Cut);
        for sequence in 1..20_000 {
            if log.append(batch(7, sequence), Durability::Buffered).is_err() {
                break;
            }
        }
        disk.cut();
        drop((log, store));
        let disk = disk.reborn();
        let store = open(&disk, Drive::Inline);
        let state = state_of(&store);
        drop(store);
        assert_eq!(state.len(), acknowledged.len(), "seed {seed}");
        disk.crash();
        // Nothing but the log.
        let disk = disk.reborn();
        let others = ["log", "metadata"];
        for path in disk.files() {
            let inside = path.parent().is_some_and(|parent| parent.ends_with("orders-0"));
            if inside && others.iter().all(|end| path.extension().is_none_or(|is| is != *end)) {
                disk.unlink(&path).unwrap();
            }
        }
        let store = open(&disk, Drive::Inline);
        assert_eq!(state_of(&store), state, "seed {seed}");
    }
}

#[test]
fn a_checkpoint_of_any_size_keeps_no_store_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = dir.path().join("orders-0/oncelog.checkpoint");
    let store = builder().open(dir.path()).unwrap();
    let log = new_log(&store);
    fill(&log);
    let state = log.producers();
    drop((log, store));
    for bytes in [80 << 20, 3 << 30] {
        File::create(&checkpoint).unwrap().set_len(bytes).unwrap();
        let store = builder().open(dir.path()).unwrap();
        assert_eq!(state_of(&store), state);
        assert!(store.warnings().iter().any(|line| line.contains("void")), "{bytes}");
    }
}
