//! Topic Aliases in both directions (§3.1.2.11.5, §3.3.2.3.4).

use core::num::NonZeroU16;

use mqttspec_codec::{Disconnect, DisconnectReason, Packet, TopicAlias, TopicAliasMaximum};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{edit_connack, edit_connect, edit_publish};
use crate::effect::{Effect, deliver, send};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("alias-maximum-ignored", "ignores the Topic Alias Maximum of the Client")
        .gets_wrong(&["PUBLISH", "topic"])
        .breaks(&["MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-11"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                if connect.version.is_5() {
                    connect.properties.set(TopicAliasMaximum(100));
                }
            }))
        }),
    mutant("alias-outlives-its-connection", "uses a Topic Alias of an earlier connection")
        .breaks(&["MQTT-3.3.2-7", "U5-080", "U5-078"], &[])
        .also_blamed(&[(Standard::V5, &["MQTT-4.4.0-1"], "one repeated PUBLISH with its topic is expected")])
        .on_outgoing(|state, packet| {
            let again = state.connection_count() > 1;
            send(edit_publish(packet, |publish| {
                if again && publish.properties.contains::<TopicAlias>() {
                    publish.topic = None;
                }
            }))
        }),
    mutant("hands-aliases-on", "forwards the Topic Alias of the publisher to subscribers")
        .breaks(&["MQTT-3.1.2-26", "MQTT-3.1.2-27", "U5-082"], &[])
        .on_incoming(|state, packet| {
            if let Packet::Publish(publish) = &packet
                && let Some(alias) = publish.properties.get::<TopicAlias>()
            {
                state.count = alias.0.get().into();
            }
            deliver(packet)
        })
        .on_outgoing(|state, packet| {
            let alias = u16::try_from(state.count).ok().and_then(NonZeroU16::new);
            send(edit_publish(packet, |publish| {
                if let Some(alias) = alias {
                    publish.properties.set(TopicAlias(alias));
                }
            }))
        }),
    mutant("forgets-aliases", "forgets a Topic Alias after its first use")
        .breaks(&["MQTT-3.3.2-12", "U5-079", "U5-083"], &[])
        .on_incoming(|state, packet| {
            if let Packet::Publish(publish) = &packet
                && publish.topic.is_none()
                && state.connection.version.is_5()
            {
                return vec![
                    Effect::Send(Disconnect::new(DisconnectReason::TopicAliasInvalid).into()),
                    Effect::Close,
                    Effect::DeliverEnd,
                ];
            }
            deliver(packet)
        }),
    mutant("no-aliases-announced", "announces a larger Topic Alias Maximum than it supports")
        .breaks(&["MQTT-3.3.2-12"], &[])
        .on_outgoing(|state, packet| {
            let is_5 = state.connection.version.is_5();
            send(edit_connack(packet, |ack| {
                if is_5 && !ack.reason.is_failure() {
                    ack.properties.set(TopicAliasMaximum(u16::MAX));
                }
            }))
        }),
    mutant("alias-maximum-off-by-one", "uses one Topic Alias more than the Client allows")
        .breaks(&["MQTT-3.1.2-26", "MQTT-3.3.2-11"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_connect(packet, |connect| {
                if let Some(maximum) =
                    connect.properties.get::<TopicAliasMaximum>().filter(|maximum| maximum.0 > 0)
                {
                    connect.properties.set(TopicAliasMaximum(maximum.0.saturating_add(1)));
                }
            }))
        }),
];
