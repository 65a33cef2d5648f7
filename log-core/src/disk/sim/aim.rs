//! Faults that strike where they are aimed, where chance would rarely meet them.
//!
//! ```text
//!   Aim::at(Call::Sync, Effect::fails(EIO)).of(".log").nth(3)
//!       ─▶ SimDirectory::aim ─▶ Aimed: how many calls matched, how many were struck
//! ```

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A kind of operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Call {
    /// Opening or creating a file.
    Open,
    /// Reading from a file.
    Read,
    /// Writing to a file, blocking or submitted.
    Write,
    /// Flushing a file, blocking or submitted.
    Sync,
    /// Securing space.
    Allocate,
    /// Renaming a file; its old name counts.
    Rename,
    /// Removing a file.
    Unlink,
    /// Making the names in a directory durable; the directory counts.
    SyncDir,
}

/// What becomes of a call that is struck.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing: the call is only counted.
    Count,
    /// It fails with this error number. A write may have landed in part; the sectors of a flush
    /// are lost to later ones.
    Fail(i32),
    /// A read or write moves at most so many bytes.
    Move(usize),
    /// A flush says it succeeded and did nothing.
    Lie,
}

impl Effect {
    /// The device failed (EIO).
    pub const EIO: Self = Self::Fail(5);
    /// No space (ENOSPC).
    pub const ENOSPC: Self = Self::Fail(28);
}

/// Which calls a fault strikes.
#[derive(Clone, Debug)]
#[must_use = "a fault strikes only once it is given to SimDirectory::aim"]
pub struct Aim {
    call: Call,
    effect: Effect,
    suffix: String,
    bytes: Range<u64>,
    nth: u64,
    times: u64,
}

impl Aim {
    /// Strikes the next `call` on any file, once.
    pub const fn at(call: Call, effect: Effect) -> Self {
        Self { call, effect, suffix: String::new(), bytes: 0..u64::MAX, nth: 1, times: 1 }
    }

    /// Only on files whose path ends like this.
    pub fn of(mut self, suffix: &str) -> Self {
        suffix.clone_into(&mut self.suffix);
        self
    }

    /// Only reads and writes that touch one of these bytes of the file.
    pub const fn bytes(mut self, bytes: Range<u64>) -> Self {
        self.bytes = bytes;
        self
    }

    /// Only from the `nth` matching call on, counted from 1.
    pub const fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// So many calls in a row, instead of one.
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Every call from then on.
    pub const fn always(self) -> Self {
        self.times(u64::MAX)
    }
}

/// What became of an aimed fault.
#[derive(Clone, Debug)]
pub struct Aimed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    matched: AtomicU64,
    struck: AtomicU64,
}

impl Aimed {
    /// Calls that it was aimed at, struck or not.
    #[must_use]
    pub fn matched(&self) -> u64 {
        // Relaxed, as all of these: counts behind the disk's own lock.
        self.0.matched.load(Ordering::Relaxed)
    }

    /// Calls that it struck.
    #[must_use]
    pub fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::Relaxed)
    }
}

/// The faults aimed at a disk.
#[derive(Debug, Default)]
pub(super) struct Aims(Vec<(Aim, Aimed)>);

impl Aims {
    pub(super) fn add(&mut self, aim: Aim) -> Aimed {
        let aimed = Aimed(Arc::default());
        self.0.push((aim, aimed.clone()));
        aimed
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to become of a call that touches `bytes` of the file at `path`.
    pub(super) fn strike(&self, call: Call, path: &Path, bytes: &Range<u64>) -> Option<Effect> {
        let mut effect = None;
        for (aim, aimed) in &self.0 {
            let touches = bytes.start < aim.bytes.end && aim.bytes.start < bytes.end;
            let named = path.to_str().is_some_and(|path| path.ends_with(&aim.suffix));
            if aim.call != call || !named || !touches {
                continue;
            }
            let number = aimed.0.matched.fetch_add(1, Ordering::Relaxed) + 1;
            let over = aim.nth.saturating_add(aim.times);
            if effect.is_none() && (aim.nth..over).contains(&number) && aim.effect != Effect::Count
            {
                aimed.0.struck.fetch_add(1, Ordering::Relaxed);
                effect = Some(aim.effect);
            }
        }
        effect
    }
}

/// The error of a call that is struck so, if it is one.
pub(super) fn failure(effect: Option<Effect>) -> io::Result<Option<Effect>> {
    match effect {
        Some(Effect::Fail(errno)) => Err(io::Error::from_raw_os_error(errno)),
        other => Ok(other),
    }
}
