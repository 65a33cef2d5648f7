//! A store opened to read only: beside a writer that appends, rolls, deletes and truncates; on a file
//! system that nobody can write; in a directory that another program made.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use log_core::disk::{Directory, Disk, Entry, File, Lock, MemoryDirectory, Open};
use log_core::{
    Drive, Durability, FetchError, FetchLimits, IsolationLevel, Log, Offset, OpenError,
    ReadOnlyLog, ReadOnlyStore, Store, TopicConfig, TopicError,
};

use crate::log::{batch, found, new_log, partition};
use crate::world::{ROOT, World};

const ALL: IsolationLevel = IsolationLevel::ReadUncommitted;

/// Everything a reader finds, as (offset, value).
fn read_all(log: &ReadOnlyLog) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let fetched = match log.fetch(offset, FetchLimits::bytes(300), ALL) {
            // Since the last look records were deleted, or the log was cut: it starts elsewhere.
            Err(FetchError::OutOfRange { .. }) => {
                all.clear();
                offset = log.log_start_offset();
                continue;
            }
            other => other.unwrap(),
        };
        if fetched.is_empty() {
            return all;
        }
        all.extend(found(&fetched));
        assert!(fetched.next_offset > offset, "a fetch moves on");
        offset = fetched.next_offset;
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn row_99_a_reader_beside_the_writer_sees_what_is_durable_and_touches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder()
        .drive(Drive::Thread)
        .watermark_bytes(1)
        .segment_bytes_max(4096)
        .open(dir.path())
        .unwrap();
    let log = new_log(&store);
    let reader = Store::open_read_only(dir.path()).unwrap();
    assert_eq!(reader.partitions().unwrap(), [partition(0)]);
    let seen = reader.log(&partition(0)).unwrap();
    for number in 0..50_i64 {
        log.append_wait(batch(&[&format!("value {number}")]), Durability::Synced).unwrap();
        let found = read_all(&seen);
        assert!(found.len() <= usize::try_from(number + 1).unwrap());
        for (at, (offset, value)) in (0..).zip(found) {
            assert_eq!((offset, value), (at, format!("value {at}")));
        }
    }
    store.close().unwrap();
    drop((store, log));
    assert_eq!(read_all(&seen).len(), 50, "the same reader goes on after the close");
    let before = files(dir.path());
    let again = Store::open_read_only(dir.path()).unwrap().log(&partition(0)).unwrap();
    assert_eq!(read_all(&again).len(), 50);
    assert!(again.recovered().clean && again.recovered().bytes_read == 0);
    assert_eq!(again.verify().unwrap().batches, 50);
    assert!(files(dir.path()) == before, "nothing is written, made or removed");
    // It holds no lock either.
    Store::open(dir.path()).unwrap().close().unwrap();
}

/// Opens what the world's disk holds, to read.
fn reader(world: &World) -> ReadOnlyStore {
    Store::builder().directory(Arc::new(world.disk.clone())).open_read_only(ROOT).unwrap()
}

/// What the writer shows, from its log start on.
fn shown(log: &Log) -> Vec<(i64, String)> {
    crate::log::read_all(log)
}

#[test]
fn row_99_at_every_step_a_reader_sees_a_prefix_of_the_log_from_where_it_starts() {
    for seed in 0..20 {
        let mut world = World::with(seed, |builder| {
            builder.segment_bytes_max(4096).watermark_bytes(1).checkpoint_bytes(1024)
        });
        let (store, log) = world.open();
        let seen = reader(&world).log(&partition(0)).unwrap();
        let mut steps = seed;
        let mut whole = 0;
        for _ in 0..60 {
            steps = steps.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            let end = log.log_end_offset().get();
            match (steps >> 33) % 10 {
                0 => drop(log.delete_records(Offset::new(end / 2))),
                1 => {
                    log.truncate_to(Offset::new(end * 3 / 4).unwrap()).unwrap();
                    world.resume(&log);
                }
                2 => drop(world.append(&log, Durability::Buffered).unwrap()),
                _ => drop(world.append_wait(&log, Durability::Synced).unwrap()),
            }
            let (found, all) = (read_all(&seen), shown(&log));
            // The log may start further on than its watermark said at the reader's last look, and
            // never the other way round.
            let tail =
                found.iter().skip_while(|(offset, _)| *offset < log.log_start_offset().get());
            let tail: Vec<_> = tail.cloned().collect();
            assert!(all.starts_with(&tail), "seed {seed}: {tail:?} of {all:?}");
            whole += usize::from(tail.len() == all.len());
        }
        assert!(whole > 30, "seed {seed}: it follows closely, {whole} times of 60");
        while store.turn() {}
        let fresh = reader(&world).log(&partition(0)).unwrap();
        assert_eq!(read_all(&fresh), read_all(&seen), "seed {seed}: a second reader sees the same");
    }
}

