//! What a batch says of its producer.

use crate::error::NotAppended;
use crate::format::{BatchView, EndTxnMarker};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// The producer's part of one batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ProducerBatch {
    pub(crate) producer_id: ProducerId,
    pub(crate) producer_epoch: ProducerEpoch,
    /// None for markers, and for what a coordinator appends.
    pub(crate) base_sequence: Sequence,
    /// Offsets the batch takes up, less one; its sequences take up as many.
    pub(crate) last_offset_delta: i32,
    pub(crate) max_timestamp: TimestampMs,
    pub(crate) content: Content,
}

/// What the batch does to its producer's transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// Nothing: its records count at once.
    Plain,
    /// Its records count once the transaction is committed.
    Transactional,
    /// It ends the transaction.
    Marker(EndTxnMarker),
}

impl ProducerBatch {
    /// Reads what `batch` says; `None` where it changes no producer's state: no producer, a marker
    /// that was compacted away, a control record of another kind.
    pub(crate) fn of(batch: &BatchView<'_>) -> Result<Option<Self>, NotAppended> {
        if !batch.producer_id().is_some() {
            return Ok(None);
        }
        let content = match (batch.is_control(), batch.is_transactional()) {
            (false, false) => Content::Plain,
            (false, true) => Content::Transactional,
            (true, _) => match marker(batch)? {
                Some(marker) => Content::Marker(marker),
                None => return Ok(None),
            },
        };
        Ok(Some(Self {
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            last_offset_delta: batch.last_offset_delta(),
            max_timestamp: batch.max_timestamp(),
            content,
        }))
    }

    /// The sequence of the last record.
    pub(crate) const fn last_sequence(&self) -> Sequence {
        match self.base_sequence {
            Sequence::NONE => Sequence::NONE,
            base => base.increment(self.last_offset_delta),
        }
    }

    /// The last offset, if the first one is `base`.
    pub(crate) fn last_offset(&self, base: Offset) -> Offset {
        base.checked_add(self.last_offset_delta.into()).unwrap_or(Offset::MAX)
    }
}

/// The marker in a control batch. The first record decides: there is one, or none after compaction.
fn marker(batch: &BatchView<'_>) -> Result<Option<EndTxnMarker>, NotAppended> {
    if batch.records_count() == 0 {
        return Ok(None);
    }
    let Some(record) = batch.records()?.next() else { return Ok(None) };
    let broken = |what: String| NotAppended::InvalidRecord {
        reason: format!("its control record cannot be read: {what}"),
    };
    let record = record.map_err(|error| broken(error.to_string()))?;
    EndTxnMarker::from_record(record.key, record.value).map_err(|error| broken(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{EmptyBatch, TransactionResult};

    #[test]
    fn a_marker_is_told_from_one_that_was_compacted_away() {
        let marker = EndTxnMarker { result: TransactionResult::Abort, coordinator_epoch: 4 };
        let (id, epoch) = (ProducerId::new(7).unwrap(), ProducerEpoch::new(3).unwrap());
        let bytes = marker.to_batch(id, epoch, TimestampMs::new(9)).unwrap();
        let view = BatchView::parse(&bytes).unwrap();
        let batch = ProducerBatch::of(&view).unwrap().unwrap();
        assert_eq!(batch.content, Content::Marker(marker));
        assert_eq!((batch.base_sequence, batch.last_sequence()), (Sequence::NONE, Sequence::NONE));
        let emptied = EmptyBatch::emptied(&view).to_bytes().unwrap();
        assert_eq!(ProducerBatch::of(&BatchView::parse(&emptied).unwrap()).unwrap(), None);
    }

    #[test]
    fn nobodys_batch_says_nothing() {
        let gap = EmptyBatch::gap(Offset::ZERO, Offset::ZERO, crate::ids::LeaderEpoch::NONE);
        let bytes = gap.to_bytes().unwrap();
        assert_eq!(ProducerBatch::of(&BatchView::parse(&bytes).unwrap()).unwrap(), None);
    }
}
