//! Running what a user gave us: with no lock held, its panic caught, and blocking calls refused.
//!
//! ```text
//!   library ── run ─▶ callback ── a blocking call of the store ─▶ refused at once (S11)
//!                        └ a panic ─▶ caught and counted; whoever called it goes on
//! ```

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};

std::thread_local! {
    static RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// Panics caught in callbacks of this process.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Whether this thread is inside a callback of the library. What would wait for the store that
/// calls it answers with an error there.
#[must_use]
pub fn is_running() -> bool {
    RUNNING.get()
}

/// Panics caught in callbacks of this process so far.
#[must_use]
pub fn panics() -> u64 {
    // Relaxed: a count nobody draws conclusions about other memory from.
    PANICS.load(Ordering::Relaxed)
}

/// Runs a callback or wakes a waker. For layers above the log; call it with no lock held.
pub fn run(call: impl FnOnce()) {
    let outer = RUNNING.replace(true);
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }
    RUNNING.set(outer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_caught_and_the_callback_mark_is_taken_back() {
        let before = panics();
        run(|| {
            assert!(is_running());
            run(|| panic!("a user's bug"));
            assert!(is_running(), "the outer callback still runs");
        });
        assert!(!is_running());
        assert!(panics() > before);
    }
}
