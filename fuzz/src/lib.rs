//! Models, oracles and runners that try to break oncelog.
//!
//! ```text
//!   seed ─▶ Plan (settings, faults, a list of Op)     plan.rs  op.rs  chance.rs
//!                 │
//!                 ▼
//!   History: a store on the simulated disk ◀──▶ Oracle: what must be there      history.rs  oracle.rs
//! ```
//!
//! A seed says everything: the same seed gives the same history, always.

#![expect(
    clippy::missing_errors_doc,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "test machinery: its errors are findings, its numbers are small"
)]

pub mod chance;
pub mod history;
pub mod ledger;
pub mod op;
pub mod oracle;
pub mod plan;
