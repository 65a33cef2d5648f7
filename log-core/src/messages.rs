//! Every message a user can get, in one file to be read: `tests/data/messages.txt`.
//!
//! ```text
//!   each public error type ── an example of each variant ── Display ─▶ messages.txt
//!     └ found in the sources          └ held by a match without a wildcard
//! ```
//!
//! A message says what happened, where, and what to do. `ONCELOG_MESSAGES=write cargo test -p
//! log-core --lib messages` writes the file anew, to be read before it is committed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::SettingsError;
use crate::error::{AppendError, Fault, FaultKind, NotAppended};
use crate::format::checkpoint::CheckpointError;
use crate::format::codec::{Codec, CodecError, CodecNameError};
use crate::format::control::ControlError;
use crate::format::index::{IndexError, OffsetIndexEntry};
use crate::format::metadata::MetadataError;
use crate::format::record::{RecordError, RecordFault};
use crate::format::snapshot::SnapshotError;
use crate::format::varint::VarintError;
use crate::format::{BatchError, BatchesError, BuildError};
use crate::ids::{
    Offset, Position, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId, TopicName,
    TopicNameError, TopicPartition,
};
use crate::log::{CloseError, FetchError, OpenError, TopicError, TrimError};
use crate::segment::recover::Damage;

/// The name and message of each example.
type Messages = Vec<(String, String)>;

/// Pushes an example of each variant. It does not compile without one, and the test fails where an
/// example is of another variant than it stands for.
macro_rules! examples {
    ($messages:ident, $error:ident { $($variant:ident => $example:expr,)+ }) => {{
        let variant = |error: &$error| match error {
            $($error::$variant { .. } => stringify!($variant),)+
        };
        $(
            let example: $error = $example;
            assert_eq!(variant(&example), stringify!($variant), "an example of {}", stringify!($error));
            let name = concat!(stringify!($error), "::", stringify!($variant));
            $messages.push((name.to_owned(), example.to_string()));
        )+
    }};
}

fn offset(offset: i64) -> Offset {
    Offset::new(offset).unwrap()
}

fn partition() -> TopicPartition {
    TopicPartition::new("orders".parse::<TopicName>().unwrap(), 3)
}

fn segment() -> PathBuf {
    PathBuf::from("/data/orders-3/00000000000000004200.log")
}

fn system() -> io::Error {
    io::Error::other("Input/output error (os error 5)")
}

fn flush_failed() -> Fault {
    let what = "a flush failed; nothing since the last good one is known to be durable";
    Fault::io(FaultKind::Sync, &segment(), what, system())
}

fn not_listed() -> Fault {
    let error = io::Error::other("Permission denied (os error 13)");
    Fault::io(FaultKind::Read, Path::new("/data"), "the store's directory cannot be listed", error)
}

fn damage() -> Damage {
    Damage {
        offsets: offset(4217)..offset(4220),
        path: segment(),
        positions: 1_300..1_565,
        reason: checksum().to_string(),
    }
}

fn checksum() -> BatchError {
    BatchError::Crc { stored: 0x47A2_F823, computed: 0x0BAD_F00D }
}

fn faults(messages: &mut Messages) {
    let path = segment();
    let examples = [
        Fault::io(FaultKind::Write, &path, "a write failed", system()),
        flush_failed(),
        not_listed(),
        Fault::io(FaultKind::Directory, &path, "a deleted segment cannot be removed", system()),
        damage().fault(),
        Fault::new(FaultKind::Stopped, &path, "the disk's queue failed"),
        Fault::new(FaultKind::Reentrant, &path, "a callback may not close the store that calls it"),
        Fault::new(FaultKind::Bug, &path, "a partition without a segment"),
    ];
    let mut seen = BTreeSet::new();
    for example in examples {
        let name = match example.kind() {
            FaultKind::Write => "Write",
            FaultKind::Sync => "Sync",
            FaultKind::Read => "Read",
            FaultKind::Directory => "Directory",
            FaultKind::Damage => "Damage",
            FaultKind::Stopped => "Stopped",
            FaultKind::Reentrant => "Reentrant",
            FaultKind::Bug => "Bug",
        };
        assert!(seen.insert(name), "{name} twice");
        messages.push((format!("Fault::{name}"), example.to_string()));
    }
    assert_eq!(seen.len(), 8, "one of each kind");
}

