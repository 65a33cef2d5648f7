//! All of a producer's batches: which lane has something to do, and when (Kafka
//! `RecordAccumulator`). Pure: time comes in, work comes out.
//!
//! ```text
//!   push ─▶ lane 0 ┐   ready   something may be done for the lane
//!           lane 1 ├─ timers   … at that time at the latest
//!           lane 2 ┘
//!   step(now) ─▶ Append │ NewId │ Idle until
//! ```
//!
//! Invariants: a lane with anything in it stands in `ready` or has a timer or waits for an answer;
//! the buffer's bytes in use are those of all batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log_core::clock::Tick;
use log_core::format::{BatchBuilder, BatchOptions, BuildError, NewRecord, RecordBatch};
use log_core::ids::ProducerId;
use log_core::{AppendError, Appended, Offset, TopicName, TopicPartition};

use super::error::{NotSent, SendError};
use super::lane::{Batch, Body, Finished, Lane, Outgoing, Step};
use super::memory::Memory;
use super::settings::Settings;
use super::ticket::Promise;
use crate::ids::ProducerIdAndEpoch;
use crate::producer_ids::ProducerIdError;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// Append a batch; its answer goes to [`Accumulator::answer`].
    Append { lane: usize, to: TopicPartition, outgoing: Outgoing },
    /// Get a producer id for [`Accumulator::identify`].
    NewId,
    /// Nothing before that time.
    Idle(Option<Tick>),
}

/// What a topic looked like, and which lanes its partitions have.
#[derive(Debug)]
struct Topic {
    partitions: u32,
    looked_up: Tick,
    lanes: BTreeMap<u32, usize>,
}

/// Whom to tell what.
pub(super) type Tell = (Arc<Promise>, u32, Result<Offset, SendError>);

/// A producer's batches.
#[derive(Debug)]
pub(super) struct Accumulator {
    settings: Settings,
    identity: Option<ProducerIdAndEpoch>,
    /// No id is asked for again before.
    no_id_before: Tick,
    topics: BTreeMap<TopicName, Topic>,
    lanes: Vec<(TopicPartition, Lane)>,
    ready: BTreeSet<usize>,
    timers: BTreeSet<(Tick, usize)>,
    timer_of: BTreeMap<usize, Tick>,
    pub(super) memory: Memory,
    /// Pieces of each batch that are not answered, by the batch's number.
    outstanding: BTreeMap<u64, u32>,
    next_number: u64,
    finished: Vec<Finished>,
    tell: Vec<Tell>,
    /// Why nothing more is taken.
    ended: Option<NotSent>,
    /// Why what waits is answered unsent: its transaction will be aborted.
    discarding: Option<NotSent>,
}

impl Accumulator {
    pub(super) fn new(settings: Settings, identity: Option<ProducerIdAndEpoch>) -> Self {
        Self {
            memory: Memory::new(settings.buffer_bytes),
            settings,
            identity,
            no_id_before: Tick::default(),
            topics: BTreeMap::new(),
            lanes: Vec::new(),
            ready: BTreeSet::new(),
            timers: BTreeSet::new(),
            timer_of: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            next_number: 0,
            finished: Vec::new(),
            tell: Vec::new(),
            ended: None,
            discarding: None,
        }
    }

    /// How many partitions a topic had when it was last looked up, if that was lately.
    pub(super) fn partitions(&self, topic: &TopicName, now: Tick) -> Option<u32> {
        let known = self.topics.get(topic)?;
        (now.since(known.looked_up) < self.settings.metadata_age_max).then_some(known.partitions)
    }

    /// A topic was looked up.
    pub(super) fn learn(&mut self, topic: &TopicName, partitions: u32, now: Tick) {
        if let Some(known) = self.topics.get_mut(topic) {
            known.partitions = partitions;
            known.looked_up = now;
        } else {
            let known = Topic { partitions, looked_up: now, lanes: BTreeMap::new() };
            self.topics.insert(topic.clone(), known);
        }
    }

    /// Why nothing more is taken, if that is so.
    pub(super) const fn ended(&self) -> Option<&NotSent> {
        self.ended.as_ref()
    }

