//! What a run is worth: its verdict, the level of what it showed, and each failure told so that an implementer can act on it.
//!
//! Everything here is made of plain text and numbers, holds no wall-clock time and no absolute path, and is therefore the
//! same, byte for byte, whenever the same seed is run: `report.json` is made of these types and read back into them.

use mqttspec_spec::{Level, Requirement};
use serde::{Deserialize, Serialize};

/// The outcome of a run or of a case. The order is from best to worst, so that the worst of several is their maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that the scenario, the monitors and the properties ask for was seen.
    Pass,
    /// The scenario needs something that the target says it lacks; `reason` names the need.
    Skip,
    /// The target did what the standard forbids, or did not do what it asks for.
    Fail,
    /// The harness or the target broke: says nothing about conformance, and never counts as a pass.
    Error,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Pass => "pass",
            Verdict::Skip => "skip",
            Verdict::Fail => "fail",
            Verdict::Error => "error",
        })
    }
}

/// Which check found a failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "name")]
pub enum FoundBy {
    /// A line of the scenario.
    Expectation,
    /// A packet arrived that no line expected.
    LeftOver,
    /// A monitor, by its name: it watches every run, whatever the scenario asserts.
    Monitor(String),
    /// An end-of-run property, by its words: `exactly once`.
    Property(String),
    /// A `sometimes` mark that no seed reached.
    Sometimes(String),
}

/// One thing that was not as the standard or the scenario asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which check found it.
    pub found_by: FoundBy,
    /// How strongly it is asked for.
    pub level: Level,
    /// The clauses that are violated; for an expectation, the clauses of the scenario.
    pub requirements: Vec<Requirement>,
    /// What must have followed.
    pub expected: String,
    /// What followed, decoded; printed in the notation where it is a packet.
    pub actual: String,
    /// What was right all the same, where only the Reason Code of a refusal or of a close was another one than asked for:
    /// `refused as required, with 0x82 in place of 0x81`.
    pub nearly: Option<String>,
    /// The bytes of `actual` as hex pairs with spaces; empty where there are none.
    pub actual_hex: String,
    /// The scenario file, relative to the folder of scenarios, with `/`.
    pub file: String,
    /// The line of the file, from 1; 0 where the failure belongs to the whole run.
    pub line: u32,
    /// The text of that line, without its indentation.
    pub source: String,
    /// When it was found, in nanoseconds of simulated time from the start of the run.
    pub at_ns: u64,
    /// The last lines of the transcript up to the failure.
    pub transcript: Vec<TranscriptLine>,
    /// The one command that runs it again.
    pub command: String,
}

/// One line of a run's transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptLine {
    /// When it happened, in nanoseconds of simulated time from the start of the run.
    pub at_ns: u64,
    /// The line in the scenario notation: `device > CONNECT client_id=device`.
    pub text: String,
}
