//! Producers that send again until they know: the other half of exactly-once (I6).
//!
//! ```text
//!   flight   │ oldest … newest │  at most five, in order; each is sent again, at any level, until
//!            its Synced append was acknowledged; a new life makes all of them doubtful
//!   recent   acknowledged ones, sent again late
//! ```
//!
//! Nothing here knows what the log holds: it acts on answers alone. What each answer has to be, the
//! ledger knows ([`crate::oracle::Ledger::verdict`]), which is a plain reading of the batches that were found.

use std::collections::{BTreeSet, VecDeque};

use log_core::format::{BatchOptions, RecordBatch};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence};
use log_core::{AppendError, Durability, Log, LogState};

use super::read::read_around;
use super::{History, Step};
use crate::oracle::{Entry, Expect, Known, Tag};
use crate::plan::Weather;

/// Batches a producer has under way.
const FLIGHT_MAX: usize = 5;
/// Acknowledged batches it may send again.
const RECENT_MAX: usize = 8;
/// Rounds after which a producer that nothing disturbs has its answers.
const ROUNDS_MAX: usize = 40;

/// A batch that is sent until it is known to be there.
#[derive(Clone, Debug)]
struct Sent {
    tag: Tag,
    batch: RecordBatch,
    /// Its records, by what they say.
    ids: Vec<u64>,
    /// Taken in this life of the partition, as far as its producer knows.
    taken: bool,
}

/// One producer of one partition.
#[derive(Debug, Default)]
pub(super) struct Sender {
    epoch: i16,
    next_sequence: i32,
    flight: VecDeque<Sent>,
    recent: VecDeque<Sent>,
    /// Every record it ever began to send, in order.
    ids: Vec<u64>,
}

/// What came of one append.
enum Offered {
    Taken,
    Refused,
}

