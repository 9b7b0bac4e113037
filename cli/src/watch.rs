//! Watches the traffic of `serve` and `observe`: turns events into transcript lines, and judges one
//! end of the connections with the monitors.
//!
//! It does not use the runner's recorder, because the traffic has no end. Events are dropped after
//! they are printed and judged, so memory grows with the number of Sessions only. `serve` observes
//! the broker's end of the connections, so the Clients are judged. `observe` observes both ends.

pub(crate) mod print;
mod secrets;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use mqttspec_broker::{ConnectionId, Event as BrokerEvent, WillEnd};
use mqttspec_codec::{Connect, Packet, Role, SessionExpiryInterval, Version};
use mqttspec_net::framed::Ending;
use mqttspec_net::tap::{Observed, Tap};

use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{ConnectionKey, Event, History, HostIndex, HostInfo, What, nanoseconds};
use mqttspec_judge::monitors::Monitors;
use mqttspec_judge::trace::TranscriptLine;
use mqttspec_judge::transcript::event_text;
use mqttspec_notation::fields::hex;
use mqttspec_notation::is_host_name;
use mqttspec_spec::{Catalogue, Level, Requirement, Standard};

/// Something to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// An event in the notation. An event that the notation cannot express is a `#` comment.
    Line(TranscriptLine),
    /// A violation by a Client or a server.
    Finding(Box<PeerFinding>),
}

/// A violation by a Client or a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerFinding {
    /// The finding of a monitor or of the broker itself.
    pub(crate) finding: Finding,
    /// Who broke the clauses.
    pub(crate) by: Role,
    /// The Client's name in the transcript.
    pub(crate) client: String,
    /// The Client's address, if the transport knows it.
    pub(crate) peer: Option<SocketAddr>,
    /// The packet in the notation; empty if the finding is not about one packet.
    pub(crate) packet: String,
    /// The bytes of the packet, as hex pairs with spaces.
    pub(crate) hex: String,
}

/// A [`Tap`] of the broker that turns events into [`Report`]s.
#[derive(Debug)]
pub(crate) struct Watch<F> {
    /// The end of the connections that is observed. The other one is judged.
    observer: Role,
    start: Duration,
    options: WatchOptions,
    report: F,
    connections: BTreeMap<ConnectionId, Connection>,
    clients: BTreeMap<String, Client>,
}

/// What a watch reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchOptions {
    /// All events, as lines.
    pub(crate) transcript: bool,
    /// Violations by the end that is not observed.
    pub(crate) violations: bool,
    /// The broker is another program: nothing reports when a Session ends.
    pub(crate) of_another_broker: bool,
}

/// The number of Clients of another broker whose state is kept while they are away.
const MOST_AWAY: usize = 10_000;

#[derive(Debug)]
struct Connection {
    name: String,
    peer: Option<SocketAddr>,
    /// Known after the first packet: a CONNECT, or something else in its place.
    identity: Option<Identity>,
    /// The clauses that monitors have reported on this connection.
    reported: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Identity {
    /// The key in [`Watch::clients`].
    client: String,
    number: u32,
    version: Version,
}

/// The state of one Client Identifier. Only violations need it.
#[derive(Debug)]
struct Client {
    /// Contains no events. The monitors read only its list of hosts.
    history: History,
    monitors: Monitors,
    connections: u32,
    open: u32,
    session_ended: bool,
}

impl<F: FnMut(Report)> Watch<F> {
    /// A watch of this end of the connections, which starts at this time of the driver's clock.
    pub(crate) fn new(observer: Role, start: Duration, options: WatchOptions, report: F) -> Watch<F> {
        Watch { observer, start, options, report, connections: BTreeMap::new(), clients: BTreeMap::new() }
    }

