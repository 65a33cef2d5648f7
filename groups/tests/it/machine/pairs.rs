//! Every pair of state and event has an answer, the same every time; and no state waits for ever.

use groups::group::messages::{CommitKind, Event, Identity, WriteId, WriteOutcome};
use groups::{Group, GroupSettings, GroupState};

use super::stage::{Consumer, Stage};

/// What an event is answered with: a number of Kafka's, or that it waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Fine,
    Code(i16),
    Waits,
    /// For an event that nobody asked.
    Nothing,
}
use Told::{Code, Fine, Nothing, Waits};

/// A group in each state, with a member that knows it (where there can be one).
fn in_state(wanted: GroupState) -> (Stage, Group, Consumer) {
    let mut stage = Stage::new(GroupSettings::default());
    let mut consumers = vec![Consumer::dynamic(), Consumer::dynamic()];
    match wanted {
        GroupState::Empty => {
            consumers = stage.stable(1);
            stage.leave(&[consumers[0].identity.clone()]);
        }
        GroupState::CompletingRebalance => {
            let joins: Vec<_> = consumers.iter_mut().map(|c| stage.enter(c)).collect();
            stage.turn();
            for (consumer, join) in consumers.iter_mut().zip(joins) {
                stage.adopt(consumer, join);
            }
            consumers.reverse();
        }
        GroupState::Stable => {
            stage.gather(&mut consumers);
            consumers.reverse();
        }
        GroupState::PreparingRebalance => {
            stage.gather(&mut consumers);
            stage.enter(&mut Consumer::dynamic());
        }
        GroupState::Dead => consumers = stage.stable(1),
    }
    let mut group = stage.take_group();
    if wanted == GroupState::Dead {
        group.on(Event::Unload, stage.now(), &mut Vec::new());
    }
    assert_eq!(group.state(), wanted);
    (stage, group, consumers.swap_remove(0))
}

type Make = fn(&mut Stage, &Consumer) -> Event;

fn commit(stage: &mut Stage, identity: &Identity, kind: CommitKind, member: bool) -> Event {
    let request = stage.next_request();
    let generation = member.then(|| groups::ids::Generation::new(1).unwrap());
    Event::Commit { request, identity: identity.clone(), generation, kind }
}

/// Each event, and what it is told in Empty, `PreparingRebalance`, `CompletingRebalance`, Stable,
/// Dead. The member is a follower that has its generation.
const TABLE: [(&str, Make, [Told; 5]); 14] = [
    (
        "a new member joins",
        |s, _| Event::Join(s.request_of(&Consumer::dynamic())),
        [Code(79), Code(79), Code(79), Code(79), Code(15)],
    ),
    (
        "a new static member joins",
        |s, _| Event::Join(s.request_of(&Consumer::with_instance("S"))),
        [Waits, Waits, Waits, Waits, Code(15)],
    ),
    (
        "a member joins again",
        |s, m| Event::Join(s.request_of(m)),
        [Code(25), Waits, Fine, Fine, Code(15)],
    ),
    (
        "a member joins with other topics",
        |s, m| {
            let mut other = m.clone();
            other.subscribe(&["other"]);
            Event::Join(s.request_of(&other))
        },
        [Code(25), Waits, Waits, Waits, Code(15)],
    ),
    ("a member syncs", |s, m| s.sync_event(m), [Code(25), Code(27), Waits, Fine, Code(15)]),
    ("a heart beats", |s, m| s.heartbeat_event(m), [Code(25), Code(27), Fine, Fine, Code(15)]),
    ("a member leaves", |s, m| s.leave_event(&m.identity), [Fine, Fine, Fine, Fine, Code(15)]),
    (
        "a member commits",
        |s, m| commit(s, &m.identity, CommitKind::Plain, true),
        [Code(25), Fine, Code(27), Fine, Code(15)],
    ),
    (
        "a member commits in a transaction",
        |s, m| commit(s, &m.identity, CommitKind::Transactional, true),
        [Code(25), Fine, Fine, Fine, Code(15)],
    ),
    (
        "somebody commits",
        |s, _| commit(s, &Identity::default(), CommitKind::Plain, false),
        [Fine, Code(25), Code(25), Code(25), Code(15)],
    ),
    (
        "the group is deleted",
        |s, _| Event::Delete { request: s.next_request() },
        [Fine, Code(68), Code(68), Code(68), Code(69)],
    ),
    (
        "a record of nobody's is written",
        |_, _| Event::Written { write: WriteId(u64::MAX), outcome: WriteOutcome::Durable },
        [Nothing; 5],
    ),
    ("time passes", |_, _| Event::Tick, [Nothing; 5]),
    ("the group goes elsewhere", |_, _| Event::Unload, [Nothing; 5]),
];

#[test]
fn every_state_answers_every_event() {
    for (place, state) in GroupState::ALL.into_iter().enumerate() {
        for (name, make, told) in TABLE {
            let (mut stage, mut group, member) = in_state(state);
            let event = make(&mut stage, &member);
            let asked = stage.last_request(&event);
            let mut out = Vec::new();
            group.on(event, stage.now(), &mut out);
            let got = match asked {
                None => Nothing,
                Some(request) => match Stage::answer_in(&out, request) {
                    None => Waits,
                    Some(Ok(_)) => Fine,
                    Some(Err(error)) => Code(error.kafka_code()),
                },
            };
            assert_eq!(got, told[place], "{state}: {name}");
        }
    }
}

/// G6: whatever the members do, which is nothing, the group comes to rest.
#[test]
fn no_state_waits_for_ever() {
    for state in GroupState::ALL {
        for (name, make, _) in TABLE {
            let (mut stage, mut group, member) = in_state(state);
            let event = make(&mut stage, &member);
            let mut out = Vec::new();
            group.on(event, stage.now(), &mut out);
            let mut wakes = 0;
            while let Some(at) = group.next_deadline() {
                stage.now_ms = stage.now_ms.max(at.as_nanos() / 1_000_000);
                group.on(Event::Tick, stage.now(), &mut out);
                wakes += 1;
                assert!(wakes < 100, "{state}: {name}");
            }
            let rests = matches!(group.state(), GroupState::Empty | GroupState::Dead);
            assert!(rests, "{state}: {name}: {} is for ever", group.state());
            assert!(stage.now_ms <= 600_000, "{state}: {name}: {} ms", stage.now_ms);
        }
    }
}
