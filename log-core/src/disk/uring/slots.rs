//! What the kernel has in hand: each submission in a slot until its completion.
//!
//! ```text
//!   slot   0      1      2      3           user_data of an entry = its slot
//!          write  free   sync   write       buffers and files live here, not with the caller
//! ```
//!
//! Invariant: a slot is emptied by the completion that names it, and by nothing else. So a buffer
//! the kernel may be reading is never handed out, reused or freed.

use std::sync::Arc;

use super::super::{File, Token, Write};

/// A submission.
#[derive(Debug)]
pub(super) enum Submission {
    Write(Write, Tried),
    Sync(Token, Arc<dyn File>),
}

/// How often, and how last, a write went to the kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    pub(super) times: u32,
    pub(super) direct: bool,
}

/// The submissions that the kernel has.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Option<Submission>>,
    free: Vec<usize>,
}

impl Slots {
    /// Submissions in slots.
    pub(super) fn taken(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts `submission` where it stays until its completion; returns where.
    pub(super) fn put(&mut self, submission: Submission) -> (usize, &mut Submission) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        match self.slots.get_mut(slot) {
            Some(place) => (slot, place.insert(submission)),
            None => unreachable!("a free slot is one that was made"),
        }
    }

    /// The submission whose completion names `slot`.
    pub(super) fn take(&mut self, slot: usize) -> Option<Submission> {
        let submission = self.slots.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(submission)
    }

    /// Never frees what is in the slots: the kernel may still be reading it, and memory that is
    /// lost is better than memory that is somebody else's.
    pub(super) fn leak(&mut self) {
        core::mem::forget(core::mem::take(self));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{BlockingDirectory, Directory as _, Open};

    #[test]
    fn a_slot_is_taken_until_its_completion_and_then_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = BlockingDirectory::new().open(&dir.path().join("f"), Open::Create).unwrap();
        let sync = |number| Submission::Sync(Token(number), Arc::clone(&file));
        let mut slots = Slots::default();
        let (first, second) = (slots.put(sync(1)).0, slots.put(sync(2)).0);
        assert_eq!((first != second, slots.taken()), (true, 2));
        assert!(matches!(slots.take(first), Some(Submission::Sync(Token(1), _))));
        assert!(slots.take(first).is_none(), "a second completion of one submission finds nothing");
        assert!(slots.take(77).is_none());
        assert_eq!((slots.put(sync(3)).0, slots.taken()), (first, 2));
    }
}
