//! Every cast of the crate, each under a name that says what may be lost.
//!
//! `clippy::as_conversions` is denied elsewhere, so a narrowing cannot happen by accident.

/// A length in memory as a file length. Never lossy: `usize` has at most 64 bits on the targets
/// this library builds for.
#[must_use]
#[expect(clippy::as_conversions, reason = "usize is at most 64 bits wide on Linux")]
pub(crate) const fn u64_from(length: usize) -> u64 {
    length as u64
}

/// A file length as a length in memory. Never lossy on the 64-bit targets of this library.
#[must_use]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "lib.rs refuses 32-bit"
)]
pub(crate) const fn usize_from(length: u64) -> usize {
    length as usize
}

/// A 32-bit count as a length in memory.
#[must_use]
#[expect(clippy::as_conversions, reason = "usize is at least 32 bits wide")]
pub(crate) const fn usize_from_u32(length: u32) -> usize {
    length as usize
}

/// A length that its caller has bounded by a 32-bit limit; larger ones saturate.
#[must_use]
pub(crate) fn u32_saturated(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// The low 8 bits, on purpose: a varint is written seven bits at a time.
#[must_use]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "truncation is the point"
)]
pub(crate) const fn low_byte(bits: u64) -> u8 {
    bits as u8
}

/// The low 32 bits, on purpose: the checksum library hands a 32-bit sum out in 64 bits.
#[must_use]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "truncation is the point"
)]
pub(crate) const fn low_u32(bits: u64) -> u32 {
    bits as u32
}

/// The same number in 64 bits, where `u64::from` is not yet `const`.
#[must_use]
#[expect(clippy::as_conversions, reason = "widening, in const functions")]
pub(crate) const fn u64_widened(number: u32) -> u64 {
    number as u64
}

/// The 128-bit product of two numbers, its halves folded into one: every input bit reaches the
/// upper bits of the result (wyhash, Wang Yi 2019).
#[must_use]
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "folding is the point")]
pub(crate) const fn folded_product(left: u64, right: u64) -> u64 {
    let product = left as u128 * right as u128;
    (product >> 64) as u64 ^ product as u64
}
