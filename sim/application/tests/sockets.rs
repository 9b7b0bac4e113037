//! The client of an application on real sockets, through its public API alone.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use mqttspec_application::mqttspec_client::{Error as CoreError, ErrorKind};
use mqttspec_application::mqttspec_codec::{Properties, ReasonString, Subscription, Utf8String};
use mqttspec_application::{
    Acknowledgement, CircuitState, Client, DeliverRequest, DisconnectRequest, Error, Event, PayloadKind,
    PubAckReason, QoS, State, TopicFilter, message,
};
use mqttspec_broker::Options as BrokerOptions;
use mqttspec_net::TestBroker;
use mqttspec_net::relay::Cut;
use mqttspec_net::transport::ServerTls;

const PATIENCE: Duration = Duration::from_secs(60);

fn connected(broker: &TestBroker, name: &str) -> Client {
    Client::builder(&broker.url()).unwrap().client_id(name).unwrap().connect().wait().unwrap()
}

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("mqttspec-application-{}-{name}", std::process::id()))
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = path(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn one_client_is_used_by_many_threads_at_once() {
    let broker = TestBroker::start().unwrap();
    let client = connected(&broker, "shared");
    let mut all = client.subscribe("thread/#", QoS::ExactlyOnce).unwrap().wait().unwrap();
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let client = client.clone();
            #[expect(clippy::disallowed_methods, reason = "several threads are what is tested")]
            std::thread::spawn(move || {
                for number in 0..50 {
                    let text = message(&format!("thread/{thread}"), number.to_string()).unwrap();
                    client.publish(text.qos(QoS::ExactlyOnce)).wait().unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut next = [0; 8];
    for _ in 0..400 {
        let message = all.wait().unwrap();
        let thread: usize = message.topic.as_str()[7..].parse().unwrap();
        assert_eq!(message.payload, next[thread].to_string(), "in order, none twice");
        next[thread] += 1;
    }
    client.stop().wait().unwrap();
    assert!(matches!(client.publish(message("a", "b").unwrap()).wait(), Err(Error::Stopped)));
    assert!(all.wait().is_none());
}

#[test]
fn it_is_used_in_asynchronous_code_of_any_runtime() {
    let broker = TestBroker::start().unwrap();
    let url = broker.url();
    let run = async {
        let client = Client::builder(&url)?.client_id("async")?.connect().await?;
        let mut room = client.subscribe("room/+", QoS::AtLeastOnce)?.await?;
        let mut server = client.subscribe("add", QoS::AtLeastOnce)?.await?;
        let sent = [1, 2, 3].map(|number| client.publish(message("room/1", number.to_string()).unwrap()));
        for pending in sent {
            pending.await?;
        }
        for number in [1, 2, 3] {
            assert_eq!(room.next().await.unwrap().payload, number.to_string());
        }
        let request = client.request(message("add", "2 3")?, None);
        let asked = server.next().await.unwrap();
        client.respond(&asked, "5").await?;
        assert_eq!(request.await?.payload, "5");
        let late = client.request(message("nowhere", "")?, Some(Duration::from_millis(50))).await;
        assert!(matches!(late, Err(Error::Client(mqttspec_client::Error::TimedOut(_)))), "{late:?}");
        client.stop().await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(run).unwrap();
}

#[test]
fn handlers_do_not_disturb_one_another() {
    let broker = TestBroker::start().unwrap();
    let client = connected(&broker, "handlers");
    let (slow_sender, slow) = mpsc::channel();
    let (free, waits) = mpsc::channel::<()>();
    let (other_sender, other) = mpsc::channel();
    let subscribe = |filter| client.subscribe(filter, QoS::AtLeastOnce).unwrap().wait().unwrap();
    // One that blocks and panics, one that overlaps with it, one for all.
    subscribe("a/+")
        .for_each(move |message| {
            waits.recv().unwrap();
            assert_ne!(message.payload, "1", "this panic is part of the test");
            slow_sender.send(message.payload).unwrap();
        })
        .unwrap();
    subscribe("a/#").for_each(move |message| other_sender.send(message.payload).unwrap()).unwrap();
    let mut all = subscribe("#");
    for number in 0..3 {
        client.publish(message("a/b", number.to_string()).unwrap()).wait().unwrap();
    }
    for number in 0..3 {
        assert_eq!(other.recv_timeout(PATIENCE).unwrap(), number.to_string());
        assert_eq!(all.wait().unwrap().payload, number.to_string());
    }
    assert!(slow.try_recv().is_err());
    (0..3).for_each(|_| free.send(()).unwrap());
    assert_eq!(slow.recv_timeout(PATIENCE).unwrap(), "0");
    assert_eq!(slow.recv_timeout(PATIENCE).unwrap(), "2", "after the panic");
    assert!(all.try_next().is_none(), "each message came once for each subscription");
}

#[test]
fn a_dropped_subscription_ends_at_the_server_unless_another_needs_it() {
    let broker = TestBroker::start().unwrap();
    let client = connected(&broker, "dropper");
    let publish = || client.publish(message("t", "x").unwrap()).wait().unwrap();
    let first = client.subscribe("t", QoS::AtLeastOnce).unwrap().wait().unwrap();
    let mut second = client.subscribe("t", QoS::AtLeastOnce).unwrap().wait().unwrap();
    drop(first);
    assert_eq!(publish(), PubAckReason::Success);
    assert_eq!(second.wait().unwrap().payload, "x");
    drop(second);
    // The order to unsubscribe comes before that to publish.
    publish();
    let mut other = client.subscribe("u", QoS::AtLeastOnce).unwrap().wait().unwrap();
    client.publish(message("u", "y").unwrap()).wait().unwrap();
    assert_eq!(other.wait().unwrap().payload, "y");
    assert_eq!(client.statistics().wait().unwrap().messages_received, 2, "the second t was not sent");
}

#[test]
fn a_url_a_ca_file_and_a_certificate_are_enough_for_tls() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let tls = ServerTls::for_clients_of(pem.as_bytes(), pem.as_bytes(), key.as_bytes()).unwrap();
    let broker = TestBroker::with(BrokerOptions::default()).tls(tls).start().unwrap();
    let (ca, private) = (file("ca.pem", &pem), file("key.pem", &key));
    let builder = || Client::builder(&broker.url()).unwrap().client_id("tls").unwrap();
    let client = builder().ca_file(&ca).certificate(&ca, &private).connect().wait().unwrap();
    client.publish(message("a", "secret").unwrap()).wait().unwrap();
    client.stop().wait().unwrap();
    // Its own certificate missing, and one that no authority of this machine signed.
    let once = |builder: mqttspec_application::Builder| {
        builder.option("reconnect", "0").unwrap().connect().wait().unwrap_err()
    };
    once(builder().ca_file(&ca));
    let error = once(builder());
    assert!(
        matches!(&error, Error::Transport(_) | Error::Client(mqttspec_client::Error::NotReachable(_))),
        "{error}"
    );
    let error = once(Client::builder("mqtt://localhost:1").unwrap().ca_file(&ca));
    assert!(matches!(error, Error::Transport(_)), "clear text although a ca_file is set: {error}");
}

#[test]
fn a_websocket_url_is_enough() {
    let broker = TestBroker::with(BrokerOptions::default()).websocket().start().unwrap();
    let client = connected(&broker, "ws");
    let mut all = client.subscribe("#", QoS::AtMostOnce).unwrap().wait().unwrap();
    client.publish(message("a", "framed").unwrap()).wait().unwrap();
    assert_eq!(all.wait().unwrap().payload, "framed");
}

#[test]
fn a_user_is_needed_where_the_broker_wants_one() {
    let mut options = BrokerOptions::default();
    options.set("users", "user ann password secret; publish #").unwrap();
    options.set("allow_anonymous", "0").unwrap();
    let broker = TestBroker::with(options).start().unwrap();
    let builder = || Client::builder(&broker.url()).unwrap().client_id("ann").unwrap();
    builder().user("ann", b"secret").unwrap().connect().wait().unwrap();
    let error = builder().user("ann", b"wrong").unwrap().connect().wait().unwrap_err();
    assert!(matches!(error, Error::Client(mqttspec_client::Error::Refused { .. })), "{error}");
}

#[test]
fn what_waits_in_the_store_survives_the_process_and_messages_wait_for_their_subscription() {
    let broker = TestBroker::start().unwrap();
    let store = path("kept.redb");
    let _ = std::fs::remove_file(&store);
    let builder = || Client::builder(&broker.url()).unwrap().client_id("kept").unwrap().store(&store);

    let receiver = connected(&broker, "receiver");
    let mut jobs = receiver.subscribe("jobs", QoS::ExactlyOnce).unwrap().wait().unwrap();

    let first = builder().connect().wait().unwrap();
    let orders = first.subscribe("orders", QoS::AtLeastOnce).unwrap().wait().unwrap();
    first.disconnect().wait().unwrap();
    let waits = first.publish(message("jobs", "while offline").unwrap().qos(QoS::ExactlyOnce));
    // Once this is answered, the message before it is in the store.
    assert_eq!(first.info().wait().unwrap().waiting, 1);
    // Its subscriptions stay in the Session, as after a crash of the process.
    std::mem::forget(orders);
    first.stop().wait().unwrap();
    assert!(matches!(waits.wait(), Err(Error::Stopped)));
    receiver.publish(message("orders", "for later").unwrap()).wait().unwrap();

    let second = builder().connect().wait().unwrap();
    assert_eq!(jobs.wait().unwrap().payload, "while offline");
    let mut orders = second.subscribe("orders", QoS::AtLeastOnce).unwrap().wait().unwrap();
    assert_eq!(orders.wait().unwrap().payload, "for later");
    second.stop().wait().unwrap();
    std::fs::remove_file(&store).unwrap();
}

#[test]
fn a_delivery_ends_when_the_receiving_application_has_it() {
    let broker = TestBroker::start().unwrap();
    let sender = connected(&broker, "sender");
    let mut builder = Client::builder(&broker.url()).unwrap().client_id("worker").unwrap();
    builder.options().acknowledge_deliveries = true;
    builder.options().acknowledgement = Acknowledgement::Manual;
    let worker = builder.connect().wait().unwrap();
    let mut jobs = worker.subscribe("jobs", QoS::AtLeastOnce).unwrap().wait().unwrap();
    let done = sender.deliver(message("jobs", "print").unwrap());
    let burn = message("jobs", "burn").unwrap();
    let refused = sender.deliver(DeliverRequest { retries: Some(0), ..burn.into() });
    let job = jobs.wait().unwrap();
    assert_eq!(job.delivery.as_ref().and_then(|details| details.retries), Some(0));
    assert_eq!(sender.delivery_statistics().wait().unwrap().pending, 2, "the worker has not decided");
    worker.acknowledge(&job, PubAckReason::Success).wait().unwrap();
    assert_eq!(done.wait().unwrap().as_deref(), Some("worker"));
    let job = jobs.wait().unwrap();
    worker.acknowledge(&job, PubAckReason::NotAuthorized).wait().unwrap();
    let error = refused.wait().unwrap_err().to_string();
    assert_eq!(error, "the receiver worker refused the delivery: Not authorized");
    let history = sender.delivery_history().wait().unwrap();
    assert_eq!(history.iter().map(|ended| ended.by.as_deref()).collect::<Vec<_>>(), [Some("worker"); 2]);
    assert_eq!(sender.delivery_statistics().wait().unwrap().success_rate, Some(0.5));
}

#[test]
fn it_reconnects_restores_its_subscriptions_and_reports_both() {
    let broker = TestBroker::start().unwrap();
    let builder = Client::builder(&broker.url()).unwrap().client_id("again").unwrap();
    let client = builder.option("reconnect_delay", "50ms").unwrap().connect().wait().unwrap();
    let mut all = client.subscribe("#", QoS::AtLeastOnce).unwrap().wait().unwrap();
    let mut events = client.events();
    let info = client.info().wait().unwrap();
    assert_eq!((info.state, info.outbox, info.last_error), (State::Connected, 0, None));
    broker.restart().unwrap();
    while !matches!(events.wait().unwrap(), Event::Connected { .. }) {}
    let described = message("a", "again").unwrap().described(PayloadKind::Text);
    client.publish(described).wait().unwrap();
    assert_eq!(all.wait().unwrap().payload, "again");
    let info = client.info().wait().unwrap();
    assert!(info.last_error.is_some() && info.disconnected_at.is_some() && info.uptime.is_some());
    assert_eq!(client.statistics().wait().unwrap().reconnections, 1);
}

#[test]
fn the_breaker_opens_and_closes_and_reports_both() {
    let broker = TestBroker::start().unwrap();
    let options = [
        ("reconnect_delay", "20ms"),
        ("reconnect_policy", "constant"),
        ("circuit_failures", "3"),
        ("circuit_delay", "500ms"),
    ];
    let builder = Client::builder(&broker.url()).unwrap().client_id("breaker").unwrap();
    let builder = options.iter().fold(builder, |builder, (name, value)| builder.option(name, value).unwrap());
    let client = builder.connect().wait().unwrap();
    let mut events = client.events();
    let mut circuit = |wanted: fn(CircuitState) -> bool| loop {
        match events.wait().unwrap() {
            Event::Circuit(state) if wanted(state) => break,
            _ => {}
        }
    };
    broker
        .network(|faults| {
            faults.refuse(true);
            faults.cut(Cut::Reset);
        })
        .unwrap();
    circuit(|state| matches!(state, CircuitState::Open { .. }));
    assert!(!matches!(client.info().wait().unwrap().circuit, CircuitState::Closed));
    circuit(|state| state == CircuitState::HalfOpen);
    broker.network(|faults| faults.refuse(false)).unwrap();
    circuit(|state| state == CircuitState::Closed);
    assert_eq!(client.info().wait().unwrap().state, State::Connected);
}

#[test]
fn what_is_new_in_mqtt_5_needs_no_other_crate() {
    let broker = TestBroker::start().unwrap();
    let (asker, clock) = (connected(&broker, "asker"), connected(&broker, "clock"));
    let filter = TopicFilter::try_from("clock/time").unwrap();
    let not_own = Subscription { no_local: true, ..Subscription::new(filter, QoS::AtLeastOnce) };
    let mut requests = clock.subscribe_with(not_own).wait().unwrap();
    let question = message("clock/time", "now?").unwrap().user_property("zone", "north").unwrap();
    let answer = asker.request(question, Some(PATIENCE));
    let request = requests.wait().unwrap();
    let has_zone =
        |(name, value): (Utf8String, Utf8String)| (name.as_str(), value.as_str()) == ("zone", "north");
    assert!(request.properties.user_properties().any(has_zone));
    clock.respond(&request, "12:00").wait().unwrap();
    assert_eq!(answer.wait().unwrap().payload, "12:00");
    let late = asker.request(message("no/one", "?").unwrap(), Some(Duration::from_millis(100))).wait();
    assert!(matches!(&late, Err(Error::Client(error)) if error.kind() == ErrorKind::TimeOut), "{late:?}");
    let mut properties = Properties::new();
    properties.set(ReasonString(Utf8String::from_static("the shift is over")));
    asker.disconnect_with(DisconnectRequest { properties, ..DisconnectRequest::default() }).wait().unwrap();
    let gone = asker.disconnect().wait();
    assert!(matches!(gone, Err(Error::Client(CoreError::NotConnected))), "{gone:?}");
}

#[test]
fn what_cannot_work_is_an_error_at_once() {
    assert!(matches!(Client::builder("http://a"), Err(Error::Url(_))));
    assert!(matches!(Client::builder("mqtt://a").unwrap().option("keep_alive", "x"), Err(Error::Option(_))));
    assert!(matches!(message("a/#", ""), Err(Error::Text { .. })));
    let folder = std::env::temp_dir();
    let builder = Client::builder("mqtt://localhost").unwrap().store(folder);
    assert!(matches!(builder.start(), Err(Error::OpenStore(_))));
}
