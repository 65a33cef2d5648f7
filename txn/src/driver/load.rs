//! The journal is read, and the partitions are asked what they know: what a crash left is settled.
//!
//! ```text
//!   journal            partitions                     then
//!   Prepare…           marker here, none there        the markers that are missing
//!   Ongoing            open, some not in the journal  aborted under the next epoch, in all of them
//!   Empty, Complete…   open: the record was lost      as Ongoing
//!   nothing            open                           aborted: nobody is left to end it
//! ```
//!
//! What if the power fails here? Nothing was answered, every step is one that the next load finds
//! undone or done, and the epoch under which the abort is written is in the journal before the first
//! marker carries it (S17).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use log_core::format::{EndTxnMarker, TransactionResult};
use log_core::ids::{ProducerEpoch, ProducerId};
use log_core::{Durability, MarkerDecides, Store, TopicPartition};

use super::core_state::Core;
use super::journal_log::JournalLog;
use super::{Completions, Generation, TRANSACTION_STATE_TOPIC};
use crate::coordinator::{Command, Event};
use crate::error::TransactionError;
use crate::ids::TransactionalId;
use crate::journal::TransactionRecord;
use crate::state::TransactionState;

/// A transaction that is open in a partition.
#[derive(Debug)]
struct Open {
    partition: TopicPartition,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    coordinator_epoch: i32,
}

impl Core {
    /// Reads the journal and begins to settle what it finds.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; then nothing is served, and the next caller tries again.
    pub(super) fn load(
        &mut self,
        store: &Store,
        completions: &Arc<Completions>,
    ) -> Result<(), TransactionError> {
        let journal = JournalLog::open(store)?;
        let mut records = journal.read()?;
        let strays = join_open(&mut records, open_transactions(store));
        for stray in &strays {
            abort_stray(store, stray);
        }
        self.generation = Generation(self.generation.0 + 1);
        self.deferred.clear();
        self.unsettle();
        let epoch = journal.epoch();
        self.journal = Some(epoch);
        self.on(store, completions, Event::Loading);
        for (id, record) in records {
            self.on(store, completions, Event::Record { id, record: Some(record) });
        }
        if self.generation == Generation(1) {
            self.claim(store, completions);
        }
        // Where a decision was made, a marker may be there already.
        let (loaded, now) = (Event::Loaded { coordinator_epoch: epoch }, store.clock().timestamp());
        let mut commands = Vec::new();
        self.coordinator.on(loaded, now, &mut commands);
        for command in commands {
            match command {
                Command::WriteMarkers(markers) => {
                    self.write_markers(store, completions, &markers, true);
                }
                other => self.run(store, completions, other),
            }
        }
        Ok(())
    }
}

/// Every open transaction of every partition that can be read.
fn open_transactions(store: &Store) -> Vec<Open> {
    let mut found = Vec::new();
    for topic in store.topics() {
        if topic.name.as_str() == TRANSACTION_STATE_TOPIC {
            continue;
        }
        for number in 0..topic.partitions {
            let partition = TopicPartition::new(topic.name.clone(), number);
            let Ok(log) = store.log(&partition) else { continue };
            let open = log.producers().into_iter().filter_map(|producer| {
                producer.current_txn_first_offset?;
                Some(Open {
                    partition: partition.clone(),
                    producer_id: producer.producer_id,
                    epoch: producer.producer_epoch,
                    coordinator_epoch: producer.coordinator_epoch,
                })
            });
            found.extend(open);
        }
    }
    found
}

/// Puts open transactions into the records of their ids; returns those of nobody.
fn join_open(
    records: &mut BTreeMap<TransactionalId, TransactionRecord>,
    open: Vec<Open>,
) -> Vec<Open> {
    let ids: BTreeMap<ProducerId, TransactionalId> =
        records.iter().map(|(id, record)| (record.producer_id, id.clone())).collect();
    let mut strays = Vec::new();
    for one in open {
        let record = ids.get(&one.producer_id).and_then(|id| records.get_mut(id));
        match record {
            Some(record) if record.state.is_prepared() => {
                let listed = record.partitions.iter().flatten().any(|p| *p == one.partition);
                if !listed {
                    strays.push(one);
                }
            }
            Some(record) if one.epoch <= record.producer_epoch => {
                if record.state != TransactionState::Ongoing {
                    record.state = TransactionState::Ongoing;
                    record.partitions = Some(BTreeSet::new());
                    record.start = record.last_update;
                    record.client_version = 2;
                }
                record.partitions.get_or_insert_default().insert(one.partition);
            }
            _ => strays.push(one),
        }
    }
    strays
}

/// Aborts what nobody knows of, as Kafka's tool for hanging transactions does.
///
/// # Durability
///
/// None: cut before the marker is durable, the next load finds the transaction open again.
fn abort_stray(store: &Store, stray: &Open) {
    let Ok(log) = store.log(&stray.partition) else { return };
    let coordinator_epoch = stray.coordinator_epoch.max(0);
    let marker = EndTxnMarker { result: TransactionResult::Abort, coordinator_epoch };
    let decides = MarkerDecides::Itself;
    let (id, epoch) = (stray.producer_id, stray.epoch);
    // Refused, it stays open and is found again.
    let _refused = log.append_marker(marker, id, epoch, decides, Durability::Synced);
}
