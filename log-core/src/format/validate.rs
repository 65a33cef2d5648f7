//! What must hold of a batch before a log takes it, beyond framing and checksum.
//!
//! ```text
//!                        from a client                      from a replica
//!   producer fields      agree with the flags               agree with the flags
//!   records              one for each offset, 0, 1, 2, …    offsets rise; gaps are compaction's
//!   control records      (refused before)                   key and value readable
//! ```
//!
//! A compressed batch is decompressed for it, within a bound. Source: Kafka `LogValidator`,
//! `ProducerStateManager`, `ControlRecordType`.

use crate::format::batch::{BatchError, BatchView};
use crate::format::control::EndTxnMarker;
use crate::format::record::{Records, RecordsSummary, validate_decompressed};
use crate::ids::{ProducerEpoch, Sequence};

/// Checks a batch as a client must send it, out of whichever codec its records are in.
///
/// # Errors
///
/// [`BatchError`] for the first rule broken; a codec that is not built in is named.
pub fn validate_client_batch(
    batch: &BatchView<'_>,
    decompressed_bytes_max: u32,
) -> Result<RecordsSummary, BatchError> {
    validate_producer(batch)?;
    let records = batch.decompress(decompressed_bytes_max)?;
    Ok(validate_decompressed(batch, &records)?)
}

/// Checks a batch as it stands in another log: its records may have been thinned out, and it may
/// be a control batch.
///
/// # Errors
///
/// [`BatchError`] for the first rule broken; a codec that is not built in is named.
pub fn validate_replica_batch(
    batch: &BatchView<'_>,
    decompressed_bytes_max: u32,
) -> Result<(), BatchError> {
    validate_producer(batch)?;
    let bytes = batch.decompress(decompressed_bytes_max)?;
    for record in Records::decompressed(batch, &bytes) {
        let record = record?;
        if batch.is_control() {
            EndTxnMarker::from_record(record.key, record.value)
                .map_err(|source| BatchError::Control { offset: record.offset, source })?;
        }
    }
    Ok(())
}

/// The producer's fields against each other: who is in a transaction has an id, who has an id has an
/// epoch, and numbers its records, control records apart.
fn validate_producer(batch: &BatchView<'_>) -> Result<(), BatchError> {
    let [id_at, epoch_at, sequence_at] = BatchView::PRODUCER_FIELDS_AT;
    let refuse = |field, at, rule| Err(BatchError::Field { field, at, found: -1, rule });
    if !batch.producer_id().is_some() {
        if batch.is_transactional() {
            return refuse("producerId", id_at, "a transactional batch has a producer id");
        }
        return Ok(());
    }
    if batch.producer_epoch() == ProducerEpoch::NONE {
        return refuse("producerEpoch", epoch_at, "a batch with a producer id has its epoch");
    }
    if batch.base_sequence() == Sequence::NONE && !batch.is_control() {
        return refuse("baseSequence", sequence_at, "a batch with a producer id has a sequence");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
