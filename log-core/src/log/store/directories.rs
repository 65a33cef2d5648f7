//! The directories of a store: one, or several disks side by side (Kafka's `log.dirs`).
//!
//! ```text
//!   first     .lock  meta.properties  markers  partitions   + the layers' own files; needed to open
//!   others    .lock  meta.properties  markers  partitions   one that cannot be opened is left out:
//!                                                           its partitions are offline, no others
//! ```
//!
//! A new partition goes where the fewest are (Kafka `LogManager.nextLogDirs`). While a directory is
//! left out, what it holds is not known: no topic is made, changed or deleted then, and a topic whose
//! settings stood there deletes nothing by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::foreign::left;
use super::identity::{Whose, identify};
use super::{StoreInner, builder, owner};
use crate::clock::Clock;
use crate::disk::{Directory, Entry, EntryKind, Lock};
use crate::entropy::Entropy;
use crate::error::{Fault, FaultKind};
use crate::format::metadata::MetaProperties;
use crate::format::name::{DirectoryName, DirectoryState};
use crate::ids::TopicPartition;
use crate::log::clean::{self, CleanStore};
use crate::log::engine::Shared;
use crate::log::events::Event;
use crate::log::info::DirectoryInfo;
use crate::log::open::OpenError;
use crate::log::partition::Partition;

/// One directory of a store.
#[derive(Debug)]
pub(super) struct DataDirectory {
    pub(super) path: PathBuf,
    /// Why it was left out when the store was opened.
    pub(super) left_out: Option<Fault>,
    /// Why nothing new is put there since.
    failed: Mutex<Option<Fault>>,
    /// Held until the last handle of the store is gone.
    _lock: Option<Box<dyn Lock>>,
}

impl DataDirectory {
    /// Takes the directory, which is made if there is none.
    pub(super) fn take(
        directory: &dyn Directory,
        clock: &dyn Clock,
        path: &Path,
    ) -> Result<Self, OpenError> {
        builder::make_root(directory, path).map_err(|error| {
            let what = "the store's directory cannot be made";
            OpenError::Io(Fault::io(FaultKind::Directory, path, what, error))
        })?;
        let lock = owner::lock(directory, clock, path)?;
        Ok(Self::new(path, Some(lock), None))
    }

    fn new(path: &Path, lock: Option<Box<dyn Lock>>, left_out: Option<Fault>) -> Self {
        Self { path: path.to_owned(), left_out, failed: Mutex::default(), _lock: lock }
    }

    /// Whether its partitions are there.
    pub(super) const fn is_open(&self) -> bool {
        self.left_out.is_none()
    }

    /// Whether `partition` stands in it.
    pub(super) fn holds(&self, partition: &Partition) -> bool {
        partition.dir.parent() == Some(&self.path)
    }

    /// Leaves it out from now on.
    pub(super) fn leave_out(&mut self, shared: &Shared, fault: Fault) {
        let (path, told) = (self.path.clone(), fault.clone());
        shared.events.post(|| Event::DirectoryOffline { path, fault: told });
        self.left_out = Some(fault);
    }
}

/// Takes the other directories of a store; one that cannot be had is left out, but not one that
/// somebody else has.
pub(super) fn take_others(
    directory: &dyn Directory,
    clock: &dyn Clock,
    paths: &[PathBuf],
) -> Result<Vec<DataDirectory>, OpenError> {
    paths
        .iter()
        .map(|path| match DataDirectory::take(directory, clock, path) {
            Err(OpenError::Io(fault)) => Ok(DataDirectory::new(path, None, Some(fault))),
            taken => taken,
        })
        .collect()
}

/// What a directory holds before any of its partitions is opened.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// How its partitions were closed.
    pub(super) clean: CleanStore,
    /// Its names.
    pub(super) entries: Vec<Entry>,
}

/// The partitions among the names in a directory.
pub(crate) fn live_partitions(entries: &[Entry]) -> impl Iterator<Item = TopicPartition> {
    let directories = entries.iter().filter(|entry| entry.kind == EntryKind::Directory);
    let names = directories.filter_map(|entry| DirectoryName::parse(&entry.name));
    let live = names.filter(|name| name.state == DirectoryState::Live);
    live.map(|name| name.partition)
}

