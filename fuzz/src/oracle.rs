//! What must be there: the obvious model of one partition, against which a store is judged.
//!
//! ```text
//!   accepted   batch 0   batch 1   batch 2   batch 3      in the order of their offsets
//!   after a crash  every batch up to the last one acked Written or Synced
//!   after a cut    every batch up to the last one acked Synced, seen by a reader, or found before
//!   and in any case a prefix, each record where it was and as it was (D2 to D5 of the promise)
//!
//!   log start    only rises: by a deletion that was answered, or as the settings allow     (D6)
//!   truncation   answered: what was above is gone for good; cut short: all of it or none
//! ```
//!
//! Deleted batches stay in the model: their producers are still remembered (S15).

use log_core::disk::sim::Stop;
use log_core::{AppendError, Durability, Recovered, Ticket};

use crate::history::time_of;

/// One accepted batch.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Entry {
    /// Offset of its first record.
    pub base: i64,
    /// Its records, by what they say.
    pub ids: Vec<u64>,
    /// The level it was asked for.
    pub level: Durability,
    /// Its ticket, until that is answered.
    pub ticket: Option<Ticket>,
    /// Whose it is, where it has a producer.
    pub tag: Option<Tag>,
    /// The highest level it was acknowledged at, in this life.
    pub acked: Option<Durability>,
}

/// A producer's batch, by its numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, missing_docs, reason = "test machinery")]
pub struct Tag {
    pub id: i64,
    pub epoch: i16,
    pub sequence: i32,
    pub records: i32,
}

/// What has to become of a producer's batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "test machinery")]
pub enum Expect {
    /// It is appended.
    Append,
    /// It is the batch of this entry.
    Duplicate(usize),
    /// It is refused with this code.
    Refused(i16),
}

/// A producer as a reader of the log knows it: id, epoch, and the last five batches of it, newest
/// first, each by first sequence, first and last offset.
pub type Known = (i64, i16, Vec<(i32, i64, i64)>);

impl Entry {
    const fn next(&self) -> i64 {
        self.base + self.ids.len() as i64
    }

    fn records(&self) -> impl Iterator<Item = Found> {
        self.ids.iter().enumerate().map(|(index, id)| (self.base + index as i64, *id))
    }
}

/// Records deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "test machinery")]
pub enum Trim {
    /// None, or by the settings.
    Nothing,
    /// Those below.
    Start(i64),
    /// Those from there on.
    End(i64),
    /// All; the next one is this.
    Restart(i64),
}

/// What the settings allow a log's start to do by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "test machinery")]
pub enum Rule {
    /// It stays.
    Nothing,
    /// It rises past records with earlier timestamps.
    OlderThan(i64),
    /// It rises.
    Anything,
}

/// The model after a trim, as far as a life that follows can see it.
struct Bounds {
    start: i64,
    /// It may start lower: where the batch goes that the start is in.
    start_least: i64,
    entries: usize,
    crash_floor: usize,
    cut_floor: usize,
    end_floor: i64,
}

/// The model of one partition.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Everything accepted in this life, and what earlier lives left.
    pub entries: Vec<Entry>,
    /// Batches that must outlive a crash.
    crash_floor: usize,
    /// Batches that must outlive a cut.
    cut_floor: usize,
    /// Where the log ended when it was last opened: a gap may outlive the batch behind it.
    end_floor: i64,
    /// Where the log starts: records below are deleted.
    start: i64,
    /// A deletion that was cut short: it has happened or not.
    doubtful: Option<Trim>,
    /// The highest high watermark seen in this life.
    high_watermark: i64,
    /// Repetitions that wait for their answer: of which entry, at which level.
    repeats: Vec<(usize, Durability, Ticket)>,
}

/// A record as it was read: offset and what it says.
pub type Found = (i64, u64);

impl Ledger {
    /// The next offset, if everything accepted is still there.
    #[must_use]
    pub fn log_end(&self) -> i64 {
        self.entries.last().map_or(0, Entry::next).max(self.end_floor)
    }

