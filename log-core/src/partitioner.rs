//! Which partition a key belongs to, as Kafka's clients compute it.
//!
//! ```text
//!   key ─▶ murmur2 ─▶ drop the sign bit ─▶ modulo the number of partitions
//! ```
//!
//! Equal keys go to one partition, and to the same one that a Kafka producer picks, so a topic can
//! be written by both. Source: Kafka `Utils.murmur2`, `Utils.toPositive` and
//! `BuiltInPartitioner.partitionForKey`; the hash is Austin Appleby's `MurmurHash2` (2008), 32 bits.
//!
//! The answer changes with the number of partitions, so a topic that grows moves its keys.

use core::num::NonZeroU32;

use crate::int::u32_saturated;

/// What Kafka starts the hash from.
const SEED: u32 = 0x9747_B28C;
/// The multiplier of `MurmurHash2`.
const M: u32 = 0x5BD1_E995;
/// Its shift.
const R: u32 = 24;

/// The partition of `key` in a topic of `partitions` partitions: 0 to `partitions` − 1.
///
/// ```
/// # use core::num::NonZeroU32;
/// # use log_core::partition_for_key;
/// let eight = NonZeroU32::new(8).ok_or("not zero")?;
/// assert_eq!(partition_for_key(b"foobar", eight), 6);
/// # Ok::<(), &'static str>(())
/// ```
#[must_use]
pub fn partition_for_key(key: &[u8], partitions: NonZeroU32) -> u32 {
    (murmur2(key).cast_unsigned() & i32::MAX.cast_unsigned()) % partitions
}

/// Kafka's 32-bit hash of `data`, with Kafka's seed and as the signed number Java prints.
#[must_use]
pub fn murmur2(data: &[u8]) -> i32 {
    let (words, rest) = data.as_chunks::<4>();
    // Java's lengths end at 2^31 − 1, so no key that Kafka can hash is long enough to saturate.
    let mut hash = SEED ^ u32_saturated(data.len());
    for word in words {
        let mixed = little_endian(*word).wrapping_mul(M);
        let mixed = (mixed ^ (mixed >> R)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ mixed;
    }
    if !rest.is_empty() {
        let mut padded = [0; 4];
        for (to, from) in padded.iter_mut().zip(rest) {
            *to = *from;
        }
        hash = (hash ^ little_endian(padded)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    (hash ^ (hash >> 15)).cast_signed()
}

/// The one place of this library that reads bytes that way round.
#[expect(clippy::little_endian_bytes, reason = "MurmurHash2 is defined over little-endian words")]
const fn little_endian(bytes: [u8; 4]) -> u32 {
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka's own vectors (`UtilsTest.testMurmur2`), a rest of 0, 1, 2 and 3 bytes among them.
    const KNOWN: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];

    #[test]
    fn the_hash_is_kafkas() {
        for (key, hash) in KNOWN {
            assert_eq!(murmur2(key.as_bytes()), hash, "{key}");
        }
    }

    /// Computed with `murmur2` of kafka-python 3.0.12, which nobody here wrote.
    #[test]
    fn rests_of_every_length_are_hashed_as_another_client_hashes_them() {
        let known: [(&[u8], i32); 7] = [
            (b"", 275_646_681),
            (b"\xff", -311_467_685),
            (b"\x80\x01", 1_506_208_697),
            (b"\xfe\xfd\xfc", -1_973_149_693),
            (b"\0\0\0\0", 850_957_120),
            (b"N14228", -1_499_626_080),
            (b"\xfa\xfb\xfc\xfd\xfe\xffq", -1_376_326_284),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key), hash, "{key:?}");
        }
    }

    #[test]
    fn a_negative_hash_still_names_a_partition() {
        for count in 1..64 {
            let partitions = NonZeroU32::new(count).unwrap();
            for (key, hash) in KNOWN {
                let expected = i64::from(hash & i32::MAX) % i64::from(count);
                assert_eq!(i64::from(partition_for_key(key.as_bytes(), partitions)), expected);
            }
        }
    }
}
