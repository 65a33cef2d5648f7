//! Open files, at most so many: ten thousand idle partitions are a normal store, and hold none.
//!
//! ```text
//!   PooledFile   path ── used ─▶ open file      opened when it is used, by the name it has
//!   FilePool     ring of those that are open    one too many: the first that was not used since
//!                                               it was last passed by is closed (clock, Corbató 1968)
//! ```
//!
//! Invariants:
//! 1. A file is closed only if nobody else holds it and nothing written through it waits for a
//!    flush: an error of a write-back is reported to descriptors that were open when it happened.
//! 2. A pinned file stays open as long as it lives: it is about to lose its name.
//! 3. Who gives files to a [`Disk`](super::Disk) resolves them first, and holds what it got while
//!    anything of it is in flight or not flushed.
//!
//! So the bound is one on idle files: what is being written is open, however much it is.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::{Directory, Disk, Entry, File, Lock, Mapping, Open};
use crate::ids::TimestampMs;

/// The open files of a store.
pub(crate) struct FilePool {
    directory: Arc<dyn Directory>,
    open_files_max: usize,
    ring: Mutex<VecDeque<Weak<PooledFile>>>,
}

impl FilePool {
    /// A pool that keeps at most `open_files_max` idle files open.
    pub(crate) fn new(directory: Arc<dyn Directory>, open_files_max: u32) -> Arc<Self> {
        let open_files_max = crate::int::usize_from_u32(open_files_max);
        Arc::new(Self { directory, open_files_max, ring: Mutex::default() })
    }

    /// Opens a file that will be opened again by this path whenever it is used.
    ///
    /// # Errors
    ///
    /// As [`Directory::open`].
    pub(crate) fn open_pooled(
        self: &Arc<Self>,
        path: &Path,
        open: Open,
    ) -> io::Result<Arc<dyn File>> {
        let file = self.open(path, open)?;
        let again = if open == Open::Create { Open::Write } else { open };
        let pooled = Arc::new_cyclic(|this| PooledFile {
            pool: Arc::clone(self),
            path: path.to_owned(),
            open: again,
            held: Mutex::new(Held { file: Some(file), writes: 0, flushed: 0, pinned: false }),
            used: AtomicBool::new(true),
            this: Weak::clone(this),
        });
        self.enter(&pooled.this);
        Ok(pooled)
    }

    /// Adds a file that was just opened.
    fn enter(&self, file: &Weak<PooledFile>) {
        self.ring.lock().push_back(Weak::clone(file));
        self.shrink_to(self.open_files_max);
    }

    /// Closes idle files until so many are left, or none is idle.
    fn shrink_to(&self, files: usize) {
        let mut passes = 2 * self.ring.lock().len();
        while passes > 0 {
            passes -= 1;
            let next = {
                let mut ring = self.ring.lock();
                if ring.len() <= files {
                    return;
                }
                ring.pop_front()
            };
            // Files that are gone, or were closed, fall out of the ring.
            if let Some(file) = next.as_ref().and_then(Weak::upgrade)
                && !file.close_if_idle()
            {
                self.ring.lock().extend(next);
            }
        }
    }

    /// Files in the ring: open ones, and some that are gone.
    #[cfg(test)]
    fn open_files(&self) -> usize {
        self.ring.lock().len()
    }
}

/// The directory itself, but that idle files make room where the process may open no more.
impl Directory for FilePool {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        match self.directory.open(path, open) {
            Err(error) if is_exhausted(&error) => {
                let half = self.ring.lock().len() / 2;
                self.shrink_to(half);
                self.directory.open(path, open)
            }
            other => other,
        }
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.directory.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.directory.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.directory.unlink(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.directory.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.directory.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.directory.lock(path)
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        self.directory.disk()
    }

    fn turn_disk(&self) -> io::Result<Box<dyn Disk>> {
        self.directory.turn_disk()
    }
}

impl fmt::Debug for FilePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilePool")
            .field("open_files_max", &self.open_files_max)
            .finish_non_exhaustive()
    }
}

/// A file that is open while it is used.
#[derive(Debug)]
struct PooledFile {
    pool: Arc<FilePool>,
    path: PathBuf,
    open: Open,
    held: Mutex<Held>,
    /// Used since the pool last passed by.
    used: AtomicBool,
    this: Weak<Self>,
}

#[derive(Debug)]
struct Held {
    file: Option<Arc<dyn File>>,
    /// Writes so far, and how many of them a flush has covered.
    writes: u64,
    flushed: u64,
    pinned: bool,
}

impl PooledFile {
    fn get(&self) -> io::Result<Arc<dyn File>> {
        // Relaxed: a hint to the pool, about no other memory.
        self.used.store(true, Ordering::Relaxed);
        if let Some(file) = &self.held.lock().file {
            return Ok(Arc::clone(file));
        }
        let opened = self.pool.open(&self.path, self.open)?;
        let file = {
            let mut held = self.held.lock();
            match &held.file {
                // Somebody else was as quick: one of the two is enough.
                Some(file) => return Ok(Arc::clone(file)),
                None => held.file.insert(opened).clone(),
            }
        };
        self.pool.enter(&self.this);
        Ok(file)
    }

    /// The same to write to it: it stays open until a flush.
    fn get_to_write(&self) -> io::Result<Arc<dyn File>> {
        self.held.lock().writes += 1;
        self.get()
    }

