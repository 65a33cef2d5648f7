//! The producers' state at an offset, as Kafka's `.snapshot` files keep it (`ProducerStateManager`).
//!
//! ```text
//!   0         2         6          10                       46 bytes a producer
//!   ├ version ┼ crc32c ─┼ producers┼ producer ┼ producer ┼ …
//!     1         of bytes 6 to the end
//!
//!   0     8       10         14         22      26        34            38              46
//!   ├ id ─┼ epoch ┼ last seq ┼ last off ┼ delta ┼ last ts ┼ coordinator ┼ open txn from ┤
//! ```
//!
//! The file's name is the offset the state ends before. It keeps the last batch of a producer and
//! none before it. Any bytes are read to the end of their check and no further: the count must
//! agree with the length before anything is allocated.

use crate::format::crc32c::crc32c;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use crate::int::u32_saturated;

/// The version this library writes and reads: the only one Kafka ever had.
const VERSION: i16 = 1;
/// Bytes before the first producer.
const HEAD_BYTES: usize = 10;
/// The checksum covers the bytes from here on.
const SUMMED_FROM: usize = 6;
/// Bytes of one producer.
const ENTRY_BYTES: usize = 46;

const _: () = assert!(8 + 2 + 4 + 8 + 4 + 8 + 4 + 8 == ENTRY_BYTES);
const _: () = assert!(2 + 4 == SUMMED_FROM);
const _: () = assert!(SUMMED_FROM + 4 == HEAD_BYTES);

/// One producer in a snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields are those of the format")]
pub struct SnapshotEntry {
    /// Who.
    pub producer_id: ProducerId,
    /// In which life.
    pub producer_epoch: ProducerEpoch,
    /// The last sequence of this epoch; none if there is no batch, or it has no sequence.
    pub last_sequence: Sequence,
    /// The last batch's last offset, if this epoch has a batch.
    pub last_offset: Option<Offset>,
    /// From the last batch's first offset to its last; 0 or more.
    pub offset_delta: i32,
    /// Of the last batch or marker.
    pub timestamp: TimestampMs,
    /// Of the last marker's coordinator; −1 for none.
    pub coordinator_epoch: i32,
    /// Where the open transaction begins, if there is one.
    pub current_txn_first_offset: Option<Offset>,
}

/// Why bytes are no snapshot. Such a file is removed, and the state rebuilt from the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not even a head.
    #[error("a snapshot has at least 10 bytes, this one has {have}: rebuild it from the log")]
    Short {
        /// Bytes given.
        have: usize,
    },
    /// Another version.
    #[error(
        "the snapshot's version at byte 0 is {found}, and only 1 is known: rebuild it from the log"
    )]
    Version {
        /// The version read.
        found: i16,
    },
    /// The checksum is not that of the bytes.
    #[error(
        "the snapshot's checksum at byte 2 is {stored:#010x}, that of its bytes {computed:#010x}: rebuild it from the log"
    )]
    Crc {
        /// The one in the file.
        stored: u32,
        /// That of the bytes.
        computed: u32,
    },
    /// The count does not agree with the length.
    #[error(
        "the snapshot's count at byte 6 is {found}, but its length is that of {held} producers: rebuild it from the log"
    )]
    Count {
        /// The count read.
        found: i32,
        /// Whole producers there are.
        held: usize,
    },
    /// A number that a producer cannot have.
    #[error(
        "{field} of producer {index} is {found}, at byte {at} of the snapshot, but {rule}: rebuild it from the log"
    )]
    Field {
        /// Kafka's name of the field.
        field: &'static str,
        /// The producer, from 0.
        index: usize,
        /// The field's first byte.
        at: usize,
        /// What stands there.
        found: i64,
        /// What would be right.
        rule: &'static str,
    },
}

