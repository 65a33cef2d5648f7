//! One owner: the lock on a store's directory (S4), and what to do when somebody has it.
//!
//! ```text
//!   .lock   Kafka's file, so that a broker and a store exclude each other; ours holds our pid
//!   taken   by a living process   refused at once
//!           by a dead or dying one  its last I/O is still under way: waited for, at most 5 s
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
                let read_only = io::ErrorKind::ReadOnlyFilesystem;
                let what = if error.kind() == read_only {
                    "the lock cannot be taken (what can only be read is opened by open_read_only)"
                } else {
                    "the lock cannot be taken"
                };
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

/// Whether a process of that number exists and is not on its way out. One that cannot be asked
/// about does.
fn is_alive(pid: u32) -> bool {
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let exists = process.is_some_and(|process| {
        rustix::process::test_kill_process(process) != Err(rustix::io::Errno::SRCH)
    });
    exists && !(pid != std::process::id() && is_dying(pid))
}

/// Whether the process was killed but still has its files: a zombie, exiting, or about to take a
/// `SIGKILL` (proc(5): `stat` fields 3 and 9, `status`).
fn is_dying(pid: u32) -> bool {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let (Ok(stat), Ok(status)) = (read("stat"), read("status")) else { return false };
    stat_says_dying(&stat) || kill_is_pending(&status)
}

/// `pid (name) state ppid pgrp session tty tpgid flags …`; the name may hold anything.
fn stat_says_dying(stat: &str) -> bool {
    /// The kernel's `PF_EXITING`.
    const EXITING: u64 = 4;
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_whitespace();
    let zombie = matches!(fields.next(), Some("Z" | "X"));
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok());
    zombie || flags.is_some_and(|flags| flags & EXITING != 0)
}

/// Signal 9 is bit 8 of the masks of pending signals, the thread's and the process's.
fn kill_is_pending(status: &str) -> bool {
    status
        .lines()
        .filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")))
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & 1 << 8 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn row_49_a_killed_process_that_nobody_has_waited_for_is_not_alive() {
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        assert!(is_alive(child.id()));
        child.kill().unwrap();
        while is_alive(child.id()) {
            std::thread::yield_now();
        }
        assert!(std::fs::exists(format!("/proc/{}", child.id())).unwrap(), "it is a zombie");
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
        assert!(is_alive(std::process::id()));
    }

    #[test]
    fn a_process_on_its_way_out_is_told_from_its_proc_files() {
        let stat = |state: &str, flags: u32| format!("7 (a) b) S) {state} 1 7 7 0 -1 {flags} 9 0");
        assert!(!stat_says_dying(&stat("S", 4_194_560)));
        assert!(stat_says_dying(&stat("Z", 4_194_560)));
        assert!(stat_says_dying(&stat("D", 4_194_564)));
        assert!(!stat_says_dying("") && !stat_says_dying("7 (x"));
        let status = |mask: &str| format!("Name:\tx\nSigPnd:\t{mask}\nShdPnd:\t0000000000000000\n");
        assert!(!kill_is_pending(&status("0000000000000000")));
        assert!(kill_is_pending(&status("0000000000000100")));
        assert!(!kill_is_pending(&status("0000000000000200")));
    }
}
