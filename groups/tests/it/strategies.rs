//! The laws of assignors, on random groups; and that the laws notice what breaks them.

use groups::Assignment;
use groups::assignor::laws::{self, Case, Law};
use groups::assignor::{
    AssignError, Assignments, Assignor, CooperativeSticky, Members, Range, RoundRobin, Sticky,
    Topics,
};

const CASES: u32 = 20_000;

#[test]
fn range_keeps_the_laws() {
    laws::check(&Range::new(), 0, CASES).unwrap();
}

#[test]
fn round_robin_keeps_the_laws() {
    laws::check(&RoundRobin::new(), 0, CASES).unwrap();
}

#[test]
fn sticky_keeps_the_laws_and_is_even_and_sticky() {
    laws::check(&Sticky::new(), 0, CASES).unwrap();
    for seed in 0..u64::from(CASES) {
        laws::check_sticky(&Sticky::new(), &Case::random(seed)).unwrap();
    }
}

#[test]
fn cooperative_sticky_keeps_the_laws_and_is_even_and_sticky() {
    laws::check(&CooperativeSticky::new(), 0, CASES).unwrap();
    for seed in 0..u64::from(CASES) {
        laws::check_sticky(&CooperativeSticky::new(), &Case::random(seed)).unwrap();
    }
}

/// Without racks Kafka's rounds are enough: two if all want the same, four otherwise (scenario 123).
#[test]
fn cooperative_sticky_settles_in_few_rounds() {
    for seed in 0..5_000 {
        let case = Case::random(seed);
        let rounds = laws::settle(&CooperativeSticky::new(), &case).unwrap();
        let most = match (case.has_racks(), case.is_uniform()) {
            (true, _) => laws::ROUNDS_MAX,
            (false, true) => 2,
            (false, false) => 4,
        };
        assert!(rounds <= most, "{rounds} rounds with seed {seed:#x}");
    }
}

/// Breaks one law on purpose.
#[derive(Debug)]
struct Wrong {
    law: Law,
}

impl Assignor for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn assign(&self, topics: &Topics, members: &Members) -> Result<Assignments, AssignError> {
        let mut result = RoundRobin::new().assign(topics, members)?;
        let first = members.keys().next().unwrap().clone();
        let last = members.keys().last().unwrap().clone();
        match self.law {
            Law::Answers => return Err(AssignError::Refused("no".to_owned())),
            Law::Members => drop(result.remove(&first)),
            Law::Covered => drop(result.insert(first, Assignment::default())),
            Law::Once => {
                let doubled = result[&first].clone();
                result.insert(last, doubled);
            }
            Law::Wanted => {
                let all = topics.iter().map(|(topic, n)| (topic.clone(), (0..=n).collect()));
                let all = groups::PartitionSet::from_topics(all.collect());
                result.insert(first, Assignment::new(all));
            }
            Law::Names if first.as_str().contains("other") => {
                let (a, b) = (result[&first].clone(), result[&last].clone());
                result.extend([(first, b), (last, a)]);
            }
            Law::Settles => {
                // Whoever has most gives all to the next: round and round.
                let owned = |id| members[&id].subscription.owned().clone();
                if members
                    .values()
                    .all(|m| *m.subscription.topics() == *members[&first].subscription.topics())
                    && members.values().any(|m| !m.subscription.owned().is_empty())
                {
                    let mut turned: Vec<_> = members.keys().cloned().map(owned).collect();
                    turned.rotate_right(1);
                    let turned =
                        members.keys().cloned().zip(turned.into_iter().map(Assignment::new));
                    return Ok(turned.collect());
                }
            }
            _ => {}
        }
        Ok(result)
    }
}

#[test]
fn the_laws_notice_what_breaks_them() {
    for law in [Law::Answers, Law::Members, Law::Covered, Law::Once, Law::Wanted, Law::Names] {
        let broken = laws::check(&Wrong { law }, 0, 200).unwrap_err();
        assert_eq!(broken.law(), law, "{broken}");
    }
    let t = log_core::TopicName::new("t").unwrap();
    let claim = |n: u32| laws::Claim {
        topics: [t.clone()].into(),
        owned: [log_core::TopicPartition::new(t.clone(), n)].into_iter().collect(),
        ..laws::Claim::default()
    };
    let id = |name| groups::ids::MemberId::new(name).unwrap();
    let claims = [(id("a"), claim(0)), (id("b"), claim(1))].into();
    let case = Case::new(Topics::new().with(t.clone(), 2), claims);
    let broken = laws::settle(&Wrong { law: Law::Settles }, &case).unwrap_err();
    assert_eq!(broken.law(), Law::Settles, "{broken}");
}

/// A cooperative strategy that hands out what another still claims is not safe.
#[derive(Debug)]
struct Hasty;

impl Assignor for Hasty {
    fn name(&self) -> &'static str {
        "hasty"
    }

    fn protocols(&self) -> &[groups::assignor::RebalanceProtocol] {
        &[groups::assignor::RebalanceProtocol::Cooperative]
    }

    fn assign(&self, topics: &Topics, members: &Members) -> Result<Assignments, AssignError> {
        RoundRobin::new().assign(topics, members)
    }
}

#[test]
fn the_laws_notice_a_partition_given_away_too_early() {
    assert_eq!(laws::check(&Hasty, 0, 100).unwrap_err().law(), Law::Safe);
}

/// Nobody, nothing, and topics that are not there.
#[test]
fn an_empty_group_and_missing_topics_are_answered() {
    let all: [&dyn Assignor; 4] =
        [&Range::new(), &RoundRobin::new(), &Sticky::new(), &CooperativeSticky::new()];
    let t = log_core::TopicName::new("t").unwrap();
    for assignor in all {
        let nobody = assignor.assign(&Topics::new().with(t.clone(), 3), &Members::new()).unwrap();
        assert!(nobody.is_empty());
        let claim = laws::Claim { topics: [t.clone()].into(), ..laws::Claim::default() };
        let id = groups::ids::MemberId::new("m").unwrap();
        let case = Case::new(Topics::new(), [(id.clone(), claim)].into());
        assert!(laws::assign(assignor, &case).unwrap()[&id].partitions().is_empty());
    }
}
