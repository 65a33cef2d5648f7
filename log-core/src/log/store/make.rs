//! Partitions made and unmade: whole directories, by one rename.
//!
//! ```text
//!   make     t-3.<id>-delete   filled, durable ─▶ renamed to t-3 ─▶ parent synced by the caller
//!   unmake   t-3 ─▶ renamed to t-3.<id>-delete ─▶ parent synced ─▶ emptied, removed
//! ```
//!
//! A name that ends in `-delete` is nobody's partition, to Kafka as to us: whatever a cut leaves
//! under such a name is removed at the next open. Source: Kafka `UnifiedLog.logDeleteDirName`.

use std::io;
use std::path::{Path, PathBuf};

use super::topic_file::TopicFile;
use crate::disk::Directory;
use crate::format::name::{DirectoryState, renamed_directory_name};
use crate::ids::{TopicId, TopicPartition};
use crate::log::engine::Shared;
use crate::log::open::create;
use crate::segment::recover::is_missing;

/// Makes the directory of `name` in `root`; partition 0 holds the topic's file.
///
/// # Durability
///
/// All in the directory is durable when it returns; its name is once `root` is synced.
pub(super) fn make(
    shared: &Shared,
    root: &Path,
    name: &TopicPartition,
    id: TopicId,
    file: TopicFile,
) -> io::Result<PathBuf> {
    let directory = &*shared.directory;
    let dir = root.join(name.to_string());
    // Left behind by an attempt that failed: the topic is not known under this name.
    if let Some(aside) = set_aside(shared, &dir, name)? {
        directory.sync_dir(root)?;
        remove_tree(directory, &aside)?;
    }
    let unfinished = root.join(removed_name(shared, name));
    create(shared, &unfinished, id)?;
    if name.partition() == 0 {
        file.write(directory, &unfinished)?;
    }
    directory.rename(&unfinished, &dir)?;
    Ok(dir)
}

/// Takes the name of a partition away from its directory; `None` if nothing had it.
///
/// # Durability
///
/// None before the parent is synced.
pub(super) fn set_aside(
    shared: &Shared,
    dir: &Path,
    name: &TopicPartition,
) -> io::Result<Option<PathBuf>> {
    let aside = dir.with_file_name(removed_name(shared, name));
    match shared.directory.rename(dir, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a partition's directory: files, then the directory. The parent is not synced: if the
/// names come back after a cut, they are removed again.
pub(super) fn remove_tree(directory: &dyn Directory, dir: &Path) -> io::Result<()> {
    for entry in directory.list(dir)? {
        directory.unlink(&dir.join(entry.name))?;
    }
    directory.remove_dir(dir)
}

fn removed_name(shared: &Shared, name: &TopicPartition) -> String {
    let bits = u128::from(shared.entropy.next_u64()) << 64 | u128::from(shared.entropy.next_u64());
    renamed_directory_name(name, bits.to_be_bytes(), DirectoryState::Deleted)
}
