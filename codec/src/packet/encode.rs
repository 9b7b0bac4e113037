//! Writing packets: the size is computed first, the buffer grows once, the bytes go in front to back.

use bytes::{BufMut, BytesMut};

use super::PacketType;
use crate::error::EncodeError;
use crate::version::Version;
use crate::write::{checked_length, put_variable, variable_length};

/// What can be written to the wire: every packet, alone or as a [`Packet`](super::Packet).
pub trait Encode {
    /// The number of bytes of the whole packet, fixed header included.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn encoded_len(&self, version: Version) -> Result<usize, EncodeError>;

    /// Appends the packet to `out`, which grows at most once.
    ///
    /// # Errors
    /// If the packet has no encoding in this version, or would break a rule; `out` is then unchanged.
    fn encode(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError>;

    /// Appends the packet even if its fields break a rule together, as a test of a receiver wants; what the version has
    /// no place for is left out.
    ///
    /// # Errors
    /// [`EncodeError::TooLarge`], and codes or packets that the version has no byte for.
    fn encode_unchecked(&self, version: Version, out: &mut BytesMut) -> Result<(), EncodeError>;
}

/// What follows a fixed header.
pub(crate) trait Body {
    const TYPE: PacketType;

    /// The first byte of the packet.
    #[inline]
    fn first_byte(&self) -> u8 {
        Self::TYPE.first_byte()
    }

    /// What the types leave open: rules over several fields, and what this version lacks.
    fn check(&self, version: Version) -> Result<(), EncodeError>;

    /// The Remaining Length.
    fn length(&self, version: Version) -> Result<usize, EncodeError>;

    /// Fills `out`, which has as many bytes as `length` says, from the front.
    fn write(&self, version: Version, out: &mut &mut [u8]);

    /// Appends the whole packet, `length` being its Remaining Length.
    #[inline]
    fn append(&self, version: Version, length: usize, out: &mut BytesMut) {
        append(self, version, length, out);
    }
}

/// Writing into bytes that are there is faster than to append field by field, each with a look at the capacity.
#[inline]
pub(super) fn append<T: Body + ?Sized>(packet: &T, version: Version, length: usize, out: &mut BytesMut) {
    let from = out.len();
    out.resize(from + 1 + variable_length(length) + length, 0);
    let mut room = &mut out[from..];
    room.put_u8(packet.first_byte());
    put_variable(&mut room, length);
    packet.write(version, &mut room);
    debug_assert!(room.is_empty(), "{} is shorter than it said", T::TYPE);
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
