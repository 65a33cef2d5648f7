//! The logs of a store, with answers lost on their way back and old batches that come once more.
//!
//! ```text
//!   append ─▶ log ─▶ answer ─┬▶ as it is
//!                            └▶ "it may be there"       the batch is appended all the same
//!   acknowledged batches ─▶ at a later append of their partition, some of them again: nobody hears
//!                           what became of that
//! ```
//!
//! A late copy goes only after its batch was acknowledged, as a packet does that took a longer way:
//! the log has to know it, or to refuse it.

use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use log_core::entropy::Entropy;
use log_core::format::RecordBatch;
use log_core::{AppendError, Durability, Store, TopicPartition};
use parking_lot::Mutex;

use super::{Done, Sink, StoreSink};
use crate::sim::Losses;

/// Copies kept of a partition's batches.
const COPIES_MAX: usize = 8;

/// The sink.
pub(in crate::producer) struct LossySink {
    store: Store,
    inner: StoreSink,
    entropy: Arc<dyn Entropy>,
    losses: Losses,
    /// Acknowledged batches of each partition that will come again.
    late: Arc<Mutex<BTreeMap<TopicPartition, VecDeque<RecordBatch>>>>,
}

impl LossySink {
    pub(in crate::producer) fn new(store: Store, inner: StoreSink, losses: Losses) -> Self {
        let entropy = store.entropy();
        Self { store, inner, entropy, losses, late: Arc::default() }
    }

    fn strikes(&self, chance: u16) -> bool {
        self.entropy.next_u64() % (1 << 16) < u64::from(chance)
    }

    /// A batch of `to` that comes once more, as late as chance has it.
    fn late_copy(&self, to: &TopicPartition) -> Option<RecordBatch> {
        let comes = self.entropy.next_u64().is_multiple_of(2);
        comes.then(|| self.late.lock().get_mut(to).and_then(VecDeque::pop_front)).flatten()
    }
}

impl Sink for LossySink {
    fn append(&self, to: &TopicPartition, batch: RecordBatch, acks: Durability, done: Done) {
        let lost = self.strikes(self.losses.answer_lost);
        let copy = self.strikes(self.losses.late_copy).then(|| batch.clone());
        if let Some(again) = self.late_copy(to) {
            self.inner.append(to, again, acks, Box::new(drop));
        }
        let (store, late, name) = (self.store.clone(), Arc::clone(&self.late), to.clone());
        let told = move |answer: Result<_, AppendError>| {
            if !lost
                && answer.is_ok()
                && let Some(copy) = copy
            {
                let mut late = late.lock();
                let copies = late.entry(name).or_default();
                copies.push_back(copy);
                if copies.len() > COPIES_MAX {
                    copies.pop_front();
                }
            }
            done(answer.and_then(|appended| {
                if !lost {
                    return Ok(appended);
                }
                let fault = store.damaged_sidecar("answers", "the answer was lost on its way");
                Err(AppendError::Indeterminate(fault))
            }));
        };
        self.inner.append(to, batch, acks, Box::new(told));
    }
}

impl fmt::Debug for LossySink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LossySink").field("losses", &self.losses).finish_non_exhaustive()
    }
}
