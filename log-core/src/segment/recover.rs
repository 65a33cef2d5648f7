//! Finding out what a partition holds after anything: a crash, a power cut, rot, a hostile hand.
//!
//! ```text
//!   bytes      ├──── batches ────┤ bad place ├──── …
//!   below the watermark, or with good batches too far behind it, or before a later segment's
//!                                  damage: reported, kept, read around, no more appends
//!   else                           torn tail: cut here, and counted
//!   zeros up to the end            simply the end
//! ```
//!
//! The scan writes nothing; [`super::recover::repair`] does, and may itself be cut anywhere: what
//! it leaves is scanned to the same result (D11). Kafka's `LogLoader` and `LogSegment.recover` cut
//! at every bad place, because a replica has the rest; a log on one machine may not.

use core::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::indexes::Indexed;
use super::meter::Metered;
use super::resync::{Proof, content_end, next_batch};
use super::seal::{FileSum, Seal};
use super::time_index::Stamp;
use super::walk::{Stop, Walk};
use super::watermark::Watermark;
use super::{Indexes, Segment};
use crate::disk::File;
use crate::error::{Fault, FaultKind};
use crate::format::BatchView;
use crate::ids::{Offset, Position};
use crate::int::{u32_saturated, usize_from};
use crate::model::flush::Mark;
use crate::model::transactions::CompletedTransaction;
use crate::mutant::{self, Mutant};

mod repair;

pub(crate) use repair::{Repaired, repair};

/// Stored records that can no longer be read as they were written.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Damage {
    /// The offsets that are lost or unreadable.
    pub offsets: Range<Offset>,
    /// The segment file.
    pub path: PathBuf,
    /// Its bytes that are no good.
    pub positions: Range<u64>,
    /// What was found there, in prose.
    pub reason: String,
}

impl Damage {
    /// The same as a fault.
    pub(crate) fn fault(&self) -> Fault {
        let Range { start, end } = self.offsets;
        let what = format!("offsets {start} to {end}: {}", self.reason);
        Fault::at(FaultKind::Damage, &self.path, self.positions.start, what)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (offsets, positions) = (&self.offsets, &self.positions);
        write!(
            f,
            "offsets {} to {} are damaged: {}, bytes {} to {}: {}",
            offsets.start,
            offsets.end,
            self.path.display(),
            positions.start,
            positions.end,
            self.reason
        )
    }
}

/// A segment file found in the directory.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) base: Offset,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) bytes: u64,
    /// What need not be looked at.
    pub(crate) known: Known,
}

/// How much of a segment file is known without a look at its batches.
#[derive(Debug, Default)]
pub(crate) enum Known {
    #[default]
    Nothing,
    /// All of it: it was sealed, and is as long as its seal says.
    Whole(Seal, Indexes),
    /// Its start, as of a checkpoint whose last batch stands where it should.
    Start(Seal, Indexes),
}

/// How to judge what is found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) watermark: Option<Watermark>,
    pub(crate) unflushed_bytes_max: u32,
    pub(crate) index_interval_bytes: u32,
    /// Batches that start below may leave offsets out: another program wrote them (S10).
    pub(crate) gaps_below: Offset,
}

/// A segment as the scan left it.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: u64,
    pub(crate) file_bytes: u64,
    pub(crate) next: Offset,
    pub(crate) last_crc: u32,
    /// The sum of its batches; `None` if some of its bytes are no batches.
    pub(crate) sum: Option<FileSum>,
    /// Up to which byte there is a checkpoint.
    pub(crate) covered: u64,
}

impl Scanned {
    /// What its files hold, if nobody has read its indexes yet.
    pub(crate) fn seal(&self) -> Option<Seal> {
        self.segment.index().read().still_unread().map(|(seal, _)| seal)
    }
}

/// What a partition holds.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) segments: Vec<Scanned>,
    /// The end of the log, in the last segment.
    pub(crate) end: Mark,
    pub(crate) damage: Vec<Damage>,
    /// Bytes behind the end that belonged to torn writes.
    pub(crate) bytes_cut: u64,
    /// Bytes of segment files that were read.
    pub(crate) bytes_read: u64,
    /// Batches that start below may leave offsets out.
    pub(crate) gaps_below: Offset,
    /// Files that hold no batch and no longer belong anywhere.
    pub(crate) orphans: Vec<PathBuf>,
}

