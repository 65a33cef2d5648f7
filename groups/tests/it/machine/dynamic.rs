//! Scenarios 16 to 34 and 39 to 43: members between join and departure.

use groups::group::messages::{CommitKind, Event, JoinReason, Notice, WriteOutcome};
use groups::watch::{ExpulsionCause, RebalanceCause};
use groups::{GroupError, GroupSettings, GroupState};

use super::stage::{Consumer, Stage, unknown};

/// Two members in `CompletingRebalance`, the leader first.
fn completing(stage: &mut Stage) -> Vec<Consumer> {
    let mut consumers = vec![Consumer::dynamic(), Consumer::dynamic()];
    let joins: Vec<_> = consumers.iter_mut().map(|c| stage.enter(c)).collect();
    stage.turn();
    for (consumer, join) in consumers.iter_mut().zip(joins) {
        stage.adopt(consumer, join);
    }
    assert_eq!(stage.state(), GroupState::CompletingRebalance);
    assert_eq!(stage.group().leader(), Some(&consumers[0].id()));
    consumers
}

#[test]
fn p_016_to_017_while_others_join_the_old_generation_syncs_no_more_but_commits() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    stage.enter(&mut Consumer::dynamic());
    let sync = stage.sync(&consumers[0]);
    assert_eq!(stage.error(sync), GroupError::RebalanceInProgress);
    stage.pass(9_000);
    assert_eq!(stage.commit(&consumers[0], CommitKind::Plain), Ok(()));
    stage.pass(9_000);
    assert!(
        stage.group().member_ids().any(|id| *id == consumers[0].id()),
        "the commit refreshed it"
    );
    assert!(!stage.group().member_ids().any(|id| *id == consumers[1].id()));
}

#[test]
fn p_018_to_020_before_the_assignment_only_transactions_commit_and_hearts_beat() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = completing(&mut stage);
    let refused = stage.commit(&consumers[1], CommitKind::Plain);
    assert_eq!(refused, Err(GroupError::RebalanceInProgress));
    assert_eq!(stage.commit(&consumers[1], CommitKind::Transactional), Ok(()));
    assert_eq!(stage.heartbeat(&consumers[1]), Ok(()));
}

#[test]
fn p_021_a_follower_that_is_early_waits_for_the_leader_and_its_record() {
    let mut stage = Stage::persisting();
    stage.log = None;
    let consumers = completing(&mut stage);
    let follower = stage.sync(&consumers[1]);
    assert!(stage.waits(follower));
    let given = [(consumers[0].id(), "a"), (consumers[1].id(), "b")];
    let leader = stage.sync_with(&consumers[0], &given);
    assert!(stage.waits(follower) && stage.waits(leader), "nobody learns it before it is durable");
    let (write, record) = stage.writes.pop().unwrap();
    let record = record.unwrap();
    assert_eq!(record.members.len(), 2);
    assert_eq!(&record.members[1].assignment[..], b"b");
    stage.send(Event::Written { write, outcome: WriteOutcome::Durable });
    assert_eq!(&stage.synced(leader).assignment[..], b"a");
    assert_eq!(&stage.synced(follower).assignment[..], b"b");
    assert_eq!(stage.state(), GroupState::Stable);
}

#[test]
fn p_022_a_follower_that_is_late_is_answered_at_once() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = completing(&mut stage);
    stage.sync_with(&consumers[0], &[(consumers[1].id(), "b")]);
    assert_eq!(stage.state(), GroupState::Stable);
    let late = stage.sync(&consumers[1]);
    assert_eq!(&stage.synced(late).assignment[..], b"b");
}

#[test]
fn p_023_a_member_the_leader_forgot_gets_no_bytes_and_that_is_noticed() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = completing(&mut stage);
    let stranger = groups::ids::MemberId::new("stranger").unwrap();
    stage.sync_with(&consumers[0], &[(consumers[0].id(), "a"), (stranger, "x")]);
    let forgotten = stage.sync(&consumers[1]);
    assert!(stage.synced(forgotten).assignment.is_empty());
    assert!(stage.notices.contains(&Notice::Forgotten { member_id: consumers[1].id() }));
}

#[test]
fn p_024_a_leader_that_dies_before_it_assigns_is_replaced() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = completing(&mut stage);
    let sync = stage.sync(&consumers[1]);
    stage.until(9_999);
    assert!(stage.waits(sync));
    stage.until(10_000);
    assert_eq!(stage.error(sync), GroupError::RebalanceInProgress);
    let join = stage.join(&consumers[1]);
    let joined = stage.joined(join);
    assert_eq!((joined.generation.get(), joined.leader), (2, Some(consumers[1].id())));
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::SessionTimeout), 1);
}

