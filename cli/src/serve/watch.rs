//! Real traffic of a live broker, as runs see simulated traffic: lines of the notation, and what the monitors say of its Clients.
//!
//! Apart from the runner, because live traffic has no end: what is printed and judged is forgotten, and what is kept grows with
//! the Sessions that exist and not with what happened. The broker's own end records, so it is the Clients that are judged.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use mqttspec_broker::{ConnectionId, Event as BrokerEvent};
use mqttspec_codec::{Connect, Packet, Role, Version};
use mqttspec_net::framed::Ending;
use mqttspec_net::tap::{Observed, Tap};

use mqttspec_judge::finding::{Check, Finding};
use mqttspec_judge::history::{ConnectionKey, Event, History, Lane, LaneInfo, What, nanoseconds};
use mqttspec_judge::monitors::Monitors;
use mqttspec_judge::trace::TranscriptLine;
use mqttspec_judge::transcript::event_text;
use mqttspec_notation::fields::hex;
use mqttspec_notation::is_host_name;
use mqttspec_spec::{Catalogue, Level, Requirement, Standard};

/// Something to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// What happened, in the notation; what has no spelling there stands behind a `#`.
    Line(TranscriptLine),
    /// A Client broke a rule.
    Finding(Box<ClientFinding>),
}

/// A rule that a Client broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFinding {
    /// What a monitor, or the broker itself, found.
    pub(super) finding: Finding,
    /// The Client, by the name that it has in the transcript.
    pub(super) client: String,
    /// Where it comes from, if the transport tells.
    pub(super) peer: Option<SocketAddr>,
    /// The packet in the notation; empty where there is none.
    pub(super) packet: String,
    /// The bytes that show it, as hex pairs with spaces.
    pub(super) hex: String,
}

/// A [`Tap`] of a live broker that turns what it sees into [`Report`]s.
#[derive(Debug)]
pub(super) struct Watch<F> {
    began: Duration,
    wanted: Wanted,
    report: F,
    connections: BTreeMap<ConnectionId, Connection>,
    clients: BTreeMap<String, Client>,
}

/// What a watch reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Everything that happens, as lines.
    pub(super) transcript: bool,
    /// The rules that Clients break.
    pub(super) violations: bool,
}

#[derive(Debug)]
struct Connection {
    name: String,
    peer: Option<SocketAddr>,
    /// Known when CONNECT, or something in its place, has come.
    known: Option<Known>,
    /// The statements that monitors have found broken on it.
    told: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Known {
    /// The key of the Client.
    client: String,
    number: u32,
    version: Version,
}

/// What is known of the Client with one Client Identifier; only the violations need it.
#[derive(Debug)]
struct Client {
    /// Without events: its one lane is all that monitors ask for.
    history: History,
    monitors: Monitors,
    connections: u32,
    open: u32,
    session_over: bool,
}

impl<F: FnMut(Report)> Watch<F> {
    /// A watch that begins at this time of the driver's clock.
    pub(super) fn new(began: Duration, wanted: Wanted, report: F) -> Watch<F> {
        Watch { began, wanted, report, connections: BTreeMap::new(), clients: BTreeMap::new() }
    }

    fn opened(&mut self, at: Duration, id: ConnectionId, peer: Option<SocketAddr>) {
        let name = format!("connection-{}", id.0);
        let from = peer.map_or_else(String::new, |peer| format!(" from {peer}"));
        self.line(at, format!("# {name} opens{from}"));
        self.connections.insert(id, Connection { name, peer, known: None, told: BTreeSet::new() });
    }

