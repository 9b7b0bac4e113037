//! Reads Properties (§2.2.2): one pass checks them completely, without copying.

use super::{Place, PropertyIdentifier, sealed::HasPlace};
use crate::misdeed::Misdeed;
use crate::read::{Read, Reader};
use crate::version::Role;

/// Properties that have been checked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Checked<'a> {
    /// Their bytes, without the Property Length.
    pub(crate) raw: &'a [u8],
    /// Bit n: the property with identifier n is present.
    seen: u64,
}

impl Checked<'_> {
    #[inline]
    pub(crate) const fn has(&self, identifier: PropertyIdentifier) -> bool {
        self.seen & 1 << identifier as u8 != 0
    }
}

/// Reads Property Length and Properties of `P`. A packet that ends here has none (the short forms
/// of §3.4.2.2.1, §3.14.2.2.1).
#[inline]
pub(crate) fn read_properties_or_end<'a, P: HasPlace>(reader: &mut Reader<'a>) -> Read<Checked<'a>> {
    if reader.is_at_end() { Ok(Checked::default()) } else { read_properties::<P>(reader) }
}

/// Reads Property Length and Properties of `P`.
#[inline]
pub(crate) fn read_properties<'a, P: HasPlace>(reader: &mut Reader<'a>) -> Read<Checked<'a>> {
    let at = reader.at();
    let length = reader.variable_byte_integer()?;
    if length == 0 {
        return Ok(Checked::default());
    }
    read_present(reader, P::PLACE, at, length as usize)
}

fn read_present<'a>(
    reader: &mut Reader<'a>,
    place: Place,
    length_at: usize,
    length: usize,
) -> Read<Checked<'a>> {
    let Ok(raw) = reader.take(length) else {
        return reader.fault(Misdeed::PropertyLengthTooLong, length_at);
    };
    let mut properties = reader.within(raw);
    let mut seen = 0u64;
    while !properties.is_at_end() {
        let at = properties.at();
        let identifier = read_identifier(&mut properties)?;
        if identifier.places() & place.bit() == 0 {
            return properties.fault(Misdeed::PropertyNotAllowed, at);
        }
        check_sender(&properties, identifier, place, at)?;
        let bit = 1 << identifier as u8;
        if seen & bit != 0 && identifier.places_repeatable() & place.bit() == 0 {
            return properties.fault(Misdeed::PropertyRepeated, at);
        }
        seen |= bit;
        check_value(&mut properties, identifier)?;
    }
    Ok(Checked { raw, seen })
}

#[inline]
fn read_identifier(properties: &mut Reader<'_>) -> Read<PropertyIdentifier> {
    let at = properties.at();
    // A Variable Byte Integer, although every identifier fits in one byte.
    let identifier = properties.variable_byte_integer()?;
    match u8::try_from(identifier).ok().and_then(PropertyIdentifier::from_byte) {
        Some(identifier) => Ok(identifier),
        None => properties.fault(Misdeed::PropertyUnknown, at),
    }
}

/// Checks properties that only one end may send, in packets that both may send.
#[inline]
fn check_sender(
    properties: &Reader<'_>,
    identifier: PropertyIdentifier,
    place: Place,
    at: usize,
) -> Read<()> {
    match (identifier, properties.sender) {
        // [MQTT-3.3.4-6]
        (PropertyIdentifier::SubscriptionIdentifier, Some(Role::Client)) if place == Place::Publish => {
            properties.fault(Misdeed::SubscriptionIdentifierFromClient, at)
        }
        // [MQTT-3.14.2-2]
        (PropertyIdentifier::SessionExpiryInterval, Some(Role::Server)) if place == Place::Disconnect => {
            properties.fault(Misdeed::SessionExpiryIntervalFromServer, at)
        }
        (PropertyIdentifier::ServerReference, Some(Role::Client)) if place == Place::Disconnect => {
            properties.fault(Misdeed::ServerReferenceFromClient, at)
        }
        _ => Ok(()),
    }
}

#[inline]
fn check_value(properties: &mut Reader<'_>, identifier: PropertyIdentifier) -> Read<()> {
    use PropertyIdentifier as Id;
    match identifier {
        Id::PayloadFormatIndicator => flag(properties, Misdeed::PayloadFormatIndicatorInvalid),
        Id::RequestProblemInformation => flag(properties, Misdeed::RequestProblemInformationInvalid),
        Id::RequestResponseInformation => flag(properties, Misdeed::RequestResponseInformationInvalid),
        Id::MaximumQoS => flag(properties, Misdeed::MaximumQoSInvalid),
        Id::RetainAvailable => flag(properties, Misdeed::RetainAvailableInvalid),
        Id::WildcardSubscriptionAvailable => flag(properties, Misdeed::WildcardSubscriptionAvailableInvalid),
        Id::SubscriptionIdentifierAvailable => {
            flag(properties, Misdeed::SubscriptionIdentifierAvailableInvalid)
        }
        Id::SharedSubscriptionAvailable => flag(properties, Misdeed::SharedSubscriptionAvailableInvalid),
        Id::ServerKeepAlive | Id::TopicAliasMaximum => properties.two_bytes().map(drop),
        Id::ReceiveMaximum => above_zero::<2>(properties, Misdeed::ReceiveMaximumZero),
        // [MQTT-3.3.2-8]
        Id::TopicAlias => above_zero::<2>(properties, Misdeed::TopicAliasZero),
        Id::MessageExpiryInterval | Id::SessionExpiryInterval | Id::WillDelayInterval => {
            properties.take(4).map(drop)
        }
        Id::MaximumPacketSize => above_zero::<4>(properties, Misdeed::MaximumPacketSizeZero),
        Id::SubscriptionIdentifier => {
            let at = properties.at();
            if properties.variable_byte_integer()? == 0 {
                return properties.fault(Misdeed::SubscriptionIdentifierZero, at);
            }
            Ok(())
        }
        // [MQTT-3.3.2-13] [MQTT-3.3.2-19]
        Id::ContentType
        | Id::AssignedClientIdentifier
        | Id::AuthenticationMethod
        | Id::ResponseInformation
        | Id::ServerReference
        | Id::ReasonString => properties.text().map(drop),
        Id::ResponseTopic => response_topic(properties),
        Id::CorrelationData | Id::AuthenticationData => properties.binary().map(drop),
        // [MQTT-1.5.7-1]
        Id::UserProperty => {
            properties.text()?;
            properties.text().map(drop)
        }
    }
}

#[inline]
fn flag(properties: &mut Reader<'_>, otherwise: Misdeed) -> Read<()> {
    let at = properties.at();
    if properties.byte()? > 1 { properties.fault(otherwise, at) } else { Ok(()) }
}

#[inline]
fn above_zero<const LENGTH: usize>(properties: &mut Reader<'_>, otherwise: Misdeed) -> Read<()> {
    let at = properties.at();
    if properties.take(LENGTH)?.iter().all(|&byte| byte == 0) {
        properties.fault(otherwise, at)
    } else {
        Ok(())
    }
}

fn response_topic(properties: &mut Reader<'_>) -> Read<()> {
    // [MQTT-3.3.2-14]
    let topic = properties.topic_name(Misdeed::ResponseTopicWildcard)?;
    // [MQTT-4.7.3-1]
    if topic.is_empty() { properties.fault(Misdeed::ResponseTopicEmpty, properties.at()) } else { Ok(()) }
}
