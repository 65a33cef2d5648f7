//! The only room with I/O: names, files, and a queue for the writes that must be fast and ordered.
//!
//! ```text
//!   Directory   names and open files         blocking   create, open, list, rename, unlink, sync
//!      └ File   one open file                blocking   cold path: recovery, seals, sidecars, reads
//!      └ Disk   a queue of submissions       in flight  hot path: segment writes and their syncs
//!
//!   who owns the buffer of a write
//!     caller ── submit_write ──▶ disk (the kernel may be reading it) ── Completion ──▶ caller
//! ```
//!
//! What an implementation owes. The suite `conformance` judges what can be seen without a
//! power cut; the rest is tested by the simulated disk:
//! - Submissions may complete in any order. A sync covers the writes of its file that had
//!   *completed* when it was submitted, and nothing else ("order by completion").
//! - A write submitted with [`WriteSync::OwnRange`] makes its own bytes durable and no others.
//! - A file's name is durable only after [`Directory::sync_dir`] of its directory.
//! - A failed sync promises nothing about any byte since the last good one, and is never retried.

use core::any::Any;
use core::fmt;
use core::ops::Range;
use core::task::Waker;
use core::time::Duration;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::ids::TimestampMs;

pub mod aligned;
mod blocking;
#[cfg(feature = "conformance")]
pub mod conformance;
mod direct;
mod engine;
mod map;
mod memory;
mod plain;
pub(crate) mod pool;
mod read_only;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "uring")]
mod uring;

pub use aligned::AlignedBuf;
pub use blocking::BlockingDirectory;
pub(crate) use engine::{Chosen, choose};
pub use engine::{DirectIo, Engine, EngineInUse, EngineInfo};
pub use map::Mapping;
pub use memory::MemoryDirectory;
pub(crate) use read_only::ReadOnlyDirectory;
#[cfg(feature = "uring")]
pub use uring::UringDirectory;

/// How a file is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Open {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A file that must not exist yet, to read and write; `AlreadyExists` otherwise.
    Create,
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Anything else: a link, FIFO, socket or device. Never opened.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Entry {
    /// The last part of the path. Names that are not UTF-8 are left out of a listing.
    pub name: String,
    /// What it names.
    pub kind: EntryKind,
}

impl Entry {
    /// An entry, for implementations of [`Directory`].
    #[must_use]
    pub const fn new(name: String, kind: EntryKind) -> Self {
        Self { name, kind }
    }
}

/// Names and open files. One of the four places where the outside world comes in.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Opens a regular file; a link or anything else under that name is refused.
    ///
    /// # Errors
    ///
    /// As `open(2)`.
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>>;

    /// Creates a directory whose parent exists; fine if it is there already.
    ///
    /// # Errors
    ///
    /// As `mkdir(2)`.
    ///
    /// # Durability
    ///
    /// None before [`Directory::sync_dir`] of the parent.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in ascending order.
    ///
    /// # Errors
    ///
    /// As `readdir(3)`.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Renames within one directory: a file over whatever file has the new name, or a directory
    /// with all that is in it to a name that nothing has.
    ///
    /// # Errors
    ///
    /// As `rename(2)`.
    ///
    /// # Durability
    ///
    /// After a power loss before [`Directory::sync_dir`], either name may be found, never a mix.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name; open files go on working.
    ///
    /// # Errors
    ///
    /// As `unlink(2)`.
    ///
    /// # Durability
    ///
    /// None before [`Directory::sync_dir`].
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// As `rmdir(2)`.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    ///
    /// # Errors
    ///
    /// As `fsync(2)`. Not retried.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the one exclusive lock of a file, creating the file if need be. Held until dropped.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if somebody else holds it, in this process or another.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// A queue of its own for submissions to files of this directory, for one thread to keep: it
    /// may bind itself to the thread of its first poll.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the means (a ring, say) and there is no fallback.
    fn disk(&self) -> io::Result<Box<dyn Disk>>;

    /// A queue for one small commit by whichever thread has the turn. Made for every such commit,
    /// so it has to be cheap. Default: [`Directory::disk`].
    ///
    /// # Errors
    ///
    /// As [`Directory::disk`].
    fn turn_disk(&self) -> io::Result<Box<dyn Disk>> {
        self.disk()
    }
}

/// A held lock; dropping it lets go.
pub trait Lock: fmt::Debug + Send + Sync {}

/// One open regular file.
pub trait File: fmt::Debug + Send + Sync {
    /// Bytes in the file.
    ///
    /// # Errors
    ///
    /// As `fstat(2)`.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    ///
    /// As `fstat(2)`.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads into `buffer` from `position`; returns how many bytes, 0 at the end. May be short.
    ///
    /// # Errors
    ///
    /// As `pread(2)`.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes from `buffer` at `position`; returns how many bytes. May be short.
    ///
    /// # Errors
    ///
    /// As `pwrite(2)`.
    ///
    /// # Durability
    ///
    /// Outlives the process; outlives power loss only after a [`File::sync`] that follows it.
    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize>;

