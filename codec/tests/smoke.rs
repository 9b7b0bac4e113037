//! Encodes and decodes one packet of each kind.

#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

use bytes::{Bytes, BytesMut};
use mqttspec_codec::*;

fn there_and_back(packet: impl Into<Packet>, version: Version, wire: &[u8]) {
    let packet = packet.into();
    let mut out = BytesMut::new();
    packet.encode(version, &mut out).unwrap();
    assert_eq!(out, wire, "{packet:?}");
    assert_eq!(packet.encoded_len(version).unwrap(), wire.len());
    assert_eq!(decode(&Bytes::copy_from_slice(wire), version).unwrap(), packet);
    let (end, role) = if packet.packet_type().may_be_sent_by(Role::Client, version) {
        (Role::Server, Role::Client)
    } else {
        (Role::Client, Role::Server)
    };
    assert_eq!(end.peer(), role);
    let mut decoder = Decoder::new(end);
    decoder.set_version(version);
    for split in 0..out.len() {
        let mut buffer = BytesMut::from(&wire[..split]);
        assert_eq!(decoder.decode(&mut buffer).unwrap(), None);
        buffer.extend_from_slice(&wire[split..]);
        buffer.extend_from_slice(b"\xC0");
        assert_eq!(decoder.decode(&mut buffer).unwrap().as_ref(), Some(&packet));
        assert_eq!(buffer, b"\xC0"[..]);
    }
}

const ID: PacketIdentifier = PacketIdentifier::MIN;

#[test]
fn connect_of_each_version() {
    for (version, wire) in [
        (Version::V3_1, &b"\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x01a"[..]),
        (Version::V3_1_1, b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x3C\x00\x01a"),
        (Version::V5, b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x01a"),
    ] {
        there_and_back(Connect::new(version, Utf8String::from_static("a")), version, wire);
    }
}

#[test]
fn connect_with_everything() {
    let mut connect = Connect::new(Version::V5, Utf8String::from_static("c"))
        .with(SessionExpiryInterval(1))
        .with(UserProperty::from_static("k", "v"));
    connect.will = Some(Will {
        qos: QoS::AtLeastOnce,
        retain: true,
        ..Will::new(TopicName::from_static("w"), BinaryData::from_static(b"p")).with(WillDelayInterval(2))
    });
    connect.user_name = Some(Utf8String::from_static("u"));
    connect.password = Some(BinaryData::from_static(b"s"));
    there_and_back(
        connect,
        Version::V5,
        b"\x10\x2C\x00\x04MQTT\x05\xEE\x00\x3C\x0C\x11\x00\x00\x00\x01\x26\x00\x01k\x00\x01v\x00\x01c\
          \x05\x18\x00\x00\x00\x02\x00\x01w\x00\x01p\x00\x01u\x00\x01s",
    );
}

#[test]
fn publish_of_each_qos() {
    let publish = Publish::new(TopicName::from_static("t"), &b"hi"[..]);
    there_and_back(publish.clone(), Version::V3_1_1, b"\x30\x05\x00\x01thi");
    there_and_back(publish.clone().at_least_once(ID), Version::V3_1_1, b"\x32\x07\x00\x01t\x00\x01hi");
    there_and_back(
        publish.clone().exactly_once(ID).retained(),
        Version::V5,
        b"\x35\x08\x00\x01t\x00\x01\x00hi",
    );
    let mut alias = publish.with(TopicAlias(std::num::NonZeroU16::MIN));
    alias.topic = None;
    there_and_back(alias, Version::V5, b"\x30\x08\x00\x00\x03\x23\x00\x01hi");
}

#[test]
fn acknowledgements_in_all_lengths() {
    there_and_back(PubAck::success(ID), Version::V3_1_1, b"\x40\x02\x00\x01");
    there_and_back(PubRec::success(ID), Version::V5, b"\x50\x02\x00\x01");
    there_and_back(
        PubRel::new(ID, PubRelReason::PacketIdentifierNotFound),
        Version::V5,
        b"\x62\x03\x00\x01\x92",
    );
    let reason = ReasonString::try_from("no").unwrap();
    there_and_back(PubComp::success(ID).with(reason), Version::V5, b"\x70\x09\x00\x01\x00\x05\x1F\x00\x02no");
}

#[test]
fn subscribing_and_unsubscribing() {
    let filter = TopicFilter::from_static("a/+");
    let subscription = Subscription { no_local: true, ..Subscription::new(filter.clone(), QoS::ExactlyOnce) };
    let subscribe = Subscribe::new(ID, subscription).with(SubscriptionIdentifier::MIN);
    there_and_back(subscribe, Version::V5, b"\x82\x0B\x00\x01\x02\x0B\x01\x00\x03a/+\x06");
    there_and_back(Unsubscribe::new(ID, filter), Version::V3_1_1, b"\xA2\x07\x00\x01\x00\x03a/+");
    there_and_back(SubAck::new(ID, [SubAckReason::GrantedQoS1]), Version::V3_1_1, b"\x90\x03\x00\x01\x01");
    there_and_back(UnsubAck::new(ID, []), Version::V3_1_1, b"\xB0\x02\x00\x01");
    there_and_back(UnsubAck::new(ID, [UnsubAckReason::Success]), Version::V5, b"\xB0\x04\x00\x01\x00\x00");
}

#[test]
fn other_packets() {
    there_and_back(ConnAck::refused(ConnectReason::NotAuthorized), Version::V3_1_1, b"\x20\x02\x00\x05");
    there_and_back(
        ConnAck::accepted(true).with(MaximumQoS::AtMostOnce),
        Version::V5,
        b"\x20\x05\x01\x00\x02\x24\x00",
    );
    there_and_back(Packet::PingReq, Version::V5, b"\xC0\x00");
    there_and_back(Packet::PingResp, Version::V3_1_1, b"\xD0\x00");
    there_and_back(Disconnect::normal(), Version::V5, b"\xE0\x00");
    there_and_back(
        Disconnect::new(DisconnectReason::DisconnectWithWillMessage),
        Version::V5,
        b"\xE0\x01\x04",
    );
    let method = AuthenticationMethod::try_from("M").unwrap();
    there_and_back(
        Auth::new(AuthReason::ContinueAuthentication, method),
        Version::V5,
        b"\xF0\x06\x18\x04\x15\x00\x01M",
    );
}

#[test]
fn properties_can_be_changed() {
    let mut properties = Properties::<Publish>::new();
    properties.set(MessageExpiryInterval(7));
    properties.push(UserProperty::from_static("a", "1"));
    properties.push(UserProperty::from_static("a", "2"));
    properties.set(MessageExpiryInterval(6));
    assert_eq!(properties.get(), Some(MessageExpiryInterval(6)));
    assert_eq!(properties.get_all::<UserProperty>().count(), 2);
    assert!(properties.remove::<UserProperty>());
    assert_eq!(properties.as_bytes(), [2, 0, 0, 0, 6]);
    assert_eq!(properties.try_push(MaximumQoS::AtMostOnce), Err(Misdeed::PropertyNotAllowed));
    assert_eq!(properties.try_push(MessageExpiryInterval(1)), Err(Misdeed::PropertyRepeated));
}
