//! The suite that judges an implementation of [`Directory`], [`File`] and [`Disk`].
//!
//! ```text
//!   judge(directory, root) ─▶ each rule in a directory of its own below root ─▶ breaches
//!     names.rs   create, open, list, rename, unlink, lock
//!     files.rs   read, write, lengths, caches
//!     queue.rs   submissions, completions, buffers
//!     links.rs   what else may stand under a name: only for directories of the file system
//! ```
//!
//! ```
//! use log_core::disk::{MemoryDirectory, conformance::judge};
//!
//! let breaches = judge(&MemoryDirectory::new(), "/".as_ref());
//! assert!(breaches.is_empty(), "{breaches:#?}");
//! ```
//!
//! What only a power cut shows is not judged here: a disk that cannot be cut cannot be asked.

use core::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Directory, File, Open};

mod files;
mod links;
mod names;
mod queue;

/// A rule that an implementation does not keep.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Breach {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// What was done, what came of it, and what should have.
    pub what: String,
}

/// Judges `directory` by everything it does below `root`, a directory that exists and is empty.
#[must_use]
pub fn judge(directory: &dyn Directory, root: &Path) -> Vec<Breach> {
    let rules = [names::RULES, files::RULES, queue::RULES];
    run(directory, root, &rules.concat())
}

/// Judges how `directory` treats links and FIFOs, for one whose `root` is a path of the file
/// system: the traits cannot make such things, so they are made beside it.
#[must_use]
pub fn judge_links(directory: &dyn Directory, root: &Path) -> Vec<Breach> {
    run(directory, root, links::RULES)
}

/// How many rules there are, those about links included.
#[must_use]
pub const fn rules_count() -> usize {
    names::RULES.len() + files::RULES.len() + queue::RULES.len() + links::RULES.len()
}

fn run(directory: &dyn Directory, root: &Path, rules: &[Rule]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (number, (rule, check)) in rules.iter().enumerate() {
        let case = Case { directory, dir: root.join(format!("rule-{number}")) };
        let made = done("a directory for the rule", directory.create_dir(&case.dir));
        if let Err(what) = made.and_then(|()| check(&case)) {
            breaches.push(Breach { rule, what });
        }
    }
    breaches
}

/// A sentence, and a look at whether it holds.
type Rule = (&'static str, fn(&Case<'_>) -> Verdict);
type Verdict = Result<(), String>;

/// A fresh directory to try a rule in.
struct Case<'a> {
    directory: &'a dyn Directory,
    dir: PathBuf,
}

impl Case<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn open(&self, name: &str, open: Open) -> io::Result<Arc<dyn File>> {
        self.directory.open(&self.path(name), open)
    }

    /// A new file that holds `bytes`.
    fn file(&self, name: &str, bytes: &[u8]) -> Result<Arc<dyn File>, String> {
        let file = done("create", self.open(name, Open::Create))?;
        write(&*file, 0, bytes)?;
        Ok(file)
    }

    /// The file `name` must hold `bytes`.
    fn holds(&self, name: &str, bytes: &[u8]) -> Verdict {
        let file = done("open to read", self.open(name, Open::Read))?;
        same("the content", content(&*file)?.as_slice(), bytes)
    }

    fn is_gone(&self, name: &str) -> Verdict {
        refused_as("open to read", self.open(name, Open::Read), io::ErrorKind::NotFound)
    }
}

/// The value of a call that has to succeed.
fn done<T>(call: &str, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{call} failed: {error} ({:?})", error.kind()))
}

/// The call has to fail.
#[expect(clippy::needless_pass_by_value, reason = "callers hand over what a call returned")]
fn refused<T>(call: &str, result: io::Result<T>) -> Verdict {
    if result.is_err() { Ok(()) } else { Err(format!("{call} succeeded, expected a refusal")) }
}

/// The call has to fail in a way that callers tell apart.
fn refused_as<T>(call: &str, result: io::Result<T>, kind: io::ErrorKind) -> Verdict {
    match result {
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(format!("{call} failed as {:?}, expected {kind:?}", error.kind())),
        Ok(_) => Err(format!("{call} succeeded, expected {kind:?}")),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers compare what a call returned")]
fn same<T: Debug + PartialEq>(what: &str, found: T, expected: T) -> Verdict {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Writes all of `bytes`, going on after short writes.
fn write(file: &dyn File, at: u64, bytes: &[u8]) -> Verdict {
    done("write", write_all(file, at, bytes))
}

fn write_all(file: &dyn File, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.write_at(at, bytes)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        at += u64::try_from(written).unwrap_or_default();
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Up to `len` bytes from `at`, going on after short reads.
fn read(file: &dyn File, at: u64, len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0xEE; len];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let position = at + u64::try_from(filled).unwrap_or_default();
        match done("read", file.read_at(position, rest))? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Everything in the file.
fn content(file: &dyn File) -> Result<Vec<u8>, String> {
    let len = done("length", file.len())?;
    read(file, 0, usize::try_from(len).unwrap_or(usize::MAX))
}
