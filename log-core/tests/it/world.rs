//! A store on the simulated disk, one life after another, with what is known to be promised.

use std::path::PathBuf;
use std::sync::Arc;

use log_core::clock::ManualClock;
use log_core::disk::sim::{SimDirectory, Stop};
use log_core::entropy::SeededEntropy;
use log_core::ids::TimestampMs;
use log_core::{
    AppendError, Appended, Drive, Durability, FetchError, FetchLimits, IsolationLevel, Log,
    OpenError, Store, StoreBuilder, Ticket,
};

use crate::log::{batch, found, partition};

/// Where the store is.
pub(crate) const ROOT: &str = "/store";

/// One disk, and the store on it as long as it lives.
pub(crate) struct World {
    pub(crate) disk: SimDirectory,
    pub(crate) clock: ManualClock,
    settings: fn(StoreBuilder) -> StoreBuilder,
    life: u64,
    next: usize,
    armed: Option<(u64, Stop)>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, |builder| builder)
    }

    pub(crate) fn with(seed: u64, settings: fn(StoreBuilder) -> StoreBuilder) -> Self {
        let clock = ManualClock::new(TimestampMs::new(1_000));
        Self { disk: SimDirectory::new(seed), clock, settings, life: 0, next: 0, armed: None }
    }

    /// Opens the store as a new process would; the life before is over.
    pub(crate) fn try_open(&mut self) -> Result<Store, OpenError> {
        self.life += 1;
        self.disk = self.disk.reborn();
        if let Some((operations, stop)) = self.armed.take() {
            self.disk.arm(operations, stop);
        }
        let builder = Store::builder()
            .directory(Arc::new(self.disk.clone()))
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(self.life)))
            .drive(Drive::Manual);
        (self.settings)(builder).open(ROOT)
    }

    pub(crate) fn open(&mut self) -> (Store, Log) {
        let store = self.try_open().unwrap();
        if store.topics().is_empty() {
            store.create_topic(&"orders".parse().unwrap(), 1).unwrap();
        }
        let log = store.log(&partition(0)).unwrap();
        (store, log)
    }

    /// The power goes, and the next process opens what is left.
    pub(crate) fn cut(&mut self) -> (Store, Log) {
        self.disk.cut();
        self.open()
    }

    /// The value of the `number`-th batch: every one is known by its value.
    pub(crate) fn value(number: usize) -> String {
        format!("value {number:04} {}", "x".repeat(number * 37 % 300))
    }

    /// Appends the next batch, of one record.
    pub(crate) fn append(
        &mut self,
        log: &Log,
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let ticket = log.append(batch(&[&Self::value(self.next)]), durability)?;
        self.next += 1;
        Ok(ticket)
    }

    /// Appends the next batch and waits.
    pub(crate) fn append_wait(
        &mut self,
        log: &Log,
        durability: Durability,
    ) -> Result<Appended, AppendError> {
        self.append(log, durability)?.wait()
    }

    /// Appends `count` batches durably.
    pub(crate) fn fill(&mut self, log: &Log, count: usize) {
        for _ in 0..count {
            self.append_wait(log, Durability::Synced).unwrap();
        }
    }

    /// Ends the next life at its `operations`-th operation, counted from 1.
    pub(crate) fn arm(&mut self, operations: u64, stop: Stop) {
        self.armed = Some((operations, stop));
    }

    /// Goes on with the batch that belongs at the end of the log.
    pub(crate) fn resume(&mut self, log: &Log) {
        self.next = usize::try_from(log.log_end_offset().get()).unwrap();
    }

    pub(crate) fn segment(base: i64) -> PathBuf {
        PathBuf::from(format!("{ROOT}/orders-0/{base:020}.log"))
    }
}

/// The values of all records; offsets must ascend without a hole from 0.
pub(crate) fn values(log: &Log) -> Vec<String> {
    let (found, damaged) = read_around(log);
    assert!(damaged.is_empty(), "{damaged:?}");
    let offsets: Vec<i64> = found.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, (0..).take(found.len()).collect::<Vec<i64>>(), "a hole");
    found.into_iter().map(|(_, value)| value).collect()
}

/// The log holds the first so many batches that were appended, and nothing else.
pub(crate) fn prefix(log: &Log) -> usize {
    let values = values(log);
    for (number, value) in values.iter().enumerate() {
        assert_eq!(*value, World::value(number), "the batch at offset {number}");
    }
    values.len()
}

/// Records by offset, and the ranges of offsets that cannot be read.
type ReadAround = (Vec<(i64, String)>, Vec<(i64, i64)>);

/// Reads what can be read, a little at a time.
pub(crate) fn read_around(log: &Log) -> ReadAround {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    let mut offset = log.log_start_offset();
    loop {
        match log.fetch(offset, FetchLimits::bytes(200), IsolationLevel::ReadUncommitted) {
            Ok(fetched) if fetched.is_empty() => return (records, damaged),
            Ok(fetched) => {
                records.extend(found(&fetched));
                assert!(fetched.next_offset > offset, "a fetch moves on");
                offset = fetched.next_offset;
            }
            Err(FetchError::Corrupt { damage, .. }) => {
                damaged.push((damage.offsets.start.get(), damage.offsets.end.get()));
                assert!(damage.offsets.end > offset, "the way behind the damage is named");
                offset = damage.offsets.end;
            }
            Err(error) => unreachable!("{error}"),
        }
    }
}
