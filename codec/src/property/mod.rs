//! The 27 properties of 5.0 (§2.2.2.2), and the packets that each may appear in.
//!
//! One table gives identifier, name and packets of every property. From it derive the enum of all
//! properties, the [`AllowedIn`] traits, which make a property in a wrong packet a compile error,
//! and the bit masks that make it a decoding error.

mod check;
mod list;
mod value;
mod view;

use bytes::Bytes;

pub(crate) use check::{read_properties, read_properties_or_end};
pub use list::Properties;
pub use value::*;
pub use view::{PropertiesRef, ValueRef};

use crate::packet::{
    Auth, ConnAck, Connect, Disconnect, PubAck, PubComp, PubRec, PubRel, Publish, SubAck, Subscribe,
    UnsubAck, Unsubscribe, Will,
};

pub(crate) mod sealed {
    use super::Bytes;

    /// The encoding of a property's value.
    pub trait Wire: Sized {
        /// Appends the value, without the identifier.
        fn write(&self, out: &mut Vec<u8>);
        /// Reads `value`, a checked subslice of `source` that holds exactly one value.
        fn read(value: &[u8], source: &Bytes) -> Option<Self>;
    }

    /// A packet, or the Will, that has properties.
    pub trait Place {
        const BIT: u16;
    }
}

/// A type with Properties: 13 packets and the Will.
pub trait HasProperties: sealed::Place {}

/// One of the 27 properties.
pub trait PropertyValue: sealed::Wire + Into<Property> {
    /// Its Property Identifier.
    const IDENTIFIER: PropertyIdentifier;
}

/// The property may appear in the Properties of `P` (§2.2.2.2).
pub trait AllowedIn<P: HasProperties>: PropertyValue {
    /// Whether it may appear there more than once.
    const REPEATABLE: bool;
}

/// The property may appear in the Properties of `P` more than once.
pub trait RepeatableIn<P: HasProperties>: AllowedIn<P> {}

macro_rules! places {
    ($($packet:ident $bit:literal)*) => {
        $(
            impl sealed::Place for $packet {
                const BIT: u16 = 1 << $bit;
            }
            impl HasProperties for $packet {}
            impl RepeatableIn<$packet> for UserProperty {}
        )*
    };
}

places! {
    Connect 0 ConnAck 1 Publish 2 Will 3 PubAck 4 PubRec 5 PubRel 6 PubComp 7
    Subscribe 8 SubAck 9 Unsubscribe 10 UnsubAck 11 Disconnect 12 Auth 13
}

impl RepeatableIn<Publish> for SubscriptionIdentifier {}

macro_rules! properties {
    ($($name:ident = $id:literal $title:literal, $($packet:ident $repeat:literal)*;)*) => {
        /// Property Identifier (§2.2.2.2).
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum PropertyIdentifier {
            $(#[doc = concat!($title, ", ", stringify!($id))] $name = $id,)*
        }

        impl PropertyIdentifier {
            /// Every identifier, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The standard's name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            #[inline]
            pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($id => Some(Self::$name),)* _ => None }
            }

            /// The packets that it may appear in, as bits.
            const fn places(self) -> u16 {
                match self { $(Self::$name => 0 $(| <$packet as sealed::Place>::BIT)*,)* }
            }

            /// The packets in which it may appear more than once, as bits.
            const fn places_repeatable(self) -> u16 {
                match self {
                    $(Self::$name => 0 $(| if $repeat { <$packet as sealed::Place>::BIT } else { 0 })*,)*
                }
            }
        }

        /// Any property.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum Property {
            $(#[doc = $title] $name($name),)*
        }

        impl Property {
            /// Its identifier.
            #[must_use]
            pub const fn identifier(&self) -> PropertyIdentifier {
                match self { $(Self::$name(_) => PropertyIdentifier::$name,)* }
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self { $(Self::$name(value) => sealed::Wire::write(value, out),)* }
            }

            fn read(identifier: PropertyIdentifier, value: &[u8], source: &Bytes) -> Option<Self> {
                match identifier {
                    $(PropertyIdentifier::$name => sealed::Wire::read(value, source).map(Self::$name),)*
                }
            }
        }

        $(
            impl From<$name> for Property {
                fn from(value: $name) -> Self {
                    Self::$name(value)
                }
            }

            impl PropertyValue for $name {
                const IDENTIFIER: PropertyIdentifier = PropertyIdentifier::$name;
            }

            $(
                impl AllowedIn<$packet> for $name {
                    const REPEATABLE: bool = $repeat;
                }
            )*
        )*
    };
}

properties! {
    PayloadFormatIndicator = 0x01 "Payload Format Indicator", Publish false Will false;
    MessageExpiryInterval = 0x02 "Message Expiry Interval", Publish false Will false;
    ContentType = 0x03 "Content Type", Publish false Will false;
    ResponseTopic = 0x08 "Response Topic", Publish false Will false;
    CorrelationData = 0x09 "Correlation Data", Publish false Will false;
    SubscriptionIdentifier = 0x0B "Subscription Identifier", Publish true Subscribe false;
    SessionExpiryInterval = 0x11 "Session Expiry Interval", Connect false ConnAck false Disconnect false;
    AssignedClientIdentifier = 0x12 "Assigned Client Identifier", ConnAck false;
    ServerKeepAlive = 0x13 "Server Keep Alive", ConnAck false;
    AuthenticationMethod = 0x15 "Authentication Method", Connect false ConnAck false Auth false;
    AuthenticationData = 0x16 "Authentication Data", Connect false ConnAck false Auth false;
    RequestProblemInformation = 0x17 "Request Problem Information", Connect false;
    WillDelayInterval = 0x18 "Will Delay Interval", Will false;
    RequestResponseInformation = 0x19 "Request Response Information", Connect false;
    ResponseInformation = 0x1A "Response Information", ConnAck false;
    ServerReference = 0x1C "Server Reference", ConnAck false Disconnect false;
    ReasonString = 0x1F "Reason String", ConnAck false PubAck false PubRec false PubRel false PubComp false
        SubAck false UnsubAck false Disconnect false Auth false;
    ReceiveMaximum = 0x21 "Receive Maximum", Connect false ConnAck false;
    TopicAliasMaximum = 0x22 "Topic Alias Maximum", Connect false ConnAck false;
    TopicAlias = 0x23 "Topic Alias", Publish false;
    MaximumQoS = 0x24 "Maximum QoS", ConnAck false;
    RetainAvailable = 0x25 "Retain Available", ConnAck false;
    UserProperty = 0x26 "User Property", Connect true ConnAck true Publish true Will true PubAck true PubRec true
        PubRel true PubComp true Subscribe true SubAck true Unsubscribe true UnsubAck true Disconnect true Auth true;
    MaximumPacketSize = 0x27 "Maximum Packet Size", Connect false ConnAck false;
    WildcardSubscriptionAvailable = 0x28 "Wildcard Subscription Available", ConnAck false;
    SubscriptionIdentifierAvailable = 0x29 "Subscription Identifier Available", ConnAck false;
    SharedSubscriptionAvailable = 0x2A "Shared Subscription Available", ConnAck false;
}

impl PropertyIdentifier {
    /// Whether the property may appear in the Properties of `P`.
    #[must_use]
    pub const fn is_allowed_in<P: HasProperties>(self) -> bool {
        self.places() & P::BIT != 0
    }

    /// Whether it may appear there more than once.
    #[must_use]
    pub const fn is_repeatable_in<P: HasProperties>(self) -> bool {
        self.places_repeatable() & P::BIT != 0
    }
}

impl std::fmt::Display for PropertyIdentifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
