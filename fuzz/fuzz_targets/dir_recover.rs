//! Shell of the target `dir_recover`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::store::directory(data));
