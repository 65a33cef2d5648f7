//! Who runs a store's I/O, and what its partitions share.
//!
//! ```text
//!   appender ── ready queue ─▶ bell ─▶ I/O thread:  turn each ready partition
//!                                                   poll the disk, hand completions back
//!                                                   sleep until the bell or the next timer
//! ```
//!
//! One thread a store. It holds no partition's lock while it sleeps, and skips a partition whose
//! flush turn an appender has taken: that appender looks for leftovers when it gives the turn back.
//!
//! With I/O in flight it sleeps in the disk's queue instead, and the bell is not enough to wake it:
//! whoever rings then calls the queue's waker too.

use core::any::Any;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use core::task::Waker;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};

use crossbeam::queue::SegQueue;
use parking_lot::Mutex;

use super::errands::Errands;
use super::events::Events;
use super::maintain::Maintenance;
use super::partition::Partition;
use super::ticket::{Answer, in_callback};
use super::trim::Retained;
use crate::clock::{Clock, Signal, Tick};
use crate::config::{Drive, Settings};
use crate::disk::pool::{FilePool, open_files_default};
use crate::disk::{Completion, Directory, Disk};
use crate::entropy::Entropy;
use crate::error::{Fault, FaultKind};
use crate::int::u64_from;

/// How often, and how long each time, a queue that failed is asked for what it had in flight.
const LAST_WAITS_MAX: u32 = 20;
const LAST_WAIT: Duration = Duration::from_millis(100);
/// Time between two tries to get a queue after the last one was lost.
const QUEUE_RETRY: Duration = Duration::from_millis(100);

/// What the partitions of a store have in common.
pub(crate) struct Shared {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) settings: Settings,
    pub(crate) drive: Drive,
    pub(crate) counters: Counters,
    pub(crate) events: Events,
    /// Segments and watermarks, open while they are used.
    pub(crate) files: Arc<FilePool>,
    pub(crate) maintenance: Maintenance,
    /// What is done beside appends.
    pub(crate) errands: Arc<Errands>,
    ready: SegQueue<Arc<Partition>>,
    /// Raised for the I/O thread.
    bell: Signal,
    /// Raised when the I/O thread has ended.
    pub(crate) ended: Signal,
    stopping: AtomicBool,
    /// Whether the I/O thread sleeps in the disk's queue, or is about to.
    polling: AtomicBool,
    /// What wakes it there.
    waker: OnceLock<Waker>,
    engine: Mutex<Option<Engine>>,
    this: Weak<Self>,
}

