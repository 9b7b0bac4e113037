//! The runner: one run of one case under one seed, in the simulated world or before a live server.
//!
//! It sets a world up with the reference broker, or with the harness in its place where a client is tested; lets the director execute the scenario; and
//! judges the history: by the scenario's lines while it runs, by the monitors and the end-of-run properties when it is over.

pub(crate) mod applications;
mod blocks;
pub(crate) mod cast;
mod connection;
mod director;
mod expect;
mod faults;
mod found;
pub(crate) mod ground;
mod identifiers;
mod liar;
mod lines;
mod send;
mod sequence;
pub(crate) mod server;
mod stage;
mod transcript;
mod wishes;

use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mqttspec_world::{Keep, Seed, World};

use self::applications::{Application, Applications};
use self::cast::{Cast, Part};
use self::director::{Director, Findings};
use self::found::{Found, Stop};
use self::ground::{Ground, LATENCY, Pace};
use self::identifiers::Identifiers;
use self::lines::Lines;
use self::stage::Stage;
pub(crate) use self::transcript::event_text;
use crate::defects::Defect;
use crate::deliveries::Deliveries;
use crate::fields::Bindings;
use crate::history::{History, Lane};
use crate::live::site::{Site, Surroundings};
use crate::notation::{Scenario, Span, Version};
use crate::resilience::Endured;
use crate::results::{RunResult, Trace};
use crate::verdict::{Level, Verdict};
use crate::{monitors, properties};

/// How long a run may take in simulated time before it counts as one that never ends.
const LONGEST: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// Which side of the connection a case tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The server: the harness plays the clients.
    Server,
    /// The client: the harness plays the server.
    Client,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Side::Server => "server",
            Side::Client => "client",
        })
    }
}

/// A scenario for one version, one side and one row of its table.
#[derive(Clone, Debug)]
pub struct Case {
    /// The scenario.
    pub scenario: Arc<Scenario>,
    /// Its file, relative to the folder of scenarios, with `/`.
    pub file: String,
    /// The text of the file.
    pub source: Arc<str>,
    /// The version of the standard.
    pub version: Version,
    /// Which side is tested.
    pub tests: Side,
    /// The row of the table, by its place; `None` where there is no table.
    pub row: Option<usize>,
}

impl Case {
    /// The name of the row: its first column.
    #[must_use]
    pub fn row_name(&self) -> Option<&str> {
        let table = self.scenario.table.as_ref()?;
        table.rows.get(self.row?).map(|row| row.case.as_str())
    }

    /// The name under which tests and reports list the case.
    #[must_use]
    pub fn name(&self) -> String {
        let tests = match self.scenario.tests {
            crate::notation::Tested::Both => format!(" {}", self.tests),
            _ => String::new(),
        };
        let row = self.row_name().map_or_else(String::new, |row| format!(" [{row}]"));
        format!("{} {}{tests}{row}", self.file, self.version_text())
    }

    /// The version as results name it: `3.1.1`, `5.0`.
    #[must_use]
    pub fn version_text(&self) -> String {
        self.version.to_string()
    }

    /// The clauses that the case shows: those of its row first, where it has one.
    #[must_use]
    pub fn clauses(&self) -> Vec<String> {
        let row = self.row.and_then(|row| self.scenario.table.as_ref()?.rows.get(row));
        let mut ids: Vec<String> = Vec::new();
        for clause in row.into_iter().flat_map(|row| &row.clauses).chain(&self.scenario.clauses) {
            if clause.version == self.version && !ids.contains(&clause.id) {
                ids.push(clause.id.clone());
            }
        }
        ids
    }

    /// The one command that runs it again under a seed, and prints its transcript.
    #[must_use]
    pub fn command(&self, seed: u64) -> String {
        let row = self.row_name().map_or_else(String::new, |row| format!(" --row {row}"));
        let side = match self.scenario.tests {
            crate::notation::Tested::Both => format!(" --tests {}", self.tests),
            _ => String::new(),
        };
        format!("mqttspec trace {} --version {}{side}{row} --seed {seed}", self.file, self.version)
    }

    fn line_of(&self, span: Span) -> u32 {
        let (line, _) = span.line_and_column(&self.source);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// The first line that has this `sometimes` mark.
    pub(crate) fn line_of_mark(&self, mark: &str) -> u32 {
        let mut line = 0;
        self.scenario.walk(&mut |step| {
            if line == 0 && matches!(&step.kind, crate::notation::StepKind::Sometimes(name) if name == mark) {
                line = self.line_of(step.span);
            }
        });
        line
    }

    fn source_line(&self, line: u32) -> String {
        let index = (line as usize).checked_sub(1);
        index.and_then(|index| self.source.lines().nth(index)).unwrap_or_default().trim().to_owned()
    }

    /// The seed of the world: different for each case, so that neither order nor selection of cases moves a run.
    fn world_seed(&self, seed: u64) -> u64 {
        Seed::new(seed).child(&self.name()).to_u64()
    }
}

/// What is wanted of a run besides its verdict.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The trace of a run that passes; one that does not has its trace anyway.
    pub trace: bool,
    /// A defect of the reference peer under test: the run then tests the scenario.
    pub defect: Option<&'static Defect>,
}

