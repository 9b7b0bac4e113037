//! The contents of transcript lines: packet patterns, patches, raw bytes, `nothing` and `closed`.

use core::fmt;

use mqttspec_codec::PacketType;

use super::values::{Field, Name, Number, Operator, Span, Test, Text, Time, Value, VersionMark};

/// The content of a transcript line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `CONNECT client_id=watcher`
    Packet(PacketPattern),
    /// `raw 10 { str "MQTT" 05 02 u16 60 00 str "a" }`: these bytes. Expected, they are those of
    /// the next packet.
    Raw(RawBytes),
    /// `nothing`, `nothing for 5s`: no packet arrives. Without a time, the harness sends a PINGREQ,
    /// and the next packet must be its PINGRESP. If the harness acts as the server, no packet may
    /// arrive within the runner's usual time. Only expected.
    Nothing {
        /// The time without a packet.
        lasting: Option<Time>,
    },
    /// `closed`, `closed or DISCONNECT reason=…`: the peer closes or resets the Network Connection.
    /// Before that it may send one of the packets. Only expected.
    Closed {
        /// The packets, one of which may arrive before the end.
        or: Vec<PacketPattern>,
    },
    /// `anything`: further packets on this Network Connection are not compared. Only expected.
    Anything,
    /// `handshake offering mqtt`: a Client opens a WebSocket, and offers these subprotocols, at
    /// least one. Expected, it offers all of them, and may offer others.
    HandshakeOffering(Vec<Name>),
    /// `handshake selecting mqtt`: the Server accepts the WebSocket, with this subprotocol. Only
    /// expected.
    HandshakeSelecting(Name),
    /// `$bytes`: a column of the table whose cells are [`super::Cell::Content`].
    Column(Name),
}

/// A packet to send, or a pattern that a packet must match. A field that is not named has its
/// default when sent, and is not compared when expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketPattern {
    /// The position.
    pub span: Span,
    /// Its type.
    pub packet_type: PacketType,
    /// Its fields, in the order of the file. `user_property` and, in an expected PUBLISH,
    /// `subscription_identifier` may occur several times.
    pub fields: Vec<Field>,
    /// SUBSCRIBE: its subscriptions; UNSUBSCRIBE: its Topic Filters, without options.
    pub subscriptions: Vec<Subscription>,
    /// SUBACK, UNSUBACK: `[granted-1 failure]`: all of its Reason Codes. Not compared if `None`.
    pub reasons: Option<Vec<Test>>,
    /// `with connect_flags=0x03, truncated to 7`: changes of its bytes, in this order. Only sent.
    pub patches: Vec<Patch>,
    /// `in a text frame`: how its bytes are put into WebSocket frames. Only sent.
    pub framing: Framing,
    /// `where $code>=0x80 and $code!=0x87`: conditions on captures. Only expected.
    pub conditions: Vec<Comparison>,
}

/// How the bytes of a packet are put into the frames of a WebSocket (section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Not written: in a binary frame of its own.
    #[default]
    Own,
    /// `in a text frame`
    Text,
    /// `in frames of 3`: binary frames with this number of bytes, at least 1. The last one may have
    /// fewer.
    Pieces(u32),
    /// `in one frame with the next`: a binary frame has this packet, and what is sent after it.
    WithNext,
}

/// The words of a scenario; nothing for [`Framing::Own`].
impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => Ok(()),
            Self::Text => f.write_str("in a text frame"),
            Self::Pieces(bytes) => write!(f, "in frames of {bytes}"),
            Self::WithNext => f.write_str("in one frame with the next"),
        }
    }
}

/// A Topic Filter with its Subscription Options (section 3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The position.
    pub span: Span,
    /// The versions to which it applies.
    pub versions: VersionMark,
    /// The Topic Filter: [`Value::Text`] or [`Value::Capture`].
    pub filter: Value,
    /// `qos`, `no_local`, `retain_as_published`, `retain_handling`.
    pub options: Vec<Field>,
}

/// `$code>=0x80`: a condition on a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The position.
    pub span: Span,
    /// The capture on the left.
    pub capture: Name,
    /// The operator. There is no `=`, because a field can test equality itself.
    pub operator: Operator,
    /// The value on the right.
    pub value: Value,
}

/// A change to the bytes of a packet that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Patch {
    /// `with PLACE=VALUE`
    Set {
        /// The part that is changed.
        place: Place,
        /// Its new value.
        value: PatchValue,
    },
    /// `with properties { 21 u16 10 }`: replaces the properties, with the right length. MQTT 5.
    Properties(Vec<Atom>),
    /// `truncated to 7`: sends only the first bytes, without adapting lengths.
    TruncatedTo(u32),
    /// `extended by 00ff`: appends bytes, without adapting the Remaining Length.
    ExtendedBy(Vec<u8>),
}

/// The part of a packet that [`Patch::Set`] changes.
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
    /// `id`: the two bytes of the Packet Identifier. It may be 0.
    PacketIdentifier,
    /// `reason`: the byte of the Reason Code. It may be an unknown code.
    Reason,
    /// `topic`: the bytes of the Topic Name of PUBLISH.
    Topic,
    /// `client_id`: the bytes of the Client Identifier of CONNECT.
    ClientIdentifier,
    /// `filter`: the bytes of the first Topic Filter of SUBSCRIBE or UNSUBSCRIBE.
    Filter,
    /// `options`: the Subscription Options byte of the first subscription.
    SubscriptionOptions,
}

impl Place {
    /// The places with their names; all but [`Place::Byte`].
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

    /// The text after `with`.
    #[must_use]
    pub fn name(self) -> String {
        match (self, Self::NAMED.iter().find(|(_, place)| *place == self)) {
            (Self::Byte(offset), _) => format!("byte {offset}"),
            (_, Some((name, _))) => (*name).to_owned(),
            (_, None) => String::new(),
        }
    }

    /// Whether a packet has the place.
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

    /// The largest number; `None` for places that hold bytes.
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

/// The new value of a [`Patch::Set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchValue {
    /// A number, in the width of the place.
    Number(Number),
    /// `x"4d51"` or `"MQTX"`: the bytes of a string, whose length is computed. Only for
    /// [`Place::ProtocolName`], [`Place::Topic`], [`Place::ClientIdentifier`] and
    /// [`Place::Filter`].
    Bytes(Vec<u8>),
    /// `nonminimal`: the right number, encoded with one byte too many. Only for
    /// [`Place::RemainingLength`] and [`Place::PropertyLength`].
    Nonminimal,
}

/// Raw bytes. The notation encodes them itself, without the codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBytes {
    /// The position.
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
        /// The number of bytes.
        times: u32,
        /// The byte.
        byte: u8,
    },
    /// `{ … }`: the length of the contents as a Variable Byte Integer, then the contents.
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
