//! Which codec a batch is built with, and how hard it tries.

use super::{Codec, CodecError};

/// A codec and its level, both known to be there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Compression {
    codec: Codec,
    level: i32,
}

impl Compression {
    /// No compression.
    pub const NONE: Self = Self { codec: Codec::None, level: 0 };

    /// `codec` at the level Kafka takes if none is asked for: gzip 6, lz4 9, zstd 3.
    ///
    /// # Errors
    ///
    /// [`CodecError::NotBuiltIn`].
    pub const fn new(codec: Codec) -> Result<Self, CodecError> {
        if !codec.is_built_in() {
            return Err(CodecError::NotBuiltIn { codec });
        }
        let level = match codec {
            Codec::None | Codec::Snappy => 0,
            Codec::Gzip => 6,
            Codec::Lz4 => 9,
            Codec::Zstd => 3,
        };
        Ok(Self { codec, level })
    }

    /// The same codec at another level: gzip 1 to 9 (`compression.gzip.level`), lz4 1 to 17, zstd
    /// −131072 to 22. Every level of lz4 compresses alike here.
    ///
    /// # Errors
    ///
    /// [`CodecError::Level`] if the codec does not have it.
    pub const fn level(self, level: i32) -> Result<Self, CodecError> {
        let codec = self.codec;
        let (least, most) = match codec {
            Codec::None | Codec::Snappy => (0, -1),
            Codec::Gzip => (1, 9),
            Codec::Lz4 => (1, 17),
            Codec::Zstd => (-131_072, 22),
        };
        if least <= level && level <= most {
            Ok(Self { codec, level })
        } else {
            Err(CodecError::Level { codec, level, least, most })
        }
    }

    /// The codec.
    #[must_use]
    pub const fn codec(self) -> Codec {
        self.codec
    }

    /// The level; 0 for a codec that has none.
    #[must_use]
    pub(super) const fn get_level(self) -> i32 {
        self.level
    }
}
