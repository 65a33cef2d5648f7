//! The kill -9 loop on the real disk: a child appends, the parent kills it and counts what is left.
//!
//! ```text
//!   child   announce ids ─▶ append ─▶ ack ─▶ report offset, id, level      over a pipe
//!   parent  reads the pipe, SIGKILL at a random moment, opens the store, compares with what it heard
//! ```
//!
//! With `--sweep STRIDE` the kills are not random: one at every so-many-th side effect of a short
//! workload (see `fuzz::sweep`).
//!
//! The oracle stands outside the process that dies: nothing acknowledged `Written` or `Synced` may
//! be lost, nothing may be there that was not announced, and offsets have no hole.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a runner waits, times itself and reports to people"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fuzz::chance::Chance;
use fuzz::fatal::Point;
use fuzz::ledger::{self, Run};
use fuzz::sweep::{self, Swept};
use log_core::disk::{BlockingDirectory, UringDirectory};
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{
    DirectIo, Durability, Engine, FetchLimits, FlushMethod, IsolationLevel, Log, Store, TopicName,
    TopicPartition,
};

const PARTITIONS: u32 = 4;
const THREADS: u64 = 3;
/// The ways to the disk. `Auto` is streams by `io_uring` and small commits by system calls.
const ENGINES: [(Engine, DirectIo); 5] = [
    (Engine::Uring, DirectIo::Auto),
    (Engine::Uring, DirectIo::Off),
    (Engine::Blocking, DirectIo::Auto),
    (Engine::Blocking, DirectIo::Off),
    (Engine::Auto, DirectIo::Auto),
];
/// Rounds on one directory.
const ROUNDS_PER_DIRECTORY: u64 = 50;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, dir, seed] = words.as_slice()
        && flag == "--child"
    {
        return match child(Path::new(dir), seed.parse().unwrap_or(0)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("kill: child: {error}");
                ExitCode::FAILURE
            }
        };
    }
    if words.first().is_some_and(|word| word == "--sweep-child") {
        return match sweep_child(words.get(1..).unwrap_or_default()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("kill: child: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).cloned()
    };
    let rounds = value("--rounds").and_then(|text| text.parse().ok()).unwrap_or(500);
    let seed = value("--seed").and_then(|text| text.parse().ok()).unwrap_or(1);
    let start = Instant::now();
    let kept = "0 lost, 0 phantom, 0 holes, 0 duplicates";
    let stride = value("--sweep").map(|text| text.parse().unwrap_or(1));
    let outcome = match stride {
        Some(stride) => sweep_parent(stride).map(|swept| {
            let Swept { effects, kills, acked } = swept;
            format!("kill: {kills} kills at {effects} side effects, {acked} acked, {kept}")
        }),
        None => parent(rounds, seed)
            .map(|acked| format!("kill: {rounds} rounds, {acked} acked, {kept}")),
    };
    let (passed, closing) = match outcome {
        Ok(closing) => (true, closing),
        Err(error) => (false, format!("kill: FAILED with --seed {seed}: {error}")),
    };
    println!("kill: {} s", start.elapsed().as_secs());
    println!("{closing}");
    if let Some(path) = value("--ledger") {
        let run = Run { runner: "kill", took: start.elapsed(), passed, closing: &closing };
        if let Err(error) = ledger::append(&path, &run) {
            println!("kill: the ledger {path} cannot be written: {error}");
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// ---- the sweep

fn sweep_parent(stride: u64) -> Result<Swept> {
    let root = PathBuf::from(format!("target/sweep-{}", std::process::id()));
    sweep::parent(&root, stride, &std::env::current_exe()?, &["--sweep-child"])
}

/// `DIR LIFE EFFECT MIDWAY`; effect 0 is none.
fn sweep_child(words: &[String]) -> Result<()> {
    let [dir, life, effect, midway] = words else { return Err("four words are needed".into()) };
    let effect = effect.parse()?;
    let point = (effect > 0).then_some(Point { effect, midway: midway == "1" });
    let mut out = std::io::stdout();
    // One write call a line: what the parent reads is whole.
    sweep::child(Path::new(dir), life.parse()?, point, &mut |line| {
        out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush())
    })
}

// ---- the child

fn open(dir: &Path, seed: u64) -> Result<(Store, Vec<Log>)> {
    let mut chance = Chance::new(seed ^ 0x0BEE);
    // In rotation, so that each life finds what another engine left.
    let (mut engine, direct_io) = ENGINES[(seed % ENGINES.len() as u64) as usize];
    if engine == Engine::Uring
        && let Err(error) = UringDirectory::new(BlockingDirectory::new())
    {
        eprintln!("kill: without a ring: {error}");
        engine = Engine::Auto;
    }
    let store = Store::builder()
        .segment_bytes_max(chance.pick(&[64 * 1024, 256 * 1024, 1024 * 1024]))
        .engine(engine)
        .direct_io(direct_io)
        .flush_method(chance.pick(&[FlushMethod::Sync, FlushMethod::OwnRange]))
        .open(dir)?;
    let topic: TopicName = "kill".parse()?;
    if store.topics().is_empty() {
        store.create_topic(&topic, PARTITIONS)?;
    }
    let log = |number| store.log(&TopicPartition::new(topic.clone(), number));
    let logs = (0..PARTITIONS).map(log).collect::<std::result::Result<_, _>>()?;
    Ok((store, logs))
}

fn child(dir: &Path, seed: u64) -> Result<()> {
    let (_store, logs) = open(dir, seed)?;
    let out = Mutex::new(std::io::stdout());
    let say = |line: String| {
        let mut out = out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // One write call a line: what the parent reads is whole.
        out.write_all(line.as_bytes()).and_then(|()| out.flush())
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (logs, say) = (&logs, &say);
            scope.spawn(move || appender(logs, seed, thread, say));
        }
    });
    Ok(())
}

fn appender(
    logs: &[Log],
    seed: u64,
    thread: u64,
    say: &(impl Fn(String) -> std::io::Result<()> + Sync),
) {
    let mut chance = Chance::new(seed.wrapping_mul(31).wrapping_add(thread));
    let mut counter = 0_u64;
    loop {
        let partition = chance.below(PARTITIONS.into()) as usize;
        let (first, count) = (seed << 24 | thread << 20 | counter, 1 + chance.below(4));
        counter += count;
        let level = chance.pick(&[Durability::Buffered, Durability::Written, Durability::Synced]);
        let batch = batch(first, count, chance.below(3000));
        if say(format!("try {partition} {first} {count}\n")).is_err() {
            return;
        }
        let log = &logs[partition];
        let answer = if chance.one_in(2) {
            log.append_wait(batch, level)
        } else {
            log.append(batch, level).and_then(log_core::Ticket::wait)
        };
        match answer {
            Ok(appended) => {
                let base = appended.base_offset;
                if say(format!("ack {partition} {base} {first} {count} {level:?}\n")).is_err() {
                    return;
                }
            }
            Err(error) => {
                eprintln!("kill: child: {error}");
                return;
            }
        }
    }
}

/// Records that name themselves: id, filler, CRC-32 of both.
fn batch(first: u64, count: u64, filler: u64) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    for id in first..first + count {
        let mut value = id.to_be_bytes().to_vec();
        value.resize(8 + filler as usize, id.to_be_bytes()[7]);
        value.extend_from_slice(&crc32fast::hash(&value).to_be_bytes());
        let timestamp = TimestampMs::new(1_000);
        let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
        if builder.push(&record).is_err() {
            unreachable!("a few small records fit into a batch");
        }
    }
    match builder.build() {
        Some(batch) => batch,
        None => unreachable!("there is at least one record"),
    }
}

