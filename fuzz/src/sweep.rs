//! The kill-point sweep: a short workload is killed at each of its side effects in turn.
//!
//! ```text
//!   count     child, never killed: how many side effects there are, and which are writes
//!   for each  fresh directory ─▶ child killed there ─▶ next child killed while it recovers
//!                             ─▶ parent opens and compares with what both said
//! ```
//!
//! The children are this program again; what they say comes over a pipe, so the oracle stands
//! outside the processes that die.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::entropy::SeededEntropy;
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{
    Drive, Durability, FetchLimits, IsolationLevel, Log, Store, TopicName, TopicPartition,
};

use crate::fatal::{FatalDirectory, Point};

const PARTITIONS: u32 = 2;
/// Appends before the clean close, and after the opening that follows it.
const APPENDS: [u64; 2] = [14, 6];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Swept {
    /// Side effects of the workload.
    pub effects: u64,
    /// Kills.
    pub kills: u64,
    /// Acknowledged batches that were looked for, and found.
    pub acked: u64,
}

// ---- the child

/// The workload on `dir`, killed at `point`. Says what it does through `say`.
pub fn child(
    dir: &Path,
    life: u64,
    point: Option<Point>,
    say: &mut dyn FnMut(String) -> std::io::Result<()>,
) -> Result<()> {
    let directory = FatalDirectory::new(point);
    let mut next = life << 32;
    for (opening, appends) in (0..).zip(APPENDS) {
        let store = open(Store::builder().directory(Arc::new(directory.clone())), dir, opening)?;
        let logs = logs(&store)?;
        for number in 0..appends {
            let levels = [Durability::Synced, Durability::Written, Durability::Buffered];
            let level = levels[(number % 3) as usize];
            let log = &logs[(number / 2 % u64::from(PARTITIONS)) as usize];
            let partition = log.topic_partition().partition();
            say(format!("try {partition} {next}"))?;
            let appended = log.append_wait(batch(next), level)?;
            say(format!("ack {partition} {next} {} {level:?}", appended.base_offset))?;
            next += 1;
        }
        if opening == 0 {
            store.close()?;
        }
    }
    let writes: Vec<String> = directory.writes().iter().map(u64::to_string).collect();
    say(format!("effects {} {}", directory.effects(), writes.join(" ")))?;
    Ok(())
}

/// Everything about it follows from its arguments, so that effects have the same numbers each time.
fn open(builder: log_core::StoreBuilder, dir: &Path, seed: u64) -> Result<Store> {
    let store = builder
        .clock(Arc::new(ManualClock::new(TimestampMs::new(1_000))))
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .drive(Drive::Inline)
        .segment_bytes_max(4096)
        .open(dir)?;
    let topic: TopicName = "sweep".parse()?;
    if store.topics().is_empty() {
        store.create_topic(&topic, PARTITIONS)?;
    }
    Ok(store)
}

fn logs(store: &Store) -> Result<Vec<Log>> {
    let topic: TopicName = "sweep".parse()?;
    let log = |number| store.log(&TopicPartition::new(topic.clone(), number));
    Ok((0..PARTITIONS).map(log).collect::<std::result::Result<_, _>>()?)
}

fn batch(id: u64) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    let value = value(id);
    let timestamp = TimestampMs::new(1_000);
    let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
    match builder.push(&record).ok().and_then(|()| builder.build()) {
        Some(batch) => batch,
        None => unreachable!("one small record fits into a batch"),
    }
}

fn value(id: u64) -> Vec<u8> {
    let mut value = id.to_be_bytes().to_vec();
    value.resize(1100, id.to_be_bytes()[7]);
    value
}

// ---- the parent

/// What the parent heard of one partition, in order.
#[derive(Debug, Default)]
struct Heard {
    /// Ids announced, a list for each life.
    tried: Vec<Vec<u64>>,
    /// Offset and id of what was acknowledged at a level that outlives the process.
    acked: Vec<(u64, u64)>,
}

/// Kills at every `stride`-th effect, in directories below `root`. `program` and `words` start a
/// child; the directory, the life and the point follow.
pub fn parent(root: &Path, stride: u64, program: &Path, words: &[&str]) -> Result<Swept> {
    fs::create_dir_all(root)?;
    let runner = Runner { program, words };
    let mut swept = Swept::default();
    let counted = root.join("count");
    let said = runner.run(&counted, 1, None)?;
    let numbers = said.iter().find_map(|line| line.strip_prefix("effects "));
    let numbers = numbers.ok_or("the undisturbed workload did not come to its end")?;
    let mut numbers = numbers.split_whitespace().map(str::parse::<u64>);
    swept.effects = numbers.next().ok_or("no count")??;
    let writes: Vec<u64> = numbers.collect::<std::result::Result<_, _>>()?;
    fs::remove_dir_all(&counted)?;
    for effect in (1..=swept.effects).step_by(stride.max(1) as usize) {
        for midway in [false, true] {
            if midway && !writes.contains(&effect) {
                continue;
            }
            let point = Point { effect, midway };
            let dir = root.join(format!("{effect}-{midway}"));
            swept.acked += runner
                .kill_and_compare(&dir, point)
                .map_err(|error| format!("killed at {point:?}: {error}"))?;
            swept.kills += 2;
            fs::remove_dir_all(&dir)?;
        }
    }
    fs::remove_dir_all(root)?;
    Ok(swept)
}

