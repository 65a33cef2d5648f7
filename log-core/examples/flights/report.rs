//! What a run shows: a bar while it works, on a terminal only, and a table of rates at the end.

use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use indicatif::{ProgressBar, ProgressStyle};
use log_core::clock::{Clock, SystemClock};

/// A step of the run: what it handled, and in which time.
#[derive(Debug)]
struct Step {
    name: &'static str,
    records: u32,
    bytes: u64,
    elapsed: Duration,
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    clock: SystemClock,
    steps: Vec<Step>,
}

impl Report {
    /// Runs `work` and notes its time; `size` says how many records and bytes it handled.
    pub(crate) fn time<T, E>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<T, E>,
        size: impl FnOnce(&T) -> (u32, u64),
    ) -> Result<T, E> {
        let start = self.clock.tick();
        let done = work()?;
        let elapsed = self.clock.tick().since(start);
        let (records, bytes) = size(&done);
        self.steps.push(Step { name, records, bytes, elapsed });
        Ok(done)
    }

    /// The table of all steps.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_style(TableStyle::new())
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(["step", "records", "MB", "ms", "records/s", "MB/s"]);
        for step in &self.steps {
            let seconds = step.elapsed.as_secs_f64();
            let megabytes = f64::from(u32::try_from(step.bytes).unwrap_or(u32::MAX)) / 1e6;
            let mut row = vec![step.name.to_owned(), String::new(), String::new()];
            row.push(format!("{:.1}", seconds * 1e3));
            if step.records > 0 {
                row[1] = step.records.to_string();
                row[2] = format!("{megabytes:.1}");
                row.push(format!("{:.0}", f64::from(step.records) / seconds));
                row.push(format!("{:.0}", megabytes / seconds));
            }
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }
}

/// A bar over all flights; hidden where stderr is no terminal.
pub(crate) fn progress(name: &'static str, total: usize) -> ProgressBar {
    let template = "{msg:>9} {bar:40} {human_pos}/{human_len} {per_sec} {eta}";
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX)).with_style(style).with_message(name)
}
