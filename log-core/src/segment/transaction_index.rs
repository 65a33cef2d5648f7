//! The aborted transactions whose markers stand in a segment (Kafka `TransactionIndex`).
//!
//! ```text
//!   entry   0          2             10             18            26                    34
//!           ├ version ┼ producer id ┼ first offset ┼ last offset ┼ last stable offset ┤
//!             0                       of its first   of its        then: of the oldest transaction
//!                                     batch          marker        open, or behind the marker
//! ```
//!
//! Entries ascend by last offset. The first offset may stand in an earlier segment, and a reader of
//! committed data that begins there looks on through the segments behind, until an entry says that
//! everything which began below its bound has ended.

use super::entries::Entries;
use crate::disk::Mapping;
use crate::format::TransactionResult;
use crate::ids::{Offset, ProducerId};
use crate::model::transactions::CompletedTransaction;

const ENTRY_BYTES: usize = 34;
const VERSION: i16 = 0;

const _: () = assert!(ENTRY_BYTES == size_of::<i16>() + 4 * size_of::<i64>());

/// A transaction whose records no reader of committed data is shown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct AbortedTransaction {
    /// The offset of its first batch.
    pub first_offset: Offset,
    /// Whose it was: what this producer wrote from there on, up to its next marker.
    pub producer_id: ProducerId,
}

/// One entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Aborted {
    producer_id: ProducerId,
    first_offset: Offset,
    last_offset: Offset,
    last_stable_offset: Offset,
}

impl Aborted {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        let fields = [
            self.producer_id.get(),
            self.first_offset.get(),
            self.last_offset.get(),
            self.last_stable_offset.get(),
        ];
        let bytes = fields.into_iter().flat_map(i64::to_be_bytes);
        entry
            .iter_mut()
            .zip(VERSION.to_be_bytes().into_iter().chain(bytes))
            .for_each(|(place, byte)| *place = byte);
        entry
    }

    /// `None` for bytes that are no entry.
    fn parse(entry: &[u8; ENTRY_BYTES]) -> Option<Self> {
        let (version, fields) = entry.split_first_chunk::<2>()?;
        let (fields, _) = fields.as_chunks::<8>();
        let [id, first, last, stable] = fields else { return None };
        let offset = |bytes: &[u8; 8]| Offset::new(i64::from_be_bytes(*bytes));
        let found = Self {
            producer_id: ProducerId::new(i64::from_be_bytes(*id))?,
            first_offset: offset(first)?,
            last_offset: offset(last)?,
            last_stable_offset: offset(stable)?,
        };
        let sound = i16::from_be_bytes(*version) == VERSION
            && found.producer_id.is_some()
            && found.first_offset < found.last_offset;
        sound.then_some(found)
    }
}

/// The transaction index of one segment.
#[derive(Debug)]
pub(crate) struct TransactionIndex {
    entries: Entries<ENTRY_BYTES>,
}

impl TransactionIndex {
    /// No entries.
    pub(crate) const fn new() -> Self {
        Self { entries: Entries::new() }
    }

    /// Takes over a file's bytes; `None` if they cannot be the index of a segment of the offsets
    /// from `base` to before `next`.
    pub(crate) fn parse(base: Offset, bytes: Mapping, next: Offset) -> Option<Self> {
        let (chunks, rest) = bytes.as_bytes().as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let mut below = None;
        for chunk in chunks {
            let entry = Aborted::parse(chunk)?;
            let rises = below.is_none_or(|below| below < entry.last_offset);
            if !rises || entry.last_offset < base || entry.last_offset >= next {
                return None;
            }
            below = Some(entry.last_offset);
        }
        Some(Self { entries: Entries::Stored(bytes) })
    }

    /// The file's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.entries.to_bytes()
    }

    /// The file's bytes for a log that ends at `next`.
    pub(crate) fn bytes_before(&self, next: Offset) -> Vec<u8> {
        let entries = self.entries.as_slice();
        let len = entries.partition_point(|entry| last_of(entry) < next);
        entries.get(..len).unwrap_or_default().as_flattened().to_vec()
    }

    /// A marker has ended a transaction. Those that count leave no entry.
    pub(crate) fn on_end(&mut self, ended: &CompletedTransaction) {
        if ended.result == TransactionResult::Abort {
            let entry = Aborted {
                producer_id: ended.producer_id,
                first_offset: ended.first_offset,
                last_offset: ended.last_offset,
                last_stable_offset: ended.last_stable_offset,
            };
            self.entries.push(entry.to_bytes());
        }
    }

    /// Adds to `found` the transactions that hide something of the offsets from `from` to before
    /// `until`. Says whether no later segment can have another one.
    pub(crate) fn collect(
        &self,
        from: Offset,
        until: Offset,
        found: &mut Vec<AbortedTransaction>,
    ) -> bool {
        let entries = self.entries.as_slice();
        let first = entries.partition_point(|entry| last_of(entry) < from);
        for entry in entries.iter().skip(first).filter_map(Aborted::parse) {
            if entry.first_offset < until {
                let Aborted { first_offset, producer_id, .. } = entry;
                found.push(AbortedTransaction { first_offset, producer_id });
            }
            if entry.last_stable_offset >= until {
                return true;
            }
        }
        false
    }
}

