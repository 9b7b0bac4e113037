//! What a delivered message may look like: its topic, QoS, RETAIN flag, Subscription Identifiers,
//! properties and number.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{
    ContentType, CorrelationData, MessageExpiryInterval, PayloadFormatIndicator, Publish, QoS, ResponseTopic,
    SubscriptionIdentifier,
};

use super::Rule;
use super::facts::Facts;
use super::links::{Arrival, Publication, Request};
use crate::finding::Finding;

const SUBSCRIBED: Rule = Rule::new(&["MQTT-3.3.2-3"], &["MQTT-3.3.2-3"]);
const UNSUBSCRIBED: Rule = Rule::new(&["MQTT-3.10.4-2"], &["MQTT-3.10.4-2"]);
const QOS: Rule = Rule::new(&["MQTT-3.8.4-8"], &["MQTT-3.8.4-6"]);
const NO_RETAIN: Rule = Rule::new(&["MQTT-3.3.1-12"], &["MQTT-3.3.1-9"]);
const RETAIN: Rule = Rule::new(&["MQTT-3.3.1-13"], &[]);
const NO_LOCAL: Rule = Rule::new(&["MQTT-3.8.3-3"], &[]);
const IDENTIFIERS: Rule = Rule::new(&["MQTT-3.3.4-3"], &[]);
const ONCE: Rule = Rule::new(&["MQTT-3.3.1-1"], &["MQTT-3.3.1-1"]);
const MADE_UP: Rule = Rule::new(&["MQTT-4.5.0-1"], &["MQTT-4.5.0-1"]);
const ONCE_AT_QOS_0: Rule = Rule::new(&["MQTT-4.3.1-1"], &["MQTT-4.3.1-1"]);
const NOT_RETAINED: Rule = Rule::new(&["MQTT-3.3.1-8"], &["MQTT-3.3.1-12"]);
const WILL_NOT_RETAINED: Rule = Rule::new(&["MQTT-3.1.2-14"], &["MQTT-3.1.2-16"]);
const PAYLOAD_FORMAT: Rule = Rule::new(&["MQTT-3.3.2-4"], &[]);
const RESPONSE_TOPIC: Rule = Rule::new(&["MQTT-3.3.2-15"], &[]);
const CORRELATION_DATA: Rule = Rule::new(&["MQTT-3.3.2-16"], &[]);
const USER_PROPERTIES: Rule = Rule::new(&["MQTT-3.3.2-17"], &[]);
const CONTENT_TYPE: Rule = Rule::new(&["MQTT-3.3.2-20"], &[]);
const EXPIRY: Rule = Rule::new(&["MQTT-3.3.2-6"], &[]);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut times: BTreeMap<_, usize> = BTreeMap::new();
    for arrival in &facts.arrivals {
        // Servers publish messages of their own, such as those of `$SYS/`.
        let topic = arrival.topic.as_str();
        if topic.starts_with('$') && facts.only_publication(arrival.message).is_none() {
            continue;
        }
        // Bytes that are not a packet may have been a SUBSCRIBE.
        let client_id = facts.links.get(arrival.link).map_or("", |link| link.client_id);
        if facts.is_unclear(client_id, arrival.event) {
            continue;
        }
        let requests = facts.matching(arrival.link, arrival.event, arrival.topic);
        if requests.is_empty() {
            let actual = "no subscription of the Client matches it";
            findings.extend(broken(
                facts,
                arrival,
                SUBSCRIBED,
                "a topic that a subscription matches",
                actual,
            ));
            continue;
        }
        if facts.is_made_up(arrival) {
            let actual = "no Client published it";
            findings.extend(broken(facts, arrival, MADE_UP, "a message that a Client published", actual));
        }
        let Some(publication) = facts.only_publication(arrival.message) else { continue };
        findings.extend(of_message(facts, arrival, publication, &requests));
        findings.extend(forwarded(facts, arrival, publication));
        let published = publication.publish.delivery.qos();
        let is_qos_0 = arrival.publish.delivery.qos() == QoS::AtMostOnce;
        // 3.1.1 lets a Server deliver a message of a higher QoS several times at QoS 0.
        let counts = !is_qos_0 || published == QoS::AtMostOnce;
        if !arrival.publish.delivery.dup() && counts {
            let count = times.entry((arrival.link, publication.sent)).or_default();
            *count += 1;
            if *count > requests.len() && !publication.publish.retain && !facts.crashed {
                let actual = format!("it comes for the {count}th time, and DUP is 0");
                findings.extend(broken(
                    facts,
                    arrival,
                    if is_qos_0 { ONCE_AT_QOS_0 } else { ONCE },
                    "a message once for each subscription",
                    &actual,
                ));
            }
        }
    }
    findings
}

