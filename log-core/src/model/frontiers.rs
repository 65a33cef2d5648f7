//! The frontiers of a partition, in the only order they may have.
//!
//! ```text
//!   log_start ≤ durable ≤ written ≤ log_end
//!                  │         └ what outlives the process
//!                  └ what outlives power loss: Kafka's high watermark (`UnifiedLog`)
//! ```
//!
//! Invariant: none ever moves back (D6 of the promise), until a truncation starts a new life.

use crate::ids::Offset;

/// The four frontiers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frontiers {
    log_start: Offset,
    durable: Offset,
    written: Offset,
    log_end: Offset,
}

impl Frontiers {
    /// A log from `log_start` to `log_end`, all of it durable.
    pub(crate) fn recovered(log_start: Offset, log_end: Offset) -> Self {
        let log_end = log_end.max(log_start);
        Self { log_start, durable: log_end, written: log_end, log_end }
    }

    pub(crate) const fn log_start(&self) -> Offset {
        self.log_start
    }

    pub(crate) const fn durable(&self) -> Offset {
        self.durable
    }

    pub(crate) const fn written(&self) -> Offset {
        self.written
    }

    pub(crate) const fn log_end(&self) -> Offset {
        self.log_end
    }

    /// A batch was accepted: the log now ends at `to`.
    pub(crate) fn accept(&mut self, to: Offset) {
        debug_assert!(self.log_end <= to, "the log end went back");
        self.log_end = self.log_end.max(to);
        self.check();
    }

    /// Writes up to `written` completed, flushes up to `durable` succeeded. Returns whether
    /// either is news.
    pub(crate) fn advance(&mut self, written: Offset, durable: Offset) -> bool {
        let before = (self.written, self.durable);
        self.written = self.written.max(written).min(self.log_end);
        self.durable = self.durable.max(durable).min(self.written);
        self.check();
        before != (self.written, self.durable)
    }

    /// Records below `to`, which is durable, were deleted.
    pub(crate) fn raise_log_start(&mut self, to: Offset) {
        debug_assert!(to <= self.durable, "{to} is not durable: {self:?}");
        self.log_start = self.log_start.max(to.min(self.durable));
        self.check();
    }

    fn check(&self) {
        debug_assert!(self.log_start <= self.durable, "{self:?}");
        debug_assert!(self.durable <= self.written, "{self:?}");
        debug_assert!(self.written <= self.log_end, "{self:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    #[test]
    fn no_frontier_goes_back_or_overtakes() {
        let mut frontiers = Frontiers::recovered(at(5), at(5));
        frontiers.accept(at(9));
        assert!(frontiers.advance(at(8), at(6)));
        assert!(!frontiers.advance(at(7), at(5)));
        assert!(frontiers.advance(at(100), at(100)));
        assert_eq!((frontiers.written(), frontiers.durable()), (at(9), at(9)));
    }

    #[test]
    fn the_start_rises_up_to_the_durable_end() {
        let mut frontiers = Frontiers::recovered(at(5), at(9));
        frontiers.raise_log_start(at(9));
        frontiers.raise_log_start(at(7));
        assert_eq!(frontiers.log_start(), at(9));
    }

    #[test]
    fn a_log_that_lost_everything_ends_where_it_starts() {
        assert_eq!(Frontiers::recovered(at(7), at(3)).log_end(), at(7));
    }
}
