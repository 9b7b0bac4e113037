//! Retained messages: sent at a new subscription, if and only if they are owed.
//!
//! What is retained for a topic is known only if the retained messages of the topic were published
//! one after the other, each after the one before was acknowledged.
//!
//! MQTT 5.0 §3.3.1.3, §3.8.3.1, §4.8.2; 3.1.1 §3.3.1.3.

use core::time::Duration;
use std::collections::BTreeSet;

use mqttspec_codec::{
    MaximumPacketSize, MessageExpiryInterval, QoS, ReceiveMaximum, RetainHandling, TopicName, Version,
};

use super::Rule;
use super::facts::Facts;
use super::links::{Arrival, Publication, Request};
use crate::finding::Finding;

const OWED: Rule = Rule::new(&["MQTT-3.3.1-9", "MQTT-3.3.1-5"], &["MQTT-3.3.1-6", "MQTT-3.3.1-5"]);
const WILL: Rule = Rule::new(&["MQTT-3.1.2-15"], &["MQTT-3.1.2-17"]);
const REMOVED: Rule = Rule::new(&["MQTT-3.3.1-6"], &["MQTT-3.3.1-10"]);
const REPLACED: Rule = Rule::new(&["MQTT-3.3.1-5"], &["MQTT-3.3.1-5"]);
const NEVER: Rule = Rule::new(&["MQTT-3.3.1-11"], &[]);
const EXISTED: Rule = Rule::new(&["MQTT-3.3.1-10"], &[]);
const SHARED: Rule = Rule::new(&["U5-101"], &[]);

/// How long after the SUBACK a retained message may come.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.raw {
        return findings;
    }
    for arrival in
        facts.arrivals.iter().filter(|arrival| arrival.publish.retain && !arrival.publish.delivery.dup())
    {
        findings.extend(unasked(facts, arrival));
    }
    if facts.crashed {
        return findings;
    }
    let retained = facts.publications.iter().filter(|publication| publication.publish.retain);
    let topics: BTreeSet<&TopicName> = retained.map(|publication| publication.topic).collect();
    for request in &facts.requests {
        for topic in &topics {
            findings.extend(at_subscription(facts, request, topic));
        }
    }
    findings
}

/// A message with RETAIN 1 that no subscription asked for. Where no subscription has Retain As
/// Published, it is a retained message.
fn unasked(facts: &Facts<'_>, arrival: &Arrival<'_>) -> Option<Finding> {
    let link = facts.links.get(arrival.link)?;
    if !link.version.is_5() || facts.is_unclear(link.client_id, arrival.event) {
        return None;
    }
    let requests = facts.matching(arrival.link, arrival.event, arrival.topic);
    if requests.is_empty() || requests.iter().any(|request| request.retain_as_published) {
        return None;
    }
    let (rule, expected) = if requests.iter().all(|request| request.filter.is_shared()) {
        (SHARED, "no retained message for a Shared Subscription")
    } else if requests.iter().all(|request| request.retain_handling == RetainHandling::DoNotSend) {
        (NEVER, "no retained message with Retain Handling 2")
    } else {
        return None;
    };
    let actual = format!("{} had {} with RETAIN 1", facts.name(arrival.link), arrival.topic.as_str());
    rule.broken(facts.history, link.version, arrival.event, expected, actual)
}

/// The retained message of a topic at an event, if it is certain.
fn retained<'f, 'h>(
    facts: &'f Facts<'h>,
    topic: &TopicName,
    at: usize,
    until: Duration,
) -> Option<&'f Publication<'h>> {
    // Any that is published until then may be retained when the message is sent.
    let in_time = |publication: &&Publication<'_>| facts.at(publication.sent) <= until;
    let mut all: Vec<&Publication<'_>> = facts
        .publications
        .iter()
        .filter(|publication| publication.publish.retain && publication.topic == topic)
        .filter(in_time)
        .collect();
    all.sort_by_key(|publication| publication.sent);
    let last = all.pop()?;
    let taken = taken(facts, last)?;
    let certain = taken < at
        && all.iter().all(|other| self::taken(facts, other).is_some_and(|taken| taken < last.sent))
        && !last.publish.properties.contains::<MessageExpiryInterval>()
        && !facts.is_unclear(last.client_id, last.sent);
    certain.then_some(last)
}

/// The event by which the Server has a message: its acknowledgement, or its arrival for a Will. A
/// Server of 3.1.1 also acknowledges what it does not authorize.
fn taken(facts: &Facts<'_>, publication: &Publication<'_>) -> Option<usize> {
    let is_5 = facts.links.get(publication.link).is_some_and(|link| link.version.is_5());
    if publication.is_will || !is_5 {
        facts.only_publication(publication.message)?;
        let mut arrivals = facts.arrivals_of(publication.message);
        return arrivals.next().map(|arrival| arrival.event);
    }
    publication.accepted
}

