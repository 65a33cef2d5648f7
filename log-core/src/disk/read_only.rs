//! A directory that can be read and not be written: what opens a store beside its writer cannot
//! touch it, whatever the code above does.
//!
//! ```text
//!   open to read or write ─▶ open to read         create, rename, unlink, lock, sync ─▶ EROFS
//! ```

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Directory, Disk, Entry, File, Lock, Open};

/// The reading half of a directory.
#[derive(Clone, Debug)]
pub(crate) struct ReadOnlyDirectory(Arc<dyn Directory>);

impl ReadOnlyDirectory {
    pub(crate) fn over(directory: Arc<dyn Directory>) -> Self {
        Self(directory)
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Directory for ReadOnlyDirectory {
    fn open(&self, path: &Path, open: Open) -> io::Result<Arc<dyn File>> {
        match open {
            Open::Read | Open::Write => self.0.open(path, Open::Read),
            Open::Create => refused(),
        }
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(path)
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn unlink(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Lock>> {
        refused()
    }

    fn disk(&self) -> io::Result<Box<dyn Disk>> {
        refused()
    }
}