// ---- the parent

/// What the parent knows of one partition.
#[derive(Default)]
struct Known {
    /// Announced ids.
    tried: BTreeSet<u64>,
    /// Acknowledged in the present round: offset, id, level.
    acked: Vec<(i64, u64, String)>,
    /// What stood there after the last round.
    settled: Vec<u64>,
}

fn parent(rounds: u64, seed: u64) -> Result<u64> {
    let root = PathBuf::from(format!("target/kill-{}", std::process::id()));
    fs::create_dir_all(&root)?;
    let mut chance = Chance::new(seed);
    let mut known: Vec<Known> = Vec::new();
    let mut acked = 0;
    for round in 0..rounds {
        let dir = root.join(format!("{}", round / ROUNDS_PER_DIRECTORY));
        if round.is_multiple_of(ROUNDS_PER_DIRECTORY) {
            if round > 0 {
                let before = root.join(format!("{}", round / ROUNDS_PER_DIRECTORY - 1));
                fs::remove_dir_all(before)?;
                println!("kill: {round} of {rounds} rounds, {acked} acked");
            }
            known = (0..PARTITIONS).map(|_| Known::default()).collect();
        }
        let life = seed * 100_000 + round + 1;
        acked += life_and_death(&dir, life, &mut known, &mut chance)?;
        verify(&dir, life, &mut known, chance.one_in(2))
            .map_err(|error| format!("round {round} in {}: {error}", dir.display()))?;
    }
    fs::remove_dir_all(&root)?;
    Ok(acked)
}

