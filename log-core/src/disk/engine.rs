//! Which way to the disk a store takes: asked for, tried out, and told.
//!
//! ```text
//!   asked     Engine::Auto ──▶ ring? ──▶ direct writes? ──▶ in use     EngineInfo
//!                               no │           no │
//!                                  ▼              ▼
//!                            system calls    page cache                fallback: why, and the cure
//! ```
//!
//! All ways give the same results; they differ in speed only. A way that is asked for by name and
//! cannot be had is an error; with [`Engine::Auto`] it is a warning.

use core::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::direct;
#[cfg(feature = "uring")]
use super::uring::UringDirectory;
use super::{BlockingDirectory, Directory};

/// How segment writes reach the kernel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Engine {
    /// Streams by `io_uring` and small commits by plain system calls; all by plain system calls
    /// where the kernel has no ring to give.
    #[default]
    Auto,
    /// Everything by `io_uring`, small commits too, or the store does not open: to measure and test.
    Uring,
    /// Everything by plain system calls.
    Blocking,
}

/// Whether segment writes go past the page cache.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum DirectIo {
    /// Past it (`O_DIRECT`) where the file system and the device allow it.
    #[default]
    Auto,
    /// Through it, always.
    Off,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EngineInUse {
    /// `io_uring`.
    Uring,
    /// Plain system calls.
    Blocking,
    /// A [`Directory`] that was given to the store.
    Given,
}

/// Which way to the disk a store has taken.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct EngineInfo {
    /// How segment writes reach the kernel.
    pub engine: EngineInUse,
    /// Whether they go past the page cache.
    pub direct_io: bool,
    /// Why it is not the way that was wished for, and how to change that.
    pub fallback: Option<String>,
    /// Files written through the page cache although the rest is not.
    pub files_not_direct: u64,
    /// Queues made of plain system calls because the kernel had no further ring.
    pub queues_without_ring: u64,
}

impl fmt::Display for EngineInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let engine = match self.engine {
            EngineInUse::Uring => "io_uring",
            EngineInUse::Blocking => "plain system calls",
            EngineInUse::Given => return f.write_str("the directory that was given"),
        };
        let cache = if self.direct_io { "past the page cache" } else { "through the page cache" };
        write!(f, "{engine}, {cache}")
    }
}

/// The way that was chosen, with its counters.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) directory: Arc<dyn Directory>,
    files: Option<BlockingDirectory>,
    #[cfg(feature = "uring")]
    ring: Option<Arc<UringDirectory>>,
    direct_io: bool,
    pub(crate) fallback: Option<String>,
}

impl Chosen {
    /// A directory that came from outside.
    pub(crate) fn given(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            files: None,
            #[cfg(feature = "uring")]
            ring: None,
            direct_io: false,
            fallback: None,
        }
    }

    /// What is in use by now.
    pub(crate) fn info(&self) -> EngineInfo {
        #[cfg(feature = "uring")]
        let (ring, without) =
            (self.ring.is_some(), self.ring.as_ref().map_or(0, |ring| ring.without_ring()));
        #[cfg(not(feature = "uring"))]
        let (ring, without) = (false, 0);
        let engine = match &self.files {
            None => EngineInUse::Given,
            Some(_) if ring => EngineInUse::Uring,
            Some(_) => EngineInUse::Blocking,
        };
        EngineInfo {
            engine,
            direct_io: self.direct_io,
            fallback: self.fallback.clone(),
            files_not_direct: self.files.as_ref().map_or(0, BlockingDirectory::direct_refused),
            queues_without_ring: without,
        }
    }
}

/// The best way to the files below `root` that `engine` and `direct_io` allow. The directory is
/// there, and nobody else has it.
///
/// # Errors
///
/// If `engine` is [`Engine::Uring`] and there is no ring.
pub(crate) fn choose(root: &Path, engine: Engine, direct_io: DirectIo) -> io::Result<Chosen> {
    let mut reasons = Vec::new();
    let direct_io = direct_io == DirectIo::Auto
        && direct::probe(root)
            .inspect_err(|error| {
                reasons.push(format!(
                    "segment writes go through the page cache ({error}): put the store on a file \
                     system with direct writes, or set direct_io to Off"
                ));
            })
            .is_ok();
    let files = if direct_io { BlockingDirectory::direct() } else { BlockingDirectory::new() };
    let mut chosen = Chosen {
        directory: Arc::new(files.clone()),
        files: Some(files.clone()),
        #[cfg(feature = "uring")]
        ring: None,
        direct_io,
        fallback: None,
    };
    match (engine, ring(files, engine)) {
        (Engine::Blocking, _) => {}
        (_, Ok(with_ring)) => {
            #[cfg(feature = "uring")]
            {
                chosen.ring = Some(Arc::clone(&with_ring));
            }
            chosen.directory = with_ring;
        }
        (Engine::Uring, Err(error)) => return Err(error),
        (Engine::Auto, Err(error)) => reasons.push(format!(
            "io_uring cannot be used ({error}), so streams are written by plain system calls: {}",
            cure(&error)
        )),
    }
    chosen.fallback = (!reasons.is_empty()).then(|| reasons.join("; "));
    Ok(chosen)
}

#[cfg(feature = "uring")]
fn ring(files: BlockingDirectory, engine: Engine) -> io::Result<Arc<UringDirectory>> {
    match engine {
        Engine::Uring => UringDirectory::forced(files),
        Engine::Auto => UringDirectory::new(files),
        Engine::Blocking => return Err(io::ErrorKind::Unsupported.into()),
    }
    .map(Arc::new)
}

#[cfg(not(feature = "uring"))]
fn ring(_: BlockingDirectory, _: Engine) -> io::Result<Arc<BlockingDirectory>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "built without the feature uring"))
}

/// What to do about it.
fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp \
             profile, and set the sysctl kernel.io_uring_disabled to 0"
        }
        io::ErrorKind::OutOfMemory => {
            "raise the limit of locked memory (ulimit -l, LimitMEMLOCK=) to 8 MiB or more"
        }
        io::ErrorKind::Unsupported => "use Linux 5.11 or later, and the feature uring",
        _ => "set the engine to Blocking if this is to stay so",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_a_ring_has_its_own_cure() {
        for (errno, word) in [(1, "seccomp"), (12, "ulimit -l"), (38, "5.11"), (22, "Blocking")] {
            let cure = cure(&io::Error::from_raw_os_error(errno));
            assert!(cure.contains(word), "errno {errno}: {cure}");
        }
    }

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        for engine in [Engine::Auto, Engine::Blocking] {
            let chosen = choose(dir.path(), engine, DirectIo::Auto).unwrap();
            assert_eq!(chosen.directory.list(dir.path()).unwrap(), []);
            if chosen.fallback.is_none() {
                assert!(chosen.info().direct_io, "{}", chosen.info());
            }
        }
    }
}
