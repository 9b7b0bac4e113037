//! The options of the broker: for each one its name in scenario files and on the command line, its
//! default and its meaning.

use std::num::NonZeroU16;
use std::time::Duration;

use mqttspec_codec::{QoS, Utf8String, Version};
use mqttspec_core::{OptionValue, choices, options};

use crate::authentication::Users;

options! {
    /// The options of a broker. Field names and the names that [`Options::set`] takes are the same.
    #[derive(Clone, Debug, PartialEq)]
    #[non_exhaustive]
    pub struct Options {
        /// The protocol versions that CONNECT may ask for (§3.1.2.2).
        versions: ProtocolVersions = ProtocolVersions::ALL;
        /// The largest number of QoS 1 and 2 PUBLISH packets that a Client may have unacknowledged
        /// (§3.2.2.3.3). 65535 is not announced.
        receive_maximum: NonZeroU16 = NonZeroU16::MAX;
        /// The largest number of QoS 1 and 2 PUBLISH packets that one Client may leave
        /// unacknowledged. Its own Receive Maximum applies too, if it is lower: the lower one is
        /// the initial send quota (§4.9). For 3.1.1 this is the only limit.
        send_maximum: NonZeroU16 = NonZeroU16::MAX;
        /// The largest packet that the Server accepts, in bytes (§3.2.2.3.6). `none` means no limit
        /// but that of the protocol.
        maximum_packet_size: Option<u32> = None;
        /// The highest QoS that the Server accepts in PUBLISH and grants in SUBACK (§3.2.2.3.4).
        maximum_qos: QoS = QoS::ExactlyOnce;
        /// The highest QoS that the Server grants in SUBACK (§3.9.3). It is not announced and does
        /// not limit PUBLISH. `maximum_qos` applies too, if it is lower.
        granted_qos_maximum: QoS = QoS::ExactlyOnce;
        /// Whether the Server keeps retained messages (§3.2.2.3.5).
        retain_available: bool = true;
        /// Whether the Server accepts Topic Filters with wildcards (§3.2.2.3.11).
        wildcard_subscription_available: bool = true;
        /// Whether the Server accepts Subscription Identifiers (§3.2.2.3.12).
        subscription_identifier_available: bool = true;
        /// Whether the Server accepts Shared Subscriptions (§3.2.2.3.13).
        shared_subscription_available: bool = true;
        /// The highest Topic Alias that a Client may use (§3.2.2.3.8). 0 means none.
        topic_alias_maximum: u16 = 10;
        /// The largest number of Topic Aliases that the Server uses towards a Client. The Client's
        /// own maximum applies too, if it is lower (§3.1.2.11.5).
        topic_alias_use_maximum: u16 = 16;
        /// The Keep Alive, in seconds, that replaces the Client's (§3.2.2.3.14). 0 turns Keep Alive
        /// off. `none` leaves it to the Client.
        server_keep_alive: Option<u16> = None;
        /// The longest Session Expiry Interval, in seconds, that the Server grants a 5.0 Client
        /// (§3.2.2.3.2). 4294967295 means that Sessions may be kept without limit.
        session_expiry_maximum: u32 = u32::MAX;
        /// How long a Network Connection may take from its start to an accepted CONNECT (§3.1.4). 0
        /// means no limit.
        connect_timeout: Duration = Duration::from_secs(10);
        /// The largest number of Clients that are connected. A CONNECT above it is refused with
        /// Server busy (0x89). 0 means no limit.
        maximum_connections: u32 = 0;
        /// Whether a Client with a ClientID of zero bytes is assigned one (§3.1.3.1). If not, it is
        /// refused.
        assign_client_id: bool = true;
        /// The longest ClientID, in bytes (§3.1.3.1). 3.1 never allows more than 23 characters.
        client_id_maximum_length: u16 = u16::MAX;
        /// The characters that a ClientID may have (§3.1.3.1).
        client_id_characters: ClientIdCharacters = ClientIdCharacters::Any;
        /// What is sent to a Client with several Subscriptions that match the same message
        /// (§3.3.4).
        overlapping_subscriptions: OverlappingSubscriptions = OverlappingSubscriptions::OneCopy;
        /// Which member of a Shared Subscription gets a message (§4.8.2).
        shared_choice: SharedChoice = SharedChoice::RoundRobin;
        /// The largest number of messages that wait for one Client, not counting those in flight. 0
        /// means no limit.
        queue_maximum: u32 = 10_000;
        /// The largest size of the messages that wait for one Client or are in flight to it, in bytes
        /// of topic, properties and payload. 0 means no limit.
        queue_maximum_bytes: u64 = 64 << 20;
        /// What happens to a message when the Client's queue is full.
        queue_policy: QueuePolicy = QueuePolicy::DropNewest;
        /// Whether QoS 0 messages wait for a Client that is not connected (§4.1).
        queue_qos_0: bool = false;
        /// The largest number of Subscriptions of one Session. More are refused with Quota exceeded
        /// (0x97). 0 means no limit.
        maximum_subscriptions: u32 = 100_000;
        /// The largest number of Shared Subscriptions of one Session. More are refused with Quota
        /// exceeded (0x97). 0 means no limit.
        maximum_shared_subscriptions: u32 = 1_000;
        /// The largest number of Topic Filters of one SUBSCRIBE or UNSUBSCRIBE. All of them may
        /// have ten times as many levels. Those of a SUBSCRIBE after it are refused with Quota
        /// exceeded (0x97). The Client that sends a longer UNSUBSCRIBE is disconnected with it,
        /// because 3.1.1 has no other refusal. 0 means no limit.
        maximum_filters_per_packet: u32 = 10_000;
        /// The largest number of levels of a Topic Filter. One with more is refused with Topic
        /// Filter invalid (0x8F). 0 means no limit.
        maximum_filter_levels: u16 = 200;
        /// The largest size of what the Server holds for all Clients, in bytes: messages that are
        /// retained, wait or are in flight, each once, Sessions and Subscriptions. Above half of it
        /// a Session may have a 1024th of it. What has no room is refused with Quota exceeded
        /// (0x97), or dropped like a message for a full queue. 0 means no limit.
        memory_maximum: u64 = 128 << 20;
        /// The largest number of retained messages. More are refused with Quota exceeded (0x97). 0
        /// means no limit.
        maximum_retained: u32 = 0;
        /// What happens to a PUBLISH to a topic that begins with `$` (§4.7.2).
        dollar_topics: DollarTopics = DollarTopics::Refuse;
        /// Whether PUBACK and PUBREC have the Reason Code No matching subscribers (0x10) when there
        /// are none (§3.4.2.1, §3.5.2.1).
        report_no_matching_subscribers: bool = false;
        /// Whether a payload is checked against its Payload Format Indicator (§3.3.2.3.2).
        check_payload_format: bool = false;
        /// Whether the Server sends DISCONNECT before it closes a Network Connection because of an
        /// error (§4.13). If not, it only closes.
        send_disconnect: bool = true;
        /// Whether refusals have a Reason String (§3.2.2.3.9 and others).
        reason_strings: bool = true;
        /// The Response Information for a Client that requests it (§3.2.2.3.15).
        response_information: Option<Utf8String> = None;
        /// Whether every Client is redirected to another Server (§4.11).
        redirect: Redirect = Redirect::No;
        /// The Server Reference of a redirection, and for Clients above `maximum_connections`
        /// (§3.2.2.3.16).
        server_reference: Option<Utf8String> = None;
        /// Whether a Client without User Name may connect. If there are users, their line `anonymous`
        /// says what it may do; without that line it may do nothing.
        allow_anonymous: bool = true;
        /// The users that may connect, and the topics that each may publish and subscribe to: the
        /// text of a users file, with `;` in place of line ends.
        users: Users = Users::default();
        /// What happens to a PUBLISH that the Client is not authorized to send (§3.3.5 of 3.1.1,
        /// §4.13.2).
        unauthorized_publish: UnauthorizedPublish = UnauthorizedPublish::Refuse;
        /// Whether Clients may authenticate by SCRAM-SHA-256 (§4.12).
        scram_sha_256: bool = true;
        /// How often the Server publishes its statistics, as retained messages below `$SYS/broker/`.
        /// Clients may then publish nothing below `$SYS/`. 0 means never.
        statistics_interval: Duration = Duration::ZERO;
        /// Whether the broker records changes for a store (`take_changes`). A broker without a
        /// store saves the work.
        record_changes: bool = true;
        /// How large the parts are in which the broker does work for many Clients or with many
        /// messages.
        parts: Parts = Parts::Usual;
    }
}

