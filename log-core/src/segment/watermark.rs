//! The durable watermark: how far a partition is known to be on stable storage (S5).
//!
//! ```text
//!   0          8          16          32          40        48        56    60    64    68    72
//!   ├ ONCEWMK3 ┼ sequence ┼ topic id  ┼ log start ┼ durable ┼ segment ┼ pos ┼ crc ┼ epo ┼ cut ┤ …
//!                                                   offset    base          last
//!   72         80          84    88
//! … ┼ gaps     ┼ unflushed ┼ sum ┤
//!     below      max
//!   slot 0 at byte 0, slot 1 at byte 512; written in turn, each in a sector of its own
//! ```
//!
//! It tells a torn tail from bit rot: above it a bad place is a write that a power cut took back,
//! below it the bad place was once good. Big-endian; `sum` is CRC-32 over bytes 0 to 84.
//!
//! It also carries decisions that must hold before files follow them: where the log starts, and
//! (`cut` = 1) that it ends at the watermark whatever the files still hold, or (`cut` = 2) that it
//! begins anew there, which is how a truncation is one durable write.
//!
//! Invariants:
//! 1. A slot is written only after the flush it reports, and flushed itself before it counts.
//! 2. The slot written is never the newest one, so a torn write loses nothing. Both stand in one
//!    block, for ten thousand idle partitions have ten thousand of them: a block under rewrite at a
//!    cut reads as old or new, sector by sector (S8).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::pool::FilePool;
use crate::disk::{Directory, File, MemoryDirectory, Open};
use crate::ids::{LeaderEpoch, Offset, Position, TopicId};

use super::replace::{replace, write_full};
use super::walk::read_full;

/// The file's name in a partition's directory; a suffix Kafka's loader ignores.
pub(crate) const FILE_NAME: &str = "oncelog.watermark";

const MAGIC: [u8; 8] = *b"ONCEWMK3";
const SLOT_BYTES: usize = 512;
const SLOT_STRIDE: u64 = 512;
const SUMMED_BYTES: usize = 84;
const FILE_BYTES: u64 = 2 * SLOT_STRIDE;

const _: () = assert!(8 + 8 + 16 + 8 + 8 + 8 + 4 + 4 + 4 + 4 + 8 + 4 == SUMMED_BYTES);
const _: () = assert!(SUMMED_BYTES + 4 <= SLOT_BYTES);

/// What one slot says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Watermark {
    pub(crate) topic_id: TopicId,
    pub(crate) log_start: Offset,
    pub(crate) durable: Offset,
    pub(crate) segment: Offset,
    pub(crate) position: Position,
    pub(crate) last_crc: u32,
    pub(crate) leader_epoch: LeaderEpoch,
    /// What of the files is void.
    pub(crate) void: Void,
    /// Batches below may leave offsets out: another program wrote them (S10).
    pub(crate) gaps_below: Offset,
    /// How far the bytes behind may be scattered: the setting of whoever wrote them, which need not
    /// be that of whoever opens them next.
    pub(crate) unflushed_bytes_max: u32,
}

/// What of the files is void because that was decided before they follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Void {
    /// Nothing.
    Nothing,
    /// What stands above the watermark: a truncation.
    Above,
    /// Everything, and what is remembered of producers: the log begins anew at the watermark.
    All,
}

impl Void {
    const fn to_number(self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Above => 1,
            Self::All => 2,
        }
    }

    const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Nothing),
            1 => Some(Self::Above),
            2 => Some(Self::All),
            _ => None,
        }
    }
}

impl Watermark {
    fn to_slot(self, sequence: u64) -> [u8; SLOT_BYTES] {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&self.topic_id.to_bytes());
        bytes.extend_from_slice(&self.log_start.get().to_be_bytes());
        bytes.extend_from_slice(&self.durable.get().to_be_bytes());
        bytes.extend_from_slice(&self.segment.get().to_be_bytes());
        bytes.extend_from_slice(&self.position.get().to_be_bytes());
        bytes.extend_from_slice(&self.last_crc.to_be_bytes());
        bytes.extend_from_slice(&self.leader_epoch.get().to_be_bytes());
        bytes.extend_from_slice(&self.void.to_number().to_be_bytes());
        bytes.extend_from_slice(&self.gaps_below.get().to_be_bytes());
        bytes.extend_from_slice(&self.unflushed_bytes_max.to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        let mut slot = [0; SLOT_BYTES];
        for (target, source) in slot.iter_mut().zip(bytes) {
            *target = source;
        }
        slot
    }

