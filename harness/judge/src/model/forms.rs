//! What the packets of the Server may contain, and which may come when: CONNACK first and once,
//! nothing after DISCONNECT, and only the properties that the Client asked for.
//!
//! MQTT 5.0 §3.1.2.11, §3.2, §3.8.4, §3.9, §3.11, §3.14.4, §4.12; 3.1.1 §3.2, §3.8.4, §3.9.

use std::collections::BTreeMap;

use mqttspec_codec::{
    AssignedClientIdentifier, AuthenticationMethod, ConnAck, Connect, Packet, PacketIdentifier, QoS,
    ReasonString, RequestProblemInformation, RequestResponseInformation, ResponseInformation, Role, Version,
};

use super::Rule;
use crate::finding::Finding;
use crate::history::{History, What};
use crate::per_connection::PerConnection;

const ONE_CONNACK: Rule = Rule::new(&["MQTT-3.2.0-2"], &["MQTT-3.1.4-4"]);
const CONNACK_FIRST: Rule = Rule::new(&["MQTT-3.2.0-1"], &["MQTT-3.2.0-1"]);
const LAST: Rule = Rule::new(&["MQTT-3.14.4-1"], &[]);
const EXPLANATION: Rule = Rule::new(&["MQTT-3.1.2-29"], &[]);
const RESPONSE_INFORMATION: Rule = Rule::new(&["MQTT-3.1.2-28"], &[]);
const ASSIGNED: Rule = Rule::new(&["MQTT-3.2.2-16", "MQTT-3.1.3-7"], &[]);
const NO_METHOD: Rule = Rule::new(&["MQTT-4.12.0-6"], &[]);
const METHOD: Rule = Rule::new(&["MQTT-4.12.0-5"], &[]);
const CONTINUE: Rule = Rule::new(&["MQTT-4.12.0-2"], &[]);
const PROOF: Rule = Rule::new(&["MQTT-4.12.0-4"], &[]);
const CODES: Rule = Rule::new(&["MQTT-3.8.4-6"], &["MQTT-3.8.4-5"]);
const GRANT: Rule = Rule::new(&["MQTT-3.8.4-7"], &["MQTT-3.8.4-5"]);
const UNSUBSCRIBE_CODES: Rule = Rule::new(&["MQTT-3.11.3-2"], &[]);

/// What has happened on a connection.
#[derive(Default)]
struct Connection<'h> {
    connect: Option<&'h Connect>,
    connacks: u32,
    accepted: bool,
    disconnected: bool,
    /// AUTH packets of the client.
    auths: u32,
    subscribes: BTreeMap<PacketIdentifier, Option<Vec<QoS>>>,
    unsubscribes: BTreeMap<PacketIdentifier, Option<usize>>,
    raw: bool,
    version: Option<Version>,
}

pub(super) fn judge(history: &History) -> Vec<Finding> {
    let mut connections: PerConnection<Connection<'_>> = PerConnection::default();
    let mut findings = Vec::new();
    for (index, event) in history.events().iter().enumerate() {
        let Some(key) = event.connection.filter(|key| history.info(key.host).observer == Role::Client) else {
            continue;
        };
        let connection = connections.get_or_default(key);
        match &event.what {
            What::Opened(version) => connection.version = Some(*version),
            What::SentRaw { .. } => connection.raw = true,
            What::Sent { packet, .. } => connection.sent(packet),
            What::Received { packet, .. } if !connection.raw => {
                let version = connection.version.unwrap_or(Version::V3_1_1);
                let name = &history.info(key.host).name;
                for (rule, expected, actual) in connection.received(packet) {
                    let actual = format!("{name} had {actual}");
                    findings.extend(rule.broken(history, version, index, expected, actual));
                }
            }
            _ => {}
        }
    }
    findings
}

