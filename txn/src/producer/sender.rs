//! Where a producer's batches meet the log: appends, answers, and who does the work.
//!
//! ```text
//!   store with a thread       send ─▶ bell ─▶ producer thread: step, seal, append, deliver
//!                             I/O thread: answer ─▶ waiters at once, callbacks by the bell
//!   store without             send, wait, flush and turn do the work themselves
//! ```
//!
//! Locks, in the order they may be taken: `turn` (who appends; held across appends), `state`
//! (short), a promise's. The log calls back with `turn` held at most, never with `state`.
//! Callbacks of users run with none of them, and never in the thread that reopens or closes a
//! store.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use log_core::clock::{Clock, Signal, Tick, Wake};
use log_core::format::NewRecord;
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::{AppendError, Appended, Drive, Store, TopicPartition, callback};
use parking_lot::Mutex;

use super::accumulator::{Accumulator, Tell, Work};
use super::error::{NotSent, SendError};
use super::lane::{Body, Outgoing};
use super::settings::Settings;
use super::sink::Sink;
use super::ticket::{Callback, Promise};
use crate::driver::TransactionCoordinator;
use crate::ids::ProducerIdAndEpoch;
use crate::producer_ids::ProducerIdService;

/// The shared half of a producer.
pub(super) struct Sender {
    store: Store,
    sink: Box<dyn Sink>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    state: Mutex<State>,
    turn: Mutex<()>,
    /// Something changed while somebody had the turn.
    missed: AtomicBool,
    /// Raised for the producer's thread.
    bell: Signal,
    /// Raised when something is answered.
    moved: Signal,
    /// Raised when the thread has ended.
    ended: Signal,
    stopping: AtomicBool,
    /// Whose timeouts the thread sees to.
    coordinator: Option<TransactionCoordinator>,
    this: Weak<Self>,
}

#[derive(Debug)]
struct State {
    batches: Accumulator,
    /// Promises with callbacks or wakers to run, in order.
    news: VecDeque<Arc<Promise>>,
    delivering: bool,
    /// The first record of the transaction that failed, and why.
    failed: Option<SendError>,
}

/// A record whose partition is settled.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) to: TopicPartition,
    pub(super) record: NewRecord<'a>,
    pub(super) bytes: usize,
}

impl Sender {
    pub(super) fn new(
        store: Store,
        sink: Box<dyn Sink>,
        settings: Settings,
        batches: Accumulator,
        coordinator: Option<TransactionCoordinator>,
    ) -> Arc<Self> {
        let state = State { batches, news: VecDeque::new(), delivering: false, failed: None };
        Arc::new_cyclic(|this| Self {
            clock: store.clock(),
            store,
            sink,
            settings,
            state: Mutex::new(state),
            turn: Mutex::new(()),
            missed: AtomicBool::new(false),
            bell: Signal::default(),
            moved: Signal::default(),
            ended: Signal::default(),
            stopping: AtomicBool::new(false),
            coordinator,
            this: Weak::clone(this),
        })
    }

    pub(super) fn has_thread(&self) -> bool {
        self.store.drive() == Drive::Thread
    }

    pub(super) fn timestamp(&self) -> TimestampMs {
        self.clock.timestamp()
    }

    /// How many partitions a topic has; looked up again if it was long ago, or if `at_least` says
    /// that there must be more.
    pub(super) fn partitions(
        &self,
        topic: &log_core::TopicName,
        at_least: u32,
    ) -> Result<u32, SendError> {
        let now = self.clock.tick();
        if let Some(known) = self.state.lock().batches.partitions(topic, now)
            && known >= at_least
        {
            return Ok(known);
        }
        let found = self.store.partitions_count(topic).map_err(NotSent::from)?;
        self.state.lock().batches.learn(topic, found, now);
        Ok(found)
    }

