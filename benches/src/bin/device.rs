//! The log against the device: fio and the log on one file system, in turn, in one run.
//!
//! ```text
//!   round   fio ─▶ log by each engine ─▶ fio ─▶ …        medians of the rounds, ratios to fio
//! ```
//!
//! The machine is shared and its disk noisy: look at ratios within one run, never at a single
//! figure. How much of the CPU others used meanwhile is printed.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a benchmark measures time, reports to people, and stops at the first failure"
)]

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{DirectIo, Durability, Engine, Log, Store, TopicName, TopicPartition};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Bytes a stream moves in a round.
const STREAM_BYTES: usize = 128 * MIB;
/// Time a small-commit measurement takes in a round.
const SMALL_TIME: Duration = Duration::from_millis(400);
/// Bytes of a stream that wait for their ticket.
const WINDOW_BYTES: usize = 8 * MIB;

const ENGINES: [(&str, Engine, DirectIo); 4] = [
    ("auto", Engine::Auto, DirectIo::Auto),
    ("ring", Engine::Uring, DirectIo::Auto),
    ("calls", Engine::Blocking, DirectIo::Auto),
    ("cached", Engine::Blocking, DirectIo::Off),
];

/// Figures by name, one a round.
type Figures = BTreeMap<String, Vec<f64>>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)?.parse().ok()).unwrap_or(default)
    };
    let rounds = number("--rounds", 5);
    let dir = PathBuf::from(format!("target/device-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let has_fio = Command::new("fio").arg("--version").output().is_ok();
    if !has_fio {
        println!("device: no fio here (apt install fio): ratios to it are left out");
    }
    let only = words.iter().position(|word| word == "--only").and_then(|at| words.get(at + 1));
    let wanted = |name: &str| only.is_none_or(|only| name.contains(only.as_str()));
    let mut figures = Figures::new();
    let (busy, start) = (cpu(), Instant::now());
    for round in 0..rounds {
        if has_fio {
            fio(&dir, &mut figures, &wanted);
        }
        // In another order each round, so that no engine always follows the same one.
        for turn in 0..ENGINES.len() {
            let (name, engine, direct_io) = ENGINES[(turn + round) % ENGINES.len()];
            engine_round(&dir, name, engine, direct_io, &mut figures, &wanted);
        }
        println!("device: round {} of {rounds}", round + 1);
    }
    fs::remove_dir_all(&dir).unwrap();
    report(&figures);
    let (others, all) = foreign(busy, cpu());
    println!(
        "device: {} s; others used {:.0} % of the CPU time, we {:.0} %",
        start.elapsed().as_secs(),
        100.0 * others,
        100.0 * (all - others)
    );
}

// ---- the log

fn engine_round(
    dir: &Path,
    name: &str,
    engine: Engine,
    direct_io: DirectIo,
    figures: &mut Figures,
    wanted: &impl Fn(&str) -> bool,
) {
    let mut note = |what: String, figure: f64| {
        figures.entry(format!("{what} {name}")).or_default().push(figure);
    };
    for kib in [64, 256, 1024] {
        let what = format!("stream {kib} KiB, MB/s");
        if wanted(&what) {
            let rate = with_log(dir, engine, direct_io, |log| stream(log, kib * KIB));
            note(what, rate);
        }
    }
    for threads in [1, 4, 16, 64] {
        let what = format!("1 KiB, {threads} threads, 1/s");
        if wanted(&what) {
            note(what, with_log(dir, engine, direct_io, |log| waiting(log, threads)));
        }
    }
    for tickets in [256, 4096] {
        let what = format!("1 KiB, {tickets} tickets, 1/s");
        if wanted(&what) {
            note(what, with_log(dir, engine, direct_io, |log| holding(log, tickets)));
        }
    }
}

fn with_log(
    dir: &Path,
    engine: Engine,
    direct_io: DirectIo,
    measure: impl FnOnce(&Log) -> f64,
) -> f64 {
    let at = dir.join("log");
    let store = Store::builder().engine(engine).direct_io(direct_io);
    let store = store.message_bytes_max(2 * 1024 * 1024).open(&at).unwrap();
    let topic: TopicName = "device".parse().unwrap();
    store.create_topic(&topic, 1).unwrap();
    let log = store.log(&TopicPartition::new(topic, 0)).unwrap();
    log.append_wait(batch(1, KIB), Durability::Synced).unwrap();
    let figure = measure(&log);
    drop((log, store));
    fs::remove_dir_all(&at).unwrap();
    figure
}

fn batch(records: usize, bytes: usize) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    let value = vec![b'v'; bytes / records];
    for _ in 0..records {
        let timestamp = TimestampMs::new(1_000);
        builder
            .push(&NewRecord { timestamp, key: None, value: Some(&value), headers: &[] })
            .unwrap();
    }
    builder.build().unwrap()
}

