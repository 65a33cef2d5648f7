//! The bytes of a file that no longer changes: read once into memory, or mapped (feature `mmap`).
//!
//! ```text
//!   File::map(bytes) ─▶ Mapping ─▶ &[u8]        the length is checked first; a file that is not
//!                        │                      exactly that long is refused
//!                        ├ Read     a copy      any file
//!                        └ Mapped   its pages   a file of the file system
//! ```
//!
//! Only index files are mapped, and those are never cut or written in place: a new one is written
//! beside and renamed over, so the pages of the old one stay what they were. Whoever cuts a mapped
//! file from outside takes the pages away (SIGBUS, mmap(2)); segments are never mapped here.

use core::fmt;
use std::io;

use super::File;
use crate::int::usize_from;

/// No file is mapped or read whole that is larger.
const MAPPING_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The bytes of a file as they were when it was mapped or read.
pub struct Mapping(Inner);

enum Inner {
    Read(Vec<u8>),
    #[cfg(feature = "mmap")]
    Mapped(memmap2::Mmap),
}

impl Mapping {
    /// A copy, for disks that have no pages to map.
    #[must_use]
    pub const fn copied(bytes: Vec<u8>) -> Self {
        Self(Inner::Read(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Inner::Read(bytes) => bytes,
            #[cfg(feature = "mmap")]
            Inner::Mapped(pages) => pages,
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mapping").field(&self.as_bytes().len()).finish()
    }
}

/// Reads `file`, which must hold exactly `bytes`.
pub(super) fn read<F: File + ?Sized>(file: &F, bytes: u64) -> io::Result<Mapping> {
    check(file.len()?, bytes)?;
    let mut content = vec![0; usize_from(bytes)];
    let mut read = 0;
    while let Some(rest) = content.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(crate::int::u64_from(read), rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => read += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Mapping::copied(content))
}

fn check(found: u64, expected: u64) -> io::Result<()> {
    if found != expected || expected > MAPPING_BYTES_MAX {
        let what = format!(
            "a file of {found} bytes is not mapped as one of {expected} (at most \
             {MAPPING_BYTES_MAX})"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(())
}

/// Maps `file`, which must hold exactly `bytes`.
#[cfg(feature = "mmap")]
pub(super) fn map(file: &std::fs::File, bytes: u64) -> io::Result<Mapping> {
    check(file.metadata()?.len(), bytes)?;
    if bytes == 0 {
        return Ok(Mapping::copied(Vec::new()));
    }
    // SAFETY: the map is read-only and private to this value. Nothing in this library writes or
    // cuts an index file that stands under its name: it is replaced by rename, which leaves this
    // inode as it is. The length was checked, so every page of the map lies within the file.
    let pages = unsafe { memmap2::MmapOptions::new().len(usize_from(bytes)).map(file) }?;
    Ok(Mapping(Inner::Mapped(pages)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{BlockingDirectory, Directory, MemoryDirectory, Open};
    use std::path::Path;

    fn twins(name: &str, check: impl Fn(&dyn Directory, &Path)) {
        let dir = tempfile::tempdir().unwrap();
        check(&BlockingDirectory::new(), &dir.path().join(name));
        let memory = MemoryDirectory::new();
        check(&memory, &Path::new("/").join(name));
    }

    #[test]
    fn a_mapping_shows_what_the_file_held() {
        twins("map", |directory, path| {
            let file = directory.open(path, Open::Create).unwrap();
            let bytes: Vec<u8> = (0..10_000_u32).flat_map(u32::to_be_bytes).collect();
            assert_eq!(file.write_at(0, &bytes).unwrap(), bytes.len());
            let mapping = directory.open(path, Open::Read).unwrap().map(40_000).unwrap();
            assert_eq!(mapping.as_bytes(), bytes);
        });
    }

    #[test]
    fn a_file_of_another_length_is_not_mapped() {
        twins("map", |directory, path| {
            let file = directory.open(path, Open::Create).unwrap();
            file.set_len(100).unwrap();
            for bytes in [0, 99, 101, u64::MAX] {
                let error = file.map(bytes).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes}");
            }
            assert_eq!(file.map(100).unwrap().as_bytes(), [0; 100]);
        });
    }

    #[test]
    fn an_empty_file_is_an_empty_mapping() {
        twins("map", |directory, path| {
            let file = directory.open(path, Open::Create).unwrap();
            assert!(file.map(0).unwrap().as_bytes().is_empty());
        });
    }

    #[test]
    fn a_mapping_outlives_the_name_and_its_successor() {
        twins("map", |directory, path| {
            let old = directory.open(path, Open::Create).unwrap();
            old.write_at(0, b"old").unwrap();
            let mapping = old.map(3).unwrap();
            drop(old);
            let beside = path.with_extension("tmp");
            directory.open(&beside, Open::Create).unwrap().write_at(0, b"newer").unwrap();
            directory.rename(&beside, path).unwrap();
            assert_eq!(mapping.as_bytes(), b"old");
        });
    }
}
