//! One file: what reads see, what is on the medium, and what lies between.

use std::collections::BTreeSet;

use super::state::Random;
use crate::int::{u64_from, usize_from};

/// The unit that lands wholly or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// A file's two images.
#[derive(Debug, Default)]
pub(super) struct Image {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    /// Sectors that a failed sync left clean in the cache and absent from the medium.
    forsaken: BTreeSet<usize>,
    /// Sectors that hold flushed bytes: a torn write cannot turn them into garbage.
    flushed: BTreeSet<usize>,
    /// Each shrink that no sync has covered: when, and to which length.
    shrinks: Vec<(u64, usize)>,
    /// Counts changes of length, so that a sync knows which of them it covers.
    resized: u64,
}

/// What a sync will make durable: the state at its submission.
#[derive(Debug)]
pub(super) struct Snapshot {
    sectors: Vec<(usize, Vec<u8>)>,
    len: usize,
    shortest: usize,
    resized: u64,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        u64_from(self.live.len())
    }

    pub(super) fn live(&self) -> &[u8] {
        &self.live
    }

    /// A completed write of `bytes`.
    pub(super) fn write(&mut self, position: u64, bytes: &[u8]) {
        let from = usize_from(position);
        if self.live.len() < from + bytes.len() {
            self.live.resize(from + bytes.len(), 0);
            self.resized += 1;
        }
        if let Some(target) = self.live.get_mut(from..from + bytes.len()) {
            target.copy_from_slice(bytes);
        }
        for sector in sectors(from, bytes.len()) {
            self.dirty.insert(sector);
            self.forsaken.remove(&sector);
        }
    }

    /// A write of which each sector lands or does not.
    pub(super) fn write_torn(&mut self, position: u64, bytes: &[u8], random: &mut Random) {
        let mut at = position;
        for sector in bytes.chunks(SECTOR_BYTES) {
            if random.one_in(2) {
                self.write(at, sector);
            }
            at += u64_from(sector.len());
        }
    }

    pub(super) fn set_len(&mut self, bytes: u64) {
        let bytes = usize_from(bytes);
        self.resized += 1;
        if bytes < self.live.len() {
            self.shrinks.push((self.resized, bytes));
        }
        self.live.resize(bytes, 0);
        let beyond = bytes.div_ceil(SECTOR_BYTES);
        self.dirty.retain(|sector| *sector < beyond);
        self.forsaken.retain(|sector| *sector < beyond);
        if !bytes.is_multiple_of(SECTOR_BYTES) {
            // The kernel zeroes the rest of the last block when the file grows again.
            self.dirty.insert(bytes / SECTOR_BYTES);
        }
    }

    pub(super) fn drop_cache(&mut self) {
        for sector in core::mem::take(&mut self.forsaken) {
            let range = self.range(sector);
            let old = self.durable.get(range.clone()).unwrap_or_default().to_vec();
            if let Some(target) = self.live.get_mut(range) {
                target.fill(0);
                target.iter_mut().zip(old).for_each(|(target, byte)| *target = byte);
            }
        }
    }

    /// What a sync submitted now covers.
    pub(super) fn snapshot(&self) -> Snapshot {
        let sectors = self.dirty.iter().map(|sector| (*sector, self.sector(*sector)));
        Snapshot {
            sectors: sectors.collect(),
            len: self.live.len(),
            shortest: self.shortest(),
            resized: self.resized,
        }
    }

    /// The sync succeeded.
    pub(super) fn flushed(&mut self, snapshot: Snapshot) {
        self.durable.truncate(snapshot.shortest);
        self.durable.resize(snapshot.len, 0);
        self.shrinks.retain(|(when, _)| *when > snapshot.resized);
        for (sector, bytes) in snapshot.sectors {
            self.land(sector, &bytes);
            self.flushed.insert(sector);
            if self.sector(sector) == bytes {
                self.dirty.remove(&sector);
            }
        }
    }

    /// The sync failed: its sectors are clean now, and nowhere but in the cache.
    pub(super) fn forsake(&mut self, snapshot: Snapshot) {
        for (sector, _) in snapshot.sectors {
            if self.dirty.remove(&sector) {
                self.forsaken.insert(sector);
            }
        }
    }

    /// The sectors of a write that was its own flush, and the length to read them.
    pub(super) fn flush_range(&mut self, position: u64, len: usize) {
        let from = usize_from(position);
        // Changes of length are metadata, and the flush of a write takes them along.
        self.durable.truncate(self.shortest());
        self.durable.resize(self.live.len(), 0);
        self.shrinks.clear();
        for sector in sectors(from, len) {
            let bytes = self.sector(sector);
            self.land(sector, &bytes);
            self.flushed.insert(sector);
            self.dirty.remove(&sector);
        }
    }

    /// The power goes: what is left becomes the file.
    pub(super) fn cut(&mut self, random: &mut Random) {
        let resized = random.one_in(2);
        if resized {
            self.durable.truncate(self.shortest());
            let (least, most) = (self.durable.len(), self.live.len());
            let len = if random.one_in(3) { random.between(least, most) } else { most };
            self.durable.resize(len, 0);
        }
        for sector in core::mem::take(&mut self.dirty) {
            match random.below(16) {
                0..8 => self.land(sector, &self.sector(sector)),
                8 if !self.flushed.contains(&sector) => {
                    let garbage: Vec<u8> = (0..SECTOR_BYTES).map(|_| random.byte()).collect();
                    self.land(sector, &garbage);
                }
                _ => {}
            }
        }
        self.forsaken.clear();
        self.shrinks.clear();
        self.live.clone_from(&self.durable);
    }

    pub(super) fn shorten(&mut self, bytes: u64) {
        self.live.truncate(usize_from(bytes));
        self.durable.truncate(usize_from(bytes));
    }

    pub(super) fn flip(&mut self, at: u64, mask: u8) -> bool {
        let at = usize_from(at);
        let Some(byte) = self.live.get_mut(at) else { return false };
        *byte ^= mask;
        if let Some(byte) = self.durable.get_mut(at) {
            *byte ^= mask;
        }
        true
    }

    /// The shortest the file was since its last sync.
    fn shortest(&self) -> usize {
        self.shrinks.iter().map(|(_, len)| *len).fold(self.live.len(), usize::min)
    }

    fn range(&self, sector: usize) -> core::ops::Range<usize> {
        let from = sector * SECTOR_BYTES;
        from.min(self.live.len())..(from + SECTOR_BYTES).min(self.live.len())
    }

    fn sector(&self, sector: usize) -> Vec<u8> {
        self.live.get(self.range(sector)).unwrap_or_default().to_vec()
    }

    /// Puts `bytes` on the medium, as far as the file there is long.
    fn land(&mut self, sector: usize, bytes: &[u8]) {
        let from = (sector * SECTOR_BYTES).min(self.durable.len());
        let to = (sector * SECTOR_BYTES + bytes.len()).min(self.durable.len());
        if let Some(target) = self.durable.get_mut(from..to) {
            target.iter_mut().zip(bytes).for_each(|(target, byte)| *target = *byte);
        }
    }
}

fn sectors(from: usize, len: usize) -> core::ops::Range<usize> {
    from / SECTOR_BYTES..(from + len).div_ceil(SECTOR_BYTES)
}
