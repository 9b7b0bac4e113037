//! Decodes single packets and streams of packets split at any byte.

use bytes::{Buf, Bytes, BytesMut};

use crate::error::DecodeError;
use crate::misdeed::Misdeed;
use crate::packet::{Delivery, Packet, PacketRef, PacketType, PublishRef};
use crate::policy::Policy;
use crate::read::{Fault, Reader, Variable, variable_byte_integer};
use crate::version::{Role, Version};

/// Decodes `frame`, which must be exactly one packet, from either sender.
///
/// `version` is the version of the Network Connection; a CONNECT carries its own.
///
/// # Errors
/// The sender's misdeed. Bytes after the packet are [`Misdeed::SurplusBytes`]; missing bytes are
/// [`Misdeed::PacketTooShort`].
pub fn decode(frame: &Bytes, version: Version) -> Result<Packet, DecodeError> {
    decode_from(None, frame, version, Policy::LENIENT)
}

/// Decodes `frame`, which must be exactly one packet. If `sender` is known, packets and values that
/// only the other end may send are refused.
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
    read_packet(header, frame, sender, version, policy)
}

/// Decodes `frame`, which must be exactly one PUBLISH, without copying. Returns `None` for another
/// packet type.
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
            let mut reader = Reader::new(&frame[header.length..], header.length, version, sender, policy);
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
    /// Length of the fixed header in bytes.
    length: usize,
    /// Length of the whole packet in bytes.
    total: usize,
}

/// The packet type for each valid first byte, for one version and one sender.
type FirstBytes = [Option<PacketType>; 256];

/// Indexed by version and sender (unknown, Client, Server). One lookup replaces a series of checks.
static FIRST_BYTES: [[FirstBytes; 3]; 3] = {
    const fn of(version: Version, sender: Option<Role>) -> FirstBytes {
        let mut packets = [None; 256];
        let mut byte = 0;
        while byte < 256 {
            if let Ok(packet) = check_first_byte(byte as u8, version, sender) {
                packets[byte] = Some(packet);
            }
            byte += 1;
        }
        packets
    }
    const fn of_senders(version: Version) -> [FirstBytes; 3] {
        [of(version, None), of(version, Some(Role::Client)), of(version, Some(Role::Server))]
    }
    [of_senders(Version::V3_1), of_senders(Version::V3_1_1), of_senders(Version::V5)]
};

#[inline]
fn first_bytes(version: Version, sender: Option<Role>) -> &'static FirstBytes {
    let sender = match sender {
        None => 0,
        Some(Role::Client) => 1,
        Some(Role::Server) => 2,
    };
    let version = match version {
        Version::V3_1 => 0,
        Version::V3_1_1 => 1,
        Version::V5 => 2,
    };
    &FIRST_BYTES[version][sender]
}

const fn check_first_byte(byte: u8, version: Version, sender: Option<Role>) -> Result<PacketType, Misdeed> {
    let Some(packet) = PacketType::of_first_byte(byte) else { return Err(Misdeed::PacketTypeZero) };
    if matches!(packet, PacketType::Auth) && !version.is_5() {
        return Err(Misdeed::PacketTypeReserved);
    }
    if matches!(packet, PacketType::Publish) {
        if let Err(misdeed) = Delivery::check_flags(byte) {
            return Err(misdeed);
        }
    } else if byte & used_bits(packet, version) != packet.first_byte() {
        // [MQTT-2.1.3-1] [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1] [MQTT-3.14.1-1]
        // [MQTT-3.15.1-1]
        return Err(Misdeed::ReservedFlags);
    }
    match sender {
        Some(sender) if !packet.may_be_sent_by(sender, version) => Err(Misdeed::WrongSender),
        _ => Ok(packet),
    }
}

/// The bits of a first byte that have a meaning. PUBLISH has its own rules.
///
/// 3.1 calls the flags of most packets unused, so a receiver accepts any value. PUBREL, SUBSCRIBE
/// and UNSUBSCRIBE have QoS 1 there, and DUP if they are sent again. The version of a CONNECT is
/// known only after its fixed header: see [`header`].
const fn used_bits(packet: PacketType, version: Version) -> u8 {
    match (version, packet) {
        (Version::V3_1_1 | Version::V5, _) | (_, PacketType::Connect) => 0xFF,
        (Version::V3_1, PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe) => 0xF6,
        (Version::V3_1, _) => 0xF0,
    }
}

