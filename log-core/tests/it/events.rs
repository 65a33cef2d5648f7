//! What a store tells by itself: each change of a partition's state, what opening found, what could
//! not be written or removed, what was deleted; and what a listener may do.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::{fs, io};

use log_core::disk::Token;
use log_core::disk::sim::{Aim, Call, Effect};
use log_core::disk::{Completion, Directory, Disk, File, MemoryDirectory, Write};
use log_core::{
    AppendError, Drive, Durability, Event, FaultKind, LogState, Store, StoreBuilder, TopicConfig,
    TopicError,
};

use crate::log::{batch, new_log, partition, read_all};
use crate::world::{World, prefix, read_around};

std::thread_local! {
    /// A store driven by hand tells everything in the thread of its test.
    static HEARD: RefCell<Vec<Event>> = const { RefCell::new(Vec::new()) };
}

fn listening(builder: StoreBuilder) -> StoreBuilder {
    builder
        .segment_bytes_max(4096)
        .event_listener(|event: &Event| HEARD.with_borrow_mut(|heard| heard.push(event.clone())))
}

/// What was told since the last look.
fn heard() -> Vec<Event> {
    HEARD.take()
}

/// Each state that was left and the one that was entered.
fn moves(events: &[Event]) -> Vec<String> {
    let name = |state: &LogState| state.to_string().split(' ').next().unwrap().to_owned();
    events
        .iter()
        .filter_map(|event| match event {
            Event::State { before, now, .. } => Some(format!("{} {}", name(before), name(now))),
            _ => None,
        })
        .collect()
}

#[test]
fn row_28_a_partition_without_space_tells_once_and_tells_again_when_it_heals() {
    let mut world = World::with(1, listening);
    let (_store, log) = world.open();
    world.fill(&log, 3);
    assert!(moves(&heard()).is_empty());
    let _fault = world.disk.aim(Aim::at(Call::Allocate, Effect::ENOSPC).of(".log").always());
    for _ in 0..3 {
        log.append(batch(&["x".repeat(3900).as_str()]), Durability::Synced).unwrap_err();
    }
    assert!(matches!(log.state(), LogState::Full));
    assert_eq!(moves(&heard()), ["online full"]);
    world.disk.clear_aims();
    world.clock.advance(Duration::from_secs(2));
    world.fill(&log, 20);
    assert!(matches!(log.state(), LogState::Online));
    assert_eq!(moves(&heard()), ["full online"]);
}

#[test]
fn row_18_a_failed_flush_is_told_once_and_so_is_what_reopening_finds() {
    let mut world = World::with(2, listening);
    let (store, log) = world.open();
    world.fill(&log, 5);
    heard();
    let _fault = world.disk.aim(Aim::at(Call::Sync, Effect::EIO).of(".log"));
    let tickets: Vec<_> = (0..4).map(|_| world.append(&log, Durability::Synced).unwrap()).collect();
    for ticket in tickets {
        ticket.wait().unwrap_err();
    }
    while store.turn() {}
    let events = heard();
    assert_eq!(moves(&events), ["online offline"]);
    let Event::State { partition: which, now: LogState::Offline(fault), .. } = &events[0] else {
        unreachable!("{events:?}")
    };
    assert_eq!((which, fault.kind()), (&partition(0), FaultKind::Sync));
    world.disk.clear_aims();
    store.reopen(&partition(0)).unwrap();
    let events = heard();
    assert_eq!(moves(&events), ["offline online"]);
    let recovered = |event: &Event| matches!(event, Event::Recovered(found) if !found.clean);
    assert!(events.iter().any(recovered), "{events:?}");
}

