//! Shared Subscriptions: each message goes to one member of each group.
//!
//! MQTT 5.0 §4.8.2. A group is judged only while each of its members is connected, without a fault,
//! and has no other subscription for the message.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{MaximumPacketSize, MessageExpiryInterval, QoS, Version};

use super::Rule;
use super::facts::Facts;
use super::links::{Publication, Request};
use crate::finding::Finding;
use crate::history::ConnectionKey;

const ONE: Rule = Rule::new(&["U5-102"], &[]);
const EACH_GROUP: Rule = Rule::new(&["U5-099", "MQTT-4.5.0-1"], &[]);

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.crashed || facts.raw || !facts.requests.iter().any(|request| request.filter.is_shared()) {
        return findings;
    }
    for publication in facts.publications.iter().filter(|publication| !publication.is_will) {
        if facts.only_publication(publication.message).is_none() {
            continue;
        }
        findings.extend(twice(facts, publication));
        findings.extend(missed(facts, publication));
    }
    findings
}

/// Two clients that have only the same Shared Subscription get the same message, although the
/// first one stays connected.
fn twice(facts: &Facts<'_>, publication: &Publication<'_>) -> Option<Finding> {
    let mut had: BTreeMap<&str, (ConnectionKey, usize)> = BTreeMap::new();
    for arrival in facts.arrivals_of(publication.message) {
        let link = facts.links.get(arrival.link)?;
        if link.version != Version::V5 || facts.is_unclear(link.client_id, arrival.event) {
            continue;
        }
        let requests = facts.matching(arrival.link, arrival.event, arrival.topic);
        let first = requests.first()?;
        if !first.filter.is_shared() || requests.iter().any(|request| request.filter != first.filter) {
            continue;
        }
        let group = first.filter.as_str();
        let is_same_client = |other: &ConnectionKey| {
            facts.links.get(*other).is_some_and(|other| other.client_id == link.client_id)
        };
        match had.get(group) {
            None => drop(had.insert(group, (arrival.link, arrival.event))),
            // A Session that was taken over goes on with its messages.
            Some((link, before)) if !is_same_client(link) => {
                let until = facts.at(arrival.event);
                let of = facts.links.get(*link)?;
                let stayed = of.closed.is_none_or(|(closed, _)| facts.at(closed) > until)
                    && of.left.is_none()
                    && facts.calm.lasts(facts.name(*link), facts.at(*before), until);
                let refused = facts.refusals.contains(link);
                if stayed && !refused && publication.sent > first.sent {
                    let (one, other) = (facts.name(*link), facts.name(arrival.link));
                    let actual = format!("{one} and {other} had {}", arrival.topic.as_str());
                    let expected = "a message at one member of a Shared Subscription";
                    return ONE.broken(facts.history, Version::V5, arrival.event, expected, actual);
                }
            }
            Some(_) => {}
        }
    }
    None
}

/// A group of which no member gets a message.
fn missed(facts: &Facts<'_>, publication: &Publication<'_>) -> Vec<Finding> {
    let Some(accepted) = publication.accepted else { return Vec::new() };
    let until = facts.at(accepted) + PATIENCE + facts.tolerance.answer;
    let expires = publication.publish.properties.contains::<MessageExpiryInterval>();
    if expires || until > facts.end || facts.is_unclear(publication.client_id, publication.sent) {
        return Vec::new();
    }
    let shared = facts.requests.iter().filter(|request| request.filter.is_shared());
    let groups: BTreeSet<&str> = shared.map(|request| request.filter.as_str()).collect();
    let mut findings = Vec::new();
    for group in groups {
        let members: Vec<&Request<'_>> =
            facts.requests.iter().filter(|request| request.filter.as_str() == group).collect();
        let judged = members.iter().all(|request| is_certain(facts, request, publication, until));
        let standing: Vec<_> =
            members.iter().filter(|request| stands(facts, request, publication, until)).collect();
        let (Some(first), true) = (standing.first(), judged) else { continue };
        let arrived = facts.arrivals_of(publication.message).any(|arrival| {
            members.iter().any(|request| {
                facts.links.get(arrival.link).is_some_and(|of| of.client_id == request.client_id)
            })
        });
        if !arrived {
            let payload = mqttspec_notation::fields::payload_text(&publication.publish.payload);
            let topic = publication.topic.as_str();
            let actual = format!("no member of {group} had {topic} {payload}: {}", facts.name(first.link));
            let expected = "each message at one member of each Shared Subscription";
            findings.extend(EACH_GROUP.broken(facts.history, Version::V5, accepted, expected, actual));
        }
    }
    findings
}

/// Whether a member is certainly no member any more, or certainly gets what it is sent.
fn is_certain(
    facts: &Facts<'_>,
    request: &Request<'_>,
    publication: &Publication<'_>,
    until: Duration,
) -> bool {
    if stands(facts, request, publication, until) || request.sent > accepted_or_end(publication) {
        return true;
    }
    let Some(link) = facts.links.get(request.link) else { return false };
    if matches!(request.granted, Some((_, None))) {
        return true;
    }
    // Its Session ended with its connection.
    let [_, most] = link.expiry;
    let alone = facts.links_of(request.client_id).count() == 1;
    let settled = Duration::from_secs(2) + facts.tolerance.late;
    let ended = link.closed.is_some_and(|(closed, ending)| {
        ending != crate::history::Ending::Crashed
            && facts.at(closed) + settled < facts.at(publication.sent)
            && facts.calm.lasts(
                facts.name(request.link),
                link.began,
                facts.at(closed).saturating_sub(Duration::from_millis(1)),
            )
    });
    most == 0 && alone && ended
}

fn accepted_or_end(publication: &Publication<'_>) -> usize {
    publication.accepted.unwrap_or(usize::MAX)
}

/// Whether a subscription stands from before a message is published until a time, at a client that
/// takes every message.
fn stands(facts: &Facts<'_>, request: &Request<'_>, publication: &Publication<'_>, until: Duration) -> bool {
    let Some(link) = facts.links.get(request.link) else { return false };
    let Some((granted, Some(qos))) = request.granted else { return false };
    let matching = facts.matching(request.link, publication.sent, publication.topic);
    facts.in_force(granted, publication.sent)
        && matching.iter().any(|other| core::ptr::eq(*other, request))
        && qos > QoS::AtMostOnce
        && link.version == Version::V5
        && request.removed.is_none()
        && link.closed.is_none_or(|(closed, _)| facts.at(closed) > until)
        && link.left.is_none_or(|(left, _)| facts.at(left) > until)
        && link.unacknowledged.is_empty()
        && !link.connect.properties.contains::<MaximumPacketSize>()
        && !facts.is_unclear(request.client_id, granted)
        && facts.links_of(request.client_id).all(|(key, _)| key == request.link)
        && facts.calm.lasts(facts.name(request.link), facts.at(granted), until)
}