/// Batches of `bytes`, each durable, some of them on the way.
fn stream(log: &Log, bytes: usize) -> f64 {
    let (count, window) = (STREAM_BYTES / bytes, WINDOW_BYTES / bytes);
    let batch = batch(16, bytes - 4 * KIB);
    let mut tickets = VecDeque::new();
    let start = Instant::now();
    for _ in 0..count {
        if tickets.len() == window
            && let Some(ticket) = tickets.pop_front()
        {
            log_core::Ticket::wait(ticket).unwrap();
        }
        tickets.push_back(log.append(batch.clone(), Durability::Synced).unwrap());
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    (count * batch.as_bytes().len()) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Threads that each wait for their record.
fn waiting(log: &Log, threads: usize) -> f64 {
    let batch = Arc::new(batch(1, KIB));
    let start = Instant::now();
    let done: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let batch = Arc::clone(&batch);
                scope.spawn(move || {
                    let mut done = 0;
                    while start.elapsed() < SMALL_TIME {
                        log.append_wait((*batch).clone(), Durability::Synced).unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    done as f64 / start.elapsed().as_secs_f64()
}

/// One thread with so many records on the way.
fn holding(log: &Log, tickets_max: usize) -> f64 {
    let batch = batch(1, KIB);
    let mut tickets = VecDeque::new();
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < SMALL_TIME {
        if tickets.len() == tickets_max
            && let Some(ticket) = tickets.pop_front()
        {
            log_core::Ticket::wait(ticket).unwrap();
            done += 1;
        }
        tickets.push_back(log.append(batch.clone(), Durability::Synced).unwrap());
    }
    done += tickets.len();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    done as f64 / start.elapsed().as_secs_f64()
}

// ---- fio

fn fio(dir: &Path, figures: &mut Figures, wanted: &impl Fn(&str) -> bool) {
    let mut note = |what: String, figure: f64| figures.entry(what).or_default().push(figure);
    for kib in [64, 256, 1024] {
        let what = format!("stream {kib} KiB, MB/s");
        if wanted(&what) {
            let words = ["--ioengine=io_uring", "--iodepth=32", "--fdatasync=1"];
            let (bytes, _) = run_fio(dir, kib, STREAM_BYTES, &words);
            note(format!("{what} fio"), bytes / 1e6);
            let words = ["--ioengine=io_uring", "--iodepth=8"];
            let (bytes, _) = run_fio(dir, kib, STREAM_BYTES, &words);
            note(format!("{what} fio, unsynced"), bytes / 1e6);
        }
    }
    if wanted("1 KiB") {
        let words = ["--ioengine=psync", "--fdatasync=1", "--time_based", "--runtime=500ms"];
        let (_, operations) = run_fio(dir, 4, 32 * MIB, &words);
        note("1 KiB, fio of 4 KiB, 1/s".to_owned(), operations);
    }
}

/// Bytes and operations a second of sequential direct writes over a file that is there.
fn run_fio(dir: &Path, kib: usize, bytes: usize, words: &[&str]) -> (f64, f64) {
    let output = Command::new("fio")
        .args([
            "--name=device",
            "--rw=write",
            "--direct=1",
            "--overwrite=1",
            "--output-format=json",
        ])
        .arg(format!("--directory={}", dir.display()))
        .arg(format!("--filename=fio-{bytes}"))
        .arg(format!("--bs={kib}k"))
        .arg(format!("--size={bytes}"))
        .args(words)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let write = &text[text.find("\"write\" :").unwrap()..];
    let figure = |name: &str| -> f64 {
        let at = write.find(name).unwrap() + name.len();
        let rest = write[at..].trim_start_matches([' ', ':', '"']);
        let end = rest.find([',', '\n', ' ']).unwrap();
        rest[..end].parse().unwrap()
    };
    (figure("\"bw_bytes\""), figure("\"iops\""))
}

// ---- the report

fn report(figures: &Figures) {
    let median = |figures: &[f64]| {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    };
    for (name, values) in figures {
        let base = if name.starts_with("stream") {
            let end = name.find("MB/s").unwrap() + 4;
            format!("{} fio", &name[..end])
        } else {
            "1 KiB, fio of 4 KiB, 1/s".to_owned()
        };
        let ratio = figures
            .get(&base)
            .map_or(String::new(), |base| format!("{:8.2} x fio", median(values) / median(base)));
        println!("{name:42} {:12.0} {ratio}", median(values));
    }
}

/// CPU ticks: of the whole machine that were not idle, all, and our own.
fn cpu() -> (f64, f64, f64) {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let line = stat.lines().next().unwrap();
    let ticks: Vec<f64> =
        line.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    let all: f64 = ticks.iter().take(8).sum();
    let idle = ticks[3] + ticks[4];
    let own = fs::read_to_string("/proc/self/stat").unwrap();
    let own: Vec<f64> = own[own.rfind(')').unwrap()..]
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    // utime, stime, and those of children: 14 to 17 of the line, 11 to 14 behind the state.
    (all - idle, all, own[10..14].iter().sum())
}

/// Shares of all CPU time between two looks: others, and everybody.
fn foreign(before: (f64, f64, f64), after: (f64, f64, f64)) -> (f64, f64) {
    let all = (after.1 - before.1).max(1.0);
    let busy = after.0 - before.0;
    let ours = after.2 - before.2;
    (((busy - ours) / all).max(0.0), busy / all)
}
