//! How a membership ends: by the coordinator's word, by silence, in good order.

use groups::GroupError;
use groups::group::messages::LeaveReason;
use groups::membership::{Call, CommitRefusal, MembershipError, Step};
use groups::watch::{ExpulsionCause, RebalanceCause};

use super::peers::{Peers, cooperative, eager, with_instance};

#[test]
fn p_098_a_member_that_is_not_known_any_more_has_lost_everything_and_is_a_new_one() {
    let mut peers = Peers::new(2);
    let first = peers.add(cooperative());
    peers.settle(&[first]);
    let old = peers.all[first].membership.identity();
    peers.pass(46_000);
    peers.news(first);
    peers.beat(first);
    peers.poll(first);
    assert_eq!(peers.news(first)[..3], ["lost 0 1", "join", "join"]);
    assert_ne!(peers.all[first].membership.identity(), old);
}

#[test]
fn p_099_a_member_of_an_old_generation_has_lost_everything_and_keeps_its_id() {
    let mut peers = Peers::new(2);
    let first = peers.add(with_instance(cooperative(), "A"));
    let second = peers.add(with_instance(cooperative(), "B"));
    peers.settle(&[first, second]);
    let id = peers.all[second].membership.identity();
    // A third makes a new generation while the second is silent: it is static, so it stays.
    let third = peers.add(cooperative());
    peers.poll(third);
    peers.beat(first);
    peers.poll(first);
    for _ in 0..8 {
        peers.pass(40_000);
        peers.beat(first);
        peers.poll(first);
        peers.beat(third);
        peers.poll(third);
        if peers.group().member_ids().count() < 3 {
            break;
        }
    }
    if peers.group().member_ids().any(|member| Some(member) == id.member_id.as_ref()) {
        peers.news(second);
        peers.beat(second);
        peers.poll(second);
        assert_eq!(peers.news(second)[0], "lost 1");
        assert_eq!(peers.all[second].membership.identity(), id);
    } else {
        assert_eq!(peers.group().watch().expulsions_for(ExpulsionCause::SessionTimeout), 1);
    }
}

#[test]
fn p_100_an_answer_to_a_heartbeat_of_the_past_changes_nothing() {
    let mut peers = Peers::new(2);
    let first = peers.add(cooperative());
    peers.settle(&[first]);
    peers.hold = true;
    peers.beat(first);
    let (who, call, _) = peers.held.pop().unwrap();
    peers.hold = false;
    peers.all[first].membership.enforce_rebalance();
    peers.settle(&[first]);
    let generation = peers.all[first].membership.generation();
    let old = GroupError::UnknownMemberId { member_id: None };
    let now = peers.tick_now();
    peers.all[who].membership.answered(call, Err(old), now);
    assert_eq!(peers.all[first].membership.generation(), generation);
    assert!(peers.all[first].membership.is_settled());
}

#[test]
fn p_101_a_consumer_that_nobody_polls_leaves_and_says_why() {
    let mut peers = Peers::new(2);
    let (first, second) = (peers.add(cooperative()), peers.add(cooperative()));
    peers.settle(&[first, second]);
    let (identity, generation) = peers.all[first].membership.committer().unwrap();
    // Its heart beats, and its application is busy.
    for _ in 0..20 {
        peers.pass(14_900);
        assert!(matches!(peers.tick(first), None | Some(Call::Heartbeat { .. })));
        peers.tick(second);
        peers.poll(second);
    }
    peers.pass(3_000);
    let left = peers.tick(first);
    let reason = LeaveReason::PollIntervalExceeded;
    assert!(matches!(left, Some(Call::Leave { reason: r, .. }) if r == reason), "{left:?}");
    let watch = peers.group().watch();
    assert_eq!(watch.rebalances_for(RebalanceCause::PollIntervalExceeded), 1);
    assert_eq!(peers.all[first].membership.committer(), Err(CommitRefusal::CommitFailed));
    assert!(peers.commit_as(identity, generation).is_err());
    peers.news(first);
    peers.poll(first);
    assert_eq!(peers.news(first)[..2], ["lost 0", "join"]);
}

#[test]
fn p_102_a_static_consumer_that_nobody_polls_keeps_its_place_until_its_session_ends() {
    let mut peers = Peers::new(2);
    let first = peers.add(with_instance(cooperative(), "A"));
    peers.settle(&[first]);
    for _ in 0..20 {
        peers.pass(14_900);
        peers.tick(first);
    }
    peers.pass(3_000);
    assert!(peers.tick(first).is_none(), "no word to the coordinator");
    assert_eq!(peers.group().member_ids().count(), 1);
    assert!(peers.all[first].membership.next_deadline().is_none(), "and no heartbeat either");
    peers.pass(46_000);
    assert_eq!(peers.group().watch().expulsions_for(ExpulsionCause::SessionTimeout), 1);
}

