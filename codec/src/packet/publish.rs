//! PUBLISH (§3.3), owned and borrowed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::policy::Advice;
use crate::property::{
    AllowedIn, Properties, PropertiesRef, PropertyIdentifier, TopicAlias, read_properties,
};
use crate::read::{Read, Reader};
use crate::scalar::{PacketIdentifier, QoS};
use crate::text::Utf8Ref;
use crate::topic::TopicName;
use crate::version::Version;
use crate::write::{put_properties, put_sized, put_variable, variable_length};

/// PUBLISH: transports an Application Message (§3.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Publish {
    /// Topic Name (§3.3.2.1); `None` is the zero-length Topic Name that accompanies a Topic Alias.
    pub topic: Option<TopicName>,
    /// QoS level, with DUP and Packet Identifier (§3.3.1.1, §3.3.1.2, §3.3.2.2).
    pub delivery: Delivery,
    /// RETAIN (§3.3.1.3).
    pub retain: bool,
    /// Properties (§3.3.2.3); none before 5.0.
    pub properties: Properties<Self>,
    /// The Application Message (§3.3.3).
    pub payload: Bytes,
}

/// How a PUBLISH is delivered. DUP and Packet Identifier exist only with QoS 1 and 2
/// ([MQTT-3.3.1-2], [MQTT-2.2.1-2]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Delivery {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce {
        /// Packet Identifier (§3.3.2.2).
        id: PacketIdentifier,
        /// DUP (§3.3.1.1).
        dup: bool,
    },
    /// QoS 2.
    ExactlyOnce {
        /// Packet Identifier (§3.3.2.2).
        id: PacketIdentifier,
        /// DUP (§3.3.1.1).
        dup: bool,
    },
}

impl Delivery {
    /// Checks QoS and DUP in the first byte of a PUBLISH.
    pub(crate) const fn check_flags(flags: u8) -> Result<(), Misdeed> {
        match (flags >> QOS_SHIFT & 0b11, flags & DUP != 0) {
            // [MQTT-3.3.1-4]
            (3, _) => Err(Misdeed::PublishQoSInvalid),
            // [MQTT-3.3.1-2]
            (0, true) => Err(Misdeed::DupWithQoSZero),
            _ => Ok(()),
        }
    }

    /// The QoS level.
    #[inline]
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    /// The Packet Identifier.
    #[inline]
    #[must_use]
    pub const fn packet_identifier(self) -> Option<PacketIdentifier> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { id, .. } | Self::ExactlyOnce { id, .. } => Some(id),
        }
    }

    /// DUP: the packet may have been sent before.
    #[inline]
    #[must_use]
    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }

    /// Sets or clears DUP; no effect with QoS 0.
    #[must_use]
    pub const fn with_dup(self, dup: bool) -> Self {
        match self {
            Self::AtMostOnce => Self::AtMostOnce,
            Self::AtLeastOnce { id, .. } => Self::AtLeastOnce { id, dup },
            Self::ExactlyOnce { id, .. } => Self::ExactlyOnce { id, dup },
        }
    }
}

impl Publish {
    /// Creates a PUBLISH of QoS 0, not retained, without properties.
    #[must_use]
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        Self {
            topic: Some(topic),
            delivery: Delivery::AtMostOnce,
            retain: false,
            properties: Properties::new(),
            payload: payload.into(),
        }
    }

    /// Sets QoS 1, with DUP 0.
    #[must_use]
    pub const fn at_least_once(mut self, id: PacketIdentifier) -> Self {
        self.delivery = Delivery::AtLeastOnce { id, dup: false };
        self
    }

    /// Sets QoS 2, with DUP 0.
    #[must_use]
    pub const fn exactly_once(mut self, id: PacketIdentifier) -> Self {
        self.delivery = Delivery::ExactlyOnce { id, dup: false };
        self
    }

    /// Sets RETAIN.
    #[must_use]
    pub const fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    /// Copies the packet into its own buffers, so that the receive buffer can be freed.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            topic: self.topic.as_ref().map(TopicName::detached),
            delivery: self.delivery,
            retain: self.retain,
            properties: self.properties.detached(),
            payload: Bytes::copy_from_slice(&self.payload),
        }
    }
}

