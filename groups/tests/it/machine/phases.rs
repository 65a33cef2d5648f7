//! Scenarios 9 to 15 and 35 to 38: how long members wait for each other.

use groups::watch::{ExpulsionCause, RebalanceCause};
use groups::{GroupSettings, GroupState};

use super::stage::{Consumer, Stage, unknown};

/// Enters one consumer at each of these seconds.
fn enter_at(
    stage: &mut Stage,
    rebalance_ms: u64,
    seconds: &[u64],
) -> Vec<groups::group::messages::RequestId> {
    let enter = |stage: &mut Stage, at: &u64| {
        stage.until(at * 1_000);
        let mut consumer = Consumer::dynamic();
        consumer.rebalance_ms = rebalance_ms;
        stage.enter(&mut consumer)
    };
    seconds.iter().map(|at| enter(stage, at)).collect()
}

#[test]
fn p_009_a_single_member_waits_for_the_initial_delay() {
    let mut stage = Stage::with_delay(3);
    let mut consumer = Consumer::dynamic();
    let join = stage.enter(&mut consumer);
    stage.until(2_999);
    assert!(stage.waits(join));
    stage.until(3_000);
    let joined = stage.joined(join);
    assert_eq!((joined.generation.get(), joined.leader), (1, Some(consumer.id())));
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn p_010_joins_in_every_window_are_answered_together_when_the_first_members_time_is_up() {
    let mut stage = Stage::with_delay(3);
    let joins = enter_at(&mut stage, 8_000, &[0, 1, 4, 7]);
    stage.until(7_999);
    assert!(joins.iter().all(|join| stage.waits(*join)));
    stage.until(8_000);
    for join in joins {
        assert_eq!(stage.joined(join).generation.get(), 1);
    }
}

#[test]
fn p_011_the_delay_ends_with_the_first_members_rebalance_timeout() {
    let mut stage = Stage::with_delay(3);
    let joins = enter_at(&mut stage, 4_000, &[0, 2]);
    stage.until(3_999);
    assert!(joins.iter().all(|join| stage.waits(*join)));
    stage.until(4_000);
    assert!(joins.iter().all(|join| stage.joined(*join).generation.get() == 1));
}

#[test]
fn p_012_a_join_at_the_last_moment_extends_the_delay() {
    let mut stage = Stage::with_delay(3);
    let first = stage.enter(&mut Consumer::dynamic());
    stage.until(2_999);
    stage.enter(&mut Consumer::dynamic());
    stage.until(3_001);
    assert!(stage.waits(first));
    stage.until(6_000);
    assert_eq!(stage.joined(first).members.len(), 2);
}

/// Kafka lets an expiry or a departure cut the delay short.
#[test]
fn a_departure_does_not_cut_the_initial_delay_short() {
    let mut stage = Stage::with_delay(3);
    let mut consumers = [Consumer::dynamic(), Consumer::dynamic()];
    let join = stage.enter(&mut consumers[0]);
    stage.enter(&mut consumers[1]);
    stage.until(1_000);
    stage.leave(&[consumers[1].identity.clone()]);
    stage.until(2_999);
    assert!(stage.waits(join));
    stage.until(6_000);
    assert_eq!(stage.joined(join).members.len(), 1);
}

#[test]
fn p_013_a_third_member_is_learnt_of_by_heartbeat_and_the_next_generation_needs_no_delay() {
    let mut stage = Stage::with_delay(3);
    let mut consumers = [Consumer::dynamic(), Consumer::dynamic()];
    let joins: Vec<_> = consumers.iter_mut().map(|c| stage.enter(c)).collect();
    stage.until(6_000);
    stage.assign_all(&mut consumers, &joins);
    let mut third = Consumer::dynamic();
    let joins = [stage.enter(&mut third)];
    for consumer in &consumers {
        assert_eq!(stage.heartbeat(consumer).unwrap_err().kafka_code(), 27);
    }
    let rejoins: Vec<_> = consumers.iter().map(|c| stage.join(c)).collect();
    assert_eq!(stage.now_ms, 6_000);
    for join in rejoins.iter().chain(&joins) {
        assert_eq!(stage.joined(*join).generation.get(), 2);
    }
}

#[test]
fn p_014_a_silent_dynamic_member_is_out_when_the_rebalance_timeout_ends() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    let mut third = Consumer::dynamic();
    let new = stage.enter(&mut third);
    let join = stage.join(&consumers[0]);
    // It has a pulse and does not join: only the rebalance timeout ends that.
    for _ in 0..11 {
        stage.pass(5_000);
        assert!(stage.heartbeat(&consumers[1]).is_err());
    }
    assert!(stage.waits(join));
    stage.until(60_000);
    assert_eq!(stage.joined(join).generation.get(), 2);
    assert_eq!(stage.joined(join).members.len(), 2);
    assert_eq!(stage.joined(new).generation.get(), 2);
    assert_eq!(stage.group().watch().expulsions_for(ExpulsionCause::MissedRebalance), 1);

    // p_015: it returns with its old id.
    let late = stage.join(&consumers[1]);
    assert_eq!(stage.error(late), unknown(&consumers[1]));
}

