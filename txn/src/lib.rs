//! Producers and transactions over `log-core`. Not built yet: see CHANGELOG.

#![forbid(unsafe_code)]

pub use log_core;
