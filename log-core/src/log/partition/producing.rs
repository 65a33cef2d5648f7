//! The producers' part of an append: who wrote it, what the index says, what it then remembers.
//!
//! ```text
//!   outside the lock   headers ─▶ Producing
//!   under it           judge ─▶ goes into the log ─▶ remember          one lock from end to end
//!                        └ known: a ticket for where the first one stands, at the level asked for
//! ```
//!
//! A repetition is acknowledged no sooner than the batch it repeats would be (D9): its ticket waits
//! where that batch ends. And since a batch is judged and remembered under one lock, and a fault
//! takes the whole partition offline, no batch of a producer follows one that failed (I5).

use core::time::Duration;

use super::{By, Offsets, Partition, Prepared};
use crate::clock::Tick;
use crate::config::{Drive, Durability};
use crate::error::NotAppended;
use crate::format::{BatchView, Batches};
use crate::ids::{Offset, ProducerEpoch, Sequence};
use crate::log::head::Head;
use crate::log::ticket::{Appended, Ticket};
use crate::log::transactional::MarkerDecides;
use crate::model::producers::{Content, Origin, Original, Place, ProducerBatch, Verdict};
use crate::mutant::{self, Mutant};
use crate::segment::Segment;

/// The producers' part of one append call.
#[derive(Debug)]
pub(super) enum Producing {
    /// Nobody's batches.
    Nobody,
    /// One batch that gets its offset here.
    New(ProducerBatch, By),
    /// Batches that keep their offsets.
    Kept(Vec<(Offset, ProducerBatch)>),
}

/// What the index says to an append call.
pub(super) enum Judged {
    /// It goes into the log.
    Goes(Option<Place>),
    /// It is there.
    Known(Ticket),
}

impl Producing {
    /// Reads the headers of `prepared`.
    pub(super) fn of(prepared: &Prepared, by: By) -> Result<Self, NotAppended> {
        let mut found = Vec::new();
        for placed in Batches::new(&prepared.bytes).map_while(Result::ok) {
            let batch = ProducerBatch::of(&placed.batch)?;
            check(&placed.batch, batch.as_ref(), by.origin)?;
            let Some(batch) = batch else { continue };
            if matches!(prepared.offsets, Offsets::Next { .. }) {
                return Ok(Self::New(batch, by));
            }
            found.push((placed.batch.base_offset(), batch));
        }
        Ok(if found.is_empty() { Self::Nobody } else { Self::Kept(found) })
    }

    /// Remembers what was just given its place in `segment`, the first batch at `base`.
    pub(super) fn remember(
        &self,
        head: &mut Head,
        segment: &Segment,
        place: Option<Place>,
        base: Offset,
        now: Tick,
    ) {
        match self {
            Self::Nobody => {}
            Self::New(batch, by) => {
                let Some(place) = place else { return };
                if batch.content != Content::Plain {
                    head.verifications.end(batch.producer_id);
                }
                if let Some(ended) = head.producers.apply(place, batch, base, now) {
                    segment.index().write().on_end(&ended);
                    if by.decides == MarkerDecides::Nothing {
                        head.producers.on_decided(&ended);
                    }
                }
            }
            Self::Kept(batches) => {
                for (base, batch) in batches {
                    head.verifications.end(batch.producer_id);
                    if let Some(ended) = head.producers.replay(batch, *base, now) {
                        segment.index().write().on_end(&ended);
                    }
                }
            }
        }
    }
}

/// What a batch has to say of its producer (Kafka `LogValidator`, `DefaultRecordBatch`).
fn check(
    view: &BatchView<'_>,
    batch: Option<&ProducerBatch>,
    origin: Origin,
) -> Result<(), NotAppended> {
    let refuse = |reason: &str| Err(NotAppended::InvalidRecord { reason: reason.to_owned() });
    let Some(batch) = batch else {
        // A marker that was compacted away names its producer, and a control batch of KRaft is in
        // no transaction.
        let nobodys = view.is_transactional() && !view.producer_id().is_some();
        return if nobodys { refuse("it is transactional but names no producer") } else { Ok(()) };
    };
    if batch.producer_epoch == ProducerEpoch::NONE {
        return refuse("it names a producer but no epoch");
    }
    if origin != Origin::Client {
        return Ok(());
    }
    if batch.base_sequence == Sequence::NONE {
        return refuse("it names a producer but no sequence");
    }
    Ok(())
}

