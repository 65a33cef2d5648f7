//! What an opening reads: nothing of segments after a clean close, and after anything else what
//! lies above the last checkpoint (S6). And that nothing of it is believed further than it is so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use log_core::disk::{Directory, File, MemoryDirectory, Open};
use log_core::{
    Drive, Durability, FetchLimits, IsolationLevel, Log, LogState, Offset, Recovered, Store,
};

use crate::log::{batch, partition, read_all};

const KIB: u32 = 1024;

/// A directory in memory that counts the bytes read of segment files, and can be full for files
/// that only save time.
#[derive(Clone, Debug, Default)]
struct Watched {
    inner: MemoryDirectory,
    segment_bytes_read: Arc<AtomicU64>,
    no_space_for_caches: Arc<AtomicBool>,
}

#[derive(Debug)]
struct WatchedFile {
    inner: Arc<dyn File>,
    segment: bool,
    cache: bool,
    directory: Watched,
}

impl Watched {
    fn take_count(&self) -> u64 {
        self.segment_bytes_read.swap(0, Ordering::Relaxed)
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension == ending)
}

impl Directory for Watched {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let cache = ["index", "seal", "checkpoint"].iter().any(|kind| name.contains(kind))
            && !name.starts_with("leader-epoch")
            && !name.contains("offset-checkpoint");
        Ok(Arc::new(WatchedFile {
            inner: self.inner.open(path, open)?,
            segment: has_ending(path, "log"),
            cache,
            directory: self.clone(),
        }))
    }
    forward!(create_dir list rename unlink remove_dir sync_dir lock disk);
}

impl File for WatchedFile {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read_at(position, buffer)?;
        if self.segment {
            let bytes = u64::try_from(read).unwrap();
            self.directory.segment_bytes_read.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(read)
    }
    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        if self.cache && self.directory.no_space_for_caches.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.write_at(position, buffer)
    }
    forward!(len allocate set_len sync map drop_cache);
}

fn open_with(directory: &Watched, checkpoint_bytes: u32, segment_bytes: u32) -> Store {
    Store::builder()
        .directory(Arc::new(directory.clone()))
        .drive(Drive::Inline)
        .segment_bytes_max(segment_bytes)
        .checkpoint_bytes(checkpoint_bytes)
        .watermark_bytes(32 * KIB)
        .open("/store")
        .unwrap()
}

fn open(directory: &Watched) -> Store {
    open_with(directory, 256 * KIB, 64 * 1024 * KIB)
}

fn new_log(store: &Store, partitions: u32) -> Log {
    store.create_topic(&"orders".parse().unwrap(), partitions).unwrap();
    store.log(&partition(0)).unwrap()
}

/// Appends batches of about a KiB from number `from` on.
fn fill(log: &Log, from: i64, batches: i64) {
    for number in from..from + batches {
        let value = format!("{number:08}{}", "x".repeat(1000));
        log.append_wait(batch(&[&value]), Durability::Synced).unwrap();
    }
}

fn check(log: &Log, batches: i64) {
    let found = read_all(log);
    assert_eq!(i64::try_from(found.len()).unwrap(), batches);
    for (index, (offset, value)) in (0..).zip(&found) {
        assert_eq!((*offset, &value[..8]), (index, format!("{index:08}").as_str()));
    }
}

fn report(store: &Store) -> Recovered {
    store.recovered().into_iter().find(|report| report.partition == partition(0)).unwrap()
}

/// As after a crash: nothing is closed, and the lock is let go.
fn crash(store: Store, log: Log, directory: &Watched) -> Watched {
    let after = Watched { inner: copy(&directory.inner), ..Watched::default() };
    drop((store, log));
    after
}

fn content(directory: &MemoryDirectory, path: &Path) -> Vec<u8> {
    let file = directory.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
    bytes
}

fn put(directory: &MemoryDirectory, path: &Path, bytes: &[u8]) {
    drop(directory.unlink(path));
    directory.open(path, Open::Create).unwrap().write_at(0, bytes).unwrap();
}

