//! Accepted bytes on their way to the disk: whole aligned blocks, in order.
//!
//! ```text
//!   segment file   … │ block │ block │ block │            0 = carried: written before, written again
//!   chunk                    │000nnnn│nnn    │            n = new
//!                            ^position       ^ padded with zeros when taken
//! ```
//!
//! Invariants:
//! 1. A chunk starts at a block's start and is written in whole blocks; the padding is zero.
//! 2. Chunks are taken in order, and the partial block at the end of one is carried into the next.
//! 3. A chunk's mark is the last batch boundary in it: a batch may span chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::disk::AlignedBuf;
use crate::disk::aligned::BLOCK_BYTES;
use crate::ids::{Offset, Position};
use crate::int::{u64_from, usize_from_u32};
use crate::model::flush::Mark;
use crate::segment::Segment;
use crate::segment::seal::FileSum;

/// Bytes of a full chunk, one write, where the settings allow as much in flight.
const CHUNK_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a small chunk, for partitions that see little traffic.
const CHUNK_BYTES_MIN: usize = 16 * 1024;

/// One write's worth of bytes.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) segment: Arc<Segment>,
    /// Where in the file the buffer starts; a multiple of a block.
    pub(crate) position: u64,
    pub(crate) buffer: AlignedBuf,
    /// The last batch boundary at or before the chunk's end.
    pub(crate) end: Mark,
    /// Bytes at the start that an earlier chunk wrote already.
    carried: usize,
}

impl Chunk {
    fn fresh_bytes(&self) -> usize {
        self.buffer.len() - self.carried
    }

    /// `sum` of the file's bytes before, with the new ones of this chunk up to `end`; `None` if
    /// others are missing between.
    pub(crate) fn add_to(&self, sum: FileSum, end: Position) -> Option<FileSum> {
        let from = usize::try_from(sum.bytes.checked_sub(self.position)?).ok()?;
        let end = u64::from(end.get()).checked_sub(self.position)?;
        let fresh = self.buffer.as_slice().get(from..usize::try_from(end).ok()?)?;
        Some(sum.and(fresh))
    }
}

/// The partial block of an idle partition.
#[derive(Debug)]
struct Asleep {
    segment: Arc<Segment>,
    block: Box<[u8]>,
}

/// The bytes of a partition that wait for their write.
#[derive(Debug)]
pub(crate) struct Pending {
    full: VecDeque<Chunk>,
    open: Option<Chunk>,
    /// Instead of `open`, where nothing came for a while.
    asleep: Option<Asleep>,
    bytes: usize,
    spare: Option<AlignedBuf>,
    end: Mark,
    chunk_bytes: usize,
}

impl Pending {
    /// Nothing pending; the log ends at `end` in a segment whose last partial block holds `block`.
    /// A write has at most half of `in_flight_bytes`, so that two fit.
    pub(crate) fn at(segment: Arc<Segment>, end: Mark, block: &[u8], in_flight_bytes: u32) -> Self {
        let half = usize_from_u32(in_flight_bytes) / 2;
        let chunk_bytes = (half - half % BLOCK_BYTES).clamp(BLOCK_BYTES, CHUNK_BYTES_MAX);
        let mut pending = Self {
            full: VecDeque::new(),
            open: None,
            asleep: None,
            bytes: 0,
            spare: None,
            end,
            chunk_bytes,
        };
        pending.carry(segment, block);
        pending
    }

    /// The segment's last partial block holds `block`: the next write writes it again.
    pub(crate) fn carry(&mut self, segment: Arc<Segment>, block: &[u8]) {
        if !block.is_empty() {
            self.asleep = Some(Asleep { segment, block: block.into() });
        }
    }

    /// Where what was accepted ends.
    pub(crate) const fn end(&self) -> Mark {
        self.end
    }

    /// New bytes that wait.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a whole chunk waits.
    pub(crate) fn has_full_chunk(&self) -> bool {
        !self.full.is_empty()
    }

    /// The segment of the next write.
    pub(crate) fn next_segment(&self) -> Option<&Arc<Segment>> {
        let open = self.open.as_ref().filter(|chunk| chunk.fresh_bytes() > 0);
        self.full.front().or(open).map(|chunk| &chunk.segment)
    }

    /// Bytes of the next write.
    pub(crate) fn next_bytes(&self) -> usize {
        self.full.front().or(self.open.as_ref()).map_or(0, Chunk::fresh_bytes)
    }

