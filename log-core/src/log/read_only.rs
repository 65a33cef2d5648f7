//! A store opened to read, beside whoever writes it or on a file system that nobody can write.
//!
//! ```text
//!   writer    append ─▶ flush ─▶ watermark (8 MiB or one second later)
//!                                    │
//!   reader               fetch ─▶ nothing more, or not as it was? ─▶ look at the watermark again
//! ```
//!
//! It takes no lock and writes nothing: its directory refuses every write. It sees what the watermark
//! says is durable, a prefix of the log at every moment, and follows as that moves: also over rolls,
//! deletions at the start, and truncations.

use core::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::clean::{self, Marker};
use super::engine::Shared;
use super::events::Events;
use super::fetch::{FetchError, FetchLimits, Fetched, IsolationLevel, Verified};
use super::info::LogInfo;
use super::open::{Looked, OpenError, Recovered, Request, Shape, look, read_mark};
use super::partition::Partition;
use super::store::{TopicError, live_partitions, new_topic_id};
use super::times::OffsetAndTimestamp;
use crate::clock::Clock;
use crate::config::{Drive, Settings};
use crate::disk::Directory;
use crate::entropy::Entropy;
use crate::error::{Fault, FaultKind};
use crate::ids::{Offset, TimestampMs, TopicId, TopicPartition};
use crate::segment::recover::is_missing;
use crate::segment::watermark::{Void, Watermark};

/// Times a reader looks again before it believes what it found: a writer may be moving on.
const LOOKS_MAX: u32 = 8;

/// A store opened to read only. Cheap to clone.
#[derive(Clone)]
pub struct ReadOnlyStore(Arc<Inner>);

struct Inner {
    roots: Vec<PathBuf>,
    shared: Arc<Shared>,
}

impl ReadOnlyStore {
    /// `directory` refuses every write.
    pub(crate) fn open(
        roots: Vec<PathBuf>,
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let failed = |root: &Path, error| {
            let what = "the store's directory cannot be read";
            OpenError::Io(Fault::io(FaultKind::Read, root, what, error))
        };
        for root in &roots {
            directory.list(root).map_err(|error| failed(root, error))?;
        }
        let root = roots.first().map_or(Path::new("/"), PathBuf::as_path);
        let events = Events::default();
        let shared = Shared::new(directory, clock, entropy, settings, Drive::Inline, events)
            .map_err(|error| failed(root, error))?;
        Ok(Self(Arc::new(Inner { roots, shared })))
    }

    /// The partitions there are right now, ascending. One that is being made may be among them.
    ///
    /// # Errors
    ///
    /// If a directory cannot be listed.
    pub fn partitions(&self) -> Result<Vec<TopicPartition>, OpenError> {
        let mut found = Vec::new();
        for root in &self.0.roots {
            let entries = self.0.shared.directory.list(root).map_err(|error| {
                let what = "the store's directory cannot be listed";
                OpenError::Io(Fault::io(FaultKind::Read, root, what, error))
            })?;
            found.extend(live_partitions(&entries));
        }
        found.sort();
        Ok(found)
    }

    /// The log of one partition, as it is right now.
    ///
    /// # Errors
    ///
    /// [`TopicError::Unknown`] if there is none, [`TopicError::Open`] if it cannot be read.
    pub fn log(&self, partition: &TopicPartition) -> Result<ReadOnlyLog, TopicError> {
        let inner = &self.0;
        let name = partition.to_string();
        let there = inner.roots.iter().map(|root| (root, root.join(&name)));
        for (root, dir) in there {
            match inner.shared.directory.list(&dir) {
                Err(error) if is_missing(&error) => {}
                Err(error) => {
                    let what = "the partition cannot be listed";
                    let fault = Fault::io(FaultKind::Read, &dir, what, error);
                    return Err(TopicError::Open(OpenError::Io(fault)));
                }
                Ok(_) => {
                    let place = Place { partition: partition.clone(), root: root.clone(), dir };
                    let looked = place.look(&inner.shared, None)?;
                    return Ok(ReadOnlyLog::new(place, Arc::clone(&inner.shared), looked));
                }
            }
        }
        Err(TopicError::Unknown { partition: partition.clone() })
    }
}

