//! All ways to the disk give the same log, and each says which one it is.

use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use log_core::{DirectIo, Durability, Engine, EngineInUse, Log, Store, StoreBuilder};

use crate::log::{batch, new_log, partition, read_all};

/// Every way that can be asked for.
const WAYS: [(Engine, DirectIo); 6] = [
    (Engine::Auto, DirectIo::Auto),
    (Engine::Auto, DirectIo::Off),
    (Engine::Uring, DirectIo::Auto),
    (Engine::Uring, DirectIo::Off),
    (Engine::Blocking, DirectIo::Auto),
    (Engine::Blocking, DirectIo::Off),
];

/// A directory beside the build's files: `/tmp` may be a file system of another kind.
pub(crate) fn dir() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn way((engine, direct_io): (Engine, DirectIo)) -> StoreBuilder {
    Store::builder().engine(engine).direct_io(direct_io).segment_bytes_max(1024 * 1024)
}

/// Whether this machine gives us a ring at all; says so if not.
pub(crate) fn has_ring() -> bool {
    let dir = dir();
    match Store::builder().engine(Engine::Uring).open(dir.path()) {
        Ok(_) => true,
        Err(error) => {
            println!("skipped: no ring here ({error})");
            false
        }
    }
}

/// Values small and large, so that both small commits and streams are made.
fn value(number: usize) -> String {
    let length = if number.is_multiple_of(7) { 150_000 } else { 40 };
    format!("{number:05} ").repeat(length / 6)
}

/// Appends `from..to` in the ways an appender has, and waits for all of it.
fn append(log: &Log, from: usize, to: usize) {
    let mut tickets = Vec::new();
    for number in from..to {
        let batch = batch(&[&value(number)]);
        match number % 4 {
            0 => drop(log.append_wait(batch, Durability::Synced).unwrap()),
            1 => tickets.push(log.append(batch, Durability::Written).unwrap()),
            2 => tickets.push(log.append(batch, Durability::Synced).unwrap()),
            _ => drop(log.append(batch, Durability::Buffered).unwrap()),
        }
    }
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    log.flush().unwrap();
}

fn check(log: &Log, count: usize) {
    let found = read_all(log);
    assert_eq!(found.len(), count);
    for (number, (offset, found)) in found.into_iter().enumerate() {
        assert_eq!(usize::try_from(offset).unwrap(), number);
        assert!(found == value(number), "offset {number} holds something else");
    }
}

#[test]
fn each_way_reads_what_the_others_wrote() {
    let dir = dir();
    let mut count = 0;
    let has_ring = has_ring();
    for (round, how) in WAYS.into_iter().enumerate() {
        if how.0 == Engine::Uring && !has_ring {
            continue;
        }
        let store = way(how).open(dir.path()).unwrap();
        let log = if count == 0 { new_log(&store) } else { store.log(&partition(0)).unwrap() };
        check(&log, count);
        append(&log, count, count + 40);
        count += 40;
        check(&log, count);
        // Every other time as after a crash.
        if round % 2 == 0 {
            store.close().unwrap();
        }
    }
    assert!(count >= 160);
}

#[test]
fn a_store_says_which_way_it_took() {
    let has_ring = has_ring();
    for how in WAYS {
        if how.0 == Engine::Uring && !has_ring {
            continue;
        }
        let dir = dir();
        let store = way(how).open(dir.path()).unwrap();
        let log = new_log(&store);
        append(&log, 0, 8);
        let info = store.engine();
        let ring = how.0 != Engine::Blocking && has_ring;
        assert_eq!(info.engine == EngineInUse::Uring, ring, "{info}");
        if how.1 == DirectIo::Off {
            assert!(!info.direct_io, "{info}");
        }
        assert_eq!((info.files_not_direct, info.queues_without_ring), (0, 0), "{info:?}");
        // A warning is there exactly if the store fell back.
        assert_eq!(store.warnings(), Vec::from_iter(info.fallback));
    }
    let info = Store::in_memory().engine();
    assert_eq!(info.engine, EngineInUse::Given, "{info}");
}

#[test]
fn row_48_a_dropped_future_cancels_nothing_and_frees_nothing() {
    let dir = dir();
    let store = way((Engine::Auto, DirectIo::Auto)).open(dir.path()).unwrap();
    let log = new_log(&store);
    let mut polled = 0;
    for number in 0..64 {
        let ticket = log.append(batch(&[&value(number)]), Durability::Synced).unwrap();
        let mut future = pin!(ticket);
        let mut context = Context::from_waker(Waker::noop());
        // Dropped right after, with its write on the way.
        polled += usize::from(matches!(future.as_mut().poll(&mut context), Poll::Pending));
    }
    assert!(polled > 0, "at least one future was dropped before its time");
    log.flush().unwrap();
    check(&log, 64);
}

#[test]
fn row_47_a_store_dropped_in_the_middle_of_a_stream_leaves_a_prefix() {
    for how in WAYS {
        if how.0 == Engine::Uring && !has_ring() {
            continue;
        }
        let dir = dir();
        let store = way(how).open(dir.path()).unwrap();
        let log = new_log(&store);
        for number in 0..60 {
            drop(log.append(batch(&[&value(number)]), Durability::Buffered).unwrap());
        }
        drop((log, store));
        let store = reopen(dir.path());
        let log = store.log(&partition(0)).unwrap();
        let found = usize::try_from(log.log_end_offset().get()).unwrap();
        check(&log, found);
        assert_eq!(found, 60, "a drop flushes what waits");
    }
}

/// Waits for the dropped store's lock as any opener does.
fn reopen(dir: &Path) -> Store {
    Store::builder().engine(Engine::Blocking).open(dir).unwrap()
}
