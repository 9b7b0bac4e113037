//! PUBACK, PUBREC, PUBREL and PUBCOMP (§3.4 to §3.7): four packets with the same layout.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::property::{AllowedIn, Properties, read_properties_or_end};
use crate::read::{Read, Reader};
use crate::reason::{PubAckReason, PubRelReason};
use crate::scalar::PacketIdentifier;
use crate::version::{Role, Version};
use crate::write::put_properties;

macro_rules! acknowledgements {
    ($($(#[$about:meta])* $name:ident $reason:ident;)*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name {
            /// The Packet Identifier of the PUBLISH ([MQTT-2.2.1-5]).
            pub id: PacketIdentifier,
            /// Reason Code; Success before 5.0.
            pub reason: $reason,
            /// Properties; none before 5.0.
            pub properties: Properties<Self>,
        }

        impl $name {
            /// Creates the packet with this Reason Code and without properties.
            #[must_use]
            pub const fn new(id: PacketIdentifier, reason: $reason) -> Self {
                Self { id, reason, properties: Properties::new() }
            }

            /// Creates the packet with Reason Code Success and without properties.
            #[must_use]
            pub const fn success(id: PacketIdentifier) -> Self {
                Self::new(id, $reason::Success)
            }

            /// Adds a property.
            #[must_use]
            pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
                self.properties = self.properties.with(property);
                self
            }

            pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
                let id = reader.packet_identifier()?;
                if reader.is_at_end() {
                    return Ok(Self::success(id));
                }
                if !reader.version.is_5() {
                    return reader.fault(Misdeed::SurplusBytes, reader.at());
                }
                let reason_at = reader.at();
                // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
                let Ok(reason) = $reason::try_from(reader.byte()?) else {
                    return reader.fault(Misdeed::ReasonCodeInvalid, reason_at);
                };
                if reader.sender == Some(Role::Client) && !reason.client_may_send() {
                    return reader.fault(Misdeed::ReasonCodeFromWrongSender, reason_at);
                }
                let properties = read_properties_or_end::<Self>(reader)?;
                reader.end()?;
                Ok(Self { id, reason, properties: Properties::share(source, properties.raw) })
            }

            #[inline]
            fn is_bare(&self) -> bool {
                self.reason == $reason::Success && self.properties.is_empty()
            }
        }

        impl Body for $name {
            const TYPE: PacketType = PacketType::$name;

            #[inline]
            fn check(&self, version: Version) -> Result<(), EncodeError> {
                if !version.is_5() && !self.properties.is_empty() {
                    return Err(EncodeError::PropertiesBeforeVersion5);
                }
                if !version.is_5() && self.reason != $reason::Success {
                    return Err(EncodeError::ReasonCodeBeforeVersion5);
                }
                Ok(())
            }

            #[inline]
            fn length(&self, version: Version) -> Result<usize, EncodeError> {
                Ok(if !version.is_5() || self.is_bare() {
                    2
                } else if self.properties.is_empty() {
                    3
                } else {
                    3 + self.properties.encoded_len()
                })
            }

            #[inline]
            fn append(&self, version: Version, length: usize, out: &mut BytesMut) {
                let [high, low] = self.id.get().to_be_bytes();
                if length == 2 {
                    // By far the most frequent form.
                    out.extend_from_slice(&[self.first_byte(), 2, high, low]);
                } else {
                    super::encode::append(self, version, length, out);
                }
            }

            fn write(&self, version: Version, out: &mut &mut [u8]) {
                out.put_u16(self.id.get());
                if !version.is_5() || self.is_bare() {
                    return;
                }
                out.put_u8(self.reason.into());
                if !self.properties.is_empty() {
                    put_properties(out, self.properties.as_bytes());
                }
            }
        }
    )*};
}

acknowledgements! {
    /// PUBACK: answer to a PUBLISH of QoS 1 (§3.4).
    PubAck PubAckReason;
    /// PUBREC: first answer to a PUBLISH of QoS 2 (§3.5).
    PubRec PubAckReason;
    /// PUBREL: answer to PUBREC (§3.6).
    PubRel PubRelReason;
    /// PUBCOMP: answer to PUBREL (§3.7).
    PubComp PubRelReason;
}

impl PubAckReason {
    /// Whether a Client may send it: only the Server knows the subscribers (§3.4.2.1, §3.5.2.1).
    #[inline]
    #[must_use]
    pub const fn client_may_send(self) -> bool {
        !matches!(self, Self::NoMatchingSubscribers)
    }
}

impl PubRelReason {
    /// Whether a Client may send it: both ends may send every code (§3.6.2.1, §3.7.2.1).
    #[inline]
    #[must_use]
    pub const fn client_may_send(self) -> bool {
        true
    }
}