    /// The lane of a partition whose topic was looked up.
    pub(super) fn lane(&mut self, topic: &TopicName, partition: u32) -> usize {
        let next = self.lanes.len();
        let lanes = self.topics.get_mut(topic).map(|known| &mut known.lanes);
        let lane = lanes.map_or(next, |lanes| *lanes.entry(partition).or_insert(next));
        if lane == next {
            self.lanes.push((TopicPartition::new(topic.clone(), partition), Lane::new()));
        }
        lane
    }

    /// Puts a record, whose bytes were taken from the buffer, into the open batch of its lane, or
    /// begins another. Returns its batch's promise, its place in it, and whether whoever sends has
    /// to be told.
    pub(super) fn push(
        &mut self,
        lane: usize,
        record: &NewRecord<'_>,
        bytes: usize,
        now: Tick,
    ) -> Result<(Arc<Promise>, u32, bool), BuildError> {
        let Some((name, batches)) = self.lanes.get_mut(lane) else {
            unreachable!("a lane's number comes from `lane`")
        };
        if let Some((builder, count, charge, promise)) = batches.open()
            && builder.push(record).is_ok()
        {
            let (index, promise) = (*count, Arc::clone(promise));
            *count += 1;
            *charge += bytes;
            let full = builder.len_bytes() >= int(self.settings.batch_bytes);
            if full {
                batches.close();
                self.ready.insert(lane);
            }
            return Ok((promise, index, full));
        }
        let builder = begin(record, &self.settings)?;
        let promise = Promise::new(name.clone());
        let number = self.next_number;
        self.next_number += 1;
        self.outstanding.insert(number, 1);
        let closed = builder.len_bytes() >= int(self.settings.batch_bytes);
        batches.push(Batch {
            body: Body::Open(builder),
            promise: Arc::clone(&promise),
            count: 1,
            created: now,
            charge: bytes,
            number,
            closed,
        });
        self.ready.insert(lane);
        Ok((promise, 0, true))
    }

    /// No batch lingers any longer. Returns what a flush waits for: all batches numbered below.
    pub(super) fn close_batches(&mut self) -> u64 {
        for (lane, (_, batches)) in self.lanes.iter_mut().enumerate() {
            if !batches.is_empty() && batches.close() {
                self.ready.insert(lane);
            }
        }
        self.next_number
    }

    /// Whether every batch numbered below `number` is answered.
    pub(super) fn is_answered(&self, number: u64) -> bool {
        self.outstanding.first_key_value().is_none_or(|(first, _)| *first >= number)
    }

