//! Measures this codec and two lower bounds: copying the stream, and scanning its fixed headers.
//!
//! `codec/benches/peers` compares the codec with other codecs on the same inputs.
#![expect(unreachable_pub, reason = "criterion's macros make public items; the inputs are shared")]

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mqttspec_codec::*;

mod inputs;

/// The number of copies of a packet that one iteration decodes.
const COPIES: usize = 256;

fn items() -> [(&'static str, Packet); 5] {
    [
        ("connect", inputs::connect(Version::V5)),
        ("publish_small", inputs::publish_small()),
        ("publish_large", inputs::publish_large()),
        ("puback", inputs::puback()),
        ("subscribe", inputs::subscribe()),
    ]
}

fn decode_all(mut buffer: BytesMut, receiver: Role) -> usize {
    let mut decoder = Decoder::new(receiver);
    decoder.set_version(Version::V5);
    let mut packets = 0;
    while let Ok(Some(packet)) = decoder.decode(&mut buffer) {
        black_box(&packet);
        packets += 1;
    }
    packets
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, packet) in items() {
        let frame = inputs::encoded(&packet, Version::V5);
        let stream = Bytes::from(frame.repeat(COPIES));
        assert_eq!(decode_all(BytesMut::from(&stream[..]), Role::Server), COPIES);
        group.throughput(Throughput::Elements(COPIES as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || BytesMut::from(&stream[..]),
                |buffer| decode_all(buffer, Role::Server),
                BatchSize::SmallInput,
            );
        });
    }
    let frame = inputs::encoded(&inputs::publish_small(), Version::V5);
    group.throughput(Throughput::Elements(1));
    group.bench_function("publish_small_borrowed", |bencher| {
        bencher.iter(|| decode_publish(None, black_box(&frame), Version::V5, Policy::LENIENT));
    });
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    let mut out = BytesMut::with_capacity(1 << 20);
    for (name, packet) in items() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(&packet).encode(Version::V5, &mut out)
            });
        });
    }
}

fn streams(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stream");
    let (stream, packets) = inputs::stream(Version::V5);
    group.throughput(Throughput::Bytes(stream.len() as u64));
    let mut out = BytesMut::with_capacity(stream.len() + 4096);
    group.bench_function("floor_memcpy", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&stream));
        });
    });
    assert_eq!(inputs::walk_headers(&stream), packets.len());
    group.bench_function("floor_headers", |bencher| {
        bencher.iter(|| inputs::walk_headers(black_box(&stream)));
    });
    group.bench_function("decode", |bencher| {
        bencher.iter_batched(
            || BytesMut::from(&stream[..]),
            |buffer| decode_all(buffer, Role::Server),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            for packet in &packets {
                let _ = packet.encode(Version::V5, &mut out);
            }
        });
    });
}

criterion_group!(benches, decoding, encoding, streams);
criterion_main!(benches);
