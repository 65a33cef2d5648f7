//! What a store does by itself from time to time: retention.
//!
//! ```text
//!   Thread   the I/O thread, every `retention_check_interval`
//!   Inline   whoever appends, once the interval is over
//!   Manual   Store::turn, likewise
//! ```
//!
//! It holds no lock that a truncation or a deletion of a topic waits under for the I/O thread.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::engine::Shared;
use super::partition::Partition;
use crate::clock::Tick;

/// Who is looked after, and when next.
#[derive(Debug, Default)]
pub(crate) struct Maintenance {
    partitions: Mutex<Vec<Weak<Partition>>>,
    /// A tick in nanoseconds.
    due: AtomicU64,
}

impl Maintenance {
    /// Looks after `partition` from now on.
    pub(crate) fn watch(&self, partition: &Arc<Partition>) {
        self.partitions.lock().push(Arc::downgrade(partition));
    }

    /// Every partition that is open.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        let mut watched = self.partitions.lock();
        watched.retain(|partition| partition.strong_count() > 0);
        watched.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Shared {
    /// When there is something to do next.
    pub(crate) fn maintenance_due(&self) -> Tick {
        // Relaxed: whoever comes a moment late comes at the next look.
        Tick::from_nanos(self.maintenance.due.load(Ordering::Relaxed))
    }

    /// Does what is due. One caller at a time does it.
    pub(crate) fn maintain_if_due(&self) {
        let now = self.clock.tick();
        let due = self.maintenance_due();
        if now < due {
            return;
        }
        let next = now.after(self.settings.retention_check_interval).as_nanos();
        let mine = self.maintenance.due.compare_exchange(
            due.as_nanos(),
            next,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if mine.is_ok() {
            self.maintain();
        }
    }

    fn maintain(&self) {
        for partition in self.maintenance.all() {
            if partition.settings.get().is_unlimited() {
                continue;
            }
            // Offline, closed or busy: then it is left for the next time.
            let _not_now = partition.try_retention();
        }
    }
}
