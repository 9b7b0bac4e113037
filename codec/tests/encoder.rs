//! A packet that its version cannot express is refused and nothing is written. Refused packets can
//! be encoded on purpose.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::*;

const ID: PacketIdentifier = PacketIdentifier::MIN;

fn refused(packet: impl Into<Packet>, version: Version, reason: EncodeError) {
    let packet = packet.into();
    let mut out = BytesMut::new();
    assert_eq!(packet.encode(version, &mut out), Err(reason), "{packet:?}");
    assert_eq!(packet.encoded_len(version), Err(reason), "{packet:?}");
    assert!(out.is_empty());
}

#[test]
fn features_of_5_0_are_refused_in_earlier_versions() {
    let user = || UserProperty::from_static("k", "v");
    let topic = TopicName::from_static("t");
    let properties = EncodeError::PropertiesBeforeVersion5;
    for version in [Version::V3_1, Version::V3_1_1] {
        refused(Connect::new(version, Utf8String::from_static("c")).with(user()), version, properties);
        let mut connect = Connect::new(version, Utf8String::from_static("c"));
        connect.will = Some(Will::new(topic.clone(), BinaryData::new()).with(WillDelayInterval(1)));
        refused(connect, version, properties);
        refused(ConnAck::accepted(false).with(user()), version, properties);
        refused(Publish::new(topic.clone(), "x").with(user()), version, properties);
        refused(PubAck::success(ID).with(user()), version, properties);
        refused(
            Subscribe::new(ID, Subscription::new(TopicFilter::from_static("a"), QoS::AtMostOnce))
                .with(user()),
            version,
            properties,
        );
        refused(SubAck::new(ID, SubAckReason::GrantedQoS0).with(user()), version, properties);
        refused(Unsubscribe::new(ID, TopicFilter::from_static("a")).with(user()), version, properties);
        refused(UnsubAck::new(ID, []).with(user()), version, properties);
        refused(Disconnect::normal().with(user()), version, properties);

        let reason = EncodeError::ReasonCodeBeforeVersion5;
        refused(ConnAck::refused(ConnectReason::Banned), version, reason);
        refused(PubAck::new(ID, PubAckReason::NotAuthorized), version, reason);
        refused(PubRec::new(ID, PubAckReason::NotAuthorized), version, reason);
        refused(PubRel::new(ID, PubRelReason::PacketIdentifierNotFound), version, reason);
        refused(PubComp::new(ID, PubRelReason::PacketIdentifierNotFound), version, reason);
        refused(SubAck::new(ID, SubAckReason::NotAuthorized), version, reason);
        refused(Disconnect::new(DisconnectReason::ServerBusy), version, reason);
        refused(
            UnsubAck::new(ID, [UnsubAckReason::Success]),
            version,
            EncodeError::UnsubAckPayloadBeforeVersion5,
        );
        let method = AuthenticationMethod::try_from("M").unwrap();
        refused(Auth::new(AuthReason::Success, method), version, EncodeError::AuthBeforeVersion5);
        let subscription = Subscription {
            no_local: true,
            ..Subscription::new(TopicFilter::from_static("a"), QoS::AtMostOnce)
        };
        refused(Subscribe::new(ID, subscription), version, EncodeError::SubscriptionOptionsBeforeVersion5);
    }
}

#[test]
fn violations_across_fields_are_refused() {
    let mut publish = Publish::new(TopicName::from_static("t"), "x");
    publish.topic = None;
    refused(publish.clone(), Version::V5, Misdeed::TopicNameMissing.into());
    refused(publish, Version::V3_1_1, Misdeed::TopicNameEmpty.into());
    let refusal = ConnAck { session_present: true, ..ConnAck::refused(ConnectReason::NotAuthorized) };
    refused(refusal, Version::V5, Misdeed::SessionPresentWithRefusal.into());
    let mut connect = Connect::new(Version::V3_1_1, Utf8String::new());
    connect.password = Some(BinaryData::from_static(b"p"));
    refused(connect.clone(), Version::V3_1_1, Misdeed::PasswordWithoutUserName.into());
    connect.password = None;
    connect.clean_start = false;
    refused(connect, Version::V3_1_1, Misdeed::ClientIdentifierMissing.into());
    let data = AuthenticationData::try_from("d").unwrap();
    let connect = Connect::new(Version::V5, Utf8String::new()).with(data);
    refused(connect, Version::V5, Misdeed::AuthenticationDataWithoutMethod.into());
    refused(UnsubAck::new(ID, []), Version::V5, Misdeed::UnsubAckEmpty.into());
    let mut auth = Auth::new(AuthReason::Success, AuthenticationMethod::try_from("M").unwrap());
    auth.properties.clear();
    refused(auth, Version::V5, Misdeed::AuthenticationMethodMissing.into());
    let shared = TopicFilter::from_static("$share/g/a");
    let no_local = Subscription { no_local: true, ..Subscription::new(shared, QoS::AtMostOnce) };
    refused(Subscribe::new(ID, no_local), Version::V5, Misdeed::NoLocalOnSharedSubscription.into());
    let ordinary = TopicFilter::new(Utf8String::from_static("$share/g"), Version::V3_1_1).unwrap();
    refused(Unsubscribe::new(ID, ordinary.clone()), Version::V5, Misdeed::SharedFilterMissing.into());
    refused(
        Subscribe::new(ID, Subscription::new(ordinary, QoS::AtMostOnce)),
        Version::V5,
        Misdeed::SharedFilterMissing.into(),
    );
}

#[test]
fn a_remaining_length_beyond_the_protocol_is_refused() {
    let topic = TopicName::from_static("t");
    let most = 268_435_455 - 3;
    let payload = Bytes::from(vec![0; most + 1]);
    let publish = Packet::from(Publish::new(topic.clone(), payload.slice(..most)));
    assert_eq!(publish.encoded_len(Version::V3_1_1), Ok(268_435_460));
    refused(Publish::new(topic, payload), Version::V3_1_1, EncodeError::TooLarge);
}

/// Tests of a receiver send packets that break rules; the decoder refuses each for the broken rule.
#[test]
fn refused_packets_can_be_encoded_unchecked() {
    let mut publish = Publish::new(TopicName::from_static("t"), "x");
    publish.topic = None;
    let no_local = Subscription {
        no_local: true,
        ..Subscription::new(TopicFilter::from_static("$share/g/a"), QoS::AtMostOnce)
    };
    let packets = [
        (Packet::from(publish), Misdeed::TopicNameMissing),
        (
            ConnAck { session_present: true, ..ConnAck::refused(ConnectReason::Banned) }.into(),
            Misdeed::SessionPresentWithRefusal,
        ),
        (Subscribe::new(ID, no_local).into(), Misdeed::NoLocalOnSharedSubscription),
        (UnsubAck::new(ID, []).into(), Misdeed::UnsubAckEmpty),
    ];
    for (packet, misdeed) in packets {
        let mut out = BytesMut::new();
        packet.encode_unchecked(Version::V5, &mut out).unwrap();
        assert_eq!(decode(&out.freeze(), Version::V5).map_err(|error| error.kind), Err(misdeed));
    }
}
