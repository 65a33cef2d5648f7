//! Why bytes are no batch, or not the batch they were.

use crate::format::codec::{Codec, CodecError};
use crate::format::control::ControlError;
use crate::format::record::RecordError;
use crate::ids::Offset;

/// Why a record batch cannot be read: what was found, at which byte of the batch, and what should
/// have stood there.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end before the batch does. At the end of a file: a write that was cut off.
    #[error("the batch needs {need} bytes and {have} are there: it was cut off")]
    Short {
        /// Bytes the batch has, or at least its header.
        need: u64,
        /// Bytes given.
        have: u64,
    },
    /// The length field (byte 8) is smaller than any batch.
    #[error(
        "the batch length at byte 8 is {found} and the least possible is {least}: this is no record batch, or it is damaged"
    )]
    Length {
        /// The field.
        found: i32,
        /// The least that a batch of this version can have.
        least: i32,
    },
    /// The magic byte (byte 16) is not 2.
    #[error("{}", magic_text(*.found))]
    Magic {
        /// The byte.
        found: i8,
    },
    /// The checksum (byte 17) is not that of the bytes from 21 on: they are not what was written.
    #[error(
        "the checksum at byte 17 is {stored:08x}, its bytes give {computed:08x}: they are damaged"
    )]
    Crc {
        /// The checksum in the batch.
        stored: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// The codec bits of the attributes (byte 21) name no codec.
    #[error(
        "the attributes at byte 21 name compression codec {found}, and 0 to 4 are known: compress with one of these"
    )]
    Codec {
        /// The three bits.
        found: u8,
    },
    /// The records are compressed where plain ones are needed.
    #[error("the records are compressed with {codec} and must be decompressed first")]
    Compressed {
        /// The codec.
        codec: Codec,
    },
    /// The records cannot be decompressed.
    #[error("the records of the batch at offset {base_offset} cannot be decompressed: {source}")]
    Decompress {
        /// Where the batch begins.
        base_offset: Offset,
        /// Why not.
        source: CodecError,
    },
    /// A field of the header holds what it never can.
    #[error("{field} at byte {at} of the batch is {found}: {rule}")]
    Field {
        /// The field, by Kafka's name.
        field: &'static str,
        /// Its first byte within the batch.
        at: usize,
        /// The value.
        found: i64,
        /// What must hold.
        rule: &'static str,
    },
    /// A control record cannot be read.
    #[error("the control record at offset {offset} cannot be read: {source}")]
    Control {
        /// The record's place.
        offset: Offset,
        /// Why not.
        source: ControlError,
    },
    /// A record, or the number of records, is wrong.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl BatchError {
    /// The error code a Kafka broker answers with when a client sends such a batch.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            // UNSUPPORTED_FOR_MESSAGE_FORMAT
            Self::Magic { found: 0 | 1 } => 43,
            // CORRUPT_MESSAGE
            Self::Short { .. } | Self::Length { .. } | Self::Crc { .. } | Self::Magic { .. } => 2,
            // UNSUPPORTED_COMPRESSION_TYPE
            Self::Codec { .. } | Self::Compressed { .. } => 76,
            Self::Decompress { source, .. } => source.kafka_code(),
            // INVALID_RECORD
            Self::Field { .. } | Self::Control { .. } | Self::Record(_) => 87,
        }
    }
}

fn magic_text(found: i8) -> String {
    match found {
        0 | 1 => format!(
            "message format v{found} is not supported yet: the magic byte at 16 is {found}, and only 2 is read: have it written by Kafka 0.11 or later"
        ),
        _ => format!("the magic byte at 16 is {found}: this is no record batch, whose magic is 2"),
    }
}
