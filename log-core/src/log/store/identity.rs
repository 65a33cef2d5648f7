//! Whose a directory is: `meta.properties`, without which Kafka does not open one.
//!
//! ```text
//!   not there            written, once: random directory id, cluster and node of the store's first
//!                        directory; that one gets a random cluster and node 1
//!                        while the first one's cannot be read: not written, and named
//!   readable             kept for ever
//!   anything else        left alone and named: what it said cannot be made up anew
//! ```
//!
//! Nothing here depends on it, so a bad one costs a warning and not the opening.

use std::path::Path;

use crate::disk::Directory;
use crate::entropy::Entropy;
use crate::format::metadata::{DirectoryId, META_PROPERTIES_FILE, MetaProperties, MetadataError};
use crate::segment::replace::{read_small, replace};

/// The node a directory belongs to unless it says otherwise (Kafka's examples count from 1).
const NODE_ID: u32 = 1;

/// Which of a store's directories one is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose<'a> {
    /// The first, whose cluster and node are the store's.
    First,
    /// Another one, beside a first one that says this of itself, if that can be read.
    Other(Option<&'a MetaProperties>),
}

/// What the directory says of itself; `None`, and a warning, if that cannot be read.
///
/// # Durability
///
/// What is returned is durable.
pub(super) fn identify(
    directory: &dyn Directory,
    entropy: &dyn Entropy,
    root: &Path,
    whose: Whose<'_>,
    warnings: &mut Vec<String>,
) -> Option<MetaProperties> {
    let path = root.join(META_PROPERTIES_FILE);
    let mut warn = |error: &dyn core::fmt::Display| {
        let what = "until then it is left as it is, and Kafka will not open the directory";
        warnings.push(format!("{}: {error}; {what}", path.display()));
        None
    };
    match read_small(directory, &path) {
        Err(error) => warn(&error),
        Ok(Some(bytes)) => MetaProperties::parse(&bytes).map_or_else(|error| warn(&error), Some),
        Ok(None) => {
            let made = match new_properties(entropy, whose) {
                Ok(Some(made)) => made,
                Ok(None) => return warn(&"whose the first directory is cannot be read"),
                Err(error) => return warn(&error),
            };
            match replace(directory, root, META_PROPERTIES_FILE, made.to_string().as_bytes()) {
                Ok(()) => Some(made),
                Err(error) => warn(&error),
            }
        }
    }
}

/// What a new directory is to say; `None` if that is not known yet. A cluster that is made up would
/// be another one than the first directory's.
fn new_properties(
    entropy: &dyn Entropy,
    whose: Whose<'_>,
) -> Result<Option<MetaProperties>, MetadataError> {
    let (cluster_id, node_id) = match whose {
        Whose::First => (new_id(entropy).to_string(), NODE_ID),
        Whose::Other(Some(first)) => (first.cluster_id().to_owned(), first.node_id()),
        Whose::Other(None) => return Ok(None),
    };
    MetaProperties::new(&cluster_id, node_id, Some(new_id(entropy))).map(Some)
}

/// A random id that Kafka would give, too (`Uuid.randomUuid`): none of its reserved ones, and none
/// that looks like an option on a command line.
fn new_id(entropy: &dyn Entropy) -> DirectoryId {
    loop {
        let (high, low) = (entropy.next_u64(), entropy.next_u64());
        let bits = u128::from(high) << 64 | u128::from(low);
        match DirectoryId::new(bits.to_be_bytes()) {
            Some(id) if high != 0 && !id.to_string().starts_with('-') => return id,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{MemoryDirectory, Open};
    use crate::entropy::SeededEntropy;

    fn identify_in(
        directory: &MemoryDirectory,
        seed: u64,
    ) -> (Option<MetaProperties>, Vec<String>) {
        let mut warnings = Vec::new();
        let entropy = SeededEntropy::new(seed);
        let found = identify(directory, &entropy, Path::new("/"), Whose::First, &mut warnings);
        (found, warnings)
    }

    #[test]
    fn a_directory_keeps_the_ids_it_was_given_first() {
        let directory = MemoryDirectory::new();
        let (first, warnings) = identify_in(&directory, 1);
        let first = first.unwrap();
        assert!(warnings.is_empty());
        assert_eq!((first.node_id(), first.cluster_id().len()), (1, 22));
        assert!(first.directory_id().is_some_and(|id| id.to_string() != first.cluster_id()));
        assert_eq!(identify_in(&directory, 2), (Some(first.clone()), vec![]));
        let other = identify_in(&MemoryDirectory::new(), 2).0.unwrap();
        assert_ne!(other.cluster_id(), first.cluster_id());
    }

    #[test]
    fn what_cannot_be_read_is_named_and_left_alone() {
        for text in
            ["", "version=0\nbroker.id=1\ncluster.id=c\n", "version=1\nnode.id=x\n", "\u{1}"]
        {
            let directory = MemoryDirectory::new();
            let path = Path::new(META_PROPERTIES_FILE);
            let file = directory.open(path, Open::Create).unwrap();
            file.write_at(0, text.as_bytes()).unwrap();
            let (found, warnings) = identify_in(&directory, 1);
            assert_eq!((found, warnings.len()), (None, 1), "{text:?}");
            assert!(warnings[0].contains("meta.properties"), "{warnings:?}");
            let after = read_small(&directory, path).unwrap().unwrap();
            assert_eq!(after, text.as_bytes(), "left as it is");
        }
    }

    #[test]
    fn an_id_never_looks_like_an_option() {
        let starts = (0..2000).map(|seed| new_id(&SeededEntropy::new(seed)).to_string());
        assert!(starts.clone().any(|id| id.starts_with('_')), "the alphabet is used");
        assert!(!starts.into_iter().any(|id| id.starts_with('-')));
    }
}