/// Every file of a directory as it is at this moment.
fn copy(from: &MemoryDirectory) -> MemoryDirectory {
    fn level(from: &MemoryDirectory, to: &MemoryDirectory, dir: &Path) {
        to.create_dir(dir).unwrap();
        for entry in from.list(dir).unwrap() {
            let path = dir.join(&entry.name);
            match entry.kind {
                log_core::disk::EntryKind::Directory => level(from, to, &path),
                _ if entry.name == ".lock" => {}
                _ => put(to, &path, &content(from, &path)),
            }
        }
    }
    let to = MemoryDirectory::new();
    level(from, &to, Path::new("/store"));
    to
}

fn at(name: &str) -> PathBuf {
    Path::new("/store/orders-0").join(name)
}

#[test]
fn a_clean_open_of_1_000_partitions_reads_no_segment_data() {
    let directory = Watched::default();
    let store = open_with(&directory, 0, 8 * KIB);
    let log = new_log(&store, 1_000);
    fill(&log, 0, 30);
    for number in 1..1_000 {
        let log = store.log(&partition(number)).unwrap();
        log.append_wait(batch(&["one record each"]), Durability::Synced).unwrap();
    }
    store.close().unwrap();
    drop((store, log));
    directory.take_count();
    let store = open_with(&directory, 0, 8 * KIB);
    assert_eq!(directory.take_count(), 0);
    assert!(store.recovered().iter().all(|report| report.clean && report.bytes_read == 0));
    let log = store.log(&partition(0)).unwrap();
    assert!(log.info().segments.len() > 2, "sealed segments are not read either");
    check(&log, 30);
    fill(&log, 30, 1);
    check(&log, 31);
    // Closing what was not used reads nothing, and what was used is found again.
    let other = store.log(&partition(999)).unwrap();
    drop((log, other));
    directory.take_count();
    store.close().unwrap();
    drop(store);
    let store = open_with(&directory, 0, 8 * KIB);
    assert!(store.recovered().iter().all(|report| report.clean));
    check(&store.log(&partition(0)).unwrap(), 31);
}

#[test]
fn an_unclean_open_reads_what_lies_above_the_checkpoint() {
    let directory = Watched::default();
    let store = open(&directory);
    let log = new_log(&store, 1);
    fill(&log, 0, 1_500);
    let directory = crash(store, log, &directory);
    let file = content(&directory.inner, &at("00000000000000000000.log"));
    let ahead = u64::try_from(file.len()).unwrap() - 1_500 * 1024;
    directory.take_count();
    let store = open(&directory);
    let found = report(&store);
    let read = directory.take_count();
    assert_eq!(read, found.bytes_read, "what is counted is what was read");
    assert!(!found.clean && found.damage.is_empty(), "{found:?}");
    // The zeros ahead, 256 KiB between checkpoints, what is written anew, and a few blocks.
    let most = ahead + (256 + 32 + 32) * 1024;
    assert!(read < most, "{read} bytes of {} were read, not {most}", file.len());
    let log = store.log(&partition(0)).unwrap();
    check(&log, 1_500);
    fill(&log, 1_500, 10);
    check(&log, 1_510);
    // The same without the checkpoint: all of it.
    let directory = crash(store, log, &directory);
    directory.inner.unlink(&at("oncelog.checkpoint")).unwrap();
    let store = open(&directory);
    assert!(report(&store).bytes_read > 1_500 * 1024);
    check(&store.log(&partition(0)).unwrap(), 1_510);
}

#[test]
fn an_unclean_open_does_not_read_sealed_segments() {
    let directory = Watched::default();
    let store = open_with(&directory, 64 * 1024 * KIB, 128 * KIB);
    let log = new_log(&store, 1);
    fill(&log, 0, 1_500);
    let segments = log.info().segments.len();
    assert!(segments > 10);
    let directory = crash(store, log, &directory);
    let store = open_with(&directory, 64 * 1024 * KIB, 128 * KIB);
    let read = report(&store).bytes_read;
    assert!(read < 300 * 1024, "{read} bytes of {segments} segments were read");
    let log = store.log(&partition(0)).unwrap();
    check(&log, 1_500);
    fill(&log, 1_500, 200);
    check(&log, 1_700);
}

