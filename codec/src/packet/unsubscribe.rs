//! UNSUBSCRIBE and UNSUBACK (§3.10, §3.11).

use bytes::{BufMut, Bytes};

use super::subscribe::{check_for, count, read_filter};
use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::nonempty::NonEmpty;
use crate::property::{AllowedIn, Properties, read_properties};
use crate::read::{Read, Reader, share};
use crate::reason::UnsubAckReason;
use crate::scalar::PacketIdentifier;
use crate::topic::TopicFilter;
use crate::version::Version;
use crate::write::{put_properties, put_sized};

/// UNSUBSCRIBE (§3.10).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Unsubscribe {
    /// Packet Identifier (§3.10.2).
    pub id: PacketIdentifier,
    /// Properties (§3.10.2.1); none before 5.0.
    pub properties: Properties<Self>,
    /// At least one Topic Filter ([MQTT-3.10.3-2]).
    pub filters: NonEmpty<TopicFilter>,
}

impl Unsubscribe {
    /// Creates an UNSUBSCRIBE without properties.
    pub fn new(id: PacketIdentifier, filters: impl Into<NonEmpty<TopicFilter>>) -> Self {
        Self { id, properties: Properties::new(), filters: filters.into() }
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
        let id = reader.packet_identifier()?;
        let properties =
            if reader.version.is_5() { read_properties::<Self>(reader)? } else { Default::default() };
        let at = reader.at();
        let mut filters = Vec::with_capacity(count(reader.peek(), 0));
        while !reader.is_at_end() {
            filters.push(TopicFilter::from_checked(share(source, read_filter(reader)?.as_bytes())));
        }
        // [MQTT-3.10.3-2]
        let Ok(filters) = NonEmpty::try_from(filters) else {
            return reader.fault(Misdeed::UnsubscribeEmpty, at);
        };
        Ok(Self { id, properties: Properties::share(source, properties.raw), filters })
    }
}

impl Body for Unsubscribe {
    const TYPE: PacketType = PacketType::Unsubscribe;

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_5() && !self.properties.is_empty() {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        self.filters.iter().try_for_each(|filter| check_for(filter, version))
    }

    fn length(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(2 + if version.is_5() { self.properties.encoded_len() } else { 0 }
            + self.filters.iter().map(|filter| 2 + filter.as_bytes().len()).sum::<usize>())
    }

    fn write(&self, version: Version, out: &mut &mut [u8]) {
        out.put_u16(self.id.get());
        if version.is_5() {
            put_properties(out, self.properties.as_bytes());
        }
        for filter in &self.filters {
            put_sized(out, filter.as_bytes());
        }
    }
}

/// UNSUBACK: one Reason Code for each Topic Filter, in order (§3.11).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnsubAck {
    /// The Packet Identifier of the UNSUBSCRIBE ([MQTT-2.2.1-6]).
    pub id: PacketIdentifier,
    /// Properties (§3.11.2.1); none before 5.0.
    pub properties: Properties<Self>,
    /// Reason Codes: at least one in 5.0, none before.
    pub reasons: Vec<UnsubAckReason>,
}

impl UnsubAck {
    /// Creates an UNSUBACK without properties.
    #[must_use]
    pub fn new(id: PacketIdentifier, reasons: impl Into<Vec<UnsubAckReason>>) -> Self {
        Self { id, properties: Properties::new(), reasons: reasons.into() }
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
        let id = reader.packet_identifier()?;
        if !reader.version.is_5() {
            reader.end()?;
            return Ok(Self::new(id, []));
        }
        let properties = read_properties::<Self>(reader)?;
        let at = reader.at();
        let codes = reader.rest();
        if codes.is_empty() {
            return reader.fault(Misdeed::UnsubAckEmpty, at);
        }
        let mut reasons = Vec::with_capacity(codes.len());
        for (index, &code) in codes.iter().enumerate() {
            // [MQTT-3.11.3-2]
            match UnsubAckReason::try_from(code) {
                Ok(reason) => reasons.push(reason),
                Err(_) => return reader.fault(Misdeed::ReasonCodeInvalid, at + index),
            }
        }
        Ok(Self { id, properties: Properties::share(source, properties.raw), reasons })
    }
}

impl Body for UnsubAck {
    const TYPE: PacketType = PacketType::UnsubAck;

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if version.is_5() {
            return if self.reasons.is_empty() { Err(Misdeed::UnsubAckEmpty.into()) } else { Ok(()) };
        }
        if !self.properties.is_empty() {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        if !self.reasons.is_empty() {
            return Err(EncodeError::UnsubAckPayloadBeforeVersion5);
        }
        Ok(())
    }

    fn length(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(2 + if version.is_5() { self.properties.encoded_len() + self.reasons.len() } else { 0 })
    }

    fn write(&self, version: Version, out: &mut &mut [u8]) {
        out.put_u16(self.id.get());
        if version.is_5() {
            put_properties(out, self.properties.as_bytes());
            for &reason in &self.reasons {
                out.put_u8(reason.into());
            }
        }
    }
}
