//! The producers' state as bytes of ours: everything, all five batches and append ages included.
//!
//! ```text
//!   ONCEPRD1 │ u32 producers │ i64 largest id │ producers, ascending by id │ CRC-32 of all above
//!
//!   producer  i64 id │ i16 epoch │ i32 coordinator epoch │ i64 first offset of open transaction
//!             i64 last timestamp │ u32 age in seconds │ u8 batches │ batches, newest first
//!   batch     i64 last offset │ i64 timestamp │ i32 last sequence │ i32 offset delta
//! ```
//!
//! Kafka's own snapshot keeps one batch and no append time ([`crate::format::snapshot`]). An age,
//! not a time: a clock that is set while the log is closed ages nobody (I8).

use super::entry::{BATCHES_MAX, Batch, Entry, NO_BLOCK, OLDER_MAX, Stamp};
use super::pages::Pages;
use super::{ProducerLimits, Producers};
use crate::clock::Tick;
use crate::format::snapshot::SnapshotEntry;
use crate::ids::{Offset, TimestampMs};
use crate::int::{u32_saturated, usize_from_u32};

const MAGIC: [u8; 8] = *b"ONCEPRD1";
const HEAD_BYTES: usize = 8 + 4 + 8;
const PRODUCER_BYTES: usize = 8 + 2 + 4 + 8 + 8 + 4 + 1;
const BATCH_BYTES: usize = 8 + 8 + 4 + 4;
const SUM_BYTES: usize = 4;
/// Producers of a large state: a millisecond to encode.
const LARGE: u32 = 10_000;

/// Why bytes are no producers' state.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum StateError {
    /// Too short, of another kind, or damaged.
    #[error("{0}")]
    Frame(&'static str),
    /// A value that no producer can have.
    #[error("producer {index} of {count}: {what}")]
    Producer { index: u32, count: u32, what: &'static str },
}

/// The state as it was at one moment, shared with the living one until that changes.
#[derive(Clone, Debug)]
pub(crate) struct Frozen {
    entries: Pages<Entry>,
    older: Pages<[Batch; OLDER_MAX]>,
    largest_id: i64,
    now: Tick,
}

impl Frozen {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) const fn older(&self) -> &Pages<[Batch; OLDER_MAX]> {
        &self.older
    }

    /// Whether writing it down takes so long that appends should not wait for it.
    pub(crate) fn is_large(&self) -> bool {
        self.entries.len() >= LARGE
    }

    /// Whether there never was a producer, so that nothing need be written.
    pub(crate) fn is_blank(&self) -> bool {
        self.largest_id < 0
    }

    /// What Kafka's snapshot file says of them, ascending by id.
    pub(crate) fn snapshot_entries(&self) -> Vec<SnapshotEntry> {
        let mut entries: Vec<SnapshotEntry> = self.entries.iter().map(snapshot_entry).collect();
        entries.sort_unstable_by_key(|entry| entry.producer_id);
        entries
    }

    /// All of it as bytes.
    #[cfg(test)]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append_to(&mut bytes);
        bytes
    }

    /// Puts all of it behind what `bytes` holds; equal states of equal ages give equal bytes.
    pub(crate) fn append_to(&self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        let mut order: Vec<&Entry> = self.entries.iter().collect();
        order.sort_unstable_by_key(|entry| entry.producer_id);
        let batches: usize = order.iter().map(|entry| usize::from(entry.batches)).sum();
        let capacity =
            HEAD_BYTES + order.len() * PRODUCER_BYTES + batches * BATCH_BYTES + SUM_BYTES;
        bytes.reserve_exact(capacity);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&u32_saturated(order.len()).to_be_bytes());
        bytes.extend_from_slice(&self.largest_id.to_be_bytes());
        for entry in order {
            bytes.extend_from_slice(&entry.producer_id.to_be_bytes());
            bytes.extend_from_slice(&entry.epoch.to_be_bytes());
            bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
            bytes.extend_from_slice(&entry.txn_first_offset.to_be_bytes());
            bytes.extend_from_slice(&entry.last_timestamp.to_be_bytes());
            bytes.extend_from_slice(&entry.appended.age(self.now).to_be_bytes());
            bytes.push(entry.batches);
            for batch in batches_of(entry, &self.older) {
                bytes.extend_from_slice(&batch.last_offset.to_be_bytes());
                bytes.extend_from_slice(&batch.timestamp.to_be_bytes());
                bytes.extend_from_slice(&batch.last_sequence.to_be_bytes());
                bytes.extend_from_slice(&batch.offset_delta.to_be_bytes());
            }
        }
        let sum = crc32fast::hash(bytes.get(start..).unwrap_or_default());
        bytes.extend_from_slice(&sum.to_be_bytes());
    }
}

