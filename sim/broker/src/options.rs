//! What can be set about the broker: each option once, with its name in scenario files and on the command
//! line, its default and what it means.

use std::num::NonZeroU16;
use std::time::Duration;

use mqttspec_codec::{QoS, Utf8String, Version};
use mqttspec_core::{OptionValue, choices, options};

use crate::authentication::Users;

options! {
    /// What can be set about the broker. Fields and names of [`Options::set`] are the same.
    #[derive(Clone, Debug, PartialEq)]
    #[non_exhaustive]
    pub struct Options {
        /// The protocol versions that CONNECT may ask for (§3.1.2.2).
        versions: ProtocolVersions = ProtocolVersions::ALL;
        /// The most QoS 1 and 2 PUBLISH packets that a Client may have unacknowledged (§3.2.2.3.3). 65535 is not
        /// announced.
        receive_maximum: NonZeroU16 = NonZeroU16::MAX;
        /// The most QoS 1 and 2 PUBLISH packets unacknowledged by one Client, besides its own Receive Maximum:
        /// the initial send quota (§4.9), and the only limit for 3.1.1.
        send_maximum: NonZeroU16 = NonZeroU16::MAX;
        /// The largest packet that the Server takes, in bytes (§3.2.2.3.6). `none` means no limit but the
        /// protocol's.
        maximum_packet_size: Option<u32> = None;
        /// The highest QoS that the Server takes in PUBLISH and grants in SUBACK (§3.2.2.3.4).
        maximum_qos: QoS = QoS::ExactlyOnce;
        /// Whether the Server keeps retained messages (§3.2.2.3.5).
        retain_available: bool = true;
        /// Whether the Server takes Topic Filters with wildcards (§3.2.2.3.11).
        wildcard_subscription_available: bool = true;
        /// Whether the Server takes Subscription Identifiers (§3.2.2.3.12).
        subscription_identifier_available: bool = true;
        /// Whether the Server takes Shared Subscriptions (§3.2.2.3.13).
        shared_subscription_available: bool = true;
        /// The highest Topic Alias that a Client may use (§3.2.2.3.8). 0 means none.
        topic_alias_maximum: u16 = 10;
        /// The most Topic Aliases that the Server uses towards a Client, besides the Client's own maximum
        /// (§3.1.2.11.5).
        topic_alias_use_maximum: u16 = 16;
        /// The Keep Alive that the Server imposes in place of the Client's (§3.2.2.3.14). 0 turns Keep Alive off.
        /// `none` leaves it to the Client.
        server_keep_alive: Option<u16> = None;
        /// The longest Session Expiry Interval that the Server grants a 5.0 Client (§3.2.2.3.2). 4294967295 means
        /// no end.
        session_expiry_maximum: u32 = u32::MAX;
        /// How long a Network Connection may take from its start to an accepted CONNECT (§3.1.4). 0 means for
        /// ever.
        connect_timeout: Duration = Duration::from_secs(10);
        /// The most Network Connections; a CONNECT above is answered Server busy (0x89). 0 means no limit.
        maximum_connections: u32 = 0;
        /// Whether a Client may connect with a ClientID of zero bytes and is assigned one (§3.1.3.1).
        assign_client_id: bool = true;
        /// The longest ClientID, in bytes (§3.1.3.1). 3.1 never allows more than 23 characters.
        client_id_maximum_length: u16 = u16::MAX;
        /// The characters that a ClientID may have (§3.1.3.1).
        client_id_characters: ClientIdCharacters = ClientIdCharacters::Any;
        /// What a Client gets whose overlapping Subscriptions match the same message (§3.3.4).
        overlapping_subscriptions: OverlappingSubscriptions = OverlappingSubscriptions::OneCopy;
        /// Which member of a Shared Subscription gets a message (§4.8.2).
        shared_choice: SharedChoice = SharedChoice::RoundRobin;
        /// The most messages that wait for one Client, those in flight apart. 0 means no limit.
        queue_maximum: u32 = 10_000;
        /// The most bytes of topic and payload that wait for one Client. 0 means no limit.
        queue_maximum_bytes: u64 = 64 << 20;
        /// What happens to a message that finds the Client's queue full.
        queue_policy: QueuePolicy = QueuePolicy::DropNewest;
        /// Whether QoS 0 messages wait for a Client that is away (§4.1).
        queue_qos_0: bool = false;
        /// The most Subscriptions of one Session; more are refused with Quota exceeded (0x97). 0 means no limit.
        maximum_subscriptions: u32 = 100_000;
        /// The most retained messages; more are refused with Quota exceeded (0x97). 0 means no limit.
        maximum_retained: u32 = 0;
        /// What becomes of a PUBLISH to a topic that begins with `$` (§4.7.2).
        dollar_topics: DollarTopics = DollarTopics::Refuse;
        /// Whether PUBACK and PUBREC say No matching subscribers (0x10) when there are none (§3.4.2.1, §3.5.2.1).
        report_no_matching_subscribers: bool = false;
        /// Whether a payload is held against its Payload Format Indicator (§3.3.2.3.2).
        check_payload_format: bool = false;
        /// Whether refusals carry a Reason String (§3.2.2.3.9 and others).
        reason_strings: bool = true;
        /// The Response Information given to a Client that asks for it (§3.2.2.3.15).
        response_information: Option<Utf8String> = None;
        /// Whether every Client is sent away to another Server (§4.11).
        redirect: Redirect = Redirect::No;
        /// The Server Reference that goes with it (§3.2.2.3.16).
        server_reference: Option<Utf8String> = None;
        /// Whether a Client may connect that names no user.
        allow_anonymous: bool = true;
        /// Who may connect, and what each may publish and subscribe to: the text of a users file, with `;` for a
        /// new line.
        users: Users = Users::default();
        /// What becomes of a PUBLISH that the Client may not make (§3.3.5 of 3.1.1, §4.13.2).
        unauthorized_publish: UnauthorizedPublish = UnauthorizedPublish::Refuse;
        /// Whether Clients may authenticate by SCRAM-SHA-256 (§4.12).
        scram_sha_256: bool = true;
        /// Whether the broker records what changes for a store (`take_changes`). A broker without a store saves
        /// the work.
        record_changes: bool = true;
    }
}

