//! Whole directories from any bytes: a store opens or refuses, loses nothing it can read, and finds
//! the same the second time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use log_core::clock::ManualClock;
use log_core::disk::{Directory, EntryKind, MemoryDirectory, Open};
use log_core::entropy::SeededEntropy;
use log_core::format::{BatchBuilder, BatchOptions, Batches, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{
    Drive, Durability, FetchError, FetchLimits, IsolationLevel, Log, Offset, Store, StoreBuilder,
    TopicPartition,
};

pub(super) const ROOT: &str = "/store";
const FIRST_LOG: &str = "/store/t-0/00000000000000000000.log";
const FIRST_INDEX: &str = "/store/t-0/00000000000000000000.index";
/// Files one archive may hold.
const FILES_MAX: usize = 32;
/// Names an archive may use besides those it makes up.
const NAMES: [&str; 14] = [
    "t-0/00000000000000000000.log",
    "t-0/00000000000000000000.index",
    "t-0/00000000000000000000.timeindex",
    "t-0/00000000000000000000.txnindex",
    "t-0/00000000000000000000.snapshot",
    "t-0/00000000000000000003.log",
    "t-0/00000000000000000003.snapshot",
    "t-0/leader-epoch-checkpoint",
    "t-0/partition.metadata",
    "t-0/oncelog.watermark",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "oncelog.clean",
    "meta.properties",
];

/// A log's readable batches by offset, and where damage is named.
pub(super) type Contents = (Vec<(i64, Vec<u8>)>, Vec<(i64, i64)>);

pub(super) fn open(directory: &Arc<MemoryDirectory>) -> Option<Store> {
    open_with(directory, |builder| builder)
}

pub(super) fn open_with(
    directory: &Arc<MemoryDirectory>,
    settings: impl FnOnce(StoreBuilder) -> StoreBuilder,
) -> Option<Store> {
    let directory: Arc<dyn Directory> = Arc::<MemoryDirectory>::clone(directory);
    let builder = Store::builder()
        .directory(directory)
        .clock(Arc::new(ManualClock::new(TimestampMs::new(1_000_000))))
        .entropy(Arc::new(SeededEntropy::new(1)))
        .drive(Drive::Inline);
    settings(builder).open(ROOT).ok()
}

pub(super) fn empty() -> Arc<MemoryDirectory> {
    let directory = Arc::new(MemoryDirectory::new());
    let made = directory.create_dir(Path::new(ROOT)).is_ok()
        && directory.create_dir(&Path::new(ROOT).join("t-0")).is_ok();
    assert!(made, "memory takes a directory");
    directory
}

/// Puts `bytes` under `path`, in place of what is there.
pub(super) fn put(directory: &MemoryDirectory, path: &Path, bytes: &[u8]) {
    let _there = directory.unlink(path);
    if let Ok(file) = directory.open(path, Open::Create) {
        assert_eq!(file.write_at(0, bytes).ok(), Some(bytes.len()));
    }
}

pub(super) fn contents(log: &Log) -> Contents {
    let (mut batches, mut damaged) = (Vec::new(), Vec::new());
    let mut offset = log.log_start_offset();
    loop {
        match log.fetch(offset, FetchLimits::default(), IsolationLevel::ReadUncommitted) {
            Ok(fetched) if fetched.is_empty() => return (batches, damaged),
            Ok(fetched) => {
                for placed in Batches::new(&fetched.bytes).map_while(Result::ok) {
                    assert!(placed.batch.verify_crc().is_ok(), "what is read is checked (R1)");
                    let base = placed.batch.base_offset().get();
                    batches.push((base, placed.batch.as_bytes().to_vec()));
                }
                assert!(fetched.next_offset > offset, "a read moves on");
                offset = fetched.next_offset;
            }
            Err(FetchError::Corrupt { damage, .. }) => {
                damaged.push((damage.offsets.start.get(), damage.offsets.end.get()));
                if damage.offsets.end <= offset {
                    return (batches, damaged);
                }
                offset = damage.offsets.end;
            }
            Err(_) => return (batches, damaged),
        }
    }
}

pub(super) fn first_log(store: &Store) -> Option<Log> {
    store.log(&TopicPartition::new("t".parse().ok()?, 0)).ok()
}

/// Opens twice without closing; both find the same (D11). Returns what they found.
fn twice(directory: &Arc<MemoryDirectory>) -> Option<Contents> {
    let store = open(directory)?;
    let found = contents(&first_log(&store)?);
    drop(store);
    let store = open(directory);
    assert!(store.is_some(), "what opened once opens again (D11)");
    let again = store.as_ref().and_then(first_log).map(|log| contents(&log));
    assert_eq!(again.as_ref(), Some(&found), "recovery of a recovered log changes nothing (D11)");
    Some(found)
}

/// The bytes as the only segment of a partition.
pub fn segment(data: &[u8]) {
    let directory = empty();
    put(&directory, Path::new(FIRST_LOG), data);
    let Some((batches, damaged)) = twice(&directory) else { return };
    let mut end = 0;
    for (_, bytes) in &batches {
        let at =
            data.get(end..).and_then(|rest| rest.windows(bytes.len()).position(|w| w == bytes));
        let Some(at) = at else { unreachable!("a batch is read that was never there (D4)") };
        assert!(at == 0 || !damaged.is_empty(), "bytes are skipped and no damage is named (R1)");
        end += at + bytes.len();
    }
}

/// The bytes as the index of a good log that was closed cleanly.
pub fn index(data: &[u8]) {
    static TRUTH: OnceLock<Option<Contents>> = OnceLock::new();
    let truth =
        TRUTH.get_or_init(|| open(&good()).as_ref().and_then(first_log).map(|log| contents(&log)));
    let directory = good();
    put(&directory, Path::new(FIRST_INDEX), data);
    let Some(store) = open(&directory) else { unreachable!("an index is a cache") };
    let Some(log) = first_log(&store) else { unreachable!("the partition is there") };
    assert_eq!(Some(contents(&log)), *truth, "an index changes no answer (R5)");
    for offset in 0..log.log_end_offset().get() {
        let offset = Offset::new(offset).unwrap_or(Offset::ZERO);
        let limits = FetchLimits::bytes(1);
        let fetched = log.fetch(offset, limits, IsolationLevel::ReadUncommitted);
        let holds = fetched.is_ok_and(|fetched| fetched.next_offset > offset);
        assert!(holds, "offset {offset} is found whatever the index says (R5)");
    }
}

/// The bytes as an archive: files with names and contents.
pub fn directory(data: &[u8]) {
    let directory = empty();
    let mut rest = data;
    for _ in 0..FILES_MAX {
        let Some((name, bytes)) = entry(&mut rest) else { break };
        let path = Path::new(ROOT).join(&name);
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            continue;
        }
        if let Some(parent) = path.parent() {
            let _made = directory.create_dir(parent);
        }
        put(&directory, &path, bytes);
    }
    let beside = Path::new("/beside");
    put(&directory, beside, b"not ours");
    let _found = twice(&directory);
    let names = directory.list(Path::new("/")).unwrap_or_default();
    let names: Vec<&str> = names.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["beside", "store"], "nothing is written outside of the directory");
}

