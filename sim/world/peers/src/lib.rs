//! A third-party MQTT client, unmodified, in the simulated world.
//!
//! `rumqttc-next` (its MQTT 5.0 half) gets the streams of the world through its socket connector
//! and is otherwise unchanged. It connects to [`broker`], a small hand-written broker over the
//! world's [`Net`].
#![forbid(unsafe_code)]

pub mod broker;

use mqttspec_ports::Net;
use mqttspec_world::{HostContext, Outcome, World, WorldError, WorldNet, WorldStream};
use rumqttc::mqttbytes::QoS;
use rumqttc::{AsyncClient, Event, Incoming, MqttOptions, PublishOptions};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;
use std::time::Duration;

/// The number of messages that the client publishes, one per second.
pub const MESSAGES: u32 = 60;

/// The payloads that the broker has received, over all its starts.
pub type Received = Rc<RefCell<BTreeSet<String>>>;

/// Runs a minute of QoS 1 messages under jitter, with a partition of five seconds and a crash of
/// the broker. Returns the received messages and the trace.
///
/// # Panics
/// If the run fails.
pub fn run(seed: u64) -> Outcome<BTreeSet<String>> {
    let received = Received::default();
    let at_broker = received.clone();
    World::builder(seed)
        .latency(Duration::from_millis(1)..=Duration::from_millis(40))
        .host("broker", move |context| broker::serve(context.net(), context.disk(), at_broker.clone()))
        .host("client", client)
        .run(|world| async move {
            let secs = Duration::from_secs;
            world.sleep_until(secs(10)).await;
            world.between("client", "broker")?.partition();
            world.sleep_until(secs(15)).await;
            world.everywhere().heal();
            world.sleep_until(secs(30)).await;
            world.crash("broker")?;
            world.sleep_until(secs(33)).await;
            world.start("broker")?;
            world.sleep_until(secs(150)).await;
            Ok::<_, WorldError>(received.take())
        })
        .map(|outcome| Outcome {
            output: outcome.output.expect("the hosts are declared"),
            trace: outcome.trace,
        })
        .unwrap_or_else(|failure| panic!("{failure}"))
}

/// Connects to `name:port`, in place of the client's own connector.
async fn dial(net: &WorldNet, address: &str) -> io::Result<WorldStream> {
    let (host, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let port = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
    net.connect(host, port).await
}

async fn client(context: HostContext) {
    let mut options = MqttOptions::new("meter", ("broker", 1883));
    options.set_keep_alive(5);
    options.set_clean_start(false);
    options.set_session_expiry_interval(Some(3_600));
    let net = context.net();
    options.set_socket_connector(move |address, _| {
        let net = net.clone();
        async move { dial(&net, &address).await }
    });
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    tokio::task::spawn_local(async move {
        for number in 0..MESSAGES {
            let options = PublishOptions::new(QoS::AtLeastOnce);
            if client.publish("readings", format!("reading {number}"), options).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        // Keeps the client and its connection alive.
        std::future::pending::<()>().await;
    });
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(_))) => context.note("connected"),
            Ok(_) => {}
            Err(error) => {
                context.note(format!("disconnected: {error}"));
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}
