//! Messages that a subscriber must have received by the end of the run.
//!
//! Only this case is judged: the subscriber has one subscription, which was granted on a connection
//! that is still open at the end, and the Server accepted the message long before the end.

use core::time::Duration;
use std::collections::BTreeSet;

use mqttspec_codec::{MessageExpiryInterval, QoS};

use super::Rule;
use super::facts::Facts;
use crate::finding::Finding;
use crate::history::ConnectionKey;

/// A Server of 3.1.1 may acknowledge what it does not authorize: see 3.1.1/[MQTT-3.3.5-2].
const OWED: Rule = Rule::new(&["MQTT-4.5.0-1"], &[]);

/// The minimum time between the acceptance of a message, or the end of the last fault, and the end
/// of the run.
const CALM: Duration = Duration::from_secs(4);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let events = facts.history.events();
    let Some(end) = events.last().map(|event| event.at) else { return Vec::new() };
    let faulty = facts.last_fault.is_some_and(|fault| fault + CALM > end);
    if facts.raw || facts.crashed || faulty {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let had: BTreeSet<(ConnectionKey, &str, &[u8])> = facts
        .arrivals
        .iter()
        .map(|arrival| (arrival.link, arrival.topic.as_str(), &arrival.publish.payload[..]))
        .collect();
    for request in &facts.requests {
        let Some(link) = facts.links.get(&request.link) else { continue };
        let Some((granted_at, Some(granted))) = request.granted else { continue };
        let alone = facts.requests.iter().all(|other| {
            core::ptr::eq(other, request)
                || other.client_id != request.client_id
                || other.filter != request.filter
        });
        let standing =
            link.open && link.unacknowledged.is_empty() && !link.limited && !link.client_id.is_empty();
        let last = facts.links.iter().all(|(key, of)| *key <= request.link || of.client_id != link.client_id)
            && facts
                .links
                .keys()
                .filter(|key| facts.links[key].client_id == link.client_id)
                .all(|key| key.host == request.link.host);
        let excluded = request.filter.is_shared() || request.no_local || request.removed.is_some();
        if !alone || !standing || !last || excluded || granted == QoS::AtMostOnce {
            continue;
        }
        for publication in &facts.publications {
            let Some(taken) = publication.accepted else { continue };
            let Some(topic) = &publication.publish.topic else { continue };
            let payload = &publication.publish.payload[..];
            let expires = publication.publish.properties.contains::<MessageExpiryInterval>();
            let timely = events[taken].at + CALM <= end && events[taken].at + CALM / 2 <= link.heard;
            if publication.sent <= granted_at || expires || !timely || topic.as_str().starts_with('$') {
                continue;
            }
            let matching = facts.matching(request.link, publication.sent, topic);
            if !matching.iter().any(|other| core::ptr::eq(*other, request)) {
                continue;
            }
            if facts.only_publication(topic.as_str(), payload).is_none() {
                continue;
            }
            let arrived = had.contains(&(request.link, topic.as_str(), payload));
            if !arrived {
                let host = &facts.history.info(request.link.host).name;
                let payload = mqttspec_notation::fields::payload_text(payload);
                let actual = format!("{host} never had {} {payload}", topic.as_str());
                let expected = "every message that the Server took reaches its subscribers";
                findings.extend(OWED.broken(facts.history, link.version, taken, expected, actual));
            }
        }
    }
    findings
}