/// One file: which name, how many bytes, the bytes.
fn entry<'a>(rest: &mut &'a [u8]) -> Option<(String, &'a [u8])> {
    let ([kind, high, low], after) = rest.split_first_chunk::<3>()?;
    let (name, after) = if let Some(name) = NAMES.get(usize::from(*kind)) {
        ((*name).to_owned(), after)
    } else {
        let (name, after) = after.split_at_checked(usize::from(kind % 32))?;
        (String::from_utf8_lossy(name).into_owned(), after)
    };
    let bytes = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
    let (bytes, after) = after.split_at(bytes);
    *rest = after;
    (!name.is_empty() && !name.contains('\0')).then_some((name, bytes))
}

fn batch(first: i64, records: i64, bytes: usize) -> Option<RecordBatch> {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    for number in first..first + records {
        let value = vec![b'v'; bytes];
        let timestamp = TimestampMs::new(1_000 + number);
        let record = NewRecord { timestamp, key: Some(b"k"), value: Some(&value), headers: &[] };
        builder.push(&record).ok()?;
    }
    builder.build()
}

/// A log of forty batches, closed cleanly: made once, copied each time.
fn good() -> Arc<MemoryDirectory> {
    static FILES: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    let directory = empty();
    for (path, bytes) in FILES.get_or_init(make_good) {
        put(&directory, Path::new(path), bytes);
    }
    directory
}

fn make_good() -> Vec<(String, Vec<u8>)> {
    let directory = empty();
    let made = open(&directory).and_then(|store| {
        let log = first_log(&store)?;
        for number in 0..40 {
            let batch = batch(number * 2, 2, 400)?;
            drop(log.append(batch, Durability::Synced).ok()?);
        }
        store.close().ok()
    });
    assert!(made.is_some(), "a store in memory takes what it is given");
    files(&directory).into_iter().collect()
}

/// Every file of the store, by path.
pub(super) fn files(directory: &MemoryDirectory) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for dir in [ROOT.to_owned(), format!("{ROOT}/t-0")] {
        let entries = directory.list(Path::new(&dir)).unwrap_or_default();
        for entry in entries.into_iter().filter(|entry| entry.kind == EntryKind::File) {
            let path = format!("{dir}/{}", entry.name);
            files.insert(path.clone(), file(directory, &path));
        }
    }
    files
}

fn file(directory: &MemoryDirectory, path: &str) -> Vec<u8> {
    let read = directory.open(Path::new(path), Open::Read).and_then(|file| {
        let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(0)];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    });
    read.unwrap_or_default()
}

/// The index that belongs there, and parts of it.
#[must_use]
pub fn index_seeds() -> Vec<Vec<u8>> {
    let index = file(&good(), FIRST_INDEX);
    vec![
        Vec::new(),
        index[..index.len() / 2].to_vec(),
        index.iter().rev().copied().collect(),
        index,
    ]
}

/// A log, torn at several places, with zeros behind, with a hole.
#[must_use]
pub fn segment_seeds() -> Vec<Vec<u8>> {
    let mut log = file(&good(), FIRST_LOG);
    log.truncate(4_000);
    let torn = [61, 512, 1_024, 2_000].map(|end| log[..end].to_vec());
    let mut zeros = log.clone();
    zeros.resize(8_192, 0);
    let mut hole = log.clone();
    hole[1_000..1_100].fill(0);
    torn.into_iter().chain([log, zeros, hole]).collect()
}

/// A good directory, file by file.
#[must_use]
pub fn directory_seeds() -> Vec<Vec<u8>> {
    let directory = good();
    let mut archive = Vec::new();
    for (kind, name) in NAMES.iter().enumerate() {
        let mut bytes = file(&directory, &format!("{ROOT}/{name}"));
        bytes.truncate(3_000);
        archive.push(kind as u8);
        archive.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        archive.extend_from_slice(&bytes);
    }
    let mut unclean = archive.clone();
    unclean.truncate(archive.len() / 2);
    vec![archive, unclean]
}
