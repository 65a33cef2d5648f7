//! Which segments have had their time (Kafka `UnifiedLog.deleteOldSegments`).
//!
//! ```text
//!   ├ oldest ┼ … ┼ active ┤        from the oldest on, up to the first that stays:
//!     below the log's start          always
//!     size                           as long as the rest has at least retention.bytes
//!     age                            largest timestamp older than retention.ms
//! ```
//!
//! Nothing above the durable end goes. The active segment goes only if all go and it is not empty: a
//! new one is rolled first, so a log always has one.
//!
//! Time is told by a clock that may be wrong, and a wrong clock must not delete everything: what
//! counts as now is capped by [`Now`].

use core::time::Duration;

use crate::clock::Tick;
use crate::ids::{Offset, TimestampMs};

/// A segment, as far as its end is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Where the next one begins, or the log's end.
    pub(crate) next: Offset,
    pub(crate) bytes: u64,
    /// The largest timestamp in it; negative if none is known.
    pub(crate) largest: TimestampMs,
}

/// The limits; negative for none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) retention_ms: i64,
    pub(crate) retention_bytes: i64,
}

/// Where a log could begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    pub(crate) log_start: Offset,
    /// Whether that leaves nothing, so that an empty segment must be rolled for it.
    pub(crate) all: bool,
}

/// Where the log of `segments`, oldest first, should begin; `None` if it may stay as it is.
pub(crate) fn plan(
    segments: &[Held],
    log_start: Offset,
    durable: Offset,
    limits: &Limits,
    now: TimestampMs,
) -> Option<Plan> {
    let total: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let mut surplus = match u64::try_from(limits.retention_bytes) {
        Ok(kept) => total.saturating_sub(kept),
        Err(_) => 0,
    };
    let mut goes = 0;
    for (index, segment) in segments.iter().enumerate() {
        let active = index + 1 == segments.len();
        let below = !active && segment.next <= log_start;
        let large = limits.retention_bytes >= 0 && segment.bytes <= surplus;
        let old = limits.retention_ms >= 0
            && segment.largest.get() >= 0
            && now.get().saturating_sub(segment.largest.get()) > limits.retention_ms;
        let empty = segment.bytes == 0;
        if segment.next > durable || empty || !(below || large || old) {
            break;
        }
        surplus = surplus.saturating_sub(segment.bytes);
        goes = index + 1;
    }
    let last = segments.get(goes.checked_sub(1)?)?;
    let all = goes == segments.len();
    let news = all || last.next > log_start || goes > 0;
    news.then_some(Plan { log_start: last.next.max(log_start), all })
}

/// What counts as now: the wall clock, but no later than the log has reason to believe.
///
/// ```text
///   anchor        when the log was opened: the latest time any of its records or files shows
///   anchor + elapsed time since, and the latest timestamp seen since     the cap
/// ```
///
/// A clock that jumps ahead by years deletes nothing before the years have passed, or records that
/// carry its time have come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    anchor: TimestampMs,
    since: Tick,
}

impl Now {
    /// A log whose latest sign of time was `anchor` when the elapsed time was `since`.
    pub(crate) const fn at(anchor: TimestampMs, since: Tick) -> Self {
        Self { anchor, since }
    }

