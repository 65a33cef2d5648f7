//! One open partition: its two locks, and the way in.
//!
//! ```text
//!   append   encode, check ─▶ [head] offset, copy ─▶ notify ─▶ Ticket
//!              outside          │ no space?  ─▶ [grow] secure or roll, then again
//!                               │ buffer full? ─▶ wait for the writer, then again
//! ```
//!
//! Locks, in the order they may be taken: `grow`, `writer`, `head`. `grow` and `writer` are held
//! across I/O (they are turns, not data locks); `head` never is.

mod producing;
mod turn;
mod wake;

pub(super) use wake::last_block;

use core::sync::atomic::{AtomicBool, AtomicU64};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use self::producing::{Judged, Producing};
use super::engine::Shared;
use super::events::Event;
use super::head::{Head, LogState};
use super::ticket::{Answer, Appended, Ticket};
use super::transactional::MarkerDecides;
use super::writer::Writer;
use crate::clock::Signal;
use crate::config::{Durability, LiveSettings, TopicSettings};
use crate::error::{AppendError, Fault, FaultKind, NotAppended};
use crate::format::stamp;
use crate::ids::{Offset, TimestampMs, TopicPartition};
use crate::int::{u32_saturated, usize_from_u32};
use crate::model::flush::Mark;
use crate::model::producers::Origin;
use crate::model::roll::{Active, Incoming, Limits, should_roll};
use crate::model::verification::VerificationGuard;
use crate::segment::indexes::Indexed;
use crate::segment::time_index::Stamp;

/// An open partition.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) name: TopicPartition,
    pub(crate) dir: PathBuf,
    pub(crate) slot: u32,
    pub(crate) shared: Arc<Shared>,
    /// Its topic's settings as of now.
    pub(crate) settings: LiveSettings,
    pub(crate) grow: Mutex<()>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) head: Mutex<Head>,
    /// Odd while the log is being cut at its end; another number afterwards.
    pub(crate) truncations: AtomicU64,
    /// Nobody but its maker knows it: its I/O is done by hand.
    hidden: AtomicBool,
    /// Raised when a frontier or the state moves.
    pub(crate) moved: Signal,
    /// Whether the I/O thread has been told and has not looked yet.
    queued: AtomicBool,
    /// Whether the I/O thread has a timer for it.
    timed: AtomicBool,
    this: Weak<Self>,
}

/// Which offsets a call's batches get.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offsets {
    /// The next ones: one batch, covering this many offsets.
    Next { count: i64 },
    /// Those they carry.
    Kept { first: Offset, next: Offset },
}

/// One append call, checked and ready for the lock.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) offsets: Offsets,
    pub(crate) max_timestamp: TimestampMs,
    /// Last offset of the batch it came in first, if that is not the call's.
    pub(crate) max_timestamp_offset: Option<Offset>,
    /// The checksum of the last batch: offsets and epoch stand outside of it.
    pub(crate) last_crc: u32,
}

/// Who appends, and what vouches for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By {
    pub(crate) origin: Origin,
    /// For the first batch of a transaction.
    pub(crate) guard: Option<VerificationGuard>,
    /// For a marker.
    pub(crate) decides: MarkerDecides,
}

impl From<Origin> for By {
    fn from(origin: Origin) -> Self {
        Self { origin, guard: None, decides: MarkerDecides::Itself }
    }
}

/// What the lock had to say.
enum Admission {
    /// Whether whoever does the I/O has to be told.
    Accepted { ticket: Ticket, tell: bool },
    /// Segment `base` has no secured space: secure so many bytes of it.
    Secure { base: Offset, bytes: u64 },
    /// The batch belongs into the next segment.
    Roll(Incoming),
    /// Too much waits to be written.
    Wait(u64),
}

