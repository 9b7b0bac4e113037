//! One thing that can go wrong, and where; what it means for a link.

use crate::probability::Probability;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The links that a fault is on. A link has two directions, each with faults of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every link, both directions.
    Everywhere,
    /// Both directions between a host and all others.
    Around(String),
    /// All directions that lead to a host.
    To(String),
    /// One direction between two hosts.
    OneWay {
        /// The sending host.
        from: String,
        /// The receiving host.
        to: String,
    },
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Everywhere => f.write_str("everywhere"),
            Way::Around(host) => write!(f, "around {host}"),
            Way::To(host) => write!(f, "to {host}"),
            Way::OneWay { from, to } => write!(f, "from {from} to {to}"),
        }
    }
}

/// A fault.
///
/// Not exhaustive: a backend refuses the kinds that it does not name, so a new kind does not touch
/// the backends that do not model it.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing passes. Senders retry as TCP does, so no byte is lost to the application.
    Partition {
        /// Where.
        on: Way,
    },
    /// A segment takes this long in place of what the link takes without faults. A live link cannot
    /// be faster than it is, so there it takes this much longer.
    Latency {
        /// Where.
        on: Way,
        /// Drawn for each segment.
        latency: RangeInclusive<Duration>,
    },
    /// A segment takes this much longer.
    AddedLatency {
        /// Where.
        on: Way,
        /// The added latency.
        added: Duration,
    },
    /// A segment is lost with this probability. It is sent again, as TCP does, so it arrives late.
    Loss {
        /// Where.
        on: Way,
        /// For each segment.
        probability: Probability,
    },
    /// A direction carries at most this many bytes a second.
    Bandwidth {
        /// Where.
        on: Way,
        /// The limit.
        bytes_per_second: u64,
    },
    /// Open connections are reset: both ends see an error.
    Reset {
        /// Where.
        on: Way,
    },
    /// Open connections carry nothing from now on, and neither end is notified.
    HalfOpen {
        /// Where.
        on: Way,
    },
    /// The host's process does not read from its connections, so its peers' buffers fill.
    StalledReader {
        /// Which host.
        host: String,
    },
    /// The power of the host fails: its process ends, nothing leaves it, and its peers are not
    /// notified. When the fault ends, the host starts with what its disk kept.
    Crash {
        /// Which host.
        host: String,
    },
    /// The power of the host fails in the middle of a write: at one of its next eight operations
    /// that change the disk (the seed draws which one), or after `within` if there are fewer.
    ///
    /// The disk keeps everything that was synced. Of each later write it keeps the first sectors,
    /// from none to all of them, drawn for each write; it keeps no later change of a file's length.
    /// On a disk that does not tear writes, each later write is lost as a whole.
    DiskLoss {
        /// Which host.
        host: String,
        /// The longest wait for the operation.
        within: Duration,
    },
    /// The disk of the host is full: a write that would lengthen a file fails.
    FullDisk {
        /// Which host.
        host: String,
    },
}

impl Fault {
    /// True if the fault happens at one instant, so that it has no end.
    pub fn is_instant(&self) -> bool {
        matches!(self, Fault::Reset { .. } | Fault::HalfOpen { .. })
    }

    /// The links whose [`LinkState`] it changes.
    pub(crate) fn on_links(&self) -> Option<&Way> {
        match self {
            Fault::Partition { on }
            | Fault::Latency { on, .. }
            | Fault::AddedLatency { on, .. }
            | Fault::Loss { on, .. }
            | Fault::Bandwidth { on, .. } => Some(on),
            Fault::Reset { .. }
            | Fault::HalfOpen { .. }
            | Fault::StalledReader { .. }
            | Fault::Crash { .. }
            | Fault::DiskLoss { .. }
            | Fault::FullDisk { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Partition { on } => write!(f, "partition {on}"),
            Fault::Latency { on, latency } => {
                write!(f, "latency {:?}..{:?} {on}", latency.start(), latency.end())
            }
            Fault::AddedLatency { on, added } => write!(f, "latency +{added:?} {on}"),
            Fault::Loss { on, probability } => write!(f, "loss {probability} {on}"),
            Fault::Bandwidth { on, bytes_per_second } => write!(f, "bandwidth {bytes_per_second} B/s {on}"),
            Fault::Reset { on } => write!(f, "reset {on}"),
            Fault::HalfOpen { on } => write!(f, "half-open {on}"),
            Fault::StalledReader { host } => write!(f, "stalled reader {host}"),
            Fault::Crash { host } => write!(f, "crash of {host}"),
            Fault::DiskLoss { host, .. } => write!(f, "disk loss of {host}"),
            Fault::FullDisk { host } => write!(f, "full disk of {host}"),
        }
    }
}

/// The faults in force on one direction of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// Nothing passes.
    pub partitioned: bool,
    /// Replaces the latency that the link has without faults.
    pub latency: Option<RangeInclusive<Duration>>,
    /// On top of the latency.
    pub added_latency: Duration,
    /// Replaces the loss that the link has without faults.
    pub loss: Option<Probability>,
    /// Replaces the bandwidth that the link has without faults.
    pub bytes_per_second: Option<u64>,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == LinkState::default() {
            return f.write_str("no faults");
        }
        let partitioned = self.partitioned.then(|| "partitioned".to_owned());
        let latency = self.latency.as_ref().map(|latency| format!("latency {latency:?}"));
        let added = (!self.added_latency.is_zero()).then(|| format!("latency +{:?}", self.added_latency));
        let loss = self.loss.map(|loss| format!("loss {loss}"));
        let bandwidth = self.bytes_per_second.map(|bytes| format!("bandwidth {bytes} B/s"));
        let faults: Vec<String> =
            [partitioned, latency, added, loss, bandwidth].into_iter().flatten().collect();
        f.write_str(&faults.join(", "))
    }
}

impl LinkState {
    /// Adds a fault that began after those that it has.
    pub(crate) fn add(&mut self, fault: &Fault) {
        match fault {
            Fault::Partition { .. } => self.partitioned = true,
            Fault::Latency { latency, .. } => self.latency = Some(latency.clone()),
            Fault::AddedLatency { added, .. } => self.added_latency += *added,
            Fault::Loss { probability, .. } => self.loss = Some(*probability),
            Fault::Bandwidth { bytes_per_second, .. } => self.bytes_per_second = Some(*bytes_per_second),
            _ => debug_assert!(fault.on_links().is_none(), "{fault}"),
        }
    }
}
