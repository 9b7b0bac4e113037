#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| drop(mqttspec_client::fuzz::run(input)));
