//! The MQTT 3.1.1 client `rumqttc-v4-next` as published. It connects through its socket connector, and keeps
//! its Session in a store on the disk of its host.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use mqttspec::{
    App, ClientCommand, ClientEvent, CommandId, Connect, Events, Net, PeerResult, Trouble, Version, WorldHost,
};
use rumqttc::mqttbytes::QoS;
use rumqttc::{
    AckMode, AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, LastWill, MqttOptions,
    Packet, Publish, PublishNotice, PublishOptions, SubscribeFilterInput, SubscribeNotice,
    SubscribeReasonCode,
};
use tokio::task::{JoinHandle, spawn_local};

// Both packages are `rumqttc` in their manifests, and have the same trait.
#[path = "../../../rumqttc-next/tests/conformance/store.rs"]
mod store;

/// How long an application waits before it polls again after an error.
const AFTER_AN_ERROR: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    mqttspec::conformance()
        .client(client)
        .reconnects()
        .name("rumqttc-v4-next 0.34.0")
        .known_failures("known.toml")
        .main()
}

/// Received messages that the application has not acknowledged, by their numbers.
type Unacknowledged = Rc<RefCell<BTreeMap<u64, Publish>>>;

/// A client that was made for the options of one command to connect.
struct Made {
    options: Connect,
    client: AsyncClient,
    polling: JoinHandle<()>,
}

async fn client(host: WorldHost, mut app: App) -> PeerResult {
    if app.version() != Version::V3_1_1 {
        return Err(host.unsupported("a version other than 3.1.1 (rumqttc-next has 5.0)").into());
    }
    let manual = host.option("acknowledgement") == Some("manual");
    let unacknowledged = Unacknowledged::default();
    let mut made: Option<Made> = None;
    loop {
        let (id, command) = app.command().await;
        if let ClientCommand::Connect(connect) = command {
            match &made {
                // It connects by itself.
                Some(made) if made.options == connect && !made.polling.is_finished() => {}
                _ => {
                    if let Some(made) = made.take() {
                        made.polling.abort();
                    }
                    let options = options(&host, &connect, manual)?;
                    let (client, events) = AsyncClient::builder(options).capacity(100).build();
                    let polling = spawn_local(poll(events, app.events(), unacknowledged.clone(), manual));
                    made = Some(Made { options: connect, client, polling });
                }
            }
            continue;
        }
        let Some(Made { client, .. }) = &made else {
            return Err(host.unsupported("a command before the first connect").into());
        };
        let given = give(&host, client, id, command, &app.events(), &unacknowledged)?;
        if let Err(error) = given {
            app.tell(ClientEvent::Failed { id: Some(id), trouble: trouble(&error) });
        }
    }
}