impl fmt::Debug for ReadOnlyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnlyStore").field(&self.0.roots).finish()
    }
}

/// Where a partition is.
struct Place {
    partition: TopicPartition,
    root: PathBuf,
    dir: PathBuf,
}

impl Place {
    /// Looks until the watermark is the same before and after: in between the writer may have cut or
    /// deleted what was looked at.
    fn look(&self, shared: &Arc<Shared>, known: Option<TopicId>) -> Result<Looked, OpenError> {
        let mut looks = 0;
        loop {
            looks += 1;
            let marker = clean::read(&*shared.directory, &self.root, Some(&self.partition));
            let (clean, theirs) = match marker.map_err(OpenError::Io)? {
                Marker::Ours(clean) => (clean.get(&self.partition).cloned(), false),
                Marker::Foreign => (None, true),
                Marker::None => (None, false),
            };
            let request = Request {
                shared,
                name: self.partition.clone(),
                dir: self.dir.clone(),
                slot: 0,
                settings: shared.settings.topic,
                clean: clean.as_ref(),
                new_topic_id: known.unwrap_or_else(|| new_topic_id(&*shared.entropy)),
                reopened: false,
            };
            let looked = look(&request, theirs);
            let now = read_mark(&*shared.directory, &self.dir);
            let same = match (&looked, &now) {
                (Ok(looked), Ok(now)) => moved_on(looked.mark.as_ref(), now.mark().as_ref()),
                _ => false,
            };
            if same || looks >= LOOKS_MAX {
                return looked;
            }
        }
    }
}

/// Whether what is below `before` is what it was now that the watermark is `now`.
fn moved_on(before: Option<&Watermark>, now: Option<&Watermark>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => {
            before.topic_id == now.topic_id
                && before.log_start == now.log_start
                && before.durable <= now.durable
                && now.void == Void::Nothing
        }
        (None, None) => true,
        _ => false,
    }
}

/// One partition, opened to read. Cheap to clone; clones see the same.
#[derive(Clone)]
pub struct ReadOnlyLog(Arc<LogInner>);

struct LogInner {
    place: Place,
    shared: Arc<Shared>,
    topic_id: TopicId,
    seen: RwLock<Seen>,
    /// The turn to look again.
    looking: Mutex<()>,
}

struct Seen {
    partition: Arc<Partition>,
    mark: Option<Watermark>,
    shape: Shape,
    recovered: Recovered,
}

impl ReadOnlyLog {
    fn new(place: Place, shared: Arc<Shared>, looked: Looked) -> Self {
        let Looked { partition, topic_id, mark, shape, recovered } = looked;
        let seen = RwLock::new(Seen { partition, mark, shape, recovered });
        Self(Arc::new(LogInner { place, shared, topic_id, seen, looking: Mutex::new(()) }))
    }

