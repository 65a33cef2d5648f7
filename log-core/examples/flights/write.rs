//! Appending what is missing: batches of 500, many on their way at once, each acknowledged durable.
//!
//! ```text
//!   flights ─▶ the builder of their partition ─▶ append ─▶ tickets in flight ─▶ wait for the oldest
//! ```

use std::collections::VecDeque;
use std::error::Error;

use indicatif::ProgressBar;
use log_core::format::{BatchBuilder, BatchOptions, Compression, NewRecord};
use log_core::{Durability, Log, Ticket};

use crate::input::Flight;

/// Records of a batch.
const BATCH_RECORDS: u32 = 500;
/// Batches that may be under way before the writer waits for the oldest.
const IN_FLIGHT_MAX: usize = 256;

/// What a run appended.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Records acknowledged durable.
    pub(crate) appended: u32,
    /// Records that an earlier run had appended.
    pub(crate) already_there: u32,
    /// Batches acknowledged durable.
    pub(crate) batches: u32,
    /// Their bytes, as they are stored.
    pub(crate) bytes: u64,
    /// Bytes of their records before compression.
    pub(crate) records_bytes: u64,
}

impl Written {
    /// How many times smaller the records became, headers of batches counted in.
    pub(crate) fn ratio(&self) -> f64 {
        let megabytes = |bytes: u64| f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1e6;
        megabytes(self.records_bytes) / megabytes(self.bytes.max(1))
    }
}

/// One partition's end of the pipe.
struct Partition {
    log: Log,
    /// Flights still to be passed over, because the partition holds them.
    skip: i64,
    builder: BatchBuilder,
    options: BatchOptions,
    /// Bytes of records sent, before compression.
    records_bytes: u64,
}

/// Appends each flight that its partition does not hold yet, and returns once all are durable.
pub(crate) fn append_missing(
    logs: &[Log],
    flights: &[(u32, Flight<'_>)],
    compression: Compression,
    progress: &ProgressBar,
) -> Result<Written, Box<dyn Error>> {
    let options = BatchOptions::new().compression(compression);
    let open = |log: &Log| Partition {
        log: log.clone(),
        skip: log.log_end_offset().get(),
        builder: BatchBuilder::new(options),
        options,
        records_bytes: 0,
    };
    let mut partitions: Vec<Partition> = logs.iter().map(open).collect();
    let mut in_flight = VecDeque::with_capacity(IN_FLIGHT_MAX);
    let mut written = Written::default();
    for (number, flight) in flights {
        let partition = partitions.get_mut(usize::try_from(*number)?).ok_or("no such partition")?;
        if partition.skip > 0 {
            partition.skip -= 1;
            written.already_there += 1;
            progress.inc(1);
            continue;
        }
        partition.push(flight)?;
        if partition.builder.records_count() == BATCH_RECORDS {
            in_flight.extend(partition.send()?);
        }
        while in_flight.len() > IN_FLIGHT_MAX {
            settle(in_flight.pop_front(), &mut written, progress)?;
        }
    }
    for partition in &mut partitions {
        if partition.skip > 0 {
            let surplus = partition.skip;
            return Err(format!("{:?} holds {surplus} records too many", partition.log).into());
        }
        in_flight.extend(partition.send()?);
        written.records_bytes += partition.records_bytes;
    }
    while !in_flight.is_empty() {
        settle(in_flight.pop_front(), &mut written, progress)?;
    }
    Ok(written)
}

impl Partition {
    fn push(&mut self, flight: &Flight<'_>) -> Result<(), Box<dyn Error>> {
        let (timestamp, key, value) = (flight.timestamp, flight.key, Some(flight.value));
        Ok(self.builder.push(&NewRecord { timestamp, key, value, headers: &[] })?)
    }

    /// Appends what has been gathered, if anything has.
    fn send(&mut self) -> Result<Option<Ticket>, Box<dyn Error>> {
        let next = BatchBuilder::new(self.options);
        let Some(batch) = core::mem::replace(&mut self.builder, next).build() else {
            return Ok(None);
        };
        self.records_bytes += u64::try_from(batch.records_bytes())?;
        Ok(Some(self.log.append(batch, Durability::Synced)?))
    }
}

/// Waits until a batch is durable and counts it.
fn settle(
    ticket: Option<Ticket>,
    written: &mut Written,
    progress: &ProgressBar,
) -> Result<(), Box<dyn Error>> {
    let Some(ticket) = ticket else { return Ok(()) };
    let appended = ticket.wait()?;
    let records = u32::try_from(appended.last_offset.since(appended.base_offset) + 1)?;
    written.appended += records;
    written.batches += 1;
    written.bytes += u64::from(appended.batch_bytes);
    progress.inc(records.into());
    Ok(())
}
