//! Waiting for an append, in whichever way suits: blocking, by callback, or as a `Future`.
//!
//! ```text
//!   appender                     whoever completes I/O
//!   append ─▶ Ticket             cell.finish(result)
//!      wait()  ◀── condvar ────────┤
//!      .await  ◀── waker ──────────┤   called with no lock of the library held
//!      on_done ◀── callback ───────┘
//! ```
//!
//! Dropping a ticket cancels nothing. `poll` and `on_done` never do I/O. A callback that calls a
//! blocking method of the store gets an error at once, and its panic is caught and counted (S11).

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

pub(crate) use crate::callback::{
    is_running as in_callback, panics as callback_panics, run as guarded,
};
use crate::error::{AppendError, Fault, FaultKind};
use crate::ids::{Offset, TimestampMs};

/// Where an append went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// The largest timestamp of its records; −1 for none.
    pub max_timestamp: TimestampMs,
    /// Bytes added to the log, headers included; 0 for a duplicate.
    pub batch_bytes: u32,
    /// Whether the batch was there already and nothing was added: offsets and timestamp are those
    /// of the first time.
    pub duplicate: bool,
}

type Outcome = Result<Appended, AppendError>;
type Callback = Box<dyn FnOnce(Outcome) + Send>;

enum State {
    Waiting { waker: Option<Waker>, callback: Option<Callback> },
    Done(Outcome),
}

/// The shared half of a ticket.
pub(crate) struct Promise {
    state: Mutex<State>,
    done: Condvar,
}

/// The error of a blocking call from within a callback.
pub(crate) fn reentrant() -> Fault {
    let what = "a callback may not wait for the store that calls it";
    Fault::new(FaultKind::Reentrant, Path::new("store"), what)
}

impl Promise {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), done: Condvar::new() })
    }

    /// Answers everyone who waits. The first answer stands.
    pub(crate) fn finish(&self, outcome: Outcome) {
        let waiting = {
            let mut state = self.state.lock();
            if matches!(*state, State::Done(_)) {
                return;
            }
            core::mem::replace(&mut *state, State::Done(outcome.clone()))
        };
        self.done.notify_all();
        if let State::Waiting { waker, callback } = waiting {
            if let Some(waker) = waker {
                guarded(|| waker.wake());
            }
            if let Some(callback) = callback {
                guarded(|| callback(outcome));
            }
        }
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match &*self.state.lock() {
            State::Done(outcome) => Some(outcome.clone()),
            State::Waiting { .. } => None,
        }
    }

    fn block(&self) -> Outcome {
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Done(outcome) => return outcome.clone(),
                State::Waiting { .. } => self.done.wait(&mut state),
            }
        }
    }
}

/// A right to the answer of one append.
#[must_use = "an append is only known to have succeeded once its ticket says so"]
pub struct Ticket {
    cell: Arc<Promise>,
    appended: Appended,
    drive: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

impl Ticket {
    pub(crate) fn waiting(
        appended: Appended,
        drive: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
    ) -> Self {
        let cell = Promise::new(State::Waiting { waker: None, callback: None });
        Self { cell, appended, drive }
    }

    pub(crate) fn done(appended: Appended) -> Self {
        Self { cell: Promise::new(State::Done(Ok(appended))), appended, drive: None }
    }

    pub(crate) fn cell(&self) -> Arc<Promise> {
        Arc::clone(&self.cell)
    }

    /// The offset the batch was given. It may still be lost until the ticket is done.
    #[must_use]
    pub const fn base_offset(&self) -> Offset {
        self.appended.base_offset
    }

    /// What the ticket will say if all goes well.
    pub(crate) const fn appended(&self) -> Appended {
        self.appended
    }

    /// Whether the answer is there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.cell.outcome().is_some()
    }

    /// The answer, if it is there.
    #[must_use]
    pub fn try_result(&self) -> Option<Result<Appended, AppendError>> {
        self.cell.outcome()
    }

