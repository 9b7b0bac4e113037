//! Subscriptions, shared ones too (§3.8, §3.10, §4.7, §4.8.2).

use core::time::Duration;

use mqttspec_codec::{Packet, QoS, SubscriptionIdentifier, TopicFilter, TopicName};

use super::server;
use crate::Defect;
use crate::deeds::{Deed, say, tell};
use crate::rules::{
    HIDDEN, after, publish, remembers, says_nothing_hidden, subscriptions, topic, undone, with_id,
};

pub(super) static DEFECTS: &[Defect] = &[
    // Subscriptions.
    server("subscribes-to-everything", "treats every Topic Filter as #")
        .breaks(&["MQTT-3.3.2-3"], &["MQTT-3.3.2-3"])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription| subscription.filter = TopicFilter::from_static("#")))
        }),
    server("plus-is-hash", "treats + as #").breaks(&["MQTT-3.3.2-3", "U5-133"], &["MQTT-3.3.2-3"]).hears(
        |_, packet| {
            tell(subscriptions(packet, |subscription| {
                let text = subscription.filter.as_str();
                if let Some(at) = text.find('+')
                    && let Ok(filter) = TopicFilter::try_from(format!("{}#", &text[..at]).as_str())
                {
                    subscription.filter = filter;
                }
            }))
        },
    ),
    server("hash-without-its-parent", "does not match the level above with #")
        .breaks(&["MQTT-4.5.0-1", "U5-133"], &["MQTT-4.5.0-1"])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription| {
                if let Some(text) = subscription.filter.as_str().strip_suffix("/#")
                    && let Ok(filter) = TopicFilter::try_from(format!("{text}/+").as_str())
                {
                    subscription.filter = filter;
                }
            }))
        }),
    server("normalises-topics", "takes topics for the same that differ in an empty level or in case")
        .breaks(&["MQTT-4.7.3-4", "U5-132"], &["MQTT-4.7.3-4"])
        .hears(|_, packet| {
            let plain = |text: &str| text.trim_matches('/').to_lowercase();
            let packet = publish(packet, |publish| {
                let name = publish.topic.as_ref().map(|name| plain(name.as_str()));
                if let Some(Ok(name)) = name.map(|name| TopicName::try_from(name.as_str())) {
                    publish.topic = Some(name);
                }
            });
            tell(subscriptions(packet, |subscription| {
                if let Ok(filter) = TopicFilter::try_from(plain(subscription.filter.as_str()).as_str()) {
                    subscription.filter = filter;
                }
            }))
        }),
    server("dollar-is-a-letter", "lets wildcards match topics that begin with $")
        .breaks(&["MQTT-4.7.2-1", "U5-112"], &["MQTT-4.7.2-1"])
        .hears(|_, packet| {
            tell(publish(packet, |publish| {
                let name = publish.topic.as_ref().map(|name| name.as_str().replace('$', "S"));
                if let Some(Ok(name)) = name.map(|name| TopicName::try_from(name.as_str())) {
                    publish.topic = Some(name);
                }
            }))
        }),
    server("filters-that-match-nothing", "grants Topic Filters with wildcards and delivers nothing for them")
        .breaks(&["MQTT-3.3.1-9", "MQTT-4.5.0-1"], &["MQTT-3.3.1-6", "MQTT-4.5.0-1"])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription| {
                if subscription.filter.has_wildcard() && !subscription.filter.is_shared() {
                    subscription.filter = TopicFilter::from_static("no/such/topic");
                }
            }))
        }),
    server("no-local-ignored", "takes no notice of No Local")
        .breaks(&["MQTT-3.8.3-3"], &[])
        .hears(|_, packet| tell(subscriptions(packet, |subscription| subscription.no_local = false))),
    server("no-local-for-all", "gives nobody its own messages")
        .breaks(&["MQTT-3.8.3-3", "MQTT-4.5.0-1"], &[])
        .hears(|scene, packet| {
            let is_5 = scene.wire.version.is_5();
            tell(subscriptions(packet, |subscription| {
                subscription.no_local = is_5 && !subscription.filter.is_shared();
            }))
        }),
    server("adds-a-subscription-for-each-subscribe", "adds a Subscription where it should replace one")
        .breaks(&["MQTT-3.8.4-3"], &["MQTT-3.8.4-3"])
        .says(|scene, packet| match &packet {
            Packet::Publish(publish)
                if scene.topics.contains(&topic(publish)) && publish.delivery.qos() == QoS::AtMostOnce =>
            {
                vec![Deed::Say(packet.clone()), Deed::Say(packet)]
            }
            Packet::Publish(publish) if scene.topics.contains(&topic(publish)) => {
                let mut second = publish.clone();
                if let Some(id) = publish.delivery.packet_identifier() {
                    second.delivery = with_id(second.delivery, after(after(id)));
                }
                vec![Deed::Say(packet), Deed::Say(second.into())]
            }
            _ => say(packet),
        })
        .hears(|scene, packet| {
            if let Packet::Subscribe(subscribe) = &packet {
                for subscription in &subscribe.subscriptions {
                    let filter = subscription.filter.as_str().to_owned();
                    let again = scene.subscribed.values().flatten().any(|before| {
                        before.subscriptions.iter().any(|other| other.filter == subscription.filter)
                    });
                    if again {
                        scene.topics.insert(filter);
                    }
                }
                remembers(scene, subscribe);
            }
            tell(packet)
        }),
    server("subscription-identifiers-forgotten", "delivers without Subscription Identifiers")
        .breaks(&["MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5"], &[])
        .says(|_, packet| {
            say(publish(packet, |publish| while publish.properties.remove::<SubscriptionIdentifier>() {}))
        }),
    server("one-subscription-identifier-only", "sends one Subscription Identifier where several belong")
        .breaks(&["MQTT-3.3.4-4"], &[])
        .says(|_, packet| {
            say(publish(packet, |publish| {
                let first = publish.properties.get::<SubscriptionIdentifier>();
                while publish.properties.remove::<SubscriptionIdentifier>() {}
                if let Some(first) = first {
                    publish.properties.push(first);
                }
            }))
        }),
    server("subscription-identifier-of-before", "keeps the first Subscription Identifier of a Topic Filter")
        .breaks(&["MQTT-3.8.4-3", "U5-085", "U5-087"], &[])
        .hears(|scene, packet| match packet {
            Packet::Subscribe(mut subscribe) => {
                let before = scene.subscribed.values().flatten().find(|before| {
                    before.subscriptions.first().filter == subscribe.subscriptions.first().filter
                });
                let first = before.and_then(|before| before.properties.get::<SubscriptionIdentifier>());
                remembers(scene, &subscribe);
                if let Some(first) = first {
                    subscribe.properties.set(first);
                }
                tell(subscribe)
            }
            packet => tell(packet),
        }),
    // Shared Subscriptions.
    server("shared-goes-to-all", "gives messages of a Shared Subscription to every member")
        .breaks(&["U5-102"], &[])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription| {
                if subscription.filter.is_shared()
                    && let Ok(filter) = TopicFilter::try_from(subscription.filter.without_share())
                {
                    subscription.filter = filter;
                }
            }))
        }),
    server("one-group-for-all", "takes Shared Subscriptions for the same whatever their ShareName")
        .breaks(&["U5-099"], &[])
        .hears(|_, packet| {
            tell(subscriptions(packet, |subscription| {
                if subscription.filter.is_shared()
                    && let Ok(filter) = TopicFilter::try_from(
                        format!("$share/all/{}", subscription.filter.without_share()).as_str(),
                    )
                {
                    subscription.filter = filter;
                }
            }))
        }),
    server("shared-messages-are-never-sent-again", "sends nothing again that is unanswered")
        .breaks(&["MQTT-4.4.0-1", "MQTT-4.8.2-4", "U5-104", "U5-105"], &[])
        .says(|scene, packet| match &packet {
            Packet::Publish(publish) if publish.delivery.dup() || scene.visits() > 1 => Vec::new(),
            Packet::PubRel(_) if scene.visits() > 1 => Vec::new(),
            _ => say(packet),
        }),
    server(
        "group-ends-with-a-member",
        "ends a Shared Subscription with the connection of one of its members",
    )
    .breaks(&["U5-103"], &[])
    .says(|_, packet| says_nothing_hidden(packet))
    .hears(|scene, packet| {
        if let Packet::Subscribe(subscribe) = &packet
            && subscribe.subscriptions.iter().any(|subscription| subscription.filter.is_shared())
        {
            remembers(scene, subscribe);
        }
        tell(packet)
    })
    .loses(|scene| {
        let left = scene.client_id();
        if !scene.subscribed.contains_key(&left) {
            return vec![Deed::TellEnd];
        }
        let others = scene.subscribed.iter().filter(|(client, _)| **client != left);
        let ends = others.flat_map(|(client, subscribed)| {
            let number = scene.owners.get(client).copied();
            let ends = subscribed.iter().map(undone).map(Deed::Tell);
            number
                .into_iter()
                .flat_map(move |number| ends.clone().map(move |end| Deed::Elsewhere(number, Box::new(end))))
        });
        ends.chain([Deed::TellEnd]).collect()
    }),
    server("hands-on-what-was-begun", "gives a message that was begun with a lost Client to the others")
        .breaks(&["MQTT-4.8.2-4", "MQTT-4.8.2-5", "U5-104"], &[])
        .says(|scene, packet| {
            if let Packet::Publish(publish) = &packet {
                scene.messages.insert(HIDDEN, publish.clone());
            }
            say(packet)
        })
        .loses(|scene| {
            let message = scene.messages.get(&HIDDEN).cloned().map(|mut message| {
                message.delivery = with_id(message.delivery, HIDDEN).with_dup(false);
                message
            });
            let others = scene.owners.values().filter(|number| **number != scene.wire.number);
            let handed_on = others.filter_map(|number| {
                let message = message.clone()?;
                Some(Deed::Elsewhere(*number, Box::new(Deed::Say(message.into()))))
            });
            handed_on.chain([Deed::TellEnd]).collect()
        }),
    server("replaces-with-a-gap", "takes a Subscription away before it replaces it")
        .breaks(&["MQTT-3.8.4-4", "U5-086"], &["MQTT-3.8.4-3"])
        .says(|_, packet| says_nothing_hidden(packet))
        .hears(|scene, packet| match &packet {
            Packet::Subscribe(subscribe) => {
                let again = scene.subscribed.contains_key(&scene.client_id());
                remembers(scene, subscribe);
                if again {
                    let undone = undone(subscribe);
                    vec![Deed::Tell(undone), Deed::TellLater(Duration::from_millis(100), packet)]
                } else {
                    tell(packet)
                }
            }
            _ => tell(packet),
        }),
    server("normalises-characters", "takes topics for the same that only look the same")
        .breaks(&["MQTT-1.5.4-3", "MQTT-4.7.3-4"], &["MQTT-1.5.3-3", "MQTT-4.7.3-4"])
        .hears(|_, packet| {
            let packet = publish(packet, |publish| {
                let name = publish.topic.as_ref().map(|name| looks(name.as_str()));
                if let Some(Ok(name)) = name.map(|name| TopicName::try_from(name.as_str())) {
                    publish.topic = Some(name);
                }
            });
            tell(subscriptions(packet, |subscription| {
                if let Ok(filter) = TopicFilter::try_from(looks(subscription.filter.as_str()).as_str()) {
                    subscription.filter = filter;
                }
            }))
        }),
];

/// A text as somebody sees it who composes accents, folds full-width letters, skips marks and knows no character beyond the first plane.
fn looks(text: &str) -> String {
    let seen = |letter: char| match letter {
        '\u{feff}' => None,
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(letter) - 0xfee0),
        '\u{10000}'.. => Some('\u{fffd}'),
        _ => Some(letter),
    };
    text.replace("e\u{301}", "\u{e9}").chars().filter_map(seen).collect()
}
