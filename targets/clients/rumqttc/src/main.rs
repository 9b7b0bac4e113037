//! Drives rumqttc by the adapter protocol of mqttspec: its API for MQTT 3.1.1 (`v4`), the one for MQTT
//! 5.0 (`v5`), or that of the fork rumqttc-next (`next`).

mod next;
mod v4;
mod v5;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};
use tokio::task::{JoinHandle, LocalSet};

/// Why the library does not accept a command: the name of the field of the reply, and the text.
pub type Refusal = (&'static str, String);
pub type Done = Result<(), Refusal>;

pub fn unsupported(why: impl ToString) -> Refusal {
    ("unsupported", why.to_string())
}

pub fn refused(error: impl ToString) -> Refusal {
    ("error", error.to_string())
}

/// A client of one of the libraries, with the task that polls its event loop.
pub(crate) trait Client: Sized {
    fn hello() -> Value;
    /// Makes the client. Its event loop connects as soon as it is polled.
    fn connect(place: &Place, shared: Rc<Shared>, fields: &Value) -> Result<(Self, JoinHandle<()>), Refusal>;
    /// The fields are those of the command, with the properties.
    async fn publish(&mut self, id: u64, topic: &str, payload: Vec<u8>, qos: u8, retain: bool, fields: &Value) -> Done;
    async fn subscribe(&mut self, id: u64, subscriptions: &[Value]) -> Done;
    async fn unsubscribe(&mut self, id: u64, filters: &[Value]) -> Done;
    async fn acknowledge(&mut self, message: u64) -> Done;
    async fn disconnect(&mut self, fields: &Value) -> Done;
}

/// What `new` said.
pub struct Place {
    pub address: String,
    pub port: u16,
    pub manual: bool,
    pub reconnect: bool,
}

/// What the commands and the task of the event loop share.
#[derive(Default)]
pub struct Shared {
    /// Commands that have no Packet Identifier yet, in the order in which the library sends them.
    pub waiting: RefCell<VecDeque<u64>>,
    /// The commands of Packet Identifiers.
    pub of_packet: RefCell<HashMap<u16, u64>>,
    pub connected: Cell<bool>,
    pub disconnecting: Cell<bool>,
    pub dropped: Cell<bool>,
    messages: Cell<u64>,
}

impl Shared {
    /// Says an event of the client.
    pub fn say(&self, event: Value) {
        if !self.dropped.get() {
            println!("{event}");
        }
    }

    /// The number of a message that the application acknowledges.
    pub fn next_message(&self) -> u64 {
        self.messages.set(self.messages.get() + 1);
        self.messages.get()
    }

    /// The library has sent a packet of a command: for the first time, or again.
    pub fn sent(&self, packet: u16) {
        if packet != 0 && self.of_packet.borrow().contains_key(&packet) {
            return;
        }
        let Some(id) = self.waiting.borrow_mut().pop_front() else { return };
        if packet == 0 {
            self.say(json!({"event": "published", "id": id, "reason": 0}));
        } else {
            self.of_packet.borrow_mut().insert(packet, id);
        }
    }

    /// A packet has ended the command of this Packet Identifier.
    pub fn ended(&self, packet: u16, mut event: Value) {
        if let Some(id) = self.of_packet.borrow_mut().remove(&packet) {
            event["id"] = json!(id);
            self.say(event);
        }
    }

    /// Says that a message arrived: `event` has its fields but the payload.
    pub fn received(&self, message: Option<u64>, topic: &str, payload: &[u8], mut event: Value) {
        event["event"] = json!("received");
        event["topic"] = json!(topic);
        event["payload"] = json!(STANDARD.encode(payload));
        if let Some(message) = message {
            event["message"] = json!(message);
        }
        self.say(event);
    }

    /// The event loop returned an error. Returns whether the application polls it again.
    pub async fn lost(&self, error: String, is_refusal: bool, reconnect: bool) -> bool {
        let kind = if is_refusal { "failed" } else { "disconnected" };
        if is_refusal || self.connected.take() {
            self.say(json!({"event": kind, "text": error}));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        reconnect && !self.disconnecting.get()
    }
}

/// The properties of a message, as the protocol and as the library have them. The libraries for MQTT
/// 5.0 have a type of the same form each.
#[macro_export]
macro_rules! properties {
    ($properties:ident) => {
        fn given(fields: &Value) -> $properties {
            let fields = &fields["properties"];
            let text = |name: &str| fields[name].as_str().map(str::to_owned);
            let pairs = fields["user_property"].as_array().cloned().unwrap_or_default();
            let pair = |pair: &Value| (pair[0].as_str().unwrap_or_default().to_owned(), pair[1].as_str().unwrap_or_default().to_owned());
            $properties {
                payload_format_indicator: fields["payload_format"].as_u64().map(|format| format as u8),
                message_expiry_interval: fields["message_expiry"].as_u64().map(|interval| interval as u32),
                response_topic: text("response_topic"),
                correlation_data: text("correlation_data").map(|_| bytes(fields, "correlation_data").into()),
                user_properties: pairs.iter().map(pair).collect(),
                content_type: text("content_type"),
                ..$properties::default()
            }
        }

        fn seen(properties: Option<$properties>) -> Value {
            let seen = properties.unwrap_or_default();
            let mut fields = json!({"user_property": seen.user_properties,
                "subscription_identifier": seen.subscription_identifiers});
            for (name, value) in [
                ("payload_format", seen.payload_format_indicator.map(Value::from)),
                ("message_expiry", seen.message_expiry_interval.map(Value::from)),
                ("content_type", seen.content_type.map(Value::from)),
                ("response_topic", seen.response_topic.map(Value::from)),
                ("correlation_data", seen.correlation_data.map(|data| $crate::base64(&data).into())),
            ] {
                if let Some(value) = value {
                    fields[name] = value;
                }
            }
            fields
        }
    };
}

pub fn base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

pub fn text(fields: &Value, name: &str) -> String {
    fields[name].as_str().unwrap_or_default().to_owned()
}

pub fn bytes(fields: &Value, name: &str) -> Vec<u8> {
    STANDARD.decode(text(fields, name)).unwrap_or_default()
}

pub fn number(fields: &Value, name: &str) -> u64 {
    fields[name].as_u64().or_else(|| fields[name].as_str()?.parse().ok()).unwrap_or_default()
}

pub fn flag(fields: &Value, name: &str) -> bool {
    fields[name].as_bool().unwrap_or_default()
}

/// Fails if there is a field that the adapter does not set.
pub fn only(fields: &Value, known: &[&str]) -> Done {
    let other = fields.as_object().into_iter().flatten().find(|(name, _)| !known.contains(&name.as_str()));
    other.map_or(Ok(()), |(name, _)| Err(unsupported(format!("this adapter sets no {name}"))))
}

struct Running<C> {
    client: C,
    shared: Rc<Shared>,
    task: JoinHandle<()>,
}

struct Adapter<C> {
    place: Option<Place>,
    running: Option<Running<C>>,
}

impl<C: Client> Adapter<C> {
    async fn command(&mut self, id: u64, name: &str, fields: &Value) -> Result<Value, Refusal> {
        match name {
            "hello" => return Ok(C::hello()),
            "new" => {
                let options = &fields["options"];
                only(options, &["acknowledgement", "reconnect"])?;
                self.place = Some(Place {
                    address: text(fields, "address"),
                    port: number(fields, "port") as u16,
                    manual: options["acknowledgement"] == "manual",
                    reconnect: options["reconnect"] != "0",
                });
            }
            "connect" => {
                if self.running.is_some() {
                    return Err(unsupported("rumqttc makes a new client for each connect"));
                }
                let place = self.place.as_ref().ok_or_else(|| refused("no new"))?;
                let shared = Rc::new(Shared::default());
                let (client, task) = C::connect(place, shared.clone(), fields)?;
                self.running = Some(Running { client, shared, task });
            }
            "drop" => {
                if let Some(running) = self.running.take() {
                    running.shared.dropped.set(true);
                    running.task.abort();
                }
            }
            _ => {
                let Running { client, shared, .. } = self.running.as_mut().ok_or_else(|| refused("no client"))?;
                if fields["properties"].is_object() && name != "publish" {
                    return Err(unsupported("this adapter sets properties of messages only"));
                }
                let list = |name: &str| fields[name].as_array().cloned().unwrap_or_default();
                match name {
                    "publish" => {
                        let (topic, payload) = (text(fields, "topic"), bytes(fields, "payload"));
                        let (qos, retain) = (number(fields, "qos") as u8, flag(fields, "retain"));
                        client.publish(id, &topic, payload, qos, retain, fields).await?;
                    }
                    "subscribe" => client.subscribe(id, &list("subscriptions")).await?,
                    "unsubscribe" => client.unsubscribe(id, &list("filters")).await?,
                    "acknowledge" if number(fields, "reason") != 0 => {
                        return Err(unsupported("this adapter acknowledges with success only"));
                    }
                    "acknowledge" => {
                        client.acknowledge(number(fields, "message")).await?;
                        shared.say(json!({"event": "acknowledged", "id": id}));
                    }
                    "disconnect" => {
                        shared.disconnecting.set(true);
                        client.disconnect(fields).await?;
                    }
                    _ => return Err(unsupported(name)),
                }
            }
        }
        Ok(json!({}))
    }
}

async fn serve<C: Client>() -> std::io::Result<()> {
    let mut adapter = Adapter::<C> { place: None, running: None };
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let mut command: Value = serde_json::from_str(&line)?;
        let id = number(&command, "id");
        let Some(object) = command.as_object_mut() else { continue };
        object.remove("id");
        let Some((name, fields)) = object.iter().next() else { continue };
        match adapter.command(id, name, fields).await {
            Ok(value) => println!("{}", json!({"id": id, "ok": value})),
            Err((kind, why)) => println!("{}", json!({"id": id, kind: why})),
        }
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = LocalSet::new().block_on(&runtime, async {
        match std::env::args().nth(1).as_deref() {
            Some("v4") => serve::<v4::V4>().await,
            Some("v5") => serve::<v5::V5>().await,
            _ => serve::<next::Next>().await,
        }
    });
    // The task that reads the standard input cannot be cancelled.
    runtime.shutdown_background();
    result
}
