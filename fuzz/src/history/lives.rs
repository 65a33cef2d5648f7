//! How lives end and begin: crash, cut, close, reopen; and the judgement of what the next one finds.

use core::time::Duration;
use std::sync::Arc;

use log_core::clock::Clock as _;
use log_core::disk::sim::{Faults, Stop};
use log_core::entropy::SeededEntropy;
use log_core::{Drive, FlushMethod, Log, LogState, Store, Visibility};

use super::read::{check_times, read_around};
use super::{History, Step};
use crate::chance::Chance;
use crate::oracle::Found;
use crate::plan::{Plan, Weather};

/// The settings of the store of one life.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfLife {
    pub(super) segment_bytes: u32,
    index_interval: u32,
    pub(super) unflushed_bytes: u32,
    watermark_bytes: u32,
    checkpoint_bytes: u32,
    open_files: u32,
    flush_method: FlushMethod,
    pub(super) visibility: Visibility,
}

impl OfLife {
    /// As the plan says.
    pub(super) const fn of(plan: &Plan) -> Self {
        Self {
            segment_bytes: plan.segment_bytes,
            index_interval: 4096,
            unflushed_bytes: plan.unflushed_bytes,
            watermark_bytes: plan.watermark_bytes,
            checkpoint_bytes: plan.checkpoint_bytes,
            open_files: plan.open_files,
            flush_method: plan.flush_method,
            visibility: plan.visibility,
        }
    }

    fn draw(c: &mut Chance) -> Self {
        Self {
            segment_bytes: c.pick(&[4096, 8192, 16384, 65536, 262_144]),
            index_interval: c.pick(&[0, 700, 4096, 4096, 100_000]),
            unflushed_bytes: c.pick(&[8192, 16384, 32768, 131_072]),
            watermark_bytes: c.pick(&[1, 4096, 32768, 1 << 20]),
            checkpoint_bytes: c.pick(&[0, 4096, 32768, 1 << 26]),
            open_files: c.pick(&[0, 2, 6, 100]),
            flush_method: c.pick(&[FlushMethod::Sync, FlushMethod::OwnRange]),
            visibility: c.pick(&[Visibility::Synced, Visibility::Synced, Visibility::Written]),
        }
    }
}

impl History<'_> {
    pub(super) fn stop(&mut self, stop: Stop, again: &[u64]) -> Step {
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

    pub(super) fn count(&mut self, stop: Stop) {
        match stop {
            Stop::Crash => self.stats.crashes += 1,
            Stop::Cut => self.stats.cuts += 1,
        }
    }

    pub(super) fn leave(&mut self) {
        self.armed = None;
        self.logs.clear();
        self.store = None;
    }

    pub(super) fn close(&mut self) -> Step {
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

    pub(super) fn try_open(&mut self) -> Result<Store, String> {
        self.stats.opens += 1;
        if self.plan.restless {
            self.life = OfLife::draw(&mut self.chance);
            self.unflushed_most = self.unflushed_most.max(self.life.unflushed_bytes);
        }
        let life = self.life;
        Store::builder()
            .directory(Arc::new(self.directory.clone()))
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(self.chance.next())))
            .drive(Drive::Manual)
            .segment_bytes_max(life.segment_bytes)
            .index_interval_bytes(life.index_interval)
            .unflushed_bytes_max(life.unflushed_bytes)
            .message_bytes_max(life.unflushed_bytes / 2)
            .watermark_bytes(life.watermark_bytes)
            .checkpoint_bytes(life.checkpoint_bytes)
            .open_files_max(life.open_files)
            .flush_interval(self.plan.flush_interval)
            .flush_method(life.flush_method)
            .visibility(life.visibility)
            .retention_check_interval(Duration::from_millis(500))
            .open("/store")
            .map_err(|error| error.to_string())
    }

    /// The next life: opens the store and judges what it found after `stop` (none: a clean close).
    pub(super) fn open(&mut self, stop: Option<Stop>) -> Step {
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
        self.find_topic(&store, stop)?;
        self.store = Some(store);
        self.judge(stop)?;
        self.topics_before.clear();
        self.directory.set_faults(self.plan.faults);
        Ok(())
    }

    pub(super) fn judge(&mut self, stop: Option<Stop>) -> Step {
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
            let limit = u64::from(self.unflushed_most) + 8192;
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
            self.accept(index, &log, stop, &found).map_err(what)?;
            check_times(&log, &found).map_err(what)?;
            let undisturbed = self.plan.weather == Weather::Calm && self.harms == 0;
            if stop.is_none() && undisturbed && !report.clean {
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

    /// Holds what a new life of a partition found against what had to be there.
    fn accept(&mut self, index: usize, log: &Log, stop: Option<Stop>, found: &[Found]) -> Step {
        let ends = (log.log_start_offset().get(), log.log_end_offset().get());
        let rule = self.retention_before(self.clock.timestamp().get());
        let producers = Self::producers(log);
        if self.ledgers[index].recover(stop, found, ends, rule, &producers)? {
            self.rewind(index);
        }
        self.check_producers(index)?;
        self.doubt(index);
        Ok(())
    }

    pub(super) fn reopen(&mut self, partition: u64) -> Step {
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
                        self.accept(index, &log, Some(Stop::Crash), &found)?;
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
}
