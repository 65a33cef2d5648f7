//! Where a group stands, and which moves are legal (Kafka `ClassicGroupState`).
//!
//! ```text
//!            first join             all joined, or time is up          the assignment is in
//!   Empty ─────────────▶ Preparing ───────────────────────▶ Completing ──────────────────▶ Stable
//!     ▲                  Rebalance ◀─────────────────────── Rebalance                        │
//!     └── nobody joined ─┘  ▲        a member came, went                                     │
//!                           └─────── or changed ─────────────────────────────────────────────┘
//!   any ──▶ Dead: unloaded or deleted
//! ```

use core::fmt;

/// Where a group stands.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "Kafka knows these five")]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Members are to join the next generation.
    PreparingRebalance,
    /// All have joined; the leader is to say who gets what.
    CompletingRebalance,
    /// Everybody has, or can have, its assignment.
    Stable,
    /// Gone: another coordinator has it, or nobody.
    Dead,
}

use GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};

impl GroupState {
    /// All of them.
    pub const ALL: [Self; 5] = [Empty, PreparingRebalance, CompletingRebalance, Stable, Dead];

    /// From where a group may come here.
    #[must_use]
    pub const fn legal_from(self) -> &'static [Self] {
        match self {
            Empty | CompletingRebalance => &[PreparingRebalance],
            PreparingRebalance => &[Empty, CompletingRebalance, Stable],
            Stable => &[CompletingRebalance],
            Dead => &Self::ALL,
        }
    }

    /// Whether that move is legal.
    #[must_use]
    pub fn may_become(self, target: Self) -> bool {
        target.legal_from().contains(&self)
    }

    /// Whether a change of the membership begins a rebalance here. In `PreparingRebalance` one is
    /// under way already.
    #[must_use]
    pub const fn may_rebalance(self) -> bool {
        matches!(self, Empty | CompletingRebalance | Stable)
    }

    /// Kafka's name, as `kafka-consumer-groups` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Empty => "Empty",
            PreparingRebalance => "PreparingRebalance",
            CompletingRebalance => "CompletingRebalance",
            Stable => "Stable",
            Dead => "Dead",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legal_moves_are_exactly_kafkas() {
        //             to: Em PR CR St De
        let legal: [(GroupState, [u8; 5]); 5] = [
            (Empty, [0, 1, 0, 0, 1]),
            (PreparingRebalance, [1, 0, 1, 0, 1]),
            (CompletingRebalance, [0, 1, 0, 1, 1]),
            (Stable, [0, 1, 0, 0, 1]),
            (Dead, [0, 0, 0, 0, 1]),
        ];
        for (from, row) in legal {
            for (to, expected) in GroupState::ALL.into_iter().zip(row) {
                assert_eq!(from.may_become(to), expected == 1, "{from} to {to}");
            }
            assert_eq!(from.may_rebalance(), from.may_become(PreparingRebalance));
        }
    }
}
