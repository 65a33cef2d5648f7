//! The fault catalogue, by byte edits on real files: each test names its rows.
//!
//! What was durable and can no longer be read is named and kept; what was torn is cut; nothing
//! panics, loops, or is skipped in silence.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use log_core::{
    AppendError, Durability, FetchError, FetchLimits, IsolationLevel, Log, LogState, NotAppended,
    Offset, OnDamage, OpenError, Store, TopicConfig,
};

use crate::log::{batch, new_log, partition, read_all};

const RECORDS: i64 = 40;

/// A directory that holds 40 durable single-record batches in one segment.
struct Scene {
    dir: tempfile::TempDir,
    batch_bytes: u64,
}

impl Scene {
    fn new() -> Self {
        Self::of(RECORDS)
    }

    fn of(records: i64) -> Self {
        static MADE: OnceLock<tempfile::TempDir> = OnceLock::new();
        if records != RECORDS {
            return Self::made(records);
        }
        // Made once and copied: most tests want this one, and flushes take their time.
        let made = MADE.get_or_init(|| Self::made(RECORDS).dir);
        let dir = tempfile::tempdir().unwrap();
        copy(made.path(), dir.path());
        Self::at(dir, RECORDS)
    }

    fn made(records: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let log = new_log(&store);
        for number in 0..records {
            let value = format!("value {number:04}");
            drop(log.append(batch(&[&value]), Durability::Buffered).unwrap());
        }
        store.close().unwrap();
        Self::at(dir, records)
    }

    fn at(dir: tempfile::TempDir, records: i64) -> Self {
        let path = segment(dir.path(), 0);
        let batch_bytes = fs::metadata(&path).unwrap().len() / records.unsigned_abs();
        Self { dir, batch_bytes }
    }

    fn segment(&self) -> PathBuf {
        segment(self.dir.path(), 0)
    }

    /// As after a crash: no clean marker.
    fn unclean(&self) {
        fs::remove_file(self.dir.path().join("oncelog.clean")).unwrap();
    }

    /// As after a crash with both slots of the watermark rotten, too: nothing is known to be durable.
    fn forgetful(&self) {
        self.unclean();
        let path = self.dir.path().join("orders-0/oncelog.watermark");
        edit(&path, 40, &[0xFF]);
        edit(&path, 512 + 40, &[0xFF]);
    }

    fn edit(&self, batch: u64, byte: u64, bytes: &[u8]) {
        edit(&self.segment(), batch * self.batch_bytes + byte, bytes);
    }

