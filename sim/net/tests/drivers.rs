//! A broker and its clients under their drivers, over the simulated network and over this machine's
//! TCP: the same code.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use common::{
    client, client_with, connect, connected, disconnect, message, options, publish, receive, start_broker,
    start_broker_at, subscribe,
};
use mqttspec_client::{Command, Event};
use mqttspec_codec::{
    NonEmpty, Packet, PacketIdentifier, Properties, Publish, QoS, Subscribe, Subscription, TopicFilter,
    TopicName, Version,
};
use mqttspec_net::Clock;
use mqttspec_net::broker::Server;
use mqttspec_net::client::ClientObserved;
use mqttspec_net::framed::{Arrived, Ending, Framed, Received};
use mqttspec_net::store::{MemoryStore, NoStore};
use mqttspec_net::tap::Observed;
use mqttspec_ports::{Listener as _, Net};
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_local;

on_both_networks!(
    messages_of_every_qos_arrive,
    a_retained_message_greets_a_late_subscriber,
    a_reset_publishes_the_will,
    a_normal_disconnect_publishes_no_will,
    a_session_outlives_its_connection,
    a_session_outlives_its_broker,
    malformed_bytes_are_answered_and_the_connection_closed,
    the_reason_for_a_close_arrives_although_the_client_still_sends,
    a_stop_tells_every_client,
    a_client_that_does_not_read_holds_up_nobody_else,
    a_client_whose_messages_match_much_waits_and_is_not_refused,
    nobody_at_the_port_and_then_a_broker,
    taps_see_both_ends_of_the_wire,
);

async fn messages_of_every_qos_arrive<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut subscriber = client(&net, host, broker.port, "subscriber");
    connect(&mut subscriber).await;
    subscribe(&mut subscriber, "sensor/#", QoS::ExactlyOnce).await;
    let mut publisher = client(&net, host, broker.port, "publisher");
    connect(&mut publisher).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let payload = format!("qos {qos}");
        publish(&mut publisher, message("sensor/1", &payload).qos(qos)).await;
        let received = receive(&mut subscriber).await;
        assert_eq!((&received.payload[..], received.qos), (payload.as_bytes(), qos));
    }
}

async fn a_retained_message_greets_a_late_subscriber<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut publisher = client(&net, host, broker.port, "publisher");
    connect(&mut publisher).await;
    publish(&mut publisher, message("state", "on").retained()).await;
    let mut late = client(&net, host, broker.port, "late");
    connect(&mut late).await;
    subscribe(&mut late, "state", QoS::AtLeastOnce).await;
    let received = receive(&mut late).await;
    assert!(received.retain);
    assert_eq!(received.payload, "on");
}

/// A CONNECT of 3.1.1 with Clean Session and a Will at QoS 1 to "will".
const CONNECT_WITH_WILL: &[u8] = b"\x10\x19\x00\x04MQTT\x04\x0e\x00\x3c\x00\x01w\x00\x04will\x00\x04gone";
const CONNACK_311: &[u8] = b"\x20\x02\x00\x00";

async fn a_reset_publishes_the_will<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut watcher = client(&net, host, broker.port, "watcher");
    connect(&mut watcher).await;
    subscribe(&mut watcher, "will", QoS::AtLeastOnce).await;
    let mut owner = Framed::dialled(net.connect(host, broker.port).await.unwrap(), Version::V3_1_1);
    owner.send_bytes(CONNECT_WITH_WILL).await.unwrap();
    let Received::Arrived(Arrived::Packet { bytes, .. }) = owner.receive().await else {
        panic!("no CONNACK")
    };
    assert_eq!(bytes, CONNACK_311);
    net.reset(owner.into_stream());
    assert_eq!(receive(&mut watcher).await.payload, "gone");
}

