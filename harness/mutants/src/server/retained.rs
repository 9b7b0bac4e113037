//! Retained messages (§3.3.1.3, §3.8.3.1).

use mqttspec_codec::{Packet, RetainHandling, Subscribe, Subscription, TopicFilter};

use super::mutant;
use crate::edit::{HIDDEN_IDENTIFIER, edit_publish, edit_subscriptions, edit_will, topic};
use crate::effect::{Effect, deliver, send};
use crate::handlers::send_except_hidden;
use crate::mutant::Mutant;

pub(super) static MUTANTS: &[Mutant] = &[
    mutant("retains-nothing", "retains no message")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.1.2-15", "MQTT-3.3.1-5"], &["MQTT-3.1.2-17", "MQTT-3.3.1-5"])
        .on_incoming(|_, packet| {
            deliver(edit_will(edit_publish(packet, |publish| publish.retain = false), |will| {
                will.retain = false;
            }))
        }),
    mutant("retains-everything", "retains every message")
        .gets_wrong(&["extra"])
        .breaks(&["MQTT-3.1.2-14", "MQTT-3.3.1-8"], &["MQTT-3.1.2-16", "MQTT-3.3.1-12"])
        .on_incoming(|_, packet| {
            deliver(edit_will(edit_publish(packet, |publish| publish.retain = true), |will| {
                will.retain = true;
            }))
        }),
    mutant("retains-empty-messages", "does not clear a retained message")
        .breaks(&["MQTT-3.3.1-6", "MQTT-3.3.1-7"], &["MQTT-3.3.1-10", "MQTT-3.3.1-11"])
        .on_incoming(|_, packet| {
            deliver(edit_publish(packet, |publish| publish.retain &= !publish.payload.is_empty()))
        }),
    mutant("retains-the-first", "keeps the first retained message of a topic")
        .breaks(&["MQTT-3.3.1-5"], &["MQTT-3.3.1-5", "MQTT-3.3.1-7"])
        .on_incoming(|state, packet| {
            deliver(edit_publish(packet, |publish| {
                publish.retain &= state.topics.insert(topic(publish)) || publish.payload.is_empty();
            }))
        }),
    mutant("retain-flag-on-all", "sets RETAIN on every message that it forwards")
        .gets_wrong(&["retain"])
        .breaks(&["MQTT-3.3.1-12"], &["MQTT-3.3.1-9"])
        .on_outgoing(|_, packet| send(edit_publish(packet, |publish| publish.retain = true))),
    mutant("retain-flag-on-none", "sends retained messages with RETAIN 0")
        .gets_wrong(&["retain"])
        .breaks(&["U5-060"], &["MQTT-3.3.1-8"])
        .on_outgoing(|_, packet| send(edit_publish(packet, |publish| publish.retain = false))),
    mutant("retained-only-once", "sends a retained message once to each Session")
        .gets_wrong(&["PUBLISH"])
        .breaks(&["MQTT-3.3.1-9", "MQTT-3.8.4-4"], &["MQTT-3.3.1-6", "MQTT-3.8.4-3"])
        .on_outgoing(|state, packet| match &packet {
            Packet::Publish(publish) if publish.retain && !state.connection.topics.insert(topic(publish)) => {
                Vec::new()
            }
            _ => send(packet),
        }),
    mutant("retained-again-at-resumption", "sends retained messages when a Session is resumed")
        .breaks(&["MQTT-3.3.1-9", "U5-061"], &["MQTT-3.3.1-9"])
        .on_incoming(|state, packet| {
            if let Packet::Subscribe(subscribe) = &packet {
                state.record_subscribe(subscribe);
            }
            deliver(packet)
        })
        .on_outgoing(|state, packet| match &packet {
            Packet::ConnAck(ack) if ack.session_present => {
                let before = state.subscribed.get(&state.client_id()).and_then(|all| all.last()).cloned();
                let again = before.map(|subscribe| {
                    Effect::Deliver(Subscribe { id: HIDDEN_IDENTIFIER, ..subscribe }.into())
                });
                [Effect::Send(packet)].into_iter().chain(again).collect()
            }
            _ => send_except_hidden(packet),
        }),
    mutant("retain-as-published-ignored", "ignores Retain As Published")
        .breaks(&["MQTT-3.3.1-13"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| subscription.retain_as_published = false))
        }),
    mutant("retain-handling-ignored", "ignores Retain Handling")
        .breaks(&["MQTT-3.3.1-10", "MQTT-3.3.1-11"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription| {
                subscription.retain_handling = RetainHandling::SendAtSubscribe;
            }))
        }),
    mutant("retained-to-shared", "sends retained messages for a Shared Subscription")
        .gets_wrong(&["extra", "PUBLISH"])
        .breaks(&["U5-101"], &[])
        .on_incoming(|_, packet| {
            deliver(edit_subscriptions(packet, |subscription: &mut Subscription| {
                if subscription.filter.is_shared()
                    && let Ok(filter) = TopicFilter::try_from(subscription.filter.without_share())
                {
                    subscription.filter = filter;
                }
            }))
        }),
];
