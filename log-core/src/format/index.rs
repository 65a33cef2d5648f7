//! The offset index of a segment: from which byte of the `.log` file to look for an offset.
//!
//! ```text
//!   0                4         8                16
//!   ├ i32 offset − base ┼ i32 position ┼ next entry … ┤ zeros: room never used ┤
//! ```
//!
//! An entry says: at `position` begins appended data whose *last* offset is this one. So a lookup
//! takes the greatest entry at or below its target, or the front of the file. Entries rise strictly
//! in both columns; how dense they are means nothing. No checksum, no version: an index that does
//! not hold together is built again from the `.log` file. Source: Kafka `OffsetIndex`.

use crate::ids::{Offset, Position};
use crate::int;

/// Bytes of one entry.
pub const OFFSET_INDEX_ENTRY_BYTES: usize = 8;

const _: () = assert!(OFFSET_INDEX_ENTRY_BYTES == 2 * size_of::<i32>());

/// One entry of an offset index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OffsetIndexEntry {
    relative_offset: u32,
    position: Position,
}

impl OffsetIndexEntry {
    /// The entry of data that begins at `position` of the segment `base_offset` and whose last
    /// offset is `last_offset`. `None` if either does not fit in 31 bits, or the offset stands
    /// before the segment.
    #[must_use]
    pub fn new(base_offset: Offset, last_offset: Offset, position: Position) -> Option<Self> {
        let relative = i32::try_from(last_offset.since(base_offset)).ok()?;
        i32::try_from(position.get()).ok()?;
        Some(Self { relative_offset: u32::try_from(relative).ok()?, position })
    }

    /// Offsets from the segment's base offset to the data's last one, below 2^31.
    #[must_use]
    pub const fn relative_offset(self) -> u32 {
        self.relative_offset
    }

    /// The data's last offset in the segment `base_offset`; `None` past [`Offset::MAX`], where the
    /// entry belongs to another segment.
    #[must_use]
    pub fn last_offset(self, base_offset: Offset) -> Option<Offset> {
        base_offset.checked_add(self.relative_offset.into())
    }

    /// Where the data begins, below 2^31.
    #[must_use]
    pub const fn position(self) -> Position {
        self.position
    }

    /// The entry as the file holds it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; OFFSET_INDEX_ENTRY_BYTES] {
        let high = u64::from(self.relative_offset) << 32;
        (high | u64::from(self.position.get())).to_be_bytes()
    }

    /// Whether this entry may stand behind `previous`: both columns rise.
    #[must_use]
    pub fn may_follow(self, previous: Self) -> bool {
        self.relative_offset > previous.relative_offset && self.position > previous.position
    }

    fn from_bytes(bytes: [u8; OFFSET_INDEX_ENTRY_BYTES], entry: usize) -> Result<Self, IndexError> {
        let bits = u64::from_be_bytes(bytes);
        let (relative, position) =
            (int::low_u32(bits >> 32).cast_signed(), int::low_u32(bits).cast_signed());
        match (u32::try_from(relative), u32::try_from(position)) {
            (Ok(relative_offset), Ok(position)) => {
                Ok(Self { relative_offset, position: Position::new(position) })
            }
            _ => Err(IndexError::Negative { entry, relative_offset: relative, position }),
        }
    }

    const fn is_zero(self) -> bool {
        self.relative_offset == 0 && self.position.get() == 0
    }
}

/// Whether an index may end in room that was never used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "yes or no, by name")]
pub enum ZeroTail {
    /// No: the segment was sealed, and its index trimmed.
    Refused,
    /// Yes: the active segment's index is preallocated, and a crash leaves it so.
    Tolerated,
}

/// Why bytes are no offset index. The remedy is always to build it anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The file is not a whole number of entries.
    #[error("an offset index of {bytes} bytes is no multiple of 8: rebuild it from the log")]
    Length {
        /// Bytes of the file.
        bytes: usize,
    },
    /// An entry holds a negative number.
    #[error(
        "entry {entry} of the offset index is ({relative_offset}, {position}), below zero: rebuild it from the log"
    )]
    Negative {
        /// Which entry, from 0.
        entry: usize,
        /// Its first column.
        relative_offset: i32,
        /// Its second column.
        position: i32,
    },
    /// An entry does not rise above the one before it.
    #[error(
        "entry {entry} of the offset index is ({}, {}) behind ({}, {}): rebuild it from the log",
        .found.relative_offset, .found.position, .previous.relative_offset, .previous.position
    )]
    Order {
        /// Which entry, from 0.
        entry: usize,
        /// The one before it.
        previous: OffsetIndexEntry,
        /// What stands there.
        found: OffsetIndexEntry,
    },
    /// Behind a zero entry stands another that is not zero.
    #[error(
        "entry {entry} of the offset index stands behind room never used: rebuild it from the log"
    )]
    Tail {
        /// Which entry, from 0.
        entry: usize,
    },
}

/// Reads a whole index file.
///
/// # Errors
///
/// [`IndexError`] for the first entry that cannot be right.
pub fn parse_offset_index(
    bytes: &[u8],
    zero_tail: ZeroTail,
) -> Result<Vec<OffsetIndexEntry>, IndexError> {
    let (chunks, rest) = bytes.as_chunks::<OFFSET_INDEX_ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(IndexError::Length { bytes: bytes.len() });
    }
    let mut entries = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let found = OffsetIndexEntry::from_bytes(*chunk, index)?;
        if zero_tail == ZeroTail::Tolerated && found.is_zero() {
            return check_zero_tail(chunks, index).map(|()| entries);
        }
        if let Some(previous) = entries.last().copied().filter(|last| !found.may_follow(*last)) {
            return Err(IndexError::Order { entry: index, previous, found });
        }
        entries.push(found);
    }
    Ok(entries)
}

