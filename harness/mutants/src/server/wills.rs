//! Wills (§3.1.2.5, §3.1.3.2).

use mqttspec_codec::{
    BinaryData, Disconnect, DisconnectReason, Packet, QoS, SessionExpiryInterval, WillDelayInterval,
};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{duplicate, edit_connack, edit_connect, edit_will};
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;
use crate::state::State;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("will-forgotten", "publishes no Will")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.1.2-7", "MQTT-3.1.2-8", "U5-042", "U5-047", "U5-054"], &["MQTT-3.1.2-8"])
        .on_incoming(|_, packet| deliver(edit_connect(packet, |connect| connect.will = None))),
    mutant("will-on-disconnect", "publishes the Will on DISCONNECT")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.1.2-10", "MQTT-3.14.4-3"], &["MQTT-3.1.2-10", "MQTT-3.14.4-3"])
        .also_blamed(&[(
            Standard::V5,
            &["U5-006"],
            "a Will is published also where a short DISCONNECT is not understood",
        )])
        .on_incoming(|_, packet| match packet {
            Packet::Disconnect(_) => vec![Effect::Close, Effect::DeliverEnd],
            packet => deliver(packet),
        }),
    mutant("will-not-on-loss", "treats every lost connection as a DISCONNECT")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &["MQTT-3.1.2-8"])
        .on_network_end(|_| vec![Effect::Deliver(Disconnect::normal().into()), Effect::DeliverEnd]),
    mutant("will-not-asked-for", "treats DISCONNECT 0x04 as DISCONNECT 0x00")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &[])
        .on_incoming(|_, mut packet| {
            if let Packet::Disconnect(disconnect) = &mut packet {
                disconnect.reason = DisconnectReason::NormalDisconnection;
            }
            deliver(packet)
        }),
    mutant("will-not-on-errors", "publishes no Will after a protocol error")
        .gets_wrong(&["PUBLISH", "CONNACK", "DISCONNECT"])
        .breaks(&["MQTT-3.1.2-8", "U5-042"], &["MQTT-3.1.2-8"])
        .on_outgoing(|state, packet| match &packet {
            Packet::Disconnect(_) => {
                state.count += 1;
                send(packet)
            }
            Packet::Publish(publish) if state.count > 0 && state.is_will(publish) => Vec::new(),
            _ => send(packet),
        })
        .on_malformed(|_, bytes| {
            vec![Effect::Deliver(Disconnect::normal().into()), Effect::DeliverBytes(bytes)]
        }),
    mutant("will-not-on-take-over", "publishes no Will when the Session is taken over")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.1.2-8", "U5-045"], &["MQTT-3.1.2-8"])
        .on_incoming(|state, packet| {
            if let Packet::Connect(connect) = &packet
                && state.connection_counts.get(connect.client_id.as_str()).is_some_and(|count| *count > 1)
            {
                state.count += 1;
            }
            deliver(packet)
        })
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) if state.count > 0 && state.is_will(publish) => Vec::new(),
            _ => send(packet),
        }),
    mutant("will-twice", "publishes a Will twice")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.1.2-10"], &["MQTT-3.1.2-10"])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) if state.is_will(publish) && !publish.retain => {
                let second = duplicate(publish);
                vec![Effect::Send(packet), Effect::Send(second.into())]
            }
            _ => send(packet),
        }),
    mutant("will-delay-ignored", "publishes a Will without its delay")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.1.2-8", "U5-043", "U5-046"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_will(packet, |will| {
                will.properties.remove::<WillDelayInterval>();
            }))
        }),
    mutant("will-a-second-early", "publishes a Will one second before its delay is over")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.1.2-8", "U5-043", "U5-046"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_will(packet, |will| {
                if let Some(delay) = will.properties.get::<WillDelayInterval>() {
                    will.properties.set(WillDelayInterval(delay.0.saturating_sub(1)));
                }
            }))
        }),
    mutant("will-waits-beyond-the-session", "delays a Will although its Session has ended")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.1.2-8", "U5-043"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                let delay = connect.will.as_ref().and_then(|will| will.properties.get::<WillDelayInterval>());
                let expiry = connect.properties.get::<SessionExpiryInterval>().map_or(0, |expiry| expiry.0);
                if let Some(delay) = delay.filter(|delay| delay.0 > expiry) {
                    connect.properties.set(SessionExpiryInterval(delay.0));
                }
            }))
        }),
    mutant("will-despite-return", "publishes a delayed Will although its Client has reconnected in time")
        .gets_wrong(&["extra", "PUBLISH", "session_present", "PUBREL"])
        .breaks(&["MQTT-3.1.3-9", "U5-044"], &[])
        .on_incoming(|_, packet| deliver(edit_connect(packet, |connect| connect.clean_start = true)))
        .on_outgoing(|state, packet| {
            let resumed = state.connection_count() > 1
                && state.connection.connect.as_ref().is_some_and(|connect| !connect.clean_start);
            send(edit_connack(packet, |ack| ack.session_present = resumed && !ack.reason.is_failure()))
        }),
    mutant(
        "will-of-the-newer-connection",
        "ends the newer connection of a Client together with the older one",
    )
    .breaks(&["MQTT-3.1.2-8", "MQTT-3.1.4-5"], &["MQTT-3.1.2-8", "MQTT-3.1.4-4"])
    .on_network_end(|state| end_newer(state).into_iter().chain([Effect::DeliverEnd]).collect())
    .on_peer_close(|state| end_newer(state).into_iter().chain([Effect::Close]).collect()),
    mutant("will-retained-always", "retains every Will")
        .breaks(&["MQTT-3.1.2-14"], &["MQTT-3.1.2-16"])
        .on_incoming(|_, packet| deliver(edit_will(packet, |will| will.retain = true))),
    mutant("will-retained-never", "retains no Will")
        .breaks(&["MQTT-3.1.2-15"], &["MQTT-3.1.2-17"])
        .on_incoming(|_, packet| deliver(edit_will(packet, |will| will.retain = false))),
    mutant("will-at-qos-0", "publishes every Will at QoS 0")
        .gets_wrong(&["qos"])
        .breaks(&["MQTT-3.1.2-8", "MQTT-3.8.4-8"], &["MQTT-3.1.2-8", "MQTT-3.8.4-6"])
        .on_incoming(|_, packet| deliver(edit_will(packet, |will| will.qos = QoS::AtMostOnce))),
    mutant("will-without-properties", "publishes Wills without their properties")
        .breaks(&["MQTT-3.1.3-10", "U5-049"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_will(packet, |will| {
                let delay = will.properties.get::<WillDelayInterval>();
                will.properties.clear();
                if let Some(delay) = delay {
                    will.properties.set(delay);
                }
            }))
        }),
    mutant("will-of-before", "keeps the Will of an earlier connection")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.1.2-7"], &["MQTT-3.1.2-12", "MQTT-3.1.2-10"])
        .on_incoming(|state, packet| {
            let before = state.wills.values().next().cloned();
            deliver(edit_connect(packet, |connect| {
                if connect.will.is_none()
                    && state.connection_counts.get(connect.client_id.as_str()).is_some_and(|count| *count > 1)
                {
                    connect.will = before;
                }
            }))
        }),
    mutant("will-with-its-length", "includes the length field of a Will Payload in the payload")
        .breaks(&["MQTT-3.1.2-8"], &["MQTT-3.1.2-8", "U3-015"])
        .on_incoming(|_, packet| {
            deliver(edit_will(packet, |will| {
                let length = u16::try_from(will.payload.as_bytes().len()).unwrap_or(u16::MAX);
                let whole = [&length.to_be_bytes(), will.payload.as_bytes()].concat();
                if let Ok(payload) = BinaryData::try_from(whole) {
                    will.payload = payload;
                }
            }))
        }),
];

/// Ends the newer Network Connection of the current Client, if there is one.
fn end_newer(state: &State) -> Option<Effect> {
    let newest = state.current_connections.get(&state.client_id()).copied();
    let newer = newest.filter(|number| *number != state.connection.number);
    newer.map(|number| Effect::DeliverEnd.on(number))
}