    /// Takes in the answers that have come. Returns how many append errors there were.
    pub fn settle(&mut self) -> Result<(usize, usize), String> {
        let (mut acked, mut failed) = (0, 0);
        for index in 0..self.entries.len() {
            let entry = &mut self.entries[index];
            let Some(outcome) = entry.ticket.as_ref().and_then(Ticket::try_result) else {
                continue;
            };
            entry.ticket = None;
            match outcome {
                Ok(appended) if appended.base_offset.get() == entry.base => {
                    acked += 1;
                    let level = entry.level;
                    self.acknowledge(index, level);
                }
                Ok(appended) => {
                    return Err(format!("{appended:?} acks the batch at {}", entry.base));
                }
                Err(AppendError::Indeterminate(_)) => failed += 1,
                Err(error) => return Err(format!("accepted, then {error} (D8)")),
            }
        }
        for (index, level, ticket) in core::mem::take(&mut self.repeats) {
            match ticket.try_result() {
                None => self.repeats.push((index, level, ticket)),
                Some(Ok(appended)) => {
                    acked += 1;
                    let base = self.entries[index].base;
                    if !appended.duplicate || appended.base_offset.get() != base {
                        return Err(format!("{appended:?} repeats the batch at {base} (I2)"));
                    }
                    self.acknowledge(index, level);
                }
                Some(Err(AppendError::Indeterminate(_))) => failed += 1,
                Some(Err(error)) => return Err(format!("known, then {error} (D8)")),
            }
        }
        Ok((acked, failed))
    }

    /// The batch of `index` is acknowledged at `level`, and with it all before it: whatever the
    /// answer was to, it outlives what its level says (D9).
    fn acknowledge(&mut self, index: usize, level: Durability) {
        let entry = &mut self.entries[index];
        entry.acked = entry.acked.max(Some(level));
        if level != Durability::Buffered {
            self.crash_floor = self.crash_floor.max(index + 1);
        }
        if level == Durability::Synced {
            self.cut_floor = self.cut_floor.max(index + 1);
        }
    }