#[test]
fn p_025_an_assignment_that_cannot_be_written_reaches_nobody() {
    for (outcome, code) in
        [(WriteOutcome::Refused, 15), (WriteOutcome::Lost, 16), (WriteOutcome::TooLarge, -1)]
    {
        let mut stage = Stage::persisting();
        stage.log = None;
        let consumers = completing(&mut stage);
        let follower = stage.sync(&consumers[1]);
        let leader = stage.sync_with(&consumers[0], &[(consumers[1].id(), "b")]);
        let (write, _) = stage.writes.pop().unwrap();
        stage.send(Event::Written { write, outcome });
        assert_eq!(stage.error(leader).kafka_code(), code);
        assert_eq!(stage.error(follower).kafka_code(), code);
        assert_eq!(stage.state(), GroupState::PreparingRebalance);
        assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::NotPersisted), 1);
        let described = stage.group().describe();
        assert!(described.members.iter().all(|member| member.assignment.is_empty()));
    }
}

#[test]
fn a_record_that_takes_too_long_counts_as_refused() {
    let mut stage = Stage::persisting();
    stage.log = None;
    let consumers = completing(&mut stage);
    let leader = stage.sync_with(&consumers[0], &[]);
    stage.sync(&consumers[1]);
    stage.until(4_999);
    assert!(stage.waits(leader));
    stage.until(5_000);
    assert_eq!(stage.error(leader), GroupError::CoordinatorNotAvailable);
    let (write, _) = stage.writes.pop().unwrap();
    stage.send(Event::Written { write, outcome: WriteOutcome::Durable });
    assert_eq!(stage.state(), GroupState::PreparingRebalance, "too late to count");
}

#[test]
fn p_026_a_record_that_a_rebalance_overtook_changes_nothing() {
    let mut stage = Stage::persisting();
    stage.log = None;
    let consumers = completing(&mut stage);
    let leader = stage.sync_with(&consumers[0], &[(consumers[0].id(), "a")]);
    let (write, _) = stage.writes.pop().unwrap();
    stage.enter(&mut Consumer::dynamic());
    assert_eq!(stage.error(leader), GroupError::RebalanceInProgress);
    stage.send(Event::Written { write, outcome: WriteOutcome::Durable });
    assert_eq!((stage.state(), stage.generation()), (GroupState::PreparingRebalance, 1));
}

#[test]
fn p_027_a_follower_that_joins_again_unchanged_is_answered_at_once() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    let join = stage.join(&consumers[1]);
    let joined = stage.joined(join);
    assert_eq!((joined.generation.get(), joined.members.len()), (1, 0));
    assert_eq!(stage.state(), GroupState::Stable);
    let sync = stage.sync(&consumers[1]);
    assert_eq!(stage.synced(sync).assignment, format!("to-{}", consumers[1].id()).as_bytes());
}

#[test]
fn p_028_a_leader_that_joins_again_begins_a_rebalance_and_says_why() {
    for (reason, cause) in [
        (JoinReason::Unspecified, RebalanceCause::Requested),
        (JoinReason::Requested, RebalanceCause::Requested),
        (JoinReason::PartitionsChanged, RebalanceCause::PartitionsChanged),
    ] {
        let mut stage = Stage::new(GroupSettings::default());
        let mut consumers = stage.stable(2);
        consumers[0].reason = reason;
        let join = stage.join(&consumers[0]);
        assert!(stage.waits(join));
        assert_eq!(stage.state(), GroupState::PreparingRebalance);
        assert_eq!(stage.group().watch().rebalances_for(cause), 1);
    }
}

#[test]
fn p_029_a_follower_with_other_topics_begins_a_rebalance() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(2);
    consumers[1].subscribe(&["orders", "payments"]);
    stage.join(&consumers[1]);
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::SubscriptionChanged), 1);
}

#[test]
fn p_030_a_join_whose_answer_was_lost_is_answered_again() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = completing(&mut stage);
    for (consumer, members) in consumers.iter().zip([2, 0]) {
        let again = stage.join(consumer);
        let joined = stage.joined(again);
        assert_eq!((joined.generation.get(), joined.members.len()), (1, members));
    }
    assert_eq!(stage.state(), GroupState::CompletingRebalance);
}

#[test]
fn p_031_a_follower_that_never_collects_its_assignment_is_out() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = completing(&mut stage);
    stage.sync_with(&consumers[0], &[(consumers[1].id(), "b")]);
    assert_eq!(stage.state(), GroupState::Stable);
    while stage.now_ms < 59_000 {
        stage.pass(1_000);
        assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
        assert_eq!(stage.heartbeat(&consumers[1]), Ok(()));
    }
    stage.pass(1_000);
    assert_eq!(stage.heartbeat(&consumers[1]), Err(unknown(&consumers[1])));
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::SyncTimeout), 1);
}

#[test]
fn p_032_once_all_have_collected_the_rebalance_timeout_means_nothing() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    while stage.now_ms < 130_000 {
        stage.pass(5_000);
        for consumer in &consumers {
            assert_eq!(stage.heartbeat(consumer), Ok(()));
        }
    }
    assert_eq!((stage.state(), stage.generation()), (GroupState::Stable, 1));
}

