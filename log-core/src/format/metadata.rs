//! The small files that say what a directory is: `partition.metadata`, `meta.properties` and
//! `.kafka_cleanshutdown`.
//!
//! ```text
//!   partition.metadata          meta.properties                .kafka_cleanshutdown
//!   version: 0                  #written by …                  {"version":0,"brokerEpoch":7}
//!   topic_id: bBP…22 chars      version=1
//!                               node.id=1
//!                               cluster.id=MkU3OEVBNTcwNTJENDM2Qk
//!                               directory.id=…22 chars
//! ```
//!
//! Source: Kafka `PartitionMetadata`, `MetaProperties`, `CleanShutdownFileHandler`, KIP-516, KIP-858.

use core::fmt;
use std::collections::BTreeMap;

use crate::ids::TopicId;

/// Name of the file in a partition's directory that names its topic's id.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";
/// Name of the file in a log directory that says whose it is.
pub const META_PROPERTIES_FILE: &str = "meta.properties";
/// Name of the file in a log directory that says that it was closed in order.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// Largest of these files that is read.
pub const METADATA_BYTES_MAX: usize = 64 << 10;
const CLUSTER_ID_BYTES_MAX: usize = 255;
/// Characters of a bad line that an error quotes.
const QUOTED_CHARS_MAX: usize = 80;

/// Why one of these files cannot be read, or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Too large to be one.
    #[error(
        "{file} has {bytes} bytes, more than the {METADATA_BYTES_MAX} that are read: correct or remove it"
    )]
    TooLarge {
        /// The file's name.
        file: &'static str,
        /// Bytes given.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("{file} is no text: {source}; correct or remove it")]
    Text {
        /// The file's name.
        file: &'static str,
        /// Where it ceases to be.
        source: core::str::Utf8Error,
    },
    /// A line that does not belong there.
    #[error("line {line} of {file} is {found:?} where {expected} should be: correct or remove it")]
    Line {
        /// The file's name.
        file: &'static str,
        /// Which line, from 1.
        line: usize,
        /// What stands there, its first 80 characters; empty if it is missing.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A property is missing or cannot be what it is.
    #[error(
        "{key} of {file} is {}, and should be {expected}: correct or remove it",
        .found.as_ref().map_or_else(|| "missing".to_owned(), |found| format!("{found:?}"))
    )]
    Property {
        /// The file's name.
        file: &'static str,
        /// The property.
        key: &'static str,
        /// Its value, if it is there.
        found: Option<String>,
        /// What it should be.
        expected: &'static str,
    },
}

/// `partition.metadata`: which topic a partition's directory belongs to, by id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "version 0 of the file has this one field")]
pub struct PartitionMetadata {
    /// The topic's id. All zeros is no id, and refused.
    pub topic_id: TopicId,
}

impl PartitionMetadata {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] if a line is not what version 0 of the file has there.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        let file = PARTITION_METADATA_FILE;
        let text = text(file, bytes)?;
        let mut lines = text.lines();
        let version = lines.next().unwrap_or_default();
        if version.strip_prefix("version:").map(str::trim_ascii) != Some("0") {
            return Err(line_error(file, 1, version, "version: 0"));
        }
        let second = lines.next().unwrap_or_default();
        let id = second.strip_prefix("topic_id:").map(str::trim_ascii).and_then(TopicId::parse);
        let topic_id = id
            .ok_or_else(|| line_error(file, 2, second, "topic_id: and 22 characters, not all A"))?;
        match lines.next() {
            Some(third) => Err(line_error(file, 3, third, "the end of the file")),
            None => Ok(Self { topic_id }),
        }
    }
}

impl fmt::Display for PartitionMetadata {
    /// The file's text. Like Kafka's, its last line has no end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version: 0\ntopic_id: {}", self.topic_id)
    }
}

/// A log directory's id: 16 random bytes, written as 22 characters (KIP-858).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DirectoryId(TopicId);

impl DirectoryId {
    /// The id `bytes`, or `None` for all zeros, which means "no id" in Kafka.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        TopicId::new(bytes).map(Self)
    }

    /// Reads the 22 characters [`fmt::Display`] writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        TopicId::parse(text).map(Self)
    }
}

impl fmt::Display for DirectoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `meta.properties`, version 1: whose a log directory is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the names are Kafka's")]
pub struct MetaProperties {
    cluster_id: String,
    node_id: u32,
    directory_id: Option<DirectoryId>,
}

