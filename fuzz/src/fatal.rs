//! A directory of the file system that ends its process at the n-th side effect, by SIGKILL.
//!
//! ```text
//!   effects   1        2        3        …      open to create, write, sync, allocate, set_len,
//!             │        │        │               rename, unlink, create_dir, remove_dir, sync_dir
//!             killed before it, in the middle of it (half of a write), or after it
//! ```
//!
//! A kill after one effect and before the next is the same thing, so each number is met once
//! before and, where it is a write, once in its middle.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

use log_core::disk::{
    BlockingDirectory, Completion, Directory, Disk, Entry, File, Lock, Open, Token, Write,
    WriteSync,
};

/// When the process ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "test machinery")]
pub struct Point {
    /// At which side effect, counted from 1.
    pub effect: u64,
    /// Whether half of a write lands first.
    pub midway: bool,
}

/// The file system until then.
#[derive(Clone, Debug)]
pub struct FatalDirectory {
    inner: BlockingDirectory,
    fate: Arc<Fate>,
}

#[derive(Debug)]
struct Fate {
    point: Option<Point>,
    effects: AtomicU64,
    /// Which of them were writes.
    writes: Mutex<Vec<u64>>,
}

impl FatalDirectory {
    /// Ends the process at `point`; `None` only counts.
    #[must_use]
    pub fn new(point: Option<Point>) -> Self {
        let fate = Fate { point, effects: AtomicU64::new(0), writes: Mutex::default() };
        Self { inner: BlockingDirectory::new(), fate: Arc::new(fate) }
    }

    /// Side effects so far.
    #[must_use]
    pub fn effects(&self) -> u64 {
        self.fate.effects.load(Ordering::SeqCst)
    }

    /// The numbers of those that were writes, and so can be met midway.
    #[must_use]
    pub fn writes(&self) -> Vec<u64> {
        self.fate.writes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fate {
    /// Counts an effect; the process does not come back from the fatal one, unless that is a write
    /// of which half is to land first.
    fn meet(&self) -> bool {
        let number = self.effects.fetch_add(1, Ordering::SeqCst) + 1;
        match self.point {
            Some(point) if point.effect == number && point.midway => true,
            Some(point) if point.effect == number => die(),
            _ => false,
        }
    }

    /// An effect that cannot be met midway.
    fn meet_whole(&self) {
        if self.meet() {
            die();
        }
    }
}

/// As `kill -9` does it: nothing of this process runs any more.
fn die() -> ! {
    let _gone = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

impl Directory for FatalDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        if open == Open::Create {
            self.fate.meet_whole();
        }
        let file = self.inner.open(path, open)?;
        Ok(Arc::new(FatalFile { file, fate: Arc::clone(&self.fate) }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.fate.meet_whole();
        self.inner.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fate.meet_whole();
        self.inner.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.fate.meet_whole();
        self.inner.unlink(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.fate.meet_whole();
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.fate.meet_whole();
        self.inner.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.fate.meet_whole();
        self.inner.lock(path)
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(FatalQueue { done: Vec::new() }))
    }
}

#[derive(Debug)]
struct FatalFile {
    file: Arc<dyn File>,
    fate: Arc<Fate>,
}

impl FatalFile {
    /// Meets the fate of a write of `buffer`.
    fn write(
        &self,
        position: u64,
        buffer: &[u8],
        write: fn(&dyn File, u64, &[u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let midway = self.fate.meet();
        let number = self.fate.effects.load(Ordering::SeqCst);
        self.fate.writes.lock().unwrap_or_else(PoisonError::into_inner).push(number);
        if midway {
            let half = buffer.get(..buffer.len() / 2).unwrap_or_default();
            let _landed = self.file.write_at(position, half);
            die();
        }
        write(&*self.file, position, buffer)
    }
}

impl File for FatalFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(position, buffer)
    }

    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        self.write(position, buffer, |file, position, buffer| file.write_at(position, buffer))
    }

    fn write_through_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        self.write(position, buffer, |file, position, buffer| {
            file.write_through_at(position, buffer)
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.fate.meet_whole();
        self.file.allocate(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.fate.meet_whole();
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.fate.meet_whole();
        self.file.sync()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}

/// Runs each submission when it is made.
#[derive(Debug)]
struct FatalQueue {
    done: Vec<Completion>,
}

impl Disk for FatalQueue {
    fn submit_write(&mut self, write: Write) {
        let Write { token, file, position, buffer, range, sync } = write;
        let bytes = buffer.as_slice().get(range).unwrap_or_default();
        let result = match sync {
            WriteSync::None => file.write_at(position, bytes),
            WriteSync::OwnRange => file.write_through_at(position, bytes),
        };
        self.done.push(Completion { token, result, buffer: Some(buffer) });
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        self.done.push(Completion { token, result: file.sync().map(|()| 0), buffer: None });
    }

    fn poll(&mut self, _: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        out.append(&mut self.done);
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.done.len()
    }
}
