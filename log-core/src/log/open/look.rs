//! Looking at a partition that somebody else may be writing: nothing is cut, repaired or written.
//!
//! ```text
//!   watermark ─▶ segments up to it ─▶ seals, checkpoint, scan ─▶ Partition that takes no appends
//!      │ read again: further on in the same segment ─▶ the batches between are taken in
//!      └            anything else                    ─▶ looked at anew
//! ```
//!
//! What lies above the watermark is not durable yet, or not known to be, and is not seen. Where another
//! program wrote, what is whole is seen.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::assemble::head;
use super::believe::{believe, consult};
use super::files::{named_topic_id, segments};
use super::producers::{Replay, left_by};
use super::{OpenError, Recovered, Request, begin_at, foreign, recovered, rules};
use crate::disk::{Directory, MemoryDirectory, Open};
use crate::error::{Fault, FaultKind};
use crate::format::BatchView;
use crate::ids::{LeaderEpoch, Offset, Position, TimestampMs, TopicId};
use crate::int::{u32_saturated, usize_from};
use crate::log::engine::Shared;
use crate::log::head::Reach;
use crate::log::partition::Partition;
use crate::log::writer::{Kept, Start, Writer};
use crate::model::epochs::LeaderEpochs;
use crate::model::flush::Mark;
use crate::model::producers::{ProducerBatch, Producers};
use crate::segment::indexes::Indexed;
use crate::segment::recover::{Candidate, Known, Rules, Scan, scan};
use crate::segment::seal::Identity;
use crate::segment::time_index::Stamp;
use crate::segment::walk::Stop;
use crate::segment::watermark::{Found, Watermark, WatermarkFile};

/// What a look found.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) partition: Arc<Partition>,
    pub(crate) topic_id: TopicId,
    /// How far it saw, where there is a watermark.
    pub(crate) mark: Option<Watermark>,
    /// The files it saw.
    pub(crate) shape: Shape,
    pub(crate) recovered: Recovered,
}

/// Looks at a partition, in which another program may have written since we did. Its directory is one
/// that refuses every write.
pub(crate) fn look(request: &Request<'_>, theirs: bool) -> Result<Looked, OpenError> {
    let (shared, dir) = (request.shared, request.dir.as_path());
    let directory = &*shared.directory;
    let mut warnings = Vec::new();
    let marked = read_mark(directory, dir)?;
    let found = marked.mark();
    let named = named_topic_id(directory, dir).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, dir, "the topic id cannot be read", error))
    })?;
    let topic_id = named.or(found.map(|mark| mark.topic_id)).unwrap_or(request.new_topic_id);
    let seen = found.filter(|mark| mark.topic_id == topic_id);
    let gaps_below = if theirs { Offset::MAX } else { marked.gaps_below(topic_id) };
    // Where another program wrote since, what we left vouches for nothing.
    let mark = seen.filter(|_| gaps_below < Offset::MAX);
    let identity = Identity { topic_id, partition: request.name.partition() };
    let mut candidates = segments(shared, dir, Open::Read, &mut warnings)?;
    let shape = Shape::of(&candidates);
    let log_start = match &mark {
        Some(mark) => bound(mark, &mut candidates),
        None => foreign::log_start(seen.as_ref(), &candidates),
    };
    if candidates.is_empty() {
        candidates.push(nothing(mark.as_ref(), dir)?);
    }
    let clean = request.clean.filter(|clean| {
        let end = mark.is_some_and(|mark| mark.durable == clean.log_end);
        end && clean.topic_id == topic_id
    });
    let believed = clean.and_then(|clean| {
        Some((
            believe(request, &candidates, clean, identity, gaps_below)?,
            left_by(request, clean)?,
        ))
    });
    let cleanly = believed.is_some();
    let rules = rules(request, mark, gaps_below);
    let (scan, producers) = match believed {
        Some(found) => found,
        None => scanned(request, &rules, candidates, log_start, identity, &mut warnings)?,
    };
    let log_start = log_start.min(scan.end.offset);
    for scanned in scan.segments.iter().rev().skip(1) {
        scanned.segment.finish(Position::new(u32::try_from(scanned.end).unwrap_or(u32::MAX - 1)));
    }
    let epoch = mark.map_or(LeaderEpoch::ZERO, |mark| mark.leader_epoch);
    let mut found = recovered(request, &scan, mark, log_start, epoch, None, warnings);
    found.clean = cleanly;
    let partition = assemble(request, &scan, topic_id, &found, producers)?;
    Ok(Looked { partition, topic_id, mark: seen, shape, recovered: found })
}

