//! The fault catalogue, power: stops at every operation of writing, rolling and recovering.
//!
//! What was acknowledged `Synced` is there after every cut, what is there is a prefix of what was
//! accepted, and recovery that is itself cut finds it again.

use std::collections::BTreeSet;

use log_core::disk::sim::{Aim, Call, Effect, Stop};
use log_core::{Durability, Log, LogState, Offset, StoreBuilder};

use crate::log::partition;
use crate::world::{World, prefix, read_around};

const BATCHES: usize = 30;

/// Segments so small that a few appends roll, and a watermark that never lags.
fn small(builder: StoreBuilder) -> StoreBuilder {
    builder.segment_bytes_max(4096).watermark_bytes(1)
}

/// Opens the store and appends at all three levels in turn until the life ends; returns how many
/// batches are promised to outlive `stop`.
fn work(world: &mut World, stop: Stop) -> usize {
    let Ok(store) = world.try_open() else {
        assert!(world.disk.is_over());
        return 0;
    };
    let log = store.log(&partition(0)).unwrap();
    let mut promised = 0;
    for number in 0..BATCHES {
        let level = [Durability::Synced, Durability::Written, Durability::Buffered][number % 3];
        match world.append_wait(&log, level) {
            Ok(appended) => {
                let crash = level == Durability::Written && stop == Stop::Crash;
                if crash || level == Durability::Synced {
                    promised = usize::try_from(appended.last_offset.get()).unwrap() + 1;
                }
            }
            Err(_) if world.disk.is_over() => return promised,
            Err(error) => unreachable!("{error}"),
        }
    }
    let _closed = store.close();
    promised
}

/// A disk with an empty topic on it, whose next life ends at its `operation`-th operation.
fn doomed(operation: u64, stop: Stop) -> World {
    let mut world = World::with(operation, small);
    drop(world.open());
    world.arm(operation, stop);
    world
}

/// Ends the workload at each of its operations in turn; returns how many there are.
fn sweep(stop: Stop) -> u64 {
    for operation in 1.. {
        let mut world = doomed(operation, stop);
        let promised = work(&mut world, stop);
        if !world.disk.is_over() {
            return operation - 1;
        }
        let (store, log) = world.open();
        let found = prefix(&log);
        assert!(found >= promised, "operation {operation}: {found} found, {promised} promised");
        assert_eq!(world.disk.violations(), Vec::<String>::new());
        // And the log goes on from there.
        world.resume(&log);
        world.fill(&log, 3);
        store.close().unwrap();
        assert_eq!(prefix(&world.open().1), found + 3, "operation {operation}");
    }
    0
}

#[test]
fn row_02_a_crash_at_any_operation_loses_nothing_that_was_acked() {
    let operations = sweep(Stop::Crash);
    assert!(operations > 200, "{operations}");
}

#[test]
fn row_03_a_cut_at_any_operation_loses_nothing_that_was_acked_synced() {
    let operations = sweep(Stop::Cut);
    assert!(operations > 200, "{operations}");
}

#[test]
fn row_07_a_cut_around_a_roll_leaves_the_segment_or_undoes_the_roll() {
    // Where the rolls are in an undisturbed life.
    let mut world = doomed(u64::MAX, Stop::Cut);
    let made = world.disk.aim(Aim::at(Call::SyncDir, Effect::Count).of("orders-0"));
    work(&mut world, Stop::Cut);
    assert!(made.matched() >= 4, "{} directory syncs", made.matched());

    // The roll's directory flush is the one call that makes the segment's name durable: the power
    // goes there, before and after, many times with another outcome.
    let mut segments = BTreeSet::new();
    for seed in 0..40 {
        for after in 0..4 {
            let mut world = World::with(seed, small);
            let (_store, log) = world.open();
            world.fill(&log, 8);
            let before = log.info().segments.len();
            let mut promised = 8;
            let rolled = world.disk.aim(Aim::at(Call::SyncDir, Effect::Count).of("orders-0"));
            while rolled.matched() == 0 {
                world.fill(&log, 1);
                promised += 1;
            }
            world.disk.arm(1 + after, Stop::Cut);
            while world.append_wait(&log, Durability::Synced).is_ok() {
                promised += 1;
            }
            let (_store, log) = world.open();
            let found = prefix(&log);
            assert!(found >= promised, "seed {seed}: {found} found, {promised} promised");
            segments.insert(log.info().segments.len() - before);
        }
    }
    assert!(segments.contains(&1), "{segments:?}");
}

/// A disk that lost its power amid appends; returns how many batches must be there.
fn wreck(seed: u64) -> (World, usize) {
    let mut world = World::with(seed, small);
    let (store, log) = world.open();
    world.fill(&log, 20);
    for _ in 0..8 {
        drop(world.append(&log, Durability::Written).unwrap());
    }
    for _ in 0..=(seed % 5) {
        let _busy = store.turn();
    }
    world.disk.cut();
    (world, 20)
}