impl MetaProperties {
    /// The properties of a directory of node `node_id`, below 2^31.
    ///
    /// # Errors
    ///
    /// [`MetadataError::Property`] if `cluster_id` is empty, has more than 255 bytes or other
    /// characters than `a-z A-Z 0-9 . _ -`, or if `node_id` is too large.
    pub fn new(
        cluster_id: &str,
        node_id: u32,
        directory_id: Option<DirectoryId>,
    ) -> Result<Self, MetadataError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(1..=CLUSTER_ID_BYTES_MAX).contains(&cluster_id.len()) || !cluster_id.chars().all(legal)
        {
            let expected = "1 to 255 of a-z A-Z 0-9 . _ -";
            return Err(property_error("cluster.id", Some(cluster_id), expected));
        }
        if i32::try_from(node_id).is_err() {
            return Err(property_error("node.id", Some(&node_id.to_string()), NODE_ID));
        }
        Ok(Self { cluster_id: cluster_id.to_owned(), node_id, directory_id })
    }

    /// Reads the file. Comments and properties of other versions are passed over.
    ///
    /// # Errors
    ///
    /// [`MetadataError`] if the version is not 1, or a property is missing or malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetadataError> {
        let properties = properties(META_PROPERTIES_FILE, bytes)?;
        let value = |key| properties.get(key).copied();
        if value("version") != Some("1") {
            let expected = "1; version 0 is of Kafka with ZooKeeper and is not read";
            return Err(property_error("version", value("version"), expected));
        }
        let Some(cluster_id) = value("cluster.id") else {
            return Err(property_error("cluster.id", None, "the cluster's id"));
        };
        let node_id = value("node.id").and_then(|text| text.parse().ok());
        let node_id =
            node_id.ok_or_else(|| property_error("node.id", value("node.id"), NODE_ID))?;
        let directory_id = match value("directory.id").map(|text| (text, DirectoryId::parse(text)))
        {
            None => None,
            Some((_, Some(id))) => Some(id),
            Some((text, None)) => {
                let expected = "22 characters of base64, not all A";
                return Err(property_error("directory.id", Some(text), expected));
            }
        };
        Self::new(cluster_id, node_id, directory_id)
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The node's number.
    #[must_use]
    pub const fn node_id(&self) -> u32 {
        self.node_id
    }

    /// The directory's id; none in a directory older than those.
    #[must_use]
    pub const fn directory_id(&self) -> Option<DirectoryId> {
        self.directory_id
    }
}

impl fmt::Display for MetaProperties {
    /// The file's text, keys in the order of the alphabet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster.id={}", self.cluster_id)?;
        if let Some(id) = self.directory_id {
            writeln!(f, "directory.id={id}")?;
        }
        writeln!(f, "node.id={}\nversion=1", self.node_id)
    }
}

/// `.kafka_cleanshutdown`. That the file is there says it all; what it holds is for the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "version 0 of the file has this one field")]
pub struct CleanShutdown {
    /// The life of the broker that closed the directory; −1 if unknown.
    pub broker_epoch: i64,
}

impl CleanShutdown {
    /// Reads the file. Whatever it holds, it was there: an unreadable epoch is −1, as in the empty
    /// file of older versions.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        Self { broker_epoch: Self::epoch_in(bytes).unwrap_or(-1) }
    }

    fn epoch_in(bytes: &[u8]) -> Option<i64> {
        let text = text(CLEAN_SHUTDOWN_FILE, bytes).ok()?;
        let fields = text.trim_ascii().strip_prefix('{')?.strip_suffix('}')?;
        let field = |key: &str| {
            fields.split(',').find_map(|field| {
                let (name, value) = field.split_once(':')?;
                (name.trim_ascii() == key).then(|| value.trim_ascii())
            })
        };
        (field("\"version\"") == Some("0")).then(|| field("\"brokerEpoch\""))??.parse().ok()
    }
}

impl fmt::Display for CleanShutdown {
    /// The file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"version\":0,\"brokerEpoch\":{}}}", self.broker_epoch)
    }
}

const NODE_ID: &str = "a number from 0 to 2147483647";

fn text<'a>(file: &'static str, bytes: &'a [u8]) -> Result<&'a str, MetadataError> {
    if bytes.len() > METADATA_BYTES_MAX {
        return Err(MetadataError::TooLarge { file, bytes: bytes.len() });
    }
    core::str::from_utf8(bytes).map_err(|source| MetadataError::Text { file, source })
}

/// The `key=value` lines of a Java properties file. Its escapes are not read: no value that Kafka
/// writes into these files needs one.
fn properties<'a>(
    file: &'static str,
    bytes: &'a [u8],
) -> Result<BTreeMap<&'a str, &'a str>, MetadataError> {
    let mut properties = BTreeMap::new();
    for (number, line) in (1..).zip(text(file, bytes)?.lines()) {
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() || trimmed.starts_with(['#', '!']) {
            continue;
        }
        let Some((key, value)) = trimmed.split_once('=').filter(|_| !trimmed.contains('\\')) else {
            return Err(line_error(file, number, line, "key=value without escapes"));
        };
        properties.insert(key.trim_ascii(), value.trim_ascii());
    }
    Ok(properties)
}

fn line_error(
    file: &'static str,
    line: usize,
    found: &str,
    expected: &'static str,
) -> MetadataError {
    let found = found.chars().take(QUOTED_CHARS_MAX).collect();
    MetadataError::Line { file, line, found, expected }
}

