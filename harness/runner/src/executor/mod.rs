//! The executor: executes the steps of a scenario on a backend, in order.
//!
//! [`Executor`] is a small interpreter over steps. Each of its parts has one job: [`clock`] waits,
//! [`wire`] sends, [`inboxes`] holds arrivals, [`matcher`] compares, [`clients`] commands the
//! clients under test, [`faults`] injects faults.

mod blame;
mod blocks;
mod clients;
mod clock;
mod connection;
mod connections;
mod demands;
mod expect;
mod faults;
mod identifiers;
mod inboxes;
mod lines;
mod matcher;
mod patterns;
mod script;
mod sequence;
mod wire;

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use mqttspec_codec::{Packet, Role};
use mqttspec_judge::Case;
use mqttspec_judge::claims::Claims;
use mqttspec_judge::deliveries::Deliveries;
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{BranchTaken, HostIndex, What, nanoseconds};
use mqttspec_notation::bytes::{patched, raw_bytes};
use mqttspec_notation::{
    self as notation, Action, Branch, Content, Level, PacketPattern, PacketType, Span, Step, StepKind, Timing,
};
use mqttspec_spec::Requirement;
use mqttspec_world::Seed;

use self::clients::{Clients, report_of};
use self::clock::Clock;
use self::connections::Connections;
pub(crate) use self::demands::demands;
use self::faults::{Crashes, Faults};
use self::inboxes::Inboxes;
use self::matcher::{Expected, LineError, Matcher};
use self::script::Script;
use self::sequence::{Move, Moves, Sequence};
use self::wire::Wire;
use crate::backend::Backend;
use crate::found::{Deviated, SetUp, Stop};
use crate::hosts::{Hosts, PlayedBy};
use crate::peers::client::Applications;
use crate::recorder::Recorder;

/// The most steps of a run; each round of a `repeat` counts.
const MAX_STEPS: u32 = 1_000_000;

/// The parts of a run that do not depend on the backend.
pub(crate) struct Setup<'r> {
    pub(crate) case: &'r Case,
    pub(crate) hosts: Rc<Hosts>,
    pub(crate) recorder: Rc<Recorder>,
    pub(crate) applications: Rc<Applications>,
}

/// The results of an execution besides the history.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Findings that did not stop the run.
    pub(crate) found: Vec<Finding>,
    pub(crate) branches: Vec<BranchTaken>,
    pub(crate) marks: Vec<String>,
    pub(crate) drawn: Vec<(String, String)>,
    /// The deliveries of the first events, and the number of those.
    pub(crate) deliveries: Option<(usize, Deliveries)>,
    /// Delivery checks to judge at the end.
    pub(crate) properties: Vec<Property>,
    /// The offsets of the lines that passed.
    pub(crate) passed: BTreeSet<usize>,
    /// The offset of the line at which the run stopped, if it did not reach its end.
    pub(crate) stopped: Option<usize>,
    /// Why the run did not become quiet in time. After that, only delivery checks are judged.
    pub(crate) unquiet: Option<SetUp>,
    /// The run ended while messages were still in transit, so none is lost.
    pub(crate) is_cut_off: bool,
    /// What came earlier or later than the scenario says, within the tolerance.
    pub(crate) deviations: Vec<Deviated>,
    /// The time after which nothing is judged, because the peer under test had ended.
    pub(crate) over: Option<u64>,
}

/// A delivery check of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Property {
    pub(crate) asks: notation::Property,
    pub(crate) line: u32,
    pub(crate) span: Span,
}

/// The result of an execution.
pub(crate) struct Executed {
    pub(crate) findings: Findings,
    pub(crate) end: Flow,
}

impl Executed {
    /// A run that could not be executed to its end.
    pub(crate) fn broken(reason: impl Into<String>) -> Self {
        Self { findings: Findings::default(), end: Err(Stop::broken(reason)) }
    }
}

/// The seed of a run: different for each case, so that neither order nor selection of cases changes
/// a run.
pub(crate) fn run_seed(case: &Case, seed: u64) -> Seed {
    Seed::new(seed).child(&case.seed_name())
}

