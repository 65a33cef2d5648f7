//! The simulated disk keeps its own rules: each is one way in which a real disk may be unkind.

use std::collections::BTreeSet;

use super::*;
use crate::disk::aligned::BLOCK_BYTES;
use crate::disk::{AlignedBuf, Completion, Token, Write, WriteSync};

const SEEDS: u64 = 64;
const SECTOR: usize = 512;
const BLOCK: u64 = 4096;

fn path(name: &str) -> PathBuf {
    Path::new("/").join(name)
}

/// A file whose name is durable.
fn file(disk: &SimDirectory, name: &str) -> Arc<dyn File> {
    let file = disk.open(&path(name), Open::Create).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    file
}

/// The file's bytes in the next life, after the power went.
fn after_cut(disk: &SimDirectory, name: &str) -> Option<Vec<u8>> {
    disk.cut();
    disk.reborn().read(&path(name))
}

fn submission(token: u64, file: &Arc<dyn File>, block: u64, byte: u8) -> Write {
    let mut buffer = AlignedBuf::with_capacity(BLOCK_BYTES);
    buffer.fill(&[byte; BLOCK_BYTES]);
    let (file, range, position) = (Arc::clone(file), 0..BLOCK_BYTES, block * BLOCK);
    Write { token: Token(token), file, position, buffer, range, sync: WriteSync::None }
}

fn drain(queue: &mut dyn Disk) -> Vec<Completion> {
    let mut out = Vec::new();
    while queue.in_flight() > 0 {
        queue.poll(1, &mut out).unwrap();
    }
    out
}

/// What each sector of the file is filled with; `None` for a mixture.
fn sectors(bytes: &[u8]) -> Vec<Option<u8>> {
    let fill = |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]).then_some(sector[0]);
    bytes.chunks(SECTOR).map(fill).collect()
}

#[test]
fn a_torn_rewrite_leaves_each_sector_old_or_new_and_never_garbage() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.write_at(0, &[b'o'; 4096]).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[b'n'; 4096]).unwrap();
        let left = sectors(&after_cut(&disk, "f").unwrap());
        assert_eq!(left.len(), 8);
        assert!(left.iter().all(|fill| matches!(fill, Some(b'o' | b'n'))), "seed {seed}: {left:?}");
        seen.insert(left);
    }
    assert!(seen.len() > 20, "sectors are torn independently: {seen:?}");
}

#[test]
fn garbage_comes_only_where_nothing_was_flushed() {
    let mut garbage = 0;
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.write_at(0, &[b'o'; 2048]).unwrap();
        file.sync().unwrap();
        file.write_at(2048, &[b'n'; 2048]).unwrap();
        let left = sectors(&after_cut(&disk, "f").unwrap());
        assert!(left.iter().take(4).all(|fill| *fill == Some(b'o')), "seed {seed}: {left:?}");
        let torn = |fill: &&Option<u8>| !matches!(fill, Some(b'n' | 0));
        garbage += left.iter().skip(4).filter(torn).count();
    }
    assert!(garbage > 0, "an unflushed sector may hold anything");
}

#[test]
fn what_was_flushed_survives_every_cut_and_what_was_not_may_not() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.write_at(0, &[b'a'; 4096]).unwrap();
        file.sync().unwrap();
        file.write_at(4096, &[b'b'; 4096]).unwrap();
        let left = after_cut(&disk, "f").unwrap();
        assert_eq!(left[..4096], [b'a'; 4096], "seed {seed}");
        lost += u32::from(left.get(4096..) != Some(&[b'b'; 4096][..]));
    }
    assert!(lost > 0);
}

