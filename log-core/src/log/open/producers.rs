//! The producers' state at the log's end: read where a clean close left it, else made from the log.
//!
//! ```text
//!   clean     N.producers of that very end                       none that fits ─▶ scan
//!   scanned   base of the first segment, from its snapshot  +  every batch that stands
//!             ages from the newest snapshot whose producers went on to nothing since
//! ```
//!
//! The log is the truth (I3): a snapshot adds only what no batch in the log can say, which is who
//! wrote before the first segment, and how long ago.

use std::collections::VecDeque;

use super::Request;
use crate::entropy::Entropy;
use crate::format::BatchView;
use crate::ids::{Offset, TopicId};
use crate::log::clean::CleanPartition;
use crate::model::producers::{Frozen, ProducerBatch, Producers};
use crate::model::transactions::CompletedTransaction;
use crate::mutant::{self, Mutant};
use crate::segment::recover::Scan;
use crate::segment::seal::Seal;
use crate::segment::snapshots::{Moment, Revival, list, read_any, read_kafkas, read_ours, write};

/// States kept of places where segments begin: as many as a crash may have left without a snapshot,
/// and no more, for each may be as large as all producers are.
const PASSED_MAX: usize = 8;

fn revival(request: &Request<'_>) -> Revival {
    let shared = request.shared;
    let entropy: &dyn Entropy = &*shared.entropy;
    Revival {
        limits: shared.settings.producer_limits(),
        seed: entropy.next_u64(),
        now: shared.clock.tick(),
    }
}

/// The state that a clean close left at its end; `None` if its file is gone or of another moment.
pub(super) fn left_by(request: &Request<'_>, clean: &CleanPartition) -> Option<Producers> {
    let revival = revival(request);
    if clean.largest_producer_id.is_none() {
        return Some(Producers::new(revival.limits, revival.seed));
    }
    let moment = Moment { topic_id: clean.topic_id, end: clean.log_end, last_crc: clean.last_crc };
    read_ours(&*request.shared.directory, &request.dir, moment, revival)
}

/// The state as of the end of a segment that `seal` vouches for; `None` if it is gone.
pub(super) fn left_at(request: &Request<'_>, topic_id: TopicId, seal: &Seal) -> Option<Producers> {
    let revival = revival(request);
    if !seal.has_producers {
        return Some(Producers::new(revival.limits, revival.seed));
    }
    let moment = Moment { topic_id, end: seal.next, last_crc: seal.last_crc };
    read_ours(&*request.shared.directory, &request.dir, moment, revival)
}

/// The state that a checkpoint at `end` holds as `bytes`; `None` if they are none.
pub(super) fn thawed(request: &Request<'_>, bytes: &[u8], end: Offset) -> Option<Producers> {
    let Revival { limits, seed, now } = revival(request);
    if bytes.is_empty() {
        return Some(Producers::new(limits, seed));
    }
    Producers::from_bytes(bytes, end, limits, seed, now).ok()
}

/// Writes down what the producers were where segments begin that a crash left without: once what is
/// before is deleted, nothing else says who wrote it.
pub(super) fn keep(
    request: &Request<'_>,
    topic_id: TopicId,
    scan: &Scan,
    passed: VecDeque<(Offset, Frozen)>,
    warnings: &mut Vec<String>,
) {
    let (directory, dir) = (&*request.shared.directory, request.dir.as_path());
    for (base, state) in passed {
        let after = scan.segments.partition_point(|scanned| scanned.segment.base() < base);
        let Some(before) = after.checked_sub(1).and_then(|before| scan.segments.get(before)) else {
            continue;
        };
        let moment = Moment { topic_id, end: base, last_crc: before.last_crc };
        if read_ours(directory, dir, moment, revival(request)).is_none()
            && let Err(error) = write(directory, dir, &state, moment)
        {
            warnings.push(format!(
                "{}: the snapshot at offset {base} cannot be written: {error}",
                dir.display()
            ));
        }
    }
}

/// The state on its way from the first batch to the last.
#[derive(Debug)]
pub(super) struct Replay<'a> {
    request: &'a Request<'a>,
    topic_id: TopicId,
    revival: Revival,
    producers: Producers,
    /// Producers were found without a look at the batches: a planted bug.
    believed: bool,
    unreadable: u64,
    /// Batches below are in the state already.
    from: Option<Offset>,
    /// Where segments begin that the log has not come to yet.
    bases: VecDeque<Offset>,
    /// The state where each of the newest others began.
    passed: VecDeque<(Offset, Frozen)>,
}

