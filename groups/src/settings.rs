//! The limits of a coordinator, under Kafka's names for brokers.

use core::time::Duration;

/// What is written to the offsets log about a group.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Persistence {
    /// The number of each generation, before any member learns it. Members live in memory: after a
    /// restart of the process they are gone, and join anew.
    #[default]
    Generations,
    /// Members and their assignments, as Kafka writes them: for a coordinator whose members live
    /// in other processes and outlive it. Nobody learns an assignment before it is durable.
    Members,
}

/// Why settings are refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// The shortest session timeout is zero or longer than the longest.
    #[error("session timeouts from {min:?} to {max:?} leave nothing: 0 < min <= max")]
    SessionTimeouts {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A group of no members.
    #[error("group_size_max must be 1 or more")]
    GroupSizeMax,
    /// A time that must not be zero.
    #[error("{name} must be longer than zero")]
    Zero {
        /// Which.
        name: &'static str,
    },
}

/// The limits of a coordinator.
#[derive(Clone, Copy, Debug)]
pub struct GroupSettings {
    pub(crate) session_timeout_min: Duration,
    pub(crate) session_timeout_max: Duration,
    pub(crate) initial_rebalance_delay: Duration,
    pub(crate) group_size_max: usize,
    pub(crate) new_member_timeout: Duration,
    pub(crate) write_timeout: Duration,
    pub(crate) persistence: Persistence,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_mins(30),
            initial_rebalance_delay: Duration::ZERO,
            group_size_max: usize::MAX,
            new_member_timeout: Duration::from_mins(5),
            write_timeout: Duration::from_secs(5),
            persistence: Persistence::Generations,
        }
    }
}

impl GroupSettings {
    /// The session timeouts that members may ask for (`group.min.session.timeout.ms`, 6 s, and
    /// `group.max.session.timeout.ms`, 30 min).
    ///
    /// # Errors
    ///
    /// [`SettingsError::SessionTimeouts`]: no timeout is left.
    pub const fn session_timeouts(
        self,
        min: Duration,
        max: Duration,
    ) -> Result<Self, SettingsError> {
        if min.is_zero() || min.as_nanos() > max.as_nanos() {
            return Err(SettingsError::SessionTimeouts { min, max });
        }
        Ok(Self { session_timeout_min: min, session_timeout_max: max, ..self })
    }

    /// How long the first rebalance of an empty group waits for more members
    /// (`group.initial.rebalance.delay.ms`). Kafka's default is 3 s; here it is zero, as members
    /// of one process start together.
    #[must_use]
    pub const fn initial_rebalance_delay(self, delay: Duration) -> Self {
        Self { initial_rebalance_delay: delay, ..self }
    }

    /// Most members of a group (`group.max.size`).
    ///
    /// # Errors
    ///
    /// [`SettingsError::GroupSizeMax`]: zero.
    pub const fn group_size_max(self, members: usize) -> Result<Self, SettingsError> {
        if members == 0 {
            return Err(SettingsError::GroupSizeMax);
        }
        Ok(Self { group_size_max: members, ..self })
    }

    /// Longest time a new member waits for its first assignment; it sends no heartbeats
    /// meanwhile. Five minutes, a constant in Kafka.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Zero`].
    pub const fn new_member_timeout(self, timeout: Duration) -> Result<Self, SettingsError> {
        if timeout.is_zero() {
            return Err(SettingsError::Zero { name: "new_member_timeout" });
        }
        Ok(Self { new_member_timeout: timeout, ..self })
    }

    /// Longest time that the log may take for a record of a group (`offsets.commit.timeout.ms`,
    /// 5 s).
    ///
    /// # Errors
    ///
    /// [`SettingsError::Zero`].
    pub const fn write_timeout(self, timeout: Duration) -> Result<Self, SettingsError> {
        if timeout.is_zero() {
            return Err(SettingsError::Zero { name: "write_timeout" });
        }
        Ok(Self { write_timeout: timeout, ..self })
    }

    /// What is written about a group.
    #[must_use]
    pub const fn persistence(self, persistence: Persistence) -> Self {
        Self { persistence, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_leave_nothing_are_refused_by_name() {
        let settings = GroupSettings::default();
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        assert!(settings.session_timeouts(one, one).is_ok());
        let refused = settings.session_timeouts(two, one).unwrap_err();
        assert_eq!(refused, SettingsError::SessionTimeouts { min: two, max: one });
        assert!(settings.session_timeouts(Duration::ZERO, one).is_err());
        assert!(settings.group_size_max(0).is_err());
        let zero = settings.write_timeout(Duration::ZERO).unwrap_err();
        assert_eq!(zero.to_string(), "write_timeout must be longer than zero");
    }
}