#[test]
fn a_length_that_was_not_flushed_may_be_lost_with_all_behind_it() {
    let mut lengths = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.write_at(0, &[b'a'; 1000]).unwrap();
        file.sync().unwrap();
        file.write_at(1000, &[b'b'; 5000]).unwrap();
        let left = after_cut(&disk, "f").unwrap();
        assert!(left.starts_with(&[b'a'; 1000]), "seed {seed}");
        lengths.insert(left.len());
    }
    assert!(lengths.contains(&1000), "{lengths:?}");
    assert!(lengths.contains(&6000), "{lengths:?}");
    assert!(lengths.len() > 2, "and anything between: {lengths:?}");
}

#[test]
fn what_a_flushed_cut_of_the_file_took_never_comes_back() {
    let mut undone = 0;
    for seed in 0..SEEDS {
        for flushed in [false, true] {
            let disk = SimDirectory::new(seed);
            let file = file(&disk, "f");
            file.write_at(0, &[b'a'; 4096]).unwrap();
            file.sync().unwrap();
            file.set_len(100).unwrap();
            if flushed {
                file.sync().unwrap();
            }
            file.set_len(4096).unwrap();
            let left = after_cut(&disk, "f").unwrap();
            let back = left.iter().skip(100).any(|byte| *byte != 0);
            assert!(!(flushed && back), "seed {seed}");
            undone += u32::from(back);
        }
    }
    assert!(undone > 0, "without a flush the cut may not have happened");
}

#[test]
fn a_name_is_durable_only_after_a_sync_of_its_directory() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        file(&disk, "durable");
        let fresh = disk.open(&path("fresh"), Open::Create).unwrap();
        fresh.write_at(0, b"x").unwrap();
        fresh.sync().unwrap();
        disk.cut();
        let next = disk.reborn();
        assert!(next.read(&path("durable")).is_some(), "seed {seed}");
        match next.read(&path("fresh")) {
            Some(bytes) => {
                assert_eq!(bytes, b"x", "the content was flushed");
                kept += 1;
            }
            None => lost += 1,
        }
    }
    assert!(kept > 0 && lost > 0, "{kept} kept, {lost} lost");
}

#[test]
fn of_two_unlinked_files_the_older_may_come_back_without_the_newer() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        file(&disk, "old");
        file(&disk, "new");
        disk.unlink(&path("old")).unwrap();
        disk.unlink(&path("new")).unwrap();
        disk.cut();
        let next = disk.reborn();
        seen.insert(["old", "new"].map(|name| next.read(&path(name)).is_some()));
    }
    assert_eq!(seen.len(), 4, "each unlinking counts or not: {seen:?}");
}

#[test]
fn a_rename_is_the_old_name_or_the_new_one_and_the_target_is_old_or_new() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        for synced in [false, true] {
            let disk = SimDirectory::new(seed);
            file(&disk, "to").write_at(0, b"old").unwrap();
            disk.open(&path("to"), Open::Read).unwrap().sync().unwrap();
            let from = file(&disk, "from");
            from.write_at(0, b"new").unwrap();
            from.sync().unwrap();
            disk.rename(&path("from"), &path("to")).unwrap();
            if synced {
                disk.sync_dir(Path::new("/")).unwrap();
            }
            disk.cut();
            let next = disk.reborn();
            let (from, to) = (next.read(&path("from")), next.read(&path("to")).unwrap());
            match (from.as_deref(), &to[..]) {
                (Some(b"new"), b"old") => assert!(!synced, "seed {seed}"),
                (None, b"new") => {}
                other => unreachable!("seed {seed}: {other:?}"),
            }
            seen.insert((synced, to));
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn what_stands_in_a_directory_whose_name_is_lost_is_lost() {
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        disk.create_dir(&path("dir")).unwrap();
        disk.open(&path("dir/f"), Open::Create).unwrap();
        disk.sync_dir(&path("dir")).unwrap();
        disk.cut();
        let next = disk.reborn();
        let dir = next.list(Path::new("/")).unwrap();
        assert_eq!(next.read(&path("dir/f")).is_some(), !dir.is_empty(), "seed {seed}");
    }
}

