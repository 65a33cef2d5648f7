//! Where a transaction stands, and which moves are legal (Kafka `TransactionState`).
//!
//! ```text
//!   Empty ─────▶ Ongoing ─┬▶ PrepareCommit ─▶ CompleteCommit ─▶ Empty, Ongoing, PrepareAbort, Dead
//!     │  ▲                ├▶ PrepareAbort ──▶ CompleteAbort ──▶ the same
//!     │  └ init           └▶ PrepareEpochFence ─▶ PrepareAbort      in memory only
//!     └▶ Dead, and PrepareAbort: an abort of nothing, to have a new epoch (KIP-890)
//! ```
//!
//! A Prepare record is the decision: once it is durable the outcome stands.

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "Kafka knows these eight")]
pub enum TransactionState {
    /// The producer is known and has no transaction.
    Empty,
    /// Partitions have joined, or may join.
    Ongoing,
    /// Decided: commit. Markers are being written.
    PrepareCommit,
    /// Decided: abort. Markers are being written.
    PrepareAbort,
    /// All commit markers are written.
    CompleteCommit,
    /// All abort markers are written.
    CompleteAbort,
    /// The id is about to be forgotten.
    Dead,
    /// A newer producer shuts the older one out; an abort follows. Never written.
    PrepareEpochFence,
}

use TransactionState::{
    CompleteAbort, CompleteCommit, Dead, Empty, Ongoing, PrepareAbort, PrepareCommit,
    PrepareEpochFence,
};

impl TransactionState {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Empty,
        Ongoing,
        PrepareCommit,
        PrepareAbort,
        CompleteCommit,
        CompleteAbort,
        Dead,
        PrepareEpochFence,
    ];

    /// The number Kafka writes.
    #[must_use]
    pub const fn id(self) -> i8 {
        match self {
            Empty => 0,
            Ongoing => 1,
            PrepareCommit => 2,
            PrepareAbort => 3,
            CompleteCommit => 4,
            CompleteAbort => 5,
            Dead => 6,
            PrepareEpochFence => 7,
        }
    }

    /// The state of a number that may stand in a journal.
    #[must_use]
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id && *state != PrepareEpochFence)
    }

    /// From where a transaction may come here.
    #[must_use]
    pub const fn legal_from(self) -> &'static [Self] {
        match self {
            Empty | Dead => &[Empty, CompleteCommit, CompleteAbort],
            Ongoing => &[Ongoing, Empty, CompleteCommit, CompleteAbort],
            PrepareCommit | PrepareEpochFence => &[Ongoing],
            PrepareAbort => &[Ongoing, PrepareEpochFence, Empty, CompleteCommit, CompleteAbort],
            CompleteCommit => &[PrepareCommit],
            CompleteAbort => &[PrepareAbort],
        }
    }

    /// Whether that move is legal.
    #[must_use]
    pub fn may_become(self, target: Self) -> bool {
        target.legal_from().contains(&self)
    }

    /// Whether the outcome is decided and not yet everywhere.
    #[must_use]
    pub const fn is_prepared(self) -> bool {
        matches!(self, PrepareCommit | PrepareAbort)
    }

    /// Whether the last transaction is over everywhere, or none was begun.
    #[must_use]
    pub const fn is_at_rest(self) -> bool {
        matches!(self, Empty | CompleteCommit | CompleteAbort)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pair, as Kafka's `TransactionState.VALID_PREVIOUS_STATES` has them with transactions v2.
    #[test]
    fn the_legal_moves_are_exactly_kafkas() {
        //            to: Em On PC PA CC CA De Fe
        let legal: [(TransactionState, [u8; 8]); 8] = [
            (Empty, [1, 1, 0, 1, 0, 0, 1, 0]),
            (Ongoing, [0, 1, 1, 1, 0, 0, 0, 1]),
            (PrepareCommit, [0, 0, 0, 0, 1, 0, 0, 0]),
            (PrepareAbort, [0, 0, 0, 0, 0, 1, 0, 0]),
            (CompleteCommit, [1, 1, 0, 1, 0, 0, 1, 0]),
            (CompleteAbort, [1, 1, 0, 1, 0, 0, 1, 0]),
            (Dead, [0; 8]),
            (PrepareEpochFence, [0, 0, 0, 1, 0, 0, 0, 0]),
        ];
        for (from, row) in legal {
            for (to, expected) in TransactionState::ALL.into_iter().zip(row) {
                assert_eq!(from.may_become(to), expected == 1, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn a_fence_is_never_read_from_a_journal() {
        for state in TransactionState::ALL {
            let read = TransactionState::from_id(state.id());
            assert_eq!(read, (state != PrepareEpochFence).then_some(state));
        }
        assert_eq!(TransactionState::from_id(8), None);
        assert_eq!(TransactionState::from_id(-1), None);
    }
}
