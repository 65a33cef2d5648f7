//! Space before offsets: securing bytes of the active segment, and starting the next one (S1).
//!
//! ```text
//!   active segment   ├ batches ┤ secured, zeros ┤            grows by doubling, up to 8 MiB a step
//!   roll             create, allocate, sync_dir ─▶ install   durable name before the first offset
//! ```
//!
//! Done by the appender that needs it, under `grow`, never under the head's lock.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::MutexGuard;

use super::head::{Head, LogState};
use super::partition::Partition;
use super::ticket::Answer;
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{File, Open};
use crate::error::{AppendError, Fault, FaultKind, NotAppended};
use crate::format::{FileKind, segment_file_name};
use crate::ids::{Offset, Position};
use crate::int::u64_from;
use crate::model::roll::Incoming;
use crate::mutant::{self, Mutant};
use crate::segment::files::remove_file;
use crate::segment::recover::is_full;
use crate::segment::{Indexes, Segment};

/// Most bytes secured ahead at once.
const STEP_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A full partition asks for space again no sooner than this.
const FULL_RETRY: Duration = Duration::from_secs(1);

impl Partition {
    /// Secures at least `bytes` of segment `base`, if that still takes appends.
    pub(crate) fn secure(&self, base: Offset, bytes: u64) -> Result<(), AppendError> {
        self.in_turn(self.grow.lock(), |answers| self.secure_held(base, bytes, answers))
    }

    /// Starts the next segment, if `incoming` still needs it.
    pub(crate) fn roll(&self, incoming: &Incoming) -> Result<(), AppendError> {
        self.in_turn(self.grow.lock(), |answers| self.roll_held(incoming, answers))
    }

    /// Starts a segment without a batch for it, so that all before can be deleted. Not if somebody
    /// is making space already; returns whether the active segment is empty.
    pub(crate) fn roll_empty(&self) -> Result<bool, AppendError> {
        let Some(turn) = self.grow.try_lock() else { return Ok(false) };
        self.in_turn(turn, |answers| self.roll_empty_held(answers))
    }

    fn secure_held(
        &self,
        base: Offset,
        bytes: u64,
        answers: &mut Vec<Answer>,
    ) -> Result<(), AppendError> {
        self.wake(answers)?;
        let now = self.shared.clock.tick();
        let (segment, secured) = {
            let head = self.head.lock();
            head.admit()?;
            let Some(segment) = head.active().map(Arc::clone) else {
                return Err(NotAppended::Closed.into());
            };
            if segment.base() != base || head.secured >= bytes {
                return Ok(());
            }
            let full = matches!(head.state, LogState::Full);
            if full && now.since(head.full_since) < FULL_RETRY {
                return Err(NotAppended::Full { bytes: bytes - head.secured }.into());
            }
            (segment, head.secured)
        };
        let block = u64_from(BLOCK_BYTES);
        let least = bytes.next_multiple_of(block);
        let most = u64::from(self.settings.segment_bytes_max()).next_multiple_of(block);
        // Whole blocks always: a write takes the whole block its last byte lies in.
        let doubled = (secured + secured.clamp(block, STEP_BYTES_MAX)).next_multiple_of(block);
        let ahead = doubled.min(most).max(least);
        let file = segment.file();
        let granted = match file.allocate(ahead) {
            Ok(()) => Ok(ahead),
            // Less may do.
            Err(error) if is_full(&error) && ahead > least => file.allocate(least).map(|()| least),
            Err(error) => Err(error),
        };
        match granted {
            Ok(granted) => {
                let mut head = self.head.lock();
                head.secured = granted;
                self.heal(&mut head);
                Ok(())
            }
            Err(error) => {
                let what = "no space can be secured";
                Err(self.no_space(bytes - secured, error, what, answers))
            }
        }
    }

    fn roll_held(&self, incoming: &Incoming, answers: &mut Vec<Answer>) -> Result<(), AppendError> {
        self.wake(answers)?;
        let base = {
            let mut head = self.head.lock();
            head.admit()?;
            if !self.rolls(&head, incoming) {
                return Ok(());
            }
            let full = matches!(head.state, LogState::Full);
            if full && self.shared.clock.tick().since(head.full_since) < FULL_RETRY {
                return Err(NotAppended::Full { bytes: incoming.bytes.into() }.into());
            }
            head.rolling = true;
            head.frontiers.log_end()
        };
        let first_bytes = u64::from(incoming.bytes).next_multiple_of(u64_from(BLOCK_BYTES));
        self.start_segment(base, first_bytes, answers)
    }

