//! Builds the packet that a line sends.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqttspec_codec::{
    self as codec, AssignedClientIdentifier, Auth, AuthReason, AuthenticationData, AuthenticationMethod,
    BinaryData, ConnAck, Connect, ConnectReason, ContentType, CorrelationData, Delivery, Disconnect,
    DisconnectReason, HasProperties, MaximumPacketSize, MaximumQoS, MessageExpiryInterval, NonEmpty, Packet,
    PacketIdentifier, PayloadFormatIndicator, Properties, Property, PubAck, PubAckReason, PubComp, PubRec,
    PubRel, PubRelReason, Publish, QoS, ReasonString, ReceiveMaximum, RequestProblemInformation,
    RequestResponseInformation, ResponseInformation, ResponseTopic, RetainAvailable, RetainHandling,
    ServerKeepAlive, ServerReference, SessionExpiryInterval, SharedSubscriptionAvailable, SubAck,
    SubAckReason, Subscribe, SubscriptionIdentifier, SubscriptionIdentifierAvailable, TopicAlias,
    TopicAliasMaximum, TopicFilter, TopicName, UnsubAck, UnsubAckReason, Unsubscribe, UserProperty,
    Utf8String, Version, WildcardSubscriptionAvailable, Will, WillDelayInterval,
};

use super::bindings::{Bindings, Unknown, as_bytes, as_text};
use super::{scram, words};
use crate::vocabulary::reason_code;
use crate::{Field, Name, PacketPattern, PacketType, Subscription, Test, Value};

/// Why a line cannot be sent as a packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A variable has no value.
    #[error("`${0}` has no value here")]
    Unknown(Name),
    /// The packet cannot hold this value. A malformed packet needs `with` or `raw`.
    #[error("{packet} cannot hold {field}={value}")]
    Value {
        /// The packet.
        packet: &'static str,
        /// The field.
        field: Name,
        /// The value as written.
        value: String,
    },
    /// The packet does not have this field.
    #[error("{packet} has no {field} in MQTT {version}")]
    Field {
        /// The packet.
        packet: &'static str,
        /// The field.
        field: Name,
        /// The version of the run.
        version: Version,
    },
    /// A SCRAM message that has no predecessor.
    #[error("`{{scram={message}}}` cannot be computed: {reason}")]
    Scram {
        /// The message.
        message: Name,
        /// What is missing.
        reason: &'static str,
    },
    /// A required field is missing.
    #[error("{packet} needs {field}")]
    Missing {
        /// The packet.
        packet: &'static str,
        /// The field.
        field: &'static str,
    },
}

impl From<scram::NotComputed> for BuildError {
    fn from(error: scram::NotComputed) -> Self {
        match error {
            scram::NotComputed::Unknown(unknown) => unknown.into(),
            scram::NotComputed::Message { message, reason } => BuildError::Scram { message, reason },
        }
    }
}

impl From<Unknown> for BuildError {
    fn from(unknown: Unknown) -> Self {
        BuildError::Unknown(unknown.0)
    }
}

/// The default values of a line.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// The Client Identifier of CONNECT: the host's name.
    pub client_id: &'a str,
    /// The Packet Identifier of a packet that needs one. It must be free.
    pub id: PacketIdentifier,
    /// The number of the host. Each host has SCRAM exchanges of its own.
    pub host: u16,
}

/// Builds the packet that a line sends. A capture without a value in `id` takes [`Defaults::id`].
///
/// Other defaults: Clean Start 1, Keep Alive 0, QoS 0, an empty payload, Reason Codes of success.
///
/// # Errors
/// If the values do not form a packet of this type.
pub fn build(
    pattern: &PacketPattern,
    version: Version,
    defaults: Defaults<'_>,
    bindings: &mut Bindings,
) -> Result<Packet, BuildError> {
    let computed = scram::computed(pattern, version, defaults.host, bindings)?;
    let pattern = computed.as_ref().unwrap_or(pattern);
    let mut builder = Builder { packet: pattern.packet_type, version, defaults, bindings };
    let fields: Vec<&Field> =
        pattern.fields.iter().filter(|field| field.versions.applies_to(version)).collect();
    builder.packet(pattern, &fields)
}

