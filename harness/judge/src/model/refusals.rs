//! What a Server may answer to a CONNECT that it must not accept, and to a Topic Alias that it must
//! accept.
//!
//! MQTT 5.0 §3.1.2.1, §3.3.2.3.4; 3.1.1 §3.1.2.1, §3.1.2.2, §3.1.3.1.

use mqttspec_codec::{
    ConnAck, ConnectReason, DisconnectReason, Misdeed, Packet, Role, TopicAlias, TopicAliasMaximum, Version,
};

use super::Rule;
use super::facts::Facts;
use super::packets::certain_error;
use crate::finding::Finding;
use crate::history::{ConnectionKey, Ending, History, What};
use crate::per_connection::PerConnection;

const PROTOCOL_LEVEL: Rule = Rule::new(&[], &["MQTT-3.1.2-2"]);
const NO_IDENTIFIER: Rule = Rule::new(&[], &["MQTT-3.1.3-8"]);
const PROTOCOL_NAME: Rule = Rule::new(&["MQTT-3.1.2-1"], &["MQTT-3.1.2-1"]);
const ALIAS: Rule = Rule::new(&["MQTT-3.3.2-12"], &[]);

/// A CONNECT with one thing that decides about its answer.
struct Asked {
    event: usize,
    about: Misdeed,
    version: Version,
    answered: bool,
}

pub(super) fn judge(history: &History, facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = aliases(facts);
    let mut connections: PerConnection<Option<Asked>> = PerConnection::default();
    let mut versions: PerConnection<Version> = PerConnection::default();
    for (event, recorded) in history.events().iter().enumerate() {
        let Some(key) = recorded.connection.filter(|key| key.number > 0) else { continue };
        let version = versions.get(key).copied().unwrap_or(Version::V3_1_1);
        let is_first = connections.get(key).is_none();
        let begins = |about: Option<Misdeed>| {
            about.filter(|_| is_first).map(|about| Asked { event, about, version, answered: false })
        };
        match &recorded.what {
            What::Opened(version) => versions.insert(key, *version),
            What::SentRaw { bytes, .. } => {
                let error = certain_error(Role::Client, bytes, version).map(|error| error.kind);
                let is_connect = bytes.first() == Some(&0x10);
                connections.insert(key, begins(error.filter(|_| is_connect)));
            }
            // Whatever follows the first packet makes it unclear what is answered.
            What::Sent { packet, .. } => {
                let about = match packet {
                    Packet::Connect(connect) if connect.client_id.is_empty() && !connect.clean_start => {
                        Some(Misdeed::ClientIdentifierMissing)
                    }
                    _ => None,
                };
                connections.insert(key, begins(about));
            }
            What::Received { packet: Packet::ConnAck(ack), .. } => {
                if let Some(Some(asked)) = connections.get_mut(key) {
                    asked.answered = true;
                    findings.extend(answered(history, key, event, asked, ack));
                }
            }
            What::ReceivedMalformed { .. } => {
                if let Some(Some(asked)) = connections.get_mut(key) {
                    asked.answered = true;
                }
            }
            What::Closed(Ending::ByPeer) => {
                let asked = connections.get(key).and_then(Option::as_ref);
                let asked = asked.filter(|asked| !asked.answered && !facts.crashed);
                let name = &history.info(key.host).name;
                // A Server that is stopped answers nothing.
                let calm = facts.calm.lasts(name, core::time::Duration::ZERO, recorded.at);
                findings.extend(asked.filter(|_| calm).and_then(|asked| {
                    // 5.0 §3.1.2.2 lets a Server close without a CONNACK for a level that it does not know.
                    let (rule, reason) = demanded(asked.about)
                        .filter(|_| asked.about != Misdeed::ProtocolVersionUnsupported)?;
                    let actual = format!("{name}: the connection ends without a CONNACK");
                    rule.broken(history, asked.version, asked.event, &expected(reason), actual)
                }));
            }
            _ => {}
        }
    }
    findings
}

/// The rule that demands a CONNACK with one Return code, in 3.1.1.
fn demanded(about: Misdeed) -> Option<(Rule, ConnectReason)> {
    match about {
        Misdeed::ProtocolVersionUnsupported => {
            Some((PROTOCOL_LEVEL, ConnectReason::UnsupportedProtocolVersion))
        }
        Misdeed::ClientIdentifierMissing => Some((NO_IDENTIFIER, ConnectReason::ClientIdentifierNotValid)),
        _ => None,
    }
}

fn expected(reason: ConnectReason) -> String {
    format!("a CONNACK with {reason}")
}

fn answered(
    history: &History,
    key: ConnectionKey,
    event: usize,
    asked: &Asked,
    ack: &ConnAck,
) -> Option<Finding> {
    let name = &history.info(key.host).name;
    if asked.about == Misdeed::ProtocolNameUnknown && !ack.reason.is_failure() {
        let actual = format!("{name}: success in CONNACK");
        let expected = "no CONNACK with success for another Protocol Name";
        return PROTOCOL_NAME.broken(history, asked.version, event, expected, actual);
    }
    let (rule, reason) = demanded(asked.about).filter(|(_, reason)| *reason != ack.reason)?;
    let actual = format!("{name}: {}", ack.reason);
    rule.broken(history, asked.version, event, &expected(reason), actual)
}

