//! Checked Properties in their encoded form. Iteration neither fails nor copies.

use std::fmt;
use std::marker::PhantomData;

use super::{HasProperties, PropertyIdentifier};
use crate::read::{Variable, variable_byte_integer};

/// The checked Properties of a `P`, borrowed from the packet.
pub struct PropertiesRef<'a, P> {
    raw: &'a [u8],
    packet: PhantomData<fn() -> P>,
}

/// The value of a property, borrowed from the packet, by data type (§2.2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRef<'a> {
    /// Byte.
    Byte(u8),
    /// Two Byte Integer.
    TwoByteInteger(u16),
    /// Four Byte Integer.
    FourByteInteger(u32),
    /// Variable Byte Integer.
    VariableByteInteger(u32),
    /// UTF-8 Encoded String.
    Utf8String(&'a str),
    /// Binary Data.
    BinaryData(&'a [u8]),
    /// UTF-8 String Pair.
    StringPair(&'a str, &'a str),
}

impl<'a, P: HasProperties> PropertiesRef<'a, P> {
    #[inline]
    pub(crate) const fn from_checked(raw: &'a [u8]) -> Self {
        Self { raw, packet: PhantomData }
    }

    /// The encoded bytes, without the Property Length.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether the list is empty.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether the payload is declared as UTF-8 text (§3.3.2.3.2, §3.1.3.2.3).
    pub(crate) fn says_utf8(&self) -> bool {
        self.get(PropertyIdentifier::PayloadFormatIndicator) == Some(ValueRef::Byte(1))
    }

    /// The first property with this identifier.
    #[must_use]
    pub fn get(&self, identifier: PropertyIdentifier) -> Option<ValueRef<'a>> {
        let (_, value) = Walk(self.raw).find(|&(found, _)| found == identifier)?;
        ValueRef::read(identifier, value)
    }

    /// All properties, in packet order.
    pub fn iter(&self) -> impl Iterator<Item = (PropertyIdentifier, ValueRef<'a>)> {
        Walk(self.raw)
            .filter_map(|(identifier, value)| Some((identifier, ValueRef::read(identifier, value)?)))
    }
}

impl<P> Clone for PropertiesRef<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for PropertiesRef<'_, P> {}

impl<P> PartialEq for PropertiesRef<'_, P> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<P> Eq for PropertiesRef<'_, P> {}

impl<P: HasProperties> fmt::Debug for PropertiesRef<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'a> ValueRef<'a> {
    fn read(identifier: PropertyIdentifier, value: &'a [u8]) -> Option<Self> {
        Some(match Kind::of(identifier) {
            Kind::Byte => Self::Byte(*value.first()?),
            Kind::TwoBytes => Self::TwoByteInteger(u16::from_be_bytes(*value.first_chunk()?)),
            Kind::FourBytes => Self::FourByteInteger(u32::from_be_bytes(*value.first_chunk()?)),
            Kind::Variable => match variable_byte_integer(value) {
                Variable::Value(value, _) => Self::VariableByteInteger(value),
                _ => return None,
            },
            Kind::Text => Self::Utf8String(text(value.get(2..)?)?),
            Kind::Binary => Self::BinaryData(value.get(2..)?),
            Kind::Pair => {
                let (name, rest) = value.get(2..)?.split_at_checked(sized_length(value)? - 2)?;
                Self::StringPair(text(name)?, text(rest.get(2..)?)?)
            }
        })
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Data type of a property's value (§2.2.2.2).
#[derive(Clone, Copy)]
enum Kind {
    Byte,
    TwoBytes,
    FourBytes,
    Variable,
    Text,
    Binary,
    Pair,
}

impl Kind {
    const fn of(identifier: PropertyIdentifier) -> Self {
        use PropertyIdentifier as Id;
        match identifier {
            Id::PayloadFormatIndicator
            | Id::RequestProblemInformation
            | Id::RequestResponseInformation
            | Id::MaximumQoS
            | Id::RetainAvailable
            | Id::WildcardSubscriptionAvailable
            | Id::SubscriptionIdentifierAvailable
            | Id::SharedSubscriptionAvailable => Self::Byte,
            Id::ServerKeepAlive | Id::TopicAliasMaximum | Id::ReceiveMaximum | Id::TopicAlias => {
                Self::TwoBytes
            }
            Id::MessageExpiryInterval
            | Id::SessionExpiryInterval
            | Id::WillDelayInterval
            | Id::MaximumPacketSize => Self::FourBytes,
            Id::SubscriptionIdentifier => Self::Variable,
            Id::ContentType
            | Id::ResponseTopic
            | Id::AssignedClientIdentifier
            | Id::AuthenticationMethod
            | Id::ResponseInformation
            | Id::ServerReference
            | Id::ReasonString => Self::Text,
            Id::CorrelationData | Id::AuthenticationData => Self::Binary,
            Id::UserProperty => Self::Pair,
        }
    }

    /// The length of the value of this type at the beginning of `bytes`.
    #[inline]
    fn length(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Byte => Some(1),
            Self::TwoBytes => Some(2),
            Self::FourBytes => Some(4),
            Self::Variable => match variable_byte_integer(bytes) {
                Variable::Value(_, length) => Some(length),
                _ => None,
            },
            Self::Text | Self::Binary => sized_length(bytes),
            Self::Pair => {
                let name = sized_length(bytes)?;
                Some(name + sized_length(bytes.get(name..)?)?)
            }
        }
    }
}

/// The length of a Two Byte Integer length prefix and the bytes it announces.
#[inline]
fn sized_length(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|&length| 2 + usize::from(u16::from_be_bytes(length)))
}

/// Iterates over identifier and value of each property, in packet order. The bytes have been
/// checked.
#[derive(Clone)]
pub(super) struct Walk<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Walk<'a> {
    type Item = (PropertyIdentifier, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (&identifier, rest) = self.0.split_first()?;
        let identifier = PropertyIdentifier::from_byte(identifier)?;
        let (value, rest) = rest.split_at_checked(Kind::of(identifier).length(rest)?)?;
        self.0 = rest;
        Some((identifier, value))
    }
}
