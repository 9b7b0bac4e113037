//! Limits that the Client sets: Receive Maximum, Maximum Packet Size, Request Problem Information
//! (§3.1.2.11, §4.9).

use core::num::NonZeroU32;

use mqttspec_codec::{
    MaximumPacketSize, Packet, PubAck, PubComp, QoS, ReasonString, ReceiveMaximum, RequestProblemInformation,
    Utf8String,
};

use super::mutant;
use crate::edit::edit_connect;
use crate::effect::{deliver, send};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("receive-maximum-ignored", "ignores the Receive Maximum of the Client")
        .breaks(&["MQTT-3.3.4-9", "MQTT-4.9.0-2"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                connect.properties.remove::<ReceiveMaximum>();
            }))
        }),
    mutant("quota-leaks", "loses a unit of its send quota with every connection")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["U5-126"], &[])
        .on_outgoing(|state, packet| {
            let maximum = state
                .connection
                .connect
                .as_ref()
                .and_then(|connect| connect.properties.get::<ReceiveMaximum>());
            let quota = maximum.map_or(u32::MAX, |maximum| maximum.0.get().into());
            match &packet {
                Packet::Publish(publish) if publish.delivery.qos() > QoS::AtMostOnce => {
                    state.connection.identifiers.extend(publish.delivery.packet_identifier());
                    let in_flight = u32::try_from(state.connection.identifiers.len()).unwrap_or(u32::MAX);
                    if in_flight > quota.saturating_sub(state.connection_count() - 1) {
                        Vec::new()
                    } else {
                        send(packet)
                    }
                }
                _ => send(packet),
            }
        }),
    mutant("holds-answers-back", "sends no answers to a Client that has a message to acknowledge")
        .breaks(&["MQTT-3.3.4-10", "MQTT-4.9.0-3"], &[])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) => {
                state.connection.identifiers.extend(publish.delivery.packet_identifier());
                send(packet)
            }
            Packet::PubRel(_) | Packet::Disconnect(_) => send(packet),
            _ if state.connection.identifiers.is_empty() => send(packet),
            _ => Vec::new(),
        })
        .on_incoming(|state, packet| {
            if let Packet::PubAck(PubAck { id, .. }) | Packet::PubComp(PubComp { id, .. }) = &packet {
                state.connection.identifiers.remove(id);
            }
            deliver(packet)
        }),
    mutant("packet-size-ignored", "ignores the Maximum Packet Size of the Client")
        .breaks(
            &[
                "MQTT-3.1.2-24",
                "MQTT-3.2.2-19",
                "MQTT-3.2.2-20",
                "MQTT-3.9.2-1",
                "MQTT-3.9.2-2",
                "MQTT-3.11.2-1",
                "MQTT-3.14.2-3",
                "MQTT-3.14.2-4",
            ],
            &[],
        )
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                connect.properties.remove::<MaximumPacketSize>();
            }))
        }),
    mutant("packet-size-off-by-two", "does not count the fixed header in the Maximum Packet Size")
        .breaks(&["MQTT-3.1.2-24", "U5-002"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                if let Some(size) = connect.properties.get::<MaximumPacketSize>() {
                    connect.properties.set(MaximumPacketSize(size.0.saturating_add(2)));
                }
            }))
        }),
    mutant("packet-size-too-careful", "sends no packet of exactly the Maximum Packet Size")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["U5-002", "MQTT-4.5.0-1"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                let size = connect.properties.get::<MaximumPacketSize>();
                let smaller = size.and_then(|size| NonZeroU32::new(size.0.get() - 1));
                if let Some(size) = smaller {
                    connect.properties.set(MaximumPacketSize(size));
                }
            }))
        }),
    mutant("explains-too-long", "adds a Reason String of 200 bytes to every acknowledgement")
        .breaks(
            &[
                "MQTT-3.1.2-24",
                "MQTT-3.2.2-19",
                "MQTT-3.4.2-2",
                "MQTT-3.5.2-2",
                "MQTT-3.6.2-2",
                "MQTT-3.7.2-2",
                "MQTT-3.9.2-1",
                "MQTT-3.11.2-1",
                "MQTT-3.14.2-3",
                "MQTT-3.15.2-2",
            ],
            &[],
        )
        .on_outgoing(|state, mut packet| {
            let Ok(text) = Utf8String::try_from("x".repeat(200).as_str()) else { return send(packet) };
            let reason = ReasonString(text);
            match &mut packet {
                _ if !state.connection.version.is_5() => {}
                Packet::ConnAck(ack) => ack.properties.set(reason),
                Packet::Auth(auth) => auth.properties.set(reason),
                Packet::PubAck(ack) => ack.properties.set(reason),
                Packet::PubRec(ack) => ack.properties.set(reason),
                Packet::PubComp(ack) => ack.properties.set(reason),
                Packet::SubAck(ack) => ack.properties.set(reason),
                Packet::UnsubAck(ack) => ack.properties.set(reason),
                Packet::Disconnect(disconnect) => disconnect.properties.set(reason),
                _ => {}
            }
            send(packet)
        }),
    mutant("problem-information-ignored", "ignores Request Problem Information")
        .breaks(&["MQTT-3.1.2-29"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                connect.properties.remove::<RequestProblemInformation>();
            }))
        }),
];
