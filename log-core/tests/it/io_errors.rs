//! The fault catalogue, reported I/O errors: aimed at one write, flush or read of a running store.
//!
//! A write or flush that fails takes the partition offline and is never tried again; what was
//! durable can still be read; reopening goes by what the device holds.

use log_core::disk::sim::{Aim, Aimed, Call, Effect, Faults};
use log_core::{
    AppendError, Durability, FaultKind, FetchLimits, IsolationLevel, Log, LogState, NotAppended,
    Offset, OpenError,
};

use crate::log::partition;
use crate::world::{World, prefix, read_around};

/// The rest of the partition's life after a fault at `kind`: offline, readable, and named.
fn expect_offline(log: &Log, kind: FaultKind, readable: usize) {
    let state = log.info().state;
    let LogState::Offline(fault) = &state else { unreachable!("{state:?}") };
    assert_eq!(fault.kind(), kind, "{fault}");
    assert!(fault.path().starts_with("/store/orders-0"), "the fault names its file: {fault}");
    assert_eq!(prefix(log), readable, "what was durable reads on");
    let refused = log.append(crate::log::batch(&["x"]), Durability::Buffered).unwrap_err();
    assert!(matches!(refused, AppendError::NotAppended(NotAppended::Offline(_))), "{refused}");
}

#[test]
fn row_18_a_failed_flush_fails_everyone_who_waits_and_is_not_retried() {
    let mut world = World::new(1);
    let (store, log) = world.open();
    world.fill(&log, 5);
    let failed = world.disk.aim(Aim::at(Call::Sync, Effect::EIO).of(".log"));
    let tickets: Vec<_> = (0..4).map(|_| world.append(&log, Durability::Synced).unwrap()).collect();
    for ticket in tickets {
        match ticket.wait() {
            Err(AppendError::Indeterminate(fault)) => {
                assert_eq!(fault.kind(), FaultKind::Sync, "{fault}");
                assert_eq!(fault.io_error().unwrap().raw_os_error(), Some(5), "the cause is kept");
            }
            other => unreachable!("{other:?}"),
        }
    }
    while store.turn() {}
    assert_eq!((failed.matched(), failed.struck()), (1, 1), "no second flush of that file");
    expect_offline(&log, FaultKind::Sync, 5);
    assert!(log.flush().is_err());
}

#[test]
fn row_19_a_flush_that_would_succeed_now_is_not_believed_and_reopening_asks_the_device() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        let (store, log) = world.open();
        world.fill(&log, 5);
        let _failed = world.disk.aim(Aim::at(Call::Sync, Effect::EIO).of(".log"));
        world.append_wait(&log, Durability::Synced).unwrap_err();
        world.disk.clear_aims();
        expect_offline(&log, FaultKind::Sync, 5);

        let again = store.reopen(&partition(0)).unwrap();
        assert!(matches!(log.info().state, LogState::Stale));
        let found = prefix(&again);
        assert!((5..=6).contains(&found), "the indeterminate one is there or not");
        world.resume(&again);
        world.fill(&again, 3);
        drop((store, log, again));
        let (_store, log) = world.cut();
        assert_eq!(prefix(&log), found + 3, "seed {seed}: what was shown outlives a cut (S3)");
    }
}

#[test]
fn row_20_a_failed_write_takes_the_partition_offline_and_reads_go_on() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        let (store, log) = world.open();
        world.fill(&log, 5);
        let failed = world.disk.aim(Aim::at(Call::Write, Effect::EIO).of(".log"));
        match world.append_wait(&log, Durability::Written) {
            Err(AppendError::Indeterminate(fault)) => assert_eq!(fault.kind(), FaultKind::Write),
            other => unreachable!("{other:?}"),
        }
        assert_eq!((failed.matched(), failed.struck()), (1, 1), "it is not written again");
        expect_offline(&log, FaultKind::Write, 5);
        let again = store.reopen(&partition(0)).unwrap();
        let found = prefix(&again);
        assert!((5..=6).contains(&found), "seed {seed}: {found}");
    }
}

/// A store of 40 batches in segments of at most 4 KiB, closed cleanly.
fn sealed_segments(seed: u64) -> World {
    let mut world = World::with(seed, |builder| builder.segment_bytes_max(4096));
    let (store, log) = world.open();
    world.fill(&log, 40);
    assert!(log.info().segments.len() > 2);
    store.close().unwrap();
    world
}

/// Makes one 512-byte sector of a segment unreadable.
fn bad_sector(world: &World, base: i64, sector: u64) -> Aimed {
    let name = format!("{base:020}.log");
    let bytes = sector * 512..(sector + 1) * 512;
    world.disk.aim(Aim::at(Call::Read, Effect::EIO).of(&name).bytes(bytes).always())
}