impl Options {
    /// The largest packet that the driver's decoder should accept, in bytes.
    #[must_use]
    pub fn decoder_limit(&self) -> u32 {
        self.maximum_packet_size.unwrap_or(LARGEST_PACKET)
    }
}

/// The largest packet of MQTT, in bytes (§2.1.4).
const LARGEST_PACKET: u32 = 268_435_460;

choices! {
    /// The characters that a ClientID may have (§3.1.3.1).
    ClientIdCharacters {
        /// Every character of a UTF-8 Encoded String.
        Any = "any",
        /// 0-9, a-z and A-Z: those that every Server must allow [MQTT-3.1.3-5].
        Alphanumeric = "alphanumeric",
    }

    /// What is sent to a Client with several Subscriptions that match the same message (§3.3.4).
    OverlappingSubscriptions {
        /// One PUBLISH with the highest granted QoS and the Subscription Identifiers of all.
        OneCopy = "one_copy",
        /// One PUBLISH for each Subscription, with its QoS and its Subscription Identifier.
        CopyEach = "copy_each",
    }

    /// Which member of a Shared Subscription gets a message (§4.8.2). Connected members are
    /// preferred.
    SharedChoice {
        /// The next one, in the order in which their Sessions were created.
        RoundRobin = "round_robin",
        /// A random one, drawn from the broker's seed.
        Random = "random",
        /// The one with the fewest messages waiting or in flight.
        LeastLoaded = "least_loaded",
    }

    /// What happens to a message when the Client's queue is full.
    QueuePolicy {
        /// The new message is dropped.
        DropNewest = "drop_newest",
        /// The message that has waited longest is dropped.
        DropOldest = "drop_oldest",
        /// The new message is dropped and the Client disconnected with Quota exceeded (0x97).
        Disconnect = "disconnect",
    }

    /// What happens to a PUBLISH to a topic that begins with `$` (§4.7.2).
    DollarTopics {
        /// It is not authorized: Clients should not use these topics to exchange messages.
        Refuse = "refuse",
        /// It is published like any other.
        Accept = "accept",
    }

    /// Whether every Client is redirected to another Server (§4.11).
    Redirect {
        /// Clients are accepted.
        No = "no",
        /// CONNACK 0x9C.
        UseAnotherServer = "use_another_server",
        /// CONNACK 0x9D.
        ServerMoved = "server_moved",
    }

    /// How large the parts are in which the broker does work for many Clients or with many
    /// messages.
    Parts {
        /// So large that work for a few Clients is done at once.
        Usual = "usual",
        /// So small that tests of few packets reach what happens between two parts.
        Small = "small",
    }

    /// What happens to a PUBLISH that the Client is not authorized to send (§3.3.5 of 3.1.1,
    /// §4.13.2).
    UnauthorizedPublish {
        /// 5.0: PUBACK or PUBREC 0x87; QoS 0 is dropped. 3.1.1: acknowledged and dropped.
        Refuse = "refuse",
        /// 5.0: DISCONNECT 0x87. 3.1.1: closed. 3.1: as `refuse`, since it has no other way.
        Disconnect = "disconnect",
    }
}

