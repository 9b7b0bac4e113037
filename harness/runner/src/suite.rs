//! Runs a suite: finds scenario files, plans their cases, and runs each case under its seeds.

mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::latitude::Latitude;
use crate::run::{RunOptions, Simulator, run_with};
use mqttspec_judge::Case;
use mqttspec_judge::finding::{Check, Finding, ReportedFinding};
use mqttspec_judge::history::{BranchTaken, History};
use mqttspec_judge::resilience::LoadSummary;
use mqttspec_judge::results::{CaseResult, FORMAT, FileError, RunResult, SuiteResult, Target, TargetKind};
use mqttspec_judge::trace::Trace;
use mqttspec_judge::verdict::Verdict;
use mqttspec_notation::{self as notation, Roles, Version};
use mqttspec_spec::Level;
use mqttspec_spec::role_word;

/// A scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path relative to the folder of scenarios, with `/`.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Reads every `.mqtt` file below a folder, in order of their paths.
///
/// # Errors
/// If the folder or a file in it cannot be read.
pub fn read_folder(folder: &Path) -> io::Result<Vec<Source>> {
    let read = |file: String| Ok(Source { text: fs::read_to_string(folder.join(&file))?, file });
    files_below(folder)?.into_iter().map(read).collect()
}

/// The paths of all `.mqtt` files below a folder, relative to it, with `/`, in order.
///
/// # Errors
/// If the folder cannot be read. A folder in it that cannot be read is in the list.
pub fn files_below(folder: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    add_files(folder, "", &mut files)?;
    files.sort_unstable();
    Ok(files)
}

fn add_files(folder: &Path, prefix: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let file = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            // A folder that cannot be read does not hide the files beside it.
            if add_files(&entry.path(), &format!("{file}/"), files).is_err() {
                files.push(file);
            }
        } else if name.ends_with(".mqtt") {
            files.push(file);
        }
    }
    Ok(())
}

/// Which cases are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Parts of paths, or clause ids. A case that matches any of them is selected; all if empty.
    pub filters: Vec<String>,
    /// Only this version. Without it, cases of MQTT 3.1 are left out: a peer that does not claim to
    /// speak that version is not measured by it.
    pub version: Option<Version>,
    /// Only this row of a table.
    pub row: Option<String>,
}

impl Selection {
    fn includes(&self, case: &Case) -> bool {
        let by_version = match self.version {
            Some(version) => version == case.version,
            None => case.version != Version::V3_1,
        };
        let by_row = self.row.as_ref().is_none_or(|row| case.row_name() == Some(row));
        let matches = |filter: &String| {
            if is_clause(filter) { case.clauses().contains(filter) } else { case.file.contains(filter) }
        };
        by_version && by_row && (self.filters.is_empty() || self.filters.iter().any(matches))
    }

    /// Whether the selection may include a file that cannot be read, whose cases are unknown.
    fn may_want(&self, source: &Source) -> bool {
        let fits = |filter: &String| {
            if is_clause(filter) {
                source.text.split_whitespace().any(|word| word == filter)
            } else {
                source.file.contains(filter)
            }
        };
        self.filters.is_empty() || self.filters.iter().any(fits)
    }
}

fn is_clause(filter: &str) -> bool {
    ["MQTT-", "U3-", "U31-", "U5-"].iter().any(|prefix| filter.starts_with(prefix))
}

/// The cases to run.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The cases, in order of file, version, role and row.
    pub cases: Vec<Case>,
    /// Files that are not valid scenarios, of those that the selection may mean.
    pub errors: Vec<FileError>,
}

impl Plan {
    /// The files of its cases and errors.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let of_cases = self.cases.iter().map(|case| case.file.as_str());
        of_cases.chain(self.errors.iter().map(|error| error.file.as_str()))
    }
}