    /// The time to go by, `seen` being the latest timestamp in the log.
    pub(crate) fn capped(&self, wall: TimestampMs, tick: Tick, seen: TimestampMs) -> TimestampMs {
        let elapsed: Duration = tick.since(self.since);
        let elapsed = i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let reached = TimestampMs::new(self.anchor.get().saturating_add(elapsed));
        wall.min(reached.max(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(value: i64) -> Offset {
        Offset::new(value).unwrap()
    }

    /// Segments of 10 offsets and 100 bytes each, with these largest timestamps.
    fn held(largest: &[i64]) -> Vec<Held> {
        let segment = |(index, largest): (usize, &i64)| Held {
            next: at(10 * (i64::try_from(index).unwrap() + 1)),
            bytes: 100,
            largest: TimestampMs::new(*largest),
        };
        largest.iter().enumerate().map(segment).collect()
    }

    const NONE: Limits = Limits { retention_ms: -1, retention_bytes: -1 };

    fn start(
        segments: &[Held],
        log_start: i64,
        durable: i64,
        limits: Limits,
    ) -> Option<(i64, bool)> {
        plan(segments, at(log_start), at(durable), &limits, TimestampMs::new(1_000))
            .map(|plan| (plan.log_start.get(), plan.all))
    }

    #[test]
    fn b29_segments_below_the_logs_start_go_whole() {
        let segments = held(&[1, 1, 1]);
        assert_eq!(start(&segments, 1, 30, NONE), None);
        assert_eq!(start(&segments, 10, 30, NONE), Some((10, false)));
        assert_eq!(start(&segments, 16, 30, NONE), Some((16, false)));
        assert_eq!(start(&segments, 30, 30, NONE), Some((30, false)), "the active one stays");
    }

    #[test]
    fn b32_as_much_as_is_to_be_kept_stays() {
        let segments = held(&[1, 1, 1]);
        let keep = |bytes| Limits { retention_bytes: bytes, ..NONE };
        assert_eq!(start(&segments, 0, 30, keep(300)), None);
        assert_eq!(start(&segments, 0, 30, keep(201)), None);
        assert_eq!(start(&segments, 0, 30, keep(200)), Some((10, false)));
        assert_eq!(start(&segments, 0, 30, keep(101)), Some((10, false)));
        assert_eq!(start(&segments, 0, 30, keep(100)), Some((20, false)));
        assert_eq!(start(&segments, 0, 30, keep(0)), Some((30, true)));
    }

    #[test]
    fn b31_nothing_above_the_durable_end_goes() {
        let segments = held(&[1, 1, 1]);
        let old = Limits { retention_ms: 10, ..NONE };
        for durable in 0..=30 {
            let expected = match durable {
                0..10 => None,
                10..20 => Some((10, false)),
                20..30 => Some((20, false)),
                _ => Some((30, true)),
            };
            assert_eq!(start(&segments, 0, durable, old), expected, "durable {durable}");
        }
        let mut empty = held(&[1, 1, 1]);
        empty.push(Held { next: at(30), bytes: 0, largest: TimestampMs::NONE });
        assert_eq!(start(&empty, 0, 30, old), Some((30, false)), "an empty active one stays");
    }

    #[test]
    fn age_is_that_of_the_youngest_record_and_the_first_segment_that_stays_ends_it() {
        let old = Limits { retention_ms: 500, ..NONE };
        assert_eq!(start(&held(&[499, 499, 1000]), 0, 30, old), Some((20, false)));
        assert_eq!(start(&held(&[500, 1, 1]), 0, 30, old), None, "exactly as old as may be");
        assert_eq!(start(&held(&[1, 5000, 1]), 0, 30, old), Some((10, false)), "from the future");
        assert_eq!(start(&held(&[-1, 1, 1]), 0, 30, old), None, "of no known age");
    }

    #[test]
    fn row_97_a_clock_that_jumps_ahead_is_not_believed() {
        let now = Now::at(TimestampMs::new(1_000), Tick::default());
        let later = Tick::default().after(Duration::from_millis(50));
        let seen = TimestampMs::new(900);
        let capped = |wall, tick, seen| now.capped(TimestampMs::new(wall), tick, seen).get();
        assert_eq!(capped(1_050, later, seen), 1_050, "a clock that goes right");
        assert_eq!(capped(i64::MAX, later, seen), 1_050, "ten years ahead");
        assert_eq!(capped(20, later, seen), 20, "a day back");
        assert_eq!(capped(9_000, later, TimestampMs::new(8_000)), 8_000, "records say so too");
        assert_eq!(capped(500, later, TimestampMs::new(8_000)), 500, "one record is no clock");
    }
}
