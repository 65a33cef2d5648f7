//! One history: a plan carried out on a store on the simulated disk, judged at every step.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::{Faults, SimDirectory, Stop};
use log_core::entropy::SeededEntropy;
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch, stamp};
use log_core::ids::{LeaderEpoch, TimestampMs};
use log_core::{
    AppendError, Drive, Durability, FetchError, FetchLimits, IsolationLevel, Log, LogState, Offset,
    Store, TopicName, TopicPartition,
};

use crate::chance::Chance;
use crate::op::{Op, Raw};
use crate::oracle::{Entry, Found, Ledger};
use crate::plan::{Plan, Weather};

/// Turns after which an append that nobody disturbs must have been answered.
const TURNS_MAX: usize = 20_000;
/// Steps kept for the report of a failure.
const TRACE_LINES: usize = 200;

/// What histories did.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Stats {
    /// Batches accepted.
    pub appends: u64,
    /// Batches acknowledged.
    pub acks: u64,
    /// Lives that ended in a crash.
    pub crashes: u64,
    /// Lives that ended in a power cut.
    pub cuts: u64,
    /// Openings.
    pub opens: u64,
}

impl core::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.appends += other.appends;
        self.acks += other.acks;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.opens += other.opens;
    }
}

/// Why a history failed, and what led there.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Failure {
    /// What is wrong.
    pub what: String,
    /// The step it showed at.
    pub step: usize,
    /// The last steps.
    pub trace: Vec<String>,
}

/// Carries out `plan`.
pub fn run(plan: &Plan) -> Result<Stats, Failure> {
    let mut history = History::new(plan);
    let mut step = 0;
    let outcome = (|| {
        history.open(None)?;
        for (index, op) in plan.ops.iter().enumerate() {
            step = index;
            history.note(format!("{index}: {op:?}"));
            history.step(op)?;
            if history.done {
                return Ok(());
            }
            history.check()?;
            if history.done {
                return Ok(());
            }
        }
        history.finish()
    })();
    match outcome {
        Ok(()) => Ok(history.stats),
        Err(what) => Err(Failure { what, step, trace: history.trace.into() }),
    }
}

struct History<'a> {
    plan: &'a Plan,
    directory: SimDirectory,
    clock: ManualClock,
    chance: Chance,
    store: Option<Store>,
    logs: Vec<Log>,
    ledgers: Vec<Ledger>,
    /// Whether the topic is known to be durable.
    created: bool,
    /// What an armed stop will be.
    armed: Option<Stop>,
    rotten: bool,
    /// How often stored bytes were changed.
    rots: u32,
    /// The segment that was shortened while the store was closed.
    shortened: Option<std::path::PathBuf>,
    /// Nothing more can be demanded of this history.
    done: bool,
    next_id: u64,
    stats: Stats,
    trace: VecDeque<String>,
}

type Step = Result<(), String>;

