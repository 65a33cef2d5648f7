//! Timestamp → offset, sparse (Kafka `TimeIndex`).
//!
//! ```text
//!   entry   0                  8            12
//!           ├ timestamp        ┼ relative   ┤   the largest timestamp so far, and the last offset
//!                                               of the batch it came in first
//! ```
//!
//! An entry comes with an offset index entry, and once more when the segment is finished. One that
//! does not rise above the last is left out, so timestamps rise strictly whatever records say, and
//! every record before an entry's batch is older than its timestamp.

use super::entries::Entries;
use crate::disk::Mapping;
use crate::ids::{Offset, TimestampMs};

const ENTRY_BYTES: usize = 12;

/// Entries a file of Kafka's default size holds (`segment.index.bytes` = 10 MiB).
const ENTRIES_MAX: usize = 10 * 1024 * 1024 / ENTRY_BYTES;

/// A timestamp and the last offset of the batch that has it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    pub(crate) timestamp: TimestampMs,
    pub(crate) offset: Offset,
}

/// The time index of one segment.
#[derive(Debug)]
pub(crate) struct TimeIndex {
    base: Offset,
    entries: Entries<ENTRY_BYTES>,
    /// The largest timestamp of the segment; below zero if none has one.
    max: Stamp,
}

fn entry(timestamp: TimestampMs, relative: u32) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    let bytes = timestamp.get().to_be_bytes().into_iter().chain(relative.to_be_bytes());
    for (target, byte) in entry.iter_mut().zip(bytes) {
        *target = byte;
    }
    entry
}

fn parts(entry: [u8; ENTRY_BYTES]) -> (TimestampMs, u32) {
    let timestamp = entry.first_chunk().map_or(-1, |bytes| i64::from_be_bytes(*bytes));
    let relative = entry.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (TimestampMs::new(timestamp), relative)
}

impl TimeIndex {
    /// No entries.
    pub(crate) const fn new(base: Offset) -> Self {
        let max = Stamp { timestamp: TimestampMs::NONE, offset: base };
        Self { base, entries: Entries::new(), max }
    }

    /// Takes over a file's bytes; `None` if they cannot be the time index of a segment that ends
    /// before `next`.
    pub(crate) fn parse(base: Offset, bytes: Mapping, next: Offset) -> Option<Self> {
        let (chunks, rest) = bytes.as_bytes().as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || chunks.len() > ENTRIES_MAX {
            return None;
        }
        let mut last = (TimestampMs::NONE, None);
        for chunk in chunks {
            let (timestamp, relative) = parts(*chunk);
            let rises =
                timestamp > last.0 && last.1.is_none_or(|below| below < i64::from(relative));
            if !rises || i64::from(relative) >= next.since(base) {
                return None;
            }
            last = (timestamp, Some(i64::from(relative)));
        }
        let offset = base.checked_add(last.1.unwrap_or_default())?;
        let max = Stamp { timestamp: last.0, offset };
        Some(Self { base, entries: Entries::Stored(bytes), max })
    }