/// Learns whose each directory is, and how it was closed; from here on it is not closed. Returns the
/// identity of the first, and what each holds.
///
/// # Durability
///
/// The absence of the markers is durable when it returns `Ok`.
pub(super) fn begin(
    directories: &mut [DataDirectory],
    shared: &Shared,
    warnings: &mut Vec<String>,
) -> Result<(Option<MetaProperties>, Vec<Left>), OpenError> {
    let roots: Vec<PathBuf> = directories.iter().map(|one| one.path.clone()).collect();
    let (mut identity, mut all) = (None, Vec::with_capacity(directories.len()));
    for (index, one) in directories.iter_mut().enumerate() {
        let whose = if index == 0 { Whose::First } else { Whose::Other(identity.as_ref()) };
        let begun = match one.left_out.clone() {
            Some(fault) => Err(fault),
            None => begin_one(shared, &roots, &one.path, whose, warnings),
        };
        match begun {
            Ok((found, left)) => {
                identity = if index == 0 { found } else { identity };
                all.push(left);
            }
            Err(fault) if index == 0 => return Err(OpenError::Io(fault)),
            Err(fault) => {
                one.leave_out(shared, fault);
                all.push(Left::default());
            }
        }
    }
    Ok((identity, all))
}

fn begin_one(
    shared: &Shared,
    roots: &[PathBuf],
    root: &Path,
    whose: Whose<'_>,
    warnings: &mut Vec<String>,
) -> Result<(Option<MetaProperties>, Left), Fault> {
    let (directory, entropy) = (&*shared.directory, &*shared.entropy);
    let failed = |kind, what| move |error| Fault::io(kind, root, what, error);
    let identity = check_identity(directory, entropy, root, whose, warnings)?;
    let what = "the store's directory cannot be listed";
    let entries = directory.list(root).map_err(failed(FaultKind::Read, what))?;
    let clean = left(shared, roots, root, &entries)?;
    let what = "the clean marker cannot be removed";
    clean::remove(directory, root).map_err(failed(FaultKind::Directory, what))?;
    Ok((identity, Left { clean, entries }))
}

/// Whose the directory is, which must be who has the first one.
fn check_identity(
    directory: &dyn Directory,
    entropy: &dyn Entropy,
    path: &Path,
    whose: Whose<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<MetaProperties>, Fault> {
    let identity = identify(directory, entropy, path, whose, warnings);
    match (whose, &identity) {
        (Whose::Other(Some(first)), Some(found)) if first.cluster_id() != found.cluster_id() => {
            let what = format!(
                "it belongs to cluster {}, the store's first directory to {}: it is left out",
                found.cluster_id(),
                first.cluster_id()
            );
            Err(Fault::new(FaultKind::Directory, path, what))
        }
        _ => Ok(identity),
    }
}

impl StoreInner {
    /// Why it is not known what the store holds, if a directory was left out.
    pub(super) fn left_out(&self) -> Option<Fault> {
        self.directories.iter().find_map(|one| one.left_out.clone())
    }

    /// How many partitions each directory has, with `more` that are on their way.
    pub(super) fn counts(&self, more: &BTreeMap<u32, Arc<Partition>>) -> Vec<usize> {
        let map = self.map.lock();
        let all = || map.partitions().map(|(.., open)| open).chain(more.values());
        let count = |one: &DataDirectory| all().filter(|open| one.holds(open)).count();
        self.directories.iter().map(count).collect()
    }

    /// Where a new partition goes: to the fewest of `counts`, which then count it.
    pub(super) fn roomiest(&self, counts: &mut [usize]) -> &DataDirectory {
        let [first, ..] = self.directories.as_slice() else {
            unreachable!("a store has a directory");
        };
        let all = self.directories.iter().zip(counts);
        let usable = all.filter(|(one, _)| one.is_open() && one.failed.lock().is_none());
        usable.min_by_key(|(_, count)| **count).map_or(first, |(one, count)| {
            *count += 1;
            one
        })
    }

    /// Puts nothing new into the directory at `root` until the store is opened anew, if there is
    /// another one.
    pub(super) fn avoid(&self, root: &Path, fault: &Fault) {
        if let Some(one) = self.directories.iter().find(|one| one.path == root)
            && self.directories.len() > 1
            && one.failed.lock().replace(fault.clone()).is_none()
        {
            let (path, fault) = (root.to_owned(), fault.clone());
            self.shared.events.post(|| Event::DirectoryOffline { path, fault });
        }
    }

    pub(super) fn directories_info(&self) -> Vec<DirectoryInfo> {
        let info = |(one, partitions_count): (&DataDirectory, usize)| DirectoryInfo {
            path: one.path.clone(),
            offline: one.left_out.clone().or_else(|| one.failed.lock().clone()),
            partitions_count,
        };
        self.directories.iter().zip(self.counts(&BTreeMap::new())).map(info).collect()
    }
}