/// The rules about a message that was sent once.
fn of_message(
    facts: &Facts<'_>,
    arrival: &Arrival<'_>,
    publication: &Publication<'_>,
    requests: &[&Request<'_>],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |rule, expected: &str, actual: String| {
        findings.extend(broken(facts, arrival, rule, expected, &actual));
    };
    let (publish, sent) = (arrival.publish, publication.sent);
    let is_gone = |request: &&Request<'_>| {
        request.removed.is_some_and(|(_, acknowledged)| acknowledged.is_some_and(|event| event < sent))
    };
    if requests.iter().all(is_gone) {
        found(
            UNSUBSCRIBED,
            "no message that is published after UNSUBACK",
            "every matching subscription was removed before it was published".to_owned(),
        );
    }
    // Subscriptions that stood before the message was published.
    let stood = requests
        .iter()
        .all(|request| request.granted.is_some_and(|(event, granted)| event < sent && granted.is_some()));
    // Clients without an identifier are not the same.
    let client_id = facts.links.get(arrival.link).map(|link| link.client_id).filter(|id| !id.is_empty());
    let is_own = arrival.link == publication.link || client_id == Some(publication.client_id);
    // Whether a retained message that a new subscription asks for is forwarded has two readings.
    if is_own && (stood || !publish.retain) && requests.iter().all(|request| request.no_local) {
        found(
            NO_LOCAL,
            "no message of the Client itself with No Local",
            "its own message comes back".to_owned(),
        );
    }
    if !stood && publish.retain && !publication.publish.retain {
        let rule = match publication.is_will {
            true => WILL_NOT_RETAINED,
            false => NOT_RETAINED,
        };
        found(rule, "RETAIN 0 for a message that was published with RETAIN 0", "RETAIN 1".to_owned());
    }
    if stood {
        let mut granted = requests.iter().filter_map(|request| request.granted?.1);
        let (published, had) = (publication.publish.delivery.qos(), publish.delivery.qos());
        if !granted.any(|granted| published.min(granted) == had) {
            let actual = format!("QoS {}", u8::from(had));
            found(QOS, "the lower of the published and the granted QoS", actual);
        }
        let as_published = requests.iter().filter(|request| request.retain_as_published).count();
        if as_published == 0 && publish.retain {
            found(NO_RETAIN, "RETAIN 0 on a standing subscription", "RETAIN 1".to_owned());
        }
        if as_published == requests.len() && publish.retain != publication.publish.retain {
            let actual = format!("RETAIN {}", u8::from(publish.retain));
            found(RETAIN, "the RETAIN flag with which it was published", actual);
        }
    }
    let identifiers: BTreeSet<u32> =
        publish.properties.get_all::<SubscriptionIdentifier>().map(SubscriptionIdentifier::get).collect();
    let known: BTreeSet<u32> = requests.iter().filter_map(|request| request.identifier).collect();
    if !identifiers.is_subset(&known) {
        let actual = format!("the Subscription Identifiers {identifiers:?} of {known:?}");
        found(IDENTIFIERS, "only identifiers of subscriptions that match", actual);
    }
    if let ([only], true) = (requests, stood)
        && only.identifier.is_some_and(|identifier| !identifiers.contains(&identifier))
    {
        found(IDENTIFIERS, "the Subscription Identifier of the subscription", "it is missing".to_owned());
    }
    findings
}

/// The properties that a Server forwards unchanged.
fn forwarded(facts: &Facts<'_>, arrival: &Arrival<'_>, publication: &Publication<'_>) -> Vec<Finding> {
    let (had, sent) = (arrival.publish, &*publication.publish);
    // A Server may add User Properties of its own.
    let mut users = had.properties.user_properties();
    let has_users = sent.properties.user_properties().all(|one| users.any(|other| other == one));
    macro_rules! same {
        ($property:ty) => {
            had.properties.get::<$property>() == sent.properties.get::<$property>()
        };
    }
    // An indicator of 0 says the same as none.
    let format = |publish: &Publish| publish.properties.get::<PayloadFormatIndicator>().unwrap_or_default();
    let rules = [
        (PAYLOAD_FORMAT, "Payload Format Indicator", format(had) == format(sent)),
        (RESPONSE_TOPIC, "Response Topic", same!(ResponseTopic)),
        (CORRELATION_DATA, "Correlation Data", same!(CorrelationData)),
        (CONTENT_TYPE, "Content Type", same!(ContentType)),
        (USER_PROPERTIES, "User Properties", has_users),
    ];
    let changed = rules.into_iter().filter(|(.., same)| !same);
    let mut findings: Vec<Finding> = changed
        .filter_map(|(rule, name, _)| {
            broken(facts, arrival, rule, "properties as they were published", &format!("another {name}"))
        })
        .collect();
    let expiry = |publish: &Publish| publish.properties.get::<MessageExpiryInterval>().map(|expiry| expiry.0);
    let at = |event: usize| facts.history.events().get(event).map_or(0, |event| event.at.as_secs());
    let elapsed = at(arrival.event).saturating_sub(at(publication.sent));
    let slack = 2 + (facts.tolerance.early + facts.tolerance.late).as_secs();
    let right = match (expiry(had), expiry(sent)) {
        (None, None) => true,
        (Some(had), Some(sent)) => had <= sent && u64::from(had) + elapsed + slack >= u64::from(sent),
        _ => false,
    };
    if !right {
        let actual = format!("{:?} of {:?} after {elapsed} s", expiry(had), expiry(sent));
        findings.extend(broken(facts, arrival, EXPIRY, "the Message Expiry Interval that is left", &actual));
    }
    findings
}

fn broken(
    facts: &Facts<'_>,
    arrival: &Arrival<'_>,
    rule: Rule,
    expected: &str,
    actual: &str,
) -> Option<Finding> {
    let version = facts.links.get(arrival.link)?.version;
    let host = &facts.history.info(arrival.link.host).name;
    let payload = mqttspec_notation::fields::payload_text(&arrival.publish.payload);
    let actual = format!("{host} had {} {payload}: {actual}", arrival.topic.as_str());
    rule.broken(facts.history, version, arrival.event, expected, actual)
}
