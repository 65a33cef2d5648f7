"""Two decoders that nobody here wrote walk every .log of a store, checksums on.

Usage: decoders.py STORE EXPECTED_RECORDS
"""

import glob
import os
import sys

from aiokafka.record.default_records import DefaultRecordBatch as AioBatch
from kafka.record.memory_records import MemoryRecords


def by_kafka_python(data):
    records, batches = [], 0
    memory = MemoryRecords(data)
    while memory.has_next():
        batch = memory.next_batch()
        assert batch.validate_crc(), "kafka-python: wrong checksum"
        batches += 1
        records += [(r.offset, r.timestamp, r.key, r.value) for r in batch]
    return batches, records


def by_aiokafka(data):
    records, batches, at = [], 0, 0
    while at < len(data):
        size = 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        batch = AioBatch(bytes(data[at : at + size]))
        assert batch.validate_crc(), "aiokafka: wrong checksum"
        batches += 1
        at += size
        records += [(r.offset, r.timestamp, r.key, r.value) for r in batch]
    return batches, records


def main(store, expected):
    batches = records = differences = 0
    for directory in sorted(glob.glob(os.path.join(store, "*-*"))):
        next_offset = 0
        for path in sorted(glob.glob(os.path.join(directory, "*.log"))):
            with open(path, "rb") as file:
                data = file.read()
            one, other = by_kafka_python(data), by_aiokafka(data)
            differences += one != other
            for offset, *_ in one[1]:
                differences += offset != next_offset
                next_offset = offset + 1
            batches += one[0]
            records += len(one[1])
    differences += records != expected
    print(f"decoders: {batches} batches, {records} records, 2 decoders, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
