//! The message format of deliveries with end-to-end acknowledgement: the message has an id and a
//! checksum, when it was created, how many times it was published again, and the topic of its
//! acknowledgement.
//!
//! In 5.0 they are the User Properties `delivery-id`, `delivery-checksum`, `delivery-time`,
//! `delivery-retries` and `delivery-ack`; before, a first line of the payload:
//! `delivery ID CHECKSUM TIME RETRIES TOPIC`. Properties of a 5.0 sender do not reach a receiver
//! before 5.0, so deliveries are for clients of one version, or from older to newer ones. A time is
//! in milliseconds since the epoch of the sender.
//!
//! The acknowledgement is a JSON object: `{"id":…,"by":…,"at":…,"reason":…}`, with the Client
//! Identifier of the receiver, its time, and the Reason Code of its application: 0, or from 128 on
//! for a refusal. An empty message is an acknowledgement too.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use mqttspec_codec::{PubAckReason, TopicName, UserProperty, Utf8String, Version};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::command::Publication;
use crate::event::{DeliveryDetails, Message};

const ID: &str = "delivery-id";
const CHECKSUM: &str = "delivery-checksum";
const TIME: &str = "delivery-time";
const RETRIES: &str = "delivery-retries";
const ACKNOWLEDGEMENT: &str = "delivery-ack";
const FIRST_LINE: &[u8] = b"delivery ";

/// Id and checksum of a message, and its details.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) checksum: String,
    /// `None` from a sender that does not give them.
    pub(crate) details: Option<Details>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) created_at: Duration,
    pub(crate) retries: u32,
    /// The topic of the acknowledgement.
    pub(crate) acknowledgement: String,
}

/// The body of an end-to-end acknowledgement.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Receipt {
    pub(crate) id: String,
    /// The Client Identifier of the receiver.
    pub(crate) by: Option<String>,
    /// Its time, in milliseconds.
    pub(crate) at: Option<u64>,
    /// The Reason Code of its application.
    pub(crate) reason: u8,
}

impl Receipt {
    pub(crate) fn to_payload(&self) -> Bytes {
        // A struct of texts and numbers is always JSON.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// `None` if the payload is neither empty nor a receipt.
    pub(crate) fn of_payload(payload: &[u8]) -> Option<Self> {
        if payload.is_empty() {
            return Some(Self::default());
        }
        serde_json::from_slice(payload).ok()
    }

    /// The refusal of the application, if it is one.
    pub(crate) fn refusal(&self) -> Option<PubAckReason> {
        let reason = PubAckReason::try_from(self.reason).unwrap_or(PubAckReason::UnspecifiedError);
        reason.is_failure().then_some(reason)
    }
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
    let details = envelope.details.as_ref().map(|details| {
        let time = details.created_at.as_millis().to_string();
        [time, details.retries.to_string(), details.acknowledgement.clone()]
    });
    if version.is_5() {
        let mut add = |name: &'static str, value: &str| {
            // All of them are short text without U+0000.
            let value = Utf8String::try_from(value).unwrap_or_default();
            publication.properties.push(UserProperty { name: Utf8String::from_static(name), value });
        };
        add(ID, &envelope.id);
        add(CHECKSUM, &envelope.checksum);
        for (name, value) in [TIME, RETRIES, ACKNOWLEDGEMENT].iter().zip(details.iter().flatten()) {
            add(name, value);
        }
        return publication;
    }
    let details = details.map(|details| format!(" {}", details.join(" "))).unwrap_or_default();
    let line = format!("{} {}{details}\n", envelope.id, envelope.checksum);
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
        let details = Details::read(value(TIME), value(RETRIES), value(ACKNOWLEDGEMENT));
        return Some(Envelope { id, checksum, details }).filter(Envelope::is_sound);
    }
    // From a sender before 5.0, whatever the version of this client.
    let rest = message.payload.strip_prefix(FIRST_LINE)?;
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let mut words = std::str::from_utf8(&rest[..end]).ok()?.splitn(5, ' ').map(str::to_owned);
    let (id, checksum) = (words.next()?, words.next()?);
    let details = Details::read(words.next(), words.next(), words.next());
    let envelope = Envelope { id, checksum, details };
    if !envelope.is_sound() {
        return None;
    }
    let inner: Bytes = message.payload.slice(FIRST_LINE.len() + end + 1..);
    message.payload = inner;
    Some(envelope)
}