/// A PUBLISH borrowed from the bytes it was decoded from, checked like the owned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRef<'a> {
    /// Topic Name (§3.3.2.1); zero-length only with a Topic Alias.
    pub topic: Utf8Ref<'a>,
    /// QoS level, with DUP and Packet Identifier.
    pub delivery: Delivery,
    /// RETAIN (§3.3.1.3).
    pub retain: bool,
    /// Properties (§3.3.2.3); none before 5.0.
    pub properties: PropertiesRef<'a, Publish>,
    /// The Application Message (§3.3.3).
    pub payload: &'a [u8],
}

const RETAIN: u8 = 1;
const QOS_SHIFT: u32 = 1;
const DUP: u8 = 1 << 3;

impl<'a> PublishRef<'a> {
    /// The first byte of the packet has been checked.
    #[inline(always)]
    pub(crate) fn read(first_byte: u8, reader: &mut Reader<'a>) -> Read<Self> {
        let topic_at = reader.at();
        // [MQTT-3.3.2-1]
        // [MQTT-3.3.2-2]
        let topic = reader.topic_name(Misdeed::TopicNameWildcard)?;
        let dup = first_byte & DUP != 0;
        let delivery = match first_byte >> QOS_SHIFT & 0b11 {
            // [MQTT-2.2.1-2]
            0 => Delivery::AtMostOnce,
            1 => Delivery::AtLeastOnce { id: reader.packet_identifier()?, dup },
            _ => Delivery::ExactlyOnce { id: reader.packet_identifier()?, dup },
        };
        let mut properties = PropertiesRef::from_checked(&[]);
        if reader.version.is_5() {
            let checked = read_properties::<Publish>(reader)?;
            if topic.is_empty() && !checked.has(PropertyIdentifier::TopicAlias) {
                return reader.fault(Misdeed::TopicNameMissing, topic_at);
            }
            properties = PropertiesRef::from_checked(checked.raw);
        } else if topic.is_empty() {
            // [MQTT-4.7.3-1]
            return reader.fault(Misdeed::TopicNameEmpty, topic_at);
        }
        if reader.policy.payload_format == Advice::Refuse {
            check_payload_format(reader, properties)?;
        }
        let payload = reader.rest();
        Ok(Self { topic, delivery, retain: first_byte & RETAIN != 0, properties, payload })
    }

    /// Copies the packet into its own buffers.
    #[must_use]
    pub fn to_publish(&self) -> Publish {
        let copy = Bytes::copy_from_slice;
        Publish {
            topic: Some(self.topic.as_bytes())
                .filter(|topic| !topic.is_empty())
                .map(copy)
                .map(TopicName::from_checked),
            delivery: self.delivery,
            retain: self.retain,
            properties: self.properties.own(copy),
            payload: copy(self.payload),
        }
    }

    /// The positions of the fields in the packet, from which the owned packet is built. `header` is
    /// the length of the fixed header.
    #[inline]
    pub(crate) const fn parts(&self, header: usize) -> Parts {
        let id = if self.delivery.packet_identifier().is_some() { 2 } else { 0 };
        Parts {
            topic_at: header + 2,
            topic: self.topic.len(),
            before_property_length: header + 2 + self.topic.len() + id,
            delivery: self.delivery,
            retain: self.retain,
            properties: self.properties.as_bytes().len(),
            payload: self.payload.len(),
        }
    }
}

