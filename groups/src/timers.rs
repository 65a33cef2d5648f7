//! Deadlines in one heap, for many that are moved on again and again and seldom pass.
//!
//! ```text
//!   Deadline   at 12 s, queued 9 s          heap   9 s ▶ member a     an entry is never later than
//!   Deadline   at ──,   queued 10 s               10 s ▶ join         its deadline; it may be
//!                                                 40 s ▶ member a     earlier, or stand for nothing
//! ```
//!
//! Moving a deadline on is one store: its entry stays where it is. When that comes up it goes back
//! in at the real time. Only a deadline that moves nearer gets another entry.
//!
//! Invariant: a deadline that is set has an entry at or before it.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use log_core::clock::Tick;

/// Entries that stand for nothing and are not worth a sweep.
const SLACK: usize = 64;

/// A time at which something is due, kept by whatever it belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline {
    at: Option<Tick>,
    /// The earliest entry of the heap that is ours.
    queued: Option<Tick>,
}

/// What an entry that came up stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CameUp {
    /// The deadline has passed, and is set no more.
    Due,
    /// It has moved on: the entry goes back in.
    Later,
    /// Nothing.
    Stale,
}

impl Deadline {
    pub(crate) const fn new() -> Self {
        Self { at: None, queued: None }
    }

    /// When, if it is set.
    pub(crate) const fn at(&self) -> Option<Tick> {
        self.at
    }

    pub(crate) const fn is_set(&self) -> bool {
        self.at.is_some()
    }

    pub(crate) const fn cancel(&mut self) {
        self.at = None;
    }

    /// What its entry at `entry` stands for `now`.
    pub(crate) fn came_up(&mut self, entry: Tick, now: Tick) -> CameUp {
        if self.queued != Some(entry) {
            return CameUp::Stale;
        }
        self.queued = None;
        match self.at {
            None => CameUp::Stale,
            Some(at) if at <= now => {
                self.at = None;
                CameUp::Due
            }
            Some(_) => CameUp::Later,
        }
    }
}

/// The heap: what is due next, by keys that lead to the deadlines.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Tick, K)>>,
}

impl<K: Ord> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new() }
    }

    /// Sets `deadline`, which `key` leads to.
    pub(crate) fn arm(&mut self, deadline: &mut Deadline, at: Tick, key: impl FnOnce() -> K) {
        deadline.at = Some(at);
        if deadline.queued.is_none_or(|queued| at < queued) {
            deadline.queued = Some(at);
            self.heap.push(Reverse((at, key())));
        }
    }

    /// A time at or before the next deadline.
    pub(crate) fn next(&self) -> Option<Tick> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// The next entry, if its time has come.
    pub(crate) fn pop(&mut self, now: Tick) -> Option<(Tick, K)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry)
    }

    /// Whether most entries stand for nothing, with `live` deadlines about.
    pub(crate) fn is_worn(&self, live: usize) -> bool {
        self.heap.len() > live.saturating_mul(2).saturating_add(SLACK)
    }

    /// Drops what `keep` does not know.
    pub(crate) fn sweep(&mut self, mut keep: impl FnMut(Tick, &K) -> bool) {
        self.heap.retain(|Reverse((at, key))| keep(*at, key));
    }
}

impl Deadline {
    /// Whether the entry at `entry` is the one that stands for it.
    pub(crate) fn owns(&self, entry: Tick) -> bool {
        self.queued == Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_core::entropy::{Entropy, SeededEntropy};
    use std::collections::BTreeMap;

    /// Against deadlines that are looked through one by one.
    #[test]
    fn what_is_due_is_what_a_look_through_all_deadlines_finds() {
        let chance = SeededEntropy::new(5);
        let mut timers = Timers::new();
        let mut deadlines = [Deadline::default(); 8];
        let mut naive: BTreeMap<usize, u64> = BTreeMap::new();
        let mut now = 0;
        for _ in 0..20_000 {
            let which = usize::try_from(chance.next_u64() % 8).unwrap();
            match chance.next_u64() % 4 {
                0 => {
                    deadlines[which].cancel();
                    naive.remove(&which);
                }
                1 | 2 => {
                    let at = now + chance.next_u64() % 40;
                    timers.arm(&mut deadlines[which], Tick::from_nanos(at), || which);
                    naive.insert(which, at);
                }
                _ => {
                    now += chance.next_u64() % 20;
                    let tick = Tick::from_nanos(now);
                    let mut due = Vec::new();
                    while let Some((entry, which)) = timers.pop(tick) {
                        match deadlines[which].came_up(entry, tick) {
                            CameUp::Due => due.push(which),
                            CameUp::Later => {
                                let at = deadlines[which].at().unwrap();
                                timers.arm(&mut deadlines[which], at, || which);
                            }
                            CameUp::Stale => {}
                        }
                    }
                    due.sort_unstable();
                    let expected: Vec<usize> =
                        naive.iter().filter(|(_, at)| **at <= now).map(|(k, _)| *k).collect();
                    naive.retain(|_, at| *at > now);
                    assert_eq!(due, expected);
                    if timers.is_worn(0) {
                        timers.sweep(|at, which| deadlines[*which].owns(at));
                    }
                }
            }
            let earliest = naive.values().min().map(|at| Tick::from_nanos(*at));
            assert!(earliest.is_none_or(|at| timers.next().is_some_and(|next| next <= at)));
        }
    }

    #[test]
    fn a_deadline_that_only_moves_on_has_one_entry() {
        let mut timers = Timers::new();
        let mut deadline = Deadline::default();
        for at in 0..1_000 {
            timers.arm(&mut deadline, Tick::from_nanos(at), || ());
        }
        assert_eq!(timers.heap.len(), 1);
        assert_eq!(timers.next(), Some(Tick::from_nanos(0)));
    }
}
