//! Scenarios 1 to 8: the first request of a group.

use groups::ids::{MemberId, ProtocolType};
use groups::{GroupError, GroupSettings, GroupState};

use super::stage::{Consumer, Stage, unknown};

#[test]
fn p_001_a_new_member_is_given_an_id_first_and_no_rebalance_begins() {
    let mut stage = Stage::new(GroupSettings::default());
    let join = stage.join(&Consumer::dynamic());
    let GroupError::MemberIdRequired { member_id } = stage.error(join) else { panic!() };
    assert_eq!(member_id.as_str(), "client-001");
    assert_eq!(stage.state(), GroupState::Empty);
    assert!(stage.notices.is_empty());
    let deadline = stage.shard.next_deadline().expect("the id is kept for one session");
    assert_eq!(deadline.as_nanos(), 10_000_000_000);
}

#[test]
fn p_002_a_pending_id_joins_and_waits() {
    let mut stage = Stage::with_delay(3);
    let mut consumer = Consumer::dynamic();
    let join = stage.enter(&mut consumer);
    assert!(stage.waits(join));
    assert_eq!(stage.state(), GroupState::PreparingRebalance);
    assert!(stage.group().member_ids().eq([&consumer.id()]));
}

#[test]
fn p_003_an_invented_id_makes_no_group() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumer = Consumer::dynamic();
    consumer.identity.member_id = Some(MemberId::new("invented").unwrap());
    let join = stage.join(&consumer);
    assert_eq!(stage.error(join), unknown(&consumer));
    assert!(stage.shard.get(&stage.group).is_none());
}

#[test]
fn p_004_an_older_join_is_a_member_at_once() {
    let mut stage = Stage::with_delay(3);
    let mut consumer = Consumer::dynamic();
    consumer.version.0 = 3;
    let join = stage.join(&consumer);
    assert!(stage.waits(join));
    assert_eq!(stage.group().member_ids().count(), 1);
}

#[test]
fn p_005_a_session_timeout_out_of_bounds_makes_no_group() {
    let mut stage = Stage::new(GroupSettings::default());
    for session_ms in [1, 5_999, 1_800_001] {
        let mut consumer = Consumer::dynamic();
        consumer.session_ms = session_ms;
        let join = stage.join(&consumer);
        assert_eq!(stage.error(join).kafka_code(), 26);
        assert!(stage.shard.get(&stage.group).is_none());
    }
}

#[test]
fn p_006_a_member_without_a_way_of_assigning_makes_no_group() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut kindless = Consumer::dynamic();
    kindless.kind = None;
    for consumer in [kindless, Consumer::offering(&[])] {
        let join = stage.join(&consumer);
        assert_eq!(stage.error(join).kafka_code(), 23);
        assert!(stage.shard.get(&stage.group).is_none());
    }
}

#[test]
fn p_007_a_member_with_nothing_in_common_is_refused_and_the_group_untouched() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(1);
    let join = stage.join(&Consumer::offering(&["roundrobin"]));
    assert_eq!(stage.error(join).kafka_code(), 23);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Stable, 1));
    assert_eq!(stage.heartbeat(&consumers.remove(0)), Ok(()));
}

#[test]
fn p_008_a_member_of_another_kind_is_refused() {
    let mut stage = Stage::new(GroupSettings::default());
    stage.stable(1);
    let mut other = Consumer::dynamic();
    other.kind = Some(ProtocolType::new("connect").unwrap());
    let join = stage.join(&other);
    assert_eq!(stage.error(join).kafka_code(), 23);
}

#[test]
fn a_group_that_nobody_came_back_to_is_forgotten() {
    let mut stage = Stage::new(GroupSettings::default());
    stage.join(&Consumer::dynamic());
    assert!(stage.shard.get(&stage.group).is_some());
    stage.until(10_000);
    assert!(stage.shard.get(&stage.group).is_none());
    assert_eq!(stage.shard.next_deadline(), None);
}
