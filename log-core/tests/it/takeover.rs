//! Taking over a directory that another program wrote (S10): stopped anywhere, with disks that fail, over
//! damage. What Kafka said of its logs is remembered until they are found whole.

use std::path::Path;
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::{Aim, Call, Effect, SimDirectory, Stop};
use log_core::disk::{Directory, Open};
use log_core::ids::TimestampMs;
use log_core::{Drive, FetchLimits, IsolationLevel, Log, LogState, Store, StoreBuilder};

use crate::foreign::{all, append, expect_whole, kafkas, records, segment};
use crate::log::{partition, read_all};
use crate::world::read_around;

const ROOT: &str = "/store";
/// The files whose digest the clean marker holds, and the marker.
const READ_AT_OPEN: [&str; 5] = [
    "oncelog.clean",
    "recovery-point-offset-checkpoint",
    "log-start-offset-checkpoint",
    "replication-offset-checkpoint",
    ".kafka_cleanshutdown",
];

/// The directory on a disk that loses power.
fn on(disk: &SimDirectory) -> StoreBuilder {
    Store::builder()
        .directory(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(TimestampMs::new(1_000))))
        .drive(Drive::Manual)
}

fn put(disk: &SimDirectory, name: &str, bytes: &[u8]) {
    let path = Path::new(ROOT).join(name);
    let _there = disk.create_dir(path.parent().unwrap());
    let _gone = disk.unlink(&path);
    let file = disk.open(&path, Open::Create).unwrap();
    assert_eq!(file.write_at(0, bytes).unwrap(), bytes.len());
    file.sync().unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
    disk.sync_dir(Path::new(ROOT)).unwrap();
}

