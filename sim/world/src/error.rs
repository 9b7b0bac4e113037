//! Errors of calls to the world, and failures of a run.

use crate::history::{Event, Trace};
use std::fmt;
use std::time::Duration;

/// A call to the world that cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No host with that name was declared.
    #[error("there is no host named {0:?}")]
    UnknownHost(String),
    /// The host is already running.
    #[error("the host {0:?} is already up")]
    AlreadyUp(String),
    /// The host is not running.
    #[error("the host {0:?} is down")]
    Down(String),
    /// The connection is closed or never existed.
    #[error("the connection #{0} is not open")]
    UnknownConnection(u64),
    /// The fault requires two different hosts.
    #[error("{0:?} has no link to itself")]
    SameHost(String),
    /// The run has ended; the handle outlived it.
    #[error("the run is over")]
    Over,
}

/// Why a run ended before its director returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A task of a host panicked.
    #[error("a task of the host {host:?} panicked at {at:?}: {message}")]
    HostPanicked {
        /// The host's name.
        host: String,
        /// The panic message.
        message: String,
        /// Simulated time.
        at: Duration,
    },
    /// A host (or the director) was polled too often at one instant: one of its tasks keeps waking
    /// itself.
    #[error("{host:?} was polled {polls} times at {at:?} without letting time pass")]
    Spinning {
        /// The host's name, or `director`.
        host: String,
        /// How often it was polled at that instant.
        polls: u64,
        /// Simulated time.
        at: Duration,
    },
    /// The director had not returned when the limit on simulated time was reached.
    #[error("the director did not return within {limit:?} of simulated time")]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// The director had not returned when the limit on events was reached.
    #[error(
        "the director did not return within {limit} events ({at:?} of simulated time); the busiest host was {busiest:?}"
    )]
    EventLimit {
        /// The limit.
        limit: u64,
        /// Simulated time.
        at: Duration,
        /// The host that was polled most often.
        busiest: String,
    },
    /// The director had not returned when the limit on real time was reached.
    #[error(
        "the director did not return within {limit:?} of real time ({at:?} of simulated time); the busiest host was {busiest:?}"
    )]
    RealTimeLimit {
        /// The limit.
        limit: Duration,
        /// Simulated time. It depends on the speed of the machine.
        at: Duration,
        /// The host that was polled most often.
        busiest: String,
    },
    /// A host name is used twice, empty, or the name of the local machine.
    #[error("the host name {0:?} is empty, reserved or already used")]
    HostName(String),
    /// More hosts than the world has addresses for.
    #[error("the world does not have addresses for {0} hosts")]
    TooManyHosts(usize),
    /// This thread already runs a world.
    #[error("this thread already runs a world")]
    Nested,
    /// The tokio runtime for the world could not be created.
    #[error("the tokio runtime could not be created: {0}")]
    Runtime(String),
}

/// A failed run, with its history up to the failure.
#[derive(Debug)]
pub struct Failure {
    /// The cause.
    pub error: RunError,
    /// The history up to the failure.
    pub trace: Box<Trace>,
}

impl Failure {
    /// The last events, oldest first, at most `most` of them.
    pub fn last_events(&self, most: usize) -> &[Event] {
        let events = &self.trace.events;
        &events[events.len().saturating_sub(most)..]
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.error)?;
        let options = &self.trace.options;
        let with = if options.is_empty() { "" } else { " with " };
        write!(f, "seed {}{with}{options}; the last events:", self.trace.seed)?;
        for event in self.last_events(10) {
            write!(f, "\n{}", self.trace.line(event))?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