impl Shared {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: Settings,
        drive: Drive,
        events: Events,
    ) -> io::Result<Arc<Self>> {
        let engine = match drive {
            Drive::Manual => Some(Engine::new(directory.turn_disk()?)),
            Drive::Thread | Drive::Inline => None,
        };
        let open_files_max = settings.open_files_max.unwrap_or_else(open_files_default);
        let files = FilePool::new(directory, open_files_max);
        Ok(Arc::new_cyclic(|this| Self {
            directory: Arc::<FilePool>::clone(&files),
            files,
            clock,
            entropy,
            settings,
            drive,
            counters: Counters::default(),
            events,
            maintenance: Maintenance::default(),
            errands: Arc::default(),
            ready: SegQueue::new(),
            bell: Signal::default(),
            ended: Signal::default(),
            stopping: AtomicBool::new(false),
            polling: AtomicBool::new(false),
            waker: OnceLock::new(),
            engine: Mutex::new(engine),
            this: Weak::clone(this),
        }))
    }

    /// Puts `partition` in front of whoever does the I/O.
    pub(crate) fn tell(&self, partition: Arc<Partition>) {
        self.ready.push(partition);
        self.ring();
    }

    /// Wakes the I/O thread, wherever it sleeps.
    fn ring(&self) {
        self.bell.raise();
        // SeqCst: pairs with the fence in `await_disk`. Either this sees that the thread polls, or
        // the thread sees what was pushed before this.
        fence(Ordering::SeqCst);
        if self.polling.load(Ordering::Relaxed)
            && let Some(waker) = self.waker.get()
        {
            waker.wake_by_ref();
        }
    }

    /// How a waiter drives a store that has no thread; `None` where it has one.
    pub(crate) fn driver(&self) -> Option<Arc<dyn Fn() -> bool + Send + Sync>> {
        if self.drive != Drive::Manual {
            return None;
        }
        let this = Weak::clone(&self.this);
        Some(Arc::new(move || this.upgrade().is_some_and(|shared| shared.step())))
    }

    /// One step of a store driven by hand; none within a callback, which may be part of one. Returns
    /// whether anything is under way.
    pub(crate) fn step(&self) -> bool {
        if in_callback() {
            return false;
        }
        let busy = match &mut *self.engine.lock() {
            Some(engine) => {
                let step = engine.step(self);
                step.progress || engine.disk.in_flight() > 0
            }
            None => false,
        };
        self.events.give();
        busy
    }

    /// Lets go of a partition whose life is over: whoever does the I/O looks once more.
    pub(crate) fn forget(&self, partition: &Partition) {
        match (self.drive, &mut *self.engine.lock()) {
            (_, Some(engine)) => engine.forget(partition.slot),
            (Drive::Thread, None) => partition.notify(),
            (Drive::Inline | Drive::Manual, None) => {}
        }
    }

    /// Lets go of every partition: they hold what is shared, so nothing shared may outlive the store
    /// by holding them.
    pub(crate) fn dissolve(&self) {
        drop(self.engine.lock().take());
        while let Some(partition) = self.ready.pop() {
            drop(partition);
        }
    }

    /// Asks the I/O thread to finish what waits and end.
    pub(crate) fn stop(&self) {
        // Release: pairs with the Acquire in `run`.
        self.stopping.store(true, Ordering::Release);
        self.ring();
    }

    /// The I/O thread's life. A panic, which is a bug of ours or of a disk that was given, ends what
    /// every partition was doing, and not the thread: what is reopened goes on with another queue.
    pub(crate) fn run(&self, engine: Engine) {
        let mut next = Some(engine);
        while let Some(engine) = next.take() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run_engine(engine))) {
                self.polling.store(false, Ordering::Relaxed);
                next = self.recover_from(&*panic);
            }
        }
        self.events.give();
        self.ended.raise();
    }

    /// Takes every partition offline, and makes another queue.
    fn recover_from(&self, panic: &(dyn Any + Send)) -> Option<Engine> {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let what = format!("the I/O thread panicked, a bug: {}", text.unwrap_or("no message"));
        for partition in self.maintenance.all() {
            let fault = Fault::new(FaultKind::Bug, &partition.dir, what.clone());
            let mut answers = Vec::new();
            partition.lose(&fault, &mut answers);
            answers.into_iter().for_each(Answer::give);
        }
        self.events.give();
        loop {
            match self.directory.turn_disk() {
                Ok(disk) => return Some(Engine::new(disk)),
                Err(_) if self.stopping.load(Ordering::Acquire) => return None,
                Err(_not_yet) => {
                    let again = self.clock.tick().after(QUEUE_RETRY);
                    self.clock.wait(&self.bell, self.bell.seen(), Some(again));
                }
            }
        }
    }

    fn run_engine(&self, mut engine: Engine) {
        if let Some(waker) = engine.disk.waker() {
            // There is one I/O thread: nobody has set it before.
            let _set = self.waker.set(waker);
        }
        loop {
            let seen = self.bell.seen();
            let stopping = self.stopping.load(Ordering::Acquire);
            let step = engine.step(self);
            self.events.give();
            if step.progress {
                continue;
            }
            if engine.disk.in_flight() > 0 {
                self.await_disk(&mut engine, step.next);
                continue;
            }
            if stopping {
                break;
            }
            self.maintain_if_due();
            let next = step.next.into_iter().chain([self.maintenance_due()]).min();
            self.clock.wait(&self.bell, seen, next);
        }
    }

    /// Sleeps in the disk's queue until something completes, comes, or `next` is reached.
    fn await_disk(&self, engine: &mut Engine, next: Option<Tick>) {
        self.polling.store(true, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `ring`.
        fence(Ordering::SeqCst);
        if self.ready.is_empty() {
            let limit = next.map(|next| next.since(self.clock.tick()));
            engine.reap(self, |disk, out| disk.poll_until(limit, out));
        }
        self.polling.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("directory", &self.directory)
            .field("settings", &self.settings)
            .field("drive", &self.drive)
            .finish_non_exhaustive()
    }
}

