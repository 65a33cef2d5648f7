//! Readers beside whoever rolls, deletes and truncates: no wrong bytes, and no damage that is none.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use log_core::clock::ManualClock;
use log_core::disk::{Directory, File, MemoryDirectory, Open};
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{
    AppendError, Drive, Durability, FetchError, FetchLimits, IsolationLevel, Log, NotAppended,
    Offset, Store, StoreBuilder,
};

use crate::log::{batch, new_log, partition, read_all};

type Act = Box<dyn FnOnce() + Send>;

/// Something to be done in the middle of somebody's read.
#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Option<(PathBuf, Act)>>>);

impl Hook {
    /// Does `act` when the file is read next.
    fn on_read(&self, path: impl Into<PathBuf>, act: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((path.into(), Box::new(act)));
    }

    fn read(&self, path: &Path) {
        let found = self.0.lock().unwrap().take_if(|(hooked, _)| path.ends_with(hooked));
        if let Some((_, act)) = found {
            act();
        }
    }

    fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

impl core::fmt::Debug for Hook {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Hook")
    }
}

/// A directory in memory with a hook.
#[derive(Clone, Debug)]
struct Hooked {
    inner: MemoryDirectory,
    hook: Hook,
}

#[derive(Debug)]
struct HookedFile {
    inner: Arc<dyn File>,
    path: PathBuf,
    hook: Hook,
}

impl File for HookedFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read_at(position, buffer);
        self.hook.read(&self.path);
        read
    }
    forward!(len write_at allocate set_len sync drop_cache);
}

impl Directory for Hooked {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let inner = self.inner.open(path, open)?;
        Ok(Arc::new(HookedFile { inner, path: path.to_owned(), hook: self.hook.clone() }))
    }
    forward!(create_dir list rename unlink remove_dir sync_dir lock disk);
}

/// One record of `bytes` that says its number.
fn numbered(number: i64, bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    let value = format!("{number:0bytes$}");
    let (timestamp, value) = (TimestampMs::new(1_000 + number), Some(value.as_bytes()));
    builder.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
    builder.build().unwrap()
}

