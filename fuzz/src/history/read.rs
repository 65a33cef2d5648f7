//! Reading back: records that say who they are, and everything around what is damaged.

use log_core::ids::TimestampMs;
use log_core::{FetchError, FetchLimits, Fetched, IsolationLevel, Log};

use crate::oracle::Found;

/// The value of record `id`: its number, then as many bytes as its low 16 bits say.
pub(super) fn value_of(id: u64) -> Vec<u8> {
    let mut value = id.to_be_bytes().to_vec();
    let fill = id.to_be_bytes()[5];
    value.resize(8 + (id & 0xFFFF) as usize, fill);
    value
}

/// When record `id` says it was made: now earlier, now later than the one before it.
pub(crate) const fn time_of(id: u64) -> TimestampMs {
    TimestampMs::new(1_000_000 + ((id >> 16) * 7_919 % 5_000).cast_signed())
}

/// Asks for some times, and looks through all records for the same.
pub(super) fn check_times(log: &Log, all: &[Found]) -> Result<(), String> {
    let some = all.iter().step_by(1 + all.len() / 4).map(|(_, id)| time_of(*id));
    for target in some.chain([TimestampMs::new(0), TimestampMs::new(1_004_990)]) {
        let truth = all.iter().find(|(_, id)| time_of(*id) >= target);
        let found = log
            .offset_for_time(target, IsolationLevel::ReadUncommitted)
            .map_err(|error| format!("asked for time {target}: {error}"))?;
        let expected = truth.map(|(offset, id)| (*offset, time_of(*id)));
        let found = found.map(|found| (found.offset.get(), found.timestamp));
        if found != expected {
            return Err(format!("time {target} stands for {found:?}, not {expected:?} (R5)"));
        }
    }
    Ok(())
}

/// The records of a fetch from the offset asked for on; each must be whole.
pub(super) fn records(fetched: &Fetched) -> Result<Vec<Found>, String> {
    fetched
        .records()
        .map(|record| {
            let record = record.map_err(|error| format!("a fetched record is broken: {error}"))?;
            let value = record.value.unwrap_or_default();
            let id = value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            if value_of(id) != value {
                return Err(format!("the record at {} is not as it was written", record.offset));
            }
            Ok((record.offset.get(), id))
        })
        .collect()
}

/// Records found, and ranges of offsets named as damaged.
pub(super) type ReadAround = (Vec<Found>, Vec<(i64, i64)>);

/// Everything readable, and the ranges that are named as damaged.
pub(super) fn read_around(log: &Log) -> Result<ReadAround, String> {
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    let mut offset = log.log_start_offset();
    loop {
        match log.fetch(offset, FetchLimits::default(), IsolationLevel::ReadUncommitted) {
            Ok(fetched) if fetched.is_empty() => return Ok((found, damaged)),
            Ok(fetched) => {
                found.extend(records(&fetched)?);
                offset = fetched.next_offset;
            }
            Err(FetchError::Corrupt { damage, .. }) => {
                damaged.push((damage.offsets.start.get(), damage.offsets.end.get()));
                if damage.offsets.end <= offset {
                    return Err(format!("damage at {offset} does not say where the log goes on"));
                }
                offset = damage.offsets.end;
            }
            Err(error) => return Err(format!("reading everything back: {error}")),
        }
    }
}
