//! What runs give back: [`RunResult`] for one run, [`CaseResult`] for a case under all its seeds, [`SuiteResult`] for everything.
//!
//! A *case* is a scenario file, for one version of the standard, for one row of its table where it has one. A *run* is a case under
//! one seed. `report.json` is [`SuiteResult`] as it stands; every other report is computed from it.

use serde::{Deserialize, Serialize};

use crate::finding::ReportedFinding;
use crate::history::BranchTaken;
use crate::resilience::Endured;
use crate::trace::Trace;
use crate::verdict::Verdict;
use mqttspec_spec::Level;

/// The format of [`SuiteResult`] as JSON; a reader refuses another one.
pub const FORMAT: u32 = 3;

/// What happened in one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run's seed.
    pub seed: u64,
    /// The outcome. A failure of level SHOULD or MAY is a `Fail` too: [`RunResult::level`] tells them apart.
    pub verdict: Verdict,
    /// The level of the worst failure; [`Level::Must`] where nothing failed.
    pub level: Level,
    /// Why it was skipped or not judged, or what broke. For a fail, why the rest of the scenario was not judged, if it was not; empty
    /// for a pass.
    pub reason: String,
    /// What was wrong, in the order in which it was found.
    pub failures: Vec<ReportedFinding>,
    /// The clauses that the run has shown: claims of them passed, and nothing found them broken.
    pub clauses_shown: Vec<String>,
    /// Options that the seed drew, in the order of the draws: (`cut writer`, `17.2ms`).
    pub drawn: Vec<(String, String)>,
    /// The branches that the target took.
    pub branches: Vec<BranchTaken>,
    /// The `sometimes` marks that were reached.
    pub marks: Vec<String>,
    /// What became of a load under a fault profile, where the scenario has both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endured: Option<Endured>,
    /// Everything that happened, in order.
    pub trace: Trace,
    /// The hash of the whole history: two runs that differ in one byte, one nanosecond or one report to an application differ here.
    pub history_hash: String,
    /// The last lines that a server printed which was started for this run alone; kept where the run did not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
}

/// A case under all its seeds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The scenario file, relative to the folder of scenarios, with `/`: `will/keep-alive.mqtt`.
    pub file: String,
    /// The scenario's title.
    pub title: String,
    /// The version of the standard: `3.1.1` or `5.0`.
    pub version: String,
    /// The row of the scenario's table, by its first column; `None` where there is no table.
    pub row: Option<String>,
    /// Which side is tested: `server` or `client`.
    pub tests: String,
    /// Whether the scenario tests both sides, a case each: the name then says which.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub both_sides: bool,
    /// Where the standard bears more than one defensible reading: the one that the scenario applies.
    pub reading: Option<String>,
    /// The clauses of this version that the case is to show, in the scenario's order.
    pub clauses: Vec<String>,
    /// Those that it has shown: claims of them passed, and no run found them broken.
    pub clauses_shown: Vec<String>,
    /// The worst outcome of all runs.
    pub verdict: Verdict,
    /// The level of the worst failure; [`Level::Must`] where nothing failed.
    pub level: Level,
    /// Why it was skipped or not judged, or what broke: [`RunResult::reason`] of the run that is shown.
    pub reason: String,
    /// How long the case took in milliseconds of real time, on a live target; `None` in the simulator, whose results repeat byte for byte.
    pub took_ms: Option<u64>,
    /// How many seeds were run.
    pub runs: u32,
    /// The seeds that failed or broke.
    pub failed_seeds: Vec<u64>,
    /// The failures of the first seed that failed (and unreached `sometimes` marks).
    pub failures: Vec<ReportedFinding>,
    /// Each branch that was taken, with the number of runs that took it.
    pub branches: Vec<(BranchTaken, u32)>,
    /// Each `sometimes` mark of the scenario, with the number of runs that reached it.
    pub marks: Vec<(String, u32)>,
    /// What became of a load under a fault profile in all runs together, where the scenario has both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endured: Option<Endured>,
    /// The run that is shown: the first that failed or broke, otherwise the first that was not judged, otherwise the first of all. Without a trace where the suite was told to keep none.
    pub shown: Option<RunResult>,
}

impl CaseResult {
    /// The name under which tests and reports list the case, and no other of its suite: `will/keep-alive.mqtt 5.0 [row]`.
    #[must_use]
    pub fn name(&self) -> String {
        let side = if self.both_sides { format!(" {}", self.tests) } else { String::new() };
        let row = self.row.as_ref().map_or_else(String::new, |row| format!(" [{row}]"));
        format!("{} {}{side}{row}", self.file, self.version)
    }

    /// The folder of the file: the protocol area. Empty for a file at the top.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.file.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether the case keeps the exit code from being 0: an error, a failure of level MUST, or, when `strict`, of level SHOULD or
    /// of a contested reading.
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

/// A scenario file that could not be read as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileError {
    /// The file, relative to the folder of scenarios, with `/`.
    pub file: String,
    /// What is wrong, with the line and a caret, in plain text of several lines.
    pub message: String,
}

/// Everything that one invocation ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteResult {
    /// [`FORMAT`].
    pub format: u32,
    /// What was tested.
    pub target: Target,
    /// The seed that all runs derive from.
    pub seed: u64,
    /// Under how many seeds a case ran whose scenario does not ask for more.
    pub seeds: u32,
    /// Whether failures of level SHOULD, and contested ones, decide the exit code too.
    #[serde(default)]
    pub strict: bool,
    /// The cases, in order of file, version and row.
    pub cases: Vec<CaseResult>,
    /// Files that could not be read.
    pub errors: Vec<FileError>,
    /// What holds for the whole of it, a sentence each: `the target does not speak MQTT 3.1.1: 243 cases were skipped`.
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
    /// What it said or showed that it can do, in the order of the probes: (`maximum_qos`, `2`). Empty for the simulated peers.
    pub capabilities: Vec<(String, String)>,
    /// How much later than the standard's times a live target may act before that counts, in milliseconds.
    pub tolerance_ms: Option<u64>,
    /// The last lines that the target's process printed, where mqttspec started it.
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
    /// On real sockets and real time.
    Live,
}

/// How many cases came to which verdict.
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
    /// Counts one more.
    pub fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Pass => &mut self.passed,
            Verdict::Fail => &mut self.failed,
            Verdict::Skip => &mut self.skipped,
            Verdict::NotJudged => &mut self.not_judged,
            Verdict::Error => &mut self.errors,
        } += 1;
    }

    /// All cases.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.passed + self.failed + self.skipped + self.not_judged + self.errors
    }
}

impl SuiteResult {
    /// All cases together.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.cases.iter().for_each(|case| tally.add(case.verdict));
        tally
    }

    /// Whether a case keeps the exit code from being 0: [`CaseResult::counts_against`], or it was not judged on the reference peers, which
    /// have to allow the set-up of every scenario.
    #[must_use]
    pub fn counts_against(&self, case: &CaseResult) -> bool {
        let unjudged = self.target.kind == TargetKind::Simulated && case.verdict == Verdict::NotJudged;
        unjudged || case.counts_against(self.strict)
    }

    /// The process's exit code: 0 if nothing failed or broke, 1 if something did, 2 if a file could not be read or nothing was run.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if !self.errors.is_empty() || self.cases.is_empty() {
            2
        } else {
            u8::from(self.cases.iter().any(|case| self.counts_against(case)))
        }
    }
}
