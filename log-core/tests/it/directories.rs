//! Several directories under one store: each with its own lock, identity and markers; one that fails
//! takes nothing with it but its own partitions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;

use log_core::disk::sim::{Aim, Call, Effect, Stop};
use log_core::{
    AppendError, Durability, Event, LogState, NotAppended, OpenError, Store, TopicConfig,
    TopicError, TopicName,
};

use crate::log::{batch, partition, read_all};
use crate::world::World;

fn orders() -> TopicName {
    "orders".parse().unwrap()
}

fn open(first: &Path, second: &Path) -> Store {
    Store::builder().data_directory(second).open(first).unwrap()
}

/// Two directories of one store.
fn pair() -> (tempfile::TempDir, tempfile::TempDir) {
    (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap())
}

fn fill(store: &Store, partitions: u32) {
    for number in 0..partitions {
        let log = store.log(&partition(number)).unwrap();
        log.append_wait(batch(&[&format!("value {number}")]), Durability::Synced).unwrap();
    }
}

/// The partitions whose one record reads back.
fn found(store: &Store, partitions: u32) -> Vec<u32> {
    let whole = |number: &u32| {
        let Ok(log) = store.log(&partition(*number)) else { return false };
        read_all(&log) == [(0, format!("value {number}"))]
    };
    (0..partitions).filter(whole).collect()
}