/// Executes the scenario of a case on a backend. The peers under test run already.
pub(crate) async fn execute(setup: Setup<'_>, backend: Rc<dyn Backend>) -> Executed {
    let recorder = setup.recorder.clone();
    let limit = backend.limit();
    if let Err(unsupported) = backend.supports(&demands(setup.case, &setup.hosts)) {
        return Executed { findings: Findings::default(), end: Err(unsupported.into()) };
    }
    let mut executor = Executor::new(setup, &backend);
    let execution = executor.execute();
    let is_late = async {
        match limit {
            Some(limit) => {
                // Real time, also if the clock of the run is put forward.
                tokio::time::sleep(limit).await;
                limit
            }
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        excess = recorder.exceeded() => {
            Err(Stop::broken(format!("{excess}: the run ended at line {}", recorder.line())))
        }
        end = execution => end,
        limit = is_late => {
            let (line, limit) = (recorder.line(), limit.as_secs());
            Err(Stop::broken(format!("the run did not end within {limit} s: it was at line {line}")))
        }
    };
    if limit.is_some() && end.is_err() {
        // What a live server sent until now arrives, so that the monitors see the same in each run.
        tokio::time::sleep(executor.clock.timeouts.settling * STOPPED).await;
    }
    Executed { findings: executor.findings, end }
}

/// A live run that stops early goes on for this many times the settling time.
const STOPPED: u32 = 10;

/// The interpreter of steps.
struct Executor<'r> {
    script: Script<'r>,
    moves: Moves,
    recorder: Rc<Recorder>,
    clock: Clock,
    wire: Wire,
    inboxes: Inboxes,
    matcher: Matcher,
    clients: Clients,
    faults: Faults,
    claims: Claims,
    findings: Findings,
    steps_taken: u32,
}

type Flow = Result<(), Stop>;
type Pending<'p, T> = Pin<Box<dyn Future<Output = T> + 'p>>;

impl From<LineError> for Stop {
    fn from(error: LineError) -> Self {
        Stop::broken(error.to_string())
    }
}

impl<'r> Executor<'r> {
    fn new(setup: Setup<'r>, backend: &Rc<dyn Backend>) -> Self {
        let Setup { case, hosts, recorder, applications } = setup;
        let version = case.version;
        let (b, r, h) = (|| backend.clone(), || recorder.clone(), || hosts.clone());
        let connections = Connections::new(hosts.clients.len());
        let crashes = Crashes {
            recorder: r(),
            hosts: h(),
            connections: connections.clone(),
            applications: applications.clone(),
        };
        Self {
            script: Script::of(case, h()),
            moves: Moves::default(),
            clock: Clock::new(b(), r()),
            wire: Wire::new(b(), r(), h(), case, connections),
            inboxes: Inboxes::new(r(), h()),
            matcher: Matcher::new(case),
            clients: Clients::new(applications, b(), r(), h(), version),
            faults: Faults::new(b(), crashes),
            recorder: r(),
            claims: Claims::of(case),
            findings: Findings::default(),
            steps_taken: 0,
        }
    }

    /// Executes the scenario, until its end or the first error.
    async fn execute(&mut self) -> Flow {
        if self.script.hosts.plays_server {
            self.wire.serve().await?;
        }
        let scenario = self.script.case.scenario.clone();
        self.steps(&scenario.steps).await?;
        if self.findings.unquiet.is_some() {
            return Ok(());
        }
        self.clock.sleep(self.clock.timeouts.settling).await;
        self.faults.check()?;
        self.nothing_left_over()
    }

    fn steps<'s>(&'s mut self, steps: &'s [Step]) -> Pending<'s, Flow> {
        Box::pin(async move {
            for step in self.script.counting(steps) {
                let done = match self.step(step).await {
                    Ok(()) => self.faults.check(),
                    stopped => stopped,
                };
                if let Err(stop) = done {
                    // The innermost of several blocks sets it first.
                    self.findings.stopped.get_or_insert(step.span.start);
                    return Err(stop);
                }
            }
            Ok(())
        })
    }