    /// Closes the file if that may be; returns whether the pool is done with it.
    fn close_if_idle(&self) -> bool {
        if self.used.swap(false, Ordering::Relaxed) {
            return false;
        }
        let mut held = self.held.lock();
        if held.pinned {
            // The pool need not look at it again.
            return true;
        }
        let alone = held.file.as_ref().is_none_or(|file| Arc::strong_count(file) == 1);
        let idle = alone && held.writes == held.flushed;
        if idle {
            held.file = None;
        }
        idle
    }
}

impl File for PooledFile {
    fn len(&self) -> io::Result<u64> {
        self.get()?.len()
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.get()?.read_at(position, buffer)
    }

    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        self.get_to_write()?.write_at(position, buffer)
    }

    fn write_through_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        self.get_to_write()?.write_through_at(position, buffer)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        // No write: space that was given stays given when the file is closed.
        self.get()?.allocate(bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.get_to_write()?.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let file = self.get()?;
        let covered = self.held.lock().writes;
        file.sync()?;
        let mut held = self.held.lock();
        held.flushed = held.flushed.max(covered);
        Ok(())
    }

    fn map(&self, bytes: u64) -> io::Result<Mapping> {
        self.get()?.map(bytes)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.get()?.drop_cache()
    }

    fn modified(&self) -> io::Result<Option<TimestampMs>> {
        self.get()?.modified()
    }

    fn pin(&self) -> io::Result<()> {
        // Said first: what is opened after that is not closed again.
        self.held.lock().pinned = true;
        self.get().map(drop)
    }

    fn resolve(&self) -> io::Result<Option<Arc<dyn File>>> {
        self.get().map(Some)
    }
}

/// A quarter of the files this process may open: a file opened to write may take two descriptors,
/// and the process has uses of its own.
pub(crate) fn open_files_default() -> u32 {
    const LEAST: u64 = 16;
    const MOST: u64 = 4096;
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(MOST);
    u32::try_from((limit / 4).clamp(LEAST, MOST)).unwrap_or(u32::MAX)
}

/// Too many files are open, in the process or in the system.
fn is_exhausted(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(Errno::MFILE.raw_os_error()) || errno == Some(Errno::NFILE.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDirectory;

    fn pool(open_files_max: u32) -> Arc<FilePool> {
        FilePool::new(Arc::new(MemoryDirectory::new()), open_files_max)
    }

    fn make(pool: &Arc<FilePool>, number: usize) -> Arc<dyn File> {
        let path = format!("/{number}");
        let file = pool.open_pooled(Path::new(&path), Open::Create).unwrap();
        assert_eq!(file.write_at(0, &[u8::try_from(number).unwrap(); 3]).unwrap(), 3);
        file.sync().unwrap();
        file
    }

    fn first_byte(file: &dyn File) -> u8 {
        let mut byte = [0];
        assert_eq!(file.read_at(0, &mut byte).unwrap(), 1);
        byte[0]
    }

    #[test]
    fn no_more_than_so_many_are_open_and_all_can_be_read() {
        let pool = pool(4);
        let files: Vec<Arc<dyn File>> = (0..50).map(|number| make(&pool, number)).collect();
        assert!(pool.open_files() <= 4, "{}", pool.open_files());
        for (number, file) in files.iter().enumerate() {
            assert_eq!(usize::from(first_byte(&**file)), number);
        }
        assert!(pool.open_files() <= 4, "{}", pool.open_files());
    }

    #[test]
    fn a_file_that_is_held_or_waits_for_a_flush_stays_open() {
        let pool = pool(2);
        let (kept, dirty) = (make(&pool, 0), make(&pool, 1));
        let hold = kept.resolve().unwrap().unwrap();
        assert_eq!(dirty.write_at(1, b"x").unwrap(), 1);
        let _others: Vec<Arc<dyn File>> = (2..20).map(|number| make(&pool, number)).collect();
        let again = kept.resolve().unwrap().unwrap();
        assert!(Arc::ptr_eq(&hold, &again), "the very file that was held");
        assert!(pool.open_files() <= 4, "two that cannot be closed, two that are new");
        dirty.sync().unwrap();
        drop((hold, again));
        let _more: Vec<Arc<dyn File>> = (20..30).map(|number| make(&pool, number)).collect();
        assert!(pool.open_files() <= 2, "{}", pool.open_files());
    }

    #[test]
    fn a_pinned_file_outlives_its_name_and_is_closed_with_it() {
        let pool = pool(2);
        let (pinned, other) = (make(&pool, 0), make(&pool, 1));
        let _more: Vec<Arc<dyn File>> = (2..20).map(|number| make(&pool, number)).collect();
        pinned.pin().unwrap();
        let inner = pinned.resolve().unwrap().unwrap();
        for name in ["/0", "/1"] {
            pool.unlink(Path::new(name)).unwrap();
        }
        let _others: Vec<Arc<dyn File>> = (20..40).map(|number| make(&pool, number)).collect();
        assert_eq!(first_byte(&*pinned), 0, "though it was not used for long");
        assert_eq!(other.read_at(0, &mut [0]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(pool.open_files() <= 3, "{}", pool.open_files());
        drop(pinned);
        assert_eq!(Arc::strong_count(&inner), 1, "nobody else holds it");
    }
}
