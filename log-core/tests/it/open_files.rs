//! Many partitions and few open files.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io};

use log_core::clock::ManualClock;
use log_core::disk::{Directory, File, MemoryDirectory, Open};
use log_core::ids::TimestampMs;
use log_core::{Drive, Durability, LogState, Store};

use crate::log::{batch, new_log, partition, read_all};
use crate::world::read_around;

/// A directory that counts its open files and refuses more than so many, as a process does.
#[derive(Clone, Debug)]
struct Counted {
    inner: MemoryDirectory,
    open: Arc<AtomicUsize>,
    limit: usize,
}

impl Counted {
    fn new(limit: usize) -> Self {
        Self { inner: MemoryDirectory::new(), open: Arc::default(), limit }
    }
}

#[derive(Debug)]
struct CountedFile {
    inner: Arc<dyn File>,
    open: Arc<AtomicUsize>,
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl File for CountedFile {
    forward!(len read_at write_at allocate set_len sync drop_cache);
}

impl Directory for Counted {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        if self.open.load(Ordering::SeqCst) >= self.limit {
            return Err(io::Error::from_raw_os_error(24));
        }
        let inner = self.inner.open(path, open)?;
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(CountedFile { inner, open: Arc::clone(&self.open) }))
    }
    forward!(create_dir list rename unlink remove_dir sync_dir lock disk);
}

fn open(directory: &Counted, clock: &ManualClock, open_files: u32) -> Store {
    Store::builder()
        .directory(Arc::new(directory.clone()))
        .clock(Arc::new(clock.clone()))
        .drive(Drive::Manual)
        .open_files_max(open_files)
        .open("/")
        .unwrap()
}

fn settle(store: &Store, clock: &ManualClock) {
    for _ in 0..3 {
        clock.advance(Duration::from_secs(2));
        while store.turn() {}
    }
}

/// Writes to each partition in turn, twice, and reads all of it back.
fn write_and_read(store: &Store, clock: &ManualClock, partitions: u32) {
    for round in 0..2 {
        for number in 0..partitions {
            let log = store.log(&partition(number)).unwrap();
            let value = format!("{number} in round {round}");
            let ticket = log.append(batch(&[&value]), Durability::Synced).unwrap();
            ticket.wait().unwrap();
            settle(store, clock);
        }
    }
    for number in 0..partitions {
        let all = read_all(&store.log(&partition(number)).unwrap());
        let expected = [(0, format!("{number} in round 0")), (1, format!("{number} in round 1"))];
        assert_eq!(all, expected);
    }
}

#[test]
fn row_107_idle_partitions_keep_no_file_open() {
    let (directory, clock) = (Counted::new(usize::MAX), ManualClock::new(TimestampMs::new(1)));
    let store = open(&directory, &clock, 10);
    store.create_topic(&"orders".parse().unwrap(), 60).unwrap();
    write_and_read(&store, &clock, 60);
    let files = directory.open.load(Ordering::SeqCst);
    assert!(files <= 12, "{files} files are open, 10 were asked for");
    store.close().unwrap();
    drop(store);
    assert_eq!(directory.open.load(Ordering::SeqCst), 0, "a closed store has no file open");
    let store = open(&directory, &clock, 10);
    assert!(directory.open.load(Ordering::SeqCst) <= 12, "nor does one that was just opened");
    store.close().unwrap();
}

#[test]
fn row_39_where_the_process_may_open_no_more_idle_files_make_room() {
    let (directory, clock) = (Counted::new(12), ManualClock::new(TimestampMs::new(1)));
    // The settings allow more than the process does.
    let store = open(&directory, &clock, 1000);
    store.create_topic(&"orders".parse().unwrap(), 30).unwrap();
    write_and_read(&store, &clock, 30);
    store.close().unwrap();
}

#[test]
fn row_54_a_segment_that_another_program_deletes_or_shortens_is_named_and_the_rest_reads_on() {
    for shorten in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::builder().segment_bytes_max(4096).open(dir.path()).unwrap();
        let log = new_log(&store);
        let value = |number: i64| format!("value {number:04}");
        for number in 0..120 {
            drop(log.append(batch(&[&value(number)]), Durability::Buffered).unwrap());
        }
        store.close().unwrap();
        drop((store, log));
        // No file is held open, so what is done to one by its name is met at the next read.
        let store = Store::builder().segment_bytes_max(4096).open_files_max(1);
        let store = store.open(dir.path()).unwrap();
        let log = store.log(&partition(0)).unwrap();
        let segments = log.info().segments;
        assert!(segments.len() > 2);
        let (struck, next) = (&segments[1], segments[2].base_offset.get());
        let first = struck.base_offset.get();
        if shorten {
            let kept = u64::from(struck.bytes) / 2;
            fs::OpenOptions::new().write(true).open(&struck.path).unwrap().set_len(kept).unwrap();
        } else {
            fs::remove_file(&struck.path).unwrap();
        }
        let (read, damaged) = read_around(&log);
        let [(from, until)] = damaged.as_slice() else { unreachable!("{damaged:?}") };
        assert_eq!(*until, next, "the log goes on with the next segment");
        assert!(if shorten { (first + 1..next).contains(from) } else { *from == first });
        let rest = (0..120).filter(|at| !(*from..*until).contains(at));
        let rest: Vec<_> = rest.map(|at| (at, value(at))).collect();
        assert_eq!(read, rest, "everything else reads on");
        let state = log.info().state;
        assert!(matches!(state, LogState::Damaged(_)), "{state}");
        let more = log.append_wait(batch(&["more"]), Durability::Synced).unwrap();
        assert_eq!(more.base_offset.get(), 120);
    }
}
