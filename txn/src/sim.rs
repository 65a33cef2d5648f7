//! What a simulator may do to the answers that travel from a log to a producer (feature `sim`).
//!
//! ```text
//!   producer ── batch ─▶ log     the batch is appended, whatever becomes of its answer
//!            ◀── lost ──         "it may be there": the producer sends it again
//!       late copy ─────▶ log     a batch that was acknowledged long ago comes once more
//! ```
//!
//! Nothing here is drawn from anything but the store's entropy, so a seed says everything.

/// Chances in 65,536 for each batch; 0 by default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "every test names what it wants and defaults the rest"
)]
pub struct Losses {
    /// A good answer turns into "it may be there".
    pub answer_lost: u16,
    /// An acknowledged batch comes again, some time later.
    pub late_copy: u16,
}
