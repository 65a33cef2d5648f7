//! One partition's batches, from the open one to the answered: pure.
//!
//! ```text
//!   push ─▶ queue: … sealed, open      no sequence yet
//!             │ step: fewer than 5 under way, none of them waits for a retry
//!             ▼
//!           window: s, s+3, s+7        numbered, in order; answered from the front
//!             Submitted ─▶ Answered    known: its offset
//!                 └─▶ Again ─▶ Submitted    same sequence, after a wait, the first one first
//!                       └─▶ Failed     given up; what it leaves undecided, the next epoch decides
//! ```
//!
//! Invariants (I1, I5, I6 of the promise):
//! 1. A batch that may be in the log keeps its sequence until its fate is known.
//! 2. A batch is submitted only when every one before it was accepted.
//! 3. A sequence is given again only if its batch is proven absent.
//! 4. A new epoch begins only with an empty window.
//!
//! Source: Kafka `TransactionManager`, `ProducerBatch`, KIP-360.

use std::collections::VecDeque;
use std::sync::Arc;

use log_core::clock::Tick;
use log_core::format::{BatchBuilder, RecordBatch};
use log_core::ids::Sequence;
use log_core::{AppendError, Appended, NotAppended, Offset};

use super::error::{NotSent, SendError, Unsettled, Verdict, prose};
use super::settings::Settings;
use super::split::split;
use super::ticket::Promise;
use crate::ids::ProducerIdAndEpoch;

/// A batch without a sequence.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) body: Body,
    pub(super) promise: Arc<Promise>,
    pub(super) count: u32,
    pub(super) created: Tick,
    /// Bytes of the buffer it holds.
    pub(super) charge: usize,
    /// Which batch of the producer it is: what a flush waits for.
    pub(super) number: u64,
    /// Takes no more records.
    pub(super) closed: bool,
}

/// Its records.
#[derive(Debug)]
pub(super) enum Body {
    Open(BatchBuilder),
    Sealed(RecordBatch),
}

/// A batch with a sequence.
#[derive(Debug)]
struct Numbered {
    entry: u64,
    sequence: Sequence,
    /// Absent only while it is being sealed.
    batch: Option<RecordBatch>,
    promise: Arc<Promise>,
    count: u32,
    created: Tick,
    charge: usize,
    number: u64,
    standing: Standing,
    /// An earlier try may have reached the log.
    maybe: bool,
    /// Its records have been told that it timed out.
    told: bool,
    tries: u32,
    last: Option<AppendError>,
}

#[derive(Clone, Debug)]
enum Standing {
    Submitted,
    Again,
    Answered(Offset),
    Failed(SendError),
}

impl Numbered {
    const fn gone(&self) -> Finished {
        Finished::Gone { bytes: self.charge, number: self.number }
    }

    fn is_live(&self) -> bool {
        !matches!(self.standing, Standing::Failed(_))
    }

    /// What its records hear when nothing is left to be tried.
    fn verdict(&self, refusal: NotSent) -> SendError {
        match (self.maybe, refusal) {
            (false, refusal) => SendError::NotAppended(refusal),
            (true, NotSent::Log(refusal) | NotSent::Fenced(refusal)) => {
                Unsettled::Refused(refusal).into()
            }
            (true, _) => Unsettled::Closed.into(),
        }
    }
}

/// What became of batches.
#[derive(Debug)]
pub(super) enum Finished {
    /// So many more records of a batch have this answer.
    Tell(Arc<Promise>, u32, Result<Offset, SendError>),
    /// A piece of batch `number` is gone, with its bytes of the buffer.
    Gone { bytes: usize, number: u64 },
    /// Batch `number` has one more piece.
    Split { number: u64 },
}

/// What is to be done for a lane.
#[derive(Debug)]
pub(super) enum Step {
    /// Append this; its answer goes to [`Lane::answer`].
    Append(Outgoing),
    /// A producer id or a new epoch is needed first.
    NeedIdentity,
    /// Nothing before that time.
    Idle(Option<Tick>),
}

/// A batch on its way to the log.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) entry: u64,
    pub(super) body: Body,
    /// What to put into its header, if it has not been there.
    pub(super) stamp: Option<(ProducerIdAndEpoch, Sequence)>,
}

/// The batches of one partition.
#[derive(Debug)]
pub(super) struct Lane {
    queue: VecDeque<Batch>,
    window: VecDeque<Numbered>,
    identity: Option<ProducerIdAndEpoch>,
    next_sequence: Sequence,
    /// A sequence was given up without knowing whether its batch is in the log.
    unresolved: bool,
    retry_at: Tick,
    next_entry: u64,
}

