//! A naive log: it keeps everything, looks for duplicates by reading it all, and loses on request.
//!
//! ```text
//!   append ─▶ Kafka's rules for sequences, by looking back ─▶ kept, its answer waits
//!   answer    the oldest waiting answer of a partition, or a lie: "indeterminate", though kept
//!   fail      offline: waiting answers become indeterminate, and the unanswered end is cut anywhere
//!   reopen    takes appends again
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use log_core::format::{BatchView, RecordBatch};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence};
use log_core::{
    AppendError, Appended, Durability, Fault, Log, NotAppended, Offset, Store, TopicPartition,
};
use parking_lot::Mutex;

use super::super::sink::{Done, Sink};

/// A batch in the naive log.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    pub(super) base: Sequence,
    pub(super) base_offset: i64,
    pub(super) values: Vec<Vec<u8>>,
}

impl Kept {
    fn next(&self) -> Sequence {
        self.base.increment(i32::try_from(self.values.len()).unwrap())
    }
}

struct Waiting {
    done: Done,
    answer: Result<Appended, AppendError>,
    /// Batches that are safe once this is answered.
    safe: usize,
}

#[derive(Default)]
struct Partition {
    kept: Vec<Kept>,
    /// How many of them cannot be cut any more.
    safe: usize,
    waiting: VecDeque<Waiting>,
    offline: bool,
}

/// The naive logs of a topic. Clones are one.
#[derive(Clone)]
pub(super) struct Model {
    logs: Arc<Mutex<BTreeMap<TopicPartition, Partition>>>,
    fault: Fault,
    appended: Appended,
    /// Whether answers wait to be let go.
    slow: bool,
}

impl core::fmt::Debug for Model {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Model")
    }
}

impl Model {
    pub(super) fn new(store: &Store, slow: bool) -> Self {
        let fault = store.damaged_sidecar("model", "an answer is lost");
        Self { logs: Arc::default(), fault, appended: sample(store), slow }
    }

    pub(super) fn kept(&self, of: &TopicPartition) -> Vec<Kept> {
        self.logs.lock().get(of).map(|log| log.kept.clone()).unwrap_or_default()
    }

    /// All values of a partition, with their offsets.
    pub(super) fn values(&self, of: &TopicPartition) -> Vec<(i64, Vec<u8>)> {
        let mut values = Vec::new();
        for batch in self.kept(of) {
            values.extend((batch.base_offset..).zip(batch.values));
        }
        values
    }

    pub(super) fn waiting(&self, of: &TopicPartition) -> usize {
        self.logs.lock().get(of).map_or(0, |log| log.waiting.len())
    }

    /// Lets the oldest answer go; `lost` makes it indeterminate though the batch is kept.
    pub(super) fn answer(&self, of: &TopicPartition, lost: bool) {
        let mut logs = self.logs.lock();
        let Some(log) = logs.get_mut(of) else { return };
        let Some(Waiting { done, answer, safe }) = log.waiting.pop_front() else { return };
        log.safe = log.safe.max(safe);
        drop(logs);
        done(if lost { Err(AppendError::Indeterminate(self.fault.clone())) } else { answer });
    }

    /// The partition fails: of what nobody heard of, `keep` of 256 parts stay.
    pub(super) fn fail(&self, of: &TopicPartition, keep: u8) {
        let waiting = {
            let mut logs = self.logs.lock();
            let log = logs.entry(of.clone()).or_default();
            log.offline = true;
            let unsafe_batches = log.kept.len() - log.safe;
            log.kept.truncate(log.safe + unsafe_batches * usize::from(keep) / 255);
            core::mem::take(&mut log.waiting)
        };
        for waiting in waiting {
            (waiting.done)(Err(AppendError::Indeterminate(self.fault.clone())));
        }
    }

    /// Loses the newest batch, heard of or not, as a log that is truncated by hand does.
    pub(super) fn truncate(&self, of: &TopicPartition) {
        let mut logs = self.logs.lock();
        let log = logs.entry(of.clone()).or_default();
        log.kept.pop();
        log.safe = log.safe.min(log.kept.len());
    }