/// The batches remembered for `entry`, newest first.
pub(super) fn batches_of<'a>(
    entry: &'a Entry,
    older: &'a Pages<[Batch; OLDER_MAX]>,
) -> impl Iterator<Item = &'a Batch> {
    let older = older.get(entry.older).into_iter().flatten();
    entry.last().into_iter().chain(older).take(entry.batches.into())
}

fn snapshot_entry(entry: &Entry) -> SnapshotEntry {
    let last = entry.last();
    SnapshotEntry {
        producer_id: entry.producer_id(),
        producer_epoch: entry.epoch(),
        last_sequence: last.map_or(crate::ids::Sequence::NONE, Batch::last_sequence),
        last_offset: last.map(Batch::last_offset),
        offset_delta: last.map_or(0, |last| last.offset_delta),
        timestamp: TimestampMs::new(entry.last_timestamp),
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_first_offset: entry.txn_first_offset(),
    }
}

impl Producers {
    /// The state as of `now`, to be written while appends go on.
    pub(crate) fn freeze(&self, now: Tick) -> Frozen {
        Frozen {
            entries: self.entries.clone(),
            older: self.older.clone(),
            largest_id: self.largest_id,
            now,
        }
    }

    /// Reads what [`Frozen::append_to`] wrote of a log that ended at `end`. Producers that are too old
    /// by now are left out.
    ///
    /// # Errors
    ///
    /// [`StateError`] for bytes that are anything else. Memory and time are bounded by the bytes
    /// given.
    pub(crate) fn from_bytes(
        bytes: &[u8],
        end: Offset,
        limits: ProducerLimits,
        seed: u64,
        now: Tick,
    ) -> Result<Self, StateError> {
        let count = checked(bytes)?;
        let mut reader = Reader(bytes.get(MAGIC.len() + 4..bytes.len() - SUM_BYTES).unwrap_or(&[]));
        let largest_id = reader.i64().ok_or(StateError::Frame("it is cut off"))?;
        let mut producers = Self::new(limits, seed);
        producers.table.reserve(usize_from_u32(count));
        let mut before = -1;
        for index in 0..count {
            let broken = |what| StateError::Producer { index, count, what };
            let (entry, older) = reader.producer(now).ok_or(broken("it is cut off"))?;
            sound(&entry, &older, end).map_err(broken)?;
            if entry.producer_id <= before {
                return Err(broken("its id does not ascend"));
            }
            before = entry.producer_id;
            if !producers.restore(entry, older, now) {
                return Err(broken("another transaction began at its transaction's first offset"));
            }
        }
        if !reader.0.is_empty() {
            return Err(StateError::Frame("something follows the last producer"));
        }
        producers.largest_id = producers.largest_id.max(largest_id).max(before);
        Ok(producers)
    }

    /// The state that Kafka's snapshot at `end` describes: one batch each, and nobody aged.
    ///
    /// # Errors
    ///
    /// [`StateError::Producer`] for what no log that ends at `end` can have left behind.
    pub(crate) fn from_snapshot(
        entries: &[SnapshotEntry],
        end: Offset,
        limits: ProducerLimits,
        seed: u64,
        now: Tick,
    ) -> Result<Self, StateError> {
        let mut producers = Self::new(limits, seed);
        let count = u32_saturated(entries.len());
        producers.table.reserve(entries.len());
        for (index, snapshot) in (0..).zip(entries) {
            let broken = |what| StateError::Producer { index, count, what };
            let last = snapshot.last_offset.map(|last_offset| Batch {
                last_offset: last_offset.get(),
                timestamp: snapshot.timestamp.get(),
                last_sequence: snapshot.last_sequence.get(),
                offset_delta: snapshot.offset_delta,
            });
            let entry = Entry {
                epoch: snapshot.producer_epoch.get(),
                last_timestamp: snapshot.timestamp.get(),
                txn_first_offset: snapshot.current_txn_first_offset.map_or(-1, Offset::get),
                coordinator_epoch: snapshot.coordinator_epoch,
                appended: Stamp::at(now),
                batches: u8::from(last.is_some()),
                last: last.unwrap_or_default(),
                ..Entry::new(snapshot.producer_id.get())
            };
            sound(&entry, &[], end).map_err(broken)?;
            if producers.find(snapshot.producer_id).is_some() {
                return Err(broken("its id was there before"));
            }
            if !producers.restore(entry, Vec::new(), now) {
                return Err(broken("another transaction began at its transaction's first offset"));
            }
        }
        Ok(producers)
    }

