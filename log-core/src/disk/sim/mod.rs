//! A disk that can lose power: seeded, in memory, and as unkind as the promise allows.
//!
//! ```text
//!   live      what reads see: the page cache          │ crash()  keeps live, drops what is in flight
//!   dirty     sectors written, not flushed            │ cut()    keeps durable, and of everything
//!   durable   what a flush has put on the medium      │          dirty or in flight a random part
//! ```
//!
//! The fault model, rule by rule:
//! - A submission completes at a random later poll, in any order. Until then a crash or cut leaves
//!   any of its 512-byte sectors written and others not.
//! - A sync makes durable what had *completed* when it was submitted, and the length to read it.
//!   A write with [`WriteSync::OwnRange`](super::WriteSync::OwnRange) makes its own sectors durable and no others.
//! - At a cut every dirty sector is kept, dropped or, where it holds no flushed byte, garbage. A
//!   change of length counts or not; bytes a shrink cut off come back only if it does not.
//! - A name is durable after `sync_dir`. Before, each change of a name counts or not; a rename is
//!   the old name or the new one.
//! - After a failed sync its sectors are clean and not durable: reads show them, no later sync
//!   writes them, the next cut loses them (what Linux does, and why a failed sync is not retried).
//! - Segment writes obey the rules of `O_DIRECT`, and no two in flight touch one block; a breach is
//!   recorded as a violation, for it is a bug of the log.
//! - Faults are drawn per operation by [`Faults`], or strike where an [`Aim`] says; space is
//!   bounded; [`SimDirectory::arm`] stops the world at the n-th operation, wherever that is.
//!
//! Nothing depends on anything but the seed and the calls made.

use core::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::{Directory, Disk, Entry, EntryKind, File, Lock, Open};

mod aim;
mod faults;
mod image;
mod queue;
mod state;
#[cfg(test)]
mod tests;

pub use aim::{Aim, Aimed, Call, Effect};
pub use faults::{Faults, Stop};
use queue::SimQueue;
use state::{Node, State};

/// The simulated disk, as one life of a process sees it. Clones are one life; [`Self::reborn`]
/// starts the next one after a crash or a cut.
#[derive(Clone)]
pub struct SimDirectory {
    state: Arc<Mutex<State>>,
    life: u64,
}

impl SimDirectory {
    /// An empty disk; everything random about it follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State::new(seed))), life: 0 }
    }

    /// The disk for the next process. Everything opened through earlier lives only gives errors.
    #[must_use]
    pub fn reborn(&self) -> Self {
        let life = self.state.lock().next_life();
        Self { state: Arc::clone(&self.state), life }
    }

    /// The process dies: what is in flight lands in part, what completed stays in the page cache.
    pub fn crash(&self) {
        self.state.lock().stop(Stop::Crash);
    }

    /// The power goes.
    pub fn cut(&self) {
        self.state.lock().stop(Stop::Cut);
    }

    /// Draws faults like this from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Aims a fault; it stays aimed from one life to the next, until [`Self::clear_aims`].
    #[must_use = "a fault that nobody counts may have struck nothing"]
    pub fn aim(&self, aim: Aim) -> Aimed {
        self.state.lock().aims.add(aim)
    }

    /// Takes all aimed faults back.
    pub fn clear_aims(&self) {
        self.state.lock().aims.clear();
    }

    /// Crashes or cuts at the `operations`-th operation from now, counted from 1.
    pub fn arm(&self, operations: u64, stop: Stop) {
        self.state.lock().armed = Some((operations, stop));
    }

    /// Takes an armed stop back.
    pub fn disarm(&self) {
        self.state.lock().armed = None;
    }

    /// Whether this life is over: an armed stop has struck, or [`Self::crash`] or [`Self::cut`].
    #[must_use]
    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.life != self.life || state.over
    }

    /// Bytes that all files with a name may have together; `None` for no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Turns over the bits `mask` of a byte, on the medium and in the cache. Returns whether the
    /// file has that byte.
    #[must_use]
    pub fn flip(&self, path: &Path, at: u64, mask: u8) -> bool {
        self.state.lock().flip(path, at, mask)
    }

    /// Cuts a file to `bytes`, on the medium and in the cache, as another program might.
    pub fn shorten(&self, path: &Path, bytes: u64) {
        self.state.lock().shorten(path, bytes);
    }

    /// All files, by path.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.state.lock().files()
    }

    /// A file's bytes as reads see them.
    #[must_use]
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.state.lock().read(path)
    }

    /// What the log did that no disk may be asked to do.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.lock().violations.clone()
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Counts an operation and refuses it if this life is over.
    fn enter(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock();
        state.step(self.life)?;
        Ok(state)
    }
}

impl fmt::Debug for SimDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDirectory").field("life", &self.life).finish_non_exhaustive()
    }
}

impl Directory for SimDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        let inode = self.enter()?.open(path, open)?;
        let handle = Handle { inode, writable: open != Open::Read };
        Ok(Arc::new(SimFile { directory: self.clone(), handle }))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.enter()?;
        match state.names.get(path.as_os_str()) {
            Some(Node::Directory) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => state.set_name(path, Some(Node::Directory)),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.enter()?;
        state.check_directory(path)?;
        let child = |(name, node): (&Path, &Node)| {
            let name = name.file_name()?.to_str()?.to_owned();
            let kind = match node {
                Node::Directory => EntryKind::Directory,
                Node::File(_) => EntryKind::File,
            };
            Some(Entry::new(name, kind))
        };
        Ok(state.children(path).filter_map(child).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter()?.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.enter()?.unlink(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.enter()?.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.enter()?.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.enter()?;
        match state.open(path, Open::Create) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { directory: self.clone(), path: path.to_owned() }))
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        Ok(Box::new(SimQueue::new(self.clone())))
    }
}

#[derive(Debug)]
struct SimLock {
    directory: SimDirectory,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.directory.state.lock();
        if state.life == self.directory.life {
            state.locks.remove(&self.path);
        }
    }
}

/// What an opening of a file may do.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "between the simulated disk and its own queue")]
pub struct Handle {
    /// The file's number.
    pub inode: usize,
    /// Whether it was opened to write.
    pub writable: bool,
}

/// An open file of one life.
#[derive(Debug)]
struct SimFile {
    directory: SimDirectory,
    handle: Handle,
}

impl SimFile {
    /// Counts an operation that changes the file.
    fn enter_to_write(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.directory.enter()?;
        if self.handle.writable { Ok(state) } else { Err(state::opened_to_read()) }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.directory.enter()?.inode(self.handle.inode).len())
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.directory.enter()?.read_at(self.handle.inode, position, buffer)
    }

    fn write_at(&self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        self.enter_to_write()?.write_at(self.handle.inode, position, buffer)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.enter_to_write()?.allocate(self.handle.inode, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.enter_to_write()?.inode(self.handle.inode).set_len(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.directory.enter()?.sync_now(self.handle.inode)
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.directory.enter()?.inode(self.handle.inode).drop_cache();
        Ok(())
    }

    fn sim_handle(&self) -> Option<Handle> {
        Some(self.handle)
    }
}
