//! The kill runners, briefly: at random moments, and at side effects in turn.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

use std::process::Command;

/// Runs the runner in a directory of its own; returns its last line.
fn kill(words: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let runner = Command::new(env!("CARGO_BIN_EXE_kill"))
        .args(words)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(runner.stdout).unwrap();
    assert!(runner.status.success(), "{said}{}", String::from_utf8_lossy(&runner.stderr));
    said.lines().last().unwrap().to_owned()
}

#[test]
fn row_01_kills_at_random_moments_lose_nothing_that_was_acked() {
    let closing = kill(&["--rounds", "6"]);
    assert!(closing.starts_with("kill: 6 rounds, "), "{closing}");
    assert!(closing.ends_with("0 lost, 0 phantom, 0 holes, 0 duplicates"), "{closing}");
}

#[test]
fn row_02_kills_at_side_effects_in_turn_lose_nothing_that_was_acked() {
    let closing = kill(&["--sweep", "29"]);
    assert!(closing.contains(" side effects, "), "{closing}");
    assert!(closing.ends_with("0 lost, 0 phantom, 0 holes, 0 duplicates"), "{closing}");
}
