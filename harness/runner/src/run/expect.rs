//! What is expected of the peer: waiting for what arrives, and comparing it.

use core::time::Duration;

use mqttspec_codec::{Packet, Role};

use super::director::{Director, Flow};
use super::found::{Stop, packet_text};
use super::stage::{Arrival, Arrived};
use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{Ending, Lane, What};
use mqttspec_notation::fields::{Expectation, Mismatch};
use mqttspec_notation::{PacketPattern, PacketType, Report};

/// The two ends of the time in which something must come, counted from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Since when it is waited for.
    pub(crate) begun: Duration,
    /// Not sooner than this.
    pub(crate) from: Option<Duration>,
    /// Not later than this.
    pub(crate) until: Duration,
}

/// What a line expects.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Packet(PacketPattern),
    Closed(Vec<PacketPattern>),
    Nothing(Option<Duration>),
    Anything,
    Told(Report),
}

impl Expected {
    /// In the words of the notation.
    pub(crate) fn text(&self) -> String {
        match self {
            Expected::Packet(pattern) => pattern.to_string(),
            Expected::Closed(or) => {
                let or: String = or.iter().map(|pattern| format!(" or {pattern}")).collect();
                format!("closed{or}")
            }
            Expected::Nothing(None) => "nothing".to_owned(),
            Expected::Nothing(Some(lasting)) => format!("nothing for {lasting:?}"),
            Expected::Anything => "anything".to_owned(),
            Expected::Told(_) => "what the client tells its application".to_owned(),
        }
    }
}

/// Why an arrival is not what a line expects: `None` where the line is wrong itself.
pub(crate) struct Unlike {
    /// What differs, in the notation.
    pub(crate) expected: Option<String>,
    pub(crate) actual: Option<String>,
}

