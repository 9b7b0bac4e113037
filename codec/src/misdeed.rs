//! Every misdeed that one packet can show, with the clause that forbids it and its answer.
//!
//! Each row of the table names a variant, describes it, and gives the rule's section and clause in
//! 5.0 and 3.1.1 and the Reason Code of the answer. §4.13 of 5.0 and §4.8 of 3.1.1 require that the
//! Network Connection is then closed.

use crate::packet::PacketType;
use crate::reason::{ConnectReason, DisconnectReason};
use crate::version::Version;

/// How a 5.0 receiver classifies a misdeed (§1.2, §4.13.1), or the more specific Reason Code that
/// the standard defines.
#[derive(Clone, Copy)]
enum Code {
    Malformed,
    Protocol,
    Exactly(u8),
    /// No Reason Code applies: the Network Connection is closed without an answer.
    Silence,
}
use Code::{Exactly, Malformed, Protocol, Silence};

/// Where the standard states a rule: section, and clause if it is numbered.
struct Source(&'static str, Option<&'static str>);

struct Row {
    five: Source,
    three: Source,
    code: Code,
}

const fn source(section: &'static str, clause: &'static str) -> Source {
    Source(section, if clause.is_empty() { None } else { Some(clause) })
}

macro_rules! misdeeds {
    ($($name:ident $sentence:literal, $s5:literal $c5:literal, $s3:literal $c3:literal, $code:expr;)*) => {
        /// A violation of the standard by the sender of a packet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
        #[non_exhaustive]
        pub enum Misdeed {
            $(#[doc = concat!($sentence, " (5.0 §", $s5, "; 3.1.1 §", $s3, ")")] #[error($sentence)] $name,)*
        }

        impl Misdeed {
            /// Every misdeed.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The variant's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What is wrong, in a few words.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }

            const fn row(self) -> Row {
                match self {
                    $(Self::$name => Row { five: source($s5, $c5), three: source($s3, $c3), code: $code },)*
                }
            }
        }
    };
}

// name, description, section and clause of 5.0, section and clause of 3.1.1, code
// ("" = no number; "-" = cannot occur)
misdeeds! {
    // Fixed header (§2.1)
    PacketTypeZero "Control Packet type 0", "2.1.2" "", "2.2.1" "", Malformed;
    PacketTypeReserved "Control Packet type 15 before 5.0", "-" "", "2.2.1" "", Malformed;
    ReservedFlags "reserved flags of the fixed header differ from the listed value",
        "2.1.3" "MQTT-2.1.3-1", "2.2.2" "MQTT-2.2.2-1", Malformed;
    RemainingLengthTooLong "Remaining Length of more than four bytes", "2.1.4" "", "2.2.3" "", Malformed;
    RemainingLengthNotMinimal "Remaining Length not in its shortest form",
        "1.5.5" "MQTT-1.5.5-1", "2.2.3" "", Malformed;
    PacketTooLarge "packet larger than the receiver's Maximum Packet Size",
        "3.1.2.11.4" "", "2.2.3" "", Exactly(0x95);
    PacketTooShort "the packet ends before its fields do", "2.1.4" "", "2.2.3" "", Malformed;
    SurplusBytes "bytes after the last field of the packet", "2.1.4" "", "2.2.3" "", Malformed;
    WrongSender "Control Packet that its sender may not send", "2.1.2" "", "2.2.1" "", Protocol;
    FirstPacketNotConnect "the first packet of the Client is not CONNECT",
        "3.1" "MQTT-3.1.0-1", "3.1" "MQTT-3.1.0-1", Silence;

    // Data types (§1.5)
    VariableByteIntegerTooLong "Variable Byte Integer of more than four bytes", "1.5.5" "", "-" "", Malformed;
    VariableByteIntegerNotMinimal "Variable Byte Integer not in its shortest form",
        "1.5.5" "MQTT-1.5.5-1", "-" "", Malformed;
    IllFormedUtf8 "ill-formed UTF-8", "1.5.4" "MQTT-1.5.4-1", "1.5.3" "MQTT-1.5.3-1", Malformed;
    Surrogate "surrogate U+D800 to U+DFFF encoded in UTF-8",
        "1.5.4" "MQTT-1.5.4-1", "1.5.3" "MQTT-1.5.3-1", Malformed;
    NullCharacter "U+0000 in a UTF-8 Encoded String",
        "1.5.4" "MQTT-1.5.4-2", "1.5.3" "MQTT-1.5.3-2", Malformed;
    ControlCharacter "control character in a UTF-8 Encoded String, refused by policy", "1.5.4" "", "1.5.3" "", Malformed;
    NonCharacter "Unicode non-character in a UTF-8 Encoded String, refused by policy", "1.5.4" "", "1.5.3" "", Malformed;
    PacketIdentifierZero "Packet Identifier 0", "2.2.1" "MQTT-2.2.1-3", "2.3.1" "MQTT-2.3.1-1", Protocol;

    // Properties (§2.2.2)
    PropertyLengthTooLong "Property Length runs past the end of the packet", "2.2.2.1" "", "-" "", Malformed;
    PropertyTruncated "property runs past the Property Length", "2.2.2.2" "", "-" "", Malformed;
    PropertyUnknown "unknown Property Identifier", "2.2.2.2" "", "-" "", Malformed;
    PropertyNotAllowed "property not valid in this packet", "2.2.2.2" "", "-" "", Malformed;
    PropertyRepeated "property included more than once", "2.2.2.2" "", "-" "", Protocol;
    PayloadFormatIndicatorInvalid "Payload Format Indicator above 1", "3.3.2.3.2" "", "-" "", Protocol;
    SubscriptionIdentifierZero "Subscription Identifier 0", "3.8.2.1.2" "", "-" "", Protocol;
    SubscriptionIdentifierFromClient "Subscription Identifier in a PUBLISH of a Client",
        "3.3.4" "MQTT-3.3.4-6", "-" "", Protocol;
    SessionExpiryIntervalFromServer "Session Expiry Interval in a DISCONNECT of the Server",
        "3.14.2.2.2" "MQTT-3.14.2-2", "-" "", Protocol;
    ServerReferenceFromClient "Server Reference in a DISCONNECT of a Client", "3.14.2.2.5" "", "-" "", Protocol;
    RequestProblemInformationInvalid "Request Problem Information above 1", "3.1.2.11.7" "", "-" "", Protocol;
    RequestResponseInformationInvalid "Request Response Information above 1", "3.1.2.11.6" "", "-" "", Protocol;
    ReceiveMaximumZero "Receive Maximum 0", "3.1.2.11.3" "", "-" "", Protocol;
    MaximumPacketSizeZero "Maximum Packet Size 0", "3.1.2.11.4" "", "-" "", Protocol;
    TopicAliasZero "Topic Alias 0", "3.3.2.3.4" "MQTT-3.3.2-8", "-" "", Exactly(0x94);
    MaximumQoSInvalid "Maximum QoS above 1", "3.2.2.3.4" "", "-" "", Protocol;
    RetainAvailableInvalid "Retain Available above 1", "3.2.2.3.5" "", "-" "", Protocol;
    WildcardSubscriptionAvailableInvalid "Wildcard Subscription Available above 1", "3.2.2.3.11" "", "-" "", Protocol;
    SubscriptionIdentifierAvailableInvalid "Subscription Identifier Available above 1", "3.2.2.3.12" "", "-" "", Protocol;
    SharedSubscriptionAvailableInvalid "Shared Subscription Available above 1", "3.2.2.3.13" "", "-" "", Protocol;
    ResponseTopicEmpty "Response Topic of zero length", "4.7.3" "MQTT-4.7.3-1", "-" "", Protocol;
    ResponseTopicWildcard "wildcard character in a Response Topic", "3.3.2.3.5" "MQTT-3.3.2-14", "-" "", Protocol;
    AuthenticationMethodMissing "AUTH without Authentication Method", "3.15.2.2.2" "", "-" "", Protocol;
    AuthenticationDataWithoutMethod "Authentication Data without Authentication Method",
        "3.1.2.11.10" "", "-" "", Protocol;

    // CONNECT (§3.1)
    ProtocolNameUnknown "the Protocol Name is neither MQTT nor MQIsdp",
        "3.1.2.1" "MQTT-3.1.2-1", "3.1.2.1" "MQTT-3.1.2-1", Exactly(0x84);
    ProtocolVersionUnsupported "Protocol Version not supported",
        "3.1.2.2" "MQTT-3.1.2-2", "3.1.2.2" "MQTT-3.1.2-2", Exactly(0x84);
    ConnectReservedFlag "reserved bit 0 of the Connect Flags is 1",
        "3.1.2.3" "MQTT-3.1.2-3", "3.1.2.3" "MQTT-3.1.2-3", Malformed;
    WillQoSInvalid "Will QoS 3", "3.1.2.6" "MQTT-3.1.2-12", "3.1.2.6" "MQTT-3.1.2-14", Malformed;
    WillQoSWithoutWill "Will QoS above 0 although the Will Flag is 0",
        "3.1.2.6" "MQTT-3.1.2-11", "3.1.2.6" "MQTT-3.1.2-13", Malformed;
    WillRetainWithoutWill "Will Retain 1 although the Will Flag is 0",
        "3.1.2.7" "MQTT-3.1.2-13", "3.1.2.7" "MQTT-3.1.2-15", Malformed;
    PasswordWithoutUserName "Password Flag 1 although the User Name Flag is 0",
        "-" "", "3.1.2.9" "MQTT-3.1.2-22", Malformed;
    ClientIdentifierMissing "zero-byte Client Identifier where Clean Session is 0, or in 3.1",
        "-" "", "3.1.3.1" "MQTT-3.1.3-8", Exactly(0x85);
    ClientIdentifierTooLong "Client Identifier of more than 23 characters in 3.1", "-" "", "3.1.3.1" "", Exactly(0x85);
    WillTopicEmpty "Will Topic of zero length", "4.7.3" "MQTT-4.7.3-1", "4.7.3" "MQTT-4.7.3-1", Protocol;
    WillTopicWildcard "wildcard character in the Will Topic", "4.7.1" "MQTT-4.7.0-1", "4.7.1" "MQTT-4.7.1-1", Protocol;
    WillPayloadNotUtf8 "Will Payload is not UTF-8 although its Payload Format Indicator is 1, refused by policy",
        "3.1.3.2.3" "", "-" "", Exactly(0x99);

    // CONNACK (§3.2)
    ConnAckReservedFlags "reserved Connect Acknowledge Flags set", "3.2.2.1" "MQTT-3.2.2-1", "3.2.2.1" "", Malformed;
    SessionPresentWithRefusal "Session Present 1 although the connection is refused",
        "3.2.2.1.1" "MQTT-3.2.2-6", "3.2.2.2" "MQTT-3.2.2-4", Protocol;

    // PUBLISH (§3.3)
    PublishQoSInvalid "both QoS bits of PUBLISH are 1",
        "3.3.1.2" "MQTT-3.3.1-4", "3.3.1.2" "MQTT-3.3.1-4", Malformed;
    DupWithQoSZero "DUP 1 with QoS 0", "3.3.1.1" "MQTT-3.3.1-2", "3.3.1.1" "MQTT-3.3.1-2", Malformed;
    TopicNameEmpty "Topic Name of zero length", "4.7.3" "MQTT-4.7.3-1", "4.7.3" "MQTT-4.7.3-1", Protocol;
    TopicNameMissing "zero-length Topic Name and no Topic Alias", "3.3.2.1" "", "-" "", Protocol;
    TopicNameWildcard "wildcard character in a Topic Name",
        "3.3.2.1" "MQTT-3.3.2-2", "3.3.2.1" "MQTT-3.3.2-2", Protocol;
    PayloadNotUtf8 "payload is not UTF-8 although the Payload Format Indicator is 1, refused by policy",
        "3.3.2.3.2" "", "-" "", Exactly(0x99);

    // Reason Codes (§2.4)
    ReasonCodeInvalid "Reason Code that this packet does not have", "2.4" "", "3.2.2.3" "", Protocol;
    ReasonCodeFromWrongSender "Reason Code that this sender may not use", "2.4" "", "-" "", Protocol;

    // SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (§3.8 to §3.11)
    SubscribeEmpty "SUBSCRIBE without a Topic Filter", "3.8.3" "MQTT-3.8.3-2", "3.8.3" "MQTT-3.8.3-3", Protocol;
    SubscriptionOptionsReserved "reserved bits of the Subscription Options set",
        "3.8.3.1" "MQTT-3.8.3-5", "3.8.3" "MQTT-3.8.3-4", Malformed;
    SubscriptionQoSInvalid "Maximum QoS 3 in the Subscription Options", "3.8.3.1" "", "3.8.3" "MQTT-3.8.3-4", Protocol;
    RetainHandlingInvalid "Retain Handling 3", "3.8.3.1" "", "-" "", Protocol;
    NoLocalOnSharedSubscription "No Local 1 on a Shared Subscription", "3.8.3.1" "MQTT-3.8.3-4", "-" "", Protocol;
    TopicFilterEmpty "Topic Filter of zero length", "4.7.3" "MQTT-4.7.3-1", "4.7.3" "MQTT-4.7.3-1", Protocol;
    MultiLevelWildcardMisplaced "# that is not the whole last level of a Topic Filter",
        "4.7.1.2" "MQTT-4.7.1-1", "4.7.1.2" "MQTT-4.7.1-2", Protocol;
    SingleLevelWildcardMisplaced "+ that does not occupy an entire level of a Topic Filter",
        "4.7.1.3" "MQTT-4.7.1-2", "4.7.1.3" "MQTT-4.7.1-3", Protocol;
    ShareNameEmpty "ShareName of zero length", "4.8.2" "MQTT-4.8.2-1", "-" "", Protocol;
    ShareNameWildcard "wildcard character in a ShareName", "4.8.2" "MQTT-4.8.2-2", "-" "", Protocol;
    SharedFilterMissing "Shared Subscription without a Topic Filter after the ShareName",
        "4.8.2" "MQTT-4.8.2-2", "-" "", Protocol;
    SubAckEmpty "SUBACK without a Reason Code", "3.9.3" "MQTT-3.9.3-2", "3.9.3" "MQTT-3.8.4-5", Malformed;
    UnsubscribeEmpty "UNSUBSCRIBE without a Topic Filter", "3.10.3" "MQTT-3.10.3-2", "3.10.3" "MQTT-3.10.3-2", Protocol;
    UnsubAckEmpty "UNSUBACK without a Reason Code", "3.11.3" "MQTT-3.11.3-2", "-" "", Malformed;
}

/// What a receiver sends after a misdeed, before it closes the Network Connection. It closes in
/// every case ([MQTT-4.13.1-1], 3.1.1/[MQTT-4.8.0-1]).
///
/// Sending a CONNACK is a MAY and sending a DISCONNECT a SHOULD (§4.13.1). Closing without either
/// is therefore always correct too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No packet.
    Close,
    /// CONNACK with this Reason Code, or its Connect Return code before 5.0.
    ConnAck(ConnectReason),
    /// DISCONNECT with this Reason Code. A Server that has not accepted the connection yet does not
    /// send it ([MQTT-3.14.0-1]).
    Disconnect(DisconnectReason),
}

