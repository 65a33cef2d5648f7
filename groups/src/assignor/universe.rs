//! One assignment problem as numbers: topics, partitions and members become indices.
//!
//! ```text
//!   topics      a (3)   b (2)         rising by name, those wanted and not empty
//!   partitions  0 1 2   3 4           topic's first + number
//!   members     0 1 2 3               in the order the strategy visits them
//!   classes     {a}: 0 2   {a b}: 1 3   members that want the same
//! ```

use std::collections::BTreeMap;

use log_core::TopicName;

use crate::ids::MemberId;
use crate::int::{at, index};
use crate::partitions::PartitionSet;
use crate::subscription::{Assignment, Subscription};

use super::names::Names;
use super::racks::Racks;
use super::{AssignError, Assignments, Member, Members, Topics};

/// No member, no rack, no partition.
pub(super) const NONE: u32 = u32::MAX;

/// Most partitions of one problem.
const PARTITIONS_MAX: u64 = 1 << 31;

/// One topic that takes part.
#[derive(Debug)]
pub(super) struct Topic<'a> {
    pub(super) name: &'a TopicName,
    /// The index of its partition 0.
    pub(super) first: u32,
    pub(super) partitions: u32,
}

impl Topic<'_> {
    /// The indices of its partitions.
    pub(super) const fn range(&self) -> core::ops::Range<u32> {
        self.first..self.first + self.partitions
    }
}

/// In which order the members are numbered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// By member id.
    Id,
    /// Static members by instance id, then dynamic ones by member id.
    StaticFirst,
}

/// An assignment problem.
#[derive(Debug)]
pub(super) struct Universe<'a> {
    topics: Vec<Topic<'a>>,
    partitions: u32,
    members: Vec<(&'a MemberId, &'a Member)>,
    /// For each member its class.
    class_of: Vec<u32>,
    /// For each class the topics it wants, rising.
    classes: Vec<Vec<u32>>,
    /// For each topic a list in `readers`.
    readers_of: Vec<u32>,
    /// Members that want a topic, rising; topics wanted by the same classes share a list.
    readers: Vec<Vec<u32>>,
    uniform: bool,
    pub(super) racks: Option<Racks>,
}

impl<'a> Universe<'a> {
    pub(super) fn new(
        topics: &'a Topics,
        group: &'a Members,
        order: Order,
    ) -> Result<Self, AssignError> {
        let mut members: Vec<(&MemberId, &Member)> = group.iter().collect();
        if order == Order::StaticFirst {
            // `None` sorts before `Some`, so absence is the first key.
            let key = |m: &Member| (m.instance_id.is_none(), m.instance_id.clone());
            members.sort_by_cached_key(|(_, member)| key(member));
        }
        let mut wanted: BTreeMap<&[TopicName], u32> = BTreeMap::new();
        let mut lists: Vec<&[TopicName]> = Vec::new();
        let mut class_of = Vec::with_capacity(members.len());
        for (_, member) in &members {
            let list = member.subscription.topics();
            let class = match lists.last() {
                Some(previous) if *previous == list => index(lists.len() - 1),
                _ => *wanted.entry(list).or_insert_with(|| {
                    lists.push(list);
                    index(lists.len() - 1)
                }),
            };
            class_of.push(class);
        }
        let mut universe = Self {
            topics: Vec::new(),
            partitions: 0,
            members,
            class_of,
            classes: Vec::new(),
            readers_of: Vec::new(),
            readers: Vec::new(),
            uniform: lists.len() <= 1,
            racks: None,
        };
        universe.find_topics(topics, &lists)?;
        universe.find_readers();
        universe.racks = Racks::new(&universe, topics);
        Ok(universe)
    }