fn property_error(key: &'static str, found: Option<&str>, expected: &'static str) -> MetadataError {
    let found = found.map(|found| found.chars().take(QUOTED_CHARS_MAX).collect());
    MetadataError::Property { file: META_PROPERTIES_FILE, key, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "-wECAwQFBgcICQoLDA0O_w";

    #[test]
    fn partition_metadata_reads_back() {
        let metadata = PartitionMetadata { topic_id: TopicId::parse(ID).unwrap() };
        let text = format!("version: 0\ntopic_id: {ID}");
        assert_eq!(metadata.to_string(), text);
        assert_eq!(PartitionMetadata::parse(text.as_bytes()), Ok(metadata));
        assert_eq!(PartitionMetadata::parse(format!("{text}\n").as_bytes()), Ok(metadata));
    }

    #[test]
    fn partition_metadata_of_no_topic_or_another_version_is_refused() {
        for (text, line) in [
            (format!("version: 1\ntopic_id: {ID}"), 1),
            (format!("topic_id: {ID}"), 1),
            (String::new(), 1),
            ("version: 0".into(), 2),
            ("version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA".into(), 2),
            ("version: 0\ntopic_id: short".into(), 2),
            (format!("version: 0\ntopic_id: {ID}\nmore: 1"), 3),
        ] {
            let error = PartitionMetadata::parse(text.as_bytes()).unwrap_err();
            assert!(
                matches!(error, MetadataError::Line { line: found, .. } if found == line),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn kafkas_meta_properties_read() {
        let text = format!(
            "#\n#Mon Nov 23 10:00:00 UTC 2026\ndirectory.id={ID}\nnode.id=1\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qk\n"
        );
        let properties = MetaProperties::parse(text.as_bytes()).unwrap();
        assert_eq!(properties.cluster_id(), "MkU3OEVBNTcwNTJENDM2Qk");
        assert_eq!((properties.node_id(), properties.directory_id()), (1, DirectoryId::parse(ID)));
        assert_eq!(MetaProperties::parse(properties.to_string().as_bytes()), Ok(properties));
    }

    #[test]
    fn a_directory_older_than_directory_ids_reads() {
        let properties = MetaProperties::parse(b"version=1\nnode.id=0\ncluster.id=c").unwrap();
        assert_eq!(properties.directory_id(), None);
        assert_eq!(properties.to_string(), "cluster.id=c\nnode.id=0\nversion=1\n");
    }

    #[test]
    fn meta_properties_name_what_is_wrong_with_them() {
        for (text, name) in [
            ("", "version"),
            ("version=0\nbroker.id=1\ncluster.id=c", "version"),
            ("version=1\nnode.id=1", "cluster.id"),
            ("version=1\nnode.id=1\ncluster.id=", "cluster.id"),
            ("version=1\nnode.id=1\ncluster.id=a b", "cluster.id"),
            ("version=1\ncluster.id=c", "node.id"),
            ("version=1\ncluster.id=c\nnode.id=-1", "node.id"),
            ("version=1\ncluster.id=c\nnode.id=2147483648", "node.id"),
            ("version=1\ncluster.id=c\nnode.id=1\ndirectory.id=x", "directory.id"),
        ] {
            let error = MetaProperties::parse(text.as_bytes()).unwrap_err();
            assert!(
                matches!(error, MetadataError::Property { key, .. } if key == name),
                "{text:?}: {error}"
            );
        }
        let escaped = MetaProperties::parse(b"version=1\ncluster.id=a\\u0020b");
        assert!(matches!(escaped, Err(MetadataError::Line { line: 2, .. })));
    }

    #[test]
    fn a_clean_shutdown_is_one_whatever_it_holds() {
        let file = CleanShutdown { broker_epoch: 7 };
        assert_eq!(file.to_string(), "{\"version\":0,\"brokerEpoch\":7}");
        assert_eq!(CleanShutdown::parse(file.to_string().as_bytes()), file);
        assert_eq!(CleanShutdown::parse(b" { \"brokerEpoch\" : 7, \"version\": 0 }\n"), file);
        for other in
            [&b""[..], b"{}", b"{\"version\":1,\"brokerEpoch\":7}", b"\xFF", b"{\"version\":0}"]
        {
            assert_eq!(CleanShutdown::parse(other).broker_epoch, -1, "{other:?}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let bytes = vec![b'#'; METADATA_BYTES_MAX + 1];
        assert!(matches!(MetaProperties::parse(&bytes), Err(MetadataError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_one_of_these_files_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "(version|node.id|[=:#0-9{}\", \n]){0,30}") {
            for bytes in [&bytes[..], text.as_bytes()] {
                let _ = PartitionMetadata::parse(bytes);
                let _ = MetaProperties::parse(bytes);
                let _ = CleanShutdown::parse(bytes);
            }
        }
    }
}
