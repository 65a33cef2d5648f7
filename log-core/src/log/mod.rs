//! What users hold: the [`Store`], its [`Log`]s, and the tickets of their appends.
//!
//! ```text
//!   Store ── Log ── append ─▶ Ticket          partition.rs  head.rs  pending.rs  space.rs
//!     │       ├──── fetch, tail               fetch.rs  follow.rs  times.rs
//!     │       └──── both ends                 trim.rs  truncate.rs  maintain.rs
//!     └ I/O thread: turn, complete            engine.rs  partition/turn.rs  writer.rs
//!     └ beside it: large snapshots            errands.rs
//!     └ open, reopen, close                   open.rs  open/  store.rs  clean.rs
//! ```
//!
//! Locks, in the order they may be taken (each at most once):
//! 0. `Store`'s turns              to close, to change topics; held across I/O, refused in callbacks
//! 1. `Store`'s partition map      short, no I/O
//! 2. `Partition::grow`            making space; held across I/O; only appenders that need space wait
//! 3. `Partition::writer`          the flush turn; held across I/O; only flushers wait
//! 4. `Partition::head`            short, never across I/O or a callback
//! 5. a segment's index            short
//! 6. a segment's `gone`           held while index files are put in place for it
//! 7. `Errands`                    short; waited for with any of them, for an errand takes only 5
//!
//! Answers (callbacks, wakers) and events are given once all of them are let go.

mod clean;
mod engine;
mod errands;
mod events;
mod fetch;
mod follow;
mod handle;
#[cfg(feature = "bench")]
pub(crate) mod head;
#[cfg(not(feature = "bench"))]
mod head;
mod info;
mod maintain;
mod open;
mod partition;
mod pending;
mod read_only;
mod space;
mod store;
mod ticket;
mod times;
mod transactional;
mod trim;
mod truncate;
mod writer;

pub use engine::Usage;
pub use events::{Event, EventListener};
pub use fetch::{FetchError, FetchLimits, Fetched, FetchedRecords, IsolationLevel, Verified};
pub use follow::{Tail, TailStream};
pub use handle::Log;
pub use head::LogState;
pub use info::{DirectoryInfo, LogInfo, PartitionInfo, SegmentInfo, StoreInfo};
pub use open::{OpenError, Recovered};
pub use read_only::{ReadOnlyLog, ReadOnlyStore};
pub use store::{CloseError, Store, StoreBuilder, TopicError, TopicInfo};
pub use ticket::{Appended, Ticket};
pub use times::OffsetAndTimestamp;
pub use transactional::MarkerDecides;
pub use trim::{Retained, TrimError};