    /// Blocks until the answer is there.
    ///
    /// # Errors
    ///
    /// [`AppendError::Indeterminate`] after a fault: the batch may or may not be found after a
    /// reopen. Also, at once, when called from within a callback of this store.
    ///
    /// # Durability
    ///
    /// `Ok` means that the level asked for is reached.
    pub fn wait(self) -> Result<Appended, AppendError> {
        if let Some(outcome) = self.cell.outcome() {
            return outcome;
        }
        if in_callback() {
            return Err(AppendError::Indeterminate(reentrant()));
        }
        // A store that nobody else drives is driven by who waits for it.
        while let Some(drive) = &self.drive
            && !self.is_done()
            && drive()
        {}
        self.cell.block()
    }

    /// Calls `callback` with the answer: at once if it is there, else from the thread that
    /// completes the I/O, with no lock held. Replaces a callback given before.
    pub fn on_done(self, callback: impl FnOnce(Result<Appended, AppendError>) + Send + 'static) {
        let outcome = {
            let mut state = self.cell.state.lock();
            match &mut *state {
                State::Done(outcome) => outcome.clone(),
                State::Waiting { callback: slot, .. } => {
                    *slot = Some(Box::new(callback));
                    return;
                }
            }
        };
        guarded(|| callback(outcome));
    }
}

impl Future for Ticket {
    type Output = Result<Appended, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self.cell.state.lock() {
            State::Done(outcome) => Poll::Ready(outcome.clone()),
            State::Waiting { waker, .. } => {
                waker.get_or_insert_with(|| context.waker().clone()).clone_from(context.waker());
                Poll::Pending
            }
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("appended", &self.appended)
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.outcome()).finish()
    }
}

/// Appends that wait for a frontier, in the order of their offsets.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: std::collections::VecDeque<(Offset, Appended, Arc<Promise>)>,
}

impl Queue {
    /// `ticket` is answered once the frontier reaches `end`.
    pub(crate) fn push(&mut self, end: Offset, ticket: &Ticket) {
        let waits = (end, ticket.appended(), ticket.cell());
        // Only what repeats an earlier append waits for less than those before it.
        match self.waiting.back() {
            Some((last, ..)) if *last > end => {
                let at = self.waiting.partition_point(|(before, ..)| *before <= end);
                self.waiting.insert(at, waits);
            }
            _ => self.waiting.push_back(waits),
        }
    }

    /// Takes the answers that a frontier at `to` gives.
    pub(crate) fn reach(&mut self, to: Offset, ready: &mut Vec<Answer>) {
        while self.waiting.front().is_some_and(|(end, ..)| *end <= to) {
            if let Some((_, appended, cell)) = self.waiting.pop_front() {
                ready.push(Answer::Outcome(cell, Ok(appended)));
            }
        }
    }

    /// Takes everyone who waits, answered with `fault`.
    pub(crate) fn fail(&mut self, fault: &Fault, ready: &mut Vec<Answer>) {
        for (_, _, cell) in self.waiting.drain(..) {
            let outcome = Err(AppendError::Indeterminate(fault.clone()));
            ready.push(Answer::Outcome(cell, outcome));
        }
    }

    /// The first offset anyone waits for.
    pub(crate) fn first(&self) -> Option<Offset> {
        self.waiting.front().map(|(end, ..)| *end)
    }

    /// The last offset anyone waits for.
    pub(crate) fn last(&self) -> Option<Offset> {
        self.waiting.back().map(|(end, ..)| *end)
    }
}

/// News for somebody, to be given once no lock is held.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An append's outcome.
    Outcome(Arc<Promise>, Outcome),
    /// Something moved.
    Wake(Waker),
}

impl Answer {
    pub(crate) fn give(self) {
        match self {
            Self::Outcome(promise, outcome) => promise.finish(outcome),
            Self::Wake(waker) => guarded(|| waker.wake()),
        }
    }
}