    fn find_topics(
        &mut self,
        topics: &'a Topics,
        lists: &[&'a [TopicName]],
    ) -> Result<(), AssignError> {
        let mut all: Vec<&TopicName> = lists.iter().copied().flatten().collect();
        all.sort_unstable();
        all.dedup();
        let counts = all.iter().map(|topic| u64::from(topics.partitions(topic)));
        let partitions = counts.sum();
        if partitions > PARTITIONS_MAX {
            return Err(AssignError::TooManyPartitions { partitions, max: PARTITIONS_MAX });
        }
        for name in all {
            let partitions = topics.partitions(name);
            if partitions > 0 {
                self.topics.push(Topic { name, first: self.partitions, partitions });
                self.partitions += partitions;
            }
        }
        let names: Vec<&TopicName> = self.topics.iter().map(|topic| topic.name).collect();
        let places = Names::new(&names);
        let find =
            |list: &&[TopicName]| list.iter().filter_map(|t| places.find(&names, t)).collect();
        self.classes = lists.iter().map(find).collect();
        Ok(())
    }

    fn find_readers(&mut self) {
        let mut classes_of: Vec<Vec<u32>> = vec![Vec::new(); self.topics.len()];
        for (class, topics) in self.classes.iter().enumerate() {
            for topic in topics {
                classes_of[at(*topic)].push(index(class));
            }
        }
        let mut of_class: Vec<Vec<u32>> = vec![Vec::new(); self.classes.len()];
        for (member, class) in self.class_of.iter().enumerate() {
            of_class[at(*class)].push(index(member));
        }
        let mut known: BTreeMap<&[u32], u32> = BTreeMap::new();
        for classes in &classes_of {
            let list = *known.entry(classes.as_slice()).or_insert_with(|| {
                let every = classes.iter().flat_map(|class| &of_class[at(*class)]).copied();
                let mut readers: Vec<u32> = every.collect();
                readers.sort_unstable();
                self.readers.push(readers);
                index(self.readers.len() - 1)
            });
            self.readers_of.push(list);
        }
    }

    pub(super) fn topics(&self) -> &[Topic<'a>] {
        &self.topics
    }

    /// The topic of number `topic`.
    pub(super) fn topic(&self, topic: u32) -> &Topic<'a> {
        &self.topics[at(topic)]
    }

    pub(super) const fn partition_count(&self) -> u32 {
        self.partitions
    }

    pub(super) fn member_count(&self) -> u32 {
        index(self.members.len())
    }

    pub(super) fn subscription(&self, member: u32) -> &'a Subscription {
        &self.members[at(member)].1.subscription
    }

    /// The members that want `topic`, rising.
    pub(super) fn readers(&self, topic: u32) -> &[u32] {
        &self.readers[at(self.readers_of[at(topic)])]
    }

    /// Equal for topics that the same members want.
    pub(super) fn readers_key(&self, topic: u32) -> u32 {
        self.readers_of[at(topic)]
    }

    pub(super) fn class(&self, member: u32) -> u32 {
        self.class_of[at(member)]
    }

    /// The topics each class wants, rising.
    pub(super) fn classes(&self) -> &[Vec<u32>] {
        &self.classes
    }

    /// Whether `member` wants `topic`.
    pub(super) fn wants(&self, member: u32, topic: u32) -> bool {
        self.classes[at(self.class(member))].binary_search(&topic).is_ok()
    }

    /// Whether all members want the same topics. Topics that do not exist count too, and so does
    /// a member that wants none.
    pub(super) const fn is_uniform(&self) -> bool {
        self.uniform
    }

    /// Every member's number.
    pub(super) fn everyone(&self) -> Vec<u32> {
        (0..self.member_count()).collect()
    }

    /// Places of topic names.
    pub(super) fn names(&self) -> (Vec<&'a TopicName>, Names) {
        let names: Vec<&TopicName> = self.topics.iter().map(|topic| topic.name).collect();
        let table = Names::new(&names);
        (names, table)
    }

    /// The result, from each partition's owner ([`NONE`] for nobody).
    pub(super) fn assignments(&self, owner: &[u32]) -> Assignments {
        assert_eq!(owner.len(), at(self.partitions), "one owner for each partition");
        let mut sizes = vec![(0_usize, 0_usize, NONE); self.members.len()];
        for (number, topic) in self.topics.iter().enumerate() {
            for member in &owner[at(topic.first)..at(topic.range().end)] {
                if let Some((partitions, topics, last)) = sizes.get_mut(at(*member)) {
                    *partitions += 1;
                    if *last != index(number) {
                        *topics += 1;
                        *last = index(number);
                    }
                }
            }
        }
        let room = |s: &(usize, usize, u32)| PartitionSet::with_capacity(s.1, s.0);
        let mut sets: Vec<Filling> =
            sizes.iter().map(|s| Filling { set: room(s), topic: NONE }).collect();
        for (number, topic) in (0..).zip(&self.topics) {
            let owners = &owner[at(topic.first)..at(topic.range().end)];
            for (partition, member) in (0..).zip(owners) {
                if let Some(filling) = sets.get_mut(at(*member)) {
                    let new = filling.topic != number;
                    filling.topic = number;
                    filling.set.push_number(new.then_some(topic.name), partition);
                }
            }
        }
        let sets = sets.into_iter().map(|filling| Assignment::new(filling.set));
        self.members.iter().map(|(id, _)| (*id).clone()).zip(sets).collect()
    }
}

struct Filling {
    set: PartitionSet,
    topic: u32,
}
