//! What the coordinator's answers mean.
//!
//! ```text
//!   UnknownMemberId      a new member next time; what is owned is lost
//!   IllegalGeneration    the same member; what is owned is lost
//!   RebalanceInProgress  join again, and keep what the protocol lets one keep
//!   MemberIdRequired     join again at once, by that id
//!   retriable            the same again, a little later
//!   else                 this consumer cannot go on
//! ```

use log_core::clock::Tick;

use crate::error::GroupError;
use crate::group::messages::{Answer, Identity, JoinReason, Joined};
use crate::ids::Generation;

use super::call::CallId;
use super::{Duty, Membership, Phase};

/// Why offsets were not committed, in terms of what to do.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitRefusal {
    /// The group rebalances: poll, then commit again what is still owned.
    #[error("the group rebalances: poll, and commit again what is still assigned then")]
    RebalanceInProgress,
    /// The partitions may have another owner: what was processed may be processed again.
    #[error(
        "this consumer is not part of its group any more: the records may be processed again by another. If polls are too far apart, lower max_poll_records or raise max_poll_interval"
    )]
    CommitFailed,
    /// Another process has this instance id: stop.
    #[error(transparent)]
    Fenced(GroupError),
    /// Not now: the same again.
    #[error(transparent)]
    Retry(GroupError),
}

impl Membership {
    /// An answer has arrived. One to a request that nobody waits for any more changes nothing.
    pub fn answered(&mut self, call: CallId, answer: Result<Answer, GroupError>, now: Tick) {
        if self.in_flight == Some(call) {
            self.in_flight = None;
            match answer {
                Ok(Answer::Joined(joined)) => self.joined(joined, now),
                Ok(Answer::Synced(synced)) => {
                    self.phase = Phase::Stable;
                    self.prepared = false;
                    self.collected = Some(synced.assignment);
                }
                Ok(_) => {}
                Err(error) => self.join_refused(error, now),
            }
        } else if self.beat_in_flight == Some(call) {
            self.beat_in_flight = None;
            if let Err(error) = answer {
                self.beat_refused(error);
            }
        }
    }

    fn joined(&mut self, joined: Joined, now: Tick) {
        let leads = joined.leader.as_ref() == Some(&joined.member_id);
        self.generation = Some(joined.generation);
        self.member_id = Some(joined.member_id);
        self.chosen = joined.protocol;
        self.watched = None;
        let duty = match (leads, joined.skip_assignment) {
            (false, _) => Duty::Follow,
            (true, false) => Duty::Assign(joined.members),
            (true, true) => {
                self.watched = Some(joined.layout);
                Duty::Keep
            }
        };
        self.phase = Phase::Completing(Some(duty));
        self.next_beat = now.after(self.settings.heartbeat_interval);
    }

    fn join_refused(&mut self, error: GroupError, now: Tick) {
        let reason = self.sent_reason;
        match error {
            GroupError::UnknownMemberId { .. } => self.reset(false, reason),
            GroupError::IllegalGeneration { .. } => self.reset(true, reason),
            GroupError::RebalanceInProgress => self.join_again(reason),
            GroupError::MemberIdRequired { member_id } => {
                self.member_id = Some(member_id);
                self.join_again(reason);
            }
            error if error.is_retriable() => {
                self.retry_at = now.after(self.settings.retry_backoff);
                self.join_again(reason);
            }
            error => self.fail(error),
        }
    }

    fn join_again(&mut self, reason: JoinReason) {
        self.phase = Phase::Unjoined;
        self.rejoin.get_or_insert(reason);
    }

    /// What is owned is lost, and this consumer is out for good.
    fn fail(&mut self, error: GroupError) {
        self.reset(false, JoinReason::Unspecified);
        self.prepare();
        self.prepared = true;
        self.failed = Some(error);
    }

    fn beat_refused(&mut self, error: GroupError) {
        match error {
            GroupError::RebalanceInProgress if matches!(self.phase, Phase::Stable) => {
                self.rejoin.get_or_insert(JoinReason::Unspecified);
            }
            GroupError::UnknownMemberId { .. } => self.reset(false, JoinReason::Unspecified),
            GroupError::IllegalGeneration { .. } => self.reset(true, JoinReason::Unspecified),
            error if error.is_fatal() => self.fail(error),
            _ => {}
        }
    }

    /// As whom to commit offsets.
    ///
    /// # Errors
    ///
    /// [`CommitRefusal`]: not now, or not any more.
    pub fn committer(&self) -> Result<(Identity, Generation), CommitRefusal> {
        if let Some(failed) = &self.failed {
            return Err(CommitRefusal::Fenced(failed.clone()));
        }
        match (self.generation, &self.phase) {
            (Some(generation), Phase::Stable) => Ok((self.identity(), generation)),
            (Some(_), _) => Err(CommitRefusal::RebalanceInProgress),
            (None, _) => Err(CommitRefusal::CommitFailed),
        }
    }

    /// The coordinator refused a commit that was sent in `generation`.
    pub fn commit_refused(&mut self, error: GroupError, generation: Generation) -> CommitRefusal {
        let same = self.generation == Some(generation);
        let rebalancing = !matches!(self.phase, Phase::Stable) && self.generation.is_some();
        match error {
            GroupError::RebalanceInProgress => {
                if same {
                    self.rejoin.get_or_insert(JoinReason::Unspecified);
                }
                CommitRefusal::RebalanceInProgress
            }
            GroupError::UnknownMemberId { .. } | GroupError::IllegalGeneration { .. } => {
                if same && !rebalancing {
                    let keep_id = matches!(error, GroupError::IllegalGeneration { .. });
                    self.reset(keep_id, JoinReason::Unspecified);
                } else if rebalancing {
                    return CommitRefusal::RebalanceInProgress;
                }
                CommitRefusal::CommitFailed
            }
            error if error.is_retriable() => CommitRefusal::Retry(error),
            error => {
                if same {
                    self.fail(error.clone());
                }
                CommitRefusal::Fenced(error)
            }
        }
    }
}
