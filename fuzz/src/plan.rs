//! From a seed to a history: settings, faults, steps. Swarm style: each history switches a random
//! part of everything on, so that rare combinations meet.

use core::time::Duration;

use log_core::disk::sim::Faults;
use log_core::{Durability, FlushMethod, Visibility};

use crate::chance::Chance;
use crate::op::{Op, Raw};

/// Steps of a plan that bytes spell.
const STEPS_MAX: usize = 200;

/// What may go wrong with the disk in a history, and so what the oracle may demand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the oracle answers each")]
pub enum Weather {
    /// Nothing but stops.
    Calm,
    /// Reported I/O errors.
    Errors,
    /// No space.
    Full,
    /// Stored bytes change.
    Rot,
    /// Flushes that were none.
    Lies,
}

/// A history to be.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "read by the runner")]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    /// Partitions of the one topic.
    pub partitions: u32,
    /// `segment_bytes_max`.
    pub segment_bytes: u32,
    /// `unflushed_bytes_max`.
    pub unflushed_bytes: u32,
    /// `watermark_bytes`.
    pub watermark_bytes: u32,
    /// `checkpoint_bytes`.
    pub checkpoint_bytes: u32,
    /// `open_files_max`.
    pub open_files: u32,
    /// `flush_interval`.
    pub flush_interval: Duration,
    /// `flush_method`.
    pub flush_method: FlushMethod,
    /// `visibility`.
    pub visibility: Visibility,
    /// Each life has other settings than the one before.
    pub restless: bool,
    /// Batches are compressed, each by another codec.
    pub codecs: bool,
    /// What goes wrong.
    pub weather: Weather,
    /// How often.
    pub faults: Faults,
    /// What is done.
    pub ops: Vec<Op>,
}

impl Plan {
    /// The plan of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let c = &mut Chance::new(seed);
        let (mut plan, swarm) = Self::settings(c, seed, None);
        let steps = 20 + c.below(120);
        plan.ops = (0..steps).map(|_| step(c, &swarm, plan.weather)).collect();
        // Chance of their own: what a seed did before there were producers, it does still.
        plan.mix_in_producers(&mut Chance::new(seed ^ 0x5E90_E4CE));
        plan.mix_in_ends(&mut Chance::new(seed ^ 0xE2D5));
        plan
    }

    /// The plan that `bytes` spell, in this weather or in one of their own.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], weather: Option<Weather>) -> Self {
        let c = &mut Chance::from_bytes(bytes.to_vec());
        let seed = c.below(0x1_0000);
        let (mut plan, swarm) = Self::settings(c, seed, weather);
        let (producers, lean) = (c.pick(&[0, 1, 3]), Lean::new(c));
        while !c.is_spent() && plan.ops.len() < STEPS_MAX {
            let theirs = c.below(producers + 1) > 0;
            let next = if theirs { lean.step(c) } else { step(c, &swarm, plan.weather) };
            plan.ops.push(next);
        }
        plan
    }

    /// Puts producers' steps between the others, in two histories of three.
    fn mix_in_producers(&mut self, c: &mut Chance) {
        let share = c.pick(&[0, 1, 3]);
        let lean = Lean::new(c);
        let others = core::mem::take(&mut self.ops);
        for op in others {
            for _ in 0..c.below(2 * share + 1) {
                self.ops.push(lean.step(c));
            }
            self.ops.push(op);
        }
    }

    /// Puts between the others what deletes records and changes topics, in every other history.
    fn mix_in_ends(&mut self, c: &mut Chance) {
        self.restless = c.one_in(2);
        self.codecs = c.one_in(4);
        let often = c.pick(&[0, 0, 4, 16]);
        // Where much data stands above a lagging watermark, it has to stay there.
        if often == 0 || (self.weather == Weather::Rot && c.one_in(2)) {
            return;
        }
        let base = [6, 4, 5, 4, 1, 1];
        let weights = base.map(|weight| if c.one_in(4) { 0 } else { 1 + c.below(2 * weight) });
        let others = core::mem::take(&mut self.ops);
        for op in others {
            if c.one_in(often) {
                let partition = c.next();
                self.ops.push(match weighted(c, &weights) {
                    0 => Op::Delete { partition, at: c.next() },
                    1 => Op::Retain { partition },
                    2 => Op::Truncate { partition, at: c.next() },
                    3 => Op::Alter { draw: c.next() },
                    4 => Op::Grow,
                    _ => Op::Remake,
                });
            }
            self.ops.push(op);
        }
    }

    /// Everything but the steps.
    fn settings(c: &mut Chance, seed: u64, weather: Option<Weather>) -> (Self, Swarm) {
        let drawn = match c.below(20) {
            0..9 => Weather::Calm,
            9..14 => Weather::Errors,
            14..16 => Weather::Full,
            16..19 => Weather::Rot,
            _ => Weather::Lies,
        };
        let weather = weather.unwrap_or(drawn);
        let faults = faults(c, weather);
        let mut plan = Self {
            seed,
            partitions: 1 + c.below(3) as u32,
            segment_bytes: c.pick(&[4096, 8192, 16384, 65536, 262_144]),
            unflushed_bytes: c.pick(&[8192, 16384, 32768, 131_072]),
            watermark_bytes: c.pick(&[1, 4096, 32768, 1 << 20]),
            checkpoint_bytes: c.pick(&[0, 4096, 32768, 1 << 26]),
            open_files: c.pick(&[0, 2, 6, 100]),
            flush_interval: Duration::from_millis(c.pick(&[0, 10, 10, 1000])),
            flush_method: c.pick(&[FlushMethod::Sync, FlushMethod::OwnRange]),
            visibility: c.pick(&[Visibility::Synced, Visibility::Synced, Visibility::Written]),
            restless: false,
            codecs: false,
            weather,
            faults,
            ops: Vec::new(),
        };
        let mut swarm = Swarm::new(c);
        if weather == Weather::Rot && c.one_in(2) {
            // Much data above a watermark that lags: what only S5 can judge.
            plan.partitions = 1;
            plan.segment_bytes = 262_144;
            plan.unflushed_bytes = 8192;
            plan.watermark_bytes = 1 << 20;
            plan.checkpoint_bytes = 1 << 26;
            swarm.weights = [80, 0, 40, 1, 10, 5, 0, 0, 2, 0, 0, 2, 0, 0];
            (swarm.bytes_max, swarm.records_max) = (1500, 2);
        }
        (plan, swarm)
    }
}