    fn open(&self) -> (Store, Log) {
        let store = Store::open(self.dir.path()).unwrap();
        let log = store.log(&partition(0)).unwrap();
        (store, log)
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let (path, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if path.is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

fn segment(root: &Path, base: i64) -> PathBuf {
    root.join(format!("orders-0/{base:020}.log"))
}

fn edit(path: &Path, at: u64, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    let at = usize::try_from(at).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

/// Reads around damage: the offsets that could be read, and those that were named as damaged.
fn read_around(log: &Log) -> (Vec<i64>, Vec<(i64, i64)>) {
    let (mut read, mut damaged) = (Vec::new(), Vec::new());
    let mut offset = log.log_start_offset();
    loop {
        match log.fetch(offset, FetchLimits::bytes(200), IsolationLevel::ReadUncommitted) {
            Ok(fetched) if fetched.is_empty() => return (read, damaged),
            Ok(fetched) => {
                read.extend(fetched.records().map(|record| record.unwrap().offset.get()));
                offset = fetched.next_offset;
            }
            Err(FetchError::Corrupt { damage, .. }) => {
                damaged.push((damage.offsets.start.get(), damage.offsets.end.get()));
                assert!(damage.offsets.end > offset, "the way behind the damage is named");
                offset = damage.offsets.end;
            }
            Err(error) => unreachable!("{error}"),
        }
    }
}

fn all_but(lost: std::ops::Range<i64>) -> Vec<i64> {
    (0..RECORDS).filter(|offset| !lost.contains(offset)).collect()
}

/// The partition opens, names offset 10 as damaged, serves the rest, and takes no appends.
fn expect_damage(scene: &Scene, lost: std::ops::Range<i64>) {
    let (store, log) = scene.open();
    let recovered = store.recovered().remove(0);
    assert_eq!(recovered.bytes_cut, 0, "durable data is never cut: {recovered:?}");
    assert_eq!(recovered.log_end_offset.get(), RECORDS);
    assert_eq!(read_around(&log), (all_but(lost.clone()), vec![(lost.start, lost.end)]));
    assert!(matches!(log.info().state, LogState::ReadOnly(_)), "{:?}", log.info().state);
    let refused = log.append(batch(&["x"]), Durability::Synced).unwrap_err();
    assert!(matches!(refused, AppendError::NotAppended(NotAppended::Damaged(_))), "{refused}");
    assert_eq!(log.verify().unwrap().damage.len(), 1);
    store.close().unwrap();
    drop((store, log));
    let (store, log) = scene.open();
    assert!(!store.recovered()[0].clean, "a damaged partition is looked at again");
    assert_eq!(read_around(&log).0, all_but(lost), "opening again finds the same (D11)");
    drop((store, log));
    let refusing = Store::builder().on_damage(OnDamage::Refuse).open(scene.dir.path());
    assert!(matches!(refusing, Err(OpenError::Damaged { .. })), "{refusing:?}");
}

/// Changes bytes of batch 10 below the watermark: named and kept, its neighbours served.
fn expect_damage_by(byte: u64, bytes: &[u8]) {
    let scene = Scene::new();
    scene.unclean();
    scene.edit(10, byte, bytes);
    expect_damage(&scene, 10..11);
}

#[test]
fn row_57_a_changed_record_below_the_watermark_is_named_and_kept() {
    expect_damage_by(65, &[0xFF]);
}

#[test]
fn row_58_a_changed_base_offset_is_found_though_no_checksum_covers_it() {
    expect_damage_by(7, &[11]);
    expect_damage_by(0, &[0x80]);
}

#[test]
fn row_59_a_changed_length_hides_no_other_batch() {
    expect_damage_by(10, &[9]);
    expect_damage_by(11, &[50]);
}

#[test]
fn row_61_a_batch_of_another_magic_is_never_parsed_as_this_one() {
    for magic in [0, 1, 3, 0xFF] {
        expect_damage_by(16, &[magic]);
    }
}

#[test]
fn row_75_a_length_that_no_batch_has_is_damage_and_costs_nothing() {
    for length in [0_i32, 1, 48, -1, i32::MAX, i32::MIN] {
        expect_damage_by(8, &length.to_be_bytes());
    }
}

#[test]
fn damage_before_the_offset_asked_for_does_not_stand_in_its_way() {
    // Readers used to get the damage at 10 and 20 for an answer when they asked for 30, and were
    // sent back to 11: small segments have no index entry that leads past it.
    let scene = Scene::of(400);
    scene.edit(10, 65, &[0xFF]);
    scene.edit(20, 65, &[0xFF]);
    let (store, log) = scene.open();
    assert!(store.recovered()[0].clean);
    let at = Offset::new(30).unwrap();
    let fetched = log.fetch(at, FetchLimits::bytes(1), IsolationLevel::ReadUncommitted).unwrap();
    assert_eq!((fetched.batches().count(), fetched.next_offset.get()), (1, 31));
    assert_eq!(log.info().damage.len(), 2, "what stood in the way is known from here on");
    let rest: Vec<i64> = (0..400).filter(|offset| ![10, 20].contains(offset)).collect();
    assert_eq!(read_around(&log), (rest, vec![(10, 11), (20, 21)]));
}

#[test]
fn row_57_damage_met_while_reading_a_clean_store_is_named_too() {
    let scene = Scene::of(400);
    scene.edit(10, 65, &[0xFF]);
    let (store, log) = scene.open();
    assert!(store.recovered()[0].clean);
    let rest: Vec<i64> = (0..400).filter(|offset| *offset != 10).collect();
    assert_eq!(read_around(&log), (rest.clone(), vec![(10, 11)]));
    assert_eq!(read_around(&log), (rest, vec![(10, 11)]), "and again");
    assert_eq!(log.info().damage.len(), 1);
}

#[test]
fn row_60_a_changed_leader_epoch_changes_nothing() {
    let scene = Scene::new();
    scene.unclean();
    scene.edit(10, 12, &[0x7F]);
    let (store, log) = scene.open();
    assert_eq!(read_around(&log), (all_but(0..0), vec![]));
    assert_eq!(store.recovered()[0].leader_epoch.get(), 0);
}

#[test]
fn row_62_an_older_batch_in_the_place_of_a_newer_one_is_found_by_continuity() {
    let scene = Scene::new();
    scene.unclean();
    let bytes = fs::read(scene.segment()).unwrap();
    let size = usize::try_from(scene.batch_bytes).unwrap();
    scene.edit(10, 0, &bytes[3 * size..4 * size]);
    expect_damage(&scene, 10..11);
}

#[test]
fn row_64_zeros_in_the_middle_are_damage_below_the_watermark_and_not_the_end() {
    let scene = Scene::new();
    scene.unclean();
    let size = usize::try_from(scene.batch_bytes).unwrap();
    scene.edit(10, 0, &vec![0; 5 * size]);
    expect_damage(&scene, 10..15);
}

#[test]
fn row_64_zeros_where_the_log_was_durable_to_are_damage() {
    let scene = Scene::new();
    scene.unclean();
    let size = usize::try_from(scene.batch_bytes).unwrap();
    scene.edit(35, 0, &vec![0; 5 * size]);
    expect_damage(&scene, 35..40);
}

#[test]
fn row_12_a_log_shorter_than_its_watermark_is_damage_and_loud() {
    let scene = Scene::new();
    scene.unclean();
    let file = fs::OpenOptions::new().write(true).open(scene.segment()).unwrap();
    file.set_len(38 * scene.batch_bytes + 20).unwrap();
    expect_damage(&scene, 38..40);
}

#[test]
fn row_04_behind_a_hole_in_the_tail_a_whole_batch_is_not_taken_for_the_log() {
    // A later sector reached the disk, an earlier one did not: zeros, then batches 25 to 39.
    let scene = Scene::new();
    scene.forgetful();
    let size = usize::try_from(scene.batch_bytes).unwrap();
    scene.edit(20, 0, &vec![0; 5 * size]);
    let (store, log) = scene.open();
    assert_eq!(store.recovered()[0].log_end_offset.get(), 20, "{:?}", store.recovered());
    assert!(store.recovered()[0].bytes_cut >= 15 * scene.batch_bytes);
    assert_eq!(read_around(&log), ((0..20).collect(), vec![]));
    log.append_wait(batch(&["value 0020"]), Durability::Synced).unwrap();
    drop((store, log));
    let (_store, log) = scene.open();
    assert_eq!(read_around(&log), ((0..21).collect(), vec![]), "and it does not come back");
}

#[test]
fn a_watermark_that_rotted_is_no_licence_to_leave_offsets_out() {
    // No checksum covers a base offset. Only where another program wrote may one jump ahead.
    for bad in [0_i64, 20] {
        let scene = Scene::new();
        scene.forgetful();
        scene.edit(bad.unsigned_abs(), 2, &[4]);
        let reader = Store::open_read_only(scene.dir.path()).unwrap();
        let end = reader.log(&partition(0)).unwrap().high_watermark();
        assert_eq!(end.get(), bad, "a reader believes it as little");
        drop(reader);
        let (store, log) = scene.open();
        assert_eq!(store.recovered()[0].log_end_offset.get(), bad, "{:?}", store.recovered());
        assert_eq!(read_around(&log), ((0..bad).collect(), vec![]));
    }
}

#[test]
fn an_index_does_not_prove_the_base_offset_of_the_batch_it_leads_to() {
    // An append that leaves offsets out is two batches: 1 to 4 left out, then the record at 5. The
    // index says that it ends with 5; so does the first of the two, once its base offset says 2.
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let every = TopicConfig::new().index_interval_bytes(0);
    store.create_topic_with(&"orders".parse().unwrap(), 1, every).unwrap();
    let log = store.log(&partition(0)).unwrap();
    log.append_wait(batch(&["first"]), Durability::Synced).unwrap();
    let mut kept = batch(&["fifth"]).as_bytes().to_vec();
    kept[..8].copy_from_slice(&5_i64.to_be_bytes());
    drop(log.replicate_raw(&kept, Durability::Synced).unwrap());
    log.append_wait(batch(&["sixth"]), Durability::Synced).unwrap();
    store.close().unwrap();
    drop((store, log));
    let first = batch(&["first"]).as_bytes().len();
    edit(&segment(dir.path(), 0), first.try_into().unwrap(), &2_i64.to_be_bytes());

    let scene = Scene::at(dir, 3);
    let (store, log) = scene.open();
    assert_eq!(read_around(&log), (vec![0, 5, 6], vec![(1, 5)]));
    drop((store, log));
    let (_store, log) = scene.open();
    for bytes in [1, 1 << 20] {
        let limits = FetchLimits::bytes(bytes);
        let fetched = log.fetch(Offset::new(5).unwrap(), limits, IsolationLevel::ReadUncommitted);
        let first = fetched.unwrap().records().next().unwrap().unwrap().offset;
        assert_eq!(first.get(), 5, "asked for {bytes} bytes");
    }
}

#[test]
fn row_72_what_stood_behind_a_torn_batch_never_comes_back() {
    let scene = Scene::new();
    scene.forgetful();
    scene.edit(20, 65, &[0xFF]);
    let (store, log) = scene.open();
    let recovered = store.recovered().remove(0);
    // The last byte of a record without headers is a zero, which nobody can tell from the end.
    assert_eq!(recovered.bytes_cut, 20 * scene.batch_bytes - 1);
    assert_eq!(recovered.log_end_offset.get(), 20);
    assert_eq!(recovered.leader_epoch.get(), 1, "S22: the epoch rises with a cut");
    // As long as the torn one: it ends exactly where the stale batch 21 stood.
    let again = log.append_wait(batch(&["value 0020"]), Durability::Synced).unwrap();
    assert_eq!(again.base_offset.get(), 20);
    drop((store, log));
    let (store, log) = scene.open();
    assert_eq!(read_around(&log).0, (0..21).collect::<Vec<_>>(), "{:?}", store.recovered());
    assert_eq!(store.recovered()[0].leader_epoch.get(), 1);
}

#[test]
fn row_10_zeros_behind_the_end_are_the_end() {
    let scene = Scene::new();
    scene.unclean();
    let file = fs::OpenOptions::new().write(true).open(scene.segment()).unwrap();
    file.set_len(1 << 20).unwrap();
    let (store, log) = scene.open();
    assert_eq!(store.recovered()[0].bytes_cut, 0);
    assert_eq!(read_around(&log), (all_but(0..0), vec![]));
}

#[test]
fn s5_good_data_far_behind_a_bad_place_proves_rot() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        Store::builder().unflushed_bytes_max(8192).message_bytes_max(4096).open(dir.path()).unwrap()
    };
    let store = open();
    let log = new_log(&store);
    for number in 0..400 {
        log.append_wait(batch(&[&format!("value {number}")]), Durability::Synced).unwrap();
    }
    store.close().unwrap();
    drop((store, log));
    fs::remove_file(dir.path().join("oncelog.clean")).unwrap();
    fs::remove_file(dir.path().join("orders-0/oncelog.watermark")).unwrap();
    edit(&segment(dir.path(), 0), 65, &[0xFF]);
    let store = open();
    let recovered = store.recovered().remove(0);
    assert_eq!((recovered.bytes_cut, recovered.damage.len()), (0, 1), "{recovered:?}");
    let (read, _) = read_around(&store.log(&partition(0)).unwrap());
    assert_eq!(read, (1..400).collect::<Vec<_>>());
}

#[test]
fn row_68_garbage_in_any_small_file_is_replaced_and_loses_nothing() {
    let garbage: [&[u8]; 6] = [
        b"",
        b"\xFF\xFE\x00",
        b"0\n2\n1 0\n",
        b"0\n1\n-5 -9\n",
        b"0\n99999999999\n",
        &[b'9'; 9000],
    ];
    let files = [
        "orders-0/leader-epoch-checkpoint",
        "orders-0/partition.metadata",
        "orders-0/oncelog.watermark",
        "orders-0/00000000000000000000.index",
        "recovery-point-offset-checkpoint",
        "log-start-offset-checkpoint",
        "replication-offset-checkpoint",
        "oncelog.clean",
        ".kafka_cleanshutdown",
    ];
    for file in files {
        for bytes in garbage {
            let scene = Scene::new();
            fs::write(scene.dir.path().join(file), bytes).unwrap();
            let (store, log) = scene.open();
            assert_eq!(read_around(&log), (all_but(0..0), vec![]), "{file}: {bytes:?}");
            log.append_wait(batch(&["x"]), Durability::Synced).unwrap();
            store.close().unwrap();
        }
    }
}

#[test]
fn row_68_properties_that_say_nothing_are_named_and_left_alone() {
    let huge = vec![b'9'; 70_000];
    for bytes in [&b""[..], b"\xFF\xFE\x00", b"version=7\n", &huge] {
        let scene = Scene::new();
        let path = scene.dir.path().join("meta.properties");
        fs::write(&path, bytes).unwrap();
        let (store, log) = scene.open();
        assert_eq!(read_around(&log), (all_but(0..0), vec![]));
        assert!(store.meta_properties().is_none());
        let warnings = store.warnings();
        assert!(warnings.iter().any(|warning| warning.contains("meta.properties")), "{warnings:?}");
        store.close().unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "nothing is made up in its place");
    }
}

#[test]
fn row_69_a_clean_marker_that_lies_is_not_believed() {
    let scene = Scene::new();
    let marker = fs::read(scene.dir.path().join("oncelog.clean")).unwrap();
    let (store, log) = scene.open();
    log.append_wait(batch(&["value 0040"]), Durability::Synced).unwrap();
    drop((store, log));
    fs::write(scene.dir.path().join("oncelog.clean"), marker).unwrap();
    let (store, log) = scene.open();
    assert!(!store.recovered()[0].clean);
    assert_eq!(read_around(&log).0, (0..41).collect::<Vec<_>>());
}

#[test]
fn row_69_a_clean_marker_over_a_changed_last_batch_is_not_believed() {
    let scene = Scene::new();
    scene.edit(39, 65, &[0xFF]);
    // No batch is read before it is needed: the first append finds out, and changes nothing.
    let (store, log) = scene.open();
    assert_eq!(read_around(&log), (all_but(39..40), vec![(39, 40)]));
    let refused = log.append_wait(batch(&["value 0040"]), Durability::Synced).unwrap_err();
    assert!(matches!(refused, AppendError::NotAppended(NotAppended::Offline(_))), "{refused}");
    let log = store.reopen(&partition(0)).unwrap();
    assert!(!store.recovered()[0].clean);
    assert_eq!(read_around(&log), (all_but(39..40), vec![(39, 40)]));
}

#[test]
fn row_70_two_segments_that_claim_one_offset_are_refused() {
    let scene = Scene::new();
    scene.unclean();
    let bytes = fs::read(scene.segment()).unwrap();
    let from = usize::try_from(20 * scene.batch_bytes).unwrap();
    fs::write(segment(scene.dir.path(), 20), &bytes[from..]).unwrap();
    let refused = Store::open(scene.dir.path()).unwrap_err();
    assert!(refused.to_string().contains("two files claim the same offsets"), "{refused}");
    assert_eq!(fs::read(scene.segment()).unwrap(), bytes, "and nothing is touched");
}

#[test]
fn row_70_a_missing_segment_is_named() {
    for (gone, name) in [(1, "in the middle"), (0, "the first")] {
        without_segment(gone, name);
    }
}

fn without_segment(gone: usize, name: &str) {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::builder().segment_bytes_max(4096).open(dir.path()).unwrap();
    let store = open();
    let log = new_log(&store);
    for number in 0..200 {
        log.append_wait(batch(&[&format!("value {number}")]), Durability::Synced).unwrap();
    }
    let bases: Vec<i64> =
        log.info().segments.iter().map(|segment| segment.base_offset.get()).collect();
    store.close().unwrap();
    drop((store, log));
    let (start, end) = (bases[gone], bases[gone + 1]);
    fs::remove_file(segment(dir.path(), start)).unwrap();
    let store = open();
    let recovered = store.recovered().remove(0);
    assert_eq!(recovered.damage.len(), 1, "{name}: {recovered:?}");
    let lost = &recovered.damage[0].offsets;
    assert_eq!((lost.start.get(), lost.end.get()), (start, end), "{name}");
    assert_eq!(recovered.log_start_offset.get(), 0, "{name}");
    let (read, damaged) = read_around(&store.log(&partition(0)).unwrap());
    assert_eq!(read.len(), usize::try_from(200 - (end - start)).unwrap(), "{name}");
    assert_eq!(damaged, [(start, end)], "{name}");
}

#[test]
fn row_70_a_segment_named_otherwise_than_its_first_batch_is_named() {
    let scene = Scene::new();
    scene.unclean();
    fs::rename(scene.segment(), segment(scene.dir.path(), 7)).unwrap();
    match Store::open(scene.dir.path()) {
        Ok(store) => assert_eq!(store.recovered()[0].damage.len(), 1, "{:?}", store.recovered()),
        Err(error) => assert!(matches!(error, OpenError::Io(_)), "{error}"),
    }
}

#[test]
fn row_71_a_last_segment_of_a_few_bytes_opens_and_loses_only_those() {
    for bytes in [0, 1, 12, 17, 60, 61] {
        let scene = Scene::new();
        scene.unclean();
        let whole = fs::read(scene.segment()).unwrap();
        fs::write(segment(scene.dir.path(), RECORDS), &whole[..bytes]).unwrap();
        let (store, log) = scene.open();
        assert_eq!(read_around(&log), (all_but(0..0), vec![]), "{bytes} bytes");
        let appended = log.append_wait(batch(&["x"]), Durability::Synced).unwrap();
        assert_eq!(appended.base_offset.get(), RECORDS);
        store.close().unwrap();
        drop((store, log));
        assert_eq!(scene.open().1.log_end_offset().get(), RECORDS + 1);
    }
}

#[test]
fn row_93_the_last_offsets_are_refused_before_they_run_out() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    new_log(&store);
    drop(store);
    for name in ["00000000000000000000.log", "oncelog.watermark"] {
        fs::remove_file(dir.path().join("orders-0").join(name)).unwrap();
    }
    fs::write(segment(dir.path(), i64::MAX - 3), b"").unwrap();
    let store = Store::open(dir.path()).unwrap();
    let log = store.log(&partition(0)).unwrap();
    log.append_wait(batch(&["a", "b"]), Durability::Synced).unwrap();
    let refused = log.append(batch(&["c"]), Durability::Synced).unwrap_err();
    let exhausted = AppendError::NotAppended(NotAppended::OffsetExhausted {
        log_end: Offset::new(i64::MAX - 1).unwrap(),
    });
    assert_eq!(refused.to_string(), exhausted.to_string());
    assert_eq!(read_all(&log).len(), 2);
}

