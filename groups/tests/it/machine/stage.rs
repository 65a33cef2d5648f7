//! A group on a stage: consumers that say what they are told to, and a clock that stands still.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use groups::group::messages::{
    Action, Answer, ClientInfo, CommitKind, Event, Identity, JoinReason, JoinRequest, JoinVersion,
    Joined, LeaveReason, Leaver, Notice, Now, Protocol, RequestId, SyncRequest, Synced, WriteId,
    WriteOutcome,
};
use groups::group::record::GroupRecord;
use groups::ids::{Generation, GroupId, InstanceId, MemberId, ProtocolName, ProtocolType};
use groups::{Group, GroupError, GroupSettings, GroupState, Persistence, Shard, Subscription};
use log_core::TopicName;
use log_core::clock::Tick;
use log_core::ids::TimestampMs;

pub(super) const SESSION_MS: u64 = 10_000;
pub(super) const REBALANCE_MS: u64 = 60_000;

/// A consumer as the coordinator sees it.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub(super) identity: Identity,
    pub(super) version: JoinVersion,
    pub(super) session_ms: u64,
    pub(super) rebalance_ms: u64,
    pub(super) kind: Option<ProtocolType>,
    pub(super) protocols: Vec<Protocol>,
    pub(super) generation: Generation,
    pub(super) reason: JoinReason,
}

/// The subscription bytes of `topics`.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let topics = topics.iter().map(|topic| TopicName::new(topic).unwrap());
    Subscription::new(topics).encode(3).unwrap()
}

impl Consumer {
    /// One that offers `names`, the first preferred.
    pub(super) fn offering(names: &[&str]) -> Self {
        let protocol = |name: &&str| Protocol {
            name: ProtocolName::new(name).unwrap(),
            metadata: subscription(&["orders"]),
        };
        Self {
            identity: Identity::default(),
            version: JoinVersion::LATEST,
            session_ms: SESSION_MS,
            rebalance_ms: REBALANCE_MS,
            kind: Some(ProtocolType::consumer()),
            protocols: names.iter().map(protocol).collect(),
            generation: Generation::ZERO,
            reason: JoinReason::Unspecified,
        }
    }

    pub(super) fn dynamic() -> Self {
        Self::offering(&["range"])
    }

    pub(super) fn with_instance(instance: &str) -> Self {
        let mut consumer = Self::dynamic();
        consumer.identity.instance_id = Some(InstanceId::new(instance).unwrap());
        consumer
    }

    pub(super) fn subscribe(&mut self, topics: &[&str]) {
        for protocol in &mut self.protocols {
            protocol.metadata = subscription(topics);
        }
    }

    pub(super) fn id(&self) -> MemberId {
        self.identity.member_id.clone().expect("it has an id")
    }

    /// The same consumer in a new process: it knows its instance id and nothing else.
    pub(super) fn restarted(&self) -> Self {
        let mut again = self.clone();
        again.identity.member_id = None;
        again
    }
}

/// The group, its clock, and what it has said.
pub(super) struct Stage {
    pub(super) shard: Shard,
    pub(super) group: GroupId,
    pub(super) now_ms: u64,
    pub(super) answers: BTreeMap<RequestId, Result<Answer, GroupError>>,
    pub(super) writes: Vec<(WriteId, Option<GroupRecord>)>,
    pub(super) notices: Vec<Notice>,
    /// What becomes of records at once; otherwise they stay under way.
    pub(super) log: Option<WriteOutcome>,
    asked: u64,
    ids: u64,
}

impl Stage {
    pub(super) fn new(settings: GroupSettings) -> Self {
        let mut shard = Shard::new(settings);
        shard.loaded();
        Self {
            shard,
            group: GroupId::new("g").unwrap(),
            now_ms: 0,
            answers: BTreeMap::new(),
            writes: Vec::new(),
            notices: Vec::new(),
            log: Some(WriteOutcome::Durable),
            asked: 0,
            ids: 0,
        }
    }

