//! The recovery checkpoint: up to where a partition need not be looked at again (S6).
//!
//! ```text
//!   oncelog.checkpoint   1                            version
//!                        <topic id> <partition>       whose partition it is
//!                        <segment>                    the active segment up to a batch's end, as in
//!                                                     a seal: offset, checksum of the last batch,
//!                                                     lengths and sums of `.log` and index files
//!                        producers <bytes>-<crc>
//!                        crc <8 hex>                  CRC-32 of all above
//!                        producers' state             so many bytes
//! ```
//!
//! Written once all that it covers is durable, and never believed further than the files agree: the
//! index files must start with what it sums, and the log must hold a batch with that offset and
//! checksum that ends exactly there. Anything else makes it void, and everything is scanned.

use std::io;
use std::path::Path;

use super::indexes::{Indexed, Indexes};
use super::replace::read_large;
use super::seal::{FileSum, Identity, Seal, guarded, unguarded};
use super::time_index::Stamp;
use super::walk::Walk;
use crate::disk::{Directory, File};
use crate::ids::{Offset, Position};
use crate::mutant::{self, Mutant};

/// The file's name in a partition's directory; a suffix Kafka's loader ignores.
pub(crate) const FILE_NAME: &str = "oncelog.checkpoint";

const VERSION: &str = "1";
/// Lines before the producers' state.
const LINES: usize = 5;

/// A partition as of the end of one batch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Checkpoint {
    /// The active segment up to there.
    pub(crate) segment: Seal,
    /// What was known of the producers there; empty if nothing was.
    pub(crate) producers: Vec<u8>,
}

/// What a partition's directory says of a checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// There is none.
    Nothing,
    /// A file that is damaged or belongs to another partition.
    Void,
    Checkpoint(Checkpoint),
}

impl Checkpoint {
    /// The file's bytes.
    pub(crate) fn to_bytes(&self, identity: Identity) -> Vec<u8> {
        let sum = FileSum::of(&self.producers);
        let Self { segment, producers } = self;
        let head = format!("{VERSION}\n{identity}\n{segment}\nproducers {sum}\n");
        let mut bytes = guarded(&head).into_bytes();
        bytes.extend_from_slice(producers);
        bytes
    }

    fn parse(bytes: &[u8], identity: Identity) -> Option<Self> {
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let (end, _) = ends.take(LINES).last()?;
        let (head, producers) = bytes.split_at_checked(end + 1)?;
        let mut lines = unguarded(head)?.lines();
        let mine = lines.next() == Some(VERSION)
            && lines.next().is_some_and(|line| line == identity.to_string());
        let segment = Seal::parse(lines.next()?)?;
        let sum = lines.next()?.strip_prefix("producers ")?;
        let whole = sum == FileSum::of(producers).to_string();
        (mine && whole).then(|| Self { segment, producers: producers.to_vec() })
    }

    /// Reads the checkpoint in `dir`.
    ///
    /// # Errors
    ///
    /// If there is a file and the device cannot read it.
    pub(crate) fn read(
        directory: &dyn Directory,
        dir: &Path,
        identity: Identity,
    ) -> io::Result<Found> {
        let bytes = match read_large(directory, &dir.join(FILE_NAME)) {
            // Larger than any.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Found::Void),
            read => read?,
        };
        Ok(bytes.map_or(Found::Nothing, |bytes| {
            Self::parse(&bytes, identity).map_or(Found::Void, Found::Checkpoint)
        }))
    }

    /// Where it ends in its segment.
    pub(crate) fn position(&self) -> Option<Position> {
        u32::try_from(self.segment.log.bytes).ok().map(Position::new)
    }

    /// The indexes of its segment as of it, if the files in `directory` and the end of what it
    /// covers of `file`, which is `bytes` long, agree with it. `log` is the segment's path.
    pub(crate) fn resume(
        &self,
        directory: &dyn Directory,
        log: &Path,
        file: &dyn File,
        bytes: u64,
        gaps_below: Offset,
    ) -> Option<Indexes> {
        let end = self.position()?;
        let mut indexes = Indexes::start(directory, log, &self.segment)?;
        if mutant::on(Mutant::CheckpointAboveEnd) {
            return Some(indexes);
        }
        (u64::from(end.get()) <= bytes).then_some(())?;
        self.walk_to_end(&mut indexes, file, end, gaps_below)?;
        Some(indexes)
    }

    /// Walks from the last index entry to the end: the batch there must be the one named, and what
    /// the index did not enter yet is counted again.
    fn walk_to_end(
        &self,
        indexes: &mut Indexes,
        file: &dyn File,
        end: Position,
        gaps_below: Offset,
    ) -> Option<()> {
        let hint = indexes.lookup(Offset::MAX);
        let expected = hint.offset.is_none().then_some(self.segment.base);
        let mut proof = hint.offset;
        let mut last = None;
        let mut walk =
            Walk::new(file, hint.position, end.get().into(), expected).gaps_below(gaps_below);
        while let Ok((position, batch)) = walk.next() {
            let last_offset = batch.last_offset();
            proof = proof.filter(|offset| *offset != last_offset);
            let stamp = Stamp { timestamp: batch.max_timestamp(), offset: last_offset };
            let bytes = batch.batch_bytes();
            indexes.recount(&Indexed { last: last_offset, position, bytes, stamp });
            last = Some((batch.next_offset()?, batch.crc()));
        }
        let whole = walk.position() == u64::from(end.get()) && proof.is_none();
        (whole && last == Some((self.segment.next, self.segment.last_crc))).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDirectory;
    use crate::ids::{TimestampMs, TopicId};
    use crate::segment::replace::replace;

    fn identity(partition: u32) -> Identity {
        Identity { topic_id: TopicId::new([7; 16]).unwrap(), partition }
    }

    fn checkpoint(producers: &[u8]) -> Checkpoint {
        let segment = Seal {
            base: Offset::new(42).unwrap(),
            next: Offset::new(99).unwrap(),
            last_crc: 0xABC,
            first_timestamp: Some(TimestampMs::new(3)),
            largest: Stamp { timestamp: TimestampMs::new(5), offset: Offset::new(42).unwrap() },
            log: FileSum { bytes: 1 << 30, crc: 1 },
            index: FileSum::of(b"12345678"),
            times: FileSum::default(),
            txns: None,
            has_producers: false,
        };
        Checkpoint { segment, producers: producers.to_vec() }
    }

    #[test]
    fn a_checkpoint_reads_back_and_any_byte_changed_makes_it_void() {
        let directory = MemoryDirectory::new();
        let dir = Path::new("/p");
        directory.create_dir(dir).unwrap();
        let read = |partition| Checkpoint::read(&directory, dir, identity(partition)).unwrap();
        assert_eq!(read(3), Found::Nothing);
        for producers in [&b""[..], b"any\nbytes\0\n"] {
            let checkpoint = checkpoint(producers);
            let bytes = checkpoint.to_bytes(identity(3));
            replace(&directory, dir, FILE_NAME, &bytes).unwrap();
            assert_eq!(read(3), Found::Checkpoint(checkpoint));
            assert_eq!(read(4), Found::Void, "another partition's");
            for index in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[index] ^= 1;
                assert_eq!(Checkpoint::parse(&changed, identity(3)), None, "byte {index}");
                assert_eq!(Checkpoint::parse(&bytes[..index], identity(3)), None, "cut at {index}");
            }
        }
    }
}
