//! The house rules that no lint knows: headers, lengths, where `unsafe` may stand, which way
//! imports go.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
/// Lowest first: a room may import itself and what stands before it.
const ROOMS: [&str; 6] = ["format", "disk", "model", "segment", "log", "lib"];
const UNSAFE_FILES: [&str; 3] = ["disk/aligned.rs", "disk/map.rs", "disk/uring/ring.rs"];

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

/// The names of tests that a line of a table gives: long ones in backticks.
fn tests_named(line: &str) -> impl Iterator<Item = &str> {
    let quoted = line.split('`').skip(1).step_by(2);
    let name = |word: &&str| {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        word.chars().all(letters) && word.matches('_').count() >= 3
    };
    quoted.filter(name)
}

/// What stands in the sources of `rooms`.
fn code(root: &Path, rooms: &[&str]) -> String {
    let mut files = Vec::new();
    for room in rooms {
        sources(&root.join(room), &mut files);
    }
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_test_that_the_fault_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = ["src", "tests", "../fuzz/src", "../fuzz/tests", "../txn", "../groups"];
    let code = code(root, &rooms);
    let table = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    let (mut faults, mut named, mut expected) = (Vec::new(), 0, 1);
    for row in rows {
        let Ok(number) = row[2..].split(' ').next().unwrap().parse::<u32>() else { continue };
        if number != expected {
            faults.push(format!("row {expected} is missing before row {number}"));
        }
        expected = number + 1;
        for test in tests_named(row) {
            named += 1;
            if !code.contains(&format!("fn {test}(")) {
                faults.push(format!("row {number} names {test}, which does not exist"));
            }
            let prefix = format!("row_{number:02}_");
            if test.starts_with("row_") && !test.starts_with(&prefix) {
                faults.push(format!("{test} stands in row {number}"));
            }
        }
    }
    let name_of = |rest: &str| rest.split(['(', '<', '"']).next().unwrap_or_default().to_owned();
    for test in code.split("fn row_").skip(1).map(name_of).filter(|name| !name.is_empty()) {
        if !table.contains(&format!("`row_{test}`")) {
            faults.push(format!("row_{test} stands in no row"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(expected, 111, "the catalogue has 110 rows");
    assert!(named > 50, "the check looks at {named} names");
}

/// The scenarios for which a test was written: `b39_b40_recovered_..` is of B39 and B40.
fn scenarios_of(test: &str) -> impl Iterator<Item = String> {
    let is_scenario = |part: &&str| {
        let number = part.strip_prefix(['a', 'b', 'c']);
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    test.split('_').take_while(is_scenario).map(str::to_uppercase)
}

#[test]
fn every_test_that_the_scenario_table_names_exists_and_every_numbered_one_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = code(root, &["src", "tests"]);
    let table = fs::read_to_string(root.join("docs/scenarios.md")).unwrap();
    let expected = [('A', 40), ('B', 70), ('C', 32)];
    let mut expected =
        expected.iter().flat_map(|(part, most)| (1..=*most).map(move |at| format!("{part}{at}")));
    let (mut faults, mut rows, mut named) = (Vec::new(), Vec::new(), 0);
    for row in table.lines().filter_map(|line| line.strip_prefix("| ")) {
        let scenario = row.split(' ').next().unwrap();
        if scenario == "scenario" {
            continue;
        }
        if expected.next().as_deref() != Some(scenario) {
            faults.push(format!("{scenario} is not the next scenario"));
        }
        for test in tests_named(row) {
            named += 1;
            if !code.contains(&format!("fn {test}(")) {
                faults.push(format!("{scenario} names {test}, which does not exist"));
            }
            rows.push((scenario.to_owned(), test));
        }
        if tests_named(row).next().is_none() && row.split('|').nth(2).unwrap().trim().is_empty() {
            faults.push(format!("{scenario} has neither a test nor a reason"));
        }
    }
    assert_eq!(expected.next(), None, "a scenario without a row");
    let name_of = |rest: &str| rest.split(['(', '<', '"']).next().unwrap_or_default().to_owned();
    for test in code.split("fn ").skip(1).map(name_of) {
        for scenario in scenarios_of(&test) {
            if !rows.iter().any(|(row, name)| *row == scenario && *name == test) {
                faults.push(format!("{test} does not stand in {scenario}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(named > 100, "the check looks at {named} names");
}
