//! A set of partitions, small in memory: each topic's name once.
//!
//! ```text
//!   topics    orders ─┐end 3   payments ─┐end 5
//!   numbers   0  4  9 ┘        1    2    ┘          sorted by topic, then by number, each once
//! ```

use core::fmt;

use log_core::{TopicName, TopicPartition};

/// Partitions of any topics, each at most once, in order of topic and number.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct PartitionSet {
    /// Each topic, and where its numbers end in `numbers`. Rising by name; no topic is empty.
    topics: Vec<(TopicName, usize)>,
    numbers: Vec<u32>,
}

impl PartitionSet {
    /// No partition.
    #[must_use]
    pub const fn new() -> Self {
        Self { topics: Vec::new(), numbers: Vec::new() }
    }

    /// The set of `topics`, which may come in any order, repeat a topic and repeat a number.
    #[must_use]
    pub fn from_topics(mut topics: Vec<(TopicName, Vec<u32>)>) -> Self {
        topics.sort_by(|a, b| a.0.cmp(&b.0));
        let mut set = Self::new();
        let mut topics = topics.into_iter().peekable();
        while let Some((topic, mut numbers)) = topics.next() {
            while let Some((_, more)) = topics.next_if(|(next, _)| *next == topic) {
                numbers.extend(more);
            }
            numbers.sort_unstable();
            numbers.dedup();
            set.push_topic(&topic, &numbers);
        }
        set.check();
        set
    }

    /// An empty set with room for `topics` topics and `numbers` partitions.
    pub(crate) fn with_capacity(topics: usize, numbers: usize) -> Self {
        Self { topics: Vec::with_capacity(topics), numbers: Vec::with_capacity(numbers) }
    }

    /// Adds `numbers`, rising, of a topic that comes after all that are there.
    pub(crate) fn push_topic(&mut self, topic: &TopicName, numbers: &[u32]) {
        if !numbers.is_empty() {
            self.numbers.extend_from_slice(numbers);
            self.topics.push((topic.clone(), self.numbers.len()));
        }
    }

    /// Adds a partition that comes after all that are there.
    pub(crate) fn push_last(&mut self, topic: &TopicName, number: u32) {
        match self.topics.last_mut() {
            Some((last, end)) if last == topic => *end += 1,
            _ => self.topics.push((topic.clone(), self.numbers.len() + 1)),
        }
        self.numbers.push(number);
    }

    /// Adds a number behind all that are there: of the last topic, or of a `new_topic` after it.
    pub(crate) fn push_number(&mut self, new_topic: Option<&TopicName>, number: u32) {
        self.numbers.push(number);
        match (new_topic, self.topics.last_mut()) {
            (None, Some((_, end))) => *end += 1,
            (Some(topic), _) => self.topics.push((topic.clone(), self.numbers.len())),
            (None, None) => unreachable!("the first number comes with its topic"),
        }
    }

    /// How many partitions.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Each topic with its numbers, in order.
    pub fn topics(&self) -> impl Iterator<Item = (&TopicName, &[u32])> {
        let mut start = 0;
        self.topics.iter().map(move |(topic, end)| {
            let numbers = self.numbers.get(start..*end).unwrap_or(&[]);
            start = *end;
            (topic, numbers)
        })
    }

    /// How many topics.
    #[must_use]
    pub const fn topic_count(&self) -> usize {
        self.topics.len()
    }

    fn pairs(&self) -> impl Iterator<Item = (&TopicName, u32)> {
        self.topics()
            .flat_map(|(topic, numbers)| numbers.iter().map(move |number| (topic, *number)))
    }

    /// Each partition, in order.
    pub fn iter(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        self.pairs().map(|(topic, number)| TopicPartition::new(topic.clone(), number))
    }

    /// Whether `partition` is one of them.
    #[must_use]
    pub fn contains(&self, partition: &TopicPartition) -> bool {
        self.numbers_of(partition.topic()).binary_search(&partition.partition()).is_ok()
    }

