//! The indexes of a segment: two sparse ones, which get their entries together, and the aborted
//! transactions.
//!
//! ```text
//!   append call ─▶ largest timestamp so far ─▶ more than `interval` bytes since the last entry?
//!                                              offset entry and time entry, then count its bytes
//!   marker      ─▶ it aborts what has batches? an entry of the transaction index
//! ```

use std::io;
use std::path::Path;

use super::files::remove_file;
use super::offset_index::{Hint, OffsetIndex};
use super::replace::read_small;
use super::seal::{FileSum, Identity, Seal};
use super::time_index::{Stamp, TimeIndex};
use super::transaction_index::TransactionIndex;
use crate::disk::{Directory, Mapping, Open};
use crate::format::{FileKind, segment_file_name};
use crate::ids::{Offset, Position, TimestampMs};
use crate::model::transactions::CompletedTransaction;

/// What the indexes learn of one append call, or of one batch when they are built anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Indexed {
    /// The last offset.
    pub(crate) last: Offset,
    /// Where it begins in the file.
    pub(crate) position: Position,
    pub(crate) bytes: u32,
    /// Its largest timestamp.
    pub(crate) stamp: Stamp,
}

/// The indexes of one segment.
#[derive(Debug)]
pub(crate) struct Indexes {
    offsets: OffsetIndex,
    times: TimeIndex,
    transactions: TransactionIndex,
    /// The largest timestamp of the first append: what a roll by time counts from.
    first_timestamp: Option<TimestampMs>,
    /// Set while the entries still stand in the files only, which hold what this says.
    unread: Option<(Seal, Identity)>,
}

impl Indexes {
    /// Without entries.
    pub(crate) const fn new(base: Offset) -> Self {
        Self::of(OffsetIndex::new(base), TimeIndex::new(base), TransactionIndex::new(), None)
    }

    const fn of(
        offsets: OffsetIndex,
        times: TimeIndex,
        transactions: TransactionIndex,
        first_timestamp: Option<TimestampMs>,
    ) -> Self {
        Self { offsets, times, transactions, first_timestamp, unread: None }
    }

    /// Those of a segment that nobody has asked yet: read when somebody does.
    pub(crate) fn unread(seal: Seal, identity: Identity) -> Self {
        let times = TimeIndex::unread(seal.base, seal.largest);
        let mut indexes = Self::new(seal.base);
        indexes.times = times;
        indexes.first_timestamp = seal.first_timestamp;
        indexes.unread = Some((seal, identity));
        indexes
    }

    /// What the files are to hold, while they are unread.
    pub(crate) const fn still_unread(&self) -> Option<(Seal, Identity)> {
        self.unread
    }

    pub(crate) const fn first_timestamp(&self) -> Option<TimestampMs> {
        self.first_timestamp
    }

    pub(crate) const fn times(&self) -> &TimeIndex {
        &self.times
    }

    pub(crate) const fn transactions(&self) -> &TransactionIndex {
        &self.transactions
    }

    /// Those that the files beside the segment file `log` hold; `None` unless they are what `seal`
    /// says.
    pub(crate) fn load(directory: &dyn Directory, log: &Path, seal: &Seal) -> Option<Self> {
        let end = Position::new(u32::try_from(seal.log.bytes).ok()?);
        let offsets = load(directory, &log.with_extension("index"), seal.index)?;
        let times = load(directory, &log.with_extension("timeindex"), seal.times)?;
        let offsets = OffsetIndex::parse(seal.base, offsets, end)?;
        let times = TimeIndex::parse(seal.base, times, seal.next)?;
        let transactions = match seal.txns {
            Some(sum) => {
                let bytes = load(directory, &log.with_extension("txnindex"), sum)?;
                TransactionIndex::parse(seal.base, bytes, seal.next)?
            }
            None => TransactionIndex::new(),
        };
        let agree = times.max().timestamp == seal.largest.timestamp;
        agree.then_some(Self::of(offsets, times, transactions, seal.first_timestamp))
    }

    /// Those that the files beside `log` begin with, as far as `start` sums them; `None` if they
    /// are not so.
    pub(crate) fn start(directory: &dyn Directory, log: &Path, start: &Seal) -> Option<Self> {
        let end = Position::new(u32::try_from(start.log.bytes).ok()?);
        let offsets = prefix(directory, &log.with_extension("index"), start.index)?;
        let times = prefix(directory, &log.with_extension("timeindex"), start.times)?;
        let offsets = OffsetIndex::parse(start.base, offsets, end)?;
        let times = TimeIndex::parse(start.base, times, start.next)?;
        let transactions = match start.txns {
            Some(sum) => {
                let bytes = prefix(directory, &log.with_extension("txnindex"), sum)?;
                TransactionIndex::parse(start.base, bytes, start.next)?
            }
            None => TransactionIndex::new(),
        };
        Some(Self::of(offsets, times, transactions, start.first_timestamp))
    }

