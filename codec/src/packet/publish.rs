//! PUBLISH (§3.3), owned and borrowed.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::policy::Advice;
use crate::property::{
    AllowedIn, PayloadFormatIndicator, Properties, PropertiesRef, PropertyIdentifier, TopicAlias, ValueRef,
    read_properties,
};
use crate::read::{Read, Reader, share};
use crate::scalar::{PacketIdentifier, QoS};
use crate::topic::{TopicName, check_name};
use crate::version::Version;
use crate::write::{put_sized, put_variable};

/// PUBLISH: an Application Message on its way (§3.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Publish {
    /// Topic Name (§3.3.2.1); `None` is the zero-length one that goes with a Topic Alias.
    pub topic: Option<TopicName>,
    /// QoS level with what it needs (§3.3.1.1, §3.3.1.2, §3.3.2.2).
    pub delivery: Delivery,
    /// RETAIN (§3.3.1.3).
    pub retain: bool,
    /// Properties (§3.3.2.3); none before 5.0.
    pub properties: Properties<Self>,
    /// The Application Message (§3.3.3).
    pub payload: Bytes,
}

/// How a PUBLISH is delivered: DUP and Packet Identifier exist with QoS 1 and 2 only ([MQTT-3.3.1-2], [MQTT-2.2.1-2]).
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

    /// DUP: an earlier attempt may have been made.
    #[inline]
    #[must_use]
    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }

    /// The same with DUP set or not; QoS 0 has none.
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
    /// A PUBLISH of QoS 0, not retained, without properties.
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

    /// A first attempt at QoS 1.
    #[must_use]
    pub const fn at_least_once(mut self, id: PacketIdentifier) -> Self {
        self.delivery = Delivery::AtLeastOnce { id, dup: false };
        self
    }

    /// A first attempt at QoS 2.
    #[must_use]
    pub const fn exactly_once(mut self, id: PacketIdentifier) -> Self {
        self.delivery = Delivery::ExactlyOnce { id, dup: false };
        self
    }

    /// With RETAIN set.
    #[must_use]
    pub const fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With one property more.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    /// The same packet in buffers of its own, for keeping it longer than the bytes that it came in.
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

/// A PUBLISH that borrows from the bytes that it came in, as fully checked as the owned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishRef<'a> {
    /// Topic Name (§3.3.2.1); zero-length with a Topic Alias only.
    pub topic: &'a str,
    /// QoS level with what it needs.
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
    /// `flags` is the first byte of the packet; its QoS and DUP are checked here.
    #[inline]
    pub(crate) fn read(flags: u8, reader: &mut Reader<'a>) -> Read<Self> {
        // [MQTT-3.3.1-4]
        let Ok(qos) = QoS::try_from(flags >> QOS_SHIFT & 0b11) else {
            return reader.fault(Misdeed::PublishQoSInvalid, 0);
        };
        let dup = flags & DUP != 0;
        // [MQTT-3.3.1-2]
        if dup && qos == QoS::AtMostOnce {
            return reader.fault(Misdeed::DupWithQoSZero, 0);
        }
        let topic_at = reader.at();
        // [MQTT-3.3.2-1]
        let topic = reader.text()?;
        if let Err((Misdeed::TopicNameWildcard, at)) = check_name(topic.as_bytes()) {
            return reader.fault(Misdeed::TopicNameWildcard, topic_at + 2 + at);
        }
        let delivery = match qos {
            // [MQTT-2.2.1-2]
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id: reader.packet_identifier()?, dup },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id: reader.packet_identifier()?, dup },
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
        let payload_at = reader.at();
        let payload = reader.rest();
        if reader.policy.payload_format == Advice::Refuse
            && properties.get(PropertyIdentifier::PayloadFormatIndicator) == Some(ValueRef::Byte(1))
            && let Err(fault) = std::str::from_utf8(payload)
        {
            return reader.fault(Misdeed::PayloadNotUtf8, payload_at + fault.valid_up_to());
        }
        Ok(Self { topic, delivery, retain: flags & RETAIN != 0, properties, payload })
    }

    /// The owned packet, its parts slices of `source`, which this one was read from.
    #[inline]
    pub(crate) fn to_owned_in(self, source: &Bytes) -> Publish {
        Publish {
            topic: self.owned_topic(source),
            delivery: self.delivery,
            retain: self.retain,
            properties: Properties::from_checked(share(source, self.properties.as_bytes())),
            payload: share(source, self.payload),
        }
    }

    #[inline]
    fn owned_topic(&self, source: &Bytes) -> Option<TopicName> {
        (!self.topic.is_empty()).then(|| TopicName::from_checked(share(source, self.topic.as_bytes())))
    }

    /// As [`to_owned_in`](Self::to_owned_in), but `source` becomes the payload: one reference less to count.
    #[inline]
    pub(crate) fn read_owned(flags: u8, reader: &mut Reader<'a>, source: &Bytes) -> Read<(Publish, usize)> {
        let borrowed = Self::read(flags, reader)?;
        let publish = Publish {
            topic: borrowed.owned_topic(source),
            delivery: borrowed.delivery,
            retain: borrowed.retain,
            properties: Properties::from_checked(share(source, borrowed.properties.as_bytes())),
            payload: Bytes::new(),
        };
        Ok((publish, borrowed.payload.len()))
    }
}

impl Publish {
    /// Makes the last `length` bytes of `source` the payload.
    #[inline]
    pub(crate) fn take_payload(&mut self, mut source: Bytes, length: usize) {
        if length > 0 {
            source.advance(source.len() - length);
            self.payload = source;
        }
    }

    #[inline]
    fn topic_bytes(&self) -> &[u8] {
        self.topic.as_ref().map_or(&[], TopicName::as_bytes)
    }
}

impl<P: crate::property::HasProperties> Properties<P>
where
    PayloadFormatIndicator: AllowedIn<P>,
{
    pub(crate) fn says_utf8(&self) -> bool {
        self.get::<PayloadFormatIndicator>() == Some(PayloadFormatIndicator::Utf8)
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

    #[inline]
    fn write(&self, version: Version, out: &mut BytesMut) {
        put_sized(out, self.topic_bytes());
        if let Some(id) = self.delivery.packet_identifier() {
            out.put_u16(id.get());
        }
        if version.is_5() {
            put_variable(out, self.properties.as_bytes().len());
            out.put_slice(self.properties.as_bytes());
        }
        out.put_slice(&self.payload);
    }
}
