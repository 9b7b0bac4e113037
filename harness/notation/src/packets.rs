//! What goes over a connection: packets as patterns, patches that break them, raw bytes, silence, the end of the connection.

use mqttspec_codec::PacketType;

use super::scenario::VersionMark;
use super::values::{Field, Name, Number, Operator, Span, Test, Text, Time, Value};

/// What a transcript line sends or expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `CONNECT client_id=watcher`
    Packet(PacketPattern),
    /// `raw 10 { str "MQTT" 05 02 u16 60 00 str "a" }`: these bytes. Expected, they are those of
    /// the next packet.
    Raw(RawBytes),
    /// `nothing`, `nothing for 5s`: no packet comes. Without a time, a PINGREQ sent behind the input must be answered by its
    /// PINGRESP and nothing before it (where the harness plays the server: nothing comes within the runner's usual patience). Only expected.
    Nothing {
        /// How long it must last.
        lasting: Option<Time>,
    },
    /// `closed`, `closed or DISCONNECT reason=…`: the peer ends the Network Connection, by close or reset; before that it may send one of
    /// the packets. Only expected.
    Closed {
        /// The packets, any one of which may come before the end.
        or: Vec<PacketPattern>,
    },
    /// `anything`: from here to the end of this Network Connection nothing that comes is compared. Only expected.
    Anything,
    /// `$bytes`: a column of the table whose cells are [`super::Cell::Content`].
    Column(Name),
}

/// A packet to send, or a pattern that a packet must match. Fields that are not named have their default when sent and are not compared when expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketPattern {
    /// Where it stands.
    pub span: Span,
    /// Its type.
    pub packet_type: PacketType,
    /// Its fields, in the order of the file. `user_property` and, in an expected PUBLISH, `subscription_identifier` may be there several times.
    pub fields: Vec<Field>,
    /// SUBSCRIBE: its subscriptions; UNSUBSCRIBE: its Topic Filters, without options.
    pub subscriptions: Vec<Subscription>,
    /// SUBACK, UNSUBACK: `[granted-1 failure]`: its Reason Codes, as many as the packet must have; not compared where absent.
    pub reasons: Option<Vec<Test>>,
    /// `with connect_flags=0x03, truncated to 7`: what is changed in its bytes, in this order. Only sent.
    pub patches: Vec<Patch>,
    /// `where $code>=0x80 and $code!=0x87`: what must hold of captures. Only expected.
    pub conditions: Vec<Comparison>,
}

/// A Topic Filter with its Subscription Options (section 3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Where it stands.
    pub span: Span,
    /// In which versions it is there.
    pub versions: VersionMark,
    /// The Topic Filter: [`Value::Text`] or [`Value::Capture`].
    pub filter: Value,
    /// `qos`, `no_local`, `retain_as_published`, `retain_handling`.
    pub options: Vec<Field>,
}

/// `$code>=0x80`: what must hold of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Where it stands.
    pub span: Span,
    /// The capture on the left.
    pub capture: Name,
    /// How it is compared. There is no `=`: a field that must be equal says so itself.
    pub operator: Operator,
    /// With what.
    pub value: Value,
}

/// A change to the bytes of a packet that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// `with PLACE=VALUE`
    Set {
        /// What is changed.
        place: Place,
        /// What stands there instead.
        value: PatchValue,
    },
    /// `with properties { 21 u16 10 }`: these bytes instead of the properties, their length computed. MQTT 5.
    Properties(Vec<Atom>),
    /// `truncated to 7`: only the first bytes are sent; lengths stay as they are.
    TruncatedTo(u32),
    /// `extended by 00ff`: these bytes follow at the end, the Remaining Length stays as it is.
    ExtendedBy(Vec<u8>),
}

/// What a [`Patch::Set`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `byte 0`: the byte at this offset from the start of the packet.
    Byte(u32),
    /// `flags`: the low four bits of the first byte (section 2.1.3).
    Flags,
    /// `remaining_length` (section 2.1.4).
    RemainingLength,
    /// `property_length`: of the packet's own properties (section 2.2.2.1).
    PropertyLength,
    /// `protocol_name`: CONNECT.
    ProtocolName,
    /// `protocol_version`: CONNECT.
    ProtocolVersion,
    /// `connect_flags`: CONNECT.
    ConnectFlags,
    /// `acknowledge_flags`: CONNACK.
    AcknowledgeFlags,
    /// `id`: the two bytes of the Packet Identifier, which may so be 0.
    PacketIdentifier,
    /// `reason`: the Reason Code byte, also one that the standard does not have.
    Reason,
    /// `topic`: the Topic Name of PUBLISH as any bytes.
    Topic,
    /// `client_id`: the Client Identifier of CONNECT as any bytes.
    ClientIdentifier,
    /// `filter`: the first Topic Filter of SUBSCRIBE or UNSUBSCRIBE as any bytes.
    Filter,
    /// `options`: the Subscription Options byte of the first subscription.
    SubscriptionOptions,
}

