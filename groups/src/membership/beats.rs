//! Signs of life, and giving up the place of a consumer that nobody polls (Kafka's heartbeat
//! thread).

use log_core::clock::Tick;

use crate::group::messages::{JoinReason, LeaveReason};

use super::call::{Call, CallId};
use super::{Membership, Phase};

impl Membership {
    /// What is due at `now`: a heartbeat, or leaving because nobody polled in time.
    pub fn tick(&mut self, now: Tick) -> Option<(CallId, Call)> {
        let generation = self.beating()?;
        let identity = self.identity();
        if now >= self.poll_deadline {
            let id = self.call();
            self.reset(false, JoinReason::Unspecified);
            // A static member keeps its place until its session ends.
            let reason = LeaveReason::PollIntervalExceeded;
            return identity
                .instance_id
                .is_none()
                .then_some((id, Call::Leave { identity, reason }));
        }
        if now < self.next_beat || self.beat_in_flight.is_some() {
            return None;
        }
        let id = self.call();
        self.beat_in_flight = Some(id);
        self.next_beat = now.after(self.settings.heartbeat_interval);
        Some((id, Call::Heartbeat { identity, generation }))
    }

    /// When to call [`Membership::tick`] at the latest; `None` while there is nothing to be late
    /// with.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.beating()?;
        let beat = if self.beat_in_flight.is_some() { self.poll_deadline } else { self.next_beat };
        Some(beat.min(self.poll_deadline))
    }

    /// The generation to give signs of life in. While its join is kept back, the coordinator knows
    /// that it lives.
    fn beating(&self) -> Option<crate::ids::Generation> {
        let joining = matches!(self.phase, Phase::Preparing);
        self.generation.filter(|_| self.member_id.is_some() && !joining && self.failed.is_none())
    }

    /// The membership is over. What it owned may have another owner: the next step says so.
    pub(super) fn reset(&mut self, keep_id: bool, reason: JoinReason) {
        self.phase = Phase::Unjoined;
        self.generation = None;
        if !keep_id {
            self.member_id = None;
        }
        self.rejoin = Some(reason);
        self.prepared = false;
        self.in_flight = None;
        self.beat_in_flight = None;
        self.collected = None;
        self.watched = None;
        self.todo.retain(|todo| matches!(todo, super::Todo::Lost(_) | super::Todo::Leave(_)));
    }
}
