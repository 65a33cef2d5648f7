//! Markers, into every partition of a transaction that ended (Kafka `TransactionMarkerChannelManager`).
//!
//! ```text
//!   log.append_marker ─ Ok ────────▶ ticket: durable ─▶ Written        in doubt ─▶ later, looked at first
//!                     ─ offline, full ─▶ later, looked at first
//!                     ─ deleted ───▶ Gone
//! ```
//!
//! Readers of committed data are shown the end at once, for its decision is durable in the journal.
//!
//! What if the power fails? A marker that is lost is written again by the next load, before anybody
//! is answered; one that is there is not written twice (T3).

use std::collections::BTreeSet;
use std::sync::Arc;

use log_core::format::EndTxnMarker;
use log_core::{
    AppendError, Durability, Log, MarkerDecides, NotAppended, Store, Ticket, TopicError,
    TopicPartition,
};

use super::core_state::Core;
use super::{Completions, Done};
use crate::coordinator::{Event, MarkerOutcome, Markers};

/// What became of an attempt.
enum Attempt {
    /// It is on its way.
    Appended(Ticket),
    /// There is an answer.
    Answered(MarkerOutcome),
    /// Not now.
    Later,
}

impl Core {
    /// Appends the markers of a transaction; with `look` not where one is already.
    ///
    /// # Durability
    ///
    /// None until their answers come in. They are written again until then, over restarts.
    pub(super) fn write_markers(
        &mut self,
        store: &Store,
        completions: &Arc<Completions>,
        markers: &Markers,
        look: bool,
    ) {
        let generation = self.generation;
        for partition in &markers.partitions {
            let answered = {
                let (id, producer) = (markers.id.clone(), markers.producer);
                let partition = partition.clone();
                move |outcome| Event::MarkerAnswered { id, producer, partition, outcome }
            };
            let one =
                Markers { partitions: BTreeSet::from([partition.clone()]), ..markers.clone() };
            match self.write_marker(store, markers, partition, look) {
                Attempt::Appended(ticket) => {
                    let completions = Arc::clone(completions);
                    ticket.on_done(move |answer| {
                        let done = match answer {
                            Ok(_) => Done::Event(answered(MarkerOutcome::Written)),
                            Err(_) => Done::Deferred(one),
                        };
                        completions.push(generation, done);
                    });
                }
                Attempt::Answered(outcome) => {
                    completions.push(generation, Done::Event(answered(outcome)));
                }
                Attempt::Later => self.defer(store, one),
            }
        }
    }

    fn write_marker(
        &self,
        store: &Store,
        markers: &Markers,
        partition: &TopicPartition,
        look: bool,
    ) -> Attempt {
        let log = match store.log(partition) {
            Ok(log) => log,
            Err(TopicError::Unknown { .. } | TopicError::UnknownTopic { .. }) => {
                return Attempt::Answered(MarkerOutcome::Gone);
            }
            Err(_) => return Attempt::Later,
        };
        if look && self.is_marked(&log, markers) {
            // It may be on its way: what says that all are written must come after it.
            return match log.flush() {
                Ok(_) => Attempt::Answered(MarkerOutcome::Written),
                Err(_) => Attempt::Later,
            };
        }
        match append(&log, markers, markers.coordinator_epoch) {
            Ok(ticket) => Attempt::Appended(ticket),
            Err(AppendError::NotAppended(NotAppended::Deleted)) => {
                Attempt::Answered(MarkerOutcome::Gone)
            }
            Err(AppendError::NotAppended(NotAppended::InvalidProducerEpoch { .. })) => {
                Attempt::Answered(MarkerOutcome::Fenced)
            }
            // Marker epochs are the larger of ours and the one seen (S22).
            Err(AppendError::NotAppended(NotAppended::TransactionCoordinatorFenced {
                current,
                ..
            })) => append(&log, markers, current).map_or(Attempt::Later, Attempt::Appended),
            Err(_) => Attempt::Later,
        }
    }

    /// Whether the partition shows that the transaction has ended. With an epoch a transaction the
    /// marker's epoch says so, and a transaction that is open with it is the next one.
    fn is_marked(&self, log: &Log, markers: &Markers) -> bool {
        let records = self.coordinator.list();
        let mut versions =
            records.filter(|(id, _)| **id == markers.id).map(|(_, record)| record.client_version);
        let an_epoch_each = versions.next() == Some(2);
        let known = log.producers();
        known.iter().any(|producer| {
            producer.producer_id == markers.producer.id
                && producer.producer_epoch >= markers.producer.epoch
                && (an_epoch_each || producer.current_txn_first_offset.is_none())
        })
    }
}

fn append(log: &Log, markers: &Markers, coordinator_epoch: i32) -> Result<Ticket, AppendError> {
    let marker = EndTxnMarker { result: markers.result, coordinator_epoch };
    let (id, epoch) = (markers.producer.id, markers.producer.epoch);
    log.append_marker(marker, id, epoch, MarkerDecides::Nothing, Durability::Synced)
}