#[test]
fn p_033_a_heartbeat_of_an_old_generation_is_refused_and_the_member_stays() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(1);
    stage.regather(&mut consumers);
    assert_eq!(stage.generation(), 2);
    let mut old = consumers[0].clone();
    old.generation = groups::ids::Generation::new(1).unwrap();
    assert_eq!(stage.heartbeat(&old).unwrap_err().kafka_code(), 22);
    assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
}

#[test]
fn p_034_a_member_that_falls_silent_is_out_after_its_session() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    stage.until(9_000);
    assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
    stage.until(9_999);
    assert_eq!(stage.group().member_ids().count(), 2);
    stage.until(10_000);
    assert!(stage.group().member_ids().eq([&consumers[0].id()]));
    assert_eq!(stage.heartbeat(&consumers[0]), Err(GroupError::RebalanceInProgress));
    assert_eq!(stage.heartbeat(&consumers[1]), Err(unknown(&consumers[1])));
    let watch = stage.group().watch();
    assert_eq!(watch.expulsions_for(ExpulsionCause::SessionTimeout), 1);
    assert_eq!(watch.rebalances_for(RebalanceCause::SessionTimeout), 1);
}

#[test]
fn p_039_one_of_three_leaves_and_the_others_make_the_next_generation() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(3);
    let gone = consumers.remove(1);
    let left = stage.leave(core::slice::from_ref(&gone.identity));
    assert_eq!(stage.left(left), [Ok(())]);
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    stage.regather(&mut consumers);
    assert_eq!(stage.generation(), 2);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::MemberLeft), 1);
}

#[test]
fn p_040_the_last_member_leaves_an_empty_group_behind() {
    let mut stage = Stage::persisting();
    let consumers = stage.stable(1);
    stage.leave(&[consumers[0].identity.clone()]);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Empty, 2));
    assert_eq!(stage.group().leader(), None);
    assert_eq!(stage.group().describe().protocol, None);
    let record = stage.writes.pop().unwrap().1.unwrap();
    assert_eq!((record.generation.get(), record.members.len()), (2, 0));
    assert_eq!(stage.shard.next_deadline().map(|_| ()), Some(()), "an entry may linger");
    stage.pass(1_000_000);
    assert_eq!(stage.shard.next_deadline(), None);
}

#[test]
fn p_041_a_batch_of_three_leaves_with_one_rebalance() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(4);
    let leaving: Vec<_> = consumers[1..].iter().map(|c| c.identity.clone()).collect();
    let left = stage.leave(&leaving);
    assert_eq!(stage.left(left), [Ok(()), Ok(()), Ok(())]);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::MemberLeft), 1);
}

#[test]
fn p_042_an_unknown_member_of_a_batch_does_not_keep_the_others() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(3);
    let mut stranger = Consumer::dynamic();
    stranger.identity.member_id = Some(groups::ids::MemberId::new("stranger").unwrap());
    let who = [&consumers[1], &stranger, &consumers[2]].map(|c| c.identity.clone());
    let left = stage.leave(&who);
    assert_eq!(stage.left(left), [Ok(()), Err(unknown(&stranger)), Ok(())]);
    assert!(stage.group().member_ids().eq([&consumers[0].id()]));
}

/// Kafka begins a rebalance for this.
#[test]
fn p_043_a_pending_id_that_leaves_moves_nobody() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    let mut pending = Consumer::dynamic();
    let join = stage.join(&pending);
    let GroupError::MemberIdRequired { member_id } = stage.error(join) else { panic!() };
    pending.identity.member_id = Some(member_id);
    let left = stage.leave(&[pending.identity.clone()]);
    assert_eq!(stage.left(left), [Ok(())]);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Stable, 1));
    assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
    let join = stage.join(&pending);
    assert_eq!(stage.error(join), unknown(&pending), "the id is used up");
}

#[test]
fn a_member_that_leaves_while_it_waits_is_told() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = completing(&mut stage);
    let sync = stage.sync(&consumers[1]);
    stage.leave(&[consumers[1].identity.clone()]);
    assert_eq!(stage.error(sync), unknown(&consumers[1]));
    let mut third = Consumer::dynamic();
    let join = stage.enter(&mut third);
    assert!(stage.waits(join));
    stage.leave(&[third.identity.clone()]);
    assert_eq!(stage.error(join), unknown(&third));
}

#[test]
fn a_sync_for_another_way_of_assigning_is_refused() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    for (kind, name, fits) in [
        (None, None, true),
        (Some("consumer"), Some("range"), true),
        (Some("connect"), None, false),
        (None, Some("sticky"), false),
    ] {
        let request = stage.next_request();
        stage.send(Event::Sync(groups::group::messages::SyncRequest {
            request,
            identity: consumers[0].identity.clone(),
            generation: consumers[0].generation,
            protocol_type: kind.map(|kind| groups::ids::ProtocolType::new(kind).unwrap()),
            protocol: name.map(|name| groups::ids::ProtocolName::new(name).unwrap()),
            layout: Vec::new(),
            assignments: Vec::new(),
        }));
        assert_eq!(stage.answer(request).is_ok(), fits, "{kind:?} {name:?}");
    }
}
