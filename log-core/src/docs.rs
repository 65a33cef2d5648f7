//! Chapters: what is longer than a comment, checked like one.

/// Every fault of the catalogue, and the test that inflicts it.
#[doc = include_str!("../docs/faults.md")]
pub mod faults {}

/// Every scenario of the format, the log and its producers, and the test that shows it.
#[doc = include_str!("../docs/scenarios.md")]
pub mod scenarios {}
