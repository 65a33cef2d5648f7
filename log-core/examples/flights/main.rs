//! Appends every flight of 2013 durably, closes, reopens, reads all of it back and compares.
//!
//! ```text
//!   cargo run --release -p log-core --example flights
//!   cargo run --release -p log-core --example flights -- --dir DIR --codec zstd
//! ```
//!
//! Without `--dir` it works in a fresh directory below `target/` and removes it. With `--dir` the
//! topic stays there; a further run appends only what is missing, so a run that was interrupted
//! is completed, and one that was not finds everything there.
//!
//! Exit status: 0 all is well, 1 something is lost, duplicated or out of order, 2 an error.

use core::num::NonZeroU32;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use log_core::format::{Codec, Compression};
use log_core::{Log, Recovered, Store, TopicError, TopicName, TopicPartition};

mod check;
mod input;
mod report;
mod times;
mod write;

use check::Tally;
use input::Flight;
use report::{Report, progress};
use write::Written;

const TOPIC: &str = "flights";
const PARTITIONS: NonZeroU32 = NonZeroU32::new(8).unwrap();

/// Appends every flight of 2013 durably and reads all of it back.
#[derive(Debug, Parser)]
struct Options {
    /// Directory of the store, made if absent and kept [default: a fresh one, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Codec of the batches appended: none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value_t)]
    codec: Codec,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("flights: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    if let Some(dir) = &options.dir {
        return in_dir(dir, options.codec);
    }
    let fresh = tempfile::Builder::new().prefix("flights-").tempdir_in(target_dir()?)?;
    let sound = in_dir(fresh.path(), options.codec)?;
    fresh.close()?;
    Ok(sound)
}

/// The build directory this program stands in: `target/release/examples/flights`.
fn target_dir() -> Result<PathBuf, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    Ok(program
        .ancestors()
        .nth(3)
        .ok_or("the program is not in a build directory: give --dir")?
        .into())
}

/// The whole run; returns whether all is well.
fn in_dir(dir: &Path, codec: Codec) -> Result<bool, Box<dyn Error>> {
    let compression = Compression::new(codec)?;
    let text = input::unpack()?;
    let flights = input::parse(&text, PARTITIONS)?;
    let mut report = Report::default();

    let (store, logs, recovered) = report.time("open", || open(dir), |_| (0, 0))?;
    tell(&recovered);
    let bar = progress("append", flights.len());
    let size = |written: &Written| (written.appended, written.bytes);
    let append = || write::append_missing(&logs, &flights, compression, &bar);
    let written = report.time("append, durable", append, size)?;
    bar.finish_and_clear();
    report.time("close", || store.close(), |()| (0, 0))?;
    drop((store, logs));

    let (store, logs, recovered) = report.time("reopen", || open(dir), |_| (0, 0))?;
    if let Some(scanned) = recovered.iter().find(|found| !found.clean) {
        return Err(format!("{} was closed, but is not clean", scanned.partition).into());
    }
    let bar = progress("read back", flights.len());
    let size = |tally: &Tally| (tally.read_back, tally.bytes);
    let tally = report.time("read and compare", || read_all(&logs, &flights, &bar), size)?;
    bar.finish_and_clear();
    let firsts = times::first_on_or_after_4th_of_july(&logs, &flights)?;
    store.close()?;

    println!("{}", report.table());
    if written.appended > 0 {
        println!(
            "codec {codec}: {} record bytes in {} stored, ratio {:.2}",
            written.records_bytes,
            written.bytes,
            written.ratio()
        );
    }
    println!("{}", firsts.table());
    println!("{}", closing_line(&written, tally));
    Ok(tally.is_sound() && firsts.are_right())
}

/// A store, the logs of its partitions, and what opening found.
type Opened = (Store, Vec<Log>, Vec<Recovered>);

/// Opens the store and its topic, making what is not there; tells what was found of it.
fn open(dir: &Path) -> Result<Opened, Box<dyn Error>> {
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let store = Store::open(dir)?;
    let recovered = store.recovered();
    let topic: TopicName = TOPIC.parse()?;
    match store.create_topic(&topic, PARTITIONS.get()) {
        Ok(_) | Err(TopicError::Exists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let log = |number| store.log(&TopicPartition::new(topic.clone(), number));
    let logs = (0..PARTITIONS.get()).map(log).collect::<Result<_, _>>()?;
    Ok((store, logs, recovered))
}

/// Says what opening had to repair, if it had to.
fn tell(recovered: &[Recovered]) {
    for found in recovered.iter().filter(|found| !found.clean) {
        println!(
            "{}: not closed last time; ends at offset {}, {} bytes of torn writes cut, {} written anew",
            found.partition, found.log_end_offset, found.bytes_cut, found.rewritten_bytes
        );
    }
}

fn read_all(
    logs: &[Log],
    flights: &[(u32, Flight<'_>)],
    bar: &indicatif::ProgressBar,
) -> Result<Tally, Box<dyn Error>> {
    let mut total = Tally::default();
    for (number, log) in (0..).zip(logs) {
        let belongs = flights.iter().filter(|(partition, _)| *partition == number);
        let expected: Vec<_> = belongs.map(|(_, flight)| *flight).collect();
        total += check::read_back(log, &expected, bar)?;
    }
    Ok(total)
}

fn closing_line(written: &Written, tally: Tally) -> String {
    let there = match written.already_there {
        0 => String::new(),
        records => format!(", {records} already there"),
    };
    let line = format!("flights: {} appended{there}", written.appended);
    let Tally { read_back, lost, duplicated, out_of_order, .. } = tally;
    line + &format!(
        ", {read_back} read back, {lost} lost, {duplicated} duplicated, {out_of_order} out of order"
    )
}
