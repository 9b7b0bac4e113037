//! Unusual but valid packets from `tests/tables/valid`. Each row is one packet, with its bytes
//! written by hand.
#![expect(clippy::unwrap_used, reason = "a failure here is the test failing")]

mod support;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{Decoder, Policy, decode, decode_from};
use support::{rows, wire};

#[test]
fn every_row_decodes_and_encodes() {
    let rows = rows("valid");
    assert!(rows.len() >= 80, "only {} rows", rows.len());
    let mut failures = vec![];
    for row in &rows {
        let frame = Bytes::from(row.wire.bytes.clone());
        let packet = match decode_from(Some(row.sender), &frame, row.version, Policy::LENIENT) {
            Ok(packet) => packet,
            Err(error) => {
                failures.push(format!("{}: {error}", row.place));
                continue;
            }
        };
        assert_eq!(decode(&frame, row.version).as_ref(), Ok(&packet), "{}", row.place);
        let shown = format!("{packet:?}");
        if !shown.contains(&row.columns[0]) {
            failures.push(format!("{}: {shown} does not contain {}", row.place, row.columns[0]));
        }
        let canonical = row.columns.get(1).map_or(row.wire.bytes.clone(), |canonical| wire(canonical).bytes);
        let mut out = BytesMut::new();
        packet.encode(row.version, &mut out).unwrap();
        if out != canonical {
            failures.push(format!("{}: encoded as {out:02X?}", row.place));
        }
    }
    assert!(failures.is_empty(), "{} rows failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_stream_decoder_accepts_every_row_after_every_other() {
    for row in rows("valid") {
        let mut decoder = Decoder::new(row.sender.peer());
        decoder.set_version(row.version);
        let mut buffer = BytesMut::from(&row.wire.bytes[..]);
        buffer.extend_from_slice(&row.wire.bytes);
        let first = decoder.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap(), first, "{}", row.place);
        assert!(buffer.is_empty(), "{}", row.place);

        let mut bytes = &row.wire.bytes[..];
        let in_place = decoder.decode_ref(&mut bytes).unwrap().unwrap().to_packet();
        assert_eq!((in_place, bytes), (first, &[][..]), "{}", row.place);
    }
}