/// Sees every batch that is found good, in order, and says which transaction it ended.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(&BatchView<'_>) -> Option<CompletedTransaction>;

/// Scans `candidates`, which ascend by base offset and are at least one. `observe` sees every batch
/// that is found good, in order.
pub(crate) fn scan(
    candidates: Vec<Candidate>,
    rules: &Rules,
    observe: Observer<'_>,
) -> Result<Scan, Fault> {
    let first = candidates.first().map_or(Offset::ZERO, |candidate| candidate.base);
    let mut scanner = Scanner {
        rules: *rules,
        observe,
        expected: first,
        last_crc: 0,
        ended: false,
        scan: Scan {
            segments: Vec::with_capacity(candidates.len()),
            end: Mark {
                offset: first,
                position: Position::ZERO,
                batch_end: Position::ZERO,
                last_crc: 0,
            },
            damage: Vec::new(),
            bytes_cut: 0,
            bytes_read: 0,
            gaps_below: Offset::ZERO,
            orphans: Vec::new(),
        },
    };
    let read = AtomicU64::new(0);
    let bases: Vec<Offset> = candidates.iter().map(|candidate| candidate.base).collect();
    let filled: Vec<bool> =
        candidates.iter().map(|candidate| has_batch(candidate, &read)).collect();
    let last_filled = filled.iter().rposition(|filled| *filled);
    for (index, candidate) in candidates.into_iter().enumerate() {
        let next = bases.get(index + 1).copied();
        let later = Later { next, batches: last_filled.is_some_and(|last| last > index) };
        let empty = filled.get(index) == Some(&false);
        scanner.segment(candidate, empty, later, &read)?;
    }
    scanner.scan.bytes_read = read.into_inner();
    Ok(scanner.finish())
}

/// Whether a batch starts the file: such a file is never thrown away.
fn has_batch(candidate: &Candidate, read: &AtomicU64) -> bool {
    if !matches!(candidate.known, Known::Nothing) {
        return true;
    }
    let file = Metered::new(&*candidate.file, read);
    let mut walk = Walk::new(&file, Position::ZERO, candidate.bytes, None);
    walk.next().is_ok()
        || next_batch(&file, 1, candidate.bytes, candidate.base, Proof::Checksum).is_some()
}

/// What stands behind the segment being scanned.
#[derive(Clone, Copy, Debug)]
struct Later {
    next: Option<Offset>,
    batches: bool,
}

struct Scanner<'a> {
    rules: Rules,
    observe: Observer<'a>,
    expected: Offset,
    last_crc: u32,
    /// A torn tail ended the log; what follows are leftovers.
    ended: bool,
    scan: Scan,
}

/// What a bad place is.
enum Verdict {
    Torn,
    Damage(String),
}