impl<'a> History<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self {
            plan,
            directory: SimDirectory::new(plan.seed ^ 0xD15C),
            clock: ManualClock::new(TimestampMs::new(1_000_000)),
            chance: Chance::new(plan.seed ^ 0xC0DE),
            store: None,
            logs: Vec::new(),
            ledgers: (0..plan.partitions).map(|_| Ledger::default()).collect(),
            created: false,
            armed: None,
            rotten: false,
            rots: 0,
            shortened: None,
            done: false,
            next_id: 1,
            stats: Stats::default(),
            trace: VecDeque::new(),
        }
    }

    fn note(&mut self, line: String) {
        if self.trace.len() == TRACE_LINES {
            self.trace.pop_front();
        }
        self.trace.push_back(line);
    }

    fn step(&mut self, op: &Op) -> Step {
        match *op {
            Op::Append { partition, records, bytes, durability, raw } => {
                self.append(partition, records, bytes, durability, raw)
            }
            Op::Hostile { partition, bits } => self.hostile(partition, bits),
            Op::Turns(turns) => {
                self.turns(turns);
                Ok(())
            }
            Op::Advance { millis } => {
                self.clock.advance(Duration::from_millis(millis));
                Ok(())
            }
            Op::Fetch { partition, at, bytes } => self.fetch(partition, at, bytes),
            Op::Settle => self.settle(),
            Op::Close => self.close(),
            Op::Drop => self.stop(Stop::Crash, &[]),
            Op::Stop { cut, again } => {
                let stop = if cut { Stop::Cut } else { Stop::Crash };
                self.stop(stop, &again)
            }
            Op::Arm { operations, cut } => {
                let stop = if cut { Stop::Cut } else { Stop::Crash };
                self.directory.arm(operations, stop);
                self.armed = Some(stop);
                Ok(())
            }
            Op::Reopen { partition } => self.reopen(partition),
            Op::Flip { file, at, mask } => {
                self.flip(file, at, mask);
                Ok(())
            }
            Op::Zero { file, block } => {
                self.zero(file, block);
                Ok(())
            }
            Op::Space { bytes } => {
                self.directory.set_capacity(bytes.map(|bytes| bytes + 40_000));
                Ok(())
            }
        }
    }

    // ---- appends and reads

    fn index(&self, partition: u64) -> usize {
        usize::try_from(partition % u64::from(self.plan.partitions)).unwrap_or(0)
    }

    /// A batch whose records say who they are: a number, then that many bytes of it.
    fn batch(&mut self, records: u64, bytes: u64) -> (RecordBatch, Vec<u64>) {
        let mut builder = BatchBuilder::new(BatchOptions::new());
        let mut ids = Vec::new();
        for _ in 0..records {
            let id = self.next_id << 16 | bytes & 0xFFFF;
            self.next_id += 1;
            let value = value_of(id);
            let timestamp = TimestampMs::new(1_000_000);
            let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
            if builder.push(&record).is_ok() {
                ids.push(id);
            }
        }
        match builder.build() {
            Some(batch) => (batch, ids),
            None => unreachable!("there is at least one record"),
        }
    }

    fn append(
        &mut self,
        partition: u64,
        records: u64,
        bytes: u64,
        level: Durability,
        raw: Raw,
    ) -> Step {
        let index = self.index(partition);
        let (batch, ids) = self.batch(records, bytes);
        let log = &self.logs[index];
        let ticket = match raw {
            Raw::Built => log.append(batch, level),
            Raw::Bytes => log.append_raw(batch.as_bytes(), level),
            Raw::Kept => {
                let gap = if partition.is_multiple_of(3) { 5 } else { 0 };
                let base = Offset::new(log.log_end_offset().get() + gap).unwrap_or(Offset::ZERO);
                let mut bytes = batch.into_bytes();
                stamp(&mut bytes, base, LeaderEpoch::ZERO).map_err(|error| error.to_string())?;
                log.replicate_raw(&bytes, level)
            }
        };
        match ticket {
            Ok(ticket) => {
                self.stats.appends += 1;
                let gap = raw == Raw::Kept && partition.is_multiple_of(3);
                let end = self.logs[index].log_end_offset().get();
                let base = if gap { end - ids.len() as i64 } else { ticket.base_offset().get() };
                if base < self.ledgers[index].log_end() {
                    return Err(format!("offset {base} was given twice (D6)"));
                }
                // A gap's filler belongs to the append, so the ticket names the filler's offset.
                let ticket = (!gap).then_some(ticket);
                self.ledgers[index].entries.push(Entry { base, ids, level, ticket });
                Ok(())
            }
            Err(AppendError::NotAppended(refusal)) => {
                let calm = self.plan.weather == Weather::Calm && !self.directory.is_over();
                let room = self.plan.segment_bytes.min(self.plan.unflushed_bytes) / 2;
                let large = records * (bytes + 40) + 61 > u64::from(room);
                let usual = calm && !large && !self.rotten && raw != Raw::Kept;
                if usual { Err(format!("refused in calm weather: {refusal}")) } else { Ok(()) }
            }
            Err(error) => Err(format!("an append that has no ticket says {error} (D8)")),
        }
    }

    fn hostile(&mut self, partition: u64, bits: u64) -> Step {
        let index = self.index(partition);
        let mut chance = Chance::new(bits);
        let (batch, _) = self.batch(2, 20);
        let mut bytes = batch.into_bytes();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << chance.below(8);
        }
        bytes.truncate(bytes.len() - chance.below(4) as usize * 7);
        let before = self.logs[index].log_end_offset();
        let door = if bits.is_multiple_of(2) { Log::append_raw } else { Log::replicate_raw };
        match door(&self.logs[index], &bytes, Durability::Buffered) {
            Err(AppendError::NotAppended(_)) if self.logs[index].log_end_offset() == before => {
                Ok(())
            }
            Err(error) => Err(format!("hostile bytes gave {error}, and the log moved")),
            // Flips in fields outside the checksum can leave a valid batch: stop judging here.
            Ok(_) => {
                self.done = true;
                Ok(())
            }
        }
    }

    fn fetch(&mut self, partition: u64, at: u64, bytes: u64) -> Step {
        let index = self.index(partition);
        let log = &self.logs[index];
        let end = log.log_end_offset().get().unsigned_abs();
        let offset = Offset::new((at % (end + 2)).cast_signed()).unwrap_or(Offset::ZERO);
        let limits = FetchLimits::bytes(u32::try_from(bytes).unwrap_or(u32::MAX));
        match log.fetch(offset, limits, IsolationLevel::ReadUncommitted) {
            Ok(fetched) => {
                let found = records(&fetched)?;
                if self.rotten {
                    return self.ledgers[index].check_records(&found);
                }
                if fetched.is_empty() != (fetched.next_offset == offset) {
                    return Err("a fetch that found something did not move on".to_owned());
                }
                let durable = self.plan.visibility == log_core::Visibility::Synced;
                if durable && !found.is_empty() && fetched.next_offset > fetched.high_watermark {
                    let next = fetched.next_offset;
                    return Err(format!("a reader sees {next}, past the durable end (D5)"));
                }
                let ledger = &mut self.ledgers[index];
                ledger.check_records(&found)?;
                if !fetched.is_empty() {
                    ledger.seen(fetched.next_offset.get(), durable);
                }
                ledger.check_high_watermark(fetched.high_watermark.get())
            }
            Err(FetchError::OutOfRange { .. }) if offset.get().unsigned_abs() > end => Ok(()),
            Err(FetchError::Io(_)) if self.plan.weather == Weather::Errors => Ok(()),
            Err(_) if self.rotten || self.directory.is_over() => Ok(()),
            Err(error) => Err(format!("fetch at {offset}: {error}")),
        }
    }

    // ---- time and I/O

    fn turns(&mut self, turns: u64) {
        for _ in 0..turns {
            if let Some(store) = &self.store {
                let _busy = store.turn();
            }
        }
    }

    /// Runs the I/O until every append is answered.
    fn settle(&mut self) -> Step {
        for turn in 0..TURNS_MAX {
            self.turns(1);
            if turn % 50 == 49 {
                self.clock.advance(Duration::from_millis(1));
            }
            for ledger in &mut self.ledgers {
                self.stats.acks += ledger.settle()?.0 as u64;
            }
            if self.directory.is_over() || !self.ledgers.iter().any(Ledger::is_waiting) {
                return Ok(());
            }
        }
        Err(format!("an append is not answered after {TURNS_MAX} turns"))
    }

    /// What must hold after every step.
    fn check(&mut self) -> Step {
        for ledger in &mut self.ledgers {
            self.stats.acks += ledger.settle()?.0 as u64;
        }
        if self.directory.is_over() && self.store.is_some() {
            let stop = self.armed.take().unwrap_or(Stop::Crash);
            self.stop(stop, &[])?;
        }
        match self.directory.violations().first() {
            Some(violation) => Err(format!("the log asked for what no disk allows: {violation}")),
            None => Ok(()),
        }
    }

    // ---- lives

    fn stop(&mut self, stop: Stop, again: &[u64]) -> Step {
        match stop {
            Stop::Crash => self.directory.crash(),
            Stop::Cut => self.directory.cut(),
        }
        self.count(stop);
        self.leave();
        let mut worst = stop;
        for operations in again.iter().filter(|operations| **operations > 0) {
            let next = if operations.is_multiple_of(3) { Stop::Crash } else { Stop::Cut };
            self.directory = self.directory.reborn();
            self.directory.arm(*operations, next);
            let opened = self.try_open();
            let struck = self.directory.is_over();
            drop(opened);
            self.directory.disarm();
            self.directory.crash();
            let happened = if struck { next } else { Stop::Crash };
            self.count(happened);
            if happened == Stop::Cut {
                worst = Stop::Cut;
            }
        }
        self.open(Some(worst))
    }

    fn count(&mut self, stop: Stop) {
        match stop {
            Stop::Crash => self.stats.crashes += 1,
            Stop::Cut => self.stats.cuts += 1,
        }
    }

    fn leave(&mut self) {
        self.armed = None;
        self.logs.clear();
        self.store = None;
    }

    fn close(&mut self) -> Step {
        let Some(store) = self.store.take() else { return Ok(()) };
        let closed = store.close();
        for ledger in &mut self.ledgers {
            self.stats.acks += ledger.settle()?.0 as u64;
        }
        self.logs.clear();
        drop(store);
        if self.directory.is_over() {
            let stop = self.armed.take().unwrap_or(Stop::Crash);
            self.count(stop);
            self.leave();
            return self.open(Some(stop));
        }
        self.armed = None;
        self.directory.disarm();
        if closed.is_ok() && self.plan.weather == Weather::Rot && self.chance.one_in(3) {
            self.shorten();
        }
        match closed {
            Ok(()) => self.open(None),
            Err(error) if self.plan.weather == Weather::Calm && !self.rotten => {
                Err(format!("close in calm weather: {error}"))
            }
            Err(_) => {
                self.directory.crash();
                self.count(Stop::Crash);
                self.open(Some(Stop::Crash))
            }
        }
    }

    fn try_open(&mut self) -> Result<Store, String> {
        self.stats.opens += 1;
        Store::builder()
            .directory(Arc::new(self.directory.clone()))
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(self.chance.next())))
            .drive(Drive::Manual)
            .segment_bytes_max(self.plan.segment_bytes)
            .unflushed_bytes_max(self.plan.unflushed_bytes)
            .message_bytes_max(self.plan.unflushed_bytes / 2)
            .watermark_bytes(self.plan.watermark_bytes)
            .flush_interval(self.plan.flush_interval)
            .flush_method(self.plan.flush_method)
            .visibility(self.plan.visibility)
            .open("/store")
            .map_err(|error| error.to_string())
    }

    /// The next life: opens the store and judges what it found after `stop` (none: a clean close).
    fn open(&mut self, stop: Option<Stop>) -> Step {
        self.directory = self.directory.reborn();
        self.directory.set_faults(Faults::default());
        let capacity = self.plan.weather == Weather::Full;
        if capacity {
            // Opening needs some room for sidecars; what it does without is the matter.
            self.directory.set_capacity(None);
        }
        let store = self.try_open().map_err(|error| format!("open after {stop:?}: {error}"));
        let store = match store {
            Ok(store) => store,
            Err(_) if self.rotten || self.plan.weather == Weather::Lies => {
                self.done = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.topic(&store, stop)?;
        self.store = Some(store);
        self.judge(stop)?;
        self.directory.set_faults(self.plan.faults);
        Ok(())
    }

    fn topic(&mut self, store: &Store, stop: Option<Stop>) -> Step {
        let name: TopicName = "t".parse().map_err(|_| "a good name")?;
        let exists = store.topics().iter().any(|topic| topic.name == name);
        if self.created && !exists && self.plan.weather != Weather::Lies {
            return Err(format!("after {stop:?} the topic is gone"));
        }
        if !exists {
            if self.created {
                self.done = true;
                return Ok(());
            }
            store.create_topic(&name, self.plan.partitions).map_err(|error| error.to_string())?;
        }
        self.created = true;
        self.logs.clear();
        for number in 0..self.plan.partitions {
            let partition = TopicPartition::new(name.clone(), number);
            match store.log(&partition) {
                Ok(log) => self.logs.push(log),
                Err(error) if self.plan.weather != Weather::Lies => return Err(error.to_string()),
                Err(_) => self.done = true,
            }
        }
        Ok(())
    }

    fn judge(&mut self, stop: Option<Stop>) -> Step {
        if self.done || self.store.is_none() {
            return Ok(());
        }
        let recovered = self.store.as_ref().map(Store::recovered).unwrap_or_default();
        for index in 0..self.logs.len() {
            let log = self.logs[index].clone();
            let (found, damaged) = read_around(&log)?;
            let number = log.topic_partition().partition();
            let Some(report) =
                recovered.iter().find(|report| report.partition.partition() == number)
            else {
                return Err(format!("opening says nothing of partition {number}"));
            };
            let limit = u64::from(self.plan.unflushed_bytes) + 8192;
            // Several rotten places can hide the good data between them.
            if report.bytes_cut > limit && self.rots <= 1 {
                let cut = report.bytes_cut;
                return Err(format!(
                    "{cut} bytes are cut as torn, more than ever were in flight (S5)"
                ));
            }
            if let Some(path) = &self.shortened
                && path.starts_with(format!("/store/t-{number}"))
                && report.clean
            {
                return Err(format!(
                    "{} was shortened, and the marker believed (D12)",
                    path.display()
                ));
            }
            let what = |error: String| format!("partition {number}: {error}; {report:?}");
            if self.rotten {
                self.ledgers[index].recover_rotten(&found, &damaged, report).map_err(what)?;
                self.done = true;
                continue;
            }
            if self.plan.weather == Weather::Lies {
                self.ledgers[index].check_records(&found).map_err(what)?;
                self.done = true;
                continue;
            }
            if let Some(damage) = report.damage.first() {
                return Err(format!("after {stop:?} damage is reported where none is: {damage:?}"));
            }
            let end = log.log_end_offset().get();
            self.ledgers[index].recover(stop, &found, end).map_err(what)?;
            if stop.is_none() && self.plan.weather == Weather::Calm && !report.clean {
                let opens = self.stats.opens;
                if opens > 1 {
                    return Err(format!(
                        "partition {number} was closed cleanly and scanned: {report:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    fn reopen(&mut self, partition: u64) -> Step {
        let index = self.index(partition);
        let Some(store) = self.store.clone() else { return Ok(()) };
        if !matches!(self.logs[index].info().state, LogState::Offline(_)) || self.rotten {
            return Ok(());
        }
        if self.directory.is_over() {
            return Ok(());
        }
        self.directory.set_faults(Faults::default());
        let old = self.logs[index].clone();
        let opened = store.reopen(old.topic_partition());
        match opened {
            Ok(log) => {
                if !matches!(old.info().state, LogState::Stale) {
                    return Err("a handle from before the reopen is not stale (S9)".to_owned());
                }
                self.ledgers[index].settle()?;
                self.logs[index] = log.clone();
                let read = read_around(&log);
                if !self.directory.is_over() {
                    let (found, damaged) = read?;
                    if self.plan.weather == Weather::Lies {
                        self.ledgers[index].check_records(&found)?;
                    } else if damaged.is_empty() {
                        let end = log.log_end_offset().get();
                        self.ledgers[index].recover(Some(Stop::Crash), &found, end)?;
                    } else {
                        return Err(format!("a reopened partition is damaged: {damaged:?}"));
                    }
                }
            }
            Err(_) if self.directory.is_over() => {}
            Err(error) => return Err(format!("reopen: {error}")),
        }
        self.directory.set_faults(self.plan.faults);
        Ok(())
    }

    /// The last life: everything is answered, closed, and found again.
    fn finish(&mut self) -> Step {
        if self.plan.weather == Weather::Errors {
            self.directory.set_faults(Faults::default());
        }
        self.settle()?;
        self.check()?;
        if self.done {
            return Ok(());
        }
        // Rot is judged where nothing but the watermark vouches for the log.
        if self.rotten { self.stop(Stop::Crash, &[]) } else { self.close() }
    }

    // ---- rot

    fn segments(&self) -> Vec<std::path::PathBuf> {
        let is_log = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "log");
        self.directory.files().into_iter().filter(is_log).collect()
    }

    fn rot(&mut self, what: String) {
        self.rotten = true;
        self.rots += 1;
        self.note(what);
    }

    /// Cuts a few bytes off the last segment of a partition that is closed.
    fn shorten(&mut self) {
        let Some(path) = self.segments().pop() else { return };
        let bytes = self.directory.read(&path).map_or(0, |bytes| bytes.len() as u64);
        if bytes > 0 {
            let left = bytes - 1 - self.chance.below(bytes.min(100));
            self.directory.shorten(&path, left);
            self.rot(format!("   shortens {} from {bytes} to {left}", path.display()));
            self.shortened = Some(path);
        }
    }

    fn flip(&mut self, file: u64, at: u64, mask: u8) {
        let name_of = |path: &std::path::PathBuf| {
            path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned()
        };
        let mut files = self.segments();
        if file.is_multiple_of(4) {
            files = self.directory.files();
            files.retain(|path| !matches!(name_of(path).as_str(), ".lock" | "partition.metadata"));
        }
        let Some(path) = files.get((file % (files.len() as u64).max(1)) as usize).cloned() else {
            return;
        };
        let Some(bytes) = self.directory.read(&path).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        let starts: Vec<u64> = log_core::format::Batches::new(&bytes)
            .map_while(Result::ok)
            .map(|placed| placed.position as u64)
            .collect();
        // Often aimed at a header's fields outside the checksum, which nothing else would meet.
        let at = match starts.get((at % (starts.len() as u64).max(1)) as usize) {
            Some(start) if at.is_multiple_of(2) => start + (at >> 32) % 17,
            _ => at % bytes.len() as u64,
        };
        if self.directory.flip(&path, at, mask) {
            // A byte out of the zeros behind the log is no torn write, and cut all the same.
            self.rots += u32::from(bytes.get(at as usize) == Some(&0));
            self.rot(format!("   flips byte {at} of {}", path.display()));
        }
    }

    fn zero(&mut self, file: u64, block: u64) {
        let files = self.segments();
        let Some(path) = files.get((file % (files.len() as u64).max(1)) as usize).cloned() else {
            return;
        };
        let Some(bytes) = self.directory.read(&path) else { return };
        let blocks = (bytes.len() as u64).div_ceil(4096).max(1);
        let from = (block % blocks) * 4096;
        self.rot(format!("   zeroes block {} of {}", from / 4096, path.display()));
        for (at, byte) in bytes.iter().enumerate().skip(from as usize).take(4096) {
            let _there = *byte != 0 && self.directory.flip(&path, at as u64, *byte);
        }
    }
}

/// The value of record `id`: its number, then as many bytes as its low 16 bits say.
fn value_of(id: u64) -> Vec<u8> {
    let mut value = id.to_be_bytes().to_vec();
    let fill = id.to_be_bytes()[5];
    value.resize(8 + (id & 0xFFFF) as usize, fill);
    value
}

/// The records of a fetch from the offset asked for on; each must be whole.
fn records(fetched: &log_core::Fetched) -> Result<Vec<Found>, String> {
    fetched
        .records()
        .map(|record| {
            let record = record.map_err(|error| format!("a fetched record is broken: {error}"))?;
            let value = record.value.unwrap_or_default();
            let id = value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            if value_of(id) != value {
                return Err(format!("the record at {} is not as it was written", record.offset));
            }
            Ok((record.offset.get(), id))
        })
        .collect()
}

/// Records found, and ranges of offsets named as damaged.
type ReadAround = (Vec<Found>, Vec<(i64, i64)>);

/// Everything readable, and the ranges that are named as damaged.
fn read_around(log: &Log) -> Result<ReadAround, String> {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    let mut offset = log.log_start_offset();
    loop {
        match log.fetch(offset, FetchLimits::default(), IsolationLevel::ReadUncommitted) {
            Ok(fetched) if fetched.is_empty() => return Ok((found, damaged)),
            Ok(fetched) => {
                found.extend(records(&fetched)?);
                offset = fetched.next_offset;
            }
            Err(FetchError::Corrupt { damage, .. }) => {
                damaged.push((damage.offsets.start.get(), damage.offsets.end.get()));
                if damage.offsets.end <= offset {
                    return Err(format!("damage at {offset} does not say where the log goes on"));
                }
                offset = damage.offsets.end;
            }
            Err(error) => return Err(format!("reading everything back: {error}")),
        }
    }
}