async fn a_normal_disconnect_publishes_no_will<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut watcher = client(&net, host, broker.port, "watcher");
    connect(&mut watcher).await;
    subscribe(&mut watcher, "#", QoS::AtLeastOnce).await;
    let mut owner =
        client_with(&net, host, broker.port, "owner", &[("will_topic", "will"), ("will_payload", "gone")]);
    connect(&mut owner).await;
    disconnect(&mut owner).await;
    connect(&mut owner).await;
    publish(&mut owner, message("after", "it")).await;
    assert_eq!(receive(&mut watcher).await.topic.as_str(), "after");
}

async fn a_session_outlives_its_connection<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut sleeper = client(&net, host, broker.port, "sleeper");
    connect(&mut sleeper).await;
    subscribe(&mut sleeper, "news", QoS::ExactlyOnce).await;
    disconnect(&mut sleeper).await;
    let mut publisher = client(&net, host, broker.port, "publisher");
    connect(&mut publisher).await;
    publish(&mut publisher, message("news", "while you slept").qos(QoS::ExactlyOnce)).await;
    assert!(connect(&mut sleeper).await, "the Session is present");
    assert_eq!(receive(&mut sleeper).await.payload, "while you slept");
}

async fn a_session_outlives_its_broker<N: Net>(server: N, net: N, host: &'static str) {
    let store = MemoryStore::new();
    let broker = start_broker(&server, store.clone()).await;
    let mut sleeper = client(&net, host, broker.port, "sleeper");
    connect(&mut sleeper).await;
    subscribe(&mut sleeper, "news", QoS::AtLeastOnce).await;
    drop(sleeper);
    let mut publisher = client(&net, host, broker.port, "publisher");
    connect(&mut publisher).await;
    publish(&mut publisher, message("news", "kept").retained()).await;
    let port = broker.kill();
    let broker = start_broker_at(&server, port, store).await;
    let mut sleeper = client(&net, host, broker.port, "sleeper");
    // The Server has a Session of which this new client knows nothing: it begins anew, and gets the
    // retained message.
    let options = options(host, broker.port, "sleeper", &[("clean_start", "1")]);
    sleeper.command(Command::Connect(Some(Box::new(options)))).await.unwrap();
    connected(&mut sleeper).await;
    subscribe(&mut sleeper, "news", QoS::AtLeastOnce).await;
    assert_eq!(receive(&mut sleeper).await.payload, "kept");
    // The publisher's client comes back by itself, to its Session.
    assert!(connected(&mut publisher).await);
}

async fn malformed_bytes_are_answered_and_the_connection_closed<N: Net>(
    server: N,
    net: N,
    host: &'static str,
) {
    let broker = start_broker(&server, NoStore).await;
    let mut stream = net.connect(host, broker.port).await.unwrap();
    // CONNECT of 5.0, then PUBLISH with both QoS bits set.
    stream.write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01m").await.unwrap();
    let mut framed = Framed::dialled(stream, Version::V5);
    assert!(matches!(packet(&mut framed).await, Packet::ConnAck(_)));
    framed.send_bytes(b"\x36\x04\x00\x01t\x00").await.unwrap();
    assert!(
        matches!(packet(&mut framed).await, Packet::Disconnect(disconnect) if u8::from(disconnect.reason) == 0x81)
    );
    assert!(matches!(framed.receive().await, Received::Ended(Ending::Closed { .. })));
}

async fn the_reason_for_a_close_arrives_although_the_client_still_sends<N: Net>(
    server: N,
    net: N,
    host: &'static str,
) {
    let broker = start_broker(&server, NoStore).await;
    let mut stream = net.connect(host, broker.port).await.unwrap();
    // A second CONNECT is a Protocol Error; what follows is never read.
    let connect = b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01m";
    stream.write_all(&[&connect[..], connect, &vec![0xc0; 100_000]].concat()).await.unwrap();
    let mut framed = Framed::dialled(stream, Version::V5);
    assert!(matches!(packet(&mut framed).await, Packet::ConnAck(_)));
    assert!(
        matches!(packet(&mut framed).await, Packet::Disconnect(disconnect) if u8::from(disconnect.reason) == 0x82)
    );
    assert!(matches!(framed.receive().await, Received::Ended(Ending::Closed { .. })));
}

