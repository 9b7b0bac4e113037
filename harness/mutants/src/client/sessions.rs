//! Sessions and Subscriptions after a new connection (§3.1.2.4, §3.2.2.1.1, §4.4).

use mqttspec_codec::Packet;
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{edit_connack, edit_connect};
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("session-present-taken-for-granted", "assumes that the Server has its Session when it has none")
        .breaks(&["MQTT-3.2.2-5", "MQTT-4.4.0-1"], &["MQTT-4.4.0-1"])
        .also_blamed(&[(
            Standard::V5,
            &["U5-036", "MQTT-2.2.1-3"],
            "what is sent for a Session that has ended continues exchanges that are new to the Server",
        )])
        .on_incoming(|state, packet| {
            let resumes = state.connection_count() > 1;
            deliver(edit_connack(packet, |ack| ack.session_present |= resumes && !ack.reason.is_failure()))
        }),
    mutant("session-present-unheard", "assumes that the Server has lost its Session when it has it")
        .gets_wrong(&["PUBREL", "PUBLISH", "extra"])
        .breaks(
            &["MQTT-3.1.2-23", "MQTT-3.2.2-4", "MQTT-4.1.0-1", "MQTT-4.4.0-1"],
            &["MQTT-3.1.2-4", "MQTT-4.1.0-1", "MQTT-4.4.0-1"],
        )
        .also_blamed(&[
            (Standard::V3_1_1, &["MQTT-3.3.1-1"], "one PUBLISH is expected, repeated and with DUP"),
            (Standard::V5, &["MQTT-3.3.1-1"], "one PUBLISH is expected, repeated and with DUP"),
        ])
        .on_incoming(|_, packet| deliver(edit_connack(packet, |ack| ack.session_present = false))),
    mutant("old-pubrel-in-a-new-session", "sends the last PUBREL of the old Session in a new one")
        .breaks(&["MQTT-3.1.2-4", "MQTT-4.4.0-1"], &["MQTT-3.1.2-6"])
        .on_outgoing(|state, packet| {
            if matches!(packet, Packet::PubRel(_)) {
                state.held = Some(packet.clone());
            }
            send(packet)
        })
        .on_incoming(|state, packet| {
            let is_new = state.connection.connect.as_ref().is_some_and(|connect| connect.clean_start);
            let mut effects = deliver(packet.clone());
            if is_new && matches!(packet, Packet::ConnAck(_)) {
                effects.extend(state.held.take().map(Effect::Send));
            }
            effects
        }),
    mutant("clean-start-always", "starts a new Session with every connection but the first")
        .breaks(&["MQTT-3.1.2-23", "MQTT-4.1.0-1", "MQTT-4.4.0-1"], &["MQTT-4.1.0-1", "MQTT-4.4.0-1"])
        .also_blamed(&[(Standard::V5, &["U5-034"], "what a Session held is lost with it")])
        .on_outgoing(|state, packet| {
            let is_first = state.connection_counts.values().all(|count| *count <= 1);
            send(edit_connect(packet, |connect| connect.clean_start |= !is_first))
        }),
    mutant("clean-start-never", "never starts a new Session")
        .breaks_only_documented_behaviour()
        .on_outgoing(|_, packet| send(edit_connect(packet, |connect| connect.clean_start = false))),
    mutant("subscribes-at-each-connection", "subscribes again although the Server has its Session")
        .breaks_only_documented_behaviour()
        .on_outgoing(|state, packet| {
            if let Packet::Subscribe(subscribe) = &packet {
                state.record_subscribe(subscribe);
            }
            send(packet)
        })
        .on_incoming(|state, packet| match &packet {
            Packet::ConnAck(ack) if ack.session_present => {
                let before = state.subscribed.get(&state.client_id()).and_then(|all| all.last()).cloned();
                [Effect::Deliver(packet)]
                    .into_iter()
                    .chain(before.map(|subscribe| Effect::Send(subscribe.into())))
                    .collect()
            }
            _ => deliver(packet),
        }),
];