    /// The partitions of `topic`; empty if there is none.
    #[must_use]
    pub fn numbers_of(&self, topic: &TopicName) -> &[u32] {
        let Ok(found) = self.topics.binary_search_by(|(name, _)| name.cmp(topic)) else {
            return &[];
        };
        let start = found.checked_sub(1).and_then(|i| self.topics.get(i)).map_or(0, |t| t.1);
        self.topics.get(found).and_then(|(_, end)| self.numbers.get(start..*end)).unwrap_or(&[])
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.merged(other, |here, there| here && !there)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.merged(other, |here, there| here && there)
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.merged(other, |here, there| here || there)
    }

    /// What belongs to topics of which `keep` says so.
    #[must_use]
    pub fn filter_topics(&self, mut keep: impl FnMut(&TopicName) -> bool) -> Self {
        let mut set = Self::new();
        for (topic, numbers) in self.topics().filter(|(topic, _)| keep(topic)) {
            set.push_topic(topic, numbers);
        }
        set
    }

    fn merged(&self, other: &Self, keep: impl Fn(bool, bool) -> bool) -> Self {
        let mut set = Self::new();
        let (mut left, mut right) = (self.pairs().peekable(), other.pairs().peekable());
        loop {
            let first = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(l), None) => *l,
                (None, Some(r)) => *r,
                (Some(l), Some(r)) => *l.min(r),
            };
            let here = left.next_if_eq(&first).is_some();
            let there = right.next_if_eq(&first).is_some();
            if keep(here, there) {
                set.push_last(first.0, first.1);
            }
        }
        set.check();
        set
    }

    fn check(&self) {
        assert!(self.topics.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1), "topics rise, none empty");
        assert_eq!(self.topics.last().map_or(0, |t| t.1), self.numbers.len(), "no stray numbers");
    }
}

impl FromIterator<TopicPartition> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = TopicPartition>>(partitions: I) -> Self {
        let mut sorted: Vec<TopicPartition> = partitions.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut set = Self::new();
        for partition in &sorted {
            set.push_last(partition.topic(), partition.partition());
        }
        set.check();
        set
    }
}

impl fmt::Debug for PartitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.pairs().map(|(topic, number)| format!("{topic}-{number}"));
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(names: &[(&str, u32)]) -> PartitionSet {
        let one = |(topic, number): &(&str, u32)| {
            TopicPartition::new(TopicName::new(topic).unwrap(), *number)
        };
        names.iter().map(one).collect()
    }

    #[test]
    fn it_agrees_with_a_set_of_pairs() {
        let mut bits = 1_u64;
        for _ in 0..500 {
            let mut pick = || {
                bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let mask = bits >> 40;
                (0..16)
                    .filter(|i| mask >> i & 1 == 1)
                    .map(|i| (["a", "b", "c", "d"][i % 4], 3))
                    .zip(0_u32..)
                    .map(|((topic, _), i)| (topic, i % 5))
                    .collect::<Vec<_>>()
            };
            let (a, b) = (pick(), pick());
            let (x, y): (BTreeSet<_>, BTreeSet<_>) =
                (a.iter().copied().collect(), b.iter().copied().collect());
            let naive = |pairs: Vec<(&str, u32)>| set(&pairs);
            assert_eq!(set(&a).len(), x.len());
            assert_eq!(set(&a).difference(&set(&b)), naive(x.difference(&y).copied().collect()));
            assert_eq!(set(&a).union(&set(&b)), naive(x.union(&y).copied().collect()));
            assert_eq!(
                set(&a).intersection(&set(&b)),
                naive(x.intersection(&y).copied().collect())
            );
        }
    }

    #[test]
    fn topics_in_any_order_and_twice_become_one_set() {
        let name = |n: &str| TopicName::new(n).unwrap();
        let made = PartitionSet::from_topics(vec![
            (name("b"), vec![2, 1, 2]),
            (name("a"), vec![]),
            (name("c"), vec![0]),
            (name("b"), vec![0]),
        ]);
        assert_eq!(made, set(&[("b", 0), ("b", 1), ("b", 2), ("c", 0)]));
        assert_eq!(made.numbers_of(&name("c")), [0]);
        assert!(made.numbers_of(&name("a")).is_empty());
        assert!(made.contains(&TopicPartition::new(name("b"), 1)));
        assert!(!made.contains(&TopicPartition::new(name("c"), 1)));
    }
}
