//! A producer that loses every fifth acknowledgement and sends again: the log holds each record
//! once, in order.
//!
//! ```text
//!   retry [--records N] [--dir DIR]      ten million by default, in a directory of its own
//! ```
//!
//! Five batches are under way at a time. Of every five answers one is thrown away before its
//! producer looks at it; that batch and all behind it are then sent again, as a client does whose
//! connection broke. The log is read back from the first record to the last.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a runner times itself and reports to people"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use fuzz::retry::{Report, run};

fn main() -> ExitCode {
    let (mut records, mut dir) = (10_000_000, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--records", Some(value)) => match value.parse() {
                Ok(value) => records = value,
                Err(error) => return fail(&format!("{value}: {error}")),
            },
            ("--dir", Some(value)) => dir = Some(PathBuf::from(value)),
            (other, _) => return fail(&format!("{other} is not an option, or lacks its value")),
        }
    }
    let own = dir.is_none();
    let dir = dir.unwrap_or_else(|| {
        std::env::temp_dir().join(format!("oncelog-retry-{}", std::process::id()))
    });
    let start = Instant::now();
    let outcome = run(&dir, records);
    if own {
        let _gone = std::fs::remove_dir_all(&dir);
    }
    match outcome {
        Ok(report) => {
            let Report { records, batches, lost, repeats, appends } = report;
            println!(
                "retry: {records} records in {batches} batches, each once and in order; {appends} \
                 appends, {lost} acknowledgements lost, {repeats} repetitions known, {} s",
                start.elapsed().as_secs()
            );
            ExitCode::SUCCESS
        }
        Err(what) => fail(&what),
    }
}

fn fail(what: &str) -> ExitCode {
    println!("retry: {what}");
    ExitCode::FAILURE
}
