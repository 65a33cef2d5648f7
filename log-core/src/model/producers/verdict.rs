//! What becomes of a producer's batch, before anything has changed.
//!
//! ```text
//!   epoch     lower          fenced             higher        sequence must begin at 0
//!   sequence  next one       append             remembered    duplicate, with its offsets
//!             ahead          out of order       before what is remembered    stale duplicate
//!             across it      out of order       nothing known                unknown producer
//! ```
//!
//! The order of the checks is that of Kafka's `ProducerAppendInfo`. Two answers differ. A batch
//! older than the last five is told from a gap (`DuplicateSequence`), as brokers before 1.1 did;
//! Kafka says out of order to both. And a client of which nothing is known must begin at sequence 0
//! unless the settings say otherwise: Kafka accepts any number, and leaves it to its client to send
//! the batches of a lost flight in order.

use std::collections::BTreeMap;

use super::entry::{Batch, Entry};
use super::{Content, Origin, ProducerBatch, Producers};
use crate::error::NotAppended;
use crate::ids::{Offset, Sequence, TimestampMs};

/// Where the producer's entry is, if there is one. Good until the producers change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place(pub(super) Option<u32>);

/// A batch as it was appended the first time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Original {
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) timestamp: TimestampMs,
}

/// What becomes of a batch that is not refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It goes into the log.
    Append(Place),
    /// It is in the log.
    Duplicate(Original),
}

impl Producers {
    /// Says what becomes of `batch`. Changes nothing.
    ///
    /// # Errors
    ///
    /// Why it is refused: one of the producer's variants of [`NotAppended`].
    #[inline]
    pub(crate) fn check(
        &self,
        batch: &ProducerBatch,
        origin: Origin,
    ) -> Result<Verdict, NotAppended> {
        let Some((index, entry)) = self.find(batch.producer_id) else {
            return self.check_unknown(batch, origin);
        };
        let append = Verdict::Append(Place(Some(index)));
        match batch.content {
            Content::Marker(_) if origin == Origin::Replication => return Ok(append),
            Content::Marker(marker) => {
                let (current, found) = (entry.coordinator_epoch, marker.coordinator_epoch);
                check_epoch(entry, batch)?;
                if found < current {
                    let producer_id = batch.producer_id;
                    return Err(NotAppended::TransactionCoordinatorFenced {
                        producer_id,
                        current,
                        found,
                    });
                }
                return Ok(append);
            }
            Content::Plain | Content::Transactional => {}
        }
        match origin {
            Origin::Client => {
                if let Some(original) = self.check_sequence(entry, batch)? {
                    return Ok(Verdict::Duplicate(original));
                }
            }
            Origin::Coordinator => check_epoch(entry, batch)?,
            Origin::Replication => {}
        }
        match entry.txn_first_offset() {
            Some(first) if batch.content == Content::Plain => {
                Err(NotAppended::InvalidTxnState { producer_id: batch.producer_id, first })
            }
            _ => Ok(append),
        }
    }

    /// Says whether batches that keep their offsets can be taken, all of them. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`NotAppended::InvalidTxnState`], of the first that cannot.
    pub(crate) fn check_kept(
        &self,
        batches: &[(Offset, ProducerBatch)],
    ) -> Result<(), NotAppended> {
        if let [(_, batch)] = batches {
            return self.check(batch, Origin::Replication).map(drop);
        }
        let mut open = BTreeMap::new();
        for (base, batch) in batches {
            let producer_id = batch.producer_id;
            let first = open.entry(producer_id).or_insert_with(|| {
                self.find(producer_id).and_then(|(_, entry)| entry.txn_first_offset())
            });
            match (batch.content, *first) {
                (Content::Plain, Some(first)) => {
                    return Err(NotAppended::InvalidTxnState { producer_id, first });
                }
                (Content::Transactional, None) => *first = Some(*base),
                (Content::Marker(_), _) => *first = None,
                (Content::Plain, None) | (Content::Transactional, Some(_)) => {}
            }
        }
        Ok(())
    }

    fn check_unknown(&self, batch: &ProducerBatch, origin: Origin) -> Result<Verdict, NotAppended> {
        let producer_id = batch.producer_id;
        if origin == Origin::Client {
            let found = batch.base_sequence;
            if found != Sequence::ZERO && !self.limits.accept_unknown {
                return Err(NotAppended::UnknownProducerId { producer_id, found });
            }
            let limit = self.limits.producers_max;
            if self.entries.len() >= limit {
                return Err(NotAppended::ProducersFull { producer_id, limit });
            }
        }
        Ok(Verdict::Append(Place(None)))
    }

    /// Whether `batch` goes on from what `entry` remembers, or is in the log already.
    #[inline]
    fn check_sequence(
        &self,
        entry: &Entry,
        batch: &ProducerBatch,
    ) -> Result<Option<Original>, NotAppended> {
        let same_epoch = batch.producer_epoch == entry.epoch();
        let expected = if same_epoch { entry.next_sequence() } else { Sequence::ZERO };
        if batch.base_sequence == expected {
            check_epoch(entry, batch)?;
            return Ok(None);
        }
        check_epoch(entry, batch)?;
        if same_epoch {
            let twin = |known: &&Batch| {
                known.last_sequence() == batch.last_sequence()
                    && known.offset_delta == batch.last_offset_delta
            };
            if let Some(known) = self.batches(entry).find(twin) {
                return Ok(Some(Original {
                    base_offset: known.base_offset(),
                    last_offset: known.last_offset(),
                    timestamp: known.timestamp(),
                }));
            }
            if let Some(refusal) = self.stale(entry, batch, expected) {
                return Err(refusal);
            }
        }
        let (producer_id, found) = (batch.producer_id, batch.base_sequence);
        Err(NotAppended::OutOfOrderSequence { producer_id, expected, found })
    }

    /// The refusal of a batch that ends before everything remembered.
    fn stale(
        &self,
        entry: &Entry,
        batch: &ProducerBatch,
        expected: Sequence,
    ) -> Option<NotAppended> {
        let sequences = self.batches(entry).map(Batch::base_sequence);
        let oldest = sequences.filter(|sequence| *sequence != Sequence::NONE).last()?;
        let before =
            is_before(batch.base_sequence, expected) && is_before(batch.last_sequence(), oldest);
        before.then_some(NotAppended::DuplicateSequence {
            producer_id: batch.producer_id,
            oldest,
            found: batch.base_sequence,
        })
    }
}

fn check_epoch(entry: &Entry, batch: &ProducerBatch) -> Result<(), NotAppended> {
    let (current, found) = (entry.epoch(), batch.producer_epoch);
    if found < current {
        let producer_id = batch.producer_id;
        return Err(NotAppended::InvalidProducerEpoch { producer_id, current, found });
    }
    Ok(())
}

/// Whether `one` comes before `other`, where numbers go on from 0 after the largest: the way from
/// `one` to `other` is the shorter one, and not of length 0.
fn is_before(one: Sequence, other: Sequence) -> bool {
    let way = i64::from(other.get()) - i64::from(one.get());
    (1..1 << 30).contains(&way.rem_euclid(1 << 31))
}
