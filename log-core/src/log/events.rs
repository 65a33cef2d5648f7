//! What a store tells whoever listens: what it did by itself, and what befell it.
//!
//! ```text
//!   anywhere in the store ── post ─▶ queue          under whatever lock: nothing foreign runs here
//!   a call, the I/O thread, at its end ── give ─▶ EventListener      no lock held, one at a time
//! ```
//!
//! Without a listener nothing is queued. A listener that is slower than the news loses some, and is
//! told how many: the queue is bounded.

use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::head::LogState;
use super::open::Recovered;
use super::trim::Retained;
use crate::callback;
use crate::error::Fault;
use crate::ids::TopicPartition;
use crate::segment::recover::Damage;

/// News kept for a listener that has not taken them.
const WAITING_MAX: usize = 4096;

/// Something that happened in a store without anybody's asking for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A partition can do less than before, or more again.
    State {
        /// Which one.
        partition: TopicPartition,
        /// What it was.
        before: LogState,
        /// What it is.
        now: LogState,
    },
    /// A partition was opened that had not been closed cleanly, or something of it was repaired,
    /// left out or found damaged.
    Recovered(Box<Recovered>),
    /// Damage was met while reading.
    Damage {
        /// Where.
        partition: TopicPartition,
        /// What.
        damage: Box<Damage>,
    },
    /// An index, seal, snapshot or checkpoint could not be written. Nothing is lost: it is made anew
    /// from the log when it is missed.
    CacheNotWritten {
        /// Whose.
        partition: TopicPartition,
        /// Why.
        fault: Fault,
    },
    /// Files that no longer belong to the log could not be removed. The next open tries again.
    NotRemoved {
        /// Whose.
        partition: TopicPartition,
        /// Why.
        fault: Fault,
    },
    /// Segments were deleted: by age, by size, or because their records were.
    Retained {
        /// Whose.
        partition: TopicPartition,
        /// How much.
        retained: Retained,
    },
    /// One of several directories cannot be used: its partitions are offline, or nothing new is put
    /// there.
    DirectoryOffline {
        /// Which one.
        path: PathBuf,
        /// Why.
        fault: Fault,
    },
    /// The way to the disk is not the one that was wished for.
    Fallback {
        /// Why, and how to change that.
        reason: String,
    },
    /// What opening a directory skipped or repaired.
    Warning {
        /// In prose.
        text: String,
    },
    /// More happened than the listener took; so many events are missing here.
    Lost {
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { partition, before, now } => {
                write!(f, "{partition} was {before} and is {now}")
            }
            Self::Recovered(recovered) => write!(f, "{recovered}"),
            Self::Damage { partition, damage } => write!(f, "{partition}: {damage}"),
            Self::CacheNotWritten { partition, fault } => {
                write!(f, "{partition}: {fault}; it is made anew when it is missed")
            }
            Self::NotRemoved { partition, fault } => {
                write!(f, "{partition}: {fault}; the next open tries again")
            }
            Self::Retained { partition, retained } => write!(f, "{partition}: {retained}"),
            Self::DirectoryOffline { path, fault } => {
                write!(f, "directory {} is not used: {fault}", path.display())
            }
            Self::Fallback { reason } => f.write_str(reason),
            Self::Warning { text } => f.write_str(text),
            Self::Lost { count } => {
                write!(f, "{count} events came faster than they were taken, and are left out")
            }
        }
    }
}

/// Who wants to hear what happens in a store.
///
/// Called with no lock held that the store needs, by whichever thread comes by: the I/O thread, or
/// one that calls a method. So it may ask the store for anything but what would wait for I/O
/// (that is refused, as in every callback), and should not take long. A panic is caught and counted.
pub trait EventListener: Send + Sync {
    /// Hears of `event`. Never two at a time, and in the order in which they happened.
    fn on_event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> EventListener for F {
    fn on_event(&self, event: &Event) {
        self(event);
    }
}

/// The news of a store on their way to its listener.
#[derive(Default)]
pub(crate) struct Events {
    listener: Option<Arc<dyn EventListener>>,
    queue: Mutex<Queue>,
    /// Those in the queue: looked at where the lock would cost too much.
    waiting: AtomicUsize,
    /// The turn to call the listener.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    lost: u64,
}

impl Events {
    pub(crate) fn to(listener: Option<Arc<dyn EventListener>>) -> Self {
        Self { listener, ..Self::default() }
    }

