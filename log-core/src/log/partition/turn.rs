//! Who runs a partition's I/O: an appender that finds nobody at it, or the I/O thread.
//!
//! ```text
//!   accepted ─▶ Inline: here, to its end
//!            ─▶ Thread: notify ─▶ engine's queue          unless the caller takes the turn itself
//! ```

use core::sync::atomic::Ordering;
use std::sync::Arc;

use super::Partition;
use crate::clock::Tick;
use crate::config::Drive;
use crate::disk::Completion;
use crate::error::{Fault, FaultKind};
use crate::log::head::Head;
use crate::log::ticket::Answer;
use crate::log::writer::Writer;

impl Partition {
    /// Keeps the I/O thread from being told about an append whose caller will do its I/O. Returns
    /// whether nobody else asked for that.
    pub(crate) fn begin_quiet(&self) -> bool {
        // AcqRel: as in `notify`, whose place this takes.
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// This partition, unless it is just being dropped.
    pub(in crate::log) fn arc(&self) -> Option<Arc<Self>> {
        self.this.upgrade()
    }

    /// Keeps whoever does the I/O from ever hearing of this partition.
    pub(in crate::log) fn hide(&self) {
        // Release: pairs with the Acquire of whoever is about to tell.
        self.hidden.store(true, Ordering::Release);
    }

    /// Tells the I/O thread although this is a quiet time: who is about to wait for somebody else may
    /// not keep it from what that one waits for.
    pub(super) fn break_quiet(&self) {
        if self.shared.drive == Drive::Thread
            && !self.hidden.load(Ordering::Acquire)
            && let Some(this) = self.this.upgrade()
        {
            self.shared.tell(this);
        }
    }

    /// Lets the I/O thread be told again.
    pub(crate) fn end_quiet(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Tells whoever does the I/O, if it has to know.
    pub(in crate::log) fn on_accepted(&self, tell: bool) {
        match self.shared.drive {
            Drive::Inline => {
                self.run_inline();
                self.shared.maintain_if_due();
            }
            Drive::Thread | Drive::Manual if tell => self.notify(),
            Drive::Thread | Drive::Manual => {}
        }
    }

    /// Puts the partition in front of the I/O thread.
    pub(crate) fn notify(&self) {
        // AcqRel: pairs with the store in `noticed`: what was accepted before is seen after it.
        if !self.hidden.load(Ordering::Acquire)
            && !self.queued.swap(true, Ordering::AcqRel)
            && let Some(this) = self.this.upgrade()
        {
            self.shared.tell(this);
        }
    }

    /// The I/O thread has the partition in hand: later news must be told again.
    pub(crate) fn noticed(&self) {
        self.queued.store(false, Ordering::Release);
    }

    /// Whether the I/O thread will look at the partition at some time anyway.
    pub(crate) fn set_timed(&self, timed: bool) {
        self.timed.store(timed, Ordering::Release);
    }

    /// Runs this partition's I/O here, to its end: nobody else does.
    pub(crate) fn run_inline(&self) {
        let mut answers = Vec::new();
        let mut writer = self.writer.lock();
        self.run_turn(&mut writer, &mut answers, |_| false);
        drop(writer);
        answers.into_iter().for_each(Answer::give);
        self.shared.events.give();
    }

    /// Takes the flush turn if nobody has it, until `enough`: the fastest way to one small durable
    /// append is not to hand it over. Returns whether it was free.
    pub(crate) fn try_turn(&self, enough: impl Fn(&Head) -> bool) -> bool {
        let Some(mut writer) = self.writer.try_lock() else { return false };
        if !writer.is_idle() {
            return false;
        }
        let mut answers = Vec::new();
        let later = self.run_turn(&mut writer, &mut answers, enough);
        drop(writer);
        answers.into_iter().for_each(Answer::give);
        self.shared.events.give();
        // Looked at after the turn was given back: an append that came in between found it taken,
        // and so did the I/O thread.
        let left = self.head.lock().oldest_unflushed.is_some();
        if left || (later.is_some() && !self.timed.load(Ordering::Acquire)) {
            self.notify();
        }
        true
    }

    fn run_turn(
        &self,
        writer: &mut Writer,
        answers: &mut Vec<Answer>,
        enough: impl Fn(&Head) -> bool,
    ) -> Option<Tick> {
        let mut disk = match self.shared.directory.turn_disk() {
            Ok(disk) => disk,
            Err(error) => {
                let fault = Fault::io(FaultKind::Write, &self.dir, "the disk has no queue", error);
                self.take_offline(writer, &fault, answers);
                return None;
            }
        };
        let mut completions: Vec<Completion> = Vec::new();
        let mut later = None;
        loop {
            if !(writer.is_idle() && enough(&self.head.lock())) {
                later = self.turn(writer, &mut *disk, answers);
            }
            if disk.in_flight() == 0 {
                return later;
            }
            if let Err(error) = disk.poll(1, &mut completions) {
                let fault =
                    Fault::io(FaultKind::Write, &self.dir, "the disk's queue failed", error);
                self.take_offline(writer, &fault, answers);
                return None;
            }
            for completion in completions.drain(..) {
                self.complete(writer, completion, &mut *disk, answers);
            }
        }
    }
}
