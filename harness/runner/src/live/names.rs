//! The names of one run on the wire. Client Identifiers, topics and ShareNames carry the token of
//! the run, so that concurrent runs and leftovers of earlier runs cannot affect each other.
//! Transcripts and expectations show the scenario's names.
//!
//! Topic Names and Topic Filters: MQTT 5.0 §4.7; shared subscriptions: §4.8.2; Client Identifiers:
//! §3.1.3.1.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use mqttspec_codec::{
    AssignedClientIdentifier, BinaryData, Connect, NonEmpty, Packet, Publish, ResponseTopic,
    SessionExpiryInterval, TopicFilter, TopicName, Utf8String, Version, Will,
};

use super::target_file::FileCredentials;

/// The first level of Topic Filters of shared subscriptions.
const SHARE: &str = "$share/";

/// User name and password for Clients to which a scenario gives none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The User Name.
    pub user_name: String,
    /// The Password.
    pub password: Option<Vec<u8>>,
}

impl From<FileCredentials> for Credentials {
    fn from(in_file: FileCredentials) -> Self {
        Self { user_name: in_file.user, password: in_file.password.map(String::into_bytes) }
    }
}

/// The user name and password that scenarios configure with `users="user alice password secret"`
/// on a `broker` line.
const ALICE: (&str, &[u8]) = ("alice", b"secret");

/// The names of one run.
#[derive(Debug)]
pub(crate) struct Names {
    /// The prefix of every name. `None` if the server is used by this run only, or if the scenario
    /// does not allow other names.
    token: Option<String>,
    credentials: Option<Credentials>,
    /// Replaces the user `alice` of scenarios.
    second_identity: Option<Credentials>,
    /// Replaces Keep Alive 0 in a CONNECT.
    replacement_of_keep_alive_0: u16,
    /// The prefix of the tokens of all runs of this process.
    token_prefix: String,
    /// Whether a message of another run arrived, though this run cannot have subscribed to it.
    crosstalk: Cell<bool>,
    /// Client Identifiers that the server assigned. They carry no token.
    assigned: RefCell<BTreeSet<String>>,
    leftovers: RefCell<Leftovers>,
}

/// The Sessions and retained messages that a run may have left on the server, by their names on the
/// wire.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Client Identifiers whose Session may outlive its connection, with the version of the
    /// CONNECT.
    pub(crate) sessions: BTreeSet<(String, Version)>,
    /// Topics of retained messages.
    pub(crate) retained: BTreeSet<String>,
}

impl Names {
    pub(crate) fn new(token: Option<String>, token_prefix: &str, credentials: Option<Credentials>) -> Self {
        Self {
            token,
            credentials,
            second_identity: None,
            replacement_of_keep_alive_0: 0,
            token_prefix: token_prefix.to_owned(),
            crosstalk: Cell::new(false),
            assigned: RefCell::default(),
            leftovers: RefCell::default(),
        }
    }

    /// Replaces the user `alice` of scenarios by this one.
    pub(crate) fn with_second_identity(self, second_identity: Option<Credentials>) -> Self {
        Self { second_identity, ..self }
    }

    /// Replaces Keep Alive 0 by a number of seconds, for a server that refuses 0.
    pub(crate) fn with_keep_alive(self, replacement_of_keep_alive_0: u16) -> Self {
        Self { replacement_of_keep_alive_0, ..self }
    }

    /// Whether a message of another run arrived.
    pub(crate) fn has_crosstalk(&self) -> bool {
        self.crosstalk.get()
    }

    /// Takes what the run may have left on the server.
    pub(crate) fn take_leftovers(&self) -> Leftovers {
        self.leftovers.take()
    }

    /// Converts a packet of a client: the scenario's names become names on the wire.
    pub(crate) fn outward(&self, packet: Packet) -> Packet {
        match packet {
            Packet::Connect(connect) => Packet::Connect(self.connect(*connect).into()),
            Packet::Publish(publish) => {
                let publish = self.publish(publish, Self::topic_outward);
                if let Some(topic) =
                    publish.topic.as_ref().filter(|_| publish.retain && !publish.payload.is_empty())
                {
                    self.leftovers.borrow_mut().retained.insert(topic.as_str().to_owned());
                }
                Packet::Publish(publish)
            }
            Packet::Subscribe(mut subscribe) => {
                let mut subscriptions = subscribe.subscriptions.into_vec();
                for subscription in &mut subscriptions {
                    subscription.filter = self.filter(&subscription.filter);
                }
                let Ok(subscriptions) = NonEmpty::try_from(subscriptions) else {
                    unreachable!("as many as before")
                };
                subscribe.subscriptions = subscriptions;
                Packet::Subscribe(subscribe)
            }
            Packet::Unsubscribe(mut unsubscribe) => {
                let filters = unsubscribe
                    .filters
                    .into_vec()
                    .iter()
                    .map(|filter| self.filter(filter))
                    .collect::<Vec<_>>();
                let Ok(filters) = NonEmpty::try_from(filters) else { unreachable!("as many as before") };
                unsubscribe.filters = filters;
                Packet::Unsubscribe(unsubscribe)
            }
            other => other,
        }
    }

