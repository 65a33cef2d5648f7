//! A coordinator and the consumers of one group, and a clock that stands still. Requests and answers
//! take no time unless a test holds them back.

use core::fmt::Write;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use groups::assignor::{Assignor, CooperativeSticky, Range, Topics};
use groups::group::messages::{
    Action, Answer, ClientInfo, CommitKind, Event, Now, RequestId, WriteOutcome,
};
use groups::ids::{Generation, GroupId, InstanceId, MemberId};
use groups::membership::{Call, CallId, Membership, MembershipError, MembershipSettings, Step};
use groups::{Group, GroupError, GroupSettings, PartitionSet, Shard};
use log_core::TopicName;
use log_core::clock::Tick;
use log_core::ids::TimestampMs;

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub(super) fn settings(assignor: Arc<dyn Assignor>) -> MembershipSettings {
    let seconds = Duration::from_secs;
    let settings = MembershipSettings::default().assignors(vec![assignor]).unwrap();
    settings.session(seconds(45), Duration::from_millis(1)).unwrap().auto_commit(false)
}

pub(super) fn eager() -> MembershipSettings {
    settings(Arc::new(Range::new()))
}

pub(super) fn cooperative() -> MembershipSettings {
    settings(Arc::new(CooperativeSticky::new()))
}

pub(super) fn with_instance(settings: MembershipSettings, name: &str) -> MembershipSettings {
    settings.instance_id(InstanceId::new(name).unwrap())
}

/// `0 1 4` of the one topic, or `orders-0 payments-1` of several.
pub(super) fn text(set: &PartitionSet) -> String {
    let mut words = String::new();
    for partition in set.iter() {
        let space = if words.is_empty() { "" } else { " " };
        if set.topic_count() > 1 {
            write!(words, "{space}{}-{}", partition.topic(), partition.partition()).unwrap();
        } else {
            write!(words, "{space}{}", partition.partition()).unwrap();
        }
    }
    words
}

pub(super) struct Peer {
    pub(super) membership: Membership,
    /// What its listener was told and what it sent, in order; heartbeats left out.
    pub(super) log: Vec<String>,
    pub(super) calls: Vec<Call>,
}

pub(super) struct Peers {
    pub(super) shard: Shard,
    pub(super) group: GroupId,
    pub(super) topics: Topics,
    pub(super) now_ms: u64,
    pub(super) all: Vec<Peer>,
    /// Who asked what.
    asked: BTreeMap<RequestId, (usize, CallId)>,
    /// Answers that were given and are kept on the way.
    pub(super) held: Vec<(usize, CallId, Result<Answer, GroupError>)>,
    pub(super) hold: bool,
    verdict: Option<Result<Answer, GroupError>>,
    next: u64,
}

impl Peers {
    pub(super) fn new(partitions: u32) -> Self {
        let mut shard = Shard::new(GroupSettings::default());
        shard.loaded();
        Self {
            shard,
            group: GroupId::new("g").unwrap(),
            topics: Topics::new().with(topic("orders"), partitions),
            now_ms: 0,
            all: Vec::new(),
            asked: BTreeMap::new(),
            held: Vec::new(),
            hold: false,
            verdict: None,
            next: 0,
        }
    }

    pub(super) fn tick_now(&self) -> Tick {
        Tick::from_nanos(self.now_ms * 1_000_000)
    }

    fn now(&self) -> Now {
        let timestamp = TimestampMs::new(i64::try_from(self.now_ms).unwrap());
        Now { tick: self.tick_now(), timestamp }
    }

    /// A consumer of `orders` that has not polled yet.
    pub(super) fn add(&mut self, settings: MembershipSettings) -> usize {
        let mut membership = Membership::new(settings, self.tick_now());
        membership.subscribe([topic("orders")]);
        self.all.push(Peer { membership, log: Vec::new(), calls: Vec::new() });
        self.all.len() - 1
    }

    pub(super) fn group(&self) -> &Group {
        self.shard.get(&self.group).expect("the group exists")
    }

    pub(super) fn rebalances(&self) -> u64 {
        self.group().watch().rebalances()
    }

    fn take(&mut self, out: Vec<Action>) {
        for action in out {
            match action {
                Action::Answer { request, answer } => match self.asked.remove(&request) {
                    Some((who, call)) if self.hold => self.held.push((who, call, answer)),
                    Some((who, call)) => self.hand_over(who, call, answer),
                    None => self.verdict = Some(answer),
                },
                Action::Write { write, group, .. } => {
                    let mut out = Vec::new();
                    let event = Event::Written { write, outcome: WriteOutcome::Durable };
                    self.shard.on(&group, event, self.now(), &mut out);
                    self.take(out);
                }
                _ => {}
            }
        }
    }

