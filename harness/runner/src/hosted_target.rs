//! A hosted peer as a target: its capabilities, and the runs of its cases.

use core::time::Duration;

use mqttspec_codec::{Role, Version};
use mqttspec_judge::Case;
use mqttspec_judge::results::{CaseResult, RunResult, Target, TargetKind};
use mqttspec_judge::trace::{Trace, TraceEvent};
use mqttspec_judge::verdict::Verdict;

use crate::hosted::{HostedCase, HostedPeer};
use crate::judging::judged;
use crate::live::capabilities::Capabilities;
use crate::live::case_run::skipped;
use crate::live::placing::Placing;
use crate::live::schedule::{Limits, Times};
use crate::live::target_file::TargetFile;
use crate::run::{RunOptions, refusal_of};
use crate::simulated::{perform_hosted, probe_hosted};
use crate::suite::{Selection, Source, SuiteOptions, plan, run_case_on};

/// How much later than specified a client may act: libraries check their timers every second.
const LATE_CLIENT: Duration = Duration::from_millis(1500);

/// How much later than a scenario says a broker may act: many check their timers every few seconds.
const LATE_BROKER: Duration = Duration::from_secs(7);

/// A client connects once.
const CONTACT: &str = "\
title    The client connects once
clauses  [3.1.1] MQTT-3.1.0-1 [5] MQTT-3.1.0-1
versions 3.1.1 5
tests    client

ask device connect clean_start keep_alive=60
device > CONNECT shows all
device < CONNACK
told device connected
device > nothing for 300ms
";

/// A peer under test, and what it can do.
#[derive(Debug)]
pub struct HostedTarget {
    name: String,
    peer: HostedPeer,
    capabilities: Capabilities,
    /// How much later than specified the peer may act.
    late: Duration,
    real_poll: Duration,
    settings: TargetFile,
}

impl HostedTarget {
    /// Starts the peer in a simulation and probes its capabilities. If that fails, the error gives
    /// the reason, and the peer is treated as if it could do everything. The process aborts with a
    /// message if one poll of the peer takes longer than `real_poll` of real time.
    pub fn probe(name: String, peer: HostedPeer, real_poll: Duration) -> (Self, Result<(), String>) {
        // Whether it keeps its records over a crash shows when it runs.
        let settings = TargetFile { durable: true, ..TargetFile::default() };
        let target = |peer, capabilities, late| Self { name, peer, capabilities, late, real_poll, settings };
        if peer.role() == Role::Client {
            // A client says during a run what it cannot do.
            let target = target(peer, Capabilities::all(), LATE_CLIENT);
            let contact = target.contact();
            return (target, contact);
        }
        let (capabilities, contact) = match probe_hosted(&peer, real_poll) {
            Ok(capabilities) => (capabilities, Ok(())),
            Err(reason) => (Capabilities::all(), Err(reason)),
        };
        (target(peer, capabilities, LATE_BROKER), contact)
    }

    /// The check before the first case: every client must be able to connect once, with one of the
    /// versions.
    fn contact(&self) -> Result<(), String> {
        let source = Source { file: "contact.mqtt".to_owned(), text: CONTACT.to_owned() };
        for case in plan(&[source], &Selection::default()).cases {
            let result = self.run_case(&case, &SuiteOptions::default());
            if let Some(failure) = result.failures.first() {
                let finding = &failure.finding;
                return Err(format!(
                    "MQTT {}: expected {}, got {}",
                    case.version, finding.expected, finding.actual
                ));
            }
            if result.verdict == Verdict::Error {
                return Err(result.reason);
            }
        }
        Ok(())
    }

    /// Sets how much later than specified the peer may act. The default is 7 s for a broker and
    /// 1.5 s for a client: many brokers check their timers only every few seconds, many clients
    /// every second.
    #[must_use]
    pub fn tolerance(self, late: Duration) -> Self {
        Self { late, ..self }
    }

    /// The target as reports show it.
    #[must_use]
    pub fn target(&self) -> Target {
        Target {
            name: self.name.clone(),
            kind: TargetKind::Hosted,
            capabilities: self.capabilities.values.clone(),
            tolerance_ms: u64::try_from(self.late.as_millis()).ok(),
            ..Target::simulated()
        }
    }

    /// Runs a case under all its seeds. The latitude and the simulator of the options are not used.
    #[must_use]
    pub fn run_case(&self, case: &Case, options: &SuiteOptions) -> CaseResult {
        let hosted = self.needs(case);
        run_case_on(case, options, &mut |seed, options| match &hosted {
            Ok(hosted) => run(case, seed, options, hosted),
            Err(reason) => skipped(reason.clone(), seed),
        })
    }

    /// What a case needs of the peer, or why it is skipped.
    fn needs(&self, case: &Case) -> Result<HostedCase<'_>, String> {
        if let Some(refusal) = refusal_of(case, self.peer.simulator()) {
            return Err(refusal);
        }
        if case.scenario.over_websocket {
            return Err("MQTT over WebSocket is not supported: a hosted peer is reached over TCP".to_owned());
        }
        let (peer, late, real_poll) = (&self.peer, self.late, self.real_poll);
        let subscribing = self.capabilities.subscribing;
        if self.peer.role() == Role::Client {
            return Ok(HostedCase { peer, late, subscribing, real_poll, missing: Vec::new() });
        }
        let placing = Placing {
            capabilities: &self.capabilities,
            target_file: &self.settings,
            starts: true,
            starts_quickly: true,
            limits: Limits { times: Times::Live, wait: None, silence: Duration::MAX, travel: Duration::ZERO },
            has_credentials: false,
            quick: false,
        };
        placing.needs(case)?;
        Ok(HostedCase { peer, late, subscribing, real_poll, missing: placing.missing_options(case) })
    }
}

fn run(case: &Case, seed: u64, options: RunOptions, hosted: &HostedCase<'_>) -> RunResult {
    let command = case.repeat_command(seed);
    let performed = perform_hosted(case, seed, hosted);
    let model = options.model.then(|| hosted.tolerance());
    judged(case, &command, performed.executed, &performed.history, options.trace, model).0
}

impl Capabilities {
    /// The capabilities are unknown, so no case is skipped because of them.
    fn all() -> Self {
        Self {
            versions: vec![Version::V3_1, Version::V3_1_1, Version::V5],
            round_trip: Duration::ZERO,
            subscribing: Duration::ZERO,
            values: Vec::new(),
        }
    }
}

/// The first lines of two transcripts that differ; `None` if the transcripts are equal.
#[must_use]
pub fn firsts_that_differ(one: &Trace, other: &Trace) -> Option<(String, String)> {
    let lines = |trace: &Trace| -> Vec<String> {
        let line = |at_ns: u64, text: String| format!("{:>12.6}s  {text}", at_ns as f64 / 1e9);
        let lines = trace.events.iter().map(TraceEvent::transcript_line);
        lines.map(|of| line(of.at_ns, of.text)).collect()
    };
    let (mut one, mut other) = (lines(one).into_iter(), lines(other).into_iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return None,
            (one, other) if one == other => {}
            (one, other) => {
                let or_end = |line: Option<String>| line.unwrap_or_else(|| "the end".to_owned());
                return Some((or_end(one), or_end(other)));
            }
        }
    }
}
