//! Session Present in CONNACK.

use core::time::Duration;

use mqttspec_codec::{SessionExpiryInterval, Version};

use super::Rule;
use super::facts::Facts;
use super::links::Link;
use crate::finding::Finding;
use crate::history::{ConnectionKey, Ending};

const NONE: Rule = Rule::new(&["MQTT-3.2.2-3"], &["MQTT-3.2.2-3"]);
const CLEAN: Rule = Rule::new(&["MQTT-3.2.2-2"], &["MQTT-3.2.2-1"]);
const KEPT: Rule = Rule::new(&["MQTT-3.2.2-3", "MQTT-3.1.2-5"], &["MQTT-3.2.2-2"]);
const EXPIRED: Rule = Rule::new(&["MQTT-4.1.0-2", "MQTT-3.2.2-3"], &["MQTT-3.2.2-3"]);

/// The tolerance for the end of a Session.
const TOLERANCE: Duration = Duration::from_secs(2);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    // Bytes that are not a packet may have been a CONNECT.
    if facts.raw {
        return Vec::new();
    }
    // A Client may come back under an identifier that the Server assigned.
    let assigned = facts.links.iter().any(|(_, link)| link.client_id.is_empty());
    let mut findings = Vec::new();
    for (key, link) in facts.links.iter() {
        let Some((event, present)) = link.accepted else { continue };
        if link.client_id.is_empty() || link.version == Version::V3_1 {
            continue;
        }
        let mut found = |rule: Rule, expected: &str, actual: String| {
            let actual = format!("{} had Session Present {}, {actual}", facts.name(key), u8::from(present));
            findings.extend(rule.broken(facts.history, link.version, event, expected, actual));
        };
        if link.clean {
            if present {
                found(
                    CLEAN,
                    "Session Present 0 after Clean Start",
                    "and CONNECT had Clean Start 1".to_owned(),
                );
            }
            continue;
        }
        let others: Vec<_> = facts.links_of(link.client_id).filter(|(other, _)| *other != key).collect();
        let known_before = others.iter().any(|(_, of)| of.connected < event);
        if !known_before && present && !assigned {
            let expected = "Session Present 0 for a new Client";
            found(NONE, expected, "and its Client Identifier never connected".to_owned());
        }
        let Some(before) = before(key, link, &others) else { continue };
        if facts.is_unclear(link.client_id, link.connected) {
            continue;
        }
        // The Server may have ended the connection long before the client noticed, but not before
        // the client's last packet.
        let began = facts.at(link.connected);
        let away = facts.at(event).saturating_sub(before.began);
        let [least, most] = before.expiry;
        let early = TOLERANCE + facts.tolerance.early;
        let kept = least == u32::MAX || away + early < Duration::from_secs(u64::from(least));
        if kept && !present && !facts.crashed {
            let expected = "Session Present 1 for a Session that is kept";
            found(KEPT, expected, format!("{} s after its last connection began", away.as_secs()));
        }
        let ended = before.closed.map(|(event, _)| facts.at(event));
        let host = facts.name(key);
        let Some(ended) = ended.filter(|ended| facts.calm.lasts(host, before.began, *ended)) else {
            continue;
        };
        let most = expiry_at_disconnect(before).unwrap_or(most);
        let late = TOLERANCE + facts.tolerance.late;
        let gone = began.saturating_sub(ended) > Duration::from_secs(u64::from(most)) + late;
        // A Server that crashed may not have noticed the end before.
        if most != u32::MAX && gone && present && !facts.crashed {
            let expected = "Session Present 0 for a Session that has expired";
            let away = began.saturating_sub(ended).as_secs();
            found(EXPIRED, expected, format!("{away} s after its last connection, interval {most} s"));
        }
    }
    findings
}

/// The Session Expiry Interval of a DISCONNECT that the Server has certainly taken: the client closed
/// after it, and the Server had no reason to close before it.
fn expiry_at_disconnect(link: &Link<'_>) -> Option<u32> {
    if link.was_silent(link.spoke) || link.exceeds || link.violation.is_some() || link.unfounded.is_some() {
        return None;
    }
    let (left, disconnect) = link.left?;
    let closed = link.closed.filter(|(_, ending)| *ending == Ending::ByObserver);
    let expiry = disconnect.properties.get::<SessionExpiryInterval>();
    expiry.filter(|_| closed.is_some_and(|(closed, _)| closed > left)).map(|expiry| expiry.0)
}

/// The connection whose Session a connection must resume, if it is certain.
fn before<'f, 'h>(
    key: ConnectionKey,
    link: &Link<'h>,
    others: &[(ConnectionKey, &'f Link<'h>)],
) -> Option<&'f Link<'h>> {
    // Only connections of one host have a certain order.
    if others.iter().any(|(other, _)| other.host != key.host) {
        return None;
    }
    let earlier = || others.iter().filter(|(other, _)| other.number < key.number);
    let (_, last) = earlier().max_by_key(|(other, _)| other.number)?;
    // An attempt without an answer may have begun a Session, perhaps after a later attempt.
    let answered = earlier().all(|(_, of)| of.accepted.is_some() || of.refused.is_some());
    let certain = answered && last.accepted.is_some() && last.connected < link.connected;
    certain.then_some(*last)
}
