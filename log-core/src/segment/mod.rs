//! One segment: a `.log` of batches, its indexes, and the ways to read and repair them.
//!
//! ```text
//!   <topic>-<n>/00000000000000000042.log         batches from offset 42 on; zeros behind the end
//!               00000000000000000042.index       offset → position, sparse; a cache, never evidence
//!               00000000000000000042.timeindex   timestamp → offset, likewise
//!               00000000000000000042.txnindex    aborted transactions, if any
//!               00000000000000000042.seal        what the files above are, once they are finished
//!               00000000000000000042.snapshot, .producers       the producers below offset 42
//!               oncelog.watermark                how far the partition is known durable (S5)
//! ```
//!
//! Invariants:
//! 1. The first batch's base offset is the segment's; each batch starts where the last one ended.
//! 2. A sealed segment never changes, and its file ends with its last batch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};

use self::indexes::Indexed;
use self::seal::{Identity, Seal};
use self::time_index::Stamp;
use self::walk::Walk;
use crate::disk::{Directory, File};
use crate::ids::{Offset, Position, TimestampMs};
use crate::model::observed::Observed;
use crate::model::producers::ProducerBatch;

pub(crate) mod checkpoint;
pub(crate) mod entries;
pub(crate) mod files;
pub(crate) mod indexes;
pub(crate) mod meter;
pub(crate) mod offset_index;
pub(crate) mod recover;
pub(crate) mod replace;
pub(crate) mod resync;
pub(crate) mod seal;
pub(crate) mod snapshots;
pub(crate) mod time_index;
pub(crate) mod transaction_index;
pub(crate) mod walk;
pub(crate) mod watermark;

pub(crate) use indexes::Indexes;

/// One segment, active or sealed.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    path: PathBuf,
    file: Arc<dyn File>,
    index: RwLock<Indexes>,
    /// Batches that start below may leave offsets out: another program wrote them (S10).
    gaps_below: Offset,
    /// Where the last batch ends, once no more will be appended; `u32::MAX` before.
    end: AtomicU32,
    /// Set when its files are about to go, so that no index file is put in place for it any more;
    /// held while one is.
    gone: Mutex<bool>,
}

const ACTIVE: u32 = u32::MAX;

impl Segment {
    /// A segment that takes appends.
    pub(crate) fn active(base: Offset, path: PathBuf, file: Arc<dyn File>, index: Indexes) -> Self {
        let (index, end) = (RwLock::new(index), AtomicU32::new(ACTIVE));
        let (gaps_below, gone) = (Offset::ZERO, Mutex::new(false));
        Self { base, path, file, index, gaps_below, end, gone }
    }

    /// The same, but that batches which start below `offset` may leave offsets out.
    pub(crate) const fn with_gaps_below(mut self, offset: Offset) -> Self {
        self.gaps_below = offset;
        self
    }

    /// The same of one that nobody else has yet.
    pub(crate) const fn set_gaps_below(&mut self, offset: Offset) {
        self.gaps_below = offset;
    }

    pub(crate) const fn gaps_below(&self) -> Offset {
        self.gaps_below
    }

    /// A walk over its batches from `from` to `limit`, the first of which is at `expected`, where
    /// known.
    pub(crate) fn walk(&self, from: Position, limit: u64, expected: Option<Offset>) -> Walk<'_> {
        Walk::new(&*self.file, from, limit, expected).gaps_below(self.gaps_below)
    }

    /// Says that the last batch ends at `end` and no more will come.
    pub(crate) fn finish(&self, end: Position) {
        // Release: pairs with the Acquire in `end`, so that who sees the end sees the index.
        self.end.store(end.get(), Ordering::Release);
    }

    /// Where the last batch ends, if no more will come.
    pub(crate) fn end(&self) -> Option<Position> {
        let end = self.end.load(Ordering::Acquire);
        (end != ACTIVE).then(|| Position::new(end))
    }

    /// The largest timestamp in it, negative if it has none.
    pub(crate) fn largest_timestamp(&self) -> TimestampMs {
        self.index.read().times().max().timestamp
    }

    /// Its files are about to be cut or removed: from now on none is written for it. Waits for the
    /// one that is being written.
    pub(crate) fn let_go(&self) {
        *self.gone.lock() = true;
    }

    pub(crate) const fn base(&self) -> Offset {
        self.base
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Reads the indexes if nobody has yet: from their files, as far as the seal vouches for them,
    /// or anew from the log, which puts files in place that are as they should be. `earlier` are the
    /// segments before it, in order: a transaction may have begun there.
    pub(crate) fn read_indexes(
        &self,
        directory: &dyn Directory,
        interval: u32,
        earlier: &[Arc<Self>],
    ) {
        let Some((seal, identity)) = self.index.read().still_unread() else { return };
        let indexes = match Indexes::load(directory, &self.path, &seal) {
            Some(indexes) => indexes,
            None => self.rebuild_indexes(directory, seal, identity, interval, earlier),
        };
        let mut index = self.index.write();
        if index.still_unread().is_some() {
            *index = indexes;
        }
    }

    /// Indexes made from the log. Where the log cannot be read to its end, they end there: reading
    /// on meets the same place and names it.
    fn rebuild_indexes(
        &self,
        directory: &dyn Directory,
        seal: Seal,
        identity: Identity,
        interval: u32,
        earlier: &[Arc<Self>],
    ) -> Indexes {
        let mut observed = Observed::default();
        if seal.txns.is_some() {
            for segment in earlier {
                segment.observe(&mut observed);
            }
        }
        let mut indexes = Indexes::new(self.base);
        let mut walk = self.walk(Position::ZERO, seal.log.bytes, Some(self.base));
        while let Ok((position, batch)) = walk.next() {
            let (base, last) = (batch.base_offset(), batch.last_offset());
            let stamp = Stamp { timestamp: batch.max_timestamp(), offset: last };
            let bytes = batch.batch_bytes();
            indexes.on_append(&Indexed { last, position, bytes, stamp }, interval);
            if seal.txns.is_some()
                && let Ok(Some(batch)) = ProducerBatch::of(&batch)
                && let Some(ended) = observed.see(&batch, base)
            {
                indexes.on_end(&ended);
            }
        }
        if walk.position() == seal.log.bytes {
            indexes.finish();
            let bytes = indexes.to_bytes();
            let (index, times, txns) = bytes.sums();
            let seal = Seal { index, times, txns, largest: indexes.times().max(), ..seal };
            let gone = self.gone.lock();
            if !*gone {
                // Caches, all of them: where they cannot be written, the next reader makes them again.
                let _written = seal.put(directory, &self.path, identity, &bytes);
            }
        }
        indexes
    }

    /// Shows `observed` every batch that can be read.
    fn observe(&self, observed: &mut Observed) {
        let Some(end) = self.end() else { return };
        let mut walk = self.walk(Position::ZERO, end.get().into(), Some(self.base));
        while let Ok((_, view)) = walk.next() {
            if let Ok(Some(batch)) = ProducerBatch::of(&view) {
                observed.see(&batch, view.base_offset());
            }
        }
    }

    pub(crate) const fn index(&self) -> &RwLock<Indexes> {
        &self.index
    }
}
