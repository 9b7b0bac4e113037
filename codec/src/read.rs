//! A cursor over the bytes of one packet: the data types of §1.5, each refusing what the section forbids.

use bytes::Bytes;

use crate::misdeed::Misdeed;
use crate::policy::{Advice, Policy};
use crate::scalar::PacketIdentifier;
use crate::version::{Role, Version};

/// A misdeed and where in the packet it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Misdeed,
    pub(crate) offset: usize,
}

pub(crate) type Read<T> = Result<T, Fault>;

/// The bytes of one packet and how far they have been read.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// What it is called when bytes are missing.
    short: Misdeed,
    pub(crate) version: Version,
    pub(crate) sender: Option<Role>,
    pub(crate) policy: Policy,
}

impl<'a> Reader<'a> {
    /// `bytes` is a whole packet, read up to `at`.
    #[inline]
    pub(crate) const fn new(
        bytes: &'a [u8],
        at: usize,
        version: Version,
        sender: Option<Role>,
        policy: Policy,
    ) -> Self {
        Self { bytes, at, short: Misdeed::PacketTooShort, version, sender, policy }
    }

    /// A cursor over the Properties at `from..to`, which have been taken already; offsets stay those of the packet.
    #[inline]
    pub(crate) fn within(&self, from: usize, to: usize) -> Self {
        Self {
            bytes: self.bytes.get(..to).unwrap_or(self.bytes),
            at: from,
            short: Misdeed::PropertyTruncated,
            ..*self
        }
    }

    /// Offset of the next byte in the packet.
    #[inline]
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(crate) const fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The misdeed `kind`, at `offset`.
    #[inline]
    pub(crate) fn fault<T>(&self, kind: Misdeed, offset: usize) -> Read<T> {
        Err(Fault { kind, offset })
    }

    #[cold]
    fn too_short(&self) -> Fault {
        Fault { kind: self.short, offset: self.bytes.len() }
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Read<u8> {
        let Some(&byte) = self.bytes.get(self.at) else { return Err(self.too_short()) };
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let Some(taken) = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)) else {
            return Err(self.too_short());
        };
        self.at += length;
        Ok(taken)
    }

    /// Two Byte Integer (§1.5.2).
    #[inline]
    pub(crate) fn two_bytes(&mut self) -> Read<u16> {
        let Some(&[high, low]) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<2>()) else {
            return Err(self.too_short());
        };
        self.at += 2;
        Ok(u16::from_be_bytes([high, low]))
    }

    /// All that is left.
    #[inline]
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at = self.bytes.len();
        rest
    }

    /// Nothing may be left.
    #[inline]
    pub(crate) fn end(&self) -> Read<()> {
        if self.is_at_end() { Ok(()) } else { self.fault(Misdeed::SurplusBytes, self.at) }
    }

    /// Variable Byte Integer (§1.5.5).
    #[inline]
    pub(crate) fn variable_byte_integer(&mut self) -> Read<u32> {
        let from = self.at;
        match variable_byte_integer(self.bytes.get(from..).unwrap_or_default()) {
            Variable::Value(value, length) => {
                self.at += length;
                Ok(value)
            }
            Variable::Unfinished => Err(self.too_short()),
            Variable::TooLong => self.fault(Misdeed::VariableByteIntegerTooLong, from + 3),
            Variable::NotMinimal(length) => {
                self.fault(Misdeed::VariableByteIntegerNotMinimal, from + length - 1)
            }
        }
    }

    /// Packet Identifier (§2.2.1).
    #[inline]
    pub(crate) fn packet_identifier(&mut self) -> Read<PacketIdentifier> {
        let from = self.at;
        // [MQTT-2.2.1-3] [MQTT-2.2.1-4]
        match PacketIdentifier::new(self.two_bytes()?) {
            Some(id) => Ok(id),
            None => self.fault(Misdeed::PacketIdentifierZero, from),
        }
    }

    /// Binary Data (§1.5.6).
    #[inline]
    pub(crate) fn binary(&mut self) -> Read<&'a [u8]> {
        let length = self.two_bytes()?;
        self.take(length.into())
    }

    /// UTF-8 Encoded String (§1.5.4).
    #[inline]
    pub(crate) fn text(&mut self) -> Read<&'a str> {
        let length = self.two_bytes()?;
        let from = self.at;
        let bytes = self.take(length.into())?;
        match checked_text(bytes, self.policy) {
            Ok(text) => Ok(text),
            Err((kind, at)) => self.fault(kind, from + at),
        }
    }
}

/// The text, if it obeys §1.5.4; else the first misdeed and its offset.
#[inline]
pub(crate) fn checked_text(bytes: &[u8], policy: Policy) -> Result<&str, (Misdeed, usize)> {
    // [MQTT-1.5.4-1]
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) => return Err((ill_formed(bytes, fault.valid_up_to()), fault.valid_up_to())),
    };
    // [MQTT-1.5.4-2]
    if bytes.contains(&0) {
        return Err((Misdeed::NullCharacter, bytes.iter().position(|&byte| byte == 0).unwrap_or_default()));
    }
    if policy.looks_at_characters() {
        check_characters(text, policy)?;
    }
    Ok(text)
}

/// Which kind of ill-formed: U+D800 to U+DFFF would be ED A0 80 to ED BF BF.
#[cold]
pub(crate) fn ill_formed(bytes: &[u8], at: usize) -> Misdeed {
    match bytes.get(at..) {
        Some([0xED, 0xA0..=0xBF, ..]) => Misdeed::Surrogate,
        _ => Misdeed::IllFormedUtf8,
    }
}

fn check_characters(text: &str, policy: Policy) -> Result<(), (Misdeed, usize)> {
    for (at, character) in text.char_indices() {
        if policy.control_characters == Advice::Refuse && character.is_control() {
            return Err((Misdeed::ControlCharacter, at));
        }
        if policy.non_characters == Advice::Refuse && is_non_character(character) {
            return Err((Misdeed::NonCharacter, at));
        }
    }
    Ok(())
}

/// U+FDD0 to U+FDEF, and the last two code points of each plane.
const fn is_non_character(character: char) -> bool {
    let code = character as u32;
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The value and the number of bytes that it takes.
    Value(u32, usize),
    /// More bytes are needed.
    Unfinished,
    /// The fourth byte asks for a fifth.
    TooLong,
    /// Longer than it need be; the number of bytes.
    NotMinimal(usize),
}

/// Reads a Variable Byte Integer (§1.5.5).
#[inline]
pub(crate) fn variable_byte_integer(bytes: &[u8]) -> Variable {
    match bytes {
        [byte @ 0..=0x7F, ..] => Variable::Value((*byte).into(), 1),
        [low, high @ 1..=0x7F, ..] => Variable::Value(u32::from(low & 0x7F) | u32::from(*high) << 7, 2),
        _ => long_variable_byte_integer(bytes),
    }
}

fn long_variable_byte_integer(bytes: &[u8]) -> Variable {
    let mut value = 0;
    for (at, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            // [MQTT-1.5.5-1]
            if byte == 0 && at > 0 {
                return Variable::NotMinimal(at + 1);
            }
            return Variable::Value(value, at + 1);
        }
    }
    if bytes.len() < 4 { Variable::Unfinished } else { Variable::TooLong }
}

/// The part of `source` that `part` is.
#[inline]
pub(crate) fn share(source: &Bytes, part: &[u8]) -> Bytes {
    source.slice_ref(part)
}
