//! Checks commands against the standard before anything is sent, and builds CONNECT from the
//! options.

use mqttspec_codec::{
    Connect, ContentType, CorrelationData, MaximumPacketSize, MessageExpiryInterval, PayloadFormatIndicator,
    Properties, ReceiveMaximum, RequestProblemInformation, RequestResponseInformation, ResponseTopic,
    SessionExpiryInterval, SubscriptionIdentifier, TopicAlias, TopicAliasMaximum, TopicName, UserProperty,
    Utf8String, Version, Will, WillDelayInterval,
};

use crate::command::{DisconnectRequest, Publication, SubscribeRequest, UnsubscribeRequest};
use crate::error::Invalid;
use crate::options::{Authentication, Options};

impl Options {
    /// # Errors
    /// If the options allow no valid CONNECT.
    pub(super) fn check(&self) -> Result<(), Invalid> {
        let length = self.client_id.as_str().chars().count();
        match self.version {
            Version::V3_1 if !(1..=23).contains(&length) => return Err(Invalid::ClientIdentifierLength),
            // 3.1.1/[MQTT-3.1.3-7]
            Version::V3_1_1 if length == 0 && self.clean_start != Some(true) => {
                return Err(Invalid::EmptyClientIdentifier);
            }
            _ => {}
        }
        // 3.1.1/[MQTT-3.1.2-22]
        if !self.version.is_5() && self.password.is_some() && self.user_name.is_none() {
            return Err(Invalid::PasswordWithoutUserName);
        }
        if self.authentication == Authentication::ScramSha256 {
            if !self.version.is_5() {
                return Err(Invalid::NeedsVersion5);
            }
            if self.user_name.is_none() || self.password.is_none() {
                return Err(Invalid::CredentialsMissing);
            }
        }
        if TopicName::try_from(self.delivery_acknowledgements.as_str()).is_err() {
            return Err(Invalid::AcknowledgementTopic);
        }
        // §3.1.3.2.3
        if self.will_payload_is_text && std::str::from_utf8(&self.will_payload).is_err() {
            return Err(Invalid::PayloadFormat);
        }
        Ok(())
    }

    pub(super) fn connect_packet(&self, client_id: Utf8String, clean_start: bool) -> Connect {
        let five = self.version.is_5();
        let plain = self.authentication == Authentication::None;
        Connect {
            version: self.version,
            clean_start,
            keep_alive: self.keep_alive,
            client_id,
            will: self.will(),
            user_name: self.user_name.clone().filter(|_| plain),
            password: self.password.clone().filter(|_| plain),
            properties: if five { self.connect_properties() } else { Properties::new() },
        }
    }

    /// The number of messages that the Server may have unacknowledged; before 5.0 there is no
    /// limit.
    pub(super) fn inbound_receive_maximum(&self) -> u16 {
        if self.version.is_5() { self.receive_maximum.get() } else { u16::MAX }
    }

    /// Every property whose value differs from what its absence means.
    fn connect_properties(&self) -> Properties<Connect> {
        let mut properties = Properties::new();
        if self.session_expiry != 0 {
            properties.set(SessionExpiryInterval(self.session_expiry));
        }
        if self.receive_maximum.get() != u16::MAX {
            properties.set(ReceiveMaximum(self.receive_maximum));
        }
        if let Some(size) = self.maximum_packet_size {
            properties.set(MaximumPacketSize(size));
        }
        if self.topic_alias_maximum != 0 {
            properties.set(TopicAliasMaximum(self.topic_alias_maximum));
        }
        if self.request_response_information {
            properties.set(RequestResponseInformation(true));
        }
        if !self.request_problem_information {
            properties.set(RequestProblemInformation(false));
        }
        properties.extend(user_properties(&self.user_property));
        properties
    }

    fn will(&self) -> Option<Will> {
        let topic = self.will_topic.clone()?;
        let properties = if self.version.is_5() { self.will_properties() } else { Properties::new() };
        Some(Will {
            topic,
            payload: self.will_payload.clone(),
            qos: self.will_qos,
            retain: self.will_retain,
            properties,
        })
    }

