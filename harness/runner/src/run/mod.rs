//! The runner: one run of one case under one seed, in the simulated world or before a live server.
//!
//! It sets a world up with the reference broker, or with the harness in its place where a client is tested; lets the director execute the scenario; and
//! judges the history: by the scenario's lines while it runs, by the monitors and the end-of-run properties when it is over.

pub(crate) mod applications;
mod blocks;
pub(crate) mod cast;
pub(crate) mod connection;
mod director;
mod expect;
mod faults;
pub(crate) mod found;
mod identifiers;
mod lines;
mod reports;
mod send;
mod sequence;
pub(crate) mod stage;
mod wishes;

use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use mqttspec_world::Seed;

use self::applications::{Application, Applications};
use self::cast::{Cast, Part};
use self::connection::Connection;
use self::director::{Director, Findings};
use self::found::{Found, Stop};
use self::identifiers::Identifiers;
use self::lines::Lines;
use self::stage::Stage;
use crate::backend::{Accepted, Backend, BackendError};
use crate::live::backend::{LiveBackend, Surroundings};
use crate::simulated::{DURABLE, STORE, perform};
use mqttspec_codec::{Role, Version};
use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::history::{Ending, History, Lane};
use mqttspec_judge::resilience::Endured;
use mqttspec_judge::results::{RunResult, Trace};
use mqttspec_judge::verdict::Verdict;
use mqttspec_judge::{Case, delivery_checks as properties, monitors, transcript};
use mqttspec_mutants::Defect;
use mqttspec_net::framed::Inflow;
use mqttspec_notation::fields::Bindings;
use mqttspec_spec::Level;

/// The seed of a run: different for each case, so that neither order nor selection of cases changes a run.
pub(crate) fn world_seed(case: &Case, seed: u64) -> Seed {
    Seed::new(seed).child(&case.name())
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
    let Executed { findings, end } = performed.executed;
    let mut found = findings.found;
    let (verdict, reason) = match end {
        Ok(()) => {
            found.extend(judge_properties(&findings.properties, &performed.history));
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
        drawn: findings.drawn,
        branches: findings.branches,
        marks: findings.marks,
        endured,
        trace,
        history_hash: performed.hash,
        output: Vec::new(),
    };
    (result, timed)
}

/// What is left when a run is over.
pub(crate) struct Performed {
    pub(crate) history: History,
    pub(crate) executed: Executed,
    pub(crate) hash: String,
}

fn judge_properties(properties: &[(u32, mqttspec_notation::Property)], history: &History) -> Vec<Found> {
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

/// What a run is made of, whatever it executes on.
#[derive(Clone, Copy)]
pub(crate) struct Setup<'r> {
    pub(crate) case: &'r Case,
    pub(crate) cast: &'r Cast,
    pub(crate) stage: &'r Rc<Stage>,
    pub(crate) applications: &'r Applications,
}

/// What the executor found, and how it ended.
pub(crate) struct Executed {
    findings: Findings,
    end: Result<(), Stop>,
}

impl Executed {
    /// The run could not be executed, or not to its end.
    pub(crate) fn broken(reason: impl Into<String>) -> Self {
        Self { findings: Findings::default(), end: Err(Stop::broken(reason)) }
    }
}

/// Executes the scenario of a case on a backend. The peers under test run already.
pub(crate) async fn execute(setup: Setup<'_>, backend: Rc<dyn Backend>) -> Executed {
    let Setup { case, cast, stage, applications } = setup;
    let version = case.version;
    let lanes = cast.clients.len();
    let connections: cast::Connections = Rc::new(RefCell::new(vec![None; lanes]));
    if cast.plays_server
        && let Err(error) = play_server(&*backend, stage, &connections, version).await
    {
        return Executed::broken(error.to_string());
    }
    let mut bindings = Bindings::default();
    bind_row(case, &mut bindings);
    let (pace, limit) = (backend.timeouts(), backend.limit());
    let mut director = Director {
        case,
        lines: Lines::of(&case.source),
        cast,
        version,
        backend,
        pace,
        stage: stage.clone(),
        applications,
        bindings,
        connections,
        identifiers: vec![Identifiers::default(); lanes],
        done_at: Duration::ZERO,
        draws: 0,
        sent_at: None,
        longest_latency: pace.travel,
        findings: Findings::default(),
    };
    let end = match limit {
        None => director.perform().await,
        Some(limit) => tokio::time::timeout(limit, director.perform()).await.unwrap_or_else(|_| {
            let (line, limit) = (stage.line(), limit.as_secs());
            Err(Stop::broken(format!("the run does not end: after {limit} s it is at line {line}")))
        }),
    };
    Executed { findings: director.findings, end }
}

/// Plays the server: accepts connections, and gives each to the lane of the host that it comes from.
async fn play_server(
    backend: &dyn Backend,
    stage: &Rc<Stage>,
    connections: &cast::Connections,
    version: Version,
) -> Result<(), BackendError> {
    let incoming = backend.listen().await?;
    let (stage, connections) = (stage.clone(), connections.clone());
    tokio::task::spawn_local(async move {
        while let Ok(Accepted { stream, host }) = incoming.accept().await {
            let lane = host.and_then(|host| stage.with_history(|history| history.lane(&host)));
            let Some(lane) = lane else { continue };
            let index = usize::from(lane.0);
            if let Some(before) = connections.borrow_mut()[index].take() {
                // The client has given it up: nothing of it can matter any more.
                before.forget(Ending::ByPeer);
            }
            let key = stage.open(lane, version);
            let connection = Connection::play(stage.clone(), key, stream, Inflow::from_client());
            connections.borrow_mut()[index] = Some(connection);
        }
    });
    Ok(())
}

async fn perform_live(case: &Case, seed: u64, surroundings: Surroundings) -> Performed {
    let cast = Cast::of(&case.scenario, case.tests);
    let began = tokio::time::Instant::now();
    let stage = Rc::new(Stage::new(cast.lanes(), move || began.elapsed()));
    let executed = match applications(case, &cast, &stage, None) {
        Err(reason) => Executed::broken(reason),
        Ok(applications) => {
            let hosts = cast.clients.iter().map(|client| client.name.clone());
            let seed = world_seed(case, seed);
            let backend = LiveBackend::new(surroundings, began, seed, case.version, hosts);
            for client in &cast.clients {
                if let Some(application) = applications.get(&client.name) {
                    backend.run_client(&client.name, application.clone(), !client.connects_when_told);
                }
            }
            let setup = Setup { case, cast: &cast, stage: &stage, applications: &applications };
            execute(setup, Rc::new(backend)).await
        }
    };
    Performed { history: stage.take_history(), executed, hash: String::new() }
}

pub(crate) fn applications(
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
            if option.name == STORE {
                durable = option.value == DURABLE;
                continue;
            }
            options.set(&option.name, &option.value).map_err(|error| error.to_string())?;
        }
        let records_packets = case.tests == Role::Server;
        let version = case.version;
        let defect = defect.filter(|defect| defect.side == Role::Client);
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
