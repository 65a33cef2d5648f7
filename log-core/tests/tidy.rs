//! The house rules that no lint knows: headers, lengths, where `unsafe` may stand, which way
//! imports go.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
/// Lowest first: a room may import itself and what stands before it.
const ROOMS: [&str; 6] = ["format", "disk", "model", "segment", "log", "lib"];
const UNSAFE_FILES: [&str; 1] = ["disk/aligned.rs"];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn room(name: &str) -> Option<usize> {
    ROOMS.iter().position(|room| *room == name)
}

#[test]
fn every_file_keeps_the_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 40, "the rules look at the sources");
    let mut faults = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let mine = name.split(['/', '.']).next().and_then(room);
        if !text.starts_with("//! ") {
            faults.push(format!("{name}: no header that says what it is for"));
        }
        if text.lines().count() > FILE_LINES_MAX {
            faults.push(format!("{name}: longer than {FILE_LINES_MAX} lines"));
        }
        let code = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        for line in code {
            if line.contains("unsafe {") && !UNSAFE_FILES.contains(&name.as_str()) {
                faults.push(format!("{name}: an unsafe block"));
            }
            if line.contains("todo!(") || line.contains("unimplemented!(") {
                faults.push(format!("{name}: a stub"));
            }
            let target = line.strip_prefix("use crate::").and_then(|rest| rest.split("::").next());
            if let (Some(mine), Some(target)) = (mine, target.and_then(room))
                && target > mine
            {
                faults.push(format!("{name}: imports from above: {line}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