/// The state of whoever does the I/O.
#[derive(Debug)]
pub(crate) struct Engine {
    disk: Box<dyn Disk>,
    partitions: BTreeMap<u32, Arc<Partition>>,
    timers: BTreeSet<(Tick, u32)>,
    timer_of: BTreeMap<u32, Tick>,
    completions: Vec<Completion>,
}

/// What a step left.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Something was done: step again.
    progress: bool,
    next: Option<Tick>,
}

impl Engine {
    pub(crate) fn new(disk: Box<dyn Disk>) -> Self {
        Self {
            disk,
            partitions: BTreeMap::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            completions: Vec::new(),
        }
    }

    fn step(&mut self, shared: &Shared) -> Step {
        let mut slots = BTreeSet::new();
        while let Some(partition) = shared.ready.pop() {
            partition.noticed();
            slots.insert(partition.slot);
            self.partitions.insert(partition.slot, partition);
        }
        let now = shared.clock.tick();
        while let Some((due, slot)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, slot));
            self.timer_of.remove(&slot);
            slots.insert(slot);
        }
        let mut progress = !slots.is_empty();
        for slot in slots {
            self.turn(slot);
        }
        if self.disk.in_flight() > 0 {
            progress |= self.reap(shared, |disk, out| disk.poll(0, out));
        }
        Step { progress, next: self.timers.first().map(|timer| timer.0) }
    }

    /// Hands what `poll` finds back to its partitions; returns whether there was anything.
    fn reap(
        &mut self,
        shared: &Shared,
        poll: impl FnOnce(&mut dyn Disk, &mut Vec<Completion>) -> io::Result<()>,
    ) -> bool {
        let mut completions = core::mem::take(&mut self.completions);
        let polled = poll(&mut *self.disk, &mut completions);
        let slots = self.deliver(&mut completions);
        self.completions = completions;
        let any = !slots.is_empty();
        for slot in slots {
            self.turn(slot);
        }
        if let Err(error) = polled {
            self.fail_all(shared, &error);
        }
        any
    }

    /// Gives each completion to its partition; returns which partitions had any.
    fn deliver(&mut self, completions: &mut Vec<Completion>) -> BTreeSet<u32> {
        let mut slots = BTreeSet::new();
        for completion in completions.drain(..) {
            let slot = u32::try_from(completion.token.0 >> 32).unwrap_or(u32::MAX);
            let Some(partition) = self.partitions.get(&slot).map(Arc::clone) else { continue };
            let mut answers = Vec::new();
            partition.complete(
                &mut partition.writer.lock(),
                completion,
                &mut *self.disk,
                &mut answers,
            );
            answers.into_iter().for_each(Answer::give);
            slots.insert(slot);
        }
        slots
    }

    fn turn(&mut self, slot: u32) {
        let Some(partition) = self.partitions.get(&slot).map(Arc::clone) else { return };
        let mut answers = Vec::new();
        let (due, over) = {
            // Taken by an appender: it tells us again if anything is left.
            let Some(mut writer) = partition.writer.try_lock() else { return };
            (partition.turn(&mut writer, &mut *self.disk, &mut answers), writer.is_over())
        };
        answers.into_iter().for_each(Answer::give);
        if over {
            return self.forget(slot);
        }
        if let Some(old) = self.timer_of.remove(&slot) {
            self.timers.remove(&(old, slot));
        }
        if let Some(due) = due {
            self.timers.insert((due, slot));
            self.timer_of.insert(slot, due);
        }
        partition.set_timed(due.is_some());
    }

    /// The queue itself failed: no partition can go on. One that is reopened gets another queue,
    /// once what the old one had in flight is back.
    fn fail_all(&mut self, shared: &Shared, error: &io::Error) {
        for partition in self.partitions.values() {
            let what = format!("the disk's queue failed: {error}");
            let fault = Fault::new(FaultKind::Stopped, &partition.dir, what);
            let mut answers = Vec::new();
            partition.take_offline(&mut partition.writer.lock(), &fault, &mut answers);
            answers.into_iter().for_each(Answer::give);
        }
        for _ in 0..LAST_WAITS_MAX {
            if self.disk.in_flight() == 0 {
                break;
            }
            let mut completions = Vec::new();
            // It failed already; what still comes out of it counts.
            let _failed_again = self.disk.poll_until(Some(LAST_WAIT), &mut completions);
            self.deliver(&mut completions);
        }
        if let Ok(disk) = shared.directory.turn_disk() {
            self.disk = disk;
        }
    }

    fn forget(&mut self, slot: u32) {
        self.partitions.remove(&slot);
        if let Some(old) = self.timer_of.remove(&slot) {
            self.timers.remove(&(old, slot));
        }
    }
}