/// What segment files there are, how long, and when they were written: tells whether to look again
/// where there is no watermark that would.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Shape(Vec<(Offset, u64, Option<TimestampMs>)>);

impl Shape {
    /// The shape of the partition in `dir` right now.
    pub(crate) fn read(shared: &Shared, dir: &Path) -> Result<Self, OpenError> {
        Ok(Self::of(&segments(shared, dir, Open::Read, &mut Vec::new())?))
    }

    fn of(candidates: &[Candidate]) -> Self {
        let modified = |one: &Candidate| one.file.modified().ok().flatten();
        Self(candidates.iter().map(|one| (one.base, one.bytes, modified(one))).collect())
    }
}

/// The watermark of the partition in `dir` right now.
pub(crate) fn read_mark(directory: &dyn Directory, dir: &Path) -> Result<Found, OpenError> {
    WatermarkFile::read(directory, dir).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Read, dir, "the watermark cannot be read", error))
    })
}

/// Leaves out of `candidates` what is above `mark`, and what is deleted; returns where the log starts.
fn bound(mark: &Watermark, candidates: &mut Vec<Candidate>) -> Offset {
    candidates.retain(|candidate| candidate.base <= mark.segment);
    if let Some(last) = candidates.last_mut().filter(|last| last.base == mark.segment) {
        last.bytes = last.bytes.min(mark.position.get().into());
    }
    let dead = candidates.iter().skip(1).take_while(|next| next.base <= mark.log_start).count();
    candidates.drain(..dead);
    mark.log_start
}

/// A segment without bytes, where there is no file.
fn nothing(mark: Option<&Watermark>, dir: &Path) -> Result<Candidate, OpenError> {
    let file = MemoryDirectory::new().open(Path::new("/nothing"), Open::Create);
    let file = file.map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Bug, dir, "memory cannot be had", error))
    })?;
    let base = mark.map_or(Offset::ZERO, |mark| mark.segment);
    Ok(Candidate { base, path: dir.to_owned(), file, bytes: 0, known: Known::Nothing })
}

fn scanned(
    request: &Request<'_>,
    rules: &Rules,
    mut candidates: Vec<Candidate>,
    log_start: Offset,
    identity: Identity,
    warnings: &mut Vec<String>,
) -> Result<(Scan, Producers), OpenError> {
    let read = AtomicU64::new(0);
    let from = if rules.gaps_below == Offset::MAX {
        None
    } else {
        let vouched = (identity, rules.gaps_below);
        consult(request, &mut candidates, vouched, warnings, &read)?.from
    };
    let topic_id = identity.topic_id;
    // What producers were where segments begin is for whoever opens to write down.
    let first = candidates.first().map_or(Offset::ZERO, |first| first.base);
    let mut replay = match from {
        Some((from, producers)) => Replay::resume(request, topic_id, &[], from, producers),
        None => Replay::begin(request, topic_id, &[first], warnings),
    };
    let mut scan =
        scan(candidates, rules, &mut |batch| replay.see(batch)).map_err(OpenError::Io)?;
    scan.bytes_read += read.into_inner();
    begin_at(log_start.min(scan.end.offset), &request.dir, &mut scan);
    let (producers, _) = replay.finish(scan.end.offset, warnings);
    Ok((scan, producers))
}

