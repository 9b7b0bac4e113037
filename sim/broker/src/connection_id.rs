//! The name of a Network Connection.

/// Identifies a Network Connection. A broker never uses one twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);