/// Counts of what a store did.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    writes: AtomicU64,
    written_bytes: AtomicU64,
    syncs: AtomicU64,
    index_write_failures: AtomicU64,
    snapshot_write_failures: AtomicU64,
    segments_deleted: AtomicU64,
    bytes_deleted: AtomicU64,
    leftovers: AtomicU64,
}

impl Counters {
    // Relaxed throughout: counts nobody draws conclusions about other memory from.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.written_bytes.fetch_add(u64_from(bytes), Ordering::Relaxed);
    }

    pub(crate) fn synced(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn index_write_failed(&self) {
        self.index_write_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot_write_failed(&self) {
        self.snapshot_write_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retained(&self, retained: &Retained) {
        self.segments_deleted.fetch_add(retained.segments_deleted, Ordering::Relaxed);
        self.bytes_deleted.fetch_add(retained.bytes_deleted, Ordering::Relaxed);
    }

    pub(crate) fn leftover(&self) {
        self.leftovers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage {
            writes: self.writes.load(Ordering::Relaxed),
            written_bytes: self.written_bytes.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            index_write_failures: self.index_write_failures.load(Ordering::Relaxed),
            snapshot_write_failures: self.snapshot_write_failures.load(Ordering::Relaxed),
            read_retries: crate::segment::walk::read_retries(),
            segments_deleted: self.segments_deleted.load(Ordering::Relaxed),
            bytes_deleted: self.bytes_deleted.load(Ordering::Relaxed),
            leftovers: self.leftovers.load(Ordering::Relaxed),
            callback_panics: super::ticket::callback_panics(),
        }
    }
}

/// What a store did since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Usage {
    /// Segment writes that completed.
    pub writes: u64,
    /// Their bytes, padding included.
    pub written_bytes: u64,
    /// Flushes of segments that succeeded.
    pub syncs: u64,
    /// Index files that could not be written; each is rebuilt at the next open.
    pub index_write_failures: u64,
    /// Snapshots of producers that could not be written; the next open reads the log instead.
    pub snapshot_write_failures: u64,
    /// Reads that failed and were tried again, in this process.
    pub read_retries: u64,
    /// Segments that were deleted from the start of a log.
    pub segments_deleted: u64,
    /// Their bytes.
    pub bytes_deleted: u64,
    /// Files that were to be removed or changed and could not; the next open does it.
    pub leftovers: u64,
    /// Panics of callbacks that were caught, in this process.
    pub callback_panics: u64,
}