#[test]
fn submissions_complete_in_any_order() {
    let mut orders = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.allocate(4 * BLOCK).unwrap();
        let mut queue = disk.disk().unwrap();
        for block in 0..4 {
            queue.submit_write(submission(block, &file, block, b'x'));
        }
        let tokens = drain(&mut *queue).into_iter().map(|done| done.token.0);
        orders.insert(tokens.collect::<Vec<_>>());
    }
    assert!(orders.len() > 10, "{orders:?}");
}

#[test]
fn a_sync_covers_what_had_completed_when_it_was_submitted_and_no_more() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.allocate(2 * BLOCK).unwrap();
        file.sync().unwrap();
        let mut queue = disk.disk().unwrap();
        queue.submit_write(submission(0, &file, 0, b'a'));
        drain(&mut *queue);
        queue.submit_write(submission(1, &file, 1, b'b'));
        queue.submit_sync(Token(2), &file);
        assert!(drain(&mut *queue).iter().all(|done| done.result.is_ok()));
        let left = after_cut(&disk, "f").unwrap();
        assert_eq!(left[..4096], [b'a'; 4096], "seed {seed}: it had completed");
        lost += u32::from(left[4096..] != [b'b'; 4096]);
    }
    assert!(lost > 0, "a write in flight is not covered, even if it completes before the sync");
}

#[test]
fn a_dsync_write_covers_its_own_range_and_no_earlier_write() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.allocate(2 * BLOCK).unwrap();
        file.sync().unwrap();
        let mut queue = disk.disk().unwrap();
        queue.submit_write(submission(0, &file, 0, b'a'));
        drain(&mut *queue);
        let own = Write { sync: WriteSync::OwnRange, ..submission(1, &file, 1, b'b') };
        queue.submit_write(own);
        drain(&mut *queue);
        let left = after_cut(&disk, "f").unwrap();
        assert_eq!(left[4096..], [b'b'; 4096], "seed {seed}: its own range is durable");
        lost += u32::from(left[..4096] != [b'a'; 4096]);
    }
    assert!(lost > 0, "the earlier write is not");
}

#[test]
fn a_failed_sync_drops_its_pages_and_live_reads_go_on_showing_them() {
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.write_at(0, &[b'o'; 512]).unwrap();
        file.sync().unwrap();
        file.write_at(0, &[b'n'; 512]).unwrap();
        let aimed = disk.aim(Aim::at(Call::Sync, Effect::EIO));
        assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
        assert!(file.sync().is_ok(), "the next one has nothing to do and says so");
        assert_eq!((aimed.matched(), aimed.struck()), (2, 1));
        assert_eq!(disk.read(&path("f")).unwrap(), [b'n'; 512], "reads show the new bytes");
        let left = after_cut(&disk, "f").unwrap();
        assert_eq!(left, [b'o'; 512], "seed {seed}: and they were nowhere else");
    }
}

#[test]
fn pages_of_a_failed_sync_are_durable_once_they_are_written_again() {
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.write_at(0, &[b'n'; 512]).unwrap();
        let _aimed = disk.aim(Aim::at(Call::Sync, Effect::EIO));
        file.sync().unwrap_err();
        file.write_at(0, &[b'n'; 512]).unwrap();
        file.sync().unwrap();
        assert_eq!(after_cut(&disk, "f").unwrap(), [b'n'; 512], "seed {seed}");
    }
}

#[test]
fn dropping_the_cache_after_a_failed_sync_shows_the_medium() {
    let disk = SimDirectory::new(1);
    let file = file(&disk, "f");
    file.write_at(0, &[b'o'; 512]).unwrap();
    file.sync().unwrap();
    file.write_at(0, &[b'n'; 512]).unwrap();
    let _aimed = disk.aim(Aim::at(Call::Sync, Effect::EIO));
    file.sync().unwrap_err();
    file.drop_cache().unwrap();
    assert_eq!(disk.read(&path("f")).unwrap(), [b'o'; 512]);
}

