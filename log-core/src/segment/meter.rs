//! A file that counts the bytes read through it: what an opening reads is part of its report.

use core::sync::atomic::{AtomicU64, Ordering};
use std::io;

use crate::disk::File;
use crate::int::u64_from;

/// `file`, read only, with each byte that is read added to `read`.
#[derive(Debug)]
pub(crate) struct Metered<'a> {
    file: &'a dyn File,
    read: &'a AtomicU64,
}

impl<'a> Metered<'a> {
    pub(crate) const fn new(file: &'a dyn File, read: &'a AtomicU64) -> Self {
        Self { file, read }
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl File for Metered<'_> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(position, buffer)?;
        // Relaxed: a count nobody draws conclusions about other memory from.
        self.read.fetch_add(u64_from(bytes), Ordering::Relaxed);
        Ok(bytes)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<usize> {
        read_only()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        read_only()
    }

    fn sync(&self) -> io::Result<()> {
        read_only()
    }

    fn drop_cache(&self) -> io::Result<()> {
        self.file.drop_cache()
    }
}