impl Director<'_> {
    /// Waits for what one line expects, and takes it. Gives the packet, if it is one.
    pub(crate) async fn expect(
        &mut self,
        lane: Lane,
        expected: &Expected,
        window: Window,
    ) -> Result<Option<Packet>, Stop> {
        match expected {
            Expected::Packet(_) | Expected::Closed(_) => {
                let Some((_, arrival)) = self.arrival(&[lane], window.until, expected.awaits_connect()).await
                else {
                    let expected = self.directed(lane, &expected.text());
                    return Err(self.nothing_came(&[lane], &expected, window).into());
                };
                let packet = self.accept(lane, expected, &arrival, window)?;
                if let (Expected::Closed(_), Some(_)) = (expected, &packet) {
                    // The packet may come before the end, not instead of it.
                    let end = Expected::Closed(Vec::new());
                    return Box::pin(self.expect(lane, &end, window)).await;
                }
                Ok(packet)
            }
            Expected::Nothing(lasting) => self.prove_nothing(lane, *lasting, window).await.map(|()| None),
            Expected::Anything => {
                self.stage.with_lane(lane, |state| state.ignored = true);
                Ok(None)
            }
            Expected::Told(report) => self.told(lane, report, window).await.map(|()| None),
        }
    }

    /// The oldest arrival on any of the lanes that no line has taken; it stays where it is. `None` when the time is over, or when nothing can come.
    pub(crate) async fn arrival(
        &self,
        lanes: &[Lane],
        until: Duration,
        connect: bool,
    ) -> Option<(Lane, Arrival)> {
        loop {
            if let Some(oldest) = self.oldest(lanes, connect) {
                return (oldest.1.at <= until).then_some(oldest);
            }
            if self.stage.now() > until || !self.can_come(lanes) {
                return None;
            }
            self.wait_for_change(until).await;
        }
    }

    /// The oldest arrival on any of the lanes that no line has taken.
    pub(crate) fn oldest(&self, lanes: &[Lane], connect: bool) -> Option<(Lane, Arrival)> {
        let found =
            lanes.iter().filter_map(|lane| self.front(*lane, connect).map(|arrival| (*lane, arrival)));
        found.min_by_key(|(_, arrival)| arrival.event)
    }

    /// Waits until something is recorded, or until it is too late for `until`.
    pub(crate) async fn wait_for_change(&self, until: Duration) {
        // What arrives at the very instant of the deadline is in time: look once more behind it.
        let deadline = until + Duration::from_millis(1);
        tokio::select! {
            () = self.stage.changed() => {}
            () = self.ground.sleep_until(deadline) => {}
        }
    }

    /// Whether anything can still arrive on one of the lanes.
    pub(crate) fn can_come(&self, lanes: &[Lane]) -> bool {
        lanes.iter().any(|lane| self.can_speak(*lane))
    }

    /// Whether anything can still arrive on a lane.
    fn can_speak(&self, lane: Lane) -> bool {
        self.observer() == Role::Server || self.stage.with_lane(lane, |state| state.open)
    }

    /// The first arrival of the lane that counts.
    fn front(&self, lane: Lane, connect: bool) -> Option<Arrival> {
        let dials = self.observer() == Role::Client;
        self.stage.with_lane(lane, |state| {
            loop {
                let front = state.inbox.front()?;
                let skipped = match &front.what {
                    // What was left of the connection before was judged when the harness dialled anew.
                    _ if dials && front.connection < state.number => true,
                    Arrived::Packet(Packet::PingResp) if state.owed_pings > 0 => {
                        state.owed_pings -= 1;
                        true
                    }
                    // A CONNECT begins a new connection, so the one before has ended.
                    Arrived::Ended if connect => true,
                    _ => state.ignored && front.connection == state.number,
                };
                if !skipped {
                    return Some(front.clone());
                }
                state.inbox.pop_front();
            }
        })
    }

    /// Takes an arrival that is what is expected.
    pub(crate) fn accept(
        &mut self,
        lane: Lane,
        expected: &Expected,
        arrival: &Arrival,
        window: Window,
    ) -> Result<Option<Packet>, Stop> {
        match self.compare(expected, arrival)? {
            Ok(()) => {}
            Err(unlike) => {
                let expected = self.directed(lane, &expected.text());
                return Err(self.unlike(&expected, arrival, &unlike).into());
            }
        }
        if let Some(from) = window.from
            && arrival.at < from
        {
            let early =
                format!("{} after {:?}", self.describe(arrival), arrival.at.saturating_sub(window.begun));
            let expected = format!("{} not before {:?}", expected.text(), from.saturating_sub(window.begun));
            return Err(Finding {
                timing_sensitive: true,
                ..self.found(expected, early, Some(arrival.event))
            }
            .into());
        }
        self.stage.with_lane(lane, |state| state.inbox.pop_front());
        self.stage.answered(arrival.event, self.stage.line());
        self.done_at = self.done_at.max(arrival.at);
        match &arrival.what {
            Arrived::Packet(packet) => {
                self.identifiers[usize::from(lane.0)].received(packet);
                Ok(Some(packet.clone()))
            }
            Arrived::Malformed | Arrived::Ended => Ok(None),
        }
    }

    /// Whether an arrival is what is expected; captures take their values if it is.
    ///
    /// # Errors
    /// If the line itself cannot be compared.
    pub(crate) fn compare(
        &mut self,
        expected: &Expected,
        arrival: &Arrival,
    ) -> Result<Result<(), Unlike>, Stop> {
        let other = Ok(Err(Unlike { expected: None, actual: None }));
        match (expected, &arrival.what) {
            (Expected::Closed(_), Arrived::Ended) => Ok(Ok(())),
            (Expected::Packet(pattern), Arrived::Packet(packet)) => self.compare_packet(pattern, packet),
            (Expected::Closed(or), Arrived::Packet(packet)) => {
                for pattern in or {
                    if let Ok(()) = self.compare_packet(pattern, packet)? {
                        return Ok(Ok(()));
                    }
                }
                other
            }
            _ => other,
        }
    }

    fn compare_packet(
        &mut self,
        pattern: &PacketPattern,
        packet: &Packet,
    ) -> Result<Result<(), Unlike>, Stop> {
        let expectation = Expectation { pattern, version: self.version };
        match expectation.accept(packet, &mut self.bindings) {
            Ok(()) => Ok(Ok(())),
            Err(Mismatch::Differs { expected, actual }) => {
                Ok(Err(Unlike { expected: Some(expected), actual: Some(actual) }))
            }
            Err(Mismatch::Unknown(name)) => Err(Stop::broken(format!("`${name}` has no value here"))),
        }
    }

    pub(crate) fn unlike(&self, expected: &str, arrival: &Arrival, unlike: &Unlike) -> Finding {
        let difference = match (&unlike.expected, &unlike.actual) {
            (Some(expected), Some(actual)) => format!("\n({actual} instead of {expected})"),
            _ => String::new(),
        };
        let actual = format!("{}{difference}", self.describe(arrival));
        Finding { nearly: nearly(arrival, unlike), ..self.found(expected, actual, Some(arrival.event)) }
    }

    pub(crate) fn nothing_came(&self, lanes: &[Lane], expected: &str, window: Window) -> Finding {
        let waited = super::found::waited(window.until.saturating_sub(window.begun));
        let actual = match lanes {
            [lane] if !self.can_speak(*lane) => "nothing: there is no Network Connection".to_owned(),
            _ => format!("nothing within {waited:?}"),
        };
        self.found(expected, actual, None)
    }

    /// The line with its host and direction.
    pub(crate) fn directed(&self, lane: Lane, content: &str) -> String {
        let sign = if self.observer() == Role::Client { '<' } else { '>' };
        format!("{} {sign} {content}", self.name(lane))
    }

    /// An arrival in words.
    pub(crate) fn describe(&self, arrival: &Arrival) -> String {
        match &arrival.what {
            Arrived::Packet(packet) => packet_text(packet, self.version),
            Arrived::Malformed => {
                self.stage.with_history(|history| match &history.events()[arrival.event].what {
                    What::ReceivedMalformed { error, .. } => format!("a malformed packet: {error}"),
                    _ => "a malformed packet".to_owned(),
                })
            }
            Arrived::Ended => {
                self.stage.with_history(|history| match &history.events()[arrival.event].what {
                    What::Closed(Ending::ByPeer) => "the peer closed the Network Connection".to_owned(),
                    What::Closed(ending) => format!("the Network Connection is {}", ending.words()),
                    _ => "the end of the Network Connection".to_owned(),
                })
            }
        }
    }

    async fn prove_nothing(&mut self, lane: Lane, lasting: Option<Duration>, window: Window) -> Flow {
        if let Some(from) = window.from {
            self.until(from).await;
        }
        let silence = match (lasting, self.observer()) {
            (Some(lasting), _) => Some(lasting),
            (None, Role::Server) => Some(self.pace.silence),
            (None, Role::Client) => None,
        };
        if let Some(silence) = silence {
            self.until(self.done_at + silence).await;
            return match self.front(lane, false) {
                Some(arrival) if !matches!(arrival.what, Arrived::Ended) => {
                    let expected = self.directed(lane, &Expected::Nothing(lasting).text());
                    let found = self.found(expected, self.describe(&arrival), Some(arrival.event));
                    Err(Finding { timing_sensitive: true, ..found }.into())
                }
                _ => Ok(()),
            };
        }
        if self.connection(lane).is_none() {
            return Err(Stop::broken("`nothing` needs a Network Connection to send its PINGREQ on"));
        }
        self.send_packet(lane, Packet::PingReq)?;
        let expected = "nothing (but the PINGRESP that proves it)";
        let begun = self.done_at;
        let window = Window { begun, from: None, until: begun + self.pace.patience };
        match self.arrival(&[lane], window.until, false).await {
            Some((_, arrival)) if matches!(arrival.what, Arrived::Packet(Packet::PingResp)) => {
                let answer = Expected::Packet(bare(PacketType::PingResp));
                self.accept(lane, &answer, &arrival, window).map(drop)
            }
            Some((_, arrival)) => {
                let actual = self.describe(&arrival);
                let found = self.found(self.directed(lane, expected), actual, Some(arrival.event));
                Err(Finding { timing_sensitive: true, ..found }.into())
            }
            None => Err(self
                .nothing_came(&[lane], &self.directed(lane, "PINGRESP (in proof of nothing)"), window)
                .into()),
        }
    }

    /// At the end of the scenario no packet may be left that no line expected.
    pub(crate) fn nothing_left_over(&self) -> Flow {
        for client in 0..self.cast.clients.len() {
            let lane = Lane(u16::try_from(client).unwrap_or(u16::MAX));
            self.nothing_left_on(lane)?;
        }
        Ok(())
    }

    /// No packet may be left on the newest connection of a lane, unless the scenario itself broke it.
    pub(crate) fn nothing_left_on(&self, lane: Lane) -> Flow {
        if self.part(&self.name(lane)) == super::cast::Part::Reference && self.observer() == Role::Client {
            return Ok(());
        }
        let (provoked, troubled) = self.stage.with_lane(lane, |state| (state.provoked, state.troubled));
        match self.front(lane, true) {
            Some(Arrival { what: Arrived::Packet(Packet::Disconnect(_)), .. }) if troubled => Ok(()),
            Some(arrival) if !provoked && !matches!(arrival.what, Arrived::Ended) => {
                let mut found = self.found(
                    self.directed(lane, "nothing that no line expects"),
                    self.describe(&arrival),
                    Some(arrival.event),
                );
                found.check = Check::LeftOver;
                found.timing_sensitive = true;
                Err(found.into())
            }
            _ => Ok(()),
        }
    }
}

