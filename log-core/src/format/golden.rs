//! Batches whose every byte is known: worked out by an independent encoder and confirmed with
//! kafka-clients 4.3.0, kafka-python 3.0 and aiokafka 0.14.

/// Two records: 1000 `k` → `v1`; 1001 null → empty, headers `h` = null, `x` = `y`.
pub(super) fn two_records() -> Vec<u8> {
    hex(concat!(
        "000000000000000000000049ffffffff0247a2f82300000000000100000000000003e800000000000003e9",
        "ffffffffffffffffffffffffffff0000000212000000026b047631001a00020201000402680102780279"
    ))
}

/// One record `a` → `b` at 1000, in a transaction of producer 7, epoch 3, sequence 5.
pub(super) fn transactional() -> Vec<u8> {
    hex(concat!(
        "00000000000000000000003affffffff02c3fdea0f00100000000000000000000003e800000000000003e8",
        "000000000000000700030000000500000001100000000261026200"
    ))
}

/// Offsets 42 to 44 without records, leader epoch 5, producer 7, epoch 3, sequence 5.
pub(super) fn empty() -> Vec<u8> {
    hex(concat!(
        "000000000000002a000000310000000502a33b587c001000000002ffffffffffffffff00000000000003e8",
        "000000000000000700030000000500000000"
    ))
}

/// Producer 1 commits.
pub(super) fn commit_marker() -> Vec<u8> {
    hex(concat!(
        "000000000000000000000042ffffffff02bda9896c00300000000000000000000000000000000000000000",
        "00000000000000010000ffffffff000000012000000008000000010c00000000000000"
    ))
}

/// Producer 1 aborts.
pub(super) fn abort_marker() -> Vec<u8> {
    hex(concat!(
        "000000000000000000000042ffffffff0249975f2400300000000000000000000000000000000000000000",
        "00000000000000010000ffffffff000000012000000008000000000c00000000000000"
    ))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}
