//! The table of the fields of packets, which the parser, the checker, the printer and the runner
//! use.
//!
//! It follows the packets of chapter 3 and the properties of section 2.2.2.2 of MQTT 5.0.

use crate::PacketType;

/// The kind of a field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// 0 or 1. The name alone means 1.
    Flag,
    /// An integer from `least` to `most`.
    Number {
        /// The smallest number that the standard allows.
        least: u64,
        /// The largest number that the standard allows.
        most: u64,
    },
    /// A UTF-8 Encoded String.
    Text,
    /// Binary Data or a payload.
    Binary,
    /// A Reason Code of the packet.
    Reason,
    /// A UTF-8 String Pair.
    Pair,
    /// The fields of the Will.
    Will,
    /// Binary Data, or a SCRAM message in braces.
    Authentication,
    /// One of the words.
    Word(&'static [&'static str]),
}

/// A field that a packet may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// The name in the notation.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: FieldKind,
    /// Whether the packet may omit it. Only then `!name` and, in an expected packet, the name alone
    /// are tests.
    pub optional: bool,
    /// The identifier of the property, if it is one (section 2.2.2.2). Properties exist only in
    /// MQTT 5.
    pub property: Option<u8>,
}

/// What fields belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A packet.
    Packet(PacketType),
    /// The Will in CONNECT.
    Will,
    /// The Subscription Options after a Topic Filter.
    Subscription,
    /// A SCRAM message in `authentication_data`.
    Scram,
    /// `told H connected`
    Connected,
    /// `told H disconnected`
    Disconnected,
    /// `told H published`: the message with the Reason Code of its acknowledgement.
    Published,
    /// `told H received`, `told H answered`: the message with its properties.
    Received,
    /// `told H acknowledged`, `told H delivered`: the message.
    Message,
    /// `ask H acknowledge`: the Reason Code.
    Acknowledge,
    /// `told H failed`
    Failed,
}

impl Owner {
    /// The name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Packet(packet) => packet.name(),
            Self::Will => "the Will",
            Self::Subscription => "a subscription",
            Self::Connected => "`connected`",
            Self::Disconnected => "`disconnected`",
            Self::Published => "`published`",
            Self::Scram => "a SCRAM message",
            Self::Received => "`received`",
            Self::Message => "the message",
            Self::Acknowledge => "`acknowledge`",
            Self::Failed => "`failed`",
        }
    }

    /// Whether the field may be written several times, each for one occurrence in the packet, in
    /// order.
    #[must_use]
    pub fn repeats(self, field: &str) -> bool {
        field == "user_property"
            || (field == "subscription_identifier"
                && matches!(self, Self::Packet(PacketType::Publish) | Self::Received))
    }

    /// The packet whose Reason Codes a field of the owner may have; `None` for any packet.
    #[must_use]
    pub fn reason_packet(self) -> Option<PacketType> {
        match self {
            Self::Packet(packet) => Some(packet),
            Self::Published | Self::Acknowledge => Some(PacketType::PubAck),
            Self::Will
            | Self::Subscription
            | Self::Scram
            | Self::Message
            | Self::Connected
            | Self::Disconnected
            | Self::Received
            | Self::Failed => None,
        }
    }

    /// The rule of a field, if the owner has it.
    #[must_use]
    pub fn field(self, name: &str) -> Option<&'static FieldRule> {
        self.groups().iter().flat_map(|group| group.iter()).find(|rule| rule.name == name)
    }

    /// Every field that the owner may have.
    pub fn fields(self) -> impl Iterator<Item = &'static FieldRule> {
        self.groups().iter().flat_map(|group| group.iter())
    }

    fn groups(self) -> &'static [&'static [FieldRule]] {
        match self {
            Self::Packet(PacketType::Connect) => &[CONNECT],
            Self::Packet(PacketType::ConnAck) => &[CONNACK],
            Self::Packet(PacketType::Publish) => &[PUBLISH],
            Self::Packet(
                PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp,
            ) => &[IDENTIFIER, REASON, PROBLEM],
            Self::Packet(PacketType::Subscribe) => &[IDENTIFIER, SUBSCRIBE],
            Self::Packet(PacketType::SubAck | PacketType::UnsubAck) => &[IDENTIFIER, PROBLEM],
            Self::Packet(PacketType::Unsubscribe) => &[IDENTIFIER, UNSUBSCRIBE],
            Self::Packet(PacketType::PingReq | PacketType::PingResp) => &[],
            Self::Packet(PacketType::Disconnect) => &[REASON, DISCONNECT, PROBLEM],
            Self::Packet(PacketType::Auth) => &[REASON, AUTH, PROBLEM],
            Self::Will => &[WILL],
            Self::Subscription => &[SUBSCRIPTION],
            Self::Connected => &[CONNECTED],
            Self::Disconnected | Self::Failed => &[FAILED],
            Self::Published => &[MESSAGE, REASON],
            Self::Scram => &[SCRAM],
            Self::Received => &[MESSAGE, MESSAGE_PROPERTIES],
            Self::Message => &[MESSAGE],
            Self::Acknowledge => &[REASON],
        }
    }
}

