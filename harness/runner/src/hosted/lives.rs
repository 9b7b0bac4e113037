//! The starts of a hosted peer during one run, how they ended, and what that means for the verdict.

use core::cell::RefCell;
use core::time::Duration;
use std::error::Error;
use std::future::Future;
use std::rc::Rc;

use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{History, What, nanoseconds};
use mqttspec_notation::FaultKind;
use mqttspec_spec::Level;
use mqttspec_turmoil::{HostNet, TurmoilDisk};
use mqttspec_world::{HostContext, RunError};

use super::host::Asked;
use super::{Host, HostedBroker, Kind, Main, Unsupported, panics};
use crate::backend;
use crate::executor::{Executed, Findings};
use crate::found::Stop;
use crate::hosts::SERVER;
use crate::peers::PeerHost;
use crate::recorder::Recorder;
use crate::run_clock::RunClock;

/// The lives of the broker under test in one run.
#[derive(Clone)]
pub(crate) struct Lives {
    pub(super) broker: HostedBroker,
    pub(super) asked: Rc<Asked>,
    /// The options that the broker must ask for, or the case is skipped.
    pub(super) missing: Rc<[(String, String)]>,
    /// Whether the case is skipped unless the broker asks for its disk.
    pub(super) needs_disk: bool,
    pub(super) clock: RunClock,
    pub(super) recorder: Rc<Recorder>,
    /// In the order of time.
    pub(super) ends: Rc<RefCell<Vec<End>>>,
}

/// How a life ended, other than by a fault of the scenario.
#[derive(Debug)]
pub(super) enum End {
    /// The peer cannot do what the scenario asks for.
    Unsupported(String),
    /// It returned, returned an error, panicked or did not let time pass.
    Ended { how: String, at: Duration, line: u32 },
}

impl Lives {
    /// The lives of a broker that is asked what it can do.
    pub(crate) fn of_probe(broker: &HostedBroker, clock: &RunClock) -> Self {
        let of_run = clock.clone();
        Self {
            broker: broker.clone(),
            asked: Rc::new(Asked::about(Vec::new())),
            missing: Rc::new([]),
            needs_disk: false,
            clock: clock.clone(),
            recorder: Rc::new(Recorder::new(Vec::new(), move || of_run.now())),
            ends: Rc::default(),
        }
    }

    /// The answer of a broker that was asked what it can do, or how it ended.
    pub(crate) fn probed<T>(&self, answer: Result<T, String>) -> Result<T, String> {
        match self.first_end() {
            None => answer,
            Some(End::Unsupported(what)) => {
                Err(format!("{what} is not supported, and nothing was asked for"))
            }
            Some(End::Ended { how, at, .. }) => Err(format!("after {at:?} {how}")),
        }
    }

    /// The main task of a life in the simulated world.
    pub(crate) fn start_in_world(
        &self,
        context: &HostContext,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let main = match &self.broker.0 {
            Kind::World(main) => Some(main(self.host(context.net(), context.disk(), context.seed()))),
            Kind::Turmoil(_) => None,
        };
        self.clone().live(main)
    }

    /// The main task of a life in a turmoil simulation.
    pub(crate) fn start_in_turmoil(
        &self,
        host: PeerHost<HostNet, TurmoilDisk>,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let main = match &self.broker.0 {
            Kind::Turmoil(main) => Some(main(self.host(host.net, host.disk, host.seed))),
            Kind::World(_) => None,
        };
        self.clone().live(main)
    }

    fn host<N, D>(&self, net: N, disk: D, seed: mqttspec_world::Seed) -> Host<N, D> {
        Host { net, disk, seed, clock: self.clock.clone(), asked: self.asked.clone() }
    }

    async fn live(self, main: Option<Main>) -> Result<(), String> {
        let Some(main) = main else { return Err("the broker is for another simulation".to_owned()) };
        let ended = main.await;
        match ended {
            Ok(()) => self.ended("its main task returned, which ends its process".to_owned()),
            Err(error) => match error.downcast_ref::<Unsupported>() {
                Some(unsupported) => {
                    self.ends.borrow_mut().push(End::Unsupported(unsupported.what.clone()));
                }
                None => self.ended(format!("its main task returned an error: {}", chain(&*error))),
            },
        }
        Ok(())
    }