#[test]
fn row_05_a_cut_at_every_operation_of_recovery_finds_the_same_log_again() {
    let (mut cuts, mut operations) = (0, 0);
    for seed in 0..12 {
        let (mut whole, promised) = wreck(seed);
        let (store, log) = whole.open();
        let longest = prefix(&log);
        cuts += u32::from(store.recovered()[0].bytes_cut > 0);
        assert!(longest >= promised);
        for operation in 1.. {
            let (mut world, _) = wreck(seed);
            world.arm(operation, Stop::Cut);
            let opened = world.try_open();
            if !world.disk.is_over() {
                assert!(opened.is_ok());
                break;
            }
            operations += 1;
            let (store, log) = world.open();
            let found = prefix(&log);
            let within = (promised..=longest).contains(&found);
            assert!(within, "seed {seed}, operation {operation}: {found} of {longest}");
            world.resume(&log);
            world.fill(&log, 2);
            drop((store, log));
            assert_eq!(prefix(&world.cut().1), found + 2, "what was shown stays");
        }
    }
    assert!(cuts > 0, "some of these disks had a torn tail");
    assert!(operations > 300, "{operations}");
}

#[test]
fn row_06_three_cuts_within_recovery_lose_nothing() {
    let mut struck = 0;
    for seed in 0..400 {
        let (mut world, promised) = wreck(seed % 40);
        for nth in 0..3 {
            world.arm(1 + (seed * 7 + nth * 13) % 60, Stop::Cut);
            drop(world.try_open());
            struck += u32::from(world.disk.is_over());
            world.disk.cut();
        }
        let found = prefix(&world.open().1);
        assert!(found >= promised, "seed {seed}: {found} found, {promised} promised");
    }
    assert!(struck > 600, "{struck} of these lives were cut short");
}

#[test]
fn row_11_written_data_whose_length_is_not_durable_leaves_a_prefix() {
    let (mut shorter, mut lengths) = (0, BTreeSet::new());
    for seed in 0..60 {
        let mut world = World::new(seed);
        let (_store, log) = world.open();
        for _ in 0..25 {
            world.append_wait(&log, Durability::Written).unwrap();
        }
        let written = world.disk.read(&World::segment(0)).unwrap().len();
        world.disk.cut();
        let left = world.disk.reborn().read(&World::segment(0)).unwrap().len();
        shorter += u32::from(left < written);
        lengths.insert(prefix(&world.open().1));
    }
    assert!(shorter > 0, "some cuts took the length");
    assert!(lengths.len() > 3, "the prefixes differ: {lengths:?}");
}

#[test]
fn row_12_a_device_that_lies_about_flushes_is_found_out_where_the_watermark_knows_better() {
    let (mut damaged, mut whole) = (0, 0);
    for seed in 0..60 {
        let mut world = World::with(seed, |builder| builder.watermark_bytes(1));
        let (_store, log) = world.open();
        world.fill(&log, 10);
        let lies = world.disk.aim(Aim::at(Call::Sync, Effect::Lie).of(".log").always());
        world.fill(&log, 10);
        assert!(lies.struck() >= 10);
        world.disk.clear_aims();
        let (store, log) = world.cut();
        let recovered = store.recovered().remove(0);
        let (found, lost) = read_around(&log);
        if lost.is_empty() {
            whole += 1;
            assert_eq!(found.len(), 20, "seed {seed}: {recovered:?}");
            continue;
        }
        damaged += 1;
        assert!(found.len() >= 10, "what was flushed in earnest is there");
        assert_eq!(recovered.log_end_offset.get(), 20, "what was acked is not forgotten");
        assert!(matches!(log.info().state, LogState::ReadOnly(_)), "and it is loud");
        for (offset, value) in found {
            assert_eq!(value, World::value(usize::try_from(offset).unwrap()), "never a wrong one");
        }
    }
    assert!(damaged > 0, "{damaged} damaged, {whole} whole");
}

/// A failed flush leaves the decision in the kernel's memory, where a process that crashes finds it
/// again and the power takes it away (S3).
#[test]
fn a_decision_whose_flush_failed_is_made_durable_before_any_file_goes_for_it() {
    let trims: [fn(&Log) -> bool; 2] = [
        |log| log.delete_records(Offset::new(20)).is_err(),
        |log| log.truncate_to(Offset::new(15).unwrap()).is_err(),
    ];
    let mut outcomes = BTreeSet::new();
    for (kind, trim) in trims.into_iter().enumerate() {
        for operations in 1..60 {
            let mut world = World::with(operations, small);
            let (store, log) = world.open();
            world.fill(&log, BATCHES);
            let struck = world.disk.aim(Aim::at(Call::Sync, Effect::EIO).of("watermark"));
            assert!(trim(&log));
            assert_eq!(struck.struck(), 1);
            drop((store, log));
            world.disk.crash();
            world.arm(operations, Stop::Cut);
            let opened = world.try_open();
            let over = world.disk.is_over();
            drop(opened);
            world.disk.cut();
            let (store, log) = world.open();
            let (found, damaged) = read_around(&log);
            assert_eq!(damaged, [], "trim {kind}, cut at {operations}: {:?}", store.recovered());
            let start = usize::try_from(log.log_start_offset().get()).unwrap();
            let end = start + found.len();
            let whole = [(0, BATCHES), [(20, BATCHES), (0, 15)][kind]];
            assert!(whole.contains(&(start, end)), "trim {kind}, cut at {operations}: {found:?}");
            outcomes.insert((kind, (start, end)));
            if !over {
                break;
            }
        }
    }
    assert_eq!(outcomes.len(), 4, "each was there, and each was gone: {outcomes:?}");
}
