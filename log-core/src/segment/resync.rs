//! Finding the next batch behind a bad place.
//!
//! Byte by byte: a place counts only if a whole batch stands there with a right checksum and an
//! offset the log could have reached, and if the batch behind it agrees: the base offset stands
//! outside the checksum, so a batch whose first bytes are damaged still has a right one. Work is bounded whatever the bytes: checksums are computed
//! over at most [`WORK_FACTOR`] times the bytes searched.

use std::io;

use super::walk::{BATCH_BYTES_LIMIT, Stop, Walk, Window, follows};
use crate::disk::File;
use crate::format::{BatchView, HEADER_BYTES, batch_bytes};
use crate::ids::{Offset, Position};
use crate::int::{u32_saturated, u64_from, usize_from};

const WORK_FACTOR: u64 = 16;
const STEP_BYTES: u64 = 64 * 1024;
/// Where reading fails, less is read at once, and at last a sector is passed over.
const SECTOR_BYTES: u64 = 512;
/// The byte that says "record batch v2", and where it stands.
const MAGIC_AT: usize = 16;
const MAGIC: u8 = 2;

/// A batch found behind a bad place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) position: u64,
    pub(crate) base: Offset,
}

/// What makes a batch found believable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    /// Its checksum: enough to say that somebody wrote a batch here.
    Checksum,
    /// The batch behind it goes on where it ends; or nothing is behind it and it ends where the log
    /// is known to end, if that is known.
    Neighbour {
        /// Where the log ends.
        end: Option<Offset>,
        /// Batches that start below may leave offsets out.
        gaps_below: Offset,
    },
}

/// The first batch in `from..limit` whose base offset is `least` or later, with `proof`.
pub(crate) fn next_batch(
    file: &dyn File,
    from: u64,
    limit: u64,
    least: Offset,
    proof: Proof,
) -> Option<Found> {
    let mut search = Search {
        file,
        window: Window::new(file, limit),
        batch: Window::new(file, limit),
        limit,
        least,
        proof,
        budget: limit.saturating_sub(from).saturating_mul(WORK_FACTOR),
    };
    let (mut at, mut step) = (from, STEP_BYTES);
    while at < limit {
        match search.step(at, step) {
            Ok(Progress::Found(found)) => return Some(found),
            Ok(Progress::Nothing(next)) => at = next,
            Ok(Progress::Exhausted) => return None,
            // What stands before the bad sector may still be a batch.
            Err(_) if step > SECTOR_BYTES => step = (step / 8).max(SECTOR_BYTES),
            Err(_) => (at, step) = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES, STEP_BYTES),
        }
    }
    None
}

enum Progress {
    Found(Found),
    /// Nothing starts before here.
    Nothing(u64),
    Exhausted,
}

struct Search<'a> {
    file: &'a dyn File,
    window: Window<'a>,
    batch: Window<'a>,
    limit: u64,
    least: Offset,
    proof: Proof,
    budget: u64,
}

impl Search<'_> {
    fn step(&mut self, at: u64, step: u64) -> io::Result<Progress> {
        let overlap = u64_from(HEADER_BYTES);
        let bytes = self.window.bytes(at, (self.limit - at).min(step + overlap))?;
        if u64_from(bytes.len()) < overlap {
            return Ok(Progress::Nothing(self.limit));
        }
        let starts = bytes.len() - HEADER_BYTES + 1;
        for (index, header) in bytes.windows(HEADER_BYTES).enumerate() {
            if header.get(MAGIC_AT) != Some(&MAGIC) {
                continue;
            }
            let position = at + u64_from(index);
            let Some(need) = plausible(header, self.least, self.limit - position) else { continue };
            if self.budget < need {
                return Ok(Progress::Exhausted);
            }
            self.budget -= need;
            let Ok(raw) = self.batch.bytes(position, need) else { continue };
            let Ok(view) = BatchView::parse(raw) else { continue };
            let base = view.base_offset();
            let Some(next) = view.next_offset().filter(|_| view.verify_crc().is_ok()) else {
                continue;
            };
            if self.proof.holds(self.file, position + need, self.limit, next) {
                return Ok(Progress::Found(Found { position, base }));
            }
        }
        Ok(Progress::Nothing(at + u64_from(starts)))
    }
}

impl Proof {
    /// Whether what stands at `at` lets the batch before it end with offset `next`.
    fn holds(self, file: &dyn File, at: u64, limit: u64, next: Offset) -> bool {
        let Self::Neighbour { end, gaps_below } = self else { return true };
        let position = Position::new(u32_saturated(usize_from(at)));
        match Walk::new(file, position, limit, None).next() {
            Ok((_, behind)) => follows(next, behind.base_offset(), gaps_below),
            Err(Stop::End) => end == Some(next),
            Err(_) => false,
        }
    }
}

/// The size of the batch whose header this may be, if it may be one at all.
fn plausible(header: &[u8], least: Offset, left: u64) -> Option<u64> {
    let need = batch_bytes(header).ok()??;
    let base = header.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes))?;
    let near = base >= least.get() && base - least.get() <= i64::from(i32::MAX);
    (near && need <= left && need <= u64::from(BATCH_BYTES_LIMIT)).then_some(need)
}

/// One past the last byte of `from..limit` that is not zero or cannot be read; `from` if all are.
pub(crate) fn content_end(file: &dyn File, from: u64, limit: u64) -> u64 {
    let (mut end, mut step) = (limit, STEP_BYTES);
    let mut window = Window::new(file, limit);
    while end > from {
        let start = end.saturating_sub(step).max(from);
        match window.bytes(start, end - start) {
            Ok(bytes) => match bytes.iter().rposition(|byte| *byte != 0) {
                Some(last) => return start + u64_from(last) + 1,
                None => end = start,
            },
            // Zeros may stand behind the bad sector; it itself may hold anything.
            Err(_) if end - start > SECTOR_BYTES => step = (step / 8).max(SECTOR_BYTES),
            Err(_) => return end,
        }
    }
    from
}
