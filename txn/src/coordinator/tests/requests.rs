//! Scenarios D20 to D39, each as its line says.

use super::*;

use TransactionResult::{Abort, Commit};
use TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
};
use TransactionVersion::{One, Two};

const MAPPING: i16 = 49;
const FENCED: i16 = 90;
const CONCURRENT: i16 = 51;
const INVALID: i16 = 48;
const UNAVAILABLE: i16 = 15;

#[test]
fn d20_an_id_of_ones_own_a_fresh_one_each_time_and_bounds_for_the_timeout() {
    let mut desk = Desk::new();
    let mut plain = |timeout| {
        let request = desk.request();
        desk.on(Event::InitProducerId { request, id: None, timeout, expected: None });
        identity(desk.reply(request).unwrap())
    };
    assert_eq!([plain(MINUTE), plain(Duration::ZERO)], [who(1_000, 0), who(1_001, 0)]);
    assert_eq!(desk.init(None), Ok(Answer::Producer(who(1_002, 0))));
    assert_eq!(desk.init(None), Ok(Answer::Producer(who(1_002, 1))));
    for timeout in [Duration::ZERO, Duration::from_mins(16), Duration::MAX] {
        let request = desk.request();
        let (id, expected) = (Some(id()), None);
        desk.on(Event::InitProducerId { request, id, timeout, expected });
        assert_eq!(code(&desk.reply(request).unwrap()), 50, "{timeout:?}");
    }
    let half = ProducerIdAndEpoch { epoch: ProducerEpoch::NONE, ..who(5, 0) };
    assert_eq!(code(&desk.init(Some(half))), 42);
}

#[test]
fn d21_a_coordinator_that_loads_or_has_lost_its_journal_says_so() {
    let mut desk = Desk::loading(CoordinatorSettings::default());
    assert_eq!(code(&desk.init(None)), 14);
    desk.on(Event::Loaded { coordinator_epoch: 0 });
    let waiting = desk.begin_init(None);
    desk.on(Event::JournalLost);
    assert_eq!(code(&desk.reply(waiting).unwrap()), 16);
    assert_eq!(code(&desk.init(None)), 16);
    assert_eq!(code(&desk.add(who(1, 0), &[0])), 16);
    assert_eq!(code(&desk.end(who(1, 0), Commit, Two)), 16);
}

#[test]
fn d22_init_bumps_at_rest_waits_for_decisions_and_fences_what_is_open() {
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let mut desk = Desk::found(who(7, 0), state);
        assert_eq!(identity(desk.init(None)), who(7, 1), "{state:?}");
        let found = desk.coordinator.describe(&id()).unwrap();
        assert_eq!((found.state, &found.partitions), (Empty, &None));
    }
    for state in [PrepareCommit, PrepareAbort] {
        let mut desk = Desk::found(who(7, 0), state);
        let request = desk.begin_init(None);
        assert_eq!(code(&desk.reply(request).unwrap()), CONCURRENT, "{state:?}");
    }
    let mut desk = Desk::found(who(7, 0), Ongoing);
    assert_eq!(code(&desk.init(None)), CONCURRENT);
    assert_eq!((desk.state(), desk.producer()), (CompleteAbort, who(7, 1)));
    assert_eq!(identity(desk.init(None)), who(7, 2));
}

#[test]
fn d23_the_last_epochs_rotate_the_id_or_fence() {
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let mut desk = Desk::found(who(7, 32_766), state);
        assert_eq!(identity(desk.init(None)), who(1_000, 0), "{state:?}");
        let previous = desk.coordinator.describe(&id()).unwrap().previous_producer_id;
        assert_eq!(previous.get(), 7);
    }
    let mut desk = Desk::found(who(7, 32_766), Ongoing);
    desk.begin_init(None);
    let fence = desk.settle(WriteOutcome::Durable).unwrap();
    assert_eq!((fence.state, fence.producer_epoch.get()), (PrepareAbort, 32_767));
    desk.finish();
    assert_eq!(identity(desk.init(None)), who(1_000, 0));
}

