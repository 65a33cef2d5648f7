//! Settings, and the opening of a directory with them.

use core::fmt;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::directories::{self, DataDirectory};
use super::opening::Opening;
use super::services::Services;
use super::{Store, StoreInner};
use crate::clock::{Clock, SystemClock};
use crate::config::{Drive, FlushMethod, OnDamage, Settings, UnknownProducers, Visibility, millis};
use crate::disk::{
    BlockingDirectory, Chosen, DirectIo, Directory, Engine, ReadOnlyDirectory, choose,
};
use crate::entropy::{Entropy, OsEntropy};
use crate::error::{Fault, FaultKind};
use crate::log::engine::{self, Shared};
use crate::log::events::{Event, EventListener, Events};
use crate::log::open::OpenError;
use crate::log::read_only::ReadOnlyStore;

/// A store's settings on their way to [`StoreBuilder::open`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct StoreBuilder {
    settings: Settings,
    drive: Drive,
    directory: Option<Arc<dyn Directory>>,
    clock: Option<Arc<dyn Clock>>,
    entropy: Option<Arc<dyn Entropy>>,
    engine: Engine,
    direct_io: DirectIo,
    listener: Option<Listener>,
    directories: Vec<PathBuf>,
}

/// Who is told what happens.
#[derive(Clone)]
struct Listener(Arc<dyn EventListener>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl StoreBuilder {
    /// How segment writes reach the kernel, where no [`StoreBuilder::directory`] is given. What is
    /// in use then: [`Store::engine`].
    pub const fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Whether segment writes go past the page cache, where no [`StoreBuilder::directory`] is given.
    pub const fn direct_io(mut self, direct_io: DirectIo) -> Self {
        self.direct_io = direct_io;
        self
    }

    /// Another directory for partitions, on another disk say (`log.dirs`). A new partition goes where
    /// the fewest are. One that cannot be opened is left out: its partitions are offline until the
    /// store is opened anew, and until then no topic is made, changed or deleted. The directory that
    /// is given to [`StoreBuilder::open`] is the first one, and has to be there.
    pub fn data_directory(mut self, dir: impl AsRef<Path>) -> Self {
        self.directories.push(dir.as_ref().to_owned());
        self
    }

    /// Who is told what happens in the store by itself, from its opening on.
    pub fn event_listener(mut self, listener: impl EventListener + 'static) -> Self {
        self.listener = Some(Listener(Arc::new(listener)));
        self
    }

    /// Where names and files are. Default: the file system.
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Where time comes from. Default: the machine's clocks.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Where randomness comes from. Default: the kernel's.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = Some(entropy);
        self
    }

    /// Bytes after which a segment rolls, 4 KiB to 2 GiB − 1 (`segment.bytes`, 1 GiB).
    pub const fn segment_bytes_max(mut self, bytes: u32) -> Self {
        self.settings.topic.segment_bytes_max = bytes;
        self
    }

    /// Time between the first record and the last of a segment (`segment.ms`, 7 days).
    pub fn segment_age_max(mut self, age: Duration) -> Self {
        self.settings.topic.segment_ms = millis(age);
        self
    }

    /// Bytes of log for one entry of the offset index (`index.interval.bytes`, 4096).
    pub const fn index_interval_bytes(mut self, bytes: u32) -> Self {
        self.settings.topic.index_interval_bytes = bytes;
        self
    }

    /// Bytes of the largest batch a client may append (`max.message.bytes`, 1 MiB + 12).
    pub const fn message_bytes_max(mut self, bytes: u32) -> Self {
        self.settings.topic.message_bytes_max = bytes;
        self
    }

    /// Age at which segments are deleted in topics that do not say otherwise (`retention.ms`; kept
    /// for ever).
    pub fn retention_age_max(mut self, age: Duration) -> Self {
        self.settings.topic.retention_ms = millis(age);
        self
    }

    /// Bytes of a partition that are kept in topics that do not say otherwise (`retention.bytes`;
    /// all).
    pub fn retention_bytes_max(mut self, bytes: u64) -> Self {
        self.settings.topic.retention_bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self
    }

    /// Time between two looks at what retention would delete (`log.retention.check.interval.ms`; 5
    /// minutes).
    pub const fn retention_check_interval(mut self, interval: Duration) -> Self {
        self.settings.retention_check_interval = interval;
        self
    }

    /// Makes a topic of so many partitions when [`Store::log`] first asks for it; 0 to refuse
    /// (`auto.create.topics.enable`, `num.partitions`; 0).
    pub const fn auto_create_partitions(mut self, partitions: u32) -> Self {
        self.settings.auto_create_partitions = partitions;
        self
    }

    /// Bytes of a partition written or in flight but not flushed (16 MiB). Recovery takes a bad
    /// place for a torn write only if nothing valid stands further behind it than this.
    pub const fn unflushed_bytes_max(mut self, bytes: u32) -> Self {
        self.settings.unflushed_bytes_max = bytes;
        self
    }

    /// Bytes of a partition accepted but not yet written, above which appends wait (32 MiB).
    pub const fn buffer_bytes_max(mut self, bytes: u32) -> Self {
        self.settings.buffer_bytes_max = bytes;
        self
    }

    /// Bytes that the records of one compressed batch may unpack to (64 MiB). An append of more is
    /// refused, and so is reading it.
    pub const fn decompressed_bytes_max(mut self, bytes: u32) -> Self {
        self.settings.decompressed_bytes_max = bytes;
        self
    }

    /// New bytes of a partition after which a recovery checkpoint is written (64 MiB): an unclean
    /// open reads what lies above the last one. 0 asks for one as often as it can be had.
    pub const fn checkpoint_bytes(mut self, bytes: u32) -> Self {
        self.settings.checkpoint_bytes = bytes;
        self
    }

    /// Idle files kept open, those of segments and watermarks (a quarter of `RLIMIT_NOFILE`, at
    /// most 4096). What is being written is open besides.
    pub const fn open_files_max(mut self, files: u32) -> Self {
        self.settings.open_files_max = Some(files);
        self
    }

    /// Newly durable bytes after which the durable watermark is written down (8 MiB).
    pub const fn watermark_bytes(mut self, bytes: u32) -> Self {
        self.settings.watermark_bytes = bytes;
        self
    }

    /// Longest time something accepted waits for a flush that nobody asked for (10 ms).
    pub const fn flush_interval(mut self, interval: Duration) -> Self {
        self.settings.flush_interval = interval;
        self
    }

    /// Time after which a producer that appended nothing is forgotten (`producer.id.expiration.ms`,
    /// 24 h). Time in which the store is closed does not count, and open transactions stay.
    pub const fn producer_expiration(mut self, expiration: Duration) -> Self {
        self.settings.producer_expiration = expiration;
        self
    }

    /// Producers that a partition remembers before it refuses new ones (one million, 192 bytes each
    /// at most).
    pub const fn producers_max(mut self, producers: u32) -> Self {
        self.settings.producers_max = producers;
        self
    }

    /// What a producer may begin with that a partition does not know.
    pub const fn unknown_producers(mut self, unknown: UnknownProducers) -> Self {
        self.settings.unknown_producers = unknown;
        self
    }

    /// How far readers see.
    pub const fn visibility(mut self, visibility: Visibility) -> Self {
        self.settings.visibility = visibility;
        self
    }

    /// What to do with a damaged partition.
    pub const fn on_damage(mut self, on_damage: OnDamage) -> Self {
        self.settings.on_damage = on_damage;
        self
    }

    /// How a durable append reaches the device.
    pub const fn flush_method(mut self, method: FlushMethod) -> Self {
        self.settings.flush_method = method;
        self
    }

    /// Who runs the I/O.
    pub const fn drive(mut self, drive: Drive) -> Self {
        self.drive = drive;
        self
    }

    /// Opens the store in `dir`, making the directory (not its parents) if there is none.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    ///
    /// # Durability
    ///
    /// Everything a reader can see after this returns outlives power loss.
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Store, OpenError> {
        self.settings.check()?;
        let root = dir.as_ref().to_owned();
        let given = self.directory;
        let directory: Arc<dyn Directory> =
            given.clone().unwrap_or_else(|| Arc::new(BlockingDirectory::new()));
        let failed = |what: &'static str| {
            let root = root.clone();
            move |error| OpenError::Io(Fault::io(FaultKind::Directory, &root, what, error))
        };
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let mut directories = vec![DataDirectory::take(&*directory, &*clock, &root)?];
        directories.extend(directories::take_others(&*directory, &*clock, &self.directories)?);
        let entropy = self.entropy.unwrap_or_else(|| Arc::new(OsEntropy));
        let chosen = match given {
            Some(directory) => Chosen::given(directory),
            None => choose(&root, self.engine, self.direct_io)
                .map_err(failed("io_uring was asked for and cannot be had"))?,
        };
        let events = Events::to(self.listener.map(|listener| listener.0));
        let directory = Arc::clone(&chosen.directory);
        let shared = Shared::new(directory, clock, entropy, self.settings, self.drive, events)
            .map_err(failed("the disk has no queue"))?;
        let mut warnings = Vec::new();
        let (identity, markers) = directories::begin(&mut directories, &shared, &mut warnings)?;
        let opened = Opening::new(&mut directories, &shared).topics(&markers);
        let (map, more) = opened.inspect_err(|_| shared.events.give())?;
        warnings.extend(more);
        for text in &warnings {
            shared.events.post(|| Event::Warning { text: text.clone() });
        }
        if let Some(reason) = &chosen.fallback {
            shared.events.post(|| Event::Fallback { reason: reason.clone() });
            warnings.insert(0, reason.clone());
        }
        if self.drive == Drive::Thread {
            start_thread(&shared).map_err(failed("the I/O thread cannot be started"))?;
        }
        let map = Mutex::new(map);
        let services = Services::default();
        let inner = StoreInner {
            root,
            directories,
            shared,
            changes: Mutex::new(()),
            closing: Mutex::new(()),
            map,
            services,
            identity,
            warnings,
            chosen,
        };
        inner.shared.events.give();
        Ok(Store(Arc::new(inner)))
    }

    /// Opens the store in `dir` to read only, beside whoever writes it or on a file system that nobody
    /// can write: takes no lock, writes nothing, and sees what is durable. Takes the settings of a
    /// store that matter to a reader.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if a directory cannot be read.
    pub fn open_read_only(self, dir: impl AsRef<Path>) -> Result<ReadOnlyStore, OpenError> {
        self.settings.check()?;
        let given = self.directory.unwrap_or_else(|| Arc::new(BlockingDirectory::new()));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let entropy = self.entropy.unwrap_or_else(|| Arc::new(OsEntropy));
        let roots = core::iter::once(dir.as_ref().to_owned()).chain(self.directories).collect();
        let directory = Arc::new(ReadOnlyDirectory::over(given));
        ReadOnlyStore::open(roots, directory, clock, entropy, self.settings)
    }
}

pub(super) fn make_root(directory: &dyn Directory, root: &Path) -> io::Result<()> {
    directory.create_dir(root)?;
    match root.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => directory.sync_dir(parent),
        Some(_) => directory.sync_dir(Path::new(".")),
        None => Ok(()),
    }
}

fn start_thread(shared: &Arc<Shared>) -> io::Result<()> {
    let engine = engine::Engine::new(shared.directory.disk()?);
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name("oncelog-io".to_owned())
        .spawn(move || shared.run(engine))
        .map(drop)
}