#[cold]
fn check_payload_format(reader: &Reader<'_>, properties: PropertiesRef<'_, Publish>) -> Read<()> {
    match std::str::from_utf8(reader.peek()) {
        Err(fault) if properties.says_utf8() => {
            reader.fault(Misdeed::PayloadNotUtf8, reader.at() + fault.valid_up_to())
        }
        _ => Ok(()),
    }
}

/// The field positions of a checked PUBLISH.
pub(crate) struct Parts {
    topic_at: usize,
    topic: usize,
    before_property_length: usize,
    delivery: Delivery,
    retain: bool,
    properties: usize,
    payload: usize,
}

impl Parts {
    /// Builds the packet from slices of `frame`. `frame` itself becomes the payload, which saves
    /// one reference count.
    #[inline(always)]
    pub(crate) fn into_publish(self, mut frame: Bytes) -> Publish {
        let topic = (self.topic > 0)
            .then(|| TopicName::from_checked(frame.slice(self.topic_at..self.topic_at + self.topic)));
        let properties = if self.properties == 0 {
            Properties::new()
        } else {
            let from = self.before_property_length + variable_length(self.properties);
            Properties::from_checked(frame.slice(from..from + self.properties))
        };
        let payload = if self.payload == 0 {
            Bytes::new()
        } else {
            frame.advance(frame.len() - self.payload);
            frame
        };
        Publish { topic, delivery: self.delivery, retain: self.retain, properties, payload }
    }
}

impl Publish {
    #[inline]
    fn topic_bytes(&self) -> &[u8] {
        self.topic.as_ref().map_or(&[], TopicName::as_bytes)
    }
}

impl Body for Publish {
    const TYPE: PacketType = PacketType::Publish;

    #[inline]
    fn first_byte(&self) -> u8 {
        Self::TYPE.first_byte()
            | (self.delivery.qos() as u8) << QOS_SHIFT
            | if self.delivery.dup() { DUP } else { 0 }
            | u8::from(self.retain)
    }

    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_5() && !self.properties.is_empty() {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        if self.topic.is_none() {
            if !version.is_5() {
                return Err(Misdeed::TopicNameEmpty.into());
            }
            if !self.properties.contains::<TopicAlias>() {
                return Err(Misdeed::TopicNameMissing.into());
            }
        }
        Ok(())
    }

    #[inline]
    fn length(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(2 + self.topic_bytes().len()
            + if self.delivery.packet_identifier().is_some() { 2 } else { 0 }
            + if version.is_5() { self.properties.encoded_len() } else { 0 }
            + self.payload.len())
    }

    fn write(&self, version: Version, out: &mut &mut [u8]) {
        put_sized(out, self.topic_bytes());
        if let Some(id) = self.delivery.packet_identifier() {
            out.put_u16(id.get());
        }
        if version.is_5() {
            put_properties(out, self.properties.as_bytes());
        }
        out.put_slice(&self.payload);
    }

    /// Appends fields instead of filling zeroed bytes: zeroing the payload first would be slow, and
    /// the few fields before it need few appends.
    #[inline]
    fn append(&self, version: Version, length: usize, out: &mut BytesMut) {
        out.reserve(1 + variable_length(length) + length);
        let topic = self.topic_bytes();
        let [high, low] = (topic.len() as u16).to_be_bytes();
        if length <= 0x7F {
            out.extend_from_slice(&[self.first_byte(), length as u8, high, low]);
        } else {
            out.put_u8(self.first_byte());
            put_variable(out, length);
            out.extend_from_slice(&[high, low]);
        }
        out.extend_from_slice(topic);
        let id = self.delivery.packet_identifier().map(|id| id.get().to_be_bytes());
        match (id, version.is_5(), self.properties.as_bytes()) {
            (Some([high, low]), true, []) => out.extend_from_slice(&[high, low, 0]),
            (id, five, properties) => {
                if let Some(id) = id {
                    out.extend_from_slice(&id);
                }
                if five {
                    put_properties(out, properties);
                }
            }
        }
        out.extend_from_slice(&self.payload);
    }
}
