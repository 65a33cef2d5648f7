//! A store's settings: built, then checked once, so that what runs can only be sound.
//!
//! Every limit names its reason. A relation between two settings is checked in
//! [`Settings::check`], and the refusal names both.

use core::time::Duration;

mod topic;

use crate::model::producers::ProducerLimits;
pub use topic::TopicConfig;
pub(crate) use topic::{LiveSettings, TopicSettings, millis};

/// How far an append must have come before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the promise knows three levels")]
pub enum Durability {
    /// In our memory, with its offset: lost if the process dies (Kafka's `acks=0`).
    Buffered,
    /// The kernel reported the whole write: outlives the process, not power loss (`acks=1`).
    Written,
    /// A flush that began after the write succeeded: outlives power loss (`acks=all`).
    #[default]
    Synced,
}

/// How far readers see.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Visibility {
    /// Up to the durable end: nothing that was read can vanish at a power loss.
    #[default]
    Synced,
    /// Up to the written end: sooner, and a power loss may take back what was read.
    Written,
}

/// What to do with a partition whose durable part is damaged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnDamage {
    /// Open it, refuse appends, read around the damage.
    #[default]
    ReadOnly,
    /// Do not open the store.
    Refuse,
}

/// What a producer may begin with, of which a partition knows nothing (any more).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum UnknownProducers {
    /// Sequence 0, else `UnknownProducerId`: no batch can overtake one that was lost, and none that
    /// was forgotten is appended again.
    #[default]
    Refuse,
    /// Any sequence, as Kafka does (KAFKA-7190): exactly-once then rests on a client that sends
    /// what may be lost again in order, and before its producer expires.
    Accept,
}

/// How a durable append reaches the device.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum FlushMethod {
    /// Write, then `fdatasync`.
    #[default]
    Sync,
    /// `RWF_DSYNC` where the write is the only unflushed one, else as [`FlushMethod::Sync`].
    OwnRange,
}

/// Who runs a store's I/O.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Drive {
    /// A thread of the store's own, and appenders that wait.
    #[default]
    Thread,
    /// Every append runs its I/O to the end before it returns: for stores in memory.
    Inline,
    /// Nobody but [`Store::turn`](crate::Store::turn): for simulations.
    Manual,
}

/// The numbers and choices of a store.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What topics go by that do not say otherwise.
    pub(crate) topic: TopicSettings,
    /// Partitions of a topic that is made when it is first asked for; 0 if none is.
    pub(crate) auto_create_partitions: u32,
    /// Bytes of a partition written or in flight but not known flushed: what a power cut can
    /// scatter, and so how far recovery looks past a bad place before it calls it a torn tail.
    pub(crate) unflushed_bytes_max: u32,
    /// Bytes of a partition accepted but not yet written; above it appends wait.
    pub(crate) buffer_bytes_max: u32,
    /// What the records of one batch may unpack to: the memory a few hostile bytes can ask for.
    pub(crate) decompressed_bytes_max: u32,
    /// Newly durable bytes after which the watermark is written down.
    pub(crate) watermark_bytes: u32,
    /// New bytes of a segment after which a recovery checkpoint is written: what an unclean open
    /// has to scan at most, in round numbers.
    pub(crate) checkpoint_bytes: u32,
    /// Longest time the watermark lags behind.
    pub(crate) watermark_interval: Duration,
    /// Time between two looks at what retention would delete.
    pub(crate) retention_check_interval: Duration,
    /// Longest time an unasked-for flush waits.
    pub(crate) flush_interval: Duration,
    /// A producer that appended nothing for so long is forgotten (`producer.id.expiration.ms`).
    pub(crate) producer_expiration: Duration,
    /// Producers a partition remembers before it refuses new ones: 96 to 192 bytes each.
    pub(crate) producers_max: u32,
    pub(crate) unknown_producers: UnknownProducers,
    /// Idle files kept open; `None` goes by the limit of the process.
    pub(crate) open_files_max: Option<u32>,
    pub(crate) visibility: Visibility,
    pub(crate) on_damage: OnDamage,
    pub(crate) flush_method: FlushMethod,
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// Largest segment: positions in Kafka's indexes are signed 32-bit.
const SEGMENT_BYTES_LIMIT: u32 = i32::MAX.unsigned_abs();
/// Smallest segment: one block, the unit of a write.
const SEGMENT_BYTES_MIN: u32 = 4 * KIB;
/// Smallest batch limit: an empty batch's header and one small record.
const MESSAGE_BYTES_MIN: u32 = 128;