fn appends(messages: &mut Messages) {
    let producer_id = ProducerId::new(4000).unwrap();
    let [current, found] = [5, 4].map(|epoch| ProducerEpoch::new(epoch).unwrap());
    let sequence = |sequence| Sequence::new(sequence).unwrap();
    examples!(messages, NotAppended {
        Batch => NotAppended::Batch(checksum()),
        InvalidRecord => NotAppended::InvalidRecord { reason: "it holds no records".to_owned() },
        TooLarge => NotAppended::TooLarge { bytes: 2_000_061, limit: 1_048_588 },
        ListTooLarge => NotAppended::ListTooLarge { bytes: 9_000_000, limit: 8_388_608 },
        UnexpectedOffset => NotAppended::UnexpectedOffset { first: offset(7), log_end: offset(42) },
        OffsetsOutOfOrder => NotAppended::OffsetsOutOfOrder {
            previous: offset(42),
            offset: offset(41),
        },
        OffsetExhausted => NotAppended::OffsetExhausted { log_end: Offset::MAX },
        OutOfOrderSequence => NotAppended::OutOfOrderSequence {
            producer_id,
            expected: sequence(17),
            found: sequence(19),
        },
        DuplicateSequence => NotAppended::DuplicateSequence {
            producer_id,
            oldest: sequence(12),
            found: sequence(3),
        },
        InvalidProducerEpoch => NotAppended::InvalidProducerEpoch { producer_id, current, found },
        UnknownProducerId => NotAppended::UnknownProducerId { producer_id, found: sequence(19) },
        ProducersFull => NotAppended::ProducersFull { producer_id, limit: 1_000_000 },
        InvalidTxnState => NotAppended::InvalidTxnState { producer_id, first: offset(4200) },
        TransactionNotVerified => NotAppended::TransactionNotVerified { producer_id },
        TransactionCoordinatorFenced => NotAppended::TransactionCoordinatorFenced {
            producer_id,
            current: 3,
            found: 2,
        },
        Full => NotAppended::Full { bytes: 1_048_576 },
        Damaged => NotAppended::Damaged(damage().fault()),
        Offline => NotAppended::Offline(flush_failed()),
        Stale => NotAppended::Stale,
        Deleted => NotAppended::Deleted,
        Closed => NotAppended::Closed,
        Busy => NotAppended::Busy,
    });
    examples!(messages, AppendError {
        NotAppended => AppendError::NotAppended(NotAppended::Closed),
        Indeterminate => AppendError::Indeterminate(flush_failed()),
    });
}

fn reads_and_deletions(messages: &mut Messages) {
    let (asked, start, end) = (offset(9_000), offset(42), offset(4200));
    examples!(messages, FetchError {
        OutOfRange => FetchError::OutOfRange { asked, start, end },
        Corrupt => FetchError::Corrupt { partition: partition(), damage: Box::new(damage()) },
        Stale => FetchError::Stale,
        Deleted => FetchError::Deleted,
        Closed => FetchError::Closed,
    });
    let full = NotAppended::Full { bytes: 1_048_576 };
    examples!(messages, TrimError {
        OutOfRange => TrimError::OutOfRange { asked, start, end },
        Io => TrimError::Io(flush_failed()),
        Offline => TrimError::Offline(flush_failed()),
        Damaged => TrimError::Damaged(damage().fault()),
        Full => TrimError::Full { reason: full.to_string() },
        Stale => TrimError::Stale,
        Deleted => TrimError::Deleted,
        Closed => TrimError::Closed,
    });
}

fn stores(messages: &mut Messages) {
    let settings = SettingsError {
        setting: "message_bytes_max",
        value: 7,
        rule: "it must be from 128 to 2147483647: a batch has a header".to_owned(),
    };
    let topic: TopicName = "orders".parse().unwrap();
    messages.push(("SettingsError".to_owned(), settings.to_string()));
    examples!(messages, OpenError {
        Locked => OpenError::Locked { path: PathBuf::from("/data"), pid: Some(4711) },
        Settings => OpenError::Settings(settings.clone()),
        Io => OpenError::Io(not_listed()),
        Damaged => OpenError::Damaged {
            partition: partition(),
            reason: damage().to_string(),
            damage: vec![damage()],
        },
        InconsistentTopicId => OpenError::InconsistentTopicId {
            partition: partition(),
            found: TopicId::new([7; 16]).unwrap(),
            expected: TopicId::new([9; 16]).unwrap(),
        },
        Duplicate => OpenError::Duplicate {
            partition: partition(),
            paths: ["/data/orders-3", "/more/orders-3"].map(PathBuf::from),
        },
        Unknown => OpenError::Unknown { partition: partition() },
        Closed => OpenError::Closed,
    });
    examples!(messages, TopicError {
        Exists => TopicError::Exists { topic: topic.clone() },
        Unknown => TopicError::Unknown { partition: partition() },
        UnknownTopic => TopicError::UnknownTopic { topic: topic.clone() },
        Partitions => TopicError::Partitions { partitions: 0 },
        NotMore => TopicError::NotMore { topic: topic.clone(), has: 4, asked: 3 },
        Settings => TopicError::Settings(settings.clone()),
        Io => TopicError::Io(not_listed()),
        Open => TopicError::Open(OpenError::Unknown { partition: partition() }),
        Closed => TopicError::Closed,
    });
    let close = CloseError { faults: vec![flush_failed(), not_listed()] };
    messages.push(("CloseError".to_owned(), close.to_string()));
    examples!(messages, TopicNameError {
        Empty => TopicNameError::Empty,
        Dots => TopicNameError::Dots { name: "..".to_owned() },
        TooLong => TopicNameError::TooLong { bytes: 250 },
        Character => TopicNameError::Character { found: '/', at: 6 },
    });
}

