//! A simulated day: two clients of applications, with their stores, under every fault profile in
//! turn. Nothing that was accepted is lost, nothing reaches the application twice, and the
//! statistics agree with the history. The clients are the handles that applications have on real
//! sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use mqttspec_application::{Client, DeliveryStatistics, EndedDelivery, Options, QoS, drive, message};
use mqttspec_client::DeliveryState;
use mqttspec_faults::{Injector, Profile};
use mqttspec_net::Clock;
use mqttspec_net::broker::serve;
use mqttspec_net::store::LogStore;
use mqttspec_world::{EventKind, HostContext, World};

const S: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A profile begins every so often: long enough to recover from the one before.
const SLOT: Duration = Duration::from_secs(300);
/// A delivery of the outbox and a message of QoS 2 each time.
const BETWEEN: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Seen {
    next: Cell<u32>,
    is_over: Cell<bool>,
    subscribed: Cell<bool>,
    /// What the sending client has accepted.
    accepted: RefCell<BTreeSet<u32>>,
    /// What the receiving application got, and how often.
    got: RefCell<BTreeMap<u32, u32>>,
    outcome: RefCell<Option<(DeliveryStatistics, Vec<EndedDelivery>)>>,
    connections: Cell<u64>,
    lives: Cell<u32>,
}