    fn opened(&mut self, at: Duration, id: ConnectionId, peer: Option<SocketAddr>) {
        let name = format!("connection-{}", id.0);
        let from = peer.map_or_else(String::new, |peer| format!(" from {peer}"));
        self.line(at, format!("# {name} opens{from}"));
        self.connections.insert(id, Connection { name, peer, identity: None, reported: BTreeSet::new() });
    }

    /// Identifies the Client of a connection by its CONNECT. If the first packet is not a CONNECT,
    /// the connection gets a Client of its own.
    fn identify(&mut self, id: ConnectionId, connect: Option<&Connect>, version: Version) {
        let Some(connection) =
            self.connections.get_mut(&id).filter(|connection| connection.identity.is_none())
        else {
            return;
        };
        let client_id = connect.map_or("", |connect| connect.client_id.as_str());
        if is_host_name(client_id) {
            connection.name = client_id.to_owned();
        }
        // No Client Identifier begins with U+0000.
        let key = if client_id.is_empty() { format!("\0{}", id.0) } else { client_id.to_owned() };
        let client = self.clients.entry(key.clone()).or_insert_with(|| Client::new(self.observer));
        if self.options.of_another_broker {
            client.session_ended = connect.is_none_or(ends_with_its_connection);
        }
        client.connections = client.connections.wrapping_add(1);
        client.open += 1;
        let identity = Identity { client: key, number: client.connections, version };
        let opened = Event {
            at: Duration::ZERO,
            connection: Some(identity.key()),
            line: 0,
            what: What::Opened(version),
        };
        client.monitors.see(&client.history, 0, &opened);
        connection.identity = Some(identity);
    }

    /// Whether nothing was received on the connection yet.
    fn is_first(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.identity.is_none())
    }