    /// Batches that have no answer.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The next thing to do.
    pub(super) fn step(&mut self, now: Tick) -> Work {
        while let Some((due, lane)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, lane));
            self.timer_of.remove(&lane);
            self.ready.insert(lane);
        }
        while let Some(lane) = self.ready.pop_first() {
            let Some((name, batches)) = self.lanes.get_mut(lane) else { continue };
            let identity = self.identity;
            let step = batches.step(now, &self.settings, identity, &mut self.finished);
            let to = name.clone();
            self.release();
            match step {
                Step::Append(outgoing) => {
                    self.ready.insert(lane);
                    return Work::Append { lane, to, outgoing };
                }
                Step::Idle(wake) => self.set_timer(lane, wake),
                Step::NeedIdentity if self.settings.transactional_id.is_some() => {
                    // Its epochs are the coordinator's: the next one begins with the next transaction.
                    self.discard(&NotSent::Aborted);
                }
                Step::NeedIdentity => match identity.and_then(ProducerIdAndEpoch::bumped) {
                    Some(bumped) => {
                        self.identity = Some(bumped);
                        self.ready.insert(lane);
                    }
                    None if now < self.no_id_before => {
                        self.set_timer(lane, Some(self.no_id_before));
                    }
                    None => {
                        self.ready.insert(lane);
                        return Work::NewId;
                    }
                },
            }
        }
        Work::Idle(self.timers.first().map(|(due, _)| *due))
    }

    /// Keeps what was sealed, for retries.
    pub(super) fn keep(&mut self, lane: usize, entry: u64, batch: &RecordBatch) {
        if let Some((_, batches)) = self.lanes.get_mut(lane) {
            batches.keep(entry, batch);
        }
    }

    /// The log's answer to a batch.
    pub(super) fn answer(
        &mut self,
        lane: usize,
        entry: u64,
        answer: Result<Appended, AppendError>,
        now: Tick,
    ) {
        let Some((_, batches)) = self.lanes.get_mut(lane) else { return };
        let refusal = match &answer {
            Err(AppendError::NotAppended(refusal)) => Some(refusal.clone()),
            _ => None,
        };
        let fenced = batches.answer(entry, answer, now, &self.settings, &mut self.finished);
        self.ready.insert(lane);
        if fenced && let Some(refusal) = refusal {
            let why = NotSent::Fenced(refusal);
            // Whether a transaction was aborted or its producer shut out, its coordinator knows.
            if self.settings.transactional_id.is_some() {
                self.discard(&why);
            } else {
                self.end(&why, false);
            }
        }
        self.go_on_discarding(lane);
        self.release();
    }

    /// The producer id that was asked for, or why there is none.
    pub(super) fn identify(&mut self, id: Result<ProducerId, ProducerIdError>, now: Tick) {
        match id {
            Ok(id) => self.identity = Some(ProducerIdAndEpoch::first(id)),
            Err(error) if error.is_retriable() => {
                self.no_id_before = now.after(self.settings.retry_backoff_max);
            }
            Err(error) => self.end(&NotSent::ProducerId(error), false),
        }
    }

    /// Takes nothing more.
    pub(super) fn refuse(&mut self, why: NotSent) {
        self.ended.get_or_insert(why);
    }

    /// Takes nothing more, and answers what waits; with `abandon` also what was submitted.
    pub(super) fn end(&mut self, why: &NotSent, abandon: bool) {
        self.refuse(why.clone());
        for (_, lane) in &mut self.lanes {
            lane.fail(why, abandon, &mut self.finished);
        }
        self.release();
    }

    /// Answers all that is not on its way: the transaction it belongs to will be aborted.
    pub(super) fn discard(&mut self, why: &NotSent) {
        self.discarding.get_or_insert_with(|| why.clone());
        for (_, lane) in &mut self.lanes {
            lane.fail(why, false, &mut self.finished);
        }
        self.release();
    }

    /// What comes back to `lane` unsent is answered, too.
    fn go_on_discarding(&mut self, lane: usize) {
        if let Some(why) = &self.discarding
            && let Some((_, batches)) = self.lanes.get_mut(lane)
        {
            batches.fail(why, false, &mut self.finished);
        }
    }

    /// The next transaction begins, as `identity`. Everything of the last one is answered.
    pub(super) fn adopt(&mut self, identity: ProducerIdAndEpoch) {
        self.identity = Some(identity);
        self.discarding = None;
    }

    /// Answers that nobody has been told yet.
    pub(super) fn take_finished(&mut self, tell: &mut Vec<Tell>) {
        tell.append(&mut self.tell);
    }

    /// Gives back the bytes of batches that are gone.
    fn release(&mut self) {
        for finished in self.finished.drain(..) {
            match finished {
                Finished::Tell(promise, count, outcome) => {
                    self.tell.push((promise, count, outcome));
                }
                Finished::Split { number } => *self.outstanding.entry(number).or_default() += 1,
                Finished::Gone { bytes, number } => {
                    self.memory.give(bytes);
                    let pieces = self.outstanding.entry(number).or_default();
                    *pieces = pieces.saturating_sub(1);
                    if *pieces == 0 {
                        self.outstanding.remove(&number);
                    }
                }
            }
        }
    }

    fn set_timer(&mut self, lane: usize, wake: Option<Tick>) {
        if let Some(old) = self.timer_of.remove(&lane) {
            self.timers.remove(&(old, lane));
        }
        if let Some(wake) = wake {
            self.timers.insert((wake, lane));
            self.timer_of.insert(lane, wake);
        }
    }
}

/// A batch that begins with `record`: of at most `batch_bytes`, or as large as it takes.
fn begin(record: &NewRecord<'_>, settings: &Settings) -> Result<BatchBuilder, BuildError> {
    let options = BatchOptions::new().compression(settings.compression);
    let transactional = settings.transactional_id.is_some();
    let options = if transactional { options.transactional() } else { options };
    let mut builder = BatchBuilder::new(options.bytes_max(settings.batch_bytes));
    if builder.push(record).is_err() {
        builder = BatchBuilder::new(options);
        builder.push(record)?;
    }
    Ok(builder)
}

fn int(bytes: u32) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
