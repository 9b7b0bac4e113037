//! Session Present in CONNACK.

use mqttspec_codec::Version;

use super::Rule;
use super::facts::{Facts, Link};
use crate::finding::Finding;

const NONE: Rule = Rule::new(&["MQTT-3.2.2-3"], &["MQTT-3.2.2-3"]);
const KEPT: Rule = Rule::new(&["MQTT-3.2.2-3", "MQTT-3.1.2-5"], &["MQTT-3.2.2-2"]);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    // Bytes that are not a packet may have been a CONNECT.
    if facts.raw {
        return Vec::new();
    }
    // A Client may come back under an identifier that the Server assigned.
    let assigned = facts.links.values().any(|link| link.client_id.is_empty());
    let mut findings = Vec::new();
    for (key, link) in &facts.links {
        let Some((event, present)) = link.accepted else { continue };
        if link.client_id.is_empty() || link.version == Version::V3_1 || link.clean {
            continue;
        }
        let others: Vec<&Link<'_>> = facts
            .links
            .iter()
            .filter(|(other, of)| *other != key && of.client_id == link.client_id)
            .map(|(_, of)| of)
            .collect();
        let name = &facts.history.info(key.host).name;
        if others.is_empty() && present && !assigned {
            let actual = format!("{name} had Session Present 1 for a Client Identifier that never connected");
            findings.extend(NONE.broken(
                facts.history,
                link.version,
                event,
                "Session Present 0 for a new Client",
                actual,
            ));
        }
        // Only connections of one host have a certain order.
        let same_host = facts.links.keys().filter(|other| {
            other.host == key.host && facts.links.get(other).is_some_and(|of| of.client_id == link.client_id)
        });
        let [before] = &others
            .iter()
            .filter(|of| of.accepted.is_some_and(|(other, _)| other < event))
            .collect::<Vec<_>>()[..]
        else {
            continue;
        };
        let all_known = same_host.count() == others.len() + 1 && others.len() == 1;
        // The Server may have ended the connection long before the client noticed, but not before
        // the connection began.
        let away = facts.history.events()[event].at.saturating_sub(before.began).as_secs();
        let kept = before.expiry == u32::MAX || away + 2 < u64::from(before.expiry);
        if all_known && kept && !present && !facts.crashed {
            let actual = format!("{name} had Session Present 0, {away} s after its last connection began");
            findings.extend(KEPT.broken(
                facts.history,
                link.version,
                event,
                "Session Present 1 for a Session that is kept",
                actual,
            ));
        }
    }
    findings
}
