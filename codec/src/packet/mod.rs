//! The 15 Control Packets (§3), one file for each family: fields, decoding and encoding.

mod acknowledge;
mod auth;
mod borrowed;
mod connack;
mod connect;
mod disconnect;
mod encode;
mod fit;
mod kind;
mod properties;
mod publish;
mod subscribe;
mod unsubscribe;

use bytes::{Bytes, BytesMut};

pub use acknowledge::{PubAck, PubComp, PubRec, PubRel};
pub use auth::Auth;
pub use borrowed::PacketRef;
pub use connack::ConnAck;
pub use connect::{Connect, ConnectRef, Will, WillRef};
pub use disconnect::Disconnect;
pub(crate) use encode::Body;
pub use encode::Encode;
pub use kind::PacketType;
pub use publish::{Delivery, Publish, PublishRef};
pub use subscribe::{
    RetainHandling, SubAck, Subscribe, SubscribeRef, Subscription, SubscriptionRef, SubscriptionsRef,
};
pub use unsubscribe::{UnsubAck, Unsubscribe};

use crate::error::EncodeError;
use crate::read::{Read, Reader};
use crate::reason::ReasonCode;
use crate::scalar::PacketIdentifier;
use crate::version::Version;

/// A Control Packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Packet {
    /// CONNECT (§3.1).
    Connect(Box<Connect>),
    /// CONNACK (§3.2).
    ConnAck(ConnAck),
    /// PUBLISH (§3.3).
    Publish(Publish),
    /// PUBACK (§3.4).
    PubAck(PubAck),
    /// PUBREC (§3.5).
    PubRec(PubRec),
    /// PUBREL (§3.6).
    PubRel(PubRel),
    /// PUBCOMP (§3.7).
    PubComp(PubComp),
    /// SUBSCRIBE (§3.8).
    Subscribe(Subscribe),
    /// SUBACK (§3.9).
    SubAck(SubAck),
    /// UNSUBSCRIBE (§3.10).
    Unsubscribe(Unsubscribe),
    /// UNSUBACK (§3.11).
    UnsubAck(UnsubAck),
    /// PINGREQ (§3.12).
    PingReq,
    /// PINGRESP (§3.13).
    PingResp,
    /// DISCONNECT (§3.14).
    Disconnect(Disconnect),
    /// AUTH (§3.15).
    Auth(Auth),
}

macro_rules! from_packets {
    ($($name:ident)*) => {$(
        impl From<$name> for Packet {
            #[inline]
            fn from(packet: $name) -> Self {
                Self::$name(packet)
            }
        }
    )*};
}

from_packets! { ConnAck Publish PubAck PubRec PubRel PubComp Subscribe SubAck Unsubscribe UnsubAck Disconnect Auth }

impl From<Connect> for Packet {
    fn from(packet: Connect) -> Self {
        Self::Connect(Box::new(packet))
    }
}

/// Evaluates `$use` with the inner packet, or `$empty` for the two packets without fields.
macro_rules! each {
    ($packet:expr, $inner:ident => $use:expr, $ping:ident => $empty:expr) => {
        match $packet {
            Packet::Connect($inner) => $use,
            Packet::ConnAck($inner) => $use,
            Packet::Publish($inner) => $use,
            Packet::PubAck($inner) => $use,
            Packet::PubRec($inner) => $use,
            Packet::PubRel($inner) => $use,
            Packet::PubComp($inner) => $use,
            Packet::Subscribe($inner) => $use,
            Packet::SubAck($inner) => $use,
            Packet::Unsubscribe($inner) => $use,
            Packet::UnsubAck($inner) => $use,
            Packet::Disconnect($inner) => $use,
            Packet::Auth($inner) => $use,
            Packet::PingReq => {
                let $ping = PacketType::PingReq;
                $empty
            }
            Packet::PingResp => {
                let $ping = PacketType::PingResp;
                $empty
            }
        }
    };
}

impl Packet {
    /// The packet's type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }

    /// The packet's Packet Identifier, if it has one (§2.2.1).
    #[must_use]
    pub const fn packet_identifier(&self) -> Option<PacketIdentifier> {
        match self {
            Self::Publish(publish) => publish.delivery.packet_identifier(),
            Self::PubAck(PubAck { id, .. })
            | Self::PubRec(PubRec { id, .. })
            | Self::PubRel(PubRel { id, .. })
            | Self::PubComp(PubComp { id, .. })
            | Self::Subscribe(Subscribe { id, .. })
            | Self::SubAck(SubAck { id, .. })
            | Self::Unsubscribe(Unsubscribe { id, .. })
            | Self::UnsubAck(UnsubAck { id, .. }) => Some(*id),
            _ => None,
        }
    }

