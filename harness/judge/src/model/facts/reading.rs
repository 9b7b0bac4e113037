//! Reads a history event by event.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::BTreeMap;

use mqttspec_codec::{
    AssignedClientIdentifier, AuthenticationMethod, Connect, MaximumQoS, Misdeed, Packet, PubAckReason,
    Publish, QoS, ReceiveMaximum, RetainAvailable, Role, SessionExpiryInterval, SubscriptionIdentifier,
    TopicAlias, TopicAliasMaximum, TopicName, Version,
};
use mqttspec_notation::{FaultKind, SERVER};

use super::super::clients::{Client, ClientNumber};
use super::super::links::{Arrival, Link, Publication, Request, Stranger, Violation};
use super::super::packets::{certain_error, message_of};
use super::Facts;
use crate::history::{ConnectionKey, Event, What};
use crate::per_connection::PerConnection;

/// The clauses that demand the end of the connection after a malformed packet.
const MUST_CLOSE: [&[&str]; 2] = [&["MQTT-4.13.1-1"], &["MQTT-4.8.0-1"]];
const SECOND_CONNECT: [&[&str]; 2] = [&["MQTT-3.1.0-2"], &["MQTT-3.1.0-2"]];
const METHOD: [&[&str]; 2] = [&["MQTT-4.13.1-1", "U5-140"], &[]];
const FIRST_PACKET: [&[&str]; 2] = [&["MQTT-3.1.0-1", "MQTT-4.13.1-1"], &["MQTT-3.1.0-1", "MQTT-4.8.0-1"]];

impl<'h> Facts<'h> {
    pub(super) fn read(&mut self, index: usize, event: &'h Event, versions: &PerConnection<Version>) {
        if let What::Fault(fault) = &event.what {
            let of_server = fault.hosts.iter().any(|host| host == SERVER);
            let profile = matches!(&fault.fault.kind, FaultKind::Profile(of) if of.name.contains("broker") || of.name.contains("disk"));
            self.crashed |=
                of_server && matches!(fault.fault.kind, FaultKind::Crash | FaultKind::Disk(_)) || profile;
            if of_server {
                self.last_of_server = Some(index);
            }
        }
        if let What::Fault(_) | What::FaultOver { .. } = &event.what {
            self.last_fault = Some(event.at);
        }
        let Some(key) = event.connection else { return };
        match &event.what {
            What::SentRaw { bytes, .. } => {
                let version = versions.get(key).copied().unwrap_or(Version::V3_1_1);
                self.sent_raw(key, index, event.at, bytes, version);
            }
            What::Closed(ending) => {
                if let Some(link) = self.links.get_mut(key) {
                    link.closed.get_or_insert((index, *ending));
                }
                if let Some(stranger) = self.strangers.get_mut(&key) {
                    stranger.closed.get_or_insert(index);
                }
            }
            What::Sent { packet: Packet::Connect(connect), .. } => {
                if let Some(link) = self.links.get_mut(key) {
                    link.violated(Violation { event: index, error: None, clauses: SECOND_CONNECT });
                    let own = link.client;
                    self.becomes_unclear(own, index);
                    let other = self.clients.number(connect.client_id.as_str());
                    self.becomes_unclear(other, index);
                    return;
                }
                let version = versions.get(key).copied().unwrap_or(connect.version);
                self.connects(key, index, event.at, connect, version);
            }
            What::Sent { packet, .. } => {
                if let Some(link) = self.links.get_mut(key) {
                    link.speaks(event.at);
                }
                let version = versions.get(key).copied().unwrap_or(Version::V3_1_1);
                self.sent_packet(key, index, packet, version);
            }
            What::Received { packet, .. } => {
                if let Some(link) = self.links.get_mut(key) {
                    link.heard = event.at;
                }
                self.received(key, index, packet);
            }
            _ => {}
        }
    }

    fn connects(
        &mut self,
        key: ConnectionKey,
        index: usize,
        at: Duration,
        connect: &'h Connect,
        version: Version,
    ) {
        let expiry = connect.properties.get::<SessionExpiryInterval>().map_or(0, |expiry| expiry.0);
        let kept = if connect.clean_start { 0 } else { u32::MAX };
        let client_id = connect.client_id.as_str();
        let client = self.clients.number(client_id);
        if !client_id.is_empty() && self.clients.get(client).links.is_empty() {
            self.adopts(client_id, client);
        }
        if let Some(will) = &connect.will {
            let publication = self.publications.len();
            let (topic, payload) = (will.topic.as_str(), will.payload.as_bytes());
            let message = self.messages.published(topic, payload, publication);
            let (sent, publish) = (index, Cow::Owned(message_of(will)));
            let (topic, accepted, is_will) = (&will.topic, None, true);
            self.publications.push(Publication {
                client_id,
                link: key,
                message,
                topic,
                publish,
                sent,
                accepted,
                is_will,
            });
        }
        let link = Link {
            client_id,
            client,
            connect,
            connected: index,
            version,
            clean: connect.clean_start,
            accepted: None,
            refused: None,
            connack: None,
            expiry: [if version.is_5() { expiry } else { kept }; 2],
            began: at,
            heard: at,
            served: at,
            spoke: at,
            silence: Duration::ZERO,
            closed: None,
            left: None,
            violation: None,
            unacknowledged: BTreeMap::new(),
            unfounded: None,
            exceeds: false,
            aliases: [BTreeMap::new(), BTreeMap::new()],
        };
        self.links.insert(key, link);
        let keys = &mut self.clients.get_mut(client).links;
        keys.push(key);
        keys.sort_unstable();
    }