/// Everything but `lost` reads as it was written.
fn expect_all_but(log: &Log, lost: &[(i64, i64)], count: usize) {
    let (found, damaged) = read_around(log);
    assert_eq!(damaged, lost);
    let missing: i64 = lost.iter().map(|(start, end)| end - start).sum();
    assert_eq!(found.len() + usize::try_from(missing).unwrap(), count);
    for (offset, value) in found {
        assert_eq!(value, World::value(usize::try_from(offset).unwrap()));
        assert!(!lost.iter().any(|(start, end)| (*start..*end).contains(&offset)));
    }
}

#[test]
fn row_21_an_unreadable_sector_of_a_sealed_segment_is_named_and_its_neighbours_read() {
    let mut world = sealed_segments(1);
    let (store, log) = world.open();
    assert!(store.recovered()[0].clean);
    let bad = bad_sector(&world, 0, 3);
    let (_, lost) = read_around(&log);
    assert_eq!(lost.len(), 1, "{lost:?}");
    let (start, end) = lost[0];
    assert!(end - start <= 4, "at most the batches that touch the sector: {lost:?}");
    expect_all_but(&log, &lost, 40);
    assert!(bad.struck() > 0);
    let damage = log.info().damage;
    assert_eq!(damage.len(), 1);
    assert!(damage[0].reason.contains("cannot read"), "{}", damage[0].reason);
    assert!(damage[0].positions.contains(&(3 * 512)), "{:?}", damage[0].positions);
    world.resume(&log);
    world.fill(&log, 1);
    assert!(matches!(log.info().state, LogState::Damaged(_)), "appends stay allowed");
}

/// The same after a crash: nothing was closed, and the watermark stands at the end.
fn crashed_segments(seed: u64) -> World {
    let mut world = World::with(seed, |builder| builder.segment_bytes_max(4096).watermark_bytes(1));
    let (store, log) = world.open();
    world.fill(&log, 40);
    while store.turn() {}
    world.disk.crash();
    world
}

/// Base offset of the last segment.
fn last_base(world: &World) -> i64 {
    let mut files = world.disk.files();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    let name = files.last().unwrap().file_stem().unwrap().to_str().unwrap();
    name.parse().unwrap()
}

#[test]
fn row_22_an_unreadable_sector_below_the_watermark_is_damage_and_nothing_is_cut() {
    let tail = last_base(&crashed_segments(2));
    for (base, sector) in [(0, 0), (0, 3), (0, 6), (tail, 0), (tail, 1)] {
        let mut world = crashed_segments(2);
        let before = world.disk.read(&World::segment(base)).unwrap();
        let _bad = bad_sector(&world, base, sector);
        let (store, log) = world.open();
        let recovered = store.recovered().remove(0);
        assert_eq!((recovered.clean, recovered.bytes_cut), (false, 0), "{recovered:?}");
        assert_eq!(recovered.log_end_offset.get(), 40);
        // A sealed segment is not scanned (S6): there the reader meets the sector, and names it.
        let damage = if base == tail {
            assert!(matches!(log.info().state, LogState::ReadOnly(_)));
            recovered.damage
        } else {
            assert!(recovered.damage.is_empty(), "{recovered:?}");
            log.verify().unwrap().damage
        };
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert!(damage[0].reason.contains("cannot read"), "{damage:?}");
        let lost = &damage[0].offsets;
        expect_all_but(&log, &[(lost.start.get(), lost.end.get())], 40);
        assert_eq!(world.disk.read(&World::segment(base)).unwrap(), before, "nothing is changed");
    }
}

#[test]
fn row_23_an_unreadable_sector_above_the_watermark_is_no_torn_tail_and_the_store_says_so() {
    let mut world = World::with(3, |builder| builder.watermark_bytes(1 << 20));
    let (_store, log) = world.open();
    world.fill(&log, 20);
    let before = world.disk.read(&World::segment(0)).unwrap();
    world.disk.crash();
    let _bad = bad_sector(&world, 0, 3);
    match world.try_open() {
        Err(OpenError::Io(fault)) => {
            assert_eq!(fault.kind(), FaultKind::Read);
            assert!(fault.path().ends_with("00000000000000000000.log"), "{fault}");
            assert_eq!(fault.io_error().unwrap().raw_os_error(), Some(5), "{fault}");
        }
        other => unreachable!("{other:?}"),
    }
    assert_eq!(world.disk.read(&World::segment(0)).unwrap(), before, "nothing is cut");
    world.disk.clear_aims();
    assert_eq!(prefix(&world.open().1), 20, "once it can be read everything is there");
}

