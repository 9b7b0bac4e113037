//! rumqttc-next's API for MQTT 5.0.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rumqttc_next::mqttbytes::QoS;
use rumqttc_next::mqttbytes::v5::{
    ConnectProperties, LastWill, Publish, PublishProperties, RetainForwardRule, SubscribeFilter, SubscribeReasonCode,
};
use rumqttc_next::{
    AsyncClient, Broker, ConnectionError, Event, EventLoop, Incoming, MqttOptions, PublishOptions, StateError,
};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_local};

use crate::{Client, Done, Place, Refusal, Shared, bytes, flag, number, only, refused, text, unsupported};

pub struct Next {
    client: AsyncClient,
    shared: Rc<Shared>,
    unacknowledged: Messages,
}

crate::properties!(PublishProperties);

type Messages = Rc<RefCell<HashMap<u64, Publish>>>;

fn qos(number: u64) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number.min(2) as usize]
}

impl Next {
    /// Waits for the end of a command.
    fn ends(&self, id: u64, end: impl Future<Output = Result<Value, String>> + 'static) {
        let shared = self.shared.clone();
        spawn_local(async move {
            let mut event = end.await.unwrap_or_else(|error| json!({"event": "failed", "text": error}));
            event["id"] = json!(id);
            shared.say(event);
        });
    }
}

impl Client for Next {
    fn hello() -> Value {
        json!({"name": "rumqttc-next (v5)", "version": "0.34.0", "language": "Rust", "versions": ["5.0"],
            "supports": ["reconnect", "manual-acknowledgement"]})
    }

    fn connect(place: &Place, shared: Rc<Shared>, fields: &Value) -> Result<(Self, JoinHandle<()>), Refusal> {
        only(fields, &["client_id", "clean_start", "keep_alive", "session_expiry", "will", "user_name",
            "password", "receive_maximum", "maximum_packet_size", "topic_alias_maximum"])?;
        only(&fields["will"], &["topic", "payload", "qos", "retain"])?;
        let broker = Broker::tcp(&place.address, place.port);
        let mut options = MqttOptions::new(text(fields, "client_id"), broker);
        options.set_keep_alive(number(fields, "keep_alive") as u16);
        options.set_clean_start(flag(fields, "clean_start"));
        if place.manual {
            options.set_ack_mode(rumqttc_next::AckMode::Manual);
        }
        let mut properties = ConnectProperties::new();
        let set = |name: &str| Some(number(fields, name)).filter(|value| *value != 0);
        properties.session_expiry_interval = set("session_expiry").map(|value| value as u32);
        properties.receive_maximum = set("receive_maximum").map(|value| value as u16);
        properties.max_packet_size = set("maximum_packet_size").map(|value| value as u32);
        properties.topic_alias_max = set("topic_alias_maximum").map(|value| value as u16);
        options.set_connect_properties(properties);
        if fields["user_name"].is_string() {
            options.set_credentials(text(fields, "user_name"), text(fields, "password"));
        }
        let will = &fields["will"];
        if will.is_object() {
            let (topic, payload) = (text(will, "topic"), bytes(will, "payload"));
            options.set_last_will(LastWill::new(topic, payload, qos(number(will, "qos")), flag(will, "retain"), None));
        }
        let (client, eventloop) = AsyncClient::builder(options).capacity(1000).build();
        let unacknowledged = Messages::default();
        let (manual, reconnect) = (place.manual, place.reconnect);
        let task = poll(eventloop, shared.clone(), unacknowledged.clone(), manual, reconnect);
        Ok((Self { client, shared, unacknowledged }, spawn_local(task)))
    }

    async fn publish(&mut self, id: u64, topic: &str, payload: Vec<u8>, level: u8, retain: bool, fields: &Value) -> Done {
        let mut options = PublishOptions::new(qos(level.into())).retain(retain);
        if fields["properties"].is_object() {
            options = options.properties(given(fields));
        }
        let notice = self.client.publish_tracked(topic, payload, options).await.map_err(refused)?;
        self.ends(id, async move {
            let end = notice.wait_completion_async().await.map_err(|error| error.to_string());
            end.map(|()| json!({"event": "published", "reason": 0}))
        });
        Ok(())
    }

    async fn subscribe(&mut self, id: u64, subscriptions: &[Value]) -> Done {
        let filters = subscriptions.iter().map(|one| {
            let mut filter = SubscribeFilter::new(text(one, "filter"), qos(number(one, "qos")));
            filter.nolocal = flag(one, "no_local");
            filter.preserve_retain = flag(one, "retain_as_published");
            filter.retain_forward_rule = match number(one, "retain_handling") {
                0 => RetainForwardRule::OnEverySubscribe,
                1 => RetainForwardRule::OnNewSubscribe,
                _ => RetainForwardRule::Never,
            };
            filter
        });
        let notice = self.client.subscribe_many_tracked(filters).await.map_err(refused)?;
        self.ends(id, async move {
            let suback = notice.wait_async().await.map_err(|error| error.to_string())?;
            let code = |reason: &SubscribeReasonCode| match reason {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                _ => 0x80,
            };
            let reasons: Vec<u8> = suback.return_codes.iter().map(code).collect();
            Ok(json!({"event": "subscribed", "reasons": reasons}))
        });
        Ok(())
    }

    async fn unsubscribe(&mut self, id: u64, filters: &[Value]) -> Done {
        let filters: Vec<String> = filters.iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect();
        let notice = self.client.unsubscribe_many_tracked(filters).await.map_err(refused)?;
        self.ends(id, async move {
            let end = notice.wait_async().await.map_err(|error| error.to_string());
            end.map(|_| json!({"event": "unsubscribed"}))
        });
        Ok(())
    }

    async fn acknowledge(&mut self, message: u64) -> Done {
        let is_next = self.unacknowledged.borrow().keys().min() == Some(&message);
        if !is_next {
            return Err(unsupported("rumqttc leaves the order of acknowledgements to the application"));
        }
        let publish = self.unacknowledged.borrow_mut().remove(&message);
        self.client.ack(&publish.ok_or_else(|| refused("no such message"))?).await.map_err(refused)
    }

    async fn disconnect(&mut self, fields: &Value) -> Done {
        if number(fields, "reason") != 0 || fields["session_expiry"].is_u64() {
            return Err(unsupported("this adapter sets no fields of DISCONNECT"));
        }
        self.client.disconnect().await.map_err(refused)
    }
}

async fn poll(mut eventloop: EventLoop, shared: Rc<Shared>, messages: Messages, manual: bool, reconnect: bool) {
    loop {
        match eventloop.poll().await {
            Ok(Event::Incoming(Incoming::ConnAck(connack))) => {
                shared.connected.set(true);
                shared.say(json!({"event": "connected", "session_present": connack.session_present}));
            }
            Ok(Event::Incoming(Incoming::Publish(publish))) => {
                let message = (manual && publish.pkid != 0).then(|| shared.next_message());
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                let event = json!({"qos": publish.qos as u8, "retain": publish.retain, "dup": publish.dup,
                    "properties": seen(publish.properties.clone())});
                shared.received(message, &topic, &publish.payload, event);
                message.map(|message| messages.borrow_mut().insert(message, publish));
            }
            Ok(_) => {}
            Err(error) => {
                let is_refusal = matches!(
                    error,
                    ConnectionError::ConnectionRefused(_) | ConnectionError::MqttState(StateError::ConnFail { .. })
                );
                if !shared.lost(error.to_string(), is_refusal, reconnect).await {
                    return;
                }
            }
        }
    }
}
