//! Which faults a simulated disk draws, and how often.

/// How a life ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the promise knows these two")]
pub enum Stop {
    /// The process dies; the page cache lives on.
    Crash,
    /// The power goes.
    Cut,
}

/// Chances in 65,536 for each operation of a kind; 0 by default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "every test names what it wants and defaults the rest"
)]
pub struct Faults {
    /// A write fails with EIO; any of its sectors may have landed.
    pub write_error: u16,
    /// A write moves only some whole blocks.
    pub short_write: u16,
    /// A write moves nothing and says so.
    pub zero_write: u16,
    /// A write is interrupted before it did anything (EINTR or EAGAIN).
    pub interrupted: u16,
    /// A sync fails with EIO, and its sectors are lost to later syncs.
    pub sync_error: u16,
    /// A read fails with EIO once.
    pub read_error: u16,
    /// A read moves only some bytes.
    pub short_read: u16,
    /// A sync says it succeeded and did nothing (a lying device).
    pub lying_sync: u16,
}
