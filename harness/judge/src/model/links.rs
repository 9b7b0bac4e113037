//! Network Connections, Subscriptions and messages of a run, as the rules see them.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::BTreeMap;

use mqttspec_codec::{
    ConnAck, Connect, DecodeError, Disconnect, PacketIdentifier, Publish, QoS, RetainHandling,
    ServerKeepAlive, TopicAlias, TopicFilter, TopicName, Version,
};

use super::clients::ClientNumber;
use super::messages::MessageNumber;
use crate::history::{ConnectionKey, Ending};

/// A Network Connection with its CONNECT.
pub(super) struct Link<'h> {
    pub(super) client_id: &'h str,
    pub(super) client: ClientNumber,
    pub(super) connect: &'h Connect,
    /// The event of CONNECT.
    pub(super) connected: usize,
    pub(super) version: Version,
    pub(super) clean: bool,
    /// The event of the successful CONNACK, and its Session Present.
    pub(super) accepted: Option<(usize, bool)>,
    /// The event of a CONNACK that refuses the client.
    pub(super) refused: Option<usize>,
    /// The successful CONNACK.
    pub(super) connack: Option<&'h ConnAck>,
    /// The least and the largest Session Expiry Interval that may be in force, in seconds. In 3.1.1
    /// Clean Session decides.
    pub(super) expiry: [u32; 2],
    /// When CONNECT was sent.
    pub(super) began: Duration,
    /// When the last packet of the Server arrived.
    pub(super) heard: Duration,
    /// When the last PUBLISH or PUBREL of the Server arrived.
    pub(super) served: Duration,
    /// When the client sent its last packet.
    pub(super) spoke: Duration,
    /// The longest time between two packets of the client.
    pub(super) silence: Duration,
    /// The event of the end of the connection.
    pub(super) closed: Option<(usize, Ending)>,
    /// The client's DISCONNECT and its event.
    pub(super) left: Option<(usize, &'h Disconnect)>,
    /// The first thing that the client did against the standard.
    pub(super) violation: Option<Violation>,
    /// Messages that the Client has not acknowledged to their end.
    pub(super) unacknowledged: BTreeMap<PacketIdentifier, QoS>,
    /// The event of the first acknowledgement for nothing that had arrived. The Server may close.
    pub(super) unfounded: Option<usize>,
    /// The Client has sent a message that CONNACK says the Server does not take.
    pub(super) exceeds: bool,
    pub(super) aliases: [BTreeMap<u16, &'h TopicName>; 2],
}

/// What a client did against the standard, so that the Server must close the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Violation {
    pub(super) event: usize,
    /// The error of the codec; `None` if the packet itself is well-formed.
    pub(super) error: Option<DecodeError>,
    /// The clauses that demand the end, in 5.0 and in 3.1.1.
    pub(super) clauses: [&'static [&'static str]; 2],
}

/// A Network Connection that began with something else than a CONNECT.
pub(super) struct Stranger {
    pub(super) version: Version,
    /// What it did; `None` if it is not certain that it breaks the standard.
    pub(super) violation: Option<Violation>,
    pub(super) closed: Option<usize>,
}

/// A Topic Filter of a SUBSCRIBE.
pub(super) struct Request<'h> {
    pub(super) link: ConnectionKey,
    pub(super) client_id: &'h str,
    pub(super) filter: &'h TopicFilter,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) retain_handling: RetainHandling,
    pub(super) identifier: Option<u32>,
    pub(super) sent: usize,
    /// The event of the SUBACK, and the granted QoS; `None` if it was refused.
    pub(super) granted: Option<(usize, Option<QoS>)>,
    /// The event of an UNSUBSCRIBE for the filter, and of its UNSUBACK.
    pub(super) removed: Option<(usize, Option<usize>)>,
    /// The Packet Identifier of the SUBSCRIBE.
    pub(super) id: PacketIdentifier,
    /// The connection and the Packet Identifier of that UNSUBSCRIBE.
    pub(super) unsubscribe: Option<(ConnectionKey, PacketIdentifier)>,
}

/// A message that a client published, or its Will.
pub(super) struct Publication<'h> {
    pub(super) client_id: &'h str,
    pub(super) link: ConnectionKey,
    pub(super) message: MessageNumber,
    pub(super) topic: &'h TopicName,
    pub(super) publish: Cow<'h, Publish>,
    /// The event from which on the Server can have it: of PUBLISH, or of the CONNECT with a Will.
    pub(super) sent: usize,
    /// The event with which the Server took the message. Not for a Will.
    pub(super) accepted: Option<usize>,
    pub(super) is_will: bool,
}

/// A PUBLISH that a client received.
pub(super) struct Arrival<'h> {
    pub(super) link: ConnectionKey,
    pub(super) event: usize,
    pub(super) message: MessageNumber,
    pub(super) topic: &'h TopicName,
    pub(super) publish: &'h Publish,
}

impl Request<'_> {
    pub(super) fn matches(&self, topic: &TopicName, version: Version) -> bool {
        matches(self.filter, topic, version)
    }
}

impl<'h> Link<'h> {
    pub(super) fn is_open(&self) -> bool {
        self.closed.is_none()
    }

    /// The Keep Alive in force; zero if there is none.
    pub(super) fn keep_alive(&self) -> Duration {
        let server = self.connack.and_then(|ack| ack.properties.get::<ServerKeepAlive>());
        Duration::from_secs(u64::from(server.map_or(self.connect.keep_alive, |server| server.0)))
    }

    /// Whether the client was silent for so long, until this time, that the Server may have given it
    /// up.
    pub(super) fn was_silent(&self, until: Duration) -> bool {
        let keep_alive = self.keep_alive();
        !keep_alive.is_zero() && self.silence.max(until.saturating_sub(self.spoke)) >= keep_alive
    }

    pub(super) fn speaks(&mut self, at: Duration) {
        self.silence = self.silence.max(at.saturating_sub(self.spoke));
        self.spoke = at;
    }

    /// The client acknowledges a message of this QoS, or ends such an exchange.
    pub(super) fn acknowledges(&mut self, event: usize, id: PacketIdentifier, qos: QoS, ends: bool) {
        if self.unacknowledged.get(&id) != Some(&qos) {
            self.unfounded.get_or_insert(event);
        } else if ends {
            self.unacknowledged.remove(&id);
        }
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    /// The topic of a PUBLISH in this direction, also if it has only a Topic Alias.
    pub(super) fn topic(&mut self, publish: &'h Publish, direction: usize) -> Option<&'h TopicName> {
        let alias = publish.properties.get::<TopicAlias>().map(|alias| alias.0.get());
        match (&publish.topic, alias) {
            (Some(topic), Some(alias)) => {
                self.aliases[direction].insert(alias, topic);
                Some(topic)
            }
            (Some(topic), None) => Some(topic),
            (None, alias) => self.aliases[direction].get(&alias?).copied(),
        }
    }
}

pub(super) fn matches(filter: &TopicFilter, topic: &TopicName, version: Version) -> bool {
    if version.is_5() { filter.matches(topic) } else { filter.matches_verbatim(topic) }
}
