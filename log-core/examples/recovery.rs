//! What an opening after a crash reads: what lies above the last checkpoint, or all of it.
//!
//! ```text
//!   child    appends so many GiB, then aborts in the middle of it
//!   opening  believes seals and the checkpoint, scans the rest        bytes read: a few MiB
//!   child    appends a little more, and aborts
//!   opening  without seals and checkpoint: scans everything           bytes read: all
//! ```
//!
//! `cargo run --release -p log-core --example recovery -- --gib 2`

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "an example that measures and reports to people"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{Durability, Store, TopicPartition};

const MIB: u64 = 1024 * 1024;
const RECORD_BYTES: usize = 16 * 1024;
const RECORDS: usize = 16;

fn partition() -> TopicPartition {
    TopicPartition::new("recovery".parse().unwrap(), 0)
}

fn batch(number: u64) -> RecordBatch {
    let mut batch = BatchBuilder::new(BatchOptions::new());
    let timestamp = TimestampMs::new(i64::try_from(number).unwrap());
    let bytes: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(RECORD_BYTES).collect();
    for _ in 0..RECORDS {
        let record = NewRecord { timestamp, key: None, value: Some(&bytes), headers: &[] };
        batch.push(&record).unwrap();
    }
    batch.build().unwrap()
}

/// Appends `mib` MiB and dies without closing anything.
fn append_and_abort(dir: &Path, mib: u64) -> ! {
    let store = Store::open(dir).unwrap();
    if store.topics().is_empty() {
        store.create_topic(partition().topic(), 1).unwrap();
    }
    let log = store.log(&partition()).unwrap();
    let batches = mib * MIB / u64::try_from(RECORDS * RECORD_BYTES).unwrap();
    for number in 0..batches {
        let level = if number % 64 == 0 { Durability::Synced } else { Durability::Written };
        let _ticket = log.append(batch(number), level).unwrap();
    }
    log.flush().unwrap();
    let _unflushed = log.append(batch(batches), Durability::Buffered).unwrap();
    std::process::abort();
}

/// Seconds of CPU time this process has used.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |field: usize| fields.split_whitespace().nth(field).unwrap().parse::<f64>();
    (ticks(11).unwrap() + ticks(12).unwrap()) / 100.0
}

fn open(dir: &Path, what: &str) {
    let (start, before) = (Instant::now(), cpu());
    let store = Store::open(dir).unwrap();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu() - before);
    let log = store.log(&partition()).unwrap();
    let bytes: u64 = log.info().segments.iter().map(|segment| u64::from(segment.bytes)).sum();
    for recovered in store.recovered() {
        assert!(!recovered.clean && recovered.damage.is_empty(), "{recovered:?}");
        let read = recovered.bytes_read;
        println!(
            "recovery: {what}: {} MiB of log, {:.1} MiB read, {seconds:.2} s, {:.0} MiB/s, \
             {cpu:.2} s of CPU ({:.2} s a GiB read)",
            bytes / MIB,
            read as f64 / MIB as f64,
            read as f64 / MIB as f64 / seconds,
            cpu * 1024.0 * MIB as f64 / read as f64
        );
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mib = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--child", dir, mib] => append_and_abort(Path::new(dir), mib.parse().unwrap()),
        [] => 2 * 1024,
        ["--gib", gib] => gib.parse::<u64>().unwrap() * 1024,
        _ => {
            println!("usage: recovery [--gib N]");
            return;
        }
    };
    let root = tempfile::tempdir_in(".").unwrap();
    let child = |mib: u64| {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program);
        let status = child.arg("--child").arg(root.path()).arg(mib.to_string()).status().unwrap();
        assert!(!status.success(), "it was to die");
    };
    child(mib);
    open(root.path(), "seals and checkpoint");
    child(1);
    for entry in fs::read_dir(root.path().join(partition().to_string())).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if ["seal", "checkpoint"].iter().any(|ending| name.ends_with(ending)) {
            fs::remove_file(path).unwrap();
        }
    }
    open(root.path(), "neither");
}
