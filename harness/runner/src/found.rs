//! What stops a run before its end, and how it becomes a [`Failure`].

use core::time::Duration;

use crate::backend::BackendError;
use mqttspec_judge::Case;
use mqttspec_judge::delivery_checks::Broken;
use mqttspec_judge::history::{History, nanoseconds};
use mqttspec_judge::monitors::Violation;
use mqttspec_judge::results::{Trace, TraceEvent};
use mqttspec_judge::verdict::{Failure, FoundBy, TranscriptLine};
use mqttspec_notation::fields::{hex, line as packet_line};
use mqttspec_spec::{Catalogue, Standard};
use mqttspec_spec::{Level, Requirement};

/// How many lines of the transcript a failure shows.
const EXCERPT: usize = 12;

/// Why the director does not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The target did not do what the scenario expects.
    Found(Box<Found>),
    /// The harness or the target broke: the sentence that says how.
    Broken(String),
}

impl Stop {
    pub(crate) fn broken(reason: impl Into<String>) -> Self {
        Stop::Broken(reason.into())
    }
}

/// Something that is not as expected.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) found_by: FoundBy,
    pub(crate) level: Level,
    pub(crate) line: u32,
    pub(crate) expected: String,
    pub(crate) actual: String,
    /// What was right all the same: see [`Failure::nearly`].
    pub(crate) nearly: Option<String>,
    /// The event in the history that shows it.
    pub(crate) event: Option<usize>,
    /// Clauses of its own; those of the case where there are none.
    pub(crate) clauses: Vec<&'static str>,
    pub(crate) at: Duration,
    /// Whether it may be due to somebody's lack of time: nothing came, or what came was out of its time. What came with the wrong
    /// content does not depend on time.
    pub(crate) timed: bool,
}

impl From<BackendError> for Stop {
    fn from(error: BackendError) -> Self {
        Stop::broken(error.to_string())
    }
}

impl From<Found> for Stop {
    fn from(found: Found) -> Self {
        Stop::Found(Box::new(found))
    }
}

impl Found {
    pub(crate) fn of_violation(violation: Violation, history: &History) -> Self {
        let event = &history.events()[violation.event];
        let host = event.connection.map_or_else(String::new, |connection| {
            format!(" on the connection of {}", history.info(connection.lane).name)
        });
        Self {
            found_by: FoundBy::Monitor(violation.monitor.to_owned()),
            level: Level::Must,
            line: event.line,
            expected: violation.expected,
            actual: format!("{}{host}", violation.actual),
            nearly: None,
            event: Some(violation.event),
            clauses: violation.clauses,
            at: event.at,
            timed: true,
        }
    }

    pub(crate) fn of_property(broken: Broken, line: u32, history: &History) -> Self {
        Self {
            found_by: FoundBy::Property(broken.guarantee.to_owned()),
            level: Level::Must,
            line,
            expected: broken.expected,
            actual: broken.actual,
            nearly: None,
            event: Some(broken.event),
            clauses: Vec::new(),
            at: history.events()[broken.event].at,
            timed: true,
        }
    }

    /// The failure as it is reported.
    pub(crate) fn into_failure(self, case: &Case, seed: u64, history: &History, trace: &Trace) -> Failure {
        let event = self.event.and_then(|index| history.events().get(index));
        let at_ns = nanoseconds(self.at);
        let seen: Vec<&TraceEvent> = trace.events.iter().filter(|event| event.at_ns <= at_ns).collect();
        let excerpt = &seen[seen.len().saturating_sub(EXCERPT)..];
        let clauses = if self.clauses.is_empty() {
            at_level(case, self.level)
        } else {
            self.clauses.iter().map(|clause| (*clause).to_owned()).collect()
        };
        Failure {
            found_by: self.found_by,
            level: self.level,
            requirements: clauses.iter().map(|clause| Requirement::new(case.version, clause)).collect(),
            expected: self.expected,
            actual: self.actual,
            nearly: self.nearly,
            actual_hex: event
                .and_then(|event| event.what.bytes())
                .map_or_else(String::new, |bytes| hex(bytes, " ")),
            file: case.file.clone(),
            line: self.line,
            source: case.source_line(self.line),
            at_ns,
            transcript: excerpt
                .iter()
                .map(|event| TranscriptLine { at_ns: event.at_ns, text: event.line_text() })
                .collect(),
            command: case.command(seed),
        }
    }
}

/// The clauses of a case that a failure of this level can be about: what is only recommended breaks no clause that says MUST. All of
/// them, where none is as weak.
fn at_level(case: &Case, level: Level) -> Vec<String> {
    let all = case.clauses();
    let known =
        |clause: &str| Standard::of(case.version).and_then(|standard| Catalogue::get(standard, clause));
    let weak = |clause: &&String| known(clause).is_some_and(|known| known.level <= level);
    let weak: Vec<String> = all.iter().filter(weak).cloned().collect();
    if weak.is_empty() { all } else { weak }
}

/// How long was waited, for people to read: before a live server the tolerance that was measured has many digits.
pub(crate) fn waited(duration: Duration) -> Duration {
    let whole = duration.as_millis();
    if whole == 0 { duration } else { Duration::from_millis(u64::try_from(whole).unwrap_or(u64::MAX)) }
}

/// A packet as a line of the notation.
pub(crate) fn packet_text(packet: &mqttspec_codec::Packet, version: mqttspec_codec::Version) -> String {
    packet_line(packet, version).to_string()
}