    fn observe_event(&mut self, at: Duration, id: ConnectionId, what: What) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(identity) = &connection.identity else { return };
        let Some(client) = self.clients.get_mut(&identity.client) else { return };
        let event = Event { at, connection: Some(identity.key()), line: 0, what };
        let shown = secrets::without_secrets(&event.what);
        let shown = Event { at, connection: event.connection, line: 0, what: shown };
        let packet = event_text(&client.history, &shown, identity.version);
        if self.options.transcript {
            let text = format!("{} {packet}", connection.name);
            (self.report)(Report::Line(TranscriptLine { at_ns: nanoseconds(at), text }));
        }
        if !self.options.violations {
            return;
        }
        for finding in client.monitors.see(&client.history, 0, &event) {
            connection
                .reported
                .extend(finding.requirements.iter().map(|requirement| requirement.clause.clone()));
            (self.report)(Report::Finding(Box::new(PeerFinding {
                finding,
                by: self.observer.peer(),
                client: connection.name.clone(),
                peer: connection.peer,
                packet: packet.clone(),
                hex: shown.what.bytes().map_or_else(String::new, |bytes| hex(bytes, " ")),
            })));
        }
        if let What::Sent { packet: Packet::ConnAck(ack), .. }
        | What::Received { packet: Packet::ConnAck(ack), .. } = &event.what
            && !ack.reason.is_failure()
        {
            client.monitors.forget_before(identity.key());
        }
    }

    /// Reports a violation that the broker itself detected, unless a monitor has reported the
    /// clause on this connection.
    fn rule_broken(&mut self, at: Duration, id: ConnectionId, clauses: &[&str], words: (String, &str)) {
        let Some(connection) = self.connections.get(&id).filter(|_| self.options.violations) else { return };
        let Some(identity) = &connection.identity else { return };
        let requirements: Vec<Requirement> =
            clauses.iter().flat_map(|id| in_version(id, identity.version)).collect();
        if requirements.iter().any(|requirement| connection.reported.contains(&requirement.clause)) {
            return;
        }
        let (expected, actual) = words;
        let finding = Finding {
            check: Check::Broker,
            level: Level::Must,
            requirements,
            expected,
            actual: actual.to_owned(),
            nearly: None,
            line: 0,
            at_ns: nanoseconds(at),
            event: None,
            timing_sensitive: false,
        };
        (self.report)(Report::Finding(Box::new(PeerFinding {
            finding,
            by: Role::Client,
            client: connection.name.clone(),
            peer: connection.peer,
            packet: String::new(),
            hex: String::new(),
        })));
    }

    fn closed(&mut self, id: ConnectionId) -> Option<String> {
        let connection = self.connections.remove(&id)?;
        if let Some(identity) = &connection.identity
            && let Some(client) = self.clients.get_mut(&identity.client)
        {
            client.open -= 1;
            self.forget(&identity.client);
        }
        Some(connection.name)
    }

    /// Removes a Client that has neither a Session nor a Network Connection.
    fn forget(&mut self, key: &str) {
        if self.clients.get(key).is_some_and(|client| {
            client.open == 0 && (client.session_ended || key.starts_with('\0') || !self.options.violations)
        }) {
            self.clients.remove(key);
        }
        if self.options.of_another_broker && self.clients.len() > MOST_AWAY {
            self.clients.retain(|_, client| client.open > 0);
        }
    }

    fn broker_event(&mut self, at: Duration, event: &BrokerEvent) {
        match event {
            BrokerEvent::SessionCreated { client_id } | BrokerEvent::SessionResumed { client_id } => {
                if let Some(client) = self.clients.get_mut(client_id.as_str()) {
                    client.session_ended = false;
                }
            }
            BrokerEvent::SessionEnded { client_id, why } => {
                if let Some(client) = self.clients.get_mut(client_id.as_str()) {
                    client.session_ended = true;
                }
                self.forget(client_id.as_str());
                self.line(at, format!("# the Session of {client_id} ends: {}", session_end(*why)));
            }
            BrokerEvent::RuleBroken { connection, reason, detail, clauses } => {
                let expected =
                    format!("no cause for a DISCONNECT with {:#04x} ({reason})", u8::from(*reason));
                self.rule_broken(at, *connection, clauses, (expected, detail));
            }
            BrokerEvent::WillPublished { client_id, topic } => {
                self.line(at, format!("# the Will of {client_id} is published to {topic}"));
            }
            BrokerEvent::WillDiscarded { client_id, why } => {
                let why = match why {
                    WillEnd::NotAuthorized => ": its user may not publish it",
                    WillEnd::Disconnected | WillEnd::Reconnected => "",
                };
                self.line(at, format!("# the Will of {client_id} is discarded{why}"));
            }
            BrokerEvent::MessageDropped { client_id, topic, why } => {
                let why = message_drop(*why);
                self.line(at, format!("# a message to {topic} is dropped for {client_id}: {why}"));
            }
            _ => {}
        }
    }

    fn line(&mut self, at: Duration, text: String) {
        if self.options.transcript {
            (self.report)(Report::Line(TranscriptLine { at_ns: nanoseconds(at), text }));
        }
    }
}

