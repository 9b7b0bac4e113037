//! Subscription Identifiers in the only copy of a message.
//!
//! MQTT 5.0 §3.3.4. A Server may send a copy for each of several subscriptions that overlap. Only a
//! message is judged of which one copy has come long before the connection ends.

use core::time::Duration;
use std::collections::BTreeSet;

use mqttspec_codec::{MaximumPacketSize, MessageExpiryInterval, QoS, SubscriptionIdentifier};

use super::Rule;
use super::facts::Facts;
use super::links::Arrival;
use crate::finding::Finding;

const ALL: Rule = Rule::new(&["MQTT-3.3.4-4"], &[]);

/// How much later than the first copy another one may come.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let identified = facts.requests.iter().filter(|request| request.identifier.is_some());
    if facts.crashed || facts.raw || identified.count() < 2 {
        return Vec::new();
    }
    facts.arrivals.iter().filter_map(|arrival| incomplete(facts, arrival)).collect()
}

fn incomplete(facts: &Facts<'_>, arrival: &Arrival<'_>) -> Option<Finding> {
    let link = facts.links.get(arrival.link)?;
    if !link.version.is_5() || facts.is_unclear(link.client_id, arrival.event) {
        return None;
    }
    let publication = facts.only_publication(arrival.message)?;
    let requests = facts.matching(arrival.link, arrival.event, arrival.topic);
    let known: BTreeSet<u32> = requests.iter().filter_map(|request| request.identifier).collect();
    // Each subscription is in force before the message is published, and loses none.
    let certain = requests.iter().all(|request| {
        request.link == arrival.link
            && request.removed.is_none()
            && !request.no_local
            && !request.filter.is_shared()
            && request.granted.is_some_and(|(event, granted)| {
                facts.in_force(event, publication.sent) && granted > Some(QoS::AtMostOnce)
            })
    });
    let filters: BTreeSet<&str> = requests.iter().map(|request| request.filter.as_str()).collect();
    let at = facts.at(arrival.event);
    let until = at + PATIENCE + facts.tolerance.answer;
    let stands = link.closed.is_none_or(|(closed, _)| facts.at(closed) > until)
        && link.left.is_none_or(|(left, _)| facts.at(left) > until)
        && until < facts.end
        && facts.calm.lasts(facts.name(arrival.link), facts.at(publication.sent), until)
        && link.unacknowledged.is_empty();
    let loses = link.connect.properties.contains::<MaximumPacketSize>()
        || publication.publish.properties.contains::<MessageExpiryInterval>()
        || publication.publish.delivery.qos() == QoS::AtMostOnce;
    let alone = facts.arrivals_of(arrival.message).filter(|other| other.link == arrival.link);
    if known.len() < 2 || filters.len() != requests.len() || !certain || !stands || loses || alone.count() > 1
    {
        return None;
    }
    let had: BTreeSet<u32> = arrival
        .publish
        .properties
        .get_all::<SubscriptionIdentifier>()
        .map(SubscriptionIdentifier::get)
        .collect();
    if known.is_subset(&had) {
        return None;
    }
    let actual = format!("{} had {had:?} of {known:?}", facts.name(arrival.link));
    let expected = "the identifiers of all matching subscriptions in the only copy of a message";
    ALL.broken(facts.history, link.version, arrival.event, expected, actual)
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::{Packet, Role, SubAck, SubAckReason, Subscribe, Subscription, TopicFilter, Version};

    use crate::history::builder::{HistoryBuilder, id, puback, publish};
    use crate::model::{Tolerance, judge};

    use super::*;

    fn subscribed(builder: HistoryBuilder, filter: &str, number: u32) -> HistoryBuilder {
        let filter = TopicFilter::try_from(filter).expect("a Topic Filter");
        let subscription = Subscription::new(filter, QoS::AtLeastOnce);
        let mut subscribe = Subscribe::new(id(7), subscription);
        subscribe.properties.set(SubscriptionIdentifier::new(number).expect("an identifier"));
        builder.sent("reader", subscribe).received("reader", SubAck::new(id(7), SubAckReason::GrantedQoS1))
    }

    fn clauses(identifiers: &[u32], waits: u64) -> Vec<String> {
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["reader", "writer"])
            .connects("writer", false)
            .connects("reader", false);
        let builder = subscribed(subscribed(builder, "t", 1), "#", 2)
            .sent("writer", publish(QoS::AtLeastOnce, 1, "one"))
            .received("writer", puback(1));
        let mut message = publish(QoS::AtLeastOnce, 1, "one");
        for identifier in identifiers {
            message.properties.push(SubscriptionIdentifier::new(*identifier).expect("an identifier"));
        }
        let builder = builder.received("reader", message).sent("reader", puback(1)).waits(waits);
        let findings = judge(&builder.sent("reader", Packet::PingReq).build(), Tolerance::default());
        findings.into_iter().flat_map(|finding| finding.requirements).map(|broken| broken.clause).collect()
    }

    #[test]
    fn the_only_copy_has_every_identifier() {
        assert_eq!(clauses(&[1, 2], 6), Vec::<String>::new());
        assert_eq!(clauses(&[2], 6), ["MQTT-3.3.4-4"]);
        // The second copy may still come.
        assert_eq!(clauses(&[2], 1), Vec::<String>::new());
    }
}
