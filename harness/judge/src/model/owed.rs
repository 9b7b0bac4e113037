//! Messages that a subscriber must have received by the end of the run.
//!
//! Only this case is judged: the subscriber has one subscription for the Topic Filter, its Session
//! has lasted since, its last connection is still open at the end, and the Server accepted the
//! message long before the end.

use core::time::Duration;

use mqttspec_codec::{
    MaximumPacketSize, MessageExpiryInterval, Packet, QoS, TopicAlias, TopicAliasMaximum, Version,
};

use super::Rule;
use super::facts::Facts;
use super::links::{Link, Publication, Request};
use crate::finding::Finding;
use crate::history::ConnectionKey;

/// A Server of 3.1.1 may acknowledge what it does not authorize: see 3.1.1/[MQTT-3.3.5-2].
const OWED: Rule = Rule::new(&["MQTT-4.5.0-1"], &[]);

/// The minimum time between the acceptance of a message, or the end of the last fault, and the end
/// of the run.
const CALM: Duration = Duration::from_secs(4);

/// What a packet may have beside topic, payload and the properties of its message: the identifiers
/// and flags, and a Topic Alias.
const OVERHEAD: usize = 24;

/// A message that must be delivered to those who have subscribed before an event, until a time.
pub(super) struct Due<'f, 'h> {
    pub(super) publication: &'f Publication<'h>,
    pub(super) after: usize,
    pub(super) until: Duration,
}

/// A subscription that must be in force at the end of the run, and the last connection of its
/// Client.
pub(super) struct Standing<'f, 'h> {
    request: &'f Request<'h>,
    granted: usize,
    key: ConnectionKey,
    link: &'f Link<'h>,
}

/// All subscriptions that must be in force at the end of the run.
pub(super) fn all_standing<'f, 'h>(facts: &'f Facts<'h>) -> Vec<Standing<'f, 'h>> {
    let requests = facts.requests.iter().filter_map(|request| {
        let (key, link) = standing(facts, request)?;
        let (granted, _) = request.granted?;
        Some(Standing { request, granted, key, link })
    });
    requests.collect()
}

pub(super) fn judge(facts: &Facts<'_>, standing: &[Standing<'_, '_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.crashed || standing.is_empty() {
        return findings;
    }
    for publication in &facts.publications {
        let Some(accepted) = publication.accepted else { continue };
        if facts.is_unclear(publication.client_id, publication.sent) {
            continue;
        }
        let due = Due { publication, after: publication.sent, until: facts.at(accepted) };
        findings.extend(of(facts, standing, OWED, &due));
    }
    findings
}

/// The findings for those who should have had a message.
pub(super) fn of(
    facts: &Facts<'_>,
    standing: &[Standing<'_, '_>],
    rule: Rule,
    due: &Due<'_, '_>,
) -> Vec<Finding> {
    let Due { publication, after, until } = *due;
    let calm = CALM + facts.tolerance.answer;
    let faulty = facts.last_fault.is_some_and(|fault| fault + calm > facts.end);
    let topic = publication.topic;
    let payload = &publication.publish.payload[..];
    let expires = publication.publish.properties.contains::<MessageExpiryInterval>();
    let is_known = !facts.publications_of(publication.message).is_empty();
    if facts.crashed
        || faulty
        || expires
        || !is_known
        || until + calm > facts.end
        || topic.as_str().starts_with('$')
    {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for Standing { request, granted, key, link } in standing {
        // On a new connection, what is unacknowledged may come again as late as the Server likes.
        let again = if *key == request.link { Duration::ZERO } else { facts.tolerance.again };
        let in_time = until + calm / 2 + again <= link.heard;
        if !facts.in_force(*granted, after) || !in_time || !fits(link, request, publication) {
            continue;
        }
        // What waits before it may still be on its way.
        let is_over = link.served + calm <= facts.end;
        if !is_over || !request.matches(topic, link.version) {
            continue;
        }
        let mut arrivals = facts.arrivals_of(publication.message);
        let arrived = arrivals.any(|arrival| {
            arrival.link == request.link
                || facts.links.get(arrival.link).is_some_and(|of| of.client_id == request.client_id)
        });
        if !arrived {
            let payload = mqttspec_notation::fields::payload_text(payload);
            let actual = format!("{} never had {} {payload}", facts.name(*key), topic.as_str());
            let expected = "every message that the Server took reaches its subscribers";
            findings.extend(rule.broken(
                facts.history,
                link.version,
                publication.accepted.unwrap_or(after),
                expected,
                actual,
            ));
        }
    }
    findings
}

/// The last connection of the subscriber, if its subscription must still be in force there.
fn standing<'f, 'h>(facts: &'f Facts<'h>, request: &Request<'h>) -> Option<(ConnectionKey, &'f Link<'h>)> {
    let (granted_at, Some(granted)) = request.granted? else { return None };
    let first = facts.links.get(request.link)?;
    let excluded = request.filter.is_shared() || request.no_local || request.removed.is_some();
    if granted == QoS::AtMostOnce || excluded || first.client_id.is_empty() || first.version == Version::V3_1
    {
        return None;
    }
    if facts.is_unclear(request.client_id, usize::MAX - 1) {
        return None;
    }
    let alone = facts
        .requests_of(request.client_id)
        .all(|other| core::ptr::eq(other, request) || other.filter != request.filter);
    let mut last = (request.link, first);
    for (key, link) in facts.links_of(first.client_id) {
        // Only connections of one host have a certain order. What a client acknowledges before it
        // comes counts as delivered.
        if key.host != request.link.host || link.unfounded.is_some() {
            return None;
        }
        if key <= request.link {
            continue;
        }
        // Each later connection must have resumed the Session. One without an answer may have begun
        // another Session.
        let resumed = link.accepted.is_some_and(|(_, present)| present);
        if link.clean || !resumed {
            return None;
        }
        last = (key, link);
    }
    let (key, link) = last;
    let accepted = link.accepted.is_some_and(|(event, _)| key != request.link || event < granted_at);
    let stands = link.is_open() && link.left.is_none() && link.unacknowledged.is_empty();
    (alone && accepted && stands).then_some((key, link))
}

/// Whether the packet is certainly not too large for the Client.
fn fits(link: &Link<'_>, request: &Request<'_>, publication: &Publication<'_>) -> bool {
    let Some(maximum) = link.connect.properties.get::<MaximumPacketSize>() else { return true };
    let mut publish = publication.publish.detached();
    publish.topic = Some(publication.topic.clone());
    publish.properties.remove::<TopicAlias>();
    // Without a Topic Alias and Subscription Identifiers, the Server adds nothing.
    let grows = link.connect.properties.contains::<TopicAliasMaximum>() || request.identifier.is_some();
    let overhead = if grows { OVERHEAD } else { 0 };
    let Ok(length) = Packet::Publish(publish).encoded_len(link.version) else { return false };
    u32::try_from(length + overhead).is_ok_and(|length| length <= maximum.0.get())
}
