//! Partitions join a transaction, and appends ask whether theirs has.

use std::collections::BTreeSet;

use log_core::TopicPartition;

use super::{
    Answer, Command, Coordinator, Ongoing, ProducerIdAndEpoch, RequestId, Then, TimestampMs,
    Transaction, TransactionError, TransactionRecord, TransactionVersion, TransactionalId,
};

impl Coordinator {
    #[expect(clippy::too_many_arguments, reason = "the fields of one event, and where to answer")]
    pub(super) fn add(
        &mut self,
        request: RequestId,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
        partitions: BTreeSet<TopicPartition>,
        version: TransactionVersion,
        now: TimestampMs,
        out: &mut Vec<Command>,
    ) -> Result<(), TransactionError> {
        self.serving()?;
        let transaction = self.admitted(id, producer)?;
        let record = &transaction.record;
        let mut joined = match record.state {
            Ongoing => record.partitions.clone().unwrap_or_default(),
            state if state.is_at_rest() => BTreeSet::new(),
            state => return Err(TransactionError::IllegalState { id: id.clone(), state }),
        };
        if record.state == Ongoing && partitions.is_subset(&joined) {
            out.push(Command::Reply { request, answer: Ok(Answer::Added) });
            return Ok(());
        }
        joined.extend(partitions);
        let target = TransactionRecord {
            state: Ongoing,
            partitions: Some(joined),
            last_update: now,
            start: if record.state == Ongoing { record.start } else { now },
            client_version: match version {
                TransactionVersion::One => 0,
                TransactionVersion::Two => 2,
            },
            ..record.clone()
        };
        let last_epoch = transaction.last_epoch;
        self.propose(id, Some(target), last_epoch, Then::Add(request), out)
    }

    /// Whether an append of `producer` to `partition` belongs to a transaction that the coordinator
    /// knows (KIP-890 part 1). Without this a late batch could open a transaction nobody ends.
    ///
    /// # Errors
    ///
    /// [`TransactionError`]; [`TransactionError::TransactionAbortable`] if the partition is not part
    /// of it.
    pub fn verify(
        &self,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
        partition: &TopicPartition,
    ) -> Result<(), TransactionError> {
        self.serving()?;
        let record = &self.admitted(id, producer)?.record;
        let joined = record.partitions.as_ref().is_some_and(|all| all.contains(partition));
        if record.state == Ongoing && joined {
            Ok(())
        } else {
            Err(TransactionError::TransactionAbortable { id: id.clone() })
        }
    }

    /// The id's transaction, if `producer` is its living one and nothing is under way.
    fn admitted(
        &self,
        id: &TransactionalId,
        producer: ProducerIdAndEpoch,
    ) -> Result<&Transaction, TransactionError> {
        let transaction = self.find(id, producer.id)?;
        let (id, producer_id, found) = (id.clone(), producer.id, producer.epoch);
        if transaction.record.producer_id != producer_id {
            return Err(TransactionError::InvalidProducerIdMapping { id, producer_id });
        }
        if transaction.record.producer_epoch != found {
            return Err(TransactionError::ProducerFenced { id, producer_id, found });
        }
        if transaction.pending.is_some() || transaction.record.state.is_prepared() {
            return Err(TransactionError::ConcurrentTransactions { id });
        }
        Ok(transaction)
    }
}
