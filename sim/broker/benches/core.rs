//! The speed of the core: matching by number of Subscriptions, packets per second by QoS and
//! fan-out, and how both depend on the number of Sessions. Packets are values, so the time of the
//! codec is not included.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mqttspec_broker::{Broker, ConnectionId, Options, Transmit};
use mqttspec_codec::*;

const NOW: Duration = Duration::from_secs(1);

fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap_or(PacketIdentifier::MIN)
}

fn broker(records: bool) -> Broker {
    let mut options = Options::default();
    options.record_changes = records;
    options.maximum_subscriptions = 0;
    options.connect_timeout = Duration::ZERO;
    Broker::new(options, 1)
}

/// Removes and counts the packets that the broker sends.
fn drain(broker: &mut Broker) -> u64 {
    let mut packets = 0;
    black_box(broker.take_changes());
    while let Some(transmit) = broker.poll_transmit() {
        packets += 1;
        black_box(transmit);
    }
    while let Some(event) = broker.poll_event() {
        black_box(event);
    }
    packets
}

fn connect(broker: &mut Broker, client_id: &str, expiry: u32) -> ConnectionId {
    let connection = broker.handle_opened(NOW);
    let client_id = Utf8String::try_from(client_id).expect("short");
    let connect = Connect::new(Version::V5, client_id).with(SessionExpiryInterval(expiry));
    broker.handle_packet(NOW, connection, connect.into());
    connection
}

fn subscribe(broker: &mut Broker, connection: ConnectionId, filter: &str, qos: QoS) {
    let filter = TopicFilter::try_from(filter).expect("a Topic Filter");
    broker.handle_packet(NOW, connection, Subscribe::new(id(1), Subscription::new(filter, qos)).into());
}

fn publish(topic: &str, qos: QoS) -> Packet {
    let publish =
        Publish::new(TopicName::try_from(topic).expect("a Topic Name"), &b"twenty bytes of load"[..]);
    Packet::from(match qos {
        QoS::AtMostOnce => publish,
        QoS::AtLeastOnce => publish.at_least_once(id(1)),
        QoS::ExactlyOnce => publish.exactly_once(id(1)),
    })
}

/// One QoS 0 PUBLISH that matches one of N Subscriptions (and passes three wildcards that do not
/// match).
fn matching(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("match_one_of");
    for exponent in 1..=6 {
        let count = 10u32.pow(exponent);
        let mut broker = broker(false);
        let publisher = connect(&mut broker, "publisher", 0);
        let mut connection = publisher;
        for number in 0..count {
            if number % 1000 == 0 {
                connection = connect(&mut broker, &format!("c{number}"), 0);
            }
            let filter = match number % 4 {
                0 => format!("site/{}/device/{number}/+", number % 97),
                1 => format!("site/+/device/{number}/state"),
                2 => format!("site/{}/device/{number}/#", number % 97),
                _ => format!("site/{}/device/{number}/state", number % 97),
            };
            subscribe(&mut broker, connection, &filter, QoS::AtMostOnce);
            drain(&mut broker);
        }
        let wanted = count / 8 * 4;
        let packet = publish(&format!("site/{}/device/{wanted}/state", wanted % 97), QoS::AtMostOnce);
        broker.handle_packet(NOW, publisher, packet.clone());
        assert_eq!(drain(&mut broker), 1);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                broker.handle_packet(NOW, publisher, packet.clone());
                drain(&mut broker)
            });
        });
    }
    group.finish();
}

/// One message from PUBLISH to the last acknowledgement of every subscriber. Throughput is in
/// packets, received and sent.
fn exchange(broker: &mut Broker, publisher: ConnectionId, packet: &Packet, qos: QoS) -> u64 {
    broker.handle_packet(NOW, publisher, packet.clone());
    let mut packets = 1;
    if qos == QoS::ExactlyOnce {
        broker.handle_packet(NOW, publisher, PubRel::success(id(1)).into());
        packets += 1;
    }
    black_box(broker.take_changes());
    while let Some(transmit) = broker.poll_transmit() {
        packets += 1;
        let Transmit::Packet { connection, packet, .. } = transmit else { continue };
        let answer: Packet = match packet {
            Packet::Publish(Publish { delivery: Delivery::AtLeastOnce { id, .. }, .. }) => {
                PubAck::success(id).into()
            }
            Packet::Publish(Publish { delivery: Delivery::ExactlyOnce { id, .. }, .. }) => {
                PubRec::success(id).into()
            }
            Packet::PubRel(pubrel) => PubComp::success(pubrel.id).into(),
            _ => continue,
        };
        packets += 1;
        broker.handle_packet(NOW, connection, answer);
    }
    black_box(broker.take_changes());
    while let Some(event) = broker.poll_event() {
        black_box(event);
    }
    packets
}

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("packets");
    for records in [false, true] {
        for qos in QoS::ALL {
            for subscribers in [1, 10, 1000] {
                let mut broker = broker(records);
                let publisher = connect(&mut broker, "publisher", 0);
                for number in 0..subscribers {
                    let connection = connect(&mut broker, &format!("c{number}"), 1000);
                    subscribe(&mut broker, connection, "sensors/+/temperature", qos);
                }
                drain(&mut broker);
                let packet = publish("sensors/kitchen/temperature", qos);
                let packets = exchange(&mut broker, publisher, &packet, qos);
                group.throughput(Throughput::Elements(packets));
                let name = format!("qos_{qos}{}", if records { "_recorded" } else { "" });
                group.bench_function(BenchmarkId::new(name, subscribers), |bencher| {
                    bencher.iter(|| exchange(&mut broker, publisher, &packet, qos));
                });
            }
        }
    }
    group.finish();
}

/// A QoS 1 message to one of N connected Sessions.
fn sessions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one_of_sessions");
    for count in [1, 1000, 100_000] {
        let mut broker = broker(false);
        let publisher = connect(&mut broker, "publisher", 0);
        for number in 0..count {
            let connection = connect(&mut broker, &format!("c{number}"), 1000);
            subscribe(&mut broker, connection, &format!("to/c{number}"), QoS::AtLeastOnce);
            drain(&mut broker);
        }
        let packet = publish(&format!("to/c{}", count / 2), QoS::AtLeastOnce);
        let packets = exchange(&mut broker, publisher, &packet, QoS::AtLeastOnce);
        group.throughput(Throughput::Elements(packets));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| exchange(&mut broker, publisher, &packet, QoS::AtLeastOnce));
        });
    }
    group.finish();
}

/// A Client that connects, subscribes and disconnects, while N others are connected: the cost per
/// Client of a reconnect storm.
fn reconnect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reconnect_beside");
    for count in [1, 100_000] {
        let mut broker = broker(false);
        for number in 0..count {
            let connection = connect(&mut broker, &format!("c{number}"), 1000);
            subscribe(&mut broker, connection, "all/of/them", QoS::AtLeastOnce);
            drain(&mut broker);
        }
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_batched(
                || (),
                |()| {
                    let connection = connect(&mut broker, "comes and goes", 0);
                    subscribe(&mut broker, connection, "all/of/them", QoS::AtLeastOnce);
                    broker.handle_closed(NOW, connection);
                    drain(&mut broker)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, matching, fan_out, sessions, reconnect);
criterion_main!(benches);