type Wrong = (Rule, &'static str, String);

impl<'h> Connection<'h> {
    fn sent(&mut self, packet: &'h Packet) {
        match packet {
            Packet::Connect(connect) => match self.connect {
                None => self.connect = Some(connect),
                Some(_) => self.raw = true,
            },
            Packet::Auth(_) => self.auths += 1,
            Packet::Subscribe(subscribe) => {
                let asked = subscribe.subscriptions.iter().map(|one| one.qos).collect();
                // An identifier in use: it is unclear which one is answered.
                let known = self.subscribes.insert(subscribe.id, Some(asked)).is_some();
                if known || self.unsubscribes.contains_key(&subscribe.id) {
                    self.subscribes.insert(subscribe.id, None);
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                let known =
                    self.unsubscribes.insert(unsubscribe.id, Some(unsubscribe.filters.len())).is_some();
                if known || self.subscribes.contains_key(&unsubscribe.id) {
                    self.unsubscribes.insert(unsubscribe.id, None);
                }
            }
            _ => {}
        }
    }

    fn received(&mut self, packet: &Packet) -> Vec<Wrong> {
        let mut wrong: Vec<Wrong> = Vec::new();
        if self.disconnected {
            wrong.push((LAST, "nothing after DISCONNECT", format!("a {} after it", packet.packet_type())));
        }
        if self.connacks == 0
            && !matches!(packet, Packet::ConnAck(_) | Packet::Auth(_) | Packet::Disconnect(_))
        {
            wrong.push((CONNACK_FIRST, "CONNACK before other packets", packet.packet_type().to_string()));
        }
        let plain = self.connect.is_some_and(|connect| {
            connect.properties.get::<RequestProblemInformation>().is_some_and(|wanted| !wanted.0)
        });
        if plain && explains(packet) {
            let actual = format!("a {} with one", packet.packet_type());
            wrong.push((EXPLANATION, "no Reason String and User Property without request", actual));
        }
        match packet {
            Packet::ConnAck(ack) => wrong.extend(self.connack(ack)),
            Packet::Disconnect(_) => self.disconnected = true,
            Packet::Auth(auth) => wrong.extend(self.auth(auth)),
            Packet::SubAck(ack) => {
                if let Some(Some(asked)) = self.subscribes.remove(&ack.id) {
                    let codes = ack.reasons.iter().count();
                    if codes != asked.len() {
                        let actual = format!("{codes} for {}", asked.len());
                        wrong.push((CODES, "a Reason Code for each Topic Filter", actual));
                    }
                    let more = asked.iter().zip(&ack.reasons).find(|(asked, reason)| {
                        QoS::try_from(u8::from(**reason)).is_ok_and(|granted| granted > **asked)
                    });
                    if let Some((asked, reason)) = more {
                        let actual = format!("QoS {} for QoS {}", u8::from(*reason), u8::from(*asked));
                        wrong.push((GRANT, "no higher QoS than was requested", actual));
                    }
                }
            }
            Packet::UnsubAck(ack) => {
                let is_5 = self.version.is_some_and(Version::is_5);
                match self.unsubscribes.remove(&ack.id) {
                    Some(Some(asked)) if is_5 && ack.reasons.len() != asked => {
                        let actual = format!("{} for {asked}", ack.reasons.len());
                        wrong.push((UNSUBSCRIBE_CODES, "a Reason Code for each Topic Filter", actual));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        wrong
    }

    fn connack(&mut self, ack: &ConnAck) -> Vec<Wrong> {
        let mut wrong: Vec<Wrong> = Vec::new();
        self.connacks += 1;
        if self.connacks > 1 {
            wrong.push((ONE_CONNACK, "one CONNACK on a Network Connection", "another one".to_owned()));
        }
        let Some(connect) = self.connect else { return wrong };
        if ack.reason.is_failure() || !connect.version.is_5() {
            return wrong;
        }
        self.accepted = true;
        let asks = connect.properties.get::<RequestResponseInformation>().is_some_and(|wanted| wanted.0);
        if !asks && ack.properties.contains::<ResponseInformation>() {
            wrong.push((RESPONSE_INFORMATION, "no Response Information without request", "one".to_owned()));
        }
        if connect.client_id.as_str().is_empty() && !ack.properties.contains::<AssignedClientIdentifier>() {
            let expected = "an Assigned Client Identifier for a Client without one";
            wrong.push((ASSIGNED, expected, "a CONNACK without one".to_owned()));
        }
        let asked = connect.properties.get::<AuthenticationMethod>();
        let had = ack.properties.get::<AuthenticationMethod>();
        if asked != had {
            let rule = if asked.is_some() { METHOD } else { NO_METHOD };
            wrong.push((rule, "the Authentication Method of CONNECT in CONNACK", "another one".to_owned()));
        }
        // RFC 5802: the proof of the Client is in its second message.
        if asked.is_some_and(|method| method.0.as_str().starts_with("SCRAM-")) && self.auths == 0 {
            let expected = "no success before the Client has proved who it is";
            wrong.push((PROOF, expected, "a CONNACK with success".to_owned()));
        }
        wrong
    }

    fn auth(&self, auth: &mqttspec_codec::Auth) -> Vec<Wrong> {
        let mut wrong: Vec<Wrong> = Vec::new();
        let Some(connect) = self.connect else { return wrong };
        let asked = connect.properties.get::<AuthenticationMethod>();
        if asked.is_none() {
            wrong.push((NO_METHOD, "no AUTH without an Authentication Method", "AUTH".to_owned()));
        } else if asked != auth.properties.get::<AuthenticationMethod>() {
            wrong.push((METHOD, "the Authentication Method of CONNECT in AUTH", "another one".to_owned()));
        }
        if !self.accepted && auth.reason != mqttspec_codec::AuthReason::ContinueAuthentication {
            let actual = format!("AUTH with {}", auth.reason);
            wrong.push((CONTINUE, "AUTH with Continue authentication before CONNACK", actual));
        }
        wrong
    }
}

/// Whether a packet has a Reason String or a User Property that needs a request.
fn explains(packet: &Packet) -> bool {
    macro_rules! has {
        ($packet:ident) => {
            $packet.properties.contains::<ReasonString>()
                || $packet.properties.user_properties().next().is_some()
        };
    }
    match packet {
        Packet::PubAck(ack) => has!(ack),
        Packet::PubRec(ack) => has!(ack),
        Packet::PubRel(ack) => has!(ack),
        Packet::PubComp(ack) => has!(ack),
        Packet::SubAck(ack) => has!(ack),
        Packet::UnsubAck(ack) => has!(ack),
        Packet::Auth(auth) => has!(auth),
        _ => false,
    }
}