const FLAG: FieldKind = FieldKind::Flag;
const SECONDS: FieldKind = FieldKind::Number { least: 0, most: u32::MAX as u64 };
const TWO_BYTES: FieldKind = FieldKind::Number { least: 0, most: u16::MAX as u64 };
const TWO_BYTES_FROM_1: FieldKind = FieldKind::Number { least: 1, most: u16::MAX as u64 };
const FOUR_BYTES_FROM_1: FieldKind = FieldKind::Number { least: 1, most: u32::MAX as u64 };
const SUBSCRIPTION_IDENTIFIER: FieldKind = FieldKind::Number { least: 1, most: 268_435_455 };
const QOS: FieldKind = FieldKind::Number { least: 0, most: 2 };

const fn always(name: &'static str, kind: FieldKind) -> FieldRule {
    FieldRule { name, kind, optional: false, property: None }
}

const fn optional(name: &'static str, kind: FieldKind) -> FieldRule {
    FieldRule { name, kind, optional: true, property: None }
}

const fn property(name: &'static str, identifier: u8, kind: FieldKind) -> FieldRule {
    FieldRule { name, kind, optional: true, property: Some(identifier) }
}

const USER_PROPERTY: FieldRule = property("user_property", 0x26, FieldKind::Pair);
const AUTHENTICATION_METHOD: FieldRule = property("authentication_method", 0x15, FieldKind::Text);
const AUTHENTICATION_DATA: FieldRule = property("authentication_data", 0x16, FieldKind::Authentication);
const SESSION_EXPIRY: FieldRule = property("session_expiry", 0x11, SECONDS);
const PAYLOAD_FORMAT: FieldRule = property("payload_format", 0x01, FLAG);
const MESSAGE_EXPIRY: FieldRule = property("message_expiry", 0x02, SECONDS);
const CONTENT_TYPE: FieldRule = property("content_type", 0x03, FieldKind::Text);
const RESPONSE_TOPIC: FieldRule = property("response_topic", 0x08, FieldKind::Text);
const CORRELATION_DATA: FieldRule = property("correlation_data", 0x09, FieldKind::Binary);
const RECEIVE_MAXIMUM: FieldRule = property("receive_maximum", 0x21, TWO_BYTES_FROM_1);
const TOPIC_ALIAS_MAXIMUM: FieldRule = property("topic_alias_maximum", 0x22, TWO_BYTES);
const MAXIMUM_PACKET_SIZE: FieldRule = property("maximum_packet_size", 0x27, FOUR_BYTES_FROM_1);
const SERVER_REFERENCE: FieldRule = property("server_reference", 0x1c, FieldKind::Text);

const IDENTIFIER: &[FieldRule] = &[always("id", TWO_BYTES_FROM_1)];
const REASON: &[FieldRule] = &[always("reason", FieldKind::Reason)];
const PROBLEM: &[FieldRule] = &[property("reason_string", 0x1f, FieldKind::Text), USER_PROPERTY];

const CONNECT: &[FieldRule] = &[
    always("client_id", FieldKind::Text),
    always("clean_start", FLAG),
    always("keep_alive", TWO_BYTES),
    optional("user_name", FieldKind::Text),
    optional("password", FieldKind::Binary),
    optional("will", FieldKind::Will),
    SESSION_EXPIRY,
    RECEIVE_MAXIMUM,
    MAXIMUM_PACKET_SIZE,
    TOPIC_ALIAS_MAXIMUM,
    property("request_response_information", 0x19, FLAG),
    property("request_problem_information", 0x17, FLAG),
    USER_PROPERTY,
    AUTHENTICATION_METHOD,
    AUTHENTICATION_DATA,
];