/// The protocol versions that a Server supports; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolVersions([bool; 3]);

impl ProtocolVersions {
    /// 3.1, 3.1.1 and 5.0.
    pub const ALL: Self = Self([true; 3]);

    /// Whether this version is among them.
    #[must_use]
    pub fn contains(self, version: Version) -> bool {
        self.0[Self::place(version)]
    }

    const fn place(version: Version) -> usize {
        match version {
            Version::V3_1 => 0,
            Version::V3_1_1 => 1,
            Version::V5 => 2,
        }
    }
}

impl OptionValue for ProtocolVersions {
    fn parse(text: &str) -> Option<Self> {
        let mut versions = Self([false; 3]);
        for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
            versions.0[Self::place(Version::parse(word)?)] = true;
        }
        (versions != Self([false; 3])).then_some(versions)
    }

    fn print(&self) -> String {
        let versions = Version::ALL.into_iter().filter(|version| self.contains(*version));
        versions.map(|version| version.print()).collect::<Vec<_>>().join(",")
    }

    fn expected() -> String {
        "a list of 3.1, 3.1.1, 5.0".to_owned()
    }
}

impl OptionValue for Users {
    fn parse(text: &str) -> Option<Self> {
        text.replace(';', "\n").parse().ok()
    }

    fn print(&self) -> String {
        self.to_string().trim_end().replace('\n', ";")
    }

    fn expected() -> String {
        "the lines of a users file, such as `user alice password secret; publish a/#; subscribe b/+`"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_option() {
        for option in Options::descriptions() {
            let mut options = Options::default();
            options.set(option.name, &option.default).unwrap_or_else(|fault| panic!("{fault}"));
            assert_eq!(options, Options::default(), "{}", option.name);
            assert!(!option.description.is_empty());
        }
    }
}
