//! How exact the times of a peer must be.

use core::time::Duration;

/// How much more time a peer may take than in a simulation, where its timers are exact and each
/// message arrives at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tolerance {
    /// How much earlier a timer of the peer may act.
    pub early: Duration,
    /// How much later a timer of the peer may act.
    pub late: Duration,
    /// How much longer an answer or a message may take.
    pub answer: Duration,
    /// How much longer the peer may wait before it sends again what is unacknowledged. The standard
    /// gives no time.
    pub again: Duration,
    /// How long after its SUBACK a Subscription may not be in force yet.
    pub subscribing: Duration,
}