/// Runs a case once. The same case and seed give the same result, bit for bit.
#[must_use]
pub fn run(case: &Case, seed: u64) -> RunResult {
    run_for(case, seed, Wanted { trace: true, defect: None })
}

/// Runs a case once, for what is wanted.
#[must_use]
pub fn run_for(case: &Case, seed: u64, wanted: Wanted) -> RunResult {
    judged(case, seed, perform(case, seed, wanted.defect), wanted.trace).0
}

/// Runs a case once before a live server, and says whether its failure may be due to somebody's lack of time. The case's times are those
/// of live targets already.
pub(crate) async fn run_live(
    case: &Case,
    seed: u64,
    surroundings: Surroundings,
    with_trace: bool,
) -> (RunResult, bool) {
    judged(case, seed, perform_live(case, seed, surroundings).await, with_trace)
}

fn judged(case: &Case, seed: u64, performed: Performed, with_trace: bool) -> (RunResult, bool) {
    let version = case.version;
    let mut found = performed.findings.found;
    let (verdict, reason) = match performed.end {
        Ok(()) => {
            found.extend(judge_properties(&performed.findings.properties, &performed.history));
            (None, String::new())
        }
        Err(Stop::Found(stopped)) => {
            found.push(*stopped);
            (None, String::new())
        }
        Err(Stop::Broken(reason)) => (Some(Verdict::Error), reason),
    };
    for violation in monitors::judge(&performed.history) {
        found.push(Found::of_violation(violation, &performed.history));
    }
    let timed = verdict.is_some() || found.iter().any(|found| found.timed);
    let level = found.iter().map(|found| found.level).max().unwrap_or(Level::Must);
    let failed = if found.is_empty() { Verdict::Pass } else { Verdict::Fail };
    let verdict = verdict.unwrap_or(failed);
    // Most runs pass, and nobody looks at all of their traces.
    let shown = with_trace || verdict != Verdict::Pass;
    let trace = if shown { transcript::trace(&performed.history, version) } else { Trace::default() };
    let failures =
        found.into_iter().map(|found| found.into_failure(case, seed, &performed.history, &trace)).collect();
    let endured = Endured::of(&case.scenario, &performed.history);
    let result = RunResult {
        seed,
        verdict,
        level,
        reason,
        failures,
        drawn: performed.findings.drawn,
        branches: performed.findings.branches,
        marks: performed.findings.marks,
        endured,
        trace,
        history_hash: performed.hash,
        output: Vec::new(),
    };
    (result, timed)
}

/// What is left when a run is over.
struct Performed {
    history: History,
    findings: Findings,
    end: Result<(), Stop>,
    hash: String,
}

fn judge_properties(properties: &[(u32, crate::notation::Property)], history: &History) -> Vec<Found> {
    if properties.is_empty() {
        return Vec::new();
    }
    let deliveries = Deliveries::of(history);
    properties
        .iter()
        .flat_map(|(line, property)| {
            let broken = properties::judge(property, history, &deliveries);
            broken.into_iter().map(|broken| Found::of_property(broken, *line, history))
        })
        .collect()
}

fn perform(case: &Case, seed: u64, defect: Option<&'static Defect>) -> Performed {
    let cast = Cast::of(&case.scenario, case.tests);
    let version = case.version;
    let broken = |reason: String| Performed {
        history: History::new(cast.lanes()),
        findings: Findings::default(),
        end: Err(Stop::Broken(reason)),
        hash: String::new(),
    };
    let options = match server::options(case) {
        Ok(options) => options,
        Err(reason) => return broken(reason),
    };
    let begun = Rc::new(RefCell::new(None::<World>));
    let clock = begun.clone();
    let stage =
        Rc::new(Stage::new(cast.lanes(), move || clock.borrow().as_ref().map_or(Duration::ZERO, World::now)));
    let applications = match applications(case, &cast, &stage, defect) {
        Ok(applications) => applications,
        Err(reason) => return broken(reason),
    };

    let longest_latency = if case.scenario.seeds > 1 { LATENCY * 10 } else { LATENCY };
    let mut builder = World::builder(case.world_seed(seed))
        .latency(LATENCY..=longest_latency)
        .keep(Keep::Last(0))
        .time_limit(LONGEST);
    builder = server::host(builder, case, &cast, &stage, options, defect);
    for client in &cast.clients {
        builder = match applications.get(&client.name) {
            Some(application) => {
                let (application, connects) = (application.clone(), !client.connects_when_told);
                builder.host(&client.name, move |context| application.clone().run(context, connects))
            }
            None => builder.host(&client.name, |_| std::future::pending::<()>()),
        };
    }

    let findings = Rc::new(RefCell::new(Findings::default()));
    let kept = findings.clone();
    let outcome = builder.run(|world: World| {
        *begun.borrow_mut() = Some(world.clone());
        let (stage, cast, applications) = (stage.clone(), &cast, &applications);
        async move {
            let lanes = cast.clients.len();
            let connections: cast::Connections = Rc::new(RefCell::new(vec![None; lanes]));
            if cast.plays_server {
                server::play(&world, &stage, &connections, version).await?;
            }
            let mut bindings = Bindings::default();
            bind_row(case, &mut bindings);
            let mut director = Director {
                case,
                lines: Lines::of(&case.source),
                cast,
                version,
                ground: Ground::World(world),
                pace: Pace::SIMULATED,
                stage,
                applications,
                bindings,
                connections,
                identifiers: vec![Identifiers::default(); lanes],
                done_at: Duration::ZERO,
                draws: 0,
                sent_at: None,
                longest_latency,
                findings: Findings::default(),
            };
            let end = director.perform().await;
            *kept.borrow_mut() = std::mem::take(&mut director.findings);
            end
        }
    });
    let (end, trace) = match outcome {
        Ok(outcome) => (outcome.output, outcome.trace),
        Err(failure) => (Err(Stop::Broken(failure.error.to_string())), *failure.trace),
    };
    let findings = std::mem::take(&mut *findings.borrow_mut());
    Performed { history: stage.take_history(), findings, end, hash: format!("{:032x}", trace.hash) }
}

