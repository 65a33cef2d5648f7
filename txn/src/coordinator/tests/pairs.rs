//! Every pair of state and event has an answer, and it is this one.

use super::*;

use TransactionResult::{Abort, Commit};
use TransactionState::{
    CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit,
};
use TransactionVersion::{One, Two};

/// Kafka's codes; 0 is a good answer, and `-1` what no request may find.
const HEADS: [&str; 8] =
    ["init", "add", "commit v1", "abort v1", "commit v2", "abort v2", "commit again", "verify"];
const TABLE: [(TransactionState, [i16; 8]); 7] = [
    (Empty, [0, 0, 48, 48, 48, 0, 90, 120]),
    (Ongoing, [51, 0, 0, 0, 0, 0, 90, 0]),
    (PrepareCommit, [51, 51, 51, 48, 90, 90, 51, 51]),
    (PrepareAbort, [51, 51, 48, 51, 90, 90, 48, 51]),
    (CompleteCommit, [0, 0, 0, 48, 48, 0, 0, 120]),
    (CompleteAbort, [0, 0, 48, 0, 48, 0, 48, 120]),
    (Dead, [-1, -1, -1, -1, -1, -1, 90, 120]),
];

#[test]
fn every_state_answers_every_request() {
    for (state, expected) in TABLE {
        for (index, (head, expected)) in HEADS.into_iter().zip(expected).enumerate() {
            let mut desk = Desk::found(who(7, 5), state);
            desk.out.clear();
            let current = who(7, 5);
            let request = match index {
                0 => desk.begin_init(None),
                1 => desk.begin_add(current, &[0]),
                2 => desk.begin_end(current, Commit, One),
                3 => desk.begin_end(current, Abort, One),
                4 => desk.begin_end(current, Commit, Two),
                5 => desk.begin_end(current, Abort, Two),
                6 => desk.begin_end(who(7, 4), Commit, Two),
                _ => {
                    let partition = places(&[0]).pop_first().unwrap();
                    let verdict = desk.coordinator.verify(&id(), current, &partition);
                    let found = verdict.err().map_or(0, |error| error.kafka_code());
                    assert_eq!(found, expected, "{state:?}: {head}");
                    continue;
                }
            };
            while desk.settle(WriteOutcome::Durable).is_some() {}
            let reply = desk.reply(request).unwrap();
            assert_eq!(code(&reply), expected, "{state:?}: {head}");
            assert_eq!(desk.reply(request), None, "one answer a request");
        }
    }
}

/// Events that are nobody's request change nothing where they do not belong.
#[test]
fn every_state_survives_every_event_that_is_out_of_place() {
    for state in [Empty, Ongoing, CompleteCommit, CompleteAbort] {
        let mut desk = Desk::found(who(7, 5), state);
        let before = desk.coordinator.describe(&id()).unwrap().clone();
        let partition = places(&[0]).pop_first().unwrap();
        let outcome = MarkerOutcome::Written;
        desk.on(Event::MarkerAnswered { id: id(), producer: who(7, 5), partition, outcome });
        desk.on(Event::Written { write: WriteId(99), outcome: WriteOutcome::Durable });
        desk.on(Event::Written { write: WriteId(99), outcome: WriteOutcome::Lost });
        desk.on(Event::Record { id: id(), record: None });
        desk.on(Event::Loaded { coordinator_epoch: 9 });
        desk.on(Event::ProducerIds { ids: Vec::new() });
        desk.on(Event::Tick);
        assert_eq!(*desk.coordinator.describe(&id()).unwrap(), before, "{state:?}");
        assert_eq!(desk.out, [], "{state:?}");
    }
}

#[test]
fn without_a_supply_of_ids_producers_wait_and_more_are_asked_for_once() {
    let mut coordinator = Coordinator::new(CoordinatorSettings::default());
    let mut out = Vec::new();
    let now = TimestampMs::new(1);
    coordinator.on(Event::Loaded { coordinator_epoch: 0 }, now, &mut out);
    for number in 0..2 {
        let request = RequestId(number);
        let (id, timeout, expected) = (None, MINUTE, None);
        coordinator.on(Event::InitProducerId { request, id, timeout, expected }, now, &mut out);
    }
    let refused = |request| {
        let answer = Err(TransactionError::CoordinatorLoadInProgress);
        Command::Reply { request: RequestId(request), answer }
    };
    assert_eq!(out, [Command::ClaimProducerIds, refused(0), refused(1)]);
}
