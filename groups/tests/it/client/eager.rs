//! Eager members: everything is given back before anybody joins.

use groups::membership::{Call, MembershipError};

use super::peers::{Peers, eager, topic};

#[test]
fn p_092_everything_is_revoked_before_the_join_and_assigned_after_and_nothing_is_readable_between()
{
    let mut peers = Peers::new(2);
    let first = peers.add(eager());
    peers.settle(&[first]);
    assert_eq!(peers.owned(first), "0 1");
    peers.news(first);
    let second = peers.add(eager());
    peers.poll(second);
    peers.beat(first);
    peers.hold = true;
    peers.poll(first);
    assert_eq!(peers.news(first), ["revoked 0 1", "join"]);
    assert!(peers.all[first].membership.readable().is_empty());
    peers.release();
    peers.settle(&[first, second]);
    assert_eq!(peers.news(first), ["sync", "assigned 0"]);
    assert_eq!(peers.news(second), ["join", "join", "sync", "assigned 1"]);
}

#[test]
fn p_093_with_nothing_owned_both_callbacks_still_come() {
    let mut peers = Peers::new(1);
    let (first, second) = (peers.add(eager()), peers.add(eager()));
    peers.settle(&[first, second]);
    let nothing = if peers.owned(first).is_empty() { first } else { second };
    peers.news(nothing);
    let third = peers.add(eager());
    peers.settle(&[first, second, third]);
    let news = peers.news(nothing);
    assert_eq!(news.first().map(String::as_str), Some("revoked"));
    assert!(news.last().unwrap().starts_with("assigned"), "{news:?}");
}

#[test]
fn p_104_an_assignment_with_a_topic_that_is_not_wanted_is_not_taken() {
    let mut peers = Peers::new(2);
    peers.topics = peers.topics.clone().with(topic("payments"), 2);
    let first = peers.add(eager());
    peers.all[first].membership.subscribe([topic("orders"), topic("payments")]);
    // The assignment is made for both topics, and on the way when one is dropped.
    peers.hold = true;
    peers.poll(first);
    for _ in 0..2 {
        peers.release();
        peers.hold = true;
        peers.poll(first);
    }
    assert_eq!(peers.news(first), ["join", "join", "sync"]);
    peers.all[first].membership.subscribe([topic("orders")]);
    peers.release();
    peers.settle(&[first]);
    assert_eq!(peers.news(first), ["revoked", "join", "sync", "assigned 0 1"]);
}

#[test]
fn p_106_a_poll_that_was_cut_short_goes_on_with_the_same_join() {
    let mut peers = Peers::new(2);
    let first = peers.add(eager());
    peers.settle(&[first]);
    let second = peers.add(eager());
    peers.poll(second);
    peers.poll(second);
    peers.poll(second);
    assert_eq!(peers.news(second), ["join", "join"], "an id, and a join that is kept back");
    peers.settle(&[first, second]);
    assert_eq!(peers.news(second), ["sync", "assigned 1"]);
}

#[test]
fn p_107_the_leader_sees_that_partitions_were_added_and_a_follower_does_nothing() {
    let mut peers = Peers::new(3);
    let (first, second) = (peers.add(eager()), peers.add(eager()));
    peers.settle(&[first, second]);
    let leader = peers.group().leader().cloned();
    let led = |peers: &Peers, who: usize| peers.all[who].membership.identity().member_id == leader;
    let (leader, follower) = if led(&peers, first) { (first, second) } else { (second, first) };
    let before = peers.rebalances();
    peers.topics = peers.topics.clone().with(topic("orders"), 5);
    peers.news(follower);
    peers.poll(follower);
    assert!(peers.news(follower).is_empty());
    assert_eq!(peers.rebalances(), before);
    peers.poll(leader);
    assert_eq!(peers.rebalances(), before + 1);
    peers.settle(&[first, second]);
    let owned = peers.all[first].membership.owned().union(peers.all[second].membership.owned());
    assert_eq!(owned.len(), 5);
}

#[test]
fn p_108_one_new_topic_for_all_is_one_rebalance_or_two_and_not_one_for_each_member() {
    let mut peers = Peers::new(2);
    let all: Vec<usize> = (0..5).map(|_| peers.add(eager())).collect();
    peers.settle(&all);
    let before = peers.rebalances();
    peers.topics = peers.topics.clone().with(topic("payments"), 5);
    for who in &all {
        peers.all[*who].membership.subscribe([topic("orders"), topic("payments")]);
    }
    peers.settle(&all);
    assert_eq!(peers.rebalances(), before + 1);
}

/// A strategy of the user's own that panics the first time.
#[derive(Debug, Default)]
struct Panics(std::sync::atomic::AtomicBool);

impl groups::assignor::Assignor for Panics {
    fn name(&self) -> &'static str {
        "range"
    }
    fn assign(
        &self,
        topics: &groups::assignor::Topics,
        members: &groups::assignor::Members,
    ) -> Result<groups::assignor::Assignments, groups::assignor::AssignError> {
        assert!(self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "on purpose");
        groups::assignor::Range::new().assign(topics, members)
    }
}

#[test]
fn row_16_an_assignor_that_panics_has_failed_and_is_asked_again() {
    let mut peers = Peers::new(2);
    let first = peers.add(super::peers::settings(std::sync::Arc::new(Panics::default())));
    let error = peers.try_poll(first).unwrap_err();
    assert!(matches!(&error, MembershipError::Assign { assignor, .. } if assignor == "range"));
    assert!(error.to_string().contains("panicked"), "{error}");
    peers.pass(200);
    peers.settle(&[first]);
    assert_eq!(peers.owned(first), "0 1");
    let joins = peers.all[first].calls.iter().filter(|c| matches!(c, Call::Join { .. })).count();
    assert_eq!(joins, 3, "an id, the first one, and once more after the panic");
}
