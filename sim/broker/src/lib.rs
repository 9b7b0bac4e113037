//! The reference MQTT broker as a state machine without I/O.
#![forbid(unsafe_code)]
