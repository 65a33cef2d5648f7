//! Who wrote a batch, in which life, and the how-manieth it is (KIP-98).

use core::fmt;

/// A producer's number, given out once and never reused. −1 for none.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProducerId(i64);

impl ProducerId {
    /// The batch has no producer.
    pub const NONE: Self = Self(-1);

    /// Producer `value`; anything below −1 gives `None`.
    #[must_use]
    pub const fn new(value: i64) -> Option<Self> {
        if value < -1 { None } else { Some(Self(value)) }
    }

    /// The number, −1 or more.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether this names a producer.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 >= 0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One life of a producer. −1 for none; a higher epoch fences a lower one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProducerEpoch(i16);

impl ProducerEpoch {
    /// The batch has no producer.
    pub const NONE: Self = Self(-1);

    /// Epoch `value`; anything below −1 gives `None`.
    #[must_use]
    pub const fn new(value: i16) -> Option<Self> {
        if value < -1 { None } else { Some(Self(value)) }
    }

    /// The number, −1 or more.
    #[must_use]
    pub const fn get(self) -> i16 {
        self.0
    }
}

impl fmt::Display for ProducerEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record's number among those of one producer epoch: 0 to `i32::MAX`, then 0 again. −1 for none.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Sequence(i32);

impl Sequence {
    /// The batch has no sequence.
    pub const NONE: Self = Self(-1);
    /// The first sequence of an epoch.
    pub const ZERO: Self = Self(0);

    /// Sequence `value`; anything below −1 gives `None`.
    #[must_use]
    pub const fn new(value: i32) -> Option<Self> {
        if value < -1 { None } else { Some(Self(value)) }
    }

    /// The number, −1 or more.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }

    /// The sequence `records` later, past `i32::MAX` on from 0 (`incrementSequence` of
    /// `DefaultRecordBatch`). `records` must not be negative; a negative one counts as 0.
    #[must_use]
    pub const fn increment(self, records: i32) -> Self {
        let records = if records < 0 { 0 } else { records };
        if self.0 > i32::MAX - records {
            Self(records - (i32::MAX - self.0) - 1)
        } else {
            Self(self.0 + records)
        }
    }

    /// The sequence `records` earlier, before 0 on from `i32::MAX` (`decrementSequence`).
    /// `records` must not be negative; a negative one counts as 0.
    #[must_use]
    pub const fn decrement(self, records: i32) -> Self {
        let records = if records < 0 { 0 } else { records };
        if self.0 < records {
            Self(i32::MAX - (records - self.0) + 1)
        } else {
            Self(self.0 - records)
        }
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_at_the_largest_positive_number() {
        let last = Sequence::new(i32::MAX).unwrap();
        assert_eq!(last.increment(1), Sequence::ZERO);
        assert_eq!(Sequence::ZERO.decrement(1), last);
        assert_eq!(Sequence::new(i32::MAX - 1).unwrap().increment(3).get(), 1);
        assert_eq!(Sequence::new(1).unwrap().decrement(3).get(), i32::MAX - 1);
    }
}
