//! The file system by plain system calls.
use super::{
    AlignedBuf, Completion, Directory, Disk, Entry, EntryKind, File, Lock, Open, Token, Write,
    WriteSync,
};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockingDirectory;

impl BlockingDirectory {
    /// The file system.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[derive(Debug)]
struct Opened(fs::File);

impl File for Opened {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|m| m.len())
    }
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }
    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        self.0.write_at(buffer, position)
    }
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, bytes)?)
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn drop_cache(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct Held(#[expect(dead_code, reason = "held")] nix::fcntl::Flock<fs::File>);
impl Lock for Held {}

impl Directory for BlockingDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(open != Open::Read).create_new(open == Open::Create);
        Ok(Arc::new(Opened(options.open(path)?)))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
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
        entries.sort_by(|a, b| a.name.cmp(&b.name));
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
    #[expect(clippy::disallowed_methods, reason = "a directory's names are flushed by fsync")]
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock)
            .map_err(|(_, errno)| io::Error::from(errno))?;
        Ok(Box::new(Held(lock)))
    }
    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(Queue { done: Vec::new() }))
    }
}

#[derive(Debug)]
struct Queue {
    done: Vec<Completion>,
}

impl Disk for Queue {
    fn submit_write(&mut self, write: Write) {
        let bytes: &AlignedBuf = &write.buffer;
        let result = write.file.write_at(
            write.position,
            bytes.as_slice().get(write.range.clone()).unwrap_or_default(),
        );
        let result = match (result, write.sync) {
            (Ok(n), WriteSync::OwnRange) => write.file.sync().map(|()| n),
            (r, _) => r,
        };
        self.done.push(Completion { token: write.token, result, buffer: Some(write.buffer) });
    }
    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        let result = file.sync().map(|()| 0);
        self.done.push(Completion { token, result, buffer: None });
    }
    fn poll(&mut self, _: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        out.append(&mut self.done);
        Ok(())
    }
    fn in_flight(&self) -> usize {
        self.done.len()
    }
}
