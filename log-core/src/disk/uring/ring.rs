//! One `io_uring`: made, enabled, entered, and read. The only unsafe code of the ring.
//!
//! ```text
//!   push ─▶ submission queue ─ enter ─▶ kernel ─▶ completion queue ─ finished ─▶ (slot, result)
//!                                 ▲
//!   waker ─▶ eventfd ─ readable ──┘       ends a wait from another thread
//! ```
//!
//! Invariants:
//! 1. What an entry points at stays valid until its completion is read: whoever pushes sees to it
//!    (`queue.rs` keeps buffers and files in slots, and leaks them rather than free them early).
//! 2. At most `in_flight_max` entries and the wake-up are in flight, and both queues have a place
//!    for each: no completion can overflow, which is checked all the same.
//! 3. A ring bound to its issuer is enabled by the first thread that enters it.

use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::Wake;

use io_uring::types::{Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};
use rustix::event::EventfdFlags;
use rustix::io::Errno;

use super::super::WriteSync;
use crate::int::{u32_saturated, u64_from, usize_from, usize_from_u32};

/// Times in a row that entering the ring may fail for a passing reason with nothing completed.
const ENTER_RETRIES_MAX: u32 = 1 << 16;
/// What is added to the eventfd's counter: more than nothing, in either byte order.
const SOME: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];
/// Names the completion of the wake-up instead of a slot.
const WAKE: u64 = u64::MAX;

/// Who enters a ring.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Issuer {
    /// One thread: the kernel runs completions when that thread asks for them, and no locks.
    One,
    /// Any thread, one at a time.
    Any,
}

/// A ring and what it takes to wake who waits in it.
pub(super) struct Ring {
    io: IoUring,
    issuer: Issuer,
    enabled: bool,
    in_flight_max: usize,
    wake: Arc<WakeUp>,
    /// Whether the kernel watches the eventfd.
    armed: bool,
    woken: bool,
    #[cfg(test)]
    pub(super) planted: std::collections::VecDeque<i32>,
}

/// Ends a wait in the ring.
#[derive(Debug)]
struct WakeUp(OwnedFd);

impl Wake for WakeUp {
    fn wake(self: Arc<Self>) {
        // It fails only if the counter is full, and then the waiter is woken already.
        let _counted = rustix::io::write(&self.0, &SOME);
    }
}

/// What entering the ring brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Entered {
    /// Nothing failed.
    Well,
    /// The limit passed.
    LimitPassed,
    /// The kernel would not, for now: read completions, then again.
    Again,
}

