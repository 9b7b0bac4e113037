//! Wills (§3.1.2.5, §3.1.3.2).

use mqttspec_codec::{
    BinaryData, Disconnect, DisconnectReason, Packet, QoS, SessionExpiryInterval, WillDelayInterval,
};

use super::server;
use crate::Defect;
use crate::deeds::{Deed, say, tell};
use crate::rules::{after, connack, connect, will, with_id};
use crate::scene::Scene;

pub(super) static DEFECTS: &[Defect] = &[
    server("will-forgotten", "publishes no Will")
        .breaks(&["MQTT-3.1.2-7", "MQTT-3.1.2-8"], &["MQTT-3.1.2-8"])
        .hears(|_, packet| tell(connect(packet, |connect| connect.will = None))),
    server("will-on-disconnect", "publishes the Will on DISCONNECT")
        .breaks(&["MQTT-3.1.2-10", "MQTT-3.14.4-3"], &["MQTT-3.1.2-10", "MQTT-3.14.4-3"])
        .hears(|_, packet| match packet {
            Packet::Disconnect(_) => vec![Deed::Close, Deed::TellEnd],
            packet => tell(packet),
        }),
    server("will-not-on-loss", "takes every end of a connection for a DISCONNECT")
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &["MQTT-3.1.2-8"])
        .loses(|_| vec![Deed::Tell(Disconnect::normal().into()), Deed::TellEnd]),
    server("will-not-asked-for", "takes DISCONNECT 0x04 for DISCONNECT 0x00")
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &[])
        .hears(|_, mut packet| {
            if let Packet::Disconnect(disconnect) = &mut packet {
                disconnect.reason = DisconnectReason::NormalDisconnection;
            }
            tell(packet)
        }),
    server("will-not-on-errors", "publishes no Will after a protocol error")
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &["MQTT-3.1.2-8"])
        .says(|scene, packet| match &packet {
            Packet::Disconnect(_) => {
                scene.count += 1;
                say(packet)
            }
            Packet::Publish(publish) if scene.count > 0 && scene.is_will(publish) => Vec::new(),
            _ => say(packet),
        })
        .hears_malformed(|_, bytes| vec![Deed::Tell(Disconnect::normal().into()), Deed::TellBytes(bytes)]),
    server("will-not-on-take-over", "publishes no Will when the Session is taken over")
        .breaks(&["MQTT-3.1.2-8", "U5-045"], &["MQTT-3.1.2-8"])
        .hears(|scene, packet| {
            if let Packet::Connect(connect) = &packet
                && scene.visits.get(connect.client_id.as_str()).is_some_and(|visits| *visits > 1)
            {
                scene.count += 1;
            }
            tell(packet)
        })
        .says(|scene, packet| match &packet {
            Packet::Publish(publish) if scene.count > 0 && scene.is_will(publish) => Vec::new(),
            _ => say(packet),
        }),
    server("will-twice", "publishes a Will twice").breaks(&["MQTT-3.1.2-10"], &["MQTT-3.1.2-10"]).says(
        |scene, packet| match &packet {
            Packet::Publish(publish) if scene.is_will(publish) && !publish.retain => {
                let mut second = publish.clone();
                if let Some(id) = publish.delivery.packet_identifier() {
                    second.delivery = with_id(second.delivery, after(after(id)));
                }
                vec![Deed::Say(packet), Deed::Say(second.into())]
            }
            _ => say(packet),
        },
    ),
    server("will-delay-ignored", "publishes a Will without its delay")
        .breaks(&["MQTT-3.1.2-8", "U5-043"], &[])
        .hears(|_, packet| {
            tell(will(packet, |will| {
                will.properties.remove::<WillDelayInterval>();
            }))
        }),
    server("will-waits-beyond-the-session", "lets a Will wait for its delay although its Session has ended")
        .breaks(&["MQTT-3.1.2-8", "U5-043"], &[])
        .hears(|_, packet| {
            tell(connect(packet, |connect| {
                let delay = connect.will.as_ref().and_then(|will| will.properties.get::<WillDelayInterval>());
                let expiry = connect.properties.get::<SessionExpiryInterval>().map_or(0, |expiry| expiry.0);
                if let Some(delay) = delay.filter(|delay| delay.0 > expiry) {
                    connect.properties.set(SessionExpiryInterval(delay.0));
                }
            }))
        }),
    server("will-despite-return", "publishes a delayed Will although its owner is back in time")
        .breaks(&["MQTT-3.1.3-9", "U5-044"], &[])
        .hears(|_, packet| tell(connect(packet, |connect| connect.clean_start = true)))
        .says(|scene, packet| {
            let resumed =
                scene.visits() > 1 && scene.wire.connect.as_ref().is_some_and(|connect| !connect.clean_start);
            say(connack(packet, |ack| ack.session_present = resumed && !ack.reason.is_failure()))
        }),
    server(
        "will-of-the-newer-connection",
        "ends the newer connection of a Client together with the older one",
    )
    .breaks(&["MQTT-3.1.2-8"], &["MQTT-3.1.2-8"])
    .loses(|scene| newer(scene).into_iter().chain([Deed::TellEnd]).collect())
    .closes(|scene| newer(scene).into_iter().chain([Deed::Close]).collect()),
    server("will-retained-always", "retains every Will")
        .breaks(&["MQTT-3.1.2-14"], &["MQTT-3.1.2-16"])
        .hears(|_, packet| tell(will(packet, |will| will.retain = true))),
    server("will-retained-never", "retains no Will")
        .breaks(&["MQTT-3.1.2-15"], &["MQTT-3.1.2-17"])
        .hears(|_, packet| tell(will(packet, |will| will.retain = false))),
    server("will-at-qos-0", "publishes every Will at QoS 0")
        .breaks(&["MQTT-3.1.2-8", "MQTT-3.8.4-8"], &["MQTT-3.1.2-8", "MQTT-3.8.4-6"])
        .hears(|_, packet| tell(will(packet, |will| will.qos = QoS::AtMostOnce))),
    server("will-without-properties", "publishes Wills without their properties")
        .breaks(&["MQTT-3.1.3-10", "U5-049"], &[])
        .hears(|_, packet| {
            tell(will(packet, |will| {
                let delay = will.properties.get::<WillDelayInterval>();
                will.properties.clear();
                if let Some(delay) = delay {
                    will.properties.set(delay);
                }
            }))
        }),
    server("will-of-before", "keeps the Will of an earlier connection")
        .breaks(&["MQTT-3.1.2-7"], &["MQTT-3.1.2-12"])
        .hears(|scene, packet| {
            let before = scene.wills.values().next().cloned();
            tell(connect(packet, |connect| {
                if connect.will.is_none()
                    && scene.visits.get(connect.client_id.as_str()).is_some_and(|visits| *visits > 1)
                {
                    connect.will = before;
                }
            }))
        }),
    server("will-with-its-length", "publishes the length of a Will Payload as a part of it")
        .breaks(&["MQTT-3.1.2-8"], &["MQTT-3.1.2-8", "U3-015"])
        .hears(|_, packet| {
            tell(will(packet, |will| {
                let length = u16::try_from(will.payload.as_bytes().len()).unwrap_or(u16::MAX);
                let whole = [&length.to_be_bytes(), will.payload.as_bytes()].concat();
                if let Ok(payload) = BinaryData::try_from(whole) {
                    will.payload = payload;
                }
            }))
        }),
];

/// Lets the peer lose the newer Network Connection of the Client at hand, where there is one.
fn newer(scene: &Scene) -> Option<Deed> {
    let newer = scene.owners.get(&scene.client_id()).copied().filter(|number| *number != scene.wire.number);
    newer.map(|number| Deed::Elsewhere(number, Box::new(Deed::TellEnd)))
}
