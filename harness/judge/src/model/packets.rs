//! What packets and bytes mean to the rules: the message of a Will, and bytes that are certainly
//! malformed.

use mqttspec_codec::{
    DecodeError, Misdeed, PacketIdentifier, PacketType, Policy, Publish, QoS, Role, Version, decode_from,
};

/// The Will as the message that the Server publishes.
pub(super) fn message_of(will: &mqttspec_codec::Will) -> Publish {
    let mut publish = Publish::new(will.topic.clone(), will.payload.as_bytes().to_vec());
    let id = PacketIdentifier::MIN;
    match will.qos {
        QoS::AtMostOnce => {}
        QoS::AtLeastOnce => publish = publish.at_least_once(id),
        QoS::ExactlyOnce => publish = publish.exactly_once(id),
    }
    publish.retain = will.retain;
    macro_rules! take {
        ($($property:ident)*) => {$(
            if let Some(property) = will.properties.get::<mqttspec_codec::$property>() {
                publish.properties.set(property);
            }
        )*};
    }
    take!(PayloadFormatIndicator MessageExpiryInterval ContentType ResponseTopic CorrelationData);
    for (name, value) in will.properties.user_properties() {
        publish.properties.push(mqttspec_codec::UserProperty { name, value });
    }
    publish
}

/// The error of bytes that are one whole packet, and for which the Server must close; `None` if
/// they are incomplete, more than one packet, or may be read in another way.
pub(super) fn certain_error(sender: Role, bytes: &bytes::Bytes, version: Version) -> Option<DecodeError> {
    let error = decode_from(Some(sender), bytes, version, Policy::LENIENT).err()?;
    let length = frame_length(bytes);
    let is_whole = match error.kind {
        Misdeed::RemainingLengthTooLong => true,
        _ => length == Some(bytes.len()),
    };
    // 3.1 has strings of modified UTF-8 and knows no minimal lengths. 3.1.1 does not demand the
    // shortest form either.
    let is_lenient =
        version == Version::V3_1 || !version.is_5() && error.kind == Misdeed::RemainingLengthNotMinimal;
    let is_disconnect = error.packet == Some(PacketType::Disconnect);
    (is_whole && !is_lenient && !is_disconnect).then_some(error)
}

/// The length of the first packet; `None` if its Remaining Length is incomplete.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (number, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * number);
        if byte & 0x80 == 0 {
            return Some(2 + number + length);
        }
    }
    None
}