/// Fast path: a valid fixed header whose Remaining Length takes one or two bytes.
#[inline(always)]
fn short_header(bytes: &[u8], packets: &FirstBytes) -> Option<Header> {
    let (first_byte, remaining, length) = match *bytes {
        [first_byte, byte @ 0..=0x7F, ..] => (first_byte, usize::from(byte), 2),
        [first_byte, low, high @ 1..=0x7F, ..] => {
            (first_byte, usize::from(low & 0x7F) | usize::from(high) << 7, 3)
        }
        _ => return None,
    };
    let packet = packets[usize::from(first_byte)]?;
    Some(Header { packet, first_byte, length, total: length + remaining })
}

/// Reads a fixed header. Returns `None` if it is incomplete.
#[inline(never)]
fn header(bytes: &[u8], sender: Option<Role>, version: Version) -> Result<Option<Header>, Fault> {
    let Some((&first_byte, rest)) = bytes.split_first() else { return Ok(None) };
    let expected = first_bytes(version, sender)[usize::from(first_byte)];
    let connect = packet_type(bytes) == Some(PacketType::Connect) && sender != Some(Role::Server);
    let packet = match expected {
        Some(packet) => packet,
        None if connect => PacketType::Connect,
        None => return wrong_first_byte(first_byte, sender, version),
    };
    match variable_byte_integer(rest) {
        Variable::Value(remaining, length) => {
            let remaining = remaining as usize;
            if expected.is_none() {
                match begins_as_3_1(&rest[length..], remaining) {
                    Some(true) => {}
                    Some(false) => return wrong_first_byte(first_byte, sender, version),
                    None => return Ok(None),
                }
            }
            Ok(Some(Header { packet, first_byte, length: 1 + length, total: 1 + length + remaining }))
        }
        Variable::Unfinished => Ok(None),
        // §2.1.4
        Variable::TooLong => Err(Fault { kind: Misdeed::RemainingLengthTooLong, offset: 4 }),
        // [MQTT-1.5.5-1]
        Variable::NotMinimal(length) => {
            Err(Fault { kind: Misdeed::RemainingLengthNotMinimal, offset: length })
        }
    }
}

/// Whether a CONNECT whose fixed header is followed by these bytes is one of 3.1, which calls its
/// flags unused; `None` if more bytes are needed to know.
fn begins_as_3_1(body: &[u8], remaining: usize) -> Option<bool> {
    let known = body.len().min(VERSION_3_1.len());
    if remaining < VERSION_3_1.len() || body[..known] != VERSION_3_1[..known] {
        return Some(false);
    }
    (known == VERSION_3_1.len()).then_some(true)
}

#[cold]
const fn wrong_first_byte<T>(byte: u8, sender: Option<Role>, version: Version) -> Result<Option<T>, Fault> {
    match check_first_byte(byte, version, sender) {
        Ok(_) => Ok(None),
        Err(kind) => Err(Fault { kind, offset: 0 }),
    }
}

/// Reads the fixed header of `bytes`, which must be exactly one packet.
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
const fn error(
    fault: Fault,
    packet: Option<PacketType>,
    sender: Option<Role>,
    version: Version,
) -> DecodeError {
    DecodeError { offset: fault.offset, kind: fault.kind, packet, sender, version }
}

#[inline]
fn read_packet(
    header: Header,
    frame: &Bytes,
    sender: Option<Role>,
    version: Version,
    policy: Policy,
) -> Result<Packet, DecodeError> {
    let mut reader = Reader::new(&frame[header.length..], header.length, version, sender, policy);
    match Packet::read(header.packet, header.first_byte, &mut reader, frame) {
        Ok(packet) => Ok(packet),
        // Reading a CONNECT has set the reader's version.
        Err(fault) => Err(error(fault, Some(header.packet), sender, reader.version)),
    }
}

/// The first bytes of the variable header of a 3.1 CONNECT.
const VERSION_3_1: &[u8] = b"\x00\x06MQIsdp\x03";

/// The first bytes of the variable header of a 5.0 CONNECT (§3.1.2.1, §3.1.2.2).
const VERSION_5: &[u8] = b"\x00\x04MQTT\x05";

/// Known from the Remaining Length. §3.1.2.11.4, §3.2.2.3.6
const TOO_LARGE: Fault = Fault { kind: Misdeed::PacketTooLarge, offset: 1 };

/// Decodes packets from a byte stream that may be split at any byte.
///
/// The decoder stores no bytes. The caller owns the buffer; undecoded bytes stay in it.
#[derive(Clone, Debug)]
pub struct Decoder {
    receiver: Role,
    version: Option<Version>,
    maximum_packet_size: u32,
    policy: Policy,
}