    /// Converts a packet of the server: names on the wire become the scenario's names.
    pub(crate) fn inward(&self, packet: Packet) -> Packet {
        match packet {
            Packet::Publish(publish) => Packet::Publish(self.publish(publish, Self::topic_inward)),
            Packet::ConnAck(connack) => {
                if let Some(AssignedClientIdentifier(id)) = connack.properties.get() {
                    self.assigned.borrow_mut().insert(id.as_str().to_owned());
                }
                Packet::ConnAck(connack)
            }
            other => other,
        }
    }

    fn connect(&self, mut connect: Connect) -> Connect {
        let id = connect.client_id.as_str();
        if !id.is_empty()
            && !self.assigned.borrow().contains(id)
            && let Some(token) = &self.token
            && let Ok(on_wire) = Utf8String::try_from(format!("{token}{id}"))
        {
            connect.client_id = on_wire;
        }
        if connect.keep_alive == 0 {
            connect.keep_alive = self.replacement_of_keep_alive_0;
        }
        connect.will = connect.will.map(|will| self.will(will));
        let expiry = connect.properties.get().map_or(0, |SessionExpiryInterval(seconds)| seconds);
        if !connect.client_id.as_str().is_empty()
            && (expiry > 0 || !connect.version.is_5() && !connect.clean_start)
        {
            let session = (connect.client_id.as_str().to_owned(), connect.version);
            self.leftovers.borrow_mut().sessions.insert(session);
        }
        if let Some(credentials) =
            self.credentials.as_ref().filter(|_| connect.user_name.is_none() && connect.password.is_none())
        {
            connect.user_name = Utf8String::try_from(credentials.user_name.as_str()).ok();
            connect.password =
                credentials.password.clone().and_then(|password| BinaryData::try_from(password).ok());
        }
        if let Some(identity) = &self.second_identity {
            replace_alice(&mut connect, identity);
        }
        connect
    }

    fn will(&self, mut will: Will) -> Will {
        will.topic = self.topic(&will.topic, Self::topic_outward);
        if let Some(ResponseTopic(topic)) = will.properties.get() {
            will.properties.set(ResponseTopic(self.topic(&topic, Self::topic_outward)));
        }
        if will.retain {
            self.leftovers.borrow_mut().retained.insert(will.topic.as_str().to_owned());
        }
        will
    }

    fn publish(&self, mut publish: Publish, named: fn(&Self, &str) -> Option<String>) -> Publish {
        publish.topic = publish.topic.map(|topic| self.topic(&topic, named));
        if let Some(ResponseTopic(topic)) = publish.properties.get() {
            publish.properties.set(ResponseTopic(self.topic(&topic, named)));
        }
        publish
    }

    /// The converted topic; the topic itself if it has no other name or the other name is too long.
    fn topic(&self, topic: &TopicName, named: fn(&Self, &str) -> Option<String>) -> TopicName {
        let other = named(self, topic.as_str()).and_then(|other| TopicName::try_from(other.as_str()).ok());
        other.unwrap_or_else(|| topic.clone())
    }

    /// Topics that begin with `$` belong to the server (§4.7.2).
    fn topic_outward(&self, topic: &str) -> Option<String> {
        let token = self.token.as_ref().filter(|_| !topic.starts_with('$'))?;
        Some(format!("{token}/{topic}"))
    }

    fn topic_inward(&self, topic: &str) -> Option<String> {
        let token = self.token.as_ref()?;
        let own = topic.strip_prefix(token.as_str()).and_then(|rest| rest.strip_prefix('/'));
        if own.is_none() && topic.starts_with(&self.token_prefix) {
            self.crosstalk.set(true);
        }
        own.map(str::to_owned)
    }

    fn filter(&self, filter: &TopicFilter) -> TopicFilter {
        let Some(token) = &self.token else { return filter.clone() };
        let text = filter.as_str();
        // An invalid ShareName must stay invalid.
        let is_name = |group: &str| !group.is_empty() && !group.contains(['+', '#']);
        let other = match text.strip_prefix(SHARE).and_then(|rest| rest.split_once('/')) {
            Some((group, rest)) if !is_name(group) || rest.is_empty() => None,
            Some((group, rest)) => {
                let rest = self.topic_outward(rest).unwrap_or_else(|| rest.to_owned());
                Some(format!("{SHARE}{token}{group}/{rest}"))
            }
            None => self.topic_outward(text),
        };
        other.and_then(|other| TopicFilter::try_from(other.as_str()).ok()).unwrap_or_else(|| filter.clone())
    }
}

