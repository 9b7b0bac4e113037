//! MQTT 3.1, 3.1.1 and 5.0 packets: strict decoder, exact encoder, no I/O.
#![forbid(unsafe_code)]
