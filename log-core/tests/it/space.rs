//! The fault catalogue, space: none for an append, a roll, a sidecar, or found out too late.
//!
//! Space is secured before an offset is given, so an append without space is refused and leaves
//! nothing behind; the partition heals when space returns.

use core::time::Duration;

use log_core::disk::sim::{Aim, Call, Effect};
use log_core::{AppendError, Durability, Log, LogState, NotAppended, Offset};

use crate::log::{batch, partition};
use crate::world::{World, prefix};

/// Quota exceeded (EDQUOT).
const EDQUOT: Effect = Effect::Fail(122);
/// The file may not grow so far (EFBIG).
const EFBIG: Effect = Effect::Fail(27);
/// The file system is read-only (EROFS).
const EROFS: Effect = Effect::Fail(30);

fn expect_full(log: &Log, end: i64) {
    let refused = log.append(batch(&["x".repeat(3900).as_str()]), Durability::Synced).unwrap_err();
    let full = matches!(refused, AppendError::NotAppended(NotAppended::Full { .. }));
    assert!(full, "{refused}");
    assert!(matches!(log.info().state, LogState::Full), "{:?}", log.info().state);
    assert_eq!(log.log_end_offset().get(), end, "no offset was given");
    assert_eq!(prefix(log), usize::try_from(end).unwrap(), "reads go on");
}

#[test]
fn row_28_without_space_an_append_is_refused_before_it_gets_an_offset() {
    let mut world = World::new(1);
    let (store, log) = world.open();
    world.fill(&log, 3);
    let full = world.disk.aim(Aim::at(Call::Allocate, Effect::ENOSPC).of(".log").always());
    expect_full(&log, 3);
    assert!(full.struck() > 0);
    store.close().unwrap();
    drop((store, log));
    world.disk.clear_aims();
    let (store, log) = world.open();
    assert!(store.recovered()[0].clean, "nothing of it is left behind");
    assert_eq!(prefix(&log), 3);
}

#[test]
fn row_29_without_space_for_the_next_segment_the_old_one_stays_and_no_orphan() {
    // The first thing of a roll, and after the first segment's own space the second allocation.
    for (call, nth) in [(Call::Open, 1), (Call::Allocate, 2)] {
        let mut world = World::with(2, |builder| builder.segment_bytes_max(4096));
        let (store, log) = world.open();
        let full = world.disk.aim(Aim::at(call, Effect::ENOSPC).of(".log").nth(nth).always());
        let mut appended = 0;
        let refused = loop {
            match world.append_wait(&log, Durability::Synced) {
                Ok(_) => appended += 1,
                Err(error) => break error,
            }
        };
        assert!(full.struck() > 0, "{call:?}");
        let is_full = matches!(refused, AppendError::NotAppended(NotAppended::Full { .. }));
        assert!(is_full, "{call:?}: {refused}");
        assert_eq!(prefix(&log), appended);
        let logs = |world: &World| {
            let files = world.disk.files().into_iter();
            files.filter(|path| path.extension().is_some_and(|end| end == "log")).count()
        };
        assert_eq!((logs(&world), log.info().segments.len()), (1, 1), "no empty file is left");

        world.disk.clear_aims();
        world.clock.advance(Duration::from_secs(2));
        world.resume(&log);
        world.fill(&log, 5);
        assert_eq!(log.info().segments.len(), 2, "it rolls once there is space");
        store.close().unwrap();
        assert_eq!(prefix(&world.open().1), appended + 5);
    }
}

#[test]
fn row_30_without_space_for_an_index_appends_go_on_and_the_failure_is_counted() {
    let mut world = World::with(3, |builder| builder.segment_bytes_max(4096));
    let (store, log) = world.open();
    let full = world.disk.aim(Aim::at(Call::Open, Effect::ENOSPC).of("index.tmp").always());
    world.fill(&log, 40);
    assert!(full.struck() > 0);
    assert!(store.usage().index_write_failures > 0, "{:?}", store.usage());
    assert_eq!(prefix(&log), 40);
    world.disk.crash();
    world.disk.clear_aims();
    let (store, log) = world.open();
    assert!(store.recovered()[0].indexes_rebuilt > 0, "{:?}", store.recovered());
    assert_eq!(prefix(&log), 40);
}

