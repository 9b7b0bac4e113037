//! Compares mqttspec, rumqttc 0.25's 5.0 codec and mqttrs 0.4 (3.1.1, borrowing) on the same
//! packets.
//!
//! A peer is omitted where it does not support the packet. mqttrs does not support Properties: it
//! gets the 3.1.1 form, and mqttspec is also measured on the 3.1.1 form (`_311`). mqttrs does not
//! frame a stream either, so the benchmark scans the fixed headers for it. Every packet is read
//! where the decoder stored it (`ref`), since moving it elsewhere is up to the caller.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mqttspec_codec::*;
use rumqttc::v5::mqttbytes::v5::Packet as RumqttPacket;

#[path = "../../inputs.rs"]
mod inputs;

/// The number of copies of a packet that one iteration decodes.
const COPIES: usize = 256;

fn decode_owned(mut buffer: BytesMut, version: Version) -> usize {
    let mut decoder = Decoder::new(Role::Server);
    decoder.set_version(version);
    let mut packets = 0;
    while let Ok(Some(ref packet)) = decoder.decode(&mut buffer) {
        black_box(packet);
        packets += 1;
    }
    packets
}

fn decode_borrowed(mut bytes: &[u8], version: Version) -> usize {
    let mut decoder = Decoder::new(Role::Server);
    decoder.set_version(version);
    let mut packets = 0;
    while let Ok(Some(ref packet)) = decoder.decode_ref(&mut bytes) {
        black_box(packet);
        packets += 1;
    }
    packets
}

fn decode_rumqttc(mut buffer: BytesMut) -> usize {
    let mut packets = 0;
    while let Ok(ref packet) = RumqttPacket::read(&mut buffer, None) {
        black_box(packet);
        packets += 1;
    }
    packets
}

/// mqttrs takes a slice and does not report the packet's length: scanning the fixed header is part
/// of using it on a stream.
fn decode_mqttrs(mut bytes: &[u8]) -> usize {
    let mut packets = 0;
    while let Ok(Some(ref packet)) = mqttrs::decode_slice(bytes) {
        black_box(packet);
        bytes = &bytes[inputs::length_of_first(bytes)..];
        packets += 1;
    }
    packets
}

fn decoding(criterion: &mut Criterion) {
    let items = [
        ("connect", inputs::connect(Version::V5), Some(inputs::connect(Version::V3_1_1))),
        ("publish_small", inputs::publish_small(), Some(inputs::publish_small())),
        ("publish_large", inputs::publish_large(), None),
        ("puback", inputs::puback(), Some(inputs::puback())),
        ("subscribe", inputs::subscribe(), Some(inputs::subscribe())),
    ];
    for (name, five, three) in items {
        let mut group = criterion.benchmark_group(format!("decode_{name}"));
        group.throughput(Throughput::Elements(COPIES as u64));
        let copies = |packet: &Packet, version| Bytes::from(inputs::encoded(packet, version).repeat(COPIES));
        let stream = copies(&five, Version::V5);
        assert_eq!(decode_owned(BytesMut::from(&stream[..]), Version::V5), COPIES);
        assert_eq!(decode_borrowed(&stream, Version::V5), COPIES);
        assert_eq!(decode_rumqttc(BytesMut::from(&stream[..])), COPIES);
        let fresh = || BytesMut::from(&stream[..]);
        group.bench_function("mqttspec", |bencher| {
            bencher.iter_batched(fresh, |buffer| decode_owned(buffer, Version::V5), BatchSize::SmallInput);
        });
        group.bench_function("rumqttc", |bencher| {
            bencher.iter_batched(fresh, decode_rumqttc, BatchSize::SmallInput);
        });
        group.bench_function("mqttspec_borrowed", |bencher| {
            bencher.iter(|| decode_borrowed(black_box(&stream), Version::V5));
        });
        if let Some(three) = three {
            let stream = copies(&three, Version::V3_1_1);
            assert_eq!(decode_borrowed(&stream, Version::V3_1_1), COPIES);
            assert_eq!(decode_mqttrs(&stream), COPIES);
            group.bench_function("mqttspec_borrowed_311", |bencher| {
                bencher.iter(|| decode_borrowed(black_box(&stream), Version::V3_1_1));
            });
            group.bench_function("mqttrs_311", |bencher| {
                bencher.iter(|| decode_mqttrs(black_box(&stream)));
            });
        }
    }
}

