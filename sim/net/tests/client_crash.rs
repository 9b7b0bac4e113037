//! The power of a client's machine fails at every write and sync of its disk in turn, while its
//! outbox and its publish queue are in use: each message that the client had accepted reaches the
//! receiving application, each delivery once, and the statistics agree with the history.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use common::{message, options};
use mqttspec_client::{
    Command, DeliveryState, DeliveryStatistics, EndedDelivery, Event, Options, SubscribeRequest,
};
use mqttspec_codec::{Properties, QoS, Subscription, TopicFilter};
use mqttspec_net::Clock;
use mqttspec_net::broker::serve;
use mqttspec_net::client::{client, spawn_client};
use mqttspec_net::store::{DiskStore, LogStore, NoStore, Store};
use mqttspec_world::{EventKind, HostContext, Probability, World};

const PORT: u16 = 1883;
/// Deliveries of the outbox and messages of QoS 2, alternately.
const MESSAGES: u32 = 8;
/// The runs without a failure change the disk at least this often, so that there are enough moments
/// to fail at.
const LEAST_BOUNDARIES: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Redb,
    Log,
}

#[derive(Clone, Copy, Debug)]
enum Failing {
    Never,
    /// The power, in place of that operation of the disk.
    AtOperation(u64),
    /// The power, at a moment of a run in which each sync takes a while.
    AfterMilliseconds(u64),
    /// The disk has this number of bytes until the client has ended.
    Full(u64),
    /// Syncs fail until the client has ended.
    Sync,
}

#[derive(Default)]
struct Seen {
    /// The receiver's Session exists at the broker.
    subscribed: Cell<bool>,
    /// The messages whose handle the application has got, which means that the client has accepted
    /// them; for each its number and the life of the client.
    accepted: RefCell<BTreeMap<u32, u32>>,
    lives: Cell<u32>,
    /// The errors with which the driver has ended.
    errors: RefCell<Vec<String>>,
    /// The messages that the receiving application got, and how often.
    got: RefCell<BTreeMap<u32, u32>>,
    /// What the sender reports at the end.
    outcome: RefCell<Option<(DeliveryStatistics, Vec<EndedDelivery>)>>,
}

#[test]
fn power_fails_at_every_write_and_sync_of_the_clients_disk() {
    for kind in [Kind::Log, Kind::Redb] {
        let mut boundaries = 0;
        for seed in 0..2 {
            let operations = run(seed, kind, Failing::Never).operations;
            for nth in 1..=operations {
                run(seed, kind, Failing::AtOperation(nth));
            }
            boundaries += operations;
        }
        assert!(boundaries >= LEAST_BOUNDARIES, "{kind:?}: {boundaries} boundaries are too few");
        println!("{kind:?}: power failed at each of {boundaries} operations");
    }
}

#[test]
fn power_fails_while_the_disk_syncs() {
    // Not for redb: it syncs several times in a commit, and a simulated sync that takes time returns
    // before its end.
    for moment in 0..100 {
        run(moment, Kind::Log, Failing::AfterMilliseconds(moment * 2));
    }
}

#[test]
fn a_full_disk_or_a_failed_sync_is_an_error_of_its_kind_and_loses_nothing_accepted() {
    // With room for the store and for a part of the messages.
    for bytes in [400, 800, 1200, 1600] {
        let errors = run(bytes, Kind::Log, Failing::Full(bytes)).errors;
        assert_eq!(errors, ["the disk is full: a store needs at least 1 MiB to be opened"], "{bytes} bytes");
    }
    for kind in [Kind::Log, Kind::Redb] {
        let errors = run(1, kind, Failing::Sync).errors;
        assert!(errors.iter().all(|error| error.starts_with("the store's medium failed")), "{errors:?}");
        assert!(!errors.is_empty(), "{kind:?}: no sync failed");
    }
}

/// What a run shows.
struct Shown {
    /// How many operations the disk did.
    operations: u64,
    /// The errors with which the driver has ended.
    errors: Vec<String>,
}

