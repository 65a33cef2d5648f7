//! Work that a flush turn hands to a thread, because appends would wait for it.
//!
//! ```text
//!   flush turn   producers frozen at a roll ─▶ errand ─▶ queue          microseconds
//!   thread       encode, write, flush, rename                           a second for a million
//!   who needs the files to lie still ─▶ settle: until the partition's errands are done
//! ```
//!
//! What is done here is a cache of the log: a power cut before it is done costs a scan. The thread
//! lives while there is work. An errand takes no turn and no head's lock, so whoever has one may
//! wait for it. At most one errand of a partition waits while another runs: whoever brings a third
//! one waits, which bounds what is frozen.

use core::fmt;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::partition::Partition;
use crate::config::Drive;

/// One piece of work.
type Errand = Box<dyn FnOnce() + Send>;

/// The errands of a store.
#[derive(Default)]
pub(crate) struct Errands {
    state: Mutex<State>,
    done: Condvar,
}

#[derive(Default)]
struct State {
    /// In order, each with its partition's slot.
    waiting: VecDeque<(u32, Errand)>,
    running: Option<u32>,
    /// Whether the thread lives and will look again.
    thread: bool,
}

impl State {
    fn waits(&self, slot: u32) -> bool {
        self.waiting.iter().any(|(other, _)| *other == slot)
    }

    fn has(&self, slot: u32) -> bool {
        self.running == Some(slot) || self.waits(slot)
    }
}

impl Errands {
    /// Puts `errand` behind the others, or does it here if no thread is to be had.
    fn push(self: &Arc<Self>, slot: u32, errand: Errand) {
        let start = {
            let mut state = self.state.lock();
            while state.waits(slot) {
                self.done.wait(&mut state);
            }
            state.waiting.push_back((slot, errand));
            !core::mem::replace(&mut state.thread, true)
        };
        if start {
            let this = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name("oncelog-errands".to_owned())
                .spawn(move || this.run());
            if started.is_err() {
                self.run();
            }
        }
    }

    /// The thread's life: until nothing waits.
    fn run(&self) {
        loop {
            let errand = {
                let mut state = self.state.lock();
                let Some((slot, errand)) = state.waiting.pop_front() else {
                    state.thread = false;
                    return;
                };
                state.running = Some(slot);
                self.done.notify_all();
                errand
            };
            // What it leaves undone is a cache; the others are done all the same.
            let _panicked = catch_unwind(AssertUnwindSafe(errand));
            self.state.lock().running = None;
            self.done.notify_all();
        }
    }

    /// Whether partition `slot` has no errand.
    pub(crate) fn is_settled(&self, slot: u32) -> bool {
        !self.state.lock().has(slot)
    }

    /// Waits until the errands of partition `slot` are done.
    pub(crate) fn settle(&self, slot: u32) {
        let mut state = self.state.lock();
        while state.has(slot) {
            self.done.wait(&mut state);
        }
    }

    /// Waits until all errands are done.
    pub(crate) fn settle_all(&self) {
        let mut state = self.state.lock();
        while state.running.is_some() || !state.waiting.is_empty() {
            self.done.wait(&mut state);
        }
    }
}

impl fmt::Debug for Errands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Errands")
            .field("waiting", &state.waiting.len())
            .field("running", &state.running)
            .finish_non_exhaustive()
    }
}

impl Partition {
    /// Does `errand` aside, where the store has threads; elsewhere here.
    pub(in crate::log) fn run_aside(&self, errand: impl FnOnce(&Self) + Send + 'static) {
        match (self.shared.drive, self.arc()) {
            (Drive::Thread, Some(this)) => {
                let errand = move || {
                    errand(&this);
                    // Its news are told by who has no errand: a listener may end the store.
                    this.notify();
                };
                self.shared.errands.push(self.slot, Box::new(errand));
            }
            (Drive::Thread | Drive::Inline | Drive::Manual, _) => errand(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn errands_are_done_in_order_and_settling_waits_for_those_of_one_partition() {
        let errands = Arc::new(Errands::default());
        let (go, gate) = channel::<()>();
        let (tell, told) = channel();
        let at_gate = tell.clone();
        errands.push(
            1,
            Box::new(move || {
                gate.recv().unwrap();
                at_gate.send(1).unwrap();
            }),
        );
        errands.push(2, Box::new(move || tell.send(2).unwrap()));
        assert_eq!([1, 2, 3].map(|slot| errands.is_settled(slot)), [false, false, true]);
        errands.settle(3);
        go.send(()).unwrap();
        errands.settle(2);
        assert_eq!(told.iter().collect::<Vec<_>>(), [1, 2]);
        assert!(errands.is_settled(1));
    }

    #[test]
    fn who_brings_a_third_errand_waits_until_the_second_is_begun() {
        let errands = Arc::new(Errands::default());
        let (go, gate) = channel::<()>();
        errands.push(1, Box::new(move || gate.recv().unwrap()));
        while errands.state.lock().running.is_none() {
            std::thread::yield_now();
        }
        errands.push(1, Box::new(|| {}));
        let done = Arc::new(AtomicU32::new(0));
        let third = {
            let (errands, done) = (Arc::clone(&errands), Arc::clone(&done));
            std::thread::spawn(move || {
                errands.push(1, Box::new(|| {}));
                done.fetch_add(1, Ordering::SeqCst);
            })
        };
        assert_eq!(done.load(Ordering::SeqCst), 0);
        assert_eq!(errands.state.lock().waiting.len(), 1);
        go.send(()).unwrap();
        third.join().unwrap();
        errands.settle_all();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn an_errand_that_panics_is_over_and_the_next_ones_are_done() {
        let errands = Arc::new(Errands::default());
        errands.push(1, Box::new(|| panic!("on purpose")));
        errands.settle(1);
        let done = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&done);
        errands.push(1, Box::new(move || count.store(1, Ordering::SeqCst)));
        errands.settle_all();
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
