//! Rules for clients: the form and the order of their packets, what CONNACK rules out, the Keep
//! Alive, and what the application must and must not have.
//!
//! MQTT 5.0 §3.1, §3.1.2.10, §3.2.2.3, §3.14.4, §4.3, §4.12; 3.1.1 the same sections.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{
    AuthReason, AuthenticationMethod, Connect, MaximumQoS, Packet, PacketIdentifier, Publish, QoS,
    RetainAvailable, Role, ServerKeepAlive, TopicAlias, TopicName, Version,
};
use mqttspec_notation::FaultKind;

use super::calm::Calm;
use super::{Rule, Tolerance};
use crate::finding::Finding;
use crate::history::{Asked, ConnectionKey, History, HostIndex, Told, What};

const CONNECT_FIRST: Rule = Rule::new(&["MQTT-3.1.0-1"], &["MQTT-3.1.0-1"]);
const LAST: Rule = Rule::new(&["MQTT-3.14.4-1"], &["MQTT-3.14.4-2"]);
const CLOSES: Rule = Rule::new(&["MQTT-3.14.4-2"], &["MQTT-3.14.4-1"]);
const PINGS: Rule = Rule::new(&["MQTT-3.1.2-20"], &["MQTT-3.1.2-23"]);
const SERVER_KEEP_ALIVE: Rule = Rule::new(&["MQTT-3.1.2-21", "MQTT-3.2.2-21"], &[]);
const MAXIMUM_QOS: Rule = Rule::new(&["MQTT-3.2.2-11"], &[]);
const RETAIN_AVAILABLE: Rule = Rule::new(&["MQTT-3.2.2-14"], &[]);
const NO_AUTH: Rule = Rule::new(&["MQTT-4.12.0-7"], &[]);
const METHOD: Rule = Rule::new(&["MQTT-4.12.0-5"], &[]);
const ONLY_AUTH: Rule = Rule::new(&["MQTT-3.1.2-30"], &[]);
const CONTINUE: Rule = Rule::new(&["MQTT-4.12.0-3"], &[]);
const BEGINS: Rule = Rule::new(&["MQTT-4.12.1-1", "U5-141"], &[]);
const ONCE_QOS_0: Rule = Rule::new(&["MQTT-4.3.1-1"], &["MQTT-4.3.1-1"]);
const ONCE_QOS_2: Rule = Rule::new(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2"]);
const NEW_QOS_1: Rule = Rule::new(&["MQTT-4.3.2-4", "MQTT-4.3.2-5"], &["MQTT-4.3.2-2"]);
const OWNED: Rule = Rule::new(&["MQTT-4.3.3-8"], &["MQTT-4.3.3-2"]);
const ALIAS: Rule = Rule::new(&["U5-079"], &[]);
const MUST_CLOSE: Rule = Rule::new(&[], &["MQTT-4.8.0-1"]);

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much later than after the Keep Alive a packet may arrive.
const LATE: Duration = Duration::from_secs(2);

/// Topic Name and payload.
type Message<'h> = (&'h str, &'h [u8]);

#[derive(Default)]
struct Connection<'h> {
    version: Option<Version>,
    connect: Option<&'h Connect>,
    /// When CONNACK was sent, with the Keep Alive in force, and whether the Server set it.
    accepted: Option<(Duration, Duration, bool)>,
    maximum_qos: Option<QoS>,
    no_retain: bool,
    heard: Duration,
    last_event: usize,
    /// The client's DISCONNECT.
    left: Option<(usize, Duration)>,
    closed: Option<Duration>,
    /// AUTH packets of the Server that wait for an answer.
    asked: u32,
    raw: bool,
    /// A packet of the Server that breaks the standard.
    violated: Option<(usize, Duration)>,
    aliases: [BTreeMap<u16, &'h TopicName>; 2],
    /// Messages of the Server that are not acknowledged.
    open: BTreeMap<PacketIdentifier, Message<'h>>,
}

/// How often each message was sent by the Server and given to the application.
#[derive(Default)]
struct Counts {
    sent: [usize; 3],
    /// The identifier of the last QoS 2 exchange, and the number of these exchanges.
    exchange: Option<PacketIdentifier>,
    exchanges: usize,
    /// Its Packet Identifier was in use for another message.
    shares_its_identifier: bool,
    acknowledged: usize,
    /// QoS 2 exchanges that have ended with PUBCOMP.
    completed: usize,
    told: usize,
    last: usize,
}

struct Reader<'h> {
    history: &'h History,
    calm: &'h Calm<'h>,
    tolerance: Tolerance,
    connections: BTreeMap<ConnectionKey, Connection<'h>>,
    counts: BTreeMap<(HostIndex, Message<'h>), Counts>,
    /// QoS 2 messages of Sessions, by their identifiers, without a PUBCOMP. Connections may share them.
    held: BTreeMap<(HostIndex, PacketIdentifier), Message<'h>>,
    /// What applications asked their clients to publish at QoS 0, and what was published.
    asked: BTreeMap<(HostIndex, Message<'h>), usize>,
    published: BTreeMap<(HostIndex, Message<'h>), (usize, usize)>,
    crashed: BTreeSet<String>,
    /// Hosts to which bytes were sent that may be a packet.
    raw: BTreeSet<HostIndex>,
    findings: Vec<Finding>,
}

pub(super) fn judge(history: &History, calm: &Calm<'_>, tolerance: Tolerance) -> Vec<Finding> {
    if history.hosts().iter().any(|host| host.observer == Role::Client) {
        return Vec::new();
    }
    let mut reader = Reader {
        history,
        calm,
        tolerance,
        connections: BTreeMap::new(),
        counts: BTreeMap::new(),
        held: BTreeMap::new(),
        asked: BTreeMap::new(),
        published: BTreeMap::new(),
        crashed: BTreeSet::new(),
        raw: BTreeSet::new(),
        findings: Vec::new(),
    };
    for index in 0..history.events().len() {
        reader.read(index);
    }
    reader.end();
    reader.findings
}

impl<'h> Reader<'h> {
    fn found(&mut self, key: ConnectionKey, rule: Rule, event: usize, expected: &str, actual: &str) {
        let version = self.connections.get(&key).and_then(|connection| connection.version);
        let actual = format!("{}: {actual}", self.history.info(key.host).name);
        let version = version.unwrap_or(Version::V3_1_1);
        self.findings.extend(rule.broken(self.history, version, event, expected, actual));
    }

    fn read(&mut self, index: usize) {
        let history = self.history;
        let event = &history.events()[index];
        if let What::Fault(fault) = &event.what
            && matches!(&fault.fault.kind, FaultKind::Crash | FaultKind::Profile(_))
        {
            self.crashed.extend(fault.hosts.iter().cloned());
        }
        let Some(key) = event.connection else { return };
        match &event.what {
            What::Asked(Asked::Publish { message, .. }) => {
                let message = (message.topic.as_str(), &message.payload[..]);
                *self.asked.entry((key.host, message)).or_default() += 1;
                return;
            }
            What::Told(Told::Message { message, .. }) => {
                let message = (message.topic.as_str(), &message.payload[..]);
                self.counts.entry((key.host, message)).or_default().told += 1;
                return;
            }
            _ => {}
        }
        let connection = self.connections.entry(key).or_default();
        match &event.what {
            What::Opened(version) => connection.version = Some(*version),
            What::Closed(_) => drop(connection.closed.get_or_insert(event.at)),
            What::SentRaw { bytes, .. } => {
                let version = connection.version.unwrap_or(Version::V3_1_1);
                let error = super::packets::certain_error(Role::Server, bytes, version);
                if error.is_some() {
                    connection.violated.get_or_insert((index, event.at));
                }
                connection.raw = true;
                self.raw.insert(key.host);
            }
            What::ReceivedMalformed { .. } => connection.raw = true,
            What::Sent { packet, .. } => self.sent(key, index, event.at, packet),
            What::Received { packet, .. } => self.received(key, index, event.at, packet),
            _ => {}
        }
    }

    fn sent(&mut self, key: ConnectionKey, index: usize, at: Duration, packet: &'h Packet) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        match packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() => {
                let Some(connect) = connection.connect else { return };
                let server = ack.properties.get::<ServerKeepAlive>();
                let seconds = server.map_or(connect.keep_alive, |server| server.0);
                if connection.accepted.is_none() {
                    let keep_alive = Duration::from_secs(u64::from(seconds));
                    connection.accepted = Some((at, keep_alive, server.is_some()));
                }
                if !ack.session_present {
                    self.held.retain(|(host, _), _| *host != key.host);
                }
                connection.maximum_qos = ack.properties.get::<MaximumQoS>().map(MaximumQoS::qos);
                connection.no_retain =
                    ack.properties.get::<RetainAvailable>().is_some_and(|available| !available.0);
            }
            Packet::Auth(auth) if auth.reason == AuthReason::ContinueAuthentication => connection.asked += 1,
            Packet::Disconnect(_) => connection.raw = true,
            Packet::Publish(publish) => {
                let Some(topic) = resolved(&mut connection.aliases[1], publish) else { return };
                let message = (topic.as_str(), &publish.payload[..]);
                let id = publish.delivery.packet_identifier();
                let before = id.and_then(|id| connection.open.insert(id, message));
                let id = id.filter(|_| publish.delivery.qos() == QoS::ExactlyOnce);
                let held = id.and_then(|id| self.held.insert((key.host, id), message));
                let counts = self.counts.entry((key.host, message)).or_default();
                // A Client takes it for a repetition of the other one.
                counts.shares_its_identifier |= before.is_some_and(|before| before != message)
                    || held.is_some_and(|held| held != message);
                counts.sent[usize::from(u8::from(publish.delivery.qos()))] += 1;
                if id.is_some() {
                    let repeats = publish.delivery.dup() && counts.exchange == id;
                    counts.exchanges += usize::from(!repeats);
                    counts.exchange = id;
                }
                counts.last = index;
            }
            _ => {}
        }
    }

    fn received(&mut self, key: ConnectionKey, index: usize, at: Duration, packet: &'h Packet) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        let mut wrong: Vec<(Rule, &str, String)> = Vec::new();
        match (packet, connection.connect) {
            (Packet::Connect(connect), None) => connection.connect = Some(connect),
            (_, None) => wrong.push((CONNECT_FIRST, "CONNECT first", packet.packet_type().to_string())),
            _ => {}
        }
        if connection.left.is_some() {
            wrong.push((LAST, "nothing after DISCONNECT", packet.packet_type().to_string()));
        }
        let waits = connection.accepted.is_none()
            && connection
                .connect
                .is_some_and(|connect| connect.properties.contains::<AuthenticationMethod>());
        if waits && !matches!(packet, Packet::Connect(_) | Packet::Auth(_) | Packet::Disconnect(_)) {
            let expected = "nothing but AUTH and DISCONNECT before CONNACK";
            wrong.push((ONLY_AUTH, expected, packet.packet_type().to_string()));
        }
        let settled =
            connection.accepted.is_some_and(|(accepted, ..)| at > accepted + LATE + self.tolerance.answer);
        match packet {
            Packet::Disconnect(_) => drop(connection.left.get_or_insert((index, at))),
            Packet::Publish(publish) => {
                let calm = settled && self.calm.lasts(&self.history.info(key.host).name, at, at);
                if calm && connection.maximum_qos.is_some_and(|maximum| publish.delivery.qos() > maximum) {
                    let actual = format!("QoS {}", u8::from(publish.delivery.qos()));
                    wrong.push((MAXIMUM_QOS, "no QoS above the Maximum QoS", actual));
                }
                if calm && connection.no_retain && publish.retain {
                    wrong.push((RETAIN_AVAILABLE, "RETAIN 0 for this Server", "RETAIN 1".to_owned()));
                }
                if let Some(topic) = resolved(&mut connection.aliases[0], publish)
                    && publish.delivery.qos() == QoS::AtMostOnce
                {
                    let message = (topic.as_str(), &publish.payload[..]);
                    let (count, last) = self.published.entry((key.host, message)).or_default();
                    (*count, *last) = (*count + 1, index);
                }
            }
            Packet::PubAck(ack) if !ack.reason.is_failure() => {
                if let Some(message) = connection.open.remove(&ack.id) {
                    self.counts.entry((key.host, message)).or_default().acknowledged += 1;
                }
            }
            Packet::PubComp(ack) if !ack.reason.is_failure() => {
                self.held.remove(&(key.host, ack.id));
                if let Some(message) = connection.open.remove(&ack.id) {
                    self.counts.entry((key.host, message)).or_default().completed += 1;
                }
            }
            Packet::Auth(auth) => {
                let method = |connect: &Connect| connect.properties.get::<AuthenticationMethod>();
                match connection.connect.and_then(method) {
                    None => {
                        wrong.push((NO_AUTH, "no AUTH without an Authentication Method", "AUTH".to_owned()));
                    }
                    Some(method) if auth.properties.get::<AuthenticationMethod>() != Some(method.clone()) => {
                        let expected = "the Authentication Method of CONNECT in AUTH";
                        wrong.push((METHOD, expected, "another one".to_owned()));
                    }
                    Some(_) => {}
                }
                if connection.asked > 0 {
                    connection.asked -= 1;
                    if auth.reason != AuthReason::ContinueAuthentication {
                        let actual = auth.reason.to_string();
                        wrong.push((CONTINUE, "Continue authentication in the answer to AUTH", actual));
                    }
                } else if auth.reason != AuthReason::ReAuthenticate {
                    let actual = auth.reason.to_string();
                    wrong.push((BEGINS, "Re-authenticate in an AUTH that answers none", actual));
                }
            }
            _ => {}
        }
        let raw = connection.raw;
        let silence = self.silence(key, at);
        if let Some(connection) = self.connections.get_mut(&key) {
            (connection.heard, connection.last_event) = (at, index);
        }
        for (rule, expected, actual) in wrong.into_iter().chain(silence).filter(|_| !raw) {
            self.found(key, rule, index, expected, &actual);
        }
    }

    /// What is wrong if the client was silent until now.
    fn silence(&self, key: ConnectionKey, at: Duration) -> Option<(Rule, &'static str, String)> {
        let connection = self.connections.get(&key)?;
        let (accepted, keep_alive, of_server) = connection.accepted?;
        let from = connection.heard.max(accepted);
        let silent = at.saturating_sub(from);
        let host = &self.history.info(key.host).name;
        let is_late = !keep_alive.is_zero()
            && silent > keep_alive + LATE + self.tolerance.late
            && connection.left.is_none();
        if !is_late || !self.calm.lasts(host, from, at) || connection.violated.is_some() {
            return None;
        }
        let actual = format!("silent for {} s, Keep Alive {} s", silent.as_secs(), keep_alive.as_secs());
        Some((if of_server { SERVER_KEEP_ALIVE } else { PINGS }, "a packet within the Keep Alive", actual))
    }

    fn end(&mut self) {
        let end = self.history.events().last().map_or(Duration::ZERO, |event| event.at);
        let keys: Vec<ConnectionKey> = self.connections.keys().copied().collect();
        for key in keys {
            let Some(connection) = self.connections.get(&key) else { continue };
            let (closed, last, raw) =
                (connection.closed.unwrap_or(end), connection.last_event, connection.raw);
            let (left, violated) = (connection.left, connection.violated);
            let host = self.history.info(key.host).name.clone();
            let until = PATIENCE + self.tolerance.answer;
            let stays =
                |at: Duration, calm: &Calm<'_>| closed > at + until && calm.lasts(&host, at, at + until);
            if let Some((event, _)) = left.filter(|(_, at)| stays(*at, self.calm) && !raw) {
                self.found(key, CLOSES, event, "the end of the connection after DISCONNECT", "it stays open");
            }
            if let Some((event, _)) = violated.filter(|(_, at)| stays(*at, self.calm)) {
                let expected = "the end of a connection on which the Server breaks the standard";
                self.found(key, MUST_CLOSE, event, expected, "it stays open");
            }
            if let (false, Some((rule, expected, actual))) = (raw, self.silence(key, closed)) {
                self.found(key, rule, last, expected, &actual);
            }
        }
        self.counts(end);
    }

    fn counts(&mut self, end: Duration) {
        let published = core::mem::take(&mut self.published);
        for ((host, message), (count, event)) in published {
            let asked = self.asked.get(&(host, message)).copied().unwrap_or(0);
            if asked == 0 && self.is_of_another_topic(host, &message, event) {
                let key = self.key_of(event, host);
                let actual = format!("it goes to {}", message.0);
                self.found(key, ALIAS, event, "the topic that its application named", &actual);
            }
            if asked > 0 && count > asked {
                let key = self.key_of(event, host);
                let actual = format!("{count} times");
                self.found(key, ONCE_QOS_0, event, "each QoS 0 message once", &actual);
            }
        }
        let counts = core::mem::take(&mut self.counts);
        for ((host, (_, payload)), counts) in counts {
            let name = self.history.info(host).name.to_string();
            let Counts { sent: [qos0, qos1, qos2], exchanges, acknowledged, completed, told, last, .. } =
                counts;
            if counts.shares_its_identifier {
                continue;
            }
            if payload.is_empty() || self.crashed.contains(&name) || self.raw.contains(&host) {
                continue;
            }
            let key = self.key_of(last, host);
            let actual = format!("the application had it {told} times");
            // What was not sent at all may be a message whose topic the client reports wrongly.
            if qos0 > 0 && qos1 == 0 && qos2 == 0 && told > qos0 {
                self.found(key, ONCE_QOS_0, last, "a QoS 0 message at the application once", &actual);
            }
            if exchanges > 0 && qos0 == 0 && qos1 == 0 && told > exchanges {
                self.found(key, ONCE_QOS_2, last, "a QoS 2 message at the application once", &actual);
            }
            let at = self.history.events()[last].at;
            let until = at + PATIENCE + self.tolerance.answer;
            let late = until < end && self.calm.lasts(&name, at, until);
            if qos0 == 0 && qos2 == 0 && late && told < acknowledged {
                let expected = "each message with a PUBACK at the application";
                self.found(key, NEW_QOS_1, last, expected, &actual);
            }
            if qos0 == 0 && qos1 == 0 && late && told == 0 && completed > 0 {
                let expected = "a message with a PUBCOMP at the application";
                self.found(key, OWNED, last, expected, &actual);
            }
        }
    }

    /// Whether a message that has only a Topic Alias goes to another topic than the only one that the
    /// application named with its payload.
    fn is_of_another_topic(&self, host: HostIndex, message: &Message, event: usize) -> bool {
        let aliased = self.history.events().get(event).is_some_and(|event| match &event.what {
            What::Received { packet: Packet::Publish(publish), .. } => {
                publish.topic.is_none() && publish.properties.contains::<TopicAlias>()
            }
            _ => false,
        });
        let (topic, payload) = message;
        let same = |(of, (_, other)): &&(HostIndex, Message)| *of == host && other == payload;
        let named: Vec<_> = self.asked.keys().filter(same).collect();
        aliased
            && !payload.is_empty()
            && named.len() == 1
            && named.iter().all(|(_, (other, _))| other != topic)
    }

    fn key_of(&self, event: usize, host: HostIndex) -> ConnectionKey {
        let known = self.history.events().get(event).and_then(|event| event.connection);
        known.unwrap_or(ConnectionKey { host, number: 0 })
    }
}

/// The topic of a PUBLISH, also if it has only a Topic Alias.
fn resolved<'h>(aliases: &mut BTreeMap<u16, &'h TopicName>, publish: &'h Publish) -> Option<&'h TopicName> {
    let alias = publish.properties.get::<TopicAlias>().map(|alias| alias.0.get());
    match (&publish.topic, alias) {
        (Some(topic), Some(alias)) => {
            aliases.insert(alias, topic);
            Some(topic)
        }
        (Some(topic), None) => Some(topic),
        (None, alias) => aliases.get(&alias?).copied(),
    }
}
