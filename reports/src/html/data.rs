//! The data for the page's script: every clause with its standing on each target, every case with
//! its result on each target, and the layouts of the diagrams. The rows of diagrams are arrays,
//! because there are many of them.

use std::collections::BTreeMap;

use mqttspec_judge::finding::ReportedFinding;
use mqttspec_judge::results::{CaseResult, SuiteResult};
use mqttspec_judge::trace::{Trace, TraceEvent, TraceKind};
use mqttspec_spec::{Area, Catalogue, Clause, Roles, Standard};
use serde::Serialize;

use crate::diagram::{Diagram, LABEL_LENGTH, Observer, Row, long_label};
use crate::{Coverage, Outcome, failure};

/// The number of bytes of one packet that the page contains.
const BYTES_SHOWN: usize = 512;
/// The number of events that are drawn from the beginning of a run, and from its end, where
/// failures are.
const EVENTS_SHOWN: [usize; 2] = [60, 100];
/// The number of failed seeds that are listed.
const SEEDS_SHOWN: usize = 8;

#[derive(Serialize)]
pub(super) struct Data {
    /// The length of a packet's label in a diagram, in characters.
    label: usize,
    targets: Vec<TargetData>,
    areas: Vec<&'static str>,
    clauses: Vec<ClauseData>,
    cases: Vec<CaseData>,
    diagrams: Vec<DiagramData>,
}

#[derive(Serialize)]
struct TargetData {
    letter: String,
    name: String,
}

#[derive(Serialize)]
struct ClauseData {
    id: &'static str,
    version: String,
    section: &'static str,
    link: String,
    level: String,
    role: &'static str,
    area: &'static str,
    summary: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unobservable: Option<&'static str>,
    /// The standing on each target, in one word.
    standing: Vec<&'static str>,
    cases: Vec<usize>,
}

#[derive(Serialize)]
struct CaseData {
    file: String,
    title: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<String>,
    tests: String,
    /// Whether the scenario has a case for each role, so that the name must include the role.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    both: bool,
    clauses: Vec<usize>,
    results: Vec<Option<ResultData>>,
}

#[derive(Serialize)]
struct ResultData {
    word: &'static str,
    level: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    runs: u32,
    failed: usize,
    seeds: Vec<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<FailureData>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<(u32, String, String, u32)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    marks: Vec<(String, u32)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drawn: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    printed: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diagram: Option<usize>,
}

#[derive(Serialize)]
struct FailureData {
    by: String,
    level: String,
    requirements: Vec<RequirementData>,
    expected: String,
    actual: String,
    hex: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearly: Option<String>,
    command: String,
}

#[derive(Serialize)]
struct RequirementData {
    clause: String,
    version: String,
    section: String,
    summary: String,
    link: String,
}

#[derive(Serialize)]
struct DiagramData {
    width: u32,
    height: u32,
    /// The length of the text of a fault or a failure, in characters.
    long: usize,
    lanes: Vec<(String, u32)>,
    bars: Vec<(u32, u32, u32)>,
    bands: Vec<(u32, u32, u32, u32, u8)>,
    rows: Vec<RowData>,
}

/// Kind, y, nanoseconds, from, to, middle, text, hex, line, bad.
type RowData = (u8, u32, u64, u32, u32, u32, String, String, u32, u8);

/// The key of a case: file, version, row, role.
type Key = (String, String, Option<String>, String);

/// The letter of a target's column: A, B, … Z, then numbers.
pub(super) fn letter(index: usize) -> String {
    u8::try_from(index)
        .ok()
        .filter(|index| *index < 26)
        .map_or_else(|| (index + 1).to_string(), |index| char::from(b'A' + index).to_string())
}

impl Data {
    pub(super) fn of(suites: &[SuiteResult]) -> Self {
        let mut data = Self {
            label: LABEL_LENGTH,
            targets: suites
                .iter()
                .enumerate()
                .map(|(index, suite)| TargetData { letter: letter(index), name: suite.target.name.clone() })
                .collect(),
            areas: Area::ALL.iter().copied().map(Area::name).collect(),
            clauses: Vec::new(),
            cases: Vec::new(),
            diagrams: Vec::new(),
        };
        let places = data.add_clauses(suites);
        data.add_cases(suites, &places);
        for (case, entry) in data.cases.iter().enumerate() {
            for clause in &entry.clauses {
                data.clauses[*clause].cases.push(case);
            }
        }
        data
    }