/// Replaces the user `alice`. A wrong password is not replaced: it is wrong for the other user too.
fn replace_alice(connect: &mut Connect, identity: &Credentials) {
    let (user, password) = ALICE;
    if connect.user_name.as_ref().is_none_or(|name| name.as_str() != user) {
        return;
    }
    connect.user_name = Utf8String::try_from(identity.user_name.as_str()).ok();
    if connect.password.as_ref().is_some_and(|given| given.as_bytes() == password) {
        connect.password = identity.password.clone().and_then(|password| BinaryData::try_from(password).ok());
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::{PacketIdentifier, QoS, Subscribe, Subscription};

    use super::*;

    fn names() -> Names {
        Names::new(Some("t0k".to_owned()), "t0", None)
    }

    fn topic(packet: Packet) -> String {
        let Packet::Publish(publish) = packet else { panic!("not a PUBLISH: {packet:?}") };
        publish.topic.map_or_else(String::new, |topic| topic.as_str().to_owned())
    }

    #[test]
    fn topics_carry_the_token_on_the_wire_only() {
        let names = names();
        for (in_scenario, on_wire) in
            [("a/b", "t0k/a/b"), ("/", "t0k//"), ("t0k/a", "t0k/t0k/a"), ("$SYS/uptime", "$SYS/uptime")]
        {
            let publish = Publish::new(TopicName::try_from(in_scenario).unwrap(), "x");
            let outward = names.outward(publish.clone().into());
            assert_eq!(topic(outward.clone()), on_wire);
            assert_eq!(names.inward(outward), Packet::Publish(publish));
        }
    }

    #[test]
    fn shared_filters_carry_the_token_in_the_share_name_and_in_the_filter() {
        let names = names();
        for (in_scenario, on_wire) in [
            ("#", "t0k/#"),
            ("+/b", "t0k/+/b"),
            ("/finance", "t0k//finance"),
            ("$SYS/#", "$SYS/#"),
            ("$share/group/a/+", "$share/t0kgroup/t0k/a/+"),
            ("$share/group/$SYS/#", "$share/t0kgroup/$SYS/#"),
        ] {
            let filter = TopicFilter::try_from(in_scenario).unwrap();
            let subscription = Subscription::new(filter, QoS::AtLeastOnce);
            let subscribe = Subscribe::new(PacketIdentifier::MIN, NonEmpty::one(subscription));
            let Packet::Subscribe(subscribe) = names.outward(subscribe.into()) else {
                panic!("not a SUBSCRIBE")
            };
            assert_eq!(subscribe.subscriptions.first().filter.as_str(), on_wire);
        }
    }

    #[test]
    fn a_message_of_another_run_is_detected() {
        let names = names();
        let from = |topic: &str| Publish::new(TopicName::try_from(topic).unwrap(), "x");
        names.inward(from("t0k/a").into());
        names.inward(from("$SYS/a").into());
        assert!(!names.has_crosstalk());
        names.inward(from("t0x/a").into());
        assert!(names.has_crosstalk());
    }

    #[test]
    fn an_assigned_client_identifier_carries_no_token() {
        let names = names();
        let id = |id: &str| Utf8String::try_from(id).unwrap();
        let client_id = |packet| match packet {
            Packet::Connect(connect) => connect.client_id.as_str().to_owned(),
            other => panic!("not a CONNECT: {other:?}"),
        };
        assert_eq!(client_id(names.outward(Connect::new(Version::V5, id("device")).into())), "t0kdevice");
        assert_eq!(client_id(names.outward(Connect::new(Version::V5, id("")).into())), "");
        let connack = mqttspec_codec::ConnAck::accepted(false).with(AssignedClientIdentifier(id("auto-1")));
        names.inward(connack.into());
        assert_eq!(client_id(names.outward(Connect::new(Version::V5, id("auto-1")).into())), "auto-1");
    }

    #[test]
    fn the_second_identity_replaces_alice() {
        let text = |text: &str| Utf8String::try_from(text).unwrap();
        let identity = Credentials { user_name: "other".to_owned(), password: Some(b"right".to_vec()) };
        let names = Names::new(None, "t0", None).with_second_identity(Some(identity));
        for (in_scenario, on_wire) in [
            (("alice", "secret"), ("other", "right")),
            (("alice", "guess"), ("other", "guess")),
            (("mallory", "secret"), ("mallory", "secret")),
        ] {
            let mut connect = Connect::new(Version::V5, text("device"));
            connect.user_name = Some(text(in_scenario.0));
            connect.password = BinaryData::try_from(in_scenario.1.as_bytes().to_vec()).ok();
            let Packet::Connect(sent) = names.outward(connect.into()) else { panic!("not a CONNECT") };
            assert_eq!(sent.user_name, Some(text(on_wire.0)));
            assert_eq!(sent.password, BinaryData::try_from(on_wire.1.as_bytes().to_vec()).ok());
        }
    }

    #[test]
    fn leftovers_are_listed_by_their_names_on_the_wire() {
        let names = names();
        let mut connect = Connect::new(Version::V3_1_1, Utf8String::try_from("device").unwrap());
        connect.clean_start = false;
        names.outward(connect.into());
        names.outward(Publish::new(TopicName::try_from("a").unwrap(), "x").retained().into());
        names.outward(Publish::new(TopicName::try_from("b").unwrap(), "x").into());
        let leftovers = names.take_leftovers();
        assert_eq!(leftovers.sessions, BTreeSet::from([("t0kdevice".to_owned(), Version::V3_1_1)]));
        assert_eq!(leftovers.retained, BTreeSet::from(["t0k/a".to_owned()]));
    }
}