#[test]
fn row_30_without_space_a_crashed_store_opens_all_the_same() {
    let mut world = World::with(9, |builder| builder.segment_bytes_max(4096).watermark_bytes(1));
    let (_store, log) = world.open();
    let no_index = world.disk.aim(Aim::at(Call::Open, Effect::ENOSPC).of("index.tmp").always());
    world.fill(&log, 40);
    let before = no_index.struck();
    assert!(before > 0);
    world.disk.crash();
    world.disk.set_capacity(Some(0));
    let (store, log) = world.open();
    assert!(no_index.struck() > before, "an index was to be rebuilt, and could not be");
    assert_eq!(prefix(&log), 40);
    let warnings = store.warnings();
    assert!(warnings.iter().any(|warning| warning.contains("cannot be rebuilt")), "{warnings:?}");
    expect_full(&log, 40);
    world.disk.clear_aims();
    world.disk.set_capacity(None);
    world.clock.advance(Duration::from_secs(2));
    world.resume(&log);
    world.fill(&log, 2);
    store.close().unwrap();
    assert_eq!(prefix(&world.open().1), 42);
}

#[test]
fn row_32_when_space_returns_appends_go_on_without_a_reopening() {
    let mut world = World::new(4);
    let (_store, log) = world.open();
    world.fill(&log, 3);
    let full = world.disk.aim(Aim::at(Call::Allocate, Effect::ENOSPC).of(".log").times(3));
    for _ in 0..60 {
        world.clock.advance(Duration::from_millis(300));
        if world.append_wait(&log, Durability::Synced).is_err() {
            expect_full(&log, log.log_end_offset().get());
        }
    }
    assert_eq!(full.struck(), 3, "asked for again, but not at once");
    assert!(matches!(log.info().state, LogState::Online), "{:?}", log.info().state);
    let found = prefix(&log);
    assert!(found > 10, "{found} batches, without a gap");
    assert_eq!(prefix(&world.cut().1), found);
}

#[test]
fn row_33_space_that_is_missed_only_at_the_flush_is_a_failed_flush() {
    let mut world = World::new(5);
    let (_store, log) = world.open();
    world.fill(&log, 3);
    let _full = world.disk.aim(Aim::at(Call::Sync, Effect::ENOSPC).of(".log"));
    let error = world.append_wait(&log, Durability::Synced).unwrap_err();
    assert!(matches!(error, AppendError::Indeterminate(_)), "it has an offset: {error}");
    assert!(matches!(log.info().state, LogState::Offline(_)), "{:?}", log.info().state);
    assert_eq!(prefix(&log), 3);
}

#[test]
fn row_35_a_quota_is_no_space() {
    let mut world = World::new(6);
    let (_store, log) = world.open();
    world.fill(&log, 3);
    let _quota = world.disk.aim(Aim::at(Call::Allocate, EDQUOT).of(".log").always());
    expect_full(&log, 3);
}

#[test]
fn row_36_a_file_that_may_not_grow_takes_the_partition_offline_and_nothing_else() {
    let mut world = World::new(7);
    let (store, log) = world.open();
    world.fill(&log, 3);
    let _limit = world.disk.aim(Aim::at(Call::Allocate, EFBIG).of(".log"));
    let large = batch(&["x".repeat(9000).as_str()]);
    let refused = log.append(large, Durability::Synced).unwrap_err();
    assert!(matches!(refused, AppendError::NotAppended(NotAppended::Offline(_))), "{refused}");
    assert_eq!(prefix(&log), 3);
    let again = store.reopen(&partition(0)).unwrap();
    world.resume(&again);
    world.fill(&again, 1);
    assert_eq!(again.high_watermark(), Offset::new(4).unwrap());
}

#[test]
fn row_37_a_file_system_that_turns_read_only_takes_the_partition_offline_and_reads_go_on() {
    let mut world = World::new(8);
    let (store, log) = world.open();
    world.fill(&log, 3);
    let _write = world.disk.aim(Aim::at(Call::Write, EROFS).always());
    let _sync = world.disk.aim(Aim::at(Call::Sync, EROFS).always());
    let _allocate = world.disk.aim(Aim::at(Call::Allocate, EROFS).always());
    world.append_wait(&log, Durability::Synced).unwrap_err();
    let LogState::Offline(fault) = log.info().state else { unreachable!("{:?}", log.info()) };
    assert_eq!(fault.io_error().unwrap().raw_os_error(), Some(30), "{fault}");
    assert_eq!(prefix(&log), 3);
    assert!(store.close().is_err(), "and the close says that it was not clean");
    drop((store, log));
    world.disk.clear_aims();
    let found = prefix(&world.open().1);
    assert!((3..=4).contains(&found), "{found}");
}
