//! Scenarios 52 to 67: members that keep their name across restarts.

use groups::group::messages::{CommitKind, Event, Identity, JoinVersion, WriteOutcome};
use groups::ids::MemberId;
use groups::watch::{ExpulsionCause, RebalanceCause};
use groups::{GroupError, GroupSettings, GroupState};

use super::stage::{Consumer, Stage, fenced, unknown};

/// A stable group of two static members, A the leader, and B.
fn two(stage: &mut Stage) -> Vec<Consumer> {
    let mut consumers = vec![Consumer::with_instance("A"), Consumer::with_instance("B")];
    stage.gather(&mut consumers);
    assert_eq!(stage.group().leader(), Some(&consumers[0].id()));
    consumers
}

#[test]
fn p_052_a_restart_keeps_the_assignment_and_nobody_notices() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = two(&mut stage);
    let rebalances = stage.group().watch().rebalances();
    let mut again = consumers[1].restarted();
    let join = stage.join(&again);
    let joined = stage.adopt(&mut again, join);
    assert_ne!(again.id(), consumers[1].id());
    assert_eq!((joined.generation.get(), joined.skip_assignment), (1, false));
    let sync = stage.sync(&again);
    assert_eq!(stage.synced(sync).assignment, format!("to-{}", consumers[1].id()).as_bytes());
    assert_eq!(stage.heartbeat(&consumers[1]), Err(fenced("B")));
    assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
    assert_eq!(stage.group().watch().rebalances(), rebalances);
}

#[test]
fn p_053_a_return_before_the_assignment_begins_a_rebalance() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = two(&mut stage);
    consumers[0].subscribe(&["payments"]);
    let joins: Vec<_> = consumers.iter().map(|c| stage.join(c)).collect();
    for (consumer, join) in consumers.iter_mut().zip(joins) {
        stage.adopt(consumer, join);
    }
    let sync = stage.sync(&consumers[1]);
    let join = stage.join(&consumers[1].restarted());
    assert_eq!(stage.error(sync), fenced("B"));
    assert!(stage.waits(join));
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::StaticMemberReplaced), 1);
}

#[test]
fn p_054_a_return_while_others_join_takes_the_place_of_the_join_that_waits() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = two(&mut stage);
    consumers[1].subscribe(&["payments"]);
    let old = stage.join(&consumers[1]);
    assert!(stage.waits(old));
    let new = stage.join(&consumers[1].restarted());
    assert_eq!(stage.error(old), fenced("B"));
    assert!(stage.waits(new), "A has still to join");
    let leader = stage.join(&consumers[0]);
    assert_eq!(stage.joined(new).generation.get(), 2);
    assert_eq!(stage.joined(leader).members.len(), 2);
}

#[test]
fn p_055_a_return_that_changes_the_vote_begins_a_rebalance() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = [Consumer::with_instance("A"), Consumer::with_instance("B")];
    for consumer in &mut consumers {
        consumer.protocols = Consumer::offering(&["b", "a"]).protocols;
    }
    stage.gather(&mut consumers);
    let mut again = consumers[1].restarted();
    again.protocols.reverse();
    stage.join(&again);
    assert_eq!(stage.state(), GroupState::PreparingRebalance, "one vote each: a is smaller");
}

/// Kafka leaves it on its old assignment until something else happens.
#[test]
fn a_return_with_other_topics_begins_a_rebalance() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = two(&mut stage);
    let mut again = consumers[1].restarted();
    again.subscribe(&["payments"]);
    stage.join(&again);
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
}

#[test]
fn p_056_a_return_that_cannot_be_written_leaves_the_old_process_in_place() {
    let mut stage = Stage::persisting();
    let consumers = two(&mut stage);
    stage.log = None;
    let join = stage.join(&consumers[0].restarted());
    assert!(stage.waits(join));
    let (write, record) = stage.writes.pop().unwrap();
    let members = record.unwrap().members;
    assert!(members.iter().all(|member| member.member_id != consumers[0].id()));
    assert!(members.iter().all(|member| !member.assignment.is_empty()), "with what they hold");
    stage.send(Event::Written { write, outcome: WriteOutcome::Refused });
    assert_eq!(stage.error(join), GroupError::CoordinatorNotAvailable);
    assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
    assert_eq!(stage.group().leader(), Some(&consumers[0].id()));
    let sync = stage.sync(&consumers[0]);
    assert_eq!(stage.synced(sync).assignment, format!("to-{}", consumers[0].id()).as_bytes());
}

