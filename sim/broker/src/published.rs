//! What the broker keeps to publish its statistics.

use std::time::Duration;

/// The first levels of the topics of the statistics.
pub(crate) const STATISTICS: &str = "$SYS/";

/// What the broker keeps to publish its statistics.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// When they were published for the first time.
    pub(crate) since: Option<Duration>,
    /// The number of their retained messages.
    pub(crate) retained: usize,
    /// PUBLISH packets of Clients.
    pub(crate) received: u64,
}
