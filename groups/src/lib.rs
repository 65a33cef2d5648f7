//! Consumer groups over `txn` and `log-core`, and the crate to depend on: it brings both.

#![forbid(unsafe_code)]

pub use log_core;
pub use txn;
