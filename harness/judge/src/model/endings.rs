//! When a Server must close a Network Connection, and what it may say about the reason.
//!
//! MQTT 5.0 §3.1.2.10, §4.13; 3.1.1 §3.1.2.10, §4.8.

use core::time::Duration;

use mqttspec_codec::{DisconnectReason, Packet, Version};

use super::Rule;
use super::facts::Facts;
use super::links::{Link, Violation};
use crate::finding::Finding;
use crate::history::{ConnectionKey, Ending, What};

const SILENT: Rule = Rule::new(&["MQTT-3.1.2-22"], &["MQTT-3.1.2-24"]);
const NOT_SILENT: Rule = Rule::new(&["MQTT-3.1.2-22"], &[]);
const REFUSED: Rule = Rule::new(&["U5-050"], &["MQTT-4.1.0-2"]);
const NO_KEEP_ALIVE: Rule = Rule::new(&["U5-053"], &[]);

/// How long a Server may take to close.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much later than after one and a half times the Keep Alive the end may reach the client.
const LATE: Duration = Duration::from_secs(4);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.crashed {
        return findings;
    }
    for (key, link) in facts.links.iter() {
        let closed = link.closed.map(|(event, _)| event);
        if let Some(violation) = link.violation {
            findings.extend(not_closed(facts, key, link.version, violation, closed));
        }
        findings.extend(silent(facts, key, link));
    }
    for (key, stranger) in &facts.strangers {
        let Some(violation) = stranger.violation else { continue };
        findings.extend(not_closed(facts, *key, stranger.version, violation, stranger.closed));
    }
    findings.extend(wrong_reasons(facts));
    findings.extend(taken_over(facts));
    findings
}

/// A connection that ends because another Client, which is refused, has its Client Identifier.
fn taken_over(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, link) in facts.links.iter() {
        let Some((closed, Ending::ByPeer | Ending::Reset)) = link.closed else { continue };
        let at = facts.at(closed);
        let broke = link.violation.is_some() || link.exceeds || link.unfounded.is_some();
        let stood = !link.client_id.is_empty()
            && link.accepted.is_some()
            && link.left.is_none()
            && !broke
            && !link.was_silent(at);
        // What the Client sent shortly before may be the reason.
        let sent_nothing = |of: &Link<'_>| link.spoke + Duration::from_secs(1) < facts.at(of.connected);
        if !stood || !facts.calm.lasts(facts.name(key), link.began, at) {
            continue;
        }
        let others = || facts.links_of(link.client_id).filter(|(other, _)| *other != key);
        // Another connection may have taken the Session over rightfully.
        let rightful = others()
            .any(|(_, of)| of.refused.is_none() && of.connected > link.connected && of.connected < closed);
        let refused = others().find(|(_, of)| {
            let answered = of.refused.is_some_and(|event| at <= facts.at(event) + Duration::from_secs(1));
            of.connected > link.connected && of.connected < closed && answered && sent_nothing(of)
        });
        if let (false, Some((other, _))) = (rightful, refused) {
            let actual = format!("{} lost its connection to {}", facts.name(key), facts.name(other));
            let expected = "no take-over by a Client that is refused";
            findings.extend(REFUSED.broken(facts.history, link.version, closed, expected, actual));
        }
    }
    findings
}

fn not_closed(
    facts: &Facts<'_>,
    key: ConnectionKey,
    version: Version,
    violation: Violation,
    closed: Option<usize>,
) -> Option<Finding> {
    let at = facts.at(violation.event);
    let until = at + PATIENCE + facts.tolerance.answer;
    let late = closed.is_none_or(|closed| facts.at(closed) > until) && until < facts.end;
    if !late || !facts.calm.lasts(facts.name(key), at, until) {
        return None;
    }
    let [v5, v3_1_1] = violation.clauses;
    let mut clauses = if version.is_5() { v5.to_vec() } else { v3_1_1.to_vec() };
    clauses.extend(violation.error.and_then(|error| error.clause()));
    let what = violation.error.map_or_else(|| "a Protocol Error".to_owned(), |error| error.to_string());
    let actual = format!("{} sent {what}, and its connection stays open", facts.name(key));
    let expected = "the end of a connection on which a Client breaks the standard";
    super::finding(facts.history, version, &clauses, violation.event, expected, actual)
}

/// A client that is silent for one and a half times its Keep Alive.
fn silent(facts: &Facts<'_>, key: ConnectionKey, link: &Link<'_>) -> Option<Finding> {
    let (accepted, _) = link.accepted?;
    let keep_alive = link.keep_alive();
    let limit = keep_alive + keep_alive / 2 + LATE + facts.tolerance.late;
    let ended = link.closed.map_or(facts.end, |(event, _)| facts.at(event));
    let silence = ended.saturating_sub(link.spoke);
    if keep_alive.is_zero() || silence <= limit || link.left.is_some() || link.violation.is_some() {
        return None;
    }
    if !facts.calm.lasts(facts.name(key), link.spoke, link.spoke + limit) {
        return None;
    }
    let actual = format!("{} was silent for {} s, and stays connected", facts.name(key), silence.as_secs());
    let expected = "the end of a connection after one and a half times the Keep Alive";
    SILENT.broken(facts.history, link.version, accepted, expected, actual)
}

/// DISCONNECT with Keep Alive timeout (0x8D) for a client that was not silent.
fn wrong_reasons(facts: &Facts<'_>) -> Vec<Finding> {
    let events = facts.history.events().iter().enumerate();
    let disconnects = events.filter_map(|(index, event)| match (&event.what, event.connection) {
        (What::Received { packet: Packet::Disconnect(disconnect), .. }, Some(key)) => {
            (disconnect.reason == DisconnectReason::KeepAliveTimeout).then_some((index, event.at, key))
        }
        _ => None,
    });
    let mut findings = Vec::new();
    for (index, at, key) in disconnects {
        let Some(link) = facts.links.get(key) else { continue };
        // Bytes that are not a packet may be no sign of life.
        let unclear = facts.is_unclear(link.client_id, index);
        if unclear || !facts.calm.lasts(facts.name(key), link.began, at) {
            continue;
        }
        let keep_alive = link.keep_alive();
        let silence = at.saturating_sub(link.spoke);
        let rule = match keep_alive.is_zero() {
            true => NO_KEEP_ALIVE,
            // The last packet may have arrived too late.
            false if silence.max(link.silence) + Duration::from_secs(1) < keep_alive => NOT_SILENT,
            false => continue,
        };
        let actual = format!(
            "{} was silent for {} ms, Keep Alive {} s",
            facts.name(key),
            silence.as_millis(),
            keep_alive.as_secs()
        );
        let expected = "no Keep Alive timeout for a Client that keeps to it";
        findings.extend(rule.broken(facts.history, link.version, index, expected, actual));
    }
    findings
}
