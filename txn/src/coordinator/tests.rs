//! The coordinator against the scenarios of Kafka's own tests, every pair of state and event, and
//! random histories with crashes.

mod journal;
mod pairs;
mod requests;
mod storm;

use core::time::Duration;
use std::collections::BTreeSet;

use log_core::TopicPartition;
use log_core::format::TransactionResult;
use log_core::ids::{ProducerEpoch, ProducerId, TimestampMs};

use super::{
    Answer, Command, Coordinator, CoordinatorSettings, Event, MarkerOutcome, Markers, RequestId,
    TransactionVersion, WriteId, WriteOutcome,
};
use crate::error::TransactionError;
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::journal::TransactionRecord;
use crate::state::TransactionState;

const MINUTE: Duration = Duration::from_mins(1);
const START_MS: i64 = 1_000_000;

fn id() -> TransactionalId {
    TransactionalId::new("tx").unwrap()
}

fn who(id: i64, epoch: i16) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch {
        id: ProducerId::new(id).unwrap(),
        epoch: ProducerEpoch::new(epoch).unwrap(),
    }
}

fn places(numbers: &[u32]) -> BTreeSet<TopicPartition> {
    let topic: log_core::TopicName = "t".parse().unwrap();
    numbers.iter().map(|number| TopicPartition::new(topic.clone(), *number)).collect()
}

fn record(producer: ProducerIdAndEpoch, state: TransactionState) -> TransactionRecord {
    let open = !matches!(state, TransactionState::Empty);
    let busy = matches!(
        state,
        TransactionState::Ongoing
            | TransactionState::PrepareCommit
            | TransactionState::PrepareAbort
    );
    TransactionRecord {
        producer_id: producer.id,
        previous_producer_id: ProducerId::NONE,
        next_producer_id: ProducerId::NONE,
        producer_epoch: producer.epoch,
        timeout_ms: 60_000,
        state,
        partitions: open.then(|| if busy { places(&[0, 1]) } else { BTreeSet::new() }),
        last_update: TimestampMs::new(START_MS),
        start: TimestampMs::new(if open { START_MS } else { -1 }),
        client_version: 2,
    }
}

type Reply = Result<Answer, TransactionError>;

/// A coordinator, a time, and what it wants done.
struct Desk {
    coordinator: Coordinator,
    now: i64,
    next_request: u64,
    out: Vec<Command>,
}

impl Desk {
    /// One that has read an empty journal.
    fn new() -> Self {
        Self::with(&[])
    }

    /// One that has read these records, and keeps what is ongoing.
    fn with(records: &[(TransactionalId, TransactionRecord)]) -> Self {
        let mut desk = Self::loading(CoordinatorSettings::default().keep_ongoing(true));
        for (id, record) in records {
            desk.on(Event::Record { id: id.clone(), record: Some(record.clone()) });
        }
        desk.on(Event::Loaded { coordinator_epoch: 3 });
        desk
    }

    fn loading(settings: CoordinatorSettings) -> Self {
        let mut coordinator = Coordinator::new(settings);
        let ids = (1_000..1_500).map(|id| ProducerId::new(id).unwrap()).collect();
        coordinator.on(Event::ProducerIds { ids }, TimestampMs::new(START_MS), &mut Vec::new());
        Self { coordinator, now: START_MS, next_request: 0, out: Vec::new() }
    }

    /// With one id, found like that in the journal.
    fn found(producer: ProducerIdAndEpoch, state: TransactionState) -> Self {
        Self::with(&[(id(), record(producer, state))])
    }

    fn on(&mut self, event: Event) {
        self.coordinator.on(event, TimestampMs::new(self.now), &mut self.out);
    }

    fn request(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }

    fn reply(&mut self, request: RequestId) -> Option<Reply> {
        let found = self.out.iter().position(
            |command| matches!(command, Command::Reply { request: found, .. } if *found == request),
        );
        match self.out.remove(found?) {
            Command::Reply { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// The write that is under way.
    fn write(&mut self) -> Option<(WriteId, Option<TransactionRecord>)> {
        let found = self.out.iter().position(|c| matches!(c, Command::Append { .. }));
        match self.out.remove(found?) {
            Command::Append { write, record, .. } => Some((write, record)),
            _ => None,
        }
    }

    fn markers(&mut self) -> Option<Markers> {
        let found = self.out.iter().position(|c| matches!(c, Command::WriteMarkers(_)));
        match self.out.remove(found?) {
            Command::WriteMarkers(markers) => Some(markers),
            _ => None,
        }
    }

    /// Settles the write under way; returns what it said.
    fn settle(&mut self, outcome: WriteOutcome) -> Option<TransactionRecord> {
        let (write, record) = self.write()?;
        self.on(Event::Written { write, outcome });
        record
    }

    /// Everything that is under way succeeds.
    fn finish(&mut self) {
        loop {
            if self.settle(WriteOutcome::Durable).is_some() {
                continue;
            }
            let Some(markers) = self.markers() else { return };
            for partition in markers.partitions {
                self.on(Event::MarkerAnswered {
                    id: markers.id.clone(),
                    producer: markers.producer,
                    partition,
                    outcome: MarkerOutcome::Written,
                });
            }
        }
    }

    fn begin_init(&mut self, expected: Option<ProducerIdAndEpoch>) -> RequestId {
        let request = self.request();
        self.on(Event::InitProducerId { request, id: Some(id()), timeout: MINUTE, expected });
        request
    }

    fn init(&mut self, expected: Option<ProducerIdAndEpoch>) -> Reply {
        let request = self.begin_init(expected);
        self.finish();
        self.reply(request).unwrap()
    }

    fn begin_add(&mut self, producer: ProducerIdAndEpoch, numbers: &[u32]) -> RequestId {
        let request = self.request();
        let (partitions, version) = (places(numbers), TransactionVersion::Two);
        self.on(Event::AddPartitions { request, id: id(), producer, partitions, version });
        request
    }

    fn add(&mut self, producer: ProducerIdAndEpoch, numbers: &[u32]) -> Reply {
        let request = self.begin_add(producer, numbers);
        self.finish();
        self.reply(request).unwrap()
    }

    fn begin_end(
        &mut self,
        producer: ProducerIdAndEpoch,
        result: TransactionResult,
        version: TransactionVersion,
    ) -> RequestId {
        let request = self.request();
        self.on(Event::EndTxn { request, id: id(), producer, result, version });
        request
    }

    fn end(
        &mut self,
        producer: ProducerIdAndEpoch,
        result: TransactionResult,
        version: TransactionVersion,
    ) -> Reply {
        let request = self.begin_end(producer, result, version);
        self.finish();
        self.reply(request).unwrap()
    }

    fn state(&self) -> TransactionState {
        self.coordinator.describe(&id()).unwrap().state
    }

    fn producer(&self) -> ProducerIdAndEpoch {
        let record = self.coordinator.describe(&id()).unwrap();
        ProducerIdAndEpoch { id: record.producer_id, epoch: record.producer_epoch }
    }
}

/// Kafka's code of an answer: 0 for a good one.
fn code(reply: &Reply) -> i16 {
    reply.as_ref().err().map_or(0, TransactionError::kafka_code)
}

fn identity(reply: Reply) -> ProducerIdAndEpoch {
    match reply {
        Ok(Answer::Producer(producer)) => producer,
        other => panic!("{other:?}"),
    }
}