    /// Takes a record, waiting for room if need be.
    pub(super) fn push(
        &self,
        placed: &Placed<'_>,
        call: Option<Callback>,
    ) -> Result<(Arc<Promise>, u32), SendError> {
        let started = self.clock.tick();
        let mut place = None;
        let (promise, index, tell) = loop {
            let seen = self.moved.seen();
            let mut state = self.state.lock();
            if let Some(why) = state.batches.ended() {
                let why = why.clone();
                if let Some(place) = place {
                    state.batches.memory.leave(place);
                }
                return Err(why.into());
            }
            let limit = state.batches.memory.limit();
            if placed.bytes > limit {
                return Err(NotSent::TooLarge { bytes: placed.bytes, limit }.into());
            }
            match state.batches.memory.take(placed.bytes, place) {
                Ok(()) => {
                    let lane = state.batches.lane(placed.to.topic(), placed.to.partition());
                    let now = self.clock.tick();
                    match state.batches.push(lane, &placed.record, placed.bytes, now) {
                        Ok((promise, index, tell)) => {
                            if let Some(call) = call {
                                promise.attach(index, placed.record.timestamp, call);
                            }
                            break (promise, index, tell);
                        }
                        Err(error) => {
                            state.batches.memory.give(placed.bytes);
                            return Err(NotSent::Record(error).into());
                        }
                    }
                }
                Err(mine) => {
                    place = Some(mine);
                    drop(state);
                    if !self.wait_for_room(started, seen) {
                        self.state.lock().batches.memory.leave(mine);
                        let waited = self.clock.tick().since(started);
                        return Err(NotSent::BufferExhausted { bytes: placed.bytes, waited }.into());
                    }
                }
            }
        };
        if place.is_some() {
            // Whoever stands behind in the line may fit as well.
            self.moved.raise();
        }
        if tell {
            self.on_pushed();
        }
        Ok((promise, index))
    }

    /// Whether it is worth to look again.
    fn wait_for_room(&self, started: Tick, seen: u64) -> bool {
        let deadline = started.after(self.settings.max_block);
        if callback::is_running() || self.clock.tick() >= deadline {
            return false;
        }
        self.state.lock().batches.close_batches();
        if self.has_thread() {
            self.bell.raise();
            return self.clock.wait(&self.moved, seen, Some(deadline)) == Wake::Raised;
        }
        self.advance()
    }

    fn on_pushed(&self) {
        if self.has_thread() {
            self.bell.raise();
        } else {
            self.pump();
            self.deliver();
        }
    }

    /// Does what can be done now, unless somebody does already. Returns whether anything was, and
    /// when to look again.
    fn pump(&self) -> (bool, Option<Tick>) {
        let mut any = false;
        loop {
            // SeqCst: said before the turn is asked for, so whoever has it looks after giving it
            // back, and finds it said.
            self.missed.store(true, Ordering::SeqCst);
            let Some(turn) = self.turn.try_lock() else { return (any, None) };
            self.missed.store(false, Ordering::SeqCst);
            let wake = self.work(&mut any);
            drop(turn);
            if !self.missed.load(Ordering::SeqCst) {
                return (any, wake);
            }
        }
    }

    /// The turn: appends everything that may go.
    fn work(&self, any: &mut bool) -> Option<Tick> {
        loop {
            let work = self.state.lock().batches.step(self.clock.tick());
            self.settle();
            match work {
                Work::Append { lane, to, outgoing } => self.append(lane, &to, outgoing),
                Work::NewId => {
                    let id = self.store.service::<ProducerIdService>().take(&self.store);
                    self.state.lock().batches.identify(id, self.clock.tick());
                }
                Work::Idle(wake) => return wake,
            }
            *any = true;
        }
    }

    /// Seals a batch, outside of every lock but the turn, and appends it.
    fn append(&self, lane: usize, to: &TopicPartition, outgoing: Outgoing) {
        let Outgoing { entry, body, stamp } = outgoing;
        let mut batch = match body {
            Body::Sealed(batch) => batch,
            Body::Open(builder) => match builder.build() {
                Some(batch) => batch,
                None => unreachable!("a batch is begun with a record"),
            },
        };
        if let Some((identity, sequence)) = stamp {
            batch.set_producer(identity.id, identity.epoch, sequence);
        } else if !self.settings.idempotence {
            batch.set_producer(ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE);
        }
        self.state.lock().batches.keep(lane, entry, &batch);
        let this = Weak::clone(&self.this);
        let done = move |answer| {
            if let Some(sender) = this.upgrade() {
                sender.answer(lane, entry, answer);
            }
        };
        self.sink.append(to, batch, self.settings.acks, Box::new(done));
    }

    /// The log's answer to a batch: waiters hear it here, callbacks from whoever delivers.
    pub(super) fn answer(&self, lane: usize, entry: u64, answer: Result<Appended, AppendError>) {
        let now = self.clock.tick();
        self.state.lock().batches.answer(lane, entry, answer, now);
        self.settle();
        if self.has_thread() {
            self.bell.raise();
        }
    }

    /// Puts answers into their promises.
    fn settle(&self) {
        let mut tell: Vec<Tell> = Vec::new();
        let any = {
            let mut state = self.state.lock();
            state.batches.take_finished(&mut tell);
            let any = !tell.is_empty();
            for (promise, count, outcome) in tell {
                if let Err(error) = &outcome {
                    state.failed.get_or_insert_with(|| error.clone());
                }
                if promise.settle(count, outcome) {
                    state.news.push_back(promise);
                }
            }
            any
        };
        if any {
            self.moved.raise();
        }
    }

