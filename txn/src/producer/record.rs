//! What is sent, and where it went.

use log_core::format::RecordHeader;
use log_core::ids::TimestampMs;
use log_core::{Offset, TopicName, TopicPartition};

/// A record to be sent. Borrows everything: sending copies the bytes into a batch at once.
///
/// ```
/// # use txn::ProducerRecord;
/// let topic = "orders".parse()?;
/// let record = ProducerRecord::new(&topic).key(b"customer 7").value(b"two apples");
/// # let _ = record;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a record goes nowhere until it is sent"]
pub struct ProducerRecord<'a> {
    pub(super) topic: &'a TopicName,
    pub(super) partition: Option<u32>,
    pub(super) timestamp: Option<TimestampMs>,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [RecordHeader<'a>],
}

impl<'a> ProducerRecord<'a> {
    /// A record of `topic` with neither key nor value.
    pub const fn new(topic: &'a TopicName) -> Self {
        Self { topic, partition: None, timestamp: None, key: None, value: None, headers: &[] }
    }

    /// Its key: equal keys go to one partition, unless a partition is given.
    pub const fn key(self, key: &'a [u8]) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Its value. Without one it is a tombstone in a compacted topic.
    pub const fn value(self, value: &'a [u8]) -> Self {
        Self { value: Some(value), ..self }
    }

    /// Its headers, in order.
    pub const fn headers(self, headers: &'a [RecordHeader<'a>]) -> Self {
        Self { headers, ..self }
    }

    /// The partition it goes to, whatever its key.
    pub const fn partition(self, partition: u32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// Its time; by default the moment it is sent.
    pub const fn timestamp(self, timestamp: TimestampMs) -> Self {
        Self { timestamp: Some(timestamp), ..self }
    }

    /// At most how many bytes it takes up in a batch.
    pub(super) fn bytes_max(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self
            .headers
            .iter()
            .map(|header| header.key.len() + length(header.value) + 2 * VARINT_BYTES_MAX);
        let headers: usize = headers.sum();
        length(self.key) + length(self.value) + headers + RECORD_OVERHEAD_BYTES
    }
}

/// Most bytes of a length in a record.
const VARINT_BYTES_MAX: usize = 5;
/// Length, attributes, timestamp delta, offset delta, key and value lengths, header count (Kafka
/// `DefaultRecord.MAX_RECORD_OVERHEAD` is the same sum without the lengths of key and value).
const RECORD_OVERHEAD_BYTES: usize = 5 * VARINT_BYTES_MAX + 1 + 10;

/// Where a record went.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// Its time, as it stands in the log.
    pub timestamp: TimestampMs,
}
