//! The first append after a clean close: what the marker vouched for is looked at now.
//!
//! ```text
//!   open    the marker's line and the files' names and lengths        no batch is read
//!   append  no space secured ─▶ [grow] asleep? the last batch is the one remembered,
//!                               the indexes and the last partial block come into memory
//! ```
//!
//! So a store of many partitions opens at once, and a partition costs something when it is used.
//! A log that is not what the marker remembers goes offline: reopening recovers it (D12).

use std::io;
use std::sync::Arc;

use super::Partition;
use crate::disk::aligned::BLOCK_BYTES;
use crate::error::{Fault, FaultKind, NotAppended};
use crate::int::{u64_from, usize_from};
use crate::log::ticket::Answer;
use crate::model::flush::Mark;
use crate::segment::Segment;
use crate::segment::walk::read_full;

impl Partition {
    /// Makes the partition ready for its first append. The caller holds `grow`.
    pub(in crate::log) fn wake(&self, answers: &mut Vec<Answer>) -> Result<(), NotAppended> {
        let (segment, segments, end) = {
            let head = self.head.lock();
            head.admit()?;
            let Some(segment) = head.active().filter(|_| head.asleep).map(Arc::clone) else {
                return Ok(());
            };
            (segment, Arc::clone(&head.segments), head.pending.end())
        };
        let touched = {
            let mut writer = self.writer.lock();
            let touched = writer.touched(self.shared.clock.tick());
            touched.inspect_err(|fault| self.take_offline(&mut writer, fault, answers))
        };
        touched.map_err(NotAppended::Offline)?;
        self.read_indexes(&segments, segments.len().saturating_sub(1));
        let block = check_end(&segment, end).and_then(|()| {
            last_block(&segment, end.position.get().into()).map_err(|error| {
                let what = "the last block cannot be read";
                Fault::io(FaultKind::Read, segment.path(), what, error)
            })
        });
        match block {
            Ok(block) => {
                let mut head = self.head.lock();
                if head.asleep {
                    head.pending.carry(segment, &block);
                    head.asleep = false;
                }
                Ok(())
            }
            Err(fault) => {
                self.take_offline(&mut self.writer.lock(), &fault, answers);
                Err(NotAppended::Offline(fault))
            }
        }
    }
}

/// The log must end with the batch the marker remembers.
fn check_end(segment: &Segment, end: Mark) -> Result<(), Fault> {
    let limit = u64::from(end.position.get());
    if limit == 0 {
        return Ok(());
    }
    let last_offset = end.offset.checked_add(-1).unwrap_or(end.offset);
    let hint = segment.index().read().lookup(last_offset);
    let mut walk = segment.walk(hint.position, limit, None);
    let mut found = None;
    while let Ok((_, batch)) = walk.next() {
        found = batch.next_offset().map(|next| (next, batch.crc()));
    }
    if walk.position() == limit && found == Some((end.offset, end.last_crc)) {
        return Ok(());
    }
    let what = format!(
        "the segment was closed with its last batch before offset {}, which is not there: reopen \
         the partition to recover it",
        end.offset
    );
    Err(Fault::new(FaultKind::Damage, segment.path(), what))
}

/// The bytes of the partial block at the end of a log of `bytes`: the next write writes them again.
pub(in crate::log) fn last_block(segment: &Segment, bytes: u64) -> io::Result<Vec<u8>> {
    let from = bytes - bytes % u64_from(BLOCK_BYTES);
    let mut block = vec![0; usize_from(bytes - from)];
    let read = read_full(&**segment.file(), from, &mut block)?;
    block.truncate(read);
    Ok(block)
}
