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
mod lines;
mod send;
mod sequence;
pub(crate) mod server;
mod stage;
mod wishes;

use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use mqttspec_world::{Keep, Seed, World};

use self::applications::{Application, Applications};
use self::cast::{Cast, Part};
use self::director::{Director, Findings};
use self::found::Stop;
use self::ground::{Ground, LATENCY, Pace};
use self::identifiers::Identifiers;
use self::lines::Lines;
use self::stage::Stage;
use crate::live::site::{Site, Surroundings};
use mqttspec_codec::Role;
use mqttspec_judge::command::RepeatCommand;
use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::finding::{Finding, ReportedFinding};
use mqttspec_judge::history::{History, Lane};
use mqttspec_judge::resilience::Endured;
use mqttspec_judge::results::{RunResult, Trace};
use mqttspec_judge::verdict::Verdict;
use mqttspec_judge::{Case, delivery_checks, monitors, transcript};
use mqttspec_mutants::Defect;
use mqttspec_notation::fields::Bindings;
use mqttspec_spec::Level;

/// How long a run may take in simulated time before it counts as one that never ends.
const LONGEST: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// The seed of a run: different for each case, so that neither order nor selection of cases changes a run.
fn world_seed(case: &Case, seed: u64) -> u64 {
    Seed::new(seed).child(&case.name()).to_u64()
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
    judged(case, &case.repeat_command(seed), perform(case, seed, wanted.defect), wanted.trace).0
}

/// Runs a case once before a live server, and says whether its failure may be due to somebody's lack of time. The case's times are those
/// of live targets already.
pub(crate) async fn run_live(
    case: &Case,
    command: &RepeatCommand,
    surroundings: Surroundings,
    with_trace: bool,
) -> (RunResult, bool) {
    judged(case, command, perform_live(case, command.seed, surroundings).await, with_trace)
}

fn judged(case: &Case, command: &RepeatCommand, performed: Performed, with_trace: bool) -> (RunResult, bool) {
    let Performed {
        history,
        findings: Findings { mut found, branches, marks, drawn, properties },
        end,
        hash,
    } = performed;
    let (broke, reason) = match end {
        Ok(()) => {
            found.extend(judge_deliveries(case, &properties, &history));
            (false, String::new())
        }
        Err(Stop::Finding(finding)) => {
            found.push(*finding);
            (false, String::new())
        }
        Err(Stop::Broken(reason)) => (true, reason),
    };
    found.extend(monitors::judge(&history));
    let verdict = match () {
        () if broke => Verdict::Error,
        () if found.is_empty() => Verdict::Pass,
        () => Verdict::Fail,
    };
    let timing_sensitive = broke || found.iter().any(|finding| finding.timing_sensitive);
    let level = found.iter().map(|finding| finding.level).max().unwrap_or(Level::Must);
    // Most runs pass, and nobody looks at all of their traces.
    let shown = with_trace || verdict != Verdict::Pass;
    let trace = if shown { transcript::trace(&history, case.version) } else { Trace::default() };
    let reported = |finding| ReportedFinding::new(finding, case, &history, &trace, command);
    let result = RunResult {
        seed: command.seed,
        verdict,
        level,
        reason,
        failures: found.into_iter().map(reported).collect(),
        drawn,
        branches,
        marks,
        endured: Endured::of(&case.scenario, &history),
        trace,
        history_hash: hash,
        output: Vec::new(),
    };
    (result, timing_sensitive)
}

/// What is left when a run is over.
struct Performed {
    history: History,
    findings: Findings,
    end: Result<(), Stop>,
    hash: String,
}

fn judge_deliveries(
    case: &Case,
    properties: &[(u32, mqttspec_notation::Property)],
    history: &History,
) -> Vec<Finding> {
    if properties.is_empty() {
        return Vec::new();
    }
    let deliveries = Deliveries::of(history);
    let requirements = case.requirements(Level::Must);
    properties
        .iter()
        .flat_map(|(line, property)| {
            delivery_checks::judge(property, *line, &requirements, history, &deliveries)
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
    let mut builder = World::builder(world_seed(case, seed))
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
    let site = Rc::new(Site::new(surroundings, began, Seed::new(world_seed(case, seed)), version, hosts));
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