struct Builder<'a> {
    packet: PacketType,
    version: Version,
    defaults: Defaults<'a>,
    bindings: &'a mut Bindings,
}

/// Fields that are not properties.
const FIXED: [&str; 14] = [
    "id",
    "client_id",
    "clean_start",
    "keep_alive",
    "user_name",
    "password",
    "will",
    "session_present",
    "reason",
    "dup",
    "qos",
    "retain",
    "topic",
    "payload",
];

impl Builder<'_> {
    fn packet(&mut self, pattern: &PacketPattern, fields: &[&Field]) -> Result<Packet, BuildError> {
        Ok(match pattern.packet_type {
            PacketType::Connect => self.connect(fields)?.into(),
            PacketType::ConnAck => ConnAck {
                session_present: self.flag(fields, "session_present")?.unwrap_or(false),
                reason: self.reason(fields, ConnectReason::Success)?,
                properties: self.properties(fields)?,
            }
            .into(),
            PacketType::Publish => self.publish(fields)?.into(),
            PacketType::PubAck => PubAck {
                id: self.id(fields)?,
                reason: self.reason(fields, PubAckReason::Success)?,
                properties: self.properties(fields)?,
            }
            .into(),
            PacketType::PubRec => PubRec {
                id: self.id(fields)?,
                reason: self.reason(fields, PubAckReason::Success)?,
                properties: self.properties(fields)?,
            }
            .into(),
            PacketType::PubRel => PubRel {
                id: self.id(fields)?,
                reason: self.reason(fields, PubRelReason::Success)?,
                properties: self.properties(fields)?,
            }
            .into(),
            PacketType::PubComp => PubComp {
                id: self.id(fields)?,
                reason: self.reason(fields, PubRelReason::Success)?,
                properties: self.properties(fields)?,
            }
            .into(),
            PacketType::Subscribe => Subscribe {
                id: self.id(fields)?,
                properties: self.properties(fields)?,
                subscriptions: self.subscriptions(&pattern.subscriptions)?,
            }
            .into(),
            PacketType::SubAck => {
                let reasons = self.reasons(pattern, SubAckReason::try_from)?;
                let reasons = NonEmpty::try_from(reasons).map_err(|_| self.missing("Reason Codes"))?;
                SubAck { id: self.id(fields)?, properties: self.properties(fields)?, reasons }.into()
            }
            PacketType::Unsubscribe => Unsubscribe {
                id: self.id(fields)?,
                properties: self.properties(fields)?,
                filters: self.filters(&pattern.subscriptions)?,
            }
            .into(),
            PacketType::UnsubAck => {
                let reasons = if self.version.is_5() {
                    self.reasons(pattern, UnsubAckReason::try_from)?
                } else {
                    Vec::new()
                };
                UnsubAck { id: self.id(fields)?, properties: self.properties(fields)?, reasons }.into()
            }
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Disconnect {
                reason: self.reason(fields, DisconnectReason::NormalDisconnection)?,
                properties: self.properties(fields)?,
            }
            .into(),
            PacketType::Auth => Auth {
                reason: self.reason(fields, AuthReason::Success)?,
                properties: self.properties(fields)?,
            }
            .into(),
        })
    }

    fn connect(&mut self, fields: &[&Field]) -> Result<Connect, BuildError> {
        let client_id = match find(fields, "client_id").map(|field| &field.test) {
            None => self.defaults.client_id.to_owned(),
            Some(Test::Absent) => String::new(),
            Some(_) => self.text(fields, "client_id")?.unwrap_or_default(),
        };
        let will = match find(fields, "will").map(|field| &field.test) {
            Some(Test::Equal(Value::Fields(inner))) => Some(self.will(&inner.clone())?),
            _ => None,
        };
        Ok(Connect {
            version: self.version,
            clean_start: self.flag(fields, "clean_start")?.unwrap_or(true),
            keep_alive: self.number(fields, "keep_alive")?.unwrap_or(0),
            client_id: self.string("client_id", &client_id)?,
            will,
            user_name: self
                .text(fields, "user_name")?
                .map(|name| self.string("user_name", &name))
                .transpose()?,
            password: self
                .bytes(fields, "password")?
                .map(|bytes| self.binary("password", bytes))
                .transpose()?,
            properties: self.properties(fields)?,
        })
    }

    fn will(&mut self, inner: &[Field]) -> Result<Will, BuildError> {
        let version = self.version;
        let fields: Vec<&Field> = inner.iter().filter(|field| field.versions.applies_to(version)).collect();
        let topic = self.text(&fields, "topic")?.ok_or_else(|| self.missing("will={topic=…}"))?;
        let payload = self.bytes(&fields, "payload")?.unwrap_or_default();
        Ok(Will {
            topic: self.topic("topic", &topic)?,
            payload: self.binary("payload", payload)?,
            qos: self.qos(&fields)?,
            retain: self.flag(&fields, "retain")?.unwrap_or(false),
            properties: self.properties(&fields)?,
        })
    }

    fn publish(&mut self, fields: &[&Field]) -> Result<Publish, BuildError> {
        let topic = match find(fields, "topic").map(|field| &field.test) {
            Some(Test::Absent) => None,
            None => return Err(self.missing("topic")),
            Some(_) => self.text(fields, "topic")?.filter(|topic| !topic.is_empty()),
        };
        let dup = self.flag(fields, "dup")?.unwrap_or(false);
        let delivery = match self.qos(fields)? {
            QoS::AtMostOnce if dup => return Err(self.invalid("dup", "1 with QoS 0")),
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id: self.id(fields)?, dup },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id: self.id(fields)?, dup },
        };
        Ok(Publish {
            topic: topic.map(|topic| self.topic("topic", &topic)).transpose()?,
            delivery,
            retain: self.flag(fields, "retain")?.unwrap_or(false),
            properties: self.properties(fields)?,
            payload: Bytes::from(self.bytes(fields, "payload")?.unwrap_or_default()),
        })
    }

    fn subscriptions(
        &self,
        subscriptions: &[Subscription],
    ) -> Result<NonEmpty<codec::Subscription>, BuildError> {
        let mut built = Vec::new();
        for subscription in self.counting(subscriptions) {
            let version = self.version;
            let options: Vec<&Field> =
                subscription.options.iter().filter(|option| option.versions.applies_to(version)).collect();
            let handling = self.number::<u8>(&options, "retain_handling")?.unwrap_or(0);
            built.push(codec::Subscription {
                filter: self.filter(&subscription.filter)?,
                qos: self.qos(&options)?,
                no_local: self.flag(&options, "no_local")?.unwrap_or(false),
                retain_as_published: self.flag(&options, "retain_as_published")?.unwrap_or(false),
                retain_handling: RetainHandling::from_bits(handling)
                    .ok_or_else(|| self.invalid("retain_handling", &handling.to_string()))?,
            });
        }
        NonEmpty::try_from(built).map_err(|_| self.missing("a Topic Filter"))
    }

    fn filters(&self, subscriptions: &[Subscription]) -> Result<NonEmpty<TopicFilter>, BuildError> {
        let filters: Vec<TopicFilter> = self
            .counting(subscriptions)
            .map(|subscription| self.filter(&subscription.filter))
            .collect::<Result<_, _>>()?;
        NonEmpty::try_from(filters).map_err(|_| self.missing("a Topic Filter"))
    }

    fn counting<'s>(
        &self,
        subscriptions: &'s [Subscription],
    ) -> impl Iterator<Item = &'s Subscription> + use<'s> {
        let version = self.version;
        subscriptions.iter().filter(move |subscription| subscription.versions.applies_to(version))
    }

    fn filter(&self, filter: &Value) -> Result<TopicFilter, BuildError> {
        let text = as_text(&self.bindings.resolve(filter)?).unwrap_or_default();
        TopicFilter::try_from(text.as_str()).map_err(|_| self.invalid("filter", &text))
    }

    fn reasons<R, E>(
        &self,
        pattern: &PacketPattern,
        from_code: impl Fn(u8) -> Result<R, E>,
    ) -> Result<Vec<R>, BuildError> {
        let mut reasons = Vec::new();
        for test in pattern.reasons.iter().flatten() {
            let Test::Equal(value) = test else { return Err(self.missing("definite Reason Codes")) };
            let value = self.bindings.resolve(value)?;
            let code = self.code(&value).and_then(|code| from_code(code).ok());
            reasons.push(code.ok_or_else(|| self.invalid("reason", &words(&value)))?);
        }
        Ok(reasons)
    }

    fn code(&self, value: &Value) -> Option<u8> {
        match value {
            Value::Number(number) => u8::try_from(number.value).ok(),
            Value::Word(word) => reason_code(Some(self.packet), word),
            _ => None,
        }
    }

    fn reason<R: TryFrom<u8>>(&self, fields: &[&Field], default: R) -> Result<R, BuildError> {
        let Some(value) = self.value(fields, "reason")? else { return Ok(default) };
        let reason = self.code(&value).and_then(|code| R::try_from(code).ok());
        reason.ok_or_else(|| self.invalid("reason", &words(&value)))
    }

    /// The Packet Identifier; a capture without a value takes a free one.
    fn id(&mut self, fields: &[&Field]) -> Result<PacketIdentifier, BuildError> {
        match find(fields, "id").map(|field| &field.test) {
            Some(Test::Equal(Value::Capture(name))) if self.bindings.get(name).is_none() => {
                let id = self.defaults.id;
                let number = crate::Number::decimal(id.get().into());
                self.bindings.bind(name, Value::Number(number));
                Ok(id)
            }
            None => Ok(self.defaults.id),
            Some(_) => {
                let id: Option<u16> = self.number(fields, "id")?;
                id.and_then(PacketIdentifier::new).ok_or_else(|| self.invalid("id", "0"))
            }
        }
    }

    fn qos(&self, fields: &[&Field]) -> Result<QoS, BuildError> {
        let qos: u8 = self.number(fields, "qos")?.unwrap_or(0);
        QoS::try_from(qos).map_err(|_| self.invalid("qos", &qos.to_string()))
    }

    fn value(&self, fields: &[&Field], name: &str) -> Result<Option<Value>, BuildError> {
        match find(fields, name).map(|field| &field.test) {
            Some(Test::Equal(value)) => Ok(Some(self.bindings.resolve(value)?)),
            _ => Ok(None),
        }
    }

    fn number<N: TryFrom<u64>>(&self, fields: &[&Field], name: &str) -> Result<Option<N>, BuildError> {
        let Some(value) = self.value(fields, name)? else { return Ok(None) };
        self.as_number(name, &value).map(Some)
    }

    fn as_number<N: TryFrom<u64>>(&self, name: &str, value: &Value) -> Result<N, BuildError> {
        let number = match value {
            Value::Number(number) => Some(number.value),
            other => as_text(other).and_then(|text| text.parse().ok()),
        };
        number.and_then(|number| N::try_from(number).ok()).ok_or_else(|| self.invalid(name, &words(value)))
    }

    fn flag(&self, fields: &[&Field], name: &str) -> Result<Option<bool>, BuildError> {
        match self.number::<u8>(fields, name)? {
            None => Ok(None),
            Some(flag @ (0 | 1)) => Ok(Some(flag == 1)),
            Some(other) => Err(self.invalid(name, &other.to_string())),
        }
    }

    fn text(&self, fields: &[&Field], name: &str) -> Result<Option<String>, BuildError> {
        let Some(value) = self.value(fields, name)? else { return Ok(None) };
        as_text(&value).ok_or_else(|| self.invalid(name, &words(&value))).map(Some)
    }

    fn bytes(&self, fields: &[&Field], name: &str) -> Result<Option<Vec<u8>>, BuildError> {
        let Some(value) = self.value(fields, name)? else { return Ok(None) };
        as_bytes(&value).ok_or_else(|| self.invalid(name, &words(&value))).map(Some)
    }

    fn string(&self, name: &str, text: &str) -> Result<Utf8String, BuildError> {
        Utf8String::try_from(text).map_err(|_| self.invalid(name, text))
    }

    fn topic(&self, name: &str, text: &str) -> Result<TopicName, BuildError> {
        TopicName::try_from(text).map_err(|_| self.invalid(name, text))
    }

    fn binary(&self, name: &str, bytes: Vec<u8>) -> Result<BinaryData, BuildError> {
        let shown = format!("{} bytes", bytes.len());
        BinaryData::try_from(bytes).map_err(|_| self.invalid(name, &shown))
    }

    fn properties<P: HasProperties>(&self, fields: &[&Field]) -> Result<Properties<P>, BuildError> {
        let mut properties = Properties::new();
        for field in fields.iter().filter(|field| !FIXED.contains(&field.name.as_str())) {
            let Test::Equal(value) = &field.test else { continue };
            let value = self.bindings.resolve(value)?;
            let property = if self.version.is_5() { self.property(&field.name, &value)? } else { None };
            let refused = || BuildError::Field {
                packet: self.packet.name(),
                field: field.name.clone(),
                version: self.version,
            };
            properties.try_push(property.ok_or_else(refused)?).map_err(|_| refused())?;
        }
        Ok(properties)
    }

    fn property(&self, name: &str, value: &Value) -> Result<Option<Property>, BuildError> {
        let invalid = || self.invalid(name, &words(value));
        let flag = || match self.as_number::<u8>(name, value)? {
            flag @ (0 | 1) => Ok(flag == 1),
            _ => Err(invalid()),
        };
        let four = || self.as_number::<u32>(name, value);
        let two = || self.as_number::<u16>(name, value);
        let text = || self.string(name, &as_text(value).ok_or_else(invalid)?);
        let binary = || self.binary(name, as_bytes(value).ok_or_else(invalid)?);
        Ok(Some(match name {
            "payload_format" => {
                if flag()? { PayloadFormatIndicator::Utf8 } else { PayloadFormatIndicator::Unspecified }
                    .into()
            }
            "message_expiry" => MessageExpiryInterval(four()?).into(),
            "content_type" => ContentType(text()?).into(),
            "response_topic" => ResponseTopic(self.topic(name, &as_text(value).ok_or_else(invalid)?)?).into(),
            "correlation_data" => CorrelationData(binary()?).into(),
            "subscription_identifier" => SubscriptionIdentifier::new(four()?).ok_or_else(invalid)?.into(),
            "session_expiry" => SessionExpiryInterval(four()?).into(),
            "assigned_client_id" => AssignedClientIdentifier(text()?).into(),
            "server_keep_alive" => ServerKeepAlive(two()?).into(),
            "authentication_method" => AuthenticationMethod(text()?).into(),
            "authentication_data" => AuthenticationData(binary()?).into(),
            "request_problem_information" => RequestProblemInformation(flag()?).into(),
            "will_delay" => WillDelayInterval(four()?).into(),
            "request_response_information" => RequestResponseInformation(flag()?).into(),
            "response_information" => ResponseInformation(text()?).into(),
            "server_reference" => ServerReference(text()?).into(),
            "reason_string" => ReasonString(text()?).into(),
            "receive_maximum" => ReceiveMaximum(NonZeroU16::new(two()?).ok_or_else(invalid)?).into(),
            "topic_alias_maximum" => TopicAliasMaximum(two()?).into(),
            "topic_alias" => TopicAlias(NonZeroU16::new(two()?).ok_or_else(invalid)?).into(),
            "maximum_qos" => {
                let qos = QoS::try_from(self.as_number::<u8>(name, value)?).map_err(|_| invalid())?;
                MaximumQoS::new(qos).ok_or_else(invalid)?.into()
            }
            "retain_available" => RetainAvailable(flag()?).into(),
            "maximum_packet_size" => MaximumPacketSize(NonZeroU32::new(four()?).ok_or_else(invalid)?).into(),
            "wildcard_subscription_available" => WildcardSubscriptionAvailable(flag()?).into(),
            "subscription_identifier_available" => SubscriptionIdentifierAvailable(flag()?).into(),
            "shared_subscription_available" => SharedSubscriptionAvailable(flag()?).into(),
            "user_property" => {
                let Value::Pair(key, value) = value else { return Err(invalid()) };
                let key = self.string(name, key.as_literal().unwrap_or_default())?;
                let value = self.string(name, value.as_literal().unwrap_or_default())?;
                UserProperty::new(key, value).into()
            }
            _ => return Ok(None),
        }))
    }

    fn missing(&self, field: &'static str) -> BuildError {
        BuildError::Missing { packet: self.packet.name(), field }
    }

    fn invalid(&self, field: &str, value: &str) -> BuildError {
        BuildError::Value { packet: self.packet.name(), field: field.to_owned(), value: value.to_owned() }
    }
}

fn find<'f>(fields: &[&'f Field], name: &str) -> Option<&'f Field> {
    fields.iter().find(|field| field.name == name).copied()
}
