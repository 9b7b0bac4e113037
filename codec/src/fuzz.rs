//! Bodies of the fuzz targets `decode` and `decode_encode_decode`: what holds for any bytes at all.
//!
//! They live here so that `cargo test` runs them over the corpora, and so that they may be strict about what only the
//! crate can see.

use bytes::{Bytes, BytesMut};

use crate::{
    DecodeError, Decoder, Encode, Packet, PacketType, Policy, Publish, Role, Version, decode_from,
    decode_publish,
};

/// How to read an input: its first byte.
#[derive(Clone, Copy)]
struct Setting {
    version: Version,
    receiver: Role,
    policy: Policy,
    /// Whether a Server has had its CONNECT.
    connected: bool,
    /// Bytes that arrive at once.
    chunk: usize,
}

impl Setting {
    fn of(byte: u8) -> Self {
        Self {
            version: Version::ALL[usize::from(byte & 0b11).min(2)],
            receiver: if byte & 1 << 2 == 0 { Role::Server } else { Role::Client },
            policy: if byte & 1 << 3 == 0 { Policy::LENIENT } else { Policy::STRICT },
            connected: byte & 1 << 4 == 0,
            chunk: 1 + usize::from(byte >> 5),
        }
    }

    fn decoder(self) -> Decoder {
        let mut decoder = Decoder::new(self.receiver);
        if self.connected || self.receiver == Role::Client {
            decoder.set_version(self.version);
        }
        decoder.set_policy(self.policy);
        decoder
    }
}

/// A stream of any bytes decodes without a panic, to the same packets at any split and in place; errors point into the
/// packet.
pub fn decode(input: &[u8]) {
    let Some((&first, stream)) = input.split_first() else { return };
    let setting = Setting::of(first);

    let mut decoder = setting.decoder();
    let mut buffer = BytesMut::from(stream);
    let mut packets = vec![];
    let end = loop {
        let before = buffer.len();
        match decoder.decode(&mut buffer) {
            Ok(Some(packet)) => {
                assert!(buffer.len() < before, "a packet of no bytes");
                packets.push(packet);
            }
            Ok(None) => {
                assert_eq!(buffer.len(), before, "bytes taken without a packet");
                break None;
            }
            Err(error) => {
                assert!(error.offset <= before, "{error:?} points behind {before} bytes");
                answerable(error);
                break Some(error);
            }
        }
    };

    let mut decoder = setting.decoder();
    let mut rest = stream;
    let mut in_place = vec![];
    let end_in_place = loop {
        match decoder.decode_ref(&mut rest) {
            Ok(Some(packet)) => {
                assert_eq!(packet.packet_type(), packet.to_packet().packet_type());
                in_place.push(packet.to_packet());
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_eq!((&packets, end), (&in_place, end_in_place), "in place");

    let mut decoder = setting.decoder();
    let mut buffer = BytesMut::new();
    let mut again = vec![];
    let mut end_again = None;
    'stream: for chunk in stream.chunks(setting.chunk) {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(packet)) => again.push(packet),
                Ok(None) => break,
                Err(error) => {
                    end_again = Some(error);
                    break 'stream;
                }
            }
        }
    }
    assert_eq!((&packets, end), (&again, end_again), "split in {}", setting.chunk);
}

fn answerable(error: DecodeError) {
    let _ = error.answer();
    assert!(error.to_string().contains("at byte"));
    assert!(error.clause().is_none_or(|clause| clause.starts_with("MQTT-")));
}

/// What decodes encodes, decodes to the same again, and is no longer than it came; the borrowed PUBLISH is the owned one.
pub fn decode_encode_decode(input: &[u8]) {
    let Some((&first, frame)) = input.split_first() else { return };
    let Setting { version, receiver, policy, .. } = Setting::of(first);
    let sender = Some(receiver.peer());
    let frame = Bytes::copy_from_slice(frame);

    let decoded = decode_from(sender, &frame, version, policy);
    borrowed_as_owned(&frame, &decoded, sender, version, policy);
    let Ok(packet) = decoded else { return };
    let version = match &packet {
        Packet::Connect(connect) => connect.version,
        _ => version,
    };

    let mut out = BytesMut::new();
    packet.encode(version, &mut out).expect("what was decoded has an encoding");
    let out = out.freeze();
    assert_eq!(packet.encoded_len(version), Ok(out.len()));
    assert!(out.len() <= frame.len(), "{packet:?} grew");
    // 3.1 says a missing User Name in two ways of one length.
    if out.len() == frame.len() && version != Version::V3_1 {
        assert_eq!(out, frame, "{packet:?}");
    }
    assert_eq!(decode_from(sender, &out, version, policy).as_ref(), Ok(&packet));

    for older in [Version::V3_1, Version::V3_1_1] {
        if let Some(fitted) = packet.clone().fitted_to(older) {
            let mut out = BytesMut::new();
            fitted.encode(older, &mut out).expect("what was fitted has an encoding");
            if packet.packet_type() != PacketType::Connect {
                assert_eq!(crate::decode(&out.freeze(), older).as_ref(), Ok(&fitted));
            }
        }
    }
}

fn borrowed_as_owned(
    frame: &Bytes,
    decoded: &Result<Packet, DecodeError>,
    sender: Option<Role>,
    version: Version,
    policy: Policy,
) {
    match (decode_publish(sender, frame, version, policy), decoded) {
        (Ok(Some(borrowed)), Ok(Packet::Publish(owned))) => {
            let Publish { topic, delivery, retain, properties, payload } = owned;
            assert_eq!(borrowed.topic.as_str(), topic.as_ref().map_or("", |topic| topic.as_str()));
            assert_eq!((borrowed.delivery, borrowed.retain), (*delivery, *retain));
            assert_eq!(borrowed.properties, properties.as_properties_ref());
            assert_eq!(borrowed.properties.iter().count(), properties.iter().count());
            assert_eq!(borrowed.payload, payload);
            assert_eq!(owned.detached(), *owned);
            let mut out = BytesMut::new();
            owned.encode(version, &mut out).expect("what was decoded has an encoding");
        }
        (Err(error), Err(same)) => assert_eq!(error, *same),
        (Ok(None), _) => {}
        (borrowed, owned) => panic!("{borrowed:?} is not {owned:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn over_corpus(target: &str, body: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
        let mut inputs = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            body(&std::fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 100, "only {inputs} inputs in {}", folder.display());
    }

    #[test]
    fn corpus_of_decode() {
        over_corpus("decode", super::decode);
    }

    #[test]
    fn corpus_of_decode_encode_decode() {
        over_corpus("decode_encode_decode", super::decode_encode_decode);
    }
}
