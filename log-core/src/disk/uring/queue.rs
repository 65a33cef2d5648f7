//! The ring as a [`Disk`]: what waits, what the kernel has, what is finished.
//!
//! ```text
//!   submit ─▶ waiting ─▶ slots + ring ─▶ done ─▶ poll's `out`
//!               │          │  ▲
//!               │          └──┘ EAGAIN, EINTR, ECANCELED of a write: once more, a bounded number
//!               └ alone and small ─▶ plain system call
//! ```
//!
//! Nothing goes to the kernel before a poll, so that a poll can see whether a submission is alone.
//! Results are keyed by slot: completions come in any order. A flush is never tried again: whatever
//! it says is the answer (D7). Short writes are the caller's to go on with.
//!
//! Dropped with submissions in flight, the queue waits for them a bounded time; what the kernel
//! then still has is leaked.

use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use rustix::io::Errno;

use super::super::blocking::{plain, run_sync, run_write};
use super::super::{Completion, Disk, File, Token, Write};
use super::ring::{Entered, Patience, Ring};
use super::slots::{Slots, Submission, Tried};

/// Times a write is given to the ring again after a passing error.
const RETRIES_MAX: u32 = 16;
/// Bytes of a write that is worth a ring.
const STREAM_BYTES_MIN: usize = 64 * 1024;
/// How often in vain, and how long each time, a dropped queue waits for something to complete.
const DROP_WAITS_MAX: u32 = 20;
const DROP_WAIT: Duration = Duration::from_millis(100);

/// What becomes of a submission that is alone and small.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Small {
    /// It is a plain system call.
    Blocking,
    /// It goes through the ring like all others.
    Ring,
}

/// A ring with what waits for it and what it has.
#[derive(Debug)]
pub(super) struct Queue {
    ring: Ring,
    small: Small,
    waiting: VecDeque<Submission>,
    slots: Slots,
    done: Vec<Completion>,
    /// Whether the last write was part of a stream, and so the next flush is.
    streaming: bool,
    finished: Vec<(usize, i32)>,
}

impl Queue {
    pub(super) fn new(ring: Ring, small: Small) -> Self {
        Self {
            ring,
            small,
            waiting: VecDeque::new(),
            slots: Slots::default(),
            done: Vec::new(),
            streaming: false,
            finished: Vec::new(),
        }
    }

    /// Runs a submission here that is alone and small: a ring would only make it slower.
    fn run_alone(&mut self) {
        if self.small == Small::Ring || self.slots.taken() > 0 || self.waiting.len() != 1 {
            return;
        }
        let alone = match self.waiting.front() {
            Some(Submission::Write(write, _)) => write.range.len() < STREAM_BYTES_MIN,
            Some(Submission::Sync(..)) => !self.streaming,
            None => false,
        };
        if alone && let Some(submission) = self.waiting.pop_front() {
            self.run_here(submission);
        }
    }

    fn run_here(&mut self, submission: Submission) {
        self.done.push(match submission {
            Submission::Write(write, _) => run_write(write),
            Submission::Sync(token, file) => run_sync(token, &*file),
        });
    }

