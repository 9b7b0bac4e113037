//! Whether the peer may have had two equal messages to send. Then a second PUBLISH may be new.
//!
//! MQTT 5.0 §3.3.4 and 3.1.1 §3.3.5: a Server may send a copy for each Subscription.

use std::collections::BTreeSet;

use mqttspec_codec::{Packet, Publish, Role, TopicFilter, TopicName};

use super::observation::{Observation, Seen};
use crate::history::{Asked, What};

/// Whether a PUBLISH of the peer must be that of the only message with its topic and payload.
/// Without the events of the run it is not certain.
pub(super) fn is_the_only_one(observation: &Observation<'_>) -> bool {
    let Seen::FromPeer(Packet::Publish(publish)) = observation.seen else { return false };
    match observation.peer {
        Role::Client => asked(observation, publish) == 1,
        Role::Server => published(observation, publish) == 1 && copies(observation, publish) <= 1,
    }
}

/// How often an application asked its client to publish the message.
fn asked(observation: &Observation<'_>, publish: &Publish) -> usize {
    let host = observation.connection.host;
    let events = observation.before().iter();
    let of_host = events.filter(|event| event.connection.is_some_and(|connection| connection.host == host));
    let asks = of_host.filter(|event| match &event.what {
        What::Asked(
            Asked::Publish { message, .. } | Asked::Request { message } | Asked::Deliver { message },
        ) => message.payload == publish.payload,
        _ => false,
    });
    asks.count()
}

/// How many packets published the message, Wills included.
fn published(observation: &Observation<'_>, publish: &Publish) -> usize {
    let may_publish = |what: &What| match what {
        What::Sent { packet: Packet::Publish(sent), .. } => sent.payload == publish.payload,
        What::Sent { packet: Packet::Connect(connect), .. } => {
            connect.will.as_ref().is_some_and(|will| will.payload.as_bytes() == &publish.payload[..])
        }
        What::SentRaw { .. } => true,
        _ => false,
    };
    observation.before().iter().filter(|event| may_publish(&event.what)).count()
}

/// How many requests of the Client may each have given it a copy. A Client Identifier that several
/// hosts use has the requests of all of them.
fn copies(observation: &Observation<'_>, publish: &Publish) -> usize {
    let sent = || {
        observation.before().iter().filter_map(|event| match (&event.what, event.connection) {
            (What::Sent { packet, .. }, Some(connection)) => Some((connection.host, packet)),
            _ => None,
        })
    };
    let own = observation.connection.host;
    let ids_of = |is_own: bool| -> BTreeSet<&str> {
        let connects = sent().filter_map(|(host, packet)| match packet {
            Packet::Connect(connect) if (host == own) == is_own => Some(connect.client_id.as_str()),
            _ => None,
        });
        connects.collect()
    };
    let is_shared = !ids_of(true).is_disjoint(&ids_of(false));
    let requests = sent().filter(|(host, _)| is_shared || *host == own);
    let filters = requests.flat_map(|(_, packet)| match packet {
        Packet::Subscribe(subscribe) => &subscribe.subscriptions[..],
        _ => &[],
    });
    filters.filter(|subscription| may_match(&subscription.filter, publish.topic.as_ref())).count()
}

/// A PUBLISH that has only a Topic Alias may have any topic.
fn may_match(filter: &TopicFilter, topic: Option<&TopicName>) -> bool {
    topic.is_none_or(|topic| filter.matches(topic) || filter.matches_verbatim(topic))
}
