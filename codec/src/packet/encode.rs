//! Encodes packets: computes the size, grows the buffer once, and writes the bytes in order.

use bytes::{BufMut, BytesMut};

use super::PacketType;
use crate::error::EncodeError;
use crate::version::Version;
use crate::write::{checked_length, put_variable, variable_length};

/// A type that can be encoded: every packet type, and [`Packet`](super::Packet).
pub trait Encode {
    /// The size of the whole packet in bytes, including the fixed header.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError>;

    /// Appends the packet to `out`, which grows at most once.
    ///
    /// # Errors
    /// If the packet has no encoding in this version, or would break a rule; `out` is then
    /// unchanged.
    fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError>;

    /// Appends the packet even if a combination of its fields breaks a rule, for tests of a
    /// receiver. Fields that do not exist in the version are omitted.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`], and codes or packets that do not exist in the version.
    fn encode_unchecked(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError>;
}

/// The part of a packet after the fixed header.
pub(crate) trait Body {
    const TYPE: PacketType;

    /// The first byte of the packet.
    #[inline]
    fn first_byte(&self) -> u8 {
        Self::TYPE.first_byte()
    }

    /// Checks the rules that the types cannot express: rules over several fields, and fields that
    /// this version lacks.
    fn check(&self, version: Version) -> Result<(), EncodeError>;

    /// The Remaining Length.
    fn length(&self, version: Version) -> Result<usize, EncodeError>;

    /// Fills `out`, which is exactly [`length`](Self::length) bytes long.
    fn write(&self, version: Version, out: &mut &mut [u8]);

    /// Appends the whole packet; `length` is its Remaining Length.
    #[inline]
    fn append(&self, version: Version, length: usize, out: &mut BytesMut) {
        append(self, version, length, out);
    }
}

/// Appends the packet. Writing into existing bytes is faster than appending each field, which
/// checks the capacity every time.
#[inline]
pub(super) fn append<T: Body + ?Sized>(packet: &T, version: Version, length: usize, out: &mut BytesMut) {
    let from = out.len();
    out.resize(from + 1 + variable_length(length) + length, 0);
    let mut room = &mut out[from..];
    room.put_u8(packet.first_byte());
    put_variable(&mut room, length);
    packet.write(version, &mut room);
    debug_assert!(room.is_empty(), "{} is shorter than its computed length", T::TYPE);
}

impl<T: Body> Encode for T {
    #[inline]
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError> {
        self.check(version)?;
        let length = checked_length(self.length(version)?)?;
        Ok(1 + variable_length(length) + length)
    }

    #[inline]
    fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.check(version)?;
        self.encode_unchecked(version, out)
    }

    #[inline]
    fn encode_unchecked(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
        let length = checked_length(self.length(version)?)?;
        self.append(version, length, out);
        Ok(())
    }
}