fn disk(seed: u64) -> SimDirectory {
    let disk = SimDirectory::new(seed);
    disk.create_dir(Path::new(ROOT)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

/// A life of ours on `disk`, closed cleanly, with one record in each of `partitions`.
fn live(disk: &SimDirectory, partitions: u32) {
    let store = on(disk).open(ROOT).unwrap();
    store.create_topic(&"orders".parse().unwrap(), partitions).unwrap();
    for number in 0..partitions {
        append(&store.log(&partition(number)).unwrap(), &mut Vec::new());
    }
    store.close().unwrap();
}

/// What Kafka leaves of three partitions: all of the first, the second from offset 5 on, and the third
/// with a batch that rotted below the recovery point.
fn leave(disk: &SimDirectory, with_ids: bool) {
    let files = kafkas();
    let of_partition = |name: &&str| name.starts_with("orders-0/");
    for number in 0..3 {
        for (name, bytes) in files.iter().filter(|(name, _)| of_partition(name)) {
            if with_ids || !name.ends_with("metadata") {
                put(disk, &name.replace("orders-0", &format!("orders-{number}")), bytes);
            }
        }
    }
    let mut rotten = segment(&[33, 34, 40]);
    rotten[segment(&[0]).len() - 1] ^= 1;
    put(disk, "orders-2/00000000000000000030.log", &rotten);
    for (name, bytes) in files.iter().filter(|(name, _)| !of_partition(name)) {
        put(disk, name, bytes);
    }
    let points = b"0\n3\norders 0 34\norders 1 34\norders 2 34\n";
    put(disk, "recovery-point-offset-checkpoint", points);
    put(disk, "log-start-offset-checkpoint", b"0\n2\norders 1 5\norders 2 6\n");
}

fn expect_damage(log: &Log, what: &str) {
    assert!(matches!(log.state(), LogState::ReadOnly(_)), "{what}: {}", log.state());
    assert_eq!(log.log_start_offset().get(), 6, "{what}");
    let (found, damaged) = read_around(log);
    assert_eq!((found, damaged), (records(&[6, 20, 34, 40]), vec![(30, 34)]), "{what}");
}

fn expect_left(store: &Store, what: &str) {
    let log = |number| store.log(&partition(number)).unwrap();
    expect_whole(&log(0), &all());
    assert_eq!(log(1).log_start_offset().get(), 5, "{what}");
    assert_eq!(read_all(&log(1)), records(&all()[2..]), "{what}");
    expect_damage(&log(2), what);
}

#[test]
fn what_kafka_said_of_a_damaged_log_is_remembered_however_often_it_is_opened() {
    let mut disk = disk(1);
    leave(&disk, true);
    for life in 0..6 {
        let store = on(&disk).open(ROOT).unwrap();
        let what = format!("life {life}");
        expect_left(&store, &what);
        match life % 3 {
            0 => drop(store),
            1 => store.close().unwrap(),
            _ => {
                let log = store.reopen(&partition(2)).unwrap();
                expect_damage(&log, &what);
            }
        }
        disk = disk.reborn();
    }
}

fn take_over_stopped_anywhere(lived: u32, with_ids: bool) {
    for operation in 1.. {
        let disk = disk(operation);
        if lived > 0 {
            live(&disk, lived);
        }
        leave(&disk, with_ids);
        let disk = disk.reborn();
        disk.arm(operation, Stop::Cut);
        let opened = on(&disk).open(ROOT);
        let struck = disk.is_over();
        drop(opened);
        disk.cut();
        let disk = disk.reborn();
        let store = on(&disk).open(ROOT).unwrap();
        expect_left(&store, &format!("operation {operation}"));
        let log = store.log(&partition(0)).unwrap();
        let mut offsets = all();
        append(&log, &mut offsets);
        expect_whole(&log, &offsets);
        if !struck {
            assert!(operation > 20, "{operation} operations");
            break;
        }
    }
}

#[test]
fn taking_over_a_directory_that_kafka_made_stopped_anywhere_finds_the_same_again() {
    take_over_stopped_anywhere(0, true);
}

#[test]
fn taking_over_a_directory_without_topic_ids_stopped_anywhere_finds_the_same_again() {
    take_over_stopped_anywhere(0, false);
}

#[test]
fn taking_over_what_was_ours_stopped_anywhere_finds_the_same_again() {
    take_over_stopped_anywhere(3, true);
    // The others are Kafka's.
    take_over_stopped_anywhere(1, true);
}

#[test]
fn a_checkpoint_that_cannot_be_read_fails_the_open_by_name_and_voids_nothing() {
    const EMFILE: Effect = Effect::Fail(24);
    for name in READ_AT_OPEN {
        for (call, effect) in [(Call::Read, Effect::EIO), (Call::Open, EMFILE)] {
            let disk = disk(1);
            live(&disk, 2);
            let disk = disk.reborn();
            let fault = disk.aim(Aim::at(call, effect).of(name).always());
            let error = on(&disk).open(ROOT).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(fault.struck() > 0);
            disk.clear_aims();
            let store = on(&disk.reborn()).open(ROOT).unwrap();
            assert!(store.recovered().iter().all(|recovered| recovered.clean), "{name}");
        }
    }
}

#[test]
fn what_kafka_said_is_not_taken_for_nothing_where_it_cannot_be_read() {
    for name in &READ_AT_OPEN[1..3] {
        let disk = disk(1);
        leave(&disk, true);
        let disk = disk.reborn();
        let fault = disk.aim(Aim::at(Call::Read, Effect::EIO).of(name).always());
        let error = on(&disk).open(ROOT).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(fault.struck() > 0);
        disk.clear_aims();
        let store = on(&disk.reborn()).open(ROOT).unwrap();
        expect_left(&store, name);
    }
}

#[test]
fn a_reader_does_not_take_a_checkpoint_it_cannot_read_for_a_changed_one() {
    for name in READ_AT_OPEN {
        let disk = disk(1);
        live(&disk, 1);
        let disk = disk.reborn();
        let fault = disk.aim(Aim::at(Call::Read, Effect::EIO).of(name).always());
        let store = on(&disk).open_read_only(ROOT).unwrap();
        let error = store.log(&partition(0)).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(fault.struck() > 0);
        disk.clear_aims();
        assert!(store.log(&partition(0)).unwrap().recovered().clean);
    }
}

#[test]
fn a_reader_scans_a_log_that_was_never_ours_once_and_again_when_its_files_change() {
    let disk = disk(1);
    leave(&disk, true);
    let disk = disk.reborn();
    let store = on(&disk).open_read_only(ROOT).unwrap();
    let log = store.log(&partition(1)).unwrap();
    let end = log.high_watermark();
    assert_eq!(end.get(), 41);
    let reads = disk.aim(Aim::at(Call::Read, Effect::Count).of(".log"));
    let fetch = || {
        let limits = FetchLimits::default();
        log.fetch(end, limits, IsolationLevel::ReadUncommitted).unwrap().records().count()
    };
    assert_eq!((0..10).map(|_| fetch()).sum::<usize>(), 0);
    assert_eq!(reads.matched(), 0, "nothing changed, and nothing is read");
    put(&disk, "orders-1/00000000000000000041.log", &segment(&[41]));
    assert_eq!(fetch(), 1);
    assert!(reads.matched() > 0);
}