const WILL: &[FieldRule] = &[
    always("topic", FieldKind::Text),
    always("payload", FieldKind::Binary),
    always("qos", QOS),
    always("retain", FLAG),
    property("will_delay", 0x18, SECONDS),
    PAYLOAD_FORMAT,
    MESSAGE_EXPIRY,
    CONTENT_TYPE,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    USER_PROPERTY,
];

const CONNACK: &[FieldRule] = &[
    always("session_present", FLAG),
    always("reason", FieldKind::Reason),
    SESSION_EXPIRY,
    RECEIVE_MAXIMUM,
    property("maximum_qos", 0x24, FieldKind::Number { least: 0, most: 1 }),
    property("retain_available", 0x25, FLAG),
    MAXIMUM_PACKET_SIZE,
    property("assigned_client_id", 0x12, FieldKind::Text),
    TOPIC_ALIAS_MAXIMUM,
    property("reason_string", 0x1f, FieldKind::Text),
    USER_PROPERTY,
    property("wildcard_subscription_available", 0x28, FLAG),
    property("subscription_identifier_available", 0x29, FLAG),
    property("shared_subscription_available", 0x2a, FLAG),
    property("server_keep_alive", 0x13, TWO_BYTES),
    property("response_information", 0x1a, FieldKind::Text),
    SERVER_REFERENCE,
    AUTHENTICATION_METHOD,
    AUTHENTICATION_DATA,
];

const PUBLISH: &[FieldRule] = &[
    optional("id", TWO_BYTES_FROM_1),
    always("dup", FLAG),
    always("qos", QOS),
    always("retain", FLAG),
    always("topic", FieldKind::Text),
    always("payload", FieldKind::Binary),
    PAYLOAD_FORMAT,
    MESSAGE_EXPIRY,
    property("topic_alias", 0x23, TWO_BYTES_FROM_1),
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    USER_PROPERTY,
    property("subscription_identifier", 0x0b, SUBSCRIPTION_IDENTIFIER),
    CONTENT_TYPE,
];

const SUBSCRIBE: &[FieldRule] =
    &[property("subscription_identifier", 0x0b, SUBSCRIPTION_IDENTIFIER), USER_PROPERTY];

const UNSUBSCRIBE: &[FieldRule] = &[USER_PROPERTY];

const SUBSCRIPTION: &[FieldRule] = &[
    always("qos", QOS),
    always("no_local", FLAG),
    always("retain_as_published", FLAG),
    always("retain_handling", FieldKind::Number { least: 0, most: 2 }),
];

const DISCONNECT: &[FieldRule] = &[SESSION_EXPIRY, SERVER_REFERENCE];

const AUTH: &[FieldRule] = &[AUTHENTICATION_METHOD, AUTHENTICATION_DATA];

/// The fields of a message that a client reports.
const MESSAGE: &[FieldRule] = &[
    always("topic", FieldKind::Text),
    always("payload", FieldKind::Binary),
    always("qos", QOS),
    always("retain", FLAG),
];

/// The properties of a message that a client reports.
const MESSAGE_PROPERTIES: &[FieldRule] = &[
    PAYLOAD_FORMAT,
    MESSAGE_EXPIRY,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    USER_PROPERTY,
    property("subscription_identifier", 0x0b, SUBSCRIPTION_IDENTIFIER),
    CONTENT_TYPE,
];

/// RFC 5802 section 3.
const SCRAM: &[FieldRule] = &[
    always("scram", FieldKind::Word(SCRAM_MESSAGES)),
    optional("user_name", FieldKind::Text),
    optional("password", FieldKind::Binary),
];

/// The messages of SCRAM, in the order of an exchange.
pub const SCRAM_MESSAGES: &[&str] = &["client-first", "server-first", "client-final", "server-final"];

const CONNECTED: &[FieldRule] = &[always("session_present", FLAG)];

const FAILED: &[FieldRule] = &[
    optional("error", FieldKind::Word(&["network", "authentication", "timeout", "protocol", "application"])),
    optional("reason", FieldKind::Reason),
];
