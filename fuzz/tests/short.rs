//! A short run of the simulator, and equal bytes on all disks (S23), within `cargo test`.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "in a test a failure is a failure, and its numbers are small"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fuzz::chance::Chance;
use fuzz::history::run;
use fuzz::plan::Plan;
use log_core::clock::ManualClock;
use log_core::disk::sim::SimDirectory;
use log_core::disk::{
    BlockingDirectory, Directory, EntryKind, MemoryDirectory, Open, UringDirectory,
};
use log_core::entropy::SeededEntropy;
use log_core::format::{BatchBuilder, BatchOptions, NewRecord};
use log_core::ids::TimestampMs;
use log_core::{Drive, Durability, Store, TopicPartition};

#[test]
fn two_hundred_histories_pass() {
    for seed in 0..200 {
        let failure = run(&Plan::new(seed)).err();
        assert!(failure.is_none(), "--seed {seed}: {failure:#?}");
    }
}

/// One history of appends, rolls, a close, more appends and a close.
fn history(directory: &Arc<dyn Directory>, root: &Path, drive: Drive) {
    for life in 0..2 {
        let store = Store::builder()
            .directory(Arc::clone(directory))
            .clock(Arc::new(ManualClock::new(TimestampMs::new(5))))
            .entropy(Arc::new(SeededEntropy::new(life)))
            .drive(drive)
            .segment_bytes_max(16 * 1024)
            .open(root)
            .unwrap();
        let topic = "t".parse().unwrap();
        if life == 0 {
            store.create_topic(&topic, 2).unwrap();
        }
        let mut chance = Chance::new(life);
        for number in 0..150_u64 {
            let log = store.log(&TopicPartition::new(topic.clone(), (number % 2) as u32)).unwrap();
            let mut builder = BatchBuilder::new(BatchOptions::new());
            for _ in 0..=chance.below(5) {
                let value = vec![b'x'; chance.below(900) as usize];
                let timestamp = TimestampMs::new(number.cast_signed());
                let value = Some(value.as_slice());
                builder.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
            }
            let levels = [Durability::Buffered, Durability::Written, Durability::Synced];
            let level = chance.pick(&levels);
            log.append_wait(builder.build().unwrap(), level).unwrap();
        }
        store.close().unwrap();
    }
}

/// All files but the lock, which says who held it.
fn files(directory: &dyn Directory, dir: &Path, under: &str, all: &mut BTreeMap<String, Vec<u8>>) {
    for entry in directory.list(dir).unwrap() {
        let (path, name) = (dir.join(&entry.name), format!("{under}/{}", entry.name));
        if entry.kind == EntryKind::Directory {
            files(directory, &path, &name, all);
        } else if entry.name != ".lock" {
            let file = directory.open(&path, Open::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
            let read = file.read_at(0, &mut bytes).unwrap();
            assert_eq!(read, bytes.len());
            // How often the watermark was written depends on how I/O was grouped: its slots differ.
            if entry.name != "oncelog.watermark" {
                all.insert(name, bytes);
            }
        }
    }
}

/// A disk under its name, with the directory of a real one, and who runs its I/O.
type Way = (&'static str, Arc<dyn Directory>, Option<tempfile::TempDir>, Drive);

#[test]
fn s23_one_history_leaves_equal_bytes_on_all_disks() {
    let mut disks: Vec<Way> = vec![
        ("memory", Arc::new(MemoryDirectory::new()), None, Drive::Inline),
        ("simulated", Arc::new(SimDirectory::new(1)), None, Drive::Manual),
    ];
    let cached = BlockingDirectory::new;
    let direct = BlockingDirectory::direct;
    let mut real = |name, disk: Arc<dyn Directory>, drive| {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        disks.push((name, disk, Some(dir), drive));
    };
    real("blocking, cached", Arc::new(cached()), Drive::Inline);
    real("blocking, direct", Arc::new(direct()), Drive::Thread);
    match (UringDirectory::forced(cached()), UringDirectory::forced(direct())) {
        (Ok(cached), Ok(past_cache)) => {
            real("ring, cached", Arc::new(cached), Drive::Inline);
            real("ring, direct", Arc::new(past_cache), Drive::Thread);
            let both = Arc::new(UringDirectory::new(direct()).unwrap());
            real("ring and system calls, direct", both, Drive::Thread);
        }
        (Err(error), _) | (_, Err(error)) => println!("without the ring: {error}"),
    }
    let contents = disks.iter().map(|(name, directory, dir, drive)| {
        let root = dir.as_ref().map_or(Path::new("/s"), |dir| dir.path());
        history(directory, root, *drive);
        let mut all = BTreeMap::new();
        files(&**directory, root, "", &mut all);
        (name, all)
    });
    let contents: Vec<_> = contents.collect();
    let (_, memory) = &contents[0];
    assert!(memory.len() > 20, "{:?}", memory.keys());
    for (disk, files) in &contents {
        assert_eq!(memory.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "{disk}");
        for (name, bytes) in memory {
            assert!(files.get(name) == Some(bytes), "{name} is another file on {disk}");
        }
    }
}
