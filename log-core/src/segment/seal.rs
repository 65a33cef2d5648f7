//! What a segment's files are: how long, with which checksum, and what they hold (S6, S10).
//!
//! ```text
//!   00000000000000000042.seal   1                                    version
//!                               <topic id> <partition>               whose segment it is
//!                               base:next:last crc:first time:largest time@its offset:
//!                                 log bytes-crc:index bytes-crc:timeindex bytes-crc:txnindex bytes-crc:producers
//!                               crc <8 hex>                          CRC-32 of all above
//! ```
//!
//! Kafka leaves its index files without a checksum, so their bytes count only as far as a seal
//! vouches for them. A seal that is missing, names another segment, or disagrees with a file means:
//! build anew from the `.log`, never trust. Checksums are CRC-32; `-` stands where there is nothing.

use core::fmt;
use std::io;
use std::path::Path;

use super::indexes::IndexBytes;
use super::replace::{read_small, replace_all};
use super::time_index::Stamp;
use super::walk::read_full;
use crate::disk::{Directory, File};
use crate::ids::{Offset, TimestampMs, TopicId};
use crate::int::{u64_from, usize_from};

const VERSION: &str = "1";
/// Bytes read at once when a file is summed.
const READ_BYTES: u64 = 256 * 1024;

/// The length of a file and the CRC-32 of its bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FileSum {
    pub(crate) bytes: u64,
    pub(crate) crc: u32,
}

impl FileSum {
    /// The sum of a file that holds `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::default().and(bytes)
    }

    /// The sum once `more` stands behind what was summed.
    pub(crate) fn and(self, more: &[u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.crc);
        hasher.update(more);
        Self { bytes: self.bytes + u64_from(more.len()), crc: hasher.finalize() }
    }

    /// The sum once what `file` holds up to `bytes` stands behind what was summed.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is shorter.
    pub(crate) fn extended(self, file: &dyn File, bytes: u64) -> io::Result<Self> {
        let mut sum = self;
        let mut buffer = vec![0; usize_from(bytes.saturating_sub(sum.bytes).min(READ_BYTES))];
        while sum.bytes < bytes {
            let len = usize_from((bytes - sum.bytes).min(READ_BYTES));
            let chunk = buffer.get_mut(..len).unwrap_or_default();
            if read_full(file, sum.bytes, chunk)? < len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            sum = sum.and(chunk);
        }
        Ok(sum)
    }
}

impl fmt::Display for FileSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.bytes, self.crc)
    }
}

/// Whose segment it is: what keeps another partition's files from being taken for this one's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) topic_id: TopicId,
    pub(crate) partition: u32,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.topic_id, self.partition)
    }
}

/// What a segment's files held when this was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seal {
    pub(crate) base: Offset,
    /// The offset after its last batch.
    pub(crate) next: Offset,
    /// The checksum of its last batch; 0 without one.
    pub(crate) last_crc: u32,
    /// The largest timestamp of its first batch.
    pub(crate) first_timestamp: Option<TimestampMs>,
    /// Its largest timestamp.
    pub(crate) largest: Stamp,
    pub(crate) log: FileSum,
    pub(crate) index: FileSum,
    pub(crate) times: FileSum,
    pub(crate) txns: Option<FileSum>,
    /// Whether a producer with an id ever wrote up to its end: then there is a state of them.
    pub(crate) has_producers: bool,
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, next, last_crc, largest, log, index, times, .. } = self;
        write!(f, "{base}:{next}:{last_crc:08x}:")?;
        match self.first_timestamp {
            Some(first) => write!(f, "{first}:")?,
            None => f.write_str("-:")?,
        }
        write!(f, "{}@{}:{log}:{index}:{times}:", largest.timestamp, largest.offset)?;
        match self.txns {
            Some(txns) => write!(f, "{txns}:")?,
            None => f.write_str("-:")?,
        }
        f.write_str(if self.has_producers { "producers" } else { "-" })
    }
}

impl Seal {
    /// Reads what `Display` wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(':').collect();
        let [base, next, crc, first, largest, log, index, times, txns, producers] =
            fields.as_slice()
        else {
            return None;
        };
        let time = |text: &str| text.parse().ok().map(TimestampMs::new);
        let (timestamp, offset) = largest.split_once('@')?;
        Some(Self {
            base: offset_of(base)?,
            next: offset_of(next)?,
            last_crc: u32::from_str_radix(crc, 16).ok()?,
            first_timestamp: if *first == "-" { None } else { Some(time(first)?) },
            largest: Stamp { timestamp: time(timestamp)?, offset: offset_of(offset)? },
            log: sum(log)?,
            index: sum(index)?,
            times: sum(times)?,
            txns: if *txns == "-" { None } else { Some(sum(txns)?) },
            has_producers: match *producers {
                "producers" => true,
                "-" => false,
                _ => return None,
            },
        })
    }

    /// The seal's file.
    pub(crate) fn to_text(self, identity: Identity) -> String {
        guarded(&format!("{VERSION}\n{identity}\n{self}\n"))
    }

    /// Puts this seal and the index files it sums beside the segment file `log`.
    ///
    /// # Durability
    ///
    /// Durable when it returns `Ok`. Cut before, some of the files are the old ones, and then the
    /// seal there does not agree with all of them.
    pub(crate) fn put(
        self,
        directory: &dyn Directory,
        log: &Path,
        identity: Identity,
        bytes: &IndexBytes,
    ) -> io::Result<()> {
        let (text, name) = (self.to_text(identity), seal_file_name(self.base));
        let dir = log.parent().unwrap_or(Path::new(""));
        put(directory, dir, self.base, bytes, Some((&name, text.as_bytes())))
    }

    /// The seal beside the segment file `log`; `None` without one that is whole and names this
    /// segment.
    pub(crate) fn read(
        directory: &dyn Directory,
        log: &Path,
        identity: Identity,
        base: Offset,
    ) -> Option<Self> {
        let bytes = read_small(directory, &log.with_extension(EXTENSION)).ok()??;
        let body = unguarded(&bytes)?;
        let mut lines = body.lines();
        let head = lines.next() == Some(VERSION)
            && lines.next().is_some_and(|line| line == identity.to_string());
        Self::parse(lines.next()?).filter(|seal| head && seal.base == base)
    }
}