impl Expected {
    pub(crate) fn awaits_connect(&self) -> bool {
        matches!(self, Expected::Packet(pattern) if pattern.packet_type == PacketType::Connect)
    }
}

/// A pattern that only asks for a packet type.
pub(crate) fn bare(packet_type: PacketType) -> PacketPattern {
    PacketPattern {
        span: mqttspec_notation::Span::default(),
        packet_type,
        fields: Vec::new(),
        subscriptions: Vec::new(),
        reasons: None,
        patches: Vec::new(),
        conditions: Vec::new(),
    }
}

/// What is right although it is unlike: the peer refused or took leave as it had to, and only the Reason Code is another one.
fn nearly(arrival: &Arrival, unlike: &Unlike) -> Option<String> {
    let (Some(expected), Some(actual)) = (&unlike.expected, &unlike.actual) else { return None };
    let by_reason = expected.starts_with("reason=") && actual.starts_with("reason=");
    let what = match &arrival.what {
        Arrived::Packet(Packet::ConnAck(connack)) if connack.reason.is_failure() => "refused",
        Arrived::Packet(Packet::Disconnect(disconnect)) if disconnect.reason.is_failure() => "closed",
        _ => return None,
    };
    by_reason.then(|| format!("{what} as required, with {actual} in place of {expected}"))
}