    /// Runs callbacks and wakers, in order, unless somebody does already.
    fn deliver(&self) {
        loop {
            let promise = {
                let mut state = self.state.lock();
                if state.delivering {
                    return;
                }
                let Some(promise) = state.news.pop_front() else { return };
                state.delivering = true;
                promise
            };
            promise.deliver();
            self.state.lock().delivering = false;
        }
    }

    /// One step of everything, where no thread takes it. Returns whether anything moved.
    pub(super) fn advance(&self) -> bool {
        let mut any = false;
        {
            let _turn = self.turn.lock();
            self.work(&mut any);
        }
        let turned = self.store.turn();
        let turned = self.coordinator.as_ref().is_some_and(TransactionCoordinator::turn) || turned;
        let (again, _) = self.pump();
        self.deliver();
        any || turned || again
    }

    /// Works until `done`, where no thread does; `false` if nothing moves any more.
    pub(super) fn drive_until(&self, done: impl Fn() -> bool) -> bool {
        self.state.lock().batches.close_batches();
        loop {
            if done() {
                return true;
            }
            if !self.advance() {
                return done();
            }
        }
    }

    /// Waits until everything taken so far is answered, until `deadline` at the latest. Returns
    /// whether it is.
    pub(super) fn flush(&self, deadline: Option<Tick>) -> bool {
        let number = self.state.lock().batches.close_batches();
        let answered = || self.state.lock().batches.is_answered(number);
        if !self.has_thread() {
            let on_time = || deadline.is_none_or(|deadline| self.clock.tick() < deadline);
            return self.drive_until(|| answered() || !on_time()) && answered();
        }
        self.bell.raise();
        loop {
            let seen = self.moved.seen();
            if answered() {
                return true;
            }
            if self.clock.wait(&self.moved, seen, deadline) == Wake::Deadline {
                return answered();
            }
        }
    }

    /// A record of the transaction failed, before it was taken.
    pub(super) fn fail(&self, error: &SendError) {
        self.state.lock().failed.get_or_insert_with(|| error.clone());
    }

    /// Why the transaction can only be aborted, if so.
    pub(super) fn failed(&self) -> Option<SendError> {
        self.state.lock().failed.clone()
    }

    /// Answers all that is not on its way, and waits for the rest. Returns whether all is answered.
    pub(super) fn discard(&self) -> bool {
        self.state.lock().batches.discard(&NotSent::Aborted);
        self.settle();
        self.flush(None)
    }

    /// The next transaction goes by `identity`.
    pub(super) fn adopt(&self, identity: ProducerIdAndEpoch) {
        let mut state = self.state.lock();
        state.batches.adopt(identity);
        state.failed = None;
    }

    /// Longest time a call waits for others.
    pub(super) const fn patience(&self) -> Duration {
        self.settings.max_block
    }

    /// What its thread waits on.
    pub(super) fn bell(&self) -> Signal {
        self.bell.clone()
    }

    /// Takes nothing more.
    pub(super) fn refuse(&self) {
        self.state.lock().batches.refuse(NotSent::Closed);
        self.moved.raise();
    }

    /// Answers what has no answer. Returns how many batches that were.
    pub(super) fn abandon(&self) -> usize {
        let left = {
            let mut state = self.state.lock();
            let left = state.batches.outstanding();
            state.batches.end(&NotSent::Closed, true);
            left
        };
        self.settle();
        if !self.has_thread() {
            self.deliver();
        }
        left
    }

    /// Asks the thread to finish what waits and end.
    pub(super) fn stop(&self) {
        // Release: pairs with the Acquire in `run`.
        self.stopping.store(true, Ordering::Release);
        self.bell.raise();
    }

    /// `after` now.
    pub(super) fn deadline(&self, after: Duration) -> Tick {
        self.clock.tick().after(after)
    }

    /// Waits for the thread's end.
    pub(super) fn await_end(&self, longest: Duration) {
        let deadline = self.clock.tick().after(longest);
        self.clock.wait(&self.ended, 0, Some(deadline));
    }

    /// The thread's life.
    pub(super) fn run(&self) {
        loop {
            let seen = self.bell.seen();
            let stopping = self.stopping.load(Ordering::Acquire);
            let (any, wake) = self.pump();
            self.deliver();
            if any {
                continue;
            }
            if stopping {
                let mut state = self.state.lock();
                state.batches.close_batches();
                if state.batches.outstanding() == 0 && state.news.is_empty() {
                    break;
                }
            }
            let due = self.coordinator.as_ref().map(|coordinator| {
                let _moved = coordinator.turn();
                coordinator.due()
            });
            self.clock.wait(&self.bell, seen, wake.into_iter().chain(due).min());
        }
        self.ended.raise();
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("store", &self.store)
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}
