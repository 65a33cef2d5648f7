//! Offset → position, sparse (Kafka `OffsetIndex`).
//!
//! ```text
//!   entry   0            4            8
//!           ├ relative   ┼ position   ┤   the append that began at `position` ended with offset
//!                                         base + relative
//! ```
//!
//! An entry follows an append call, and only once more than `interval` bytes came since the last
//! one (spec A.10). Entries are hints: whoever follows one checks what stands there.

use super::entries::Entries;
use crate::disk::Mapping;
use crate::ids::{Offset, Position};
use crate::int::low_u32;

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
#[derive(Debug)]
pub(crate) struct OffsetIndex {
    base: Offset,
    entries: Entries<ENTRY_BYTES>,
    bytes_since_entry: u64,
}

fn entry(relative: u32, position: Position) -> [u8; ENTRY_BYTES] {
    (u64::from(relative) << 32 | u64::from(position.get())).to_be_bytes()
}

const fn parts(entry: [u8; ENTRY_BYTES]) -> (u32, Position) {
    let bits = u64::from_be_bytes(entry);
    (low_u32(bits >> 32), Position::new(low_u32(bits)))
}

impl OffsetIndex {
    /// No entries.
    pub(crate) const fn new(base: Offset) -> Self {
        Self { base, entries: Entries::new(), bytes_since_entry: 0 }
    }

    /// Takes over a file's bytes; `None` if they cannot be this segment's index.
    pub(crate) fn parse(base: Offset, bytes: Mapping, log_end: Position) -> Option<Self> {
        let (chunks, rest) = bytes.as_bytes().as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() || chunks.len() > ENTRIES_MAX {
            return None;
        }
        let mut last: Option<(u32, Position)> = None;
        for chunk in chunks {
            let (relative, position) = parts(*chunk);
            let rises = last.is_none_or(|(below, before)| below < relative && before < position);
            if !rises || position >= log_end || i32::try_from(relative).is_err() {
                return None;
            }
            last = Some((relative, position));
        }
        // What came since the last entry's append began, that append included: as if never closed.
        let since = last.map_or(0, |(_, position)| position.get());
        let bytes_since_entry = u64::from(log_end.get() - since);
        Some(Self { base, entries: Entries::Stored(bytes), bytes_since_entry })
    }

    /// The file's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.entries.to_bytes()
    }

    /// The file's bytes as they were when the log ended at `end`.
    pub(crate) fn bytes_before(&self, end: Position) -> Vec<u8> {
        let entries = self.entries.as_slice();
        let len = entries.partition_point(|entry| parts(*entry).1 < end);
        entries.get(..len).unwrap_or_default().as_flattened().to_vec()
    }

    /// Whether no further entry fits.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.as_slice().len() >= ENTRIES_MAX
    }

    /// An append of `bytes` that began at `position` and ended with `last`. Returns whether it got
    /// an entry.
    pub(crate) fn on_append(
        &mut self,
        last: Offset,
        position: Position,
        bytes: u32,
        interval: u32,
    ) -> bool {
        let due = self.bytes_since_entry > u64::from(interval) && !self.is_full();
        let relative = u32::try_from(last.since(self.base)).ok().filter(|_| due);
        if let Some(relative) = relative {
            self.entries.push(entry(relative, position));
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += u64::from(bytes);
        relative.is_some()
    }

    /// Where to start looking for `target`: the greatest entry at or below it, or the start.
    pub(crate) fn lookup(&self, target: Offset) -> Hint {
        let relative = target.since(self.base);
        let entries = self.entries.as_slice();
        let after = entries.partition_point(|entry| i64::from(parts(*entry).0) <= relative);
        self.hint(after)
    }

    fn hint(&self, after: usize) -> Hint {
        match after.checked_sub(1).and_then(|last| self.entries.as_slice().get(last)) {
            Some(found) => {
                let (relative, position) = parts(*found);
                Hint { offset: self.base.checked_add(i64::from(relative)), position }
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

    fn of(base: i64, entries: &[(u32, u32)]) -> OffsetIndex {
        let bytes: Vec<u8> = entries
            .iter()
            .flat_map(|(relative, position)| entry(*relative, Position::new(*position)))
            .collect();
        OffsetIndex::parse(at(base), Mapping::copied(bytes), Position::new(1 << 20)).unwrap()
    }

    #[test]
    fn a36_an_entry_comes_with_the_append_after_the_interval_is_exceeded() {
        let mut index = OffsetIndex::new(at(0));
        let entered: Vec<u32> = (0..20_u32)
            .filter(|append| {
                index.on_append(at((*append).into()), Position::new(append * 500), 500, 4096)
            })
            .collect();
        assert_eq!(entered, [9, 18]);
        assert_eq!(index.to_bytes(), of(0, &[(9, 4500), (18, 9000)]).to_bytes());
    }

    #[test]
    fn looks_up_the_greatest_entry_at_or_below() {
        let index = of(100, &[(5, 10), (9, 20)]);
        assert_eq!(index.lookup(at(104)), Hint { offset: None, position: Position::ZERO });
        assert_eq!(index.lookup(at(105)).position, Position::new(10));
        assert_eq!(index.lookup(at(108)).offset, Some(at(105)));
        assert_eq!(index.lookup(at(1_000)).position, Position::new(20));
    }

    #[test]
    fn an_index_read_back_goes_on_where_it_ended() {
        let mut one = OffsetIndex::new(at(0));
        for append in 0..12_u32 {
            one.on_append(at(append.into()), Position::new(append * 500), 500, 4096);
        }
        let bytes = Mapping::copied(one.to_bytes());
        let mut other = OffsetIndex::parse(at(0), bytes, Position::new(6000)).unwrap();
        for append in 12..40_u32 {
            let one = one.on_append(at(append.into()), Position::new(append * 500), 500, 4096);
            let other = other.on_append(at(append.into()), Position::new(append * 500), 500, 4096);
            assert_eq!(one, other, "{append}");
        }
        assert_eq!(one.to_bytes(), other.to_bytes());
    }

    #[test]
    fn row_65_bytes_that_are_no_index_of_this_log_are_refused() {
        let index = |bytes: &[u8]| {
            OffsetIndex::parse(at(0), Mapping::copied(bytes.to_vec()), Position::new(1000))
        };
        assert!(index(&[0; 7]).is_none(), "not whole entries");
        assert!(index(&[0; 16]).is_none(), "not rising: a zero tail");
        assert!(index(&[0, 0, 0, 1, 0, 0, 3, 0xE8]).is_none(), "beyond the log");
        assert!(index(&[0x80, 0, 0, 1, 0, 0, 0, 1]).is_none(), "negative");
    }
}
