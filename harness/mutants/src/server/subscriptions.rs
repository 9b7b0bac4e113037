//! Subscriptions, their acknowledgements, and the matching of Topic Filters (§3.8 to §3.11, §4.7).

use core::time::Duration;

use mqttspec_codec::{
    NonEmpty, Packet, PacketType, QoS, Subscribe, SubscriptionIdentifier, TopicFilter, TopicName, UnsubAck,
    UnsubAckReason,
};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{
    duplicate, edit_publish, edit_subscriptions, hidden_unsubscribe, next_identifier, renumbered, topic,
};
use crate::effect::{Effect, deliver, send};
use crate::handlers::{send_except, send_except_hidden};
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("no-suback", "does not answer SUBSCRIBE")
        .gets_wrong(&["SUBACK"])
        .breaks(&["MQTT-3.8.4-1"], &["MQTT-3.8.4-1"])
        .also_blamed(&[(Standard::V3_1_1, &["MQTT-2.3.1-7", "MQTT-3.8.4-2"], "one expected packet shows all of them, and it does not come"), (Standard::V5, &["MQTT-2.2.1-6", "MQTT-3.8.4-2"], "one expected packet shows all of them, and it does not come")])
        .on_outgoing(|_, packet| send_except(packet, PacketType::SubAck)),
    mutant("no-unsuback", "does not answer UNSUBSCRIBE")
        .gets_wrong(&["UNSUBACK"])
        .breaks(&["MQTT-3.10.4-4"], &["MQTT-3.10.4-4"])
        .also_blamed(&[(Standard::V3_1_1, &["MQTT-2.3.1-7"], "one expected packet shows all of them, and it does not come"), (Standard::V5, &["MQTT-2.2.1-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2"], "one expected packet shows all of them, and it does not come")])
        .on_outgoing(|_, packet| send_except(packet, PacketType::UnsubAck)),
    mutant("acknowledges-unsubscribe-as-another", "answers UNSUBSCRIBE with another Packet Identifier")
        .breaks(&["MQTT-2.2.1-6", "MQTT-3.10.4-5"], &["MQTT-2.3.1-7", "MQTT-3.10.4-4"])
        .also_blamed(&[(Standard::V5, &["MQTT-3.11.3-1", "MQTT-3.11.3-2"], "one UNSUBACK is expected, with its identifier and its codes")])
        .on_outgoing(|_, packet| match packet {
            Packet::UnsubAck(_) => send(renumbered(packet, next_identifier)),
            packet => send(packet),
        }),
    mutant("one-unsuback-for-each-filter", "answers an UNSUBSCRIBE with an UNSUBACK for each filter")
        .breaks(&["MQTT-3.10.4-6", "MQTT-3.11.3-2", "MQTT-2.2.1-6", "MQTT-3.10.4-5"], &["MQTT-3.10.4-6", "MQTT-2.3.1-7", "MQTT-3.10.4-4"])
        .on_incoming(|state, packet| {
            if let Packet::Unsubscribe(unsubscribe) = &packet {
                state.connection.count = u32::try_from(unsubscribe.filters.len()).unwrap_or(1);
            }
            deliver(packet)
        })
        .on_outgoing(|state, packet| match packet {
            Packet::UnsubAck(ack) if state.connection.count > 1 => {
                let mut one = ack.clone();
                one.reasons.truncate(1);
                (0..state.connection.count).map(|_| Effect::Send(one.clone().into())).collect()
            }
            packet => send(packet),
        }),
    mutant("unsubscribes-in-words-only", "answers UNSUBSCRIBE and still delivers")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.10.4-1", "MQTT-3.10.4-2"], &["MQTT-3.10.4-1", "MQTT-3.10.4-2"])
        .also_blamed(&[(Standard::V3_1_1, &["MQTT-3.1.2-4"], "a message that should not come stands in front of the one that shows the Session"), (Standard::V5, &["MQTT-3.1.2-5"], "a message that should not come stands in front of the one that shows the Session")])
        .on_incoming(|state, packet| match &packet {
            Packet::Unsubscribe(unsubscribe) => {
                let codes = if state.connection.version.is_5() { unsubscribe.filters.len() } else { 0 };
                send(UnsubAck::new(unsubscribe.id, vec![UnsubAckReason::Success; codes]))
            }
            _ => deliver(packet),
        }),
    mutant("unsubscribes-everyone", "removes the Subscriptions of all Clients to a filter that one of them unsubscribes")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.10.4-1", "U5-099", "U5-103"], &["MQTT-3.10.4-1"])
        .on_outgoing(|_, packet| send_except_hidden(packet))
        .on_incoming(|state, packet| match &packet {
            Packet::Subscribe(subscribe) => {
                state.record_subscribe(subscribe);
                deliver(packet)
            }
            Packet::Unsubscribe(unsubscribe) => {
                let left = state.client_id();
                let others = state.subscribed.iter().filter(|(client, _)| **client != left);
                let ends = others.flat_map(|(client, subscribed)| {
                    let is_left = |subscribe: &&Subscribe| {
                        let filter = subscribe.subscriptions.first().filter.without_share();
                        unsubscribe.filters.iter().any(|other| other.without_share() == filter)
                    };
                    let ends = subscribed.iter().filter(is_left).map(hidden_unsubscribe);
                    let number = state.current_connections.get(client).copied();
                    ends.filter_map(move |end| Some(Effect::Deliver(end).on(number?)))
                });
                [Effect::Deliver(packet.clone())].into_iter().chain(ends).collect()
            }
            _ => deliver(packet),
        }),
    mutant("unsuback-codes-reversed", "reverses the Reason Codes of SUBACK and UNSUBACK")
        .gets_wrong(&["reasons"])
        .breaks(&["MQTT-3.9.3-1", "MQTT-3.11.3-1"], &["MQTT-3.9.3-1"])
        .also_blamed(&[(Standard::V5, &["U5-149", "MQTT-3.8.4-7"], "a code at another place is a grant of another filter")])
        .on_outgoing(|_, mut packet| {
            match &mut packet {
                Packet::UnsubAck(ack) => ack.reasons.reverse(),
                Packet::SubAck(ack) => ack.reasons.reverse(),
                _ => {}
            }
            send(packet)
        }),
    mutant("one-answer-for-each-filter", "answers a SUBSCRIBE with a SUBACK for each filter")
        .gets_wrong(&["reasons"])
        .breaks(&["MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-2.2.1-6", "MQTT-3.8.4-2"], &["MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-2.3.1-7", "MQTT-3.8.4-2"])
        .on_outgoing(|_, packet| match packet {
            Packet::SubAck(ack) if ack.reasons.len() > 1 => ack
                .reasons
                .iter()
                .map(|reason| {
                    let mut one = ack.clone();
                    one.reasons = NonEmpty::one(*reason);
                    Effect::Send(one.into())
                })
                .collect(),
            packet => send(packet),
        }),
    mutant("subscribes-to-everything", "treats every Topic Filter as #")
        .gets_wrong(&["extra", "reasons", "PUBLISH"])
        .breaks(&["MQTT-3.3.2-3"], &["MQTT-3.3.2-3"])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| {
                subscription.filter = TopicFilter::from_static("#");
            }))
        }),
    mutant("plus-is-hash", "treats + as #")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.3.2-3", "U5-133"], &["MQTT-3.3.2-3"])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| {
                let text = subscription.filter.as_str();
                if let Some(at) = text.find('+')
                    && let Ok(filter) = TopicFilter::try_from(format!("{}#", &text[..at]).as_str())
                {
                    subscription.filter = filter;
                }
            }))
        }),
    mutant("hash-without-its-parent", "does not match the level above with #")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.5.0-1", "U5-133"], &["MQTT-4.5.0-1"])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| {
                if let Some(text) = subscription.filter.as_str().strip_suffix("/#")
                    && let Ok(filter) = TopicFilter::try_from(format!("{text}/+").as_str())
                {
                    subscription.filter = filter;
                }
            }))
        }),
    mutant("normalises-topics", "ignores case and an empty first or last level in topics")
        .gets_wrong(&["topic", "extra"])
        .breaks(&["MQTT-4.7.3-4", "U5-132", "MQTT-3.3.2-3"], &["MQTT-4.7.3-4", "MQTT-3.3.2-3"])
        .also_blamed(&[(Standard::V5, &["MQTT-4.5.0-1"], "a message under another name does not reach the Subscription"), (Standard::V3_1_1, &["MQTT-4.5.0-1"], "a message under another name does not reach the Subscription")])
        .on_incoming(|_, packet| {
            let plain = |text: &str| text.trim_matches('/').to_lowercase();
            let packet = edit_publish(packet, |publish| {
                let name = publish.topic.as_ref().map(|name| plain(name.as_str()));
                if let Some(Ok(name)) = name.map(|name| TopicName::try_from(name.as_str())) {
                    publish.topic = Some(name);
                }
            });
            deliver(edit_subscriptions(packet, |subscription| {
                if let Ok(filter) = TopicFilter::try_from(plain(subscription.filter.as_str()).as_str()) {
                    subscription.filter = filter;
                }
            }))
        }),
    mutant("dollar-is-a-letter", "lets wildcards match topics that begin with $")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-4.7.2-1", "U5-112"], &["MQTT-4.7.2-1"])
        .on_incoming(|_, packet| {
            deliver(edit_publish(packet, |publish| {
                let name = publish.topic.as_ref().map(|name| name.as_str().replace('$', "S"));
                if let Some(Ok(name)) = name.map(|name| TopicName::try_from(name.as_str())) {
                    publish.topic = Some(name);
                }
            }))
        }),
    mutant("filters-that-match-nothing", "grants Topic Filters with wildcards and delivers nothing for them")
        .gets_wrong(&["PUBLISH", "reasons"])
        .breaks(&["MQTT-3.3.1-9", "MQTT-4.5.0-1", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "U5-132", "U5-133"], &["MQTT-3.3.1-6", "MQTT-4.5.0-1", "MQTT-4.7.1-2", "MQTT-4.7.1-3"])
        .also_blamed(&[(Standard::V5, &["MQTT-3.3.1-5", "MQTT-3.3.2-3", "MQTT-4.7.3-4"], "a message that no filter matches looks like one that was not kept or not matched as it was sent"), (Standard::V3_1_1, &["MQTT-3.3.1-5", "MQTT-3.3.2-3", "MQTT-4.7.3-4"], "a message that no filter matches looks like one that was not kept or not matched as it was sent")])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| {
                if subscription.filter.has_wildcard() && !subscription.filter.is_shared() {
                    subscription.filter = TopicFilter::from_static("no/such/topic");
                }
            }))
        }),
    mutant("no-local-ignored", "ignores No Local").breaks(&["MQTT-3.8.3-3"], &[]).on_incoming(|_, packet| {
        deliver(edit_subscriptions(packet, |subscription| subscription.no_local = false))
    }),
    mutant("no-local-for-all", "never delivers a Client's own messages to it")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.8.3-3", "MQTT-4.5.0-1"], &[])
        .also_blamed(&[(Standard::V5, &["MQTT-3.3.2-3"], "a message that does not come has no topic")])
        .on_incoming(|state, packet| {
            let is_5 = state.connection.version.is_5();
            deliver(edit_subscriptions(packet, |subscription| {
                subscription.no_local = is_5 && !subscription.filter.is_shared();
            }))
        }),
    mutant("adds-a-subscription-for-each-subscribe", "adds a Subscription instead of replacing the old one")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.8.4-3"], &["MQTT-3.8.4-3"])
        .also_blamed(&[(Standard::V5, &["MQTT-3.3.4-9", "MQTT-4.9.0-2"], "the second copy is one PUBLISH more than the Client takes"),])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish)
                if state.topics.contains(&topic(publish)) && publish.delivery.qos() == QoS::AtMostOnce =>
            {
                vec![Effect::Send(packet.clone()), Effect::Send(packet)]
            }
            Packet::Publish(publish) if state.topics.contains(&topic(publish)) => {
                let second = duplicate(publish);
                vec![Effect::Send(packet), Effect::Send(second.into())]
            }
            _ => send(packet),
        })
        .on_incoming(|state, packet| {
            if let Packet::Subscribe(subscribe) = &packet {
                for subscription in &subscribe.subscriptions {
                    let filter = subscription.filter.as_str().to_owned();
                    let again = state.subscribed.values().flatten().any(|before| {
                        before.subscriptions.iter().any(|other| other.filter == subscription.filter)
                    });
                    if again {
                        state.topics.insert(filter);
                    }
                }
                state.record_subscribe(subscribe);
            }
            deliver(packet)
        }),
    mutant("subscription-identifiers-forgotten", "delivers without Subscription Identifiers")
        .gets_wrong(&["subscription_identifier"])
        .breaks(&["MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5", "U5-109"], &[])
        .on_outgoing(|_, packet| {
            send(edit_publish(
                packet,
                |publish| while publish.properties.remove::<SubscriptionIdentifier>() {},
            ))
        }),
    mutant("one-subscription-identifier-only", "sends one Subscription Identifier instead of all")
        .gets_wrong(&["subscription_identifier"])
        .breaks(&["MQTT-3.3.4-4", "U5-074"], &[])
        .on_outgoing(|_, packet| {
            send(edit_publish(packet, |publish| {
                let first = publish.properties.get::<SubscriptionIdentifier>();
                while publish.properties.remove::<SubscriptionIdentifier>() {}
                if let Some(first) = first {
                    publish.properties.push(first);
                }
            }))
        }),
    mutant("subscription-identifier-of-before", "keeps the first Subscription Identifier of a Topic Filter")
        .gets_wrong(&["subscription_identifier"])
        .breaks(&["MQTT-3.8.4-3", "U5-085", "U5-087", "U5-086"], &[])
        .on_incoming(|state, packet| match packet {
            Packet::Subscribe(mut subscribe) => {
                let before = state.subscribed.values().flatten().find(|before| {
                    before.subscriptions.first().filter == subscribe.subscriptions.first().filter
                });
                let first = before.and_then(|before| before.properties.get::<SubscriptionIdentifier>());
                state.record_subscribe(&subscribe);
                if let Some(first) = first {
                    subscribe.properties.set(first);
                }
                deliver(subscribe)
            }
            packet => deliver(packet),
        }),
    mutant("replaces-with-a-gap", "removes a Subscription before it replaces it")
        .breaks(&["MQTT-3.8.4-4", "U5-086"], &["MQTT-3.8.4-3"])
        .on_outgoing(|_, packet| send_except_hidden(packet))
        .on_incoming(|state, packet| match &packet {
            Packet::Subscribe(subscribe) => {
                let again = state.subscribed.contains_key(&state.client_id());
                state.record_subscribe(subscribe);
                if again {
                    let unsubscribe = hidden_unsubscribe(subscribe);
                    vec![
                        Effect::Deliver(unsubscribe),
                        Effect::DeliverLater(Duration::from_millis(100), packet),
                    ]
                } else {
                    deliver(packet)
                }
            }
            _ => deliver(packet),
        }),
    mutant("normalises-characters", "treats topics that only look alike as the same")
        .gets_wrong(&["topic", "extra"])
        .breaks(&["MQTT-1.5.4-3", "MQTT-4.7.3-4"], &["MQTT-1.5.3-3", "MQTT-4.7.3-4"])
        .on_incoming(|_, packet| {
            let packet = edit_publish(packet, |publish| {
                let name = publish.topic.as_ref().map(|name| normalised(name.as_str()));
                if let Some(Ok(name)) = name.map(|name| TopicName::try_from(name.as_str())) {
                    publish.topic = Some(name);
                }
            });
            deliver(edit_subscriptions(packet, |subscription| {
                if let Ok(filter) = TopicFilter::try_from(normalised(subscription.filter.as_str()).as_str()) {
                    subscription.filter = filter;
                }
            }))
        }),
];

/// Composes an accent, folds full-width letters, drops U+FEFF, and replaces characters beyond the
/// Basic Multilingual Plane.
fn normalised(text: &str) -> String {
    let fold = |letter: char| match letter {
        '\u{feff}' => None,
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0),
        '\u{10000}'.. => Some('\u{fffd}'),
        _ => Some(letter),
    };
    text.replace("e\u{301}", "\u{e9}").chars().filter_map(fold).collect()
}