impl Options {
    /// The largest packet that a decoder in front of the broker should take, in bytes.
    #[must_use]
    pub fn decoder_limit(&self) -> u32 {
        self.maximum_packet_size.unwrap_or(LARGEST_PACKET)
    }
}

/// The largest packet that MQTT knows, in bytes (§2.1.4).
const LARGEST_PACKET: u32 = 268_435_460;

choices! {
    /// The characters that a ClientID may have (§3.1.3.1).
    ClientIdCharacters {
        /// Every character of a UTF-8 Encoded String.
        Any = "any",
        /// 0-9, a-z and A-Z: those that every Server must allow [MQTT-3.1.3-5].
        Alphanumeric = "alphanumeric",
    }

    /// What a Client gets whose overlapping Subscriptions match the same message (§3.3.4).
    OverlappingSubscriptions {
        /// One PUBLISH at the highest granted QoS, with the Subscription Identifiers of all.
        OneCopy = "one_copy",
        /// A PUBLISH for each Subscription, at its QoS and with its Subscription Identifier.
        CopyEach = "copy_each",
    }

    /// Which member of a Shared Subscription gets a message (§4.8.2). Connected members come before those
    /// that are away.
    SharedChoice {
        /// The next one, in the order in which their Sessions began.
        RoundRobin = "round_robin",
        /// Any, drawn from the broker's seed.
        Random = "random",
        /// The one with the fewest messages waiting or in flight.
        LeastLoaded = "least_loaded",
    }

    /// What happens to a message that finds the Client's queue full.
    QueuePolicy {
        /// The new message is dropped.
        DropNewest = "drop_newest",
        /// The message that has waited longest is dropped.
        DropOldest = "drop_oldest",
        /// The new message is dropped and the Client disconnected with Quota exceeded (0x97).
        Disconnect = "disconnect",
    }

    /// What becomes of a PUBLISH to a topic that begins with `$` (§4.7.2).
    DollarTopics {
        /// It is not authorized: Clients should not talk to each other by them.
        Refuse = "refuse",
        /// It is published like any other.
        Accept = "accept",
    }

    /// Whether every Client is sent away to another Server (§4.11).
    Redirect {
        /// Clients are served.
        No = "no",
        /// CONNACK 0x9C.
        UseAnotherServer = "use_another_server",
        /// CONNACK 0x9D.
        ServerMoved = "server_moved",
    }

    /// What becomes of a PUBLISH that the Client may not make (§3.3.5 of 3.1.1, §4.13.2).
    UnauthorizedPublish {
        /// 5.0: PUBACK or PUBREC 0x87; QoS 0 is dropped. 3.1.1: acknowledged and dropped.
        Refuse = "refuse",
        /// 5.0: DISCONNECT 0x87. 3.1.1: closed.
        Disconnect = "disconnect",
    }
}

/// Protocol versions that a Server takes; at least one.
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
