//! What the layers above share with a store: its time, its chance, small files beside its topics,
//! and one service of each kind.
//!
//! ```text
//!   txn, groups ── clock, entropy, drive     the same that the log uses
//!               ── sidecar                   oncelog.NAME in the store's directory, replaced whole
//!               ── service::<T>()            one T a store, made at the first asking
//! ```

use core::any::{Any, TypeId};
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Store, TopicError};
use crate::clock::Clock;
use crate::config::Drive;
use crate::entropy::Entropy;
use crate::error::{Fault, FaultKind};
use crate::ids::{TopicName, TopicPartition};
use crate::segment::replace::{read_small, replace};

/// The services of a store, by type. Dropped with its last handle, so a service must not hold one.
#[derive(Default)]
pub(super) struct Services(Mutex<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>);

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Services").field(&self.0.lock().len()).finish()
    }
}

impl Store {
    /// Where this store's time comes from.
    #[must_use]
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.0.shared.clock)
    }

    /// Where its randomness comes from.
    #[must_use]
    pub fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.0.shared.entropy)
    }

    /// Who runs its I/O.
    #[must_use]
    pub fn drive(&self) -> Drive {
        self.0.shared.drive
    }

    /// The one `T` of this store, shared by everyone who asks: what hands out numbers that must
    /// never repeat, say. It lives as long as the store and must not hold a handle on it.
    #[must_use]
    pub fn service<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        let mut services = self.0.services.0.lock();
        let made = services.entry(TypeId::of::<T>()).or_insert_with(|| Arc::new(T::default()));
        match Arc::clone(made).downcast() {
            Ok(service) => service,
            Err(_) => unreachable!("what stands under a type's id is of that type"),
        }
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    ///
    /// [`TopicError::Unknown`] if there is no such topic, [`TopicError::Closed`] after a close.
    pub fn partitions_count(&self, topic: &TopicName) -> Result<u32, TopicError> {
        let map = self.0.map.lock();
        if map.closed {
            return Err(TopicError::Closed);
        }
        let last = map.topics.get(topic).and_then(|topic| topic.partitions.last_key_value());
        match last {
            Some((last, _)) => Ok(last.saturating_add(1)),
            None => Err(TopicError::Unknown { partition: TopicPartition::new(topic.clone(), 0) }),
        }
    }

    /// The content of the file `oncelog.NAME` in the store's directory; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is larger than any such file (64 MiB).
    pub fn read_sidecar(&self, name: &'static str) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.0.root.join(sidecar(name));
        read_small(&*self.0.shared.directory, &path)
            .map_err(|error| Fault::io(FaultKind::Read, &path, "the file cannot be read", error))
    }

    /// Replaces the file `oncelog.NAME` in the store's directory by `bytes`. One caller at a time.
    ///
    /// # Errors
    ///
    /// If it cannot be written; then the old content or the new one is found later.
    ///
    /// # Durability
    ///
    /// Outlives power loss when this returns `Ok`. Cut in between, the old content or the new one
    /// is found, never a mix.
    pub fn replace_sidecar(&self, name: &'static str, bytes: &[u8]) -> Result<(), Fault> {
        let name = sidecar(name);
        if self.0.map.lock().closed {
            let what = "the store is closed";
            return Err(Fault::new(FaultKind::Stopped, &self.0.root.join(name), what));
        }
        replace(&*self.0.shared.directory, &self.0.root, &name, bytes).map_err(|error| {
            let path = self.0.root.join(&name);
            Fault::io(FaultKind::Write, &path, "the file cannot be replaced", error)
        })
    }

    /// A fault of the file `oncelog.NAME`: its content is not what was written.
    #[must_use]
    pub fn damaged_sidecar(&self, name: &'static str, what: &str) -> Fault {
        Fault::new(FaultKind::Damage, &self.0.root.join(sidecar(name)), what)
    }
}

/// The file's name. Kafka ignores it: its directory holds nothing of the kind.
fn sidecar(name: &'static str) -> String {
    assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'));
    format!("oncelog.{name}")
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn everyone_who_asks_gets_the_same_service() {
        let store = Store::in_memory();
        store.service::<AtomicU32>().store(7, Ordering::Relaxed);
        assert_eq!(store.clone().service::<AtomicU32>().load(Ordering::Relaxed), 7);
        assert_eq!(Store::in_memory().service::<AtomicU32>().load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_sidecar_reads_back_and_is_closed_with_its_store() {
        let store = Store::in_memory();
        assert_eq!(store.read_sidecar("numbers").unwrap(), None);
        store.replace_sidecar("numbers", b"one").unwrap();
        store.replace_sidecar("numbers", b"two").unwrap();
        assert_eq!(store.read_sidecar("numbers").unwrap().as_deref(), Some(&b"two"[..]));
        store.close().unwrap();
        assert_eq!(store.replace_sidecar("numbers", b"x").unwrap_err().kind(), FaultKind::Stopped);
    }

    #[test]
    fn a_topic_knows_how_many_partitions_it_has() {
        let store = Store::in_memory();
        let topic: TopicName = "orders".parse().unwrap();
        assert!(matches!(store.partitions_count(&topic), Err(TopicError::Unknown { .. })));
        store.create_topic(&topic, 3).unwrap();
        assert_eq!(store.partitions_count(&topic).unwrap(), 3);
    }
}
