//! Memory the kernel can read with `O_DIRECT`.
//!
//! ```text
//!   0            len                        capacity = n × 4096
//!   ├─ written ───┼─ left from earlier use ───┤        address: a multiple of 4096
//! ```
//!
//! Invariants:
//! 1. `ptr` came from `alloc_zeroed(layout)`, so all of `layout.size()` is initialised, always.
//! 2. `len <= layout.size()`.
//! 3. The buffer owns its allocation alone.

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};

/// The alignment and the unit of every segment write, in bytes: the largest logical block of the
/// devices in use. `statx` may allow less; a whole block is never wrong.
pub const BLOCK_BYTES: usize = 4096;

const _: () = assert!(BLOCK_BYTES.is_power_of_two());

/// A heap buffer whose address and capacity are multiples of [`BLOCK_BYTES`].
#[derive(Debug)]
pub struct AlignedBuf {
    ptr: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: invariant 3: nobody else has the pointer.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads (`as_slice`); every write takes `&mut self`.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// An empty buffer with room for `bytes`, rounded up to whole blocks (at least one).
    ///
    /// # Panics
    ///
    /// If `bytes` is near `isize::MAX`: a bug in the caller's limits.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let blocks = bytes.div_ceil(BLOCK_BYTES).max(1);
        let Some(Ok(layout)) = blocks
            .checked_mul(BLOCK_BYTES)
            .map(|bytes| Layout::from_size_align(bytes, BLOCK_BYTES))
        else {
            unreachable!("buffer sizes are bounded by the store's settings")
        };
        // SAFETY: `layout` has a non-zero size, since `blocks >= 1`.
        let raw = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(raw) else { handle_alloc_error(layout) };
        Self { ptr, layout, len: 0 }
    }

    /// Bytes that fit.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.layout.size()
    }

    /// Bytes written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The written part.
    #[must_use]
    pub const fn as_slice(&self) -> &[u8] {
        // SAFETY: invariants 1 and 2.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The whole capacity, to write into.
    fn as_mut_capacity(&mut self) -> &mut [u8] {
        // SAFETY: invariant 1, and `&mut self` makes this the only reference.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.layout.size()) }
    }

    /// Appends as much of `bytes` as fits; returns how much that is.
    pub fn fill(&mut self, bytes: &[u8]) -> usize {
        let at = self.len;
        let free = self.as_mut_capacity().get_mut(at..).unwrap_or_default();
        let taken = free.len().min(bytes.len());
        if let (Some(target), Some(source)) = (free.get_mut(..taken), bytes.get(..taken)) {
            target.copy_from_slice(source);
            self.len += taken;
        }
        taken
    }

    /// Writes zeros up to the next block's start, so that a whole block goes to the disk and no
    /// old byte with it.
    pub fn pad(&mut self) {
        let end = self.len.next_multiple_of(BLOCK_BYTES);
        let at = self.len;
        if let Some(rest) = self.as_mut_capacity().get_mut(at..end) {
            rest.fill(0);
            self.len = end;
        }
    }

    /// Forgets what was written; the memory stays.
    pub const fn clear(&mut self) {
        self.len = 0;
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: `ptr` came from `alloc_zeroed` with this very `layout` and is freed once, here.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_aligned_and_empty() {
        let buffer = AlignedBuf::with_capacity(1);
        assert_eq!((buffer.len(), buffer.capacity()), (0, BLOCK_BYTES));
        assert_eq!(buffer.ptr.addr().get() % BLOCK_BYTES, 0);
    }

    #[test]
    fn takes_what_fits_and_says_how_much() {
        let mut buffer = AlignedBuf::with_capacity(BLOCK_BYTES);
        assert_eq!(buffer.fill(&[1; 4000]), 4000);
        assert_eq!(buffer.fill(&[2; 4000]), 96);
        assert_eq!(buffer.fill(&[3]), 0);
        assert_eq!(buffer.as_slice().last(), Some(&2));
    }

    #[test]
    fn padding_covers_what_was_there_before() {
        let mut buffer = AlignedBuf::with_capacity(2 * BLOCK_BYTES);
        buffer.fill(&[7; 2 * BLOCK_BYTES]);
        buffer.clear();
        buffer.fill(b"x");
        buffer.pad();
        assert_eq!(buffer.len(), BLOCK_BYTES);
        assert!(buffer.as_slice().iter().skip(1).all(|byte| *byte == 0));
    }
}
