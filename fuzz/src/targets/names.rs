//! Names: what is accepted is safe to be part of a path, and reads back as itself.

use std::path::{Component, Path};

use log_core::format::{DirectoryName, SegmentFileName};
use log_core::{TopicName, TopicPartition};

/// Any text.
pub fn parse(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(topic) = text.parse::<TopicName>() {
        assert_eq!(topic.to_string(), text);
        safe(&text);
        let partition = TopicPartition::new(topic, 7);
        safe(&partition.to_string());
        let again = DirectoryName::parse(&partition.to_string());
        assert!(again.is_some_and(|name| name.partition == partition));
    }
    if let Some(name) = DirectoryName::parse(&text) {
        safe(&name.partition.to_string());
    }
    if let Some(name) = SegmentFileName::parse(&text) {
        assert!(text.starts_with(&format!("{:020}", name.base_offset.get())), "{text}");
    }
}

/// A name is one ordinary part of a path, short enough for every file system.
fn safe(name: &str) {
    let parts: Vec<Component<'_>> = Path::new(name).components().collect();
    assert!(matches!(parts.as_slice(), [Component::Normal(_)]), "{name:?} is no plain name");
    assert!(name.len() <= 255 && name.is_ascii() && !name.contains('\0'), "{name:?}");
}

/// Good and bad ones.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "orders",
        "a.b_c-9",
        "..",
        ".",
        "a/../b",
        "",
        "orders-3",
        "orders-03",
        "-1",
        "a-4294967296",
        "00000000000000000042.log",
        "00000000000000000042.timeindex.deleted",
        "99999999999999999999.index",
        "orders-3.0123456789abcdef-delete",
        "oncelog.watermark",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect()
}