    /// The files' bytes.
    pub(crate) fn to_bytes(&self) -> IndexBytes {
        IndexBytes {
            offsets: self.offsets.to_bytes(),
            times: self.times.to_bytes(),
            transactions: self.transactions.to_bytes(),
        }
    }

    /// The files' bytes for a log that ends at `end`, before offset `next`.
    pub(crate) fn bytes_before(&self, end: Position, next: Offset) -> IndexBytes {
        IndexBytes {
            offsets: self.offsets.bytes_before(end),
            times: self.times.bytes_before(next),
            transactions: self.transactions.bytes_before(next),
        }
    }

    /// Takes in a batch that has its entries already, as far as it gets some.
    pub(crate) fn recount(&mut self, batch: &Indexed) {
        self.times.on_append(batch.stamp, false);
    }

    /// Whether one of them has no room: the segment is full.
    pub(crate) fn is_full(&self) -> bool {
        self.offsets.is_full() || self.times.is_full()
    }

    /// Takes in one append.
    pub(crate) fn on_append(&mut self, append: &Indexed, interval: u32) {
        let Indexed { last, position, bytes, stamp } = *append;
        let entered = self.offsets.on_append(last, position, bytes, interval);
        self.times.on_append(stamp, entered);
        self.first_timestamp.get_or_insert(stamp.timestamp);
    }

    /// A marker in the segment has ended a transaction.
    pub(crate) fn on_end(&mut self, ended: &CompletedTransaction) {
        self.transactions.on_end(ended);
    }

    /// The segment takes no more appends.
    pub(crate) fn finish(&mut self) {
        self.times.finish();
    }

    /// Where to start looking for `target`.
    pub(crate) fn lookup(&self, target: Offset) -> Hint {
        self.offsets.lookup(target)
    }
}

/// What the index files of a segment hold.
#[derive(Debug)]
pub(crate) struct IndexBytes {
    offsets: Vec<u8>,
    times: Vec<u8>,
    transactions: Vec<u8>,
}

impl IndexBytes {
    /// The lengths and sums of the files, in the order of [`Self::files`]; where no transaction was
    /// aborted there is no third one.
    pub(crate) fn sums(&self) -> (FileSum, FileSum, Option<FileSum>) {
        let transactions = (!self.transactions.is_empty()).then(|| FileSum::of(&self.transactions));
        (FileSum::of(&self.offsets), FileSum::of(&self.times), transactions)
    }

    /// The files of segment `base`: their names and bytes.
    pub(crate) fn files(&self, base: Offset) -> impl Iterator<Item = (String, &[u8])> {
        let files = [
            (FileKind::OffsetIndex, &self.offsets),
            (FileKind::TimeIndex, &self.times),
            (FileKind::TxnIndex, &self.transactions),
        ];
        let there =
            |(kind, bytes): &(FileKind, &Vec<u8>)| *kind != FileKind::TxnIndex || !bytes.is_empty();
        let named = move |(kind, bytes)| (segment_file_name(base, kind), Vec::as_slice(bytes));
        files.into_iter().filter(there).map(named)
    }

    /// Removes the file of an older life that these have no successor of.
    pub(crate) fn forget_absent(
        &self,
        directory: &dyn Directory,
        dir: &Path,
        base: Offset,
    ) -> io::Result<()> {
        if self.transactions.is_empty() {
            remove_file(directory, &dir.join(segment_file_name(base, FileKind::TxnIndex)))?;
        }
        Ok(())
    }

    /// Their bytes together.
    pub(crate) const fn len(&self) -> usize {
        self.offsets.len() + self.times.len() + self.transactions.len()
    }
}

/// The first bytes of a file, if they are those that `sum` was taken of.
fn prefix(directory: &dyn Directory, path: &Path, sum: FileSum) -> Option<Mapping> {
    let mut bytes = read_small(directory, path).ok()??;
    let len = usize::try_from(sum.bytes).ok()?;
    (bytes.len() >= len).then(|| bytes.truncate(len))?;
    (FileSum::of(&bytes) == sum).then(|| Mapping::copied(bytes))
}

/// The bytes of a file, if they are those that `sum` was taken of.
fn load(directory: &dyn Directory, path: &Path, sum: FileSum) -> Option<Mapping> {
    let mapping = directory.open(path, Open::Read).ok()?.map(sum.bytes).ok()?;
    (FileSum::of(mapping.as_bytes()) == sum).then_some(mapping)
}
