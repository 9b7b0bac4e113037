//! Proptest strategies for packets of any version.
#![allow(dead_code, reason = "each test binary uses its part")]

use bytes::Bytes;
use mqttspec_codec::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(crate) fn text() -> impl Strategy<Value = Utf8String> {
    prop_oneof![
        8 => "[ -~]{0,12}",
        2 => "[^\u{0}]{0,8}",
        1 => "[a-z\u{feff}\u{80}-\u{10ffff}]{100,400}",
    ]
    .prop_map(|text: String| Utf8String::try_from(text).unwrap())
}

fn data() -> impl Strategy<Value = BinaryData> {
    prop_oneof![8 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 200..300)]
        .prop_map(|bytes| BinaryData::try_from(bytes).unwrap())
}

fn topic() -> impl Strategy<Value = TopicName> {
    prop_oneof![8 => "[a-c/$]{1,12}", 2 => "[^\u{0}+#]{1,8}", 1 => "[a-z]{120,140}"]
        .prop_map(|name: String| TopicName::try_from(name).unwrap())
}

fn filter(version: Version) -> impl Strategy<Value = TopicFilter> {
    let level = || prop_oneof![3 => "[a-c$]{0,3}", 1 => Just("+".to_owned())];
    (vec(level(), 1..5), any::<bool>(), option::weighted(0.2, "[a-z]{1,3}")).prop_map(
        move |(mut levels, multi, share)| {
            if multi {
                levels.push("#".to_owned());
            }
            let mut filter = levels.join("/");
            if filter.is_empty() {
                filter = "/".to_owned();
            }
            if let Some(share) = share {
                filter = format!("$share/{share}/{filter}");
            }
            TopicFilter::new(Utf8String::try_from(filter).unwrap(), version).unwrap()
        },
    )
}

fn id() -> impl Strategy<Value = PacketIdentifier> {
    (1..=u16::MAX).prop_map(|id| PacketIdentifier::new(id).unwrap())
}

fn one_of<T: Copy + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    (0..values.len()).prop_map(move |index| values[index])
}

fn qos() -> impl Strategy<Value = QoS> {
    one_of(&QoS::ALL)
}

/// Any of the 27 properties.
fn property() -> impl Strategy<Value = Property> {
    use std::num::{NonZeroU16, NonZeroU32};
    let nonzero = || (1..=u16::MAX).prop_map(|value| NonZeroU16::new(value).unwrap());
    let format = one_of(&[PayloadFormatIndicator::Unspecified, PayloadFormatIndicator::Utf8]);
    let maximum_qos = one_of(&[MaximumQoS::AtMostOnce, MaximumQoS::AtLeastOnce]);
    let subscription = (1..=268_435_455u32).prop_map(|value| SubscriptionIdentifier::new(value).unwrap());
    let numbers = prop_oneof![
        format.prop_map(Property::from),
        any::<u32>().prop_map(|value| MessageExpiryInterval(value).into()),
        subscription.prop_map(Property::from),
        any::<u32>().prop_map(|value| SessionExpiryInterval(value).into()),
        any::<u16>().prop_map(|value| ServerKeepAlive(value).into()),
        any::<bool>().prop_map(|value| RequestProblemInformation(value).into()),
        any::<u32>().prop_map(|value| WillDelayInterval(value).into()),
        any::<bool>().prop_map(|value| RequestResponseInformation(value).into()),
        nonzero().prop_map(|value| ReceiveMaximum(value).into()),
        any::<u16>().prop_map(|value| TopicAliasMaximum(value).into()),
        nonzero().prop_map(|value| TopicAlias(value).into()),
        maximum_qos.prop_map(Property::from),
        any::<bool>().prop_map(|value| RetainAvailable(value).into()),
        (1..=u32::MAX).prop_map(|value| MaximumPacketSize(NonZeroU32::new(value).unwrap()).into()),
        any::<bool>().prop_map(|value| WildcardSubscriptionAvailable(value).into()),
        any::<bool>().prop_map(|value| SubscriptionIdentifierAvailable(value).into()),
        any::<bool>().prop_map(|value| SharedSubscriptionAvailable(value).into()),
    ];
    let strings = prop_oneof![
        text().prop_map(|value| ContentType(value).into()),
        topic().prop_map(|value| ResponseTopic(value).into()),
        data().prop_map(|value| CorrelationData(value).into()),
        text().prop_map(|value| AssignedClientIdentifier(value).into()),
        text().prop_map(|value| AuthenticationMethod(value).into()),
        data().prop_map(|value| AuthenticationData(value).into()),
        text().prop_map(|value| ResponseInformation(value).into()),
        text().prop_map(|value| ServerReference(value).into()),
        text().prop_map(|value| ReasonString(value).into()),
        (text(), text()).prop_map(|(name, value)| UserProperty::new(name, value).into()),
    ];
    prop_oneof![numbers, strings]
}

