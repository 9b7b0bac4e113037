//! Converts a packet into the fields of a line.

use mqttspec_codec::{
    self as codec, HasProperties, Packet, PayloadFormatIndicator, Properties, Property, Version,
};

use crate::vocabulary::reason_name;
use crate::{Field, Number, PacketPattern, PacketType, Span, Subscription, Test, Text, Value, VersionMark};

/// The packet with every field that it has, in the order of the vocabulary. Reason Codes are
/// numbers.
#[must_use]
pub fn observe(packet: &Packet) -> PacketPattern {
    let mut seen = Seen::default();
    match packet {
        Packet::Connect(connect) => seen.connect(connect),
        Packet::ConnAck(ack) => {
            seen.flag("session_present", ack.session_present);
            seen.reason(ack.reason.into());
            seen.properties(&ack.properties);
        }
        Packet::Publish(publish) => seen.publish(publish),
        Packet::PubAck(ack) => seen.acknowledgement(ack.id, ack.reason.into(), &ack.properties),
        Packet::PubRec(ack) => seen.acknowledgement(ack.id, ack.reason.into(), &ack.properties),
        Packet::PubRel(ack) => seen.acknowledgement(ack.id, ack.reason.into(), &ack.properties),
        Packet::PubComp(ack) => seen.acknowledgement(ack.id, ack.reason.into(), &ack.properties),
        Packet::Subscribe(subscribe) => {
            seen.number("id", subscribe.id.get());
            seen.properties(&subscribe.properties);
            seen.subscriptions = subscribe.subscriptions.iter().map(subscription).collect();
        }
        Packet::SubAck(ack) => {
            seen.number("id", ack.id.get());
            seen.properties(&ack.properties);
            seen.reasons = Some(ack.reasons.iter().map(|reason| code(u8::from(*reason))).collect());
        }
        Packet::Unsubscribe(unsubscribe) => {
            seen.number("id", unsubscribe.id.get());
            seen.properties(&unsubscribe.properties);
            seen.subscriptions = unsubscribe.filters.iter().map(|filter| bare(filter.as_str())).collect();
        }
        Packet::UnsubAck(ack) => {
            seen.number("id", ack.id.get());
            seen.properties(&ack.properties);
            seen.reasons = Some(ack.reasons.iter().map(|reason| code(u8::from(*reason))).collect());
        }
        Packet::PingReq | Packet::PingResp => {}
        Packet::Disconnect(disconnect) => {
            seen.reason(disconnect.reason.into());
            seen.properties(&disconnect.properties);
        }
        Packet::Auth(auth) => {
            seen.reason(auth.reason.into());
            seen.properties(&auth.properties);
        }
    }
    PacketPattern {
        span: Span::default(),
        packet_type: packet.packet_type(),
        fields: seen.fields,
        subscriptions: seen.subscriptions,
        reasons: seen.reasons,
        patches: Vec::new(),
        conditions: Vec::new(),
    }
}

/// The fields of these properties.
#[must_use]
pub fn property_fields<P: HasProperties>(properties: &Properties<P>) -> Vec<Field> {
    let mut seen = Seen::default();
    seen.properties(properties);
    seen.fields
}

/// The packet as the notation prints it: with the names of Reason Codes, and without flags that are
/// 0, Reason Codes that the version does not have, and empty lists.
#[must_use]
pub fn line(packet: &Packet, version: Version) -> PacketPattern {
    let mut pattern = observe(packet);
    let packet_type = pattern.packet_type;
    let has_reason = version.is_5() || packet_type == PacketType::ConnAck;
    pattern.fields.retain(|field| match (field.name.as_str(), &field.test) {
        ("dup" | "qos" | "retain", Test::Equal(Value::Number(number))) => number.value != 0,
        ("payload", Test::Equal(Value::Bytes(payload))) => !payload.is_empty(),
        // These packets may omit it if it is 0 (5.0 §3.4.2.1, §3.14.2.1).
        ("reason", Test::Equal(Value::Number(number))) if packet_type != PacketType::ConnAck => {
            has_reason && number.value != 0
        }
        ("reason", _) => has_reason,
        _ => true,
    });
    let name = |test: &mut Test| {
        if let Test::Equal(Value::Number(number)) = test
            && let Some(name) =
                u8::try_from(number.value).ok().and_then(|code| reason_name(Some(packet_type), code))
        {
            *test = Test::Equal(Value::Word(name.to_owned()));
        }
    };
    pattern.fields.iter_mut().filter(|field| field.name == "reason").for_each(|field| name(&mut field.test));
    pattern.fields.iter_mut().for_each(readable);
    pattern.reasons.iter_mut().flatten().for_each(name);
    if pattern.reasons.as_ref().is_some_and(Vec::is_empty) {
        pattern.reasons = None;
    }
    pattern
}