fn run(seed: u64, kind: Kind, failing: Failing) -> Shown {
    let what: &str = &format!("seed {seed}, {kind:?}, {failing:?}");
    let seen = Rc::new(Seen::default());
    let (at_receiver, at_sender, at_director) = (seen.clone(), seen.clone(), seen.clone());
    let outcome = World::builder(seed)
        .latency(Duration::from_millis(1)..=Duration::from_millis(20))
        .host("broker", broker)
        .host("receiver", move |context| receiver(context, at_receiver.clone()))
        .host_down("sender", move |context| sender(context, kind, at_sender.clone()))
        .run(|world| async move {
            let disk = world.disk("sender").unwrap();
            match failing {
                Failing::AtOperation(nth) => disk.power_fails_at(Some(nth)),
                Failing::Full(bytes) => disk.capacity(Some(bytes)),
                Failing::Sync => disk.sync_errors(Probability::percent(10)),
                Failing::AfterMilliseconds(_) => disk.sync_takes(Duration::from_millis(7)),
                Failing::Never => {}
            }
            while !at_director.subscribed.get() {
                world.sleep(Duration::from_millis(10)).await;
            }
            world.start("sender").unwrap();
            let mut restarts = 0;
            if let Failing::AfterMilliseconds(moment) = failing {
                world.sleep(Duration::from_millis(moment)).await;
                world.crash("sender").unwrap();
            }
            while at_director.outcome.borrow().is_none() {
                world.sleep(Duration::from_millis(50)).await;
                if !at_director.errors.borrow().is_empty() {
                    disk.capacity(None);
                    disk.sync_errors(Probability::NEVER);
                }
                let errors = at_director.errors.borrow().clone();
                assert!(world.now() < Duration::from_secs(1000), "{what}: it waits for ever: {errors:?}");
                if !world.is_up("sender").unwrap() {
                    world.sleep(Duration::from_millis(500)).await;
                    world.start("sender").unwrap();
                    restarts += 1;
                }
            }
            // The acknowledgements of the last messages.
            world.sleep(Duration::from_secs(5)).await;
            (disk.operations(), restarts)
        })
        .unwrap_or_else(|failure| panic!("{what}: {failure}"));
    let (operations, restarts) = outcome.output;
    let crashes = matches!(failing, Failing::AtOperation(_));
    let may_crash = matches!(failing, Failing::AfterMilliseconds(_));
    assert!(restarts == u32::from(crashes) || may_crash && restarts == 1, "{what}");
    let ended = outcome.trace.events.iter().any(|event| matches!(&event.kind, EventKind::HostEnded { .. }));
    assert!(!ended, "{what}: the sender could not go on: {}", outcome.trace);
    let got = seen.got.take();
    for (number, life) in seen.accepted.take() {
        let times = got.get(&name(number, life)).copied().unwrap_or_default();
        assert_eq!(times, 1, "{what}: message {number} arrived {times} times");
    }
    assert!(got.values().all(|times| *times == 1), "{what}: {got:?}");
    let (statistics, history) = seen.outcome.take().unwrap();
    check(what, &statistics, &history);
    Shown { operations, errors: seen.errors.take() }
}

fn name(number: u32, life: u32) -> u32 {
    number * 10 + life
}

/// The statistics agree with the history, and nothing has failed.
fn check(what: &str, statistics: &DeliveryStatistics, history: &[EndedDelivery]) {
    assert_eq!(statistics.total, history.len() as u64, "{what}");
    for state in DeliveryState::ALL {
        let ended: Vec<_> = history.iter().filter(|ended| ended.state == state).collect();
        let counted = statistics.by_state[&state];
        assert_eq!(counted.count, ended.len() as u64, "{what}: {state:?}");
        let retries: u32 = ended.iter().map(|ended| ended.retries).sum();
        let mean = f64::from(retries) / ended.len().max(1) as f64;
        assert!((counted.mean_retries - mean).abs() < 1e-9, "{what}: {state:?}");
    }
    assert_eq!(statistics.success_rate, Some(1.0), "{what}");
}