impl<'a> Replay<'a> {
    /// Begins before the first batch of a log whose segments start at `bases`, ascending.
    pub(super) fn begin(
        request: &'a Request<'a>,
        topic_id: TopicId,
        bases: &[Offset],
        warnings: &mut Vec<String>,
    ) -> Self {
        let revival = revival(request);
        let producers = Producers::new(revival.limits, revival.seed);
        let base = bases.first().copied().unwrap_or(Offset::ZERO);
        let mut replay = Self {
            request,
            topic_id,
            revival,
            producers,
            believed: false,
            unreadable: 0,
            from: None,
            bases: bases.iter().copied().filter(|later| *later > base).collect(),
            passed: VecDeque::new(),
        };
        if base > Offset::ZERO {
            replay.before(base, warnings);
        }
        if mutant::on(Mutant::StaleSnapshot)
            && let Some((_, newest)) = replay.newest(Offset::MAX)
        {
            (replay.producers, replay.believed) = (newest, true);
        }
        replay
    }

    /// Goes on from `from`, where the state was `producers`.
    pub(super) fn resume(
        request: &'a Request<'a>,
        topic_id: TopicId,
        bases: &[Offset],
        from: Offset,
        producers: Producers,
    ) -> Self {
        Self {
            request,
            topic_id,
            revival: revival(request),
            producers,
            believed: false,
            unreadable: 0,
            from: Some(from),
            bases: bases.iter().copied().filter(|later| *later >= from).collect(),
            passed: VecDeque::new(),
        }
    }

    /// Who wrote before the first segment, which starts at `base`.
    fn before(&mut self, base: Offset, warnings: &mut Vec<String>) {
        let (directory, dir) = (&*self.request.shared.directory, self.request.dir.as_path());
        let ours = read_any(directory, dir, base, self.revival)
            .filter(|(moment, _)| moment.topic_id == self.topic_id && moment.end == base);
        if let Some((_, producers)) = ours {
            self.producers = producers;
            return;
        }
        match read_kafkas(directory, dir, base, self.revival) {
            Ok(Some(producers)) => self.producers = producers,
            // Where there never was a producer, there is no snapshot.
            Ok(None) if list(directory, dir).is_ok_and(|found| found.is_empty()) => {}
            Ok(None) => warnings.push(format!(
                "{}: there is no snapshot at offset {base}, so producers whose batches were all \
                 deleted are not known any more",
                dir.display()
            )),
            Err(error) => warnings.push(format!(
                "{}: the snapshot at offset {base} is no good, so producers whose batches were all \
                 deleted are not known any more: {error}",
                dir.display()
            )),
        }
    }

    /// Takes in the next batch of the log. Says which transaction it ended.
    pub(super) fn see(&mut self, view: &BatchView<'_>) -> Option<CompletedTransaction> {
        if self.from.is_some_and(|from| view.base_offset() < from) {
            return None;
        }
        self.pass(view.base_offset());
        match ProducerBatch::of(view) {
            Ok(Some(_)) if self.believed => None,
            Ok(Some(batch)) => self.producers.replay(&batch, view.base_offset(), self.revival.now),
            Ok(None) => None,
            Err(_) => {
                self.unreadable += 1;
                None
            }
        }
    }

    /// Comes to `offset`, in whatever segment that is.
    fn pass(&mut self, offset: Offset) {
        while let Some(base) = self.bases.pop_front_if(|base| *base <= offset) {
            let state = self.producers.freeze(self.revival.now);
            if !state.is_blank() {
                self.passed.push_back((base, state));
            }
            if self.passed.len() > PASSED_MAX {
                self.passed.pop_front();
            }
        }
    }

    /// The state of a log that ends at `end`, and what it was where the last segments began.
    pub(super) fn finish(
        mut self,
        end: Offset,
        warnings: &mut Vec<String>,
    ) -> (Producers, VecDeque<(Offset, Frozen)>) {
        self.pass(end);
        if self.unreadable > 0 {
            warnings.push(format!(
                "{}: {} control batches cannot be read and are passed over",
                self.request.dir.display(),
                self.unreadable
            ));
        }
        // A state that was gone on from has its own ages.
        if self.from.is_none()
            && self.producers.largest_id().is_some()
            && let Some((_, newest)) = self.newest(end)
        {
            self.producers.adopt_ages(&newest);
        }
        (self.producers, self.passed)
    }

    /// The newest file of ours that is whole, of this topic, and not past `end`.
    fn newest(&self, end: Offset) -> Option<(Moment, Producers)> {
        let (directory, dir) = (&*self.request.shared.directory, self.request.dir.as_path());
        let mut offsets: Vec<Offset> =
            list(directory, dir).ok()?.into_iter().map(|(offset, _)| offset).collect();
        offsets.dedup();
        offsets.into_iter().rev().filter(|offset| *offset <= end).find_map(|offset| {
            read_any(directory, dir, offset, self.revival)
                .filter(|(moment, _)| moment.topic_id == self.topic_id)
        })
    }
}
