//! One body on two networks: the simulated world and this machine's TCP.
#![allow(dead_code, reason = "each test program uses a part")]

use std::future::{Future, pending};
use std::time::Duration;

use mqttspec_client::{Command, DisconnectRequest, Event, Message, Publication, SubscribeRequest};
use mqttspec_codec::{Properties, QoS, Subscription, TopicFilter, TopicName};
use mqttspec_net::Clock;
use mqttspec_net::broker::{Entrance, Limits, ServeError, Server};
use mqttspec_net::client::{ClientHandle, spawn_client};
use mqttspec_net::store::{NoStore, Store};
use mqttspec_ports::{Listener as _, Net};
use mqttspec_world::{World, WorldNet};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::timeout;

/// Far longer than anything takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs a body as director of a simulated world, with the networks of two hosts; the name leads to
/// the first.
pub(crate) fn simulated<F: Future<Output = ()>>(body: impl FnOnce(WorldNet, WorldNet, &'static str) -> F) {
    World::builder(7)
        .host("server", |_| pending::<()>())
        .host("client", |_| pending::<()>())
        .run(|world| async move {
            let (server, client) = (world.net("server").unwrap(), world.net("client").unwrap());
            LocalSet::new().run_until(patiently(body(server, client, "server"))).await;
        })
        .unwrap();
}

/// Runs a body on this machine's loopback interface.
pub(crate) fn real<F: Future<Output = ()>>(
    body: impl FnOnce(mqttspec_net::TcpNet, mqttspec_net::TcpNet, &'static str) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let net = mqttspec_net::TcpNet::loopback();
    LocalSet::new().block_on(&runtime, patiently(body(net, net, "127.0.0.1")));
}

async fn patiently(body: impl Future<Output = ()>) {
    timeout(PATIENCE, body).await.expect("the test hangs");
}

/// A test on each network for every body.
#[macro_export]
macro_rules! on_both_networks {
    ($($body:ident),+ $(,)?) => {
        mod simulated {
            $(#[test] fn $body() { $crate::common::simulated(super::$body) })+
        }
        mod real {
            $(#[test] fn $body() { $crate::common::real(super::$body) })+
        }
    };
}

/// A broker under its driver.
pub(crate) struct Broker {
    pub(crate) port: u16,
    pub(crate) entrance: Entrance,
    pub(crate) running: JoinHandle<Result<(), ServeError>>,
}

impl Broker {
    /// Ends it as a kill does, and frees its port.
    pub(crate) fn kill(self) -> u16 {
        self.running.abort();
        self.port
    }
}

pub(crate) async fn start_broker<N: Net>(net: &N, store: impl Store + 'static) -> Broker {
    start_broker_at(net, 0, store).await
}

pub(crate) async fn start_broker_at<N: Net>(net: &N, port: u16, store: impl Store + 'static) -> Broker {
    start(net, port, mqttspec_broker::Options::default(), store, Limits::default()).await
}

pub(crate) async fn start_limited<N: Net>(
    net: &N,
    options: mqttspec_broker::Options,
    limits: Limits,
) -> Broker {
    start(net, 0, options, NoStore, limits).await
}

async fn start<N: Net>(
    net: &N,
    port: u16,
    options: mqttspec_broker::Options,
    store: impl Store + 'static,
    limits: Limits,
) -> Broker {
    let clock = Clock::showing(Duration::ZERO);
    let (server, entrance) = Server::with_limits(options, 1, clock, store, (), limits).unwrap();
    // The listener of a broker that was just killed goes when its tasks are dropped.
    let listener = loop {
        match net.listen(port).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let port = listener.local_addr().unwrap().port();
    entrance.listen(listener);
    Broker { port, entrance, running: spawn_local(server.run()) }
}

pub(crate) fn options(
    host: &str,
    port: u16,
    client_id: &str,
    set: &[(&str, &str)],
) -> mqttspec_client::Options {
    let mut options = mqttspec_client::Options::default();
    let port = port.to_string();
    for (name, value) in [("address", host), ("port", &port), ("client_id", client_id)].iter().chain(set) {
        options.set(name, value).unwrap();
    }
    options
}

pub(crate) fn client<N: Net>(net: &N, host: &str, port: u16, client_id: &str) -> ClientHandle {
    client_with(net, host, port, client_id, &[])
}

pub(crate) fn client_with<N: Net>(
    net: &N,
    host: &str,
    port: u16,
    client_id: &str,
    set: &[(&str, &str)],
) -> ClientHandle {
    let options = options(host, port, client_id, set);
    spawn_client(net.clone(), options, 1, Clock::showing(Duration::ZERO), ())
}

/// Connects, and tells whether the Session was present.
pub(crate) async fn connect(client: &mut ClientHandle) -> bool {
    client.command(Command::Connect(None)).await.unwrap();
    connected(client).await
}

pub(crate) async fn connected(client: &mut ClientHandle) -> bool {
    loop {
        match client.event().await.unwrap() {
            Event::Connected { session_present, .. } => return session_present,
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

pub(crate) async fn disconnect(client: &mut ClientHandle) {
    client.command(Command::Disconnect(DisconnectRequest::default())).await.unwrap();
    while !matches!(client.event().await.unwrap(), Event::Disconnected { .. }) {}
}

pub(crate) async fn subscribe(client: &mut ClientHandle, filter: &str, qos: QoS) {
    let subscriptions = vec![Subscription::new(TopicFilter::try_from(filter).unwrap(), qos)];
    let request = SubscribeRequest { subscriptions, properties: Properties::new() };
    client.command(Command::Subscribe(request)).await.unwrap();
    loop {
        match client.event().await.unwrap() {
            Event::Subscribed { .. } => return,
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

pub(crate) fn message(topic: &str, payload: &str) -> Publication {
    Publication::new(TopicName::try_from(topic).unwrap(), payload.to_owned())
}

pub(crate) async fn publish(client: &mut ClientHandle, publication: Publication) {
    client.command(Command::Publish(publication)).await.unwrap();
    loop {
        match client.event().await.unwrap() {
            Event::Published { .. } => return,
            Event::Failed { error, .. } => panic!("{error}"),
            _ => {}
        }
    }
}

pub(crate) async fn receive(client: &mut ClientHandle) -> Message {
    loop {
        if let Event::Message(message) = client.event().await.unwrap() {
            return message;
        }
    }
}
