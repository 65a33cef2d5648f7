//! The only source of time, and the only way to wait for it.
//!
//! ```text
//!   Clock::timestamp   wall time, may jump          stamped on records, compared by retention
//!   Clock::tick        elapsed time, never goes back deadlines, timeouts
//!   Clock::wait        blocks on a Signal            until it is raised or a deadline passes
//! ```
//!
//! A [`Signal`] is an eventcount: read [`Signal::seen`], look at the state, then wait for a change
//! from what was seen. A raise between the look and the wait is therefore never lost.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::ids::TimestampMs;

/// Nanoseconds since some start. What deadlines are measured with; never goes back.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tick(u64);

impl Tick {
    /// `nanos` nanoseconds after the start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The tick `duration` later; stays at the largest one.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Why [`Clock::wait`] returned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a wait ends in one of two ways")]
pub enum Wake {
    /// The signal was raised.
    Raised,
    /// The deadline passed first.
    Deadline,
}

/// Something to wait on: a counter that only rises. Cheap to clone; clones are one signal.
#[derive(Clone, Default)]
pub struct Signal(Arc<SignalInner>);

#[derive(Default)]
struct SignalInner {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// The count now. Read it before looking at the state one waits for.
    #[must_use]
    pub fn seen(&self) -> u64 {
        *self.0.count.lock()
    }

    /// Raises the count and wakes everyone who waits.
    pub fn raise(&self) {
        *self.0.count.lock() += 1;
        self.0.changed.notify_all();
    }

    /// Wakes waiters without a change, so that they look at their clock again.
    fn nudge(&self) {
        drop(self.0.count.lock());
        self.0.changed.notify_all();
    }

    fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signal").field(&self.seen()).finish()
    }
}

/// The only source of time. Tests hold a [`ManualClock`] and move it by hand.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Wall time.
    fn timestamp(&self) -> TimestampMs;

    /// Elapsed time.
    fn tick(&self) -> Tick;

    /// Blocks until `signal` has left the count `seen`, or until `deadline`.
    fn wait(&self, signal: &Signal, seen: u64, deadline: Option<Tick>) -> Wake;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose ticks start now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn timestamp(&self) -> TimestampMs {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        TimestampMs::new(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }

    fn tick(&self) -> Tick {
        Tick::default().after(self.start.elapsed())
    }

    fn wait(&self, signal: &Signal, seen: u64, deadline: Option<Tick>) -> Wake {
        let mut count = signal.0.count.lock();
        while *count == seen {
            match deadline.map(|deadline| deadline.since(self.tick())) {
                None => signal.0.changed.wait(&mut count),
                Some(Duration::ZERO) => return Wake::Deadline,
                Some(left) => {
                    signal.0.changed.wait_for(&mut count, left);
                }
            }
        }
        Wake::Raised
    }
}

/// A clock that stands still until it is moved. Clones share one time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<ManualTime>>);

#[derive(Debug)]
struct ManualTime {
    timestamp: TimestampMs,
    tick: Tick,
    waiters: Vec<Signal>,
}

impl ManualClock {
    /// A clock that shows `timestamp` and tick 0.
    #[must_use]
    pub fn new(timestamp: TimestampMs) -> Self {
        let time = ManualTime { timestamp, tick: Tick::default(), waiters: Vec::new() };
        Self(Arc::new(Mutex::new(time)))
    }

    /// Lets `duration` pass on both clocks and wakes everyone whose deadline that reaches.
    pub fn advance(&self, duration: Duration) {
        let waiters = {
            let mut time = self.0.lock();
            let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            time.tick = time.tick.after(duration);
            time.timestamp = TimestampMs::new(time.timestamp.get().saturating_add(millis));
            time.waiters.clone()
        };
        for signal in waiters {
            signal.nudge();
        }
    }

    /// Sets the wall clock alone, as an operator or NTP would: elapsed time does not move.
    pub fn jump(&self, timestamp: TimestampMs) {
        self.0.lock().timestamp = timestamp;
    }
}

impl Clock for ManualClock {
    fn timestamp(&self) -> TimestampMs {
        self.0.lock().timestamp
    }

    fn tick(&self) -> Tick {
        self.0.lock().tick
    }

    fn wait(&self, signal: &Signal, seen: u64, deadline: Option<Tick>) -> Wake {
        self.0.lock().waiters.push(signal.clone());
        let mut count = signal.0.count.lock();
        let wake = loop {
            if *count != seen {
                break Wake::Raised;
            }
            // Read under the signal's lock: `advance` nudges under it, so a move is not missed.
            if deadline.is_some_and(|deadline| deadline <= self.tick()) {
                break Wake::Deadline;
            }
            signal.0.changed.wait(&mut count);
        };
        drop(count);
        let mut time = self.0.lock();
        if let Some(index) = time.waiters.iter().position(|waiting| waiting.same(signal)) {
            time.waiters.swap_remove(index);
        }
        wake
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_raise_before_the_wait_is_not_lost() {
        let clocks: [&dyn Clock; 2] = [&SystemClock::new(), &ManualClock::new(TimestampMs::new(0))];
        for clock in clocks {
            let signal = Signal::default();
            let seen = signal.seen();
            signal.raise();
            assert_eq!(clock.wait(&signal, seen, None), Wake::Raised);
        }
    }

    #[test]
    fn a_manual_clock_wakes_whom_it_passes() {
        let clock = ManualClock::new(TimestampMs::new(5));
        let deadline = clock.tick().after(Duration::from_mins(1));
        let waiter = {
            let clock = clock.clone();
            thread::spawn(move || clock.wait(&Signal::default(), 0, Some(deadline)))
        };
        for _ in 0..60 {
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(waiter.join().unwrap(), Wake::Deadline);
        assert_eq!(clock.timestamp(), TimestampMs::new(60_005));
    }

    #[test]
    fn a_wall_clock_jump_does_not_move_elapsed_time() {
        let clock = ManualClock::new(TimestampMs::new(0));
        clock.jump(TimestampMs::new(i64::MAX));
        assert_eq!(clock.tick(), Tick::default());
    }
}