impl Place {
    /// The places that have a name, with it; all but [`Place::Byte`].
    pub const NAMED: &[(&str, Self)] = &[
        ("flags", Self::Flags),
        ("remaining_length", Self::RemainingLength),
        ("property_length", Self::PropertyLength),
        ("protocol_name", Self::ProtocolName),
        ("protocol_version", Self::ProtocolVersion),
        ("connect_flags", Self::ConnectFlags),
        ("acknowledge_flags", Self::AcknowledgeFlags),
        ("id", Self::PacketIdentifier),
        ("reason", Self::Reason),
        ("topic", Self::Topic),
        ("client_id", Self::ClientIdentifier),
        ("filter", Self::Filter),
        ("options", Self::SubscriptionOptions),
    ];

    /// As it is written behind `with`.
    #[must_use]
    pub fn name(self) -> String {
        match (self, Self::NAMED.iter().find(|(_, place)| *place == self)) {
            (Self::Byte(offset), _) => format!("byte {offset}"),
            (_, Some((name, _))) => (*name).to_owned(),
            (_, None) => String::new(),
        }
    }

    /// The packets that have the place.
    #[must_use]
    pub fn is_in(self, packet: PacketType) -> bool {
        use PacketType::{
            Auth, ConnAck, Connect, Disconnect, PingReq, PingResp, PubAck, PubComp, PubRec, PubRel, Publish,
            SubAck, Subscribe, UnsubAck, Unsubscribe,
        };
        match self {
            Self::Byte(_) | Self::Flags | Self::RemainingLength => true,
            Self::PropertyLength => !matches!(packet, PingReq | PingResp),
            Self::ProtocolName | Self::ProtocolVersion | Self::ConnectFlags | Self::ClientIdentifier => {
                packet == Connect
            }
            Self::AcknowledgeFlags => packet == ConnAck,
            Self::PacketIdentifier => {
                !matches!(packet, Connect | ConnAck | PingReq | PingResp | Disconnect | Auth)
            }
            Self::Reason => {
                matches!(
                    packet,
                    ConnAck | PubAck | PubRec | PubRel | PubComp | SubAck | UnsubAck | Disconnect | Auth
                )
            }
            Self::Topic => packet == Publish,
            Self::Filter => matches!(packet, Subscribe | Unsubscribe),
            Self::SubscriptionOptions => packet == Subscribe,
        }
    }

    /// The largest number that fits, for places that hold a number.
    #[must_use]
    pub fn most(self) -> Option<u64> {
        match self {
            Self::Flags => Some(0x0f),
            Self::RemainingLength | Self::PropertyLength => Some(268_435_455),
            Self::PacketIdentifier => Some(0xffff),
            Self::ProtocolName | Self::Topic | Self::ClientIdentifier | Self::Filter => None,
            _ => Some(0xff),
        }
    }
}

/// What a [`Patch::Set`] puts there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchValue {
    /// A number; its width is the place's.
    Number(Number),
    /// `x"4d51"` or `"MQTX"`: bytes of a string, whose length is computed. [`Place::ProtocolName`], [`Place::Topic`], [`Place::ClientIdentifier`] and
    /// [`Place::Filter`] only.
    Bytes(Vec<u8>),
    /// `nonminimal`: the right number in one byte more than it needs. [`Place::RemainingLength`] and [`Place::PropertyLength`] only.
    Nonminimal,
}

/// Bytes written by the notation itself, never by the codec under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBytes {
    /// Where it stands.
    pub span: Span,
    /// The bytes.
    pub atoms: Vec<Atom>,
    /// `truncated to 7`, `extended by 00`: only [`Patch::TruncatedTo`] and [`Patch::ExtendedBy`].
    /// Only sent.
    pub patches: Vec<Patch>,
}

/// A part of raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Atom {
    /// `05`, `0502ff`: bytes in hexadecimal.
    Bytes(Vec<u8>),
    /// `u8 5`, `u16 60`, `u32 $x`: an integer, high byte first (sections 1.5.1 to 1.5.3).
    Integer(Extent, Operand),
    /// `str "MQTT"`, `str x"61ff"`: a Two Byte Integer length and the bytes (section 1.5.4).
    String(AtomText),
    /// `bytes "gone"`: the bytes without a length.
    Content(AtomText),
    /// `fill 70000 00`: one byte, many times.
    Fill {
        /// How many times.
        times: u32,
        /// The byte.
        byte: u8,
    },
    /// `{ … }`: the length of what is inside as a Variable Byte Integer, then what is inside.
    Counted(Vec<Self>),
    /// `any`: one byte of any value. Only expected.
    Any,
}

/// The bytes of [`Atom::String`] and [`Atom::Content`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtomText {
    /// `"a$i"` in UTF-8.
    Text(Text),
    /// `x"61ff"`
    Bytes(Vec<u8>),
}

/// The type of an [`Atom::Integer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// `u8`
    Byte,
    /// `u16`: Two Byte Integer
    TwoBytes,
    /// `u32`: Four Byte Integer
    FourBytes,
    /// `varint`: Variable Byte Integer
    Variable,
}

/// A number, or a capture that holds one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// `60`, `0x3c`
    Number(Number),
    /// `$id`
    Capture(Name),
}
