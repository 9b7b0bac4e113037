//! From bytes to packets: one packet in a buffer of its own, or a stream of them split anywhere.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::misdeed::Misdeed;
use crate::packet::{Packet, PacketType, PublishRef};
use crate::policy::Policy;
use crate::read::{Fault, Reader, Variable, variable_byte_integer};
use crate::version::{Role, Version};

/// Decodes the one packet that `frame` is, whoever sent it.
///
/// `version` is that of the Network Connection; CONNECT says its own.
///
/// # Errors
/// What the sender did wrong; bytes behind the packet count as [`Misdeed::SurplusBytes`], missing ones as
/// [`Misdeed::PacketTooShort`].
pub fn decode(frame: &Bytes, version: Version) -> Result<Packet, DecodeError> {
    decode_from(None, frame, version, Policy::LENIENT)
}

/// Decodes the one packet that `frame` is, as sent by `sender` if that is known: what only the other end may send is
/// refused.
///
/// # Errors
/// As [`decode`].
pub fn decode_from(
    sender: Option<Role>,
    frame: &Bytes,
    version: Version,
    policy: Policy,
) -> Result<Packet, DecodeError> {
    let header = match whole_header(frame, sender, version) {
        Ok(header) => header,
        Err(fault) => return Err(error(fault, packet_type(frame), sender, version)),
    };
    read_packet(header, frame.clone(), sender, version, policy)
}

/// Decodes the one PUBLISH that `frame` is without an owned copy of anything; `None` if it is another packet.
///
/// # Errors
/// As [`decode`].
pub fn decode_publish(
    sender: Option<Role>,
    frame: &[u8],
    version: Version,
    policy: Policy,
) -> Result<Option<PublishRef<'_>>, DecodeError> {
    let packet = packet_type(frame);
    if packet != Some(PacketType::Publish) && packet.is_some() {
        return Ok(None);
    }
    whole_header(frame, sender, version)
        .and_then(|header| {
            let mut reader = Reader::new(frame, header.length, version, sender, policy);
            PublishRef::read(header.first_byte, &mut reader)
        })
        .map(Some)
        .map_err(|fault| error(fault, packet, sender, version))
}

/// A fixed header (§2.1).
#[derive(Clone, Copy)]
struct Header {
    packet: PacketType,
    first_byte: u8,
    /// Bytes that the fixed header takes.
    length: usize,
    /// Bytes of the whole packet.
    total: usize,
}

/// Reads a fixed header; `None` if it is not complete yet.
#[inline]
fn header(bytes: &[u8], sender: Option<Role>, version: Version) -> Result<Option<Header>, Fault> {
    let Some((&first_byte, rest)) = bytes.split_first() else { return Ok(None) };
    let Some(packet) = PacketType::of_first_byte(first_byte) else {
        return Err(Fault { kind: Misdeed::PacketTypeZero, offset: 0 });
    };
    if packet != PacketType::Publish && first_byte != packet.first_byte() || packet == PacketType::Auth {
        check_first_byte(packet, first_byte, version)?;
    }
    if let Some(sender) = sender
        && !packet.may_be_sent_by(sender, version)
    {
        return Err(Fault { kind: Misdeed::WrongSender, offset: 0 });
    }
    match variable_byte_integer(rest) {
        Variable::Value(remaining, length) => Ok(Some(Header {
            packet,
            first_byte,
            length: 1 + length,
            total: 1 + length + remaining as usize,
        })),
        Variable::Unfinished => Ok(None),
        // §2.1.4
        Variable::TooLong => Err(Fault { kind: Misdeed::RemainingLengthTooLong, offset: 4 }),
        // [MQTT-1.5.5-1]
        Variable::NotMinimal(length) => {
            Err(Fault { kind: Misdeed::RemainingLengthNotMinimal, offset: length })
        }
    }
}

#[cold]
fn check_first_byte(packet: PacketType, first_byte: u8, version: Version) -> Result<(), Fault> {
    if packet == PacketType::Auth && !version.is_5() {
        return Err(Fault { kind: Misdeed::PacketTypeReserved, offset: 0 });
    }
    // [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1] [MQTT-3.15.1-1]
    if first_byte != packet.first_byte() {
        return Err(Fault { kind: Misdeed::ReservedFlags, offset: 0 });
    }
    Ok(())
}

/// The fixed header of bytes that ought to be exactly one packet.
fn whole_header(bytes: &[u8], sender: Option<Role>, version: Version) -> Result<Header, Fault> {
    match header(bytes, sender, version)? {
        Some(header) if header.total == bytes.len() => Ok(header),
        Some(header) if header.total < bytes.len() => {
            Err(Fault { kind: Misdeed::SurplusBytes, offset: header.total })
        }
        _ => Err(Fault { kind: Misdeed::PacketTooShort, offset: bytes.len() }),
    }
}

#[inline]
fn packet_type(bytes: &[u8]) -> Option<PacketType> {
    bytes.first().and_then(|&byte| PacketType::of_first_byte(byte))
}

#[cold]
fn error(fault: Fault, packet: Option<PacketType>, sender: Option<Role>, version: Version) -> DecodeError {
    DecodeError { offset: fault.offset, kind: fault.kind, packet, sender, version }
}

#[inline]
fn read_packet(
    header: Header,
    frame: Bytes,
    sender: Option<Role>,
    version: Version,
    policy: Policy,
) -> Result<Packet, DecodeError> {
    let mut reader = Reader::new(&frame, header.length, version, sender, policy);
    if header.packet == PacketType::Publish {
        return match PublishRef::read_owned(header.first_byte, &mut reader, &frame) {
            Ok((mut publish, payload)) => {
                publish.take_payload(frame, payload);
                Ok(Packet::Publish(publish))
            }
            Err(fault) => Err(error(fault, Some(header.packet), sender, version)),
        };
    }
    match Packet::read(header.packet, header.first_byte, &mut reader, &frame) {
        Ok(packet) => Ok(packet),
        // CONNECT has told its version on the way.
        Err(fault) => Err(error(fault, Some(header.packet), sender, reader.version)),
    }
}

