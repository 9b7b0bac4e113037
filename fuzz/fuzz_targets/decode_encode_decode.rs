#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mqttspec_codec::fuzz::decode_encode_decode(input));
