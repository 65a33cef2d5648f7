//! What a history's users do: append by each door, hand in hostile bytes, read.

use log_core::format::{
    BatchBuilder, BatchOptions, Codec, Compression, NewRecord, RecordBatch, stamp,
};
use log_core::ids::LeaderEpoch;
use log_core::{AppendError, Durability, FetchError, FetchLimits, IsolationLevel, Log, Offset};

use super::read::{records, time_of, value_of};
use super::{History, Step};
use crate::chance::Chance;
use crate::op::Raw;
use crate::oracle::Entry;
use crate::plan::Weather;

impl History<'_> {
    pub(super) fn index(&self, partition: u64) -> usize {
        usize::try_from(partition % self.ledgers.len() as u64).unwrap_or(0)
    }

    /// A batch whose records say who they are: a number, then that many bytes of it.
    pub(super) fn batch(&mut self, records: u64, bytes: u64) -> (RecordBatch, Vec<u64>) {
        self.batch_of(BatchOptions::new(), records, bytes)
    }

    /// The same of a producer.
    pub(super) fn batch_of(
        &mut self,
        options: BatchOptions,
        records: u64,
        bytes: u64,
    ) -> (RecordBatch, Vec<u64>) {
        let options = if self.plan.codecs { options.compression(self.codec()) } else { options };
        let mut builder = BatchBuilder::new(options);
        let mut ids = Vec::new();
        for _ in 0..records {
            let id = self.next_id << 16 | bytes & 0xFFFF;
            self.next_id += 1;
            let value = value_of(id);
            let timestamp = time_of(id);
            let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
            if builder.push(&record).is_ok() {
                ids.push(id);
            }
        }
        match builder.build() {
            Some(batch) => (batch, ids),
            None => unreachable!("there is at least one record"),
        }
    }

    /// Every other batch by a codec, each in turn.
    fn codec(&self) -> Compression {
        let codecs = Codec::ALL;
        let turn = self.next_id as usize / 2 % codecs.len();
        let codec = if self.next_id.is_multiple_of(2) { Codec::None } else { codecs[turn] };
        Compression::new(codec).unwrap_or(Compression::NONE)
    }

    pub(super) fn append(
        &mut self,
        partition: u64,
        records: u64,
        bytes: u64,
        level: Durability,
        raw: Raw,
    ) -> Step {
        let index = self.index(partition);
        let (batch, ids) = self.batch(records, bytes);
        let log = &self.logs[index];
        let ticket = match raw {
            Raw::Built => log.append(batch, level),
            Raw::Bytes => log.append_raw(batch.as_bytes(), level),
            Raw::Kept => {
                let gap = if partition.is_multiple_of(3) { 5 } else { 0 };
                let base = Offset::new(log.log_end_offset().get() + gap).unwrap_or(Offset::ZERO);
                let mut bytes = batch.into_bytes();
                stamp(&mut bytes, base, LeaderEpoch::ZERO).map_err(|error| error.to_string())?;
                log.replicate_raw(&bytes, level)
            }
        };
        match ticket {
            Ok(ticket) => {
                self.stats.appends += 1;
                let gap = raw == Raw::Kept && partition.is_multiple_of(3);
                let end = self.logs[index].log_end_offset().get();
                let base = if gap { end - ids.len() as i64 } else { ticket.base_offset().get() };
                if base < self.ledgers[index].log_end() {
                    return Err(format!("offset {base} was given twice (D6)"));
                }
                // A gap's filler belongs to the append, so the ticket names the filler's offset.
                let ticket = (!gap).then_some(ticket);
                self.ledgers[index].entries.push(Entry {
                    base,
                    ids,
                    level,
                    ticket,
                    tag: None,
                    acked: None,
                });
                Ok(())
            }
            Err(AppendError::NotAppended(refusal)) => {
                let calm = self.plan.weather == Weather::Calm && !self.directory.is_over();
                let room = self.segment_bytes().min(self.life.unflushed_bytes) / 2;
                let large = records * (bytes + 40) + 61 > u64::from(room);
                let usual = calm && !large && !self.rotten && raw != Raw::Kept;
                if usual { Err(format!("refused in calm weather: {refusal}")) } else { Ok(()) }
            }
            Err(error) => Err(format!("an append that has no ticket says {error} (D8)")),
        }
    }

    pub(super) fn hostile(&mut self, partition: u64, bits: u64) -> Step {
        let index = self.index(partition);
        let mut chance = Chance::new(bits);
        let (batch, _) = self.batch(2, 20);
        let mut bytes = batch.into_bytes();
        for _ in 0..=chance.below(3) {
            let at = chance.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << chance.below(8);
        }
        bytes.truncate(bytes.len() - chance.below(4) as usize * 7);
        let before = self.logs[index].log_end_offset();
        let door = if bits.is_multiple_of(2) { Log::append_raw } else { Log::replicate_raw };
        match door(&self.logs[index], &bytes, Durability::Buffered) {
            Err(AppendError::NotAppended(_)) if self.logs[index].log_end_offset() == before => {
                Ok(())
            }
            Err(error) => Err(format!("hostile bytes gave {error}, and the log moved")),
            // Flips in fields outside the checksum can leave a valid batch: stop judging here.
            Ok(_) => {
                self.done = true;
                Ok(())
            }
        }
    }

    pub(super) fn fetch(&mut self, partition: u64, at: u64, bytes: u64) -> Step {
        let index = self.index(partition);
        let log = &self.logs[index];
        let start = log.log_start_offset();
        let end = log.log_end_offset().get().unsigned_abs();
        let offset = Offset::new((at % (end + 2)).cast_signed()).unwrap_or(Offset::ZERO);
        let limits = FetchLimits::bytes(u32::try_from(bytes).unwrap_or(u32::MAX));
        match log.fetch(offset, limits, IsolationLevel::ReadUncommitted) {
            Ok(fetched) => {
                let found = records(&fetched)?;
                if self.rotten {
                    return self.ledgers[index].check_records(&found);
                }
                if fetched.is_empty() != (fetched.next_offset == offset) {
                    return Err("a fetch that found something did not move on".to_owned());
                }
                let durable = self.life.visibility == log_core::Visibility::Synced;
                if durable && !found.is_empty() && fetched.next_offset > fetched.high_watermark {
                    let next = fetched.next_offset;
                    return Err(format!("a reader sees {next}, past the durable end (D5)"));
                }
                let ledger = &mut self.ledgers[index];
                ledger.check_records(&found)?;
                if !fetched.is_empty() {
                    ledger.seen(fetched.next_offset.get(), durable);
                }
                ledger.check_high_watermark(fetched.high_watermark.get())
            }
            Err(FetchError::OutOfRange { .. })
                if offset.get().unsigned_abs() > end || offset < start =>
            {
                Ok(())
            }
            Err(FetchError::Corrupt { damage, .. })
                if self.plan.weather == Weather::Errors
                    && damage.reason.contains("the device cannot read it") =>
            {
                Ok(())
            }
            Err(_) if self.rotten || self.directory.is_over() => Ok(()),
            // The files of an offline partition may be cut already.
            Err(_) if self.ledgers[index].is_in_doubt() => Ok(()),
            Err(error) => Err(format!("fetch at {offset}: {error}")),
        }
    }
}