    /// A CONNECT says who it is; anything else in its place comes from nobody.
    fn identify(&mut self, id: ConnectionId, connect: Option<&Connect>, version: Version) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.known.is_none())
        else {
            return;
        };
        let client_id = connect.map_or("", |connect| connect.client_id.as_str());
        if is_host_name(client_id) {
            connection.name = client_id.to_owned();
        }
        // No Client Identifier begins with U+0000.
        let key = if client_id.is_empty() { format!("\0{}", id.0) } else { client_id.to_owned() };
        let client = self.clients.entry(key.clone()).or_insert_with(Client::new);
        client.connections = client.connections.wrapping_add(1);
        client.open += 1;
        let known = Known { client: key, number: client.connections, version };
        let opened =
            Event { at: Duration::ZERO, connection: Some(known.key()), line: 0, what: What::Opened(version) };
        client.monitors.see(&client.history, 0, &opened);
        connection.known = Some(known);
    }

    fn happened(&mut self, at: Duration, id: ConnectionId, what: What) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(known) = &connection.known else { return };
        let Some(client) = self.clients.get_mut(&known.client) else { return };
        let event = Event { at, connection: Some(known.key()), line: 0, what };
        let packet = event_text(&client.history, &event, known.version);
        if self.wanted.transcript {
            let text = format!("{} {packet}", connection.name);
            (self.report)(Report::Line(TranscriptLine { at_ns: nanoseconds(at), text }));
        }
        if !self.wanted.violations {
            return;
        }
        for finding in client.monitors.see(&client.history, 0, &event) {
            connection.told.extend(finding.requirements.iter().map(|requirement| requirement.clause.clone()));
            (self.report)(Report::Finding(Box::new(ClientFinding {
                finding,
                client: connection.name.clone(),
                peer: connection.peer,
                packet: packet.clone(),
                hex: event.what.bytes().map_or_else(String::new, |bytes| hex(bytes, " ")),
            })));
        }
        if matches!(&event.what, What::Sent { packet: Packet::ConnAck(ack), .. } if !ack.reason.is_failure())
        {
            client.monitors.forget_before(known.key());
        }
    }

    /// The broker itself holds its Clients to what it announced. What a monitor has told of the connection is not told again.
    fn broke(&mut self, at: Duration, id: ConnectionId, statements: &[&str], words: (String, &str)) {
        let Some(connection) = self.connections.get(&id).filter(|_| self.wanted.violations) else { return };
        let Some(known) = &connection.known else { return };
        let requirements: Vec<Requirement> =
            statements.iter().flat_map(|id| in_version(id, known.version)).collect();
        if requirements.iter().any(|requirement| connection.told.contains(&requirement.clause)) {
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
        (self.report)(Report::Finding(Box::new(ClientFinding {
            finding,
            client: connection.name.clone(),
            peer: connection.peer,
            packet: String::new(),
            hex: String::new(),
        })));
    }

    fn closed(&mut self, id: ConnectionId) -> Option<String> {
        let connection = self.connections.remove(&id)?;
        if let Some(known) = &connection.known
            && let Some(client) = self.clients.get_mut(&known.client)
        {
            client.open -= 1;
            self.forget(&known.client);
        }
        Some(connection.name)
    }

    /// Forgets a Client that has neither Session nor Network Connection.
    fn forget(&mut self, key: &str) {
        if self.clients.get(key).is_some_and(|client| {
            client.open == 0 && (client.session_over || key.starts_with('\0') || !self.wanted.violations)
        }) {
            self.clients.remove(key);
        }
    }

    fn broker_event(&mut self, at: Duration, event: &BrokerEvent) {
        match event {
            BrokerEvent::SessionCreated { client_id } | BrokerEvent::SessionResumed { client_id } => {
                if let Some(client) = self.clients.get_mut(client_id.as_str()) {
                    client.session_over = false;
                }
            }
            BrokerEvent::SessionEnded { client_id, why } => {
                if let Some(client) = self.clients.get_mut(client_id.as_str()) {
                    client.session_over = true;
                }
                self.forget(client_id.as_str());
                self.line(at, format!("# the Session of {client_id} ends: {}", session_end(*why)));
            }
            BrokerEvent::RuleBroken { connection, reason, detail, clauses } => {
                let expected =
                    format!("no cause for a DISCONNECT with {:#04x} ({reason})", u8::from(*reason));
                self.broke(at, *connection, clauses, (expected, detail));
            }
            BrokerEvent::WillPublished { client_id, topic } => {
                self.line(at, format!("# the Will of {client_id} is published to {topic}"));
            }
            BrokerEvent::WillDiscarded { client_id, .. } => {
                self.line(at, format!("# the Will of {client_id} is discarded"));
            }
            BrokerEvent::MessageDropped { client_id, topic, why } => {
                let why = message_drop(*why);
                self.line(at, format!("# a message to {topic} is dropped for {client_id}: {why}"));
            }
            _ => {}
        }
    }

    fn line(&mut self, at: Duration, text: String) {
        if self.wanted.transcript {
            (self.report)(Report::Line(TranscriptLine { at_ns: nanoseconds(at), text }));
        }
    }
}

impl<F: FnMut(Report)> Tap for Watch<F> {
    fn observe(&mut self, at: Duration, what: Observed<'_>) {
        let at = at.saturating_sub(self.began);
        match what {
            Observed::Opened { connection, peer } => self.opened(at, connection, peer),
            Observed::Received { connection, packet, bytes } => {
                match packet {
                    Packet::Connect(connect) => self.identify(connection, Some(connect), connect.version),
                    _ => self.identify(connection, None, Version::V5),
                }
                let (packet, bytes) = (packet.clone(), bytes.clone());
                self.happened(at, connection, What::Received { packet, bytes });
            }
            Observed::Malformed { connection, error, bytes } => {
                self.identify(connection, None, error.version);
                let (error, bytes) = (*error, bytes.clone());
                self.happened(at, connection, What::ReceivedMalformed { error, bytes });
            }
            Observed::Sent { connection, packet, bytes } => {
                let bytes = Bytes::copy_from_slice(bytes);
                self.happened(at, connection, What::Sent { packet: packet.clone(), bytes });
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
                    self.line(at, format!("# {name} is given up: it leaves {unsent_bytes} bytes unread"));
                }
            }
            Observed::Unsendable { connection, packet, error } => {
                if let Some(name) = self.closed(connection) {
                    let packet = packet.packet_type();
                    self.line(at, format!("# {name} is given up: a {packet} cannot be sent: {error}"));
                }
            }
            Observed::Core(event) => self.broker_event(at, event),
            _ => {}
        }
    }

    fn wants_bytes(&self) -> bool {
        self.wanted.violations
    }
}

impl Client {
    fn new() -> Client {
        // One Client may use several connections, so findings are not told by the lane's name.
        let lane = LaneInfo { name: Arc::from(""), observer: Role::Server };
        Client {
            history: History::new(vec![lane]),
            monitors: Monitors::default(),
            connections: 0,
            open: 0,
            session_over: false,
        }
    }
}

impl Known {
    fn key(&self) -> ConnectionKey {
        ConnectionKey { lane: Lane(0), number: self.number }
    }
}

/// A statement of 5.0, or its counterparts in the version before.
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
        Ending::Reset => "is cut off by a reset".to_owned(),
        Ending::TimedOut => "is lost: its network acknowledged nothing for too long".to_owned(),
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
        Drop::Away => "it is away, and QoS 0 does not wait",
        Drop::Congested => "it does not read fast enough, and QoS 0 does not wait",
    }
}
