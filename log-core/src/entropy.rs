//! The only source of randomness: topic ids, and whatever else must not repeat.

use core::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where random numbers come from. Tests pass [`SeededEntropy`], so that a run can be repeated.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// The kernel's randomness (`getrandom(2)`).
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            // EINTR is the only error for requests this small; asking again is the cure.
            filled +=
                rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
        }
        u64::from_be_bytes(bytes)
    }
}

/// Numbers that follow from a seed (Steele et al. 2014, `SplitMix64`). For tests; not secret.
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
        // Relaxed: the counter alone is shared, no other memory hangs on it.
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_own_sequence_again() {
        let (first, again) = (SeededEntropy::new(7), SeededEntropy::new(7));
        let draw = |entropy: &SeededEntropy| [entropy.next_u64(), entropy.next_u64()];
        assert_eq!(draw(&first), draw(&again));
        assert_ne!(draw(&first), draw(&SeededEntropy::new(8)));
    }

    #[test]
    fn the_kernel_gives_different_numbers() {
        assert_ne!(OsEntropy.next_u64(), OsEntropy.next_u64());
    }
}
