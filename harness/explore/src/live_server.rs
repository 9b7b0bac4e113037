//! What a generated scenario must know of a live server.

/// What a live server supports and accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveServer {
    /// Its Topic Alias Maximum.
    pub topic_alias_maximum: u64,
    /// Its Maximum QoS.
    pub maximum_qos: u64,
    /// Whether it retains messages.
    pub retains: bool,
    /// Whether it accepts Keep Alive 0.
    pub accepts_keep_alive_0: bool,
    /// Whether it may be sent malformed packets: no other run uses it.
    pub takes_malformed: bool,
    /// How much later than specified its timers may act, in seconds.
    pub late: u64,
}

impl LiveServer {
    /// What both servers do.
    pub(crate) fn both(self, other: Self) -> Self {
        Self {
            topic_alias_maximum: self.topic_alias_maximum.min(other.topic_alias_maximum),
            maximum_qos: self.maximum_qos.min(other.maximum_qos),
            retains: self.retains && other.retains,
            accepts_keep_alive_0: self.accepts_keep_alive_0 && other.accepts_keep_alive_0,
            takes_malformed: self.takes_malformed && other.takes_malformed,
            late: self.late.max(other.late),
        }
    }
}
