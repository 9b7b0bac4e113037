//! Properties of every packet and every input: round trips, decoding at any split, no panic,
//! bounded memory.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::*;
use proptest::collection::vec;
use proptest::prelude::*;
use support::packets::{packet, properties, version};

fn encoded(packet: &Packet, version: Version) -> Bytes {
    let mut out = BytesMut::new();
    packet.encode(version, &mut out).unwrap();
    out.freeze()
}

/// Packets that one end may send on one connection, with that end's role.
fn stream() -> impl Strategy<Value = (Version, Role, Vec<Packet>)> {
    (version(), prop_oneof![Just(Role::Client), Just(Role::Server)]).prop_flat_map(|(version, sender)| {
        let packets = vec(packet(version), 0..8).prop_map(move |packets| {
            let sent = |packet: &Packet| {
                decode_from(Some(sender), &encoded(packet, version), version, Policy::LENIENT)
            };
            packets.into_iter().filter(|packet| sent(packet).is_ok()).collect()
        });
        (Just(version), Just(sender), packets)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// decode(encode(p)) = p, with exactly the computed length, appended to the buffer's content.
    #[test]
    fn every_packet_survives_a_round_trip((version, packet) in version().prop_flat_map(|v| (Just(v), packet(v)))) {
        let mut out = BytesMut::from(&b"before"[..]);
        packet.encode(version, &mut out).unwrap();
        prop_assert_eq!(&out[..6], b"before");
        let frame = out.freeze().slice(6..);
        prop_assert_eq!(packet.encoded_len(version), Ok(frame.len()));
        let back = decode(&frame, version).unwrap();
        prop_assert_eq!(&back, &packet);
        // encode(decode(b)) = b
        prop_assert_eq!(encoded(&back, version), frame);
    }

    /// Encoding a packet grows the buffer at most once.
    #[test]
    fn encoding_grows_the_buffer_once((version, packet) in version().prop_flat_map(|v| (Just(v), packet(v)))) {
        let info = allocation_counter::measure(|| {
            let mut out = BytesMut::new();
            packet.encode(version, &mut out).unwrap();
        });
        prop_assert!(info.count_total <= 1, "{} allocations", info.count_total);
    }

    #[test]
    fn a_stream_decodes_the_same_at_any_split(
        (version, sender, packets) in stream(),
        splits in vec(1usize..40, 1..20),
    ) {
        let mut bytes = BytesMut::new();
        for packet in &packets {
            packet.encode(version, &mut bytes).unwrap();
        }
        let mut decoder = Decoder::new(sender.peer());
        decoder.set_version(version);
        let (mut buffer, mut decoded, mut rest) = (BytesMut::new(), vec![], &bytes[..]);
        let mut splits = splits.into_iter().cycle();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(splits.next().unwrap().min(rest.len()));
            rest = after;
            buffer.extend_from_slice(chunk);
            while let Some(packet) = decoder.decode(&mut buffer).unwrap() {
                decoded.push(packet);
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(decoded, packets);
    }

    /// A 5.0 packet fitted to an older version has an encoding that decodes to the same packet.
    #[test]
    fn fitted_packets_are_packets_of_their_version(packet in packet(Version::V5), older in version()) {
        if let Some(fitted) = packet.clone().fitted_to(older) {
            if fitted.packet_type() == PacketType::Connect {
                prop_assert_eq!(fitted, packet);
            } else {
                match decode(&encoded(&fitted, older), older) {
                    Ok(back) => prop_assert_eq!(back, fitted),
                    // `encode` refuses a 5.0 packet that 3.1.1 cannot express.
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
        }
    }

    /// A packet with one changed byte is refused or decodes as another packet, without a panic.
    #[test]
    fn one_byte_changed(
        (version, packet) in version().prop_flat_map(|v| (Just(v), packet(v))),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut frame = encoded(&packet, version).to_vec();
        let at = at.index(frame.len());
        frame[at] = byte;
        let frame = Bytes::from(frame);
        if let Ok(packet) = decode(&frame, version) {
            let version = if let Packet::Connect(connect) = &packet { connect.version } else { version };
            prop_assert_eq!(decode(&encoded(&packet, version), version), Ok(packet));
        }
    }

    /// Memory use is bounded by the number of bytes received, for any values of their length
    /// fields.
    #[test]
    fn arbitrary_bytes_never_panic_and_use_bounded_memory(
        version in version(),
        first in any::<u8>(),
        body in vec(prop_oneof![Just(0x00), Just(0xFF), Just(0x7F), Just(0x26), 0u8..0x30, any::<u8>()], 0..64),
        honest in any::<bool>(),
    ) {
        let mut input = vec![first];
        if honest {
            input.extend_from_slice(&support::variable(body.len()));
        }
        input.extend_from_slice(&body);
        for receiver in [Role::Client, Role::Server] {
            let mut decoder = Decoder::new(receiver);
            decoder.set_version(version);
            let mut buffer = BytesMut::from(&input[..]);
            let info = allocation_counter::measure(|| {
                while let Ok(Some(packet)) = decoder.decode(&mut buffer) {
                    drop(packet);
                }
            });
            // The largest growth: a Topic Filter of three bytes becomes a `Subscription`. The
            // constant covers a boxed `Connect`.
            let justified = 512 + 64 * input.len() as u64;
            prop_assert!(info.bytes_max <= justified, "{} bytes for {}", info.bytes_max, input.len());
        }
    }

    /// A list of Properties has the same content through its views, its edits and its bytes.
    #[test]
    fn views_of_properties_agree(properties in properties::<ConnAck>(Version::V5), text in "[a-z]{0,5}") {
        let all: Vec<_> = properties.iter().collect();
        let mut again = Properties::<ConnAck>::new();
        for property in &all {
            again.try_push(property.clone()).unwrap();
        }
        prop_assert_eq!(&again, &properties);
        prop_assert_eq!(properties.as_properties_ref().iter().count(), all.len());
        let users = all.iter().filter(|property| matches!(property, Property::UserProperty(_))).count();
        prop_assert_eq!(properties.user_properties().count(), users);
        prop_assert_eq!(properties.get_all::<UserProperty>().count(), users);

        let reason = ReasonString(Utf8String::try_from(text).unwrap());
        let had = properties.contains::<ReasonString>();
        again.set(reason.clone());
        prop_assert_eq!(again.get(), Some(reason));
        prop_assert_eq!(again.iter().count(), all.len() + usize::from(!had));
        prop_assert!(again.remove::<ReasonString>());
        let without: Vec<_> =
            all.into_iter().filter(|property| !matches!(property, Property::ReasonString(_))).collect();
        prop_assert_eq!(again.iter().collect::<Vec<_>>(), without);
    }
}

/// Five bytes that announce 256 MiB, at every position of a length.
#[test]
fn a_length_alone_reserves_nothing() {
    for notation in [
        "30 FF FF FF 7F",
        "30 FF FF FF 7F FFFF 'a'",
        "82 FF FF FF 7F 0001 FF FF FF 7F",
        "10 FF FF FF 7F 0004 'MQTT' 05 02 003C FF FF FF 7F",
        "90 FF FF FF 7F 0001 00",
    ] {
        let bytes = support::wire(notation).bytes;
        for receiver in [Role::Client, Role::Server] {
            let mut decoder = Decoder::new(receiver);
            decoder.set_version(Version::V5);
            let mut buffer = BytesMut::from(&bytes[..]);
            let info = allocation_counter::measure(|| {
                let _ = decoder.decode(&mut buffer);
            });
            assert_eq!(info.bytes_total, 0, "{notation}");
        }
    }
}
