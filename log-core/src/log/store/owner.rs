//! One owner: the lock on a store's directory (S4), and what to do when somebody has it.
//!
//! ```text
//!   .lock   Kafka's file, so that a broker and a store exclude each other; ours holds our pid
//!   taken   by a living process   refused at once
//!           by a dead one         its last I/O is still under way: waited for, at most 5 s
//! ```
//!
//! The lock is one of the open file description (fcntl(2), `F_OFD_SETLK`): it conflicts with the
//! record locks Java takes, and with a second opener in this process, which those would not.

use core::time::Duration;
use std::io;
use std::path::Path;

use crate::clock::{Clock, Signal};
use crate::disk::{Directory, Lock, Open};
use crate::error::{Fault, FaultKind};
use crate::log::open::OpenError;
use crate::segment::replace::{read_small, write_full};

const LOCK_FILE: &str = ".lock";
/// Longest wait for a dead owner's I/O: a file is open until the kernel is done with it.
const DEAD_OWNER_WAIT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// Takes the lock of the store in `root`.
pub(super) fn lock(
    directory: &dyn Directory,
    clock: &dyn Clock,
    root: &Path,
) -> Result<Box<dyn Lock>, OpenError> {
    let path = root.join(LOCK_FILE);
    let give_up = clock.tick().after(DEAD_OWNER_WAIT);
    loop {
        match directory.lock(&path) {
            Ok(lock) => {
                sign(directory, &path);
                return Ok(lock);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                let what = "the lock cannot be taken";
                return Err(OpenError::Io(Fault::io(FaultKind::Directory, &path, what, error)));
            }
        }
        let pid = owner(directory, &path);
        if pid.is_none_or(is_alive) || clock.tick() >= give_up {
            return Err(OpenError::Locked { path: root.to_owned(), pid });
        }
        clock.wait(&Signal::default(), 0, Some(clock.tick().after(RETRY)));
    }
}

/// Says whose lock it is. For people and for [`owner`]; the lock holds without it.
fn sign(directory: &dyn Directory, path: &Path) {
    let text = std::process::id().to_string();
    let _best_effort = directory.open(path, Open::Write).and_then(|file| {
        file.set_len(0)?;
        write_full(&*file, 0, text.as_bytes())
    });
}

fn owner(directory: &dyn Directory, path: &Path) -> Option<u32> {
    let bytes = read_small(directory, path).ok()??;
    core::str::from_utf8(&bytes).ok()?.parse().ok()
}

/// Whether a process of that number exists. One that cannot be asked about does.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
