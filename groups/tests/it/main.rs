//! What consumer groups promise, checked from outside: one binary, a module for each subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test a failure is a failure"
)]

mod blobs;
mod client;
mod machine;
mod strategies;
mod vectors;
