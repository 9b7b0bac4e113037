//! Acknowledgements of QoS 1 and QoS 2 messages, in both directions (§4.3, §4.4).

use mqttspec_codec::{MessageExpiryInterval, Packet, PacketType, PubAck, PubRec, QoS, Role};
use mqttspec_spec::Standard;

use super::mutant;
use crate::both_roles::answers_qos2_as_qos1;
use crate::edit::{acknowledgement, is_acknowledgement, next_identifier, renumbered};
use crate::effect::{Effect, deliver, send};
use crate::handlers::{
    acknowledge_forgotten, forget_received, omit_repeated_pubrel, record_pubrec, send_except,
    send_publish_for_pubrel, swap_pairs,
};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("no-puback", "does not acknowledge QoS 1 messages")
        .gets_wrong(&["PUBACK"])
        .breaks(&["MQTT-4.3.2-4", "MQTT-4.5.0-2"], &["MQTT-4.3.2-2", "MQTT-4.5.0-2"])
        .also_blamed(&[
            (
                Standard::V5,
                &["MQTT-2.2.1-5", "MQTT-4.6.0-2", "U5-097"],
                "the PUBACK whose identifier and place are looked at does not come",
            ),
            (
                Standard::V3_1_1,
                &["MQTT-2.3.1-6", "MQTT-4.6.0-2"],
                "the PUBACK whose identifier and place are looked at does not come",
            ),
        ])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubAck)),
    mutant("acknowledges-on-a-new-connection", "acknowledges on a new connection what came on the old one")
        .breaks(&["MQTT-4.3.2-4"], &["MQTT-4.3.2-2"])
        .on_incoming(|state, packet| {
            match &packet {
                Packet::Publish(publish) if publish.delivery.qos() == QoS::AtLeastOnce => {
                    let id = publish.delivery.packet_identifier();
                    state.messages.extend(id.map(|id| (id, publish.clone())));
                }
                Packet::ConnAck(_) => {
                    let owed = std::mem::take(&mut state.messages).into_keys();
                    let acknowledgements = owed.map(|id| Effect::Send(PubAck::success(id).into()));
                    return [Effect::Deliver(packet)].into_iter().chain(acknowledgements).collect();
                }
                _ => {}
            }
            deliver(packet)
        })
        .on_outgoing(|state, packet| {
            if let Packet::PubAck(ack) = &packet {
                state.messages.remove(&ack.id);
            }
            send(packet)
        }),
    mutant("no-pubrec", "does not answer QoS 2 messages")
        .gets_wrong(&["PUBREC"])
        .breaks(&["MQTT-4.3.3-8", "MQTT-4.5.0-2"], &["MQTT-4.3.3-2", "MQTT-4.5.0-2"])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubRec)),
    mutant("no-pubrel", "does not send PUBREL")
        .gets_wrong(&["PUBREL"])
        .breaks(&["MQTT-4.3.3-4"], &["MQTT-4.3.3-1"])
        .also_blamed(&[
            (Standard::V5, &["MQTT-4.1.0-1"], "a PUBREL that does not come may be lost with the Session"),
            (Standard::V3_1_1, &["MQTT-4.1.0-2"], "a PUBREL that does not come may be lost with the Session"),
        ])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubRel)),
    mutant("repetition-by-dup", "takes a QoS 1 PUBLISH with DUP for one that it has acknowledged")
        .breaks(&["MQTT-4.3.2-5"], &["MQTT-4.3.2-2"])
        .on_incoming(|state, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.qos() == QoS::AtLeastOnce => {
                let Some(id) = publish.delivery.packet_identifier() else { return deliver(packet) };
                let is_known = !state.connection.identifiers.insert(id);
                if is_known && publish.delivery.dup() { send(PubAck::success(id)) } else { deliver(packet) }
            }
            _ => deliver(packet),
        }),
    mutant("refused-identifier-is-known", "takes the PUBLISH after one that it refused for a repetition")
        .breaks(&["MQTT-4.3.3-9"], &[])
        .on_outgoing(|state, packet| {
            if let Packet::PubRec(ack) = &packet
                && ack.reason.is_failure()
            {
                state.connection.identifiers.insert(ack.id);
            }
            send(packet)
        })
        .on_incoming(|state, packet| match &packet {
            Packet::Publish(publish) => match publish.delivery.packet_identifier() {
                Some(id) if state.connection.identifiers.contains(&id) => send(PubRec::success(id)),
                _ => deliver(packet),
            },
            _ => deliver(packet),
        }),
    mutant("expiry-ends-what-it-sent", "sends no PUBREL for a message that can expire")
        .breaks(&["MQTT-4.3.3-4", "MQTT-4.3.3-7"], &[])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) => {
                if publish.properties.get::<MessageExpiryInterval>().is_some() {
                    state.connection.identifiers.extend(publish.delivery.packet_identifier());
                }
                send(packet)
            }
            Packet::PubRel(release) if state.connection.identifiers.contains(&release.id) => Vec::new(),
            _ => send(packet),
        }),
    mutant("expiry-ends-what-it-received", "sends no PUBCOMP for a message that can expire")
        .breaks(&["MQTT-4.3.3-11", "MQTT-4.3.3-13"], &[])
        .on_incoming(|state, packet| {
            if let Packet::Publish(publish) = &packet
                && publish.properties.get::<MessageExpiryInterval>().is_some()
            {
                state.connection.identifiers.extend(publish.delivery.packet_identifier());
            }
            deliver(packet)
        })
        .on_outgoing(|state, packet| match &packet {
            Packet::PubComp(ack) if state.connection.identifiers.contains(&ack.id) => Vec::new(),
            _ => send(packet),
        }),
    mutant("no-pubcomp", "does not answer PUBREL")
        .gets_wrong(&["PUBCOMP"])
        .breaks(&["MQTT-4.3.3-11"], &["MQTT-4.3.3-2"])
        .on_outgoing(|_, packet| send_except(packet, PacketType::PubComp)),
    answers_qos2_as_qos1(Role::Client),
    mutant("acknowledges-another", "acknowledges with another Packet Identifier")
        .gets_wrong(&["id", "PUBACK", "PUBREC", "PUBCOMP", "order"])
        .breaks(&["MQTT-2.2.1-5"], &["MQTT-2.3.1-6"])
        .on_outgoing(|_, packet| {
            if is_acknowledgement(&packet) { send(renumbered(packet, next_identifier)) } else { send(packet) }
        }),
    mutant("pubacks-out-of-order", "swaps each two PUBACKs")
        .gets_wrong(&["order", "PUBACK"])
        .breaks(&["MQTT-4.6.0-2"], &["MQTT-4.6.0-2"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-2.3.1-6", "MQTT-4.5.0-2"],
                "one PUBACK is expected, the first, and another comes in its place",
            ),
            (
                Standard::V5,
                &["MQTT-2.2.1-5", "U5-097", "MQTT-4.5.0-2"],
                "one PUBACK is expected, the first, and another comes in its place",
            ),
        ])
        .on_outgoing(|state, packet| swap_pairs(state, packet, |packet| matches!(packet, Packet::PubAck(_)))),
    mutant("pubrecs-out-of-order", "swaps each two PUBRECs")
        .gets_wrong(&["order", "PUBREC"])
        .breaks(&["MQTT-4.6.0-3"], &["MQTT-4.6.0-3"])
        .also_blamed(&[
            (
                Standard::V3_1_1,
                &["MQTT-4.5.0-2"],
                "one PUBREC is expected, the first, and another comes in its place",
            ),
            (
                Standard::V5,
                &["MQTT-4.5.0-2"],
                "one PUBREC is expected, the first, and another comes in its place",
            ),
        ])
        .on_outgoing(|state, packet| swap_pairs(state, packet, |packet| matches!(packet, Packet::PubRec(_)))),
    mutant("releases-out-of-order", "swaps each two PUBRELs")
        .gets_wrong(&["order", "PUBREL"])
        .breaks(&["MQTT-4.6.0-4"], &["MQTT-4.6.0-4"])
        .on_outgoing(|state, packet| swap_pairs(state, packet, |packet| matches!(packet, Packet::PubRel(_)))),
    mutant("forgets-received-qos2", "delivers a repeated QoS 2 message to its application again")
        .gets_wrong(&["extra", "PUBLISH"])
        .breaks(&["MQTT-4.3.3-10"], &["MQTT-4.3.3-2", "MQTT-4.1.0-1"])
        .on_incoming(forget_received)
        .on_outgoing(acknowledge_forgotten),
    mutant("keeps-messages-to-itself", "acknowledges messages and does not deliver them to its application")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.3.2-4", "MQTT-4.3.3-8"], &["MQTT-4.3.2-2", "MQTT-4.3.3-2"])
        .on_incoming(|_, packet| match acknowledgement(&packet) {
            Some(answer) => send(answer),
            None if matches!(packet, Packet::Publish(_)) => Vec::new(),
            None => deliver(packet),
        }),
    mutant("pubrel-not-sent-again", "does not resend PUBREL on a new connection")
        .gets_wrong(&["PUBREL"])
        .breaks(&["MQTT-4.3.3-5", "MQTT-4.4.0-1"], &["MQTT-4.3.3-1", "MQTT-4.4.0-1"])
        .also_blamed(&[(
            Standard::V5,
            &["MQTT-3.1.2-23", "U5-034"],
            "a PUBREL that is not sent again may have been lost with the Session",
        )])
        .on_incoming(record_pubrec)
        .on_outgoing(omit_repeated_pubrel),
    mutant("publish-again-for-pubrel", "resends PUBLISH instead of PUBREL on a new connection")
        .gets_wrong(&["PUBREL"])
        .breaks(
            &["MQTT-4.3.3-6", "U5-119", "MQTT-4.3.3-5", "MQTT-4.4.0-1"],
            &["MQTT-4.3.3-1", "MQTT-4.4.0-1"],
        )
        .on_incoming(record_pubrec)
        .on_outgoing(send_publish_for_pubrel),
];