impl Ring {
    /// A ring for `in_flight_max` submissions, with what the kernel has of the newer ways.
    ///
    /// # Errors
    ///
    /// Why there is none; see `probe` for what to do about it.
    pub(super) fn new(in_flight_max: u32, issuer: Issuer) -> io::Result<Self> {
        let completions = in_flight_max.saturating_add(1);
        let build = |newest: bool| {
            let mut builder = IoUring::builder();
            builder.dontfork().setup_cqsize(completions.next_power_of_two());
            match (newest, issuer) {
                (true, Issuer::One) => {
                    builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
                    builder.setup_r_disabled();
                }
                (true, Issuer::Any) => {
                    builder.setup_coop_taskrun().setup_taskrun_flag();
                }
                (false, _) => {}
            }
            // One place more than may be in flight, for the wake-up.
            builder.build(completions)
        };
        let (ring, newest) = match build(true) {
            // Before 6.1, or before 5.19.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                (build(false)?, false)
            }
            other => (other?, true),
        };
        let parameters = ring.params();
        if !parameters.is_feature_nodrop() || !parameters.is_feature_ext_arg() {
            let what = "the kernel's io_uring is older than 5.11: it may lose completions and has \
                        no bounded wait";
            return Err(io::Error::new(io::ErrorKind::Unsupported, what));
        }
        let held = usize_from_u32(parameters.cq_entries()).saturating_sub(1);
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            io: ring,
            issuer,
            enabled: !(newest && issuer == Issuer::One),
            in_flight_max: held.min(usize_from_u32(in_flight_max)),
            wake: Arc::new(WakeUp(wake)),
            armed: false,
            woken: false,
            #[cfg(test)]
            planted: std::collections::VecDeque::new(),
        })
    }

    /// Submissions that fit, so that no completion is ever without a place.
    pub(super) const fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.wake))
    }

    /// Whether the waker was called since this was last asked.
    pub(super) const fn take_woken(&mut self) -> bool {
        core::mem::replace(&mut self.woken, false)
    }

    /// A write of `bytes`, which must stay as they are until the completion of `slot`.
    pub(super) fn push_write(
        &mut self,
        slot: usize,
        fd: BorrowedFd<'_>,
        position: u64,
        bytes: &[u8],
        sync: WriteSync,
    ) -> io::Result<()> {
        let flags = match sync {
            WriteSync::None => 0,
            WriteSync::OwnRange => nix::libc::RWF_DSYNC,
        };
        let entry =
            opcode::Write::new(Fd(fd.as_raw_fd()), bytes.as_ptr(), u32_saturated(bytes.len()))
                .offset(position)
                .rw_flags(flags)
                .build();
        self.push(&entry.user_data(u64_from(slot)))
    }

    /// `fdatasync` of `fd`, which must stay open until the completion of `slot`.
    pub(super) fn push_sync(&mut self, slot: usize, fd: BorrowedFd<'_>) -> io::Result<()> {
        let entry = opcode::Fsync::new(Fd(fd.as_raw_fd())).flags(FsyncFlags::DATASYNC).build();
        self.push(&entry.user_data(u64_from(slot)))
    }

    /// Sends nothing through the ring and back: some places allow the making of a ring only.
    ///
    /// # Errors
    ///
    /// Why the ring is of no use.
    pub(super) fn try_out(&mut self) -> io::Result<()> {
        self.push(&opcode::Nop::new().build().user_data(0))?;
        let (mut patience, mut finished) = (Patience::default(), Vec::new());
        while finished.is_empty() {
            let entered = self.enter(1, None)?;
            self.finished(&mut finished)?;
            patience.note(entered, !finished.is_empty())?;
        }
        Ok(())
    }

    /// Whether it is bound to no thread.
    #[cfg(test)]
    pub(super) fn is_for_any_thread(&self) -> bool {
        !self.io.params().is_setup_single_issuer()
    }

    /// A completion once `fd` can be read.
    #[cfg(test)]
    pub(super) fn push_poll(&mut self, slot: usize, fd: BorrowedFd<'_>) -> io::Result<()> {
        let readable = u32::try_from(nix::libc::POLLIN).unwrap_or_default();
        let entry = opcode::PollAdd::new(Fd(fd.as_raw_fd()), readable).build();
        self.push(&entry.user_data(u64_from(slot)))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: invariant 1: the caller keeps memory and descriptor until the completion; the
        // wake-up's descriptor lives as long as the ring.
        let pushed = unsafe { self.io.submission().push(entry) };
        pushed.map_err(|_full| {
            // The queue has as many places as may be in flight, and one enter empties it.
            io::Error::other("the ring's submission queue is full")
        })
    }

    /// Hands what was pushed to the kernel and waits for `completions`, or until `limit`.
    ///
    /// # Errors
    ///
    /// Only what does not pass: the ring is of no use any more.
    pub(super) fn enter(
        &mut self,
        completions: usize,
        limit: Option<Duration>,
    ) -> io::Result<Entered> {
        if !self.enabled {
            self.io.submitter().register_enable_rings()?;
            self.enabled = true;
        }
        if completions > 0 && !self.armed {
            let readable = u32::try_from(nix::libc::POLLIN).unwrap_or_default();
            let watch = opcode::PollAdd::new(Fd(self.wake.0.as_raw_fd()), readable);
            self.push(&watch.build().user_data(WAKE))?;
            self.armed = true;
        }
        let entered = match limit {
            Some(limit) => {
                let timespec = Timespec::from(limit);
                let args = SubmitArgs::new().timespec(&timespec);
                self.io.submitter().submit_with_args(completions, &args)
            }
            None => self.io.submit_and_wait(completions),
        };
        let Err(error) = entered else { return Ok(Entered::Well) };
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::TIME) => Ok(Entered::LimitPassed),
            Some(Errno::INTR | Errno::AGAIN | Errno::BUSY) => Ok(Entered::Again),
            _ => Err(error),
        }
    }

    /// Takes the completions that are there: slot and result each.
    ///
    /// # Errors
    ///
    /// If the kernel lost one: nothing is known of what was in flight.
    pub(super) fn finished(&mut self, out: &mut Vec<(usize, i32)>) -> io::Result<()> {
        let (mut woken, mut lost) = (false, 0);
        {
            let completions = self.io.completion();
            lost += completions.overflow();
            for completion in completions {
                match completion.user_data() {
                    WAKE => woken = true,
                    slot => out.push((usize_from(slot), completion.result())),
                }
            }
        }
        #[cfg(test)]
        for (_, result) in out.iter_mut() {
            *result = self.planted.pop_front().unwrap_or(*result);
        }
        if woken {
            self.armed = false;
            self.woken = true;
            let _emptied = rustix::io::read(&self.wake.0, &mut [0_u8; 8]);
        }
        if lost > 0 {
            let what = format!("the ring lost {lost} completions");
            return Err(io::Error::other(what));
        }
        Ok(())
    }
}

/// Counts how often in a row entering brought nothing.
#[derive(Debug, Default)]
pub(super) struct Patience(u32);

impl Patience {
    /// Notes one round; an error once there were too many without progress.
    pub(super) fn note(&mut self, entered: Entered, progress: bool) -> io::Result<()> {
        if progress || entered != Entered::Again {
            self.0 = 0;
            return Ok(());
        }
        self.0 += 1;
        if self.0 > ENTER_RETRIES_MAX {
            let what = format!("io_uring_enter was put off {ENTER_RETRIES_MAX} times in a row");
            return Err(io::Error::other(what));
        }
        std::thread::yield_now();
        Ok(())
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("issuer", &self.issuer)
            .field("enabled", &self.enabled)
            .field("in_flight_max", &self.in_flight_max)
            .finish_non_exhaustive()
    }
}
