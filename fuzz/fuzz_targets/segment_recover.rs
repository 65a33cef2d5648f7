//! Shell of the target `segment_recover`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::store::segment(data));
