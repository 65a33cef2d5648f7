//! Which producers may begin a transaction here (KIP-890).
//!
//! ```text
//!   guard given ─▶ coordinator: is the partition in the transaction? ─▶ append with the guard
//!        └─── a transactional batch or a marker of the producer passes: the guard is spent ───┘
//! ```
//!
//! A batch that was on its way while its transaction was aborted would begin another one, which
//! nobody ends. So the first batch of a transaction needs a guard that was given since the last
//! marker. Source: Kafka `VerificationStateEntry`, `ProducerStateManager`.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::clock::Tick;
use crate::ids::{ProducerEpoch, ProducerId, Sequence};

/// The right to begin a transaction in one partition. Good for one transaction, and until a marker
/// of the producer comes in between.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct VerificationGuard(u64);

#[derive(Clone, Copy, Debug)]
struct Entry {
    guard: VerificationGuard,
    epoch: ProducerEpoch,
    /// The first sequence that anybody asked for: batches behind it have to wait.
    lowest: Sequence,
    since: Tick,
}

/// The guards that are out.
#[derive(Debug, Default)]
pub(crate) struct Verifications {
    entries: BTreeMap<ProducerId, Entry>,
    given: u64,
}

impl Verifications {
    /// A guard for the batch of `producer_id` that begins with `sequence`; the one that is out, if
    /// there is one.
    pub(crate) fn begin(
        &mut self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        sequence: Sequence,
        now: Tick,
        expiration: Duration,
    ) -> VerificationGuard {
        if !self.entries.contains_key(&producer_id) {
            self.entries.retain(|_, entry| now < entry.since.after(expiration));
            self.given += 1;
        }
        let guard = VerificationGuard(self.given);
        let entry = self.entries.entry(producer_id).or_insert(Entry {
            guard,
            epoch,
            lowest: sequence,
            since: now,
        });
        if epoch > entry.epoch {
            (entry.epoch, entry.lowest) = (epoch, sequence);
        } else if epoch == entry.epoch {
            entry.lowest =
                if sequence.get() < entry.lowest.get() { sequence } else { entry.lowest };
        }
        entry.guard
    }

    /// Whether `guard` is the one that is out for `producer_id`.
    pub(crate) fn holds(&self, producer_id: ProducerId, guard: VerificationGuard) -> bool {
        self.entries.get(&producer_id).is_some_and(|entry| entry.guard == guard)
    }

    /// The sequence that has to come before any larger one, while a guard is out for that epoch.
    pub(crate) fn lowest(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> Option<Sequence> {
        let entry = self.entries.get(&producer_id)?;
        (entry.epoch == epoch).then_some(entry.lowest)
    }

    /// A transactional batch or a marker of `producer_id` has passed.
    pub(crate) fn end(&mut self, producer_id: ProducerId) {
        self.entries.remove(&producer_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn id(id: i64) -> ProducerId {
        ProducerId::new(id).unwrap()
    }

    fn begin(of: &mut Verifications, epoch: i16, sequence: i32, now: u64) -> VerificationGuard {
        let epoch = ProducerEpoch::new(epoch).unwrap();
        let sequence = Sequence::new(sequence).unwrap();
        of.begin(id(1), epoch, sequence, Tick::from_nanos(now), DAY)
    }

    fn lowest(of: &Verifications, epoch: i16) -> Option<i32> {
        of.lowest(id(1), ProducerEpoch::new(epoch).unwrap()).map(Sequence::get)
    }

    #[test]
    fn d17_an_entry_keeps_its_guard_and_takes_lower_sequences_and_later_epochs() {
        let mut of = Verifications::default();
        let guard = begin(&mut of, 0, 1, 0);
        assert_eq!(begin(&mut of, 0, 0, 0), guard);
        assert_eq!(lowest(&of, 0), Some(0));
        assert_eq!(begin(&mut of, 1, 2, 0), guard);
        assert_eq!((lowest(&of, 0), lowest(&of, 1)), (None, Some(2)));
        assert_eq!(begin(&mut of, 0, 0, 0), guard);
        assert_eq!(lowest(&of, 1), Some(2), "an old epoch is ignored");
        assert!(of.holds(id(1), guard) && !of.holds(id(2), guard));
    }

    #[test]
    fn d18_a_guard_that_nobody_used_expires() {
        let mut of = Verifications::default();
        let guard = begin(&mut of, 0, 0, 0);
        let later = u64::try_from(DAY.as_nanos()).unwrap();
        of.begin(
            id(2),
            ProducerEpoch::new(0).unwrap(),
            Sequence::ZERO,
            Tick::from_nanos(later),
            DAY,
        );
        assert!(!of.holds(id(1), guard));
        let another = begin(&mut of, 0, 0, later);
        assert_ne!(another, guard);
        of.end(id(1));
        assert!(!of.holds(id(1), another), "spent");
    }
}