    /// Adds an entry that was read; `false` if its transaction contradicts another one.
    fn restore(&mut self, entry: Entry, older: Vec<Batch>, now: Tick) -> bool {
        self.largest_id = self.largest_id.max(entry.producer_id);
        let first = entry.txn_first_offset();
        if first.is_none() && entry.appended.is_expired(now, self.limits.expiration) {
            return true;
        }
        let index = self.add(entry.producer_id());
        let block = if older.is_empty() {
            NO_BLOCK
        } else {
            let mut block = [Batch::default(); OLDER_MAX];
            block.iter_mut().zip(older).for_each(|(place, batch)| *place = batch);
            self.older.push(block)
        };
        if let Some(place) = self.entries.get_mut(index) {
            *place = Entry { older: block, ..entry };
        }
        first.is_none_or(|first| self.transactions.begin(first, entry.producer_id()))
    }
}

/// Checks frame and sum; returns how many producers there should be.
fn checked(bytes: &[u8]) -> Result<u32, StateError> {
    if bytes.len() < HEAD_BYTES + SUM_BYTES {
        return Err(StateError::Frame("it is too short"));
    }
    if !bytes.starts_with(&MAGIC) {
        return Err(StateError::Frame("it does not begin with ONCEPRD1"));
    }
    let (summed, sum) = bytes.split_at(bytes.len() - SUM_BYTES);
    if sum.first_chunk().map(|sum| u32::from_be_bytes(*sum)) != Some(crc32fast::hash(summed)) {
        return Err(StateError::Frame("its checksum is wrong"));
    }
    let count = Reader(summed.get(MAGIC.len()..).unwrap_or_default()).u32().unwrap_or(u32::MAX);
    if usize_from_u32(count) > bytes.len() / PRODUCER_BYTES {
        return Err(StateError::Frame("it is shorter than its producers"));
    }
    Ok(count)
}

/// Refuses what no log that ends at `end` can have left behind.
fn sound(entry: &Entry, older: &[Batch], end: Offset) -> Result<(), &'static str> {
    let last = entry.last();
    let mut above = end.get();
    for batch in last.into_iter().chain(older) {
        let spans = batch.offset_delta >= 0 && batch.last_offset >= i64::from(batch.offset_delta);
        if !spans || batch.last_sequence < -1 {
            return Err("a batch has a negative offset, length or sequence");
        }
        if batch.last_offset >= above {
            return Err("its batches do not ascend, or reach past the end");
        }
        above = batch.last_offset - i64::from(batch.offset_delta);
    }
    if entry.producer_id < 0 {
        return Err("its id is negative");
    }
    if entry.epoch < -1 || entry.coordinator_epoch < -1 || entry.txn_first_offset < -1 {
        return Err("an epoch or an offset is below −1");
    }
    if entry.txn_first_offset >= end.get() {
        return Err("its transaction begins past the end");
    }
    Ok(())
}

/// Numbers off the front of bytes.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_be_bytes)
    }

    fn batch(&mut self) -> Option<Batch> {
        Some(Batch {
            last_offset: self.i64()?,
            timestamp: self.i64()?,
            last_sequence: self.i32()?,
            offset_delta: self.i32()?,
        })
    }

    /// One producer and its older batches.
    fn producer(&mut self, now: Tick) -> Option<(Entry, Vec<Batch>)> {
        let mut entry = Entry::new(self.i64()?);
        entry.epoch = i16::from_be_bytes(self.take()?);
        entry.coordinator_epoch = self.i32()?;
        entry.txn_first_offset = self.i64()?;
        entry.last_timestamp = self.i64()?;
        entry.appended = Stamp::aged(now, self.u32()?);
        let [batches] = self.take()?;
        if usize::from(batches) > BATCHES_MAX {
            return None;
        }
        entry.batches = batches;
        let mut older = Vec::new();
        for number in 0..batches {
            let batch = self.batch()?;
            if number == 0 {
                entry.last = batch;
            } else {
                older.push(batch);
            }
        }
        Some((entry, older))
    }
}

