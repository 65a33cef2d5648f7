//! Writing past the page cache: a second descriptor of a file, opened with `O_DIRECT`.
//!
//! ```text
//!   reads, recovery, sidecars   plain descriptor  ─▶ page cache ─▶ device
//!   segment writes              direct descriptor ───────────────▶ device
//!   flushes                     plain descriptor: the one that hears of every error of the file
//! ```
//!
//! Mixing the two is sound here because of who writes what, not by luck (open(2) warns of it):
//! 1. A segment is written through one of the two only, as long as it is open; what recovery wrote
//!    through the page cache was flushed before the first append.
//! 2. Readers look below the written end only, and the kernel drops the cached pages of a range
//!    both before and after a direct write to it.
//! 3. The tail block is written again with the same bytes before its old end, so a reader of the
//!    old part sees the same whichever copy it meets.
//!
//! What the device asks for is read from `statx(2)`, never assumed: a device that wants more than
//! [`BLOCK_BYTES`] gets plain writes.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

use super::aligned::{AlignedBuf, BLOCK_BYTES};
use crate::int::usize_from_u32;

/// Name of the file that a store tries direct writes on, in its directory; removed at once.
pub(super) const PROBE_NAME: &str = ".oncelog.probe";

/// A descriptor whose writes go past the page cache.
#[derive(Debug)]
pub(super) struct Direct {
    fd: OwnedFd,
    memory_align: usize,
    offset_align: usize,
}

impl Direct {
    /// Opens the file at `path`, which has to be `plain`, a second time.
    ///
    /// # Errors
    ///
    /// If it cannot be opened so, is another file by now, or wants larger blocks than ours.
    pub(super) fn open(path: &Path, plain: &fs::File) -> io::Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty())?;
        let (ours, theirs) = (rustix::fs::fstat(plain)?, rustix::fs::fstat(&fd)?);
        if (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino) {
            return Err(refused("the name stands for another file by now"));
        }
        let stat = rustix::fs::statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
        if stat.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
            return Err(refused("the kernel does not say how direct writes must be aligned"));
        }
        let memory_align = usize_from_u32(stat.stx_dio_mem_align);
        let offset_align = usize_from_u32(stat.stx_dio_offset_align);
        if memory_align == 0 || offset_align == 0 {
            return Err(refused("the file system says that it has no direct writes"));
        }
        if !BLOCK_BYTES.is_multiple_of(memory_align) || !BLOCK_BYTES.is_multiple_of(offset_align) {
            let what = format!(
                "the device wants direct writes in units of {offset_align} bytes from memory \
                 aligned to {memory_align}, and a block of a segment is {BLOCK_BYTES}"
            );
            return Err(refused(&what));
        }
        Ok(Self { fd, memory_align, offset_align })
    }

    /// Whether the device takes `bytes` at `position` as they stand.
    pub(super) fn takes(&self, position: u64, bytes: &[u8]) -> bool {
        let unit = crate::int::u64_from(self.offset_align);
        bytes.as_ptr().addr().is_multiple_of(self.memory_align)
            && bytes.len().is_multiple_of(self.offset_align)
            && position.is_multiple_of(unit)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Tries a direct write in `dir`, on a file that is removed again.
///
/// # Errors
///
/// Why direct writes are not to be had there.
pub(super) fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(PROBE_NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let plain = fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    let direct = Direct::open(&path, &plain);
    fs::remove_file(&path)?;
    let mut block = AlignedBuf::with_capacity(BLOCK_BYTES);
    block.fill(&[0]);
    block.pad();
    let written = rustix::io::pwrite(direct?.fd(), block.as_slice(), 0)?;
    if written == BLOCK_BYTES {
        Ok(())
    } else {
        Err(refused("a direct write of one block was cut short"))
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}