impl<F: FnMut(Report)> Tap for Watch<F> {
    fn observe(&mut self, at: Duration, what: Observed<'_>) {
        let at = at.saturating_sub(self.start);
        match what {
            Observed::Opened { connection, peer } => self.opened(at, connection, peer),
            Observed::Received { connection, packet, bytes } => {
                match packet {
                    Packet::Connect(connect) => self.identify(connection, Some(connect), connect.version),
                    _ => self.identify(connection, None, Version::V5),
                }
                let (packet, bytes) = (packet.clone(), bytes.clone());
                self.observe_event(at, connection, What::Received { packet, bytes });
            }
            Observed::Malformed { connection, error, bytes } => {
                let is_first = self.is_first(connection);
                self.identify(connection, None, error.version);
                let bytes = if is_first { secrets::start_of(bytes) } else { bytes.clone() };
                let error = *error;
                self.observe_event(at, connection, What::ReceivedMalformed { error, bytes });
            }
            Observed::Sent { connection, packet, bytes } => {
                if let Packet::Connect(connect) = packet {
                    self.identify(connection, Some(connect), connect.version);
                }
                let bytes = Bytes::copy_from_slice(bytes);
                self.observe_event(at, connection, What::Sent { packet: packet.clone(), bytes });
            }
            Observed::Lost { connection, ending } => {
                let words = ending_words(ending);
                if let Some(name) = self.closed(connection) {
                    self.line(at, format!("# {name} {words}"));
                }
            }
            Observed::Closed { connection } => {
                if let Some(name) = self.closed(connection) {
                    self.line(at, format!("{name} < closed"));
                }
            }
            Observed::Overflowed { connection, unsent_bytes } => {
                if let Some(name) = self.closed(connection) {
                    self.line(at, format!("# {name} is dropped: {unsent_bytes} bytes were not read"));
                }
            }
            Observed::Unsendable { connection, packet, error } => {
                if let Some(name) = self.closed(connection) {
                    let packet = packet.packet_type();
                    self.line(at, format!("# {name} is dropped: a {packet} cannot be sent: {error}"));
                }
            }
            Observed::Core(event) => self.broker_event(at, event),
            _ => {}
        }
    }

    fn wants_bytes(&self) -> bool {
        self.options.violations
    }
}

impl Client {
    fn new(observer: Role) -> Client {
        // A Client may have several connections with different names, so the host has no name.
        let host = HostInfo { name: Arc::from(""), observer };
        Client {
            history: History::new(vec![host]),
            monitors: Monitors::default(),
            connections: 0,
            open: 0,
            // Until the broker makes or resumes one: a CONNECT may be refused.
            session_ended: true,
        }
    }
}

impl Identity {
    fn key(&self) -> ConnectionKey {
        ConnectionKey { host: HostIndex(0), number: self.number }
    }
}

/// Whether the Session of this CONNECT ends with its Network Connection (§3.1.2.11.2; 3.1.1 §3.1.2.4).
fn ends_with_its_connection(connect: &Connect) -> bool {
    if connect.version.is_5() {
        connect.properties.get::<SessionExpiryInterval>().is_none_or(|expiry| expiry.0 == 0)
    } else {
        connect.clean_start
    }
}

/// A clause of 5.0, or its counterparts in 3.1.1.
fn in_version(id: &str, version: Version) -> Vec<Requirement> {
    if version.is_5() {
        return vec![Requirement::new(version, id)];
    }
    let counterparts = Catalogue::get(Standard::V5, id).map(|clause| clause.counterparts.as_slice());
    counterparts.unwrap_or_default().iter().map(|id| Requirement::new(version, id)).collect()
}

fn ending_words(ending: &Ending) -> String {
    match ending {
        Ending::Closed { left_over } if left_over.is_empty() => "closes".to_owned(),
        Ending::Closed { left_over } => format!("closes after {} bytes of a packet", left_over.len()),
        Ending::Reset => "is reset".to_owned(),
        Ending::TimedOut => "is lost: TCP timed out".to_owned(),
        Ending::Failed(kind) => format!("is lost: {kind}"),
    }
}

fn session_end(why: mqttspec_broker::SessionEnd) -> &'static str {
    match why {
        mqttspec_broker::SessionEnd::Expired => "it expired",
        mqttspec_broker::SessionEnd::CleanStart => "Clean Start",
    }
}

fn message_drop(why: mqttspec_broker::Drop) -> &'static str {
    use mqttspec_broker::Drop;
    match why {
        Drop::QueueFull => "its queue is full",
        Drop::Expired => "it expired",
        Drop::TooLarge => "it exceeds the Maximum Packet Size",
        Drop::SessionEnded => "its Session ended",
        Drop::Refused => "it refused the message",
        Drop::Away => "it is not connected, and QoS 0 is not queued",
        Drop::NotAuthorized => "its user may not read it",
        Drop::Congested => "it does not read fast enough, and QoS 0 is not queued",
    }
}