    /// The first end that the peer itself caused.
    fn first_end(&self) -> Option<End> {
        for panic in panics::take() {
            self.ended_at(format!("a task of it panicked: {}", panic.text), panic.at);
        }
        let crashes = self.recorder.with_history(crashes_of_server);
        self.ends.take().into_iter().find(|end| match end {
            End::Unsupported(_) => true,
            // A process that finds its disk dead ends in the instant in which its machine does.
            End::Ended { at, .. } => !crashes.contains(&nanoseconds(*at)),
        })
    }

    fn ended(&self, how: String) {
        self.ended_at(how, self.clock.now());
    }

    fn ended_at(&self, how: String, at: Duration) {
        let line = self.recorder.line();
        self.ends.borrow_mut().push(End::Ended { how, at, line });
    }

    /// What a run is worth that the world broke off.
    pub(crate) fn failed_in_world(&self, error: RunError) -> Executed {
        let (how, at) = match error {
            RunError::HostPanicked { host, message, at } if host == SERVER => {
                let text = panics::take().pop().map_or(message, |panic| panic.text);
                (format!("it panicked: {text}"), at)
            }
            RunError::Spinning { host, polls, at } if host == SERVER => {
                (format!("it spins: it was polled {polls} times without letting time pass"), at)
            }
            error => return Executed::broken(error.to_string()),
        };
        self.ended_at(how, at);
        Executed { findings: Findings::default(), end: Ok(()) }
    }

    /// Changes the result of a run by what became of the broker.
    pub(crate) fn conclude(&self, executed: &mut Executed) {
        let unsupported = |what: String, reason| {
            let stop = Stop::Unsupported(backend::Unsupported { what, reason });
            Executed { findings: Findings::default(), end: Err(stop) }
        };
        let known = self.asked.known.borrow();
        let not_asked = self.missing.iter().find(|(name, _)| !known.contains(name));
        match self.first_end() {
            Some(End::Unsupported(what)) => {
                *executed = unsupported(what, "the broker under test says so");
            }
            Some(End::Ended { how, at, line }) => died(executed, how, at, line),
            None if let Some((name, value)) = not_asked => {
                let what = format!("the option {name}={value}");
                *executed = unsupported(what, "the broker under test does not ask for it");
            }
            None if self.needs_disk && !self.asked.disk.get() => {
                let what = "a crash of the broker that loses nothing".to_owned();
                *executed = unsupported(what, "the broker under test does not ask for its disk");
            }
            None => {}
        }
    }
}

/// The end of the broker is the failure of the run. What was missing after it is its consequence
/// and shows no other error.
fn died(executed: &mut Executed, how: String, at: Duration, line: u32) {
    let at_ns = nanoseconds(at);
    let findings = &mut executed.findings;
    let end = std::mem::replace(&mut executed.end, Ok(()));
    if let Err(Stop::Finding(finding)) = end {
        findings.found.push(*finding);
    }
    findings.found.retain(|finding| finding.at_ns < at_ns);
    findings.properties.clear();
    findings.over = Some(at_ns);
    findings.found.push(Finding {
        check: Check::Peer,
        level: Level::Must,
        requirements: Vec::new(),
        expected: "the broker under test runs until the case ends".to_owned(),
        actual: how,
        nearly: None,
        line,
        at_ns,
        event: None,
        timing_sensitive: false,
    });
}

/// When the scenario crashed the server.
fn crashes_of_server(history: &History) -> Vec<u64> {
    let is_crash = |what: &What| match what {
        What::Fault(event) => {
            event.fault.kind == FaultKind::Crash && event.hosts.iter().any(|host| host == SERVER)
        }
        _ => false,
    };
    history.events().iter().filter(|event| is_crash(&event.what)).map(|event| nanoseconds(event.at)).collect()
}

/// An error and its sources, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