fn batches(messages: &mut Messages) {
    examples!(messages, BatchError {
        Short => BatchError::Short { need: 85, have: 70 },
        Length => BatchError::Length { found: 13, least: 49 },
        Magic => BatchError::Magic { found: 1 },
        Crc => checksum(),
        Codec => BatchError::Codec { found: 7 },
        Compressed => BatchError::Compressed { codec: Codec::Zstd },
        Decompress => BatchError::Decompress {
            base_offset: offset(4200),
            source: CodecError::TooLarge { codec: Codec::Zstd, bytes_max: 67_108_864 },
        },
        Field => BatchError::Field {
            field: "lastOffsetDelta",
            at: 23,
            found: -1,
            rule: "it must be 0 or more",
        },
        Control => BatchError::Control {
            offset: offset(4200),
            source: ControlError::Short { what: "key", need: 4, have: 3 },
        },
        Record => BatchError::Record(record()),
    });
    let bad_magic = BatchError::Magic { found: 5 };
    messages.push(("BatchError::Magic, of no version".to_owned(), bad_magic.to_string()));
    examples!(messages, BatchesError {
        Trailing => BatchesError::Trailing { position: 850, bytes: 20 },
        Damaged => BatchesError::Damaged { position: 850, source: bad_magic },
    });
    let [timestamp, base] = [i64::MAX, -7].map(TimestampMs::new);
    examples!(messages, BuildError {
        Full => BuildError::Full { need: 300, room: 120 },
        TooLarge => BuildError::TooLarge { need: 2_000_000, bytes_max: 1_048_588 },
        Timestamp => BuildError::Timestamp { timestamp, base },
    });
    examples!(messages, ControlError {
        Short => ControlError::Short { what: "value", need: 6, have: 2 },
        Version => ControlError::Version { what: "key", found: -1 },
        Producer => ControlError::Producer,
    });
    examples!(messages, CodecError {
        NotBuiltIn => CodecError::NotBuiltIn { codec: Codec::Snappy },
        TooLarge => CodecError::TooLarge { codec: Codec::Gzip, bytes_max: 67_108_864 },
        Damaged => CodecError::Damaged {
            codec: Codec::Lz4,
            at: 65_536,
            reason: "the stream ends before its end mark",
        },
        Memory => CodecError::Memory { codec: Codec::Zstd },
        Level => CodecError::Level { codec: Codec::Gzip, level: 12, least: 1, most: 9 },
    });
    let name = CodecNameError { name: "brotli".to_owned() };
    messages.push(("CodecNameError".to_owned(), name.to_string()));
}

fn record() -> RecordError {
    RecordError { record: 1, at: 24, fault: RecordFault::Unread { bytes: 3 } }
}

fn records(messages: &mut Messages) {
    messages.push(("RecordError".to_owned(), record().to_string()));
    examples!(messages, RecordFault {
        Varint => RecordFault::Varint(VarintError::Truncated { have: 2 }),
        NegativeLength => RecordFault::NegativeLength { what: "the key", found: -2 },
        Overrun => RecordFault::Overrun { what: "the value", need: 90, have: 12 },
        HeadersCount => RecordFault::HeadersCount { declared: -1, have: 12 },
        Unread => RecordFault::Unread { bytes: 3 },
        Timestamp => RecordFault::Timestamp { base: i64::MAX, delta: 1 },
        OffsetDelta => RecordFault::OffsetDelta { found: 5, after: 5, last: 7 },
        Missing => RecordFault::Missing { declared: 3, found: 2 },
        Surplus => RecordFault::Surplus { declared: 3, bytes: 12 },
        Range => RecordFault::Range { count: 3, offsets: 5 },
    });
    examples!(messages, VarintError {
        Truncated => VarintError::Truncated { have: 2 },
        TooLong => VarintError::TooLong { bytes_max: 5 },
        Overflow => VarintError::Overflow { bits: 32 },
    });
}

