//! When a segment is full, old, or out of numbers (Kafka `LogSegment.shouldRoll`).
//!
//! A roll happens only on an append: an idle partition never rolls.

use crate::ids::{Offset, TimestampMs};

/// What an append brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming {
    pub(crate) bytes: u32,
    pub(crate) last_offset: Offset,
    pub(crate) max_timestamp: TimestampMs,
}

/// What the active segment is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Active {
    pub(crate) base: Offset,
    pub(crate) bytes: u32,
    /// Largest timestamp of its first batch, once it has one.
    pub(crate) first_timestamp: Option<TimestampMs>,
    pub(crate) created: TimestampMs,
    pub(crate) index_full: bool,
}

/// The limits of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) segment_bytes_max: u32,
    /// Age in milliseconds (`segment.ms`).
    pub(crate) segment_ms: i64,
}

/// Whether `incoming` starts a new segment.
pub(crate) fn should_roll(
    active: &Active,
    incoming: &Incoming,
    limits: &Limits,
    now: TimestampMs,
) -> bool {
    let full = active.bytes > limits.segment_bytes_max.saturating_sub(incoming.bytes);
    let out_of_numbers = incoming.last_offset.since(active.base) > i64::from(i32::MAX);
    if active.bytes == 0 {
        // An empty segment is never too full for its first batch, only too far from it.
        return out_of_numbers;
    }
    let waited = match active.first_timestamp {
        Some(first) if first.get() >= 0 => incoming.max_timestamp.get().saturating_sub(first.get()),
        _ => now.get().saturating_sub(active.created.get()),
    };
    full || out_of_numbers || active.index_full || waited > limits.segment_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { segment_bytes_max: 1000, segment_ms: 3_600_000 };

    fn active(bytes: u32) -> Active {
        Active {
            base: Offset::ZERO,
            bytes,
            first_timestamp: Some(TimestampMs::new(1_000)),
            created: TimestampMs::new(1_000),
            index_full: false,
        }
    }

    fn incoming(bytes: u32, last_offset: i64, max_timestamp: i64) -> Incoming {
        Incoming {
            bytes,
            last_offset: Offset::new(last_offset).unwrap(),
            max_timestamp: TimestampMs::new(max_timestamp),
        }
    }

    #[test]
    fn rolls_at_the_first_byte_too_many() {
        let now = TimestampMs::new(1_000);
        assert!(!should_roll(&active(900), &incoming(100, 9, 1_000), &LIMITS, now));
        assert!(should_roll(&active(900), &incoming(101, 9, 1_000), &LIMITS, now));
    }

    #[test]
    fn rolls_by_the_records_own_time_or_by_the_wall_where_they_have_none() {
        let now = TimestampMs::new(1_000);
        assert!(!should_roll(&active(1), &incoming(1, 9, 3_601_000), &LIMITS, now));
        assert!(should_roll(&active(1), &incoming(1, 9, 3_601_001), &LIMITS, now));
        let unstamped = Active { first_timestamp: Some(TimestampMs::NONE), ..active(1) };
        assert!(!should_roll(&unstamped, &incoming(1, 9, i64::MAX), &LIMITS, now));
        assert!(should_roll(&unstamped, &incoming(1, 9, -1), &LIMITS, TimestampMs::new(3_601_001)));
        assert!(!should_roll(&active(1), &incoming(1, 9, -1), &LIMITS, TimestampMs::new(i64::MAX)));
    }

    #[test]
    fn rolls_before_a_relative_offset_leaves_31_bits() {
        let now = TimestampMs::new(1_000);
        let last = i64::from(i32::MAX);
        assert!(!should_roll(&active(0), &incoming(1, last, 0), &LIMITS, now));
        assert!(should_roll(&active(0), &incoming(1, last + 1, 0), &LIMITS, now));
        assert!(should_roll(
            &Active { index_full: true, ..active(1) },
            &incoming(1, 9, 0),
            &LIMITS,
            now
        ));
    }
}
