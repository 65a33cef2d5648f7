//! Shell of the target `canary`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::canary::run(data));
