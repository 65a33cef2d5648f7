//! Scenarios 44 to 48: how many members, and what they agree on.

use groups::group::messages::Notice;
use groups::watch::{ExpulsionCause, RebalanceCause};
use groups::{GroupError, GroupSettings, GroupState, Persistence};

use super::stage::{Consumer, Stage};

fn at_most(members: usize) -> GroupSettings {
    GroupSettings::default().group_size_max(members).unwrap()
}

#[test]
fn p_044_a_full_group_refuses_the_next_member() {
    let mut stage = Stage::new(at_most(2));
    let consumers = stage.stable(2);
    let join = stage.join(&Consumer::dynamic());
    assert_eq!(stage.error(join), GroupError::GroupMaxSizeReached { max: 2 });
    assert_eq!(stage.state(), GroupState::Stable);
    assert_eq!(stage.heartbeat(&consumers[1]), Ok(()));
}

#[test]
fn an_id_that_finds_the_group_full_is_waited_for_no_more() {
    let mut stage = Stage::new(at_most(2));
    let mut late = Consumer::dynamic();
    let first = stage.join(&late);
    let GroupError::MemberIdRequired { member_id } = stage.error(first) else { panic!("no id") };
    late.identity.member_id = Some(member_id);
    // It has an id, and the others take the places before it comes back.
    let mut consumers = [Consumer::dynamic(), Consumer::dynamic()];
    let joins = consumers.each_mut().map(|consumer| stage.enter(consumer));
    let refused = stage.join(&late);
    assert_eq!(stage.error(refused), GroupError::GroupMaxSizeReached { max: 2 });
    stage.turn();
    assert!(joins.iter().all(|join| !stage.waits(*join)), "at once, not when its session is over");
}

#[test]
fn p_045_a_group_read_with_too_many_members_sheds_those_that_come_last() {
    let mut before = Stage::persisting();
    let consumers = before.stable(4);
    let record = before.writes.pop().unwrap().1.unwrap();
    let mut stage = Stage::new(at_most(2).persistence(Persistence::Members));
    stage.shard = groups::Shard::new(at_most(2));
    stage.shard.load(&stage.group.clone(), Some(&record), stage.now());
    stage.shard.loaded();
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    assert_eq!(stage.group().watch().rebalances_for(RebalanceCause::GroupTooLarge), 1);
    let order = [3, 1, 0, 2];
    let joins: Vec<_> = order.iter().map(|place| stage.join(&consumers[*place])).collect();
    for join in &joins[2..] {
        assert_eq!(stage.error(*join), GroupError::GroupMaxSizeReached { max: 2 });
    }
    for join in &joins[..2] {
        assert_eq!(stage.joined(*join).generation.get(), 2, "at once: nobody else may come");
    }
    assert_eq!(stage.group().watch().expulsions_for(ExpulsionCause::GroupFull), 2);
}

#[test]
fn a_static_member_returns_to_a_full_group() {
    let mut stage = Stage::new(at_most(1));
    let mut consumers = [Consumer::with_instance("A")];
    stage.gather(&mut consumers);
    let join = stage.join(&consumers[0].restarted());
    assert_eq!(stage.joined(join).generation.get(), 1);
}

#[test]
fn p_046_only_what_all_offer_can_win() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = [
        Consumer::offering(&["range", "roundrobin"]),
        Consumer::offering(&["roundrobin", "range"]),
        Consumer::offering(&["roundrobin"]),
    ];
    stage.gather(&mut consumers);
    assert_eq!(stage.group().describe().protocol.unwrap().as_str(), "roundrobin");
}

#[test]
fn p_047_the_most_votes_win_and_of_equals_the_smallest_name() {
    for (offers, winner) in [
        (vec!["ab", "ab", "ba"], "a"),
        (vec!["ba", "ab", "ba"], "b"),
        (vec!["ba", "ab"], "a"),
        (vec!["aab", "ba", "ba"], "b"),
    ] {
        let mut stage = Stage::new(GroupSettings::default());
        let mut consumers: Vec<Consumer> = offers
            .iter()
            .map(|names| {
                let names: Vec<String> = names.chars().map(String::from).collect();
                Consumer::offering(&names.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        stage.gather(&mut consumers);
        assert_eq!(stage.group().describe().protocol.unwrap().as_str(), winner, "{offers:?}");
    }
}

#[test]
fn p_048_who_joined_first_leads_when_the_leader_is_absent() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(3);
    let mut fourth = Consumer::dynamic();
    let new = stage.enter(&mut fourth);
    let second = stage.join(&consumers[2]);
    stage.join(&consumers[1]);
    for _ in 0..12 {
        stage.pass(5_000);
        stage.heartbeat(&consumers[0]).unwrap_err();
    }
    // The leader is out; a new member joined first, then the third.
    let joined = stage.joined(new);
    assert_eq!(joined.leader, Some(fourth.id()));
    assert_eq!(joined.members.len(), 3);
    assert_eq!(stage.joined(second).leader, Some(fourth.id()));
}

#[test]
fn the_lead_stays_with_a_leader_that_joins_in_time() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(3);
    let leader = stage.group().leader().cloned();
    consumers[1].subscribe(&["payments"]);
    consumers.rotate_left(1);
    stage.regather(&mut consumers);
    assert_eq!(stage.group().leader().cloned(), leader);
}

#[test]
fn two_ids_that_were_made_alike_are_one_too_many() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    let mut clash = Consumer::dynamic();
    clash.version.0 = 3;
    // The stage numbers ids: the next one is set back to the first member's.
    let join = stage.join_with_id(&clash, &consumers[0].id());
    assert_eq!(stage.error(join), GroupError::IdInUse { member_id: consumers[0].id() });
    assert!(!stage.notices.iter().any(|n| matches!(n, Notice::Expelled { .. })));
}