/// Parses and checks scenarios, and makes a case for each selected version, role and row.
#[must_use]
pub fn plan(sources: &[Source], selection: &Selection) -> Plan {
    let mut plan = Plan::default();
    for source in sources {
        match notation::read(&source.file, &source.text, &notation::CatalogueClauses) {
            Ok((scenario, _)) => {
                let text: Arc<str> = Arc::from(source.text.as_str());
                let cases = cases(&Arc::new(scenario), &source.file, &text);
                plan.cases.extend(cases.into_iter().filter(|case| selection.includes(case)));
            }
            Err(diagnostics) if selection.may_want(source) => {
                plan.errors.push(FileError { file: source.file.clone(), message: diagnostics.plain() });
            }
            Err(_) => {}
        }
    }
    plan
}

fn cases(scenario: &Arc<notation::Scenario>, file: &str, source: &Arc<str>) -> Vec<Case> {
    let roles = scenario.tests.each();
    let mut cases = Vec::new();
    for version in &scenario.versions {
        let rows: Vec<Option<usize>> = match &scenario.table {
            None => vec![None],
            Some(table) => {
                let counts = |(index, row): (usize, &notation::Row)| {
                    row.versions.applies_to(*version).then_some(Some(index))
                };
                table.rows.iter().enumerate().filter_map(counts).collect()
            }
        };
        for tests in roles {
            for row in &rows {
                cases.push(Case {
                    scenario: scenario.clone(),
                    file: file.to_owned(),
                    source: source.clone(),
                    version: *version,
                    tests: *tests,
                    row: *row,
                    of_suite: true,
                });
            }
        }
    }
    cases
}

/// Which cases keep the trace of a run in the results: their first failing run, otherwise their
/// first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepTrace {
    /// No case.
    None,
    /// Cases with the verdict fail or error.
    #[default]
    Failing,
    /// Every case.
    All,
}

/// How a suite is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuiteOptions {
    /// The first seed of each case. Its other runs have the following seeds.
    pub seed: u64,
    /// The number of runs of a case whose scenario does not ask for more. At least 1.
    pub seeds: u32,
    /// How the peers under test use the choices that the standard leaves to them.
    pub latitude: Latitude,
    /// The number of threads. At least 1.
    pub jobs: usize,
    /// Which cases keep a trace.
    pub keep: KeepTrace,
    /// What the runs execute on.
    pub simulator: Simulator,
}

impl Default for SuiteOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            seeds: 1,
            latitude: Latitude::Reference,
            jobs: 1,
            keep: KeepTrace::default(),
            simulator: Simulator::default(),
        }
    }
}

/// Runs every case of a plan. Calls `progress` for each finished case, with the number of finished
/// and of all cases.
///
/// The result does not depend on `jobs`: each run has one thread and a world of its own, and the
/// runs of a case are summed up in the order of their seeds.
pub fn run_all(
    plan: &Plan,
    options: &SuiteOptions,
    progress: &mut dyn FnMut(&CaseResult, usize, usize),
) -> SuiteResult {
    SuiteResult {
        format: FORMAT,
        target: target(options),
        seed: options.seed,
        seeds: options.seeds,
        strict: false,
        cases: threads::run_cases(&plan.cases, options, progress),
        errors: plan.errors.clone(),
        notes: Vec::new(),
    }
}

fn target(options: &SuiteOptions) -> Target {
    let name = match (options.simulator, options.latitude) {
        (Simulator::World, Latitude::Reference) => return Target::simulated(),
        (Simulator::World, _) => "reference broker and client with latitude",
        (Simulator::Turmoil, Latitude::Reference) => "reference broker and client in turmoil",
        (Simulator::Turmoil, _) => "reference broker and client in turmoil, with latitude",
    };
    // Peers that use their choices may make what a scenario needs impossible.
    let kind = match options.latitude {
        Latitude::Reference => TargetKind::Simulated,
        Latitude::Drawn | Latitude::Only { .. } => TargetKind::Latitude,
    };
    Target { name: name.to_owned(), kind, ..Target::simulated() }
}