    /// Which partition this is.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.0.place.partition
    }

    /// Looks how far the log is durable by now; returns whether that is another place than before.
    /// Reading does so by itself where it comes to the end.
    ///
    /// # Errors
    ///
    /// [`OpenError::Unknown`] if the partition was deleted, [`OpenError::Io`] if it cannot be read;
    /// then what was seen before can still be read, as far as its files are there.
    pub fn refresh(&self) -> Result<bool, OpenError> {
        self.look_again(false)
    }

    /// Reads whole batches from `offset` on, as [`Log::fetch`](crate::Log::fetch) does. A log that is
    /// cut and written anew beyond the old end while this reads may answer with batches of both.
    ///
    /// # Errors
    ///
    /// [`FetchError`]; [`FetchError::Deleted`] if the partition is gone.
    pub fn fetch(
        &self,
        offset: Offset,
        limits: FetchLimits,
        isolation: IsolationLevel,
    ) -> Result<Fetched, FetchError> {
        self.settled(
            |partition| partition.fetch(offset, limits, isolation),
            |fetched| (!fetched.is_empty()).then_some(fetched.next_offset),
        )
    }

    /// The first record at or after `target`, as
    /// [`Log::offset_for_time`](crate::Log::offset_for_time).
    ///
    /// # Errors
    ///
    /// [`FetchError`].
    pub fn offset_for_time(
        &self,
        target: TimestampMs,
        isolation: IsolationLevel,
    ) -> Result<Option<OffsetAndTimestamp>, FetchError> {
        self.settled(
            |partition| partition.offset_for_time(target, isolation),
            |found| found.map(|found| found.offset),
        )
    }

    /// Reads and checks every batch that can be seen.
    ///
    /// # Errors
    ///
    /// As [`Log::verify`](crate::Log::verify).
    pub fn verify(&self) -> Result<Verified, FetchError> {
        self.settled(Partition::verify, |verified| {
            verified.damage.is_empty().then_some(Offset::ZERO)
        })
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.current().head.lock().frontiers.log_start()
    }

    /// Up to where the log was durable at the last look.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.current().head.lock().frontiers.durable()
    }

    /// State, ends, segments and damage as of the last look.
    #[must_use]
    pub fn info(&self) -> LogInfo {
        self.current().info()
    }

    /// What the last look found that began anew.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.0.seen.read().recovered.clone()
    }

    fn current(&self) -> Arc<Partition> {
        Arc::clone(&self.0.seen.read().partition)
    }

    /// What `read` finds, once the log is still as it was seen: `end` says up to where that must
    /// reach, or that there was nothing.
    fn settled<T>(
        &self,
        read: impl Fn(&Partition) -> Result<T, FetchError>,
        end: impl Fn(&T) -> Option<Offset>,
    ) -> Result<T, FetchError> {
        let mut looks = 0;
        loop {
            let partition = self.current();
            let found = read(&partition);
            let damaged = matches!(found, Err(FetchError::Corrupt { .. }));
            let changed = match self.look_again(damaged) {
                Ok(changed) => changed,
                Err(OpenError::Unknown { .. }) => return Err(FetchError::Deleted),
                // What was seen before is still what can be told.
                Err(_) => false,
            };
            looks += 1;
            let now = self.current();
            let stands = match &found {
                Ok(found) => match end(found) {
                    Some(end) => end <= now.head.lock().frontiers.durable(),
                    None => !changed,
                },
                Err(_) => !changed,
            };
            if stands || looks >= LOOKS_MAX {
                return found;
            }
        }
    }

    /// Looks again, from the start if `anew` or if it has to; returns whether anything moved.
    fn look_again(&self, anew: bool) -> Result<bool, OpenError> {
        let inner = &*self.0;
        let _turn = inner.looking.lock();
        let mark = read_mark(&*inner.shared.directory, &inner.place.dir)?.mark();
        let (partition, before) = {
            let seen = inner.seen.read();
            (Arc::clone(&seen.partition), seen.mark)
        };
        if mark.is_some_and(|mark| mark.topic_id != inner.topic_id)
            || (mark.is_none() && before.is_some())
        {
            return Err(OpenError::Unknown { partition: inner.place.partition.clone() });
        }
        // Where there is no watermark, the files tell.
        if mark == before && !anew {
            let same = mark.is_some()
                || Shape::read(&inner.shared, &inner.place.dir)? == inner.seen.read().shape;
            if same {
                return Ok(false);
            }
        }
        if !anew
            && let Some(mark) = mark.filter(|mark| mark.void == Void::Nothing)
            && partition.take_in(&mark)
        {
            inner.seen.write().mark = Some(mark);
            return Ok(before.is_none_or(|before| before.durable != mark.durable));
        }
        let end = |partition: &Partition| {
            let head = partition.head.lock();
            (head.frontiers.log_start(), head.frontiers.durable(), head.damage.clone())
        };
        let was = end(&partition);
        let looked = inner.place.look(&inner.shared, Some(inner.topic_id))?;
        if looked.topic_id != inner.topic_id {
            return Err(OpenError::Unknown { partition: inner.place.partition.clone() });
        }
        let Looked { partition, mark, shape, recovered, .. } = looked;
        let changed = end(&partition) != was;
        *inner.seen.write() = Seen { partition, mark, shape, recovered };
        Ok(changed)
    }
}

impl fmt::Debug for ReadOnlyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadOnlyLog").field(&self.0.place.partition.to_string()).finish()
    }
}
