//! Shell of the target `record_iter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::record::iterate(data));
