//! The topics of a directory that is being opened: which there are, and which were never finished.
//!
//! ```text
//!   t-3.<id>-delete              being made or deleted: removed; t-0.<id>-delete not before every
//!                                directory is there, for it tells that the rest is deleted
//!   t-1, its t-0 set aside       the rest of a topic that was deleted: removed, records and all
//!   t-4, the topic has 4         never finished: removed if it is empty, kept and named if not
//!   t-0 … t-3                    opened, by the settings in t-0
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directories::{DataDirectory, Left};
use super::foreign::own_topic_id;
use super::make::{remove_tree, set_aside};
use super::topic_file::TopicFile;
use super::{Map, Topic, new_topic_id};
use crate::config::TopicConfig;
use crate::disk::{Entry, EntryKind};
use crate::error::{Fault, FaultKind};
use crate::format::name::{DirectoryName, DirectoryState};
use crate::ids::{TopicId, TopicName, TopicPartition};
use crate::log::engine::Shared;
use crate::log::events::Event;
use crate::log::open::{OpenError, Opened, Request, open};

/// The directory of a partition that is nobody's any more.
struct Aside {
    partition: u32,
    dir: PathBuf,
}

/// A directory being opened.
pub(super) struct Opening<'a> {
    directories: &'a mut [DataDirectory],
    shared: &'a Arc<Shared>,
    /// In which of the directories each partition stands.
    places: BTreeMap<TopicPartition, usize>,
    map: Map,
    files: BTreeMap<TopicName, Option<TopicFile>>,
    warnings: Vec<String>,
}

impl<'a> Opening<'a> {
    pub(super) fn new(directories: &'a mut [DataDirectory], shared: &'a Arc<Shared>) -> Self {
        let (places, map, files) = (BTreeMap::new(), Map::new(), BTreeMap::new());
        Self { directories, shared, places, map, files, warnings: Vec::new() }
    }

    /// Opens everything; returns it, and what was skipped or removed, in prose.
    pub(super) fn topics(mut self, all: &[Left]) -> Result<(Map, Vec<String>), OpenError> {
        self.find(all)?;
        for (name, index) in self.places.clone() {
            if !self.directories.get(index).is_some_and(DataDirectory::is_open) {
                continue;
            }
            let Some(left) = all.get(index) else { continue };
            let opened = self.open(name, left);
            self.or_leave_out(index, opened)?;
        }
        // What is left out may hold the partitions that seem to be missing.
        if !self.is_partial() {
            self.drop_unfinished()?;
        }
        Ok((self.map, self.warnings))
    }

    /// Goes on without the `index`-th directory where that failed, unless it is the first.
    fn or_leave_out(&mut self, index: usize, done: Result<(), OpenError>) -> Result<(), OpenError> {
        match done {
            Err(OpenError::Io(fault)) if index > 0 => {
                self.leave_out(index, fault);
                Ok(())
            }
            other => other,
        }
    }

    /// Whether something is left out, so that what the store holds is not known.
    fn is_partial(&self) -> bool {
        !self.directories.iter().all(DataDirectory::is_open)
    }

    /// Goes on without one of the directories, and without what was opened in it.
    fn leave_out(&mut self, index: usize, fault: Fault) {
        let Some(one) = self.directories.get_mut(index) else { return };
        one.leave_out(self.shared, fault);
        let one = &*one;
        for topic in self.map.topics.values_mut() {
            topic.partitions.retain(|_, open| !one.holds(open));
        }
        self.map.topics.retain(|_, topic| !topic.partitions.is_empty());
        let places = &self.places;
        let elsewhere = |name: &TopicPartition| places.get(name) != Some(&index);
        self.map.recovered.retain(|recovered| elsewhere(&recovered.partition));
    }

    /// Learns which partitions there are and where, once what was deleted is gone.
    fn find(&mut self, all: &[Left]) -> Result<(), OpenError> {
        let (mut aside, mut deleted_topics) = (Vec::new(), BTreeSet::new());
        for (index, left) in all.iter().enumerate() {
            for entry in &left.entries {
                self.see(index, entry, &mut aside, &mut deleted_topics)?;
            }
        }
        if !deleted_topics.is_empty() {
            self.drop_deleted(&deleted_topics, &mut aside)?;
        }
        // What is left out may hold the rest of a deleted topic: that it is deleted, only its partition 0
        // tells, which stays until then.
        let partial = self.is_partial();
        for Aside { dir, .. } in aside.into_iter().filter(|one| one.partition > 0 || !partial) {
            // Left for the next open if it cannot be: nobody reads it meanwhile.
            if let Err(error) = remove_tree(&*self.shared.directory, &dir) {
                self.warnings.push(format!("{}: cannot be removed: {error}", dir.display()));
            }
        }
        Ok(())
    }

