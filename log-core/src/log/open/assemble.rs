//! Steps 7 and after: the watermark at the recovered end, and the partition in memory.
//!
//! ```text
//!   Scan ─▶ watermark ─▶ Head (segments, frontiers, last partial block) + Writer ─▶ Partition
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use super::{OpenError, Opened, Recovered, Request};
use crate::error::{Fault, FaultKind};
use crate::ids::{Offset, TimestampMs, TopicId};
use crate::int::u64_from;
use crate::log::engine::Shared;
use crate::log::head::{Head, LogState, Reach};
use crate::log::partition::{Partition, last_block};
use crate::log::pending::Pending;
use crate::log::ticket::Queue;
use crate::log::writer::{Kept, Start, Writer};
use crate::model::epochs::LeaderEpochs;
use crate::model::frontiers::Frontiers;
use crate::model::producers::Producers;
use crate::model::retention::Now;
use crate::model::verification::Verifications;
use crate::segment::Segment;
use crate::segment::recover::Scan;
use crate::segment::snapshots::remove_strays;
use crate::segment::watermark::{Void, Watermark, WatermarkFile};

/// Steps 7 and after: the watermark at the end, and the partition in memory.
pub(super) fn assemble(
    request: &Request<'_>,
    scan: &Scan,
    topic_id: TopicId,
    epochs: LeaderEpochs,
    recovered: Recovered,
    producers: Producers,
) -> Result<Opened, OpenError> {
    let (shared, dir) = (request.shared, request.dir.as_path());
    let failed = |what| move |error| OpenError::Io(Fault::io(FaultKind::Write, dir, what, error));
    let log_start = recovered.log_start_offset;
    let last = scan.segments.last().ok_or_else(|| {
        OpenError::Io(Fault::new(FaultKind::Bug, dir, "a partition without a segment"))
    })?;
    let active = Arc::clone(&last.segment);
    if scan.damage.is_empty() {
        let bases: Vec<Offset> = scan.segments.iter().map(|found| found.segment.base()).collect();
        remove_strays(&*shared.directory, dir, &bases, scan.end.offset).map_err(OpenError::Io)?;
    }
    let mut watermark = WatermarkFile::open(&shared.files, dir)
        .map_err(failed("the watermark cannot be opened"))?;
    if scan.damage.is_empty() && !recovered.clean {
        shared.directory.sync_dir(dir).map_err(failed("the names cannot be made durable"))?;
        let mark = mark(scan, topic_id, &recovered, shared.settings.unflushed_bytes_max);
        watermark.write(mark).map_err(failed("the watermark cannot be written"))?;
    }
    // After a clean close nothing is read before it is needed (partition/wake.rs).
    // A damaged log takes no appends, and its last block may be what cannot be read.
    if !recovered.clean {
        let segments = scan.segments.iter().map(|scanned| Arc::clone(&scanned.segment));
        let earlier: Vec<_> = segments.take(scan.segments.len() - 1).collect();
        let interval = request.settings.index_interval_bytes;
        active.read_indexes(&*shared.directory, interval, &earlier);
    }
    let block = if recovered.clean || !scan.damage.is_empty() {
        Vec::new()
    } else {
        last_block(&active, last.end).map_err(failed("the last block cannot be read"))?
    };
    let recovered =
        Recovered { bytes_read: recovered.bytes_read + u64_from(block.len()), ..recovered };
    let kept = match last.seal() {
        _ if !recovered.clean => Kept::Touched,
        Some(seal) => Kept::As(seal),
        None => Kept::Empty,
    };
    let start = Start {
        segment: Arc::clone(&active),
        end: scan.end,
        sum: last.sum,
        kept,
        covered: last.covered,
        watermark,
        topic_id,
        log_begins: log_start,
        gaps_below: scan.gaps_below,
        leader_epoch: recovered.leader_epoch,
        now: shared.clock.tick(),
    };
    let head = head(shared, scan, &active, &block, epochs, &recovered, producers);
    let partition = Partition::new(
        request.name.clone(),
        request.dir.clone(),
        request.slot,
        Arc::clone(shared),
        &request.settings,
        Writer::new(start, shared.settings.unflushed_bytes_max),
        head,
    );
    Ok(Opened { partition, topic_id, recovered })
}

/// The watermark at the end of what was recovered.
fn mark(
    scan: &Scan,
    topic_id: TopicId,
    recovered: &Recovered,
    unflushed_bytes_max: u32,
) -> Watermark {
    Watermark {
        topic_id,
        log_start: recovered.log_start_offset,
        durable: scan.end.offset,
        segment: scan.segments.last().map_or(Offset::ZERO, |last| last.segment.base()),
        position: scan.end.batch_end,
        last_crc: scan.end.last_crc,
        leader_epoch: recovered.leader_epoch,
        void: Void::Nothing,
        gaps_below: scan.gaps_below,
        unflushed_bytes_max,
    }
}

pub(super) fn head(
    shared: &Shared,
    scan: &Scan,
    active: &Arc<Segment>,
    block: &[u8],
    epochs: LeaderEpochs,
    recovered: &Recovered,
    mut producers: Producers,
) -> Head {
    // All of it is durable: no marker can be lost any more.
    producers.on_high_watermark(scan.end.offset);
    let state = match scan.damage.first() {
        None => LogState::Online,
        Some(damage) => LogState::ReadOnly(damage.fault()),
    };
    let reach = Reach { segment: active.base(), mark: scan.end };
    let first_timestamp = active.index().read().first_timestamp();
    Head {
        state,
        frontiers: Frontiers::recovered(recovered.log_start_offset, scan.end.offset),
        segments: scan.segments.iter().map(|scanned| Arc::clone(&scanned.segment)).collect(),
        leader_epoch: recovered.leader_epoch,
        epochs,
        pending: Pending::at(
            Arc::clone(active),
            scan.end,
            block,
            shared.settings.in_flight_bytes_max(),
        ),
        end: scan.end.position,
        secured: scan.end.position.get().into(),
        first_timestamp,
        created: shared.clock.timestamp(),
        on_written: Queue::default(),
        on_synced: Queue::default(),
        written: reach,
        durable: reach,
        oldest_unflushed: None,
        rolling: false,
        asleep: recovered.clean,
        full_since: shared.clock.tick(),
        wakers: Vec::new(),
        damage: scan.damage.clone(),
        producers,
        verifications: Verifications::default(),
        frozen: VecDeque::new(),
        now: now(shared, scan),
    }
}

/// What retention goes by: for a log that holds nothing yet, the wall clock; else the latest time
/// that its records or its last file show, and time that passes from here on.
fn now(shared: &Shared, scan: &Scan) -> Now {
    let (wall, tick) = (shared.clock.timestamp(), shared.clock.tick());
    let stamps = scan.segments.iter().map(|scanned| scanned.segment.largest_timestamp());
    let seen = stamps.max().unwrap_or(TimestampMs::NONE);
    let modified = scan.segments.last().and_then(|last| last.segment.file().modified().ok()?);
    let empty = scan.segments.iter().all(|scanned| scanned.end == 0);
    let sign = if empty { wall } else { modified.unwrap_or(TimestampMs::NONE).max(seen) };
    Now::at(sign, tick)
}
