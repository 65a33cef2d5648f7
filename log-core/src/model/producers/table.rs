//! From a producer id to its entry: open addressing over 8-byte slots.
//!
//! ```text
//!   slot   │ 32 bits of the hash │ entry's index + 1 │     0: free
//!   home   the hash's upper bits; a taken home means the next slot (linear probing)
//! ```
//!
//! Entries stand elsewhere, so a probe reads slots only: one cache line, and then the one entry
//! whose 32 bits agree. Growing reads slots only too, since they hold the bits their home is made of.
//!
//! The hash is fixed but for a seed, which makes bytes that were forged to collide harmless.
//! Nothing ever iterates over the slots, so what they are ordered by cannot show.
//!
//! Invariants: 1. the number of slots is a power of two, or none; 2. at most three in four are
//! taken; 3. between an entry's home and its slot no slot is free.

use crate::int::{folded_product, low_u32, u32_saturated, usize_from_u32};

/// Slots of the smallest table.
const SLOTS_MIN: usize = 8;
/// An odd number with bits all over (2^64 divided by the golden ratio).
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// 32 bits of a producer id's hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tag(u32);

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    slots: Vec<u64>,
    taken: usize,
    seed: u64,
}

const fn slot(tag: Tag, index: u32) -> u64 {
    crate::int::u64_widened(tag.0) << 32 | (crate::int::u64_widened(index) + 1)
}

const fn tag_of(slot: u64) -> Tag {
    Tag(low_u32(slot >> 32))
}

impl Table {
    pub(super) const fn new(seed: u64) -> Self {
        Self { slots: Vec::new(), taken: 0, seed }
    }

    pub(super) const fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    #[inline]
    pub(super) const fn tag(&self, producer_id: i64) -> Tag {
        let id = producer_id.cast_unsigned() ^ self.seed;
        Tag(low_u32(folded_product(id, MULTIPLIER ^ self.seed.rotate_left(32)) >> 32))
    }

    /// The entry with `tag` that `is_it` says yes to.
    #[inline]
    pub(super) fn find(&self, tag: Tag, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            let index = low_u32(slot) - 1;
            if tag_of(slot) == tag && is_it(index) {
                return Some(index);
            }
            at = self.after(at);
        }
    }

    /// Makes room for `entries` more, so that adding them moves nothing.
    pub(super) fn reserve(&mut self, entries: usize) {
        while 4 * (self.taken + entries) > 3 * self.slots.len() {
            self.grow_to((4 * (self.taken + entries)).div_ceil(3).next_power_of_two());
        }
    }

    /// Adds an entry, which is not there yet.
    pub(super) fn insert(&mut self, tag: Tag, index: u32) {
        if 4 * (self.taken + 1) > 3 * self.slots.len() {
            self.grow_to((2 * self.slots.len()).max(SLOTS_MIN));
        }
        self.place(slot(tag, index));
        self.taken += 1;
    }

    /// The entry at `from` has moved to `to`.
    pub(super) fn renumber(&mut self, tag: Tag, from: u32, to: u32) {
        if let Some(at) = self.position(tag, from) {
            self.set(at, slot(tag, to));
        }
    }

    /// Takes an entry out. Those behind it move up, so that no search ends at the gap (Knuth,
    /// volume 3, algorithm 6.4R).
    pub(super) fn remove(&mut self, tag: Tag, index: u32) {
        let Some(mut gap) = self.position(tag, index) else { return };
        let mask = self.slots.len() - 1;
        let mut at = self.after(gap);
        while let Some(slot) = self.slots.get(at).copied().filter(|slot| *slot != 0) {
            let home = self.home(tag_of(slot));
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(gap) & mask {
                self.set(gap, slot);
                gap = at;
            }
            at = self.after(at);
        }
        self.set(gap, 0);
        self.taken -= 1;
    }

    fn position(&self, tag: Tag, index: u32) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        loop {
            match *self.slots.get(at)? {
                0 => return None,
                found if found == slot(tag, index) => return Some(at),
                _ => at = self.after(at),
            }
        }
    }

    fn grow_to(&mut self, size: usize) {
        let size = size.max(SLOTS_MIN);
        let old = core::mem::replace(&mut self.slots, vec![0; size]);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            self.place(slot);
        }
    }

    fn place(&mut self, slot: u64) {
        let mut at = self.home(tag_of(slot));
        while self.slots.get(at).is_some_and(|found| *found != 0) {
            at = self.after(at);
        }
        self.set(at, slot);
    }

    fn set(&mut self, at: usize, slot: u64) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    /// The upper bits of the tag, as many as name a slot.
    #[inline]
    fn home(&self, tag: Tag) -> usize {
        // At most 2^32 slots: an index has 32 bits. At least 8, so the shift is at most 29.
        let bits = self.slots.len().trailing_zeros().min(u32::BITS);
        usize_from_u32(tag.0.checked_shr(u32::BITS - bits).unwrap_or(0))
    }

    #[inline]
    const fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// Entries in the table.
    pub(super) fn len(&self) -> u32 {
        u32_saturated(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of the entries, by index.
    fn find(table: &Table, ids: &[i64], id: i64) -> Option<u32> {
        table.find(table.tag(id), |index| ids[usize_from_u32(index)] == id)
    }

    #[test]
    fn every_id_is_found_and_no_other() {
        let mut table = Table::new(7);
        let ids: Vec<i64> = (0..5000).map(|n| n * 3).collect();
        for (index, id) in (0..).zip(&ids) {
            assert_eq!(find(&table, &ids, *id), None);
            table.insert(table.tag(*id), index);
        }
        for (index, id) in (0..).zip(&ids) {
            assert_eq!(find(&table, &ids, *id), Some(index));
            assert_eq!(find(&table, &ids, id + 1), None);
        }
    }

    #[test]
    fn a_removed_entry_hides_none_behind_it() {
        let mut table = Table::new(7);
        let ids: Vec<i64> = (0..3000).collect();
        for (index, id) in (0..).zip(&ids) {
            table.insert(table.tag(*id), index);
        }
        for id in (0..3000).filter(|id| id % 7 != 0) {
            table.remove(table.tag(id), u32::try_from(id).unwrap());
        }
        for id in 0..3000 {
            let expected = (id % 7 == 0).then(|| u32::try_from(id).unwrap());
            assert_eq!(find(&table, &ids, id), expected, "{id}");
        }
        assert_eq!(table.len(), 429);
    }

    #[test]
    fn entries_whose_bits_agree_are_told_apart() {
        let mut table = Table::new(7);
        let tag = Tag(u32::MAX);
        (0..20).for_each(|index| table.insert(tag, index));
        assert!((0..20).all(|wanted| table.find(tag, |index| index == wanted) == Some(wanted)));
        table.remove(tag, 3);
        table.renumber(tag, 19, 3);
        assert_eq!(table.find(tag, |index| index == 19), None);
        assert_eq!(table.find(tag, |index| index == 3), Some(3));
    }

    #[test]
    fn consecutive_ids_spread_over_the_table() {
        let table = Table { slots: vec![0; 1 << 16], taken: 0, seed: 0x1234_5678_9ABC_DEF0 };
        let mut homes = vec![0_u32; 1 << 16];
        (0..1 << 15).for_each(|id| homes[table.home(table.tag(id))] += 1);
        assert!(homes.iter().max() <= Some(&8), "{:?}", homes.iter().max());
    }
}