    fn from_slot(slot: &[u8]) -> Option<(u64, Self)> {
        let summed = slot.get(..SUMMED_BYTES)?;
        let sum = u32::from_be_bytes(*slot.get(SUMMED_BYTES..)?.first_chunk()?);
        if crc32fast::hash(summed) != sum || !summed.starts_with(&MAGIC) {
            return None;
        }
        let offset = |at: usize| Offset::new(i64::from_be_bytes(*summed.get(at..)?.first_chunk()?));
        let number = |at: usize| Some(u32::from_be_bytes(*summed.get(at..)?.first_chunk()?));
        let mark = Self {
            topic_id: TopicId::new(*summed.get(16..)?.first_chunk()?)?,
            log_start: offset(32)?,
            durable: offset(40)?,
            segment: offset(48)?,
            position: Position::new(number(56)?),
            last_crc: number(60)?,
            leader_epoch: LeaderEpoch::new(number(64)?.cast_signed())?,
            void: Void::from_number(number(68)?)?,
            gaps_below: offset(72)?,
            unflushed_bytes_max: number(80)?,
        };
        Some((u64::from_be_bytes(*summed.get(8..)?.first_chunk()?), mark))
    }
}

/// What a partition's directory says of a watermark.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// There is none: we never were here.
    Nothing,
    /// A file without a valid slot: we were, and no more can be told.
    Void,
    /// The newest valid slot.
    Mark(Watermark),
}

impl Found {
    /// What the newest slot says, if one is valid.
    pub(crate) const fn mark(self) -> Option<Watermark> {
        match self {
            Self::Mark(mark) => Some(mark),
            Self::Nothing | Self::Void => None,
        }
    }

    /// Below which offset batches of `topic_id` may leave offsets out: everywhere, where we never
    /// were. A file that rotted is no licence to believe whatever offsets are found.
    pub(crate) fn gaps_below(self, topic_id: TopicId) -> Offset {
        match self {
            Self::Nothing => Offset::MAX,
            Self::Mark(mark) if mark.topic_id == topic_id => mark.gaps_below,
            Self::Void | Self::Mark(_) => Offset::ZERO,
        }
    }
}

/// The open sidecar.
#[derive(Debug)]
pub(crate) struct WatermarkFile {
    path: PathBuf,
    file: Arc<dyn File>,
    sequence: u64,
    /// As the newest mark says.
    unflushed_bytes_max: Option<u32>,
}

impl WatermarkFile {
    /// What `dir` says of a watermark, under whatever topic id.
    pub(crate) fn read(directory: &dyn Directory, dir: &Path) -> io::Result<Found> {
        match directory.open(&dir.join(FILE_NAME), Open::Read) {
            Ok(file) => Ok(newest(&*file)?.map_or(Found::Void, |(_, mark)| Found::Mark(mark))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Opens the sidecar to write, creating it if need be. The caller makes its name durable.
    pub(crate) fn open(files: &Arc<FilePool>, dir: &Path) -> io::Result<Self> {
        let path = dir.join(FILE_NAME);
        let file = match files.open_pooled(&path, Open::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                files.open_pooled(&path, Open::Create)?
            }
            other => other?,
        };
        let found = newest(&*file)?;
        let sequence = found.map_or(0, |(sequence, _)| sequence);
        let unflushed_bytes_max = found.map(|(_, mark)| mark.unflushed_bytes_max);
        if file.len()? < FILE_BYTES {
            file.allocate(FILE_BYTES)?;
        }
        Ok(Self { path, file, sequence, unflushed_bytes_max })
    }

    /// Makes `mark` what the sidecar in `dir` says, whatever it said before, also nothing.
    ///
    /// # Durability
    ///
    /// Durable when it returns `Ok`; cut before, it says what it said.
    pub(crate) fn put(directory: &dyn Directory, dir: &Path, mark: Watermark) -> io::Result<()> {
        let mut bytes = vec![0; SLOT_BYTES];
        bytes.extend_from_slice(&mark.to_slot(1));
        replace(directory, dir, FILE_NAME, &bytes)
    }

    /// One that is not on any disk: of a partition that is only read.
    pub(crate) fn nowhere(dir: &Path) -> io::Result<Self> {
        let file = MemoryDirectory::new().open(Path::new("/watermark"), Open::Create)?;
        Ok(Self { path: dir.join(FILE_NAME), file, sequence: 0, unflushed_bytes_max: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// How far the bytes behind the newest mark may be scattered, if there is one.
    pub(crate) const fn unflushed_bytes_max(&self) -> Option<u32> {
        self.unflushed_bytes_max
    }

    /// Writes `mark` into the older slot and flushes it.
    ///
    /// # Durability
    ///
    /// Durable when it returns `Ok`; after an error the newest mark is one of the last two.
    pub(crate) fn write(&mut self, mark: Watermark) -> io::Result<()> {
        self.sequence += 1;
        let slot = mark.to_slot(self.sequence);
        write_full(&*self.file, (self.sequence % 2) * SLOT_STRIDE, &slot)?;
        self.file.sync()?;
        self.unflushed_bytes_max = Some(mark.unflushed_bytes_max);
        Ok(())
    }
}

fn newest(file: &dyn File) -> io::Result<Option<(u64, Watermark)>> {
    let mut best: Option<(u64, Watermark)> = None;
    for index in 0..2 {
        let mut slot = [0; SLOT_BYTES];
        read_full(file, index * SLOT_STRIDE, &mut slot)?;
        best = best.into_iter().chain(Watermark::from_slot(&slot)).max_by_key(|found| found.0);
    }
    Ok(best)
}
