//! What a client knows about its connection, in one value.

use std::time::Duration;

use crate::circuit::CircuitState;
use crate::error::Error;
use crate::event::State;

/// What a client knows about its connection. Times are those of the driver.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionInfo {
    /// The state.
    pub state: State,
    /// The Server: `host:port`, or the Server Reference that is followed.
    pub server: String,
    /// Since when the client is connected.
    pub connected_at: Option<Duration>,
    /// How long it has been connected.
    pub uptime: Option<Duration>,
    /// When the last accepted connection ended.
    pub disconnected_at: Option<Duration>,
    /// The last error.
    pub last_error: Option<LastError>,
    /// The number of delays since the connection was lost.
    pub retries: u32,
    /// The circuit breaker.
    pub circuit: CircuitState,
    /// Messages that wait to be sent.
    pub waiting: usize,
    /// QoS 1 and QoS 2 messages that are not completely acknowledged.
    pub in_flight: usize,
    /// Deliveries in the outbox.
    pub outbox: usize,
}

/// An error with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct LastError {
    /// When.
    pub at: Duration,
    /// What.
    pub error: Error,
}
