//! A topic's settings: what it says for itself, over what the store says for all.
//!
//! ```text
//!   TopicConfig     only what was set, by Kafka's names     kept in a file beside the topic
//!        over
//!   TopicSettings   every number, from the store's builder
//!        =
//!   LiveSettings    what a partition goes by now            changed without a reopening
//! ```
//!
//! Source: Kafka `TopicConfig`, `LogConfig`. One default differs: Kafka deletes records after 7 days,
//! this log deletes nothing unless it is asked to.

use core::fmt;
use core::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use core::time::Duration;

use super::{KIB, MIB};

/// No limit, as Kafka writes it.
const UNLIMITED: i64 = -1;

const SEGMENT_BYTES: &str = "segment.bytes";
const SEGMENT_MS: &str = "segment.ms";
const INDEX_INTERVAL_BYTES: &str = "index.interval.bytes";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const RETENTION_MS: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";

/// Settings of one topic; what is not set here follows the store.
///
/// ```
/// use core::time::Duration;
/// use log_core::{Store, TopicConfig};
///
/// let store = Store::in_memory();
/// let config = TopicConfig::new().retention_age_max(Duration::from_hours(24));
/// store.create_topic_with(&"clicks".parse()?, 4, config)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct TopicConfig {
    segment_bytes_max: Option<u32>,
    segment_ms: Option<i64>,
    index_interval_bytes: Option<u32>,
    message_bytes_max: Option<u32>,
    retention_ms: Option<i64>,
    retention_bytes: Option<i64>,
}

impl TopicConfig {
    /// Everything as the store has it.
    pub const fn new() -> Self {
        Self {
            segment_bytes_max: None,
            segment_ms: None,
            index_interval_bytes: None,
            message_bytes_max: None,
            retention_ms: None,
            retention_bytes: None,
        }
    }

    /// Bytes after which a segment rolls, 4 KiB to 2 GiB − 1 (`segment.bytes`).
    pub const fn segment_bytes_max(mut self, bytes: u32) -> Self {
        self.segment_bytes_max = Some(bytes);
        self
    }

    /// Time between the first record and the last of a segment (`segment.ms`).
    pub fn segment_age_max(mut self, age: Duration) -> Self {
        self.segment_ms = Some(millis(age));
        self
    }

    /// Bytes of log for one entry of the offset index (`index.interval.bytes`).
    pub const fn index_interval_bytes(mut self, bytes: u32) -> Self {
        self.index_interval_bytes = Some(bytes);
        self
    }

    /// Bytes of the largest batch a client may append (`max.message.bytes`).
    pub const fn message_bytes_max(mut self, bytes: u32) -> Self {
        self.message_bytes_max = Some(bytes);
        self
    }

    /// Age, by their records' largest timestamp, at which segments are deleted (`retention.ms`).
    pub fn retention_age_max(mut self, age: Duration) -> Self {
        self.retention_ms = Some(millis(age));
        self
    }

    /// Bytes of a partition that are kept: its oldest segments are deleted as long as the rest has
    /// at least as many (`retention.bytes`).
    pub fn retention_bytes_max(mut self, bytes: u64) -> Self {
        self.retention_bytes = Some(i64::try_from(bytes).unwrap_or(i64::MAX));
        self
    }

    /// Deletes nothing, whatever the store says (`retention.ms=-1`, `retention.bytes=-1`).
    pub const fn retention_unlimited(mut self) -> Self {
        self.retention_ms = Some(UNLIMITED);
        self.retention_bytes = Some(UNLIMITED);
        self
    }

    /// What was set, as Kafka's name and value, in a fixed order.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, i64)> {
        [
            (SEGMENT_BYTES, self.segment_bytes_max.map(i64::from)),
            (SEGMENT_MS, self.segment_ms),
            (INDEX_INTERVAL_BYTES, self.index_interval_bytes.map(i64::from)),
            (MAX_MESSAGE_BYTES, self.message_bytes_max.map(i64::from)),
            (RETENTION_MS, self.retention_ms),
            (RETENTION_BYTES, self.retention_bytes),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Sets one by Kafka's name; `None` if there is no such setting or it cannot have that value.
    pub(crate) fn set(&mut self, name: &str, value: i64) -> Option<()> {
        let unsigned = u32::try_from(value);
        match name {
            SEGMENT_BYTES => self.segment_bytes_max = Some(unsigned.ok()?),
            INDEX_INTERVAL_BYTES => self.index_interval_bytes = Some(unsigned.ok()?),
            MAX_MESSAGE_BYTES => self.message_bytes_max = Some(unsigned.ok()?),
            SEGMENT_MS if value >= 0 => self.segment_ms = Some(value),
            RETENTION_MS if value >= UNLIMITED => self.retention_ms = Some(value),
            RETENTION_BYTES if value >= UNLIMITED => self.retention_bytes = Some(value),
            _ => return None,
        }
        Some(())
    }

    /// Every number: this topic's own where it has one, else the store's.
    pub(crate) fn over(&self, defaults: &TopicSettings) -> TopicSettings {
        TopicSettings {
            segment_bytes_max: self.segment_bytes_max.unwrap_or(defaults.segment_bytes_max),
            segment_ms: self.segment_ms.unwrap_or(defaults.segment_ms),
            index_interval_bytes: self
                .index_interval_bytes
                .unwrap_or(defaults.index_interval_bytes),
            message_bytes_max: self.message_bytes_max.unwrap_or(defaults.message_bytes_max),
            retention_ms: self.retention_ms.unwrap_or(defaults.retention_ms),
            retention_bytes: self.retention_bytes.unwrap_or(defaults.retention_bytes),
        }
    }
}

pub(crate) fn millis(age: Duration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

/// Every number a topic goes by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TopicSettings {
    /// A segment rolls before it grows past this (`segment.bytes`).
    pub(crate) segment_bytes_max: u32,
    /// A segment rolls when its records span more than this many milliseconds (`segment.ms`).
    pub(crate) segment_ms: i64,
    /// One offset index entry per this many bytes (`index.interval.bytes`).
    pub(crate) index_interval_bytes: u32,
    /// The largest batch taken from a client (`max.message.bytes`).
    pub(crate) message_bytes_max: u32,
    /// Segments older than this many milliseconds are deleted (`retention.ms`); −1 for none.
    pub(crate) retention_ms: i64,
    /// Bytes that are kept (`retention.bytes`); −1 for all.
    pub(crate) retention_bytes: i64,
}

impl TopicSettings {
    /// Whether nothing is ever deleted for its age or for want of room.
    pub(crate) const fn is_unlimited(&self) -> bool {
        self.retention_ms < 0 && self.retention_bytes < 0
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            segment_bytes_max: 1024 * MIB,
            segment_ms: 7 * 24 * 3_600_000,
            index_interval_bytes: 4 * KIB,
            message_bytes_max: MIB + 12,
            retention_ms: UNLIMITED,
            retention_bytes: UNLIMITED,
        }
    }
}