    async fn step(&mut self, step: &Step) -> Flow {
        self.steps_taken += 1;
        if self.steps_taken > MAX_STEPS {
            return Err(Stop::broken(format!("the scenario has more than {MAX_STEPS} steps")));
        }
        if self.findings.unquiet.is_some() && !matches!(step.kind, StepKind::Property(_)) {
            return Ok(());
        }
        self.recorder.begin(self.script.line_of(step.span), self.claims.at(step.span));
        self.clock.subscriptions_are_in_force().await;
        match &step.kind {
            StepKind::Line { .. } | StepKind::Told { .. } => {
                self.act(step).await?;
                self.findings.passed.insert(step.span.start);
                Ok(())
            }
            StepKind::Verb { host, action } => {
                if self.script.hosts.is_played_by(host, PlayedBy::Peer) {
                    self.application_does(step, host, action).await?;
                } else {
                    self.act(step).await?;
                }
                self.findings.passed.insert(step.span.start);
                Ok(())
            }
            StepKind::Ask { host, action } => {
                self.pause(step.timing).await;
                self.ask(host, action).await
            }
            StepKind::Fault(fault) => {
                if step.timing == Timing::Usual {
                    self.clock.sent_has_arrived().await;
                }
                self.pause(step.timing).await;
                self.faults.inject(fault, &mut self.clock).await
            }
            StepKind::Wait(time) => {
                self.clock.until(self.clock.done_at() + time.on(false)).await;
                Ok(())
            }
            StepKind::WaitUntil(time) => {
                self.clock.until(time.on(false)).await;
                Ok(())
            }
            StepKind::WaitForQuiet(time) => self.quiet(time.on(false)).await,
            StepKind::InAnyOrder(steps) => self.in_any_order(steps).await,
            StepKind::Either(branches) => self.either(step, branches).await,
            StepKind::Repeat { times, variable, steps } => {
                for round in 1..=u64::from(*times) {
                    self.matcher.enter();
                    if let Some(variable) = variable {
                        self.matcher.count(variable, round);
                    }
                    self.steps(steps).await?;
                    self.matcher.leave();
                }
                Ok(())
            }
            // A row is a case of its own, so the block is executed once, with the row of the case.
            StepKind::EachRow(steps) => {
                self.matcher.enter();
                self.steps(steps).await?;
                self.matcher.leave();
                Ok(())
            }
            StepKind::Load(load) => {
                self.pause(step.timing).await;
                self.clients.load(load)?;
                self.clock.done_now();
                Ok(())
            }
            StepKind::Sometimes(mark) => {
                self.recorder.record(None, self.recorder.line(), What::MarkReached(mark.clone()));
                if !self.findings.marks.contains(mark) {
                    self.findings.marks.push(mark.clone());
                }
                Ok(())
            }
            StepKind::Property(property) => {
                let (asks, line) = (property.clone(), self.recorder.line());
                self.findings.properties.push(Property { asks, line, span: step.span });
                Ok(())
            }
        }
    }

    async fn either(&mut self, step: &Step, branches: &[Branch]) -> Flow {
        let taken = self.choose(step, branches).await?;
        let branch = &branches[taken];
        let name = |index: usize, branch: &Branch| match &branch.name {
            Some(name) => name.clone(),
            None => ordinal(index + 1),
        };
        let line = self.script.line_of(branch.span);
        let taken_name = name(taken, branch);
        let branch_taken = BranchTaken { line, name: taken_name.clone(), level: branch.level };
        self.recorder.record(None, line, What::BranchTaken(branch_taken.clone()));
        self.findings.branches.push(branch_taken);
        let better = branches.iter().enumerate().find(|(_, other)| other.level == Level::Should);
        if let (Some((index, better)), Level::Must | Level::May) = (better, branch.level)
            && let requirements = recommended(&self.claims.of_branch(better))
            && !requirements.is_empty()
        {
            let found = Finding {
                check: Check::Expectation,
                level: Level::Should,
                requirements,
                expected: format!("the recommended branch: {}", name(index, better)),
                actual: format!("another branch: {taken_name}"),
                nearly: None,
                line: self.script.line_of(better.span),
                at_ns: nanoseconds(self.clock.now()),
                event: None,
                timing_sensitive: true,
            };
            self.findings.found.push(found);
        }
        self.steps(&branch.steps).await
    }

