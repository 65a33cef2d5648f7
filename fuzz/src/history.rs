//! One history: a plan carried out on a store on the simulated disk, judged at every step.
//!
//! ```text
//!   step ─▶ traffic.rs   append, read                 after each   check: what must always hold
//!       └─▶ produce.rs   producers that send again until they know
//!       └─▶ ends.rs      records deleted from either end
//!       └─▶ topic.rs     settings changed, partitions added, all deleted and made anew
//!       └─▶ lives.rs     crash, cut, close, reopen    after each   judge: what the next life finds
//!       └─▶ rot.rs       stored bytes change
//! ```

use core::any::Any;
use core::time::Duration;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use log_core::clock::ManualClock;
use log_core::disk::sim::{Faults, SimDirectory, Stop};
use log_core::ids::TimestampMs;
use log_core::{Log, Store};

use self::lives::OfLife;
use self::produce::{Sender, senders};
pub(crate) use self::read::time_of;
use self::topic::{Existence, OfTopic};
use crate::chance::Chance;
use crate::op::Op;
use crate::oracle::Ledger;
use crate::plan::{Plan, Weather};

mod ends;
mod lives;
mod produce;
mod read;
mod rot;
mod topic;
mod traffic;

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
    /// Batches sent again and known.
    pub repeats: u64,
    /// Producers' batches refused.
    pub refusals: u64,
    /// Deletions of records, from either end.
    pub trims: u64,
    /// Topics deleted, grown, or given other settings.
    pub changes: u64,
}

impl core::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        self.appends += other.appends;
        self.acks += other.acks;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.opens += other.opens;
        self.repeats += other.repeats;
        self.refusals += other.refusals;
        self.trims += other.trims;
        self.changes += other.changes;
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
    // A panic is a finding like any other, and has a seed.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
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
    }));
    match outcome.unwrap_or_else(|panic| Err(said(&*panic))) {
        Ok(()) => Ok(history.stats),
        Err(what) => Err(Failure { what, step, trace: history.trace.into() }),
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("no words"))
}

struct History<'a> {
    plan: &'a Plan,
    directory: SimDirectory,
    clock: ManualClock,
    chance: Chance,
    store: Option<Store>,
    logs: Vec<Log>,
    ledgers: Vec<Ledger>,
    /// The producers of each partition.
    senders: Vec<Vec<Sender>>,
    /// What is known of the topic.
    existence: Existence,
    /// The topic's own settings, and those it may have instead.
    topic: OfTopic,
    topic_or: Option<OfTopic>,
    /// Settings it had earlier in this life: what a deletion by them wrote may show in the next.
    topics_before: Vec<OfTopic>,
    /// One more partition may be found.
    may_grow: bool,
    /// The settings of the store of this life.
    life: OfLife,
    /// The most bytes that any life may have had in flight.
    unflushed_most: u32,
    /// What an armed stop will be.
    armed: Option<Stop>,
    rotten: bool,
    /// How often files were damaged that only save time.
    harms: u32,
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
            senders: senders(plan.partitions),
            existence: Existence::Never,
            topic: OfTopic::default(),
            topic_or: None,
            topics_before: Vec::new(),
            may_grow: false,
            life: OfLife::of(plan),
            unflushed_most: plan.unflushed_bytes,
            armed: None,
            rotten: false,
            harms: 0,
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
            Op::Produce { partition, producer, records, bytes, durability } => {
                self.produce((partition, producer), records, bytes, durability)
            }
            Op::Retry { partition, producer, which, durability } => {
                self.retry((partition, producer), which, durability)
            }
            Op::Wrong { partition, producer, kind } => self.wrong((partition, producer), kind),
            Op::Bump { partition, producer } => {
                self.bump(partition, producer);
                Ok(())
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
            Op::Harm { file, at } => {
                self.harm(file, at);
                Ok(())
            }
            Op::Space { bytes } => {
                self.directory.set_capacity(bytes.map(|bytes| bytes + 40_000));
                Ok(())
            }
            Op::Delete { partition, at } => self.delete(partition, at),
            Op::Retain { partition } => self.retain(partition),
            Op::Truncate { partition, at } => self.truncate(partition, at),
            Op::Alter { draw } => self.alter(draw),
            Op::Grow => self.grow(),
            Op::Remake => self.remake(),
        }
    }

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
        self.see_starts()?;
        if self.directory.is_over() && self.store.is_some() {
            let stop = self.armed.take().unwrap_or(Stop::Crash);
            self.stop(stop, &[])?;
        }
        match self.directory.violations().first() {
            Some(violation) => Err(format!("the log asked for what no disk allows: {violation}")),
            None => Ok(()),
        }
    }

    /// The last life: everything is answered, closed, and found again.
    fn finish(&mut self) -> Step {
        if self.plan.weather == Weather::Errors {
            self.directory.set_faults(Faults::default());
        }
        self.settle()?;
        self.check()?;
        self.drain()?;
        if self.done {
            return Ok(());
        }
        // Rot is judged where nothing but the watermark vouches for the log.
        if self.rotten { self.stop(Stop::Crash, &[]) } else { self.close() }
    }
}
