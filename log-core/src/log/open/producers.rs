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

use super::Request;
use crate::entropy::Entropy;
use crate::format::BatchView;
use crate::ids::{Offset, TopicId};
use crate::log::clean::CleanPartition;
use crate::model::producers::{ProducerBatch, Producers};
use crate::model::transactions::CompletedTransaction;
use crate::mutant::{self, Mutant};
use crate::segment::seal::Seal;
use crate::segment::snapshots::{Moment, Revival, list, read_any, read_kafkas, read_ours};

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
}

impl<'a> Replay<'a> {
    /// Begins before the first batch of a log whose first segment starts at `base`.
    pub(super) fn begin(
        request: &'a Request<'a>,
        topic_id: TopicId,
        base: Offset,
        warnings: &mut Vec<String>,
    ) -> Self {
        let revival = revival(request);
        let producers = Producers::new(revival.limits, revival.seed);
        let mut replay = Self {
            request,
            topic_id,
            revival,
            producers,
            believed: false,
            unreadable: 0,
            from: None,
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
        from: Offset,
        producers: Producers,
    ) -> Self {
        let (revival, from) = (revival(request), Some(from));
        Self { request, topic_id, revival, producers, believed: false, unreadable: 0, from }
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

    /// The state of a log that ends at `end`.
    pub(super) fn finish(mut self, end: Offset, warnings: &mut Vec<String>) -> Producers {
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
        self.producers
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