/// The bytes of an index file with these entries, whose order is the caller's care.
#[must_use]
pub fn encode_offset_index(entries: &[OffsetIndexEntry]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.to_bytes()).collect()
}

/// The greatest entry at or below `relative_offset`; `None` below the first: look from the front
/// of the file.
#[must_use]
pub fn lookup_offset(
    entries: &[OffsetIndexEntry],
    relative_offset: u32,
) -> Option<OffsetIndexEntry> {
    let above = entries.partition_point(|entry| entry.relative_offset <= relative_offset);
    entries.get(above.checked_sub(1)?).copied()
}

fn check_zero_tail(
    chunks: &[[u8; OFFSET_INDEX_ENTRY_BYTES]],
    first: usize,
) -> Result<(), IndexError> {
    let zero = [0; OFFSET_INDEX_ENTRY_BYTES];
    match chunks.iter().skip(first).position(|chunk| *chunk != zero) {
        Some(behind) => Err(IndexError::Tail { entry: first + behind }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(relative_offset: u32, position: u32) -> OffsetIndexEntry {
        let last = Offset::new(1000 + i64::from(relative_offset)).unwrap();
        OffsetIndexEntry::new(Offset::new(1000).unwrap(), last, Position::new(position)).unwrap()
    }

    #[test]
    fn an_entry_is_two_big_endian_numbers() {
        assert_eq!(entry(0x0102, 0x0304).to_bytes(), [0, 0, 1, 2, 0, 0, 3, 4]);
        let base = Offset::new(1000).unwrap();
        assert_eq!(entry(5, 9).last_offset(base), Offset::new(1005));
        assert_eq!(entry(5, 9).last_offset(Offset::MAX), None);
    }

    #[test]
    fn what_does_not_fit_in_31_bits_is_no_entry() {
        let base = Offset::new(1000).unwrap();
        let new = |offset, position| {
            OffsetIndexEntry::new(base, Offset::new(offset).unwrap(), Position::new(position))
        };
        let limit = 1000 + i64::from(i32::MAX);
        assert!(new(limit, 0x7FFF_FFFF).is_some());
        assert_eq!(new(limit + 1, 1), None);
        assert_eq!(new(999, 1), None);
        assert_eq!(new(1001, 0x8000_0000), None);
    }

    #[test]
    fn an_entry_at_or_below_the_last_is_an_error() {
        for (second, third) in
            [((20, 200), (20, 300)), ((20, 200), (19, 300)), ((20, 200), (21, 200))]
        {
            let entries = [entry(10, 100), entry(second.0, second.1), entry(third.0, third.1)];
            let found = parse_offset_index(&encode_offset_index(&entries), ZeroTail::Tolerated);
            let [_, previous, found_third] = entries;
            let error = IndexError::Order { entry: 2, previous, found: found_third };
            assert_eq!(found, Err(error));
        }
    }

    #[test]
    fn a_lookup_takes_the_greatest_entry_at_or_below() {
        let entries: Vec<_> = (1..=30).map(|n| entry(n * 10, n * 4096)).collect();
        assert_eq!(lookup_offset(&entries, 9), None);
        assert_eq!(lookup_offset(&entries, 10), Some(entry(10, 4096)));
        assert_eq!(lookup_offset(&entries, 19), Some(entry(10, 4096)));
        assert_eq!(lookup_offset(&entries, u32::MAX), Some(entry(300, 30 * 4096)));
        assert_eq!(lookup_offset(&[], 5), None);
    }

    #[test]
    fn a_zero_tail_is_room_only_where_it_may_be() {
        let mut bytes = encode_offset_index(&[entry(10, 100)]);
        bytes.extend_from_slice(&[0; 24]);
        let tolerated = parse_offset_index(&bytes, ZeroTail::Tolerated);
        assert_eq!(tolerated, Ok(vec![entry(10, 100)]));
        let refused = parse_offset_index(&bytes, ZeroTail::Refused);
        assert!(matches!(refused, Err(IndexError::Order { entry: 1, .. })));
        bytes.extend_from_slice(&entry(20, 200).to_bytes());
        let behind = parse_offset_index(&bytes, ZeroTail::Tolerated);
        assert_eq!(behind, Err(IndexError::Tail { entry: 4 }));
    }

    #[test]
    fn a_file_cut_within_an_entry_is_an_error() {
        for bytes in [1, 7, 9, 15] {
            let error = Err(IndexError::Length { bytes });
            assert_eq!(parse_offset_index(&vec![0; bytes], ZeroTail::Tolerated), error);
        }
        let negative = parse_offset_index(&[0xFF; 8], ZeroTail::Refused);
        assert_eq!(
            negative,
            Err(IndexError::Negative { entry: 0, relative_offset: -1, position: -1 })
        );
    }

    proptest! {
        #[test]
        fn rising_entries_read_back(steps in prop::collection::vec((1..9000_u32, 1..9000_u32), 0..60), target in 0..400_000_u32) {
            let mut entries = Vec::new();
            let (mut offset, mut position) = (0, 0);
            for (offsets, bytes) in steps {
                offset += offsets;
                position += bytes;
                entries.push(entry(offset, position));
            }
            let bytes = encode_offset_index(&entries);
            prop_assert_eq!(parse_offset_index(&bytes, ZeroTail::Refused), Ok(entries.clone()));
            // The lookup against its definition.
            let naive = entries.iter().rev().find(|entry| entry.relative_offset() <= target).copied();
            prop_assert_eq!(lookup_offset(&entries, target), naive);
        }

        #[test]
        fn any_bytes_are_an_index_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(entries) = parse_offset_index(&bytes, ZeroTail::Refused) {
                prop_assert_eq!(encode_offset_index(&entries), bytes);
            }
        }
    }
}
