//! Gives a scenario the times of a live run. On a live target, waiting takes real time, and a
//! scenario may give other times for it. On a server whose clock is put forward, the times are those
//! of the simulated world.

use core::time::Duration;

use mqttspec_notation::{
    Action, Cell, Content, Fault, Field, PacketPattern, Report, Scenario, Step, StepKind, Test, Time,
    TimeRange, Timing, Value, Version,
};

/// Which of its times a scenario gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// Those for live targets, where it has them.
    Live,
    /// Those of the simulated world.
    Simulated,
}

/// Limits of the waits of a live run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) times: Times,
    /// The longest single wait; `None` for no limit.
    pub(crate) wait: Option<Duration>,
    /// The longest time for which `nothing` is expected. A shorter time finds less, and never
    /// reports a false failure.
    pub(crate) silence: Duration,
    /// How long a message may travel from one Client to another. A silence that was made shorter
    /// lasts this much longer: else what was sent just before it would arrive after it.
    pub(crate) travel: Duration,
}

/// A scenario with live times.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    pub(crate) scenario: Scenario,
    /// The longest single wait.
    pub(crate) longest: Duration,
    /// The sum of all waits: the shortest duration of a run.
    pub(crate) waits: Duration,
    /// The number of lines that are executed: each may take a round trip.
    pub(crate) lines: u32,
    /// The longest time within which something must happen.
    pub(crate) within: Duration,
    /// The part of the waits in which packets are exchanged.
    pub(crate) rounds: Duration,
}

/// Gives a scenario its live times, and sums up its waits in this version.
///
/// # Errors
/// The longest wait, if it exceeds the limit.
pub(crate) fn live(scenario: &Scenario, version: Version, limits: Limits) -> Result<Scheduled, Duration> {
    let mut scenario = scenario.clone();
    let zero = Duration::ZERO;
    let mut adapter =
        Adapter { version, limits, longest: zero, waits: zero, lines: 0, within: zero, rounds: zero };
    adapter.steps(&mut scenario.steps, 1);
    for row in scenario.table.iter_mut().flat_map(|table| &mut table.rows) {
        for cell in &mut row.cells {
            if let Cell::Content(content) = cell {
                adapter.content(content, 0);
            }
        }
    }
    match limits.wait {
        Some(limit) if adapter.longest > limit => Err(adapter.longest),
        _ => {
            let Adapter { longest, waits, lines, within, rounds, .. } = adapter;
            Ok(Scheduled { scenario, longest, waits, lines, within, rounds })
        }
    }
}

/// The shortest duration of one round of `repeat`: a packet and its answer.
const ROUND: Duration = Duration::from_micros(500);

struct Adapter {
    version: Version,
    limits: Limits,
    longest: Duration,
    waits: Duration,
    lines: u32,
    within: Duration,
    rounds: Duration,
}

impl Adapter {
    fn is_live(&self) -> bool {
        self.limits.times == Times::Live
    }

    fn steps(&mut self, steps: &mut [Step], times: u32) {
        for step in steps {
            let counts = if step.versions.applies_to(self.version) { times } else { 0 };
            self.step(step, counts);
        }
    }

