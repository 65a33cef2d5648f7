//! The journal is read: the last record of an id counts, and what it decided is completed.
//!
//! ```text
//!   Loading, Record …, Loaded    PrepareCommit, PrepareAbort   markers again, to all partitions
//!                                Ongoing                       aborted, with a new epoch; or kept
//!                                the others                    nothing
//! ```
//!
//! Requests meanwhile hear `CoordinatorLoadInProgress`. Where a record cannot be read the driver
//! sends no [`Event::Loaded`](super::Event::Loaded): half of a journal is never served (D43).

use super::{
    Command, Coordinator, Mode, Ongoing, Then, TimestampMs, Transaction, TransactionRecord,
    TransactionalId,
};

impl Coordinator {
    pub(super) fn begin_load(&mut self, out: &mut Vec<Command>) {
        self.forget(out);
        self.mode = Mode::Loading;
    }

    pub(super) fn load(&mut self, id: TransactionalId, record: Option<TransactionRecord>) {
        if self.mode != Mode::Loading {
            return;
        }
        match record {
            Some(record) => self.transactions.insert(id, Transaction::new(record)),
            None => self.transactions.remove(&id),
        };
    }

    pub(super) fn loaded(
        &mut self,
        coordinator_epoch: i32,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) {
        if self.mode != Mode::Loading {
            return;
        }
        self.mode = Mode::Serving;
        self.marker_epoch = coordinator_epoch;
        let ids: Vec<_> = self.transactions.keys().cloned().collect();
        for id in ids {
            let state = self.transactions.get(&id).map(|transaction| transaction.record.state);
            match state {
                Some(state) if state.is_prepared() => self.begin_markers(&id, now, out),
                Some(Ongoing) if !self.settings.keep_ongoing => {
                    // Its refusal needs no answer: nobody asked, and the next tick tries again.
                    let _bug = self.fence(&id, Then::Fence(None), now, out);
                }
                _ => {}
            }
        }
    }
}
