//! Topics: settings of their own, more partitions, deletion, creation on first use.

use std::fs;
use std::path::Path;

use log_core::{
    AppendError, Durability, FetchError, FetchLimits, IsolationLevel, LogState, NotAppended,
    Offset, Store, TopicConfig, TopicError, TopicName, TopicPartition,
};

use crate::log::{batch, partition, read_all};

fn orders() -> TopicName {
    "orders".parse().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("orders"))
        .collect();
    names.sort();
    names
}

fn segments(store: &Store) -> usize {
    store.log(&partition(0)).unwrap().info().segments.len()
}

fn fill(store: &Store, number: u32) {
    let log = store.log(&partition(number)).unwrap();
    for _ in 0..30 {
        log.append_wait(batch(&[&"x".repeat(400)]), Durability::Written).unwrap();
    }
}

#[test]
fn a_topic_goes_by_its_own_settings_and_keeps_them_over_a_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig::new().segment_bytes_max(4096);
    let store = Store::open(dir.path()).unwrap();
    store.create_topic_with(&orders(), 1, config).unwrap();
    fill(&store, 0);
    assert!(segments(&store) > 2, "4 KiB of its own, not the store's GiB");
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.describe_topic(&orders()).unwrap().config, config);
    let before = segments(&store);
    fill(&store, 0);
    assert!(segments(&store) > before + 2, "still 4 KiB");
}

#[test]
fn settings_changed_on_a_live_topic_count_at_once_and_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic(&orders(), 2).unwrap();
    fill(&store, 0);
    assert_eq!(segments(&store), 1);
    let config = TopicConfig::new().segment_bytes_max(4096).message_bytes_max(300);
    let info = store.alter_topic(&orders(), config).unwrap();
    assert_eq!((info.config, info.partitions), (config, 2));
    let log = store.log(&partition(0)).unwrap();
    let refusal = log.append_wait(batch(&[&"x".repeat(400)]), Durability::Written);
    assert!(
        matches!(refusal, Err(AppendError::NotAppended(NotAppended::TooLarge { limit: 300, .. }))),
        "{refusal:?}"
    );
    drop((log, store));
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.describe_topic(&orders()).unwrap().config, config);
    store.alter_topic(&orders(), TopicConfig::new()).unwrap();
    fill(&store, 0);
    assert_eq!(segments(&store), 1);
}

#[test]
fn settings_that_do_not_fit_the_store_are_refused_and_named() {
    let store = Store::in_memory();
    let config = TopicConfig::new().segment_bytes_max(1);
    let refusal = store.create_topic_with(&orders(), 1, config).unwrap_err();
    assert!(refusal.to_string().contains("segment_bytes_max"), "{refusal}");
    assert_eq!(refusal.kafka_code(), 40);
    assert!(store.topics().is_empty());
    store.create_topic(&orders(), 1).unwrap();
    assert!(store.alter_topic(&orders(), config).is_err());
    assert_eq!(store.describe_topic(&orders()).unwrap().config, TopicConfig::new());
}

#[test]
fn a_topic_gets_more_partitions_and_never_fewer() {
    let dir = tempfile::tempdir().unwrap();
    let config = TopicConfig::new().segment_bytes_max(4096);
    let store = Store::open(dir.path()).unwrap();
    store.create_topic_with(&orders(), 1, config).unwrap();
    fill(&store, 0);
    assert_eq!(store.create_partitions(&orders(), 3).unwrap().partitions, 3);
    fill(&store, 2);
    for too_few in [0, 1, 3] {
        assert_eq!(store.create_partitions(&orders(), too_few).unwrap_err().kafka_code(), 37);
    }
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    let info = store.describe_topic(&orders()).unwrap();
    assert_eq!((info.partitions, info.config), (3, config));
    assert_eq!(read_all(&store.log(&partition(2)).unwrap()).len(), 30);
    assert!(store.log(&partition(3)).is_err());
}

#[test]
fn a_deleted_topic_is_gone_for_handles_files_and_the_next_open() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = store.create_topic(&orders(), 3).unwrap();
    fill(&store, 1);
    let log = store.log(&partition(1)).unwrap();
    store.delete_topic(&orders()).unwrap();
    assert_eq!(names(dir.path()), Vec::<String>::new());
    assert!(matches!(log.info().state, LogState::Deleted));
    let append = log.append(batch(&["a"]), Durability::Synced);
    assert!(matches!(append, Err(AppendError::NotAppended(NotAppended::Deleted))), "{append:?}");
    let fetch = log.fetch(Offset::ZERO, FetchLimits::default(), IsolationLevel::ReadUncommitted);
    assert!(matches!(fetch, Err(FetchError::Deleted)), "{fetch:?}");
    assert!(matches!(store.log(&partition(1)), Err(TopicError::Unknown { .. })));
    assert!(matches!(store.delete_topic(&orders()), Err(TopicError::UnknownTopic { .. })));
    let second = store.create_topic(&orders(), 2).unwrap();
    assert_ne!(first.id, second.id, "a topic of the same name is another topic");
    assert_eq!(store.log(&partition(1)).unwrap().log_end_offset(), Offset::ZERO);
    store.close().unwrap();
    drop((log, store));
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.topics(), [second]);
    assert!(store.warnings().is_empty(), "{:?}", store.warnings());
}

#[test]
fn a_topic_is_made_when_it_is_first_asked_for_if_the_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder().auto_create_partitions(3).open(dir.path()).unwrap();
    assert_eq!(store.log(&partition(2)).unwrap().log_end_offset(), Offset::ZERO);
    assert_eq!(store.describe_topic(&orders()).unwrap().partitions, 3);
    assert!(matches!(store.log(&partition(3)), Err(TopicError::Unknown { .. })));
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.describe_topic(&orders()).unwrap().partitions, 3);
    let other = TopicPartition::new("other".parse().unwrap(), 0);
    assert!(matches!(store.log(&other), Err(TopicError::Unknown { .. })));
}

#[test]
fn a_topic_file_that_cannot_be_believed_leaves_the_topic_with_the_stores_settings() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic_with(&orders(), 2, TopicConfig::new().retention_unlimited()).unwrap();
    fill(&store, 1);
    store.close().unwrap();
    drop(store);
    let path = dir.path().join("orders-0/oncelog.topic");
    for bytes in [&b""[..], b"oncelog.topic 1\n", &[0xFF; 100]] {
        fs::write(&path, bytes).unwrap();
        let store = Store::open(dir.path()).unwrap();
        let info = store.describe_topic(&orders()).unwrap();
        assert_eq!((info.partitions, info.config), (2, TopicConfig::new()));
        assert!(store.warnings().iter().any(|warning| warning.contains("oncelog.topic")));
        assert_eq!(read_all(&store.log(&partition(1)).unwrap()).len(), 30);
        store.close().unwrap();
    }
}
