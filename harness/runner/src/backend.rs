//! Backends: what a run executes on. The executor gets time, connections, faults and power from the
//! backend. Its code is the same for a simulated world and for a live server.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use mqttspec_faults::{Course, Fault, FaultError, Inject, Injector, Phase, RunningCourse, Step, Way};
use mqttspec_judge::model::Tolerance;
use mqttspec_net::transport::{self, FrameForm};
use mqttspec_notation::DiskFault;
use mqttspec_world::Seed;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::hosts::SERVER;

/// A future of a trait object. It is boxed: the allocation is negligible compared with the wait.
pub(crate) type Pending<'p, T> = Pin<Box<dyn Future<Output = T> + 'p>>;

/// A byte stream of any backend.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A backend of a run.
pub(crate) trait Backend {
    /// How long things may take here.
    fn timeouts(&self) -> Timeouts;

    /// The real time after which a run counts as endless; `None` if the backend notices that by
    /// itself.
    fn limit(&self) -> Option<Duration> {
        None
    }

    /// Time since the start of the run.
    fn now(&self) -> Duration;

    /// Sleeps until that time after the start of the run.
    fn sleep_until(&self, since_start: Duration) -> Pending<'_, ()>;

    /// Waits until that time for something that should arrive: dropped when it has arrived.
    fn await_until(&self, since_start: Duration) -> Pending<'_, ()> {
        self.sleep_until(since_start)
    }

    /// Waits until that time for something that may arrive: dropped when it has arrived.
    fn watch_until(&self, since_start: Duration) -> Pending<'_, ()> {
        self.sleep_until(since_start)
    }

    /// By how much what has just arrived may be older than its time in the history.
    fn grain(&self) -> Duration {
        Duration::ZERO
    }

    /// Sleeps for a duration.
    fn sleep(&self, duration: Duration) -> Pending<'_, ()> {
        self.sleep_until(self.now() + duration)
    }

    /// The source of the scenario's own random choices.
    fn seed(&self) -> Seed;

    /// Opens a connection from a client's host to the server. It has a WebSocket if there are
    /// subprotocols to offer.
    fn dial<'b>(&'b self, host: &'b str, offering: Option<&'b [String]>) -> Pending<'b, io::Result<Dialled>>;

    /// Listens on the host of the server, for an executor that acts as the server.
    fn listen(&self) -> Pending<'_, Result<Box<dyn Incoming>, BackendError>>;

    /// The faults of the backend.
    fn faults(&self) -> &dyn FaultInjector;

    /// Whether a case can be executed here.
    ///
    /// # Errors
    /// The first thing that this backend cannot do.
    fn supports(&self, demands: &Demands) -> Result<(), Unsupported> {
        demands.faults.iter().try_for_each(|fault| Ok(self.faults().supports(fault)?))
    }
}

/// A connection that was opened to the server.
pub(crate) struct Dialled {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) websocket: Option<WebSocket>,
}

/// The WebSocket of a connection.
pub(crate) struct WebSocket {
    /// The form of what is written next.
    pub(crate) form: Rc<Cell<FrameForm>>,
    /// The subprotocol that the server selected.
    pub(crate) selected: Option<String>,
}

/// The path of the WebSocket on a simulated server.
pub(crate) const WEBSOCKET_PATH: &str = "/mqtt";

impl Dialled {
    /// Opens the WebSocket on a connection to a simulated server, if one is wanted.
    pub(crate) async fn open<S: Stream + 'static>(
        stream: S,
        offering: Option<&[String]>,
    ) -> io::Result<Self> {
        let Some(names) = offering else { return Ok(Self { stream: Box::new(stream), websocket: None }) };
        let (end, selected) = transport::offer(stream, SERVER, WEBSOCKET_PATH, names).await?;
        let websocket = Some(WebSocket { form: end.form(), selected });
        Ok(Self { stream: Box::new(end), websocket })
    }
}

/// The demands of a case on a backend.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    /// The executor acts as the server.
    pub(crate) plays_server: bool,
    /// Its connections have a WebSocket.
    pub(crate) over_websocket: bool,
    /// The minimum time that its steps wait.
    pub(crate) waits: Duration,
    /// The faults that may be injected.
    pub(crate) faults: Vec<Fault>,
    /// The faults of disks, in the order of their lines.
    pub(crate) disks: Vec<(String, Vec<DiskFault>)>,
}

