//! A broker under test: what the probes found, and the runs of its cases.

use core::time::Duration;

use mqttspec_codec::Version;
use mqttspec_judge::Case;
use mqttspec_judge::results::{CaseResult, RunResult, Target, TargetKind};
use mqttspec_judge::trace::{Trace, TraceEvent};

use crate::hosted::{HostedBroker, HostedCase};
use crate::judging::judged;
use crate::live::case_run::skipped;
use crate::live::placing::Placing;
use crate::live::probes::Capabilities;
use crate::live::schedule::Limits;
use crate::live::target_file::TargetFile;
use crate::run::{RunOptions, refusal_of};
use crate::simulated::{perform_hosted, probe_hosted};
use crate::suite::{SuiteOptions, run_case_on};

/// A broker under test, and what it can do.
#[derive(Debug)]
pub struct HostedTarget {
    name: String,
    broker: HostedBroker,
    capabilities: Capabilities,
    /// How much later than the scenario says something may come.
    late: Duration,
    settings: TargetFile,
}

/// How much later than a scenario says a broker may act by default.
const LATE: Duration = Duration::from_secs(7);

impl HostedTarget {
    /// Starts the broker in a simulation and finds out what it can do. The error says why it could
    /// not be asked; then it is taken to be able to do everything.
    pub fn probe(name: String, broker: HostedBroker) -> (Self, Result<(), String>) {
        let (capabilities, contact) = match probe_hosted(&broker) {
            Ok(capabilities) => (capabilities, Ok(())),
            Err(reason) => (Capabilities::all(), Err(reason)),
        };
        let late = LATE;
        // Whether it keeps its records over a crash shows when it runs.
        let settings = TargetFile { durable: true, ..TargetFile::default() };
        (Self { name, broker, capabilities, late, settings }, contact)
    }

    /// Sets how much later than a scenario says the broker may act. The default is 7 s:
    /// many look at their timers once in some seconds.
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

    /// What a case needs of the broker, or why it is skipped.
    fn needs(&self, case: &Case) -> Result<HostedCase<'_>, String> {
        let placing = Placing {
            capabilities: &self.capabilities,
            target_file: &self.settings,
            starts: true,
            limits: Limits { wait: None, silence: Duration::MAX },
            has_credentials: false,
            quick: false,
        };
        placing.needs(case)?;
        if let Some(refusal) = refusal_of(case, self.broker.simulator()) {
            return Err(refusal);
        }
        let missing = placing.missing_options(case);
        let subscribing = self.capabilities.subscribing;
        Ok(HostedCase { broker: &self.broker, late: self.late, subscribing, missing })
    }
}

fn run(case: &Case, seed: u64, options: RunOptions, hosted: &HostedCase<'_>) -> RunResult {
    let command = case.repeat_command(seed);
    let performed = perform_hosted(case, seed, hosted);
    judged(case, &command, performed.executed, &performed.history, options.trace).0
}

impl Capabilities {
    /// Nothing is known, so nothing is missing.
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