/// Bytes that are a text are printed as one.
fn readable(field: &mut Field) {
    match &mut field.test {
        Test::Equal(Value::Fields(fields)) => {
            fields.retain(|field| {
                !matches!((field.name.as_str(), &field.test),
                    ("qos" | "retain", Test::Equal(Value::Number(number))) if number.value == 0)
            });
            fields.iter_mut().for_each(readable);
        }
        Test::Equal(value @ Value::Bytes(_)) => {
            if let Value::Bytes(bytes) = &*value
                && let Ok(text) = std::str::from_utf8(bytes)
                && !text.chars().any(char::is_control)
            {
                *value = Value::Text(Text::literal(text));
            }
        }
        _ => {}
    }
}

#[derive(Default)]
struct Seen {
    fields: Vec<Field>,
    subscriptions: Vec<Subscription>,
    reasons: Option<Vec<Test>>,
}

impl Seen {
    fn connect(&mut self, connect: &codec::Connect) {
        self.text("client_id", connect.client_id.as_str());
        self.flag("clean_start", connect.clean_start);
        self.number("keep_alive", connect.keep_alive);
        if let Some(name) = &connect.user_name {
            self.text("user_name", name.as_str());
        }
        if let Some(password) = &connect.password {
            self.bytes("password", password.as_bytes());
        }
        if let Some(will) = &connect.will {
            let mut inner = Seen::default();
            inner.text("topic", will.topic.as_str());
            inner.bytes("payload", will.payload.as_bytes());
            inner.number("qos", u8::from(will.qos));
            inner.flag("retain", will.retain);
            inner.properties(&will.properties);
            self.push("will", Value::Fields(inner.fields));
        }
        self.properties(&connect.properties);
    }

    fn publish(&mut self, publish: &codec::Publish) {
        if let Some(id) = publish.delivery.packet_identifier() {
            self.number("id", id.get());
        }
        self.flag("dup", publish.delivery.dup());
        self.number("qos", u8::from(publish.delivery.qos()));
        self.flag("retain", publish.retain);
        self.text("topic", publish.topic.as_ref().map_or("", codec::TopicName::as_str));
        self.bytes("payload", &publish.payload);
        self.properties(&publish.properties);
    }

    fn acknowledgement<P: HasProperties>(
        &mut self,
        id: codec::PacketIdentifier,
        reason: u8,
        properties: &Properties<P>,
    ) {
        self.number("id", id.get());
        self.reason(reason);
        self.properties(properties);
    }

    fn properties<P: HasProperties>(&mut self, properties: &Properties<P>) {
        for property in properties.iter() {
            self.property(&property);
        }
    }

