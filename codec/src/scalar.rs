//! Packet Identifier (§2.2.1) and Quality of Service (§4.3): the two small values that most packets
//! carry.

use std::fmt;
use std::num::NonZeroU16;

/// A Packet Identifier, 1 to 65,535 (§2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct PacketIdentifier(NonZeroU16);

impl PacketIdentifier {
    /// 1.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// 65,535.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// Returns `None` for 0, which is not a Packet Identifier.
    #[inline]
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        match NonZeroU16::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number on the wire.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl From<NonZeroU16> for PacketIdentifier {
    fn from(value: NonZeroU16) -> Self {
        Self(value)
    }
}

impl fmt::Display for PacketIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Quality of Service level (§4.3).
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum QoS {
    /// QoS 0 (§4.3.1).
    #[default]
    AtMostOnce = 0,
    /// QoS 1 (§4.3.2).
    AtLeastOnce = 1,
    /// QoS 2 (§4.3.3).
    ExactlyOnce = 2,
}

impl QoS {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];
}

/// The number is not a QoS level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a QoS level")]
pub struct NoSuchQoS(pub u8);

impl TryFrom<u8> for QoS {
    type Error = NoSuchQoS;

    #[inline]
    fn try_from(value: u8) -> Result<Self, NoSuchQoS> {
        match value {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            other => Err(NoSuchQoS(other)),
        }
    }
}

impl From<QoS> for u8 {
    #[inline]
    fn from(value: QoS) -> Self {
        value as Self
    }
}

impl fmt::Display for QoS {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self as u8).fmt(f)
    }
}
