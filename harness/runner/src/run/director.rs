//! The director: executes the steps of a scenario in order.

use core::time::Duration;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use mqttspec_codec::{Role, Version};

use super::applications::Applications;
use super::cast::{Cast, Part};
use super::connection::Connection;
use super::found::Stop;
use super::ground::{Ground, Pace};
use super::identifiers::Identifiers;
use super::lines::Lines;
use super::stage::Stage;
use super::{Case, expect::Window};
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{Lane, What, nanoseconds};
use mqttspec_judge::results::BranchTaken;
use mqttspec_notation::fields::Bindings;
use mqttspec_notation::{Branch, Level, Number, Property, Step, StepKind, Timing, Value};

/// What a run found and drew, besides its history.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Failures after which the run went on.
    pub(crate) found: Vec<Finding>,
    pub(crate) branches: Vec<BranchTaken>,
    pub(crate) marks: Vec<String>,
    pub(crate) drawn: Vec<(String, String)>,
    /// Properties to judge, with their lines.
    pub(crate) properties: Vec<(u32, Property)>,
}

pub(crate) struct Director<'a> {
    pub(crate) case: &'a Case,
    pub(crate) lines: Lines,
    pub(crate) cast: &'a Cast,
    pub(crate) version: Version,
    pub(crate) ground: Ground,
    pub(crate) pace: Pace,
    pub(crate) stage: Rc<Stage>,
    pub(crate) applications: &'a Applications,
    pub(crate) bindings: Bindings,
    /// The connections that the harness plays, by lane. Where it plays the server, they are put there as clients connect.
    pub(crate) connections: super::cast::Connections,
    pub(crate) identifiers: Vec<Identifiers>,
    /// The moment at which the last step was done.
    pub(crate) done_at: Duration,
    /// When the harness last sent something.
    pub(crate) sent_at: Option<Duration>,
    /// The longest latency that a link has had.
    pub(crate) longest_latency: Duration,
    /// How many draws the scenario made, so that each has a stream of its own.
    pub(crate) draws: u64,
    pub(crate) findings: Findings,
}

pub(crate) type Flow = Result<(), Stop>;
type Pending<'p, T> = Pin<Box<dyn Future<Output = T> + 'p>>;

