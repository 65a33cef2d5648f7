//! Random groups that follow from a seed: few members, few topics, many troubles.
//!
//! ```text
//!   1 to 7 members      static or not, on racks or not, with the same or different topics
//!   1 to 4 topics       0 to 8 partitions, some topics wanted by nobody, some missing
//!   claims              from an old assignment: stale ones, double ones, ones no longer wanted
//! ```

use std::collections::{BTreeMap, BTreeSet};

use log_core::{TopicName, TopicPartition};

use crate::assignor::{Assignments, Assignor, Member, Members, Topics};
use crate::ids::{Generation, InstanceId, MemberId, RackId};
use crate::partitions::PartitionSet;
use crate::subscription::Subscription;

/// What one member wants and says it has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claim {
    /// The name it keeps across restarts.
    pub instance_id: Option<InstanceId>,
    /// Where it stands.
    pub rack: Option<RackId>,
    /// What it wants.
    pub topics: BTreeSet<TopicName>,
    /// What it says it has.
    pub owned: PartitionSet,
    /// Since which generation.
    pub generation: Option<Generation>,
}

/// One group at the moment its leader shares out the partitions.
#[derive(Clone, Debug)]
pub struct Case {
    seed: u64,
    topics: Topics,
    claims: BTreeMap<MemberId, Claim>,
    universe: PartitionSet,
}

/// `SplitMix64` (Steele et al. 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound.max(1)
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

impl Case {
    /// A group made by hand.
    #[must_use]
    pub fn new(topics: Topics, claims: BTreeMap<MemberId, Claim>) -> Self {
        let mut case = Self { seed: 0, topics, claims, universe: PartitionSet::new() };
        case.universe = super::universe_of(&case);
        case
    }

