//! Shared Subscriptions (§4.8.2).

use mqttspec_codec::{Packet, TopicFilter};
use mqttspec_spec::Standard;

use super::mutant;
use crate::edit::{HIDDEN_IDENTIFIER, edit_subscriptions, hidden_unsubscribe, with_id};
use crate::effect::{Effect, deliver, send};
use crate::handlers::send_except_hidden;
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("shared-goes-to-all", "delivers messages of a Shared Subscription to every member")
        .gets_wrong(&["extra", "PUBLISH"])
        .breaks(&["U5-102"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| {
                if subscription.filter.is_shared()
                    && let Ok(filter) = TopicFilter::try_from(subscription.filter.without_share())
                {
                    subscription.filter = filter;
                }
            }))
        }),
    mutant("one-group-for-all", "ignores the ShareName of Shared Subscriptions")
        .breaks(&["U5-099"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| {
                if subscription.filter.is_shared()
                    && let Ok(filter) = TopicFilter::try_from(
                        format!("$share/all/{}", subscription.filter.without_share()).as_str(),
                    )
                {
                    subscription.filter = filter;
                }
            }))
        }),
    mutant("shared-messages-are-never-sent-again", "does not resend unacknowledged messages")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-4.4.0-1", "MQTT-4.8.2-4", "U5-104", "U5-105", "MQTT-4.3.2-3"], &[])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.dup() || state.connection_count() > 1 => Vec::new(),
            Packet::PubRel(_) if state.connection_count() > 1 => Vec::new(),
            _ => send(packet),
        }),
    mutant(
        "group-ends-with-a-member",
        "ends a Shared Subscription with the connection of one of its members",
    )
    .breaks(&["U5-103"], &[])
    .on_outgoing(|_, packet| send_except_hidden(packet))
    .on_incoming(|state, packet| {
        if let Packet::Subscribe(subscribe) = &packet
            && subscribe.subscriptions.iter().any(|subscription| subscription.filter.is_shared())
        {
            state.record_subscribe(subscribe);
        }
        deliver(packet)
    })
    .on_network_end(|state| {
        let left = state.client_id();
        if !state.subscribed.contains_key(&left) {
            return vec![Effect::DeliverEnd];
        }
        let others = state.subscribed.iter().filter(|(client, _)| **client != left);
        let ends = others.flat_map(|(client, subscribed)| {
            let number = state.current_connections.get(client).copied();
            let ends = subscribed.iter().map(hidden_unsubscribe).map(Effect::Deliver);
            number.into_iter().flat_map(move |number| ends.clone().map(move |end| end.on(number)))
        });
        ends.chain([Effect::DeliverEnd]).collect()
    }),
    mutant(
        "hands-on-what-was-begun",
        "sends a message that a lost Client has not acknowledged to another Client",
    )
    .gets_wrong(&["extra"])
    .breaks(&["MQTT-4.8.2-4", "MQTT-4.8.2-5", "U5-104"], &[])
    .also_blamed(&[(
        Standard::V5,
        &["MQTT-2.2.1-4", "MQTT-3.1.2-27"],
        "the copy has the Packet Identifier and the Topic Alias of the first one",
    )])
    .on_outgoing(|state, packet| {
        if let Packet::Publish(publish) = &packet {
            state.messages.insert(HIDDEN_IDENTIFIER, publish.clone());
        }
        send(packet)
    })
    .on_network_end(|state| {
        let message = state.messages.get(&HIDDEN_IDENTIFIER).cloned().map(|mut message| {
            message.delivery = with_id(message.delivery, HIDDEN_IDENTIFIER).with_dup(false);
            message
        });
        let sent = state
            .other_connections()
            .filter_map(|number| Some(Effect::Send(message.clone()?.into()).on(number)));
        sent.chain([Effect::DeliverEnd]).collect()
    }),
];
