//! Why a group rebalances, how often, and whether it ever comes to rest: the storm guard.
//!
//! ```text
//!   rebalance ── cause ──▶ counted ──▶ the same cause again before things were quiet for long?
//!                                        3, 6, 12, … times in a row ─▶ a warning with the cure
//! ```
//!
//! Quiet for long is four times the group's rebalance timeout, a minute at least: a storm has the
//! rhythm of `max.poll.interval`, which the rebalance timeout is.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use log_core::clock::Tick;

/// What began a rebalance.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum RebalanceCause {
    /// A consumer was added.
    MemberJoined,
    /// A consumer left in good order, or was removed by an operator.
    MemberLeft,
    /// A consumer was silent for its session timeout: it crashed, or its machine stood still.
    SessionTimeout,
    /// A consumer left because it did not poll in time (`max.poll.interval.ms`).
    PollIntervalExceeded,
    /// The partitions of a subscribed topic changed in number.
    PartitionsChanged,
    /// A consumer wants other topics, or offers other strategies.
    SubscriptionChanged,
    /// Second round of a cooperative rebalance: what was given back is handed out.
    PartitionsRevoked,
    /// A consumer asked for it, or the leader joined again for no reason it gave.
    Requested,
    /// Another process took over an instance id while members were joining, or with other wishes.
    StaticMemberReplaced,
    /// A consumer joined and never collected what it was assigned.
    SyncTimeout,
    /// The assignment could not be written.
    NotPersisted,
    /// The group was read from the log with more members than it may have.
    GroupTooLarge,
}

use RebalanceCause::{
    GroupTooLarge, MemberJoined, MemberLeft, NotPersisted, PartitionsChanged, PartitionsRevoked,
    PollIntervalExceeded, Requested, SessionTimeout, StaticMemberReplaced, SubscriptionChanged,
    SyncTimeout,
};

impl RebalanceCause {
    /// Rebalances in a row for this cause that are still ordinary. Consumers that start or stop
    /// one by one make as many as they are; the rest is never ordinary for long.
    const fn patience(self) -> u64 {
        match self {
            MemberJoined | MemberLeft | PartitionsRevoked => 8,
            PartitionsChanged | SubscriptionChanged | Requested => 5,
            SessionTimeout | PollIntervalExceeded | StaticMemberReplaced | SyncTimeout
            | NotPersisted | GroupTooLarge => 3,
        }
    }

    /// What helps when rebalances for this cause do not end.
    #[must_use]
    pub const fn cure(self) -> &'static str {
        match self {
            MemberJoined | MemberLeft => {
                "give each consumer a group_instance_id, so that a restart within its session timeout moves nothing, or raise initial_rebalance_delay, so that consumers that start together join together"
            }
            SessionTimeout => {
                "consumers fall silent for longer than session_timeout: raise it, and keep heartbeat_interval at a third of it or less"
            }
            PollIntervalExceeded => {
                "records of one poll take longer than max_poll_interval: lower max_poll_records, raise max_poll_interval, or process in another thread (pause, keep polling, resume)"
            }
            PartitionsChanged => "add the partitions of a topic in one step",
            SubscriptionChanged => "let each consumer subscribe once, to all its topics",
            PartitionsRevoked => {
                "the strategy moves partitions in every round: the same members and partitions must give the same assignment (groups::assignor::laws checks one)"
            }
            Requested => "call enforce_rebalance less often",
            StaticMemberReplaced => {
                "two processes use one group_instance_id: give each its own, and stop on FencedInstanceId"
            }
            SyncTimeout => {
                "a consumer joins and does not come for its assignment: look for what blocks it between the two"
            }
            NotPersisted => "the offsets log takes no records: see the state of its partition",
            GroupTooLarge => "run fewer consumers, or raise group_size_max",
        }
    }
}

impl fmt::Display for RebalanceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MemberJoined => "a consumer joined",
            MemberLeft => "a consumer left",
            SessionTimeout => "a consumer was silent for its session timeout",
            PollIntervalExceeded => "a consumer did not poll within its max poll interval",
            PartitionsChanged => "the number of partitions changed",
            SubscriptionChanged => "a subscription changed",
            PartitionsRevoked => "partitions were given back to move",
            Requested => "it was asked for",
            StaticMemberReplaced => "an instance id was taken over",
            SyncTimeout => "a consumer did not collect its assignment",
            NotPersisted => "the assignment could not be written",
            GroupTooLarge => "the group has more members than it may",
        })
    }
}

/// Why a member is out.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum ExpulsionCause {
    /// It left in good order, or an operator removed it.
    Left,
    /// It left because it did not poll in time.
    PollIntervalExceeded,
    /// Silent for its session timeout.
    SessionTimeout,
    /// It did not join again within the rebalance timeout.
    MissedRebalance,
    /// It never collected what it was assigned.
    SyncTimeout,
    /// New, and its first rebalance took too long.
    NewMemberTimeout,
    /// Another process has its instance id.
    Fenced,
    /// The group was full.
    GroupFull,
}

/// A group that does not come to rest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StormWarning {
    /// Why it rebalances again and again.
    pub cause: RebalanceCause,
    /// How many times in a row.
    pub rebalances: u64,
    /// Since the first of them.
    pub within: Duration,
}

impl fmt::Display for StormWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, rebalances, within } = self;
        write!(f, "{rebalances} rebalances in {within:?} because {cause}; {}", cause.cure())
    }
}

/// Rebalances for one cause.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    total: u64,
    in_a_row: u64,
    first: Tick,
    last: Tick,
}