struct Runner<'a> {
    program: &'a Path,
    words: &'a [&'a str],
}

impl Runner<'_> {
    /// Runs a child to its end, whichever that is; returns what it said.
    fn run(&self, dir: &Path, life: u64, point: Option<Point>) -> Result<Vec<String>> {
        let point = point.map_or_else(
            || "0 0".to_owned(),
            |point| format!("{} {}", point.effect, u8::from(point.midway)),
        );
        let out = Command::new(self.program)
            .args(self.words)
            .arg(dir)
            .arg(life.to_string())
            .args(point.split(' '))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let exit = out.status;
        if exit.code().is_some_and(|code| code != 0) {
            return Err(format!("the child was not killed but failed: {exit}").into());
        }
        Ok(String::from_utf8(out.stdout)?.lines().map(str::to_owned).collect())
    }

    fn kill_and_compare(&self, dir: &Path, point: Point) -> Result<u64> {
        let mut heard: Vec<Heard> = (0..PARTITIONS).map(|_| Heard::default()).collect();
        // The second life is killed while it recovers from the first, at another place each time.
        let later = Point { effect: 1 + point.effect * 7 % 40, midway: point.midway };
        for (life, point) in [(1, point), (2, later)] {
            let said = self.run(dir, life, Some(point))?;
            listen(&said, &mut heard)?;
        }
        let store = open(Store::builder(), dir, 9)?;
        let mut acked = 0;
        for (log, heard) in logs(&store)?.iter().zip(&heard) {
            compare(log, heard).map_err(|error| format!("{}: {error}", log.topic_partition()))?;
            acked += heard.acked.len() as u64;
        }
        store.close()?;
        Ok(acked)
    }
}

/// Takes in what one child said.
fn listen(said: &[String], heard: &mut [Heard]) -> Result<()> {
    for heard in &mut *heard {
        heard.tried.push(Vec::new());
    }
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["try", partition, id] => {
                let heard = heard.get_mut(partition.parse::<usize>()?).ok_or("no partition")?;
                heard.tried.last_mut().ok_or("no life")?.push(id.parse()?);
            }
            ["ack", partition, id, offset, level] if *level != "Buffered" => {
                let heard = heard.get_mut(partition.parse::<usize>()?).ok_or("no partition")?;
                heard.acked.push((offset.parse()?, id.parse()?));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The log holds the first so many of each life's batches, in order, and all acknowledged ones.
fn compare(log: &Log, heard: &Heard) -> Result<()> {
    let found = read(log)?;
    let mut rest = found.as_slice();
    for tried in &heard.tried {
        let same = rest.iter().zip(tried).take_while(|(found, tried)| found == tried).count();
        rest = rest.get(same..).unwrap_or_default();
    }
    if !rest.is_empty() {
        return Err(format!("{rest:?} are there and should not be: {heard:?}").into());
    }
    for (offset, id) in &heard.acked {
        if found.get(*offset as usize) != Some(id) {
            return Err(format!("{id} was acknowledged at {offset}; found {found:?}").into());
        }
    }
    if let Some(damage) = log.info().damage.first() {
        return Err(format!("damage after a kill: {damage:?}").into());
    }
    Ok(())
}

/// The ids of all records; offsets must have no hole, values must be as written.
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
            let found = record.value.unwrap_or_default();
            let id = found.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            if record.offset.get() != ids.len() as i64 || found != value(id) {
                return Err(format!("the record at {} is not as written", record.offset).into());
            }
            ids.push(id);
        }
        offset = fetched.next_offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the comparison says of a log that holds `ids`.
    fn verdict(ids: &[u64], tried: &[&[u64]], acked: &[(u64, u64)]) -> Result<()> {
        let store = Store::in_memory();
        store.create_topic(&"sweep".parse()?, PARTITIONS)?;
        let log = logs(&store)?.remove(0);
        for id in ids {
            log.append_wait(batch(*id), Durability::Synced)?;
        }
        let tried = tried.iter().map(|tried| tried.to_vec()).collect();
        compare(&log, &Heard { tried, acked: acked.to_vec() })
    }

    #[test]
    fn the_comparison_sees_what_is_lost_and_what_should_not_be_there() {
        assert!(verdict(&[1, 2, 7], &[&[1, 2, 3], &[7, 8]], &[(0, 1), (2, 7)]).is_ok());
        assert!(verdict(&[], &[&[1], &[]], &[]).is_ok(), "nothing was acknowledged");
        assert!(verdict(&[1], &[&[1, 2], &[]], &[(1, 2)]).is_err(), "lost");
        assert!(verdict(&[2, 1], &[&[1, 2]], &[]).is_err(), "out of order");
        assert!(verdict(&[1, 3], &[&[1, 2, 3]], &[]).is_err(), "a hole");
        assert!(verdict(&[1, 1], &[&[1]], &[]).is_err(), "twice");
        assert!(verdict(&[1, 9], &[&[1]], &[]).is_err(), "a phantom");
        assert!(verdict(&[1, 2], &[&[1, 2]], &[(0, 2)]).is_err(), "at another offset");
    }
}