    /// Executes a line, a `told` line, or a verb on a host for which the executor acts.
    async fn act(&mut self, step: &Step) -> Flow {
        let mut sequence = Sequence::of(step, &self.script, &self.matcher, &mut self.moves)?;
        let begins_by_waiting = sequence.awaited().is_some();
        if !begins_by_waiting {
            self.pause(step.timing).await;
        }
        let window = self.clock.window(step.timing);
        let mut first = true;
        loop {
            self.advance(&mut sequence).await?;
            let Some(expected) = sequence.awaited_shared() else { return Ok(()) };
            let window = match step.timing {
                // The limit is for the whole handshake.
                Timing::Within(_) => window,
                _ if first && begins_by_waiting => window,
                _ => self.clock.window(Timing::Usual),
            };
            first = false;
            let packet = self.expect(sequence.host, &expected, window).await?;
            sequence.arrived(packet);
        }
    }

    /// Makes the moves of a sequence up to the next one that must arrive.
    async fn advance(&mut self, sequence: &mut Sequence) -> Flow {
        let host = sequence.host;
        while let Some(next) = sequence.next_move() {
            match next {
                Move::Send(content) => {
                    let packet = self.send(host, &content).await?;
                    self.clock.written().await;
                    sequence.sent(packet);
                }
                Move::SettleSent(expecting) => sequence.settle_sent(&expecting, self.script.version()),
                Move::SettleReceived => {
                    if let Some(acknowledgement) = sequence.settle_received() {
                        self.wire.send_packet(host, acknowledgement)?;
                        self.clock.done_now();
                    }
                    self.clock.written().await;
                }
                Move::Answer(reasons) => sequence.answer(&reasons)?,
                Move::Open => self.dial(host).await?,
                Move::Close => self.close(host),
                Move::Expect(_) => {}
            }
        }
        Ok(())
    }

    /// Sends the content of a line. Returns the packet, if the content is one.
    async fn send(&mut self, host: HostIndex, content: &Content) -> Result<Option<Packet>, Stop> {
        let connects =
            matches!(content, Content::Packet(pattern) if pattern.packet_type == PacketType::Connect);
        if self.script.hosts.observer() == Role::Client && !connects && self.inboxes.ended_unwatched(host) {
            self.clock.done_now();
            return Ok(None);
        }
        let sent = match content {
            Content::Packet(pattern) => {
                self.ready(host, pattern.packet_type == PacketType::Connect).await?;
                self.send_pattern(host, content, pattern)?
            }
            Content::Raw(raw) => {
                self.ready(host, false).await?;
                let bytes = raw_bytes(raw, self.matcher.bindings())
                    .map_err(|error| Stop::broken(error.to_string()))?;
                self.wire.send_bytes(host, content.to_string(), bytes.into())?;
                None
            }
            Content::HandshakeOffering(names) => {
                self.nothing_left_on(host)?;
                self.inboxes.clear(host);
                self.wire.shake_hands(host, names).await?;
                None
            }
            Content::Closed { .. } if self.script.hosts.observer() == Role::Server => {
                self.wire.close(host);
                None
            }
            other => return Err(Stop::broken(format!("`{other}` cannot be sent"))),
        };
        self.clock.done_now();
        Ok(sent)
    }

    /// Sends a packet. Returns `None` for a packet with patches.
    fn send_pattern(
        &mut self,
        host: HostIndex,
        content: &Content,
        pattern: &PacketPattern,
    ) -> Result<Option<Packet>, Stop> {
        let (client_id, id) = (self.script.hosts.name(host), self.wire.free_identifier(host));
        let packet = self.matcher.build(pattern, host, client_id, id)?;
        if pattern.patches.is_empty() {
            self.wire.send(host, packet.clone(), pattern.framing)?;
            return Ok(Some(packet));
        }
        let (whole, version) = (self.wire.encoded(&packet)?, self.script.version());
        let bytes = patched(&whole, pattern.packet_type, version, &pattern.patches, self.matcher.bindings())
            .map_err(|error| Stop::broken(error.to_string()))?;
        self.wire.send_patched(host, &packet, content.to_string(), Bytes::from(bytes), pattern.framing)?;
        Ok(None)
    }

    /// Makes sure that the host has a connection to send on. Opens a new one if there is none or
    /// the last one has ended.
    async fn ready(&mut self, host: HostIndex, connect: bool) -> Flow {
        if self.script.hosts.observer() == Role::Server || self.inboxes.is_usable(host) {
            return Ok(());
        }
        if let (Some(end), false) = (self.inboxes.unseen_end(host), connect) {
            let expected = format!("the Network Connection of {} is open", self.script.hosts.name(host));
            let actual = end.what.text(self.script.version());
            return Err(self.recorder.found(expected, actual, Some(end.event)).into());
        }
        self.nothing_left_on(host)?;
        self.inboxes.clear(host);
        self.dial(host).await
    }

