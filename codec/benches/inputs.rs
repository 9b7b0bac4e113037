//! Inputs of the benchmarks, shared with the comparison in `peers/`.

use std::num::NonZeroU16;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::*;

fn text(text: &str) -> Utf8String {
    Utf8String::try_from(text).expect("a literal")
}

fn filter(filter: &str) -> TopicFilter {
    TopicFilter::try_from(filter).expect("a literal")
}

fn id(id: u16) -> PacketIdentifier {
    PacketIdentifier::new(id).expect("not zero")
}

/// CONNECT with Will, User Name and Password; in 5.0 also with five properties and two Will
/// Properties.
pub fn connect(version: Version) -> Packet {
    let mut connect = Connect::new(version, text("device-00017"));
    let mut will =
        Will::new(TopicName::from_static("devices/00017/status"), BinaryData::from_static(b"offline"));
    will.qos = QoS::AtLeastOnce;
    will.retain = true;
    if version == Version::V5 {
        connect = connect
            .with(SessionExpiryInterval(3600))
            .with(ReceiveMaximum(NonZeroU16::new(100).expect("not zero")))
            .with(TopicAliasMaximum(16))
            .with(RequestProblemInformation(true))
            .with(UserProperty::from_static("fleet", "north"));
        will = will.with(WillDelayInterval(30)).with(PayloadFormatIndicator::Utf8);
    }
    connect.will = Some(will);
    connect.user_name = Some(text("device-00017"));
    connect.password = Some(BinaryData::from_static(b"correct horse battery"));
    connect.into()
}

/// PUBLISH of QoS 1, 64 bytes, no properties.
pub fn publish_small() -> Packet {
    Publish::new(TopicName::from_static("plant/line3/press/temp"), vec![b'7'; 64])
        .at_least_once(id(4711))
        .into()
}

/// PUBLISH of QoS 1, 16 KiB, five properties.
pub fn publish_large() -> Packet {
    Publish::new(TopicName::from_static("plant/line3/press/image"), vec![b'7'; 16 * 1024])
        .at_least_once(id(4712))
        .with(PayloadFormatIndicator::Utf8)
        .with(MessageExpiryInterval(60))
        .with(ContentType(text("image/x-portable-graymap")))
        .with(ResponseTopic(TopicName::from_static("answers/line3")))
        .with(UserProperty::from_static("trace", "00-4bf92f3577b34da6a3ce929d0e0e4736"))
        .into()
}

/// PUBACK, Success.
pub fn puback() -> Packet {
    PubAck::success(id(4711)).into()
}

/// SUBSCRIBE with ten filters, no properties.
pub fn subscribe() -> Packet {
    let filters = [
        "plant/+/press/temp",
        "plant/line1/#",
        "plant/line2/#",
        "$SYS/broker/load/#",
        "answers/line3",
        "devices/+/status",
        "alarms/#",
        "alarms/line3/+/critical",
        "config/press/v2",
        "a",
    ];
    Subscribe::new(id(12), filters.map(|text| Subscription::new(filter(text), QoS::AtLeastOnce))).into()
}

/// 1 MiB of packets: of every 20, 16 are PUBLISH, 3 are acknowledgements and 1 is another packet.
pub fn stream(version: Version) -> (Bytes, Vec<Packet>) {
    let (mut out, mut packets) = (BytesMut::new(), vec![]);
    while out.len() < 1024 * 1024 {
        let at = packets.len();
        let packet_id = id(1 + (at % 60_000) as u16);
        let packet: Packet = match at % 20 {
            // Only packets that a Client may send, so that one decoder accepts all of them.
            19 if at % 40 == 19 => Packet::PingReq,
            19 => subscribe(),
            5 => PubAck::success(packet_id).into(),
            11 => PubRel::success(packet_id).into(),
            17 => PubRec::success(packet_id).into(),
            _ => {
                let length = [16, 64, 64, 120, 250, 500][at * 7 % 6];
                let publish =
                    Publish::new(TopicName::from_static("plant/line3/press/temp"), vec![b'7'; length]);
                let publish = match at % 4 {
                    0 => publish,
                    3 => publish.exactly_once(packet_id),
                    _ => publish.at_least_once(packet_id),
                };
                if version == Version::V5 && at % 3 == 0 {
                    publish
                        .with(MessageExpiryInterval(60))
                        .with(UserProperty::from_static("trace", "4bf92f35"))
                        .into()
                } else {
                    publish.into()
                }
            }
        };
        packet.encode(version, &mut out).expect("the packet is valid in this version");
        packets.push(packet);
    }
    (out.freeze(), packets)
}

/// The bytes of one packet.
pub fn encoded(packet: &Packet, version: Version) -> Bytes {
    let mut out = BytesMut::new();
    packet.encode(version, &mut out).expect("the packet is valid in this version");
    out.freeze()
}

/// The lower bound of decoding: finds the start of each packet from its fixed header, without
/// checks.
pub fn walk_headers(mut stream: &[u8]) -> usize {
    let mut packets = 0;
    while stream.len() >= 2 {
        stream = &stream[length_of_first(stream)..];
        packets += 1;
    }
    packets
}

/// The length of the first packet, from its fixed header.
pub fn length_of_first(stream: &[u8]) -> usize {
    let (mut length, mut at) = (0usize, 1);
    loop {
        let byte = stream[at];
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            return at + length;
        }
    }
}
