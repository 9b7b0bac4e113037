//! The reasons why a run stops before its end.

use core::time::Duration;

use crate::backend::{BackendError, Unsupported};
use mqttspec_faults::FaultError;
use mqttspec_judge::finding::Finding;
use mqttspec_notation::fields::line as packet_line;

/// By how much something came earlier or later than the scenario says, within the tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deviation {
    Early(Duration),
    Late(Duration),
}

/// The deviation of what a line expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deviated {
    pub(crate) line: u32,
    pub(crate) by: Deviation,
}

/// What time has to do with the result of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timed {
    /// Whether a failure may be caused by timing.
    pub(crate) sensitive: bool,
    /// By how much the clock of the server was put forward.
    pub(crate) put_forward: Duration,
    pub(crate) deviations: Vec<Deviated>,
}

/// Why the executor does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A claim failed.
    Finding(Box<Finding>),
    /// A line failed that shows no clause.
    SetUp(SetUp),
    /// The harness or the target broke, with a sentence that describes the problem.
    Broken(String),
    /// The backend does not support something that the scenario needs.
    Unsupported(Unsupported),
}

/// Why a case cannot be judged: its set-up failed.
#[derive(Debug)]
pub(crate) struct SetUp {
    /// In words.
    pub(crate) reason: String,
    /// Whether a stalled machine can cause it.
    pub(crate) timing_sensitive: bool,
}

impl From<Finding> for SetUp {
    fn from(finding: Finding) -> Self {
        let one_line = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let (expected, actual) = (one_line(&finding.expected), one_line(&finding.actual));
        Self {
            reason: format!("line {}: expected {expected}, got {actual}", finding.line),
            timing_sensitive: finding.timing_sensitive,
        }
    }
}

impl Stop {
    pub(crate) fn broken(reason: impl Into<String>) -> Self {
        Stop::Broken(reason.into())
    }
}

impl From<BackendError> for Stop {
    fn from(error: BackendError) -> Self {
        Stop::broken(error.to_string())
    }
}

impl From<Unsupported> for Stop {
    fn from(unsupported: Unsupported) -> Self {
        Stop::Unsupported(unsupported)
    }
}

impl From<FaultError> for Stop {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Unsupported(unsupported) => Stop::Unsupported(unsupported.into()),
            error => Stop::broken(error.to_string()),
        }
    }
}

impl From<Finding> for Stop {
    /// A failed line that shows no clause is set-up.
    fn from(finding: Finding) -> Self {
        if finding.requirements.is_empty() {
            Stop::SetUp(finding.into())
        } else {
            Stop::Finding(Box::new(finding))
        }
    }
}

/// The duration of a wait, rounded for readers: with a live server, it includes the measured
/// tolerance, which has many digits.
pub(crate) fn waited(duration: Duration) -> Duration {
    let whole = duration.as_millis();
    if whole == 0 { duration } else { Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX)) }
}

/// A packet as a line of the notation.
pub(crate) fn packet_text(packet: &mqttspec_codec::Packet, version: mqttspec_codec::Version) -> String {
    packet_line(packet, version).to_string()
}
