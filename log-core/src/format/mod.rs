//! Kafka's bytes and the values they stand for. No I/O, no clock, no unsafe code.
//!
//! A partition's directory, as Kafka 4 writes and reads it:
//!
//! ```text
//!   orders-3/                              name      topic, '-', partition
//!     00000000000000000000.log             batch     record batches, one behind the other
//!     00000000000000000000.index           index     (relative offset, position) × 8 bytes, sparse
//!     00000000000000000000.timeindex                 (timestamp, relative offset) × 12 bytes, sparse
//!     00000000000000000000.txnindex                  aborted transactions × 34 bytes
//!     00000000000000000000.snapshot        snapshot  producers' state before this offset
//!     00000000000000004711.log  …          name      the next segment, named after its base offset
//!     leader-epoch-checkpoint              checkpoint
//!     partition.metadata                   metadata
//! ```
//!
//! A batch is a 61-byte header and records ([`BatchView`], [`Records`]), built by [`BatchBuilder`],
//! maybe compressed ([`Codec`]);
//! control batches end transactions ([`EndTxnMarker`]). All integers are big-endian, and all of those
//! inside records zigzag varints ([`varint`]).
//!
//! Whatever the bytes, reading them ends in a value or an error: never a panic, never more work
//! than the bytes given are long.

pub mod checkpoint;
pub mod index;
pub mod metadata;
pub mod snapshot;
pub mod varint;

pub(crate) mod batch;
pub(crate) mod builder;
pub(crate) mod codec;
pub(crate) mod control;
pub(crate) mod crc32c;
pub(crate) mod name;
pub(crate) mod record;
mod record_batch;
mod validate;

#[cfg(test)]
mod golden;

pub use batch::{
    Attributes, BATCH_BYTES_MAX, BatchError, BatchView, Batches, BatchesError, EmptyBatch,
    HEADER_BYTES, LOG_OVERHEAD_BYTES, MAGIC, PREFIX_BYTES, PlacedBatch, TimestampType, batch_bytes,
    stamp,
};
pub use builder::{BatchBuilder, BatchOptions, BuildError, NewRecord};
pub use codec::{Codec, CodecError, CodecNameError, Compression};
pub use control::{ControlError, ControlType, EndTxnMarker, MARKER_BATCH_BYTES, TransactionResult};
pub use crc32c::{Crc32c, crc32c};
pub use name::{
    BASE_OFFSET_DIGITS, DirectoryName, DirectoryState, FileKind, FileState, SegmentFileName,
    renamed_directory_name, segment_file_name,
};
pub use record::{
    Headers, OwnedRecords, Record, RecordError, RecordFault, RecordHeader, RecordView, Records,
    RecordsSummary, validate_decompressed, validate_records,
};
pub use record_batch::{RecordBatch, correct_max_timestamp};
pub use validate::{validate_client_batch, validate_replica_batch};
