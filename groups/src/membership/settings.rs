//! How one consumer takes part in its group, under Kafka's names for consumers.

use core::time::Duration;
use std::sync::Arc;

use crate::assignor::{Assignor, CooperativeSticky, RebalanceProtocol};
use crate::ids::{InstanceId, RackId};

/// Why a setting is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// Heartbeats too rare for the session.
    #[error(
        "heartbeat_interval {heartbeat:?} is too long for a session_timeout of {session:?}: at most a third of it, so that one lost heartbeat costs nothing"
    )]
    Heartbeat {
        /// `heartbeat_interval`.
        heartbeat: Duration,
        /// `session_timeout`.
        session: Duration,
    },
    /// A time that must not be zero.
    #[error("{name} must be longer than zero")]
    Zero {
        /// Which.
        name: &'static str,
    },
    /// No way of assigning, two of one name, or none that all of them can be used with.
    #[error("the assignors {names:?} cannot be used together: {reason}")]
    Assignors {
        /// Their names.
        names: Vec<String>,
        /// What is wrong.
        reason: &'static str,
    },
}

/// How one consumer takes part in its group. [`MembershipSettings::default`] has Kafka's values,
/// with the cooperative strategy.
#[derive(Clone, Debug)]
pub struct MembershipSettings {
    pub(super) session_timeout: Duration,
    pub(super) heartbeat_interval: Duration,
    pub(super) max_poll_interval: Duration,
    pub(super) retry_backoff: Duration,
    pub(super) assignors: Vec<Arc<dyn Assignor>>,
    pub(super) instance_id: Option<InstanceId>,
    pub(super) rack: Option<RackId>,
    pub(super) auto_commit: bool,
}

impl Default for MembershipSettings {
    fn default() -> Self {
        Self {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_mins(5),
            retry_backoff: Duration::from_millis(100),
            assignors: vec![Arc::new(CooperativeSticky::new())],
            instance_id: None,
            rack: None,
            auto_commit: true,
        }
    }
}

impl MembershipSettings {
    /// How long the coordinator waits for a sign of life (`session.timeout.ms`, 45 s), and how
    /// often one is given (`heartbeat.interval.ms`, 3 s).
    ///
    /// # Errors
    ///
    /// [`SettingError`]: zero, or heartbeats rarer than a third of the session.
    pub fn session(
        self,
        session_timeout: Duration,
        heartbeat_interval: Duration,
    ) -> Result<Self, SettingError> {
        if heartbeat_interval.is_zero() {
            return Err(SettingError::Zero { name: "heartbeat_interval" });
        }
        if heartbeat_interval.saturating_mul(3) > session_timeout {
            let (heartbeat, session) = (heartbeat_interval, session_timeout);
            return Err(SettingError::Heartbeat { heartbeat, session });
        }
        Ok(Self { session_timeout, heartbeat_interval, ..self })
    }

    /// Longest time between two polls (`max.poll.interval.ms`, 5 min): beyond it the consumer
    /// leaves its group.
    ///
    /// # Errors
    ///
    /// [`SettingError::Zero`].
    pub fn max_poll_interval(self, interval: Duration) -> Result<Self, SettingError> {
        if interval.is_zero() {
            return Err(SettingError::Zero { name: "max_poll_interval" });
        }
        Ok(Self { max_poll_interval: interval, ..self })
    }

    /// The ways of assigning it offers, the preferred one first
    /// (`partition.assignment.strategy`). With one eager strategy among them, it is eager.
    ///
    /// # Errors
    ///
    /// [`SettingError::Assignors`].
    pub fn assignors(self, assignors: Vec<Arc<dyn Assignor>>) -> Result<Self, SettingError> {
        let names: Vec<String> = assignors.iter().map(|a| a.name().to_owned()).collect();
        let mut distinct = names.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let refused = |reason| Err(SettingError::Assignors { names: names.clone(), reason });
        if assignors.is_empty() {
            return refused("there is none");
        }
        if distinct.len() < names.len() {
            return refused("a name comes twice");
        }
        if distinct.iter().any(String::is_empty) {
            return refused("a name is empty");
        }
        if common(&assignors).is_none() {
            return refused("they have no rebalance protocol in common");
        }
        Ok(Self { assignors, ..self })
    }

    /// A name that it keeps across restarts (`group.instance.id`): a restart within the session
    /// timeout moves nothing.
    #[must_use]
    pub fn instance_id(self, instance_id: InstanceId) -> Self {
        Self { instance_id: Some(instance_id), ..self }
    }

    /// Where it runs (`client.rack`).
    #[must_use]
    pub fn rack(self, rack: RackId) -> Self {
        Self { rack: Some(rack), ..self }
    }

    /// Whether positions are committed before partitions are given back (`enable.auto.commit`).
    #[must_use]
    pub fn auto_commit(self, auto_commit: bool) -> Self {
        Self { auto_commit, ..self }
    }

    pub(super) fn protocol(&self) -> RebalanceProtocol {
        common(&self.assignors).unwrap_or(RebalanceProtocol::Eager)
    }
}

/// The highest protocol that all of them keep the rules of.
fn common(assignors: &[Arc<dyn Assignor>]) -> Option<RebalanceProtocol> {
    let all = [RebalanceProtocol::Cooperative, RebalanceProtocol::Eager];
    all.into_iter().find(|protocol| assignors.iter().all(|a| a.protocols().contains(protocol)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignor::{Range, Sticky};

    #[test]
    fn a_heartbeat_rarer_than_a_third_of_the_session_is_refused_by_name() {
        let settings = MembershipSettings::default();
        let seconds = Duration::from_secs;
        assert!(settings.clone().session(seconds(45), seconds(15)).is_ok());
        let refused = settings.session(seconds(45), seconds(16)).unwrap_err().to_string();
        assert!(refused.contains("heartbeat_interval 16s"), "{refused}");
        assert!(refused.contains("a third"), "{refused}");
    }

    #[test]
    fn one_eager_strategy_makes_an_eager_member() {
        let with = |assignors| MembershipSettings::default().assignors(assignors).unwrap();
        let cooperative: Arc<dyn Assignor> = Arc::new(CooperativeSticky::new());
        let both = with(vec![Arc::new(Range::new()), Arc::clone(&cooperative)]);
        assert_eq!(both.protocol(), RebalanceProtocol::Eager);
        assert_eq!(with(vec![cooperative]).protocol(), RebalanceProtocol::Cooperative);
        let twice: Vec<Arc<dyn Assignor>> = vec![Arc::new(Sticky::new()), Arc::new(Sticky::new())];
        assert!(MembershipSettings::default().assignors(twice).is_err());
        assert!(MembershipSettings::default().assignors(Vec::new()).is_err());
    }
}
