//! Causes are counted, and a group that does not come to rest says so.

use groups::group::messages::{CommitKind, Event, JoinReason, LeaveReason, Leaver, Notice};
use groups::watch::{RebalanceCause, StormWarning};
use groups::{GroupSettings, GroupState};
use log_core::entropy::{Entropy, SeededEntropy};

use super::stage::{Consumer, Stage, unknown};

fn storms(stage: &Stage) -> Vec<StormWarning> {
    let storm = |notice: &Notice| match notice {
        Notice::Storm(warning) => Some(*warning),
        _ => None,
    };
    stage.notices.iter().filter_map(storm).collect()
}

/// A consumer that does not poll in time leaves; another has its work, and is slow as well.
fn miss_a_poll(stage: &mut Stage, consumers: &mut [Consumer], who: usize) {
    let request = stage.next_request();
    let reason = LeaveReason::PollIntervalExceeded;
    let identity = consumers[who].identity.clone();
    stage.send(Event::Leave { request, members: vec![Leaver { identity, reason }] });
    consumers[who] = Consumer::dynamic();
    let new = stage.enter(&mut consumers[who]);
    let mut joins = Vec::new();
    for (place, consumer) in consumers.iter().enumerate() {
        joins.push(if place == who { new } else { stage.join(consumer) });
    }
    stage.assign_all(consumers, &joins);
}

#[test]
fn the_five_triggers_are_counted_each_by_its_cause() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(3);
    let counted = |stage: &Stage, cause| stage.group().watch().rebalances_for(cause);
    assert_eq!(counted(&stage, RebalanceCause::MemberJoined), 1);

    let gone = consumers.remove(2);
    stage.leave(&[gone.identity]);
    stage.regather(&mut consumers);
    assert_eq!(counted(&stage, RebalanceCause::MemberLeft), 1);

    consumers[0].reason = JoinReason::PartitionsChanged;
    stage.regather(&mut consumers);
    assert_eq!(counted(&stage, RebalanceCause::PartitionsChanged), 1);
    consumers[0].reason = JoinReason::Unspecified;

    miss_a_poll(&mut stage, &mut consumers, 1);
    assert_eq!(counted(&stage, RebalanceCause::PollIntervalExceeded), 1);

    stage.pass(9_000);
    stage.heartbeat(&consumers[0]).unwrap();
    stage.pass(1_000);
    assert_eq!(counted(&stage, RebalanceCause::SessionTimeout), 1);
    assert_eq!(stage.group().watch().rebalances(), 5, "and nothing was counted twice");
}

#[test]
fn slow_polls_in_a_row_are_a_storm_and_the_warning_names_the_cure() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(3);
    for round in 0..3 {
        while stage.now_ms < 60_000 * (round + 1) {
            stage.pass(5_000);
            for consumer in &consumers {
                stage.heartbeat(consumer).unwrap();
            }
        }
        assert!(storms(&stage).is_empty(), "two are no storm");
        miss_a_poll(&mut stage, &mut consumers, usize::try_from(round).unwrap());
    }
    let storms = storms(&stage);
    assert_eq!(storms.len(), 1);
    assert_eq!(storms[0].cause, RebalanceCause::PollIntervalExceeded);
    let words = storms[0].to_string();
    assert!(words.contains("max_poll_records") && words.contains("resume"), "{words}");
}

#[test]
fn the_time_since_the_group_was_last_stable_is_known() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(2);
    stage.pass(4_000);
    let now = stage.now().tick;
    assert_eq!(stage.group().watch().stable_for(now).unwrap().as_secs(), 4);
    stage.join(&consumers[0]);
    stage.pass(3_000);
    let now = stage.now().tick;
    assert_eq!(stage.group().watch().stable_for(now), None);
    assert_eq!(stage.group().watch().unstable_for(now).unwrap().as_secs(), 3);
    stage.regather(&mut consumers);
    assert_eq!(stage.group().watch().longest_rebalance().as_secs(), 3);
}

/// A virtual machine is frozen for a minute: its partitions go to the other member, and what it
/// does after that is refused until it joins anew.
#[test]
fn row_14_a_process_that_stood_still_for_a_minute_is_out_and_cannot_commit() {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(2);
    let frozen = consumers.remove(0);
    for _ in 0..12 {
        stage.pass(5_000);
        if stage.heartbeat(&consumers[0]).is_err() {
            stage.regather(&mut consumers);
        }
    }
    assert_eq!(stage.group().member_ids().count(), 1);
    assert_eq!(stage.heartbeat(&frozen), Err(unknown(&frozen)));
    assert_eq!(stage.commit(&frozen, CommitKind::Plain), Err(unknown(&frozen)));
    assert_eq!(stage.commit(&frozen, CommitKind::Transactional), Err(unknown(&frozen)));
    let sync = stage.sync(&frozen);
    assert_eq!(stage.error(sync), unknown(&frozen));
    assert_eq!(stage.commit(&consumers[0], CommitKind::Plain), Ok(()));
}

/// A thousand members come, go and fall silent; the leader dies in every state. Rebalances are
/// bounded by what happened, and at the end the group comes to rest.
#[test]
fn row_104_a_storm_of_a_thousand_members_stays_bounded_and_ends() {
    let chance = SeededEntropy::new(104);
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = stage.stable(1_000);
    let mut causes = 1;
    for round in 0..30 {
        let pick = usize::try_from(chance.next_u64()).unwrap() % consumers.len();
        let from = stage.state();
        match chance.next_u64() % 3 {
            0 => {
                let gone = consumers.swap_remove(pick);
                stage.leave(&[gone.identity]);
            }
            1 => {
                let mut new = Consumer::dynamic();
                stage.enter(&mut new);
                consumers.push(new);
            }
            _ => {
                let leader = stage.group().leader().cloned();
                let place = consumers.iter().position(|c| Some(c.id()) == leader).unwrap();
                let gone = consumers.swap_remove(place);
                stage.leave(&[gone.identity]);
            }
        }
        causes += 1;
        assert_eq!(stage.state(), GroupState::PreparingRebalance, "from {from}");
        let joins: Vec<_> = consumers.iter().map(|c| stage.join(c)).collect();
        if round % 3 == 0 {
            // Sync before the join is done, and joined but not assigned when the next one goes.
            for (consumer, join) in consumers.iter_mut().zip(joins) {
                stage.adopt(consumer, join);
            }
            assert_eq!(stage.state(), GroupState::CompletingRebalance);
        } else {
            stage.assign_all(&mut consumers, &joins);
        }
    }
    let rebalances = stage.group().watch().rebalances();
    assert!(rebalances <= causes, "{rebalances} rebalances of {causes} causes");
    let members = stage.group().member_ids().count();
    assert_eq!(members, consumers.len(), "G1: the group and its consumers agree");
    // All fall silent.
    stage.pass(1_000_000);
    assert_eq!(stage.state(), GroupState::Empty);
}
