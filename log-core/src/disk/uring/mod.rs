//! Segment writes by `io_uring`: several in flight, and none of them waited for one by one.
//!
//! ```text
//!   names, cold files    BlockingDirectory, as ever
//!   disk()               Queue: the I/O thread's, bound to it     stream ─▶ ring
//!                                                                 one small commit ─▶ system calls
//!   turn_disk()          system calls, in the appender's thread   (forced: a ring from the shelf)
//! ```
//!
//! A small commit does not go through the ring, for good reason: a flush in a ring always runs on
//! another thread, which halves the rate of a single appender, and under a busy CPU its completion
//! can wait a whole scheduler slice. A ring pays off where there is more than one thing in flight.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::{
    BlockingDirectory, Completion, Directory, Disk, Entry, File, Lock, Open, Token, Write,
};

mod queue;
mod ring;
mod slots;

use queue::{Queue, Small};
use ring::{Issuer, Ring};

/// Submissions in flight in one ring.
const IN_FLIGHT_MAX: u32 = 64;
/// Idle rings kept for turns of appenders, where they are forced to use one.
const SHELF_RINGS_MAX: usize = 8;

/// The file system, with segment writes by `io_uring`.
#[derive(Debug)]
pub struct UringDirectory {
    files: BlockingDirectory,
    small: Small,
    /// Rings that were made and are not in use.
    shelf: Arc<Mutex<Vec<Queue>>>,
    /// Queues that were wanted when the kernel had no ring to give.
    without_ring: AtomicU64,
}

impl UringDirectory {
    /// A directory on `files` whose streams go through a ring, and whose small commits are plain
    /// system calls.
    ///
    /// # Errors
    ///
    /// Why the kernel gives no ring: `PermissionDenied` (seccomp, sysctl), `Unsupported` (an old
    /// kernel), `OutOfMemory` (the limit of locked memory).
    pub fn new(files: BlockingDirectory) -> io::Result<Self> {
        Self::with(files, Small::Blocking)
    }

    /// The same with every submission through the ring, for measurements and tests.
    ///
    /// # Errors
    ///
    /// As [`UringDirectory::new`].
    pub fn forced(files: BlockingDirectory) -> io::Result<Self> {
        Self::with(files, Small::Ring)
    }

    fn with(files: BlockingDirectory, small: Small) -> io::Result<Self> {
        // The ring of the trial is not thrown away: what it locked is given back late.
        let mut ring = Ring::new(IN_FLIGHT_MAX, Issuer::Any)?;
        ring.try_out()?;
        let shelf = Arc::new(Mutex::new(vec![Queue::new(ring, small)]));
        Ok(Self { files, small, shelf, without_ring: AtomicU64::new(0) })
    }

    /// Queues that were made of plain system calls because the kernel had no further ring to give.
    pub(super) fn without_ring(&self) -> u64 {
        // Relaxed: a count nobody draws conclusions about other memory from.
        self.without_ring.load(Ordering::Relaxed)
    }

    fn without(&self) -> io::Result<Box<dyn Disk>> {
        self.without_ring.fetch_add(1, Ordering::Relaxed);
        self.files.disk()
    }
}

impl Directory for UringDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        self.files.open(path, open)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.files.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.files.list(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.files.unlink(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.files.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.files.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.files.lock(path)
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        match Ring::new(IN_FLIGHT_MAX, Issuer::One) {
            Ok(ring) => Ok(Box::new(Queue::new(ring, self.small))),
            // The trial's ring is as good, only not bound to its thread.
            Err(_no_second_ring) => match self.shelf.lock().pop() {
                Some(queue) => Ok(Box::new(queue)),
                None => self.without(),
            },
        }
    }

    fn turn_disk(&self) -> io::Result<Box<dyn Disk>> {
        if self.small == Small::Blocking {
            return self.files.disk();
        }
        let idle = self.shelf.lock().pop();
        let queue = match idle {
            Some(queue) => queue,
            None => match Ring::new(IN_FLIGHT_MAX, Issuer::Any) {
                Ok(ring) => Queue::new(ring, self.small),
                Err(_no_further_ring) => return self.without(),
            },
        };
        Ok(Box::new(Lent { queue: Some(queue), shelf: Arc::clone(&self.shelf) }))
    }
}

/// A queue that goes back to the shelf.
#[derive(Debug)]
struct Lent {
    /// There until dropped.
    queue: Option<Queue>,
    shelf: Arc<Mutex<Vec<Queue>>>,
}

impl Disk for Lent {
    fn submit_write(&mut self, write: Write) {
        if let Some(queue) = &mut self.queue {
            queue.submit_write(write);
        }
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        if let Some(queue) = &mut self.queue {
            queue.submit_sync(token, file);
        }
    }

    fn poll(&mut self, wait_for: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        self.queue.as_mut().map_or(Ok(()), |queue| queue.poll(wait_for, out))
    }

    fn in_flight(&self) -> usize {
        self.queue.as_ref().map_or(0, Disk::in_flight)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut rings = self.shelf.lock();
        if let Some(queue) = self.queue.take_if(|queue| queue.in_flight() == 0)
            && rings.len() < SHELF_RINGS_MAX
        {
            rings.push(queue);
        }
    }
}
