//! The small files beside a log, from any bytes: what is read, written again, reads the same.

use log_core::format::checkpoint::{
    leader_epochs_text, offsets_text, parse_leader_epochs, parse_offsets,
};
use log_core::format::index::{ZeroTail, encode_offset_index, parse_offset_index};
use log_core::format::metadata::{CleanShutdown, MetaProperties, PartitionMetadata};

/// The first byte says which file the rest is.
pub fn parse(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % 6 {
        0 => {
            if let Ok(entries) = parse_offset_index(bytes, ZeroTail::Refused) {
                assert_eq!(encode_offset_index(&entries), bytes);
            }
            if let Ok(entries) = parse_offset_index(bytes, ZeroTail::Tolerated) {
                assert!(bytes.starts_with(&encode_offset_index(&entries)));
            }
        }
        1 => {
            if let Ok(offsets) = parse_offsets(bytes) {
                assert_eq!(parse_offsets(offsets_text(&offsets).as_bytes()), Ok(offsets));
            }
        }
        2 => {
            if let Ok(epochs) = parse_leader_epochs(bytes) {
                assert_eq!(parse_leader_epochs(leader_epochs_text(&epochs).as_bytes()), Ok(epochs));
            }
        }
        3 => {
            if let Ok(metadata) = PartitionMetadata::parse(bytes) {
                let again = PartitionMetadata::parse(metadata.to_string().as_bytes());
                assert_eq!(again, Ok(metadata));
            }
        }
        4 => {
            if let Ok(properties) = MetaProperties::parse(bytes) {
                let again = MetaProperties::parse(properties.to_string().as_bytes());
                assert_eq!(again, Ok(properties));
            }
        }
        _ => drop(CleanShutdown::parse(bytes)),
    }
}

/// One good file of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "\u{1}0\n2\norders 0 42\norders 1 7\n",
        "\u{2}0\n2\n0 0\n3 41\n",
        "\u{3}version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ\n",
        "\u{4}#\nversion=1\ncluster.id=abc\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n",
        "\u{5}{\"version\":0,\"brokerEpoch\":5}",
    ];
    let index = [0, 0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 0, 30, 0, 0, 2, 0].to_vec();
    texts.iter().map(|text| text.as_bytes().to_vec()).chain([index]).collect()
}