/// A partition's settings as of now. Each is read on its own: no two of them have to agree.
pub(crate) struct LiveSettings {
    segment_bytes_max: AtomicU32,
    segment_ms: AtomicI64,
    index_interval_bytes: AtomicU32,
    message_bytes_max: AtomicU32,
    retention_ms: AtomicI64,
    retention_bytes: AtomicI64,
}

// Relaxed throughout: a number that is read a moment late changes no answer that was given.
impl LiveSettings {
    pub(crate) const fn new(settings: &TopicSettings) -> Self {
        Self {
            segment_bytes_max: AtomicU32::new(settings.segment_bytes_max),
            segment_ms: AtomicI64::new(settings.segment_ms),
            index_interval_bytes: AtomicU32::new(settings.index_interval_bytes),
            message_bytes_max: AtomicU32::new(settings.message_bytes_max),
            retention_ms: AtomicI64::new(settings.retention_ms),
            retention_bytes: AtomicI64::new(settings.retention_bytes),
        }
    }

    pub(crate) fn set(&self, settings: &TopicSettings) {
        self.segment_bytes_max.store(settings.segment_bytes_max, Ordering::Relaxed);
        self.segment_ms.store(settings.segment_ms, Ordering::Relaxed);
        self.index_interval_bytes.store(settings.index_interval_bytes, Ordering::Relaxed);
        self.message_bytes_max.store(settings.message_bytes_max, Ordering::Relaxed);
        self.retention_ms.store(settings.retention_ms, Ordering::Relaxed);
        self.retention_bytes.store(settings.retention_bytes, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> TopicSettings {
        TopicSettings {
            segment_bytes_max: self.segment_bytes_max(),
            segment_ms: self.segment_ms.load(Ordering::Relaxed),
            index_interval_bytes: self.index_interval_bytes(),
            message_bytes_max: self.message_bytes_max(),
            retention_ms: self.retention_ms.load(Ordering::Relaxed),
            retention_bytes: self.retention_bytes.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn segment_bytes_max(&self) -> u32 {
        self.segment_bytes_max.load(Ordering::Relaxed)
    }

    pub(crate) fn segment_ms(&self) -> i64 {
        self.segment_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn index_interval_bytes(&self) -> u32 {
        self.index_interval_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn message_bytes_max(&self) -> u32 {
        self.message_bytes_max.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for LiveSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_topic_does_not_say_follows_the_store() {
        let store = TopicSettings { segment_ms: 5, retention_bytes: 9, ..TopicSettings::default() };
        let topic = TopicConfig::new().segment_bytes_max(8192).retention_unlimited();
        let settings = topic.over(&store);
        assert_eq!((settings.segment_bytes_max, settings.segment_ms), (8192, 5));
        assert_eq!((settings.retention_ms, settings.retention_bytes), (-1, -1));
        assert_eq!(TopicConfig::new().over(&store), store);
    }

    #[test]
    fn every_setting_goes_by_kafkas_name_and_back() {
        let config = TopicConfig::new()
            .segment_bytes_max(1)
            .segment_age_max(Duration::from_secs(2))
            .index_interval_bytes(3)
            .message_bytes_max(4)
            .retention_age_max(Duration::from_secs(5))
            .retention_bytes_max(6);
        let mut read = TopicConfig::new();
        for (name, value) in config.entries() {
            read.set(name, value).unwrap();
        }
        assert_eq!(read, config);
        assert_eq!(config.entries().count(), 6);
        for (name, value) in [("cleanup", 1), ("segment.bytes", -1), ("retention.ms", -2)] {
            assert_eq!(read.set(name, value), None, "{name}");
        }
    }

    #[test]
    fn a_live_setting_is_what_it_was_last_set_to() {
        let live = LiveSettings::new(&TopicSettings::default());
        let settings = TopicConfig::new().retention_bytes_max(7).over(&TopicSettings::default());
        live.set(&settings);
        assert_eq!(live.get(), settings);
    }
}
