//! The layout of a valid packet, so that a patch can change a part of it.

use super::{BytesError, string, variable_byte_integer};
use crate::{PacketType, Patch, PatchValue, Place, Version};

/// A packet in parts.
pub(super) struct Layout {
    packet: PacketType,
    version: Version,
    first_byte: u8,
    /// The bytes of a Remaining Length that a patch sets.
    remaining_length: Option<Vec<u8>>,
    parts: Vec<Part>,
}

struct Part {
    name: PartName,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PartName {
    /// A place that `with` can set.
    Place(Place),
    /// The properties, without their length.
    Properties,
    /// A part that no patch names.
    Other,
}

impl Layout {
    /// Splits a valid packet into its parts.
    pub(super) fn of(bytes: &[u8], packet: PacketType, version: Version) -> Result<Self, BytesError> {
        let reader = Reader { rest: bytes };
        Self::read(reader, packet, version).ok_or(BytesError::NoSuchPacket(packet.name()))
    }

    fn read(mut reader: Reader<'_>, packet: PacketType, version: Version) -> Option<Self> {
        use PacketType as P;
        let first_byte = *reader.take(1)?.first()?;
        if PacketType::of_first_byte(first_byte) != Some(packet) {
            return None;
        }
        reader.variable_byte_integer()?;
        let mut parts = Parts { reader, parts: Vec::new(), has_properties: version.is_5() };
        match packet {
            P::Connect => {
                parts.string(Place::ProtocolName)?;
                parts.bytes(Place::ProtocolVersion, 1)?;
                parts.bytes(Place::ConnectFlags, 1)?;
                parts.other(2)?;
                parts.properties()?;
                parts.string(Place::ClientIdentifier)?;
            }
            P::ConnAck => {
                parts.bytes(Place::AcknowledgeFlags, 1)?;
                parts.bytes(Place::Reason, 1)?;
                parts.properties()?;
            }
            P::Publish => {
                parts.string(Place::Topic)?;
                if first_byte & 0b0110 != 0 {
                    parts.bytes(Place::PacketIdentifier, 2)?;
                }
                parts.properties()?;
            }
            P::PubAck | P::PubRec | P::PubRel | P::PubComp => {
                parts.bytes(Place::PacketIdentifier, 2)?;
                parts.reason_and_properties()?;
            }
            P::Subscribe => {
                parts.bytes(Place::PacketIdentifier, 2)?;
                parts.properties()?;
                parts.string(Place::Filter)?;
                parts.bytes(Place::SubscriptionOptions, 1)?;
            }
            P::Unsubscribe => {
                parts.bytes(Place::PacketIdentifier, 2)?;
                parts.properties()?;
                parts.string(Place::Filter)?;
            }
            P::SubAck | P::UnsubAck => {
                parts.bytes(Place::PacketIdentifier, 2)?;
                parts.properties()?;
                if !parts.reader.rest.is_empty() {
                    parts.bytes(Place::Reason, 1)?;
                }
            }
            P::PingReq | P::PingResp => {}
            P::Disconnect | P::Auth => parts.reason_and_properties()?,
        }
        let rest = parts.reader.rest.len();
        parts.other(rest)?;
        Some(Self { packet, version, first_byte, remaining_length: None, parts: parts.parts })
    }

    /// Changes a place. [`flat_patches`] changes bytes by offset.
    pub(super) fn set(&mut self, place: Place, value: &PatchValue) -> Result<(), BytesError> {
        match place {
            Place::Byte(_) => Ok(()),
            Place::Flags => {
                self.first_byte = self.first_byte & 0xf0 | low_byte(value) & 0x0f;
                Ok(())
            }
            Place::RemainingLength => {
                let length = self.parts.iter().map(|part| part.bytes.len() as u64).sum();
                self.remaining_length = Some(length_bytes(value, length)?);
                Ok(())
            }
            Place::PropertyLength => {
                self.expand_short_form();
                let length = self.part(PartName::Properties, place)?.bytes.len() as u64;
                self.part(PartName::Place(place), place)?.bytes = length_bytes(value, length)?;
                Ok(())
            }
            Place::Reason => {
                self.part(PartName::Place(place), place)?.bytes = vec![low_byte(value)];
                Ok(())
            }
            Place::ProtocolName | Place::Topic | Place::ClientIdentifier | Place::Filter => {
                let bytes = match value {
                    PatchValue::Bytes(bytes) => string(bytes)?,
                    PatchValue::Number(_) | PatchValue::Nonminimal => Vec::new(),
                };
                self.part(PartName::Place(place), place)?.bytes = bytes;
                Ok(())
            }
            Place::PacketIdentifier => {
                let PatchValue::Number(number) = value else { return Ok(()) };
                let id = u16::try_from(number.value)
                    .map_err(|_| BytesError::DoesNotFit(number.value, "a Packet Identifier"))?;
                self.part(PartName::Place(place), place)?.bytes = id.to_be_bytes().to_vec();
                Ok(())
            }
            Place::ProtocolVersion
            | Place::ConnectFlags
            | Place::AcknowledgeFlags
            | Place::SubscriptionOptions => {
                self.part(PartName::Place(place), place)?.bytes = vec![low_byte(value)];
                Ok(())
            }
        }
    }

