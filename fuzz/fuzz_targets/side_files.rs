//! Shell of the target `side_files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::targets::files::parse(data));
