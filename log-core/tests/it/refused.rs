//! A kernel that refuses `io_uring`, or puts it off: the same files, and one warning that names the
//! cure. The work is done in a child process, so that the refusal meets nothing but it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use log_core::entropy::SeededEntropy;
use log_core::{DirectIo, Durability, Engine, EngineInUse, Store};

use crate::engines::{dir, has_ring};
use crate::log::{batch, new_log, partition, read_all};

const DIR: &str = "ONCELOG_TEST_DIR";
const ENGINE: &str = "ONCELOG_TEST_ENGINE";

/// The child's half: fills a store and says what it noticed.
#[test]
#[ignore = "run by the others, in a child process"]
fn child() {
    let dir = PathBuf::from(std::env::var_os(DIR).expect("the directory comes from the parent"));
    let engine = match std::env::var(ENGINE).as_deref() {
        Ok("uring") => Engine::Uring,
        _ => Engine::Auto,
    };
    let store = Store::builder()
        .engine(engine)
        .entropy(Arc::new(SeededEntropy::new(7)))
        .segment_bytes_max(512 * 1024)
        .open(&dir)
        .unwrap();
    fill(&store);
    println!("engine {}", store.engine());
    for warning in store.warnings() {
        println!("warning {warning}");
    }
    store.close().unwrap();
}

/// Small commits, and streams of large batches.
fn fill(store: &Store) {
    let log = new_log(store);
    for number in 0..20 {
        log.append_wait(batch(&[&format!("value {number}")]), Durability::Synced).unwrap();
        let large = "stream ".repeat(20_000);
        let tickets: Vec<_> =
            (0..3).map(|_| log.append(batch(&[&large]), Durability::Synced).unwrap()).collect();
        for ticket in tickets {
            ticket.wait().unwrap();
        }
    }
    assert_eq!(read_all(&log).len(), 80);
}

/// What a child said and left.
#[derive(Debug)]
struct Left {
    engine: String,
    warnings: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

/// Runs the child behind `wrapper`; nothing, and a word about it, if the wrapper cannot be had.
fn run(wrapper: &[&str], engine: &str) -> Option<Left> {
    let own = std::env::current_exe().unwrap();
    let words = ["--ignored", "--exact", "refused::child", "--nocapture"];
    let mut command = match wrapper {
        [] => Command::new(&own),
        [program, rest @ ..] => {
            let there = Command::new(program).arg("-V").stdout(Stdio::null()).status();
            if let Err(error) = there {
                println!("skipped: no {program} here ({error})");
                return None;
            }
            let mut command = Command::new(program);
            command.args(rest).arg(&own);
            command
        }
    };
    let dir = dir();
    let output = command.args(words).env(DIR, dir.path()).env(ENGINE, engine).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    if complained.contains("was refused") || complained.contains("PTRACE") {
        println!("skipped: {complained}");
        return None;
    }
    assert!(output.status.success(), "{wrapper:?}\n{said}\n{complained}");
    let word = |first: &str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix(first));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let mut files = BTreeMap::new();
    collect(dir.path(), "", &mut files);
    Some(Left { engine: word("engine ").concat(), warnings: word("warning "), files })
}

