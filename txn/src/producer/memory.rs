//! Who may put how much into the buffer: first come, first served (Kafka `BufferPool`).
//!
//! ```text
//!   take ─▶ room and nobody waits ─▶ yes
//!        └▶ a number in the line; its turn comes when everyone before it has been served
//! ```
//!
//! Invariant: while somebody waits, nobody who came later is served, so a large record is not
//! starved by small ones.

use std::collections::VecDeque;

/// The bytes of a producer's buffer.
#[derive(Debug)]
pub(super) struct Memory {
    limit: usize,
    used: usize,
    line: VecDeque<u64>,
    next: u64,
}

/// A place in the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place(u64);

impl Memory {
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, used: 0, line: VecDeque::new(), next: 0 }
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    #[cfg(test)]
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// Takes `bytes` if it is the turn of whoever asks; `place` is what an earlier call returned.
    /// `Err` is the place to come back with, or to [`leave`](Self::leave).
    pub(super) fn take(&mut self, bytes: usize, place: Option<Place>) -> Result<(), Place> {
        assert!(bytes <= self.limit, "what can never fit is refused before");
        let first = match place {
            Some(Place(number)) => self.line.front() == Some(&number),
            None => self.line.is_empty(),
        };
        if first && bytes <= self.limit - self.used {
            self.used += bytes;
            if place.is_some() {
                self.line.pop_front();
            }
            return Ok(());
        }
        Err(place.unwrap_or_else(|| self.line_up()))
    }

    fn line_up(&mut self) -> Place {
        let number = self.next;
        self.next += 1;
        self.line.push_back(number);
        Place(number)
    }

    /// Gives up waiting.
    pub(super) fn leave(&mut self, Place(number): Place) {
        self.line.retain(|waiting| *waiting != number);
    }

    /// Gives bytes back. Returns whether anyone waits for them.
    pub(super) fn give(&mut self, bytes: usize) -> bool {
        assert!(bytes <= self.used, "more given back than taken");
        self.used -= bytes;
        !self.line.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_records_do_not_overtake_a_large_one_that_waits() {
        let mut memory = Memory::new(100);
        memory.take(80, None).unwrap();
        let large = memory.take(50, None).unwrap_err();
        let small = memory.take(1, None).unwrap_err();
        assert_eq!(memory.take(1, Some(small)), Err(small), "there is room, but not its turn");
        assert!(memory.give(80));
        memory.take(50, Some(large)).unwrap();
        memory.take(1, Some(small)).unwrap();
        memory.take(49, None).unwrap();
        assert_eq!(memory.used(), 100);
    }

    #[test]
    fn who_gives_up_lets_the_next_one_in() {
        let mut memory = Memory::new(10);
        memory.take(9, None).unwrap();
        let first = memory.take(5, None).unwrap_err();
        let second = memory.take(1, None).unwrap_err();
        memory.leave(first);
        memory.take(1, Some(second)).unwrap();
        assert!(!memory.give(10), "nobody waits any more");
    }
}
