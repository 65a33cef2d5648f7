//! Control records: the markers that end a transaction in each partition it wrote to.
//!
//! ```text
//!   key    i16 version 0 │ i16 type: 0 ABORT, 1 COMMIT, 2 … 6 KRaft's own
//!   value  i16 version 0 │ i32 coordinator epoch │ (later versions: more, kept but not read)
//! ```
//!
//! A marker is a batch of its own, 78 bytes, and takes up one offset; consumers never see it.
//! Source: Kafka `ControlRecordType`, `EndTransactionMarker`, KIP-98.

use crate::format::builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Bytes of a marker's batch, always.
pub const MARKER_BATCH_BYTES: usize = 78;

/// The version of key and value this library writes.
const VERSION: i16 = 0;
const KEY_BYTES: usize = 4;
const VALUE_BYTES: usize = 6;

const _: () = assert!(KEY_BYTES == size_of::<i16>() + size_of::<i16>());
const _: () = assert!(VALUE_BYTES == size_of::<i16>() + size_of::<i32>());

/// What a control record is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ControlType {
    /// 0: the producer's open transaction is aborted.
    Abort,
    /// 1: the producer's open transaction is committed.
    Commit,
    /// 2: a `KRaft` leader took over.
    LeaderChange,
    /// 3: the first record of a `KRaft` snapshot.
    SnapshotHeader,
    /// 4: the last record of a `KRaft` snapshot.
    SnapshotFooter,
    /// 5: the `KRaft` protocol version changed.
    KraftVersion,
    /// 6: the `KRaft` voters changed.
    KraftVoters,
    /// Any other number: a type of a later version, to be skipped.
    Unknown(i16),
}

impl ControlType {
    /// Reads the key of a control record. A later version is read as version 0, as Kafka does.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if the key is shorter than 4 bytes or its version negative.
    pub fn from_key(key: Option<&[u8]>) -> Result<Self, ControlError> {
        let key = key.unwrap_or_default();
        let Some([v0, v1, t0, t1]) = key.first_chunk::<KEY_BYTES>() else {
            return Err(ControlError::Short { what: "key", need: KEY_BYTES, have: key.len() });
        };
        check_version("key", i16::from_be_bytes([*v0, *v1]))?;
        Ok(match i16::from_be_bytes([*t0, *t1]) {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KraftVersion,
            6 => Self::KraftVoters,
            other => Self::Unknown(other),
        })
    }
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a transaction ends in one of two ways")]
pub enum TransactionResult {
    /// Its records never were.
    Abort,
    /// Its records count.
    Commit,
}

/// The mark that a producer's transaction has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the fields are those of the format")]
pub struct EndTxnMarker {
    /// How.
    pub result: TransactionResult,
    /// The epoch of the transaction coordinator that said so; 0 or more, if it was sound.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// Reads a control record; `None` if it is of a type that ends no transaction.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if key or value is too short or has a negative version.
    pub fn from_record(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Option<Self>, ControlError> {
        let result = match ControlType::from_key(key)? {
            ControlType::Abort => TransactionResult::Abort,
            ControlType::Commit => TransactionResult::Commit,
            _ => return Ok(None),
        };
        let value = value.unwrap_or_default();
        let Some([v0, v1, epoch @ ..]) = value.first_chunk::<VALUE_BYTES>() else {
            return Err(ControlError::Short {
                what: "value",
                need: VALUE_BYTES,
                have: value.len(),
            });
        };
        check_version("value", i16::from_be_bytes([*v0, *v1]))?;
        Ok(Some(Self { result, coordinator_epoch: i32::from_be_bytes(*epoch) }))
    }

    /// The marker's batch, ready for [`stamp`](crate::format::stamp): 78 bytes.
    ///
    /// # Errors
    ///
    /// [`ControlError::Producer`] if `producer_id` is none: nobody's transaction cannot end.
    pub fn to_batch(
        self,
        producer_id: ProducerId,
        producer_epoch: ProducerEpoch,
        timestamp: TimestampMs,
    ) -> Result<[u8; MARKER_BATCH_BYTES], ControlError> {
        if !producer_id.is_some() {
            return Err(ControlError::Producer);
        }
        let [version_high, version_low] = VERSION.to_be_bytes();
        let kind = match self.result {
            TransactionResult::Abort => 0,
            TransactionResult::Commit => 1,
        };
        let key = [version_high, version_low, 0, kind];
        let [a, b, c, d] = self.coordinator_epoch.to_be_bytes();
        let value = [version_high, version_low, a, b, c, d];
        let options = BatchOptions::new()
            .producer(producer_id, producer_epoch, Sequence::NONE)
            .transactional()
            .control();
        let mut builder = BatchBuilder::reusing(Vec::with_capacity(MARKER_BATCH_BYTES), options);
        let record = NewRecord { timestamp, key: Some(&key), value: Some(&value), headers: &[] };
        match builder
            .push(&record)
            .ok()
            .and_then(|()| builder.build()?.into_bytes().try_into().ok())
        {
            Some(batch) => Ok(batch),
            None => unreachable!("a marker is one record of 17 bytes behind a header of 61"),
        }
    }
}

/// Why a control record cannot be read or written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Key or value is cut off.
    #[error(
        "the {what} of a control record needs {need} bytes and {have} are there: the record is damaged"
    )]
    Short {
        /// Key or value.
        what: &'static str,
        /// Bytes it has at least.
        need: usize,
        /// Bytes there are.
        have: usize,
    },
    /// The version is negative.
    #[error(
        "the {what} of a control record has version {found}, and versions begin with 0: the record is damaged"
    )]
    Version {
        /// Key or value.
        what: &'static str,
        /// The version read.
        found: i16,
    },
    /// A marker was asked for without a producer.
    #[error("a transaction marker needs a producer id: give it that of the transaction")]
    Producer,
}