impl Lane {
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            window: VecDeque::new(),
            identity: None,
            next_sequence: Sequence::ZERO,
            unresolved: false,
            retry_at: Tick::from_nanos(0),
            next_entry: 0,
        }
    }

    /// The batch that takes records, if there is one.
    pub(super) fn open(
        &mut self,
    ) -> Option<(&mut BatchBuilder, &mut u32, &mut usize, &Arc<Promise>)> {
        match self.queue.back_mut() {
            Some(Batch {
                body: Body::Open(builder),
                count,
                charge,
                promise,
                closed: false,
                ..
            }) => Some((builder, count, charge, promise)),
            _ => None,
        }
    }

    /// Adds a batch behind all others.
    pub(super) fn push(&mut self, batch: Batch) {
        self.close();
        self.queue.push_back(batch);
    }

    /// The open batch takes no more records, and so need not linger. Returns whether there is
    /// anything to be sent.
    pub(super) fn close(&mut self) -> bool {
        if let Some(last) = self.queue.back_mut() {
            last.closed = true;
        }
        !self.queue.is_empty()
    }

    /// What to do now. `identity` is the producer's; `None` where it has none yet.
    pub(super) fn step(
        &mut self,
        now: Tick,
        settings: &Settings,
        identity: Option<ProducerIdAndEpoch>,
        out: &mut Vec<Finished>,
    ) -> Step {
        self.expire(now, settings, out);
        if let Some(index) = self.window.iter().position(|n| matches!(n.standing, Standing::Again))
        {
            if now < self.retry_at {
                return Step::Idle(self.wake(settings, Some(self.retry_at)));
            }
            return self.resubmit(index);
        }
        let Some(first) = self.queue.front() else { return Step::Idle(self.wake(settings, None)) };
        let due = first.created.after(settings.linger);
        if !first.closed && now < due {
            return Step::Idle(self.wake(settings, Some(due)));
        }
        if now < self.retry_at {
            return Step::Idle(self.wake(settings, Some(self.retry_at)));
        }
        if self.window.len() >= settings.in_flight_max
            || (self.unresolved && !self.window.is_empty())
        {
            return Step::Idle(self.wake(settings, None));
        }
        if settings.idempotence && self.window.is_empty() && !self.adopt(identity) {
            return Step::NeedIdentity;
        }
        self.number(settings)
    }

    /// Takes over the producer's identity; `false` if a newer one is needed.
    fn adopt(&mut self, identity: Option<ProducerIdAndEpoch>) -> bool {
        let Some(identity) = identity else { return false };
        if self.identity == Some(identity) {
            return !self.unresolved;
        }
        self.identity = Some(identity);
        self.next_sequence = Sequence::ZERO;
        self.unresolved = false;
        true
    }

    /// Gives the first batch of the queue a sequence and a place in the window.
    fn number(&mut self, settings: &Settings) -> Step {
        let Some(batch) = self.queue.pop_front() else { return Step::Idle(None) };
        let entry = self.next_entry;
        self.next_entry += 1;
        let stamp = self.identity.filter(|_| settings.idempotence);
        let stamp = stamp.map(|identity| (identity, self.next_sequence));
        let sequence = self.next_sequence;
        if stamp.is_some() {
            self.next_sequence = sequence.increment(i32::try_from(batch.count).unwrap_or(i32::MAX));
        }
        self.window.push_back(Numbered {
            entry,
            sequence,
            batch: None,
            promise: batch.promise,
            count: batch.count,
            created: batch.created,
            charge: batch.charge,
            number: batch.number,
            standing: Standing::Submitted,
            maybe: false,
            told: false,
            tries: 1,
            last: None,
        });
        Step::Append(Outgoing { entry, body: batch.body, stamp })
    }

    fn resubmit(&mut self, index: usize) -> Step {
        let Some(numbered) = self.window.get_mut(index) else { return Step::Idle(None) };
        let Some(batch) = numbered.batch.clone() else { return Step::Idle(None) };
        numbered.standing = Standing::Submitted;
        numbered.tries = numbered.tries.saturating_add(1);
        Step::Append(Outgoing { entry: numbered.entry, body: Body::Sealed(batch), stamp: None })
    }

    /// Keeps what was sealed, for retries.
    pub(super) fn keep(&mut self, entry: u64, batch: &RecordBatch) {
        if let Some(numbered) = self.window.iter_mut().find(|n| n.entry == entry) {
            numbered.batch = Some(batch.clone());
        }
    }

    /// The log's answer to a batch. Returns whether the log has seen a newer epoch of this producer.
    pub(super) fn answer(
        &mut self,
        entry: u64,
        answer: Result<Appended, AppendError>,
        now: Tick,
        settings: &Settings,
        out: &mut Vec<Finished>,
    ) -> bool {
        let Some(index) = self.window.iter().position(|n| n.entry == entry) else { return false };
        let fenced = match answer {
            Ok(appended) => {
                if let Some(numbered) = self.window.get_mut(index) {
                    numbered.standing = Standing::Answered(appended.base_offset);
                }
                false
            }
            Err(error) => self.refused(index, error, now, settings, out),
        };
        self.settle(out);
        fenced
    }

    fn refused(
        &mut self,
        index: usize,
        error: AppendError,
        now: Tick,
        settings: &Settings,
        out: &mut Vec<Finished>,
    ) -> bool {
        let Some(numbered) = self.window.get_mut(index) else { return false };
        numbered.last = Some(error.clone());
        let more = numbered.tries <= settings.retries && !numbered.told;
        let backoff = settings.backoff(numbered.tries);
        let refusal = match error {
            AppendError::Indeterminate(fault) => {
                numbered.maybe = true;
                if more {
                    self.again(index, now.after(backoff));
                } else {
                    self.give_up(index, Unsettled::Fault(fault).into());
                }
                return false;
            }
            AppendError::NotAppended(refusal) => refusal,
        };
        match Verdict::of(&refusal) {
            Verdict::Unknown if settings.idempotence && !numbered.maybe => {
                self.renumber(index, out);
            }
            Verdict::Gap if settings.idempotence => {
                if numbered.sequence == Sequence::ZERO {
                    // Not even the first of its epoch is taken: do not ask in a tight loop.
                    self.retry_at = now.after(backoff);
                }
                self.renumber(index, out);
            }
            Verdict::OldDuplicate => {
                numbered.standing = Standing::Failed(Unsettled::Duplicate(refusal).into());
            }
            Verdict::Fenced => {
                let error = numbered.verdict(NotSent::Fenced(refusal));
                self.give_up(index, error);
                return true;
            }
            Verdict::TooLarge if numbered.count > 1 && !numbered.maybe && !numbered.told => {
                self.halve(index, refusal, settings, out);
            }
            _ if more && refusal.is_retriable() => self.again(index, now.after(backoff)),
            _ => {
                let error = numbered.verdict(NotSent::Log(refusal));
                self.give_up(index, error);
            }
        }
        false
    }

    fn again(&mut self, index: usize, at: Tick) {
        if let Some(numbered) = self.window.get_mut(index) {
            numbered.standing = Standing::Again;
            self.retry_at = self.retry_at.max(at);
        }
    }

    /// Tries no more. What is proven absent gives its sequence back; what is not leaves the epoch
    /// unresolved, unless a later batch will tell.
    fn give_up(&mut self, index: usize, error: SendError) {
        let decided_by_later = self.window.iter().skip(index + 1).any(Numbered::is_live);
        let Some(numbered) = self.window.get_mut(index) else { return };
        numbered.standing = Standing::Failed(error);
        if !numbered.maybe && !decided_by_later {
            self.next_sequence = numbered.sequence;
        } else if !decided_by_later {
            self.unresolved = true;
        }
    }

    /// The log expects another sequence, so this batch and those behind it are not in it: they go
    /// back into the queue, to be numbered in a new epoch.
    fn renumber(&mut self, index: usize, out: &mut Vec<Finished>) {
        self.unresolved = true;
        let mut back = self.window.split_off(index);
        let mut first = true;
        // From the last: each goes in front of the one behind it.
        let mut kept = VecDeque::new();
        while let Some(numbered) = back.pop_front() {
            let absent = first || matches!(numbered.standing, Standing::Again);
            first = false;
            match numbered.batch {
                Some(batch) if absent && !numbered.told => kept.push_back(Batch {
                    body: Body::Sealed(batch),
                    promise: numbered.promise,
                    count: numbered.count,
                    created: numbered.created,
                    charge: numbered.charge,
                    number: numbered.number,
                    closed: true,
                }),
                _ if absent && numbered.told => {
                    out.push(numbered.gone());
                }
                batch => self.window.push_back(Numbered { batch, ..numbered }),
            }
        }
        while let Some(batch) = kept.pop_back() {
            self.queue.push_front(batch);
        }
    }

    /// Too large for the log: two batches of half the records each.
    fn halve(
        &mut self,
        index: usize,
        refusal: NotAppended,
        settings: &Settings,
        out: &mut Vec<Finished>,
    ) {
        let Some(numbered) = self.window.get_mut(index) else { return };
        let whole = numbered.batch.as_ref();
        let halves = whole.and_then(|whole| split(whole, settings.compression));
        let Some((first, second)) = halves else {
            let error = numbered.verdict(NotSent::Log(refusal));
            self.give_up(index, error);
            return;
        };
        self.next_sequence = numbered.sequence;
        let Some(whole) = self.window.remove(index) else { return };
        out.push(Finished::Split { number: whole.number });
        let charges = [whole.charge / 2, whole.charge - whole.charge / 2];
        for (batch, charge) in [second, first].into_iter().zip(charges) {
            self.queue.push_front(Batch {
                count: batch.records_count(),
                body: Body::Sealed(batch),
                promise: Arc::clone(&whole.promise),
                created: whole.created,
                charge,
                number: whole.number,
                closed: true,
            });
        }
    }

    /// Tells the answers that are there, in the order of records.
    fn tell(&mut self, out: &mut Vec<Finished>) {
        for numbered in self.window.iter_mut().skip_while(|numbered| numbered.told) {
            let outcome = match &numbered.standing {
                Standing::Submitted | Standing::Again => break,
                Standing::Answered(offset) => Ok(*offset),
                Standing::Failed(error) => Err(error.clone()),
            };
            if !numbered.told {
                numbered.told = true;
                out.push(Finished::Tell(Arc::clone(&numbered.promise), numbered.count, outcome));
            }
        }
    }

    /// Tells the answers that are there, and lets go of what needs no more.
    fn settle(&mut self, out: &mut Vec<Finished>) {
        self.tell(out);
        let settled = |first: &mut Numbered| {
            matches!(first.standing, Standing::Answered(_) | Standing::Failed(_))
        };
        while let Some(first) = self.window.pop_front_if(settled) {
            out.push(first.gone());
        }
    }

    /// Answers what has waited for `delivery_timeout`.
    fn expire(&mut self, now: Tick, settings: &Settings, out: &mut Vec<Finished>) {
        let delivery_timeout = settings.delivery_timeout;
        let expired = |created: Tick| now.since(created) >= delivery_timeout;
        for index in 0..self.window.len() {
            let Some(numbered) = self.window.get_mut(index) else { break };
            if numbered.told || !expired(numbered.created) {
                continue;
            }
            let last = prose(numbered.last.as_ref());
            match numbered.standing {
                Standing::Submitted => {
                    numbered.told = true;
                    let error = Unsettled::TimedOut { delivery_timeout, last };
                    let promise = Arc::clone(&numbered.promise);
                    out.push(Finished::Tell(promise, numbered.count, Err(error.into())));
                }
                Standing::Again if numbered.maybe => {
                    self.give_up(index, Unsettled::TimedOut { delivery_timeout, last }.into());
                }
                Standing::Again => {
                    self.give_up(index, NotSent::TimedOut { delivery_timeout, last }.into());
                }
                Standing::Answered(_) | Standing::Failed(_) => {}
            }
            // Before the next one is told: what stands in front of it has expired as well.
            self.tell(out);
        }
        self.settle(out);
        // What stands behind a batch that is not answered waits for it, so that answers come in
        // the order of records.
        while self.window.iter().all(|numbered| numbered.told)
            && let Some(batch) = self.queue.pop_front_if(|first| expired(first.created))
        {
            let error = NotSent::TimedOut { delivery_timeout, last: prose(None) };
            refuse(batch, error, out);
        }
    }

    /// When to look again: at `due`, or when something expires.
    fn wake(&self, settings: &Settings, due: Option<Tick>) -> Option<Tick> {
        let waiting = self.window.iter().find(|n| !n.told).map(|n| n.created);
        let oldest = waiting.or_else(|| self.queue.front().map(|first| first.created));
        let expiry = oldest.map(|created| created.after(settings.delivery_timeout));
        due.into_iter().chain(expiry).min()
    }

    /// Answers everything that has no answer: the producer goes no further. With `abandon` also
    /// what is submitted, whose answer then nobody hears.
    pub(super) fn fail(&mut self, refusal: &NotSent, abandon: bool, out: &mut Vec<Finished>) {
        for index in 0..self.window.len() {
            let Some(numbered) = self.window.get_mut(index) else { break };
            let error = match numbered.standing {
                Standing::Again => numbered.verdict(refusal.clone()),
                Standing::Submitted if abandon => Unsettled::Closed.into(),
                _ => continue,
            };
            self.give_up(index, error);
        }
        self.settle(out);
        for batch in self.queue.drain(..) {
            refuse(batch, refusal.clone(), out);
        }
    }

    /// Whether nothing waits for anything.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.window.is_empty()
    }
}

/// Answers a batch that was never submitted.
fn refuse(batch: Batch, refusal: NotSent, out: &mut Vec<Finished>) {
    out.push(Finished::Tell(batch.promise, batch.count, Err(SendError::NotAppended(refusal))));
    out.push(Finished::Gone { bytes: batch.charge, number: batch.number });
}