/// How the variable header of a 5.0 CONNECT begins (§3.1.2.1, §3.1.2.2).
const VERSION_5: &[u8] = b"\x00\x04MQTT\x05";

/// Told by the Remaining Length. §3.1.2.11.4, §3.2.2.3.6
const TOO_LARGE: Fault = Fault { kind: Misdeed::PacketTooLarge, offset: 1 };

/// Takes packets off a stream of bytes that was split anywhere.
///
/// It holds no bytes: the buffer is the caller's, and what it has not taken stays there.
#[derive(Clone, Debug)]
pub struct Decoder {
    receiver: Role,
    version: Option<Version>,
    maximum_packet_size: u32,
    policy: Policy,
}

impl Decoder {
    /// A decoder for what this end of a Network Connection receives.
    ///
    /// A Server learns the version from CONNECT, which must be the first packet ([MQTT-3.1.0-1]). A Client has asked for
    /// a version: 5.0 until [`set_version`](Self::set_version) says otherwise.
    #[must_use]
    pub const fn new(receiver: Role) -> Self {
        let version = match receiver {
            Role::Client => Some(Version::V5),
            Role::Server => None,
        };
        Self { receiver, version, maximum_packet_size: u32::MAX, policy: Policy::LENIENT }
    }

    /// The version of the packets to come; `None` while a Server waits for CONNECT.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Sets the version of the packets to come.
    pub const fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Sets the largest packet to accept, in bytes, fixed header included (§3.1.2.11.4, §3.2.2.3.6). Without it the limit
    /// is that of the protocol, 268,435,460.
    pub const fn set_maximum_packet_size(&mut self, bytes: u32) {
        self.maximum_packet_size = bytes;
    }

    /// Sets what to do about things that the standard leaves to the receiver.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes the next packet off the front of `buffer`; `None` if it is not all there yet.
    ///
    /// Nothing behind the packet is looked at. A fixed header that shows a misdeed, or a size above the maximum, is
    /// refused before the rest arrives.
    ///
    /// # Errors
    /// What the peer did wrong. The stream cannot be read on: the Network Connection is to be closed ([MQTT-4.13.1-1]).
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let sender = Some(self.receiver.peer());
        let Some(version) = self.version else { return self.decode_first(buffer) };
        let header = match header(buffer, sender, version) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            Err(fault) => return Err(error(fault, packet_type(buffer), sender, version)),
        };
        if self.is_too_large(header) {
            return Err(error(TOO_LARGE, Some(header.packet), sender, version));
        }
        if buffer.len() < header.total {
            return Ok(None);
        }
        if let Some(packet) = self.short_packet(header, buffer, version)? {
            return Ok(Some(packet));
        }
        let frame = buffer.split_to(header.total).freeze();
        read_packet(header, frame, sender, version, self.policy).map(Some)
    }

    /// What a Server receives first must be a CONNECT, and it tells the version.
    #[cold]
    fn decode_first(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let sender = Some(Role::Client);
        let packet = packet_type(buffer);
        if buffer.is_empty() {
            return Ok(None);
        }
        // [MQTT-3.1.0-1]
        if packet != Some(PacketType::Connect) {
            let fault = Fault { kind: Misdeed::FirstPacketNotConnect, offset: 0 };
            return Err(error(fault, packet, sender, Version::V3_1_1));
        }
        let header = match header(buffer, sender, Version::V3_1_1) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            Err(fault) => return Err(error(fault, packet, sender, Version::V3_1_1)),
        };
        if self.is_too_large(header) {
            // A 5.0 Client is to be told, so its version is waited for; a few bytes hold it.
            let told = header.length + VERSION_5.len();
            if buffer.len() < told.min(header.total) {
                return Ok(None);
            }
            let is_5 = buffer[header.length..].starts_with(VERSION_5);
            let version = if is_5 { Version::V5 } else { Version::V3_1_1 };
            return Err(error(TOO_LARGE, packet, sender, version));
        }
        if buffer.len() < header.total {
            return Ok(None);
        }
        let frame = buffer.split_to(header.total).freeze();
        let packet = read_packet(header, frame, sender, Version::V3_1_1, self.policy)?;
        if let Packet::Connect(connect) = &packet {
            self.version = Some(connect.version);
        }
        Ok(Some(packet))
    }

    #[inline]
    fn is_too_large(&self, header: Header) -> bool {
        header.total as u64 > u64::from(self.maximum_packet_size)
    }

    /// Packets that hold no bytes of the buffer need no buffer of their own.
    #[inline]
    fn short_packet(
        &self,
        header: Header,
        buffer: &mut BytesMut,
        version: Version,
    ) -> Result<Option<Packet>, DecodeError> {
        let bare = match header.packet {
            PacketType::PubAck | PacketType::PubRec | PacketType::PubRel | PacketType::PubComp => {
                header.total <= header.length + 3
            }
            PacketType::PingReq | PacketType::PingResp => true,
            _ => false,
        };
        if !bare {
            return Ok(None);
        }
        let sender = Some(self.receiver.peer());
        let mut reader = Reader::new(&buffer[..header.total], header.length, version, sender, self.policy);
        let packet = Packet::read(header.packet, header.first_byte, &mut reader, &Bytes::new())
            .map_err(|fault| error(fault, Some(header.packet), sender, version))?;
        buffer.advance(header.total);
        Ok(Some(packet))
    }
}
