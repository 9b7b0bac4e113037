//! The simulated backends: one run in a simulation of its own.

mod turmoil;
mod world;

use core::ops::RangeInclusive;
use core::time::Duration;
use std::rc::Rc;

use mqttspec_codec::Role;
use mqttspec_core::scram;
use mqttspec_faults::Fault;
use mqttspec_judge::Case;
use mqttspec_judge::history::History;
use mqttspec_notation::DiskFault;

use crate::backend::{Demands, Timeouts, Unsupported};
use crate::executor::{Executed, Setup, demands, run_seed};
use crate::facts::Facts;
use crate::hosted::{HostedCase, HostedPeer, Lives, Remembering};
use crate::hosts::{Hosts, PORT, SERVER};
use crate::judging::Performed;
use crate::live::capabilities::Capabilities;
use crate::live::probe_client::ANSWER_TIMEOUT;
use crate::live::probes::Prober;
use crate::live::wire::Endpoint;
use crate::peers::applications;
use crate::peers::broker::BrokerPeer;
use crate::recorder::Recorder;
use crate::run_clock::RunClock;
use crate::run_options::RunOptions;
use crate::simulator::Simulator;

/// The default latency of every link.
const LATENCY: Duration = Duration::from_millis(2);

/// Simulated time costs nothing, and all clocks agree. The patience is longer than any likely
/// retransmission on a lossy link.
const TIMEOUTS: Timeouts = Timeouts {
    patience: Duration::from_secs(60),
    early: Duration::ZERO,
    late: Duration::ZERO,
    least: Duration::ZERO,
    settling: Duration::from_millis(100),
    silence: Duration::from_secs(5),
    quiet: Duration::from_secs(3),
    rest: None,
    shorter: 1,
    travel: LATENCY,
    subscribing: Duration::ZERO,
};

/// A run before its simulation exists.
struct Prepared<'c> {
    setup: Setup<'c>,
    clock: RunClock,
    server: Server,
    /// The clients from outside this project, in place of the reference clients.
    clients: Option<Lives>,
    timeouts: Timeouts,
    seed: u64,
    latency: RangeInclusive<Duration>,
    /// Whether disks keep a part of unsynced writes when the power fails.
    tears_writes: bool,
    /// The real time that one poll of a hosted peer may take.
    real_poll: Duration,
}

/// What runs on the host of the server.
enum Server {
    /// Nothing: the executor plays it.
    Played,
    /// The reference broker.
    Reference(BrokerPeer),
    /// A broker from outside this project.
    Hosted(Lives),
}

/// Executes a case in a simulation of its own.
pub(crate) fn perform(case: &Case, seed: u64, options: RunOptions) -> Performed {
    let choices = options.latitude.choices(case, seed);
    let mutant = options.mutant.or(choices.as_ref().map(|choices| choices.variant));
    let drawn = choices.as_ref().map_or(&[][..], |choices| &choices.options);
    let hosts = Rc::new(Hosts::of(&case.scenario, case.tests));
    let broken = |reason: String| Performed {
        history: History::new(hosts.infos()),
        executed: Executed::broken(reason),
    };
    let clock = RunClock::default();
    let of_run = clock.clone();
    let recorder = Rc::new(Recorder::new(hosts.infos(), move || of_run.now()));
    let server = match BrokerPeer::of(case, &hosts, &recorder, mutant, drawn) {
        Ok(Some(broker)) => Server::Reference(broker),
        Ok(None) => Server::Played,
        Err(reason) => return broken(reason),
    };
    let applications = match applications(case, &hosts, &recorder, mutant, drawn, &can_crash(case, &hosts)) {
        Ok(applications) => Rc::new(applications),
        Err(reason) => return broken(reason),
    };
    let prepared = Prepared {
        setup: Setup { case, hosts, recorder: recorder.clone(), applications },
        clock,
        server,
        clients: None,
        timeouts: TIMEOUTS,
        seed: run_seed(case, seed).to_u64(),
        latency: latency(case),
        tears_writes: Facts::of(case).tears_writes,
        real_poll: Duration::MAX,
    };
    let mut executed = execute_in(options.simulator, prepared);
    if let Some(choices) = choices {
        executed.findings.drawn.splice(0..0, choices.described());
    }
    Performed { history: recorder.take_history(), executed }
}