#[test]
fn d24_to_d27_an_expected_epoch_is_bumped_once_and_answered_again() {
    let mut desk = Desk::found(who(7, 10), Empty);
    assert_eq!(identity(desk.init(Some(who(7, 10)))), who(7, 11));
    assert_eq!(identity(desk.init(Some(who(7, 10)))), who(7, 11), "its answer was lost");
    assert_eq!(code(&desk.init(Some(who(7, 9)))), FENCED);
    assert_eq!(identity(desk.init(Some(who(7, 11)))), who(7, 12));
    // D25: a newer life came in between.
    assert_eq!(identity(desk.init(None)), who(7, 13));
    assert_eq!(code(&desk.init(Some(who(7, 11)))), FENCED);
    assert_eq!(code(&desk.init(Some(who(7, 12)))), FENCED);
    // D26: rotation.
    let mut desk = Desk::found(who(7, 32_766), Empty);
    assert_eq!(identity(desk.init(Some(who(7, 32_766)))), who(1_000, 0));
    assert_eq!(identity(desk.init(Some(who(7, 32_766)))), who(1_000, 0));
    assert_eq!(code(&desk.init(Some(who(7, 32_765)))), FENCED);
    // D27: somebody else's number, and a number for an unknown id.
    assert_eq!(code(&desk.init(Some(who(8, 0)))), FENCED);
    assert_eq!(identity(Desk::new().init(Some(who(8, 5)))), who(1_000, 0));
}

#[test]
fn d28_a_fence_that_fails_again_and_again_raises_the_epoch_once() {
    let mut desk = Desk::found(who(7, 4), Ongoing);
    for _ in 0..2 {
        let request = desk.begin_init(None);
        let tried = desk.settle(WriteOutcome::Refused).unwrap();
        assert_eq!(tried.producer_epoch.get(), 5);
        assert_eq!(code(&desk.reply(request).unwrap()), UNAVAILABLE);
        assert_eq!(code(&desk.end(who(7, 4), Commit, Two)), FENCED, "the old one is out already");
    }
    assert_eq!(code(&desk.init(None)), CONCURRENT);
    assert_eq!(desk.producer(), who(7, 5));
}

#[test]
fn d29_of_two_inits_at_once_one_wins_and_the_other_asks_again() {
    let mut desk = Desk::found(who(7, 4), Empty);
    let first = desk.begin_init(None);
    let second = desk.begin_init(None);
    assert_eq!(code(&desk.reply(second).unwrap()), CONCURRENT);
    assert_eq!(desk.reply(first), None, "not before it is durable");
    desk.finish();
    assert_eq!(identity(desk.reply(first).unwrap()), who(7, 5));
    assert_eq!(identity(desk.init(None)), who(7, 6));
}

#[test]
fn d30_partitions_join_by_the_rules() {
    let mut desk = Desk::new();
    assert_eq!(code(&desk.add(who(7, 0), &[0])), MAPPING);
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let mut desk = Desk::found(who(7, 5), state);
        assert_eq!(code(&desk.add(who(8, 5), &[0])), MAPPING);
        assert_eq!(code(&desk.add(who(7, 4), &[0])), FENCED);
        assert_eq!(code(&desk.add(who(7, 6), &[0])), FENCED);
        desk.now += 500;
        assert_eq!(code(&desk.add(who(7, 5), &[0])), 0);
        let found = desk.coordinator.describe(&id()).unwrap().clone();
        assert_eq!((found.state, found.start.get()), (Ongoing, START_MS + 500), "{state:?}");
        assert_eq!(found.partitions, Some(places(&[0])));
        desk.now += 500;
        let again = desk.begin_add(who(7, 5), &[0]);
        assert_eq!(desk.reply(again), Some(Ok(Answer::Added)));
        assert_eq!(desk.write(), None, "nothing new, nothing written");
        assert_eq!(code(&desk.add(who(7, 5), &[0, 1])), 0);
        let found = desk.coordinator.describe(&id()).unwrap();
        assert_eq!(
            (found.start.get(), found.last_update.get()),
            (START_MS + 500, START_MS + 1_000)
        );
        assert_eq!(found.partitions, Some(places(&[0, 1])));
    }
    for state in [PrepareCommit, PrepareAbort] {
        let mut desk = Desk::found(who(7, 5), state);
        let request = desk.begin_add(who(7, 5), &[0]);
        assert_eq!(code(&desk.reply(request).unwrap()), CONCURRENT);
    }
}

#[test]
fn d31_an_append_is_verified_against_the_transaction() {
    let desk = Desk::found(who(7, 5), Ongoing);
    let ask = |producer, number| {
        let partition = places(&[number]).pop_first().unwrap();
        let verdict = desk.coordinator.verify(&id(), producer, &partition);
        verdict.err().map_or(0, |error| error.kafka_code())
    };
    assert_eq!([ask(who(7, 5), 0), ask(who(7, 5), 2)], [0, 120]);
    assert_eq!([ask(who(7, 4), 0), ask(who(8, 5), 0)], [FENCED, MAPPING]);
    let partition = places(&[0]).pop_first().unwrap();
    let desk = Desk::found(who(7, 5), PrepareCommit);
    let verdict = desk.coordinator.verify(&id(), who(7, 5), &partition);
    assert_eq!(verdict.unwrap_err().kafka_code(), CONCURRENT);
    let desk = Desk::found(who(7, 5), CompleteCommit);
    let verdict = desk.coordinator.verify(&id(), who(7, 5), &partition);
    assert_eq!(verdict.unwrap_err().kafka_code(), 120, "a late batch joins nothing");
}

