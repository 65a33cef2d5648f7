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
use log_core::disk::{BlockingDirectory, Directory, EntryKind, MemoryDirectory, Open};
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

#[test]
fn s23_one_history_leaves_equal_bytes_on_all_disks() {
    let real = tempfile::tempdir().unwrap();
    let disks: [(Arc<dyn Directory>, &Path, Drive); 3] = [
        (Arc::new(MemoryDirectory::new()), Path::new("/"), Drive::Inline),
        (Arc::new(SimDirectory::new(1)), Path::new("/s"), Drive::Manual),
        (Arc::new(BlockingDirectory::new()), real.path(), Drive::Inline),
    ];
    let contents = disks.map(|(directory, root, drive)| {
        history(&directory, root, drive);
        let mut all = BTreeMap::new();
        files(&*directory, root, "", &mut all);
        all
    });
    let [memory, simulated, real] = &contents;
    assert!(memory.len() > 20, "{:?}", memory.keys());
    for (name, bytes) in memory {
        assert_eq!(simulated.get(name), Some(bytes), "{name} on the simulated disk");
        assert_eq!(real.get(name), Some(bytes), "{name} on the real disk");
    }
    assert_eq!((memory.len(), memory.len()), (simulated.len(), real.len()));
}
