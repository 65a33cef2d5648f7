//! The file system by plain system calls: `pwrite` and `fdatasync`, each when it is submitted.
//!
//! ```text
//!   open    O_NOFOLLOW, O_NONBLOCK, then fstat: a link, FIFO or device is refused, and cannot hang
//!   sync    fdatasync(2)          allocate  fallocate(2)         lock  fcntl(2), F_OFD_SETLK
//!   write that is its own flush   pwritev2(2) with RWF_DSYNC, else write and fdatasync
//! ```

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::{
    Completion, Directory, Disk, Entry, EntryKind, File, Lock, Open, Token, Write, WriteSync,
};

/// Times a call is made again after EINTR.
const RETRIES_MAX: u32 = 16;

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct BlockingDirectory;

impl BlockingDirectory {
    /// The file system.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Directory for BlockingDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let access = match open {
            Open::Read => OFlags::RDONLY,
            Open::Write => OFlags::RDWR,
            Open::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        let guards = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, access | guards, Mode::from_raw_mode(0o644))?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        if kind != FileType::RegularFile {
            let what = format!("{} is no regular file but a {kind:?}", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Ok(Arc::new(PlainFile(fs::File::from(file))))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let kind = if kind.is_file() {
                EntryKind::File
            } else if kind.is_dir() {
                EntryKind::Directory
            } else {
                EntryKind::Other
            };
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry::new(name, kind));
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(rustix::fs::fsync(directory)?)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))?;
        let whole = nix::libc::flock {
            l_type: nix::libc::F_WRLCK.try_into().unwrap_or_default(),
            l_whence: nix::libc::SEEK_SET.try_into().unwrap_or_default(),
            l_start: 0,
            l_len: 0,
            l_pid: 0,
        };
        match nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole)) {
            Ok(_) => Ok(Box::new(HeldLock { _file: fs::File::from(file) })),
            Err(nix::errno::Errno::EACCES) => Err(io::ErrorKind::WouldBlock.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(BlockingQueue { done: Vec::new() }))
    }
}

/// The lock lives as long as the open file description.
#[derive(Debug)]
struct HeldLock {
    _file: fs::File,
}

impl Lock for HeldLock {}

#[derive(Debug)]
struct PlainFile(fs::File);

impl PlainFile {
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
                    self.0.set_len(before)?;
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
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.read_at(buffer, position))
    }

    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.write_at(buffer, position))
    }

    fn write_through_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        let flags = ReadWriteFlags::DSYNC;
        let written = rustix::io::pwritev2(&self.0, &[IoSlice::new(buffer)], position, flags);
        match written {
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                let written = self.write_at(position, buffer)?;
                self.sync().map(|()| written)
            }
            other => Ok(other?),
        }
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        if self.len()? >= bytes {
            return Ok(());
        }
        let allocated = uninterrupted(|| {
            Ok(rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, bytes)?)
        });
        match allocated {
            Err(error)
                if [Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS]
                    .iter()
                    .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) =>
            {
                self.fill(bytes)
            }
            other => other,
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        // Once: what an interrupted or failed flush did is not known.
        Ok(rustix::fs::fdatasync(&self.0)?)
    }

    #[cfg(feature = "mmap")]
    fn map(&self, bytes: u64) -> io::Result<super::Mapping> {
        super::map::map(&self.0, bytes)
    }

    fn drop_cache(&self) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }
}

/// Runs each submission when it is made, and hands the results out when asked.
#[derive(Debug)]
struct BlockingQueue {
    done: Vec<Completion>,
}

impl Disk for BlockingQueue {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::process::Command;

    #[test]
    fn only_regular_files_are_opened_and_a_fifo_does_not_hang() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("file"), b"x").unwrap();
        symlink(path("file"), path("link")).unwrap();
        assert!(Command::new("mkfifo").arg(path("fifo")).status().unwrap().success());
        fs::create_dir(path("dir")).unwrap();
        let directory = BlockingDirectory::new();
        for name in ["link", "fifo", "dir"] {
            assert!(directory.open(&path(name), Open::Read).is_err(), "{name}");
        }
        assert_eq!(directory.open(&path("file"), Open::Write).unwrap().len().unwrap(), 1);
        assert!(directory.open(&path("file"), Open::Create).is_err());
    }

    #[test]
    fn allocated_space_reads_as_zeros_and_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let file = BlockingDirectory::new().open(&dir.path().join("f"), Open::Create).unwrap();
        assert_eq!(file.write_through_at(0, b"abc").unwrap(), 3);
        file.allocate(8192).unwrap();
        let mut bytes = [9; 5];
        assert_eq!((file.len().unwrap(), file.read_at(0, &mut bytes).unwrap()), (8192, 5));
        assert_eq!(&bytes, b"abc\0\0");
    }

    #[test]
    fn row_98_a_lock_excludes_a_second_one_here_and_a_plain_record_lock_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let directory = BlockingDirectory::new();
        let held = directory.lock(&path).unwrap();
        let second = directory.lock(&path).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::WouldBlock);
        // As Java's FileChannel.tryLock does it.
        let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\ntry: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)\nexcept OSError: sys.exit(7)\n";
        let try_lock = || Command::new("python3").args(["-c", script]).arg(&path).status();
        match try_lock() {
            Ok(status) => assert_eq!(status.code(), Some(7), "the record lock was granted"),
            Err(error) => println!("skipped: no python3 here ({error})"),
        }
        drop(held);
        assert!(directory.lock(&path).is_ok());
    }
}
