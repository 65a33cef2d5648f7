//! What becomes of the topic: other settings, more partitions, deleted and made anew.
//!
//! ```text
//!   Never ─▶ There ─▶ MaybeGone ─▶ Gone ─▶ MaybeMade ─▶ There
//!                        └──── a stop: the next opening finds all of it or nothing ────┘
//! ```
//!
//! A change that fails ends the life of the store: what has become of it, the next opening says.

use core::time::Duration;

use log_core::disk::sim::Stop;
use log_core::{Durability, Log, Store, TopicConfig, TopicError, TopicName, TopicPartition};

use super::produce::senders;
use super::{History, Step};
use crate::chance::Chance;
use crate::oracle::{Ledger, Rule};
use crate::plan::Weather;

/// Most partitions of the topic.
const PARTITIONS_MAX: usize = 4;

/// What is known of the topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Existence {
    /// It was not made yet.
    Never,
    /// It is durable.
    There,
    /// It is being deleted.
    MaybeGone,
    /// It was deleted.
    Gone,
    /// It is being made anew.
    MaybeMade,
}

/// The topic's own settings; `None` goes by the store's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct OfTopic {
    segment_bytes: Option<u32>,
    index_interval: Option<u32>,
    pub(super) retention_ms: Option<u64>,
    pub(super) retention_bytes: Option<u64>,
}

impl OfTopic {
    fn draw(c: &mut Chance) -> Self {
        Self {
            segment_bytes: c.pick(&[None, Some(4096), Some(16384)]),
            index_interval: c.pick(&[None, Some(0), Some(700), Some(100_000)]),
            retention_ms: c.pick(&[None, None, Some(0), Some(1000), Some(4000)]),
            retention_bytes: c.pick(&[None, None, Some(0), Some(5000), Some(30_000)]),
        }
    }

    fn config(self) -> TopicConfig {
        let mut config = TopicConfig::new();
        if let Some(bytes) = self.segment_bytes {
            config = config.segment_bytes_max(bytes);
        }
        if let Some(bytes) = self.index_interval {
            config = config.index_interval_bytes(bytes);
        }
        if let Some(millis) = self.retention_ms {
            config = config.retention_age_max(Duration::from_millis(millis));
        }
        if let Some(bytes) = self.retention_bytes {
            config = config.retention_bytes_max(bytes);
        }
        config
    }
}

/// What settings of which one or another is in force allow a log's start to do at time `now`.
fn rule(topics: impl Iterator<Item = OfTopic>, now: i64) -> Rule {
    topics.fold(Rule::Nothing, |rule, topic| match (topic.retention_ms, topic.retention_bytes) {
        (None, None) => rule,
        (Some(age), None) if rule == Rule::Nothing => Rule::OlderThan(now - age.cast_signed()),
        _ => Rule::Anything,
    })
}

pub(super) fn name() -> Result<TopicName, String> {
    "t".parse().map_err(|_| "a good name".to_owned())
}

