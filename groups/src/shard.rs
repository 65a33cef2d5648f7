//! All groups of a coordinator, pure: which exist, which are made by being asked for, and the one
//! heap of their deadlines (Kafka `GroupCoordinatorShard`).
//!
//! ```text
//!   Loading ── records of groups ──▶ Serving ── the log goes offline ──▶ Gone
//!
//!   no such group   JoinGroup without a member id makes it
//!                   a commit without a generation makes one that only keeps offsets
//!                   anything else names a member that cannot exist
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use log_core::clock::Tick;

use crate::error::GroupError;
use crate::group::Group;
use crate::group::messages::{Action, Answer, CommitKind, Event, Now, RequestId};
use crate::group::record::GroupRecord;
use crate::ids::{Generation, GroupId};
use crate::settings::GroupSettings;
use crate::state::GroupState;
use crate::timers::{CameUp, Deadline, Timers};

/// Whether requests are answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Loading,
    Serving,
    Gone,
}

/// All groups of a coordinator.
#[derive(Debug)]
pub struct Shard {
    settings: GroupSettings,
    mode: Mode,
    groups: BTreeMap<GroupId, Kept>,
    timers: Timers<GroupId>,
}

#[derive(Debug)]
struct Kept {
    group: Group,
    wake: Deadline,
    /// It is written down or has offsets: it stays when it is blank.
    stays: bool,
}

impl Shard {
    /// No groups, and none are served before [`Shard::loaded`].
    #[must_use]
    pub const fn new(settings: GroupSettings) -> Self {
        Self { settings, mode: Mode::Loading, groups: BTreeMap::new(), timers: Timers::new() }
    }

    /// What the log says of a group, in order; the last record counts.
    pub fn load(&mut self, id: &GroupId, record: Option<&GroupRecord>, now: Now) {
        debug_assert!(self.mode == Mode::Loading);
        let Some(record) = record else {
            self.groups.remove(id);
            return;
        };
        // A rebalance that loading asks for has nobody to answer yet; it begins when they come.
        let group = Group::load(id.clone(), self.settings, record, now, &mut Vec::new());
        let kept = Kept { group, wake: Deadline::new(), stays: true };
        self.groups.insert(id.clone(), kept);
        self.arm(id);
    }

    /// That was all.
    pub fn loaded(&mut self) {
        debug_assert!(self.mode == Mode::Loading);
        self.mode = Mode::Serving;
    }

    /// The log is offline: whoever waits is told, and everybody after that.
    pub fn unload(&mut self, now: Now, out: &mut Vec<Action>) {
        self.mode = Mode::Gone;
        for kept in self.groups.values_mut() {
            kept.group.on(Event::Unload, now, out);
        }
        self.groups.clear();
        self.timers = Timers::new();
    }

