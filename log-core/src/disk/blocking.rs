//! The file system by plain system calls: `pwrite` and `fdatasync`, each when it is submitted.
//!
//! ```text
//!   open    O_NOFOLLOW, O_NONBLOCK, then fstat: a link, FIFO or device is refused, and cannot hang
//!   lock    fcntl(2), F_OFD_SETLK
//!   queue   each submission is run when it is made
//! ```

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags};

use super::plain::{DirectWrites, PlainFile};
use super::{
    Completion, Directory, Disk, Entry, EntryKind, File, Lock, Open, Token, Write, WriteSync,
};

/// The file system. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BlockingDirectory {
    direct_writes: Arc<DirectWrites>,
}

impl BlockingDirectory {
    /// The file system, with every write through the page cache.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The file system, with segment writes past the page cache (`O_DIRECT`) where files allow it.
    #[must_use]
    pub fn direct() -> Self {
        Self { direct_writes: Arc::new(DirectWrites::wanted(true)) }
    }

    /// Files that were written through the page cache although direct writes were wanted.
    pub(super) fn direct_refused(&self) -> u64 {
        self.direct_writes.refused()
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
        // What was opened to read is not written through a second descriptor either.
        let direct_writes = match open {
            Open::Read => Arc::default(),
            Open::Write | Open::Create => Arc::clone(&self.direct_writes),
        };
        Ok(Arc::new(PlainFile::new(fs::File::from(file), path.to_owned(), direct_writes)))
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
        match set_lock(&file, nix::libc::F_WRLCK) {
            Ok(()) => Ok(Box::new(HeldLock { file: fs::File::from(file) })),
            Err(nix::errno::Errno::EACCES) => Err(io::ErrorKind::WouldBlock.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(BlockingQueue::default()))
    }
}

/// Takes or gives back the lock of a whole file, for its open file description (fcntl(2)).
fn set_lock(file: &impl AsFd, kind: nix::libc::c_int) -> nix::Result<()> {
    let whole = nix::libc::flock {
        l_type: kind.try_into().unwrap_or_default(),
        l_whence: nix::libc::SEEK_SET.try_into().unwrap_or_default(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole)).map(drop)
}

/// A lock lives as long as its open file description.
#[derive(Debug)]
struct HeldLock {
    file: fs::File,
}

impl Lock for HeldLock {}

impl Drop for HeldLock {
    /// Closing is not enough: a child that is between fork(2) and execve(2) has the description, too.
    fn drop(&mut self) {
        let _closed_next = set_lock(&self.file, nix::libc::F_UNLCK);
    }
}

/// Runs each submission when it is made, and hands the results out when asked.
#[derive(Debug, Default)]
struct BlockingQueue {
    done: Vec<Completion>,
}

/// The file of the file system behind `file`, if it is one.
pub(super) fn plain(file: &dyn File) -> Option<&PlainFile> {
    file.as_any()?.downcast_ref()
}

/// Runs a write to its end.
pub(super) fn run_write(write: Write) -> Completion {
    let Write { token, file, position, buffer, range, sync } = write;
    let bytes = buffer.as_slice().get(range).unwrap_or_default();
    let result = match (plain(&*file), sync) {
        (Some(plain), sync) => plain.write_hot(position, bytes, sync),
        (None, WriteSync::None) => file.write_at(position, bytes),
        (None, WriteSync::OwnRange) => file.write_through_at(position, bytes),
    };
    Completion { token, result, buffer: Some(buffer) }
}

/// Runs a flush to its end.
pub(super) fn run_sync(token: Token, file: &dyn File) -> Completion {
    Completion { token, result: file.sync().map(|()| 0), buffer: None }
}

impl Disk for BlockingQueue {
    fn submit_write(&mut self, write: Write) {
        self.done.push(run_write(write));
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        self.done.push(run_sync(token, &**file));
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

    #[test]
    fn a_lock_that_is_given_back_is_free_although_a_child_still_has_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let file = fs::File::create(&path).unwrap();
        set_lock(&file, nix::libc::F_WRLCK).unwrap();
        // What fork(2) gives to a child: the same open file description.
        let childs = file.try_clone().unwrap();
        let held = HeldLock { file };
        let directory = BlockingDirectory::new();
        assert_eq!(directory.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        let _mine = directory.lock(&path).unwrap();
        drop(childs);
        assert_eq!(directory.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
