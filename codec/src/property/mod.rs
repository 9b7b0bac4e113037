//! The 27 properties of 5.0 (§2.2.2.2), and the packets that each may appear in.
//!
//! One table gives identifier, name and packets of every property. It generates the enum of all
//! properties, the bit masks with which the decoder refuses a property in a wrong packet, and (in
//! `packet::properties`) the [`AllowedIn`] traits with which the compiler refuses it.

mod check;
mod list;
mod table;
mod value;
mod view;

use bytes::Bytes;

pub(crate) use check::{read_properties, read_properties_or_end};
pub use list::Properties;
pub(crate) use table::property_table;
pub use value::*;
pub use view::{PropertiesRef, ValueRef};

pub(crate) mod sealed {
    use super::Bytes;

    /// The encoding of a property's value.
    pub trait Wire: Sized {
        /// Appends the value, without the identifier.
        fn write(&self, out: &mut Vec<u8>);
        /// Reads `value`, a checked subslice of `source` that holds exactly one value.
        fn read(value: &[u8], source: &Bytes) -> Option<Self>;
    }

    /// A type that has properties: a packet or the Will.
    pub trait HasPlace {
        const PLACE: super::Place;
    }
}

/// A type with Properties: 13 packets and the Will.
pub trait HasProperties: sealed::HasPlace {}

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

/// Where properties may appear: 13 packets and the Will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the packet of its name")]
pub enum Place {
    Connect,
    ConnAck,
    Publish,
    Will,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl Place {
    /// The place as a bit.
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

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
                match self { $(Self::$name => 0 $(| Place::$packet.bit())*,)* }
            }

            /// The packets in which it may appear more than once, as bits.
            const fn places_repeatable(self) -> u16 {
                match self {
                    $(Self::$name => 0 $(| if $repeat { Place::$packet.bit() } else { 0 })*,)*
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
        )*
    };
}

property_table!(properties);

impl PropertyIdentifier {
    /// Whether the property may appear in the Properties of `P`.
    #[must_use]
    pub const fn is_allowed_in<P: HasProperties>(self) -> bool {
        self.places() & P::PLACE.bit() != 0
    }

    /// Whether it may appear there more than once.
    #[must_use]
    pub const fn is_repeatable_in<P: HasProperties>(self) -> bool {
        self.places_repeatable() & P::PLACE.bit() != 0
    }
}

impl std::fmt::Display for PropertyIdentifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