/// Opens what `harm` left, which must be the whole log, and goes on with it.
fn survives(harmed: &Watched, batches: i64, what: &str) -> Recovered {
    let store = open(harmed);
    let found = report(&store);
    assert!(found.damage.is_empty(), "{what}: {found:?}");
    let log = store.log(&partition(0)).unwrap();
    check(&log, batches);
    fill(&log, batches, 300);
    let again = crash(store, log, harmed);
    check(&open(&again).log(&partition(0)).unwrap(), batches + 300);
    found
}

#[test]
fn a_checkpoint_that_disagrees_with_anything_is_void() {
    let directory = Watched::default();
    let store = open(&directory);
    let log = new_log(&store, 2);
    fill(&log, 0, 700);
    fill(&store.log(&partition(1)).unwrap(), 0, 600);
    let before = crash(store, log, &directory);
    let harmed = || Watched { inner: copy(&before.inner), ..Watched::default() };
    let log_bytes = content(&before.inner, &at("00000000000000000000.log")).len();
    let whole = u64::try_from(log_bytes).unwrap() - 1;
    assert!(survives(&harmed(), 700, "as it was").bytes_read < whole);

    let other = PathBuf::from("/store/orders-1/oncelog.checkpoint");
    let harm = harmed();
    put(&harm.inner, &at("oncelog.checkpoint"), &content(&harm.inner, &other));
    assert!(survives(&harm, 700, "another partition's").bytes_read > whole);

    for (name, byte) in [
        ("oncelog.checkpoint", 60),
        ("00000000000000000000.index", 3),
        ("00000000000000000000.timeindex", 3),
    ] {
        let harm = harmed();
        let mut bytes = content(&harm.inner, &at(name));
        bytes[byte] ^= 1;
        put(&harm.inner, &at(name), &bytes);
        assert!(survives(&harm, 700, name).bytes_read > whole, "{name} was believed");
        harm.inner.unlink(&at(name)).unwrap();
        survives(&harm, 1_000, name);
    }
}

#[test]
fn a_checkpoint_above_the_end_is_void_and_gone_before_the_first_append() {
    let directory = Watched::default();
    let store = open(&directory);
    let log = new_log(&store, 1);
    fill(&log, 0, 700);
    let after = crash(store, log, &directory);
    // Another life of the log, shorter and without a watermark: as if the device had lied.
    let path = at("00000000000000000000.log");
    let mut bytes = content(&after.inner, &path);
    bytes.truncate(100 * 1024);
    put(&after.inner, &path, &bytes);
    after.inner.unlink(&at("oncelog.watermark")).unwrap();
    let store = open(&after);
    let log = store.log(&partition(0)).unwrap();
    let end = log.log_end_offset().get();
    assert!((90..100).contains(&end), "{end}");
    check(&log, end);
    assert!(after.inner.open(&at("oncelog.checkpoint"), Open::Read).is_err(), "it is still there");
    fill(&log, end, 20);
    check(&log, end + 20);
}

#[test]
fn row_30_no_space_for_an_index_or_a_checkpoint_stops_no_append() {
    let directory = Watched::default();
    let store = open_with(&directory, 16 * KIB, 64 * KIB);
    let log = new_log(&store, 1);
    fill(&log, 0, 20);
    directory.no_space_for_caches.store(true, Ordering::Relaxed);
    fill(&log, 20, 200);
    check(&log, 220);
    assert!(matches!(log.info().state, LogState::Online));
    assert!(store.usage().index_write_failures > 2, "{:?}", store.usage());
    let after = crash(store.clone(), log.clone(), &directory);
    check(&open_with(&after, 16 * KIB, 64 * KIB).log(&partition(0)).unwrap(), 220);
    store.close().unwrap();
    drop((store, log));
    directory.no_space_for_caches.store(false, Ordering::Relaxed);
    let store = open_with(&directory, 16 * KIB, 64 * KIB);
    let log = store.log(&partition(0)).unwrap();
    check(&log, 220);
    fill(&log, 220, 100);
    check(&log, 320);
}