impl Decoder {
    /// Creates a decoder for the packets that this end of a Network Connection receives.
    ///
    /// A Server takes the version from CONNECT, which must be the first packet ([MQTT-3.1.0-1]).
    /// A Client starts with 5.0; [`set_version`](Self::set_version) changes it.
    #[must_use]
    pub const fn new(receiver: Role) -> Self {
        let version = match receiver {
            Role::Client => Some(Version::V5),
            Role::Server => None,
        };
        Self { receiver, version, maximum_packet_size: u32::MAX, policy: Policy::LENIENT }
    }

    /// The version of the following packets; `None` while a Server waits for CONNECT.
    #[must_use]
    pub const fn version(&self) -> Option<Version> {
        self.version
    }

    /// Sets the version of the following packets.
    pub const fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Sets the size of the largest accepted packet in bytes, including the fixed header
    /// (§3.1.2.11.4, §3.2.2.3.6). The default is the protocol's limit, 268,435,460.
    pub const fn set_maximum_packet_size(&mut self, bytes: u32) {
        self.maximum_packet_size = bytes;
    }

    /// Sets the policy for input that the standard lets a receiver accept or refuse.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Removes the next packet from the front of `buffer`. Returns `None` if it is incomplete.
    ///
    /// Bytes after the packet are not read. A misdeed in the fixed header, or a size above the
    /// maximum, is refused before the rest of the packet arrives. Strings, Properties and payload
    /// are slices of the buffer's memory.
    ///
    /// # Errors
    /// The peer's misdeed. Decoding cannot continue; close the Network Connection
    /// ([MQTT-4.13.1-1]).
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some((header, version)) = self.next_header(buffer)? else { return Ok(None) };
        let mut reader = self.reader(buffer, header, version);
        if header.packet == PacketType::Publish {
            return match PublishRef::read(header.first_byte, &mut reader) {
                Ok(publish) => {
                    let parts = publish.parts(header.length);
                    let frame = buffer.split_to(header.total).freeze();
                    Ok(Some(Packet::Publish(parts.into_publish(frame))))
                }
                Err(fault) => Err(self.error(fault, header, version)),
            };
        }
        match Packet::read_bare(header.packet, &mut reader) {
            Ok(Some(packet)) => {
                buffer.advance(header.total);
                Ok(Some(packet))
            }
            Ok(None) => {
                let frame = buffer.split_to(header.total).freeze();
                self.decode_other(header, version, &frame).map(Some)
            }
            Err(fault) => Err(self.error(fault, header, version)),
        }
    }

    /// [`decode`](Self::decode), which returns the packet's bytes too. They are a copy, of which the
    /// packet's strings and payload are slices. So the buffer's memory can be used again.
    ///
    /// # Errors
    /// As [`decode`](Self::decode). The packet's bytes are then still in the buffer.
    pub fn decode_copied(&mut self, buffer: &mut BytesMut) -> Result<Option<(Packet, Bytes)>, DecodeError> {
        let Some((header, version)) = self.next_header(buffer)? else { return Ok(None) };
        let frame = Bytes::copy_from_slice(&buffer[..header.total]);
        let mut reader = self.reader(&frame, header, version);
        let packet = if header.packet == PacketType::Publish {
            let publish = PublishRef::read(header.first_byte, &mut reader);
            let publish = publish.map_err(|fault| self.error(fault, header, version))?;
            Packet::Publish(publish.parts(header.length).into_publish(frame.clone()))
        } else {
            let bare = Packet::read_bare(header.packet, &mut reader);
            match bare.map_err(|fault| self.error(fault, header, version))? {
                Some(packet) => packet,
                None => self.decode_other(header, version, &frame)?,
            }
        };
        buffer.advance(header.total);
        Ok(Some((packet, frame)))
    }

    /// Decodes the packet at the front of `bytes` in place and advances `bytes` past it. Returns
    /// `None` if the packet is incomplete.
    ///
    /// Frequent and large packets borrow from `bytes`; see [`PacketRef`].
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_ref<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<PacketRef<'a>>, DecodeError> {
        let Some((header, version)) = self.next_header(bytes)? else { return Ok(None) };
        let Some((frame, rest)) = bytes.split_at_checked(header.total) else { return Ok(None) };
        let mut reader = self.reader(frame, header, version);
        if header.packet == PacketType::Publish {
            return match PublishRef::read(header.first_byte, &mut reader) {
                Ok(publish) => {
                    *bytes = rest;
                    Ok(Some(PacketRef::Publish(publish)))
                }
                Err(fault) => Err(self.error(fault, header, version)),
            };
        }
        match Packet::read_bare(header.packet, &mut reader) {
            Ok(Some(packet)) => {
                *bytes = rest;
                Ok(Some(PacketRef::Other(packet)))
            }
            Ok(None) => self.decode_other_ref(header, version, bytes),
            Err(fault) => Err(self.error(fault, header, version)),
        }
    }

    /// Decodes the less frequent packet types in place.
    #[inline(never)]
    fn decode_other_ref<'a>(
        &mut self,
        header: Header,
        version: Version,
        bytes: &mut &'a [u8],
    ) -> Result<Option<PacketRef<'a>>, DecodeError> {
        let Some((frame, rest)) = bytes.split_at_checked(header.total) else { return Ok(None) };
        let mut reader = self.reader(frame, header, version);
        match PacketRef::read(header.packet, header.first_byte, &mut reader, frame) {
            Ok(packet) => {
                if let (PacketRef::Connect(connect), None) = (&packet, self.version) {
                    self.version = Some(connect.version);
                }
                *bytes = rest;
                Ok(Some(packet))
            }
            // Reading a CONNECT has set the reader's version.
            Err(fault) => Err(self.error(fault, header, reader.version)),
        }
    }

    #[inline]
    fn reader<'a>(&self, bytes: &'a [u8], header: Header, version: Version) -> Reader<'a> {
        Reader::new(
            &bytes[header.length..header.total],
            header.length,
            version,
            Some(self.receiver.peer()),
            self.policy,
        )
    }

    #[cold]
    const fn error(&self, fault: Fault, header: Header, version: Version) -> DecodeError {
        error(fault, Some(header.packet), Some(self.receiver.peer()), version)
    }

    /// Decodes the less frequent packet types.
    #[inline(never)]
    fn decode_other(
        &mut self,
        header: Header,
        version: Version,
        frame: &Bytes,
    ) -> Result<Packet, DecodeError> {
        let packet = read_packet(header, frame, Some(self.receiver.peer()), version, self.policy)?;
        if let (Packet::Connect(connect), None) = (&packet, self.version) {
            self.version = Some(connect.version);
        }
        Ok(packet)
    }

    /// Returns fixed header and version of the next packet if the whole packet has arrived.
    #[inline(always)]
    fn next_header(&self, bytes: &[u8]) -> Result<Option<(Header, Version)>, DecodeError> {
        let Some(version) = self.version else { return self.first_header(bytes) };
        let sender = Some(self.receiver.peer());
        let header = match short_header(bytes, first_bytes(version, sender)) {
            Some(header) => header,
            None => match header(bytes, sender, version) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(None),
                Err(fault) => return Err(error(fault, packet_type(bytes), sender, version)),
            },
        };
        if self.is_too_large(header) {
            return Err(self.error(TOO_LARGE, header, version));
        }
        Ok((bytes.len() >= header.total).then_some((header, version)))
    }

    /// The first packet that a Server receives must be CONNECT. Until its version is known,
    /// misdeeds are answered as in 3.1.1.
    #[cold]
    fn first_header(&self, bytes: &[u8]) -> Result<Option<(Header, Version)>, DecodeError> {
        let sender = Some(self.receiver.peer());
        if bytes.is_empty() {
            return Ok(None);
        }
        let packet = packet_type(bytes);
        // [MQTT-3.1.0-1]
        if packet != Some(PacketType::Connect) {
            let fault = Fault { kind: Misdeed::FirstPacketNotConnect, offset: 0 };
            return Err(error(fault, packet, sender, Version::V3_1_1));
        }
        let header = match header(bytes, sender, Version::V3_1_1) {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            Err(fault) => return Err(error(fault, packet, sender, Version::V3_1_1)),
        };
        if self.is_too_large(header) {
            // A 5.0 Client gets a CONNACK, so wait for the few bytes that hold the version.
            let with_version = header.length + VERSION_5.len();
            if bytes.len() < with_version.min(header.total) {
                return Ok(None);
            }
            let is_5 = bytes[header.length..].starts_with(VERSION_5);
            let version = if is_5 { Version::V5 } else { Version::V3_1_1 };
            return Err(self.error(TOO_LARGE, header, version));
        }
        Ok((bytes.len() >= header.total).then_some((header, Version::V3_1_1)))
    }

    #[inline]
    const fn is_too_large(&self, header: Header) -> bool {
        header.total as u64 > self.maximum_packet_size as u64
    }
}
