//! The message format of deliveries with end-to-end acknowledgement: the message has an id and a
//! checksum.
//!
//! In 5.0 they are the User Properties `delivery-id` and `delivery-checksum`; before, a first line
//! `delivery ID CHECKSUM` of the payload. Properties of a 5.0 sender do not reach a receiver before
//! 5.0, so deliveries are for clients of one version, or from older to newer ones. The
//! acknowledgement is an empty message to `delivery/ack/ID` (the prefix is an option).

use bytes::{BufMut, Bytes, BytesMut};
use mqttspec_codec::{TopicName, UserProperty, Utf8String, Version};
use sha2::{Digest, Sha256};

use crate::command::Publication;
use crate::event::Message;

const ID: &str = "delivery-id";
const CHECKSUM: &str = "delivery-checksum";
const FIRST_LINE: &[u8] = b"delivery ";

/// Id and checksum of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) checksum: String,
}

/// The checksum that detects a damaged message: the first 16 digits of SHA-256 over Topic Name and
/// payload.
pub(crate) fn checksum(topic: &TopicName, payload: &[u8]) -> String {
    let hash =
        Sha256::new().chain_update(topic.as_bytes()).chain_update([0]).chain_update(payload).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Adds the envelope to a message.
pub(crate) fn wrap(version: Version, envelope: &Envelope, mut publication: Publication) -> Publication {
    if version.is_5() {
        for (name, value) in [(ID, &envelope.id), (CHECKSUM, &envelope.checksum)] {
            // Ids and checksums are short text without U+0000.
            let value = Utf8String::try_from(value.as_str()).unwrap_or_default();
            publication.properties.push(UserProperty { name: Utf8String::from_static(name), value });
        }
        return publication;
    }
    let line = format!("{} {}\n", envelope.id, envelope.checksum);
    let mut payload = BytesMut::with_capacity(FIRST_LINE.len() + line.len() + publication.payload.len());
    payload.put_slice(FIRST_LINE);
    payload.put_slice(line.as_bytes());
    payload.put_slice(&publication.payload);
    publication.payload = payload.freeze();
    publication
}

/// Removes and returns the envelope of a message, if it has one.
pub(crate) fn unwrap(message: &mut Message) -> Option<Envelope> {
    let value = |wanted: &str| {
        let mut pairs = message.properties.user_properties();
        pairs.find(|(name, _)| name.as_str() == wanted).map(|(_, value)| value.as_str().to_owned())
    };
    if let (Some(id), Some(checksum)) = (value(ID), value(CHECKSUM)) {
        return Some(Envelope { id, checksum }).filter(Envelope::is_sound);
    }
    // From a sender before 5.0, whatever the version of this client.
    let rest = message.payload.strip_prefix(FIRST_LINE)?;
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let (id, checksum) = std::str::from_utf8(&rest[..end]).ok()?.split_once(' ')?;
    let envelope = Envelope { id: id.to_owned(), checksum: checksum.to_owned() };
    if !envelope.is_sound() {
        return None;
    }
    let inner: Bytes = message.payload.slice(FIRST_LINE.len() + end + 1..);
    message.payload = inner;
    Some(envelope)
}

impl Envelope {
    /// Whether the id is valid in a Topic Name.
    fn is_sound(&self) -> bool {
        !self.id.is_empty() && !self.id.contains(['/', '+', '#', ' ', '\0'])
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::QoS;

    use super::*;

    #[test]
    fn what_is_wrapped_is_unwrapped_in_every_version() {
        for version in Version::ALL {
            let topic = TopicName::from_static("a");
            let envelope = Envelope { id: "device-1-0".to_owned(), checksum: checksum(&topic, b"x\ny") };
            let wrapped = wrap(version, &envelope, Publication::new(topic.clone(), "x\ny"));
            let mut message = Message {
                delivered: None,
                topic,
                payload: wrapped.payload,
                qos: QoS::AtMostOnce,
                dup: false,
                retain: false,
                properties: wrapped.properties,
            };
            assert_eq!(unwrap(&mut message), Some(envelope));
            assert_eq!(message.payload, "x\ny");
        }
    }

    #[test]
    fn other_messages_are_left_alone() {
        for payload in ["", "delivery", "delivery one\n", "delivery a/b 00\nx", "hello"] {
            let mut message = Message {
                delivered: None,
                topic: TopicName::from_static("a"),
                payload: payload.into(),
                qos: QoS::AtMostOnce,
                dup: false,
                retain: false,
                properties: Default::default(),
            };
            assert_eq!(unwrap(&mut message), None, "{payload}");
            assert_eq!(message.payload, payload);
        }
    }
}
