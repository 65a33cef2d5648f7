//! One partition opened anew while the others go on (S9).
//!
//! ```text
//!   retire   the old one answers everyone who waits, and its I/O ends      no lock held
//!   changes  recovered as after a crash, under the next leader epoch       others come by
//!   map      the new one takes its place
//! ```

use std::sync::Arc;

use super::{Store, StoreInner};
use crate::error::{Fault, FaultKind};
use crate::ids::TopicPartition;
use crate::log::events::Event;
use crate::log::handle::Log;
use crate::log::head::LogState;
use crate::log::open::{OpenError, Request, open};
use crate::log::partition::Partition;
use crate::log::ticket::in_callback;

impl Store {
    /// Opens a partition anew that a fault took offline, while the others go on (S9): waits until
    /// its old I/O is done, recovers it as after a crash, and raises its leader epoch. Older
    /// handles answer `Stale` from then on.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; then the partition is offline, and can be reopened again. Within a callback
    /// [`OpenError::Closed`].
    ///
    /// # Durability
    ///
    /// As [`Store::open`].
    pub fn reopen(&self, partition: &TopicPartition) -> Result<Log, OpenError> {
        if in_callback() {
            return Err(OpenError::Closed);
        }
        let old = self.0.known(partition)?;
        let before = old.head.lock().shown();
        old.retire(LogState::Stale, "the partition was reopened before this was durable");
        self.0.await_idle(&old);
        let turn = self.0.changes.lock();
        let opened = self.0.open_anew(&old, before);
        drop(turn);
        self.0.shared.events.give();
        Ok(Log::new(opened?, Arc::clone(&self.0)))
    }
}

impl StoreInner {
    /// Opens `old` anew, which was `before` and is retired, and puts the new one in its place.
    fn open_anew(
        &self,
        old: &Arc<Partition>,
        before: LogState,
    ) -> Result<Arc<Partition>, OpenError> {
        let now = self.known(&old.name)?;
        if !Arc::ptr_eq(old, &now) {
            // Somebody else was as quick.
            return Ok(now);
        }
        let opened = open(&Request {
            shared: &self.shared,
            name: old.name.clone(),
            dir: old.dir.clone(),
            slot: self.map.lock().take_slot(),
            settings: old.settings.get(),
            clean: None,
            new_topic_id: self.new_topic_id(),
            reopened: true,
        });
        let opened = opened.inspect_err(|error| {
            let now = offline(old, error);
            old.head.lock().state = now.clone();
            old.state_changed(before.clone(), now);
        })?;
        self.shared.forget(old);
        self.shared.maintenance.watch(&opened.partition);
        let now = opened.partition.head.lock().shown();
        old.state_changed(before, now);
        self.shared.events.post(|| Event::Recovered(Box::new(opened.recovered.clone())));
        let mut map = self.map.lock();
        if let Some(topic) = map.topics.get_mut(old.name.topic()) {
            topic.partitions.insert(old.name.partition(), Arc::clone(&opened.partition));
        }
        map.recovered.retain(|recovered| recovered.partition != old.name);
        map.recovered.push(opened.recovered);
        Ok(opened.partition)
    }

    fn known(&self, partition: &TopicPartition) -> Result<Arc<Partition>, OpenError> {
        let map = self.map.lock();
        if map.closed {
            return Err(OpenError::Closed);
        }
        let unknown = || OpenError::Unknown { partition: partition.clone() };
        map.find(partition).map(Arc::clone).ok_or_else(unknown)
    }
}

/// What a partition is that could not be reopened.
fn offline(old: &Partition, error: &OpenError) -> LogState {
    LogState::Offline(match error {
        OpenError::Io(fault) => fault.clone(),
        other => {
            Fault::new(FaultKind::Read, &old.dir, format!("it could not be reopened: {other}"))
        }
    })
}