fn at_subscription(facts: &Facts<'_>, request: &Request<'_>, topic: &TopicName) -> Option<Finding> {
    let (granted_at, granted) = request.granted?;
    granted?;
    let link = facts.links.get(request.link)?;
    let uncertain = request.no_local
        || request.filter.is_shared()
        || link.version == Version::V3_1
        || topic.as_str().starts_with('$')
        || link.connect.properties.contains::<MaximumPacketSize>()
        || link.connect.properties.contains::<ReceiveMaximum>()
        || facts.is_retained_by_raw_bytes(topic)
        || facts.is_unclear(request.client_id, granted_at);
    let matching = facts.matching(request.link, request.sent + 1, topic);
    let asked = matching.iter().any(|other| core::ptr::eq(*other, request));
    if uncertain || !asked {
        return None;
    }
    let patience = PATIENCE + facts.tolerance.answer;
    let until = facts.at(granted_at) + patience;
    let last = retained(facts, topic, request.sent, until)?;
    let earlier = matching.iter().any(|other| !core::ptr::eq(*other, request));
    let same = matching.iter().any(|other| !core::ptr::eq(*other, request) && other.filter == request.filter);
    let payload = &last.publish.payload;
    let at = facts.at(granted_at);
    let arrivals = || {
        facts.arrivals.iter().filter(|arrival| {
            let in_time = arrival.event > request.sent && facts.at(arrival.event) <= until;
            arrival.link == request.link && arrival.topic == topic && in_time
        })
    };
    let broken = |rule: Rule, event: usize, expected: &str, actual: &str| {
        let actual = format!("{} subscribed to {}: {actual}", facts.name(request.link), topic.as_str());
        rule.broken(facts.history, link.version, event, expected, actual)
    };
    // Another message than the last one, on the first subscription of the Session.
    if !earlier && !request.retain_as_published {
        let mut old = arrivals().filter(|arrival| {
            let is_dup = arrival.publish.delivery.dup();
            arrival.publish.retain && !is_dup && arrival.publish.payload != *payload
        });
        if let Some(arrival) = old.next() {
            let (rule, expected) = match payload.is_empty() {
                true => (REMOVED, "no retained message after an empty one"),
                false => (REPLACED, "the last retained message"),
            };
            return broken(rule, arrival.event, expected, "another retained message came");
        }
    }
    let sends = match request.retain_handling {
        RetainHandling::SendAtSubscribe => true,
        RetainHandling::SendIfNew => !earlier,
        RetainHandling::DoNotSend => false,
    };
    if request.retain_handling == RetainHandling::SendIfNew
        && same
        && matching.iter().all(|other| !other.retain_as_published)
    {
        return existed(facts, request, last, &matching).and_then(|event| {
            broken(EXISTED, event, "no retained message where the subscription existed", "it came")
        });
    }
    let stands = link.closed.is_none_or(|(closed, _)| facts.at(closed) > at + patience)
        && link.left.is_none_or(|(left, _)| facts.at(left) > at + patience)
        && facts.end > at + patience
        && facts.calm.lasts(facts.name(request.link), at, at + patience)
        && request.removed.is_none()
        && link.unacknowledged.is_empty();
    // A later request replaces this one.
    let replaced = facts.requests.iter().any(|other| {
        !core::ptr::eq(other, request)
            && other.client_id == request.client_id
            && other.filter == request.filter
            && other.sent > request.sent
            && facts.at(other.sent) < at + patience
    });
    let owed = sends && stands && !replaced && !payload.is_empty();
    // A Server may discard a message of QoS 0, and one that it sends at QoS 0 to a slow reader.
    let weak = last.publish.delivery.qos() == QoS::AtMostOnce;
    if !owed || weak {
        return None;
    }
    let mut had = arrivals().filter(|arrival| arrival.publish.payload == *payload);
    match had.find(|arrival| arrival.publish.retain) {
        Some(_) => None,
        None => {
            let rule = if last.is_will { WILL } else { OWED };
            broken(rule, granted_at, "the retained message, with RETAIN 1", "it did not come")
        }
    }
}

/// The event with which a retained message comes although the subscription existed: the message
/// was published after the earlier requests, all of which were granted before.
fn existed(
    facts: &Facts<'_>,
    request: &Request<'_>,
    last: &Publication<'_>,
    matching: &[&Request<'_>],
) -> Option<usize> {
    // Whether the Session that had the subscription goes on.
    let resumed = facts.links.get(request.link).and_then(|link| link.accepted).is_some_and(|(_, kept)| kept);
    let stood = matching.iter().filter(|other| !core::ptr::eq(**other, request)).all(|other| {
        (resumed || other.link == request.link)
            && other.removed.is_none()
            && other.granted.is_some_and(|(event, granted)| granted.is_some() && event < last.sent)
    });
    let late = facts.requests.iter().any(|other| {
        other.client_id == request.client_id && other.sent > request.sent && !core::ptr::eq(other, request)
    });
    let mut arrivals = facts.arrivals.iter().filter(|arrival| {
        arrival.link == request.link
            && arrival.topic == last.topic
            && arrival.event > request.sent
            && arrival.publish.retain
            && !arrival.publish.delivery.dup()
            && arrival.publish.payload == last.publish.payload
    });
    arrivals.next().filter(|_| stood && !late).map(|arrival| arrival.event)
}