/// Lets a child append for a while, kills it, and takes in what it said.
fn life_and_death(dir: &Path, life: u64, known: &mut [Known], chance: &mut Chance) -> Result<u64> {
    let mut child: Child = Command::new(std::env::current_exe()?)
        .arg("--child")
        .arg(dir)
        .arg(life.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let pipe = child.stdout.take().ok_or("the child has no pipe")?;
    let mut lines = BufReader::new(pipe).lines();
    let mut heard = Vec::new();
    // From the first word on, so that the kill meets appends and not the opening.
    heard.extend(lines.next().transpose()?);
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(std::io::Result::ok) {
            heard.push(line);
        }
        heard
    });
    std::thread::sleep(Duration::from_micros(500 + chance.below(80_000)));
    child.kill()?;
    child.wait()?;
    let heard = reader.join().map_err(|_| "the reader of the pipe panicked")?;
    let mut acked = 0;
    for line in heard {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["try", partition, first, count] => {
                let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
                let known = known.get_mut(partition.parse::<usize>()?).ok_or("no partition")?;
                known.tried.extend(first..first + count);
            }
            ["ack", partition, base, first, count, level] => {
                let (base, first, count): (i64, u64, u64) =
                    (base.parse()?, first.parse()?, count.parse()?);
                let known = known.get_mut(partition.parse::<usize>()?).ok_or("no partition")?;
                for index in 0..count {
                    known.acked.push((base + index as i64, first + index, (*level).to_owned()));
                }
                acked += 1;
            }
            // The last line may be cut short by the kill.
            _ => {}
        }
    }
    Ok(acked)
}

/// Opens the store as the next process would, and compares.
fn verify(dir: &Path, life: u64, known: &mut [Known], clean: bool) -> Result<()> {
    let (store, logs) = open(dir, life)?;
    for (log, known) in logs.iter().zip(known) {
        let name = log.topic_partition();
        let found = read(log)?;
        if let Some(damage) = log.info().damage.first() {
            return Err(format!("{name}: damage after a kill: {damage:?}").into());
        }
        if found.get(..known.settled.len()) != Some(known.settled.as_slice()) {
            return Err(format!("{name}: what stood there before is not there as it was").into());
        }
        let fresh = found.get(known.settled.len()..).unwrap_or_default();
        let mut seen = BTreeSet::new();
        for id in fresh {
            if !known.tried.contains(id) {
                return Err(format!("{name}: {id} was never announced: a phantom").into());
            }
            if !seen.insert(*id) {
                return Err(format!("{name}: {id} is there twice").into());
            }
        }
        for (offset, id, level) in known.acked.drain(..) {
            let there = usize::try_from(offset).ok().and_then(|at| found.get(at)).copied();
            let lost = there.is_none() && level != "Buffered";
            if lost || there.is_some_and(|there| there != id) {
                return Err(format!(
                    "{name}: offset {offset} was acked {level} with {id}, and holds {there:?}"
                )
                .into());
            }
        }
        known.settled = found;
        known.tried.clear();
    }
    if clean {
        store.close()?;
    }
    Ok(())
}

/// The ids of all records, by offset; offsets must have no hole.
fn read(log: &Log) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let fetched = log.fetch(offset, FetchLimits::default(), IsolationLevel::ReadUncommitted)?;
        if fetched.is_empty() {
            return Ok(ids);
        }
        for record in fetched.records() {
            let record = record?;
            if record.offset.get() != ids.len() as i64 {
                return Err(format!("a hole before offset {}", record.offset).into());
            }
            let value = record.value.unwrap_or_default();
            let (body, sum) = value.split_last_chunk::<4>().ok_or("a record without its sum")?;
            if crc32fast::hash(body).to_be_bytes() != *sum {
                return Err(format!("the record at {} is not as written", record.offset).into());
            }
            ids.push(u64::from_be_bytes(*body.first_chunk().ok_or("a record without its id")?));
        }
        offset = fetched.next_offset;
    }
}