    /// Takes in one name in the `index`-th directory.
    fn see(
        &mut self,
        index: usize,
        entry: &Entry,
        aside: &mut Vec<Aside>,
        deleted_topics: &mut BTreeSet<TopicId>,
    ) -> Result<(), OpenError> {
        let Some(name) = DirectoryName::parse(&entry.name) else { return Ok(()) };
        let Some(root) = self.directories.get(index) else { return Ok(()) };
        let dir = root.path.join(&entry.name);
        if entry.kind != EntryKind::Directory {
            self.warnings.push(format!("{}: not a directory, left alone", entry.name));
            return Ok(());
        }
        match name.state {
            DirectoryState::Live => {
                if let Some(other) = self.places.insert(name.partition.clone(), index)
                    && let Some(other) = self.directories.get(other)
                {
                    let paths = [other.path.join(&entry.name), dir];
                    return Err(OpenError::Duplicate { partition: name.partition, paths });
                }
            }
            DirectoryState::Deleted => {
                let partition = name.partition.partition();
                if partition == 0 {
                    let id = own_topic_id(&*self.shared.directory, &dir).map_err(|error| {
                        let what = "of which topic this was cannot be read";
                        OpenError::Io(Fault::io(FaultKind::Read, &dir, what, error))
                    });
                    match id {
                        Ok(id) => deleted_topics.extend(id),
                        Err(error) => return self.or_leave_out(index, Err(error)),
                    }
                }
                aside.push(Aside { partition, dir });
            }
            DirectoryState::Stray | DirectoryState::Future => {
                let what = "a partition that does not belong here, left alone";
                self.warnings.push(format!("{}: {what}", entry.name));
            }
        }
        Ok(())
    }

