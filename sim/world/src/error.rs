//! What can be wrong with a call to the world, and how a run can fail.

use crate::history::{Event, Trace};
use std::fmt;
use std::time::Duration;

/// A call to the world that cannot be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// No host was declared by that name.
    #[error("there is no host named {0:?}")]
    UnknownHost(String),
    /// The host runs already.
    #[error("the host {0:?} is up already")]
    AlreadyUp(String),
    /// The host does not run.
    #[error("the host {0:?} is down")]
    Down(String),
    /// The connection is over or never was.
    #[error("the connection #{0} is not open")]
    UnknownConnection(u64),
    /// The fault needs two different hosts.
    #[error("{0:?} has no link to itself")]
    SameHost(String),
    /// The run has ended; the handle outlived it.
    #[error("the run is over")]
    Over,
}

/// Why a run did not reach the end of its director.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A task of a host panicked.
    #[error("a task of the host {host:?} panicked at {at:?}: {message}")]
    HostPanicked {
        /// The host's name.
        host: String,
        /// What the panic said.
        message: String,
        /// Simulated time.
        at: Duration,
    },
    /// A host (or the director) was polled too often without time passing: one of its tasks wakes itself for ever.
    #[error("{host:?} was polled {polls} times at {at:?} and let no time pass")]
    Spinning {
        /// The host's name, or `director`.
        host: String,
        /// How often it was polled at that instant.
        polls: u64,
        /// Simulated time.
        at: Duration,
    },
    /// The director had not ended when the limit on simulated time was reached.
    #[error("the director did not end within {limit:?} of simulated time")]
    TimeLimit {
        /// The limit.
        limit: Duration,
    },
    /// The director had not ended when the limit on events was reached.
    #[error(
        "the director did not end within {limit} events ({at:?} of simulated time); the busiest host was {busiest:?}"
    )]
    EventLimit {
        /// The limit.
        limit: u64,
        /// Simulated time.
        at: Duration,
        /// The host that was polled most often.
        busiest: String,
    },
    /// Two hosts have one name, or a name is empty or that of the machine itself.
    #[error("{0:?} cannot be the name of one more host")]
    HostName(String),
    /// More hosts than the world has addresses for.
    #[error("{0} hosts are more than the world has addresses for")]
    TooManyHosts(usize),
    /// This thread runs a world already.
    #[error("a world runs on this thread already")]
    Nested,
    /// The runtime that hosts the world could not be made.
    #[error("no runtime: {0}")]
    Runtime(String),
}

/// A run that failed, with what had happened until then.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: RunError,
    /// What had happened.
    pub trace: Box<Trace>,
}

impl Failure {
    /// The events before the end, oldest first, at most so many.
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