    /// Makes segment `base`, whose turn the caller has, and lets appends go on in it.
    fn start_segment(
        &self,
        base: Offset,
        first_bytes: u64,
        answers: &mut Vec<Answer>,
    ) -> Result<(), AppendError> {
        let path = self.dir.join(segment_file_name(base, FileKind::Log));
        let made = self.make_segment(&path, first_bytes);
        let mut head = self.head.lock();
        head.rolling = false;
        match made {
            Ok(file) => {
                head.admit()?;
                let segment = Segment::active(base, path, file, Indexes::new(base));
                self.install(&mut head, Arc::new(segment), first_bytes);
                Ok(())
            }
            Err(error) => {
                drop(head);
                let what = "the next segment cannot be made";
                Err(self.no_space(first_bytes, error, what, answers))
            }
        }
    }

    fn roll_empty_held(&self, answers: &mut Vec<Answer>) -> Result<bool, AppendError> {
        self.wake(answers)?;
        let base = {
            let mut head = self.head.lock();
            head.admit()?;
            if head.end == Position::ZERO {
                return Ok(true);
            }
            head.rolling = true;
            head.frontiers.log_end()
        };
        self.start_segment(base, u64_from(BLOCK_BYTES), answers).map(|()| true)
    }

    /// From here on appends go to `segment`.
    fn install(&self, head: &mut Head, segment: Arc<Segment>, secured: u64) {
        if let Some(active) = head.active() {
            active.finish(head.end);
        }
        head.pending.finish_segment(segment.base());
        let state = head.producers.freeze(self.shared.clock.tick());
        if !state.is_blank() {
            head.frozen.push_back((segment.base(), state));
        }
        head.segments = head.segments.iter().cloned().chain([segment]).collect();
        head.end = Position::ZERO;
        head.secured = secured;
        head.first_timestamp = None;
        head.created = self.shared.clock.timestamp();
        self.heal(head);
    }

    /// There is space: a full partition is no longer full.
    fn heal(&self, head: &mut Head) {
        if matches!(head.state, LogState::Full) {
            head.state = LogState::Online;
            self.state_changed(LogState::Full, head.shown());
        }
    }

    /// A new file with space for its first append, its name durable.
    fn make_segment(&self, path: &Path, first_bytes: u64) -> io::Result<Arc<dyn File>> {
        let directory = &*self.shared.directory;
        remove_file(directory, path)?;
        let file = self.shared.files.open_pooled(path, Open::Create)?;
        let named = file.allocate(first_bytes).and_then(|()| {
            if mutant::on(Mutant::SkipDirSync) { Ok(()) } else { directory.sync_dir(&self.dir) }
        });
        if let Err(error) = named {
            // Best effort: an empty file that stays is removed at the next open.
            let _removed = directory.unlink(path);
            return Err(error);
        }
        Ok(file)
    }

    /// No space: the partition is full, and heals. Any other error: it is offline.
    fn no_space(
        &self,
        bytes: u64,
        error: io::Error,
        what: &str,
        answers: &mut Vec<Answer>,
    ) -> AppendError {
        if is_full(&error) {
            let mut head = self.head.lock();
            if matches!(head.state, LogState::Online | LogState::Full) {
                if matches!(head.state, LogState::Online) {
                    self.state_changed(head.shown(), LogState::Full);
                }
                head.state = LogState::Full;
                head.full_since = self.shared.clock.tick();
            }
            return NotAppended::Full { bytes }.into();
        }
        let fault = Fault::io(FaultKind::Write, &self.dir, what, error);
        self.take_offline(&mut self.writer.lock(), &fault, answers);
        NotAppended::Offline(fault).into()
    }

    /// Runs `act` in a turn, and gives the answers and the news that come of it once that is over.
    fn in_turn<T>(
        &self,
        turn: MutexGuard<'_, ()>,
        act: impl FnOnce(&mut Vec<Answer>) -> Result<T, AppendError>,
    ) -> Result<T, AppendError> {
        let mut answers = Vec::new();
        let done = act(&mut answers);
        drop(turn);
        answers.into_iter().for_each(Answer::give);
        self.shared.events.give();
        done
    }
}
