//! Where decompressed bytes go: memory that grows with what comes, never far past the bound.
//!
//! ```text
//!   0             len          capacity      bytes_max + 1
//!   ├ decompressed ┼─ spare ────┤ ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┤
//! ```
//!
//! Capacity grows by doubling, so what is held is at most twice what has come, and at most one byte
//! past the bound: that byte tells a stream of just `bytes_max` bytes from a longer one.

use super::error::Stop;
use crate::int::usize_from_u32;

/// What a byte of compressed records usually unpacks to.
const USUAL_RATIO: usize = 4;
/// The least that is allocated at once.
const FIRST_BYTES: usize = 512;
/// The most that is allocated before anything came.
const FIRST_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// One more than may come.
    limit: usize,
}

impl Output {
    /// Memory for what `compressed_bytes` may unpack to.
    pub(super) fn new(compressed_bytes: usize, bytes_max: u32) -> Self {
        let limit = usize_from_u32(bytes_max).saturating_add(1);
        let usual = compressed_bytes.saturating_mul(USUAL_RATIO);
        let first = usual.clamp(FIRST_BYTES, FIRST_BYTES_MAX).min(limit);
        Self { bytes: Vec::with_capacity(first), limit }
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The memory, with spare capacity: what is written goes behind what is there.
    #[cfg(any(feature = "gzip", feature = "lz4", feature = "zstd"))]
    pub(super) fn spare(&mut self) -> Result<&mut Vec<u8>, Stop> {
        self.check()?;
        let len = self.bytes.len();
        if len == self.bytes.capacity() {
            let more = len.max(FIRST_BYTES).min(self.limit - len);
            self.bytes.try_reserve_exact(more).map_err(|_| Stop::Memory)?;
        }
        Ok(&mut self.bytes)
    }

    /// `count` more bytes, zeros as yet. Their number must be known to be plausible.
    #[cfg(feature = "snappy")]
    pub(super) fn grow(&mut self, count: usize) -> Result<&mut [u8], Stop> {
        let start = self.bytes.len();
        if count >= self.limit.saturating_sub(start) {
            return Err(Stop::TooLarge);
        }
        self.bytes.try_reserve(count).map_err(|_| Stop::Memory)?;
        self.bytes.resize(start + count, 0);
        Ok(self.bytes.get_mut(start..).unwrap_or_default())
    }

    /// Takes bytes over as they are.
    pub(super) fn extend(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if bytes.len() >= self.limit.saturating_sub(self.bytes.len()) {
            return Err(Stop::TooLarge);
        }
        self.bytes.try_reserve(bytes.len()).map_err(|_| Stop::Memory)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether the bound is kept.
    pub(super) const fn check(&self) -> Result<(), Stop> {
        if self.bytes.len() < self.limit { Ok(()) } else { Err(Stop::TooLarge) }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