#[test]
fn nothing_is_lost_or_doubled_in_a_day_of_all_fault_profiles() {
    let seen = Rc::new(Seen::default());
    let (at_receiver, at_sender, at_director) = (seen.clone(), seen.clone(), seen.clone());
    let outcome = World::builder(1)
        .latency(Duration::from_millis(1)..=Duration::from_millis(50))
        .host("broker", broker)
        .host("receiver", move |context| receiver(context, at_receiver.clone()))
        .host("sender", move |context| sender(context, at_sender.clone()))
        .run(|world| async move {
            let injector = Injector::new(world.clone());
            let mut profiles = 0;
            let combinations =
                Profile::USUAL.iter().flat_map(|p| ["sender", "receiver"].map(|host| (p, host)));
            for (profile, host) in combinations.cycle() {
                if world.now() >= DAY {
                    break;
                }
                let until = world.now() + SLOT;
                injector.run(profile.course(&[host], "broker"), |_, _| {}).await.unwrap();
                profiles += 1;
                world.sleep(until.saturating_sub(world.now())).await;
            }
            at_director.is_over.set(true);
            let end = world.now() + 600 * S;
            while at_director.outcome.borrow().is_none() && world.now() < end {
                world.sleep(S).await;
            }
            world.sleep(60 * S).await;
            profiles
        })
        .unwrap();
    let ended = outcome.trace.events.iter().find(|event| matches!(&event.kind, EventKind::HostEnded { .. }));
    assert!(ended.is_none(), "{ended:?}");
    let (accepted, got) = (seen.accepted.take(), seen.got.take());
    let (statistics, history) = seen.outcome.take().expect("everything in the outbox ends");
    let acknowledged = statistics.by_state[&DeliveryState::Acknowledged];
    println!(
        "{} fault profiles, {} lives and {} connections of the sender, {} messages accepted, {} received; \
         {} deliveries, {} acknowledged, {:.3} retries on average",
        outcome.output,
        seen.lives.get(),
        seen.connections.get(),
        accepted.len(),
        got.len(),
        statistics.total,
        acknowledged.count,
        acknowledged.mean_retries,
    );
    assert!(outcome.output >= 288 && accepted.len() > 15_000);
    let lost: Vec<_> = accepted.iter().filter(|number| !got.contains_key(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    let doubled: Vec<_> = got.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "more than once: {doubled:?}");
    assert_eq!((statistics.pending, statistics.success_rate), (0, Some(1.0)));
    assert_eq!(acknowledged.count, statistics.total);
    // Deliveries have even numbers.
    assert!(acknowledged.count >= accepted.iter().filter(|number| number.is_multiple_of(2)).count() as u64);
    assert_eq!(history.len() as u64, statistics.total, "the history keeps all of them here");
    assert!(history.iter().all(|ended| ended.state == DeliveryState::Acknowledged));
    assert!(history.iter().all(|ended| ended.by.as_deref() == Some("receiver")));
    let retries: u32 = history.iter().map(|ended| ended.retries).sum();
    assert!(retries > 50, "{retries} retries prove little");
    let mean = f64::from(retries) / history.len() as f64;
    assert!((mean - acknowledged.mean_retries).abs() < 1e-9, "{mean} {}", acknowledged.mean_retries);
}

async fn broker(context: HostContext) -> Result<(), String> {
    let store = LogStore::open(context.disk()).map_err(|error| error.to_string())?;
    let (clock, seed) = (Clock::showing(context.now()), context.seed().to_u64());
    let options = mqttspec_broker::Options::default();
    serve(&context.net(), 1883, options, seed, clock, store, ()).await.map_err(|error| error.to_string())
}

fn start(context: &HostContext) -> Result<Client, String> {
    let mut options =
        Options { acknowledge_deliveries: true, delivery_history: 100_000, ..Options::default() };
    for (name, value) in [
        ("address", "broker"),
        ("client_id", context.name()),
        ("keep_alive", "20"),
        ("reconnect_attempts", "0"),
        // Retries while a fault lasts, so that the same delivery arrives several times.
        ("delivery_retry", "5s"),
        ("delivery_retries", "30"),
    ] {
        options.set(name, value).map_err(|error| error.to_string())?;
    }
    let store = LogStore::open(context.disk()).map_err(|error| error.to_string())?;
    let (clock, seed) = (Clock::showing(context.now()), context.seed().to_u64());
    let (client, run) =
        drive(context.net(), options, seed, clock, store).map_err(|error| error.to_string())?;
    tokio::task::spawn_local(run);
    Ok(client)
}

async fn receiver(context: HostContext, seen: Rc<Seen>) -> Result<(), String> {
    let client = start(&context)?;
    client.connect().detach();
    let jobs = client.subscribe("jobs", QoS::ExactlyOnce).map_err(|error| error.to_string())?;
    let mut jobs = jobs.await.map_err(|error| error.to_string())?;
    seen.subscribed.set(true);
    while let Some(job) = jobs.next().await {
        let number = std::str::from_utf8(&job.payload).unwrap().parse().unwrap();
        *seen.got.borrow_mut().entry(number).or_default() += 1;
    }
    Err("the client has ended".to_owned())
}

async fn sender(context: HostContext, seen: Rc<Seen>) -> Result<(), String> {
    let text = |error: mqttspec_application::Error| error.to_string();
    let client = start(&context)?;
    seen.lives.set(seen.lives.get() + 1);
    let connections = seen.connections.get();
    client.connect().detach();
    while !seen.subscribed.get() {
        tokio::time::sleep(S).await;
    }
    while !seen.is_over.get() {
        for _ in 0..2 {
            // After a crash, a number that was not accepted is not used again.
            let number = seen.next.get();
            seen.next.set(number + 1);
            let job = message("jobs", number.to_string()).map_err(text)?.qos(QoS::ExactlyOnce);
            if number.is_multiple_of(2) {
                client.deliver(job).detach();
            } else {
                client.publish(job).detach();
            }
            // The client answers in the order of its commands: this one was accepted and is durable.
            client.info().await.map_err(text)?;
            seen.accepted.borrow_mut().insert(number);
        }
        seen.connections.set(connections + client.statistics().await.map_err(text)?.connections);
        tokio::time::sleep(BETWEEN).await;
    }
    loop {
        tokio::time::sleep(S).await;
        let (statistics, info) =
            (client.delivery_statistics().await.map_err(text)?, client.info().await.map_err(text)?);
        if statistics.pending + info.waiting + info.in_flight == 0 {
            let history = client.delivery_history().await.map_err(text)?;
            *seen.outcome.borrow_mut() = Some((statistics, history));
            return std::future::pending().await;
        }
    }
}