    /// The group that belongs to `seed`.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let names: Vec<TopicName> =
            ["a", "b", "c", "d"].iter().filter_map(|name| TopicName::new(name).ok()).collect();
        let racks: Vec<RackId> =
            ["x", "y", "z"].iter().filter_map(|name| RackId::new(name).ok()).collect();
        let racks = if chance.one_in(3) { racks } else { Vec::new() };
        let names: Vec<TopicName> = names.into_iter().take(usize_of(1 + chance.below(4))).collect();
        let topics = random_topics(&mut chance, &names, &racks);
        let members = 1 + chance.below(if chance.0.is_multiple_of(4) { 7 } else { 4 });
        let uniform = chance.one_in(2);
        let mut claims = BTreeMap::new();
        for number in 0..members {
            let Ok(id) = MemberId::new(&format!("m{number}")) else { continue };
            let subset = names.iter().filter(|_| uniform || !chance.one_in(3)).cloned();
            let topics = subset.collect();
            let instance = chance.one_in(4).then(|| InstanceId::new(&format!("i{}", 9 - number)));
            let rack = racks.get(usize_of(chance.below(4))).cloned();
            let instance_id = instance.and_then(Result::ok);
            claims.insert(id, Claim { instance_id, rack, topics, ..Claim::default() });
        }
        let mut case = Self { seed, ..Self::new(topics, claims) };
        if !chance.one_in(4) {
            case.claim(&mut chance);
        }
        case
    }

    fn claim(&mut self, chance: &mut Chance) {
        let count = u64::try_from(self.claims.len()).unwrap_or(1);
        let wild = chance.one_in(2);
        let mut owned: Vec<BTreeSet<TopicPartition>> = vec![BTreeSet::new(); self.claims.len()];
        for partition in self.universe.iter() {
            let claimants = if chance.one_in(5) { chance.below(3) } else { 1 };
            for _ in 0..claimants {
                if let Some(set) = owned.get_mut(usize_of(chance.below(count))) {
                    set.insert(partition.clone());
                }
            }
        }
        for (claim, owned) in self.claims.values_mut().zip(owned) {
            let wanted = |p: &TopicPartition| wild || claim.topics.contains(p.topic());
            claim.owned = owned.into_iter().filter(wanted).collect();
            let back = if chance.one_in(3) { chance.below(3) } else { 0 };
            let number = i32::try_from(back).map_or(5, |back| 5 - back);
            claim.generation = if chance.one_in(12) { None } else { Generation::new(number) };
        }
    }

    /// What made it, or 0.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The topics there are.
    #[must_use]
    pub const fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The members, by id.
    pub fn claims(&self) -> impl Iterator<Item = (&MemberId, &Claim)> {
        self.claims.iter()
    }

    /// All partitions of topics that somebody wants.
    #[must_use]
    pub const fn universe(&self) -> &PartitionSet {
        &self.universe
    }

    /// Whether all members want the same topics.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        let mut topics = self.claims.values().map(|claim| &claim.topics);
        topics.next().is_none_or(|first| topics.all(|other| other == first))
    }

    /// Whether some member says where it stands.
    #[must_use]
    pub fn has_racks(&self) -> bool {
        self.claims.values().any(|claim| claim.rack.is_some())
    }

    /// Whether `member` wants `topic`.
    #[must_use]
    pub fn wants(&self, member: &MemberId, topic: &TopicName) -> bool {
        self.claims.get(member).is_some_and(|claim| claim.topics.contains(topic))
    }

    /// What is claimed, and by whom in the highest generation in which anybody claims it.
    #[must_use]
    pub fn claimed(&self) -> BTreeMap<TopicPartition, BTreeSet<&MemberId>> {
        let mut newest: BTreeMap<TopicPartition, (Option<Generation>, BTreeSet<&MemberId>)> =
            BTreeMap::new();
        for (id, claim) in &self.claims {
            for partition in claim.owned.iter().filter(|p| self.universe.contains(p)) {
                let entry = newest.entry(partition).or_default();
                if claim.generation > entry.0 {
                    *entry = (claim.generation, BTreeSet::new());
                }
                if claim.generation == entry.0 {
                    entry.1.insert(id);
                }
            }
        }
        newest.into_iter().map(|(partition, (_, members))| (partition, members)).collect()
    }

    /// The group as `assignor` gets to see it.
    #[must_use]
    pub fn members(&self, assignor: &dyn Assignor) -> Members {
        let member = |(id, claim): (&MemberId, &Claim)| {
            let subscription = Subscription::new(claim.topics.iter().cloned())
                .with_owned(claim.owned.clone(), claim.generation)
                .with_rack(claim.rack.clone())
                .with_user_data(assignor.user_data(&claim.owned, claim.generation));
            (id.clone(), Member { instance_id: claim.instance_id.clone(), subscription })
        };
        self.claims.iter().map(member).collect()
    }

    /// The group one generation later, when everybody has what `result` gives it.
    #[must_use]
    pub fn after(&self, result: &Assignments) -> Self {
        let mut next = self.clone();
        let newest = self.claims.values().filter_map(|claim| claim.generation).max();
        let generation = newest.unwrap_or_default().next();
        for (id, claim) in &mut next.claims {
            claim.owned =
                result.get(id).map_or_else(PartitionSet::new, |given| given.partitions().clone());
            claim.generation = Some(generation);
        }
        next
    }

    /// The group with other ids in the same order.
    #[must_use]
    pub fn renamed(&self) -> Self {
        let mut other = self.clone();
        let rename = |(number, claim): (usize, &Claim)| {
            let id = MemberId::new(&format!("other-{number:04}")).ok()?;
            Some((id, claim.clone()))
        };
        other.claims = self.claims.values().enumerate().filter_map(rename).collect();
        other
    }
}

fn random_topics(chance: &mut Chance, names: &[TopicName], racks: &[RackId]) -> Topics {
    let mut topics = Topics::new();
    for name in names {
        let partitions = if chance.one_in(10) { 0 } else { 1 + chance.below(8) };
        let mut replicas = || {
            let all = racks.iter().filter(|_| chance.one_in(2));
            all.cloned().collect::<Vec<_>>()
        };
        topics = topics.with_racks(name.clone(), (0..partitions).map(|_| replicas()).collect());
    }
    topics
}

fn usize_of(small: u64) -> usize {
    usize::try_from(small).unwrap_or(0)
}
