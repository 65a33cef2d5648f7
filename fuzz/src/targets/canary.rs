//! A planted bug at the end of a path that only a guided search walks.

/// Fails on one word in 2^64.
pub fn run(data: &[u8]) {
    let word = b"once!log";
    let alike = data.iter().zip(word).take_while(|(a, b)| a == b).count();
    assert!(alike < word.len(), "the canary sings");
}

/// Nothing near it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    vec![b"quiet".to_vec()]
}
