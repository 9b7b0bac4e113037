//! Waits for arrivals and reports that lines expect, and takes them.

use core::time::Duration;

use mqttspec_codec::{Packet, Role};
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::HostIndex;
use mqttspec_notation::{PacketType, Report};

use super::blame::{blame_extra, silence, unproved};
use super::clients::Taken;
use super::clock::{Tolerance, Window};
use super::matcher::{Expected, Match};
use super::patterns::bare;
use super::sequence::asked_code;
use super::{Executor, Flow};
use crate::found::{Deviated, SetUp, Stop, waited};
use crate::recorder::{Arrival, Arrived, strongest};

impl Executor<'_> {
    /// Waits until the expectation of a line is met. Returns the packet, if one was expected.
    pub(crate) async fn expect(
        &mut self,
        host: HostIndex,
        expected: &Expected,
        window: Window,
    ) -> Result<Option<Packet>, Stop> {
        match expected {
            Expected::Packet(_)
            | Expected::Raw(_)
            | Expected::Closed(_)
            | Expected::Offering(_)
            | Expected::Selecting(_) => {
                let Some((_, arrival)) = self.arrival(&[host], window.until, expected.awaits_connect()).await
                else {
                    let text = self.script.hosts.directed(host, &expected.text());
                    let found = self.nothing_arrived(&[host], &text, window);
                    return Err(silence(found, &[expected.owed()]).into());
                };
                let packet = self.accept(host, expected, &arrival, window).await?;
                if let (Expected::Closed(_), Some(_)) = (expected, &packet) {
                    // The packet may arrive before the end, not instead of it.
                    let end = Expected::Closed(Vec::new());
                    return Box::pin(self.expect(host, &end, window)).await;
                }
                Ok(packet)
            }
            Expected::Nothing(lasting) => self.prove_nothing(host, *lasting, window).await.map(|()| None),
            Expected::Anything => {
                self.inboxes.ignore(host);
                Ok(None)
            }
            Expected::Told(report) => self.told(host, report, window).await.map(|()| None),
        }
    }

    /// The oldest arrival on any of the hosts that no line has taken. It is not taken. `None` if
    /// the time is over, or if nothing can arrive.
    pub(crate) async fn arrival(
        &self,
        hosts: &[HostIndex],
        until: Duration,
        connect: bool,
    ) -> Option<(HostIndex, Arrival)> {
        loop {
            if let Some(oldest) = self.inboxes.oldest(hosts, connect) {
                return (oldest.1.at <= until).then_some(oldest);
            }
            if self.clock.now() > until || !self.inboxes.can_arrive(hosts) {
                return None;
            }
            self.clock.wait_for_change(until).await;
        }
    }

    /// Takes an arrival, if it matches the expectation and is not too early.
    pub(crate) async fn accept(
        &mut self,
        host: HostIndex,
        expected: &Expected,
        arrival: &Arrival,
        window: Window,
    ) -> Result<Option<Packet>, Stop> {
        let claimed = self.recorder.claimed();
        let matched = self.compare(&claimed, expected, arrival)?;
        if matched != Match::Equal {
            let text = self.script.hosts.directed(host, &expected.text());
            let found = self.unlike(&text, arrival, &matched);
            let found = self.blame(found, host, expected, arrival, window.until).await?;
            return Err(match lower_grant(expected, &arrival.what) {
                Some(reason) if found.requirements.is_empty() => {
                    Stop::SetUp(SetUp { reason, timing_sensitive: false })
                }
                _ => found.into(),
            });
        }
        if let Some(from) = window.from
            && arrival.at < from
        {
            let text = arrival.what.text(self.script.version());
            let early = format!("{text} after {:?}", arrival.at.saturating_sub(window.start));
            let expected = format!("{} not before {:?}", expected.text(), from.saturating_sub(window.start));
            let found = self.recorder.found(expected, early, Some(arrival.event));
            return Err(Finding { timing_sensitive: true, ..found }.into());
        }
        if let Some(by) = window.deviation(arrival.at) {
            self.findings.deviations.push(Deviated { line: self.recorder.line(), by });
        }
        self.inboxes.take(host, arrival);
        self.clock.done(arrival.at);
        match &arrival.what {
            Arrived::Packet(packet) => {
                self.wire.received(host, packet);
                Ok(Some(packet.clone()))
            }
            Arrived::Malformed(_) | Arrived::TextFrame | Arrived::Handshake(_) | Arrived::Ended(_) => {
                Ok(None)
            }
        }
    }

    /// The finding for an arrival that does not match.
    pub(crate) fn unlike(&self, expected: &str, arrival: &Arrival, matched: &Match) -> Finding {
        let text = arrival.what.text(self.script.version());
        let (actual, nearly) = match matched {
            Match::Differs { expected, actual } => {
                let nearly = nearly(&arrival.what, expected, actual);
                (format!("{text}\n({actual} instead of {expected})"), nearly)
            }
            Match::Equal | Match::Other => (text, None),
        };
        Finding { nearly, ..self.recorder.found(expected, actual, Some(arrival.event)) }
    }

    /// The finding for an expectation for which nothing arrived.
    pub(crate) fn nothing_arrived(&self, hosts: &[HostIndex], expected: &str, window: Window) -> Finding {
        let waited = waited(window.until.saturating_sub(window.start));
        let actual = match hosts {
            [_] if !self.inboxes.can_arrive(hosts) => "nothing: there is no Network Connection".to_owned(),
            _ if window.late().is_zero() => format!("nothing within {waited:?}"),
            _ => format!("nothing within {waited:?}, of which {:?} are tolerance", window.late()),
        };
        self.recorder.found(expected, actual, None)
    }

    async fn prove_nothing(&mut self, host: HostIndex, lasting: Option<Duration>, window: Window) -> Flow {
        let proved = self.prove_nothing_at(host, lasting, window).await;
        // What comes next counts from the time of the scenario, not from an earlier one that the
        // tolerance allows.
        if let Some(time) = window.scenario_time() {
            self.clock.done(time);
        }
        proved
    }

    async fn prove_nothing_at(&mut self, host: HostIndex, lasting: Option<Duration>, window: Window) -> Flow {
        if let Some(from) = window.from {
            self.clock.until(from).await;
        }
        let silence = match (lasting, self.script.hosts.observer()) {
            (Some(lasting), _) => Some(lasting),
            (None, Role::Server) => Some(self.clock.timeouts.silence),
            (None, Role::Client) => None,
        };
        if let Some(silence) = silence {
            self.clock.until(self.clock.done_at() + silence).await;
            return match self.inboxes.first_packet(host) {
                Some(arrival) => {
                    let found = self.unexpected(host, &Expected::Nothing(lasting).text(), &arrival);
                    Err(blame_extra(found, &arrival).into())
                }
                None => Ok(()),
            };
        }
        if !self.wire.is_connected(host) {
            return Err(Stop::broken("`nothing` needs a Network Connection to send its PINGREQ on"));
        }
        self.wire.send_packet(host, Packet::PingReq)?;
        self.clock.done_now();
        let start = self.clock.done_at();
        let until = start + self.clock.timeouts.patience;
        let window = Window { start, from: None, until, tolerance: Tolerance::default() };
        match self.arrival(&[host], window.until, false).await {
            Some((_, arrival)) if matches!(arrival.what, Arrived::Packet(Packet::PingResp)) => {
                let answer = Expected::Packet(bare(PacketType::PingResp));
                self.accept(host, &answer, &arrival, window).await.map(drop)
            }
            Some((_, arrival)) => {
                let expected = "nothing (but the PINGRESP that proves it)";
                let found = self.unexpected(host, expected, &arrival);
                let answer = Expected::Packet(bare(PacketType::PingResp));
                let is_extra = self.comes_soon(host, &answer, &[], &arrival, window.until).await?;
                Err(if is_extra { blame_extra(found, &arrival) } else { unproved(found) }.into())
            }
            None => {
                let expected = self.script.hosts.directed(host, "PINGRESP (in proof of nothing)");
                Err(unproved(self.nothing_arrived(&[host], &expected, window)).into())
            }
        }
    }

    /// The finding for an arrival that no line expects.
    fn unexpected(&self, host: HostIndex, expected: &str, arrival: &Arrival) -> Finding {
        let expected = self.script.hosts.directed(host, expected);
        let actual = arrival.what.text(self.script.version());
        Finding { timing_sensitive: true, ..self.recorder.found(expected, actual, Some(arrival.event)) }
    }

    /// Waits until the client makes this report.
    async fn told(&mut self, host: HostIndex, report: &Report, window: Window) -> Flow {
        // A message that differs is in the way if the expected one comes soon after it.
        let mut soon = window.until;
        loop {
            match self.clients.take_told(host, report, &mut self.matcher)? {
                Taken::At(at) => {
                    if let Some(from) = window.from.filter(|from| at < *from) {
                        let expected = format!("it is told not before {from:?}");
                        let actual = format!("it was told at {at:?}");
                        return Err(self.recorder.found(expected, actual, None).into());
                    }
                    if at <= window.until {
                        self.clock.done(at);
                        return Ok(());
                    }
                }
                Taken::Another(another) => {
                    soon = soon.min(self.clock.now() + self.clock.timeouts.silence);
                    if another.comes || self.clock.now() >= soon {
                        return Err(another.blamed().into());
                    }
                }
                Taken::Nothing => {}
            }
            if self.clock.now() > window.until {
                return Err(self.clients.not_told(host, report, window).into());
            }
            self.clock.wait_for_change(soon).await;
        }
    }

    /// Checks at the end of the scenario that no packet and no message is left that no line
    /// expects.
    pub(crate) fn nothing_left_over(&self) -> Flow {
        self.script.hosts.indices().try_for_each(|host| self.nothing_left_on(host))?;
        match self.clients.left_over(&self.script) {
            Some((host, found)) => Err(self.left_over(&host, Finding { timing_sensitive: true, ..found })),
            None => Ok(()),
        }
    }

    /// Checks that no packet is left on the newest connection of a host, unless the scenario ended
    /// it.
    pub(crate) fn nothing_left_on(&self, host: HostIndex) -> Flow {
        match self.inboxes.left_over(host) {
            Some(arrival) => {
                let found = self.unexpected(host, "nothing that no line expects", &arrival);
                Err(self.left_over(self.script.hosts.name(host), found))
            }
            None => Ok(()),
        }
    }

    /// The finding for an arrival that no line expects cites the clauses of `nothing more`, not
    /// those of the current line.
    fn left_over(&self, host: &str, found: Finding) -> Stop {
        let requirements = self.claims.nothing_more(host).to_vec();
        let level = strongest(&requirements);
        Finding { check: Check::LeftOver, level, requirements, ..found }.into()
    }
}