/// A random selection of the properties that are allowed in a `P`; none before 5.0.
pub(crate) fn properties<P: HasProperties>(version: Version) -> impl Strategy<Value = Properties<P>> {
    vec(property(), 0..24).prop_map(move |candidates| {
        let mut properties = Properties::new();
        if version == Version::V5 {
            for candidate in candidates {
                let expected = match properties.try_push(candidate.clone()) {
                    Ok(()) => continue,
                    Err(misdeed) => misdeed,
                };
                assert!(matches!(expected, Misdeed::PropertyNotAllowed | Misdeed::PropertyRepeated));
            }
        }
        properties
    })
}

fn will(version: Version) -> impl Strategy<Value = Will> {
    (topic(), data(), qos(), any::<bool>(), properties(version)).prop_map(
        |(topic, payload, qos, retain, properties)| Will { topic, payload, qos, retain, properties },
    )
}

fn connect(version: Version) -> impl Strategy<Value = Packet> {
    let rest =
        (option::of(will(version)), option::of(text()), option::of(data()), properties::<Connect>(version));
    (any::<bool>(), any::<u16>(), text(), rest).prop_map(
        move |(clean_start, keep_alive, client_id, (will, user_name, password, mut properties))| {
            if properties.contains::<AuthenticationData>() && !properties.contains::<AuthenticationMethod>() {
                properties.remove::<AuthenticationData>();
            }
            let empty = client_id.is_empty();
            let client_id = match version {
                Version::V3_1 if empty || client_id.chars().count() > 23 => Utf8String::from_static("c"),
                _ => client_id,
            };
            Connect {
                version,
                clean_start: clean_start || (empty && version == Version::V3_1_1),
                keep_alive,
                client_id,
                will,
                password: password.filter(|_| version == Version::V5 || user_name.is_some()),
                user_name,
                properties,
            }
            .into()
        },
    )
}

fn connack(version: Version) -> impl Strategy<Value = Packet> {
    (any::<bool>(), one_of(ConnectReason::ALL), properties(version)).prop_map(
        move |(session_present, reason, properties)| {
            let reason = match reason.return_code() {
                None if version != Version::V5 => ConnectReason::NotAuthorized,
                _ => reason,
            };
            ConnAck { session_present: session_present && !reason.is_failure(), reason, properties }.into()
        },
    )
}

fn delivery() -> impl Strategy<Value = Delivery> {
    prop_oneof![
        Just(Delivery::AtMostOnce),
        (id(), any::<bool>()).prop_map(|(id, dup)| Delivery::AtLeastOnce { id, dup }),
        (id(), any::<bool>()).prop_map(|(id, dup)| Delivery::ExactlyOnce { id, dup }),
    ]
}

fn publish(version: Version) -> impl Strategy<Value = Packet> {
    let payload = prop_oneof![
        8 => vec(any::<u8>(), 0..40),
        1 => vec(any::<u8>(), 100..200),
        1 => (16_300..16_500usize).prop_map(|length| vec![0xA5; length]),
    ];
    (topic(), any::<bool>(), delivery(), any::<bool>(), properties::<Publish>(version), payload).prop_map(
        |(topic, by_alias, delivery, retain, properties, payload)| {
            let topic = Some(topic).filter(|_| !by_alias || !properties.contains::<TopicAlias>());
            Publish { topic, delivery, retain, properties, payload: Bytes::from(payload) }.into()
        },
    )
}