    fn hand_over(&mut self, who: usize, call: CallId, answer: Result<Answer, GroupError>) {
        let now = self.tick_now();
        self.all[who].membership.answered(call, answer, now);
    }

    /// Answers that were held back arrive.
    pub(super) fn release(&mut self) {
        self.hold = false;
        for (who, call, answer) in std::mem::take(&mut self.held) {
            self.hand_over(who, call, answer);
        }
    }

    pub(super) fn send(&mut self, who: usize, id: CallId, call: Call) {
        self.next += 1;
        let request = RequestId(self.next);
        self.asked.insert(request, (who, id));
        let new_id = MemberId::new(&format!("c{who}-{:04}", self.next)).unwrap();
        let client = ClientInfo { client_id: "c".into(), client_host: "/".into() };
        let mut out = Vec::new();
        let event = call.into_event(request, new_id, client);
        self.shard.on(&self.group.clone(), event, self.now(), &mut out);
        self.take(out);
        self.pass(0);
    }

    /// One poll, until nothing more is to be done now.
    pub(super) fn try_poll(&mut self, who: usize) -> Result<(), MembershipError> {
        loop {
            let now = self.tick_now();
            let peer = &mut self.all[who];
            let line = match peer.membership.step(&self.topics, now)? {
                Step::Commit(set) => format!("commit {}", text(&set)),
                Step::Revoked(set) => format!("revoked {}", text(&set)),
                Step::Assigned(set) => format!("assigned {}", text(&set)),
                Step::Lost(set) => format!("lost {}", text(&set)),
                Step::Send(id, call) => {
                    let name = match &call {
                        Call::Join { .. } => "join",
                        Call::Sync { .. } => "sync",
                        Call::Leave { .. } => "leave",
                        _ => "other",
                    };
                    peer.log.push(name.to_owned());
                    peer.calls.push(call.clone());
                    self.send(who, id, call);
                    continue;
                }
                _ => return Ok(()),
            };
            peer.log.push(line.trim_end().to_owned());
        }
    }

    pub(super) fn poll(&mut self, who: usize) {
        self.try_poll(who).unwrap();
    }

    /// Everybody polls until nothing changes any more.
    pub(super) fn settle(&mut self, whom: &[usize]) {
        for _ in 0..40 {
            for who in whom {
                self.beat(*who);
                self.poll(*who);
            }
            let settled = |who: &usize| self.all[*who].membership.is_settled();
            if whom.iter().all(settled) && self.group().state() == groups::GroupState::Stable {
                return;
            }
        }
        panic!("the group does not settle");
    }

    /// A heartbeat, a millisecond later: in these tests that is the interval.
    pub(super) fn beat(&mut self, who: usize) {
        self.pass(1);
        self.tick(who);
    }

    /// What is due now, for a consumer and for the group.
    pub(super) fn tick(&mut self, who: usize) -> Option<Call> {
        let now = self.tick_now();
        let (id, call) = self.all[who].membership.tick(now)?;
        self.send(who, id, call.clone());
        Some(call)
    }

    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(at) = self.shard.next_deadline() {
            let at_ms = at.as_nanos().div_ceil(1_000_000);
            if at_ms > end {
                break;
            }
            self.now_ms = self.now_ms.max(at_ms);
            let mut out = Vec::new();
            self.shard.tick(self.now(), &mut out);
            self.take(out);
        }
        self.now_ms = end;
    }

    pub(super) fn owned(&self, who: usize) -> String {
        text(self.all[who].membership.owned())
    }

    /// What a consumer's log has gained since it was last looked at.
    pub(super) fn news(&mut self, who: usize) -> Vec<String> {
        std::mem::take(&mut self.all[who].log)
    }

    /// What the coordinator says of a commit.
    pub(super) fn commit_as(
        &mut self,
        identity: groups::group::messages::Identity,
        generation: Generation,
    ) -> Result<(), GroupError> {
        self.next += 1;
        let request = RequestId(self.next);
        let kind = CommitKind::Plain;
        let mut out = Vec::new();
        let event = Event::Commit { request, identity, generation: Some(generation), kind };
        self.shard.on(&self.group.clone(), event, self.now(), &mut out);
        self.take(out);
        self.verdict.take().expect("an answer").map(|_| ())
    }
}