/// Executes a case on a hosted peer, in a simulation of its own.
pub(crate) fn perform_hosted(case: &Case, seed: u64, hosted: &HostedCase<'_>) -> Performed {
    let hosts = Rc::new(Hosts::of(&case.scenario, case.tests));
    let clock = RunClock::default();
    let of_run = clock.clone();
    let recorder = Rc::new(Recorder::new(hosts.infos(), move || of_run.now()));
    let broken = |reason| Performed { history: recorder.take_history(), executed: Executed::broken(reason) };
    let applications = match applications(case, &hosts, &recorder, None, &[], &can_crash(case, &hosts)) {
        Ok(applications) => Rc::new(applications),
        Err(reason) => return broken(reason),
    };
    let lives = hosted.lives(case, &hosts, &applications, &recorder, &clock);
    let (server, clients) = match hosted.peer.role() {
        Role::Server => (Server::Hosted(lives.clone()), None),
        Role::Client => match BrokerPeer::of(case, &hosts, &recorder, None, &[]) {
            Ok(broker) => (broker.map_or(Server::Played, Server::Reference), Some(lives.clone())),
            Err(reason) => return broken(reason),
        },
    };
    let _remembering = Remembering::begin(&clock);
    let prepared = Prepared {
        setup: Setup { case, hosts, recorder: recorder.clone(), applications },
        clock,
        server,
        clients,
        timeouts: Timeouts { late: hosted.late, subscribing: hosted.subscribing, ..TIMEOUTS },
        seed: run_seed(case, seed).to_u64(),
        latency: latency(case),
        tears_writes: Facts::of(case).tears_writes,
        real_poll: hosted.real_poll,
    };
    let mut executed = execute_in(hosted.peer.simulator(), prepared);
    lives.conclude(&mut executed);
    Performed { history: recorder.take_history(), executed }
}

/// The name of the run that probes a hosted broker.
const FIRST_CONNECTIONS: &str = "the first connections";

/// Starts a hosted broker in a simulation without a case, and asks it what it can do.
pub(crate) fn probe_hosted(broker: &HostedPeer, real_poll: Duration) -> Result<Capabilities, String> {
    match broker.simulator() {
        Simulator::World => world::probe_in_world(broker, real_poll),
        Simulator::Turmoil => turmoil::probe_in_turmoil(broker, real_poll),
    }
}

/// The prober of a server in a simulation.
fn prober<N>(net: N) -> Prober<N> {
    Prober {
        endpoint: Endpoint { net, host: SERVER.to_owned(), port: PORT },
        url: "it".to_owned(),
        encrypted: false,
        websocket: false,
        credentials: None,
        token: String::new(),
        patience: ANSWER_TIMEOUT,
    }
}

fn latency(case: &Case) -> RangeInclusive<Duration> {
    LATENCY..=if case.scenario.seeds > 1 { LATENCY * 10 } else { LATENCY }
}

fn execute_in(simulator: Simulator, prepared: Prepared<'_>) -> Executed {
    scram::remember_salted_passwords();
    match simulator {
        Simulator::World => world::execute_in_world(prepared),
        Simulator::Turmoil => turmoil::execute_in_turmoil(prepared),
    }
}

/// Why a case is skipped in a simulation; `None` if it is run.
pub(crate) fn refusal(case: &Case, simulator: Simulator) -> Option<Unsupported> {
    let demands = demands(case, &Hosts::of(&case.scenario, case.tests));
    let answer = match simulator {
        Simulator::World => disks_can(&demands, Facts::of(case).tears_writes),
        Simulator::Turmoil => turmoil::supports(&demands, Facts::of(case).tears_writes),
    };
    answer.err()
}

/// Which hosts can crash in a case.
fn can_crash(case: &Case, hosts: &Hosts) -> impl Fn(&str) -> bool + use<> {
    let demands = demands(case, hosts);
    move |host| crashes(&demands, host)
}

/// Whether a fault may crash the host.
fn crashes(demands: &Demands, host: &str) -> bool {
    demands.faults.iter().any(|fault| match fault {
        Fault::Crash { host: of } | Fault::DiskLoss { host: of, .. } => of == host,
        _ => false,
    })
}

/// Whether simulated disks can do what a case asks of them.
fn disks_can(demands: &Demands, tears_writes: bool) -> Result<(), Unsupported> {
    for (host, words) in demands.disks.iter().filter(|(host, _)| crashes(demands, host)) {
        let unsupported = |word: &str, reason| Unsupported { what: format!("disk {host} {word}"), reason };
        if words.contains(&DiskFault::Sound) {
            let reason = "a simulated disk never keeps unsynced writes when the power fails";
            return Err(unsupported("sound", reason));
        }
        if words.contains(&DiskFault::LoseUnsynced) && !words.contains(&DiskFault::Torn) && tears_writes {
            let reason = "the disks of this run tear unsynced writes, because another line asks for that";
            return Err(unsupported("lose-unsynced", reason));
        }
    }
    Ok(())
}
