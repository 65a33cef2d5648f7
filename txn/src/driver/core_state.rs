//! The coordinator and its hands: commands are done here, one after another, under one lock.
//!
//! ```text
//!   work: load if need be ─▶ what came in ─▶ tick, if due ─▶ deferred markers, if due
//!   Append   Ongoing            counts as written at once: the journal's order does the rest (S17)
//!            everything else    once it is durable
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use log_core::clock::Tick;
use log_core::{AppendError, NotAppended, Store};

use super::journal_log::JournalLog;
use super::{BACKOFF, Completions, Done, Generation, TICK_INTERVAL};
use crate::coordinator::{
    Answer, Command, Coordinator, CoordinatorSettings, Event, Markers, RequestId, WriteId,
    WriteOutcome,
};
use crate::error::TransactionError;
use crate::ids::TransactionalId;
use crate::journal::TransactionRecord;
use crate::producer_ids::ProducerIdService;
use crate::state::TransactionState;

/// Producer ids asked for at once. What a crash leaves of them is skipped.
const CLAIM_IDS: usize = 200;

/// An answer, once there is one.
type Slot = Option<Result<Answer, TransactionError>>;

/// The protected half of a coordinator.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) coordinator: Coordinator,
    pub(super) settings: CoordinatorSettings,
    /// The leader epoch of the journal that was read; `None`: to be read (again). A service of a
    /// store holds no handle on it, so the log itself is asked for each time.
    pub(super) journal: Option<i32>,
    pub(super) generation: Generation,
    answers: BTreeMap<RequestId, Slot>,
    next_request: u64,
    /// Markers to be tried again.
    pub(super) deferred: Vec<(Tick, Markers)>,
    /// What the last load began is done: requests are taken.
    settled: bool,
    /// When producer ids are asked for again that could not be had.
    claim_at: Option<Tick>,
    tick_at: Tick,
    moved: bool,
}

impl Default for Core {
    fn default() -> Self {
        let settings = CoordinatorSettings::default();
        Self {
            coordinator: Coordinator::new(settings),
            settings,
            journal: None,
            generation: Generation::default(),
            answers: BTreeMap::new(),
            next_request: 0,
            deferred: Vec::new(),
            settled: false,
            claim_at: None,
            tick_at: Tick::default(),
            moved: false,
        }
    }
}

impl Core {
    /// Takes over settings, before the first load.
    pub(super) fn configure(&mut self, settings: CoordinatorSettings) {
        if self.generation == Generation::default() {
            self.settings = settings;
            self.coordinator = Coordinator::new(settings);
        }
    }

    pub(super) const fn coordinator(&self) -> &Coordinator {
        &self.coordinator
    }

    /// Begins a request.
    pub(super) fn ask(
        &mut self,
        store: &Store,
        completions: &Arc<Completions>,
        event: impl Fn(RequestId) -> Event,
    ) -> RequestId {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        self.answers.insert(request, None);
        self.on(store, completions, event(request));
        request
    }

    pub(super) fn is_answered(&self, request: RequestId) -> bool {
        self.answers.get(&request).is_none_or(Option::is_some)
    }

    /// The answer. Nobody waits for it any more.
    pub(super) fn take_answer(
        &mut self,
        request: RequestId,
    ) -> Option<Result<Answer, TransactionError>> {
        self.answers.remove(&request).flatten()
    }

    /// Whether every transaction is over, but for what cannot be reached.
    pub(super) fn is_quiet(&self) -> bool {
        let busy =
            |state: TransactionState| state.is_prepared() || state == TransactionState::Ongoing;
        self.journal.is_none()
            || !self.deferred.is_empty()
            || !self.coordinator.list().any(|(_, record)| busy(record.state))
    }

    /// Whether requests are taken: what the journal decided is done, and the rest is aborted. Before
    /// that a producer would be told that it is shut out, where its commit is in the journal.
    pub(super) fn is_settled(&mut self) -> bool {
        self.settled |= self.is_quiet();
        self.settled
    }

    /// The journal was read again.
    pub(super) const fn unsettle(&mut self) {
        self.settled = false;
    }

    /// Whether anything moved since the last asking.
    pub(super) const fn take_moved(&mut self) -> bool {
        core::mem::replace(&mut self.moved, false)
    }

    /// When there is something to do by itself.
    pub(super) fn due(&self) -> Tick {
        let deferred = self.deferred.iter().map(|(due, _)| *due);
        deferred.chain(self.claim_at).fold(self.tick_at, Tick::min)
    }

    /// Does all that can be done now.
    ///
    /// # Errors
    ///
    /// Why the journal is not there or cannot be read.
    pub(super) fn work(
        &mut self,
        store: &Store,
        completions: &Arc<Completions>,
    ) -> Result<(), TransactionError> {
        self.drain(store, completions);
        if self.journal.is_none() {
            self.load(store, completions)?;
        }
        let now = store.clock().tick();
        if now >= self.tick_at {
            self.tick_at = now.after(TICK_INTERVAL);
            self.on(store, completions, Event::Tick);
        }
        if self.claim_at.is_some_and(|at| now >= at) {
            self.claim(store, completions);
        }
        let due: Vec<_> = self.deferred.extract_if(.., |(due, _)| *due <= now).collect();
        self.moved |= !due.is_empty();
        for (_, markers) in due {
            self.write_markers(store, completions, &markers, true);
        }
        self.drain(store, completions);
        Ok(())
    }