    /// Whether anybody still waits for an answer.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.repeats.is_empty() || self.entries.iter().any(|entry| entry.ticket.is_some())
    }

    /// The batch of `entry` was sent again and is said to be known.
    pub fn repeated(&mut self, entry: usize, level: Durability, ticket: Ticket) {
        self.repeats.push((entry, level, ticket));
    }

    /// Whether the batch was acknowledged as durable in this life.
    #[must_use]
    pub fn is_acked(&self, tag: &Tag) -> bool {
        let synced = Some(Durability::Synced);
        self.entries.iter().any(|entry| entry.tag == Some(*tag) && entry.acked == synced)
    }

    /// The producer's batches in the log, newest first.
    fn batches(&self, id: i64) -> impl Iterator<Item = (usize, Tag)> {
        batches_of(&self.entries, id)
    }

    /// What has to become of a batch, going by nothing but the batches in the log (I1, I2).
    #[must_use]
    pub fn verdict(&self, tag: &Tag) -> Expect {
        let Some((_, last)) = self.batches(tag.id).next() else {
            return if tag.sequence == 0 { Expect::Append } else { Expect::Refused(59) };
        };
        if tag.epoch < last.epoch {
            return Expect::Refused(47);
        }
        if tag.epoch > last.epoch {
            return if tag.sequence == 0 { Expect::Append } else { Expect::Refused(45) };
        }
        let known: Vec<_> =
            self.batches(tag.id).take_while(|found| found.1.epoch == tag.epoch).take(5).collect();
        if let Some((index, _)) = known.iter().find(|(_, known)| known == tag) {
            return Expect::Duplicate(*index);
        }
        let oldest = known.last().map_or(0, |(_, known)| known.sequence);
        match tag.sequence {
            next if next == last.sequence + last.records => Expect::Append,
            early if early + tag.records <= oldest => Expect::Refused(46),
            _ => Expect::Refused(45),
        }
    }

    /// Of batches below `first`, which are deleted, no more is known than `found` says.
    pub fn forget_below(&mut self, first: i64, found: &[Known]) {
        for entry in self.entries.iter_mut().take_while(|entry| entry.next() <= first) {
            let known = entry.tag.is_some_and(|tag| {
                let mine = found.iter().filter(|known| (known.0, known.1) == (tag.id, tag.epoch));
                mine.flat_map(|known| &known.2).any(|batch| batch.1 == entry.base)
            });
            if !known {
                entry.tag = None;
            }
        }
    }

    /// What a reader of the log knows of its producers, ascending by id.
    #[must_use]
    pub fn producers(&self) -> Vec<Known> {
        producers_of(&self.entries)
    }

    /// Every record in the log, by what it says, the deleted ones at its start too.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.entries.iter().flat_map(|entry| entry.ids.iter().copied())
    }

    /// The records deleted from the start.
    pub fn deleted(&self) -> impl Iterator<Item = u64> {
        let all = self.entries.iter().flat_map(Entry::records);
        all.take_while(|record| record.0 < self.start).map(|record| record.1)
    }

    /// A reader saw everything below `next_offset`.
    pub fn seen(&mut self, next_offset: i64, durable: bool) {
        let batches = self.entries.partition_point(|entry| entry.next() <= next_offset);
        self.crash_floor = self.crash_floor.max(batches);
        if durable {
            self.cut_floor = self.cut_floor.max(batches);
        }
    }

    /// Checks what a reader found against what was accepted (R3).
    pub fn check_records(&self, found: &[Found]) -> Result<(), String> {
        for (offset, id) in found {
            let index = self.entries.partition_point(|entry| entry.next() <= *offset);
            let expected = self.entries.get(index).and_then(|entry| {
                entry.ids.get(usize::try_from(*offset - entry.base).ok()?).copied()
            });
            if expected != Some(*id) {
                return Err(format!("offset {offset} holds {id:x}, accepted was {expected:x?}"));
            }
        }
        Ok(())
    }

    /// Checks that the high watermark does not go back (D6).
    pub fn check_high_watermark(&mut self, offset: i64) -> Result<(), String> {
        if offset < self.high_watermark {
            let before = self.high_watermark;
            return Err(format!("the high watermark went back from {before} to {offset} (D6)"));
        }
        self.high_watermark = offset;
        Ok(())
    }

    /// Where the log starts.
    #[must_use]
    pub const fn log_start(&self) -> i64 {
        self.start
    }

    /// The records below `to` are deleted, and the answer has come.
    pub fn deleted_below(&mut self, to: i64) {
        self.start = self.start.max(to);
    }

    /// The log is seen to start at `start`, with settings that allow it as `rule` says.
    pub fn see_start(&mut self, start: i64, rule: Rule) -> Result<(), String> {
        self.may_start(self.start, start, rule)?;
        self.start = start;
        Ok(())
    }

    fn may_start(&self, before: i64, start: i64, rule: Rule) -> Result<(), String> {
        let younger = |oldest: i64| {
            let gone = self.entries.iter().flat_map(Entry::records);
            let mut gone = gone.filter(|(offset, _)| (before..start).contains(offset));
            gone.find(|(_, id)| time_of(*id).get() >= oldest)
        };
        match rule {
            _ if start == before => Ok(()),
            Rule::Anything if start > before => Ok(()),
            Rule::OlderThan(oldest) if start > before => younger(oldest).map_or(Ok(()), |found| {
                Err(format!("the record at {} went before its time", found.0))
            }),
            _ => Err(format!("the log starts at {start}, not at {before} (D6)")),
        }
    }

    /// Whether it is not known what is left of the log.
    #[must_use]
    pub const fn is_in_doubt(&self) -> bool {
        self.doubtful.is_some()
    }

    /// A deletion was cut short.
    pub const fn in_doubt(&mut self, trim: Trim) {
        self.doubtful = Some(trim);
    }

    /// Records were deleted, and the answer has come: everything that is left is durable, and the
    /// log starts at `start`. Returns whether there were any.
    pub fn trim(&mut self, trim: Trim, start: i64) -> Result<bool, String> {
        let log_end = self.log_end();
        if matches!(trim, Trim::End(to) if to >= log_end) {
            return Ok(false);
        }
        if self.is_waiting() {
            return Err(format!("{trim:?} is done, and an append is not answered"));
        }
        let bounds = self.bounds(trim);
        if !(bounds.start_least..=bounds.start).contains(&start) {
            return Err(format!("{trim:?} left a log that starts at {start}"));
        }
        self.entries.truncate(bounds.entries);
        self.start = start;
        (self.crash_floor, self.cut_floor) = (bounds.crash_floor, bounds.cut_floor);
        // What is left free below is recorded as a gap by then.
        self.end_floor = match trim {
            Trim::End(to) | Trim::Restart(to) => to,
            Trim::Start(_) | Trim::Nothing => self.end_floor,
        };
        self.high_watermark = 0;
        Ok(true)
    }

    fn bounds(&self, trim: Trim) -> Bounds {
        let mut bounds = Bounds {
            start: self.start,
            start_least: self.start,
            entries: self.entries.len(),
            crash_floor: self.crash_floor.max(self.cut_floor),
            cut_floor: self.cut_floor,
            end_floor: self.end_floor,
        };
        let to = match trim {
            Trim::Nothing => return bounds,
            Trim::Start(to) => {
                bounds.start = bounds.start.max(to);
                bounds.start_least = bounds.start;
                return bounds;
            }
            Trim::End(to) if to >= self.log_end() => return bounds,
            Trim::End(to) => {
                bounds.entries = self.entries.partition_point(|entry| entry.next() <= to);
                bounds.start = bounds.start.min(to);
                let left = self.entries[..bounds.entries].last().map_or(0, Entry::next);
                bounds.start_least = bounds.start.min(left);
                to
            }
            Trim::Restart(to) => {
                (bounds.entries, bounds.start, bounds.start_least) = (0, to, to);
                to
            }
        };
        (bounds.crash_floor, bounds.cut_floor) = (bounds.entries, bounds.entries);
        bounds.end_floor = bounds.end_floor.min(to);
        bounds
    }

    /// Judges what a new life found after `stop`, records and both ends, then takes it as the
    /// truth. Returns whether records turned out to be deleted from the end.
    pub fn recover(
        &mut self,
        stop: Option<Stop>,
        found: &[Found],
        (start, end): (i64, i64),
        rule: Rule,
        producers: &[Known],
    ) -> Result<bool, String> {
        let doubtful = self.doubtful.take().unwrap_or(Trim::Nothing);
        let mut trim = Trim::Nothing;
        let mut fits = self.fits(stop, trim, found, (start, end), rule);
        if doubtful != Trim::Nothing {
            let other = self.fits(stop, doubtful, found, (start, end), rule);
            // Where both look alike, the producers tell.
            let alike = |batches: usize| producers_of(&self.entries[..batches]) == producers;
            fits = match (fits, other) {
                (Err(first), Err(other)) => {
                    Err(format!("{first}; or, if {doubtful:?} has happened, {other}"))
                }
                (Ok(batches), other) if other.is_err() || alike(batches) => Ok(batches),
                (_, other) => {
                    trim = doubtful;
                    other
                }
            };
        }
        let batches = fits?;
        self.start = start;
        self.end_floor = end;
        self.entries.truncate(batches);
        self.entries.iter_mut().for_each(|entry| (entry.ticket, entry.acked) = (None, None));
        self.repeats.clear();
        self.crash_floor = batches;
        self.cut_floor = batches;
        self.high_watermark = 0;
        Ok(matches!(trim, Trim::End(_) | Trim::Restart(_)))
    }

    /// How many batches are left in a log that was found so, if that is what may be left.
    fn fits(
        &self,
        stop: Option<Stop>,
        trim: Trim,
        found: &[Found],
        (start, end): (i64, i64),
        rule: Rule,
    ) -> Result<usize, String> {
        let bounds = self.bounds(trim);
        let entries = &self.entries[..bounds.entries];
        if !(bounds.start_least..bounds.start).contains(&start) {
            self.may_start(bounds.start, start, rule)
                .map_err(|why| format!("after {stop:?} {why}"))?;
        }
        let floor = match stop {
            None => entries.len(),
            Some(Stop::Crash) => bounds.crash_floor,
            Some(Stop::Cut) => bounds.cut_floor,
        };
        let accepted = entries.iter().flat_map(Entry::records).filter(|record| record.0 >= start);
        let common = accepted.zip(found).take_while(|(accepted, found)| accepted == *found).count();
        if let Some((offset, id)) = found.get(common) {
            return Err(format!(
                "after {stop:?} offset {offset} holds {id:x}, which was not accepted there (D4)"
            ));
        }
        let mut batches = entries.partition_point(|entry| entry.next() <= start);
        let mut records = 0;
        while let Some(entry) = entries.get(batches) {
            let there = entry.records().filter(|record| record.0 >= start).count();
            if records + there > found.len() {
                break;
            }
            records += there;
            batches += 1;
        }
        if records != found.len() {
            return Err(format!("after {stop:?} a batch is there in part (D4): {records} records"));
        }
        if batches < floor {
            let lost = &entries[batches];
            return Err(format!(
                "after {stop:?} the batch at {} ({:?}) and later are lost; {floor} batches had to \
                 be there, {batches} are (D2, D3, D5)",
                lost.base, lost.level
            ));
        }
        let left = entries[..batches].last().map_or(0, Entry::next);
        let may_end = [
            left,
            bounds.end_floor,
            self.entries.get(batches).map_or(i64::MAX, |next| next.base),
            match trim {
                Trim::Nothing => i64::MAX,
                Trim::Start(_) => start,
                Trim::End(to) | Trim::Restart(to) => to,
            },
        ];
        // A truncation that was cut short may end the log before the gap that leads to its place.
        let short = matches!(trim, Trim::End(to) if (left..=to).contains(&end));
        if !(short || may_end.contains(&end)) || end < start {
            return Err(format!("after {stop:?} the log ends at {end}, not at one of {may_end:?}"));
        }
        if end < bounds.end_floor && trim == Trim::Nothing {
            let before = bounds.end_floor;
            return Err(format!(
                "after {stop:?} the log ends at {end}, before that at {before} (D6)"
            ));
        }
        Ok(batches)
    }

    /// Judges a partition whose stored bytes were changed: detected, or equal (D10, R1).
    pub fn recover_rotten(
        &self,
        found: &[Found],
        damaged: &[(i64, i64)],
        recovered: &Recovered,
    ) -> Result<(), String> {
        self.check_records(found)?;
        let vouched = recovered.durable_offset.map_or(0, log_core::Offset::get);
        if self.doubtful.is_some() {
            return Ok(());
        }
        let start = self.start.max(recovered.log_start_offset.get());
        let mut read = found.iter().map(|(offset, _)| *offset).peekable();
        for entry in self.entries.iter().take(self.cut_floor) {
            for offset in entry.base.max(start)..entry.next().min(vouched) {
                while read.next_if(|found| *found < offset).is_some() {}
                let is_read = read.peek() == Some(&offset);
                let is_named = damaged.iter().any(|range| (range.0..range.1).contains(&offset));
                if !is_read && !is_named {
                    return Err(format!(
                        "offset {offset} was durable, is gone, and is not named (D10)"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The batches of a producer, newest first.
fn batches_of(entries: &[Entry], id: i64) -> impl Iterator<Item = (usize, Tag)> {
    let tagged = |(index, entry): (usize, &Entry)| Some((index, entry.tag?));
    let all = entries.iter().enumerate().rev().filter_map(tagged);
    all.filter(move |found| found.1.id == id)
}

/// What a reader of `entries` knows of their producers, ascending by id.
fn producers_of(entries: &[Entry]) -> Vec<Known> {
    let mut ids: Vec<i64> = entries.iter().filter_map(|entry| Some(entry.tag?.id)).collect();
    ids.sort_unstable();
    ids.dedup();
    let describe = |id| {
        let epoch = batches_of(entries, id).next().map_or(0, |(_, last)| last.epoch);
        let batches = batches_of(entries, id).take_while(|found| found.1.epoch == epoch).take(5);
        let batches = batches.map(|(index, tag)| {
            let base = entries[index].base;
            (tag.sequence, base, base + i64::from(tag.records) - 1)
        });
        (id, epoch, batches.collect())
    };
    ids.into_iter().map(describe).collect()
}