/// All files but those that say who was here and how often the watermark was written.
fn collect(dir: &Path, under: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let last = path.file_name().unwrap().to_str().unwrap().to_owned();
        let name = format!("{under}/{last}");
        if path.is_dir() {
            collect(&path, &name, files);
        } else if last != ".lock" && last != "oncelog.watermark" {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn expect_same_files(one: &Left, other: &Left) {
    assert!(one.files.len() > 10, "{:?}", one.files.keys());
    assert_eq!(one.files.keys().collect::<Vec<_>>(), other.files.keys().collect::<Vec<_>>());
    for (name, bytes) in &one.files {
        assert!(other.files.get(name) == Some(bytes), "{name} differs");
    }
}

/// The child behind `wrapper` does the same work by system calls, and warns once.
fn expect_fallback(plain: &Left, wrapper: &[&str], cure: &str) {
    let Some(left) = run(wrapper, "auto") else { return };
    assert!(left.engine.starts_with("plain system calls"), "{left:?}");
    assert_eq!(left.warnings.len(), 1, "one warning: {:?}", left.warnings);
    let warning = &left.warnings[0];
    assert!(warning.contains("io_uring cannot be used"), "{warning}");
    assert!(warning.contains(cure), "{warning}");
    expect_same_files(plain, &left);
}

#[test]
fn row_41_io_uring_refused_or_absent_changes_nothing_but_one_warning() {
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/refuse_io_uring.py");
    let plain = run(&[], "auto").unwrap();
    if has_ring() {
        assert!(plain.engine.starts_with("io_uring"), "{}", plain.engine);
    }
    expect_fallback(&plain, &["python3", tool, "1"], "seccomp");
    expect_fallback(&plain, &["python3", tool, "38"], "Linux 5.11");
}

#[test]
fn row_40_no_memory_for_a_ring_changes_nothing_but_one_warning() {
    let plain = run(&[], "auto").unwrap();
    let inject = ["strace", "-f", "-o", "/dev/null", "-e", "inject=io_uring_setup:error=ENOMEM"];
    expect_fallback(&plain, &inject, "ulimit -l");
}

#[test]
fn row_42_an_interrupted_or_busy_ring_is_entered_again_and_nothing_is_lost_or_sent_twice() {
    if !has_ring() {
        return;
    }
    let plain = run(&[], "auto").unwrap();
    for error in ["EINTR", "EAGAIN", "EBUSY"] {
        let inject = format!("inject=io_uring_enter:error={error}:when=2+3");
        let wrapper = ["strace", "-f", "-o", "/dev/null", "-e", &inject];
        let Some(left) = run(&wrapper, "uring") else { return };
        assert!(left.engine.starts_with("io_uring"), "{}", left.engine);
        assert_eq!(left.warnings, Vec::<String>::new());
        expect_same_files(&plain, &left);
    }
}

#[test]
fn row_55_a_file_system_without_direct_writes_is_written_through_its_cache() {
    let shared_memory = Path::new("/dev/shm");
    let Ok(dir) = tempfile::tempdir_in(shared_memory) else {
        println!("skipped: no /dev/shm here");
        return;
    };
    let store = Store::open(dir.path()).unwrap();
    fill(&store);
    let info = store.engine();
    if info.direct_io {
        println!("skipped: {} has direct writes", shared_memory.display());
        return;
    }
    let reason = info.fallback.expect("it says why");
    assert!(reason.contains("page cache") && reason.contains("direct_io to Off"), "{reason}");
    assert_eq!(store.warnings().len(), 1);
    // Whoever asks for the page cache is not warned of it.
    let other = tempfile::tempdir_in(shared_memory).unwrap();
    let store = Store::builder().direct_io(DirectIo::Off).open(other.path()).unwrap();
    assert!(store.engine().engine != EngineInUse::Uring || store.warnings().is_empty());
}

/// A file system on a device whose logical block is 4096 bytes; taken down when dropped.
struct LargeBlocks {
    image: tempfile::TempDir,
    device: Option<String>,
    mounted: bool,
}

impl LargeBlocks {
    fn new() -> Result<Self, String> {
        let mut made = Self { image: dir(), device: None, mounted: false };
        let image = made.image.path().join("image");
        let file = fs::File::create(&image).map_err(|error| error.to_string())?;
        file.set_len(64 * 1024 * 1024).map_err(|error| error.to_string())?;
        let image = image.display().to_string();
        let device = command("losetup", &["--find", "--show", "--sector-size", "4096", &image])?;
        made.device = Some(device.trim().to_owned());
        command("mkfs.ext4", &["-q", "-F", "-b", "4096", device.trim()])?;
        fs::create_dir(made.at()).map_err(|error| error.to_string())?;
        command("mount", &[device.trim(), &made.at().display().to_string()])?;
        made.mounted = true;
        Ok(made)
    }

    fn at(&self) -> PathBuf {
        self.image.path().join("mounted")
    }
}

impl Drop for LargeBlocks {
    fn drop(&mut self) {
        if self.mounted {
            // Lazily: the I/O thread of the last store may be closing its files still.
            command("umount", &["--lazy", &self.at().display().to_string()]).unwrap();
        }
        if let Some(device) = &self.device {
            command("losetup", &["--detach", device]).unwrap();
        }
    }
}

fn command(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn row_56_a_device_with_logical_blocks_of_4096_bytes_is_written_directly() {
    let blocks = match LargeBlocks::new() {
        Ok(blocks) => blocks,
        Err(why) => return println!("skipped: no loop device here ({why})"),
    };
    for engine in [Engine::Auto, Engine::Blocking] {
        let at = blocks.at().join(format!("{engine:?}"));
        let store = Store::builder().engine(engine).open(&at).unwrap();
        assert!(store.engine().direct_io, "{:?}", store.engine());
        fill(&store);
        assert_eq!(store.engine().files_not_direct, 0);
        store.close().unwrap();
        drop(store);
        // Closed in the middle of a block, it goes on there.
        let store = Store::builder().engine(engine).open(&at).unwrap();
        let log = store.log(&partition(0)).unwrap();
        log.append_wait(batch(&["more"]), Durability::Synced).unwrap();
        assert_eq!(read_all(&log).len(), 81);
    }
}
