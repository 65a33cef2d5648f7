//! From batch to batch through a segment file, checking everything on the way.
//!
//! ```text
//!   batch ─▶ batch ─▶ batch ─▶ ?
//!                              ├ End    the limit, or nothing but zeros up to it
//!                              ├ Bad    bytes that are no batch, or not the next one
//!                              └ Unreadable   the device said no, twice
//! ```
//!
//! Checked: framing, magic, CRC-32C, and continuity: each batch starts at the offset after the
//! last one. The base offset stands outside the checksum, so continuity is what guards it. Where
//! another program wrote (S10), offsets may be left out: they have to rise.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;

use crate::disk::File;
use crate::format::{BatchError, BatchView, HEADER_BYTES, batch_bytes};
use crate::ids::{Offset, Position};
use crate::int::{u32_saturated, u64_from, usize_from};
use crate::mutant::{self, Mutant};

/// No batch is larger: what a reader may have to hold in memory, whatever the bytes say.
pub(crate) const BATCH_BYTES_LIMIT: u32 = 64 * 1024 * 1024;

/// Bytes read at once.
const WINDOW_BYTES: u64 = 256 * 1024;

/// Why a walk ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// At the limit, or before zeros that reach up to it.
    End,
    /// What stands here is not the next batch.
    Bad(BadPlace),
    /// The bytes cannot be read.
    Unreadable(io::Error),
}

/// Why bytes are not the next batch.
#[derive(Debug)]
pub(crate) enum BadPlace {
    /// Not a batch, or a damaged one.
    Batch(BatchError),
    /// The log ends inside it.
    Torn { need: u64, have: u64 },
    /// A batch, but another one belongs here.
    Discontinuous { expected: Offset, found: Offset },
    /// Zeros, and something behind them.
    Hole,
    /// A batch that ends with the largest offset there is.
    NoOffsetLeft,
}

impl core::fmt::Display for BadPlace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Batch(error) => error.fmt(f),
            Self::Torn { need, have } => write!(f, "a batch of {need} bytes has only {have} left"),
            Self::Discontinuous { expected, found } => {
                write!(f, "a batch at offset {found} stands where offset {expected} belongs")
            }
            Self::Hole => f.write_str("zeros stand where a batch belongs"),
            Self::NoOffsetLeft => f.write_str("the batch uses up the last offset there is"),
        }
    }
}

/// A walk in progress.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    window: Window<'a>,
    at: u64,
    limit: u64,
    expected: Option<Offset>,
    /// Batches that start below may leave offsets out before them.
    gaps_below: Offset,
}

impl<'a> Walk<'a> {
    /// A walk over `file[from..limit]` whose first batch starts at `expected`, where known.
    pub(crate) fn new(
        file: &'a dyn File,
        from: Position,
        limit: u64,
        expected: Option<Offset>,
    ) -> Self {
        let (window, gaps_below) = (Window::new(file, limit), Offset::ZERO);
        Self { window, at: from.get().into(), limit, expected, gaps_below }
    }

    /// The same, but that batches which start below `offset` may leave offsets out.
    pub(crate) const fn gaps_below(mut self, offset: Offset) -> Self {
        self.gaps_below = offset;
        self
    }

    /// The same, reading no more than `bytes` ahead: for a walk that is not to go far.
    pub(crate) const fn reading(mut self, bytes: u64) -> Self {
        self.window.ahead = bytes;
        self
    }

    /// Keeps what is read from byte `at` on, and reads `bytes` of it at once.
    pub(crate) fn keep(&mut self, at: u64, bytes: u64) {
        self.window.keep(at, bytes);
    }

    /// The first `bytes` of what was kept.
    pub(crate) fn into_kept(self, bytes: usize) -> Vec<u8> {
        let mut kept = self.window.bytes;
        kept.truncate(bytes);
        // Readers hold on to what they were given: not to twice as much.
        if kept.capacity() / 2 > bytes {
            kept.shrink_to_fit();
        }
        kept
    }