#[test]
fn row_21_damage_met_while_reading_is_told_once_and_appends_go_on() {
    let mut world = World::with(3, listening);
    let (store, log) = world.open();
    world.fill(&log, 40);
    store.close().unwrap();
    let (store, log) = world.open();
    heard();
    let name = "00000000000000000000.log";
    let _fault =
        world.disk.aim(Aim::at(Call::Read, Effect::EIO).of(name).bytes(1536..2048).always());
    let (_, lost) = read_around(&log);
    assert_eq!(read_around(&log).1, lost);
    let events = heard();
    assert_eq!(moves(&events), ["online damaged"]);
    let told: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Damage { damage, .. } => {
                Some((damage.offsets.start.get(), damage.offsets.end.get()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, lost);
    world.resume(&log);
    world.fill(&log, 1);
    let LogState::Damaged(fault) = store.info().partitions[0].log.state.clone() else {
        unreachable!("{:?}", log.state())
    };
    assert!(fault.path().ends_with(name) && fault.kind() == FaultKind::Damage, "{fault}");
}

#[test]
fn row_30_caches_that_cannot_be_written_are_told_and_named() {
    let mut world = World::with(4, listening);
    let (store, log) = world.open();
    heard();
    let _fault = world.disk.aim(Aim::at(Call::Open, Effect::ENOSPC).of("index.tmp").always());
    world.fill(&log, 60);
    let told = heard();
    let faults: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            Event::CacheNotWritten { fault, .. } => Some(fault.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(faults.len(), usize::try_from(store.usage().index_write_failures).unwrap());
    assert!(!faults.is_empty());
    for fault in faults {
        assert_eq!(fault.io_error().unwrap().kind(), io::ErrorKind::StorageFull, "{fault}");
        assert!(fault.path().starts_with("/store/orders-0"), "{fault}");
    }
    assert_eq!(prefix(&log), 60);
}

#[test]
fn what_retention_deletes_is_told_and_so_is_what_it_cannot_remove() {
    let mut world = World::with(5, listening);
    let (store, log) = world.open();
    world.fill(&log, 80);
    let config = TopicConfig::new().retention_bytes_max(4096);
    store.alter_topic(&"orders".parse().unwrap(), config).unwrap();
    heard();
    let _fault = world.disk.aim(Aim::at(Call::Unlink, Effect::EIO).of(".log"));
    let done = log.enforce_retention().unwrap();
    let told = heard();
    let retained: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            Event::Retained { partition, retained } => Some((partition.clone(), *retained)),
            _ => None,
        })
        .collect();
    assert!(done.segments_deleted > 1);
    assert_eq!(retained, [(partition(0), done)]);
    let kept = |event: &&Event| matches!(event, Event::NotRemoved { .. });
    assert_eq!(told.iter().filter(kept).count(), 1, "{told:?}");
}

#[test]
fn a_crash_is_told_at_the_next_opening_and_a_clean_close_is_not() {
    let mut world = World::with(6, listening);
    let (_store, log) = world.open();
    world.fill(&log, 5);
    heard();
    let (store, _) = world.cut();
    let told = heard();
    let [Event::Recovered(found)] = told.as_slice() else { unreachable!("{told:?}") };
    assert_eq!((found.clean, found.log_end_offset.get()), (false, 5));
    store.close().unwrap();
    let (_store, _) = world.open();
    assert!(heard().is_empty());
}

#[test]
fn what_opening_warns_of_is_told_too() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().close().unwrap();
    fs::write(dir.path().join("meta.properties"), "nothing\n").unwrap();
    let (tell, told) = channel();
    let store = Store::builder()
        .event_listener(move |event: &Event| tell.send(event.to_string()).unwrap())
        .open(dir.path())
        .unwrap();
    let told: Vec<String> = told.try_iter().collect();
    assert_eq!(told.iter().filter(|text| text.contains("meta.properties")).count(), 1, "{told:?}");
    let fallback = store.engine().fallback;
    assert_eq!(told.len(), 1 + usize::from(fallback.is_some()), "{told:?}");
    assert!(fallback.is_none_or(|reason| told.contains(&reason)), "{told:?}");
}

