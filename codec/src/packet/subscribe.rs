//! SUBSCRIBE and SUBACK (§3.8, §3.9).

use std::fmt;

use bytes::{BufMut, Bytes};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::nonempty::NonEmpty;
use crate::property::{AllowedIn, Properties, PropertiesRef, read_properties};
use crate::read::{Read, Reader, share};
use crate::reason::SubAckReason;
use crate::scalar::{PacketIdentifier, QoS};
use crate::text::Utf8Ref;
use crate::topic::{SHARE, TopicFilter, check_filter};
use crate::version::Version;
use crate::write::{put_properties, put_sized};

/// SUBSCRIBE (§3.8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Subscribe {
    /// Packet Identifier (§3.8.2).
    pub id: PacketIdentifier,
    /// Properties (§3.8.2.1); none before 5.0.
    pub properties: Properties<Self>,
    /// At least one Topic Filter with its options ([MQTT-3.8.3-2]).
    pub subscriptions: NonEmpty<Subscription>,
}

/// A Topic Filter with Subscription Options (§3.8.3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Subscription {
    /// Topic Filter.
    pub filter: TopicFilter,
    /// Maximum QoS; before 5.0 Requested QoS.
    pub qos: QoS,
    /// No Local; false before 5.0.
    pub no_local: bool,
    /// Retain As Published; false before 5.0.
    pub retain_as_published: bool,
    /// Retain Handling; [`RetainHandling::SendAtSubscribe`] before 5.0.
    pub retain_handling: RetainHandling,
}

/// Whether retained messages are sent when the subscription is made (§3.8.3.1).
#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum RetainHandling {
    /// 0: always.
    #[default]
    SendAtSubscribe = 0,
    /// 1: only if the subscription did not exist.
    SendIfNew = 1,
    /// 2: never.
    DoNotSend = 2,
}

impl RetainHandling {
    /// The value in the Subscription Options; `None` for 3 and above.
    #[inline]
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::SendAtSubscribe),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

const NO_LOCAL: u8 = 1 << 2;
const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
const RETAIN_HANDLING_SHIFT: u32 = 4;

impl Subscription {
    /// Creates a subscription with all other options at 0.
    #[must_use]
    pub const fn new(filter: TopicFilter, qos: QoS) -> Self {
        Self {
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        }
    }

    /// The Subscription Options byte.
    #[inline]
    fn options(&self) -> u8 {
        self.qos as u8
            | if self.no_local { NO_LOCAL } else { 0 }
            | if self.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
            | (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if version.is_5() {
            // [MQTT-3.8.3-4]
            if self.no_local && self.filter.is_shared() {
                return Err(Misdeed::NoLocalOnSharedSubscription.into());
            }
        } else if self.options() > 2 {
            return Err(EncodeError::SubscriptionOptionsBeforeVersion5);
        }
        check_for(&self.filter, version)
    }
}

impl From<(TopicFilter, QoS)> for Subscription {
    fn from((filter, qos): (TopicFilter, QoS)) -> Self {
        Self::new(filter, qos)
    }
}

/// Reads a Topic Filter of SUBSCRIBE or UNSUBSCRIBE.
#[inline]
pub(super) fn read_filter<'a>(reader: &mut Reader<'a>) -> Read<Utf8Ref<'a>> {
    // [MQTT-3.8.3-1] [MQTT-3.10.3-1]
    let filter = reader.text()?;
    match check_filter(filter.as_bytes(), reader.version) {
        Ok(()) => Ok(filter),
        Err((kind, offset)) => reader.fault(kind, reader.at() - filter.len() + offset),
    }
}

/// Counts the Topic Filters in a payload by their lengths; each is followed by `options` bytes.
///
/// A list with this capacity need not grow, and its size is bounded by the received bytes.
#[inline]
pub(super) fn count(mut payload: &[u8], options: usize) -> usize {
    let mut filters = 0;
    while let Some((&length, _)) = payload.split_first_chunk() {
        let Some(rest) = payload.get(2 + usize::from(u16::from_be_bytes(length)) + options..) else { break };
        payload = rest;
        filters += 1;
    }
    filters
}

/// A Topic Filter of 3.1.1 can be invalid in 5.0, where `$share` has a meaning.
pub(super) fn check_for(filter: &TopicFilter, version: Version) -> Result<(), EncodeError> {
    if version.is_5() && filter.is_shared() {
        check_filter(filter.as_bytes(), version).map_err(|(kind, _)| kind)?;
    }
    Ok(())
}

