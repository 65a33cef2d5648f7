//! Commits around a rebalance.

use groups::membership::{CommitRefusal, Step};

use super::peers::{Peers, cooperative, eager};

#[test]
fn p_103_a_commit_during_a_rebalance_is_refused_by_name_and_succeeds_after_polling() {
    let mut peers = Peers::new(2);
    let first = peers.add(cooperative());
    peers.settle(&[first]);
    let second = peers.add(cooperative());
    peers.poll(second);
    // The first has not heard of the rebalance: its generation still counts.
    let (identity, generation) = peers.all[first].membership.committer().unwrap();
    assert_eq!(peers.commit_as(identity.clone(), generation), Ok(()));
    peers.hold = true;
    peers.all[first].membership.enforce_rebalance();
    peers.poll(first);
    // The join is answered, the assignment is not there yet.
    let refused = peers.all[first].membership.committer();
    assert_eq!(refused, Err(CommitRefusal::RebalanceInProgress));
    let late = peers.commit_as(identity, generation).unwrap_err();
    let told = peers.all[first].membership.commit_refused(late, generation);
    assert_eq!(told, CommitRefusal::RebalanceInProgress);
    peers.release();
    peers.settle(&[first, second]);
    let (identity, generation) = peers.all[first].membership.committer().unwrap();
    assert_eq!(peers.commit_as(identity, generation), Ok(()));
}

#[test]
fn p_105_and_110_what_the_listener_or_the_commit_makes_of_it_does_not_keep_the_group() {
    // Whatever happens in between, the next step goes on: a commit that failed is given up, a
    // listener that failed has had its say.
    let mut peers = Peers::new(2);
    let first = peers.add(eager().auto_commit(true));
    peers.settle(&[first]);
    peers.all[first].membership.enforce_rebalance();
    let now = peers.tick_now();
    let topics = peers.topics.clone();
    let membership = &mut peers.all[first].membership;
    assert!(matches!(membership.step(&topics, now), Ok(Step::Commit(_))));
    assert!(membership.readable().is_empty(), "what is about to go is not read");
    assert!(membership.committer().is_ok(), "its positions can be committed still");
    assert!(matches!(membership.step(&topics, now), Ok(Step::Revoked(_))));
    assert_eq!(membership.owned().len(), 2, "owned while the listener is told");
    assert!(matches!(membership.step(&topics, now), Ok(Step::Send(..))));
    assert!(membership.owned().is_empty());
}

/// The old owner of a partition that moved is refused, though it never heard of the move (mission,
/// row 20).
#[test]
fn a_zombies_commit_is_refused_once_its_partition_has_moved() {
    let mut peers = Peers::new(2);
    let (first, second) = (peers.add(cooperative()), peers.add(cooperative()));
    peers.settle(&[first, second]);
    let (identity, generation) = peers.all[first].membership.committer().unwrap();
    for _ in 0..4 {
        peers.pass(14_000);
        peers.beat(second);
        peers.poll(second);
    }
    assert_eq!(peers.owned(second), "0 1", "the first is taken for dead");
    let refused = peers.commit_as(identity, generation).unwrap_err();
    let told = peers.all[first].membership.commit_refused(refused, generation);
    assert_eq!(told, CommitRefusal::CommitFailed);
    peers.news(first);
    peers.poll(first);
    assert_eq!(peers.news(first)[0], "lost 0");
}
