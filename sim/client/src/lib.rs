//! The reference MQTT client as a state machine without I/O.
#![forbid(unsafe_code)]
