//! A cursor over the bytes of one packet. It reads the data types of §1.5 and refuses what that
//! section forbids.

use bytes::Bytes;

use crate::misdeed::Misdeed;
use crate::policy::Policy;
use crate::scalar::PacketIdentifier;
use crate::scan::is_plain;
use crate::text::{Utf8Ref, check_text};
use crate::topic::check_name;
use crate::version::{Role, Version};

/// A misdeed and its offset in the packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: Misdeed,
    pub(crate) offset: usize,
}

pub(crate) type Read<T> = Result<T, Fault>;

/// The unread bytes of one packet.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// Offset of the end of `rest` in the packet.
    end: usize,
    /// The misdeed to report when bytes are missing.
    short: Misdeed,
    pub(crate) version: Version,
    pub(crate) sender: Option<Role>,
    pub(crate) policy: Policy,
}

impl<'a> Reader<'a> {
    /// `rest` follows a fixed header of `header` bytes.
    #[inline]
    pub(crate) const fn new(
        rest: &'a [u8],
        header: usize,
        version: Version,
        sender: Option<Role>,
        policy: Policy,
    ) -> Self {
        let end = header + rest.len();
        Self { rest, end, short: Misdeed::PacketTooShort, version, sender, policy }
    }

    /// A cursor over `part`, the Properties that were just taken. Offsets remain relative to the
    /// packet.
    #[inline]
    pub(crate) const fn within(&self, part: &'a [u8]) -> Self {
        Self { rest: part, end: self.at(), short: Misdeed::PropertyTruncated, ..*self }
    }

    /// Offset of the next byte in the packet.
    #[inline]
    pub(crate) const fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    #[inline]
    pub(crate) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The misdeed `kind`, at `offset`.
    #[inline]
    pub(crate) const fn fault<T>(&self, kind: Misdeed, offset: usize) -> Read<T> {
        Err(Fault { kind, offset })
    }

    #[cold]
    const fn too_short(&self) -> Fault {
        Fault { kind: self.short, offset: self.end }
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Read<u8> {
        let Some((&byte, rest)) = self.rest.split_first() else { return Err(self.too_short()) };
        self.rest = rest;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Read<&'a [u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else { return Err(self.too_short()) };
        self.rest = rest;
        Ok(taken)
    }

    /// Two Byte Integer (§1.5.2).
    #[inline]
    pub(crate) fn two_bytes(&mut self) -> Read<u16> {
        let Some((&bytes, rest)) = self.rest.split_first_chunk() else { return Err(self.too_short()) };
        self.rest = rest;
        Ok(u16::from_be_bytes(bytes))
    }

    /// The unread bytes, without reading them.
    #[inline]
    pub(crate) const fn peek(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes all unread bytes.
    #[inline]
    pub(crate) const fn rest(&mut self) -> &'a [u8] {
        let rest = self.rest;
        self.rest = &[];
        rest
    }

    /// Fails if unread bytes are left.
    #[inline]
    pub(crate) const fn end(&self) -> Read<()> {
        if self.is_at_end() { Ok(()) } else { self.fault(Misdeed::SurplusBytes, self.at()) }
    }

    /// Variable Byte Integer (§1.5.5).
    #[inline]
    pub(crate) fn variable_byte_integer(&mut self) -> Read<u32> {
        match variable_byte_integer(self.rest) {
            Variable::Value(value, length) => {
                self.rest = self.rest.get(length..).unwrap_or_default();
                Ok(value)
            }
            Variable::Unfinished => Err(self.too_short()),
            Variable::TooLong => self.fault(Misdeed::VariableByteIntegerTooLong, self.at() + 3),
            Variable::NotMinimal(length) => {
                self.fault(Misdeed::VariableByteIntegerNotMinimal, self.at() + length - 1)
            }
        }
    }

    /// Packet Identifier (§2.2.1).
    #[inline]
    pub(crate) fn packet_identifier(&mut self) -> Read<PacketIdentifier> {
        // [MQTT-2.2.1-3] [MQTT-2.2.1-4]
        match PacketIdentifier::new(self.two_bytes()?) {
            Some(id) => Ok(id),
            None => self.fault(Misdeed::PacketIdentifierZero, self.at() - 2),
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
    pub(crate) fn text(&mut self) -> Read<Utf8Ref<'a>> {
        let bytes = self.binary()?;
        if is_plain::<false>(bytes) && !self.policy.looks_at_characters() {
            return Ok(Utf8Ref::from_checked(bytes));
        }
        self.unusual_text(bytes)
    }

    /// Checks in full a string that was just taken.
    #[cold]
    fn unusual_text(&self, bytes: &'a [u8]) -> Read<Utf8Ref<'a>> {
        match check_text(bytes, self.policy) {
            Ok(()) => Ok(Utf8Ref::from_checked(bytes)),
            Err((kind, at)) => self.fault(kind, self.at() - bytes.len() + at),
        }
    }

    /// UTF-8 Encoded String that is a Topic Name or has zero length. `wildcard` is the misdeed to
    /// report for a wildcard character.
    #[inline]
    pub(crate) fn topic_name(&mut self, wildcard: Misdeed) -> Read<Utf8Ref<'a>> {
        let bytes = self.binary()?;
        if is_plain::<true>(bytes) && !self.policy.looks_at_characters() {
            return Ok(Utf8Ref::from_checked(bytes));
        }
        self.unusual_topic_name(bytes, wildcard)
    }

    #[cold]
    fn unusual_topic_name(&self, bytes: &'a [u8], wildcard: Misdeed) -> Read<Utf8Ref<'a>> {
        let name = self.unusual_text(bytes)?;
        match check_name(bytes) {
            // [MQTT-4.7.0-1]
            Err((Misdeed::TopicNameWildcard, at)) => self.fault(wildcard, self.at() - bytes.len() + at),
            _ => Ok(name),
        }
    }
}

/// The result of reading a Variable Byte Integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The value and its length in bytes.
    Value(u32, usize),
    /// More bytes are needed.
    Unfinished,
    /// The fourth byte has the continuation bit set.
    TooLong,
    /// Not the shortest encoding; its length in bytes.
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

/// Returns `part`, a subslice of `source`, as a reference-counted slice.
#[inline]
pub(crate) fn share(source: &Bytes, part: &[u8]) -> Bytes {
    source.slice_ref(part)
}
