//! The sequence index of a partition: what it remembers of each producer, so that a batch sent
//! again is stored once (Kafka `ProducerStateManager`, KIP-98).
//!
//! ```text
//!   check   batch ─▶ Append(place) | Duplicate(original) | refusal      nothing changes
//!   apply   place, batch, offset   after the batch has its place in the log; cannot fail
//!   replay  check-free apply       for what already is in a log
//!
//!   Table: id ─▶ index     Entries: 64 bytes each     Older: 96 bytes from the second batch on
//! ```
//!
//! Invariants:
//! 1. A sequence is remembered only with its batch: `apply` follows the batch into the log under
//!    the same lock, or the partition is poisoned (S15).
//! 2. Batches remembered for a producer are of its current epoch, at most five, newest first.
//! 3. Expiry goes by elapsed time since the append, and spares open transactions (I8).

use core::time::Duration;

use crate::clock::Tick;
use crate::ids::{Offset, ProducerEpoch, ProducerId};
use crate::model::transactions::{CompletedTransaction, Transactions};

mod batch;
mod bytes;
mod entry;
mod info;
mod pages;
mod table;
mod verdict;

#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod twin;

pub(crate) use batch::{Content, ProducerBatch};
pub(crate) use bytes::Frozen;
pub(crate) use entry::Batch;
pub use info::{ProducerInfo, RememberedBatch};
pub(crate) use verdict::{Original, Place, Verdict};

use bytes::batches_of;
use entry::{BATCHES_MAX, Entry, NO_BLOCK, OLDER_MAX, Stamp};
use pages::Pages;
use table::Table;

/// Entries looked at for expiry by one append.
const SWEEP_ENTRIES: u32 = 16;
/// A sweep over all entries begins this many times within the expiration time.
const SWEEPS: u32 = 16;
/// Time between two looks through a full index.
const ROOM_RETRY: Duration = Duration::from_secs(10);

/// Who appends, and so what is checked (Kafka `AppendOrigin`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// A producer: everything.
    Client,
    /// The log's own markers and commits: epochs, no sequences.
    Coordinator,
    /// What another log took: only that it can be read back.
    Replication,
}

/// The bounds of a partition's memory of producers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProducerLimits {
    /// A producer that appended nothing for so long is forgotten (`producer.id.expiration.ms`).
    pub(crate) expiration: Duration,
    /// No client's producer is added to so many.
    pub(crate) producers_max: u32,
    /// Whether a client of which nothing is known may begin at any sequence, as in Kafka.
    pub(crate) accept_unknown: bool,
}

/// The producers of one partition.
#[derive(Debug)]
pub(crate) struct Producers {
    limits: ProducerLimits,
    table: Table,
    entries: Pages<Entry>,
    older: Pages<[Batch; OLDER_MAX]>,
    /// The first free block of `older`; a free block names the next one.
    free: u32,
    transactions: Transactions,
    /// The largest producer id ever seen, −1 for none.
    largest_id: i64,
    /// The entry that the sweep looks at next, while one is under way.
    sweep_at: Option<u32>,
    next_sweep: Tick,
    /// When a full index is looked through again.
    next_room: Tick,
}

impl Producers {
    /// Nobody yet. `seed` makes the table's order unforeseeable, and nothing else.
    pub(crate) const fn new(limits: ProducerLimits, seed: u64) -> Self {
        Self {
            limits,
            table: Table::new(seed),
            entries: Pages::new(),
            older: Pages::new(),
            free: NO_BLOCK,
            transactions: Transactions::new(),
            largest_id: -1,
            sweep_at: None,
            next_sweep: Tick::from_nanos(0),
            next_room: Tick::from_nanos(0),
        }
    }

    /// Producers known.
    pub(crate) fn len(&self) -> u32 {
        self.entries.len()
    }

    /// The largest producer id ever seen here.
    pub(crate) const fn largest_id(&self) -> Option<ProducerId> {
        match ProducerId::new(self.largest_id) {
            Some(id) if id.is_some() => Some(id),
            _ => None,
        }
    }

