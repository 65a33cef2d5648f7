//! Scenarios 49 to 51: the coordinator goes and comes back.

use groups::{GroupError, GroupSettings, GroupState, Persistence, Shard};

use super::stage::{Consumer, Stage};

/// The coordinator starts again with what the log holds.
fn restart(stage: &mut Stage, persistence: Persistence) {
    let record = stage.writes.last().unwrap().1.clone();
    stage.shard = Shard::new(GroupSettings::default().persistence(persistence));
    let (group, now) = (stage.group.clone(), stage.now());
    stage.shard.load(&group, record.as_ref(), now);
    stage.shard.loaded();
}

#[test]
fn p_049_a_coordinator_that_goes_tells_those_who_wait_to_look_elsewhere() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    stage.enter(&mut Consumer::dynamic());
    let join = stage.join(&consumers[0]);
    stage.unload();
    assert_eq!(stage.error(join), GroupError::NotCoordinator);
    assert_eq!(stage.heartbeat(&consumers[1]), Err(GroupError::NotCoordinator));

    let mut stage = Stage::persisting();
    let mut consumers = stage.stable(2);
    stage.log = None;
    consumers[1].subscribe(&["payments"]);
    let joins: Vec<_> = consumers.iter().map(|c| stage.join(c)).collect();
    for (consumer, join) in consumers.iter_mut().zip(joins) {
        stage.adopt(consumer, join);
    }
    let sync = stage.sync(&consumers[1]);
    stage.unload();
    assert_eq!(stage.error(sync), GroupError::NotCoordinator);
}

#[test]
fn p_050_members_that_outlive_the_coordinator_go_on_in_their_generation() {
    let mut stage = Stage::persisting();
    let mut consumers = stage.stable(2);
    for _ in 0..6 {
        stage.regather(&mut consumers);
    }
    assert_eq!(stage.generation(), 7);
    restart(&mut stage, Persistence::Members);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Stable, 7));
    for consumer in &consumers {
        assert_eq!(stage.heartbeat(consumer), Ok(()));
        let sync = stage.sync(consumer);
        assert_eq!(stage.synced(sync).assignment, format!("to-{}", consumer.id()).as_bytes());
    }
    stage.pass(9_999);
    assert_eq!(stage.group().member_ids().count(), 2, "each has a whole session");
    stage.pass(1);
    assert_eq!(stage.state(), GroupState::Empty);
}

#[test]
fn p_051_a_rebalance_under_way_is_forgotten_with_the_coordinator() {
    let mut stage = Stage::persisting();
    let consumers = stage.stable(2);
    stage.enter(&mut Consumer::dynamic());
    stage.join(&consumers[0]);
    restart(&mut stage, Persistence::Members);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Stable, 1));
    assert_eq!(stage.group().member_ids().count(), 2);
}

/// S21: members live in memory; their generations go on from what was written before they learnt
/// of them.
#[test]
fn a_group_kept_in_memory_begins_empty_and_counts_on() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(2);
    let record = stage.writes.last().unwrap().1.clone().unwrap();
    assert_eq!((record.generation.get(), record.members.len()), (1, 0));
    restart(&mut stage, Persistence::Generations);
    assert_eq!((stage.state(), stage.generation()), (GroupState::Empty, 1));
    assert_eq!(stage.heartbeat(&consumers[0]).unwrap_err().kafka_code(), 25);
    stage.stable(1);
    assert_eq!(stage.generation(), 2);
}

#[test]
fn the_record_of_a_generation_stands_before_the_answers_that_tell_it() {
    use groups::group::messages::{Action, Event};
    let mut stage = Stage::new(GroupSettings::default());
    let mut out = Vec::new();
    let mut group = groups::Group::new(stage.group.clone(), GroupSettings::default(), stage.now());
    let mut old = Consumer::dynamic();
    old.version.0 = 3;
    group.on(Event::Join(stage.request_of(&old)), stage.now(), &mut out);
    group.on(Event::Tick, stage.now(), &mut out);
    let place = |wanted: fn(&Action) -> bool| out.iter().position(wanted).unwrap();
    let write = place(|action| matches!(action, Action::Write { .. }));
    assert!(write < place(|action| matches!(action, Action::Answer { .. })), "{out:?}");
}

#[test]
fn while_the_log_is_read_hearts_beat_and_the_rest_waits() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    stage.shard = Shard::new(GroupSettings::default());
    assert_eq!(stage.heartbeat(&consumers[0]), Ok(()));
    let join = stage.join(&consumers[0]);
    assert_eq!(stage.error(join), GroupError::CoordinatorLoadInProgress);
}

#[test]
fn a_record_with_one_instance_id_twice_is_read_as_the_later_one() {
    let mut stage = Stage::persisting();
    let mut consumers = [Consumer::with_instance("A"), Consumer::with_instance("B")];
    stage.gather(&mut consumers);
    let mut record = stage.writes.pop().unwrap().1.unwrap();
    record.members[1].instance_id = record.members[0].instance_id.clone();
    record.leader = Some(record.members[0].member_id.clone());
    stage.writes.push((groups::group::messages::WriteId(0), Some(record)));
    restart(&mut stage, Persistence::Members);
    assert!(stage.group().member_ids().eq([&consumers[1].id()]));
    assert_eq!(stage.group().leader(), Some(&consumers[1].id()));
}
