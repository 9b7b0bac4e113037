//! The simulated backends: one run in a simulation of its own.

mod turmoil;
mod world;

use core::ops::RangeInclusive;
use core::time::Duration;
use std::cell::OnceCell;
use std::rc::Rc;

use mqttspec_faults::Fault;
use mqttspec_judge::Case;
use mqttspec_judge::history::History;
use mqttspec_notation::DiskFault;

use crate::backend::{Demands, Timeouts, Unsupported};
use crate::executor::{Executed, Setup, demands, run_seed};
use crate::facts::Facts;
use crate::hosts::Hosts;
use crate::judging::Performed;
use crate::peers::applications;
use crate::peers::broker::BrokerPeer;
use crate::recorder::Recorder;
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
    settling: Duration::from_millis(100),
    silence: Duration::from_secs(5),
    quiet: Duration::from_secs(3),
    shorter: 1,
    travel: LATENCY,
    subscribing: Duration::ZERO,
};

/// A run before its simulation exists.
struct Prepared<'c> {
    setup: Setup<'c>,
    clock: RunClock,
    /// `None` where the executor plays the server.
    broker: Option<BrokerPeer>,
    seed: u64,
    latency: RangeInclusive<Duration>,
    /// Whether disks keep a part of unsynced writes when the power fails.
    tears_writes: bool,
}

/// The clock of a run, which shows zero until its simulation starts it.
#[derive(Clone, Default)]
struct RunClock(Rc<OnceCell<Box<dyn Fn() -> Duration>>>);

impl RunClock {
    fn start(&self, now: impl Fn() -> Duration + 'static) {
        let _ = self.0.set(Box::new(now));
    }

    fn now(&self) -> Duration {
        self.0.get().map_or(Duration::ZERO, |now| now())
    }
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
    let broker = match BrokerPeer::of(case, &hosts, &recorder, mutant, drawn) {
        Ok(broker) => broker,
        Err(reason) => return broken(reason),
    };
    let applications = match applications(case, &hosts, &recorder, mutant, drawn) {
        Ok(applications) => Rc::new(applications),
        Err(reason) => return broken(reason),
    };
    let travel = if case.scenario.seeds > 1 { LATENCY * 10 } else { LATENCY };
    let prepared = Prepared {
        setup: Setup { case, hosts, recorder: recorder.clone(), applications },
        clock,
        broker,
        seed: run_seed(case, seed).to_u64(),
        latency: LATENCY..=travel,
        tears_writes: Facts::of(case).tears_writes,
    };
    let mut executed = match options.simulator {
        Simulator::World => world::execute_in_world(prepared),
        Simulator::Turmoil => turmoil::execute_in_turmoil(prepared),
    };
    if let Some(choices) = choices {
        executed.findings.drawn.splice(0..0, choices.described());
    }
    Performed { history: recorder.take_history(), executed }
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

/// Whether simulated disks can do what a case asks of them.
fn disks_can(demands: &Demands, tears_writes: bool) -> Result<(), Unsupported> {
    let crashes = |host: &String| {
        demands.faults.iter().any(|fault| match fault {
            Fault::Crash { host: of } | Fault::DiskLoss { host: of, .. } => of == host,
            _ => false,
        })
    };
    for (host, words) in demands.disks.iter().filter(|(host, _)| crashes(host)) {
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