impl Partition {
    pub(crate) fn new(
        name: TopicPartition,
        dir: PathBuf,
        slot: u32,
        shared: Arc<Shared>,
        settings: &TopicSettings,
        writer: Writer,
        head: Head,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            name,
            dir,
            slot,
            shared,
            settings: LiveSettings::new(settings),
            grow: Mutex::new(()),
            writer: Mutex::new(writer),
            head: Mutex::new(head),
            truncations: AtomicU64::new(0),
            hidden: AtomicBool::new(false),
            moved: Signal::default(),
            queued: AtomicBool::new(false),
            timed: AtomicBool::new(false),
            this: Weak::clone(this),
        })
    }

    /// Appends what `prepared` holds; the ticket is answered at `durability`.
    pub(crate) fn append(
        &self,
        prepared: &mut Prepared,
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let origin = match prepared.offsets {
            Offsets::Next { .. } => Origin::Client,
            Offsets::Kept { .. } => Origin::Replication,
        };
        self.append_as(prepared, By::from(origin), durability)
    }

    /// The same for who is no client.
    pub(crate) fn append_as(
        &self,
        prepared: &mut Prepared,
        by: By,
        durability: Durability,
    ) -> Result<Ticket, AppendError> {
        let producing = Producing::of(prepared, by)?;
        loop {
            let admission = self.admit(&mut self.head.lock(), prepared, &producing, durability)?;
            if !matches!(admission, Admission::Accepted { .. }) {
                // Whoever has the turn that is waited for may itself wait for I/O.
                self.break_quiet();
            }
            match admission {
                Admission::Accepted { ticket, tell } => {
                    self.on_accepted(tell);
                    return Ok(ticket);
                }
                Admission::Secure { base, bytes } => self.secure(base, bytes)?,
                Admission::Roll(incoming) => self.roll(&incoming)?,
                Admission::Wait(seen) => self.wait_for_room(seen)?,
            }
        }
    }

    /// Under the lock: the verdict, the offset, the copy.
    fn admit(
        &self,
        head: &mut Head,
        prepared: &mut Prepared,
        producing: &Producing,
        durability: Durability,
    ) -> Result<Admission, NotAppended> {
        head.admit()?;
        let now = self.recently(head);
        let place = match self.judge(head, producing, durability, now)? {
            Judged::Goes(place) => place,
            Judged::Known(ticket) => {
                let tell = !ticket.is_done();
                return Ok(Admission::Accepted { ticket, tell });
            }
        };
        let bytes = u32_saturated(prepared.bytes.len());
        let (base, next) = offsets(prepared.offsets, head.frontiers.log_end())?;
        let Some(segment) = head.active().map(Arc::clone) else { return Err(NotAppended::Closed) };
        let incoming = Incoming {
            bytes,
            last_offset: next.checked_add(-1).unwrap_or(base),
            max_timestamp: prepared.max_timestamp,
        };
        if head.rolling || self.rolls(head, &incoming) {
            return Ok(Admission::Roll(incoming));
        }
        let Some(end) = head.end.checked_add(bytes) else { return Ok(Admission::Roll(incoming)) };
        if u64::from(end.get()) > head.secured {
            return Ok(Admission::Secure { base: segment.base(), bytes: end.get().into() });
        }
        let waiting = head.pending.bytes();
        let limit = usize_from_u32(self.shared.settings.buffer_bytes_max);
        if waiting > 0 && waiting + prepared.bytes.len() > limit {
            return Ok(Admission::Wait(self.moved.seen()));
        }
        if matches!(prepared.offsets, Offsets::Next { .. }) {
            stamp(&mut prepared.bytes, base, head.leader_epoch)?;
        }
        let mark =
            Mark { offset: next, position: end, batch_end: end, last_crc: prepared.last_crc };
        let interval = self.settings.index_interval_bytes();
        let append = Indexed {
            last: incoming.last_offset,
            position: head.end,
            bytes,
            stamp: Stamp {
                timestamp: prepared.max_timestamp,
                offset: prepared.max_timestamp_offset.unwrap_or(incoming.last_offset),
            },
        };
        segment.index().write().on_append(&append, interval);
        head.pending.push(&segment, &prepared.bytes, mark);
        head.first_timestamp.get_or_insert(prepared.max_timestamp);
        head.end = end;
        head.frontiers.accept(next);
        producing.remember(head, &segment, place, base, now);
        // What nobody waits for goes with the next flush, unless it is the first to need one.
        let tell = durability != Durability::Buffered
            || head.oldest_unflushed.is_none()
            || head.pending.has_full_chunk();
        head.oldest_unflushed.get_or_insert(now);
        let appended = Appended {
            base_offset: base,
            last_offset: incoming.last_offset,
            max_timestamp: prepared.max_timestamp,
            batch_bytes: bytes,
            duplicate: false,
        };
        let ticket = self.enqueue(head, appended, next, durability);
        Ok(Admission::Accepted { ticket, tell })
    }

    /// Whether `incoming` belongs into the next segment.
    pub(crate) fn rolls(&self, head: &Head, incoming: &Incoming) -> bool {
        let Some(segment) = head.active() else { return false };
        let active = Active {
            base: segment.base(),
            bytes: head.end.get(),
            first_timestamp: head.first_timestamp,
            created: head.created,
            index_full: segment.index().read().is_full(),
        };
        let limits = Limits {
            segment_bytes_max: self.settings.segment_bytes_max(),
            segment_ms: self.settings.segment_ms(),
        };
        should_roll(&active, incoming, &limits, self.shared.clock.timestamp())
    }

    /// A ticket for everything up to `end`, answered at `durability`.
    fn enqueue(
        &self,
        head: &mut Head,
        appended: Appended,
        end: Offset,
        durability: Durability,
    ) -> Ticket {
        if durability == Durability::Buffered {
            return Ticket::done(appended);
        }
        let ticket = Ticket::waiting(appended, self.shared.driver());
        match durability {
            Durability::Synced => head.on_synced.push(end, &ticket),
            Durability::Buffered | Durability::Written => head.on_written.push(end, &ticket),
        }
        ticket
    }

    /// A ticket that is answered once everything accepted so far is durable.
    pub(crate) fn flush_ticket(&self) -> Result<Ticket, AppendError> {
        let (ticket, end) = {
            let mut head = self.head.lock();
            if !matches!(head.state, LogState::ReadOnly(_)) {
                head.admit()?;
            }
            (self.enqueue_flush(&mut head), head.frontiers.log_end())
        };
        match ticket {
            Some(ticket) => {
                self.on_accepted(true);
                Ok(ticket)
            }
            None => Ok(Ticket::done(up_to(end))),
        }
    }

    /// The same under the lock and in any state; `None` if everything is durable already.
    pub(crate) fn enqueue_flush(&self, head: &mut Head) -> Option<Ticket> {
        let end = head.frontiers.log_end();
        (head.frontiers.durable() < end)
            .then(|| self.enqueue(head, up_to(end), end, Durability::Synced))
    }

    /// Waits until the writer has made room in the buffer.
    fn wait_for_room(&self, seen: u64) -> Result<(), AppendError> {
        if super::ticket::in_callback() {
            return Err(NotAppended::Busy.into());
        }
        self.notify();
        match self.shared.driver() {
            Some(drive) => {
                drive();
            }
            None => {
                self.shared.clock.wait(&self.moved, seen, None);
            }
        }
        Ok(())
    }

    /// A file that only saves time could not be written: nothing is lost.
    pub(crate) fn cache_failed(&self, path: &Path, what: &str, error: io::Error) {
        self.shared.counters.index_write_failed();
        self.not_written(path, what, error);
    }

    /// The same of a snapshot of producers.
    pub(crate) fn snapshot_failed(&self, error: io::Error) {
        self.shared.counters.snapshot_write_failed();
        self.not_written(&self.dir, "the producers' snapshot cannot be written", error);
    }

    fn not_written(&self, path: &Path, what: &str, error: io::Error) {
        self.shared.events.post(|| {
            let fault = Fault::io(FaultKind::Write, path, what, error);
            Event::CacheNotWritten { partition: self.name.clone(), fault }
        });
    }

    /// What no longer belongs to the log could not be removed.
    pub(crate) fn leftover(&self, fault: impl FnOnce() -> Fault) {
        self.shared.counters.leftover();
        self.shared
            .events
            .post(|| Event::NotRemoved { partition: self.name.clone(), fault: fault() });
    }

    /// The partition's state is another one than `before`, which it was.
    pub(crate) fn state_changed(&self, before: LogState, now: LogState) {
        let partition = self.name.clone();
        self.shared.events.post(|| Event::State { partition, before, now });
    }

    /// Tells everyone who waits for a frontier or the state; wakers are left in `answers`.
    pub(crate) fn wake_readers(&self, answers: &mut Vec<Answer>) {
        answers.extend(core::mem::take(&mut self.head.lock().wakers).into_iter().map(Answer::Wake));
        self.moved.raise();
    }
}

/// What a flush answers: it adds nothing.
const fn up_to(end: Offset) -> Appended {
    let max_timestamp = TimestampMs::NONE;
    Appended { base_offset: end, last_offset: end, max_timestamp, batch_bytes: 0, duplicate: false }
}

/// The offsets an append gets, from its first to the one after its last.
fn offsets(wanted: Offsets, log_end: Offset) -> Result<(Offset, Offset), NotAppended> {
    match wanted {
        Offsets::Next { count } => match log_end.checked_add(count) {
            // The very last offset stays free, so that "the next one" can always be named.
            Some(next) if next < Offset::MAX => Ok((log_end, next)),
            _ => Err(NotAppended::OffsetExhausted { log_end }),
        },
        Offsets::Kept { first, next } if first == log_end => Ok((first, next)),
        Offsets::Kept { first, .. } => Err(NotAppended::UnexpectedOffset { first, log_end }),
    }
}