    /// Where the next batch starts.
    pub(crate) const fn position(&self) -> u64 {
        self.at
    }

    /// The next batch and where it starts; the walk stands behind it afterwards.
    pub(crate) fn next(&mut self) -> Result<(Position, BatchView<'_>), Stop> {
        let bytes = self.next_len()?;
        let at = self.at;
        let raw = self.window.bytes(at, bytes).map_err(Stop::Unreadable)?;
        if u64_from(raw.len()) < bytes {
            let have = u64_from(raw.len());
            return Err(Stop::Bad(BadPlace::Torn { need: bytes, have }));
        }
        let view = BatchView::parse(raw)
            .and_then(|view| view.verify_crc().map(|()| view))
            .map_err(|error| Stop::Bad(BadPlace::Batch(error)))?;
        if let Some(expected) = self.expected
            && !follows(expected, view.base_offset(), self.gaps_below)
            && !mutant::on(Mutant::SkipContinuity)
        {
            let found = view.base_offset();
            return Err(Stop::Bad(BadPlace::Discontinuous { expected, found }));
        }
        // A log ends before the last offset there is.
        let Some(next) = view.next_offset() else { return Err(Stop::Bad(BadPlace::NoOffsetLeft)) };
        self.expected = Some(next);
        self.at = at + bytes;
        Ok((Position::new(u32_saturated(usize_from(at))), view))
    }

    /// How long the next batch says it is, and that it is the one which belongs there: of it no more
    /// than the header is read.
    pub(crate) fn peek(&mut self) -> Result<u64, Stop> {
        let bytes = self.next_len()?;
        let header =
            self.window.bytes(self.at, u64_from(HEADER_BYTES)).map_err(Stop::Unreadable)?;
        let base = header.first_chunk().map(|base| i64::from_be_bytes(*base));
        let found = base.and_then(Offset::new).unwrap_or(Offset::ZERO);
        match self.expected {
            Some(expected) if !follows(expected, found, self.gaps_below) => {
                Err(Stop::Bad(BadPlace::Discontinuous { expected, found }))
            }
            _ => Ok(bytes),
        }
    }

    /// Learns from the header how long the batch at `at` is.
    fn next_len(&mut self) -> Result<u64, Stop> {
        let left = self.limit.saturating_sub(self.at);
        if left == 0 {
            return Err(Stop::End);
        }
        let want = left.min(u64_from(HEADER_BYTES));
        let header = self.window.bytes(self.at, want).map_err(Stop::Unreadable)?;
        if header.iter().all(|byte| *byte == 0) {
            return Err(self.zeros());
        }
        match batch_bytes(header) {
            Err(error) => Err(Stop::Bad(BadPlace::Batch(error))),
            Ok(Some(need)) if need <= left && need <= u64::from(BATCH_BYTES_LIMIT) => Ok(need),
            Ok(Some(need)) => Err(Stop::Bad(BadPlace::Torn { need, have: left })),
            Ok(None) => {
                let need = u64_from(HEADER_BYTES);
                Err(Stop::Bad(BadPlace::Torn { need, have: left }))
            }
        }
    }

    /// Zeros end a log; zeros with something behind them are a hole.
    fn zeros(&mut self) -> Stop {
        match self.window.next_nonzero(self.at, self.limit) {
            Err(error) => Stop::Unreadable(error),
            Ok(None) => Stop::End,
            Ok(Some(_)) => Stop::Bad(BadPlace::Hole),
        }
    }
}

/// Whether a batch at `base` may stand where one at `expected` belongs.
pub(crate) fn follows(expected: Offset, base: Offset, gaps_below: Offset) -> bool {
    base == expected || (base > expected && base < gaps_below)
}

/// A moving window over a file: reads ahead, and reads again once where the device errs.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    file: &'a dyn File,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Bytes read at once.
    ahead: u64,
    /// Whether it grows instead of moving on.
    kept: bool,
}