#[test]
fn partitions_spread_over_the_directories_and_are_found_again() {
    let (first, second) = pair();
    let store = open(first.path(), second.path());
    store.create_topic(&orders(), 4).unwrap();
    store.create_partitions(&orders(), 6).unwrap();
    let counts: Vec<usize> =
        store.info().directories.iter().map(|shown| shown.partitions_count).collect();
    assert_eq!(counts, [3, 3]);
    fill(&store, 6);
    store.close().unwrap();
    drop(store);
    let read = |dir: &Path, name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let ids = [&first, &second].map(|dir| {
        assert!(fs::exists(dir.path().join(".kafka_cleanshutdown")).unwrap());
        let checkpoint = read(dir.path(), "recovery-point-offset-checkpoint");
        assert_eq!(checkpoint.lines().nth(1), Some("3"), "its own partitions: {checkpoint}");
        let text = read(dir.path(), "meta.properties");
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        (value("cluster.id="), value("node.id="), value("directory.id="))
    });
    assert_eq!((&ids[0].0, &ids[0].1), (&ids[1].0, &ids[1].1), "one cluster, one node");
    assert_ne!(ids[0].2, ids[1].2);
    let store = open(first.path(), second.path());
    assert!(store.recovered().iter().all(|recovered| recovered.clean));
    assert_eq!(found(&store, 6), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn row_98_either_directory_of_a_store_locks_others_out() {
    let (first, second) = pair();
    let store = open(first.path(), second.path());
    for taken in [&first, &second] {
        assert!(matches!(Store::open(taken.path()), Err(OpenError::Locked { .. })));
        let third = tempfile::tempdir().unwrap();
        let beside = Store::builder().data_directory(taken.path()).open(third.path());
        assert!(matches!(beside, Err(OpenError::Locked { .. })), "{beside:?}");
    }
    store.close().unwrap();
}

#[test]
fn a_partition_in_two_directories_is_an_error_that_names_both() {
    let (first, second) = pair();
    open(first.path(), second.path()).create_topic(&orders(), 2).unwrap();
    let [here, there] = [&first, &second].map(|dir| dir.path().join("orders-0"));
    let (from, to) = if here.exists() { (here, there) } else { (there, here) };
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(&from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    let error = Store::builder().data_directory(second.path()).open(first.path()).unwrap_err();
    let OpenError::Duplicate { partition: which, paths } = &error else { unreachable!("{error}") };
    assert_eq!(*which, partition(0));
    assert_eq!(BTreeSet::from_iter(paths), BTreeSet::from([&from, &to]));
    fs::remove_dir_all(&to).unwrap();
    open(first.path(), second.path());
}

#[test]
fn a_directory_that_cannot_be_opened_takes_only_its_partitions_along() {
    let (first, second) = pair();
    let store = open(first.path(), second.path());
    let config = TopicConfig::new().retention_bytes_max(4096);
    store.create_topic_with(&orders(), 4, config).unwrap();
    fill(&store, 4);
    store.close().unwrap();
    drop(store);
    // Whatever stands there is no directory.
    let away = second.path().with_extension("away");
    fs::rename(second.path(), &away).unwrap();
    fs::write(second.path(), "not mounted").unwrap();
    let (tell, told) = channel();
    let store = Store::builder()
        .data_directory(second.path())
        .event_listener(move |event: &Event| tell.send(event.clone()).unwrap())
        .open(first.path())
        .unwrap();
    let here = found(&store, 4);
    assert_eq!(here.len(), 2, "{here:?}");
    let told: Vec<Event> = told.try_iter().collect();
    let offline = |event: &Event| matches!(event, Event::DirectoryOffline { path, .. } if path == second.path());
    assert_eq!(told.iter().filter(|event| offline(event)).count(), 1, "{told:?}");
    assert!(store.info().directories[1].offline.is_some());
    let log = store.log(&partition(here[0])).unwrap();
    log.append_wait(batch(&["more"]), Durability::Synced).unwrap();
    // What is not known cannot be changed, and an unknown partition may stand there.
    for refused in [
        store.create_topic(&"others".parse().unwrap(), 1).map(drop),
        store.create_partitions(&orders(), 9).map(drop),
        store.delete_topic(&orders()),
        store.log(&partition(7)).map(drop),
    ] {
        let Err(TopicError::Io(fault)) = &refused else { unreachable!("{refused:?}") };
        assert!(fault.path().starts_with(second.path()), "{fault}");
    }
    store.close().unwrap();
    drop((store, log));
    fs::remove_file(second.path()).unwrap();
    fs::rename(&away, second.path()).unwrap();
    let store = open(first.path(), second.path());
    assert!(store.recovered().iter().all(|recovered| recovered.clean), "{:?}", store.recovered());
    let topic = store.describe_topic(&orders()).unwrap();
    assert_eq!((topic.partitions, topic.config), (4, config));
    assert_eq!(found(&store, 4).len(), 3, "all but the one that got more");
    assert_eq!(read_all(&store.log(&partition(here[0])).unwrap()).len(), 2);
}

#[test]
fn a_directory_of_another_cluster_is_left_out_and_left_alone() {
    let (first, second) = pair();
    let other = Store::open(second.path()).unwrap();
    other.create_topic(&"others".parse().unwrap(), 1).unwrap();
    other.close().unwrap();
    drop(other);
    let store = open(first.path(), second.path());
    let offline = store.info().directories[1].offline.clone().unwrap();
    assert!(offline.to_string().contains("belongs to cluster"), "{offline}");
    store.close().unwrap();
    drop(store);
    assert!(Store::open(second.path()).unwrap().recovered()[0].clean, "it is as it was closed");
}

fn second_disk(builder: log_core::StoreBuilder) -> log_core::StoreBuilder {
    builder.data_directory("/second")
}

#[test]
fn a_directory_that_fails_later_takes_only_its_partitions_offline() {
    let mut world = World::with(1, second_disk);
    let store = world.try_open().unwrap();
    store.create_topic(&orders(), 4).unwrap();
    fill(&store, 4);
    let there: Vec<u32> = store
        .info()
        .partitions
        .iter()
        .filter(|shown| shown.path.starts_with("/second"))
        .map(|shown| shown.partition.partition())
        .collect();
    assert_eq!(there.len(), 2);
    let mut faults = Vec::new();
    for number in &there {
        let name = format!("/second/orders-{number}/00000000000000000000.log");
        faults.push(world.disk.aim(Aim::at(Call::Sync, Effect::EIO).of(&name).always()));
    }
    for number in 0..4 {
        let log = store.log(&partition(number)).unwrap();
        let done = log.append_wait(batch(&["more"]), Durability::Synced);
        assert_eq!(done.is_err(), there.contains(&number), "{done:?}");
        assert_eq!(matches!(log.state(), LogState::Offline(_)), there.contains(&number));
        let refused = log.append(batch(&["x"]), Durability::Buffered);
        let offline = |error| matches!(error, AppendError::NotAppended(NotAppended::Offline(_)));
        assert_eq!(refused.is_err_and(offline), there.contains(&number));
    }
    assert!(faults.iter().all(|fault| fault.struck() > 0));
    world.disk.clear_aims();
    // The power goes, the disk is replaced by itself: what was durable is there.
    world.disk.cut();
    let store = world.try_open().unwrap();
    for number in 0..4 {
        let log = store.log(&partition(number)).unwrap();
        assert!(!read_all(&log).is_empty() && matches!(log.state(), LogState::Online));
    }
}

/// What is left of a topic of four partitions on two disks: all of it, or nothing.
fn whole_or_gone(world: &mut World, what: &str) -> bool {
    let store = world.try_open().unwrap();
    let there = store.describe_topic(&orders()).map(|topic| topic.partitions);
    match there {
        Ok(partitions) => {
            assert_eq!(partitions, 4, "{what}");
            assert_eq!(store.info().partitions.len(), 4, "{what}");
            true
        }
        Err(TopicError::UnknownTopic { .. }) => {
            assert_eq!(store.info().partitions.len(), 0, "{what}");
            let left = world.disk.files().into_iter();
            let left: Vec<_> =
                left.filter(|path| path.to_string_lossy().contains("orders")).collect();
            assert_eq!(left, Vec::<std::path::PathBuf>::new(), "{what}");
            false
        }
        Err(error) => unreachable!("{what}: {error}"),
    }
}

#[test]
fn a_topic_over_two_disks_is_made_whole_or_not_at_all_wherever_the_power_goes() {
    let mut seen = [0; 2];
    for operation in 1.. {
        let mut world = World::with(operation, second_disk);
        let store = world.try_open().unwrap();
        world.disk.arm(operation, Stop::Cut);
        let made = store.create_topic(&orders(), 4).is_ok();
        let struck = world.disk.is_over();
        drop(store);
        world.disk.cut();
        let whole = whole_or_gone(&mut world, &format!("operation {operation}"));
        assert!(!made || whole, "what was made is there");
        seen[usize::from(whole)] += 1;
        if !struck {
            break;
        }
    }
    assert!(seen[0] > 10 && seen[1] > 0, "{seen:?}");
}

#[test]
fn a_topic_over_two_disks_is_deleted_whole_or_not_at_all_wherever_the_power_goes() {
    let mut seen = [0; 2];
    for operation in 1.. {
        let mut world = World::with(operation, second_disk);
        let store = world.try_open().unwrap();
        store.create_topic(&orders(), 4).unwrap();
        fill(&store, 4);
        world.disk.arm(operation, Stop::Cut);
        let deleted = store.delete_topic(&orders()).is_ok();
        let struck = world.disk.is_over();
        drop(store);
        world.disk.cut();
        let whole = whole_or_gone(&mut world, &format!("operation {operation}"));
        assert!(!deleted || !whole, "what was deleted is gone");
        seen[usize::from(whole)] += 1;
        if !struck {
            break;
        }
    }
    assert!(seen[0] > 3 && seen[1] > 0, "{seen:?}");
}

#[test]
fn new_partitions_go_past_a_directory_that_failed() {
    let mut world = World::with(3, second_disk);
    let store = world.try_open().unwrap();
    store.create_topic(&"even".parse().unwrap(), 1).unwrap();
    let failed = world.disk.aim(Aim::at(Call::Rename, Effect::EIO).of("/second/orders-0").always());
    store.create_topic(&orders(), 1).unwrap_err();
    assert!(failed.struck() > 0);
    world.disk.clear_aims();
    assert!(store.info().directories[1].offline.is_some(), "{:?}", store.info().directories);
    store.create_topic(&orders(), 3).unwrap();
    assert!(store.info().partitions.iter().all(|shown| shown.path.starts_with("/store")));
    drop(store);
    let store = world.try_open().unwrap();
    store.create_partitions(&orders(), 5).unwrap();
    assert_eq!(store.info().directories[1].partitions_count, 2, "opened anew it counts again");
}

#[test]
fn a_topic_that_was_deleted_stays_so_though_a_disk_was_away_before_all_of_it_was_gone() {
    let mut gone = 0;
    for operation in 1.. {
        let mut world = World::with(operation, second_disk);
        let store = world.try_open().unwrap();
        // Partitions 0 and 2 stand in the first directory, 1 in the second.
        store.create_topic(&orders(), 3).unwrap();
        fill(&store, 3);
        assert_eq!(store.info().directories[1].partitions_count, 1);
        world.disk.arm(operation, Stop::Cut);
        drop(store.delete_topic(&orders()));
        let struck = world.disk.is_over();
        drop(store);
        world.disk.cut();
        world.disk = world.disk.reborn();
        let away = world.disk.aim(Aim::at(Call::SyncDir, Effect::EIO).of("/second").always());
        let store = world.try_open().unwrap();
        assert!(store.info().directories[1].offline.is_some() && away.struck() > 0);
        let deleted = store.log(&partition(0)).is_err();
        drop(store);
        world.disk.clear_aims();
        let store = world.try_open().unwrap();
        let there = store.info().partitions.len();
        assert_eq!(there, if deleted { 0 } else { 3 }, "operation {operation}");
        assert_eq!(found(&store, 3).len(), there, "operation {operation}");
        gone += usize::from(deleted);
        if !struck {
            break;
        }
    }
    assert!(gone > 3, "{gone}");
}

#[test]
fn a_new_directory_gets_no_cluster_while_that_of_the_first_cannot_be_read() {
    let (first, second) = pair();
    drop(Store::open(first.path()).unwrap());
    let properties = first.path().join("meta.properties");
    let text = fs::read(&properties).unwrap();
    fs::write(&properties, "not to be read").unwrap();
    let store = open(first.path(), second.path());
    assert_eq!(store.warnings().len(), 2, "{:?}", store.warnings());
    assert!(!fs::exists(second.path().join("meta.properties")).unwrap(), "nothing is made up");
    store.create_topic(&orders(), 2).unwrap();
    fill(&store, 2);
    drop(store);
    fs::write(&properties, text).unwrap();
    let store = open(first.path(), second.path());
    assert!(store.info().directories[1].offline.is_none(), "{:?}", store.info().directories);
    assert_eq!(found(&store, 2), [0, 1]);
    let cluster = |dir: &Path| {
        let text = fs::read_to_string(dir.join("meta.properties")).unwrap();
        text.lines().find(|line| line.starts_with("cluster.id=")).unwrap().to_owned()
    };
    assert_eq!(cluster(first.path()), cluster(second.path()));
}