    fn property(&mut self, property: &Property) {
        match property {
            Property::PayloadFormatIndicator(format) => {
                self.flag("payload_format", *format == PayloadFormatIndicator::Utf8);
            }
            Property::MessageExpiryInterval(interval) => self.number("message_expiry", interval.0),
            Property::ContentType(content_type) => self.text("content_type", content_type.0.as_str()),
            Property::ResponseTopic(topic) => self.text("response_topic", topic.0.as_str()),
            Property::CorrelationData(data) => self.bytes("correlation_data", data.0.as_bytes()),
            Property::SubscriptionIdentifier(id) => self.number("subscription_identifier", id.get()),
            Property::SessionExpiryInterval(interval) => self.number("session_expiry", interval.0),
            Property::AssignedClientIdentifier(id) => self.text("assigned_client_id", id.0.as_str()),
            Property::ServerKeepAlive(seconds) => self.number("server_keep_alive", seconds.0),
            Property::AuthenticationMethod(method) => self.text("authentication_method", method.0.as_str()),
            Property::AuthenticationData(data) => self.bytes("authentication_data", data.0.as_bytes()),
            Property::RequestProblemInformation(wanted) => self.flag("request_problem_information", wanted.0),
            Property::WillDelayInterval(interval) => self.number("will_delay", interval.0),
            Property::RequestResponseInformation(wanted) => {
                self.flag("request_response_information", wanted.0);
            }
            Property::ResponseInformation(text) => self.text("response_information", text.0.as_str()),
            Property::ServerReference(text) => self.text("server_reference", text.0.as_str()),
            Property::ReasonString(text) => self.text("reason_string", text.0.as_str()),
            Property::ReceiveMaximum(maximum) => self.number("receive_maximum", maximum.0.get()),
            Property::TopicAliasMaximum(maximum) => self.number("topic_alias_maximum", maximum.0),
            Property::TopicAlias(alias) => self.number("topic_alias", alias.0.get()),
            Property::MaximumQoS(maximum) => self.number("maximum_qos", u8::from(maximum.qos())),
            Property::RetainAvailable(available) => self.flag("retain_available", available.0),
            Property::UserProperty(property) => {
                let value = Value::Pair(text(property.name.as_str()), text(property.value.as_str()));
                self.push("user_property", value);
            }
            Property::MaximumPacketSize(size) => self.number("maximum_packet_size", size.0.get()),
            Property::WildcardSubscriptionAvailable(available) => {
                self.flag("wildcard_subscription_available", available.0);
            }
            Property::SubscriptionIdentifierAvailable(available) => {
                self.flag("subscription_identifier_available", available.0);
            }
            Property::SharedSubscriptionAvailable(available) => {
                self.flag("shared_subscription_available", available.0);
            }
        }
    }

    fn push(&mut self, name: &str, value: Value) {
        self.fields.push(field(name, value));
    }

    fn number(&mut self, name: &str, value: impl Into<u64>) {
        self.push(name, Value::Number(Number::decimal(value.into())));
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.number(name, value);
    }

    fn reason(&mut self, code: u8) {
        self.push("reason", Value::Number(Number::hexadecimal(code.into())));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.push(name, Value::Text(text(value)));
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.push(name, Value::Bytes(value.to_vec()));
    }
}

/// A field that has this value.
#[must_use]
pub fn field(name: &str, value: Value) -> Field {
    Field {
        span: Span::default(),
        versions: VersionMark::default(),
        name: name.to_owned(),
        test: Test::Equal(value),
        live: None,
    }
}

fn text(value: &str) -> Text {
    Text::literal(value)
}

fn code(value: u8) -> Test {
    Test::Equal(Value::Number(Number::hexadecimal(value.into())))
}

fn bare(filter: &str) -> Subscription {
    Subscription {
        span: Span::default(),
        versions: VersionMark::default(),
        filter: Value::Text(text(filter)),
        options: Vec::new(),
    }
}

fn subscription(subscription: &codec::Subscription) -> Subscription {
    let mut options = Seen::default();
    options.number("qos", u8::from(subscription.qos));
    // Options that are 0 are omitted, and 3.1.1 has only QoS.
    if subscription.no_local {
        options.flag("no_local", true);
    }
    if subscription.retain_as_published {
        options.flag("retain_as_published", true);
    }
    if subscription.retain_handling != codec::RetainHandling::SendAtSubscribe {
        options.number("retain_handling", subscription.retain_handling as u8);
    }
    Subscription { options: options.fields, ..bare(subscription.filter.as_str()) }
}
