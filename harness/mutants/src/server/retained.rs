//! Retained messages (§3.3.1.3, §3.8.3.1).

use mqttspec_codec::{Packet, RetainHandling, Subscribe, Subscription, TopicFilter};

use super::server;
use crate::Defect;
use crate::deeds::{Deed, say, tell};
use crate::rules::{HIDDEN, publish, remembers, says_nothing_hidden, subscriptions, topic, will};

pub(super) static DEFECTS: &[Defect] = &[
    server("retains-nothing", "retains no message")
        .breaks(&["MQTT-3.1.2-15", "MQTT-3.3.1-5"], &["MQTT-3.1.2-17", "MQTT-3.3.1-5"])
        .hears(|_, packet| {
            tell(will(publish(packet, |publish| publish.retain = false), |will| will.retain = false))
        }),
    server("retains-everything", "retains every message")
        .breaks(&["MQTT-3.1.2-14", "MQTT-3.3.1-8"], &["MQTT-3.1.2-16", "MQTT-3.3.1-12"])
        .hears(|_, packet| {
            tell(will(publish(packet, |publish| publish.retain = true), |will| will.retain = true))
        }),
    server("retains-empty-messages", "does not clear a retained message")
        .breaks(&["MQTT-3.3.1-6", "MQTT-3.3.1-7"], &["MQTT-3.3.1-10", "MQTT-3.3.1-11"])
        .hears(|_, packet| tell(publish(packet, |publish| publish.retain &= !publish.payload.is_empty()))),
    server("retains-the-first", "keeps the first retained message of a topic")
        .breaks(&["MQTT-3.3.1-5"], &["MQTT-3.3.1-5", "MQTT-3.3.1-7"])
        .hears(|scene, packet| {
            tell(publish(packet, |publish| {
                publish.retain &= scene.topics.insert(topic(publish)) || publish.payload.is_empty();
            }))
        }),
    server("retain-flag-on-all", "sets RETAIN on what it forwards")
        .breaks(&["MQTT-3.3.1-12"], &["MQTT-3.3.1-9"])
        .says(|_, packet| say(publish(packet, |publish| publish.retain = true))),
    server("retain-flag-on-none", "sends retained messages with RETAIN 0")
        .breaks(&["U5-060"], &["MQTT-3.3.1-8"])
        .says(|_, packet| say(publish(packet, |publish| publish.retain = false))),
    server("retained-only-once", "sends a retained message once to each Session")
        .breaks(&["MQTT-3.3.1-9", "MQTT-3.8.4-4"], &["MQTT-3.3.1-6", "MQTT-3.8.4-3"])
        .says(|scene, packet| match &packet {
            Packet::Publish(publish) if publish.retain && !scene.wire.topics.insert(topic(publish)) => {
                Vec::new()
            }
            _ => say(packet),
        }),
    server("retained-again-at-resumption", "sends retained messages to a Session that is resumed")
        .breaks(&["MQTT-3.3.1-9", "U5-061"], &["MQTT-3.3.1-6"])
        .hears(|scene, packet| {
            if let Packet::Subscribe(subscribe) = &packet {
                remembers(scene, subscribe);
            }
            tell(packet)
        })
        .says(|scene, packet| match &packet {
            Packet::ConnAck(ack) if ack.session_present => {
                let before = scene.subscribed.get(&scene.client_id()).and_then(|all| all.last()).cloned();
                let again = before.map(|subscribe| Deed::Tell(Subscribe { id: HIDDEN, ..subscribe }.into()));
                [Deed::Say(packet)].into_iter().chain(again).collect()
            }
            _ => says_nothing_hidden(packet),
        }),
    server("retain-as-published-ignored", "takes no notice of Retain As Published")
        .breaks(&["MQTT-3.3.1-13"], &[])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription| subscription.retain_as_published = false))
        }),
    server("retain-handling-ignored", "takes no notice of Retain Handling")
        .breaks(&["MQTT-3.3.1-10", "MQTT-3.3.1-11"], &[])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription| {
                subscription.retain_handling = RetainHandling::SendAtSubscribe;
            }))
        }),
    server("retained-to-shared", "sends retained messages for a Shared Subscription")
        .breaks(&["U5-101"], &[])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription: &mut Subscription| {
                if subscription.filter.is_shared()
                    && let Ok(filter) = TopicFilter::try_from(subscription.filter.without_share())
                {
                    subscription.filter = filter;
                }
            }))
        }),
];
