//! The transactions of a log, told from its batches alone.
//!
//! ```text
//!   transactional batch   its producer has none open? one begins here
//!   marker                the producer's open one ends
//! ```
//!
//! Where a transaction index is lost its entries are made with this: the producers' state knows what
//! is open at the log's end, not what was open at the start of some segment.

use std::collections::BTreeMap;

use super::producers::{Content, ProducerBatch};
use super::transactions::{CompletedTransaction, Transactions};
use crate::ids::{Offset, ProducerId};

/// Transactions told from the batches of a log alone, where nothing else is known of its producers.
///
/// What began before the first batch seen counts as begun with its own first batch seen: nobody can
/// read what stands before.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    by_producer: BTreeMap<ProducerId, Offset>,
    transactions: Transactions,
}

impl Observed {
    /// Takes in the next batch, which stands at `base`. Says what it ended.
    pub(crate) fn see(
        &mut self,
        batch: &ProducerBatch,
        base: Offset,
    ) -> Option<CompletedTransaction> {
        match batch.content {
            Content::Plain => None,
            Content::Transactional => {
                self.by_producer.entry(batch.producer_id).or_insert_with(|| {
                    self.transactions.begin(base, batch.producer_id);
                    base
                });
                None
            }
            Content::Marker(marker) => {
                let (id, last) = (batch.producer_id, batch.last_offset(base));
                let first = self.by_producer.remove(&id)?;
                let ended = self.transactions.end(id, first, last, marker.result);
                self.transactions.on_high_watermark(Offset::MAX);
                Some(ended)
            }
        }
    }
}