impl Director<'_> {
    /// Executes the whole scenario, to its end or to what stops it.
    pub(crate) async fn perform(&mut self) -> Flow {
        let scenario = self.case.scenario.clone();
        self.steps(&scenario.steps).await?;
        self.ground.sleep(self.pace.settling).await;
        self.nothing_left_over()?;
        self.no_message_left_over()
    }

    pub(crate) fn steps<'s>(&'s mut self, steps: &'s [Step]) -> Pending<'s, Flow> {
        Box::pin(async move {
            for step in steps {
                if step.versions.applies_to(self.case.version) {
                    self.step(step).await?;
                }
            }
            Ok(())
        })
    }

    async fn step(&mut self, step: &Step) -> Flow {
        self.stage.set_line(self.lines.of_span(step.span));
        self.subscriptions_are_in_force().await;
        match &step.kind {
            StepKind::Line { .. } | StepKind::Verb { .. } | StepKind::Told { .. } | StepKind::Ask { .. } => {
                self.act(step).await
            }
            StepKind::Fault(fault) => {
                if step.timing == Timing::Usual {
                    self.sent_has_arrived().await;
                }
                self.pause(step.timing).await;
                self.fault(fault).await
            }
            StepKind::Wait(time) => {
                self.until(self.done_at + time.on(false)).await;
                Ok(())
            }
            StepKind::WaitUntil(time) => {
                self.until(time.on(false)).await;
                Ok(())
            }
            StepKind::WaitForQuiet(time) => self.quiet(time.on(false)).await,
            StepKind::InAnyOrder(steps) => self.in_any_order(steps).await,
            StepKind::Either(branches) => self.either(step, branches).await,
            StepKind::Repeat { times, variable, steps } => {
                for round in 1..=u64::from(*times) {
                    self.bindings.enter();
                    if let Some(variable) = variable {
                        self.bindings.bind(variable, Value::Number(Number::decimal(round)));
                    }
                    self.steps(steps).await?;
                    self.bindings.leave();
                }
                Ok(())
            }
            // A row is a case of its own, so the block is gone through once, with the row of the case.
            StepKind::EachRow(steps) => {
                self.bindings.enter();
                self.steps(steps).await?;
                self.bindings.leave();
                Ok(())
            }
            StepKind::Load(load) => {
                self.pause(step.timing).await;
                self.load(load)
            }
            StepKind::Sometimes(mark) => {
                self.stage.record_world(self.stage.line(), What::Note(format!("reached {mark}")));
                if !self.findings.marks.contains(mark) {
                    self.findings.marks.push(mark.clone());
                }
                Ok(())
            }
            StepKind::Property(property) => {
                self.findings.properties.push((self.stage.line(), property.clone()));
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
        let line = self.lines.of_span(branch.span);
        let taken_name = name(taken, branch);
        self.stage.record_world(line, What::Note(format!("took the branch {taken_name}")));
        self.findings.branches.push(BranchTaken { line, name: taken_name.clone(), level: branch.level });
        let better = branches.iter().enumerate().find(|(_, other)| other.level == Level::Should);
        if let (Some((index, better)), Level::Must | Level::May) = (better, branch.level) {
            let found = Finding {
                check: Check::Expectation,
                level: Level::Should,
                line: self.lines.of_span(better.span),
                expected: format!("the recommended branch: {}", name(index, better)),
                actual: format!("another branch: {taken_name}"),
                nearly: None,
                event: None,
                requirements: self.case.requirements(Level::Should),
                at_ns: nanoseconds(self.stage.now()),
                timing_sensitive: true,
            };
            self.findings.found.push(found);
        }
        self.steps(&branch.steps).await
    }

    /// Waits as the timing of something that is sent or done says.
    pub(crate) async fn pause(&mut self, timing: Timing) {
        let until = match timing {
            Timing::Usual | Timing::Within(_) => return,
            Timing::After(time) => self.done_at + time.on(false),
            Timing::At(time) => time.on(false),
            Timing::Between(range) => {
                let (least, most) = range.on(false);
                let drawn = self.draw(least, most);
                let line = self.stage.line();
                self.findings.drawn.push((self.case.source_line(line), format!("{drawn:?}")));
                self.done_at + drawn
            }
        };
        self.until(until).await;
    }

    /// The window in which what is expected must come.
    pub(crate) fn window(&self, timing: Timing) -> Window {
        let Pace { patience, early, late, .. } = self.pace;
        let (from, until) = match timing {
            Timing::Usual => (None, self.done_at + patience),
            Timing::Within(time) => (None, self.done_at + time.on(false) + late),
            Timing::After(time) => {
                let from = self.done_at + time.on(false);
                (Some(from), from + patience)
            }
            Timing::At(time) => (Some(time.on(false)), time.on(false) + patience),
            Timing::Between(range) => {
                let (least, most) = range.on(false);
                (Some(self.done_at + least), self.done_at + most + late)
            }
        };
        let from = from.map(|from| from.saturating_sub(early));
        Window { begun: self.done_at, from, until }
    }

    /// Waits until what the harness sent has had the time to arrive: the lines of a transcript happen one after another, also where
    /// the next one does not wait for an answer. A timing says otherwise.
    pub(crate) async fn sent_has_arrived(&mut self) {
        if let Some(sent) = self.sent_at.take() {
            self.until(sent + self.longest_latency + Duration::from_millis(1)).await;
        }
    }

    /// Waits until the Subscriptions that were acknowledged are in force, where the server acknowledges them before they are.
    async fn subscriptions_are_in_force(&mut self) {
        if !self.pace.subscribing.is_zero()
            && let Some(acknowledged) = self.stage.take_subscribed()
        {
            self.until(acknowledged + self.pace.subscribing).await;
        }
    }

    /// Lets the harness's tasks write what was ordered, so that it stands in the history before what comes next.
    pub(crate) async fn written(&mut self) {
        tokio::task::yield_now().await;
        self.sent_at = Some(self.stage.now());
    }

    pub(crate) async fn until(&mut self, time: Duration) {
        self.ground.sleep_until(time).await;
        self.done_now();
    }

    /// The step is done at this moment.
    pub(crate) fn done_now(&mut self) {
        self.done_at = self.done_at.max(self.stage.now());
    }

    pub(crate) fn draw(&mut self, least: Duration, most: Duration) -> Duration {
        self.draws += 1;
        // Whole microseconds read well, and the clock has no finer steps that matter.
        let drawn = self.ground.draw(self.draws, least, most);
        Duration::from_micros(u64::try_from(drawn.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn lane(&self, host: &str) -> Result<Lane, Stop> {
        let lane = self.stage.with_history(|history| history.lane(host));
        lane.ok_or_else(|| Stop::broken(format!("no host is called {host}")))
    }

    pub(crate) fn name(&self, lane: Lane) -> std::sync::Arc<str> {
        self.stage.with_history(|history| history.info(lane).name.clone())
    }

    /// Which end of the connections the harness has.
    pub(crate) fn observer(&self) -> Role {
        if self.cast.plays_server { Role::Server } else { Role::Client }
    }

    pub(crate) fn part(&self, host: &str) -> Part {
        self.cast.part(host)
    }

    pub(crate) fn connection(&self, lane: Lane) -> Option<Connection> {
        self.connections.borrow()[usize::from(lane.0)].clone()
    }

    /// A failure of the line that is executed.
    pub(crate) fn found(
        &self,
        expected: impl Into<String>,
        actual: impl Into<String>,
        event: Option<usize>,
    ) -> Finding {
        let at = event.map_or_else(
            || self.stage.now(),
            |event| self.stage.with_history(|history| history.events()[event].at),
        );
        Finding {
            check: Check::Expectation,
            level: Level::Must,
            line: self.stage.line(),
            expected: expected.into(),
            actual: actual.into(),
            nearly: None,
            event,
            requirements: self.case.requirements(Level::Must),
            at_ns: nanoseconds(at),
            timing_sensitive: event.is_none(),
        }
    }
}

fn ordinal(number: usize) -> String {
    match number {
        1 => "1st".to_owned(),
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        other => format!("{other}th"),
    }
}