/// Puts `entries` together as a snapshot file.
#[must_use]
pub fn snapshot_bytes(entries: &[SnapshotEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + entries.len() * ENTRY_BYTES);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&u32_saturated(entries.len()).to_be_bytes());
    for entry in entries {
        let offset = |offset: Option<Offset>| offset.map_or(-1, Offset::get).to_be_bytes();
        bytes.extend_from_slice(&entry.producer_id.get().to_be_bytes());
        bytes.extend_from_slice(&entry.producer_epoch.get().to_be_bytes());
        bytes.extend_from_slice(&entry.last_sequence.get().to_be_bytes());
        bytes.extend_from_slice(&offset(entry.last_offset));
        bytes.extend_from_slice(&entry.offset_delta.to_be_bytes());
        bytes.extend_from_slice(&entry.timestamp.get().to_be_bytes());
        bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        bytes.extend_from_slice(&offset(entry.current_txn_first_offset));
    }
    let crc = crc32c(bytes.get(SUMMED_FROM..).unwrap_or_default());
    if let Some(place) = bytes.get_mut(2..SUMMED_FROM) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

/// Reads a snapshot file.
///
/// # Errors
///
/// [`SnapshotError`], which names the first thing that is wrong and the byte it stands at.
pub fn parse_snapshot(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, SnapshotError> {
    let Some((head, body)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Err(SnapshotError::Short { have: bytes.len() });
    };
    let [v0, v1, c0, c1, c2, c3, n0, n1, n2, n3] = *head;
    let found = i16::from_be_bytes([v0, v1]);
    if found != VERSION {
        return Err(SnapshotError::Version { found });
    }
    let stored = u32::from_be_bytes([c0, c1, c2, c3]);
    let computed = crc32c(bytes.get(SUMMED_FROM..).unwrap_or_default());
    if stored != computed {
        return Err(SnapshotError::Crc { stored, computed });
    }
    let found = i32::from_be_bytes([n0, n1, n2, n3]);
    let (entries, rest) = body.as_chunks::<ENTRY_BYTES>();
    if usize::try_from(found) != Ok(entries.len()) || !rest.is_empty() {
        return Err(SnapshotError::Count { found, held: entries.len() });
    }
    entries.iter().enumerate().map(|(index, entry)| parse_entry(index, entry)).collect()
}

fn parse_entry(index: usize, bytes: &[u8; ENTRY_BYTES]) -> Result<SnapshotEntry, SnapshotError> {
    let refuse = |field, offset: usize, found, rule| SnapshotError::Field {
        field,
        index,
        at: HEAD_BYTES + index * ENTRY_BYTES + offset,
        found,
        rule,
    };
    let none = "it must be 0 or more, or −1 for none";
    let offset = |name, at, number: i64| match number {
        -1 => Ok(None),
        number => Offset::new(number).map(Some).ok_or(refuse(name, at, number, none)),
    };
    let id = i64::from_be_bytes(number::<0, 8>(bytes));
    let producer_id = ProducerId::new(id).filter(|id| id.is_some()).ok_or(refuse(
        "producerId",
        0,
        id,
        "it must be 0 or more",
    ))?;
    let epoch = i16::from_be_bytes(number::<8, 2>(bytes));
    let sequence = i32::from_be_bytes(number::<10, 4>(bytes));
    let last_offset = offset("lastOffset", 14, i64::from_be_bytes(number::<14, 8>(bytes)))?;
    let offset_delta = i32::from_be_bytes(number::<22, 4>(bytes));
    let reach = last_offset.map_or(0, Offset::get);
    if offset_delta < 0 || i64::from(offset_delta) > reach {
        let rule = "it must be 0 or more, and not reach below offset 0";
        return Err(refuse("offsetDelta", 22, offset_delta.into(), rule));
    }
    let coordinator_epoch = i32::from_be_bytes(number::<34, 4>(bytes));
    if coordinator_epoch < -1 {
        return Err(refuse("coordinatorEpoch", 34, coordinator_epoch.into(), none));
    }
    let first = i64::from_be_bytes(number::<38, 8>(bytes));
    Ok(SnapshotEntry {
        producer_id,
        producer_epoch: ProducerEpoch::new(epoch).ok_or(refuse("epoch", 8, epoch.into(), none))?,
        last_sequence: Sequence::new(sequence).ok_or(refuse(
            "lastSequence",
            10,
            sequence.into(),
            none,
        ))?,
        last_offset,
        offset_delta,
        timestamp: TimestampMs::new(i64::from_be_bytes(number::<26, 8>(bytes))),
        coordinator_epoch,
        current_txn_first_offset: offset("currentTxnFirstOffset", 38, first)?,
    })
}

/// The `N` bytes from `AT` on.
fn number<const AT: usize, const N: usize>(bytes: &[u8; ENTRY_BYTES]) -> [u8; N] {
    const { assert!(AT + N <= ENTRY_BYTES) };
    match bytes.get(AT..).and_then(|rest| rest.first_chunk()) {
        Some(number) => *number,
        None => unreachable!("the range was checked when this was compiled"),
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "in a test a failure is a failure")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Worked out by an independent encoder: producer 1, epoch 2, sequence 3 at offset 4.
    const GOLDEN: &str = concat!(
        "0001de134f4700000001000000000000000100020000000300000000000000040000000000000000000003e8",
        "00000005ffffffffffffffff"
    );

    fn golden() -> Vec<u8> {
        let digits: Vec<u8> =
            GOLDEN.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
    }

    fn entry() -> SnapshotEntry {
        SnapshotEntry {
            producer_id: ProducerId::new(1).unwrap(),
            producer_epoch: ProducerEpoch::new(2).unwrap(),
            last_sequence: Sequence::new(3).unwrap(),
            last_offset: Offset::new(4),
            offset_delta: 0,
            timestamp: TimestampMs::new(1000),
            coordinator_epoch: 5,
            current_txn_first_offset: None,
        }
    }

    /// `bytes` with a checksum that fits.
    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        let crc = crc32c(&bytes[SUMMED_FROM..]).to_be_bytes();
        bytes[2..SUMMED_FROM].copy_from_slice(&crc);
        bytes
    }

    #[test]
    fn a_snapshot_has_kafkas_bytes_and_reads_back() {
        assert_eq!(snapshot_bytes(&[entry()]), golden());
        assert_eq!(parse_snapshot(&golden()), Ok(vec![entry()]));
        assert_eq!(parse_snapshot(&snapshot_bytes(&[])), Ok(vec![]));
    }

    #[test]
    fn a_producer_without_a_batch_reads_back() {
        let bare = SnapshotEntry {
            last_sequence: Sequence::NONE,
            last_offset: None,
            current_txn_first_offset: Offset::new(0),
            ..entry()
        };
        assert_eq!(parse_snapshot(&snapshot_bytes(&[bare, entry()])), Ok(vec![bare, entry()]));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        for at in 0..golden().len() {
            let mut bytes = golden();
            bytes[at] ^= 0x40;
            assert!(parse_snapshot(&bytes).is_err(), "byte {at}");
            assert!(parse_snapshot(&golden()[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_byte() {
        let mut version = golden();
        version[1] = 2;
        assert_eq!(parse_snapshot(&version), Err(SnapshotError::Version { found: 2 }));
        let mut count = golden();
        count[6] = 0x7F;
        let found = i32::from_be_bytes([0x7F, 0, 0, 1]);
        assert_eq!(parse_snapshot(&summed(count)), Err(SnapshotError::Count { found, held: 1 }));
        let mut long = golden();
        long.push(0);
        assert_eq!(parse_snapshot(&summed(long)), Err(SnapshotError::Count { found: 1, held: 1 }));
        for (at, name) in [
            (10, "producerId"),
            (18, "epoch"),
            (20, "lastSequence"),
            (24, "lastOffset"),
            (32, "offsetDelta"),
            (44, "coordinatorEpoch"),
            (48, "currentTxnFirstOffset"),
        ] {
            let mut bytes = golden();
            bytes[at] = 0x80;
            bytes[at + 1] = 0;
            match parse_snapshot(&summed(bytes)) {
                Err(SnapshotError::Field { field, at: found, .. }) => {
                    assert_eq!((field, found), (name, at));
                }
                other => panic!("byte {at}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_value_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _any = parse_snapshot(&bytes);
            if bytes.len() >= HEAD_BYTES {
                bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
                let producers = (bytes.len() - HEAD_BYTES) / ENTRY_BYTES;
                bytes.truncate(HEAD_BYTES + producers * ENTRY_BYTES);
                bytes[6..10].copy_from_slice(&u32::try_from(producers).unwrap().to_be_bytes());
                let bytes = summed(bytes);
                if let Ok(entries) = parse_snapshot(&bytes) {
                    prop_assert_eq!(snapshot_bytes(&entries), bytes);
                }
            }
        }
    }
}