    pub(crate) const fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Markers below `high_watermark` can no longer be lost.
    pub(crate) fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.transactions.on_high_watermark(high_watermark);
    }

    /// The decision behind a marker is durable elsewhere.
    pub(crate) fn on_decided(&mut self, ended: &CompletedTransaction) {
        self.transactions.on_decided(ended);
    }

    /// Whether the producer has a transaction open here, begun under `epoch`.
    pub(crate) fn is_in_transaction(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.find(producer_id)
            .is_some_and(|(_, entry)| entry.epoch() == epoch && entry.txn_first_offset().is_some())
    }

    /// Bytes of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes() + self.entries.memory_bytes() + self.older.memory_bytes()
    }

    #[inline]
    fn find(&self, producer_id: ProducerId) -> Option<(u32, &Entry)> {
        let id = producer_id.get();
        let is_it = |index| self.entries.get(index).is_some_and(|entry| entry.producer_id == id);
        let index = self.table.find(self.table.tag(id), is_it)?;
        Some((index, self.entries.get(index)?))
    }

    /// The batches remembered for `entry`, newest first.
    fn batches<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Batch> {
        batches_of(entry, &self.older)
    }

    /// Takes `batch` in, which now stands at `base_offset`. `place` is what [`Self::check`] said
    /// under the same lock.
    pub(crate) fn apply(
        &mut self,
        place: Place,
        batch: &ProducerBatch,
        base_offset: Offset,
        now: Tick,
    ) -> Option<CompletedTransaction> {
        let index = place.0.unwrap_or_else(|| self.add(batch.producer_id));
        let mut entry = *self.entries.get(index)?;
        let last_offset = batch.last_offset(base_offset);
        if entry.epoch != batch.producer_epoch.get() {
            // Batches of an earlier epoch are forgotten.
            entry.epoch = batch.producer_epoch.get();
            entry.batches = 0;
            self.free_block(core::mem::replace(&mut entry.older, NO_BLOCK));
        }
        entry.last_timestamp = batch.max_timestamp.get();
        entry.appended = Stamp::at(now);
        let completed = match (batch.content, entry.txn_first_offset()) {
            (Content::Marker(marker), first) => {
                entry.txn_first_offset = -1;
                entry.coordinator_epoch = marker.coordinator_epoch;
                let (id, result) = (batch.producer_id, marker.result);
                first.map(|first| self.transactions.end(id, first, last_offset, result))
            }
            (Content::Transactional, None) => {
                entry.txn_first_offset = base_offset.get();
                let alone = self.transactions.begin(base_offset, batch.producer_id);
                debug_assert!(alone, "two batches at offset {base_offset}");
                None
            }
            (Content::Plain, _) | (Content::Transactional, Some(_)) => None,
        };
        if !matches!(batch.content, Content::Marker(_)) {
            self.push_older(&mut entry);
            entry.last = Batch {
                last_offset: last_offset.get(),
                timestamp: batch.max_timestamp.get(),
                last_sequence: batch.last_sequence().get(),
                offset_delta: batch.last_offset_delta,
            };
            entry.batches = (entry.batches + 1).min(u8::try_from(BATCHES_MAX).unwrap_or(u8::MAX));
        }
        if let Some(place) = self.entries.get_mut(index) {
            *place = entry;
        }
        self.check_state(index);
        completed
    }

    /// Takes in a batch that a log already holds. Its epoch and sequence are what they are: a
    /// replica or a recovery must read whatever was accepted once.
    pub(crate) fn replay(
        &mut self,
        batch: &ProducerBatch,
        base_offset: Offset,
        now: Tick,
    ) -> Option<CompletedTransaction> {
        let place = Place(self.find(batch.producer_id).map(|(index, _)| index));
        self.apply(place, batch, base_offset, now)
    }

    /// Forgets producers that appended nothing for too long, a few at a time: an append calls this.
    #[inline]
    pub(crate) fn sweep(&mut self, now: Tick) {
        if self.sweep_at.is_some() || now >= self.next_sweep {
            self.sweep_some(now, SWEEP_ENTRIES);
        }
    }

    /// The same for all of them at once, where there is no room for another; not for every
    /// producer that comes in vain. Says whether there is room now.
    pub(crate) fn make_room(&mut self, now: Tick) -> bool {
        if now >= self.next_room {
            self.expire(now);
            self.next_room = now.after(ROOM_RETRY);
        }
        self.len() < self.limits.producers_max
    }

    /// The same for all of them at once.
    fn expire(&mut self, now: Tick) {
        self.sweep_at = Some(0);
        self.sweep_some(now, u32::MAX);
    }

    fn sweep_some(&mut self, now: Tick, entries: u32) {
        let mut at = self.sweep_at.unwrap_or(0);
        for _ in 0..entries {
            let Some(entry) = self.entries.get(at) else {
                self.sweep_at = None;
                self.next_sweep = now.after(self.limits.expiration / SWEEPS);
                return;
            };
            let open = entry.txn_first_offset().is_some();
            if !open && entry.appended.is_expired(now, self.limits.expiration) {
                // The last entry takes its place and is looked at next.
                self.remove(at);
            } else {
                at += 1;
            }
        }
        self.sweep_at = Some(at);
    }

    /// Takes over when the producers of `older` appended last, of those that did nothing since.
    pub(crate) fn adopt_ages(&mut self, older: &Self) {
        let news = |entry: &Entry| {
            (entry.epoch, entry.last().copied(), entry.last_timestamp, entry.coordinator_epoch)
        };
        for entry in older.entries.iter() {
            let found = self.find(entry.producer_id());
            if let Some((index, _)) = found.filter(|(_, mine)| news(mine) == news(entry))
                && let Some(mine) = self.entries.get_mut(index)
            {
                mine.appended = mine.appended.min(entry.appended);
            }
        }
    }

    fn add(&mut self, producer_id: ProducerId) -> u32 {
        let id = producer_id.get();
        self.largest_id = self.largest_id.max(id);
        let index = self.entries.push(Entry::new(id));
        self.table.insert(self.table.tag(id), index);
        index
    }

    /// Takes the entry at `index` out; the last one takes its place.
    fn remove(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index).copied() else { return };
        self.free_block(entry.older);
        self.table.remove(self.table.tag(entry.producer_id), index);
        let Some(moved) = self.entries.pop() else { return };
        if let Some(place) = self.entries.get_mut(index) {
            *place = moved;
            self.table.renumber(self.table.tag(moved.producer_id), self.entries.len(), index);
        }
    }

    /// Puts the last batch of `entry` in front of the older ones, the oldest of five is forgotten.
    fn push_older(&mut self, entry: &mut Entry) {
        let Some(before) = entry.last().copied() else { return };
        if entry.older == NO_BLOCK {
            entry.older = self.take_block();
        }
        if let Some(older) = self.older.get_mut(entry.older) {
            older.copy_within(..OLDER_MAX - 1, 1);
            older[0] = before;
        }
    }

    fn take_block(&mut self) -> u32 {
        let Some([next, ..]) = self.older.get_mut(self.free) else {
            return self.older.push([Batch::default(); OLDER_MAX]);
        };
        let next = u32::try_from(next.last_offset).unwrap_or(NO_BLOCK);
        core::mem::replace(&mut self.free, next)
    }

    fn free_block(&mut self, block: u32) {
        if let Some(older) = self.older.get_mut(block) {
            older[0].last_offset = self.free.into();
            self.free = block;
        }
    }

    /// Invariant 2, of the entry that was just changed.
    fn check_state(&self, index: u32) {
        if cfg!(debug_assertions)
            && let Some(entry) = self.entries.get(index)
        {
            assert_eq!(self.find(entry.producer_id()).map(|found| found.0), Some(index));
            assert_eq!(self.batches(entry).count(), usize::from(entry.batches));
            assert_eq!(self.table.len(), self.entries.len());
            let offsets: Vec<i64> = self.batches(entry).map(|batch| batch.last_offset).collect();
            assert!(offsets.is_sorted_by(|newer, older| newer > older), "{offsets:?}");
        }
    }
}