    /// Appends one append call's bytes to `segment`, which end at `end`.
    pub(crate) fn push(&mut self, segment: &Arc<Segment>, mut bytes: &[u8], end: Mark) {
        self.wake(bytes.len());
        self.bytes += bytes.len();
        while !bytes.is_empty() {
            let mut chunk = match self.open.take() {
                Some(chunk) => chunk,
                None => self.chunk(Arc::clone(segment), bytes.len()),
            };
            let taken = chunk.buffer.fill(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
            let position = chunk.position + u64_from(chunk.buffer.len());
            let position = Position::new(u32::try_from(position).unwrap_or(u32::MAX));
            let done = bytes.is_empty();
            self.end = if done { end } else { Mark { position, ..self.end } };
            chunk.end = self.end;
            if chunk.buffer.len() == chunk.buffer.capacity() {
                self.full.push_back(chunk);
            } else {
                self.open = Some(chunk);
            }
        }
    }

    /// The segment is finished: what comes next starts at byte 0 of another one.
    pub(crate) fn finish_segment(&mut self, base: Offset) {
        self.asleep = None;
        self.full.extend(self.open.take().filter(|chunk| chunk.fresh_bytes() > 0));
        let start = Position::ZERO;
        self.end = Mark { offset: base, position: start, batch_end: start, ..self.end };
    }

    /// The next write, padded to whole blocks; its partial block is carried into the next one.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        if let Some(mut chunk) = self.full.pop_front() {
            self.bytes -= chunk.fresh_bytes();
            chunk.buffer.pad();
            return Some(chunk);
        }
        let mut chunk = self.open.take_if(|chunk| chunk.fresh_bytes() > 0)?;
        self.bytes -= chunk.fresh_bytes();
        let whole = chunk.buffer.len() - chunk.buffer.len() % BLOCK_BYTES;
        let partial = chunk.buffer.as_slice().get(whole..).unwrap_or_default();
        if !partial.is_empty() {
            let mut next = self.chunk(Arc::clone(&chunk.segment), chunk.buffer.len());
            next.buffer.fill(partial);
            next.carried = partial.len();
            next.position -= u64_from(partial.len());
            self.open = Some(next);
        }
        chunk.buffer.pad();
        Some(chunk)
    }

    /// Takes back the memory of a finished write.
    pub(crate) fn recycle(&mut self, mut buffer: AlignedBuf) {
        if buffer.capacity() == self.chunk_bytes && (self.bytes > 0 || self.spare.is_none()) {
            buffer.clear();
            self.spare = Some(buffer);
        }
    }

    /// Lets go of memory that an idle partition does not need.
    pub(crate) fn rest(&mut self) {
        if self.bytes == 0 {
            self.spare = None;
        }
    }

    /// Nothing came for a while: of the carried block only its bytes are kept.
    pub(crate) fn sleep(&mut self) {
        self.spare = None;
        if let Some(chunk) = self.open.take_if(|chunk| chunk.fresh_bytes() == 0) {
            let block = chunk.buffer.as_slice().into();
            self.asleep = Some(Asleep { segment: chunk.segment, block });
        }
    }

    /// Puts the carried block where the next bytes are added to it.
    fn wake(&mut self, bytes: usize) {
        if let Some(Asleep { segment, block }) = self.asleep.take() {
            let mut chunk = self.chunk(segment, bytes);
            chunk.buffer.fill(&block);
            chunk.carried = block.len();
            chunk.position -= u64_from(block.len());
            self.open = Some(chunk);
        }
    }

    /// Forgets everything that waits: the partition is offline.
    pub(crate) fn clear(&mut self) {
        self.full.clear();
        self.asleep = None;
        self.open = None;
        self.spare = None;
        self.bytes = 0;
    }

    /// An empty chunk at the current end, sized by how much is on its way.
    fn chunk(&mut self, segment: Arc<Segment>, bytes: usize) -> Chunk {
        let busy = bytes > CHUNK_BYTES_MIN / 2 || self.bytes > CHUNK_BYTES_MIN;
        let buffer = match self.spare.take() {
            Some(buffer) => buffer,
            None if busy => AlignedBuf::with_capacity(self.chunk_bytes),
            None => AlignedBuf::with_capacity(CHUNK_BYTES_MIN.min(self.chunk_bytes)),
        };
        let position = u64_from(usize_from_u32(self.end.position.get()));
        Chunk { segment, position, buffer, end: self.end, carried: 0 }
    }
}
