//! Why a codec does not do what it is asked.

use super::Codec;

/// Why bytes cannot be compressed or decompressed with a codec.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// This build was made without the codec.
    #[error("the codec {codec} is not built in: build log-core with its feature `{codec}`")]
    NotBuiltIn {
        /// The codec.
        codec: Codec,
    },
    /// More comes out than the bound allows. Nothing is kept of it.
    #[error(
        "the {codec} stream unpacks to more than {bytes_max} bytes: if it is to be trusted, raise \
         decompressed_bytes_max"
    )]
    TooLarge {
        /// The codec.
        codec: Codec,
        /// The bound.
        bytes_max: u32,
    },
    /// The bytes are not a stream of the codec.
    #[error("the {codec} stream is damaged {at} bytes into what it unpacks to: {reason}")]
    Damaged {
        /// The codec.
        codec: Codec,
        /// Bytes that came out before.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The codec did not get the memory it works in.
    #[error("the codec {codec} got no memory to work in: free some and try again")]
    Memory {
        /// The codec.
        codec: Codec,
    },
    /// The codec has no such level.
    #[error("the codec {codec} has no level {level}: {}", levels_text(*.least, *.most))]
    Level {
        /// The codec.
        codec: Codec,
        /// The level asked for.
        level: i32,
        /// Its least level.
        least: i32,
        /// Its highest; below the least if it has no levels.
        most: i32,
    },
}

impl CodecError {
    /// What `stop` means after `at` bytes.
    pub(super) const fn new(codec: Codec, stop: Stop, at: u64, bytes_max: u32) -> Self {
        match stop {
            #[cfg(not(all(
                feature = "gzip",
                feature = "snappy",
                feature = "lz4",
                feature = "zstd"
            )))]
            Stop::NotBuiltIn => Self::NotBuiltIn { codec },
            Stop::TooLarge => Self::TooLarge { codec, bytes_max },
            Stop::Damaged(reason) => Self::Damaged { codec, at, reason },
            Stop::Memory => Self::Memory { codec },
        }
    }

    /// The error code a Kafka broker answers with.
    #[must_use]
    pub const fn kafka_code(&self) -> i16 {
        match self {
            // UNSUPPORTED_COMPRESSION_TYPE
            Self::NotBuiltIn { .. } => 76,
            // MESSAGE_TOO_LARGE
            Self::TooLarge { .. } => 10,
            // INVALID_RECORD: the checksum was right, so these are the bytes that were sent.
            Self::Damaged { .. } => 87,
            // KAFKA_STORAGE_ERROR, which clients try again
            Self::Memory { .. } => 56,
            // INVALID_CONFIG
            Self::Level { .. } => 40,
        }
    }
}

fn levels_text(least: i32, most: i32) -> String {
    if most < least {
        "it has none".to_owned()
    } else {
        format!("its levels are {least} to {most}")
    }
}

/// A codec by a name that none has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no codec {name:?}: none, gzip, snappy, lz4 and zstd are known")]
#[non_exhaustive]
pub struct CodecNameError {
    /// The name given.
    pub name: String,
}

/// Why a codec stops, as it knows it itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    /// It is not there.
    #[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
    NotBuiltIn,
    /// The bound is reached.
    TooLarge,
    /// The stream contradicts its format.
    #[cfg_attr(
        not(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
        expect(dead_code, reason = "without a codec nothing finds it")
    )]
    Damaged(&'static str),
    /// No memory.
    Memory,
}

/// The stream goes on past the bytes given.
#[cfg(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
pub(super) const ENDS_TOO_EARLY: Stop = Stop::Damaged("it ends too early");