    /// Sets aside what a deletion that was cut short left of topics whose partition 0 is gone.
    fn drop_deleted(
        &mut self,
        deleted: &BTreeSet<TopicId>,
        aside: &mut Vec<Aside>,
    ) -> Result<(), OpenError> {
        let failed = |path: &Path, error| {
            let what = "the rest of a deleted topic cannot be removed";
            OpenError::Io(Fault::io(FaultKind::Directory, path, what, error))
        };
        for (name, index) in self.places.clone() {
            let Some(dir) = self.dir(&name) else { continue };
            let moved = match own_topic_id(&*self.shared.directory, &dir) {
                Ok(Some(id)) if deleted.contains(&id) => set_aside(self.shared, &dir, &name),
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            match moved {
                Ok(dir) => {
                    let partition = name.partition();
                    aside.extend(dir.map(|dir| Aside { partition, dir }));
                    self.places.remove(&name);
                }
                Err(error) => self.or_leave_out(index, Err(failed(&dir, error)))?,
            }
        }
        // Before anything is removed: partition 0's metadata is what says that the rest goes too.
        for index in 0..self.directories.len() {
            let Some(one) = self.directories.get(index).filter(|one| one.is_open()) else {
                continue;
            };
            let synced = self.shared.directory.sync_dir(&one.path);
            let synced = synced.map_err(|error| failed(&one.path, error));
            self.or_leave_out(index, synced)?;
        }
        Ok(())
    }

    /// The directory of a partition that is there.
    fn dir(&self, name: &TopicPartition) -> Option<PathBuf> {
        let one = self.directories.get(*self.places.get(name)?)?;
        one.is_open().then(|| one.path.join(name.to_string()))
    }

    /// What the topic says of itself, in partition 0.
    fn file(&mut self, topic: &TopicName) -> Option<TopicFile> {
        if let Some(known) = self.files.get(topic) {
            return *known;
        }
        let Some(dir) = self.dir(&TopicPartition::new(topic.clone(), 0)) else {
            // Where a directory is left out, what the topic says of itself may stand there: as long
            // as that is not known, nothing of it is deleted.
            let lost = self.is_partial();
            let config = TopicConfig::new().retention_unlimited();
            return lost.then_some(TopicFile { partitions: u32::MAX, config });
        };
        let read = TopicFile::read(&*self.shared.directory, &dir);
        let file = read.unwrap_or_else(|warning| {
            self.warnings.push(warning);
            None
        });
        let checked = file.filter(|file| {
            let settings = file.config.over(&self.shared.settings.topic);
            match self.shared.settings.check_topic(&settings) {
                Ok(()) => true,
                Err(error) => {
                    let what = "its own settings do not fit this store's and are left out";
                    self.warnings.push(format!("topic {topic}: {error}; {what}"));
                    false
                }
            }
        });
        let file = file.map(|file| TopicFile {
            config: checked.map_or_else(TopicConfig::new, |checked| checked.config),
            ..file
        });
        self.files.insert(topic.clone(), file);
        file
    }

    fn open(&mut self, name: TopicPartition, left: &Left) -> Result<(), OpenError> {
        let config = self.file(name.topic()).map_or_else(TopicConfig::new, |file| file.config);
        let known = self.map.topics.get(name.topic()).map(|topic| topic.id);
        let Some(dir) = self.dir(&name) else { return Ok(()) };
        let opened = open(&Request {
            shared: self.shared,
            clean: left.clean.get(&name),
            dir,
            slot: self.map.next_slot,
            settings: config.over(&self.shared.settings.topic),
            new_topic_id: known.unwrap_or_else(|| new_topic_id(&*self.shared.entropy)),
            name,
            reopened: false,
        })?;
        self.map.next_slot += 1;
        self.add(opened, config)
    }

    fn add(&mut self, opened: Opened, config: TopicConfig) -> Result<(), OpenError> {
        let Opened { partition, topic_id, recovered } = opened;
        let name = partition.name.clone();
        let topic = self.map.topics.entry(name.topic().clone()).or_insert_with(|| Topic {
            id: topic_id,
            config,
            partitions: BTreeMap::new(),
        });
        if topic.id != topic_id {
            let expected = topic.id;
            return Err(OpenError::InconsistentTopicId {
                partition: name,
                found: topic_id,
                expected,
            });
        }
        self.shared.maintenance.watch(&partition);
        if recovered.is_news() {
            self.shared.events.post(|| Event::Recovered(Box::new(recovered.clone())));
        }
        topic.partitions.insert(name.partition(), partition);
        self.map.recovered.push(recovered);
        Ok(())
    }

    /// Partitions above the number the topic's file tells, or where there is none above a gap, were
    /// never finished. They are removed if they are all empty, and kept with a warning if not.
    fn drop_unfinished(&mut self) -> Result<(), OpenError> {
        let names: Vec<TopicName> = self.map.topics.keys().cloned().collect();
        for name in names {
            let said = self.file(&name).map(|file| file.partitions);
            let Some(topic) = self.map.topics.get_mut(&name) else { continue };
            let gap = (0..).zip(topic.partitions.keys()).take_while(|(n, key)| n == *key).count();
            let finished = said.unwrap_or_else(|| u32::try_from(gap).unwrap_or(u32::MAX));
            let unfinished: Vec<_> =
                topic.partitions.range(finished..).map(|(_, open)| Arc::clone(open)).collect();
            let empty = unfinished.iter().all(|open| {
                let head = open.head.lock();
                head.frontiers.log_end() == head.frontiers.log_start() && head.damage.is_empty()
            });
            if unfinished.is_empty() || !empty {
                let has = topic.partitions.len();
                if !empty || usize::try_from(finished) != Ok(has) {
                    let what = "it is kept as it is";
                    self.warnings.push(format!(
                        "topic {name}: {has} of its {finished} partitions are there; {what}"
                    ));
                }
                continue;
            }
            for open in &unfinished {
                topic.partitions.remove(&open.name.partition());
                let aside = set_aside(self.shared, &open.dir, &open.name).and_then(|aside| {
                    aside.map_or(Ok(()), |dir| remove_tree(&*self.shared.directory, &dir))
                });
                aside.map_err(|error| {
                    let what = "a partition that was never finished cannot be removed";
                    OpenError::Io(Fault::io(FaultKind::Directory, &open.dir, what, error))
                })?;
                self.warnings.push(format!("{} was never finished and is removed", open.name));
                self.map.recovered.retain(|recovered| recovered.partition != open.name);
            }
            if topic.partitions.is_empty() {
                self.map.topics.remove(&name);
            }
        }
        Ok(())
    }
}