#[test]
fn d32_and_d33_every_cell_of_version_ones_table() {
    let table = [
        (Ongoing, [0, 0]),
        (CompleteCommit, [0, INVALID]),
        (CompleteAbort, [INVALID, 0]),
        (PrepareCommit, [CONCURRENT, INVALID]),
        (PrepareAbort, [INVALID, CONCURRENT]),
        (Empty, [INVALID, INVALID]),
    ];
    for (state, expected) in table {
        for (result, expected) in [Commit, Abort].into_iter().zip(expected) {
            let mut desk = Desk::found(who(7, 5), state);
            let request = desk.begin_end(who(7, 5), result, One);
            if state == Ongoing {
                let prepared = desk.settle(WriteOutcome::Durable).unwrap();
                assert_eq!(prepared.producer_epoch.get(), 5, "version one keeps the epoch");
            }
            let reply = desk.reply(request).unwrap();
            assert_eq!(code(&reply), expected, "{state:?} {result:?}");
            for epoch in [4, 6] {
                let request = desk.begin_end(who(7, epoch), result, One);
                assert_eq!(code(&desk.reply(request).unwrap()), FENCED, "{state:?} {epoch}");
            }
            let request = desk.begin_end(who(8, 5), result, One);
            assert_eq!(code(&desk.reply(request).unwrap()), MAPPING, "{state:?}");
        }
    }
}

#[test]
fn d34_the_answer_comes_with_the_decision_and_a_refused_decision_never_was() {
    let mut desk = Desk::found(who(7, 5), Ongoing);
    let request = desk.begin_end(who(7, 5), Commit, Two);
    assert_eq!(desk.reply(request), None);
    desk.settle(WriteOutcome::Refused);
    assert_eq!(code(&desk.reply(request).unwrap()), UNAVAILABLE);
    assert_eq!((desk.state(), desk.producer()), (Ongoing, who(7, 5)));
    let request = desk.begin_end(who(7, 5), Commit, Two);
    desk.settle(WriteOutcome::Durable);
    assert_eq!(identity(desk.reply(request).unwrap()), who(7, 6), "before any marker");
    let markers = desk.markers().unwrap();
    assert_eq!((markers.producer, markers.result), (who(7, 6), Commit));
    assert_eq!((markers.partitions, markers.coordinator_epoch), (places(&[0, 1]), 3));
}

#[test]
fn d35_version_two_bumps_at_every_end_and_knows_its_repetitions() {
    for (result, other) in [(Commit, Abort), (Abort, Commit)] {
        let mut desk = Desk::found(who(7, 5), Ongoing);
        let first = desk.begin_end(who(7, 5), result, Two);
        desk.settle(WriteOutcome::Durable);
        desk.reply(first).unwrap().unwrap();
        let again = desk.begin_end(who(7, 5), result, Two);
        assert_eq!(code(&desk.reply(again).unwrap()), CONCURRENT, "markers are on their way");
        let changed = desk.begin_end(who(7, 5), other, Two);
        assert_eq!(code(&desk.reply(changed).unwrap()), INVALID, "it is decided");
        desk.finish();
        assert_eq!(identity(desk.end(who(7, 5), result, Two)), who(7, 6));
        assert_eq!(code(&desk.end(who(7, 5), other, Two)), INVALID);
        assert_eq!(code(&desk.end(who(7, 4), result, Two)), FENCED);
        // An abort of nothing has its own epoch; a commit of nothing has no meaning.
        assert_eq!(code(&desk.end(who(7, 6), Commit, Two)), INVALID);
        assert_eq!(identity(desk.end(who(7, 6), Abort, Two)), who(7, 7));
    }
    let mut desk = Desk::found(who(7, 5), Empty);
    assert_eq!(code(&desk.end(who(7, 5), Commit, Two)), INVALID);
    assert_eq!(identity(desk.end(who(7, 5), Abort, Two)), who(7, 6));
}