macro_rules! acknowledgement {
    ($name:ident, $type:ident, $reason:ident) => {
        fn $name(version: Version) -> impl Strategy<Value = Packet> {
            (id(), one_of($reason::ALL), properties(version)).prop_map(move |(id, reason, properties)| {
                let reason = if version == Version::V5 { reason } else { $reason::Success };
                $type { id, reason, properties }.into()
            })
        }
    };
}

acknowledgement!(puback, PubAck, PubAckReason);
acknowledgement!(pubrec, PubRec, PubAckReason);
acknowledgement!(pubrel, PubRel, PubRelReason);
acknowledgement!(pubcomp, PubComp, PubRelReason);

fn subscription(version: Version) -> impl Strategy<Value = Subscription> {
    let handling =
        one_of(&[RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    (filter(version), qos(), any::<bool>(), any::<bool>(), handling).prop_map(
        move |(filter, qos, no_local, retain_as_published, retain_handling)| {
            if version != Version::V5 {
                return Subscription::new(filter, qos);
            }
            let no_local = no_local && !filter.is_shared();
            Subscription { filter, qos, no_local, retain_as_published, retain_handling }
        },
    )
}

fn subscribe(version: Version) -> impl Strategy<Value = Packet> {
    (id(), properties(version), vec(subscription(version), 1..6)).prop_map(
        |(id, properties, subscriptions)| {
            Subscribe { id, properties, subscriptions: subscriptions.try_into().unwrap() }.into()
        },
    )
}

fn suback(version: Version) -> impl Strategy<Value = Packet> {
    let before_5: &[SubAckReason] = &[
        SubAckReason::GrantedQoS0,
        SubAckReason::GrantedQoS1,
        SubAckReason::GrantedQoS2,
        SubAckReason::UnspecifiedError,
    ];
    let reasons = if version == Version::V5 { SubAckReason::ALL } else { before_5 };
    (id(), properties(version), vec(one_of(reasons), 1..6)).prop_map(|(id, properties, reasons)| {
        SubAck { id, properties, reasons: reasons.try_into().unwrap() }.into()
    })
}

fn unsubscribe(version: Version) -> impl Strategy<Value = Packet> {
    (id(), properties(version), vec(filter(version), 1..6)).prop_map(|(id, properties, filters)| {
        Unsubscribe { id, properties, filters: filters.try_into().unwrap() }.into()
    })
}

fn unsuback(version: Version) -> impl Strategy<Value = Packet> {
    (id(), properties(version), vec(one_of(UnsubAckReason::ALL), 1..6)).prop_map(
        move |(id, properties, mut reasons)| {
            if version != Version::V5 {
                reasons.clear();
            }
            UnsubAck { id, properties, reasons }.into()
        },
    )
}

fn disconnect(version: Version) -> impl Strategy<Value = Packet> {
    (one_of(DisconnectReason::ALL), properties(version)).prop_map(move |(reason, properties)| {
        let reason = if version == Version::V5 { reason } else { DisconnectReason::NormalDisconnection };
        Disconnect { reason, properties }.into()
    })
}

fn auth() -> impl Strategy<Value = Packet> {
    (one_of(AuthReason::ALL), properties::<Auth>(Version::V5), text()).prop_map(
        |(reason, properties, method)| {
            let mut properties = properties;
            properties.set(AuthenticationMethod(method));
            Auth { reason, properties }.into()
        },
    )
}

/// Any packet of one version.
pub(crate) fn packet(version: Version) -> BoxedStrategy<Packet> {
    let all = prop_oneof![
        connect(version),
        connack(version),
        publish(version),
        puback(version),
        pubrec(version),
        pubrel(version),
        pubcomp(version),
        subscribe(version),
        suback(version),
        unsubscribe(version),
    ];
    let others =
        prop_oneof![unsuback(version), Just(Packet::PingReq), Just(Packet::PingResp), disconnect(version),];
    if version == Version::V5 {
        prop_oneof![10 => all, 4 => others, 1 => auth()].boxed()
    } else {
        prop_oneof![10 => all, 4 => others].boxed()
    }
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    one_of(&Version::ALL)
}
