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
//!     00000000000000000000.snapshot                  producers' state before this offset
//!     00000000000000004711.log  …          name      the next segment, named after its base offset
//!     leader-epoch-checkpoint              checkpoint
//!     partition.metadata                   metadata
//! ```
//!
//! A batch is a 61-byte header and records ([`batch`], [`record`]), built by [`BatchBuilder`];
//! control batches end transactions ([`control`]). All integers are big-endian, and all of those
//! inside records zigzag varints ([`varint`]).
//!
//! Whatever the bytes, reading them ends in a value or an error: never a panic, never more work
//! than the bytes given are long.

pub mod batch;
pub mod builder;
pub mod checkpoint;
pub mod control;
pub mod crc32c;
pub mod index;
pub mod metadata;
pub mod name;
pub mod record;
mod record_batch;
pub mod varint;

#[cfg(test)]
mod golden;

pub use batch::{
    Attributes, BatchError, BatchView, Batches, BatchesError, Codec, EmptyBatch, HEADER_BYTES,
    PlacedBatch, TimestampType, batch_bytes, stamp,
};
pub use builder::{BatchBuilder, BatchOptions, BuildError, NewRecord};
pub use checkpoint::{
    CheckpointError, LeaderEpochEntry, leader_epochs_text, offsets_text, parse_leader_epochs,
    parse_offsets,
};
pub use control::{ControlError, ControlType, EndTxnMarker, TransactionResult};
pub use crc32c::{Crc32c, crc32c};
pub use index::{IndexError, OffsetIndexEntry, ZeroTail};
pub use metadata::{CleanShutdown, DirectoryId, MetaProperties, MetadataError, PartitionMetadata};
pub use name::{
    DirectoryName, DirectoryState, FileKind, FileState, SegmentFileName, segment_file_name,
};
pub use record::{
    RecordError, RecordFault, RecordHeader, RecordView, Records, RecordsSummary,
    validate_decompressed, validate_records,
};
pub use record_batch::{RecordBatch, correct_max_timestamp};