#[test]
fn row_100_a_copy_of_a_live_directory_opens_as_after_a_cut() {
    let directory = Watched::default();
    let store = open_with(&directory, 16 * KIB, 64 * KIB);
    let log = new_log(&store, 1);
    for round in 0..12 {
        fill(&log, round * 37, 37);
        let copied = Watched { inner: copy(&directory.inner), ..Watched::default() };
        let store = open_with(&copied, 16 * KIB, 64 * KIB);
        let found = report(&store);
        assert!(found.damage.is_empty() && found.bytes_cut == 0, "{found:?}");
        let log = store.log(&partition(0)).unwrap();
        check(&log, (round + 1) * 37);
        fill(&log, (round + 1) * 37, 5);
        check(&log, (round + 1) * 37 + 5);
        store.close().unwrap();
    }
    check(&log, 12 * 37);
}

#[test]
fn d12_a_log_that_is_not_what_the_marker_remembers_takes_no_append_until_it_is_recovered() {
    let directory = Watched::default();
    let store = open(&directory);
    let log = new_log(&store, 1);
    fill(&log, 0, 20);
    store.close().unwrap();
    drop((store, log));
    // The same length, and another last batch.
    let path = at("00000000000000000000.log");
    let mut bytes = content(&directory.inner, &path);
    let last = bytes.len() - 10;
    bytes[last] ^= 1;
    put(&directory.inner, &path, &bytes);
    let store = open(&directory);
    let log = store.log(&partition(0)).unwrap();
    let refused = log.append_wait(batch(&["more"]), Durability::Synced).unwrap_err();
    assert!(refused.to_string().contains("reopen the partition"), "{refused}");
    let first = Offset::ZERO;
    let fetched = log.fetch(first, FetchLimits::default(), IsolationLevel::ReadUncommitted);
    assert!(!fetched.unwrap().is_empty(), "what is good can be read");
    let log = store.reopen(&partition(0)).unwrap();
    assert!(matches!(log.info().state, LogState::ReadOnly(_)), "the damage is named");
}

#[test]
fn b39_b40_b42_recovered_indexes_are_those_that_were_there_and_garbage_is_cut() {
    let directory = Watched::default();
    let store = open_with(&directory, 64 * 1024 * KIB, 64 * KIB);
    let log = new_log(&store, 1);
    fill(&log, 0, 150);
    store.close().unwrap();
    drop((store, log));
    let names: Vec<String> = directory
        .list(Path::new("/store/orders-0"))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| name.contains("index"))
        .collect();
    assert!(names.len() >= 6, "{names:?}");
    let sealed = &names[..names.len() - 2];
    let before: Vec<Vec<u8>> =
        sealed.iter().map(|name| content(&directory.inner, &at(name))).collect();
    assert!(before.iter().all(|bytes| !bytes.is_empty()));
    let unclean = |harm: &dyn Fn(&MemoryDirectory)| {
        let after = Watched { inner: copy(&directory.inner), ..Watched::default() };
        after.inner.unlink(Path::new("/store/oncelog.clean")).unwrap();
        harm(&after.inner);
        let store = open_with(&after, 64 * 1024 * KIB, 64 * KIB);
        let log = store.log(&partition(0)).unwrap();
        check(&log, 150);
        store.close().unwrap();
        for (name, before) in sealed.iter().zip(&before) {
            assert_eq!(&content(&after.inner, &at(name)), before, "{name}");
        }
    };
    unclean(&|_| {});
    unclean(&|inner| {
        for name in &names {
            inner.unlink(&at(name)).unwrap();
        }
    });
    unclean(&|inner| {
        let last = names.last().unwrap().replace("timeindex", "log");
        for name in names.iter().chain([&last]) {
            let mut bytes = content(inner, &at(name));
            bytes.extend_from_slice(&[0xA5; 700]);
            put(inner, &at(name), &bytes);
        }
    });
}

#[test]
fn b49_an_empty_active_segment_needs_no_index_file() {
    let directory = Watched::default();
    let store = open(&directory);
    let log = new_log(&store, 1);
    store.close().unwrap();
    drop((store, log));
    let names = directory.list(Path::new("/store/orders-0")).unwrap();
    assert!(names.iter().all(|entry| !entry.name.ends_with("index")), "{names:?}");
    directory.unlink(Path::new("/store/oncelog.clean")).unwrap();
    let store = open(&directory);
    let log = store.log(&partition(0)).unwrap();
    fill(&log, 0, 10);
    check(&log, 10);
}