/// Runs a case under all its seeds.
#[must_use]
pub fn run_case(case: &Case, options: &SuiteOptions) -> CaseResult {
    let runs = runs_of(case, options);
    run_case_under(case, (0..runs).map(|run| seed_of(run, options)), options)
}

/// The number of runs of a case.
fn runs_of(case: &Case, options: &SuiteOptions) -> u32 {
    case.scenario.seeds.max(options.seeds).max(1)
}

/// The seed of a case's run, counted from 0.
fn seed_of(run: u32, options: &SuiteOptions) -> u64 {
    options.seed.wrapping_add(u64::from(run))
}

/// Runs a case under the given seeds. The seeds of `options` are not used.
#[must_use]
pub fn run_case_under(
    case: &Case,
    seeds: impl IntoIterator<Item = u64>,
    options: &SuiteOptions,
) -> CaseResult {
    let summary = Summary { needs_marks: options.latitude == Latitude::Reference, ..Summary::default() };
    run_case_by(case, seeds, options, summary, &mut |seed, options| run_with(case, seed, options))
}

/// Runs a case under all its seeds on a peer of the caller.
pub(crate) fn run_case_on(
    case: &Case,
    options: &SuiteOptions,
    run: &mut dyn FnMut(u64, RunOptions) -> RunResult,
) -> CaseResult {
    let runs = runs_of(case, options);
    let seeds = (0..runs).map(|run| seed_of(run, options));
    run_case_by(case, seeds, options, Summary::default(), run)
}

fn run_case_by(
    case: &Case,
    seeds: impl IntoIterator<Item = u64>,
    options: &SuiteOptions,
    mut summary: Summary,
    run: &mut dyn FnMut(u64, RunOptions) -> RunResult,
) -> CaseResult {
    let mut runs = 0;
    for seed in seeds {
        summary.add(run(seed, run_options(case, runs, options)));
        runs += 1;
    }
    summary.into_result(case, runs, options)
}

/// The first run has its trace if it may be the run that is shown although it passes: a case whose
/// mark is never reached fails without a failed run.
fn run_options(case: &Case, run: u32, options: &SuiteOptions) -> RunOptions {
    let may_be_shown = match options.keep {
        KeepTrace::None => false,
        KeepTrace::Failing => !case.scenario.sometimes().is_empty(),
        KeepTrace::All => true,
    };
    RunOptions {
        trace: may_be_shown && run == 0,
        latitude: options.latitude,
        simulator: options.simulator,
        ..RunOptions::default()
    }
}

/// The result of a case on a live server, from all its runs and their duration.
pub(crate) fn summary(
    case: &Case,
    runs: Vec<RunResult>,
    keep: KeepTrace,
    took: Option<core::time::Duration>,
) -> CaseResult {
    let mut summary = Summary::default();
    let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    let seed = runs.first().map_or(0, |run| run.seed);
    for run in runs {
        summary.add(run);
    }
    let result = summary.into_result(case, count, &SuiteOptions { seed, keep, ..SuiteOptions::default() });
    let took_ms = took.and_then(|took| u64::try_from(took.as_millis()).ok());
    CaseResult { took_ms, ..result }
}

#[derive(Default)]
struct Summary {
    /// Whether every mark must be reached. Only on the reference peer: another one may be so slow or
    /// fast that no seed reaches it, and that breaks nothing.
    needs_marks: bool,
    verdict: Option<Verdict>,
    level: Option<Level>,
    failed_seeds: Vec<u64>,
    branches: BTreeMap<BranchTaken, u32>,
    marks: BTreeMap<String, u32>,
    endured: Option<LoadSummary>,
    clauses_shown: BTreeSet<String>,
    clauses_broken: BTreeSet<String>,
    shown: Option<RunResult>,
}