fn side_files(messages: &mut Messages) {
    let text = String::from_utf8(vec![b'0', 0xFF]).unwrap_err().utf8_error();
    let (line, found, expected) = (2, "many".to_owned(), "the number of entries");
    examples!(messages, CheckpointError {
        TooLarge => CheckpointError::TooLarge { bytes: 900_000_000 },
        Text => CheckpointError::Text(text),
        Line => CheckpointError::Line { line, found: found.clone(), expected },
        Count => CheckpointError::Count { declared: 3, found: 2 },
    });
    let (file, expected) = ("meta.properties", "a name of letters");
    examples!(messages, MetadataError {
        TooLarge => MetadataError::TooLarge { file, bytes: 900_000_000 },
        Text => MetadataError::Text { file, source: text },
        Line => MetadataError::Line { file, line, found: found.clone(), expected },
        Property => MetadataError::Property { file, key: "cluster.id", found: None, expected },
    });
    let entry = |last: i64, position| {
        OffsetIndexEntry::new(Offset::ZERO, offset(last), Position::new(position)).unwrap()
    };
    examples!(messages, IndexError {
        Length => IndexError::Length { bytes: 13 },
        Negative => IndexError::Negative { entry: 4, relative_offset: -1, position: 300 },
        Order => IndexError::Order { entry: 4, previous: entry(9, 300), found: entry(8, 400) },
        Tail => IndexError::Tail { entry: 4 },
    });
    examples!(messages, SnapshotError {
        Short => SnapshotError::Short { have: 7 },
        Version => SnapshotError::Version { found: 2 },
        Crc => SnapshotError::Crc { stored: 0x47A2_F823, computed: 0x0BAD_F00D },
        Count => SnapshotError::Count { found: 9, held: 2 },
        Field => SnapshotError::Field {
            field: "producerEpoch",
            index: 1,
            at: 64,
            found: -2,
            rule: "it must be 0 or more",
        },
    });
}

fn all() -> Messages {
    let mut messages = Messages::new();
    faults(&mut messages);
    appends(&mut messages);
    reads_and_deletions(&mut messages);
    stores(&mut messages);
    batches(&mut messages);
    records(&mut messages);
    side_files(&mut messages);
    messages
}

#[test]
fn every_message_stands_in_one_file() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/messages.txt");
    let mut text = String::new();
    for (name, message) in all() {
        text.extend([&name, "\n    ", &message, "\n"]);
    }
    if std::env::var("ONCELOG_MESSAGES").is_ok_and(|wish| wish == "write") {
        fs::write(&path, &text).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap();
    let changed = stored.lines().zip(text.lines()).find(|(stored, now)| stored != now);
    assert!(
        stored == text,
        "{} is not what is said now, first in {changed:?}: run the test with \
         ONCELOG_MESSAGES=write and read what changed",
        path.display()
    );
}

#[test]
fn every_message_is_one_line_of_prose() {
    for (name, message) in all() {
        let of_debug = ["Some(", "None", "Err(", " { ", "Offset(", "\n", "  ", "{}"];
        let found: Vec<_> = of_debug.iter().filter(|mark| message.contains(**mark)).collect();
        assert!(found.is_empty(), "{name} holds {found:?}: {message}");
        assert!(!message.ends_with(['.', ' ', ':', ';']), "{name} ends badly: {message}");
        assert!(message.split(' ').count() > 4, "{name} says too little: {message}");
    }
}

fn sources(dir: &Path, found: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

/// The public types for which `thiserror` or a hand wrote `Error`.
fn public_errors(code: &str) -> BTreeSet<&str> {
    let derived = code.split(concat!("thiserror", "::Error)]")).skip(1).filter_map(|behind| {
        let is_item =
            |line: &&str| ["pub", "enum ", "struct "].iter().any(|it| line.starts_with(it));
        let item = behind.lines().find(is_item)?;
        item.strip_prefix("pub enum ").or_else(|| item.strip_prefix("pub struct ")).map(word)
    });
    let by_hand = code.split(concat!("impl core", "::error::Error for ")).skip(1).map(word);
    derived.chain(by_hand).filter(|name| !name.is_empty()).collect()
}

#[test]
fn no_public_error_is_forgotten() {
    let mut code = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let found = public_errors(&code);
    assert!(found.len() > 20, "the look finds {found:?}");
    let shown = all();
    let shown: BTreeSet<&str> =
        shown.iter().filter_map(|(name, _)| name.split([':', ',']).next()).collect();
    assert_eq!(found, shown);
}
