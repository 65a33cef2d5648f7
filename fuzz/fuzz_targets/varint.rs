//! Shell of the target `varint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::record::varints(data));
