//! Bodies of the fuzz targets `decode` and `decode_encode_decode`: properties that hold for any
//! input bytes.
//!
//! They are in this crate so that `cargo test` can run them over the corpora and so that they can
//! check crate-internal values.

use bytes::{Bytes, BytesMut};

use crate::{
    DecodeError, Decoder, Encode, Packet, PacketType, Policy, Publish, Role, Version, decode_from,
    decode_publish,
};

/// The decoder's settings, taken from the first byte of an input.
#[derive(Clone, Copy)]
struct Setting {
    version: Version,
    receiver: Role,
    policy: Policy,
    /// Whether a Server has received its CONNECT.
    connected: bool,
    /// Number of bytes that arrive together.
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

/// Any bytes decode without a panic, and to the same packets whether split, whole, copied or in
/// place. The offset of an error lies within the packet.
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
                assert!(buffer.len() < before, "decoded a packet of zero bytes");
                packets.push(packet);
            }
            Ok(None) => {
                assert_eq!(buffer.len(), before, "removed bytes without returning a packet");
                break None;
            }
            Err(error) => {
                assert!(error.offset <= before, "the offset of {error:?} exceeds {before} bytes");
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
    let mut buffer = BytesMut::from(stream);
    let (mut copied, mut frames) = (vec![], vec![]);
    let end_copied = loop {
        match decoder.decode_copied(&mut buffer) {
            Ok(Some((packet, frame))) => {
                copied.push(packet);
                frames.extend_from_slice(&frame);
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert_eq!((&packets, end), (&copied, end_copied), "copied");
    assert!(stream.starts_with(&frames), "the copies are the bytes of the packets");

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

/// A decoded packet encodes, is no longer than the input, and decodes to the same value. The
/// borrowed PUBLISH equals the owned one.
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
    packet.encode(version, &mut out).expect("a decoded packet has an encoding");
    let out = out.freeze();
    assert_eq!(packet.encoded_len(version), Ok(out.len()));
    assert!(out.len() <= frame.len(), "{packet:?} grew");
    // 3.1 has two encodings of equal length for a missing User Name.
    if out.len() == frame.len() && version != Version::V3_1 {
        assert_eq!(out, frame, "{packet:?}");
    }
    assert_eq!(decode_from(sender, &out, version, policy).as_ref(), Ok(&packet));

    for older in [Version::V3_1, Version::V3_1_1] {
        if let Some(fitted) = packet.clone().fitted_to(older) {
            let mut out = BytesMut::new();
            fitted.encode(older, &mut out).expect("a fitted packet has an encoding");
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
            owned.encode(version, &mut out).expect("a decoded packet has an encoding");
        }
        (Err(error), Err(same)) => assert_eq!(error, *same),
        (Ok(None), _) => {}
        (borrowed, owned) => panic!("borrowed {borrowed:?} differs from owned {owned:?}"),
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
