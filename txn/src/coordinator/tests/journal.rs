//! Scenarios D40 to D46: the journal fails, is read again, and forgets.

use super::*;

use TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
};

#[test]
fn d40_the_last_record_is_tried_again_and_a_lost_journal_is_not_written() {
    let mut desk = Desk::found(who(7, 5), PrepareCommit);
    for partition in desk.markers().unwrap().partitions {
        let (producer, outcome) = (who(7, 5), MarkerOutcome::Written);
        desk.on(Event::MarkerAnswered { id: id(), producer, partition, outcome });
    }
    desk.settle(WriteOutcome::Refused);
    assert_eq!(desk.state(), PrepareCommit);
    desk.on(Event::Tick);
    desk.settle(WriteOutcome::Durable);
    assert_eq!(desk.state(), CompleteCommit);
    let mut desk = Desk::found(who(7, 5), Ongoing);
    let request = desk.begin_end(who(7, 5), TransactionResult::Commit, TransactionVersion::Two);
    desk.settle(WriteOutcome::Lost);
    assert_eq!(code(&desk.reply(request).unwrap()), 16, "its fate is not known");
    desk.on(Event::Tick);
    assert_eq!(desk.out, [], "nothing is done before the journal is read");
}

#[test]
fn d41_what_is_decided_is_completed_and_what_is_not_is_kept_or_aborted() {
    for (state, done) in [(PrepareCommit, CompleteCommit), (PrepareAbort, CompleteAbort)] {
        let mut desk = Desk::found(who(7, 5), state);
        let markers = desk.out.iter().filter(|c| matches!(c, Command::WriteMarkers(_))).count();
        assert_eq!(markers, 1);
        desk.finish();
        assert_eq!((desk.state(), desk.producer()), (done, who(7, 5)));
        assert_eq!(desk.out, [], "once");
    }
    let mut desk = Desk::found(who(7, 5), Ongoing);
    assert_eq!((desk.write(), desk.markers()), (None, None));
    let mut desk = Desk::loading(CoordinatorSettings::default());
    desk.on(Event::Record { id: id(), record: Some(record(who(7, 5), Ongoing)) });
    desk.on(Event::Loaded { coordinator_epoch: 4 });
    let aborted = desk.settle(WriteOutcome::Durable).unwrap();
    assert_eq!((aborted.state, aborted.producer_epoch.get()), (PrepareAbort, 6));
    desk.finish();
    assert_eq!(desk.state(), CompleteAbort);
}

#[test]
fn d42_a_second_load_replaces_everything_and_old_answers_say_nothing() {
    let mut desk = Desk::found(who(7, 5), PrepareCommit);
    let old = desk.markers().unwrap();
    desk.on(Event::Loading);
    assert_eq!(desk.coordinator.describe(&id()).unwrap_err().kafka_code(), 14);
    desk.on(Event::Record { id: id(), record: Some(record(who(7, 9), PrepareAbort)) });
    desk.on(Event::Loaded { coordinator_epoch: 4 });
    let new = desk.markers().unwrap();
    assert_eq!((new.producer, new.coordinator_epoch), (who(7, 9), 4));
    for partition in old.partitions {
        let (producer, outcome) = (old.producer, MarkerOutcome::Written);
        desk.on(Event::MarkerAnswered { id: id(), producer, partition, outcome });
    }
    assert_eq!((desk.write(), desk.state()), (None, PrepareAbort));
}

#[test]
fn d43_the_last_record_of_an_id_counts_and_one_without_a_value_forgets_it() {
    let mut desk = Desk::loading(CoordinatorSettings::default());
    let other = TransactionalId::new("other").unwrap();
    for record in [record(who(7, 5), Ongoing), record(who(7, 6), Empty)] {
        desk.on(Event::Record { id: id(), record: Some(record.clone()) });
        desk.on(Event::Record { id: other.clone(), record: Some(record) });
    }
    desk.on(Event::Record { id: other.clone(), record: None });
    assert_eq!(code(&desk.init(None)), 14, "half of a journal is not served");
    desk.on(Event::Loaded { coordinator_epoch: 0 });
    assert_eq!((desk.state(), desk.producer()), (Empty, who(7, 6)));
    assert_eq!(desk.coordinator.describe(&other).unwrap_err().kafka_code(), 49);
    assert_eq!(desk.coordinator.producer_id_max().get(), 7);
}

#[test]
fn d44_while_a_change_is_under_way_nothing_else_is_accepted() {
    let mut desk = Desk::found(who(7, 5), Ongoing);
    let first = desk.begin_add(who(7, 5), &[5]);
    let (write, _) = desk.write().unwrap();
    let requests = [
        desk.begin_add(who(7, 5), &[6]),
        desk.begin_end(who(7, 5), TransactionResult::Commit, TransactionVersion::Two),
        desk.begin_end(who(7, 5), TransactionResult::Abort, TransactionVersion::One),
        desk.begin_init(None),
    ];
    for request in requests {
        assert_eq!(code(&desk.reply(request).unwrap()), 51);
    }
    desk.now += 999_999_999;
    desk.on(Event::Tick);
    assert_eq!(desk.write(), None);
    // The journal is read again meanwhile: the old record's fate is nobody's business.
    desk.on(Event::Loading);
    assert_eq!(code(&desk.reply(first).unwrap()), 16);
    desk.on(Event::Record { id: id(), record: Some(record(who(7, 5), Empty)) });
    desk.on(Event::Loaded { coordinator_epoch: 4 });
    desk.on(Event::Written { write, outcome: WriteOutcome::Durable });
    assert_eq!(desk.state(), Empty);
}

#[test]
fn d45_and_d46_an_unused_id_is_forgotten_after_seven_days() {
    let week = 7 * 24 * 3_600_000;
    for state in [Empty, CompleteCommit, CompleteAbort] {
        let mut desk = Desk::found(who(7, 5), state);
        desk.now += week - 1;
        desk.on(Event::Tick);
        assert_eq!(desk.write(), None, "{state:?}");
        desk.now += 1;
        desk.on(Event::Tick);
        let (write, tombstone) = desk.write().unwrap();
        assert_eq!(tombstone, None);
        desk.on(Event::Written { write, outcome: WriteOutcome::Refused });
        assert_eq!(desk.state(), state, "kept, and tried again");
        desk.on(Event::Tick);
        let (write, _) = desk.write().unwrap();
        desk.on(Event::Written { write, outcome: WriteOutcome::Durable });
        assert_eq!(code(&desk.add(who(7, 5), &[0])), 49, "its producer is a stranger now");
        assert_eq!(identity(desk.init(None)), who(1_000, 0));
    }
    for state in [PrepareCommit, PrepareAbort] {
        let mut desk = Desk::found(who(7, 5), state);
        desk.now += week;
        desk.on(Event::Tick);
        assert_eq!(desk.write(), None, "{state:?}");
    }
}
