//! Cooperative members: only what moves is given back, and moves one round later.

use super::peers::{Peers, cooperative, topic};

#[test]
fn p_094_to_096_one_partition_moves_and_the_others_are_never_given_back() {
    let mut peers = Peers::new(2);
    let first = peers.add(cooperative());
    peers.settle(&[first]);
    peers.news(first);
    let second = peers.add(cooperative());
    peers.poll(second);
    peers.beat(first);
    peers.poll(first);
    // Both partitions go on while the group rebalances.
    assert_eq!(peers.news(first), ["join", "sync", "revoked 1", "assigned", "join"]);
    assert_eq!(peers.owned(first), "0");
    peers.settle(&[first, second]);
    assert_eq!(peers.news(first), ["sync", "assigned"]);
    assert_eq!(peers.news(second), ["join", "join", "sync", "join", "sync", "assigned 1"]);
    assert_eq!((peers.owned(first), peers.owned(second)), ("0".into(), "1".into()));
}

#[test]
fn p_095_what_is_only_added_costs_no_second_round() {
    let mut peers = Peers::new(2);
    let first = peers.add(cooperative());
    peers.settle(&[first]);
    peers.news(first);
    let before = peers.rebalances();
    peers.topics = peers.topics.clone().with(topic("orders"), 3);
    peers.settle(&[first]);
    assert_eq!(peers.news(first), ["join", "sync", "assigned 2"]);
    assert_eq!(peers.rebalances(), before + 1);
}

#[test]
fn p_097_partitions_of_a_topic_that_is_dropped_go_before_the_join() {
    let mut peers = Peers::new(2);
    peers.topics = peers.topics.clone().with(topic("payments"), 2);
    let first = peers.add(cooperative());
    peers.all[first].membership.subscribe([topic("orders"), topic("payments")]);
    peers.settle(&[first]);
    peers.news(first);
    peers.all[first].membership.subscribe([topic("orders")]);
    peers.settle(&[first]);
    assert_eq!(peers.news(first), ["revoked 0 1", "join", "sync", "assigned"]);
    assert_eq!(peers.owned(first), "0 1");
}

#[test]
fn a_member_that_leaves_frees_its_partitions_in_one_round() {
    let mut peers = Peers::new(4);
    let (first, second) = (peers.add(cooperative()), peers.add(cooperative()));
    peers.settle(&[first, second]);
    let before = peers.rebalances();
    peers.all[second].membership.unsubscribe();
    peers.poll(second);
    peers.news(first);
    peers.settle(&[first]);
    assert_eq!(peers.rebalances(), before + 1);
    assert_eq!(peers.owned(first), "0 1 2 3");
    assert!(peers.news(first).iter().all(|line| !line.starts_with("revoked")));
}

/// A strategy that calls itself cooperative and hands out what others still own.
#[derive(Debug)]
struct Greedy;

impl groups::assignor::Assignor for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }
    fn protocols(&self) -> &[groups::assignor::RebalanceProtocol] {
        &[groups::assignor::RebalanceProtocol::Cooperative]
    }
    fn assign(
        &self,
        topics: &groups::assignor::Topics,
        members: &groups::assignor::Members,
    ) -> Result<groups::assignor::Assignments, groups::assignor::AssignError> {
        groups::assignor::Range::new().assign(topics, members)
    }
}

#[test]
fn a_strategy_that_hands_out_what_is_still_owned_is_stopped() {
    let mut peers = Peers::new(2);
    let settings = super::peers::settings(std::sync::Arc::new(Greedy));
    let first = peers.add(settings.clone());
    peers.settle(&[first]);
    let second = peers.add(settings);
    peers.poll(second);
    peers.beat(first);
    let error = peers.try_poll(first).unwrap_err().to_string();
    assert!(error.contains("greedy") && error.contains("another member owns it"), "{error}");
    assert_eq!(peers.owned(first), "0 1", "nothing moved");
}
