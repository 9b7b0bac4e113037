//! The library of mqttspec for the tests of a broker or a client.
//!
//! - [`conformance()`]: every scenario as a test of your broker, in the simulator
//! - [`TestBroker`]: the reference broker on a port of this machine, for tests of a client
//!
//! The command `mqttspec` is a program of the same package. A crate that needs the library only
//! turns the default features off.
#![forbid(unsafe_code)]

pub use mqttspec_broker::Options as BrokerOptions;
pub use mqttspec_conformance::*;
pub use mqttspec_net::{TestBroker, TestBrokerBuilder, TestBrokerError};
