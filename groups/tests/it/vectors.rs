//! The 139 cases of `tests/data/assignors.json`, results and invariants.

use std::collections::{BTreeMap, BTreeSet};

use groups::PartitionSet;
use groups::assignor::laws::{Case, Claim, assign, is_balanced};
use groups::assignor::{Assignor, CooperativeSticky, Range, RoundRobin, Sticky, Topics};
use groups::ids::{Generation, InstanceId, MemberId, RackId};
use log_core::{TopicName, TopicPartition};
use serde_json::Value;

type Result_ = BTreeMap<MemberId, PartitionSet>;

struct Vector {
    id: String,
    json: Value,
    case: Case,
    assignor: Box<dyn Assignor>,
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().map_or_else(Vec::new, |all| all.iter().filter_map(Value::as_str).collect())
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn set(pairs: &Value) -> PartitionSet {
    let one =
        |pair: &Value| TopicPartition::new(topic(pair[0].as_str().unwrap()), number(&pair[1]));
    pairs.as_array().unwrap().iter().map(one).collect()
}

fn result(value: &Value) -> Result_ {
    let members = value.as_object().unwrap().iter();
    members.map(|(id, pairs)| (MemberId::new(id).unwrap(), set(pairs))).collect()
}

fn vector(json: Value) -> Vector {
    let mut topics = Topics::new();
    for (name, partitions) in json["partitions_per_topic"].as_object().unwrap() {
        topics = match json["partition_racks"].get(name) {
            Some(racks) => {
                let racks_of =
                    |p: &Value| texts(p).iter().map(|r| RackId::new(r).unwrap()).collect();
                let racks = racks.as_array().unwrap().iter().map(racks_of).collect();
                topics.with_racks(topic(name), racks)
            }
            None => topics,
        };
        topics = topics.with(topic(name), number(partitions));
    }
    let claims = json["members"].as_array().unwrap().iter().map(|member| {
        let claim = Claim {
            instance_id: member["instance_id"].as_str().map(|id| InstanceId::new(id).unwrap()),
            rack: member["rack"].as_str().and_then(|rack| RackId::new(rack).ok()),
            topics: texts(&member["topics"]).into_iter().map(topic).collect(),
            owned: set(&member["owned"]),
            generation: Generation::new(
                i32::try_from(member["generation"].as_i64().unwrap()).unwrap(),
            ),
        };
        (MemberId::new(member["id"].as_str().unwrap()).unwrap(), claim)
    });
    let assignor: Box<dyn Assignor> = match json["assignor"].as_str().unwrap() {
        "range" => Box::new(Range::new()),
        "roundrobin" => Box::new(RoundRobin::new()),
        "sticky" => Box::new(Sticky::new()),
        "cooperative-sticky" => Box::new(CooperativeSticky::new()),
        other => unreachable!("no assignor {other}"),
    };
    let id = json["id"].as_str().unwrap().to_owned();
    Vector { id, case: Case::new(topics, claims.collect()), json, assignor }
}

fn vectors() -> Vec<Vector> {
    let json: Value = serde_json::from_str(include_str!("../data/assignors.json")).unwrap();
    let Value::Array(all) = json else { unreachable!("a list of cases") };
    all.into_iter().map(vector).collect()
}

/// What each member owns alone in the highest generation, of topics it still wants.
fn own(case: &Case) -> BTreeMap<MemberId, PartitionSet> {
    let mut own: BTreeMap<MemberId, Vec<TopicPartition>> =
        case.claims().map(|(id, _)| (id.clone(), Vec::new())).collect();
    let wanted = |partition: &TopicPartition| {
        let claimants = case.claims().filter(|(id, claim)| {
            case.wants(id, partition.topic()) && claim.owned.contains(partition)
        });
        let claimants: Vec<_> = claimants.map(|(id, claim)| (claim.generation, id)).collect();
        let newest = claimants.iter().map(|(generation, _)| *generation).max();
        let mut newest = claimants.into_iter().filter(|(g, _)| Some(*g) == newest);
        newest.next().filter(|_| newest.next().is_none()).map(|(_, id)| id.clone())
    };
    for partition in case.universe().iter() {
        if let Some(owner) = wanted(&partition) {
            own.get_mut(&owner).unwrap().push(partition);
        }
    }
    own.into_iter().map(|(id, own)| (id, own.into_iter().collect())).collect()
}

fn holds(name: &str, v: &Vector, result: &Result_) -> bool {
    let (kind, arg) = name.split_once(':').unwrap_or((name, ""));
    let all: Vec<TopicPartition> = result.values().flat_map(PartitionSet::iter).collect();
    let flat: PartitionSet = all.iter().cloned().collect();
    let (once, universe) = (flat.len() == all.len(), v.case.universe());
    let known = flat.difference(universe).is_empty();
    let mut sizes: Vec<usize> = result.values().map(PartitionSet::len).collect();
    sizes.sort_unstable();
    let own = own(&v.case);
    let subset = |a: &PartitionSet, b: &PartitionSet| a.difference(b).is_empty();
    let of = |id: &str| &result[&MemberId::new(id).unwrap()];
    match kind {
        "covers" => once && flat == *universe,
        "at-most-once" => once && known,
        "subscribed-only" => {
            result.iter().all(|(id, set)| set.topics().all(|(topic, _)| v.case.wants(id, topic)))
        }
        "balanced" => sizes.last().unwrap() - sizes.first().unwrap() <= 1,
        "balanced-general" => is_balanced(&v.case, &as_assignments(result)),
        "sizes" => {
            let mut wanted: Vec<usize> = arg.split(',').map(|n| n.parse().unwrap()).collect();
            wanted.sort_unstable();
            sizes == wanted
        }
        "size-max" => *sizes.last().unwrap() <= arg.parse::<usize>().unwrap(),
        "sticky" => result.iter().all(|(id, set)| subset(&own[id], set) || subset(set, &own[id])),
        "keeps-all" => result.iter().all(|(id, set)| subset(&own[id], set)),
        "keeps" => subset(&own[&MemberId::new(arg).unwrap()], of(arg)),
        "only-from-owned" => {
            let claim = v.case.claims().find(|(id, _)| id.as_str() == arg).unwrap().1;
            subset(of(arg), &claim.owned)
        }
        "moves" => {
            let moved = result.iter().map(|(id, set)| own[id].difference(set).len());
            moved.sum::<usize>() == arg.parse::<usize>().unwrap()
        }
        "per-topic" => result.values().all(|set| {
            v.case
                .topics()
                .iter()
                .all(|(t, _)| set.numbers_of(t).len() == arg.parse::<usize>().unwrap())
        }),
        "rack-mismatch" => mismatches(v, result) == arg.parse::<usize>().unwrap(),
        "co-partitioned" => result.values().all(|set| {
            let numbers = v.case.topics().iter().map(|(t, _)| set.numbers_of(t));
            numbers.collect::<BTreeSet<_>>().len() == 1
        }),
        _ => holds_for_claims(kind, v, result),
    }
}

fn holds_for_claims(kind: &str, v: &Vector, result: &Result_) -> bool {
    let claimed = v.case.claimed();
    let lost = |wanted_only: bool| {
        v.case.claims().any(|(id, claim)| {
            let lost = claim.owned.intersection(v.case.universe()).difference(&result[id]);
            let mut topics = lost.topics();
            topics.any(|(topic, _)| !wanted_only || v.case.wants(id, topic))
        })
    };
    match kind {
        "no-partition-in-both-owners" => result.iter().all(|(id, set)| {
            set.iter().all(|p| claimed.get(&p).is_none_or(|newest| newest.iter().eq([&id])))
        }),
        "highest-generation-wins" => result.iter().all(|(id, set)| {
            let claims = |p: &TopicPartition| {
                v.case.claims().find(|(other, _)| *other == id).unwrap().1.owned.contains(p)
            };
            set.iter().all(|p| !claims(&p) || claimed[&p].contains(id))
        }),
        "follow-up-needed" => lost(false),
        "final" => !lost(true),
        other => unreachable!("no invariant {other}"),
    }
}

fn mismatches(v: &Vector, result: &Result_) -> usize {
    let topics = v.case.topics();
    let far = |(id, claim): (&MemberId, &Claim)| {
        let Some(rack) = &claim.rack else { return 0 };
        let near = |p: &TopicPartition| topics.racks(p.topic(), p.partition()).contains(rack);
        result[id].iter().filter(|p| !near(p)).count()
    };
    v.case.claims().map(far).sum()
}

fn as_assignments(result: &Result_) -> groups::assignor::Assignments {
    let assignment = |set: &PartitionSet| groups::Assignment::new(set.clone());
    result.iter().map(|(id, set)| (id.clone(), assignment(set))).collect()
}

fn run(v: &Vector) -> Result_ {
    let result = assign(&*v.assignor, &v.case).unwrap();
    result.into_iter().map(|(id, given)| (id, given.partitions().clone())).collect()
}

#[test]
fn every_expected_result_is_met() {
    let mut faults = Vec::new();
    let mut expected = 0;
    for v in vectors().iter().filter(|v| !v.json["expected"].is_null()) {
        expected += 1;
        let got = run(v);
        let alternatives = v.json["alternatives"].as_array().into_iter().flatten();
        let mut accepted = core::iter::once(&v.json["expected"]).chain(alternatives).map(result);
        if !accepted.any(|wanted| wanted == got) {
            faults.push(format!("{}: wanted {} got {got:?}", v.id, v.json["expected"]));
        }
    }
    assert_eq!(expected, 110);
    assert!(faults.is_empty(), "{} differ: {faults:#?}", faults.len());
}

#[test]
fn every_invariant_of_every_case_holds() {
    let mut faults = Vec::new();
    let all = vectors();
    assert_eq!(all.len(), 139);
    for v in &all {
        let got = run(v);
        for invariant in texts(&v.json["invariants"]) {
            if !holds(invariant, v, &got) {
                faults.push(format!("{} breaks {invariant}: {got:?}", v.id));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// A check that accepts anything would show nothing.
#[test]
fn a_wrong_result_breaks_invariants() {
    for v in &vectors() {
        let mut wrong = run(v);
        let Some((_, set)) = wrong.iter_mut().find(|(_, set)| !set.is_empty()) else { continue };
        let first = set.iter().next().unwrap();
        let doubled = TopicPartition::new(topic("nowhere"), first.partition());
        *set = set.iter().chain([doubled]).collect();
        assert!(texts(&v.json["invariants"]).iter().any(|i| !holds(i, v, &wrong)), "{}", v.id);
    }
}