#[test]
fn a_lying_sync_makes_nothing_durable() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.write_at(0, &[b'a'; 512]).unwrap();
        let aimed = disk.aim(Aim::at(Call::Sync, Effect::Lie));
        file.sync().unwrap();
        assert_eq!(aimed.struck(), 1);
        lost += u32::from(after_cut(&disk, "f").unwrap() != [b'a'; 512]);
    }
    assert!(lost > 0);
}

#[test]
fn a_crash_keeps_what_completed_and_tears_what_is_in_flight() {
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.allocate(2 * BLOCK).unwrap();
        let mut queue = disk.disk().unwrap();
        queue.submit_write(submission(0, &file, 0, b'a'));
        drain(&mut *queue);
        queue.submit_write(submission(1, &file, 1, b'b'));
        disk.crash();
        let left = disk.reborn().read(&path("f")).unwrap();
        assert_eq!(left[..4096], [b'a'; 4096], "seed {seed}: the page cache outlives the process");
        let torn = sectors(&left[4096..]);
        assert!(torn.iter().all(|fill| matches!(fill, Some(0 | b'b'))), "{torn:?}");
        seen.insert(torn);
    }
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn a_breach_of_o_direct_is_recorded() {
    let breach = |change: fn(&mut Write)| {
        let disk = SimDirectory::new(3);
        let file = file(&disk, "f");
        file.allocate(4 * BLOCK).unwrap();
        let mut queue = disk.disk().unwrap();
        let mut write = submission(0, &file, 1, b'x');
        change(&mut write);
        queue.submit_write(write);
        drain(&mut *queue);
        disk.violations()
    };
    assert!(breach(|_| {}).is_empty());
    assert!(breach(|write| write.position += 512)[0].contains("not aligned"));
    assert!(breach(|write| write.range = 0..100)[0].contains("not aligned"));
    assert!(breach(|write| write.range = 512..4096)[0].contains("not aligned"));
    assert!(breach(|write| write.range = 0..8192)[0].contains("does not have"));
    assert!(breach(|write| write.range = 0..0)[0].contains("does not have"));
    assert!(breach(|write| write.position = 4 * BLOCK)[0].contains("beyond the space"));
}

#[test]
fn two_writes_of_one_block_in_flight_are_a_breach() {
    let disk = SimDirectory::new(3);
    let file = file(&disk, "f");
    file.allocate(4 * BLOCK).unwrap();
    let mut queue = disk.disk().unwrap();
    queue.submit_write(submission(0, &file, 1, b'x'));
    queue.submit_write(submission(1, &file, 2, b'y'));
    assert!(disk.violations().is_empty());
    queue.submit_write(submission(2, &file, 1, b'z'));
    assert!(disk.violations()[0].contains("overlaps"), "{:?}", disk.violations());
}