/// Something that a backend cannot do, and why. The case is skipped with this reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not supported: {reason}")]
pub(crate) struct Unsupported {
    pub(crate) what: String,
    pub(crate) reason: &'static str,
}

impl From<mqttspec_faults::Unsupported> for Unsupported {
    fn from(unsupported: mqttspec_faults::Unsupported) -> Self {
        Self { what: unsupported.fault.to_string(), reason: unsupported.reason }
    }
}

/// The callback for the begin and the end of each step of a course.
pub(crate) type Observer = Box<dyn Fn(&Step, Phase)>;

/// An [`Injector`] of any backend.
pub(crate) trait FaultInjector {
    fn supports(&self, fault: &Fault) -> Result<(), mqttspec_faults::Unsupported>;
    fn begin(&self, course: Course, observer: Observer) -> Pending<'_, Result<RunningCourse, FaultError>>;
    fn heal(&self, on: &Way) -> Result<(), FaultError>;
    fn resume_reading(&self, host: &str) -> Result<(), FaultError>;
    fn free_disk(&self, host: &str) -> Result<(), FaultError>;
    fn start<'i>(&'i self, host: &'i str) -> Pending<'i, Result<(), FaultError>>;
}

impl<B: Inject + 'static> FaultInjector for Injector<B> {
    fn supports(&self, fault: &Fault) -> Result<(), mqttspec_faults::Unsupported> {
        self.backend().supports(fault)
    }

    fn begin(&self, course: Course, observer: Observer) -> Pending<'_, Result<RunningCourse, FaultError>> {
        Box::pin(self.begin(course, observer))
    }

    fn heal(&self, on: &Way) -> Result<(), FaultError> {
        self.heal(on)
    }

    fn resume_reading(&self, host: &str) -> Result<(), FaultError> {
        self.resume_reading(host)
    }

    fn free_disk(&self, host: &str) -> Result<(), FaultError> {
        self.free_disk(host)
    }

    fn start<'i>(&'i self, host: &'i str) -> Pending<'i, Result<(), FaultError>> {
        Box::pin(self.start(host))
    }
}

/// Connections that clients open to a server for which the executor acts.
pub(crate) trait Incoming {
    /// The next connection, and the host that opened it if that is known.
    fn accept(&self) -> Pending<'_, io::Result<Accepted>>;
}

/// A connection that a client opened.
pub(crate) struct Accepted {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) host: Option<Arc<str>>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// How long an expected packet may take if the scenario gives no time.
    pub(crate) patience: Duration,
    /// How much earlier than specified an event may arrive: the possible difference between the
    /// clocks of both ends.
    pub(crate) early: Duration,
    /// How much later than specified an event may arrive.
    pub(crate) late: Duration,
    /// The least time that an event has to arrive, whatever the scenario says.
    pub(crate) least: Duration,
    /// How long a run continues after its last step, so that everything sent by then arrives.
    pub(crate) settling: Duration,
    /// How long `nothing` is awaited from a client under test. The harness as server cannot use
    /// PINGREQ to prove that nothing more comes.
    pub(crate) silence: Duration,
    /// How long nothing but PINGREQ and PINGRESP may pass before everything counts as quiet.
    pub(crate) quiet: Duration,
    /// How long nothing at all may pass before a run that is not quiet is given up. `None` for
    /// never, where waiting costs nothing.
    pub(crate) rest: Option<Duration>,
    /// The times of fault profiles are divided by this number.
    pub(crate) shorter: u32,
    /// How long a sent packet may travel if no fault delays it.
    pub(crate) travel: Duration,
    /// How long after its SUBACK a Subscription may not be in force yet.
    pub(crate) subscribing: Duration,
}

/// The time limit for retransmissions in a resumed Session, on a live peer. The standard gives none.
/// nats-server takes 30 s.
pub(crate) const RETRANSMISSION: Duration = Duration::from_secs(35);

impl Timeouts {
    /// How exact the times of a live peer must be for the history model.
    pub(crate) fn tolerance(&self) -> Tolerance {
        let Self { early, late, least, patience: answer, subscribing, .. } = *self;
        Tolerance { early, late: late.max(least), answer, again: RETRANSMISSION, subscribing }
    }
}

/// A backend could not execute a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BackendError(pub(crate) String);
