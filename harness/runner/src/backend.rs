//! What a run executes on. The executor asks this for time, connections, faults and power, and does not know whether a
//! simulated world or a live server is behind it.

use core::future::Future;
use core::ops::RangeInclusive;
use core::pin::Pin;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use mqttspec_world::{Probability, Seed};
use tokio::io::{AsyncRead, AsyncWrite};

/// A future of a trait object. It is boxed, which costs nothing beside the wait that it stands for.
pub(crate) type Pending<'p, T> = Pin<Box<dyn Future<Output = T> + 'p>>;

/// A byte stream of any backend.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Where a run happens.
pub(crate) trait Backend {
    /// How long things may take here.
    fn timeouts(&self) -> Timeouts;

    /// The real time after which a run counts as endless; `None` if the backend notices that by itself.
    fn limit(&self) -> Option<Duration> {
        None
    }

    /// Time since the start of the run.
    fn now(&self) -> Duration;

    /// Sleeps until that time after the start of the run.
    fn sleep_until(&self, since_start: Duration) -> Pending<'_, ()>;

    /// Sleeps for a duration.
    fn sleep(&self, duration: Duration) -> Pending<'_, ()> {
        self.sleep_until(self.now() + duration)
    }

    /// The source of the scenario's own random choices.
    fn seed(&self) -> Seed;

    /// Opens a connection from a client's host to the server.
    fn dial<'b>(&'b self, host: &'b str) -> Pending<'b, io::Result<Box<dyn Stream>>>;

    /// Listens on the host of the server, for an executor that plays the server.
    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>>;

    /// The links that a fault is on.
    fn links(&self, way: Way<'_>) -> Result<Box<dyn Links>, BackendError>;

    /// The host's process stops reading.
    fn stall(&self, host: &str) -> Result<(), BackendError>;

    /// The host's process reads again.
    fn resume(&self, host: &str) -> Result<(), BackendError>;

    /// The power of the host fails: its process ends, and its peers are not notified.
    fn crash<'b>(&'b self, host: &'b str) -> Pending<'b, Result<(), BackendError>>;

    /// The host starts with what its disk kept.
    fn start<'b>(&'b self, host: &'b str) -> Pending<'b, Result<(), BackendError>>;

    /// Limits the size of the host's disk in bytes.
    fn disk_capacity(&self, host: &str, bytes: Option<u64>) -> Result<(), BackendError>;
}

/// Connections that clients open to a played server.
pub(crate) trait Incoming {
    /// The next connection, and the host that opened it if that is known.
    fn accept(&self) -> Pending<'_, io::Result<Accepted>>;
}

/// A connection that a client opened.
pub(crate) struct Accepted {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) host: Option<Arc<str>>,
}

/// Some links, and what can be done to them.
pub(crate) trait Links {
    /// Nothing passes.
    fn partition(&self);

    /// Ends a partition.
    fn join(&self);

    /// Sets the latency; on a live link, the added latency.
    fn latency(&self, latency: RangeInclusive<Duration>);

    /// Sets the latency to the usual one and this much more.
    fn usual_latency_and(&self, more: Duration);

    /// Sets the probability of losing each segment.
    fn loss(&self, probability: Probability);

    /// Limits the bytes per second.
    fn bandwidth(&self, bytes_per_second: Option<u64>);

    /// Resets the connections.
    fn reset(&self);

    /// The connections carry nothing from now on, and neither end is notified.
    fn blackhole(&self);
}

/// The links that a fault is on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way<'h> {
    /// Every link.
    Everywhere,
    /// Both directions between a host and all others.
    Around(&'h str),
    /// All directions that lead to a host.
    To(&'h str),
    /// One direction between two hosts.
    FromTo(&'h str, &'h str),
    /// Both directions between two hosts.
    Between(&'h str, &'h str),
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// How long an expected packet may take if the scenario gives no time.
    pub(crate) patience: Duration,
    /// How much earlier than the scenario says something may come: the clocks of both ends may differ by this.
    pub(crate) early: Duration,
    /// How much later than the scenario says something may come.
    pub(crate) late: Duration,
    /// How long a run continues after its last step, so that everything sent by then arrives.
    pub(crate) settling: Duration,
    /// How long a client under test is watched for silence: no PINGREQ can be sent after the input of a client.
    pub(crate) silence: Duration,
    /// How long nothing but PINGREQ and PINGRESP may pass before everything counts as quiet.
    pub(crate) quiet: Duration,
    /// By which number the times of fault profiles are divided.
    pub(crate) shorter: u32,
    /// How long a sent packet may travel if no fault delays it.
    pub(crate) travel: Duration,
    /// How long after its SUBACK a Subscription may not be in force yet.
    pub(crate) subscribing: Duration,
}

/// A backend could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BackendError(pub(crate) String);
