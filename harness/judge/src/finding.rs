//! A finding: one thing that is not as the standard or the scenario requires.
//!
//! The check that detects the problem (a line of the scenario, a monitor or a delivery check) sets
//! all fields. [`ReportedFinding`] adds the place in the scenario file and in the transcript.
//! Nothing else is added before the reports.

use mqttspec_spec::{Level, Requirement};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::Case;
use crate::command::RepeatCommand;
use crate::cut;
use crate::history::History;
use crate::trace::{Trace, TranscriptLine};

/// The number of transcript lines that are shown with a finding.
const EXCERPT: usize = 12;

/// The check that made a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "name")]
pub enum Check {
    /// A line of the scenario.
    Expectation,
    /// A packet arrived that no line expected.
    LeftOver,
    /// A monitor, by its name. Monitors check every run, whatever the scenario asserts.
    Monitor(String),
    /// A delivery check, by the guarantee in words: `exactly once`.
    #[serde(rename = "property")]
    DeliveryCheck(String),
    /// A `sometimes` mark that no seed reached.
    Sometimes(String),
    /// The peer under test ended by itself: it panicked, returned, or did not let time pass.
    Peer,
    /// The reference broker, which closes the Network Connection of a Client that violates the
    /// standard. Only `serve` reports this.
    Broker,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Expectation => f.write_str("the scenario"),
            Self::LeftOver => f.write_str("a packet that no line expects"),
            Self::Monitor(name) => write!(f, "the monitor `{name}`"),
            Self::DeliveryCheck(words) => write!(f, "the delivery check `{words}`"),
            Self::Sometimes(mark) => write!(f, "the mark `{mark}`, which no seed reached"),
            Self::Peer => f.write_str("the end of the peer under test"),
            Self::Broker => f.write_str("the broker"),
        }
    }
}

/// One thing that is not as the standard or the scenario requires.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// The check that detected it.
    #[serde(rename = "found_by")]
    pub check: Check,
    /// The level of the requirement.
    pub level: Level,
    /// The violated clauses; for a line of the scenario, the clauses that it shows.
    pub requirements: Vec<Requirement>,
    /// What was required.
    pub expected: String,
    /// What happened instead; a packet is printed in the notation.
    pub actual: String,
    /// What was right, if only the Reason Code of a refusal or of a close differs from the required
    /// one: `refused as required, with 0x82 in place of 0x81`.
    pub nearly: Option<String>,
    /// The line of the scenario file, from 1; 0 for a finding about the whole run.
    pub line: u32,
    /// The simulated time at which it was certain, in nanoseconds since the start of the run.
    pub at_ns: u64,
    /// The index of the history's event that shows it. Not part of a report.
    #[serde(skip)]
    pub event: Option<usize>,
    /// Whether a stalled machine can cause it: something was missing, early or late. Wrong content
    /// does not depend on time. Not part of a report.
    #[serde(skip)]
    pub timing_sensitive: bool,
}

/// A finding with its place in the scenario file and in the transcript, as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReportedFinding {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// The bytes of [`Finding::actual`] as hex pairs with spaces; empty if there are none. Of many
    /// bytes, the first ones with the count of all: see [`cut::split_hex`].
    pub actual_hex: String,
    /// The scenario file, relative to the folder of scenarios, separated by `/`.
    pub file: String,
    /// The text of the scenario's line, without its indentation.
    pub source: String,
    /// The last lines of the transcript up to the finding.
    pub transcript: Vec<TranscriptLine>,
    /// The text of the [`RepeatCommand`].
    pub command: String,
}

impl ReportedFinding {
    /// Adds the place in the case's file and in the run's history and trace.
    #[must_use]
    pub fn new(
        finding: Finding,
        case: &Case,
        history: &History,
        trace: &Trace,
        command: &RepeatCommand,
    ) -> Self {
        let event = finding.event.and_then(|index| history.events().get(index));
        let bytes = event.and_then(|event| event.what.bytes());
        let until: Vec<_> = trace.events.iter().filter(|event| event.at_ns <= finding.at_ns).collect();
        let excerpt = &until[until.len().saturating_sub(EXCERPT)..];
        let shown = |line: TranscriptLine| TranscriptLine { text: cut::text(line.text, cut::LINE), ..line };
        let finding = Finding {
            expected: cut::text(finding.expected, cut::VALUE),
            actual: cut::text(finding.actual, cut::VALUE),
            ..finding
        };
        Self {
            actual_hex: bytes.map_or_else(String::new, |bytes| cut::hex_of_finding(bytes)),
            file: case.file.clone(),
            source: case.source_line(finding.line),
            transcript: excerpt.iter().map(|event| shown(event.transcript_line())).collect(),
            command: command.to_string(),
            finding,
        }
    }
}

impl Serialize for ReportedFinding {
    /// All fields on one level, in the order of the report format.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { finding, actual_hex, file, source, transcript, command } = self;
        let Finding { check, level, requirements, expected, actual, nearly, line, at_ns, .. } = finding;
        let mut out = serializer.serialize_struct("ReportedFinding", 13)?;
        out.serialize_field("found_by", check)?;
        out.serialize_field("level", level)?;
        out.serialize_field("requirements", requirements)?;
        out.serialize_field("expected", expected)?;
        out.serialize_field("actual", actual)?;
        out.serialize_field("nearly", nearly)?;
        out.serialize_field("actual_hex", actual_hex)?;
        out.serialize_field("file", file)?;
        out.serialize_field("line", line)?;
        out.serialize_field("source", source)?;
        out.serialize_field("at_ns", at_ns)?;
        out.serialize_field("transcript", transcript)?;
        out.serialize_field("command", command)?;
        out.end()
    }
}