impl History<'_> {
    /// Stored bytes have changed: what the log holds is anybody's guess.
    const fn is_beyond_judging(&self) -> bool {
        self.rotten || self.done
    }

    /// The partition's number and the sender's, for raw numbers.
    fn sender(&self, partition: u64, producer: u64) -> (usize, usize) {
        (self.index(partition), (producer % self.senders[0].len() as u64) as usize)
    }

    fn options(tag: Tag) -> BatchOptions {
        let none = || (ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE);
        let named = || {
            Some((
                ProducerId::new(tag.id)?,
                ProducerEpoch::new(tag.epoch)?,
                Sequence::new(tag.sequence)?,
            ))
        };
        let (id, epoch, sequence) = named().unwrap_or_else(none);
        BatchOptions::new().producer(id, epoch, sequence)
    }

    /// Begins a new batch, if fewer than five are under way, and sends what is not known to be sent.
    pub(super) fn produce(
        &mut self,
        (partition, producer): (u64, u64),
        records: u64,
        bytes: u64,
        level: Durability,
    ) -> Step {
        if self.is_beyond_judging() {
            return Ok(());
        }
        let (index, number) = self.sender(partition, producer);
        self.confirm(index, number);
        let sender = &self.senders[index][number];
        if sender.flight.len() < FLIGHT_MAX {
            let id = 100 * index as i64 + number as i64;
            let (epoch, sequence) = (sender.epoch, sender.next_sequence);
            let mut tag = Tag { id, epoch, sequence, records: records as i32 };
            let (batch, ids) = self.batch_of(Self::options(tag), records, bytes);
            tag.records = ids.len() as i32;
            let sender = &mut self.senders[index][number];
            sender.next_sequence += tag.records;
            sender.ids.extend(&ids);
            sender.flight.push_back(Sent { tag, batch, ids, taken: false });
        }
        self.send(index, number, level)
    }

    /// Sends, in order, what this life of the partition has not taken yet.
    fn send(&mut self, index: usize, number: usize, level: Durability) -> Step {
        for at in 0..self.senders[index][number].flight.len() {
            let sent = self.senders[index][number].flight[at].clone();
            if sent.taken {
                continue;
            }
            match self.offer(index, &sent, level)? {
                Offered::Taken => self.senders[index][number].flight[at].taken = true,
                Offered::Refused => break,
            }
        }
        Ok(())
    }

    /// Sends some batch again, whatever has become of it: under way, in doubt, or long done.
    pub(super) fn retry(
        &mut self,
        (partition, producer): (u64, u64),
        which: u64,
        level: Durability,
    ) -> Step {
        if self.is_beyond_judging() {
            return Ok(());
        }
        let (index, number) = self.sender(partition, producer);
        self.confirm(index, number);
        let sender = &self.senders[index][number];
        let all: Vec<&Sent> = sender.recent.iter().chain(&sender.flight).collect();
        let Some(sent) = all.get((which % (all.len() as u64).max(1)) as usize) else {
            return Ok(());
        };
        let sent = (*sent).clone();
        if let Offered::Taken = self.offer(index, &sent, level)? {
            let flight = &mut self.senders[index][number].flight;
            if let Some(mine) = flight.iter_mut().find(|mine| mine.tag == sent.tag) {
                mine.taken = true;
            }
        }
        Ok(())
    }

    /// Sends what no sound producer sends: a gap, an overlap, an old epoch, somebody unknown.
    pub(super) fn wrong(&mut self, (partition, producer): (u64, u64), kind: u64) -> Step {
        if self.is_beyond_judging() {
            return Ok(());
        }
        let (index, number) = self.sender(partition, producer);
        let sender = &self.senders[index][number];
        let id = 100 * index as i64 + number as i64;
        let tag = Tag { id, epoch: sender.epoch, sequence: sender.next_sequence, records: 2 };
        let far = 1 + ((kind >> 8) % 9) as i32;
        let tag = match kind % 5 {
            0 => Tag { sequence: tag.sequence + far, ..tag },
            1 => Tag { sequence: (tag.sequence - 1).max(0), ..tag },
            2 => Tag { epoch: (tag.epoch - 1).max(0), ..tag },
            3 => Tag { sequence: (tag.sequence - 10 * far).max(0), ..tag },
            _ => Tag { id: id + 50, sequence: far, ..tag },
        };
        // Where it would be right, or is known, it is left alone: its records are not those.
        if !matches!(self.ledgers[index].verdict(&tag), Expect::Refused(_)) {
            return Ok(());
        }
        let (batch, ids) = self.batch_of(Self::options(tag), 2, 20);
        self.offer(index, &Sent { tag, batch, ids, taken: false }, Durability::Written).map(drop)
    }

    /// Begins a new epoch, which a producer may once nothing of it is in doubt.
    pub(super) fn bump(&mut self, partition: u64, producer: u64) {
        let (index, number) = self.sender(partition, producer);
        self.confirm(index, number);
        let sender = &mut self.senders[index][number];
        if sender.flight.is_empty() {
            sender.epoch += 1;
            sender.next_sequence = 0;
        }
    }

    /// Appends one batch and holds the answer against what the log holds.
    fn offer(&mut self, index: usize, sent: &Sent, level: Durability) -> Result<Offered, String> {
        let (log, ledger) = (&self.logs[index], &mut self.ledgers[index]);
        let expect = ledger.verdict(&sent.tag);
        let answer = if sent.tag.sequence % 2 == 0 {
            log.append(sent.batch.clone(), level)
        } else {
            log.append_raw(sent.batch.as_bytes(), level)
        };
        let tag = sent.tag;
        match (answer, expect) {
            (Ok(ticket), Expect::Append) => {
                let base = ticket.base_offset().get();
                if base < ledger.log_end() {
                    return Err(format!("{tag:?} is said to be at {base}, and is nowhere (I4)"));
                }
                self.stats.appends += 1;
                let ids = sent.ids.clone();
                let (ticket, tag) = (Some(ticket), Some(tag));
                ledger.entries.push(Entry { base, ids, level, ticket, tag, acked: None });
                Ok(Offered::Taken)
            }
            (Ok(ticket), Expect::Duplicate(entry)) => {
                let (base, found) = (ledger.entries[entry].base, ticket.base_offset().get());
                if base != found {
                    return Err(format!("{tag:?} is at {base}, and said to be at {found} (I2)"));
                }
                self.stats.repeats += 1;
                ledger.repeated(entry, level, ticket);
                Ok(Offered::Taken)
            }
            (Ok(_), Expect::Refused(code)) => Err(format!("{tag:?} is taken, not refused: {code}")),
            (Err(AppendError::NotAppended(refusal)), expect) => {
                let code = refusal.kafka_code();
                self.stats.refusals += 1;
                let fits = match expect {
                    Expect::Refused(expected) if is_sequence(code) => expected == code,
                    // No space, offline: what the disk is to blame for, or a store that stopped.
                    _ if is_sequence(code) => false,
                    _ => self.plan.weather != Weather::Calm || self.directory.is_over(),
                };
                if fits {
                    Ok(Offered::Refused)
                } else {
                    Err(format!("{tag:?} is refused, expected was {expect:?}: {refusal}"))
                }
            }
            (Err(error), _) => Err(format!("an append that has no ticket says {error} (D8)")),
        }
    }

    /// Lets go of batches at the front of the flight that are known to be durable.
    fn confirm(&mut self, index: usize, number: usize) {
        let ledger = &self.ledgers[index];
        let sender = &mut self.senders[index][number];
        while sender.flight.front().is_some_and(|sent| ledger.is_acked(&sent.tag)) {
            sender.recent.extend(sender.flight.pop_front());
        }
        let surplus = sender.recent.len().saturating_sub(RECENT_MAX);
        sender.recent.drain(..surplus);
    }

    /// Another life of a partition: nothing that is under way is known to be taken.
    pub(super) fn doubt(&mut self, index: usize) {
        for sender in &mut self.senders[index] {
            sender.flight.iter_mut().for_each(|sent| sent.taken = false);
        }
    }

    /// Records were deleted from the end: their producers begin anew, with what is left of theirs.
    pub(super) fn rewind(&mut self, index: usize) {
        let left: BTreeSet<u64> = self.ledgers[index].ids().collect();
        for sender in &mut self.senders[index] {
            if sender.ids.is_empty() {
                continue;
            }
            sender.epoch += 1;
            sender.next_sequence = 0;
            sender.flight.clear();
            sender.recent.clear();
            sender.ids.retain(|id| left.contains(id));
        }
    }

    /// What the log knows of its producers.
    pub(super) fn producers(log: &Log) -> Vec<Known> {
        let describe = |info: log_core::ProducerInfo| {
            let known = |known: &log_core::RememberedBatch| {
                (known.base_sequence.get(), known.base_offset.get(), known.last_offset.get())
            };
            let batches: Vec<_> = info.batches.iter().map(known).collect();
            (info.producer_id.get(), info.producer_epoch.get(), batches)
        };
        log.producers().into_iter().map(describe).collect()
    }

    /// The state that was read or rebuilt is that of the batches found (I3).
    pub(super) fn check_producers(&mut self, index: usize) -> Step {
        let found = Self::producers(&self.logs[index]);
        let mut expected = self.ledgers[index].producers();
        let writes_fail = matches!(self.plan.weather, Weather::Errors | Weather::Full);
        if found != expected && writes_fail {
            // A snapshot that could not be written: of what it alone knew, less is known now.
            let first = self.logs[index].info().segments.first().map_or(0, |s| s.base_offset.get());
            self.ledgers[index].forget_below(first, &found);
            self.rewind(index);
            expected = self.ledgers[index].producers();
        }
        if found != expected {
            return Err(format!(
                "producers are remembered as {found:?}, the log holds {expected:?} (I3)"
            ));
        }
        Ok(())
    }

    /// Every producer sends until it knows; then the log holds each batch once, in order (I6).
    pub(super) fn drain(&mut self) -> Step {
        if self.rotten || self.plan.weather == Weather::Lies || self.done {
            return Ok(());
        }
        self.directory.disarm();
        self.armed = None;
        for _ in 0..ROUNDS_MAX {
            self.directory.set_faults(log_core::disk::sim::Faults::default());
            self.directory.set_capacity(None);
            self.clock.advance(core::time::Duration::from_secs(2));
            let mut waiting = false;
            for index in 0..self.logs.len() {
                if matches!(self.logs[index].info().state, LogState::Offline(_)) {
                    self.reopen(index as u64)?;
                    self.directory.set_faults(log_core::disk::sim::Faults::default());
                }
                for number in 0..self.senders[index].len() {
                    self.confirm(index, number);
                    for at in 0..self.senders[index][number].flight.len() {
                        self.senders[index][number].flight[at].taken = false;
                    }
                    waiting |= !self.senders[index][number].flight.is_empty();
                    self.send(index, number, Durability::Synced)?;
                }
            }
            if !waiting {
                return self.once_and_in_order();
            }
            self.settle()?;
            self.check()?;
            if self.done {
                return Ok(());
            }
        }
        Err(format!("a producer has no answer after {ROUNDS_MAX} rounds (I6)"))
    }

    fn once_and_in_order(&mut self) -> Step {
        for index in 0..self.logs.len() {
            let (found, _) = read_around(&self.logs[index])?;
            let start = self.ledgers[index].log_start();
            let gone: BTreeSet<u64> = self.ledgers[index].deleted().collect();
            for sender in &self.senders[index] {
                let mine = |id: &u64| sender.ids.binary_search(id).is_ok();
                let read: Vec<u64> = found.iter().map(|(_, id)| *id).filter(mine).collect();
                let sent: Vec<u64> =
                    sender.ids.iter().copied().filter(|id| !gone.contains(id)).collect();
                if read != sent {
                    return Err(format!(
                        "a producer sent {sent:x?}, the log holds {read:x?} from {start} on (I6)"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Codes that speak of a producer's sequence or epoch.
const fn is_sequence(code: i16) -> bool {
    matches!(code, 45..=48 | 59)
}

/// The senders of `partitions` partitions.
pub(super) fn senders(partitions: u32) -> Vec<Vec<Sender>> {
    (0..partitions).map(|_| vec![Sender::default(), Sender::default()]).collect()
}
