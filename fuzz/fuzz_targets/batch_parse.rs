//! Shell of the target `batch_parse`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::batch::parse(data));