    /// Writes as [`File::write_at`] and flushes what it wrote.
    ///
    /// # Errors
    ///
    /// As `pwritev2(2)` with `RWF_DSYNC`.
    ///
    /// # Durability
    ///
    /// The bytes it says it wrote outlive power loss; earlier writes need a flush of their own.
    fn write_through_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        let written = self.write_at(position, buffer)?;
        self.sync().map(|()| written)
    }

    /// Secures space so that the file is at least `bytes` long: new bytes read as zero, and
    /// writing them later cannot fail for want of space.
    ///
    /// # Errors
    ///
    /// `StorageFull` or `QuotaExceeded` if there is none; then the length is as before.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts the file to `bytes`, or lengthens it by zeros.
    ///
    /// # Errors
    ///
    /// As `ftruncate(2)`.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// `fdatasync(2)`: the bytes written so far, and the length needed to read them.
    ///
    /// # Errors
    ///
    /// Any error means: nothing since the last good sync is known to be durable. Never retried.
    fn sync(&self) -> io::Result<()>;

    /// Makes sure that the file can be used as long as this lives, whatever becomes of its name: what
    /// is only a place opens it now and keeps it open.
    ///
    /// # Errors
    ///
    /// As [`Directory::open`].
    fn pin(&self) -> io::Result<()> {
        Ok(())
    }

    /// The file as what it is, for the queue of the disk it belongs to; `None` for files that no
    /// queue needs to know again.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// The file itself, where this one is only its place and opens it when it is used; `None` if
    /// this is the file. What is given to a [`Disk`] is resolved first, and held until it is
    /// flushed.
    ///
    /// # Errors
    ///
    /// As [`Directory::open`].
    fn resolve(&self) -> io::Result<Option<Arc<dyn File>>> {
        Ok(None)
    }

    /// The bytes of a file that is exactly `bytes` long and no longer changes: its pages where the
    /// disk has some, a copy elsewhere.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the file has another length; otherwise as `pread(2)` or `mmap(2)`.
    fn map(&self, bytes: u64) -> io::Result<Mapping> {
        map::read(self, bytes)
    }

    /// Drops clean cached pages, so that the next read asks the device.
    ///
    /// # Errors
    ///
    /// As `posix_fadvise(2)`.
    fn drop_cache(&self) -> io::Result<()>;

    /// When the file was last written, where the disk keeps that.
    ///
    /// # Errors
    ///
    /// As `fstat(2)`.
    fn modified(&self) -> io::Result<Option<TimestampMs>> {
        Ok(None)
    }

    /// The file as the simulated disk knows it; nothing elsewhere.
    #[doc(hidden)]
    #[cfg(feature = "sim")]
    fn sim_handle(&self) -> Option<sim::Handle> {
        None
    }
}

/// Ties a completion to its submission. Not reused while in flight.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct Token(pub u64);

/// What a write makes durable by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "with or without RWF_DSYNC")]
pub enum WriteSync {
    /// Nothing: a later sync of the file has to.
    None,
    /// Its own bytes and the length to read them (`RWF_DSYNC`), never an earlier write's.
    OwnRange,
}

/// A write on its way: which bytes of `buffer` go where.
///
/// `position` and both ends of `range` are multiples of [`aligned::BLOCK_BYTES`].
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "built by the log, read by every disk")]
pub struct Write {
    /// Comes back in the completion.
    pub token: Token,
    /// The file.
    pub file: Arc<dyn File>,
    /// Where in the file.
    pub position: u64,
    /// The memory; owned by the disk until the completion.
    pub buffer: AlignedBuf,
    /// Which bytes of it.
    pub range: Range<usize>,
    /// Whether the write is to be its own flush.
    pub sync: WriteSync,
}

/// One finished submission.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "built by every disk, read by the log")]
pub struct Completion {
    /// The submission it answers.
    pub token: Token,
    /// Bytes moved (0 for a sync), or the kernel's error. May be short.
    pub result: io::Result<usize>,
    /// The buffer of a write, handed back whole.
    pub buffer: Option<AlignedBuf>,
}

/// The hot road to stable storage: submissions that complete in any order.
pub trait Disk: fmt::Debug + Send {
    /// Queues a write. Nothing is promised before its completion, and nothing is durable before
    /// the completion of a later sync (unless [`WriteSync::OwnRange`] was asked for).
    fn submit_write(&mut self, write: Write);

    /// Queues `fdatasync` of `file`, covering the writes that have completed by now.
    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>);

    /// Appends finished submissions to `out`, blocking until there are at least `wait_for` (or
    /// all that are in flight, if fewer).
    ///
    /// # Errors
    ///
    /// Only if the queue itself fails; a failed submission is reported in its [`Completion`].
    fn poll(&mut self, wait_for: usize, out: &mut Vec<Completion>) -> io::Result<()>;

    /// As [`Disk::poll`] for one submission, but returns without one when `limit` has passed or
    /// the queue's waker was called. Default: [`Disk::poll`], for queues that do not block long.
    ///
    /// # Errors
    ///
    /// As [`Disk::poll`].
    fn poll_until(&mut self, limit: Option<Duration>, out: &mut Vec<Completion>) -> io::Result<()> {
        match limit {
            Some(Duration::ZERO) => self.poll(0, out),
            _ => self.poll(1, out),
        }
    }

    /// What ends a [`Disk::poll_until`] early, from any thread; `None` if it does not block long.
    fn waker(&self) -> Option<Waker> {
        None
    }

    /// Submissions that have not completed.
    fn in_flight(&self) -> usize;
}
