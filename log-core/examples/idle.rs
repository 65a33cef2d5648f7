//! What idle partitions cost: memory, open files, bytes on disk, and time to make and open them.
//!
//! `cargo run --release -p log-core --example idle -- 10000`

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example that measures and reports to people"
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use log_core::format::{BatchBuilder, BatchOptions, NewRecord};
use log_core::ids::TimestampMs;
use log_core::{Durability, Store, TopicPartition};

/// Resident bytes of this process.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Bytes of blocks below `path`, as `du` counts them.
fn disk(path: &Path) -> u64 {
    let meta = fs::symlink_metadata(path).unwrap();
    let below = |dir| fs::read_dir(dir).unwrap().map(|entry| disk(&entry.unwrap().path())).sum();
    meta.blocks() * 512 + if meta.is_dir() { below(path) } else { 0 }
}

fn report(what: &str, partitions: u64, before: u64, start: Instant) {
    let bytes = resident().saturating_sub(before) / partitions;
    let (files, seconds) = (open_files(), start.elapsed().as_secs_f64());
    println!("idle: {what}: {bytes} bytes of memory each, {files} files open, {seconds:.1} s");
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        // A process of its own: memory that was freed is not counted.
        [flag, dir, partitions] if flag == "--open" => {
            open(Path::new(dir), partitions.parse().unwrap());
        }
        [] => make(10_000),
        [partitions] => make(partitions.parse().unwrap()),
        _ => println!("usage: idle [PARTITIONS]"),
    }
}

fn open(dir: &Path, partitions: u64) {
    let (before, start) = (resident(), Instant::now());
    let store = Store::open(dir).unwrap();
    report("opened again", partitions, before, start);
    store.close().unwrap();
}

fn make(partitions: u32) {
    let each = u64::from(partitions);
    let root = tempfile::tempdir_in(".").unwrap();
    let topic = "idle".parse().unwrap();
    let (before, start) = (resident(), Instant::now());
    let store = Store::open(root.path()).unwrap();
    store.create_topic(&topic, partitions).unwrap();
    report("made", each, before, start);
    let start = Instant::now();
    for number in 0..partitions {
        let log = store.log(&TopicPartition::new(topic.clone(), number)).unwrap();
        let mut batch = BatchBuilder::new(BatchOptions::new());
        let timestamp = TimestampMs::new(1_000);
        let value = Some(&[7; 100][..]);
        batch.push(&NewRecord { timestamp, key: None, value, headers: &[] }).unwrap();
        log.append_wait(batch.build().unwrap(), Durability::Synced).unwrap();
    }
    report("written once", each, before, start);
    std::thread::sleep(Duration::from_secs(3));
    report("idle for three seconds", each, before, start);
    println!("idle: {} bytes on disk each while open", disk(root.path()) / each);
    let start = Instant::now();
    store.close().unwrap();
    drop(store);
    report("closed", each, before, start);
    println!("idle: {} bytes on disk each", disk(root.path()) / each);
    let child = Command::new(std::env::current_exe().unwrap())
        .arg("--open")
        .arg(root.path())
        .arg(partitions.to_string())
        .status();
    assert!(child.unwrap().success());
}
