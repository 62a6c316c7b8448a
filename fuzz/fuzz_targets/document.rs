#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rolling_fuzz::document(data));
