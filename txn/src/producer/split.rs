//! A batch the log finds too large, in two halves (Kafka `ProducerBatch.split`).

use log_core::format::{
    BatchBuilder, BatchOptions, BatchView, NewRecord, RecordBatch, RecordHeader,
};

/// Two batches with the records of `batch`, in order; `None` for a single record.
pub(super) fn split(batch: &RecordBatch) -> Option<(RecordBatch, RecordBatch)> {
    let view = BatchView::parse(batch.as_bytes()).ok()?;
    let half = batch.records_count() / 2;
    let mut halves = [BatchOptions::new(); 2].map(BatchBuilder::new);
    let mut headers = Vec::new();
    for record in view.records().ok()? {
        let record = record.ok()?;
        let [first, second] = &mut halves;
        let target = if first.records_count() < half { first } else { second };
        headers.clear();
        headers.extend(
            record.headers().map(|RecordHeader { key, value }| RecordHeader { key, value }),
        );
        let new = NewRecord {
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        };
        target.push(&new).ok()?;
    }
    let [first, second] = halves;
    Some((first.build()?, second.build()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use log_core::ids::TimestampMs;

    fn batch(values: &[&str]) -> RecordBatch {
        let mut builder = BatchBuilder::new(BatchOptions::new());
        for value in values {
            let headers = [RecordHeader { key: b"k", value: Some(value.as_bytes()) }];
            let timestamp = TimestampMs::new(5);
            let value = Some(value.as_bytes());
            builder.push(&NewRecord { timestamp, key: None, value, headers: &headers }).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn halves_hold_all_records_in_order() {
        let (first, second) = split(&batch(&["a", "b", "c"])).unwrap();
        assert_eq!((first, second), (batch(&["a"]), batch(&["b", "c"])));
        assert_eq!(split(&batch(&["a"])), None);
    }
}