    /// Works off what came in.
    fn drain(&mut self, store: &Store, completions: &Arc<Completions>) {
        loop {
            let came = completions.take();
            if came.is_empty() {
                return;
            }
            self.moved = true;
            for (generation, done) in came {
                if generation != self.generation {
                    continue;
                }
                match done {
                    Done::Event(event) => self.on(store, completions, event),
                    Done::Deferred(markers) => self.defer(store, markers),
                }
            }
            completions.raise();
        }
    }

    pub(super) fn defer(&mut self, store: &Store, markers: Markers) {
        let due = store.clock().tick().after(BACKOFF);
        self.deferred.push((due, markers));
    }

    /// Gives the coordinator one event and does what it says.
    pub(super) fn on(&mut self, store: &Store, completions: &Arc<Completions>, event: Event) {
        let lost = matches!(
            event,
            Event::JournalLost | Event::Written { outcome: WriteOutcome::Lost, .. }
        );
        let mut commands = Vec::new();
        self.coordinator.on(event, store.clock().timestamp(), &mut commands);
        if lost {
            self.coordinator.on(Event::JournalLost, store.clock().timestamp(), &mut commands);
            self.journal = None;
            self.deferred.clear();
        }
        for command in commands {
            self.run(store, completions, command);
        }
    }

    /// Gets producer ids; if there are none now, later. Who needs one meanwhile is told to ask again.
    ///
    /// # Durability
    ///
    /// No later life of the directory hands them out again.
    pub(super) fn claim(&mut self, store: &Store, completions: &Completions) {
        let service = store.service::<ProducerIdService>();
        let seen = service.observe(store, self.coordinator.producer_id_max());
        let count = if seen.is_ok() { CLAIM_IDS } else { 0 };
        let ids: Vec<_> = (0..count).map_while(|_| service.take(store).ok()).collect();
        if ids.is_empty() {
            self.claim_at = Some(store.clock().tick().after(BACKOFF));
            return;
        }
        self.claim_at = None;
        completions.push(self.generation, Done::Event(Event::ProducerIds { ids }));
    }

    pub(super) fn run(&mut self, store: &Store, completions: &Arc<Completions>, command: Command) {
        match command {
            Command::Reply { request, answer } => {
                if let Some(slot) = self.answers.get_mut(&request) {
                    *slot = Some(answer);
                }
            }
            Command::Append { write, id, record } => {
                self.append(store, completions, write, &id, record.as_ref());
            }
            Command::WriteMarkers(markers) => {
                self.write_markers(store, completions, &markers, false);
            }
            Command::ClaimProducerIds => self.claim(store, completions),
        }
    }

    /// Appends a record of the journal.
    ///
    /// # Durability
    ///
    /// Its fate comes in later. Cut before, the next load finds the record or not: nobody was
    /// answered, and no marker is written before.
    fn append(
        &self,
        store: &Store,
        completions: &Arc<Completions>,
        write: WriteId,
        id: &TransactionalId,
        record: Option<&TransactionRecord>,
    ) {
        let generation = self.generation;
        let push = {
            let completions = Arc::clone(completions);
            move |event| completions.push(generation, Done::Event(event))
        };
        let Some(journal) = self.journal.and_then(|epoch| JournalLog::again(store, epoch)) else {
            return push(Event::Written { write, outcome: WriteOutcome::Lost });
        };
        let joins = record.is_some_and(|record| record.state == TransactionState::Ongoing);
        match journal.append(id, record, store.clock().timestamp()) {
            Ok(ticket) if joins => {
                push(Event::Written { write, outcome: WriteOutcome::Durable });
                ticket.on_done(move |answer| {
                    if answer.is_err() {
                        push(Event::JournalLost);
                    }
                });
            }
            Ok(ticket) => ticket.on_done(move |answer| {
                let outcome = match answer {
                    Ok(_) => WriteOutcome::Durable,
                    Err(_) => WriteOutcome::Lost,
                };
                push(Event::Written { write, outcome });
            }),
            Err(error) => push(Event::Written { write, outcome: outcome(&error) }),
        }
    }
}

/// What a refusal of the journal means for what was to be written.
const fn outcome(error: &AppendError) -> WriteOutcome {
    match error {
        // Somebody reopened it: what is in it has to be read.
        AppendError::NotAppended(
            NotAppended::Stale
            | NotAppended::Deleted
            | NotAppended::Closed
            | NotAppended::Offline(_),
        )
        | AppendError::Indeterminate(_) => WriteOutcome::Lost,
        AppendError::NotAppended(_) => WriteOutcome::Refused,
    }
}