impl Default for Settings {
    fn default() -> Self {
        Self {
            topic: TopicSettings::default(),
            auto_create_partitions: 0,
            unflushed_bytes_max: 16 * MIB,
            buffer_bytes_max: 32 * MIB,
            decompressed_bytes_max: 64 * MIB,
            watermark_bytes: 8 * MIB,
            checkpoint_bytes: 64 * MIB,
            watermark_interval: Duration::from_secs(1),
            retention_check_interval: Duration::from_mins(5),
            flush_interval: Duration::from_millis(10),
            producer_expiration: Duration::from_hours(24),
            producers_max: 1_000_000,
            unknown_producers: UnknownProducers::Refuse,
            open_files_max: None,
            visibility: Visibility::Synced,
            on_damage: OnDamage::ReadOnly,
            flush_method: FlushMethod::Sync,
        }
    }
}

/// Two settings that contradict each other, or one that is out of bounds.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{setting} is {value}, but {rule}")]
#[non_exhaustive]
pub struct SettingsError {
    /// The setting to change.
    pub setting: &'static str,
    /// What it was set to.
    pub value: u64,
    /// What it has to be.
    pub rule: String,
}

impl Settings {
    /// Bytes of a partition submitted but not known flushed. Half of what recovery reckons with:
    /// the other half is for the batch that the durable end may stand in.
    pub(crate) const fn in_flight_bytes_max(&self) -> u32 {
        self.unflushed_bytes_max / 2
    }

    /// Bytes of one append call: the other half.
    pub(crate) const fn append_bytes_max(&self) -> u32 {
        self.unflushed_bytes_max / 2
    }

    /// The bounds of a partition's memory of producers.
    pub(crate) fn producer_limits(&self) -> ProducerLimits {
        ProducerLimits {
            expiration: self.producer_expiration,
            producers_max: self.producers_max,
            accept_unknown: self.unknown_producers == UnknownProducers::Accept,
        }
    }

    /// Refuses what cannot run.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        bounds(
            "unflushed_bytes_max",
            self.unflushed_bytes_max,
            2 * SEGMENT_BYTES_MIN..=1024 * MIB,
            "two blocks must be able to wait for a flush",
        )?;
        bounds(
            "buffer_bytes_max",
            self.buffer_bytes_max,
            0..=SEGMENT_BYTES_LIMIT,
            "positions in a buffer are those of a segment",
        )?;
        bounds(
            "decompressed_bytes_max",
            self.decompressed_bytes_max,
            MESSAGE_BYTES_MIN..=SEGMENT_BYTES_LIMIT,
            "a record must fit, and no batch of the format holds more",
        )?;
        self.check_topic(&self.topic)
    }

    /// Refuses a topic's settings that cannot run in a store of these.
    pub(crate) fn check_topic(&self, topic: &TopicSettings) -> Result<(), SettingsError> {
        bounds(
            "segment_bytes_max",
            topic.segment_bytes_max,
            SEGMENT_BYTES_MIN..=SEGMENT_BYTES_LIMIT,
            "a segment holds a block, and its index counts bytes in 31 bits",
        )?;
        bounds(
            "message_bytes_max",
            topic.message_bytes_max,
            MESSAGE_BYTES_MIN..=SEGMENT_BYTES_LIMIT,
            "a header and one record must fit, and a segment must be able to hold it",
        )?;
        bounds(
            "message_bytes_max",
            topic.message_bytes_max,
            MESSAGE_BYTES_MIN..=self.append_bytes_max(),
            "it may be at most half of unflushed_bytes_max, or recovery could not tell a torn batch \
             from a damaged one",
        )?;
        bounds(
            "buffer_bytes_max",
            self.buffer_bytes_max,
            topic.message_bytes_max..=SEGMENT_BYTES_LIMIT,
            "a batch of message_bytes_max must fit into the buffer",
        )
    }
}

fn bounds(
    setting: &'static str,
    value: u32,
    legal: core::ops::RangeInclusive<u32>,
    why: &str,
) -> Result<(), SettingsError> {
    if legal.contains(&value) {
        return Ok(());
    }
    let rule = format!("it must be from {} to {}: {why}", legal.start(), legal.end());
    Err(SettingsError { setting, value: value.into(), rule })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(Settings::default().check(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_setting_and_the_rule() {
        let topic = TopicSettings { segment_bytes_max: 0, ..TopicSettings::default() };
        let settings = Settings { topic, ..Settings::default() };
        assert_eq!(settings.check().unwrap_err().setting, "segment_bytes_max");
        let settings = Settings { buffer_bytes_max: 4096, ..Settings::default() };
        let refusal = settings.check().unwrap_err().to_string();
        assert!(refusal.contains("message_bytes_max"), "{refusal}");
    }
}