    async fn dial(&mut self, host: HostIndex) -> Flow {
        self.wire.dial(host).await?;
        self.clock.done_now();
        Ok(())
    }

    fn close(&mut self, host: HostIndex) {
        self.wire.close(host);
        self.clock.done_now();
    }

    /// `ask device publish …`: gives the client a command, and does not wait for its effect.
    async fn ask(&mut self, host: &str, action: &Action) -> Flow {
        self.clock.sent_has_arrived().await;
        let asked = self.clients.ask(host, action, &mut self.matcher).await;
        self.clock.done_now();
        asked
    }

    /// A verb on the host of a client: gives the command, and waits for the client's report.
    async fn application_does(&mut self, step: &Step, host: &str, action: &Action) -> Flow {
        let index = self.script.host(host)?;
        let Some(report) = report_of(action)? else { return Ok(()) };
        let window = self.clock.window(step.timing);
        if !matches!(action, Action::Receives { .. }) {
            self.pause(step.timing).await;
            self.ask(host, action).await?;
        }
        self.expect(index, &Expected::Told(report), window).await.map(drop)
    }

    /// Waits until no load runs, every command is done, every client is connected and no
    /// Application Message is in transit.
    async fn quiet(&mut self, longest: Duration) -> Flow {
        let end = self.clock.done_at() + longest;
        let until = self.clock.limit().map_or(end, |limit| end.min(limit));
        // The length of the history at which a message was undelivered. While it is the same, the
        // check need not be repeated.
        let mut undelivered = None;
        loop {
            let busy = self.clients.busy(self.clock.timeouts.quiet);
            if busy.is_none() {
                let length = self.recorder.with_history(|history| history.events().len());
                if undelivered != Some(length) {
                    let deliveries = self.clients.deliveries();
                    if deliveries.all_arrived() {
                        self.findings.deliveries = Some((length, deliveries));
                        break;
                    }
                }
                undelivered = Some(length);
            }
            let is_over = self.clock.now() >= until;
            if is_over || self.come_to_rest() {
                // The delivery checks judge messages that were not delivered by now.
                let Some(busy) = busy else { break };
                let found = self.recorder.found(format!("quiet within {longest:?}"), busy, None);
                self.findings.unquiet = Some(found.into());
                // On a live server, time may have run out while messages were still in transit. And
                // no client under test has to connect again.
                self.findings.is_cut_off = is_over && until < end
                    || self.script.hosts.serves_tested_clients() && self.clients.has_left();
                break;
            }
            self.clock.sleep(Duration::from_millis(200)).await;
        }
        if self.script.hosts.serves_tested_clients()
            && let Some(reason) = self.clients.lost_session()
        {
            return Err(Stop::SetUp(SetUp { reason, timing_sensitive: true }));
        }
        self.clock.done_now();
        Ok(())
    }

    /// Whether nothing was sent for so long that nothing more is expected.
    fn come_to_rest(&self) -> bool {
        let rests = |rest: Duration| {
            !self.faults.are_running() && self.clients.rest(rest.max(self.faults.longest_retry()))
        };
        self.clock.timeouts.rest.is_some_and(rests)
    }

    /// Waits for the time of a step that sends or acts, and records a drawn wait.
    async fn pause(&mut self, timing: Timing) {
        if let Some(drawn) = self.clock.pause(timing).await {
            let line = self.recorder.line();
            self.findings.drawn.push((self.script.case.source_line(line), format!("{drawn:?}")));
        }
    }
}

/// The clauses that are no more than recommendations.
fn recommended(shown: &[Requirement]) -> Vec<Requirement> {
    let is_weak = |requirement: &&Requirement| {
        requirement.in_catalogue().is_some_and(|clause| clause.level <= Level::Should)
    };
    shown.iter().filter(is_weak).cloned().collect()
}

fn ordinal(number: usize) -> String {
    match number {
        1 => "1st".to_owned(),
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        other => format!("{other}th"),
    }
}