fn assemble(
    request: &Request<'_>,
    scan: &Scan,
    topic_id: TopicId,
    recovered: &Recovered,
    producers: Producers,
) -> Result<Arc<Partition>, OpenError> {
    let (shared, dir) = (request.shared, request.dir.as_path());
    let last = scan.segments.last().ok_or_else(|| {
        OpenError::Io(Fault::new(FaultKind::Bug, dir, "a partition without a segment"))
    })?;
    let watermark = WatermarkFile::nowhere(dir).map_err(|error| {
        OpenError::Io(Fault::io(FaultKind::Bug, dir, "memory cannot be had", error))
    })?;
    let epochs = LeaderEpochs::new(Vec::new());
    let head = head(shared, scan, &last.segment, &[], epochs, recovered, producers);
    let start = Start {
        segment: Arc::clone(&last.segment),
        end: scan.end,
        sum: None,
        kept: Kept::Empty,
        covered: 0,
        watermark,
        topic_id,
        log_begins: recovered.log_start_offset,
        gaps_below: scan.gaps_below,
        leader_epoch: recovered.leader_epoch,
        now: shared.clock.tick(),
    };
    let mut writer = Writer::new(start, shared.settings.unflushed_bytes_max);
    writer.stop();
    let (name, dir, shared) = (request.name.clone(), request.dir.clone(), Arc::clone(shared));
    Ok(Partition::new(name, dir, request.slot, shared, &request.settings, writer, head))
}

impl Partition {
    /// Takes in what became durable since the last look, if `mark` is further on in the same
    /// segment. Where it is not, or what stands there is not the next batch, the partition has to be
    /// looked at anew: returns whether it has not. One caller at a time.
    pub(crate) fn take_in(&self, mark: &Watermark) -> bool {
        let (segment, durable, log_start) = {
            let head = self.head.lock();
            let Some(active) = head.active().map(Arc::clone) else { return false };
            (active, head.durable, head.frontiers.log_start())
        };
        let same = mark.segment == segment.base() && mark.log_start == log_start;
        if !same || mark.durable < durable.mark.offset {
            return false;
        }
        let (from, limit) = (durable.mark.batch_end, u64::from(mark.position.get()));
        let mut walk = segment.walk(from, limit, Some(durable.mark.offset));
        let mut last_crc = durable.mark.last_crc;
        loop {
            let at = walk.position();
            match walk.next() {
                Ok((position, batch)) => {
                    last_crc = batch.crc();
                    self.take_in_batch(&segment, position, &batch);
                }
                Err(Stop::End) if at == limit => break,
                Err(_) => return false,
            }
        }
        if last_crc != mark.last_crc && mark.durable > durable.mark.offset {
            return false;
        }
        let end = Position::new(u32_saturated(usize_from(limit)));
        let mark = Mark { offset: mark.durable, position: end, batch_end: end, last_crc };
        let reach = Reach { segment: segment.base(), mark };
        let now = self.shared.clock.tick();
        let mut head = self.head.lock();
        if mark.offset > head.frontiers.log_end() {
            head.frontiers.accept(mark.offset);
        }
        head.end = end;
        // Nobody waits here for an answer.
        head.publish(reach, reach, now, &mut Vec::new());
        true
    }

    fn take_in_batch(
        &self,
        segment: &crate::segment::Segment,
        position: Position,
        batch: &BatchView<'_>,
    ) {
        let (last, bytes) = (batch.last_offset(), batch.batch_bytes());
        let stamp = Stamp { timestamp: batch.max_timestamp(), offset: last };
        let indexed = Indexed { last, position, bytes, stamp };
        let now = self.shared.clock.tick();
        let ended = match ProducerBatch::of(batch) {
            Ok(Some(of)) => self.head.lock().producers.replay(&of, batch.base_offset(), now),
            // A control batch that cannot be read is passed over, as by recovery.
            Ok(None) | Err(_) => None,
        };
        let mut index = segment.index().write();
        index.on_append(&indexed, self.settings.index_interval_bytes());
        if let Some(ended) = ended {
            index.on_end(&ended);
        }
    }
}
