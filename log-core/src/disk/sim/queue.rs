//! The hot path of the simulated disk: submissions that complete late and in any order.

use std::io;
use std::sync::Arc;

use super::image::Snapshot;
use super::state::{State, eio, opened_to_read};
use super::{Faults, SimDirectory};
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{AlignedBuf, Completion, Disk, File, Token, Write, WriteSync};
use crate::int::{u64_from, usize_from};

/// A submission that has not completed.
#[derive(Debug)]
pub(super) struct InFlight {
    queue: u64,
    token: Token,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Write(FlyingWrite),
    Sync { inode: usize, snapshot: Snapshot },
}

#[derive(Debug)]
pub(super) struct FlyingWrite {
    pub(super) inode: usize,
    position: u64,
    buffer: AlignedBuf,
    range: core::ops::Range<usize>,
    sync: WriteSync,
}

impl FlyingWrite {
    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.as_slice().get(self.range.clone()).unwrap_or_default()
    }
}

impl InFlight {
    pub(super) fn write_mut(&mut self) -> Option<&mut FlyingWrite> {
        match &mut self.kind {
            Kind::Write(write) => Some(write),
            Kind::Sync { .. } => None,
        }
    }

    pub(super) fn position(&self) -> u64 {
        match &self.kind {
            Kind::Write(write) => write.position,
            Kind::Sync { .. } => 0,
        }
    }
}

/// One queue of one life.
#[derive(Debug)]
pub(super) struct SimQueue {
    directory: SimDirectory,
    id: u64,
    /// Submissions that have not been answered; writes are `true`.
    open: Vec<(Token, bool)>,
    /// Submissions refused because the life was over.
    refused: Vec<Completion>,
}

impl SimQueue {
    pub(super) fn new(directory: SimDirectory) -> Self {
        let id = directory.state.lock().random.next();
        Self { directory, id, open: Vec::new(), refused: Vec::new() }
    }

    /// The life is over: nothing that is in flight will ever be answered by the device.
    fn abandon(&mut self, out: &mut Vec<Completion>) {
        for (token, write) in self.open.drain(..) {
            let result = Err(io::Error::other("this life of the simulated disk is over"));
            let buffer = write.then(|| AlignedBuf::with_capacity(0));
            out.push(Completion { token, result, buffer });
        }
    }
}

impl Disk for SimQueue {
    fn submit_write(&mut self, write: Write) {
        let Write { token, file, position, buffer, range, sync } = write;
        let entered = self.directory.enter();
        let handle = file.sim_handle().filter(|handle| handle.writable).ok_or_else(opened_to_read);
        match entered.and_then(|state| Ok((state, handle?.inode))) {
            Err(error) => {
                self.refused.push(Completion { token, result: Err(error), buffer: Some(buffer) });
            }
            Ok((mut state, inode)) => {
                let flying = FlyingWrite { inode, position, buffer, range, sync };
                check(&mut state, &flying);
                state.in_flight.push(InFlight { queue: self.id, token, kind: Kind::Write(flying) });
                self.open.push((token, true));
            }
        }
    }

    fn submit_sync(&mut self, token: Token, file: &Arc<dyn File>) {
        let entered = self.directory.enter();
        let handle = file.sim_handle().ok_or_else(opened_to_read);
        match entered.and_then(|state| Ok((state, handle?.inode))) {
            Err(error) => self.refused.push(Completion { token, result: Err(error), buffer: None }),
            Ok((mut state, inode)) => {
                let snapshot = state.inode(inode).snapshot();
                let kind = Kind::Sync { inode, snapshot };
                state.in_flight.push(InFlight { queue: self.id, token, kind });
                self.open.push((token, false));
            }
        }
    }

    fn poll(&mut self, wait_for: usize, out: &mut Vec<Completion>) -> io::Result<()> {
        out.append(&mut self.refused);
        let mut done = 0;
        loop {
            let Ok(mut state) = self.directory.enter() else {
                self.abandon(out);
                return Ok(());
            };
            let mine: Vec<usize> = state
                .in_flight
                .iter()
                .enumerate()
                .filter(|(_, flying)| flying.queue == self.id)
                .map(|(index, _)| index)
                .collect();
            let wanted = done < wait_for || state.random.one_in(2);
            if mine.is_empty() || !wanted {
                return Ok(());
            }
            let pick = usize_from(state.random.below(u64_from(mine.len())));
            let Some(index) = mine.get(pick) else { return Ok(()) };
            let flying = state.in_flight.remove(*index);
            self.open.retain(|(token, _)| *token != flying.token);
            out.push(finish(&mut state, flying));
            done += 1;
        }
    }

    fn in_flight(&self) -> usize {
        self.open.len() + self.refused.len()
    }
}

/// The rules of `O_DIRECT`, and one write at a time for each block.
fn check(state: &mut State, write: &FlyingWrite) {
    let block = u64_from(BLOCK_BYTES);
    let aligned = write.position.is_multiple_of(block)
        && write.range.start.is_multiple_of(BLOCK_BYTES)
        && write.range.end.is_multiple_of(BLOCK_BYTES)
        && write.buffer.as_slice().as_ptr().addr().is_multiple_of(BLOCK_BYTES);
    let inside = write.range.end <= write.buffer.len() && !write.range.is_empty();
    let (from, to) = (write.position, write.position + u64_from(write.range.len()));
    let overlaps = state.in_flight.iter_mut().filter_map(InFlight::write_mut).any(|other| {
        let end = other.position + u64_from(other.range.len());
        other.inode == write.inode && other.position < to && from < end
    });
    let len = state.inode(write.inode).len();
    for (broken, rule) in [
        (!aligned, "is not aligned to blocks"),
        (!inside, "names bytes its buffer does not have"),
        (overlaps, "overlaps another in flight"),
        (to > len, "reaches beyond the space secured"),
    ] {
        if broken {
            state.violations.push(format!("the write of bytes {from} to {to} {rule} (len {len})"));
        }
    }
}

fn finish(state: &mut State, flying: InFlight) -> Completion {
    let token = flying.token;
    match flying.kind {
        Kind::Sync { inode, snapshot } => {
            let result = state.finish_sync(inode, snapshot).map(|()| 0);
            Completion { token, result, buffer: None }
        }
        Kind::Write(write) => {
            let result = land(state, &write);
            Completion { token, result, buffer: Some(write.buffer) }
        }
    }
}

fn land(state: &mut State, write: &FlyingWrite) -> io::Result<usize> {
    let Faults { write_error, short_write, zero_write, interrupted, .. } = state.faults;
    let bytes = write.bytes();
    if state.random.chance(interrupted) {
        let kind = if state.random.one_in(2) {
            io::ErrorKind::Interrupted
        } else {
            io::ErrorKind::WouldBlock
        };
        return Err(kind.into());
    }
    if state.random.chance(zero_write) {
        return Ok(0);
    }
    if state.random.chance(write_error) {
        state.tear(write.inode, write.position, bytes);
        return Err(eio());
    }
    let bytes = state.strike_write(write.inode, write.position, bytes)?;
    let blocks = bytes.len() / BLOCK_BYTES;
    let short = blocks > 1 && state.random.chance(short_write);
    let len = if short { state.random.between(1, blocks - 1) * BLOCK_BYTES } else { bytes.len() };
    let image = state.inode(write.inode);
    image.write(write.position, bytes.get(..len).unwrap_or_default());
    if write.sync == WriteSync::OwnRange {
        image.flush_range(write.position, len);
    }
    Ok(len)
}