    /// Adds every numbered clause of a version that a target ran, and every other clause that a
    /// scenario cites. Returns their indices by version and id.
    fn add_clauses(&mut self, suites: &[SuiteResult]) -> BTreeMap<(String, &'static str), usize> {
        let coverages: Vec<Vec<Coverage>> = suites.iter().map(Coverage::of).collect();
        let mut places = BTreeMap::new();
        for standard in Standard::ALL {
            let version = standard.to_string();
            let of_version: Vec<Option<&Coverage>> = coverages
                .iter()
                .map(|coverages| coverages.iter().find(|coverage| coverage.version == version))
                .collect();
            if of_version.iter().all(Option::is_none) {
                continue;
            }
            let mut clauses: Vec<&'static Clause> = Catalogue::iter(standard).collect();
            clauses.sort_by_key(|clause| clause.area);
            for clause in clauses {
                let word = |coverage: &Option<&Coverage>| {
                    let row = coverage.and_then(|of| of.rows.iter().find(|row| row.clause.id == clause.id));
                    row.map(|row| row.standing.word())
                };
                let standing: Vec<_> = of_version.iter().map(word).collect();
                if standing.iter().all(Option::is_none) && !clause.is_counted() {
                    continue;
                }
                places.insert((version.clone(), clause.id), self.clauses.len());
                let standing = standing.into_iter().map(|word| word.unwrap_or("none")).collect();
                self.clauses.push(ClauseData::of(clause, standing));
            }
        }
        places
    }

