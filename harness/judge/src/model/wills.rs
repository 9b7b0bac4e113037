//! Wills: published if and only if they are owed, not before their time, and to every subscriber.
//!
//! Only this case is judged: the connection with the Will was never disturbed, so that its end is
//! known to the Server when it is known to the client.

use core::time::Duration;

use mqttspec_codec::{DisconnectReason, QoS, Version, WillDelayInterval};

use super::Rule;
use super::facts::Facts;
use super::links::{Link, Publication};
use super::owed::{self, Due, Standing};
use crate::finding::Finding;
use crate::history::{ConnectionKey, Ending};

const OWED: Rule = Rule::new(&["MQTT-3.1.2-8"], &["MQTT-3.1.2-8"]);
const DISCARDED: Rule = Rule::new(&["MQTT-3.1.2-10", "MQTT-3.14.4-3"], &["MQTT-3.1.2-10", "MQTT-3.14.4-3"]);
const DELAYED: Rule = Rule::new(&["MQTT-3.1.2-8"], &[]);
const RETURNED: Rule = Rule::new(&["MQTT-3.1.3-9"], &[]);

/// How much earlier than its client the Server may notice the end of a connection that it closes.
const NOTICE: Duration = Duration::from_secs(1);

/// What must happen to a Will after its connection.
enum Fate {
    /// It must be published, not before one time and at the other at the latest. `after` is the
    /// first event at which the Server may have known that the connection has ended.
    Published { after: usize, from: Duration, until: Duration },
    /// It must not be published from this event on.
    Discarded { rule: Rule, since: usize },
}

pub(super) fn judge(facts: &Facts<'_>, standing: &[Standing<'_, '_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.crashed || facts.raw {
        return findings;
    }
    for publication in facts.publications.iter().filter(|publication| publication.is_will) {
        let Some(link) = facts.links.get(publication.link) else { continue };
        let is_only = facts.only_publication(publication.message).is_some();
        let Some(fate) = fate(facts, publication.link, link).filter(|_| is_only) else { continue };
        let arrivals = facts.arrivals_of(publication.message);
        match fate {
            Fate::Discarded { rule, since } => {
                let arrival = arrivals.into_iter().find(|arrival| arrival.event > since);
                findings.extend(arrival.and_then(|arrival| {
                    let expected = "no Will of a Client that has disconnected or is back";
                    broken(facts, rule, publication, arrival.event, expected, "it is published")
                }));
            }
            Fate::Published { after, from, until } => {
                let mut arrivals = arrivals.into_iter();
                let early = arrivals.find(|arrival| facts.at(arrival.event) < from);
                findings.extend(early.and_then(|arrival| {
                    let expected = "a Will after its Will Delay Interval";
                    broken(facts, DELAYED, publication, arrival.event, expected, "it comes too early")
                }));
                if publication.publish.delivery.qos() > QoS::AtMostOnce {
                    let due = Due { publication, after, until };
                    findings.extend(owed::of(facts, standing, OWED, &due));
                }
            }
        }
    }
    findings
}

fn broken(
    facts: &Facts<'_>,
    rule: Rule,
    will: &Publication<'_>,
    event: usize,
    expected: &str,
    actual: &str,
) -> Option<Finding> {
    let version = facts.links.get(will.link)?.version;
    let payload = mqttspec_notation::fields::payload_text(&will.publish.payload);
    let actual = format!("the Will {} {payload} of {}: {actual}", will.topic.as_str(), facts.name(will.link));
    rule.broken(facts.history, version, event, expected, actual)
}

fn fate(facts: &Facts<'_>, key: ConnectionKey, link: &Link<'_>) -> Option<Fate> {
    link.accepted?;
    let host = facts.name(key);
    let is_5 = link.version.is_5();
    if link.client_id.is_empty() || link.version == Version::V3_1 {
        return None;
    }
    let (ended, notice, closes) = end(link)?;
    let at = facts.at(ended);
    // A Server may have given a silent client up, and published.
    // The fault that ends the connection is no disturbance.
    let before = at.saturating_sub(Duration::from_millis(1));
    if link.was_silent(at)
        || !facts.calm.lasts(host, link.began, before)
        || facts.is_unclear_by_others(link, ended)
    {
        return None;
    }
    let later =
        facts.links_of(link.client_id).filter(|(other, of)| *other != key && of.connected > link.connected);
    let next = later.min_by_key(|(_, of)| of.connected);
    let overlaps = facts.links_of(link.client_id).any(|(other, of)| {
        other != key
            && of.connected < link.connected
            && of.closed.is_none_or(|(event, _)| event > link.connected)
    });
    let taken_over = next.is_some_and(|(_, of)| of.connected < ended);
    if overlaps || taken_over {
        return None;
    }
    if !closes {
        // A Server may have closed because of what came before DISCONNECT.
        if link.unfounded.is_some_and(|event| event < ended) || link.exceeds {
            return None;
        }
        // What ends the connection shortly after DISCONNECT may have lost it.
        if !facts.calm.lasts(host, at, at + NOTICE) {
            return None;
        }
        // A CONNECT that is sent soon afterwards may arrive before DISCONNECT, and take over.
        if next.is_some_and(|(_, of)| facts.at(of.connected) < at + NOTICE) {
            return None;
        }
        return Some(Fate::Discarded { rule: DISCARDED, since: ended });
    }
    let delay = link.connect.will.as_ref()?.properties.get::<WillDelayInterval>().map_or(0, |delay| delay.0);
    let [least, most] = if is_5 { link.expiry } else { [0, 0] };
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let from = at + seconds(delay.min(least));
    let until = at + seconds(delay.min(most));
    match next {
        None => {
            let from = from.saturating_sub(notice + facts.tolerance.early);
            let after = match link.violation {
                Some(violation) => violation.event,
                None => facts.first_since(at.saturating_sub(notice)).min(ended),
            };
            Some(Fate::Published { after, from, until: until + facts.tolerance.late })
        }
        Some((_, of)) => {
            let (accepted, present) = of.accepted?;
            let in_time = facts.at(accepted) + facts.tolerance.early + Duration::from_secs(2) < from;
            // If the Session has ended, its Will may have been published.
            (in_time && present && !of.clean).then_some(Fate::Discarded { rule: RETURNED, since: accepted })
        }
    }
}

/// The event that ends a connection, how much earlier the Server may know of it, and whether the
/// end publishes the Will. `None` if the end is not certain.
fn end(link: &Link<'_>) -> Option<(usize, Duration, bool)> {
    if let Some(violation) = link.violation {
        // The Server closes.
        let (closed, _) = link.closed.filter(|(closed, _)| *closed > violation.event)?;
        return link.left.is_none().then_some((closed, NOTICE, true));
    }
    let closed = link.closed.and_then(|(event, ending)| match ending {
        Ending::ByObserver => Some((event, Duration::ZERO, true)),
        Ending::Reset | Ending::ByPeer => Some((event, NOTICE, true)),
        // The Server does not notice these ends at once.
        Ending::TimedOut | Ending::Refused | Ending::Crashed => None,
    });
    match link.left {
        Some((event, disconnect)) if link.closed.is_none_or(|(closed, _)| closed > event) => {
            let normal = disconnect.reason == DisconnectReason::NormalDisconnection;
            Some((event, Duration::ZERO, !normal))
        }
        _ => closed,
    }
}
