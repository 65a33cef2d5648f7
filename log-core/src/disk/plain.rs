//! One file of the file system, with its reads, cold writes, and hot writes.
//!
//! ```text
//!   write_at, write_through_at   recovery, sidecars: through the page cache
//!   write_hot                    segment writes of a disk: direct where that is wanted and granted
//!   sync                         fdatasync(2), once: what a failed one did is not known
//! ```

use core::any::Any;
use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::direct::Direct;
use super::{File, WriteSync};
use crate::ids::TimestampMs;

/// Times a call is made again after EINTR.
const RETRIES_MAX: u32 = 16;

/// Whether the segment writes of a directory's files are to go past the page cache, and how many
/// files did not get that.
#[derive(Debug, Default)]
pub(super) struct DirectWrites {
    pub(super) wanted: bool,
    refused: AtomicU64,
}

impl DirectWrites {
    pub(super) fn wanted(wanted: bool) -> Self {
        Self { wanted, refused: AtomicU64::new(0) }
    }

    /// Files that were written through the page cache although direct writes were wanted.
    pub(super) fn refused(&self) -> u64 {
        // Relaxed: a count nobody draws conclusions about other memory from.
        self.refused.load(Ordering::Relaxed)
    }
}

/// An open file of the file system.
#[derive(Debug)]
pub(super) struct PlainFile {
    file: fs::File,
    path: PathBuf,
    direct_writes: Arc<DirectWrites>,
    /// Opened at the first segment write: most files never see one.
    direct: OnceLock<Option<Direct>>,
    /// The device took no direct write after all.
    direct_refused: AtomicBool,
}

impl PlainFile {
    pub(super) fn new(file: fs::File, path: PathBuf, direct_writes: Arc<DirectWrites>) -> Self {
        let (direct, direct_refused) = (OnceLock::new(), AtomicBool::new(false));
        Self { file, path, direct_writes, direct, direct_refused }
    }

    /// The descriptor that a segment write goes to, and whether it is the direct one.
    pub(super) fn hot_fd(&self, position: u64, bytes: &[u8]) -> (BorrowedFd<'_>, bool) {
        match self.direct().filter(|direct| direct.takes(position, bytes)) {
            Some(direct) => (direct.fd(), true),
            None => (self.file.as_fd(), false),
        }
    }

    /// The descriptor that hears of every error of the file.
    #[cfg(feature = "uring")]
    pub(super) fn sync_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// From now on segment writes go through the page cache: a direct one was found invalid.
    pub(super) fn refuse_direct(&self) {
        // Relaxed: both ways are right at any time; which one is taken decides nothing else.
        if !self.direct_refused.swap(true, Ordering::Relaxed) {
            self.direct_writes.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn direct(&self) -> Option<&Direct> {
        if !self.direct_writes.wanted || self.direct_refused.load(Ordering::Relaxed) {
            return None;
        }
        let open = || match Direct::open(&self.path, &self.file) {
            Ok(direct) => Some(direct),
            Err(_why_it_stays_plain) => {
                self.refuse_direct();
                None
            }
        };
        self.direct.get_or_init(open).as_ref()
    }

    /// One segment write, blocking.
    pub(super) fn write_hot(&self, at: u64, bytes: &[u8], sync: WriteSync) -> io::Result<usize> {
        let (fd, direct) = self.hot_fd(at, bytes);
        let written = match sync {
            WriteSync::None => uninterrupted(|| Ok(rustix::io::pwrite(fd, bytes, at)?)),
            WriteSync::OwnRange => self.write_through(fd, at, bytes),
        };
        match written {
            Err(error) if direct && is(&error, Errno::INVAL) => {
                self.refuse_direct();
                self.write_hot(at, bytes, sync)
            }
            other => other,
        }
    }

    fn write_through(&self, fd: BorrowedFd<'_>, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let flags = ReadWriteFlags::DSYNC;
        match rustix::io::pwritev2(fd, &[IoSlice::new(bytes)], at, flags) {
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                let written = uninterrupted(|| Ok(rustix::io::pwrite(fd, bytes, at)?))?;
                self.sync().map(|()| written)
            }
            other => Ok(other?),
        }
    }

    /// Writes zeros up to `bytes`, where the file system cannot allocate.
    fn fill(&self, bytes: u64) -> io::Result<()> {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let before = self.len()?;
        let mut at = before;
        while at < bytes {
            let len = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(ZEROS.len());
            match self.write_at(at, ZEROS.get(..len).unwrap_or_default()) {
                Ok(written) => at += u64::try_from(written).unwrap_or_default(),
                Err(error) => {
                    self.file.set_len(before)?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Makes `call` again as long as it is interrupted, a bounded number of times.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..RETRIES_MAX {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
    call()
}

impl File for PlainFile {
    fn len(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.file.read_at(buffer, position))
    }

    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.file.write_at(buffer, position))
    }

    fn write_through_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        self.write_through(self.file.as_fd(), position, buffer)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if self.len()? >= bytes {
            return Ok(());
        }
        let allocated = uninterrupted(|| {
            Ok(rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, bytes)?)
        });
        match allocated {
            Err(error)
                if [Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS]
                    .map(|errno| is(&error, errno))
                    .contains(&true) =>
            {
                self.fill(bytes)
            }
            other => other,
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // Once: what an interrupted or failed flush did is not known.
        Ok(rustix::fs::fdatasync(&self.file)?)
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }

    #[cfg(feature = "mmap")]
    fn map(&self, bytes: u64) -> io::Result<super::Mapping> {
        super::map::map(&self.file, bytes)
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    fn modified(&self) -> io::Result<Option<TimestampMs>> {
        let since = self.file.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH);
        let millis = since.ok().and_then(|since| i64::try_from(since.as_millis()).ok());
        Ok(millis.map(TimestampMs::new))
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}
