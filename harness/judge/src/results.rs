//! The results of runs: [`RunResult`] for one run, [`CaseResult`] for a case under all its seeds,
//! [`SuiteResult`] for a whole invocation.
//!
//! A *case* is a scenario file for one version of the standard and, if it has a table, one row. A
//! *run* is a case under one seed. `report.json` is the serialized [`SuiteResult`]; every other
//! report is computed from it.

use serde::{Deserialize, Serialize};

use crate::finding::ReportedFinding;
use crate::history::BranchTaken;
use crate::resilience::LoadSummary;
use crate::trace::Trace;
use crate::verdict::Verdict;
use mqttspec_spec::Level;

/// The format of [`SuiteResult`] as JSON; a reader refuses any other.
pub const FORMAT: u32 = 3;

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run's seed.
    pub seed: u64,
    /// The outcome. A failure of level SHOULD or MAY is a `Fail` too; [`RunResult::level`] has the
    /// level.
    pub verdict: Verdict,
    /// The level of the worst failure; [`Level::Must`] if nothing failed.
    pub level: Level,
    /// Why it was skipped or not judged, or what broke. For a failure, why the rest of the scenario
    /// was not judged, if so. Empty for a pass.
    pub reason: String,
    /// The findings, in the order of detection.
    pub failures: Vec<ReportedFinding>,
    /// The clauses that the run has shown: claims of them passed, and no check found a violation.
    pub clauses_shown: Vec<String>,
    /// Random choices of the run, in order: (`cut writer`, `17.2ms`).
    pub drawn: Vec<(String, String)>,
    /// The branches that the target took.
    pub branches: Vec<BranchTaken>,
    /// The `sometimes` marks that were reached.
    pub marks: Vec<String>,
    /// The results of a load under a fault profile, if the scenario has both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endured: Option<LoadSummary>,
    /// Everything that happened, in order.
    pub trace: Trace,
    /// The hash of the whole history: it differs if one byte, one nanosecond or one event of an
    /// application differs.
    pub history_hash: String,
    /// The last output lines of a server that was started for this run alone; kept if the run did
    /// not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// A case under all its seeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The scenario file, relative to the folder of scenarios: `wills/retained.mqtt`.
    pub file: String,
    /// The scenario's title.
    pub title: String,
    /// The version of the standard: `3.1.1` or `5.0`.
    pub version: String,
    /// The first column of the table's row; `None` without a table.
    pub row: Option<String>,
    /// The role under test: `server` or `client`.
    pub tests: String,
    /// Whether the scenario has a case for each role. The name then includes the role.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub both_sides: bool,
    /// The reading of the standard that the scenario applies, if it is not the only defensible one.
    pub reading: Option<String>,
    /// The clauses of this version that the case is about, in the scenario's order.
    pub clauses: Vec<String>,
    /// The clauses that it has shown: claims of them passed, and no run found a violation.
    pub clauses_shown: Vec<String>,
    /// The worst verdict of all runs.
    pub verdict: Verdict,
    /// The level of the worst failure; [`Level::Must`] if nothing failed.
    pub level: Level,
    /// The [`RunResult::reason`] of the run that is shown.
    pub reason: String,
    /// The real time of the case on a live target, in milliseconds; `None` in the simulator, whose
    /// results repeat byte for byte.
    pub took_ms: Option<u64>,
    /// By how much the clock of a live server was put forward while the case waited, in
    /// milliseconds; `None` if the case ran in real time or in the simulator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_forward_ms: Option<u64>,
    /// The number of seeds that were run.
    pub runs: u32,
    /// The seeds that failed or broke.
    pub failed_seeds: Vec<u64>,
    /// The findings of the first seed that failed, and unreached `sometimes` marks.
    pub failures: Vec<ReportedFinding>,
    /// Each branch that was taken, with the number of runs that took it.
    pub branches: Vec<(BranchTaken, u32)>,
    /// Each `sometimes` mark of the scenario, with the number of runs that reached it.
    pub marks: Vec<(String, u32)>,
    /// The results of a load under a fault profile in all runs together, if the scenario has both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endured: Option<LoadSummary>,
    /// The run that is shown: the first that failed or broke, otherwise the first that was not
    /// judged, otherwise the first. Its trace is empty if the suite keeps none.
    pub shown: Option<RunResult>,
}

impl CaseResult {
    /// The name by which tests and reports list the case, unique in its suite:
    /// `wills/retained.mqtt 5.0 [row]`.
    #[must_use]
    pub fn name(&self) -> String {
        let side = if self.both_sides { format!(" {}", self.tests) } else { String::new() };
        let row = self.row.as_ref().map_or_else(String::new, |row| format!(" [{row}]"));
        format!("{} {}{side}{row}", self.file, self.version)
    }

