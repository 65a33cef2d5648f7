//! Chapters: what is longer than a comment, checked like one.

/// Every fault of the catalogue, and the test that inflicts it.
#[doc = include_str!("../docs/faults.md")]
pub mod faults {}