/// What a group has been through.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    streaks: BTreeMap<RebalanceCause, Streak>,
    expulsions: BTreeMap<ExpulsionCause, u64>,
    /// Since when it is stable; `None` while it rebalances.
    stable_since: Option<Tick>,
    /// When the rebalance that is under way began.
    unstable_since: Option<Tick>,
    longest: Duration,
}

impl Watch {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            streaks: BTreeMap::new(),
            expulsions: BTreeMap::new(),
            stable_since: None,
            unstable_since: None,
            longest: Duration::ZERO,
        }
    }

    /// Rebalances for `cause`.
    #[must_use]
    pub fn rebalances_for(&self, cause: RebalanceCause) -> u64 {
        self.streaks.get(&cause).map_or(0, |streak| streak.total)
    }

    /// Rebalances for any cause.
    #[must_use]
    pub fn rebalances(&self) -> u64 {
        self.streaks.values().map(|streak| streak.total).sum()
    }

    /// Members that went out for `cause`.
    #[must_use]
    pub fn expulsions_for(&self, cause: ExpulsionCause) -> u64 {
        self.expulsions.get(&cause).copied().unwrap_or(0)
    }

    /// How long the group has been stable; `None` if it is not.
    #[must_use]
    pub fn stable_for(&self, now: Tick) -> Option<Duration> {
        self.stable_since.map(|since| now.since(since))
    }

    /// How long the rebalance that is under way has been; `None` if there is none.
    #[must_use]
    pub fn unstable_for(&self, now: Tick) -> Option<Duration> {
        self.unstable_since.map(|since| now.since(since))
    }

    /// The longest rebalance, from its cause to the assignment.
    #[must_use]
    pub const fn longest_rebalance(&self) -> Duration {
        self.longest
    }

    /// A rebalance begins, in a group whose members may take `rebalance_timeout` to join.
    pub(crate) fn begin(
        &mut self,
        cause: RebalanceCause,
        rebalance_timeout: Duration,
        now: Tick,
    ) -> Option<StormWarning> {
        self.stable_since = None;
        self.unstable_since.get_or_insert(now);
        let quiet = rebalance_timeout.saturating_mul(4).max(Duration::from_mins(1));
        let streak = self.streaks.entry(cause).or_default();
        streak.total += 1;
        if streak.in_a_row == 0 || now.since(streak.last) > quiet {
            streak.in_a_row = 0;
            streak.first = now;
        }
        streak.in_a_row += 1;
        streak.last = now;
        let patience = cause.patience();
        let warn = streak.in_a_row.is_multiple_of(patience)
            && (streak.in_a_row / patience).is_power_of_two();
        let within = now.since(streak.first);
        warn.then_some(StormWarning { cause, rebalances: streak.in_a_row, within })
    }

    /// Everybody has its assignment; how long that took.
    pub(crate) fn settle(&mut self, now: Tick) -> Duration {
        let took = self.unstable_since.take().map_or(Duration::ZERO, |since| now.since(since));
        self.stable_since = Some(now);
        self.longest = self.longest.max(took);
        took
    }

    /// Nobody is left: neither stable nor on the way to it.
    pub(crate) const fn rest(&mut self) {
        self.stable_since = None;
        self.unstable_since = None;
    }

    pub(crate) fn expel(&mut self, cause: ExpulsionCause) {
        *self.expulsions.entry(cause).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RT: Duration = Duration::from_mins(5);

    fn at(minutes: u64) -> Tick {
        Tick::default().after(Duration::from_mins(minutes))
    }

    #[test]
    fn the_same_cause_in_a_row_warns_at_three_six_and_twelve() {
        let mut watch = Watch::default();
        let warned: Vec<u64> = (1..=13)
            .filter(|n| watch.begin(PollIntervalExceeded, RT, at(n * 7)).is_some())
            .collect();
        assert_eq!(warned, [3, 6, 12]);
        assert_eq!(watch.rebalances_for(PollIntervalExceeded), 13);
    }

    #[test]
    fn a_warning_says_how_often_since_when_why_and_what_helps() {
        let mut watch = Watch::default();
        watch.begin(PollIntervalExceeded, RT, at(0));
        watch.begin(PollIntervalExceeded, RT, at(6));
        let warning = watch.begin(PollIntervalExceeded, RT, at(12)).unwrap();
        let words = warning.to_string();
        for part in ["3 rebalances in 720s", "did not poll", "max_poll_records", "pause"] {
            assert!(words.contains(part), "{words}");
        }
    }

    #[test]
    fn a_quiet_time_ends_a_row_and_other_causes_do_not_lengthen_it() {
        let mut watch = Watch::default();
        for n in 0..20 {
            assert_eq!(watch.begin(SessionTimeout, RT, at(n * 21)), None, "too far apart");
        }
        let mut watch = Watch::default();
        watch.begin(SessionTimeout, RT, at(0));
        watch.begin(PollIntervalExceeded, RT, at(1));
        watch.begin(SessionTimeout, RT, at(2));
        assert_eq!(watch.begin(PollIntervalExceeded, RT, at(3)), None);
        assert_eq!(watch.rebalances(), 4);
    }

    #[test]
    fn time_in_a_rebalance_runs_from_its_first_cause() {
        let mut watch = Watch::default();
        watch.begin(MemberJoined, RT, at(1));
        watch.begin(MemberLeft, RT, at(2));
        assert_eq!(watch.unstable_for(at(3)), Some(Duration::from_mins(2)));
        assert_eq!(watch.settle(at(4)), Duration::from_mins(3));
        assert_eq!(watch.stable_for(at(6)), Some(Duration::from_mins(2)));
        assert_eq!(watch.longest_rebalance(), Duration::from_mins(3));
    }
}
