//! Producer ids: handed out in blocks that are durable before their first use (S15).
//!
//! ```text
//!   0 … highest seen │ … handed out │ next … │ … end │ … never used
//!                    └──────────── one block ────────┘
//!                                     the file says `end`, durably, before `next` moves into it
//! ```
//!
//! What a crash leaves of a block is skipped: gaps are fine, reuse never is. An id that some
//! partition has seen is never handed out, whatever the file says, so a directory that another
//! program wrote, or a file from a backup, does no harm. Source: Kafka `ZkProducerIdManager`,
//! `RPCProducerIdManager` (blocks of 1000).
//!
//! The file, `oncelog.producer-ids`, big-endian:
//!
//! ```text
//!   0          8        16     20
//!   ├ ONCEPID1 ┼─ end ──┼ crc ─┤     crc: CRC-32 over bytes 0 to 16
//! ```

use log_core::ids::ProducerId;

mod service;

pub use service::ProducerIdError;
pub(crate) use service::ProducerIdService;

/// Ids of one block (Kafka `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
const BLOCK_IDS: i64 = 1000;

const MAGIC: [u8; 8] = *b"ONCEPID1";
const SUMMED_BYTES: usize = 16;
const FILE_BYTES: usize = 20;
const _: () = assert!(MAGIC.len() + 8 == SUMMED_BYTES && SUMMED_BYTES + 4 == FILE_BYTES);

/// The ids of a directory that are left.
///
/// Invariant: `next <= end`, and `end` is durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ProducerIds {
    next: i64,
    end: i64,
}

impl ProducerIds {
    /// What is left where blocks up to `end` were claimed by earlier lives, and `seen` is the
    /// highest id in any partition.
    pub(crate) fn resume(end: i64, seen: ProducerId) -> Self {
        // An i64::MAX seen leaves no id at all: then every claim is refused.
        let next = end.max(seen.get().saturating_add(1)).max(0);
        Self { next, end: next }
    }

    /// `seen` was handed out by somebody: what is left begins behind it.
    pub(crate) const fn skip(&mut self, seen: ProducerId) {
        if seen.get() >= self.next {
            self.next = seen.get().saturating_add(1);
            if self.next > self.end {
                self.end = self.next;
            }
        }
    }

    /// The next id of the block, or `None` if it is used up.
    pub(crate) fn take(&mut self) -> Option<ProducerId> {
        if self.next == self.end {
            return None;
        }
        let id = ProducerId::new(self.next);
        self.next += 1;
        assert!(self.next <= self.end, "an id of a block that is not durable");
        id
    }

    /// Where the next block would end: to be made durable, then [`granted`](Self::grant). `None` if
    /// the numbers are used up.
    pub(crate) const fn next_end(&self) -> Option<i64> {
        self.end.checked_add(BLOCK_IDS)
    }

    /// The block up to `end` is durable.
    pub(crate) fn grant(&mut self, end: i64) {
        assert!(end > self.end, "a block is granted once");
        self.end = end;
    }
}

/// The file's content for blocks claimed up to `end`.
pub(crate) fn encode(end: i64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FILE_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&end.to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// Up to where blocks were claimed; what is wrong with the file otherwise.
pub(crate) fn decode(bytes: &[u8]) -> Result<i64, String> {
    let Ok(file) = <&[u8; FILE_BYTES]>::try_from(bytes) else {
        return Err(format!("it has {} bytes, expected {FILE_BYTES}", bytes.len()));
    };
    let (summed, sum) = file.split_at(SUMMED_BYTES);
    let found = sum.first_chunk().copied().map(u32::from_be_bytes).unwrap_or_default();
    let expected = crc32fast::hash(summed);
    if found != expected {
        return Err(format!("its checksum is {found:08x}, expected {expected:08x}"));
    }
    let (magic, end) = summed.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it does not start with ONCEPID1".to_owned());
    }
    let end = end.first_chunk().copied().map(i64::from_be_bytes).unwrap_or_default();
    if end < 0 { Err(format!("it ends at the negative id {end}")) } else { Ok(end) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(value: i64) -> ProducerId {
        ProducerId::new(value).unwrap()
    }

    #[test]
    fn no_id_is_given_before_its_block_is_granted() {
        let mut ids = ProducerIds::resume(0, ProducerId::NONE);
        assert_eq!(ids.take(), None);
        ids.grant(ids.next_end().unwrap());
        let given: Vec<_> = core::iter::from_fn(|| ids.take()).map(ProducerId::get).collect();
        assert_eq!(given, (0..1000).collect::<Vec<_>>());
        assert_eq!(ids.take(), None);
    }

    #[test]
    fn ids_start_above_every_id_seen() {
        let mut ids = ProducerIds::resume(1000, id(4711));
        ids.grant(ids.next_end().unwrap());
        assert_eq!(ids.take(), Some(id(4712)));
        let mut ids = ProducerIds::resume(9000, id(4711));
        ids.grant(ids.next_end().unwrap());
        assert_eq!(ids.take(), Some(id(9000)));
    }

    #[test]
    fn an_id_that_somebody_names_is_skipped_in_a_block_and_beyond_it() {
        let mut ids = ProducerIds::resume(0, ProducerId::NONE);
        ids.grant(1000);
        ids.skip(id(17));
        assert_eq!(ids.take(), Some(id(18)));
        ids.skip(id(3));
        assert_eq!(ids.take(), Some(id(19)));
        ids.skip(id(5000));
        assert_eq!(ids.take(), None, "what was granted ends before it");
        ids.grant(ids.next_end().unwrap());
        assert_eq!(ids.take(), Some(id(5001)));
    }

    #[test]
    fn the_last_id_of_all_is_never_wrapped_around() {
        assert_eq!(ProducerIds::resume(0, id(i64::MAX)).next_end(), None);
        assert_eq!(ProducerIds::resume(i64::MAX - 10, ProducerId::NONE).next_end(), None);
    }

    #[test]
    fn every_wrong_byte_of_the_file_is_noticed() {
        let good = encode(123_000);
        assert_eq!(decode(&good), Ok(123_000));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(decode(&bad).is_err(), "byte {at}");
        }
        let refusal = decode(&good[..7]).unwrap_err();
        assert!(refusal.contains("7 bytes"), "{refusal}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_number_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(end) = decode(&bytes) {
                prop_assert_eq!(encode(end), bytes);
            }
        }
    }
}