    /// Takes an event of one group; what is to be done is added to `out`.
    pub fn on(&mut self, id: &GroupId, event: Event, now: Now, out: &mut Vec<Action>) {
        if self.mode != Mode::Serving {
            return refuse_all(self.mode, &event, out);
        }
        let commits = matches!(event, Event::Commit { .. });
        let kept = match self.groups.entry(id.clone()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                if let Some(refusal) = refusal(&event) {
                    return out.extend(refusal);
                }
                let group = Group::new(id.clone(), self.settings, now);
                entry.insert(Kept { group, wake: Deadline::new(), stays: false })
            }
        };
        kept.group.on(event, now, out);
        kept.stays |= commits && matches!(out.last(), Some(Action::Answer { answer: Ok(_), .. }));
        self.follow_up(id);
    }

    /// Lets everything happen whose time has come.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Action>) {
        while let Some((entry, id)) = self.timers.pop(now.tick) {
            let Some(kept) = self.groups.get_mut(&id) else { continue };
            match kept.wake.came_up(entry, now.tick) {
                CameUp::Due => kept.group.on(Event::Tick, now, out),
                CameUp::Later => {}
                CameUp::Stale => continue,
            }
            self.follow_up(&id);
        }
    }

    /// When to call [`Shard::tick`] at the latest. Nothing may be due then: it is asked again.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.timers.next()
    }

    /// A group.
    #[must_use]
    pub fn get(&self, id: &GroupId) -> Option<&Group> {
        self.groups.get(id).map(|kept| &kept.group)
    }

    /// All groups, rising by name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().map(|kept| &kept.group)
    }

    /// All groups, rising by name, for whoever drives them one by one.
    pub fn into_groups(self) -> impl Iterator<Item = Group> {
        self.groups.into_values().map(|kept| kept.group)
    }

    /// After an event: the group is woken in time, or gone.
    fn follow_up(&mut self, id: &GroupId) {
        let Some(kept) = self.groups.get(id) else { return };
        let blank = kept.group.is_blank() && !kept.stays;
        if blank || kept.group.state() == GroupState::Dead {
            self.groups.remove(id);
        } else {
            self.arm(id);
        }
        if self.timers.is_worn(self.groups.len()) {
            let groups = &self.groups;
            self.timers.sweep(|at, id| groups.get(id).is_some_and(|kept| kept.wake.owns(at)));
        }
    }

    fn arm(&mut self, id: &GroupId) {
        let Some(kept) = self.groups.get_mut(id) else { return };
        match kept.group.next_deadline() {
            Some(at) => self.timers.arm(&mut kept.wake, at, || id.clone()),
            None => kept.wake.cancel(),
        }
    }
}

/// Who is to be answered.
const fn asker(event: &Event) -> Option<RequestId> {
    match event {
        Event::Join(join) => Some(join.request),
        Event::Sync(sync) => Some(sync.request),
        Event::Heartbeat { request, .. }
        | Event::Leave { request, .. }
        | Event::Commit { request, .. }
        | Event::Delete { request } => Some(*request),
        Event::Written { .. } | Event::Tick | Event::Unload => None,
    }
}

/// While loading, heartbeats are taken on trust: nobody is to lose its place for that.
fn refuse_all(mode: Mode, event: &Event, out: &mut Vec<Action>) {
    let Some(request) = asker(event) else { return };
    let answer = match (mode, event) {
        (Mode::Loading, Event::Heartbeat { .. }) => Ok(Answer::Heartbeat),
        (Mode::Loading, _) => Err(GroupError::CoordinatorLoadInProgress),
        (Mode::Serving | Mode::Gone, _) => Err(GroupError::NotCoordinator),
    };
    out.push(Action::Answer { request, answer });
}

/// What is said where there is no group; `None` if the event makes it.
fn refusal(event: &Event) -> Option<Vec<Action>> {
    let unknown = |member_id| GroupError::UnknownMemberId { member_id };
    let answer = match event {
        Event::Join(join) => Err(unknown(Some(join.identity.member_id.clone()?))),
        Event::Sync(sync) => Err(unknown(sync.identity.member_id.clone())),
        Event::Heartbeat { identity, .. } => Err(unknown(identity.member_id.clone())),
        Event::Leave { members, .. } => {
            let one = |leaver: &crate::group::messages::Leaver| {
                Err(unknown(leaver.identity.member_id.clone()))
            };
            Ok(Answer::Left(members.iter().map(one).collect()))
        }
        Event::Commit { generation: None, .. } => return None,
        Event::Commit { kind: CommitKind::Plain, .. } | Event::Delete { .. } => {
            Err(GroupError::GroupIdNotFound)
        }
        Event::Commit { generation, kind: CommitKind::Transactional, .. } => {
            let current = Generation::ZERO;
            Err(GroupError::IllegalGeneration { found: *generation, current })
        }
        Event::Written { .. } | Event::Tick | Event::Unload => return Some(Vec::new()),
    };
    let actions = asker(event).map(|request| Action::Answer { request, answer });
    Some(actions.into_iter().collect())
}
