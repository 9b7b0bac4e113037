//! The properties as types. Each type holds exactly the values that the standard allows.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use super::sealed::Wire;
use crate::read::{Variable, share, variable_byte_integer};
use crate::scalar::QoS;
use crate::text::{BinaryData, Utf8String};
use crate::topic::TopicName;
use crate::write::{MAX_VARIABLE, put_sized, put_variable};

macro_rules! numbers {
    ($($(#[$about:meta])* $name:ident($number:ty) $write:expr, $read:expr;)*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub $number);

        impl Wire for $name {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&$write(self.0));
            }

            #[inline]
            fn read(value: &[u8], _source: &Bytes) -> Option<Self> {
                $read(value).map(Self)
            }
        }
    )*};
}

fn flag(value: &[u8]) -> Option<bool> {
    value.first().map(|&byte| byte == 1)
}

fn two_bytes(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|&bytes| u16::from_be_bytes(bytes))
}

fn four_bytes(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|&bytes| u32::from_be_bytes(bytes))
}

numbers! {
    /// Message Expiry Interval, in seconds (§3.3.2.3.3, §3.1.3.2.4).
    MessageExpiryInterval(u32) u32::to_be_bytes, four_bytes;
    /// Session Expiry Interval, in seconds; 0xFFFFFFFF does not expire (§3.1.2.11.2, §3.2.2.3.2,
    /// §3.14.2.2.2).
    SessionExpiryInterval(u32) u32::to_be_bytes, four_bytes;
    /// Will Delay Interval, in seconds (§3.1.3.2.2).
    WillDelayInterval(u32) u32::to_be_bytes, four_bytes;
    /// Maximum Packet Size, in bytes, the fixed header included (§3.1.2.11.4, §3.2.2.3.6).
    MaximumPacketSize(NonZeroU32) |size: NonZeroU32| size.get().to_be_bytes(), |v| four_bytes(v).and_then(NonZeroU32::new);
    /// Server Keep Alive, in seconds; 0 turns it off (§3.2.2.3.14).
    ServerKeepAlive(u16) u16::to_be_bytes, two_bytes;
    /// Topic Alias Maximum (§3.1.2.11.5, §3.2.2.3.8).
    TopicAliasMaximum(u16) u16::to_be_bytes, two_bytes;
    /// Receive Maximum (§3.1.2.11.3, §3.2.2.3.3).
    ReceiveMaximum(NonZeroU16) |maximum: NonZeroU16| maximum.get().to_be_bytes(), |v| two_bytes(v).and_then(NonZeroU16::new);
    /// Topic Alias (§3.3.2.3.4).
    TopicAlias(NonZeroU16) |alias: NonZeroU16| alias.get().to_be_bytes(), |v| two_bytes(v).and_then(NonZeroU16::new);
    /// Request Problem Information (§3.1.2.11.7).
    RequestProblemInformation(bool) |wanted| [u8::from(wanted)], flag;
    /// Request Response Information (§3.1.2.11.6).
    RequestResponseInformation(bool) |wanted| [u8::from(wanted)], flag;
    /// Retain Available (§3.2.2.3.5).
    RetainAvailable(bool) |available| [u8::from(available)], flag;
    /// Wildcard Subscription Available (§3.2.2.3.11).
    WildcardSubscriptionAvailable(bool) |available| [u8::from(available)], flag;
    /// Subscription Identifier Available (§3.2.2.3.12).
    SubscriptionIdentifierAvailable(bool) |available| [u8::from(available)], flag;
    /// Shared Subscription Available (§3.2.2.3.13).
    SharedSubscriptionAvailable(bool) |available| [u8::from(available)], flag;
}

/// Payload Format Indicator (§3.3.2.3.2, §3.1.3.2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum PayloadFormatIndicator {
    /// 0: bytes of no declared format.
    #[default]
    Unspecified,
    /// 1: UTF-8 text.
    Utf8,
}

impl Wire for PayloadFormatIndicator {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn read(value: &[u8], _source: &Bytes) -> Option<Self> {
        Some(if flag(value)? { Self::Utf8 } else { Self::Unspecified })
    }
}

/// Maximum QoS (§3.2.2.3.4). QoS 2 is expressed by omitting the property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum MaximumQoS {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
}

impl MaximumQoS {
    /// `None` for QoS 2, which is expressed by omitting the property.
    #[must_use]
    pub const fn new(qos: QoS) -> Option<Self> {
        match qos {
            QoS::AtMostOnce => Some(Self::AtMostOnce),
            QoS::AtLeastOnce => Some(Self::AtLeastOnce),
            QoS::ExactlyOnce => None,
        }
    }

