//! Reading back: each record must be a flight of the file, once, and in its place.
//!
//! ```text
//!   lost           a flight of the partition that no record is
//!   duplicated     a record that is no flight of the partition, or one too many of it
//!   out of order   a record before which stands a later flight of its key, or whose offset does
//!                  not follow the offset before it
//! ```
//!
//! A flight is known by key, value and timestamp together: a record in which any of them differs
//! counts as one flight lost and one record too many.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::AddAssign;

use indicatif::ProgressBar;
use log_core::format::Record;
use log_core::{FetchError, FetchLimits, IsolationLevel, Log, Offset};

use crate::input::Flight;

/// What was found, over one partition or over all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Records read.
    pub(crate) read_back: u32,
    /// Bytes of batches read.
    pub(crate) bytes: u64,
    /// Flights that were not found.
    pub(crate) lost: u32,
    /// Records too many.
    pub(crate) duplicated: u32,
    /// Records in the wrong place.
    pub(crate) out_of_order: u32,
}

impl Tally {
    /// Whether every flight was found once, in its place.
    pub(crate) const fn is_sound(self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.out_of_order == 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.read_back += other.read_back;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
    }
}

/// Reads a partition from its start to its high watermark and compares it with the `flights` that
/// belong there, in the order of the file.
pub(crate) fn read_back(
    log: &Log,
    flights: &[Flight<'_>],
    progress: &ProgressBar,
) -> Result<Tally, Box<dyn Error>> {
    let mut check = Check::new(flights);
    let mut offset = log.log_start_offset();
    let mut bytes = 0;
    while offset < log.high_watermark() {
        let fetched = match log.fetch(offset, FetchLimits::default(), IsolationLevel::default()) {
            Err(error @ FetchError::Corrupt { .. }) => {
                eprintln!("flights: {error}");
                offset = beyond(&error).ok_or("damage without an end")?;
                continue;
            }
            fetched => fetched?,
        };
        for record in fetched.records() {
            let Record { offset, key, value, timestamp, .. } = record?;
            let (key, value) = (key.as_deref(), value.as_deref().unwrap_or_default());
            check.see(offset.get(), Flight { key, value, timestamp });
            progress.inc(1);
        }
        if fetched.next_offset <= offset {
            return Err(format!("{log:?}: reading stands still at offset {offset}").into());
        }
        bytes += u64::try_from(fetched.bytes.len())?;
        offset = fetched.next_offset;
    }
    Ok(Tally { bytes, ..check.finish() })
}

/// Where the log goes on behind damage.
fn beyond(error: &FetchError) -> Option<Offset> {
    match error {
        FetchError::Corrupt { damage, .. } => Some(damage.offsets.end),
        _ => None,
    }
}

/// A partition being compared.
struct Check<'a> {
    /// The flights that belong here, sorted, with their places in the partition.
    flights: Vec<(Flight<'a>, usize)>,
    /// Which of `flights` were found.
    found: Vec<bool>,
    /// The largest place found so far, for each key.
    last_places: BTreeMap<Option<&'a [u8]>, usize>,
    next_offset: i64,
    tally: Tally,
}

impl<'a> Check<'a> {
    fn new(flights: &[Flight<'a>]) -> Self {
        let mut flights: Vec<_> = flights.iter().copied().zip(0..).collect();
        flights.sort_unstable();
        let found = vec![false; flights.len()];
        Self {
            flights,
            found,
            last_places: BTreeMap::new(),
            next_offset: 0,
            tally: Tally::default(),
        }
    }

    /// Compares one record; `offset` is its own.
    fn see(&mut self, offset: i64, record: Flight<'_>) {
        self.tally.read_back += 1;
        let mut in_order = offset == self.next_offset;
        self.next_offset = offset + 1;
        match self.find(record) {
            None => self.tally.duplicated += 1,
            Some((key, place)) => {
                let last = self.last_places.entry(key).or_insert(place);
                in_order &= *last <= place;
                *last = place.max(*last);
            }
        }
        self.tally.out_of_order += u32::from(!in_order);
    }

    /// The first flight like `record` that was not found yet: its key and its place.
    fn find(&mut self, record: Flight<'_>) -> Option<(Option<&'a [u8]>, usize)> {
        let first = self.flights.partition_point(|(flight, _)| *flight < record);
        let alike = self.flights[first..].iter().take_while(|(flight, _)| *flight == record);
        let mut unfound = alike.zip(&mut self.found[first..]).filter(|(_, found)| !**found);
        let ((flight, place), found) = unfound.next()?;
        *found = true;
        Some((flight.key, *place))
    }

    fn finish(self) -> Tally {
        let lost = self.found.iter().filter(|found| !**found).count();
        Tally { lost: u32::try_from(lost).unwrap_or(u32::MAX), ..self.tally }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_core::ids::TimestampMs;

    const fn flight(key: &'static str, value: &'static str) -> Flight<'static> {
        let timestamp = TimestampMs::new(7);
        Flight { key: Some(key.as_bytes()), value: value.as_bytes(), timestamp }
    }

    const FLIGHTS: [Flight<'static>; 4] =
        [flight("a", "a0"), flight("b", "b0"), flight("a", "a1"), flight("a", "a2")];

    /// Lost, duplicated, out of order.
    fn found(records: &[Flight<'_>]) -> [u32; 3] {
        let mut check = Check::new(&FLIGHTS);
        for (offset, record) in (0..).zip(records) {
            check.see(offset, *record);
        }
        let tally = check.finish();
        [tally.lost, tally.duplicated, tally.out_of_order]
    }

    #[test]
    fn what_was_appended_is_sound() {
        assert_eq!(found(&FLIGHTS), [0, 0, 0]);
    }

    #[test]
    fn a_lost_flight_is_counted() {
        assert_eq!(found(&FLIGHTS[..3]), [1, 0, 0]);
        assert_eq!(found(&[]), [4, 0, 0]);
    }

    #[test]
    fn a_duplicated_flight_is_counted() {
        let [a, b, c, d] = FLIGHTS;
        assert_eq!(found(&[a, b, c, c, d]), [0, 1, 0]);
    }

    #[test]
    fn an_altered_record_is_one_lost_and_one_too_many() {
        let [a, b, c, d] = FLIGHTS;
        for altered in [
            Flight { key: None, ..c },
            Flight { value: b"x", ..c },
            Flight { timestamp: TimestampMs::new(8), ..c },
        ] {
            assert_eq!(found(&[a, b, altered, d]), [1, 1, 0]);
        }
    }

    #[test]
    fn order_counts_within_a_key_only() {
        let [a, b, c, d] = FLIGHTS;
        assert_eq!(found(&[a, c, b, d]), [0, 0, 0]);
        assert_eq!(found(&[a, b, d, c]), [0, 0, 1]);
    }

    #[test]
    fn an_offset_out_of_line_is_counted() {
        let mut check = Check::new(&FLIGHTS);
        for (offset, record) in [0, 1, 1, 2].into_iter().zip(&FLIGHTS) {
            check.see(offset, *record);
        }
        assert_eq!(check.finish().out_of_order, 1);
    }
}