#[cfg(test)]
mod tests {
    use super::super::twin::{limits, plain};
    use super::*;
    use crate::model::producers::{Origin, Verdict};
    use core::time::Duration;
    use proptest::prelude::*;

    fn filled(producers: i64, batches: i32) -> (Producers, Offset) {
        let mut state = Producers::new(limits(), 3);
        let mut end = Offset::ZERO;
        for round in 0..batches {
            for id in 0..producers {
                state.replay(&plain(id, 0, round * 2, 2), end, Tick::default());
                end = end.checked_add(2).unwrap();
            }
        }
        (state, end)
    }

    #[test]
    fn everything_reads_back_with_all_five_batches_and_its_age() {
        let (state, end) = filled(300, 7);
        let later = Tick::default().after(Duration::from_secs(40));
        let bytes = state.freeze(later).to_bytes();
        assert_eq!(bytes.len(), HEAD_BYTES + 300 * (PRODUCER_BYTES + 5 * BATCH_BYTES) + SUM_BYTES);
        let read = Producers::from_bytes(&bytes, end, limits(), 99, Tick::default()).unwrap();
        assert_eq!(read.freeze(later).describe(), state.freeze(later).describe());
        assert_eq!(read.largest_id(), state.largest_id());
        assert_eq!(read.freeze(Tick::default()).to_bytes(), bytes, "40 s old, as it was");
        let expired = later.after(Duration::from_secs(20));
        assert_eq!(state.freeze(expired).to_bytes().len(), bytes.len());
        let old = state.freeze(expired).to_bytes();
        let read = Producers::from_bytes(&old, end, limits(), 99, Tick::default()).unwrap();
        assert_eq!((read.len(), read.largest_id()), (0, state.largest_id()), "60 s old: expired");
    }

    #[test]
    fn a_snapshot_shares_what_does_not_change_and_keeps_what_does() {
        let (mut state, end) = filled(2000, 2);
        let frozen = state.freeze(Tick::default());
        let before = frozen.to_bytes();
        let batch = plain(77, 0, 4, 1);
        let Ok(Verdict::Append(place)) = state.check(&batch, Origin::Client) else { panic!() };
        state.apply(place, &batch, end, Tick::default());
        assert_eq!(frozen.to_bytes(), before);
        assert_ne!(state.freeze(Tick::default()).to_bytes(), before);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let (state, end) = filled(3, 3);
        let bytes = state.freeze(Tick::default()).to_bytes();
        let read = |bytes: &[u8]| {
            Producers::from_bytes(bytes, end, limits(), 0, Tick::default()).map(|state| state.len())
        };
        assert_eq!(read(&bytes), Ok(3));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            assert!(read(&changed).is_err(), "byte {at}");
            assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_state_that_reaches_past_its_log_is_refused() {
        let (state, end) = filled(3, 3);
        let bytes = state.freeze(Tick::default()).to_bytes();
        let short = end.checked_add(-1).unwrap();
        let read = Producers::from_bytes(&bytes, short, limits(), 0, Tick::default());
        assert!(matches!(read, Err(StateError::Producer { index: 2, count: 3, .. })));
        let entries = state.freeze(Tick::default()).snapshot_entries();
        let read = Producers::from_snapshot(&entries, short, limits(), 0, Tick::default());
        assert!(matches!(read, Err(StateError::Producer { index: 2, .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_value_or_an_error(
            body in prop::collection::vec(any::<u8>(), 0..300),
            count in 0..9_u32,
        ) {
            let mut bytes = MAGIC.to_vec();
            bytes.extend_from_slice(&count.to_be_bytes());
            bytes.extend_from_slice(&body);
            let mut summed = bytes.clone();
            summed.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
            for bytes in [&body, &bytes, &summed] {
                let _any = Producers::from_bytes(bytes, Offset::MAX, limits(), 0, Tick::default());
            }
        }
    }
}