#[test]
fn a_full_disk_refuses_to_grow_and_leaves_everything_as_it_was() {
    let disk = SimDirectory::new(1);
    let file = file(&disk, "f");
    file.write_at(0, &[b'a'; 1000]).unwrap();
    disk.set_capacity(Some(1500));
    let refusal = file.allocate(4096).unwrap_err();
    assert_eq!(refusal.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.write_at(1000, &[0; 501]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1000);
    assert_eq!(file.write_at(500, &[b'b'; 1000]).unwrap(), 1000, "what fits is taken");
    let other = disk.open(&path("g"), Open::Create).unwrap();
    assert!(other.write_at(0, b"x").is_err());
    disk.unlink(&path("f")).unwrap();
    assert!(other.write_at(0, b"x").is_ok(), "a file without a name takes no space");
}

#[test]
fn an_armed_stop_strikes_at_its_operation_and_ends_the_life() {
    let disk = SimDirectory::new(1);
    let file = file(&disk, "f");
    disk.arm(3, Stop::Cut);
    assert!(file.len().is_ok());
    assert!(file.write_at(0, b"x").is_ok());
    assert!(!disk.is_over());
    assert!(file.sync().is_err(), "the third operation does not happen");
    assert!(disk.is_over());
    assert!(file.len().is_err() && disk.list(Path::new("/")).is_err());
    let next = disk.reborn();
    assert!(!next.is_over() && disk.is_over(), "the old life stays over");
    assert!(next.list(Path::new("/")).is_ok());
    assert!(file.len().is_err(), "files of the old life stay dead");
}

#[test]
fn a_lock_ends_with_the_life_of_its_holder() {
    let disk = SimDirectory::new(1);
    let held = disk.lock(&path("lock")).unwrap();
    disk.crash();
    let next = disk.reborn();
    let again = next.lock(&path("lock")).unwrap();
    drop(held);
    assert!(next.lock(&path("lock")).is_err(), "the dead holder lets go of nothing");
    drop(again);
    assert!(next.lock(&path("lock")).is_ok());
}

#[test]
fn everything_follows_from_the_seed() {
    let run = |seed| {
        let disk = SimDirectory::new(seed);
        let file = file(&disk, "f");
        file.allocate(8 * BLOCK).unwrap();
        let mut queue = disk.disk().unwrap();
        for block in 0..8 {
            queue.submit_write(submission(block, &file, block, b'a'));
        }
        let order: Vec<u64> = drain(&mut *queue).into_iter().map(|done| done.token.0).collect();
        (order, after_cut(&disk, "f"))
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[test]
fn a_fault_strikes_where_it_is_aimed_and_nowhere_else() {
    let disk = SimDirectory::new(1);
    let (log, index) = (file(&disk, "a.log"), file(&disk, "a.index"));
    log.write_at(0, &[b'x'; 4096]).unwrap();
    let bad = disk.aim(Aim::at(Call::Read, Effect::EIO).of(".log").bytes(512..1024).always());
    let mut buffer = [0; 512];
    assert_eq!(log.read_at(0, &mut buffer).unwrap(), 512);
    assert!(log.read_at(512, &mut buffer).is_err());
    assert!(log.read_at(1000, &mut buffer).is_err());
    assert_eq!(log.read_at(1024, &mut buffer).unwrap(), 512);
    assert_eq!((bad.matched(), bad.struck()), (2, 2));

    let short = disk.aim(Aim::at(Call::Write, Effect::Move(5)).of(".log").nth(2));
    assert_eq!(index.write_at(0, &[0; 9]).unwrap(), 9);
    let moved: Vec<usize> = (0..3).map(|_| log.write_at(0, &[0; 9]).unwrap()).collect();
    assert_eq!(moved, [9, 5, 9]);
    assert_eq!((short.matched(), short.struck()), (3, 1));

    let full = disk.aim(Aim::at(Call::Allocate, Effect::ENOSPC).of(".index").times(2));
    assert!(log.allocate(8192).is_ok());
    for _ in 0..2 {
        let refusal = index.allocate(8192).unwrap_err();
        assert_eq!(refusal.kind(), io::ErrorKind::StorageFull);
    }
    assert!(index.allocate(8192).is_ok());
    assert_eq!(full.struck(), 2);

    let _aimed = disk.aim(Aim::at(Call::Unlink, Effect::Fail(30)).of("a.index"));
    assert!(disk.unlink(&path("a.index")).is_err());
    assert!(disk.unlink(&path("a.index")).is_ok(), "it strikes once");
    let _aimed = disk.aim(Aim::at(Call::Rename, Effect::Fail(30)).of("a.log"));
    assert!(disk.rename(&path("a.log"), &path("b.log")).is_err());
    assert!(disk.read(&path("a.log")).is_some() && disk.read(&path("b.log")).is_none());
    disk.clear_aims();
    assert_eq!(log.read_at(512, &mut buffer).unwrap(), 512);
}