#[test]
fn a_rebalance_that_overtakes_the_record_of_a_return_answers_its_join() {
    for outcome in [WriteOutcome::Durable, WriteOutcome::Refused] {
        let mut stage = Stage::persisting();
        let consumers = two(&mut stage);
        stage.log = None;
        let join = stage.join(&consumers[1].restarted());
        let (write, _) = stage.writes.pop().unwrap();
        let third = stage.join(&Consumer::with_instance("C"));
        stage.send(Event::Written { write, outcome });
        if outcome == WriteOutcome::Durable {
            assert!(stage.waits(join));
            stage.join(&consumers[0]);
            assert_eq!(stage.joined(join).generation.get(), 2);
        } else {
            assert_eq!(stage.error(join), GroupError::CoordinatorNotAvailable);
            let old = stage.join(&consumers[1]);
            stage.join(&consumers[0]);
            assert_eq!(stage.joined(old).generation.get(), 2);
        }
        assert_eq!(stage.joined(third).generation.get(), 2);
    }
}

#[test]
fn p_057_the_old_process_is_told_by_whatever_it_asks() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = two(&mut stage);
    stage.join(&consumers[0].restarted());
    let old = &consumers[0];
    let join = stage.join(old);
    assert_eq!(stage.error(join), fenced("A"));
    let sync = stage.sync(old);
    assert_eq!(stage.error(sync), fenced("A"));
    assert_eq!(stage.heartbeat(old), Err(fenced("A")));
    assert_eq!(stage.commit(old, CommitKind::Plain), Err(fenced("A")));
    assert_eq!(stage.commit(old, CommitKind::Transactional), Err(fenced("A")));
    let left = stage.leave(core::slice::from_ref(&old.identity));
    assert_eq!(stage.left(left), [Err(fenced("A"))]);
    // Without its instance id it is merely unknown.
    let mut nameless = old.clone();
    nameless.identity.instance_id = None;
    assert_eq!(stage.heartbeat(&nameless), Err(unknown(old)));
}

#[test]
fn p_058_an_id_under_an_unknown_instance_is_unknown() {
    let mut stage = Stage::new(GroupSettings::default());
    two(&mut stage);
    let mut stranger = Consumer::with_instance("C");
    stranger.identity.member_id = Some(MemberId::new("a9").unwrap());
    let join = stage.join(&stranger);
    assert_eq!(stage.error(join), unknown(&stranger));
}

#[test]
fn p_059_a_static_member_that_is_silent_through_a_rebalance_keeps_its_place() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = [Consumer::with_instance("A"), Consumer::with_instance("B")];
    consumers[1].session_ms = 600_000;
    stage.gather(&mut consumers);
    stage.pass(1);
    let join = stage.join(&consumers[0]);
    stage.until(60_001);
    let joined = stage.joined(join);
    assert_eq!((joined.generation.get(), joined.members.len()), (2, 2));
    let mut present = [consumers[0].clone()];
    stage.assign_all(&mut present, &[join]);
    let described = stage.group().describe();
    assert!(described.members.iter().all(|member| !member.assignment.is_empty()));
}

/// Kafka would expel it when the sync deadline ends, long before its session.
#[test]
fn an_absent_static_member_is_judged_by_its_session_alone_which_nobody_prolongs() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = [Consumer::with_instance("A"), Consumer::with_instance("B")];
    consumers[0].session_ms = 600_000;
    consumers[1].session_ms = 300_000;
    stage.gather(&mut consumers);
    let mut present = [consumers[0].clone()];
    for round in 1..=4 {
        let join = stage.join(&present[0]);
        stage.until(round * 60_000);
        stage.assign_all(&mut present, &[join]);
    }
    stage.until(299_999);
    assert_eq!(stage.group().member_ids().count(), 2, "four sync deadlines have passed");
    stage.until(300_000);
    assert_eq!(stage.group().member_ids().count(), 1, "four rebalances did not prolong it");
}

#[test]
fn p_060_with_only_absent_static_members_the_phase_goes_on_until_their_sessions_end() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = [Consumer::with_instance("A"), Consumer::dynamic()];
    consumers[0].session_ms = 150_000;
    stage.gather(&mut consumers);
    stage.leave(&[consumers[1].identity.clone()]);
    for ms in [60_000, 120_000, 149_999] {
        stage.until(ms);
        assert_eq!((stage.state(), stage.generation()), (GroupState::PreparingRebalance, 1));
    }
    stage.until(150_000);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Empty, 2));
}

