//! Places in a log: by record, by byte, by epoch, by time.

use core::fmt;

/// A record's place in a partition: 0, 1, 2, … never negative, never reused.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of an empty log.
    pub const ZERO: Self = Self(0);
    /// The largest offset the format can name. A log ends before it.
    pub const MAX: Self = Self(i64::MAX);

    /// The offset `value`, or `None` if it is negative.
    #[must_use]
    pub const fn new(value: i64) -> Option<Self> {
        if value < 0 { None } else { Some(Self(value)) }
    }

    /// The number, 0 or more.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The offset `records` later, or `None` past [`Offset::MAX`] (or below zero).
    #[must_use]
    pub const fn checked_add(self, records: i64) -> Option<Self> {
        match self.0.checked_add(records) {
            Some(value) => Self::new(value),
            None => None,
        }
    }

    /// Records from `base` up to here; negative if `base` is later. Cannot overflow: neither side
    /// is negative.
    #[must_use]
    pub const fn since(self, base: Self) -> i64 {
        self.0 - base.0
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A byte's place in one segment file. Never mixed with [`Offset`]: an offset counts records.
///
/// 32 bits, because Kafka's indexes hold no more: a segment ends before 2 GiB.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position(u32);

impl Position {
    /// The first byte of a file.
    pub const ZERO: Self = Self(0);

    /// Byte number `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The place `bytes` further on, or `None` past the 32 bits.
    #[must_use]
    pub const fn checked_add(self, bytes: u32) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a partition's leader. −1 for none; rises, never falls (KIP-101).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LeaderEpoch(i32);

impl LeaderEpoch {
    /// No epoch known.
    pub const NONE: Self = Self(-1);
    /// The epoch of a new log.
    pub const ZERO: Self = Self(0);

    /// Epoch `value`; anything below −1 is no epoch and gives `None`.
    #[must_use]
    pub const fn new(value: i32) -> Option<Self> {
        if value < -1 { None } else { Some(Self(value)) }
    }

    /// The number, −1 or more.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The epoch after this one; stays at `i32::MAX`.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for LeaderEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since the Unix epoch, as a record carries them. −1 for none; may jump.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TimestampMs(i64);

impl TimestampMs {
    /// No timestamp.
    pub const NONE: Self = Self(-1);

    /// `value` milliseconds since the epoch. Any value is representable.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_never_negative() {
        assert_eq!(Offset::new(-1), None);
        assert_eq!(Offset::ZERO.checked_add(-1), None);
        assert_eq!(Offset::MAX.checked_add(1), None);
        assert_eq!(Offset::new(5).map(|o| o.since(Offset::ZERO)), Some(5));
    }

    #[test]
    fn a_position_does_not_wrap() {
        assert_eq!(Position::new(u32::MAX).checked_add(1), None);
    }
}