fn encoding(criterion: &mut Criterion) {
    let items = [
        ("connect", inputs::connect(Version::V5), Some(inputs::connect(Version::V3_1_1))),
        ("publish_small", inputs::publish_small(), Some(inputs::publish_small())),
        ("publish_large", inputs::publish_large(), None),
        ("puback", inputs::puback(), Some(inputs::puback())),
        ("subscribe", inputs::subscribe(), Some(inputs::subscribe())),
    ];
    let mut out = BytesMut::with_capacity(1 << 20);
    for (name, five, three) in items {
        let mut group = criterion.benchmark_group(format!("encode_{name}"));
        let bytes = inputs::encoded(&five, Version::V5);
        let rumqttc =
            RumqttPacket::read(&mut BytesMut::from(&bytes[..]), None).expect("the packet is supported");
        group.bench_function("mqttspec", |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&five).encode(Version::V5, &mut out)
            });
        });
        group.bench_function("rumqttc", |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&rumqttc).write(&mut out, None)
            });
        });
        if let Some(three) = three {
            let bytes = inputs::encoded(&three, Version::V3_1_1);
            let mqttrs = mqttrs::decode_slice(&bytes).expect("the packet is supported").expect("the packet is complete");
            let mut slice = vec![0; 1 << 16];
            group.bench_function("mqttspec_311", |bencher| {
                bencher.iter(|| {
                    out.clear();
                    black_box(&three).encode(Version::V3_1_1, &mut out)
                });
            });
            group.bench_function("mqttrs_311", |bencher| {
                bencher.iter(|| mqttrs::encode_slice(black_box(&mqttrs), black_box(&mut slice)));
            });
        }
    }
}

fn streams(criterion: &mut Criterion) {
    let (stream, packets) = inputs::stream(Version::V5);
    let mut out = BytesMut::with_capacity(stream.len() + 4096);
    let fresh = || BytesMut::from(&stream[..]);

    let mut group = criterion.benchmark_group("decode_stream");
    group.throughput(Throughput::Elements(packets.len() as u64));
    assert_eq!(decode_owned(fresh(), Version::V5), packets.len());
    assert_eq!(decode_borrowed(&stream, Version::V5), packets.len());
    assert_eq!(decode_rumqttc(fresh()), packets.len());
    assert_eq!(inputs::walk_headers(&stream), packets.len());
    group.bench_function("mqttspec", |bencher| {
        bencher.iter_batched(fresh, |buffer| decode_owned(buffer, Version::V5), BatchSize::LargeInput);
    });
    group.bench_function("rumqttc", |bencher| {
        bencher.iter_batched(fresh, decode_rumqttc, BatchSize::LargeInput);
    });
    group.bench_function("mqttspec_borrowed", |bencher| {
        bencher.iter(|| decode_borrowed(black_box(&stream), Version::V5));
    });
    group.bench_function("floor_headers", |bencher| {
        bencher.iter(|| inputs::walk_headers(black_box(&stream)));
    });
    group.bench_function("floor_memcpy", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&stream));
        });
    });
    let (three, packets_of_three) = inputs::stream(Version::V3_1_1);
    group.throughput(Throughput::Elements(packets_of_three.len() as u64));
    assert_eq!(decode_borrowed(&three, Version::V3_1_1), packets_of_three.len());
    assert_eq!(decode_mqttrs(&three), packets_of_three.len());
    group.bench_function("mqttspec_borrowed_311", |bencher| {
        bencher.iter(|| decode_borrowed(black_box(&three), Version::V3_1_1));
    });
    group.bench_function("mqttrs_311", |bencher| {
        bencher.iter(|| decode_mqttrs(black_box(&three)));
    });
    group.finish();

    let mut group = criterion.benchmark_group("encode_stream");
    group.throughput(Throughput::Elements(packets.len() as u64));
    let mut rest = fresh();
    let rumqttc: Vec<_> = std::iter::from_fn(|| RumqttPacket::read(&mut rest, None).ok()).collect();
    assert_eq!(rumqttc.len(), packets.len());
    group.bench_function("mqttspec", |bencher| {
        bencher.iter(|| {
            out.clear();
            for packet in &packets {
                let _ = packet.encode(Version::V5, &mut out);
            }
        });
    });
    group.bench_function("rumqttc", |bencher| {
        bencher.iter(|| {
            out.clear();
            for packet in &rumqttc {
                let _ = packet.write(&mut out, None);
            }
        });
    });
    group.bench_function("floor_memcpy", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&stream));
        });
    });
    group.throughput(Throughput::Elements(packets_of_three.len() as u64));
    let mut rest = &three[..];
    let mqttrs: Vec<_> = std::iter::from_fn(|| {
        let packet = mqttrs::decode_slice(rest).ok()??;
        rest = &rest[inputs::length_of_first(rest)..];
        Some(packet)
    })
    .collect();
    assert_eq!(mqttrs.len(), packets_of_three.len());
    let mut slice = vec![0; three.len() + 4096];
    group.bench_function("mqttspec_311", |bencher| {
        bencher.iter(|| {
            out.clear();
            for packet in &packets_of_three {
                let _ = packet.encode(Version::V3_1_1, &mut out);
            }
        });
    });
    group.bench_function("mqttrs_311", |bencher| {
        bencher.iter(|| {
            let mut at = 0;
            for packet in &mqttrs {
                at += mqttrs::encode_slice(packet, &mut slice[at..]).unwrap_or(0);
            }
            at
        });
    });
}

criterion_group!(benches, decoding, encoding, streams);
criterion_main!(benches);
