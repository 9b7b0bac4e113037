//! A broker on the simulated disk loses its power in the middle of traffic: what it acknowledged is there when it is
//! back, and the peers that keep trying get their messages through, QoS 2 exactly once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use common::{message, options};
use mqttspec_client::{Command, Event, Options, SubscribeRequest};
use mqttspec_codec::{Properties, QoS, Subscription, TopicFilter};
use mqttspec_net::Clock;
use mqttspec_net::broker::serve;
use mqttspec_net::client::spawn_client;
use mqttspec_net::store::DiskStore;
use mqttspec_world::{HostContext, Seed, World};

const PORT: u16 = 1883;
const MESSAGES: u32 = 40;

/// What the subscriber's application got: how often each payload.
type Got = Rc<RefCell<BTreeMap<String, u32>>>;
/// What the publisher's application was told to be published.
type Acknowledged = Rc<RefCell<Vec<String>>>;

fn peer_options(context: &HostContext) -> Options {
    options(
        "broker",
        PORT,
        context.name(),
        &[("reconnect_attempts", "1000"), ("timeout", "3s"), ("keep_alive", "5")],
    )
}

async fn broker(context: HostContext) -> Result<(), String> {
    let store = DiskStore::open(context.disk()).map_err(|error| error.to_string())?;
    let clock = Clock::showing(context.now());
    let seed = context.seed().to_u64();
    let result =
        serve(&context.net(), PORT, mqttspec_broker::Options::default(), seed, clock, store, ()).await;
    result.map_err(|error| error.to_string())
}

async fn subscriber(context: HostContext, qos: QoS, got: Got, subscribed: Rc<Cell<bool>>) {
    let clock = Clock::showing(context.now());
    let mut client = spawn_client(context.net(), peer_options(&context), context.seed().to_u64(), clock, ());
    client.command(Command::Connect(None)).await.unwrap();
    let subscriptions = vec![Subscription::new(TopicFilter::from_static("#"), qos)];
    let request = SubscribeRequest { subscriptions, properties: Properties::new() };
    client.command(Command::Subscribe(request)).await.unwrap();
    while let Some(event) = client.event().await {
        match event {
            Event::Subscribed { .. } => subscribed.set(true),
            Event::Message(message) => {
                *got.borrow_mut()
                    .entry(String::from_utf8_lossy(&message.payload).into_owned())
                    .or_default() += 1;
            }
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

async fn publisher(context: HostContext, qos: QoS, acknowledged: Acknowledged, subscribed: Rc<Cell<bool>>) {
    let clock = Clock::showing(context.now());
    let mut client = spawn_client(context.net(), peer_options(&context), context.seed().to_u64(), clock, ());
    client.command(Command::Connect(None)).await.unwrap();
    let commander = client.commander();
    tokio::task::spawn_local(async move {
        while !subscribed.get() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for number in 0..MESSAGES {
            let _ = commander.send(Command::Publish(message("t", &number.to_string()).qos(qos)));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::future::pending::<()>().await;
    });
    while let Some(event) = client.event().await {
        match event {
            Event::Published { publication, .. } => {
                acknowledged.borrow_mut().push(String::from_utf8_lossy(&publication.payload).into_owned());
            }
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

/// Runs the traffic while the director does its worst, until the publisher has all acknowledged and then some.
fn traffic<F>(seed: u64, qos: QoS, worst: impl FnOnce(World) -> F) -> BTreeMap<String, u32>
where
    F: Future<Output = ()>,
{
    let (got, acknowledged) = (Got::default(), Acknowledged::default());
    let (at_subscriber, at_publisher) = (Rc::clone(&got), Rc::clone(&acknowledged));
    let subscribed = Rc::new(Cell::new(false));
    let is_subscribed = Rc::clone(&subscribed);
    let outcome = World::builder(seed)
        .latency(Duration::from_millis(1)..=Duration::from_millis(20))
        .host("broker", broker)
        .host("subscriber", move |context| {
            subscriber(context, qos, Rc::clone(&at_subscriber), Rc::clone(&subscribed))
        })
        .host("publisher", move |context| {
            publisher(context, qos, Rc::clone(&at_publisher), Rc::clone(&is_subscribed))
        })
        .run(|world| async move {
            worst(world.clone()).await;
            while acknowledged.borrow().len() < MESSAGES as usize {
                assert!(world.now() < Duration::from_secs(3600), "{:?}", acknowledged.borrow());
                world.sleep(Duration::from_secs(1)).await;
            }
            world.sleep(Duration::from_secs(120)).await;
        });
    outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    got.take()
}

#[test]
fn power_fails_in_the_middle_of_qos_2_traffic() {
    for seed in 0..20 {
        let got = traffic(seed, QoS::ExactlyOnce, |world| crash_at_some_moments(world, seed));
        let expected: BTreeMap<_, _> = (0..MESSAGES).map(|number| (number.to_string(), 1)).collect();
        assert_eq!(got, expected, "seed {seed}");
    }
}

#[test]
fn power_fails_in_the_middle_of_qos_1_traffic() {
    for seed in 0..20 {
        let got = traffic(seed, QoS::AtLeastOnce, |world| crash_at_some_moments(world, seed));
        let missing: Vec<_> = (0..MESSAGES).filter(|number| !got.contains_key(&number.to_string())).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
    }
}

async fn crash_at_some_moments(world: World, seed: u64) {
    let mut draw = Seed::new(seed).child("crashes").draw();
    for _ in 0..3 {
        world.sleep(draw.duration(Duration::from_millis(50), Duration::from_millis(600))).await;
        world.crash("broker").unwrap();
        world.sleep(draw.duration(Duration::from_millis(1), Duration::from_secs(2))).await;
        world.start("broker").unwrap();
    }
}

/// The disk's power, and with it the broker's, fails at every operation of the disk in turn.
#[test]
fn power_fails_at_every_operation_of_the_disk() {
    let mut failures = 0;
    for nth in (1..).step_by(7) {
        let failed = Rc::new(RefCell::new(false));
        let seen = Rc::clone(&failed);
        let got = traffic(99, QoS::ExactlyOnce, |world| async move {
            world.disk("broker").unwrap().power_fails_at(Some(nth));
            while world.is_up("broker").unwrap() && world.now() < Duration::from_secs(10) {
                world.sleep(Duration::from_millis(20)).await;
            }
            if !world.is_up("broker").unwrap() {
                *seen.borrow_mut() = true;
                world.sleep(Duration::from_secs(1)).await;
                world.start("broker").unwrap();
            }
        });
        let expected: BTreeMap<_, _> = (0..MESSAGES).map(|number| (number.to_string(), 1)).collect();
        assert_eq!(got, expected, "operation {nth}");
        if !failed.take() {
            break;
        }
        failures += 1;
    }
    assert!(failures > 20, "the run has {failures} failures");
}
