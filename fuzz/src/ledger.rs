//! The ledger of gates that were run: a line a run, appended by the runners and by nobody else.
//!
//! ```text
//!   seconds since 1970 ⇥ commit ⇥ command ⇥ seconds it took ⇥ exit status ⇥ closing line
//! ```

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// One finished run.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Run<'a> {
    /// The runner's name; its arguments are those of this process.
    pub runner: &'a str,
    /// How long it took.
    pub took: Duration,
    /// Whether it found nothing.
    pub passed: bool,
    /// What it said last.
    pub closing: &'a str,
}

/// Appends a line about `run` to the ledger at `path`.
#[expect(clippy::disallowed_methods, reason = "a ledger says when")]
pub fn append(path: &str, run: &Run<'_>) -> io::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let line = format!(
        "{}\t{}\t{} {}\t{}\t{}\t{}\n",
        now.as_secs(),
        commit(),
        run.runner,
        words.join(" "),
        run.took.as_secs(),
        i32::from(!run.passed),
        run.closing
    );
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()))
}

/// The commit that runs; marked if the tree differs from it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let sources = ["status", "--porcelain", "--", "*.rs", "*.toml"];
    let dirty = git(&sources).is_none_or(|changes| !changes.is_empty());
    format!("{}{}", hash.trim(), if dirty { "+changes" } else { "" })
}