#[test]
fn row_94_a_segment_rolls_before_a_relative_offset_overflows() {
    let store = Store::in_memory();
    let log = new_log(&store);
    log.append_wait(batch(&["first"]), Durability::Synced).unwrap();
    let mut far = batch(&["far"]).into_bytes();
    let base = Offset::new(i64::from(i32::MAX) - 1).unwrap();
    log_core::format::stamp(&mut far, base, log_core::ids::LeaderEpoch::ZERO).unwrap();
    log.replicate_raw(&far, Durability::Synced).unwrap().wait().unwrap();
    log.append_wait(batch(&["at 2^31 - 1"]), Durability::Synced).unwrap();
    log.append_wait(batch(&["over"]), Durability::Synced).unwrap();
    let bases: Vec<_> = log.info().segments.iter().map(|s| s.base_offset.get()).collect();
    assert_eq!(bases, [0, i64::from(i32::MAX) + 1]);
    assert_eq!(read_all(&log).len(), 4);
}

#[test]
fn row_13_double_close_drop_without_close_and_use_after_close_are_defined() {
    let scene = Scene::new();
    let (store, log) = scene.open();
    let ticket = log.append(batch(&["value 0040"]), Durability::Written).unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert_eq!(ticket.wait().unwrap().base_offset.get(), RECORDS);
    let refused = log.append(batch(&["x"]), Durability::Buffered).unwrap_err();
    assert!(matches!(refused, AppendError::NotAppended(NotAppended::Closed)), "{refused}");
    let read = log.fetch(Offset::ZERO, FetchLimits::default(), IsolationLevel::ReadUncommitted);
    assert!(matches!(read, Err(FetchError::Closed)), "{read:?}");
    assert!(log.tail(Offset::ZERO).next().is_none());
    drop((store, log));

    let (store, log) = scene.open();
    let ticket = log.append(batch(&["value 0041"]), Durability::Buffered).unwrap();
    assert_eq!(ticket.wait().unwrap().base_offset.get(), RECORDS + 1);
    drop((store, log));
    assert_eq!(scene.open().1.log_end_offset().get(), RECORDS + 2, "a drop flushes what waits");
}
