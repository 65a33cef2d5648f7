//! The log as its users see it: append, read, roll, close, reopen.

use std::sync::Arc;

use log_core::disk::{Directory, MemoryDirectory};
use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::TimestampMs;
use log_core::{
    Drive, Durability, FetchError, FetchLimits, Fetched, IsolationLevel, Log, Offset, Store,
    TopicName, TopicPartition,
};

pub(crate) fn batch(values: &[&str]) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions::new());
    for value in values {
        let timestamp = TimestampMs::new(1_000);
        let record =
            NewRecord { timestamp, key: None, value: Some(value.as_bytes()), headers: &[] };
        builder.push(&record).unwrap();
    }
    builder.build().unwrap()
}

pub(crate) fn partition(number: u32) -> TopicPartition {
    TopicPartition::new("orders".parse::<TopicName>().unwrap(), number)
}

pub(crate) fn new_log(store: &Store) -> Log {
    store.create_topic(&"orders".parse().unwrap(), 1).unwrap();
    store.log(&partition(0)).unwrap()
}

/// The records of a fetch, as (offset, value).
pub(crate) fn found(fetched: &Fetched) -> Vec<(i64, String)> {
    let records = fetched.records().map(Result::unwrap);
    let value = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
    records.map(|record| (record.offset.get(), value(&record.value.unwrap()))).collect()
}

/// Everything readable, as (offset, value).
pub(crate) fn read_all(log: &Log) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    let mut offset = log.log_start_offset();
    loop {
        let fetched =
            log.fetch(offset, FetchLimits::bytes(300), IsolationLevel::ReadUncommitted).unwrap();
        if fetched.is_empty() {
            return all;
        }
        all.extend(found(&fetched));
        assert!(fetched.next_offset > offset, "a fetch moves on");
        offset = fetched.next_offset;
    }
}

fn expect(count: i64) -> Vec<(i64, String)> {
    (0..count).map(|number| (number, format!("value {number}"))).collect()
}

#[test]
fn what_is_appended_in_memory_is_visible_at_once() {
    let log = new_log(&Store::in_memory());
    let ticket = log.append(batch(&["value 0", "value 1"]), Durability::Buffered).unwrap();
    assert_eq!(ticket.base_offset(), Offset::ZERO);
    log.append_wait(batch(&["value 2"]), Durability::Synced).unwrap();
    assert_eq!(read_all(&log), expect(3));
    assert_eq!(log.high_watermark().get(), 3);
}

#[test]
fn an_offset_inside_a_batch_returns_the_batch_and_records_skip_to_it() {
    let log = new_log(&Store::in_memory());
    log.append_wait(batch(&["a", "b", "c"]), Durability::Synced).unwrap();
    let at = Offset::new(1).unwrap();
    let fetched = log.fetch(at, FetchLimits::default(), IsolationLevel::ReadUncommitted).unwrap();
    assert_eq!(fetched.batches().count(), 1);
    let offsets: Vec<_> = fetched.records().map(|record| record.unwrap().offset.get()).collect();
    assert_eq!(offsets, [1, 2]);
    assert_eq!(fetched.next_offset.get(), 3);
    let beyond = Offset::new(4).unwrap();
    let error = log.fetch(beyond, FetchLimits::default(), IsolationLevel::ReadUncommitted);
    assert!(matches!(error, Err(FetchError::OutOfRange { .. })), "{error:?}");
}

#[test]
fn a_store_on_disk_rolls_closes_and_reopens() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::builder().segment_bytes_max(4096).open(dir.path()).unwrap();
    let store = open();
    let log = new_log(&store);
    for number in 0..300 {
        let durability = match number % 3 {
            0 => Durability::Synced,
            1 => Durability::Written,
            _ => Durability::Buffered,
        };
        log.append_wait(batch(&[&format!("value {number}")]), durability).unwrap();
    }
    log.flush().unwrap();
    assert_eq!(read_all(&log), expect(300));
    assert!(log.info().segments.len() > 3, "{:?}", log.info());
    store.close().unwrap();
    store.close().unwrap();
    drop((store, log));

    let store = open();
    let log = store.log(&partition(0)).unwrap();
    assert!(store.recovered()[0].clean, "{:?}", store.recovered());
    assert_eq!(read_all(&log), expect(300));
    log.append_wait(batch(&["value 300"]), Durability::Synced).unwrap();
    drop((store, log));

    let store = open();
    let recovered = &store.recovered()[0];
    assert!(!recovered.clean);
    assert_eq!(recovered.bytes_cut, 0, "{recovered:?}");
    assert_eq!(read_all(&store.log(&partition(0)).unwrap()), expect(301));
}

#[test]
fn many_threads_append_and_every_ticket_names_its_own_offset() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder().segment_bytes_max(64 * 1024).open(dir.path()).unwrap();
    let log = Arc::new(new_log(&store));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                let mut given = Vec::new();
                for number in 0..200 {
                    let value = format!("{thread} {number}");
                    let batch = batch(&[&value]);
                    let offset = if number % 2 == 0 {
                        log.append_wait(batch, Durability::Synced).unwrap().base_offset
                    } else {
                        log.append(batch, Durability::Written).unwrap().wait().unwrap().base_offset
                    };
                    given.push((offset.get(), value));
                }
                given
            })
        })
        .collect();
    let mut given: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    given.sort();
    log.flush().unwrap();
    assert_eq!(read_all(&log), given);
    store.close().unwrap();
}

#[test]
fn a_tail_waits_for_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = new_log(&store);
    let reader = {
        let log = log.clone();
        std::thread::spawn(move || {
            let mut seen = 0;
            for fetched in log.tail(Offset::ZERO) {
                seen += fetched.unwrap().records().count();
                if seen == 50 {
                    break;
                }
            }
            seen
        })
    };
    for _ in 0..50 {
        drop(log.append(batch(&["x"]), Durability::Buffered).unwrap());
    }
    assert_eq!(reader.join().unwrap(), 50);
}

#[test]
fn a_new_directory_says_whose_it_is_and_keeps_saying_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let first = store.meta_properties().unwrap().clone();
    store.close().unwrap();
    drop(store);
    let text = std::fs::read(dir.path().join("meta.properties")).unwrap();
    assert_eq!(log_core::format::metadata::MetaProperties::parse(&text).unwrap(), first);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.meta_properties(), Some(&first));
    assert_ne!(Store::in_memory().meta_properties(), Some(&first));
}

/// Found by the leak checker of the fuzzer: what a store shares held its partitions, which held it.
#[test]
fn a_dropped_store_lets_go_of_everything_and_answers_who_waits() {
    for drive in [Drive::Inline, Drive::Manual, Drive::Thread] {
        let directory = Arc::new(MemoryDirectory::new());
        let shared: Arc<dyn Directory> = Arc::<MemoryDirectory>::clone(&directory);
        let store = Store::builder().directory(shared).drive(drive).open("/").unwrap();
        let log = new_log(&store);
        let ticket = log.append(batch(&["value"]), Durability::Synced).unwrap();
        drop(log);
        drop(store);
        assert!(ticket.is_done(), "{drive:?}: nobody else would ever answer it");
        drop(ticket);
        // The I/O thread says that it has ended just before it lets go.
        while drive == Drive::Thread && Arc::strong_count(&directory) > 1 {
            std::thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&directory), 1, "{drive:?}");
    }
}
