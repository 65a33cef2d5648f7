//! Every disk is judged by one suite, and the suite by disks with a flaw each.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log_core::disk::conformance::{Breach, judge, judge_links, rules_count};
use log_core::disk::sim::{Faults, SimDirectory};
use log_core::disk::{
    BlockingDirectory, Completion, Directory, Disk, Entry, File, Lock, MemoryDirectory, Open,
    Token, UringDirectory, Write,
};

fn expect_none(breaches: &[Breach]) {
    assert!(breaches.is_empty(), "{breaches:#?}");
}

/// For every directory that keeps its files in the file system.
fn expect_conformance(directory: &dyn Directory) {
    let dir = tempfile::tempdir().unwrap();
    let links = dir.path().join("links");
    std::fs::create_dir(&links).unwrap();
    expect_none(&judge(directory, dir.path()));
    expect_none(&judge_links(directory, &links));
}

#[test]
fn the_file_system_by_plain_calls_keeps_every_rule() {
    expect_conformance(&BlockingDirectory::new());
}

#[test]
fn the_file_system_past_its_cache_keeps_every_rule() {
    expect_conformance(&BlockingDirectory::direct());
}

#[test]
fn the_file_system_by_io_uring_keeps_every_rule() {
    for files in [BlockingDirectory::new(), BlockingDirectory::direct()] {
        match UringDirectory::forced(files.clone()) {
            Ok(ring) => expect_conformance(&ring),
            Err(error) => return println!("skipped: no ring here ({error})"),
        }
        expect_conformance(&UringDirectory::new(files).unwrap());
    }
}

#[test]
fn the_memory_disk_keeps_every_rule() {
    expect_none(&judge(&MemoryDirectory::new(), Path::new("/")));
    let nested = MemoryDirectory::new();
    nested.create_dir(Path::new("below")).unwrap();
    expect_none(&judge(&nested, Path::new("below")));
}

#[test]
fn the_simulated_disk_keeps_every_rule_and_sees_none_broken() {
    for seed in 0..50 {
        let disk = SimDirectory::new(seed);
        expect_none(&judge(&disk, Path::new("/")));
        assert_eq!(disk.violations(), Vec::<String>::new(), "seed {seed}");
    }
}

#[test]
fn the_simulated_disk_keeps_every_rule_with_short_reads() {
    let disk = SimDirectory::new(1);
    disk.set_faults(Faults { short_read: u16::MAX, ..Faults::default() });
    let breaches = judge(&disk, Path::new("/"));
    expect_none(&breaches);
}

/// Paths in the memory disk mean the same with and without the root before them.
#[test]
fn the_memory_disk_knows_a_file_by_every_form_of_its_path() {
    let disk = MemoryDirectory::new();
    disk.create_dir(Path::new("/a")).unwrap();
    disk.open(Path::new("a/./f"), Open::Create).unwrap().write_at(0, b"x").unwrap();
    for path in ["/a/f", "a/f", "./a/f", "/a/../a/f"] {
        assert_eq!(disk.open(Path::new(path), Open::Read).unwrap().len().unwrap(), 1, "{path}");
    }
    assert!(disk.create_dir(Path::new("/")).is_ok(), "the root is there");
}

// ---- disks with a flaw

/// What a flawed disk does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Flaw {
    CreateOpensWhatIsThere,
    CreateEmptiesWhatIsThere,
    NoParentNeeded,
    LockNeverConflicts,
    LockConflictsForEver,
    ListUnsorted,
    ListForgetsKinds,
    ListShowsGrandchildren,
    RenameKeepsTheOldName,
    UnlinkCutsTheFile,
    ReadPastTheEnd,
    WriteGapOfOnes,
    WriteAtTheWrongPlace,
    AllocateShrinks,
    SetLenNeverShrinks,
    DropCacheForgets,
    ReadOnlyWrites,
    TokensMixedUp,
    BufferLost,
    BufferReplaced,
    RangeIgnored,
    AnsweredTwice,
    SyncUnanswered,
    PollClears,
    PollNeverWaits,
}

use Flaw::*;

const FLAWS: [(Flaw, &str); 25] = [
    (CreateOpensWhatIsThere, "created once"),
    (CreateEmptiesWhatIsThere, "created once"),
    (NoParentNeeded, "needs a directory"),
    (LockNeverConflicts, "a lock excludes"),
    (LockConflictsForEver, "a lock excludes"),
    (ListUnsorted, "direct children"),
    (ListForgetsKinds, "direct children"),
    (ListShowsGrandchildren, "direct children"),
    (RenameKeepsTheOldName, "a rename takes"),
    (UnlinkCutsTheFile, "an unlinked file"),
    (ReadPastTheEnd, "a read stops"),
    (WriteGapOfOnes, "fills the gap"),
    (WriteAtTheWrongPlace, "is read back"),
    (AllocateShrinks, "space is allocated"),
    (SetLenNeverShrinks, "a file is cut"),
    (DropCacheForgets, "a dropped cache"),
    (ReadOnlyWrites, "takes no change"),
    (TokensMixedUp, "answered once each"),
    (BufferLost, "its buffer as it was"),
    (BufferReplaced, "its buffer as it was"),
    (RangeIgnored, "the range it names"),
    (AnsweredTwice, "answered once each"),
    (SyncUnanswered, "a sync completes"),
    (PollClears, "keeps what it was given"),
    (PollNeverWaits, "waits for as many"),
];

