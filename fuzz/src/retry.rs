//! A producer that loses every fifth acknowledgement, on a real directory.
//!
//! ```text
//!   flight  │ b0 b1 b2 b3 b4 │   the answer to b1 is lost: b1 … b4 are sent again, same sequences
//!             └ answered: let go          known ones answer with their first offsets
//! ```

use std::collections::VecDeque;
use std::path::Path;

use log_core::format::{BatchBuilder, BatchOptions, NewRecord, RecordBatch};
use log_core::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};
use log_core::{
    Durability, FetchLimits, IsolationLevel, Log, Store, Ticket, TopicName, TopicPartition,
};

/// Records of a batch.
const BATCH_RECORDS: u64 = 100;
/// Batches under way.
const FLIGHT_MAX: usize = 5;
/// One answer in so many is lost.
const LOST_ONE_IN: u64 = 5;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Report {
    /// Records in the log.
    pub records: u64,
    /// In so many batches.
    pub batches: u64,
    /// Append calls.
    pub appends: u64,
    /// Answers thrown away.
    pub lost: u64,
    /// Appends that were answered as known.
    pub repeats: u64,
}

struct Sent {
    sequence: Sequence,
    batch: RecordBatch,
    base: i64,
    ticket: Ticket,
}

/// Writes `records` records into a store in `dir` and reads them back.
pub fn run(dir: &Path, records: u64) -> Result<Report, String> {
    let text = |error: &dyn core::fmt::Display| error.to_string();
    let topic: TopicName = "retry".parse().map_err(|error| text(&error))?;
    let partition = TopicPartition::new(topic.clone(), 0);
    let mut report = Report::default();
    {
        let store = Store::open(dir).map_err(|error| text(&error))?;
        store.create_topic(&topic, 1).map_err(|error| text(&error))?;
        let log = store.log(&partition).map_err(|error| text(&error))?;
        produce(&log, records, &mut report)?;
        store.close().map_err(|error| text(&error))?;
    }
    let store = Store::open(dir).map_err(|error| text(&error))?;
    let log = store.log(&partition).map_err(|error| text(&error))?;
    check(&log, records, &mut report)?;
    store.close().map_err(|error| text(&error))?;
    Ok(report)
}

/// The batch whose first record is number `first`.
fn batch(first: u64, records: u64) -> Result<(Sequence, RecordBatch), String> {
    let number = i32::try_from(first % (1 << 31)).map_err(|error| error.to_string())?;
    let sequence = Sequence::new(number).ok_or("no sequence")?;
    let id = ProducerId::new(1).ok_or("no producer id")?;
    let epoch = ProducerEpoch::new(0).ok_or("no epoch")?;
    let mut builder = BatchBuilder::new(BatchOptions::new().producer(id, epoch, sequence));
    for number in first..first + records {
        let value = number.to_be_bytes();
        let timestamp = TimestampMs::new(1_000);
        let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
        builder.push(&record).map_err(|error| error.to_string())?;
    }
    Ok((sequence, builder.build().ok_or("an empty batch")?))
}

fn produce(log: &Log, records: u64, report: &mut Report) -> Result<(), String> {
    let mut flight: VecDeque<Sent> = VecDeque::new();
    let (mut first, mut answers) = (0, 0_u64);
    while first < records || !flight.is_empty() {
        while flight.len() < FLIGHT_MAX && first < records {
            let (sequence, batch) = batch(first, BATCH_RECORDS.min(records - first))?;
            let ticket = append(log, &batch, report)?;
            flight.push_back(Sent { sequence, batch, base: first.cast_signed(), ticket });
            first += BATCH_RECORDS.min(records - first);
        }
        let Some(front) = flight.pop_front() else { break };
        let Sent { sequence, batch, base, ticket } = front;
        let answer = ticket.wait().map_err(|error| format!("sequence {sequence}: {error}"))?;
        report.repeats += u64::from(answer.duplicate);
        if answer.base_offset.get() != base {
            let found = answer.base_offset;
            return Err(format!("sequence {sequence} is at {found}, sent first for {base}"));
        }
        answers += 1;
        if answers.is_multiple_of(LOST_ONE_IN) {
            // Lost: this batch and all behind it go out again.
            report.lost += 1;
            let again = append(log, &batch, report)?;
            for sent in &mut flight {
                sent.ticket = append(log, &sent.batch, report)?;
            }
            flight.push_front(Sent { sequence, batch, base, ticket: again });
        }
    }
    Ok(())
}

fn append(log: &Log, batch: &RecordBatch, report: &mut Report) -> Result<Ticket, String> {
    report.appends += 1;
    log.append(batch.clone(), Durability::Synced).map_err(|error| error.to_string())
}

/// Each record once, in order, at its offset.
fn check(log: &Log, records: u64, report: &mut Report) -> Result<(), String> {
    let mut offset = log.log_start_offset();
    let mut next = 0_u64;
    loop {
        let fetched = log
            .fetch(offset, FetchLimits::bytes(4 << 20), IsolationLevel::ReadUncommitted)
            .map_err(|error| error.to_string())?;
        if fetched.is_empty() {
            break;
        }
        report.batches += fetched.batches().count() as u64;
        for record in fetched.records() {
            let record = record.map_err(|error| error.to_string())?;
            let found = record.value.and_then(|value| value.first_chunk().copied());
            let found = found.map(u64::from_be_bytes);
            if found != Some(next) || record.offset.get() != next.cast_signed() {
                let at = record.offset;
                return Err(format!("offset {at} holds record {found:?}, {next} belongs there"));
            }
            next += 1;
        }
        offset = fetched.next_offset;
    }
    report.records = next;
    if next == records { Ok(()) } else { Err(format!("the log holds {next} of {records} records")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixty_thousand_records_with_every_fifth_answer_lost_are_there_once() {
        let dir = tempfile::tempdir().unwrap();
        let report = run(dir.path(), 60_000).unwrap();
        assert_eq!((report.records, report.batches), (60_000, 600));
        assert!(report.lost > 100 && report.repeats > report.lost, "{report:?}");
    }
}
