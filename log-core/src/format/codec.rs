//! Kafka's codecs: how the records of a batch are compressed, and back, within bounds.
//!
//! ```text
//!   0 header 61 │ records, one after the other                │        codec none
//!   0 header 61 │ one compressed stream of the same bytes     │        every other codec
//!                 gzip    RFC 1952 members
//!                 snappy  xerial's blocks, or one raw block
//!                 lz4     one LZ4 frame of independent blocks
//!                 zstd    Zstandard frames
//! ```
//!
//! Whatever the bytes, decompressing stops at the bound it is given: its output never holds more
//! than one byte past the bound, and no length field is believed before bytes stand behind it. Each
//! codec is a cargo feature; one that is left out is refused by name.
//!
//! Source: Kafka `CompressionType`, `KafkaLZ4BlockOutputStream`, `SnappyFactory`, snappy-java's
//! `SnappyInputStream`, KIP-390 (levels).

#[cfg(not(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")))]
mod absent;
mod compression;
mod error;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
mod output;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(not(feature = "gzip"))]
use absent as gzip;
#[cfg(not(feature = "lz4"))]
use absent as lz4;
#[cfg(not(feature = "snappy"))]
use absent as snappy;
#[cfg(not(feature = "zstd"))]
use absent as zstd;

pub use compression::Compression;
pub use error::{CodecError, CodecNameError};

use output::Output;

use core::fmt;
use core::str::FromStr;

use crate::int::u64_from;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Codec {
    /// 0: not at all.
    #[default]
    None,
    /// 1: RFC 1952.
    Gzip,
    /// 2: snappy in xerial's framing.
    Snappy,
    /// 3: an LZ4 frame.
    Lz4,
    /// 4: a Zstandard frame.
    Zstd,
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Its number in the attributes of a batch.
    pub(super) const fn bits(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The name Kafka's `compression.type` knows it by; also the name of its cargo feature.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// Whether this build can compress with it and decompress.
    #[must_use]
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// The bytes that `compressed` stands for, at most `bytes_max` of them. None stand for none.
    ///
    /// # Errors
    ///
    /// [`CodecError`]: the codec is not built in, the bytes are not its stream, or more than
    /// `bytes_max` come out, which is found out without holding them.
    pub fn decompress(self, compressed: &[u8], bytes_max: u32) -> Result<Vec<u8>, CodecError> {
        let mut output = Output::new(compressed.len(), bytes_max);
        let done = match self {
            Self::None => output.extend(compressed),
            Self::Gzip => gzip::decompress(compressed, &mut output),
            Self::Snappy => snappy::decompress(compressed, &mut output),
            Self::Lz4 => lz4::decompress(compressed, &mut output),
            Self::Zstd => zstd::decompress(compressed, &mut output),
        };
        match done.and_then(|()| output.check()) {
            Ok(()) => Ok(output.into_bytes()),
            Err(stop) => Err(CodecError::new(self, stop, u64_from(output.len()), bytes_max)),
        }
    }
}

/// Appends to `out` what stands for `bytes`.
pub(super) fn compress(
    compression: Compression,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let level = compression.get_level();
    let done = match compression.codec() {
        Codec::None => {
            out.extend_from_slice(bytes);
            Ok(())
        }
        Codec::Gzip => gzip::compress(bytes, level, out),
        Codec::Snappy => snappy::compress(bytes, level, out),
        Codec::Lz4 => lz4::compress(bytes, level, out),
        Codec::Zstd => zstd::compress(bytes, level, out),
    };
    done.map_err(|stop| CodecError::new(compression.codec(), stop, 0, 0))
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Codec {
    type Err = CodecNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|codec| codec.name() == name);
        known.ok_or_else(|| CodecNameError { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests;