#[test]
fn p_035_whoever_waits_in_a_join_is_alive_whatever_its_session_says() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    stage.enter(&mut Consumer::dynamic());
    let join = stage.join(&consumers[0]);
    for _ in 0..8 {
        stage.pass(5_000);
        assert!(stage.heartbeat(&consumers[1]).is_err());
    }
    assert!(stage.waits(join), "four sessions long");
    assert_eq!(stage.group().member_ids().count(), 3);
}

#[test]
fn p_036_a_new_member_waits_five_minutes_and_no_longer() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut slow = Consumer::dynamic();
    slow.rebalance_ms = 3_600_000;
    let mut consumers = [slow];
    stage.gather(&mut consumers);
    let mut new = Consumer::dynamic();
    let join = stage.enter(&mut new);
    while stage.now_ms < 299_000 {
        stage.pass(1_000);
        assert!(stage.heartbeat(&consumers[0]).is_err());
        assert!(stage.waits(join));
    }
    stage.pass(1_000);
    assert_eq!(stage.error(join), unknown(&new));
    assert!(stage.group().member_ids().eq([&consumers[0].id()]));
    assert_eq!(stage.group().watch().expulsions_for(ExpulsionCause::NewMemberTimeout), 1);
}

#[test]
fn p_037_a_phase_that_waits_only_for_a_pending_id_ends_with_its_time() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    stage.enter(&mut Consumer::dynamic());
    let mut pending = Consumer::dynamic();
    pending.session_ms = 7_000;
    stage.join(&pending);
    let join = stage.join(&consumers[0]);
    stage.until(6_999);
    assert!(stage.waits(join), "p_038: it waits while the id is out");
    stage.until(7_000);
    assert_eq!(stage.joined(join).members.len(), 2);
}

#[test]
fn p_038_nothing_completes_while_a_pending_id_is_out_but_by_time() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    stage.enter(&mut Consumer::dynamic());
    let mut pending = Consumer::dynamic();
    pending.session_ms = 1_000_000;
    stage.join(&pending);
    let join = stage.join(&consumers[0]);
    stage.until(59_999);
    assert!(stage.waits(join));
    stage.until(60_000);
    assert_eq!(stage.joined(join).members.len(), 2);
    assert_eq!(stage.state(), GroupState::CompletingRebalance);
}

#[test]
fn a_pending_id_that_leaves_is_waited_for_no_longer() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    stage.enter(&mut Consumer::dynamic());
    let mut pending = Consumer::dynamic();
    let first = stage.join(&pending);
    let groups::GroupError::MemberIdRequired { member_id } = stage.error(first) else { panic!() };
    pending.identity.member_id = Some(member_id);
    let join = stage.join(&consumers[0]);
    assert!(stage.waits(join));
    stage.leave(&[pending.identity]);
    assert_eq!(stage.joined(join).members.len(), 2);
}

#[test]
fn a_second_join_takes_the_place_of_the_one_that_waits_and_both_are_answered() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    stage.enter(&mut Consumer::dynamic());
    let first = stage.join(&consumers[0]);
    let second = stage.join(&consumers[0]);
    assert_eq!(stage.error(first).kafka_code(), 27);
    assert!(stage.waits(second));
    stage.join(&consumers[1]);
    assert_eq!(stage.joined(second).generation.get(), 2);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::MemberJoined), 2);
}