impl Summary {
    fn add(&mut self, run: RunResult) {
        self.verdict = self.verdict.max(Some(run.verdict));
        for branch in run.branches.iter().collect::<BTreeSet<_>>() {
            *self.branches.entry(branch.clone()).or_default() += 1;
        }
        for mark in &run.marks {
            *self.marks.entry(mark.clone()).or_default() += 1;
        }
        match (&mut self.endured, &run.endured) {
            (Some(all), Some(one)) => all.add(one),
            (all @ None, one) => all.clone_from(one),
            (Some(_), None) => {}
        }
        let bad = matches!(run.verdict, Verdict::Fail | Verdict::Error);
        if bad {
            self.level = self.level.max(Some(run.level));
            self.failed_seeds.push(run.seed);
        }
        self.clauses_shown.extend(run.clauses_shown.iter().cloned());
        let broken = run.failures.iter().flat_map(|failure| &failure.finding.requirements);
        self.clauses_broken.extend(broken.map(|broken| broken.clause.clone()));
        // The run that is shown: the first bad one, else the first not judged, else the first.
        if self.shown.as_ref().is_none_or(|shown| weight(shown.verdict) < weight(run.verdict)) {
            self.shown = Some(run);
        }
    }

    fn into_result(self, case: &Case, runs: u32, options: &SuiteOptions) -> CaseResult {
        let mut verdict = self.verdict.unwrap_or(Verdict::Error);
        let mut shown = self.shown;
        let mut failures = shown.as_ref().map_or_else(Vec::new, |run| run.failures.clone());
        let reason = shown.as_ref().map_or_else(String::new, |run| run.reason.clone());
        let mut marks = Vec::new();
        for mark in case.scenario.sometimes() {
            let reached = self.marks.get(mark).copied().unwrap_or(0);
            if reached == 0 && verdict == Verdict::Pass && self.needs_marks {
                failures.push(unreached(case, mark, runs, options));
                verdict = Verdict::Fail;
            }
            marks.push((mark.to_owned(), reached));
        }
        let keeps = match options.keep {
            KeepTrace::None => false,
            KeepTrace::Failing => weight(verdict) > 0,
            KeepTrace::All => true,
        };
        let clauses = case.clauses();
        let holds = |id: &&String| self.clauses_shown.contains(*id) && !self.clauses_broken.contains(*id);
        if let Some(run) = shown.as_mut().filter(|_| !keeps) {
            run.trace = Trace::default();
        }
        CaseResult {
            file: case.file.clone(),
            title: case.scenario.title.clone(),
            version: case.version_text(),
            row: case.row_name().map(str::to_owned),
            tests: role_word(case.tests).to_owned(),
            both_sides: case.scenario.tests == Roles::Both,
            reading: case.scenario.reading.clone(),
            clauses_shown: clauses.iter().filter(holds).cloned().collect(),
            clauses,
            verdict,
            level: self.level.unwrap_or(Level::Must),
            reason,
            took_ms: None,
            put_forward_ms: None,
            runs,
            failed_seeds: self.failed_seeds,
            failures,
            branches: self.branches.into_iter().collect(),
            marks,
            endured: self.endured,
            shown,
        }
    }
}

/// The priority of a run to be the run that is shown.
fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass | Verdict::Skip => 0,
        Verdict::NotJudged => 1,
        Verdict::Fail | Verdict::Error => 2,
    }
}

/// The finding for a mark that no seed reached.
fn unreached(case: &Case, mark: &str, runs: u32, options: &SuiteOptions) -> ReportedFinding {
    let finding = Finding {
        check: Check::Sometimes(mark.to_owned()),
        level: Level::Must,
        requirements: Vec::new(),
        expected: format!("`sometimes {mark}` is reached under at least one seed"),
        actual: format!("it was not reached in {runs} runs"),
        nearly: None,
        line: case.line_of_mark(mark),
        at_ns: 0,
        event: None,
        timing_sensitive: false,
    };
    let (history, trace) = (History::default(), Trace::default());
    let command = options.simulator.repeat_command(case, options.seed);
    ReportedFinding::new(finding, case, &history, &trace, &command)
}