impl History<'_> {
    /// The smallest segments that the settings may ask for.
    pub(super) fn segment_bytes(&self) -> u32 {
        let either = [Some(self.topic), self.topic_or].into_iter().flatten();
        let asked = either.map(|topic| topic.segment_bytes.unwrap_or(self.life.segment_bytes));
        asked.min().unwrap_or(self.life.segment_bytes)
    }

    /// What may make a log start higher at time `now`.
    pub(super) fn retention(&self, now: i64) -> Rule {
        rule([self.topic].into_iter().chain(self.topic_or), now)
    }

    /// What may have made a log start higher by the end of the life before.
    pub(super) fn retention_before(&self, now: i64) -> Rule {
        let before = self.topics_before.iter().copied();
        rule(before.chain([self.topic]).chain(self.topic_or), now)
    }

    /// Gives the topic other settings.
    pub(super) fn alter(&mut self, draw: u64) -> Step {
        let Some(store) = self.store.clone().filter(|_| !self.rotten) else { return Ok(()) };
        let topic = OfTopic::draw(&mut Chance::new(draw));
        self.stats.changes += 1;
        match store.alter_topic(&name()?, topic.config()) {
            Ok(info) if info.config == topic.config() => {
                self.topics_before.push(core::mem::replace(&mut self.topic, topic));
                Ok(())
            }
            Ok(info) => Err(format!("altered to {topic:?}, and it says {:?}", info.config)),
            Err(error) => {
                self.topic_or = Some(topic);
                self.unchanged(&error)
            }
        }
    }

    /// Gives the topic one more partition.
    pub(super) fn grow(&mut self) -> Step {
        let Some(store) = self.store.clone().filter(|_| !self.rotten) else { return Ok(()) };
        if self.logs.len() >= PARTITIONS_MAX {
            return Ok(());
        }
        self.stats.changes += 1;
        self.may_grow = true;
        match store.create_partitions(&name()?, self.logs.len() as u32 + 1) {
            Ok(_) => {
                self.add_partition();
                let log = Self::log(&store, self.logs.len())?;
                self.logs.push(log);
                Ok(())
            }
            Err(error) => self.unchanged(&error),
        }
    }

    /// Deletes the topic, and makes it anew.
    pub(super) fn remake(&mut self) -> Step {
        let Some(store) = self.store.clone().filter(|_| !self.rotten) else { return Ok(()) };
        self.stats.changes += 1;
        self.existence = Existence::MaybeGone;
        let gone = store.delete_topic(&name()?);
        for ledger in &mut self.ledgers {
            self.stats.acks += ledger.settle()?.0 as u64;
        }
        if let Err(error) = gone {
            return self.unchanged(&error);
        }
        if self.ledgers.iter().any(Ledger::is_waiting) {
            return Err("its topic is deleted, and an append is not answered".to_owned());
        }
        let old = self.logs.clone();
        self.begin_anew();
        let (batch, _) = self.batch(1, 10);
        for log in old {
            let late = log.append(batch.clone(), Durability::Buffered);
            if late.as_ref().err().map(log_core::AppendError::kafka_code) != Some(3) {
                return Err(format!("its topic is deleted, and an append gets {late:?}"));
            }
        }
        self.existence = Existence::MaybeMade;
        match store.create_topic(&name()?, self.plan.partitions) {
            Ok(_) => {
                self.existence = Existence::There;
                self.take_logs(&store)
            }
            Err(error) => self.unchanged(&error),
        }
    }

    /// A change that failed, for which there has to be a reason. The next life shows what is left.
    fn unchanged(&mut self, error: &TopicError) -> Step {
        let over = self.directory.is_over();
        if !over && !matches!(self.plan.weather, Weather::Errors | Weather::Full) {
            return Err(format!("a change of the topic in fine weather: {error}"));
        }
        if over { Ok(()) } else { self.stop(Stop::Crash, &[]) }
    }

    /// The topic is gone, and what is made of its name has nothing to do with it.
    fn begin_anew(&mut self) {
        self.existence = Existence::Gone;
        self.logs.clear();
        self.ledgers = (0..self.plan.partitions).map(|_| Ledger::default()).collect();
        self.senders = senders(self.plan.partitions);
        (self.topic, self.topic_or, self.may_grow) = (OfTopic::default(), None, false);
        self.topics_before.clear();
        self.shortened = None;
    }

    fn add_partition(&mut self) {
        self.ledgers.push(Ledger::default());
        self.senders.extend(senders(1));
        self.may_grow = false;
    }

    fn log(store: &Store, number: usize) -> Result<Log, String> {
        let partition = TopicPartition::new(name()?, number as u32);
        store.log(&partition).map_err(|error| error.to_string())
    }

    fn take_logs(&mut self, store: &Store) -> Step {
        self.logs.clear();
        for number in 0..self.ledgers.len() {
            let log = Self::log(store, number)?;
            self.logs.push(log);
        }
        Ok(())
    }

    /// Finds the topic in a store that was just opened after `stop`, or makes it.
    pub(super) fn find_topic(&mut self, store: &Store, stop: Option<Stop>) -> Step {
        let found = store.describe_topic(&name()?).ok();
        let vouched = !self.rotten && self.plan.weather != Weather::Lies;
        match (self.existence, &found) {
            (Existence::There, None) if self.plan.weather != Weather::Lies => {
                return Err(format!("after {stop:?} the topic is gone"));
            }
            (Existence::Gone, Some(_)) if vouched => {
                return Err(format!("after {stop:?} a deleted topic is there again"));
            }
            (Existence::MaybeGone, None) => self.begin_anew(),
            (Existence::There, None) | (Existence::Gone, Some(_)) => {
                self.done = true;
                return Ok(());
            }
            _ => {}
        }
        if let Some(info) = found {
            if self.may_grow && info.partitions as usize == self.ledgers.len() + 1 {
                self.add_partition();
            }
            let other = self.topic_or.take().filter(|other| other.config() == info.config);
            if let Some(other) = other {
                self.topics_before.push(core::mem::replace(&mut self.topic, other));
            }
            if (info.partitions as usize, info.config) != (self.ledgers.len(), self.topic.config())
            {
                if vouched {
                    let partitions = self.ledgers.len();
                    return Err(format!(
                        "after {stop:?} the topic is {info:?}, not of {partitions} partitions and \
                         {:?}",
                        self.topic
                    ));
                }
                self.done = true;
                return Ok(());
            }
        } else {
            store
                .create_topic(&name()?, self.plan.partitions)
                .map_err(|error| format!("the topic cannot be made: {error}"))?;
        }
        (self.existence, self.topic_or, self.may_grow) = (Existence::There, None, false);
        let taken = self.take_logs(store);
        if taken.is_err() && self.plan.weather == Weather::Lies {
            self.done = true;
            return Ok(());
        }
        taken
    }
}
