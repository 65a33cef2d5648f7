//! What a partition is, without a disk, a clock or a thread: pure state machines.
//!
//! ```text
//!   append ──▶ Producers: seen before? in order?
//!   append ──▶ Roll: same segment?  ──▶ Frontiers: the next offset ──▶ Flush: accepted
//!   write, sync completions ──▶ Flush: written, durable ──▶ Frontiers: what readers see
//! ```
//!
//! Invariant: nothing in here can fail. A step is planned (and refused) before anything moves.

pub(crate) mod epochs;
pub(crate) mod flush;
pub(crate) mod frontiers;
pub(crate) mod observed;
pub(crate) mod producers;
pub(crate) mod retention;
pub(crate) mod roll;
pub(crate) mod transactions;
pub(crate) mod verification;
