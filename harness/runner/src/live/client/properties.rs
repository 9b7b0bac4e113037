//! The properties of packets that an application sets or sees, as an object of the adapter protocol.

use mqttspec_codec::{
    BinaryData, ContentType, CorrelationData, HasProperties, MessageExpiryInterval, PayloadFormatIndicator,
    Properties, Property, ResponseTopic, SubscriptionIdentifier, TopicName, UserProperty, Utf8String,
};
use serde::{Deserialize, Serialize};

/// The properties of a message, of SUBSCRIBE or of UNSUBSCRIBE (5.0). What is absent is not in the
/// packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PacketProperties {
    /// Payload Format Indicator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_format: Option<u8>,
    /// Message Expiry Interval, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_expiry: Option<u32>,
    /// Content Type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Response Topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    /// Correlation Data; Base64 in a line.
    #[serde(with = "super::protocol::base64_option", skip_serializing_if = "Option::is_none")]
    pub correlation_data: Option<Vec<u8>>,
    /// User Properties, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_property: Vec<(String, String)>,
    /// Subscription Identifiers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subscription_identifier: Vec<u32>,
}

impl PacketProperties {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those of a packet. Properties that an application neither sets nor sees are left out.
    #[must_use]
    pub fn of<P: HasProperties>(properties: &Properties<P>) -> Self {
        let mut seen = Self::default();
        for property in properties.iter() {
            match property {
                Property::PayloadFormatIndicator(format) => seen.payload_format = Some(format as u8),
                Property::MessageExpiryInterval(interval) => seen.message_expiry = Some(interval.0),
                Property::ContentType(text) => seen.content_type = Some(text.0.as_str().to_owned()),
                Property::ResponseTopic(topic) => seen.response_topic = Some(topic.0.as_str().to_owned()),
                Property::CorrelationData(data) => seen.correlation_data = Some(data.0.to_vec()),
                Property::UserProperty(property) => seen
                    .user_property
                    .push((property.name.as_str().to_owned(), property.value.as_str().to_owned())),
                Property::SubscriptionIdentifier(id) => seen.subscription_identifier.push(id.get()),
                _ => {}
            }
        }
        seen
    }

    /// The properties of a packet. `None` if it cannot have one of them with this value.
    #[must_use]
    pub fn in_packet<P: HasProperties>(&self) -> Option<Properties<P>> {
        let text = |text: &String| Utf8String::try_from(text.as_str()).ok();
        let mut all: Vec<Property> = Vec::new();
        if let Some(format) = self.payload_format {
            all.push(match format {
                0 => PayloadFormatIndicator::Unspecified.into(),
                1 => PayloadFormatIndicator::Utf8.into(),
                _ => return None,
            });
        }
        all.extend(self.message_expiry.map(|interval| MessageExpiryInterval(interval).into()));
        if let Some(content_type) = &self.content_type {
            all.push(ContentType(text(content_type)?).into());
        }
        if let Some(topic) = &self.response_topic {
            all.push(ResponseTopic(TopicName::try_from(topic.as_str()).ok()?).into());
        }
        if let Some(data) = &self.correlation_data {
            all.push(CorrelationData(BinaryData::try_from(data.clone()).ok()?).into());
        }
        for (name, value) in &self.user_property {
            all.push(UserProperty::new(text(name)?, text(value)?).into());
        }
        for id in &self.subscription_identifier {
            all.push(SubscriptionIdentifier::new(*id)?.into());
        }
        let mut properties = Properties::new();
        all.into_iter().try_for_each(|property| properties.try_push(property)).ok()?;
        Some(properties)
    }
}