    fn step(&mut self, step: &mut Step, times: u32) {
        self.lines = self.lines.saturating_add(times);
        match &mut step.timing {
            Timing::Usual => {}
            Timing::Within(time) => {
                self.time(time, 0);
                if times > 0 {
                    self.within = self.within.max(time.on(false));
                }
            }
            Timing::After(time) | Timing::At(time) => self.time(time, times),
            Timing::Between(range) => self.range(range, times),
        }
        match &mut step.kind {
            StepKind::Line { content, .. } => self.content(content, times),
            StepKind::Verb { action, .. } | StepKind::Ask { action, .. } => self.action(action),
            StepKind::Told { report, .. } => match report {
                Report::Connected(fields) | Report::Disconnected(fields) | Report::Failed(fields) => {
                    self.fields(fields);
                }
                Report::Published { fields, .. }
                | Report::Received { fields, .. }
                | Report::Answered { fields, .. }
                | Report::Delivered { fields, .. }
                | Report::Acknowledged { fields, .. } => self.fields(fields),
                Report::Subscribed(_) | Report::Unsubscribed(_) | Report::Reauthenticated => {}
            },
            StepKind::Fault(fault) => self.fault(fault),
            StepKind::Wait(time) => self.time(time, times),
            StepKind::WaitUntil(time) => self.time(time, times),
            StepKind::WaitForQuiet(time) => self.time(time, 0),
            StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) => self.steps(steps, times),
            StepKind::Repeat { times: rounds, steps, .. } => {
                let rounds = times.saturating_mul(*rounds);
                self.waited(ROUND * rounds, u32::from(rounds > 0));
                self.rounds += ROUND * rounds;
                self.steps(steps, rounds);
            }
            StepKind::Either(branches) => {
                for branch in branches {
                    self.steps(&mut branch.steps, times);
                }
            }
            StepKind::Load(load) => self.time(&mut load.lasting, times),
            StepKind::Sometimes(_) | StepKind::Property(_) => {}
        }
    }

    fn fault(&self, fault: &mut Fault) {
        if let Some(lasting) = &mut fault.lasting {
            *lasting = Time::everywhere(lasting.on(self.is_live()));
        }
        if let mqttspec_notation::FaultKind::Latency(range) = &mut fault.kind {
            *range = TimeRange { simulated: range.on(self.is_live()), live: None };
        }
    }

    fn content(&mut self, content: &mut Content, times: u32) {
        match content {
            Content::Packet(pattern) => self.pattern(pattern),
            Content::Closed { or } => or.iter_mut().for_each(|pattern| self.pattern(pattern)),
            Content::Nothing { lasting: Some(time) } => {
                let lasting = if self.is_live() {
                    let watched = time.live.unwrap_or_else(|| time.simulated.min(self.limits.silence));
                    // The time that a message travels makes a case no slower than its other lines do.
                    self.waited(watched, times);
                    let shortened = watched.saturating_add(self.limits.travel);
                    time.live.unwrap_or_else(|| time.simulated.min(shortened))
                } else {
                    self.waited(time.simulated, times);
                    time.simulated
                };
                *time = Time::everywhere(lasting);
            }
            Content::Nothing { lasting: None }
            | Content::Raw(_)
            | Content::Anything
            | Content::HandshakeOffering(_)
            | Content::HandshakeSelecting(_)
            | Content::Column(_) => {}
        }
    }

    fn action(&self, action: &mut Action) {
        match action {
            Action::Connects { fields, expecting } => {
                self.fields(fields);
                self.fields(expecting);
            }
            Action::Subscribes { subscriptions, fields, .. } => {
                subscriptions.iter_mut().for_each(|subscription| self.fields(&mut subscription.options));
                self.fields(fields);
            }
            Action::Publishes { fields, expecting, .. } => {
                self.fields(fields);
                self.fields(expecting);
            }
            Action::Unsubscribes { fields, .. }
            | Action::Receives { fields, .. }
            | Action::Requests { fields, .. }
            | Action::Delivers { fields, .. }
            | Action::Acknowledges { fields, .. }
            | Action::Disconnects { fields } => {
                self.fields(fields);
            }
            Action::Opens | Action::Pings | Action::Reauthenticates | Action::Closes => {}
        }
    }

    fn pattern(&self, pattern: &mut PacketPattern) {
        self.fields(&mut pattern.fields);
        pattern.subscriptions.iter_mut().for_each(|subscription| self.fields(&mut subscription.options));
    }

    fn fields(&self, fields: &mut [Field]) {
        for field in fields {
            if let Some(live) = field.live.take().filter(|_| self.is_live()) {
                field.test = Test::Equal(Value::Number(live));
            }
            if let Test::Equal(Value::Fields(inner)) = &mut field.test {
                self.fields(inner);
            }
        }
    }

    /// `times` is the number of waits of this duration; 0 if the time is only an upper limit.
    fn time(&mut self, time: &mut Time, times: u32) {
        *time = Time::everywhere(time.on(self.is_live()));
        self.waited(time.simulated, times);
    }

    fn range(&mut self, range: &mut TimeRange, times: u32) {
        *range = TimeRange { simulated: range.on(self.is_live()), live: None };
        self.waited(range.simulated.0, times);
    }

    fn waited(&mut self, duration: Duration, times: u32) {
        if times > 0 {
            self.longest = self.longest.max(duration);
            self.waits += duration.saturating_mul(times);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqttspec_notation::{CatalogueClauses, read};

    const HEADER: &str = "title    t\nclauses  [5] MQTT-3.1.2-5 [3.1.1] MQTT-3.1.2-5\nversions 3.1.1 5\n\n";

    fn scenario(body: &str) -> Scenario {
        let text = format!("{HEADER}{body}");
        match read("t.mqtt", &text, &CatalogueClauses) {
            Ok((scenario, _)) => scenario,
            Err(diagnostics) => panic!("{}", diagnostics.plain()),
        }
    }

    fn limits(wait: u64) -> Limits {
        Limits {
            times: Times::Live,
            wait: Some(Duration::from_secs(wait)),
            silence: Duration::from_secs(1),
            travel: Duration::ZERO,
        }
    }

    fn adapted(body: &str, wait: u64) -> Result<String, Duration> {
        adapted_to(body, limits(wait))
    }

    fn adapted_to(body: &str, limits: Limits) -> Result<String, Duration> {
        let scheduled = live(&scenario(body), Version::V5, limits)?;
        Ok(scheduled.scenario.to_string().split_once("\n\n").unwrap().1.to_owned())
    }

    #[test]
    fn live_times_and_numbers_replace_the_simulated_ones() {
        let text = adapted(
            "a connects keep_alive=10 [live 2]\nafter 14.9s [live 2.9s] a < nothing\nwait 1h [live 3s]\n",
            5,
        );
        assert_eq!(text.unwrap(), "a connects keep_alive=2\nafter 2.9s a < nothing\nwait 3s\n");
    }

    #[test]
    fn simulated_times_stay() {
        let body = "a connects keep_alive=10 [live 2]\nafter 14.9s [live 2.9s] a < nothing for 60s\n";
        let simulated = Limits { times: Times::Simulated, ..limits(60) };
        let scheduled = live(&scenario(body), Version::V5, simulated).unwrap();
        let text = scheduled.scenario.to_string().split_once("\n\n").unwrap().1.to_owned();
        assert_eq!(text, "a connects keep_alive=10\nafter 14.9s a < nothing for 60s\n");
        assert_eq!(scheduled.longest, Duration::from_secs(60));
    }

    #[test]
    fn a_long_silence_is_watched_for_a_shorter_time() {
        let text = adapted(
            "a connects\na < nothing for 60s\na < nothing for 60s [live 2s]\na < nothing for 20ms\n",
            5,
        );
        assert_eq!(
            text.unwrap(),
            "a connects\na < nothing for 1s\na < nothing for 2s\na < nothing for 20ms\n"
        );
    }

    #[test]
    fn a_shortened_silence_is_longer_than_a_message_travels() {
        let slow = Limits { travel: Duration::from_millis(1200), ..limits(5) };
        let text = adapted_to(
            "a connects\na < nothing for 60s\na < nothing for 60s [live 2s]\na < nothing for 20ms\n",
            slow,
        );
        assert_eq!(
            text.unwrap(),
            "a connects\na < nothing for 2.2s\na < nothing for 2s\na < nothing for 20ms\n"
        );
    }

    #[test]
    fn a_wait_above_the_limit_is_an_error() {
        assert_eq!(adapted("a connects\nwait 20s\na pings\n", 5), Err(Duration::from_secs(20)));
        assert_eq!(
            adapted("a connects\nat 90s a > PINGREQ\na < PINGRESP\n", 5),
            Err(Duration::from_secs(90))
        );
        // An upper limit is not a wait.
        assert!(adapted("a connects\na > PINGREQ\nwithin 600s a < PINGRESP\n", 5).is_ok());
    }

    #[test]
    fn waits_of_other_versions_do_not_count() {
        assert!(adapted("a connects\n[3.1.1] wait 600s\na pings\n", 5).is_ok());
    }
}
