//! Packets decoded in place, without allocations for frequent and large packets.

use bytes::Bytes;

use super::{ConnectRef, Packet, PacketType, PublishRef, SubscribeRef};
use crate::read::{Read, Reader};

/// A packet decoded in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketRef<'a> {
    /// CONNECT (§3.1), borrowed.
    Connect(ConnectRef<'a>),
    /// PUBLISH (§3.3), borrowed.
    Publish(PublishRef<'a>),
    /// SUBSCRIBE (§3.8), borrowed.
    Subscribe(SubscribeRef<'a>),
    /// Any other packet, owned: most contain no strings or bytes, and the rest are infrequent.
    Other(Packet),
}

impl<'a> PacketRef<'a> {
    /// Reads the part after the fixed header. `frame` is the whole packet; `reader` has read its
    /// fixed header.
    pub(crate) fn read(
        packet: PacketType,
        flags: u8,
        reader: &mut Reader<'a>,
        frame: &'a [u8],
    ) -> Read<Self> {
        match packet {
            PacketType::Connect => Ok(Self::Connect(ConnectRef::read(reader)?)),
            PacketType::Publish => Ok(Self::Publish(PublishRef::read(flags, reader)?)),
            PacketType::Subscribe => Ok(Self::Subscribe(SubscribeRef::read(reader)?)),
            _ => {
                let frame = Bytes::copy_from_slice(frame);
                let header = reader.at();
                let mut owned =
                    Reader::new(&frame[header..], header, reader.version, reader.sender, reader.policy);
                Packet::read(packet, flags, &mut owned, &frame).map(Self::Other)
            }
        }
    }

    /// The type of the packet.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Publish(_) => PacketType::Publish,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Other(packet) => packet.packet_type(),
        }
    }

    /// Copies the packet into its own buffers.
    #[must_use]
    pub fn to_packet(&self) -> Packet {
        match self {
            Self::Connect(connect) => connect.to_connect().into(),
            Self::Publish(publish) => publish.to_publish().into(),
            Self::Subscribe(subscribe) => subscribe.to_subscribe().into(),
            Self::Other(packet) => packet.clone(),
        }
    }
}
