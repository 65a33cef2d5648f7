//! Why a record cannot be read.

use crate::format::varint::VarintError;

/// A record that cannot be read: which, where, and why. Kafka answers `INVALID_RECORD`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("record {record} of the batch, at byte {at} of its uncompressed records: {fault}")]
#[non_exhaustive]
pub struct RecordError {
    /// Which record of the batch, from 0; as many were read before it.
    pub record: u32,
    /// Where it begins, counted from the end of the batch's header in uncompressed bytes.
    pub at: usize,
    /// What is wrong.
    #[source]
    pub fault: RecordFault,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordFault {
    /// A number is cut off, too long or too large.
    #[error("{0}")]
    Varint(#[from] VarintError),
    /// A length is negative where only 0 or more (or −1 for null) can stand.
    #[error("{what} has a length of {found} bytes")]
    NegativeLength {
        /// The field.
        what: &'static str,
        /// The length read.
        found: i32,
    },
    /// A field would end past the record, or the record past the batch.
    #[error("{what} has {need} bytes, {have} are left")]
    Overrun {
        /// The field.
        what: &'static str,
        /// Bytes it should have.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// The number of headers is negative, or larger than the bytes left could hold.
    #[error("{declared} headers are declared, {have} bytes are left for them")]
    HeadersCount {
        /// The count read.
        declared: i32,
        /// Bytes left.
        have: usize,
    },
    /// The record's length is larger than its fields.
    #[error("{bytes} bytes of its length are not part of any field")]
    Unread {
        /// Bytes left over.
        bytes: usize,
    },
    /// Base timestamp and delta give no 64-bit number.
    #[error("timestamp {base} plus {delta} is no timestamp")]
    Timestamp {
        /// The batch's base timestamp, milliseconds.
        base: i64,
        /// The record's delta, milliseconds.
        delta: i64,
    },
    /// The offset delta does not rise, or leads past the batch.
    #[error("its offset delta is {found}: it must be above {after} and at most {last}")]
    OffsetDelta {
        /// The delta read.
        found: i32,
        /// The previous record's, −1 before the first.
        after: i32,
        /// The batch's last.
        last: i32,
    },
    /// The bytes end before the declared number of records.
    #[error("the batch declares {declared} records and holds {found}")]
    Missing {
        /// Records declared.
        declared: u32,
        /// Records found.
        found: u32,
    },
    /// Bytes are left after the declared number of records.
    #[error("{bytes} bytes are left after the {declared} records the batch declares")]
    Surplus {
        /// Records declared.
        declared: u32,
        /// Bytes left.
        bytes: usize,
    },
    /// Not one record for each offset, which a client must send.
    #[error("{count} records take up {offsets} offsets: a producer sends one for each")]
    Range {
        /// Records declared.
        count: u32,
        /// Offsets from base to last.
        offsets: i64,
    },
}
