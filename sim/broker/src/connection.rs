//! The state of a Network Connection, which ends with it (§4.1: Topic Alias mappings, limits and
//! Keep Alive are not Session State).

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use mqttspec_codec::{
    AuthenticationMethod, Connect, MaximumPacketSize, PacketIdentifier, ReceiveMaximum,
    RequestProblemInformation, TopicAlias, TopicAliasMaximum, TopicName, Utf8String, Version,
};

use crate::authentication::{Authentication, CheckedPassword, Permissions};
use crate::memory::{Charge, Memory};
use crate::options::Options;
use crate::session::SessionKey;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    /// The version that packets to this Client are encoded in.
    pub(crate) version: Version,
    pub(crate) client: ClientLimits,
    /// When the last packet was received.
    pub(crate) last_received: Duration,
    /// One and a half Keep Alive periods; `None` if Keep Alive is off (§3.1.2.10).
    pub(crate) silence_allowed: Option<Duration>,
    /// The Topic Alias Maximum that was sent in CONNACK; 0 if it was left out.
    pub(crate) alias_maximum: u16,
    pub(crate) aliases_from_client: BTreeMap<NonZeroU16, TopicName>,
    pub(crate) aliases_to_client: AliasesToClient,
    /// QoS 2 PUBLISH packets of this Network Connection that are not complete. They count against
    /// the Server's Receive Maximum.
    pub(crate) unacknowledged: BTreeSet<PacketIdentifier>,
    pub(crate) permissions: Arc<Permissions>,
    /// The user that has authenticated; `None` for an anonymous Client.
    pub(crate) user: Option<Utf8String>,
    /// The result of the check of the Password in CONNECT, if the driver did it.
    pub(crate) checked: Option<CheckedPassword>,
    pub(crate) authentication: Option<Authentication>,
    /// The Server chose the ClientID (§3.2.2.3.7).
    pub(crate) client_id_assigned: bool,
    /// The driver reports that the Client does not read as fast as the broker writes.
    pub(crate) congested: bool,
    /// Its Topic Aliases.
    pub(crate) charge: Charge,
}

#[derive(Debug)]
pub(crate) enum State {
    /// The first packet must be CONNECT [MQTT-3.1.0-1].
    AwaitingConnect,
    /// A CONNECT waits for its enhanced authentication to end (§4.12).
    Authenticating(Box<Connect>),
    /// CONNACK with Success was sent.
    Open(SessionKey),
}

/// Limits that the Client set in CONNECT (§3.1.2.11).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    pub(crate) receive_maximum: NonZeroU16,
    /// In bytes; `None`: no limit.
    pub(crate) maximum_packet_size: Option<u32>,
    pub(crate) problem_information: bool,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { receive_maximum: NonZeroU16::MAX, maximum_packet_size: None, problem_information: true }
    }
}

impl Connection {
    pub(crate) fn new(now: Duration, permissions: Arc<Permissions>, memory: &Memory) -> Self {
        Self {
            state: State::AwaitingConnect,
            version: Version::V5,
            client: ClientLimits::default(),
            last_received: now,
            silence_allowed: None,
            alias_maximum: 0,
            aliases_from_client: BTreeMap::new(),
            aliases_to_client: AliasesToClient::default(),
            unacknowledged: BTreeSet::new(),
            permissions,
            user: None,
            checked: None,
            authentication: None,
            client_id_assigned: false,
            congested: false,
            charge: memory.charge(0),
        }
    }

    /// Reads version and limits from CONNECT.
    pub(crate) fn read_limits(&mut self, connect: &Connect, options: &Options) {
        let properties = &connect.properties;
        self.version = connect.version;
        self.client = ClientLimits {
            receive_maximum: properties.get().map_or(NonZeroU16::MAX, |ReceiveMaximum(maximum)| maximum),
            maximum_packet_size: properties.get().map(|MaximumPacketSize(size)| size.get()),
            problem_information: properties.get().is_none_or(|RequestProblemInformation(wanted)| wanted),
        };
        // [MQTT-3.1.2-26] [MQTT-3.1.2-27] if absent, 0
        let maximum = properties.get().map_or(0, |TopicAliasMaximum(maximum)| maximum);
        self.aliases_to_client = AliasesToClient::up_to(maximum.min(options.topic_alias_use_maximum));
    }

    pub(crate) fn session(&self) -> Option<SessionKey> {
        match self.state {
            State::Open(session) => Some(session),
            State::AwaitingConnect | State::Authenticating(_) => None,
        }
    }

    pub(crate) fn method(&self) -> Option<&AuthenticationMethod> {
        self.authentication.as_ref().map(Authentication::method)
    }
}

/// Topic Aliases that the Server has assigned (§3.3.2.3.4). When all are in use, the oldest one is
/// assigned again.
#[derive(Debug, Default)]
pub(crate) struct AliasesToClient {
    maximum: u16,
    by_topic: BTreeMap<TopicName, NonZeroU16>,
    /// The topic of alias 1, 2, …
    topics: Vec<TopicName>,
    next: usize,
}

impl AliasesToClient {
    fn up_to(maximum: u16) -> Self {
        Self { maximum, ..Self::default() }
    }

    pub(crate) fn are_used(&self) -> bool {
        self.maximum > 0
    }

    pub(crate) fn get(&self, topic: &TopicName) -> Option<TopicAlias> {
        self.by_topic.get(topic).copied().map(TopicAlias)
    }

    /// The alias that [`assign`](Self::assign) would use next.
    pub(crate) fn next(&self) -> Option<TopicAlias> {
        // [MQTT-3.3.2-11] never above the Client's maximum
        let place = if self.topics.len() < usize::from(self.maximum) { self.topics.len() } else { self.next };
        let number = u16::try_from(place + 1).ok().filter(|number| *number <= self.maximum)?;
        NonZeroU16::new(number).map(TopicAlias)
    }

    /// Assigns the next alias to the topic. The PUBLISH that has both must then be sent.
    pub(crate) fn assign(&mut self, topic: &TopicName) {
        let Some(TopicAlias(alias)) = self.next() else { return };
        // A copy of its own: it may outlive the packet's buffer by far.
        let topic = &topic.detached();
        let place = usize::from(alias.get()) - 1;
        if place == self.topics.len() {
            self.topics.push(topic.clone());
        } else {
            let before = std::mem::replace(&mut self.topics[place], topic.clone());
            self.by_topic.remove(&before);
            self.next = (place + 1) % self.topics.len();
        }
        self.by_topic.insert(topic.clone(), alias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_topic_alias_is_given_anew_when_all_are_in_use() {
        let mut aliases = AliasesToClient::up_to(2);
        let [a, b, c] = ["a", "b", "c"].map(TopicName::from_static);
        let number =
            |aliases: &AliasesToClient, topic| aliases.get(topic).map(|TopicAlias(number)| number.get());
        aliases.assign(&a);
        aliases.assign(&b);
        assert_eq!((number(&aliases, &a), number(&aliases, &b)), (Some(1), Some(2)));
        aliases.assign(&c);
        assert_eq!((number(&aliases, &a), number(&aliases, &c)), (None, Some(1)));
        aliases.assign(&a);
        assert_eq!((number(&aliases, &b), number(&aliases, &a)), (None, Some(2)));
        assert!(AliasesToClient::up_to(0).next().is_none());
    }
}
