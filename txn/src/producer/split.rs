//! A batch the log finds too large, in two halves (Kafka `ProducerBatch.split`).

use log_core::format::{
    BatchBuilder, BatchOptions, BatchView, Compression, NewRecord, RecordBatch, RecordHeader,
    Records,
};

/// Two batches with the records of `batch`, in order; `None` for a single record.
pub(super) fn split(
    batch: &RecordBatch,
    compression: Compression,
) -> Option<(RecordBatch, RecordBatch)> {
    let view = BatchView::parse(batch.as_bytes()).ok()?;
    let half = batch.records_count() / 2;
    let options = BatchOptions::new().compression(compression);
    let options = if view.is_transactional() { options.transactional() } else { options };
    let mut halves = [options; 2].map(BatchBuilder::new);
    let mut headers = Vec::new();
    // What this producer built itself unpacks to what it built it from.
    let records = view.decompress(u32::MAX).ok()?;
    for record in Records::decompressed(&view, &records) {
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
    use log_core::format::Codec;
    use log_core::ids::TimestampMs;

    fn batch(values: &[&str], compression: Compression) -> RecordBatch {
        let mut builder = BatchBuilder::new(BatchOptions::new().compression(compression));
        for value in values {
            let headers = [RecordHeader { key: b"k", value: Some(value.as_bytes()) }];
            let timestamp = TimestampMs::new(5);
            let value = Some(value.as_bytes());
            builder.push(&NewRecord { timestamp, key: None, value, headers: &headers }).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn halves_hold_all_records_in_order_in_every_codec() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let compression = Compression::new(codec).unwrap();
            let batch = |values: &[&str]| batch(values, compression);
            let (first, second) = split(&batch(&["a", "b", "c"]), compression).unwrap();
            assert_eq!((first, second), (batch(&["a"]), batch(&["b", "c"])), "{codec:?}");
            assert_eq!(split(&batch(&["a"]), compression), None);
        }
    }
}
