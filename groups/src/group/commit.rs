//! Heartbeats, and who may commit offsets.

use crate::error::GroupError;
use crate::ids::Generation;
use crate::state::GroupState::{CompletingRebalance, Dead, Empty, PreparingRebalance, Stable};

use super::Group;
use super::messages::{CommitKind, Identity, Now};

impl Group {
    /// `Heartbeat`. While members are to join, it is how they learn of it.
    pub(super) fn heartbeat(
        &mut self,
        identity: &Identity,
        generation: Generation,
        now: Now,
    ) -> Result<(), GroupError> {
        if self.state == Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        let id = self.validate(identity)?;
        self.check_generation(Some(generation))?;
        self.refresh(&id, now);
        match self.state {
            PreparingRebalance => Err(GroupError::RebalanceInProgress),
            Empty | CompletingRebalance | Stable | Dead => Ok(()),
        }
    }

    /// Whether offsets may be committed.
    ///
    /// - A consumer that assigns its partitions by hand names nobody and no generation; it may in
    ///   a group without members.
    /// - A member may in its own generation; while others join, that is still the old one. Between
    ///   the new generation and its assignment nobody may, but in a transaction, which its
    ///   producer's epoch guards.
    pub(super) fn commit(
        &mut self,
        identity: &Identity,
        generation: Option<Generation>,
        kind: CommitKind,
        now: Now,
    ) -> Result<(), GroupError> {
        if self.state == Dead {
            return Err(GroupError::CoordinatorNotAvailable);
        }
        if generation.is_none() && self.state == Empty {
            return Ok(());
        }
        let named = generation.is_some() || *identity != Identity::default();
        if named {
            let id = self.validate(identity)?;
            self.check_generation(generation)?;
            if kind == CommitKind::Plain && self.state == CompletingRebalance {
                return Err(GroupError::RebalanceInProgress);
            }
            self.refresh(&id, now);
            return Ok(());
        }
        match kind {
            CommitKind::Transactional => Ok(()),
            CommitKind::Plain => Err(GroupError::UnknownMemberId { member_id: None }),
        }
    }
}