fn options(
    host: &WorldHost,
    connect: &Connect,
    manual: bool,
) -> Result<MqttOptions, Box<dyn std::error::Error>> {
    let mut options = MqttOptions::new(connect.client_id.clone(), ("broker", 1883));
    if options.try_set_clean_session(connect.clean_start).is_err() {
        return Err(host.unsupported("a Session without a Client Identifier").into());
    }
    options
        .set_keep_alive(connect.keep_alive)
        .set_session_store_scope("broker")
        .set_session_store(store::OnDisk(host.disk()));
    if manual {
        options.set_ack_mode(AckMode::Manual);
    }
    for name in connect.others.keys() {
        match name.as_str() {
            "user_name" | "password" => {}
            _ => return Err(host.unsupported(format!("the field {name} of CONNECT in the glue")).into()),
        }
    }
    let field = |name| connect.others.get(name).cloned();
    match (field("user_name"), field("password").map(String::into_bytes)) {
        (Some(name), Some(password)) => drop(options.set_credentials(name, password)),
        (Some(name), None) => drop(options.set_username(name)),
        // 3.1.1 has no password without a user name.
        (None, _) => {}
    }
    if let Some(will) = &connect.will {
        if let Some(name) = will.others.keys().next() {
            return Err(host.unsupported(format!("the field {name} of a Will in the glue")).into());
        }
        let (topic, payload, qos) = (will.topic.clone(), will.payload.clone(), qos(will.qos));
        options.set_last_will(LastWill::new(topic, payload, qos, will.retain));
    }
    let net = host.net();
    options.set_socket_connector(move |address: String, _| {
        let net = net.clone();
        async move {
            let (host, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
            net.connect(host, port.parse().map_err(|_| io::ErrorKind::InvalidInput)?).await
        }
    });
    Ok(options)
}

/// Gives the client a command other than to connect.
fn give(
    host: &WorldHost,
    client: &AsyncClient,
    id: CommandId,
    command: ClientCommand,
    events: &Events,
    unacknowledged: &Unacknowledged,
) -> Result<Result<(), rumqttc::ClientError>, Box<dyn std::error::Error>> {
    Ok(match command {
        ClientCommand::Publish(message) if !message.properties.is_empty() => {
            return Err(host.unsupported("properties of a message in the glue").into());
        }
        ClientCommand::Publish(message) => {
            let options = PublishOptions::new(qos(message.qos)).retain(message.retain);
            let notice = client.try_publish_tracked(message.topic, message.payload, options);
            notice.map(|notice| drop(spawn_local(published(id, notice, events.clone()))))
        }
        ClientCommand::Subscribe(subscriptions) => {
            let filters = subscriptions
                .into_iter()
                .map(|subscription| SubscribeFilterInput::new(subscription.filter, qos(subscription.qos)));
            let notice = client.try_subscribe_many_tracked(filters);
            notice.map(|notice| drop(spawn_local(subscribed(id, notice, events.clone()))))
        }
        ClientCommand::Unsubscribe(filters) => {
            let notice = client.try_unsubscribe_many_tracked(filters);
            let events = events.clone();
            notice.map(|notice| {
                drop(spawn_local(async move {
                    events.tell(match notice.wait_completion_async().await {
                        Ok(()) => ClientEvent::Unsubscribed { id },
                        Err(error) => ClientEvent::Failed { id: Some(id), trouble: trouble(&error) },
                    });
                }));
            })
        }
        ClientCommand::Acknowledge { message, reason } => {
            if reason != 0 {
                return Err(host.unsupported("an acknowledgement with a Reason Code in the glue").into());
            }
            // The order is a duty of the Client, and the library leaves it to its application.
            if unacknowledged.borrow().keys().next().is_some_and(|first| *first < message) {
                let what = "an acknowledgement before that of an earlier message";
                return Err(host.unsupported(what).into());
            }
            let Some(publish) = unacknowledged.borrow_mut().remove(&message) else {
                return Err("an acknowledgement of an unknown message".into());
            };
            let acknowledged = client.try_ack(&publish);
            if acknowledged.is_ok() {
                events.tell(ClientEvent::Acknowledged { id });
            }
            acknowledged
        }
        ClientCommand::Disconnect(_) => client.try_disconnect_now(),
        ClientCommand::Connect(_) => Ok(()),
    })
}

/// Polls the event loop as the examples of the crate do: after an error, again.
async fn poll(mut event_loop: EventLoop, events: Events, unacknowledged: Unacknowledged, manual: bool) {
    let (mut is_connected, mut last_message) = (false, 0);
    loop {
        match event_loop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(connack))) => {
                is_connected = true;
                events.tell(ClientEvent::Connected { session_present: connack.session_present });
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                last_message += 1;
                events.tell(ClientEvent::Received {
                    message: manual.then_some(last_message),
                    topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                    payload: publish.payload.to_vec(),
                    qos: publish.qos as u8,
                    retain: publish.retain,
                    dup: publish.dup,
                    properties: None,
                });
                if manual {
                    unacknowledged.borrow_mut().insert(last_message, publish);
                }
            }
            Ok(_) => {}
            // The end of a client that disconnected. Another one connects again.
            Err(ConnectionError::RequestsDone) => {
                return events.tell(ClientEvent::Disconnected(Trouble::default()));
            }
            Err(error) => {
                if std::mem::take(&mut is_connected) {
                    events.tell(ClientEvent::Disconnected(trouble(&error)));
                } else if let ConnectionError::ConnectionRefused(code) = &error {
                    let trouble = Trouble { reason: reason(*code), ..trouble(&error) };
                    events.tell(ClientEvent::Failed { id: None, trouble });
                }
                tokio::time::sleep(AFTER_AN_ERROR).await;
            }
        }
    }
}

async fn published(id: CommandId, notice: PublishNotice, events: Events) {
    events.tell(match notice.wait_async().await {
        Ok(_) => ClientEvent::Published { id, reason: 0 },
        Err(error) => ClientEvent::Failed { id: Some(id), trouble: trouble(&error) },
    });
}

async fn subscribed(id: CommandId, notice: SubscribeNotice, events: Events) {
    let codes = match notice.wait_async().await {
        Ok(suback) => suback.return_codes,
        Err(error) => return events.tell(ClientEvent::Failed { id: Some(id), trouble: trouble(&error) }),
    };
    let code = |code: &SubscribeReasonCode| match code {
        SubscribeReasonCode::Success(qos) => *qos as u8,
        _ => 0x80,
    };
    events.tell(ClientEvent::Subscribed { id, reasons: codes.iter().map(code).collect() });
}

/// The Reason Code of 5.0 that means the same.
fn reason(code: ConnectReturnCode) -> Option<u8> {
    Some(match code {
        ConnectReturnCode::RefusedProtocolVersion => 0x84,
        ConnectReturnCode::BadClientId => 0x85,
        ConnectReturnCode::ServiceUnavailable => 0x88,
        ConnectReturnCode::BadUserNamePassword => 0x86,
        ConnectReturnCode::NotAuthorized => 0x87,
        ConnectReturnCode::Success => return None,
    })
}

fn qos(level: u8) -> QoS {
    match level {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

fn trouble(error: &dyn std::error::Error) -> Trouble {
    Trouble { text: error.to_string(), ..Trouble::default() }
}
