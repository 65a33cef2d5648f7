//! By time: the first flight at or after the 4th of July in each partition, found through the time
//! index and compared with a look at every line of the file.

use std::error::Error;

use comfy_table::{ContentArrangement, Table, TableStyle};
use log_core::{FetchLimits, IsolationLevel, Log};

use crate::input::{Flight, parse_hour};

const TARGET: &str = "2013-07-04 00:00:00";

/// A partition's answer.
#[derive(Clone, Debug, Eq, PartialEq)]
struct First {
    offset: i64,
    value: Vec<u8>,
}

/// What each partition answers, and what the file says.
#[derive(Debug)]
pub(crate) struct Firsts {
    found: Vec<Option<First>>,
    truth: Vec<Option<First>>,
}

impl Firsts {
    /// Whether every partition answers what the file says.
    pub(crate) fn are_right(&self) -> bool {
        self.found == self.truth
    }

    /// The answers, line by line.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(TableStyle::new())
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header([
                "partition",
                "offset",
                "first flight at or after 2013-07-04",
                "as the file",
            ]);
        for (number, (found, truth)) in self.found.iter().zip(&self.truth).enumerate() {
            let (offset, line) = found.as_ref().map_or_else(
                || ("-".to_owned(), "none".to_owned()),
                |first| (first.offset.to_string(), String::from_utf8_lossy(&first.value).into()),
            );
            let agrees = if found == truth { "yes" } else { "NO" };
            table.add_row([number.to_string(), offset, line, agrees.to_owned()]);
        }
        table
    }
}

/// Asks each log, and looks through `flights` for the same.
pub(crate) fn first_on_or_after_4th_of_july(
    logs: &[Log],
    flights: &[(u32, Flight<'_>)],
) -> Result<Firsts, Box<dyn Error>> {
    let target = parse_hour(TARGET).ok_or("a good hour")?;
    let isolation = IsolationLevel::default();
    let mut firsts = Firsts { found: Vec::new(), truth: Vec::new() };
    for (number, log) in (0..).zip(logs) {
        let found = match log.offset_for_time(target, isolation)? {
            None => None,
            Some(found) => {
                let fetched = log.fetch(found.offset, FetchLimits::bytes(1), isolation)?;
                let record = fetched.records().next().ok_or("no record stands there")??;
                let value = record.value.unwrap_or_default().to_vec();
                Some(First { offset: found.offset.get(), value })
            }
        };
        firsts.found.push(found);
        // A partition holds its flights in the order of the file, from offset 0 on.
        let own = flights.iter().filter(|(partition, _)| *partition == number);
        let first = (0..).zip(own).find(|(_, (_, flight))| flight.timestamp >= target);
        firsts.truth.push(
            first.map(|(offset, (_, flight))| First { offset, value: flight.value.to_vec() }),
        );
    }
    Ok(firsts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_differs_from_the_file_is_not_right() {
        let first = |offset| Some(First { offset, value: b"line".to_vec() });
        let firsts = |found| Firsts { found, truth: vec![first(3), None] };
        assert!(firsts(vec![first(3), None]).are_right());
        assert!(!firsts(vec![first(4), None]).are_right());
        assert!(!firsts(vec![None, None]).are_right());
        assert!(!firsts(vec![first(3), first(3)]).are_right());
    }
}
