#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mqttspec_notation::fuzz::file(input));