    /// Pushes what waits into the ring, as far as it may be in flight.
    fn feed(&mut self) -> io::Result<()> {
        while self.slots.taken() < self.ring.in_flight_max()
            && let Some(submission) = self.waiting.pop_front()
        {
            let file = match &submission {
                Submission::Write(write, _) => &write.file,
                Submission::Sync(_, file) => file,
            };
            if plain(&**file).is_none() {
                // A file of another kind: the ring knows no descriptor of it.
                self.run_here(submission);
                continue;
            }
            let (slot, submission) = self.slots.put(submission);
            let pushed = match submission {
                Submission::Write(write, tried) => {
                    let bytes = write.buffer.as_slice().get(write.range.clone());
                    let bytes = bytes.unwrap_or_default();
                    plain(&*write.file).map_or(Ok(()), |file| {
                        let (fd, direct) = file.hot_fd(write.position, bytes);
                        tried.direct = direct;
                        self.ring.push_write(slot, fd, write.position, bytes, write.sync)
                    })
                }
                Submission::Sync(_, file) => {
                    plain(&**file).map_or(Ok(()), |file| self.ring.push_sync(slot, file.sync_fd()))
                }
            };
            if let Err(error) = pushed {
                // It never reached the kernel, so its slot may be emptied.
                self.waiting.extend(self.slots.take(slot));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes in what the kernel has finished; returns whether there was anything.
    fn reap(&mut self) -> io::Result<bool> {
        let mut finished = core::mem::take(&mut self.finished);
        let read = self.ring.finished(&mut finished);
        let any = !finished.is_empty();
        for (slot, result) in finished.drain(..) {
            if let Some(submission) = self.slots.take(slot) {
                self.settle(submission, result);
            }
        }
        self.finished = finished;
        read.map(|()| any)
    }

    fn settle(&mut self, submission: Submission, result: i32) {
        let result = usize::try_from(result)
            .map_err(|_negative| io::Error::from_raw_os_error(result.saturating_neg()));
        match (submission, result) {
            (Submission::Write(write, tried), Err(error))
                if tried.times < RETRIES_MAX && may_go_again(&write, tried, &error) =>
            {
                let tried = Tried { times: tried.times + 1, ..tried };
                self.waiting.push_back(Submission::Write(write, tried));
            }
            (submission @ Submission::Write(..), Err(error)) if is_not_supported(&error) => {
                // `RWF_DSYNC`, most likely: the plain call knows what to do instead.
                self.run_here(submission);
            }
            (Submission::Write(Write { token, buffer, .. }, _), result) => {
                self.done.push(Completion { token, result, buffer: Some(buffer) });
            }
            (Submission::Sync(token, _), result) => {
                self.done.push(Completion { token, result: result.map(|_| 0), buffer: None });
            }
        }
    }

    /// Submits and reaps until `wait_for` are done, all are, `limit` passes in a wait, or, with
    /// `until_woken`, the waker is called.
    fn drive(
        &mut self,
        wait_for: usize,
        limit: Option<Duration>,
        until_woken: bool,
    ) -> io::Result<()> {
        self.run_alone();
        let mut patience = Patience::default();
        loop {
            self.feed()?;
            let enough = self.done.len() >= wait_for;
            if self.slots.taken() == 0 {
                return Ok(());
            }
            let entered = self.ring.enter(usize::from(!enough), limit)?;
            let progress = self.reap()?;
            patience.note(entered, progress)?;
            let over = self.done.len() >= wait_for
                || entered == Entered::LimitPassed
                || (self.ring.take_woken() && until_woken);
            if over && self.waiting.is_empty() {
                return Ok(());
            }
            if over && self.slots.taken() >= self.ring.in_flight_max() {
                return Ok(());
            }
        }
    }
}

impl Disk for Queue {
    fn submit_write(&mut self, write: Write) {
        self.streaming = write.range.len() >= STREAM_BYTES_MIN;
        self.waiting.push_back(Submission::Write(write, Tried::default()));
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        self.waiting.push_back(Submission::Sync(token, Arc::clone(file)));
    }

    fn poll(&mut self, wait_for: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        let driven = self.drive(wait_for, None, false);
        out.append(&mut self.done);
        driven
    }

    fn poll_until(&mut self, limit: Option<Duration>, out: &mut Vec<Completion>) -> io::Result<()> {
        let driven = self.drive(1, limit, true);
        out.append(&mut self.done);
        driven
    }

    fn waker(&self) -> Option<Waker> {
        Some(self.ring.waker())
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.slots.taken() + self.done.len()
    }
}

/// Whether the kernel did nothing yet, or would not do it directly, so that the same write may be
/// made again.
fn may_go_again(write: &Write, tried: Tried, error: &io::Error) -> bool {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::AGAIN | Errno::INTR | Errno::CANCELED) => true,
        Some(Errno::INVAL) if tried.direct => {
            if let Some(file) = plain(&*write.file) {
                file.refuse_direct();
            }
            true
        }
        _ => false,
    }
}

fn is_not_supported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error())
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut in_vain = 0;
        while self.slots.taken() > 0 && in_vain < DROP_WAITS_MAX {
            // What fails here is not reported to anybody; what counts is what the slots still hold.
            let entered = self.ring.enter(1, Some(DROP_WAIT));
            match (entered, self.reap()) {
                (Ok(_), Ok(true)) => in_vain = 0,
                (Ok(_), Ok(false)) => in_vain += 1,
                _ => break,
            }
        }
        if self.slots.taken() > 0 {
            self.slots.leak();
        }
    }
}

#[cfg(test)]
mod tests;