#[test]
fn row_99_a_reader_races_rolls_and_deletions_and_never_meets_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder()
        .drive(Drive::Thread)
        .watermark_bytes(4096)
        .segment_bytes_max(16 * 1024)
        .open(dir.path())
        .unwrap();
    let log = new_log(&store);
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let seen = Store::open_read_only(dir.path()).unwrap().log(&partition(0)).unwrap();
                let mut offset = Offset::ZERO;
                while !done.load(Ordering::Relaxed) {
                    match seen.fetch(offset, FetchLimits::bytes(2000), ALL) {
                        Ok(fetched) => {
                            for record in fetched.records() {
                                let record = record.unwrap();
                                let value = record.value.unwrap();
                                let expected = format!("{:08}", record.offset);
                                assert!(value.starts_with(expected.as_bytes()));
                                reads.fetch_add(1, Ordering::Relaxed);
                            }
                            offset = fetched.next_offset;
                        }
                        Err(FetchError::OutOfRange { .. }) => offset = seen.log_start_offset(),
                        Err(error) => unreachable!("{error}"),
                    }
                }
            });
        }
        for number in 0..3000_i64 {
            let value = format!("{number:08}{}", "x".repeat(100));
            let durability =
                if number % 10 == 9 { Durability::Synced } else { Durability::Buffered };
            let ticket = log.append(batch(&[&value]), durability).unwrap();
            if number % 100 == 99 {
                ticket.wait().unwrap();
                log.delete_records(Offset::new(number - 80)).unwrap();
            }
        }
        while reads.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
    });
    store.close().unwrap();
}

#[test]
fn a_reader_hears_that_its_partition_is_gone_and_finds_a_new_one() {
    let mut world = World::new(1);
    let (store, log) = world.open();
    world.fill(&log, 3);
    let readers = reader(&world);
    let seen = readers.log(&partition(0)).unwrap();
    store.delete_topic(&"orders".parse().unwrap()).unwrap();
    assert!(matches!(
        seen.fetch(Offset::ZERO, FetchLimits::default(), ALL),
        Err(FetchError::Deleted)
    ));
    assert!(matches!(seen.refresh(), Err(OpenError::Unknown { .. })));
    assert!(matches!(readers.log(&partition(0)), Err(TopicError::Unknown { .. })));
    store.create_topic(&"orders".parse().unwrap(), 1).unwrap();
    assert!(matches!(seen.refresh(), Err(OpenError::Unknown { .. })), "another topic");
    assert_eq!(read_all(&readers.log(&partition(0)).unwrap()), []);
}

#[test]
fn after_a_crash_a_reader_sees_up_to_the_watermark_and_repairs_nothing() {
    let mut world = World::new(2);
    let (store, log) = world.open();
    world.fill(&log, 20);
    while store.turn() {}
    world.disk.crash();
    let files = world.disk.files();
    world.disk = world.disk.reborn();
    let seen = reader(&world).log(&partition(0)).unwrap();
    let found = read_all(&seen);
    assert!(found.len() <= 20 && !seen.recovered().clean);
    assert_eq!(world.disk.files(), files);
    let (_store, log) = world.open();
    let all = shown(&log);
    assert!(all.starts_with(&found) && all.len() == 20);
}

#[test]
fn a_directory_without_our_files_is_read_as_far_as_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder().segment_bytes_max(4096).open(dir.path()).unwrap();
    let topic = "orders".parse().unwrap();
    store.create_topic_with(&topic, 1, TopicConfig::new().segment_bytes_max(4096)).unwrap();
    let log = store.log(&partition(0)).unwrap();
    for number in 0..60 {
        log.append_wait(
            batch(&[&format!("value {number} {}", "x".repeat(100))]),
            Durability::Written,
        )
        .unwrap();
    }
    store.close().unwrap();
    let segments = log.info().segments;
    assert!(segments.len() > 1);
    drop((store, log));
    for path in files(dir.path()).into_keys() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let ours = |end: &std::ffi::OsStr| end == "seal" || end == "producers";
        if name.starts_with("oncelog") || path.extension().is_some_and(ours) {
            fs::remove_file(path).unwrap();
        }
    }
    let last = &segments.last().unwrap().path;
    let whole = fs::read(last).unwrap();
    fs::write(last, &whole[..whole.len() - 7]).unwrap();
    let before = files(dir.path());
    let seen = Store::open_read_only(dir.path()).unwrap().log(&partition(0)).unwrap();
    assert_eq!(read_all(&seen).len(), 59, "the last batch is torn");
    assert!(files(dir.path()) == before);
}

/// A file system that is read-only from the start.
#[derive(Clone, Debug)]
struct Frozen(MemoryDirectory);

fn frozen<T>() -> io::Result<T> {
    Err(io::Error::from_raw_os_error(30))
}

impl Directory for Frozen {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        if open == Open::Read { self.0.open(path, open) } else { frozen() }
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.0.list(path).is_ok() { Ok(()) } else { frozen() }
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(path)
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        frozen()
    }
    fn unlink(&self, _: &Path) -> io::Result<()> {
        frozen()
    }
    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        frozen()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        frozen()
    }
    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        self.0.disk()
    }
}

#[test]
fn row_38_a_file_system_that_is_read_only_is_refused_by_name_and_opens_to_read() {
    let memory = MemoryDirectory::new();
    let store = Store::builder().directory(Arc::new(memory.clone())).drive(Drive::Inline);
    let store = store.open("/").unwrap();
    let log = new_log(&store);
    for number in 0..5 {
        log.append_wait(batch(&[&format!("value {number}")]), Durability::Synced).unwrap();
    }
    store.close().unwrap();
    drop((store, log));
    let directory = Arc::new(Frozen(memory));
    let error = Store::builder()
        .directory(Arc::<Frozen>::clone(&directory))
        .drive(Drive::Inline)
        .open("/")
        .unwrap_err();
    let OpenError::Io(fault) = &error else { unreachable!("{error}") };
    assert_eq!(fault.io_error().unwrap().raw_os_error(), Some(30));
    assert!(error.to_string().contains("open_read_only"), "it names the cure: {error}");
    let reader = Store::builder().directory(directory).open_read_only("/").unwrap();
    assert_eq!(read_all(&reader.log(&partition(0)).unwrap()).len(), 5);
}