impl ControlError {
    /// Kafka's `INVALID_RECORD`.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        87
    }
}

const fn check_version(what: &'static str, found: i16) -> Result<(), ControlError> {
    if found < 0 { Err(ControlError::Version { what, found }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::BatchView;
    use crate::format::batch::Attributes;
    use crate::format::golden;

    fn producer(id: i64, epoch: i16) -> (ProducerId, ProducerEpoch) {
        (ProducerId::new(id).unwrap(), ProducerEpoch::new(epoch).unwrap())
    }

    #[test]
    fn both_markers_have_kafkas_bytes_and_read_back() {
        for (result, bytes) in [
            (TransactionResult::Commit, golden::commit_marker()),
            (TransactionResult::Abort, golden::abort_marker()),
        ] {
            let marker = EndTxnMarker { result, coordinator_epoch: 0 };
            let (id, epoch) = producer(1, 0);
            assert_eq!(marker.to_batch(id, epoch, TimestampMs::new(0)).unwrap()[..], bytes);
            let batch = BatchView::parse(&bytes).unwrap();
            let record = batch.records().unwrap().next().unwrap().unwrap();
            assert_eq!(EndTxnMarker::from_record(record.key, record.value), Ok(Some(marker)));
        }
    }

    #[test]
    fn a_marker_keeps_its_coordinator_epoch() {
        let marker = EndTxnMarker { result: TransactionResult::Abort, coordinator_epoch: 7 };
        let (id, epoch) = producer(12, 3);
        let bytes = marker.to_batch(id, epoch, TimestampMs::new(1_700_000_000_000)).unwrap();
        let batch = BatchView::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        assert_eq!(batch.attributes(), Attributes::from_bits(0x30));
        assert_eq!(batch.base_sequence(), Sequence::NONE);
        assert_eq!((batch.producer_id(), batch.producer_epoch()), (id, epoch));
        let record = batch.records().unwrap().next().unwrap().unwrap();
        assert_eq!(EndTxnMarker::from_record(record.key, record.value), Ok(Some(marker)));
    }

    #[test]
    fn later_versions_are_read_as_the_first() {
        let value = [0, 3, 0, 0, 0, 7, 0xAA, 0xBB];
        let marker = EndTxnMarker { result: TransactionResult::Commit, coordinator_epoch: 7 };
        assert_eq!(EndTxnMarker::from_record(Some(&[0, 9, 0, 1]), Some(&value)), Ok(Some(marker)));
    }

    #[test]
    fn an_unknown_type_is_skipped_and_a_short_key_is_not() {
        assert_eq!(ControlType::from_key(Some(&[0, 0, 0, 99])), Ok(ControlType::Unknown(99)));
        assert_eq!(EndTxnMarker::from_record(Some(&[0, 0, 0, 99]), None), Ok(None));
        assert_eq!(EndTxnMarker::from_record(Some(&[0, 0, 0, 2]), None), Ok(None));
        let short = ControlError::Short { what: "key", need: 4, have: 3 };
        assert_eq!(ControlType::from_key(Some(&[0, 0, 0])), Err(short));
        assert!(ControlType::from_key(None).is_err());
        let negative = ControlError::Version { what: "key", found: -1 };
        assert_eq!(ControlType::from_key(Some(&[0xFF, 0xFF, 0, 1])), Err(negative));
    }

    #[test]
    fn a_marker_without_a_whole_value_is_an_error() {
        let key = Some(&[0, 0, 0, 1][..]);
        for value in [None, Some(&[0, 0, 0, 0, 0][..]), Some(&[0xFF, 0xFF, 0, 0, 0, 0][..])] {
            assert!(EndTxnMarker::from_record(key, value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn nobody_cannot_end_a_transaction() {
        let marker = EndTxnMarker { result: TransactionResult::Commit, coordinator_epoch: 0 };
        let batch = marker.to_batch(ProducerId::NONE, ProducerEpoch::NONE, TimestampMs::new(0));
        assert_eq!(batch, Err(ControlError::Producer));
    }
}