impl Subscribe {
    /// Creates a SUBSCRIBE without properties.
    pub fn new(id: PacketIdentifier, subscriptions: impl Into<NonEmpty<Subscription>>) -> Self {
        Self { id, properties: Properties::new(), subscriptions: subscriptions.into() }
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    /// Builds the owned packet while checking, which saves a pass compared to converting a
    /// [`SubscribeRef`].
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
        let (id, properties) = SubscribeRef::read_head(reader)?;
        let at = reader.at();
        let mut subscriptions = Vec::with_capacity(count(reader.peek(), 1));
        while !reader.is_at_end() {
            subscriptions.push(SubscriptionRef::read(reader)?.own(|part| share(source, part)));
        }
        // [MQTT-3.8.3-2]
        let Ok(subscriptions) = NonEmpty::try_from(subscriptions) else {
            return reader.fault(Misdeed::SubscribeEmpty, at);
        };
        Ok(Self { id, properties: properties.own(|part| share(source, part)), subscriptions })
    }
}

/// A SUBSCRIBE borrowed from the bytes it was decoded from, checked like the owned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeRef<'a> {
    /// Packet Identifier (§3.8.2).
    pub id: PacketIdentifier,
    /// Properties (§3.8.2.1); none before 5.0.
    pub properties: PropertiesRef<'a, Subscribe>,
    /// At least one Topic Filter with its options ([MQTT-3.8.3-2]).
    pub subscriptions: SubscriptionsRef<'a>,
}

impl<'a> SubscribeRef<'a> {
    #[inline]
    fn read_head(reader: &mut Reader<'a>) -> Read<(PacketIdentifier, PropertiesRef<'a, Subscribe>)> {
        let id = reader.packet_identifier()?;
        let properties =
            if reader.version.is_5() { read_properties::<Subscribe>(reader)? } else { Default::default() };
        Ok((id, PropertiesRef::from_checked(properties.raw)))
    }

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let (id, properties) = Self::read_head(reader)?;
        let raw = reader.peek();
        // [MQTT-3.8.3-2]
        if raw.is_empty() {
            return reader.fault(Misdeed::SubscribeEmpty, reader.at());
        }
        let mut count = 0;
        while !reader.is_at_end() {
            SubscriptionRef::read(reader)?;
            count += 1;
        }
        let subscriptions = SubscriptionsRef { raw, count, version: reader.version };
        Ok(Self { id, properties, subscriptions })
    }

    /// Copies the packet into its own buffers.
    #[must_use]
    pub fn to_subscribe(&self) -> Subscribe {
        let subscriptions =
            self.subscriptions.iter().map(|subscription| subscription.own(Bytes::copy_from_slice));
        Subscribe {
            id: self.id,
            properties: self.properties.own(Bytes::copy_from_slice),
            subscriptions: NonEmpty::from_checked(subscriptions.collect()),
        }
    }
}

/// The checked Topic Filters of a SUBSCRIBE with their options, borrowed from the packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionsRef<'a> {
    raw: &'a [u8],
    count: usize,
    version: Version,
}

impl<'a> SubscriptionsRef<'a> {
    /// All subscriptions, in packet order.
    pub fn iter(&self) -> impl Iterator<Item = SubscriptionRef<'a>> + use<'a> {
        let (mut raw, version) = (self.raw, self.version);
        std::iter::from_fn(move || {
            let (&length, rest) = raw.split_first_chunk()?;
            let (filter, rest) = rest.split_at_checked(u16::from_be_bytes(length).into())?;
            let (&options, rest) = rest.split_first()?;
            raw = rest;
            SubscriptionRef::of(Utf8Ref::from_checked(filter), options & used_options(version)).ok()
        })
    }

    /// The number of subscriptions, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    #[inline]
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }
}

impl fmt::Debug for SubscriptionsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A Topic Filter with Subscription Options, borrowed from its SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionRef<'a> {
    /// Topic Filter.
    pub filter: Utf8Ref<'a>,
    /// Maximum QoS; before 5.0 Requested QoS.
    pub qos: QoS,
    /// No Local; false before 5.0.
    pub no_local: bool,
    /// Retain As Published; false before 5.0.
    pub retain_as_published: bool,
    /// Retain Handling; [`RetainHandling::SendAtSubscribe`] before 5.0.
    pub retain_handling: RetainHandling,
}

/// The bits of the Subscription Options that have a meaning or must be 0: 3.1 calls all but the QoS
/// unused.
const fn used_options(version: Version) -> u8 {
    match version {
        Version::V3_1 => 0b11,
        Version::V3_1_1 | Version::V5 => 0xFF,
    }
}

