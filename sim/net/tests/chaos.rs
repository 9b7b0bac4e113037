//! Random faults of the relay between two clients and a broker, then a healthy end: whatever the
//! network did, QoS 2 has delivered exactly once and QoS 1 at least once, in order of first
//! delivery.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{options, simulated, start_broker};
use mqttspec_client::{Command, Event};
use mqttspec_codec::{Properties, QoS, Subscription, TopicFilter};
use mqttspec_net::Clock;
use mqttspec_net::client::{ClientHandle, Commander, spawn_client};
use mqttspec_net::relay::{Cut, Direction, Faults, Point, RelayNet};
use mqttspec_net::store::NoStore;
use mqttspec_ports::Net;
use proptest::prelude::*;
use tokio::task::spawn_local;
use tokio::time::sleep;

const MESSAGES: u32 = 30;

#[derive(Debug, Clone)]
enum Fault {
    Partition(Direction),
    Heal(Direction),
    Stall(Direction),
    Resume(Direction),
    Latency(Direction, u64),
    Loss(Direction, f64),
    Bandwidth(Direction, u64),
    Cut(Cut),
    CutAt(Direction, Point, Cut),
    Refuse(bool),
    HealAll,
}

impl Fault {
    fn apply(&self, faults: &Faults) {
        match *self {
            Fault::Partition(direction) => faults.partition(direction),
            Fault::Heal(direction) => faults.heal(direction),
            Fault::Stall(direction) => faults.stall(direction),
            Fault::Resume(direction) => faults.resume(direction),
            Fault::Latency(direction, most) => {
                faults.latency(direction, Duration::ZERO..=Duration::from_millis(most));
            }
            Fault::Loss(direction, fraction) => faults.loss(direction, fraction),
            Fault::Bandwidth(direction, rate) => faults.bandwidth(direction, Some(rate)),
            Fault::Cut(how) => faults.cut(how),
            Fault::CutAt(direction, point, how) => faults.cut_at(direction, point, how),
            Fault::Refuse(refuse) => faults.refuse(refuse),
            Fault::HealAll => faults.heal_all(),
        }
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    let direction = || prop_oneof![Just(Direction::ToServer), Just(Direction::ToClient)];
    let cut = || prop_oneof![Just(Cut::Close), Just(Cut::Reset), Just(Cut::HalfOpen)];
    let point = prop_oneof![
        (1..400_u64).prop_map(Point::Bytes),
        (1..40_u64).prop_map(Point::Packets),
        (1..40_u64, 1..8_u64).prop_map(|(packets, bytes)| Point::Within { packets, bytes }),
    ];
    prop_oneof![
        direction().prop_map(Fault::Partition),
        direction().prop_map(Fault::Heal),
        direction().prop_map(Fault::Stall),
        direction().prop_map(Fault::Resume),
        (direction(), 0..800_u64).prop_map(|(direction, most)| Fault::Latency(direction, most)),
        (direction(), 0.0..0.6).prop_map(|(direction, fraction)| Fault::Loss(direction, fraction)),
        (direction(), 200..5000_u64).prop_map(|(direction, rate)| Fault::Bandwidth(direction, rate)),
        cut().prop_map(Fault::Cut),
        (direction(), point, cut()).prop_map(|(direction, point, how)| Fault::CutAt(direction, point, how)),
        any::<bool>().prop_map(Fault::Refuse),
        Just(Fault::HealAll),
    ]
}

/// Who is hit, by what, how many milliseconds after the fault before.
type Schedule = Vec<(bool, Fault, u64)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn guarantees_hold_through_any_faults(
        schedule in prop::collection::vec((any::<bool>(), fault(), 0..1500_u64), 0..12),
        exactly_once in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let qos = if exactly_once { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
        let got: Rc<RefCell<Vec<u32>>> = Rc::default();
        let at_end = Rc::clone(&got);
        simulated(move |server, net, host| traffic(server, net, host, schedule, qos, seed, got));
        let mut got = at_end.take();
        if exactly_once {
            prop_assert_eq!(got, (0..MESSAGES).collect::<Vec<_>>());
        } else {
            let mut seen = std::collections::BTreeSet::new();
            got.retain(|number| seen.insert(*number));
            prop_assert_eq!(got, (0..MESSAGES).collect::<Vec<_>>());
        }
    }
}

async fn traffic<N: Net>(
    server: N,
    net: N,
    host: &'static str,
    schedule: Schedule,
    qos: QoS,
    seed: u64,
    got: Rc<RefCell<Vec<u32>>>,
) {
    let broker = start_broker(&server, NoStore).await;
    let faults = [Faults::new(seed), Faults::new(!seed)];
    let start = |name: &str, faults: &Faults| {
        let patient = [
            ("reconnect_attempts", "1000"),
            ("reconnect_delay_max", "2s"),
            ("keep_alive", "4"),
            ("timeout", "4s"),
        ];
        let options = options(host, broker.port, name, &patient);
        spawn_client(
            RelayNet::new(net.clone(), faults.clone()),
            options,
            seed,
            Clock::showing(Duration::ZERO),
            (),
        )
    };
    let mut subscriber = start("subscriber", &faults[0]);
    subscriber.command(Command::Connect(None)).await.unwrap();
    let subscriptions = vec![Subscription::new(TopicFilter::from_static("t"), qos)];
    let request = mqttspec_client::SubscribeRequest { subscriptions, properties: Properties::new() };
    subscriber.command(Command::Subscribe(request)).await.unwrap();
    while !matches!(subscriber.event().await.unwrap(), Event::Subscribed { .. }) {}
    spawn_local(collect(subscriber, got));

    let mut publisher = start("publisher", &faults[1]);
    publisher.command(Command::Connect(None)).await.unwrap();
    let commander = publisher.commander();
    spawn_local(async move {
        for number in 0..MESSAGES {
            let publication = common::message("t", &number.to_string()).qos(qos);
            let _ = commander.send(Command::Publish(publication));
            sleep(Duration::from_millis(100)).await;
        }
    });
    spawn_local(async move {
        for (of_publisher, fault, pause) in schedule {
            fault.apply(&faults[usize::from(of_publisher)]);
            sleep(Duration::from_millis(pause)).await;
        }
        faults.iter().for_each(Faults::heal_all);
    });
    let mut published = 0;
    while published < MESSAGES {
        match publisher.event().await.unwrap() {
            Event::Published { .. } => published += 1,
            Event::GaveUp { .. } => connect_again(&publisher.commander()),
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
    // What the broker has taken reaches the subscriber when it is back: its circuit breaker may
    // wait for half a minute.
    sleep(Duration::from_secs(90)).await;
}

async fn collect(mut subscriber: ClientHandle, got: Rc<RefCell<Vec<u32>>>) {
    while let Some(event) = subscriber.event().await {
        match event {
            Event::Message(message) => {
                got.borrow_mut().push(std::str::from_utf8(&message.payload).unwrap().parse().unwrap());
            }
            Event::GaveUp { .. } => connect_again(&subscriber.commander()),
            _ => {}
        }
    }
}

/// A CONNECT that a fault held back may arrive after that of the next connection and take its
/// Session over: the client is told so and gives up, and its application knows better.
fn connect_again(commander: &Commander) {
    let _ = commander.send(Command::Connect(None));
}
