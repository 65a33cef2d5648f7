//! Following a log as it grows: a blocking iterator, and a `Stream` without a runtime.
//!
//! ```text
//!   fetch ─▶ something: yield it, go on at next_offset
//!         └▶ nothing:   wait until a frontier moves, fetch again
//! ```
//!
//! An error is repeated until the reader seeks (R2): damage is not stepped over by accident.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use super::Log;
use super::fetch::{FetchError, FetchLimits, Fetched, IsolationLevel};
use crate::clock::{Tick, Wake};
use crate::config::Drive;
use crate::ids::Offset;

/// A blocking iterator over what is and what comes. Ends when the store is closed.
#[derive(Clone, Debug)]
pub struct Tail {
    log: Log,
    offset: Offset,
    limits: FetchLimits,
    isolation: IsolationLevel,
    deadline: Option<Tick>,
}

impl Tail {
    pub(crate) const fn new(log: Log, offset: Offset, limits: FetchLimits) -> Self {
        let isolation = IsolationLevel::ReadUncommitted;
        Self { log, offset, limits, isolation, deadline: None }
    }

    /// Ends the iteration at `deadline`, a tick of the store's clock, if nothing came by then.
    #[must_use]
    pub const fn until(mut self, deadline: Tick) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// At most this much at a time.
    #[must_use]
    pub const fn limits(mut self, limits: FetchLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What is shown of transactions.
    #[must_use]
    pub const fn isolation(mut self, isolation: IsolationLevel) -> Self {
        self.isolation = isolation;
        self
    }

    /// The next offset to be read.
    #[must_use]
    pub const fn position(&self) -> Offset {
        self.offset
    }

    /// Goes on at `offset`.
    pub const fn seek(&mut self, offset: Offset) {
        self.offset = offset;
    }

    fn fetch(&mut self) -> Option<Result<Fetched, FetchError>> {
        match self.log.fetch(self.offset, self.limits, self.isolation) {
            Ok(fetched) if fetched.is_empty() => None,
            Ok(fetched) => {
                self.offset = fetched.next_offset;
                Some(Ok(fetched))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Iterator for Tail {
    type Item = Result<Fetched, FetchError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let partition = Arc::clone(self.log.partition());
            let seen = partition.moved.seen();
            match self.fetch() {
                Some(Err(FetchError::Closed)) => return None,
                Some(found) => return Some(found),
                None => {}
            }
            let shared = &partition.shared;
            match shared.drive {
                // Nothing comes by itself: what is there has been read, unless a step brings more.
                Drive::Manual if !shared.step() => return None,
                Drive::Manual => {}
                // S13: nobody but us has the store, so nobody can wake us.
                Drive::Inline if self.deadline.is_none() && self.log.is_only_handle() => {
                    return None;
                }
                Drive::Inline | Drive::Thread => {
                    if shared.clock.wait(&partition.moved, seen, self.deadline) == Wake::Deadline {
                        return None;
                    }
                }
            }
        }
    }
}

/// The same as a stream: pending where [`Tail`] would block.
#[derive(Clone, Debug)]
pub struct TailStream(Tail);

impl TailStream {
    pub(crate) const fn new(tail: Tail) -> Self {
        Self(tail)
    }

    /// What is shown of transactions.
    #[must_use]
    pub fn isolation(self, isolation: IsolationLevel) -> Self {
        Self(self.0.isolation(isolation))
    }

    /// Goes on at `offset`.
    pub const fn seek(&mut self, offset: Offset) {
        self.0.seek(offset);
    }
}

impl futures_core::Stream for TailStream {
    type Item = Result<Fetched, FetchError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Registered before the look, so that what comes in between wakes us.
        self.0.log.partition().head.lock().wakers.push(context.waker().clone());
        match self.0.fetch() {
            Some(Err(FetchError::Closed)) => Poll::Ready(None),
            Some(found) => Poll::Ready(Some(found)),
            None => Poll::Pending,
        }
    }
}