impl<'a> SubscriptionRef<'a> {
    #[inline]
    fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let filter = read_filter(reader)?;
        let at = reader.at();
        let options = reader.byte()? & used_options(reader.version);
        let reserved = if reader.version.is_5() { 0b1100_0000 } else { 0b1111_1100 };
        // [MQTT-3.8.3-5] 3.1.1/[MQTT-3.8.3-4]
        if options & reserved != 0 {
            return reader.fault(Misdeed::SubscriptionOptionsReserved, at);
        }
        let subscription = match Self::of(filter, options) {
            Ok(subscription) => subscription,
            Err(kind) => return reader.fault(kind, at),
        };
        // [MQTT-3.8.3-4]
        if subscription.no_local && filter.as_bytes().starts_with(SHARE) {
            return reader.fault(Misdeed::NoLocalOnSharedSubscription, at);
        }
        Ok(subscription)
    }

    /// Parses Subscription Options whose reserved bits have been checked.
    #[inline]
    fn of(filter: Utf8Ref<'a>, options: u8) -> Result<Self, Misdeed> {
        let qos = QoS::try_from(options & 0b11).map_err(|_| Misdeed::SubscriptionQoSInvalid)?;
        let retain_handling = RetainHandling::from_bits(options >> RETAIN_HANDLING_SHIFT)
            .ok_or(Misdeed::RetainHandlingInvalid)?;
        Ok(Self {
            filter,
            qos,
            no_local: options & NO_LOCAL != 0,
            retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }

    #[inline]
    fn own(&self, bytes: impl Fn(&[u8]) -> Bytes) -> Subscription {
        Subscription {
            filter: TopicFilter::from_checked(bytes(self.filter.as_bytes())),
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            retain_handling: self.retain_handling,
        }
    }
}

impl Body for Subscribe {
    const TYPE: PacketType = PacketType::Subscribe;

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_5() && !self.properties.is_empty() {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        self.subscriptions.iter().try_for_each(|subscription| subscription.check(version))
    }

    fn length(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(2 + if version.is_5() { self.properties.encoded_len() } else { 0 }
            + self
                .subscriptions
                .iter()
                .map(|subscription| 3 + subscription.filter.as_bytes().len())
                .sum::<usize>())
    }

    fn write(&self, version: Version, out: &mut &mut [u8]) {
        out.put_u16(self.id.get());
        if version.is_5() {
            put_properties(out, self.properties.as_bytes());
        }
        for subscription in &self.subscriptions {
            put_sized(out, subscription.filter.as_bytes());
            out.put_u8(subscription.options());
        }
    }
}

/// SUBACK: one Reason Code for each Topic Filter, in order (§3.9).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SubAck {
    /// The Packet Identifier of the SUBSCRIBE ([MQTT-2.2.1-6]).
    pub id: PacketIdentifier,
    /// Properties (§3.9.2.1); none before 5.0.
    pub properties: Properties<Self>,
    /// Reason Codes; before 5.0 a failure is [`SubAckReason::UnspecifiedError`], 0x80.
    pub reasons: NonEmpty<SubAckReason>,
}

impl SubAck {
    /// Creates a SUBACK without properties.
    pub fn new(id: PacketIdentifier, reasons: impl Into<NonEmpty<SubAckReason>>) -> Self {
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
        let properties =
            if reader.version.is_5() { read_properties::<Self>(reader)? } else { Default::default() };
        let at = reader.at();
        let codes = reader.rest();
        let mut reasons = Vec::with_capacity(codes.len());
        for (index, &code) in codes.iter().enumerate() {
            // [MQTT-3.9.3-2]
            match SubAckReason::try_from(code) {
                Ok(reason) if reader.version.is_5() || reason.exists_before_5() => reasons.push(reason),
                _ => return reader.fault(Misdeed::ReasonCodeInvalid, at + index),
            }
        }
        let Ok(reasons) = NonEmpty::try_from(reasons) else {
            return reader.fault(Misdeed::SubAckEmpty, at);
        };
        Ok(Self { id, properties: Properties::share(source, properties.raw), reasons })
    }
}

impl SubAckReason {
    /// 3.1.1/[MQTT-3.9.3-2]
    #[inline]
    const fn exists_before_5(self) -> bool {
        matches!(self, Self::GrantedQoS0 | Self::GrantedQoS1 | Self::GrantedQoS2 | Self::UnspecifiedError)
    }
}

impl Body for SubAck {
    const TYPE: PacketType = PacketType::SubAck;

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if version.is_5() {
            return Ok(());
        }
        if !self.properties.is_empty() {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        if !self.reasons.iter().all(|reason| reason.exists_before_5()) {
            return Err(EncodeError::ReasonCodeBeforeVersion5);
        }
        Ok(())
    }

    fn length(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(2 + if version.is_5() { self.properties.encoded_len() } else { 0 } + self.reasons.len())
    }

    fn write(&self, version: Version, out: &mut &mut [u8]) {
        out.put_u16(self.id.get());
        if version.is_5() {
            put_properties(out, self.properties.as_bytes());
        }
        for &reason in &self.reasons {
            out.put_u8(reason.into());
        }
    }
}
