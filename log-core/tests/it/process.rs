//! The fault catalogue, processes: owners that live, die or are limited, on the real disk.
//!
//! The other process is this test binary again, told by an environment variable what to be.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use log_core::{AppendError, Durability, LogState, OpenError, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::log::{batch, new_log, partition, read_all};

const PART: &str = "ONCELOG_TEST_PART";
const DIR: &str = "ONCELOG_TEST_DIR";

/// What the other process does; in an ordinary run, nothing.
#[test]
fn the_other_process() {
    let Ok(part) = std::env::var(PART) else { return };
    let dir = std::env::var(DIR).unwrap();
    match part.as_str() {
        "owner" => owner(Path::new(&dir)),
        "limited" => limited(Path::new(&dir)),
        other => unreachable!("{other}"),
    }
}

/// Starts the other process; a shell runs `before` first.
fn start(part: &str, dir: &Path, before: &str) -> (Child, BufReader<ChildStdout>) {
    let script = format!("{before} exec \"$0\" --exact process::the_other_process --nocapture");
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(PART, part)
        .env(DIR, dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

/// Reads until a line that starts with `word`; returns the rest of it.
fn hear(out: &mut BufReader<ChildStdout>, word: &str) -> String {
    let mut line = String::new();
    loop {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended without saying {word}");
        if let Some(rest) = line.strip_prefix(word) {
            return rest.trim().to_owned();
        }
    }
}

fn say(line: &str) {
    // Straight to the pipe: the harness captures what is printed.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Opens the store, appends without end, and tells of each acknowledgement.
fn owner(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let log = new_log(&store);
    say("open");
    for number in 0.. {
        let value = format!("value {number} {}", "x".repeat(2000));
        log.append_wait(batch(&[&value]), Durability::Synced).unwrap();
        say(&format!("acked {number}"));
    }
}

#[test]
fn row_98_a_second_process_is_refused_at_once_and_told_who_has_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut out) = start("owner", dir.path(), "");
    hear(&mut out, "acked 3");
    match Store::open(dir.path()) {
        Err(OpenError::Locked { path, pid }) => {
            assert_eq!((path.as_path(), pid), (dir.path(), Some(child.id())));
        }
        other => unreachable!("{other:?}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn row_98_a_second_store_in_one_process_is_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    match Store::open(dir.path()) {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => unreachable!("{other:?}"),
    }
    drop(store);
    assert!(Store::open(dir.path()).is_ok());
}

#[test]
fn row_49_a_directory_opens_right_after_its_owner_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..8 {
        let child_dir = dir.path().join(format!("{round}"));
        let (mut child, mut out) = start("owner", &child_dir, "");
        hear(&mut out, "acked 1");
        // Not waited for: it may still be dying, and is a zombie at best.
        child.kill().unwrap();
        let store = Store::open(&child_dir).unwrap();
        let log = store.log(&partition(0)).unwrap();
        let acked = out.lines().map_while(Result::ok).filter(|line| line.starts_with("acked"));
        let acked = acked.count() + 2;
        assert!(read_all(&log).len() >= acked, "round {round}: {acked} were acked");
        child.wait().unwrap();
    }
}

/// Appends until the process may not write that far into a file.
fn limited(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let log = new_log(&store);
    log.append_wait(batch(&["small"]), Durability::Synced).unwrap();
    // Secures the space for what comes, so that it is the write that is cut short.
    for value in ["x".repeat(200_000), "x".repeat(5000)] {
        log.append_wait(batch(&[&value]), Durability::Synced).unwrap();
    }
    let end = u64::from(log.info().segments[0].bytes);
    let secured = fs::metadata(&log.info().segments[0].path).unwrap().len();
    let bytes = usize::try_from(secured - end).unwrap() - 1000;
    assert!(bytes > 50_000, "{secured} bytes are secured, {end} used");
    let most = getrlimit(Resource::Fsize).maximum;
    let limit = (end + 20_000).next_multiple_of(4096);
    setrlimit(Resource::Fsize, Rlimit { current: Some(limit), maximum: most }).unwrap();
    match log.append_wait(batch(&["y".repeat(bytes).as_str()]), Durability::Synced) {
        Err(AppendError::Indeterminate(fault)) => say(&format!("indeterminate {fault}")),
        other => say(&format!("unexpected {other:?}")),
    }
    let LogState::Offline(_) = log.info().state else { unreachable!("{:?}", log.info().state) };
    assert_eq!(read_all(&log).len(), 3, "what was durable reads on");
    setrlimit(Resource::Fsize, Rlimit { current: None, maximum: most }).unwrap();
    let again = store.reopen(&partition(0)).unwrap();
    let appended = again.append_wait(batch(&["after"]), Durability::Synced).unwrap();
    say(&format!("after {}", appended.base_offset));
}

#[test]
fn row_25_a_write_cut_short_by_the_kernel_is_no_ack_and_the_rest_is_tried_once() {
    let dir = tempfile::tempdir().unwrap();
    // Without the trap the signal of the limit would end the process.
    let (mut child, mut out) = start("limited", dir.path(), "trap '' XFSZ;");
    let fault = hear(&mut out, "indeterminate");
    assert!(fault.contains("00000000000000000000.log"), "{fault}");
    assert!(fault.contains("File too large"), "{fault}");
    assert_eq!(hear(&mut out, "after"), "3", "the short one was cut at the reopening");
    assert!(child.wait().unwrap().success());
    let store = Store::open(dir.path()).unwrap();
    let values: Vec<_> = read_all(&store.log(&partition(0)).unwrap());
    assert_eq!(values.len(), 4);
    assert_eq!(values[3].1, "after");
}
