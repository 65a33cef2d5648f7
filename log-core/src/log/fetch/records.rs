//! The records of a fetch, out of whichever codec they are in.
//!
//! One batch is decompressed at a time, when its first record is asked for, and let go when its
//! last record is: a reader holds at most one batch's uncompressed records and those whose records
//! it keeps.

use std::collections::BTreeSet;

use super::Fetched;
use crate::format::{BatchError, BatchView, Batches, OwnedRecords, Record};
use crate::ids::{Offset, ProducerId};
use crate::segment::transaction_index::AbortedTransaction;

/// The records of a [`Fetched`], from the offset asked for on.
///
/// A batch that cannot be read gives one error, then the next batch follows.
#[derive(Clone, Debug)]
pub struct FetchedRecords<'a> {
    fetched: &'a Fetched,
    batches: Batches<'a>,
    batch: Option<OwnedRecords>,
    from: Offset,
    decompressed_bytes_max: u32,
    /// Aborted transactions whose first batch is still to come.
    to_come: &'a [AbortedTransaction],
    /// Producers whose transaction at hand is an aborted one.
    aborting: BTreeSet<ProducerId>,
}

impl<'a> FetchedRecords<'a> {
    pub(super) fn new(fetched: &'a Fetched, decompressed_bytes_max: u32) -> Self {
        let batches = fetched.batches();
        Self {
            fetched,
            batches,
            batch: None,
            from: fetched.offset,
            decompressed_bytes_max,
            to_come: &fetched.aborted_transactions,
            aborting: BTreeSet::new(),
        }
    }

    /// Begins the next batch that a consumer is shown; `None` at the end.
    fn next_batch(&mut self) -> Option<Result<(), BatchError>> {
        loop {
            // Framing was checked when the bytes were fetched.
            let batch = self.batches.next()?.ok()?.batch;
            if self.is_hidden(&batch) || batch.is_control() || batch.records_count() == 0 {
                continue;
            }
            let opened =
                OwnedRecords::new(&self.fetched.bytes, &batch, self.decompressed_bytes_max);
            return Some(opened.map(|records| self.batch = Some(records)));
        }
    }

    /// Whether `batch`, the next one, belongs to an aborted transaction (KIP-98).
    fn is_hidden(&mut self, batch: &BatchView<'_>) -> bool {
        if !batch.producer_id().is_some() || (self.to_come.is_empty() && self.aborting.is_empty()) {
            return false;
        }
        while let Some((next, rest)) = self.to_come.split_first()
            && next.first_offset <= batch.last_offset()
        {
            self.aborting.insert(next.producer_id);
            self.to_come = rest;
        }
        if batch.is_control() {
            // Its transactions have one marker each, and what this reader is told of are aborted.
            self.aborting.remove(&batch.producer_id());
            return true;
        }
        batch.is_transactional() && self.aborting.contains(&batch.producer_id())
    }
}

impl Iterator for FetchedRecords<'_> {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.batch.as_mut().and_then(Iterator::next) {
                Some(Ok(record)) if record.offset < self.from => {}
                Some(Ok(record)) => return Some(Ok(record)),
                Some(Err(error)) => {
                    self.batch = None;
                    return Some(Err(error.into()));
                }
                None => {
                    self.batch = None;
                    if let Err(error) = self.next_batch()? {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}