#[test]
fn every_flaw_of_a_disk_is_found_and_named() {
    assert!(rules_count() > 40);
    for (flaw, rule) in FLAWS {
        let disk = Flawed { inner: MemoryDirectory::new(), flaw };
        let breaches = judge(&disk, Path::new("/"));
        let named = breaches.iter().any(|breach| breach.rule.contains(rule));
        assert!(named, "{flaw:?} should break {rule:?}, found {breaches:#?}");
    }
}

/// The memory disk with one flaw.
#[derive(Clone, Debug)]
struct Flawed {
    inner: MemoryDirectory,
    flaw: Flaw,
}

impl Flawed {
    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FlawedFile { file, flaw: self.flaw, before: AtomicU64::new(0) })
    }
}

#[derive(Debug)]
struct Nothing;
impl Lock for Nothing {}

impl Directory for Flawed {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let opened = self.inner.open(path, open);
        let there = opened.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::AlreadyExists);
        let orphan = opened.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound);
        let file = match (self.flaw, open) {
            (CreateOpensWhatIsThere, Open::Create) if there => {
                self.inner.open(path, Open::Write)?
            }
            (CreateEmptiesWhatIsThere, Open::Create) if there => {
                self.inner.open(path, Open::Write)?.set_len(0)?;
                opened?
            }
            (NoParentNeeded, Open::Create) if orphan => {
                self.inner.create_dir(path.parent().unwrap())?;
                self.inner.open(path, open)?
            }
            (ReadOnlyWrites, Open::Read) => self.inner.open(path, Open::Write)?,
            _ => opened?,
        };
        Ok(self.wrap(file))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = self.inner.list(path)?;
        match self.flaw {
            ListUnsorted => entries.reverse(),
            ListForgetsKinds => {
                for entry in &mut entries {
                    entry.kind = log_core::disk::EntryKind::File;
                }
            }
            ListShowsGrandchildren => {
                for child in entries.clone() {
                    entries.extend(self.inner.list(&path.join(child.name)).unwrap_or_default());
                }
            }
            _ => {}
        }
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.flaw != RenameKeepsTheOldName {
            return self.inner.rename(from, to);
        }
        let old = self.inner.open(from, Open::Read)?;
        let mut bytes = vec![0; usize::try_from(old.len()?).unwrap()];
        old.read_at(0, &mut bytes)?;
        let _was_there = self.inner.unlink(to);
        self.inner.open(to, Open::Create)?.write_at(0, &bytes).map(drop)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        if self.flaw == UnlinkCutsTheFile {
            self.inner.open(path, Open::Write)?.set_len(0)?;
        }
        self.inner.unlink(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let lock = self.inner.lock(path);
        match self.flaw {
            LockNeverConflicts => Ok(Box::new(Nothing)),
            LockConflictsForEver => {
                core::mem::forget(lock?);
                Ok(Box::new(Nothing))
            }
            _ => lock,
        }
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(FlawedQueue { inner: self.inner.disk()?, flaw: self.flaw }))
    }
}

#[derive(Debug)]
struct FlawedFile {
    file: Arc<dyn File>,
    flaw: Flaw,
    /// How long the file was before its last write.
    before: AtomicU64,
}

impl File for FlawedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(position, buffer)?;
        if self.flaw == ReadPastTheEnd && read < buffer.len() {
            buffer[read] = 0;
            return Ok(read + 1);
        }
        Ok(read)
    }

    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        let before = self.file.len()?;
        self.before.store(before, Ordering::Relaxed);
        if self.flaw == WriteGapOfOnes && position > before && !buffer.is_empty() {
            let gap = vec![1; usize::try_from(position - before).unwrap()];
            self.file.write_at(before, &gap)?;
        }
        let position = if self.flaw == WriteAtTheWrongPlace { before } else { position };
        self.file.write_at(position, buffer)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if self.flaw == AllocateShrinks {
            self.file.set_len(bytes)
        } else {
            self.file.allocate(bytes)
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let keep = self.flaw == SetLenNeverShrinks && bytes < self.file.len()?;
        if keep { Ok(()) } else { self.file.set_len(bytes) }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn drop_cache(&self) -> io::Result<()> {
        let before = self.before.load(Ordering::Relaxed);
        if self.flaw == DropCacheForgets { self.file.set_len(before) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct FlawedQueue {
    inner: Box<dyn Disk>,
    flaw: Flaw,
}

impl Disk for FlawedQueue {
    fn submit_write(&mut self, mut write: Write) {
        if self.flaw == RangeIgnored {
            write.range = 0..write.range.len();
        }
        self.inner.submit_write(write);
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        if self.flaw != SyncUnanswered {
            self.inner.submit_sync(token, file);
        }
    }

    fn poll(&mut self, wait_for: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        if self.flaw == PollClears {
            out.clear();
        }
        if self.flaw == PollNeverWaits && wait_for > 1 {
            return Ok(());
        }
        let mut found = Vec::new();
        self.inner.poll(wait_for, &mut found)?;
        for completion in &mut found {
            match self.flaw {
                TokensMixedUp => completion.token = Token(completion.token.0 & 0xFFFF_FFFF),
                BufferLost => completion.buffer = None,
                BufferReplaced => {
                    let replaced = completion.buffer.take().map(|buffer| {
                        let mut other = log_core::disk::AlignedBuf::with_capacity(buffer.len());
                        other.fill(buffer.as_slice());
                        // The old one stays alive, so that the addresses differ.
                        core::mem::forget(buffer);
                        other
                    });
                    completion.buffer = replaced;
                }
                AnsweredTwice => {
                    let again = Completion { token: completion.token, result: Ok(0), buffer: None };
                    out.push(again);
                }
                _ => {}
            }
        }
        out.append(&mut found);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }
}
