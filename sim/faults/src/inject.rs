//! The interface that a backend implements so that faults can be injected into it.

use crate::fault::{Fault, LinkState, Way};
use std::future::Future;
use std::time::Duration;
use thiserror::Error;

/// The fault cannot be modelled by this backend.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{fault} is not supported: {reason}")]
pub struct Unsupported {
    /// The fault.
    pub fault: Fault,
    /// The reason, as a phrase that can follow a colon.
    pub reason: &'static str,
}

impl Unsupported {
    /// The fault is of a kind that the backend does not have.
    pub fn kind(fault: &Fault) -> Unsupported {
        Unsupported { fault: fault.clone(), reason: "this backend does not model it" }
    }
}

/// A fault could not be injected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FaultError {
    /// The backend cannot model the fault.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The backend has no host of that name.
    #[error("there is no host named {0:?}")]
    UnknownHost(String),
    /// The two hosts have no link.
    #[error("there is no link from {from:?} to {to:?}")]
    NoLink {
        /// The sending host.
        from: String,
        /// The receiving host.
        to: String,
    },
    /// The host has to be up for this fault.
    #[error("the host {0:?} is down")]
    Down(String),
    /// The host has to be down to be started.
    #[error("the host {0:?} is up already")]
    AlreadyUp(String),
    /// The backend failed, for example to start a process.
    #[error("{0}")]
    Failed(String),
}

/// A backend into which faults can be injected.
///
/// Each method sets a state or does one thing. The [`Injector`](crate::Injector) decides when a
/// fault begins and ends, and how several faults combine. A method takes effect when it is called;
/// an asynchronous one has taken effect when it returns.
pub trait Inject {
    /// One direction between two hosts.
    type Link: Clone + Ord;

    /// Whether the backend can model the fault. No other method is called for a fault that is
    /// refused here.
    ///
    /// # Errors
    /// [`Unsupported`], with the reason.
    fn supports(&self, fault: &Fault) -> Result<(), Unsupported>;

    /// The directions of links that `on` selects.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::NoLink`].
    fn links(&self, on: &Way) -> Result<Vec<Self::Link>, FaultError>;

    /// Puts faults in force on one direction of a link, in place of those that were.
    fn set(&self, link: &Self::Link, state: &LinkState);

    /// Resets the connections that are open on these links.
    ///
    /// # Errors
    /// As [`links`](Inject::links).
    fn reset(&self, on: &Way) -> Result<(), FaultError>;

    /// Makes the connections that are open on these links carry nothing any more.
    ///
    /// # Errors
    /// As [`links`](Inject::links).
    fn half_open(&self, on: &Way) -> Result<(), FaultError>;

    /// The host's process stops reading, until [`resume_reading`](Inject::resume_reading) or until
    /// it ends.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::Down`].
    fn stall_reading(&self, host: &str) -> Result<(), FaultError>;

    /// The host's process reads again.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::Down`].
    fn resume_reading(&self, host: &str) -> Result<(), FaultError>;

    /// The host's disk is full.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`].
    fn fill_disk(&self, host: &str) -> Result<(), FaultError>;

    /// The host's disk has space again.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`].
    fn free_disk(&self, host: &str) -> Result<(), FaultError>;

    /// The power of the host fails; see [`Fault::Crash`].
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::Down`]; [`FaultError::Failed`].
    fn crash(&self, host: &str) -> impl Future<Output = Result<(), FaultError>>;

    /// Lets the power of the host fail at a write; see [`Fault::DiskLoss`]. The write is chosen
    /// when the method is called. The future returns when the power has failed.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::Down`].
    fn crash_at_write(
        &self,
        host: &str,
        within: Duration,
    ) -> Result<impl Future<Output = Result<(), FaultError>> + 'static, FaultError>;

    /// Starts a host that is down.
    ///
    /// # Errors
    /// [`FaultError::UnknownHost`]; [`FaultError::AlreadyUp`]; [`FaultError::Failed`].
    fn start(&self, host: &str) -> impl Future<Output = Result<(), FaultError>>;
}