    fn add_cases(&mut self, suites: &[SuiteResult], places: &BTreeMap<(String, &'static str), usize>) {
        let mut cases: BTreeMap<Key, Vec<Option<&CaseResult>>> = BTreeMap::new();
        for (target, suite) in suites.iter().enumerate() {
            for case in &suite.cases {
                let results = cases.entry(key(case)).or_insert_with(|| vec![None; suites.len()]);
                results[target] = Some(case);
            }
        }
        let keys: Vec<Key> = cases.keys().cloned().collect();
        for (key, results) in cases {
            let Some(case) = results.iter().flatten().next() else { continue };
            let clauses: Vec<usize> = case
                .clauses
                .iter()
                .filter_map(|id| {
                    let clause = known(&case.version, id)?;
                    places.get(&(case.version.clone(), clause.id)).copied()
                })
                .collect();
            if let Some(reading) = &case.reading {
                for clause in &clauses {
                    self.clauses[*clause].reading.get_or_insert_with(|| reading.clone());
                }
            }
            let other_side =
                |other: &Key| (&other.0, &other.1, &other.2) == (&key.0, &key.1, &key.2) && other.3 != key.3;
            let entry = CaseData {
                file: case.file.clone(),
                title: case.title.clone(),
                version: case.version.clone(),
                row: case.row.clone(),
                tests: case.tests.clone(),
                both: keys.iter().any(other_side),
                clauses,
                results: Vec::new(),
            };
            let results = results.iter().map(|case| case.map(|case| self.result(case))).collect();
            self.cases.push(CaseData { results, ..entry });
        }
    }

    fn result(&mut self, case: &CaseResult) -> ResultData {
        let shown = case.shown.as_ref();
        let diagram = shown.filter(|run| !run.trace.events.is_empty()).map(|run| {
            let diagram = Diagram::of(&brief(&run.trace), Observer::of(&case.tests), &case.failures);
            self.diagrams.push(DiagramData::of(diagram));
            self.diagrams.len() - 1
        });
        ResultData {
            word: Outcome::of(case).word(),
            level: case.level.to_string(),
            reason: case.reason.clone(),
            runs: case.runs,
            failed: case.failed_seeds.len(),
            seeds: case.failed_seeds.iter().take(SEEDS_SHOWN).copied().collect(),
            took: case.took_ms,
            forward: case.put_forward_ms,
            reading: case.reading.clone(),
            failures: case.failures.iter().map(FailureData::of).collect(),
            branches: case
                .branches
                .iter()
                .map(|(branch, runs)| (branch.line, branch.name.clone(), branch.level.to_string(), *runs))
                .collect(),
            marks: case.marks.clone(),
            drawn: shown.map_or_else(Vec::new, |run| run.drawn.clone()),
            printed: shown.map_or_else(Vec::new, |run| run.output.clone()),
            diagram,
        }
    }
}

impl ClauseData {
    fn of(clause: &'static Clause, standing: Vec<&'static str>) -> Self {
        Self {
            id: clause.id,
            version: clause.standard.to_string(),
            section: clause.section,
            link: clause.link(),
            level: clause.level.to_string(),
            role: match clause.role {
                Roles::Server => "server",
                Roles::Client => "client",
                Roles::Both => "both",
            },
            area: clause.area.name(),
            summary: clause.summary,
            reading: None,
            unobservable: clause.unobservable,
            standing,
            cases: Vec::new(),
        }
    }
}

impl FailureData {
    fn of(failure: &ReportedFinding) -> Self {
        let linked = failure.finding.requirements.iter().zip(failure::links(failure));
        let requirements = linked.map(|(requirement, link)| RequirementData {
            clause: requirement.clause.clone(),
            version: requirement.version.clone(),
            section: requirement.section.clone(),
            summary: requirement.summary.clone(),
            link,
        });
        Self {
            by: failure::place(failure),
            level: failure.finding.level.to_string(),
            requirements: requirements.collect(),
            expected: failure.finding.expected.clone(),
            actual: failure.finding.actual.clone(),
            hex: failure::bytes(&failure.actual_hex),
            source: failure.source.clone(),
            nearly: failure.finding.nearly.clone(),
            command: failure.command.clone(),
        }
    }
}

impl DiagramData {
    fn of(diagram: Diagram) -> Self {
        Self {
            width: diagram.width,
            height: diagram.height,
            long: long_label(diagram.width),
            lanes: diagram.lanes.into_iter().map(|lane| (lane.name, lane.x)).collect(),
            bars: diagram.bars.iter().map(|bar| (bar.x, bar.top, bar.bottom)).collect(),
            bands: diagram
                .bands
                .iter()
                .map(|band| (band.left, band.right, band.top, band.bottom, u8::from(band.severe)))
                .collect(),
            rows: diagram.rows.into_iter().map(row).collect(),
        }
    }
}

/// A run without its middle, if it is too long to draw.
fn brief(trace: &Trace) -> Trace {
    let [first, last] = EVENTS_SHOWN;
    let left_out = trace.events.len().saturating_sub(first + last);
    if left_out == 0 {
        return trace.clone();
    }
    let (before, after) = (&trace.events[..first], &trace.events[first + left_out..]);
    let note = TraceEvent {
        at_ns: before.last().map_or(0, |event| event.at_ns),
        host: String::new(),
        connection: 0,
        kind: TraceKind::Note,
        text: format!("{left_out} events are left out here; `trace` shows them"),
        hex: String::new(),
        line: 0,
        ending: None,
        fault: None,
    };
    let events = [before, &[note], after].concat();
    Trace { hosts: trace.hosts.clone(), events }
}

fn row(row: Row) -> RowData {
    let hex = match row.hex.get(..BYTES_SHOWN * 2) {
        Some(shown) if row.hex.len() > BYTES_SHOWN * 2 => format!("{shown}+{}", row.hex.len() / 2),
        _ => row.hex,
    };
    // The script identifies the kinds by their index in this enum.
    let kind = row.kind as u8;
    let (line, bad) = (row.line, u8::from(row.bad));
    (kind, row.y, row.at_ns, row.from, row.to, row.middle, row.text, hex, line, bad)
}

fn key(case: &CaseResult) -> Key {
    (case.file.clone(), case.version.clone(), case.row.clone(), case.tests.clone())
}

fn known(version: &str, id: &str) -> Option<&'static Clause> {
    let standard: Standard = version.parse().ok()?;
    Catalogue::get(standard, id)
}