/// Reports a near miss: the peer refused or closed as required, and only the Reason Code differs.
fn nearly(arrived: &Arrived, expected: &str, actual: &str) -> Option<String> {
    let what = match arrived {
        Arrived::Packet(Packet::ConnAck(connack)) if connack.reason.is_failure() => "refused",
        Arrived::Packet(Packet::Disconnect(disconnect)) if disconnect.reason.is_failure() => "closed",
        _ => return None,
    };
    let by_reason = expected.starts_with("reason=") && actual.starts_with("reason=");
    by_reason.then(|| format!("{what} as required, with {actual} in place of {expected}"))
}

/// In words, if a Server granted less than a Subscription asked for, as it may: MQTT 5.0 and 3.1.1
/// §3.8.4, §3.9.3.
fn lower_grant(expected: &Expected, arrived: &Arrived) -> Option<String> {
    let (Expected::Packet(pattern), Arrived::Packet(Packet::SubAck(suback))) = (expected, arrived) else {
        return None;
    };
    let granted = suback.reasons.iter().map(|reason| u8::from(*reason));
    let needed = pattern.reasons.iter().flatten().map(asked_code);
    needed.zip(granted).find_map(|(needed, granted)| match needed? {
        needed @ 0..=2 if granted < needed => {
            Some(format!("granted QoS {granted}; the scenario needs {needed}"))
        }
        _ => None,
    })
}
