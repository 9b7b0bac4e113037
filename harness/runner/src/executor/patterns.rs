//! Patterns and fields that the executor makes itself.

use mqttspec_codec::PacketIdentifier;
use mqttspec_notation::{
    Field, Framing, Number, PacketPattern, PacketType, Radix, Span, Subscription, Test, Value, VersionMark,
};

/// A pattern that only names a packet type.
pub(crate) fn bare(packet_type: PacketType) -> PacketPattern {
    PacketPattern {
        span: Span::default(),
        packet_type,
        fields: Vec::new(),
        subscriptions: Vec::new(),
        reasons: None,
        patches: Vec::new(),
        framing: Framing::Own,
        conditions: Vec::new(),
    }
}

/// A PUBLISH with this topic and payload.
pub(crate) fn publish(topic: &Value, payload: Option<&Value>, fields: &[Field]) -> PacketPattern {
    let mut all = vec![field("topic", Test::Equal(topic.clone()))];
    if let Some(payload) = payload {
        all.push(field("payload", Test::Equal(payload.clone())));
    }
    all.extend(fields.iter().cloned());
    PacketPattern { fields: all, ..bare(PacketType::Publish) }
}

/// A Topic Filter without options.
pub(crate) fn filter(filter: Value) -> Subscription {
    Subscription { span: Span::default(), versions: VersionMark::default(), filter, options: Vec::new() }
}

pub(crate) fn field(name: &str, test: Test) -> Field {
    Field { span: Span::default(), versions: VersionMark::default(), name: name.to_owned(), test, live: None }
}

/// A field with this number.
pub(crate) fn equal(name: &str, value: u64) -> Field {
    field(name, Test::Equal(number(value)))
}

pub(crate) fn number(value: u64) -> Value {
    Value::Number(Number::decimal(value))
}

/// A Reason Code.
pub(crate) fn code(value: u8) -> Value {
    Value::Number(Number { value: value.into(), radix: Radix::Hexadecimal })
}

/// The field of a Packet Identifier.
pub(crate) fn identifier(id: PacketIdentifier) -> Field {
    equal("id", id.get().into())
}
