//! What transactions ask of a log: who may begin one, markers, and what committed data is.
//!
//! ```text
//!   offsets   … 5    8         12       14     20
//!               │    └ of B, open      │      └ high watermark
//!               └ first of A ─ abort marker of A
//!             last stable offset 8: readers of committed data stop here, and of what is before
//!             they are told that A was aborted from 5 on
//! ```
//!
//! Source: KIP-98, KIP-890, Kafka `UnifiedLog.collectAbortedTransactions`.

use std::sync::Arc;

use super::fetch::View;
use super::handle::Log;
use super::head::Head;
use super::partition::{By, Offsets, Partition, Prepared};
use super::ticket::Ticket;
use crate::config::Durability;
use crate::error::{AppendError, NotAppended};
use crate::format::{BatchView, EndTxnMarker, RecordBatch};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use crate::model::producers::Origin;
use crate::model::verification::VerificationGuard;
use crate::segment::Segment;
use crate::segment::transaction_index::AbortedTransaction;

/// When a transaction that a marker ends counts as ended for readers of committed data.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a decision stands in the marker or elsewhere")]
pub enum MarkerDecides {
    /// Once the marker is durable: it is the decision (Kafka's rule).
    #[default]
    Itself,
    /// At once: the decision is durable elsewhere, and whoever made it repeats the marker after a
    /// crash, before anybody reads.
    Nothing,
}

impl Log {
    /// Asks for the right to begin a transaction here with the batch that begins with `sequence`
    /// (Kafka's `maybeStartTransactionVerification`). Whoever coordinates the transaction confirms
    /// that this partition is part of it before [`append_transactional`](Self::append_transactional).
    /// `None` if the producer's transaction is open here already: then none is needed.
    #[must_use]
    pub fn start_verification(
        &self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        sequence: Sequence,
    ) -> Option<VerificationGuard> {
        let partition = self.partition();
        let now = partition.shared.clock.tick();
        let expiration = partition.shared.settings.producer_limits().expiration;
        let mut head = partition.head.lock();
        if head.producers.is_in_transaction(producer_id, producer_epoch) {
            return None;
        }
        let verifications = &mut head.verifications;
        Some(verifications.begin(producer_id, producer_epoch, sequence, now, expiration))
    }

    /// Appends a batch of a transaction. The first one here needs the `guard` that was asked for
    /// before the coordinator confirmed it; later ones need none, and [`append`](Self::append) takes
    /// them too.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append); [`NotAppended::TransactionNotVerified`] without a guard, or with
    /// one that was spent: a marker came in between.
    ///
    /// # Durability
    ///
    /// As [`append`](Self::append).
    pub fn append_transactional(
        &self,
        batch: RecordBatch,
        guard: Option<VerificationGuard>,
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let mut prepared = self.prepare(batch)?;
        let by = By { guard, ..By::from(Origin::Client) };
        self.partition().append_as(&mut prepared, by, durability)
    }

    /// Ends the open transaction of a producer in this partition. For coordinators of transactions:
    /// one that has been succeeded is refused, and so is the marker of a producer that is fenced.
    ///
    /// # Errors
    ///
    /// As [`Log::append`]; [`NotAppended::InvalidProducerEpoch`],
    /// [`NotAppended::TransactionCoordinatorFenced`].
    ///
    /// # Durability
    ///
    /// As [`Log::append`]. With [`MarkerDecides::Nothing`] readers of committed data are shown the
    /// transaction's records before the marker is durable.
    pub fn append_marker(
        &self,
        marker: EndTxnMarker,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        decides: MarkerDecides,
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let max_timestamp = self.partition().shared.clock.timestamp();
        let invalid = |reason: String| NotAppended::InvalidRecord { reason };
        let bytes = marker
            .to_batch(producer_id, producer_epoch, max_timestamp)
            .map_err(|error| invalid(error.to_string()))?
            .to_vec();
        let last_crc = BatchView::parse(&bytes).map_err(NotAppended::from)?.crc();
        let offsets = Offsets::Next { count: 1 };
        let mut prepared =
            Prepared { bytes, offsets, max_timestamp, max_timestamp_offset: None, last_crc };
        let by = By { decides, ..By::from(Origin::Coordinator) };
        self.partition().append_as(&mut prepared, by, durability)
    }

    /// The first offset of an undecided transaction, or the high watermark: where readers of
    /// committed data stop.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let head = self.partition().head.lock();
        head.first_unstable_offset().min(head.frontiers.durable())
    }
}

impl Head {
    /// The first offset whose transaction is undecided, as far as it can be read; the largest
    /// offset where there is none.
    pub(super) fn first_unstable_offset(&self) -> Offset {
        let first = self.producers.transactions().first_unstable_offset();
        first.map_or(Offset::MAX, |first| first.max(self.frontiers.log_start()))
    }
}

impl Partition {
    /// Brings the indexes of a segment into memory.
    pub(super) fn read_indexes(&self, segments: &[Arc<Segment>], index: usize) {
        if let Some((segment, earlier)) =
            segments.get(..=index).and_then(|segments| segments.split_last())
        {
            let interval = self.settings.index_interval_bytes();
            segment.read_indexes(&*self.shared.directory, interval, earlier);
        }
    }

    /// The aborted transactions that hide something of the offsets from `from`, which is in segment
    /// `index`, to before `until`; in the order of their first offsets.
    pub(super) fn aborted(
        &self,
        view: &View,
        index: usize,
        from: Offset,
        until: Offset,
    ) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        for (index, segment) in view.segments.iter().enumerate().skip(index) {
            // A seal says whether there is any.
            let sealed = segment.index().read().still_unread();
            if sealed.is_some_and(|(seal, _)| seal.txns.is_none()) {
                continue;
            }
            self.read_indexes(&view.segments, index);
            if segment.index().read().transactions().collect(from, until, &mut found) {
                break;
            }
        }
        found.sort_unstable();
        found
    }
}
