//! Offset → position, sparse, in memory while the segment is in use (Kafka `OffsetIndex`).
//!
//! ```text
//!   entry   0            4            8
//!           ├ relative   ┼ position   ┤   the append that began at `position` ended with offset
//!                                         base + relative
//! ```
//!
//! An entry follows an append call, and only once more than `interval` bytes came since the last
//! one (spec A.10). Entries are hints: whoever follows one checks what stands there.

use crate::ids::{Offset, Position};

const ENTRY_BYTES: usize = 8;

/// Entries a file of Kafka's default size holds (`segment.index.bytes` = 10 MiB).
const ENTRIES_MAX: usize = 10 * 1024 * 1024 / ENTRY_BYTES;

/// A hint: data that ends with `offset` begins at `position`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Hint {
    /// Last offset of what begins at `position`; `None` for the start of the segment.
    pub(crate) offset: Option<Offset>,
    pub(crate) position: Position,
}

/// The index of one segment.
#[derive(Clone, Debug)]
pub(crate) struct OffsetIndex {
    base: Offset,
    entries: Vec<(u32, Position)>,
    bytes_since_entry: u64,
}

impl OffsetIndex {
    /// No entries.
    pub(crate) const fn new(base: Offset) -> Self {
        Self { base, entries: Vec::new(), bytes_since_entry: 0 }
    }

    /// Reads a file's bytes; `None` if they cannot be this segment's index.
    pub(crate) fn parse(base: Offset, bytes: &[u8], log_end: Position) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || chunks.len() > ENTRIES_MAX {
            return None;
        }
        let mut index = Self::new(base);
        for [a, b, c, d, e, f, g, h] in chunks {
            let relative = u32::from_be_bytes([*a, *b, *c, *d]);
            let position = Position::new(u32::from_be_bytes([*e, *f, *g, *h]));
            let rises =
                index.entries.last().is_none_or(|(last, at)| *last < relative && *at < position);
            if !rises || position >= log_end || i32::try_from(relative).is_err() {
                return None;
            }
            index.entries.push((relative, position));
        }
        // What came since the last entry's append began, that append included: as if never closed.
        let since = index.entries.last().map_or(0, |(_, position)| position.get());
        index.bytes_since_entry = u64::from(log_end.get() - since);
        Some(index)
    }

    /// The file's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * ENTRY_BYTES);
        for (relative, position) in &self.entries {
            bytes.extend_from_slice(&relative.to_be_bytes());
            bytes.extend_from_slice(&position.get().to_be_bytes());
        }
        bytes
    }

    /// Whether no further entry fits.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    /// An append of `bytes` that began at `position` and ended with `last`.
    pub(crate) fn on_append(
        &mut self,
        last: Offset,
        position: Position,
        bytes: u32,
        interval: u32,
    ) {
        if self.bytes_since_entry > u64::from(interval)
            && let Ok(relative) = u32::try_from(last.since(self.base))
            && !self.is_full()
        {
            self.entries.push((relative, position));
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += u64::from(bytes);
    }

    /// Where to start looking for `target`: the greatest entry at or below it, or the start.
    pub(crate) fn lookup(&self, target: Offset) -> Hint {
        let relative = target.since(self.base);
        let after = self.entries.partition_point(|(entry, _)| i64::from(*entry) <= relative);
        match after.checked_sub(1).and_then(|last| self.entries.get(last)) {
            Some((entry, position)) => {
                Hint { offset: self.base.checked_add(i64::from(*entry)), position: *position }
            }
            None => Hint { offset: None, position: Position::ZERO },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    #[test]
    fn an_entry_comes_with_the_append_after_the_interval_is_exceeded() {
        let mut index = OffsetIndex::new(at(0));
        for append in 0..20_u32 {
            index.on_append(at(append.into()), Position::new(append * 500), 500, 4096);
        }
        assert_eq!(index.entries, [(9, Position::new(4500)), (18, Position::new(9000))]);
    }

    #[test]
    fn looks_up_the_greatest_entry_at_or_below() {
        let mut index = OffsetIndex::new(at(100));
        index.entries = vec![(5, Position::new(10)), (9, Position::new(20))];
        assert_eq!(index.lookup(at(104)), Hint { offset: None, position: Position::ZERO });
        assert_eq!(index.lookup(at(105)).position, Position::new(10));
        assert_eq!(index.lookup(at(108)).offset, Some(at(105)));
        assert_eq!(index.lookup(at(1_000)).position, Position::new(20));
        let read = OffsetIndex::parse(at(100), &index.to_bytes(), Position::new(21)).unwrap();
        assert_eq!(read.entries, index.entries);
    }

    #[test]
    fn bytes_that_are_no_index_of_this_log_are_refused() {
        let index = |bytes: &[u8]| OffsetIndex::parse(at(0), bytes, Position::new(1000));
        assert!(index(&[0; 7]).is_none(), "not whole entries");
        assert!(index(&[0; 16]).is_none(), "not rising: a zero tail");
        assert!(index(&[0, 0, 0, 1, 0, 0, 3, 0xE8]).is_none(), "beyond the log");
        assert!(index(&[0x80, 0, 0, 1, 0, 0, 0, 1]).is_none(), "negative");
    }
}