#[test]
fn d36_the_last_epoch_ends_with_a_new_id() {
    let mut desk = Desk::found(who(7, 32_766), Ongoing);
    let request = desk.begin_end(who(7, 32_766), Commit, Two);
    let prepared = desk.settle(WriteOutcome::Durable).unwrap();
    assert_eq!((prepared.producer_id.get(), prepared.producer_epoch.get()), (7, 32_767));
    assert_eq!(prepared.next_producer_id.get(), 1_000);
    assert_eq!(identity(desk.reply(request).unwrap()), who(1_000, 0));
    assert_eq!(desk.markers().unwrap().producer, who(7, 32_767));
    for partition in places(&[0, 1]) {
        let (producer, outcome) = (who(7, 32_767), MarkerOutcome::Written);
        desk.on(Event::MarkerAnswered { id: id(), producer, partition, outcome });
    }
    desk.finish();
    assert_eq!((desk.state(), desk.producer()), (CompleteCommit, who(1_000, 0)));
    assert_eq!(identity(desk.end(who(7, 32_766), Commit, Two)), who(1_000, 0), "asked again");
    assert_eq!(code(&desk.end(who(7, 32_765), Commit, Two)), MAPPING);
    assert_eq!(code(&desk.add(who(1_000, 0), &[3])), 0);
}

#[test]
fn d37_each_transaction_ends_under_its_own_rules() {
    let mut desk = Desk::found(who(7, 5), Ongoing);
    assert_eq!(identity(desk.end(who(7, 5), Commit, One)), who(7, 5));
    assert_eq!(code(&desk.add(who(7, 5), &[0])), 0);
    assert_eq!(identity(desk.end(who(7, 5), Commit, Two)), who(7, 6));
    assert_eq!(code(&desk.add(who(7, 6), &[0])), 0);
    assert_eq!(identity(desk.end(who(7, 6), Abort, One)), who(7, 6));
}

#[test]
fn d38_a_transaction_open_too_long_is_fenced_and_aborted_once() {
    let mut desk = Desk::found(who(7, 5), Ongoing);
    desk.now += 60_000;
    desk.on(Event::Tick);
    assert_eq!(desk.write(), None, "not before its time is over");
    desk.now += 1;
    desk.on(Event::Tick);
    let aborted = desk.settle(WriteOutcome::Refused).unwrap();
    assert_eq!((aborted.state, aborted.producer_epoch.get()), (PrepareAbort, 6));
    desk.on(Event::Tick);
    let aborted = desk.settle(WriteOutcome::Durable).unwrap();
    assert_eq!(aborted.producer_epoch.get(), 6, "raised once");
    desk.finish();
    assert_eq!((desk.state(), desk.producer()), (CompleteAbort, who(7, 6)));
    assert_eq!(code(&desk.end(who(7, 5), Commit, Two)), INVALID, "T10: it was aborted");
    assert_eq!(code(&desk.add(who(7, 5), &[0])), FENCED);
    // A decision under way is not overtaken.
    let mut desk = Desk::found(who(7, 5), Ongoing);
    let request = desk.begin_end(who(7, 5), Commit, Two);
    desk.now += 120_000;
    desk.on(Event::Tick);
    desk.finish();
    assert_eq!(identity(desk.reply(request).unwrap()), who(7, 6));
    assert_eq!(desk.state(), CompleteCommit);
    for state in [Empty, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort] {
        let mut desk = Desk::found(who(7, 5), state);
        desk.out.clear();
        desk.now += 120_000;
        desk.on(Event::Tick);
        assert_eq!(desk.write(), None, "{state:?}");
    }
}

#[test]
fn d39_markers_that_cannot_be_written_now_are_sent_again() {
    let mut desk = Desk::found(who(7, 5), PrepareCommit);
    let markers = desk.markers().unwrap();
    let mut answer = |number: u32, outcome| {
        let partition = places(&[number]).pop_first().unwrap();
        let producer = markers.producer;
        desk.on(Event::MarkerAnswered { id: id(), producer, partition, outcome });
        desk.markers().map(|markers| markers.partitions)
    };
    assert_eq!(answer(0, MarkerOutcome::Retry), Some(places(&[0])));
    assert_eq!(answer(0, MarkerOutcome::Written), None);
    assert_eq!(answer(0, MarkerOutcome::Written), None, "a second answer is no other partition's");
    assert_eq!(answer(1, MarkerOutcome::Gone), None);
    desk.finish();
    assert_eq!(desk.state(), CompleteCommit);
    let mut desk = Desk::found(who(7, 5), PrepareCommit);
    let (producer, outcome) = (who(7, 5), MarkerOutcome::Fenced);
    for partition in places(&[0, 1]) {
        desk.on(Event::MarkerAnswered { id: id(), producer, partition, outcome });
    }
    assert_eq!((desk.write(), desk.state()), (None, PrepareCommit), "a newer one goes on");
}