/// What the producers of a history lean to.
struct Lean {
    weights: [u64; 4],
    durability: [u64; 3],
    /// Partitions and producers that are used: few, so that one has much to do.
    few: u64,
}

impl Lean {
    fn new(c: &mut Chance) -> Self {
        Self {
            weights: [6 + c.below(20), c.below(12), c.below(4), c.below(3)],
            durability: [c.below(4), c.below(3), 1 + c.below(4)],
            few: 1 + c.below(4),
        }
    }

    fn step(&self, c: &mut Chance) -> Op {
        let (partition, producer) = (c.below(self.few), c.below(self.few));
        let levels = [Durability::Buffered, Durability::Written, Durability::Synced];
        let durability = levels[weighted(c, &self.durability)];
        match weighted(c, &self.weights) {
            0 => {
                let (records, bytes) = (1 + c.below(4), 8 + c.below(200));
                Op::Produce { partition, producer, records, bytes, durability }
            }
            1 => Op::Retry { partition, producer, which: c.next(), durability },
            2 => Op::Wrong { partition, producer, kind: c.next() },
            _ => Op::Bump { partition, producer },
        }
    }
}

fn faults(c: &mut Chance, weather: Weather) -> Faults {
    let mut rate = |most: u64| if c.one_in(2) { c.below(most) as u16 } else { 0 };
    match weather {
        Weather::Errors => Faults {
            write_error: rate(1500),
            short_write: rate(16000),
            zero_write: rate(6000),
            interrupted: rate(16000),
            sync_error: rate(4000),
            read_error: rate(200),
            short_read: rate(6000),
            lying_sync: 0,
        },
        Weather::Lies => Faults { lying_sync: 500 + rate(8000), ..Faults::default() },
        Weather::Calm | Weather::Full | Weather::Rot => Faults::default(),
    }
}

/// Which steps a history leans to.
struct Swarm {
    weights: [u64; 14],
    durability: [u64; 3],
    bytes_max: u64,
    records_max: u64,
}

impl Swarm {
    fn new(c: &mut Chance) -> Self {
        let base = [60, 2, 40, 10, 15, 8, 3, 3, 6, 4, 6, 5, 3, 3];
        let weights = base.map(|weight| if c.one_in(4) { 0 } else { 1 + c.below(2 * weight) });
        Self {
            weights,
            durability: [c.below(4), c.below(4), 1 + c.below(6)],
            bytes_max: c.pick(&[20, 200, 2000, 7000]),
            records_max: c.pick(&[1, 3, 20]),
        }
    }

    fn durability(&self, c: &mut Chance) -> Durability {
        let levels = [Durability::Buffered, Durability::Written, Durability::Synced];
        levels[weighted(c, &self.durability)]
    }
}

fn weighted(c: &mut Chance, weights: &[u64]) -> usize {
    let mut ticket = c.below(weights.iter().sum());
    for (index, weight) in weights.iter().enumerate() {
        if ticket < *weight {
            return index;
        }
        ticket -= weight;
    }
    0
}

fn step(c: &mut Chance, swarm: &Swarm, weather: Weather) -> Op {
    let partition = c.next();
    match weighted(c, &swarm.weights) {
        0 => Op::Append {
            partition,
            records: 1 + c.below(swarm.records_max),
            bytes: 8 + c.below(swarm.bytes_max),
            durability: swarm.durability(c),
            raw: c.pick(&[Raw::Built, Raw::Built, Raw::Built, Raw::Bytes, Raw::Kept]),
        },
        1 => Op::Hostile { partition, bits: c.next() },
        2 => Op::Turns(1 + c.below(6)),
        3 => Op::Advance { millis: c.pick(&[1, 10, 100, 2000]) },
        4 => Op::Fetch { partition, at: c.next(), bytes: c.below(4000) },
        5 => Op::Settle,
        6 => Op::Close,
        7 => Op::Drop,
        8 => Op::Stop { cut: !c.one_in(3), again: [c.below(120), c.below(200)] },
        9 => Op::Arm { operations: 1 + c.below(60), cut: !c.one_in(3) },
        10 => Op::Reopen { partition },
        11 if weather == Weather::Rot => {
            Op::Flip { file: c.next(), at: c.next(), mask: 1 << c.below(8) }
        }
        12 if weather == Weather::Rot => Op::Zero { file: c.next(), block: c.next() },
        13 => Op::Harm { file: c.next(), at: c.next() },
        11 if weather == Weather::Full => {
            Op::Space { bytes: if c.one_in(3) { None } else { Some(c.below(200_000)) } }
        }
        _ => Op::Turns(1 + c.below(20)),
    }
}
