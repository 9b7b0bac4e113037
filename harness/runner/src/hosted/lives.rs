//! The starts of a hosted peer during one run, how they ended, and what that means for the verdict.

use core::cell::RefCell;
use core::future::{Future, pending};
use core::time::Duration;
use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;

use mqttspec_codec::{Role, Version};
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{History, What, nanoseconds};
use mqttspec_notation::FaultKind;
use mqttspec_spec::Level;
use mqttspec_turmoil::{HostNet, TurmoilDisk};
use mqttspec_world::{HostContext, RunError};

use super::host::{Asked, Place};
use super::{Host, HostedPeer, Kind, Main, Unsupported, app, panics};
use crate::backend;
use crate::executor::{Executed, Findings};
use crate::found::Stop;
use crate::hosts::SERVER;
use crate::live::client::peer::{Driver, Queue, Stopped, Stops};
use crate::peers::PeerHost;
use crate::peers::client::Application;
use crate::recorder::Recorder;
use crate::run_clock::RunClock;

/// The lives of the peers under test in one run: of a broker, or of all clients.
#[derive(Clone)]
pub(crate) struct Lives {
    pub(super) peer: HostedPeer,
    /// By the names of the hosts.
    pub(super) places: Rc<BTreeMap<String, Place>>,
    pub(super) version: Version,
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
    pub(crate) fn of_probe(broker: &HostedPeer, clock: &RunClock) -> Self {
        let of_run = clock.clone();
        let asked = Rc::new(Asked::about(Vec::new()));
        let place = Place { asked, missing: Vec::new(), needs_disk: false };
        Self {
            peer: broker.clone(),
            places: Rc::new(BTreeMap::from([(SERVER.to_owned(), place)])),
            version: Version::V5,
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

    /// Whether a client under test runs on the host.
    pub(crate) fn has_client(&self, host: &str) -> bool {
        self.peer.role() == Role::Client && self.places.contains_key(host)
    }

    /// The main task of a life of a broker in the simulated world.
    pub(crate) fn start_in_world(
        &self,
        context: &HostContext,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let host = self.host(SERVER, context.net(), context.disk(), context.seed());
        let main = match (&self.peer.0, host) {
            (Kind::World(main), Some(host)) => Some(main(host)),
            _ => None,
        };
        self.clone().live(main)
    }

    /// The main task of a life of a broker in a turmoil simulation.
    pub(crate) fn start_in_turmoil(
        &self,
        host: PeerHost<HostNet, TurmoilDisk>,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let host = self.host(SERVER, host.net, host.disk, host.seed);
        let main = match (&self.peer.0, host) {
            (Kind::Turmoil(main), Some(host)) => Some(main(host)),
            _ => None,
        };
        self.clone().live(main)
    }

    /// The main task of a life of a client. With `connects`, it connects without a line that says so.
    pub(crate) fn start_client(
        &self,
        context: &HostContext,
        name: &str,
        application: Rc<Application>,
        connects: bool,
    ) -> impl Future<Output = Result<(), String>> + use<> {
        let (app, other_end) = app::application(self.version);
        let host = self.host(name, context.net(), context.disk(), context.seed());
        let main = match (&self.peer.0, host) {
            (Kind::Client { main, .. }, Some(host)) => Some(main(host, app)),
            _ => None,
        };
        let (commands, given) = Queue::new();
        let stops = Rc::new(Stops::default());
        let driver =
            Driver::new(other_end, self.version, application.clone(), stops.clone(), self.peer.reconnects());
        let lives = self.clone();
        async move {
            application.start(commands, connects);
            let driven = async {
                driver.run(given, Rc::default()).await;
                lives.stopped(stops.take());
                // What the client does after this is not judged.
                pending::<()>().await;
            };
            tokio::select! {
                biased;
                ended = lives.clone().live(main) => ended,
                () = driven => Ok(()),
            }
        }
    }

    fn stopped(&self, stopped: Option<Stopped>) {
        match stopped {
            Some(Stopped::Unsupported(what)) => self.ends.borrow_mut().push(End::Unsupported(what)),
            Some(Stopped::Broken(error)) => self.ended(error.to_string()),
            None => {}
        }
    }

    fn host<N, D>(&self, name: &str, net: N, disk: D, seed: mqttspec_world::Seed) -> Option<Host<N, D>> {
        let asked = self.places.get(name)?.asked.clone();
        Some(Host { net, disk, seed, clock: self.clock.clone(), asked })
    }

    async fn live(self, main: Option<Main>) -> Result<(), String> {
        let Some(main) = main else { return Err("the peer is for another simulation".to_owned()) };
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
        let crashes = self.recorder.with_history(|history| crashes_of(history, &self.places));
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
            RunError::HostPanicked { host, message, at } if self.places.contains_key(&host) => {
                // A task that panicked is not polled again, but what polls it may be.
                let text = panics::take().into_iter().next().map_or(message, |panic| panic.text);
                (format!("it panicked: {text}"), at)
            }
            RunError::Spinning { host, polls, at } if self.places.contains_key(&host) => {
                (format!("it spins: it was polled {polls} times without letting time pass"), at)
            }
            error => return Executed::broken(error.to_string()),
        };
        self.ended_at(how, at);
        Executed { findings: Findings::default(), end: Ok(()) }
    }

    /// Changes the result of a run by what became of the peer.
    pub(crate) fn conclude(&self, executed: &mut Executed) {
        let unsupported = |what: String, reason| {
            let stop = Stop::Unsupported(backend::Unsupported { what, reason });
            Executed { findings: Findings::default(), end: Err(stop) }
        };
        let (name, says_so, no_option, no_disk) = match self.peer.role() {
            Role::Server => (
                "the broker under test",
                "the broker under test says so",
                "the broker under test does not ask for it",
                "the broker under test does not ask for its disk",
            ),
            Role::Client => (
                "the client under test",
                "the client under test says so",
                "the client under test does not ask for it",
                "the client under test does not ask for its disk",
            ),
        };
        if let Some(end) = self.first_end() {
            return match end {
                End::Unsupported(what) => *executed = unsupported(what, says_so),
                End::Ended { how, at, line } => died(executed, name, how, at, line),
            };
        }
        for place in self.places.values() {
            let known = place.asked.known.borrow();
            if let Some((name, value)) = place.missing.iter().find(|(name, _)| !known.contains(name)) {
                *executed = unsupported(format!("the option {name}={value}"), no_option);
                return;
            }
            if place.needs_disk && !place.asked.disk.get() {
                let what = match self.peer.role() {
                    Role::Server => "a crash of the broker that loses nothing",
                    Role::Client => "a crash of the client that loses nothing",
                };
                *executed = unsupported(what.to_owned(), no_disk);
                return;
            }
        }
    }
}

/// The end of the peer is the failure of the run. What was missing after it is its consequence
/// and shows no other error.
fn died(executed: &mut Executed, name: &str, how: String, at: Duration, line: u32) {
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
        expected: format!("{name} runs until the case ends"),
        actual: how,
        nearly: None,
        line,
        at_ns,
        event: None,
        timing_sensitive: false,
    });
}

/// When the scenario crashed a host of the peers under test.
fn crashes_of(history: &History, places: &BTreeMap<String, Place>) -> Vec<u64> {
    let is_crash = |what: &What| match what {
        What::Fault(event) => {
            event.fault.kind == FaultKind::Crash && event.hosts.iter().any(|host| places.contains_key(host))
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