    /// The packet's Reason Code, if it has exactly one (§2.4).
    #[must_use]
    pub fn reason(&self) -> Option<ReasonCode> {
        Some(match self {
            Self::ConnAck(packet) => packet.reason.into(),
            Self::PubAck(packet) => packet.reason.into(),
            Self::PubRec(packet) => packet.reason.into(),
            Self::PubRel(packet) => packet.reason.into(),
            Self::PubComp(packet) => packet.reason.into(),
            Self::Disconnect(packet) => packet.reason.into(),
            Self::Auth(packet) => packet.reason.into(),
            _ => return None,
        })
    }

    /// The size of the whole packet in bytes, including the fixed header: the size that Maximum
    /// Packet Size limits.
    ///
    /// `version` is the version of the Network Connection; a CONNECT uses its own.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        Encode::encoded_len(self, version)
    }

    /// Appends the packet to `out`, which grows at most once.
    ///
    /// `version` is the version of the Network Connection; a CONNECT uses its own.
    ///
    /// # Errors
    /// If the packet has no encoding in this version; `out` is then unchanged.
    pub fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        Encode::encode(self, version, out)
    }

    /// Reads the part after the fixed header. `source` is the whole packet; `reader` has read its
    /// fixed header.
    pub(crate) fn read(packet: PacketType, flags: u8, reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
        Ok(match packet {
            PacketType::Connect => Self::Connect(Connect::read(reader, source)?),
            PacketType::ConnAck => ConnAck::read(reader, source)?.into(),
            PacketType::PubAck => PubAck::read(reader, source)?.into(),
            PacketType::PubRec => PubRec::read(reader, source)?.into(),
            PacketType::PubRel => PubRel::read(reader, source)?.into(),
            PacketType::PubComp => PubComp::read(reader, source)?.into(),
            PacketType::Subscribe => Subscribe::read(reader, source)?.into(),
            PacketType::SubAck => SubAck::read(reader, source)?.into(),
            PacketType::Unsubscribe => Unsubscribe::read(reader, source)?.into(),
            PacketType::UnsubAck => UnsubAck::read(reader, source)?.into(),
            PacketType::Disconnect => Disconnect::read(reader, source)?.into(),
            PacketType::Auth => Auth::read(reader, source)?.into(),
            PacketType::Publish => {
                let header = reader.at();
                PublishRef::read(flags, reader)?.parts(header).into_publish(source.clone()).into()
            }
            PacketType::PingReq => {
                reader.end()?;
                Self::PingReq
            }
            PacketType::PingResp => {
                reader.end()?;
                Self::PingResp
            }
        })
    }

    /// Reads a packet that is too short for Properties, strings or a payload and therefore needs no
    /// buffer: acknowledgements and pings, the most frequent packets after PUBLISH. Returns `None`
    /// for any other packet.
    #[inline(always)]
    pub(crate) fn read_bare(packet: PacketType, reader: &mut Reader<'_>) -> Read<Option<Self>> {
        macro_rules! acknowledgement {
            ($name:ident) => {
                match reader.peek().len() {
                    2 => Self::$name($name::success(reader.packet_identifier()?)),
                    3 => Self::$name($name::read(reader, &Bytes::new())?),
                    _ => return Ok(None),
                }
            };
        }
        Ok(Some(match packet {
            PacketType::PubAck => acknowledgement!(PubAck),
            PacketType::PubRec => acknowledgement!(PubRec),
            PacketType::PubRel => acknowledgement!(PubRel),
            PacketType::PubComp => acknowledgement!(PubComp),
            PacketType::PingReq if reader.is_at_end() => Self::PingReq,
            PacketType::PingResp if reader.is_at_end() => Self::PingResp,
            _ => return Ok(None),
        }))
    }
}

impl Encode for Packet {
    #[inline]
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        each!(self, packet => packet.encoded_len(version), _ping => Ok(2))
    }

    #[inline]
    fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        each!(self, packet => packet.encode(version, out), ping => {
            out.extend_from_slice(&[ping.first_byte(), 0]);
            Ok(())
        })
    }

    #[inline]
    fn encode_unchecked(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        each!(self, packet => packet.encode_unchecked(version, out), ping => {
            out.extend_from_slice(&[ping.first_byte(), 0]);
            Ok(())
        })
    }
}