    pub(super) fn reopen(&self, of: &TopicPartition) {
        let mut logs = self.logs.lock();
        let log = logs.entry(of.clone()).or_default();
        log.offline = false;
        log.safe = log.kept.len();
    }

    fn judge(&self, log: &Partition, batch: &Kept) -> Result<Option<Appended>, NotAppended> {
        if log.offline {
            return Err(NotAppended::Stale);
        }
        if !batch.id.is_some() {
            return Ok(None);
        }
        let (producer_id, found) = (batch.id, batch.base);
        let of_producer: Vec<_> = log.kept.iter().filter(|kept| kept.id == batch.id).collect();
        let Some(last) = of_producer.last() else {
            let unknown = NotAppended::UnknownProducerId { producer_id, found };
            return if found == Sequence::ZERO { Ok(None) } else { Err(unknown) };
        };
        if batch.epoch < last.epoch {
            let (current, found) = (last.epoch, batch.epoch);
            return Err(NotAppended::InvalidProducerEpoch { producer_id, current, found });
        }
        let same = of_producer.iter().filter(|kept| kept.epoch == batch.epoch);
        let known: Vec<_> = same.rev().take(5).collect();
        let equal = |kept: &&&&Kept| kept.base == found && kept.values.len() == batch.values.len();
        if let Some(kept) = known.iter().find(equal) {
            return Ok(Some(self.at(kept, true)));
        }
        let expected = if batch.epoch == last.epoch { last.next() } else { Sequence::ZERO };
        if found == expected {
            return Ok(None);
        }
        Err(NotAppended::OutOfOrderSequence { producer_id, expected, found })
    }

    fn at(&self, kept: &Kept, duplicate: bool) -> Appended {
        let mut appended = self.appended;
        appended.base_offset = Offset::new(kept.base_offset).unwrap();
        let last = kept.base_offset + i64::try_from(kept.values.len()).unwrap() - 1;
        appended.last_offset = Offset::new(last).unwrap();
        appended.duplicate = duplicate;
        appended
    }
}

impl Sink for Model {
    fn append(&self, to: &TopicPartition, batch: RecordBatch, _: Durability, done: Done) {
        let view = BatchView::parse(batch.as_bytes()).unwrap();
        view.verify_crc().unwrap();
        let values = view.records().unwrap().map(|r| r.unwrap().value.unwrap().to_vec());
        let mut logs = self.logs.lock();
        let log = logs.entry(to.clone()).or_default();
        let new = Kept {
            id: view.producer_id(),
            epoch: view.producer_epoch(),
            base: view.base_sequence(),
            base_offset: log
                .kept
                .last()
                .map_or(0, |last| last.base_offset + i64::try_from(last.values.len()).unwrap()),
            values: values.collect(),
        };
        let answer = match self.judge(log, &new) {
            Err(refusal) => {
                drop(logs);
                return done(Err(refusal.into()));
            }
            Ok(Some(duplicate)) => duplicate,
            Ok(None) => {
                let appended = self.at(&new, false);
                log.kept.push(new);
                appended
            }
        };
        let safe = log.kept.len();
        if self.slow {
            log.waiting.push_back(Waiting { done, answer: Ok(answer), safe });
        } else {
            log.safe = safe;
            drop(logs);
            done(Ok(answer));
        }
    }
}

/// A right answer to alter: the struct cannot be made outside of the log.
fn sample(store: &Store) -> Appended {
    use log_core::format::{BatchBuilder, BatchOptions, NewRecord};
    let topic = "sample".parse().unwrap();
    store.create_topic(&topic, 1).unwrap();
    let log: Log = store.log(&TopicPartition::new(topic, 0)).unwrap();
    let mut batch = BatchBuilder::new(BatchOptions::new());
    let timestamp = log_core::ids::TimestampMs::new(0);
    batch.push(&NewRecord { timestamp, key: None, value: None, headers: &[] }).unwrap();
    log.append_wait(batch.build().unwrap(), Durability::Synced).unwrap()
}