async fn a_stop_tells_every_client<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut connected = client_with(&net, host, broker.port, "connected", &[("reconnect", "0")]);
    connect(&mut connected).await;
    assert_eq!(broker.entrance.connections(), 1);
    broker.entrance.stop();
    loop {
        if let Event::Disconnected { error: Some(error), .. } = connected.event().await.unwrap() {
            assert!(error.to_string().contains("Server shutting down"), "{error}");
            break;
        }
    }
    broker.running.await.unwrap().unwrap();
    assert!(net.connect(host, broker.port).await.is_err(), "it listens no longer");
}

async fn a_client_that_does_not_read_holds_up_nobody_else<N: Net>(server: N, net: N, host: &'static str) {
    let broker = start_broker(&server, NoStore).await;
    let mut deaf = net.connect(host, broker.port).await.unwrap();
    deaf.write_all(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04deaf").await.unwrap();
    // SUBSCRIBE to "#" at QoS 0, and then nothing is read.
    deaf.write_all(b"\x82\x06\x00\x01\x00\x01#\x00").await.unwrap();
    let mut keen = client(&net, host, broker.port, "keen");
    connect(&mut keen).await;
    subscribe(&mut keen, "#", QoS::AtLeastOnce).await;
    let mut publisher = client(&net, host, broker.port, "publisher");
    connect(&mut publisher).await;
    let large = "x".repeat(200_000);
    for _ in 0..50 {
        publish(&mut publisher, message("much", &large).qos(QoS::AtLeastOnce)).await;
        assert_eq!(receive(&mut keen).await.payload.len(), large.len());
    }
    // Now it reads: the connection still is in order, and what it missed are QoS 0 messages.
    let mut deaf = Framed::dialled(deaf, Version::V3_1_1);
    assert!(matches!(packet(&mut deaf).await, Packet::ConnAck(_)));
    assert!(matches!(packet(&mut deaf).await, Packet::SubAck(_)));
    deaf.send_bytes(b"\xc0\x00").await.unwrap();
    let mut got = 0;
    loop {
        match packet(&mut deaf).await {
            Packet::Publish(_) => got += 1,
            Packet::PingResp => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..50).contains(&got), "{got} of 50");
}

async fn a_client_whose_messages_match_much_waits_and_is_not_refused<N: Net>(
    server: N,
    net: N,
    host: &'static str,
) {
    // More than the core takes of a Client before the first is given to all.
    const MESSAGES: usize = 60;
    const LEVELS: usize = 12;
    let broker = start_broker(&server, NoStore).await;
    let mut reader = net.connect(host, broker.port).await.unwrap();
    reader.write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01r").await.unwrap();
    let mut reader = Framed::dialled(reader, Version::V5);
    assert!(matches!(packet(&mut reader).await, Packet::ConnAck(_)));
    let level = |bits: usize, at: usize| if bits >> at & 1 == 1 { "+" } else { "a" };
    let text = |bits| (0..LEVELS).map(|at| level(bits, at)).collect::<Vec<_>>().join("/");
    let filters = (0..1 << LEVELS).map(|bits| TopicFilter::try_from(text(bits)).unwrap());
    let wanted: Vec<_> = filters.map(|filter| Subscription::new(filter, QoS::AtMostOnce)).collect();
    let subscriptions = NonEmpty::try_from(wanted).unwrap();
    let subscribe = Subscribe { id: PacketIdentifier::MIN, properties: Properties::new(), subscriptions };
    let mut bytes = BytesMut::new();
    Packet::from(subscribe).encode(Version::V5, &mut bytes).unwrap();
    reader.send_bytes(&bytes).await.unwrap();
    assert!(matches!(packet(&mut reader).await, Packet::SubAck(_)));

    let mut writer = net.connect(host, broker.port).await.unwrap();
    let mut bytes = BytesMut::from(&b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01w"[..]);
    for number in 0..MESSAGES {
        let topic = TopicName::try_from(["a"; LEVELS].join("/")).unwrap();
        let publish = Publish::new(topic, number.to_string());
        Packet::from(publish).encode(Version::V5, &mut bytes).unwrap();
    }
    // It leaves before they are given to all.
    bytes.extend_from_slice(b"\xe0\x00");
    writer.write_all(&bytes).await.unwrap();
    for number in 0..MESSAGES {
        let Packet::Publish(publish) = packet(&mut reader).await else { panic!("PUBLISH expected") };
        assert_eq!(publish.payload, number.to_string());
    }
    let mut writer = Framed::dialled(writer, Version::V5);
    assert!(matches!(packet(&mut writer).await, Packet::ConnAck(_)));
    assert!(matches!(writer.receive().await, Received::Ended(Ending::Closed { .. })));
}

async fn nobody_at_the_port_and_then_a_broker<N: Net>(server: N, net: N, host: &'static str) {
    let listener = server.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut client = client_with(&net, host, port, "early", &[("reconnect_delay", "100ms")]);
    client.command(Command::Connect(None)).await.unwrap();
    while !matches!(client.event().await.unwrap(), Event::AttemptFailed { .. }) {}
    let _broker = start_broker_at(&server, port, NoStore).await;
    connected(&mut client).await;
}

async fn taps_see_both_ends_of_the_wire<N: Net>(server: N, net: N, host: &'static str) {
    type Seen = Rc<RefCell<Vec<(String, Vec<u8>)>>>;
    let (at_broker, at_client): (Seen, Seen) = (Rc::default(), Rc::default());
    let log = Rc::clone(&at_broker);
    let tap = move |_: Duration, what: Observed<'_>| match what {
        Observed::Received { packet, bytes, .. } => {
            log.borrow_mut().push((format!("> {}", packet.packet_type()), bytes.to_vec()));
        }
        Observed::Sent { packet, bytes, .. } => {
            log.borrow_mut().push((format!("< {}", packet.packet_type()), bytes.to_vec()));
        }
        _ => {}
    };
    let clock = Clock::showing(Duration::ZERO);
    let (serving, entrance) =
        Server::new(mqttspec_broker::Options::default(), 1, clock, NoStore, tap).unwrap();
    let listener = server.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    entrance.listen(listener);
    spawn_local(serving.run());

    let log = Rc::clone(&at_client);
    let tap = move |_: Duration, what: ClientObserved<'_>| match what {
        ClientObserved::Sent { packet, bytes, .. } => {
            log.borrow_mut().push((format!("> {}", packet.packet_type()), bytes.to_vec()));
        }
        ClientObserved::Received { packet, bytes, .. } => {
            log.borrow_mut().push((format!("< {}", packet.packet_type()), bytes.to_vec()));
        }
        _ => {}
    };
    let options = options(host, port, "seen", &[]);
    let mut client = mqttspec_net::client::spawn_client(net, options, 1, clock, tap);
    connect(&mut client).await;
    subscribe(&mut client, "a", QoS::ExactlyOnce).await;
    publish(&mut client, message("a", "b").qos(QoS::ExactlyOnce)).await;
    while at_client.borrow().len() < 12 || at_broker.borrow().len() < 12 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut expected = vec!["> CONNECT", "< CONNACK", "> SUBSCRIBE", "< SUBACK"];
    expected.extend(["> PUBLISH", "< PUBREC", "> PUBREL", "< PUBCOMP"]);
    expected.extend(["< PUBLISH", "> PUBREC", "< PUBREL", "> PUBCOMP"]);
    for seen in [&at_client, &at_broker] {
        let mut names: Vec<_> = seen.borrow().iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
    let sorted = |seen: &Seen| {
        let mut all = seen.borrow().clone();
        all.sort();
        all
    };
    assert_eq!(sorted(&at_client), sorted(&at_broker), "the same bytes at both ends");
}

async fn packet<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(framed: &mut Framed<S>) -> Packet {
    match framed.receive().await {
        Received::Arrived(Arrived::Packet { packet, .. }) => packet,
        other => panic!("expected a packet: {other:?}"),
    }
}