    fn will_properties(&self) -> Properties<Will> {
        let mut properties = Properties::new();
        if self.will_delay != 0 {
            properties.set(WillDelayInterval(self.will_delay));
        }
        if self.will_payload_is_text {
            properties.set(PayloadFormatIndicator::Utf8);
        }
        if let Some(seconds) = self.will_message_expiry {
            properties.set(MessageExpiryInterval(seconds));
        }
        if let Some(content_type) = &self.will_content_type {
            properties.set(ContentType(content_type.clone()));
        }
        if let Some(topic) = &self.will_response_topic {
            properties.set(ResponseTopic(topic.clone()));
        }
        if let Some(data) = &self.will_correlation_data {
            properties.set(CorrelationData(data.clone()));
        }
        properties.extend(user_properties(&self.will_user_property));
        properties
    }
}

fn user_properties(pairs: &[(Utf8String, Utf8String)]) -> impl Iterator<Item = UserProperty> {
    pairs.iter().map(|(name, value)| UserProperty { name: name.clone(), value: value.clone() })
}

impl Publication {
    /// # Errors
    /// If a Client may not send such a PUBLISH.
    pub(super) fn check(&self, version: Version) -> Result<(), Invalid> {
        if !version.is_5() && !self.properties.is_empty() {
            return Err(Invalid::NeedsVersion5);
        }
        // [MQTT-3.3.4-6]
        if self.properties.contains::<SubscriptionIdentifier>() {
            return Err(Invalid::SubscriptionIdentifierInPublish);
        }
        if self.properties.contains::<TopicAlias>() {
            return Err(Invalid::TopicAliasInPublish);
        }
        // §3.3.2.3.2
        let says_text = self.properties.get() == Some(PayloadFormatIndicator::Utf8);
        if says_text && std::str::from_utf8(&self.payload).is_err() {
            return Err(Invalid::PayloadFormat);
        }
        Ok(())
    }
}

impl SubscribeRequest {
    /// # Errors
    /// If such a SUBSCRIBE is not allowed.
    pub(super) fn check(&self, version: Version) -> Result<(), Invalid> {
        // [MQTT-3.8.3-2]
        if self.subscriptions.is_empty() {
            return Err(Invalid::NoTopicFilter);
        }
        let default = mqttspec_codec::RetainHandling::default();
        for subscription in &self.subscriptions {
            // [MQTT-3.8.3-4]
            if version.is_5() && subscription.no_local && subscription.filter.is_shared() {
                return Err(Invalid::NoLocalOnSharedSubscription);
            }
            let options = subscription.no_local
                || subscription.retain_as_published
                || subscription.retain_handling != default;
            if !version.is_5() && options {
                return Err(Invalid::NeedsVersion5);
            }
        }
        if !version.is_5() && !self.properties.is_empty() {
            return Err(Invalid::NeedsVersion5);
        }
        Ok(())
    }
}

impl UnsubscribeRequest {
    /// # Errors
    /// If such an UNSUBSCRIBE is not allowed.
    pub(super) fn check(&self, version: Version) -> Result<(), Invalid> {
        // [MQTT-3.10.3-2]
        if self.filters.is_empty() {
            return Err(Invalid::NoTopicFilter);
        }
        if !version.is_5() && !self.properties.is_empty() {
            return Err(Invalid::NeedsVersion5);
        }
        Ok(())
    }
}

impl DisconnectRequest {
    /// `session_expiry` is the Session Expiry Interval of CONNECT.
    ///
    /// # Errors
    /// If a Client may not send such a DISCONNECT.
    pub(super) fn check(&self, version: Version, session_expiry: u32) -> Result<(), Invalid> {
        if !version.is_5() && (!self.properties.is_empty() || self.reason != Default::default()) {
            return Err(Invalid::NeedsVersion5);
        }
        // [MQTT-3.14.2-1]
        if !self.reason.client_may_send() {
            return Err(Invalid::DisconnectReason);
        }
        // §3.14.2.2.2
        let raised = self.properties.get().is_some_and(|SessionExpiryInterval(seconds)| seconds != 0);
        if raised && session_expiry == 0 {
            return Err(Invalid::SessionExpiryRaised);
        }
        Ok(())
    }
}