/// The last offset of an entry; of one that is none, none.
fn last_of(entry: &[u8; ENTRY_BYTES]) -> Offset {
    Aborted::parse(entry).map_or(Offset::MAX, |entry| entry.last_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn ended(id: i64, first: i64, last: i64, stable: i64) -> CompletedTransaction {
        CompletedTransaction {
            producer_id: ProducerId::new(id).unwrap(),
            first_offset: at(first),
            last_offset: at(last),
            result: TransactionResult::Abort,
            last_stable_offset: at(stable),
        }
    }

    fn index(entries: &[CompletedTransaction]) -> TransactionIndex {
        let mut index = TransactionIndex::new();
        for entry in entries {
            index.on_end(entry);
        }
        index
    }

    fn found(index: &TransactionIndex, from: i64, until: i64) -> (Vec<(i64, i64)>, bool) {
        let mut found = Vec::new();
        let complete = index.collect(at(from), at(until), &mut found);
        let pair = |one: &AbortedTransaction| (one.producer_id.get(), one.first_offset.get());
        (found.iter().map(pair).collect(), complete)
    }

    #[test]
    fn an_entry_has_kafkas_bytes() {
        let bytes = index(&[ended(1, 0, 29, 8)]).to_bytes();
        // Version 0, producer 1, first offset 0, last offset 29, last stable offset 8.
        let fields = [1, 0, 29, 8_i64].into_iter().flat_map(i64::to_be_bytes);
        assert_eq!(bytes, [0, 0].into_iter().chain(fields).collect::<Vec<u8>>());
        let commit =
            CompletedTransaction { result: TransactionResult::Commit, ..ended(1, 0, 29, 8) };
        assert!(index(&[commit]).to_bytes().is_empty(), "what counts has no entry");
    }

    #[test]
    fn a_reader_is_told_what_hides_something_of_its_range_and_when_it_knows_all() {
        let index = index(&[ended(1, 0, 10, 11), ended(2, 3, 20, 15), ended(3, 15, 30, 31)]);
        assert_eq!(found(&index, 0, 11), (vec![(1, 0)], true));
        assert_eq!(found(&index, 0, 12), (vec![(1, 0), (2, 3)], true));
        assert_eq!(found(&index, 11, 15), (vec![(2, 3)], true));
        assert_eq!(found(&index, 11, 16), (vec![(2, 3), (3, 15)], true));
        assert_eq!(found(&index, 21, 40), (vec![(3, 15)], false));
        assert_eq!(found(&index, 31, 40), (vec![], false));
    }

    #[test]
    fn an_index_reads_back_and_cut_at_an_offset_names_what_ended_below() {
        let index = index(&[ended(1, 90, 110, 111), ended(2, 103, 120, 115)]);
        let read = TransactionIndex::parse(at(100), Mapping::copied(index.to_bytes()), at(121));
        assert_eq!(read.unwrap().to_bytes(), index.to_bytes());
        assert_eq!(index.bytes_before(at(120)).len(), ENTRY_BYTES);
        assert_eq!(index.bytes_before(at(121)).len(), 2 * ENTRY_BYTES);
    }

    #[test]
    fn row_66_bytes_that_are_no_transaction_index_of_this_segment_are_refused() {
        let parse = |entries: &[CompletedTransaction]| {
            TransactionIndex::parse(at(100), Mapping::copied(index(entries).to_bytes()), at(121))
        };
        assert!(parse(&[ended(1, 90, 110, 111)]).is_some());
        assert!(parse(&[ended(1, 90, 99, 111)]).is_none(), "another segment's");
        assert!(parse(&[ended(1, 90, 121, 122)]).is_none(), "beyond the log");
        assert!(parse(&[ended(1, 110, 110, 111)]).is_none(), "nothing before the marker");
        assert!(parse(&[ended(1, 90, 110, 111), ended(2, 91, 110, 111)]).is_none(), "one twice");
        let mut bytes = index(&[ended(1, 90, 110, 111)]).to_bytes();
        bytes[1] = 1;
        let later = TransactionIndex::parse(at(100), Mapping::copied(bytes), at(121));
        assert!(later.is_none(), "a version of later");
        let odd = TransactionIndex::parse(at(0), Mapping::copied(vec![0; 33]), at(1));
        assert!(odd.is_none(), "not whole entries");
        assert!(parse(&[]).is_some_and(|index| index.to_bytes().is_empty()));
    }
}
