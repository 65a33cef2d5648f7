//! Shell of the target `ops_damage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::ops::run_damaged(data));