    fn sent_raw(
        &mut self,
        key: ConnectionKey,
        event: usize,
        at: Duration,
        bytes: &'h bytes::Bytes,
        version: Version,
    ) {
        self.raw_bytes.push(bytes);
        let Some(link) = self.links.get_mut(key) else {
            // 3.1.1 lets a Server go on after another Protocol Name.
            let error = certain_error(Role::Client, bytes, version)
                .filter(|error| error.kind != Misdeed::ProtocolNameUnknown);
            let violation = error.map(|error| Violation { event, error: Some(error), clauses: MUST_CLOSE });
            self.strangers.entry(key).or_insert(Stranger { version, violation, closed: None });
            return;
        };
        link.speaks(at);
        if let Some(error) = certain_error(Role::Client, bytes, version) {
            link.violated(Violation { event, error: Some(error), clauses: MUST_CLOSE });
        }
        let client = link.client;
        self.becomes_unclear(client, event);
    }

    fn becomes_unclear(&mut self, client: ClientNumber, event: usize) {
        self.clients.get_mut(client).unclear.push((event, usize::MAX));
    }

    fn sent_packet(&mut self, key: ConnectionKey, index: usize, packet: &'h Packet, version: Version) {
        let Some(link) = self.links.get_mut(key) else {
            let violation = Some(Violation { event: index, error: None, clauses: FIRST_PACKET });
            self.strangers.entry(key).or_insert(Stranger { version, violation, closed: None });
            return;
        };
        let (client_id, client) = (link.client_id, link.client);
        match packet {
            Packet::Publish(publish) => {
                let Some(topic) = link.topic(publish, 0) else {
                    self.becomes_unclear(client, index);
                    return;
                };
                let maximum = link.connack.and_then(|ack| ack.properties.get::<TopicAliasMaximum>());
                let alias = publish.properties.get::<TopicAlias>().map_or(0, |alias| alias.0.get());
                if alias > maximum.map_or(0, |maximum| maximum.0) && link.accepted.is_some() {
                    link.violated(Violation { event: index, error: None, clauses: MUST_CLOSE });
                    self.becomes_unclear(client, index);
                    return;
                }
                let highest = link.connack.and_then(|ack| ack.properties.get::<MaximumQoS>());
                let retains = link.connack.and_then(|ack| ack.properties.get::<RetainAvailable>());
                link.exceeds |= highest.is_some_and(|highest| publish.delivery.qos() > highest.qos())
                    || publish.retain && retains.is_some_and(|retains| !retains.0);
                self.publishes(key, index, (client_id, client), topic, publish);
                self.counts_quota(key, client);
            }
            Packet::Auth(auth) => {
                let method = link.connect.properties.get::<AuthenticationMethod>();
                if method.is_none() || method != auth.properties.get::<AuthenticationMethod>() {
                    link.violated(Violation { event: index, error: None, clauses: METHOD });
                    self.becomes_unclear(client, index);
                }
            }
            Packet::Subscribe(subscribe) => {
                let identifier =
                    subscribe.properties.get::<SubscriptionIdentifier>().map(SubscriptionIdentifier::get);
                let numbers = &mut self.clients.get_mut(client).requests;
                for subscription in &subscribe.subscriptions {
                    numbers.push(self.requests.len());
                    self.requests.push(Request {
                        link: key,
                        client_id,
                        filter: &subscription.filter,
                        no_local: subscription.no_local,
                        retain_as_published: subscription.retain_as_published,
                        retain_handling: subscription.retain_handling,
                        identifier,
                        sent: index,
                        granted: None,
                        removed: None,
                        id: subscribe.id,
                        unsubscribe: None,
                    });
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for number in &self.clients.get(client).requests {
                    let Some(request) = self.requests.get_mut(*number) else { continue };
                    let is_own = request.link == key || !client_id.is_empty();
                    if is_own && unsubscribe.filters.iter().any(|filter| filter == request.filter) {
                        request.removed = Some((index, None));
                        request.unsubscribe = Some((key, unsubscribe.id));
                    }
                }
            }
            Packet::PubAck(ack) => {
                link.acknowledges(index, ack.id, QoS::AtLeastOnce, true);
                if ack.reason.is_failure() {
                    self.refusals.insert(key);
                }
            }
            Packet::PubComp(ack) => link.acknowledges(index, ack.id, QoS::ExactlyOnce, true),
            Packet::PubRel(ack) => {
                let client = self.clients.get_mut(client);
                client.released.insert(ack.id);
                if !client.unreleased.contains_key(&ack.id) {
                    *client.strays.entry(ack.id).or_default() += 1;
                }
            }
            Packet::PubRec(ack) => {
                let refuses = ack.reason.is_failure();
                link.acknowledges(index, ack.id, QoS::ExactlyOnce, refuses);
                if refuses {
                    self.refusals.insert(key);
                }
            }
            Packet::Disconnect(disconnect) => {
                let expiry = disconnect.properties.get::<SessionExpiryInterval>();
                let before = link.connect.properties.get::<SessionExpiryInterval>();
                // Not a valid DISCONNECT (MQTT 5.0 §3.14.2.2.2).
                if expiry.is_some_and(|expiry| expiry.0 > 0) && before.is_none_or(|before| before.0 == 0) {
                    self.becomes_unclear(client, index);
                    return;
                }
                link.left.get_or_insert((index, disconnect));
                if let Some(expiry) = expiry {
                    let [least, most] = link.expiry;
                    link.expiry = [least.min(expiry.0), most.max(expiry.0)];
                }
            }
            _ => {}
        }
    }

    fn publishes(
        &mut self,
        key: ConnectionKey,
        sent: usize,
        (client_id, client): (&'h str, ClientNumber),
        topic: &'h TopicName,
        publish: &'h Publish,
    ) {
        let publication = self.publications.len();
        let resumed = self.links.get(key).and_then(|link| link.accepted).is_some_and(|(_, present)| present);
        if let Some(id) = publish.delivery.packet_identifier() {
            let is_qos2 = publish.delivery.qos() == QoS::ExactlyOnce;
            let of_client = self.clients.get_mut(client);
            let before = match is_qos2 {
                true => of_client.unreleased.get(&id).copied(),
                false => of_client.in_flight.get(&id).copied(),
            };
            let same = |of: &Publication<'_>| {
                let here = of.link == key || resumed;
                here && of.topic == topic
                    && of.publish.payload == publish.payload
                    && of.publish.delivery.qos() == publish.delivery.qos()
            };
            let repeats = publish.delivery.dup() && is_qos2 && !of_client.released.contains(&id);
            if let (true, Some(Some(before))) = (repeats, before)
                && self.publications.get(before).is_some_and(same)
            {
                // A QoS 2 message that is sent again counts once.
                self.repeats.insert((key, id));
                return;
            }
            // A Packet Identifier in use: it is unclear to which message an answer belongs.
            let is_held = of_client.unreleased.contains_key(&id);
            let is_known = of_client.in_flight.insert(id, Some(publication)).is_some();
            if is_known || is_held {
                of_client.in_flight.insert(id, None);
            }
            if is_qos2 {
                of_client.unreleased.insert(id, (!is_held).then_some(publication));
            }
        }
        let message = self.messages.published(topic.as_str(), &publish.payload, publication);
        let (publish, accepted, is_will) = (Cow::Borrowed(publish), None, false);
        let link = key;
        self.publications.push(Publication {
            client_id,
            link,
            message,
            topic,
            publish,
            sent,
            accepted,
            is_will,
        });
    }

    /// Notes whether a Client has sent more messages than the Server's Receive Maximum.
    fn counts_quota(&mut self, key: ConnectionKey, client: ClientNumber) {
        let Some(link) = self.links.get_mut(key) else { return };
        let maximum = link.connack.and_then(|ack| ack.properties.get::<ReceiveMaximum>());
        let Some(maximum) = maximum else { return };
        let Client { in_flight, unreleased, .. } = self.clients.get(client);
        let others = in_flight.keys().filter(|id| !unreleased.contains_key(id)).count();
        link.exceeds |= unreleased.len() + others > usize::from(maximum.0.get());
    }

    fn received(&mut self, key: ConnectionKey, index: usize, packet: &'h Packet) {
        let Some(link) = self.links.get_mut(key) else {
            let accepts = matches!(packet, Packet::ConnAck(ack) if !ack.reason.is_failure());
            self.raw |= accepts && self.strangers.contains_key(&key);
            return;
        };
        let client = link.client;
        if let Packet::Publish(_) | Packet::PubRel(_) = packet {
            link.served = link.heard;
        }
        match packet {
            Packet::ConnAck(ack) if !ack.reason.is_failure() && link.accepted.is_none() => {
                link.accepted = Some((index, ack.session_present));
                link.connack = Some(ack);
                if let Some(expiry) = ack.properties.get::<SessionExpiryInterval>() {
                    link.expiry = [expiry.0; 2];
                }
                if !ack.session_present {
                    let connected = link.connected;
                    // What was sent behind this CONNECT is part of the new Session.
                    let client = self.clients.get_mut(client);
                    for (_, until) in client.unclear.iter_mut().filter(|(from, _)| *from < connected) {
                        *until = connected.min(*until);
                    }
                    // What was sent already is part of the new Session too, or of a later one if this
                    // CONNACK was on its way for a long time.
                    let is_new = |number: &Option<usize>| {
                        let publication = number.and_then(|number| self.publications.get(number));
                        publication.is_none_or(|publication| publication.sent > connected)
                    };
                    client.in_flight.retain(|_, number| is_new(number));
                    client.unreleased.retain(|_, number| is_new(number));
                }
            }
            Packet::ConnAck(_) if link.accepted.is_none() => link.refused = Some(index),
            Packet::Publish(publish) => {
                if let Some(id) = publish.delivery.packet_identifier() {
                    link.unacknowledged.insert(id, publish.delivery.qos());
                }
                if let Some(topic) = link.topic(publish, 1) {
                    let message =
                        self.messages.arrived(topic.as_str(), &publish.payload, self.arrivals.len());
                    self.arrivals.push(Arrival { link: key, event: index, message, topic, publish });
                }
            }
            Packet::PubAck(ack) => {
                let publication = self.clients.get_mut(client).in_flight.remove(&ack.id).flatten();
                self.taken(publication, index, ack.reason.is_failure());
            }
            Packet::PubRec(ack) => {
                self.clients.get_mut(client).in_flight.remove(&ack.id);
                let in_use = ack.reason == PubAckReason::PacketIdentifierInUse;
                if self.repeats.remove(&(key, ack.id)) && in_use {
                    self.refused_repeats.push((key, index));
                }
                if ack.reason.is_failure() {
                    self.clients.get_mut(client).end_unreleased(ack.id);
                }
            }
            Packet::PubRel(ack) => drop(link.unacknowledged.insert(ack.id, QoS::ExactlyOnce)),
            // A Server may wait for PUBREL before it passes a QoS 2 message on.
            Packet::PubComp(ack) => {
                let client = self.clients.get_mut(client);
                if let Some(count @ 1..) = client.strays.get_mut(&ack.id) {
                    *count -= 1;
                    return;
                }
                client.released.remove(&ack.id);
                let publication = client.end_unreleased(ack.id);
                self.taken(publication, index, ack.reason.is_failure());
            }
            Packet::SubAck(ack) => {
                let mut reasons = ack.reasons.iter();
                for number in &self.clients.get(client).requests {
                    let Some(request) = self.requests.get_mut(*number) else { continue };
                    if request.link == key
                        && request.id == ack.id
                        && request.granted.is_none()
                        && let Some(reason) = reasons.next()
                    {
                        request.granted = Some((index, QoS::try_from(u8::from(*reason)).ok()));
                    }
                }
            }
            Packet::UnsubAck(ack) if ack.reasons.iter().all(|reason| u8::from(*reason) < 0x80) => {
                for number in &self.clients.get(client).requests {
                    let Some(request) = self.requests.get_mut(*number) else { continue };
                    if let (Some((_, acknowledged @ None)), true) =
                        (&mut request.removed, request.unsubscribe == Some((key, ack.id)))
                    {
                        *acknowledged = Some(index);
                    }
                }
            }
            _ => {}
        }
    }

    /// A Client comes back under the Client Identifier that the Server assigned to it: its earlier
    /// connection counts as one of the same Client.
    fn adopts(&mut self, client_id: &'h str, client: ClientNumber) {
        let is_assigned = |link: &Link<'_>| {
            let assigned = || link.connack?.properties.get::<AssignedClientIdentifier>();
            link.client_id.is_empty() && assigned().is_some_and(|id| id.0.as_str() == client_id)
        };
        let Some((key, link)) = self.links.iter_mut().find(|(_, link)| is_assigned(link)) else { return };
        (link.client_id, link.client) = (client_id, client);
        self.clients.get_mut(client).links.push(key);
        for (number, request) in self.requests.iter_mut().enumerate().filter(|(_, one)| one.link == key) {
            request.client_id = client_id;
            self.clients.get_mut(client).requests.push(number);
        }
        for publication in self.publications.iter_mut().filter(|one| one.link == key) {
            publication.client_id = client_id;
        }
    }

    fn taken(&mut self, publication: Option<usize>, event: usize, refused: bool) {
        if let (Some(publication), false) = (publication, refused)
            && let Some(publication) = self.publications.get_mut(publication)
        {
            publication.accepted = Some(event);
        }
    }
}
