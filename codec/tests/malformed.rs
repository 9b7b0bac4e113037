//! Malformed packets, one misdeed each, from `tests/tables/malformed`. Each row is one packet, with
//! its bytes written by hand.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{
    Answer, ConnectReason, DecodeError, Decoder, DisconnectReason, Misdeed, PacketType, Policy, Role,
    Version, decode_from,
};
use support::{Row, rows};

fn expected_answer(text: &str) -> Answer {
    let code = |text: &str| u8::from_str_radix(text, 16).unwrap();
    match text.split_once(' ') {
        None if text == "close" => Answer::Close,
        None => Answer::Disconnect(DisconnectReason::try_from(code(text)).unwrap()),
        Some(("connack", text)) => Answer::ConnAck(ConnectReason::try_from(code(text)).unwrap()),
        Some(_) => panic!("unknown answer {text}"),
    }
}

fn check(row: &Row, error: DecodeError) -> Result<(), String> {
    let [kind, clause, answer] = &row.columns[..] else {
        panic!("{}: expected three columns after the bytes", row.place)
    };
    let expected =
        (kind.as_str(), row.wire.mark.unwrap(), Some(clause.as_str()).filter(|&clause| clause != "-"));
    let actual = (error.kind.name(), error.offset, error.clause());
    if expected != actual {
        return Err(format!("{}: expected {expected:?}, got {actual:?}", row.place));
    }
    if error.version != row.version {
        return Err(format!("{}: expected an answer in {}, got {}", row.place, row.version, error.version));
    }
    if error.answer() != expected_answer(answer) {
        return Err(format!("{}: expected {answer}, got {:?}", row.place, error.answer()));
    }
    Ok(())
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} rows failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_row_is_refused_for_its_misdeed() {
    let rows = rows("malformed");
    assert!(rows.len() >= 300, "only {} rows", rows.len());
    let of_3 = rows.iter().filter(|row| row.version != Version::V5).count();
    assert!(of_3 >= 100, "only {of_3} rows before 5.0");
    let failures: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let frame = Bytes::from(row.wire.bytes.clone());
            match decode_from(Some(row.sender), &frame, row.version, Policy::LENIENT) {
                Ok(packet) => Some(format!("{}: decoded as {packet:?}", row.place)),
                Err(error) => check(row, error).err(),
            }
        })
        .collect();
    report(&failures);
}

#[test]
fn the_stream_decoder_refuses_every_row_at_every_split() {
    let mut failures = vec![];
    for row in rows("malformed") {
        let bytes = &row.wire.bytes;
        for split in 0..=bytes.len() {
            let mut decoder = Decoder::new(row.sender.peer());
            // A CONNECT carries its version; any other packet follows one.
            if bytes[0] >> 4 != PacketType::Connect as u8 || row.sender == Role::Server {
                decoder.set_version(row.version);
            }
            let mut buffer = BytesMut::from(&bytes[..split]);
            let outcome = decoder.decode(&mut buffer).and_then(|packet| {
                assert_eq!(packet, None, "{}: decoded a packet after {split} bytes", row.place);
                buffer.extend_from_slice(&bytes[split..]);
                decoder.decode(&mut buffer)
            });
            match outcome {
                Ok(packet) => failures.push(format!("{}: {packet:?}", row.place)),
                // The version of a first CONNECT with a wrong fixed header is unknown.
                Err(error) if error.offset < 5 && error.packet == Some(PacketType::Connect) => {
                    assert_eq!(error.kind.name(), row.columns[0], "{}", row.place);
                }
                Err(error) => failures.extend(check(&row, error).err()),
            }
        }
    }
    report(&failures);
}

#[test]
fn every_misdeed_has_a_row_or_a_separate_test() {
    // These need a decoder with a limit, with a policy, or before CONNECT: see `decoder.rs`.
    let elsewhere = [
        Misdeed::PacketTooLarge,
        Misdeed::FirstPacketNotConnect,
        Misdeed::ControlCharacter,
        Misdeed::NonCharacter,
        Misdeed::PayloadNotUtf8,
        Misdeed::WillPayloadNotUtf8,
    ];
    let rows = rows("malformed");
    for misdeed in Misdeed::ALL {
        let shown = rows.iter().any(|row| row.columns[0] == misdeed.name());
        assert_eq!(!shown, elsewhere.contains(misdeed), "{}", misdeed.name());
    }
}
