#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mqttspec_scenarios::notation::fuzz::file(input));