    /// A group whose log answers when the test says so, and writes members as Kafka does.
    pub(super) fn persisting() -> Self {
        Self::new(GroupSettings::default().persistence(Persistence::Members))
    }

    pub(super) fn with_delay(seconds: u64) -> Self {
        let delay = Duration::from_secs(seconds);
        Self::new(GroupSettings::default().initial_rebalance_delay(delay))
    }

    pub(super) fn now(&self) -> Now {
        let timestamp = TimestampMs::new(i64::try_from(self.now_ms).unwrap());
        Now { tick: Tick::from_nanos(self.now_ms * 1_000_000), timestamp }
    }

    pub(super) fn group(&self) -> &Group {
        self.shard.get(&self.group).expect("the group exists")
    }

    pub(super) fn state(&self) -> GroupState {
        self.group().state()
    }

    pub(super) fn generation(&self) -> i32 {
        self.group().generation().get()
    }

    pub(super) fn next_request(&mut self) -> RequestId {
        self.asked += 1;
        RequestId(self.asked)
    }

    pub(super) fn send(&mut self, event: Event) {
        let mut out = Vec::new();
        self.shard.on(&self.group.clone(), event, self.now(), &mut out);
        self.take(out);
    }

    fn take(&mut self, out: Vec<Action>) {
        for action in out {
            match action {
                Action::Answer { request, answer } => {
                    let earlier = self.answers.insert(request, answer);
                    assert!(earlier.is_none(), "{request:?} is answered twice");
                }
                Action::Write { write, record, .. } => {
                    self.writes.push((write, record));
                    if let Some(outcome) = self.log {
                        self.send(Event::Written { write, outcome });
                    }
                }
                Action::Notice { notice, .. } => self.notices.push(notice),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets time pass to `ms`, deadline by deadline.
    pub(super) fn until(&mut self, ms: u64) {
        while let Some(at) = self.shard.next_deadline() {
            let at_ms = at.as_nanos() / 1_000_000;
            if at_ms > ms {
                break;
            }
            self.now_ms = self.now_ms.max(at_ms);
            let mut out = Vec::new();
            self.shard.tick(self.now(), &mut out);
            self.take(out);
        }
        self.now_ms = ms;
    }

    pub(super) fn pass(&mut self, ms: u64) {
        self.until(self.now_ms + ms);
    }

    /// Lets happen what is due at this very moment.
    pub(super) fn turn(&mut self) {
        self.until(self.now_ms);
    }

    pub(super) fn answer(&self, request: RequestId) -> &Result<Answer, GroupError> {
        self.answers.get(&request).expect("an answer")
    }

    pub(super) fn waits(&self, request: RequestId) -> bool {
        !self.answers.contains_key(&request)
    }

    pub(super) fn error(&self, request: RequestId) -> GroupError {
        self.answer(request).clone().expect_err("a refusal")
    }

    pub(super) fn joined(&self, request: RequestId) -> Joined {
        match self.answer(request) {
            Ok(Answer::Joined(joined)) => joined.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn synced(&self, request: RequestId) -> Synced {
        match self.answer(request) {
            Ok(Answer::Synced(synced)) => synced.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn left(&self, request: RequestId) -> Vec<Result<(), GroupError>> {
        match self.answer(request) {
            Ok(Answer::Left(each)) => each.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// One `JoinGroup`.
    pub(super) fn join(&mut self, consumer: &Consumer) -> RequestId {
        self.ids += 1;
        let new_member_id = MemberId::new(&format!("client-{:03}", self.ids)).unwrap();
        self.join_with_id(consumer, &new_member_id)
    }

    /// One `JoinGroup`, with the id that a new member would get.
    pub(super) fn join_with_id(&mut self, consumer: &Consumer, id: &MemberId) -> RequestId {
        let mut join = self.request_of(consumer);
        join.new_member_id = id.clone();
        let request = join.request;
        self.send(Event::Join(join));
        request
    }

    /// The request that `join` sends.
    pub(super) fn request_of(&mut self, consumer: &Consumer) -> JoinRequest {
        JoinRequest {
            request: self.next_request(),
            version: consumer.version,
            identity: consumer.identity.clone(),
            new_member_id: MemberId::new("a-new-id").unwrap(),
            client: ClientInfo { client_id: "client".into(), client_host: "/here".into() },
            session_timeout: Duration::from_millis(consumer.session_ms),
            rebalance_timeout: Duration::from_millis(consumer.rebalance_ms),
            protocol_type: consumer.kind.clone(),
            protocols: consumer.protocols.clone(),
            reason: consumer.reason,
        }
    }

    /// The log goes offline.
    pub(super) fn unload(&mut self) {
        let mut out = Vec::new();
        self.shard.unload(self.now(), &mut out);
        self.take(out);
    }

    /// Joins as a new member does: gets its id, and comes back with it. The join may be parked.
    pub(super) fn enter(&mut self, consumer: &mut Consumer) -> RequestId {
        let first = self.join(consumer);
        if consumer.identity.instance_id.is_some() {
            return first;
        }
        let GroupError::MemberIdRequired { member_id } = self.error(first) else {
            panic!("{:?}", self.answer(first));
        };
        consumer.identity.member_id = Some(member_id);
        self.join(consumer)
    }

    /// The consumer takes over what its join was answered.
    pub(super) fn adopt(&self, consumer: &mut Consumer, request: RequestId) -> Joined {
        let joined = self.joined(request);
        consumer.generation = joined.generation;
        consumer.identity.member_id = Some(joined.member_id.clone());
        joined
    }

    pub(super) fn sync(&mut self, consumer: &Consumer) -> RequestId {
        self.sync_with(consumer, &[])
    }

    pub(super) fn sync_with(&mut self, from: &Consumer, given: &[(MemberId, &str)]) -> RequestId {
        let event = self.sync_event_with(from, given);
        self.send_asked(event)
    }

    pub(super) fn sync_event(&mut self, from: &Consumer) -> Event {
        self.sync_event_with(from, &[])
    }

    fn sync_event_with(&mut self, from: &Consumer, given: &[(MemberId, &str)]) -> Event {
        let request = self.next_request();
        let one =
            |(id, bytes): &(MemberId, &str)| (id.clone(), Bytes::copy_from_slice(bytes.as_bytes()));
        Event::Sync(SyncRequest {
            request,
            identity: from.identity.clone(),
            generation: from.generation,
            protocol_type: None,
            protocol: None,
            assignments: given.iter().map(one).collect(),
            layout: Vec::new(),
        })
    }

    fn send_asked(&mut self, event: Event) -> RequestId {
        let request = self.last_request(&event).expect("somebody asks");
        self.send(event);
        request
    }

    /// Whom an event that was just made is to answer.
    pub(super) fn last_request(&self, event: &Event) -> Option<RequestId> {
        let asks = !matches!(event, Event::Written { .. } | Event::Tick | Event::Unload);
        asks.then_some(RequestId(self.asked))
    }

    pub(super) fn answer_in(
        out: &[Action],
        wanted: RequestId,
    ) -> Option<&Result<Answer, GroupError>> {
        out.iter().find_map(|action| match action {
            Action::Answer { request, answer } if *request == wanted => Some(answer),
            _ => None,
        })
    }

    pub(super) fn heartbeat_event(&mut self, from: &Consumer) -> Event {
        let request = self.next_request();
        let (identity, generation) = (from.identity.clone(), from.generation);
        Event::Heartbeat { request, identity, generation }
    }

    pub(super) fn leave_event(&mut self, identity: &Identity) -> Event {
        let request = self.next_request();
        let reason = LeaveReason::Closed;
        Event::Leave { request, members: vec![Leaver { identity: identity.clone(), reason }] }
    }

    /// The group itself, without its shard.
    pub(super) fn take_group(&mut self) -> Group {
        let mut shard = Shard::new(GroupSettings::default());
        core::mem::swap(&mut shard, &mut self.shard);
        shard.into_groups().find(|group| *group.id() == self.group).expect("the group exists")
    }

    pub(super) fn heartbeat(&mut self, from: &Consumer) -> Result<(), GroupError> {
        let event = self.heartbeat_event(from);
        let request = self.send_asked(event);
        self.answer(request).clone().map(|answer| assert_eq!(answer, Answer::Heartbeat))
    }

    pub(super) fn commit(&mut self, from: &Consumer, kind: CommitKind) -> Result<(), GroupError> {
        self.commit_as(from.identity.clone(), Some(from.generation), kind)
    }

    pub(super) fn commit_as(
        &mut self,
        identity: Identity,
        generation: Option<Generation>,
        kind: CommitKind,
    ) -> Result<(), GroupError> {
        let request = self.next_request();
        self.send(Event::Commit { request, identity, generation, kind });
        self.answer(request).clone().map(|answer| assert_eq!(answer, Answer::MayCommit))
    }

    pub(super) fn leave(&mut self, identities: &[Identity]) -> RequestId {
        let request = self.next_request();
        let reason = LeaveReason::Closed;
        let one = |identity: &Identity| Leaver { identity: identity.clone(), reason };
        self.send(Event::Leave { request, members: identities.iter().map(one).collect() });
        request
    }

    pub(super) fn delete(&mut self) -> RequestId {
        let request = self.next_request();
        self.send(Event::Delete { request });
        request
    }

    /// The group becomes stable with `consumers`, each assigned the text `to-<its id>`. The joins
    /// must be answered by now.
    pub(super) fn assign_all(&mut self, consumers: &mut [Consumer], joins: &[RequestId]) {
        let mut leader = None;
        for (place, join) in joins.iter().enumerate() {
            let joined = self.adopt(&mut consumers[place], *join);
            if joined.leader.as_ref() == Some(&joined.member_id) {
                leader = Some(place);
            }
        }
        let leader = leader.expect("a leader among them");
        let ids: Vec<MemberId> = self.group().member_ids().cloned().collect();
        let texts: Vec<String> = ids.iter().map(|id| format!("to-{id}")).collect();
        let given: Vec<(MemberId, &str)> =
            ids.into_iter().zip(texts.iter().map(String::as_str)).collect();
        let mut syncs = Vec::new();
        for (place, consumer) in consumers.iter().enumerate() {
            let given: &[(MemberId, &str)] = if place == leader { &given } else { &[] };
            syncs.push(self.sync_with(consumer, given));
        }
        for (sync, consumer) in syncs.iter().zip(consumers.iter()) {
            let got = self.synced(*sync).assignment;
            assert_eq!(got, format!("to-{}", consumer.id()).as_bytes());
        }
        assert_eq!(self.state(), GroupState::Stable);
    }

    /// A stable group of these consumers, new ones all.
    pub(super) fn gather(&mut self, consumers: &mut [Consumer]) {
        let joins: Vec<RequestId> = consumers.iter_mut().map(|c| self.enter(c)).collect();
        self.turn();
        self.assign_all(consumers, &joins);
    }

    /// All of them join again, and the group becomes stable.
    pub(super) fn regather(&mut self, consumers: &mut [Consumer]) {
        let joins: Vec<RequestId> = consumers.iter().map(|c| self.join(c)).collect();
        self.assign_all(consumers, &joins);
    }

    /// A stable group of `count` dynamic members.
    pub(super) fn stable(&mut self, count: usize) -> Vec<Consumer> {
        let mut consumers = vec![Consumer::dynamic(); count];
        self.gather(&mut consumers);
        consumers
    }
}

/// The fenced error of an instance.
pub(super) fn fenced(instance: &str) -> GroupError {
    GroupError::FencedInstanceId { instance_id: InstanceId::new(instance).unwrap() }
}

/// The unknown member error of a consumer.
pub(super) fn unknown(consumer: &Consumer) -> GroupError {
    GroupError::UnknownMemberId { member_id: consumer.identity.member_id.clone() }
}