#[test]
fn p_061_a_restart_after_the_session_costs_two_rebalances() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = two(&mut stage);
    let before = stage.group().watch().rebalances();
    let gone = consumers.remove(1);
    stage.pass(5_000);
    stage.heartbeat(&consumers[0]).unwrap();
    stage.pass(5_000);
    assert_eq!(stage.heartbeat(&consumers[0]), Err(GroupError::RebalanceInProgress));
    stage.regather(&mut consumers);
    let again = gone.restarted();
    let join = stage.join(&again);
    assert!(stage.waits(join));
    let rejoin = stage.join(&consumers[0]);
    let mut all = [consumers[0].clone(), again];
    stage.assign_all(&mut all, &[rejoin, join]);
    assert_ne!(all[1].id(), gone.id());
    assert_eq!(stage.group().watch().rebalances() - before, 2);
}

#[test]
fn p_062_a_leader_that_returns_leaves_the_assignment_as_it_is() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = two(&mut stage);
    let mut again = consumers[0].restarted();
    let join = stage.join(&again);
    let joined = stage.adopt(&mut again, join);
    assert!(joined.skip_assignment);
    assert_eq!((joined.leader, joined.members.len()), (Some(again.id()), 2));
    let sync = stage.sync(&again);
    assert_eq!(stage.synced(sync).assignment, format!("to-{}", consumers[0].id()).as_bytes());
    assert_eq!(stage.state(), GroupState::Stable);
}

#[test]
fn p_063_a_leader_that_knows_no_skipping_is_told_to_follow_whom_it_was() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = two(&mut stage);
    let mut again = consumers[0].restarted();
    again.version = JoinVersion(8);
    let join = stage.join(&again);
    let joined = stage.joined(join);
    assert_eq!(joined.leader, Some(consumers[0].id()));
    assert!(joined.members.is_empty() && !joined.skip_assignment);
}

#[test]
fn p_064_an_operator_removes_a_static_member_by_its_name() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = two(&mut stage);
    let by_name = Identity { member_id: None, ..consumers[1].identity.clone() };
    let left = stage.leave(&[by_name, Identity::default()]);
    assert_eq!(stage.left(left), [Ok(()), Err(GroupError::UnknownMemberId { member_id: None })]);
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    assert!(stage.group().member_ids().eq([&consumers[0].id()]));
}

#[test]
fn p_065_the_partitions_of_a_closed_static_member_wait_for_its_session() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = two(&mut stage);
    // It closes: nothing is sent. The others go on.
    stage.until(9_000);
    assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
    assert_eq!(stage.state(), GroupState::Stable);
    stage.until(10_000);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::SessionTimeout), 1);
}

#[test]
fn row_105_one_instance_id_twice_fences_the_older_process_and_makes_no_loop() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = [Consumer::with_instance("A")];
    stage.gather(&mut consumers);
    let first = consumers[0].clone();
    let mut second = first.restarted();
    let join = stage.join(&second);
    stage.adopt(&mut second, join);
    // p_066: the first is told something that it must not answer by joining again.
    let told = stage.heartbeat(&first).unwrap_err();
    assert!(told.is_fatal() && !told.asks_to_rejoin(), "{told}");
    assert_eq!(told, fenced("A"));
    assert_eq!(stage.heartbeat(&second), Ok(()));
    assert_eq!(stage.group().member_ids().count(), 1);
    assert_eq!(stage.group().watch().expulsions_for(ExpulsionCause::Fenced), 1);
    assert_eq!(stage.group().watch().rebalances(), 1, "the one that began the group");
}

/// Kafka keeps waiting for a sync of the old id, and rebalances when it does not come.
#[test]
fn p_067_a_return_between_join_and_sync_leaves_no_debt() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = [Consumer::with_instance("A"), Consumer::with_instance("B")];
    let joins: Vec<_> = consumers.iter_mut().map(|c| stage.enter(c)).collect();
    stage.turn();
    for (consumer, join) in consumers.iter_mut().zip(&joins) {
        stage.adopt(consumer, *join);
    }
    stage.sync_with(&consumers[0], &[(consumers[1].id(), "b")]);
    assert_eq!(stage.state(), GroupState::Stable);
    let mut again = consumers[1].restarted();
    let join = stage.join(&again);
    stage.adopt(&mut again, join);
    while stage.now_ms < 130_000 {
        stage.pass(5_000);
        assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
        assert_eq!(stage.heartbeat(&again), Ok(()));
    }
    assert_eq!(stage.group().watch().rebalances(), 1);
}