    /// Replaces the properties.
    pub(super) fn set_properties(&mut self, bytes: Vec<u8>) -> Result<(), BytesError> {
        self.expand_short_form();
        let length = variable_byte_integer(bytes.len() as u64)?;
        self.part(PartName::Place(Place::PropertyLength), Place::PropertyLength)?.bytes = length;
        self.part(PartName::Properties, Place::PropertyLength)?.bytes = bytes;
        Ok(())
    }

    /// The whole packet.
    pub(super) fn assemble(self) -> Result<Vec<u8>, BytesError> {
        let body: Vec<u8> = self.parts.into_iter().flat_map(|part| part.bytes).collect();
        let mut bytes = vec![self.first_byte];
        bytes.extend(match self.remaining_length {
            Some(given) => given,
            None => variable_byte_integer(body.len() as u64)?,
        });
        bytes.extend(body);
        Ok(bytes)
    }

    fn part(&mut self, name: PartName, place: Place) -> Result<&mut Part, BytesError> {
        let missing = BytesError::NoSuchPlace {
            place: place.name(),
            packet: self.packet.name(),
            version: self.version,
        };
        self.parts.iter_mut().find(|part| part.name == name).ok_or(missing)
    }

    /// Adds the Reason Code 0 and the Property Length 0 that the short form of a packet omits
    /// (section 3.4.2.1).
    fn expand_short_form(&mut self) {
        for part in &mut self.parts {
            let may_be_left_out =
                [Place::Reason, Place::PropertyLength].map(PartName::Place).contains(&part.name);
            if may_be_left_out && part.bytes.is_empty() {
                part.bytes.push(0);
            }
        }
    }
}

/// Applies the patches that work on offsets.
pub(super) fn flat_patches(mut bytes: Vec<u8>, patches: &[Patch]) -> Result<Vec<u8>, BytesError> {
    for patch in patches {
        match patch {
            Patch::Set { place: Place::Byte(offset), value } => {
                let length = bytes.len();
                let byte = bytes.get_mut(*offset as usize);
                *byte.ok_or(BytesError::NoSuchByte { offset: *offset, length })? = low_byte(value);
            }
            Patch::Set { .. } | Patch::Properties(_) => {}
            Patch::TruncatedTo(length) => bytes.truncate(*length as usize),
            Patch::ExtendedBy(more) => bytes.extend(more),
        }
    }
    Ok(bytes)
}

/// The parser allows only numbers up to 255 for a byte.
fn low_byte(value: &PatchValue) -> u8 {
    match value {
        PatchValue::Number(number) => (number.value & 0xff) as u8,
        PatchValue::Bytes(_) | PatchValue::Nonminimal => 0,
    }
}

fn length_bytes(value: &PatchValue, true_length: u64) -> Result<Vec<u8>, BytesError> {
    match value {
        PatchValue::Number(number) => variable_byte_integer(number.value),
        PatchValue::Bytes(bytes) => Ok(bytes.clone()),
        PatchValue::Nonminimal => {
            let mut bytes = variable_byte_integer(true_length)?;
            if let Some(last) = bytes.last_mut() {
                *last |= 0x80;
            }
            bytes.push(0);
            Ok(bytes)
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// Reads the integer; returns its bytes and its value.
    fn variable_byte_integer(&mut self) -> Option<(&'a [u8], usize)> {
        let length = 1 + self.rest.iter().position(|byte| byte & 0x80 == 0).filter(|at| *at < 4)?;
        let bytes = self.take(length)?;
        let value = bytes.iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
        Some((bytes, value))
    }
}

struct Parts<'a> {
    reader: Reader<'a>,
    parts: Vec<Part>,
    has_properties: bool,
}

impl Parts<'_> {
    fn push(&mut self, name: PartName, bytes: &[u8]) {
        self.parts.push(Part { name, bytes: bytes.to_vec() });
    }

    fn bytes(&mut self, place: Place, length: usize) -> Option<()> {
        let bytes = self.reader.take(length)?;
        self.push(PartName::Place(place), bytes);
        Some(())
    }

    fn other(&mut self, length: usize) -> Option<()> {
        let bytes = self.reader.take(length)?;
        self.push(PartName::Other, bytes);
        Some(())
    }

    fn string(&mut self, place: Place) -> Option<()> {
        let whole = self.reader.rest;
        let length = self.reader.take(2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        self.reader.take(length)?;
        self.push(PartName::Place(place), &whole[..2 + length]);
        Some(())
    }

    fn properties(&mut self) -> Option<()> {
        if self.has_properties {
            let (bytes, length) = self.reader.variable_byte_integer()?;
            self.push(PartName::Place(Place::PropertyLength), bytes);
            let properties = self.reader.take(length)?;
            self.push(PartName::Properties, properties);
        }
        Some(())
    }

    /// Reads a Reason Code and properties. Both may be missing at the end of a packet.
    fn reason_and_properties(&mut self) -> Option<()> {
        if !self.has_properties {
            return Some(());
        }
        let length = self.reader.rest.len().min(1);
        self.bytes(Place::Reason, length)?;
        if self.reader.rest.is_empty() {
            self.push(PartName::Place(Place::PropertyLength), &[]);
            self.push(PartName::Properties, &[]);
            return Some(());
        }
        self.properties()
    }
}
