//! Every input of the corpora and every regression, on stable, within `cargo test`; and histories
//! drawn by proptest, which shrinks what fails.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::targets::{ALL, CANARY, Target, ops};
use proptest::prelude::*;

fn inputs(folder: &str, target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn no_target_fails_on_its_seeds() {
    for target in ALL {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}: nothing to start from", target.name);
        for seed in &seeds {
            (target.run)(seed);
        }
    }
}

#[test]
fn no_target_fails_on_its_corpus() {
    for target in ALL {
        let corpus = inputs("corpus", target);
        assert!(!corpus.is_empty(), "{}: no corpus", target.name);
        for (path, input) in corpus {
            println!("{}", path.display());
            (target.run)(&input);
        }
    }
}

#[test]
fn no_regression_comes_back() {
    for target in ALL {
        for (path, input) in inputs("regressions", target) {
            println!("{}", path.display());
            (target.run)(&input);
        }
    }
}

#[test]
fn the_canary_fails_on_what_a_fuzzer_found_for_it() {
    let found = inputs("regressions", &CANARY);
    assert!(!found.is_empty());
    for (path, input) in found {
        assert!(catch_unwind(|| (CANARY.run)(&input)).is_err(), "{}", path.display());
    }
}

#[test]
fn every_target_has_its_shell() {
    let shells = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    for target in ALL.iter().chain([&CANARY]) {
        let shell = fs::read_to_string(shells.join(format!("{}.rs", target.name))).unwrap();
        assert!(shell.contains("fuzz_target!"), "{}", target.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn histories_drawn_from_any_bytes_pass(bytes in prop::collection::vec(any::<u8>(), 40..600)) {
        ops::run(&bytes);
        ops::run_damaged(&bytes);
    }
}
