//! Models, oracles and runners that try to break oncelog.
//!
//! ```text
//!   seed ─▶ Plan (settings, faults, a list of Op)     plan.rs  op.rs  chance.rs
//!                 │
//!                 ▼
//!   History: a store on the simulated disk ◀──▶ Oracle: what must be there      history.rs  oracle.rs
//!
//!   any bytes ─▶ Target: parsers, recovery, histories drawn from the bytes      targets.rs  reference.rs
//! ```
//!
//! A seed says everything: the same seed gives the same history, always.

#![expect(
    clippy::missing_errors_doc,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::missing_panics_doc,
    reason = "test machinery: its errors are findings, its numbers are small"
)]

pub mod chance;
pub mod fatal;
pub mod history;
pub mod ledger;
pub mod op;
pub mod oracle;
pub mod plan;
pub mod reference;
pub mod retry;
pub mod sweep;
pub mod targets;