    /// The level.
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce => QoS::AtLeastOnce,
        }
    }
}

impl Wire for MaximumQoS {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn read(value: &[u8], _source: &Bytes) -> Option<Self> {
        Some(if flag(value)? { Self::AtLeastOnce } else { Self::AtMostOnce })
    }
}

/// Subscription Identifier, 1 to 268,435,455 (§3.8.2.1.2, §3.3.2.3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SubscriptionIdentifier(NonZeroU32);

impl SubscriptionIdentifier {
    /// 1.
    pub const MIN: Self = Self(NonZeroU32::MIN);
    /// 268,435,455.
    pub const MAX: Self = match Self::new(MAX_VARIABLE as u32) {
        Some(max) => max,
        None => Self::MIN,
    };

    /// `None` for 0 and for more than 268,435,455.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        match NonZeroU32::new(value) {
            Some(value) if value.get() as usize <= MAX_VARIABLE => Some(Self(value)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for SubscriptionIdentifier {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u32::deserialize(deserializer)?;
        Self::new(value)
            .ok_or_else(|| serde::de::Error::custom("a Subscription Identifier is 1 to 268,435,455"))
    }
}

impl Wire for SubscriptionIdentifier {
    fn write(&self, out: &mut Vec<u8>) {
        put_variable(out, self.get() as usize);
    }

    fn read(value: &[u8], _source: &Bytes) -> Option<Self> {
        match variable_byte_integer(value) {
            Variable::Value(value, _) => Self::new(value),
            _ => None,
        }
    }
}

macro_rules! sized {
    ($($(#[$about:meta])* $name:ident($inner:ident);)*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub $inner);

        impl Wire for $name {
            fn write(&self, out: &mut Vec<u8>) {
                put_sized(out, self.0.as_bytes());
            }

            fn read(value: &[u8], source: &Bytes) -> Option<Self> {
                Some(Self($inner::from_checked(share(source, value.get(2..)?))))
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = crate::ValueError;

            fn try_from(text: &str) -> Result<Self, crate::ValueError> {
                $inner::try_from(text).map(Self)
            }
        }
    )*};
}

sized! {
    /// Content Type (§3.3.2.3.9, §3.1.3.2.5).
    ContentType(Utf8String);
    /// Response Topic: a Topic Name (§3.3.2.3.5, §3.1.3.2.6).
    ResponseTopic(TopicName);
    /// Correlation Data (§3.3.2.3.6, §3.1.3.2.7).
    CorrelationData(BinaryData);
    /// Assigned Client Identifier (§3.2.2.3.7).
    AssignedClientIdentifier(Utf8String);
    /// Authentication Method (§3.1.2.11.9, §3.2.2.3.17, §3.15.2.2.2).
    AuthenticationMethod(Utf8String);
    /// Authentication Data (§3.1.2.11.10, §3.2.2.3.18, §3.15.2.2.3).
    AuthenticationData(BinaryData);
    /// Response Information (§3.2.2.3.15).
    ResponseInformation(Utf8String);
    /// Server Reference (§3.2.2.3.16, §3.14.2.2.5).
    ServerReference(Utf8String);
    /// Reason String, for human readers (§3.2.2.3.9 and others).
    ReasonString(Utf8String);
}

/// User Property: a name and a value; neither need be unique (§3.3.2.3.7 and others).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UserProperty {
    /// The name.
    pub name: Utf8String,
    /// The value.
    pub value: Utf8String,
}

impl UserProperty {
    /// A User Property.
    #[must_use]
    pub const fn new(name: Utf8String, value: Utf8String) -> Self {
        Self { name, value }
    }

    /// Wraps a static name and value without an allocation.
    ///
    /// # Panics
    /// As [`Utf8String::from_static`].
    #[must_use]
    pub const fn from_static(name: &'static str, value: &'static str) -> Self {
        Self { name: Utf8String::from_static(name), value: Utf8String::from_static(value) }
    }
}

impl Wire for UserProperty {
    fn write(&self, out: &mut Vec<u8>) {
        put_sized(out, self.name.as_bytes());
        put_sized(out, self.value.as_bytes());
    }

    fn read(value: &[u8], source: &Bytes) -> Option<Self> {
        let (length, rest) = value.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        Some(Self {
            name: Utf8String::from_checked(share(source, name)),
            value: Utf8String::from_checked(share(source, rest.get(2..)?)),
        })
    }
}
