//! The two bytes that say how a batch is to be read.
//!
//! ```text
//!   bit  15 … 7   6               5        4               3                2 1 0
//!        unused   delete horizon  control  transactional   timestamp type   codec
//! ```
//!
//! Source: Kafka `DefaultRecordBatch`, KIP-98, KIP-534 (delete horizon).

use super::{BatchError, Codec};

const CODEC_BITS: i16 = 0b111;
const TIMESTAMP_TYPE_BIT: i16 = 1 << 3;
const TRANSACTIONAL_BIT: i16 = 1 << 4;
const CONTROL_BIT: i16 = 1 << 5;
const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// Whose clock a batch's timestamps are from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one bit of the format: there is no third")]
pub enum TimestampType {
    /// The producer's: each record has its own.
    #[default]
    CreateTime,
    /// The log's, at the append: all records have the batch's max timestamp.
    LogAppendTime,
}

/// The attributes of a batch. Unused bits are kept as found and mean nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Attributes(i16);

impl Attributes {
    /// Plain records, create time, no transaction.
    pub const NONE: Self = Self(0);

    /// The attributes with these bits, as a batch carries them.
    #[must_use]
    pub const fn from_bits(bits: i16) -> Self {
        Self(bits)
    }

    /// The bits, as a batch carries them.
    #[must_use]
    pub const fn bits(self) -> i16 {
        self.0
    }

    /// How the records are compressed.
    ///
    /// # Errors
    ///
    /// [`BatchError::Codec`] for 5, 6 and 7, which no version of Kafka has given a meaning.
    pub const fn codec(self) -> Result<Codec, BatchError> {
        Ok(match self.0 & CODEC_BITS {
            0 => Codec::None,
            1 => Codec::Gzip,
            2 => Codec::Snappy,
            3 => Codec::Lz4,
            4 => Codec::Zstd,
            5 => return Err(BatchError::Codec { found: 5 }),
            6 => return Err(BatchError::Codec { found: 6 }),
            _ => return Err(BatchError::Codec { found: 7 }),
        })
    }

    /// Whose clock the timestamps are from.
    #[must_use]
    pub const fn timestamp_type(self) -> TimestampType {
        if self.0 & TIMESTAMP_TYPE_BIT == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch is part of a transaction (markers are too).
    #[must_use]
    pub const fn is_transactional(self) -> bool {
        self.0 & TRANSACTIONAL_BIT != 0
    }

    /// Whether the batch holds control records, which no consumer is shown.
    #[must_use]
    pub const fn is_control(self) -> bool {
        self.0 & CONTROL_BIT != 0
    }

    /// Whether the base timestamp is the time from which compaction may drop tombstones.
    #[must_use]
    pub const fn has_delete_horizon(self) -> bool {
        self.0 & DELETE_HORIZON_BIT != 0
    }

    /// The same with this codec.
    #[must_use]
    pub const fn with_codec(self, codec: Codec) -> Self {
        Self((self.0 & !CODEC_BITS) | codec.bits())
    }

    /// The same for a batch whose records are all gone: no codec, and no delete horizon, since the
    /// base timestamp then means nothing.
    #[must_use]
    pub(super) const fn emptied(self) -> Self {
        Self(self.0 & (TIMESTAMP_TYPE_BIT | TRANSACTIONAL_BIT | CONTROL_BIT))
    }

    /// The same with this timestamp type.
    #[must_use]
    pub const fn with_timestamp_type(self, timestamp_type: TimestampType) -> Self {
        match timestamp_type {
            TimestampType::CreateTime => Self(self.0 & !TIMESTAMP_TYPE_BIT),
            TimestampType::LogAppendTime => Self(self.0 | TIMESTAMP_TYPE_BIT),
        }
    }

    /// The same, in a transaction.
    #[must_use]
    pub const fn transactional(self) -> Self {
        Self(self.0 | TRANSACTIONAL_BIT)
    }

    /// The same, of a control batch.
    #[must_use]
    pub const fn control(self) -> Self {
        Self(self.0 | CONTROL_BIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_has_its_bits_and_five_to_seven_have_none() {
        for codec in Codec::ALL {
            assert_eq!(Attributes::NONE.with_codec(codec).codec(), Ok(codec));
        }
        for bits in 5..8_u8 {
            assert_eq!(
                Attributes::from_bits(bits.into()).codec(),
                Err(BatchError::Codec { found: bits })
            );
        }
    }

    #[test]
    fn each_flag_is_its_own_bit() {
        let marker = Attributes::NONE.transactional().control();
        assert_eq!(marker.bits(), 0x30);
        assert!(marker.is_transactional());
        assert!(marker.is_control());
        assert!(!marker.has_delete_horizon());
        assert!(Attributes::from_bits(0x40).has_delete_horizon());
        let stamped = Attributes::NONE.with_timestamp_type(TimestampType::LogAppendTime);
        assert_eq!(stamped.bits(), 8);
        assert_eq!(stamped.with_timestamp_type(TimestampType::CreateTime), Attributes::NONE);
    }

    #[test]
    fn unused_bits_are_kept_and_mean_nothing() {
        let odd = Attributes::from_bits(!0x7F);
        assert_eq!(odd.codec(), Ok(Codec::None));
        assert!(!odd.is_control() && !odd.is_transactional() && !odd.has_delete_horizon());
        assert_eq!(odd.transactional().bits(), !0x6F);
    }
}
