//! Waiting for a record's answer: one promise a batch, one ticket a record.
//!
//! ```text
//!   Promise  records 0 … 4 │ 5 … 9         answered range by range, in order: a batch that was
//!            offset 100    │ offset 105     split answers in parts
//!      ├─ ticket of record 3: wait, poll, on_done
//!      └─ callbacks, run in the order of records by whoever delivers, with no lock held
//! ```

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use log_core::ids::TimestampMs;
use log_core::{Offset, TopicPartition, callback};
use parking_lot::{Condvar, Mutex};

use super::error::{SendError, Unsettled};
use super::record::RecordMetadata;
use super::sender::Sender;

/// What a callback is told.
pub(super) type Answer = Result<RecordMetadata, SendError>;
pub(super) type Callback = Box<dyn FnOnce(Answer) + Send>;

/// The answer to a batch's records.
pub(super) struct Promise {
    topic_partition: TopicPartition,
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    settled: Vec<Settled>,
    wakers: Vec<(u32, Waker)>,
    callbacks: Vec<(u32, TimestampMs, Callback)>,
}

/// Records `start` to `end` of the batch have an answer.
struct Settled {
    start: u32,
    end: u32,
    /// The offset of record `start`.
    outcome: Result<Offset, SendError>,
}

impl State {
    fn answer(&self, index: u32) -> Option<Result<Offset, SendError>> {
        let settled = self.settled.iter().find(|range| range.end > index)?;
        let delta = i64::from(index.checked_sub(settled.start)?);
        Some(settled.outcome.clone().map(|base| base.checked_add(delta).unwrap_or(Offset::MAX)))
    }

    fn answered(&self) -> u32 {
        self.settled.last().map_or(0, |range| range.end)
    }
}

impl Promise {
    pub(super) fn new(topic_partition: TopicPartition) -> Arc<Self> {
        let state = Mutex::default();
        Arc::new(Self { topic_partition, state, done: Condvar::new() })
    }

    /// Adds a callback to a record that cannot have an answer yet.
    pub(super) fn attach(&self, index: u32, timestamp: TimestampMs, callback: Callback) {
        self.state.lock().callbacks.push((index, timestamp, callback));
    }

    /// Answers `count` more records and wakes who blocks. Wakers and callbacks are left to
    /// [`deliver`](Self::deliver); returns whether there are any.
    pub(super) fn settle(&self, count: u32, outcome: Result<Offset, SendError>) -> bool {
        let mut state = self.state.lock();
        let start = state.answered();
        state.settled.push(Settled { start, end: start.saturating_add(count), outcome });
        self.done.notify_all();
        !(state.wakers.is_empty() && state.callbacks.is_empty())
    }

    /// Runs the callbacks and wakers of what is answered. Call it with no lock held.
    pub(super) fn deliver(&self) {
        let (callbacks, wakers) = {
            let mut state = self.state.lock();
            let answered = state.answered();
            let mut callbacks: Vec<_> =
                state.callbacks.extract_if(.., |(index, ..)| *index < answered).collect();
            callbacks.sort_by_key(|(index, ..)| *index);
            let wakers: Vec<_> =
                state.wakers.extract_if(.., |(index, _)| *index < answered).collect();
            (callbacks, wakers)
        };
        for (index, timestamp, call) in callbacks {
            if let Some(answer) = self.answer(index, timestamp) {
                callback::run(|| call(answer));
            }
        }
        for (_, waker) in wakers {
            callback::run(|| waker.wake());
        }
    }

    fn answer(&self, index: u32, timestamp: TimestampMs) -> Option<Answer> {
        let outcome = self.state.lock().answer(index)?;
        Some(self.metadata(outcome, timestamp))
    }

    fn metadata(&self, outcome: Result<Offset, SendError>, timestamp: TimestampMs) -> Answer {
        outcome.map(|offset| RecordMetadata {
            topic_partition: self.topic_partition.clone(),
            offset,
            timestamp,
        })
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise")
            .field("topic_partition", &self.topic_partition)
            .field("answered", &self.state.lock().answered())
            .finish_non_exhaustive()
    }
}

/// A right to the answer of one record. Dropping it cancels nothing.
#[must_use = "a record is only known to be in the log once its ticket says so"]
pub struct SendTicket {
    promise: Arc<Promise>,
    index: u32,
    timestamp: TimestampMs,
    sender: Arc<Sender>,
}

impl SendTicket {
    pub(super) const fn new(
        promise: Arc<Promise>,
        index: u32,
        timestamp: TimestampMs,
        sender: Arc<Sender>,
    ) -> Self {
        Self { promise, index, timestamp, sender }
    }

    /// The partition the record goes to.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.promise.topic_partition
    }

    /// Whether the answer is there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.promise.state.lock().answered() > self.index
    }

    /// The answer, if it is there.
    #[must_use]
    pub fn try_result(&self) -> Option<Result<RecordMetadata, SendError>> {
        self.promise.answer(self.index, self.timestamp)
    }

    /// Blocks until the answer is there: at the latest when `delivery_timeout` has passed. Where
    /// the store has no thread, this call does the work.
    ///
    /// # Errors
    ///
    /// [`SendError`]. At once when called from within a callback, and, in a store without a thread,
    /// when nothing moves any more.
    ///
    /// # Durability
    ///
    /// `Ok` means that the level asked for with [`acks`](crate::ProducerBuilder::acks) is reached.
    pub fn wait(self) -> Result<RecordMetadata, SendError> {
        if let Some(answer) = self.try_result() {
            return answer;
        }
        if callback::is_running() {
            return Err(Unsettled::Reentrant.into());
        }
        if self.sender.has_thread() {
            let mut state = self.promise.state.lock();
            loop {
                if let Some(outcome) = state.answer(self.index) {
                    drop(state);
                    return self.promise.metadata(outcome, self.timestamp);
                }
                self.promise.done.wait(&mut state);
            }
        }
        if self.sender.drive_until(|| self.is_done())
            && let Some(answer) = self.try_result()
        {
            return answer;
        }
        Err(Unsettled::Stalled.into())
    }

    /// Calls `call` with the answer: at once if it is there, else from whoever delivers
    /// answers, with no lock held. To have callbacks in the order of records, give them with
    /// [`Producer::send_with`](crate::Producer::send_with).
    pub fn on_done(self, call: impl FnOnce(Result<RecordMetadata, SendError>) + Send + 'static) {
        let outcome = {
            let mut state = self.promise.state.lock();
            let Some(outcome) = state.answer(self.index) else {
                state.callbacks.push((self.index, self.timestamp, Box::new(call)));
                return;
            };
            outcome
        };
        let answer = self.promise.metadata(outcome, self.timestamp);
        callback::run(|| call(answer));
    }
}

impl Future for SendTicket {
    type Output = Result<RecordMetadata, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.promise.state.lock();
        if let Some(outcome) = state.answer(self.index) {
            return Poll::Ready(self.promise.metadata(outcome, self.timestamp));
        }
        match state.wakers.iter_mut().find(|(index, _)| *index == self.index) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => state.wakers.push((self.index, context.waker().clone())),
        }
        Poll::Pending
    }
}

impl fmt::Debug for SendTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendTicket")
            .field("topic_partition", &self.promise.topic_partition)
            .field("done", &self.is_done())
            .finish_non_exhaustive()
    }
}
