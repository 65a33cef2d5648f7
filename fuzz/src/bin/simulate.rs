//! Runs simulated histories by the thousand, or one again; finds planted bugs.
//!
//! ```text
//!   simulate --histories N [--seed-base X | --commit HASH] [--jobs N] [--ledger FILE]
//!   simulate --seed X            one history again, with what led to its failure
//!   simulate --mutants           each planted bug, until it is found (feature `mutants`)
//! ```

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a runner times itself and reports to people"
)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fuzz::history::{Failure, Stats, run};
use fuzz::ledger;
use fuzz::plan::Plan;

/// Seeds that ever failed: always run first.
const SEEDS: &str = include_str!("../../seeds.txt");
/// Failing histories after which a run gives up.
const FAILURES_MAX: usize = 5;
/// Seconds after which a history of some milliseconds is taken to run for ever.
const HISTORY_SECONDS_MAX: u64 = 100;

struct Options {
    histories: u64,
    base: u64,
    jobs: usize,
    seed: Option<u64>,
    mutants: bool,
    ledger: Option<String>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            println!("simulate: {error}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    let (passed, closing) = match (options.seed, options.mutants) {
        (Some(seed), _) => replay(seed),
        (None, true) => mutants(&options),
        (None, false) => simulate(&options),
    };
    println!("{closing}");
    if let Some(path) = &options.ledger {
        let run =
            ledger::Run { runner: "simulate", took: start.elapsed(), passed, closing: &closing };
        if let Err(error) = ledger::append(path, &run) {
            println!("simulate: the ledger {path} cannot be written: {error}");
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        histories: 20_000,
        base: 1,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        seed: None,
        mutants: false,
        ledger: None,
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| {
            let parsed = match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            };
            parsed.map_err(|error| format!("{text}: {error}"))
        };
        match word.as_str() {
            "--histories" => options.histories = number(value()?)?,
            "--seed-base" => options.base = number(value()?)?,
            "--seed" => options.seed = Some(number(value()?)?),
            "--jobs" => options.jobs = usize::try_from(number(value()?)?).unwrap_or(1).max(1),
            "--commit" => {
                let hash = value()?;
                let digits: String =
                    hash.chars().filter(char::is_ascii_hexdigit).take(15).collect();
                options.base =
                    u64::from_str_radix(&digits, 16).map_err(|e| format!("{hash}: {e}"))?;
            }
            "--ledger" => options.ledger = Some(value()?),
            "--mutants" => options.mutants = true,
            other => return Err(format!("{other} is not an option")),
        }
    }
    Ok(options)
}

/// The seed of history `index` of a run: neighbours share nothing.
fn seed_of(base: u64, index: u64) -> u64 {
    fuzz::chance::Chance::new(base.wrapping_add(index)).next()
}

fn past_seeds() -> Vec<u64> {
    SEEDS
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.strip_prefix("0x"))
        .filter_map(|hex| u64::from_str_radix(hex, 16).ok())
        .collect()
}

/// What the threads of a run share.
struct Run<'a> {
    options: &'a Options,
    start: Instant,
    past: Vec<u64>,
    next: AtomicU64,
    failures: Mutex<Vec<(u64, Failure)>>,
    stats: Mutex<Stats>,
    give_up: AtomicBool,
}

impl Run<'_> {
    /// One thread's share.
    fn work(&self, watch: &Watch) {
        let mut mine = Stats::default();
        let total = self.options.histories;
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= total || self.give_up.load(Ordering::Relaxed) {
                break;
            }
            let seed = usize::try_from(index)
                .ok()
                .and_then(|index| self.past.get(index).copied())
                .unwrap_or_else(|| seed_of(self.options.base, index));
            watch.begin(seed, self.start);
            match run(&Plan::new(seed)) {
                Ok(stats) => mine += stats,
                Err(failure) => {
                    let mut failures =
                        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    failures.push((seed, failure));
                    self.give_up.store(failures.len() >= FAILURES_MAX, Ordering::Relaxed);
                }
            }
            if (index + 1).is_multiple_of(20_000) {
                println!(
                    "simulate: {} of {total}, {} s",
                    index + 1,
                    self.start.elapsed().as_secs()
                );
            }
        }
        *self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += mine;
        watch.end();
    }
}

