//! The transactions of a partition that readers of committed data have to wait for.
//!
//! ```text
//!   offsets   … 5    8         12       14
//!               │    └ first of producer 2, open
//!               └ first of producer 1 ── its marker at 12, not below the high watermark yet
//!             ^ first unstable offset
//! ```
//!
//! Kafka's `ProducerStateManager.ongoingTxns` and `unreplicatedTxns`: a transaction counts as ended
//! once its marker lies below the high watermark.

use std::collections::BTreeMap;

use crate::format::TransactionResult;
use crate::ids::{Offset, ProducerId};

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CompletedTransaction {
    pub(crate) producer_id: ProducerId,
    /// Of its first batch.
    pub(crate) first_offset: Offset,
    /// Of its marker.
    pub(crate) last_offset: Offset,
    pub(crate) result: TransactionResult,
    /// The first offset of the oldest transaction that is still open, or the one after the marker:
    /// what an entry of the transaction index says.
    pub(crate) last_stable_offset: Offset,
}

/// Open transactions, and those whose marker may still be lost.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Transactions {
    /// By first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// First offset to marker's offset.
    ended: BTreeMap<Offset, Offset>,
}

impl Transactions {
    pub(crate) const fn new() -> Self {
        Self { open: BTreeMap::new(), ended: BTreeMap::new() }
    }

    /// `producer_id` began a transaction at `first`. Says whether no other one began there.
    pub(crate) fn begin(&mut self, first: Offset, producer_id: ProducerId) -> bool {
        self.open.insert(first, producer_id).is_none()
    }

    /// The marker at `last` ends the transaction that began at `first`.
    pub(crate) fn end(
        &mut self,
        producer_id: ProducerId,
        first: Offset,
        last: Offset,
        result: TransactionResult,
    ) -> CompletedTransaction {
        self.open.remove(&first);
        self.ended.insert(first, last);
        let after = last.checked_add(1).unwrap_or(last);
        let last_stable_offset = self.open.keys().next().copied().unwrap_or(after);
        CompletedTransaction {
            producer_id,
            first_offset: first,
            last_offset: last,
            result,
            last_stable_offset,
        }
    }

    /// Its decision is durable elsewhere: its marker may be lost and will be written again.
    pub(crate) fn on_decided(&mut self, ended: &CompletedTransaction) {
        self.ended.remove(&ended.first_offset);
    }

    /// Nothing below `high_watermark` can be lost any more.
    pub(crate) fn on_high_watermark(&mut self, high_watermark: Offset) {
        if !self.ended.is_empty() {
            self.ended.retain(|_, last| *last >= high_watermark);
        }
    }

    /// The first offset whose transaction is undecided, or decided by a marker that may be lost.
    pub(crate) fn first_unstable_offset(&self) -> Option<Offset> {
        self.open.keys().chain(self.ended.keys()).min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Offset {
        Offset::new(offset).unwrap()
    }

    fn producer(id: i64) -> ProducerId {
        ProducerId::new(id).unwrap()
    }

    #[test]
    fn an_ended_transaction_holds_readers_back_until_its_marker_is_durable() {
        let mut transactions = Transactions::default();
        assert_eq!(transactions.first_unstable_offset(), None);
        transactions.begin(at(5), producer(1));
        transactions.begin(at(8), producer(2));
        let ended = transactions.end(producer(1), at(5), at(12), TransactionResult::Abort);
        assert_eq!((ended.first_offset, ended.last_stable_offset), (at(5), at(8)));
        assert_eq!(transactions.first_unstable_offset(), Some(at(5)));
        transactions.on_high_watermark(at(12));
        assert_eq!(transactions.first_unstable_offset(), Some(at(5)));
        transactions.on_high_watermark(at(13));
        assert_eq!(transactions.first_unstable_offset(), Some(at(8)));
        let ended = transactions.end(producer(2), at(8), at(20), TransactionResult::Commit);
        assert_eq!(ended.last_stable_offset, at(21));
        transactions.on_high_watermark(at(21));
        assert_eq!(transactions, Transactions::new());
    }
}
