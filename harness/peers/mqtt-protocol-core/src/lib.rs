//! What a server on `mqtt-protocol-core` answers by itself: it accepts each CONNECT, and grants each
//! Subscription at QoS 0. It delivers nothing. It also checks the fields that the crate leaves to its
//! user.

use mqtt_protocol_core::mqtt::packet::{Packet, Property, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, ConnectReturnCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};

/// What the crate decides by itself.
pub const CASES: [&str; 9] = [
    "connect/malformed",
    "connect/first-packet-must-be-connect",
    "connect/second-connect",
    "connect/unsupported-protocol-version",
    "connect/pingreq-is-answered",
    "connect/keep-alive-closes",
    "publish/malformed",
    "subscribe/malformed.mqtt",
    "subscribe/malformed-unsubscribe",
];

/// Whether a packet has only values that are allowed, in the fields that the crate gives to its user.
pub fn is_allowed(packet: &Packet) -> bool {
    let is_topic = |will: Option<&str>| !will.is_some_and(|topic| topic.contains(['+', '#']));
    match packet {
        Packet::V3_1_1Connect(connect) => is_topic(connect.will_topic()),
        Packet::V5_0Connect(connect) => {
            let has = |is: fn(&Property) -> bool| connect.props().iter().any(is);
            is_topic(connect.will_topic())
                && (has(|property| matches!(property, Property::AuthenticationMethod(_)))
                    || !has(|property| matches!(property, Property::AuthenticationData(_))))
        }
        Packet::V3_1_1Subscribe(subscribe) => subscribe.packet_id() != 0,
        Packet::V5_0Subscribe(subscribe) => {
            let is_identifier =
                |property: &&Property| matches!(property, Property::SubscriptionIdentifier(_));
            subscribe.packet_id() != 0 && subscribe.props().iter().filter(is_identifier).count() <= 1
        }
        Packet::V3_1_1Unsubscribe(unsubscribe) => unsubscribe.packet_id() != 0,
        Packet::V5_0Unsubscribe(unsubscribe) => unsubscribe.packet_id() != 0,
        _ => true,
    }
}

/// The answer to a packet of a Client, if it has one.
pub fn answer(packet: &Packet) -> Option<Packet> {
    match packet {
        Packet::V3_1_1Connect(_) => {
            let connack = v3_1_1::Connack::builder().session_present(false);
            Some(connack.return_code(ConnectReturnCode::Accepted).build().ok()?.into())
        }
        Packet::V5_0Connect(_) => {
            let connack = v5_0::Connack::builder().session_present(false);
            Some(connack.reason_code(ConnectReasonCode::Success).build().ok()?.into())
        }
        Packet::V3_1_1Subscribe(subscribe) => {
            let codes = subscribe.entries().iter().map(|_| SubackReturnCode::SuccessMaximumQos0).collect();
            let suback = v3_1_1::Suback::builder().packet_id(subscribe.packet_id());
            Some(suback.return_codes(codes).build().ok()?.into())
        }
        Packet::V5_0Subscribe(subscribe) => {
            let codes = subscribe.entries().iter().map(|_| SubackReasonCode::GrantedQos0).collect();
            let suback = v5_0::Suback::builder().packet_id(subscribe.packet_id());
            Some(suback.reason_codes(codes).build().ok()?.into())
        }
        Packet::V3_1_1Unsubscribe(unsubscribe) => {
            Some(v3_1_1::Unsuback::builder().packet_id(unsubscribe.packet_id()).build().ok()?.into())
        }
        Packet::V5_0Unsubscribe(unsubscribe) => {
            let codes = unsubscribe.entries().iter().map(|_| UnsubackReasonCode::Success).collect();
            let unsuback = v5_0::Unsuback::builder().packet_id(unsubscribe.packet_id());
            Some(unsuback.reason_codes(codes).build().ok()?.into())
        }
        _ => None,
    }
}
