//! Shell of the target `index_open`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::store::index(data));
