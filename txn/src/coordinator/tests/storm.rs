//! Random histories: clients that retry and repeat themselves late, records refused and lost,
//! markers delayed and doubled, crashes that cut the journal. T2 to T5, T10 and T11 must hold.

use std::collections::{BTreeMap, VecDeque};

use log_core::entropy::{Entropy, SeededEntropy};

use super::*;

const IDS: u64 = 2;

/// A transaction as its markers name it.
type Name = (TransactionalId, ProducerIdAndEpoch);

struct Storm {
    entropy: SeededEntropy,
    coordinator: Coordinator,
    now: i64,
    next_request: u64,
    next_producer: i64,
    /// What is durable of the journal, and what is not yet.
    journal: Vec<(TransactionalId, Option<TransactionRecord>)>,
    under_way: VecDeque<(WriteId, TransactionalId, Option<TransactionRecord>)>,
    /// Markers on their way, in no order.
    markers: Vec<Markers>,
    /// Who asked for what.
    asked: BTreeMap<RequestId, Event>,
    /// Requests of the past, for repetition.
    past: Vec<Event>,
    /// Who each id is, as its newest client knows.
    known: BTreeMap<TransactionalId, ProducerIdAndEpoch>,
    /// All identities handed out, newest last.
    handed: BTreeMap<TransactionalId, Vec<ProducerIdAndEpoch>>,
    /// What was said of an end: by the producer that asked.
    said: BTreeMap<Name, TransactionResult>,
    /// What partitions saw.
    seen: BTreeMap<(Name, TopicPartition), TransactionResult>,
    committed: u32,
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut storm = Self {
            entropy: SeededEntropy::new(seed),
            coordinator: Coordinator::new(CoordinatorSettings::default()),
            now: START_MS,
            next_request: 0,
            next_producer: 0,
            journal: Vec::new(),
            under_way: VecDeque::new(),
            markers: Vec::new(),
            asked: BTreeMap::new(),
            past: Vec::new(),
            known: BTreeMap::new(),
            handed: BTreeMap::new(),
            said: BTreeMap::new(),
            seen: BTreeMap::new(),
            committed: 0,
        };
        storm.load();
        storm
    }

    fn below(&self, bound: u64) -> u64 {
        self.entropy.next_u64() % bound
    }

    fn on(&mut self, event: Event) {
        let mut out = Vec::new();
        self.coordinator.on(event, TimestampMs::new(self.now), &mut out);
        for command in out {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Append { write, id, record } => self.under_way.push_back((write, id, record)),
            Command::WriteMarkers(markers) => {
                // T5: what was handed out since is newer than any marker sent from now on.
                let newest = self.handed.get(&markers.id).and_then(|all| all.last());
                let newest = newest.copied();
                let older = newest.is_some_and(|newest| {
                    newest.id == markers.producer.id && newest.epoch > markers.producer.epoch
                });
                assert!(!older, "marker {:?} after {newest:?}", markers.producer);
                self.markers.push(markers);
            }
            Command::ClaimProducerIds => {
                let first = self.next_producer;
                self.next_producer += 150;
                let ids = (first..self.next_producer).map(|id| ProducerId::new(id).unwrap());
                self.on(Event::ProducerIds { ids: ids.collect() });
            }
            Command::Reply { request, answer } => self.hear(request, answer),
        }
    }

    fn hear(&mut self, request: RequestId, answer: Reply) {
        let asked = self.asked.remove(&request).expect("one answer a request");
        match (asked, answer) {
            (Event::InitProducerId { id: Some(id), expected, .. }, Ok(Answer::Producer(given))) => {
                let handed = self.handed.entry(id.clone()).or_default();
                let repeated = expected.is_some() && handed.last() == Some(&given);
                // T11 and J19: what is handed out rises, and no epoch is reused or the last one.
                assert!(repeated || handed.last().is_none_or(|last| *last < given), "{given:?}");
                assert!(given.epoch.get() < i16::MAX);
                handed.push(given);
                self.known.insert(id, given);
            }
            (Event::EndTxn { id, producer, result, .. }, Ok(Answer::Producer(given))) => {
                // T10: an end that was answered once is answered the same for ever.
                let before = self.said.insert((id.clone(), producer), result);
                assert!(before.is_none_or(|before| before == result), "{producer:?} {result:?}");
                assert!(given.epoch.get() < i16::MAX);
                self.committed += u32::from(result == TransactionResult::Commit);
                let handed = self.handed.entry(id.clone()).or_default();
                if handed.last().is_none_or(|last| *last < given) {
                    handed.push(given);
                    self.known.insert(id, given);
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, make: impl FnOnce(RequestId) -> Event) {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        let event = make(request);
        self.asked.insert(request, event.clone());
        self.past.push(event.clone());
        self.on(event);
    }

    fn client(&mut self) {
        let id = TransactionalId::new(&format!("tx-{}", self.below(IDS))).unwrap();
        let Some(producer) = self.known.get(&id).copied() else { return self.init(id, None) };
        let version = TransactionVersion::Two;
        match self.below(12) {
            0 => self.init(id, None),
            1 => self.init(id, Some(producer)),
            2..7 => {
                let partitions = places(&[u32::try_from(self.below(3)).unwrap()]);
                self.ask(|request| Event::AddPartitions {
                    request,
                    id,
                    producer,
                    partitions,
                    version,
                });
            }
            7..11 => {
                let commit = self.below(3) > 0;
                let result =
                    if commit { TransactionResult::Commit } else { TransactionResult::Abort };
                self.ask(|request| Event::EndTxn { request, id, producer, result, version });
            }
            _ => {
                // A message from the past, late.
                let at =
                    usize::try_from(self.below(u64::try_from(self.past.len()).unwrap())).unwrap();
                match self.past[at].clone() {
                    Event::AddPartitions { id, producer, partitions, .. } => {
                        self.ask(|request| Event::AddPartitions {
                            request,
                            id,
                            producer,
                            partitions,
                            version,
                        });
                    }
                    Event::EndTxn { id, producer, result, .. } => {
                        self.ask(|request| Event::EndTxn {
                            request,
                            id,
                            producer,
                            result,
                            version,
                        });
                    }
                    _ => {}
                }
            }
        }
    }

    fn init(&mut self, id: TransactionalId, expected: Option<ProducerIdAndEpoch>) {
        let (id, timeout) = (Some(id), MINUTE);
        self.ask(|request| Event::InitProducerId { request, id, timeout, expected });
    }

    /// The oldest record under way becomes durable, or is refused.
    fn write(&mut self, refuse: bool) {
        let Some((write, id, record)) = self.under_way.pop_front() else { return };
        if refuse {
            return self.on(Event::Written { write, outcome: WriteOutcome::Refused });
        }
        self.journal.push((id, record));
        self.on(Event::Written { write, outcome: WriteOutcome::Durable });
    }

    /// Some marker arrives; sometimes it stays on its way, to arrive once more.
    fn marker(&mut self) {
        if self.markers.is_empty() {
            return;
        }
        let at = usize::try_from(self.below(u64::try_from(self.markers.len()).unwrap())).unwrap();
        let markers = if self.below(4) == 0 {
            self.markers[at].clone()
        } else {
            self.markers.swap_remove(at)
        };
        let Markers { id, producer, result, partitions, .. } = markers;
        for partition in partitions {
            if self.below(8) == 0 {
                let outcome = MarkerOutcome::Retry;
                let id = id.clone();
                self.on(Event::MarkerAnswered { id, producer, partition, outcome });
                continue;
            }
            // T3: one kind of marker for a transaction, whenever it comes.
            let name = (id.clone(), producer);
            let before = self.seen.insert((name, partition.clone()), result);
            assert!(before.is_none_or(|before| before == result), "{producer:?} {partition}");
            let (id, outcome) = (id.clone(), MarkerOutcome::Written);
            self.on(Event::MarkerAnswered { id, producer, partition, outcome });
        }
    }

    /// The process dies: of the records under way a first part is found. Markers on their way may
    /// have been written just before, or are gone.
    fn crash(&mut self) {
        while self.below(2) == 0 {
            let Some((_, id, record)) = self.under_way.pop_front() else { break };
            self.journal.push((id, record));
        }
        while self.below(2) == 0 && !self.markers.is_empty() {
            self.marker();
        }
        self.under_way.clear();
        self.markers.clear();
        self.asked.clear();
        self.coordinator = Coordinator::new(CoordinatorSettings::default());
        self.load();
    }

    fn load(&mut self) {
        for (id, record) in self.journal.clone() {
            // As its bytes.
            let record = record.map(|r| TransactionRecord::decode(&r.encode()).unwrap());
            self.on(Event::Record { id, record });
        }
        self.on(Event::Loaded { coordinator_epoch: 0 });
    }

    fn step(&mut self) {
        match self.below(20) {
            0..9 => self.client(),
            9..14 => self.write(false),
            14 => self.write(true),
            15..18 => self.marker(),
            18 => {
                self.now += i64::try_from(self.below(50_000)).unwrap();
                self.on(Event::Tick);
            }
            _ if self.below(5) == 0 => self.crash(),
            _ => {}
        }
    }

    /// Everything under way ends well.
    fn settle(&mut self) {
        for _ in 0..200 {
            while !self.under_way.is_empty() {
                self.write(false);
            }
            while !self.markers.is_empty() {
                self.marker();
            }
            self.now += 70_000;
            self.on(Event::Tick);
        }
        let open = self.coordinator.list().find(|(_, record)| !record.state.is_at_rest());
        assert!(open.is_none(), "T7: {open:?} is not over");
    }
}

#[test]
fn whatever_comes_late_or_twice_every_transaction_has_one_outcome() {
    let mut committed = 0;
    let mut markers = 0;
    for seed in 0..400 {
        let mut storm = Storm::new(seed);
        for _ in 0..400 {
            storm.step();
        }
        storm.settle();
        // T2 and T4: a transaction whose end was answered has that outcome in every partition, and
        // its markers carry the epoch right behind its own.
        for ((id, producer), result) in &storm.said {
            let next = producer.fenced();
            for ((name, partition), seen) in &storm.seen {
                if name == &(id.clone(), next) {
                    assert_eq!(seen, result, "seed {seed}: {producer:?} in {partition}");
                }
            }
        }
        committed += storm.committed;
        markers += storm.seen.len();
    }
    assert!(committed > 1_000 && markers > 2_000, "{committed} commits, {markers} markers");
}