#[test]
fn p_109_closing_commits_gives_back_and_leaves_in_that_order() {
    let mut peers = Peers::new(2);
    let first = peers.add(eager().auto_commit(true));
    peers.settle(&[first]);
    peers.news(first);
    peers.all[first].membership.unsubscribe();
    peers.poll(first);
    assert_eq!(peers.news(first), ["commit 0 1", "revoked 0 1", "leave"]);
    assert_eq!(peers.group().member_ids().count(), 0);
    peers.poll(first);
    assert!(peers.news(first).is_empty());
}

#[test]
fn p_109_while_it_closes_it_is_still_the_member_whose_offsets_count() {
    let mut peers = Peers::new(2);
    let first = peers.add(eager().auto_commit(true));
    peers.settle(&[first]);
    let (topics, now) = (peers.topics.clone(), peers.tick_now());
    let member = &mut peers.all[first].membership;
    let as_whom = member.committer().unwrap();
    member.unsubscribe();
    assert!(matches!(member.step(&topics, now), Ok(Step::Commit(_))));
    assert_eq!(member.committer(), Ok(as_whom.clone()));
    assert!(matches!(member.step(&topics, now), Ok(Step::Revoked(_))));
    assert_eq!(member.committer(), Ok(as_whom), "a listener may commit");
    assert!(matches!(member.step(&topics, now), Ok(Step::Send(_, Call::Leave { .. }))));
    assert_eq!(member.committer(), Err(CommitRefusal::CommitFailed));
    assert!(matches!(member.step(&topics, now), Ok(Step::Ready)));
    assert!(member.owned().is_empty() && member.generation().is_none());
}

#[test]
fn what_is_being_given_back_is_not_told_of_twice() {
    let mut peers = Peers::new(2);
    let first = peers.add(eager());
    peers.settle(&[first]);
    let (topics, now) = (peers.topics.clone(), peers.tick_now());
    let member = &mut peers.all[first].membership;
    member.enforce_rebalance();
    assert!(matches!(member.step(&topics, now), Ok(Step::Revoked(_))));
    member.unsubscribe();
    assert!(matches!(member.step(&topics, now), Ok(Step::Send(_, Call::Leave { .. }))));
    assert!(matches!(member.step(&topics, now), Ok(Step::Ready)));
}

#[test]
fn p_065_a_static_consumer_that_closes_says_nothing() {
    let mut peers = Peers::new(2);
    let first = peers.add(with_instance(eager(), "A"));
    peers.settle(&[first]);
    peers.news(first);
    peers.all[first].membership.unsubscribe();
    peers.poll(first);
    assert_eq!(peers.news(first), ["revoked 0 1"]);
    assert_eq!(peers.group().member_ids().count(), 1);
}

#[test]
fn p_066_of_two_processes_with_one_instance_id_the_first_stops_for_good() {
    let mut peers = Peers::new(2);
    let first = peers.add(with_instance(cooperative(), "A"));
    peers.settle(&[first]);
    let second = peers.add(with_instance(cooperative(), "A"));
    peers.settle(&[second]);
    assert_eq!(peers.owned(second), "0 1", "it has the place of the first");
    peers.news(first);
    peers.beat(first);
    let fenced = peers.try_poll(first).unwrap_err();
    assert!(
        matches!(fenced, MembershipError::Refused(GroupError::FencedInstanceId { .. })),
        "{fenced}"
    );
    assert_eq!(peers.news(first), ["lost 0 1"]);
    peers.pass(1_000);
    assert!(peers.try_poll(first).is_err(), "no loop: it does not join again");
    assert!(peers.news(first).is_empty());
}

#[test]
fn a_static_leader_that_returns_sees_what_changed_while_it_was_away() {
    let mut peers = Peers::new(2);
    let first = peers.add(with_instance(cooperative(), "A"));
    peers.settle(&[first]);
    let before = peers.rebalances();
    // The process ends without a word, and a new one has its name.
    let again = peers.add(with_instance(cooperative(), "A"));
    peers.settle(&[again]);
    assert_eq!(peers.rebalances(), before, "a restart costs nothing");
    peers.topics = peers.topics.clone().with(super::peers::topic("orders"), 4);
    let third = peers.add(with_instance(cooperative(), "A"));
    peers.settle(&[third]);
    assert_eq!(peers.owned(third), "0 1 2 3");
    assert_eq!(peers.rebalances(), before + 1);
}