#[test]
fn a_listener_may_ask_for_a_log_and_not_for_what_waits() {
    let disk = log_core::disk::sim::SimDirectory::new(7);
    let (give, given) = channel::<Store>();
    let given = parking_lot::Mutex::new(given);
    let (tell, told) = channel();
    let store = Store::builder()
        .directory(Arc::new(disk.clone()))
        .drive(Drive::Manual)
        .event_listener(move |event: &Event| {
            if let Event::State { .. } = event {
                let store = given.lock().recv().unwrap();
                let log = store.log(&partition(0)).map(|log| log.state().to_string());
                tell.send((log.unwrap(), store.create_topic(&"b".parse().unwrap(), 1))).unwrap();
            }
        })
        .open("/store")
        .unwrap();
    let log = new_log(&store);
    give.send(store.clone()).unwrap();
    let _fault = disk.aim(Aim::at(Call::Sync, Effect::EIO).of(".log"));
    log.append_wait(batch(&["value"]), Durability::Synced).unwrap_err();
    while store.turn() {}
    let (state, created) = told.try_recv().unwrap();
    assert!(state.starts_with("offline"), "{state}");
    let reentrant = |fault: &log_core::Fault| fault.kind() == FaultKind::Reentrant;
    assert!(matches!(created, Err(TopicError::Io(fault)) if reentrant(&fault)));
}

#[test]
fn info_shows_the_whole_store() {
    let store = Store::in_memory();
    let log = new_log(&store);
    store.create_topic(&"others".parse().unwrap(), 2).unwrap();
    log.append_wait(batch(&["a", "b"]), Durability::Synced).unwrap();
    let info = store.info();
    assert_eq!(info.topics, store.topics());
    let names: Vec<String> =
        info.partitions.iter().map(|shown| shown.partition.to_string()).collect();
    assert_eq!(names, ["orders-0", "others-0", "others-1"]);
    assert_eq!(info.partitions[0].log.high_watermark.get(), 2);
    assert_eq!(info.partitions[0].path, Path::new("/orders-0"));
    assert_eq!(info.directories.len(), 1);
    assert_eq!(info.directories[0].partitions_count, 3);
    assert!(info.directories[0].offline.is_none());
    assert!(info.usage.writes > 0);
}

/// A directory whose queues panic when they are told to.
#[derive(Clone, Debug, Default)]
struct Panicking {
    inner: MemoryDirectory,
    armed: Arc<AtomicBool>,
}

impl Directory for Panicking {
    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        let (inner, armed) = (self.inner.disk()?, Arc::clone(&self.armed));
        Ok(Box::new(PanickingDisk { inner, armed }))
    }
    forward!(open create_dir list rename unlink remove_dir sync_dir lock);
}

#[derive(Debug)]
struct PanickingDisk {
    inner: Box<dyn Disk>,
    armed: Arc<AtomicBool>,
}

impl Disk for PanickingDisk {
    fn submit_write(&mut self, write: Write) {
        self.inner.submit_write(write);
    }
    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        self.inner.submit_sync(token, file);
    }
    fn poll(&mut self, wait_for: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        assert!(!self.armed.swap(false, Ordering::Relaxed), "a bug of the disk");
        self.inner.poll(wait_for, out)
    }
    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}

#[test]
fn row_17_a_panic_in_the_io_thread_answers_everyone_and_reopening_goes_on() {
    let directory = Panicking::default();
    let (tell, told) = channel();
    let tell = parking_lot::Mutex::new(tell);
    let store = Store::builder()
        .directory(Arc::new(directory.clone()))
        .drive(Drive::Thread)
        .event_listener(move |event: &Event| drop(tell.lock().send(event.clone())))
        .open("/")
        .unwrap();
    let log = new_log(&store);
    log.append(batch(&["value 0"]), Durability::Synced).unwrap().wait().unwrap();
    directory.armed.store(true, Ordering::Relaxed);
    // Whoever waits is answered, by the thread and not by a timeout.
    let error = log.append(batch(&["value 1"]), Durability::Synced).unwrap().wait().unwrap_err();
    let AppendError::Indeterminate(fault) = error else { unreachable!("{error}") };
    assert_eq!(fault.kind(), FaultKind::Bug);
    assert!(fault.to_string().contains("a bug of the disk"), "{fault}");
    let LogState::Offline(_) = log.state() else { unreachable!("{}", log.state()) };
    assert_eq!(read_all(&log).len(), 1, "what was durable reads on");
    let told: Vec<Event> = told.iter().take(1).collect();
    assert_eq!(moves(&told), ["online offline"]);
    let again = store.reopen(&partition(0)).unwrap();
    let end = again.log_end_offset();
    let ticket = again.append(batch(&["value 2"]), Durability::Synced).unwrap();
    assert_eq!(ticket.wait().unwrap().base_offset, end);
    store.close().unwrap();
}