/// Puts the index files of segment `base` into `dir`, and behind them `last`. A transaction index
/// that is not of this log any more is removed.
///
/// # Durability
///
/// As [`Seal::put`].
pub(crate) fn put(
    directory: &dyn Directory,
    dir: &Path,
    base: Offset,
    bytes: &IndexBytes,
    last: Option<(&str, &[u8])>,
) -> io::Result<()> {
    bytes.forget_absent(directory, dir, base)?;
    let files: Vec<(String, &[u8])> = bytes.files(base).collect();
    let files = files.iter().map(|(name, bytes)| (name.as_str(), *bytes));
    replace_all(directory, dir, &files.chain(last).collect::<Vec<_>>())
}

/// The ending of a seal's file, which Kafka's loader ignores.
const EXTENSION: &str = "seal";

/// The name of segment `base`'s seal.
pub(crate) fn seal_file_name(base: Offset) -> String {
    format!("{:020}.{EXTENSION}", base.get())
}

/// `body` with a last line that guards it.
pub(crate) fn guarded(body: &str) -> String {
    format!("{body}crc {:08x}\n", crc32fast::hash(body.as_bytes()))
}

/// The body that a last line guards, if it does.
pub(crate) fn unguarded(bytes: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(bytes).ok()?;
    let (above, last) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let body = text.get(..above.len() + 1)?;
    let crc = u32::from_str_radix(last.strip_prefix("crc ")?, 16).ok()?;
    (crc == crc32fast::hash(body.as_bytes())).then_some(body)
}

fn offset_of(text: &str) -> Option<Offset> {
    Offset::new(text.parse().ok()?)
}

fn sum(text: &str) -> Option<FileSum> {
    let (bytes, crc) = text.split_once('-')?;
    Some(FileSum { bytes: bytes.parse().ok()?, crc: u32::from_str_radix(crc, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::MemoryDirectory;
    use crate::segment::replace::replace;

    fn identity(partition: u32) -> Identity {
        Identity { topic_id: TopicId::new([7; 16]).unwrap(), partition }
    }

    fn seal(txns: Option<FileSum>, first: Option<i64>) -> Seal {
        Seal {
            base: Offset::new(42).unwrap(),
            next: Offset::new(99).unwrap(),
            last_crc: 0xABC,
            first_timestamp: first.map(TimestampMs::new),
            largest: Stamp { timestamp: TimestampMs::new(-1), offset: Offset::new(42).unwrap() },
            log: FileSum { bytes: 1 << 30, crc: 1 },
            index: FileSum::of(b"12345678"),
            times: FileSum::default(),
            txns,
            has_producers: txns.is_some(),
        }
    }

    fn store(directory: &MemoryDirectory, text: &[u8]) {
        replace(directory, Path::new("/p"), "42.seal", text).unwrap();
    }

    fn stored(directory: &MemoryDirectory, partition: u32, base: i64) -> Option<Seal> {
        Seal::read(
            directory,
            Path::new("/p/42.log"),
            identity(partition),
            Offset::new(base).unwrap(),
        )
    }

    #[test]
    fn a_seal_reads_back() {
        let directory = MemoryDirectory::new();
        directory.create_dir(Path::new("/p")).unwrap();
        assert_eq!(stored(&directory, 3, 42), None, "none yet");
        for seal in [seal(None, None), seal(Some(FileSum::of(b"x")), Some(-7))] {
            store(&directory, seal.to_text(identity(3)).as_bytes());
            assert_eq!(stored(&directory, 3, 42), Some(seal));
            assert_eq!(stored(&directory, 4, 42), None, "another partition's");
            assert_eq!(stored(&directory, 3, 43), None, "another segment's");
        }
    }

    #[test]
    fn a_seal_with_any_byte_changed_is_no_seal() {
        let directory = MemoryDirectory::new();
        directory.create_dir(Path::new("/p")).unwrap();
        let text = seal(None, Some(5)).to_text(identity(3)).into_bytes();
        for index in 0..text.len() {
            let mut changed = text.clone();
            changed[index] ^= 1;
            store(&directory, &changed);
            assert_eq!(stored(&directory, 3, 42), None, "byte {index}");
            store(&directory, &text[..index]);
            assert_eq!(stored(&directory, 3, 42), None, "cut at {index}");
        }
    }

    #[test]
    fn a_sum_can_be_taken_in_pieces() {
        let whole = FileSum::of(b"one two three");
        assert_eq!(FileSum::of(b"one ").and(b"two").and(b"").and(b" three"), whole);
    }
}
