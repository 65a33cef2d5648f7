//! Every cast of the crate, each under a name that says what may be lost.

/// An index that was kept in 32 bits to save memory.
#[must_use]
#[expect(clippy::as_conversions, reason = "usize has 64 bits where this library builds")]
pub(crate) const fn at(index: u32) -> usize {
    index as usize
}

/// A length as a 32-bit index. Callers bound it first; a larger one saturates.
#[must_use]
pub(crate) fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A length as a 64-bit count. Never lossy.
#[must_use]
#[expect(clippy::as_conversions, reason = "usize is at most 64 bits wide on Linux")]
pub(crate) const fn count(length: usize) -> u64 {
    length as u64
}

/// The low 32 bits, on purpose: two 32-bit numbers were packed into one key.
#[must_use]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "truncation is the point"
)]
pub(crate) const fn low_half(key: u64) -> u32 {
    key as u32
}

/// The high 32 bits of a key of two numbers.
#[must_use]
#[expect(clippy::as_conversions, reason = "32 bits are left after the shift")]
pub(crate) const fn high_half(key: u64) -> u32 {
    (key >> 32) as u32
}

/// A hash as a place in a table of `mask + 1` slots.
#[must_use]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the mask keeps low bits only"
)]
pub(crate) const fn slot(hash: u64, mask: usize) -> usize {
    hash as usize & mask
}
