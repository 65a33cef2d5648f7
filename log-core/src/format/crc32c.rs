//! CRC-32C: the checksum of record batches and of producer snapshots.
//!
//! Castagnoli's polynomial 0x1EDC6F41 (reflected 0x82F63B78), start and final xor 0xFFFFFFFF; Kafka
//! `Crc32C`, RFC 3720 section 12.1. Not the CRC-32 of gzip and of the old message formats.

use crc_fast::CrcAlgorithm;

/// The CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC-32C of several slices, as if they stood one behind the other.
///
/// ```
/// use log_core::format::{Crc32c, crc32c};
///
/// let mut crc = Crc32c::new();
/// crc.update(b"1234");
/// crc.update(b"56789");
/// assert_eq!(crc.finish(), crc32c(b"123456789"));
/// ```
#[derive(Clone, Debug)]
pub struct Crc32c(crc_fast::Digest);

impl Crc32c {
    /// The checksum of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Takes in `bytes`, behind all that came before.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    #[must_use]
    pub fn finish(&self) -> u32 {
        crate::int::low_u32(self.0.finalize())
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, one bit at a time.
    fn bitwise(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 }
            })
        })
    }

    #[test]
    fn the_check_value_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(bitwise(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn every_length_and_alignment_agrees_with_the_bitwise_twin() {
        let bytes: Vec<u8> =
            (0..700_u32).map(|i| (i.wrapping_mul(31) >> 2).to_be_bytes()[3]).collect();
        for start in 0..17 {
            for end in start..bytes.len() {
                let slice = bytes.get(start..end).unwrap();
                assert_eq!(crc32c(slice), bitwise(slice), "{start}..{end}");
            }
        }
    }

    proptest! {
        #[test]
        fn slices_in_turn_give_what_the_whole_gives(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6)
        ) {
            let mut crc = Crc32c::new();
            for part in &parts {
                crc.update(part);
            }
            let whole = parts.concat();
            prop_assert_eq!(crc.finish(), bitwise(&whole));
            prop_assert_eq!(crc32c(&whole), bitwise(&whole));
        }
    }
}