fn simulate(options: &Options) -> (bool, String) {
    let run = Run {
        options,
        start: Instant::now(),
        past: past_seeds(),
        next: AtomicU64::new(0),
        failures: Mutex::default(),
        stats: Mutex::default(),
        give_up: AtomicBool::new(false),
    };
    let watches: Vec<Watch> = (0..options.jobs).map(|_| Watch::default()).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| watch(&watches, run.start));
        for watch in &watches {
            scope.spawn(|| run.work(watch));
        }
    });
    let Run { start, next, failures, stats, .. } = run;
    let failures = failures.into_inner().unwrap_or_default();
    let stats = stats.into_inner().unwrap_or_default();
    for (seed, failure) in &failures {
        println!("FAILED --seed {seed:#018x} at step {}: {}", failure.step, failure.what);
    }
    if let Some((seed, _)) = failures.first() {
        shrink(*seed);
    }
    let done = next.into_inner().min(options.histories);
    let closing = format!(
        "simulate: {done} histories, {} failed, {} crashes, {} cuts, {} opens, {} appends, {} acks, {} repeats, {} refusals, {} trims, {} changes, base {:#x}, {} s",
        failures.len(),
        stats.crashes,
        stats.cuts,
        stats.opens,
        stats.appends,
        stats.acks,
        stats.repeats,
        stats.refusals,
        stats.trims,
        stats.changes,
        options.base,
        start.elapsed().as_secs()
    );
    (failures.is_empty(), closing)
}

/// The history that one thread is at.
#[derive(Default)]
struct Watch {
    seed: AtomicU64,
    /// Seconds of the run when it began; `u64::MAX` when the thread has ended.
    since: AtomicU64,
}

impl Watch {
    fn begin(&self, seed: u64, start: Instant) {
        self.since.store(start.elapsed().as_secs(), Ordering::Relaxed);
        self.seed.store(seed, Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Ends the process if a history does not end: the log loops for ever, and which one it is has to
/// be known.
fn watch(watches: &[Watch], start: Instant) {
    loop {
        std::thread::park_timeout(Duration::from_secs(1));
        let now = start.elapsed().as_secs();
        let since = watches.iter().map(|watch| watch.since.load(Ordering::Relaxed));
        if since.clone().all(|since| since == u64::MAX) {
            return;
        }
        for (watch, since) in watches.iter().zip(since) {
            if now.saturating_sub(since) > HISTORY_SECONDS_MAX {
                let seed = watch.seed.load(Ordering::Relaxed);
                println!("FAILED --seed {seed:#018x}: not ended after {HISTORY_SECONDS_MAX} s");
                std::process::exit(1);
            }
        }
    }
}

fn replay(seed: u64) -> (bool, String) {
    match run(&Plan::new(seed)) {
        Ok(stats) => (true, format!("simulate: seed {seed:#018x} passes: {stats:?}")),
        Err(failure) => {
            let plan = Plan::new(seed);
            println!("{plan:?}");
            for line in &failure.trace {
                println!("  {line}");
            }
            println!("FAILED --seed {seed:#018x} at step {}: {}", failure.step, failure.what);
            shrink(seed);
            (false, format!("simulate: seed {seed:#018x} fails"))
        }
    }
}

/// Leaves out steps as long as the history still fails, and prints what remains.
fn shrink(seed: u64) {
    let mut plan = Plan::new(seed);
    let mut width = plan.ops.len() / 2;
    while width > 0 {
        let mut at = 0;
        while at < plan.ops.len() {
            let mut shorter = plan.clone();
            shorter.ops.drain(at..(at + width).min(plan.ops.len()));
            if run(&shorter).is_err() {
                plan = shorter;
            } else {
                at += width;
            }
        }
        width /= 2;
    }
    if let Err(failure) = run(&plan) {
        println!("shrunk to {} steps ({:?}): {}", plan.ops.len(), plan.weather, failure.what);
        for line in &failure.trace {
            println!("  {line}");
        }
    }
}

#[cfg(not(feature = "mutants"))]
fn mutants(_: &Options) -> (bool, String) {
    let closing = "simulate: this build has no planted bugs; build with --features mutants";
    (false, closing.to_owned())
}

/// Each planted bug, with the same seeds, weights and checks as any run.
#[cfg(feature = "mutants")]
fn mutants(options: &Options) -> (bool, String) {
    use log_core::mutant::{Mutant, plant};
    const WITHIN: u64 = 2_000;
    let mut missed = 0;
    for mutant in Mutant::ALL {
        plant(Some(mutant));
        let found = (0..WITHIN).find_map(|index| {
            let seed = seed_of(options.base, index);
            run(&Plan::new(seed)).err().map(|failure| (index + 1, seed, failure))
        });
        plant(None);
        if let Some((histories, seed, failure)) = found {
            let what: String = failure.what.chars().take(90).collect();
            println!("{mutant:?}: found in {histories} histories, seed {seed:#018x}: {what}");
        } else {
            missed += 1;
            println!("{mutant:?}: NOT FOUND in {WITHIN} histories");
        }
    }
    let planted = Mutant::ALL.len();
    let found = planted - missed;
    (missed == 0, format!("mutants: {planted} planted, {found} found, {missed} missed"))
}
