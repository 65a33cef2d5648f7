//! The entries of an index: growing in memory, or as a file holds them.
//!
//! ```text
//!   active segment   Growing   a vector of N-byte entries
//!   sealed segment   Stored    the file's bytes, mapped or read; the same entries
//! ```

use crate::disk::Mapping;

/// Entries of `N` bytes each.
#[derive(Debug)]
pub(crate) enum Entries<const N: usize> {
    Growing(Vec<[u8; N]>),
    Stored(Mapping),
}

impl<const N: usize> Entries<N> {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self::Growing(Vec::new())
    }

    /// All of them.
    pub(crate) fn as_slice(&self) -> &[[u8; N]] {
        match self {
            Self::Growing(entries) => entries,
            Self::Stored(mapping) => mapping.as_bytes().as_chunks().0,
        }
    }

    /// Adds one behind the others, which come into memory for it.
    pub(crate) fn push(&mut self, entry: [u8; N]) {
        if let Self::Stored(_) = self {
            *self = Self::Growing(self.as_slice().to_vec());
        }
        if let Self::Growing(entries) = self {
            entries.push(entry);
        }
    }

    /// The file's bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.as_slice().as_flattened().to_vec()
    }
}