    /// The folder of the file: the protocol area. Empty for a file without a folder.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.file.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether the case makes the exit code nonzero: an error, a failure of level MUST, or with
    /// `strict` also one of level SHOULD or of a contested reading.
    #[must_use]
    pub fn counts_against(&self, strict: bool) -> bool {
        match self.verdict {
            Verdict::Pass | Verdict::Skip | Verdict::NotJudged => false,
            Verdict::Error => true,
            Verdict::Fail if self.reading.is_some() && !strict => false,
            Verdict::Fail => self.level >= if strict { Level::Should } else { Level::Must },
        }
    }
}

/// A scenario file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileError {
    /// The file, relative to the folder of scenarios.
    pub file: String,
    /// The diagnostic in plain text, with the line and a caret.
    pub message: String,
}

/// The results of one invocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// [`FORMAT`].
    pub format: u32,
    /// What was tested.
    pub target: Target,
    /// The seed from which the seeds of all runs are derived.
    pub seed: u64,
    /// The number of seeds per case, unless its scenario asks for more.
    pub seeds: u32,
    /// Whether failures of level SHOULD and contested failures also decide the exit code.
    #[serde(default)]
    pub strict: bool,
    /// The cases, in order of file, version and row.
    pub cases: Vec<CaseResult>,
    /// Files that could not be read.
    pub errors: Vec<FileError>,
    /// Remarks about the whole suite: `the target does not speak MQTT 3.1.1: 243 cases were
    /// skipped`.
    pub notes: Vec<String>,
}

/// What a suite was run against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, for headings and for the columns of a comparison: `reference broker and client`.
    pub name: String,
    /// Where it ran.
    pub kind: TargetKind,
    /// Its address, of a live target.
    pub url: Option<String>,
    /// Its capabilities, in the order of the probes: (`maximum_qos`, `2`). Empty for the simulated
    /// peers.
    pub capabilities: Vec<(String, String)>,
    /// The accepted delay of a live target beyond the standard's times, in milliseconds.
    pub tolerance_ms: Option<u64>,
    /// The last output lines of the target's process, if mqttspec started it.
    pub output: Vec<String>,
}

impl Target {
    /// The reference peers in the simulated world.
    #[must_use]
    pub fn simulated() -> Self {
        Self {
            name: "reference broker and client".to_owned(),
            kind: TargetKind::Simulated,
            url: None,
            capabilities: Vec::new(),
            tolerance_ms: None,
            output: Vec::new(),
        }
    }
}

impl std::fmt::Display for Target {
    /// `the reference broker and client, simulated`; `mosquitto at mqtt://127.0.0.1:1883`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.kind, &self.url) {
            (TargetKind::Simulated | TargetKind::Latitude, _) => write!(f, "the {}, simulated", self.name),
            (TargetKind::Hosted, _) => write!(f, "{}, simulated", self.name),
            (TargetKind::Live, Some(url)) => write!(f, "{} at {url}", self.name),
            (TargetKind::Live, None) => f.write_str(&self.name),
        }
    }
}

/// Where a target ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// In the simulated world: the same seed gives the same bytes.
    Simulated,
    /// In the simulated world, by reference peers that use the choices of the standard in another
    /// way than usual.
    Latitude,
    /// In a simulation, a peer from outside this project.
    Hosted,
    /// On real sockets and real time.
    Live,
}

/// The number of cases with each verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Cases that passed.
    pub passed: u32,
    /// Cases that failed.
    pub failed: u32,
    /// Cases that were skipped.
    pub skipped: u32,
    /// Cases that were not judged.
    pub not_judged: u32,
    /// Cases that broke.
    pub errors: u32,
}

impl Tally {
    /// Counts one more case.
    pub fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Pass => &mut self.passed,
            Verdict::Fail => &mut self.failed,
            Verdict::Skip => &mut self.skipped,
            Verdict::NotJudged => &mut self.not_judged,
            Verdict::Error => &mut self.errors,
        } += 1;
    }

    /// The number of all cases.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.passed + self.failed + self.skipped + self.not_judged + self.errors
    }
}

impl SuiteResult {
    /// The verdicts of all cases, counted.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.cases.iter().for_each(|case| tally.add(case.verdict));
        tally
    }

    /// Whether a case makes the exit code nonzero: [`CaseResult::counts_against`], or it was not
    /// judged on the reference peers, which must allow the set-up of every scenario.
    #[must_use]
    pub fn counts_against(&self, case: &CaseResult) -> bool {
        let unjudged = self.target.kind == TargetKind::Simulated && case.verdict == Verdict::NotJudged;
        unjudged || case.counts_against(self.strict)
    }

    /// The exit code of the process: 0 if no case counts against it, 1 if one does, 2 if a file
    /// could not be read or no case was run.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if !self.errors.is_empty() || self.cases.is_empty() {
            2
        } else {
            u8::from(self.cases.iter().any(|case| self.counts_against(case)))
        }
    }
}
