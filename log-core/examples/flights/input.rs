//! The input: every flight of 2013, and the partition each belongs to.
//!
//! ```text
//!   time_hour,carrier,flight,tailnum,origin,…        a line of the file
//!   └ timestamp              └ key    └──┴── value: the whole line
//! ```
//!
//! A flight is keyed by its aircraft, so one aircraft's flights stay in order, and the partition is
//! the one a Kafka producer would pick. The flights whose aircraft is not known have no key; they
//! are dealt to the partitions in turn. Both rules depend on the file alone, so a run that was
//! interrupted can be completed: a partition that holds n records holds its first n flights.

use core::num::NonZeroU32;
use core::str::FromStr;
use std::error::Error;
use std::io;

use log_core::ids::TimestampMs;
use log_core::partition_for_key;

/// The file, compressed.
const FILE: &[u8] = include_bytes!("../data/flights-2013.csv.zst");
/// Its first line.
const HEADER: &str = "time_hour,carrier,flight,tailnum,origin,dest,dep_delay,arr_delay,distance";
/// The place of `tailnum` in a line.
const TAIL_NUMBER_FIELD: usize = 3;

/// One flight, as the record it becomes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Flight<'a> {
    /// The aircraft's tail number; `None` if it is not known.
    pub(crate) key: Option<&'a [u8]>,
    /// The whole line.
    pub(crate) value: &'a [u8],
    /// The hour the flight was scheduled for.
    pub(crate) timestamp: TimestampMs,
}

/// The text of the file.
pub(crate) fn unpack() -> Result<String, Box<dyn Error>> {
    let bytes = zstd::decode_all(FILE)?;
    Ok(String::from_utf8(bytes)?)
}

/// All flights, in the order of the file, with their partitions.
pub(crate) fn parse(
    text: &str,
    partitions: NonZeroU32,
) -> Result<Vec<(u32, Flight<'_>)>, Box<dyn Error>> {
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err("the file does not start with the line that names its fields".into());
    }
    let mut turns = (0..partitions.get()).cycle();
    let mut flights = Vec::new();
    for line in lines {
        let flight = parse_line(line).ok_or_else(|| bad_line(line))?;
        let partition = match flight.key {
            Some(key) => partition_for_key(key, partitions),
            None => turns.next().unwrap_or_default(),
        };
        flights.push((partition, flight));
    }
    Ok(flights)
}

fn bad_line(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a flight: {line:?}"))
}

fn parse_line(line: &str) -> Option<Flight<'_>> {
    let time_hour = line.split(',').next()?;
    let tail_number = line.split(',').nth(TAIL_NUMBER_FIELD)?;
    Some(Flight {
        key: (!tail_number.is_empty()).then_some(tail_number.as_bytes()),
        value: line.as_bytes(),
        timestamp: parse_hour(time_hour)?,
    })
}

/// `2013-01-31 23:00:00`, a whole hour in UTC.
pub(crate) fn parse_hour(text: &str) -> Option<TimestampMs> {
    let (date, time) = text.split_once(' ')?;
    let mut date = date.splitn(3, '-').map(i64::from_str);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let hour: i64 = time.strip_suffix(":00:00")?.parse().ok()?;
    Some(TimestampMs::new((days_since_1970(year, month, day) * 24 + hour) * 3_600_000))
}

/// Days from the first of January 1970 to a day of the Gregorian calendar, from 1970 on.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    // Years start in March here, so that the leap day is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days_before_month = (153 * month + 2) / 5;
    365 * year + leap_days + days_before_month + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_counted_from_1970_in_utc() {
        for (text, hours) in [
            ("1970-01-01 00:00:00", 0),
            ("2000-02-29 12:00:00", 264_396),
            ("2013-01-01 10:00:00", 376_954),
            ("2014-01-01 04:00:00", 385_708),
        ] {
            assert_eq!(parse_hour(text), Some(TimestampMs::new(hours * 3_600_000)), "{text}");
        }
        for bad in ["", "2013-01-01", "2013-01-01 10:30:00", "x-01-01 10:00:00"] {
            assert_eq!(parse_hour(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unknown_aircraft_is_no_key() {
        let known = parse_line("2013-01-01 10:00:00,UA,1545,N14228,EWR,IAH,2,11,1400").unwrap();
        assert_eq!(known.key, Some(&b"N14228"[..]));
        let unknown = parse_line("2013-01-01 10:00:00,UA,1545,,EWR,IAH,,,1400").unwrap();
        assert_eq!(unknown.key, None);
    }

    #[test]
    fn every_flight_has_a_partition() {
        let text = unpack().unwrap();
        let flights = parse(&text, NonZeroU32::new(8).unwrap()).unwrap();
        assert_eq!(flights.len(), 336_776);
        assert!(flights.iter().all(|(partition, _)| *partition < 8));
        assert_eq!(flights.iter().filter(|(_, flight)| flight.key.is_none()).count(), 2_512);
    }
}