async fn perform_live(case: &Case, seed: u64, surroundings: Surroundings) -> Performed {
    let cast = Cast::of(&case.scenario, case.tests);
    let version = case.version;
    let began = tokio::time::Instant::now();
    let stage = Rc::new(Stage::new(cast.lanes(), move || began.elapsed()));
    let applications = match applications(case, &cast, &stage, None) {
        Ok(applications) => applications,
        Err(reason) => {
            let end = Err(Stop::Broken(reason));
            return Performed {
                history: stage.take_history(),
                findings: Findings::default(),
                end,
                hash: String::new(),
            };
        }
    };
    let hosts = cast.clients.iter().map(|client| client.name.clone());
    let limit = surroundings.limit;
    let site = Rc::new(Site::new(surroundings, began, Seed::new(case.world_seed(seed)), version, hosts));
    for client in &cast.clients {
        if let Some(application) = applications.get(&client.name) {
            site.clients().run(&client.name, application.clone(), !client.connects_when_told, &site);
        }
    }
    let ground = Ground::Site(site);
    let pace = ground.pace();
    let mut bindings = Bindings::default();
    bind_row(case, &mut bindings);
    let lanes = cast.clients.len();
    let mut director = Director {
        case,
        lines: Lines::of(&case.source),
        cast: &cast,
        version,
        ground,
        pace,
        stage: stage.clone(),
        applications: &applications,
        bindings,
        connections: Rc::new(RefCell::new(vec![None; lanes])),
        identifiers: vec![Identifiers::default(); lanes],
        done_at: Duration::ZERO,
        draws: 0,
        sent_at: None,
        longest_latency: pace.travel,
        findings: Findings::default(),
    };
    let end = match tokio::time::timeout(limit, director.perform()).await {
        Ok(end) => end,
        Err(_) => {
            let (line, limit) = (stage.line(), limit.as_secs());
            Err(Stop::Broken(format!("the run does not end: after {limit} s it is at line {line}")))
        }
    };
    let findings = std::mem::take(&mut director.findings);
    Performed { history: stage.take_history(), findings, end, hash: String::new() }
}

fn applications(
    case: &Case,
    cast: &Cast,
    stage: &Rc<Stage>,
    defect: Option<&'static Defect>,
) -> Result<Applications, String> {
    let mut applications = Applications::default();
    for (index, client) in (0u16..).zip(&cast.clients) {
        if client.part == Part::Played {
            continue;
        }
        let mut options = mqttspec_client::Options::default();
        options.set("client_id", &client.name).map_err(|error| error.to_string())?;
        if cast.plays_server {
            // Its PINGREQ packets belong into those transcripts only that are about them.
            options.keep_alive = 0;
        }
        let mut durable = false;
        for option in client.options.iter().filter(|option| option.versions.applies_to(case.version)) {
            if option.name == server::STORE {
                durable = option.value == server::DURABLE;
                continue;
            }
            options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
        }
        let records_packets = case.tests == Side::Server;
        let version = case.version;
        let defect = defect.filter(|defect| defect.side == Side::Client);
        let application =
            Application::new(Lane(index), stage.clone(), version, options, records_packets, durable, defect);
        applications.add(&client.name, application);
    }
    Ok(applications)
}

fn bind_row(case: &Case, bindings: &mut Bindings) {
    let Some(table) = &case.scenario.table else { return };
    let Some(row) = case.row.and_then(|row| table.rows.get(row)) else { return };
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        bindings.bind_column(column, cell.clone());
    }
}
