//! Scenarios 68 to 73 and 89: who may commit, and when a group may go.

use groups::group::messages::{Answer, CommitKind, Identity};
use groups::ids::{Generation, MemberId};
use groups::{GroupError, GroupSettings, GroupState};

use super::stage::{Stage, unknown};

fn anybody() -> Identity {
    Identity { member_id: Some(MemberId::new("anybody").unwrap()), instance_id: None }
}

#[test]
fn p_068_a_commit_without_a_generation_makes_a_group_that_only_keeps_offsets() {
    for kind in [CommitKind::Plain, CommitKind::Transactional] {
        let mut stage = Stage::new(GroupSettings::default());
        assert_eq!(stage.commit_as(Identity::default(), None, kind), Ok(()));
        assert_eq!(stage.state(), GroupState::Empty);
        assert_eq!(stage.group().protocol_type(), None);
        stage.pass(1_000_000);
        assert!(stage.shard.get(&stage.group).is_some(), "its offsets need it");
    }
}

#[test]
fn p_069_a_generation_of_no_group_is_refused() {
    let mut stage = Stage::new(GroupSettings::default());
    let three = Generation::new(3);
    let plain = stage.commit_as(anybody(), three, CommitKind::Plain).unwrap_err();
    assert_eq!(plain, GroupError::GroupIdNotFound);
    assert_eq!(plain.kafka_code(), 69);
    assert_eq!(plain.kafka_code_in_commit(8), 22, "before version 9 there was no such answer");
    let in_transaction = stage.commit_as(anybody(), three, CommitKind::Transactional);
    assert_eq!(in_transaction.unwrap_err().kafka_code(), 22);
    assert!(stage.shard.get(&stage.group).is_none());
}

#[test]
fn p_070_an_anonymous_commit_does_not_disturb_a_live_group() {
    let mut stage = Stage::new(GroupSettings::default());
    stage.stable(1);
    let plain = stage.commit_as(Identity::default(), None, CommitKind::Plain);
    assert_eq!(plain, Err(GroupError::UnknownMemberId { member_id: None }));
    // In a transaction the producer's epoch is the fence.
    assert_eq!(stage.commit_as(Identity::default(), None, CommitKind::Transactional), Ok(()));
}

#[test]
fn p_071_to_072_an_empty_group_asks_for_no_name_but_for_no_generation_either() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    stage.leave(&[consumers[0].identity.clone()]);
    assert_eq!(stage.commit_as(anybody(), None, CommitKind::Plain), Ok(()));
    let five = stage.commit_as(anybody(), Generation::new(5), CommitKind::Plain);
    assert_eq!(five, Err(GroupError::UnknownMemberId { member_id: anybody().member_id }));
    // The zombie of a group that everybody left.
    assert_eq!(stage.commit(&consumers[0], CommitKind::Plain), Err(unknown(&consumers[0])));
}

#[test]
fn a_member_without_its_generation_cannot_commit() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(1);
    let named = consumers[0].identity.clone();
    let lost = stage.commit_as(named, None, CommitKind::Plain).unwrap_err();
    assert_eq!(lost.kafka_code(), 22);
    let old = consumers[0].clone();
    stage.regather(&mut consumers);
    for kind in [CommitKind::Plain, CommitKind::Transactional] {
        assert_eq!(stage.commit(&old, kind).unwrap_err().kafka_code(), 22, "G2");
        assert_eq!(stage.commit(&consumers[0], kind), Ok(()));
    }
}

#[test]
fn p_089_only_an_empty_group_is_deleted() {
    let mut stage = Stage::new(GroupSettings::default());
    let consumers = stage.stable(1);
    let refused = stage.delete();
    let full = GroupError::NonEmptyGroup { state: GroupState::Stable };
    assert_eq!(stage.error(refused), full);
    stage.leave(&[consumers[0].identity.clone()]);
    let deleted = stage.delete();
    assert_eq!(stage.answer(deleted), &Ok(Answer::Deleted));
    assert_eq!(stage.writes.pop().unwrap().1, None, "a tombstone");
    assert!(stage.shard.get(&stage.group).is_none());
    let again = stage.delete();
    assert_eq!(stage.error(again), GroupError::GroupIdNotFound);
}