    /// Puts down what happened, if anybody wants to know; `event` is made only then.
    pub(crate) fn post(&self, event: impl FnOnce() -> Event) {
        if self.listener.is_none() {
            return;
        }
        let event = event();
        let mut queue = self.queue.lock();
        if queue.events.len() >= WAITING_MAX {
            queue.lost += 1;
            return;
        }
        queue.events.push_back(event);
        // Release: pairs with the Acquire in `give`.
        self.waiting.store(queue.events.len(), Ordering::Release);
    }

    /// Tells the listener what waits. The caller holds no lock. Where somebody else is telling it,
    /// that one tells this too.
    pub(crate) fn give(&self) {
        let Some(listener) = &self.listener else { return };
        while self.waiting.load(Ordering::Acquire) > 0 {
            let Some(turn) = self.turn.try_lock() else { return };
            while let Some(event) = self.next() {
                callback::run(|| listener.on_event(&event));
            }
            // Looked at again: what came while the turn was given back found it taken.
            drop(turn);
        }
    }

    fn next(&self) -> Option<Event> {
        let mut queue = self.queue.lock();
        let event = queue.events.pop_front();
        let lost = core::mem::take(&mut queue.lost);
        if lost > 0 {
            queue.events.push_back(Event::Lost { count: lost });
        }
        self.waiting.store(queue.events.len(), Ordering::Release);
        event
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard() -> (Arc<Mutex<Vec<String>>>, Arc<dyn EventListener>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&heard);
        (heard, Arc::new(move |event: &Event| into.lock().push(event.to_string())))
    }

    fn warning(text: &impl ToString) -> Event {
        Event::Warning { text: text.to_string() }
    }

    #[test]
    fn events_are_told_in_order_once_and_only_when_asked() {
        let (heard, listener) = heard();
        let events = Events::to(Some(listener));
        events.post(|| warning(&1));
        events.post(|| warning(&2));
        assert!(heard.lock().is_empty());
        events.give();
        events.give();
        assert_eq!(*heard.lock(), ["1", "2"]);
    }

    #[test]
    fn a_listener_that_is_too_slow_is_told_how_much_it_missed() {
        let (heard, listener) = heard();
        let events = Events::to(Some(listener));
        (0..WAITING_MAX + 7).for_each(|number| events.post(|| warning(&number)));
        events.give();
        let heard = heard.lock();
        assert_eq!(heard.len(), WAITING_MAX + 1);
        assert!(heard.last().unwrap().starts_with("7 events"), "{:?}", heard.last());
    }

    #[test]
    fn a_listener_that_panics_hears_the_next_event_too() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let events = Events::to(Some(Arc::new(move |_: &Event| {
            assert!(counted.fetch_add(1, Ordering::Relaxed) > 0, "a user's bug");
        })));
        (0..3).for_each(|number| events.post(|| warning(&number)));
        events.give();
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn what_happens_while_the_listener_is_told_is_told_too() {
        let events = Arc::new(Mutex::new(None::<Arc<Events>>));
        let (inner, count) = (Arc::clone(&events), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let made = Arc::new(Events::to(Some(Arc::new(move |_: &Event| {
            let inner = inner.lock().clone().unwrap();
            if counted.fetch_add(1, Ordering::Relaxed) < 3 {
                inner.post(|| warning(&"again"));
                inner.give();
            }
        }))));
        *events.lock() = Some(Arc::clone(&made));
        made.post(|| warning(&"first"));
        made.give();
        assert_eq!(count.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn without_a_listener_nothing_is_made() {
        let events = Events::default();
        events.post(|| unreachable!("nobody listens"));
        events.give();
    }
}