impl Misdeed {
    /// The clause that forbids it in `version`, such as `MQTT-3.1.2-3`; `None` if the rule has no
    /// number.
    ///
    /// 3.1 has no numbered clauses; the corresponding clause of 3.1.1 is returned.
    #[must_use]
    pub fn clause(self, version: Version, packet: Option<PacketType>) -> Option<&'static str> {
        if let Some(clause) = self.clause_by_packet(version, packet) {
            return clause;
        }
        let row = self.row();
        if version.is_5() { row.five.1 } else { row.three.1 }
    }

    /// The section of the standard with the rule; `None` if the misdeed cannot occur in `version`.
    #[must_use]
    pub fn section(self, version: Version) -> Option<&'static str> {
        let row = self.row();
        let section = if version.is_5() { row.five.0 } else { row.three.0 };
        (section != "-").then_some(section)
    }

    /// The answer to send before the Network Connection is closed, given the misdeed is in
    /// `packet`.
    #[must_use]
    pub fn answer(self, version: Version, packet: Option<PacketType>) -> Answer {
        if !version.is_5() {
            return self.answer_before_5();
        }
        let code = match self.row().code {
            Malformed => 0x81,
            Protocol => 0x82,
            Exactly(code) => code,
            Silence => return Answer::Close,
        };
        // [MQTT-3.14.0-1] A Server answers CONNECT only with CONNACK. A Client that receives a
        // CONNECT cannot send CONNACK.
        if packet == Some(PacketType::Connect) && self != Self::WrongSender {
            return Answer::ConnAck(ConnectReason::try_from(code).unwrap_or(ConnectReason::ProtocolError));
        }
        Answer::Disconnect(DisconnectReason::try_from(code).unwrap_or(DisconnectReason::ProtocolError))
    }

    /// 3.1.1/[MQTT-3.1.4-1] A malformed CONNECT gets no CONNACK, with two exceptions that have
    /// their own rules.
    fn answer_before_5(self) -> Answer {
        match self {
            // 3.1.1/[MQTT-3.1.2-2]
            Self::ProtocolVersionUnsupported => Answer::ConnAck(ConnectReason::UnsupportedProtocolVersion),
            // 3.1.1/[MQTT-3.1.3-8]
            Self::ClientIdentifierMissing | Self::ClientIdentifierTooLong => {
                Answer::ConnAck(ConnectReason::ClientIdentifierNotValid)
            }
            _ => Answer::Close,
        }
    }

    /// Rules that the standard numbers separately for single packets. The inner `None` is a rule
    /// without a number.
    fn clause_by_packet(self, version: Version, packet: Option<PacketType>) -> Option<Option<&'static str>> {
        use PacketType as P;
        let packet = packet?;
        let five = version.is_5();
        let clause = match (self, packet) {
            (Self::PacketIdentifierZero, P::PubAck | P::PubRec | P::PubRel | P::PubComp) if five => {
                "MQTT-2.2.1-5"
            }
            (Self::PacketIdentifierZero, P::PubAck | P::PubRec | P::PubRel) => "MQTT-2.3.1-6",
            (Self::PacketIdentifierZero, P::PubComp) => return Some(None),
            (Self::PacketIdentifierZero, P::SubAck | P::UnsubAck) if five => "MQTT-2.2.1-6",
            (Self::PacketIdentifierZero, P::SubAck | P::UnsubAck) => "MQTT-2.3.1-7",
            (Self::ReservedFlags, P::PubRel) => "MQTT-3.6.1-1",
            (Self::ReservedFlags, P::Subscribe) => "MQTT-3.8.1-1",
            (Self::ReservedFlags, P::Unsubscribe) => "MQTT-3.10.1-1",
            (Self::ReservedFlags, P::Disconnect) => "MQTT-3.14.1-1",
            (Self::ReservedFlags, P::Auth) if five => "MQTT-3.15.1-1",
            (Self::ReasonCodeInvalid, P::ConnAck) if five => "MQTT-3.2.2-8",
            (Self::ReasonCodeInvalid | Self::ReasonCodeFromWrongSender, P::PubAck) if five => "MQTT-3.4.2-1",
            (Self::ReasonCodeInvalid | Self::ReasonCodeFromWrongSender, P::PubRec) if five => "MQTT-3.5.2-1",
            (Self::ReasonCodeInvalid, P::PubRel) if five => "MQTT-3.6.2-1",
            (Self::ReasonCodeInvalid, P::PubComp) if five => "MQTT-3.7.2-1",
            (Self::ReasonCodeInvalid, P::SubAck) => "MQTT-3.9.3-2",
            (Self::ReasonCodeInvalid, P::UnsubAck) if five => "MQTT-3.11.3-2",
            (Self::ReasonCodeInvalid | Self::ReasonCodeFromWrongSender, P::Disconnect) if five => {
                "MQTT-3.14.2-1"
            }
            (Self::ReasonCodeInvalid | Self::ReasonCodeFromWrongSender, P::Auth) if five => "MQTT-3.15.2-1",
            _ => return None,
        };
        Some(Some(clause))
    }
}