#[test]
fn row_24_a_read_that_fails_once_is_tried_again_and_counted() {
    let mut world = sealed_segments(4);
    let (store, log) = world.open();
    let before = store.usage().read_retries;
    let once = world.disk.aim(Aim::at(Call::Read, Effect::EIO).of(".log"));
    assert_eq!(prefix(&log), 40);
    assert_eq!(once.struck(), 1);
    assert!(log.info().damage.is_empty());
    assert!(store.usage().read_retries > before, "{:?}", store.usage());
}

#[test]
fn row_24_recovery_survives_a_read_that_fails_once() {
    for nth in 1.. {
        let mut world = crashed_segments(nth);
        let once = world.disk.aim(Aim::at(Call::Read, Effect::EIO).of(".log").nth(nth));
        let (store, log) = world.open();
        if once.struck() == 0 {
            assert!(nth > 3, "recovery read {} times", nth - 1);
            return;
        }
        assert!(store.recovered()[0].damage.is_empty());
        assert_eq!(prefix(&log), 40);
    }
}

#[test]
fn row_25_the_rest_of_a_short_write_is_submitted_and_then_flushed() {
    for most in [0, 1, 511, 4096, 5000, 8192, 12_288] {
        let mut world = World::new(5);
        let (store, log) = world.open();
        let big = "y".repeat(60_000);
        let short = world.disk.aim(Aim::at(Call::Write, Effect::Move(most)).of(".log").times(3));
        let synced = world.disk.aim(Aim::at(Call::Sync, Effect::Count).of(".log"));
        log.append_wait(crate::log::batch(&[&big]), Durability::Synced).unwrap();
        assert_eq!(short.struck(), 3, "{most} bytes at a time");
        assert!(short.matched() >= 4, "the rest was submitted");
        assert_eq!(synced.matched(), 1, "one flush, of the whole");
        drop((store, log));
        let (_store, log) = world.cut();
        assert_eq!(crate::log::read_all(&log), [(0, big)], "{most} bytes at a time");
    }
}

#[test]
fn row_26_a_write_that_makes_no_progress_ends_after_a_bounded_number_of_tries() {
    let mut world = World::new(6);
    let (_store, log) = world.open();
    world.fill(&log, 3);
    let none = world.disk.aim(Aim::at(Call::Write, Effect::Move(0)).of(".log").always());
    let error = world.append_wait(&log, Durability::Synced).unwrap_err();
    assert!(matches!(error, AppendError::Indeterminate(_)), "{error}");
    assert!(error.to_string().contains("no progress"), "{error}");
    assert!((2..100).contains(&none.struck()), "{} tries", none.struck());
    expect_offline(&log, FaultKind::Write, 3);
}

#[test]
fn row_26_a_write_that_moves_nothing_for_a_while_succeeds_in_the_end() {
    let mut world = World::new(6);
    let (_store, log) = world.open();
    let none = world.disk.aim(Aim::at(Call::Write, Effect::Move(0)).of(".log").times(5));
    world.fill(&log, 1);
    assert_eq!(none.struck(), 5);
    assert_eq!(prefix(&log), 1);
}

#[test]
fn row_27_short_reads_change_nothing_that_is_read_or_recovered() {
    let mut world = crashed_segments(7);
    world.disk.set_faults(Faults { short_read: u16::MAX, ..Faults::default() });
    let (store, log) = world.open();
    let recovered = store.recovered().remove(0);
    assert_eq!((recovered.bytes_cut, recovered.damage.len()), (0, 0), "{recovered:?}");
    assert_eq!(prefix(&log), 40);
    store.close().unwrap();
    drop((store, log));
    assert!(world.open().0.recovered()[0].clean, "a clean close is recognised by short reads too");
}

#[test]
fn row_27_a_file_that_ends_inside_a_batch_is_torn_there() {
    let mut world = World::with(8, |builder| builder.watermark_bytes(1 << 20));
    let (_store, log) = world.open();
    world.fill(&log, 10);
    let end = log.info().segments[0].bytes;
    world.disk.crash();
    world.disk.shorten(&World::segment(0), u64::from(end) - 10);
    let (store, log) = world.open();
    assert_eq!(prefix(&log), 9);
    assert!(store.recovered()[0].bytes_cut > 0);
    let beyond = Offset::new(9).unwrap();
    let fetched = log.fetch(beyond, FetchLimits::default(), IsolationLevel::ReadUncommitted);
    assert!(fetched.unwrap().is_empty(), "the torn batch is not there");
}
