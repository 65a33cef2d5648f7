//! What a history does, one step at a time.
//!
//! Numbers are raw: each is reduced to what is possible at that moment when the step is taken, so
//! any list of steps can be run, shortened or mutated.

use log_core::Durability;

/// One step. Its fields are raw numbers, named for what they are reduced to.
#[expect(missing_docs, reason = "the variants say it")]
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the runner answers each")]
pub enum Op {
    /// Append `records` records of about `bytes` bytes.
    Append { partition: u64, records: u64, bytes: u64, durability: Durability, raw: Raw },
    /// A producer's next batch; first it sends what is in doubt.
    Produce { partition: u64, producer: u64, records: u64, bytes: u64, durability: Durability },
    /// A producer sends one of its batches again: under way, in doubt, or long acknowledged.
    Retry { partition: u64, producer: u64, which: u64, durability: Durability },
    /// A gap, an overlap, an old epoch, an unknown producer.
    Wrong { partition: u64, producer: u64, kind: u64 },
    /// A producer begins a new epoch.
    Bump { partition: u64, producer: u64 },
    /// Bytes that are no batch, given to the raw append.
    Hostile { partition: u64, bits: u64 },
    /// Steps of the store's I/O.
    Turns(u64),
    /// Time passes.
    Advance { millis: u64 },
    /// Read from somewhere.
    Fetch { partition: u64, at: u64, bytes: u64 },
    /// Run the I/O until everything accepted is answered.
    Settle,
    /// Close and open again.
    Close,
    /// Drop without closing, and open again.
    Drop,
    /// End the process or the power now, and open again.
    Stop { cut: bool, again: [u64; 2] },
    /// The same at the n-th disk operation from now.
    Arm { operations: u64, cut: bool },
    /// Open a partition anew that a fault took offline.
    Reopen { partition: u64 },
    /// Turn over bits of a stored byte.
    Flip { file: u64, at: u64, mask: u8 },
    /// Zero a stored block of a segment.
    Zero { file: u64, block: u64 },
    /// Damage a file that only saves time: an index, a seal, a checkpoint.
    Harm { file: u64, at: u64 },
    /// Give or take space.
    Space { bytes: Option<u64> },
    /// Delete records from the start: below some offset, or all that are durable.
    Delete { partition: u64, at: u64 },
    /// Delete what is too old or too much.
    Retain { partition: u64 },
    /// Delete records from the end, or all of them to go on elsewhere.
    Truncate { partition: u64, at: u64 },
    /// Other settings for the topic.
    Alter { draw: u64 },
    /// One more partition.
    Grow,
    /// Delete the topic and make it anew.
    Remake,
}

/// By which door a batch goes in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there are these three")]
pub enum Raw {
    /// As built.
    Built,
    /// As bytes, offset assigned.
    Bytes,
    /// As bytes, offsets kept.
    Kept,
}