impl Details {
    fn read(time: Option<String>, retries: Option<String>, acknowledgement: Option<String>) -> Option<Self> {
        Some(Self {
            created_at: Duration::from_millis(time?.parse().ok()?),
            retries: retries?.parse().ok()?,
            acknowledgement: acknowledgement?,
        })
    }
}

impl Envelope {
    /// Whether the id is valid in a Topic Name.
    fn is_sound(&self) -> bool {
        !self.id.is_empty() && !self.id.contains(['/', '+', '#', ' ', '\0'])
    }

    /// The topic of the acknowledgement: that of the sender if it ends in the id, as an
    /// acknowledgement's does; otherwise the one of this client's option.
    pub(crate) fn acknowledgement(&self, prefix: &str) -> Option<TopicName> {
        let own = self.details.as_ref().map(|details| details.acknowledgement.as_str());
        own.filter(|topic| !topic.starts_with('$') && topic.ends_with(&format!("/{}", self.id)))
            .and_then(|topic| TopicName::try_from(topic).ok())
            .or_else(|| TopicName::try_from(format!("{prefix}{}", self.id)).ok())
    }

    pub(crate) fn into_details(self) -> DeliveryDetails {
        DeliveryDetails {
            id: self.id,
            created_at: self.details.as_ref().map(|details| details.created_at),
            retries: self.details.as_ref().map(|details| details.retries),
        }
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::QoS;

    use super::*;

    fn message(payload: Bytes) -> Message {
        Message {
            delivered: None,
            topic: TopicName::from_static("a"),
            payload,
            qos: QoS::AtMostOnce,
            dup: false,
            retain: false,
            properties: Default::default(),
            delivery: None,
        }
    }

    #[test]
    fn what_is_wrapped_is_unwrapped_in_every_version() {
        let details = Details {
            created_at: Duration::from_millis(17),
            retries: 2,
            acknowledgement: "delivery/ack/device-1-0".to_owned(),
        };
        for (version, details) in
            Version::ALL.into_iter().flat_map(|version| [(version, None), (version, Some(details.clone()))])
        {
            let topic = TopicName::from_static("a");
            let checksum = checksum(&topic, b"x\ny");
            let envelope = Envelope { id: "device-1-0".to_owned(), checksum, details };
            let wrapped = wrap(version, &envelope, Publication::new(topic.clone(), "x\ny"));
            let mut message = Message { properties: wrapped.properties, ..message(wrapped.payload) };
            assert_eq!(unwrap(&mut message), Some(envelope));
            assert_eq!(message.payload, "x\ny");
        }
    }

    #[test]
    fn other_messages_are_left_alone() {
        for payload in ["", "delivery", "delivery one\n", "delivery a/b 00\nx", "hello"] {
            let mut message = message(payload.into());
            assert_eq!(unwrap(&mut message), None, "{payload}");
            assert_eq!(message.payload, payload);
        }
    }

    #[test]
    fn a_sender_cannot_choose_any_topic_for_its_acknowledgement() {
        let topic = |acknowledgement: &str| {
            let details = Details {
                created_at: Duration::ZERO,
                retries: 0,
                acknowledgement: acknowledgement.to_owned(),
            };
            let envelope = Envelope { id: "x".to_owned(), checksum: String::new(), details: Some(details) };
            envelope.acknowledgement("delivery/ack/").unwrap().as_str().to_owned()
        };
        assert_eq!(topic("mine/x"), "mine/x");
        for other in ["alarm/off", "$SYS/x", "a/+/x", "x"] {
            assert_eq!(topic(other), "delivery/ack/x", "{other}");
        }
    }

    #[test]
    fn a_receipt_says_who_and_when() {
        let receipt =
            Receipt { id: "x".to_owned(), by: Some("pump \"1\"".to_owned()), at: Some(5), reason: 135 };
        assert_eq!(receipt.to_payload(), r#"{"id":"x","by":"pump \"1\"","at":5,"reason":135}"#);
        assert_eq!(Receipt::of_payload(&receipt.to_payload()), Some(receipt));
        let refusal = Receipt { reason: 135, ..Receipt::default() }.refusal();
        assert_eq!(refusal, Some(PubAckReason::NotAuthorized));
        assert_eq!(Receipt::of_payload(b"").and_then(|receipt| receipt.refusal()), None);
        assert_eq!(Receipt::of_payload(b"hello"), None);
    }
}