/// DISCONNECT with Topic Alias invalid (0x94) for a Client whose aliases the Server must accept.
fn aliases(facts: &Facts<'_>) -> Vec<Finding> {
    let events = facts.history.events().iter().enumerate();
    let disconnects = events.filter_map(|(index, event)| match (&event.what, event.connection) {
        (What::Received { packet: Packet::Disconnect(disconnect), .. }, Some(key)) => {
            (disconnect.reason == DisconnectReason::TopicAliasInvalid).then_some((index, key))
        }
        _ => None,
    });
    let broken = |(index, key): (usize, ConnectionKey)| {
        let link = facts.links.get(key)?;
        let maximum = link.connack?.properties.get::<TopicAliasMaximum>().map_or(0, |maximum| maximum.0);
        // Also what the client sent before CONNACK.
        let mut sent =
            facts.history.events().iter().take(index).filter(|event| event.connection == Some(key));
        let keeps = sent.all(|event| match &event.what {
            What::Sent { packet: Packet::Publish(publish), .. } => {
                publish.properties.get::<TopicAlias>().is_none_or(|alias| alias.0.get() <= maximum)
            }
            _ => true,
        });
        if !keeps || facts.is_unclear(link.client_id, index) {
            return None;
        }
        let actual = format!("{}: Topic Alias invalid", facts.name(key));
        let expected = "every Topic Alias up to the Topic Alias Maximum of the Server";
        ALIAS.broken(facts.history, link.version, index, expected, actual)
    };
    disconnects.filter_map(broken).collect()
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::{Connect, Disconnect, QoS, TopicAliasMaximum, Utf8String};

    use super::*;
    use crate::history::builder::{HistoryBuilder, publish};
    use crate::model::{Tolerance, judge};

    fn clauses(builder: HistoryBuilder) -> Vec<String> {
        let findings = judge(&builder.build(), Tolerance::default());
        findings.into_iter().flat_map(|finding| finding.requirements).map(|broken| broken.clause).collect()
    }

    fn opened(version: Version) -> HistoryBuilder {
        HistoryBuilder::of(version, Role::Client, &["bad"]).opens("bad")
    }

    #[test]
    fn an_unknown_protocol_level_has_return_code_1() {
        let bytes = b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01a";
        let sent = || opened(Version::V3_1_1).sent_raw("bad", bytes);
        let refused = |reason| clauses(sent().received("bad", ConnAck::refused(reason)).closed("bad"));
        assert_eq!(refused(ConnectReason::UnsupportedProtocolVersion), Vec::<String>::new());
        assert_eq!(refused(ConnectReason::NotAuthorized), ["MQTT-3.1.2-2"]);
        // A Server that supports 5.0 too may follow its rules.
        assert_eq!(clauses(sent().closed("bad")), Vec::<String>::new());
        let of_5 = opened(Version::V5).sent_raw("bad", bytes).closed("bad");
        assert_eq!(clauses(of_5), Vec::<String>::new());
    }

    #[test]
    fn a_session_without_an_identifier_has_return_code_2() {
        let bytes = b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x3c\x00\x00";
        let sent = || opened(Version::V3_1_1).sent_raw("bad", bytes);
        let refused = |reason| clauses(sent().received("bad", ConnAck::refused(reason)).closed("bad"));
        assert_eq!(refused(ConnectReason::ClientIdentifierNotValid), Vec::<String>::new());
        assert_eq!(refused(ConnectReason::NotAuthorized), ["MQTT-3.1.3-8"]);
        assert_eq!(clauses(sent().closed("bad")), ["MQTT-3.1.3-8"]);
        // The answer may be lost with the connection.
        assert_eq!(clauses(sent().lost("bad")), Vec::<String>::new());
    }

    #[test]
    fn another_protocol_name_is_not_accepted() {
        let bytes = b"\x10\x0d\x00\x04MQTX\x04\x02\x00\x3c\x00\x01a";
        let sent = || opened(Version::V3_1_1).sent_raw("bad", bytes);
        assert_eq!(clauses(sent().received("bad", ConnAck::accepted(false))), ["MQTT-3.1.2-1"]);
        assert_eq!(clauses(sent().closed("bad")), Vec::<String>::new());
    }

    #[test]
    fn aliases_up_to_the_maximum_are_accepted() {
        let ended = |alias: u16| {
            let connect = Connect::new(Version::V5, Utf8String::from_static("bad"));
            let ack = ConnAck::accepted(false).with(TopicAliasMaximum(2));
            let alias = TopicAlias(alias.try_into().expect("not 0"));
            let message = publish(QoS::AtMostOnce, 0, "one").with(alias);
            let sent = opened(Version::V5).sent("bad", connect).received("bad", ack).sent("bad", message);
            let refused = Disconnect::new(DisconnectReason::TopicAliasInvalid);
            clauses(sent.received("bad", refused).closed("bad"))
        };
        assert_eq!(ended(2), ["MQTT-3.3.2-12"]);
        assert_eq!(ended(3), Vec::<String>::new());
    }
}
