//! The power of the broker's machine fails in the middle of traffic, at every write and sync of its
//! disk in turn and at moments that the seed draws: what it acknowledged is there when it is back,
//! nothing is corrupt, and QoS 2 is delivered exactly once.
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
use mqttspec_world::{EventKind, HostContext, World};

const PORT: u16 = 1883;
/// Published alternately with QoS 1 and QoS 2.
const MESSAGES: u32 = 12;
/// The runs without a failure make at least so many changes to the disk between them.
const LEAST_BOUNDARIES: u64 = 500;

/// Long enough for all that is under way once everything was acknowledged, and for a try more of
/// the clients.
const SETTLES: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Seen {
    /// The subscriber's Session exists at the broker, which said so.
    subscribed: Cell<bool>,
    acknowledged: RefCell<Vec<String>>,
    got: RefCell<BTreeMap<String, u32>>,
}

/// When the power fails.
#[derive(Clone, Copy, Debug)]
enum Failing {
    Never,
    /// At that operation of the disk.
    AtOperation(u64),
    /// So many times, at moments that the seed draws.
    AtMoments(u32),
}

#[test]
fn power_fails_at_every_write_and_sync_of_the_brokers_disk() {
    let mut boundaries = 0;
    // Each seed has other schedules, and other parts of the unsynced writes that survive.
    for seed in 0..4 {
        let operations = run(seed, Failing::Never);
        for nth in 1..=operations {
            run(seed, Failing::AtOperation(nth));
        }
        boundaries += operations;
    }
    assert!(boundaries >= LEAST_BOUNDARIES, "{boundaries} boundaries are too few to mean much");
}

#[test]
fn power_fails_several_times_in_the_middle_of_traffic() {
    for seed in 0..40 {
        run(seed, Failing::AtMoments(3));
    }
}

/// One run; gives how many operations the disk did.
fn run(seed: u64, failing: Failing) -> u64 {
    let seen = Rc::new(Seen::default());
    let (at_subscriber, at_publisher, at_director) = (seen.clone(), seen.clone(), seen.clone());
    let outcome = World::builder(seed)
        .latency(Duration::from_millis(1)..=Duration::from_millis(20))
        .host_down("broker", broker)
        .host("subscriber", move |context| subscriber(context, at_subscriber.clone()))
        .host("publisher", move |context| publisher(context, at_publisher.clone()))
        .run(|world| async move {
            let disk = world.disk("broker").unwrap();
            let failures = match failing {
                Failing::Never => 0,
                Failing::AtOperation(nth) => {
                    disk.power_fails_at(Some(nth));
                    1
                }
                Failing::AtMoments(times) => {
                    tokio::task::spawn_local(fail_at_moments(world.clone(), at_director.clone(), times));
                    times
                }
            };
            world.start("broker").unwrap();
            let mut restarts = 0;
            let mut settled_since = None;
            while settled_since.is_none_or(|since| world.now() < since + SETTLES) {
                world.sleep(Duration::from_millis(50)).await;
                assert!(
                    world.now() < Duration::from_secs(600),
                    "seed {seed}, {failing:?}: the publisher waits for ever"
                );
                if !world.is_up("broker").unwrap() {
                    world.sleep(Duration::from_millis(500)).await;
                    world.start("broker").unwrap();
                    restarts += 1;
                    settled_since = None;
                } else if at_director.acknowledged.borrow().len() == MESSAGES as usize {
                    settled_since.get_or_insert(world.now());
                }
            }
            assert_eq!(restarts, failures, "seed {seed}, {failing:?}");
            (disk.operations(), restarts)
        })
        .unwrap_or_else(|failure| panic!("seed {seed}, {failing:?}: {failure}"));
    let (operations, restarts) = outcome.output;
    assert!(
        !outcome.trace.events.iter().any(|event| matches!(&event.kind, EventKind::HostEnded { .. })),
        "seed {seed}, {failing:?}: the broker could not open its store: {}",
        outcome.trace
    );
    let got = seen.got.take();
    for number in 0..MESSAGES {
        let times = got.get(&number.to_string()).copied().unwrap_or_default();
        let right = if qos(number) == QoS::ExactlyOnce { times == 1 } else { times >= 1 };
        assert!(
            right,
            "seed {seed}, {failing:?}: message {number} arrived {times} times, after {restarts} restarts"
        );
    }
    operations
}

/// Each is soon after the broker is back, while the publisher still has something to say: it begins
/// once there is a Subscription.
async fn fail_at_moments(world: World, seen: Rc<Seen>, times: u32) {
    let mut moments = world.seed("power").draw();
    for _ in 0..times {
        while !seen.subscribed.get() || !world.is_up("broker").unwrap() {
            world.sleep(Duration::from_millis(10)).await;
        }
        world.sleep(moments.duration(Duration::from_millis(10), Duration::from_millis(150))).await;
        world.crash("broker").unwrap();
    }
}

fn qos(number: u32) -> QoS {
    if number.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce }
}

async fn broker(context: HostContext) -> Result<(), String> {
    let store = DiskStore::open(context.disk()).map_err(|error| error.to_string())?;
    let clock = Clock::showing(context.now());
    let seed = context.seed().to_u64();
    let result =
        serve(&context.net(), PORT, mqttspec_broker::Options::default(), seed, clock, store, ()).await;
    result.map_err(|error| error.to_string())
}

fn peer_options(context: &HostContext) -> Options {
    options(
        "broker",
        PORT,
        context.name(),
        &[("reconnect_attempts", "1000"), ("timeout", "3s"), ("keep_alive", "5")],
    )
}

async fn subscriber(context: HostContext, seen: Rc<Seen>) {
    let clock = Clock::showing(context.now());
    let mut client = spawn_client(context.net(), peer_options(&context), context.seed().to_u64(), clock, ());
    client.command(Command::Connect(None)).await.unwrap();
    let subscriptions = vec![Subscription::new(TopicFilter::from_static("#"), QoS::ExactlyOnce)];
    let request = SubscribeRequest { subscriptions, properties: Properties::new() };
    client.command(Command::Subscribe(request)).await.unwrap();
    while let Some(event) = client.event().await {
        match event {
            Event::Subscribed { .. } => seen.subscribed.set(true),
            Event::Message(message) => {
                let payload = String::from_utf8_lossy(&message.payload).into_owned();
                *seen.got.borrow_mut().entry(payload).or_default() += 1;
            }
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

async fn publisher(context: HostContext, seen: Rc<Seen>) {
    let clock = Clock::showing(context.now());
    let mut client = spawn_client(context.net(), peer_options(&context), context.seed().to_u64(), clock, ());
    client.command(Command::Connect(None)).await.unwrap();
    let commander = client.commander();
    let ready = seen.clone();
    tokio::task::spawn_local(async move {
        while !ready.subscribed.get() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for number in 0..MESSAGES {
            let message = message("t", &number.to_string()).qos(qos(number));
            let _ = commander.send(Command::Publish(message));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::future::pending::<()>().await;
    });
    while let Some(event) = client.event().await {
        match event {
            Event::Published { publication, .. } => {
                let payload = String::from_utf8_lossy(&publication.payload).into_owned();
                seen.acknowledged.borrow_mut().push(payload);
            }
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}