impl Scanner<'_> {
    fn segment(
        &mut self,
        mut candidate: Candidate,
        empty: bool,
        later: Later,
        read: &AtomicU64,
    ) -> Result<(), Fault> {
        let first = self.scan.segments.is_empty();
        if !first && candidate.base != self.expected {
            if empty && !self.is_durable(candidate.base, Position::ZERO) {
                // Made for a roll that never got its first batch, and outlived by a cut.
                self.scan.orphans.push(candidate.path);
                return Ok(());
            }
            self.mismatch(&candidate)?;
        } else if self.ended {
            self.scan.orphans.push(candidate.path);
            return Ok(());
        }
        let known = core::mem::take(&mut candidate.known);
        let whole = matches!(known, Known::Whole(..));
        let covered = if let Known::Start(seal, _) = &known { seal.log.bytes } else { 0 };
        let (mut indexes, mut sum) = (Indexes::new(candidate.base), Some(FileSum::default()));
        if let Known::Whole(seal, found) | Known::Start(seal, found) = known {
            (indexes, sum) = (found, Some(seal.log));
            (self.expected, self.last_crc) = (seal.next, seal.last_crc);
        }
        let end = if whole {
            candidate.bytes
        } else {
            let file = Metered::new(&*candidate.file, read);
            self.batches(&candidate, &file, later, &mut indexes, &mut sum)?
        };
        self.check_watermark(&candidate, end);
        let position = Position::new(u32_saturated(usize_from(end)));
        self.scan.end =
            Mark { offset: self.expected, position, batch_end: position, last_crc: self.last_crc };
        let segment = Segment::active(candidate.base, candidate.path, candidate.file, indexes)
            .with_gaps_below(self.rules.gaps_below);
        let file_bytes = candidate.bytes;
        let segment = Arc::new(segment);
        let (next, last_crc) = (self.expected, self.last_crc);
        self.scan.segments.push(Scanned { segment, end, file_bytes, next, last_crc, sum, covered });
        Ok(())
    }

    /// Walks the batches of one segment; returns where they end.
    fn batches(
        &mut self,
        candidate: &Candidate,
        file: &dyn File,
        later: Later,
        indexes: &mut Indexes,
        sum: &mut Option<FileSum>,
    ) -> Result<u64, Fault> {
        let from = sum.map_or(0, |sum| sum.bytes);
        let from = Position::new(u32_saturated(usize_from(from)));
        let gaps_below = self.rules.gaps_below;
        let mut walk =
            Walk::new(file, from, candidate.bytes, Some(self.expected)).gaps_below(gaps_below);
        loop {
            let at = walk.position();
            let stop = match walk.next() {
                Ok((position, view)) => {
                    let last = view.last_offset();
                    let stamp = Stamp { timestamp: view.max_timestamp(), offset: last };
                    let bytes = view.batch_bytes();
                    let batch = Indexed { last, position, bytes, stamp };
                    indexes.on_append(&batch, self.rules.index_interval_bytes);
                    *sum = sum.map(|sum| sum.and(view.as_bytes()));
                    if let Some(ended) = (self.observe)(&view) {
                        indexes.on_end(&ended);
                    }
                    self.expected = view.next_offset().unwrap_or(Offset::MAX);
                    self.last_crc = view.crc();
                    continue;
                }
                Err(stop) => stop,
            };
            match self.judge(candidate, at, stop, later)? {
                None => return Ok(at),
                Some(Verdict::Torn) => {
                    self.ended = true;
                    self.scan.bytes_cut += content_end(file, at, candidate.bytes) - at;
                    return Ok(at);
                }
                Some(Verdict::Damage(reason)) => match self.skip(candidate, at, later, reason, sum)
                {
                    Some(next) => {
                        let position = Position::new(u32_saturated(usize_from(next)));
                        walk = Walk::new(file, position, candidate.bytes, Some(self.expected))
                            .gaps_below(gaps_below);
                    }
                    None => return Ok(content_end(file, at, candidate.bytes)),
                },
            }
        }
    }

    /// What the place at `at` is; `None` for the plain end of the segment.
    fn judge(
        &self,
        candidate: &Candidate,
        at: u64,
        stop: Stop,
        later: Later,
    ) -> Result<Option<Verdict>, Fault> {
        let position = Position::new(u32_saturated(usize_from(at)));
        let durable =
            self.is_durable(candidate.base, position) && !mutant::on(Mutant::CutDurableDamage);
        match stop {
            // Whether the next segment goes on where this one ends shows when it is looked at.
            Stop::End if durable && later.next.is_none() => {
                Ok(Some(Verdict::Damage("the file ends too early".to_owned())))
            }
            Stop::End => Ok(None),
            Stop::Unreadable(error) if durable => {
                Ok(Some(Verdict::Damage(format!("the device cannot read it: {error}"))))
            }
            // Not known durable and not readable: neither a torn write nor damage can be told.
            Stop::Unreadable(error) => {
                Err(Fault::io(FaultKind::Read, &candidate.path, "recovery cannot read", error))
            }
            Stop::Bad(place) if durable || self.good_data_behind(candidate, at, later) => {
                Ok(Some(Verdict::Damage(place.to_string())))
            }
            Stop::Bad(_) => Ok(Some(Verdict::Torn)),
        }
    }

    /// Whether the byte at `position` of segment `base` is below the watermark.
    fn is_durable(&self, base: Offset, position: Position) -> bool {
        self.rules.watermark.is_some_and(|mark| (base, position) < (mark.segment, mark.position))
    }

    /// S5: whether batches stand where only a durable prefix lets batches stand. A later segment
    /// gets none before this one is durable, and no write is in flight further than
    /// `unflushed_bytes_max` ahead of the durable end.
    fn good_data_behind(&self, candidate: &Candidate, at: u64, later: Later) -> bool {
        if mutant::on(Mutant::CutBeforeGoodData) {
            return false;
        }
        let from = at + u64::from(self.rules.unflushed_bytes_max);
        let least = self.expected.checked_add(1).unwrap_or(self.expected);
        later.batches
            || (from < candidate.bytes
                && next_batch(&*candidate.file, from, candidate.bytes, least, Proof::Checksum)
                    .is_some())
    }

    /// Records damage at `at` and finds where the log goes on in this segment, if it does.
    fn skip(
        &mut self,
        candidate: &Candidate,
        at: u64,
        later: Later,
        reason: String,
        sum: &mut Option<FileSum>,
    ) -> Option<u64> {
        *sum = None;
        let mark = self.rules.watermark.filter(|mark| mark.segment == candidate.base);
        let end = later.next.or(mark.map(|mark| mark.durable));
        let proof = Proof::Neighbour { end, gaps_below: self.rules.gaps_below };
        let found = next_batch(&*candidate.file, at + 1, candidate.bytes, self.expected, proof);
        let watermark = self.rules.watermark.map_or(self.expected, |mark| mark.durable);
        let (offset, position) = match (found, later.next) {
            (Some(found), _) => (found.base, found.position),
            (None, Some(next)) => (next.max(self.expected), candidate.bytes),
            (None, None) => (watermark.max(self.expected), candidate.bytes),
        };
        self.scan.damage.push(Damage {
            offsets: self.expected..offset,
            path: candidate.path.clone(),
            positions: at..position,
            reason,
        });
        self.expected = offset;
        found.map(|found| found.position)
    }

    /// A segment that does not start where the log before it ended.
    fn mismatch(&mut self, candidate: &Candidate) -> Result<(), Fault> {
        if candidate.base < self.expected {
            let what = format!(
                "it starts at offset {}, but the segment before it ends at {}: two files claim the \
                 same offsets, so neither is served; move one away",
                candidate.base, self.expected
            );
            return Err(Fault::new(FaultKind::Damage, &candidate.path, what));
        }
        if candidate.base <= self.rules.gaps_below && self.expected < self.rules.gaps_below {
            self.expected = candidate.base;
            return Ok(());
        }
        self.scan.damage.push(Damage {
            offsets: self.expected..candidate.base,
            path: candidate.path.clone(),
            positions: 0..0,
            reason: "no segment holds these offsets".to_owned(),
        });
        self.expected = candidate.base;
        Ok(())
    }

    /// The log must have reached the watermark that names this segment.
    fn check_watermark(&mut self, candidate: &Candidate, end: u64) {
        let Some(mark) = self.rules.watermark else { return };
        let here = mark.segment == candidate.base && self.expected < mark.durable;
        if here && !mutant::on(Mutant::CutDurableDamage) {
            self.scan.damage.push(Damage {
                offsets: self.expected..mark.durable,
                path: candidate.path.clone(),
                positions: end..u64::from(mark.position.get()).max(end),
                reason: format!("the log was durable up to offset {}", mark.durable),
            });
            self.expected = mark.durable;
        }
    }

    fn finish(mut self) -> Scan {
        if let Some(mark) = self.rules.watermark
            && self.expected < mark.durable
            && !mutant::on(Mutant::CutDurableDamage)
        {
            let path = self
                .scan
                .segments
                .last()
                .map_or_else(PathBuf::new, |last| last.segment.path().to_owned());
            self.scan.damage.push(Damage {
                offsets: self.expected..mark.durable,
                path,
                positions: 0..0,
                reason: format!("the segment that starts at offset {} is gone", mark.segment),
            });
            self.scan.end.offset = mark.durable;
        }
        // What is appended from here on follows without a gap.
        let gaps_below = self.rules.gaps_below.min(self.scan.end.offset);
        self.scan.gaps_below = gaps_below;
        for scanned in &mut self.scan.segments {
            if let Some(segment) = Arc::get_mut(&mut scanned.segment) {
                segment.set_gaps_below(gaps_below);
            }
        }
        self.scan
    }
}

/// Whether `error` means: no space, but nothing is broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether `error` means that nothing has that name.
pub(crate) fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}