impl<'a> Window<'a> {
    /// A window that never looks at or past byte `limit`.
    pub(crate) const fn new(file: &'a dyn File, limit: u64) -> Self {
        Self { file, limit, start: 0, bytes: Vec::new(), ahead: WINDOW_BYTES, kept: false }
    }

    /// Up to `len` bytes from `at`; fewer only at the limit or the end of the file.
    pub(crate) fn bytes(&mut self, at: u64, len: u64) -> io::Result<&[u8]> {
        let held = self.start..self.start + u64_from(self.bytes.len());
        if !(held.contains(&at) && at + len <= held.end) {
            if self.kept {
                self.grow(at + len.max(self.ahead)).or_else(|_| self.grow(at + len))?;
            } else {
                self.load(at, len.max(self.ahead)).or_else(|_| self.load(at, len))?;
            }
        }
        let from = usize_from(at - self.start);
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..usize_from(len)).unwrap_or(rest))
    }

    /// The first byte in `from..limit` that is not zero.
    pub(crate) fn next_nonzero(&mut self, from: u64, limit: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at < limit {
            let bytes = self.bytes(at, (limit - at).min(WINDOW_BYTES))?;
            if bytes.is_empty() {
                break;
            }
            if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
                return Ok(Some(at + u64_from(index)));
            }
            at += u64_from(bytes.len());
        }
        Ok(None)
    }

    /// Starts at `at`, which is held, and stays there: what is read later is added.
    fn keep(&mut self, at: u64, ahead: u64) {
        let before = usize_from(at.saturating_sub(self.start)).min(self.bytes.len());
        self.bytes.drain(..before);
        self.start = at;
        self.kept = true;
        // All at once, so that nothing is moved again. What cannot be read shows when it is asked for.
        let _later = self.grow(at + ahead);
        self.ahead = 0;
    }

    /// Adds what stands behind the window, up to byte `end`; after an error it is as it was.
    fn grow(&mut self, end: u64) -> io::Result<()> {
        let held = self.bytes.len();
        let len = usize_from(end.min(self.limit).saturating_sub(self.start));
        if len <= held {
            return Ok(());
        }
        // Fresh memory is zero already; growing the old would write all of it once more.
        let mut grown = vec![0; len];
        if let Some((old, new)) = grown.split_at_mut_checked(held) {
            old.copy_from_slice(&self.bytes);
            let read = read_full(self.file, self.start + u64_from(held), new)?;
            grown.truncate(held + read);
        }
        self.bytes = grown;
        Ok(())
    }

    /// Moves to `at` and reads `len` bytes from there, but for those that are held already.
    fn load(&mut self, at: u64, len: u64) -> io::Result<()> {
        let len = usize_from(len.min(self.limit.saturating_sub(at)));
        let passed = at.checked_sub(self.start).map_or(usize::MAX, usize_from);
        self.bytes.drain(..passed.min(self.bytes.len()));
        self.start = at;
        let held = self.bytes.len().min(len);
        self.bytes.resize(len, 0);
        let rest = self.bytes.get_mut(held..).unwrap_or_default();
        let read = read_full(self.file, at + u64_from(held), rest);
        self.bytes.truncate(held + read.as_ref().unwrap_or(&0));
        read.map(drop)
    }
}

/// Reads that failed and were tried again, in this process.
static READ_RETRIES: AtomicU64 = AtomicU64::new(0);

/// Reads that failed and were tried again so far.
pub(crate) fn read_retries() -> u64 {
    // Relaxed, as below: a count nobody draws conclusions about other memory from.
    READ_RETRIES.load(Ordering::Relaxed)
}

/// Reads until `buffer` is full or the file ends; returns how many bytes. Short reads go on; one
/// error is tried again, since reading is the one thing that may be.
pub(crate) fn read_full(file: &dyn File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    let mut failed_at = None;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(at + u64_from(read), rest) {
            Ok(0) => break,
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if failed_at == Some(read) => return Err(error),
            Err(_) => {
                READ_RETRIES.fetch_add(1, Ordering::Relaxed);
                failed_at = Some(read);
            }
        }
    }
    Ok(read)
}