/// The first batch of a transaction needs a guard (KIP-890).
fn check_verified(head: &Head, batch: &ProducerBatch, by: By) -> Result<(), NotAppended> {
    let ProducerBatch { producer_id, producer_epoch, base_sequence: found, .. } = *batch;
    if by.origin != Origin::Client
        || batch.content != Content::Transactional
        || head.producers.is_in_transaction(producer_id, producer_epoch)
    {
        return Ok(());
    }
    if !by.guard.is_some_and(|guard| head.verifications.holds(producer_id, guard)) {
        return Err(NotAppended::TransactionNotVerified { producer_id });
    }
    match head.verifications.lowest(producer_id, producer_epoch) {
        Some(expected) if found.get() > expected.get() => {
            Err(NotAppended::OutOfOrderSequence { producer_id, expected, found })
        }
        _ => Ok(()),
    }
}

/// Longest flush interval at which the last flush was recent.
const RECENT: Duration = Duration::from_secs(1);

impl Partition {
    /// The time, or that of the last flush where a thread sees to it that this is recent: reading
    /// the clock for each append would cost as much as its verdict.
    pub(super) fn recently(&self, head: &Head) -> Tick {
        let flushed =
            self.shared.drive == Drive::Thread && self.shared.settings.flush_interval <= RECENT;
        let since = head.oldest_unflushed.filter(|_| flushed);
        since.unwrap_or_else(|| self.shared.clock.tick())
    }

    /// What becomes of an append call. Changes nothing but what is forgotten by age.
    pub(super) fn judge(
        &self,
        head: &mut Head,
        producing: &Producing,
        durability: Durability,
        now: Tick,
    ) -> Result<Judged, NotAppended> {
        let (batch, by) = match producing {
            Producing::Nobody => return Ok(Judged::Goes(None)),
            Producing::New(batch, by) => (batch, *by),
            Producing::Kept(batches) => {
                head.producers.check_kept(batches)?;
                return Ok(Judged::Goes(None));
            }
        };
        head.producers.sweep(now);
        let mut checked = head.producers.check(batch, by.origin);
        if matches!(checked, Err(NotAppended::ProducersFull { .. }))
            && head.producers.make_room(now)
        {
            checked = head.producers.check(batch, by.origin);
        }
        match checked? {
            Verdict::Append(place) => {
                check_verified(head, batch, by)?;
                if mutant::on(Mutant::SequenceWithoutBatch) {
                    let base = head.frontiers.log_end();
                    head.producers.apply(place, batch, base, now);
                }
                Ok(Judged::Goes(Some(place)))
            }
            Verdict::Duplicate(original) => {
                Ok(Judged::Known(self.known(head, original, durability)))
            }
        }
    }

    /// A ticket for a batch that is in the log already.
    fn known(&self, head: &mut Head, original: Original, durability: Durability) -> Ticket {
        let appended = Appended {
            base_offset: original.base_offset,
            last_offset: original.last_offset,
            max_timestamp: original.timestamp,
            batch_bytes: 0,
            duplicate: true,
        };
        let end = original.last_offset.checked_add(1).unwrap_or(original.last_offset);
        let reached = match durability {
            Durability::Buffered => head.frontiers.log_end(),
            Durability::Written => head.frontiers.written(),
            Durability::Synced => head.frontiers.durable(),
        };
        if end <= reached || mutant::on(Mutant::DuplicateBeforeOriginal) {
            return Ticket::done(appended);
        }
        self.enqueue(head, appended, end, durability)
    }
}