    /// The file's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.entries.to_bytes()
    }

    /// The file's bytes for a log that ends at `next`: entries that name later batches left out.
    pub(crate) fn bytes_before(&self, next: Offset) -> Vec<u8> {
        let entries = self.entries.as_slice();
        let relative = next.since(self.base);
        let len = entries.partition_point(|entry| i64::from(parts(*entry).1) < relative);
        entries.get(..len).unwrap_or_default().as_flattened().to_vec()
    }

    /// No entries yet, but the largest timestamp of the segment is known.
    pub(crate) const fn unread(base: Offset, max: Stamp) -> Self {
        Self { base, entries: Entries::new(), max }
    }

    /// Whether no further entry fits but the one that every segment ends with.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.as_slice().len() >= ENTRIES_MAX - 1
    }

    /// An append whose largest timestamp came first in the batch that ends with `stamp.offset`.
    pub(crate) fn on_append(&mut self, stamp: Stamp, entered: bool) {
        if stamp.timestamp > self.max.timestamp {
            self.max = stamp;
        }
        if entered && !self.is_full() {
            self.enter();
        }
    }

    /// The segment takes no more appends: its largest timestamp is the last entry.
    pub(crate) fn finish(&mut self) {
        self.enter();
    }

    /// The largest timestamp so far; below zero if there is none.
    pub(crate) const fn max(&self) -> Stamp {
        self.max
    }

    /// The greatest entry at or below `target`: all records before its batch are older than it.
    pub(crate) fn lookup(&self, target: TimestampMs) -> Option<Stamp> {
        let entries = self.entries.as_slice();
        let after = entries.partition_point(|entry| parts(*entry).0 <= target);
        self.stamp(after.checked_sub(1)?)
    }

    /// The last entry whose batch ends below `offset`.
    pub(crate) fn before(&self, offset: Offset) -> Option<Stamp> {
        let relative = offset.since(self.base);
        let entries = self.entries.as_slice();
        let after = entries.partition_point(|entry| i64::from(parts(*entry).1) < relative);
        self.stamp(after.checked_sub(1)?)
    }

    fn stamp(&self, index: usize) -> Option<Stamp> {
        let (timestamp, relative) = parts(*self.entries.as_slice().get(index)?);
        Some(Stamp { timestamp, offset: self.base.checked_add(i64::from(relative))? })
    }

    fn enter(&mut self) {
        let last =
            self.entries.as_slice().last().map_or(TimestampMs::NONE, |entry| parts(*entry).0);
        if self.max.timestamp > last
            && let Ok(relative) = u32::try_from(self.max.offset.since(self.base))
        {
            self.entries.push(entry(self.max.timestamp, relative));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    fn stamp(timestamp: i64, offset: i64) -> Stamp {
        Stamp { timestamp: TimestampMs::new(timestamp), offset: at(offset) }
    }

    fn index(appends: &[(i64, i64)]) -> TimeIndex {
        let mut index = TimeIndex::new(at(100));
        for (timestamp, offset) in appends {
            index.on_append(stamp(*timestamp, *offset), true);
        }
        index
    }

    #[test]
    fn a27_what_does_not_rise_is_left_out_and_the_last_entry_always_fits() {
        let mut index = index(&[(10, 100), (10, 101), (9, 102), (-1, 103), (20, 104)]);
        let bytes: Vec<u8> =
            [entry(TimestampMs::new(10), 0), entry(TimestampMs::new(20), 4)].concat();
        assert_eq!(index.to_bytes(), bytes);
        index.on_append(stamp(30, 109), false);
        assert_eq!(index.max(), stamp(30, 109));
        index.finish();
        index.finish();
        assert_eq!(index.to_bytes().len(), 3 * ENTRY_BYTES);
    }

    #[test]
    fn looks_up_the_greatest_entry_at_or_below() {
        let index = index(&[(10, 100), (20, 104), (30, 107)]);
        assert_eq!(index.lookup(TimestampMs::new(9)), None);
        assert_eq!(index.lookup(TimestampMs::new(10)), Some(stamp(10, 100)));
        assert_eq!(index.lookup(TimestampMs::new(29)), Some(stamp(20, 104)));
        assert_eq!(index.lookup(TimestampMs::new(i64::MAX)), Some(stamp(30, 107)));
        assert_eq!(index.before(at(107)), Some(stamp(20, 104)));
        assert_eq!(index.before(at(100)), None);
    }

    #[test]
    fn an_index_full_but_for_one_entry_takes_only_the_last() {
        let mut index = TimeIndex::new(at(0));
        for number in 0..i64::try_from(ENTRIES_MAX).unwrap() + 5 {
            index.on_append(stamp(number, number), true);
        }
        assert!(index.is_full());
        assert_eq!(index.to_bytes().len(), (ENTRIES_MAX - 1) * ENTRY_BYTES);
        index.finish();
        assert_eq!(index.to_bytes().len(), ENTRIES_MAX * ENTRY_BYTES);
    }

    #[test]
    fn row_84_timestamps_below_zero_leave_no_entry() {
        let mut index = index(&[(i64::MIN, 100), (-1, 101), (-5, 102)]);
        index.finish();
        assert!(index.to_bytes().is_empty());
        assert_eq!(index.max().timestamp, TimestampMs::NONE);
        index.on_append(stamp(i64::MAX, 103), true);
        assert_eq!(index.lookup(TimestampMs::new(i64::MAX)), Some(stamp(i64::MAX, 103)));
    }

    #[test]
    fn row_65_bytes_that_are_no_time_index_of_this_log_are_refused() {
        let parse = |entries: &[(i64, u32)]| {
            let bytes = entries
                .iter()
                .flat_map(|(time, relative)| entry(TimestampMs::new(*time), *relative));
            TimeIndex::parse(at(100), Mapping::copied(bytes.collect()), at(110))
        };
        assert_eq!(parse(&[(5, 1), (7, 9)]).unwrap().max(), stamp(7, 109));
        assert!(parse(&[(5, 1), (5, 9)]).is_none(), "the same time twice");
        assert!(parse(&[(5, 9), (6, 9)]).is_none(), "the same batch twice");
        assert!(parse(&[(5, 1), (7, 10)]).is_none(), "beyond the log");
        assert!(parse(&[(-1, 1)]).is_none(), "no timestamp");
        assert!(parse(&[(5, 1), (0, 0)]).is_none(), "a zero tail");
        let odd = TimeIndex::parse(at(0), Mapping::copied(vec![0; 11]), at(1));
        assert!(odd.is_none(), "not whole entries");
    }
}
