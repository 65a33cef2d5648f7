//! What consumer groups promise, checked from outside: one binary, a module for each subject.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a failure")]

mod blobs;
mod machine;
mod strategies;
mod vectors;