fn at(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

fn fetch(log: &Log, offset: i64) -> Result<Vec<i64>, FetchError> {
    let limits = FetchLimits::bytes(1 << 20);
    let fetched = log.fetch(at(offset), limits, IsolationLevel::ReadUncommitted)?;
    let number = |value: bytes::Bytes| core::str::from_utf8(&value).unwrap().parse().unwrap();
    Ok(fetched.records().map(|record| number(record.unwrap().value.unwrap())).collect())
}

/// A log of 80 records of 1,000 bytes in segments of 32 KiB, of whose files hardly one is open.
fn scene() -> (Hook, Store, Log) {
    let hook = Hook::default();
    let directory = Hooked { inner: MemoryDirectory::new(), hook: hook.clone() };
    let store = builder(&directory).open("/").unwrap();
    let log = new_log(&store);
    for number in 0..80 {
        log.append_wait(numbered(number, 1_000), Durability::Synced).unwrap();
    }
    (hook, store, log)
}

fn builder(directory: &Hooked) -> StoreBuilder {
    Store::builder()
        .directory(Arc::new(directory.clone()))
        .clock(Arc::new(ManualClock::new(TimestampMs::new(1_000))))
        .drive(Drive::Inline)
        .segment_bytes_max(32 * 1024)
        .open_files_max(1)
}

const FIRST: &str = "orders-0/00000000000000000000.log";

#[test]
fn row_101_a_reader_in_a_segment_that_is_deleted_reads_it_to_its_end() {
    let (hook, _store, log) = scene();
    let first = log.info().segments[1].base_offset.get();
    let deleter = log.clone();
    hook.on_read(FIRST, move || {
        assert_eq!(deleter.delete_records(Some(at(70))).unwrap(), at(70));
        // Other files are used, so that no idle one stays open.
        assert_eq!(fetch(&deleter, 75).unwrap(), [75, 76, 77, 78, 79]);
    });
    assert_eq!(fetch(&log, 0).unwrap(), (0..first).collect::<Vec<_>>());
    assert!(hook.is_done());
    let refused = fetch(&log, 0).unwrap_err();
    assert!(
        matches!(refused, FetchError::OutOfRange { start, .. } if start == at(70)),
        "{refused}"
    );
    assert!(log.info().damage.is_empty());
}

#[test]
fn row_101_a_reader_beside_a_truncation_sees_the_log_before_it_or_after() {
    for end in [0, 20, 70] {
        let (hook, _store, log) = scene();
        let cutter = log.clone();
        hook.on_read(FIRST, move || {
            cutter.truncate_to(at(end)).unwrap();
            for number in end..end + 3 {
                cutter.append_wait(numbered(1_000 + number, 1_000), Durability::Synced).unwrap();
            }
        });
        let mut after: Vec<i64> = (0..end).collect();
        after.extend(1_000 + end..1_003 + end);
        let found = fetch(&log, 0).unwrap();
        assert!(after.starts_with(&found) && !found.is_empty(), "{end}: {found:?}");
        assert!(hook.is_done() && log.info().damage.is_empty());
    }
}

#[test]
fn a_time_asked_for_beside_a_deletion_finds_what_is_left() {
    let (hook, _store, log) = scene();
    let time = |millis| {
        let found = log.offset_for_time(TimestampMs::new(millis), IsolationLevel::ReadUncommitted);
        found.unwrap().map(|found| found.offset.get())
    };
    assert_eq!(time(1_010), Some(10));
    let deleter = log.clone();
    hook.on_read(FIRST, move || {
        deleter.delete_records(Some(at(70))).unwrap();
    });
    assert_eq!(time(0), Some(0), "as it was when it was asked");
    assert!(hook.is_done());
    assert_eq!(time(0), Some(70));
    assert_eq!(time(1_075), Some(75));
    let newest = log.offset_of_max_timestamp().unwrap().unwrap();
    assert_eq!((newest.offset, newest.timestamp), (at(79), TimestampMs::new(1_079)));
}

#[test]
fn the_largest_time_is_not_that_of_a_deleted_record() {
    let store = Store::in_memory();
    let log = new_log(&store);
    for times in [&[9_000, 50][..], &[40, 30], &[60]] {
        let mut builder = BatchBuilder::new(BatchOptions::new());
        for time in times {
            let timestamp = TimestampMs::new(*time);
            let value = Some(&b"v"[..]);
            builder.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
        }
        log.append_wait(builder.build().unwrap(), Durability::Synced).unwrap();
    }
    let newest = || log.offset_of_max_timestamp().unwrap().map(|found| found.offset.get());
    for (start, expected) in [(0, Some(0)), (1, Some(4)), (4, Some(4)), (5, None)] {
        log.delete_records(Some(at(start))).unwrap();
        assert_eq!(newest(), expected, "the log starts at {start}");
    }
}

#[test]
fn row_102_what_races_a_close_is_in_the_log_or_refused() {
    for round in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let log = new_log(&store);
        let (tell, told) = channel();
        let append = |writer: usize| {
            let (log, tell) = (log.clone(), tell.clone());
            move || {
                let levels = [Durability::Buffered, Durability::Written, Durability::Synced];
                let mut acked = Vec::new();
                for level in levels.into_iter().cycle().skip(writer) {
                    let value = format!("{writer} {}", acked.len());
                    match log.append_wait(batch(&[&value]), level) {
                        Ok(appended) => acked.push((appended.base_offset.get(), value)),
                        Err(AppendError::NotAppended(NotAppended::Closed)) => break,
                        Err(error) => unreachable!("{error}"),
                    }
                    tell.send(()).unwrap();
                }
                acked
            }
        };
        let mut acked = thread::scope(|scope| {
            let writers: Vec<_> = (0..4).map(|writer| scope.spawn(append(writer))).collect();
            told.iter().take(10 * round).for_each(drop);
            store.close().unwrap();
            let acked = writers.into_iter().flat_map(|writer| writer.join().unwrap());
            acked.collect::<Vec<_>>()
        });
        drop((store, log));
        acked.sort();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(read_all(&store.log(&partition(0)).unwrap()), acked, "round {round}");
    }
}
