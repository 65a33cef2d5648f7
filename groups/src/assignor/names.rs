//! From a topic's name to its index, in constant time: an open table with a fixed hash, never
//! iterated, so that the order of things cannot depend on it.

use log_core::TopicName;

use crate::int::{at, index, slot};

/// An empty slot.
const FREE: u32 = u32::MAX;

/// The places of names in a list.
#[derive(Debug)]
pub(super) struct Names {
    /// Indices into the list, or [`FREE`]; a power of two of them, at most half in use.
    slots: Vec<u32>,
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
fn hash(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    hash ^ (hash >> 29)
}

impl Names {
    /// The places of `names`, which are all different.
    pub(super) fn new(names: &[&TopicName]) -> Self {
        let mut slots = vec![FREE; (names.len() * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        for (place, name) in names.iter().enumerate() {
            let mut probe = slot(hash(name.as_str()), mask);
            while slots.get(probe).is_some_and(|taken| *taken != FREE) {
                probe = (probe + 1) & mask;
            }
            if let Some(free) = slots.get_mut(probe) {
                *free = index(place);
            }
        }
        Self { slots }
    }

    /// Where `name` stands in `names`, the list this was made of.
    pub(super) fn find(&self, names: &[&TopicName], name: &TopicName) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut probe = slot(hash(name.as_str()), mask);
        loop {
            let place = *self.slots.get(probe).filter(|place| **place != FREE)?;
            if names.get(at(place)).is_some_and(|found| *found == name) {
                return Some(place);
            }
            probe = (probe + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_where_it_stands_and_no_other() {
        let made: Vec<TopicName> =
            (0..1_000).map(|i| TopicName::new(&format!("topic-{i}")).unwrap()).collect();
        let names: Vec<&TopicName> = made.iter().take(700).collect();
        let table = Names::new(&names);
        for (place, name) in made.iter().enumerate() {
            let expected = (place < 700).then(|| index(place));
            assert_eq!(table.find(&names, name), expected);
        }
        assert_eq!(Names::new(&[]).find(&[], &made[0]), None);
    }
}
