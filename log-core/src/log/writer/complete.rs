//! What the disk answered: progress, the rest of a short write, or the end of the partition.
//!
//! ```text
//!   Completion ─▶ short, EINTR, EAGAIN ─▶ submitted again, a bounded number of times
//!              ─▶ done                 ─▶ Flush ─▶ publish
//!              ─▶ any other error      ─▶ offline: a failed flush is never retried (D7)
//! ```

use std::io;

use super::{Submission, Writer};
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{AlignedBuf, Completion, Disk, Token, Write};
use crate::error::{Fault, FaultKind};
use crate::int::u64_from;
use crate::log::partition::Partition;
use crate::log::ticket::Answer;
use crate::model::flush::Ordinal;
use crate::mutant::{self, Mutant};

/// Times a write is submitted again after EINTR, EAGAIN or no progress.
const RETRIES_MAX: u32 = 16;

impl Partition {
    /// Takes in one finished submission.
    pub(crate) fn complete(
        &self,
        writer: &mut Writer,
        completion: Completion,
        disk: &mut dyn Disk,
        answers: &mut Vec<Answer>,
    ) {
        let Completion { token, result, buffer } = completion;
        let ordinal = Ordinal::try_from(token.0 & u64::from(u32::MAX)).unwrap_or_default();
        let Some(index) = writer.in_flight.iter().position(|(number, _)| *number == ordinal) else {
            return;
        };
        let (_, submission) = writer.in_flight.swap_remove(index);
        if writer.offline {
            // Nothing is acknowledged any more; whoever waits for the end of the I/O is told.
            self.moved.raise();
            return;
        }
        let durable = writer.flush.durable();
        let outcome = match (submission, buffer) {
            (Submission::Sync, _) => self.complete_sync(writer, ordinal, result, disk),
            (submission, Some(buffer)) => {
                let write = Landed { ordinal, submission, buffer, token };
                self.complete_write(writer, write, result, disk)
            }
            (_, None) => Err(Fault::new(
                FaultKind::Bug,
                writer.segment.path(),
                "a disk kept the buffer of a finished write",
            )),
        };
        let now = self.shared.clock.tick();
        if let Err(fault) = outcome {
            self.take_offline(writer, &fault, answers);
            return;
        }
        let gained = writer.flush.durable().position.get() - durable.position.get();
        writer.unmarked_bytes += u64::from(gained);
        self.publish(writer, now, answers);
    }

    fn complete_sync(
        &self,
        writer: &mut Writer,
        ordinal: Ordinal,
        result: io::Result<usize>,
        disk: &mut dyn Disk,
    ) -> Result<(), Fault> {
        match result {
            Ok(_) => {
                writer.flush.complete_sync(ordinal);
                self.shared.counters.synced();
                Ok(())
            }
            Err(error) if mutant::on(Mutant::RetryFailedSync) && error.raw_os_error().is_some() => {
                writer.in_flight.push((ordinal, Submission::Sync));
                let token = Token(u64::from(self.slot) << 32 | u64::from(ordinal));
                disk.submit_sync(token, &writer.file()?);
                Ok(())
            }
            Err(error) => {
                let what = "a flush failed; nothing since the last good one is known to be durable";
                Err(Fault::io(FaultKind::Sync, writer.segment.path(), what, error))
            }
        }
    }

    fn complete_write(
        &self,
        writer: &mut Writer,
        write: Landed,
        result: io::Result<usize>,
        disk: &mut dyn Disk,
    ) -> Result<(), Fault> {
        let Landed { ordinal, submission, buffer, token } = write;
        let Submission::Write { mut position, mut range, sync, mut retries } = submission else {
            return Ok(());
        };
        let path = writer.segment.path();
        match result {
            Ok(bytes) if bytes >= range.len() || mutant::on(Mutant::IgnoreShortWrite) => {
                writer.flush.complete_write(ordinal);
                self.head.lock().pending.recycle(buffer);
                self.shared.counters.wrote(range.len());
                return Ok(());
            }
            Ok(bytes) if bytes >= BLOCK_BYTES => {
                // Whole blocks only: the rest starts with the block that was written in part.
                let whole = bytes - bytes % BLOCK_BYTES;
                position += u64_from(whole);
                range.start += whole;
            }
            Ok(_) => retries += 1,
            Err(error) if is_passing(&error) => retries += 1,
            Err(error) => return Err(Fault::io(FaultKind::Write, path, "a write failed", error)),
        }
        if retries > RETRIES_MAX {
            let what = format!("a write made no progress in {RETRIES_MAX} tries");
            return Err(Fault::at(FaultKind::Write, path, position, what));
        }
        let submission = Submission::Write { position, range: range.clone(), sync, retries };
        writer.in_flight.push((ordinal, submission));
        let file = writer.file()?;
        disk.submit_write(Write { token, file, position, buffer, range, sync });
        Ok(())
    }
}

/// A finished write, with what is needed to send the rest of it again.
struct Landed {
    ordinal: Ordinal,
    submission: Submission,
    buffer: AlignedBuf,
    token: Token,
}

/// Errors after which the same submission may be made again: the kernel did nothing yet.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock)
}
