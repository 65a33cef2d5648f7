//! Records deleted from either end of a log, by request and by the topic's settings.
//!
//! A deletion that is answered holds from then on; one that was cut short by a
//! stop or a fault has happened or not, wholly, and the next opening says which.

use log_core::disk::sim::Stop;
use log_core::{Offset, TrimError};

use super::{History, Step};
use crate::oracle::Trim;
use crate::plan::Weather;

impl History<'_> {
    /// Deletes below some offset: within the log, above its durable end, or all that is durable.
    pub(super) fn delete(&mut self, partition: u64, at: u64) -> Step {
        if self.rotten {
            return Ok(());
        }
        let index = self.index(partition);
        let log = self.logs[index].clone();
        let (start, durable) = (log.log_start_offset().get(), log.high_watermark().get());
        let span = (log.log_end_offset().get() - start + 2).unsigned_abs();
        let to = start + (at / 4 % span).cast_signed();
        let asked = if at.is_multiple_of(4) { None } else { Offset::new(to) };
        let to = if asked.is_some() { to } else { durable };
        self.stats.trims += 1;
        self.note(format!("   {index}: deletes below {to} of {start}, {durable} durable"));
        match log.delete_records(asked) {
            Ok(now) if now.get() == to && log.log_start_offset() == now => {
                self.ledgers[index].deleted_below(to);
                Ok(())
            }
            Ok(now) => Err(format!("deleted below {to}, and the log starts at {now}")),
            Err(TrimError::OutOfRange { .. }) if to > durable => Ok(()),
            Err(error) => self.untrimmed(index, Trim::Start(to), &error),
        }
    }

    /// One pass of retention. What stays is no more than the settings keep.
    pub(super) fn retain(&mut self, partition: u64) -> Step {
        if self.rotten {
            return Ok(());
        }
        let index = self.index(partition);
        let log = self.logs[index].clone();
        let before = log.info();
        self.stats.trims += 1;
        if let Err(error) = log.enforce_retention() {
            // A stop may have come after the start was moved: the settings say where to.
            return self.untrimmed(index, Trim::Nothing, &error);
        }
        self.see_starts()?;
        let Some(kept) = self.topic.retention_bytes else { return Ok(()) };
        let after = log.info();
        let bytes = |segments: &[log_core::SegmentInfo]| -> u64 {
            segments.iter().map(|segment| u64::from(segment.bytes)).sum()
        };
        let start = before.log_start_offset;
        let dead = before.segments.iter().skip(1).take_while(|next| next.base_offset <= start);
        let live = &before.segments[dead.count()..];
        let (had, has) = (bytes(live), bytes(&after.segments));
        if self.topic.retention_ms.is_none() && has < had.min(kept) {
            return Err(format!("of {had} bytes {has} are left where {kept} are to be kept"));
        }
        // The first of those that stay would have left too little, or is not all durable.
        let first = u64::from(after.segments.first().map_or(0, |first| first.bytes));
        let next = after.segments.get(1).map(|second| second.base_offset);
        let next = next.filter(|next| *next <= after.high_watermark && first > 0 && kept > 0);
        if next.is_some() && has - first >= kept {
            return Err(format!("{has} bytes are left, {first} of them in a segment too much"));
        }
        Ok(())
    }

    /// Deletes from the end, or everything.
    pub(super) fn truncate(&mut self, partition: u64, at: u64) -> Step {
        if self.rotten {
            return Ok(());
        }
        let index = self.index(partition);
        let log = self.logs[index].clone();
        let (start, end) = (log.log_start_offset().get(), log.log_end_offset().get());
        let segments = log.info().segments;
        let base = segments[(at >> 8) as usize % segments.len()].base_offset.get();
        let back =
            |share: i64| ((at >> 8) % ((end - start) / share + 2).unsigned_abs()).cast_signed();
        let trim = match at % 8 {
            0 => Trim::Restart(((at >> 8) % (end + 20).unsigned_abs()).cast_signed()),
            1 => Trim::Restart(base),
            2 => Trim::End(base),
            3 => Trim::End(((at >> 8) % (end + 2).unsigned_abs()).cast_signed()),
            4 => Trim::End((end - back(1)).max(0)),
            _ => Trim::End((end - back(8)).max(0)),
        };
        let place = |to: i64| Offset::new(to).unwrap_or(Offset::ZERO);
        self.stats.trims += 1;
        self.note(format!("   {index}: {trim:?} of {start} to {end}"));
        let done = match trim {
            Trim::Restart(to) => log.truncate_fully_and_start_at(place(to)),
            Trim::End(to) => log.truncate_to(place(to)),
            Trim::Start(_) | Trim::Nothing => Ok(()),
        };
        self.stats.acks += self.ledgers[index].settle()?.0 as u64;
        // Below the first segment nothing is left to go on from.
        let trim = match trim {
            Trim::End(to) if to < segments[0].base_offset.get() => Trim::Restart(to),
            other => other,
        };
        if let Err(error) = done {
            return self.untrimmed(index, trim, &error);
        }
        if self.ledgers[index].trim(trim, log.log_start_offset().get())? {
            self.rewind(index);
        }
        let ledger = &self.ledgers[index];
        let (found, expected) = (
            (log.log_start_offset().get(), log.log_end_offset().get()),
            (ledger.log_start(), ledger.log_end()),
        );
        if found != expected {
            return Err(format!("{trim:?} left a log from {found:?}, not {expected:?}"));
        }
        if self.directory.is_over() { Ok(()) } else { self.check_producers(index) }
    }

    /// A deletion that failed: it has happened or not where the disk is to blame, else not at all.
    fn untrimmed(&mut self, index: usize, trim: Trim, error: &TrimError) -> Step {
        let over = self.directory.is_over();
        if over || matches!(error, TrimError::Io(_)) {
            self.ledgers[index].in_doubt(trim);
        }
        let blames_disk = match error {
            TrimError::Io(_) | TrimError::Offline(_) | TrimError::Damaged(_) => {
                matches!(self.plan.weather, Weather::Errors | Weather::Full)
            }
            TrimError::Full { .. } => self.plan.weather == Weather::Full,
            _ => false,
        };
        if !over && !blames_disk {
            return Err(format!("{trim:?} in fine weather: {error}"));
        }
        if !over && self.ledgers[index].is_in_doubt() {
            // Whoever hears that gives up now and then, and what comes next may be struck as well.
            let again = [self.chance.below(40), self.chance.below(40)];
            return self.stop(Stop::Crash, &again);
        }
        Ok(())
    }

    /// Where the logs start now: no lower than before, and higher only as the settings say.
    pub(super) fn see_starts(&mut self) -> Step {
        if self.rotten || self.directory.is_over() || self.plan.weather == Weather::Lies {
            return Ok(());
        }
        let now = log_core::clock::Clock::timestamp(&self.clock).get();
        let rule = self.retention(now);
        for (log, ledger) in self.logs.iter().zip(&mut self.ledgers) {
            ledger.see_start(log.log_start_offset().get(), rule)?;
        }
        Ok(())
    }
}