async fn broker(context: HostContext) -> Result<(), String> {
    let clock = Clock::showing(context.now());
    let seed = context.seed().to_u64();
    let options = mqttspec_broker::Options::default();
    let result = serve(&context.net(), PORT, options, seed, clock, NoStore, ()).await;
    result.map_err(|error| error.to_string())
}

fn peer_options(context: &HostContext) -> Options {
    let set = [("reconnect_attempts", "0"), ("connect_timeout", "3s"), ("delivery_retry", "5s")];
    options("broker", PORT, context.name(), &set)
}

async fn receiver(context: HostContext, seen: Rc<Seen>) {
    let clock = Clock::showing(context.now());
    let options = Options { acknowledge_deliveries: true, ..peer_options(&context) };
    let mut client = spawn_client(context.net(), options, context.seed().to_u64(), clock, ());
    client.command(Command::Connect(None)).await.unwrap();
    let subscriptions = vec![Subscription::new(TopicFilter::from_static("t"), QoS::ExactlyOnce)];
    let request = SubscribeRequest { subscriptions, properties: Properties::new() };
    client.command(Command::Subscribe(request)).await.unwrap();
    while let Some(event) = client.event().await {
        match event {
            Event::Subscribed { .. } => seen.subscribed.set(true),
            Event::Message(message) => {
                let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                *seen.got.borrow_mut().entry(number).or_default() += 1;
            }
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

/// Opens the store and runs a client, and again when it has ended with an error of its store.
async fn sender(context: HostContext, kind: Kind, seen: Rc<Seen>) -> Result<(), String> {
    loop {
        let ended = match kind {
            Kind::Log => match LogStore::open(context.disk()) {
                Ok(store) => run_sender(&context, store, seen.clone()).await,
                Err(error) => Err(error.to_string()),
            },
            Kind::Redb => match DiskStore::open(context.disk()) {
                Ok(store) => run_sender(&context, store, seen.clone()).await,
                Err(error) => Err(error.to_string()),
            },
        };
        if let Err(error) = ended {
            seen.errors.borrow_mut().push(error);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn run_sender(
    context: &HostContext,
    store: impl Store + 'static,
    seen: Rc<Seen>,
) -> Result<(), String> {
    let clock = Clock::showing(context.now());
    let seed = context.seed().to_u64();
    let (mut handle, driver) = client(context.net(), peer_options(context), seed, clock, store, ())
        .map_err(|error| error.to_string())?;
    let commander = handle.commander();
    tokio::task::spawn_local(async move { while handle.event().await.is_some() {} });
    let life = seen.lives.get();
    seen.lives.set(life + 1);
    let application = async {
        commander.command(Command::Connect(None)).await.ok()?;
        for number in 0..MESSAGES {
            // After a crash the application goes on with what was not accepted.
            if seen.accepted.borrow().contains_key(&number) {
                continue;
            }
            // One that the failure interrupted may be in the store; the repeated one is another.
            let publication = message("t", &name(number, life).to_string()).qos(QoS::ExactlyOnce);
            let command = match number % 2 {
                0 => Command::Deliver(publication.into()),
                _ => Command::Publish(publication),
            };
            commander.command(command).await.ok()?;
            seen.accepted.borrow_mut().insert(number, life);
        }
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let report = commander
                .inspect(|core| {
                    let statistics = core.delivery_statistics();
                    let counts = core.statistics();
                    let is_done = statistics.pending + counts.waiting + counts.in_flight == 0;
                    assert_eq!(counts.records_set_aside, 0);
                    is_done.then(|| (statistics, core.delivery_history().cloned().collect()))
                })
                .await
                .ok()?;
            if let Some(report) = report {
                *seen.outcome.borrow_mut() = Some(report);
                return std::future::pending::<Option<()>>().await;
            }
        }
    };
    tokio::select! {
        ended = driver => ended.map_err(|error| error.to_string()),
        // It ends when the driver does.
        _ = application => std::future::pending().await,
    }
}
